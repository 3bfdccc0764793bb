//! What is let through and what is not, how fast, and what is remembered.

use super::*;
use proptest::prelude::*;
use serde_json::json;
use std::time::{Duration, Instant};

const SDL: &str = r#"
interface Node { id: ID! }
type Lead implements Node { id: ID! name: String parent: Lead children(first: Int, last: Int, after: String): LeadConnection! tags: [String!] notes: [Note!]! }
type Note { text: String lead: Lead }
type LeadConnection { nodes: [Lead!]! edges: [Edge!]! totalCount: Int! pageInfo: PageInfo! }
type Edge { node: Lead! cursor: String! }
type PageInfo { hasNextPage: Boolean! }
type Aggregate { count: Int! groups: [Group!]! }
type Group { key: String count: Int! }
union Found = Lead | Note
type Query {
  lead(id: ID): Lead
  leads(first: Int = 25, last: Int, filter: Filter): LeadConnection!
  nodes(ids: [ID!]!): [Node]!
  leadAggregate: Aggregate!
  found: [Found!]!
}
input Filter { and: [Filter!] name: String }
type Mutation { leadCreate(name: String): Lead }
type Subscription { leadChanged: Lead! }
"#;

fn documents() -> Documents {
    Documents::new(SDL, DocumentConfig::default()).unwrap()
}

fn refused(text: &str) -> Refused {
    match documents().read(text) {
        Ok(_) => panic!("let through: {text}"),
        Err(refused) => Refused::clone(&refused),
    }
}

fn code(text: &str) -> Option<Code> {
    documents().read(text).err().map(|refused| refused.code)
}

fn cost(text: &str, variables: Json) -> Result<u64, Refused> {
    let documents = documents();
    let document = documents.read(text).map_err(|refused| Refused::clone(&refused))?;
    documents.ready(&document, None, variables.as_object()).map(|ready| ready.cost)
}

/// Well above what it takes, far below what an attack would take.
const AT_ONCE: Duration = Duration::from_millis(if cfg!(debug_assertions) { 1500 } else { 150 });

fn refused_at_once(text: &str) -> Code {
    let begun = Instant::now();
    let refused = refused(text);
    assert!(begun.elapsed() < AT_ONCE, "{:?} for {} bytes", begun.elapsed(), text.len());
    refused.code
}

#[test]
fn bombs_do_not_go_off() {
    // 832 bytes that unfold to 2^24 fields.
    let mut bomb = String::from("{lead{...A}}");
    for letter in 'A'..='X' {
        let next = char::from(letter as u8 + 1);
        bomb.push_str(&format!("fragment {letter} on Lead{{...{next} ...{next}}}"));
    }
    bomb.push_str("fragment Y on Lead{id}");
    assert_eq!(refused_at_once(&bomb), Code::QueryTooComplex);
    // A chain longer than any stack is deep.
    let mut chain = String::from("{lead{...F0}}");
    for link in 0..300 {
        chain.push_str(&format!("fragment F{link} on Lead{{parent{{...F{}}}}}", link + 1));
    }
    chain.push_str("fragment F300 on Lead{id}");
    assert_eq!(refused_at_once(&chain), Code::QueryTooDeep);
    for bracket in ["[", "{", "(", "{lead", "{a:"] {
        let text = format!("{{ lead(id: {}", bracket.repeat(400));
        assert_eq!(refused_at_once(&text), Code::QueryTooDeep, "{bracket}");
        refused_at_once(&bracket.repeat(100_000));
    }
    assert_eq!(refused_at_once(&"{ lead { id } }".repeat(5000)), Code::QueryTooLarge);
    assert_eq!(refused_at_once(&",".repeat(1_000_000)), Code::QueryTooLarge);
    assert_eq!(refused_at_once(&format!("{{ lead(id: \"{}", "x".repeat(1_000_000))), Code::GraphqlParseFailed);
    assert_eq!(refused_at_once(&"\"\"\"".repeat(100_000)), Code::QueryTooLarge);
}

