//! Sessions: a sign-in on one device, and the family of refresh tokens that descend from it. Invariant: a refresh
//! token has one successor, which a lost answer or a second tab is given again for some seconds; a later use ends its
//! session, because one of the two was not its owner.

use super::{
    access,
    audit::{self, Note},
    device,
    mails::RefreshReused,
};
use crate::{
    app::App,
    error::{Code, Error, Result},
    kit::{cookies::Kept, scope::RequestInfo},
    platform::{
        database::Transaction,
        tokens::{Claims, RefreshToken},
    },
    schema::{memberships, organizations, refresh_tokens, sessions, users},
};
use async_graphql::SimpleObject;
use chrono::{DateTime, TimeDelta, Utc};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use uuid::Uuid;

/// How long a used token still answers its successor.
const GRACE: TimeDelta = TimeDelta::seconds(10);
/// Characters kept of a user agent.
const USER_AGENT: usize = 512;

/// What a client needs to go on: an access token for its requests and a refresh token for the next access token.
#[derive(SimpleObject, Clone)]
pub struct SessionTokens {
    /// For the header `Authorization: Bearer …`.
    pub access_token: String,
    /// For `sessionRefresh`, which answers the next one. Using one again answers the same next one within ten seconds;
    /// later it ends the session. Null when the request had `Stoa-Session: cookie`: then the browser keeps it in a cookie
    /// that no script can read.
    pub refresh_token: Option<String>,
    /// When the access token ends. Refresh shortly before.
    pub expires_at: crate::kit::scalars::DateTime,
    /// Of a device that was not known: keep it, and send it with later sign-ins as the header `Stoa-Device`. Whoever guesses
    /// the password elsewhere then cannot lock this device out. Null when the device is known, and when a cookie keeps it.
    pub device_token: Option<String>,
}

/// The member whose session it is.
#[derive(Clone, Copy)]
pub struct Entrant {
    pub organization: Uuid,
    pub member: Uuid,
    pub user: Uuid,
}

/// Opens a session for somebody who has just shown who they are, as `open` does, and remembers when and where from.
pub async fn enter(app: &App, tx: &mut Transaction, who: Entrant, request: &RequestInfo) -> Result<SessionTokens> {
    let now = Utc::now();
    let device_token = device::remember(app, tx, who, request, now).await?;
    diesel::update(users::table.find(who.user)).set(users::last_login_at.eq(now)).execute(&mut **tx).await?;
    let tokens = open(app, tx, who, now, request).await?;
    Ok(SessionTokens { device_token, ..tokens })
}

/// Opens a session in the caller's transaction, which holds the row of the user. Beyond `max_sessions` the member's
/// oldest ends. `proven_at`: when the person last proved who they are.
pub async fn open(
    app: &App,
    tx: &mut Transaction,
    who: Entrant,
    proven_at: DateTime<Utc>,
    request: &RequestInfo,
) -> Result<SessionTokens> {
    let now = Utc::now();
    let (session, expires_at) = (Uuid::now_v7(), end(app, now));
    // Of the row that the caller holds: no change of the password comes in between.
    let changes = users::table.find(who.user).select(users::password_changes);
    let changes: i32 = changes.first(&mut **tx).await?;
    diesel::insert_into(sessions::table)
        .values((
            sessions::organization_id.eq(who.organization),
            sessions::id.eq(session),
            sessions::member_id.eq(who.member),
            sessions::created_at.eq(now),
            sessions::last_used_at.eq(now),
            sessions::expires_at.eq(expires_at),
            sessions::password_changes.eq(changes),
            sessions::authenticated_at.eq(proven_at),
            sessions::address.eq(request.address.map(|address| address.to_string())),
            sessions::user_agent.eq(user_agent(request)),
        ))
        .execute(&mut **tx)
        .await?;
    let mut standing = of_member(tx, who.organization, who.member).await?;
    let surplus = standing.split_off(standing.len().min(app.config.identity.max_sessions.max(1) as usize));
    revoke(tx, who.organization, &surplus, "too many sessions").await?;
    let token = store_new(tx, who.organization, session, now, expires_at).await?;
    Ok(kept(app, request, tokens(app, who, &token, expires_at)?))
}

/// What is kept of the program that somebody signs in with.
pub(super) fn user_agent(request: &RequestInfo) -> Option<String> {
    Some(request.user_agent.as_deref()?.chars().take(USER_AGENT).collect())
}

