//! Tail and readers as plain state, under thousands of seeded histories: publishes are lost, doubled and
//! overtaken, readers stall, the database answers late, retention cuts, a restore takes events back. Whatever
//! happens, a reader sees each event once and in order from where it started, or is told to start afresh when, and
//! only when, it has to be.

use super::{super::*, event};
use crate::events::{
    resume::{Reader, Step},
    tail::{Gap, Head, Need, Tail},
};
use parking_lot::Mutex;
use rand::{RngExt, SeedableRng, rngs::StdRng};

const RING: usize = 8;
const QUEUE: usize = 3;

/// A question to the database: answered with what it holds at some moment between asking and hearing.
struct Query<T> {
    what: T,
    answer: Option<Vec<Arc<Event>>>,
}

struct Watcher {
    reader: Reader,
    start: Cursor,
    seen: Vec<Arc<Event>>,
    resynced: bool,
    query: Option<Query<Cursor>>,
    /// Steps once in so many turns.
    laziness: u32,
}

struct World {
    rng: StdRng,
    stream: StreamId,
    log: Vec<Arc<Event>>,
    floor: i64,
    restored: bool,
    /// Retention cut what the tail had not heard of yet; the tail then resyncs everybody.
    cut_short: bool,
    tail: Mutex<Tail>,
    started: bool,
    publishes: Vec<Arc<Event>>,
    gap: Option<Query<Gap>>,
    sweep: Option<(i64, Head)>,
    watchers: Vec<Watcher>,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let stream = StreamId { organization: Uuid::from_u128(rng.random()), stream: Uuid::from_u128(rng.random()) };
        let mut world = World {
            rng,
            stream,
            log: Vec::new(),
            floor: 0,
            restored: false,
            cut_short: false,
            tail: Mutex::new(Tail::new(stream, RING)),
            started: false,
            publishes: Vec::new(),
            gap: None,
            sweep: None,
            watchers: Vec::new(),
        };
        for _ in 0..world.rng.random_range(0..30) {
            world.commit();
        }
        world.publishes.clear();
        world
    }

    fn one_in(&mut self, n: u32) -> bool {
        self.rng.random_range(0..n) == 0
    }

    fn head(&self) -> i64 {
        self.log.len() as i64
    }

    fn commit(&mut self) {
        let event = event(self.stream, self.head() + 1, Uuid::from_u128(self.rng.random()));
        self.log.push(event.clone());
        // A writer may die between commit and publish. After a restore the sweep alone could not tell.
        if self.restored || !self.one_in(8) {
            self.publishes.push(event.clone());
        }
        if self.one_in(8) {
            self.publishes.push(event);
        }
    }

    fn page(&self, from: i64, limit: usize) -> Vec<Arc<Event>> {
        self.log.iter().filter(|e| e.seq >= from && e.seq > self.floor).take(limit).cloned().collect()
    }

    fn cursor(&self, seq: i64) -> Cursor {
        if seq == 0 { Cursor::origin(self.stream) } else { self.log[seq as usize - 1].cursor() }
    }

    fn start(&mut self) {
        if !self.started {
            let newest = self.page(self.head() - 3, usize::MAX);
            self.tail.lock().start(newest);
            self.started = true;
        }
    }

    fn watch(&mut self) {
        self.start();
        let (reader, start) = if self.one_in(3) {
            let tail = self.tail.lock();
            (Reader::live(&tail, QUEUE), tail.last())
        } else {
            let seq = self.rng.random_range(0..=self.head());
            (Reader::resume(self.cursor(seq), QUEUE), self.cursor(seq))
        };
        let laziness = if self.one_in(3) { 40 } else { 1 };
        self.watchers.push(Watcher { reader, start, seen: Vec::new(), resynced: false, query: None, laziness });
    }

    fn fill_gap(&mut self) {
        if let Some(Query { what: gap, answer }) = self.gap.take() {
            let page = answer.unwrap_or_else(|| self.page(gap.after.seq, 5));
            let whole = page.len() < 5;
            self.tail.lock().fill(gap, page, whole);
        } else if let Need::Gap(gap) = { self.tail.lock().need() } {
            let answer = self.one_in(2).then(|| self.page(gap.after.seq, 5));
            self.gap = Some(Query { what: gap, answer });
        }
    }

    fn sweep(&mut self) {
        match self.sweep.take() {
            Some((before, head)) => self.tail.lock().compare(before, head),
            None => {
                let head = Head { seq: self.head(), id: self.log.last().map(|event| event.id) };
                self.sweep = Some((self.tail.lock().last().seq, head));
            }
        }
    }

    /// Moves one watcher; false: it waits or is done.
    fn step(&mut self, at: usize) -> bool {
        let mut watcher = self.watchers.remove(at);
        let mut went = true;
        if watcher.resynced {
            went = false;
        } else if let Some(Query { what: from, answer }) = watcher.query.take() {
            let page = answer.unwrap_or_else(|| self.page(from.seq, QUEUE + 1));
            match watcher.reader.fill(page) {
                Some(seen) => self.tail.lock().hint(seen),
                None => watcher.resynced = true,
            }
        } else {
            match watcher.reader.step(&self.tail) {
                Step::Deliver(event) => watcher.seen.push(event),
                Step::Wait => went = false,
                Step::Read(from) => {
                    let answer = self.one_in(2).then(|| self.page(from.seq, QUEUE + 1));
                    watcher.query = Some(Query { what: from, answer });
                }
                Step::Resync => watcher.resynced = true,
            }
        }
        self.watchers.insert(at, watcher);
        went
    }

    fn turn(&mut self, calamities: bool) {
        match self.rng.random_range(0..100) {
            0..20 => self.commit(),
            20..45 if !self.publishes.is_empty() => {
                // Mostly in order.
                let most = if self.one_in(3) { self.publishes.len() } else { 1 };
                let event = self.publishes.remove(self.rng.random_range(0..most));
                self.tail.lock().offer(event);
            }
            45..48 => {
                let bogus = if self.one_in(5) { 3 } else { 0 };
                self.tail.lock().hint(self.head() + bogus);
            }
            48..58 if self.started => self.fill_gap(),
            58..62 if self.started => self.sweep(),
            62..65 if self.watchers.len() < 6 => self.watch(),
            65..99 if !self.watchers.is_empty() => {
                let at = self.rng.random_range(0..self.watchers.len());
                let lazy = self.watchers[at].laziness;
                if lazy == 1 || self.one_in(lazy) {
                    self.step(at);
                }
            }
            99 if calamities && self.head() > 0 => {
                if self.one_in(2) {
                    self.floor = self.rng.random_range(self.floor..self.head().max(self.floor + 1));
                    self.cut_short |= self.floor >= self.tail.lock().last().seq;
                } else if !self.restored && self.started {
                    // Back by less than the ring holds, which is what a tail can find out by itself.
                    let back = self.rng.random_range(1..=RING / 2).min(self.log.len() - self.floor as usize);
                    self.log.truncate(self.log.len() - back);
                    self.restored = true;
                    self.publishes.clear();
                    (self.gap, self.sweep) = (None, None);
                    self.watchers.iter_mut().for_each(|watcher| watcher.query = None);
                }
            }
            _ => {}
        }
    }

    /// Everything that is under way arrives, the sweep comes round, everybody reads.
    fn settle(&mut self) {
        self.start();
        while let Some(event) = self.publishes.pop() {
            self.tail.lock().offer(event);
        }
        for _ in 0..3 {
            self.sweep();
            self.sweep();
            for turn in 0.. {
                assert!(turn < 10_000, "the gap never closes");
                self.fill_gap();
                if self.gap.is_none() && !matches!(self.tail.lock().need(), Need::Gap(_)) {
                    break;
                }
            }
            for at in 0..self.watchers.len() {
                assert!((0..10_000).any(|_| !self.step(at)), "a reader goes round in circles");
            }
        }
    }

    fn judge(&self) -> Counts {
        let mut counts = Counts::default();
        for watcher in &self.watchers {
            let mut expected = watcher.start.seq;
            for event in &watcher.seen {
                expected += 1;
                assert_eq!(event.seq, expected, "a gap or a repeat");
                if !self.restored {
                    assert_eq!(event.id, self.log[expected as usize - 1].id);
                }
            }
            counts.events += watcher.seen.len();
            if watcher.resynced {
                counts.resyncs += 1;
                let due = self.restored || self.cut_short || expected <= self.floor;
                assert!(due, "told to resync for nothing at {expected}");
            } else {
                assert_eq!(expected, self.head(), "not everything was seen");
                assert!(watcher.seen.iter().all(|e| e.id == self.log[e.seq as usize - 1].id), "saw what is gone");
            }
        }
        counts
    }
}

#[derive(Default)]
struct Counts {
    events: usize,
    resyncs: usize,
}

fn simulate(seeds: std::ops::Range<u64>, calamities: bool) -> Counts {
    let mut all = Counts::default();
    for seed in seeds {
        let counts = std::panic::catch_unwind(|| {
            let mut world = World::new(seed);
            for _ in 0..400 {
                world.turn(calamities);
            }
            world.settle();
            world.judge()
        });
        let counts = counts.unwrap_or_else(|_| panic!("seed {seed}"));
        all.events += counts.events;
        all.resyncs += counts.resyncs;
    }
    all
}

#[test]
fn every_reader_sees_every_event_once_and_in_order() {
    let counts = simulate(0..5_000, false);
    assert_eq!(counts.resyncs, 0);
    assert!(counts.events > 100_000, "{} events are no test", counts.events);
}

#[test]
fn what_is_gone_is_said_and_never_skipped() {
    let counts = simulate(0..5_000, true);
    assert!(counts.resyncs > 1_000, "{} resyncs are no test", counts.resyncs);
}
