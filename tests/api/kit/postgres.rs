//! The PostgreSQL of a test run: made anew, without fsync, stopped with the run; the next one removes its folder. The
//! library's own tests include this file as well.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::LazyLock,
};
use stoa::platform::{
    database::address::Address,
    migrations,
    postgres::{EmbeddedOptions, Postgres},
};
use tokio::sync::{OnceCell, oneshot};
use tokio_postgres::Client;

static FOLDER: LazyLock<tempfile::TempDir> = LazyLock::new(|| {
    remove_left_behind();
    let name = format!("{PREFIX}{}-", std::process::id());
    let folder = tempfile::Builder::new().prefix(&name).tempdir().expect("a folder");
    // The cluster's user has to get there when the tests run as root.
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("permissions");
    fs::create_dir(folder.path().join("data")).expect("a folder");
    folder
});

const PREFIX: &str = "stoa-test-run-";

/// Nothing runs at the end of a process of tests: the folders of processes that are gone are removed by the next one.
fn remove_left_behind() {
    for folder in fs::read_dir(std::env::temp_dir()).expect("a folder for what is temporary").flatten() {
        let name = folder.file_name();
        let process = name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.split('-').next()?.parse().ok());
        let Some(process) = process.and_then(rustix::process::Pid::from_raw) else { continue };
        if rustix::process::test_kill_process(process) == Err(rustix::io::Errno::SRCH) {
            // Another process of tests may be at it, too.
            let _ = fs::remove_dir_all(folder.path());
        }
    }
}

static URL: OnceCell<String> = OnceCell::const_new();

pub fn folder() -> &'static Path {
    FOLDER.path()
}

/// The migrated database of the run.
pub async fn url() -> String {
    URL.get_or_init(start).await.clone()
}

async fn start() -> String {
    let (tell, told) = oneshot::channel();
    // PostgreSQL ends with the thread that started it, and this one ends with the process.
    std::thread::spawn(|| {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        runtime.expect("a runtime").block_on(async {
            let fast = [("fsync", "off"), ("max_connections", "300"), ("shared_buffers", "64MB")];
            let options = EmbeddedOptions {
                data_dir: PathBuf::from(folder()),
                settings: fast.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec(),
                binaries: None,
            };
            let postgres = Postgres::start(&options).await.expect("a PostgreSQL");
            migrations::up(postgres.url()).await.expect("a migrated database");
            tell.send(postgres.url().to_owned()).expect("somebody waits");
            std::future::pending::<()>().await;
            drop(postgres);
        });
    });
    told.await.expect("a PostgreSQL")
}

/// Another migrated database in the cluster of the run, of an owner who is made where there is none: no superuser,
/// and may make no roles.
pub async fn database(name: &str, owner: &str) -> String {
    let shared = url().await;
    let admin = connect(&shared).await;
    let role = format!(
        "DO $$ BEGIN CREATE ROLE {owner} LOGIN; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$"
    );
    admin.batch_execute(&role).await.expect("a role");
    admin.batch_execute(&format!("CREATE DATABASE {name} OWNER {owner}")).await.expect("a database");
    let url = shared.replace("postgres@", &format!("{owner}@")).replace("/stoa", &format!("/{name}"));
    migrations::up(&url).await.expect("a migrated database");
    url
}

/// The same database as the cluster's superuser.
pub fn as_superuser(url: &str) -> String {
    let Some((user, place)) = url.split_once('@') else { return url.to_owned() };
    let scheme = user.split_once("://").map_or("postgres", |(scheme, _)| scheme);
    format!("{scheme}://postgres@{place}")
}

/// A connection outside the pool; a superuser's is outside the wall.
pub async fn connect(url: &str) -> Client {
    let (client, _driver) = Address::parse(url).expect("a URL").connect().await.expect("a connection");
    client
}
