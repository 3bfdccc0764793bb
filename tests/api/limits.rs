//! Limits as users meet them: what is too deep, too much, too large, too slow or no sense at all is refused with a clear
//! word of the right kind, never with a fault of the server, and the server goes on.

use crate::kit::{Server, code, data, server, user_errors};
use reqwest::{Client, RequestBuilder};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// A refusal: its code and the sentence for the person who reads it.
fn refused(answer: &Value) -> (String, String) {
    assert!(answer.get("data").is_none(), "a refusal has no data: {answer:#}");
    let error = &answer["errors"][0];
    assert!(error["extensions"]["requestId"].is_string(), "{answer:#}");
    let message = error["message"].as_str().expect("a message").to_owned();
    // What only a programmer would understand, or only an attacker.
    for leak in ["Error(", "Some(", "src/", "panicked", "SELECT ", "diesel", "serde", "apollo"] {
        assert!(!message.contains(leak), "{message}");
    }
    (code(answer).to_owned(), message)
}

fn nested(levels: usize) -> String {
    // Within `leads { nodes { … } }`; each level is one field deeper.
    format!(
        "{{ leads(first: 1) {{ nodes {{ account {}id{} }} }} }}",
        "{ parent ".repeat(levels) + "{ ",
        " }".repeat(levels + 1)
    )
}

#[tokio::test]
async fn a_document_that_asks_too_much_is_told_what_is_too_much() {
    let server = server().await;
    let ada = server.founder().await;
    let aliases = |count: usize| (0..count).map(|n| format!("a{n}: __typename ")).collect::<String>();
    let fragments = (0..20).fold(String::from("{ version ...F0 }"), |all, n| {
        all + &format!(" fragment F{n} on Query {{ ...F{} ...F{} }}", n + 1, n + 1)
    }) + " fragment F20 on Query { version }";
    for (document, expected, says) in [
        (nested(14), "QUERY_TOO_DEEP", "16 deep"),
        (nested(60), "QUERY_TOO_DEEP", "16 deep"),
        (format!("{{ {} }}", "a { ".repeat(70) + &"}".repeat(70)), "QUERY_TOO_DEEP", "64"),
        (format!("{{ lead(id: {}1{}) {{ id }} }}", "[".repeat(400), "]".repeat(400)), "QUERY_TOO_DEEP", "64"),
        (format!("{{ leads {{ nodes {{ {} }} }} }}", aliases(51)), "QUERY_TOO_COMPLEX", "50 are allowed"),
        (format!("{{ {} }}", aliases(21)), "QUERY_TOO_COMPLEX", "20 are allowed"),
        (format!("{{ version {} }}", "@include(if: true) ".repeat(6)), "QUERY_TOO_COMPLEX", "5 directives"),
        (format!("{{ {} }}", "version ".repeat(5001)), "QUERY_TOO_LARGE", "5000"),
        (fragments, "QUERY_TOO_COMPLEX", "5000"),
        (
            "{ leads(first: 100) { nodes { account { contacts(first: 100) { nodes { id } } } } } }".into(),
            "QUERY_TOO_COMPLEX",
            "10000",
        ),
    ] {
        let began = Instant::now();
        let answer = server.graphql(&document, json!({}), Some(&ada)).await;
        let (code, message) = refused(&answer);
        let start: String = document.chars().take(60).collect();
        assert_eq!(code, expected, "{start}: {message}");
        assert!(message.contains(says), "{start}: {message}");
        assert!(began.elapsed() < Duration::from_secs(5), "{start}: {:?}", began.elapsed());
    }
    // The most that is allowed is answered.
    data(&server.graphql(&nested(12), json!({}), Some(&ada)).await, "leads.nodes");
    data(&server.graphql(&format!("{{ {} }}", aliases(20)), json!({}), Some(&ada)).await, "a19");
}

/// As deep as documents may be, on data as deep: no stack is too small for it.
#[tokio::test]
async fn records_nest_as_deep_as_documents() {
    let server = server().await;
    let ada = server.founder().await;
    let create = |entity: &str| {
        let name = format!("{}{}", entity[..1].to_uppercase(), &entity[1..]);
        format!(
            "mutation($input: {name}CreateInput!) {{ {entity}Create(input: $input) {{
                {entity} {{ id }} userErrors {{ message }} }} }}"
        )
    };
    let input = json!({ "input": { "name": "Acme" } });
    let answer = server.graphql(&create("account"), input, Some(&ada)).await;
    let account = data(&answer, "accountCreate.account.id").clone();
    let input = json!({ "input": { "firstName": "Ada", "lastName": "Deep", "accountId": account } });
    data(&server.graphql(&create("contact"), input, Some(&ada)).await, "contactCreate.contact.id");
    let once = "contacts(first: 1) { nodes { account { ";
    let query = format!(
        "query($id: ID!) {{ account(id: $id) {{ {}contacts(first: 1) {{ nodes {{ lastName }} }} {} }} }}",
        once.repeat(4),
        "} } }".repeat(4)
    );
    let answer = server.graphql(&query, json!({ "id": account }), Some(&ada)).await;
    let bottom = format!("account{}.contacts.nodes.0.lastName", ".contacts.nodes.0.account".repeat(4));
    assert_eq!(data(&answer, &bottom), "Deep");
}

