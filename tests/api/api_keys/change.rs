//! API keys made, changed, rotated and revoked, by whom, and what is refused.

use super::{SOON, a_second_later, change, lead, make, may, reason, viewer};
use crate::kit::{Founder, code, data, server, user_errors};
use futures_util::future::join_all;
use serde_json::{Value, json};
use std::time::Instant;
use uuid::Uuid;

#[tokio::test]
async fn a_key_is_shown_once_and_speaks_for_its_member() {
    let server = server().await;
    let ada = server.founder().await;
    let words = ["LEAD READ ALL", "LEAD CREATE ALL"];
    let input = json!({ "name": " My robot ", "permissions": may(&words), "expiresAt": "2999-01-02T03:04:05.000Z" });
    let made = change(server, &ada, "apiKeyCreate", input).await;
    let (key, shown) = (data(&made, "done.key").as_str().unwrap().to_owned(), data(&made, "done.apiKey").clone());
    assert_eq!((&shown["name"], &shown["expiresAt"]), (&json!("My robot"), &json!("2999-01-02T03:04:05.000Z")));
    assert_eq!(
        (&shown["ownerId"], &shown["lastUsedAt"], &shown["version"]),
        (&json!(ada.member), &json!(null), &json!(1))
    );
    assert_eq!(shown["permissions"], may(&words));
    let prefix = shown["prefix"].as_str().unwrap();
    assert!(key.starts_with(&format!("{prefix}_")) && prefix.len() == 17 && key.len() == 86, "{key}");

    let seen = viewer(server, &key).await;
    let seen = data(&seen, "viewer");
    assert_eq!((&seen["memberId"], &seen["apiKeyId"]), (&json!(ada.member), &shown["id"]));
    assert_eq!(seen["permissions"], shown["permissions"]);
    assert_eq!(data(&viewer(server, &ada).await, "viewer.apiKeyId"), &Value::Null);
    assert!(user_errors(&lead(server, &key, ada.member).await, "done").is_empty());
    assert_eq!(code(&server.graphql("{ accounts { totalCount } }", json!({}), Some(&key)).await), "FORBIDDEN");
    let delete = "mutation($id: ID!) { leadDelete(input: { id: $id }) { userErrors { code } } }";
    let mine = server
        .graphql("{ leads { nodes { id createdBy owner { id } history { action } } } }", json!({}), Some(&key))
        .await;
    let node = &data(&mine, "leads.nodes")[0];
    assert_eq!((&node["createdBy"], &node["history"][0]["action"]), (&json!(ada.member), &json!("created")));
    assert_eq!(node["owner"], Value::Null, "who may not read members does not see one through a record");
    assert_eq!(code(&server.graphql(delete, json!({ "id": node["id"] }), Some(&key)).await), "FORBIDDEN");

    let told = "SELECT count(*) FROM events WHERE entity = 'Lead' AND api_key_id =";
    assert_eq!(server.count(&format!("{told} '{}'", shown["id"].as_str().unwrap())).await, 1);

    // Neither the key nor its hash is anywhere but in that answer.
    let rows = "SELECT (SELECT string_agg(e::text, '') FROM events e WHERE e.organization_id = k.organization_id)
        || (SELECT string_agg(i::text, '') FROM api_keys i WHERE i.id = k.id) FROM api_keys k WHERE id =";
    let rows = server.text(&format!("{rows} '{}'", shown["id"].as_str().unwrap())).await;
    assert!(!rows.contains(&key[18..]) && rows.contains(prefix));
    let hash = server.text(&format!("SELECT encode(hash, 'hex') FROM api_keys WHERE prefix = '{prefix}'")).await;
    let told = "SELECT count(*) FROM events WHERE payload::text LIKE";
    assert_eq!((hash.len(), server.count(&format!("{told} '%{hash}%'")).await), (64, 0));
    assert_eq!(shown["history"], json!([{ "action": "created" }]));

    // When it was used is noted soon, and then not for a minute.
    let used = format!("SELECT coalesce(last_used_at::text, '') FROM api_keys WHERE prefix = '{prefix}'");
    let begin = Instant::now();
    while server.text(&used).await.is_empty() {
        assert!(begin.elapsed() < SOON);
    }
    let noted = server.text(&used).await;
    a_second_later(server);
    viewer(server, &key).await;
    assert_eq!(server.text(&used).await, noted);
    server
        .sql(&format!("UPDATE api_keys SET last_used_at = now() - interval '2 minutes' WHERE prefix = '{prefix}'"))
        .await;
    a_second_later(server);
    viewer(server, &key).await;
    while server.text(&used).await < noted {
        assert!(begin.elapsed() < 2 * SOON);
    }
    let version = format!("SELECT version::bigint FROM api_keys WHERE prefix = '{prefix}'");
    assert_eq!(server.count(&version).await, 1, "being used is no change");
}

