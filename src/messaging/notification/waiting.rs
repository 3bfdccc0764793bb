//! What a node has yet to work on: streams that have gone on, and members who have read on by sending. Invariant: whoever
//! writes only notes it here, which costs them nothing; what fails waits by itself for its next try, and holds up nothing else.

use super::{
    read::Seat,
    step::{Step, settle, step_or_each},
    told::{ENTERED, SENT},
};
use crate::{
    app::App,
    events::{Event, StreamId},
    messaging::user_contact,
};
use futures_util::{StreamExt, stream};
use parking_lot::Mutex;
use quick_cache::sync::Cache;
use serde::Deserialize;
use std::{
    collections::{BTreeMap, HashSet},
    future::pending,
    sync::Arc,
    time::Duration,
};
use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};
use uuid::Uuid;

/// Streams, and seats, that wait on a node at most; the sweep finds those beyond.
const MOST: usize = 50_000;
/// Streams in one transaction.
pub const TOGETHER: usize = 50;
/// Transactions at once, with a connection each.
const AT_ONCE: usize = 2;
/// Conversations that are remembered as quiet.
const QUIET: usize = 100_000;
/// How long what fails waits for its next try, doubled at each.
const FIRST: Duration = Duration::from_millis(400);
const LONGEST: Duration = Duration::from_secs(5);

/// What is looked at of a message that was sent.
#[derive(Deserialize)]
struct Sent {
    body: Option<String>,
    thread_root_id: Option<Uuid>,
}

/// Something to do.
#[derive(Default)]
struct Todo {
    streams: HashSet<StreamId>,
    /// Who has read what lies before what they sent, of which organization.
    seats: HashSet<(Uuid, Seat)>,
}

impl Todo {
    fn is_empty(&self) -> bool {
        self.streams.is_empty() && self.seats.is_empty()
    }

    fn extend(&mut self, more: Todo) {
        self.streams.extend(more.streams);
        self.seats.extend(more.seats);
    }
}

/// What a node has heard of and not worked on.
pub struct Waiting {
    todo: Mutex<Todo>,
    some: Notify,
    /// Conversations of which a message concerns nobody unless it says so: all but direct ones.
    quiet: Cache<Uuid, ()>,
}

impl Waiting {
    pub fn new() -> Self {
        Waiting { todo: Mutex::default(), some: Notify::new(), quiet: Cache::new(QUIET) }
    }

    /// Ends when there is something to work on.
    pub async fn some(&self) {
        self.some.notified().await;
    }

    /// Called with every event, on the way of whoever wrote it.
    pub fn note(&self, events: &[Arc<Event>]) {
        let mut noted = false;
        for event in events {
            if self.concerns(event) {
                let mut todo = self.todo.lock();
                if todo.streams.len() < MOST {
                    todo.streams.insert(event.stream_id());
                }
            } else if let (SENT, Some(sender)) = (event.kind.as_str(), event.actor) {
                let mut todo = self.todo.lock();
                if todo.seats.len() < MOST {
                    todo.seats.insert((event.organization, (sender, event.stream)));
                }
            } else {
                continue;
            }
            noted = true;
        }
        if noted {
            self.some.notify_one();
        }
    }

    /// Whether anybody may be notified of it.
    fn concerns(&self, event: &Event) -> bool {
        match event.kind.as_str() {
            // Whoever sends waits for this: what they say is read only where that decides.
            SENT if self.quiet.get(&event.stream).is_none() => true,
            SENT => {
                let message: Option<Sent> = event.payload.member("message").ok().flatten();
                message.is_some_and(|sent| {
                    sent.thread_root_id.is_some() || sent.body.is_some_and(|body| body.contains("<@"))
                })
            }
            ENTERED | user_contact::CHANGED => true,
            _ => false,
        }
    }

