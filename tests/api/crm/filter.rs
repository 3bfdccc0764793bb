//! Filters: each operator of each kind of field, what null means to it, and its limits; in SQL and in memory alike.

use super::{account, ask, contact, created, texts};
use crate::kit::{Founder, code, data, server};
use async_graphql::InputType;
use proptest::{
    prelude::*,
    strategy::ValueTree,
    test_runner::{Config, TestRunner},
};
use serde_json::{Value, json};
use stoa::{
    crm::lead::{Lead, LeadFilter},
    kit::{
        entity::Entity,
        filter::{Budget, Filter},
    },
};

/// The last names of the leads that fit, the lowest score first.
async fn fitting(who: &Founder, filter: &Value) -> Vec<String> {
    let query = "query($filter: LeadFilter) { leads(first: 100, filter: $filter, orderBy: [{ field: SCORE }]) {
        totalCount nodes { lastName } } }";
    let answer = ask(who, query, json!({ "filter": filter })).await;
    let names = texts(data(&answer, "leads.nodes"), "/lastName");
    assert_eq!(data(&answer, "leads.totalCount"), names.len(), "{filter}");
    names
}

async fn three_leads(who: &Founder) {
    let ago = |days: i64| (chrono::Utc::now() - chrono::TimeDelta::days(days)).to_rfc3339();
    let acme = created(who, "Account", json!({ "name": "Acme", "employees": 5 })).await;
    for lead in [
        json!({ "lastName": "Anna", "score": 10, "company": "100% Acme_Co\\", "email": "ANNA@x.de", "accountId": acme,
                "annualRevenue": "100.50", "lastContactedAt": ago(2), "tags": ["vip", "eu"],
                "customFields": { "size": "XL", "n": 1, "b": true, "nothing": null } }),
        json!({ "lastName": "Zoë", "score": 20, "company": "Größe 100 Acme-Co", "status": "CONTACTED", "tags": ["eu"],
                "source": "web", "customFields": { "size": "S" }, "website": "https://Example.com/a" }),
        json!({ "lastName": "ZOE", "score": 30, "annualRevenue": 300, "lastContactedAt": ago(10), "source": "fair",
                "status": "QUALIFIED", "industry": "\u{ff3c}" }),
    ] {
        let mut lead = lead;
        lead["firstName"] = "F".into();
        created(who, "Lead", lead).await;
    }
}

