//! Changing one's password. Invariant: whoever had signed in with the old one, anywhere else, is out.

use super::{
    register::new_password,
    session,
    sign_in::{Account, allow_address, attempt, count_failure},
};
use crate::{
    error::{Error, Result},
    kit::{
        scope::{Ask, Scope},
        user_error::{UserError, UserErrorCode, UserErrors},
    },
    platform::database::Transaction,
    schema::{memberships, users},
};
use async_graphql::{Context, InputObject, Object, SimpleObject};
use chrono::Utc;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use uuid::Uuid;

/// The password before and after.
#[derive(InputObject)]
pub struct PasswordChangeInput {
    /// The password until now.
    current_password: String,
    /// 10 to 128 characters, and not easy to guess.
    new_password: String,
}

/// What came of `passwordChange`.
#[derive(SimpleObject)]
pub struct PasswordChangePayload {
    /// What is wrong with the input; empty on success.
    user_errors: Vec<UserError>,
    /// The whole graph, to read on from here.
    query: crate::graphql::Query,
}

#[derive(Default)]
pub struct PasswordChangeMutation;

#[Object]
impl PasswordChangeMutation {
    /// Changes the viewer's password and ends all other sessions of the person, in every organization. This session
    /// goes on.
    ///
    /// Errors: UNAUTHENTICATED; RATE_LIMITED after too many wrong passwords.
    async fn password_change(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The password before and after.")] input: PasswordChangeInput,
    ) -> Option<PasswordChangePayload> {
        ctx.settle(
            async {
                let user_errors = change(ctx.scope()?, input).await?.into();
                Ok(PasswordChangePayload { user_errors, query: Default::default() })
            }
            .await,
        )
    }
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = users)]
struct Person {
    #[diesel(embed)]
    account: Account,
    email: String,
    full_name: String,
}

async fn change(scope: &Scope, input: PasswordChangeInput) -> Result<UserErrors> {
    let app = &scope.app;
    allow_address(app, &scope.request)?;
    let person = person(scope).await?;
    let mut errors = UserErrors::new();

    let attempt = attempt(app, &person.email)?;
    let hash = person.account.password_hash;
    if app.passwords.verify(input.current_password.clone(), hash.clone()).await? {
        attempt.succeeded();
    } else {
        count_failure(app, person.account.id, Utc::now()).await?;
        attempt.failed();
        errors.add("currentPassword", UserErrorCode::Invalid, "This is not your password.");
    }
    new_password(app, &mut errors, "newPassword", &input.new_password, vec![person.email, person.full_name]).await?;
    if input.new_password == input.current_password && !errors.has("newPassword") {
        errors.add("newPassword", UserErrorCode::Invalid, "Choose another password than the one you have.");
    }
    if !errors.is_empty() {
        return Ok(errors);
    }

    let renewed = app.passwords.hash(input.new_password).await?;
    let mut tx = scope.reader().await?.begin().await?;
    // From here to the commit nobody signs in with either password, so that no session is missed below.
    let changed = diesel::update(users::table.find(person.account.id))
        .filter(users::password_hash.is_not_distinct_from(hash))
        .set((users::password_hash.eq(renewed), users::updated_at.eq(Utc::now())))
        .execute(&mut *tx)
        .await?;
    if changed == 0 {
        tx.rollback().await?;
        errors.add("currentPassword", UserErrorCode::Conflict, "Your password was changed a moment ago.");
        return Ok(errors);
    }
    let mut ended = Vec::new();
    for (organization, member) in elsewhere(scope).await? {
        // Its own transaction, because each connection speaks for one organization. Committed first: should the rest
        // fail, somebody has to sign in again, and nobody stays in.
        let mut there = app.database.of(organization).await?.begin().await?;
        ended.extend(end_sessions(&mut there, organization, member, None).await?);
        there.commit().await?;
    }
    let actor = &scope.actor;
    ended.extend(end_sessions(&mut tx, actor.organization, actor.member, Some(actor.session)).await?);
    tx.commit().await?;
    ended.into_iter().for_each(|session| app.standings.forget(session));
    Ok(errors)
}

async fn person(scope: &Scope) -> Result<Person> {
    let mut connection = scope.reader().await?;
    users::table.find(scope.actor.user).select(Person::as_select()).first(&mut *connection).await.map_err(Error::from)
}

/// The person's memberships in other organizations.
async fn elsewhere(scope: &Scope) -> Result<Vec<(Uuid, Uuid)>> {
    let mut connection = scope.app.database.of_user(scope.actor.user).await?;
    memberships::table
        .filter(memberships::user_id.eq(scope.actor.user))
        .filter(memberships::organization_id.ne(scope.actor.organization))
        .select((memberships::organization_id, memberships::id))
        .load(&mut *connection)
        .await
        .map_err(Error::from)
}

async fn end_sessions(tx: &mut Transaction, organization: Uuid, member: Uuid, but: Option<Uuid>) -> Result<Vec<Uuid>> {
    let mut standing = session::of_member(tx, organization, member).await?;
    standing.retain(|session| Some(*session) != but);
    session::revoke(tx, organization, &standing, "password changed").await?;
    Ok(standing)
}
