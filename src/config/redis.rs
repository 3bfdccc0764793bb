//! The settings of Redis. Invariant: a Redis that is named is one that can be spoken to.

use super::check::{self, Check};
use serde::{Deserialize, Serialize};

/// Redis, where several nodes share one.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct RedisConfig {
    /// `redis://…` or `rediss://…`; none: nodes tell each other by way of the database, and each counts limits alone.
    pub url: Option<String>,
    /// What all names there begin with; the same on all nodes of an installation, and of no other one.
    pub prefix: String,
    /// How long a limit that nodes share may wait for an answer, in milliseconds, before this node counts alone.
    pub wait_ms: u64,
}

impl Default for RedisConfig {
    fn default() -> Self {
        RedisConfig { url: None, prefix: "stoa".into(), wait_ms: 50 }
    }
}

impl RedisConfig {
    pub(super) fn check(&self, check: &mut Check) {
        let is_redis = |url: &String| check::is_redis_url(url);
        let is_name = |name: &str| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_:".contains(&byte));
        check.that(
            "url",
            self.url.as_ref().is_none_or(is_redis),
            "must look like redis://:password@host:6379/0, with rediss:// for TLS",
        );
        check.that(
            "prefix",
            (1..=64).contains(&self.prefix.len()) && is_name(&self.prefix),
            "has 1 to 64 letters, digits, hyphens, underscores and colons",
        );
        check.within("wait_ms", self.wait_ms, 1..=10_000);
    }
}
