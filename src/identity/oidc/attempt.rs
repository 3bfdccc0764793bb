//! Sign-ins by a provider that were begun and not ended. Invariant: only whoever has begun one has its handle, from which
//! everything follows that binds the provider's answer to it; the database has the handle's SHA-256. It works once, for ten
//! minutes.

use crate::{
    app::App,
    error::{Error, Result},
    platform::{random::random, tokens::Opaque},
    schema::oidc_attempts,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, TimeDelta, Utc};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use uuid::Uuid;

const TOKEN: Opaque = Opaque("stoa_oh_");
const LIFETIME: TimeDelta = TimeDelta::minutes(10);

/// What whoever has begun keeps to themselves.
pub struct Handle([u8; 32]);

impl Handle {
    pub fn new() -> Result<Self> {
        Ok(Handle(random()?))
    }

    /// As somebody sends it; `None` when it cannot be one.
    pub fn parse(text: &str) -> Option<Self> {
        TOKEN.read(text).map(Handle)
    }

    pub fn reveal(&self) -> String {
        TOKEN.reveal(&self.0)
    }

    fn hash(&self) -> Vec<u8> {
        Sha256::digest(self.0).to_vec()
    }

    /// What comes back in the browser's address with the code.
    pub fn state(&self) -> String {
        self.derive(b"state")
    }

    /// What comes back in the token.
    pub fn nonce(&self) -> String {
        self.derive(b"nonce")
    }

    /// Of PKCE: 43 characters, as RFC 7636 wants.
    pub fn verifier(&self) -> String {
        self.derive(b"verifier")
    }

    /// None of them tells another one, nor the handle.
    fn derive(&self, what: &[u8]) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes keys of any length");
        mac.update(what);
        URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes())
    }

    /// Whether the provider sent the browser back for this one.
    pub fn is_of(&self, state: &str) -> bool {
        self.state().as_bytes().ct_eq(state.as_bytes()).into()
    }
}

/// An attempt that was begun.
#[derive(Queryable, Selectable)]
#[diesel(table_name = oidc_attempts)]
pub struct Begun {
    pub provider: String,
    pub redirect_uri: String,
    /// Who it was found to be.
    pub user_id: Option<Uuid>,
    code_hash: Option<Vec<u8>>,
    expires_at: DateTime<Utc>,
}

impl Begun {
    /// Whether it goes on with this code: not if somebody was found by another one.
    pub fn goes_on_with(&self, code: &str) -> bool {
        self.code_hash.as_ref().is_none_or(|hash| hash.ct_eq(&code_hash(code)).into())
    }
}

fn code_hash(code: &str) -> Vec<u8> {
    Sha256::digest(code).to_vec()
}

/// Begins one: until when it works.
pub async fn begin(app: &App, handle: &Handle, provider: &str, redirect_uri: &str) -> Result<DateTime<Utc>> {
    let now = Utc::now();
    let expires_at = now + LIFETIME;
    diesel::insert_into(oidc_attempts::table)
        .values((
            oidc_attempts::hash.eq(handle.hash()),
            oidc_attempts::provider.eq(provider),
            oidc_attempts::redirect_uri.eq(redirect_uri),
            oidc_attempts::created_at.eq(now),
            oidc_attempts::expires_at.eq(expires_at),
        ))
        .execute(&mut *app.database.of_nobody().await?)
        .await?;
    Ok(expires_at)
}

/// Uses it up, whatever comes of it. Of many at once one gets it.
pub async fn take(app: &App, handle: &Handle) -> Result<Option<Begun>> {
    diesel::delete(oidc_attempts::table.find(handle.hash()))
        .filter(oidc_attempts::expires_at.gt(Utc::now()))
        .returning(Begun::as_returning())
        .get_result(&mut *app.database.of_nobody().await?)
        .await
        .optional()
        .map_err(Error::from)
}

/// Gives it back to somebody who was found and has yet to name the organization: the code cannot be used again.
pub async fn keep(app: &App, handle: &Handle, begun: &Begun, user: Uuid, code: &str) -> Result<()> {
    diesel::insert_into(oidc_attempts::table)
        .values((
            oidc_attempts::hash.eq(handle.hash()),
            oidc_attempts::provider.eq(&begun.provider),
            oidc_attempts::redirect_uri.eq(&begun.redirect_uri),
            oidc_attempts::user_id.eq(user),
            oidc_attempts::code_hash.eq(code_hash(code)),
            oidc_attempts::expires_at.eq(begun.expires_at),
        ))
        .execute(&mut *app.database.of_nobody().await?)
        .await?;
    Ok(())
}

/// Removes what nobody came back for; for the hourly upkeep.
pub async fn purge(app: &App) -> Result<()> {
    let mut conn = app.database.of_nobody().await?;
    diesel::delete(oidc_attempts::table.filter(oidc_attempts::expires_at.lt(Utc::now()))).execute(&mut *conn).await?;
    Ok(())
}
