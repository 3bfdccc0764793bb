//! The settings of presence. Invariant: who is here is told again before anybody stops believing it.

use super::check::Check;
use serde::{Deserialize, Serialize};

/// Who counts as being here, and for how long.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct PresenceConfig {
    /// How long nodes believe another one that a member is with it, in milliseconds.
    pub lease_ms: u64,
    /// How often nodes say so again, in milliseconds.
    pub renew_ms: u64,
    /// How long a member stays who has no connection left, or whose answers are late, in milliseconds.
    pub grace_ms: u64,
    /// How long somebody is shown as typing who says so once, in milliseconds.
    pub typing_ms: u64,
}

impl Default for PresenceConfig {
    fn default() -> Self {
        PresenceConfig { lease_ms: 25_000, renew_ms: 8000, grace_ms: 3000, typing_ms: 6000 }
    }
}

impl PresenceConfig {
    pub(super) fn check(&self, check: &mut Check) {
        check.within("lease_ms", self.lease_ms, 100..=600_000);
        check.within("renew_ms", self.renew_ms, 10..=300_000);
        check.within("grace_ms", self.grace_ms, 30..=60_000);
        check.within("typing_ms", self.typing_ms, 100..=60_000);
        check.that(
            "renew_ms",
            self.renew_ms.saturating_mul(2) <= self.lease_ms,
            "is at most half of lease_ms: one may be lost",
        );
    }
}
