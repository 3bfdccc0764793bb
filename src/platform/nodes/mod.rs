//! The other nodes of this installation: what one of them says, all others hear within moments, or never. Two ways lead
//! there, PostgreSQL's NOTIFY and Redis; both do the same, and a node that is alone says nothing. Invariant: nothing
//! depends on what is said. Whoever may have missed something is told so (`Heard::Gap`) and looks in the database; and
//! whoever speaks never waits for a wire.

mod frame;
mod postgres;
mod redis;
#[cfg(test)]
mod tests;

pub use self::redis::Redis;

use crate::platform::database::address::Address;
use futures_util::future::BoxFuture;
use metrics::{Counter, Gauge, counter, gauge};
use parking_lot::Mutex;
use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::{Notify, broadcast, mpsc},
    time::{Instant, MissedTickBehavior, interval, sleep, timeout},
};
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

/// How often a node says that it is there, also to nobody: one small message.
const ANNOUNCE: Duration = Duration::from_secs(10);
/// A node that has said nothing for so long is gone: two messages may be lost.
const SILENT: Duration = Duration::from_secs(32);
/// Nodes that are known at most, so that nobody fills memory with made-up ones.
const MOST_NODES: usize = 1024;
/// How long a wire may take to open, and a frame to be taken.
const OPEN: Duration = Duration::from_secs(5);
const SEND: Duration = Duration::from_secs(5);
/// Between attempts to open a wire, doubled at each.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// Frames that wait to be sent; with 5 900 bytes each, 1.5 MB.
const QUEUE: usize = 256;
/// Frames that wait to be heard by somebody slow.
const HEARING: usize = 1024;

/// The longest body of one message.
pub const MOST_BODY: usize = frame::MOST - frame::HEAD;

/// What a message is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topic {
    /// Streams have grown.
    Hints,
    /// Something has ended that somebody may rely on.
    Endings,
    /// Who is here, and who types.
    Presence,
}

/// What a node hears.
#[derive(Clone, Debug)]
pub enum Heard {
    /// Another node said something. As hostile as anything else from outside.
    Said { from: Uuid, body: Arc<[u8]> },
    /// Something may have been said that was not heard.
    Gap,
}

/// The way to the other nodes. Cheap to clone; its task ends with the last clone.
#[derive(Clone)]
pub struct Nodes {
    shared: Arc<Shared>,
    _task: Arc<AbortOnDropHandle<()>>,
}

struct Shared {
    /// A new one at each start, by which a node knows what it has said itself.
    id: Uuid,
    queue: mpsc::Sender<Vec<u8>>,
    heard: broadcast::Sender<(Option<Topic>, Heard)>,
    /// When each other node was heard last.
    others: Mutex<HashMap<Uuid, Instant>>,
    alone: AtomicBool,
    /// Another node has come and wants to know who is there.
    asked: Notify,
    /// Another node was not known: it has to hear of this one, and what it may have missed of it.
    greet: Notify,
    /// Another node has fallen silent.
    gone: Notify,
    meters: Meters,
}

struct Meters {
    others: Gauge,
    sent: Counter,
    heard: Counter,
    dropped: Counter,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Acquaintance {
    Old,
    New,
}

/// What a wire does with a frame that comes in. Never waits.
type Hear = Arc<dyn Fn(&[u8]) + Send + Sync>;

/// A way that can be opened, again and again.
trait Way: Send + Sync + 'static {
    /// Ready to send and hearing already; an error in words.
    fn open(&self, hear: Hear) -> BoxFuture<'_, Result<Box<dyn Wire>, String>>;
}

/// An open way.
trait Wire: Send {
    /// Says it to all who listen, this node too.
    fn send<'a>(&'a mut self, frame: &'a [u8]) -> BoxFuture<'a, Result<(), String>>;
    /// Ends when nothing more can be heard, with the reason.
    fn broken(&mut self) -> BoxFuture<'_, String>;
}

