//! The hub over a log in memory that can be slow, fail and lose events.

use super::{super::*, event, some_stream};
use crate::{
    config::EventConfig,
    error::{Code, Error, Result},
    events::{
        read::{Log, Want},
        tail::{Head, Tail, Take},
    },
};
use futures_util::{FutureExt, StreamExt, future::BoxFuture, stream};
use parking_lot::{Mutex, RwLock};
use std::{
    collections::VecDeque,
    sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    time::Duration,
};
use tokio::time::{sleep, timeout};

#[derive(Default)]
struct Memory {
    events: RwLock<Vec<Arc<Event>>>,
    down: AtomicBool,
    pages: AtomicUsize,
    server: AtomicU64,
}

impl Memory {
    fn read<T: Send + 'static>(&self, read: impl FnOnce(&[Arc<Event>]) -> T) -> BoxFuture<'_, Result<T>> {
        let answer = if self.down.load(Ordering::SeqCst) {
            Err(Error::unavailable("down"))
        } else {
            Ok(read(&self.events.read()))
        };
        async move {
            sleep(Duration::from_millis(2)).await;
            answer
        }
        .boxed()
    }

    /// Commits `count` events without telling anybody.
    fn commit(&self, stream: StreamId, count: usize) -> Vec<Arc<Event>> {
        let mut events = self.events.write();
        let head = events.iter().filter(|event| event.stream_id() == stream).count() as i64;
        let new: Vec<_> = (head + 1..).map(|seq| event(stream, seq, Uuid::new_v4())).take(count).collect();
        events.extend(new.iter().cloned());
        new
    }
}

impl Log for Memory {
    fn newest(&self, stream: StreamId, count: usize) -> BoxFuture<'_, Result<Vec<Arc<Event>>>> {
        self.read(|events| {
            let of: Vec<_> = events.iter().filter(|event| event.stream_id() == stream).cloned().collect();
            of[of.len().saturating_sub(count)..].to_vec()
        })
    }

    fn pages(&self, organization: Uuid, wants: Vec<Want>) -> BoxFuture<'_, Result<Vec<Vec<Arc<Event>>>>> {
        self.pages.fetch_add(1, Ordering::SeqCst);
        self.read(|events| {
            let page = |want: &Want| {
                let stream = StreamId { organization, stream: want.stream };
                let of = events.iter().filter(|event| event.stream_id() == stream && event.seq >= want.from);
                of.take(want.limit).cloned().collect()
            };
            wants.iter().map(page).collect()
        })
    }

    fn heads(&self, organization: Uuid, streams: Vec<Uuid>) -> BoxFuture<'_, Result<Vec<(Uuid, Head)>>> {
        self.read(|events| {
            let head = |stream| {
                let stream = StreamId { organization, stream };
                let last = events.iter().rfind(|event| event.stream_id() == stream)?;
                Some((stream.stream, Head { seq: last.seq, id: Some(last.id) }))
            };
            streams.into_iter().filter_map(head).collect()
        })
    }

    fn server(&self) -> u64 {
        self.server.load(Ordering::SeqCst)
    }
}

fn hub(sweep_ms: u64) -> (Hub, Arc<Memory>, StreamId) {
    let log = Arc::new(Memory::default());
    let config = EventConfig { ring: 8, sweep_ms, queue: 4, ..Default::default() };
    (Hub::over(&config, log.clone(), InProcess), log, some_stream())
}

type Feed = Deliveries;

/// The numbers of the next events; -1 for a resync.
async fn next(feed: &mut Feed, count: usize) -> Vec<i64> {
    let number = |delivery| match delivery {
        Delivery::Event(event) => event.seq,
        Delivery::Resync => -1,
    };
    let read = feed.by_ref().take(count).map(number).collect();
    timeout(Duration::from_secs(10), read).await.expect("nothing came")
}

fn silent(feed: &mut Feed) -> bool {
    feed.next().now_or_never().is_none()
}

const NEVER: u64 = 3_600_000;

#[tokio::test]
async fn delivers_in_order_what_is_published_in_disorder() {
    let (hub, log, stream) = hub(NEVER);
    log.commit(stream, 2);
    let mut feed = hub.subscribe(stream, After::Now).await.unwrap();
    let events = log.commit(stream, 4);
    for at in [2, 0, 0, 3, 1, 2] {
        hub.publish(vec![events[at].clone()]);
    }
    assert_eq!(next(&mut feed, 4).await, [3, 4, 5, 6]);
    assert!(silent(&mut feed));
    assert_eq!(log.pages.load(Ordering::SeqCst), 0, "nothing was missing");
}

