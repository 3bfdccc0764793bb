//! Plans answer what the executor answers. A query that also asks for `version` has no plan: both answers are compared,
//! to the order of the keys.

use crate::kit::{Founder, Server, code, data, server};
use serde_json::{Value, json};

/// The answer with a plan, after it has been found to be that of the executor.
async fn both(server: &Server, who: &Founder, query: &str, variables: Value) -> Value {
    let planned = server.graphql(query, variables.clone(), Some(who)).await;
    let place = query.find('{').expect("a selection") + 1;
    let (head, rest) = query.split_at(place);
    let executed = server.graphql(&format!("{head} version {rest}"), variables, Some(who)).await;
    let mut of_executor = executed["data"].clone();
    of_executor.as_object_mut().expect("data").shift_remove("version");
    assert_eq!(planned["data"].to_string(), of_executor.to_string(), "{query}");
    assert!(planned.get("errors").is_none(), "{planned:#}");
    planned["data"].clone()
}

/// Look-ups by key go over one connection for everybody, each behind the word for whom it is asked.
#[tokio::test]
async fn many_organizations_look_up_at_once_and_each_finds_its_own() {
    let server = server().await;
    let mut own = Vec::new();
    for n in 0..8 {
        let who = server.founder().await;
        let create = "mutation($name: String!) { accountCreate(input: {name: $name}) { account { id } } }";
        let made = server.graphql(create, json!({ "name": format!("Of {n}") }), Some(&who)).await;
        own.push((who, data(&made, "accountCreate.account.id").clone(), format!("Of {n}")));
    }
    let query = "query($own: ID!, $other: ID!) { own: account(id: $own) { name } other: account(id: $other) { name } }";
    let rounds = (0..400).map(|n| {
        let ((who, id, name), (_, other, _)) = (&own[n % 8], &own[(n + 1 + n / 8 % 7) % 8]);
        async move {
            let answer = server.graphql(query, json!({ "own": id, "other": other }), Some(who)).await;
            assert_eq!(answer["data"], json!({ "own": { "name": name }, "other": null }), "{answer}");
        }
    });
    futures_util::future::join_all(rounds).await;
}

const LEADS: &str = "mutation($items: [LeadCreateInput!]!) { leadBulkCreate(input: {items: $items}) {
    succeeded results { lead { id } userErrors { field message } } } }";

async fn filled(server: &Server) -> (Founder, Vec<String>) {
    let who = server.founder().await;
    let made = server
        .graphql(
            "mutation { accountCreate(input: {name: \"Acme \\\"&\\\" Söhne\\\\\", annualRevenue: \"1234567890123.45\", type: PARTNER,
                billingAddress: {city: \"Köln\"}}) { account { id } } }",
            json!({}),
            Some(&who),
        )
        .await;
    let account = data(&made, "accountCreate.account.id");
    for name in ["Ann", "Bob", "Cid", "Dan"] {
        let input = json!({ "firstName": name, "lastName": "Lee", "accountId": account, "birthday": "1969-07-20",
                            "doNotCall": name == "Bob" });
        let query = "mutation($input: ContactCreateInput!) { contactCreate(input: $input) { contact { id } } }";
        server.graphql(query, json!({ "input": input }), Some(&who)).await;
    }
    let items: Vec<Value> = (0..12)
        .map(|n: usize| {
            let tags: Vec<String> = (0..n % 3).map(|tag| format!("t\"{tag}")).collect();
            json!({
                "firstName": format!("L{n:02}"), "lastName": "Tab\u{e9}", "score": n * 8, "notes": "line\none\ttwo \u{1F600} \u{2028}",
                "email": n.is_multiple_of(2).then(|| format!("l{n}@example.com")), "accountId": (!n.is_multiple_of(3)).then_some(account),
                "annualRevenue": (["0", "0.05", "10000", "99999.90", "123456789.01"].get(n)),
                "status": (["NEW", "CONTACTED", "QUALIFIED"][n % 3]), "tags": tags,
                "customFields": { "a": n, "b": [1.5, null, "x"], "c": { "d": true } },
                "lastContactedAt": n.is_multiple_of(4).then_some("2025-12-31T23:59:59.999Z"),
            })
        })
        .collect();
    let made = server.graphql(LEADS, json!({ "items": items }), Some(&who)).await;
    assert_eq!(data(&made, "leadBulkCreate.succeeded"), 12, "{made:#}");
    let ids = (0..12)
        .map(|n| data(&made, &format!("leadBulkCreate.results.{n}.lead.id")).as_str().expect("an id").to_owned());
    (who, ids.collect())
}

const COLUMNS: &str = "id firstName lastName email phone company title source status score industry annualRevenue currency
    employees website address notes assignedToId accountId contactId convertedAt lastContactedAt tags customFields ownerId
    createdBy createdAt updatedAt version deletedAt deletedBy";

#[tokio::test]
async fn every_column_and_every_relation_reads_alike() {
    let server = server().await;
    let (who, ids) = filled(server).await;
    let deep = "nodes { id contacts(first: 2, orderBy: [{field: FIRST_NAME}]) { pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
        edges { cursor node { name: firstName birthday doNotCall owner { name role joinedAt } account { parent { id } } } } }
        leads(first: 3, filter: {status: {in: [NEW, QUALIFIED]}}) { nodes { id status account { name } } __typename } }";
    for query in [
        format!("{{ leads(first: 20) {{ nodes {{ {COLUMNS} __typename owner {{ __typename id name email }} account {{ name annualRevenue }} creator {{ name }} }} }} }}"),
        format!("{{ a: lead(id: \"{}\") {{ x: firstName {COLUMNS} }} b: lead(id: \"{}\") {{ id owner {{ manager {{ id }} }} }} }}", ids[0], who.member),
        format!("{{ accounts {{ {deep} __typename }} }}"),
        "{ leads(first: 5) { totalCount nodes { id } pageInfo { __typename endCursor hasNextPage } } none: leads(filter: {score: {gt: 1000}}) { nodes { id } pageInfo { startCursor hasPreviousPage } } }".to_owned(),
        "query Q { __typename members(orderBy: [{field: NAME}]) { edges { __typename node { id status createdAt } } } }".to_owned(),
        "{ leads { ...F } } fragment F on LeadConnection { nodes { ...L } } fragment L on Lead { id ... on Lead { score } ... @include(if: true) { status } ... @skip(if: true) { city } }".to_owned(),
        "{ contacts(last: 2) { nodes { reportsTo { id } reports { nodes { id } } convertedLeads { nodes { id } } } } }".to_owned(),
        "{ conversations { nodes { id kind title lastSeq messages(first: 5) { nodes { seq body sender { name } } } } } }".to_owned(),
    ] {
        both(server, &who, &query, json!({})).await;
    }
}