impl Nodes {
    /// By way of the database: NOTIFY, on a connection of its own. Must be called within a tokio runtime.
    pub fn by_postgres(address: Address) -> Self {
        Self::start(postgres::Postgres::new(address))
    }

    /// By way of Redis.
    pub fn by_redis(redis: Redis) -> Self {
        Self::start(redis)
    }

    fn start(way: impl Way) -> Self {
        let (queue, waiting) = mpsc::channel(QUEUE);
        let shared = Arc::new(Shared {
            id: Uuid::new_v4(),
            queue,
            heard: broadcast::Sender::new(HEARING),
            others: Mutex::default(),
            alone: AtomicBool::new(true),
            asked: Notify::new(),
            greet: Notify::new(),
            gone: Notify::new(),
            meters: Meters {
                others: gauge!("stoa_nodes_others"),
                sent: counter!("stoa_nodes_frames_total", "direction" => "out"),
                heard: counter!("stoa_nodes_frames_total", "direction" => "in"),
                dropped: counter!("stoa_nodes_dropped_total"),
            },
        });
        let task = AbortOnDropHandle::new(tokio::spawn(run(shared.clone(), way, waiting)));
        Nodes { shared, _task: Arc::new(task) }
    }

    /// Whether no other node is there, as far as this one has heard. Nothing that was not said for that is missed: who hears
    /// of a node that it did not know lets it look.
    pub fn alone(&self) -> bool {
        self.shared.alone.load(Ordering::Relaxed)
    }

    /// Says something to all others, in its turn: for tasks that may wait. Nothing when there are none. `body` is at most
    /// `MOST_BODY` bytes.
    pub async fn say(&self, topic: Topic, body: &[u8]) {
        if !self.alone() {
            // Cannot fail as long as the task runs, which it does as long as this is there.
            let _ = self.shared.queue.send(frame::pack(topic.into(), self.shared.id, body)).await;
        }
    }

    /// As `say`, without waiting: what does not fit is dropped.
    pub fn mention(&self, topic: Topic, body: &[u8]) {
        if !self.alone() && self.shared.queue.try_send(frame::pack(topic.into(), self.shared.id, body)).is_err() {
            self.shared.meters.dropped.increment(1);
        }
    }

    /// Counts what the caller had no room for.
    pub fn dropped(&self) {
        self.shared.meters.dropped.increment(1);
    }

    /// Ends when another node has fallen silent, within about forty seconds: what it had begun is nobody's now. One that fell
    /// silent while nobody waited is told at once; for one who waits.
    pub async fn bereaved(&self) {
        self.shared.gone.notified().await;
    }

    /// Hears of a topic from now on.
    pub fn listen(&self, topic: Topic) -> Ear {
        Ear { topic, heard: self.shared.heard.subscribe() }
    }
}

/// Somebody who listens to one topic.
pub struct Ear {
    topic: Topic,
    heard: broadcast::Receiver<(Option<Topic>, Heard)>,
}

