//! The seats of a conversation: who is in it, held while something is done about them, and how one comes in. Invariant:
//! what is told of a participant is how they are at that moment, their receipts included.

use super::{
    conversation::{Conversation, change},
    participant::{Participant, ParticipantRole},
};
use crate::{
    events::{Change, StreamKind, stream_of_member},
    identity::{Member, member::MemberStatus},
    kit::{
        entity::{self, Entity},
        id::Id,
        permission::Role,
        scalars::DateTime,
        sql::Sql,
        value::Bind,
        write::{Stop, Tx},
    },
    schema::{memberships, participants},
};
use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use serde_json::json;
use uuid::Uuid;

type Time = chrono::DateTime<chrono::Utc>;

/// A member of an organization in a conversation.
fn of((organization, conversation): (Uuid, Uuid), member: Uuid) -> Sql {
    let mut sql = entity::select(Participant::table());
    sql.push(" WHERE t0.left_at IS NULL AND t0.organization_id = ").bind(Bind::Uuid(Some(organization)));
    sql.push(" AND t0.conversation_id = ").bind(Bind::Uuid(Some(conversation)));
    sql.push(" AND t0.member_id = ").bind(Bind::Uuid(Some(member)));
    sql
}

/// What somebody in a conversation can do about it at present, the least first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Can {
    /// Nothing: they are suspended in the organization or removed from it, or have yet to come.
    Nothing,
    /// Take part and change nothing: guests.
    Talk,
    /// Look after it, if they own it.
    LookAfter,
}

/// Somebody who is in it.
pub struct Seat {
    pub member: Uuid,
    pub owns: bool,
    pub can: Can,
}

/// Of memberships: those of guests. Who has one of the organization's own roles is called a guest as well.
#[diesel::dsl::auto_type(no_type_alias)]
fn is_guest() -> _ {
    let guest: &'static str = Role::Guest.as_str();
    memberships::role.eq(guest).and(memberships::custom_role_id.is_null())
}

/// Who is in a conversation of an organization, those first who came first.
pub async fn by_seniority(
    conn: &mut AsyncPgConnection,
    (organization, conversation): (Uuid, Uuid),
) -> QueryResult<Vec<Seat>> {
    let member = memberships::organization_id.eq(participants::organization_id);
    let member = member.and(memberships::id.eq(participants::member_id));
    let here = participants::table
        .inner_join(memberships::table.on(member))
        .filter(participants::organization_id.eq(organization))
        .filter(participants::conversation_id.eq(conversation).and(participants::left_at.is_null()))
        .order((participants::joined_at, participants::id))
        .select((participants::member_id, participants::role, memberships::status, is_guest()));
    let here: Vec<(Uuid, String, String, bool)> = here.load(conn).await?;
    let (owner, active) = (ParticipantRole::Owner.word(), MemberStatus::Active.word());
    let seats = here.into_iter().map(|(member, role, status, is_guest)| Seat {
        member,
        owns: role == owner,
        can: match is_guest {
            _ if status != active => Can::Nothing,
            true => Can::Talk,
            false => Can::LookAfter,
        },
    });
    Ok(seats.collect())
}

/// Whether nobody is in it who can look after it.
pub async fn is_deserted(tx: &mut Tx, conversation: Uuid) -> Result<bool, Stop> {
    let member = memberships::organization_id.eq(participants::organization_id);
    let member = member.and(memberships::id.eq(participants::member_id));
    let able = participants::table
        .inner_join(memberships::table.on(member))
        .filter(participants::organization_id.eq(tx.scope.actor.organization))
        .filter(participants::conversation_id.eq(conversation).and(participants::left_at.is_null()))
        .filter(memberships::status.eq(MemberStatus::Active.word()))
        .filter(diesel::dsl::not(is_guest()));
    Ok(!diesel::select(diesel::dsl::exists(able)).get_result::<bool>(tx.conn()).await?)
}

/// One who is in a conversation of an organization, held as they are until the transaction ends: what is told of them is not
/// older than their receipts.
pub async fn hold(conn: &mut AsyncPgConnection, place: (Uuid, Uuid), member: Uuid) -> QueryResult<Option<Participant>> {
    let mut sql = of(place, member);
    sql.push(" FOR NO KEY UPDATE OF t0");
    let found: Vec<Participant> = sql.load(conn).await?;
    Ok(found.into_iter().next())
}

/// As `hold`, in the caller's organization.
pub async fn here(tx: &mut Tx, conversation: Uuid, member: Uuid) -> Result<Option<Participant>, Stop> {
    let place = (tx.scope.actor.organization, conversation);
    Ok(hold(tx.conn(), place, member).await?)
}

