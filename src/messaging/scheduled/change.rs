//! Writing, changing and taking back scheduled messages. Invariant: what is scheduled could be sent at that moment; what is
//! being sent is not changed.

use super::{
    MessageScheduleInput, ScheduledMessage, ScheduledMessageInput, ScheduledMessageStatus, ScheduledMessageUpdateInput,
    changed, deliver,
};
use crate::{
    files::file::File,
    identity::member::hold_members,
    kit::{
        entity::{self, Entity},
        filter::DeletedRecords,
        id::Id,
        scalars::DateTime,
        user_error::{UserErrorCode, UserErrors},
        value::Bind,
        write::{Rejection, Stop, Tx, patch_required},
    },
    messaging::{
        attachment, block,
        content::{check_key, demand_content, tidied},
        conversation::not_found,
        mention::{Named, not_here, outsiders},
        participant::is_participant,
        thread,
    },
    platform::jobs::Jobs,
    schema::scheduled_messages,
};
use async_graphql::MaybeUndefined;
use chrono::TimeDelta;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use uuid::Uuid;

/// Of one member at most.
const MOST_PENDING: i64 = 500;
/// How far ahead a message is scheduled, at least and at most.
const SOONEST: TimeDelta = TimeDelta::seconds(5);
const LATEST: TimeDelta = TimeDelta::days(366);

/// What a message is to say and to bring along.
struct Content {
    body: String,
    files: Vec<Id<File>>,
}

impl Content {
    /// As it is stored; tells what is wrong with it by itself.
    fn new(body: String, files: Vec<Id<File>>, errors: &mut UserErrors) -> Self {
        let body = tidied(body, errors);
        if !errors.has("body") {
            demand_content(&body, !files.is_empty(), errors);
        }
        Named::by(&body).check(errors);
        attachment::check(&files, errors);
        Content { body, files }
    }

    fn file_ids(&self) -> Vec<String> {
        self.files.iter().map(|id| id.0.to_string()).collect()
    }

    /// Rejects what could not be said in that conversation now: whom it mentions, what it brings along.
    async fn demand_sendable(&self, tx: &mut Tx, conversation: Uuid) -> Result<(), Stop> {
        let outside = outsiders(&tx.scope, tx.reader(), conversation, &Named::by(&self.body).members).await?;
        if !outside.is_empty() {
            return Err(not_here(&outside));
        }
        attachment::refused(&tx.scope, tx.reader(), &self.files).await?.map_or(Ok(()), Err)
    }
}

fn check_time(tx: &Tx, time: DateTime, errors: &mut UserErrors) {
    if !(tx.now.0 + SOONEST..=tx.now.0 + LATEST).contains(&time.0) {
        let message = "A message is scheduled for a time that is 5 seconds to 366 days ahead.";
        errors.add("scheduledFor", UserErrorCode::OutOfRange, message);
    }
}

pub async fn schedule(tx: &mut Tx, input: MessageScheduleInput) -> Result<Uuid, Stop> {
    let mut errors = UserErrors::default();
    let (body, files) = (input.body.unwrap_or_default(), input.file_ids.unwrap_or_default());
    let content = Content::new(body, files, &mut errors);
    check_time(tx, input.scheduled_for, &mut errors);
    check_key(input.client_id.as_deref(), &mut errors);
    if !errors.is_empty() {
        return Err(errors.into());
    }
    let (organization, author, place) = (tx.scope.actor.organization, tx.scope.actor.member, input.conversation_id);
    // Of one who schedules two at once, the second counts the first and sees its key.
    hold_members(tx, [author, author]).await?;
    if !is_participant(&tx.scope, tx.reader(), place.0).await? {
        return Err(not_found("conversationId"));
    }
    demand_unused(tx, place.0, input.client_id.as_deref()).await?;
    if let Some(closed) = block::closed(&tx.scope, tx.reader(), place.0, "conversationId").await? {
        return Err(closed);
    }
    if let Some(refused) = thread::refused(&tx.scope, tx.reader(), place.0, input.thread_root_id).await? {
        return Err(refused);
    }
    content.demand_sendable(tx, place.0).await?;
    demand_room(tx).await?;
    let id = Uuid::now_v7();
    diesel::insert_into(scheduled_messages::table)
        .values((
            scheduled_messages::organization_id.eq(organization),
            scheduled_messages::id.eq(id),
            scheduled_messages::conversation_id.eq(place.0),
            scheduled_messages::thread_root_id.eq(input.thread_root_id.map(|root| root.0)),
            scheduled_messages::body.eq(&content.body),
            scheduled_messages::file_ids.eq(content.file_ids()),
            scheduled_messages::client_id.eq(&input.client_id),
            scheduled_messages::scheduled_for.eq(input.scheduled_for.0),
            scheduled_messages::api_key.eq(api_key(tx)),
            scheduled_messages::created_by.eq(author),
            scheduled_messages::created_at.eq(tx.now.0),
            scheduled_messages::updated_at.eq(tx.now.0),
        ))
        .execute(tx.conn())
        .await?;
    deliver::plan(tx.transaction(), (organization, id), input.scheduled_for.0).await?;
    tx.record(changed(author, id));
    Ok(id)
}