fn post(server: &Server, body: impl Into<reqwest::Body>) -> RequestBuilder {
    Client::new().post(format!("{}/graphql", server.url())).header("content-type", "application/json").body(body)
}

/// Status, code and sentence of an answer.
async fn told(request: RequestBuilder) -> (u16, String, String) {
    let response = request.send().await.expect("an answer");
    let status = response.status().as_u16();
    let (code, message) = refused(&response.json().await.expect("JSON"));
    (status, code, message)
}

#[tokio::test]
async fn what_is_no_request_is_told_so() {
    let server = server().await;
    for body in [
        &b""[..],
        b"{",
        b"nonsense",
        b"null",
        b"17",
        b"\"{ version }\"",
        b"[]",
        b"[[]]",
        b"{}",
        b"{\"query\": 1}",
        b"{\"query\": \"\"}",
        b"{\"query\": null}",
        b"{\"query\": \"{ version }\", \"variables\": []}",
        b"{\"query\": \"{ version }\", \"extensions\": 1}",
        b"{\"query\": \"{ version }\", \"operationName\": {}}",
        b"{\"query\": \"{ version }\"} {}",
        b"{\"query\": \"\xff\xfe\"}",
        b"\xef\xbb\xbf{\"query\": \"{ version }\"}",
    ] {
        let (status, code, message) = told(post(server, body.to_vec())).await;
        let body = String::from_utf8_lossy(body);
        assert_eq!((status, code.as_str()), (400, "BAD_REQUEST"), "{body}: {message}");
    }
    let deep = "[".repeat(100_000);
    assert_eq!(told(post(server, deep)).await.0, 400, "brackets end no process");
    let deep =
        format!("{{\"query\": \"{{ version }}\", \"variables\": {{\"a\": {}1{}}}}}", "[".repeat(200), "]".repeat(200));
    assert_eq!(told(post(server, deep)).await.0, 400);
    let large = format!("{{\"query\": \"{{ version }} # {}\"}}", "x".repeat(1 << 20));
    assert_eq!((&told(post(server, large)).await.1[..]), "QUERY_TOO_LARGE");
    let batch = json!(vec![json!({ "query": "{ version }" }); 11]).to_string();
    let (status, _, message) = told(post(server, batch)).await;
    assert!(status == 400 && message.contains("at most 10"), "{message}");
}

#[tokio::test]
async fn a_text_that_is_no_text_is_a_mistake_in_the_input() {
    let server = server().await;
    let ada = server.founder().await;
    let create = "mutation($input: LeadCreateInput!) { leadCreate(input: $input) { lead { id } userErrors { field message code } } }";
    let before = server.count(&count_of("leads", &ada.organization.to_string())).await;
    let input = json!({ "input": { "firstName": "a\u{0}b", "lastName": "x".repeat(121), "phone": "1\u{0}" } });
    let errors = user_errors(&server.graphql(create, input, Some(&ada)).await, "leadCreate");
    for expected in ["input.firstName INVALID", "input.lastName TOO_LONG", "input.phone INVALID"] {
        let field = expected.strip_prefix("input.").expect("a field");
        assert!(errors.iter().any(|told| told.ends_with(field)), "{expected} is not among {errors:?}");
    }
    // In a document, in a filter and in an id there is nobody to mend it: a refusal, or simply nothing found.
    for (document, variables) in [
        ("{ leads(filter: { firstName: { eq: \"a\\u0000b\" } }) { nodes { id } } }", json!({})),
        (
            "query($q: String) { leads(filter: { firstName: { contains: $q } }) { nodes { id } } }",
            json!({ "q": "\u{0}" }),
        ),
        ("{ lead(id: \"\\u0000\") { id } }", json!({})),
        ("{ node(id: \"\\u0000\") { id } }", json!({})),
        ("{ leads(after: \"\\u0000\") { nodes { id } } }", json!({})),
        ("query($id: ID!) { lead(id: $id) { id } }", json!({ "id": "x".repeat(100_000) })),
        ("query($n: Int) { leads(first: $n) { nodes { id } } }", json!({ "n": 99_999_999_999_i64 })),
        ("query($n: Int) { leads(first: $n) { nodes { id } } }", json!({ "n": 1.5 })),
        ("{ leads(first: 101) { nodes { id } } }", json!({})),
        ("{ leads(first: -1) { nodes { id } } }", json!({})),
        ("{ leads(filter: { createdAt: { gt: \"2026-02-30T00:00:00Z\" } }) { nodes { id } } }", json!({})),
        ("{ leads(filter: { status: { eq: NOTHING } }) { nodes { id } } }", json!({})),
    ] {
        let answer = server.graphql(document, variables, Some(&ada)).await;
        let known = ["BAD_USER_INPUT", "INVALID_CURSOR", "GRAPHQL_VALIDATION_FAILED", "GRAPHQL_PARSE_FAILED"];
        if answer.get("errors").is_some() {
            let code = code(&answer);
            assert!(known.contains(&code), "{document}: {answer:#}");
        }
    }
    assert_eq!(server.count(&count_of("leads", &ada.organization.to_string())).await, before, "nothing was written");
}