#[test]
fn the_most_that_is_allowed_is_judged_at_once() {
    let within = |text: String| {
        let begun = Instant::now();
        let verdict = documents().read(&text).err().map(|refused| refused.code);
        assert!(begun.elapsed() < AT_ONCE, "{:?} for {}", begun.elapsed(), text.get(..60).unwrap_or(&text));
        verdict
    };
    // The same field over and over: merging must not compare each with each.
    assert_eq!(within(format!("{{ lead {{ {} }} }}", "name ".repeat(4900))), None);
    assert_eq!(within(format!("{{ lead {{ {} }} }}", "parent { id } ".repeat(1200))), None);
    assert_eq!(within(format!("{{ lead {{ {} }} }}", "...{ id } ".repeat(1200))), None);
    assert_eq!(within(format!("{{ lead {{ {} }} }}", "x: name ".repeat(1600))), Some(Code::QueryTooComplex));
    // Fragments that spread each other in every way that stays small.
    let mut lattice = String::from("{ lead { ...L0 ...R0 } }");
    for level in 0..8 {
        let (next, last) = (level + 1, level == 7);
        let below = if last { "id".into() } else { format!("...L{next} ...R{next}") };
        lattice.push_str(&format!(
            " fragment L{level} on Lead {{ name {below} }} fragment R{level} on Lead {{ id {below} }}"
        ));
    }
    assert_eq!(within(lattice), None);
    // Values as deep and as many as may be.
    let deep = format!("{{ leads(filter: {}{{}}{}) {{ totalCount }} }}", "{and: [".repeat(30), "]}".repeat(30));
    assert_eq!(within(deep), None);
    assert_eq!(within(format!("{{ nodes(ids: [{}]) {{ id }} }}", "\"a\" ".repeat(4900))), None);
    assert_eq!(
        within(format!(
            "query({}) {{ nodes(ids: [{}]) {{ id }} }}",
            (0..600).map(|n| format!("$v{n}: ID! ")).collect::<String>(),
            (0..600).map(|n| format!("$v{n} ")).collect::<String>()
        )),
        None
    );
}

#[test]
fn fragments_on_two_abstract_types_do_not_multiply() {
    let mut schema = String::from("interface A { rel: A x: Int } interface B { x: Int } type Query { a: A }");
    for number in 0..40 {
        schema.push_str(&format!(" type T{number} implements A & B {{ rel: A x: Int }}"));
    }
    schema.push_str(" interface C { x: Int }");
    let schema = schema.replace("implements A & B", "implements A & B & C");
    let documents = Documents::new(&schema, DocumentConfig::default()).unwrap();
    let mut text = String::from("x");
    for _ in 0..5 {
        text = format!(
            "... on B {{ ... on C {{ ... on A {{ rel {{ {text} }} }} }} }}",
            text = text.replace('x', "... on B { x }")
        );
    }
    let begun = Instant::now();
    let verdict = documents.read(&format!("{{ a {{ {text} }} }}")).map_err(|refused| Refused::clone(&refused));
    let refused = verdict.and_then(|document| documents.ready(&document, None, None)).err().unwrap();
    assert_eq!(refused.code, Code::QueryTooComplex);
    assert!(begun.elapsed() < AT_ONCE, "{:?}", begun.elapsed());
}

#[test]
fn each_limit_is_told() {
    let cases = [
        (format!("{{ lead {} }}", "{ parent ".repeat(16) + "{ id" + &"}".repeat(17)), Code::QueryTooDeep),
        (
            format!("{{ lead {{ {} }} }}", (0..51).map(|n| format!("a{n}: id ")).collect::<String>()),
            Code::QueryTooComplex,
        ),
        (
            format!("{{ {} }}", (0..21).map(|n| format!("a{n}: lead {{ id }} ")).collect::<String>()),
            Code::QueryTooComplex,
        ),
        (format!("{{ lead {} {{ id }} }}", "@skip(if: false)".repeat(6)), Code::QueryTooComplex),
        ("{ a b }".repeat(2000), Code::QueryTooLarge),
    ];
    for (text, expected) in cases {
        assert_eq!(code(&text), Some(expected), "{text}");
    }
    assert_eq!(code(&format!("{{ {} }}", "lead { id } ".repeat(21))), None);
    assert_eq!(code(&format!("{{ lead {} }}", "{ parent ".repeat(14) + "{ id" + &"}".repeat(15))), None);
}

#[test]
fn faults_are_sentences_with_places() {
    let refused = refused("{\n  lead { nane }\n  missing\n}");
    assert_eq!(refused.code, Code::GraphqlValidationFailed);
    let faults: Vec<_> = refused.faults.iter().map(|fault| (&*fault.message, fault.locations[0])).collect();
    assert_eq!(
        faults,
        [
            ("Cannot query field \"nane\" on type \"Lead\".", Location { line: 2, column: 10 }),
            ("Cannot query field \"missing\" on type \"Query\".", Location { line: 3, column: 3 }),
        ]
    );
    for text in ["{ lead { id }", "query", "", "{ lead(id: \u{1b}[31m) { id } }", "{ a(b: \"\\q\") }", "}{", "{ é }"] {
        let refused = super::tests::refused(text);
        assert_eq!(refused.code, Code::GraphqlParseFailed, "{text}: {refused:?}");
        let message = &refused.faults[0].message;
        assert!(message.ends_with(['.', '!', '?']) && !message.contains(['\u{1b}', '\n']), "{message:?}");
        assert!(!message.contains("document.graphql"), "{message}");
    }
    // Nonsense is not answered with a book.
    assert_eq!(
        super::tests::refused(&format!("{{ lead {{ {} }} }}", "x ".repeat(400))).faults.len(),
        refused::MAX_FAULTS
    );
}

