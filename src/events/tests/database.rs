//! The log in PostgreSQL, behind the wall: an organization of its own for each test.

use super::super::*;
use crate::{
    error::{Code, Result},
    events::{
        read::{self, Log, Want},
        tail::Head,
    },
    schema::{organizations, stream_heads, streams},
};
use diesel::{ExpressionMethods, QueryDsl, QueryResult, dsl::sql, sql_types::Text};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};
use futures_util::{
    FutureExt, StreamExt,
    future::{BoxFuture, join_all},
};
use serde_json::json;
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// A connection that sees one organization's rows.
async fn connect(organization: Uuid) -> AsyncPgConnection {
    let url = super::postgres::url().await;
    let mut conn = AsyncPgConnection::establish(&url).await.expect("the test database answers");
    conn.batch_execute("SET ROLE stoa_request").await.unwrap();
    let set = sql::<Text>("set_config('stoa.organization', ").bind::<Text, _>(organization.to_string()).sql(", false)");
    diesel::select(set).execute(&mut conn).await.unwrap();
    conn
}

async fn new_organization() -> (Uuid, AsyncPgConnection) {
    let id = Uuid::now_v7();
    let mut conn = connect(id).await;
    let row = (organizations::id.eq(id), organizations::name.eq("Test"), organizations::slug.eq(id.to_string()));
    diesel::insert_into(organizations::table).values(row).execute(&mut conn).await.unwrap();
    (id, conn)
}

/// The log with a connection for each question.
struct Postgres;

impl Log for Postgres {
    fn newest(&self, stream: StreamId, count: usize) -> BoxFuture<'_, Result<Vec<Arc<Event>>>> {
        async move { Ok(read::newest(&connect(stream.organization).await, stream, count).await?) }.boxed()
    }

    fn pages(&self, organization: Uuid, wants: Vec<Want>) -> BoxFuture<'_, Result<Vec<Vec<Arc<Event>>>>> {
        async move { Ok(read::pages(&connect(organization).await, organization, &wants).await?) }.boxed()
    }

    fn heads(&self, organization: Uuid, streams: Vec<Uuid>) -> BoxFuture<'_, Result<Vec<(Uuid, Head)>>> {
        async move { Ok(read::heads(&connect(organization).await, organization, &streams).await?) }.boxed()
    }

    fn server(&self) -> u64 {
        0
    }
}

fn hub(sweep_ms: u64) -> Hub {
    let config = crate::config::EventConfig { ring: 16, sweep_ms, queue: 8, ..Default::default() };
    Hub::over(&config, Arc::new(Postgres), InProcess)
}

fn change(stream: Uuid) -> Change {
    Change {
        stream,
        stream_kind: StreamKind::Conversation,
        kind: "created",
        entity: "Message",
        entity_id: Uuid::now_v7(),
        payload: json!({"body": "Hello", "n": 1.5}).into(),
    }
}

async fn append(conn: &mut AsyncPgConnection, organization: Uuid, streams: &[Uuid]) -> Result<Vec<Arc<Event>>> {
    let changes = streams.iter().map(|stream| change(*stream)).collect();
    let origin = Origin { request_id: Some("request-1".into()), ..Origin::default() };
    Hub::append(conn, organization, &origin, changes).await
}

fn numbers(events: &[Arc<Event>]) -> Vec<i64> {
    events.iter().map(|event| event.seq).collect()
}

async fn log(conn: &AsyncPgConnection, id: StreamId) -> QueryResult<Vec<Arc<Event>>> {
    let want = Want { stream: id.stream, from: 0, limit: 100_000 };
    Ok(read::pages(conn, id.organization, vec![want].as_slice()).await?.remove(0))
}

async fn deliveries(hub: &Hub, stream: StreamId, after: After, count: usize) -> Vec<i64> {
    let feed = hub.subscribe(stream, after).await.unwrap();
    let feed = feed.map(|delivery| match delivery {
        Delivery::Event(event) => event.seq,
        Delivery::Resync => -1,
    });
    timeout(Duration::from_secs(20), feed.take(count).collect()).await.expect("nothing came")
}

