//! Messages. Sending is idempotent by the sender's own key; messages of a conversation are numbered 1, 2, 3 …
//! without a gap in the order in which they were stored; a deleted one keeps its number and loses its body, and with it all
//! that was put to it.

use super::{
    attachment::{self, *},
    block,
    content::{MessageKind, demand_content, tidied},
    conversation::{Conversation, change},
    link,
    mention::{self, *},
    participant::{Participant, ParticipantRole, hold_own, in_own_conversations, may_talk},
    reaction::{self, ReactionGroup},
    send,
    system::SystemNote,
    thread,
    version::{self, MessageVersion},
};
use crate::{
    crm::feed::Record,
    events::{Change, MESSAGE_DELETED, forget_bodies},
    files::file::File,
    identity::Member,
    kit::{
        entity::{self, Entity},
        filter::DeletedRecords,
        id::Id,
        relation::{Computed, or_null},
        resolve::scope,
        rules::Rules,
        scalars::DateTime,
        scope::Scope,
        user_error::{UserError, UserErrorCode, UserErrors},
        value::Bind,
        write::{Rejection, Stop, Tx},
    },
    schema::{messages, reactions},
};
use async_graphql::{ComplexObject, Context, InputObject, Object, SimpleObject};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use serde_json::json;
use std::sync::Arc;
use stoa_macros::entity;
use uuid::Uuid;

/// Something that was said.
#[entity(resource = Conversation, plural = messages, visible_by = in_own_conversations, read_only, no_queries, computed, newest = seq,
    with(super::seen::Seen), has_many(replies: Message.thread_root_id, mentions: Mention.message_id,
    attachments: MessageAttachment.message_id))]
pub struct Message {
    pub id: Id<Message>,
    /// The id of the conversation.
    #[entity(filter, belongs_to = super::conversation::Conversation)]
    pub conversation_id: Id<Conversation>,
    /// Its number in the conversation: 1, 2, 3 … without a gap.
    #[entity(order)]
    pub seq: i64,
    /// The id of the member who said it; of a SYSTEM message, who did what it tells.
    #[entity(filter, belongs_to = crate::identity::Member as sender)]
    pub sender_id: Id<Member>,
    /// What kind it is. A deleted message stays of its kind; one that is edited is TEXT while it has words, FILE without.
    #[entity(filter)]
    #[serde(default = "MessageKind::text")]
    pub kind: MessageKind,
    /// The sender's own key for it.
    #[entity()]
    pub client_id: Option<String>,
    /// The id of the message that it replies to, the root of its thread; null: it is no reply. `{isNull: true}` leaves replies
    /// out.
    #[entity(filter, belongs_to = Message as thread_root)]
    pub thread_root_id: Option<Id<Message>>,
    /// The number of a reply in its thread: 1, 2, 3 … without a gap; null: it is no reply.
    #[entity()]
    pub thread_seq: Option<i32>,
    /// How many replies were sent to it, those deleted since included: the `threadSeq` of the newest one, so that whoever hears
    /// of a reply knows it.
    #[entity()]
    #[serde(default)]
    pub reply_count: i32,
    /// When the newest reply was sent; null: there is none.
    #[entity(filter)]
    pub last_reply_at: Option<DateTime>,
    /// What was said, in Markdown, at most 40 000 characters; `<@ID>` names a member, `<@channel>` everybody here, `<@here>`
    /// those who are online, `<#account:ID>`, `<#contact:ID>` and `<#lead:ID>` a record. Empty: it only brings files along
    /// (`attachments`). Null: it was deleted, or, in an event from before, it is gone by now. Of a SYSTEM message, an English
    /// sentence with the names of then, which mentions nobody.
    #[entity(filter, search)]
    pub body: Option<String>,
    /// What a SYSTEM message tells, for clients that say it in their own words; null: it is of another kind, or was deleted.
    #[entity()]
    #[serde(default)]
    pub system: Option<SystemNote>,
    /// When it was last edited; null: it is as it was sent.
    #[entity(filter)]
    pub edited_at: Option<DateTime>,
    /// When it was deleted; null: it was not.
    #[entity(filter)]
    pub deleted_at: Option<DateTime>,
    /// When it was pinned to its conversation; null: it is not.
    #[entity(filter, order)]
    pub pinned_at: Option<DateTime>,
    /// The id of the member who pinned it; null: it is not pinned.
    #[entity(belongs_to = crate::identity::Member as pinner)]
    pub pinned_by: Option<Id<Member>>,
}

impl Rules for Message {}

