//! Sending a message: one statement that is a transaction of its own. Invariant: the number, the message and its event
//! are stored together or not at all, and an answer with a message means that they are. A reply's number in its thread,
//! those who are mentioned and the files that come along belong to it.

use super::{
    attachment, block,
    content::{MessageKind, check_key, demand_content, tidied},
    conversation::not_found,
    mention::{Named, not_here, outsiders, push_outside},
    message::{Message, MessagePayload, MessageSendInput, payload},
    participant::{is_participant, may_talk},
    thread,
};
use crate::{
    error::Result,
    events::{NUMBER_AND_STORE, event_id},
    files::file::File,
    kit::{
        id::Id,
        scalars::DateTime,
        scope::Scope,
        sql::Sql,
        user_error::{UserErrorCode, UserErrors},
        value::Bind,
        write::{Rejection, Stop},
    },
    schema::messages,
};
use chrono::Utc;
use diesel::{
    prelude::*,
    result::{DatabaseErrorKind, Error::DatabaseError},
};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

/// What a message has beside its columns.
struct Along {
    named: Named,
    files: Vec<Id<File>>,
}

pub async fn send(scope: &Scope, input: MessageSendInput) -> Result<MessagePayload> {
    scope.actor.demand_verified()?;
    may_talk(scope)?;
    let mut errors = UserErrors::default();
    let body = tidied(input.body.unwrap_or_default(), &mut errors);
    let along = Along { named: Named::by(&body), files: input.file_ids.unwrap_or_default() };
    if !errors.has("body") {
        demand_content(&body, !along.files.is_empty(), &mut errors);
    }
    along.named.check(&mut errors);
    attachment::check(&along.files, &mut errors);
    check_key(input.client_id.as_deref(), &mut errors);
    if !errors.is_empty() {
        return Ok(errors.into());
    }
    let (sender, now) = (scope.actor.member.into(), DateTime::now());
    let message = Message {
        id: Id::fresh(),
        conversation_id: input.conversation_id,
        seq: 0,
        sender_id: sender,
        kind: MessageKind::of(&body),
        client_id: input.client_id,
        thread_root_id: input.thread_root_id,
        thread_seq: None,
        reply_count: 0,
        last_reply_at: None,
        body: Some(body),
        system: None,
        edited_at: None,
        deleted_at: None,
        pinned_at: None,
        pinned_by: None,
        created_by: Some(sender),
        created_at: now,
        updated_at: now,
        version: 1,
    };
    match store(scope, message, &along).await {
        Ok(message) => payload(scope, Ok(message)).await,
        Err(Stop::Rejected(rejection)) => payload(scope, Err(rejection)).await,
        Err(Stop::Failed(fault)) => Err(fault),
    }
}

/// Stores the message and tells of it.
async fn store(scope: &Scope, mut message: Message, along: &Along) -> Result<Message, Stop> {
    let event = event_id();
    let statement = insertion(scope, &message, along, event)?;
    let mut conn = scope.reader().await?;
    let stored = match statement.load::<Stored>(&mut *conn).await {
        Ok(stored) => stored.into_iter().next(),
        // Sent twice at the same time: the other one was faster.
        Err(DatabaseError(DatabaseErrorKind::UniqueViolation, _)) if message.client_id.is_some() => None,
        // Removed, or the root was deleted, while the statement waited.
        Err(DatabaseError(DatabaseErrorKind::NotNullViolation | DatabaseErrorKind::CheckViolation, _)) => None,
        // A file was deleted at this moment.
        Err(DatabaseError(DatabaseErrorKind::ForeignKeyViolation, _)) if !along.files.is_empty() => None,
        Err(fault) => return Err(fault.into()),
    };
    let Some(stored) = stored else {
        drop(conn);
        return Err(not_stored(scope, &message, along).await);
    };
    (message.seq, message.created_at, message.updated_at) = (stored.seq, DateTime(stored.at), DateTime(stored.at));
    message.thread_seq = stored.thread_seq;
    let actor = &scope.actor;
    let change = message.change("message_sent")?;
    let request = Some(&*scope.request.id);
    let event = change.stored(event, stored.event_seq, stored.told_at, actor.organization, Some(actor.member), request);
    scope.loads.clear();
    scope.app.hub.publish(vec![event]);
    Ok(message)
}

