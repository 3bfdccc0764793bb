//! How much may go on at once: connections, requests, bodies being read, event streams.
//! Invariant: whatever is sent, memory and work are bounded; who comes too many is told so at once.

use crate::{
    config::HttpConfig,
    error::{Code, Error, Result},
    kit::scope::Caller,
};
use parking_lot::Mutex;
use std::{
    collections::{HashMap, hash_map::Entry},
    net::IpAddr,
    sync::Arc,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};
use uuid::Uuid;

/// Bodies up to this many bytes are not counted: what a connection's buffers hold anyway.
const SMALL_BODY: usize = 16 * 1024;
/// What all larger bodies may take together while they are read, in KiB.
const BODIES_KIB: usize = 64 * 1024;

/// Exports that are written at once, of a kind in one organization and of all: each has a page in memory, and reads one after the
/// other.
const EXPORTS: (usize, usize) = (2, 16);

/// What is left of each.
pub struct Limits {
    /// A permit travels with its connection, also when that becomes a socket.
    pub connections: Arc<Semaphore>,
    requests: Semaphore,
    bodies: Semaphore,
    uploads: Semaphore,
    uploads_of: Arc<Streams>,
    streams: Arc<Streams>,
    exports: Arc<Streams>,
    all_exports: Arc<Semaphore>,
}

/// What is streamed now, by who holds it.
struct Streams {
    each: usize,
    held: Mutex<HashMap<Holder, usize>>,
}

/// Whose streams are counted together.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Holder {
    /// Or an API key.
    Session(Uuid),
    Member(Uuid),
    /// Exports of a kind in an organization: whoever takes conversations out keeps nobody from the audit trail.
    Exports(&'static str, Uuid),
    Address(Option<IpAddr>),
}

impl Limits {
    pub fn new(config: &HttpConfig, max_uploads: usize) -> Self {
        let semaphore = |permits: usize| Semaphore::new(permits.min(Semaphore::MAX_PERMITS));
        Limits {
            connections: Arc::new(semaphore(config.max_connections)),
            requests: semaphore(config.max_in_flight),
            bodies: semaphore(BODIES_KIB.max(config.max_body.div_ceil(1024))),
            uploads: semaphore(max_uploads),
            uploads_of: Arc::new(Streams { each: max_uploads.div_ceil(2), held: Mutex::default() }),
            streams: Arc::new(Streams { each: config.max_streams, held: Mutex::default() }),
            exports: Arc::new(Streams { each: EXPORTS.0, held: Mutex::default() }),
            all_exports: Arc::new(semaphore(EXPORTS.1)),
        }
    }

    /// A place among the requests in flight. SERVICE_UNAVAILABLE at once when there is none: waiting in a queue
    /// that is too long helps nobody.
    pub fn request(&self) -> Result<SemaphorePermit<'_>> {
        self.requests.try_acquire().map_err(|_| Error::unavailable("too many requests in flight (http.max_in_flight)"))
    }

    /// A place among the uploads that are taken in. SERVICE_UNAVAILABLE at once when there is none.
    pub fn upload(&self) -> Result<SemaphorePermit<'_>> {
        self.uploads.try_acquire().map_err(|_| Error::unavailable("too many uploads at once (files.max_uploads)"))
    }

    /// A member's share of these places, which is half of them: nobody takes all, however slowly they send. RATE_LIMITED when
    /// they hold it.
    pub fn upload_of(&self, member: Uuid) -> Result<StreamPermit> {
        self.uploads_of.take(Holder::Member(member)).map_err(|_| {
            let message =
                format!("At most {} uploads of a member at once. Wait until one has ended.", self.uploads_of.each);
            Error::yours(Code::RateLimited, message)
        })
    }

    /// A place among the exports that are written. RATE_LIMITED when the organization has its share of this kind,
    /// SERVICE_UNAVAILABLE when there is none.
    pub fn export(&self, kind: &'static str, organization: Uuid) -> Result<(StreamPermit, OwnedSemaphorePermit)> {
        let own = self.exports.take(Holder::Exports(kind, organization)).map_err(|_| {
            let message = format!("At most {} of these exports at once. Wait until one has ended.", EXPORTS.0);
            Error::yours(Code::RateLimited, message)
        })?;
        let all = self.all_exports.clone().try_acquire_owned().map_err(|_| Error::unavailable("too many exports"))?;
        Ok((own, all))
    }

    /// Requests in flight now, of `max`.
    pub fn in_flight(&self, max: usize) -> usize {
        max.saturating_sub(self.requests.available_permits())
    }

    /// Nothing held yet for a body.
    pub fn body(&self) -> BodyPermit<'_> {
        BodyPermit { bodies: &self.bodies, held: None }
    }

    /// A place for one event stream of this caller. SUBSCRIPTION_LIMIT when it holds as many as it may.
    pub fn stream(&self, caller: &Caller) -> Result<StreamPermit> {
        match caller {
            Caller::Member(scope) => self.streams.take(Holder::Session(scope.actor.credential.id())),
            Caller::Stranger { request, .. } => self.address_stream(request.address),
        }
    }

    /// As `stream`, for somebody of whom only the address is known.
    pub fn address_stream(&self, address: Option<IpAddr>) -> Result<StreamPermit> {
        self.streams.take(Holder::Address(address))
    }

    /// Event streams open now.
    pub fn streams_open(&self) -> usize {
        self.streams.held.lock().values().sum()
    }
}

