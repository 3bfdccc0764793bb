//! The node's exchange: one tail per stream that somebody watches. Writers hand in what they have committed,
//! without waiting; subscribers pull. Invariant: what a writer does costs the same whoever reads, and a stream
//! that nobody watches costs nothing.

use super::{
    After, Cursor, Event, StreamId,
    bus::{self, Bus, Hints},
    read::{Log, Want},
    resume::Reader,
    subscriber::{Deliveries, Seat, Waiting},
    sweep,
    tail::{Head, Need, Tail},
};
use crate::{
    config::EventConfig,
    error::{Error, Result},
    platform::{
        database::Database,
        nodes::{Nodes, Topic},
    },
};
use metrics::{Counter, Gauge, counter, gauge};
use parking_lot::{Mutex, RwLock};
use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::{Notify, OnceCell},
    time::sleep,
};
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

/// Events that a tail starts with, so that whoever lost the connection for a moment needs no replay from the database. Some KiB
/// for each stream that somebody watches.
const WARM: usize = 4;
/// Events that are read at first of each of many streams.
const FIRST: usize = 16;
/// Streams that are begun to be read together: a flight of that many short queries.
const TOGETHER: usize = 100;

/// The node's exchange: streams with live subscribers, their tails and rings. Its tasks, one that sweeps and one that
/// listens to other nodes, end with the last clone.
#[derive(Clone)]
pub struct Hub {
    pub(super) exchange: Arc<Exchange>,
    _sweeper: Arc<AbortOnDropHandle<()>>,
    _listener: Option<Arc<AbortOnDropHandle<()>>>,
}

/// What is told of committed events.
type Overhear = Box<dyn Fn(&[Arc<Event>]) + Send + Sync>;

pub(super) struct Exchange {
    pub log: Arc<dyn Log>,
    bus: Box<dyn Bus>,
    pub config: EventConfig,
    /// Whoever hears of all that this node has committed.
    overhearing: OnceLock<Overhear>,
    /// Streams with subscribers.
    live: RwLock<HashMap<StreamId, Arc<Live>>>,
    /// Streams of which something is missing: the sweeper reads it.
    pub gaps: Mutex<HashSet<StreamId>>,
    pub gap: Notify,
    /// Hints may have been lost: everything is to be compared now.
    pub missed: Notify,
    /// Whether it was said that the log cannot be read.
    outage: AtomicBool,
    /// The server whose log all tails were read from, or have been doubted since.
    server: AtomicU64,
    pub meters: Meters,
}

/// One stream with subscribers.
pub(super) struct Live {
    pub stream: StreamId,
    pub tail: Mutex<Tail>,
    /// Done once the tail has its head from the log.
    started: OnceCell<()>,
    /// The subscribers who wait for the tail to change.
    pub waiting: Waiting,
    /// Counted under the lock of `Exchange::live`.
    subscribers: AtomicUsize,
}

/// Made with the hub: a metrics recorder has to be there before.
pub(super) struct Meters {
    streams: Gauge,
    subscribers: Gauge,
    pub resyncs: Counter,
    pub gaps: Counter,
}

impl Hub {
    /// Must be called within a tokio runtime.
    pub fn new(config: &EventConfig, database: Database, nodes: &Nodes) -> Self {
        let ear = nodes.listen(Topic::Hints);
        let mut hub = Self::over(config, Arc::new(database), Hints::new(nodes.clone()));
        let listener = tokio::spawn(bus::listen(Arc::downgrade(&hub.exchange), ear));
        hub._listener = Some(Arc::new(AbortOnDropHandle::new(listener)));
        hub
    }

    pub(super) fn over(config: &EventConfig, log: Arc<dyn Log>, bus: impl Bus) -> Self {
        let exchange = Arc::new(Exchange {
            server: AtomicU64::new(log.server()),
            log,
            bus: Box::new(bus),
            config: config.clone(),
            overhearing: OnceLock::new(),
            live: RwLock::default(),
            gaps: Mutex::default(),
            gap: Notify::new(),
            missed: Notify::new(),
            outage: AtomicBool::new(false),
            meters: Meters {
                streams: gauge!("stoa_events_live_streams"),
                subscribers: gauge!("stoa_events_subscribers"),
                resyncs: counter!("stoa_events_resyncs_total"),
                gaps: counter!("stoa_events_gap_reads_total"),
            },
        });
        let sweeper = AbortOnDropHandle::new(tokio::spawn(sweep::run(exchange.clone())));
        Hub { exchange, _sweeper: Arc::new(sweeper), _listener: None }
    }

