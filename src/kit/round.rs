//! The rounds of an operation: in each, the executor asks for all that it can before it waits for anything. Invariant: what is asked
//! for in one round is fetched together, however long the round takes. A timer alone tears that apart on a busy machine.

use async_graphql::runtime::Timer;
use futures_util::future::BoxFuture;
use std::{future::poll_fn, pin::pin, sync::Arc, time::Duration};
use tokio::{sync::watch, time::sleep};

/// Whether an operation is in the middle of one. Cheap to clone.
#[derive(Clone)]
pub struct Rounds(Arc<watch::Sender<bool>>);

impl Default for Rounds {
    fn default() -> Self {
        Rounds(Arc::new(watch::Sender::new(false)))
    }
}

impl Rounds {
    /// Executes an operation whose rounds these are.
    pub async fn run<T>(&self, operation: impl Future<Output = T>) -> T {
        let mut operation = pin!(operation);
        poll_fn(|context| {
            let _round = Round::begin(&self.0);
            operation.as_mut().poll(context)
        })
        .await
    }
}

/// Over when it is dropped, also by a panic.
struct Round<'a>(&'a watch::Sender<bool>);

impl<'a> Round<'a> {
    fn begin(rounds: &'a watch::Sender<bool>) -> Self {
        rounds.send_replace(true);
        Round(rounds)
    }
}

impl Drop for Round<'_> {
    fn drop(&mut self) {
        self.0.send_replace(false);
    }
}

/// So long, and then until the round is over.
impl Timer for Rounds {
    fn delay(&self, duration: Duration) -> BoxFuture<'static, ()> {
        let mut rounds = self.0.subscribe();
        Box::pin(async move {
            sleep(duration).await;
            // An error: there will be no other round.
            let _ = rounds.wait_for(|in_the_middle| !in_the_middle).await;
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;
    use async_graphql::{
        dataloader::{DataLoader, Loader},
        runtime::TokioSpawner,
    };
    use futures_util::{FutureExt, future::join};
    use parking_lot::Mutex;
    use std::{collections::HashMap, panic::AssertUnwindSafe, thread};

    /// How many keys it was asked for, each time.
    #[derive(Clone, Default)]
    struct Counts(Arc<Mutex<Vec<usize>>>);

    impl Loader<u8> for Counts {
        type Value = u8;
        type Error = Error;

        async fn load(&self, keys: &[u8]) -> Result<HashMap<u8, u8>, Error> {
            self.0.lock().push(keys.len());
            Ok(keys.iter().map(|key| (*key, *key)).collect())
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_is_asked_for_in_one_round_is_fetched_together_however_long_it_takes() {
        let (rounds, counts) = (Rounds::default(), Counts::default());
        let loader = DataLoader::new(counts.clone(), TokioSpawner::current(), rounds.clone());
        let slow = async |key: u8| {
            // Twenty times as long as a loader waits.
            thread::sleep(Duration::from_millis(20));
            loader.load_one(key).await.unwrap()
        };
        assert_eq!(rounds.run(join(slow(1), slow(2))).await, (Some(1), Some(2)));
        assert_eq!(*counts.0.lock(), [2]);
    }

    #[tokio::test]
    async fn a_round_that_ends_in_a_panic_is_over() {
        let rounds = Rounds::default();
        let panics = rounds.run::<()>(async { panic!("as told") });
        assert!(AssertUnwindSafe(panics).catch_unwind().await.is_err());
        rounds.delay(Duration::ZERO).await;
    }
}
