//! URLs that are their own permission, for what browsers fetch and send without headers: files. Invariant: a URL is good for
//! one method on one path until one moment, and nobody makes or changes one without the installation's key.
//!
//! The path names everything (the organization and the file), so that whatever it leads to is under the signature.

use super::vault::Vault;
use crate::{
    config::Config,
    error::{Error, Result},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// How long a URL stays the same, so that browsers find in their cache what it leads to; it is good for so long at least,
/// and for twice as long at most.
const STAYS: i64 = 3600;

/// Makes URLs and believes them (HMAC-SHA256 under a key of its own).
pub struct SignedUrls {
    mac: Hmac<Sha256>,
    /// What they begin with; empty: they are paths on this server.
    base: String,
}

/// Why a URL is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disbelief {
    /// It was not made here, or not for this.
    Wrong,
    /// It was, and its time is over.
    Over,
}

impl SignedUrls {
    pub fn new(config: &Config, vault: &Vault) -> Result<Self> {
        let mac = Hmac::new_from_slice(&vault.derive("stoa files")?).map_err(Error::ours)?;
        Ok(SignedUrls { mac, base: config.public_url.clone().unwrap_or_default() })
    }

    /// A URL for this method on this path, good until then (Unix seconds).
    pub fn url(&self, method: &str, path: &str, until: i64) -> String {
        let signature = URL_SAFE_NO_PAD.encode(self.signed(method, path, until).finalize().into_bytes());
        format!("{}{path}?expires={until}&signature={signature}", self.base)
    }

    /// A URL to fetch what is at this path, which stays the same for an hour and is good for one to two.
    pub fn to_fetch(&self, path: &str, now: i64) -> String {
        self.url("GET", path, lasts(path, now))
    }

    /// Until when a request is granted by its query.
    pub fn believe(&self, method: &str, path: &str, query: Option<&str>, now: i64) -> Result<i64, Disbelief> {
        let (until, signature) = read(query.unwrap_or_default()).ok_or(Disbelief::Wrong)?;
        // In constant time.
        self.signed(method, path, until).verify_slice(&signature).map_err(|_| Disbelief::Wrong)?;
        if until <= now { Err(Disbelief::Over) } else { Ok(until) }
    }

    /// No part can pass for another: neither methods nor paths have line breaks.
    fn signed(&self, method: &str, path: &str, until: i64) -> Hmac<Sha256> {
        let mut mac = self.mac.clone();
        for part in [method, "\n", path, "\n", &until.to_string()] {
            mac.update(part.as_bytes());
        }
        mac
    }
}

/// `expires` and `signature`, each once, in this order, and nothing else: there is one way to write a URL.
fn read(query: &str) -> Option<(i64, Vec<u8>)> {
    let (until, signature) = query.strip_prefix("expires=")?.split_once("&signature=")?;
    if !until.bytes().all(|byte| byte.is_ascii_digit()) || until.starts_with('0') || signature.len() > 64 {
        return None;
    }
    Some((until.parse().ok()?, URL_SAFE_NO_PAD.decode(signature).ok()?))
}

/// Not all paths change at the same moment, or pages would fetch all of their pictures anew every hour.
fn lasts(path: &str, now: i64) -> i64 {
    let shift = path.bytes().fold(0_i64, |sum, byte| (sum * 31 + i64::from(byte)) % STAYS);
    ((now + shift).div_euclid(STAYS) + 2) * STAYS - shift
}

#[cfg(test)]
mod tests {
    use super::*;

    fn urls() -> (tempfile::TempDir, SignedUrls) {
        let folder = tempfile::tempdir().unwrap();
        let config = Config { data_dir: folder.path().to_owned(), ..Config::default() };
        let vault = Vault::of(&config).unwrap();
        let urls = SignedUrls::new(&config, &vault).unwrap();
        (folder, urls)
    }

    #[test]
    fn a_url_is_for_one_method_one_path_and_one_time() {
        let (_folder, urls) = urls();
        let url = urls.url("PUT", "/files/a/b", 1000);
        let query = url.split_once('?').unwrap().1.to_owned();
        let believed = |method, path, query: &str, now| urls.believe(method, path, Some(query), now);
        assert_eq!(believed("PUT", "/files/a/b", &query, 999), Ok(1000));
        assert_eq!(believed("PUT", "/files/a/b", &query, 1000), Err(Disbelief::Over));
        for (method, path) in [("GET", "/files/a/b"), ("PUT", "/files/a/c"), ("PUT", "/files/a/b/"), ("PUT", "")] {
            assert_eq!(believed(method, path, &query, 1), Err(Disbelief::Wrong), "{method} {path}");
        }
        for wrong in [
            query.replace("expires=1000", "expires=1001"),
            query.replace("expires=1000", "expires=01000"),
            query.replace("expires=1000", "expires=+1000"),
            query.replace("expires=1000", "expires=99999999999999999999"),
            query.replace("signature=", "signature=A"),
            format!("{query}A"),
            format!("{query}&x=1"),
            "expires=1000&signature=".to_owned(),
            "expires=1000".to_owned(),
            String::new(),
        ] {
            assert_eq!(believed("PUT", "/files/a/b", &wrong, 1), Err(Disbelief::Wrong), "{wrong}");
        }
        assert_eq!(urls.believe("PUT", "/files/a/b", None, 1), Err(Disbelief::Wrong));
        // Another installation.
        assert_eq!(self::urls().1.believe("PUT", "/files/a/b", Some(&query), 1), Err(Disbelief::Wrong));
    }

    #[test]
    fn a_url_to_fetch_stays_for_an_hour_and_lasts_for_one_more() {
        for path in ["/files/a/b", "/files/a/c"] {
            let mut seen = Vec::new();
            for now in (1_700_000_000..1_700_000_000 + 4 * STAYS).step_by(60) {
                let until = lasts(path, now);
                assert!((now + STAYS..=now + 2 * STAYS).contains(&until), "{path} {now} {until}");
                seen.push(until);
            }
            seen.dedup();
            assert!(seen.len() <= 5, "{seen:?}");
        }
        assert_ne!(lasts("/files/a/b", 1_700_000_000), lasts("/files/a/c", 1_700_000_000));
    }
}
