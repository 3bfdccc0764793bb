//! What is known without asking again: of the sessions and API keys in use whether they stand, whose they are and what
//! their member may; of what all subscribers look up, what it is. Invariant: what is revoked or changed anywhere, on
//! another node too, is gone within a second.

use crate::error::{Error, Result};
use chrono::{DateTime, Utc};
use quick_cache::{
    UnitWeighter,
    sync::{Cache, EntryAction, EntryResult},
};
use std::{
    hash::Hash,
    sync::Arc,
    time::{Duration, Instant},
};
use uuid::Uuid;

/// How long an answer of the database is believed.
const FRESH: Duration = Duration::from_millis(400);
/// How often those ask again who stay connected; with `FRESH` less than a second.
pub const RECHECK: Duration = Duration::from_millis(500);
/// How long a failure to ask is repeated, so that those who wait for a database that is away are told together.
const FAILED: Duration = Duration::from_millis(100);
/// Answers remembered at most.
const REMEMBERED: u64 = 16_384;

/// A session or an API key that stands, as the database has it.
#[derive(Debug)]
pub struct Standing {
    pub organization: Uuid,
    pub member: Uuid,
    pub user: Uuid,
    /// When the session ends unless it is refreshed, or the key as it was presented.
    pub expires_at: DateTime<Utc>,
    /// The id of the API key; None: a session.
    pub key: Option<Uuid>,
    /// The name of the member's built-in role, as stored.
    pub role: String,
    /// What people call the role: the organization's own where the member has one.
    pub role_name: Arc<str>,
    /// What the member may, of that what the API key may; packed by `kit::permission`.
    pub permissions: Arc<[u8]>,
    /// The member and, where a permission reaches that far, all whom it leads; sorted.
    pub team: Arc<[Uuid]>,
    /// Whether the member has yet to show that the address is theirs before they may write.
    pub unverified: bool,
    /// The organization's.
    pub time_zone: chrono_tz::Tz,
    pub currency: Arc<str>,
}

struct Entry<V> {
    until: Instant,
    answer: Result<Arc<V>>,
}

impl<V> Clone for Entry<V> {
    fn clone(&self) -> Self {
        Entry { until: self.until, answer: self.answer.clone() }
    }
}

/// The standing of sessions by id, and of API keys by `ApiKeyToken::known_as`.
pub type Standings = Fresh<Uuid, Standing>;

/// Answers of the database, `FRESH` at most. Cheap to clone.
pub struct Fresh<K, V>(Arc<Cache<K, Entry<V>>>);

impl<K, V> Clone for Fresh<K, V> {
    fn clone(&self) -> Self {
        Fresh(self.0.clone())
    }
}

impl<K: Eq + Hash + Clone, V> Default for Fresh<K, V> {
    fn default() -> Self {
        Fresh(Arc::new(Cache::with_weighter(256, REMEMBERED, UnitWeighter)))
    }
}

impl<K: Eq + Hash + Clone, V> Fresh<K, V> {
    /// The answer for a key, asked for with `load` when nothing fresh is known. Of those who want the same one at
    /// once, one asks.
    pub async fn get(&self, key: K, load: impl Future<Output = Result<Arc<V>>>) -> Result<Arc<V>> {
        if let Some(known) = self.0.get(&key).filter(|entry| entry.until > Instant::now()) {
            return known.answer;
        }
        let entry = self.0.entry_async(&key, |_, entry| {
            if entry.until > Instant::now() {
                EntryAction::Retain(entry.answer.clone())
            } else {
                EntryAction::ReplaceWithGuard
            }
        });
        match entry.await {
            EntryResult::Retained(answer) => answer,
            EntryResult::Vacant(place) | EntryResult::Replaced(place, _) => {
                let asked = Instant::now();
                let answer = load.await;
                let until = match &answer {
                    Ok(_) | Err(Error::Yours(_)) => asked + FRESH,
                    Err(Error::Ours(_) | Error::TooSlow(..)) => Instant::now() + FAILED,
                };
                // Refused when `forget` came in between: then it is already out of date.
                let _ = place.insert(Entry { until, answer: answer.clone() });
                answer
            }
            EntryResult::Removed(..) | EntryResult::Timeout => load.await,
        }
    }