#[tokio::test]
async fn resumes_at_every_point() {
    let (hub, log, stream) = hub(NEVER);
    let mut cursors = vec![Cursor::origin(stream)];
    cursors.extend(log.commit(stream, 40).iter().map(|event| event.cursor()));
    let feeds =
        cursors.into_iter().map(async |cursor| (cursor.seq, hub.subscribe(stream, After::Cursor(cursor)).await));
    let feeds: Vec<_> = stream::iter(feeds).buffered(100).collect().await;
    hub.publish(log.commit(stream, 3));
    for (seq, feed) in feeds {
        let expected: Vec<_> = (seq + 1..=43).collect();
        let mut feed = feed.unwrap();
        assert_eq!(next(&mut feed, expected.len()).await, expected);
        assert!(silent(&mut feed));
    }
}

#[tokio::test]
async fn a_cursor_that_does_not_fit_is_refused_or_resynced() {
    let (hub, log, stream) = hub(NEVER);
    let events = log.commit(stream, 20);
    let start = |cursor| hub.subscribe(stream, After::Cursor(cursor));
    let elsewhere = Cursor::origin(some_stream());
    assert_eq!(start(elsewhere).await.err().unwrap().code(), Code::InvalidCursor);
    let mut made_up = events[19].cursor();
    for (seq, tag) in [(20, [7; 8]), (3, [7; 8]), (21, made_up.tag), (i64::MAX, [0; 8]), (19, made_up.tag)] {
        (made_up.seq, made_up.tag) = (seq, tag);
        let mut feed = start(made_up).await.unwrap();
        assert_eq!(next(&mut feed, 9).await, [-1], "one resync, then the end");
    }
    assert!(hub.exchange.positions().is_empty());
}