/// What the caller is in a conversation; None: they are not in it.
pub async fn own_role(tx: &mut Tx, conversation: Uuid) -> Result<Option<ParticipantRole>, Stop> {
    let me = tx.scope.actor.member;
    Ok(here(tx, conversation, me).await?.map(|own| own.role))
}

/// The caller in a conversation, held there as they are until the transaction ends: what they do comes before their
/// removal in the log, or not at all. None: they are not in it, or not any more.
pub async fn hold_own(tx: &mut Tx, conversation: Uuid) -> Result<Option<Participant>, Stop> {
    let mut sql = of((tx.scope.actor.organization, conversation), tx.scope.actor.member);
    sql.push(" FOR SHARE OF t0");
    let found: Vec<Participant> = sql.load(tx.conn()).await?;
    Ok(found.into_iter().next())
}

/// Puts a member into a conversation whose newest message is `head`, or back into it: nothing up to it is new to them.
pub async fn join(
    tx: &mut Tx,
    (conversation, head): (Id<Conversation>, i64),
    member: Id<Member>,
    role: ParticipantRole,
) -> Result<Participant, Stop> {
    use participants as p;
    let (organization, now, me) = (tx.scope.actor.organization, tx.now, tx.scope.actor.member);
    let at_head = (
        p::joined_seq.eq(head),
        p::read_seq.eq(head),
        p::delivered_seq.eq(head),
        p::last_read_seq.eq(head),
        p::last_delivered_seq.eq(head),
    );
    let (id, version, last_read_at, last_delivered_at): (Uuid, i32, Option<Time>, Option<Time>) =
        diesel::insert_into(participants::table)
            .values((
                participants::organization_id.eq(organization),
                participants::id.eq(Uuid::now_v7()),
                participants::conversation_id.eq(conversation.0),
                participants::member_id.eq(member.0),
                participants::role.eq(role.word()),
                participants::joined_at.eq(now.0),
                participants::created_by.eq(me),
                participants::created_at.eq(now.0),
                participants::updated_at.eq(now.0),
                at_head,
            ))
            .on_conflict((participants::organization_id, participants::conversation_id, participants::member_id))
            .do_update()
            .set((
                participants::left_at.eq(None::<chrono::DateTime<chrono::Utc>>),
                participants::joined_at.eq(now.0),
                participants::role.eq(role.word()),
                participants::updated_at.eq(now.0),
                participants::version.eq(participants::version + 1),
                at_head,
            ))
            .returning((p::id, p::version, p::last_read_at, p::last_delivered_at))
            .get_result(tx.conn())
            .await?;
    tx.record(Change {
        stream: stream_of_member(member.0),
        stream_kind: StreamKind::Member,
        kind: "conversation_entered",
        entity: "Inbox",
        entity_id: conversation.0,
        payload: json!({ "member_id": member }).into(),
    });
    Ok(Participant {
        id: id.into(),
        conversation_id: conversation,
        member_id: member,
        role,
        joined_at: now,
        left_at: None,
        last_read_seq: head,
        last_read_at: last_read_at.map(DateTime),
        last_delivered_seq: head,
        last_delivered_at: last_delivered_at.map(DateTime),
        created_by: Some(me.into()),
        created_at: now,
        updated_at: now,
        version,
    })
}

/// Writes what became different of one who is held, the next version and the time.
pub async fn store(
    conn: &mut AsyncPgConnection,
    organization: Uuid,
    now: DateTime,
    participant: &mut Participant,
) -> QueryResult<()> {
    participant.version += 1;
    participant.updated_at = now;
    diesel::update(participants::table.find((organization, participant.id.0)))
        .set((
            participants::role.eq(participant.role.word()),
            participants::left_at.eq(participant.left_at.map(|time| time.0)),
            participants::version.eq(participant.version),
            participants::updated_at.eq(participant.updated_at.0),
        ))
        .execute(conn)
        .await?;
    Ok(())
}

/// What a conversation's stream is told of a participant.
pub fn change_of(participant: &Participant, kind: &'static str) -> crate::Result<Change> {
    let payload = json!({ "participant": serde_json::to_value(participant)? });
    Ok(change(participant.conversation_id, kind, "Participant", participant.id.0, payload))
}

pub fn tell_of(tx: &mut Tx, participant: &Participant, kind: &'static str) -> crate::Result<()> {
    tx.record(change_of(participant, kind)?);
    Ok(())
}
