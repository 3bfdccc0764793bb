//! Bulk mutations: a result per item in order, all or those that are sound, never more than a hundred.

use super::{account, ask, events_of, lead};
use crate::kit::{code, data, server};
use serde_json::{Value, json};

fn mutation(verb: &str) -> String {
    format!(
        "mutation($input: LeadBulk{verb}Input!) {{ leadBulk{verb}(input: $input) {{
            succeeded results {{ lead {{ id version }} userErrors {{ field code }} }} }} }}"
    )
}

/// `ok`, `-` (not written, not at fault) or the faults of each item.
fn told(answer: &Value, verb: &str) -> Vec<String> {
    let results = data(answer, &format!("leadBulk{verb}.results")).as_array().expect("results");
    let one = |result: &Value| {
        let errors = result["userErrors"].as_array().expect("user errors");
        let told = errors.iter().map(|error| {
            let field = error["field"].as_array().cloned().unwrap_or_default();
            let field: Vec<&str> = field.iter().filter_map(Value::as_str).collect();
            format!("{} {}", field.join("."), error["code"].as_str().expect("a code"))
        });
        let told = told.collect::<Vec<_>>().join(", ");
        match (told.is_empty(), result["lead"].is_null()) {
            (true, false) => "ok".to_owned(),
            (true, true) => "-".to_owned(),
            _ => told,
        }
    };
    results.iter().map(one).collect()
}

#[tokio::test]
async fn all_or_those_that_are_sound() {
    let server = server().await;
    let who = server.founder().await;
    let (a, b) = (lead(&who, "A").await, lead(&who, "B").await);
    let unknown = uuid::Uuid::now_v7().to_string();
    let person = |last_name: &str| json!({ "firstName": "P", "lastName": last_name });
    let twice = json!({ "id": unknown, "firstName": "T", "lastName": "T" });
    let one_bad = vec![person("X"), person(" "), twice.clone(), twice];
    let bad = ["ok", "items.1.lastName REQUIRED", "ok", "items.3.id NOT_UNIQUE"];
    let none = ["-", bad[1], "-", bad[3]];
    let change = |id: &str, score: i32, version: i32| json!({ "id": id, "score": score, "expectedVersion": version });
    for (verb, list, items, policy, wanted, succeeded) in [
        ("Create", "items", one_bad.clone(), "REJECT_ALL", none.to_vec(), 0),
        ("Create", "items", one_bad, "REJECT_FAILED", bad.to_vec(), 2),
        (
            "Update",
            "items",
            vec![change(&a, 1, 1), change(&b, 101, 1)],
            "REJECT_ALL",
            vec!["-", "items.1.score OUT_OF_RANGE"],
            0,
        ),
        (
            "Update",
            "items",
            vec![change(&a, 1, 1), change(&a, 2, 1), change(&a, 3, 2)],
            "REJECT_FAILED",
            vec!["ok", "items.1.expectedVersion CONFLICT", "ok"],
            2,
        ),
        (
            "Delete",
            "ids",
            vec![json!(b), json!(b), json!(uuid::Uuid::now_v7())],
            "REJECT_FAILED",
            vec!["ok", "ids.1.id NOT_FOUND", "ids.2.id NOT_FOUND"],
            1,
        ),
    ] {
        let answer = ask(&who, &mutation(verb), json!({ "input": { list: items, "errorPolicy": policy } })).await;
        assert_eq!(told(&answer, verb), wanted, "{verb} {policy}");
        assert_eq!(data(&answer, &format!("leadBulk{verb}.succeeded")), succeeded);
    }
    assert_eq!(
        (events_of(server, &a).await, events_of(server, &b).await, events_of(server, &unknown).await),
        (3, 2, 1)
    );
}

#[tokio::test]
async fn one_to_a_hundred_items() {
    let who = server().await.founder().await;
    let items =
        |count: usize| json!({ "input": { "items": vec![json!({ "firstName": "P", "lastName": "Q" }); count] } });
    for count in [0, 101] {
        assert_eq!(code(&ask(&who, &mutation("Create"), items(count)).await), "BAD_USER_INPUT");
    }
    let answer = ask(&who, &mutation("Create"), items(100)).await;
    assert_eq!(data(&answer, "leadBulkCreate.succeeded"), 100);
}

/// What is forbidden fails as a whole and names the item.
#[tokio::test]
async fn what_is_forbidden_names_the_item() {
    let server = server().await;
    let who = server.founder().await;
    let rep = server.member(&who, "sales_rep", None).await;
    let (own, other) = (account(&rep, "Own").await, account(&who, "Other").await);
    let query = "mutation($input: AccountBulkUpdateInput!) { accountBulkUpdate(input: $input) { succeeded } }";
    let items = [json!({ "id": own, "name": "x" }), json!({ "id": other, "name": "x" })];
    let answer = ask(&rep, query, json!({ "input": { "items": items, "errorPolicy": "REJECT_FAILED" } })).await;
    assert_eq!(code(&answer), "FORBIDDEN");
    assert_eq!(answer["errors"][0]["extensions"]["item"], 1, "{answer:#}");
    assert_eq!(events_of(server, &own).await, 1);
}

/// Bulk mutations of the same records in opposite orders do not stop each other.
#[tokio::test]
async fn bulks_that_cross_all_succeed() {
    let who = server().await.founder().await;
    let mut ids = Vec::new();
    for name in ["A", "B", "C", "D"] {
        ids.push(lead(&who, name).await);
    }
    let query = mutation("Update");
    let bulk = |score: usize, backwards: bool| {
        let mut items: Vec<Value> = ids.iter().map(|id| json!({ "id": id, "score": score })).collect();
        if backwards {
            items.reverse();
        }
        ask(&who, &query, json!({ "input": { "items": items } }))
    };
    let answers = futures_util::future::join_all((1..13).map(|round| bulk(round, round % 2 == 0))).await;
    assert!(answers.iter().all(|answer| *data(answer, "leadBulkUpdate.succeeded") == 4));
}
