//! Who stays connected and wants to hear when what it rests on ends: a bell a socket or stream, and no clock. Invariant: who
//! has gone is not kept.

use futures_util::task::AtomicWaker;
use parking_lot::Mutex;
use std::{
    collections::HashMap,
    future::poll_fn,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};
use uuid::Uuid;

/// Within what time those ask who are told together: all sockets of an organization, perhaps.
pub const SPREAD: Duration = Duration::from_millis(100);
/// When those ask again who could not be answered.
pub const AGAIN: Duration = Duration::from_millis(500);

/// What a watch rests on: the organization, the member, the user, and the session or API key.
type Grounds = [Uuid; 4];

#[derive(Clone, Default)]
pub(super) struct Watches(Arc<Mutex<Register>>);

#[derive(Default)]
struct Register {
    last: u64,
    bells: HashMap<u64, (Grounds, Arc<Bell>)>,
}

#[derive(Default)]
struct Bell {
    rung: AtomicBool,
    waker: AtomicWaker,
}

/// A bell for one who listens.
pub struct Watch {
    watches: Watches,
    number: u64,
    bell: Arc<Bell>,
}

impl Watches {
    pub fn watch(&self, rests_on: Grounds) -> Watch {
        let bell = Arc::new(Bell { rung: AtomicBool::new(true), waker: AtomicWaker::new() });
        let mut register = self.0.lock();
        register.last += 1;
        let number = register.last;
        register.bells.insert(number, (rests_on, bell.clone()));
        Watch { watches: self.clone(), number, bell }
    }

    pub fn ring(&self, whose: impl Fn(&Grounds) -> bool) {
        for (_, bell) in self.0.lock().bells.values().filter(|(rests_on, _)| whose(rests_on)) {
            bell.ring();
        }
    }
}

impl Bell {
    fn ring(&self) {
        self.rung.store(true, Ordering::Release);
        self.waker.wake();
    }
}

impl Watch {
    /// Ready once for whatever was rung since the last time.
    pub fn poll_rung(&self, context: &mut Context<'_>) -> Poll<()> {
        self.bell.waker.register(context.waker());
        if self.bell.rung.swap(false, Ordering::AcqRel) { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Ends when it rings.
    pub async fn rung(&self) {
        poll_fn(|context| self.poll_rung(context)).await;
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.watches.0.lock().bells.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[tokio::test]
    async fn rings_at_first_then_for_its_own_grounds_only_and_goes_with_who_listened() {
        let (watches, [a, b, other]) = (Watches::default(), [1, 2, 3].map(Uuid::from_u128));
        let watch = watches.watch([a, b, b, b]);
        watch.rung().await;
        watches.ring(|grounds| grounds.contains(&other));
        assert!(watch.rung().now_or_never().is_none());
        watches.ring(|grounds| grounds.contains(&b));
        watches.ring(|grounds| grounds.contains(&a));
        watch.rung().await;
        assert!(watch.rung().now_or_never().is_none(), "twice is once");
        drop(watch);
        assert!(watches.0.lock().bells.is_empty());
    }
}
