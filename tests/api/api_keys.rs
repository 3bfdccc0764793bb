//! API keys: made by a person, shown once, used by programs on every transport, never for more than the person may, and
//! gone within a second when they are to be.

use crate::{
    kit::{Founder, Server, code, data, server, user_errors},
    socket::Client,
};
use futures_util::future::join_all;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use uuid::Uuid;

/// Waits for what is done beside the request.
const SOON: Duration = Duration::from_secs(10);

fn may(words: &[&str]) -> Value {
    let permission = |word: &&str| {
        let parts: Vec<&str> = word.split(' ').collect();
        json!({ "resource": parts[0], "action": parts[1], "scope": parts[2] })
    };
    words.iter().map(permission).collect()
}

async fn change(server: &Server, token: &str, field: &str, input: Value) -> Value {
    let (of, key) = match field {
        "apiKeyCreate" => ("ApiKeyCreateInput", "key"),
        "apiKeyRotate" => ("ApiKeyRotateInput", "key"),
        "apiKeyUpdate" => ("ApiKeyUpdateInput", ""),
        _ => ("ApiKeyInput", ""),
    };
    let document = format!(
        "mutation($input: {of}!) {{ done: {field}(input: $input) {{ {key} userErrors {{ field code message }} apiKey {{
            id name prefix permissions {{ resource action scope }} expiresAt previousUntil lastUsedAt revokedAt ownerId
            version history {{ action }} }} }} }}"
    );
    server.graphql(&document, json!({ "input": input }), Some(token)).await
}

/// A key that has no end: its id and itself.
async fn make(server: &Server, who: &str, words: &[&str]) -> (String, String) {
    let answer = change(server, who, "apiKeyCreate", json!({ "name": "robot", "permissions": may(words) })).await;
    assert_eq!(user_errors(&answer, "done"), [""; 0]);
    let text = |path: &str| data(&answer, path).as_str().expect("a text").to_owned();
    (text("done.apiKey.id"), text("done.key"))
}

async fn viewer(server: &Server, token: &str) -> Value {
    let query = "{ viewer { memberId apiKeyId role permissions { resource action scope } organization { id } } }";
    server.graphql(query, json!({}), Some(token)).await
}

/// The reason why a key is refused.
async fn reason(server: &Server, token: &str) -> Value {
    let answer = viewer(server, token).await;
    assert_eq!((code(&answer), &answer["data"]), ("UNAUTHENTICATED", &Value::Null), "{answer:#}");
    answer["errors"][0]["extensions"]["reason"].clone()
}

async fn lead(server: &Server, token: &str, owner: Uuid) -> Value {
    let query =
        "mutation($input: LeadCreateInput!) { done: leadCreate(input: $input) { lead { id } userErrors { code } } }";
    let input = json!({ "firstName": "Eve", "lastName": "New", "ownerId": owner });
    server.graphql(query, json!({ "input": input }), Some(token)).await
}

/// Waits until a key is taken: what was refused is believed for a second.
async fn works(server: &Server, token: &str) {
    let begin = Instant::now();
    while viewer(server, token).await.get("errors").is_some() {
        assert!(begin.elapsed() < SOON, "it is refused for good");
    }
}

/// Makes the server ask the database again, as it does after a second, of what it has let in.
fn a_second_later(server: &Server) {
    server.app.standings.forget_where(|_| true);
}

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
async fn a_key_shrinks_with_the_role_of_its_member() {
    let server = server().await;
    let ada = server.founder().await;
    let bob = server.member(&ada, "manager", Some(ada.member)).await;
    let mate = server.member(&ada, "sales_rep", Some(bob.member)).await;
    for owner in [ada.member, bob.member, mate.member] {
        assert!(user_errors(&lead(server, &ada, owner).await, "done").is_empty());
    }
    let (_, key) = make(server, &bob, &["LEAD READ TEAM", "LEAD UPDATE OWN", "MEMBER READ ALL"]).await;
    let count = async || server.graphql("{ leads { totalCount } }", json!({}), Some(&key)).await;
    assert_eq!(data(&count().await, "leads.totalCount"), 2, "his own and his team's");
    let role = async |role: &str| {
        let query = "mutation($input: MemberRoleChangeInput!) { done: memberRoleChange(input: $input) { userErrors { code } } }";
        let input = json!({ "id": bob.member, "role": role });
        assert!(user_errors(&server.graphql(query, json!({ "input": input }), Some(&ada)).await, "done").is_empty());
    };
    role("SALES_REP").await;
    assert_eq!(data(&count().await, "leads.totalCount"), 1, "his own");
    role("SUPPORT").await;
    assert_eq!(code(&count().await), "FORBIDDEN");
    role("ADMIN").await;
    assert_eq!(data(&count().await, "leads.totalCount"), 2, "never more than it was made with");
    let words = data(&viewer(server, &key).await, "viewer.permissions").clone();
    assert_eq!(words, may(&["LEAD READ TEAM", "LEAD UPDATE OWN", "MEMBER READ ALL"]));
}