/// Memory granted to one body while it is read.
pub struct BodyPermit<'a> {
    bodies: &'a Semaphore,
    held: Option<SemaphorePermit<'a>>,
}

impl BodyPermit<'_> {
    /// Asks for `total` bytes in all. SERVICE_UNAVAILABLE when other bodies have taken what there is.
    pub fn grow(&mut self, total: usize) -> Result<()> {
        if total <= SMALL_BODY {
            return Ok(());
        }
        let held = self.held.as_ref().map_or(0, SemaphorePermit::num_permits);
        let more = total.div_ceil(1024).saturating_sub(held);
        let more = self
            .bodies
            .try_acquire_many(u32::try_from(more).unwrap_or(u32::MAX))
            .map_err(|_| Error::unavailable("too many large bodies at once"))?;
        match &mut self.held {
            Some(held) => held.merge(more),
            None => self.held = Some(more),
        }
        Ok(())
    }
}

impl Streams {
    fn take(self: &Arc<Self>, holder: Holder) -> Result<StreamPermit> {
        let mut held = self.held.lock();
        let count = held.entry(holder).or_default();
        if *count >= self.each {
            return Err(Error::yours(
                Code::SubscriptionLimit,
                format!("At most {} event streams at once. Close some, or use one WebSocket for all.", self.each),
            ));
        }
        *count += 1;
        Ok(StreamPermit { streams: self.clone(), holder })
    }
}

/// The place of one stream, given back when dropped.
pub struct StreamPermit {
    streams: Arc<Streams>,
    holder: Holder,
}

impl Drop for StreamPermit {
    fn drop(&mut self) {
        if let Entry::Occupied(mut count) = self.streams.held.lock().entry(self.holder) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

/// A connection's place, moved along with its bytes.
pub type ConnectionPermit = OwnedSemaphorePermit;

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(max_in_flight: usize, max_streams: usize) -> Limits {
        Limits::new(&HttpConfig { max_in_flight, max_streams, ..HttpConfig::default() }, 1)
    }

    #[test]
    fn one_request_more_than_allowed_is_refused_until_another_ends() {
        let limits = limits(1, 1);
        let first = limits.request().expect("a place");
        assert_eq!(limits.request().expect_err("full").code(), Code::ServiceUnavailable);
        drop(first);
        assert!(limits.request().is_ok());
    }

    #[test]
    fn streams_are_counted_by_holder_and_given_back() {
        let limits = limits(1, 2);
        let (ann, bob) = (Holder::Session(Uuid::from_u128(1)), Holder::Address(None));
        let one = limits.streams.take(ann).expect("first");
        let _two = limits.streams.take(ann).expect("second");
        let refused = limits.streams.take(ann).err().expect("third is refused");
        assert_eq!(refused.code(), Code::SubscriptionLimit);
        let _bob = limits.streams.take(bob).expect("another holder");
        assert_eq!(limits.streams_open(), 3);
        drop(one);
        assert!(limits.streams.take(ann).is_ok());
        assert_eq!(limits.streams_open(), 2, "a permit that is not kept is given back");
    }

    #[test]
    fn large_bodies_share_what_there_is() {
        let limits = limits(1, 1);
        let mut large = limits.body();
        large.grow(BODIES_KIB * 1024 - 1024).expect("nearly all");
        large.grow(BODIES_KIB * 1024).expect("the rest");
        let mut other = limits.body();
        assert!(other.grow(SMALL_BODY).is_ok(), "small bodies are not counted");
        assert_eq!(other.grow(SMALL_BODY + 1).expect_err("nothing left").code(), Code::ServiceUnavailable);
        drop(large);
        assert!(other.grow(SMALL_BODY + 1).is_ok());
    }
}
