//! Attachments: a message brings files along for those who may read it, as long as it stands there.

use super::{Talk, snapshot::Shown};
use crate::{
    files::{PNG, begun, fetch, input, run, uploaded},
    kit::{Founder, Server, data, mirror::keeps_in_step, server, user_errors},
};
use futures_util::future::{join, join_all};
use serde_json::{Value, json};

/// A file of a member's.
async fn file(server: &Server, who: &Founder, name: &str) -> Value {
    uploaded(server, &who.token, name, b"what is in it", "text/plain").await.0
}

/// The answer to a message with files.
async fn bring(server: &Server, who: &Founder, talk: &Talk, body: Option<&str>, files: &[&Value]) -> Value {
    server.send(who, json!({ "conversationId": talk.id, "body": body, "fileIds": files })).await
}

/// The files that somebody sees at a message: name and URL.
async fn seen(server: &Server, who: &Founder, message: &Value) -> Vec<(String, String)> {
    let query = "query($id: ID!) { node(id: $id) { ... on Message { attachments { nodes { file { name url } } } } } }";
    let answer = server.graphql(query, json!({ "id": message["id"] }), Some(who)).await;
    let nodes = answer["data"]["node"]["attachments"]["nodes"].as_array().cloned().unwrap_or_default();
    let text = |node: &Value, field: &str| node["file"][field].as_str().expect("text").to_owned();
    nodes.iter().map(|node| (text(node, "name"), format!("{}{}", server.url(), text(node, "url")))).collect()
}

async fn may_see(server: &Server, who: &Founder, file: &Value) -> bool {
    let query = "query($id: ID!) { file(id: $id) { name } node(id: $id) { id } files { nodes { id } } }";
    let answer = server.graphql(query, json!({ "id": file }), Some(who)).await;
    let seen = !answer["data"]["file"].is_null();
    assert_eq!(seen, !answer["data"]["node"].is_null(), "{answer}");
    let listed = answer["data"]["files"]["nodes"].as_array().expect("a list").iter().any(|one| one["id"] == *file);
    assert_eq!(seen, listed, "{answer}");
    seen
}

#[tokio::test]
async fn who_reads_the_message_reads_its_files_as_long_as_it_stands_there() {
    let server = server().await;
    let ada = server.founder().await;
    let (bob, eve) = (server.member(&ada, "member", None).await, server.member(&ada, "member", None).await);
    let talk = server.group(&ada, &[&bob]).await;
    let names = ["z.txt", "a.txt", "m.txt"];
    let files: Vec<Value> = join_all(names.map(|name| file(server, &ada, name))).await;
    assert!(!may_see(server, &bob, &files[0]).await, "it belongs to nothing yet");
    let shown = keeps_in_step::<Shown>(server, &bob, &talk.id, async {
        let answer = bring(server, &ada, &talk, None, &files.iter().collect::<Vec<_>>()).await;
        assert_eq!(data(&answer, "messageSend.message")["body"], "", "{answer}");
    })
    .await;
    let message = shown.messages.values().next().expect("a message");
    let at_bobs = seen(server, &bob, message).await;
    assert_eq!(at_bobs.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), names, "in the order given");
    assert_eq!(fetch(&at_bobs[1].1, &[]).await.text().await.expect("a text"), "what is in it");
    assert!(may_see(server, &bob, &files[0]).await);
    // Somebody else of the organization, even its owner's colleague, sees neither.
    assert!(!may_see(server, &eve, &files[0]).await && seen(server, &eve, message).await.is_empty());
    // It is in use, and whoever joins later reads it.
    let refused = run(server, &ada.token, "fileDelete", &files[0]).await;
    assert_eq!(user_errors(&refused, "done"), ["id IN_USE"], "{refused}");
    let refused = run(server, &bob.token, "fileDelete", &files[0]).await;
    assert_eq!(refused["errors"][0]["extensions"]["code"], "FORBIDDEN", "{refused}");
    server.participant(&ada, "participantAdd", json!({ "conversationId": talk.id, "memberId": eve.member })).await;
    assert!(may_see(server, &eve, &files[0]).await);
    server.participant(&ada, "participantRemove", json!({ "conversationId": talk.id, "memberId": eve.member })).await;
    assert!(!may_see(server, &eve, &files[0]).await, "who has left reads no more");
    // Deleting takes it from the others; who uploaded it keeps it.
    keeps_in_step::<Shown>(server, &bob, &talk.id, async {
        server.change(&ada, "messageDelete", json!({ "id": message["id"] })).await;
    })
    .await;
    assert!(!may_see(server, &bob, &files[0]).await && may_see(server, &ada, &files[0]).await);
    let gone = run(server, &ada.token, "fileDelete", &files[0]).await;
    assert_eq!(user_errors(&gone, "done"), [""; 0], "{gone}");
}

