//! Signing in, staying in, signing out. Invariant: who does not know the password learns nothing, in words or in
//! time: not whether an account exists, is locked or disabled, nor which organizations it belongs to.

use super::{
    access,
    audit::{self, Note},
    input,
    mails::AccountLocked,
    session::{self, Entrant, SessionTokens},
    sign_in_log::{self, SignInOutcome},
};
use crate::{
    app::App,
    error::{Error, Result},
    kit::{
        scope::{Ask, RequestInfo, Scope},
        user_error::{UserError, UserErrorCode, UserErrors},
    },
    platform::throttle::Attempt,
    schema::{memberships, organizations, users},
};
use async_graphql::{Context, InputObject, Object, SimpleObject};
use chrono::{DateTime, TimeDelta, Utc};
use diesel::{dsl::case_when, prelude::*};
use diesel_async::RunQueryDsl;
use std::{net::IpAddr, time::Duration};
use tokio::time::Instant;
use uuid::Uuid;

/// A refused sign-in takes at least this long, so that no step on the way shows in its time.
const REFUSAL: Duration = Duration::from_millis(300);
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
    /// What is wrong with the input; empty on success.
    user_errors: Vec<UserError>,
    /// The whole graph, to read on from here with what the request itself was sent with: not yet with the new access token.
    query: crate::graphql::Query,
}

/// What a session goes on with.
#[derive(InputObject)]
pub struct SessionRefreshInput {
    /// The one that came with the latest `session`.
    refresh_token: String,
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
    /// `organization`, once the password was right.
    ///
    /// Errors: RATE_LIMITED (with `retryAfter` in seconds) after too many attempts from one address or for one
    /// account; ORGANIZATION_SUSPENDED (`reason` SUSPENDED, or DELETED until it is restored).
    async fn login(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Who signs in.")] input: LoginInput,
    ) -> Option<LoginPayload> {
        ctx.settle(
            async {
                let caller = ctx.caller()?;
                let (session, user_errors) = match login(caller.app(), caller.request(), input).await? {
                    Ok(session) => (Some(session), Vec::new()),
                    Err(errors) => (None, errors.into()),
                };
                Ok(LoginPayload { session, user_errors, query: Default::default() })
            }
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
            async {
                let caller = ctx.caller()?;
                let app = caller.app();
                allow_refresh(app, caller.request())?;
                let session = session::refresh(app, caller.request(), &input.refresh_token).await?;
                let mut errors = UserErrors::new();
                if session.is_none() {
                    let message = "This refresh token is not valid any more. Sign in again.";
                    errors.add("refreshToken", UserErrorCode::Invalid, message);
                }
                Ok(SessionRefreshPayload { session, user_errors: errors.into(), query: Default::default() })
            }
            .await,
        )
    }