#[tokio::test]
async fn pages_follow_one_another_alike() {
    let server = server().await;
    let (who, _) = filled(server).await;
    let query = "query($after: String, $before: String, $first: Int, $last: Int) {
        leads(first: $first, last: $last, after: $after, before: $before,
              orderBy: [{field: ANNUAL_REVENUE, nulls: FIRST}, {field: CREATED_AT, direction: DESC}]) {
            edges { cursor node { firstName annualRevenue } } pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } }";
    let (mut after, mut seen) = (Value::Null, Vec::new());
    loop {
        let page = both(server, &who, query, json!({ "first": 5, "after": after })).await;
        let edges = page["leads"]["edges"].as_array().expect("edges");
        seen.extend(edges.iter().map(|edge| edge["node"]["firstName"].as_str().expect("a name").to_owned()));
        after = page["leads"]["pageInfo"]["endCursor"].clone();
        if page["leads"]["pageInfo"]["hasNextPage"] == false {
            break;
        }
    }
    assert_eq!(seen.len(), 12);
    assert_eq!(&seen[7..], ["L00", "L01", "L02", "L03", "L04"]);
    let back = both(server, &who, query, json!({ "last": 4, "before": after })).await;
    assert_eq!(back["leads"]["edges"].as_array().expect("edges").len(), 4);
}

#[tokio::test]
async fn what_a_plan_cannot_do_the_executor_words() {
    let server = server().await;
    let (who, _) = filled(server).await;
    for (query, wanted) in [
        ("{ leads(first: 101) { nodes { id } } }", "BAD_USER_INPUT"),
        ("{ leads(after: \"x\") { nodes { id } } }", "INVALID_CURSOR"),
        ("{ lead(id: \"x\") { id } }", "BAD_USER_INPUT"),
        ("{ accounts { nodes { leads(first: -1) { nodes { id } } } } }", "BAD_USER_INPUT"),
    ] {
        assert_eq!(code(&server.graphql(query, json!({}), Some(&who)).await), wanted, "{query}");
    }
    let guest = server.member(&who, "guest", None).await;
    assert_eq!(code(&server.graphql("{ leads { nodes { id } } }", json!({}), Some(&guest)).await), "FORBIDDEN");
    // An omitted variable leaves the argument out; null is null.
    let query = "query($first: Int, $filter: LeadFilter) { leads(first: $first, filter: $filter) { nodes { id } } }";
    both(server, &who, query, json!({})).await;
    both(server, &who, query, json!({ "first": null, "filter": null })).await;
    both(server, &who, query, json!({ "first": 2, "filter": { "score": { "gte": 10 } } })).await;
}
