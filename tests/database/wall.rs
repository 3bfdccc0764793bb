//! Migrations, and what somebody sees and may write, whoever Stoa connects as.

use crate::*;
use stoa::{
    commands::migrate::{self, Action},
    config::Config,
};

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

/// What a request may do with the log: read it and add to it.
async fn the_log_only_grows(url: &str) {
    let database = database(url, 1).await;
    let mut connection = database.of(organization(&database, "initech").await).await.unwrap();
    for statement in [
        "DELETE FROM events",
        "UPDATE events SET kind = 'forged'",
        "DELETE FROM stream_heads",
        "DELETE FROM streams",
        "TRUNCATE events",
    ] {
        let fault = connection.batch_execute(statement).await.unwrap_err().to_string();
        assert!(fault.contains("permission denied for table"), "{statement}: {fault}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_wall_holds_whoever_stoa_connects_as() {
    let (postgres, _folder) = migrated().await;
    the_wall_holds(postgres.url(), "stoa_request").await;
    the_log_only_grows(postgres.url()).await;

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
    for name in ["one", "two", "three"] {
        admin(postgres.url(), &format!("CREATE DATABASE {name} OWNER maker")).await;
    }
    let maker = postgres.url().replace("postgres@", "maker@");
    let [one, two, three] = ["/one", "/two", "/three"].map(|name| maker.replace("/stoa", name));
    // The role belongs to all databases of the cluster, and all make it now.
    let all = tokio::join!(migrations::up(&one), migrations::up(&two), migrations::up(&three));
    assert!(all.0.is_ok() && all.1.is_ok() && all.2.is_ok(), "{all:?}");
    for url in [one, two, three] {
        the_wall_holds(&url, "stoa_request").await;
    }
    postgres.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_may_not_migrate_is_told_what_to_grant() {
    let folder = folder();
    let postgres = Postgres::start(&options(folder.path())).await.unwrap();
    admin(postgres.url(), "CREATE ROLE guest LOGIN").await;
    admin(postgres.url(), "REVOKE CREATE ON SCHEMA public FROM PUBLIC").await;
    let guest = postgres.url().replace("postgres@", "guest@");
    let fault = reason(&migrations::up(&guest).await.unwrap_err());
    assert!(fault.contains("permission denied for schema public") && fault.contains("OWNER TO"), "{fault}");
    admin(postgres.url(), "GRANT CREATE ON SCHEMA public TO guest").await;
    let fault = reason(&migrations::up(&guest).await.unwrap_err());
    assert!(fault.contains("CREATE EXTENSION pg_trgm"), "{fault}");
    admin(postgres.url(), "CREATE EXTENSION pg_trgm; CREATE EXTENSION unaccent").await;
    migrations::up(&guest).await.unwrap();
    the_wall_holds(&guest, "guest").await;
    postgres.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_migrates_the_database_of_the_settings() {
    let folder = folder();
    let postgres = Postgres::start(&options(folder.path())).await.unwrap();
    let mut config = Config::default();
    config.database.url = Some(postgres.url().to_owned());
    migrate::run(&config, Action::Up).await.unwrap();
    migrate::run(&config, Action::Status).await.unwrap();
    migrate::run(&config, Action::Redo).await.unwrap();
    config.production = true;
    assert!(migrate::run(&config, Action::Redo).await.is_err());
    let all = migrations::status(postgres.url()).await.unwrap();
    assert!(all.iter().all(|one| one.state == MigrationState::Applied));
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
