//! What one node counts by itself. Invariant: the table never grows, and a flood of other keys frees nobody.

use super::{Bucket, Key, Lock};
use parking_lot::Mutex;
use std::{
    hash::{BuildHasher, RandomState},
    time::Instant,
};

/// Keys that share a set push each other out when it is full.
pub(super) const WAYS: usize = 16;
pub(super) const SETS: usize = 4096;

pub(super) struct Memory {
    started: Instant,
    pub buckets: Table,
    pub failures: Table,
}

impl Memory {
    pub fn new() -> Self {
        Memory { started: Instant::now(), buckets: Table::new(), failures: Table::new() }
    }

    /// How long to wait, in nanoseconds; 0: it is taken.
    pub fn take(&self, key: Key<'_>, bucket: Bucket) -> u64 {
        self.take_at(key, bucket, self.now())
    }

    /// What is counted for a key, and how long to wait before the next attempt; 0: it is counted.
    pub fn attempt(&self, key: Key<'_>, lock: Lock) -> (u64, u64) {
        let key = self.failure(key);
        (key, self.attempt_at(key, lock, self.now()))
    }

    pub fn failure(&self, key: Key<'_>) -> u64 {
        self.failures.key(key)
    }

    pub fn forgive(&self, key: u64) {
        self.failures.remove(key);
    }

    pub fn uncount(&self, key: u64) {
        self.failures.with(key, self.now(), |slot| {
            slot.count = slot.count.saturating_sub(1);
            slot.opens_at = 0;
        });
    }

    /// Nanoseconds since the start: enough for five centuries.
    fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// A bucket is kept as the moment when it will be full again (GCRA): one number, no refilling.
    pub fn take_at(&self, key: Key<'_>, bucket: Bucket, now: u64) -> u64 {
        self.buckets.with(self.buckets.key(key), now, |slot| {
            let full_at = slot.fades_at.max(now).saturating_add(bucket.interval);
            let wait = full_at.saturating_sub(now).saturating_sub(bucket.allowance);
            if wait == 0 {
                slot.fades_at = full_at;
            }
            wait
        })
    }

    pub fn attempt_at(&self, key: u64, lock: Lock, now: u64) -> u64 {
        self.failures.with(key, now, |slot| {
            if slot.fades_at <= now {
                *slot = Slot { key, ..Slot::default() };
            }
            if slot.opens_at > now {
                return slot.opens_at - now;
            }
            slot.count = slot.count.saturating_add(1);
            slot.fades_at = now.saturating_add(lock.nanos);
            slot.opens_at = match slot.count.saturating_sub(lock.max / 2) {
                _ if slot.count >= lock.max => slot.fades_at,
                0 => 0,
                beyond => now.saturating_add((1_000_000_000u64 << beyond.min(20)).min(lock.nanos)),
            };
            0
        })
    }
}

/// What is known of a key. Times in nanoseconds since the start.
#[derive(Clone, Copy, Default)]
pub(super) struct Slot {
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
pub(super) struct Table {
    secret: RandomState,
    pub sets: Box<[Mutex<Vec<Slot>>]>,
}

impl Table {
    fn new() -> Self {
        Table { secret: RandomState::new(), sets: (0..SETS).map(|_| Mutex::default()).collect() }
    }

    fn key(&self, Key { kind, key }: Key<'_>) -> u64 {
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
