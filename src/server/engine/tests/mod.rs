//! What clients see of a schema that fails in every way a schema can.

mod same_data;
mod schema;

use super::{Answer, GraphqlRequest, OperationKind, run::Run};
use crate::{config::Config, error::Code, kit::scope::RequestInfo};
use async_graphql::Schema;
use futures_util::{StreamExt, stream::select_all};
use schema::{GIVEN, Mutation, Node, Query, RUNS, Subscriptions, yours};
use serde_json::{Value, json};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

type Tested = Run<Schema<Query, Mutation, Subscriptions>>;

fn run_with(change: impl FnOnce(&mut Config)) -> (Arc<Tested>, Arc<AtomicUsize>) {
    let mut config = Config::default();
    config.http.timeout_ms = 200;
    change(&mut config);
    let mutation = Mutation::default();
    let count = mutation.count.clone();
    let builder = Schema::build(Query, mutation, Subscriptions).register_output_type::<Node>();
    (Arc::new(Run::new(builder, &config, &[]).unwrap()), count)
}

fn run() -> Arc<Tested> {
    run_with(|_| ()).0
}

fn info() -> RequestInfo {
    RequestInfo { id: "r1".into(), ..RequestInfo::default() }
}

fn json_of(answer: &Answer) -> Value {
    serde_json::from_slice(&answer.body).unwrap()
}

async fn ask(run: &Tested, request: Value) -> (Answer, Value) {
    let request = GraphqlRequest::from_json(request).unwrap();
    let answer = match run.prepare(&request, &info()) {
        Ok(prepared) => run.execute(prepared, info(), None).await,
        Err(answer) => answer,
    };
    let value = json_of(&answer);
    (answer, value)
}

async fn query(text: &str) -> Value {
    ask(&run(), json!({ "query": text })).await.1
}

fn paths(answer: &Value) -> Vec<Value> {
    answer["errors"].as_array().into_iter().flatten().map(|error| error["path"].clone()).collect()
}

#[tokio::test]
async fn a_nullable_field_that_fails_is_null_and_spares_its_parent() {
    let answer = query("{ thing { id maybeBad badChild { id } } bad { id } }").await;
    assert_eq!(answer["data"], json!({"thing": {"id": "1", "maybeBad": null, "badChild": null}, "bad": null}));
    let mut paths = paths(&answer);
    paths.sort_by_key(Value::to_string);
    assert_eq!(paths, [json!(["bad"]), json!(["thing", "badChild"]), json!(["thing", "maybeBad"])]);
}

#[tokio::test]
async fn null_goes_up_to_the_nearest_that_may_be_null() {
    // A list of non-null items within an object of a nullable field.
    let answer = query("{ thing { id children { id hardChild { id } } } }").await;
    assert_eq!(answer["data"], json!({"thing": null}));
    assert_eq!(paths(&answer), [json!(["thing", "children", 1, "hardChild"])]);
    // A list of nullable items.
    let answer = query("{ thing { maybeChildren { id hardChild { id } } } }").await;
    assert_eq!(
        answer["data"],
        json!({"thing": {"maybeChildren": [{"id": "0", "hardChild": {"id": "0"}}, null, null]}})
    );
    assert_eq!(paths(&answer), [json!(["thing", "maybeChildren", 2, "hardChild"])]);
    // Up to the root.
    let answer = query("{ things { hardChild { id } } }").await;
    assert_eq!(answer["data"], Value::Null);
    assert!(answer.as_object().unwrap().contains_key("data"));
    assert_eq!(paths(&answer), [json!(["things", 1, "hardChild"])]);
}

#[tokio::test]
async fn paths_lead_to_the_field_even_through_lists() {
    let answer = query("{ thing { children(first: 1) { x: badLeaf } } }").await;
    assert_eq!(answer["data"], json!({"thing": null}));
    assert_eq!(paths(&answer), [json!(["thing", "children", 0, "x"])]);
    let answer = query("{ thing { children(first: 2) { y: maybeBad } } }").await;
    assert_eq!(answer["data"], json!({"thing": {"children": [{"y": null}, {"y": null}]}}));
    assert_eq!(paths(&answer), [json!(["thing", "children", 0, "y"]), json!(["thing", "children", 1, "y"])]);
    let answer = query("{ node(id: 1) { ... on Thing { children(first: 1) { badLeaf } } } }").await;
    assert_eq!(paths(&answer), [json!(["node", "children", 0, "badLeaf"])]);
}

#[tokio::test]
async fn a_leaf_that_is_no_column_is_null_alone() {
    let answer = query("{ summaries { sum count } }").await;
    assert_eq!(answer["data"], json!({"summaries": [{"sum": null, "count": 1}, {"sum": null, "count": 1}]}));
    assert_eq!(paths(&answer), [json!(["summaries", 0, "sum"]), json!(["summaries", 1, "sum"])]);
}

