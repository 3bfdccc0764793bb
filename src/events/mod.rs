//! The real-time log: one event per changed record, numbered without a gap in the order of commits, handed to
//! whoever is looking. Invariant: a subscriber sees every event of its stream once and in order, or is told
//! to start afresh.

use crate::error::Result;
use chrono::{DateTime, Utc};
use diesel_async::AsyncPgConnection;
use futures_util::stream::BoxStream;
use serde_json::Value;
use std::sync::Arc;
use uuid::Uuid;

/// What a stream is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StreamKind {
    /// All records of one entity type.
    Records,
    /// One conversation.
    Conversation,
}

/// One ordered feed of one organization.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamId {
    pub organization: Uuid,
    pub stream: Uuid,
}

/// What happened to one record, before it has a number.
#[derive(Clone, Debug)]
pub struct Change {
    pub stream: Uuid,
    pub stream_kind: StreamKind,
    /// `created`, `updated`, `deleted`, `restored`, `purged`, or a word of the entity (`converted`).
    pub kind: &'static str,
    /// The GraphQL type, such as `Lead`.
    pub entity: &'static str,
    pub entity_id: Uuid,
    pub payload: Value,
}

/// What happened to one record.
#[derive(Clone, Debug)]
pub struct Event {
    pub organization: Uuid,
    pub stream: Uuid,
    pub seq: i64,
    pub id: Uuid,
    pub kind: String,
    pub entity: String,
    pub entity_id: Uuid,
    pub actor: Option<Uuid>,
    pub payload: Value,
    pub request_id: Option<String>,
    pub at: DateTime<Utc>,
}

/// A place in a stream that can be checked: the number and the tail of that event's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    pub seq: i64,
    pub tag: [u8; 8],
}

/// Where a subscriber starts.
#[derive(Clone, Copy, Debug)]
pub enum After {
    /// With what comes from now on.
    Now,
    /// Behind this event.
    Cursor(Cursor),
}

/// What a subscriber is handed.
#[derive(Clone, Debug)]
pub enum Delivery {
    Event(Arc<Event>),
    /// What is missing cannot be replayed: fetch afresh, then subscribe from now. The last delivery.
    Resync,
}

/// The node's exchange: streams with live subscribers, their tails and rings.
#[derive(Clone)]
pub struct Hub {}

impl Hub {
    pub fn new(_config: &crate::config::EventConfig, _database: crate::platform::database::Database) -> Self {
        todo!()
    }

    /// Numbers and stores the changes, in the caller's transaction and as its last statement.
    pub async fn append(
        _conn: &mut AsyncPgConnection,
        _organization: Uuid,
        _actor: Option<Uuid>,
        _request_id: Option<&str>,
        _changes: Vec<Change>,
    ) -> Result<Vec<Arc<Event>>> {
        todo!()
    }

    /// Hands committed events to this node's subscribers and hints the other nodes.
    pub fn publish(&self, _events: Vec<Arc<Event>>) {
        todo!()
    }

    /// Replay behind `after`, then live: no gap, no repeat. Errors of the stream end it.
    pub async fn subscribe(&self, _stream: StreamId, _after: After) -> Result<BoxStream<'static, Result<Delivery>>> {
        todo!()
    }

    /// At most `first` events behind `after` (or from the floor), oldest first, for queries; None: resync.
    pub async fn read(
        &self,
        _stream: StreamId,
        _after: Option<Cursor>,
        _first: usize,
    ) -> Result<Option<Vec<Arc<Event>>>> {
        todo!()
    }
}
