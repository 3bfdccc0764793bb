//! GraphQL over HTTP as clients see it: the table of the HTTP side, row by row, over real connections.

use crate::kit::Server;
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode, header::HeaderMap};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

const JSON: &str = "application/json; charset=utf-8";
const RESPONSE_JSON: &str = "application/graphql-response+json; charset=utf-8";
const BROWSER: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";

fn post(server: &Server, body: &Value) -> RequestBuilder {
    Client::new().post(format!("{}/graphql", server.url())).json(body)
}

fn get(server: &Server, query: &[(&str, &str)]) -> RequestBuilder {
    let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish();
    Client::new().get(format!("{}/graphql?{query}", server.url()))
}

async fn send(request: RequestBuilder) -> Response {
    request.send().await.expect("an answer")
}

/// Status, content type and body of a JSON answer.
async fn told(request: RequestBuilder) -> (u16, String, Value) {
    let response = send(request).await;
    let kind = response.headers()["content-type"].to_str().expect("text").to_owned();
    (response.status().as_u16(), kind, response.json().await.expect("JSON"))
}

/// A refusal: its status, after its body has been found to be a GraphQL error.
async fn refused(request: RequestBuilder) -> (u16, String) {
    let response = send(request).await;
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    (status, code(&headers, &response.json().await.expect("JSON")))
}

fn code(headers: &HeaderMap, body: &Value) -> String {
    assert!(body.get("data").is_none(), "no `data` in a refusal: {body}");
    let error = &body["errors"][0];
    assert!(!error["message"].as_str().expect("a message").is_empty());
    assert_eq!(error["extensions"]["requestId"], headers["x-request-id"].to_str().expect("text"));
    error["extensions"]["code"].as_str().expect("a code").to_owned()
}

/// Sends bytes as they are and reads until the server closes or `patience` is over.
async fn raw(server: &Server, bytes: &[u8], patience: Duration) -> String {
    let mut stream = connect(server).await;
    // The server may have refused before it has read all.
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(patience, stream.read_to_end(&mut answer)).await;
    String::from_utf8_lossy(&answer).into_owned()
}

async fn connect(server: &Server) -> TcpStream {
    TcpStream::connect(server.url().trim_start_matches("http://")).await.expect("a connection")
}

#[tokio::test]
async fn accept_decides_how_faults_of_the_document_are_told() {
    let server = Server::start().await;
    let version = json!({ "query": "{ version }" });
    let parse = json!({ "query": "{ version" });
    let validation = json!({ "query": "{ nothere }" });
    for (accept, kind, fault) in [
        (Some("application/graphql-response+json"), RESPONSE_JSON, 400),
        (Some("application/graphql-response+json, application/json;q=0.9"), RESPONSE_JSON, 400),
        (Some("application/json"), JSON, 200),
        (Some("*/*"), JSON, 200),
        (None, JSON, 200),
    ] {
        let with = |body| match accept {
            Some(accept) => post(&server, body).header("accept", accept),
            None => post(&server, body),
        };
        let (status, answered, body) = told(with(&version)).await;
        assert_eq!((status, answered.as_str()), (200, kind), "{accept:?}");
        assert!(body["data"]["version"].is_string() && body.get("errors").is_none(), "{body}");
        for (document, expected) in [(&parse, "GRAPHQL_PARSE_FAILED"), (&validation, "GRAPHQL_VALIDATION_FAILED")] {
            let (status, answered, body) = told(with(document)).await;
            assert_eq!((status, answered.as_str()), (fault, kind), "{accept:?}");
            assert_eq!(body["errors"][0]["extensions"]["code"], expected);
            assert!(body.get("data").is_none());
        }
    }
    assert_eq!(refused(post(&server, &version).header("accept", "text/html")).await.0, 406);
    assert_eq!(refused(get(&server, &[("query", "{version}")]).header("accept", "text/html")).await.0, 406);
}

