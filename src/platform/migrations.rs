//! The database's shape: migrations and SQL functions, embedded in the binary and run at start. Invariant: one
//! Stoa at a time changes the shape, and a Stoa older than the shape leaves it alone.

use crate::{
    error::{Error, Result},
    platform::database::address::{self, Address},
};
use diesel::{connection::SimpleConnection, migration::MigrationSource, pg::Pg};
use diesel_async::{AsyncPgConnection, async_connection_wrapper::AsyncConnectionWrapper};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};
use sha2::{Digest, Sha256};
use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};
use tokio_postgres::{Client, SimpleQueryMessage, error::SqlState};

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("migrations");

/// What is replaced after migrations, in this order.
const FUNCTIONS: &[(&str, &str)] = &[
    ("100_request_role.sql", include_str!("../../functions/100_request_role.sql")),
    ("200_conversation_cursor.sql", include_str!("../../functions/200_conversation_cursor.sql")),
    ("300_search_messages.sql", include_str!("../../functions/300_search_messages.sql")),
    ("450_notification_read_at.sql", include_str!("../../functions/450_notification_read_at.sql")),
];

/// How long a start waits for a database that does not answer yet, such as one that starts beside Stoa.
const PATIENCE: Duration = Duration::from_secs(30);

/// Between two looks whether another Stoa has migrated.
const AGAIN: Duration = Duration::from_millis(100);

/// The advisory lock of those who change the shape: "stoa" in ASCII.
const LOCK: i64 = 0x7374_6f61;

/// A connection that diesel's migrations can run on, in a thread that may block.
type Harness = AsyncConnectionWrapper<AsyncPgConnection>;

/// What a run has done.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Names of migrations undone, the newest first.
    pub reverted: Vec<String>,
    /// Names of migrations run, in their order.
    pub applied: Vec<String>,
    /// Whether the SQL functions and rights were replaced.
    pub functions: bool,
}

