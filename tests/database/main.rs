//! The database as Stoa uses it: the embedded PostgreSQL, migrations, the pool and the wall. Each test has a
//! cluster of its own, so that it may also stop and kill it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod cluster;
mod pool;
mod redo;
mod seed;
mod tls;
mod user;
mod wall;

use diesel::{QueryableByName, sql_types};
use diesel_async::{AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};
use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};
use stoa::{
    Error,
    config::DatabaseConfig,
    error::Code,
    platform::{
        database::{Connection, Database, address::Address},
        migrations::{self, MigrationState},
        postgres::{EmbeddedOptions, Postgres},
    },
};
use uuid::Uuid;

/// A folder that the cluster's user can get to, also when the tests run as root.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::Builder::new().prefix("stoa-test-").tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    folder
}

fn options(folder: &Path) -> EmbeddedOptions {
    let fast = [("fsync", "off"), ("max_connections", "40"), ("shared_buffers", "16MB")];
    EmbeddedOptions {
        data_dir: folder.to_owned(),
        settings: fast.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec(),
        binaries: None,
    }
}

/// A new cluster with the schema, and its folder.
async fn migrated() -> (Postgres, tempfile::TempDir) {
    let folder = folder();
    let postgres = Postgres::start(&options(folder.path())).await.unwrap();
    migrations::up(postgres.url()).await.unwrap();
    (postgres, folder)
}

fn config(pool: usize) -> DatabaseConfig {
    DatabaseConfig { pool, wait_ms: 800, ..DatabaseConfig::default() }
}

async fn database(url: &str, pool: usize) -> Database {
    Database::connect(&config(pool), url).await.unwrap()
}

/// Runs SQL as the user of the URL, outside the pool and so outside the wall.
async fn admin(url: &str, sql: &str) {
    let (client, _driver) = Address::parse(url).unwrap().connect().await.unwrap();
    client.batch_execute(sql).await.unwrap();
}

#[derive(QueryableByName)]
struct Text {
    #[diesel(sql_type = sql_types::Text)]
    value: String,
}

/// The one text that a query answers with as `value`.
async fn ask(mut connection: &AsyncPgConnection, sql: &str) -> Result<String, diesel::result::Error> {
    diesel::sql_query(sql).get_result::<Text>(&mut connection).await.map(|row| row.value)
}

async fn count(connection: &AsyncPgConnection) -> String {
    ask(connection, "SELECT count(*)::text AS value FROM accounts").await.unwrap()
}

async fn backend(connection: &AsyncPgConnection) -> String {
    ask(connection, "SELECT pg_backend_pid()::text AS value").await.unwrap()
}

/// An organization with one account.
async fn organization(database: &Database, name: &str) -> Uuid {
    let id = Uuid::now_v7();
    let mut transaction = database.of(id).await.unwrap().begin().await.unwrap();
    diesel::sql_query("INSERT INTO organizations (id, name, slug) VALUES ($1, $2, $2)")
        .bind::<sql_types::Uuid, _>(id)
        .bind::<sql_types::Text, _>(name)
        .execute(&mut *transaction)
        .await
        .unwrap();
    account(&mut transaction, id).await.unwrap();
    transaction.commit().await.unwrap();
    id
}

async fn account(connection: &mut AsyncPgConnection, organization: Uuid) -> Result<usize, diesel::result::Error> {
    diesel::sql_query("INSERT INTO accounts (organization_id, id, name) VALUES ($1, $2, 'Acme')")
        .bind::<sql_types::Uuid, _>(organization)
        .bind::<sql_types::Uuid, _>(Uuid::now_v7())
        .execute(connection)
        .await
}

/// What the log would say.
fn reason(fault: &Error) -> String {
    format!("{fault:?}")
}

/// A connection to a database that is expected to come back.
async fn patiently(database: &Database, organization: Uuid) -> Connection {
    let begin = Instant::now();
    loop {
        match database.of(organization).await {
            Ok(connection) => return connection,
            Err(fault) if begin.elapsed() > Duration::from_secs(20) => panic!("does not come back: {fault:?}"),
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}