#[tokio::test]
async fn a_key_ends_with_its_member_and_its_organization() {
    let server = server().await;
    let ada = server.founder().await;
    let bob = server.member(&ada, "sales_rep", None).await;
    let (id, key) = make(server, &bob, &["LEAD READ OWN"]).await;
    let member = async |field: &str| {
        let query =
            format!("mutation($input: MemberInput!) {{ done: {field}(input: $input) {{ userErrors {{ code }} }} }}");
        let answer = server.graphql(&query, json!({ "input": { "id": bob.member } }), Some(&ada)).await;
        assert!(user_errors(&answer, "done").is_empty(), "{field}");
    };
    data(&viewer(server, &key).await, "viewer.role");
    member("memberSuspend").await;
    assert_eq!(reason(server, &key).await, "REVOKED");
    member("memberReactivate").await;
    works(server, &key).await;
    for (ends, goes_on) in [
        (
            format!("UPDATE users SET disabled_at = now() WHERE email = '{}'", bob.email),
            format!("UPDATE users SET disabled_at = NULL WHERE email = '{}'", bob.email),
        ),
        (
            format!("UPDATE api_keys SET expires_at = now() WHERE id = '{id}'"),
            format!("UPDATE api_keys SET expires_at = NULL WHERE id = '{id}'"),
        ),
    ] {
        server.sql(&ends).await;
        a_second_later(server);
        let wanted = if ends.contains("users") { "REVOKED" } else { "EXPIRED" };
        assert_eq!(reason(server, &key).await, wanted);
        server.sql(&goes_on).await;
        works(server, &key).await;
    }
    let organization = ada.organization;
    server.sql(&format!("UPDATE organizations SET suspended_at = now() WHERE id = '{organization}'")).await;
    a_second_later(server);
    assert_eq!(code(&viewer(server, &key).await), "ORGANIZATION_SUSPENDED");
    server.sql(&format!("UPDATE organizations SET suspended_at = NULL WHERE id = '{organization}'")).await;
    works(server, &key).await;
    member("memberRemove").await;
    assert_eq!(reason(server, &key).await, "REVOKED");
}

