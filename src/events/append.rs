//! Writing the log: the last statement of every mutation. Invariant: the order of numbers is the order of commits,
//! and no number is missing, because a stream's head is locked from the moment a number is taken until the
//! transaction ends, and rolled back with it.

use super::{Change, Event, Hub, Origin, Payload};
use crate::error::Result;
use chrono::{DateTime, Utc};
use diesel::{
    pg::Pg,
    query_builder::{AstPass, Query, QueryFragment, QueryId},
    result::QueryResult,
    sql_types::{Array, BigInt, Jsonb, Nullable, Text, Timestamptz, Uuid as SqlUuid},
};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};
use uuid::{Builder, Uuid};

impl Hub {
    /// Numbers and stores the changes, in the caller's transaction and as its last statement: from here to the
    /// commit everybody else who writes to these streams waits. Call it once in a transaction: streams are
    /// locked in sorted order, and a second call could lock them out of it. One round trip.
    pub async fn append(
        conn: &mut AsyncPgConnection,
        organization: Uuid,
        origin: &Origin,
        changes: Vec<Change>,
    ) -> Result<Vec<Arc<Event>>> {
        if changes.is_empty() {
            return Ok(Vec::new());
        }
        let append = Append::new(organization, origin, &changes);
        let (ids, behind) = (append.ids.clone(), append.behind.clone());
        let heads: HashMap<Uuid, (i64, DateTime<Utc>)> = append
            .load::<(Uuid, i64, DateTime<Utc>)>(conn)
            .await?
            .into_iter()
            .map(|(stream, seq, at)| (stream, (seq, at)))
            .collect();
        let numbered = changes.into_iter().zip(ids).zip(behind).filter_map(|((change, id), behind)| {
            let (head, at) = heads.get(&change.stream)?;
            Some(change.stored(id, head - behind, *at, organization, origin.member, origin.request_id.as_deref()))
        });
        Ok(numbered.collect())
    }
}

impl Change {
    /// The event that this has become.
    pub fn stored(
        self,
        id: Uuid,
        seq: i64,
        at: DateTime<Utc>,
        organization: Uuid,
        actor: Option<Uuid>,
        request_id: Option<&str>,
    ) -> Arc<Event> {
        Arc::new(Event {
            organization,
            stream: self.stream,
            seq,
            id,
            kind: self.kind.into(),
            entity: self.entity.into(),
            entity_id: self.entity_id,
            actor,
            payload: self.payload,
            request_id: request_id.map(Into::into),
            at,
        })
    }
}

/// UUIDv7 whose last eight bytes are random (RFC 9562, 5.7, without a counter): they are the tag of cursors.
pub fn event_id() -> Uuid {
    let millis = u64::try_from(Utc::now().timestamp_millis()).unwrap_or_default();
    Builder::from_unix_timestamp_millis(millis, &rand::random()).into_uuid()
}

/// The part of a statement that numbers and stores events. Before it stand `wanted (organization, stream, kind, count)`,
/// a row a stream, and `change (stream, behind, id, kind, entity, entity_id, payload, actor, request_id,
/// api_key, address, user_agent)`, a row an event; behind it `head (organization_id, stream_id, head_seq, at)` can be read. For a statement that writes a record
/// and its event at once; all others use `Hub::append`.
pub const NUMBER_AND_STORE: &str = "
    head AS (
      INSERT INTO stream_heads AS h (organization_id, stream_id, head_seq)
      SELECT organization, stream, count FROM wanted ORDER BY stream
      ON CONFLICT (organization_id, stream_id) DO UPDATE SET head_seq = h.head_seq + excluded.head_seq
      RETURNING organization_id, stream_id, head_seq, clock_timestamp() AS at
    ), opened AS (
      INSERT INTO streams (organization_id, stream_id, kind)
      SELECT organization, stream, kind FROM wanted JOIN head ON stream_id = stream AND head_seq = count
      ON CONFLICT DO NOTHING
    ), written AS (
      INSERT INTO events (organization_id, stream_id, seq, id, kind, entity, entity_id, actor_id, payload,
        request_id, api_key_id, address, user_agent, at)
      SELECT organization_id, stream_id, head_seq - behind, id, kind, entity, entity_id, actor, payload,
        request_id, api_key, address, user_agent, at FROM change JOIN head ON stream_id = stream
    )";

