//! The real-time log: one event per changed record, numbered without a gap in the order of commits, handed to
//! whoever is looking. Invariant: a subscriber sees every event of its stream once and in order, or is told
//! to start afresh.
//!
//! In reading order: `append` writes in the mutation's transaction; `combiner` does together what would wait for each
//! other; `read` is the log in the database; `cursor` a place in it that can be checked; `tail` the newest events of one
//! live stream and `resume` one subscriber's way along it, both plain state without a clock or a socket; `hub` brings them
//! together, `subscriber` is who asks for what comes next and waits for it; `sweep` fills gaps, `bus` tells other nodes;
//! `floor` is what leaves the log when it is old.

mod append;
mod bus;
mod combiner;
mod cursor;
mod floor;
mod hub;
mod payload;
mod read;
mod resume;
mod subscriber;
mod sweep;
mod tail;
#[cfg(test)]
mod tests;

#[cfg(test)]
use bus::{Bus, InProcess};

pub use append::{NUMBER_AND_STORE, event_id};
pub use combiner::Combiner;
pub use cursor::Cursor;
pub use floor::{MESSAGE_DELETED, MESSAGES_EXPIRED, forget_bodies, trim};
pub use hub::Hub;
pub use payload::Payload;
pub use read::histories;
pub use subscriber::Deliveries;

use crate::schema::events;
use chrono::{DateTime, Utc};
use diesel::{Queryable, Selectable};
use std::{net::IpAddr, sync::Arc};
use uuid::{Uuid, uuid};

/// What a stream is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StreamKind {
    /// All records of one entity type.
    Records,
    /// One conversation.
    Conversation,
    /// What is one member's alone.
    Member,
    /// The ways in of an organization's people: sign-ins, passwords, sessions.
    Security,
}

impl StreamKind {
    /// As it stands in `streams.kind`.
    pub fn as_str(self) -> &'static str {
        match self {
            StreamKind::Records => "records",
            StreamKind::Conversation => "conversation",
            StreamKind::Member => "member",
            StreamKind::Security => "security",
        }
    }
}

/// One ordered feed of one organization.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamId {
    pub organization: Uuid,
    pub stream: Uuid,
}

/// The stream of all records of a GraphQL type such as `Lead`: the same in every organization, which is why a
/// `StreamId` names both. A conversation's stream is the conversation's own id, which is
/// why no client may choose one of this kind (version 5).
pub fn stream_of_records(entity: &str) -> Uuid {
    const RECORDS: Uuid = uuid!("0199a2b4-5c00-7a3e-9d41-6b1f0c8e2a57");
    Uuid::new_v5(&RECORDS, entity.as_bytes())
}

/// The stream that one member alone may follow: what they have set, and where they have come in.
pub fn stream_of_member(member: Uuid) -> Uuid {
    const MEMBERS: Uuid = uuid!("0199a2b4-5c00-7c11-8f52-0d4be2a97c63");
    Uuid::new_v5(&MEMBERS, member.as_bytes())
}

/// Who did something, and from where. Nothing of it: the system.
#[derive(Clone, Debug, Default)]
pub struct Origin {
    /// None, with a request: somebody who was not signed in.
    pub member: Option<Uuid>,
    /// The key with which the member's program signed in.
    pub api_key: Option<Uuid>,
    pub request_id: Option<Arc<str>>,
    pub address: Option<IpAddr>,
    /// At most 256 bytes.
    pub user_agent: Option<Arc<str>>,
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
    pub payload: Payload,
}

/// What happened to one record.
#[derive(Clone, Debug, PartialEq, Queryable, Selectable)]
#[diesel(table_name = events, check_for_backend(diesel::pg::Pg))]
pub struct Event {
    #[diesel(column_name = organization_id)]
    pub organization: Uuid,
    #[diesel(column_name = stream_id)]
    pub stream: Uuid,
    /// 1, 2, 3 … in its stream.
    pub seq: i64,
    pub id: Uuid,
    pub kind: String,
    pub entity: String,
    pub entity_id: Uuid,
    #[diesel(column_name = actor_id)]
    pub actor: Option<Uuid>,
    pub payload: Payload,
    pub request_id: Option<String>,
    /// By the database's clock, to the microsecond.
    pub at: DateTime<Utc>,
}

impl Event {
    pub fn stream_id(&self) -> StreamId {
        StreamId { organization: self.organization, stream: self.stream }
    }
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
