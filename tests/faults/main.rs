//! The real program, killed and cut off while people talk: one node with the PostgreSQL that it started (here), and two
//! that share one (`kills`, `cut`, `restore`, `removal`). Invariant: what was acknowledged is there, once, and every
//! subscriber that comes back with its last cursor has the one order that the table has.
//!
//! Short by default; `STOA_PROOF=1` does all of it. `STOA_PROOF_SEED` repeats a schedule; `STOA_PROOF_SENDS` and the other
//! sizes are in `plan::size`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod cluster;
mod cut;
mod kills;
#[path = "../api/messaging/live.rs"]
mod live;
mod plan;
#[allow(dead_code, reason = "words for whichever test needs them")]
mod program;
#[path = "../api/kit/redis.rs"]
#[allow(dead_code, reason = "the tests of the API use more of it")]
mod redis;
mod relay;
mod removal;
mod restore;
mod talk;

use program::Program;
use rand::RngExt;
use std::{slice, time::Duration};
use talk::{Crowd, Failure, Progress, Report, talk_through};
use tokio::sync::Mutex;

/// One at a time: each looks at the clock, and has both cores for itself.
static ALONE: Mutex<()> = Mutex::const_new(());

/// Rounds, and messages in each.
fn extent() -> (usize, usize) {
    if plan::whole() { (5, 2000) } else { (1, 240) }
}

/// Eight clients send, three read, and something happens to their one node in between.
async fn disturbed(program: &Program, count: usize, calamity: impl Fn(&Program)) -> Report {
    let at = rand::rng().random_range(count / 5..count * 4 / 5);
    let crowd = Crowd { talks: 1, senders: 8, readers: 3, messages: count };
    let (tokens, seed) = ([program.token.as_str()], rand::rng().random());
    let calamity = async |progress: &Progress| {
        progress.reach(at).await;
        calamity(program);
    };
    let report = talk_through(slice::from_ref(program), &tokens, &[], &crowd, seed, calamity).await;
    assert!(report.is_sound(), "{report:?}");
    report
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_program_is_killed_while_people_talk() {
    let _alone = ALONE.lock().await;
    let (rounds, count) = extent();
    let program = Program::start().await;
    for _ in 0..rounds {
        disturbed(&program, count, |program| {
            program.kill();
            program.restart();
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_database_is_killed_while_people_talk() {
    let _alone = ALONE.lock().await;
    let (rounds, count) = extent();
    let program = Program::start().await;
    let mut refused = 0;
    for _ in 0..rounds {
        let report = disturbed(&program, count, Program::kill_postgres).await;
        for Failure { status, after } in &report.failures {
            // A second for the answer; the rest is for two cores that everybody uses at once.
            assert!(*after < Duration::from_millis(2500), "told after {after:?}");
            assert_eq!(*status, 503);
        }
        refused += report.failures.len();
    }
    assert!(refused > 0, "nobody noticed that the database was away");
}
