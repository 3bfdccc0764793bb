//! Tokens that travel in the link of a mail, for something within an organization that works once. Invariant: only the
//! mail has the secret; the database has its SHA-256.

use super::refresh::{parse, reveal};
use crate::{error::Result, platform::random::random};
use sha2::{Digest, Sha256};
use uuid::Uuid;

const PREFIX: &str = "stoa_lt_";

/// `stoa_lt_` and, in base64url, the organization, what it is about and 32 random bytes: so the row is found behind the
/// wall.
pub struct LinkToken {
    pub organization: Uuid,
    pub about: Uuid,
    secret: [u8; 32],
}

impl LinkToken {
    pub fn new(organization: Uuid, about: Uuid) -> Result<Self> {
        Ok(LinkToken { organization, about, secret: random()? })
    }

    /// As somebody sends it; `None` when it cannot be one.
    pub fn parse(token: &str) -> Option<Self> {
        let (organization, about, secret) = parse(PREFIX, token)?;
        Some(LinkToken { organization, about, secret })
    }

    /// What the link holds.
    pub fn reveal(&self) -> String {
        reveal(PREFIX, self.organization, self.about, &self.secret)
    }

    /// What is stored. The secret has 256 random bits: it needs no salt and no slow hash.
    pub fn hash(&self) -> Vec<u8> {
        Sha256::digest(self.secret).to_vec()
    }
}
