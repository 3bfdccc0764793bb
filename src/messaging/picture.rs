//! The picture of a conversation of several: made as that of a person is, and an object of the organization as that of an emoji
//! is. Invariants: whoever may say what the conversation is called may change it; what a row has ceased to name goes.

use super::conversation::Conversation;
use crate::{
    error::Result,
    files::RemoveObject,
    identity::avatar::{self, Asked, AvatarFile},
    kit::{
        id::Id,
        permission::{Action, Resource},
        resolve::scope,
        scope::Scope,
        write::Tx,
    },
    platform::files::ObjectName,
};
use async_graphql::{Context, MaybeUndefined};
use bytes::Bytes;
use chrono::Utc;
use uuid::Uuid;

/// What is told of a picture for a direct conversation.
pub const NONE: &str = "A direct conversation has no picture: it shows the other member.";

/// Where a picture is fetched.
pub fn url(ctx: &Context<'_>, avatar: &str) -> Option<String> {
    let scope = scope(ctx).ok()?;
    let path = format!("/files/pictures/{}/{avatar}", scope.actor.organization);
    Some(scope.app.urls.to_fetch(&path, Utc::now().timestamp()))
}

/// Makes what is asked for by somebody who may do that to conversations. Outside of the transaction: it takes its time.
pub async fn make(scope: &Scope, action: Action, file: MaybeUndefined<Id<AvatarFile>>) -> Result<Asked> {
    if file.is_value() {
        scope.actor.demand(Resource::Conversation, action)?;
        scope.actor.demand_verified()?;
    }
    avatar::make(scope, file).await
}

/// Gives a conversation, whose row is written behind it, another picture or none. Should the transaction come to nothing,
/// `SweepObjects` finds the new one.
pub async fn change(tx: &mut Tx, conversation: &mut Conversation, to: MaybeUndefined<Bytes>) -> Result<()> {
    if to.is_undefined() {
        return Ok(());
    }
    let (app, organization) = (tx.scope.app.clone(), tx.scope.actor.organization);
    if let Some(object) = conversation.avatar.take().and_then(|avatar| avatar.parse().ok()) {
        app.jobs.enqueue(tx.transaction(), None, &RemoveObject { organization, object }).await?;
    }
    if let Some(made) = to.take() {
        let object = Uuid::now_v7();
        app.files.write(&ObjectName::file(organization, object), made).await?;
        conversation.avatar = Some(object.to_string());
    }
    Ok(())
}