#[tokio::test]
async fn no_key_may_more_than_who_makes_it() {
    let server = server().await;
    let ada = server.founder().await;
    let rep = server.member(&ada, "sales_rep", None).await;
    let guest = server.member(&ada, "guest", None).await;
    let create = async |who: &str, name: &str, words: &[&str], expires: Value| {
        let input = json!({ "name": name, "permissions": may(words), "expiresAt": expires });
        change(server, who, "apiKeyCreate", input).await
    };
    for (name, words, expires, wanted) in [
        ("x", &["LEAD READ ALL"][..], json!(null), vec!["permissions.0 INVALID"]),
        (
            "x",
            &["LEAD READ OWN", "LEAD READ TEAM", "JOB READ OWN"],
            json!(null),
            vec!["permissions.1 INVALID", "permissions.2 INVALID"],
        ),
        ("x", &["API_KEY READ OWN"], json!(null), vec!["permissions.0 INVALID"]),
        (
            " ",
            &[],
            json!("2020-01-02T03:04:05Z"),
            vec!["name REQUIRED", "permissions REQUIRED", "expiresAt OUT_OF_RANGE"],
        ),
        ("x\u{7}", &["LEAD READ OWN"], json!(null), vec!["name INVALID"]),
        (&"x".repeat(121), &["LEAD READ OWN"; 501], json!(null), vec!["name TOO_LONG", "permissions TOO_LONG"]),
    ] {
        let answer = create(&rep, name, words, expires).await;
        assert_eq!(user_errors(&answer, "done"), wanted, "{name}");
        assert_eq!((data(&answer, "done.key"), data(&answer, "done.apiKey")), (&Value::Null, &Value::Null));
    }
    assert_eq!(code(&create(&guest, "x", &["CONVERSATION READ OWN"], json!(null)).await), "FORBIDDEN");
    assert_eq!(code(&create("stoa_", "x", &["LEAD READ OWN"], json!(null)).await), "UNAUTHENTICATED");
    let none = format!("SELECT count(*) FROM api_keys WHERE organization_id = '{}'", ada.organization);
    assert_eq!(server.count(&none).await, 0);
    // Who has not proved lately who they are makes none.
    let id = make(server, &rep, &["LEAD READ OWN"]).await.0;
    server
        .sql(&format!(
            "UPDATE sessions SET authenticated_at = now() - interval '6 minutes' WHERE member_id = '{}'",
            rep.member
        ))
        .await;
    let rotated = change(server, &rep, "apiKeyRotate", json!({ "id": id })).await;
    for answer in [create(&rep, "x", &["LEAD READ OWN"], json!(null)).await, rotated] {
        assert_eq!(code(&answer), "FORBIDDEN");
        assert_eq!(answer["errors"][0]["extensions"]["reason"], "REAUTHENTICATION_REQUIRED");
    }
    assert!(user_errors(&change(server, &rep, "apiKeyRevoke", json!({ "id": id })).await, "done").is_empty());
}

