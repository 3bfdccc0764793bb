//! Which sockets are open, and how many each session has. Invariant: a session never has more than its
//! setting allows, and its place is free again the moment the socket's task ends, however that ends. The sockets ping in
//! groups, so that thousands that wait do not wake the processor at thousands of times.

use crate::config::millis;
use metrics::{Counter, Gauge, counter, gauge};
use parking_lot::Mutex;
use std::{collections::HashMap, sync::Arc, time::Duration};
use tokio::time::Instant;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

/// In how many groups sockets ping.
const BEATS: u32 = 100;

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
    /// What beats are counted from.
    since: Instant,
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
                since: Instant::now(),
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

    /// The first of the moments in which sockets ping that is not before this one; an interval of `ping_ms` has a hundred.
    pub(super) fn beat(&self, at: Instant, ping_ms: u64) -> Instant {
        let step = (millis(ping_ms) / BEATS).as_nanos().max(1);
        let over = at.saturating_duration_since(self.inner.since).as_nanos() % step;
        let wait = u64::try_from((step - over) % step).unwrap_or_default();
        at + Duration::from_nanos(wait)
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
    fn sockets_ping_in_a_hundred_groups_and_keep_theirs() {
        let (sockets, mut beats) = (Sockets::new(), std::collections::BTreeSet::new());
        let since = sockets.inner.since;
        for number in 0..10_000 {
            let asked = since + Duration::from_micros(12_500_000 + number * 1250);
            let beat = sockets.beat(asked, 25_000);
            assert!(beat >= asked && beat < asked + Duration::from_millis(250));
            assert_eq!(sockets.beat(beat + Duration::from_secs(25), 25_000), beat + Duration::from_secs(25));
            beats.insert(beat);
        }
        assert_eq!(beats.len(), 51, "12.5 seconds have fifty, and the one at their end");
        // One that is shorter than what can be counted is not waited for.
        assert_eq!(sockets.beat(since, 0), since);
    }

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
