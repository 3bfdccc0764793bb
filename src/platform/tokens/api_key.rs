//! API keys as programs send them: a public prefix (`stoa_` and 12 letters and digits), `_`, and in base64url the
//! organization, 32 random bytes and a checksum of 3. Invariant: only whoever was shown the key has it; what is kept,
//! here and in the database, is its SHA-256. That needs neither salt nor a slow hash: those are for what people think
//! up, and nobody guesses 256 random bits (NIST SP 800-63B, 5.1.2).
//!
//! The prefix finds the row and tells people which key it is; the organization lets it be found behind the wall; the
//! checksum tells a mistyped key, or a text that only looks like one, from a key without asking the database, as secret
//! scanners want it.

use crate::{error::Result, platform::random::random};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fmt;
use subtle::ConstantTimeEq;
use uuid::Uuid;

/// How every key begins, and every other opaque token of Stoa; no access token does.
pub const LEAD: &str = "stoa_";
/// Characters of a prefix behind `LEAD`: 60 random bits.
const PREFIX: usize = 12;
const LETTERS: [u8; 32] = *b"abcdefghijklmnopqrstuvwxyz234567";
const CHECKSUM: usize = 3;
/// Bytes behind the prefix.
const BODY: usize = 16 + 32 + CHECKSUM;

/// A key that was shown or sent: what finds it and what proves it, not the key itself.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiKeyToken {
    pub organization: Uuid,
    pub prefix: String,
    hash: [u8; 32],
}

impl ApiKeyToken {
    /// A new key with a prefix of its own, and as it is shown, once.
    pub fn new(organization: Uuid) -> Result<(Self, String)> {
        let bytes: [u8; PREFIX] = random()?;
        let letter =
            |byte: &u8| LETTERS.iter().cycle().nth(usize::from(*byte)).map_or('a', |letter| char::from(*letter));
        Self::with_prefix(organization, LEAD.chars().chain(bytes.iter().map(letter)).collect())
    }

    /// A new key in the place of one with that prefix, and as it is shown, once.
    pub fn with_prefix(organization: Uuid, prefix: String) -> Result<(Self, String)> {
        let mut body = [organization.as_bytes().as_slice(), &random::<32>()?].concat();
        body.extend(checksum(&prefix, &body));
        let text = format!("{prefix}_{}", URL_SAFE_NO_PAD.encode(body));
        Ok((ApiKeyToken { organization, prefix, hash: Sha256::digest(&text).into() }, text))
    }

    /// As a program sends it; `None` when it cannot be one.
    pub fn parse(text: &str) -> Option<Self> {
        let (prefix, rest) = text.split_at_checked(LEAD.len() + PREFIX)?;
        let (letters, encoded) = (prefix.strip_prefix(LEAD)?, rest.strip_prefix('_')?);
        if !letters.bytes().all(|byte| LETTERS.contains(&byte)) {
            return None;
        }
        let mut body = [0; BODY];
        let length = URL_SAFE_NO_PAD.decode_slice(encoded, &mut body).ok()?;
        let (organization, _) = body.split_first_chunk::<16>()?;
        let (meant, check) = body.split_last_chunk::<CHECKSUM>()?;
        if length != BODY || checksum(prefix, meant) != *check {
            return None;
        }
        let organization = Uuid::from_bytes(*organization);
        Some(ApiKeyToken { organization, prefix: prefix.to_owned(), hash: Sha256::digest(text).into() })
    }

    /// What is stored.
    pub fn hash(&self) -> &[u8] {
        &self.hash
    }

    /// Whether this is the key with that hash; takes the same time whatever differs. An absent hash is nobody's.
    pub fn proves(&self, stored: Option<&[u8]>) -> bool {
        let stored = stored.and_then(|stored| <[u8; 32]>::try_from(stored).ok());
        bool::from(self.hash.ct_eq(&stored.unwrap_or_default())) & stored.is_some()
    }

    /// Under which `platform::standing` knows what the database says of this very key: nobody else's is the same.
    pub fn known_as(&self) -> Uuid {
        let (half, _) = self.hash.split_first_chunk::<16>().expect("32 bytes have 16");
        Uuid::from_bytes(*half)
    }
}

/// Tells no more than people see in lists.
impl fmt::Debug for ApiKeyToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_…", self.prefix)
    }
}

fn checksum(prefix: &str, body: &[u8]) -> [u8; CHECKSUM] {
    let digest: [u8; 32] = Sha256::new().chain_update(prefix).chain_update(body).finalize().into();
    std::array::from_fn(|at| digest[at])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_reads_back_and_proves_itself_only() {
        let organization = Uuid::now_v7();
        let (made, text) = ApiKeyToken::new(organization).unwrap();
        assert_eq!(text.len(), 5 + 12 + 1 + 68);
        let read = ApiKeyToken::parse(&text).unwrap();
        assert!(read == made && read.organization == organization && text.contains(&read.prefix));
        assert!(read.proves(Some(made.hash())));
        let (next, _) = ApiKeyToken::with_prefix(organization, made.prefix.clone()).unwrap();
        assert!(next.prefix == made.prefix && !next.proves(Some(made.hash())));
        assert!(next.known_as() != made.known_as());
        for nobodys in [None, Some(&[][..]), Some(&[0; 32][..]), Some(&made.hash()[..31])] {
            assert!(!made.proves(nobodys));
        }
        assert_eq!(format!("{made:?}"), format!("{}_…", made.prefix));
    }

    #[test]
    fn what_is_not_whole_is_no_key() {
        let (_, text) = ApiKeyToken::new(Uuid::now_v7()).unwrap();
        for end in 0..text.len() {
            assert!(ApiKeyToken::parse(text.get(..end).unwrap()).is_none(), "{end} characters");
        }
        for at in 0..text.len() {
            let mut changed = text.clone().into_bytes();
            changed[at] = if changed[at] == b'b' { b'c' } else { b'b' };
            assert!(ApiKeyToken::parse(&String::from_utf8(changed).unwrap()).is_none(), "another letter at {at}");
        }
        for more in
            [format!("{text}A"), format!(" {text}"), text.to_uppercase(), text.replace('_', ""), "stoa_".repeat(2000)]
        {
            assert!(ApiKeyToken::parse(&more).is_none(), "{more}");
        }
    }
}
