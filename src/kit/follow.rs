//! Followers of the log: what is done because of an event, and not by whoever caused it, such as to notify somebody.
//! Invariant: the place of a follower in a stream moves in the transaction that does what follows from the events up to it,
//! under the lock of that place. So every event has its effect, and has it once, whoever dies and however many nodes follow.

use super::{sql::Sql, value::Bind};
use crate::{error::Result, events::StreamKind};
use chrono::{DateTime, Utc};
use diesel::{QueryableByName, sql_types};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use uuid::Uuid;

/// Events that are read at once, of all streams together: what follows from them must not be too much for a transaction.
const PAGE: usize = 50;
/// Streams that are named at once as not read to their end.
const STREAMS: u32 = 500;

/// A follower within an organization.
#[derive(Clone, Copy)]
pub struct Follower {
    pub organization: Uuid,
    /// In `log_places`; never changes.
    pub name: &'static str,
}

/// What a follower reads of an event.
#[derive(Debug, QueryableByName)]
pub struct Heard {
    #[diesel(sql_type = sql_types::Uuid)]
    pub stream_id: Uuid,
    #[diesel(sql_type = sql_types::BigInt)]
    pub seq: i64,
    #[diesel(sql_type = sql_types::Uuid)]
    pub id: Uuid,
    #[diesel(sql_type = sql_types::Text)]
    pub kind: String,
    #[diesel(sql_type = sql_types::Uuid)]
    pub entity_id: Uuid,
    #[diesel(sql_type = sql_types::Nullable<sql_types::Uuid>)]
    pub actor_id: Option<Uuid>,
    #[diesel(sql_type = sql_types::Timestamptz)]
    pub at: DateTime<Utc>,
    /// Of the kinds that it was asked for.
    #[diesel(sql_type = sql_types::Nullable<sql_types::Jsonb>)]
    pub payload: Option<Json>,
}

#[derive(QueryableByName)]
struct Place {
    #[diesel(sql_type = sql_types::Uuid)]
    stream_id: Uuid,
    #[diesel(sql_type = sql_types::BigInt)]
    seq: i64,
}

#[derive(QueryableByName)]
struct Behind {
    #[diesel(sql_type = sql_types::Uuid)]
    stream_id: Uuid,
}

