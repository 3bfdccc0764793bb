//! What the worker does: the one list of jobs and of what recurs. Invariants: a job that is not in this list is never
//! taken, here or on another node of the same version; what a node leaves behind when it dies is looked for as soon as that is
//! known, by one of those that are there.

pub mod events;
pub mod records;

use self::{events::TrimEvents, records::PurgeRecords};
use crate::{
    app::App,
    files::{MeasureImage, MeasureImages, PurgeUploads, RemoveObject, SweepObjects},
    identity::{CopyProfile, HandOn, MailPasswordReset, organization_end::PurgeOrganizations, purge::PurgeExpired},
    messaging::{
        heir::HandOnMissed,
        notification::{follow::NotifyMissed, purge::PurgeNotifications},
        receipt::TellReceipts,
        retention::ExpireMessages,
        scheduled::{FailOverdue, SendScheduled},
    },
    platform::{
        jobs::{self, Failure, Job, Registry, Run, Worker},
        mail::SendMail,
        nodes::Nodes,
    },
};
use serde::{Deserialize, Serialize};
use std::{
    sync::{Arc, Weak},
    time::Duration,
};
use tokio::time::sleep;
use tokio_util::task::AbortOnDropHandle;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// Every kind of job, and how often those come that recur.
pub fn registry() -> Registry<Arc<App>> {
    Registry::new()
        .job::<SendMail>()
        .job::<MailPasswordReset>()
        .job::<CopyProfile>()
        .job::<HandOn>()
        .job::<RemoveObject>()
        .job::<MeasureImage>()
        .every::<ExpireMessages>(HOUR)
        .job::<SendScheduled>()
        .every::<PurgeExpired>(HOUR)
        .every::<PurgeJobs>(HOUR)
        .every::<PurgeOrganizations>(HOUR)
        .every::<PurgeRecords>(HOUR)
        .every::<PurgeUploads>(HOUR)
        .every::<MeasureImages>(HOUR)
        .every::<SweepObjects>(24 * HOUR)
        .every::<TellReceipts>(HOUR)
        .every::<NotifyMissed>(5 * MINUTE)
        .every::<PurgeNotifications>(6 * HOUR)
        .every::<TrimEvents>(24 * HOUR)
        .every::<FailOverdue>(HOUR)
        .every::<HandOnMissed>(HOUR)
}

/// What finds that a node had begun something and died.
const LEFT: [&str; 2] = [NotifyMissed::KIND, TellReceipts::KIND];
/// How long it takes until that is asked for again, where the database did not answer.
const AGAIN: Duration = Duration::from_secs(5);

/// A node at work.
pub struct Upkeep {
    worker: Worker,
    _heir: AbortOnDropHandle<()>,
}

/// Begins to work.
pub fn start(app: &Arc<App>) -> Upkeep {
    let worker = Worker::start(registry(), app.clone(), &app.jobs, &app.database, &app.config.jobs);
    let heir = tokio::spawn(take_over(Arc::downgrade(app), app.nodes.clone()));
    Upkeep { worker, _heir: AbortOnDropHandle::new(heir) }
}

impl Upkeep {
    /// See `Worker::stop`.
    pub async fn stop(self, grace: Duration) {
        self.worker.stop(grace).await;
    }
}

/// Has looked for what is left: by whoever ran here before, and then by each node that falls silent.
async fn take_over(app: Weak<App>, nodes: Nodes) {
    loop {
        let Some(app) = app.upgrade() else { return };
        let asked = jobs::hasten(&app.database, &LEFT).await;
        drop(app);
        match asked {
            Ok(()) => nodes.bereaved().await,
            Err(_) => sleep(AGAIN).await,
        }
    }
}

impl Run<Arc<App>> for SendMail {
    async fn run(self, app: &Arc<App>) -> Result<(), Failure> {
        app.mail.send(&self.letter).await.map(drop)
    }
}

/// Removes jobs that were finished long ago.
#[derive(Debug, Serialize, Deserialize)]
struct PurgeJobs {}

impl Job for PurgeJobs {
    const KIND: &'static str = "purge_jobs";
    const ATTEMPTS: i32 = 3;
}

impl Run<Arc<App>> for PurgeJobs {
    async fn run(self, app: &Arc<App>) -> Result<(), Failure> {
        let keep = &app.config.jobs;
        Ok(jobs::sweep(&app.database, keep.keep_days.into(), keep.keep_dead_days.into()).await?)
    }
}
