//! A way back in for whoever forgot the password. Invariant: asking for it tells nobody whether an account exists, in
//! words or in time; using it needs the mailbox, works once, and ends all sessions of the person.

use super::{
    audit::{self, Note},
    device,
    email_verification::worthless,
    input,
    mails::{PasswordChanged, PasswordReset},
    register::new_password,
    sign_in::{PASSWORD_ATTEMPTS, allow_address},
    user_token::{self, Purpose},
};
use crate::{
    app::App,
    error::Result,
    kit::{
        scope::{Ask, RequestInfo},
        user_error::{UserError, UserErrors},
    },
    platform::jobs::{Failure, Job, Run},
    schema::users,
};
use async_graphql::{Context, InputObject, Object, SimpleObject};
use chrono::{DateTime, Utc};
use diesel::{dsl::case_when, prelude::*};
use diesel_async::RunQueryDsl;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use uuid::Uuid;

/// Mails to one address at once, and a minute; more are not sent.
const MAILS: (u32, u32) = (3, 1);

/// Who forgot the password.
#[derive(InputObject)]
pub struct PasswordForgotInput {
    /// The address that the person signs in with.
    email: String,
}

/// What came of `passwordForgot`.
#[derive(SimpleObject)]
pub struct PasswordForgotPayload {
    /// Only what is no address at all is told; empty does not say that there is an account.
    user_errors: Vec<UserError>,
    /// The whole graph, for the rest of this request.
    query: crate::graphql::Query,
}

/// A new password.
#[derive(InputObject)]
pub struct PasswordResetInput {
    /// The token at the end of the link. It works once.
    token: String,
    /// 10 to 128 characters, and not easy to guess.
    new_password: String,
}

/// What came of `passwordReset`.
#[derive(SimpleObject)]
pub struct PasswordResetPayload {
    /// What is wrong with the input; empty on success.
    user_errors: Vec<UserError>,
    /// The whole graph, for the rest of this request.
    query: crate::graphql::Query,
}

#[derive(Default)]
pub struct PasswordResetMutation;

#[Object]
impl PasswordResetMutation {
    /// Mails a link with which a new password can be chosen within the hour, if there is an account with this address.
    /// The answer is the same, and takes the same time, if there is none.
    ///
    /// Errors: RATE_LIMITED.
    async fn password_forgot(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Who forgot the password.")] input: PasswordForgotInput,
    ) -> Option<PasswordForgotPayload> {
        ctx.settle(
            Box::pin(async {
                let caller = ctx.caller()?;
                let user_errors = forgot(caller.app(), caller.request(), &input.email).await?.into();
                Ok(PasswordForgotPayload { user_errors, query: Default::default() })
            })
            .await,
        )
    }

    /// Gives the account another password, with the token from a mail, and ends all sessions of the person, in every
    /// organization. Sign in with it then; two-factor sign-in stays on and asks for its code. A token that was used, has
    /// expired or never was answers INVALID for `token`.
    ///
    /// Errors: RATE_LIMITED.
    async fn password_reset(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The new password.")] input: PasswordResetInput,
    ) -> Option<PasswordResetPayload> {
        ctx.settle(
            Box::pin(async {
                let caller = ctx.caller()?;
                let user_errors = reset(caller.app(), caller.request(), input).await?.into();
                Ok(PasswordResetPayload { user_errors, query: Default::default() })
            })
            .await,
        )
    }
}

/// Looks for the account and mails the link: beside the request, so that its time says nothing.
#[derive(Debug, Serialize, Deserialize)]
pub struct MailPasswordReset {
    email: String,
}

impl Job for MailPasswordReset {
    const KIND: &'static str = "mail_password_reset";
    /// Who waits for it has asked again by then.
    const ATTEMPTS: i32 = 4;
}

