//! Sending scheduled messages: when their time has come, or at once. Whoever sends one first says so in its row
//! (`sending_since`), so that from then on it is neither changed nor cancelled, nor sent by others; and then sends it under a key
//! that follows from its id: when they die in between and somebody else goes on, or two believe that it is theirs, the message is
//! stored once, and whoever comes later finds it. A job stands behind each until it is settled.

use super::{
    ScheduledMessageInput, ScheduledMessageStatus,
    change::{demand_version, hold, over},
    changed,
};
use crate::{
    app::App,
    error::{Code, Error, Result},
    events::{Hub, Origin},
    identity::as_of_now,
    kit::{
        id::Id,
        scope::Scope,
        user_error::{UserError, UserErrors},
        write::{Rejection, Stop, Tx},
    },
    messaging::{
        message::{MessagePayload, MessageSendInput},
        send::send,
    },
    platform::{
        database::Transaction,
        jobs::{Failure, Job, Jobs, Run},
    },
    schema::{messages, scheduled_messages},
};
use async_graphql::resolver_utils::enum_value;
use chrono::{DateTime, TimeDelta, Utc};
use diesel::{dsl::now, prelude::*, sql_types::Bool};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use serde::{Deserialize, Serialize};
use std::{
    collections::HashMap,
    future::ready,
    slice,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::time::sleep;
use uuid::Uuid;

/// After how long whoever sends one is taken for dead.
const DEAD: TimeDelta = TimeDelta::seconds(30);
/// When the job comes that stands behind somebody who sends one at once.
const RESCUE: TimeDelta = TimeDelta::seconds(35);
/// How long one who wants it sent waits for somebody who is sending it, and how often they look.
const PATIENCE: Duration = Duration::from_secs(5);
const AGAIN: Duration = Duration::from_millis(50);

/// Sends a message when its time has come.
#[derive(Debug, Serialize, Deserialize)]
pub struct SendScheduled {
    pub organization: Uuid,
    pub id: Uuid,
}

impl Job for SendScheduled {
    const KIND: &'static str = "send_scheduled_message";
}

/// The job that was left as this one for a message.
pub fn job(id: Uuid, plan: i32) -> Uuid {
    Uuid::new_v5(&id, &plan.to_be_bytes())
}

/// Leaves a job that sends it then, in place of the one before.
pub async fn plan(tx: &mut Transaction, (organization, id): (Uuid, Uuid), at: DateTime<Utc>) -> Result<()> {
    let plans: i32 = diesel::update(scheduled_messages::table.find((organization, id)))
        .set(scheduled_messages::plans.eq(scheduled_messages::plans + 1))
        .returning(scheduled_messages::plans)
        .get_result(&mut **tx)
        .await?;
    Jobs::take_back(tx, organization, job(id, plans.saturating_sub(1))).await?;
    Jobs::enqueue_at(tx, organization, (job(id, plans), at), &SendScheduled { organization, id }).await
}

/// One that is being sent.
#[derive(Debug, Queryable, Selectable)]
#[diesel(table_name = scheduled_messages, check_for_backend(diesel::pg::Pg))]
pub struct Taken {
    organization_id: Uuid,
    pub id: Uuid,
    conversation_id: Uuid,
    thread_root_id: Option<Uuid>,
    body: Option<String>,
    file_ids: Vec<Option<String>>,
    scheduled_for: DateTime<Utc>,
    created_by: Uuid,
    api_key: Option<String>,
    takes: i32,
}

/// The sender's own key of the message that a scheduled one becomes.
fn key(id: Uuid) -> String {
    format!("scheduled:{id}")
}

impl Taken {
    fn message(&self) -> MessageSendInput {
        let files = self.file_ids.iter().flatten().filter_map(|id| Uuid::try_parse(id).ok());
        MessageSendInput {
            conversation_id: self.conversation_id.into(),
            body: self.body.clone(),
            file_ids: Some(files.map(Id::from).collect()),
            thread_root_id: self.thread_root_id.map(Into::into),
            client_id: Some(key(self.id)),
        }
    }

    /// Who wrote it, as they are by now.
    async fn author(&self, app: &Arc<App>) -> Result<Scope> {
        let key = self.api_key.as_deref().map(Uuid::try_parse).transpose().map_err(Error::ours)?;
        as_of_now(app, self.organization_id, (self.created_by, key), self.id).await
    }
}

/// Says that one is being sent, or is again after somebody has died of it. None: it is not due, unless it is sent at once; it is
/// not PENDING any more; or somebody is sending it.
async fn take(
    conn: &mut AsyncPgConnection,
    (organization, id): (Uuid, Uuid),
    at_once: bool,
) -> QueryResult<Option<Taken>> {
    use scheduled_messages as s;
    let free = s::sending_since.is_null().and(s::scheduled_for.le(now).or(at_once.into_sql::<Bool>()));
    let row = s::table
        .find((organization, id))
        .filter(s::status.eq(ScheduledMessageStatus::Pending.word()))
        .filter(free.or(s::sending_since.lt(Utc::now() - DEAD)));
    let taken = diesel::update(row)
        .set((s::sending_since.eq(Utc::now()), s::takes.eq(s::takes + 1)))
        .returning(Taken::as_returning());
    taken.get_result(conn).await.optional()
}

/// Leaves one to whoever takes it next: whether it was sent is not known.
async fn let_go(app: &App, taken: &Taken) -> Result<()> {
    use scheduled_messages as s;
    let mut conn = app.database.of(taken.organization_id).await?;
    let row = s::table.find((taken.organization_id, taken.id)).filter(s::takes.eq(taken.takes));
    let row = row.filter(s::sending_since.is_not_null());
    diesel::update(row).set(s::sending_since.eq(DateTime::UNIX_EPOCH)).execute(&mut *conn).await?;
    Ok(())
}

/// What has become of those that somebody has died of, or given up: the messages that were stored, by the ids of these.
pub async fn found(conn: &mut AsyncPgConnection, organization: Uuid, of: &[Taken]) -> QueryResult<HashMap<Uuid, Uuid>> {
    let sent: Vec<(Option<String>, Uuid)> = messages::table
        .filter(messages::organization_id.eq(organization))
        .filter(messages::sender_id.eq_any(of.iter().map(|taken| taken.created_by)))
        .filter(messages::client_id.eq_any(of.iter().map(|taken| key(taken.id))))
        .select((messages::client_id, messages::id))
        .load(conn)
        .await?;
    let sent: HashMap<_, _> = sent.into_iter().collect();
    Ok(of.iter().filter_map(|taken| Some((taken.id, *sent.get(&Some(key(taken.id)))?))).collect())
}

/// What came of an attempt.
enum Attempt {
    Sent(Uuid),
    Refused(Vec<UserError>),
}

/// Sends one in the name of `who`, unless it turns out to be sent: by whoever had it before, and then whatever has become of its
/// author and its conversation meanwhile.
async fn attempt(app: &App, taken: &Taken, who: impl Future<Output = Result<Scope>>) -> Result<Attempt> {
    if taken.takes > 1 {
        let mut conn = app.database.of(taken.organization_id).await?;
        let found = found(&mut conn, taken.organization_id, slice::from_ref(taken)).await?;
        if let Some(message) = found.get(&taken.id) {
            return Ok(Attempt::Sent(*message));
        }
    }
    let MessagePayload { message, user_errors, .. } = send(&who.await?, taken.message()).await?;
    Ok(message.map_or(Attempt::Refused(user_errors), |message| Attempt::Sent(message.id.0)))
}

/// What is stored of it.
pub enum Outcome {
    Sent(Uuid),
    /// By a code and a sentence.
    Failed(String, String),
}

/// Stores the outcome, and tells the author. What was sent is sent, whoever says so; that it failed says only who took it last.
pub async fn settle(app: &App, taken: &Taken, outcome: Outcome, origin: &Origin) -> Result<()> {
    use scheduled_messages as s;
    let row =
        s::table.find((taken.organization_id, taken.id)).filter(s::status.ne(ScheduledMessageStatus::Sent.word()));
    let common =
        (s::sending_since.eq(None::<DateTime<Utc>>), s::version.eq(s::version + 1), s::updated_at.eq(Utc::now()));
    let mut tx = app.database.of(taken.organization_id).await?.begin().await?;
    let settled = match outcome {
        Outcome::Sent(message) => {
            let sent = (
                s::status.eq(ScheduledMessageStatus::Sent.word()),
                s::message_id.eq(message),
                s::body.eq(None::<String>),
                s::file_ids.eq(Vec::<String>::new()),
                s::failure_code.eq(None::<String>),
                s::failure_message.eq(None::<String>),
            );
            diesel::update(row).set((sent, common)).execute(&mut *tx).await?
        }
        Outcome::Failed(code, message) => {
            let failed = (
                s::status.eq(ScheduledMessageStatus::Failed.word()),
                s::failure_code.eq(code),
                s::failure_message.eq(message),
            );
            let row = row.filter(s::status.eq(ScheduledMessageStatus::Pending.word()).and(s::takes.eq(taken.takes)));
            diesel::update(row).set((failed, common)).execute(&mut *tx).await?
        }
    };
    if settled == 0 {
        return tx.rollback().await;
    }
    let told = vec![changed(taken.created_by, taken.id)];
    let events = Hub::append(&mut tx, taken.organization_id, origin, told).await?;
    tx.commit().await?;
    app.hub.publish(events);
    Ok(())
}

impl Run<Arc<App>> for SendScheduled {
    async fn run(self, app: &Arc<App>) -> Result<(), Failure> {
        let key = (self.organization, self.id);
        let mut conn = app.database.of(self.organization).await?;
        let Some(taken) = take(&mut conn, key, false).await? else {
            let row = scheduled_messages::table.find(key).select(scheduled_messages::sending_since.is_not_null());
            return match row.first(&mut *conn).await.optional()? {
                Some(true) => Err(Failure::Later("Somebody is sending it.".to_owned())),
                _ => Ok(()),
            };
        };
        drop(conn);
        let outcome = match attempt(app, &taken, taken.author(app)).await {
            Ok(Attempt::Sent(message)) => Outcome::Sent(message),
            // Whoever died of it sent it at once: what cannot be sent then has its time yet.
            Ok(Attempt::Refused(_)) | Err(Error::Yours(_)) if taken.scheduled_for > Utc::now() => {
                give_back(app, &taken).await?;
                return Ok(());
            }
            Ok(Attempt::Refused(errors)) => failed(errors)?,
            // Where nobody gets in nobody says anything, whatever it is: it waits until somebody does.
            Err(Error::Yours(refusal)) if refusal.code == Code::OrganizationSuspended => {
                free(&mut *app.database.of(self.organization).await?, &taken).await?;
                return Err(Failure::NotYet(pause(&taken), refusal.message.to_string()));
            }
            Err(Error::Yours(refusal)) => {
                Outcome::Failed(refusal.code.as_str().to_owned(), refusal.message.to_string())
            }
            // Ours: it is tried again.
            Err(fault) => {
                let_go(app, &taken).await?;
                return Err(fault.into());
            }
        };
        Ok(settle(app, &taken, outcome, &Origin::default()).await?)
    }
}

/// When one is looked at again that has to wait: after as long as it is late, a minute at least and an hour at most.
fn pause(taken: &Taken) -> Duration {
    let late = (Utc::now() - taken.scheduled_for).clamp(TimeDelta::minutes(1), TimeDelta::hours(1));
    late.to_std().unwrap_or_default()
}

/// By the first of what stands in the way. The code as the schema spells it.
fn failed(errors: Vec<UserError>) -> Result<Outcome> {
    let first = errors.into_iter().next();
    let first = first.ok_or_else(|| Error::ours("a message was neither sent nor refused"))?;
    Ok(Outcome::Failed(enum_value(first.code).to_string(), first.message.into_owned()))
}

/// How far it has come when somebody wants it sent at once.
enum Begun {
    Taken(Box<Taken>),
    Sent,
    /// Somebody else is sending it.
    Busy,
}

/// Sends one at once, in the name of its author, who asks for it.
pub async fn send_now(scope: &Scope, input: &ScheduledMessageInput) -> Result<Result<(), Rejection>> {
    let until = Instant::now() + PATIENCE;
    let taken = loop {
        let mut tx = scope.begin().await?;
        let result = begin(&mut tx, input, Instant::now() < until).await;
        match tx.finish(result).await? {
            Ok(Begun::Taken(taken)) => break taken,
            Ok(Begun::Sent) => return Ok(Ok(())),
            Ok(Begun::Busy) => sleep(AGAIN).await,
            Err(rejection) => return Ok(Err(rejection)),
        }
    };
    match attempt(&scope.app, &taken, ready(Ok(scope.clone()))).await {
        Ok(Attempt::Sent(message)) => {
            settle(&scope.app, &taken, Outcome::Sent(message), &scope.origin()).await?;
            scope.loads.clear();
            Ok(Ok(()))
        }
        Ok(Attempt::Refused(user_errors)) => {
            give_back(&scope.app, &taken).await?;
            let mut errors = UserErrors::default();
            for UserError { code, message, .. } in user_errors {
                errors.add("id", code, message);
            }
            Ok(Err(Rejection { errors, current: None }))
        }
        Err(fault) => {
            match fault {
                Error::Yours(_) => give_back(&scope.app, &taken).await?,
                // Ours: the job sends it, or finds it sent.
                _ => let_go(&scope.app, &taken).await?,
            }
            Err(fault)
        }
    }
}

async fn begin(tx: &mut Tx, input: &ScheduledMessageInput, patient: bool) -> Result<Begun, Stop> {
    let scheduled = hold(tx, input.id).await?;
    if scheduled.status == ScheduledMessageStatus::Sent {
        return Ok(Begun::Sent);
    }
    demand_version(&scheduled, input.expected_version)?;
    if scheduled.status != ScheduledMessageStatus::Pending {
        return Err(over(scheduled.status));
    }
    let key = (tx.scope.actor.organization, scheduled.id.0);
    let Some(taken) = take(tx.conn(), key, true).await? else {
        return if patient { Ok(Begun::Busy) } else { Err(over(scheduled.status)) };
    };
    let at = tx.now.0 + RESCUE;
    plan(tx.transaction(), key, at).await?;
    Ok(Begun::Taken(Box::new(taken)))
}

/// It is not sent after all, and waits for its time.
async fn give_back(app: &App, taken: &Taken) -> Result<()> {
    let mut tx = app.database.of(taken.organization_id).await?.begin().await?;
    if free(&mut tx, taken).await? {
        plan(&mut tx, (taken.organization_id, taken.id), taken.scheduled_for).await?;
    }
    tx.commit().await
}

/// Nobody is sending it any more, and it was not sent. False: somebody else has taken it by now.
async fn free(conn: &mut AsyncPgConnection, taken: &Taken) -> QueryResult<bool> {
    let row = scheduled_messages::table.find((taken.organization_id, taken.id));
    let row = row.filter(scheduled_messages::takes.eq(taken.takes));
    let row = row.filter(scheduled_messages::sending_since.is_not_null());
    let free = scheduled_messages::sending_since.eq(None::<DateTime<Utc>>);
    Ok(diesel::update(row).set(free).execute(conn).await? == 1)
}