    /// Works once on all that waits; true: there is more.
    pub async fn work(&self, app: &App, later: &mut Later) -> bool {
        let todo = later.due(std::mem::take(&mut *self.todo.lock()), Instant::now());
        let mut seats = by_organization(todo.seats);
        let streams = by_organization(todo.streams.into_iter().map(|id| (id.organization, id.stream)));
        let parts = streams.into_iter().flat_map(|(organization, streams)| {
            streams.chunks(TOGETHER).map(|some| (organization, some.to_vec())).collect::<Vec<_>>()
        });
        let steps = stream::iter(parts)
            .map(async |(organization, streams)| (organization, step_or_each(app, organization, &streams).await))
            .buffer_unordered(AT_ONCE)
            .collect::<Vec<_>>()
            .await;
        let (mut again, mut failed, mut fault) = (Vec::new(), Todo::default(), None);
        for (organization, step) in steps {
            let of = |stream| StreamId { organization, stream };
            let Step { quiet, left, seats: moved, failed: streams, fault: why } = step;
            quiet.into_iter().for_each(|conversation| self.quiet.insert(conversation, ()));
            again.extend(left.into_iter().map(of));
            failed.streams.extend(streams.into_iter().map(of));
            seats.entry(organization).or_default().extend(moved);
            fault = why.or(fault);
        }
        for (organization, seats) in seats {
            let seats: HashSet<Seat> = seats.into_iter().collect();
            if let Err(why) = settle(app, organization, &seats).await {
                failed.seats.extend(seats.into_iter().map(|seat| (organization, seat)));
                fault = Some(why);
            }
        }
        if later.put_off(failed, Instant::now()) {
            tracing::warn!(?fault, "some notifications cannot be made; it is tried again");
        }
        let more = !again.is_empty();
        self.todo.lock().streams.extend(again);
        more
    }
}

fn by_organization<T>(all: impl IntoIterator<Item = (Uuid, T)>) -> BTreeMap<Uuid, Vec<T>> {
    let mut organizations: BTreeMap<Uuid, Vec<T>> = BTreeMap::new();
    for (organization, one) in all {
        organizations.entry(organization).or_default().push(one);
    }
    organizations
}

/// What has failed, and when it is tried again.
#[derive(Default)]
pub struct Later {
    todo: Todo,
    until: Option<Instant>,
    pause: Duration,
}

impl Later {
    /// Ends when it is time to try again what has failed.
    pub async fn time(&self) {
        match self.until {
            Some(until) => sleep_until(until).await,
            None => pending().await,
        }
    }

    /// What is to be done now: what is new without what has to wait, or with it, once its time has come.
    fn due(&mut self, mut new: Todo, now: Instant) -> Todo {
        if self.until.is_some_and(|until| until <= now) {
            self.until = None;
            new.extend(std::mem::take(&mut self.todo));
        } else {
            new.streams.retain(|stream| !self.todo.streams.contains(stream));
            new.seats.retain(|seat| !self.todo.seats.contains(seat));
        }
        new
    }

    /// Puts off what has failed; true: all had gone well before.
    fn put_off(&mut self, failed: Todo, now: Instant) -> bool {
        let (had_its_time, went_well) = (self.until.is_none(), self.pause.is_zero());
        if failed.is_empty() {
            if had_its_time {
                self.pause = Duration::ZERO;
            }
            return false;
        }
        self.todo.extend(failed);
        if had_its_time {
            self.pause = (self.pause * 2).clamp(FIRST, LONGEST);
            self.until = Some(now + self.pause);
        }
        went_well
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn streams(of: &[u128]) -> Todo {
        let id = |stream: &u128| StreamId { organization: Uuid::nil(), stream: Uuid::from_u128(*stream) };
        Todo { streams: of.iter().map(id).collect(), seats: HashSet::new() }
    }

    #[test]
    fn what_fails_waits_longer_each_time_and_holds_up_nothing_else() {
        let (mut later, mut now, mut told) = (Later::default(), Instant::now(), 0);
        let mut pauses = Vec::new();
        for _ in 0..6 {
            let due = later.due(streams(&[1, 2]), now).streams;
            assert_eq!(due, streams(&[1, 2]).streams);
            told += u32::from(later.put_off(streams(&[1]), now));
            // Others go on meanwhile, and one that goes on as well still waits.
            let meanwhile = later.due(streams(&[1, 3]), now).streams;
            assert_eq!(meanwhile, streams(&[3]).streams);
            assert!(!later.put_off(Todo::default(), now));
            pauses.push(later.until.expect("a time") - now);
            now += *pauses.last().expect("one");
        }
        assert_eq!(pauses.iter().map(Duration::as_millis).collect::<Vec<_>>(), [400, 800, 1600, 3200, 5000, 5000]);
        assert_eq!(told, 1, "an outage is told once");
        assert_eq!(later.due(Todo::default(), now).streams, streams(&[1]).streams);
        assert!(!later.put_off(Todo::default(), now));
        assert!(later.until.is_none() && later.pause.is_zero());
    }
}
