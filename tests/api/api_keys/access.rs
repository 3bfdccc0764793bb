//! What an API key opens, on every transport, and what closes it.

use super::{a_second_later, change, lead, make, may, reason, viewer, works};
use crate::{
    kit::{code, data, server, user_errors},
    socket::Client,
    wall::feed::Feed as EventStream,
};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tokio::time::timeout;
use uuid::Uuid;

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
    // Whoever is invited again does not bring their keys along.
    server.sql(&format!("UPDATE memberships SET status = 'active' WHERE id = '{}'", bob.member)).await;
    let told = "query($id: ID!) { apiKey(id: $id) { revokedAt history { action actor { id } } } }";
    let told = server.graphql(told, json!({ "id": id }), Some(&ada)).await;
    assert!(data(&told, "apiKey.revokedAt").is_string());
    assert_eq!(data(&told, "apiKey.history")[0], json!({ "action": "revoked", "actor": { "id": ada.member } }));
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
    // It hears what is made from when it was begun, which nobody is told.
    let mut made = Vec::new();
    let next = loop {
        made.push(data(&lead(server, &ada, ada.member).await, "done.lead.id").clone());
        if let Ok(next) = timeout(Duration::from_millis(200), socket.hear()).await {
            break next;
        }
    };
    assert!(made.contains(&next["payload"]["data"]["recordEvents"]["recordId"]), "{next}");
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
    let mut text = String::new();
    while !text.contains("RecordChanged") {
        lead(server, &ada, ada.member).await;
        if let Ok(chunk) = timeout(Duration::from_millis(200), stream.chunk()).await {
            text.push_str(&String::from_utf8_lossy(&chunk.unwrap().expect("an event")));
        }
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

/// Nobody changes anything then that would ring.
#[tokio::test]
async fn an_event_stream_ends_with_the_key_that_opened_it() {
    let server = server().await;
    let ada = server.founder().await;
    let (id, key) = make(server, &ada, &["LEAD READ ALL"]).await;
    server.sql(&format!("UPDATE api_keys SET expires_at = now() + interval '3 s' WHERE id = '{id}'")).await;
    let document = "subscription { recordEvents(entity: LEAD) { __typename } }";
    let mut stream = EventStream::open(server, document, &json!({}), Some(&key)).await;
    stream.read(Duration::from_secs(20)).await;
    assert!(
        stream.ended && stream.text.contains("EXPIRED") && stream.text.contains("event: complete"),
        "{}",
        stream.text
    );
}

#[tokio::test]
async fn in_conversations_a_key_for_reading_only_reads() {
    let server = server().await;
    let ada = server.founder().await;
    let create = "mutation { done: conversationCreate(input: { kind: GROUP, title: \"x\" }) { conversation { id } } }";
    let answer = server.graphql(create, json!({}), Some(&ada)).await;
    let id = data(&answer, "done.conversation.id").clone();
    let (_, reads) = make(server, &ada, &["CONVERSATION READ OWN"]).await;
    let (by, writes) = make(server, &ada, &["CONVERSATION READ OWN", "CONVERSATION UPDATE OWN"]).await;
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
    let told = "SELECT count(*) FROM events WHERE kind = 'message_sent' AND api_key_id =";
    assert_eq!(server.count(&format!("{told} '{by}'")).await, 1, "the log says that a program has sent it");
}
