//! What a block does beyond the contact lists: it closes the direct conversation of the two, and hides from the blocked one
//! whether the other is there and how far they read. Invariant: nobody is told. What is refused is refused in the same
//! words, and after the same statements, as towards a member who cannot sign in; what is hidden looks as if the other had
//! not come any further.

use crate::{
    error::Result,
    identity::Member,
    kit::{
        id::Id,
        scope::Scope,
        sql::Sql,
        user_error::{UserErrorCode, UserErrors},
        value::Bind,
        write::{Stop, Tx},
    },
    schema::conversations,
};
use diesel::{QueryableByName, prelude::*, sql_types};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use std::{any::TypeId, sync::Arc};
use uuid::Uuid;

/// What is told of a member whom one cannot write to, for whatever reason.
const UNREACHABLE: &str = "This member cannot be written to at present.";

fn unreachable(field: &str) -> Stop {
    Stop::at(field, UserErrorCode::StateInvalid, UNREACHABLE)
}

const OWN_BLOCK: &str = "You have blocked this member: unblock them first.";

/// What is told of somebody whom the caller has blocked.
pub fn own_block(field: &str) -> Stop {
    Stop::at(field, UserErrorCode::StateInvalid, OWN_BLOCK)
}

/// What makes a direct conversation the only one of its pair.
pub fn direct_key(one: Uuid, other: Uuid) -> String {
    format!("{}:{}", one.min(other), one.max(other))
}

/// Closes the direct conversation with a member, if there is one, or opens it again. Both members are held, and who opens
/// one holds them as well. A send that is on its way comes before; none comes behind.
pub async fn close(tx: &mut Tx, other: Uuid, closed: bool) -> Result<()> {
    let key = direct_key(tx.scope.actor.member, other);
    let direct = conversations::table
        .filter(conversations::organization_id.eq(tx.scope.actor.organization))
        .filter(conversations::direct_key.eq(key));
    diesel::update(direct).set(conversations::blocked.eq(closed)).execute(tx.conn()).await?;
    Ok(())
}

/// That in the conversation `c` nobody has blocked the other, and that it is no direct one with somebody who cannot sign in.
pub const OPEN: &str = "NOT c.blocked AND (c.direct_key IS NULL OR NOT EXISTS (
    SELECT 1 FROM participants o JOIN memberships om ON om.organization_id = o.organization_id AND om.id = o.member_id
    WHERE o.organization_id = c.organization_id AND o.conversation_id = c.id AND om.status IN ('suspended', 'removed')))";

#[derive(QueryableByName)]
struct Door {
    #[diesel(sql_type = sql_types::Bool)]
    archived: bool,
    #[diesel(sql_type = sql_types::Bool)]
    open: bool,
    #[diesel(sql_type = sql_types::Bool)]
    own: bool,
}

/// Why nothing can be said in a conversation that the caller is in; None: it can.
pub async fn closed(
    scope: &Scope,
    mut conn: &AsyncPgConnection,
    conversation: Uuid,
    field: &str,
) -> Result<Option<Stop>> {
    let mut sql = Sql::new("SELECT c.archived_at IS NOT NULL AS archived, ");
    sql.push(OPEN).push(
        " AS open, EXISTS (SELECT 1 FROM participants o JOIN user_contacts b ON b.organization_id = o.organization_id
            AND b.member_id = o.member_id AND b.blocked_at IS NOT NULL
          WHERE c.direct_key IS NOT NULL AND o.organization_id = c.organization_id AND o.conversation_id = c.id
            AND b.owner_id = ",
    );
    sql.bind(Bind::Uuid(Some(scope.actor.member))).push(") AS own FROM conversations c WHERE c.organization_id = ");
    sql.bind(Bind::Uuid(Some(scope.actor.organization))).push(" AND c.id = ").bind(Bind::Uuid(Some(conversation)));
    let found: Vec<Door> = sql.load(&mut conn).await?;
    Ok(match found.into_iter().next() {
        Some(Door { archived: true, .. }) => Some(super::send::archived(field)),
        Some(Door { own: true, .. }) => Some(own_block(field)),
        Some(Door { open: false, .. }) => Some(unreachable(field)),
        _ => None,
    })
}

#[derive(QueryableByName)]
struct Reachable {
    #[diesel(sql_type = sql_types::Uuid)]
    id: Uuid,
    #[diesel(sql_type = sql_types::Bool)]
    away: bool,
    #[diesel(sql_type = sql_types::Bool)]
    own: bool,
}