/// Has a browser that asked for it keep the refresh token in a cookie, for as long as an unused session stands.
fn kept(app: &App, request: &RequestInfo, mut tokens: SessionTokens) -> SessionTokens {
    if let (Some(cookies), Some(token)) = (&request.cookies, &tokens.refresh_token) {
        let seconds = i64::try_from(app.config.identity.refresh_token_seconds).unwrap_or(i64::MAX);
        cookies.keep(Kept::Refresh, token, seconds);
        tokens.refresh_token = None;
    }
    tokens
}

/// Exchanges a refresh token for its successor; `None` when it is not, or no longer, good for anything.
/// ORGANIZATION_SUSPENDED when nobody gets in.
pub async fn refresh(app: &App, request: &RequestInfo, token: &str) -> Result<Option<SessionTokens>> {
    let Some(token) = RefreshToken::parse(token) else { return Ok(None) };
    let mut tx = app.database.of(token.organization).await?.begin().await?;
    let exchanged = exchange(app, &mut tx, &token).await;
    match exchanged {
        Ok(Exchange::Renewed(tokens)) => {
            tx.commit().await?;
            app.standings.forget(token.session);
            Ok(Some(kept(app, request, tokens)))
        }
        Ok(Exchange::UsedTwice) => {
            revoke(&mut tx, token.organization, &[token.session], "refresh token used twice").await?;
            tell_of_reuse(app, &mut tx, request, &token).await?;
            tx.commit().await?;
            app.standings.forget(token.session);
            tracing::warn!(session = %token.session, "a refresh token was used twice; its session has been revoked");
            Ok(None)
        }
        Ok(Exchange::Refused) => tx.rollback().await.map(|()| None),
        Err(refused @ Error::Yours(_)) => {
            tx.rollback().await?;
            if refused.code() == Code::Unauthenticated { Ok(None) } else { Err(refused) }
        }
        Err(error) => Err(error),
    }
}

/// Lets the member know, who may have had a token stolen, and the administrators.
async fn tell_of_reuse(app: &App, tx: &mut Transaction, request: &RequestInfo, token: &RefreshToken) -> Result<()> {
    let same_member =
        memberships::organization_id.eq(sessions::organization_id).and(memberships::id.eq(sessions::member_id));
    let (email, name, user, organization) = sessions::table
        .inner_join(memberships::table.on(same_member))
        .inner_join(organizations::table.on(organizations::id.eq(sessions::organization_id)))
        .filter(sessions::organization_id.eq(token.organization).and(sessions::id.eq(token.session)))
        .select((memberships::email, memberships::name, memberships::user_id, organizations::name))
        .first::<(String, String, Uuid, String)>(&mut **tx)
        .await?;
    app.mail.enqueue(tx, Some(token.organization), &email, &RefreshReused { name, organization }).await?;
    audit::note(tx, Note::stranger(user, request, "refresh_token_reused").within(token.organization)).await
}

enum Exchange {
    Renewed(SessionTokens),
    UsedTwice,
    Refused,
}

async fn exchange(app: &App, tx: &mut Transaction, token: &RefreshToken) -> Result<Exchange> {
    let now = Utc::now();
    let this = refresh_tokens::table
        .filter(refresh_tokens::organization_id.eq(token.organization).and(refresh_tokens::hash.eq(token.hash())))
        .filter(refresh_tokens::session_id.eq(token.session));
    // Of two uses at once the second waits here for the row and then finds it used.
    let used = diesel::update(this.clone())
        .filter(refresh_tokens::used_at.is_null().and(refresh_tokens::expires_at.gt(now)))
        .set(refresh_tokens::used_at.eq(now))
        .execute(&mut **tx)
        .await?;
    if used == 0 {
        return again(app, tx, token, now).await;
    }
    let standing = access::load(tx, token.organization, token.session).await?;
    let expires_at = end(app, now);
    let renewed = diesel::update(sessions::table.find((token.organization, token.session)))
        .filter(sessions::revoked_at.is_null())
        .set((sessions::last_used_at.eq(now), sessions::expires_at.eq(expires_at)))
        .execute(&mut **tx)
        .await?;
    if renewed == 0 {
        return Ok(Exchange::Refused);
    }
    // What has expired is refused for that; nobody needs to know any more whether it was used.
    let expired = refresh_tokens::session_id.eq(token.session).and(refresh_tokens::expires_at.le(now));
    diesel::delete(refresh_tokens::table)
        .filter(refresh_tokens::organization_id.eq(token.organization).and(expired))
        .execute(&mut **tx)
        .await?;
    // Nobody may ask for these again: with a token of long ago a copy of the table would tell no token of today.
    let past = refresh_tokens::successor.is_not_null().and(refresh_tokens::used_at.lt(now - GRACE));
    diesel::update(refresh_tokens::table)
        .filter(refresh_tokens::organization_id.eq(token.organization))
        .filter(refresh_tokens::session_id.eq(token.session).and(past))
        .set(refresh_tokens::successor.eq(None::<Vec<u8>>))
        .execute(&mut **tx)
        .await?;
    let who = Entrant { organization: token.organization, member: standing.member, user: standing.user };
    let next = store_new(tx, who.organization, token.session, now, expires_at).await?;
    diesel::update(this).set(refresh_tokens::successor.eq(token.seal(&next))).execute(&mut **tx).await?;
    tokens(app, who, &next, expires_at).map(Exchange::Renewed)
}