#[ComplexObject]
impl Computed<'_, Message> {
    /// The reactions to it, in the order in which the emojis first came; none to a deleted one.
    async fn reactions(&self, ctx: &Context<'_>) -> async_graphql::Result<Vec<ReactionGroup>> {
        Ok(reaction::of(ctx, self).await?)
    }

    /// Whether you follow its thread.
    async fn followed_by_me(&self, ctx: &Context<'_>) -> async_graphql::Result<bool> {
        Ok(thread::following(ctx, self).await?.by_me)
    }

    /// Who follows its thread, the longest first.
    async fn followers(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How many: 0 to 100, 10 unless said otherwise.")] first: Option<i32>,
    ) -> async_graphql::Result<Vec<Arc<Member>>> {
        thread::following(ctx, self).await?.members(ctx, first).await
    }

    /// Whether it mentions you, by your id or as one of all.
    async fn mentions_me(&self, ctx: &Context<'_>) -> async_graphql::Result<bool> {
        Ok(mention::mentions_me(ctx, self)?)
    }

    /// The records that its body links to, each once and in its order: at most 20, those that you may read.
    async fn records(&self, ctx: &Context<'_>) -> Vec<Record> {
        link::records(ctx, self).await
    }

    /// What it said before it was edited, the newest first: at most 50. A deleted one has none.
    async fn versions(&self, ctx: &Context<'_>) -> async_graphql::Result<Vec<MessageVersion>> {
        Ok(version::of(ctx, self).await?)
    }
}

/// A message to send.
#[derive(Clone, Debug, InputObject)]
pub struct MessageSendInput {
    /// To which conversation.
    pub conversation_id: Id<Conversation>,
    /// What to say, in Markdown: 1 to 40 000 characters, or nothing beside files; space around it goes. `<@ID>` mentions a member of the conversation
    /// (at most 50), by the member's id; `<@channel>` all of them; `<@here>` those who are online.
    /// `<#account:ID>`, `<#contact:ID>` and `<#lead:ID>` link to a record, which `records` shows to those who may read it.
    pub body: Option<String>,
    /// Files to bring along, in this order: at most 10, uploaded by yourself and READY.
    pub file_ids: Option<Vec<Id<File>>>,
    /// The message that it replies to: of the same conversation, no reply itself and not deleted. Null: it is no reply.
    pub thread_root_id: Option<Id<Message>>,
    /// The sender's own key for this message, 1 to 100 characters, in all conversations the only one (a UUID, say): sending the
    /// same one again returns the message that exists. Give one always, and send again when no answer came.
    pub client_id: Option<String>,
}

/// A message to edit.
#[derive(Clone, Debug, InputObject)]
pub struct MessageEditInput {
    /// Which message; only one's own, and no SYSTEM one.
    pub id: Id<Message>,
    /// The version that the change is based on; with another by now nothing is written (user error CONFLICT).
    pub expected_version: Option<i32>,
    /// What to say instead, in Markdown: 1 to 40 000 characters, or nothing beside the message's files.
    pub body: String,
}

/// A message to delete.
#[derive(Clone, Debug, InputObject)]
pub struct MessageDeleteInput {
    /// Which message; one's own, or any as owner or moderator of the conversation. A SYSTEM one only as such.
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
    /// Sends a message, or a reply. An answer with a message means that it is stored: every participant will see it once
    /// and in order. An archived conversation takes none, nor does a direct one with a member who cannot be written to at
    /// present, be it that they are suspended (STATE_INVALID).
    async fn message_send(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The message.")] input: MessageSendInput,
    ) -> Option<MessagePayload> {
        or_null(ctx, async { send::send(scope(ctx)?, input).await.map(Some) }).await
    }

    /// Edits one's own message. What it said before is kept among its `versions`.
    ///
    /// Errors: FORBIDDEN for somebody else's message and for a SYSTEM one.
    async fn message_edit(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which message, and the new text.")] input: MessageEditInput,
    ) -> Option<MessagePayload> {
        or_null(ctx, run(scope(ctx), async move |tx| edit(tx, input).await)).await
    }

    /// Deletes a message: its body goes, with earlier versions, reactions, mentions, attachments and pin; its place stays, and so
    /// do replies to it. Files that it brought along stay with whoever uploaded them. Deleting it again changes nothing.
    async fn message_delete(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which message.")] input: MessageDeleteInput,
    ) -> Option<MessagePayload> {
        or_null(ctx, run(scope(ctx), async move |tx| delete(tx, input.id.0).await)).await
    }
}

