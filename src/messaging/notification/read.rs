//! Reading notifications: by marking them, or by reading the conversation as far as their message. Invariant: what was read
//! stays read. A position alone makes what lies before it read, at once; that it is marked as well, and told to the member's
//! devices, follows (`settle`), so that nobody who sends or reads a message waits for it.

use super::{Notification, push_unread};
use crate::{
    error::Result,
    events::{Change, Hub, NUMBER_AND_STORE, Payload, StreamKind, event_id, stream_of_member},
    kit::{
        id::Id,
        relation::or_null,
        resolve::scope,
        scalars::DateTime,
        sql::Sql,
        user_error::{UserError, UserErrorCode, UserErrors},
        value::Bind,
        write::{Stop, Tx},
    },
    messaging::{conversation::Conversation, participant::may_talk},
};
use async_graphql::{Context, Object, OneofObject, SimpleObject};
use chrono::Utc;
use diesel::{QueryableByName, sql_types};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::HashSet;
use uuid::Uuid;

/// What the log calls notifications that were read, on their member's stream; the audit trail leaves it out.
pub const READ: &str = "notifications_read";
/// Notifications of one event at most.
const TOLD: usize = 500;
/// Ids in one input at most.
const MOST: usize = 100;
/// Seats that are looked for at once.
const SEATS: u32 = 1_000;

/// What the log says of notifications that were read.
#[derive(Serialize, Deserialize)]
pub struct Read {
    pub ids: Vec<Id<Notification>>,
    pub read_at: DateTime,
}

/// Which notifications to mark as read.
#[derive(Clone, Debug, OneofObject)]
pub enum NotificationsMarkReadInput {
    /// These, at most 100.
    Ids(Vec<Id<Notification>>),
    /// All about this conversation, also that you were brought into it. Your position in it stays where it is:
    /// `conversationMarkRead` moves that, and reads what lies before it.
    ConversationId(Id<Conversation>),
    /// All of them: true.
    All(bool),
}

/// What came of marking notifications as read.
#[derive(SimpleObject, Default)]
pub struct NotificationsMarkReadPayload {
    /// How many were new until now; 0 when all were read already, or nothing was written.
    pub marked: i32,
    /// What the user has to mend; empty: all is well.
    pub user_errors: Vec<UserError>,
    /// The whole graph, to read on from here.
    pub query: crate::graphql::Query,
}

/// Mutations.
#[derive(Default)]
pub struct NotificationMutation;

#[Object]
impl NotificationMutation {
    /// Marks notifications as read. Those that are stay as they are; nothing makes them new again. Your other devices hear
    /// of it (`NotificationsRead`).
    ///
    /// User errors: NOT_FOUND for an id that none of your notifications has, and then none is marked; TOO_LONG for more than
    /// 100 ids; INVALID for `all: false`.
    async fn notifications_mark_read(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which.")] input: NotificationsMarkReadInput,
    ) -> Option<NotificationsMarkReadPayload> {
        or_null(ctx, async {
            let scope = scope(ctx)?;
            may_talk(scope)?;
            let mut tx = scope.begin().await?;
            let result = mark(&mut tx, input).await;
            Ok(Some(match tx.finish(result).await? {
                Ok(marked) => {
                    let marked = i32::try_from(marked).unwrap_or(i32::MAX);
                    NotificationsMarkReadPayload { marked, ..Default::default() }
                }
                Err(rejection) => {
                    NotificationsMarkReadPayload { user_errors: rejection.errors.into(), ..Default::default() }
                }
            }))
        })
        .await
    }
}

#[derive(QueryableByName)]
struct Found {
    #[diesel(sql_type = sql_types::Uuid)]
    id: Uuid,
}

