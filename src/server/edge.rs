//! What every request passes on its way in and every answer on its way out: id, address, CORS, compression, the
//! headers of a safe answer, one line in the log.
//! Invariant: whatever happens inside, also a panic, a request is answered, and each answer names its request id.

pub mod compress;
pub mod cors;
pub mod meters;

use super::{
    Server, client,
    fault::{Fault, Media},
};
use crate::{error::Error, kit::scope::RequestInfo};
use axum::{
    Router,
    body::Body,
    http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode, header},
    response::Response,
};
use futures_util::FutureExt;
use std::{net::IpAddr, panic::AssertUnwindSafe, time::Instant};
use tower_service::Service;

/// The header that names a request.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What an answer carries unless it says otherwise. Nothing of it is shown inside other pages, guessed to be another
/// type, kept by caches or told where the reader came from.
const ALWAYS: [(HeaderName, HeaderValue); 7] = [
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (header::VARY, HeaderValue::from_static("Accept, Origin")),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin")),
    (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin")),
];

/// What an answer that is opened as a page may do.
const POLICY: HeaderValue = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");

/// A year of HTTPS only; sent when the client came by HTTPS.
const HSTS: HeaderValue = HeaderValue::from_static("max-age=31536000");

/// Answers one request of a connection that came from `peer`.
pub async fn answer(server: &Server, mut router: Router, peer: IpAddr, mut request: Request<Body>) -> Response {
    let started = Instant::now();
    let (method, uri) = (request.method().clone(), request.uri().clone());
    let info = client::info(peer, request.headers(), &server.proxies);
    let secure = server.proxies.secure(peer, request.headers());
    let origin = request.headers().get(header::ORIGIN).cloned();
    let encoding = compress::choose(request.headers());

    let mut response = match cors::preflight(&request) {
        Some(preflight) => preflight,
        None => {
            request.extensions_mut().insert(info.clone());
            match AssertUnwindSafe(router.call(request)).catch_unwind().await {
                Ok(Ok(response)) => response,
                Ok(Err(never)) => match never {},
                Err(_panic) => panicked(&info),
            }
        }
    };
    if let Some(encoding) = encoding {
        response = compress::compress(response, encoding).await;
    }
    let headers = response.headers_mut();
    protect(headers, secure);
    server.cors.allow(origin.as_ref(), headers);
    if let Ok(id) = HeaderValue::from_str(&info.id) {
        headers.insert(REQUEST_ID, id);
    }

    let (status, took) = (response.status(), started.elapsed());
    server.meters.answered(status, took);
    tracing::debug!(
        request_id = %info.id,
        %method,
        path = uri.path(),
        status = status.as_u16(),
        micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
        address = info.address.map(tracing::field::display),
        "answered"
    );
    response
}

/// The panic hook has logged where; this says whose request it was.
fn panicked(info: &RequestInfo) -> Response {
    let fault =
        Fault { status: StatusCode::INTERNAL_SERVER_ERROR, error: Error::ours("a handler panicked"), allow: None };
    fault.response(Media::Json, info)
}

fn protect(headers: &mut HeaderMap, secure: bool) {
    for (name, value) in ALWAYS {
        headers.entry(name).or_insert(value);
    }
    // The policy of a script is that of its page, except in a worker, which could then load nothing.
    let script = |kind: &HeaderValue| kind.as_bytes().starts_with(b"text/javascript");
    if !headers.get(header::CONTENT_TYPE).is_some_and(script) {
        headers.entry(header::CONTENT_SECURITY_POLICY).or_insert(POLICY);
    }
    if secure {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, HSTS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_of_a_worker_is_not_bound() {
        let kind = HeaderValue::from_static("text/javascript; charset=utf-8");
        let mut headers = HeaderMap::from_iter([(header::CONTENT_TYPE, kind)]);
        protect(&mut headers, false);
        assert!(!headers.contains_key(header::CONTENT_SECURITY_POLICY));
    }

    #[test]
    fn an_answer_keeps_what_it_says_itself() {
        let mut headers = HeaderMap::new();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("max-age=60"));
        protect(&mut headers, false);
        assert_eq!(headers[header::CACHE_CONTROL], "max-age=60");
        assert_eq!(headers[header::VARY], "Accept, Origin");
        assert_eq!(headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
        assert!(!headers.contains_key(header::STRICT_TRANSPORT_SECURITY), "only behind TLS");
        assert_eq!(headers[header::CONTENT_SECURITY_POLICY], POLICY);
        protect(&mut headers, true);
        assert_eq!(headers[header::STRICT_TRANSPORT_SECURITY], HSTS);
    }
}
