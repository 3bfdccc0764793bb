//! The one task of the hub: it reads what has not come by itself. At once, or nearly, where a gap shows; every few
//! seconds by comparing all heads, which covers lost hints and writers that died between commit and publish; and at once
//! when the way to other nodes was cut and is whole again. Invariant: an event is late by one sweep at most while the
//! database answers.

use super::{
    StreamId,
    hub::Exchange,
    read::Want,
    tail::{Head, Need},
};
use crate::config::millis;
use futures_util::{StreamExt, stream};
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};
use tokio::time::{Instant, sleep, sleep_until};
use uuid::Uuid;

/// How long a missing event may still come by itself: commits overtake each other on their way here.
const GRACE: Duration = Duration::from_millis(5);
/// Organizations that are read at once, a connection each.
const AT_ONCE: usize = 4;
/// Heads in one query.
const HEADS: usize = 1000;
/// Streams whose gaps are read in one flight.
const PAGES: usize = 32;

pub(super) async fn run(exchange: Arc<Exchange>) {
    let every = millis(exchange.config.sweep_ms.max(1));
    // Not all nodes at once, and never so late that an event takes much longer.
    let after = |pause: Duration| Instant::now() + pause.mul_f64(rand::random_range(0.8..1.1));
    let (mut next, mut pause) = (after(every), GRACE);
    loop {
        let swept = tokio::select! {
            () = sleep_until(next) => {
                next = after(every);
                exchange.sweep().await
            }
            () = exchange.missed.notified() => exchange.sweep().await,
            () = exchange.gap.notified() => {
                sleep(pause).await;
                true
            }
        };
        let filled = exchange.fill_gaps().await;
        pause = if swept && filled { GRACE } else { (pause * 2).min(every) };
    }
}

impl Exchange {
    /// Compares all tails with the log. False: the log could not be read, and the next sweep has to do.
    async fn sweep(&self) -> bool {
        let jobs = by_organization(self.positions(), HEADS);
        stream::iter(jobs)
            .map(async |(organization, streams)| {
                let ids = streams.iter().map(|(stream, _)| *stream).collect();
                let heads = self.log.heads(organization, ids).await;
                self.heard(&heads);
                let Ok(heads) = heads else { return false };
                let heads: HashMap<Uuid, Head> = heads.into_iter().collect();
                for (stream, before) in streams {
                    if let Some(live) = self.live(StreamId { organization, stream }) {
                        let head = heads.get(&stream).copied().unwrap_or_default();
                        self.touch(&live, |tail| tail.compare(before, head));
                    }
                }
                true
            })
            .buffer_unordered(AT_ONCE)
            .fold(true, async |all, one| all && one)
            .await
    }

    /// Reads what is missing, a page of each stream. What is still missing then is noted again, and so is what
    /// could not be read; False: there was such.
    async fn fill_gaps(&self) -> bool {
        let streams = std::mem::take(&mut *self.gaps.lock());
        let gaps = streams.into_iter().filter_map(|stream| {
            let live = self.live(stream)?;
            match live.tail.lock().need() {
                Need::Gap(gap) => Some((stream, (live.clone(), gap))),
                _ => None,
            }
        });
        // One more for the event that the gap begins behind.
        let limit = self.config.ring.max(1).saturating_add(1);
        stream::iter(by_organization(gaps, PAGES))
            .map(async |(organization, gaps)| {
                self.meters.gaps.increment(gaps.len() as u64);
                let wants = gaps.iter().map(|(stream, (_, gap))| Want { stream: *stream, from: gap.after.seq, limit });
                let pages = self.log.pages(organization, wants.collect()).await;
                self.heard(&pages);
                match pages {
                    Ok(pages) => {
                        for ((_, (live, gap)), page) in gaps.iter().zip(pages) {
                            let whole = page.len() < limit;
                            self.touch(live, |tail| tail.fill(*gap, page, whole));
                        }
                        true
                    }
                    Err(_) => {
                        gaps.iter().for_each(|(_, (live, _))| self.touch(live, |_| {}));
                        false
                    }
                }
            })
            .buffer_unordered(AT_ONCE)
            .fold(true, async |all, one| all && one)
            .await
    }
}

/// Jobs of at most `most` streams of one organization each.
fn by_organization<T: Clone>(
    streams: impl IntoIterator<Item = (StreamId, T)>,
    most: usize,
) -> Vec<(Uuid, Vec<(Uuid, T)>)> {
    let mut organizations: BTreeMap<Uuid, Vec<(Uuid, T)>> = BTreeMap::new();
    for (id, what) in streams {
        organizations.entry(id.organization).or_default().push((id.stream, what));
    }
    let jobs = organizations.into_iter();
    jobs.flat_map(|(id, streams)| streams.chunks(most).map(|some| (id, some.to_vec())).collect::<Vec<_>>()).collect()
}
