//! What a person sees who opens `/graphql` in a browser.
//! Invariant: everything the page needs comes from this binary; nothing is fetched from elsewhere.

use axum::{
    body::Body,
    http::{HeaderValue, header},
    response::Response,
};

const PLAIN: &str = include_str!("explorer/plain.html");

/// The page at `/graphql`, or what it loads from below; none when there is no such file.
pub fn page(path: &str) -> Option<Response> {
    if path != "/graphql" {
        return None;
    }
    let mut response = Response::new(Body::from(PLAIN));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"),
    );
    Some(response)
}