    /// Ends this session: its access and refresh tokens are good for nothing any more, and its open connections are
    /// closed within a second. Other sessions of the member go on.
    ///
    /// Errors: UNAUTHENTICATED.
    async fn logout(&self, ctx: &Context<'_>) -> Option<LogoutPayload> {
        ctx.settle(
            async {
                logout(ctx.scope()?).await?;
                Ok(LogoutPayload { user_errors: Vec::new(), query: Default::default() })
            }
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
}

/// An organization that somebody may sign in to.
#[derive(Queryable)]
pub(super) struct Door {
    pub organization: Uuid,
    pub member: Uuid,
    slug: String,
    suspended_at: Option<DateTime<Utc>>,
    deleted_at: Option<DateTime<Utc>>,
}

impl Door {
    /// Why nobody gets in, if so.
    pub fn closed(&self) -> Option<Error> {
        access::closed(self.suspended_at, self.deleted_at)
    }
}

async fn login(app: &App, request: &RequestInfo, input: LoginInput) -> Result<Result<SessionTokens, UserErrors>> {
    let started = Instant::now();
    allow_address(app, request)?;
    let address = input::email_address(&input.email);
    let attempt = attempt(app, address.as_deref().unwrap_or(&input.email))?;
    let account = match &address {
        Some(address) => find(app, address).await?,
        None => None,
    };
    let hash = account.as_ref().and_then(|account| account.password_hash.clone());
    let right = app.passwords.verify(input.password.clone(), hash.clone()).await?;
    let now = Utc::now();
    let open = |account: &Account| account.disabled_at.is_none() && account.locked_until.is_none_or(|end| end <= now);
    let account = match account {
        Some(account) if right && open(&account) => account,
        // The same statement for an unknown account, which changes no row.
        other => {
            let user = other.map(|account| account.id);
            count_failure(app, request, address.as_deref().unwrap_or_default(), user).await?;
            attempt.failed();
            tokio::time::sleep_until(started + REFUSAL).await;
            return Ok(Err(wrong()));
        }
    };
    attempt.succeeded();

    let door = match choose(doors(app, account.id).await?, input.organization.as_deref()) {
        Ok(door) => match door.closed() {
            Some(closed) => return Err(closed),
            None => door,
        },
        Err(errors) => return Ok(Err(errors)),
    };
    let renewed = match &hash {
        Some(hash) if app.passwords.is_outdated(hash) => app.passwords.hash(input.password).await.ok(),
        _ => None,
    };
    let mut tx = app.database.of(door.organization).await?.begin().await?;
    // Holds the account until the commit: a password that changes at this moment either ends this session as well,
    // or is already another one.
    let entered = diesel::update(users::table.find(account.id))
        .filter(users::password_hash.is_not_distinct_from(&hash).and(users::disabled_at.is_null()))
        .set((
            users::last_login_at.eq(now),
            users::failed_logins.eq(0),
            users::locked_until.eq(None::<DateTime<Utc>>),
            users::password_hash.eq(renewed.as_ref().or(hash.as_ref())),
        ))
        .execute(&mut *tx)
        .await?;
    if entered == 0 {
        tx.rollback().await?;
        return Ok(Err(wrong()));
    }
    let who = Entrant { organization: door.organization, member: door.member, user: account.id };
    let session = session::open(app, &mut tx, who, now, request).await?;
    sign_in_log::keep(
        app,
        &mut tx,
        request,
        address.as_deref().unwrap_or_default(),
        Some(account.id),
        SignInOutcome::SignedIn,
    )
    .await?;
    audit::note(&mut tx, Note::own(account.id, request, "signed_in").within(door.organization)).await?;
    tx.commit().await?;
    Ok(Ok(session))
}

async fn logout(scope: &Scope) -> Result<()> {
    let mut tx = scope.reader().await?.begin().await?;
    session::revoke(&mut tx, scope.actor.organization, &[scope.actor.session], "signed out").await?;
    let signed_out = Note::own(scope.actor.user, &scope.request, "signed_out").within(scope.actor.organization);
    audit::note(&mut tx, signed_out).await?;
    tx.commit().await?;
    scope.app.standings.forget(scope.actor.session);
    Ok(())
}

/// Lets so many through that want a password hashed, from each address; fields count, not requests.
pub(super) fn allow_address(app: &App, request: &RequestInfo) -> Result<()> {
    let rate = app.config.identity.sign_ins_per_minute;
    app.throttle.take("sign-in", &address_key(request.address), rate, rate)
}

/// Lets so many sessions be renewed or opened without a password, from each address.
pub(super) fn allow_refresh(app: &App, request: &RequestInfo) -> Result<()> {
    let rate = app.config.identity.sign_ins_per_minute.saturating_mul(REFRESHES_PER_SIGN_IN);
    app.throttle.take("session refresh", &address_key(request.address), rate, rate)
}

/// Lets so many try the password of one account, whether there is such an account or not.
pub(super) fn attempt(app: &App, email: &str) -> Result<Attempt> {
    let settings = &app.config.identity;
    app.throttle.attempt(PASSWORD_ATTEMPTS, email, settings.max_failures, Duration::from_secs(settings.lock_seconds))
}

/// An IPv6 subscriber has a network of 2⁶⁴ addresses or more: they count as one.
fn address_key(address: Option<IpAddr>) -> String {
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

pub(super) async fn doors(app: &App, user: Uuid) -> Result<Vec<Door>> {
    let mut connection = app.database.of_user(user).await?;
    memberships::table
        .inner_join(organizations::table)
        .filter(memberships::user_id.eq(user).and(memberships::status.eq("active")))
        .order(organizations::slug)
        .select((
            organizations::id,
            memberships::id,
            organizations::slug,
            organizations::suspended_at,
            organizations::deleted_at,
        ))
        .load(&mut *connection)
        .await
        .map_err(Error::from)
}

pub(super) fn choose(mut doors: Vec<Door>, named: Option<&str>) -> Result<Door, UserErrors> {
    let mut errors = UserErrors::new();
    match named {
        Some(named) => match doors.into_iter().find(|door| door.slug.eq_ignore_ascii_case(named.trim())) {
            Some(door) => return Ok(door),
            None => {
                let message = "You are not a member of an organization with this short name.";
                errors.add("organization", UserErrorCode::NotFound, message);
            }
        },
        None => match doors.pop() {
            Some(door) if doors.is_empty() => return Ok(door),
            Some(last) => {
                let slugs: Vec<&str> = doors.iter().chain([&last]).map(|door| door.slug.as_str()).take(20).collect();
                let message = format!("You belong to several organizations. Name one of them: {}.", slugs.join(", "));
                errors.add("organization", UserErrorCode::Required, message);
            }
            None => {
                let message = "You are not an active member of any organization. Ask to be invited.";
                errors.add("", UserErrorCode::StateInvalid, message);
            }
        },
    }
    Err(errors)
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

    #[test]
    fn the_door_is_named_only_when_there_are_several() {
        let door = |slug: &str| Door {
            organization: Uuid::new_v4(),
            member: Uuid::new_v4(),
            slug: slug.into(),
            suspended_at: None,
            deleted_at: None,
        };
        let slug = |doors, named| choose(doors, named).map(|door| door.slug).map_err(Vec::<UserError>::from);
        assert_eq!(slug(vec![door("acme")], None).unwrap(), "acme");
        assert_eq!(slug(vec![door("acme"), door("other")], Some(" Other ")).unwrap(), "other");
        let errors = slug(vec![door("acme"), door("other")], None).unwrap_err();
        assert_eq!(errors[0].code, UserErrorCode::Required);
        assert!(errors[0].message.ends_with("acme, other."), "{}", errors[0].message);
        assert_eq!(slug(vec![door("acme")], Some("other\0")).unwrap_err()[0].code, UserErrorCode::NotFound);
        assert_eq!(slug(vec![], None).unwrap_err()[0].code, UserErrorCode::StateInvalid);
    }
}
