//! The log as the database has it: what replays, gaps, sweeps and histories read. Invariant: each answer is one
//! statement, and so one moment; what is below a stream's floor is never shown.

use super::{Cursor, Event, Hub, StreamId, tail::Head};
use crate::{
    error::Result,
    platform::database::Database,
    schema::{events, stream_heads},
};
use diesel::{
    BoolExpressionMethods, ExpressionMethods, JoinOnDsl, NullableExpressionMethods, QueryDsl, QueryResult,
    SelectableHelper,
    dsl::{AsSelect, SqlTypeOf, max},
    pg::Pg,
    query_builder::{AstPass, Query, QueryFragment, QueryId},
    sql_types::{Array, BigInt, Text, Uuid as SqlUuid},
};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use futures_util::future::{BoxFuture, FutureExt, try_join_all};
use std::{collections::HashMap, sync::Arc};
use uuid::Uuid;

/// A piece of a stream: at most `limit` events, oldest first, starting with `from`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Want {
    pub stream: Uuid,
    pub from: i64,
    pub limit: usize,
}

/// What the hub needs of the log. The database has it; tests bring one of their own.
pub(super) trait Log: Send + Sync + 'static {
    /// The newest `count` events of a stream, oldest first.
    fn newest(&self, stream: StreamId, count: usize) -> BoxFuture<'_, Result<Vec<Arc<Event>>>>;
    /// Pieces of streams of one organization, in the order of `wants`.
    fn pages(&self, organization: Uuid, wants: Vec<Want>) -> BoxFuture<'_, Result<Vec<Vec<Arc<Event>>>>>;
    /// The heads of streams of one organization; those without events are left out.
    fn heads(&self, organization: Uuid, streams: Vec<Uuid>) -> BoxFuture<'_, Result<Vec<(Uuid, Head)>>>;
    /// Another number when the log may have gone back (failover, restore), before anything is written to what it is then.
    fn server(&self) -> u64;
}

impl Log for Database {
    fn newest(&self, stream: StreamId, count: usize) -> BoxFuture<'_, Result<Vec<Arc<Event>>>> {
        async move { Ok(newest(&*self.of(stream.organization).await?, stream, count).await?) }.boxed()
    }

    fn pages(&self, organization: Uuid, wants: Vec<Want>) -> BoxFuture<'_, Result<Vec<Vec<Arc<Event>>>>> {
        async move { Ok(pages(&*self.of(organization).await?, organization, &wants).await?) }.boxed()
    }

    fn heads(&self, organization: Uuid, streams: Vec<Uuid>) -> BoxFuture<'_, Result<Vec<(Uuid, Head)>>> {
        async move { Ok(heads(&*self.of(organization).await?, organization, &streams).await?) }.boxed()
    }

    fn server(&self) -> u64 {
        Database::server(self)
    }
}

pub(super) async fn newest(
    mut conn: &AsyncPgConnection,
    stream: StreamId,
    count: usize,
) -> QueryResult<Vec<Arc<Event>>> {
    let floor = stream_heads::table
        .filter(stream_heads::organization_id.eq(stream.organization))
        .filter(stream_heads::stream_id.eq(stream.stream))
        .select(max(stream_heads::floor_seq))
        .single_value();
    let mut newest: Vec<Event> = events::table
        .filter(events::organization_id.eq(stream.organization))
        .filter(events::stream_id.eq(stream.stream))
        .filter(events::seq.nullable().gt(floor))
        .order(events::seq.desc())
        .limit(limit(count))
        .select(Event::as_select())
        .load(&mut conn)
        .await?;
    newest.reverse();
    Ok(newest.into_iter().map(Arc::new).collect())
}

/// All in one flight: the queries are pipelined.
pub(super) async fn pages(
    conn: &AsyncPgConnection,
    organization: Uuid,
    wants: &[Want],
) -> QueryResult<Vec<Vec<Arc<Event>>>> {
    try_join_all(wants.iter().map(|want| page(conn, organization, *want))).await
}

async fn page(mut conn: &AsyncPgConnection, organization: Uuid, want: Want) -> QueryResult<Vec<Arc<Event>>> {
    let floor = stream_heads::table
        .filter(stream_heads::organization_id.eq(organization))
        .filter(stream_heads::stream_id.eq(want.stream))
        .select(max(stream_heads::floor_seq))
        .single_value();
    let page: Vec<Event> = events::table
        .filter(events::organization_id.eq(organization))
        .filter(events::stream_id.eq(want.stream))
        .filter(events::seq.ge(want.from))
        .filter(events::seq.nullable().gt(floor))
        .order(events::seq)
        .limit(limit(want.limit))
        .select(Event::as_select())
        .load(&mut conn)
        .await?;
    Ok(page.into_iter().map(Arc::new).collect())
}

