//! Notifying whom an event concerns: the follower of the log that makes notifications. A node hears of the events that it
//! commits itself and works on their streams a moment later, many together; what a node leaves behind (it died, or too much
//! came at once) the sweep finds by comparing heads with places. Invariant: as that of `kit::follow`; and whoever sends a
//! message never waits for this.

use super::{
    read::{self, Seat},
    told::{self, ENTERED, SENT},
};
use crate::{
    app::App,
    error::Result,
    events::{Event, Hub, Origin, StreamId, StreamKind},
    kit::{
        follow::{self, Follower, Heard},
        organizations::each_organization,
        sql::Sql,
        value::Bind,
    },
    messaging::user_contact,
    platform::{
        database::Transaction,
        jobs::{Failure, Job, Run},
    },
};
use diesel::{QueryableByName, sql_types};
use diesel_async::RunQueryDsl;
use futures_util::{StreamExt, stream};
use parking_lot::Mutex;
use quick_cache::sync::Cache;
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, HashSet},
    sync::{Arc, Weak},
    time::Duration,
};
use tokio::{sync::Notify, time::sleep};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};
use uuid::Uuid;

/// In `log_places`.
const NAME: &str = "notifications";
const STREAMS: [StreamKind; 2] = [StreamKind::Conversation, StreamKind::Member];
/// How long the first event waits for others.
const SOON: Duration = Duration::from_millis(20);
/// How often a node works at most.
const PERIOD: Duration = Duration::from_millis(200);
/// How long work that fails waits for its next try at most, and all else with it.
const LONGEST: Duration = Duration::from_secs(5);
/// Streams that wait on a node at most; the sweep finds those beyond.
const MOST: usize = 50_000;
/// Streams in one transaction.
const TOGETHER: usize = 50;
/// Transactions at once, with a connection each.
const AT_ONCE: usize = 2;
/// Conversations that are remembered as quiet.
const QUIET: usize = 100_000;

/// What a node has yet to work on.
struct Waiting {
    streams: Mutex<HashSet<StreamId>>,
    some: Notify,
    /// Conversations of which a message concerns nobody unless it says so: all but direct ones.
    quiet: Cache<Uuid, ()>,
}

/// The follower on this node.
pub struct Following {
    stop: CancellationToken,
    task: AbortOnDropHandle<()>,
}

/// Begins to follow what this node commits.
pub fn start(app: &Arc<App>) -> Following {
    let waiting = Arc::new(Waiting { streams: Mutex::default(), some: Notify::new(), quiet: Cache::new(QUIET) });
    let overheard = waiting.clone();
    app.hub.overhear(move |events| overheard.note(events));
    let stop = CancellationToken::new();
    let task = tokio::spawn(run(Arc::downgrade(app), waiting, stop.clone()));
    Following { stop, task: AbortOnDropHandle::new(task) }
}

impl Following {
    /// Works on what waits, and ends.
    pub async fn stop(self, within: Duration) {
        self.stop.cancel();
        let _ = tokio::time::timeout(within, self.task).await;
    }
}

impl Waiting {
    /// Called with every event, on the way of whoever wrote it.
    fn note(&self, events: &[Arc<Event>]) {
        for event in events.iter().filter(|event| self.concerns(event)) {
            let mut streams = self.streams.lock();
            if streams.len() < MOST {
                streams.insert(event.stream_id());
            }
            drop(streams);
            self.some.notify_one();
        }
    }

    /// Whether anybody may be notified of it.
    fn concerns(&self, event: &Event) -> bool {
        match event.kind.as_str() {
            SENT => {
                let message = event.payload.get("message");
                let text = |member: &str| message.and_then(|message| message.get(member)?.as_str());
                text("body").is_some_and(|body| body.contains("<@"))
                    || text("thread_root_id").is_some()
                    || self.quiet.get(&event.stream).is_none()
            }
            ENTERED | user_contact::CHANGED => true,
            _ => false,
        }
    }

    /// Works on all that waits; false: some of it has to be tried again.
    async fn work(&self, app: &App) -> bool {
        let mut organizations: BTreeMap<Uuid, Vec<Uuid>> = BTreeMap::new();
        for id in std::mem::take(&mut *self.streams.lock()) {
            organizations.entry(id.organization).or_default().push(id.stream);
        }
        let parts = organizations.into_iter().flat_map(|(organization, streams)| {
            streams.chunks(TOGETHER).map(|some| (organization, some.to_vec())).collect::<Vec<_>>()
        });
        let steps = stream::iter(parts)
            .map(async |(organization, streams)| (organization, step_or_each(app, organization, &streams).await))
            .buffer_unordered(AT_ONCE)
            .collect::<Vec<_>>()
            .await;
        let mut done = true;
        for (organization, Step { quiet, left, failed }) in steps {
            quiet.into_iter().for_each(|conversation| self.quiet.insert(conversation, ()));
            done &= failed.is_empty();
            let again: Vec<_> =
                left.into_iter().chain(failed).map(|stream| StreamId { organization, stream }).collect();
            if !again.is_empty() {
                self.streams.lock().extend(again);
                self.some.notify_one();
            }
        }
        done
    }
}

