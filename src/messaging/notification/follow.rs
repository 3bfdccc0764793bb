//! Notifying whom an event concerns: the follower of the log that makes notifications. A node hears of the events that it
//! commits itself and works on their streams a moment later, many together (`waiting`, `step`); what a node leaves behind (it
//! died, or too much came at once) the sweep finds by comparing heads with places. Invariant: as that of `kit::follow`; and
//! whoever sends a message never waits for this.

use super::{
    step::{follower, settle, step_or_each},
    waiting::{Later, TOGETHER, Waiting},
};
use crate::{
    app::App,
    error::Result,
    events::StreamKind,
    kit::organizations::each_organization,
    platform::jobs::{Failure, Job, Run},
};
use serde::{Deserialize, Serialize};
use std::{
    sync::{Arc, Weak},
    time::Duration,
};
use tokio::time::sleep;
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};
use uuid::Uuid;

const STREAMS: [StreamKind; 2] = [StreamKind::Conversation, StreamKind::Member];
/// How long the first event waits for others.
const SOON: Duration = Duration::from_millis(20);
/// How often a node works at most, unless there is more than it can do at once.
const PERIOD: Duration = Duration::from_millis(200);

/// The follower on this node.
pub struct Following {
    stop: CancellationToken,
    task: AbortOnDropHandle<()>,
}

/// Begins to follow what this node commits.
pub fn start(app: &Arc<App>) -> Following {
    let waiting = Arc::new(Waiting::new());
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

async fn run(app: Weak<App>, waiting: Arc<Waiting>, stop: CancellationToken) {
    let mut later = Later::default();
    loop {
        tokio::select! {
            () = waiting.some() => {}
            () = later.time() => {}
            () = stop.cancelled() => {}
        }
        let _ = stop.run_until_cancelled(sleep(SOON)).await;
        let Some(app) = app.upgrade() else { return };
        while waiting.work(&app, &mut later).await {}
        drop(app);
        if stop.is_cancelled() {
            return;
        }
        let _ = stop.run_until_cancelled(sleep(PERIOD)).await;
    }
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

/// Works on all streams of an organization that have gone on. One that fails is left for the next time, and is the error.
pub async fn catch_up(app: &App, organization: Uuid) -> Result<()> {
    let (mut after, mut failed) = (None, None);
    loop {
        let mut conn = app.database.of(organization).await?;
        let behind = follower(organization).behind(&mut conn, &STREAMS, after).await?;
        drop(conn);
        for some in behind.chunks(TOGETHER) {
            let mut streams = some.to_vec();
            while !streams.is_empty() {
                let step = step_or_each(app, organization, &streams).await;
                let settled = settle(app, organization, &step.seats).await;
                failed = step.fault.or(settled.err()).or(failed);
                streams = step.left;
            }
        }
        let Some(last) = behind.last() else { return failed.map_or(Ok(()), Err) };
        after = Some(*last);
    }
}
