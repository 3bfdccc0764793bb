//! API keys as people see them: what programs sign in with, in the name of the member who made them. Invariants: the key
//! itself is in one answer and nowhere else; a key never gets more than it was made with; whoever may see the keys of
//! others may end them, and nothing more, because a key speaks for its member.

use super::{
    api_key_change as change, grants::Grants, member::Member, step_up::demand_recent_proof, viewer::PermissionInput,
};
use crate::{
    error::Result,
    kit::{
        id::Id,
        relation::or_null,
        resolve::scope,
        rules::Rules,
        scalars::DateTime,
        scope::Scope,
        user_error::UserError,
        write::{self, Outcome, Stop, Tx},
    },
};
use async_graphql::{Context, InputObject, MaybeUndefined, Object, SimpleObject};
use std::sync::Arc;
use stoa_macros::entity;

/// What a program signs in with: sent as `Authorization: Bearer stoa_…`, it speaks for the member who made it. It may do
/// what its permissions name, as far as the member may do it at that moment. What is for the person alone (their sessions,
/// password, profile and API keys, and what asks for a recent proof of who they are) is FORBIDDEN to it with the reason
/// PERSON_REQUIRED. It works until it ends or is revoked; not while its member is suspended, and never again when they were
/// removed. Another password does not end it.
#[entity(resource = ApiKey, plural = api_keys, wall = owned, read_only)]
pub struct ApiKey {
    pub id: Id<ApiKey>,
    /// What it is for, in the words of whoever made it.
    #[entity(filter, search)]
    pub name: String,
    /// How the key begins, so that one knows which it is.
    #[entity(filter, search)]
    pub prefix: String,
    /// What it may do at most.
    pub permissions: Grants,
    /// When it ends; null: it does not end by itself.
    #[entity(filter)]
    pub expires_at: Option<DateTime>,
    /// Until when the key that `apiKeyRotate` has replaced works, or did; null: it was never rotated.
    pub previous_until: Option<DateTime>,
    /// When it was last used, up to a minute behind; null: never.
    #[entity(filter)]
    pub last_used_at: Option<DateTime>,
    /// When it was revoked; null: it was not. Keys that were revoked or have ended are removed after 90 days.
    #[entity(filter)]
    pub revoked_at: Option<DateTime>,
    /// The id of the member it speaks for.
    #[entity(filter, group, belongs_to = crate::identity::Member as owner)]
    pub owner_id: Option<Id<Member>>,
}

impl Rules for ApiKey {}

/// A new API key.
#[derive(InputObject)]
pub struct ApiKeyCreateInput {
    /// What it is for, 1 to 120 characters.
    pub name: String,
    /// What it may do: at least one, none that reaches farther than your own (see `viewer { permissions }`), and nothing of
    /// API_KEY. In conversations a key needs UPDATE for whatever it says or changes, sending messages included.
    pub permissions: Vec<PermissionInput>,
    /// When it ends. Left out or null: it does not end by itself, where this server allows that.
    pub expires_at: Option<DateTime>,
}

/// What becomes different of an API key. An update only takes away: for more permissions make another key, for more time
/// rotate this one.
#[derive(InputObject)]
pub struct ApiKeyUpdateInput {
    /// Which key.
    pub id: Id<ApiKey>,
    /// The version that the change is based on; another one is refused as a CONFLICT.
    pub expected_version: Option<i32>,
    /// What it is for, 1 to 120 characters. Left out or null: as before.
    pub name: Option<String>,
    /// What it may do from now on, in the place of what it may: nothing that it may not already. Left out or null: as
    /// before.
    pub permissions: Option<Vec<PermissionInput>>,
    /// When it ends: not later than before. Left out or null: as before.
    pub expires_at: Option<DateTime>,
}

/// Which API key gets another secret.
#[derive(InputObject)]
pub struct ApiKeyRotateInput {
    /// Which key.
    pub id: Id<ApiKey>,
    /// The version that the change is based on; another one is refused as a CONFLICT.
    pub expected_version: Option<i32>,
    /// When the new one ends. Left out: as before; null: not by itself, where this server allows that.
    pub expires_at: MaybeUndefined<DateTime>,
    /// Hours in which the one before works as well, so that programs can change over: 0 to 24. 0: it ends at once.
    #[graphql(default)]
    pub overlap_hours: i32,
}

/// Which API key.
#[derive(InputObject)]
pub struct ApiKeyInput {
    /// Which key.
    pub id: Id<ApiKey>,
}

/// What came of a change of an API key.
#[derive(SimpleObject)]
pub struct ApiKeyPayload {
    /// The key as it is now; for a CONFLICT as it stands. Null when nothing was written.
    api_key: Option<Arc<ApiKey>>,
    /// What the user has to mend; empty: all is well.
    user_errors: Vec<UserError>,
    /// The whole graph, to read on from here.
    query: crate::graphql::Query,
}

