//! The messages of `graphql-transport-ws`: read from text, written to text, nothing else.
//! Invariant: whatever a client sends becomes a message or a close code with a reason in our own words.
//! (<https://github.com/graphql/graphql-over-http/blob/main/rfcs/GraphQLOverWebSocket.md>)

use serde::Deserialize;
use serde_json::{Map, Value, value::RawValue};
use std::{borrow::Cow, sync::Arc};

/// An operation id at most, in bytes.
pub(super) const MAX_ID: usize = 128;

/// A close reason at most, in bytes (RFC 6455, section 5.5: 125 with the code).
const MAX_REASON: usize = 123;

/// How the server ends a socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Close {
    pub code: u16,
    pub reason: Cow<'static, str>,
}

impl Close {
    /// The reason is cut where it is too long for a close frame.
    pub fn new(code: u16, reason: impl Into<Cow<'static, str>>) -> Self {
        let mut reason = reason.into();
        if reason.len() > MAX_REASON {
            let end = reason.floor_char_boundary(MAX_REASON);
            reason.to_mut().truncate(end);
        }
        Close { code, reason }
    }

    /// 4400: the client's program sends what the protocol does not have.
    pub fn bad(reason: impl Into<Cow<'static, str>>) -> Self {
        Close::new(4400, reason)
    }

    /// 1013: come back, with what the server still had to say read afresh.
    pub fn again(reason: &'static str) -> Self {
        Close::new(1013, reason)
    }

    /// 4403: come back with a fresh token.
    pub fn forbidden() -> Self {
        Close::new(4403, "Forbidden")
    }

    /// 4403, when the token was good once.
    pub fn expired() -> Self {
        Close::new(4403, "Token expired")
    }
}

/// What a client says.
// Not in the program itself: it holds a token, and what can be printed ends up in a log.
#[cfg_attr(test, derive(Debug))]
pub(super) enum ClientMessage {
    ConnectionInit { token: Option<String> },
    Ping { token: Option<String>, payload: Option<Box<RawValue>> },
    Pong,
    Subscribe { id: Arc<str>, payload: Map<String, Value> },
    Complete { id: String },
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<&'a RawValue>,
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    payload: Option<&'a RawValue>,
}

impl ClientMessage {
    pub fn parse(text: &str) -> Result<Self, Close> {
        let object = text.trim_start_matches([' ', '\t', '\r', '\n']).starts_with('{');
        let envelope: Envelope = match serde_json::from_str(text) {
            Ok(envelope) if object => envelope,
            _ => return Err(Close::bad("A message must be one JSON object, each of its members given once.")),
        };
        let kind = match envelope.kind {
            None => return Err(Close::bad("A message must have a `type`.")),
            Some(raw) => string(raw).ok_or_else(|| Close::bad("`type` must be a string."))?,
        };
        match kind.as_str() {
            "connection_init" => {
                let payload = object_or_none(envelope.payload)?;
                Ok(ClientMessage::ConnectionInit { token: token(payload)? })
            }
            "ping" => {
                let token = token(object_or_none(envelope.payload)?)?;
                Ok(ClientMessage::Ping { token, payload: envelope.payload.map(ToOwned::to_owned) })
            }
            "pong" => object_or_none(envelope.payload).map(|_| ClientMessage::Pong),
            "subscribe" => {
                let id = id(envelope.id)?.into();
                let Some(payload) = object_or_none(envelope.payload)? else {
                    return Err(Close::bad("`payload` of `subscribe` must be an object."));
                };
                has_document(&payload)?;
                Ok(ClientMessage::Subscribe { id, payload })
            }
            "complete" => Ok(ClientMessage::Complete { id: id(envelope.id)? }),
            "connection_ack" | "next" | "error" => Err(Close::bad(format!("Only the server sends `{kind}`."))),
            "start" | "stop" | "data" | "connection_terminate" | "connection_error" | "ka" => Err(Close::bad(format!(
                "`{kind}` belongs to the old protocol `subscriptions-transport-ws`; this is `graphql-transport-ws`."
            ))),
            _ => Err(Close::bad(format!("Unknown message type `{kind}`."))),
        }
    }
}

fn string(raw: &RawValue) -> Option<String> {
    serde_json::from_str(raw.get()).ok()
}

fn id(raw: Option<&RawValue>) -> Result<String, Close> {
    match raw.and_then(string) {
        Some(id) if id.is_empty() => Err(Close::bad("`id` must not be empty.")),
        Some(id) if id.len() > MAX_ID => Err(Close::bad("`id` must have at most 128 bytes.")),
        Some(id) => Ok(id),
        None => Err(Close::bad("`id` must be a string.")),
    }
}

