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
    collections::HashMap,
    sync::Arc,
    task::{Context, Poll, Waker},
};

pub(super) struct Running {
    operations: Slab<Operation>,
    by_id: HashMap<Arc<str>, usize>,
    calls: Arc<Calls>,
    sockets: Sockets,
}

struct Operation {
    id: Arc<str>,
    /// What each of its answers begins with.
    head: Box<str>,
    kind: OperationKind,
    answers: BoxStream<'static, Outcome>,
    call: Arc<Call>,
    /// Calls.
    waker: Waker,
}

impl Running {
    pub fn new(calls: Arc<Calls>, sockets: Sockets) -> Self {
        Running { operations: Slab::new(), by_id: HashMap::new(), calls, sockets }
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
        place.insert(Operation { id, head, kind, answers, call, waker });
        self.sockets.operations().increment(1.0);
    }

    /// Stops an operation; nothing when there is none of that id.
    pub fn stop(&mut self, id: &str) {
        if let Some(place) = self.by_id.remove(id) {
            self.calls.leave(place);
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
        let mut silent = 0;
        // Who has nothing to say and calls again at once, to let others go first, has woken the task: it comes to them then.
        while silent < self.operations.len()
            && let Some(place) = self.calls.next()
        {
            let Some(operation) = self.operations.get_mut(place) else { continue };
            operation.call.heard();
            match operation.answers.poll_next_unpin(&mut Context::from_waker(&operation.waker)) {
                Poll::Pending => {
                    silent += 1;
                    continue;
                }
                Poll::Ready(Some(Outcome::Next(body))) => {
                    outbox.envelope(&operation.head, body);
                    self.sockets.delivered();
                    operation.call.again();
                }
                Poll::Ready(ended) => {
                    let id = operation.id.clone();
                    match ended {
                        Some(Outcome::Refused(errors)) => outbox.envelope(&protocol::error_head(&id), errors),
                        _ => outbox.text(protocol::complete(&id)),
                    }
                    self.stop(&id);
                }
            }
            return Poll::Ready(());
        }
        Poll::Pending
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.sockets.operations().decrement(self.operations.len() as f64);
    }
}
