//! What the worker does: the one list of jobs and of what recurs. Invariant: a job that is not in this list is never
//! taken, here or on another node of the same version.

use crate::{
    app::App,
    files::{PurgeUploads, RemoveObject, SweepObjects},
    identity::{CopyProfile, MailPasswordReset, organization_end::PurgeOrganizations, purge::PurgeExpired},
    messaging::{
        notification::{follow::NotifyMissed, purge::PurgeNotifications},
        receipt::TellReceipts,
    },
    platform::{
        jobs::{self, Failure, Job, Registry, Run, Worker},
        mail::SendMail,
    },
};
use serde::{Deserialize, Serialize};
use std::{sync::Arc, time::Duration};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// Every kind of job, and how often those come that recur.
pub fn registry() -> Registry<Arc<App>> {
    Registry::new()
        .job::<SendMail>()
        .job::<MailPasswordReset>()
        .job::<CopyProfile>()
        .job::<RemoveObject>()
        .every::<PurgeExpired>(HOUR)
        .every::<PurgeJobs>(HOUR)
        .every::<PurgeOrganizations>(HOUR)
        .every::<PurgeUploads>(HOUR)
        .every::<SweepObjects>(24 * HOUR)
        .every::<TellReceipts>(HOUR)
        .every::<NotifyMissed>(5 * MINUTE)
        .every::<PurgeNotifications>(6 * HOUR)
}

/// Begins to work.
pub fn start(app: &Arc<App>) -> Worker {
    Worker::start(registry(), app.clone(), &app.jobs, &app.database, &app.config.jobs)
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