#[tokio::test]
async fn errors_of_stoa_keep_code_message_and_extensions() {
    for field in ["bad", "shared"] {
        let answer = query(&format!("{{ {field} {{ id }} }}")).await;
        assert_eq!(
            answer["errors"],
            json!([{
                "message": "There is no such thing.",
                "locations": [{"line": 1, "column": 3}],
                "path": [field],
                "extensions": {"code": "NOT_FOUND", "requestId": "r1", "reason": "GONE"},
            }])
        );
    }
}

#[tokio::test]
async fn faults_of_the_server_are_not_told() {
    for (field, code) in
        [("ours", "INTERNAL_SERVER_ERROR"), ("late", "SERVICE_UNAVAILABLE"), ("foreign", "INTERNAL_SERVER_ERROR")]
    {
        let answer = query(&format!("{{ {field} }}")).await;
        // What came to nothing because something is away is refused as a whole.
        let data = if code == "SERVICE_UNAVAILABLE" { json!(null) } else { json!({field: null}) };
        assert_eq!(answer["data"], data);
        assert_eq!(answer["errors"][0]["extensions"]["code"], code);
        let text = answer.to_string();
        assert!(!["secrets", "10.0.0.1", "passwd"].iter().any(|word| text.contains(word)), "{text}");
    }
}

#[tokio::test]
async fn panics_and_delays_end_in_an_answer() {
    let run = run();
    for (text, code) in [
        ("{ panics }", Code::InternalServerError),
        ("mutation { panics }", Code::InternalServerError),
        ("{ sleeps }", Code::Timeout),
    ] {
        let (answer, value) = ask(&run, json!({ "query": text })).await;
        assert_eq!(answer.refused, Some(code), "{text}");
        assert!(value.get("data").is_none() && !value.to_string().contains("disco"));
    }
}

#[tokio::test]
async fn a_mutation_ends_although_nobody_listens() {
    let (run, count) = run_with(|_| ());
    let prepared =
        run.prepare(&GraphqlRequest { query: Some("mutation { slow }".into()), ..Default::default() }, &info());
    let gone = tokio::time::timeout(Duration::from_millis(5), run.execute(prepared.unwrap(), info(), None)).await;
    assert!(gone.is_err());
    run.drain().await;
    assert_eq!(count.load(Ordering::SeqCst), 100);
}

#[tokio::test]
async fn a_root_field_named_twice_runs_once() {
    let (run, count) = run_with(|_| ());
    let text = "mutation { add { id } ...M add { again: id } b: add { id } } fragment M on Mutation { add { name } fail { id } }";
    let (_, answer) = ask(&run, json!({ "query": text })).await;
    assert_eq!(
        serde_json::to_string(&answer["data"]).unwrap(),
        r#"{"add":{"id":"0","name":"thing 0","again":"0"},"fail":null,"b":{"id":"1"}}"#
    );
    assert_eq!(count.load(Ordering::SeqCst), 2);
    assert_eq!(paths(&answer), [json!(["fail"])]);
}

#[tokio::test]
async fn keys_come_in_the_order_of_the_document() {
    let text = "query($no: Boolean = false, $yes: Boolean!) {
        node(id: 1) { ... on Other { note } ... on Thing { name twin { id } } id ...N ... on Thing { twin { name } z: name } }
        either { ... on Node { id ... on Thing { name } } __typename ... on Other { note } }
        thing @skip(if: $no) { ...T @include(if: $yes) name @skip(if: $yes) }
        gone: thing @include(if: $no) { id }
        thing { again: name }
    }
    fragment N on Node { id twin { a: id } __typename }
    fragment T on Thing { id }";
    let before = RUNS.get();
    let (_, answer) = ask(&run(), json!({"query": text, "variables": {"yes": true}})).await;
    assert_eq!(
        serde_json::to_string(&answer["data"]).unwrap(),
        concat!(
            r#"{"node":{"name":"thing 1","twin":{"id":"1","a":"1","name":"thing 1"},"id":"1","__typename":"Thing","z":"thing 1"},"#,
            r#""either":[{"id":"1","name":"thing 1","__typename":"Thing"},{"id":"other","__typename":"Other","note":"n"}],"#,
            r#""thing":{"id":"1","again":"thing 1"}}"#
        )
    );
    assert_eq!(RUNS.get() - before, 1);
}

