//! Which sockets are open, and how many each session has. Invariant: a session never has more than its
//! setting allows, and its place is free again the moment the socket's task ends, however that ends.

use metrics::{Counter, Gauge, counter, gauge};
use parking_lot::Mutex;
use std::{collections::HashMap, sync::Arc};
use tokio_util::task::TaskTracker;
use uuid::Uuid;

/// All sockets of this process. Cheap to clone.
#[derive(Clone)]
pub struct Sockets {
    inner: Arc<Inner>,
}

struct Inner {
    tasks: TaskTracker,
    /// Sockets per session; only sessions with a socket are in it, so it is as large as what is open.
    sessions: Mutex<HashMap<Uuid, usize>>,
    open: Gauge,
    operations: Gauge,
    deliveries: Counter,
}

impl Sockets {
    /// Made after the metrics recorder is installed: it keeps its handles.
    #[expect(clippy::new_without_default, reason = "when it is made matters")]
    pub fn new() -> Self {
        Sockets {
            inner: Arc::new(Inner {
                tasks: TaskTracker::new(),
                sessions: Mutex::new(HashMap::new()),
                open: gauge!("stoa_sockets"),
                operations: gauge!("stoa_operations"),
                deliveries: counter!("stoa_deliveries_total"),
            }),
        }
    }

    /// Ends when every socket has: to be waited for after `Server::draining` is cancelled.
    pub async fn closed(&self) {
        self.inner.tasks.close();
        self.inner.tasks.wait().await;
    }

    /// Sockets open now, handshakes under way included.
    pub fn count(&self) -> usize {
        self.inner.tasks.len()
    }

    pub(super) fn spawn(&self, socket: impl Future<Output = ()> + Send + 'static) {
        let open = Open(self.inner.open.clone());
        self.inner.open.increment(1.0);
        drop(self.inner.tasks.spawn(async move {
            let _open = open;
            socket.await;
        }));
    }

    /// A place for one more socket of a session; none when it has `limit` already.
    pub(super) fn seat(&self, session: Uuid, limit: usize) -> Option<Seat> {
        let mut sessions = self.inner.sessions.lock();
        let taken = sessions.entry(session).or_default();
        if *taken < limit.max(1) {
            *taken += 1;
            Some(Seat { sockets: self.clone(), session })
        } else {
            None
        }
    }

    pub(super) fn delivered(&self) {
        self.inner.deliveries.increment(1);
    }

    pub(super) fn operations(&self) -> &Gauge {
        &self.inner.operations
    }
}

/// Counts a socket for as long as it lives.
struct Open(Gauge);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}

/// A session's place, given back when dropped.
pub(super) struct Seat {
    sockets: Sockets,
    session: Uuid,
}

impl Seat {
    pub fn session(&self) -> Uuid {
        self.session
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut sessions = self.sockets.inner.sessions.lock();
        if let Some(taken) = sessions.get_mut(&self.session) {
            *taken = taken.saturating_sub(1);
            if *taken == 0 {
                sessions.remove(&self.session);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seats_are_counted_per_session_and_given_back() {
        let (sockets, a, b) = (Sockets::new(), Uuid::from_u128(1), Uuid::from_u128(2));
        let first = sockets.seat(a, 2).expect("free");
        let _second = sockets.seat(a, 2).expect("free");
        assert!(sockets.seat(a, 2).is_none());
        let other = sockets.seat(b, 2).expect("another session");
        drop(first);
        assert!(sockets.seat(a, 2).is_some());
        drop(other);
        assert_eq!(sockets.inner.sessions.lock().len(), 1, "a session without sockets leaves no trace");
    }
}
