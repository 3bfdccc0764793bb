//! A conversation as a file: whole, in order, in both forms, for whoever is in it and no longer.

use super::{Talk, text};
use crate::{
    api_keys::make,
    audit_export,
    files::uploaded,
    kit::{Founder, Server, data, mail::until, server, user_errors},
};
use reqwest::{Client, Response, StatusCode};
use serde_json::{Value, json};
use std::time::Duration;
use stoa::{
    identity::authenticate,
    kit::{
        export::{Export, Format},
        scope::RequestInfo,
    },
    messaging::export::ConversationExport,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{sleep, timeout},
};

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
    let (annex, _) = uploaded(server, &ada, "annex.txt", b"an annex", "text/plain").await;
    server.send(&ada, json!({ "conversationId": talk.id, "fileIds": [file, annex] })).await;
    let gone = server.say(&bob, &talk, "Forget it").await;
    server.change(&bob, "messageDelete", json!({ "id": gone["id"] })).await;
    server.change(&ada, "messageEdit", json!({ "id": root["id"], "body": "First, in better words" })).await;
    server.change(&bob, "reactionAdd", json!({ "messageId": root["id"], "emoji": "👍" })).await;
    for n in 0..210 {
        server.say(&ada, &talk, &format!("m{n}")).await;
    }
    let archive = "mutation($id: ID!) { conversationArchive(input: { id: $id }) { userErrors { code } } }";
    let archived = server.graphql(archive, json!({ "id": talk.id }), Some(&ada)).await;
    assert_eq!(user_errors(&archived, "conversationArchive"), [""; 0]);

    let fetched = fetch(&url(server, &bob, &talk.id, "JSON_LINES").await).await;
    assert_eq!(fetched.status(), StatusCode::OK);
    let name = fetched.headers()["content-disposition"].to_str().unwrap().to_owned();
    assert!(name.starts_with("attachment; filename=\"conversation-") && name.contains(".jsonl\""), "{name}");
    let said = fetched.text().await.unwrap();
    let lines: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let numbers: Vec<i64> = lines.iter().map(|line| line["seq"].as_i64().unwrap()).collect();
    assert_eq!(numbers, (1..=215).collect::<Vec<_>>());
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
    assert_eq!(lines[2]["attachments"][1]["name"], "annex.txt", "in the order given");
    let content = fetch(&format!("{}{}", server.url(), text(attached, "url"))).await;
    assert_eq!(content.text().await.unwrap(), "a plan");
    assert!(lines[3]["body"].is_null() && !lines[3]["deletedAt"].is_null());
    assert_eq!((&lines[213]["kind"], &lines[213]["body"]), (&json!("TEXT"), &json!("m209")));
    // What Stoa itself tells, nobody has said.
    assert_eq!((&lines[214]["kind"], &lines[2]["kind"]), (&json!("SYSTEM"), &json!("FILE")));

    let table = fetch(&url(server, &ada, &talk.id, "CSV").await).await.text().await.unwrap();
    let mut read = csv::Reader::from_reader(table.as_bytes());
    let names = read.headers().unwrap().clone();
    let begin = ["seq", "id", "at", "senderId", "senderName", "kind", "body"];
    assert_eq!((names.iter().take(7).collect::<Vec<_>>(), names.len()), (begin.to_vec(), 15), "{names:?}");
    let rows: Vec<csv::StringRecord> = read.records().map(Result::unwrap).collect();
    assert_eq!(rows.len(), 215);
    assert_eq!((&rows[0][0], &rows[0][5], &rows[0][13]), ("1", "TEXT", "👍 1"));
    assert_eq!((&rows[1][6], &rows[1][10]), ("'=1+1", "1"));
    assert!(rows[2][14].starts_with("plan.txt /files/"), "{:?}", rows[2]);
    assert_eq!((&rows[3][6], &rows[214][5]), ("", "SYSTEM"));

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

