//! Rate limits in memory: token buckets, and failures that lock an account. Invariant: bounded memory whatever keys
//! come, and who is throttled cannot get free by flooding the table with other keys.

use crate::error::{Code, Error, Result};
use parking_lot::Mutex;
use std::{
    hash::{BuildHasher, RandomState},
    sync::Arc,
    time::{Duration, Instant},
};

/// Keys that share a set push each other out when it is full.
const WAYS: usize = 16;
const SETS: usize = 4096;

/// Buckets and failure counters. Cheap to clone; all clones count together.
#[derive(Clone)]
pub struct Throttle(Arc<Inner>);

struct Inner {
    started: Instant,
    buckets: Table,
    failures: Table,
}

impl Default for Throttle {
    fn default() -> Self {
        Self::new()
    }
}

impl Throttle {
    pub fn new() -> Self {
        Throttle(Arc::new(Inner { started: Instant::now(), buckets: Table::new(), failures: Table::new() }))
    }

    /// Takes one from the bucket `key` that holds `burst` and fills with `per_minute` (both at least 1);
    /// RATE_LIMITED with `retryAfter` (seconds) when it is empty.
    pub fn take(&self, kind: &'static str, key: &str, burst: u32, per_minute: u32) -> Result<()> {
        self.take_at(kind, key, burst, per_minute, self.now())
    }

    /// Counts an attempt to prove who one is, before it is judged, so that attempts made at once count as well.
    /// Past half of `max` unforgiven ones the next has to wait, each time twice as long; at `max` for `lock`:
    /// RATE_LIMITED with `retryAfter` until then. Counts fade `lock` after the last attempt.
    pub fn attempt(&self, kind: &'static str, key: &str, max: u32, lock: Duration) -> Result<Attempt> {
        self.attempt_at(kind, key, max, lock, self.now())
    }

    /// Forgets the failures of `key`: who they were counted for has proved another way who they are.
    pub fn forgive(&self, kind: &'static str, key: &str) {
        self.0.failures.remove(self.0.failures.key(kind, key));
    }

    /// Nanoseconds since the start: enough for five centuries.
    fn now(&self) -> u64 {
        nanos(self.0.started.elapsed())
    }

    /// A bucket is kept as the moment when it will be full again (GCRA): one number, no refilling.
    fn take_at(&self, kind: &'static str, key: &str, burst: u32, per_minute: u32, now: u64) -> Result<()> {
        let interval = 60_000_000_000 / u64::from(per_minute.max(1));
        let allowance = interval.saturating_mul(u64::from(burst.max(1)));
        let buckets = &self.0.buckets;
        let wait = buckets.with(buckets.key(kind, key), now, |slot| {
            let full_at = slot.fades_at.max(now).saturating_add(interval);
            let wait = full_at.saturating_sub(now).saturating_sub(allowance);
            if wait == 0 {
                slot.fades_at = full_at;
            }
            wait
        });
        if wait == 0 { Ok(()) } else { Err(rate_limited("Too many requests. Try again later.", wait)) }
    }

    fn attempt_at(&self, kind: &'static str, key: &str, max: u32, lock: Duration, now: u64) -> Result<Attempt> {
        let failures = &self.0.failures;
        let key = failures.key(kind, key);
        let lock = nanos(lock);
        let wait = failures.with(key, now, |slot| {
            if slot.fades_at <= now {
                *slot = Slot { key, ..Slot::default() };
            }
            if slot.opens_at > now {
                return slot.opens_at - now;
            }
            slot.count = slot.count.saturating_add(1);
            slot.fades_at = now.saturating_add(lock);
            slot.opens_at = match slot.count.saturating_sub(max / 2) {
                _ if slot.count >= max => slot.fades_at,
                0 => 0,
                beyond => now.saturating_add((1_000_000_000u64 << beyond.min(20)).min(lock)),
            };
            0
        });
        if wait == 0 {
            Ok(Attempt { throttle: self.clone(), key, verdict: Verdict::None })
        } else {
            Err(rate_limited("Too many failed attempts. Wait before you try again.", wait))
        }
    }
}

/// An attempt that has been counted. Dropped without a verdict (the server could not judge it), it is uncounted.
#[must_use = "an attempt needs a verdict"]
pub struct Attempt {
    throttle: Throttle,
    key: u64,
    verdict: Verdict,
}

#[derive(Clone, Copy)]
enum Verdict {
    None,
    Failed,
    Succeeded,
}

impl Attempt {
    /// It was wrong: it stays counted.
    pub fn failed(mut self) {
        self.verdict = Verdict::Failed;
    }

    /// It was right: the failures before it are forgotten.
    pub fn succeeded(mut self) {
        self.verdict = Verdict::Succeeded;
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        let failures = &self.throttle.0.failures;
        match self.verdict {
            Verdict::Failed => {}
            Verdict::Succeeded => failures.remove(self.key),
            Verdict::None => failures.with(self.key, self.throttle.now(), |slot| {
                slot.count = slot.count.saturating_sub(1);
                slot.opens_at = 0;
            }),
        }
    }
}

