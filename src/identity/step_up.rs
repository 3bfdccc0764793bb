//! Proving once more who one is, before what is hard to undo. Invariant: whoever finds a device signed in does not get
//! the account with it: the last proof is five minutes old at most.

use super::{
    audit::{self, Note},
    sign_in::{Account, allow_address, attempt, count_failure},
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

/// How long a proof is good.
const RECENT: TimeDelta = TimeDelta::minutes(5);

/// The proof.
#[derive(InputObject)]
pub struct ReauthenticateInput {
    /// The viewer's password.
    password: String,
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
    /// minutes.
    ///
    /// Errors: UNAUTHENTICATED; RATE_LIMITED after too many wrong passwords.
    async fn reauthenticate(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The proof.")] input: ReauthenticateInput,
    ) -> Option<ReauthenticatePayload> {
        ctx.settle(
            async {
                let user_errors = reauthenticate(ctx.scope()?, &input.password).await?.into();
                Ok(ReauthenticatePayload { user_errors, query: Default::default() })
            }
            .await,
        )
    }
}

/// FORBIDDEN (REAUTHENTICATION_REQUIRED) unless the person has proved within five minutes who they are. For the changes of
/// one's sign-in and whatever else an intruder would do first.
pub async fn demand_recent_proof(scope: &Scope) -> Result<()> {
    let actor = &scope.actor;
    let session = sessions::table.find((actor.organization, actor.session)).select(sessions::authenticated_at);
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

/// Adds an error unless it is the person's password. Counts as an attempt to sign in.
pub(super) async fn prove(
    scope: &Scope,
    person: &Person,
    errors: &mut UserErrors,
    field: &str,
    password: &str,
) -> Result<()> {
    let app = &scope.app;
    let attempt = attempt(app, &person.email)?;
    if app.passwords.verify(password.to_owned(), person.account.password_hash.clone()).await? {
        attempt.succeeded();
    } else {
        count_failure(app, &scope.request, &person.email, Some(person.account.id)).await?;
        attempt.failed();
        errors.add(field, UserErrorCode::Invalid, "This is not your password.");
    }
    Ok(())
}

async fn reauthenticate(scope: &Scope, password: &str) -> Result<UserErrors> {
    let (app, actor) = (&scope.app, &scope.actor);
    let mut errors = UserErrors::new();
    allow_address(app, &scope.request)?;
    prove(scope, &person(scope).await?, &mut errors, "password", password).await?;
    if errors.is_empty() {
        let session = sessions::table.find((actor.organization, actor.session));
        let mut tx = scope.reader().await?.begin().await?;
        diesel::update(session).set(sessions::authenticated_at.eq(Utc::now())).execute(&mut *tx).await?;
        let proven = Note::own(actor.user, &scope.request, "reauthenticated").within(actor.organization);
        audit::note(&mut tx, proven).await?;
        tx.commit().await?;
    }
    Ok(errors)
}
