//! The settings of sign-in and tokens.

use super::{
    Secret,
    check::Check,
    oidc::{self, OidcProvider},
};
use serde::{Deserialize, Serialize};

/// Sign-in and tokens.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct IdentityConfig {
    /// The `iss` of access tokens.
    pub issuer: String,
    /// The Ed25519 key that signs access tokens: PEM (PKCS#8), or the path of a file with it; none:
    /// `keys/access.pem` in the data directory, made there outside production.
    pub signing_key: Option<Secret>,
    /// The key that `signing_key` has followed, while tokens of it are about: PEM or a path.
    pub previous_signing_key: Option<Secret>,
    /// The key under which secrets are stored that are needed again, such as those of authenticators: 32 bytes in base64,
    /// or the path of a file with them; none: `keys/vault.key` in the data directory, made there outside production.
    pub encryption_key: Option<Secret>,
    pub access_token_seconds: u64,
    pub refresh_token_seconds: u64,
    /// Whether strangers may register an organization.
    pub registration: bool,
    /// Password hashes computed at once; 0: half as many as there are cores, so that the rest goes on.
    pub hashers: usize,
    /// Sign-ins waiting to be hashed at most; more are told 429.
    pub hash_queue: usize,
    /// Memory of one password hash in KiB (OWASP: at least 19456).
    pub argon2_memory_kib: u32,
    /// Passes of one password hash (OWASP: at least 2 with 19 MiB).
    pub argon2_passes: u32,
    /// Failed sign-ins per account before it is locked.
    pub max_failures: u32,
    /// How long an account stays locked, in seconds.
    pub lock_seconds: u64,
    /// Sign-in attempts per address and minute.
    pub sign_ins_per_minute: u32,
    /// Sessions of one member at once; a further sign-in ends the oldest.
    pub max_sessions: u32,
    /// Days for which attempts to sign in are kept.
    pub sign_in_log_days: u32,
    /// Days in which a deleted organization can be restored.
    pub organization_grace_days: u32,
    /// Providers of OpenID Connect that people may sign in with.
    pub oidc: Vec<OidcProvider>,
    /// How long a provider may take for all it is asked at one sign-in, in milliseconds.
    pub oidc_timeout_ms: u64,
}

impl Default for IdentityConfig {
    fn default() -> Self {
        IdentityConfig {
            issuer: "stoa".into(),
            signing_key: None,
            previous_signing_key: None,
            encryption_key: None,
            access_token_seconds: 15 * 60,
            refresh_token_seconds: 7 * 24 * 3600,
            registration: true,
            hashers: 0,
            hash_queue: 64,
            argon2_memory_kib: 19_456,
            argon2_passes: 2,
            max_failures: 10,
            lock_seconds: 15 * 60,
            sign_ins_per_minute: 60,
            max_sessions: 50,
            sign_in_log_days: 90,
            organization_grace_days: 30,
            oidc: Vec::new(),
            oidc_timeout_ms: 8000,
        }
    }
}

impl IdentityConfig {
    pub(super) fn check(&self, check: &mut Check, production: bool) {
        // OWASP's minimum is a matter of safety in production and only of speed in a test.
        let (memory, passes) = if production { (19_456, 2) } else { (8, 1) };
        check.that("issuer", !self.issuer.trim().is_empty(), "must not be empty");
        check.that(
            "previous_signing_key",
            self.previous_signing_key.is_none() || self.signing_key.is_some(),
            "needs identity.signing_key: without one the keys are those in the data directory",
        );
        check.within("access_token_seconds", self.access_token_seconds, 1..=86_400);
        check.within("refresh_token_seconds", self.refresh_token_seconds, 1..=366 * 86_400);
        check.that(
            "refresh_token_seconds",
            self.refresh_token_seconds >= self.access_token_seconds,
            "must not be shorter than identity.access_token_seconds",
        );
        check.within("hashers", self.hashers, 0..=1024);
        check.within("hash_queue", self.hash_queue, 1..=100_000);
        check.within("argon2_memory_kib", self.argon2_memory_kib, memory..=4 << 20);
        check.within("argon2_passes", self.argon2_passes, passes..=100);
        check.within("max_failures", self.max_failures, 1..=1000);
        check.within("lock_seconds", self.lock_seconds, 1..=86_400);
        check.within("max_sessions", self.max_sessions, 1..=10_000);
        check.within("sign_in_log_days", self.sign_in_log_days, 1..=3650);
        check.within("organization_grace_days", self.organization_grace_days, 1..=3650);
        oidc::check(&self.oidc, check, production);
        check.within("oidc_timeout_ms", self.oidc_timeout_ms, 10..=60_000);
        check.within("sign_ins_per_minute", self.sign_ins_per_minute, 1..=1_000_000);
    }
}
