//! Files of others: who may delete all finds what belongs to nothing and reads none of it; what members leave who are gone goes
//! by itself.

use crate::{
    files::{fetch, kept, run, uploaded},
    kit::{self, Founder, Server, code, data, database, user_errors},
};
use reqwest::StatusCode;
use serde_json::{Value, json};
use stoa::{files::PurgeUploads, platform::jobs::Run};

const TEN: &[u8] = b"0123456789";

/// What somebody sees of the files that a member has uploaded: names and sizes, and which of them open.
async fn seen(server: &Server, who: &Founder, of: &Founder) -> Vec<(String, bool)> {
    let query = "query($of: ID!) { files(filter: { creator: { id: { eq: $of } } }) { nodes { name size url creator { id } } } }";
    let answer = server.graphql(query, json!({ "of": of.member }), Some(who)).await;
    let nodes = data(&answer, "files.nodes").as_array().expect("a list");
    let told = nodes.iter().map(|file| {
        assert_eq!((&file["size"], &file["creator"]["id"]), (&json!(TEN.len()), &json!(of.member)), "{file}");
        (file["name"].as_str().expect("a name").to_owned(), !file["url"].is_null())
    });
    told.collect()
}

/// A file of that name that a message brings along; it and the message.
async fn sent(server: &Server, who: &Founder, talk: &str, name: &str) -> (Value, Value) {
    let (file, _) = uploaded(server, who, name, TEN, "text/plain").await;
    let answer = server.send(who, json!({ "conversationId": talk, "fileIds": [file] })).await;
    (file, data(&answer, "messageSend.message.id").clone())
}

#[tokio::test]
async fn who_may_delete_all_finds_what_belongs_to_nothing_and_reads_none_of_it() {
    let server = kit::server().await;
    let ada = server.founder().await;
    let (bob, cy) = (server.member(&ada, "member", None).await, server.member(&ada, "admin", None).await);
    let dan = server.member(&ada, "manager", None).await;
    let talk = server.group(&bob, &[&dan]).await;
    let (loose, url) = uploaded(server, &bob, "loose.txt", TEN, "text/plain").await;
    let (attached, _) = sent(server, &bob, &talk.id, "attached.txt").await;
    let file = |name: &str, opens| (name.to_owned(), opens);
    assert_eq!(seen(server, &dan, &bob).await, [file("attached.txt", true)]);
    for admin in [&ada, &cy] {
        assert_eq!(
            seen(server, admin, &bob).await,
            [file("loose.txt", false)],
            "a conversation of others stays closed"
        );
    }
    // Who is let in reads on, and finds no more than before of the rest.
    let let_in = json!({ "conversationId": talk.id, "memberId": cy.member });
    assert_eq!(user_errors(&server.participant(&bob, "participantAdd", let_in).await, "participantAdd"), [""; 0]);
    assert_eq!(seen(server, &cy, &bob).await, [file("attached.txt", true), file("loose.txt", false)]);

    assert_eq!(user_errors(&run(server, &dan, "fileDelete", &loose).await, "done"), ["id NOT_FOUND"]);
    assert_eq!(code(&run(server, &dan, "fileDelete", &attached).await), "FORBIDDEN");
    assert_eq!(code(&run(server, &cy, "uploadComplete", &loose).await), "FORBIDDEN");
    assert_eq!(user_errors(&run(server, &cy, "fileDelete", &attached).await, "done"), ["id IN_USE"]);
    let gone = run(server, &cy, "fileDelete", &loose).await;
    assert_eq!((user_errors(&gone, "done"), data(&gone, "done.file.url")), (Vec::new(), &Value::Null));
    assert_eq!(fetch(&url, &[]).await.status(), StatusCode::NOT_FOUND);
    let query = "{ auditEvents(filter: { entity: { eq: \"File\" }, action: { eq: \"deleted\" } }) { nodes { entityId actorId } } }";
    let told = server.graphql(query, json!({}), Some(&ada)).await;
    assert_eq!(data(&told, "auditEvents.nodes"), &json!([{ "entityId": loose, "actorId": cy.member }]));
}

#[tokio::test]
async fn what_removed_members_leave_goes_save_for_what_belongs_to_something() {
    // Files of other tests are none of its business.
    let server = Server::on(&database("files_left", "postgres").await, |_| ()).await;
    let ada = server.founder().await;
    let (bob, dan) = (server.member(&ada, "member", None).await, server.member(&ada, "member", None).await);
    let talk = server.group(&ada, &[&bob]).await;
    let (loose, _) = uploaded(&server, &bob, "loose.txt", TEN, "text/plain").await;
    let (_, message) = sent(&server, &bob, &talk.id, "attached.txt").await;
    uploaded(&server, &dan, "dans.txt", TEN, "text/plain").await;
    let remove = "mutation($id: ID!) { done: memberRemove(input: { id: $id }) { userErrors { field code } } }";
    let removed = server.graphql(remove, json!({ "id": bob.member }), Some(&ada)).await;
    assert_eq!(user_errors(&removed, "done"), [""; 0]);
    let rows = format!("SELECT count(*) FROM files WHERE organization_id = '{}'", ada.organization);
    let left = async || {
        PurgeUploads {}.run(&server.app).await.unwrap();
        let rows = usize::try_from(server.count(&rows).await).unwrap();
        assert_eq!(rows, kept(&server.app, ada.organization).len(), "the content goes with the row");
        rows
    };
    assert_eq!(left().await, 3, "they may be invited again");
    assert_eq!(seen(&server, &ada, &bob).await.len(), 2);
    // The removal itself counts, and not what has changed of them since. The log refuses this to everybody who does not switch its
    // triggers off.
    let long_ago = format!(
        "SET session_replication_role = replica;
         UPDATE events SET at = at - interval '31 days' WHERE kind = 'removed' AND organization_id = '{}'",
        ada.organization
    );
    server.sql(&long_ago).await;
    assert_eq!(left().await, 2);
    let query = "{ auditEvents(filter: { action: { eq: \"purged\" } }) { nodes { entityId actorKind } } }";
    let told = server.graphql(query, json!({}), Some(&ada)).await;
    assert_eq!(data(&told, "auditEvents.nodes"), &json!([{ "entityId": loose, "actorKind": "SYSTEM" }]));
    // With the message the rest goes.
    let deleted = server.change(&ada, "messageDelete", json!({ "id": message })).await;
    assert_eq!(user_errors(&deleted, "done"), [""; 0]);
    assert_eq!(left().await, 1);
    assert_eq!(seen(&server, &ada, &dan).await.len(), 1, "who is here keeps theirs");
    server.stop().await;
}