/// Takes the next number, stores the message and its event, or does nothing when the sender is not in the conversation
/// or has used the key before. The lock of the conversation's row orders its messages, in time as well. Whoever waited
/// for it may have been removed meanwhile; moving the participant's own position finds out, and holds off a removal until
/// the message is there: without a sender it violates NOT NULL, which takes the number back. So does a root that was deleted
/// meanwhile, by the check of replies. Who sends has read what was there before; a receipt of that is kept if they had not.
/// A key that somebody else takes at this moment is a violation of its index.
fn insertion(scope: &Scope, message: &Message, along: &Along, event: Uuid) -> Result<Sql> {
    let id = |id: Uuid| Bind::Uuid(Some(id));
    let text = |text: Option<&str>| Bind::Text(text.map(Into::into));
    let root = message.thread_root_id.map(|root| root.0);
    let mut sql = Sql::new("WITH mine AS (SELECT ");
    sql.bind(id(scope.actor.organization)).push("::uuid AS organization, ");
    sql.bind(id(message.conversation_id.0)).push("::uuid AS conversation, ");
    sql.bind(id(message.sender_id.0)).push("::uuid AS member, ");
    sql.bind(text(message.client_id.as_deref())).push("::text AS client_id, ");
    sql.bind(id(message.id.0)).push("::uuid AS id, ");
    sql.bind(text(scope.request.idempotency_key.as_deref())).push(
        "::text AS idempotency_key
        ), place AS (
          UPDATE conversations c SET last_seq = c.last_seq + 1, last_message_at = greatest(c.last_message_at, ",
    );
    sql.bind(Bind::Time(Some(message.created_at.0))).push(
        ") FROM mine WHERE c.organization_id = mine.organization AND c.id = mine.conversation AND c.archived_at IS NULL AND ",
    );
    sql.push(block::OPEN).push(
        " AND EXISTS (SELECT 1 FROM participants p WHERE p.organization_id = mine.organization
              AND p.conversation_id = mine.conversation AND p.member_id = mine.member AND p.left_at IS NULL)
            AND NOT EXISTS (SELECT 1 FROM messages m WHERE m.organization_id = mine.organization
              AND m.sender_id = mine.member AND m.client_id = mine.client_id)",
    );
    if let Some(root) = root {
        sql.push(" AND EXISTS (SELECT 1 FROM messages r WHERE ")
            .push(ROOT)
            .push(" AND r.id = ")
            .bind(id(root))
            .push(")");
    }
    if !along.named.members.is_empty() {
        sql.push(" AND NOT EXISTS (SELECT 1 FROM unnest(").bind(Bind::Uuids(along.named.members.clone()));
        sql.push(") AS m (id) WHERE ");
        push_outside(scope, message.conversation_id.0, &mut sql);
        sql.push(")");
    }
    if !along.files.is_empty() {
        attachment::push_attachable(scope, &along.files, &mut sql);
    }
    sql.push(
        " RETURNING c.organization_id, c.id, c.last_seq, c.last_message_at
        ), sender AS (
          UPDATE participants p SET read_seq = place.last_seq, read_at = place.last_message_at,
            delivered_seq = place.last_seq, delivered_at = place.last_message_at, last_read_seq = place.last_seq,
            last_read_at = place.last_message_at, sent_seq = place.last_seq, last_delivered_seq = place.last_seq,
            last_delivered_at = place.last_message_at
          FROM place, mine, participants old
          WHERE p.organization_id = place.organization_id AND p.conversation_id = place.id AND p.member_id = mine.member
            AND p.left_at IS NULL AND old.organization_id = p.organization_id AND old.id = p.id
          RETURNING p.member_id, old.last_read_seq AS read_before
        ), advanced AS (
          INSERT INTO position_advances (organization_id, conversation_id, member_id, kind, upto_seq, at)
          SELECT place.organization_id, place.id, member_id, 'read', last_seq, last_message_at
          FROM place JOIN sender ON true WHERE read_before < last_seq - 1
        ), ",
    );
    if let Some(root) = root {
        sql.push(
            "root AS (
              UPDATE messages r SET reply_count = r.reply_count + 1, last_reply_at = place.last_message_at
              FROM place JOIN mine ON true WHERE ",
        );
        sql.push(ROOT).push(" AND r.id = ").bind(id(root)).push(
            " RETURNING r.sender_id, r.reply_count
            ), ",
        );
    }
    sql.push(
        "sent AS (
          INSERT INTO messages (organization_id, conversation_id, seq, sender_id, created_by, created_at, updated_at, id,
            client_id, kind, ",
    );
    sql.push(if root.is_some() { "thread_root_id, thread_seq, body)" } else { "body)" }).push(
        " SELECT place.organization_id, place.id, last_seq, member_id, member_id, last_message_at, last_message_at, mine.id,
            client_id, ",
    );
    sql.bind(text(Some(message.kind.word()))).push("::text, ");
    if let Some(root) = root {
        sql.bind(id(root)).push("::uuid, root.reply_count, ");
    }
    sql.bind(text(message.body.as_deref())).push("::text FROM place JOIN mine ON true LEFT JOIN sender ON true");
    sql.push(if root.is_some() { " LEFT JOIN root ON true" } else { "" }).push(
        " RETURNING *
        ), noted AS (
          UPDATE idempotency_keys k SET done = true FROM sent, mine
          WHERE k.organization_id = mine.organization AND k.member_id = mine.member AND k.key = mine.idempotency_key
        ), wanted AS (
          SELECT organization_id AS organization, conversation_id AS stream, 'conversation' AS kind, 1::bigint AS count
          FROM sent
        ), change AS (
          SELECT conversation_id AS stream, 0::bigint AS behind, ",
    );
    sql.bind(id(event)).push("::uuid AS id, 'message_sent' AS kind, 'Message' AS entity, sent.id AS entity_id, jsonb_build_object('message', ");
    sql.bind(Bind::Json(Some(serde_json::to_value(message)?))).push(
        "::jsonb || jsonb_build_object('seq', seq, 'created_at', told.at, 'updated_at', told.at, 'thread_seq', thread_seq))
            AS payload, sender_id AS actor, ",
    );
    sql.bind(text(Some(&scope.request.id))).push("::text AS request_id, ");
    sql.bind(Bind::Uuid(scope.actor.api_key())).push(
        "::uuid AS api_key, NULL::text AS address, NULL::text AS user_agent
          FROM sent, LATERAL (SELECT to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')) AS told (at)
        ), ",
    );
    sql.push(NUMBER_AND_STORE);
    if root.is_some() {
        sql.push(FOLLOWED);
    }
    if !along.named.is_nobody() {
        along.named.push_stored(&mut sql);
    }
    if !along.files.is_empty() {
        attachment::push_stored(&along.files, &mut sql);
    }
    sql.push(
        " SELECT sent.seq, sent.thread_seq, sent.created_at AS at, head.head_seq AS event_seq, head.at AS told_at
          FROM sent JOIN head ON true",
    );
    Ok(sql)
}