    /// Hands committed events to this node's subscribers and hints the other nodes. Call it after the commit, in
    /// any order, as soon as possible; it never waits. What is never published arrives with the next sweep.
    pub fn publish(&self, events: Vec<Arc<Event>>) {
        self.exchange.doubt();
        if let Some(overhear) = self.exchange.overhearing.get() {
            overhear(&events);
        }
        for batch in events.chunk_by(|a, b| a.stream_id() == b.stream_id()) {
            let Some(newest) = batch.last() else { continue };
            if let Some(live) = self.exchange.live(newest.stream_id()) {
                self.exchange.touch(&live, |tail| batch.iter().for_each(|event| tail.offer(event.clone())));
            }
            self.exchange.bus.announce(newest.stream_id(), newest.seq);
        }
    }

    /// Has somebody told of all events that this node commits, behind the commit and on the writer's way: it must neither
    /// wait nor hold the hub. The first who asks is told, for as long as the hub lives.
    pub fn overhear(&self, with: impl Fn(&[Arc<Event>]) + Send + Sync + 'static) {
        let _ = self.exchange.overhearing.set(Box::new(with));
    }

    /// Hears from another node that `seq` is committed; reads it if somebody here watches.
    #[cfg(test)]
    pub(super) fn hint(&self, stream: StreamId, seq: i64) {
        self.exchange.hint(stream, seq);
    }

    /// Replay behind `after`, then live: no gap, no repeat. What is committed once this has returned will be
    /// delivered. An event that the database cannot give right now is waited for; only the beginning fails
    /// (SERVICE_UNAVAILABLE, and INVALID_CURSOR for a cursor of another stream).
    pub async fn subscribe(&self, stream: StreamId, after: After) -> Result<Deliveries> {
        if let After::Cursor(cursor) = after {
            cursor.expect(stream)?;
        }
        let exchange = &self.exchange;
        let seat = exchange.join(stream);
        exchange.start(&seat.live).await?;
        let reader = match after {
            After::Now => Reader::live(&seat.live.tail.lock(), exchange.config.queue),
            After::Cursor(cursor) => Reader::resume(cursor, exchange.config.queue),
        };
        Ok(Deliveries::new(seat, reader))
    }

    /// As `subscribe`, of many streams of one organization: what all of them need of the log is read together.
    pub async fn subscribe_all(
        &self,
        organization: Uuid,
        streams: Vec<(Uuid, Cursor)>,
    ) -> Result<Vec<(Uuid, Deliveries)>> {
        let exchange = &self.exchange;
        let mut all = Vec::with_capacity(streams.len());
        for some in streams.chunks(TOGETHER) {
            let mut seats = Vec::with_capacity(some.len());
            for (stream, after) in some {
                let stream = StreamId { organization, stream: *stream };
                after.expect(stream)?;
                seats.push((exchange.join(stream), Reader::resume(*after, exchange.config.queue)));
            }
            exchange.begin(organization, seats.iter().map(|(seat, _)| &seat.live)).await?;
            // What each has missed, as far as it is not in memory: the first of it here, the rest when its turn comes.
            let mut wants = Vec::new();
            let first = all.len();
            for (place, (seat, reader)) in seats.into_iter().enumerate() {
                let stream = seat.live.stream.stream;
                let mut deliveries = Deliveries::new(seat, reader);
                if let Some(from) = deliveries.first() {
                    wants.push((first + place, Want { stream, from: from.seq, limit: FIRST + 1 }));
                }
                all.push((stream, deliveries));
            }
            let pages = exchange.log.pages(organization, wants.iter().map(|(_, want)| *want).collect()).await?;
            for ((place, _), page) in wants.into_iter().zip(pages) {
                if let Some((_, deliveries)) = all.get_mut(place) {
                    deliveries.begin(page);
                }
            }
        }
        Ok(all)
    }
}

impl Exchange {
    pub fn live(&self, stream: StreamId) -> Option<Arc<Live>> {
        self.live.read().get(&stream).cloned()
    }

    /// All streams with subscribers, each with the newest number it has.
    pub fn positions(&self) -> Vec<(StreamId, i64)> {
        self.live.read().values().map(|live| (live.stream, live.tail.lock().last().seq)).collect()
    }

    pub fn hint(&self, stream: StreamId, seq: i64) {
        if let Some(live) = self.live(stream) {
            self.touch(&live, |tail| tail.hint(seq));
        }
    }

