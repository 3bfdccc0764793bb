//! Contacts: nobody reports to themselves, not even by way of others.

use super::{ask, contact, create, created, update};
use crate::kit::{code, data, server, user_errors};
use serde_json::json;

#[tokio::test]
async fn nobody_reports_to_themselves() {
    let who = server().await.founder().await;
    let (ada, bob, cid) = (contact(&who, "Ada").await, contact(&who, "Bob").await, contact(&who, "Cid").await);
    let reports = async |id: &str, to: &str| {
        user_errors(&update(&who, "Contact", json!({ "id": id, "reportsToId": to })).await, "contactUpdate")
    };
    assert_eq!(reports(&ada, &ada).await, ["reportsToId INVALID"]);
    assert_eq!(reports(&bob, &ada).await, [""; 0]);
    assert_eq!(reports(&cid, &bob).await, [""; 0]);
    assert_eq!(reports(&ada, &cid).await, ["reportsToId INVALID"]);
    let query =
        format!("{{ contact(id: \"{ada}\") {{ name reports {{ nodes {{ lastName reportsTo {{ lastName }} }} }} }} }}");
    let answer = ask(&who, &query, json!({})).await;
    assert_eq!(
        *data(&answer, "contact"),
        json!({ "name": "Ada Ada", "reports": { "nodes": [{ "lastName": "Bob", "reportsTo": { "lastName": "Ada" } }] } })
    );
    // Reports to itself by its own, chosen id.
    let id = uuid::Uuid::now_v7();
    let answer =
        create(&who, "Contact", json!({ "id": id, "firstName": "A", "lastName": "B", "reportsToId": id })).await;
    assert_eq!(user_errors(&answer, "contactCreate"), ["reportsToId NOT_FOUND", "reportsToId INVALID"]);
}

#[tokio::test]
async fn days_exist() {
    let who = server().await.founder().await;
    for day in
        ["2023-02-29", "2026-13-01", "2026-1-2", "+202-01-02", "2026- 1-02", "0000-01-01", "10000-01-01", "today"]
    {
        let answer = create(&who, "Contact", json!({ "firstName": "A", "lastName": "B", "birthday": day })).await;
        assert_eq!(code(&answer), "BAD_USER_INPUT", "{day}");
    }
    for day in ["2024-02-29", "0001-01-01", "9999-12-31"] {
        let id = created(&who, "Contact", json!({ "firstName": "A", "lastName": "B", "birthday": day })).await;
        let answer = ask(&who, &format!("{{ contact(id: \"{id}\") {{ birthday }} }}"), json!({})).await;
        assert_eq!(*data(&answer, "contact.birthday"), day);
    }
}