/// That a message `r` can be replied to in the conversation of `mine`.
const ROOT: &str = "r.organization_id = mine.organization AND r.conversation_id = mine.conversation
    AND r.thread_root_id IS NULL AND r.deleted_at IS NULL";

/// Whoever replies follows the thread; with the first reply, so does whoever wrote its root.
const FOLLOWED: &str = ", followed AS (
      INSERT INTO thread_followers (organization_id, root_id, member_id, created_at)
      SELECT sent.organization_id, sent.thread_root_id, f.member, sent.created_at FROM sent JOIN root ON true, LATERAL (
        SELECT sent.sender_id AS member UNION SELECT root.sender_id WHERE root.reply_count = 1) AS f
      ON CONFLICT DO NOTHING
    )";

#[derive(diesel::QueryableByName)]
struct Stored {
    #[diesel(sql_type = diesel::sql_types::BigInt)]
    seq: i64,
    #[diesel(sql_type = diesel::sql_types::Nullable<diesel::sql_types::Integer>)]
    thread_seq: Option<i32>,
    #[diesel(sql_type = diesel::sql_types::Timestamptz)]
    at: chrono::DateTime<Utc>,
    #[diesel(sql_type = diesel::sql_types::BigInt)]
    event_seq: i64,
    #[diesel(sql_type = diesel::sql_types::Timestamptz)]
    told_at: chrono::DateTime<Utc>,
}

/// Why nothing was stored: the sender is not in the conversation, has sent it before or has used the key elsewhere; or the
/// conversation takes nothing more, of anybody or between these two, there is nothing to reply to, somebody is mentioned who
/// is not there, or a file cannot be attached.
async fn not_stored(scope: &Scope, message: &Message, along: &Along) -> Stop {
    reason(scope, message, along).await.unwrap_or_else(Into::into)
}

async fn reason(scope: &Scope, message: &Message, along: &Along) -> Result<Stop> {
    let (organization, place) = (scope.actor.organization, message.conversation_id.0);
    let mut conn = scope.reader().await?;
    if !is_participant(scope, &conn, place).await? {
        return Ok(not_found("conversationId"));
    }
    let before: Option<(Uuid, Uuid)> = messages::table
        .filter(messages::organization_id.eq(organization))
        .filter(messages::sender_id.eq(scope.actor.member))
        .filter(messages::client_id.eq(&message.client_id))
        .select((messages::id, messages::conversation_id))
        .first(&mut *conn)
        .await
        .optional()?;
    match before {
        Some((id, there)) if there == place => {
            return Ok(Stop::Rejected(Rejection { errors: UserErrors::default(), current: Some(id) }));
        }
        Some(_) => {
            let message = "You used this key for a message in another conversation.";
            return Ok(Stop::at("clientId", UserErrorCode::NotUnique, message));
        }
        None => {}
    }
    if let Some(closed) = block::closed(scope, &conn, place, "conversationId").await? {
        return Ok(closed);
    }
    if let Some(refused) = thread::refused(scope, &conn, place, message.thread_root_id).await? {
        return Ok(refused);
    }
    let outside = outsiders(scope, &conn, place, &along.named.members).await?;
    if !outside.is_empty() {
        return Ok(not_here(&outside));
    }
    if let Some(refused) = attachment::refused(scope, &conn, &along.files).await? {
        return Ok(refused);
    }
    // Taken out and put back in between the two statements, or the like.
    Ok(not_found("conversationId"))
}

/// What is told of an archived conversation.
pub fn archived(field: &str) -> Stop {
    Stop::at(field, UserErrorCode::StateInvalid, "The conversation is archived: nothing can be said in it any more.")
}