    /// Changes a tail and sees to what follows from it.
    pub fn touch(&self, live: &Arc<Live>, change: impl FnOnce(&mut Tail)) {
        let (need, moved) = {
            let mut tail = live.tail.lock();
            let before = tail.sight();
            change(&mut tail);
            (tail.need(), tail.sight().calls(before))
        };
        match need {
            Need::Nothing => {}
            Need::Gap(_) => {
                if self.gaps.lock().insert(live.stream) {
                    self.gap.notify_one();
                }
            }
            Need::Burial => self.bury(&mut self.live.write(), live),
        }
        if moved || need == Need::Burial {
            live.waiting.wake();
        }
    }

    /// After the server was started anew no tail goes on before it has found its last event in the log, which may have gone
    /// back. First all of them, then the note of it: whoever sees that relies on it.
    fn doubt(&self) {
        let server = self.log.server();
        if self.server.load(Ordering::Acquire) != server {
            let all: Vec<_> = self.live.read().values().cloned().collect();
            all.iter().for_each(|live| self.touch(live, Tail::doubt));
            self.server.store(server, Ordering::Release);
        }
    }

    /// Takes a tail out of the exchange: the next subscriber starts with a new one.
    fn bury(&self, streams: &mut HashMap<StreamId, Arc<Live>>, live: &Arc<Live>) {
        if streams.get(&live.stream).is_some_and(|now| Arc::ptr_eq(now, live)) {
            streams.remove(&live.stream);
            self.meters.streams.decrement(1);
        }
    }

    fn join(self: &Arc<Self>, stream: StreamId) -> Seat {
        self.doubt();
        self.meters.subscribers.increment(1);
        let mut streams = self.live.write();
        let live = streams.entry(stream).or_insert_with(|| {
            self.meters.streams.increment(1);
            Arc::new(Live {
                stream,
                tail: Mutex::new(Tail::new(stream, self.config.ring)),
                started: OnceCell::new(),
                waiting: Waiting::default(),
                subscribers: AtomicUsize::new(0),
            })
        });
        live.subscribers.fetch_add(1, Ordering::Relaxed);
        Seat::new(self.clone(), live.clone())
    }

    /// A seat is given back: the last to leave takes the tail away.
    pub fn part(&self, live: &Arc<Live>) {
        self.meters.subscribers.decrement(1);
        let mut streams = self.live.write();
        if live.subscribers.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.bury(&mut streams, live);
        }
    }

    /// Sees to it that a tail knows where the log stands.
    async fn start(&self, live: &Arc<Live>) -> Result<()> {
        let started = live.started.get_or_try_init(async || {
            let newest = self.log.newest(live.stream, WARM).await?;
            self.doubt();
            self.touch(live, |tail| tail.start(newest));
            Ok::<_, Error>(())
        });
        started.await.copied()
    }

    /// As `start`, of many.
    async fn begin<'a>(&self, organization: Uuid, lives: impl Iterator<Item = &'a Arc<Live>>) -> Result<()> {
        let cold: Vec<&Arc<Live>> = lives.filter(|live| !live.started.initialized()).collect();
        let ids = cold.iter().map(|live| live.stream.stream).collect();
        let heads: HashMap<Uuid, Head> = self.log.heads(organization, ids).await?.into_iter().collect();
        self.doubt();
        for live in cold {
            let head = heads.get(&live.stream.stream).copied().unwrap_or_default();
            if head.seq == 0 || head.id.is_some() {
                self.touch(live, |tail| tail.begin(live.stream, head));
                // Somebody else may be about to: then that changes nothing any more.
                let _ = live.started.set(());
            } else {
                self.start(live).await?;
            }
        }
        Ok(())
    }

    /// A page of a stream, asked for until the log answers.
    pub async fn insist(&self, stream: StreamId, from: i64, limit: usize) -> Vec<Arc<Event>> {
        let mut pause = Duration::from_millis(100);
        loop {
            let want = Want { stream: stream.stream, from, limit };
            let pages = self.log.pages(stream.organization, vec![want]).await;
            self.heard(&pages);
            match pages {
                Ok(mut pages) => return pages.pop().unwrap_or_default(),
                Err(_) => sleep(pause.mul_f64(rand::random_range(0.8..1.2))).await,
            }
            pause = (pause * 2).min(Duration::from_secs(5));
        }
    }

    /// Says once that the log cannot be read, and once that it can be again.
    pub fn heard<T>(&self, result: &Result<T>) {
        let failed = result.is_err();
        if self.outage.load(Ordering::Relaxed) != failed && self.outage.swap(failed, Ordering::Relaxed) != failed {
            match result {
                Err(fault) => tracing::warn!(?fault, "the event log cannot be read; subscribers wait"),
                Ok(_) => tracing::info!("the event log can be read again"),
            }
        }
    }
}
