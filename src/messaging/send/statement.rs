//! The statement that stores messages of one conversation. Invariant: all of them with their numbers, what belongs to them
//! and their events, or nothing.

use super::Outgoing;
use crate::{
    error::Result,
    events::NUMBER_AND_STORE,
    kit::{sql::Sql, value::Bind},
    messaging::{attachment, block, mention::push_outside},
};
use chrono::Utc;
use serde_json::{Value as Json, json};
use uuid::Uuid;

/// What a message has become.
#[derive(diesel::QueryableByName)]
pub struct Stored {
    #[diesel(sql_type = diesel::sql_types::BigInt)]
    pub seq: i64,
    #[diesel(sql_type = diesel::sql_types::Nullable<diesel::sql_types::Integer>)]
    pub thread_seq: Option<i32>,
    #[diesel(sql_type = diesel::sql_types::Timestamptz)]
    pub at: chrono::DateTime<Utc>,
    #[diesel(sql_type = diesel::sql_types::BigInt)]
    pub event_seq: i64,
    #[diesel(sql_type = diesel::sql_types::Timestamptz)]
    pub told_at: chrono::DateTime<Utc>,
}

/// Takes the next numbers, stores the messages and their events and answers a `Stored` for each, in their order. Or it does
/// nothing, when a sender is not in the conversation or has used the key before; or when there is nothing to reply to,
/// somebody is named who is not there, or a file cannot be attached.
///
/// `rest` are further ones beside `first`, of the same conversation: plain ones, as `first` is then.
///
/// The lock of the conversation's row orders its messages, in time as well. Whoever waited for it may have been removed
/// meanwhile; moving the participant's own position finds out, and holds off a removal until the message is there: without
/// a sender it violates NOT NULL, which takes the numbers back. So does a root that was deleted meanwhile, by the check of
/// replies. Whoever locks several of these comes in the order of conversation, participant, root, head of the stream:
/// each part waits for the one before it. Who sends has read what was there before; a receipt of that is kept if they had
/// not. A key that somebody else takes at this moment is a violation of its index.
pub fn insertion(first: &Outgoing, rest: &[Outgoing]) -> Result<Sql> {
    let id = |id: Uuid| Bind::Uuid(Some(id));
    let all = || std::iter::once(first).chain(rest);
    let (organization, conversation) = (first.actor.organization, first.message.conversation_id.0);
    let root = first.message.thread_root_id.map(|root| root.0);
    let mut senders: Vec<Uuid> = all().map(|outgoing| outgoing.actor.member).collect();
    senders.sort_unstable();
    senders.dedup();
    let number = |number: usize| Bind::BigInt(i64::try_from(number).ok());
    let count = number(all().count());

    // Of one message, as most are, nothing is put aside that the parts can have from each other.
    let one = rest.is_empty();
    let mut sql = Sql::new(if one { "WITH given AS NOT MATERIALIZED (" } else { "WITH given AS MATERIALIZED (" });
    push_given(first, rest, &mut sql)?;
    if !one {
        sql.push(
            "
            ), seats AS MATERIALIZED (
              SELECT s.id, s.last_read_seq, (SELECT max(n) FROM given g WHERE g.member = s.member_id) AS n
              FROM participants s WHERE s.left_at IS NULL AND s.organization_id = ",
        );
        sql.bind(id(organization)).push(" AND s.conversation_id = ").bind(id(conversation));
        sql.push(" AND s.member_id = ANY(").bind(Bind::Uuids(senders.clone())).push(")");
    }
    sql.push(
        "
        ), place AS (
          UPDATE conversations c SET last_seq = c.last_seq + ",
    );
    sql.bind(count.clone()).push(", last_message_at = greatest(c.last_message_at, ");
    sql.bind(Bind::Time(Some(first.message.created_at.0))).push(if one { ") FROM participants s" } else { ")" });
    sql.push(" WHERE c.organization_id = ").bind(id(organization)).push(" AND c.id = ").bind(id(conversation));
    sql.push(" AND c.archived_at IS NULL AND ").push(block::OPEN);
    if one {
        sql.push(
            " AND s.organization_id = c.organization_id AND s.conversation_id = c.id AND s.left_at IS NULL
              AND s.member_id = ",
        );
        sql.bind(id(first.actor.member));
    } else {
        sql.push(" AND (SELECT count(*) FROM seats) = ").bind(number(senders.len()));
    }
    if all().any(|outgoing| outgoing.message.client_id.is_some()) {
        sql.push(
            " AND NOT EXISTS (SELECT FROM given g JOIN messages m ON m.sender_id = g.member AND m.client_id = g.client_id
              AND m.organization_id = ",
        );
        sql.bind(id(organization)).push(")");
    }
    if let Some(root) = root {
        sql.push(" AND EXISTS (SELECT FROM messages r WHERE r.organization_id = c.organization_id AND r.conversation_id = c.id");
        sql.push(ROOT).bind(id(root)).push(")");
    }
    if !first.along.named.members.is_empty() {
        sql.push(" AND NOT EXISTS (SELECT FROM unnest(").bind(Bind::Uuids(first.along.named.members.clone()));
        sql.push(") AS m (id) WHERE ");
        push_outside(organization, conversation, &mut sql);
        sql.push(")");
    }
    if !first.along.files.is_empty() {
        attachment::push_attachable(&first.actor, &first.along.files, &mut sql);
    }
    sql.push(" RETURNING c.organization_id, c.id, c.last_seq - ").bind(count.clone());
    sql.push(" AS before, c.last_message_at AS at");
    if one {
        sql.push(
            ", s.id AS seat, s.last_read_seq
            ), seats AS (
              SELECT seat AS id, last_read_seq, 1::bigint AS n FROM place",
        );
    }
    sql.push(
        "
        ), sender AS (
          UPDATE participants p SET read_seq = place.before + seats.n, read_at = place.at,
            delivered_seq = place.before + seats.n, delivered_at = place.at, last_read_seq = place.before + seats.n,
            last_read_at = place.at, sent_seq = place.before + seats.n, last_delivered_seq = place.before + seats.n,
            last_delivered_at = place.at
          FROM place, seats WHERE p.organization_id = place.organization_id AND p.id = seats.id AND p.left_at IS NULL
          RETURNING p.member_id, p.sent_seq, seats.last_read_seq AS read_before
        ), advanced AS (
          INSERT INTO position_advances (organization_id, conversation_id, member_id, kind, upto_seq, at)
          SELECT place.organization_id, place.id, member_id, 'read', sent_seq, at
          FROM place, sender WHERE read_before < sent_seq - 1
        ), ",
    );
    if let Some(root) = root {
        sql.push(
            "root AS (
              UPDATE messages r SET reply_count = r.reply_count + 1, last_reply_at = place.at
              FROM place CROSS JOIN sender WHERE r.organization_id = place.organization_id AND r.conversation_id = place.id",
        );
        sql.push(ROOT).bind(id(root)).push(
            " RETURNING r.sender_id, r.reply_count
            ), ",
        );
    }
    sql.push(
        "sent AS (
          INSERT INTO messages (organization_id, conversation_id, seq, sender_id, created_by, created_at, updated_at, id,
            client_id, kind, body",
    );
    sql.push(if root.is_some() { ", thread_root_id, thread_seq)" } else { ")" }).push(
        " SELECT place.organization_id, place.id, before + g.n, sender.member_id, sender.member_id, at, at, g.id,
            g.client_id, g.message->>'kind', g.message->>'body'",
    );
    if let Some(root) = root {
        sql.push(", ").bind(id(root)).push("::uuid, root.reply_count");
    }
    sql.push(" FROM place CROSS JOIN given g LEFT JOIN sender ON sender.member_id = g.member");
    sql.push(if root.is_some() { " LEFT JOIN root ON true" } else { "" }).push(
        " RETURNING organization_id, conversation_id, id, sender_id, thread_root_id, created_at
        ), ",
    );
    if all().any(|outgoing| outgoing.request.idempotency_key.is_some()) {
        sql.push(
            "noted AS (
              UPDATE idempotency_keys k SET done = true FROM place, given g
              WHERE k.organization_id = place.organization_id AND k.member_id = g.member AND k.key = g.key
            ), ",
        );
    }
    sql.push(
        "wanted AS (
          SELECT organization_id AS organization, conversation_id AS stream, 'conversation' AS kind, ",
    );
    sql.bind(count.clone()).push("::bigint AS count FROM sent");
    sql.push(if one { "" } else { " GROUP BY organization_id, conversation_id" }).push(
        "
        ), change AS (
          SELECT place.id AS stream, ",
    );
    sql.bind(count.clone()).push(
        " - g.n AS behind, g.event AS id, 'message_sent' AS kind, 'Message' AS entity, g.id AS entity_id,
            jsonb_build_object('message', g.message || jsonb_build_object('seq', before + g.n, 'created_at', told.at,
              'updated_at', told.at",
    );
    sql.push(if root.is_some() { ", 'thread_seq', root.reply_count" } else { "" }).push(
        ")) AS payload, g.member AS actor, g.request_id, g.api_key, NULL::text AS address, NULL::text AS user_agent
          FROM place CROSS JOIN given g
          CROSS JOIN LATERAL (SELECT to_char(place.at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')) AS told (at)",
    );
    sql.push(if root.is_some() { " CROSS JOIN root), " } else { "), " }).push(NUMBER_AND_STORE);
    if root.is_some() {
        sql.push(FOLLOWED);
    }
    if !first.along.named.is_nobody() {
        first.along.named.push_stored(&mut sql);
    }
    if !first.along.files.is_empty() {
        attachment::push_stored(&first.along.files, &mut sql);
    }
    sql.push(" SELECT before + g.n AS seq, place.at, head_seq - ")
        .bind(count)
        .push(" + g.n AS event_seq, head.at AS told_at, ");
    sql.push(if root.is_some() { "root.reply_count" } else { "NULL::integer" }).push(" AS thread_seq");
    sql.push(" FROM place CROSS JOIN head CROSS JOIN given g");
    sql.push(if root.is_some() { " CROSS JOIN root ORDER BY g.n" } else { " ORDER BY g.n" });
    Ok(sql)
}

/// Pushes a row a message: one, which most are, as what it is, that PostgreSQL plans for one; several as JSON, that there
/// are not as many statements as there are numbers of them.
fn push_given(first: &Outgoing, rest: &[Outgoing], sql: &mut Sql) -> Result<()> {
    let Outgoing { message, actor, request, event, .. } = first;
    if !rest.is_empty() {
        let all = std::iter::once(first).chain(rest);
        let rows = all.zip(1..).map(|(outgoing, n)| row(outgoing, n)).collect::<Result<_>>()?;
        sql.push("SELECT * FROM jsonb_to_recordset(").bind(Bind::Json(Some(Json::Array(rows)))).push(
            "::jsonb) AS g (n bigint, id uuid, member uuid, client_id text, message jsonb, event uuid, request_id text,
              api_key uuid, key text)",
        );
        return Ok(());
    }
    let text = |text: Option<&str>| Bind::Text(text.map(Into::into));
    sql.push("SELECT 1::bigint AS n, ").bind(Bind::Uuid(Some(message.id.0))).push("::uuid AS id, ");
    sql.bind(Bind::Uuid(Some(actor.member))).push("::uuid AS member, ");
    sql.bind(text(message.client_id.as_deref())).push("::text AS client_id, ");
    sql.bind(Bind::Json(Some(serde_json::to_value(message)?))).push("::jsonb AS message, ");
    sql.bind(Bind::Uuid(Some(*event))).push("::uuid AS event, ");
    sql.bind(text(Some(&request.id))).push("::text AS request_id, ");
    sql.bind(Bind::Uuid(actor.api_key())).push("::uuid AS api_key, ");
    sql.bind(text(request.idempotency_key.as_deref())).push("::text AS key");
    Ok(())
}

/// A row of `given` among several.
fn row(outgoing: &Outgoing, n: i64) -> Result<Json> {
    let Outgoing { message, actor, request, event, .. } = outgoing;
    Ok(json!({
        "n": n,
        "id": message.id.0,
        "member": actor.member,
        "client_id": message.client_id,
        "message": serde_json::to_value(message)?,
        "event": event,
        "request_id": &*request.id,
        "api_key": actor.api_key(),
        "key": request.idempotency_key.as_deref(),
    }))
}

/// That a message `r` of the conversation can be replied to; its id follows.
const ROOT: &str = " AND r.thread_root_id IS NULL AND r.deleted_at IS NULL AND r.id = ";

/// Whoever replies follows the thread; with the first reply, so does whoever wrote its root.
const FOLLOWED: &str = ", followed AS (
      INSERT INTO thread_followers (organization_id, root_id, member_id, created_at)
      SELECT sent.organization_id, sent.thread_root_id, f.member, sent.created_at FROM sent JOIN root ON true, LATERAL (
        SELECT sent.sender_id AS member UNION SELECT root.sender_id WHERE root.reply_count = 1) AS f
      ON CONFLICT DO NOTHING
    )";