#[tokio::test]
async fn rotating_replaces_a_key_for_all_at_once() {
    let server = server().await;
    let ada = server.founder().await;
    let (id, first) = make(server, &ada, &["LEAD READ ALL"]).await;
    let rotate = async |input: Value| change(server, &ada, "apiKeyRotate", input).await;
    // Under use: each use is served or told REVOKED, and after the answer none is served any more.
    let uses = join_all((0..100).map(|_| viewer(server, &first)));
    let (uses, rotated) = tokio::join!(uses, rotate(json!({ "id": id })));
    for used in uses {
        if used.get("errors").is_some() {
            assert_eq!(
                (code(&used), &used["errors"][0]["extensions"]["reason"]),
                ("UNAUTHENTICATED", &json!("REVOKED"))
            );
        }
    }
    a_second_later(server);
    assert_eq!(reason(server, &first).await, "REVOKED");
    let second = data(&rotated, "done.key").as_str().unwrap().to_owned();
    assert_eq!(second[..17], first[..17]);
    assert_eq!(data(&viewer(server, &second).await, "viewer.apiKeyId"), &json!(id));

    let rotated = rotate(json!({ "id": id, "overlapHours": 24, "expiresAt": "2999-01-01T00:00:00Z" })).await;
    let third = data(&rotated, "done.key").as_str().unwrap().to_owned();
    assert_eq!(data(&rotated, "done.apiKey.expiresAt"), "2999-01-01T00:00:00.000Z");
    for good in [&second, &third] {
        data(&viewer(server, good).await, "viewer.role");
    }
    reason(server, &first).await;
    server.sql(&format!("UPDATE api_keys SET previous_until = now() WHERE id = '{id}'")).await;
    a_second_later(server);
    assert_eq!(reason(server, &second).await, "REVOKED");
    data(&viewer(server, &third).await, "viewer.role");

    for (input, wanted) in [
        (json!({ "id": id, "overlapHours": 25 }), "overlapHours OUT_OF_RANGE"),
        (json!({ "id": id, "overlapHours": -1 }), "overlapHours OUT_OF_RANGE"),
        (json!({ "id": id, "expiresAt": "2020-01-01T00:00:00Z" }), "expiresAt OUT_OF_RANGE"),
        (json!({ "id": id, "expectedVersion": 1 }), "expectedVersion CONFLICT"),
        (json!({ "id": Uuid::now_v7() }), "id NOT_FOUND"),
    ] {
        let answer = rotate(input.clone()).await;
        assert_eq!(user_errors(&answer, "done"), [wanted], "{input}");
        assert_eq!(data(&answer, "done.key"), &Value::Null);
    }
    server.sql(&format!("UPDATE api_keys SET expires_at = now() WHERE id = '{id}'")).await;
    assert_eq!(user_errors(&rotate(json!({ "id": id })).await, "done"), ["expiresAt REQUIRED"]);
    let rotated = rotate(json!({ "id": id, "expiresAt": null })).await;
    assert_eq!(data(&rotated, "done.apiKey.expiresAt"), &Value::Null);
    data(&viewer(server, data(&rotated, "done.key").as_str().unwrap()).await, "viewer.role");
    // Of many rotations at once each is answered with a key, and the last one's works.
    let rotations = join_all((0..8).map(|_| rotate(json!({ "id": id })))).await;
    a_second_later(server);
    let mut good = 0;
    for rotation in &rotations {
        good += usize::from(viewer(server, data(rotation, "done.key").as_str().unwrap()).await.get("errors").is_none());
    }
    assert_eq!(good, 1);
    change(server, &ada, "apiKeyRevoke", json!({ "id": id })).await;
    assert_eq!(user_errors(&rotate(json!({ "id": id })).await, "done"), ["id STATE_INVALID"]);
}

#[tokio::test]
async fn an_update_only_takes_away() {
    let server = server().await;
    let ada = server.founder().await;
    let (id, key) = make(server, &ada, &["LEAD READ ALL", "LEAD CREATE OWN"]).await;
    let update = async |input: Value| {
        let mut input = input;
        input["id"] = json!(id);
        change(server, &ada, "apiKeyUpdate", input).await
    };
    for (input, wanted) in [
        (json!({ "permissions": may(&["LEAD CREATE ALL"]) }), "permissions.0 INVALID"),
        (json!({ "permissions": may(&["LEAD READ ALL", "ACCOUNT READ OWN"]) }), "permissions.1 INVALID"),
        (json!({ "permissions": [] }), "permissions REQUIRED"),
        (json!({ "name": "" }), "name REQUIRED"),
        (json!({ "expiresAt": "2020-01-01T00:00:00Z" }), "expiresAt OUT_OF_RANGE"),
        (json!({ "expectedVersion": 7, "name": "y" }), "expectedVersion CONFLICT"),
    ] {
        assert_eq!(user_errors(&update(input.clone()).await, "done"), [wanted], "{input}");
    }
    assert_eq!(data(&update(json!({ "name": "robot" })).await, "done.apiKey.version"), 1, "nothing is different");
    let answer = update(json!({ "name": "other", "permissions": may(&["LEAD READ OWN"]), "expiresAt": "2100-01-01T00:00:00Z", "expectedVersion": 1 })).await;
    let told = data(&answer, "done.apiKey");
    assert_eq!(
        (&told["name"], &told["permissions"], &told["version"]),
        (&json!("other"), &may(&["LEAD READ OWN"]), &json!(2))
    );
    assert_eq!(told["history"], json!([{ "action": "updated" }, { "action": "created" }]));
    assert_eq!(data(&viewer(server, &key).await, "viewer.permissions"), &may(&["LEAD READ OWN"]), "at once");
    assert_eq!(
        user_errors(&update(json!({ "expiresAt": "2101-01-01T00:00:00Z" })).await, "done"),
        ["expiresAt OUT_OF_RANGE"]
    );
    assert_eq!(
        user_errors(&update(json!({ "permissions": may(&["LEAD READ ALL"]) })).await, "done"),
        ["permissions.0 INVALID"]
    );
}

