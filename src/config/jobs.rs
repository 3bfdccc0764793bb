//! The settings of the queue of jobs.

use super::check::Check;
use serde::{Deserialize, Serialize};

/// The queue of jobs.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct JobConfig {
    /// Jobs that this node runs at once; 0: it leaves them to others.
    pub workers: usize,
    /// How often the queue is looked at without being told, in milliseconds (± 20 %).
    pub poll_ms: u64,
    /// How long a job is left alone with a node that says nothing, in milliseconds.
    pub lease_ms: u64,
    /// The pause before the second attempt, in milliseconds; doubled at each (± 20 %).
    pub retry_ms: u64,
    /// The longest pause, in milliseconds.
    pub retry_most_ms: u64,
    /// Days that jobs are kept which are done or were discarded.
    pub keep_days: u16,
    /// Days that dead jobs are kept.
    pub keep_dead_days: u16,
}

impl Default for JobConfig {
    fn default() -> Self {
        JobConfig {
            workers: 4,
            poll_ms: 2000,
            lease_ms: 60_000,
            retry_ms: 5000,
            retry_most_ms: 3_600_000,
            keep_days: 7,
            keep_dead_days: 30,
        }
    }
}

impl JobConfig {
    pub(super) fn check(&self, check: &mut Check) {
        check.within("workers", self.workers, 0..=1000);
        check.within("poll_ms", self.poll_ms, 10..=600_000);
        check.within("lease_ms", self.lease_ms, 100..=3_600_000);
        check.within("retry_ms", self.retry_ms, 1..=86_400_000);
        check.within("retry_most_ms", self.retry_most_ms, 1..=86_400_000);
        check.within("keep_days", self.keep_days, 1..=3650);
        check.within("keep_dead_days", self.keep_dead_days, 1..=3650);
    }
}