fn count_of(table: &str, organization: &str) -> String {
    format!("SELECT count(*) FROM {table} WHERE organization_id = '{organization}'")
}

#[tokio::test]
async fn a_token_that_is_no_token_is_refused_in_words() {
    let server = server().await;
    let ada = server.founder().await;
    let (head, rest) = ada.token.split_once('.').expect("a token");
    let none = format!("eyJhbGciOiJub25lIn0.{}.", rest.split('.').next().expect("a body"));
    let long = "x".repeat(5000);
    for token in ["", "x", "..", "a.b.c", &none, &format!("{head}.{rest}x"), &long, "\u{e4}", "a b"] {
        let request = post(server, "{\"query\":\"{ version }\"}").header("authorization", format!("Bearer {token}"));
        let (status, code, _) = told(request).await;
        assert_eq!((status, code.as_str()), (401, "UNAUTHENTICATED"), "{token}");
    }
}

#[tokio::test]
async fn what_takes_too_long_is_stopped() {
    let server = Server::with(|config| config.http.timeout_ms = 2000).await;
    let ada = server.founder().await;
    // Somebody holds the table: the query would wait for as long as that.
    let mut holder = crate::kit::connect(&server.database).await;
    let lock = holder.transaction().await.expect("a transaction");
    lock.batch_execute("LOCK TABLE leads IN ACCESS EXCLUSIVE MODE").await.expect("a lock");
    let body = json!({ "query": "{ leads { nodes { id } } }" }).to_string();
    let (status, code, _) = told(post(&server, body).bearer_auth(&*ada)).await;
    lock.rollback().await.expect("an end");
    assert_eq!((status, code.as_str()), (503, "TIMEOUT"));
    data(&server.graphql("{ leads { nodes { id } } }", json!({}), Some(&ada)).await, "leads.nodes");
}

#[tokio::test]
async fn a_server_can_keep_its_schema_to_itself() {
    let server = Server::with(|config| config.documents.introspection = false).await;
    for query in ["{ __schema { types { name } } }", "{ __type(name: \"Lead\") { name } }"] {
        let (code, message) = refused(&server.graphql(query, json!({}), None).await);
        assert_eq!(code, "GRAPHQL_VALIDATION_FAILED");
        assert!(message.contains("switched off"), "{message}");
    }
    data(&server.graphql("{ __typename }", json!({}), None).await, "__typename");
    // Nor does it tell by hints what there is.
    let (_, message) = refused(&server.graphql("{ leeds { id } }", json!({}), None).await);
    assert!(!message.contains("leads"), "{message}");
}

#[tokio::test]
async fn who_signs_in_too_often_is_told_when_to_come_again() {
    let server = Server::with(|config| config.identity.sign_ins_per_minute = 2).await;
    let login = r#"mutation { login(input: { email: "a@example.com", password: "no such password" }) { userErrors { code } } }"#;
    let body = json!({ "query": login }).to_string();
    let mut last = (0, None, Value::Null);
    for _ in 0..3 {
        let response = post(&server, body.clone()).send().await.expect("an answer");
        let retry = response.headers().get("retry-after").cloned();
        last = (response.status().as_u16(), retry, response.json().await.expect("JSON"));
    }
    let (status, retry, answer) = last;
    assert_eq!((status, refused(&answer).0.as_str()), (429, "RATE_LIMITED"));
    let seconds: u32 = retry.expect("Retry-After").to_str().expect("text").parse().expect("seconds");
    assert!((1..=60).contains(&seconds), "{seconds}");
}