#[tokio::test]
async fn every_operator_finds_what_it_says() {
    let who = server().await.founder().await;
    three_leads(&who).await;
    let all = ["Anna", "Zoë", "ZOE"];
    let nobody: &[&str] = &[];
    let cases: &[(Value, &[&str])] = &[
        (json!(null), &all),
        (json!({}), &all),
        (json!({ "lastName": null }), &all),
        (json!({ "lastName": {} }), &all),
        (json!({ "lastName": { "eq": null } }), &all),
        // Texts.
        (json!({ "lastName": { "eq": "Zoë" } }), &["Zoë"]),
        (json!({ "lastName": { "eq": "Zoe\u{308}" } }), &["Zoë"]),
        (json!({ "lastName": { "eq": "zoë" } }), nobody),
        (json!({ "lastName": { "ne": "Zoë" } }), &["Anna", "ZOE"]),
        (json!({ "company": { "ne": "x" } }), &all),
        (json!({ "company": { "notIn": ["x"] } }), &all),
        (json!({ "company": { "notIn": [] } }), &all),
        (json!({ "company": { "in": [] } }), nobody),
        (json!({ "lastName": { "in": ["Anna", "ZOE", "x"] } }), &["Anna", "ZOE"]),
        (json!({ "company": { "isNull": true } }), &["ZOE"]),
        (json!({ "company": { "isNull": false } }), &["Anna", "Zoë"]),
        (json!({ "lastName": { "contains": "zoe" } }), &["Zoë", "ZOE"]),
        (json!({ "lastName": { "contains": "ÖÉ" } }), &["Zoë", "ZOE"]),
        (json!({ "lastName": { "startsWith": "Zo" } }), &["Zoë", "ZOE"]),
        (json!({ "lastName": { "endsWith": "OË" } }), &["Zoë", "ZOE"]),
        (json!({ "lastName": { "startsWith": "oe" } }), nobody),
        (json!({ "lastName": { "endsWith": "zo" } }), nobody),
        (json!({ "lastName": { "endsWith": "xxZoe" } }), nobody),
        (json!({ "company": { "contains": "" } }), &["Anna", "Zoë"]),
        (json!({ "company": { "endsWith": "" } }), &["Anna", "Zoë"]),
        (json!({ "company": { "contains": "%" } }), &["Anna"]),
        (json!({ "company": { "contains": "e_c" } }), &["Anna"]),
        (json!({ "company": { "contains": "\\" } }), &["Anna"]),
        (json!({ "company": { "endsWith": "\\" } }), &["Anna"]),
        (json!({ "company": { "startsWith": "100%" } }), &["Anna"]),
        (json!({ "company": { "contains": "grosse" } }), &["Zoë"]),
        // Letters that fold to `\` and `%`.
        (json!({ "industry": { "endsWith": "\u{ff3c}" } }), &["ZOE"]),
        (json!({ "industry": { "contains": "\u{ff05}" } }), nobody),
        (json!({ "company": { "contains": "'; DROP TABLE leads; --" } }), nobody),
        (json!({ "email": { "eq": "anna@x.de" } }), &["Anna"]),
        (json!({ "website": { "contains": "EXAMPLE" } }), &["Zoë"]),
        // Numbers, exact numbers, moments.
        (json!({ "score": { "gt": 10, "lte": 30 } }), &["Zoë", "ZOE"]),
        (json!({ "score": { "gte": 20, "lt": 30 } }), &["Zoë"]),
        (json!({ "score": { "in": [10, 30], "notIn": [30], "ne": 5, "eq": 10 } }), &["Anna"]),
        (json!({ "annualRevenue": { "eq": "100.5" } }), &["Anna"]),
        (json!({ "annualRevenue": { "ne": 300 } }), &["Anna", "Zoë"]),
        (json!({ "annualRevenue": { "gt": 0 } }), &["Anna", "ZOE"]),
        (json!({ "not": { "annualRevenue": { "gt": 0 } } }), &["Zoë"]),
        (json!({ "annualRevenue": { "in": ["300.00"] } }), &["ZOE"]),
        (json!({ "lastContactedAt": { "gte": "-P7D" } }), &["Anna"]),
        (json!({ "lastContactedAt": { "lt": "-P1W" } }), &["ZOE"]),
        (json!({ "lastContactedAt": { "lt": "PT1H" } }), &["Anna", "ZOE"]),
        (json!({ "createdAt": { "gt": "P1D" } }), nobody),
        // Enums.
        (json!({ "status": { "eq": "NEW" } }), &["Anna"]),
        (json!({ "status": { "ne": "NEW" } }), &["Zoë", "ZOE"]),
        (json!({ "status": { "in": ["NEW", "QUALIFIED"] } }), &["Anna", "ZOE"]),
        (json!({ "status": { "notIn": ["NEW", "QUALIFIED"] } }), &["Zoë"]),
        (json!({ "status": { "isNull": true } }), nobody),
        // Tags.
        (json!({ "tags": { "has": "eu" } }), &["Anna", "Zoë"]),
        (json!({ "tags": { "hasAny": ["vip", "x"] } }), &["Anna"]),
        (json!({ "tags": { "hasAll": ["vip", "eu"] } }), &["Anna"]),
        (json!({ "tags": { "hasAll": [] } }), &all),
        (json!({ "tags": { "hasAny": [] } }), nobody),
        (json!({ "tags": { "isEmpty": true } }), &["ZOE"]),
        (json!({ "tags": { "isEmpty": false } }), &["Anna", "Zoë"]),
        // Custom fields.
        (json!({ "customFields": [{ "key": "size", "eq": "XL" }] }), &["Anna"]),
        (json!({ "customFields": [{ "key": "size", "ne": "XL" }] }), &["Zoë", "ZOE"]),
        (json!({ "customFields": [{ "key": "size", "in": ["S", "XL"] }] }), &["Anna", "Zoë"]),
        (json!({ "customFields": [{ "key": "size", "isNull": true }] }), &["ZOE"]),
        (json!({ "customFields": [{ "key": "nothing", "isNull": false }] }), nobody),
        (json!({ "customFields": [{ "key": "n", "eq": "1" }, { "key": "b", "eq": "true" }] }), &["Anna"]),
        // Together.
        (json!({ "and": [] }), &all),
        (json!({ "or": [] }), nobody),
        (json!({ "or": [{ "score": { "eq": 10 } }, { "lastName": { "eq": "ZOE" } }] }), &["Anna", "ZOE"]),
        (json!({ "or": [{}, { "score": { "eq": 10 } }] }), &all),
        (json!({ "not": {} }), nobody),
        (json!({ "not": { "company": { "contains": "acme" } } }), &["ZOE"]),
        (json!({ "not": { "or": [{ "score": { "eq": 10 } }, { "not": { "score": { "eq": 30 } } }] } }), &["ZOE"]),
        (json!({ "score": { "gt": 10 }, "and": [{ "score": { "lt": 30 } }] }), &["Zoë"]),
        // Search.
        (json!({ "search": "zoe" }), &["Zoë", "ZOE"]),
        (json!({ "search": "  acme   anna " }), &["Anna"]),
        (json!({ "search": "100%" }), &["Anna"]),
        (json!({ "search": "" }), &all),
        // Other records.
        (json!({ "account": {} }), &["Anna"]),
        (json!({ "not": { "account": {} } }), &["Zoë", "ZOE"]),
        (json!({ "account": { "name": { "contains": "ACME" }, "employees": { "gt": 4 } } }), &["Anna"]),
        (json!({ "account": { "name": { "eq": "x" } } }), nobody),
        (json!({ "account": { "leads": { "some": { "score": { "eq": 10 } } } } }), &["Anna"]),
        (json!({ "owner": { "role": { "eq": "OWNER" } } }), &all),
        (json!({ "accountId": { "isNull": true } }), &["Zoë", "ZOE"]),
        (json!({ "ownerId": { "in": [who.member] } }), &all),
        (json!({ "ownerId": { "ne": who.member } }), nobody),
    ];
    for (filter, wanted) in cases {
        assert_eq!(fitting(&who, filter).await, *wanted, "{filter}");
    }
    // What an answer shows can be asked for.
    let answer = ask(&who, "{ leads { nodes { createdAt lastContactedAt } } }", json!({})).await;
    let created = &data(&answer, "leads.nodes.0.createdAt");
    assert!(!fitting(&who, &json!({ "createdAt": { "eq": created } })).await.is_empty());
    assert!(!fitting(&who, &json!({ "createdAt": { "lte": created, "gte": created } })).await.is_empty());
}

