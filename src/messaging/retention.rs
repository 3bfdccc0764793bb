//! Messages whose time is over: an organization says by the kind of conversation how long they are kept. Invariant: what is removed
//! is gone from everywhere, earlier versions and the log included, in the transaction that tells of it; numbers are not used
//! again, and a root that is still replied to keeps its place as a deleted one does, until its last reply goes.

use super::{
    conversation::{Conversation, ConversationKind, change},
    message::Message,
    scheduled::bereave,
};
use crate::{
    app::App,
    error::{Error, Result},
    events::{Change, Event, Hub, MESSAGE_DELETED, MESSAGES_EXPIRED, Origin, forget_bodies},
    identity::message_retention::MessageRetention,
    kit::{
        entity::Entity, failures::Failures, id::Id, organizations::each_organization, scalars::DateTime, sql::Sql,
        value::Bind,
    },
    platform::{
        database::Transaction,
        jobs::{Failure, Job, Run},
    },
    schema::{conversations, mentions, message_attachments, message_versions, messages, organizations, reactions},
};
use async_graphql::SimpleObject;
use chrono::{TimeDelta, Utc};
use diesel::{QueryableByName, prelude::*, sql_types};
use diesel_async::RunQueryDsl;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::{sync::Arc, time::Duration};
use uuid::Uuid;

/// Messages removed in one transaction, during which nobody sends into their conversation.
const BATCH: u32 = 500;
/// Conversations looked for at once.
const PAGE: u32 = 500;
/// Messages were removed for good, since the time that the organization keeps them is over.
#[derive(Clone, Debug, SimpleObject)]
pub struct MessagesExpired {
    /// The place of this event: give it as `after` to go on behind it.
    pub cursor: String,
    /// When it happened.
    pub occurred_at: DateTime,
    /// All messages up to this number are gone, save for `kept`: the conversation's `expiredSeq` now.
    pub up_to: i64,
    /// The ids of those that are still replied to: deleted, as `MessageDeleted` tells of each, and there as long as the newest reply.
    pub kept: Vec<Id<Message>>,
}

/// As the log has it.
#[derive(Serialize, Deserialize)]
struct Expired {
    up_to: i64,
    kept: Vec<Id<Message>>,
}

impl MessagesExpired {
    pub fn of(event: &Event) -> Result<Self> {
        let expired = event.payload.member("expired")?;
        let Expired { up_to, kept } = expired.ok_or_else(|| Error::ours("an event without what expired"))?;
        Ok(MessagesExpired { cursor: event.cursor().encode(), occurred_at: DateTime(event.at), up_to, kept })
    }
}

/// Whether an event tells of a message that said something then and is gone by now, so that it is not told as others were told.
pub fn is_silenced(event: &Event) -> bool {
    #[derive(Deserialize)]
    struct Says {
        body: Option<String>,
    }
    event.kind != MESSAGE_DELETED && matches!(event.payload.member("message"), Ok(Some(Says { body: None })))
}

/// Removes messages whose time is over, of all organizations.
#[derive(Debug, Serialize, Deserialize)]
pub struct ExpireMessages {}

impl Job for ExpireMessages {
    const KIND: &'static str = "expire_messages";
    /// The next one comes within the hour.
    const ATTEMPTS: i32 = 3;
    const TIME: Duration = Duration::from_secs(3600);
}

impl Run<Arc<App>> for ExpireMessages {
    async fn run(self, app: &Arc<App>) -> Result<(), Failure> {
        Ok(each_organization(app, |organization| expire(app, organization)).await?)
    }
}

