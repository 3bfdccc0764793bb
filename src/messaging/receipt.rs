//! Receipts: telling a conversation who has read it how far. Positions are coalesced for a second and told in one event,
//! so that a thousand who read one message are one event and not a thousand. Invariant: what all see of a position moves
//! with the event that tells it, in one statement; a position that is not told yet is found in the database, whoever
//! has died meanwhile.

use super::conversation::change;
use crate::{
    app::App,
    error::{Error, Result},
    events::{Event, Hub, NUMBER_AND_STORE, Payload, event_id},
    identity::Member,
    kit::{
        failures::Failures, id::Id, organizations::each_organization, relation::to_one, scalars::DateTime, sql::Sql,
        value::Bind,
    },
    platform::{
        database::Database,
        jobs::{Failure, Job, Run},
    },
};
use async_graphql::{ComplexObject, Context, SimpleObject};
use chrono::Utc;
use diesel::{QueryableByName, sql_types};
use diesel_async::RunQueryDsl;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use uuid::Uuid;

/// Participants have read on, or were reached. One event for all who did so within about a second.
#[derive(Clone, Debug, SimpleObject)]
pub struct ReceiptsMoved {
    /// The place of this event: give it as `after` to go on behind it.
    pub cursor: String,
    /// When it happened.
    pub occurred_at: DateTime,
    /// Where each of them is now; those who are not named are where they were.
    pub receipts: Vec<Receipt>,
}

/// How far a participant has come.
#[derive(Clone, Debug, Deserialize, SimpleObject)]
#[graphql(complex)]
pub struct Receipt {
    /// The id of the member.
    pub member_id: Id<Member>,
    /// The number of the last message that they have read; 0: none.
    pub read_up_to: i64,
    /// When they read it; null: they have read none, or long ago.
    pub read_at: Option<DateTime>,
    /// The number of the last message that has reached one of their devices.
    pub delivered_up_to: i64,
    /// When it did; null: none has, or long ago.
    pub delivered_at: Option<DateTime>,
    /// Whom the member had blocked then.
    #[graphql(skip)]
    #[serde(default)]
    hidden_from: Vec<Uuid>,
}

#[ComplexObject]
impl Receipt {
    /// The member; null when you may not see them.
    async fn member(&self, ctx: &Context<'_>) -> Option<Arc<Member>> {
        to_one::<Member>(ctx, Some(self.member_id.0)).await
    }
}

impl ReceiptsMoved {
    /// As a member is told; None: all of it is hidden from them.
    pub fn of(event: &Event, me: Uuid) -> Result<Option<Self>> {
        let receipts = event.payload.member::<Vec<Receipt>>("receipts")?;
        let mut receipts = receipts.ok_or_else(|| Error::ours("an event without receipts"))?;
        receipts.retain(|receipt| !receipt.hidden_from.contains(&me));
        let (cursor, occurred_at) = (event.cursor().encode(), DateTime(event.at));
        Ok((!receipts.is_empty()).then_some(ReceiptsMoved { cursor, occurred_at, receipts }))
    }
}

/// Whether some see of it what others do not.
pub fn apart(event: &Event) -> bool {
    matches!(event.payload.member("apart"), Ok(Some(true)))
}

/// Lets the others know soon that a member has come further.
pub fn note(app: &App, organization: Uuid, conversation: Uuid, member: Uuid) {
    // Not the application itself, which holds the coalescer.
    let (database, hub) = (app.database.clone(), app.hub.clone());
    app.coalescer.note((organization, conversation), member, move |members| {
        let (database, hub) = (database.clone(), hub.clone());
        async move { tell(&database, &hub, organization, conversation, members).await }
    });
}

/// Tells a conversation where these members are; of one who has blocked the other in a direct one, nothing until they take
/// it back: not even that there is something that is not told. Who is held by somebody else at this moment is left for the
/// next time and is in the answer: so nobody waits here, and nobody waits for each other.
async fn tell(
    database: &Database,
    hub: &Hub,
    organization: Uuid,
    conversation: Uuid,
    members: Vec<Uuid>,
) -> Result<Vec<Uuid>> {
    let mut conn = database.of(organization).await?;
    let event = event_id();
    let told: Vec<Told> = telling(organization, conversation, members.clone(), event).load(&mut *conn).await?;
    let Some(told) = told.into_iter().next() else { return Ok(Vec::new()) };
    if let (Some(payload), Some(seq), Some(at)) = (told.payload, told.head_seq, told.at) {
        let change = change(Id::from(conversation), KIND, "Receipts", conversation, payload);
        hub.publish(vec![change.stored(event, seq, at, organization, None, None)]);
    }
    Ok(if told.some_left { members } else { Vec::new() })
}

/// What the event is called in the log. The audit trail leaves it out.
const KIND: &str = "receipts_moved";

#[derive(QueryableByName)]
struct Told {
    #[diesel(sql_type = sql_types::Bool)]
    some_left: bool,
    #[diesel(sql_type = sql_types::Nullable<sql_types::Jsonb>)]
    payload: Option<Payload>,
    #[diesel(sql_type = sql_types::Nullable<sql_types::BigInt>)]
    head_seq: Option<i64>,
    #[diesel(sql_type = sql_types::Nullable<sql_types::Timestamptz>)]
    at: Option<chrono::DateTime<Utc>>,
}

