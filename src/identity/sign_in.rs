//! Signing in, staying in, signing out. Invariant: who does not know the password learns nothing, in words or in
//! time: not whether an account exists, is locked or disabled, nor which organizations it belongs to.

use super::{
    audit::{self, Note},
    device::Guard,
    door::{choose, doors},
    input,
    login_complete::{TwoFactorChallenge, challenge},
    mails::AccountLocked,
    session::{self, Entrant, SessionTokens},
    sign_in_log::{self, SignInOutcome},
};
use crate::{
    app::App,
    error::{Error, Result},
    kit::{
        cookies::Kept,
        scope::{Ask, RequestInfo, Scope},
        user_error::{UserError, UserErrorCode, UserErrors},
    },
    platform::{database::Transaction, throttle::Attempt},
    schema::users,
};
use async_graphql::{Context, InputObject, Object, SimpleObject};
use chrono::{DateTime, TimeDelta, Utc};
use diesel::{dsl::case_when, prelude::*};
use diesel_async::RunQueryDsl;
use std::{net::IpAddr, time::Duration};
use tokio::time::Instant;
use uuid::Uuid;

/// A refused sign-in takes at least this long, so that no step on the way shows in its time.
pub(super) const REFUSAL: Duration = Duration::from_millis(300);
/// What failed attempts to give the password of an account are counted as.
pub(super) const PASSWORD_ATTEMPTS: &str = "password";
/// Refreshing costs no password hash: so many times the sign-ins are allowed from one address.
const REFRESHES_PER_SIGN_IN: u32 = 10;

/// Who signs in.
#[derive(InputObject)]
pub struct LoginInput {
    /// In any case, as registered.
    email: String,
    /// As chosen; case counts.
    password: String,
    /// The short name (slug) of the organization to sign in to. Needed only by members of several.
    organization: Option<String>,
}

/// What came of `login`.
#[derive(SimpleObject)]
pub struct LoginPayload {
    /// Null when there are user errors.
    session: Option<SessionTokens>,
    /// What `loginComplete` takes with a code, beside the user error TWO_FACTOR_REQUIRED; null otherwise.
    two_factor: Option<TwoFactorChallenge>,
    /// What is wrong with the input; empty on success.
    user_errors: Vec<UserError>,
    /// The whole graph, to read on from here with what the request itself was sent with: not yet with the new access token.
    query: crate::graphql::Query,
}

/// What a session goes on with.
#[derive(InputObject)]
pub struct SessionRefreshInput {
    /// The one that came with the latest `session`; null: the one in the cookie, where the request has
    /// `Stoa-Session: cookie`.
    refresh_token: Option<String>,
}

/// What came of `sessionRefresh`.
#[derive(SimpleObject)]
pub struct SessionRefreshPayload {
    /// Null when there are user errors.
    session: Option<SessionTokens>,
    /// What is wrong with the input; empty on success.
    user_errors: Vec<UserError>,
    /// The whole graph, to read on from here with what the request itself was sent with: not yet with the new access token.
    query: crate::graphql::Query,
}

/// What came of `logout`.
#[derive(SimpleObject)]
pub struct LogoutPayload {
    /// Always empty: there is nothing to mend.
    user_errors: Vec<UserError>,
    /// The whole graph, for the rest of this request.
    query: crate::graphql::Query,
}

#[derive(Default)]
pub struct SignInMutation;

#[Object]
impl SignInMutation {
    /// Signs in with e-mail and password. A wrong password, an unknown address and a disabled account all answer
    /// INVALID with `field` null, and too many of either RATE_LIMITED. A member of several organizations that names none is answered REQUIRED for
    /// `organization`, once the password was right. A person with two-factor sign-in gets no session yet: the user error
    /// TWO_FACTOR_REQUIRED, and in `twoFactor` the challenge for `loginComplete`, which looks at the organization only then.
    ///
    /// Errors: RATE_LIMITED (with `retryAfter` in seconds) after too many attempts from one address or for one
    /// account; ORGANIZATION_SUSPENDED (`reason` SUSPENDED, or DELETED until it is restored).
    async fn login(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Who signs in.")] input: LoginInput,
    ) -> Option<LoginPayload> {
        ctx.settle(
            Box::pin(async {
                let caller = ctx.caller()?;
                let (session, two_factor, user_errors) = match login(caller.app(), caller.request(), input).await? {
                    Ok(session) => (Some(session), None, Vec::new()),
                    Err(Halt { user_errors, two_factor }) => (None, two_factor, user_errors.into()),
                };
                Ok(LoginPayload { session, two_factor, user_errors, query: Default::default() })
            })
            .await,
        )
    }