#[tokio::test]
async fn messages_with_files_are_found_by_them() {
    let server = server().await;
    let ada = server.founder().await;
    let (talk, other) = (server.group(&ada, &[]).await, server.group(&ada, &[]).await);
    let (note, picture) =
        (file(server, &ada, "note.txt").await, uploaded(server, &ada.token, "p.png", PNG, "image/png").await.0);
    bring(server, &ada, &talk, Some("a note"), &[&note]).await;
    server.say(&ada, &talk, "nothing").await;
    // The same file may come along elsewhere.
    bring(server, &ada, &talk, Some("both"), &[&picture, &note]).await;
    bring(server, &ada, &other, Some("elsewhere"), &[&picture]).await;
    let query = "query($id: ID!) { conversation(id: $id) {
          some: messages(filter: { attachments: { some: {} } }) { nodes { body } }
          none: messages(filter: { attachments: { none: {} } }) { nodes { body } }
          pictures: messages(filter: { attachments: { some: { file: { contentType: { startsWith: \"image/\" } } } } }) { nodes { body } } }
        all: messageAttachments(filter: { conversationId: { eq: $id } }) { totalCount nodes { message { body } file { id } } } }";
    let answer = server.graphql(query, json!({ "id": talk.id }), Some(&ada)).await;
    let bodies = |path: &str| {
        let nodes = data(&answer, &format!("conversation.{path}.nodes")).as_array().expect("a list").clone();
        nodes.iter().map(|node| node["body"].as_str().expect("text").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(bodies("some"), ["both", "a note"]);
    assert_eq!(bodies("none"), ["nothing"]);
    assert_eq!(bodies("pictures"), ["both"]);
    assert_eq!(data(&answer, "all.totalCount"), 3, "{answer}");
    assert_eq!(data(&answer, "all.nodes")[0], json!({ "message": { "body": "both" }, "file": { "id": picture } }));
}

#[tokio::test]
async fn what_cannot_be_attached_is_told_and_nothing_is_sent() {
    let server = server().await;
    let (ada, stranger) = (server.founder().await, server.founder().await);
    let bob = server.member(&ada, "member", None).await;
    let talk = server.group(&ada, &[&bob]).await;
    let own = file(server, &ada, "own.txt").await;
    let pending = begun(server, &ada.token, input("pending.txt", b"x", "text/plain")).await.id;
    let (bobs, foreign) = (file(server, &bob, "bobs.txt").await, file(server, &stranger, "foreign.txt").await);
    let none = json!("0195c7a0-0000-7000-8000-000000000000");
    for (files, expected) in [
        (vec![&own, &pending], vec!["fileIds.1 STATE_INVALID"]),
        (
            vec![&bobs, &own, &foreign, &none],
            ["0", "2", "3"].map(|at| format!("fileIds.{at} NOT_FOUND").leak() as &str).into(),
        ),
        (vec![&own, &own], vec!["fileIds.1 NOT_UNIQUE"]),
        (vec![&own; 11], vec!["fileIds TOO_LONG"]),
        (vec![], vec!["body REQUIRED"]),
    ] {
        let answer = bring(server, &ada, &talk, None, &files).await;
        assert_eq!(user_errors(&answer, "messageSend"), expected, "{answer}");
        assert!(data(&answer, "messageSend.message").is_null());
    }
    assert!(server.numbers(&ada, &talk).await.is_empty());
    // What Bob may read by the message is still not his to bring along.
    bring(server, &ada, &talk, None, &[&own]).await;
    let answer = bring(server, &bob, &talk, Some("mine now"), &[&own]).await;
    assert_eq!(user_errors(&answer, "messageSend"), ["fileIds.0 NOT_FOUND"], "{answer}");
    // An edit may leave the files alone, but not nothing at all.
    let alone = data(&bring(server, &ada, &talk, Some("look"), &[&own]).await, "messageSend.message").clone();
    let edited = server.change(&ada, "messageEdit", json!({ "id": alone["id"], "body": "" })).await;
    assert_eq!(data(&edited, "done.message")["body"], "", "{edited}");
    let said = server.say(&ada, &talk, "look").await;
    let refused = server.change(&ada, "messageEdit", json!({ "id": said["id"], "body": " " })).await;
    assert_eq!(user_errors(&refused, "done"), ["body REQUIRED"], "{refused}");
}

#[tokio::test]
async fn a_file_is_attached_or_deleted_and_never_both() {
    let server = server().await;
    let ada = server.founder().await;
    let talk = server.group(&ada, &[]).await;
    join_all((0..10).map(async |number| {
        let file = file(server, &ada, &format!("{number}.txt")).await;
        let files = [&file];
        let sent = bring(server, &ada, &talk, Some("look"), &files);
        let (sent, deleted) = join(sent, run(server, &ada.token, "fileDelete", &file)).await;
        let (sent, deleted) = (user_errors(&sent, "messageSend"), user_errors(&deleted, "done"));
        let attached = sent.is_empty() && deleted == ["id IN_USE"];
        assert!(attached || sent == ["fileIds.0 NOT_FOUND"] && deleted.is_empty(), "{sent:?} {deleted:?}");
    }))
    .await;
}
