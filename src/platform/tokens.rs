//! Access tokens (JWT of RFC 9068, Ed25519) and the opaque tokens: for refreshing, in links, of API keys. Invariant: what `check` lets through was
//! signed by this installation for its API, and has not ended.

mod api_key;
mod key;
mod link;
mod opaque;
mod refresh;
mod ring;

pub use api_key::{ApiKeyToken, LEAD};
pub use link::LinkToken;
pub use opaque::Opaque;
pub use refresh::RefreshToken;
pub use ring::{KeyState, list as list_keys, rotate as rotate_keys};

use crate::{
    config::Config,
    error::{Error, Result},
};
use chrono::{DateTime, TimeDelta, Utc};
use jsonwebtoken::{Algorithm, Validation, errors::ErrorKind};
use quick_cache::{UnitWeighter, sync::Cache};
use ring::Keys;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::sync::Arc;
use uuid::Uuid;

/// The `aud` of access tokens.
const AUDIENCE: &str = "stoa";
/// The `typ` of access tokens (RFC 9068), so that no other JWT passes for one.
const TYPE: &str = "at+jwt";
/// How far the clocks of two servers may be apart, in seconds.
const LEEWAY: u64 = 5;
/// Longer ones are none of ours.
const MAX_LENGTH: usize = 2048;
/// Tokens remembered as checked: a signature costs some 50 µs, a look-up less than one.
const REMEMBERED: u64 = 8192;

/// What an access token says, checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claims {
    pub organization: Uuid,
    pub member: Uuid,
    pub user: Uuid,
    pub session: Uuid,
    pub expires_at: DateTime<Utc>,
}

/// As they stand in the token. All are required.
#[derive(Serialize, Deserialize)]
struct Body {
    iss: String,
    aud: String,
    /// The member.
    sub: Uuid,
    org: Uuid,
    usr: Uuid,
    sid: Uuid,
    iat: i64,
    nbf: i64,
    exp: i64,
    jti: Uuid,
}

/// Signs and checks access tokens. Cheap to clone.
#[derive(Clone)]
pub struct Tokens(Arc<Inner>);

struct Inner {
    issuer: String,
    lifetime: TimeDelta,
    keys: Keys,
    validation: Validation,
    /// With the id of the key that each was checked with.
    checked: Cache<[u8; 32], (Arc<str>, Claims)>,
}

impl Tokens {
    /// Takes the key from `identity.signing_key`, else from `keys/` in the data directory, where one is made when there
    /// is none. In production nothing is made: an error that says what to do.
    pub fn open(config: &Config) -> Result<Self> {
        let keys = Keys::open(config)?;
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.leeway = LEEWAY;
        validation.validate_nbf = true;
        validation.set_audience(&[AUDIENCE]);
        validation.set_issuer(&[&config.identity.issuer]);
        validation.set_required_spec_claims(&["exp", "nbf", "aud", "iss", "sub"]);
        let seconds = i64::try_from(config.identity.access_token_seconds).unwrap_or(i64::MAX);
        Ok(Tokens(Arc::new(Inner {
            issuer: config.identity.issuer.clone(),
            lifetime: TimeDelta::try_seconds(seconds).unwrap_or(TimeDelta::MAX),
            keys,
            validation,
            checked: Cache::with_weighter(256, REMEMBERED, UnitWeighter),
        })))
    }

    /// Signs a token for a session: the token and when it ends, which is never after `claims.expires_at`, the end of
    /// the session.
    pub fn sign(&self, claims: Claims) -> Result<(String, DateTime<Utc>)> {
        let now = Utc::now();
        let end = now.checked_add_signed(self.0.lifetime).map_or(claims.expires_at, |end| end.min(claims.expires_at));
        let body = Body {
            iss: self.0.issuer.clone(),
            aud: AUDIENCE.to_owned(),
            sub: claims.member,
            org: claims.organization,
            usr: claims.user,
            sid: claims.session,
            iat: now.timestamp(),
            nbf: now.timestamp(),
            exp: end.timestamp(),
            jti: Uuid::new_v4(),
        };
        let ring = self.0.keys.ring();
        let token = jsonwebtoken::encode(&ring.header, &body, &ring.signing).map_err(Error::ours)?;
        Ok((token, DateTime::from_timestamp(body.exp, 0).unwrap_or(end)))
    }

    /// UNAUTHENTICATED with reason EXPIRED or INVALID when it is no token of ours.
    pub fn check(&self, token: &str) -> Result<Claims> {
        if token.len() > MAX_LENGTH {
            return Err(invalid());
        }
        let digest: [u8; 32] = Sha256::digest(token).into();
        let known = self.0.checked.get(&digest).filter(|(key, _)| self.0.keys.ring().key(key).is_some());
        let claims = match known {
            Some((_, claims)) => claims,
            None => {
                let (key, claims) = self.verify(token)?;
                self.0.checked.insert(digest, (key.into(), claims));
                claims
            }
        };
        let leeway = TimeDelta::seconds(LEEWAY.cast_signed());
        if claims.expires_at <= Utc::now() - leeway { Err(expired()) } else { Ok(claims) }
    }

    /// The public keys as a JSON Web Key Set (RFC 7517), for `/.well-known/jwks.json`.
    pub fn jwks(&self) -> serde_json::Value {
        self.0.keys.ring().jwks.clone()
    }

    fn verify(&self, token: &str) -> Result<(String, Claims)> {
        let named = jsonwebtoken::decode_header(token).ok().and_then(|header| header.kid).ok_or_else(invalid)?;
        let mut ring = self.0.keys.ring();
        if ring.key(&named).is_none() {
            ring = self.0.keys.look_for_stranger();
        }
        let key = ring.key(&named).ok_or_else(invalid)?;
        let read = jsonwebtoken::decode::<Body>(token, key, &self.0.validation);
        let read = read.map_err(|fault| match fault.kind() {
            ErrorKind::ExpiredSignature => expired(),
            _ => invalid(),
        })?;
        if read.header.typ.as_deref() != Some(TYPE) {
            return Err(invalid());
        }
        let claims = Claims {
            organization: read.claims.org,
            member: read.claims.sub,
            user: read.claims.usr,
            session: read.claims.sid,
            expires_at: DateTime::from_timestamp(read.claims.exp, 0).ok_or_else(invalid)?,
        };
        Ok((named, claims))
    }
}

fn invalid() -> Error {
    Error::unauthenticated("INVALID", "This access token is not valid. Sign in again.")
}

fn expired() -> Error {
    Error::unauthenticated("EXPIRED", "This access token has expired. Ask for a new one with sessionRefresh.")
}

#[cfg(test)]
mod tests;
