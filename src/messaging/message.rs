//! Messages. Sending is idempotent by the sender's own key; messages of a conversation are numbered 1, 2, 3 …
//! without a gap in the order in which they were stored; a deleted one keeps its number and loses its body.

use super::{
    conversation::{Conversation, change},
    participant::{Participant, ParticipantRole, hold_own, in_own_conversations, may_talk},
    send,
};
use crate::{
    events::Change,
    identity::Member,
    kit::{
        entity::{self, Entity},
        filter::DeletedRecords,
        id::Id,
        relation::or_null,
        resolve::scope,
        rules::{Rule, Rules, tidy_text},
        scalars::DateTime,
        scope::Scope,
        user_error::{UserError, UserErrorCode, UserErrors},
        value::Bind,
        write::{Rejection, Stop, Tx},
    },
    schema::messages,
};
use async_graphql::{Context, InputObject, Object, SimpleObject};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use serde_json::json;
use std::sync::Arc;
use stoa_macros::entity;
use uuid::Uuid;

/// Something that was said.
#[entity(resource = Conversation, plural = messages, visible_by = in_own_conversations, read_only, no_queries, newest = seq,
    with(super::seen::Seen))]
pub struct Message {
    pub id: Id<Message>,
    /// The id of the conversation.
    #[entity(filter, belongs_to = super::conversation::Conversation)]
    pub conversation_id: Id<Conversation>,
    /// Its number in the conversation: 1, 2, 3 … without a gap.
    #[entity(order)]
    pub seq: i64,
    /// The id of the member who said it.
    #[entity(filter, belongs_to = crate::identity::Member as sender)]
    pub sender_id: Id<Member>,
    /// The sender's own key for it.
    #[entity()]
    pub client_id: Option<String>,
    /// What was said, in Markdown, at most 40 000 characters; null: it was deleted.
    #[entity(filter, search)]
    pub body: Option<String>,
    /// When it was last edited; null: it is as it was sent.
    #[entity(filter)]
    pub edited_at: Option<DateTime>,
    /// When it was deleted; null: it was not.
    #[entity(filter)]
    pub deleted_at: Option<DateTime>,
}

impl Rules for Message {}

/// A message to send.
#[derive(Clone, Debug, InputObject)]
pub struct MessageSendInput {
    /// To which conversation.
    pub conversation_id: Id<Conversation>,
    /// What to say, in Markdown: 1 to 40 000 characters.
    pub body: String,
    /// The sender's own key for this message, 1 to 100 characters: sending the same one again returns the message
    /// that exists. Give one always, and send again when no answer came.
    pub client_id: Option<String>,
}

/// A message to edit.
#[derive(Clone, Debug, InputObject)]
pub struct MessageEditInput {
    /// Which message; only one's own.
    pub id: Id<Message>,
    /// The version that the change is based on; with another by now nothing is written (user error CONFLICT).
    pub expected_version: Option<i32>,
    /// What to say instead, in Markdown: 1 to 40 000 characters.
    pub body: String,
}

/// A message to delete.
#[derive(Clone, Debug, InputObject)]
pub struct MessageDeleteInput {
    /// Which message; one's own, or any as owner or moderator of the conversation.
    pub id: Id<Message>,
}

/// What came of sending, editing or deleting a message.
#[derive(SimpleObject, Default)]
pub struct MessagePayload {
    /// The message; null when nothing was written, save for a CONFLICT, which shows it as it stands.
    pub message: Option<Arc<Message>>,
    /// What the user has to mend; empty: all is well.
    pub user_errors: Vec<UserError>,
    /// The whole graph, to read on from here.
    pub query: crate::graphql::Query,
}

/// Mutations.
#[derive(Default)]
pub struct MessageMutation;

#[Object]
impl MessageMutation {
    /// Sends a message. An answer with a message means that it is stored: every participant will see it once and
    /// in order.
    async fn message_send(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The message.")] input: MessageSendInput,
    ) -> Option<MessagePayload> {
        Box::pin(or_null(ctx, async { send::send(scope(ctx)?, input).await.map(Some) })).await
    }

    /// Edits one's own message.
    async fn message_edit(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which message, and the new text.")] input: MessageEditInput,
    ) -> Option<MessagePayload> {
        Box::pin(or_null(ctx, run(scope(ctx), async move |tx| edit(tx, input).await))).await
    }

    /// Deletes a message: its body goes, its place stays. Deleting it again changes nothing.
    async fn message_delete(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which message.")] input: MessageDeleteInput,
    ) -> Option<MessagePayload> {
        Box::pin(or_null(ctx, run(scope(ctx), async move |tx| delete(tx, input.id.0).await))).await
    }
}

async fn run(
    scope: crate::Result<&Scope>,
    write: impl AsyncFnOnce(&mut Tx) -> Result<Message, Stop>,
) -> crate::Result<Option<MessagePayload>> {
    let scope = scope?;
    may_talk(scope)?;
    let mut tx = scope.begin().await?;
    let result = write(&mut tx).await;
    payload(scope, tx.finish(result).await?).await.map(Some)
}

