//! Messages that are written now and sent later. Invariants: nobody but who wrote one knows of it, before it is sent; it is sent
//! once or not at all, as a message of its author with what they may do by then; what is acknowledged holds: one that was
//! cancelled or put off is not sent behind that.
//!
//! `change` writes and changes them, `deliver` sends them; `overdue` and `orphan` see to those that are not sent.

mod change;
mod deliver;
mod orphan;
mod overdue;

pub use deliver::SendScheduled;
pub use orphan::bereave;
pub use overdue::FailOverdue;

use super::{conversation::Conversation, message::Message, participant::may_talk};
use crate::{
    db_enum,
    error::Result,
    events::{Change, Event, StreamKind, stream_of_member},
    files::file::File,
    kit::{
        entity,
        id::Id,
        relation::{Computed, or_null, to_one},
        resolve::{self, scope},
        rules::Rules,
        scalars::DateTime,
        scope::{Actor, Scope},
        sql::Sql,
        user_error::UserError,
        value::Bind,
        write::{Outcome, Stop, Tx},
    },
};
use async_graphql::{ComplexObject, Context, InputObject, MaybeUndefined, Object, SimpleObject};
use futures_util::future::join_all;
use serde_json::json;
use std::sync::Arc;
use stoa_macros::entity;
use uuid::Uuid;

db_enum! {
    /// What has come of a scheduled message.
    pub enum ScheduledMessageStatus, filter ScheduledMessageStatusFilter {
        /// It will be sent.
        Pending = "pending",
        /// It was sent: `message`.
        Sent = "sent",
        /// It could not be sent: `failureCode` and `failureMessage` say why.
        Failed = "failed",
        /// Its author took it back.
        Cancelled = "cancelled",
    }
}

/// A message that you have written to be sent later. Nobody else sees it. Lists begin with the one whose time is the latest, unless
/// ordered otherwise.
#[entity(resource = Conversation, plural = scheduled_messages, visible_by = own, read_only, computed, newest = scheduled_for)]
pub struct ScheduledMessage {
    pub id: Id<ScheduledMessage>,
    /// The id of the conversation.
    #[entity(filter, group, belongs_to = super::conversation::Conversation)]
    pub conversation_id: Id<Conversation>,
    /// The id of the message that it will reply to, the root of its thread; null: it is no reply, or it is FAILED and that message
    /// is not kept any more.
    #[entity(filter, belongs_to = super::message::Message as thread_root)]
    pub thread_root_id: Option<Id<Message>>,
    /// What it will say, in Markdown, as `Message.body`. Empty: it only brings files along. Null: it was sent, and the message
    /// has it, or it was cancelled.
    #[entity(search)]
    pub body: Option<String>,
    /// The ids of the files that it will bring along. `Computed` shows them.
    #[entity(unshown)]
    pub file_ids: Vec<String>,
    /// Your own key for it.
    #[entity()]
    pub client_id: Option<String>,
    /// When it will be, or was to be, sent. As precise as a second or two, while the server runs.
    #[entity(filter, order)]
    pub scheduled_for: DateTime,
    /// What has come of it.
    #[entity(filter, group)]
    pub status: ScheduledMessageStatus,
    /// The id of the message that it has become; null unless `status` is SENT. Its `clientId` is `scheduled:` and the id of this.
    #[entity(filter, belongs_to = super::message::Message)]
    pub message_id: Option<Id<Message>>,
    /// Why it could not be sent, for programs: a code of user errors, such as NOT_FOUND (you are not in the conversation any more,
    /// a file or the message that it replies to is gone, somebody is mentioned who is not there) or STATE_INVALID (archived, or the
    /// other cannot be written to), or one of errors, such as FORBIDDEN, or UNAUTHENTICATED for that of an API key that has ended.
    /// Null unless `status` is FAILED.
    #[entity()]
    pub failure_code: Option<String>,
    /// The same in plain English.
    #[entity()]
    pub failure_message: Option<String>,
}

impl Rules for ScheduledMessage {}

