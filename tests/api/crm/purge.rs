//! Deleted records are removed for good when their time to be restored is over.

use super::{account, ask, contact, created, end, lead, update};
use crate::{
    kit::{Founder, Server, data, mail::working, server, user_errors},
    messaging::live::Feed,
};
use serde_json::{Value, json};
use stoa::upkeep::records::purge_all;

/// Makes what was deleted, deleted longer ago.
async fn age(server: &Server, of: &Founder, days: u32) {
    for table in ["leads", "contacts", "accounts"] {
        server
            .sql(&format!(
                "UPDATE {table} SET deleted_at = deleted_at - interval '{days} days' WHERE organization_id = '{}'",
                of.organization
            ))
            .await;
    }
}

async fn purged(server: &Server, of: &Founder) {
    purge_all(&server.app, of.organization).await.expect("purged");
}

/// The ids of deleted records.
async fn deleted(who: &Founder, plural: &str) -> Value {
    let query = format!("{{ {plural}(filter: {{ deleted: ONLY }}) {{ nodes {{ id }} }} }}");
    let answer = ask(who, &query, json!({})).await;
    let nodes = data(&answer, &format!("{plural}.nodes")).as_array().expect("nodes").clone();
    nodes.iter().map(|node| node["id"].clone()).collect()
}

#[tokio::test]
async fn deleted_records_go_when_their_time_is_over() {
    let server = server().await;
    let ada = server.founder().await;
    let (old, back, young) = (lead(&ada, "Old").await, lead(&ada, "Back").await, lead(&ada, "Young").await);
    for id in [&old, &back] {
        end(&ada, "Lead", "Delete", id).await;
    }
    age(server, &ada, 20).await;
    purged(server, &ada).await;
    assert_eq!(deleted(&ada, "leads").await.as_array().map(Vec::len), Some(2), "thirty days unless set otherwise");
    age(server, &ada, 11).await;
    end(&ada, "Lead", "Delete", &young).await;
    let restored = end(&ada, "Lead", "Restore", &back).await;
    assert!(user_errors(&restored, "leadRestore").is_empty());
    let feed = "subscription($after: String) { recordEvents(entity: LEAD, after: $after) {
        ... on RecordChanged { action recordId record { __typename } actor { id } } } }";
    let now = ask(&ada, "{ changes { cursor } }", json!({})).await;
    let after = json!({ "after": data(&now, "changes.cursor") });
    let mut feed = Feed::open(&server.ws_url(), &ada, feed, after).await.expect("a server");
    purged(server, &ada).await;
    assert_eq!(feed.next().await, json!({ "action": "purged", "recordId": old, "record": null, "actor": null }));
    assert_eq!(deleted(&ada, "leads").await, json!([young]));
    let again = end(&ada, "Lead", "Restore", &old).await;
    assert_eq!(user_errors(&again, "leadRestore"), ["id NOT_FOUND"]);
    let audit = "query($id: ID!) { auditEvents(filter: { entityId: { eq: $id } }) { nodes { action actorKind } } }";
    let told = ask(&ada, audit, json!({ "id": old })).await;
    let actions: Vec<(&Value, &Value)> =
        data(&told, "auditEvents.nodes").as_array().unwrap().iter().map(|n| (&n["action"], &n["actorKind"])).collect();
    assert_eq!(json!(actions), json!([["purged", "SYSTEM"], ["deleted", "MEMBER"], ["created", "MEMBER"]]));
    // The organization's own time.
    let keep = "mutation { organizationUpdate(input: { retentionDays: 3 }) { userErrors { code } } }";
    ask(&ada, keep, json!({})).await;
    age(server, &ada, 4).await;
    purged(server, &ada).await;
    assert_eq!(deleted(&ada, "leads").await, json!([]));
}