#[test]
fn questions_about_the_schema_are_bounded_and_can_be_switched_off() {
    let off = Documents::new(SDL, DocumentConfig { introspection: false, ..DocumentConfig::default() }).unwrap();
    for text in
        ["{ __schema { queryType { name } } }", "{ ...F } fragment F on Query { t: __type(name: \"Lead\") { name } }"]
    {
        assert_eq!(code(text), None);
        let refused = off.read(text).err().unwrap();
        assert_eq!(refused.code, Code::GraphqlValidationFailed);
        assert!(refused.faults[0].message.contains("switched off"), "{refused:?}");
    }
    assert!(off.read("{ __typename lead { __typename } }").is_ok());
    let circle = "{ __schema { types { fields { type { fields { type { fields { name } } } } } } } }";
    assert_eq!(code(circle), Some(Code::GraphqlValidationFailed));
}

#[test]
fn costs_are_counted() {
    let cases = [
        ("{ lead { id name } }", json!({}), 1),
        ("{ lead { tags notes { text } } }", json!({}), 11),
        // A connection, its page, the row's own object.
        ("{ leads { nodes { id parent { id } } } }", json!({}), 1 + 25 * 2),
        (
            "{ leads(first: 3) { edges { cursor node { id } } totalCount pageInfo { hasNextPage } } }",
            json!({}),
            1 + 3 * 2 + 10 + 1,
        ),
        ("query($n: Int) { leads(first: $n) { nodes { id } } }", json!({"n": 7}), 8),
        ("query($n: Int) { leads(first: $n) { nodes { id } } }", json!({}), 26),
        ("query($n: Int = 4) { leads(first: null, last: $n) { nodes { id } } }", json!({}), 5),
        ("query($ids: [ID!]!) { nodes(ids: $ids) { id } }", json!({"ids": ["a", "b"]}), 2),
        ("{ nodes(ids: [\"a\", \"b\", \"c\"]) { id } }", json!({}), 3),
        ("{ leadAggregate { count groups { key } } }", json!({}), 20),
        // Merged, hence counted once.
        ("{ lead { parent { id } ...F } } fragment F on Lead { parent { name } }", json!({}), 2),
        ("query($no: Boolean!) { lead @skip(if: $no) { parent { id } } }", json!({"no": true}), 0),
        ("query($no: Boolean!) { lead @skip(if: $no) { parent { id } } }", json!({"no": false}), 2),
    ];
    for (text, variables, expected) in cases {
        assert_eq!(cost(text, variables).unwrap(), expected, "{text}");
    }
    let refused =
        cost("{ leads(first: 100) { nodes { children(first: 100) { nodes { id } } } } }", json!({})).err().unwrap();
    assert_eq!(refused.code, Code::QueryTooComplex);
    assert_eq!(refused.extensions["cost"], json!({"requested": 10_201, "maximum": 10_000}));
    let huge = "{ leads(first: 2147483647) { nodes { children(first: 2147483647) { nodes { children(first: 2147483647) { nodes { id } } } } } } }";
    assert_eq!(cost(huge, json!({})).err().unwrap().extensions["cost"]["requested"], json!(u64::MAX));
    assert_eq!(cost("{ leads(first: -1) { nodes { id } } }", json!({})).unwrap(), 1);
}

