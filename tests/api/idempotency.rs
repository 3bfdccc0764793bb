//! Idempotency keys: a mutation sent twice with one key is carried out once.

use crate::kit::{Founder, Server, code, data, server};
use futures_util::future::join_all;
use reqwest::Client;
use serde_json::{Value, json};

const CREATE: &str = "mutation($name: String!) { accountCreate(input: {name: $name}) {
    account { id name } userErrors { field code } } }";

async fn send(server: &Server, who: &Founder, key: &str, query: &str, variables: Value) -> Value {
    let request = Client::new()
        .post(format!("{}/graphql", server.url()))
        .bearer_auth(&who.token)
        .header("idempotency-key", key)
        .json(&json!({ "query": query, "variables": variables }));
    request.send().await.expect("an answer").json().await.expect("JSON")
}

async fn accounts(server: &Server, who: &Founder) -> i64 {
    server.count(&format!("SELECT count(*) FROM accounts WHERE organization_id = '{}'", who.organization)).await
}

#[tokio::test]
async fn the_same_request_is_carried_out_once_and_answered_alike() {
    let server = server().await;
    let who = server.founder().await;
    let first = send(server, &who, "k1", CREATE, json!({ "name": "Once" })).await;
    let again = send(server, &who, "k1", CREATE, json!({ "name": "Once" })).await;
    assert_eq!(data(&first, "accountCreate.account.name"), "Once");
    assert_eq!(first, again);
    assert_eq!(accounts(server, &who).await, 1);
    let other = send(server, &who, "k2", CREATE, json!({ "name": "Once" })).await;
    assert_ne!(data(&other, "accountCreate.account.id"), data(&first, "accountCreate.account.id"));
}

#[tokio::test]
async fn another_request_may_not_use_the_key() {
    let server = server().await;
    let who = server.founder().await;
    send(server, &who, "k", CREATE, json!({ "name": "One" })).await;
    let other = send(server, &who, "k", CREATE, json!({ "name": "Two" })).await;
    assert_eq!(code(&other), "IDEMPOTENCY_KEY_REUSED");
    assert_eq!(accounts(server, &who).await, 1);
}

#[tokio::test]
async fn a_key_belongs_to_its_member() {
    let server = server().await;
    let who = server.founder().await;
    let colleague = server.member(&who, "admin", None).await;
    let neighbour = server.founder().await;
    for one in [&who, &colleague, &neighbour] {
        let answer = send(server, one, "k", CREATE, json!({ "name": "Mine" })).await;
        assert_eq!(data(&answer, "accountCreate.account.name"), "Mine");
    }
    assert_eq!(accounts(server, &who).await, 2);
}

#[tokio::test]
async fn of_many_at_once_one_is_carried_out() {
    let server = server().await;
    let who = server.founder().await;
    let answers = join_all((0..12).map(|_| send(server, &who, "k", CREATE, json!({ "name": "Race" })))).await;
    assert_eq!(accounts(server, &who).await, 1);
    let won: Vec<_> = answers.iter().filter(|answer| answer.get("errors").is_none()).collect();
    assert!(!won.is_empty() && won.iter().all(|answer| answer == &won[0]));
    for lost in answers.iter().filter(|answer| answer.get("errors").is_some()) {
        assert_eq!(code(lost), "CONFLICT");
    }
}

/// It is a statement of its own, which notes the key as well.
#[tokio::test]
async fn a_message_is_sent_once_for_a_key_even_when_its_answer_was_lost() {
    let server = server().await;
    let who = server.founder().await;
    let open = "mutation { conversationCreate(input: { title: \"All\", memberIds: [] }) { conversation { id } } }";
    let conversation = server.graphql(open, json!({}), Some(&who)).await;
    let conversation = data(&conversation, "conversationCreate.conversation.id").clone();
    let query = "mutation($id: ID!, $body: String!) { messageSend(input: {conversationId: $id, body: $body}) {
        message { id body seq } userErrors { field code } } }";
    let say = async |body: &str| send(server, &who, "k", query, json!({ "id": conversation, "body": body })).await;
    assert_eq!(data(&say(" ").await, "messageSend.userErrors.0.code"), "REQUIRED");
    let first = say("once").await;
    assert_eq!(data(&first, "messageSend.message.body"), "once");
    assert_eq!(say("once").await, first);
    assert_eq!(code(&say("twice").await), "IDEMPOTENCY_KEY_REUSED");
    let of = format!("WHERE organization_id = '{}'", who.organization);
    assert_eq!(server.count(&format!("SELECT count(*) FROM messages {of}")).await, 1);
    // As after a crash between the commit and the answer.
    server
        .sql(&format!("UPDATE idempotency_keys SET answer = NULL, claimed_at = now() - interval '6 minutes' {of}"))
        .await;
    assert_eq!(code(&say("once").await), "CONFLICT");
    assert_eq!(server.count(&format!("SELECT count(*) FROM messages {of}")).await, 1);
}

#[tokio::test]
async fn what_wrote_nothing_may_be_tried_again() {
    let server = server().await;
    let who = server.founder().await;
    let refused = send(server, &who, "k", CREATE, json!({ "name": " " })).await;
    assert_eq!(data(&refused, "accountCreate.userErrors.0.code"), "REQUIRED");
    let held = format!("SELECT count(*) FROM idempotency_keys WHERE organization_id = '{}'", who.organization);
    assert_eq!(server.count(&held).await, 0);
    let mended = send(server, &who, "k", CREATE, json!({ "name": "Mended" })).await;
    assert_eq!(data(&mended, "accountCreate.account.name"), "Mended");
}

#[tokio::test]
async fn a_crash_between_the_write_and_the_answer_writes_nothing_twice() {
    let server = server().await;
    let who = server.founder().await;
    send(server, &who, "k", CREATE, json!({ "name": "Written" })).await;
    let of = format!("WHERE organization_id = '{}'", who.organization);
    server.sql(&format!("UPDATE idempotency_keys SET answer = NULL {of}")).await;
    let again = send(server, &who, "k", CREATE, json!({ "name": "Written" })).await;
    assert_eq!(code(&again), "CONFLICT");
    assert_eq!(accounts(server, &who).await, 1);
    // Crashed before it wrote: whoever asks five minutes later carries it out.
    server
        .sql(&format!("UPDATE idempotency_keys SET done = false, claimed_at = now() - interval '6 minutes' {of}"))
        .await;
    let taken = send(server, &who, "k", CREATE, json!({ "name": "Written" })).await;
    assert_eq!(data(&taken, "accountCreate.account.name"), "Written");
}

#[tokio::test]
async fn a_key_is_forgotten_after_a_day() {
    let server = server().await;
    let who = server.founder().await;
    send(server, &who, "k", CREATE, json!({ "name": "Old" })).await;
    let of = format!("WHERE organization_id = '{}'", who.organization);
    server.sql(&format!("UPDATE idempotency_keys SET created_at = now() - interval '25 hours' {of}")).await;
    let anew = send(server, &who, "k", CREATE, json!({ "name": "New" })).await;
    assert_eq!(data(&anew, "accountCreate.account.name"), "New");
}