#[tokio::test]
async fn a_lost_publish_comes_with_the_sweep() {
    let (hub, log, stream) = hub(30);
    let mut feed = hub.subscribe(stream, After::Now).await.unwrap();
    log.commit(stream, 30);
    assert_eq!(next(&mut feed, 30).await, (1..=30).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_gap_is_read_once_for_all() {
    let (hub, log, stream) = hub(NEVER);
    let mut feeds = Vec::new();
    for _ in 0..50 {
        feeds.push(hub.subscribe(stream, After::Now).await.unwrap());
    }
    let events = log.commit(stream, 3);
    hub.publish(vec![events[2].clone()]);
    for feed in &mut feeds {
        assert_eq!(next(feed, 3).await, [1, 2, 3]);
    }
    assert_eq!(log.pages.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_slow_reader_holds_up_nobody_and_misses_nothing() {
    let (hub, log, stream) = hub(NEVER);
    let mut slow = hub.subscribe(stream, After::Now).await.unwrap();
    let mut fast = hub.subscribe(stream, After::Now).await.unwrap();
    for seq in 1..=500 {
        hub.publish(log.commit(stream, 1));
        assert_eq!(next(&mut fast, 1).await, [seq]);
    }
    assert_eq!(log.pages.load(Ordering::SeqCst), 0);
    assert_eq!(next(&mut slow, 500).await, (1..=500).collect::<Vec<_>>());
}

#[tokio::test]
async fn nodes_hint_each_other() {
    struct Wire(Mutex<Option<Hub>>);
    impl Bus for Arc<Wire> {
        fn announce(&self, stream: StreamId, seq: i64) {
            if let Some(other) = &*self.0.lock() {
                other.hint(stream, seq);
            }
        }
    }
    let (there, log, stream) = hub(NEVER);
    let wire = Arc::new(Wire(Mutex::new(Some(there.clone()))));
    let here = Hub::over(&there.exchange.config, log.clone(), wire.clone());
    let mut feed = there.subscribe(stream, After::Now).await.unwrap();
    here.publish(log.commit(stream, 2));
    assert_eq!(next(&mut feed, 2).await, [1, 2]);
    *wire.0.lock() = None;
    here.publish(log.commit(stream, 2));
    sleep(Duration::from_millis(50)).await;
    assert!(silent(&mut feed), "no hint, and the sweep is far away");
}

#[tokio::test]
async fn an_outage_ends_nobody() {
    let (hub, log, stream) = hub(20);
    let first = log.commit(stream, 40)[0].cursor();
    let mut live = hub.subscribe(stream, After::Now).await.unwrap();
    let mut replay = hub.subscribe(stream, After::Cursor(first)).await.unwrap();
    log.down.store(true, Ordering::SeqCst);
    log.commit(stream, 2);
    assert!(timeout(Duration::from_millis(150), live.next()).await.is_err());
    assert!(timeout(Duration::from_millis(150), replay.next()).await.is_err());
    let elsewhere = hub.subscribe(some_stream(), After::Now).await;
    assert_eq!(elsewhere.err().unwrap().code(), Code::ServiceUnavailable);
    log.down.store(false, Ordering::SeqCst);
    assert_eq!(next(&mut live, 2).await, [41, 42]);
    assert_eq!(next(&mut replay, 41).await, (2..=42).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_log_that_went_back_says_resync_and_goes_on() {
    let (hub, log, stream) = hub(20);
    log.commit(stream, 5);
    let mut feed = hub.subscribe(stream, After::Now).await.unwrap();
    log.events.write().truncate(3);
    assert_eq!(next(&mut feed, 2).await, [-1]);
    let mut feed = hub.subscribe(stream, After::Now).await.unwrap();
    hub.publish(log.commit(stream, 1));
    assert_eq!(next(&mut feed, 1).await, [4]);
    // The same length, other events.
    log.events.write().truncate(3);
    log.commit(stream, 1);
    assert_eq!(next(&mut feed, 2).await, [-1]);
}

/// Another node has written to the log that was put back, and this one has not heard of it when it writes itself.
#[tokio::test]
async fn what_only_seems_to_follow_is_not_delivered() {
    let (hub, log, stream) = hub(NEVER);
    hub.publish(log.commit(stream, 5));
    let mut feed = hub.subscribe(stream, After::Now).await.unwrap();
    let mut other = hub.subscribe(stream, After::Now).await.unwrap();
    hub.publish(log.commit(stream, 1));
    assert_eq!(next(&mut feed, 1).await, [6]);
    log.server.store(1, Ordering::SeqCst);
    hub.publish(log.commit(stream, 1));
    assert_eq!(next(&mut feed, 1).await, [7], "a server that was only started anew");
    assert_eq!(next(&mut other, 2).await, [6, 7]);
    log.events.write().truncate(6);
    log.server.store(2, Ordering::SeqCst);
    log.commit(stream, 1);
    hub.publish(log.commit(stream, 1));
    assert_eq!(next(&mut feed, 2).await, [-1], "8 is not behind this 7");
    assert_eq!(next(&mut other, 2).await, [-1]);
}

#[tokio::test]
async fn the_last_to_leave_takes_the_tail_away() {
    let (hub, log, stream) = hub(NEVER);
    let one = hub.subscribe(stream, After::Now).await.unwrap();
    let two = hub.subscribe(stream, After::Now).await.unwrap();
    drop(one);
    assert_eq!(hub.exchange.positions().len(), 1);
    drop(two);
    assert!(hub.exchange.positions().is_empty());
    log.down.store(true, Ordering::SeqCst);
    assert!(hub.subscribe(stream, After::Now).await.is_err());
    assert!(hub.exchange.positions().is_empty(), "nor does one stay that never came in");
}

/// A thousand who follow their inbox would each read the log.
#[test]
fn whoever_stands_where_a_tail_began_is_handed_what_comes_next() {
    let stream = some_stream();
    let events: Vec<_> = (1..=3).map(|seq| event(stream, seq, Uuid::new_v4())).collect();
    let mut tail = Tail::new(stream, 8);
    tail.begin(stream, Head { seq: 2, id: Some(events[1].id) });
    tail.offer(events[2].clone());
    let took = |after| {
        let mut into = VecDeque::new();
        (tail.take(after, true, 4, &mut into), into.iter().map(|event| event.seq).collect::<Vec<_>>())
    };
    assert_eq!(took(events[1].cursor()), (Take::Taken, vec![3]));
    assert_eq!(took(events[2].cursor()), (Take::Wait, vec![]));
    for behind in [events[0].cursor(), Cursor::origin(stream)] {
        assert_eq!(took(behind), (Take::Read, vec![]));
    }
}

#[tokio::test]
async fn reads_behind_a_cursor() {
    let (hub, log, stream) = hub(NEVER);
    assert_eq!(hub.cursor(stream).await.unwrap(), Cursor::origin(stream));
    let events = log.commit(stream, 5);
    let numbers = async |after, first| {
        let events = hub.read(stream, after, first).await.unwrap()?;
        Some(events.iter().map(|event| event.seq).collect::<Vec<_>>())
    };
    assert_eq!(numbers(None, 3).await.unwrap(), [1, 2, 3]);
    assert_eq!(numbers(Some(events[2].cursor()), 2).await.unwrap(), [4, 5]);
    assert!(numbers(Some(hub.cursor(stream).await.unwrap()), 2).await.unwrap().is_empty());
    let mut made_up = events[2].cursor();
    made_up.tag = [1; 8];
    assert_eq!(numbers(Some(made_up), 2).await, None);
    let elsewhere = hub.read(some_stream(), Some(events[2].cursor()), 2).await;
    assert_eq!(elsewhere.unwrap_err().code(), Code::InvalidCursor);
}