#[test]
fn documents_can_be_persisted() {
    let documents = documents();
    let text = "{ lead { id } }";
    let hash: String = Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect();
    let persisted = json!({"version": 1, "sha256Hash": hash});
    let missing = documents.read_persisted(&persisted, None).err().unwrap();
    assert_eq!((missing.code, &*missing.faults[0].message), (Code::PersistedQueryNotFound, "PersistedQueryNotFound"));
    assert_eq!(
        documents.read_persisted(&persisted, Some("{ leads { totalCount } }")).err().unwrap().code,
        Code::BadRequest
    );
    assert!(documents.read_persisted(&persisted, Some(text)).is_ok());
    assert!(documents.read_persisted(&persisted, None).is_ok());
    for (persisted, code) in [
        (json!({"version": 2, "sha256Hash": hash}), Code::PersistedQueryNotSupported),
        (json!({"version": 1, "sha256Hash": "abc"}), Code::BadRequest),
        (json!({"version": 1, "sha256Hash": "é".repeat(32)}), Code::BadRequest),
        (json!({"version": 1}), Code::BadRequest),
        (json!("yes"), Code::PersistedQueryNotSupported),
    ] {
        assert_eq!(documents.read_persisted(&persisted, None).err().unwrap().code, code, "{persisted}");
    }
}

#[test]
fn verdicts_are_remembered_in_bounded_memory() {
    let documents = Documents::new(SDL, DocumentConfig { cache: 50, ..DocumentConfig::default() }).unwrap();
    let first = documents.read("{ lead { id } }").unwrap();
    assert!(Arc::ptr_eq(&first, &documents.read("{ lead { id } }").unwrap()));
    let wrong = documents.read("{ nothing }").err().unwrap();
    assert!(Arc::ptr_eq(&wrong, &documents.read("{ nothing }").err().unwrap()));
    for number in 0..500 {
        assert!(documents.read(&format!("query Q{number} {{ lead {{ id }} }}")).is_ok());
        assert!(documents.read(&format!("query Q{number} {{ nothing }}")).is_err());
    }
    assert!(documents.cache.len() <= 50, "{}", documents.cache.len());
    // The plan is kept as well, unless variables decide what is selected.
    let text = "query A { lead { id } } query B($x: Boolean!) { lead @include(if: $x) { id } }";
    let document = documents.read(text).unwrap();
    let plan = |name, variables: Json| documents.ready(&document, Some(name), variables.as_object()).unwrap().plan;
    assert!(Arc::ptr_eq(&plan("A", json!({})), &plan("A", json!({}))));
    assert!(!Arc::ptr_eq(&plan("B", json!({"x": true})), &plan("B", json!({"x": true}))));
}

/// Bits that documents are made of, in any order.
const BITS: [&str; 42] = [
    "{",
    "}",
    "(",
    ")",
    "[",
    "]",
    "lead",
    "id",
    "leads",
    "nodes",
    "...",
    "on",
    "Lead",
    "Node",
    "fragment",
    "F",
    "query",
    "mutation",
    "subscription",
    "$",
    "x",
    ":",
    "!",
    "=",
    "@",
    "include",
    "skip",
    "if",
    "true",
    "null",
    "1",
    "1.5",
    "\"a\"",
    "\"\"\"b\"\"\"",
    "\"",
    "#",
    "\n",
    "é",
    "first",
    "&",
    "|",
    "\u{0}",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn nothing_makes_it_panic_or_slow(bits in prop::collection::vec(0..BITS.len(), 0..120), noise in "\\PC{0,40}", spaced in any::<bool>()) {
        let mut text: String = bits.iter().flat_map(|bit| [BITS[*bit], if spaced { " " } else { "" }]).collect();
        text.push_str(&noise);
        let documents = documents();
        let begun = Instant::now();
        if let Ok(document) = documents.read(&text) {
            let _ = documents.ready(&document, None, None);
        }
        prop_assert!(begun.elapsed() < AT_ONCE);
    }

    #[test]
    fn bytes_are_text_or_nothing(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let text = String::from_utf8_lossy(&bytes);
        let _ = documents().read(&text);
    }

    /// Variables of any shape: refused or coerced, never a panic.
    #[test]
    fn variables_of_any_shape(value in json_value()) {
        let documents = documents();
        let text = "query($a: Filter, $b: [ID!], $c: Int) { leads(filter: $a, first: $c) { totalCount } nodes(ids: [\"x\"]) { id } n: nodes(ids: $b) @skip(if: true) { id } }";
        let text = text.replace("$b: [ID!]", "$b: [ID!]!");
        let document = documents.read(&text).unwrap();
        let variables = json!({"a": value, "b": value, "c": value});
        let _ = documents.ready(&document, None, variables.as_object());
    }
}

fn json_value() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        any::<f64>().prop_map(Json::from),
        "\\PC{0,8}".prop_map(Json::from),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Json::from),
            prop::collection::hash_map(
                prop_oneof![Just("and".to_string()), Just("name".to_string()), "[a-z]{1,3}"],
                inner,
                0..4
            )
            .prop_map(|map| Json::Object(map.into_iter().collect())),
        ]
    })
}