#[tokio::test]
async fn only_json_is_read() {
    let server = Server::start().await;
    let url = format!("{}/graphql", server.url());
    let body = r#"{"query":"{ version }"}"#;
    for (kind, expected) in [
        (Some("application/json"), 200),
        (Some("application/json; charset=utf-8"), 200),
        (Some("application/json; charset=latin1"), 415),
        (Some("text/plain"), 415),
        (Some("application/x-www-form-urlencoded"), 415),
        (Some("multipart/form-data; boundary=x"), 415),
        (None, 400),
    ] {
        let request = Client::new().post(&url).body(body);
        let request = match kind {
            Some(kind) => request.header("content-type", kind),
            None => request,
        };
        assert_eq!(send(request).await.status(), expected, "{kind:?}");
    }
    for body in
        [&b""[..], b"{", b"null", b"5", b"\"{ version }\"", b"{}", b"{\"query\":5}", b"{\"query\":\"\xff\"}", b"[]"]
    {
        let request = Client::new().post(&url).header("content-type", "application/json").body(body.to_vec());
        let (status, code) = refused(request).await;
        assert_eq!((status, code.as_str()), (400, "BAD_REQUEST"), "{body:?}");
    }
}

#[tokio::test]
async fn a_body_that_is_too_large_is_told_so() {
    let server = Server::with(|config| config.http.max_body = 1000).await;
    let padded = |size: usize| json!({ "query": "{ version }", "x": "x".repeat(size) });
    assert_eq!(told(post(&server, &padded(900))).await.0, 200);
    assert_eq!(refused(post(&server, &padded(1000))).await, (413, "QUERY_TOO_LARGE".into()));
    // Chunked, so that nobody knows beforehand; and the answer arrives although the client was still writing.
    let mut chunked =
        b"POST /graphql HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
            .to_vec();
    for _ in 0..3 {
        chunked.extend_from_slice(b"400\r\n");
        chunked.extend_from_slice(&[b' '; 1024]);
        chunked.extend_from_slice(b"\r\n");
    }
    chunked.extend_from_slice(b"0\r\n\r\n");
    let answer = raw(&server, &chunked, Duration::from_millis(500)).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
}

