//! A lead's life: made, changed, deleted, restored, purged; every limit of its fields; and versions.

use super::{ask, create, created, end, events_of, lead, update};
use crate::kit::{code, data, server, user_errors};
use serde_json::{Value, json};

const ALL_FIELDS: &str = "id name firstName lastName email phone company title source status score industry
    annualRevenue currency employees website address city state country postalCode notes assignedToId accountId
    contactId convertedAt lastContactedAt tags customFields ownerId createdBy createdAt updatedAt version deletedAt deletedBy";

#[tokio::test]
async fn what_is_left_out_has_its_default_and_what_is_given_comes_back() {
    let who = server().await.founder().await;
    let id = lead(&who, "Lovelace").await;
    let query = format!("{{ lead(id: \"{id}\") {{ {ALL_FIELDS} }} }}");
    let answer = ask(&who, &query, json!({})).await;
    let lead = data(&answer, "lead");
    let created_at = lead["createdAt"].clone();
    assert_eq!(
        *lead,
        json!({
            "id": id, "name": "Ada Lovelace", "firstName": "Ada", "lastName": "Lovelace", "email": null, "phone": null,
            "company": null, "title": null, "source": null, "status": "NEW", "score": 0, "industry": null,
            "annualRevenue": null, "currency": "USD", "employees": null, "website": null, "address": null, "city": null,
            "state": null, "country": null, "postalCode": null, "notes": null, "assignedToId": null, "accountId": null,
            "contactId": null, "convertedAt": null, "lastContactedAt": null, "tags": [], "customFields": {},
            "ownerId": who.member, "createdBy": who.member, "createdAt": created_at, "updatedAt": created_at,
            "version": 1, "deletedAt": null, "deletedBy": null
        })
    );
    let given = json!({
        "firstName": "  Zoe\u{308} ", "lastName": "B", "email": " ADA@Example.COM ", "phone": " ", "annualRevenue": "-0",
        "website": "https://example.com/ä", "notes": "one\r\n\ttwo", "tags": ["b", "a ", "b"], "employees": 0,
        "lastContactedAt": "2026-01-02T03:04:05.678901+02:00", "customFields": { "z": [1, { "a": "b" }], "a": null },
        "currency": "EUR", "score": 100
    });
    let query = format!(
        "mutation($input: LeadCreateInput!) {{ leadCreate(input: $input) {{ lead {{ {ALL_FIELDS} }} userErrors {{ code }} }} }}"
    );
    let answer = ask(&who, &query, json!({ "input": given })).await;
    let made = data(&answer, "leadCreate.lead").clone();
    for (field, value) in [
        ("firstName", json!("Zoë")),
        ("email", json!("ada@example.com")),
        ("phone", json!(null)),
        ("annualRevenue", json!("0.00")),
        ("website", json!("https://example.com/ä")),
        ("notes", json!("one\r\n\ttwo")),
        ("tags", json!(["b", "a"])),
        ("lastContactedAt", json!("2026-01-02T01:04:05.678Z")),
        ("customFields", json!({ "z": [1, { "a": "b" }], "a": null })),
        ("currency", json!("EUR")),
    ] {
        assert_eq!(made[field], value, "{field}");
    }
    // The answer of the mutation is what a fresh query says.
    let query = format!("query($id: ID!) {{ lead(id: $id) {{ {ALL_FIELDS} }} }}");
    assert_eq!(*data(&ask(&who, &query, json!({ "id": made["id"] })).await, "lead"), made);
}