async fn run(app: Weak<App>, waiting: Arc<Waiting>, stop: CancellationToken) {
    let mut pause = PERIOD;
    loop {
        let _ = stop.run_until_cancelled(waiting.some.notified()).await;
        let _ = stop.run_until_cancelled(sleep(SOON)).await;
        let Some(app) = app.upgrade() else { return };
        let done = waiting.work(&app).await;
        drop(app);
        if stop.is_cancelled() {
            return;
        }
        pause = if done { PERIOD } else { (pause * 2).min(LONGEST) };
        let _ = stop.run_until_cancelled(sleep(pause)).await;
    }
}

/// What came of some work on streams.
#[derive(Default)]
struct Step {
    /// Conversations that are not direct.
    quiet: Vec<Uuid>,
    /// Streams of which there is more.
    left: Vec<Uuid>,
    /// Streams of which nothing was done.
    failed: Vec<Uuid>,
}

/// As `step`. What fails together is tried one by one, so that one does not hold up the others.
async fn step_or_each(app: &App, organization: Uuid, streams: &[Uuid]) -> Step {
    match step(app, organization, streams).await {
        Ok(done) => return done,
        Err(fault) => tracing::debug!(?fault, "nobody could be notified; it is tried again"),
    }
    let mut all = Step::default();
    for stream in streams {
        match step(app, organization, &[*stream]).await {
            Ok(done) => {
                all.quiet.extend(done.quiet);
                all.left.extend(done.left);
            }
            Err(_) => all.failed.push(*stream),
        }
    }
    all
}

#[derive(QueryableByName)]
struct Quiet {
    #[diesel(sql_type = sql_types::Uuid)]
    id: Uuid,
}

/// Notifies of the next events of the streams.
async fn step(app: &App, organization: Uuid, streams: &[Uuid]) -> Result<Step> {
    let follower = Follower { organization, name: NAME };
    let mut tx = app.database.of(organization).await?.begin().await?;
    let heard = follower.read(&mut tx, streams, &[ENTERED]).await?;
    if heard.is_empty() {
        tx.rollback().await?;
        return Ok(Step::default());
    }
    let quiet = quiet_among(&mut tx, organization, &heard).await?;
    let told = told::of(&mut tx, organization, &heard, |member| app.presence.is_here(organization, member)).await?;
    let told = told::store(&mut tx, organization, told).await?;
    follower.advance(&mut tx, &heard).await?;
    let mut seats: HashSet<Seat> = told
        .iter()
        .filter(|own| own.notification.read_at.is_none() && own.notification.message_id.is_some())
        .filter_map(|own| Some((own.member, own.notification.conversation_id?.0)))
        .collect();
    let changes = told.into_iter().map(told::Own::change).collect::<Result<Vec<_>>>()?;
    let events = Hub::append(&mut tx, organization, &Origin::default(), changes).await?;
    tx.commit().await?;
    app.hub.publish(events);
    // Who read on at this very moment did not see what was about to be stored; and who sends has read what was there.
    let senders = heard.iter().filter(|event| event.kind == SENT);
    seats.extend(senders.filter_map(|event| Some((event.actor_id?, event.stream_id))));
    let seats: Vec<Seat> = seats.into_iter().collect();
    read::settle_among(&mut *app.database.of(organization).await?, &app.hub, organization, &seats).await?;
    Ok(Step { quiet, left: follow::unfinished(streams, &heard), failed: Vec::new() })
}

async fn quiet_among(tx: &mut Transaction, organization: Uuid, heard: &[Heard]) -> Result<Vec<Uuid>> {
    let sent: HashSet<Uuid> = heard.iter().filter(|event| event.kind == SENT).map(|event| event.stream_id).collect();
    if sent.is_empty() {
        return Ok(Vec::new());
    }
    let mut sql = Sql::new("SELECT id FROM conversations WHERE direct_key IS NULL AND organization_id = ");
    sql.bind(Bind::Uuid(Some(organization))).push(" AND id = ANY(");
    sql.bind(Bind::Uuids(sent.into_iter().collect())).push(")");
    let found: Vec<Quiet> = sql.load(&mut **tx).await?;
    Ok(found.into_iter().map(|quiet| quiet.id).collect())
}

/// Notifies of what was missed.
#[derive(Debug, Serialize, Deserialize)]
pub struct NotifyMissed {}

impl Job for NotifyMissed {
    const KIND: &'static str = "notify_missed";
    /// The next one comes within minutes.
    const ATTEMPTS: i32 = 3;
    const TIME: Duration = Duration::from_secs(3600);
}

impl Run<Arc<App>> for NotifyMissed {
    async fn run(self, app: &Arc<App>) -> Result<(), Failure> {
        Ok(sweep(app).await?)
    }
}

/// Works on all streams of all organizations that have gone on.
pub async fn sweep(app: &App) -> Result<()> {
    each_organization(app, |organization| catch_up(app, organization)).await
}

/// Works on all streams of an organization that have gone on.
pub async fn catch_up(app: &App, organization: Uuid) -> Result<()> {
    let follower = Follower { organization, name: NAME };
    let mut after = None;
    loop {
        let behind = follower.behind(&mut *app.database.of(organization).await?, &STREAMS, after).await?;
        for some in behind.chunks(TOGETHER) {
            let mut streams = some.to_vec();
            while !streams.is_empty() {
                // What fails now is left for the next time.
                streams = step_or_each(app, organization, &streams).await.left;
            }
        }
        let Some(last) = behind.last() else { return Ok(()) };
        after = Some(*last);
    }
}
