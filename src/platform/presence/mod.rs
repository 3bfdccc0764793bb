//! Who is here: members with a connection that answers, on this node or another one; and who types. It is state and no
//! event: kept in memory, told as it is, gone with the process. Invariant: a member is here as long as one of their
//! connections is, and is gone within half a minute when the last one stops answering or its node dies; nothing of it is on
//! the way of a message.
//!
//! Nodes tell each other who is here with them, at once when that changes, and all of it every `presence.renew_ms`; whoever
//! is not told of for `presence.lease_ms` is gone there. What members show of themselves (`store`) is in the database:
//! nodes tell each other only that it has changed, and each reads it once, however many look at it.

mod state;
pub mod store;
#[cfg(test)]
mod tests;
mod told;

pub use state::{Known, Typing};

use crate::{
    config::{PresenceConfig, millis},
    platform::{
        database::Database,
        nodes::{Ear, Heard, Nodes, Topic},
    },
};
use chrono::{DateTime, Utc};
use parking_lot::Mutex;
use state::{State, Times};
use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use store::Stored;
use tokio::{
    sync::{Notify, watch},
    time::{Instant, Interval, MissedTickBehavior, interval, sleep},
};
use tokio_util::task::AbortOnDropHandle;
use told::{Kind, Of};
use uuid::Uuid;

/// How long what is new waits for more to go along.
const GATHER: Duration = Duration::from_millis(50);
/// How often what has ended is looked for at most.
const TICK: Duration = Duration::from_secs(1);
/// Between two messages of those that tell all anew: what others have to say, and what changes, goes in between.
const PACE: Duration = Duration::from_millis(10);
/// How long what could not be read waits for the next try.
const RETRY: Duration = Duration::from_secs(1);

/// Cheap to clone; its tasks end with the last clone.
#[derive(Clone)]
pub struct Presence {
    shared: Arc<Shared>,
    nodes: Nodes,
    _tasks: Arc<[AbortOnDropHandle<()>; 2]>,
}

struct Shared {
    state: Mutex<State>,
    /// There is somebody to tell other nodes of.
    news: Notify,
    /// There is something to read or to write.
    chores: Notify,
}

impl Presence {
    /// `ping` is how often connections are made to answer. Must be called within a tokio runtime.
    pub fn new(config: &PresenceConfig, ping: Duration, database: Database, nodes: &Nodes) -> Self {
        let grace = millis(config.grace_ms);
        let times =
            Times { lease: millis(config.lease_ms), grace, silence: ping + grace, typing: millis(config.typing_ms) };
        let shared =
            Arc::new(Shared { state: Mutex::new(State::new(times)), news: Notify::new(), chores: Notify::new() });
        let telling = Telling { shared: shared.clone(), nodes: nodes.clone(), renew: millis(config.renew_ms) };
        let tell = tokio::spawn(telling.run(nodes.listen(Topic::Presence), (grace / 3).min(TICK)));
        let keep = tokio::spawn(keep(shared.clone(), database));
        let tasks = [tell, keep].map(AbortOnDropHandle::new);
        Presence { shared, nodes: nodes.clone(), _tasks: Arc::new(tasks) }
    }

    /// One more connection of a member.
    pub fn connect(&self, organization: Uuid, member: Uuid) -> Here {
        let mut state = self.shared.state.lock();
        let here = Here { started: state.started, heard: state.connect((organization, member), Instant::now()) };
        drop(state);
        self.shared.news.notify_one();
        self.shared.chores.notify_one();
        here
    }

    pub fn is_here(&self, organization: Uuid, member: Uuid) -> bool {
        self.shared.state.lock().is_here((organization, member))
    }

    /// Rings for whoever follows members of an organization: those that were `learn`ed.
    pub fn follow(&self, organization: Uuid) -> watch::Receiver<()> {
        self.shared.state.lock().follow(organization)
    }

    /// Keeps what was read of members, all whom somebody is to follow, as long as an organization is followed.
    pub fn learn(&self, organization: Uuid, members: &[Uuid], mut read: HashMap<Uuid, Stored>) {
        let all = members.iter().map(|id| (*id, read.remove(id).unwrap_or_default()));
        self.shared.state.lock().learn(organization, all);
    }

    /// What is known of members that are followed.
    pub fn known(&self, organization: Uuid, members: &[Uuid]) -> Vec<(Uuid, Known)> {
        self.shared.state.lock().known(organization, members)
    }

    /// What a member shows has changed, after the commit.
    pub fn changed(&self, organization: Uuid, member: Uuid) {
        self.shared.state.lock().look((organization, member));
        self.shared.chores.notify_one();
        self.mention(Kind::Look, &[(organization, member)]);
    }

    /// A member types in a conversation. What is said again within half of `presence.typing_ms` goes no further.
    pub fn types(&self, organization: Uuid, conversation: Uuid, member: Uuid) {
        if self.shared.state.lock().types((organization, conversation), member, Instant::now()) {
            self.mention(Kind::Types, &[(organization, conversation), (organization, member)]);
        }
    }

    /// Whether saying once more that they type would change nothing.
    pub fn has_just_said(&self, organization: Uuid, conversation: Uuid, member: Uuid) -> bool {
        self.shared.state.lock().has_just_said((organization, conversation), member, Instant::now())
    }

    /// A member types no more.
    pub fn stops(&self, organization: Uuid, conversation: Uuid, member: Uuid) {
        if self.hush(organization, conversation, member) {
            self.mention(Kind::Stops, &[(organization, conversation), (organization, member)]);
        }
    }

    /// As `stops`, where other nodes see it for themselves; true: they typed.
    pub fn hush(&self, organization: Uuid, conversation: Uuid, member: Uuid) -> bool {
        self.shared.state.lock().stops((organization, conversation), member)
    }