#[tokio::test]
async fn wrong_keys_of_every_kind_are_refused() {
    let server = server().await;
    let (ada, eve) = (server.founder().await, server.founder().await);
    let (_, key) = make(server, &ada, &["LEAD READ ALL"]).await;
    let (_, other) = make(server, &eve, &["LEAD READ ALL"]).await;
    let (_, twin) = make(server, &ada, &["LEAD READ ALL"]).await;
    let mut wrong: Vec<String> =
        (1..key.len()).step_by(7).map(|end| key[..end].to_owned()).filter(|key| key.starts_with("stoa_")).collect();
    wrong.extend([
        format!("{}{}", &key[..17], &other[17..]),
        format!("{}{}", &other[..17], &key[17..]),
        format!("{}{}", &key[..17], &twin[17..]),
        format!("{}{}", &key[..85], if key.ends_with('A') { 'B' } else { 'A' }),
        format!("{key}A"),
        key.to_uppercase().replacen("STOA_", "stoa_", 1),
        format!("stoa_{}", "a".repeat(4000)),
        format!("stoa_{}", "_".repeat(81)),
        "stoa_".to_owned(),
        "stoa_rt_AAAA".to_owned(),
        "stoa_aaaaaaaaaaaa_".to_owned(),
    ]);
    // Whole, with a checksum that holds, and nobody's: of no organization, of another one, of a known prefix.
    use stoa::platform::tokens::ApiKeyToken;
    wrong.push(ApiKeyToken::new(Uuid::now_v7()).unwrap().1);
    wrong.push(ApiKeyToken::new(ada.organization).unwrap().1);
    wrong.push(ApiKeyToken::with_prefix(ada.organization, key[..17].to_owned()).unwrap().1);
    wrong.push(ApiKeyToken::with_prefix(eve.organization, key[..17].to_owned()).unwrap().1);
    let mut told = std::collections::BTreeSet::new();
    for wrong in &wrong {
        let answer = viewer(server, wrong).await;
        assert_eq!((code(&answer), &answer["data"]), ("UNAUTHENTICATED", &Value::Null), "{wrong}");
        told.insert(answer["errors"][0]["message"].to_string());
        assert_eq!(answer["errors"][0]["extensions"]["reason"], "INVALID", "{wrong}");
    }
    assert_eq!(told.len(), 1, "the answer does not tell how it is wrong: {told:?}");
    let client = reqwest::Client::new();
    for (sent, scheme) in
        [(wrong[wrong.len() - 1].clone(), "Bearer"), ("stoa_".repeat(2000), "Bearer"), (key.clone(), "Basic")]
    {
        let request =
            client.post(format!("{}/graphql", server.url())).header("authorization", format!("{scheme} {sent}"));
        let answer = request.json(&json!({ "query": "{ version }" })).send().await.unwrap();
        assert_eq!(answer.status(), 401);
        assert_eq!(answer.headers()["www-authenticate"], "Bearer error=\"invalid_token\"");
    }
    let mut socket = Client::silent(server).await;
    socket.say(json!({ "type": "connection_init", "payload": { "authorization": wrong[wrong.len() - 1] } })).await;
    assert_eq!(socket.closed().await, 4403);
    data(&viewer(server, &key).await, "viewer.role");
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
    assert_eq!(list(&bob).await, [id.clone()]);
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
async fn what_ends_or_shrinks_a_key_closes_its_sockets_within_a_second() {
    let server = server().await;
    for cause in ["apiKeyRevoke", "apiKeyRotate", "apiKeyUpdate", "memberSuspend", "memberRemove", "memberRoleChange"] {
        let ada = server.founder().await;
        let bob = server.member(&ada, "manager", None).await;
        let (id, key) = make(server, &bob, &["LEAD READ TEAM", "CONTACT READ OWN"]).await;
        let mut socket = Client::open(server, Some(&format!("Bearer {key}"))).await;
        socket
            .subscribe(
                "1",
                json!({ "query": "subscription { recordEvents(entity: LEAD) { ... on FeedEvent { cursor } } }" }),
            )
            .await;
        let begin = Instant::now();
        let answer = match cause {
            "apiKeyUpdate" => {
                change(server, &bob, cause, json!({ "id": id, "permissions": may(&["CONTACT READ OWN"]) })).await
            }
            "apiKeyRevoke" | "apiKeyRotate" => change(server, &bob, cause, json!({ "id": id })).await,
            _ => {
                let of = if cause == "memberRoleChange" { "MemberRoleChangeInput" } else { "MemberInput" };
                let query =
                    format!("mutation($input: {of}!) {{ done: {cause}(input: $input) {{ userErrors {{ code }} }} }}");
                let mut input = json!({ "id": bob.member });
                if cause == "memberRoleChange" {
                    input["role"] = json!("GUEST");
                }
                server.graphql(&query, json!({ "input": input }), Some(&ada)).await
            }
        };
        assert!(user_errors(&answer, "done").is_empty(), "{cause}");
        assert_eq!(socket.closed().await, 4403, "{cause}");
        // A second, and as much again for a machine that is busy.
        assert!(begin.elapsed() < Duration::from_secs(2), "{cause}: {:?}", begin.elapsed());
    }
}

#[tokio::test]
async fn a_program_subscribes_with_its_key() {
    let server = server().await;
    let ada = server.founder().await;
    let (_, key) = make(server, &ada, &["LEAD READ ALL"]).await;
    let mut socket = Client::open(server, Some(&key)).await;
    let document = "subscription { recordEvents(entity: LEAD) { __typename ... on RecordChanged { recordId } } }";
    socket.subscribe("1", json!({ "query": document })).await;
    socket.subscribe("2", json!({ "query": "subscription { recordEvents(entity: ACCOUNT) { __typename } }" })).await;
    let refused = socket.hear().await;
    let told = &refused["payload"][0]["extensions"]["code"];
    assert_eq!(
        (&refused["type"], &refused["id"], told),
        (&json!("error"), &json!("2"), &json!("FORBIDDEN")),
        "{refused}"
    );
    let made = lead(server, &ada, ada.member).await;
    let next = socket.hear().await;
    assert_eq!(next["payload"]["data"]["recordEvents"]["recordId"], data(&made, "done.lead.id").clone(), "{next}");
    // What runs on a socket ends with what it was begun with: neither the person nor another key takes it over.
    for other in [&*ada, &make(server, &ada, &["LEAD READ ALL"]).await.1] {
        let mut socket = Client::open(server, Some(&key)).await;
        socket.say(json!({ "type": "ping", "payload": { "authorization": key } })).await;
        assert_eq!(socket.hear().await["type"], "pong");
        socket.say(json!({ "type": "ping", "payload": { "authorization": other } })).await;
        assert_eq!(socket.closed().await, 4403);
    }
    // Server-sent events as well, until the key is revoked.
    let request = reqwest::Client::new().post(format!("{}/graphql", server.url())).bearer_auth(&key);
    let mut stream =
        request.header("accept", "text/event-stream").json(&json!({ "query": document })).send().await.unwrap();
    lead(server, &ada, ada.member).await;
    let mut text = String::new();
    while !text.contains("RecordChanged") {
        text.push_str(&String::from_utf8_lossy(&stream.chunk().await.unwrap().expect("an event")));
    }
    let list = server
        .graphql("{ apiKeys(filter: { revokedAt: { isNull: true } }) { nodes { id } } }", json!({}), Some(&ada))
        .await;
    for node in data(&list, "apiKeys.nodes").as_array().unwrap() {
        change(server, &ada, "apiKeyRevoke", json!({ "id": node["id"] })).await;
    }
    while let Some(chunk) = stream.chunk().await.unwrap() {
        text.push_str(&String::from_utf8_lossy(&chunk));
    }
    assert!(text.contains("REVOKED") && text.contains("event: complete"), "{text}");
}

#[tokio::test]
async fn in_conversations_a_key_for_reading_only_reads() {
    let server = server().await;
    let ada = server.founder().await;
    let create = "mutation { done: conversationCreate(input: { kind: GROUP, title: \"x\" }) { conversation { id } } }";
    let answer = server.graphql(create, json!({}), Some(&ada)).await;
    let id = data(&answer, "done.conversation.id").clone();
    let (_, reads) = make(server, &ada, &["CONVERSATION READ OWN"]).await;
    let (_, writes) = make(server, &ada, &["CONVERSATION READ OWN", "CONVERSATION UPDATE OWN"]).await;
    let (_, neither) = make(server, &ada, &["LEAD READ OWN"]).await;
    let send = "mutation($id: ID!) { done: messageSend(input: { conversationId: $id, body: \"Hello\" }) { message { id } userErrors { code } } }";
    for (key, may_read, may_write) in [(&reads, true, false), (&writes, true, true), (&neither, false, false)] {
        let sent = server.graphql(send, json!({ "id": id }), Some(key)).await;
        if may_write {
            assert!(data(&sent, "done.message.id").is_string());
        } else {
            assert_eq!(code(&sent), "FORBIDDEN");
        }
        let read =
            server.graphql("query($id: ID!) { conversation(id: $id) { title } }", json!({ "id": id }), Some(key)).await;
        assert_eq!(data(&read, "conversation").is_object(), may_read);
        let leave = "mutation($id: ID!) { conversationLeave(input: { id: $id }) { userErrors { code } } }";
        if !may_write {
            assert_eq!(code(&server.graphql(leave, json!({ "id": id }), Some(key)).await), "FORBIDDEN");
        }
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

#[tokio::test]
async fn settings_limit_number_time_and_rate() {
    let server = Server::with(|config| {
        config.api_keys.per_member = 2;
        config.api_keys.per_organization = 3;
        config.api_keys.max_days = 30;
        config.api_keys.operations_per_minute = 5;
    })
    .await;
    let ada = server.founder().await;
    let bob = server.member(&ada, "admin", None).await;
    let soon = (chrono::Utc::now() + chrono::TimeDelta::days(29)).to_rfc3339();
    let late = (chrono::Utc::now() + chrono::TimeDelta::days(31)).to_rfc3339();
    let create = async |who: &str, expires: Value| {
        let input = json!({ "name": "x", "permissions": may(&["LEAD READ ALL"]), "expiresAt": expires });
        change(&server, who, "apiKeyCreate", input).await
    };
    assert_eq!(user_errors(&create(&ada, json!(null)).await, "done"), ["expiresAt REQUIRED"]);
    assert_eq!(user_errors(&create(&ada, json!(late)).await, "done"), ["expiresAt OUT_OF_RANGE"]);
    let many = join_all((0..6).map(|_| create(&ada, json!(soon)))).await;
    let good: Vec<&Value> = many.iter().filter(|answer| user_errors(answer, "done").is_empty()).collect();
    assert_eq!(good.len(), 2);
    let full = many.iter().find(|answer| !user_errors(answer, "done").is_empty()).unwrap();
    assert_eq!(user_errors(full, "done"), [" LIMIT_EXCEEDED"]);
    assert!(user_errors(&create(&bob, json!(soon)).await, "done").is_empty());
    assert_eq!(user_errors(&create(&bob, json!(soon)).await, "done"), [" LIMIT_EXCEEDED"], "the organization's");
    let (id, key) = (data(good[0], "done.apiKey.id").clone(), data(good[0], "done.key").as_str().unwrap().to_owned());
    let null = change(&server, &ada, "apiKeyRotate", json!({ "id": id, "expiresAt": null })).await;
    assert_eq!(user_errors(&null, "done"), ["expiresAt REQUIRED"]);

    let request = async |body: Value| {
        let request = reqwest::Client::new().post(format!("{}/graphql", server.url())).bearer_auth(&key);
        request.json(&body).send().await.unwrap()
    };
    // Operations count, whatever carries them: a batch of three, two on a socket, and no more.
    let one = json!({ "query": "{ version }" });
    assert_eq!(request(json!([one, one, one])).await.status(), 200);
    let mut socket = Client::open(&server, Some(&key)).await;
    for id in ["1", "2"] {
        socket.subscribe(id, one.clone()).await;
        assert_eq!(socket.hear().await["type"], "next");
        assert_eq!(socket.hear().await["type"], "complete");
    }
    socket.subscribe("3", one.clone()).await;
    let refused = socket.hear().await;
    assert_eq!(
        (&refused["type"], &refused["payload"][0]["extensions"]["code"]),
        (&json!("error"), &json!("RATE_LIMITED"))
    );
    let refused = request(one).await;
    assert_eq!(refused.status(), 429);
    let wait: u64 = refused.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=12).contains(&wait), "{wait}");
    data(&viewer(&server, &ada).await, "viewer.role");
    assert!(user_errors(&change(&server, &ada, "apiKeyRevoke", json!({ "id": id })).await, "done").is_empty());
    assert!(user_errors(&create(&ada, json!(soon)).await, "done").is_empty(), "what does not work does not count");
    server.stop().await;
}

/// Like whoever tries passwords: who sends many keys that are none has to wait, and no longer costs the database anything.
#[tokio::test]
async fn an_address_that_tries_keys_has_to_wait() {
    let server = Server::start().await;
    let ada = server.founder().await;
    let mut told = Vec::new();
    for _ in 0..24 {
        let tries = (0..25).map(|_| async {
            let key = stoa::platform::tokens::ApiKeyToken::new(ada.organization).unwrap().1;
            code(&viewer(&server, &key).await).to_owned()
        });
        told.extend(join_all(tries).await);
    }
    assert!(told[..400].iter().all(|told| told == "UNAUTHENTICATED"));
    assert!(told.contains(&"RATE_LIMITED".to_owned()));
    data(&viewer(&server, &ada).await, "viewer.role");
    server.stop().await;
}
