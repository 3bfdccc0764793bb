//! Nodes and readers as plain state, under thousands of seeded histories. Hints and publishes are lost, doubled and
//! overtaken; readers and whole nodes stall; the database answers late; nodes and clients crash, and clients come back to
//! any node; retention cuts; the database is put back to an earlier state, again and again. Whatever happens, a reader
//! sees each event once and in order from where it started, or is told to start afresh when, and only when, it has to be.
//!
//! Some hundred seeds by default; `STOA_PROOF=1` makes it 10 000, and `STOA_PROOF_SEED` one.

mod judge;
mod world;

use std::ops::Range;
use world::World;

/// What may happen beside accidents on the way.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Calamities {
    No,
    /// What is in the log may be gone: cut by retention, or by a database that was put back.
    Gone,
}

#[derive(Debug, Default)]
pub(super) struct Counts {
    pub events: usize,
    pub resyncs: usize,
    pub crashes: usize,
    pub restores: usize,
}

/// How long a history is.
const TURNS: usize = 500;

fn seeds(short: u64) -> Range<u64> {
    let seed = std::env::var("STOA_PROOF_SEED").ok().and_then(|seed| seed.parse().ok());
    match seed {
        Some(seed) => seed..seed + 1,
        None if std::env::var("STOA_PROOF").is_ok_and(|value| value != "0") => 0..10_000,
        None => 0..short,
    }
}

fn simulate(seeds: Range<u64>, calamities: Calamities) -> Counts {
    let mut all = Counts::default();
    for seed in seeds.clone() {
        let counts = std::panic::catch_unwind(|| {
            let mut world = World::new(seed, calamities);
            (0..TURNS).for_each(|_| world.turn());
            world.settle();
            world.judge()
        });
        let counts = counts.unwrap_or_else(|_| panic!("STOA_PROOF_SEED={seed}"));
        all.events += counts.events;
        all.resyncs += counts.resyncs;
        all.crashes += counts.crashes;
        all.restores += counts.restores;
    }
    println!("{} histories of hub and resume: {all:?}", seeds.end - seeds.start);
    all
}

#[test]
fn every_reader_sees_every_event_once_and_in_order() {
    let seeds = seeds(500);
    let many = seeds.end - seeds.start;
    let counts = simulate(seeds, Calamities::No);
    assert_eq!(counts.resyncs, 0);
    assert!(counts.events as u64 > 50 * many && counts.crashes as u64 >= many, "{counts:?} is no test");
}

#[test]
fn what_is_gone_is_said_and_never_skipped() {
    let seeds = seeds(500);
    let many = seeds.end - seeds.start;
    let counts = simulate(seeds, Calamities::Gone);
    assert!(counts.resyncs as u64 >= many && counts.restores as u64 >= many, "{counts:?} is no test");
}
