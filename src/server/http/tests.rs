//! The rows of the HTTP table that need no engine. The rest is asked over the wire, in `tests/api/http.rs`.

use super::{read::*, *};
use axum::{body::Body, http::HeaderValue};
use serde_json::json;
use std::{convert::Infallible, time::Duration};

fn answer(body: &str, refused: Option<Code>) -> Answer {
    Answer { body: Bytes::from(body.to_owned()), refused }
}

#[test]
fn the_status_says_what_the_media_type_promises() {
    let cases = [
        (None, 200, 200),
        (Some(Code::GraphqlParseFailed), 400, 200),
        (Some(Code::GraphqlValidationFailed), 400, 200),
        (Some(Code::BadUserInput), 400, 200),
        (Some(Code::OperationResolutionFailure), 400, 200),
        (Some(Code::QueryTooComplex), 400, 200),
        (Some(Code::PersistedQueryNotFound), 400, 200),
        (Some(Code::Unauthenticated), 401, 401),
        (Some(Code::RateLimited), 429, 429),
        (Some(Code::Timeout), 503, 503),
        (Some(Code::ServiceUnavailable), 503, 503),
        (Some(Code::InternalServerError), 500, 500),
    ];
    for (refused, strict, plain) in cases {
        assert_eq!(status(Media::ResponseJson, refused), strict, "{refused:?}");
        assert_eq!(status(Media::Json, refused), plain, "{refused:?}");
        assert_eq!(status(Media::EventStream, refused), plain, "{refused:?}");
    }
}