/// All faults at once, each with its path.
#[tokio::test]
async fn every_limit_of_every_field() {
    let who = server().await.founder().await;
    let unknown = uuid::Uuid::now_v7();
    let bad = json!({
        "firstName": " \t ", "lastName": "x".repeat(121), "phone": "1".repeat(51), "company": "x".repeat(201),
        "title": "a\u{7}b", "source": "a\nb", "score": 101, "industry": "\u{0}", "annualRevenue": "1.234",
        "employees": -1, "address": "x".repeat(301), "city": "é".repeat(121), "postalCode": "1".repeat(21),
        "notes": "x".repeat(10_001), "assignedToId": unknown, "accountId": unknown, "status": "CONVERTED",
        "tags": ["ok", "", "x".repeat(61)], "customFields": { "a": ["\u{0}"] }
    });
    let wanted = [
        "firstName REQUIRED",
        "lastName TOO_LONG",
        "phone TOO_LONG",
        "company TOO_LONG",
        "title INVALID",
        "source INVALID",
        "score OUT_OF_RANGE",
        "industry INVALID",
        "annualRevenue INVALID_FORMAT",
        "employees OUT_OF_RANGE",
        "address TOO_LONG",
        "city TOO_LONG",
        "postalCode TOO_LONG",
        "notes TOO_LONG",
        "tags.1 REQUIRED",
        "tags.2 TOO_LONG",
        "customFields INVALID",
        "assignedToId NOT_FOUND",
        "accountId NOT_FOUND",
        "status STATE_INVALID",
    ];
    assert_eq!(user_errors(&create(&who, "Lead", bad.clone()).await, "leadCreate"), wanted);
    let id = lead(&who, "Sound").await;
    let mut change = bad;
    change["id"] = id.clone().into();
    assert_eq!(user_errors(&update(&who, "Lead", change).await, "leadUpdate"), wanted);
    assert_eq!(events_of(server().await, &id).await, 1);

    let base = json!({ "firstName": "A", "lastName": "B" });
    let keys: serde_json::Map<String, Value> = (0..101).map(|key| (key.to_string(), json!(1))).collect();
    for (field, value, wanted) in [
        ("annualRevenue", json!("9999999999999.99"), ""),
        ("annualRevenue", json!("10000000000000"), "annualRevenue OUT_OF_RANGE"),
        ("annualRevenue", json!("79228162514264337593543950335"), "annualRevenue OUT_OF_RANGE"),
        ("annualRevenue", json!("-0.01"), "annualRevenue OUT_OF_RANGE"),
        ("annualRevenue", json!("1.500"), ""),
        ("score", json!(-1), "score OUT_OF_RANGE"),
        ("employees", json!(100_000_001), "employees OUT_OF_RANGE"),
        ("firstName", json!("é".repeat(120)), ""),
        ("tags", json!(vec!["x"; 51]), "tags TOO_LONG"),
        ("tags", json!(["x".repeat(60)]), ""),
        ("customFields", Value::Object(keys), "customFields TOO_LONG"),
        ("customFields", json!({ "k": "x".repeat(32 * 1024) }), "customFields TOO_LONG"),
        ("customFields", json!({ "k\u{0}": 1 }), "customFields INVALID"),
        ("customFields", json!({ "k": 1e300 }), ""),
        ("lastContactedAt", json!("2016-12-31T23:59:60Z"), ""),
        ("lastContactedAt", json!("0001-01-01T00:00:00Z"), ""),
        ("lastContactedAt", json!("9999-12-31T23:59:59.999Z"), ""),
        ("notes", json!("  "), ""),
    ] {
        let mut input = base.clone();
        input[field] = value;
        assert_eq!(user_errors(&create(&who, "Lead", input).await, "leadCreate").join(", "), wanted, "{field}");
    }
    // What is not written as its type is written is refused before anything runs.
    for (field, value) in [
        ("email", json!("nobody")),
        ("email", json!("a@b.de\u{0}")),
        ("email", json!(format!("{}@x.de", "a".repeat(250)))),
        ("website", json!("javascript:alert(1)")),
        ("website", json!("https://example.com/\u{0}")),
        ("website", json!("https://exa\nmple.com")),
        ("website", json!("example.com")),
        ("currency", json!("EURO")),
        ("currency", json!("eur")),
        ("lastContactedAt", json!("2026-02-30T00:00:00Z")),
        ("lastContactedAt", json!("10000-01-01T00:00:00Z")),
        ("lastContactedAt", json!("yesterday")),
        ("annualRevenue", json!(1.5)),
        ("annualRevenue", json!("1_000")),
        ("annualRevenue", json!("NaN")),
        ("annualRevenue", json!("1e3")),
        ("annualRevenue", json!("9".repeat(39))),
        ("score", json!("10")),
        ("score", json!(2_147_483_648_i64)),
        ("status", json!("new")),
        ("status", json!("LOST")),
        ("tags", json!([null])),
        ("customFields", json!([])),
        ("id", json!("7")),
        ("accountId", json!("")),
        ("firstName", json!(null)),
        ("noSuchField", json!(1)),
    ] {
        let mut input = base.clone();
        input[field] = value.clone();
        let answer = create(&who, "Lead", input).await;
        assert_eq!(code(&answer), "BAD_USER_INPUT", "{field}: {value}");
    }
    let count = format!(
        "SELECT count(*) FROM leads WHERE organization_id = '{}' AND first_name NOT IN ('A', 'Ada') AND first_name NOT LIKE 'é%'",
        who.organization
    );
    assert_eq!(server().await.count(&count).await, 0);
}

/// Half a surrogate pair is no text, in a document or in its variables.
#[tokio::test]
async fn half_a_character_is_refused() {
    let server = server().await;
    let who = server.founder().await;
    let query = "mutation($n: String!) { leadCreate(input: { firstName: $n, lastName: \\\"B\\\" }) { lead { id } } }";
    let body = format!("{{\"query\": \"{query}\", \"variables\": {{ \"n\": \"\\ud800\" }} }}");
    let request = reqwest::Client::new().post(format!("{}/graphql", server.url())).bearer_auth(&who.token);
    let answer = request.header("content-type", "application/json").body(body).send().await.expect("an answer");
    assert_eq!(answer.status(), 400);
    let query = "mutation { leadCreate(input: { firstName: \"\\uD800\", lastName: \"B\" }) { lead { id } } }";
    let answer = ask(&who, query, json!({})).await;
    assert!(
        answer["errors"][0]["extensions"]["code"].as_str().is_some_and(|code| code.starts_with("GRAPHQL")),
        "{answer}"
    );
}

