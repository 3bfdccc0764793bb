//! Who is here and who types, as this node knows it. Without a wire and a clock of its own, so that time can be tried out.
//! Invariant: a member is here as long as one of their connections answers, here or on a node that is heard of; whoever
//! follows an organization or a conversation is woken by all that changes what they see.

use super::{
    store::Stored,
    told::{Kind, Of, Told},
};
use chrono::{DateTime, TimeDelta, Utc};
use std::{
    collections::{HashMap, HashSet, hash_map::Entry},
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{sync::watch, time::Instant};
use uuid::Uuid;

/// Of more in one conversation nobody keeps track, neither people nor memory.
const MOST_TYPING: usize = 20;
/// Members of other nodes, and conversations in which somebody types, at most: nobody fills memory with made-up ones.
const MOST: usize = 1 << 20;

/// The lengths of leases.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// How long another node is believed.
    pub lease: Duration,
    /// How long a member stays who has no connection left.
    pub grace: Duration,
    /// How long a connection may be silent.
    pub silence: Duration,
    /// How long somebody types who says so once; what is said again within half of it goes no further.
    pub typing: Duration,
}

/// What is known of a member.
#[derive(Clone, Debug, PartialEq)]
pub struct Known {
    pub here: bool,
    pub stored: Arc<Stored>,
}

/// Since when somebody types, and until when unless they say so again.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Typing {
    pub since: Instant,
    pub until: Instant,
}

pub struct State {
    times: Times,
    /// What `millis` counts from.
    pub started: Instant,
    own: HashMap<Of, Own>,
    /// Until when other nodes have said that somebody is with them.
    there: HashMap<Of, Vec<(Uuid, Instant)>>,
    rooms: HashMap<Uuid, Room>,
    talks: HashMap<Of, Talk>,
    /// Who is here and others do not know yet.
    news: HashSet<Of>,
    /// When members were seen who have come or left, until it is written.
    seen: HashMap<Of, DateTime<Utc>>,
}

/// A member with connections to this node.
#[derive(Default)]
struct Own {
    /// When each connection was heard last, in milliseconds after the start; gone with it.
    heard: Vec<Weak<AtomicU64>>,
    here: bool,
    /// Since when there is no connection.
    alone: Option<Instant>,
}

/// An organization that somebody follows.
#[derive(Default)]
struct Room {
    bell: watch::Sender<()>,
    /// What is stored of the members whom somebody follows.
    stored: HashMap<Uuid, Arc<Stored>>,
    /// Of whom it may be out of date.
    stale: HashSet<Uuid>,
}

/// A conversation in which somebody types or of which somebody wants to hear.
#[derive(Default)]
struct Talk {
    bell: watch::Sender<()>,
    typing: HashMap<Uuid, Typing>,
}

/// What is to be read and written, by organization.
#[derive(Default)]
pub struct Chores {
    pub stale: HashMap<Uuid, Vec<Uuid>>,
    pub seen: HashMap<Uuid, Vec<(Uuid, DateTime<Utc>)>>,
}

impl State {
    pub fn new(times: Times) -> Self {
        State {
            times,
            started: Instant::now(),
            own: HashMap::new(),
            there: HashMap::new(),
            rooms: HashMap::new(),
            talks: HashMap::new(),
            news: HashSet::new(),
            seen: HashMap::new(),
        }
    }

