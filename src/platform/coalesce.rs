//! Work that is done together for what comes in little by little, such as telling a conversation who has read it: the
//! first is handed on at once, what follows within a second together. Invariant: nothing depends on what waits
//! here; it says where in the database something is left to do, so that a crash, a stop or a full house costs time only.

use crate::error::Result;
use parking_lot::Mutex;
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};
use tokio::{task::JoinSet, time::sleep};
use uuid::Uuid;

/// How often one thing is worked on at most.
const PERIOD: Duration = Duration::from_secs(1);
/// How long work that fails waits for its next try at most.
const LONGEST: Duration = Duration::from_secs(60);
/// Things at once, each with a task of its own: some 2 KB each.
const MOST_THINGS: usize = 10_000;
/// Items of one thing at most.
const MOST_ITEMS: usize = 10_000;

/// An organization, and something in it.
pub type Thing = (Uuid, Uuid);
type Waiting = Mutex<HashMap<Thing, HashSet<Uuid>>>;

/// What waits on this node, and the tasks that work on it: they end with the last clone.
#[derive(Clone, Default)]
pub struct Coalescer {
    waiting: Arc<Waiting>,
    tasks: Arc<Mutex<JoinSet<()>>>,
}

impl Coalescer {
    /// Notes an item for a thing. `work` is handed what waits, and answers what is left to be tried again.
    /// It must be the same for all items of a thing, and hold nothing that holds this.
    pub fn note<F>(&self, thing: Thing, item: Uuid, work: impl Fn(Vec<Uuid>) -> F + Send + 'static)
    where
        F: Future<Output = Result<Vec<Uuid>>> + Send + 'static,
    {
        let mut waiting = self.waiting.lock();
        if let Some(items) = waiting.get_mut(&thing) {
            if items.len() < MOST_ITEMS {
                items.insert(item);
            }
            return;
        }
        if waiting.len() >= MOST_THINGS {
            return;
        }
        waiting.insert(thing, HashSet::from([item]));
        drop(waiting);
        let mut tasks = self.tasks.lock();
        while tasks.try_join_next().is_some() {}
        tasks.spawn(run(self.waiting.clone(), thing, work));
    }
}

/// Works on a thing until nothing has come for a while.
async fn run<F>(waiting: Arc<Waiting>, thing: Thing, work: impl Fn(Vec<Uuid>) -> F)
where
    F: Future<Output = Result<Vec<Uuid>>>,
{
    let mut pause = PERIOD;
    while let Some(items) = take(&waiting, thing) {
        let left = match work(items.clone()).await {
            Ok(left) => {
                pause = PERIOD;
                left
            }
            Err(fault) => {
                tracing::debug!(?fault, "what waits could not be worked on; it is tried again");
                pause = (pause * 2).min(LONGEST);
                items
            }
        };
        if let Some(next) = waiting.lock().get_mut(&thing) {
            next.extend(left);
        }
        sleep(pause).await;
    }
}

/// What waits; None: nothing, and the thing is forgotten.
fn take(waiting: &Waiting, thing: Thing) -> Option<Vec<Uuid>> {
    let mut waiting = waiting.lock();
    let items = waiting.get_mut(&thing)?;
    if items.is_empty() {
        waiting.remove(&thing);
        return None;
    }
    Some(items.drain().collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;
    use tokio::{sync::mpsc, time::Instant};

    #[tokio::test(start_paused = true)]
    async fn the_first_goes_at_once_and_the_rest_together() {
        let coalescer = Coalescer::default();
        let (told, mut heard) = mpsc::unbounded_channel();
        let (thing, begin) = ((Uuid::nil(), Uuid::nil()), Instant::now());
        let note = |item: u128| {
            let told = told.clone();
            coalescer.note(thing, Uuid::from_u128(item), move |items| {
                told.send((items.len(), begin.elapsed().as_secs())).expect("somebody listens");
                // The second time it fails.
                let failed = items.len() == 3;
                async move { if failed { Err(Error::ours("away")) } else { Ok(Vec::new()) } }
            });
        };
        note(1);
        assert_eq!(heard.recv().await, Some((1, 0)));
        for member in [2, 3, 3, 4] {
            note(member);
        }
        assert_eq!(heard.recv().await, Some((3, 1)));
        note(5);
        assert_eq!(heard.recv().await, Some((4, 3)), "with what failed, and a little later");
        while !coalescer.waiting.lock().is_empty() {
            sleep(PERIOD).await;
        }
        note(6);
        assert_eq!(heard.recv().await.map(|(items, _)| items), Some(1), "and begins anew");
    }
}
