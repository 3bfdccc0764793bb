//! Messages: sent once however often, numbered without a gap, edited and deleted by whom it becomes.

use super::{MESSAGE, live::Feed, text};
use crate::kit::{Founder, code, data, server, user_errors};
use futures_util::future::join_all;
use serde_json::{Value, json};
use std::collections::HashSet;
use uuid::Uuid;

async fn edit(by: &Founder, input: Value) -> Value {
    let query = format!(
        "mutation($input: MessageEditInput!) {{ messageEdit(input: $input) {{
            message {{ {MESSAGE} }} userErrors {{ field code }} }} }}"
    );
    server().await.graphql(&query, json!({ "input": input }), Some(by)).await
}

async fn delete(by: &Founder, id: &Value) -> Value {
    let query = format!(
        "mutation($id: ID!) {{ messageDelete(input: {{ id: $id }}) {{
            message {{ {MESSAGE} }} userErrors {{ field code }} }} }}"
    );
    server().await.graphql(&query, json!({ "id": id }), Some(by)).await
}

/// Neither by the log nor from a node's memory.
#[tokio::test]
async fn what_a_deleted_message_said_is_told_to_nobody_who_comes_later() {
    let server = server().await;
    let ada = server.founder().await;
    let bob = server.member(&ada, "member", None).await;
    let talk = server.group(&ada, &[&bob]).await;
    let until_deleted = async |feed: &mut Feed| {
        let mut told = vec![feed.next().await];
        while told.last().is_some_and(|event| event["__typename"] != "MessageDeleted") {
            told.push(feed.next().await);
        }
        told
    };
    // Somebody watches all the time, so that the node has the newest events in memory.
    let mut watching = server.follow(&bob, &talk.id, Some(&talk.cursor)).await;
    let message = server.say(&ada, &talk, "zqsecret").await;
    edit(&ada, json!({ "id": message["id"], "body": "zqsecret indeed" })).await;
    server.change(&ada, "messagePin", json!({ "id": message["id"] })).await;
    let other = server.say(&ada, &talk, "something else").await;
    delete(&ada, &message["id"]).await;
    let live = until_deleted(&mut watching).await;
    let late = until_deleted(&mut server.follow(&bob, &talk.id, Some(&talk.cursor)).await).await;
    let said = |told: &[Value]| told.iter().map(|event| event["message"]["body"].clone()).collect::<Vec<_>>();
    assert_eq!(said(&live)[..3], ["zqsecret", "zqsecret indeed", "zqsecret indeed"]);
    assert_eq!(said(&late), [Value::Null, Value::Null, Value::Null, other["body"].clone(), Value::Null]);
    let what = |told: &[Value]| told.iter().map(|event| event["cursor"].clone()).collect::<Vec<_>>();
    assert_eq!(what(&late), what(&live), "no hole");
    let left =
        format!("SELECT count(*) FROM events WHERE stream_id = '{}' AND payload::text LIKE '%zqsecret%'", talk.id);
    assert_eq!(server.count(&left).await, 0);
}

#[tokio::test]
async fn the_same_key_is_the_same_message() {
    let server = server().await;
    let ada = server.founder().await;
    let bob = server.member(&ada, "member", None).await;
    let talk = server.group(&ada, &[&bob]).await;
    let input = json!({ "conversationId": talk.id, "body": "once", "clientId": "k-1" });
    let answers = join_all((0..20).map(|_| server.send(&ada, input.clone()))).await;
    let messages: HashSet<_> = answers.iter().map(|answer| data(answer, "messageSend.message").to_string()).collect();
    assert_eq!(messages.len(), 1, "{messages:?}");
    let other_text = json!({ "conversationId": talk.id, "body": "something else", "clientId": "k-1" });
    assert_eq!(data(&server.send(&ada, other_text).await, "messageSend.message")["body"], "once");
    assert_eq!(server.say(&ada, &talk, "next").await["seq"], 2, "no number was lost");
    assert_eq!(
        data(&server.send(&bob, input.clone()).await, "messageSend.message")["seq"],
        3,
        "keys are the sender's own"
    );
    let elsewhere = server.group(&ada, &[]).await;
    let there = server.send(&ada, json!({ "conversationId": elsewhere.id, "body": "once", "clientId": "k-1" })).await;
    assert_eq!(user_errors(&there, "messageSend"), ["clientId NOT_UNIQUE"]);
    data(
        &server.participant(&bob, "conversationLeave", json!({ "id": talk.id })).await,
        "conversationLeave.participant",
    );
    assert_eq!(
        user_errors(&server.send(&bob, input).await, "messageSend"),
        ["conversationId NOT_FOUND"],
        "left is left"
    );
}