async fn mark(tx: &mut Tx, input: NotificationsMarkReadInput) -> Result<usize, Stop> {
    let (organization, member) = (tx.scope.actor.organization, tx.scope.actor.member);
    let mut sql = Sql::new("WITH due AS (SELECT n.id FROM notifications n WHERE n.organization_id = ");
    sql.bind(Bind::Uuid(Some(organization))).push(" AND n.member_id = ").bind(Bind::Uuid(Some(member)));
    match input {
        NotificationsMarkReadInput::Ids(ids) => {
            check(tx, &ids).await?;
            sql.push(" AND n.id = ANY(").bind(Bind::Uuids(ids.iter().map(|id| id.0).collect())).push(")");
        }
        NotificationsMarkReadInput::ConversationId(id) => {
            sql.push(" AND n.conversation_id = ").bind(Bind::Uuid(Some(id.0)));
        }
        NotificationsMarkReadInput::All(true) => {}
        NotificationsMarkReadInput::All(false) => {
            return Err(Stop::at("all", UserErrorCode::Invalid, "Say true, or name what to mark."));
        }
    }
    sql.push(" AND ");
    push_unread("n", &mut sql);
    // In one order everywhere, so that two who mark at once do not wait for each other.
    sql.push(" ORDER BY n.id FOR NO KEY UPDATE OF n) UPDATE notifications n SET marked_at = ");
    let now = Bind::Time(Some(tx.now.0));
    sql.bind(now.clone()).push(", updated_at = ").bind(now).push(", version = n.version + 1 FROM due");
    sql.push(" WHERE n.id = due.id AND n.organization_id = ").bind(Bind::Uuid(Some(organization)));
    sql.push(" RETURNING n.id");
    let marked: Vec<Found> = sql.load(tx.conn()).await?;
    for some in marked.chunks(TOLD) {
        let ids = some.iter().map(|found| found.id.into()).collect();
        let payload = serde_json::to_value(Read { ids, read_at: tx.now }).map_err(crate::Error::from)?;
        tx.record(change(member, payload));
    }
    Ok(marked.len())
}

/// NOT_FOUND for each id that is not the caller's.
async fn check(tx: &mut Tx, ids: &[Id<Notification>]) -> Result<(), Stop> {
    if ids.len() > MOST {
        let message = format!("At most {MOST} ids at once; `all` marks all.");
        return Err(Stop::at("ids", UserErrorCode::TooLong, message));
    }
    let mut sql = Sql::new("SELECT id FROM notifications WHERE organization_id = ");
    sql.bind(Bind::Uuid(Some(tx.scope.actor.organization))).push(" AND member_id = ");
    sql.bind(Bind::Uuid(Some(tx.scope.actor.member))).push(" AND id = ANY(");
    sql.bind(Bind::Uuids(ids.iter().map(|id| id.0).collect())).push(")");
    let found: Vec<Found> = sql.load(tx.conn()).await?;
    let found: HashSet<Uuid> = found.into_iter().map(|found| found.id).collect();
    let mut errors = UserErrors::default();
    for (index, _) in ids.iter().enumerate().filter(|(_, id)| !found.contains(&id.0)) {
        errors.add(&format!("ids.{index}"), UserErrorCode::NotFound, "You have no such notification.");
    }
    if errors.is_empty() { Ok(()) } else { Err(errors.into()) }
}

fn change(member: Uuid, payload: impl Into<Payload>) -> Change {
    Change {
        stream: stream_of_member(member),
        stream_kind: StreamKind::Member,
        kind: READ,
        entity: "Notification",
        entity_id: member,
        payload: payload.into(),
    }
}

/// A member in a conversation.
pub type Seat = (Uuid, Uuid);

/// As `settle`, of those of these members who have something to settle. One that fails is the error, and keeps no other waiting.
pub async fn settle_among(conn: &mut AsyncPgConnection, hub: &Hub, organization: Uuid, seats: &[Seat]) -> Result<()> {
    let mut failed = None;
    for some in seats.chunks(SEATS as usize) {
        let some = some.iter().map(|(member, conversation)| json!({ "member": member, "conversation": conversation }));
        let mut sql = Sql::new("SELECT DISTINCT s.member, s.conversation FROM jsonb_to_recordset(");
        sql.bind(Bind::Json(Some(some.collect()))).push(
            "::jsonb) AS s (member uuid, conversation uuid) JOIN notifications n ON n.member_id = s.member
               AND n.conversation_id = s.conversation",
        );
        failed = settle_found(conn, hub, organization, sql).await.err().or(failed);
    }
    failed.map_or(Ok(()), Err)
}

/// As `settle_among`, of everybody in the organization: of whom somebody died before it was done. At most a thousand seats.
pub async fn settle_all(conn: &mut AsyncPgConnection, hub: &Hub, organization: Uuid) -> Result<()> {
    let sql = Sql::new("SELECT DISTINCT n.member_id AS member, n.conversation_id AS conversation FROM notifications n");
    settle_found(conn, hub, organization, sql).await
}

#[derive(QueryableByName)]
struct Seated {
    #[diesel(sql_type = sql_types::Uuid)]
    member: Uuid,
    #[diesel(sql_type = sql_types::Uuid)]
    conversation: Uuid,
}