/// Adds a fault for each of these members whom the caller cannot bring into a conversation: who cannot sign in, who has
/// blocked the caller and, into a direct one, whom the caller has blocked.
pub async fn check_reachable(
    tx: &mut Tx,
    members: &[Id<Member>],
    direct: bool,
    path: impl Fn(usize) -> String,
    errors: &mut UserErrors,
) -> Result<()> {
    let me = || Bind::Uuid(Some(tx.scope.actor.member));
    let mut sql = Sql::new(
        "SELECT m.id, m.status IN ('suspended', 'removed') OR EXISTS (SELECT 1 FROM user_contacts b
           WHERE b.organization_id = m.organization_id AND b.owner_id = m.id AND b.blocked_at IS NOT NULL
             AND b.member_id = ",
    );
    sql.bind(me()).push(
        ") AS away, EXISTS (SELECT 1 FROM user_contacts b WHERE b.organization_id = m.organization_id
           AND b.member_id = m.id AND b.blocked_at IS NOT NULL AND b.owner_id = ",
    );
    sql.bind(me()).push(") AS own FROM memberships m WHERE m.id <> ").bind(me()).push(" AND m.organization_id = ");
    sql.bind(Bind::Uuid(Some(tx.scope.actor.organization))).push(" AND m.id = ANY(");
    sql.bind(Bind::Uuids(members.iter().map(|id| id.0).collect())).push(")");
    let found: Vec<Reachable> = sql.load(tx.conn()).await?;
    for (index, member) in members.iter().enumerate() {
        match found.iter().find(|found| found.id == member.0) {
            Some(Reachable { own: true, .. }) if direct => {
                errors.add(&path(index), UserErrorCode::StateInvalid, OWN_BLOCK);
            }
            Some(Reachable { away: true, .. }) => errors.add(&path(index), UserErrorCode::StateInvalid, UNREACHABLE),
            _ => {}
        }
    }
    Ok(())
}

/// Names what is remembered of whom a member has blocked.
struct Blocked;

#[derive(QueryableByName)]
struct Found {
    #[diesel(sql_type = sql_types::Uuid)]
    member_id: Uuid,
}

/// Whether a member has blocked the caller, and so is neither there nor reading for them. Half a second old at most: for
/// what happens as it happens, where all who look at the same member cost one query.
pub async fn hides(scope: &Scope, member: Uuid) -> Result<bool> {
    let organization = scope.actor.organization;
    let blocked = scope.app.lookups.get((organization, TypeId::of::<Blocked>(), member), async {
        let mut sql =
            Sql::new("SELECT member_id FROM user_contacts WHERE blocked_at IS NOT NULL AND organization_id = ");
        sql.bind(Bind::Uuid(Some(organization))).push(" AND owner_id = ").bind(Bind::Uuid(Some(member)));
        let found: Vec<Found> = sql.load(&mut &*scope.reader().await?).await?;
        let blocked: Vec<Uuid> = found.into_iter().map(|found| found.member_id).collect();
        Ok(Arc::new(Some(Arc::new(blocked) as Arc<_>)))
    });
    let blocked = blocked.await?.as_ref().clone().and_then(|blocked| blocked.downcast::<Vec<Uuid>>().ok());
    Ok(blocked.is_some_and(|blocked| blocked.contains(&scope.actor.member)))
}

/// Pushes ` hiding AS (…)`, a part of a statement: who hides from the caller, and since when.
pub fn push_hiding(scope: &Scope, sql: &mut Sql) {
    sql.push(
        " hiding AS MATERIALIZED (SELECT owner_id AS member, blocked_at AS since FROM user_contacts
        WHERE blocked_at IS NOT NULL AND organization_id = ",
    );
    sql.bind(Bind::Uuid(Some(scope.actor.organization))).push(" AND member_id = ");
    sql.bind(Bind::Uuid(Some(scope.actor.member))).push(")");
}

/// How far the participant `p` has read, as the caller is told: `h` is their row of `hiding`, if any. Who hides has come
/// as far as they had then, and as their messages since tell; who joined later, as far as they were when they joined.
pub const READ: &str = "CASE WHEN h.since IS NULL THEN p.last_read_seq ELSE least(p.last_read_seq, greatest(p.joined_seq,
    p.sent_seq, (SELECT max(a.upto_seq) FROM position_advances a WHERE a.organization_id = p.organization_id
      AND a.conversation_id = p.conversation_id AND a.member_id = p.member_id AND a.kind = 'read' AND a.at <= h.since))) END";

/// As `READ`, of what has reached them.
pub const DELIVERED: &str = "CASE WHEN h.since IS NULL THEN p.last_delivered_seq ELSE least(p.last_delivered_seq,
    greatest(p.joined_seq, p.sent_seq, (SELECT max(a.upto_seq) FROM position_advances a
      WHERE a.organization_id = p.organization_id AND a.conversation_id = p.conversation_id
        AND a.member_id = p.member_id AND a.at <= h.since))) END";
