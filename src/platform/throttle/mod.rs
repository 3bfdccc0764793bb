//! Rate limits: token buckets, and failures that lock an account. Counted by this node alone in memory, or by all nodes
//! together in Redis where there is one; while Redis is away, each counts alone. Invariant: bounded memory whatever keys
//! come, and who is throttled cannot get free by flooding the table with other keys; and nobody waits for Redis longer than
//! `redis.wait_ms`.
//!
//! Shared is what protects people and their accounts: sign-ins, passwords, codes, mails. What protects one node's work, on
//! the way of ordinary requests, is counted `here` alone, where it costs no round trip.

mod memory;
mod shared;
#[cfg(test)]
mod tests;

use self::{memory::Memory, shared::Shared};
use super::nodes::Redis;
use crate::error::{Code, Error, Result};
use std::{sync::Arc, time::Duration};

/// Buckets and failure counters. Cheap to clone; all clones count together.
#[derive(Clone)]
pub struct Throttle(Arc<Inner>);

struct Inner {
    here: Memory,
    shared: Option<Shared>,
}

/// What is counted.
#[derive(Clone, Copy)]
struct Key<'a> {
    kind: &'static str,
    key: &'a str,
}

/// How a bucket fills, in nanoseconds: one more each `interval`, until `allowance` is full.
#[derive(Clone, Copy)]
struct Bucket {
    interval: u64,
    allowance: u64,
}

impl Bucket {
    fn new(burst: u32, per_minute: u32) -> Self {
        let interval = 60_000_000_000 / u64::from(per_minute.max(1));
        Bucket { interval, allowance: interval.saturating_mul(u64::from(burst.max(1))) }
    }
}

/// How many failures lock, and for how long.
#[derive(Clone, Copy)]
struct Lock {
    max: u32,
    nanos: u64,
}

impl Lock {
    fn new(max: u32, lasts: Duration) -> Self {
        Lock { max, nanos: u64::try_from(lasts.as_nanos()).unwrap_or(u64::MAX) }
    }
}

impl Default for Throttle {
    fn default() -> Self {
        Self::new()
    }
}

impl Throttle {
    /// For one node.
    pub fn new() -> Self {
        Throttle(Arc::new(Inner { here: Memory::new(), shared: None }))
    }

    /// For several, which have the same Redis and the same secret. Must be called within a tokio runtime.
    pub fn shared(redis: Redis, secret: &[u8], wait: Duration) -> Result<Self> {
        let shared = Some(Shared::new(redis, secret, wait)?);
        Ok(Throttle(Arc::new(Inner { here: Memory::new(), shared })))
    }

    /// Takes one from the bucket `key` that holds `burst` and fills with `per_minute` (both at least 1);
    /// RATE_LIMITED with `retryAfter` (seconds) when it is empty.
    pub async fn take(&self, kind: &'static str, key: &str, burst: u32, per_minute: u32) -> Result<()> {
        let (key, bucket) = (Key { kind, key }, Bucket::new(burst, per_minute));
        if let Some(shared) = &self.0.shared
            && let Some(wait) = shared.take(key, bucket).await
        {
            return taken(wait);
        }
        taken(self.0.here.take(key, bucket))
    }

    /// As `take`, of a bucket of this node alone.
    pub fn take_here(&self, kind: &'static str, key: &str, burst: u32, per_minute: u32) -> Result<()> {
        taken(self.0.here.take(Key { kind, key }, Bucket::new(burst, per_minute)))
    }

    /// Counts an attempt to prove who one is, before it is judged, so that attempts made at once count as well.
    /// Past half of `max` unforgiven ones the next has to wait, each time twice as long; at `max` for `lock`:
    /// RATE_LIMITED with `retryAfter` until then. Counts fade `lock` after the last attempt.
    pub async fn attempt(&self, kind: &'static str, key: &str, max: u32, lock: Duration) -> Result<Attempt> {
        let (what, lock) = (Key { kind, key }, Lock::new(max, lock));
        let Some(shared) = &self.0.shared else { return self.attempted(what, lock, None) };
        let name = shared.name(what);
        match shared.attempt(&name, lock).await {
            Some(wait) => {
                refuse(wait)?;
                let key = self.0.here.failure(what);
                Ok(Attempt { throttle: self.clone(), key, here: false, name: Some(name), verdict: Verdict::None })
            }
            None => self.attempted(what, lock, Some(name)),
        }
    }

    /// As `attempt`, counted by this node alone.
    pub fn attempt_here(&self, kind: &'static str, key: &str, max: u32, lock: Duration) -> Result<Attempt> {
        self.attempted(Key { kind, key }, Lock::new(max, lock), None)
    }

    /// Counts an attempt here.
    fn attempted(&self, what: Key<'_>, lock: Lock, name: Option<String>) -> Result<Attempt> {
        let (key, wait) = self.0.here.attempt(what, lock);
        refuse(wait)?;
        Ok(Attempt { throttle: self.clone(), key, here: true, name, verdict: Verdict::None })
    }

    /// Forgets the failures of `key`: who they were counted for has proved another way who they are.
    pub fn forgive(&self, kind: &'static str, key: &str) {
        let key = Key { kind, key };
        self.0.here.forgive(self.0.here.failure(key));
        if let Some(shared) = &self.0.shared {
            shared.forgive(shared.name(key));
        }
    }
}

/// An attempt that has been counted. Dropped without a verdict (the server could not judge it), it is uncounted.
#[must_use = "an attempt needs a verdict"]
pub struct Attempt {
    throttle: Throttle,
    /// What its failures are called in the memory of this node.
    key: u64,
    /// Whether it was counted there; otherwise in Redis.
    here: bool,
    /// What they are called in Redis, where they may be counted there.
    name: Option<String>,
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
        let Inner { here, shared } = &*self.throttle.0;
        let shared = shared.as_ref().zip(self.name.take());
        match self.verdict {
            Verdict::Failed => {}
            // In both places: of Redis an answer that came too late says nothing, and it may have counted all the same.
            Verdict::Succeeded => {
                here.forgive(self.key);
                if let Some((shared, name)) = shared {
                    shared.forgive(name);
                }
            }
            Verdict::None if self.here => here.uncount(self.key),
            Verdict::None => {
                if let Some((shared, name)) = shared {
                    shared.uncount(name);
                }
            }
        }
    }
}

fn taken(wait: u64) -> Result<()> {
    if wait == 0 { Ok(()) } else { Err(rate_limited("Too many requests. Try again later.", wait)) }
}

fn refuse(wait: u64) -> Result<()> {
    let message = "Too many failed attempts. Wait before you try again.";
    if wait == 0 { Ok(()) } else { Err(rate_limited(message, wait)) }
}

/// The refusal of every limit: RATE_LIMITED, `retryAfter` in whole seconds, rounded up. `wait` in nanoseconds.
fn rate_limited(message: &'static str, wait: u64) -> Error {
    Error::yours_with(Code::RateLimited, message, vec![("retryAfter", wait.div_ceil(1_000_000_000).into())])
}
