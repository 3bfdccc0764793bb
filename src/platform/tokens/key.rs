//! The Ed25519 key behind access tokens. Invariant: its private half leaves this module only for a file of keys, and to
//! sign.

use crate::{
    error::{Error, Result},
    platform::{key_file, random::random},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ed25519_dalek::{
    SigningKey,
    pkcs8::{DecodePrivateKey, EncodePrivateKey, spki::der::pem::LineEnding},
};
use serde_json::json;
use sha2::{Digest, Sha256};
use std::path::Path;

pub(super) struct AccessKey(SigningKey);

impl AccessKey {
    /// From a setting: PEM, or the path of a file with it.
    pub(super) fn given(setting: &str, name: &str) -> Result<Self> {
        if setting.trim_start().starts_with("-----BEGIN") {
            return Self::parse(setting, name);
        }
        Self::read(Path::new(setting))?.ok_or_else(|| fault(format!("{name} names {setting}, which does not exist")))
    }

    /// A new one, nowhere but here.
    pub(super) fn make() -> Result<Self> {
        Ok(AccessKey(SigningKey::from_bytes(&random()?)))
    }

    /// The public half, as 32 bytes.
    pub(super) fn public(&self) -> [u8; 32] {
        self.0.verifying_key().to_bytes()
    }

    pub(super) fn pkcs8(&self) -> Result<Vec<u8>> {
        Ok(self.0.to_pkcs8_der().map_err(Error::ours)?.as_bytes().to_vec())
    }

    /// The thumbprint of the public key (RFC 7638, RFC 8037): the same on every node, another for another key.
    pub(super) fn id(&self) -> String {
        let x = URL_SAFE_NO_PAD.encode(self.public());
        URL_SAFE_NO_PAD.encode(Sha256::digest(format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#)))
    }

    /// The public half as a JSON Web Key (RFC 8037).
    pub(super) fn jwk(&self) -> serde_json::Value {
        let x = URL_SAFE_NO_PAD.encode(self.public());
        json!({ "kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA", "kid": self.id(), "x": x })
    }

    fn parse(pem: &str, place: &str) -> Result<Self> {
        SigningKey::from_pkcs8_pem(pem.trim())
            .map(AccessKey)
            .map_err(|_| fault(format!("{place} is not an Ed25519 private key in PEM (PKCS#8)")))
    }

    pub(super) fn read(path: &Path) -> Result<Option<Self>> {
        let pem = key_file::read(path)?;
        pem.map(|pem| Self::parse(&pem, &path.display().to_string())).transpose()
    }

    /// Writes it where no key is. Of two processes that do so at once one is first, and that key is there for both.
    pub(super) fn write_new(&self, path: &Path) -> Result<()> {
        key_file::write_new(path, &self.pem()?)
    }

    /// Writes it in the place of another.
    pub(super) fn replace(&self, path: &Path) -> Result<()> {
        key_file::replace(path, &self.pem()?)
    }

    fn pem(&self) -> Result<String> {
        Ok(self.0.to_pkcs8_pem(LineEnding::LF).map_err(Error::ours)?.to_string())
    }
}

/// For whoever starts Stoa: no client ever sees it.
fn fault(why: String) -> Error {
    Error::ours(why)
}
