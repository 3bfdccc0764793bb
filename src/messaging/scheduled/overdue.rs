//! Scheduled messages whose job is gone: all its attempts came to nothing, or somebody has discarded it. Invariant: none stays
//! PENDING for good behind its time, and what was sent is not called FAILED.

use super::{
    ScheduledMessageStatus,
    deliver::{Outcome, Taken, found, job, settle},
};
use crate::{
    app::App,
    error::{Code, Result},
    events::Origin,
    kit::{failures::Failures, organizations::each_organization},
    platform::jobs::{Failure, Job, Run},
    schema::{jobs, scheduled_messages},
};
use chrono::{TimeDelta, Utc};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use uuid::Uuid;

/// How late a message is for which a job is missed.
const OVERDUE: TimeDelta = TimeDelta::minutes(5);
/// Overdue ones that are looked at together.
const PAGE: i64 = 500;

/// Settles those that no job stands behind any more, of all organizations.
#[derive(Debug, Serialize, Deserialize)]
pub struct FailOverdue {}

impl Job for FailOverdue {
    const KIND: &'static str = "fail_overdue_messages";
    /// The next one comes within the hour.
    const ATTEMPTS: i32 = 3;
}

impl Run<Arc<App>> for FailOverdue {
    async fn run(self, app: &Arc<App>) -> Result<(), Failure> {
        Ok(each_organization(app, |organization| fail_overdue(app, organization)).await?)
    }
}

async fn fail_overdue(app: &App, organization: Uuid) -> Result<()> {
    let mut conn = app.database.of(organization).await?;
    let overdue: Vec<(Taken, i32)> = scheduled_messages::table
        .filter(scheduled_messages::organization_id.eq(organization))
        .filter(scheduled_messages::status.eq(ScheduledMessageStatus::Pending.word()))
        .filter(scheduled_messages::scheduled_for.lt(Utc::now() - OVERDUE))
        .select((Taken::as_select(), scheduled_messages::plans))
        .order(scheduled_messages::scheduled_for)
        .limit(PAGE)
        .load(&mut *conn)
        .await?;
    let planned: Vec<Uuid> = overdue.iter().map(|(taken, plans)| job(taken.id, *plans)).collect();
    let live: Vec<Uuid> = jobs::table
        .filter(jobs::organization_id.eq(organization).and(jobs::id.eq_any(&planned)))
        .filter(jobs::status.eq_any(["waiting", "running"]))
        .select(jobs::id)
        .load(&mut *conn)
        .await?;
    let missed = overdue.into_iter().zip(planned).filter(|(_, job)| !live.contains(job));
    let missed: Vec<Taken> = missed.map(|((taken, _), _)| taken).collect();
    // What died behind the message and before this was known.
    let found = found(&mut conn, organization, &missed).await?;
    drop(conn);
    let mut failures = Failures::default();
    for taken in missed {
        let never = || {
            Outcome::Failed(Code::ServiceUnavailable.as_str().to_owned(), "The server could not send it.".to_owned())
        };
        let outcome = found.get(&taken.id).map_or_else(never, |message| Outcome::Sent(*message));
        let settled = settle(app, &taken, outcome, &Origin::default()).await;
        failures.note("a scheduled message", taken.id, settled);
    }
    failures.end()
}
