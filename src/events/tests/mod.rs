//! The log put to the test: as plain state under seeded accidents, as a hub over a log in memory, and in
//! PostgreSQL.

mod combiner;
mod database;
mod hub;
#[path = "../../../tests/api/kit/postgres.rs"]
#[allow(dead_code, reason = "the tests of the API use more of it")]
mod postgres;
mod simulation;

use super::{Event, StreamId};
use chrono::DateTime;
use serde_json::Value;
use std::sync::Arc;
use uuid::Uuid;

fn some_stream() -> StreamId {
    StreamId { organization: Uuid::now_v7(), stream: Uuid::now_v7() }
}

fn event(stream: StreamId, seq: i64, id: Uuid) -> Arc<Event> {
    Arc::new(Event {
        organization: stream.organization,
        stream: stream.stream,
        seq,
        id,
        kind: "created".into(),
        entity: "Lead".into(),
        entity_id: id,
        actor: None,
        payload: Value::Null.into(),
        request_id: None,
        at: DateTime::UNIX_EPOCH,
    })
}
