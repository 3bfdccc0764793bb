//! Lists: every order, paged both ways, has each record once; cursors work where they belong and nowhere else.

use super::{ask, created, texts};
use crate::kit::{Founder, code, data, server};
use proptest::{
    prelude::*,
    strategy::ValueTree,
    test_runner::{Config, TestRunner},
};
use serde_json::{Value, json};
use std::cmp::Ordering;

/// What the orders look at.
#[derive(Clone, Debug)]
struct Row {
    id: String,
    last_name: String,
    company: Option<String>,
    score: i64,
    revenue: Option<i64>,
    contacted: Option<String>,
}

/// Leads of which many are alike in some fields.
async fn leads(who: &Founder, count: usize) -> Vec<Row> {
    let mut rows = Vec::new();
    for index in 0..count {
        rows.push(Row {
            id: uuid::Uuid::now_v7().to_string(),
            last_name: ["Zoë", "ada", "Ada", "Ångström", "O'Neil"][index % 5].into(),
            company: [None, Some("Acme"), Some("Zeta")][index % 3].map(str::to_owned),
            score: (index % 4) as i64 * 10,
            revenue: (index % 7 > 2).then_some((index % 7) as i64 * 1000),
            contacted: (index % 2 == 0).then(|| format!("2026-01-{:02}T00:00:00.000Z", index % 28 + 1)),
        });
    }
    let query = "mutation($input: LeadBulkCreateInput!) { leadBulkCreate(input: $input) { succeeded } }";
    for part in rows.chunks(100) {
        let items: Vec<Value> = part
            .iter()
            .map(|row| {
                json!({ "id": row.id, "firstName": "A", "lastName": row.last_name, "company": row.company,
                        "score": row.score, "annualRevenue": row.revenue, "lastContactedAt": row.contacted })
            })
            .collect();
        let answer = ask(who, query, json!({ "input": { "items": items } })).await;
        assert_eq!(data(&answer, "leadBulkCreate.succeeded"), part.len());
    }
    rows
}

/// Field, descending, nulls first.
type Key = (&'static str, bool, Option<bool>);
const FIELDS: [&str; 5] = ["LAST_NAME", "COMPANY", "SCORE", "ANNUAL_REVENUE", "LAST_CONTACTED_AT"];

fn order_by(keys: &[Key]) -> Value {
    let key = |(field, descending, nulls): &Key| {
        json!({ "field": field, "direction": if *descending { "DESC" } else { "ASC" },
                "nulls": nulls.map(|first| if first { "FIRST" } else { "LAST" }) })
    };
    keys.iter().map(key).collect()
}

/// The ids as the order wants them; an id decides between equals, in the direction of the last key.
fn model(rows: &[Row], keys: &[Key]) -> Vec<String> {
    fn with_nulls<T: Ord>(a: Option<T>, b: Option<T>, (_, descending, nulls): &Key) -> Ordering {
        let nulls_first = nulls.unwrap_or(*descending);
        match (a, b) {
            (None, None) => Ordering::Equal,
            (None, _) if nulls_first => Ordering::Less,
            (None, _) => Ordering::Greater,
            (_, None) if nulls_first => Ordering::Greater,
            (_, None) => Ordering::Less,
            (Some(a), Some(b)) if *descending => b.cmp(&a),
            (Some(a), Some(b)) => a.cmp(&b),
        }
    }
    let mut sorted: Vec<&Row> = rows.iter().collect();
    sorted.sort_by(|a, b| {
        let by_keys = keys.iter().map(|key| match key.0 {
            "LAST_NAME" => with_nulls(Some(&a.last_name), Some(&b.last_name), key),
            "COMPANY" => with_nulls(a.company.as_ref(), b.company.as_ref(), key),
            "SCORE" => with_nulls(Some(a.score), Some(b.score), key),
            "ANNUAL_REVENUE" => with_nulls(a.revenue, b.revenue, key),
            _ => with_nulls(a.contacted.as_ref(), b.contacted.as_ref(), key),
        });
        let last = keys.last().is_none_or(|key| key.1);
        let by_id = if last { b.id.cmp(&a.id) } else { a.id.cmp(&b.id) };
        by_keys.fold(Ordering::Equal, Ordering::then).then(by_id)
    });
    sorted.into_iter().map(|row| row.id.clone()).collect()
}

const PAGE: &str = "query($order: [LeadOrder!], $first: Int, $after: String, $last: Int, $before: String) {
    leads(orderBy: $order, first: $first, after: $after, last: $last, before: $before) {
        nodes { id } edges { cursor node { id } }
        pageInfo { hasNextPage hasPreviousPage startCursor endCursor } totalCount } }";

