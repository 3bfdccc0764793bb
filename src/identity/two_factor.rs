//! Two-factor sign-in, switched on and off by the person. Invariant: it is on only when an authenticator has shown that it
//! has the secret, and whoever finds a device signed in neither switches it nor gets codes; the person is told by mail.

use super::{
    access,
    audit::{self, Note},
    mails::TwoFactorChanged,
    second_factor::{self, recovery_codes, seal, spend, step_of},
    sign_in::{attempt, count_failure},
    step_up::{demand_recent_proof, person},
    totp,
};
use crate::{
    error::Result,
    kit::{
        scope::{Ask, Scope},
        user_error::{UserError, UserErrorCode, UserErrors},
    },
    platform::database::Transaction,
    schema::users,
};
use async_graphql::{Context, InputObject, Object, SimpleObject};
use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;

/// Changes that a person may try at once, and a minute.
const CHANGES: (u32, u32) = (20, 10);

/// What came of `twoFactorBegin`. Null beside user errors.
#[derive(SimpleObject)]
pub struct TwoFactorBeginPayload {
    /// What an authenticator needs, to be typed: base32 without padding. Shown now and never again.
    secret: Option<String>,
    /// The same as a URI (`otpauth://totp/…`), to be opened on a phone.
    uri: Option<String>,
    /// The URI as a QR code to be scanned: an `svg` element, black on white with its margin.
    qr_svg: Option<String>,
    /// Why there is no secret; empty on success.
    user_errors: Vec<UserError>,
    /// The whole graph, to read on from here.
    query: crate::graphql::Query,
}

/// That the authenticator has the secret.
#[derive(InputObject)]
pub struct TwoFactorConfirmInput {
    /// The six digits that it shows now. Spaces do not count.
    code: String,
}

/// What came of `twoFactorConfirm` and of `twoFactorRecoveryCodesRenew`.
#[derive(SimpleObject)]
pub struct RecoveryCodesPayload {
    /// Ten codes, each of which signs in once instead of the authenticator's. Shown now and never again: to be kept in a
    /// safe place. Null when there are user errors.
    recovery_codes: Option<Vec<String>>,
    /// What is wrong with the input; empty on success.
    user_errors: Vec<UserError>,
    /// The whole graph, to read on from here.
    query: crate::graphql::Query,
}

/// Who switches it off.
#[derive(InputObject)]
pub struct TwoFactorDisableInput {
    /// The six digits that the authenticator shows now, or a recovery code.
    code: String,
}

/// What came of `twoFactorDisable`.
#[derive(SimpleObject)]
pub struct TwoFactorDisablePayload {
    /// What is wrong with the input; empty on success.
    user_errors: Vec<UserError>,
    /// The whole graph, to read on from here.
    query: crate::graphql::Query,
}

#[derive(Default)]
pub struct TwoFactorMutation;

#[Object]
impl TwoFactorMutation {
    /// Makes a secret for the viewer's authenticator. Nothing changes until `twoFactorConfirm`; beginning again makes
    /// another secret and the one before worthless. STATE_INVALID when two-factor sign-in is on already.
    ///
    /// Errors: UNAUTHENTICATED; FORBIDDEN with the reason REAUTHENTICATION_REQUIRED when the person last proved more than
    /// five minutes ago who they are; RATE_LIMITED.
    async fn two_factor_begin(&self, ctx: &Context<'_>) -> Option<TwoFactorBeginPayload> {
        ctx.settle(
            Box::pin(async {
                let (made, user_errors) = told(begin(ctx.scope()?).await?);
                let (secret, uri, qr_svg) = match made {
                    Some(made) => (Some(made.secret), Some(made.uri), Some(made.qr)),
                    None => (None, None, None),
                };
                Ok(TwoFactorBeginPayload { secret, uri, qr_svg, user_errors, query: Default::default() })
            })
            .await,
        )
    }

