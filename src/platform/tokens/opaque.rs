//! Opaque tokens: a word that tells their kind, and 256 random bits. Invariant: only who was given one has it; what is
//! stored is its SHA-256, which needs no salt and no slow hash, because nobody guesses so many bits.

use crate::{error::Result, platform::random::random};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};

/// A kind of token, by what it begins with.
#[derive(Clone, Copy, Debug)]
pub struct Opaque(pub &'static str);

impl Opaque {
    /// A new token, and what is stored of it.
    pub fn issue(self) -> Result<(String, Vec<u8>)> {
        let secret = random()?;
        Ok((self.reveal(&secret), hash(&secret)))
    }

    /// What is stored of a token; `None` when it cannot be one.
    pub fn hash(self, token: &str) -> Option<Vec<u8>> {
        self.read(token).map(|secret| hash(&secret))
    }

    /// The token of a secret.
    pub fn reveal(self, secret: &[u8; 32]) -> String {
        format!("{}{}", self.0, URL_SAFE_NO_PAD.encode(secret))
    }

    /// The secret of a token; `None` when it cannot be one.
    pub fn read(self, token: &str) -> Option<[u8; 32]> {
        let mut secret = [0; 33];
        let length = URL_SAFE_NO_PAD.decode_slice(token.trim().strip_prefix(self.0)?, &mut secret).ok()?;
        secret.get(..length)?.try_into().ok()
    }
}

fn hash(secret: &[u8; 32]) -> Vec<u8> {
    Sha256::digest(secret).to_vec()
}