/// Reads the whole list page by page and checks each page against the model.
async fn read_through(who: &Founder, keys: &[Key], wanted: &[String], size: usize, backward: bool) {
    let mut cursor = Value::Null;
    let mut rest = wanted;
    loop {
        let variables = match backward {
            false => json!({ "order": order_by(keys), "first": size, "after": cursor }),
            true => json!({ "order": order_by(keys), "last": size, "before": cursor }),
        };
        let answer = ask(who, PAGE, variables).await;
        let page = data(&answer, "leads");
        let many = rest.len().min(size);
        let (here, behind) = match backward {
            false => rest.split_at(many),
            true => {
                let (behind, here) = rest.split_at(rest.len() - many);
                (here, behind)
            }
        };
        let info = &page["pageInfo"];
        let (more, other) =
            if backward { ("hasPreviousPage", "hasNextPage") } else { ("hasNextPage", "hasPreviousPage") };
        assert_eq!(texts(&page["nodes"], "/id"), here, "{keys:?} {size} {backward}");
        assert_eq!(info[more], !behind.is_empty(), "{keys:?} {size} {backward}");
        assert_eq!(info[other], !cursor.is_null(), "{keys:?} {size} {backward}");
        assert_eq!(page["totalCount"], wanted.len());
        let cursors = texts(&page["edges"], "/cursor");
        assert_eq!(
            (info["startCursor"].as_str(), info["endCursor"].as_str()),
            (cursors.first().map(|c| &**c), cursors.last().map(|c| &**c))
        );
        rest = behind;
        if rest.is_empty() {
            return;
        }
        cursor = info[if backward { "startCursor" } else { "endCursor" }].clone();
    }
}

#[tokio::test]
async fn every_order_pages_both_ways() {
    let who = server().await.founder().await;
    let rows = leads(&who, 130).await;
    let mut orders: Vec<Vec<Key>> = vec![vec![]];
    for field in FIELDS {
        orders.extend([vec![(field, false, None)], vec![(field, true, None)]]);
        orders.extend([vec![(field, false, Some(true))], vec![(field, true, Some(false))]]);
    }
    orders.push(vec![("COMPANY", false, None), ("ANNUAL_REVENUE", true, Some(false)), ("SCORE", false, None)]);
    for keys in &orders {
        let wanted = model(&rows, keys);
        read_through(&who, keys, &wanted, 50, false).await;
        read_through(&who, keys, &wanted, 65, true).await;
    }
}

/// Orders of up to three keys and pages of any size, against the model.
#[tokio::test]
async fn any_order_pages_as_the_model_does() {
    let who = server().await.founder().await;
    let rows = leads(&who, 23).await;
    let key = (prop::sample::select(&FIELDS[..]), any::<bool>(), any::<Option<bool>>());
    let cases = (prop::collection::vec(key, 0..=3), 1usize..9, any::<bool>());
    let mut runner = TestRunner::new(Config::default());
    for _ in 0..40 {
        let (keys, size, backward) = cases.new_tree(&mut runner).expect("a case").current();
        read_through(&who, &keys, &model(&rows, &keys), size, backward).await;
    }
}

