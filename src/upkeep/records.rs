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
        failures::Failures,
        organizations::{each_organization, kept_since},
        sql::Sql,
        table::{Column, Table},
        value::Bind,
        write,
    },
    platform::jobs::{Failure, Job, Run},
};
use chrono::{DateTime, Utc};
use diesel::{QueryableByName, sql_types};
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
    let leads = purge::<Lead>(app, organization, before).await;
    let contacts = purge::<Contact>(app, organization, before).await;
    purge::<Account>(app, organization, before).await.and(contacts).and(leads)
}

/// Until nothing more can go: what referred to others has gone by then.
async fn purge<E: Entity>(app: &App, organization: Uuid, before: DateTime<Utc>) -> Result<()> {
    let (mut behind, mut failures) = (None, Failures::default());
    loop {
        let due = due::<E>(app, organization, before, behind).await?;
        let Some(last) = due.last() else { return failures.end() };
        let ids: Vec<Uuid> = due.iter().map(|found| found.id).collect();
        match remove::<E>(app, organization, before, &ids).await {
            Ok(gone) if gone == ids.len() => continue,
            Ok(_) => {}
            // Each alone, so that one that cannot go keeps no other.
            Err(_) => {
                for id in ids {
                    failures.note("a record", id, remove::<E>(app, organization, before, &[id]).await.map(drop));
                }
            }
        }
        // What is still there is left for the next time.
        behind = Some((last.deleted_at, last.id));
    }
}

#[derive(QueryableByName)]
struct Found {
    #[diesel(sql_type = sql_types::Uuid)]
    id: Uuid,
    #[diesel(sql_type = sql_types::Timestamptz)]
    deleted_at: DateTime<Utc>,
}

/// The next records that can go, in the order of their deletion; `behind` one of them.
async fn due<E: Entity>(
    app: &App,
    organization: Uuid,
    before: DateTime<Utc>,
    behind: Option<(DateTime<Utc>, Uuid)>,
) -> Result<Vec<Found>> {
    let mut sql = Sql::new("SELECT t0.id, t0.deleted_at FROM ");
    sql.name(E::table().name).push(" t0");
    push_due::<E>(&mut sql, organization, before);
    if let Some((deleted_at, id)) = behind {
        sql.push(" AND (t0.deleted_at, t0.id) > (").bind(Bind::Time(Some(deleted_at)));
        sql.push(", ").bind(Bind::Uuid(Some(id))).push(")");
    }
    sql.push(" ORDER BY t0.deleted_at, t0.id LIMIT ").number(BATCH);
    Ok(sql.load(&mut *app.database.of(organization).await?).await?)
}

/// Pushes ` WHERE …`: records `t0` whose time to be restored is over, and to which nothing refers.
fn push_due<E: Entity>(sql: &mut Sql, organization: Uuid, before: DateTime<Utc>) {
    sql.push(" WHERE t0.organization_id = ").bind(Bind::Uuid(Some(organization)));
    sql.push(" AND t0.deleted_at < ").bind(Bind::Time(Some(before)));
    for (table, column) in referrers(E::table()) {
        sql.push(" AND NOT EXISTS (SELECT FROM ").name(table.name).push(" r WHERE r.organization_id = ");
        sql.push("t0.organization_id AND ").column("r", column).push(" = t0.id)");
    }
}

/// Removes those of them that still can go, and that nobody holds; how many.
async fn remove<E: Entity>(app: &App, organization: Uuid, before: DateTime<Utc>, ids: &[Uuid]) -> Result<usize> {
    let mut tx = app.database.of(organization).await?.begin().await?;
    let mut due = entity::select(E::table());
    push_due::<E>(&mut due, organization, before);
    due.push(" AND t0.id = ANY(").bind(Bind::Uuids(ids.to_vec()));
    due.push(") ORDER BY t0.deleted_at, t0.id FOR UPDATE OF t0 SKIP LOCKED");
    let due: Vec<E> = due.load(&mut *tx).await?;
    if due.is_empty() {
        tx.rollback().await?;
        return Ok(0);
    }
    let mut removal = Sql::new("DELETE FROM ");
    removal.name(E::table().name).push(" WHERE organization_id = ").bind(Bind::Uuid(Some(organization)));
    removal.push(" AND id = ANY(").bind(Bind::Uuids(due.iter().map(Entity::id).collect())).push(")");
    removal.execute(&mut *tx).await?;
    let told = due.iter().map(|record| write::change(Some(record), record, "purged")).collect::<Result<_>>()?;
    let events = Hub::append(&mut tx, organization, &Origin::default(), told).await?;
    tx.commit().await?;
    app.hub.publish(events);
    Ok(due.len())
}

/// What names records of that table, and keeps them.
fn referrers(of: &'static Table) -> impl Iterator<Item = (&'static Table, &'static Column)> {
    let tables = TABLES.iter().map(|table| table());
    let ones = tables.flat_map(|table| table.ones.iter().map(move |one| (table, one)));
    ones.filter(move |(_, one)| (one.target)().name == of.name).map(|(table, one)| (table, one.column))
}