#[tokio::test]
async fn some_every_and_none_of_a_list() {
    let who = server().await.founder().await;
    for (account, contacts) in [("none", vec![]), ("ada", vec!["Ada"]), ("both", vec!["Ada", "Bob"])] {
        let id = super::account(&who, account).await;
        for last_name in contacts {
            created(&who, "Contact", json!({ "firstName": "C", "lastName": last_name, "accountId": id })).await;
        }
    }
    let ada = json!({ "lastName": { "eq": "Ada" } });
    for (quantifiers, wanted) in [
        (json!({ "some": ada }), vec!["ada", "both"]),
        (json!({ "some": {} }), vec!["ada", "both"]),
        (json!({ "every": ada }), vec!["ada", "none"]),
        (json!({ "none": ada }), vec!["none"]),
        (json!({ "none": {} }), vec!["none"]),
        (json!({ "some": ada, "every": ada }), vec!["ada"]),
        (json!({}), vec!["ada", "both", "none"]),
    ] {
        let query = "query($filter: AccountFilter) { accounts(filter: $filter, orderBy: [{ field: NAME }]) {
            nodes { name } } }";
        let answer = ask(&who, query, json!({ "filter": { "contacts": quantifiers } })).await;
        assert_eq!(texts(data(&answer, "accounts.nodes"), "/name"), wanted, "{quantifiers}");
    }
}

#[tokio::test]
async fn days_are_compared_as_days() {
    let who = server().await.founder().await;
    for birthday in [json!("1990-02-28"), json!("2000-02-29"), json!(null)] {
        created(&who, "Contact", json!({ "firstName": "C", "lastName": "D", "birthday": birthday })).await;
    }
    for (filter, count) in [
        (json!({ "eq": "2000-02-29" }), 1),
        (json!({ "ne": "2000-02-29" }), 2),
        (json!({ "gt": "1990-02-28" }), 1),
        (json!({ "lte": "-P1Y" }), 2),
        (json!({ "in": ["1990-02-28", "2000-02-29"] }), 2),
        (json!({ "isNull": true }), 1),
    ] {
        let query = "query($filter: ContactFilter) { contacts(filter: $filter) { totalCount } }";
        let answer = ask(&who, query, json!({ "filter": { "birthday": filter } })).await;
        assert_eq!(data(&answer, "contacts.totalCount"), count, "{filter}");
    }
}