    /// Who types in a conversation now, 20 at most, those first who began first.
    pub fn typing(&self, organization: Uuid, conversation: Uuid) -> Vec<(Uuid, Typing)> {
        self.shared.state.lock().typing((organization, conversation), Instant::now())
    }

    /// Rings for whoever wants to know who types in a conversation; that somebody ends by saying nothing more says
    /// `Typing::until`.
    pub fn overhear(&self, organization: Uuid, conversation: Uuid) -> watch::Receiver<()> {
        self.shared.state.lock().overhear((organization, conversation))
    }

    /// The node stops: whoever is here with it was seen now, and for other nodes no lease has to end first.
    pub async fn leave(&self, database: &Database) {
        let (gone, seen) = {
            let mut state = self.shared.state.lock();
            (state.leave(), state.take_chores().seen)
        };
        spread(&self.nodes, Kind::Gone, gone);
        write_seen(database, seen).await;
    }

    fn mention(&self, kind: Kind, of: &[Of]) {
        self.nodes.mention(Topic::Presence, &told::write(kind, of));
    }
}

/// A connection of a member: they are here as long as it is and the other end answers.
pub struct Here {
    started: Instant,
    heard: Arc<AtomicU64>,
}

impl Here {
    /// The other end has answered.
    pub fn answers(&self) {
        self.heard.store(u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX), Relaxed);
    }

    /// One that a test looks into.
    #[cfg(test)]
    pub fn observed(heard: Arc<AtomicU64>) -> Self {
        Here { started: Instant::now(), heard }
    }

    /// The other end cannot answer: it is there until the connection is gone.
    pub fn for_good(self) -> Self {
        self.heard.store(u64::MAX, Relaxed);
        self
    }
}

/// Tells other nodes who is here, and hears it of them.
struct Telling {
    shared: Arc<Shared>,
    nodes: Nodes,
    renew: Duration,
}

impl Telling {
    async fn run(self, mut ear: Ear, every: Duration) {
        let mut tick = interval(every);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut pace = interval(PACE);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // Who is still to be told of anew, and when all are to be again: never before all have been.
        let (mut round, mut due) = (Vec::new(), Instant::now() + self.renew);
        loop {
            if round.is_empty() && due <= Instant::now() && !self.nodes.alone() {
                due = Instant::now() + self.renew;
                let own = self.shared.state.lock().own();
                round = told::portions(own);
            }
            tokio::select! {
                _ = tick.tick() => {
                    let gone = self.shared.state.lock().tick(Instant::now());
                    spread(&self.nodes, Kind::Gone, gone);
                }
                () = self.tell_next(&mut pace, &mut round), if !round.is_empty() => {}
                () = self.shared.news.notified() => {
                    sleep(GATHER).await;
                    let news = self.shared.state.lock().take_news();
                    spread(&self.nodes, Kind::Here, news);
                }
                heard = ear.hear() => match heard {
                    Some(Heard::Said { from, body }) => {
                        if let Some(told) = told::read(&body) {
                            self.shared.state.lock().hear(from, &told, Instant::now());
                        }
                    }
                    // Somebody has come who knows nobody, or something may have been missed.
                    Some(Heard::Gap) => {
                        self.shared.state.lock().look_at_all();
                        due = Instant::now();
                    }
                    None => return,
                },
            }
            if self.shared.state.lock().has_chores() {
                self.shared.chores.notify_one();
            }
        }
    }

    /// Tells of one portion of a round when it is time for it and there is room, of those in it who are here even now: who
    /// has left meanwhile would be back for a lease. May be broken off; then nothing of it is told.
    async fn tell_next(&self, pace: &mut Interval, round: &mut Vec<Vec<Of>>) {
        pace.tick().await;
        let Some(portion) = round.last() else { return };
        let here = self.shared.state.lock().own_among(portion);
        if !here.is_empty() {
            self.nodes.say(Topic::Presence, &told::write(Kind::Here, &here)).await;
        }
        round.pop();
    }
}

/// Tells other nodes what has changed. What is lost on the way is told again before a lease ends, or ends with it.
fn spread(nodes: &Nodes, kind: Kind, who: impl IntoIterator<Item = Of>) {
    if nodes.alone() {
        return;
    }
    for portion in told::portions(who) {
        nodes.mention(Topic::Presence, &told::write(kind, &portion));
    }
}

/// Reads what members show when it has changed, and writes when they were seen; for all of an organization together.
async fn keep(shared: Arc<Shared>, database: Database) {
    loop {
        shared.chores.notified().await;
        sleep(GATHER).await;
        let chores = shared.state.lock().take_chores();
        let mut failed = false;
        for (organization, members) in chores.stale {
            let read = async { store::read(&*database.of(organization).await?, organization, &members).await };
            let mut read = match read.await {
                Ok(read) => read,
                Err(fault) => {
                    tracing::debug!(?fault, "what members show could not be read; it is tried again");
                    failed = true;
                    members.iter().for_each(|member| shared.state.lock().look((organization, *member)));
                    continue;
                }
            };
            let all = members.iter().map(|id| (*id, read.remove(id).unwrap_or_default()));
            shared.state.lock().learn(organization, all);
        }
        write_seen(&database, chores.seen).await;
        if failed {
            sleep(RETRY).await;
            shared.chores.notify_one();
        }
    }
}

async fn write_seen(database: &Database, seen: HashMap<Uuid, Vec<(Uuid, DateTime<Utc>)>>) {
    for (organization, seen) in seen {
        let write = async { store::write_seen(&*database.of(organization).await?, organization, seen).await };
        if let Err(fault) = write.await {
            tracing::debug!(?fault, "when members were last seen could not be written");
        }
    }
}