/// The statement. A type of its own, as `sql_query` is parsed and planned anew with every call, in a round trip
/// of its own.
struct Append<'a> {
    organization: Uuid,
    origin: &'a Origin,
    request_id: Option<&'a str>,
    address: Option<String>,
    user_agent: Option<&'a str>,
    // One of each per stream, in sorted order.
    streams: Vec<Uuid>,
    stream_kinds: Vec<&'a str>,
    counts: Vec<i64>,
    // One of each per change.
    change_streams: Vec<Uuid>,
    /// How many changes of the same stream come after it.
    behind: Vec<i64>,
    ids: Vec<Uuid>,
    kinds: Vec<&'a str>,
    entities: Vec<&'a str>,
    entity_ids: Vec<Uuid>,
    payloads: Vec<&'a Payload>,
}

impl<'a> Append<'a> {
    fn new(organization: Uuid, origin: &'a Origin, changes: &'a [Change]) -> Self {
        let mut streams = BTreeMap::new();
        let mut behind: Vec<i64> = changes
            .iter()
            .rev()
            .map(|change| {
                let (_, count) = streams.entry(change.stream).or_insert((change.stream_kind.as_str(), 0));
                *count += 1;
                *count - 1
            })
            .collect();
        behind.reverse();
        Append {
            organization,
            origin,
            request_id: origin.request_id.as_deref(),
            address: origin.address.map(|address| address.to_string()),
            user_agent: origin.user_agent.as_deref(),
            streams: streams.keys().copied().collect(),
            stream_kinds: streams.values().map(|(kind, _)| *kind).collect(),
            counts: streams.values().map(|(_, count)| *count).collect(),
            change_streams: changes.iter().map(|change| change.stream).collect(),
            behind,
            ids: changes.iter().map(|_| event_id()).collect(),
            kinds: changes.iter().map(|change| change.kind).collect(),
            entities: changes.iter().map(|change| change.entity).collect(),
            entity_ids: changes.iter().map(|change| change.entity_id).collect(),
            payloads: changes.iter().map(|change| &change.payload).collect(),
        }
    }
}

impl QueryFragment<Pg> for Append<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("WITH wanted AS (SELECT ");
        out.push_bind_param::<SqlUuid, _>(&self.organization)?;
        out.push_sql(" AS organization, w.* FROM unnest(");
        out.push_bind_param::<Array<SqlUuid>, _>(&self.streams)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Text>, _>(&self.stream_kinds)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<BigInt>, _>(&self.counts)?;
        out.push_sql(") AS w (stream, kind, count)), change AS (SELECT ");
        out.push_bind_param::<Nullable<SqlUuid>, _>(&self.origin.member)?;
        out.push_sql(" AS actor, ");
        out.push_bind_param::<Nullable<Text>, _>(&self.request_id)?;
        out.push_sql(" AS request_id, ");
        out.push_bind_param::<Nullable<SqlUuid>, _>(&self.origin.api_key)?;
        out.push_sql(" AS api_key, ");
        out.push_bind_param::<Nullable<Text>, _>(&self.address)?;
        out.push_sql(" AS address, ");
        out.push_bind_param::<Nullable<Text>, _>(&self.user_agent)?;
        out.push_sql(" AS user_agent, c.* FROM unnest(");
        out.push_bind_param::<Array<SqlUuid>, _>(&self.change_streams)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<BigInt>, _>(&self.behind)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<SqlUuid>, _>(&self.ids)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Text>, _>(&self.kinds)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Text>, _>(&self.entities)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<SqlUuid>, _>(&self.entity_ids)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Jsonb>, _>(&self.payloads)?;
        out.push_sql(") AS c (stream, behind, id, kind, entity, entity_id, payload)), ");
        out.push_sql(NUMBER_AND_STORE);
        out.push_sql(" SELECT stream_id, head_seq, at FROM head");
        Ok(())
    }
}

impl QueryId for Append<'_> {
    type QueryId = Append<'static>;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl Query for Append<'_> {
    type SqlType = (SqlUuid, BigInt, Timestamptz);
}
