//! No oracle: what somebody cannot read shows in no answer, whatever they guess about it.

use super::{account, ask, contact, create, created, end, lead, update};
use crate::kit::{Founder, data, server, user_errors};
use serde_json::{Value, json};

/// A rep's answers are the same whether there is a lead of somebody else or not, whether the guess is right or not.
#[tokio::test]
async fn filters_and_relations_cannot_probe_what_is_hidden() {
    let server = server().await;
    let founder = server.founder().await;
    let rep = server.member(&founder, "sales_rep", None).await;
    let at = account(&founder, "Acme").await;
    let probes = [
        ("accounts", "leads: { some: { lastName: { startsWith: \"Sec\" } } }"),
        ("accounts", "leads: { some: {} }"),
        ("accounts", "leads: { every: { lastName: { startsWith: \"Wrong\" } } }"),
        ("accounts", "leads: { none: { lastName: { startsWith: \"Sec\" } } }"),
        ("accounts", "not: { leads: { some: { score: { gt: 40 } } } }"),
        ("accounts", "leads: { some: { account: { leads: { some: { score: { eq: 50 } } } } } }"),
        ("contacts", "convertedLeads: { none: {} }"),
        ("contacts", "account: { leads: { some: { lastName: { eq: \"Secret\" } } } }"),
        ("leads", "lastName: { eq: \"Secret\" }"),
        ("leads", "or: [{ score: { eq: 50 } }, { not: { score: { eq: 50 } } }]"),
    ];
    let ask_all = async || {
        let mut answers = Vec::new();
        for (list, filter) in probes {
            let query = format!("{{ {list}(filter: {{ {filter} }}) {{ totalCount nodes {{ id }} }} }}");
            answers.push(data(&ask(&rep, &query, json!({})).await, list).clone());
        }
        let around = "{ accounts { nodes { leads { totalCount nodes { id } } } }
            leadAggregate(groupBy: [{ field: ACCOUNT_ID }]) { count sum { score } max { score } groups { count } }
            leads(orderBy: [{ field: SCORE }]) { totalCount pageInfo { hasNextPage } } }";
        answers.push(ask(&rep, around, json!({})).await["data"].clone());
        answers
    };
    contact(&founder, "C").await;
    let before = ask_all().await;
    let secret = json!({ "firstName": "S", "lastName": "Secret", "score": 50, "accountId": at });
    let secret = created(&founder, "Lead", secret).await;
    assert_eq!(ask_all().await, before);
    // Sanity: who may read it finds it in each way.
    let answer =
        ask(&founder, &format!("{{ accounts(filter: {{ {} }}) {{ totalCount }} }}", probes[0].1), json!({})).await;
    assert_eq!(data(&answer, "accounts.totalCount"), 1);

    // A record of another kind with its id does not open its history.
    let twin = json!({ "id": secret, "firstName": "T", "lastName": "Win" });
    assert_eq!(*data(&create(&rep, "Contact", twin).await, "contactCreate.contact.id"), secret);
    let history = ask(&rep, &format!("{{ contact(id: \"{secret}\") {{ history {{ action }} }} }}"), json!({})).await;
    assert_eq!(data(&history, "contact.history").as_array().map(Vec::len), Some(1));
}