impl Follower {
    /// The beginning of what lies behind the places in these streams, of each its share, by stream and in order; the places are
    /// held until the transaction ends. `payload_of`: the kinds of events whose payload is read along.
    pub async fn read(self, conn: &mut AsyncPgConnection, streams: &[Uuid], payload_of: &[&str]) -> Result<Vec<Heard>> {
        let mut places = self.hold(conn, streams).await?;
        if places.len() < streams.len() {
            let mut sql = Sql::new(
                "INSERT INTO log_places (organization_id, stream_id, follower, seq) SELECT organization_id, stream_id, ",
            );
            sql.bind(Bind::Text(Some(self.name.into()))).push(", 0 FROM streams WHERE organization_id = ");
            sql.bind(Bind::Uuid(Some(self.organization))).push(" AND stream_id = ANY(");
            sql.bind(Bind::Uuids(streams.to_vec())).push(") ORDER BY stream_id ON CONFLICT DO NOTHING");
            sql.execute(conn).await?;
            places = self.hold(conn, streams).await?;
        }
        let places: Vec<Json> =
            places.iter().map(|place| json!({ "stream": place.stream_id, "seq": place.seq })).collect();
        let mut sql = Sql::new("SELECT e.* FROM jsonb_to_recordset(");
        sql.bind(Bind::Json(Some(Json::Array(places)))).push(
            "::jsonb) AS p (stream uuid, seq bigint) CROSS JOIN LATERAL (
               SELECT stream_id, seq, id, kind, entity_id, actor_id, at, CASE WHEN kind = ANY(",
        );
        sql.bind(Bind::Texts(Some(payload_of.iter().map(|&kind| kind.into()).collect())));
        sql.push(") THEN payload END AS payload FROM events WHERE organization_id = ");
        sql.bind(Bind::Uuid(Some(self.organization)));
        sql.push(" AND stream_id = p.stream AND seq > p.seq ORDER BY seq LIMIT ");
        sql.bind(Bind::BigInt(i64::try_from(share(streams)).ok())).push(") e ORDER BY e.stream_id, e.seq");
        Ok(sql.load(conn).await?)
    }

    /// In one order everywhere, so that two who hold several do not wait for each other.
    async fn hold(self, conn: &mut AsyncPgConnection, streams: &[Uuid]) -> Result<Vec<Place>> {
        let mut sql = Sql::new("SELECT stream_id, seq FROM log_places WHERE organization_id = ");
        sql.bind(Bind::Uuid(Some(self.organization))).push(" AND follower = ");
        sql.bind(Bind::Text(Some(self.name.into()))).push(" AND stream_id = ANY(");
        sql.bind(Bind::Uuids(streams.to_vec())).push(") ORDER BY stream_id FOR NO KEY UPDATE");
        Ok(sql.load(conn).await?)
    }

    /// Moves the places over what was read, in the transaction in which it has had its effect.
    pub async fn advance(self, conn: &mut AsyncPgConnection, heard: &[Heard]) -> Result<()> {
        let last: BTreeMap<Uuid, i64> = heard.iter().map(|event| (event.stream_id, event.seq)).collect();
        let places: Vec<Json> = last.iter().map(|(stream, seq)| json!({ "stream": stream, "seq": seq })).collect();
        let mut sql = Sql::new("UPDATE log_places p SET seq = n.seq FROM jsonb_to_recordset(");
        sql.bind(Bind::Json(Some(Json::Array(places))));
        sql.push("::jsonb) AS n (stream uuid, seq bigint) WHERE p.organization_id = ");
        sql.bind(Bind::Uuid(Some(self.organization))).push(" AND p.stream_id = n.stream AND p.follower = ");
        sql.bind(Bind::Text(Some(self.name.into())));
        sql.execute(conn).await?;
        Ok(())
    }

    /// Streams of these kinds behind `after` whose end the follower has not reached, by their ids: at most some hundred. It
    /// compares all heads of the organization with the places, so it is for finding what was missed.
    pub async fn behind(
        self,
        conn: &mut AsyncPgConnection,
        kinds: &[StreamKind],
        after: Option<Uuid>,
    ) -> Result<Vec<Uuid>> {
        let mut sql = Sql::new(
            "SELECT h.stream_id FROM stream_heads h JOIN streams s ON s.organization_id = h.organization_id
               AND s.stream_id = h.stream_id LEFT JOIN log_places p ON p.organization_id = h.organization_id
               AND p.stream_id = h.stream_id AND p.follower = ",
        );
        sql.bind(Bind::Text(Some(self.name.into()))).push(" WHERE h.organization_id = ");
        sql.bind(Bind::Uuid(Some(self.organization))).push(" AND h.head_seq > coalesce(p.seq, 0) AND s.kind = ANY(");
        sql.bind(Bind::Texts(Some(kinds.iter().map(|kind| kind.as_str().into()).collect())))
            .push(") AND h.stream_id > ");
        sql.bind(Bind::Uuid(Some(after.unwrap_or_default()))).push(" ORDER BY h.stream_id LIMIT ").number(STREAMS);
        let found: Vec<Behind> = sql.load(conn).await?;
        Ok(found.into_iter().map(|behind| behind.stream_id).collect())
    }
}

/// How many events are read at once of each of these streams. All of one and then of the next would be to read far more of a
/// log that is far ahead than fits.
fn share(streams: &[Uuid]) -> usize {
    PAGE.checked_div(streams.len()).unwrap_or_default().max(1)
}

/// Those of the streams of which there may be something behind `heard`, the beginning of the so many events that were read.
pub fn unfinished(streams: &[Uuid], heard: &[Heard], read: usize) -> Vec<Uuid> {
    let mut counts: BTreeMap<Uuid, usize> = BTreeMap::new();
    heard.iter().for_each(|event| *counts.entry(event.stream_id).or_default() += 1);
    let cut = heard.last().filter(|_| heard.len() < read).map(|last| last.stream_id);
    let is_whole = |stream: &Uuid| counts.get(stream).is_none_or(|count| *count < share(streams));
    let is_cut = |stream: &Uuid| cut.is_some_and(|cut| *stream >= cut);
    streams.iter().copied().filter(|stream| is_cut(stream) || !is_whole(stream)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(of: &[(u128, i64)]) -> Vec<Heard> {
        let event = |&(stream, seq): &(u128, i64)| Heard {
            stream_id: Uuid::from_u128(stream),
            seq,
            id: Uuid::nil(),
            kind: String::new(),
            entity_id: Uuid::nil(),
            actor_id: None,
            at: DateTime::UNIX_EPOCH,
            payload: None,
        };
        of.iter().map(event).collect()
    }

    #[test]
    fn what_was_read_up_to_its_share_or_cut_off_is_not_finished() {
        let streams: Vec<Uuid> = (1..=25).map(Uuid::from_u128).collect();
        assert_eq!(share(&streams), 2);
        assert_eq!((share(&streams[..1]), share(&[Uuid::nil(); 80])), (50, 1));
        let read = heard(&[(1, 7), (3, 1), (3, 2), (9, 4)]);
        assert_eq!(unfinished(&streams, &read, 4), [streams[2]], "what has its share may have more");
        // The last of it goes into the next transaction, and with it whatever comes behind.
        let cut = unfinished(&streams, &read[..3], 4);
        assert_eq!(cut, streams[2..]);
        assert!(unfinished(&streams, &[], 0).is_empty());
    }
}