#[tokio::test]
async fn a_file_has_nothing_of_other_conversations() {
    let server = server().await;
    let (ada, bob, talk) = pair(server).await;
    let (other, alone) = (server.group(&ada, &[&bob]).await, server.group(&ada, &[]).await);
    for (talk, body) in [(&talk, "here"), (&other, "elsewhere"), (&alone, "alone"), (&talk, "again")] {
        server.say(&ada, talk, body).await;
    }
    for (format, head) in [("JSON_LINES", 0), ("CSV", 1)] {
        let said = fetch(&url(server, &ada, &talk.id, format).await).await.text().await.unwrap();
        assert_eq!(said.lines().count(), head + 2, "{said}");
        assert!(said.contains("again") && !said.contains("elsewhere") && !said.contains("alone"), "{said}");
    }
}

#[tokio::test]
async fn a_file_names_nobody_whom_its_reader_may_not_see() {
    let server = server().await;
    let (ada, bob, talk) = pair(server).await;
    let said = server.say(&bob, &talk, "hello").await;
    server.change(&bob, "reactionAdd", json!({ "messageId": said["id"], "emoji": "👍" })).await;
    let (_, key) = make(server, &ada, &["CONVERSATION READ OWN"]).await;
    let line = fetch(&url(server, &key, &talk.id, "JSON_LINES").await).await.text().await.unwrap();
    let line: Value = serde_json::from_str(&line).unwrap();
    assert_eq!((&line["senderId"], &line["senderName"]), (&json!(bob.member), &Value::Null));
    assert_eq!(line["reactions"], json!([{ "emoji": "👍", "count": 1, "members": [] }]));
}

/// A URL in it would open what is shown to them nowhere else.
#[tokio::test]
async fn a_file_brings_along_nothing_that_its_reader_may_not_open() {
    let server = server().await;
    let (ada, _, talk) = pair(server).await;
    let (file, _) = uploaded(server, &ada, "plan.txt", b"a plan", "text/plain").await;
    server.send(&ada, json!({ "conversationId": talk.id, "body": "look", "fileIds": [file] })).await;
    let (_, key) = make(server, &ada, &["CONVERSATION READ OWN"]).await;
    let query =
        "query($id: ID!) { conversation(id: $id) { messages { nodes { attachments { nodes { file { name } } } } } } }";
    let seen = server.graphql(query, json!({ "id": talk.id }), Some(&key)).await;
    assert_eq!(*data(&seen, "conversation.messages.nodes.0.attachments.nodes"), json!([{ "file": null }]));
    for format in ["JSON_LINES", "CSV"] {
        let said = fetch(&url(server, &key, &talk.id, format).await).await.text().await.unwrap();
        assert!(said.contains("look") && !said.contains("plan.txt") && !said.contains("/files/"), "{said}");
    }
}

/// A message may have said two megabytes before it was edited: a hundred of them at once are nobody's page.
#[tokio::test]
async fn what_was_said_before_comes_in_pieces_that_fit_into_memory() {
    let server = server().await;
    let (ada, _, talk) = pair(server).await;
    for n in 0..10 {
        server.say(&ada, &talk, &format!("m{n}")).await;
    }
    server
        .sql(&format!(
            "INSERT INTO message_versions (organization_id, message_id, version, body, written_at)
             SELECT m.organization_id, m.id, n, repeat('x', 40000), now() FROM messages m, generate_series(1, 25) n
             WHERE m.conversation_id = '{0}';
             UPDATE messages SET edited_at = now() WHERE conversation_id = '{0}'",
            talk.id
        ))
        .await;
    let scope = authenticate(&server.app, &ada.token, RequestInfo::default()).await.unwrap();
    for (format, expected) in [(Format::JsonLines, vec![4, 4, 2]), (Format::Csv, vec![10])] {
        let mut export = ConversationExport::open(&scope, talk.id.parse().unwrap()).await.unwrap();
        let mut sizes = Vec::new();
        loop {
            let page = export.page(&scope, format).await.unwrap();
            sizes.push(page.rows.len());
            if !page.more {
                break;
            }
        }
        assert_eq!(sizes, expected, "{format:?}");
    }
    let said = fetch(&url(server, &ada, &talk.id, "JSON_LINES").await).await.text().await.unwrap();
    let lines: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for (n, line) in lines.iter().enumerate() {
        let versions = line["versions"].as_array().unwrap();
        let numbers: Vec<i64> = versions.iter().map(|version| version["version"].as_i64().unwrap()).collect();
        assert_eq!((line["body"].clone(), numbers), (json!(format!("m{n}")), (1..=25).rev().collect()));
    }
    assert_eq!(lines.len(), 10);
}

