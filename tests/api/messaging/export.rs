//! A conversation as a file: whole, in order, in both forms, for whoever is in it and no longer.

use super::{Talk, text};
use crate::{
    files::uploaded,
    kit::{Founder, Server, data, server, user_errors},
};
use reqwest::{Client, Response, StatusCode};
use serde_json::{Value, json};

async fn ask(server: &Server, token: &str, talk: &str, format: &str) -> Value {
    let query = "mutation($input: ConversationExportInput!) { done: conversationExport(input: $input) {
        url expiresAt userErrors { field code } } }";
    server.graphql(query, json!({ "input": { "conversationId": talk, "format": format } }), Some(token)).await
}

async fn url(server: &Server, token: &str, talk: &str, format: &str) -> String {
    let answer = ask(server, token, talk, format).await;
    assert_eq!(user_errors(&answer, "done"), [""; 0], "{answer}");
    format!("{}{}", server.url(), data(&answer, "done.url").as_str().unwrap())
}

async fn fetch(url: &str) -> Response {
    Client::new().get(url).send().await.unwrap()
}

async fn pair(server: &Server) -> (Founder, Founder, Talk) {
    let ada = server.founder().await;
    let bob = server.member(&ada, "member", None).await;
    let talk = server.group(&ada, &[&bob]).await;
    (ada, bob, talk)
}

#[tokio::test]
async fn all_that_was_said_is_in_the_file_with_what_belongs_to_it() {
    let server = server().await;
    let (ada, bob, talk) = pair(server).await;
    let root = server.say(&ada, &talk, "First").await;
    let reply = server.reply(&bob, &talk, &root, "=1+1").await;
    let (file, _) = uploaded(server, &ada, "plan.txt", b"a plan", "text/plain").await;
    server.send(&ada, json!({ "conversationId": talk.id, "fileIds": [file] })).await;
    let gone = server.say(&bob, &talk, "Forget it").await;
    server.change(&bob, "messageDelete", json!({ "id": gone["id"] })).await;
    server.change(&ada, "messageEdit", json!({ "id": root["id"], "body": "First, in better words" })).await;
    server.change(&bob, "reactionAdd", json!({ "messageId": root["id"], "emoji": "👍" })).await;
    for n in 0..210 {
        server.say(&ada, &talk, &format!("m{n}")).await;
    }
    server.archive(&talk).await;

    let fetched = fetch(&url(server, &bob, &talk.id, "JSON_LINES").await).await;
    assert_eq!(fetched.status(), StatusCode::OK);
    let name = fetched.headers()["content-disposition"].to_str().unwrap().to_owned();
    assert!(name.starts_with("attachment; filename=\"conversation-") && name.contains(".jsonl\""), "{name}");
    let said = fetched.text().await.unwrap();
    let lines: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let numbers: Vec<i64> = lines.iter().map(|line| line["seq"].as_i64().unwrap()).collect();
    assert_eq!(numbers, (1..=214).collect::<Vec<_>>());
    assert_eq!(
        (&lines[0]["id"], &lines[0]["body"], &lines[0]["senderName"]),
        (&root["id"], &json!("First, in better words"), &json!("Ada Founder"))
    );
    assert_eq!(lines[0]["at"], root["createdAt"]);
    assert_eq!((&lines[0]["versions"][0]["body"], &lines[0]["replyCount"]), (&json!("First"), &json!(1)));
    assert_eq!(lines[0]["reactions"][0]["count"], 1);
    assert_eq!(lines[0]["reactions"][0]["members"].as_array().unwrap().len(), 1);
    assert_eq!(
        (&lines[1]["threadRootSeq"], &lines[1]["threadRootId"], &lines[1]["id"]),
        (&json!(1), &root["id"], &reply["id"])
    );
    let attached = &lines[2]["attachments"][0];
    assert_eq!(
        (&attached["name"], &attached["contentType"], &attached["size"]),
        (&json!("plan.txt"), &json!("text/plain"), &json!(6))
    );
    let content = fetch(&format!("{}{}", server.url(), text(attached, "url"))).await;
    assert_eq!(content.text().await.unwrap(), "a plan");
    assert!(lines[3]["body"].is_null() && !lines[3]["deletedAt"].is_null());
    assert_eq!(lines[213]["body"], "m209");

    let table = fetch(&url(server, &ada, &talk.id, "CSV").await).await.text().await.unwrap();
    let rows: Vec<&str> = table.split("\r\n").collect();
    assert_eq!(rows.len(), 216);
    assert!(rows[0].starts_with("seq,id,at,senderId,senderName,body,"), "{}", rows[0]);
    assert!(rows[2].contains(",'=1+1,") && rows[1].contains("👍 1"), "{} {}", rows[1], rows[2]);

    let query = "{ auditEvents(first: 1, filter: { action: { eq: \"conversation_exported\" } }) { nodes { actorId changes { field new } } } }";
    let told = server.graphql(query, json!({}), Some(&ada)).await;
    assert_eq!(data(&told, "auditEvents.nodes.0.actorId"), &json!(ada.member));
    let changes = data(&told, "auditEvents.nodes.0.changes").as_array().unwrap();
    let told = |field: &str| changes.iter().find(|change| change["field"] == json!(field)).map(|change| &change["new"]);
    assert_eq!((told("conversationId"), told("format")), (Some(&json!(talk.id)), Some(&json!("csv"))));
}

#[tokio::test]
async fn only_who_is_in_it_gets_a_file_and_no_longer() {
    let server = server().await;
    let (ada, bob, talk) = pair(server).await;
    let eve = server.member(&ada, "admin", None).await;
    let stranger = server.founder().await;
    server.say(&ada, &talk, "Between us").await;
    for other in [&eve, &stranger] {
        let answer = ask(server, other, &talk.id, "CSV").await;
        assert_eq!(user_errors(&answer, "done"), ["conversationId NOT_FOUND"], "{answer}");
    }
    let theirs = url(server, &bob, &talk.id, "JSON_LINES").await;
    let (path, query) = theirs.strip_prefix(server.url()).unwrap().split_once('?').unwrap();
    for wrong in [
        theirs.replace(&ada.organization.to_string(), &stranger.organization.to_string()),
        theirs.replace("/files/conversations/", "/files/exports/"),
        theirs.replace(query, &query.replace("expires=", "expires=1")),
        format!("{}{path}", server.url()),
    ] {
        assert_eq!(fetch(&wrong).await.status(), StatusCode::FORBIDDEN, "{wrong}");
    }
    // Signed by us, and yet sealed for something else.
    let elsewhere = path.replace("/files/conversations/", "/files/exports/");
    let signed = format!("{}{}", server.url(), server.app.urls.url("GET", &elsewhere, 4_000_000_000));
    assert_eq!(fetch(&signed).await.status(), StatusCode::GONE);
    assert_eq!(fetch(&theirs).await.status(), StatusCode::OK);
    let removed = server
        .participant(&ada, "participantRemove", json!({ "conversationId": talk.id, "memberId": bob.member }))
        .await;
    assert_eq!(user_errors(&removed, "participantRemove"), [""; 0]);
    assert_eq!(fetch(&theirs).await.status(), StatusCode::FORBIDDEN);
    server.sql(&format!("UPDATE sessions SET revoked_at = now() WHERE member_id = '{}'", bob.member)).await;
    server.forget();
    assert_eq!(fetch(&theirs).await.status(), StatusCode::UNAUTHORIZED);
}
