//! The opening handshake (RFC 6455, section 4.2). Invariant: the sign-in cookie counts only for a page of
//! the same origin or of one named in the settings, so that a foreign page cannot open a socket as its visitor.

use crate::kit::scope::RequestInfo;
use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version, header},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use tungstenite::handshake::derive_accept_key;
use uuid::Uuid;

/// The one subprotocol that Stoa speaks.
pub(super) const SUBPROTOCOL: &str = "graphql-transport-ws";

/// The cookie with the access token.
const COOKIE: &str = "stoa_access";

/// A handshake that can be answered.
// Not in the program itself: it holds a token, and what can be printed ends up in a log.
#[cfg_attr(test, derive(Debug))]
pub(super) struct Greeting {
    /// `Sec-WebSocket-Accept`.
    accept: HeaderValue,
    /// The subprotocol to name in the answer: ours, otherwise the first that was asked for. (A browser that
    /// asked for some and gets none reports 1006 and would never see the 4406.)
    protocol: Option<HeaderValue>,
    /// Whether the client speaks our subprotocol.
    pub speaks: bool,
    /// The access token of the cookie, where it may count.
    pub cookie: Option<String>,
}

/// Why a handshake is refused.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub status: StatusCode,
    pub message: &'static str,
}

fn fault<T>(status: StatusCode, message: &'static str) -> Result<T, Fault> {
    Err(Fault { status, message })
}

/// Whether `Connection: upgrade` and `Upgrade: websocket` are there.
pub(super) fn asks(headers: &HeaderMap) -> bool {
    listed(headers, header::CONNECTION).any(|it| it.eq_ignore_ascii_case("upgrade"))
        && listed(headers, header::UPGRADE).any(|it| it.eq_ignore_ascii_case("websocket"))
}

pub(super) fn greet<B>(request: &Request<B>, allowed_origins: &[String]) -> Result<Greeting, Fault> {
    let headers = request.headers();
    if request.method() != Method::GET || request.version() != Version::HTTP_11 || !asks(headers) {
        return fault(StatusCode::BAD_REQUEST, "A WebSocket is opened by GET over HTTP/1.1 with `Upgrade: websocket`.");
    }
    if headers.get(header::SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
        return fault(StatusCode::UPGRADE_REQUIRED, "Only version 13 of the WebSocket protocol is spoken here.");
    }
    let key = headers.get(header::SEC_WEBSOCKET_KEY).map(HeaderValue::as_bytes).unwrap_or_default();
    if !STANDARD.decode(key).is_ok_and(|nonce| nonce.len() == 16) {
        return fault(StatusCode::BAD_REQUEST, "`Sec-WebSocket-Key` must be 16 bytes in base64.");
    }
    let Ok(accept) = HeaderValue::try_from(derive_accept_key(key)) else {
        return fault(StatusCode::BAD_REQUEST, "`Sec-WebSocket-Key` must be 16 bytes in base64.");
    };
    let speaks = listed(headers, header::SEC_WEBSOCKET_PROTOCOL).any(|it| it == SUBPROTOCOL);
    let protocol = match speaks {
        true => Some(HeaderValue::from_static(SUBPROTOCOL)),
        false => listed(headers, header::SEC_WEBSOCKET_PROTOCOL).next().and_then(|it| HeaderValue::from_str(it).ok()),
    };
    let cookie = own_page(headers, allowed_origins).then(|| cookie(headers)).flatten();
    Ok(Greeting { accept, protocol, speaks, cookie })
}

impl Greeting {
    /// 101 Switching Protocols.
    pub fn response(&self) -> Response<Body> {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, self.accept.clone());
        if let Some(protocol) = &self.protocol {
            headers.insert(header::SEC_WEBSOCKET_PROTOCOL, protocol.clone());
        }
        response
    }
}

/// A request that no layer has described.
pub(super) fn unannounced<B>(request: &Request<B>) -> RequestInfo {
    RequestInfo {
        id: Uuid::now_v7().simple().to_string().into(),
        user_agent: request.headers().get(header::USER_AGENT).and_then(|it| it.to_str().ok()).map(Into::into),
        ..RequestInfo::default()
    }
}

/// The members of a comma-separated header.
fn listed(headers: &HeaderMap, name: header::HeaderName) -> impl Iterator<Item = &str> {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim).filter(|it| !it.is_empty())
}