/// Says 24 MB, which are in nobody's buffers.
async fn say_much(server: &Server, who: &Founder, talk: &Talk) {
    server
        .sql(&format!(
            "INSERT INTO messages (organization_id, id, conversation_id, seq, sender_id, body)
             SELECT '{}', gen_random_uuid(), '{id}', n, '{}', repeat('x', 40000) FROM generate_series(1, 600) n;
             UPDATE conversations SET last_seq = 600 WHERE id = '{id}'",
            who.organization,
            who.member,
            id = talk.id
        ))
        .await;
}

#[tokio::test]
async fn who_is_removed_in_the_middle_gets_no_more_and_no_file_that_looks_whole() {
    let server = server().await;
    let (ada, bob, talk) = pair(server).await;
    say_much(server, &ada, &talk).await;
    let mut file = fetch(&url(server, &bob, &talk.id, "JSON_LINES").await).await;
    let mut read = file.chunk().await.unwrap().unwrap().len();
    let remove = json!({ "conversationId": talk.id, "memberId": bob.member });
    let removed = server.participant(&ada, "participantRemove", remove).await;
    assert_eq!(user_errors(&removed, "participantRemove"), [""; 0]);
    let ended = loop {
        match file.chunk().await {
            Ok(Some(bytes)) => read += bytes.len(),
            ended => break ended,
        }
    };
    assert!(ended.is_err() && read < 20_000_000, "{read} bytes came: {ended:?}");
}

#[tokio::test]
async fn who_takes_conversations_out_keeps_nobody_from_the_audit_trail() {
    let server = server().await;
    let (ada, bob, talk) = pair(server).await;
    say_much(server, &ada, &talk).await;
    let theirs = url(server, &bob, &talk.id, "CSV").await;
    let held = [fetch(&theirs).await, fetch(&theirs).await];
    assert_eq!(held.each_ref().map(Response::status), [StatusCode::OK; 2]);
    assert_eq!(fetch(&theirs).await.status(), StatusCode::TOO_MANY_REQUESTS);
    let trail = audit_export::url(server, &ada, "CSV", Value::Null).await;
    assert_eq!(fetch(&trail).await.status(), StatusCode::OK);
}

/// Reads a byte of each now and then, for ever.
async fn trickle(wires: &mut [TcpStream]) {
    loop {
        for wire in &mut *wires {
            wire.read_exact(&mut [0]).await.unwrap();
        }
        sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn who_reads_too_slowly_keeps_no_place_and_gets_no_file_that_looks_whole() {
    let server = Server::with(|config| config.files.export_wait_ms = 1000).await;
    let (ada, bob, talk) = pair(&server).await;
    say_much(&server, &ada, &talk).await;
    let theirs = url(&server, &bob, &talk.id, "CSV").await;
    let (address, path) = (server.url().strip_prefix("http://").unwrap(), &theirs[server.url().len()..]);
    let mut slow = Vec::new();
    for _ in 0..2 {
        let mut wire = TcpStream::connect(address).await.unwrap();
        wire.write_all(format!("GET {path} HTTP/1.1\r\nhost: {address}\r\n\r\n").as_bytes()).await.unwrap();
        wire.read_exact(&mut [0]).await.unwrap();
        slow.push(wire);
    }
    assert_eq!(fetch(&theirs).await.status(), StatusCode::TOO_MANY_REQUESTS);
    tokio::select! {
        () = trickle(&mut slow) => {}
        () = until("a place", async || (fetch(&theirs).await.status() == StatusCode::OK).then_some(())) => {}
    }
    // The other one's time is over as well by then.
    sleep(Duration::from_millis(1500)).await;
    for mut wire in slow {
        let mut rest = Vec::new();
        let read = timeout(Duration::from_secs(10), wire.read_to_end(&mut rest)).await;
        assert!(read.is_ok() && rest.len() < 20_000_000 && !rest.ends_with(b"\r\n0\r\n\r\n"), "{} bytes", rest.len());
    }
    let whole = fetch(&theirs).await.text().await.unwrap();
    assert_eq!(whole.lines().count(), 601, "who reads on gets all");
    server.stop().await;
}