#[tokio::test]
async fn a_filter_has_limits() {
    let who = server().await.founder().await;
    let nested = |levels: usize| (0..levels).fold(json!({ "score": { "eq": 1 } }), |inner, _| json!({ "not": inner }));
    let leaves = |count: usize| json!({ "or": vec![json!({ "score": { "eq": 1 } }); count] });
    let related =
        |levels: usize| (0..levels).fold(json!({}), |inner, _| json!({ "account": { "leads": { "some": inner } } }));
    for (filter, ok) in [
        (nested(5), true),
        (nested(6), false),
        (leaves(50), true),
        (leaves(51), false),
        (json!({ "or": vec![json!({}); 51] }), false),
        (json!({ "and": vec![json!({ "or": [] }); 51] }), false),
        (related(2), true),
        (related(3), false),
        (json!({ "lastName": { "in": vec!["x"; 200] } }), true),
        (json!({ "lastName": { "in": vec!["x"; 201] } }), false),
        (json!({ "score": { "notIn": vec![1; 201] } }), false),
        (json!({ "tags": { "hasAll": vec!["x"; 201] } }), false),
        (json!({ "lastName": { "contains": "x".repeat(1000) } }), true),
        (json!({ "lastName": { "contains": "x".repeat(1001) } }), false),
        (json!({ "lastName": { "eq": "a\u{0}" } }), false),
        (json!({ "lastName": { "in": ["a\u{0}"] } }), false),
        (json!({ "search": "a\u{0}" }), false),
        (json!({ "search": "a b c d e f g h i" }), false),
        (json!({ "tags": { "has": "\u{0}" } }), false),
        (json!({ "customFields": [{ "key": "\u{0}", "eq": "x" }] }), false),
        (json!({ "not": { "deleted": "ONLY" } }), false),
    ] {
        let answer =
            ask(&who, "query($f: LeadFilter) { leads(filter: $f) { totalCount } }", json!({ "f": filter })).await;
        match ok {
            true => assert_eq!(data(&answer, "leads.totalCount"), 0, "{filter}"),
            false => assert_eq!(code(&answer), "BAD_USER_INPUT", "{filter}"),
        }
    }
}

#[tokio::test]
async fn what_is_deleted_is_asked_for_on_purpose() {
    let who = server().await.founder().await;
    let (gone, _stays) = (contact(&who, "Gone").await, contact(&who, "Stays").await);
    let at = account(&who, "Acme").await;
    super::update(&who, "Contact", json!({ "id": gone, "accountId": at })).await;
    super::end(&who, "Contact", "Delete", &gone).await;
    for (deleted, wanted) in [("EXCLUDE", vec!["Stays"]), ("INCLUDE", vec!["Gone", "Stays"]), ("ONLY", vec!["Gone"])] {
        let query = "query($deleted: DeletedRecords) { contacts(filter: { deleted: $deleted }, orderBy: [{ field: LAST_NAME }]) {
            nodes { lastName } } }";
        let answer = ask(&who, query, json!({ "deleted": deleted })).await;
        assert_eq!(texts(data(&answer, "contacts.nodes"), "/lastName"), wanted);
    }
    // Relations neither show nor count it.
    let query = "{ accounts(filter: { contacts: { some: {} } }) { totalCount } all: accounts { nodes { contacts { totalCount } } } }";
    let answer = ask(&who, query, json!({})).await;
    assert_eq!(data(&answer, "accounts.totalCount"), 0);
    assert_eq!(data(&answer, "all.nodes.0.contacts.totalCount"), 0);
}

const WORDS: [&str; 20] = [
    "Zoë",
    "ZOE",
    "zo",
    "Straße",
    "STRASSE",
    "Øre",
    "ore",
    "Йод",
    "йод",
    "Иод",
    "50%",
    "50％",
    "a_b",
    "axb",
    "a\\b",
    "＼",
    "Ёж",
    "Œuvre…",
    "ΆΣ",
    "ſ",
];

/// A value of a lead's fields, or a filter's; `null` one time in five.
fn word() -> impl Strategy<Value = Value> {
    prop::sample::select(&WORDS[..]).prop_map(Value::from)
}

fn perhaps(value: impl Strategy<Value = Value>) -> impl Strategy<Value = Value> {
    prop_oneof![4 => value, 1 => Just(Value::Null)]
}

fn tag() -> impl Strategy<Value = Value> {
    prop::sample::select(&["a", "b", "ä"][..]).prop_map(Value::from)
}

fn some_of(value: impl Strategy<Value = Value>) -> impl Strategy<Value = Value> {
    prop::collection::vec(value, 0..3).prop_map(Value::from)
}

fn number() -> impl Strategy<Value = Value> {
    (0..4).prop_map(|n| Value::from(n * 10))
}

fn moment() -> impl Strategy<Value = Value> {
    (1..4).prop_map(|day| Value::from(format!("2026-01-0{day}T00:00:00Z")))
}

