//! Relations: a page costs a fixed number of statements, however many records it has.

use super::{account, ask, created};
use crate::kit::{Founder, server, statements};
use serde_json::{Value, json};

/// `count` accounts with two contacts and a lead each, owned by different members.
async fn customers(who: &Founder, count: usize) {
    let server = server().await;
    let mut owners = vec![who.member];
    for _ in 0..2 {
        owners.push(server.member(who, "sales_rep", Some(who.member)).await.member);
    }
    for index in 0..count {
        let owner = owners[index % owners.len()];
        let account = created(who, "Account", json!({ "name": format!("A{index}"), "ownerId": owner })).await;
        for last_name in ["X", "Y"] {
            let input = json!({ "firstName": "C", "lastName": last_name, "accountId": account, "ownerId": owner });
            created(who, "Contact", input).await;
        }
        let input = json!({ "firstName": "L", "lastName": "L", "accountId": account, "ownerId": owner });
        created(who, "Lead", input).await;
    }
}

/// The statements that a query needs; the answer is checked.
async fn statements_of(who: &Founder, query: &str, check: impl Fn(&Value)) -> usize {
    let work = async {
        let answer = ask(who, query, json!({})).await;
        assert!(answer.get("errors").is_none(), "{answer:#}");
        check(&answer["data"]);
    };
    // Those that find the member and hand the connection over are not the query's.
    let statements = statements::during(who.organization, work).await;
    let of_query = |statement: &&String| !["sessions", "set_config"].iter().any(|word| statement.contains(word));
    statements.iter().filter(of_query).count()
}

#[tokio::test]
async fn a_page_costs_a_fixed_number_of_statements() {
    let who = server().await.founder().await;
    let q2 = "{ leads(first: 50, filter: { status: { eq: NEW } }) {
        nodes { id name owner { id name } account { id name } } } }";
    let q3 = "{ accounts(first: 20) { nodes { id name contacts(first: 5) {
        totalCount nodes { id name owner { id name } } } } } }";
    let deep = "{ leads { nodes { owner { id } creator { id manager { id } } account { owner { name manager { id } }
        contacts(first: 1) { edges { node { account { name } convertedLeads { nodes { id } } } } } } } } }";
    let history = "{ leads { nodes { history { actor { id name } } } } }";
    let mut before = Vec::new();
    for more in [2, 9] {
        customers(&who, more).await;
        let counts = [
            statements_of(&who, q2, |data| assert!(data["leads"]["nodes"][0]["account"]["name"].is_string())).await,
            statements_of(&who, q3, |data| {
                let contacts = &data["accounts"]["nodes"][0]["contacts"];
                assert_eq!(contacts["totalCount"], 2);
                assert!(contacts["nodes"][1]["owner"]["name"].is_string());
            })
            .await,
            statements_of(&who, deep, |data| {
                let contact = &data["leads"]["nodes"][0]["account"]["contacts"]["edges"][0]["node"];
                assert!(contact["account"]["name"].is_string() && contact["convertedLeads"]["nodes"].is_array());
            })
            .await,
            statements_of(&who, history, |data| {
                assert!(data["leads"]["nodes"][0]["history"][0]["actor"]["name"].is_string());
            })
            .await,
        ];
        assert_eq!(counts[..2], [3, 4], "a statement a relation, and one to count");
        assert_eq!(counts[3], 3, "the page, its histories, whoever acted in them");
        if !before.is_empty() {
            assert_eq!(before, counts, "more records need more statements");
        }
        before = counts.to_vec();
    }
}

/// What was fetched ahead for one field is not what another, alike but for its arguments, shows.
#[tokio::test]
async fn alike_fields_show_each_their_own() {
    let who = server().await.founder().await;
    let id = account(&who, "Acme").await;
    for last_name in ["Ada", "Bob", "Cid"] {
        created(&who, "Contact", json!({ "firstName": "C", "lastName": last_name, "accountId": id })).await;
    }
    let query = "query($one: [ContactOrder!]) { accounts { nodes {
        first: contacts(first: 1, orderBy: $one) { totalCount nodes { lastName account { name } } }
        last: contacts(last: 1, orderBy: $one) { nodes { lastName } pageInfo { hasPreviousPage } }
        again: contacts(first: 1, orderBy: $one) { nodes { owner { id } } }
        some: contacts(filter: { lastName: { eq: \"Bob\" } }) { totalCount nodes { lastName } }
        none: contacts(first: 0) { totalCount nodes { id } }
        wrong: contacts(first: 101) { nodes { id } } } } }";
    let answer = ask(&who, query, json!({ "one": [{ "field": "LAST_NAME" }] })).await;
    let node = &answer["data"]["accounts"]["nodes"][0];
    assert_eq!(
        node["first"],
        json!({ "totalCount": 3, "nodes": [{ "lastName": "Ada", "account": { "name": "Acme" } }] })
    );
    assert_eq!(node["last"], json!({ "nodes": [{ "lastName": "Cid" }], "pageInfo": { "hasPreviousPage": true } }));
    assert_eq!(node["again"]["nodes"][0]["owner"]["id"], who.member.to_string());
    assert_eq!(node["some"], json!({ "totalCount": 1, "nodes": [{ "lastName": "Bob" }] }));
    assert_eq!(node["none"], json!({ "totalCount": 3, "nodes": [] }));
    assert_eq!(node["wrong"], Value::Null);
    assert_eq!(answer["errors"][0]["path"], json!(["accounts", "nodes", 0, "wrong"]), "{answer:#}");
    assert_eq!(answer["errors"].as_array().map(Vec::len), Some(1));
}

