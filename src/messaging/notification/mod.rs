//! Notifications: what a member is told of that concerns them, beside the conversations themselves. Invariant: they are the
//! member's alone, follow from the log (`follow`) and hold no content: what they are about is read where it is shown, behind
//! the wall. One about a message is read as soon as its member has read the conversation so far (`read`).

pub mod feed;
pub mod follow;
pub mod purge;
pub mod read;
mod step;
mod told;
mod waiting;

use super::{conversation::Conversation, message::Message};
use crate::{
    db_enum,
    error::Result,
    events::{Cursor, stream_of_member},
    identity::Member,
    kit::{
        filter::{Budget, Filter},
        id::Id,
        permission::{Action, Resource},
        predicate::Predicate,
        relation::or_null,
        resolve::scope,
        rules::Rules,
        scalars::DateTime,
        scope::{Actor, Scope},
        sql::Sql,
        value::Bind,
    },
};
use async_graphql::{Context, NewType, Object, SimpleObject};
use diesel::{QueryableByName, sql_types};
use diesel_async::RunQueryDsl;
use stoa_macros::entity;
use uuid::Uuid;

db_enum! {
    /// Why a member is notified. More kinds come with time: show one that you do not know by its `actor` and
    /// `conversation`.
    pub enum NotificationKind, filter NotificationKindFilter {
        /// A message mentions them, by their id or as one of all, of whom at most 1 000 are notified: those who looked last.
        Mention = "mention",
        /// Somebody has replied in a thread that they follow.
        Reply = "reply",
        /// Somebody has written to them alone.
        DirectMessage = "direct_message",
        /// Somebody has asked them to be a contact.
        ContactRequest = "contact_request",
        /// Somebody has brought them into a group or channel.
        AddedToConversation = "added_to_conversation",
    }
}

/// Something that a member was told of. Nobody else sees it. It holds no text: `message` has it, as long as you may read it.
/// Those that are read go after 90 days, and the oldest when there are more than 2 000.
#[entity(resource = Conversation, plural = notifications, visible_by = own, read_only,
    filters(unread: Unread = "True: those that you have not read; false: those that you have."))]
pub struct Notification {
    pub id: Id<Notification>,
    /// Why you were told.
    #[entity(filter, group)]
    pub kind: NotificationKind,
    /// The id of the conversation; null: it is about none.
    #[entity(filter, group, belongs_to = super::conversation::Conversation)]
    pub conversation_id: Option<Id<Conversation>>,
    /// The id of the message; null: it is about none. `message` is null once you have left the conversation, and has no body
    /// once it was deleted.
    #[entity(filter, belongs_to = super::message::Message)]
    pub message_id: Option<Id<Message>>,
    /// The number of the message in its conversation, for `messagesAround`; null: it is about none.
    #[entity()]
    pub message_seq: Option<i64>,
    /// The id of the member who did it; null: nobody in particular.
    #[entity(filter, group, belongs_to = crate::identity::Member as actor)]
    pub actor_id: Option<Id<Member>>,
    /// When you read it: marked it, or read the conversation as far as its message. Null: you have not.
    #[entity()]
    pub read_at: Option<DateTime>,
}

impl Rules for Notification {}

/// The wall: one's own.
fn own(actor: &Actor, sql: &mut Sql, alias: &'static str) {
    sql.push(" AND ").push(alias).push(".member_id = ").bind(Bind::Uuid(Some(actor.member)));
}

/// Whether a notification is new to its member.
#[derive(Clone, Debug, Default, NewType)]
pub struct Unread(bool);

impl Filter for Unread {
    fn predicate(self, budget: &mut Budget) -> Result<Predicate> {
        budget.leaf()?;
        let unread = Predicate::Viewer(|_, sql, alias| push_unread(alias, sql));
        Ok(if self.0 { unread } else { Predicate::Not(Box::new(unread)) })
    }
}

/// Pushes that its member has not read the notification `alias`.
fn push_unread(alias: &'static str, sql: &mut Sql) {
    sql.push(alias).push(".marked_at IS NULL AND NOT EXISTS (SELECT 1 FROM participants p WHERE p.organization_id = ");
    sql.push(alias).push(".organization_id AND p.conversation_id = ").push(alias);
    sql.push(".conversation_id AND p.member_id = ").push(alias).push(".member_id AND p.read_seq >= ").push(alias);
    sql.push(".message_seq)");
}

/// How your notifications stand.
#[derive(Clone, Debug, SimpleObject)]
pub struct NotificationCounts {
    /// How many you have not read.
    pub unread: i64,
    /// Behind the newest event at the moment that they were counted: give it as `after` to `notificationEvents` to miss
    /// nothing of what comes. To show a list as well, fetch it after this, not in the same request.
    pub cursor: String,
}

/// Queries.
#[derive(Default)]
pub struct NotificationCountsQuery;

#[Object]
impl NotificationCountsQuery {
    /// How many notifications you have not read, and where their feed stands.
    async fn notification_counts(&self, ctx: &Context<'_>) -> Option<NotificationCounts> {
        or_null(ctx, async { counts(scope(ctx)?).await.map(Some) }).await
    }
}

#[derive(QueryableByName)]
struct Counted {
    #[diesel(sql_type = sql_types::BigInt)]
    unread: i64,
    #[diesel(sql_type = sql_types::Nullable<sql_types::BigInt>)]
    seq: Option<i64>,
    #[diesel(sql_type = sql_types::Nullable<sql_types::Uuid>)]
    id: Option<Uuid>,
}

/// Both in one statement, and so of one moment.
async fn counts(scope: &Scope) -> Result<NotificationCounts> {
    scope.actor.demand(Resource::Conversation, Action::Read)?;
    let stream = scope.stream(stream_of_member(scope.actor.member));
    let organization = || Bind::Uuid(Some(scope.actor.organization));
    let mut sql = Sql::new(
        "SELECT n.unread, e.seq, e.id FROM (SELECT count(*) AS unread FROM notifications n WHERE n.organization_id = ",
    );
    sql.bind(organization()).push(" AND n.member_id = ").bind(Bind::Uuid(Some(scope.actor.member))).push(" AND ");
    push_unread("n", &mut sql);
    sql.push(") n LEFT JOIN (SELECT seq, id FROM events WHERE organization_id = ").bind(organization());
    sql.push(" AND stream_id = ").bind(Bind::Uuid(Some(stream.stream))).push(" ORDER BY seq DESC LIMIT 1) e ON true");
    let counted: Counted = sql.get_result(&mut &*scope.reader().await?).await?;
    let cursor = Cursor::behind(stream, counted.seq.zip(counted.id)).encode();
    Ok(NotificationCounts { unread: counted.unread, cursor })
}
