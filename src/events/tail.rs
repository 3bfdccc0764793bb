//! The newest events of one stream that somebody is watching. Events come in from commits on this node, in any
//! order, twice or not at all, and from the database, which is right; they go out to all readers from one ring, so
//! that a reader costs no memory and a slow one holds up nobody. Invariant: the ring is what the log says, in
//! order and without a gap, up to `last`.

use super::{Cursor, Event, MESSAGE_DELETED, MESSAGES_EXPIRED, StreamId};
use std::{
    cmp::Ordering,
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};
use uuid::Uuid;

pub(super) struct Tail {
    /// The newest events, the last of them `last`.
    ring: VecDeque<Arc<Event>>,
    /// The place just before the ring; None: it is not known.
    before: Option<Cursor>,
    /// How many the ring, and what waits for its turn, may hold.
    capacity: usize,
    /// The newest event in turn; its number is 0 in a new stream.
    last: Cursor,
    /// Events whose predecessors have not come yet.
    ahead: BTreeMap<i64, Arc<Event>>,
    /// The highest number that is said to exist.
    known: i64,
    /// How often it was said that the log may be another one, and for which of these times `last` was found in it.
    doubts: u32,
    believed: u32,
    phase: Phase,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The head is still being read.
    Starting,
    Running,
    /// The log is not what it was (restored, deleted): whoever reads must start afresh.
    Broken,
}

/// What has to be done about a tail after it was touched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    Nothing,
    /// Read the log behind `last` and hand it to `fill`, if nobody publishes it first.
    Gap(Gap),
    /// Forget the tail; its readers find out by themselves.
    Burial,
}

/// What readers find at one moment.
#[derive(Clone, Copy)]
pub(super) struct Sight {
    last: Cursor,
    known: i64,
    believed: u32,
}

impl Sight {
    /// Whether somebody who found `before` has to look again. That more is known is nothing to see yet; that less is, is: who
    /// is beyond it learns that.
    pub fn calls(self, before: Sight) -> bool {
        self.last != before.last || self.believed != before.believed || self.known < before.known
    }
}

/// Events that exist and have not come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Gap {
    /// The page to read starts with this event.
    pub after: Cursor,
    /// What was known to exist, and what was doubted, when the reading began.
    known: i64,
    doubts: u32,
}

/// The head of a stream as the log has it; 0 and no id: there is no event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Head {
    pub seq: i64,
    pub id: Option<Uuid>,
}

/// What a reader finds.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Take {
    Taken,
    /// Nothing new: wait until the tail changes.
    Wait,
    /// Older than the ring, or newer than the tail has heard of: read the log.
    Read,
    /// Beyond what the log has, as far as the tail knows: look whether it has it.
    Ahead,
    Resync,
}

impl Tail {
    pub fn new(stream: StreamId, capacity: usize) -> Self {
        Tail {
            ring: VecDeque::new(),
            before: None,
            capacity: capacity.max(1),
            last: Cursor::origin(stream),
            ahead: BTreeMap::new(),
            known: 0,
            doubts: 0,
            believed: 0,
            phase: Phase::Starting,
        }
    }

    /// What readers find here, as far as they wait for it to change.
    pub fn sight(&self) -> Sight {
        Sight { last: self.last, known: self.known, believed: self.believed }
    }

    /// Where it is, and where a reader of what comes from now on starts.
    pub fn last(&self) -> Cursor {
        self.last
    }

    pub fn need(&self) -> Need {
        match self.phase {
            Phase::Broken => Need::Burial,
            Phase::Running if self.known > self.last.seq || self.is_doubted() => {
                Need::Gap(Gap { after: self.last, known: self.known, doubts: self.doubts })
            }
            _ => Need::Nothing,
        }
    }

    /// Begins with the newest events of the log, oldest first, read after the tail was there to be published to.
    pub fn start(&mut self, newest: Vec<Arc<Event>>) {
        if self.phase == Phase::Starting {
            self.phase = Phase::Running;
            newest.into_iter().for_each(|event| self.push(event));
            self.advance();
        }
    }

    /// As `start`, knowing of the log only its head: whoever needs what lies before it reads it.
    pub fn begin(&mut self, stream: StreamId, head: Head) {
        if self.phase == Phase::Starting {
            self.phase = Phase::Running;
            self.last = Cursor::behind(stream, head.id.map(|id| (head.seq, id)));
            self.known = self.known.max(self.last.seq);
            self.advance();
        }
    }

    /// Takes a committed event, whatever its turn.
    pub fn offer(&mut self, event: Arc<Event>) {
        self.known = self.known.max(event.seq);
        let id = event.id;
        if self.ahead.insert(event.seq, event).is_some_and(|before| before.id != id) {
            self.phase = Phase::Broken;
        }
        self.advance();
        if self.ahead.len() > self.capacity {
            self.ahead.pop_last();
        }
    }

