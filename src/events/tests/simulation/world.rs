//! One history: a log, nodes with a tail each, and whoever reads there.

use super::{super::event, Calamities, Counts};
use crate::events::{
    Cursor, Event, StreamId,
    resume::{Reader, Step},
    tail::{Gap, Head, Need, Tail},
};
use parking_lot::Mutex;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use std::{cell::Cell, rc::Rc, sync::Arc};
use uuid::Uuid;

const RING: usize = 8;
pub(super) const QUEUE: usize = 3;
const PAGE: usize = 5;
pub(super) const NODES: usize = 3;
const WATCHERS: usize = 8;

type Page = Vec<Arc<Event>>;

/// A question to the database: answered with what it holds at some moment between asking and hearing.
pub(super) struct Query<T> {
    what: T,
    answer: Option<Page>,
}

/// A tail, and who may be sent away from it for nothing: it stood where the log is gone, or is about to hear of that.
pub(super) struct Live {
    pub(super) tail: Mutex<Tail>,
    started: Cell<bool>,
    pub(super) excused: Cell<bool>,
    /// The highest number that it was ever told.
    told: Cell<i64>,
}

pub(super) struct Node {
    pub(super) live: Rc<Live>,
    /// Which start of the database server it knows.
    pub(super) server: u64,
    /// Its own commits, on their way to its tail.
    pub(super) publishes: Page,
    /// What other nodes said, on its way here.
    hints: Vec<i64>,
    pub(super) gap: Option<Query<Gap>>,
    sweep: Option<(Rc<Live>, i64, Head)>,
    /// Turns in which it does nothing.
    asleep: u32,
}

pub(super) struct Watcher {
    pub(super) node: usize,
    pub(super) live: Rc<Live>,
    pub(super) reader: Reader,
    pub(super) start: Cursor,
    pub(super) seen: Page,
    pub(super) resynced: bool,
    pub(super) query: Option<Query<Cursor>>,
    /// Steps once in so many turns.
    pub(super) laziness: u32,
}

pub struct World {
    rng: StdRng,
    calamities: Calamities,
    pub(super) stream: StreamId,
    log: Page,
    /// All that was ever committed.
    pub(super) ever: Page,
    pub(super) floor: i64,
    /// How often the database server has started.
    pub(super) server: u64,
    pub(super) nodes: Vec<Node>,
    pub(super) watchers: Vec<Watcher>,
    pub(super) counts: Counts,
}