impl Ear {
    /// What is heard next; None: the node ends.
    pub async fn hear(&mut self) -> Option<Heard> {
        loop {
            match self.heard.recv().await {
                Ok((topic, heard)) if topic.is_none_or(|topic| topic == self.topic) => return Some(heard),
                Ok(_) => {}
                Err(broadcast::error::RecvError::Lagged(_)) => return Some(Heard::Gap),
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    }
}

impl Shared {
    /// Takes a frame from the wire; what is none is ignored.
    fn hear(&self, bytes: &[u8]) {
        let Some(frame) = frame::unpack(bytes).filter(|frame| frame.from != self.id) else { return };
        self.meters.heard.increment(1);
        match self.note(frame.from) {
            Some(Acquaintance::Old) if frame.kind == frame::Kind::Came => self.asked.notify_one(),
            Some(Acquaintance::Old) => {}
            Some(Acquaintance::New) => self.greet.notify_one(),
            None => return,
        }
        match frame.kind {
            frame::Kind::Here => {}
            // What it said before, to nobody or while it was cut off, was not heard here.
            frame::Kind::Came => self.gap(),
            frame::Kind::About(topic) => {
                let said = Heard::Said { from: frame.from, body: frame.body.into() };
                // Nobody listens: then it concerns nobody.
                let _ = self.heard.send((Some(topic), said));
            }
        }
    }

    /// Notes that a node is there; None: there is no room for one more.
    fn note(&self, node: Uuid) -> Option<Acquaintance> {
        let mut others = self.others.lock();
        if let Some(last) = others.get_mut(&node) {
            *last = Instant::now();
            return Some(Acquaintance::Old);
        }
        if others.len() >= MOST_NODES {
            return None;
        }
        others.insert(node, Instant::now());
        self.count(&others);
        Some(Acquaintance::New)
    }

    fn forget_silent(&self) {
        let mut others = self.others.lock();
        let before = others.len();
        others.retain(|_, last| last.elapsed() <= SILENT);
        self.count(&others);
        if others.len() < before {
            self.gone.notify_one();
        }
    }

    fn count(&self, others: &HashMap<Uuid, Instant>) {
        self.alone.store(others.is_empty(), Ordering::Relaxed);
        self.meters.others.set(others.len() as f64);
    }

    /// Something may have been missed.
    fn gap(&self) {
        let _ = self.heard.send((None, Heard::Gap));
    }
}

/// Keeps a wire open.
async fn run(shared: Arc<Shared>, way: impl Way, mut waiting: mpsc::Receiver<Vec<u8>>) {
    let (mut pause, mut away) = (FIRST_PAUSE, false);
    loop {
        let hearing = shared.clone();
        let opened = timeout(OPEN, way.open(Arc::new(move |frame: &[u8]| hearing.hear(frame)))).await;
        let why = match opened.unwrap_or_else(|_| Err(format!("no answer within {} s", OPEN.as_secs()))) {
            Ok(mut wire) => {
                if std::mem::take(&mut away) {
                    tracing::info!("other nodes can be reached again");
                }
                pause = FIRST_PAUSE;
                shared.gap();
                carry(&shared, &mut *wire, &mut waiting).await
            }
            Err(why) => why,
        };
        if !std::mem::replace(&mut away, true) {
            tracing::warn!(why, "other nodes cannot be reached; they find out in the database");
        }
        let again = sleep(pause.mul_f64(rand::random_range(0.8..1.2)));
        tokio::pin!(again);
        loop {
            tokio::select! {
                () = &mut again => break,
                // What nobody hears now is of no use later.
                Some(_) = waiting.recv() => shared.meters.dropped.increment(1),
            }
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Sends what waits, in order, until the wire breaks; the reason.
async fn carry(shared: &Shared, wire: &mut dyn Wire, waiting: &mut mpsc::Receiver<Vec<u8>>) -> String {
    let mut announce = interval(ANNOUNCE);
    announce.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut first = frame::Kind::Came;
    loop {
        let frame = tokio::select! {
            biased;
            why = wire.broken() => return why,
            // The first at once, before all that waits: what was dropped until now comes before it, what is said from now
            // on behind.
            _ = announce.tick() => {
                shared.forget_silent();
                frame::pack(std::mem::replace(&mut first, frame::Kind::Here), shared.id, &[])
            }
            () = shared.greet.notified() => frame::pack(frame::Kind::Came, shared.id, &[]),
            () = shared.asked.notified() => frame::pack(frame::Kind::Here, shared.id, &[]),
            Some(frame) = waiting.recv() => frame,
        };
        match timeout(SEND, wire.send(&frame)).await {
            Ok(Ok(())) => shared.meters.sent.increment(1),
            Ok(Err(why)) => return why,
            Err(_) => return format!("no answer within {} s", SEND.as_secs()),
        }
    }
}
