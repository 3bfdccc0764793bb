//! Opaque tokens that are found by their hash. Invariant: only who was given one has it; what is stored is its SHA-256,
//! which needs no salt and no slow hash, because a token has 256 random bits.

use super::refresh::secret;
use crate::error::Result;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};

/// A kind of token, by what it begins with.
#[derive(Clone, Copy, Debug)]
pub struct Opaque(pub &'static str);

impl Opaque {
    /// A new token, and what is stored of it.
    pub fn issue(self) -> Result<(String, Vec<u8>)> {
        let secret = secret()?;
        Ok((format!("{}{}", self.0, URL_SAFE_NO_PAD.encode(secret)), Sha256::digest(secret).to_vec()))
    }

    /// What is stored of a token; `None` when it cannot be one.
    pub fn hash(self, token: &str) -> Option<Vec<u8>> {
        let mut secret = [0; 33];
        let length = URL_SAFE_NO_PAD.decode_slice(token.trim().strip_prefix(self.0)?, &mut secret).ok()?;
        let secret: &[u8; 32] = secret.get(..length)?.try_into().ok()?;
        Some(Sha256::digest(secret).to_vec())
    }
}
