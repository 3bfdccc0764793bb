//! What has ended, read by each node with one question four times a second, and at once when another node says so.
//! Invariant: whatever is committed is seen, however late it commits: what is asked for is what the last answer's snapshot
//! did not see, never what is behind a number. A new connection, perhaps to another server, trusts no earlier snapshot.

use super::Known;
use crate::{
    error::{Error, Result},
    platform::{
        database::{Database, Watcher},
        nodes::Ear,
    },
};
use chrono::{DateTime, TimeDelta, Utc};
use diesel_async::RunQueryDsl;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::time::{sleep, timeout};
use tokio_postgres::Statement;
use uuid::Uuid;

/// How often what has ended is read.
const EVERY: Duration = Duration::from_millis(250);
/// Between two readings at least, however much other nodes have to say.
const PAUSE: Duration = Duration::from_millis(10);
/// How long an answer may take before the connection is given up.
const PATIENCE: Duration = Duration::from_secs(2);
/// More endings at once, and everything is forgotten.
const MOST: usize = 1000;
/// A node that has slept for so long forgets everything: endings are kept for an hour.
const SLEPT: TimeDelta = TimeDelta::minutes(10);
/// Rows removed in one statement, so that each is short.
const SWEPT: usize = 10_000;

const FIRST: &str = "SELECT pg_current_snapshot()::text";
/// What the snapshot `$1` did not see and this one does.
const SINCE: &str = "
    SELECT pg_current_snapshot()::text, ARRAY(
        SELECT subject FROM endings
        WHERE xid >= pg_snapshot_xmin($1::text::pg_snapshot)::text::bigint
          AND NOT pg_visible_in_snapshot(xid::text::xid8, $1::text::pg_snapshot)
        LIMIT 1001)";

/// A connection and what has been read on it.
struct Reading {
    watcher: Watcher,
    since: Statement,
    snapshot: String,
    at: DateTime<Utc>,
}

impl Reading {
    async fn begin(database: &Database) -> Result<Self> {
        let watcher = database.watcher().await?;
        let since = watcher.client.prepare(SINCE).await.map_err(Error::unavailable)?;
        let row = watcher.client.query_one(FIRST, &[]).await.map_err(Error::unavailable)?;
        Ok(Reading { snapshot: row.try_get(0).map_err(Error::ours)?, watcher, since, at: Utc::now() })
    }

    /// What has ended since the last time; None: too much to say, or too long ago.
    async fn go_on(&mut self) -> Result<Option<Vec<Uuid>>> {
        let at = Utc::now();
        let row = self.watcher.client.query_one(&self.since, &[&self.snapshot]).await.map_err(Error::unavailable)?;
        let ended: Vec<Uuid> = row.try_get(1).map_err(Error::ours)?;
        self.snapshot = row.try_get(0).map_err(Error::ours)?;
        let slept = at - std::mem::replace(&mut self.at, at) > SLEPT;
        Ok((ended.len() <= MOST && !slept).then_some(ended))
    }
}

/// Reads as long as the node runs.
pub(super) async fn read(known: Arc<Known>, database: Database, mut ear: Ear) {
    let (mut reading, mut away) = (None, false);
    loop {
        let began = Instant::now();
        let ended = timeout(PATIENCE, async {
            match &mut reading {
                Some(reading) => Reading::go_on(reading).await,
                none => {
                    *none = Some(Reading::begin(&database).await?);
                    Ok(None)
                }
            }
        });
        let ended = ended.await.unwrap_or_else(|_| Err(Error::unavailable("no answer in time")));
        match &ended {
            Ok(ended) => {
                match ended {
                    Some(ended) => known.forget(ended),
                    None => known.forget_all(),
                }
                known.current_as_of(began);
            }
            Err(_) => reading = None,
        }
        if std::mem::replace(&mut away, ended.is_err()) != ended.is_err() {
            match ended {
                Ok(_) => tracing::info!("what ends elsewhere can be read again"),
                Err(fault) => tracing::warn!(?fault, "what ends elsewhere cannot be read; each request asks anew"),
            }
        }
        sleep(PAUSE).await;
        // The end of the node's hearing is the end of the node.
        let _ = timeout(EVERY - PAUSE, ear.hear()).await;
    }
}

/// Removes what every node has read long ago.
pub async fn purge(database: &Database) -> Result<()> {
    const PURGE: &str = "DELETE FROM endings WHERE (xid, subject) IN (
        SELECT xid, subject FROM endings WHERE at < now() - interval '1 hour' LIMIT 10000)";
    let mut connection = database.of_worker().await?;
    while diesel::sql_query(PURGE).execute(&mut *connection).await? == SWEPT {}
    Ok(())
}