/// Removes messages whose time is over, of one organization.
pub async fn expire(app: &App, organization: Uuid) -> Result<()> {
    let kept = organizations::table.find(organization).select(MessageRetention::as_select());
    let kept = kept.first(&mut *app.database.of(organization).await?).await.optional()?;
    let Some(MessageRetention { direct, group, channel, record }) = kept else { return Ok(()) };
    let mut failures = Failures::default();
    for (kind, days) in [
        (ConversationKind::Direct, direct),
        (ConversationKind::Group, group),
        (ConversationKind::Channel, channel),
        (ConversationKind::Record, record),
    ] {
        let Some(days) = days else { continue };
        let before = Utc::now() - TimeDelta::days(days.max(1).into());
        let mut page = Some(Uuid::nil());
        while let Some(after) = page {
            let due = due(app, organization, kind, before, after).await?;
            page = due.last().copied().filter(|_| due.len() == PAGE as usize);
            for conversation in due {
                let expired = expire_all(app, organization, conversation, before).await;
                failures.note("a conversation", conversation, expired);
            }
        }
    }
    failures.end()
}

#[derive(QueryableByName)]
struct Found {
    #[diesel(sql_type = sql_types::Uuid)]
    id: Uuid,
}

/// Pushes ` FROM messages m WHERE …`: those of the conversation `c` whose time is over and that are not gone yet.
fn push_over(sql: &mut Sql, before: chrono::DateTime<Utc>) {
    sql.push(" FROM messages m WHERE m.organization_id = c.organization_id AND m.conversation_id = c.id");
    sql.push(" AND m.seq > c.expired_seq AND m.created_at < ").bind(Bind::Time(Some(before)));
}

/// Conversations of that kind with messages whose time is over, by id.
async fn due(
    app: &App,
    organization: Uuid,
    kind: ConversationKind,
    before: chrono::DateTime<Utc>,
    after: Uuid,
) -> Result<Vec<Uuid>> {
    let mut sql = Sql::new("SELECT c.id FROM conversations c WHERE c.organization_id = ");
    sql.bind(Bind::Uuid(Some(organization))).push(" AND c.kind = ").bind(Bind::Text(Some(kind.word().into())));
    sql.push(" AND c.id > ").bind(Bind::Uuid(Some(after))).push(" AND EXISTS (SELECT");
    push_over(&mut sql, before);
    sql.push(") ORDER BY c.id LIMIT ").number(PAGE);
    let due: Vec<Found> = sql.load(&mut *app.database.of(organization).await?).await?;
    Ok(due.into_iter().map(|found| found.id).collect())
}

#[derive(QueryableByName)]
struct UpTo {
    #[diesel(sql_type = sql_types::Nullable<sql_types::BigInt>)]
    seq: Option<i64>,
}

/// Removes all of a conversation whose time is over.
async fn expire_all(app: &App, organization: Uuid, conversation: Uuid, before: chrono::DateTime<Utc>) -> Result<()> {
    while expire_some(app, organization, conversation, before).await? {}
    Ok(())
}

/// Removes the oldest of a conversation. Whether there may be more.
async fn expire_some(app: &App, organization: Uuid, conversation: Uuid, before: chrono::DateTime<Utc>) -> Result<bool> {
    let mut tx = app.database.of(organization).await?.begin().await?;
    // Held before its messages, as a send does: nobody replies to what goes at this moment.
    let row = || conversations::table.find((organization, conversation));
    row().select(conversations::id).for_no_key_update().load::<Uuid>(&mut *tx).await?;
    let mut sql = Sql::new("SELECT max(oldest.seq) AS seq FROM conversations c, LATERAL (SELECT m.seq");
    push_over(&mut sql, before);
    sql.push(" ORDER BY m.created_at, m.seq LIMIT ").number(BATCH).push(") oldest WHERE c.organization_id = ");
    sql.bind(Bind::Uuid(Some(organization))).push(" AND c.id = ").bind(Bind::Uuid(Some(conversation)));
    let over: UpTo = sql.get_result(&mut *tx).await?;
    let Some(up_to) = over.seq else {
        tx.rollback().await?;
        return Ok(false);
    };
    let (gone, replies) = remove(&mut tx, organization, conversation, up_to).await?;
    let of_conversation = messages::table
        .filter(messages::organization_id.eq(organization).and(messages::conversation_id.eq(conversation)))
        .filter(messages::seq.le(up_to));
    let kept: Vec<Uuid> = of_conversation.order(messages::seq).select(messages::id).load(&mut *tx).await?;
    let emptied = empty(&mut tx, organization, &kept).await?;
    diesel::update(row()).set(conversations::expired_seq.eq(up_to)).execute(&mut *tx).await?;
    // Also what was deleted before, and said something once.
    forget_bodies(&mut tx, conversation, gone.into_iter().chain(kept.iter().copied()).collect()).await?;
    let mut told = emptied.iter().map(|message| message.change(MESSAGE_DELETED)).collect::<Result<Vec<_>>>()?;
    let payload = json!({ "expired": Expired { up_to, kept: kept.into_iter().map(Into::into).collect() } });
    told.push(change(Id::<Conversation>::from(conversation), MESSAGES_EXPIRED, "Conversation", conversation, payload));
    told.extend(replies);
    let events = Hub::append(&mut tx, organization, &Origin::default(), told).await?;
    tx.commit().await?;
    app.hub.publish(events);
    Ok(true)
}

