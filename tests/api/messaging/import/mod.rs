//! Teams that come over by `stoa import`, read back as one of their members sees them.

mod emoji;
mod hostile;
mod mattermost;
mod meanwhile;
mod newer;
mod slack;

use super::text;
use crate::kit::{Founder, Server, command::stoa_with_files, data};
use serde_json::{Value, json};
use std::{fs, io::Write};
use tempfile::TempDir;
use uuid::Uuid;
use zip::{ZipWriter, write::SimpleFileOptions};

/// Runs an import into the founder's organization; its exit code, and what it said.
async fn import(server: &Server, into: &Founder, source: &str, file: &str, more: &[&str]) -> (i32, String) {
    let slug = server.text(&format!("SELECT slug FROM organizations WHERE id = '{}'", into.organization)).await;
    stoa_with_files(server, &[&["import", source, file, "--organization", &slug], more].concat()).await
}

/// A folder with an export in it.
struct Made {
    folder: TempDir,
    path: String,
}

/// A file of that name and content.
fn file(name: &str, content: &[u8]) -> Made {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join(name);
    fs::write(&path, content).expect("a file");
    Made { path: path.to_str().expect("UTF-8").to_owned(), folder }
}

/// What is packed.
fn packed(entries: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut zip = ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, content) in entries {
        zip.start_file(*name, SimpleFileOptions::default()).expect("an entry");
        zip.write_all(content).expect("room");
    }
    zip.finish().expect("a zip").into_inner()
}

/// A file of an export that is JSON.
fn entry(name: &str, content: Value) -> (&str, Vec<u8>) {
    (name, serde_json::to_vec_pretty(&content).expect("JSON"))
}

/// What a line of the report's table says: new, there before, left out.
fn row(said: &str, what: &str) -> [u64; 3] {
    let line =
        said.lines().find(|line| line.trim_start().starts_with(what)).unwrap_or_else(|| panic!("no {what} in {said}"));
    let numbers: Vec<u64> = line.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    numbers.try_into().unwrap_or_else(|_| panic!("{line}"))
}

/// How often the report names a reason.
fn reason(said: &str, words: &str) -> u64 {
    let line = said.lines().find(|line| line.contains(words));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// All conversations of somebody, oldest first.
async fn conversations(server: &Server, who: &Founder) -> Vec<Value> {
    let query = "{ conversations(first: 50, orderBy: [{ field: CREATED_AT }]) { nodes { id kind visibility title topic lastSeq
        lastMessageAt archivedAt createdAt cursor unreadCount createdBy
        participants(first: 50, orderBy: [{ field: JOINED_AT }]) { nodes { role leftAt lastReadSeq member { name status } } } } } }";
    let answer = server.graphql(query, json!({}), Some(who)).await;
    data(&answer, "conversations.nodes").as_array().expect("a list").clone()
}

/// The conversation of that title.
async fn titled(server: &Server, who: &Founder, title: &str) -> Value {
    let all = conversations(server, who).await;
    all.into_iter().find(|one| one["title"] == json!(title)).unwrap_or_else(|| panic!("no {title}"))
}

/// The messages of a conversation, oldest first.
async fn messages(server: &Server, who: &Founder, conversation: &Value) -> Vec<Value> {
    let query = "query($id: ID!, $after: String) { conversation(id: $id) { messages(first: 25, after: $after, orderBy: [{ field: SEQ }]) {
        pageInfo { endCursor hasNextPage }
        nodes { id seq body createdAt editedAt deletedAt pinnedAt replyCount threadSeq threadRoot { seq } sender { name } status
            followers(first: 5) { name } mentionsMe mentions(first: 5) { nodes { kind member { name } } }
            reactions { emoji count members(first: 5) { name } }
            attachments(first: 5) { nodes { file { name contentType size state url } } } } } } }";
    let (mut all, mut after) = (Vec::new(), Value::Null);
    loop {
        let answer = server.graphql(query, json!({ "id": conversation["id"], "after": after }), Some(who)).await;
        let page = data(&answer, "conversation.messages");
        all.extend(page["nodes"].as_array().expect("nodes").iter().cloned());
        if page["pageInfo"]["hasNextPage"] == json!(false) {
            return all;
        }
        after = page["pageInfo"]["endCursor"].clone();
    }
}

fn bodies(messages: &[Value]) -> Vec<&str> {
    messages.iter().map(|message| message["body"].as_str().unwrap_or("(deleted)")).collect()
}

/// The names in a list of members.
fn names(members: &Value) -> Vec<&str> {
    let mut names: Vec<&str> = members.as_array().expect("a list").iter().map(|one| text(one, "name")).collect();
    names.sort_unstable();
    names
}

/// A team on Slack: Ada, who is the founder here, Bob, whom nobody knows yet, Carl, who has left, Gwen, a guest, and a program.
fn slack_people(ada: &Founder) -> Value {
    json!([
        { "id": "U1", "name": "ada", "profile": { "real_name": "Ada there", "email": ada.email.to_uppercase() } },
        { "id": "U2", "name": "bob", "real_name": "Bob Builder",
            "profile": { "real_name": "Bob Builder", "email": format!("bob-{}", ada.email), "title": "Site manager" } },
        { "id": "U3", "name": "carl", "deleted": true, "profile": { "real_name": "Carl Gone", "email": format!("carl-{}", ada.email) } },
        { "id": "U4", "name": "gwen", "is_restricted": true, "profile": { "real_name": "Gwen Guest", "email": format!("gwen-{}", ada.email) } },
        { "id": "U5", "name": "deploy", "is_bot": true, "profile": { "real_name": "Deploy", "bot_id": "B1" } }
    ])
}

/// Imports from Slack until the power is gone: no message of that number is stored.
async fn broken_off(server: &Server, ada: &Founder, file: &str, number: i64) {
    let name = format!("stop_{}", ada.organization.simple());
    server
        .sql(&format!(
            "CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
               IF NEW.organization_id = '{}' AND NEW.seq = {number} THEN RAISE 'the power is gone'; END IF; RETURN NEW; END $$;
             CREATE TRIGGER {name} BEFORE INSERT ON messages FOR EACH ROW EXECUTE FUNCTION {name}()",
            ada.organization
        ))
        .await;
    let (code, said) = import(server, ada, "slack", file, &[]).await;
    server.sql(&format!("DROP TRIGGER {name} ON messages; DROP FUNCTION {name}")).await;
    assert!(code == 1 && said.contains("run it again"), "{code} {said}");
}

/// Who Bob of that team is here.
async fn bob(server: &Server, ada: &Founder) -> Uuid {
    let bob = "SELECT id::text FROM memberships WHERE name = 'Bob Builder' AND organization_id =";
    server.text(&format!("{bob} '{}'", ada.organization)).await.parse().expect("an id")
}

fn slack_channels() -> Value {
    json!([
        { "id": "C1", "name": "general", "created": 1704000000, "creator": "U1", "is_archived": false, "members": ["U1", "U2", "U4"],
            "topic": { "value": "All of us &amp; <https://stoa.example|more>" }, "purpose": { "value": "News" },
            "pins": [{ "id": "1704100000.000100", "type": "C", "created": 1704200000, "user": "U2" }] },
        { "id": "C2", "name": "old-times", "created": 1700000000, "creator": "U3", "is_archived": true, "members": [],
            "topic": { "value": "Ask <@U3> or <!here>" } }
    ])
}
