//! Password hashes: argon2id on a bounded pool. Invariant: a flood of sign-ins costs neither memory nor the
//! time of other requests.

use crate::{config::IdentityConfig, error::Result};

/// Hashes and checks passwords.
#[derive(Clone)]
pub struct Passwords {}

impl Passwords {
    pub fn new(_config: &IdentityConfig) -> Self {
        todo!()
    }

    /// The PHC string to store. RATE_LIMITED when too many wait.
    pub async fn hash(&self, _password: String) -> Result<String> {
        todo!()
    }

    /// Whether the password is the one hashed; with `None` spends the same time and says no.
    pub async fn verify(&self, _password: String, _hash: Option<String>) -> Result<bool> {
        todo!()
    }
}
