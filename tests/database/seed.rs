//! `stoa seed` from outside: all or nothing, once, and never in production.

use crate::*;
use std::process::{Child, Output};

/// `stoa seed` on that database.
fn seed(url: &str, folder: &Path, more: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_stoa"))
        .args(["seed", "--log", "warn", "--data-dir"])
        .arg(folder.join("stoa"))
        .args(more)
        .env("DATABASE_URL", url)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn said(Output { status, stdout, stderr }: Output) -> (bool, String) {
    (status.success(), String::from_utf8(stdout).unwrap() + &String::from_utf8(stderr).unwrap())
}

/// What a query for one number answers, outside the wall.
async fn number(url: &str, sql: &str) -> i64 {
    let (client, _driver) = Address::parse(url).unwrap().connect().await.unwrap();
    client.query_one(sql, &[]).await.unwrap().get(0)
}

const SEEDED: &str = "Acme and TechStartup are there.";
const NOTHING_TO_DO: &str = "nothing to do";

#[tokio::test(flavor = "multi_thread")]
async fn two_that_seed_at_once_fill_an_empty_database_once() {
    let (postgres, folder) = migrated().await;
    let url = postgres.url();
    let both = [seed(url, folder.path(), &[]), seed(url, folder.path(), &[])];
    let both = both.map(|child| said(child.wait_with_output().unwrap()));
    assert!(both.iter().all(|(done, _)| *done), "{both:?}");
    let with = |words| both.iter().filter(|(_, said)| said.contains(words)).count();
    assert_eq!((with(SEEDED), with(NOTHING_TO_DO)), (1, 1), "{both:?}");

    assert_eq!(number(url, "SELECT count(*) FROM organizations WHERE slug IN ('acme', 'techstartup')").await, 2);
    assert_eq!(number(url, "SELECT count(*) FROM leads").await, 195);
    assert_eq!(number(url, "SELECT count(DISTINCT password_hash) FROM users").await, 1, "hashed once");
    let unfit = "SELECT count(*) FROM conversations c WHERE last_seq <> (SELECT count(*) FROM messages m
        WHERE (m.organization_id, m.conversation_id) = (c.organization_id, c.id) AND m.seq <= c.last_seq)";
    assert_eq!(number(url, unfit).await, 0, "the numbers of messages go on where they end");
    let shown = "SELECT count(*) FROM reactions r JOIN emojis e ON e.organization_id = r.organization_id
        AND r.emoji = ':' || e.name || ':'";
    assert!(number(url, shown).await > 0, "somebody reacts with an emoji of the organization");
    assert_eq!(number(url, "SELECT count(*) FROM emojis").await, 4);
    assert_eq!(number(url, "SELECT count(*) FROM events").await, 0, "the log begins with what somebody does");
    postgres.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_in_use_and_production_are_left_alone() {
    let (postgres, folder) = migrated().await;
    let url = postgres.url();
    let (done, told) = said(seed(url, folder.path(), &["--production"]).wait_with_output().unwrap());
    assert!(!done && told.contains("no demo data in production"), "{told}");
    assert_eq!(number(url, "SELECT count(*) FROM users").await, 0);

    let user = "INSERT INTO users (id, email, full_name) VALUES (gen_random_uuid(), 'ada@example.com', 'Ada')";
    admin(url, user).await;
    let (done, told) = said(seed(url, folder.path(), &[]).wait_with_output().unwrap());
    assert!(done && told.contains(NOTHING_TO_DO), "{told}");
    assert_eq!(number(url, "SELECT count(*) FROM organizations").await, 0);
    postgres.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn half_a_demo_is_none() {
    let (postgres, folder) = migrated().await;
    let url = postgres.url();
    // The second organization cannot be made: its short name is taken.
    admin(url, "INSERT INTO organizations (id, name, slug) VALUES (gen_random_uuid(), 'Other', 'techstartup')").await;
    let (done, told) = said(seed(url, folder.path(), &[]).wait_with_output().unwrap());
    assert!(!done && told.contains("organizations_slug_key"), "{told}");
    assert_eq!(number(url, "SELECT count(*) FROM users").await, 0);
    assert_eq!(number(url, "SELECT count(*) FROM leads").await, 0);
    postgres.stop().await;
}