pub(super) async fn payload(scope: &Scope, result: Result<Message, Rejection>) -> crate::Result<MessagePayload> {
    Ok(match result {
        Ok(message) => MessagePayload { message: Some(Arc::new(message)), ..Default::default() },
        // A message that was sent before is not a fault of this request: there is a record, and no error.
        Err(Rejection { errors, current }) => {
            let message = match current {
                Some(id) => entity::find(scope, id, &[]).await?,
                None => None,
            };
            MessagePayload { message, ..errors.into() }
        }
    })
}

impl From<UserErrors> for MessagePayload {
    fn from(errors: UserErrors) -> Self {
        MessagePayload { user_errors: errors.into(), ..Default::default() }
    }
}

pub(super) fn checked(mut body: String) -> Result<String, UserErrors> {
    let mut errors = UserErrors::default();
    tidy_text(&mut body, "body", &Rule { max: 40_000, multiline: true, ..Rule::DEFAULT }, &mut errors);
    if body.is_empty() {
        errors.add("body", UserErrorCode::Required, "A message has at least one character.");
    }
    if errors.is_empty() { Ok(body) } else { Err(errors) }
}

/// The message, locked until the transaction ends, and the caller as participant.
async fn lock(tx: &mut Tx, id: Uuid) -> Result<(Message, Participant), Stop> {
    let gone = || Stop::at("id", UserErrorCode::NotFound, "There is no such message.");
    let mut sql = entity::select(Message::table());
    entity::push_visible(Message::table(), &tx.scope, DeletedRecords::Include, &mut sql);
    sql.push(" AND t0.id = ").bind(Bind::Uuid(Some(id))).push(" FOR NO KEY UPDATE OF t0");
    let found: Vec<Message> = sql.load(tx.conn()).await?;
    let message = found.into_iter().next().ok_or_else(gone)?;
    let me = hold_own(tx, message.conversation_id.0).await?.ok_or_else(gone)?;
    Ok((message, me))
}

async fn edit(tx: &mut Tx, input: MessageEditInput) -> Result<Message, Stop> {
    let body = checked(input.body)?;
    let (mut message, _) = lock(tx, input.id.0).await?;
    if message.sender_id.0 != tx.scope.actor.member {
        return Err(crate::Error::forbidden("Only the sender may edit a message.").into());
    }
    if message.deleted_at.is_some() {
        return Err(Stop::at("id", UserErrorCode::StateInvalid, "The message was deleted."));
    }
    if input.expected_version.is_some_and(|expected| expected != message.version) {
        let mut errors = UserErrors::default();
        errors.add("expectedVersion", UserErrorCode::Conflict, "The message was changed in the meantime.");
        return Err(Stop::Rejected(Rejection { errors, current: Some(message.id.0) }));
    }
    if message.body.as_ref() == Some(&body) {
        return Ok(message);
    }
    message.body = Some(body);
    message.edited_at = Some(tx.now);
    store(tx, &mut message).await?;
    tell_of(tx, &message, "message_edited")?;
    Ok(message)
}

async fn delete(tx: &mut Tx, id: Uuid) -> Result<Message, Stop> {
    let (mut message, me) = lock(tx, id).await?;
    if message.sender_id != me.member_id && me.role == ParticipantRole::Member {
        return Err(crate::Error::forbidden("Only the sender, owners and moderators may delete a message.").into());
    }
    if message.deleted_at.is_some() {
        return Ok(message);
    }
    message.body = None;
    message.deleted_at = Some(tx.now);
    store(tx, &mut message).await?;
    diesel::update(messages::table.find((tx.scope.actor.organization, message.id.0)))
        .set(messages::deleted_by.eq(tx.scope.actor.member))
        .execute(tx.conn())
        .await?;
    tell_of(tx, &message, "message_deleted")?;
    Ok(message)
}

async fn store(tx: &mut Tx, message: &mut Message) -> Result<(), Stop> {
    message.version += 1;
    message.updated_at = tx.now;
    diesel::update(messages::table.find((tx.scope.actor.organization, message.id.0)))
        .set((
            messages::body.eq(&message.body),
            messages::edited_at.eq(message.edited_at.map(|time| time.0)),
            messages::deleted_at.eq(message.deleted_at.map(|time| time.0)),
            messages::version.eq(message.version),
            messages::updated_at.eq(message.updated_at.0),
        ))
        .execute(tx.conn())
        .await?;
    Ok(())
}

fn tell_of(tx: &mut Tx, message: &Message, kind: &'static str) -> crate::Result<()> {
    tx.record(message.change(kind)?);
    Ok(())
}

impl Message {
    /// What its conversation is told of it.
    pub(super) fn change(&self, kind: &'static str) -> crate::Result<Change> {
        let payload = json!({ "message": serde_json::to_value(self)? });
        Ok(change(self.conversation_id, kind, "Message", self.id.0, payload))
    }
}
