//! What nobody looks at any more of notifications. Invariant: what is not read stays for 90 days at least, unless newer ones
//! are too many; nobody has more than 2 000 for longer than some hours.

use super::read::settle_all;
use crate::{
    app::App,
    error::Result,
    kit::{organizations::each_organization, sql::Sql, value::Bind},
    platform::jobs::{Failure, Job, Run},
};
use chrono::{TimeDelta, Utc};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use serde::{Deserialize, Serialize};
use std::{sync::Arc, time::Duration};
use uuid::{Builder, Uuid};

/// How long what is read stays.
const KEPT: TimeDelta = TimeDelta::days(90);
/// Notifications of a member at most.
const MOST: u32 = 2_000;
/// Rows removed in one statement, so that each is short.
const SWEPT: u32 = 1_000;

/// Removes old notifications, and marks those that somebody read when a node died.
#[derive(Debug, Serialize, Deserialize)]
pub struct PurgeNotifications {}

impl Job for PurgeNotifications {
    const KIND: &'static str = "purge_notifications";
    /// The next one comes within hours.
    const ATTEMPTS: i32 = 3;
    const TIME: Duration = Duration::from_secs(3600);
}

impl Run<Arc<App>> for PurgeNotifications {
    async fn run(self, app: &Arc<App>) -> Result<(), Failure> {
        Ok(purge_all(app).await?)
    }
}

/// Of all organizations.
pub async fn purge_all(app: &App) -> Result<()> {
    each_organization(app, |organization| purge(app, organization)).await
}

/// Of one organization.
pub async fn purge(app: &App, organization: Uuid) -> Result<()> {
    let mut conn = app.database.of(organization).await?;
    let settled = settle_all(&mut conn, &app.hub, organization).await;
    for due in [read_long_ago as fn(Uuid) -> Sql, too_many] {
        sweep(&mut conn, organization, due).await?;
    }
    settled
}

async fn sweep(conn: &mut AsyncPgConnection, organization: Uuid, due: fn(Uuid) -> Sql) -> Result<()> {
    loop {
        let mut sql = Sql::new("DELETE FROM notifications WHERE organization_id = ");
        sql.bind(Bind::Uuid(Some(organization))).push(" AND id IN (").append(due(organization));
        sql.push(" LIMIT ").number(SWEPT).push(")");
        if sql.execute(conn).await? < SWEPT as usize {
            return Ok(());
        }
    }
}

/// Ids begin with the time, so that the key finds the old ones.
fn read_long_ago(organization: Uuid) -> Sql {
    let millis = u64::try_from((Utc::now() - KEPT).timestamp_millis()).unwrap_or_default();
    let oldest = Builder::from_unix_timestamp_millis(millis, &[0; 10]).into_uuid();
    let mut sql = Sql::new("SELECT id FROM notifications WHERE marked_at IS NOT NULL AND organization_id = ");
    sql.bind(Bind::Uuid(Some(organization))).push(" AND id < ").bind(Bind::Uuid(Some(oldest)));
    sql
}

fn too_many(organization: Uuid) -> Sql {
    let mut sql = Sql::new(
        "SELECT id FROM (SELECT id, row_number() OVER (PARTITION BY member_id ORDER BY created_at DESC, id DESC) AS place
         FROM notifications WHERE organization_id = ",
    );
    sql.bind(Bind::Uuid(Some(organization))).push(") n WHERE place > ").number(MOST);
    sql
}
