//! What the pool promises while transactions are dropped and the database goes away.

use crate::*;

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
    busy.batch_execute("LOCK TABLE accounts IN SHARE MODE").await.unwrap();
    let sleeps = busy.batch_execute("SELECT pg_sleep(8)");
    assert!(tokio::time::timeout(Duration::from_millis(50), sleeps).await.is_err());
    drop(busy);
    let begin = Instant::now();
    account(&mut database.of(acme).await.unwrap(), acme).await.unwrap();
    assert!(begin.elapsed() < Duration::from_secs(2));
    postgres.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_waits_for_a_statement_that_was_given_up() {
    let (postgres, _folder) = migrated().await;
    let database = database(postgres.url(), 1).await;
    let acme = organization(&database, "acme").await;
    let connection = database.of(acme).await.unwrap();
    let its_backend = backend(&connection).await;
    let sleeps = ask(&connection, "SELECT pg_sleep(8)::text AS value");
    assert!(tokio::time::timeout(Duration::from_millis(50), sleeps).await.is_err());
    drop(connection);
    let begin = Instant::now();
    let connection = database.of(acme).await.unwrap();
    assert_ne!(backend(&connection).await, its_backend);
    let gone = format!("SELECT count(*)::text AS value FROM pg_stat_activity WHERE pid = {its_backend}");
    while ask(&connection, &gone).await.unwrap() != "0" {
        assert!(begin.elapsed() < Duration::from_secs(2), "the statement was not cancelled");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    postgres.stop().await;
}

/// `SELECT 1`, `SELECT 2`, …: a statement of its own for each number.
struct Number(usize);

impl diesel::query_builder::QueryFragment<diesel::pg::Pg> for Number {
    fn walk_ast<'b>(
        &'b self,
        mut out: diesel::query_builder::AstPass<'_, 'b, diesel::pg::Pg>,
    ) -> diesel::QueryResult<()> {
        out.push_sql(&format!("SELECT {}", self.0));
        Ok(())
    }
}

impl diesel::query_builder::QueryId for Number {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_has_prepared_too_much_is_replaced() {
    let (postgres, _folder) = migrated().await;
    let database = database(postgres.url(), 1).await;
    let mut backends = Vec::new();
    for round in 0..3 {
        let mut connection = database.of_nobody().await.unwrap();
        backends.push(backend(&connection).await);
        for number in 0..510 {
            Number(1000 * round + number).execute(&mut *connection).await.unwrap();
        }
    }
    assert_eq!(backends[0], backends[1]);
    assert_ne!(backends[1], backends[2]);
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
    let pid = rustix::process::Pid::from_raw(cluster::postmaster(folder.path())).unwrap();
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