impl Run<Arc<App>> for MailPasswordReset {
    async fn run(self, app: &Arc<App>) -> Result<(), Failure> {
        let mut tx = app.database.of_nobody().await?.begin().await?;
        let account = users::table.filter(users::email.eq(&self.email).and(users::disabled_at.is_null()));
        let account =
            account.select((users::id, users::full_name)).first::<(Uuid, String)>(&mut *tx).await.optional()?;
        if let Some((user, name)) = account {
            let token = user_token::issue(&mut tx, Purpose::ResetPassword, user, &self.email).await?;
            let link = user_token::link(app, Purpose::ResetPassword, &token);
            let minutes = Purpose::ResetPassword.lifetime().num_minutes().unsigned_abs();
            app.mail.enqueue(&mut tx, None, &self.email, &PasswordReset { name, link, minutes }).await?;
        }
        Ok(tx.commit().await?)
    }
}

async fn forgot(app: &App, request: &RequestInfo, email: &str) -> Result<UserErrors> {
    let mut errors = UserErrors::new();
    allow_address(app, request).await?;
    let email = input::email(&mut errors, "email", email);
    // Who fills somebody's mailbox is not told either.
    if errors.is_empty() && app.throttle.take("password reset", &email, MAILS.0, MAILS.1).await.is_ok() {
        let mut tx = app.database.of_nobody().await?.begin().await?;
        app.jobs.enqueue(&mut tx, None, &MailPasswordReset { email }).await?;
        tx.commit().await?;
    }
    Ok(errors)
}

async fn reset(app: &App, request: &RequestInfo, input: PasswordResetInput) -> Result<UserErrors> {
    allow_address(app, request).await?;
    let mut connection = app.database.of_nobody().await?;
    let Some(bearer) = user_token::look(&mut connection, Purpose::ResetPassword, &input.token).await? else {
        return Ok(worthless());
    };
    let name: String = users::table.find(bearer.user).select(users::full_name).first(&mut *connection).await?;
    // Nobody holds a connection while waiting to be hashed.
    drop(connection);
    let mut errors = UserErrors::new();
    let about = vec![bearer.email.clone(), name.clone()];
    new_password(app, &mut errors, "newPassword", &input.new_password, about).await?;
    if !errors.is_empty() {
        return Ok(errors);
    }
    let hash = app.passwords.hash(input.new_password).await?;
    let mut tx = app.database.of_nobody().await?.begin().await?;
    let now = Utc::now();
    // Who reads the mailbox has one factor: failures count on, so that no further tries of the other are won with mails.
    let two_factor = users::totp_confirmed_at.is_not_null();
    // The person's row first, as whoever else needs both. Counting ends the sessions in every organization.
    let changed: Option<bool> = diesel::update(users::table.find(bearer.user))
        .filter(users::email.eq(&bearer.email).and(users::disabled_at.is_null()))
        .set((
            users::password_hash.eq(hash),
            users::password_changes.eq(users::password_changes + 1),
            users::failed_logins.eq(case_when(two_factor, users::failed_logins).otherwise(0)),
            users::locked_until.eq(case_when(two_factor, users::locked_until).otherwise(None::<DateTime<Utc>>)),
            users::updated_at.eq(now),
        ))
        .returning(two_factor)
        .get_result(&mut *tx)
        .await
        .optional()?;
    let redeemed = match changed {
        Some(_) => user_token::redeem(&mut tx, Purpose::ResetPassword, &input.token).await?,
        None => None,
    };
    let (Some(two_factor), Some(_)) = (changed, redeemed) else {
        tx.rollback().await?;
        return Ok(worthless());
    };
    // Whoever read this mail has shown that the address is theirs.
    diesel::update(users::table.find(bearer.user).filter(users::email_verified_at.is_null()))
        .set(users::email_verified_at.eq(now))
        .execute(&mut *tx)
        .await?;
    user_token::void(&mut tx, &user_token::OF_INTRUDERS, bearer.user).await?;
    device::forget_others(&mut tx, bearer.user, request).await?;
    app.mail.enqueue(&mut tx, None, &bearer.email, &PasswordChanged { name }).await?;
    audit::note(&mut tx, Note::own(bearer.user, request, "password_reset")).await?;
    tx.commit().await?;
    app.standings.forget(bearer.user);
    if !two_factor {
        app.throttle.forgive(PASSWORD_ATTEMPTS, &bearer.email);
    }
    Ok(errors)
}