/// Whether the page that asks is ours (its origin is the host asked) or one of `allowed`. `*` allows no
/// cookies, and no `Origin` means no browser, hence no cookie either.
fn own_page(headers: &HeaderMap, allowed: &[String]) -> bool {
    let mut origins = headers.get_all(header::ORIGIN).iter();
    let (Some(origin), None) = (origins.next().and_then(|it| it.to_str().ok()), origins.next()) else { return false };
    if allowed.iter().any(|it| it == origin && it != "*") {
        return true;
    }
    let host = headers.get(header::HOST).and_then(|it| it.to_str().ok());
    let origin_host = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
    matches!((origin_host, host), (Some(a), Some(b)) if !a.is_empty() && a.eq_ignore_ascii_case(b))
}

fn cookie(headers: &HeaderMap) -> Option<String> {
    let lines = headers.get_all(header::COOKIE).into_iter().filter_map(|value| value.to_str().ok());
    let mut pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| *name == COOKIE).map(|(_, value)| value.to_owned()).filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(more: &[(&str, &str)]) -> Request<()> {
        let mut request = Request::new(());
        let usual = [
            ("host", "stoa.test:4000"),
            ("connection", "keep-alive, Upgrade"),
            ("upgrade", "WebSocket"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ("sec-websocket-protocol", SUBPROTOCOL),
        ];
        for (name, value) in usual.iter().chain(more) {
            let name = header::HeaderName::try_from(*name).expect("a name");
            match *value {
                "" => drop(request.headers_mut().remove(&name)),
                value => drop(request.headers_mut().insert(name, HeaderValue::from_str(value).expect("a value"))),
            }
        }
        request
    }

    fn status(more: &[(&str, &str)]) -> Option<u16> {
        greet(&request(more), &[]).err().map(|fault| fault.status.as_u16())
    }

    #[test]
    fn the_answer_proves_that_the_key_was_read() {
        let greeting = greet(&request(&[]), &[]).expect("greets");
        // The example of RFC 6455, section 1.3.
        assert_eq!(greeting.response().headers()["sec-websocket-accept"], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert_eq!(greeting.response().headers()["sec-websocket-protocol"], SUBPROTOCOL);
        assert!(greeting.speaks && greeting.cookie.is_none());
    }

    #[test]
    fn what_is_no_handshake_is_refused() {
        assert_eq!(status(&[("sec-websocket-version", "8")]), Some(426));
        assert_eq!(status(&[("sec-websocket-version", "")]), Some(426));
        assert_eq!(status(&[("sec-websocket-key", "")]), Some(400));
        assert_eq!(status(&[("sec-websocket-key", "c2hvcnQ=")]), Some(400));
        assert_eq!(status(&[("sec-websocket-key", "%%%")]), Some(400));
        assert_eq!(status(&[("upgrade", "h2c")]), Some(400));
        assert_eq!(status(&[("connection", "keep-alive")]), Some(400));
    }

    #[test]
    fn another_subprotocol_is_named_so_that_a_browser_sees_the_4406() {
        let other = greet(&request(&[("sec-websocket-protocol", "graphql-ws, mqtt")]), &[]).expect("greets");
        assert!(!other.speaks);
        assert_eq!(other.response().headers()["sec-websocket-protocol"], "graphql-ws");
        let none = greet(&request(&[("sec-websocket-protocol", "")]), &[]).expect("greets");
        assert!(!none.speaks && !none.response().headers().contains_key("sec-websocket-protocol"));
        let both =
            greet(&request(&[("sec-websocket-protocol", "graphql-ws, graphql-transport-ws")]), &[]).expect("greets");
        assert!(both.speaks);
    }

    #[test]
    fn the_cookie_counts_for_our_own_pages_only() {
        let seen = |origin: &str, allowed: &[&str]| {
            let allowed: Vec<_> = allowed.iter().map(|it| it.to_string()).collect();
            let request = request(&[("cookie", "a=b; stoa_access=tok=en; c=d"), ("origin", origin)]);
            greet(&request, &allowed).expect("greets").cookie
        };
        assert_eq!(seen("http://stoa.test:4000", &[]).as_deref(), Some("tok=en"));
        assert_eq!(seen("https://STOA.test:4000", &[]).as_deref(), Some("tok=en"));
        assert_eq!(seen("https://app.test", &["https://app.test"]).as_deref(), Some("tok=en"));
        for foreign in ["https://evil.test", "http://stoa.test", "http://stoa.test:4000.evil.test", "null", "", "*"] {
            assert_eq!(seen(foreign, &["*"]), None, "{foreign}");
        }
    }
}