#[tokio::test]
async fn get_asks_and_does_not_change() {
    let server = Server::start().await;
    let (status, _, body) =
        told(get(&server, &[("query", "query A { version } query B { b: version }"), ("operationName", "B")])).await;
    assert_eq!((status, body["data"]["b"].is_string()), (200, true), "{body}");
    let all = [
        ("query", "query V($x: Boolean!) { version @include(if: $x) }"),
        ("variables", r#"{"x":true}"#),
        ("extensions", "{}"),
    ];
    assert!(told(get(&server, &all)).await.2["data"]["version"].is_string());
    let empty = [("query", "{ version }"), ("operationName", ""), ("variables", ""), ("extensions", "")];
    assert!(told(get(&server, &empty)).await.2["data"]["version"].is_string(), "empty is absent");

    let login = r#"mutation { login(input: { email: "a@example.com", password: "x" }) { userErrors { code } } }"#;
    for accept in ["application/json", "application/graphql-response+json"] {
        let response = send(get(&server, &[("query", login)]).header("accept", accept)).await;
        assert_eq!(
            (response.status().as_u16(), &response.headers()["allow"]),
            (405, &"POST".parse().expect("a value"))
        );
    }
    for bad in [
        &[("query", "{ version }"), ("query", "{ version }")][..],
        &[("query", "{ version }"), ("variables", "{")],
        &[("query", "{ version }"), ("variables", "[]")],
        &[("query", "{ version }"), ("extensions", "1")],
        &[],
    ] {
        assert_eq!(refused(get(&server, bad)).await, (400, "BAD_REQUEST".into()), "{bad:?}");
    }
}

#[tokio::test]
async fn a_batch_is_answered_in_order() {
    let server = Server::start().await;
    let batch = json!([{ "query": "{ a: version }" }, { "query": "{ nothere }" }, { "query": "{ c: version }" }]);
    let (status, _, body) = told(post(&server, &batch)).await;
    assert_eq!(status, 200);
    assert!(body[0]["data"]["a"].is_string() && body[2]["data"]["c"].is_string(), "{body}");
    assert_eq!(body[1]["errors"][0]["extensions"]["code"], "GRAPHQL_VALIDATION_FAILED");

    let many = |count: usize| json!(vec![json!({ "query": "{ version }" }); count]);
    assert_eq!(told(post(&server, &many(10))).await.2.as_array().map(Vec::len), Some(10));
    assert_eq!(refused(post(&server, &many(11))).await, (400, "BAD_REQUEST".into()));
    assert_eq!(refused(post(&server, &json!([{ "query": "{ version }" }, 5]))).await.0, 400);
}

#[tokio::test]
async fn a_token_that_does_not_hold_is_never_ignored() {
    let server = Server::start().await;
    let version = json!({ "query": "{ version }" });
    for accept in ["application/json", "application/graphql-response+json", "text/event-stream"] {
        for sent in ["Bearer nonsense", "Bearer", "Basic YTpi", "nonsense"] {
            let response = send(post(&server, &version).header("accept", accept).header("authorization", sent)).await;
            assert_eq!(response.status(), 401, "{accept} {sent}");
            assert_eq!(response.headers()["www-authenticate"], "Bearer error=\"invalid_token\"");
            let headers = response.headers().clone();
            assert_eq!(code(&headers, &response.json().await.expect("JSON")), "UNAUTHENTICATED");
        }
    }
    assert_eq!(send(post(&server, &version).header("cookie", "stoa_access=nonsense")).await.status(), 401);
    assert_eq!(send(post(&server, &version).header("authorization", "")).await.status(), 200, "empty is absent");
}

#[tokio::test]
async fn another_page_cannot_use_the_cookie() {
    let server = Server::with(|config| config.http.cors_origins = vec!["https://app.example.com".into()]).await;
    // Whether the cookie would hold is asked only of those who may send it: 403 before 401.
    let ask = |headers: &[(&'static str, &str)]| {
        let request = get(&server, &[("query", "{ version }")]).header("cookie", "stoa_access=nonsense");
        headers.iter().fold(request, |request, (name, value)| request.header(*name, *value))
    };
    let own = server.url();
    for (headers, expected) in [
        (&[][..], 403),
        (&[("sec-fetch-site", "cross-site")], 403),
        (&[("sec-fetch-site", "same-site")], 403),
        (&[("origin", "https://evil.example")], 403),
        (&[("origin", "null")], 403),
        (&[("sec-fetch-site", "same-origin")], 401),
        (&[("origin", own)], 401),
        (&[("origin", "https://app.example.com"), ("sec-fetch-site", "cross-site")], 401),
        (&[("apollo-require-preflight", "true")], 401),
    ] {
        let (status, code) = refused(ask(headers)).await;
        assert_eq!(status, expected, "{headers:?}");
        assert_eq!(code, if expected == 403 { "CSRF_PREVENTED" } else { "UNAUTHENTICATED" });
    }
    let posted = post(&server, &json!({ "query": "{ version }" })).header("cookie", "stoa_access=nonsense");
    assert_eq!(send(posted.header("sec-fetch-site", "cross-site")).await.status(), 403);
}

#[tokio::test]
async fn other_origins_read_what_the_settings_allow() {
    let server = Server::with(|config| config.http.cors_origins = vec!["https://app.example.com".into()]).await;
    let preflight = |origin: &'static str| {
        Client::new()
            .request(Method::OPTIONS, format!("{}/graphql", server.url()))
            .header("origin", origin)
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "authorization,content-type")
    };
    let granted = send(preflight("https://app.example.com")).await;
    assert_eq!(granted.status(), 204);
    assert_eq!(granted.headers()["access-control-allow-origin"], "https://app.example.com");
    assert_eq!(granted.headers()["access-control-allow-credentials"], "true");
    assert_eq!(granted.headers()["access-control-allow-headers"], "authorization,content-type");
    let refused = send(preflight("https://evil.example")).await;
    assert!(!refused.headers().contains_key("access-control-allow-origin"));
    assert!(!refused.headers().contains_key("access-control-allow-headers"));

    let read =
        send(post(&server, &json!({ "query": "{ version }" })).header("origin", "https://app.example.com")).await;
    assert_eq!(read.headers()["access-control-expose-headers"], "x-request-id, retry-after");
}

#[tokio::test]
async fn every_answer_has_the_headers_of_a_safe_one() {
    let server = Server::start().await;
    let url = server.url();
    for path in ["/graphql?query=%7Bversion%7D", "/graphql", "/health/live", "/nowhere"] {
        let response = send(Client::new().get(format!("{url}{path}"))).await;
        let headers = response.headers();
        assert_eq!(headers["cache-control"], "no-store", "{path}");
        assert_eq!(headers["vary"], "Accept, Origin", "{path}");
        assert_eq!(headers["x-content-type-options"], "nosniff", "{path}");
        assert_eq!(headers["x-frame-options"], "DENY", "{path}");
        assert!(headers["content-security-policy"].to_str().expect("text").contains("frame-ancestors 'none'"));
        assert_eq!(headers["x-request-id"].len(), 36, "{path}");
        assert!(!headers.contains_key("strict-transport-security"), "nobody vouches for TLS");
    }
    let kept = send(get(&server, &[("query", "{version}")]).header("x-request-id", "trace-1")).await;
    assert_eq!(kept.headers()["x-request-id"], "trace-1");
    let key = post(&server, &json!({ "query": "{ version }" })).header("idempotency-key", "a b");
    assert_eq!(refused(key).await, (400, "BAD_REQUEST".into()));
}