/// The wall: one's own.
fn own(actor: &Actor, sql: &mut Sql, alias: &'static str) {
    sql.push(" AND ").push(alias).push(".created_by = ").bind(Bind::Uuid(Some(actor.member)));
}

impl ScheduledMessage {
    fn files(&self) -> impl Iterator<Item = Uuid> {
        self.file_ids.iter().filter_map(|id| Uuid::try_parse(id).ok())
    }
}

#[ComplexObject]
impl Computed<'_, ScheduledMessage> {
    /// The ids of the files that it will bring along, in their order; none once it was sent or cancelled.
    async fn file_ids(&self) -> Vec<Id<File>> {
        ScheduledMessage::files(self).map(Into::into).collect()
    }

    /// These files; those that are gone are left out.
    async fn files(&self, ctx: &Context<'_>) -> Vec<Arc<File>> {
        let found = ScheduledMessage::files(self).map(|id| to_one::<File>(ctx, Some(id)));
        join_all(found).await.into_iter().flatten().collect()
    }
}

/// A message to send later.
#[derive(Clone, Debug, InputObject)]
pub struct MessageScheduleInput {
    /// To which conversation.
    pub conversation_id: Id<Conversation>,
    /// What to say, as in `messageSend`.
    pub body: Option<String>,
    /// Files to bring along, as in `messageSend`.
    pub file_ids: Option<Vec<Id<File>>>,
    /// The message that it replies to, as in `messageSend`.
    pub thread_root_id: Option<Id<Message>>,
    /// When to send it: 5 seconds to 366 days ahead.
    pub scheduled_for: DateTime,
    /// Your own key for it, 1 to 100 characters: scheduling the same one again returns the one that exists.
    pub client_id: Option<String>,
}

/// Changes to a scheduled message: what is left out stays, null clears.
#[derive(Clone, Debug, InputObject)]
pub struct ScheduledMessageUpdateInput {
    /// Which; one that is PENDING.
    pub id: Id<ScheduledMessage>,
    /// The version that the change is based on; with another by now nothing is written (user error CONFLICT).
    pub expected_version: Option<i32>,
    /// What to say instead; null or empty beside files.
    pub body: MaybeUndefined<String>,
    /// Which files to bring along instead.
    pub file_ids: MaybeUndefined<Vec<Id<File>>>,
    /// When to send it instead: 5 seconds to 366 days ahead; not null.
    pub scheduled_for: MaybeUndefined<DateTime>,
}

/// Which scheduled message.
#[derive(Clone, Debug, InputObject)]
pub struct ScheduledMessageInput {
    /// Which.
    pub id: Id<ScheduledMessage>,
    /// The version that you have seen; with another by now nothing is done (user error CONFLICT).
    pub expected_version: Option<i32>,
}

/// What came of scheduling a message, or of a change of one.
#[derive(SimpleObject)]
pub struct ScheduledMessagePayload {
    /// The scheduled message as it is now; null when nothing was written, save for a CONFLICT, which shows it as it stands.
    pub scheduled_message: Option<Arc<ScheduledMessage>>,
    /// What the user has to mend; empty: all is well.
    pub user_errors: Vec<UserError>,
    /// The whole graph, to read on from here.
    pub query: crate::graphql::Query,
}

/// Mutations.
#[derive(Default)]
pub struct ScheduledMutation;

#[Object]
impl ScheduledMutation {
    /// Writes a message that is sent at a time of its own, as `messageSend` would send it then, with what you may do by then. One
    /// that an API key has written, or was the last to change, is sent with what the key may by then, and not once it has ended.
    /// What can no longer be sent becomes FAILED. As long as the organization is suspended or deleted it waits, and is sent within an
    /// hour of its return. Your other devices hear of it (`ScheduledMessageChanged`), and nobody else.
    ///
    /// User errors: those of `messageSend`; OUT_OF_RANGE for a time that is not 5 seconds to 366 days ahead; LIMIT_EXCEEDED
    /// (without a field) for more than 500 of yours that are PENDING.
    async fn message_schedule(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The message, and when.")] input: MessageScheduleInput,
    ) -> Option<ScheduledMessagePayload> {
        run(ctx, async move |tx| change::schedule(tx, input).await).await
    }