#[tokio::test]
async fn writers_at_once_are_numbered_without_a_gap_and_in_time() {
    let server = server().await;
    let ada = server.founder().await;
    let bob = server.member(&ada, "member", None).await;
    let talk = server.group(&ada, &[&bob]).await;
    join_all((0..8).map(async |writer| {
        for number in 0..10 {
            let by = if writer % 2 == 0 { &ada } else { &bob };
            server.say(by, &talk, &format!("{writer}.{number}")).await;
        }
    }))
    .await;
    assert_eq!(server.numbers(&ada, &talk).await, (1..=80).collect::<Vec<_>>());
    let disorder = format!(
        "SELECT count(*) FROM messages a JOIN messages b USING (conversation_id)
         WHERE conversation_id = '{}' AND a.seq < b.seq AND a.created_at > b.created_at",
        talk.id
    );
    assert_eq!(server.count(&disorder).await, 0, "who is later in number is not earlier in time");
    let row = format!(
        "SELECT count(*) FROM conversations c WHERE id = '{}' AND last_seq = 80 AND version = 1 AND last_message_at =
        (SELECT max(created_at) FROM messages WHERE conversation_id = c.id)",
        talk.id
    );
    assert_eq!(server.count(&row).await, 1);
}

#[tokio::test]
async fn what_cannot_be_sent_is_told() {
    let server = server().await;
    let (ada, stranger) = (server.founder().await, server.founder().await);
    let bob = server.member(&ada, "member", None).await;
    let talk = server.group(&ada, &[]).await;
    let theirs = server.group(&stranger, &[]).await;
    for (body, fault) in [
        ("", "body REQUIRED"),
        (" \n ", "body REQUIRED"),
        ("nul \u{0} here", "body INVALID"),
        ("bell \u{7} here", "body INVALID"),
        (&"é".repeat(40_001), "body TOO_LONG"),
    ] {
        let answer = server.send(&ada, json!({ "conversationId": talk.id, "body": body })).await;
        assert_eq!(user_errors(&answer, "messageSend"), [fault]);
    }
    for key in ["", "nul \u{0}", &"k".repeat(101)] {
        let answer = server.send(&ada, json!({ "conversationId": talk.id, "body": "x", "clientId": key })).await;
        assert_eq!(user_errors(&answer, "messageSend"), ["clientId INVALID"]);
    }
    let longest = "é".repeat(40_000);
    let lines = "  two\n\tlines  ";
    assert_eq!(server.say(&ada, &talk, &longest).await["body"], json!(longest));
    assert_eq!(server.say(&ada, &talk, lines).await["body"], "two\n\tlines");
    for (by, id) in
        [(&ada, json!(Uuid::now_v7())), (&ada, json!(theirs.id)), (&bob, json!(talk.id)), (&stranger, json!(talk.id))]
    {
        let answer = server.send(by, json!({ "conversationId": id, "body": "hello", "clientId": "k" })).await;
        assert_eq!(user_errors(&answer, "messageSend"), ["conversationId NOT_FOUND"]);
    }
    let answer = server.send(&ada, json!({ "conversationId": "no id", "body": "hello" })).await;
    assert_eq!(code(&answer), "BAD_USER_INPUT");
    assert_eq!(server.numbers(&ada, &talk).await, [1, 2], "nothing else was stored");
}

#[tokio::test]
async fn messages_are_paged_in_both_directions() {
    let server = server().await;
    let ada = server.founder().await;
    let talk = server.group(&ada, &[]).await;
    for number in 1..=7 {
        server.say(&ada, &talk, &format!("number {number}")).await;
    }
    let page = async |arguments: &str, cursor: &Value| {
        let variable = if cursor.is_null() { "" } else { ", $at: String" };
        let query = format!(
            "query($id: ID!{variable}) {{ conversation(id: $id) {{ messages({arguments}) {{
                nodes {{ seq }} pageInfo {{ startCursor endCursor hasNextPage hasPreviousPage }} }} }} }}"
        );
        let answer = server.graphql(&query, json!({ "id": talk.id, "at": cursor }), Some(&ada)).await;
        let page = data(&answer, "conversation.messages").clone();
        let seqs: Vec<i64> =
            page["nodes"].as_array().expect("nodes").iter().filter_map(|node| node["seq"].as_i64()).collect();
        (seqs, page["pageInfo"].clone())
    };
    let (newest, info) = page("first: 3", &Value::Null).await;
    assert_eq!((newest, &info["hasNextPage"]), (vec![7, 6, 5], &json!(true)), "the newest first");
    let (older, info) = page("first: 3, after: $at", &info["endCursor"]).await;
    assert_eq!((older, &info["hasNextPage"]), (vec![4, 3, 2], &json!(true)));
    let (back, info) = page("last: 2, before: $at", &info["startCursor"]).await;
    assert_eq!((back, &info["hasPreviousPage"]), (vec![6, 5], &json!(true)));
    let (oldest, info) = page("first: 4, orderBy: [{ field: SEQ }]", &Value::Null).await;
    assert_eq!(oldest, [1, 2, 3, 4]);
    assert_eq!(page("first: 4, after: $at, orderBy: [{ field: SEQ }]", &info["endCursor"]).await.0, [5, 6, 7]);
}

