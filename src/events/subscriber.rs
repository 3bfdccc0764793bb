//! One subscriber of a stream, as the rest of Stoa sees it: what happens there, one event after the other, as it asks.
//! Invariant: who waits is woken by the next change of the tail and costs nothing until then; a place is free again when
//! its subscriber is gone.

use super::{
    Cursor, Delivery, Event,
    hub::{Exchange, Live},
    resume::{Reader, Step},
};
use futures_util::{FutureExt, Stream, future::BoxFuture};
use parking_lot::Mutex;
use slab::Slab;
use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, Waker, ready},
};

/// Who wait for a tail to change: a row of places that is walked from one end to the other, whereas a list of those who wait
/// would lead all over the memory.
#[derive(Default)]
pub(super) struct Waiting {
    /// How often it has changed.
    changes: AtomicU64,
    places: Mutex<Slab<Option<Waker>>>,
}

impl Waiting {
    fn join(&self) -> usize {
        self.places.lock().insert(None)
    }

    fn leave(&self, place: usize) {
        let left = self.places.lock().try_remove(place);
        // Not under the lock: whoever it would have woken may go with it.
        drop(left);
    }

    fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    /// Waits for the next change; false when there has been one since `changes`.
    fn wait(&self, place: usize, changes: u64, waker: &Waker) -> bool {
        let mut places = self.places.lock();
        if self.changes() != changes {
            return false;
        }
        if let Some(place) = places.get_mut(place) {
            *place = Some(waker.clone());
        }
        true
    }

    /// Says that the tail has changed.
    pub fn wake(&self) {
        let woken: Vec<Waker> = {
            let mut places = self.places.lock();
            self.changes.fetch_add(1, Ordering::Release);
            places.iter_mut().filter_map(|(_, place)| place.take()).collect()
        };
        woken.into_iter().for_each(Waker::wake);
    }
}

/// What happens in a stream, from where it was asked for. It ends with a resync, or not at all.
pub struct Deliveries {
    reader: Reader,
    /// The next step, where it has been taken already.
    next: Option<Step>,
    /// What is being read of the log.
    page: Option<BoxFuture<'static, Vec<Arc<Event>>>>,
    /// None: it has ended.
    seat: Option<Seat>,
}

impl Deliveries {
    pub(super) fn new(seat: Seat, reader: Reader) -> Self {
        Deliveries { reader, next: None, page: None, seat: Some(seat) }
    }

    /// From where it begins a page of the log has to be read, if it has to.
    pub(super) fn first(&mut self) -> Option<Cursor> {
        let live = &self.seat.as_ref()?.live;
        match self.reader.step(&live.tail) {
            Step::Read(from) => return Some(from),
            // What it is by then is found when it is waited for.
            Step::Wait => {}
            step => self.next = Some(step),
        }
        None
    }

    /// Takes the page that `first` has asked for.
    pub(super) fn begin(&mut self, page: Vec<Arc<Event>>) {
        if self.fill(page).is_none() {
            self.next = Some(Step::Resync);
        }
    }

    /// None: resync.
    fn fill(&mut self, page: Vec<Arc<Event>>) -> Option<()> {
        let (seen, seat) = (self.reader.fill(page)?, self.seat.as_ref()?);
        // It may have come further than the tail has heard of.
        seat.exchange.touch(&seat.live, |tail| tail.hint(seen));
        Some(())
    }
}

impl Stream for Deliveries {
    type Item = Delivery;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        loop {
            if let Some(page) = &mut this.page {
                let page = ready!(page.poll_unpin(context));
                this.page = None;
                this.begin(page);
            }
            let Some(Seat { exchange, live, place }) = &this.seat else { return Poll::Ready(None) };
            // First this, then the look: what changes in between is not waited for.
            let changes = live.waiting.changes();
            match this.next.take().unwrap_or_else(|| this.reader.step(&live.tail)) {
                Step::Deliver(event) => return Poll::Ready(Some(Delivery::Event(event))),
                Step::Wait => {
                    if live.waiting.wait(*place, changes, context.waker()) {
                        return Poll::Pending;
                    }
                }
                Step::Read(from) => {
                    let (exchange, stream) = (exchange.clone(), live.stream);
                    let limit = this.reader.limit();
                    this.page = Some(async move { exchange.insist(stream, from.seq, limit).await }.boxed());
                }
                Step::Resync => {
                    exchange.meters.resyncs.increment(1);
                    this.seat = None;
                    return Poll::Ready(Some(Delivery::Resync));
                }
            }
        }
    }
}

/// A place at a stream's tail. The last to leave takes the tail away.
pub(super) struct Seat {
    pub exchange: Arc<Exchange>,
    pub live: Arc<Live>,
    place: usize,
}

impl Seat {
    pub fn new(exchange: Arc<Exchange>, live: Arc<Live>) -> Self {
        let place = live.waiting.join();
        Seat { exchange, live, place }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.live.waiting.leave(self.place);
        self.exchange.part(&self.live);
    }
}
