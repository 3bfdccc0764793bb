//! Customers through the API: what every entity does is shown on one of them, what is its own in its own file.

mod access;
mod account;
mod aggregate;
mod bulk;
mod contact;
mod convert;
mod filter;
mod lead;
mod list;
mod oracle;
mod purge;
mod relation;

use crate::kit::{Founder, Server, data, server};
use serde_json::{Value, json};

/// Asks as somebody.
async fn ask(who: &Founder, query: &str, variables: Value) -> Value {
    server().await.graphql(query, variables, Some(&who.token)).await
}

/// Creates a record and gives the answer; `entity` is `Lead`, `Account` or `Contact`.
async fn create(who: &Founder, entity: &str, input: Value) -> Value {
    let one = entity.to_lowercase();
    let query = format!(
        "mutation($input: {entity}CreateInput!) {{ {one}Create(input: $input) {{
            {one} {{ id version }} userErrors {{ field message code }} }} }}"
    );
    ask(who, &query, json!({ "input": input })).await
}

/// Creates a record that is sound and gives its id.
async fn created(who: &Founder, entity: &str, input: Value) -> String {
    let answer = create(who, entity, input).await;
    let one = entity.to_lowercase();
    data(&answer, &format!("{one}Create.{one}.id")).as_str().expect("an id").to_owned()
}

async fn lead(who: &Founder, last_name: &str) -> String {
    created(who, "Lead", json!({ "firstName": "Ada", "lastName": last_name })).await
}

async fn account(who: &Founder, name: &str) -> String {
    created(who, "Account", json!({ "name": name })).await
}

async fn contact(who: &Founder, last_name: &str) -> String {
    created(who, "Contact", json!({ "firstName": "Ada", "lastName": last_name })).await
}

/// Changes a record and gives the answer.
async fn update(who: &Founder, entity: &str, input: Value) -> Value {
    let one = entity.to_lowercase();
    let query = format!(
        "mutation($input: {entity}UpdateInput!) {{ {one}Update(input: $input) {{
            {one} {{ id version }} userErrors {{ field message code }} }} }}"
    );
    ask(who, &query, json!({ "input": input })).await
}

/// Deletes, restores or purges a record and gives the answer.
async fn end(who: &Founder, entity: &str, verb: &str, id: &str) -> Value {
    let one = entity.to_lowercase();
    let input = if verb == "Delete" { "DeleteInput" } else { "IdInput" };
    let query = format!(
        "mutation($input: {entity}{input}!) {{ {one}{verb}(input: $input) {{
            {one} {{ id version }} userErrors {{ field message code }} }} }}"
    );
    ask(who, &query, json!({ "input": { "id": id } })).await
}

/// The texts at `path` below each item of a list.
fn texts(list: &Value, path: &str) -> Vec<String> {
    let items = list.as_array().unwrap_or_else(|| panic!("no list: {list:#}"));
    items.iter().map(|item| item.pointer(path).and_then(Value::as_str).unwrap_or("null").to_owned()).collect()
}

/// How many events tell of a record.
async fn events_of(server: &Server, id: &str) -> i64 {
    server.count(&format!("SELECT count(*) FROM events WHERE entity_id = '{id}'")).await
}
