//! Changing the address that one signs in with. Invariant: the account goes to another address only with a recent proof
//! of who asks and a token that was mailed there; whoever reads the old one is told.

use super::{
    access,
    audit::{self, Note},
    email_verification::worthless,
    input,
    mails::{EmailChanged, EmailConfirm},
    profile::CopyProfile,
    step_up::demand_recent_proof,
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
use diesel::{
    prelude::*,
    result::{DatabaseErrorKind::UniqueViolation, Error::DatabaseError},
};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

/// Mails that a person may cause at once, and a minute.
const MAILS: (u32, u32) = (3, 1);
/// What a mail or a token was made for at the address before.
const OF_THE_OLD: [Purpose; 4] = [Purpose::VerifyEmail, Purpose::ChangeEmail, Purpose::ResetPassword, Purpose::SignIn];

/// The new address.
#[derive(InputObject)]
pub struct EmailChangeInput {
    /// What to sign in with from then on; at most 254 characters. Case does not count.
    email: String,
}

/// What came of `emailChange`.
#[derive(SimpleObject)]
pub struct EmailChangePayload {
    /// What is wrong with the input; empty on success.
    user_errors: Vec<UserError>,
    /// The whole graph, to read on from here.
    query: crate::graphql::Query,
}

#[derive(Default)]
pub struct EmailChangeMutation;

#[Object]
impl EmailChangeMutation {
    /// Mails a link to another address; `emailVerify` with its token makes it the address of the account, and the old one
    /// is told. Until then nothing changes. An address that has an account answers NOT_UNIQUE for `email`.
    ///
    /// Errors: UNAUTHENTICATED; FORBIDDEN with the reason REAUTHENTICATION_REQUIRED when the person last gave the
    /// password more than five minutes ago; RATE_LIMITED.
    async fn email_change(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The new address.")] input: EmailChangeInput,
    ) -> Option<EmailChangePayload> {
        ctx.settle(
            Box::pin(async {
                let user_errors = ask(ctx.scope()?, &input.email).await?.into();
                Ok(EmailChangePayload { user_errors, query: Default::default() })
            })
            .await,
        )
    }
}

async fn ask(scope: &Scope, email: &str) -> Result<UserErrors> {
    let (app, actor) = (&scope.app, &scope.actor);
    let user = actor.user;
    demand_recent_proof(scope).await?;
    app.throttle.take("change of address", &user.to_string(), MAILS.0, MAILS.1).await?;
    let mut errors = UserErrors::new();
    let email = input::email(&mut errors, "email", email);
    if !errors.is_empty() {
        return Ok(errors);
    }
    let mut tx = scope.reader().await?.begin().await?;
    // Whatever ends all sessions of the person comes before, and then this one does not stand, or after, and then it
    // takes the token back.
    let name = users::table.find(user).select(users::full_name).for_share().first::<String>(&mut *tx).await?;
    access::load(&mut tx, actor.organization, actor.session()?).await?;
    let holder = users::table.filter(users::email.eq(&email)).select(users::id);
    match holder.first::<Uuid>(&mut *tx).await.optional()? {
        Some(holder) if holder == user => {
            errors.add("email", UserErrorCode::Invalid, "This is your address already.");
        }
        Some(_) => taken(&mut errors),
        None => {}
    }
    if !errors.is_empty() {
        tx.rollback().await?;
        return Ok(errors);
    }
    let token = user_token::issue(&mut tx, Purpose::ChangeEmail, user, &email).await?;
    let link = user_token::link(app, Purpose::ChangeEmail, &token);
    let hours = Purpose::ChangeEmail.lifetime().num_hours().unsigned_abs();
    app.mail.enqueue(&mut tx, None, &email, &EmailConfirm { name, email: email.clone(), link, hours }).await?;
    audit::note(&mut tx, Note::own(user, &scope.request, "email_change_asked")).await?;
    tx.commit().await?;
    Ok(errors)
}

fn taken(errors: &mut UserErrors) {
    errors.add("email", UserErrorCode::NotUnique, "There is another account with this address.");
}

/// Makes the address that the token was mailed to that of the account, in the caller's transaction, which is committed
/// only without user errors.
pub(super) async fn complete(
    app: &App,
    tx: &mut Transaction,
    request: &RequestInfo,
    bearer: &Bearer,
    token: &str,
) -> Result<UserErrors> {
    let mut errors = UserErrors::new();
    let now: DateTime<Utc> = Utc::now();
    // The person's row first, as whoever else needs both.
    let held = users::table.find(bearer.user).filter(users::disabled_at.is_null());
    let held = held.select((users::email, users::full_name)).for_no_key_update();
    let Some((old, name)) = held.first::<(String, String)>(&mut **tx).await.optional()? else { return Ok(worthless()) };
    if user_token::redeem(tx, Purpose::ChangeEmail, token).await?.is_none() {
        return Ok(worthless());
    }
    let changed = diesel::update(users::table.find(bearer.user))
        .set((users::email.eq(&bearer.email), users::email_verified_at.eq(now), users::updated_at.eq(now)))
        .execute(&mut **tx)
        .await;
    match changed {
        Err(DatabaseError(UniqueViolation, _)) => {
            let message = "Another account has this address by now.";
            errors.add("token", UserErrorCode::NotUnique, message);
            return Ok(errors);
        }
        changed => _ = changed?,
    }
    user_token::void(tx, &OF_THE_OLD, bearer.user).await?;
    app.jobs.enqueue(tx, None, &CopyProfile { user: bearer.user, replaced: None }).await?;
    app.mail.enqueue(tx, None, &old, &EmailChanged { name, email: bearer.email.clone() }).await?;
    let changed = Note::own(bearer.user, request, "email_changed").with("email", old, bearer.email.clone());
    audit::note(tx, changed).await?;
    Ok(errors)
}