#[tokio::test]
async fn a_change_keeps_what_it_leaves_out_and_null_clears() {
    let server = server().await;
    let who = server.founder().await;
    let input = json!({ "firstName": "A", "lastName": "B", "company": "Acme", "score": 7, "tags": ["x"],
                        "customFields": { "a": 1 }, "annualRevenue": 5 });
    let id = created(&who, "Lead", input).await;
    let query = "mutation($input: LeadUpdateInput!) { leadUpdate(input: $input) {
        lead { firstName company score tags customFields annualRevenue status version } userErrors { field code } } }";
    let step = async |mut input: Value| {
        input["id"] = id.clone().into();
        ask(&who, query, json!({ "input": input })).await
    };
    let mut wanted = json!({ "firstName": "A", "company": "Acme", "score": 7, "tags": ["x"], "customFields": { "a": 1 },
                             "annualRevenue": "5.00", "status": "NEW", "version": 1 });
    // Nothing changes: no version, no event.
    for same in [json!({}), json!({ "company": " Acme ", "annualRevenue": "5.0", "tags": ["x", "x"] })] {
        assert_eq!(*data(&step(same).await, "leadUpdate.lead"), wanted);
        assert_eq!(events_of(server, &id).await, 1);
    }
    for (change, version) in [
        (json!({ "company": null, "annualRevenue": null }), 2),
        (json!({ "score": 8, "tags": [] }), 3),
        (json!({ "customFields": {} }), 4),
    ] {
        for (field, value) in change.as_object().expect("an object") {
            wanted[field] = value.clone();
        }
        wanted["version"] = version.into();
        assert_eq!(*data(&step(change).await, "leadUpdate.lead"), wanted);
        assert_eq!(events_of(server, &id).await, version);
    }
    let nulls = json!({ "firstName": null, "score": null, "status": null, "tags": null, "customFields": null, "currency": null });
    let told = user_errors(&step(nulls).await, "leadUpdate");
    assert_eq!(
        told,
        [
            "firstName REQUIRED",
            "status REQUIRED",
            "score REQUIRED",
            "currency REQUIRED",
            "tags REQUIRED",
            "customFields REQUIRED"
        ]
    );
}

#[tokio::test]
async fn of_parallel_changes_to_one_version_exactly_one_wins() {
    let server = server().await;
    let who = server.founder().await;
    let id = lead(&who, "Contended").await;
    let answers = futures_util::future::join_all((0..8).map(|score| {
        let change = json!({ "id": id, "expectedVersion": 1, "score": score + 1 });
        let who = &who;
        async move { update(who, "Lead", change).await }
    }))
    .await;
    let told: Vec<String> = answers.iter().map(|answer| user_errors(answer, "leadUpdate").join(", ")).collect();
    assert_eq!(told.iter().filter(|told| told.is_empty()).count(), 1, "{told:?}");
    for answer in answers.iter().filter(|answer| !user_errors(answer, "leadUpdate").is_empty()) {
        assert_eq!(user_errors(answer, "leadUpdate"), ["expectedVersion CONFLICT"]);
        assert_eq!(*data(answer, "leadUpdate.lead"), json!({ "id": id, "version": 2 }), "the record as it stands");
    }
    assert_eq!(events_of(server, &id).await, 2);
    let stale = "mutation($id: ID!) { leadDelete(input: { id: $id, expectedVersion: 1 }) { lead { version } userErrors { field code } } }";
    assert_eq!(user_errors(&ask(&who, stale, json!({ "id": id })).await, "leadDelete"), ["expectedVersion CONFLICT"]);
}

#[tokio::test]
async fn deleted_restored_purged() {
    let server = server().await;
    let who = server.founder().await;
    let rep = server.member(&who, "sales_rep", None).await;
    let id = lead(&rep, "Short").await;
    let lookup = format!("{{ lead(id: \"{id}\") {{ version deletedAt }} }}");
    for (who, verb, wanted, there) in [
        (&rep, "Restore", "id NOT_FOUND", true),
        (&who, "Purge", "id NOT_FOUND", true),
        (&rep, "Delete", "", false),
        (&rep, "Delete", "id NOT_FOUND", false),
        (&rep, "Restore", "", true),
        (&rep, "Delete", "", false),
        (&rep, "Purge", "FORBIDDEN", false),
        (&who, "Purge", "", false),
        (&who, "Purge", "id NOT_FOUND", false),
        (&who, "Restore", "id NOT_FOUND", false),
    ] {
        let answer = end(who, "Lead", verb, &id).await;
        match wanted {
            "FORBIDDEN" => assert_eq!(code(&answer), wanted),
            wanted => assert_eq!(user_errors(&answer, &format!("lead{verb}")).join(", "), wanted, "{verb}"),
        }
        assert_eq!(data(&ask(&rep, &lookup, json!({})).await, "lead").is_null(), !there, "{verb}");
        assert_eq!(
            user_errors(&update(&rep, "Lead", json!({ "id": id })).await, "leadUpdate").is_empty(),
            there,
            "{verb}"
        );
    }
    let kinds =
        server.text(&format!("SELECT string_agg(kind, ' ' ORDER BY seq) FROM events WHERE entity_id = '{id}'")).await;
    assert_eq!(kinds, "created deleted restored deleted purged");
}