#[tokio::test]
async fn omitted_variables_stay_omitted() {
    let run = run();
    let text = "query($i: Change, $n: String, $t: Int) { change(input: $i, times: $t) b: change(input: {name: $n}) }";
    for (variables, a, b) in [
        (json!({}), "nothing 5", "Undefined 7 None 5"),
        (json!({"i": {}}), "Undefined 7 None 5", "Undefined 7 None 5"),
        (json!({"i": {"name": null}, "n": null, "t": 2, "unknown": 1}), "Null 7 None 2", "Null 7 None 5"),
        (
            json!({"i": {"tags": "one", "size": 1.0}, "n": "x"}),
            "Undefined 1 Some([\"one\"]) 5",
            "Value(\"x\") 7 None 5",
        ),
    ] {
        let (_, answer) = ask(&run, json!({"query": text, "variables": variables})).await;
        assert_eq!(answer["data"], json!({"change": a, "b": b}), "{answer}");
    }
}

#[tokio::test]
async fn variables_that_do_not_fit_are_all_told_before_execution() {
    let run = run();
    let text = "query($i: Change!, $by: By!, $d: Day!) { change(input: $i) by(by: $by) onDay(day: $d) }";
    let variables = json!({"i": {"size": "x", "tags": ["a", 1], "more": 1}, "by": {"id": "1", "number": 2}});
    let (answer, value) = ask(&run, json!({"query": text, "variables": variables})).await;
    assert_eq!(answer.refused, Some(Code::BadUserInput));
    let messages: Vec<_> = value["errors"].as_array().unwrap().iter().map(|e| e["message"].as_str().unwrap()).collect();
    assert_eq!(
        messages,
        [
            "Variable \"$i\" got invalid value {\"size\":\"x\",\"tags\":[\"a\",1],\"more\":1}; Field \"more\" is not defined by type \"Change\".",
            "Variable \"$i\" got invalid value \"x\" at \"i.size\"; Int cannot represent non-integer value.",
            "Variable \"$i\" got invalid value 1 at \"i.tags[1]\"; String cannot represent a non string value.",
            "Variable \"$by\" got invalid value {\"id\":\"1\",\"number\":2}; Exactly one key must be specified for OneOf type \"By\".",
            "Variable \"$d\" of required type \"Day!\" was not provided.",
        ]
    );
}

#[tokio::test]
async fn what_a_scalar_refuses_is_worded() {
    let answer = query("{ onDay(day: 40) }").await;
    assert_eq!(answer["errors"][0]["message"], "Invalid Day: there is no such day.");
    assert_eq!(answer["errors"][0]["extensions"]["code"], "BAD_USER_INPUT");
    assert_eq!(answer["errors"][0]["path"], json!(["onDay"]));
    let answer = query("{ onDay(day: {a: 1}) }").await;
    assert_eq!(answer["errors"][0]["message"], "Expected a value of type Day, found {a: 1}.");
}

#[tokio::test]
async fn what_an_operation_costs_is_told() {
    let run = run();
    let (_, answer) = ask(&run, json!({"query": "{ thing { children(first: 2) { twin { id } } } }"})).await;
    assert_eq!(answer["extensions"], json!({"cost": {"requested": 5, "maximum": 10_000}}));
    let text = "query($n: Int) { thing { children(first: $n) { children(first: $n) { id } } } }";
    let (answer, value) = ask(&run, json!({"query": text, "variables": {"n": 200}})).await;
    assert_eq!(answer.refused, Some(Code::QueryTooComplex));
    assert_eq!(value["errors"][0]["extensions"]["cost"], json!({"requested": 40_201, "maximum": 10_000}));
}

#[tokio::test]
async fn operations_are_selected_by_name() {
    let run = run();
    let text = "query A { thing { id } } mutation B { add { id } }";
    for (name, code) in [
        (Some("C"), Some(Code::OperationResolutionFailure)),
        (None, Some(Code::OperationResolutionFailure)),
        (Some("B"), None),
    ] {
        let (answer, _) = ask(&run, json!({"query": text, "operationName": name})).await;
        assert_eq!(answer.refused, code);
    }
    let prepared =
        run.prepare(&GraphqlRequest { query: Some("mutation B { add { id } }".into()), ..Default::default() }, &info());
    let prepared = prepared.unwrap();
    assert_eq!((prepared.kind, prepared.name.as_deref()), (OperationKind::Mutation, Some("B")));
    let (answer, _) = ask(&run, json!({})).await;
    assert_eq!(answer.refused, Some(Code::BadRequest));
}

