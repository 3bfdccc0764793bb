//! Writes to one stream that would wait for each other, done together: what comes while one transaction is under way is
//! the next one. Invariant: of one stream one batch is under way on this node, everything is in one batch, in the order
//! in which it came, and whoever waits hears what came of it, also when those who did the work vanish.

use super::StreamId;
use crate::error::{Error, Result};
use parking_lot::Mutex;
use std::{
    any::Any,
    collections::{HashMap, VecDeque},
    hash::Hash,
    io,
    sync::Arc,
};
use tokio::sync::oneshot;

/// Writes that are done together at most: beyond that the first would wait for the last without gaining anything.
const MOST_TOGETHER: usize = 32;
/// Writes that wait for one stream at most.
const MOST_WAITING: usize = 2048;

/// Who waits, by stream. Clones share it.
#[derive(Clone, Default)]
pub struct Combiner(Arc<Mutex<Lines<StreamId, Waiting>>>);

/// What somebody wants to be written, and how they hear of it.
struct Waiting {
    item: Item,
    turn: oneshot::Sender<Turn>,
}

/// A write, or what came of it: those of one stream are all of one type.
type Item = Box<dyn Any + Send>;

enum Turn {
    Done(Item),
    /// The next batch is yours, and your own write is the first of it.
    Lead(Lead),
}

impl Combiner {
    /// Has `item` written by `work`, together with what else waits for the stream; `work` answers each of its items, in
    /// their order. It may be done by somebody else who called this: it must not depend on who does it.
    /// SERVICE_UNAVAILABLE when too many wait, or when whoever did the work has vanished: then it may be done or not.
    pub async fn write<I, O, F>(&self, stream: StreamId, item: I, work: impl FnOnce(Vec<I>) -> F) -> Result<O>
    where
        I: Send + 'static,
        O: Send + 'static,
        F: Future<Output = Vec<O>>,
    {
        let (turn, mine) = oneshot::channel();
        let joined = self.0.lock().join(stream, Waiting { item: Box::new(item), turn });
        let mut lead = match joined {
            Joined::Leads(own) => Lead { combiner: self.clone(), stream, batch: vec![own] },
            Joined::Waits => match mine.await {
                Ok(Turn::Lead(lead)) => lead,
                Ok(Turn::Done(output)) => return typed(output),
                Err(vanished) => return Err(Error::unavailable(vanished)),
            },
            Joined::Full => return Err(Error::unavailable(io::Error::other("too many writes wait for a stream"))),
        };
        let batch = std::mem::take(&mut lead.batch).into_iter().map(|waiting| (waiting.item, waiting.turn));
        let (items, turns): (Vec<Item>, Vec<_>) = batch.unzip();
        let items = items.into_iter().map(typed).collect::<Result<_>>()?;
        let mut outputs = work(items).await.into_iter();
        let own = outputs.next();
        for (turn, output) in turns.into_iter().skip(1).zip(outputs) {
            // Who has gone does not want to know.
            let _ = turn.send(Turn::Done(Box::new(output)));
        }
        own.ok_or_else(|| Error::ours(io::Error::other("a batch of writes was not answered")))
    }
}

impl Combiner {
    /// How many writes wait for all streams together; those that are under way do not.
    pub fn waiting(&self) -> usize {
        self.0.lock().0.values().map(VecDeque::len).sum()
    }

    /// How many of them wait for this stream.
    pub fn waiting_for(&self, stream: StreamId) -> usize {
        self.0.lock().0.get(&stream).map_or(0, VecDeque::len)
    }

    #[cfg(test)]
    pub(super) fn is_idle(&self) -> bool {
        self.0.lock().0.is_empty()
    }
}

fn typed<T: 'static>(item: Item) -> Result<T> {
    let of_another_type = |_| Error::ours(io::Error::other("a stream is written in two ways"));
    item.downcast().map(|item| *item).map_err(of_another_type)
}

/// The right to write to a stream, and what is to be written. Dropped, wherever that happens, it is handed on, and with it
/// what was not begun: whoever was to begin has gone, and the others have not.
struct Lead {
    combiner: Combiner,
    stream: StreamId,
    batch: Vec<Waiting>,
}

impl Drop for Lead {
    fn drop(&mut self) {
        let mut batch = std::mem::take(&mut self.batch);
        loop {
            // Who has gone needs nothing written any more.
            batch.retain(|waiting| !waiting.turn.is_closed());
            if let Some(first) = batch.first_mut() {
                let (nobody, _) = oneshot::channel();
                let turn = std::mem::replace(&mut first.turn, nobody);
                // Somebody who goes at this very moment drops it, and so hands it on.
                let _ = turn.send(Turn::Lead(Lead { combiner: self.combiner.clone(), stream: self.stream, batch }));
                return;
            }
            match self.combiner.0.lock().next(self.stream, MOST_TOGETHER) {
                Some(next) => batch = next,
                None => return,
            }
        }
    }
}

/// Who waits for what, without clock or task. A key is there as long as somebody works on it.
struct Lines<K, T>(HashMap<K, VecDeque<T>>);

impl<K, T> Default for Lines<K, T> {
    fn default() -> Self {
        Lines(HashMap::new())
    }
}

enum Joined<T> {
    /// Nobody works on it: do.
    Leads(T),
    Waits,
    Full,
}

impl<K: Eq + Hash, T> Lines<K, T> {
    fn join(&mut self, key: K, item: T) -> Joined<T> {
        match self.0.get_mut(&key) {
            None => {
                self.0.insert(key, VecDeque::new());
                Joined::Leads(item)
            }
            Some(line) if line.len() >= MOST_WAITING => Joined::Full,
            Some(line) => {
                line.push_back(item);
                Joined::Waits
            }
        }
    }

    /// The next batch, of at most so many, for whoever has done the last one; None: nobody waits, and the key is free.
    fn next(&mut self, key: K, most: usize) -> Option<Vec<T>> {
        let line = self.0.get_mut(&key)?;
        if line.is_empty() {
            self.0.remove(&key);
            return None;
        }
        Some(line.drain(..line.len().min(most)).collect())
    }
}
