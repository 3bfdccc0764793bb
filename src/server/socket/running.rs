//! The operations that run on one socket, polled by the socket's task, in turns. Invariant: an operation that
//! the client has completed is never heard of again, even when its id names another one by then.

use super::{
    Sockets,
    calls::{Call, Calls},
    operations::{Outcome, Started},
    outbox::Outbox,
    protocol,
};
use crate::server::engine::OperationKind;
use futures_util::{StreamExt, stream::BoxStream};
use slab::Slab;
use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    task::{Context, Poll, Waker, ready},
};

/// Answers of operations that are kept for a client which does not read at present, in bytes at most.
const KEPT: usize = 4 << 20;

pub(super) struct Running {
    operations: Slab<Operation>,
    by_id: HashMap<Arc<str>, usize>,
    /// Answers that could not be written yet, of one operation each.
    kept: VecDeque<(usize, Option<Outcome>)>,
    calls: Arc<Calls>,
    sockets: Sockets,
}

struct Operation {
    id: Arc<str>,
    /// What each of its answers begins with.
    head: Box<str>,
    kind: OperationKind,
    answers: BoxStream<'static, Outcome>,
    /// Whether its answer is kept.
    waits: bool,
    call: Arc<Call>,
    /// Calls.
    waker: Waker,
}

impl Running {
    pub fn new(calls: Arc<Calls>, sockets: Sockets) -> Self {
        Running { operations: Slab::new(), by_id: HashMap::new(), kept: VecDeque::new(), calls, sockets }
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
        let (head, waker) = (protocol::next_head(&id).into(), call.clone().into());
        place.insert(Operation { id, head, kind, answers, waits: false, call, waker });
        self.sockets.operations().increment(1.0);
    }

    /// Stops an operation; nothing when there is none of that id.
    pub fn stop(&mut self, id: &str) {
        if let Some(place) = self.by_id.remove(id) {
            self.calls.leave(place);
            self.kept.retain(|(it, _)| *it != place);
            self.operations.try_remove(place);
            self.sockets.operations().decrement(1.0);
        }
    }

    /// Stops what would never end by itself.
    pub fn stop_subscriptions(&mut self) {
        let all = self.operations.iter().filter(|(_, operation)| operation.kind == OperationKind::Subscription);
        let ids: Vec<_> = all.map(|(_, operation)| operation.id.clone()).collect();
        ids.iter().for_each(|id| self.stop(id));
    }

    /// Hands on the next answer of any operation, or that one has ended, which frees its id. Whoever has answered goes to the end
    /// of those who have called.
    pub fn poll_next(&mut self, outbox: &mut Outbox) -> Poll<()> {
        let (place, answer) = match self.kept.pop_front() {
            Some(kept) => kept,
            None => ready!(self.poll_answer()),
        };
        let Some(operation) = self.operations.get_mut(place) else { return Poll::Ready(()) };
        operation.waits = false;
        match answer {
            Some(Outcome::Next(body)) => {
                outbox.envelope(&operation.head, body);
                self.sockets.delivered();
                operation.call.again();
            }
            ended => {
                let id = operation.id.clone();
                match ended {
                    Some(Outcome::Refused(errors)) => outbox.envelope(&protocol::error_head(&id), errors),
                    _ => outbox.text(protocol::complete(&id)),
                }
                self.stop(&id);
            }
        }
        Poll::Ready(())
    }

    /// While nothing can be written: works on whoever has called until each has an answer, which is kept. They may hold what others
    /// wait for: a connection of the database, a turn. False: more is kept than a client may leave unread.
    pub fn work(&mut self) -> bool {
        while let Poll::Ready((place, answer)) = self.poll_answer() {
            if let Some(operation) = self.operations.get_mut(place) {
                operation.waits = true;
                self.kept.push_back((place, answer));
            }
        }
        let bytes = self.kept.iter().map(|(_, answer)| match answer {
            Some(Outcome::Next(body) | Outcome::Refused(body)) => body.len(),
            None => 0,
        });
        bytes.sum::<usize>() <= KEPT
    }

    /// The next answer of whoever has called; None: it has ended.
    fn poll_answer(&mut self) -> Poll<(usize, Option<Outcome>)> {
        // Whoever calls from now on wakes the task: also who has nothing to say and calls at once, to let others go first.
        for _ in 0..self.calls.count() {
            let Some(place) = self.calls.next() else { break };
            let Some(operation) = self.operations.get_mut(place) else { continue };
            operation.call.heard();
            // It is asked again once that is told.
            if operation.waits {
                continue;
            }
            if let Poll::Ready(answer) = operation.answers.poll_next_unpin(&mut Context::from_waker(&operation.waker)) {
                return Poll::Ready((place, answer));
            }
        }
        Poll::Pending
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.sockets.operations().decrement(self.operations.len() as f64);
    }
}