#[test]
fn a_refusal_says_how_to_go_on() {
    let throttled = answer(r#"{"errors":[{"message":"","extensions":{"retryAfter":7}}]}"#, Some(Code::RateLimited));
    let response = finish(Media::Json, &throttled);
    assert_eq!((response.status().as_u16(), &response.headers()["retry-after"]), (429, &HeaderValue::from(7)));

    let late = finish(Media::Json, &answer("{}", Some(Code::Timeout)));
    assert_eq!((late.status().as_u16(), &late.headers()["retry-after"]), (503, &HeaderValue::from(1)));

    for (reason, expected) in [("EXPIRED", "Bearer error=\"invalid_token\""), ("MISSING", "Bearer")] {
        let body = json!({ "errors": [{ "extensions": { "reason": reason } }] }).to_string();
        let response = finish(Media::ResponseJson, &answer(&body, Some(Code::Unauthenticated)));
        assert_eq!(response.headers()["www-authenticate"], expected, "{reason}");
    }
}

#[test]
fn faults_of_the_document_travel_in_the_stream_and_others_do_not() {
    let stream = finish(Media::EventStream, &answer("{}", Some(Code::GraphqlParseFailed)));
    assert_eq!(stream.headers()["content-type"], "text/event-stream");
    let refused = finish(Media::EventStream, &answer("{}", Some(Code::RateLimited)));
    assert_eq!((refused.status().as_u16(), &refused.headers()["content-type"]), (429, &Media::Json.content_type()));
}

#[test]
fn a_batch_is_answered_by_an_array() {
    assert_eq!(join(&[answer("{\"a\":1}", None)]), "[{\"a\":1}]");
    assert_eq!(join(&[answer("{}", None), answer("{\"b\":2}", None)]), "[{},{\"b\":2}]");
}

#[test]
fn only_json_in_utf8_is_read() {
    for (kind, expected) in [
        (None, 400),
        (Some("application/json"), 200),
        (Some("Application/JSON"), 200),
        (Some("application/json; charset=utf-8"), 200),
        (Some("application/json;charset=\"UTF-8\""), 200),
        (Some("application/json; charset=iso-8859-1"), 415),
        (Some("application/json; charset=utf-16"), 415),
        (Some("application/graphql-response+json"), 415),
        (Some("application/graphql"), 415),
        (Some("text/plain"), 415),
        (Some("application/x-www-form-urlencoded"), 415),
        (Some("multipart/form-data; boundary=x"), 415),
        (Some("application/jsonp"), 415),
        (Some(""), 415),
    ] {
        let headers = kind.map(|kind| (header::CONTENT_TYPE, HeaderValue::from_static(kind))).into_iter().collect();
        let status = content_type(&headers).map_or_else(|fault| fault.status.as_u16(), |()| 200);
        assert_eq!(status, expected, "{kind:?}");
    }
    let json = (header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let mut twice = HeaderMap::from_iter([json.clone()]);
    twice.append(json.0.clone(), json.1.clone());
    assert_eq!(content_type(&twice).expect_err("ambiguous").status, 400);
    let packed = HeaderMap::from_iter([json, (header::CONTENT_ENCODING, HeaderValue::from_static("gzip"))]);
    assert_eq!(content_type(&packed).expect_err("compressed").status, 415);
}

#[test]
fn a_query_string_is_read_strictly() {
    let request =
        get(Some("query=%7B+a%20%7D&operationName=A&variables=%7B%22x%22%3A1%7D&extensions=%7B%7D&utm=1&utm=2"))
            .expect("fine");
    assert_eq!(request.query.as_deref(), Some("{ a }"));
    assert_eq!(request.operation_name.as_deref(), Some("A"));
    assert_eq!(request.variables.expect("variables")["x"], 1);
    assert!(request.extensions.expect("extensions").is_empty());

    let empty = get(Some("query=%7Ba%7D&operationName=&variables=&extensions")).expect("empty is absent");
    assert!(empty.operation_name.is_none() && empty.variables.is_none() && empty.extensions.is_none());

    for bad in [
        "query={a}&query={b}",
        "query={a}&%71uery={b}",
        "query={a}&operationName=&operationName=A",
        "query={a}&variables={",
        "query={a}&variables=[1]",
        "query={a}&variables=1",
        "query={a}&extensions=%22x%22",
        "query=%FF",
    ] {
        assert_eq!(get(Some(bad)).expect_err(bad).status, 400, "{bad}");
    }
}

#[test]
fn a_page_is_told_from_a_query() {
    for (query, expected) in [
        (None, false),
        (Some(""), false),
        (Some("query="), false),
        (Some("utm=1"), false),
        (Some("query={a}"), true),
        (Some("extensions={}"), true),
    ] {
        assert_eq!(asks_query(query), expected, "{query:?}");
    }
}

#[test]
fn a_body_is_an_object_or_a_small_batch() {
    assert!(
        matches!(post(br#"{"query":"{a}"}"#, 2), Ok(Sent::One(request)) if request.query.as_deref() == Some("{a}"))
    );
    assert!(matches!(post(br#"[{"query":"{a}"},{"query":"{b}"}]"#, 2), Ok(Sent::Batch(all)) if all.len() == 2));
    let deep = "[".repeat(100_000);
    let bad: &[(&[u8], &str)] = &[
        (b"", "not valid JSON"),
        (b"{", "not valid JSON"),
        (b"{\"query\":\"{a}\"} x", "not valid JSON"),
        (b"\xff{}", "not valid UTF-8"),
        (b"{\"query\":\"\xc3\x28\"}", "not valid UTF-8"),
        (b"[]", "empty"),
        (br#"[{"query":"{a}"},{"query":"{a}"},{"query":"{a}"}]"#, "at most 2"),
        (br#"[{"query":"{a}"},5]"#, ""),
        (b"null", ""),
        (b"5", ""),
        (br#"{"query":5}"#, ""),
        (br#"{"query":"{a}","variables":[]}"#, ""),
        (deep.as_bytes(), "not valid JSON"),
    ];
    for (body, words) in bad {
        let fault = post(body, 2).expect_err("is refused");
        assert_eq!((fault.status.as_u16(), fault.error.code()), (400, Code::BadRequest), "{words}");
        assert!(fault.error.to_string().contains(words), "{words}: {}", fault.error);
    }
}

fn chunks(sizes: &[usize]) -> Body {
    let chunks: Vec<_> = sizes.iter().map(|size| Ok::<_, Infallible>(Bytes::from(vec![b'x'; *size]))).collect();
    Body::from_stream(futures_util::stream::iter(chunks))
}

async fn read_chunks(body: Body, max: usize) -> Result<Bytes, Fault> {
    let limits = crate::server::limits::Limits::new(&crate::config::HttpConfig::default(), 1);
    read::body(body, &HeaderMap::new(), max, &mut limits.body()).await
}

#[tokio::test]
async fn a_body_ends_at_its_limit() {
    assert_eq!(read_chunks(chunks(&[3, 4, 3]), 10).await.expect("fits").len(), 10);
    assert_eq!(read_chunks(Body::from("x"), 10).await.expect("fits"), "x");
    assert_eq!(read_chunks(Body::empty(), 10).await.expect("fits"), "");
    for body in [chunks(&[11]), chunks(&[5, 5, 1]), Body::from("x".repeat(11))] {
        let fault = read_chunks(body, 10).await.expect_err("too large");
        assert_eq!((fault.status.as_u16(), fault.error.code()), (413, Code::QueryTooLarge));
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let began = tokio::time::Instant::now();
    let drip = futures_util::stream::unfold((), |()| async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        Some((Ok::<_, Infallible>(Bytes::from_static(b"x")), ()))
    });
    let fault = read_chunks(Body::from_stream(drip), 1000).await.expect_err("too slow");
    assert_eq!((fault.status.as_u16(), began.elapsed().as_secs()), (408, 15));
}

#[test]
fn each_mutation_of_a_batch_has_its_own_key() {
    let key = |place: usize| -> Option<String> {
        let info = RequestInfo { id: "r".into(), idempotency_key: Some("k".into()), ..RequestInfo::default() };
        numbered(&info, place).map(|key| key.to_string())
    };
    assert_eq!(key(0).as_deref(), Some("k 0"));
    assert_ne!(key(0), key(1));
}

#[test]
fn the_authority_is_the_host() {
    let headers = HeaderMap::from_iter([(header::HOST, HeaderValue::from_static("a.example"))]);
    assert_eq!(authority(&Uri::from_static("/graphql"), &headers), Some("a.example"));
    assert_eq!(authority(&Uri::from_static("http://b.example/graphql"), &headers), Some("b.example"));
    assert_eq!(authority(&Uri::from_static("/graphql"), &HeaderMap::new()), None);
}