    fn millis(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.started).as_millis()).unwrap_or(u64::MAX)
    }

    /// One more connection of a member, there as long as what is returned.
    pub fn connect(&mut self, of: Of, now: Instant) -> Arc<AtomicU64> {
        let heard = Arc::new(AtomicU64::new(self.millis(now)));
        let own = self.own.entry(of).or_default();
        own.heard.push(Arc::downgrade(&heard));
        own.alone = None;
        if !std::mem::replace(&mut own.here, true) {
            self.came(of);
        }
        heard
    }

    /// What has ended since the last time; who has left this node.
    pub fn tick(&mut self, now: Instant) -> Vec<Of> {
        let (elapsed, times) = (self.millis(now), self.times);
        let (mut came, mut left) = (Vec::new(), Vec::new());
        self.own.retain(|of, own| {
            own.heard.retain(|heard| heard.strong_count() > 0);
            let last = own.heard.iter().filter_map(Weak::upgrade).map(|heard| heard.load(Relaxed)).max();
            let (here, ago) = match last {
                Some(heard) => {
                    own.alone = None;
                    let ago = Duration::from_millis(elapsed.saturating_sub(heard));
                    (ago <= times.silence, ago)
                }
                None => {
                    let ago = now.saturating_duration_since(*own.alone.get_or_insert(now));
                    (ago < times.grace, ago)
                }
            };
            match (std::mem::replace(&mut own.here, here), here) {
                (false, true) => came.push(*of),
                (true, false) => left.push((*of, ago)),
                _ => {}
            }
            here || !own.heard.is_empty()
        });
        came.into_iter().for_each(|of| self.came(of));
        let mut ended: Vec<(Of, Duration)> = Vec::new();
        self.there.retain(|of, leases| {
            leases.retain(|(_, until)| *until > now);
            if leases.is_empty() {
                ended.push((*of, times.lease));
            }
            !leases.is_empty()
        });
        for (of, ago) in left.iter().chain(&ended) {
            let at = Utc::now() - TimeDelta::from_std(*ago).unwrap_or_default();
            self.left(*of, at);
            self.seen.insert(*of, at);
        }
        self.rooms.retain(|_, room| room.bell.receiver_count() > 0);
        self.talks.retain(|_, talk| {
            talk.typing.retain(|_, typing| typing.until > now);
            talk.bell.receiver_count() > 0 || !talk.typing.is_empty()
        });
        left.into_iter().map(|(of, _)| of).collect()
    }

    /// What another node says. As hostile as anything else from outside.
    pub fn hear(&mut self, from: Uuid, told: &Told, now: Instant) {
        match (told.kind, told.of.as_slice()) {
            (Kind::Here, members) => members.iter().for_each(|of| self.lease(*of, from, now)),
            (Kind::Gone, members) => members.iter().for_each(|of| self.release(*of, from)),
            (Kind::Look, members) => members.iter().for_each(|of| self.look(*of)),
            // Whatever was said before: it is up to that node not to say so too often.
            (Kind::Types, [talk, member]) if talk.0 == member.0 => _ = self.type_until(*talk, member.1, now),
            (Kind::Stops, [talk, member]) if talk.0 == member.0 => _ = self.stops(*talk, member.1),
            (Kind::Types | Kind::Stops, _) => {}
        }
    }

    fn lease(&mut self, of: Of, from: Uuid, now: Instant) {
        if self.there.len() >= MOST && !self.there.contains_key(&of) {
            return;
        }
        let new = !self.is_here(of);
        let leases = self.there.entry(of).or_default();
        leases.retain(|(node, _)| *node != from);
        leases.push((from, now + self.times.lease));
        if new {
            self.ring(of);
        }
    }

    fn release(&mut self, of: Of, from: Uuid) {
        let Some(leases) = self.there.get_mut(&of) else { return };
        leases.retain(|(node, _)| *node != from);
        if leases.is_empty() {
            self.there.remove(&of);
            // That node writes it.
            self.left(of, Utc::now());
        }
    }

    fn came(&mut self, of: Of) {
        self.news.insert(of);
        self.seen.insert(of, Utc::now());
        self.ring(of);
    }

    fn left(&mut self, of: Of, at: DateTime<Utc>) {
        if !self.is_here(of) {
            let stored = self.rooms.get_mut(&of.0).and_then(|room| room.stored.get_mut(&of.1));
            if let Some(stored) = stored {
                let stored = Arc::make_mut(stored);
                stored.last_seen = stored.last_seen.max(Some(at));
            }
            self.ring(of);
        }
    }

    pub fn is_here(&self, of: Of) -> bool {
        self.is_own(of) || self.there.contains_key(&of)
    }

    fn is_own(&self, of: Of) -> bool {
        self.own.get(&of).is_some_and(|own| own.here)
    }

    /// Who is here with this node.
    pub fn own(&self) -> Vec<Of> {
        self.own.iter().filter(|(_, own)| own.here).map(|(of, _)| *of).collect()
    }

    /// Who of these is here with this node still.
    pub fn own_among(&self, some: &[Of]) -> Vec<Of> {
        some.iter().copied().filter(|of| self.is_own(*of)).collect()
    }

    /// The node stops: who was here until now.
    pub fn leave(&mut self) -> Vec<Of> {
        let own = self.own();
        self.seen.extend(own.iter().map(|of| (*of, Utc::now())));
        self.own.clear();
        self.news.clear();
        own
    }

    pub fn take_news(&mut self) -> HashSet<Of> {
        std::mem::take(&mut self.news)
    }

    /// Wakes those who follow the organization, if somebody follows the member.
    fn ring(&self, of: Of) {
        if let Some(room) = self.rooms.get(&of.0).filter(|room| room.stored.contains_key(&of.1)) {
            room.bell.send_replace(());
        }
    }

    /// Rings whenever something changes of the members whom somebody follows in the organization.
    pub fn follow(&mut self, organization: Uuid) -> watch::Receiver<()> {
        self.rooms.entry(organization).or_default().bell.subscribe()
    }

    /// Takes over what was read of members whom somebody follows; those of whom nothing is stored are in it as well.
    pub fn learn(&mut self, organization: Uuid, read: impl IntoIterator<Item = (Uuid, Stored)>) {
        let Some(room) = self.rooms.get_mut(&organization) else { return };
        let mut changed = false;
        for (member, stored) in read {
            match room.stored.entry(member) {
                // Nobody else follows them yet.
                Entry::Vacant(place) => _ = place.insert(Arc::new(stored)),
                Entry::Occupied(mut known) => {
                    let newer = known.get().newer(&stored);
                    if **known.get() != newer {
                        known.insert(Arc::new(newer));
                        changed = true;
                    }
                }
            }
        }
        if changed {
            room.bell.send_replace(());
        }
    }

    pub fn known(&self, organization: Uuid, members: &[Uuid]) -> Vec<(Uuid, Known)> {
        let room = self.rooms.get(&organization);
        let known = members.iter().map(|id| {
            let stored = room.and_then(|room| room.stored.get(id)).cloned().unwrap_or_default();
            (*id, Known { here: self.is_here((organization, *id)), stored })
        });
        known.collect()
    }

    /// What a member shows has changed.
    pub fn look(&mut self, of: Of) {
        if let Some(room) = self.rooms.get_mut(&of.0).filter(|room| room.stored.contains_key(&of.1)) {
            room.stale.insert(of.1);
        }
    }

    /// What anybody shows may have changed.
    pub fn look_at_all(&mut self) {
        for room in self.rooms.values_mut() {
            room.stale = room.stored.keys().copied().collect();
        }
    }

    pub fn has_chores(&self) -> bool {
        !self.seen.is_empty() || self.rooms.values().any(|room| !room.stale.is_empty())
    }

    pub fn take_chores(&mut self) -> Chores {
        let mut chores = Chores::default();
        for (organization, room) in self.rooms.iter_mut().filter(|(_, room)| !room.stale.is_empty()) {
            chores.stale.insert(*organization, room.stale.drain().collect());
        }
        for ((organization, member), at) in self.seen.drain() {
            chores.seen.entry(organization).or_default().push((member, at));
        }
        chores
    }

    /// A member types; true: others have to hear of it.
    pub fn types(&mut self, of: Of, member: Uuid, now: Instant) -> bool {
        !self.has_just_said(of, member, now) && self.type_until(of, member, now)
    }

    /// Whether a member has said so a moment ago, so that saying it again changes nothing.
    pub fn has_just_said(&self, of: Of, member: Uuid, now: Instant) -> bool {
        let typing = self.talks.get(&of).and_then(|talk| talk.typing.get(&member));
        typing.is_some_and(|typing| typing.until > now + self.times.typing / 2)
    }

    fn type_until(&mut self, of: Of, member: Uuid, now: Instant) -> bool {
        if self.talks.len() >= MOST && !self.talks.contains_key(&of) {
            return false;
        }
        let (talk, until) = (self.talks.entry(of).or_default(), now + self.times.typing);
        talk.typing.retain(|_, typing| typing.until > now);
        let full = talk.typing.len() >= MOST_TYPING;
        match talk.typing.get_mut(&member) {
            Some(typing) => typing.until = until,
            None if full => return false,
            None => {
                talk.typing.insert(member, Typing { since: now, until });
                talk.bell.send_replace(());
            }
        }
        true
    }

    /// A member types no more; true: they did.
    pub fn stops(&mut self, of: Of, member: Uuid) -> bool {
        let Some(talk) = self.talks.get_mut(&of) else { return false };
        let typed = talk.typing.remove(&member).is_some();
        if typed {
            talk.bell.send_replace(());
        }
        typed
    }

    /// Who types, those first who began first.
    pub fn typing(&self, of: Of, now: Instant) -> Vec<(Uuid, Typing)> {
        let typing = self.talks.get(&of).into_iter().flat_map(|talk| &talk.typing);
        let mut typing: Vec<_> =
            typing.filter(|(_, typing)| typing.until > now).map(|(member, typing)| (*member, *typing)).collect();
        typing.sort_by_key(|(member, typing)| (typing.since, *member));
        typing
    }

    /// Rings whenever somebody begins or ends to type there; not when they end by saying nothing more.
    pub fn overhear(&mut self, of: Of) -> watch::Receiver<()> {
        self.talks.entry(of).or_default().bell.subscribe()
    }
}