    /// Changes a scheduled message that is PENDING.
    ///
    /// User errors: those of `messageSchedule`; NOT_FOUND where there is none of yours; STATE_INVALID when it is not PENDING any
    /// more, is being sent at this very moment, or could not be sent now (`id`); CONFLICT.
    async fn scheduled_message_update(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which, and what changes.")] input: ScheduledMessageUpdateInput,
    ) -> Option<ScheduledMessagePayload> {
        run(ctx, async move |tx| change::update(tx, input).await).await
    }

    /// Takes back a scheduled message that is PENDING, or puts away one that is FAILED: its body goes. Again changes nothing.
    ///
    /// User errors: NOT_FOUND where there is none of yours; STATE_INVALID when it was sent, or is being sent at this very
    /// moment; CONFLICT.
    async fn scheduled_message_cancel(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which.")] input: ScheduledMessageInput,
    ) -> Option<ScheduledMessagePayload> {
        run(ctx, async move |tx| change::cancel(tx, &input).await).await
    }

    /// Sends a scheduled message that is PENDING now. One that was sent already stays as it is: however often, it is sent once.
    /// What cannot be sent at present stays PENDING for its time.
    ///
    /// User errors: NOT_FOUND where there is none of yours; STATE_INVALID when it is FAILED or CANCELLED; CONFLICT; those of
    /// `messageSend`, all of them at `id`.
    async fn scheduled_message_send_now(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which.")] input: ScheduledMessageInput,
    ) -> Option<ScheduledMessagePayload> {
        or_null(ctx, async {
            let scope = scope(ctx)?;
            may_talk(scope)?;
            let result = deliver::send_now(scope, &input).await?.map(|()| input.id.0);
            resolve::changed::<ScheduledMessage, _>(ctx, result).await.map(Some)
        })
        .await
    }
}

async fn run(
    ctx: &Context<'_>,
    write: impl AsyncFnOnce(&mut Tx) -> Result<Uuid, Stop>,
) -> Option<ScheduledMessagePayload> {
    resolve::change::<ScheduledMessage, _>(ctx, async move |tx| {
        may_talk(&tx.scope)?;
        write(tx).await
    })
    .await
}

impl From<Outcome<ScheduledMessage>> for ScheduledMessagePayload {
    fn from(Outcome { record, errors }: Outcome<ScheduledMessage>) -> Self {
        ScheduledMessagePayload { scheduled_message: record, user_errors: errors, query: Default::default() }
    }
}

/// What the log calls a change of a scheduled message; the audit trail leaves it out.
pub const CHANGED: &str = "scheduled_message_changed";

/// What the author's own stream is told. What it is now is read where it is shown: a text that was taken back is nowhere any
/// more.
fn changed(author: Uuid, id: Uuid) -> Change {
    Change {
        stream: stream_of_member(author),
        stream_kind: StreamKind::Member,
        kind: CHANGED,
        entity: "ScheduledMessage",
        entity_id: id,
        payload: json!({}).into(),
    }
}

/// You have scheduled a message, changed or cancelled one, perhaps on another device, or its time has come. What happened while
/// nobody listened is not told: subscribe, then fetch the list.
#[derive(Clone, Debug, SimpleObject)]
pub struct ScheduledMessageChanged {
    /// Which.
    pub scheduled_message_id: Id<ScheduledMessage>,
    /// As it is now; null: it is gone, with its conversation.
    pub scheduled_message: Option<Arc<ScheduledMessage>>,
}

impl ScheduledMessageChanged {
    /// What the event of the member's own stream says, as it is by now.
    pub async fn of(scope: &Scope, event: &Event) -> Result<Self> {
        let scheduled_message = entity::find(scope, event.entity_id, &[]).await?;
        Ok(ScheduledMessageChanged { scheduled_message_id: event.entity_id.into(), scheduled_message })
    }
}
