//! Answers as an event stream: "distinct connections" of the graphql-sse protocol, one operation a request.
//! Invariant: a stream that ends with `complete` is over; one that ends without has been cut, and the client comes
//! again.

use crate::{
    error::Code,
    identity,
    kit::scope::{Caller, Scope},
    platform::{
        presence::Here,
        standing::{AGAIN, SPREAD},
    },
    server::{
        engine::Answer,
        fault::{Media, respond},
        limits::StreamPermit,
    },
};
use axum::{
    body::Body,
    http::{HeaderName, HeaderValue, StatusCode},
    response::Response,
};
use bytes::{BufMut, Bytes, BytesMut};
use chrono::Utc;
use futures_util::{
    FutureExt, StreamExt,
    future::{BoxFuture, pending},
    stream::{self, BoxStream},
};
use std::{convert::Infallible, pin::pin, time::Duration};
use tokio::time::{Instant, Interval, interval_at, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

/// How often a silent stream shows that it lives; proxies cut what is silent for a minute, some for less.
const KEEPALIVE: Duration = Duration::from_secs(12);

const COMMENT: Bytes = Bytes::from_static(b":\n\n");
/// With an empty `data`, since `EventSource` drops events that have none.
const COMPLETE: &[u8] = b"event: complete\ndata:\n\n";

/// Ends when who subscribed may listen no more, with the last answer.
pub type Session = BoxFuture<'static, Answer>;

/// What goes with the stream: its place, and that the caller is here.
type Held = (StreamPermit, Option<Here>);

/// The session of a caller; strangers have none to lose.
pub fn session(caller: Caller) -> Option<Session> {
    match caller {
        Caller::Member(scope) => Some(Box::pin(revoked(scope))),
        Caller::Stranger { .. } => None,
    }
}

/// Says that a caller is here as long as the stream is: it has no answers to listen for. Whoever does not take what it
/// writes to show that it lives is cut off.
pub fn here(caller: &Caller) -> Option<Here> {
    match caller {
        Caller::Member(scope) => identity::presence::arrive(scope).map(Here::for_good),
        Caller::Stranger { .. } => None,
    }
}

async fn revoked(scope: Scope) -> Answer {
    let watch = identity::watch(&scope);
    let left = (scope.actor.expires_at - Utc::now()).to_std().unwrap_or_default();
    // A clock cannot hold every date that a credential can.
    let ends = Instant::now().checked_add(left);
    let mut ends =
        pin!(async move { if let Some(at) = ends { sleep_until(at).await } else { pending().await } }.fuse());
    let mut pause = SPREAD;
    loop {
        let spread = || sleep(pause.mul_f32(rand::random::<f32>()));
        if pause == SPREAD {
            tokio::select! {
                () = watch.rung() => spread().await,
                () = &mut ends => {}
            }
        } else {
            spread().await;
        }
        pause = match identity::recheck(&scope).await {
            Ok(()) => SPREAD,
            Err(error) if error.code() == Code::Unauthenticated => return Answer::refusal(&error, &scope.request),
            // A database that is away says nothing about the session.
            Err(_) => AGAIN,
        };
    }
}

/// The answer of a query or a mutation, and the end.
pub fn once(answer: &Answer) -> Bytes {
    let mut body = BytesMut::with_capacity(answer.body.len() + 64);
    next(answer, &mut body);
    body.put_slice(COMPLETE);
    body.freeze()
}

/// The answers of a subscription as they come, until it ends, the session does, or the server stops.
pub fn stream(
    answers: BoxStream<'static, Answer>,
    draining: CancellationToken,
    session: Option<Session>,
    held: Held,
) -> Response {
    let session = session.unwrap_or_else(|| pending().boxed());
    let live = Live { answers, draining, session, keepalive: keepalive(), ended: false, _held: held };
    // The first comment carries the head through proxies that wait for a body.
    let events = stream::iter([COMMENT]).chain(stream::unfold(live, Live::event)).map(Ok::<_, Infallible>);
    let mut response = respond(StatusCode::OK, Media::EventStream, Bytes::new());
    *response.body_mut() = Body::from_stream(events);
    // nginx would hold events back otherwise.
    response.headers_mut().insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    response
}

fn keepalive() -> Interval {
    interval_at(Instant::now() + KEEPALIVE, KEEPALIVE)
}

/// A stream that has not ended.
struct Live {
    answers: BoxStream<'static, Answer>,
    draining: CancellationToken,
    session: Session,
    keepalive: Interval,
    ended: bool,
    _held: Held,
}

impl Live {
    async fn event(mut self) -> Option<(Bytes, Self)> {
        if self.ended {
            return None;
        }
        let answer = tokio::select! {
            biased;
            () = self.draining.cancelled() => return None,
            refusal = &mut self.session => Some(refusal),
            answer = self.answers.next() => answer,
            _ = self.keepalive.tick() => return Some((COMMENT, self)),
        };
        self.keepalive.reset();
        let mut event = BytesMut::new();
        if let Some(answer) = &answer {
            next(answer, &mut event);
        }
        if answer.is_none_or(|answer| answer.refused.is_some()) {
            event.put_slice(COMPLETE);
            self.ended = true;
        }
        Some((event.freeze(), self))
    }
}

/// One `next` event. A line break inside would end it, so each line is a `data` of its own.
fn next(answer: &Answer, event: &mut BytesMut) {
    event.reserve(answer.body.len() + 64);
    event.put_slice(b"event: next\n");
    for line in answer.body.split(|b| *b == b'\n') {
        event.put_slice(b"data: ");
        event.put_slice(line);
        event.put_u8(b'\n');
    }
    event.put_u8(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::HttpConfig, server::limits::Limits};
    use http_body_util::BodyExt;

    fn answer(body: &'static str) -> Answer {
        Answer { body: Bytes::from_static(body.as_bytes()), refused: None }
    }

    fn permit(limits: &Limits) -> StreamPermit {
        limits.address_stream(None).expect("a place")
    }

    fn start(
        answers: BoxStream<'static, Answer>,
        draining: &CancellationToken,
        session: Option<Session>,
    ) -> (Response, Limits) {
        let limits = Limits::new(&HttpConfig::default(), 1);
        (stream(answers, draining.clone(), session, (permit(&limits), None)), limits)
    }

    async fn all(response: Response) -> String {
        let body = response.into_body().collect().await.expect("a body").to_bytes();
        String::from_utf8(body.to_vec()).expect("text")
    }

    #[test]
    fn one_answer_is_next_and_complete() {
        let body = once(&answer("{\"data\":{\"version\":\"1\"}}"));
        assert_eq!(body, "event: next\ndata: {\"data\":{\"version\":\"1\"}}\n\nevent: complete\ndata:\n\n");
        assert_eq!(once(&answer("{\n}")), "event: next\ndata: {\ndata: }\n\nevent: complete\ndata:\n\n");
    }

    #[tokio::test]
    async fn a_subscription_ends_with_complete() {
        let answers = stream::iter([answer("{\"data\":1}"), answer("{\"data\":2}")]).boxed();
        let (response, limits) = start(answers, &CancellationToken::new(), None);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        assert_eq!(limits.streams_open(), 1);
        let body = all(response).await;
        assert_eq!(
            body,
            ":\n\nevent: next\ndata: {\"data\":1}\n\nevent: next\ndata: {\"data\":2}\n\nevent: complete\ndata:\n\n"
        );
        assert_eq!(limits.streams_open(), 0, "its place is given back");
    }

    #[tokio::test]
    async fn a_refused_answer_is_the_last() {
        let refused = Answer { refused: Some(Code::Forbidden), ..answer("{\"errors\":[]}") };
        let (response, _limits) =
            start(stream::iter([refused, answer("{\"data\":2}")]).boxed(), &CancellationToken::new(), None);
        assert_eq!(all(response).await, ":\n\nevent: next\ndata: {\"errors\":[]}\n\nevent: complete\ndata:\n\n");
    }

    #[tokio::test(start_paused = true)]
    async fn silence_is_filled_with_comments() {
        let (response, _limits) = start(stream::pending().boxed(), &CancellationToken::new(), None);
        let mut body = response.into_body().into_data_stream();
        let began = Instant::now();
        for seconds in [0, 12, 24] {
            assert_eq!(body.next().await.expect("an event").expect("bytes"), COMMENT);
            assert_eq!(began.elapsed().as_secs(), seconds);
        }
    }

    #[tokio::test]
    async fn a_server_that_stops_cuts_without_complete() {
        let draining = CancellationToken::new();
        let (response, _limits) = start(stream::pending().boxed(), &draining, None);
        draining.cancel();
        assert_eq!(all(response).await, ":\n\n");
    }

    #[tokio::test(start_paused = true)]
    async fn a_session_that_ends_takes_its_streams_along() {
        let began = Instant::now();
        let session: Session = Box::pin(async {
            sleep(Duration::from_millis(2500)).await;
            Answer { refused: Some(Code::Unauthenticated), ..answer("{\"errors\":[{}]}") }
        });
        let (response, _limits) = start(stream::pending().boxed(), &CancellationToken::new(), Some(session));
        assert_eq!(all(response).await, ":\n\nevent: next\ndata: {\"errors\":[{}]}\n\nevent: complete\ndata:\n\n");
        assert_eq!(began.elapsed().as_millis(), 2500);
    }
}
