//! Messages. Sending is idempotent by the sender's own key; messages of a conversation are numbered 1, 2, 3 …
//! without a gap in the order in which they were stored; a deleted one keeps its number and loses its body.

use super::{
    conversation::{Conversation, not_found, tell},
    participant::{Participant, ParticipantRole, hold_own, in_own_conversations, is_participant},
};
use crate::{
    identity::Member,
    kit::{
        entity::{self, Entity},
        filter::DeletedRecords,
        id::Id,
        relation::or_null,
        resolve::scope,
        rules::{Rule, Rules, tidy_text},
        scalars::DateTime,
        scope::Scope,
        sql::Sql,
        user_error::{UserError, UserErrorCode, UserErrors},
        value::Bind,
        write::{Rejection, Stop, Tx},
    },
    schema::messages,
};
use async_graphql::{Context, InputObject, Object, SimpleObject};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use serde_json::json;
use std::sync::Arc;
use stoa_macros::entity;
use uuid::Uuid;

/// Something that was said.
#[entity(resource = Conversation, plural = messages, visible_by = in_own_conversations, read_only, no_queries, newest = seq)]
pub struct Message {
    pub id: Id<Message>,
    /// The id of the conversation.
    #[entity(filter, belongs_to = super::conversation::Conversation)]
    pub conversation_id: Id<Conversation>,
    /// Its number in the conversation: 1, 2, 3 … without a gap.
    #[entity(order)]
    pub seq: i64,
    /// The id of the member who said it.
    #[entity(filter, belongs_to = crate::identity::Member as sender)]
    pub sender_id: Id<Member>,
    /// The sender's own key for it.
    #[entity()]
    pub client_id: Option<String>,
    /// What was said, in Markdown, at most 40 000 characters; null: it was deleted.
    #[entity(filter, search)]
    pub body: Option<String>,
    /// When it was last edited; null: it is as it was sent.
    #[entity(filter)]
    pub edited_at: Option<DateTime>,
    /// When it was deleted; null: it was not.
    #[entity(filter)]
    pub deleted_at: Option<DateTime>,
}

impl Rules for Message {}

/// A message to send.
#[derive(Clone, Debug, InputObject)]
pub struct MessageSendInput {
    /// To which conversation.
    pub conversation_id: Id<Conversation>,
    /// What to say, in Markdown: 1 to 40 000 characters.
    pub body: String,
    /// The sender's own key for this message, 1 to 100 characters: sending the same one again returns the message
    /// that exists. Give one always, and send again when no answer came.
    pub client_id: Option<String>,
}

/// A message to edit.
#[derive(Clone, Debug, InputObject)]
pub struct MessageEditInput {
    /// Which message; only one's own.
    pub id: Id<Message>,
    /// The version that the change is based on; with another by now nothing is written (user error CONFLICT).
    pub expected_version: Option<i32>,
    /// What to say instead, in Markdown: 1 to 40 000 characters.
    pub body: String,
}

/// A message to delete.
#[derive(Clone, Debug, InputObject)]
pub struct MessageDeleteInput {
    /// Which message; one's own, or any as owner or moderator of the conversation.
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
    /// Sends a message. An answer with a message means that it is stored: every participant will see it once and
    /// in order.
    async fn message_send(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The message.")] input: MessageSendInput,
    ) -> Option<MessagePayload> {
        Box::pin(or_null(ctx, async { send(scope(ctx)?, input).await.map(Some) })).await
    }

    /// Edits one's own message.
    async fn message_edit(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which message, and the new text.")] input: MessageEditInput,
    ) -> Option<MessagePayload> {
        Box::pin(or_null(ctx, run(scope(ctx), async move |tx| edit(tx, input).await))).await
    }

    /// Deletes a message: its body goes, its place stays. Deleting it again changes nothing.
    async fn message_delete(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which message.")] input: MessageDeleteInput,
    ) -> Option<MessagePayload> {
        Box::pin(or_null(ctx, run(scope(ctx), async move |tx| delete(tx, input.id.0).await))).await
    }
}

async fn run(
    scope: crate::Result<&Scope>,
    write: impl AsyncFnOnce(&mut Tx) -> Result<Message, Stop>,
) -> crate::Result<Option<MessagePayload>> {
    let scope = scope?;
    let mut tx = scope.begin().await?;
    let result = write(&mut tx).await;
    payload(scope, tx.finish(result).await?).await.map(Some)
}

