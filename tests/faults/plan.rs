//! How large a proof is, and what is killed when. Invariant: a seed decides the whole schedule, and is said, so that what
//! has failed once can be tried again.

use rand::{RngExt, SeedableRng, rngs::StdRng, seq::SliceRandom};
use std::time::Duration;

/// Whether to do all of it (`make proof`), and not only a little of each.
pub fn whole() -> bool {
    std::env::var("STOA_PROOF").is_ok_and(|value| value != "0")
}

/// A size of the proof: `STOA_PROOF_` and its name, else the one for a short or for a whole proof.
pub fn size(name: &str, short: usize, long: usize) -> usize {
    match std::env::var(format!("STOA_PROOF_{name}")) {
        Ok(size) => size.parse().unwrap_or_else(|_| panic!("STOA_PROOF_{name} is no number: {size}")),
        Err(_) if whole() => long,
        Err(_) => short,
    }
}

/// `STOA_PROOF_SEED`, or another one each time.
pub fn seed(of: &str) -> u64 {
    let given = std::env::var("STOA_PROOF_SEED").map(|seed| seed.parse().expect("STOA_PROOF_SEED is a number"));
    let seed = given.unwrap_or_else(|_| rand::rng().random());
    println!("{of}: STOA_PROOF_SEED={seed} does the same again");
    seed
}

/// What is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Victim {
    Node(usize),
    Postgres,
    Redis,
}

/// Some of it, at once, after so many acknowledged sends; back again after a while.
#[derive(Debug)]
pub struct Blow {
    pub after: usize,
    pub victims: Vec<Victim>,
    pub down: Duration,
}

/// Kills among so many sends: each kind of victim as often as the others, in any order, one time in four two of them at
/// once.
pub fn blows(seed: u64, kills: usize, sends: usize, nodes: usize, redis: bool) -> Vec<Blow> {
    let mut rng = StdRng::seed_from_u64(seed);
    let kinds = if redis { 3 } else { 2 };
    let mut victims: Vec<Victim> = (0..kills)
        .map(|kill| match kill % kinds {
            0 => Victim::Node(rng.random_range(0..nodes)),
            1 => Victim::Postgres,
            _ => Victim::Redis,
        })
        .collect();
    victims.shuffle(&mut rng);
    let mut blows = Vec::new();
    while let Some(victim) = victims.pop() {
        let mut together = vec![victim];
        if let Some(other) = victims.pop_if(|other| *other != victim && rng.random_range(0..4) == 0) {
            together.push(other);
        }
        let down = Duration::from_millis(rng.random_range(0..1500));
        blows.push(Blow { after: rng.random_range(sends / 20..sends * 9 / 10), victims: together, down });
    }
    blows.sort_by_key(|blow| blow.after);
    blows
}

#[test]
fn a_seed_decides_what_is_killed_when() {
    let schedule = |seed| format!("{:?}", blows(seed, 50, 100_000, 2, true));
    assert_eq!(schedule(7), schedule(7));
    assert_ne!(schedule(7), schedule(8));
    let all: Vec<Victim> = blows(7, 50, 100_000, 2, true).into_iter().flat_map(|blow| blow.victims).collect();
    let of = |kind: fn(&Victim) -> bool| all.iter().filter(|victim| kind(victim)).count();
    let each = [of(|v| matches!(v, Victim::Node(_))), of(|v| *v == Victim::Postgres), of(|v| *v == Victim::Redis)];
    assert_eq!(each, [17, 17, 16]);
    assert!(all.contains(&Victim::Node(0)) && all.contains(&Victim::Node(1)));
}