#[tokio::test]
async fn who_sees_and_ends_the_keys_of_others() {
    let server = server().await;
    let ada = server.founder().await;
    let (admin, bob, mate) =
        (server.member(&ada, "admin", None).await, server.member(&ada, "manager", None).await, server.founder().await);
    let (id, key) = make(server, &bob, &["LEAD READ TEAM"]).await;
    let (hers, _) = make(server, &ada, &["LEAD READ ALL"]).await;
    let list = async |who: &Founder| {
        let query =
            "{ apiKeys(orderBy: [{ field: CREATED_AT, direction: ASC }]) { nodes { id prefix owner { id } } } }";
        let answer = server.graphql(query, json!({}), Some(who)).await;
        let nodes = data(&answer, "apiKeys.nodes").as_array().unwrap();
        nodes.iter().map(|node| node["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(list(&bob).await, std::slice::from_ref(&id));
    assert_eq!(list(&admin).await, [id.clone(), hers.clone()]);
    assert!(list(&mate).await.is_empty());
    let change = async |who: &Founder, field: &str, id: &str| change(server, who, field, json!({ "id": id })).await;
    for field in ["apiKeyUpdate", "apiKeyRotate", "apiKeyRevoke"] {
        assert_eq!(user_errors(&change(&bob, field, &hers).await, "done"), ["id NOT_FOUND"], "{field}");
        assert_eq!(user_errors(&change(&mate, field, &hers).await, "done"), ["id NOT_FOUND"], "{field}");
    }
    for field in ["apiKeyUpdate", "apiKeyRotate"] {
        assert_eq!(code(&change(&admin, field, &id).await), "FORBIDDEN", "{field}: a key speaks for its member");
    }
    data(&viewer(server, &key).await, "viewer.role");
    assert!(user_errors(&change(&admin, "apiKeyRevoke", &id).await, "done").is_empty());
    assert_eq!(reason(server, &key).await, "REVOKED");
    for field in ["apiKeyUpdate", "apiKeyRevoke"] {
        assert_eq!(user_errors(&change(&bob, field, &id).await, "done"), ["id STATE_INVALID"], "{field}");
    }
}

#[tokio::test]
async fn idempotency_keys_are_apart_and_secrets_are_not_kept() {
    let server = server().await;
    let ada = server.founder().await;
    let (_, wide) = make(server, &ada, &["ACCOUNT CREATE ALL", "ACCOUNT READ ALL"]).await;
    let (_, narrow) = make(server, &ada, &["LEAD READ ALL"]).await;
    let send = async |who: &str, query: &str, variables: Value| -> Value {
        let request = reqwest::Client::new().post(format!("{}/graphql", server.url())).bearer_auth(who);
        let request = request.header("idempotency-key", "k").json(&json!({ "query": query, "variables": variables }));
        request.send().await.unwrap().json().await.unwrap()
    };
    let create = "mutation { accountCreate(input: { name: \"Once\" }) { account { id } userErrors { code } } }";
    let first = send(&wide, create, json!({})).await;
    assert!(data(&first, "accountCreate.account.id").is_string());
    assert_eq!(send(&wide, create, json!({})).await, first);
    assert_eq!(code(&send(&narrow, create, json!({})).await), "FORBIDDEN");
    let persons = send(&ada, create, json!({})).await;
    assert_ne!(data(&persons, "accountCreate.account.id"), data(&first, "accountCreate.account.id"));

    let eve = server.founder().await;
    let make = "mutation($input: ApiKeyCreateInput!) { done: apiKeyCreate(input: $input) { key } }";
    let input = json!({ "input": { "name": "x", "permissions": may(&["LEAD READ ALL"]) } });
    let made = send(&eve, make, input.clone()).await;
    assert!(data(&made, "done.key").is_string());
    assert_eq!(code(&send(&eve, make, input).await), "CONFLICT");
    let kept = "SELECT count(*) FROM idempotency_keys WHERE answer IS NOT NULL AND organization_id =";
    assert_eq!(server.count(&format!("{kept} '{}'", eve.organization)).await, 0);
    let keys = format!("SELECT count(*) FROM api_keys WHERE organization_id = '{}'", eve.organization);
    assert_eq!(server.count(&keys).await, 1);
}