async fn payload(scope: &Scope, result: Result<Message, Rejection>) -> crate::Result<MessagePayload> {
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

fn checked(mut body: String) -> Result<String, UserErrors> {
    let mut errors = UserErrors::default();
    tidy_text(&mut body, "body", &Rule { max: 40_000, multiline: true, ..Rule::DEFAULT }, &mut errors);
    if body.is_empty() {
        errors.add("body", UserErrorCode::Required, "A message has at least one character.");
    }
    if errors.is_empty() { Ok(body) } else { Err(errors) }
}

/// Three flights: BEGIN with the statement that numbers and stores, the event, COMMIT.
async fn send(scope: &Scope, input: MessageSendInput) -> crate::Result<MessagePayload> {
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
    let mut message = Message {
        id: Id::fresh(),
        conversation_id: input.conversation_id,
        seq: 0,
        sender_id: scope.actor.member.into(),
        client_id: input.client_id,
        body: Some(body),
        edited_at: None,
        deleted_at: None,
        created_by: Some(scope.actor.member.into()),
        created_at: DateTime::now(),
        updated_at: DateTime::now(),
        version: 1,
    };
    let organization = scope.actor.organization;
    let (mut tx, stored) = scope
        .begin_with(async |mut conn, now| insertion(organization, &message, now).load::<Stored>(&mut conn).await)
        .await?;
    let result = match stored {
        Ok(stored) => match stored.into_iter().next() {
            Some(Stored { seq, at }) => {
                (message.seq, message.created_at, message.updated_at) = (seq, DateTime(at), DateTime(at));
                tell_of(&mut tx, &message, "message_sent").map_err(Stop::from)
            }
            None => Err(not_stored(&mut tx, &message).await),
        },
        Err(fault) => Err(fault.into()),
    };
    payload(scope, tx.finish(result.map(|()| message)).await?).await
}

/// Takes the next number and stores the message, or does nothing when the sender is not in the conversation or has
/// used the key before. The lock of the conversation's row orders its messages, in time as well. Whoever waited for it
/// may have been removed meanwhile; the lock of the participant's row finds out, and holds off a removal until the
/// message is there.
fn insertion(organization: Uuid, message: &Message, now: DateTime) -> Sql {
    let id = |id: Uuid| Bind::Uuid(Some(id));
    let mut sql = Sql::new("WITH mine AS (SELECT ");
    sql.bind(id(organization)).push("::uuid AS organization, ");
    sql.bind(id(message.conversation_id.0)).push("::uuid AS conversation, ");
    sql.bind(id(message.sender_id.0)).push("::uuid AS member), place AS (UPDATE conversations c SET last_seq = c.last_seq + 1, last_message_at = greatest(c.last_message_at, ");
    sql.bind(Bind::Time(Some(now.0))).push(
        ") FROM mine WHERE c.organization_id = mine.organization AND c.id = mine.conversation AND EXISTS (
            SELECT 1 FROM participants p WHERE p.organization_id = mine.organization
              AND p.conversation_id = mine.conversation AND p.member_id = mine.member AND p.left_at IS NULL
          ) RETURNING c.organization_id, c.id, c.last_seq, c.last_message_at),
        sender AS (SELECT place.*, p.member_id FROM place JOIN mine ON true JOIN participants p
          ON p.organization_id = place.organization_id AND p.conversation_id = place.id AND p.member_id = mine.member
          WHERE p.left_at IS NULL FOR SHARE OF p)
        INSERT INTO messages (organization_id, conversation_id, seq, sender_id, created_by, created_at, updated_at, id, client_id, body)
        SELECT organization_id, id, last_seq, member_id, member_id, last_message_at, last_message_at, ",
    );
    sql.bind(id(message.id.0)).push("::uuid, ").bind(Bind::Text(message.client_id.clone())).push("::text, ");
    sql.bind(Bind::Text(message.body.clone()));
    sql.push("::text FROM sender ON CONFLICT DO NOTHING RETURNING seq, created_at AS at");
    sql
}

#[derive(diesel::QueryableByName)]
struct Stored {
    #[diesel(sql_type = diesel::sql_types::BigInt)]
    seq: i64,
    #[diesel(sql_type = diesel::sql_types::Timestamptz)]
    at: chrono::DateTime<chrono::Utc>,
}

