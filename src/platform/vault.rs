//! Secrets that are stored and needed again as they were: those of authenticators. Invariant: what is in the database is
//! of no use without the key, which is not there, nor in any other row than the one that it was sealed for. Keys for
//! other purposes are derived from it, and tell nothing of it or of each other.

use super::{key_file, random::random};
use crate::{
    config::Config,
    error::{Error, Result},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use chacha20poly1305::{
    KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, Payload},
};
use hkdf::Hkdf;
use sha2::Sha256;
use std::path::{Path, PathBuf};
use uuid::Uuid;

/// The first byte of what is sealed, so that another key or cipher may follow.
const VERSION: u8 = 1;
/// So long that random ones never meet (XChaCha20: 192 bits).
const NONCE: usize = 24;
const KEY: usize = 32;

/// Seals and opens with the one key of this installation (XChaCha20-Poly1305, 256 bits).
pub struct Vault {
    cipher: XChaCha20Poly1305,
    derived: Hkdf<Sha256>,
}

impl Vault {
    /// Takes the key from `identity.encryption_key`, else from `keys/vault.key` in the data directory, where one is made
    /// when there is none. In production nothing is made: an error that says what to do.
    pub fn of(config: &Config) -> Result<Self> {
        let key = match &config.identity.encryption_key {
            Some(setting) => given(setting.expose())?,
            None => {
                let path = path(config);
                if config.production && key_file::read(&path)?.is_none() {
                    return Err(Error::ours(format!(
                        "in production Stoa makes no keys by itself. Make the one that secrets are stored under with \
                         `stoa keys rotate`, or with `openssl rand -base64 32` and put it in {} or in the setting \
                         STOA_IDENTITY_ENCRYPTION_KEY",
                        path.display()
                    )));
                }
                make_missing(config)?;
                read(&path)?.ok_or_else(|| Error::ours(format!("the key {} is gone", path.display())))?
            }
        };
        Ok(Vault { cipher: XChaCha20Poly1305::new(&key.into()), derived: Hkdf::new(None, &key) })
    }

    /// A key for another purpose, which is the same wherever the installation's key is (HKDF-SHA256, RFC 5869).
    pub fn derive(&self, purpose: &'static str) -> Result<[u8; KEY]> {
        let mut key = [0; KEY];
        self.derived.expand(purpose.as_bytes(), &mut key).map_err(|_| Error::ours("no key can be derived"))?;
        Ok(key)
    }

    /// A form of the secret that may be stored in the row of `owner`, for this purpose.
    pub fn seal(&self, purpose: &'static str, owner: Uuid, secret: &[u8]) -> Result<Vec<u8>> {
        let nonce: [u8; NONCE] = random()?;
        let payload = Payload { msg: secret, aad: &about(purpose, owner) };
        let sealed =
            self.cipher.encrypt(&XNonce::from(nonce), payload).map_err(|_| Error::ours("nothing can be sealed"))?;
        Ok([[VERSION].as_slice(), &nonce, &sealed].concat())
    }

    /// The secret; `None` when it was sealed with another key, for another row or purpose, or changed since.
    pub fn open(&self, purpose: &'static str, owner: Uuid, sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, sealed) = sealed.strip_prefix(&[VERSION])?.split_first_chunk::<NONCE>()?;
        self.cipher.decrypt(&XNonce::from(*nonce), Payload { msg: sealed, aad: &about(purpose, owner) }).ok()
    }
}

/// Makes the key in the data directory unless there is one, or a setting gives it.
pub fn make_missing(config: &Config) -> Result<()> {
    let path = path(config);
    if config.identity.encryption_key.is_some() || key_file::read(&path)?.is_some() {
        return Ok(());
    }
    let key: [u8; KEY] = random()?;
    key_file::write_new(&path, &format!("{}\n", STANDARD.encode(key)))
}

/// What belongs together with a secret: it opens for nothing else.
fn about(purpose: &'static str, owner: Uuid) -> Vec<u8> {
    [purpose.as_bytes(), &[0], owner.as_bytes()].concat()
}

fn path(config: &Config) -> PathBuf {
    config.data_dir.join("keys").join("vault.key")
}