#[tokio::test]
async fn a_message_is_edited_by_its_sender_only() {
    let server = server().await;
    let ada = server.founder().await;
    let (bob, eve) = (server.member(&ada, "member", None).await, server.member(&ada, "admin", None).await);
    let talk = server.group(&ada, &[&bob]).await;
    let id = server.say(&bob, &talk, "helo").await["id"].clone();
    assert_eq!(code(&edit(&ada, json!({ "id": id, "body": "mine" })).await), "FORBIDDEN", "not even an owner");
    let unknown = edit(&eve, json!({ "id": id, "body": "mine" })).await;
    assert_eq!(user_errors(&unknown, "messageEdit"), ["id NOT_FOUND"], "whoever is not in it does not know it");
    let edited = edit(&bob, json!({ "id": id, "body": " hello ", "expectedVersion": 1 })).await;
    let message = data(&edited, "messageEdit.message");
    assert_eq!((&message["body"], &message["version"], &message["seq"]), (&json!("hello"), &json!(2), &json!(1)));
    assert_eq!(message["editedAt"], message["updatedAt"]);
    let late = edit(&bob, json!({ "id": id, "body": "hallo", "expectedVersion": 1 })).await;
    assert_eq!(user_errors(&late, "messageEdit"), ["expectedVersion CONFLICT"]);
    assert_eq!(data(&late, "messageEdit.message")["body"], "hello", "and shows how it stands");
    let same = edit(&bob, json!({ "id": id, "body": "hello" })).await;
    assert_eq!(data(&same, "messageEdit.message")["version"], 2, "a change of nothing is none");
    assert_eq!(user_errors(&edit(&bob, json!({ "id": id, "body": "" })).await, "messageEdit"), ["body REQUIRED"]);
    data(
        &server.participant(&bob, "conversationLeave", json!({ "id": talk.id })).await,
        "conversationLeave.participant",
    );
    let gone = edit(&bob, json!({ "id": id, "body": "again" })).await;
    assert_eq!(user_errors(&gone, "messageEdit"), ["id NOT_FOUND"]);
}

#[tokio::test]
async fn a_message_is_deleted_by_its_sender_and_by_moderators_and_keeps_its_place() {
    let server = server().await;
    let ada = server.founder().await;
    let (bob, eve) = (server.member(&ada, "member", None).await, server.member(&ada, "member", None).await);
    let talk = server.group(&ada, &[&bob, &eve]).await;
    let mut ids = Vec::new();
    for body in ["one", "two", "three"] {
        ids.push(server.say(&bob, &talk, body).await["id"].clone());
    }
    assert_eq!(code(&delete(&eve, &ids[0]).await), "FORBIDDEN");
    let own = delete(&bob, &ids[0]).await;
    let left = data(&own, "messageDelete.message");
    assert_eq!((&left["body"], &left["seq"], &left["version"]), (&Value::Null, &json!(1), &json!(2)));
    assert!(!text(left, "deletedAt").is_empty());
    assert_eq!(*data(&delete(&bob, &ids[0]).await, "messageDelete.message"), *left, "again changes nothing");
    let input = json!({ "conversationId": talk.id, "memberId": eve.member, "role": "MODERATOR" });
    data(&server.participant(&ada, "participantUpdate", input).await, "participantUpdate.participant");
    for (by, id) in [(&eve, &ids[1]), (&ada, &ids[2])] {
        assert_eq!(data(&delete(by, id).await, "messageDelete.message")["body"], Value::Null);
    }
    let of_deleted = edit(&bob, json!({ "id": ids[1], "body": "back" })).await;
    assert_eq!(user_errors(&of_deleted, "messageEdit"), ["id STATE_INVALID"]);
    assert_eq!(user_errors(&delete(&bob, &json!(Uuid::now_v7())).await, "messageDelete"), ["id NOT_FOUND"]);
    assert_eq!(server.numbers(&bob, &talk).await, [1, 2, 3]);
}
