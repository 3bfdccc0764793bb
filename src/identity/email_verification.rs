//! Showing that an address is one's own. Invariant: an address is believed only by a token that was mailed to it.

use super::{
    audit::{self, Note},
    email_change,
    mails::Welcome,
    sign_in::allow_refresh,
    user_token::{self, Bearer, Purpose},
};
use crate::{
    app::App,
    error::Result,
    kit::{
        scope::{Ask, RequestInfo, Scope},
        user_error::{UserError, UserErrorCode, UserErrors},
    },
    platform::database::Transaction,
    schema::users,
};
use async_graphql::{Context, InputObject, Object, SimpleObject};
use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use uuid::Uuid;

/// Mails that a person may have at once, and a minute.
const MAILS: (u32, u32) = (3, 1);

/// What came by mail.
#[derive(InputObject)]
pub struct EmailVerifyInput {
    /// The token at the end of the link. It works once.
    token: String,
}

/// What came of `emailVerify`.
#[derive(SimpleObject)]
pub struct EmailVerifyPayload {
    /// The address that is known to be the person's now; null when there are user errors.
    email: Option<String>,
    /// What is wrong with the input; empty on success.
    user_errors: Vec<UserError>,
    /// The whole graph, to read on from here.
    query: crate::graphql::Query,
}

/// What came of `emailVerificationResend`.
#[derive(SimpleObject)]
pub struct EmailVerificationResendPayload {
    /// Why nothing was sent; empty on success.
    user_errors: Vec<UserError>,
    /// The whole graph, to read on from here.
    query: crate::graphql::Query,
}

#[derive(Default)]
pub struct EmailVerificationMutation;

#[Object]
impl EmailVerificationMutation {
    /// Shows with the token from a mail that the address is the person's; one from `emailChange` makes it the address of
    /// the account. Needs no sign-in: the mail may be read on another device. A token that was used, has expired or never
    /// was answers INVALID for `token`, a new address that somebody else has registered meanwhile NOT_UNIQUE.
    ///
    /// Errors: RATE_LIMITED.
    async fn email_verify(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What came by mail.")] input: EmailVerifyInput,
    ) -> Option<EmailVerifyPayload> {
        ctx.settle(
            Box::pin(async {
                let caller = ctx.caller()?;
                let (email, user_errors) = match verify(caller.app(), caller.request(), &input.token).await? {
                    Ok(email) => (Some(email), Vec::new()),
                    Err(errors) => (None, errors.into()),
                };
                Ok(EmailVerifyPayload { email, user_errors, query: Default::default() })
            })
            .await,
        )
    }

    /// Mails the viewer another link to confirm the address with. Earlier links go on working until they expire. An
    /// address that is confirmed answers STATE_INVALID.
    ///
    /// Errors: UNAUTHENTICATED; RATE_LIMITED after some within a minute.
    async fn email_verification_resend(&self, ctx: &Context<'_>) -> Option<EmailVerificationResendPayload> {
        ctx.settle(
            Box::pin(async {
                let user_errors = resend(ctx.scope()?).await?.into();
                Ok(EmailVerificationResendPayload { user_errors, query: Default::default() })
            })
            .await,
        )
    }
}

/// Welcomes a person, in the caller's transaction, with a link that shows that the address is theirs.
pub async fn welcome(app: &App, tx: &mut Transaction, user: Uuid, email: &str, name: &str) -> Result<()> {
    let token = user_token::issue(tx, Purpose::VerifyEmail, user, email).await?;
    let link = user_token::link(app, Purpose::VerifyEmail, &token);
    app.mail.enqueue(tx, None, email, &Welcome { name: name.to_owned(), link }).await
}

async fn verify(app: &App, request: &RequestInfo, token: &str) -> Result<Result<String, UserErrors>> {
    allow_refresh(app, request).await?;
    let mut tx = app.database.of_nobody().await?.begin().await?;
    let (bearer, errors) = if let Some(bearer) = user_token::look(&mut tx, Purpose::VerifyEmail, token).await? {
        let errors = believe(&mut tx, request, &bearer, token).await?;
        (bearer, errors)
    } else if let Some(bearer) = user_token::look(&mut tx, Purpose::ChangeEmail, token).await? {
        let errors = email_change::complete(app, &mut tx, request, &bearer, token).await?;
        (bearer, errors)
    } else {
        tx.rollback().await?;
        return Ok(Err(worthless()));
    };
    if !errors.is_empty() {
        tx.rollback().await?;
        return Ok(Err(errors));
    }
    tx.commit().await?;
    app.standings.forget(bearer.user);
    Ok(Ok(bearer.email))
}

/// Notes that the address is the person's, in the caller's transaction, which is committed only without user errors.
async fn believe(tx: &mut Transaction, request: &RequestInfo, bearer: &Bearer, token: &str) -> Result<UserErrors> {
    let now = Utc::now();
    // The person's row first, as whoever else needs both: so two tokens of one person do not wait for each other.
    let believed = diesel::update(users::table.find(bearer.user))
        .filter(users::email.eq(&bearer.email).and(users::disabled_at.is_null()))
        .set((users::email_verified_at.eq(now), users::updated_at.eq(now)))
        .execute(&mut **tx)
        .await?;
    if believed == 0 || user_token::redeem(tx, Purpose::VerifyEmail, token).await?.is_none() {
        return Ok(worthless());
    }
    user_token::void(tx, &[Purpose::VerifyEmail], bearer.user).await?;
    audit::note(tx, Note::own(bearer.user, request, "email_verified")).await?;
    Ok(UserErrors::new())
}

async fn resend(scope: &Scope) -> Result<UserErrors> {
    let (app, user) = (&scope.app, scope.actor.user);
    scope.actor.session()?;
    let mut errors = UserErrors::new();
    app.throttle.take("verification mail", &user.to_string(), MAILS.0, MAILS.1).await?;
    let mut tx = scope.reader().await?.begin().await?;
    let person = users::table.find(user).select((users::email, users::full_name, users::email_verified_at));
    let (email, name, verified): (String, String, Option<DateTime<Utc>>) = person.first(&mut *tx).await?;
    if verified.is_some() {
        tx.rollback().await?;
        errors.add("", UserErrorCode::StateInvalid, "Your address is confirmed already.");
    } else {
        welcome(app, &mut tx, user, &email, &name).await?;
        tx.commit().await?;
    }
    Ok(errors)
}

/// The one answer to a token that is good for nothing.
pub(super) fn worthless() -> UserErrors {
    let mut errors = UserErrors::new();
    errors.add("token", UserErrorCode::Invalid, "This link was used before, or is too old. Ask for another one.");
    errors
}