    /// Forgets what this process has just changed.
    pub fn forget(&self, key: K) {
        self.0.remove(&key);
    }

    /// As `forget`, of every answer that is known and fits; one that is being asked for now is believed for its second.
    pub fn forget_where(&self, fits: impl Fn(&V) -> bool) {
        self.0.retain(|_, entry| !entry.answer.as_ref().is_ok_and(|answer| fits(answer)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn standing() -> Arc<Standing> {
        Arc::new(Standing {
            organization: Uuid::nil(),
            member: Uuid::nil(),
            user: Uuid::nil(),
            expires_at: Utc::now(),
            key: None,
            role: "owner".into(),
            role_name: "Owner".into(),
            permissions: Arc::new([]),
            team: Arc::new([]),
            unverified: false,
            time_zone: chrono_tz::UTC,
            currency: "USD".into(),
        })
    }

    struct Asked(AtomicUsize);

    impl Asked {
        async fn answer(&self, answer: Result<Arc<Standing>>) -> Result<Arc<Standing>> {
            self.0.fetch_add(1, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(20)).await;
            answer
        }

        fn times(&self) -> usize {
            self.0.load(Ordering::SeqCst)
        }
    }

    #[tokio::test]
    async fn many_at_once_ask_once_and_a_second_later_again() {
        let (standings, asked, session) = (Standings::default(), Asked(AtomicUsize::new(0)), Uuid::new_v4());
        let all = (0..50).map(|_| standings.get(session, asked.answer(Ok(standing()))));
        assert!(futures_util::future::join_all(all).await.iter().all(Result::is_ok));
        standings.get(session, asked.answer(Ok(standing()))).await.unwrap();
        assert_eq!(asked.times(), 1);
        tokio::time::sleep(FRESH).await;
        let gone = standings.get(session, asked.answer(Err(Error::unauthenticated("REVOKED", "gone")))).await;
        assert!(gone.is_err());
        assert_eq!(asked.times(), 2);
        assert!(standings.get(session, asked.answer(Ok(standing()))).await.is_err(), "a refusal is known as well");
        assert_eq!(asked.times(), 2);
    }

    #[tokio::test]
    async fn who_forgets_asks_again_even_while_somebody_asks() {
        let (standings, asked, session) = (Standings::default(), Asked(AtomicUsize::new(0)), Uuid::new_v4());
        let (first, ()) = tokio::join!(standings.get(session, asked.answer(Ok(standing()))), async {
            tokio::time::sleep(Duration::from_millis(5)).await;
            standings.forget(session);
        });
        first.unwrap();
        standings.get(session, asked.answer(Ok(standing()))).await.unwrap();
        assert_eq!(asked.times(), 2);
    }

    #[tokio::test]
    async fn who_waits_for_a_database_that_is_away_is_told_with_the_others() {
        let (standings, asked, session) = (Standings::default(), Asked(AtomicUsize::new(0)), Uuid::new_v4());
        let away = || asked.answer(Err(Error::unavailable("away")));
        let all = (0..50).map(|_| standings.get(session, away()));
        assert!(futures_util::future::join_all(all).await.iter().all(Result::is_err));
        assert_eq!(asked.times(), 1);
        tokio::time::sleep(FAILED).await;
        standings.get(session, asked.answer(Ok(standing()))).await.expect("and it comes back");
    }

    #[tokio::test]
    async fn who_hangs_up_while_asking_blocks_nobody() {
        let (standings, asked, session) = (Standings::default(), Asked(AtomicUsize::new(0)), Uuid::new_v4());
        let hung_up = standings.get(session, asked.answer(Ok(standing())));
        assert!(tokio::time::timeout(Duration::from_millis(1), hung_up).await.is_err());
        standings.get(session, asked.answer(Ok(standing()))).await.unwrap();
    }
}
