//! The sessions of a person, seen and ended by themselves. Invariant: nobody sees or ends a session of somebody else,
//! and what is ended is refused from then on: by HTTP at once, on open sockets within a second.

use super::{
    audit::{self, Note},
    device,
    door::{choose, doors},
    session::{self, Entrant, SessionTokens},
    sign_in::allow_refresh,
    user_token,
};
use crate::{
    error::{Error, Result},
    kit::{
        id::Id,
        relation::or_null,
        resolve::scope,
        scalars::DateTime,
        scope::{Ask, Scope},
        user_error::{UserError, UserErrorCode, UserErrors},
    },
    schema::{sessions, users},
};
use async_graphql::{Context, InputObject, Object, SimpleObject};
use chrono::Utc;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use serde_json::Value as Json;
use uuid::Uuid;

/// A sign-in on one device. Only the person whose it is sees it.
#[derive(SimpleObject, Clone, Debug)]
pub struct Session {
    /// What `sessionRevoke` takes.
    pub id: Id<Session>,
    /// When it was opened.
    pub created_at: DateTime,
    /// When it was last refreshed: so it may have been used up to the life of an access token later.
    pub last_used_at: DateTime,
    /// When it ends unless it is refreshed before.
    pub expires_at: DateTime,
    /// The network address from which it was opened; null: unknown.
    pub address: Option<String>,
    /// What the browser or program called itself as it was opened, at most 512 characters; null: it said nothing.
    pub user_agent: Option<String>,
    /// Whether it is the one that asks.
    pub current: bool,
}

/// Which session.
#[derive(InputObject)]
pub struct SessionRevokeInput {
    /// One of `sessions`.
    id: Id<Session>,
}

/// What came of `sessionRevoke`.
#[derive(SimpleObject)]
pub struct SessionRevokePayload {
    /// What is wrong with the input; empty on success.
    user_errors: Vec<UserError>,
    /// The whole graph, for the rest of this request.
    query: crate::graphql::Query,
}

/// What came of `logoutEverywhere`.
#[derive(SimpleObject)]
pub struct LogoutEverywherePayload {
    /// Always empty: there is nothing to mend.
    user_errors: Vec<UserError>,
    /// The whole graph, for the rest of this request.
    query: crate::graphql::Query,
}

/// Where to go on.
#[derive(InputObject)]
pub struct OrganizationSwitchInput {
    /// The short name (slug) of another organization of the person.
    organization: String,
}

/// What came of `organizationSwitch`.
#[derive(SimpleObject)]
pub struct OrganizationSwitchPayload {
    /// Speaks for the other organization; null when there are user errors.
    session: Option<SessionTokens>,
    /// What is wrong with the input; empty on success.
    user_errors: Vec<UserError>,
    /// The whole graph, to read on from here with what the request itself was sent with: not yet with the new access token.
    query: crate::graphql::Query,
}

#[derive(Default)]
pub struct OwnSessionQuery;

#[Object]
impl OwnSessionQuery {
    /// The sessions of the viewer in this organization that have not ended, newest first. Those in other organizations
    /// are seen from there.
    ///
    /// Errors: UNAUTHENTICATED.
    async fn sessions(&self, ctx: &Context<'_>) -> Option<Vec<Session>> {
        or_null(ctx, async { list(scope(ctx)?).await.map(Some) }).await
    }
}

#[derive(Default)]
pub struct OwnSessionMutation;

#[Object]
impl OwnSessionMutation {
    /// Ends one of the viewer's sessions: its tokens are good for nothing any more, and its open connections are closed
    /// within a second. One that has ended, or is somebody else's, answers NOT_FOUND for `id`.
    ///
    /// Errors: UNAUTHENTICATED.
    async fn session_revoke(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which session.")] input: SessionRevokeInput,
    ) -> Option<SessionRevokePayload> {
        ctx.settle(
            Box::pin(async {
                let user_errors = revoke(ctx.scope()?, input.id.0).await?.into();
                Ok(SessionRevokePayload { user_errors, query: Default::default() })
            })
            .await,
        )
    }

    /// Ends all sessions of the person, in every organization, this one among them; open connections are closed within a
    /// second.
    ///
    /// Errors: UNAUTHENTICATED.
    async fn logout_everywhere(&self, ctx: &Context<'_>) -> Option<LogoutEverywherePayload> {
        ctx.settle(
            Box::pin(async {
                logout_everywhere(ctx.scope()?).await?;
                Ok(LogoutEverywherePayload { user_errors: Vec::new(), query: Default::default() })
            })
            .await,
        )
    }

    /// Opens a session in another organization that the person belongs to, without the password. This session goes on,
    /// so that both organizations can be open at once; `logout` ends it. An organization that the person does not belong
    /// to answers NOT_FOUND for `organization`, the one that they are in STATE_INVALID.
    ///
    /// Errors: UNAUTHENTICATED, RATE_LIMITED, ORGANIZATION_SUSPENDED.
    async fn organization_switch(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Where to go on.")] input: OrganizationSwitchInput,
    ) -> Option<OrganizationSwitchPayload> {
        ctx.settle(
            Box::pin(async {
                let (session, user_errors) = match switch(ctx.scope()?, &input.organization).await? {
                    Ok(session) => (Some(session), Vec::new()),
                    Err(errors) => (None, errors.into()),
                };
                Ok(OrganizationSwitchPayload { session, user_errors, query: Default::default() })
            })
            .await,
        )
    }
}