pub(super) async fn heads(
    mut conn: &AsyncPgConnection,
    organization: Uuid,
    streams: &[Uuid],
) -> QueryResult<Vec<(Uuid, Head)>> {
    let same_event = events::organization_id
        .eq(stream_heads::organization_id)
        .and(events::stream_id.eq(stream_heads::stream_id))
        .and(events::seq.eq(stream_heads::head_seq));
    let heads: Vec<(Uuid, i64, Option<Uuid>)> = stream_heads::table
        .left_join(events::table.on(same_event))
        .filter(stream_heads::organization_id.eq(organization))
        .filter(stream_heads::stream_id.eq_any(streams))
        .select((stream_heads::stream_id, stream_heads::head_seq, events::id.nullable()))
        .load(&mut conn)
        .await?;
    Ok(heads.into_iter().map(|(stream, seq, id)| (stream, Head { seq, id })).collect())
}

/// What happened to each of these records, newest first: at most `first` events each before the number `before`; records
/// without any are left out. All events of a record are in one stream. Clients choose ids, so that records of two types
/// may have the same: hence `entity`. The caller has checked that the records may be seen and names each once.
pub async fn histories(
    mut conn: &AsyncPgConnection,
    organization: Uuid,
    entity: &str,
    entity_ids: &[Uuid],
    before: Option<i64>,
    first: usize,
) -> Result<HashMap<Uuid, Vec<Event>>> {
    let (before, first) = (before.unwrap_or(i64::MAX), limit(first));
    let events = Histories { organization, entity, entity_ids, before, first }.load::<Event>(&mut conn).await?;
    let mut histories: HashMap<Uuid, Vec<Event>> = HashMap::new();
    for event in events {
        histories.entry(event.entity_id).or_default().push(event);
    }
    Ok(histories)
}

struct Histories<'a> {
    organization: Uuid,
    entity: &'a str,
    entity_ids: &'a [Uuid],
    before: i64,
    first: i64,
}

impl QueryFragment<Pg> for Histories<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("SELECT e.* FROM unnest(");
        out.push_bind_param::<Array<SqlUuid>, _>(self.entity_ids)?;
        out.push_sql(
            ") AS record (id) CROSS JOIN LATERAL (
               SELECT organization_id, stream_id, seq, id, kind, entity, entity_id, actor_id, payload, request_id, at
               FROM events WHERE entity_id = record.id AND organization_id = ",
        );
        out.push_bind_param::<SqlUuid, _>(&self.organization)?;
        out.push_sql(" AND entity = ");
        out.push_bind_param::<Text, _>(self.entity)?;
        out.push_sql(" AND seq < ");
        out.push_bind_param::<BigInt, _>(&self.before)?;
        out.push_sql(" ORDER BY seq DESC LIMIT ");
        out.push_bind_param::<BigInt, _>(&self.first)?;
        out.push_sql(") e ORDER BY e.seq DESC");
        Ok(())
    }
}

impl QueryId for Histories<'_> {
    type QueryId = Histories<'static>;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl Query for Histories<'_> {
    type SqlType = SqlTypeOf<AsSelect<Event, Pg>>;
}

impl Hub {
    /// At most `first` events behind `after` (or from the floor), oldest first, for queries; None: resync.
    /// INVALID_CURSOR for a cursor of another stream.
    pub async fn read(&self, stream: StreamId, after: Option<Cursor>, first: usize) -> Result<Option<Vec<Arc<Event>>>> {
        if let Some(after) = after {
            after.expect(stream)?;
        }
        let from = after.map_or(0, |after| after.seq);
        // One more for the event that the cursor stands on.
        let want = Want { stream: stream.stream, from, limit: first.saturating_add((from > 0).into()) };
        let page = self.exchange.log.pages(stream.organization, vec![want]).await?.pop().unwrap_or_default();
        Ok(match after {
            Some(after) => after.follow(page),
            None => Some(page),
        })
    }

    /// Behind the newest event of a stream: read it before the rows that a client is shown, and what happens to
    /// them afterwards comes behind it.
    pub async fn cursor(&self, stream: StreamId) -> Result<Cursor> {
        let newest = self.exchange.log.newest(stream, 1).await?;
        Ok(newest.last().map_or(Cursor::origin(stream), |event| event.cursor()))
    }
}

fn limit(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
