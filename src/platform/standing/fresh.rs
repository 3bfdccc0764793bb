//! Answers of the database that are believed for a while. Invariant: of those who want the same one at once, one asks; and
//! what cannot be asked for is told to all who wait.

use crate::error::{Error, Result};
use quick_cache::{
    UnitWeighter,
    sync::{Cache, EntryAction, EntryResult},
};
use std::{
    hash::Hash,
    sync::Arc,
    time::{Duration, Instant},
};

/// How long an answer of the database is believed of which nobody tells when it changes.
pub(super) const FRESH: Duration = Duration::from_millis(400);
/// How long a failure to ask is repeated, so that those who wait for a database that is away are told together.
pub(super) const FAILED: Duration = Duration::from_millis(100);
/// Answers remembered at most.
const REMEMBERED: u64 = 16_384;

pub(super) struct Entry<V> {
    /// When the question was put.
    pub asked: Instant,
    /// Until when it is believed.
    pub until: Instant,
    pub answer: Result<Arc<V>>,
}

impl<V> Clone for Entry<V> {
    fn clone(&self) -> Self {
        Entry { answer: self.answer.clone(), ..*self }
    }
}

impl<V> Entry<V> {
    fn new(asked: Instant, answer: Result<Arc<V>>) -> Self {
        let until = match &answer {
            Ok(_) | Err(Error::Yours(_)) => asked + FRESH,
            Err(Error::Ours(_) | Error::TooSlow(..)) => Instant::now() + FAILED,
        };
        Entry { asked, until, answer }
    }
}

pub(super) type Answers<K, V> = Cache<K, Entry<V>>;

pub(super) fn answers<K: Eq + Hash, V>() -> Answers<K, V> {
    Cache::with_weighter(256, REMEMBERED, UnitWeighter)
}

/// The answer for a key, asked for with `load` unless what is known is `believed`. `keep` decides what becomes of a new one:
/// it hands it on to be remembered, or does not.
pub(super) async fn ask<K: Eq + Hash + Clone, V>(
    answers: &Answers<K, V>,
    key: K,
    believed: impl Fn(&Entry<V>) -> bool,
    load: impl Future<Output = Result<Arc<V>>>,
    keep: impl FnOnce(Entry<V>, &mut dyn FnMut(Entry<V>)),
) -> Result<Arc<V>> {
    if let Some(known) = answers.get(&key).filter(|entry| believed(entry)) {
        return known.answer;
    }
    let entry = answers.entry_async(&key, |_, entry| {
        if believed(entry) { EntryAction::Retain(entry.answer.clone()) } else { EntryAction::ReplaceWithGuard }
    });
    match entry.await {
        EntryResult::Retained(answer) => answer,
        EntryResult::Vacant(place) | EntryResult::Replaced(place, _) => {
            let asked = Instant::now();
            let answer = load.await;
            let mut place = Some(place);
            keep(Entry::new(asked, answer.clone()), &mut |entry| {
                // Refused when the place was taken away in between: then it is already out of date.
                if let Some(place) = place.take() {
                    let _ = place.insert(entry);
                }
            });
            answer
        }
        EntryResult::Removed(..) | EntryResult::Timeout => load.await,
    }
}

/// Answers of the database, `FRESH` at most. Cheap to clone.
pub struct Fresh<K, V>(Arc<Answers<K, V>>);

impl<K, V> Clone for Fresh<K, V> {
    fn clone(&self) -> Self {
        Fresh(self.0.clone())
    }
}

impl<K: Eq + Hash + Clone, V> Default for Fresh<K, V> {
    fn default() -> Self {
        Fresh(Arc::new(answers()))
    }
}

impl<K: Eq + Hash + Clone, V> Fresh<K, V> {
    /// The answer for a key, asked for with `load` when nothing fresh is known.
    pub async fn get(&self, key: K, load: impl Future<Output = Result<Arc<V>>>) -> Result<Arc<V>> {
        let believed = |entry: &Entry<V>| entry.until > Instant::now();
        ask(&self.0, key, believed, load, |entry, remember| remember(entry)).await
    }
}