/// By whose permissions it will be sent; None: the member's own.
fn api_key(tx: &Tx) -> Option<String> {
    tx.scope.actor.api_key().map(|id| id.to_string())
}

/// Answers what the author has scheduled under the key before.
async fn demand_unused(tx: &mut Tx, conversation: Uuid, key: Option<&str>) -> Result<(), Stop> {
    let Some(key) = key else { return Ok(()) };
    let before: Option<(Uuid, Uuid)> = scheduled_messages::table
        .filter(scheduled_messages::organization_id.eq(tx.scope.actor.organization))
        .filter(scheduled_messages::created_by.eq(tx.scope.actor.member))
        .filter(scheduled_messages::client_id.eq(key))
        .select((scheduled_messages::id, scheduled_messages::conversation_id))
        .first(tx.conn())
        .await
        .optional()?;
    match before {
        Some((id, there)) if there == conversation => {
            Err(Stop::Rejected(Rejection { errors: UserErrors::default(), current: Some(id) }))
        }
        Some(_) => {
            let message = "You used this key for a message in another conversation.";
            Err(Stop::at("clientId", UserErrorCode::NotUnique, message))
        }
        None => Ok(()),
    }
}

async fn demand_room(tx: &mut Tx) -> Result<(), Stop> {
    let pending = scheduled_messages::table
        .filter(scheduled_messages::organization_id.eq(tx.scope.actor.organization))
        .filter(scheduled_messages::created_by.eq(tx.scope.actor.member))
        .filter(scheduled_messages::status.eq("pending"));
    let pending: i64 = pending.count().get_result(tx.conn()).await?;
    if pending >= MOST_PENDING {
        let message = format!("At most {MOST_PENDING} of your messages wait to be sent: send or cancel some first.");
        return Err(Stop::at("", UserErrorCode::LimitExceeded, message));
    }
    Ok(())
}

/// One of the caller's, held until the transaction ends.
pub async fn hold(tx: &mut Tx, id: Id<ScheduledMessage>) -> Result<ScheduledMessage, Stop> {
    let mut sql = entity::select(ScheduledMessage::table());
    entity::push_visible(ScheduledMessage::table(), &tx.scope, DeletedRecords::Include, &mut sql);
    sql.push(" AND t0.id = ").bind(Bind::Uuid(Some(id.0))).push(" FOR NO KEY UPDATE OF t0");
    let found: Vec<ScheduledMessage> = sql.load(tx.conn()).await?;
    let found = found.into_iter().next();
    found.ok_or_else(|| Stop::at("id", UserErrorCode::NotFound, "There is no such scheduled message."))
}

/// CONFLICT for another version than the caller has seen.
pub fn demand_version(scheduled: &ScheduledMessage, expected: Option<i32>) -> Result<(), Stop> {
    if expected.is_none_or(|expected| expected == scheduled.version) {
        return Ok(());
    }
    let mut errors = UserErrors::default();
    errors.add("expectedVersion", UserErrorCode::Conflict, "The scheduled message was changed in the meantime.");
    Err(Stop::Rejected(Rejection { errors, current: Some(scheduled.id.0) }))
}

/// What is told of one that has come too far for what was asked.
pub fn over(status: ScheduledMessageStatus) -> Stop {
    let message = match status {
        ScheduledMessageStatus::Pending => "The message is being sent at this moment.",
        ScheduledMessageStatus::Sent => "The message was sent.",
        ScheduledMessageStatus::Failed => "The message could not be sent: schedule it anew.",
        ScheduledMessageStatus::Cancelled => "The message was cancelled: schedule it anew.",
    };
    Stop::at("id", UserErrorCode::StateInvalid, message)
}

/// STATE_INVALID for one that somebody is sending.
async fn demand_still(tx: &mut Tx, scheduled: &ScheduledMessage) -> Result<(), Stop> {
    let row = scheduled_messages::table.find((tx.scope.actor.organization, scheduled.id.0));
    let sending: bool = row.select(scheduled_messages::sending_since.is_not_null()).first(tx.conn()).await?;
    if sending { Err(over(scheduled.status)) } else { Ok(()) }
}

