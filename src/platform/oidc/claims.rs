//! What a provider's signed token says (OpenID Connect Core 1.0, section 3.1.3.7). Invariant: it is believed only when this
//! provider has signed it, with a key of its own and a method that needs one, for this server, for this attempt, just now.

use crate::config::OidcProvider;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{
    Algorithm, DecodingKey, Validation,
    errors::ErrorKind,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, PublicKeyUse},
};
use serde::{Deserialize, Deserializer};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// Methods of signing. None of them works with a secret that both sides have, and `none` is not one.
const METHODS: [Algorithm; 3] = [Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA];
/// How far the clocks of two servers may be apart, in seconds.
const LEEWAY: u64 = 60;
/// How old a token may be, in seconds: as old as an attempt.
const OLDEST: f64 = 600.0;
/// Bytes of a token at most.
const TOKEN: usize = 32 * 1024;
/// Bytes of a subject at most (Core 1.0, section 2).
const SUBJECT: usize = 255;

/// Who has signed in, as the provider says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Of this provider, for ever: never given to anybody else.
    pub subject: String,
    pub email: Option<String>,
    /// Whether the provider knows the address to be theirs.
    pub email_verified: bool,
    pub name: Option<String>,
}

/// Why a token is not good, for the log.
#[derive(Debug)]
pub struct Unbelievable {
    pub why: String,
    /// Whether it may be that the provider signs with another key by now.
    pub of_strange_key: bool,
}

impl Unbelievable {
    fn new(why: &str) -> Self {
        Unbelievable { why: why.to_owned(), of_strange_key: false }
    }
}

impl From<jsonwebtoken::errors::Error> for Unbelievable {
    fn from(fault: jsonwebtoken::errors::Error) -> Self {
        Unbelievable { why: fault.to_string(), of_strange_key: *fault.kind() == ErrorKind::InvalidSignature }
    }
}

/// As they stand in the token, beside what `jsonwebtoken` looks at: `iss`, `aud`, `exp`, `nbf`.
#[derive(Deserialize)]
struct Claims {
    sub: String,
    /// Seconds, perhaps with a fraction (RFC 7519, section 2).
    iat: f64,
    nonce: String,
    aud: Audience,
    azp: Option<String>,
    #[serde(flatten)]
    person: Person,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(#[allow(dead_code, reason = "looked at by jsonwebtoken")] String),
    Many(Vec<String>),
}

#[derive(Deserialize)]
struct Person {
    email: Option<String>,
    #[serde(default, deserialize_with = "truth")]
    email_verified: bool,
    name: Option<String>,
}

/// From the address for which they are asked.
#[derive(Deserialize)]
pub struct UserInfo {
    sub: String,
    #[serde(flatten)]
    person: Person,
}

/// Some providers write `"true"`. Whatever else is no yes.
fn truth<'de, D: Deserializer<'de>>(value: D) -> Result<bool, D::Error> {
    let value = serde_json::Value::deserialize(value)?;
    Ok(value == true || value == "true")
}

/// What stands for the verifier in the browser's address (RFC 7636, S256).
pub fn challenge(verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(verifier))
}

/// Who the token is about, if it is to be believed.
pub fn check(token: &str, settings: &OidcProvider, keys: &[Jwk], nonce: &str) -> Result<Identity, Unbelievable> {
    let no = |why| Err(Unbelievable::new(why));
    if token.len() > TOKEN {
        return no("it is too long");
    }
    let header = jsonwebtoken::decode_header(token)?;
    if !METHODS.contains(&header.alg) {
        return no("it is signed in a way that is not accepted");
    }
    let mut fitting = keys.iter().filter(|key| fits(key, header.alg, header.kid.as_deref()));
    // Without a name there must be no doubt (Core 1.0, section 10.1).
    let key = match (fitting.next(), fitting.next()) {
        (Some(key), None) => DecodingKey::from_jwk(key)?,
        (Some(_), Some(_)) => return no("it may be signed with several keys and names none of them"),
        (None, _) => {
            let why = "it is signed with a key that the provider does not show".to_owned();
            return Err(Unbelievable { why, of_strange_key: true });
        }
    };
    let mut validation = Validation::new(header.alg);
    validation.leeway = LEEWAY;
    validation.validate_nbf = true;
    validation.set_issuer(&[&settings.issuer]);
    validation.set_audience(&[&settings.client_id]);
    validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    let claims: Claims = jsonwebtoken::decode(token, &key, &validation)?.claims;

    let now = chrono::Utc::now().timestamp() as f64;
    let leeway = LEEWAY as f64;
    if !(claims.iat <= now + leeway && claims.iat >= now - OLDEST - leeway) {
        return no("it is not of this hour");
    }
    if !bool::from(claims.nonce.as_bytes().ct_eq(nonce.as_bytes())) {
        return no("it was made for another attempt");
    }
    let several = matches!(&claims.aud, Audience::Many(all) if all.len() > 1);
    let party = claims.azp.as_deref().map(|party| party == settings.client_id);
    if !party.unwrap_or(!several) {
        return no("it was given to another party");
    }
    let good = (1..=SUBJECT).contains(&claims.sub.len()) && !claims.sub.contains(char::is_control);
    if !good {
        return no("its subject is none");
    }
    let Person { email, email_verified, name } = claims.person;
    Ok(Identity { subject: claims.sub, email, email_verified, name })
}

/// Adds what the provider says elsewhere, if it is of the same person (Core 1.0, section 5.3.2).
pub fn complete(identity: Identity, told: UserInfo) -> Result<Identity, Unbelievable> {
    if told.sub != identity.subject {
        return Err(Unbelievable::new("the address was told of somebody else"));
    }
    let Person { email, email_verified, name } = told.person;
    Ok(Identity { email, email_verified, name: identity.name.or(name), ..identity })
}

/// Whether a token of that method may be signed with this key.
fn fits(key: &Jwk, method: Algorithm, named: Option<&str>) -> bool {
    let common = &key.common;
    let kind = match &key.algorithm {
        AlgorithmParameters::RSA(_) => Algorithm::RS256,
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => Algorithm::ES256,
        AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => Algorithm::EdDSA,
        _ => return false,
    };
    kind == method
        && common.public_key_use.as_ref().is_none_or(|made_for| *made_for == PublicKeyUse::Signature)
        && common.key_algorithm.is_none_or(|only| Algorithm::try_from(only).is_ok_and(|only| only == method))
        && named.is_none_or(|named| common.key_id.as_deref() == Some(named))
}
