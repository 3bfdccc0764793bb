//! How far participants have come, as the caller is told. Invariant: of somebody who has blocked the caller it is how far they
//! had come then, or what their messages since tell anyway; it never goes back, and looks like somebody who has not looked.

use super::{
    block::{self, DELIVERED, READ, push_hiding},
    participant::Participant,
};
use crate::{
    error::Result,
    kit::{
        relation::{ListKey, or_null},
        resolve::scope,
        scalars::DateTime,
        scope::Scope,
        sql::Sql,
        value::Bind,
    },
};
use async_graphql::{ComplexObject, Context, SelectionField};
use chrono::Utc;
use diesel::{QueryableByName, sql_types};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use std::{collections::HashMap, sync::Arc};
use uuid::Uuid;

/// The fields of a participant that say how far they have come.
pub struct Told<'a, E>(pub &'a E);

const FIELDS: [&str; 4] = ["lastReadSeq", "lastReadAt", "lastDeliveredSeq", "lastDeliveredAt"];

#[derive(Clone, Debug, QueryableByName)]
struct Positions {
    #[diesel(sql_type = sql_types::Uuid)]
    id: Uuid,
    #[diesel(sql_type = sql_types::BigInt)]
    read_seq: i64,
    #[diesel(sql_type = sql_types::Nullable<sql_types::Timestamptz>)]
    read_at: Option<chrono::DateTime<Utc>>,
    #[diesel(sql_type = sql_types::BigInt)]
    delivered_seq: i64,
    #[diesel(sql_type = sql_types::Nullable<sql_types::Timestamptz>)]
    delivered_at: Option<chrono::DateTime<Utc>>,
}

#[ComplexObject]
impl Told<'_, Participant> {
    /// The number of the last message that they have read, as all have been told; 0: none. Sending is reading, too:
    /// `MessageSent` moves its sender's; all else that moves it is told by `ReceiptsMoved`, within about a second.
    async fn last_read_seq(&self, ctx: &Context<'_>) -> async_graphql::Result<i64> {
        Ok(self.told(ctx).await?.read_seq)
    }

    /// When they read it; null: they have read none, or long ago.
    async fn last_read_at(&self, ctx: &Context<'_>) -> Option<DateTime> {
        or_null(ctx, async { Ok(self.told(ctx).await?.read_at.map(DateTime)) }).await
    }

    /// The number of the last message that has reached one of their devices, as `lastReadSeq`; never less than that.
    async fn last_delivered_seq(&self, ctx: &Context<'_>) -> async_graphql::Result<i64> {
        Ok(self.told(ctx).await?.delivered_seq)
    }

    /// When it did; null: none has, or long ago.
    async fn last_delivered_at(&self, ctx: &Context<'_>) -> Option<DateTime> {
        or_null(ctx, async { Ok(self.told(ctx).await?.delivered_at.map(DateTime)) }).await
    }
}

impl Told<'_, Participant> {
    /// What was fetched ahead; else, as of an event that goes to many, by what is remembered of the member's blocks.
    async fn told(&self, ctx: &Context<'_>) -> Result<Positions> {
        let (scope, id) = (scope(ctx)?, self.0.id.0);
        if let Some(ahead) = scope.loads.list::<Option<Positions>>(&key(id)) {
            return Ok(ahead.as_ref().clone().unwrap_or_else(|| self.everybodys()));
        }
        Box::pin(async {
            if !block::hides(scope, self.0.member_id.0).await? {
                return Ok(self.everybodys());
            }
            let found = read(scope, &*scope.reader().await?, vec![id]).await?.remove(&id);
            Ok(found.unwrap_or_else(|| self.everybodys()))
        })
        .await
    }

    /// As all are told from whom it is not hidden.
    fn everybodys(&self) -> Positions {
        Positions {
            id: self.0.id.0,
            read_seq: self.0.last_read_seq,
            read_at: self.0.last_read_at.map(|at| at.0),
            delivered_seq: self.0.last_delivered_seq,
            delivered_at: self.0.last_delivered_at.map(|at| at.0),
        }
    }

    /// Fetches ahead what a page of participants hides from the caller.
    pub async fn ahead(
        scope: &Scope,
        conn: &AsyncPgConnection,
        rows: &[Arc<Participant>],
        selections: &[SelectionField<'_>],
    ) -> Result<()> {
        if !selections.iter().any(|field| FIELDS.contains(&field.name())) {
            return Ok(());
        }
        let ids: Vec<Uuid> = rows.iter().map(|row| row.id.0).collect();
        let found = read(scope, conn, ids.clone()).await?;
        scope.loads.put_each(ids, key, found);
        Ok(())
    }
}

/// Where what was fetched ahead is kept.
fn key(participant: Uuid) -> ListKey {
    (participant, "participants", "told", String::new())
}

/// Of those among them who hide from the caller, what is told instead.
async fn read(
    scope: &Scope,
    mut conn: &AsyncPgConnection,
    participants: Vec<Uuid>,
) -> Result<HashMap<Uuid, Positions>> {
    let mut sql = Sql::new("WITH");
    push_hiding(scope, &mut sql);
    sql.push(", told AS (SELECT p.*, h.since, ").push(READ).push(" AS read_told, ").push(DELIVERED);
    sql.push(
        " AS delivered_told FROM participants p JOIN hiding h ON h.member = p.member_id WHERE p.organization_id = ",
    );
    sql.bind(Bind::Uuid(Some(scope.actor.organization))).push(" AND p.id = ANY(").bind(Bind::Uuids(participants)).push(
        ")), shown AS (
          SELECT p.*, (SELECT m.created_at FROM messages m WHERE m.organization_id = p.organization_id
            AND m.conversation_id = p.conversation_id AND m.seq = p.sent_seq) AS sent_at FROM told p
        )
        SELECT p.id, p.read_told AS read_seq, p.delivered_told AS delivered_seq,
          CASE WHEN p.sent_seq >= p.read_told THEN p.sent_at ELSE (
            SELECT min(a.at) FROM position_advances a WHERE a.organization_id = p.organization_id AND a.at <= p.since
              AND a.conversation_id = p.conversation_id AND a.member_id = p.member_id AND a.kind = 'read'
              AND a.upto_seq >= p.read_told) END AS read_at,
          CASE WHEN p.sent_seq >= p.delivered_told THEN p.sent_at ELSE (
            SELECT min(a.at) FROM position_advances a WHERE a.organization_id = p.organization_id AND a.at <= p.since
              AND a.conversation_id = p.conversation_id AND a.member_id = p.member_id
              AND a.upto_seq >= p.delivered_told) END AS delivered_at
        FROM shown p",
    );
    let found: Vec<Positions> = sql.load(&mut conn).await?;
    Ok(found.into_iter().map(|told| (told.id, told)).collect())
}