#[tokio::test]
async fn an_event_is_stored_as_it_is_handed_out() {
    let (organization, mut conn) = new_organization().await;
    let (a, b) = (Uuid::now_v7(), Uuid::now_v7());
    let made = append(&mut conn, organization, &[b, a, b]).await.unwrap();
    assert_eq!(numbers(&made), [1, 1, 2]);
    assert_eq!(made.iter().map(|event| event.stream).collect::<Vec<_>>(), [b, a, b]);
    let stored = log(&conn, StreamId { organization, stream: b }).await.unwrap();
    assert_eq!([&made[0], &made[2]], [&stored[0], &stored[1]]);
    assert_eq!(numbers(&append(&mut conn, organization, &[b]).await.unwrap()), [3]);
    assert!(append(&mut conn, organization, &[]).await.unwrap().is_empty());
    let kinds = streams::table.select((streams::stream_id, streams::kind)).order(streams::stream_id);
    let kinds: Vec<(Uuid, String)> = kinds.load(&mut conn).await.unwrap();
    assert_eq!(kinds, [(a, "conversation".to_owned()), (b, "conversation".to_owned())]);
}

#[tokio::test]
async fn the_slow_one_that_commits_last_is_not_skipped() {
    let (organization, mut slow) = new_organization().await;
    let mut fast = connect(organization).await;
    let id = StreamId { organization, stream: Uuid::now_v7() };
    let hub = hub(20);
    let mut feed = hub.subscribe(id, After::Now).await.unwrap();
    let mut next = async || match timeout(Duration::from_secs(20), feed.next()).await {
        Ok(Some(Delivery::Event(event))) => event,
        other => panic!("{other:?}"),
    };
    // Began first, commits last.
    slow.batch_execute("BEGIN; SELECT clock_timestamp()").await.unwrap();
    fast.batch_execute("BEGIN").await.unwrap();
    let first = append(&mut fast, organization, &[id.stream]).await.unwrap();
    fast.batch_execute("COMMIT").await.unwrap();
    assert_eq!(next().await.id, first[0].id);
    // Has its number, so that the other one waits for the commit.
    let second = append(&mut slow, organization, &[id.stream]).await.unwrap();
    let mut waiting = tokio::spawn(async move { append(&mut fast, organization, &[id.stream]).await });
    assert!(timeout(Duration::from_millis(200), &mut waiting).await.is_err());
    slow.batch_execute("COMMIT").await.unwrap();
    let third = waiting.await.unwrap().unwrap();
    assert_eq!((first[0].seq, second[0].seq, third[0].seq), (1, 2, 3));
    assert!(second[0].at < third[0].at);
    assert_eq!(next().await.id, second[0].id);
    assert_eq!(next().await.id, third[0].id);
}