#[tokio::test]
async fn what_others_refer_to_stays_until_they_do_not() {
    let server = server().await;
    let ada = server.founder().await;
    let (top, used) = (account(&ada, "Top").await, account(&ada, "Used").await);
    let below = created(&ada, "Account", json!({ "name": "Below", "parentId": top })).await;
    let grace = contact(&ada, "Hopper").await;
    update(&ada, "Contact", json!({ "id": grace, "accountId": used })).await;
    let gone = created(&ada, "Contact", json!({ "firstName": "A", "lastName": "B", "accountId": below })).await;
    for (entity, id) in [("Account", &top), ("Account", &below), ("Account", &used), ("Contact", &gone)] {
        end(&ada, entity, "Delete", id).await;
    }
    age(server, &ada, 31).await;
    purged(server, &ada).await;
    assert_eq!(deleted(&ada, "contacts").await, json!([]));
    assert_eq!(deleted(&ada, "accounts").await, json!([used]), "a whole tree goes, and not what a contact works at");
    update(&ada, "Contact", json!({ "id": grace, "accountId": null })).await;
    purged(server, &ada).await;
    assert_eq!(deleted(&ada, "accounts").await, json!([]));
}

#[tokio::test]
async fn who_restores_at_that_moment_wins() {
    let server = server().await;
    let ada = server.founder().await;
    let (held, free) = (lead(&ada, "Held").await, lead(&ada, "Free").await);
    for id in [&held, &free] {
        end(&ada, "Lead", "Delete", id).await;
    }
    age(server, &ada, 31).await;
    let session = server.session().await;
    session
        .batch_execute(&format!("BEGIN; UPDATE leads SET deleted_at = NULL, deleted_by = NULL WHERE id = '{held}'"))
        .await
        .unwrap();
    purged(server, &ada).await;
    assert_eq!(deleted(&ada, "leads").await, json!([held]), "who is being restored is left alone, and holds up nobody");
    session.batch_execute("COMMIT").await.unwrap();
    purged(server, &ada).await;
    let answer = ask(&ada, "query($id: ID!) { lead(id: $id) { id } }", json!({ "id": held })).await;
    assert_eq!(data(&answer, "lead.id"), &json!(held));
}

#[tokio::test]
async fn one_that_cannot_go_keeps_no_other() {
    let server = working(|config| config.jobs.workers = 0).await;
    let ada = server.founder().await;
    let lead = || json!({ "firstName": "Ada", "lastName": "Old" });
    let mut ids = Vec::new();
    for (entity, input) in [("lead", lead()), ("lead", lead()), ("lead", lead()), ("account", json!({ "name": "Old" }))]
    {
        let kind = if entity == "lead" { "LeadCreateInput" } else { "AccountCreateInput" };
        let create =
            format!("mutation($input: {kind}!) {{ done: {entity}Create(input: $input) {{ {entity} {{ id }} }} }}");
        let made = server.graphql(&create, json!({ "input": input }), Some(&ada)).await;
        let id = data(&made, &format!("done.{entity}.id")).clone();
        let delete =
            format!("mutation($id: ID!) {{ {entity}Delete(input: {{ id: $id }}) {{ userErrors {{ code }} }} }}");
        server.graphql(&delete, json!({ "id": id }), Some(&ada)).await;
        ids.push(id);
    }
    age(&server, &ada, 31).await;
    // The first one to come.
    server.refuse("DELETE ON leads", &format!("OLD.id = '{}'", ids[0].as_str().expect("an id"))).await;
    let left = async || {
        let query =
            "{ leads(filter: { deleted: ONLY }) { nodes { id } } accounts(filter: { deleted: ONLY }) { totalCount } }";
        server.graphql(query, json!({}), Some(&ada)).await["data"].clone()
    };
    assert_eq!(left().await["leads"]["nodes"].as_array().map(Vec::len), Some(3));
    purge_all(&server.app, ada.organization).await.expect_err("one failed");
    assert_eq!(left().await, json!({ "leads": { "nodes": [{ "id": ids[0] }] }, "accounts": { "totalCount": 0 } }));
    server.allow("leads").await;
    purged(&server, &ada).await;
    assert_eq!(left().await["leads"]["nodes"], json!([]));
}

#[tokio::test]
async fn of_another_organization_nothing_goes() {
    let server = server().await;
    let (ada, other) = (server.founder().await, server.founder().await);
    let mut ids = Vec::new();
    for who in [&ada, &other] {
        let id = lead(who, "Old").await;
        end(who, "Lead", "Delete", &id).await;
        age(server, who, 31).await;
        ids.push(id);
    }
    purged(server, &ada).await;
    assert_eq!((deleted(&ada, "leads").await, deleted(&other, "leads").await), (json!([]), json!([ids[1]])));
}
