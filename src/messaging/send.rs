//! Sending a message: one statement that is a transaction of its own. Invariant: the number, the message and its event
//! are stored together or not at all, and an answer with a message means that they are.

use super::{
    conversation::not_found,
    message::{Message, MessagePayload, MessageSendInput, checked, payload},
    participant::{is_participant, may_talk},
};
use crate::{
    error::Result,
    events::{NUMBER_AND_STORE, event_id},
    kit::{
        id::Id,
        scalars::DateTime,
        scope::Scope,
        sql::Sql,
        user_error::{UserErrorCode, UserErrors},
        value::Bind,
        write::{Rejection, Stop},
    },
    schema::{conversations, messages},
};
use chrono::Utc;
use diesel::{
    prelude::*,
    result::{DatabaseErrorKind, Error::DatabaseError},
};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

pub async fn send(scope: &Scope, input: MessageSendInput) -> Result<MessagePayload> {
    let body = match checked(input.body) {
        Ok(body) => body,
        Err(errors) => return Ok(errors.into()),
    };
    let key = input.client_id.as_deref();
    if key.is_some_and(|key| key.is_empty() || key.chars().count() > 100 || key.chars().any(char::is_control)) {
        let mut errors = UserErrors::default();
        let message = "The key has 1 to 100 characters and no control characters.";
        errors.add("clientId", UserErrorCode::Invalid, message);
        return Ok(errors.into());
    }
    let (sender, now) = (scope.actor.member.into(), DateTime::now());
    let message = Message {
        id: Id::fresh(),
        conversation_id: input.conversation_id,
        seq: 0,
        sender_id: sender,
        client_id: input.client_id,
        body: Some(body),
        edited_at: None,
        deleted_at: None,
        created_by: Some(sender),
        created_at: now,
        updated_at: now,
        version: 1,
    };
    match store(scope, message).await {
        Ok(message) => payload(scope, Ok(message)).await,
        Err(Stop::Rejected(rejection)) => payload(scope, Err(rejection)).await,
        Err(Stop::Failed(fault)) => Err(fault),
    }
}