#[tokio::test]
async fn a_large_answer_is_compressed_on_request() {
    let server = Server::start().await;
    let schema = json!({ "query": "{ __schema { types { name description fields { name description } } } }" });
    let plain = send(post(&server, &schema)).await;
    assert!(!plain.headers().contains_key("content-encoding"));
    let plain = plain.bytes().await.expect("a body");
    let packed = send(post(&server, &schema).header("accept-encoding", "br")).await;
    assert_eq!(
        (&packed.headers()["content-encoding"], &packed.headers()["vary"]),
        (&"br".parse().expect("a value"), &"Accept, Origin, Accept-Encoding".parse().expect("a value"))
    );
    assert!(packed.bytes().await.expect("a body").len() < plain.len() / 2);
    let small = send(post(&server, &json!({ "query": "{ version }" })).header("accept-encoding", "br")).await;
    assert!(!small.headers().contains_key("content-encoding"));
}

#[tokio::test]
async fn an_event_stream_carries_any_operation() {
    let server = Server::start().await;
    let stream = |query: &str| post(&server, &json!({ "query": query })).header("accept", "text/event-stream");
    let response = send(stream("{ version }")).await;
    assert_eq!(
        (response.status(), &response.headers()["content-type"]),
        (StatusCode::OK, &"text/event-stream".parse().expect("a value"))
    );
    let body = response.text().await.expect("text");
    assert!(body.starts_with("event: next\ndata: {\"data\":{\"version\":"), "{body}");
    assert!(body.ends_with("\n\nevent: complete\ndata:\n\n"), "{body}");

    let fault = send(stream("{ nothere }")).await;
    assert_eq!(fault.status(), 200, "the stream says it: an EventSource could not read a 400");
    let body = fault.text().await.expect("text");
    assert!(body.contains("GRAPHQL_VALIDATION_FAILED") && body.ends_with("event: complete\ndata:\n\n"), "{body}");

    let by_get = send(get(&server, &[("query", "{ version }")]).header("accept", "text/event-stream")).await;
    assert!(by_get.text().await.expect("text").contains("event: next\n"));
}

#[tokio::test]
async fn a_person_with_a_browser_gets_a_page() {
    let server = Server::start().await;
    let page = send(get(&server, &[]).header("accept", BROWSER).header("sec-fetch-mode", "navigate")).await;
    assert_eq!(page.status(), 200);
    assert!(page.headers()["content-type"].to_str().expect("text").starts_with("text/html"));
    assert_eq!(page.headers()["x-frame-options"], "DENY");
    let body = page.text().await.expect("text");
    assert!(body.contains("Stoa"), "{body}");

    let without = Server::with(|config| config.http.graphiql = Some(false)).await;
    assert_eq!(refused(get(&without, &[]).header("accept", BROWSER)).await, (400, "BAD_REQUEST".into()));
}

#[tokio::test]
async fn other_paths_say_what_they_are() {
    let server = Server::start().await;
    let url = server.url();
    let at = |method: Method, path: &str| Client::new().request(method, format!("{url}{path}"));
    assert_eq!(send(at(Method::GET, "/health/live")).await.status(), 200);
    let (status, _, ready) = told(at(Method::GET, "/health/ready")).await;
    assert_eq!((status, &ready["status"]), (200, &json!("ready")), "{ready}");
    assert_eq!(refused(at(Method::GET, "/nowhere")).await, (404, "NOT_FOUND".into()));
    assert_eq!(refused(at(Method::GET, "/graphql/assets/nowhere.js")).await, (404, "NOT_FOUND".into()));
    for (method, path, allow) in
        [(Method::PUT, "/graphql", "GET,HEAD,POST"), (Method::POST, "/health/live", "GET,HEAD")]
    {
        let response = send(at(method, path)).await;
        assert_eq!((response.status().as_u16(), response.headers()["allow"].to_str().expect("text")), (405, allow));
        let headers = response.headers().clone();
        assert_eq!(code(&headers, &response.json().await.expect("JSON")), "BAD_REQUEST");
    }
}