    /// Switches two-factor sign-in on, with a code of the authenticator that has the secret of `twoFactorBegin`: from then
    /// on `login` answers a challenge, and `loginComplete` takes a code. The person is told by mail; their sessions go on.
    /// A wrong code answers INVALID for `code`; STATE_INVALID when it is on already or was not begun.
    ///
    /// Errors: UNAUTHENTICATED; FORBIDDEN with the reason REAUTHENTICATION_REQUIRED when the person last proved more than
    /// five minutes ago who they are; RATE_LIMITED.
    async fn two_factor_confirm(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "That the authenticator has the secret.")] input: TwoFactorConfirmInput,
    ) -> Option<RecoveryCodesPayload> {
        ctx.settle(
            Box::pin(async {
                let (recovery_codes, user_errors) = told(confirm(ctx.scope()?, &input.code).await?);
                Ok(RecoveryCodesPayload { recovery_codes, user_errors, query: Default::default() })
            })
            .await,
        )
    }

    /// Switches two-factor sign-in off; what was left of the recovery codes is worthless. The person is told by mail. A
    /// wrong code answers INVALID for `code` and counts as a failed sign-in; STATE_INVALID when it is off already.
    ///
    /// Errors: UNAUTHENTICATED; FORBIDDEN with the reason REAUTHENTICATION_REQUIRED when the person last proved more than
    /// five minutes ago who they are; RATE_LIMITED after too many wrong codes.
    async fn two_factor_disable(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Who switches it off.")] input: TwoFactorDisableInput,
    ) -> Option<TwoFactorDisablePayload> {
        ctx.settle(
            Box::pin(async {
                let user_errors = disable(ctx.scope()?, &input.code).await?.into();
                Ok(TwoFactorDisablePayload { user_errors, query: Default::default() })
            })
            .await,
        )
    }

    /// Answers ten new recovery codes; those before are worthless. STATE_INVALID when two-factor sign-in is off.
    ///
    /// Errors: UNAUTHENTICATED; FORBIDDEN with the reason REAUTHENTICATION_REQUIRED when the person last proved more than
    /// five minutes ago who they are; RATE_LIMITED.
    async fn two_factor_recovery_codes_renew(&self, ctx: &Context<'_>) -> Option<RecoveryCodesPayload> {
        ctx.settle(
            Box::pin(async {
                let (recovery_codes, user_errors) = told(renew(ctx.scope()?).await?);
                Ok(RecoveryCodesPayload { recovery_codes, user_errors, query: Default::default() })
            })
            .await,
        )
    }
}

fn told<T>(result: Result<T, UserErrors>) -> (Option<T>, Vec<UserError>) {
    match result {
        Ok(value) => (Some(value), Vec::new()),
        Err(errors) => (None, errors.into()),
    }
}

fn one(field: &str, code: UserErrorCode, message: &'static str) -> UserErrors {
    let mut errors = UserErrors::new();
    errors.add(field, code, message);
    errors
}

fn wrong() -> UserErrors {
    one("code", UserErrorCode::Invalid, second_factor::WRONG)
}

fn is_on() -> UserErrors {
    one("", UserErrorCode::StateInvalid, "Two-factor sign-in is on already.")
}

fn is_off() -> UserErrors {
    one("", UserErrorCode::StateInvalid, "Two-factor sign-in is off.")
}

async fn allow(scope: &Scope) -> Result<()> {
    demand_recent_proof(scope).await?;
    scope.app.throttle.take("two-factor sign-in", &scope.actor.user.to_string(), CHANGES.0, CHANGES.1).await
}

/// What of the person is changed.
type Held = (String, String, Option<Vec<u8>>, Option<DateTime<Utc>>);

/// The person, whose row is held until the end of the transaction: whatever ends all their sessions comes before, and then
/// this one does not stand, or after.
async fn hold(scope: &Scope) -> Result<(Transaction, Held)> {
    let actor = &scope.actor;
    let mut tx = scope.reader().await?.begin().await?;
    let held = (users::email, users::full_name, users::totp_secret, users::totp_confirmed_at);
    let held = users::table.find(actor.user).select(held).for_no_key_update();
    let held = held.first(&mut *tx).await?;
    access::load(&mut tx, actor.organization, actor.session()?).await?;
    Ok((tx, held))
}