/// An object, or nothing when absent or null.
fn object_or_none(raw: Option<&RawValue>) -> Result<Option<Map<String, Value>>, Close> {
    let Some(raw) = raw else { return Ok(None) };
    if !raw.get().starts_with('{') {
        return Err(Close::bad("`payload` must be an object."));
    }
    match serde_json::from_str(raw.get()) {
        Ok(payload) => Ok(Some(payload)),
        Err(_) => Err(Close::bad("`payload` has a number or a text that JSON cannot carry, or nests too deep.")),
    }
}

/// A document, or the hash of one. Everything else about a request is judged where requests of all
/// transports are.
fn has_document(payload: &Map<String, Value>) -> Result<(), Close> {
    let persisted =
        || payload.get("extensions").and_then(|it| it.get("persistedQuery")).is_some_and(|it| !it.is_null());
    match payload.get("query") {
        Some(Value::String(_)) => Ok(()),
        None | Some(Value::Null) if persisted() => Ok(()),
        None | Some(Value::Null) => Err(Close::bad("`payload` of `subscribe` must have a `query`.")),
        Some(_) => Err(Close::bad("`query` must be a string.")),
    }
}

/// The access token of a payload, with or without `Bearer`. The member's name is read as HTTP reads its
/// headers, in any case: a client that writes `Authorization` must not become a stranger without a word.
/// An empty one is none, as pages send it before anybody has signed in.
fn token(payload: Option<Map<String, Value>>) -> Result<Option<String>, Close> {
    let authorization =
        payload.into_iter().flatten().find(|(name, _)| name.eq_ignore_ascii_case("authorization")).map(|(_, it)| it);
    match authorization {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => {
            let text = text.trim();
            let token = match text.split_at_checked(6) {
                Some((scheme, "")) if scheme.eq_ignore_ascii_case("bearer") => "",
                Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") && token.starts_with(' ') => {
                    token.trim()
                }
                _ => text,
            };
            Ok((!text.is_empty()).then(|| token.to_owned()))
        }
        Some(_) => Err(Close::bad("`authorization` must be a string.")),
    }
}

/// `{"type":"connection_ack"}`
pub(super) const ACK: &str = r#"{"type":"connection_ack"}"#;

