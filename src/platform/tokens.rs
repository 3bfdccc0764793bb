//! Access tokens (JWT, Ed25519) and opaque secrets.

use crate::error::Result;
use chrono::{DateTime, Utc};
use uuid::Uuid;

/// What an access token says, checked.
#[derive(Clone, Copy, Debug)]
pub struct Claims {
    pub organization: Uuid,
    pub member: Uuid,
    pub user: Uuid,
    pub session: Uuid,
    pub expires_at: DateTime<Utc>,
}

/// Signs and checks access tokens.
#[derive(Clone)]
pub struct Tokens {}

impl Tokens {
    pub fn open(_config: &crate::config::Config) -> Result<Self> {
        todo!()
    }

    /// Signs a token for a session: the token and when it ends.
    pub fn sign(&self, _claims: Claims) -> Result<(String, DateTime<Utc>)> {
        todo!()
    }

    /// UNAUTHENTICATED with reason EXPIRED or INVALID when it is no token of ours.
    pub fn check(&self, _token: &str) -> Result<Claims> {
        todo!()
    }
}
