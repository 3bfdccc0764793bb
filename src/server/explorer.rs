//! What a person sees who opens `/graphql` in a browser.
//! Invariant: everything the page needs comes from this binary; nothing is fetched from elsewhere.

use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, header},
    response::Response,
};

const PLAIN: &str = include_str!("explorer/plain.html");

/// The page. `demo`: whether it may show the sign-ins of the demo organizations.
pub fn html(_demo: bool) -> Response {
    let mut response = Response::new(Body::from(PLAIN));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"),
    );
    response
}

/// The page for a browser that may have it already. The plain one is small enough to be sent again.
pub fn revalidated(_request: &HeaderMap, page: Response) -> Response {
    page
}

/// What the page loads from below `/graphql/assets/`; the plain one loads nothing.
pub fn asset(_path: &str) -> Option<Response> {
    None
}