    /// Exchanges a refresh token for a new access token and the next refresh token. Using one again within ten seconds, as
    /// after a lost answer or in two tabs, answers the same next one; later it ends the session. One that is not good any
    /// more answers INVALID for `refreshToken`: sign in again.
    ///
    /// Errors: RATE_LIMITED, ORGANIZATION_SUSPENDED.
    async fn session_refresh(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The refresh token.")] input: SessionRefreshInput,
    ) -> Option<SessionRefreshPayload> {
        ctx.settle(
            Box::pin(async {
                let caller = ctx.caller()?;
                let app = caller.app();
                allow_refresh(app, caller.request()).await?;
                let cookies = caller.request().cookies.as_deref();
                let mut errors = UserErrors::new();
                let session = match input.refresh_token.as_deref().or_else(|| cookies?.refresh()) {
                    Some(token) => session::refresh(app, caller.request(), token).await?,
                    None => {
                        errors.add("refreshToken", UserErrorCode::Required, "There is no refresh token. Sign in.");
                        None
                    }
                };
                if session.is_none() && errors.is_empty() {
                    let message = "This refresh token is not valid any more. Sign in again.";
                    errors.add("refreshToken", UserErrorCode::Invalid, message);
                    forget_cookie(caller.request());
                }
                Ok(SessionRefreshPayload { session, user_errors: errors.into(), query: Default::default() })
            })
            .await,
        )
    }

    /// Ends this session: its access and refresh tokens are good for nothing any more, and its open connections are
    /// closed within a second. Other sessions of the member go on.
    ///
    /// Errors: UNAUTHENTICATED.
    async fn logout(&self, ctx: &Context<'_>) -> Option<LogoutPayload> {
        ctx.settle(
            Box::pin(async {
                logout(ctx.scope()?).await?;
                forget_cookie(ctx.caller()?.request());
                Ok(LogoutPayload { user_errors: Vec::new(), query: Default::default() })
            })
            .await,
        )
    }
}

/// What decides whether somebody may sign in.
#[derive(Queryable, Selectable)]
#[diesel(table_name = users)]
pub(super) struct Account {
    pub id: Uuid,
    pub password_hash: Option<String>,
    locked_until: Option<DateTime<Utc>>,
    disabled_at: Option<DateTime<Utc>>,
    totp_confirmed_at: Option<DateTime<Utc>>,
}

impl Account {
    /// Whether the password is not enough.
    pub fn two_factor(&self) -> bool {
        self.totp_confirmed_at.is_some()
    }
}

/// Why somebody has no session yet.
#[derive(Default)]
pub(super) struct Halt {
    pub user_errors: UserErrors,
    /// Where a code is all that is missing.
    pub two_factor: Option<TwoFactorChallenge>,
}

impl From<UserErrors> for Halt {
    fn from(user_errors: UserErrors) -> Self {
        Halt { user_errors, two_factor: None }
    }
}