/// The histories of a page, read together, are those that its records have each for itself.
#[tokio::test]
async fn histories_of_a_page_are_those_of_its_records() {
    let who = server().await.founder().await;
    let (acme, globex) = (account(&who, "Acme").await, account(&who, "Globex").await);
    for (id, name) in [(&acme, "Acme 2"), (&globex, "Globex 2"), (&acme, "Acme 3")] {
        let query = "mutation($input: AccountUpdateInput!) { accountUpdate(input: $input) { account { id } } }";
        ask(&who, query, json!({ "input": { "id": id, "name": name } })).await;
    }
    let mut lead = String::new();
    // As many as there are entries of accounts.
    for _ in 0..5 {
        lead = created(&who, "Lead", json!({ "firstName": "L", "lastName": "L" })).await;
    }
    let query = "query($after: String) { accounts(first: 2, orderBy: [{ field: NAME }]) { nodes {
        all: history { cursor action changes { field new } } newest: history(first: 1) { action changes { new } }
        more: history(after: $after) { cursor } wrong: history(first: 0) { action } } } }";
    let of_page = async |after: &Value| ask(&who, query, json!({ "after": after })).await;
    let whole = of_page(&Value::Null).await;
    let nodes = &whole["data"]["accounts"]["nodes"];
    assert!(nodes.is_array(), "{whole:#}");
    let actions = |of: &Value| -> Vec<String> {
        of.as_array().expect("entries").iter().map(|entry| entry["action"].as_str().unwrap_or("").to_owned()).collect()
    };
    assert_eq!(actions(&nodes[0]["all"]), ["updated", "updated", "created"]);
    assert_eq!(actions(&nodes[1]["all"]), ["updated", "created"]);
    let newest = |name: &str| json!([{ "action": "updated", "changes": [{ "new": name }] }]);
    assert_eq!((&nodes[0]["newest"], &nodes[1]["newest"]), (&newest("Acme 3"), &newest("Globex 2")));
    let paths: Vec<_> = whole["errors"].as_array().expect("errors").iter().map(|error| error["path"].clone()).collect();
    assert_eq!(paths, [0, 1].map(|node| json!(["accounts", "nodes", node, "wrong"])), "{whole:#}");

    // One log for all records of a type: the same place in it is before and behind different entries of each.
    let place = &nodes[1]["all"][0]["cursor"];
    let behind = of_page(place).await;
    let more = |node: usize| behind["data"]["accounts"]["nodes"][node]["more"].clone();
    let cursors =
        |entries: &[Value]| Value::from_iter(entries.iter().map(|entry| json!({ "cursor": entry["cursor"] })));
    assert_eq!(more(0), cursors(&nodes[0]["all"].as_array().expect("entries")[1..]));
    assert_eq!(more(1), cursors(&nodes[1]["all"].as_array().expect("entries")[1..]));
    let single = "query($id: ID!, $after: String) { account(id: $id) { history(after: $after) { cursor } } }";
    let alone = ask(&who, single, json!({ "id": acme, "after": place })).await;
    assert_eq!(alone["data"]["account"]["history"], more(0));

    let query = "query($id: ID!) { lead(id: $id) { history { cursor } } }";
    let other = ask(&who, query, json!({ "id": lead })).await["data"]["lead"]["history"][0]["cursor"].clone();
    let refused = of_page(&other).await;
    let invalid = refused["errors"].as_array().expect("errors").iter();
    let invalid = invalid.filter(|error| error["extensions"]["code"] == "INVALID_CURSOR").count();
    assert_eq!(invalid, 2, "a place in the log of leads is none here: {refused:#}");
}