#[tokio::test]
async fn who_comes_too_many_is_told_when_to_come_again() {
    let server = Server::with(|config| config.http.max_in_flight = 0).await;
    for accept in ["application/json", "application/graphql-response+json", "text/event-stream"] {
        let began = Instant::now();
        let response = send(post(&server, &json!({ "query": "{ version }" })).header("accept", accept)).await;
        assert_eq!(
            (response.status().as_u16(), &response.headers()["retry-after"]),
            (503, &"1".parse().expect("a value"))
        );
        assert!(began.elapsed() < Duration::from_millis(200));
        let headers = response.headers().clone();
        assert_eq!(code(&headers, &response.json().await.expect("JSON")), "SERVICE_UNAVAILABLE");
    }
    assert_eq!(send(Client::new().get(format!("{}/health/live", server.url()))).await.status(), 200);
}

#[tokio::test]
async fn nobody_keeps_a_connection_by_doing_nothing() {
    let server = Server::start().await;
    let began = Instant::now();
    let patience = Duration::from_secs(14);
    let (nothing, half, trickle) = tokio::join!(
        raw(&server, b"", patience),
        raw(&server, b"POST /graphql HTTP/1.1\r\nhost: x\r\n", patience),
        raw(&server, b"PRI * HTTP/2.0\r\n", patience),
    );
    assert_eq!((nothing, half, trickle), Default::default());
    assert!(began.elapsed() < Duration::from_secs(12), "closed after {:?}", began.elapsed());
}

#[tokio::test]
async fn one_connection_answers_one_request_after_another() {
    let server = Server::start().await;
    let ask = "GET /graphql?query=%7Bversion%7D HTTP/1.1\r\nhost: x\r\n\r\n";
    let wrong = "POST /graphql HTTP/1.1\r\nhost: x\r\ncontent-type: text/plain\r\ncontent-length: 3\r\n\r\nabc";
    let answers = raw(&server, format!("{ask}{wrong}{ask}").as_bytes(), Duration::from_millis(500)).await;
    let statuses: Vec<_> = answers.split("HTTP/1.1 ").skip(1).filter_map(|answer| answer.get(..3)).collect();
    assert_eq!(statuses, ["200", "415", "200"], "{answers}");
}

#[tokio::test]
async fn what_is_no_http_is_told_so() {
    let server = Server::start().await;
    for (bytes, expected) in [
        ("nonsense\r\n\r\n".to_owned(), "400"),
        (format!("GET /{} HTTP/1.1\r\nhost: x\r\n\r\n", "a".repeat(100_000)), "431"),
    ] {
        let answer = raw(&server, bytes.as_bytes(), Duration::from_millis(500)).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {expected} ")), "{answer}");
    }
}

#[tokio::test]
async fn http2_is_spoken_with_prior_knowledge() {
    let server = Server::start().await;
    let mut stream = connect(&server).await;
    // The preface and an empty SETTINGS frame; the server answers with its own.
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.expect("written");
    let mut head = [0; 9];
    stream.read_exact(&mut head).await.expect("a frame");
    assert_eq!(head[3], 4, "SETTINGS: {head:?}");
}

#[tokio::test]
async fn a_stop_lets_requests_in_flight_end() {
    let server = Server::with(|_| {}).await;
    let body = r#"{"query":"{ version }"}"#;
    let head = format!(
        "POST /graphql HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let mut idle = connect(&server).await;
    let mut busy = connect(&server).await;
    busy.write_all(head.as_bytes()).await.expect("written");
    tokio::time::sleep(Duration::from_millis(50)).await;

    let address = server.url().trim_start_matches("http://").to_owned();
    let stopping = tokio::spawn(server.stop());
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(TcpStream::connect(address).await.is_err(), "nobody new");
    assert_eq!(idle.read(&mut [0; 1]).await.unwrap_or(0), 0, "who does nothing is let go");
    assert!(!stopping.is_finished(), "waits for the request");

    busy.write_all(body.as_bytes()).await.expect("written");
    let mut answer = String::new();
    busy.read_to_string(&mut answer).await.expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("\"version\""), "{answer}");
    tokio::time::timeout(Duration::from_secs(1), stopping).await.expect("in time").expect("no panic");
}