/// The refusal of every limit: RATE_LIMITED, `retryAfter` in whole seconds, rounded up.
fn rate_limited(message: &'static str, wait: u64) -> Error {
    Error::yours_with(Code::RateLimited, message, vec![("retryAfter", wait.div_ceil(1_000_000_000).into())])
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// What is known of a key. Times in nanoseconds since the start.
#[derive(Clone, Copy, Default)]
struct Slot {
    key: u64,
    /// Unforgiven attempts; always 0 in a bucket.
    count: u32,
    /// Refused until then.
    opens_at: u64,
    /// As if it had never been from then on.
    fades_at: u64,
}

/// A map of fixed size, like a processor's cache: a key belongs to one set. A full set forgets what has faded, else
/// whoever was throttled least, so that new keys never free an old one that is in deep. Keys are hashed with a secret
/// of this process: nobody can aim at a set.
struct Table {
    secret: RandomState,
    sets: Box<[Mutex<Vec<Slot>>]>,
}

impl Table {
    fn new() -> Self {
        Table { secret: RandomState::new(), sets: (0..SETS).map(|_| Mutex::default()).collect() }
    }

    fn key(&self, kind: &'static str, key: &str) -> u64 {
        self.secret.hash_one((kind, key))
    }

    fn with<T>(&self, key: u64, now: u64, change: impl FnOnce(&mut Slot) -> T) -> T {
        let mut set = self.set(key).lock();
        if let Some(slot) = set.iter_mut().find(|slot| slot.key == key) {
            return change(slot);
        }
        if set.len() >= WAYS {
            set.retain(|slot| slot.fades_at > now);
        }
        if set.len() >= WAYS {
            let least = set.iter().enumerate().min_by_key(|(_, slot)| (slot.count, slot.fades_at)).map(|(at, _)| at);
            set.swap_remove(least.unwrap_or_default());
        }
        let mut slot = Slot { key, ..Slot::default() };
        let result = change(&mut slot);
        set.push(slot);
        result
    }

    fn remove(&self, key: u64) {
        self.set(key).lock().retain(|slot| slot.key != key);
    }

    fn set(&self, key: u64) -> &Mutex<Vec<Slot>> {
        &self.sets[usize::try_from(key % SETS as u64).unwrap_or_default()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn retry_after(error: &Error) -> u64 {
        let Error::Yours(refusal) = error else { panic!("{error:?}") };
        assert_eq!(refusal.code, Code::RateLimited);
        refusal.extensions.iter().find(|(name, _)| *name == "retryAfter").and_then(|(_, v)| v.as_u64()).unwrap()
    }

    #[test]
    fn a_bucket_gives_its_burst_and_then_its_rate() {
        let throttle = Throttle::new();
        let take = |key, now| throttle.take_at("test", key, 3, 6, now);
        for _ in 0..3 {
            take("a", 0).unwrap();
        }
        assert_eq!(retry_after(&take("a", 0).unwrap_err()), 10);
        assert_eq!(retry_after(&take("a", 9 * SECOND + 1).unwrap_err()), 1, "a refusal costs nothing");
        take("b", 0).expect("another key has its own bucket");
        throttle.take_at("other", "a", 3, 6, 0).expect("so has another kind");
        take("a", 10 * SECOND).unwrap();
        take("a", 10 * SECOND).unwrap_err();
        for _ in 0..3 {
            take("a", 1000 * SECOND).expect("full again, and no fuller than its burst");
        }
        take("a", 1000 * SECOND).unwrap_err();
    }

    #[test]
    fn zero_and_huge_limits_do_not_divide_or_overflow() {
        let throttle = Throttle::new();
        throttle.take_at("zero", "a", 0, 0, 0).unwrap();
        assert_eq!(retry_after(&throttle.take_at("zero", "a", 0, 0, 0).unwrap_err()), 60);
        throttle.take_at("huge", "a", u32::MAX, u32::MAX, u64::MAX).unwrap();
    }

    #[test]
    fn failures_delay_and_then_lock() {
        let throttle = Throttle::new();
        let lock = Duration::from_secs(900);
        let attempt = |now| throttle.attempt_at("test", "a@example.com", 4, lock, now);
        attempt(0).unwrap().failed();
        attempt(0).unwrap().failed();
        attempt(0).unwrap().failed();
        assert_eq!(retry_after(&attempt(0).err().unwrap()), 2);
        attempt(2 * SECOND).unwrap().failed();
        assert_eq!(retry_after(&attempt(3 * SECOND).err().unwrap()), 899);
        attempt(902 * SECOND).expect("the lock ends, and the count begins anew").failed();
        attempt(902 * SECOND).unwrap().failed();
    }

    #[test]
    fn success_forgives_and_no_verdict_uncounts() {
        let throttle = Throttle::new();
        let attempt = || throttle.attempt("test", "a", 2, Duration::from_secs(900));
        for _ in 0..20 {
            drop(attempt().unwrap());
        }
        attempt().unwrap().failed();
        attempt().unwrap().succeeded();
        attempt().unwrap().failed();
    }

    #[test]
    fn attempts_at_once_count_before_they_are_judged() {
        let throttle = Throttle::new();
        let attempts: Vec<_> =
            (0..50).map(|_| throttle.attempt_at("test", "a", 1, Duration::from_secs(900), 0)).collect();
        assert_eq!(attempts.iter().filter(|attempt| attempt.is_ok()).count(), 1);
    }

    #[test]
    fn a_flood_of_keys_frees_nobody_and_stays_bounded() {
        let throttle = Throttle::new();
        for _ in 0..3 {
            throttle.take_at("address", "mallory", 3, 1, 0).unwrap();
        }
        for _ in 0..2 {
            throttle.attempt_at("account", "victim", 2, Duration::from_secs(900), 0).unwrap().failed();
        }
        for flood in 0..4 * SETS * WAYS {
            throttle.take_at("address", &flood.to_string(), 3, 1, 1).unwrap();
            throttle.attempt_at("account", &flood.to_string(), 2, Duration::from_secs(900), 1).unwrap().failed();
        }
        throttle.take_at("address", "mallory", 3, 1, 2).unwrap_err();
        assert!(throttle.attempt_at("account", "victim", 2, Duration::from_secs(900), 2).is_err());
        for table in [&throttle.0.buckets, &throttle.0.failures] {
            assert!(table.sets.iter().all(|set| set.lock().len() <= WAYS));
        }
    }
}
