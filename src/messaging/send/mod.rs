//! Sending a message: one statement that is a transaction of its own, for all that are sent to a conversation at the same
//! time. Invariant: the number, the message and its event are stored together or not at all, and an answer with a message
//! means that they are. A reply's number in its thread, those who are mentioned and the files that come along belong to it.

mod statement;

use super::{
    attachment, block,
    content::{MessageKind, check_key, demand_content, tidied},
    conversation::not_found,
    mention::{Named, not_here, outsiders},
    message::{Message, MessagePayload, MessageSendInput, payload},
    participant::{is_participant, may_talk},
    thread,
};
use crate::{
    app::App,
    error::Result,
    events::{StreamId, event_id},
    files::file::File,
    kit::{
        id::Id,
        scalars::DateTime,
        scope::{Actor, RequestInfo, Scope},
        user_error::{UserErrorCode, UserErrors},
        write::{Rejection, Stop},
    },
    schema::messages,
};
use diesel::{
    prelude::*,
    result::{DatabaseErrorKind, Error::DatabaseError},
};
use diesel_async::RunQueryDsl;
use statement::{Stored, insertion};
use std::{collections::VecDeque, sync::Arc};
use uuid::Uuid;

/// What a message has beside its columns.
#[derive(Default)]
pub(super) struct Along {
    named: Named,
    files: Vec<Id<File>>,
}

impl Along {
    fn is_nothing(&self) -> bool {
        self.named.is_nobody() && self.files.is_empty()
    }
}

/// A message on its way, with all that whoever stores it has to know of its sender.
struct Outgoing {
    message: Message,
    along: Arc<Along>,
    actor: Arc<Actor>,
    request: RequestInfo,
    event: Uuid,
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
    match store(scope, message, Arc::new(along)).await {
        Ok(message) => payload(scope, Ok(message)).await,
        Err(Stop::Rejected(rejection)) => payload(scope, Err(rejection)).await,
        Err(Stop::Failed(fault)) => Err(fault),
    }
}

/// Stores the message and tells of it, together with others that wait for the same conversation.
async fn store(scope: &Scope, message: Message, along: Arc<Along>) -> Result<Message, Stop> {
    let (actor, request) = (scope.actor.clone(), scope.request.clone());
    let outgoing = Outgoing { message: message.clone(), along: along.clone(), actor, request, event: event_id() };
    let stream = StreamId { organization: scope.actor.organization, stream: message.conversation_id.0 };
    let app = &scope.app;
    let work = async |batch| store_all(app, batch).await;
    match app.combiner.write::<Outgoing, Result<Option<Message>>, _>(stream, outgoing, work).await?? {
        Some(stored) => {
            scope.loads.clear();
            Ok(stored)
        }
        None => Err(not_stored(scope, &message, &along).await),
    }
}

/// Stores messages of one conversation in this order, and answers for each what it has become; None: it was not stored, and
/// why has to be asked.
async fn store_all(app: &App, batch: Vec<Outgoing>) -> Vec<Result<Option<Message>>> {
    let mut done = Vec::with_capacity(batch.len());
    let mut batch = VecDeque::from(batch);
    while let Some(first) = batch.pop_front() {
        let plain = |outgoing: &Outgoing| outgoing.message.thread_root_id.is_none() && outgoing.along.is_nothing();
        let plain_ones = if plain(&first) { batch.iter().take_while(|next| plain(next)).count() } else { 0 };
        let together: Vec<Outgoing> = std::iter::once(first).chain(batch.drain(..plain_ones)).collect();
        match store_together(app, &together).await {
            // One of them is in the way of the others.
            Ok(None) if together.len() > 1 => {
                for one in together.chunks(1) {
                    let stored = store_together(app, one).await;
                    done.push(stored.map(|stored| stored.into_iter().flatten().next()));
                }
            }
            Ok(None) => done.push(Ok(None)),
            Ok(Some(stored)) => done.extend(stored.into_iter().map(|message| Ok(Some(message)))),
            Err(fault) => done.extend(together.iter().map(|_| Err(fault.clone()))),
        }
    }
    done
}

/// Stores all of these or none (None), and publishes them.
async fn store_together(app: &App, together: &[Outgoing]) -> Result<Option<Vec<Message>>> {
    let Some((first, rest)) = together.split_first() else { return Ok(Some(Vec::new())) };
    let organization = first.actor.organization;
    let statement = insertion(first, rest)?;
    let stored = statement.load::<Stored>(&mut *app.database.of(organization).await?).await;
    let stored = match stored {
        Ok(stored) => stored,
        Err(DatabaseError(kind, _)) if is_hindered(kind, together) => return Ok(None),
        Err(fault) => return Err(fault.into()),
    };
    if stored.len() != together.len() {
        return Ok(None);
    }
    let mut messages = Vec::with_capacity(stored.len());
    let mut events = Vec::with_capacity(stored.len());
    for (outgoing, stored) in together.iter().zip(stored) {
        let mut message = outgoing.message.clone();
        (message.seq, message.thread_seq) = (stored.seq, stored.thread_seq);
        (message.created_at, message.updated_at) = (DateTime(stored.at), DateTime(stored.at));
        let change = message.change("message_sent")?;
        let (member, request) = (Some(outgoing.actor.member), Some(&*outgoing.request.id));
        events.push(change.stored(outgoing.event, stored.event_seq, stored.told_at, organization, member, request));
        messages.push(message);
    }
    app.hub.publish(events);
    Ok(Some(messages))
}

/// Whether something has come between that the sender is to be told of, and no fault.
fn is_hindered(kind: DatabaseErrorKind, together: &[Outgoing]) -> bool {
    match kind {
        // Sent twice at the same time: the other one was faster.
        DatabaseErrorKind::UniqueViolation => together.iter().any(|outgoing| outgoing.message.client_id.is_some()),
        // Removed, or the root was deleted, while the statement waited.
        DatabaseErrorKind::NotNullViolation | DatabaseErrorKind::CheckViolation => true,
        // A file was deleted at this moment.
        DatabaseErrorKind::ForeignKeyViolation => together.iter().any(|outgoing| !outgoing.along.files.is_empty()),
        _ => false,
    }
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