/// Removes the messages up to this number that nothing behind it replies to; the ids of these, and what authors of scheduled
/// replies are told. Their keys take along what else hangs on them.
async fn remove(
    tx: &mut Transaction,
    organization: Uuid,
    conversation: Uuid,
    up_to: i64,
) -> Result<(Vec<Uuid>, Vec<Change>)> {
    let mut sql = Sql::new("SELECT m.id FROM messages m WHERE m.organization_id = ");
    sql.bind(Bind::Uuid(Some(organization))).push(" AND m.conversation_id = ").bind(Bind::Uuid(Some(conversation)));
    sql.push(" AND m.seq <= ").bind(Bind::BigInt(Some(up_to))).push(
        " AND NOT EXISTS (SELECT FROM messages r WHERE r.organization_id = m.organization_id AND r.thread_root_id = m.id
           AND r.seq > ",
    );
    // So that nobody schedules a reply to them in between.
    sql.bind(Bind::BigInt(Some(up_to))).push(") FOR UPDATE OF m");
    let gone: Vec<Found> = sql.load(&mut **tx).await?;
    let gone: Vec<Uuid> = gone.into_iter().map(|found| found.id).collect();
    let told = bereave(tx, organization, &gone).await?;
    let rows = messages::table.filter(messages::organization_id.eq(organization).and(messages::id.eq_any(&gone)));
    diesel::delete(rows).execute(&mut **tx).await?;
    Ok((gone, told))
}

/// Takes from these messages what `messageDelete` takes; those that were not deleted before, as they are now.
async fn empty(tx: &mut Transaction, organization: Uuid, kept: &[Uuid]) -> Result<Vec<Message>> {
    if kept.is_empty() {
        return Ok(Vec::new());
    }
    let now = || Bind::Time(Some(DateTime::now().0));
    let mut sql = Sql::new("UPDATE messages t0 SET body = NULL, system = NULL, pinned_at = NULL, pinned_by = NULL, ");
    sql.push("deleted_at = ");
    sql.bind(now()).push(", updated_at = ").bind(now()).push(", version = t0.version + 1 WHERE t0.organization_id = ");
    sql.bind(Bind::Uuid(Some(organization))).push(" AND t0.deleted_at IS NULL AND t0.id = ANY(");
    sql.bind(Bind::Uuids(kept.to_vec())).push(") RETURNING ").push(Message::table().select);
    let mut emptied: Vec<Message> = sql.load(&mut **tx).await?;
    emptied.sort_by_key(|message| message.seq);
    macro_rules! forget {
        ($($table:ident),*) => {$(
            let of = $table::table.filter($table::organization_id.eq(organization).and($table::message_id.eq_any(kept)));
            diesel::delete(of).execute(&mut **tx).await?;
        )*};
    }
    forget!(reactions, mentions, message_versions, message_attachments);
    Ok(emptied)
}