/// One statement that is a transaction of its own: moves what all see of the positions, keeps when that was, and stores
/// the event.
fn telling(organization: Uuid, conversation: Uuid, members: Vec<Uuid>, event: Uuid) -> Sql {
    let id = |id: Uuid| Bind::Uuid(Some(id));
    let mut sql = Sql::new("WITH behind AS (SELECT id FROM participants p WHERE organization_id = ");
    sql.bind(id(organization)).push(" AND conversation_id = ").bind(id(conversation)).push(" AND member_id = ANY(");
    sql.bind(Bind::Uuids(members)).push(
        ") AND left_at IS NULL AND (read_seq > last_read_seq OR delivered_seq > last_delivered_seq)
            AND NOT EXISTS (SELECT 1 FROM conversations c JOIN participants o ON o.organization_id = c.organization_id
                AND o.conversation_id = c.id JOIN user_contacts b ON b.organization_id = c.organization_id
                AND b.owner_id = p.member_id AND b.member_id = o.member_id AND b.blocked_at IS NOT NULL
              WHERE c.organization_id = p.organization_id AND c.id = p.conversation_id AND c.blocked)
        ), held AS (
          SELECT * FROM participants WHERE organization_id = ",
    );
    sql.bind(id(organization)).push(
        " AND id IN (SELECT id FROM behind) AND left_at IS NULL
          FOR NO KEY UPDATE SKIP LOCKED
        ), moved AS (
          UPDATE participants p SET last_read_seq = held.read_seq, last_read_at = held.read_at,
            last_delivered_seq = held.delivered_seq, last_delivered_at = held.delivered_at
          FROM held WHERE p.organization_id = held.organization_id AND p.id = held.id
          RETURNING p.organization_id, p.conversation_id, p.member_id, held.read_seq, held.read_at, held.delivered_seq,
            held.delivered_at, held.last_read_seq AS read_before, held.last_delivered_seq AS delivered_before
        ), advanced AS (
          INSERT INTO position_advances (organization_id, conversation_id, member_id, kind, upto_seq, at)
          SELECT organization_id, conversation_id, member_id, 'read', read_seq, read_at FROM moved
          WHERE read_seq > read_before
          UNION ALL
          SELECT organization_id, conversation_id, member_id, 'delivered', delivered_seq, delivered_at FROM moved
          WHERE delivered_seq > delivered_before AND delivered_seq > read_seq
          ON CONFLICT DO NOTHING
        ), told AS (
          SELECT organization_id, conversation_id, jsonb_build_object('receipts', jsonb_agg(jsonb_build_object(
            'member_id', member_id, 'read_up_to', read_seq, 'read_at', read_at,
            'delivered_up_to', delivered_seq, 'delivered_at', delivered_at) || hidden.hidden ORDER BY member_id),
            'apart', bool_or(hidden.hidden <> '{}')) AS payload
          FROM moved, LATERAL (
            SELECT CASE WHEN count(*) = 0 THEN '{}'::jsonb ELSE jsonb_build_object('hidden_from', jsonb_agg(b.member_id)) END
              AS hidden
            FROM user_contacts b WHERE b.organization_id = moved.organization_id AND b.owner_id = moved.member_id
              AND b.blocked_at IS NOT NULL) hidden
          GROUP BY 1, 2
        ), wanted AS (
          SELECT organization_id AS organization, conversation_id AS stream, 'conversation' AS kind, 1::bigint AS count
          FROM told
        ), change AS (
          SELECT conversation_id AS stream, 0::bigint AS behind, ",
    );
    sql.bind(id(event)).push("::uuid AS id, ").bind(Bind::Text(Some(KIND.into()))).push(
        "::text AS kind, 'Receipts' AS entity, conversation_id AS entity_id, payload, NULL::uuid AS actor,
            NULL::text AS request_id, NULL::uuid AS api_key, NULL::text AS address, NULL::text AS user_agent
          FROM told
        ), ",
    );
    sql.push(NUMBER_AND_STORE);
    sql.push(
        " SELECT (SELECT count(*) FROM behind) > (SELECT count(*) FROM moved) AS some_left, told.payload, head.head_seq,
            head.at FROM (SELECT) one LEFT JOIN told ON true LEFT JOIN head ON true",
    );
    sql
}

/// Tells what was not told: of nodes that have died, and what was too much for one.
#[derive(Debug, Serialize, Deserialize)]
pub struct TellReceipts {}

impl Job for TellReceipts {
    const KIND: &'static str = "tell_receipts";
    /// The next one comes within the hour.
    const ATTEMPTS: i32 = 3;
}

/// Positions of an organization that one run tells at most; the next one goes on.
const MOST: u32 = 10_000;

#[derive(QueryableByName)]
struct Untold {
    #[diesel(sql_type = sql_types::Uuid)]
    conversation_id: Uuid,
    #[diesel(sql_type = sql_types::Array<sql_types::Uuid>)]
    members: Vec<Uuid>,
}

impl Run<Arc<App>> for TellReceipts {
    async fn run(self, app: &Arc<App>) -> Result<(), Failure> {
        Ok(tell_all(app).await?)
    }
}

/// Tells all that was not told, of all organizations.
pub async fn tell_all(app: &App) -> Result<()> {
    each_organization(app, |organization| tell_untold(app, organization)).await
}

async fn tell_untold(app: &App, organization: Uuid) -> Result<()> {
    let mut sql = Sql::new(
        "SELECT conversation_id, array_agg(member_id) AS members FROM (
           SELECT conversation_id, member_id FROM participants
           WHERE left_at IS NULL AND (read_seq > last_read_seq OR delivered_seq > last_delivered_seq)
             AND organization_id = ",
    );
    sql.bind(Bind::Uuid(Some(organization))).push(" LIMIT ").number(MOST).push(") untold GROUP BY 1");
    let untold: Vec<Untold> = sql.load(&mut *app.database.of(organization).await?).await?;
    let mut failures = Failures::default();
    for Untold { conversation_id, members } in untold {
        let told = tell(&app.database, &app.hub, organization, conversation_id, members).await;
        failures.note("the receipts of a conversation", conversation_id, told.map(drop));
    }
    failures.end()
}