async fn login(app: &App, request: &RequestInfo, input: LoginInput) -> Result<Result<SessionTokens, Halt>> {
    let started = Instant::now();
    let address = input::email_address(&input.email);
    let guard = Guard::of(app, request, address.as_deref()).await?;
    let attempt = guard.attempt(app, request, address.as_deref().unwrap_or(&input.email)).await?;
    let account = match &address {
        Some(address) => find(app, address).await?,
        None => None,
    };
    let hash = account.as_ref().and_then(|account| account.password_hash.clone());
    let right = guard.passwords(app).verify(input.password.clone(), hash.clone()).await?;
    let now = Utc::now();
    let locked = |account: &Account| !guard.is_known() && account.locked_until.is_some_and(|end| end > now);
    let open = |account: &Account| account.disabled_at.is_none() && !locked(account);
    let account = match account {
        Some(account) if right && open(&account) => account,
        // The same statement for an unknown account, which changes no row.
        other => {
            let user = other.map(|account| account.id);
            guard.count_failure(app, request, address.as_deref().unwrap_or_default(), user).await?;
            attempt.failed();
            tokio::time::sleep_until(started + REFUSAL).await;
            return Ok(Err(wrong().into()));
        }
    };
    let renewed = match &hash {
        Some(hash) if app.passwords.is_outdated(hash) => app.passwords.hash(input.password).await.ok(),
        _ => None,
    };
    let renewed = renewed.as_ref().or(hash.as_ref());
    if account.two_factor() {
        // Nothing is forgiven yet: whoever knows only the password wins no further tries of the code with it.
        drop(attempt);
        let halt = challenge(app, account.id, (&hash, renewed), input.organization.as_deref()).await?;
        return Ok(Err(halt.unwrap_or_else(|| wrong().into())));
    }
    attempt.succeeded();

    let door = match choose(doors(app, account.id).await?, input.organization.as_deref()) {
        Ok(door) => match door.closed() {
            Some(closed) => return Err(closed),
            None => door,
        },
        Err(errors) => return Ok(Err(errors.into())),
    };
    let mut tx = app.database.of(door.organization).await?.begin().await?;
    let who = Entrant { organization: door.organization, member: door.member, user: account.id };
    // Holds the account until the commit: a password that changes at this moment either ends this session as well,
    // or is already another one. So does two-factor sign-in that is switched on.
    let entered = diesel::update(users::table.find(account.id))
        .filter(users::password_hash.is_not_distinct_from(&hash).and(users::disabled_at.is_null()))
        .filter(users::totp_confirmed_at.is_null())
        .set((guard.forgiven(), users::password_hash.eq(renewed)))
        .execute(&mut *tx)
        .await?;
    if entered == 0 {
        tx.rollback().await?;
        return Ok(Err(wrong().into()));
    }
    let session = admit(app, &mut tx, who, request, address.as_deref().unwrap_or_default()).await?;
    tx.commit().await?;
    Ok(Ok(session))
}

/// Opens a session for somebody who has an account and has shown who they are, and keeps that they came. Call it last in
/// the transaction.
pub(super) async fn admit(
    app: &App,
    tx: &mut Transaction,
    who: Entrant,
    request: &RequestInfo,
    email: &str,
) -> Result<SessionTokens> {
    let session = session::enter(app, tx, who, request).await?;
    sign_in_log::keep(app, tx, request, email, Some(who.user), SignInOutcome::SignedIn).await?;
    audit::note(tx, Note::own(who.user, request, "signed_in").within(who.organization)).await?;
    Ok(session)
}

async fn logout(scope: &Scope) -> Result<()> {
    let session = scope.actor.session()?;
    let mut tx = scope.reader().await?.begin().await?;
    session::revoke(&mut tx, scope.actor.organization, &[session], "signed out").await?;
    let signed_out = Note::own(scope.actor.user, &scope.request, "signed_out").within(scope.actor.organization);
    audit::note(&mut tx, signed_out).await?;
    tx.commit().await?;
    scope.app.standings.forget(session);
    Ok(())
}

/// Whoever is signed out, or could not go on, has nothing left to go on with.
fn forget_cookie(request: &RequestInfo) {
    if let Some(cookies) = &request.cookies {
        cookies.keep(Kept::Refresh, "", 0);
    }
}

/// Lets so many through that want a password hashed, from each address; fields count, not requests.
pub(super) async fn allow_address(app: &App, request: &RequestInfo) -> Result<()> {
    let rate = app.config.identity.sign_ins_per_minute;
    app.throttle.take("sign-in", &address_key(request.address), rate, rate).await
}

