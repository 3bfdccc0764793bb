//! The combiner under thousands of seeded histories: writers come, go away while they wait or while they write for others,
//! and are polled in any order. Whatever happens, a write that was acknowledged was done once, in the order in which it came,
//! never beside another of its stream, and nobody waits for ever.

use super::super::{Combiner, StreamId};
use crate::error::Result;
use futures_util::future::{BoxFuture, poll_fn};
use parking_lot::Mutex;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use std::{
    collections::HashMap,
    sync::Arc,
    task::{Context, Poll, Waker},
};
use uuid::Uuid;

/// What was written to each stream, in that order, and whether somebody is writing.
#[derive(Default)]
struct Written {
    lines: Vec<u32>,
    busy: bool,
}

type Log = Arc<Mutex<HashMap<StreamId, Written>>>;

/// Ends somebody's writing, also when they vanish.
struct Busy(Log, StreamId);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.lock().entry(self.1).or_default().busy = false;
    }
}

struct Writer {
    stream: StreamId,
    item: u32,
    write: BoxFuture<'static, Result<u32>>,
}

/// Is ready after that many turns.
async fn turns(mut left: u32) {
    poll_fn(|_| {
        left = left.saturating_sub(1);
        if left == 0 { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

/// Writes a batch within some turns; each is answered with its own name.
async fn write(log: Log, stream: StreamId, batch: Vec<u32>, before: u32, after: u32) -> Vec<u32> {
    let was_busy = std::mem::replace(&mut log.lock().entry(stream).or_default().busy, true);
    assert!(!was_busy, "two write at once");
    let _busy = Busy(log.clone(), stream);
    turns(before).await;
    log.lock().entry(stream).or_default().lines.extend(&batch);
    turns(after).await;
    batch
}

fn history(seed: u64) {
    let mut rng = StdRng::seed_from_u64(seed);
    let (combiner, log) = (Combiner::default(), Log::default());
    let streams: Vec<StreamId> = (0..rng.random_range(1..4))
        .map(|_| StreamId { organization: Uuid::nil(), stream: Uuid::from_u128(rng.random()) })
        .collect();
    let (mut writers, mut came, mut acknowledged) = (Vec::<Writer>::new(), 0, Vec::new());
    let (calm, mut vanished) = (rng.random_bool(0.5), 0);
    let writes = rng.random_range(1..150);
    let mut context = Context::from_waker(Waker::noop());
    let mut idle = 0;
    while came < writes || !writers.is_empty() {
        let turn = rng.random_range(0..100);
        if came < writes && turn < 40 {
            came += 1;
            let (stream, item) = (streams[rng.random_range(0..streams.len())], came);
            let (combiner, log) = (combiner.clone(), log.clone());
            let (before, after) = (rng.random_range(1..6), rng.random_range(1..3));
            let work = move |batch| write(log, stream, batch, before, after);
            let mut write = Box::pin(async move { combiner.write(stream, item, work).await });
            // It is in the line from its first turn on.
            match write.as_mut().poll(&mut context) {
                Poll::Ready(done) => acknowledged.push((stream, item, done)),
                Poll::Pending => writers.push(Writer { stream, item, write }),
            }
        } else if !writers.is_empty() {
            let chosen = rng.random_range(0..writers.len());
            if !calm && turn > 95 {
                drop(writers.swap_remove(chosen));
                vanished += 1;
                continue;
            }
            let writer = &mut writers[chosen];
            idle += 1;
            if let Poll::Ready(done) = writer.write.as_mut().poll(&mut context) {
                acknowledged.push((writer.stream, writer.item, done));
                writers.swap_remove(chosen);
                idle = 0;
            }
        }
        assert!(idle < 20_000, "{} wait for ever", writers.len());
    }
    let log = log.lock();
    for written in log.values() {
        assert!(written.lines.is_sorted_by(|a, b| a < b), "in the order in which they came, each once");
    }
    for (stream, item, answer) in &acknowledged {
        match answer {
            Ok(answer) => {
                assert_eq!(answer, item, "everybody hears of their own");
                assert!(log[stream].lines.contains(item), "acknowledged and not written");
            }
            Err(_) => assert!(vanished > 0, "refused for no reason"),
        }
    }
    assert!(!calm || acknowledged.len() == writes as usize);
    assert!(combiner.is_idle(), "a stream is held by nobody");
}

#[test]
fn whatever_happens_each_write_is_done_once_and_in_order() {
    let seeds = if std::env::var("STOA_PROOF").is_ok_and(|value| value != "0") { 10_000 } else { 1_000 };
    for seed in 0..seeds {
        if let Err(panic) = std::panic::catch_unwind(|| history(seed)) {
            eprintln!("seed {seed}");
            std::panic::resume_unwind(panic);
        }
    }
    println!("{seeds} histories of the combiner");
}

#[test]
fn more_than_may_wait_is_refused() {
    let combiner = Combiner::default();
    let stream = StreamId { organization: Uuid::nil(), stream: Uuid::nil() };
    let mut context = Context::from_waker(Waker::noop());
    let mut waiting = Vec::new();
    let refused = (0..10_000_u32).find_map(|item| {
        let combiner = combiner.clone();
        let never = async |_| std::future::pending::<Vec<u32>>().await;
        let mut write = Box::pin(async move { combiner.write(stream, item, never).await });
        let poll = write.as_mut().poll(&mut context);
        waiting.push(write);
        if let Poll::Ready(answer) = poll { Some((item, answer)) } else { None }
    });
    let (item, answer) = refused.expect("a bound");
    assert_eq!(answer.expect_err("a refusal").code(), crate::error::Code::ServiceUnavailable);
    assert!((1_000..5_000).contains(&item), "{item}");
}

#[test]
fn who_goes_before_they_begin_takes_nobody_along() {
    let combiner = Combiner::default();
    let stream = StreamId { organization: Uuid::nil(), stream: Uuid::nil() };
    let mut context = Context::from_waker(Waker::noop());
    let log = Log::default();
    let mut begin = |item| {
        let (combiner, log) = (combiner.clone(), log.clone());
        let work = move |batch| write(log, stream, batch, 2, 1);
        let mut write = Box::pin(async move { combiner.write(stream, item, work).await });
        assert!(write.as_mut().poll(&mut context).is_pending());
        write
    };
    let [mut first, second, mut third] = [1, 2, 3].map(&mut begin);
    assert_eq!((combiner.waiting(), combiner.waiting_for(stream)), (2, 2), "the first is under way");
    assert!(matches!(first.as_mut().poll(&mut Context::from_waker(Waker::noop())), Poll::Ready(Ok(1))));
    // It is theirs now to write for both, and they never do.
    drop(second);
    let mut third = || third.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    assert!(third().is_pending(), "they write it themselves");
    assert!(matches!(third(), Poll::Ready(Ok(3))));
    assert_eq!(log.lock()[&stream].lines, [1, 3]);
    assert!(combiner.is_idle());
}