fn a_lead() -> impl Strategy<Value = Value> {
    let tags = some_of(tag());
    let custom = perhaps(prop_oneof![word(), number(), any::<bool>().prop_map(Value::from)]);
    (word(), perhaps(word()), number(), perhaps(number()), perhaps(moment()), tags, custom).prop_map(
        |(last_name, company, score, revenue, contacted, tags, custom)| {
            json!({ "firstName": "F", "lastName": last_name, "company": company, "score": score,
                    "annualRevenue": revenue, "lastContactedAt": contacted, "tags": tags, "customFields": { "k": custom } })
        },
    )
}

/// An operator with its value as the only member of an object.
fn operator(names: &'static [&'static str], value: impl Strategy<Value = Value>) -> impl Strategy<Value = Value> {
    (prop::sample::select(names), value).prop_map(|(name, value)| json!({ name: value }))
}

fn a_filter() -> impl Strategy<Value = Value> {
    let is_null = || operator(&["isNull"], any::<bool>().prop_map(Value::from));
    let text = || {
        prop_oneof![
            operator(&["eq", "ne", "contains", "startsWith", "endsWith"], word()),
            operator(&["in", "notIn"], some_of(word())),
            is_null(),
        ]
    };
    const ORDERED: &[&str] = &["eq", "ne", "gt", "gte", "lt", "lte"];
    let leaf = prop_oneof![
        (prop::sample::select(&["lastName", "company"][..]), text()).prop_map(|(field, is)| json!({ field: is })),
        operator(&["search"], word()),
        prop_oneof![operator(ORDERED, number()), operator(&["in", "notIn"], some_of(number())), is_null()]
            .prop_map(|is| json!({ "annualRevenue": is })),
        operator(ORDERED, number()).prop_map(|is| json!({ "score": is })),
        prop_oneof![operator(ORDERED, moment()), operator(&["in", "notIn"], some_of(moment())), is_null()]
            .prop_map(|is| json!({ "lastContactedAt": is })),
        prop_oneof![operator(&["has"], tag()), operator(&["hasAny", "hasAll"], some_of(tag()))]
            .prop_map(|is| json!({ "tags": is })),
        any::<bool>().prop_map(|empty| json!({ "tags": { "isEmpty": empty } })),
        (prop::sample::select(&["eq", "ne"][..]), prop_oneof![word(), Just(json!("10")), Just(json!("true"))])
            .prop_map(|(operator, value)| json!({ "customFields": [{ "key": "k", operator: value }] })),
        any::<bool>().prop_map(|missing| json!({ "customFields": [{ "key": "k", "isNull": missing }] })),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            (prop::sample::select(&["and", "or"][..]), prop::collection::vec(inner.clone(), 0..3))
                .prop_map(|(word, parts)| json!({ word: parts })),
            inner.prop_map(|part| json!({ "not": part })),
        ]
    })
}

/// A feed decides in memory what a list decides in SQL: over any records and any filters they agree.
#[tokio::test]
async fn memory_and_sql_agree() {
    let server = server().await;
    let who = server.founder().await;
    let mut runner = TestRunner::new(Config::default());
    let items: Vec<Value> = (0..60).map(|_| a_lead().new_tree(&mut runner).expect("a lead").current()).collect();
    let query = "mutation($input: LeadBulkCreateInput!) { leadBulkCreate(input: $input) { succeeded } }";
    assert_eq!(data(&ask(&who, query, json!({ "input": { "items": items } })).await, "leadBulkCreate.succeeded"), 60);
    // The records as the log has them, which is what a feed sees.
    let sql = format!(
        "SELECT json_agg(payload -> 'record')::text FROM events WHERE organization_id = '{}' AND entity = 'Lead'",
        who.organization
    );
    let leads: Vec<Lead> = serde_json::from_str(&server.text(&sql).await).expect("leads");
    assert_eq!(leads.len(), 60);
    for _ in 0..150 {
        let filter = a_filter().new_tree(&mut runner).expect("a filter").current();
        let query = "query($filter: LeadFilter) { leads(first: 100, filter: $filter) { nodes { id } } }";
        let answer = ask(&who, query, json!({ "filter": filter })).await;
        let mut in_sql = texts(data(&answer, "leads.nodes"), "/id");
        in_sql.sort();
        let value = async_graphql::Value::from_json(filter.clone()).expect("a value");
        let parsed = LeadFilter::parse(Some(value)).unwrap_or_else(|_| panic!("{filter}"));
        let fits = parsed.predicate(&mut Budget::default()).expect("within the limits");
        let fitting = leads.iter().filter(|lead| fits.fits(&|column| lead.cell(column)));
        let mut in_memory: Vec<String> = fitting.map(|lead| lead.id.0.to_string()).collect();
        in_memory.sort();
        assert_eq!(in_sql, in_memory, "{filter}");
    }
}