#[tokio::test]
async fn a_rollback_leaves_no_hole() {
    let (organization, mut conn) = new_organization().await;
    let stream = Uuid::now_v7();
    for kept in [false, true, false, true] {
        conn.batch_execute("BEGIN").await.unwrap();
        append(&mut conn, organization, &[stream, stream]).await.unwrap();
        conn.batch_execute(if kept { "COMMIT" } else { "ROLLBACK" }).await.unwrap();
    }
    assert_eq!(numbers(&log(&conn, StreamId { organization, stream }).await.unwrap()), [1, 2, 3, 4]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_at_once_leave_one_gapless_order() {
    let (organization, conn) = new_organization().await;
    let id = StreamId { organization, stream: Uuid::now_v7() };
    let hub = hub(100);
    let feeds: Vec<_> = (0..3).map(|_| hub.subscribe(id, After::Cursor(Cursor::origin(id)))).collect();
    let feeds: Vec<_> = join_all(feeds).await.into_iter().map(|feed| feed.unwrap()).collect();
    let writers = (0..8).map(|_| {
        let hub = hub.clone();
        tokio::spawn(async move {
            let mut conn = connect(organization).await;
            let mut kept = 0;
            for turn in 0..20 {
                conn.batch_execute("BEGIN").await.unwrap();
                let events = append(&mut conn, organization, &[id.stream, id.stream]).await.unwrap();
                if turn % 5 == 4 {
                    conn.batch_execute("ROLLBACK").await.unwrap();
                    continue;
                }
                conn.batch_execute("COMMIT").await.unwrap();
                kept += events.len();
                // Late, so that publishes overtake each other, and sometimes not at all.
                let (pause, dies) = (rand::random_range(0..8), rand::random_range(0..10) == 0);
                sleep(Duration::from_millis(pause)).await;
                if !dies {
                    hub.publish(events);
                }
            }
            kept
        })
    });
    let total: usize = join_all(writers).await.into_iter().map(|kept| kept.unwrap()).sum();
    assert_eq!(total, 8 * 16 * 2);
    let stored = log(&conn, id).await.unwrap();
    assert_eq!(numbers(&stored), (1..=total as i64).collect::<Vec<_>>());
    assert!(stored.is_sorted_by_key(|event| event.at), "numbers are in the order of time");
    for feed in feeds {
        let seen: Vec<_> = timeout(Duration::from_secs(20), feed.take(total).collect()).await.unwrap();
        for (delivery, event) in seen.into_iter().zip(&stored) {
            assert!(matches!(delivery, Delivery::Event(seen) if seen.id == event.id));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn opposite_orders_of_streams_do_not_lock_each_other() {
    let (organization, _) = new_organization().await;
    let all: Vec<Uuid> = (0..5).map(|_| Uuid::now_v7()).collect();
    let writers = (0..6).map(|writer| {
        let mut streams = all.clone();
        tokio::spawn(async move {
            let mut conn = connect(organization).await;
            for turn in 0..30 {
                streams.rotate_left(writer % 5);
                if turn % 2 == writer % 2 {
                    streams.reverse();
                }
                append(&mut conn, organization, &streams).await.unwrap();
            }
        })
    });
    join_all(writers).await.into_iter().for_each(|writer| writer.unwrap());
    let conn = connect(organization).await;
    for stream in all {
        assert_eq!(log(&conn, StreamId { organization, stream }).await.unwrap().len(), 180);
    }
}

#[tokio::test]
async fn resumes_at_every_point_and_nowhere_else() {
    let (organization, mut conn) = new_organization().await;
    let id = StreamId { organization, stream: Uuid::now_v7() };
    let events = append(&mut conn, organization, &[id.stream; 30]).await.unwrap();
    let hub = hub(3_600_000);
    let start = async |cursor: Cursor, count| deliveries(&hub, id, After::Cursor(cursor), count).await;
    assert_eq!(start(Cursor::origin(id), 30).await, (1..=30).collect::<Vec<_>>());
    for event in &events[..29] {
        let cursor = Cursor::decode(&event.cursor().encode()).unwrap();
        assert_eq!(start(cursor, 1).await, [event.seq + 1]);
        assert_eq!(numbers(&hub.read(id, Some(cursor), 2).await.unwrap().unwrap())[0], event.seq + 1);
    }
    assert_eq!(hub.cursor(id).await.unwrap(), events[29].cursor());
    // Made up, of the future.
    for (seq, tag) in [(3, [9; 8]), (30, [9; 8]), (31, events[29].cursor().tag), (i64::MAX, [1; 8])] {
        let mut cursor = events[29].cursor();
        (cursor.seq, cursor.tag) = (seq, tag);
        assert_eq!(start(cursor, 5).await, [-1]);
        assert!(hub.read(id, Some(cursor), 2).await.unwrap().is_none());
    }
    // Of another stream, and of the same stream in another organization.
    for id in [StreamId { stream: Uuid::now_v7(), ..id }, StreamId { organization: Uuid::now_v7(), ..id }] {
        let fault = hub.subscribe(id, After::Cursor(events[3].cursor())).await.err().unwrap();
        assert_eq!(fault.code(), Code::InvalidCursor);
    }
    // Below the floor, even while the rows are still there.
    let floor = diesel::update(stream_heads::table).filter(stream_heads::stream_id.eq(id.stream));
    floor.set(stream_heads::floor_seq.eq(10)).execute(&mut conn).await.unwrap();
    for seq in [1, 9, 10] {
        assert_eq!(start(events[seq - 1].cursor(), 5).await, [-1]);
    }
    assert_eq!(start(Cursor::origin(id), 5).await, [-1]);
    assert_eq!(start(events[10].cursor(), 1).await, [12]);
    assert_eq!(numbers(&hub.read(id, None, 2).await.unwrap().unwrap()), [11, 12]);
}

#[tokio::test]
async fn the_wall_holds() {
    let (organization, mut conn) = new_organization().await;
    let (_, mut neighbour) = new_organization().await;
    let id = StreamId { organization, stream: stream_of_records("Lead") };
    append(&mut conn, organization, &[id.stream]).await.unwrap();
    assert!(append(&mut neighbour, organization, &[id.stream]).await.is_err());
    assert!(log(&neighbour, id).await.unwrap().is_empty());
    assert!(read::newest(&neighbour, id, 9).await.unwrap().is_empty());
    assert!(read::heads(&neighbour, organization, &[id.stream]).await.unwrap().is_empty());
    assert_eq!(log(&conn, id).await.unwrap().len(), 1);
}

#[tokio::test]
async fn what_was_is_not_changed_and_goes_with_its_stream() {
    let (organization, mut conn) = new_organization().await;
    let id = StreamId { organization, stream: Uuid::now_v7() };
    append(&mut conn, organization, &[id.stream; 3]).await.unwrap();
    let of_stream = events::table.filter(events::stream_id.eq(id.stream));
    // A request may not, and whoever may is stopped.
    for role in ["stoa_request", "none"] {
        conn.batch_execute(&format!("SET ROLE {role}")).await.unwrap();
        let forged = diesel::update(of_stream).set(events::kind.eq("forged")).execute(&mut conn).await;
        assert!(forged.is_err(), "{role}");
    }
    diesel::delete(organizations::table.find(organization)).execute(&mut conn).await.unwrap();
    assert!(log(&conn, id).await.unwrap().is_empty());
    assert!(read::heads(&conn, organization, &[id.stream]).await.unwrap().is_empty());
}

#[tokio::test]
async fn the_history_of_a_record_is_newest_first() {
    let (organization, mut conn) = new_organization().await;
    let stream = Uuid::now_v7();
    let record = Uuid::now_v7();
    let of_record = |entity_id| Change { entity_id, ..change(stream) };
    for _ in 0..3 {
        let changes = vec![of_record(record), of_record(Uuid::now_v7()), of_record(record)];
        let origin = Origin { member: Some(record), ..Origin::default() };
        Hub::append(&mut conn, organization, &origin, changes).await.unwrap();
    }
    let (mut seen, mut before) = (Vec::new(), None);
    loop {
        let page = histories(&conn, organization, "Message", &[record], before, 2).await.unwrap().remove(&record);
        let Some((page, last)) = page.as_ref().and_then(|page| Some((page, page.last()?))) else { break };
        before = Some(last.seq);
        seen.extend(page.iter().map(|event| event.seq));
    }
    assert_eq!(seen, [9, 7, 6, 4, 3, 1]);
    assert!(histories(&conn, Uuid::now_v7(), "Message", &[record], None, 9).await.unwrap().is_empty());
    assert!(histories(&conn, organization, "Lead", &[record], None, 9).await.unwrap().is_empty());
}
