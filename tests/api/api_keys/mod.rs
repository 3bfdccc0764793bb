//! API keys: made by a person, shown once, used by programs on every transport, never for more than the person may, and
//! gone within a second when they are to be.

mod access;
mod change;
mod limits;

use crate::kit::{Server, code, data, user_errors};
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

pub async fn change(server: &Server, token: &str, field: &str, input: Value) -> Value {
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
pub async fn make(server: &Server, who: &str, words: &[&str]) -> (String, String) {
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
    server.app.standings.forget_all();
}