async fn list(scope: &Scope) -> Result<Vec<Session>> {
    type Row =
        (Uuid, chrono::DateTime<Utc>, chrono::DateTime<Utc>, chrono::DateTime<Utc>, Option<String>, Option<String>);
    let (actor, current) = (&scope.actor, scope.actor.session()?);
    let mut connection = scope.reader().await?;
    let changes = users::table.find(actor.user).select(users::password_changes).single_value();
    let rows: Vec<Row> = sessions::table
        .filter(sessions::organization_id.eq(actor.organization).and(sessions::member_id.eq(actor.member)))
        .filter(sessions::revoked_at.is_null().and(sessions::expires_at.gt(Utc::now())))
        .filter(sessions::password_changes.nullable().eq(changes))
        .order((sessions::created_at.desc(), sessions::id.desc()))
        .limit(i64::from(scope.app.config.identity.max_sessions))
        .select((
            sessions::id,
            sessions::created_at,
            sessions::last_used_at,
            sessions::expires_at,
            sessions::address,
            sessions::user_agent,
        ))
        .load(&mut *connection)
        .await?;
    let session = |(id, created, used, expires, address, user_agent): Row| Session {
        id: id.into(),
        created_at: DateTime(created),
        last_used_at: DateTime(used),
        expires_at: DateTime(expires),
        address,
        user_agent,
        current: id == current,
    };
    Ok(rows.into_iter().map(session).collect())
}

async fn revoke(scope: &Scope, id: Uuid) -> Result<UserErrors> {
    let actor = &scope.actor;
    actor.session()?;
    let mut errors = UserErrors::new();
    let mut tx = scope.reader().await?.begin().await?;
    if session::of_member(&mut tx, actor.organization, actor.member).await?.contains(&id) {
        session::revoke(&mut tx, actor.organization, &[id], "revoked").await?;
        let revoked =
            Note::own(actor.user, &scope.request, "session_revoked").with("session", id.to_string(), Json::Null);
        audit::note(&mut tx, revoked.within(actor.organization)).await?;
        tx.commit().await?;
        scope.app.standings.forget(id);
    } else {
        tx.rollback().await?;
        errors.add("id", UserErrorCode::NotFound, "You have no such session, or it has ended.");
    }
    Ok(errors)
}

async fn logout_everywhere(scope: &Scope) -> Result<()> {
    let (app, actor) = (&scope.app, &scope.actor);
    actor.session()?;
    let mut tx = scope.reader().await?.begin().await?;
    // Other organizations' sessions are behind the wall: counting ends them without going there.
    diesel::update(users::table.find(actor.user))
        .set((users::password_changes.eq(users::password_changes + 1), users::updated_at.eq(Utc::now())))
        .execute(&mut *tx)
        .await?;
    user_token::void(&mut tx, &user_token::OF_INTRUDERS, actor.user).await?;
    device::forget_others(&mut tx, actor.user, &scope.request).await?;
    let here = session::of_member(&mut tx, actor.organization, actor.member).await?;
    session::revoke(&mut tx, actor.organization, &here, "signed out everywhere").await?;
    audit::note(&mut tx, Note::own(actor.user, &scope.request, "signed_out_everywhere")).await?;
    tx.commit().await?;
    app.standings.forget(actor.user);
    Ok(())
}

async fn switch(scope: &Scope, named: &str) -> Result<Result<SessionTokens, UserErrors>> {
    let (app, actor) = (&scope.app, &scope.actor);
    let session = actor.session()?;
    allow_refresh(app, &scope.request).await?;
    let door = match choose(doors(app, actor.user).await?, Some(named)) {
        Ok(door) => door,
        Err(errors) => return Ok(Err(errors)),
    };
    if door.organization == actor.organization {
        let mut errors = UserErrors::new();
        errors.add("organization", UserErrorCode::StateInvalid, "You are in this organization already.");
        return Ok(Err(errors));
    }
    if let Some(closed) = door.closed() {
        return Err(closed);
    }
    let here = sessions::table.find((actor.organization, session)).filter(sessions::revoked_at.is_null());
    let (changes, proven_at): (i32, chrono::DateTime<Utc>) = here
        .select((sessions::password_changes, sessions::authenticated_at))
        .first(&mut *scope.reader().await?)
        .await
        .optional()?
        .ok_or_else(ended)?;
    let mut tx = app.database.of(door.organization).await?.begin().await?;
    // Holds the account until the commit: whatever ends all sessions of the person comes before, and then this is not
    // opened, or after, and then it ends this one as well.
    let stands = users::table
        .find(actor.user)
        .filter(users::password_changes.eq(changes).and(users::disabled_at.is_null()))
        .select(users::id)
        .for_share()
        .first::<Uuid>(&mut *tx)
        .await
        .optional()?;
    if stands.is_none() {
        tx.rollback().await?;
        return Err(ended());
    }
    let who = Entrant { organization: door.organization, member: door.member, user: actor.user };
    let session = session::open(app, &mut tx, who, proven_at, &scope.request).await?;
    audit::note(&mut tx, Note::own(actor.user, &scope.request, "switched_in").within(door.organization)).await?;
    tx.commit().await?;
    Ok(Ok(session))
}

fn ended() -> Error {
    Error::unauthenticated("REVOKED", "This session has ended. Sign in again.")
}
