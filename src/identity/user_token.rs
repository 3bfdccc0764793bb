//! One-time tokens. Most travel by mail: who has one can read the mailbox it was sent to. Invariant: only the mail, or whoever
//! was answered it, has the token, the database its SHA-256; it works once, for its purpose, until its end.

use crate::{
    app::App,
    error::{Error, Result},
    platform::{database::Transaction, tokens::Opaque},
    schema::user_tokens,
};
use chrono::{TimeDelta, Utc};
use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use uuid::Uuid;

const TOKEN: Opaque = Opaque("stoa_ut_");
/// Tokens of one purpose that a person may have at once; the oldest goes for a new one.
const MOST: i64 = 5;

/// What an intruder may have asked for, and must not use once the person has thrown them out.
pub const OF_INTRUDERS: [Purpose; 3] = [Purpose::ChangeEmail, Purpose::ResetPassword, Purpose::SignIn];

/// What a token is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Shows that the address of the account is the person's.
    VerifyEmail,
    /// Shows that an address is the person's, which then becomes that of the account.
    ChangeEmail,
    /// Lets a new password be chosen.
    ResetPassword,
    /// Shows that the right password was given, and only a code is missing. Never mailed.
    SignIn,
}

impl Purpose {
    /// As stored.
    fn word(self) -> &'static str {
        match self {
            Purpose::VerifyEmail => "verify_email",
            Purpose::ChangeEmail => "change_email",
            Purpose::ResetPassword => "reset_password",
            Purpose::SignIn => "sign_in",
        }
    }

    /// How long a token is good.
    pub fn lifetime(self) -> TimeDelta {
        match self {
            Purpose::VerifyEmail => TimeDelta::days(7),
            Purpose::ChangeEmail => TimeDelta::days(1),
            Purpose::ResetPassword => TimeDelta::hours(1),
            Purpose::SignIn => TimeDelta::minutes(5),
        }
    }
}

/// Whose token it is, and the address that it was sent to, or that they had then.
#[derive(Queryable, Clone, Debug, PartialEq, Eq)]
pub struct Bearer {
    pub user: Uuid,
    pub email: String,
}

/// Makes a token that will be sent to `email`, their address or a new one; stored in the caller's transaction.
pub async fn issue(tx: &mut Transaction, purpose: Purpose, user: Uuid, email: &str) -> Result<String> {
    let (token, hash) = TOKEN.issue()?;
    let now = Utc::now();
    let surplus = user_tokens::table
        .filter(user_tokens::user_id.eq(user).and(user_tokens::purpose.eq(purpose.word())))
        .order(user_tokens::created_at.desc())
        .offset(MOST - 1)
        .select(user_tokens::hash);
    let surplus: Vec<Vec<u8>> = surplus.load(&mut **tx).await?;
    diesel::delete(user_tokens::table.filter(user_tokens::hash.eq_any(surplus))).execute(&mut **tx).await?;
    diesel::insert_into(user_tokens::table)
        .values((
            user_tokens::hash.eq(hash),
            user_tokens::user_id.eq(user),
            user_tokens::purpose.eq(purpose.word()),
            user_tokens::email.eq(email),
            user_tokens::created_at.eq(now),
            user_tokens::expires_at.eq(now + purpose.lifetime()),
        ))
        .execute(&mut **tx)
        .await?;
    Ok(token)
}

/// Whose token it is, without using it.
pub async fn look(conn: &mut AsyncPgConnection, purpose: Purpose, token: &str) -> Result<Option<Bearer>> {
    let Some(hash) = TOKEN.hash(token) else { return Ok(None) };
    let good = user_tokens::table.filter(user_tokens::hash.eq(hash)).filter(user_tokens::expires_at.gt(Utc::now()));
    let good = good.filter(user_tokens::purpose.eq(purpose.word())).select((user_tokens::user_id, user_tokens::email));
    good.first(conn).await.optional().map_err(Error::from)
}

/// Uses a token up, in the transaction of what it allows. Of many uses at once one gets it.
pub async fn redeem(tx: &mut Transaction, purpose: Purpose, token: &str) -> Result<Option<Bearer>> {
    let Some(hash) = TOKEN.hash(token) else { return Ok(None) };
    let spent = diesel::delete(user_tokens::table.filter(user_tokens::hash.eq(hash)))
        .filter(user_tokens::purpose.eq(purpose.word()).and(user_tokens::expires_at.gt(Utc::now())))
        .returning((user_tokens::user_id, user_tokens::email));
    spent.get_result(&mut **tx).await.optional().map_err(Error::from)
}

/// Makes all tokens of a person worthless: what they were made for has come another way.
pub async fn void(tx: &mut Transaction, purposes: &[Purpose], user: Uuid) -> Result<()> {
    let words = purposes.iter().map(|purpose| purpose.word());
    diesel::delete(user_tokens::table.filter(user_tokens::user_id.eq(user)))
        .filter(user_tokens::purpose.eq_any(words))
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Removes what has expired; for the hourly upkeep.
pub async fn purge(app: &App) -> Result<()> {
    let mut conn = app.database.of_nobody().await?;
    diesel::delete(user_tokens::table.filter(user_tokens::expires_at.lt(Utc::now()))).execute(&mut *conn).await?;
    Ok(())
}

/// Where whoever has read the mail goes on.
pub fn link(app: &App, purpose: Purpose, token: &str) -> String {
    let page = match purpose {
        Purpose::VerifyEmail | Purpose::ChangeEmail => "verify",
        Purpose::ResetPassword => "password",
        Purpose::SignIn => "sign-in",
    };
    format!("{}/{page}?token={token}", app.config.base_url())
}
