//! The database as Stoa uses it: the embedded PostgreSQL, migrations, the pool and the wall. Each test has a
//! cluster of its own, so that it may also stop and kill it.

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

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_is_made_kept_and_belongs_to_one_stoa() {
    let folder = folder();
    let options = options(folder.path());
    let postgres = Postgres::start(&options).await.unwrap();
    admin(postgres.url(), "CREATE TABLE kept AS SELECT 1 AS one").await;

    let cluster = folder.path().join("postgres");
    let of = fs::metadata(&cluster).unwrap();
    assert_eq!(of.mode() & 0o777, 0o700);
    let root = rustix::process::geteuid().is_root();
    assert_ne!(of.uid(), 0, "PostgreSQL must not run as root");
    assert!(root || of.uid() == rustix::process::geteuid().as_raw());

    let refused = reason(&Postgres::start(&options).await.err().expect("a second one must be refused"));
    assert!(
        refused.contains(&format!("process {}", std::process::id())) && refused.contains("STOA_DATA_DIR"),
        "{refused}"
    );

    postgres.stop().await;
    assert!(!cluster.join("postmaster.pid").exists());
    let postgres = Postgres::start(&options).await.unwrap();
    admin(postgres.url(), "SELECT one FROM kept").await;
    postgres.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_too_long_for_a_socket_gets_a_short_one() {
    let folder = folder();
    let deep = folder.path().join("a-name-of-forty-characters-for-a-folder/".repeat(3));
    let postgres = Postgres::start(&options(&deep)).await.unwrap();
    assert!(postgres.url().contains("%2Ftmp%2Fstoa-"), "{}", postgres.url());
    admin(postgres.url(), "SELECT 1").await;
    let socket = url::form_urlencoded::parse(postgres.url().split(['@', ':']).nth(2).unwrap().as_bytes());
    let socket = socket.map(|(name, _)| name.into_owned()).next().unwrap();
    assert_eq!(fs::metadata(&socket).unwrap().mode() & 0o777, 0o700);
    postgres.stop().await;
    assert!(!Path::new(&socket).exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_postgres_cannot_reach_is_named() {
    if !rustix::process::geteuid().is_root() {
        return; // Only root hands the cluster to somebody else.
    }
    let folder = folder();
    let private = folder.path().join("private");
    fs::create_dir(&private).unwrap();
    fs::set_permissions(&private, fs::Permissions::from_mode(0o700)).unwrap();
    let fault = reason(&Postgres::start(&options(&private.join("data"))).await.err().unwrap());
    assert!(fault.contains(private.to_str().unwrap()), "{fault}");
}

/// Not a test: the Stoa that the next test kills.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "run by the_cluster_of_a_killed_stoa_is_taken_up_again"]
async fn helper_that_runs_a_cluster() {
    let Ok(folder) = std::env::var("STOA_TEST_CLUSTER") else { return };
    let postgres = Postgres::start(&options(Path::new(&folder))).await.unwrap();
    println!("ready {}", postgres.url());
    std::future::pending::<()>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cluster_of_a_killed_stoa_is_taken_up_again() {
    let folder = folder();
    let mut owner = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "helper_that_runs_a_cluster", "--ignored", "--nocapture"])
        .env("STOA_TEST_CLUSTER", folder.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(owner.stdout.take().unwrap()).lines();
    let url = lines.map_while(Result::ok).find_map(|line| line.split_once("ready ").map(|(_, url)| url.to_owned()));
    let url = url.expect("the helper starts a cluster");
    admin(&url, "CREATE TABLE kept AS SELECT 1 AS one").await;
    let refused = reason(&Postgres::start(&options(folder.path())).await.err().unwrap());
    assert!(refused.contains(&format!("process {}", owner.id())), "{refused}");

    let (session, _driver) = Address::parse(&url).unwrap().connect().await.unwrap();
    owner.kill().unwrap();
    owner.wait().unwrap();
    let postgres = Postgres::start(&options(folder.path())).await.unwrap();
    admin(postgres.url(), "SELECT one FROM kept").await;
    assert!(session.batch_execute("SELECT 1").await.is_err(), "the server that was left behind still runs");
    postgres.stop().await;
}

/// The process that runs a cluster.
fn postmaster(data_dir: &Path) -> i32 {
    let file = fs::read_to_string(data_dir.join("postgres/postmaster.pid")).unwrap();
    file.lines().next().unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_number_that_belongs_to_somebody_else_hurts_nobody() {
    let (folder, other) = (folder(), folder());
    Postgres::start(&options(folder.path())).await.unwrap().stop().await;
    let second = Postgres::start(&options(other.path())).await.unwrap();
    // As after a reboot: the number in the file is now that of another process.
    let left = fs::read_to_string(other.path().join("postgres/postmaster.pid")).unwrap();
    fs::write(folder.path().join("postgres/postmaster.pid"), left).unwrap();
    let first = Postgres::start(&options(folder.path())).await.unwrap();
    admin(first.url(), "SELECT 1").await;
    admin(second.url(), "SELECT 1").await;
    first.stop().await;
    second.stop().await;
}

/// As on systems where PostgreSQL does not die with its Stoa.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn a_postgres_that_was_left_running_is_stopped_first() {
    use std::os::unix::process::CommandExt;
    let folder = folder();
    let postgres = Postgres::start(&options(folder.path())).await.unwrap();
    let program = fs::read_link(format!("/proc/{}/exe", postmaster(folder.path()))).unwrap();
    postgres.stop().await;
    let cluster = folder.path().join("postgres");
    let of = fs::metadata(&cluster).unwrap();
    let mut left = Command::new(program);
    left.arg("-D").arg(&cluster).args(["-c", "listen_addresses=", "-c", "unix_socket_directories="]);
    if rustix::process::geteuid().is_root() {
        left.uid(of.uid()).gid(of.gid());
    }
    let mut left = left.current_dir(&cluster).stderr(Stdio::null()).spawn().unwrap();
    while !cluster.join("postmaster.pid").exists() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    let postgres = Postgres::start(&options(folder.path())).await.unwrap();
    assert!(left.wait().unwrap().success(), "it was not stopped in good order");
    admin(postgres.url(), "SELECT 1").await;
    postgres.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn migrations_run_once_and_tell_what_they_did() {
    let folder = folder();
    let postgres = Postgres::start(&options(folder.path())).await.unwrap();
    let url = postgres.url();
    assert!(migrations::status(url).await.unwrap().iter().all(|one| one.state == MigrationState::Pending));

    // Two at once: one does it, the other finds it done.
    let (one, other) = tokio::join!(migrations::up(url), migrations::up(url));
    let (one, other) = (one.unwrap(), other.unwrap());
    let all = migrations::status(url).await.unwrap();
    assert_eq!(one.applied.len() + other.applied.len(), all.len());
    assert!(one.functions != other.functions);
    assert!(all.iter().all(|one| one.state == MigrationState::Applied));
    assert_eq!(migrations::up(url).await.unwrap(), Default::default());

    let redone = migrations::redo(url).await.unwrap();
    assert_eq!((redone.reverted.len(), redone.applied.len()), (1, 1));
    let database = database(url, 1).await;
    let connection = database.of(Uuid::now_v7()).await.unwrap();
    assert_eq!(ask(&connection, "SELECT count(*)::text AS value FROM messages").await.unwrap(), "0");

    // A database that a newer Stoa has changed is used and left alone.
    admin(url, "INSERT INTO __diesel_schema_migrations VALUES ('99990101000000')").await;
    admin(url, "COMMENT ON TABLE __diesel_schema_migrations IS 'newer'").await;
    assert_eq!(migrations::up(url).await.unwrap(), Default::default());
    assert_eq!(migrations::status(url).await.unwrap().last().unwrap().state, MigrationState::Unknown);
    postgres.stop().await;
}

/// What a request may see and write, whoever Stoa connects as.
async fn the_wall_holds(url: &str, expected_role: &str) {
    let database = database(url, 4).await;
    let (acme, globex) = (organization(&database, "acme").await, organization(&database, "globex").await);
    for (own, other) in [(acme, globex), (globex, acme)] {
        let mut connection = database.of(own).await.unwrap();
        assert_eq!(ask(&connection, "SELECT current_user::text AS value").await.unwrap(), expected_role);
        assert_eq!(count(&connection).await, "1");
        let seen = ask(&connection, "SELECT organization_id::text AS value FROM accounts").await.unwrap();
        assert_eq!(seen, own.to_string());
        let fault = account(&mut connection, other).await.unwrap_err().to_string();
        assert!(fault.contains("row-level security"), "{fault}");
        let moved = diesel::sql_query("UPDATE accounts SET organization_id = $1")
            .bind::<sql_types::Uuid, _>(other)
            .execute(&mut *connection)
            .await;
        assert!(moved.unwrap_err().to_string().contains("row-level security"));
        let gone = diesel::sql_query("DELETE FROM accounts WHERE organization_id = $1")
            .bind::<sql_types::Uuid, _>(other)
            .execute(&mut *connection)
            .await;
        assert_eq!(gone.unwrap(), 0);
    }
    assert_eq!(count(&database.of_nobody().await.unwrap()).await, "0");
    assert_eq!(count(&database.of_user(Uuid::now_v7()).await.unwrap()).await, "0");
    assert_eq!(count(&database.of(acme).await.unwrap()).await, "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_wall_holds_whoever_stoa_connects_as() {
    let (postgres, _folder) = migrated().await;
    the_wall_holds(postgres.url(), "stoa_request").await;

    // The role is there, made by the database above, and this owner may not take it.
    admin(postgres.url(), "CREATE ROLE plain LOGIN").await;
    admin(postgres.url(), "CREATE DATABASE plain OWNER plain").await;
    let plain = postgres.url().replace("postgres@", "plain@").replace("/stoa", "/plain");
    migrations::up(&plain).await.unwrap();
    the_wall_holds(&plain, "plain").await;

    // Later an administrator allows it: nothing else is needed.
    admin(postgres.url(), "GRANT stoa_request TO plain").await;
    let connection = database(&plain, 1).await.of(Uuid::now_v7()).await.unwrap();
    assert_eq!(ask(&connection, "SELECT current_user::text AS value").await.unwrap(), "stoa_request");
    assert_eq!(count(&connection).await, "0");

    // Who is above the wall and may not step down is turned away.
    admin(postgres.url(), "CREATE ROLE above LOGIN BYPASSRLS").await;
    let above = postgres.url().replace("postgres@", "above@");
    let fault = database(&above, 1).await.of(Uuid::now_v7()).await.err().unwrap();
    assert!(fault.code() == Code::InternalServerError && reason(&fault).contains("bypasses row level security"));

    // And the role of requests itself must stay below.
    admin(postgres.url(), "ALTER ROLE stoa_request BYPASSRLS").await;
    let fault = database(postgres.url(), 1).await.of(Uuid::now_v7()).await.err().unwrap();
    assert!(reason(&fault).contains("ALTER ROLE stoa_request"));
    postgres.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_who_may_make_roles_gets_the_role_of_requests() {
    let folder = folder();
    let postgres = Postgres::start(&options(folder.path())).await.unwrap();
    admin(postgres.url(), "CREATE ROLE maker LOGIN CREATEROLE").await;
    admin(postgres.url(), "CREATE DATABASE maker OWNER maker").await;
    let maker = postgres.url().replace("postgres@", "maker@").replace("/stoa", "/maker");
    migrations::up(&maker).await.unwrap();
    the_wall_holds(&maker, "stoa_request").await;
    postgres.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_connection_serves_many_and_mixes_nobody_up() {
    let (postgres, _folder) = migrated().await;
    let database = database(postgres.url(), 1).await;
    let (acme, globex) = (organization(&database, "acme").await, organization(&database, "globex").await);
    let mut backends = Vec::new();
    for _ in 0..3 {
        for (who, sees) in [(acme, "1"), (globex, "1"), (Uuid::now_v7(), "0")] {
            let connection = database.of(who).await.unwrap();
            assert_eq!(count(&connection).await, sees);
            let seen = ask(&connection, "SELECT current_setting('stoa.organization') AS value").await.unwrap();
            assert_eq!(seen, who.to_string());
            backends.push(backend(&connection).await);
        }
        assert_eq!(count(&database.of_nobody().await.unwrap()).await, "0");
    }
    backends.dedup();
    assert_eq!(backends.len(), 1, "a change of organization must not cost a connection");

    // Whoever gives up while the connection changes hands leaves nothing behind that could be taken for theirs.
    for _ in 0..20 {
        drop(tokio::time::timeout(Duration::from_micros(50), database.of(globex)).await);
        let connection = database.of(acme).await.unwrap();
        let seen = ask(&connection, "SELECT organization_id::text AS value FROM accounts").await.unwrap();
        assert_eq!(seen, acme.to_string());
    }
    let stats = database.stats();
    assert_eq!((stats.max, stats.waiting), (1, 0));

    // A pool that is in use says so in time.
    let _held = database.of(acme).await.unwrap();
    let begin = Instant::now();
    let fault = database.of(acme).await.err().unwrap();
    assert_eq!(fault.code(), Code::ServiceUnavailable);
    assert!(begin.elapsed() < Duration::from_secs(1));
    postgres.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_is_whole_or_not_at_all() {
    let (postgres, _folder) = migrated().await;
    let database = database(postgres.url(), 2).await;
    let acme = organization(&database, "acme").await;

    let mut dropped = database.of(acme).await.unwrap().begin().await.unwrap();
    let its_backend = backend(&dropped).await;
    account(&mut dropped, acme).await.unwrap();
    assert_eq!(count(&dropped).await, "2");
    drop(dropped);
    for _ in 0..4 {
        let (one, other) = (database.of(acme).await.unwrap(), database.of(acme).await.unwrap());
        assert_eq!((count(&one).await, count(&other).await), ("1".into(), "1".into()));
        assert!(backend(&one).await != its_backend && backend(&other).await != its_backend);
    }

    let mut undone = database.of(acme).await.unwrap().begin().await.unwrap();
    let its_backend = backend(&undone).await;
    account(&mut undone, acme).await.unwrap();
    undone.rollback().await.unwrap();
    let connection = database.of(acme).await.unwrap();
    assert_eq!((count(&connection).await, backend(&connection).await), ("1".into(), its_backend));

    // An error that somebody overlooked must not become a commit that reports success.
    let mut failed = connection.begin().await.unwrap();
    account(&mut failed, acme).await.unwrap();
    assert!(failed.batch_execute("SELECT 1/0").await.is_err());
    assert!(failed.commit().await.is_err());
    assert_eq!(count(&database.of(acme).await.unwrap()).await, "1");

    let mut kept = database.of(acme).await.unwrap().begin().await.unwrap();
    account(&mut kept, acme).await.unwrap();
    kept.commit().await.unwrap();
    assert_eq!(count(&database.of(acme).await.unwrap()).await, "2");

    // Dropped in the middle of a statement: what it holds is free at once.
    let mut busy = database.of(acme).await.unwrap().begin().await.unwrap();
    busy.batch_execute("LOCK TABLE accounts").await.unwrap();
    drop(busy);
    assert_eq!(count(&database.of(acme).await.unwrap()).await, "2");
    postgres.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_goes_away_is_told_at_once_and_found_again() {
    let (postgres, folder) = migrated().await;
    let database = database(postgres.url(), 4).await;
    let acme = organization(&database, "acme").await;
    database.ping().await.unwrap();
    let rest: Vec<_> = futures_util::future::join_all((0..4).map(|_| database.of(acme))).await;
    drop(rest);
    assert_eq!(database.stats().available, 4);

    postgres.stop().await;
    for _ in 0..5 {
        let begin = Instant::now();
        let fault = database.of(acme).await.err().expect("nobody can answer");
        assert_eq!(fault.code(), Code::ServiceUnavailable, "{fault:?}");
        assert_eq!(database.ping().await.unwrap_err().code(), Code::ServiceUnavailable);
        assert!(begin.elapsed() < Duration::from_secs(1));
    }
    let postgres = Postgres::start(&options(folder.path())).await.unwrap();
    assert_eq!(count(&database.of(acme).await.unwrap()).await, "1");
    database.ping().await.unwrap();

    // Sessions that are ended under the pool are replaced without an error, whoever they last spoke for.
    drop(futures_util::future::join_all((0..4).map(|_| database.of(acme))).await);
    admin(postgres.url(), "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()").await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    for who in [acme, Uuid::now_v7(), acme, Uuid::now_v7()] {
        count(&database.of(who).await.unwrap()).await;
    }

    // Killed, it is started again without anybody's help, with all that was committed.
    let pid = rustix::process::Pid::from_raw(postmaster(folder.path())).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(count(&*patiently(&database, acme).await).await, "1");
    postgres.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_where_nobody_answers_costs_less_than_a_second() {
    // Packets to this address of RFC 5737 get no answer, or an error from the first router.
    for url in ["postgres://u@192.0.2.1/d", "postgres://u@127.0.0.1:1/d", "postgres://u@%2Fnowhere/d"] {
        let begin = Instant::now();
        let fault = database(url, 1).await.of_nobody().await.err().unwrap();
        assert_eq!(fault.code(), Code::ServiceUnavailable, "{fault:?}");
        assert!(begin.elapsed() < Duration::from_secs(1));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_modes_check_what_their_names_say() {
    let folder = folder();
    let plain = Postgres::start(&options(folder.path())).await.unwrap();
    plain.stop().await;
    let cluster = folder.path().join("postgres");
    let of = fs::metadata(&cluster).unwrap();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tls");
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let ca = source.join("ca.crt");
    let own = source.join("self.crt");
    let verdicts = |certificate: &'static str, cases: Vec<(String, bool)>| {
        let (cluster, source, folder) = (cluster.clone(), source.clone(), folder.path().to_owned());
        let (uid, gid) = (of.uid(), of.gid());
        async move {
            for (from, to, mode) in [("crt", "server.crt", 0o644), ("key", "server.key", 0o600)] {
                let to = cluster.join(to);
                fs::copy(source.join(format!("{certificate}.{from}")), &to).unwrap();
                fs::set_permissions(&to, fs::Permissions::from_mode(mode)).unwrap();
                std::os::unix::fs::chown(&to, Some(uid), Some(gid)).unwrap();
            }
            let hba = "local all all trust\nhostssl all all 127.0.0.1/32 trust\n";
            fs::write(cluster.join("pg_hba.conf"), hba).unwrap();
            let mut options = options(&folder);
            let tls = [("ssl", "on"), ("listen_addresses", "127.0.0.1"), ("port", &port.to_string())];
            options.settings.extend(tls.map(|(name, value)| (name.to_owned(), value.to_owned())));
            let server = Postgres::start(&options).await.unwrap();
            for (url, good) in cases {
                let answer = Address::parse(&url).unwrap().connect().await;
                assert_eq!(answer.is_ok(), good, "{certificate} {url}: {:?}", answer.err());
            }
            server.stop().await;
        }
    };
    let to = |host: &str, query: &str| format!("postgres://postgres@{host}:{port}/postgres?{query}");
    let with = |mode: &str, roots: &Path| format!("sslmode={mode}&sslrootcert={}", roots.display());
    let signed = vec![
        (to("127.0.0.1", "sslmode=disable"), false),
        (to("127.0.0.1", "sslmode=prefer"), true),
        (to("127.0.0.1", "sslmode=require"), true),
        (to("127.0.0.1", &with("require", &ca)), true),
        (to("127.0.0.1", &with("require", &own)), false),
        (to("127.0.0.1", &with("verify-ca", &ca)), true),
        (to("127.0.0.1", &with("verify-ca", &own)), false),
        (to("127.0.0.1", &with("verify-full", &ca)), false),
        (to("localhost", &with("verify-full", &ca)), true),
        (to("localhost", "sslmode=verify-full"), false),
        (to("localhost", "sslrootcert=system"), false),
    ];
    verdicts("server", signed).await;
    let itself = vec![
        (to("127.0.0.1", &with("verify-ca", &own)), true),
        (to("127.0.0.1", &with("verify-full", &own)), false),
        (to("localhost", &with("verify-full", &own)), true),
        (to("localhost", &with("verify-full", &ca)), false),
    ];
    verdicts("self", itself).await;
}