/// Why nothing was stored: the sender has sent it before, has used the key elsewhere, or is not in the conversation.
async fn not_stored(tx: &mut Tx, message: &Message) -> Stop {
    match is_participant(&tx.scope, tx.reader(), message.conversation_id.0).await {
        Ok(true) => {}
        Ok(false) => return not_found("conversationId"),
        Err(fault) => return fault.into(),
    }
    let before: diesel::QueryResult<Option<(Uuid, Uuid)>> = messages::table
        .filter(messages::organization_id.eq(tx.scope.actor.organization))
        .filter(messages::sender_id.eq(tx.scope.actor.member))
        .filter(messages::client_id.eq(&message.client_id))
        .select((messages::id, messages::conversation_id))
        .first(tx.conn())
        .await
        .optional();
    match before {
        Ok(Some((id, place))) if place == message.conversation_id.0 => {
            Stop::Rejected(Rejection { errors: UserErrors::default(), current: Some(id) })
        }
        Ok(Some(_)) => {
            Stop::at("clientId", UserErrorCode::NotUnique, "You used this key for a message in another conversation.")
        }
        // They were taken out and back in between the two statements.
        Ok(None) => not_found("conversationId"),
        Err(fault) => fault.into(),
    }
}

/// The message, locked until the transaction ends, and the caller as participant.
async fn lock(tx: &mut Tx, id: Uuid) -> Result<(Message, Participant), Stop> {
    let gone = || Stop::at("id", UserErrorCode::NotFound, "There is no such message.");
    let mut sql = entity::select(Message::table());
    entity::push_visible(Message::table(), &tx.scope, DeletedRecords::Include, &mut sql);
    sql.push(" AND t0.id = ").bind(Bind::Uuid(Some(id))).push(" FOR NO KEY UPDATE OF t0");
    let found: Vec<Message> = sql.load(tx.conn()).await?;
    let message = found.into_iter().next().ok_or_else(gone)?;
    let me = hold_own(tx, message.conversation_id.0).await?.ok_or_else(gone)?;
    Ok((message, me))
}

async fn edit(tx: &mut Tx, input: MessageEditInput) -> Result<Message, Stop> {
    let body = checked(input.body)?;
    let (mut message, _) = lock(tx, input.id.0).await?;
    if message.sender_id.0 != tx.scope.actor.member {
        return Err(crate::Error::forbidden("Only the sender may edit a message.").into());
    }
    if message.deleted_at.is_some() {
        return Err(Stop::at("id", UserErrorCode::StateInvalid, "The message was deleted."));
    }
    if input.expected_version.is_some_and(|expected| expected != message.version) {
        let mut errors = UserErrors::default();
        errors.add("expectedVersion", UserErrorCode::Conflict, "The message was changed in the meantime.");
        return Err(Stop::Rejected(Rejection { errors, current: Some(message.id.0) }));
    }
    if message.body.as_ref() == Some(&body) {
        return Ok(message);
    }
    message.body = Some(body);
    message.edited_at = Some(tx.now);
    store(tx, &mut message).await?;
    tell_of(tx, &message, "message_edited")?;
    Ok(message)
}

async fn delete(tx: &mut Tx, id: Uuid) -> Result<Message, Stop> {
    let (mut message, me) = lock(tx, id).await?;
    if message.sender_id != me.member_id && me.role == ParticipantRole::Member {
        return Err(crate::Error::forbidden("Only the sender, owners and moderators may delete a message.").into());
    }
    if message.deleted_at.is_some() {
        return Ok(message);
    }
    message.body = None;
    message.deleted_at = Some(tx.now);
    store(tx, &mut message).await?;
    diesel::update(messages::table.find((tx.scope.actor.organization, message.id.0)))
        .set(messages::deleted_by.eq(tx.scope.actor.member))
        .execute(tx.conn())
        .await?;
    tell_of(tx, &message, "message_deleted")?;
    Ok(message)
}

async fn store(tx: &mut Tx, message: &mut Message) -> Result<(), Stop> {
    message.version += 1;
    message.updated_at = tx.now;
    diesel::update(messages::table.find((tx.scope.actor.organization, message.id.0)))
        .set((
            messages::body.eq(&message.body),
            messages::edited_at.eq(message.edited_at.map(|time| time.0)),
            messages::deleted_at.eq(message.deleted_at.map(|time| time.0)),
            messages::version.eq(message.version),
            messages::updated_at.eq(message.updated_at.0),
        ))
        .execute(tx.conn())
        .await?;
    Ok(())
}

fn tell_of(tx: &mut Tx, message: &Message, kind: &'static str) -> crate::Result<()> {
    let payload = json!({ "message": serde_json::to_value(message)? });
    tell(tx, message.conversation_id, kind, "Message", message.id.0, payload);
    Ok(())
}
