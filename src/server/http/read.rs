//! From bytes to GraphQL requests: bodies, query strings, batches.
//! Invariant: what is too large, too slow, ambiguous or no JSON is refused, in words that help to find the mistake.

use crate::{
    error::{Code, Error},
    server::{engine::GraphqlRequest, fault::Fault, limits::BodyPermit},
};
use axum::{
    body::{Body, HttpBody},
    http::{HeaderMap, StatusCode, header},
};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};
use std::{borrow::Cow, time::Duration};
use tokio::time::timeout;

/// How long a body may take to arrive.
const BODY_TIME: Duration = Duration::from_secs(15);
/// How long, and how many times the limit, Stoa reads on what it has refused, so that the client sees why.
const DISCARD_TIME: Duration = Duration::from_secs(2);
const DISCARD_TIMES: usize = 4;

/// What a request carries.
#[derive(Debug)]
pub enum Sent {
    One(GraphqlRequest),
    Batch(Vec<GraphqlRequest>),
}

/// 400 without a content type, 415 for anything but JSON in UTF-8: a browser sends the simple types that forms
/// use to any origin without asking.
pub fn content_type(headers: &HeaderMap) -> Result<(), Fault> {
    let unsupported =
        |message: &'static str| Err(Fault::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, Code::BadRequest, message));
    let mut kinds = headers.get_all(header::CONTENT_TYPE).iter();
    let (Some(kind), None) = (kinds.next(), kinds.next()) else {
        return Err(Fault::bad_request("Send `Content-Type: application/json`, once."));
    };
    let mut parts = kind.to_str().unwrap_or_default().split(';').map(str::trim);
    if !parts.next().is_some_and(|name| name.eq_ignore_ascii_case("application/json")) {
        return unsupported("Requests are read as application/json only.");
    }
    for (name, value) in parts.filter_map(|part| part.split_once('=')) {
        if name.eq_ignore_ascii_case("charset") && !value.trim_matches('"').eq_ignore_ascii_case("utf-8") {
            return unsupported("Requests are read as UTF-8 only.");
        }
    }
    match headers.get(header::CONTENT_ENCODING) {
        Some(encoding) if encoding != "identity" => unsupported("Compressed requests are not read."),
        _ => Ok(()),
    }
}

/// The whole body, at most `max` bytes: 413 above, 408 when it does not arrive in time.
pub async fn body(
    mut body: Body,
    headers: &HeaderMap,
    max: usize,
    permit: &mut BodyPermit<'_>,
) -> Result<Bytes, Fault> {
    let read = timeout(BODY_TIME, collect(&mut body, max, permit)).await.unwrap_or_else(|_| {
        Err(Fault::new(StatusCode::REQUEST_TIMEOUT, Code::Timeout, "The body did not arrive in time."))
    });
    if read.as_ref().is_err_and(|fault| fault.status != StatusCode::REQUEST_TIMEOUT) {
        discard(body, headers, max).await;
    }
    read
}

async fn collect(body: &mut Body, max: usize, permit: &mut BodyPermit<'_>) -> Result<Bytes, Fault> {
    let too_large = || {
        let message = format!("The body has more than {max} bytes.");
        Fault::new(StatusCode::PAYLOAD_TOO_LARGE, Code::QueryTooLarge, message)
    };
    if body.size_hint().lower() > max as u64 {
        return Err(too_large());
    }
    let mut first = Bytes::new();
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Fault::bad_request("The body broke off."))?;
        let Ok(data) = frame.into_data() else { continue };
        let total = first.len().max(whole.len()).saturating_add(data.len());
        if total > max {
            return Err(too_large());
        }
        permit.grow(total)?;
        // Most bodies come in one piece and are not copied.
        if first.is_empty() && whole.is_empty() {
            first = data;
            continue;
        }
        if whole.is_empty() {
            whole.extend_from_slice(&first);
        }
        whole.extend_from_slice(&data);
    }
    Ok(if whole.is_empty() { first } else { whole.freeze() })
}

/// Reads on without keeping anything, for a moment: a connection that is cut while the client writes shows it no
/// answer. Who asks before sending (`Expect: 100-continue`) need not send at all.
pub async fn discard(mut body: Body, headers: &HeaderMap, max: usize) {
    if headers.contains_key(header::EXPECT) {
        return;
    }
    let most = max.saturating_mul(DISCARD_TIMES);
    let reading = async {
        let mut total = 0_usize;
        while let Some(Ok(frame)) = body.frame().await {
            total = total.saturating_add(frame.data_ref().map_or(0, Bytes::len));
            if total > most {
                break;
            }
        }
    };
    let _ = timeout(DISCARD_TIME, reading).await;
}

/// A POSTed body: an object or an array of at most `max_batch` of them.
pub fn post(body: &[u8], max_batch: usize) -> Result<Sent, Fault> {
    let text = std::str::from_utf8(body).map_err(|_| Fault::bad_request("The body is not valid UTF-8."))?;
    let value: Value = serde_json::from_str(text).map_err(|fault| not_json("The body", &fault))?;
    let Value::Array(items) = value else { return Ok(Sent::One(GraphqlRequest::from_json(value)?)) };
    match items.len() {
        0 => Err(Fault::bad_request("The batch is empty.")),
        many if many > max_batch => {
            Err(Fault::bad_request(format!("The batch has {many} requests; at most {max_batch} are taken.")))
        }
        _ => Ok(Sent::Batch(items.into_iter().map(GraphqlRequest::from_json).collect::<Result<_, Error>>()?)),
    }
}

/// A query string. Parameters that GraphQL does not know are left alone; those that it knows may stand there once.
pub fn get(query: Option<&str>) -> Result<GraphqlRequest, Fault> {
    let mut request = Map::new();
    for (name, value) in pairs(query) {
        let Ok(name) = decode(name) else { continue };
        if !matches!(&*name, "query" | "operationName" | "variables" | "extensions") {
            continue;
        }
        let value = decode(value).map_err(|()| Fault::bad_request(format!("`{name}` is not valid UTF-8.")))?;
        let value = match &*name {
            _ if value.is_empty() => Value::Null,
            "query" | "operationName" => Value::String(value.into_owned()),
            _ => serde_json::from_str(&value).map_err(|fault| not_json(&format!("`{name}`"), &fault))?,
        };
        if request.contains_key(&*name) {
            return Err(Fault::bad_request(format!("`{name}` stands in the query string twice.")));
        }
        request.insert(name.into_owned(), value);
    }
    Ok(GraphqlRequest::from_json(Value::Object(request))?)
}

/// Whether a query string has a query, or names a persisted one.
pub fn asks_query(query: Option<&str>) -> bool {
    pairs(query).any(|(name, value)| matches!(name, "query" | "extensions") && !value.is_empty())
}

fn pairs(query: Option<&str>) -> impl Iterator<Item = (&str, &str)> {
    query
        .unwrap_or_default()
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
}

/// `application/x-www-form-urlencoded`, but strict: bytes that are no UTF-8 are not replaced.
fn decode(text: &str) -> Result<Cow<'_, str>, ()> {
    if !text.contains('+') {
        return percent_decode_str(text).decode_utf8().map_err(|_| ());
    }
    let spaced = text.replace('+', " ");
    let decoded = percent_decode_str(&spaced).decode_utf8().map_err(|_| ())?;
    Ok(Cow::Owned(decoded.into_owned()))
}

/// Where the JSON breaks, in our words.
fn not_json(what: &str, fault: &serde_json::Error) -> Fault {
    Fault::bad_request(format!("{what} is not valid JSON (line {}, column {}).", fault.line(), fault.column()))
}
