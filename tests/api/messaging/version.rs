//! Earlier versions of messages: everybody in the conversation sees what was said before, until it is deleted.

use super::{MESSAGE, PARTS, snapshot::Shown, text};
use crate::{
    files::uploaded,
    kit::{data, mirror::keeps_in_step, server, verdict},
};
use serde_json::{Value, json};

#[tokio::test]
async fn an_edit_keeps_what_was_said_and_deleting_forgets_it() {
    let server = server().await;
    let ada = server.founder().await;
    let bob = server.member(&ada, "member", None).await;
    let talk = server.group(&ada, &[&bob]).await;
    let message = server.say(&ada, &talk, "one").await;
    let shown = keeps_in_step::<Shown>(server, &bob, &talk.id, async {
        for body in ["two", "two", "three"] {
            server.change(&ada, "messageEdit", json!({ "id": message["id"], "body": body })).await;
        }
    })
    .await;
    let versions = &shown.messages[text(&message, "id")]["versions"];
    let said: Vec<(i64, &str)> = versions
        .as_array()
        .expect("a list")
        .iter()
        .map(|version| (version["version"].as_i64().expect("a number"), text(version, "body")))
        .collect();
    assert_eq!(said, [(2, "two"), (1, "one")]);
    assert_eq!(versions[1]["writtenAt"], message["createdAt"]);
    let shown = keeps_in_step::<Shown>(server, &bob, &talk.id, async {
        server.change(&ada, "messageDelete", json!({ "id": message["id"] })).await;
    })
    .await;
    assert_eq!(shown.messages[text(&message, "id")]["versions"], json!([]));
    let kept = format!("SELECT count(*) FROM message_versions WHERE organization_id = '{}'", ada.organization);
    assert_eq!(server.count(&kept).await, 0);
}

#[tokio::test]
async fn the_newest_fifty_versions_are_kept() {
    let server = server().await;
    let ada = server.founder().await;
    let talk = server.group(&ada, &[]).await;
    let message = server.say(&ada, &talk, "0").await;
    let id = text(&message, "id");
    server
        .sql(&format!(
            "UPDATE messages SET version = 50, body = '49', edited_at = now() WHERE id = '{id}';
             INSERT INTO message_versions (organization_id, message_id, version, body, written_at)
             SELECT '{}', '{id}', n, n - 1, now() FROM generate_series(1, 49) n",
            ada.organization
        ))
        .await;
    for (body, oldest) in [("50", "0"), ("51", "1"), ("52", "2")] {
        let edited = server.change(&ada, "messageEdit", json!({ "id": id, "body": body })).await;
        let versions: Vec<Value> = data(&edited, "done.message.versions").as_array().expect("a list").clone();
        assert_eq!((versions.len(), text(&versions[49], "body")), (50, oldest));
    }
    // Each message has its own.
    let other = server.say(&ada, &talk, "before").await;
    let edited = server.change(&ada, "messageEdit", json!({ "id": other["id"], "body": "after" })).await;
    assert_eq!(data(&edited, "done.message.versions.0.body"), "before");
}

#[tokio::test]
async fn deleting_a_message_takes_nothing_from_others() {
    let server = server().await;
    let ada = server.founder().await;
    let bob = server.member(&ada, "member", None).await;
    let talk = server.group(&ada, &[&bob]).await;
    let mut messages = Vec::new();
    for name in ["one.txt", "two.txt"] {
        let file = uploaded(server, &ada, name, b"what is in it", "text/plain").await.0;
        let input = json!({ "conversationId": talk.id, "body": name, "fileIds": [file] });
        let message = data(&server.send(&ada, input).await, "messageSend.message").clone();
        for (mutation, input) in [
            ("messageEdit", json!({ "id": message["id"], "body": "<@channel>, look" })),
            ("reactionAdd", json!({ "messageId": message["id"], "emoji": "🎉" })),
            ("messagePin", json!({ "id": message["id"] })),
        ] {
            assert_eq!(verdict(&server.change(&ada, mutation, input).await), "done", "{mutation}");
        }
        messages.push(message);
    }
    let seen = async |message: &Value| {
        let query = format!(
            "query($id: ID!) {{ node(id: $id) {{ ... on Message {{ {MESSAGE} {PARTS} mentions {{ totalCount }} }} }} }}"
        );
        data(&server.graphql(&query, json!({ "id": message["id"] }), Some(&bob)).await, "node").clone()
    };
    let before = seen(&messages[1]).await;
    let has = json!([before["versions"][0]["body"], before["reactions"][0]["count"], before["mentions"]["totalCount"]]);
    assert_eq!(has, json!(["two.txt", 1, 1]));
    assert!(before["attachments"]["nodes"][0].is_object() && before["pinnedAt"].is_string(), "{before}");
    let deleted = server.change(&ada, "messageDelete", json!({ "id": messages[0]["id"] })).await;
    assert_eq!(verdict(&deleted), "done");
    assert_eq!(seen(&messages[1]).await, before);
}