pub(super) async fn run(
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

/// What is told of a message that does not exist, or not for the caller.
pub(super) fn no_message(field: &str) -> Stop {
    Stop::at(field, UserErrorCode::NotFound, "There is no such message.")
}

/// The message and the caller as participant, both held until the transaction ends: first the caller, as a send holds its
/// sender and then the root, or who does both at once would be in their own way. A message never changes its conversation.
async fn lock(tx: &mut Tx, id: Uuid, field: &str) -> Result<(Message, Participant), Stop> {
    let seen = entity::find_on::<Message>(&tx.scope, tx.reader(), id, DeletedRecords::Include).await?;
    let seen = seen.ok_or_else(|| no_message(field))?;
    let me = hold_own(tx, seen.conversation_id.0).await?.ok_or_else(|| no_message(field))?;
    let mut sql = entity::select(Message::table());
    entity::push_visible(Message::table(), &tx.scope, DeletedRecords::Include, &mut sql);
    sql.push(" AND t0.id = ").bind(Bind::Uuid(Some(id))).push(" FOR NO KEY UPDATE OF t0");
    let found: Vec<Message> = sql.load(tx.conn()).await?;
    let message = found.into_iter().next().ok_or_else(|| no_message(field))?;
    Ok((message, me))
}

/// As `lock`, of a conversation that takes something: not archived, nor closed by a block. Who writes at that very moment may
/// still come behind it: to hold the conversation would hold up whoever sends.
pub(super) async fn lock_open(tx: &mut Tx, id: Uuid, field: &str) -> Result<(Message, Participant), Stop> {
    let (message, me) = lock(tx, id, field).await?;
    let closed = block::closed(&tx.scope, tx.reader(), message.conversation_id.0, field).await?;
    closed.map_or(Ok((message, me)), Err)
}

async fn edit(tx: &mut Tx, input: MessageEditInput) -> Result<Message, Stop> {
    let mut errors = UserErrors::default();
    let body = tidied(input.body, &mut errors);
    if !errors.is_empty() {
        return Err(errors.into());
    }
    let (mut message, _) = lock_open(tx, input.id.0, "id").await?;
    if message.sender_id.0 != tx.scope.actor.member {
        return Err(crate::Error::forbidden("Only the sender may edit a message.").into());
    }
    if message.kind == MessageKind::System {
        return Err(crate::Error::forbidden("What Stoa tells of a conversation is not edited.").into());
    }
    if message.deleted_at.is_some() {
        return Err(Stop::at("id", UserErrorCode::StateInvalid, "The message was deleted."));
    }
    if input.expected_version.is_some_and(|expected| expected != message.version) {
        errors.add("expectedVersion", UserErrorCode::Conflict, "The message was changed in the meantime.");
        return Err(Stop::Rejected(Rejection { errors, current: Some(message.id.0) }));
    }
    if message.body.as_ref() == Some(&body) {
        return Ok(message);
    }
    demand_content(&body, body.is_empty() && attachment::has_any(tx, message.id.0).await?, &mut errors);
    if !errors.is_empty() {
        return Err(errors.into());
    }
    version::keep(tx, &message).await?;
    message.kind = MessageKind::of(&body);
    let before = message.body.replace(body).map(|body| Named::by(&body)).unwrap_or_default();
    mention::renew(tx, &message, &before).await?;
    message.edited_at = Some(tx.now);
    store(tx, &mut message).await?;
    tell_of(tx, &message, "message_edited")?;
    Ok(message)
}

async fn delete(tx: &mut Tx, id: Uuid) -> Result<Message, Stop> {
    let (mut message, me) = lock(tx, id, "id").await?;
    let is_own = message.sender_id == me.member_id && message.kind != MessageKind::System;
    if !is_own && me.role == ParticipantRole::Member {
        return Err(crate::Error::forbidden("Only the sender, owners and moderators may delete a message.").into());
    }
    if message.deleted_at.is_some() {
        return Ok(message);
    }
    let before = message.body.take().map(|body| Named::by(&body)).unwrap_or_default();
    mention::renew(tx, &message, &before).await?;
    version::forget(tx, &message, message.version).await?;
    attachment::forget(tx, message.id.0).await?;
    let reactions = reactions::table
        .filter(reactions::organization_id.eq(tx.scope.actor.organization))
        .filter(reactions::message_id.eq(message.id.0));
    diesel::delete(reactions).execute(tx.conn()).await?;
    (message.pinned_at, message.pinned_by, message.system) = (None, None, None);
    message.deleted_at = Some(tx.now);
    store(tx, &mut message).await?;
    diesel::update(messages::table.find((tx.scope.actor.organization, message.id.0)))
        .set(messages::deleted_by.eq(tx.scope.actor.member))
        .execute(tx.conn())
        .await?;
    forget_bodies(tx.conn(), message.conversation_id.0, vec![message.id.0]).await?;
    tell_of(tx, &message, MESSAGE_DELETED)?;
    Ok(message)
}

pub(super) async fn store(tx: &mut Tx, message: &mut Message) -> Result<(), Stop> {
    message.version += 1;
    message.updated_at = tx.now;
    diesel::update(messages::table.find((tx.scope.actor.organization, message.id.0)))
        .set((
            messages::kind.eq(message.kind.word()),
            messages::body.eq(&message.body),
            messages::system.eq(message
                .system
                .as_ref()
                .map(serde_json::to_value)
                .transpose()
                .map_err(crate::Error::from)?),
            messages::edited_at.eq(message.edited_at.map(|time| time.0)),
            messages::deleted_at.eq(message.deleted_at.map(|time| time.0)),
            messages::pinned_at.eq(message.pinned_at.map(|time| time.0)),
            messages::pinned_by.eq(message.pinned_by.map(|id| id.0)),
            messages::version.eq(message.version),
            messages::updated_at.eq(message.updated_at.0),
        ))
        .execute(tx.conn())
        .await?;
    Ok(())
}

pub(super) fn tell_of(tx: &mut Tx, message: &Message, kind: &'static str) -> crate::Result<()> {
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
