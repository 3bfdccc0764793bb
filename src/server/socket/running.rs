//! The operations that run on one socket, polled by the socket's task, in turns. Invariant: an operation that
//! the client has completed is never heard of again, even when its id names another one by then.

use super::operations::{Outcome, Started};
use crate::server::engine::OperationKind;
use futures_util::{
    Stream, StreamExt,
    future::{AbortHandle, Abortable},
    stream::{BoxStream, SelectAll},
};
use metrics::Gauge;
use std::{
    collections::HashMap,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

pub(super) struct Running {
    by_id: HashMap<Arc<str>, Entry>,
    /// Also holds, until their next turn, those that were stopped.
    answers: SelectAll<Answers>,
    started: u64,
    gauge: Gauge,
}

struct Entry {
    number: u64,
    kind: OperationKind,
    stop: AbortHandle,
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.stop.abort();
    }
}

impl Running {
    pub fn new(gauge: Gauge) -> Self {
        Running { by_id: HashMap::new(), answers: SelectAll::new(), started: 0, gauge }
    }

    pub fn contains(&self, id: &str) -> bool {
        self.by_id.contains_key(id)
    }

    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// Takes an operation whose id is not in use.
    pub fn start(&mut self, id: Arc<str>, operation: Started) {
        self.started += 1;
        let (stop, registration) = AbortHandle::new_pair();
        self.answers.push(Answers {
            id: id.clone(),
            number: self.started,
            stream: Some(Abortable::new(operation.answers, registration)),
        });
        self.by_id.insert(id, Entry { number: self.started, kind: operation.kind, stop });
        self.gauge.increment(1.0);
    }

    /// Stops an operation; nothing when there is none of that id.
    pub fn stop(&mut self, id: &str) {
        if self.by_id.remove(id).is_some() {
            self.gauge.decrement(1.0);
        }
    }

    /// Stops what would never end by itself.
    pub fn stop_subscriptions(&mut self) {
        let before = self.by_id.len();
        self.by_id.retain(|_, entry| entry.kind != OperationKind::Subscription);
        self.gauge.decrement((before - self.by_id.len()) as f64);
    }

    /// The next answer of any operation; none of it when the operation has ended, which frees the id.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<(Arc<str>, Option<Outcome>)> {
        loop {
            let Some((id, number, outcome)) = ready!(self.answers.poll_next_unpin(context)) else {
                return Poll::Pending;
            };
            if self.by_id.get(&id).is_none_or(|entry| entry.number != number) {
                continue;
            }
            if !matches!(outcome, Some(Outcome::Next(_))) {
                self.stop(&id);
            }
            return Poll::Ready((id, outcome));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.gauge.decrement(self.by_id.len() as f64);
    }
}

/// The answers of one operation, and then its end.
struct Answers {
    id: Arc<str>,
    number: u64,
    stream: Option<Abortable<BoxStream<'static, Outcome>>>,
}

impl Stream for Answers {
    type Item = (Arc<str>, u64, Option<Outcome>);

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(stream) = &mut self.stream else { return Poll::Ready(None) };
        let outcome = ready!(stream.poll_next_unpin(context));
        if !matches!(outcome, Some(Outcome::Next(_))) {
            self.stream = None;
        }
        Poll::Ready(Some((self.id.clone(), self.number, outcome)))
    }
}
