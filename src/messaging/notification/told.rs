//! Whom an event concerns, and what they are told. Invariant: nobody is told of what they did themselves, of what they came
//! too late for, of somebody whom they have blocked, or of what they have set not to be told; the same event tells the same
//! member once, however often it is read.

use super::{Notification, NotificationKind};
use crate::{
    error::Result,
    events::{Change, StreamKind, stream_of_member},
    identity::Member,
    kit::{follow::Heard, id::Id, scalars::DateTime, sql::Sql, value::Bind},
    messaging::user_contact,
};
use chrono::Utc;
use diesel::{QueryableByName, sql_types};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use sha2::{Digest, Sha256};
use std::collections::{HashMap, HashSet};
use uuid::{Builder, Uuid, Variant, Version};

/// What the log calls a new notification, on its member's stream; the audit trail leaves it out.
pub const CREATED: &str = "notification_created";
pub const SENT: &str = "message_sent";
pub const ENTERED: &str = "conversation_entered";

/// What the log says of a new notification.
#[derive(Serialize, Deserialize)]
pub struct Created {
    pub notification: Notification,
}

/// Notifications that are made in one transaction at most: one message to a large channel makes about half as many.
const MOST: usize = 2_000;

/// A notification, and whose it is.
#[derive(Serialize)]
pub struct Own {
    #[serde(rename = "member_id")]
    pub member: Uuid,
    #[serde(flatten)]
    pub notification: Notification,
}

impl Own {
    pub fn change(self) -> Result<Change> {
        Ok(Change {
            stream: stream_of_member(self.member),
            stream_kind: StreamKind::Member,
            kind: CREATED,
            entity: "Notification",
            entity_id: self.notification.id.0,
            payload: serde_json::to_value(Created { notification: self.notification })?.into(),
        })
    }
}

/// Somebody whom an event concerns.
#[derive(QueryableByName)]
struct Concerned {
    #[diesel(sql_type = sql_types::Uuid)]
    event: Uuid,
    #[diesel(sql_type = sql_types::Uuid)]
    member_id: Uuid,
    /// Why, the most pressing first: see `kind`.
    #[diesel(sql_type = sql_types::Integer)]
    reason: i32,
    /// Only if they are online.
    #[diesel(sql_type = sql_types::Bool)]
    here: bool,
    #[diesel(sql_type = sql_types::Nullable<sql_types::Uuid>)]
    conversation_id: Option<Uuid>,
    #[diesel(sql_type = sql_types::Nullable<sql_types::Uuid>)]
    message_id: Option<Uuid>,
    #[diesel(sql_type = sql_types::Nullable<sql_types::BigInt>)]
    message_seq: Option<i64>,
    #[diesel(sql_type = sql_types::Nullable<sql_types::Uuid>)]
    actor_id: Option<Uuid>,
    #[diesel(sql_type = sql_types::Nullable<sql_types::Timestamptz>)]
    read_at: Option<chrono::DateTime<Utc>>,
}

impl Concerned {
    fn kind(&self) -> NotificationKind {
        match self.reason {
            1 => NotificationKind::Mention,
            2 => NotificationKind::Reply,
            3 => NotificationKind::DirectMessage,
            4 => NotificationKind::AddedToConversation,
            _ => NotificationKind::ContactRequest,
        }
    }

    fn told(self, at: DateTime) -> Own {
        let notification = Notification {
            id: id_of(self.event, self.member_id),
            kind: self.kind(),
            conversation_id: self.conversation_id.map(Id::from),
            message_id: self.message_id.map(Id::from),
            message_seq: self.message_seq,
            actor_id: self.actor_id.map(Id::<Member>::from),
            read_at: self.read_at.map(DateTime),
            created_by: None,
            created_at: at,
            updated_at: at,
            version: 1,
        };
        Own { member: self.member_id, notification }
    }
}