/// `{"type":"pong","payload":…}`: what came with the ping goes back, as it came.
pub(super) fn pong(payload: Option<&RawValue>) -> String {
    match payload {
        None => r#"{"type":"pong"}"#.to_owned(),
        Some(payload) => format!(r#"{{"type":"pong","payload":{payload}}}"#),
    }
}

/// `{"id":…,"type":"next","payload":` — the answer and a `}` follow.
pub(super) fn next_head(id: &str) -> String {
    format!(r#"{{"id":{},"type":"next","payload":"#, Value::from(id))
}

/// `{"id":…,"type":"error","payload":` — the list of errors and a `}` follow.
pub(super) fn error_head(id: &str) -> String {
    format!(r#"{{"id":{},"type":"error","payload":"#, Value::from(id))
}

/// `{"id":…,"type":"complete"}`
pub(super) fn complete(id: &str) -> String {
    format!(r#"{{"id":{},"type":"complete"}}"#, Value::from(id))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        let close = ClientMessage::parse(text).expect_err(text);
        assert_eq!(close.code, 4400, "{text}");
        assert!(close.reason.len() <= MAX_REASON && !close.reason.is_empty(), "{text}: {}", close.reason);
        assert!(!close.reason.contains("line ") && !close.reason.contains("expected"), "{text}: {}", close.reason);
        close.reason.into_owned()
    }

    #[test]
    fn what_is_not_in_the_protocol_is_4400() {
        for text in [
            "",
            " ",
            "null",
            "[]",
            r#"["subscribe","1",{"query":"{a}"}]"#,
            "{",
            "{}",
            "{} {}",
            r#"{"type":null}"#,
            r#"{"type":1}"#,
            r#"{"type":"ping","type":"ping"}"#,
            r#"{"type":"ping","payload":[]}"#,
            r#"{"type":"ping","payload":"x"}"#,
            r#"{"type":"pong","payload":1}"#,
            r#"{"type":"connection_init","payload":[]}"#,
            r#"{"type":"connection_init","payload":{"authorization":1}}"#,
            r#"{"type":"connection_ack"}"#,
            r#"{"type":"next","id":"1","payload":{}}"#,
            r#"{"type":"error","id":"1","payload":[]}"#,
            r#"{"type":"start","id":"1","payload":{"query":"{a}"}}"#,
            r#"{"type":"stop","id":"1"}"#,
            r#"{"type":"connection_terminate"}"#,
            r#"{"type":"subscribe","payload":{"query":"{a}"}}"#,
            r#"{"type":"subscribe","id":"","payload":{"query":"{a}"}}"#,
            r#"{"type":"subscribe","id":1,"payload":{"query":"{a}"}}"#,
            r#"{"type":"subscribe","id":"1"}"#,
            r#"{"type":"subscribe","id":"1","payload":null}"#,
            r#"{"type":"subscribe","id":"1","payload":[]}"#,
            r#"{"type":"subscribe","id":"1","payload":{}}"#,
            r#"{"type":"subscribe","id":"1","payload":{"query":null}}"#,
            r#"{"type":"subscribe","id":"1","payload":{"query":1}}"#,
            r#"{"type":"subscribe","id":"1","payload":{"query":"{a}","variables":{"n":1e999}}}"#,
            r#"{"type":"subscribe","id":"1","payload":{"query":"\ud800"}}"#,
            r#"{"type":"complete"}"#,
            r#"{"type":"complete","id":""}"#,
        ] {
            refused(text);
        }
        let long = "x".repeat(MAX_ID + 1);
        refused(&format!(r#"{{"type":"complete","id":"{long}"}}"#));
        let deep = format!("{}1{}", r#"{"a":"#.repeat(500), "}".repeat(500));
        refused(&format!(r#"{{"type":"ping","payload":{deep}}}"#));
        assert!(refused(r#"{"type":"start"}"#).contains("subscriptions-transport-ws"));
    }

    proptest::proptest! {
        /// Whatever comes: a message or a 4400 that fits.
        #[test]
        fn nothing_that_is_sent_breaks_the_reader(
            kind in r#""(subscribe|ping|complete|start|.{0,200})"|.{0,9}"#,
            id in r#""(\\PC{0,200}|\\u[dD][0-9a-f]{3})"|.{0,9}"#,
            payload in r#"\{("query":".{0,9}"|"authorization":.{0,9})?\}|.{0,9}"#,
        ) {
            for text in [format!(r#"{{"type":{kind},"id":{id},"payload":{payload}}}"#), kind, id, payload] {
                if let Err(close) = ClientMessage::parse(&text) {
                    proptest::prop_assert!(close.code == 4400 && (1..=MAX_REASON).contains(&close.reason.len()));
                }
            }
        }
    }

    #[test]
    fn reasons_fit_a_close_frame_and_stay_text() {
        let reason = refused(&format!(r#"{{"type":"{}"}}"#, "ä".repeat(300)));
        assert!(reason.starts_with("Unknown message type `ä"));
        assert_eq!(Close::new(4409, "x".repeat(200)).reason.len(), MAX_REASON);
    }

    #[test]
    fn tokens_come_with_and_without_a_scheme() {
        let seen = |authorization: &str| {
            let text = format!(r#"{{"type":"connection_init","payload":{{{authorization}}}}}"#);
            match ClientMessage::parse(&text) {
                Ok(ClientMessage::ConnectionInit { token }) => token,
                other => panic!("{other:?}"),
            }
        };
        for same in
            [r#""authorization":"t.o.k""#, r#""authorization":"Bearer t.o.k""#, r#""Authorization":"bearer  t.o.k ""#]
        {
            assert_eq!(seen(same).as_deref(), Some("t.o.k"), "{same}");
        }
        for none in ["", r#""authorization":null"#, r#""authorization":" ""#] {
            assert_eq!(seen(none), None, "{none}");
        }
        assert_eq!(seen(r#""authorization":"Bearer""#).as_deref(), Some(""), "a scheme without a token is a bad token");
    }

    #[test]
    fn messages_are_read_and_ids_are_quoted() {
        let Ok(ClientMessage::Subscribe { id, payload }) = ClientMessage::parse(
            " {\"payload\":{\"query\":\"{a}\"},\"id\":\"a\\\"\\n\",\"type\":\"subscribe\",\"more\":1}",
        ) else {
            panic!("a subscribe")
        };
        assert_eq!((&*id, payload.len()), ("a\"\n", 1));
        assert_eq!(complete(&id), r#"{"id":"a\"\n","type":"complete"}"#);
        let persisted = r#"{"type":"subscribe","id":"1","payload":{"extensions":{"persistedQuery":{"version":1}}}}"#;
        assert!(ClientMessage::parse(persisted).is_ok());
        let Ok(ClientMessage::Ping { payload, token: None }) =
            ClientMessage::parse(r#"{"type":"ping","payload":{"n": 1}}"#)
        else {
            panic!("a ping")
        };
        assert_eq!(pong(payload.as_deref()), r#"{"type":"pong","payload":{"n": 1}}"#);
        assert_eq!(pong(None), r#"{"type":"pong"}"#);
    }
}
