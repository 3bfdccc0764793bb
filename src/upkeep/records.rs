//! Records that were deleted longer ago than the organization's `retentionDays` are removed for good. Invariant: as by hand
//! (`leadPurge`): what others still refer to stays deleted until they do not, the log keeps what happened, and who restores
//! one at that moment comes before or after.

use crate::{
    app::App,
    crm::{account::Account, contact::Contact, lead::Lead},
    error::Result,
    events::{Hub, Origin},
    graphql::TABLES,
    kit::{
        entity::{self, Entity},
        organizations::{each_organization, kept_since},
        sql::Sql,
        table::{Column, Table},
        value::Bind,
        write,
    },
    platform::jobs::{Failure, Job, Run},
};
use chrono::{DateTime, Utc};
use diesel_async::RunQueryDsl;
use serde::{Deserialize, Serialize};
use std::{sync::Arc, time::Duration};
use uuid::Uuid;

/// Records removed in one transaction, during which nobody writes others of their kind.
const BATCH: u32 = 100;

/// Removes deleted records whose time to be restored is over, of all organizations.
#[derive(Debug, Serialize, Deserialize)]
pub struct PurgeRecords {}

impl Job for PurgeRecords {
    const KIND: &'static str = "purge_records";
    /// The next one comes within the hour.
    const ATTEMPTS: i32 = 3;
    const TIME: Duration = Duration::from_secs(3600);
}

impl Run<Arc<App>> for PurgeRecords {
    async fn run(self, app: &Arc<App>) -> Result<(), Failure> {
        Ok(each_organization(app, |organization| purge_all(app, organization)).await?)
    }
}

/// Removes deleted records whose time to be restored is over, of one organization.
pub async fn purge_all(app: &App, organization: Uuid) -> Result<()> {
    let Some(before) = kept_since(app, organization).await? else { return Ok(()) };
    // Those that refer to others first.
    purge::<Lead>(app, organization, before).await?;
    purge::<Contact>(app, organization, before).await?;
    purge::<Account>(app, organization, before).await
}

/// Until nothing more can go: what referred to others has gone by then.
async fn purge<E: Entity>(app: &App, organization: Uuid, before: DateTime<Utc>) -> Result<()> {
    loop {
        let mut tx = app.database.of(organization).await?.begin().await?;
        let mut due = entity::select(E::table());
        due.push(" WHERE t0.organization_id = ").bind(Bind::Uuid(Some(organization)));
        due.push(" AND t0.deleted_at < ").bind(Bind::Time(Some(before)));
        for (table, column) in referrers(E::table()) {
            due.push(" AND NOT EXISTS (SELECT FROM ").name(table.name).push(" r WHERE r.organization_id = ");
            due.push("t0.organization_id AND ").column("r", column).push(" = t0.id)");
        }
        due.push(" ORDER BY t0.deleted_at, t0.id LIMIT ").number(BATCH).push(" FOR UPDATE OF t0 SKIP LOCKED");
        let due: Vec<E> = due.load(&mut *tx).await?;
        if due.is_empty() {
            return tx.rollback().await;
        }
        let mut removal = Sql::new("DELETE FROM ");
        removal.name(E::table().name).push(" WHERE organization_id = ").bind(Bind::Uuid(Some(organization)));
        removal.push(" AND id = ANY(").bind(Bind::Uuids(due.iter().map(Entity::id).collect())).push(")");
        removal.execute(&mut *tx).await?;
        let told = due.iter().map(|record| write::change(Some(record), record, "purged")).collect::<Result<_>>()?;
        let events = Hub::append(&mut tx, organization, &Origin::default(), told).await?;
        tx.commit().await?;
        app.hub.publish(events);
    }
}

/// What names records of that table, and keeps them.
fn referrers(of: &'static Table) -> impl Iterator<Item = (&'static Table, &'static Column)> {
    let tables = TABLES.iter().map(|table| table());
    let ones = tables.flat_map(|table| table.ones.iter().map(move |one| (table, one)));
    ones.filter(move |(_, one)| (one.target)().name == of.name).map(|(table, one)| (table, one.column))
}