/// Stores the message and tells of it.
async fn store(scope: &Scope, mut message: Message) -> Result<Message, Stop> {
    scope.actor.demand_verified()?;
    may_talk(scope)?;
    let event = event_id();
    let statement = insertion(scope, &message, event)?;
    let mut conn = scope.reader().await?;
    let stored = match statement.load::<Stored>(&mut *conn).await {
        Ok(stored) => stored.into_iter().next(),
        // Sent twice at the same time: the other one was faster.
        Err(DatabaseError(DatabaseErrorKind::UniqueViolation, _)) if message.client_id.is_some() => None,
        Err(fault) => return Err(fault.into()),
    };
    let Some(stored) = stored else {
        drop(conn);
        return Err(not_stored(scope, &message).await);
    };
    (message.seq, message.created_at, message.updated_at) = (stored.seq, DateTime(stored.at), DateTime(stored.at));
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
/// the message is there. Who sends has read what was there before; a receipt of that is kept if they had not. A key that
/// somebody else takes at this moment is a violation of its index.
fn insertion(scope: &Scope, message: &Message, event: Uuid) -> Result<Sql> {
    let id = |id: Uuid| Bind::Uuid(Some(id));
    let text = |text: Option<&str>| Bind::Text(text.map(Into::into));
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
        ") FROM mine WHERE c.organization_id = mine.organization AND c.id = mine.conversation AND c.archived_at IS NULL
            AND EXISTS (SELECT 1 FROM participants p WHERE p.organization_id = mine.organization
              AND p.conversation_id = mine.conversation AND p.member_id = mine.member AND p.left_at IS NULL)
            AND NOT EXISTS (SELECT 1 FROM messages m WHERE m.organization_id = mine.organization
              AND m.sender_id = mine.member AND m.client_id = mine.client_id)
          RETURNING c.organization_id, c.id, c.last_seq, c.last_message_at
        ), sender AS (
          UPDATE participants p SET read_seq = place.last_seq, read_at = place.last_message_at,
            delivered_seq = place.last_seq, delivered_at = place.last_message_at, last_read_seq = place.last_seq,
            last_read_at = place.last_message_at, last_delivered_seq = place.last_seq,
            last_delivered_at = place.last_message_at
          FROM place, mine, participants old
          WHERE p.organization_id = place.organization_id AND p.conversation_id = place.id AND p.member_id = mine.member
            AND p.left_at IS NULL AND old.organization_id = p.organization_id AND old.id = p.id
          RETURNING place.*, p.member_id, old.last_read_seq AS read_before
        ), advanced AS (
          INSERT INTO position_advances (organization_id, conversation_id, member_id, kind, upto_seq, at)
          SELECT organization_id, id, member_id, 'read', last_seq, last_message_at FROM sender
          WHERE read_before < last_seq - 1
        ), sent AS (
          INSERT INTO messages (organization_id, conversation_id, seq, sender_id, created_by, created_at, updated_at, id,
            client_id, body)
          SELECT organization_id, sender.id, last_seq, member_id, member_id, last_message_at, last_message_at, mine.id,
            client_id, ",
    );
    sql.bind(text(message.body.as_deref())).push(
        "::text FROM sender JOIN mine ON true
          RETURNING *
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
        "::jsonb || jsonb_build_object('seq', seq, 'created_at', told.at, 'updated_at', told.at)) AS payload,
            sender_id AS actor, ",
    );
    sql.bind(text(Some(&scope.request.id))).push("::text AS request_id, ");
    sql.bind(Bind::Uuid(scope.actor.api_key())).push(
        "::uuid AS api_key, NULL::text AS address, NULL::text AS user_agent
          FROM sent, LATERAL (SELECT to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')) AS told (at)
        ), ",
    );
    sql.push(NUMBER_AND_STORE);
    sql.push(
        " SELECT sent.seq, sent.created_at AS at, head.head_seq AS event_seq, head.at AS told_at FROM sent JOIN head ON true",
    );
    Ok(sql)
}

#[derive(diesel::QueryableByName)]
struct Stored {
    #[diesel(sql_type = diesel::sql_types::BigInt)]
    seq: i64,
    #[diesel(sql_type = diesel::sql_types::Timestamptz)]
    at: chrono::DateTime<Utc>,
    #[diesel(sql_type = diesel::sql_types::BigInt)]
    event_seq: i64,
    #[diesel(sql_type = diesel::sql_types::Timestamptz)]
    told_at: chrono::DateTime<Utc>,
}

/// Why nothing was stored: the sender has sent it before, has used the key elsewhere, or is not in the conversation, or
/// it takes no messages any more.
async fn not_stored(scope: &Scope, message: &Message) -> Stop {
    let (organization, conversation) = (scope.actor.organization, message.conversation_id.0);
    let why = async {
        let mut conn = scope.reader().await?;
        if !is_participant(scope, &conn, conversation).await? {
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
            Some((id, place)) if place == conversation => {
                return Ok(Stop::Rejected(Rejection { errors: UserErrors::default(), current: Some(id) }));
            }
            Some(_) => {
                let message = "You used this key for a message in another conversation.";
                return Ok(Stop::at("clientId", UserErrorCode::NotUnique, message));
            }
            None => {}
        }
        let archived = conversations::table.find((organization, conversation));
        let archived: bool = archived.select(conversations::archived_at.is_not_null()).first(&mut *conn).await?;
        Ok::<_, crate::Error>(if archived {
            let message = "This conversation is archived: it takes no messages.";
            Stop::at("conversationId", UserErrorCode::StateInvalid, message)
        } else {
            // Taken out and put back in between the two statements.
            not_found("conversationId")
        })
    };
    why.await.unwrap_or_else(Stop::from)
}
