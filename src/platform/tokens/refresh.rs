//! Refresh tokens: opaque to clients. Invariant: only the client has the secret; the database has its SHA-256.

use crate::{error::Result, platform::random::random};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use uuid::Uuid;

const PREFIX: &str = "stoa_rt_";

/// `stoa_rt_` and, in base64url, the organization, the session and 32 random bytes: so the row is found behind the
/// wall without a table that spans organizations.
pub struct RefreshToken {
    pub organization: Uuid,
    pub session: Uuid,
    secret: [u8; 32],
}

impl RefreshToken {
    /// A new one for a session.
    pub fn new(organization: Uuid, session: Uuid) -> Result<Self> {
        Ok(RefreshToken { organization, session, secret: random()? })
    }

    /// As a client sends it; `None` when it cannot be one.
    pub fn parse(token: &str) -> Option<Self> {
        let (organization, session, secret) = parse(PREFIX, token)?;
        Some(RefreshToken { organization, session, secret })
    }

    /// What the client is given, once.
    pub fn reveal(&self) -> String {
        reveal(PREFIX, self.organization, self.session, &self.secret)
    }

    /// What is stored. The secret has 256 random bits: it needs no salt and no slow hash.
    pub fn hash(&self) -> Vec<u8> {
        Sha256::digest(self.secret).to_vec()
    }

    /// The secret of the successor in a form that only whoever has this token can read: it may be stored.
    pub fn seal(&self, successor: &RefreshToken) -> Vec<u8> {
        self.mask(&successor.secret).to_vec()
    }

    /// The successor that `seal` has sealed with this token.
    pub fn open(&self, sealed: &[u8]) -> Option<RefreshToken> {
        let secret = self.mask(sealed.try_into().ok()?);
        Some(RefreshToken { secret, ..*self })
    }

    /// A one-time pad: each token seals one successor, and what is stored of the token does not tell its pad.
    fn mask(&self, secret: &[u8; 32]) -> [u8; 32] {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.secret).expect("a key of any length");
        mac.update(b"successor");
        let pad: [u8; 32] = mac.finalize().into_bytes().into();
        std::array::from_fn(|at| secret[at] ^ pad[at])
    }
}

/// The prefix and, in base64url, the organization, an id in it and the secret.
pub(super) fn reveal(prefix: &str, organization: Uuid, id: Uuid, secret: &[u8; 32]) -> String {
    let bytes = [organization.as_bytes().as_slice(), id.as_bytes(), secret].concat();
    format!("{prefix}{}", URL_SAFE_NO_PAD.encode(bytes))
}

pub(super) fn parse(prefix: &str, token: &str) -> Option<(Uuid, Uuid, [u8; 32])> {
    let mut bytes = [0; 64];
    let length = URL_SAFE_NO_PAD.decode_slice(token.strip_prefix(prefix)?, &mut bytes).ok()?;
    let (organization, rest) = bytes.get(..length)?.split_first_chunk::<16>()?;
    let (id, secret) = rest.split_first_chunk::<16>()?;
    Some((Uuid::from_bytes(*organization), Uuid::from_bytes(*id), secret.try_into().ok()?))
}