/// `sql` selects seats from `notifications n`.
async fn settle_found(conn: &mut AsyncPgConnection, hub: &Hub, organization: Uuid, mut sql: Sql) -> Result<()> {
    sql.push(
        " JOIN participants p ON p.organization_id = n.organization_id AND p.conversation_id = n.conversation_id
           AND p.member_id = n.member_id AND p.read_seq >= n.message_seq
         WHERE n.marked_at IS NULL AND n.organization_id = ",
    );
    sql.bind(Bind::Uuid(Some(organization))).push(" LIMIT ").number(SEATS);
    let found: Vec<Seated> = sql.load(conn).await?;
    let mut failed = None;
    for Seated { member, conversation } in found {
        failed = settle(conn, hub, organization, (member, conversation)).await.err().or(failed);
    }
    failed.map_or(Ok(()), Err)
}

#[derive(QueryableByName)]
struct Settled {
    #[diesel(sql_type = sql_types::BigInt)]
    count: i64,
    #[diesel(sql_type = sql_types::Jsonb)]
    payload: Payload,
    #[diesel(sql_type = sql_types::BigInt)]
    head_seq: i64,
    #[diesel(sql_type = sql_types::Timestamptz)]
    at: chrono::DateTime<Utc>,
}

/// Marks what a member has read by their position in a conversation, and tells their devices.
pub async fn settle(conn: &mut AsyncPgConnection, hub: &Hub, organization: Uuid, seat: Seat) -> Result<()> {
    loop {
        let event = event_id();
        let settled: Vec<Settled> = settling(organization, seat, event).load(conn).await?;
        let Some(settled) = settled.into_iter().next() else { return Ok(()) };
        let told = change(seat.0, settled.payload);
        hub.publish(vec![told.stored(event, settled.head_seq, settled.at, organization, None, None)]);
        if settled.count < TOLD as i64 {
            return Ok(());
        }
    }
}

/// One statement that is a transaction of its own, and finds nothing to do most often.
fn settling(organization: Uuid, (member, conversation): Seat, event: Uuid) -> Sql {
    let id = |id: Uuid| Bind::Uuid(Some(id));
    let stream = stream_of_member(member);
    let mut sql = Sql::new(
        "WITH due AS (
           SELECT n.id, coalesce(p.read_at, now()) AS read_at FROM participants p
           JOIN notifications n ON n.organization_id = p.organization_id AND n.member_id = p.member_id
             AND n.conversation_id = p.conversation_id AND n.message_seq <= p.read_seq
           WHERE n.marked_at IS NULL AND p.organization_id = ",
    );
    sql.bind(id(organization)).push(" AND p.member_id = ").bind(id(member)).push(" AND p.conversation_id = ");
    sql.bind(id(conversation)).push(" ORDER BY n.id LIMIT ").number(TOLD as u32).push(
        " FOR NO KEY UPDATE OF n
         ), read AS (
           UPDATE notifications n SET marked_at = due.read_at, updated_at = due.read_at, version = n.version + 1
           FROM due WHERE n.id = due.id AND n.organization_id = ",
    );
    sql.bind(id(organization)).push(
        " RETURNING n.id, n.marked_at
         ), told AS (
           SELECT count(*), jsonb_build_object('ids', jsonb_agg(id), 'read_at', max(marked_at)) AS payload FROM read
           HAVING count(*) > 0
         ), wanted AS (
           SELECT ",
    );
    sql.bind(id(organization)).push("::uuid AS organization, ").bind(id(stream));
    sql.push("::uuid AS stream, 'member' AS kind, 1::bigint AS count FROM told), change AS (SELECT ").bind(id(stream));
    sql.push("::uuid AS stream, 0::bigint AS behind, ").bind(id(event)).push("::uuid AS id, ");
    sql.bind(Bind::Text(Some(READ.into()))).push("::text AS kind, 'Notification' AS entity, ").bind(id(member)).push(
        "::uuid AS entity_id, payload, NULL::uuid AS actor, NULL::text AS request_id, NULL::uuid AS api_key,
           NULL::text AS address, NULL::text AS user_agent FROM told
         ), ",
    );
    sql.push(NUMBER_AND_STORE);
    sql.push(" SELECT told.count, told.payload, head.head_seq, head.at FROM told JOIN head ON true");
    sql
}