/// The id of what an event tells a member: begins with the time of the event, as its own id does.
fn id_of(event: Uuid, member: Uuid) -> Id<Notification> {
    let mut bytes = event.into_bytes();
    let hash = Sha256::new().chain_update(event).chain_update(member).finalize();
    for (byte, hashed) in bytes.iter_mut().skip(8).zip(hash) {
        *byte = hashed;
    }
    Builder::from_bytes(bytes).with_variant(Variant::RFC4122).with_version(Version::SortRand).into_uuid().into()
}

/// Whom these events concern, with the place of the event among them, and in this order. `is_here` says who is online.
pub async fn of(
    conn: &mut AsyncPgConnection,
    organization: Uuid,
    heard: &[Heard],
    is_here: impl Fn(Uuid) -> bool,
) -> Result<Vec<(usize, Own)>> {
    let of_kind = |kind: &str| heard.iter().filter(|event| event.kind == kind).collect::<Vec<_>>();
    let (sent, entered, contacts) = (of_kind(SENT), of_kind(ENTERED), of_kind(user_contact::CHANGED));
    let mut concerned: Vec<Concerned> = Vec::new();
    for (events, whom) in [(sent, by_messages as Whom), (entered, by_entering as Whom), (contacts, by_contacts as Whom)]
    {
        if !events.is_empty() {
            concerned.extend(whom(organization, &events).load::<Concerned>(conn).await?);
        }
    }
    let places: HashMap<Uuid, (usize, DateTime)> =
        heard.iter().enumerate().map(|(place, event)| (event.id, (place, DateTime(event.at)))).collect();
    let present = concerned.into_iter().filter(|one| !one.here || is_here(one.member_id));
    let mut present: Vec<_> = present.filter_map(|one| Some((*places.get(&one.event)?, one))).collect();
    // Whom it concerns for several reasons is told the most pressing one.
    present.sort_by_key(|((place, _), one)| (*place, one.member_id, one.reason));
    present.dedup_by_key(|((place, _), one)| (*place, one.member_id));
    Ok(present.into_iter().map(|((place, at), one)| (place, one.told(at))).collect())
}

/// How many of so many events, of which `told` follows, are enough for one transaction: one at least.
pub fn fitting(told: &[(usize, Own)], heard: usize) -> usize {
    told.get(MOST).map_or(heard, |(place, _)| (*place).max(1))
}

/// Who has come into a conversation, as the event of it says.
pub fn who_entered(payload: &Json) -> Option<Uuid> {
    payload.get("member_id").and_then(Json::as_str).and_then(|id| Uuid::try_parse(id).ok())
}

/// Stores notifications; those that were not there.
pub async fn store(conn: &mut AsyncPgConnection, organization: Uuid, told: Vec<Own>) -> Result<Vec<Own>> {
    if told.is_empty() {
        return Ok(told);
    }
    let mut sql = Sql::new(
        "INSERT INTO notifications (organization_id, id, member_id, kind, conversation_id, message_id, message_seq, actor_id,
           marked_at, created_at, updated_at) SELECT ",
    );
    sql.bind(Bind::Uuid(Some(organization))).push("::uuid, n.* FROM jsonb_to_recordset(");
    sql.bind(Bind::Json(Some(serde_json::to_value(&told)?))).push(
        "::jsonb) AS n (id uuid, member_id uuid, kind text, conversation_id uuid, message_id uuid, message_seq bigint,
           actor_id uuid, read_at timestamptz, created_at timestamptz, updated_at timestamptz)
         ON CONFLICT DO NOTHING RETURNING id",
    );
    let stored: Vec<Stored> = sql.load(conn).await?;
    let stored: HashSet<Uuid> = stored.into_iter().map(|stored| stored.id).collect();
    Ok(told.into_iter().filter(|own| stored.contains(&own.notification.id.0)).collect())
}

#[derive(QueryableByName)]
struct Stored {
    #[diesel(sql_type = sql_types::Uuid)]
    id: Uuid,
}