/// Lets so many sessions be renewed or opened without a password, from each address.
pub(super) async fn allow_refresh(app: &App, request: &RequestInfo) -> Result<()> {
    let rate = app.config.identity.sign_ins_per_minute.saturating_mul(REFRESHES_PER_SIGN_IN);
    app.throttle.take("session refresh", &address_key(request.address), rate, rate).await
}

/// Lets so many try the password of one account, whether there is such an account or not.
pub(super) async fn attempt(app: &App, email: &str) -> Result<Attempt> {
    let settings = &app.config.identity;
    let lock = Duration::from_secs(settings.lock_seconds);
    app.throttle.attempt(PASSWORD_ATTEMPTS, email, settings.max_failures, lock).await
}

/// An IPv6 subscriber has a network of 2⁶⁴ addresses or more: they count as one.
pub(super) fn address_key(address: Option<IpAddr>) -> String {
    match address.map(|address| address.to_canonical()) {
        None => String::new(),
        Some(IpAddr::V4(address)) => address.to_string(),
        Some(IpAddr::V6(address)) => {
            let [a, b, c, d, ..] = address.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
        }
    }
}

async fn find(app: &App, address: &str) -> Result<Option<Account>> {
    let mut connection = app.database.of_nobody().await?;
    users::table
        .filter(users::email.eq(address))
        .select(Account::as_select())
        .first(&mut *connection)
        .await
        .optional()
        .map_err(Error::from)
}

/// Counts in the database as well, for restarts and other nodes, and keeps it in the logs. While locked nothing counts,
/// so that a lock ends. Its owner is told of a lock. `user`: whose account has this address, if there is one.
pub(super) async fn count_failure(app: &App, request: &RequestInfo, email: &str, user: Option<Uuid>) -> Result<()> {
    let now = Utc::now();
    let settings = &app.config.identity;
    let last = i32::try_from(settings.max_failures).unwrap_or(i32::MAX).saturating_sub(1);
    let lock = i64::try_from(settings.lock_seconds).ok().and_then(TimeDelta::try_seconds);
    let until = lock.and_then(|lock| now.checked_add_signed(lock));
    let mut tx = app.database.of_nobody().await?.begin().await?;
    let counted: Option<(String, String, Option<DateTime<Utc>>)> =
        diesel::update(users::table.find(user.unwrap_or_default()))
            .filter(users::locked_until.is_null().or(users::locked_until.le(now)))
            .set((
                users::locked_until
                    .eq(case_when(users::failed_logins.ge(last), until).otherwise(None::<DateTime<Utc>>)),
                users::failed_logins
                    .eq(case_when(users::failed_logins.lt(last), users::failed_logins + 1).otherwise(0)),
            ))
            .returning((users::email, users::full_name, users::locked_until))
            .get_result(&mut *tx)
            .await
            .optional()?;
    sign_in_log::keep(app, &mut tx, request, email, user, SignInOutcome::Refused).await?;
    let mut kind = "sign_in_refused";
    if let Some((email, name, Some(_))) = counted {
        kind = "account_locked";
        let minutes = settings.lock_seconds.div_ceil(60);
        app.mail.enqueue(&mut tx, None, &email, &AccountLocked { name, minutes }).await?;
    }
    if let Some(user) = user {
        audit::note(&mut tx, Note::stranger(user, request, kind)).await?;
    }
    tx.commit().await
}

/// The one answer to whoever does not know the password.
fn wrong() -> UserErrors {
    let mut errors = UserErrors::new();
    let message = "E-mail or password is wrong. After many failed attempts, wait before you try again.";
    errors.add("", UserErrorCode::Invalid, message);
    errors
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv6_network_counts_as_one_and_a_mapped_address_as_ipv4() {
        let key = |address: &str| address_key(Some(address.parse().unwrap()));
        assert_eq!(key("2001:db8:1:2:3:4:5:6"), key("2001:db8:1:2::1"));
        assert_ne!(key("2001:db8:1:2::1"), key("2001:db8:1:3::1"));
        assert_eq!(key("::ffff:192.0.2.1"), key("192.0.2.1"));
        assert_ne!(key("192.0.2.1"), key("192.0.2.2"));
    }
}
