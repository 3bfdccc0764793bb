//! A request that ends before it is executed, as the caller is told: a status and a GraphQL error body.
//! Invariant: an error body is a GraphQL response everywhere, with `extensions.code` and `requestId`.

use super::engine::Answer;
use crate::{
    error::{Code, Error},
    kit::scope::RequestInfo,
};
use axum::{
    body::Body,
    http::{HeaderValue, Response, StatusCode, header},
};
use bytes::Bytes;
use std::borrow::Cow;

/// What an answer is written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Media {
    /// `application/graphql-response+json`: the status says whether the request was executed.
    ResponseJson,
    /// `application/json`: 200 as soon as the request was a GraphQL request at all.
    Json,
    /// `text/event-stream`: one event a result.
    EventStream,
}

impl Media {
    /// As `Content-Type` says it.
    pub fn content_type(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Media::ResponseJson => "application/graphql-response+json; charset=utf-8",
            Media::Json => "application/json; charset=utf-8",
            Media::EventStream => "text/event-stream",
        })
    }
}

/// Why a request was not taken.
#[derive(Debug)]
pub struct Fault {
    pub status: StatusCode,
    pub error: Error,
    /// The methods that would do, for 405.
    pub allow: Option<&'static str>,
}

impl Fault {
    pub fn new(status: StatusCode, code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        Fault { status, error: Error::yours(code, message), allow: None }
    }

    /// 400 BAD_REQUEST.
    pub fn bad_request(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, Code::BadRequest, message)
    }

    /// The answer, with one line in the log when the fault is the server's.
    pub fn response(self, media: Media, request: &RequestInfo) -> Response<Body> {
        if self.status.is_server_error() {
            tracing::warn!(request_id = %request.id, status = self.status.as_u16(), error = ?self.error, "request refused");
        } else {
            tracing::debug!(request_id = %request.id, status = self.status.as_u16(), error = %self.error, "request refused");
        }
        let media = if media == Media::EventStream { Media::Json } else { media };
        let mut response = respond(self.status, media, Answer::refusal(&self.error, request).body);
        if let Some(allow) = self.allow {
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allow));
        }
        explain(&mut response, &self.error);
        response
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Fault { status: status_of(error.code()).unwrap_or(StatusCode::BAD_REQUEST), error, allow: None }
    }
}

/// The status of what is refused whatever the media type: about the request's shape, the caller or the server, not the
/// document.
pub fn status_of(code: Code) -> Option<StatusCode> {
    match code {
        Code::BadRequest => Some(StatusCode::BAD_REQUEST),
        Code::Unauthenticated => Some(StatusCode::UNAUTHORIZED),
        Code::RateLimited | Code::SubscriptionLimit => Some(StatusCode::TOO_MANY_REQUESTS),
        Code::Timeout | Code::ServiceUnavailable => Some(StatusCode::SERVICE_UNAVAILABLE),
        Code::InternalServerError => Some(StatusCode::INTERNAL_SERVER_ERROR),
        Code::CsrfPrevented => Some(StatusCode::FORBIDDEN),
        _ => None,
    }
}

/// The plain form of an answer.
pub fn respond(status: StatusCode, media: Media, body: Bytes) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, media.content_type());
    response
}

/// The headers that go with some statuses: how to authenticate (RFC 6750), when to come back (RFC 9110, 10.2.3).
fn explain(response: &mut Response<Body>, error: &Error) {
    let extension = |name| match error {
        Error::Yours(refusal) => refusal.extensions.iter().find(|(known, _)| *known == name).map(|(_, value)| value),
        _ => None,
    };
    match response.status() {
        StatusCode::UNAUTHORIZED => {
            challenge(response, extension("reason").and_then(serde_json::Value::as_str) == Some("MISSING"))
        }
        StatusCode::TOO_MANY_REQUESTS => {
            retry_after(response, extension("retryAfter").and_then(serde_json::Value::as_u64))
        }
        StatusCode::SERVICE_UNAVAILABLE => retry_after(response, None),
        _ => {}
    }
}

/// `WWW-Authenticate`; a token that was not sent is not called invalid.
pub fn challenge(response: &mut Response<Body>, missing: bool) {
    let value = if missing { "Bearer" } else { "Bearer error=\"invalid_token\"" };
    response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(value));
}

/// `Retry-After` in seconds, one when nobody knows better.
pub fn retry_after(response: &mut Response<Body>, seconds: Option<u64>) {
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds.unwrap_or(1).max(1)));
}
