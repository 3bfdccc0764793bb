//! Pinned messages: what a conversation keeps at hand, for everybody in it. Invariant: a deleted message is not pinned, and a
//! conversation has at most a hundred that are.

use super::{
    conversation::lock_conversation,
    message::{Message, MessagePayload, lock_open, no_message, run, store, tell_of},
    participant::{Participant, ParticipantRole},
};
use crate::{
    error::{Error, Result},
    kit::{
        entity,
        filter::DeletedRecords,
        id::Id,
        relation::or_null,
        resolve::scope,
        user_error::UserErrorCode,
        write::{Stop, Tx},
    },
    schema::messages,
};
use async_graphql::{Context, InputObject, Object};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;

/// Pinned messages of a conversation at most: what fits a page.
pub const MOST: i64 = 100;

/// A message to pin or to unpin.
#[derive(Clone, Debug, InputObject)]
pub struct MessagePinInput {
    /// Which message.
    pub id: Id<Message>,
}

/// Mutations.
#[derive(Default)]
pub struct PinMutation;

#[Object]
impl PinMutation {
    /// Pins a message to its conversation, as owner or moderator of a group, as either member of a direct conversation. One
    /// that is pinned stays as it is. At most 100 (LIMIT_EXCEEDED); find them by `messages(filter: { pinnedAt: { isNull:
    /// false } })`.
    ///
    /// Errors: FORBIDDEN when you are neither owner nor moderator.
    async fn message_pin(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which message.")] input: MessagePinInput,
    ) -> Option<MessagePayload> {
        or_null(ctx, run(scope(ctx), async move |tx| pin(tx, input.id).await)).await
    }

    /// Takes a message off the pinned ones. One that is not pinned stays as it is.
    ///
    /// Errors: FORBIDDEN when you are neither owner nor moderator.
    async fn message_unpin(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which message.")] input: MessagePinInput,
    ) -> Option<MessagePayload> {
        or_null(ctx, run(scope(ctx), async move |tx| unpin(tx, input.id).await)).await
    }
}

fn may_pin(me: &Participant) -> Result<()> {
    match me.role {
        ParticipantRole::Member => {
            Err(Error::forbidden("Only owners and moderators of a conversation may pin messages."))
        }
        _ => Ok(()),
    }
}

async fn pin(tx: &mut Tx, id: Id<Message>) -> Result<Message, Stop> {
    let found = entity::find_on::<Message>(&tx.scope, tx.reader(), id.0, DeletedRecords::Include).await?;
    let conversation = found.ok_or_else(|| no_message("id"))?.conversation_id;
    // Held before the message, as everywhere, so that two at once do not pin one too many.
    lock_conversation(tx, conversation.0, "id").await?;
    let (mut message, me) = lock_open(tx, id.0, "id").await?;
    may_pin(&me)?;
    if message.deleted_at.is_some() {
        return Err(Stop::at("id", UserErrorCode::StateInvalid, "The message was deleted."));
    }
    if message.pinned_at.is_some() {
        return Ok(message);
    }
    let pinned = messages::table
        .filter(messages::organization_id.eq(tx.scope.actor.organization))
        .filter(messages::conversation_id.eq(conversation.0))
        .filter(messages::pinned_at.is_not_null());
    if pinned.count().get_result::<i64>(tx.conn()).await? >= MOST {
        let message = format!("A conversation has at most {MOST} pinned messages: unpin another one first.");
        return Err(Stop::at("id", UserErrorCode::LimitExceeded, message));
    }
    (message.pinned_at, message.pinned_by) = (Some(tx.now), Some(me.member_id));
    store(tx, &mut message).await?;
    tell_of(tx, &message, "message_pinned")?;
    Ok(message)
}

async fn unpin(tx: &mut Tx, id: Id<Message>) -> Result<Message, Stop> {
    let (mut message, me) = lock_open(tx, id.0, "id").await?;
    may_pin(&me)?;
    if message.pinned_at.is_none() {
        return Ok(message);
    }
    (message.pinned_at, message.pinned_by) = (None, None);
    store(tx, &mut message).await?;
    tell_of(tx, &message, "message_unpinned")?;
    Ok(message)
}
