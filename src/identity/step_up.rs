//! Proving once more who one is, before what is hard to undo. Invariant: whoever finds a device signed in does not get
//! the account with it: the last proof is five minutes old at most.

use super::{
    audit::{self, Note},
    second_factor::{self, spend},
    sign_in::{Account, REFUSAL, allow_address, attempt, count_failure},
};
use crate::{
    error::{Code, Error, Result},
    kit::{
        scope::{Ask, Scope},
        user_error::{UserError, UserErrorCode, UserErrors},
    },
    schema::{sessions, users},
};
use async_graphql::{Context, InputObject, Object, SimpleObject};
use chrono::{DateTime, TimeDelta, Utc};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use tokio::time::Instant;

/// How long a proof is good.
const RECENT: TimeDelta = TimeDelta::minutes(5);

/// The proof.
#[derive(InputObject)]
pub struct ReauthenticateInput {
    /// The viewer's password.
    password: String,
    /// Needed with two-factor sign-in: the six digits that the authenticator shows now, or a recovery code.
    code: Option<String>,
}

/// What came of `reauthenticate`.
#[derive(SimpleObject)]
pub struct ReauthenticatePayload {
    /// What is wrong with the input; empty on success.
    user_errors: Vec<UserError>,
    /// The whole graph, to read on from here.
    query: crate::graphql::Query,
}

#[derive(Default)]
pub struct StepUpMutation;

#[Object]
impl StepUpMutation {
    /// Proves with the password that it is still the person who uses this session. Fields that are hard to undo answer
    /// FORBIDDEN with the reason REAUTHENTICATION_REQUIRED when the last proof, a sign-in or this, is older than five
    /// minutes. With two-factor sign-in a `code` that is missing answers TWO_FACTOR_REQUIRED, and INVALID with `field` null
    /// does not tell whether password or code is wrong.
    ///
    /// Errors: UNAUTHENTICATED; RATE_LIMITED after too many wrong passwords.
    async fn reauthenticate(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The proof.")] input: ReauthenticateInput,
    ) -> Option<ReauthenticatePayload> {
        ctx.settle(
            Box::pin(async {
                let user_errors = reauthenticate(ctx.scope()?, &input).await?.into();
                Ok(ReauthenticatePayload { user_errors, query: Default::default() })
            })
            .await,
        )
    }
}

/// FORBIDDEN (REAUTHENTICATION_REQUIRED) unless the person has proved within five minutes who they are. For the changes of
/// one's sign-in and whatever else an intruder would do first.
pub async fn demand_recent_proof(scope: &Scope) -> Result<()> {
    let actor = &scope.actor;
    let session = sessions::table.find((actor.organization, actor.session()?)).select(sessions::authenticated_at);
    let proven: Option<DateTime<Utc>> = session.first(&mut *scope.reader().await?).await.optional()?;
    if proven.is_some_and(|at| at > Utc::now() - RECENT) {
        return Ok(());
    }
    let message = "Give your password once more first: it has been a while since you signed in.";
    Err(Error::yours_with(Code::Forbidden, message, vec![("reason", "REAUTHENTICATION_REQUIRED".into())]))
}

/// What of a person a proof needs.
#[derive(Queryable, Selectable)]
#[diesel(table_name = users)]
pub(super) struct Person {
    #[diesel(embed)]
    pub account: Account,
    pub email: String,
    pub full_name: String,
}

pub(super) async fn person(scope: &Scope) -> Result<Person> {
    let mut connection = scope.reader().await?;
    users::table.find(scope.actor.user).select(Person::as_select()).first(&mut *connection).await.map_err(Error::from)
}

/// Adds an error unless it is the person's password and, with two-factor sign-in, a code, which is used up. Counts as an
/// attempt to sign in.
pub(super) async fn prove(
    scope: &Scope,
    person: &Person,
    errors: &mut UserErrors,
    field: &str,
    password: &str,
    code: Option<&str>,
) -> Result<()> {
    let app = &scope.app;
    let (started, account) = (Instant::now(), &person.account);
    if account.two_factor() && code.is_none() {
        errors.add("code", UserErrorCode::TwoFactorRequired, second_factor::MISSING);
        return Ok(());
    }
    let attempt = attempt(app, &person.email).await?;
    let mut right = app.passwords.for_known().verify(password.to_owned(), account.password_hash.clone()).await?;
    if let (true, true, Some(code)) = (right, account.two_factor(), code) {
        right = spend(app, &mut *app.database.of_nobody().await?, account.id, code, false).await?;
    }
    if right {
        attempt.succeeded();
        return Ok(());
    }
    count_failure(app, &scope.request, &person.email, Some(account.id)).await?;
    attempt.failed();
    if account.two_factor() {
        // Nor does the time tell how far it got.
        tokio::time::sleep_until(started + REFUSAL).await;
        errors.add("", UserErrorCode::Invalid, "Password or code is wrong. A code works once.");
    } else {
        errors.add(field, UserErrorCode::Invalid, "This is not your password.");
    }
    Ok(())
}

async fn reauthenticate(scope: &Scope, input: &ReauthenticateInput) -> Result<UserErrors> {
    let (app, actor) = (&scope.app, &scope.actor);
    let session = actor.session()?;
    let mut errors = UserErrors::new();
    allow_address(app, &scope.request).await?;
    prove(scope, &person(scope).await?, &mut errors, "password", &input.password, input.code.as_deref()).await?;
    if errors.is_empty() {
        let mut tx = scope.reader().await?.begin().await?;
        diesel::update(sessions::table.find((actor.organization, session)))
            .set(sessions::authenticated_at.eq(Utc::now()))
            .execute(&mut *tx)
            .await?;
        let proven = Note::own(actor.user, &scope.request, "reauthenticated").within(actor.organization);
        audit::note(&mut tx, proven).await?;
        tx.commit().await?;
    }
    Ok(errors)
}
