//! Jobs of no organization, such as upkeep and the mail of somebody who has none, as whoever runs the server looks after them.
//! Those of an organization are its administrators', by the API. Invariant: what runs or is finished is left alone, and of
//! several jobs all are changed or none.

use crate::{
    error::{Error, Result},
    platform::database::Database,
};
use chrono::{DateTime, Utc};
use diesel::{
    QueryableByName, sql_query,
    sql_types::{Array, Integer, Nullable, Text, Timestamptz, Uuid as SqlUuid},
};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

/// A job that is not finished, or is dead.
#[derive(QueryableByName, Debug)]
pub struct Open {
    #[diesel(sql_type = SqlUuid)]
    pub id: Uuid,
    #[diesel(sql_type = Text)]
    pub kind: String,
    #[diesel(sql_type = Text)]
    pub about: String,
    #[diesel(sql_type = Text)]
    pub status: String,
    #[diesel(sql_type = Integer)]
    pub attempts: i32,
    #[diesel(sql_type = Integer)]
    pub max_attempts: i32,
    #[diesel(sql_type = Nullable<Text>)]
    pub last_error: Option<String>,
    #[diesel(sql_type = Timestamptz)]
    pub run_at: DateTime<Utc>,
}

const OPEN: &str = "
    SELECT id, kind, about, status, attempts, max_attempts, last_error, run_at FROM jobs
    WHERE organization_id IS NULL AND status IN ('waiting', 'running', 'dead') ORDER BY created_at, id LIMIT 1000";

const RETRY: &str = "
    UPDATE jobs SET status = 'waiting', attempts = CASE status WHEN 'dead' THEN 0 ELSE attempts END, run_at = now(),
        finished_at = NULL, updated_at = now(), version = version + 1
    WHERE organization_id IS NULL AND status IN ('waiting', 'dead') AND id = ANY($1) RETURNING id";

const DISCARD: &str = "
    UPDATE jobs SET status = 'discarded', payload = NULL, finished_at = now(), updated_at = now(), version = version + 1
    WHERE organization_id IS NULL AND status IN ('waiting', 'dead') AND id = ANY($1) RETURNING id";

/// The oldest 1 000.
pub async fn open(database: &Database) -> Result<Vec<Open>> {
    Ok(sql_query(OPEN).load(&mut *database.of_worker().await?).await?)
}

/// Lets jobs run again, or sooner; a dead one has all its attempts again. A worker finds them at its next look.
pub async fn retry(database: &Database, jobs: &[Uuid]) -> Result<()> {
    change(database, RETRY, jobs).await
}

/// Gives jobs up: they are not run, and what they held is forgotten.
pub async fn discard(database: &Database, jobs: &[Uuid]) -> Result<()> {
    change(database, DISCARD, jobs).await
}

#[derive(QueryableByName)]
struct Changed {
    #[diesel(sql_type = SqlUuid)]
    id: Uuid,
}

async fn change(database: &Database, statement: &str, jobs: &[Uuid]) -> Result<()> {
    let mut tx = database.of_worker().await?.begin().await?;
    let changed: Vec<Changed> = sql_query(statement).bind::<Array<SqlUuid>, _>(jobs).load(&mut *tx).await?;
    let left: Vec<String> =
        jobs.iter().filter(|id| changed.iter().all(|one| one.id != **id)).map(Uuid::to_string).collect();
    if !left.is_empty() {
        tx.rollback().await?;
        let message = format!("Nothing is changed: not waiting or dead, or of an organization: {}.", left.join(", "));
        return Err(Error::bad_input(message));
    }
    tx.commit().await
}