/// One migration as `stoa migrate status` shows it.
#[derive(Debug, PartialEq, Eq)]
pub struct Migration {
    pub name: String,
    pub state: MigrationState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MigrationState {
    Applied,
    Pending,
    /// In the database, not in this Stoa: a newer one made it.
    Unknown,
}

/// Runs what is pending. Costs one small query when nothing is. Waits for a database that does not answer yet
/// (half a minute) and for another Stoa that migrates.
pub async fn up(url: &str) -> Result<Outcome> {
    change(url, false).await
}

/// Undoes the newest migration and runs what is then pending: for whoever writes a migration. What the undone
/// tables held is lost.
pub async fn redo(url: &str) -> Result<Outcome> {
    change(url, true).await
}

/// Every migration that the database or this Stoa knows, oldest first.
pub async fn status(url: &str) -> Result<Vec<Migration>> {
    let session = Session::open(url).await?;
    let shape = session.shape().await?;
    let ours = known()?;
    let unknown = shape.unknown(&ours).into_iter().map(|version| (version.clone(), version, MigrationState::Unknown));
    let mut all: Vec<_> = ours
        .iter()
        .map(|(version, name)| {
            let applied = shape.versions.contains(version);
            let state = if applied { MigrationState::Applied } else { MigrationState::Pending };
            (version.clone(), name.clone(), state)
        })
        .chain(unknown)
        .collect();
    all.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(all.into_iter().map(|(_, name, state)| Migration { name, state }).collect())
}

async fn change(url: &str, redo: bool) -> Result<Outcome> {
    let session = Session::open(url).await?;
    let ours = known()?;
    let is_done = |shape: &Shape| {
        let pending = ours.iter().any(|(version, _)| !shape.versions.contains(version));
        let newer = !shape.unknown(&ours).is_empty();
        !redo && !pending && (newer || shape.note == note())
    };
    let mut shape = session.shape().await?;
    if !is_done(&shape) {
        session.lock().await?;
        // Whoever had the lock may have done it all.
        shape = session.shape().await?;
    }
    let newer = shape.unknown(&ours);
    if !newer.is_empty() {
        tracing::warn!(
            migrations = newer.join(" "),
            "the database has migrations that this version of Stoa does not know; running on it as it is"
        );
    }
    if is_done(&shape) {
        return Ok(Outcome::default());
    }
    let functions = newer.is_empty();
    let connection = AsyncPgConnection::try_from(session.client).await.map_err(Error::unavailable)?;
    tokio::task::spawn_blocking(move || run(Harness::from(connection), redo, functions)).await.map_err(Error::ours)?
}

fn run(mut harness: Harness, redo: bool, functions: bool) -> Result<Outcome> {
    let mut outcome = Outcome { functions, ..Outcome::default() };
    if redo {
        let version = harness.revert_last_migration(MIGRATIONS).map_err(|fault| failed("redo", &*fault))?;
        outcome.reverted.push(version.to_string());
    }
    for migration in harness.pending_migrations(MIGRATIONS).map_err(|fault| failed("list", &*fault))? {
        let name = migration.name().to_string();
        harness.run_migration(&*migration).map_err(|fault| failed(&name, &*fault))?;
        tracing::info!(migration = name, "migrated");
        outcome.applied.push(name);
    }
    if functions {
        let all: String = FUNCTIONS.iter().map(|(_, sql)| *sql).collect();
        let note = note();
        let batch = format!("BEGIN; {all}; COMMENT ON TABLE __diesel_schema_migrations IS '{note}'; COMMIT");
        harness.batch_execute(&batch).map_err(|fault| failed("functions", &fault))?;
    }
    Ok(outcome)
}

/// The version and the name of each migration of this Stoa, in order.
fn known() -> Result<Vec<(String, String)>> {
    let migrations = MigrationSource::<Pg>::migrations(&MIGRATIONS).map_err(Error::ours)?;
    let mut known: Vec<_> =
        migrations.iter().map(|one| (one.name().version().to_string(), one.name().to_string())).collect();
    known.sort();
    Ok(known)
}

/// Stands as the comment of diesel's table: which functions the database has.
fn note() -> String {
    let mut hash = Sha256::new();
    for (name, sql) in FUNCTIONS {
        hash.update(name);
        hash.update([0]);
        hash.update(sql);
        hash.update([0]);
    }
    let hex: String = hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    format!("Migrations that have run. SQL functions: {hex}")
}

fn failed(what: &str, fault: &(dyn std::error::Error + Send + Sync)) -> Error {
    let said = fault.to_string();
    let hint = if said.contains("permission denied to create extension") {
        "\nRun as a superuser, once, in this database: CREATE EXTENSION pg_trgm; CREATE EXTENSION unaccent;"
    } else if said.contains("permission denied for schema") {
        "\nThe user of DATABASE_URL should own the database: ALTER DATABASE … OWNER TO …;"
    } else if said.contains("extension control file") || said.contains("is not available") {
        "\nInstall the contrib package of your PostgreSQL (postgresql-contrib)."
    } else {
        ""
    };
    Error::ours(format!("migration {what}: {said}{hint}"))
}

/// What the database has.
#[derive(Debug, Default)]
struct Shape {
    versions: BTreeSet<String>,
    note: String,
}

impl Shape {
    fn unknown(&self, ours: &[(String, String)]) -> Vec<String> {
        self.versions.iter().filter(|version| !ours.iter().any(|(own, _)| own == *version)).cloned().collect()
    }
}

/// A connection of the user that Stoa connects as, outside the pool.
struct Session {
    client: Client,
}

impl Session {
    async fn open(url: &str) -> Result<Self> {
        let address = Address::parse(url)?;
        let begin = Instant::now();
        let mut told = false;
        loop {
            match address.connect().await {
                Ok((client, _driver)) => return Ok(Session { client }),
                Err(Error::TooSlow(_, why)) if begin.elapsed() < PATIENCE => {
                    if !std::mem::replace(&mut told, true) {
                        tracing::warn!(%why, "waiting for the database");
                    }
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
                Err(fault) => return Err(fault),
            }
        }
    }

    async fn shape(&self) -> Result<Shape> {
        let answer = self
            .client
            .simple_query(
                "SELECT current_setting('server_version_num') AS server,
                        obj_description('__diesel_schema_migrations'::regclass, 'pg_class') AS note,
                        (SELECT string_agg(version, ' ') FROM __diesel_schema_migrations) AS versions",
            )
            .await;
        let answer = match answer {
            // A database that Stoa has not seen yet.
            Err(fault) if fault.code() == Some(&SqlState::UNDEFINED_TABLE) => {
                self.client.simple_query("SELECT current_setting('server_version_num') AS server").await
            }
            answer => answer,
        }
        .map_err(address::fault)?;
        let row = answer.iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(row),
            _ => None,
        });
        let text = |column| row.and_then(|row| row.try_get(column).ok().flatten()).unwrap_or_default();
        address::check_version(text("server").parse().unwrap_or(0))?;
        Ok(Shape {
            versions: text("versions").split(' ').filter(|v| !v.is_empty()).map(str::to_owned).collect(),
            note: text("note").into(),
        })
    }

    /// Waits until nobody else changes the shape; held until the connection closes.
    async fn lock(&self) -> Result<()> {
        let settings = "SET statement_timeout = 0; SET client_min_messages = 'warning'";
        self.client.batch_execute(settings).await.map_err(address::fault)?;
        let mut told = false;
        // Asked for again and again: whoever waits inside a statement would be waited for by an index that is made
        // CONCURRENTLY.
        loop {
            let answer = self.client.query_one("SELECT pg_try_advisory_lock($1)", &[&LOCK]).await;
            if answer.map_err(address::fault)?.get(0) {
                return Ok(());
            }
            if !std::mem::replace(&mut told, true) {
                tracing::info!("waiting for another Stoa that migrates the database");
            }
            tokio::time::sleep(AGAIN).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_function_file_is_embedded() {
        let mut files: Vec<_> = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/functions"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.ends_with(".sql"))
            .collect();
        files.sort();
        assert_eq!(files, FUNCTIONS.iter().map(|(name, _)| *name).collect::<Vec<_>>());
    }
}
