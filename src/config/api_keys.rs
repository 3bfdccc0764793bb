//! The settings of API keys.

use super::check::Check;
use serde::{Deserialize, Serialize};

/// API keys.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct ApiKeyConfig {
    /// Keys that work which a member may have.
    pub per_member: u32,
    /// Keys that work which an organization may have.
    pub per_organization: u32,
    /// Days after which a key ends at the latest; 0: it need not end.
    pub max_days: u32,
    /// Operations of one key in a minute, on each node.
    pub operations_per_minute: u32,
}

impl Default for ApiKeyConfig {
    fn default() -> Self {
        ApiKeyConfig { per_member: 50, per_organization: 1000, max_days: 0, operations_per_minute: 6000 }
    }
}

impl ApiKeyConfig {
    pub(super) fn check(&self, check: &mut Check) {
        check.within("per_member", self.per_member, 1..=10_000);
        check.within("per_organization", self.per_organization, 1..=1_000_000);
        check.within("max_days", self.max_days, 0..=3650);
        check.within("operations_per_minute", self.operations_per_minute, 1..=10_000_000);
    }
}