#[tokio::test]
async fn a_cursor_belongs_to_its_list_and_order() {
    let who = server().await.founder().await;
    for name in ["A", "B"] {
        created(&who, "Lead", json!({ "firstName": name, "lastName": name })).await;
        created(&who, "Contact", json!({ "firstName": name, "lastName": name })).await;
    }
    let cursor = async |list: &str, order: &str| {
        let query = format!("{{ {list}(first: 1{order}) {{ pageInfo {{ endCursor }} }} }}");
        let answer = ask(&who, &query, json!({})).await;
        data(&answer, &format!("{list}.pageInfo.endCursor")).as_str().expect("a cursor").to_owned()
    };
    let newest = cursor("leads", "").await;
    let by_name = cursor("leads", ", orderBy: [{ field: LAST_NAME }]").await;
    let of_contacts = cursor("contacts", "").await;
    let explicit = "orderBy: [{ field: CREATED_AT, direction: DESC }]";
    let by_name_down = "orderBy: [{ field: LAST_NAME, direction: DESC }]";
    for (arguments, ok) in [
        (format!("after: \"{newest}\""), true),
        (format!("after: \"{newest}\", {explicit}"), true),
        (format!("after: \"{by_name}\""), false),
        (format!("after: \"{newest}\", {by_name_down}"), false),
        (format!("after: \"{by_name}\", {by_name_down}"), false),
        (format!("last: 1, before: \"{by_name}\""), false),
        (format!("after: \"{of_contacts}\""), false),
        (format!("after: \"{newest}x\""), false),
        ("after: \"\"".into(), false),
        ("after: \"ünder\"".into(), false),
        ("after: \"W10\"".into(), false),
        (format!("after: \"{}\"", "QUJD".repeat(5000)), false),
    ] {
        let answer = ask(&who, &format!("{{ leads({arguments}) {{ nodes {{ id }} }} }}"), json!({})).await;
        match ok {
            true => assert_eq!(data(&answer, "leads.nodes").as_array().map(Vec::len), Some(1), "{arguments}"),
            false => assert_eq!(code(&answer), "INVALID_CURSOR", "{arguments}"),
        }
    }
}

/// A cursor whose place has values that the columns cannot hold.
#[tokio::test]
async fn a_forged_cursor_is_no_fault_of_the_server() {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    let who = server().await.founder().await;
    for name in ["A", "B"] {
        created(&who, "Lead", json!({ "firstName": name, "lastName": name })).await;
    }
    let query = "query($after: String) { leads(first: 1, after: $after, orderBy: [{ field: LAST_NAME }]) {
        pageInfo { endCursor } } }";
    let answer = ask(&who, query, json!({})).await;
    let cursor = data(&answer, "leads.pageInfo.endCursor").as_str().expect("a cursor");
    let place: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(cursor).expect("base64")).expect("JSON");
    for forged in
        [json!(["A\u{0}", place[1][1]]), json!([null, place[1][1]]), json!(["A", 1]), json!(["A", "x"]), json!([])]
    {
        let after = URL_SAFE_NO_PAD.encode(json!([place[0], forged]).to_string());
        assert_eq!(code(&ask(&who, query, json!({ "after": after })).await), "INVALID_CURSOR", "{forged}");
    }
}

#[tokio::test]
async fn a_page_has_a_size_that_is_allowed() {
    let who = server().await.founder().await;
    leads(&who, 3).await;
    for (arguments, size) in [
        ("first: 0", Some(0)),
        ("last: 0", Some(0)),
        ("first: 100", Some(3)),
        ("last: 2", Some(2)),
        ("orderBy: []", Some(3)),
        ("first: null", Some(3)),
        ("first: 101", None),
        ("last: 101", None),
        ("first: -1", None),
        ("last: -1", None),
        ("first: 1, last: 1", None),
        ("first: 1, before: \"x\"", None),
        ("last: 1, after: \"x\"", None),
        ("after: \"x\", before: \"x\"", None),
        ("orderBy: [{ field: SCORE }, { field: EMAIL }, { field: COMPANY }, { field: SOURCE }]", None),
    ] {
        let query =
            format!("{{ leads({arguments}) {{ nodes {{ id }} pageInfo {{ hasNextPage startCursor }} totalCount }} }}");
        let answer = ask(&who, &query, json!({})).await;
        match size {
            Some(size) => {
                let page = data(&answer, "leads");
                assert_eq!(page["nodes"].as_array().map(Vec::len), Some(size), "{arguments}");
                assert_eq!((&page["totalCount"], page["pageInfo"]["startCursor"].is_null()), (&json!(3), size == 0));
            }
            None => assert_eq!(code(&answer), "BAD_USER_INPUT", "{arguments}"),
        }
    }
}
