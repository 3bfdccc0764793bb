//! One subscriber's way along a stream: from the place it came with, through the log and the ring, to what is
//! new, without a seam between them. It pulls, so it can be as slow as it likes. Invariant: each event that it
//! hands out is the one behind the last.

use super::{
    Cursor, Event,
    tail::{Tail, Take},
};
use parking_lot::Mutex;
use std::{collections::VecDeque, sync::Arc};

pub(super) struct Reader {
    /// Behind the event that was handed out last.
    after: Cursor,
    /// Whether the event at `after` was seen in the log or the ring, and not only named by a client.
    checked: bool,
    /// Whether it reads to see that the event at `after` is still there.
    ahead: bool,
    /// What follows `after`, taken and not yet handed out.
    waiting: VecDeque<Arc<Event>>,
    /// How many may wait.
    queue: usize,
    /// How many are worth reading at once, by what the last page was like.
    page: usize,
}

/// What events that wait may say together, in bytes, before no further one is put to them: thousands may read the same log.
const BYTES: usize = 64 * 1024;

/// What happens next.
#[derive(Debug)]
pub(super) enum Step {
    Deliver(Arc<Event>),
    /// Wait until the tail changes.
    Wait,
    /// Read a page from this place on and hand it to `fill`.
    Read(Cursor),
    Resync,
}

impl Reader {
    /// Starts behind the newest event of a tail.
    pub fn live(tail: &Tail, queue: usize) -> Self {
        Self::at(tail.last(), true, queue.max(1))
    }

    /// Starts where a client says that it was.
    pub fn resume(after: Cursor, queue: usize) -> Self {
        Self::at(after, false, queue.max(1))
    }

    fn at(after: Cursor, checked: bool, queue: usize) -> Self {
        Reader { after, checked, ahead: false, waiting: VecDeque::new(), queue, page: queue }
    }

    /// How many events to read when it asks to: one more than that many, for the one that it stands on.
    pub fn limit(&self) -> usize {
        self.page.saturating_add(1)
    }

    pub fn step(&mut self, tail: &Mutex<Tail>) -> Step {
        if self.waiting.is_empty() {
            match tail.lock().take(self.after, self.checked, self.queue, &mut self.waiting) {
                Take::Taken => self.checked = true,
                Take::Wait => {}
                Take::Read => return Step::Read(self.after),
                Take::Ahead => {
                    self.ahead = true;
                    return Step::Read(self.after);
                }
                Take::Resync => return Step::Resync,
            }
        }
        match self.waiting.pop_front() {
            Some(event) => {
                self.after.step(&event);
                Step::Deliver(event)
            }
            None => Step::Wait,
        }
    }

    /// Takes what the log has from `after` on. The highest number seen, or None: resync.
    pub fn fill(&mut self, page: Vec<Arc<Event>>) -> Option<i64> {
        let events = self.after.follow(page)?;
        // Else whoever is checked reads because the ring has gone on; a log that has not is not the same any more.
        if self.checked && events.is_empty() && !self.ahead {
            return None;
        }
        (self.checked, self.ahead) = (true, false);
        let (found, mut bytes) = (events.len(), 0_usize);
        // One at least; what does not fit is read again when these have been handed out.
        let fitting = events.into_iter().take_while(|event| {
            let fits = bytes < BYTES;
            bytes = bytes.saturating_add(event.payload.len());
            fits
        });
        self.waiting.extend(fitting);
        let kept = self.waiting.len();
        self.page = if kept < found { kept } else { self.page.saturating_mul(2).min(self.queue) };
        Some(self.waiting.back().map_or(self.after.seq, |event| event.seq))
    }
}