struct Begun {
    secret: String,
    uri: String,
    qr: String,
}

async fn begin(scope: &Scope) -> Result<Result<Begun, UserErrors>> {
    let (app, user) = (&scope.app, scope.actor.user);
    allow(scope).await?;
    let (mut tx, (email, _, _, confirmed_at)) = hold(scope).await?;
    if confirmed_at.is_some() {
        tx.rollback().await?;
        return Ok(Err(is_on()));
    }
    let secret = totp::secret()?;
    let uri = totp::uri(&app.config.identity.issuer, &email, &secret);
    let qr = totp::qr(&uri)?;
    diesel::update(users::table.find(user))
        .set((users::totp_secret.eq(seal(app, user, &secret)?), users::updated_at.eq(Utc::now())))
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok(Ok(Begun { secret: totp::base32(&secret), uri, qr }))
}

async fn confirm(scope: &Scope, code: &str) -> Result<Result<Vec<String>, UserErrors>> {
    let (app, user) = (&scope.app, scope.actor.user);
    allow(scope).await?;
    let (mut tx, (email, name, secret, confirmed_at)) = hold(scope).await?;
    let step = match secret {
        _ if confirmed_at.is_some() => Err(is_on()),
        None => Err(one("", UserErrorCode::StateInvalid, "Begin with twoFactorBegin, which makes the secret.")),
        Some(sealed) => step_of(app, user, &sealed, code).ok_or_else(wrong),
    };
    let step = match step {
        Ok(step) => step,
        Err(errors) => {
            tx.rollback().await?;
            return Ok(Err(errors));
        }
    };
    let (codes, hashes) = recovery_codes(user)?;
    let now = Utc::now();
    diesel::update(users::table.find(user))
        .set((
            users::totp_confirmed_at.eq(now),
            users::totp_last_step.eq(step),
            users::recovery_hashes.eq(hashes),
            users::updated_at.eq(now),
        ))
        .execute(&mut *tx)
        .await?;
    app.mail.enqueue(&mut tx, None, &email, &TwoFactorChanged { name, enabled: true }).await?;
    audit::note(&mut tx, Note::own(user, &scope.request, "two_factor_enabled")).await?;
    tx.commit().await?;
    Ok(Ok(codes))
}

async fn disable(scope: &Scope, code: &str) -> Result<UserErrors> {
    let (app, user) = (&scope.app, scope.actor.user);
    demand_recent_proof(scope).await?;
    let person = person(scope).await?;
    if !person.account.two_factor() {
        return Ok(is_off());
    }
    let attempt = attempt(app, &person.email).await?;
    let (mut tx, (email, name, ..)) = hold(scope).await?;
    if !spend(app, &mut tx, user, code, false).await? {
        tx.rollback().await?;
        count_failure(app, &scope.request, &person.email, Some(user)).await?;
        attempt.failed();
        return Ok(wrong());
    }
    second_factor::forget(&mut tx, user).await?;
    app.mail.enqueue(&mut tx, None, &email, &TwoFactorChanged { name, enabled: false }).await?;
    audit::note(&mut tx, Note::own(user, &scope.request, "two_factor_disabled")).await?;
    tx.commit().await?;
    attempt.succeeded();
    Ok(UserErrors::new())
}

async fn renew(scope: &Scope) -> Result<Result<Vec<String>, UserErrors>> {
    allow(scope).await?;
    let (mut tx, (.., confirmed_at)) = hold(scope).await?;
    if confirmed_at.is_none() {
        tx.rollback().await?;
        return Ok(Err(is_off()));
    }
    let (codes, hashes) = recovery_codes(scope.actor.user)?;
    diesel::update(users::table.find(scope.actor.user))
        .set((users::recovery_hashes.eq(hashes), users::updated_at.eq(Utc::now())))
        .execute(&mut *tx)
        .await?;
    audit::note(&mut tx, Note::own(scope.actor.user, &scope.request, "recovery_codes_renewed")).await?;
    tx.commit().await?;
    Ok(Ok(codes))
}