/// A token that was used, or never was: its successor again for some seconds, to whoever has the token.
async fn again(app: &App, tx: &mut Transaction, token: &RefreshToken, now: DateTime<Utc>) -> Result<Exchange> {
    let used: Option<(DateTime<Utc>, Option<Vec<u8>>)> = refresh_tokens::table
        .filter(refresh_tokens::organization_id.eq(token.organization).and(refresh_tokens::hash.eq(token.hash())))
        .filter(refresh_tokens::session_id.eq(token.session).and(refresh_tokens::used_at.is_not_null()))
        .select((refresh_tokens::used_at.assume_not_null(), refresh_tokens::successor))
        .first(&mut **tx)
        .await
        .optional()?;
    match used {
        Some((at, Some(sealed))) if at > now - GRACE => {
            let standing = access::load(tx, token.organization, token.session).await?;
            let Some(next) = token.open(&sealed) else { return Ok(Exchange::Refused) };
            let who = Entrant { organization: token.organization, member: standing.member, user: standing.user };
            tokens(app, who, &next, standing.expires_at).map(Exchange::Renewed)
        }
        Some(_) => Ok(Exchange::UsedTwice),
        None => Ok(Exchange::Refused),
    }
}

/// The member's sessions that stand, newest first.
pub async fn of_member(tx: &mut Transaction, organization: Uuid, member: Uuid) -> Result<Vec<Uuid>> {
    sessions::table
        .filter(sessions::organization_id.eq(organization).and(sessions::member_id.eq(member)))
        .filter(sessions::revoked_at.is_null().and(sessions::expires_at.gt(Utc::now())))
        .order((sessions::created_at.desc(), sessions::id.desc()))
        .select(sessions::id)
        .load(&mut **tx)
        .await
        .map_err(Error::from)
}

/// Ends sessions in the caller's transaction. After the commit the caller lets `App::standings` forget them.
pub async fn revoke(tx: &mut Transaction, organization: Uuid, which: &[Uuid], because: &'static str) -> Result<()> {
    if which.is_empty() {
        return Ok(());
    }
    diesel::update(sessions::table)
        .filter(sessions::organization_id.eq(organization).and(sessions::id.eq_any(which)))
        .filter(sessions::revoked_at.is_null())
        .set((sessions::revoked_at.eq(Utc::now()), sessions::revoked_because.eq(because)))
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Makes and stores a refresh token.
async fn store_new(
    tx: &mut Transaction,
    organization: Uuid,
    session: Uuid,
    now: DateTime<Utc>,
    ends: DateTime<Utc>,
) -> Result<RefreshToken> {
    let token = RefreshToken::new(organization, session)?;
    diesel::insert_into(refresh_tokens::table)
        .values((
            refresh_tokens::organization_id.eq(organization),
            refresh_tokens::hash.eq(token.hash()),
            refresh_tokens::session_id.eq(session),
            refresh_tokens::created_at.eq(now),
            refresh_tokens::expires_at.eq(ends),
        ))
        .execute(&mut **tx)
        .await?;
    Ok(token)
}

/// What a client is given: the refresh token and a new access token.
fn tokens(app: &App, who: Entrant, next: &RefreshToken, ends: DateTime<Utc>) -> Result<SessionTokens> {
    let Entrant { organization, member, user } = who;
    let claims = Claims { organization, member, user, session: next.session, expires_at: ends };
    let (access_token, expires_at) = app.tokens.sign(claims)?;
    Ok(SessionTokens {
        access_token,
        refresh_token: Some(next.reveal()),
        expires_at: crate::kit::scalars::DateTime(expires_at),
        device_token: None,
    })
}

/// When a session ends that is used now and then no more.
fn end(app: &App, now: DateTime<Utc>) -> DateTime<Utc> {
    let seconds = i64::try_from(app.config.identity.refresh_token_seconds).ok().and_then(TimeDelta::try_seconds);
    seconds.and_then(|seconds| now.checked_add_signed(seconds)).unwrap_or(now + TimeDelta::days(3650))
}
