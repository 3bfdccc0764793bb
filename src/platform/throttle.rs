//! Rate limits in memory: token buckets by key. Invariant: bounded memory whatever keys come.

use crate::error::Result;

/// Buckets.
#[derive(Clone)]
pub struct Throttle {}

impl Throttle {
    #[allow(clippy::new_without_default, reason = "stand-in")]
    pub fn new() -> Self {
        todo!()
    }

    /// Takes one from the bucket `key` that holds `burst` and fills with `per_minute`; RATE_LIMITED with
    /// `retryAfter` (seconds) when it is empty.
    pub fn take(&self, _kind: &'static str, _key: &str, _burst: u32, _per_minute: u32) -> Result<()> {
        todo!()
    }
}
