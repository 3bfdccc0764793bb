//! Migrations one by one: each takes back exactly what it did, below the functions of today, so that `stoa migrate redo` leaves the
//! same database; and what one changes of rows it changes whoever migrates.

use crate::*;
use std::collections::BTreeSet;
use tokio_postgres::Client;

/// All of a database that migrations make: a line each. Whether rows of before were held against a constraint is none of it.
const SHAPE: &str = "
    WITH ours AS (
      SELECT c.* FROM pg_class c WHERE c.relnamespace = current_schema()::regnamespace AND c.relname !~ '^__diesel'
        AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e'))
    SELECT concat_ws(' ', 'relation', relname, relkind, relrowsecurity, relforcerowsecurity, reloptions::text, obj_description(oid, 'pg_class'))
      FROM ours WHERE relkind <> 'i'
    UNION ALL
    SELECT concat_ws(' ', 'column', relname, attname, format_type(atttypid, atttypmod), attnotnull, pg_get_expr(adbin, adrelid),
        col_description(ours.oid, attnum))
      FROM ours JOIN pg_attribute ON attrelid = ours.oid AND attnum > 0 AND NOT attisdropped
      LEFT JOIN pg_attrdef ON adrelid = ours.oid AND adnum = attnum WHERE relkind IN ('r', 'p')
    UNION ALL
    SELECT concat_ws(' ', 'constraint', conrelid::regclass, conname, replace(pg_get_constraintdef(oid), ' NOT VALID', ''))
      FROM pg_constraint WHERE conrelid IN (SELECT oid FROM ours) AND contype <> 'n'
    UNION ALL
    SELECT concat_ws(' ', 'index', pg_get_indexdef(indexrelid), indisvalid) FROM pg_index WHERE indrelid IN (SELECT oid FROM ours)
    UNION ALL
    SELECT concat_ws(' ', 'trigger', pg_get_triggerdef(oid)) FROM pg_trigger
      WHERE tgrelid IN (SELECT oid FROM ours) AND NOT tgisinternal
    UNION ALL
    SELECT concat_ws(' ', 'policy', polrelid::regclass, polname, polcmd, polpermissive, pg_get_expr(polqual, polrelid),
        pg_get_expr(polwithcheck, polrelid)) FROM pg_policy WHERE polrelid IN (SELECT oid FROM ours)
    UNION ALL
    SELECT concat_ws(' ', 'function', pg_get_functiondef(oid)) FROM pg_proc p
      WHERE pronamespace = current_schema()::regnamespace AND prokind = 'f' AND proname::text <> ALL($1::text[])
        AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e')";

/// The names of functions.
const FUNCTIONS: &str =
    "SELECT DISTINCT proname::text FROM pg_proc WHERE pronamespace = current_schema()::regnamespace";

async fn texts(client: &Client, sql: &str, given: &[&(dyn tokio_postgres::types::ToSql + Sync)]) -> BTreeSet<String> {
    client.query(sql, given).await.unwrap().iter().map(|row| row.get(0)).collect()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The folders of all migrations, in order.
fn all() -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(root().join("migrations")).unwrap().map(|entry| entry.unwrap().path());
    let mut folders: Vec<_> = entries.filter(|path| path.is_dir()).collect();
    folders.sort();
    folders
}

/// Runs one of the two files of a migration.
async fn run(client: &Client, folder: &Path, file: &str) {
    let sql = fs::read_to_string(folder.join(file)).unwrap();
    let alone = folder.join("metadata.toml").exists();
    let sql = if alone { sql } else { format!("BEGIN; {sql}; COMMIT") };
    client.batch_execute(&sql).await.unwrap_or_else(|fault| panic!("{}/{file}: {fault:?}", folder.display()));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_migration_takes_back_what_it_did() {
    let folder = folder();
    let postgres = Postgres::start(&options(folder.path())).await.unwrap();
    let (client, _driver) = Address::parse(postgres.url()).unwrap().connect().await.unwrap();
    let none: &[String] = &[];
    let mut before = Vec::new();
    for migration in all() {
        before.push(texts(&client, SHAPE, &[&none]).await);
        run(&client, &migration, "up.sql").await;
    }
    // As they are in use, with the functions, which every migration finds and which are replaced behind it.
    let made = texts(&client, FUNCTIONS, &[]).await;
    let mut files: Vec<_> =
        fs::read_dir(root().join("functions")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    for file in files.iter().filter(|file| file.extension().is_some_and(|extension| extension == "sql")) {
        client.batch_execute(&fs::read_to_string(file).unwrap()).await.unwrap();
    }
    let replaced: Vec<String> = texts(&client, FUNCTIONS, &[]).await.difference(&made).cloned().collect();
    let mut wrong = Vec::new();
    for (migration, before) in all().iter().zip(before).rev() {
        run(&client, migration, "down.sql").await;
        let left = texts(&client, SHAPE, &[&replaced]).await;
        let more: Vec<_> = left.difference(&before).collect();
        let less: Vec<_> = before.difference(&left).collect();
        if !more.is_empty() || !less.is_empty() {
            wrong.push(format!("{}\nleft: {more:#?}\nmissing: {less:#?}", migration.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    postgres.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_that_only_bring_files_are_marked_whoever_migrates() {
    let folder = folder();
    let postgres = Postgres::start(&options(folder.path())).await.unwrap();
    // As on a hosted PostgreSQL: an owner who is no superuser, and before whom the wall stands as well.
    admin(postgres.url(), "CREATE ROLE plain LOGIN").await;
    admin(postgres.url(), "CREATE DATABASE plain OWNER plain").await;
    let above = postgres.url().replace("/stoa", "/plain");
    let plain = above.replace("postgres@", "plain@");
    let (client, _driver) = Address::parse(&plain).unwrap().connect().await.unwrap();
    let marks = |folder: &Path| folder.ends_with("2026-11-29-001001_mark_messages_of_files");
    let place = all().iter().position(|folder| marks(folder)).unwrap();
    for migration in &all()[..place] {
        run(&client, migration, "up.sql").await;
    }
    admin(
        &above,
        "SET session_replication_role = replica;
         INSERT INTO organizations (id, name, slug) SELECT gen_random_uuid(), n::text, n::text FROM generate_series(1, 3) n;
         INSERT INTO messages (organization_id, id, conversation_id, seq, sender_id, body)
           SELECT o.id, gen_random_uuid(), gen_random_uuid(), n, gen_random_uuid(), CASE WHEN n = 1 THEN '' ELSE 'said' END
           FROM organizations o, generate_series(1, 2) n",
    )
    .await;
    let (outside, _driver) = Address::parse(&above).unwrap().connect().await.unwrap();
    let kinds = async || {
        texts(&outside, "SELECT concat_ws(' ', kind, body, count(*)) FROM messages GROUP BY kind, body", &[]).await
    };
    for (file, told) in [("up.sql", ["file  3", "text said 3"]), ("down.sql", ["text  3", "text said 3"])] {
        run(&client, &all()[place], file).await;
        assert_eq!(kinds().await, BTreeSet::from(told.map(str::to_owned)), "{file}");
    }
    postgres.stop().await;
}
