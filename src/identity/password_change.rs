//! Changing one's password. Invariant: whoever had signed in with the old one, anywhere else, is out, in the moment in which
//! it is changed: a session stands only while it names as many changes as the person has made.

use super::{
    audit::{self, Note},
    device,
    mails::PasswordChanged,
    register::new_password,
    session,
    sign_in::allow_address,
    step_up::{self, person},
    user_token,
};
use crate::{
    error::Result,
    kit::{
        scope::{Ask, Scope},
        user_error::{UserError, UserErrorCode, UserErrors},
    },
    schema::{sessions, users},
};
use async_graphql::{Context, InputObject, Object, SimpleObject};
use chrono::Utc;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;

/// The password before and after.
#[derive(InputObject)]
pub struct PasswordChangeInput {
    /// The password until now.
    current_password: String,
    /// 10 to 128 characters, and not easy to guess.
    new_password: String,
    /// Needed with two-factor sign-in: the six digits that the authenticator shows now, or a recovery code. It is used up
    /// only when the new password can be one.
    code: Option<String>,
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
    /// goes on. With two-factor sign-in a `code` that is missing answers TWO_FACTOR_REQUIRED, and INVALID with `field` null
    /// does not tell whether password or code is wrong.
    ///
    /// Errors: UNAUTHENTICATED; RATE_LIMITED after too many wrong passwords.
    async fn password_change(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The password before and after.")] input: PasswordChangeInput,
    ) -> Option<PasswordChangePayload> {
        ctx.settle(
            Box::pin(async {
                let user_errors = change(ctx.scope()?, input).await?.into();
                Ok(PasswordChangePayload { user_errors, query: Default::default() })
            })
            .await,
        )
    }
}

async fn change(scope: &Scope, input: PasswordChangeInput) -> Result<UserErrors> {
    let (app, here) = (&scope.app, scope.actor.session()?);
    allow_address(app, &scope.request).await?;
    let person = person(scope).await?;
    let (mut errors, mut faults) = (UserErrors::new(), UserErrors::new());

    let about = vec![person.email.clone(), person.full_name.clone()];
    new_password(app, &mut faults, "newPassword", &input.new_password, about).await?;
    if input.new_password == input.current_password && faults.is_empty() {
        faults.add("newPassword", UserErrorCode::Invalid, "Choose another password than the one you have.");
    }
    // A code works once: it is not used up in vain.
    if faults.is_empty() || !person.account.two_factor() {
        let (current, code) = (&input.current_password, input.code.as_deref());
        step_up::prove(scope, &person, &mut errors, "currentPassword", current, code).await?;
    }
    errors.extend(faults);
    if !errors.is_empty() {
        return Ok(errors);
    }

    let hash = person.account.password_hash;
    let renewed = app.passwords.for_known().hash(input.new_password).await?;
    let actor = &scope.actor;
    let mut tx = scope.reader().await?.begin().await?;
    // Other organizations' sessions are behind the wall: counting ends them without going there. From here to the commit
    // nobody signs in with either password.
    let changes: Option<i32> = diesel::update(users::table.find(person.account.id))
        .filter(users::password_hash.is_not_distinct_from(hash))
        .set((
            users::password_hash.eq(renewed),
            users::password_changes.eq(users::password_changes + 1),
            users::updated_at.eq(Utc::now()),
        ))
        .returning(users::password_changes)
        .get_result(&mut *tx)
        .await
        .optional()?;
    let Some(changes) = changes else {
        tx.rollback().await?;
        errors.add("currentPassword", UserErrorCode::Conflict, "Your password was changed a moment ago.");
        return Ok(errors);
    };
    diesel::update(sessions::table.find((actor.organization, here)))
        .set((sessions::password_changes.eq(changes), sessions::authenticated_at.eq(Utc::now())))
        .execute(&mut *tx)
        .await?;
    // Here they need not count among the member's sessions any more.
    let mut others = session::of_member(&mut tx, actor.organization, actor.member).await?;
    others.retain(|session| *session != here);
    session::revoke(&mut tx, actor.organization, &others, "password changed").await?;
    user_token::void(&mut tx, &user_token::OF_INTRUDERS, person.account.id).await?;
    device::forget_others(&mut tx, person.account.id, &scope.request).await?;
    app.mail.enqueue(&mut tx, None, &person.email, &PasswordChanged { name: person.full_name }).await?;
    audit::note(&mut tx, Note::own(actor.user, &scope.request, "password_changed")).await?;
    tx.commit().await?;
    app.standings.forget(actor.user);
    Ok(errors)
}