/// Unknown, of another organization, out of reach: told alike, as a target and as a reference.
#[tokio::test]
async fn what_is_not_there_and_what_is_hidden_are_told_alike() {
    let server = server().await;
    let founder = server.founder().await;
    let rep = server.member(&founder, "sales_rep", None).await;
    let stranger = server.founder().await;
    let hidden = lead(&founder, "Hidden").await;
    let foreign =
        (lead(&stranger, "Foreign").await, account(&stranger, "Foreign").await, contact(&stranger, "F").await);
    let unknown = uuid::Uuid::now_v7().to_string();
    let mine = lead(&rep, "Mine").await;
    let without_ids = |answer: Value| -> String {
        let text = answer["data"].to_string();
        [&hidden, &foreign.0, &foreign.1, &foreign.2, &unknown].iter().fold(text, |text, id| text.replace(*id, "ID"))
    };
    let targets = async |who: &Founder, id: &str| {
        let mut told = Vec::new();
        told.push(without_ids(update(who, "Lead", json!({ "id": id, "company": "x" })).await));
        told.push(without_ids(update(who, "Lead", json!({ "id": id, "expectedVersion": 9, "firstName": null })).await));
        for verb in ["Delete", "Restore"] {
            told.push(without_ids(end(who, "Lead", verb, id).await));
        }
        let query = format!(
            "mutation {{ leadConvert(input: {{ id: \"{id}\" }}) {{ lead {{ id }} userErrors {{ field code message }} }}
               leadBulkDelete(input: {{ ids: [\"{id}\"] }}) {{ results {{ userErrors {{ field code message }} }} }} }}"
        );
        told.push(without_ids(ask(who, &query, json!({})).await));
        let query =
            format!("{{ lead(id: \"{id}\") {{ id }} node(id: \"{id}\") {{ id }} nodes(ids: [\"{id}\"]) {{ id }} }}");
        told.push(without_ids(ask(who, &query, json!({})).await));
        told
    };
    let wanted = targets(&rep, &unknown).await;
    assert!(wanted[0].contains("NOT_FOUND"), "{wanted:?}");
    assert_eq!(targets(&rep, &hidden).await, wanted);
    assert_eq!(targets(&rep, &foreign.0).await, wanted);

    for (field, foreign) in [("accountId", &foreign.1), ("assignedToId", &stranger.member.to_string())] {
        for id in [foreign, &unknown] {
            let answer = update(&rep, "Lead", json!({ "id": mine, field: id })).await;
            assert_eq!(user_errors(&answer, "leadUpdate"), [format!("{field} NOT_FOUND")]);
        }
    }
    let input = json!({ "firstName": "A", "lastName": "B", "reportsToId": foreign.2, "accountId": unknown });
    let answer = create(&rep, "Contact", input).await;
    assert_eq!(user_errors(&answer, "contactCreate"), ["accountId NOT_FOUND", "reportsToId NOT_FOUND"]);

    // An id that another organization uses is free here.
    let input = json!({ "id": foreign.0, "firstName": "A", "lastName": "B" });
    let answer = create(&rep, "Lead", input.clone()).await;
    assert_eq!(*data(&answer, "leadCreate.lead.id"), foreign.0);
    let answer = create(&rep, "Lead", input).await;
    assert_eq!(user_errors(&answer, "leadCreate"), ["id NOT_UNIQUE"]);
}

/// A relation to what cannot be read is null, and says nothing.
#[tokio::test]
async fn an_edge_never_widens_access() {
    let server = server().await;
    let founder = server.founder().await;
    let support = server.member(&founder, "support", None).await;
    let rep = server.member(&founder, "sales_rep", None).await;
    let at = account(&founder, "Acme").await;
    let child = created(&founder, "Account", json!({ "name": "Child", "parentId": at })).await;
    let mine =
        created(&founder, "Lead", json!({ "firstName": "A", "lastName": "B", "accountId": at, "ownerId": rep.member }))
            .await;
    // Support reads accounts but no leads.
    let answer = ask(&support, "{ accounts { nodes { name leads { totalCount } } } }", json!({})).await;
    let nodes = answer["data"]["accounts"]["nodes"].as_array().expect("nodes");
    assert!(nodes.len() == 2 && nodes.iter().all(|node| node["leads"].is_null()), "{answer:#}");
    assert!(answer["errors"].as_array().expect("errors").iter().all(|e| e["extensions"]["code"] == "FORBIDDEN"));
    // What is deleted is gone from every edge.
    end(&founder, "Account", "Delete", &at).await;
    let query = format!(
        "{{ lead(id: \"{mine}\") {{ accountId account {{ id }} }}
        account(id: \"{child}\") {{ parentId parent {{ id }} ancestors {{ id }} }} }}"
    );
    let answer = ask(&rep, &query, json!({})).await;
    assert_eq!((data(&answer, "lead.account"), data(&answer, "account.parent")), (&Value::Null, &Value::Null));
    assert_eq!((data(&answer, "lead.accountId"), data(&answer, "account.ancestors")), (&json!(at), &json!([])));
}
