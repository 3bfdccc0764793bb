//! What tells other nodes that a stream has grown. A hint, never the event: whoever hears it reads the log.
//! Invariant: nothing depends on a hint that arrives; one that is lost costs a sweep's delay, and no writer ever waits
//! for one to leave.

use super::{StreamId, hub::Exchange};
use crate::platform::nodes::{Ear, Heard, MOST_BODY, Nodes, Topic};
use parking_lot::Mutex;
use std::{
    collections::HashMap,
    sync::{Arc, Weak},
    time::Duration,
};
use tokio::{sync::Notify, time::sleep};
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

/// How long hints wait for others to go along: what a busy stream becomes within it is one hint.
const COALESCE: Duration = Duration::from_millis(5);
/// Streams of which a hint may wait.
const MOST: usize = 16_384;
/// A hint: the organization, the stream, the number.
const HINT: usize = 40;

/// The way out to other nodes; the way in is `Hub::hint`.
pub(super) trait Bus: Send + Sync + 'static {
    /// Says that `seq` is committed. Called after every commit: must not block, and may coalesce or drop.
    fn announce(&self, stream: StreamId, seq: i64);
}

/// Nobody else is told.
#[cfg(test)]
pub(super) struct InProcess;

#[cfg(test)]
impl Bus for InProcess {
    fn announce(&self, _stream: StreamId, _seq: i64) {}
}

/// Tells the other nodes, of each stream the highest number.
pub(super) struct Hints {
    waiting: Arc<Waiting>,
    _task: AbortOnDropHandle<()>,
}

struct Waiting {
    nodes: Nodes,
    streams: Mutex<HashMap<StreamId, i64>>,
    some: Notify,
}

impl Hints {
    pub fn new(nodes: Nodes) -> Self {
        let waiting = Arc::new(Waiting { nodes, streams: Mutex::default(), some: Notify::new() });
        let task = AbortOnDropHandle::new(tokio::spawn(waiting.clone().carry()));
        Hints { waiting, _task: task }
    }
}

impl Bus for Hints {
    fn announce(&self, stream: StreamId, seq: i64) {
        if self.waiting.nodes.alone() {
            return;
        }
        let mut streams = self.waiting.streams.lock();
        let (first, room) = (streams.is_empty(), streams.len() < MOST);
        match streams.get_mut(&stream) {
            Some(highest) => *highest = seq.max(*highest),
            None if room => _ = streams.insert(stream, seq),
            None => self.waiting.nodes.dropped(),
        }
        if first {
            self.waiting.some.notify_one();
        }
    }
}

impl Waiting {
    async fn carry(self: Arc<Self>) {
        loop {
            self.some.notified().await;
            sleep(COALESCE).await;
            let streams: Vec<_> = std::mem::take(&mut *self.streams.lock()).into_iter().collect();
            for some in streams.chunks(MOST_BODY / HINT) {
                self.nodes.say(Topic::Hints, &write(some)).await;
            }
        }
    }
}

fn write(hints: &[(StreamId, i64)]) -> Vec<u8> {
    hints
        .iter()
        .flat_map(|(stream, seq)| {
            [&stream.organization.as_bytes()[..], stream.stream.as_bytes(), &seq.to_be_bytes()].concat()
        })
        .collect()
}

/// Back from `write`; nothing of what is not whole.
fn read(body: &[u8]) -> Vec<(StreamId, i64)> {
    let (hints, rest) = body.as_chunks::<HINT>();
    if !rest.is_empty() {
        return Vec::new();
    }
    let hints = hints.iter().filter_map(|hint| {
        let (organization, hint) = hint.split_first_chunk()?;
        let (stream, seq) = hint.split_first_chunk()?;
        let stream = StreamId { organization: Uuid::from_bytes(*organization), stream: Uuid::from_bytes(*stream) };
        Some((stream, i64::from_be_bytes(seq.try_into().ok()?)))
    });
    hints.filter(|(_, seq)| *seq > 0).collect()
}

/// Hears what other nodes say, until they or the exchange end. Whoever may have missed something compares everything.
pub(super) async fn listen(exchange: Weak<Exchange>, mut ear: Ear) {
    while let Some(heard) = ear.hear().await {
        let Some(exchange) = exchange.upgrade() else { return };
        match heard {
            Heard::Said { body, .. } => read(&body).into_iter().for_each(|(stream, seq)| exchange.hint(stream, seq)),
            Heard::Gap => exchange.missed.notify_one(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn hints_come_back_as_they_went(hints: Vec<(u128, u128, i64)>) {
            let hints: Vec<_> = hints
                .into_iter()
                .map(|(organization, stream, seq)| {
                    let (organization, stream) = (Uuid::from_u128(organization), Uuid::from_u128(stream));
                    (StreamId { organization, stream }, seq.saturating_abs().max(1))
                })
                .collect();
            prop_assert_eq!(read(&write(&hints)), hints);
        }

        #[test]
        fn garbage_is_no_hint(body: Vec<u8>) {
            let hints = read(&body);
            prop_assert!(hints.iter().all(|(_, seq)| *seq > 0));
            prop_assert!(hints.is_empty() || body.len() % HINT == 0);
        }
    }

    #[test]
    fn a_message_is_full_of_whole_hints() {
        assert_eq!(MOST_BODY / HINT, 147);
    }
}