type Whom = fn(Uuid, &[&Heard]) -> Sql;

fn ids(events: &[&Heard], id: impl Fn(&Heard) -> Uuid) -> Bind {
    Bind::Uuids(events.iter().map(|event| id(event)).collect())
}

/// Who can sign in, as `w`: others will not look.
const PRESENT: &str = " JOIN memberships w ON w.organization_id = p.organization_id AND w.id = p.member_id
    AND w.status NOT IN ('suspended', 'removed')";

/// Of a message: whom it mentions, who follows its thread, and the other one of a direct conversation; of these that which is
/// most pressing, and apart from it that which concerns them only if they are online. By `<@channel>` and `<@here>`, and by a thread, at most 1 000: those who looked last. What an edit names
/// tells nobody; what was deleted meanwhile neither.
fn by_messages(organization: Uuid, events: &[&Heard]) -> Sql {
    let organization = || Bind::Uuid(Some(organization));
    let mut sql = Sql::new(
        "WITH sent AS (
           SELECT s.event, m.id, m.conversation_id, m.seq, m.sender_id, m.created_at, m.thread_root_id,
             c.direct_key IS NOT NULL AS direct FROM unnest(",
    );
    sql.bind(ids(events, |event| event.id)).push(", ").bind(ids(events, |event| event.entity_id));
    sql.push(") AS s (event, message) JOIN messages m ON m.organization_id = ").bind(organization()).push(
        " AND m.id = s.message AND m.deleted_at IS NULL
           JOIN conversations c ON c.organization_id = m.organization_id AND c.id = m.conversation_id
         ), meant AS (
           SELECT s.id, x.member, min(x.reason) AS reason, x.here FROM sent s CROSS JOIN LATERAL (
             SELECT n.member_id AS member, 1 AS reason, false AS here FROM mentions n
             WHERE n.message_id = s.id AND n.member_id IS NOT NULL AND n.organization_id = ",
    );
    sql.bind(organization()).push(
        " UNION ALL (
             SELECT p.member_id, 1, n.here FROM (
               SELECT bool_and(kind = 'here') AS here FROM mentions
               WHERE message_id = s.id AND member_id IS NULL AND organization_id = ",
    );
    sql.bind(organization()).push(
        ") n JOIN participants p ON n.here IS NOT NULL AND p.conversation_id = s.conversation_id AND p.left_at IS NULL
               AND p.organization_id = ",
    );
    sql.bind(organization()).push(
        " ORDER BY p.read_at DESC NULLS LAST LIMIT 1000
             ) UNION ALL (
             SELECT f.member_id, 2, false FROM thread_followers f JOIN participants p
               ON p.organization_id = f.organization_id AND p.conversation_id = s.conversation_id AND p.member_id = f.member_id
             WHERE f.root_id = s.thread_root_id AND f.created_at <= s.created_at AND f.organization_id = ",
    );
    sql.bind(organization()).push(
        " ORDER BY p.read_at DESC NULLS LAST LIMIT 1000
             ) UNION ALL
             SELECT p.member_id, 3, false FROM participants p
             WHERE s.direct AND p.conversation_id = s.conversation_id AND p.organization_id = ",
    );
    sql.bind(organization()).push(
        ") x GROUP BY s.id, x.member, x.here
         )
         SELECT s.event, p.member_id, meant.reason, meant.here, s.conversation_id, s.id AS message_id, s.seq AS message_seq,
           s.sender_id AS actor_id, CASE WHEN p.read_seq >= s.seq THEN coalesce(p.read_at, s.created_at) END AS read_at
         FROM meant JOIN sent s ON s.id = meant.id
           JOIN participants p ON p.conversation_id = s.conversation_id AND p.member_id = meant.member AND p.organization_id = ",
    );
    sql.bind(organization()).push(PRESENT).push(
        " WHERE p.left_at IS NULL AND p.joined_seq < s.seq AND p.member_id <> s.sender_id
           AND (p.muted_until IS NULL OR p.muted_until <= s.created_at) AND p.notification_level <> 'none'
           AND (p.notification_level <> 'mentions' OR meant.reason = 1)
           -- What is said to one alone stands in the conversation; once it is read there is nothing to tell.
           AND (meant.reason < 3 OR p.read_seq < s.seq)
           AND NOT EXISTS (SELECT 1 FROM user_contacts b WHERE b.organization_id = p.organization_id
             AND b.owner_id = p.member_id AND b.member_id = s.sender_id AND b.blocked_at IS NOT NULL)",
    );
    sql
}

/// Of entering a conversation: who was brought into it, unless it is a direct one, where a message follows.
fn by_entering(organization: Uuid, events: &[&Heard]) -> Sql {
    let member = |event: &Heard| event.payload.as_ref().and_then(who_entered).unwrap_or_default();
    let mut sql = Sql::new(
        "SELECT e.event, p.member_id, 4 AS reason, false AS here, p.conversation_id, NULL::uuid AS message_id,
           NULL::bigint AS message_seq, e.actor AS actor_id, NULL::timestamptz AS read_at FROM unnest(",
    );
    sql.bind(ids(events, |event| event.id)).push(", ").bind(ids(events, |event| event.entity_id)).push(", ");
    sql.bind(ids(events, member)).push(", ").bind(ids(events, |event| event.actor_id.unwrap_or_default()));
    sql.push(") AS e (event, conversation, member, actor) JOIN participants p ON p.organization_id = ");
    sql.bind(Bind::Uuid(Some(organization))).push(
        " AND p.conversation_id = e.conversation AND p.member_id = e.member AND p.left_at IS NULL
         JOIN conversations c ON c.organization_id = p.organization_id AND c.id = p.conversation_id AND c.direct_key IS NULL
         JOIN memberships a ON a.organization_id = p.organization_id AND a.id = e.actor",
    );
    sql.push(PRESENT).push(
        " WHERE e.actor <> e.member AND NOT EXISTS (SELECT 1 FROM user_contacts b WHERE b.organization_id = p.organization_id
           AND b.owner_id = p.member_id AND b.member_id = e.actor AND b.blocked_at IS NOT NULL)",
    );
    sql
}

/// Of a change of somebody's contact list: its owner, when the other has asked and still waits.
fn by_contacts(organization: Uuid, events: &[&Heard]) -> Sql {
    let mut sql = Sql::new(
        "SELECT e.event, p.owner_id AS member_id, 5 AS reason, false AS here, NULL::uuid AS conversation_id,
           NULL::uuid AS message_id, NULL::bigint AS message_seq, p.member_id AS actor_id, NULL::timestamptz AS read_at
         FROM unnest(",
    );
    sql.bind(ids(events, |event| event.id)).push(", ").bind(ids(events, |event| event.entity_id)).push(", ");
    sql.bind(ids(events, |event| event.actor_id.unwrap_or_default()));
    sql.push(") AS e (event, contact, actor) JOIN user_contacts p ON p.organization_id = ");
    sql.bind(Bind::Uuid(Some(organization))).push(
        " AND p.id = e.contact AND p.member_id = e.actor AND p.status = 'received'
         JOIN memberships w ON w.organization_id = p.organization_id AND w.id = p.owner_id
           AND w.status NOT IN ('suspended', 'removed')",
    );
    sql
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_and_a_member_are_one_id_that_begins_with_the_time() {
        let (event, other) = (crate::events::event_id(), crate::events::event_id());
        let (ada, bob) = (Uuid::now_v7(), Uuid::now_v7());
        let id = id_of(event, ada);
        assert_eq!(id, id_of(event, ada));
        assert!(id != id_of(event, bob) && id != id_of(other, ada));
        assert_eq!((id.0.get_version_num(), id.0.get_timestamp()), (7, event.get_timestamp()));
    }
}