impl World {
    pub fn new(seed: u64, calamities: Calamities) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let stream = StreamId { organization: Uuid::from_u128(rng.random()), stream: Uuid::from_u128(rng.random()) };
        let nodes = (0..NODES).map(|_| Node::new(stream, 0)).collect();
        let mut world = World {
            rng,
            calamities,
            stream,
            log: Vec::new(),
            ever: Vec::new(),
            floor: 0,
            server: 0,
            nodes,
            watchers: Vec::new(),
            counts: Counts::default(),
        };
        for _ in 0..world.rng.random_range(0..30) {
            world.commit(0);
        }
        world.nodes.iter_mut().for_each(|node| (node.publishes, node.hints) = Default::default());
        world
    }

    fn one_in(&mut self, n: u32) -> bool {
        self.rng.random_range(0..n) == 0
    }

    pub(super) fn head(&self) -> i64 {
        self.log.len() as i64
    }

    pub(super) fn place_of(&self, seq: i64) -> Cursor {
        if seq == 0 { Cursor::origin(self.stream) } else { self.log[seq as usize - 1].cursor() }
    }

    /// Whether somebody can go on from there.
    pub(super) fn holds(&self, place: Cursor) -> bool {
        let kept = place.seq > self.floor || place.seq == 0 && self.floor == 0;
        kept && place.seq <= self.head() && place == self.place_of(place.seq)
    }

    fn page(&self, from: i64, limit: usize) -> Page {
        self.log.iter().filter(|event| event.seq >= from && event.seq > self.floor).take(limit).cloned().collect()
    }

    /// Now, or when it is heard.
    fn ask<T>(&mut self, what: T, from: i64, limit: usize) -> Query<T> {
        let answer = self.one_in(2).then(|| self.page(from, limit));
        Query { what, answer }
    }

    /// A node commits. It may die, or be slow, before it says so; the others hear of it, or not.
    fn commit(&mut self, at: usize) {
        let event = event(self.stream, self.head() + 1, Uuid::from_u128(self.rng.random()));
        self.log.push(event.clone());
        self.ever.push(event.clone());
        for _ in 0..[0, 1, 1, 1, 1, 1, 1, 2][self.rng.random_range(0..8)] {
            self.nodes[at].publishes.push(event.clone());
        }
        for other in (0..NODES).filter(|other| *other != at) {
            for _ in 0..[0, 0, 1, 1, 1, 1, 1, 2][self.rng.random_range(0..8)] {
                self.nodes[other].hints.push(event.seq);
            }
        }
    }

    /// As `Hub::publish`: a node that commits has a connection to the server that runs, and so knows which one that is.
    pub(super) fn publish(&mut self, at: usize, event: Arc<Event>) {
        self.notice(at);
        let node = &self.nodes[at];
        node.live.told.set(node.live.told.get().max(event.seq));
        node.live.tail.lock().offer(event);
    }

    fn notice(&mut self, at: usize) {
        let node = &mut self.nodes[at];
        if node.server != self.server {
            node.server = self.server;
            node.live.tail.lock().doubt();
        }
    }

    /// The tail of a node, begun by whoever comes first; a new one where the last was found broken.
    pub(super) fn join(&mut self, at: usize) -> Rc<Live> {
        let newest = self.page(self.head() - 3, usize::MAX);
        // Whoever begins a tail has asked the database, and so knows the server; others may have found all in memory.
        if !self.nodes[at].live.started.get() || self.one_in(2) {
            self.notice(at);
        }
        let by_head = self.one_in(3);
        let node = &mut self.nodes[at];
        if node.live.tail.lock().need() == Need::Burial {
            *node = Node { publishes: std::mem::take(&mut node.publishes), ..Node::new(self.stream, self.server) };
        }
        if !node.live.started.replace(true) {
            node.live.told.set(node.live.told.get().max(newest.last().map_or(0, |event| event.seq)));
            let mut tail = node.live.tail.lock();
            if by_head {
                tail.begin(
                    self.stream,
                    newest.last().map_or(Head::default(), |event| Head { seq: event.seq, id: Some(event.id) }),
                );
            } else {
                tail.start(newest);
            }
        }
        node.live.clone()
    }

    fn watch(&mut self) {
        let node = self.rng.random_range(0..NODES);
        let live = self.join(node);
        let (reader, start) = if self.one_in(3) {
            let tail = live.tail.lock();
            (Reader::live(&tail, QUEUE), tail.last())
        } else {
            let seq = self.rng.random_range(0..=self.head());
            let start = self.place_of(seq);
            (Reader::resume(start, QUEUE), start)
        };
        let laziness = if self.one_in(3) { 40 } else { 1 };
        self.watchers.push(Watcher {
            node,
            live,
            reader,
            start,
            seen: Vec::new(),
            resynced: false,
            query: None,
            laziness,
        });
    }

    /// A client comes back, to any node, with the last cursor that it has.
    fn come_back(&mut self, at: usize) {
        let node = self.rng.random_range(0..NODES);
        let live = self.join(node);
        let watcher = &mut self.watchers[at];
        let place = watcher.place();
        (watcher.node, watcher.live, watcher.reader, watcher.query) = (node, live, Reader::resume(place, QUEUE), None);
    }

    /// A node ends without a word and starts anew; whoever was with it comes back.
    fn crash(&mut self, at: usize) {
        self.counts.crashes += 1;
        self.nodes[at] = Node::new(self.stream, self.server);
        for number in 0..self.watchers.len() {
            if self.watchers[number].node == at && !self.watchers[number].resynced {
                self.come_back(number);
            }
        }
    }

    pub(super) fn fill_gap(&mut self, at: usize) {
        if let Some(Query { what: gap, answer }) = self.nodes[at].gap.take() {
            let page = answer.unwrap_or_else(|| self.page(gap.after.seq, PAGE));
            let (whole, live) = (page.len() < PAGE, &self.nodes[at].live);
            live.told.set(page.last().map_or(0, |event| event.seq).max(live.told.get()));
            live.tail.lock().fill(gap, page, whole);
        } else if let Need::Gap(gap) = { self.nodes[at].live.tail.lock().need() } {
            let query = self.ask(gap, gap.after.seq, PAGE);
            self.nodes[at].gap = Some(query);
        }
    }

    pub(super) fn sweep(&mut self, at: usize) {
        match self.nodes[at].sweep.take() {
            Some((live, before, head)) => live.tail.lock().compare(before, head),
            None => {
                let head = Head { seq: self.head(), id: self.log.last().map(|event| event.id) };
                let live = self.nodes[at].live.clone();
                let before = live.tail.lock().last().seq;
                self.nodes[at].sweep = Some((live, before, head));
            }
        }
    }

    /// Moves one watcher; false: it waits or is done.
    pub(super) fn step(&mut self, at: usize) -> bool {
        let mut watcher = self.watchers.remove(at);
        let mut went = true;
        if watcher.resynced {
            went = false;
        } else if let Some(Query { what: from, answer }) = watcher.query.take() {
            let page = answer.unwrap_or_else(|| self.page(from.seq, QUEUE + 1));
            match watcher.reader.fill(page) {
                Some(seen) => watcher.live.tail.lock().hint(seen),
                None => watcher.resynced = true,
            }
        } else {
            match watcher.reader.step(&watcher.live.tail) {
                Step::Deliver(event) => watcher.seen.push(event),
                Step::Wait => went = false,
                Step::Read(from) => watcher.query = Some(self.ask(from, from.seq, QUEUE + 1)),
                Step::Resync => watcher.resynced = true,
            }
        }
        self.watchers.insert(at, watcher);
        went
    }

    pub fn turn(&mut self) {
        let at = self.rng.random_range(0..NODES);
        if self.nodes[at].asleep > 0 {
            self.nodes[at].asleep -= 1;
            return;
        }
        let node = &self.nodes[at];
        let (busy, started) = (!node.publishes.is_empty(), node.live.started.get());
        match self.rng.random_range(0..200) {
            0..40 => self.commit(at),
            40..80 if busy => {
                // Mostly in order.
                let most = if self.one_in(3) { self.nodes[at].publishes.len() } else { 1 };
                let next = self.rng.random_range(0..most);
                let event = self.nodes[at].publishes.remove(next);
                self.publish(at, event);
            }
            80..94 if !self.nodes[at].hints.is_empty() => {
                let next = self.rng.random_range(0..self.nodes[at].hints.len());
                let seq = self.nodes[at].hints.remove(next);
                let bogus = if self.one_in(20) { 3 } else { 0 };
                self.nodes[at].live.tail.lock().hint(seq + bogus);
            }
            94..112 if started => self.fill_gap(at),
            112..120 if started => self.sweep(at),
            120..126 if self.watchers.iter().filter(|watcher| !watcher.resynced).count() < WATCHERS => self.watch(),
            126..192 if !self.watchers.is_empty() => {
                let at = self.rng.random_range(0..self.watchers.len());
                let lazy = self.watchers[at].laziness;
                if lazy == 1 || self.one_in(lazy) {
                    self.step(at);
                }
            }
            192..194 => self.nodes[at].asleep = self.rng.random_range(0..30),
            194 => self.crash(at),
            195..197 if !self.watchers.is_empty() => {
                let at = self.rng.random_range(0..self.watchers.len());
                if !self.watchers[at].resynced {
                    self.come_back(at);
                }
            }
            197 if self.calamities == Calamities::Gone => self.cut(),
            198..200 if self.calamities == Calamities::Gone => self.put_back(),
            _ => {}
        }
    }

    /// Retention.
    fn cut(&mut self) {
        self.floor = self.rng.random_range(self.floor..self.head().max(self.floor + 1));
        for node in self.nodes.iter().filter(|node| node.live.tail.lock().last().seq <= self.floor) {
            node.live.excused.set(true);
        }
    }

    /// A failover that loses the newest, or a restore that loses much. A server takes longer to start than a publish to arrive;
    /// whatever else is under way arrives later.
    fn put_back(&mut self) {
        // Retention leaves an event, so that who comes from the beginning finds a gap before it.
        let most = self.log.len().saturating_sub(self.floor as usize + usize::from(self.floor > 0));
        let back = if self.one_in(2) { most.min(3) } else { most };
        if back == 0 {
            return;
        }
        self.counts.restores += 1;
        self.log.truncate(self.log.len() - self.rng.random_range(1..=back));
        self.server += 1;
        let head = self.head();
        for node in &mut self.nodes {
            node.publishes.clear();
            let answer = node.gap.iter().filter_map(|gap| gap.answer.as_ref()).flatten();
            let newest = answer.map(|event| event.seq).max();
            if node.live.told.get().max(newest.unwrap_or_default()) > head {
                node.live.excused.set(true);
            }
            if let Some((live, _, swept)) = &node.sweep
                && swept.seq > head
            {
                live.excused.set(true);
            }
        }
    }
}

impl Node {
    pub(super) fn new(stream: StreamId, server: u64) -> Self {
        let live = Live {
            tail: Mutex::new(Tail::new(stream, RING)),
            started: Cell::new(false),
            excused: Cell::new(false),
            told: Cell::new(0),
        };
        Node {
            live: Rc::new(live),
            server,
            publishes: Vec::new(),
            hints: Vec::new(),
            gap: None,
            sweep: None,
            asleep: 0,
        }
    }
}

impl Watcher {
    /// Behind what it has seen.
    pub(super) fn place(&self) -> Cursor {
        self.seen.last().map_or(self.start, |event| event.cursor())
    }
}
