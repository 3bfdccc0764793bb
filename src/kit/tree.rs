//! Trees within a table: a column of a record names the one above it. Invariant: no record lies above itself and no
//! tree is higher than its entity allows, however many moves happen at once.

use super::{
    entity::Entity,
    sql::Sql,
    table::Column,
    user_error::{UserErrorCode, UserErrors},
    value::Bind,
    write::Tx,
};
use crate::error::Result;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use uuid::Uuid;

/// Tells at the column's field when the record would come to lie above itself, or the tree be higher than `most`
/// levels. `was` is what the column named before.
pub async fn check<E: Entity>(
    tx: &mut Tx,
    (column, most): (&'static Column, i32),
    id: Uuid,
    (was, becomes): (Option<Uuid>, Option<Uuid>),
    errors: &mut UserErrors,
) -> Result<()> {
    let Some(parent) = becomes.filter(|_| becomes != was) else { return Ok(()) };
    // Two moves that cross could close a circle that neither sees: one at a time in an organization.
    let organization = tx.scope.actor.organization;
    let mut lock = Sql::new("SELECT pg_advisory_xact_lock(hashtextextended(");
    lock.bind(Bind::Text(Some(format!("{}.{} {organization}", E::table().name, column.name)))).push(", 0))");
    lock.execute(tx.conn()).await?;
    let above = above::<E>(tx.reader(), column, organization, parent).await?;
    let height = 1 + height::<E>(tx.reader(), column, organization, id).await?;
    if parent == id || above.contains(&id) {
        errors.add(
            column.field,
            UserErrorCode::Invalid,
            "This would close a circle: a record cannot lie above itself.",
        );
    } else if i32::try_from(above.len()).unwrap_or(i32::MAX).saturating_add(height) > most {
        errors.add(column.field, UserErrorCode::LimitExceeded, format!("This would be higher than {most} levels."));
    }
    Ok(())
}

/// The record and those above it, the nearest first, whoever may see them.
pub async fn above<E: Entity>(
    mut conn: &AsyncPgConnection,
    column: &'static Column,
    organization: Uuid,
    id: Uuid,
) -> Result<Vec<Uuid>> {
    let mut sql = Sql::new("WITH RECURSIVE up(id, parent, level) AS (SELECT t.id, ");
    sql.column("t", column).push(", 0 FROM ").name(E::table().name).push(" t WHERE t.organization_id = ");
    sql.bind(Bind::Uuid(Some(organization))).push(" AND t.id = ").bind(Bind::Uuid(Some(id)));
    sql.push(" UNION ALL SELECT t.id, ").column("t", column).push(", up.level + 1 FROM ").name(E::table().name);
    sql.push(" t JOIN up ON t.id = up.parent WHERE t.organization_id = ").bind(Bind::Uuid(Some(organization)));
    sql.push(") SELECT id FROM up ORDER BY level");
    let found: Vec<Found> = sql.load(&mut conn).await?;
    Ok(found.into_iter().map(|found| found.id).collect())
}

/// The nearest `most` of those below the record, level by level, whoever may see them.
pub async fn below<E: Entity>(
    mut conn: &AsyncPgConnection,
    column: &'static Column,
    organization: Uuid,
    id: Uuid,
    most: u32,
) -> Result<Vec<Uuid>> {
    let mut sql = down::<E>(column, organization, id);
    sql.push(" SELECT id FROM down ORDER BY level, id LIMIT ").number(most);
    let found: Vec<Found> = sql.load(&mut conn).await?;
    Ok(found.into_iter().map(|found| found.id).collect())
}

/// How many levels lie below the record.
async fn height<E: Entity>(
    mut conn: &AsyncPgConnection,
    column: &'static Column,
    organization: Uuid,
    id: Uuid,
) -> Result<i32> {
    let mut sql = down::<E>(column, organization, id);
    sql.push(" SELECT coalesce(max(level), 0) AS height FROM down");
    let height: Height = sql.get_result(&mut conn).await?;
    Ok(height.height)
}

/// `WITH RECURSIVE down(id, level) AS (…)`: what lies below the record.
fn down<E: Entity>(column: &'static Column, organization: Uuid, id: Uuid) -> Sql {
    let mut sql = Sql::new("WITH RECURSIVE down(id, level) AS (SELECT t.id, 1 FROM ");
    sql.name(E::table().name).push(" t WHERE t.organization_id = ").bind(Bind::Uuid(Some(organization)));
    sql.push(" AND ").column("t", column).push(" = ").bind(Bind::Uuid(Some(id)));
    sql.push(" UNION ALL SELECT t.id, down.level + 1 FROM ").name(E::table().name).push(" t JOIN down ON ");
    sql.column("t", column)
        .push(" = down.id WHERE t.organization_id = ")
        .bind(Bind::Uuid(Some(organization)))
        .push(")");
    sql
}

#[derive(diesel::QueryableByName)]
struct Found {
    #[diesel(sql_type = diesel::sql_types::Uuid)]
    id: Uuid,
}

#[derive(diesel::QueryableByName)]
struct Height {
    #[diesel(sql_type = diesel::sql_types::Integer)]
    height: i32,
}
