//! Putting conversations away, and getting them back. Invariant: an archived one is read as before and takes no message; the
//! last one in it tells who has archived it.

use super::{
    conversation::{Conversation, ConversationKind, ConversationPayload, lock_conversation, run, tell_of},
    participant::ParticipantRole,
    seat::own_role,
    system::{SystemEvent, SystemNote, say},
};
use crate::{
    kit::{
        id::Id,
        permission::{Action, Resource},
        relation::or_null,
        resolve::scope,
        user_error::UserErrorCode,
        write::{Stop, Tx},
    },
    schema::conversations,
};
use async_graphql::{Context, InputObject, Object};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;

/// Which conversation to put away or to get back.
#[derive(Clone, Debug, InputObject)]
pub struct ConversationArchiveInput {
    /// Which conversation; not a direct one.
    pub id: Id<Conversation>,
}

/// Mutations.
#[derive(Default)]
pub struct ArchiveMutation;

#[Object]
impl ArchiveMutation {
    /// Puts a group or channel away: it is read as before and takes no messages. A SYSTEM message tells it. Again changes nothing.
    ///
    /// Errors: FORBIDDEN without the permission UPDATE on CONVERSATION, and when you are neither owner nor moderator of it.
    async fn conversation_archive(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which conversation.")] input: ConversationArchiveInput,
    ) -> Option<ConversationPayload> {
        or_null(ctx, run(scope(ctx), async move |tx| set(tx, input.id, true).await)).await
    }

    /// Gets an archived group or channel back. A SYSTEM message tells it. Again changes nothing.
    ///
    /// Errors: FORBIDDEN without the permission UPDATE on CONVERSATION, and when you are neither owner nor moderator of it.
    async fn conversation_unarchive(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which conversation.")] input: ConversationArchiveInput,
    ) -> Option<ConversationPayload> {
        or_null(ctx, run(scope(ctx), async move |tx| set(tx, input.id, false).await)).await
    }
}

async fn set(tx: &mut Tx, id: Id<Conversation>, archived: bool) -> Result<Conversation, Stop> {
    tx.scope.actor.demand(Resource::Conversation, Action::Update)?;
    let mut conversation = lock_conversation(tx, id.0, "id").await?;
    if conversation.kind == ConversationKind::Direct {
        let message = "A direct conversation cannot be archived; mute it instead.";
        return Err(Stop::at("id", UserErrorCode::Unsupported, message));
    }
    if !matches!(own_role(tx, id.0).await?, Some(ParticipantRole::Owner | ParticipantRole::Moderator)) {
        return Err(crate::Error::forbidden("Only owners and moderators of a conversation may archive it.").into());
    }
    if conversation.archived_at.is_some() == archived {
        return Ok(conversation);
    }
    conversation.archived_at = archived.then_some(tx.now);
    conversation.version += 1;
    conversation.updated_at = tx.now;
    diesel::update(conversations::table.find((tx.scope.actor.organization, id.0)))
        .set((
            conversations::archived_at.eq(conversation.archived_at.map(|time| time.0)),
            conversations::version.eq(conversation.version),
            conversations::updated_at.eq(conversation.updated_at.0),
        ))
        .execute(tx.conn())
        .await?;
    tell_of(tx, &conversation, "conversation_updated")?;
    let event = if archived { SystemEvent::Archived } else { SystemEvent::Unarchived };
    say(tx, &mut conversation, SystemNote::of(event, &[])).await?;
    Ok(conversation)
}