/// From the setting: 32 bytes in base64, or the path of a file with them.
fn given(setting: &str) -> Result<[u8; KEY]> {
    if let Some(key) = parse(setting) {
        return Ok(key);
    }
    let missing = "identity.encryption_key is neither 32 bytes in base64 nor the path of a file with them";
    read(Path::new(setting)).ok().flatten().ok_or_else(|| Error::ours(missing))
}

fn read(path: &Path) -> Result<Option<[u8; KEY]>> {
    let Some(text) = key_file::read(path)? else { return Ok(None) };
    let wrong = || Error::ours(format!("the key {} is not 32 bytes in base64", path.display()));
    parse(&text).ok_or_else(wrong).map(Some)
}

fn parse(text: &str) -> Option<[u8; KEY]> {
    STANDARD.decode(text.trim()).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::IdentityConfig;
    use std::os::unix::fs::PermissionsExt;

    fn config(folder: &tempfile::TempDir, key: Option<&str>, production: bool) -> Config {
        let encryption_key = key.map(|key| key.to_owned().into());
        let identity = IdentityConfig { encryption_key, ..IdentityConfig::default() };
        Config { data_dir: folder.path().to_owned(), identity, production, ..Config::default() }
    }

    #[test]
    fn a_secret_opens_for_its_row_and_purpose_with_its_key_only() {
        let folder = tempfile::tempdir().unwrap();
        let vault = Vault::of(&config(&folder, None, false)).unwrap();
        let (owner, secret) = (Uuid::new_v4(), b"twenty bytes, or so.");
        let sealed = vault.seal("totp", owner, secret).unwrap();
        assert_eq!(vault.open("totp", owner, &sealed).unwrap(), secret);
        assert_ne!(vault.seal("totp", owner, secret).unwrap(), sealed, "never the same twice");
        assert!(!sealed.windows(8).any(|part| secret.windows(8).any(|other| other == part)));
        assert!(vault.open("totp", Uuid::new_v4(), &sealed).is_none());
        assert!(vault.open("other", owner, &sealed).is_none());
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(vault.open("totp", owner, &changed).is_none(), "{at}");
            assert!(vault.open("totp", owner, &sealed[..at]).is_none(), "{at}");
        }
        let other = STANDARD.encode([7; KEY]);
        assert!(Vault::of(&config(&folder, Some(&other), false)).unwrap().open("totp", owner, &sealed).is_none());
        let again = Vault::of(&config(&folder, None, false)).unwrap();
        assert_eq!(again.open("totp", owner, &sealed).unwrap(), secret, "the key is kept");
        let mode = std::fs::metadata(folder.path().join("keys/vault.key")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn production_wants_a_key_to_be_given() {
        let folder = tempfile::tempdir().unwrap();
        let told = |key: Option<&str>| format!("{:?}", Vault::of(&config(&folder, key, true)).err().unwrap());
        assert!(told(None).contains("STOA_IDENTITY_ENCRYPTION_KEY"));
        assert!(!folder.path().join("keys").exists(), "and nothing is written");
        for nonsense in ["", "no/such/file", "c2hvcnQ=", &STANDARD.encode([0; 33])] {
            let told = told(Some(nonsense));
            assert!(told.contains("identity.encryption_key"), "{told}");
            assert!(nonsense.is_empty() || !told.contains(nonsense), "a setting that may be a key is not told");
        }
        let key = STANDARD.encode([7; KEY]);
        let sealed = Vault::of(&config(&folder, Some(&key), true)).unwrap().seal("totp", Uuid::nil(), b"x").unwrap();
        let file = folder.path().join("given.key");
        std::fs::write(&file, format!("{key}\n")).unwrap();
        let same = Vault::of(&config(&folder, file.to_str(), true)).unwrap();
        assert_eq!(same.open("totp", Uuid::nil(), &sealed).unwrap(), b"x");
        make_missing(&config(&folder, None, true)).unwrap();
        Vault::of(&config(&folder, None, true)).unwrap();
        std::fs::write(folder.path().join("keys/vault.key"), "nonsense").unwrap();
        assert!(told(None).contains("is not 32 bytes"));
    }
}