    /// Hears that an event exists.
    pub fn hint(&mut self, seq: i64) {
        self.known = self.known.max(seq);
    }

    /// The log may have gone back: nothing follows on `last` until that was found there. Else an event with the next number,
    /// after others that were never heard of here, would seem to follow.
    pub fn doubt(&mut self) {
        self.doubts = self.doubts.wrapping_add(1);
        // What is still there of it is read again.
        self.ahead.clear();
    }

    fn is_doubted(&self) -> bool {
        self.doubts != self.believed
    }

    /// Takes what the log has from `gap.after` on; `whole` if that was all. The log is right: what it does not
    /// have, whoever spoke of it, does not exist.
    pub fn fill(&mut self, gap: Gap, page: Vec<Arc<Event>>, whole: bool) {
        let Some(events) = gap.after.follow(page) else {
            // Gone meanwhile, perhaps by retention; that matters only where the tail still stands.
            if self.last == gap.after {
                self.phase = Phase::Broken;
            }
            return;
        };
        if self.last == gap.after {
            self.believed = gap.doubts;
        }
        events.into_iter().for_each(|event| self.offer(event));
        if whole && self.known == gap.known {
            self.known = self.last.seq;
            self.ahead.clear();
        }
    }

    /// Compares with the head that the log had at some time after `last` was `before`.
    pub fn compare(&mut self, before: i64, head: Head) {
        let other = |id| head.seq == self.last.seq && !self.last.names(id);
        if head.seq < before
            || self.at(head.seq).is_some_and(|event| Some(event.id) != head.id)
            || head.id.is_some_and(other)
        {
            self.phase = Phase::Broken;
        }
        self.hint(head.seq);
    }

    /// Puts at most `most` events behind `after` into `into`. `checked`: the event at `after` was seen, and not
    /// only named by a client. It is compared again all the same: a log that went back may have another one there.
    pub fn take(&self, after: Cursor, checked: bool, most: usize, into: &mut VecDeque<Arc<Event>>) -> Take {
        if self.phase == Phase::Broken {
            return Take::Resync;
        }
        if self.is_doubted() {
            return Take::Wait;
        }
        if checked && after.seq > self.last.seq {
            return if after.seq > self.known { Take::Ahead } else { Take::Wait };
        }
        // The very event: also where a tail that has just begun does not hold it.
        if after == self.last {
            return Take::Wait;
        }
        let skip = match self.place(after.seq) {
            Some((place, event)) if after.is_at(event) => place + 1,
            Some(_) => return Take::Resync,
            None if self.before == Some(after) => 0,
            None => return Take::Read,
        };
        into.extend(self.ring.iter().skip(skip).take(most).cloned());
        Take::Taken
    }

    fn at(&self, seq: i64) -> Option<&Arc<Event>> {
        self.place(seq).map(|(_, event)| event)
    }

    /// The event of that number, and where in the ring it is.
    fn place(&self, seq: i64) -> Option<(usize, &Arc<Event>)> {
        let place = usize::try_from(seq - self.ring.front()?.seq).ok()?;
        Some((place, self.ring.get(place)?))
    }

    /// Moves what has its turn into the ring.
    fn advance(&mut self) {
        while self.phase != Phase::Starting
            && !self.is_doubted()
            && let Some(next) = self.ahead.first_entry()
        {
            match next.key().cmp(&(self.last.seq + 1)) {
                Ordering::Equal => {
                    let event = next.remove();
                    self.push(event);
                }
                Ordering::Less => {
                    let event = next.remove();
                    // The same number with another id: the log went back in time and is being written anew.
                    if self.at(event.seq).is_some_and(|seen| seen.id != event.id) {
                        self.phase = Phase::Broken;
                    }
                }
                Ordering::Greater => break,
            }
        }
    }

    fn push(&mut self, event: Arc<Event>) {
        if event.kind == MESSAGES_EXPIRED {
            // What these said is in no event any more: whoever is behind reads the log.
            self.ring.clear();
        }
        if event.kind == MESSAGE_DELETED {
            for said in self.ring.iter_mut().filter(|said| said.entity_id == event.entity_id) {
                if let Some(payload) = said.payload.silenced() {
                    *said = Arc::new(Event { payload, ..Event::clone(said) });
                }
            }
        }
        if self.ring.len() == self.capacity {
            self.before = self.ring.pop_front().map(|gone| {
                let mut place = self.last;
                place.step(&gone);
                place
            });
        }
        if self.ring.is_empty() {
            self.before = (self.last.seq + 1 == event.seq).then_some(self.last);
        }
        self.last.step(&event);
        self.known = self.known.max(event.seq);
        self.ring.push_back(event);
    }
}
