//! The log is kept for `events.keep_days`: behind a cursor as old as that a client fetches afresh. Invariant: what the audit trail and
//! histories tell is kept longer, and is no longer replayed.

use crate::{
    app::App,
    error::Result,
    events::trim,
    kit::{failures::Failures, organizations::each_organization, sql::Sql, value::Bind},
    platform::jobs::{Failure, Job, Run},
};
use chrono::{TimeDelta, Utc};
use diesel::{QueryableByName, sql_types};
use diesel_async::RunQueryDsl;
use serde::{Deserialize, Serialize};
use std::{sync::Arc, time::Duration};
use uuid::Uuid;

/// Streams looked for at once.
const PAGE: u32 = 1000;

/// Removes events that are older than the log is kept, of all organizations.
#[derive(Debug, Serialize, Deserialize)]
pub struct TrimEvents {}

impl Job for TrimEvents {
    const KIND: &'static str = "trim_events";
    /// The next one comes within a day.
    const ATTEMPTS: i32 = 3;
    const TIME: Duration = Duration::from_secs(6 * 3600);
}

impl Run<Arc<App>> for TrimEvents {
    async fn run(self, app: &Arc<App>) -> Result<(), Failure> {
        Ok(each_organization(app, |organization| trim_all(app, organization)).await?)
    }
}

#[derive(QueryableByName)]
struct Found {
    #[diesel(sql_type = sql_types::Uuid)]
    stream_id: Uuid,
}

/// Removes events that are older than the log is kept, of one organization.
pub async fn trim_all(app: &App, organization: Uuid) -> Result<()> {
    let days = app.config.events.keep_days;
    let before = Utc::now() - TimeDelta::days(days.into());
    let (mut page, mut failures) = (Some(Uuid::nil()), Failures::default());
    while let Some(after) = page {
        // By the first event that is kept of each; the newest one stays.
        let mut sql = Sql::new(
            "SELECT h.stream_id FROM stream_heads h JOIN events e ON e.organization_id = h.organization_id
               AND e.stream_id = h.stream_id AND e.seq = h.floor_seq + 1
             WHERE e.seq < h.head_seq AND h.organization_id = ",
        );
        sql.bind(Bind::Uuid(Some(organization))).push(" AND e.at < ").bind(Bind::Time(Some(before)));
        sql.push(" AND h.stream_id > ").bind(Bind::Uuid(Some(after))).push(" ORDER BY h.stream_id LIMIT ").number(PAGE);
        let due: Vec<Found> = sql.load(&mut *app.database.of(organization).await?).await?;
        page = due.last().map(|found| found.stream_id).filter(|_| due.len() == PAGE as usize);
        for Found { stream_id } in due {
            failures.note("a stream", stream_id, trim_stream(app, organization, stream_id).await);
        }
    }
    failures.end()
}

async fn trim_stream(app: &App, organization: Uuid, stream: Uuid) -> Result<()> {
    let mut conn = app.database.of(organization).await?;
    while trim(&mut conn, stream, app.config.events.keep_days).await? {}
    Ok(())
}
