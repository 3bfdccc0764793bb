//! The operations that run on one socket, polled by the socket's task, in turns. Invariant: an operation that
//! the client has completed is never heard of again, even when its id names another one by then.

use super::{
    calls::{Call, Calls},
    operations::{Outcome, Started},
};
use crate::server::engine::OperationKind;
use futures_util::{StreamExt, stream::BoxStream};
use metrics::Gauge;
use slab::Slab;
use std::{
    collections::HashMap,
    sync::Arc,
    task::{Context, Poll, Waker},
};

pub(super) struct Running {
    operations: Slab<Operation>,
    by_id: HashMap<Arc<str>, usize>,
    calls: Arc<Calls>,
    gauge: Gauge,
}

struct Operation {
    id: Arc<str>,
    kind: OperationKind,
    answers: BoxStream<'static, Outcome>,
    call: Arc<Call>,
    /// Calls.
    waker: Waker,
}

impl Running {
    pub fn new(calls: Arc<Calls>, gauge: Gauge) -> Self {
        Running { operations: Slab::new(), by_id: HashMap::new(), calls, gauge }
    }

    pub fn contains(&self, id: &str) -> bool {
        self.by_id.contains_key(id)
    }

    pub fn len(&self) -> usize {
        self.operations.len()
    }

    pub fn is_empty(&self) -> bool {
        self.operations.is_empty()
    }

    /// Takes an operation whose id is not in use.
    pub fn start(&mut self, id: Arc<str>, Started { kind, answers }: Started) {
        let place = self.operations.vacant_entry();
        let call = self.calls.enter(place.key());
        self.by_id.insert(id.clone(), place.key());
        place.insert(Operation { id, kind, answers, waker: call.clone().into(), call });
        self.gauge.increment(1.0);
    }

    /// Stops an operation; nothing when there is none of that id.
    pub fn stop(&mut self, id: &str) {
        if let Some(place) = self.by_id.remove(id) {
            self.calls.leave(place);
            self.operations.try_remove(place);
            self.gauge.decrement(1.0);
        }
    }

    /// Stops what would never end by itself.
    pub fn stop_subscriptions(&mut self) {
        let all = self.operations.iter().filter(|(_, operation)| operation.kind == OperationKind::Subscription);
        let ids: Vec<_> = all.map(|(_, operation)| operation.id.clone()).collect();
        ids.iter().for_each(|id| self.stop(id));
    }

    /// The next answer of any operation; none of it when the operation has ended, which frees the id. Whoever has answered goes
    /// to the end of those who have called.
    pub fn poll_next(&mut self) -> Poll<(Arc<str>, Option<Outcome>)> {
        while let Some(place) = self.calls.next() {
            let Some(operation) = self.operations.get_mut(place) else { continue };
            operation.call.heard();
            let Poll::Ready(outcome) = operation.answers.poll_next_unpin(&mut Context::from_waker(&operation.waker))
            else {
                continue;
            };
            let id = operation.id.clone();
            if matches!(outcome, Some(Outcome::Next(_))) {
                operation.call.again();
            } else {
                self.stop(&id);
            }
            return Poll::Ready((id, outcome));
        }
        Poll::Pending
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.gauge.decrement(self.operations.len() as f64);
    }
}