/// What came of making or rotating an API key.
#[derive(SimpleObject)]
pub struct ApiKeySecretPayload {
    /// The key as others see it; for a CONFLICT as it stands. Null when nothing was written.
    api_key: Option<Arc<ApiKey>>,
    /// The key as programs send it. Keep it now: it is in this answer and nowhere else, so that a repetition of the request
    /// by its idempotency key is a CONFLICT. Null when nothing was written.
    key: Option<String>,
    /// What the user has to mend; empty: all is well.
    user_errors: Vec<UserError>,
    /// The whole graph, to read on from here.
    query: crate::graphql::Query,
}

#[derive(Default)]
pub struct ApiKeyMutation;

#[Object]
impl ApiKeyMutation {
    /// Makes an API key that speaks for you in this organization, and answers it: once. More keys than this server allows
    /// are LIMIT_EXCEEDED.
    ///
    /// Errors: FORBIDDEN without the permission CREATE on API_KEY, with the reason REAUTHENTICATION_REQUIRED when you last
    /// gave the password more than five minutes ago, and with PERSON_REQUIRED for an API key.
    async fn api_key_create(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The new key.")] input: ApiKeyCreateInput,
    ) -> Option<ApiKeySecretPayload> {
        reveal(ctx, async move |tx| change::create(tx, input).await).await
    }

    /// Changes what a key is called, or takes permissions or time from it. What it may no longer do is gone within a second,
    /// and its open sockets are closed with 4403. One that was revoked is STATE_INVALID.
    ///
    /// Errors: FORBIDDEN for the key of somebody else, and with the reason PERSON_REQUIRED for an API key.
    async fn api_key_update(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which key, and what becomes different.")] input: ApiKeyUpdateInput,
    ) -> Option<ApiKeyPayload> {
        run(ctx, async move |tx| change::update(tx, input).await).await
    }

    /// Puts another key in the place of one, with the same prefix, permissions and name, and answers it: once. The one
    /// before ends at once, or works for `overlapHours` more; of an earlier rotation nothing works any more. One that was
    /// revoked is STATE_INVALID.
    ///
    /// Errors: FORBIDDEN for the key of somebody else, with the reason REAUTHENTICATION_REQUIRED when you last gave the
    /// password more than five minutes ago, and with PERSON_REQUIRED for an API key.
    async fn api_key_rotate(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which key.")] input: ApiKeyRotateInput,
    ) -> Option<ApiKeySecretPayload> {
        reveal(ctx, async move |tx| change::rotate(tx, input).await).await
    }

    /// Ends a key for good, within a second; its open sockets are closed with 4403. One that was revoked is STATE_INVALID.
    ///
    /// Errors: FORBIDDEN when the permission DELETE on API_KEY does not reach the member whose it is, and with the reason
    /// PERSON_REQUIRED for an API key.
    async fn api_key_revoke(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which key.")] input: ApiKeyInput,
    ) -> Option<ApiKeyPayload> {
        run(ctx, async move |tx| change::revoke(tx, input.id).await).await
    }
}

async fn run(ctx: &Context<'_>, write: impl AsyncFnOnce(&mut Tx) -> Result<ApiKey, Stop>) -> Option<ApiKeyPayload> {
    or_null(ctx, async {
        let scope = scope(ctx)?;
        scope.actor.session()?;
        let Outcome { record, errors } = written(scope, write).await?;
        Ok(Some(ApiKeyPayload { api_key: record, user_errors: errors, query: Default::default() }))
    })
    .await
}

/// As `run`, of what makes a new secret.
async fn reveal(
    ctx: &Context<'_>,
    write: impl AsyncFnOnce(&mut Tx) -> Result<(ApiKey, String), Stop>,
) -> Option<ApiKeySecretPayload> {
    or_null(ctx, async {
        let scope = scope(ctx)?;
        demand_recent_proof(scope).await?;
        // Before anything is written, so that no copy of the answer is kept whatever happens.
        let _ = scope.loads.secret.set(());
        let mut key = None;
        let Outcome { record, errors } = written(scope, async |tx| {
            let (record, text) = write(tx).await?;
            key = Some(text);
            Ok(record)
        })
        .await?;
        Ok(Some(ApiKeySecretPayload { api_key: record, key, user_errors: errors, query: Default::default() }))
    })
    .await
}

async fn written(scope: &Scope, write: impl AsyncFnOnce(&mut Tx) -> Result<ApiKey, Stop>) -> Result<Outcome<ApiKey>> {
    let outcome = write::one(scope, write).await?;
    if let Some(changed) = &outcome.record {
        scope.app.standings.forget(changed.id.0);
    }
    Ok(outcome)
}