#[tokio::test]
async fn subscriptions_answer_event_by_event() {
    let run = run();
    let listen = async |text: &str| {
        let prepared = run.prepare(&GraphqlRequest { query: Some(text.into()), ..Default::default() }, &info());
        let answers: Vec<Answer> = run.clone().subscribe(prepared.unwrap(), info(), None).collect().await;
        answers.iter().map(|answer| (answer.refused, json_of(answer))).collect::<Vec<_>>()
    };
    let counted = listen("subscription { count(to: 3) }").await;
    assert_eq!(counted.iter().map(|(_, value)| value["data"]["count"].clone()).collect::<Vec<_>>(), [0, 1, 2]);

    let refused = listen("subscription { refused }").await;
    assert_eq!(refused.len(), 1);
    assert_eq!(refused[0].0, Some(Code::NotFound));
    assert!(refused[0].1.get("data").is_none());

    let things = listen("subscription { things { id maybeBad } }").await;
    assert_eq!(things[0].1["data"], json!({"things": {"id": "1", "maybeBad": null}}));
    assert_eq!(paths(&things[0].1), [json!(["things", "maybeBad"])]);
    assert_eq!(things[1].1["data"], json!({"things": null}));
    assert_eq!((things.len(), paths(&things[2].1).len()), (3, 1));

    let failing = listen("subscription { failing }").await;
    assert_eq!(failing.len(), 2);
    assert_eq!((failing[0].0, &failing[0].1["data"]), (None, &Value::Null));
    assert_eq!(failing[1].1["data"], json!({"failing": 2}));

    let panics = listen("subscription { panics }").await;
    assert_eq!(panics.last().unwrap().0, Some(Code::InternalServerError));

    // Without a feed there is the one answer.
    let at_once = listen("subscription { atOnce }").await;
    assert_eq!(at_once.iter().map(|(_, value)| value["data"].clone()).collect::<Vec<_>>(), [json!({"atOnce": 0})]);

    let (answer, _) = ask(&run, json!({"query": "subscription { count(to: 1) }"})).await;
    assert_eq!(answer.refused, Some(Code::BadRequest));
}

#[tokio::test]
async fn subscriptions_wait_their_turn_to_be_opened_and_none_is_refused() {
    let (run, _) = run_with(|config| config.database.pool = 4);
    let query = GraphqlRequest { query: Some("subscription { crowded }".into()), ..Default::default() };
    let all = (0..40).map(|_| run.clone().subscribe(run.prepare(&query, &info()).unwrap(), info(), None));
    let all: Vec<Answer> = select_all(all).collect().await;
    let at_once = all.iter().map(|answer| json_of(answer)["data"]["crowded"].as_u64());
    assert_eq!((all.len(), at_once.max()), (40, Some(Some(2))), "half of the connections");
}

#[tokio::test]
async fn lists_that_opened_a_subscription_are_not_read_again_for_its_events() {
    let (run, text) = (run(), "subscription($numbers: [Int!]!) { given(numbers: $numbers) }");
    let request = GraphqlRequest::from_json(json!({ "query": text, "variables": { "numbers": [1, 2, 3] } })).unwrap();
    let prepared = run.prepare(&request, &info()).unwrap();
    let answers: Vec<Answer> = run.subscribe(prepared, info(), None).collect().await;
    let told: Vec<Value> = answers.iter().map(|answer| json_of(answer)["data"].clone()).collect();
    assert_eq!((told, GIVEN.get()), (vec![json!({ "given": 3 })], 0));
}

#[test]
fn the_errors_alone_are_a_slice_of_the_answer() {
    let answer = Answer::refusal(&yours(), &info());
    let errors: Value = serde_json::from_slice(&answer.errors()).unwrap();
    assert_eq!(errors, json_of(&answer)["errors"]);
    assert_eq!(answer.refused, Some(Code::NotFound));
}

#[test]
fn the_marks_are_no_part_of_the_schema() {
    let run = run();
    assert!(!run.sdl().contains("stoa_"));
    let marked = GraphqlRequest { query: Some("{ thing @stoa_nullable { id } }".into()), ..Default::default() };
    assert_eq!(run.prepare(&marked, &info()).err().unwrap().refused, Some(Code::GraphqlValidationFailed));
}

#[tokio::test]
async fn the_question_that_tools_ask_is_answered() {
    let corners = include_str!("../../../../tests/differential/corners.graphql");
    let introspection = corners.split("\n###\n").next().unwrap();
    let (answer, value) = ask(&run(), json!({ "query": introspection })).await;
    assert_eq!((answer.refused, value.get("errors")), (None, None));
    let types = value["data"]["__schema"]["types"].as_array().unwrap();
    let by = types.iter().find(|ty| ty["name"] == "By").unwrap();
    assert_eq!((&by["isOneOf"], &by["kind"]), (&json!(true), &json!("INPUT_OBJECT")));
    assert!(types.iter().any(|ty| ty["name"] == "Thing" && ty["fields"].as_array().unwrap().len() == 9));
    assert_eq!(value["extensions"]["cost"]["requested"], 1000);
}

#[test]
fn the_schema_of_stoa_can_be_used() {
    let run = Run::new(crate::graphql::builder(), &Config::default(), crate::graphql::TABLES).unwrap();
    assert!(run.sdl().contains("type Query"));
}