pub async fn update(tx: &mut Tx, input: ScheduledMessageUpdateInput) -> Result<Uuid, Stop> {
    let old = hold(tx, input.id).await?;
    demand_version(&old, input.expected_version)?;
    let (id, place) = (old.id.0, old.conversation_id.0);
    if old.status != ScheduledMessageStatus::Pending {
        return Err(over(old.status));
    }
    demand_still(tx, &old).await?;
    let mut errors = UserErrors::default();
    let mut time = old.scheduled_for;
    patch_required(&mut time, input.scheduled_for, "scheduledFor", &mut errors);
    if time != old.scheduled_for {
        check_time(tx, time, &mut errors);
    }
    let body = given(input.body, || old.body.clone().unwrap_or_default());
    let files = given(input.file_ids, || old.files().map(Into::into).collect());
    let content = Content::new(body, files, &mut errors);
    if !errors.is_empty() {
        return Err(errors.into());
    }
    let same = old.body.as_ref() == Some(&content.body) && old.file_ids == content.file_ids();
    if same && time == old.scheduled_for {
        return Ok(id);
    }
    // Whoever is not there any more learns nothing of who is, by mentioning them.
    if !is_participant(&tx.scope, tx.reader(), place).await? {
        let message = "You are not in its conversation any more.";
        return Err(Stop::at("id", UserErrorCode::StateInvalid, message));
    }
    if let Some(closed) = block::closed(&tx.scope, tx.reader(), place, "id").await? {
        return Err(closed);
    }
    if thread::refused(&tx.scope, tx.reader(), place, old.thread_root_id).await?.is_some() {
        return Err(Stop::at("id", UserErrorCode::StateInvalid, "The message that it replies to was deleted."));
    }
    content.demand_sendable(tx, place).await?;
    let (organization, author) = (tx.scope.actor.organization, tx.scope.actor.member);
    diesel::update(scheduled_messages::table.find((organization, id)))
        .set((
            scheduled_messages::body.eq(&content.body),
            scheduled_messages::file_ids.eq(content.file_ids()),
            scheduled_messages::scheduled_for.eq(time.0),
            // It is whoever has the last word on it who sends it.
            scheduled_messages::api_key.eq(api_key(tx)),
            scheduled_messages::version.eq(old.version + 1),
            scheduled_messages::updated_at.eq(tx.now.0),
        ))
        .execute(tx.conn())
        .await?;
    if time != old.scheduled_for {
        deliver::plan(tx.transaction(), (organization, id), time.0).await?;
    }
    tx.record(changed(author, id));
    Ok(id)
}

/// What is given, nothing where it is cleared, or what there was.
fn given<T: Default>(input: MaybeUndefined<T>, old: impl FnOnce() -> T) -> T {
    match input {
        MaybeUndefined::Undefined => old(),
        MaybeUndefined::Null => T::default(),
        MaybeUndefined::Value(value) => value,
    }
}

pub async fn cancel(tx: &mut Tx, input: &ScheduledMessageInput) -> Result<Uuid, Stop> {
    let old = hold(tx, input.id).await?;
    demand_version(&old, input.expected_version)?;
    let (id, organization, author) = (old.id.0, tx.scope.actor.organization, tx.scope.actor.member);
    match old.status {
        ScheduledMessageStatus::Cancelled => return Ok(id),
        ScheduledMessageStatus::Sent => return Err(over(old.status)),
        ScheduledMessageStatus::Pending | ScheduledMessageStatus::Failed => {}
    }
    demand_still(tx, &old).await?;
    let plans: i32 = diesel::update(scheduled_messages::table.find((organization, id)))
        .set((
            scheduled_messages::status.eq(ScheduledMessageStatus::Cancelled.word()),
            scheduled_messages::body.eq(None::<String>),
            scheduled_messages::file_ids.eq(Vec::<String>::new()),
            scheduled_messages::failure_code.eq(None::<String>),
            scheduled_messages::failure_message.eq(None::<String>),
            scheduled_messages::version.eq(old.version + 1),
            scheduled_messages::updated_at.eq(tx.now.0),
        ))
        .returning(scheduled_messages::plans)
        .get_result(tx.conn())
        .await?;
    Jobs::take_back(tx.transaction(), organization, deliver::job(id, plans)).await?;
    tx.record(changed(author, id));
    Ok(id)
}
