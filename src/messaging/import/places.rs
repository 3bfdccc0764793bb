//! Conversations of an export: found or opened, with who takes part. Invariants: what was opened by an earlier run, and the direct
//! conversation of two who have one, is added to and stays as it is; one who has left it here stays out; nobody is in a new one
//! before all of its messages are, because what somebody wrote between them would keep out the rest.

use super::{
    model::{Kind, Place, Time},
    report::{What, Why},
    write::Writer,
};
use crate::{
    error::Result,
    events::{Change, StreamKind, stream_of_member},
    kit::{rows, scalars::DateTime, sql::Sql, value::Bind},
    messaging::{
        block,
        conversation::{ConversationKind, ConversationVisibility, change},
        heir::hand_on,
        participant::ParticipantRole,
    },
    platform::database::Transaction,
    schema::{conversations, imported_records, memberships, participants, user_contacts},
};
use chrono::Utc;
use diesel::{dsl::exists, prelude::*, sql_types};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use serde_json::{Value as Json, json};
use std::collections::BTreeSet;
use uuid::Uuid;

/// Rows in one statement.
const AT_ONCE: usize = 1000;

/// What a conversation's stream is told of an import: whoever follows it has to look anew.
pub const IMPORTED: &str = "conversation_imported";

/// A conversation that takes the messages of a place.
#[derive(Clone, Copy, Debug)]
pub struct Settled {
    pub id: Uuid,
    /// It was there before this run.
    pub there: bool,
}

/// Who takes part in it.
pub struct Seats {
    members: BTreeSet<Uuid>,
    /// As direct ones have it, by which two find theirs, whoever of them asks.
    direct_key: Option<String>,
}

#[derive(QueryableByName)]
struct Added {
    #[diesel(sql_type = sql_types::Uuid)]
    member_id: Uuid,
}

/// What a conversation is about, of what others keep in two places.
pub fn topic(said: [Option<String>; 2]) -> Option<String> {
    let mut said: Vec<String> = said.into_iter().flatten().map(|text| text.trim().to_owned()).collect();
    said.retain(|text| !text.is_empty());
    said.dedup();
    let clean = |letter: &char| !letter.is_control() || *letter == '\n';
    let text: String = said.join("\n\n").chars().filter(clean).take(1000).collect();
    (!text.trim().is_empty()).then(|| text.trim().to_owned())
}

impl Writer<'_> {
    /// Finds the conversation of a place, or opens it. None: there is nobody in it.
    pub async fn settle(&mut self, place: &Place, first: Option<Time>) -> Result<Option<(Settled, Seats)>> {
        let mut members = self.of(&place.members);
        let is_pair = place.kind == Kind::Direct && members.len() == 2;
        if (place.kind == Kind::Direct && !is_pair) || members.is_empty() {
            if place.kind != Kind::Direct && !place.heard.is_empty() {
                self.report.leave_at(Why::WhoWrote, place.label.as_str());
            }
            members.extend(self.of(&place.heard));
        }
        if members.is_empty() {
            self.report.leave_at(Why::Nobodys, place.label.as_str());
            return Ok(None);
        }
        let pair: Vec<Uuid> = members.iter().copied().collect();
        let direct_key = match (place.kind, &pair[..]) {
            (Kind::Direct, [one, other]) => Some(block::direct_key(*one, *other)),
            _ => None,
        };
        let found = self.find(place, direct_key.as_deref()).await?;
        let settled = Settled { id: found.unwrap_or_else(Uuid::now_v7), there: found.is_some() };
        if settled.there {
            self.report.there(What::Conversations, 1);
        } else {
            self.report.new_ones(What::Conversations, 1);
        }
        let seats = Seats { members, direct_key };
        if !self.dry && !settled.there {
            let mut tx = self.app.database.of(self.organization).await?.begin().await?;
            self.open(&mut tx, (place, settled.id), &seats, first).await?;
            self.commit(tx, Vec::new()).await?;
        }
        Ok(Some((settled, seats)))
    }

    /// Lets people into the conversation of a place, once its messages are there. In one transaction: who is and was in it, and
    /// what it and they are told.
    pub async fn let_in(&self, place: &Place, settled: Settled, seats: &Seats) -> Result<()> {
        if self.dry {
            return Ok(());
        }
        let mut tx = self.app.database.of(self.organization).await?.begin().await?;
        let told = self.seat(&mut tx, place, settled, seats).await?;
        self.commit(tx, told).await
    }

    fn of(&self, people: &BTreeSet<u32>) -> BTreeSet<Uuid> {
        people.iter().filter_map(|number| self.member(*number)).collect()
    }

    async fn find(&self, place: &Place, direct_key: Option<&str>) -> Result<Option<Uuid>> {
        let mut conn = self.app.database.of(self.organization).await?;
        let came = imported_records::table
            .find((self.organization, self.source.word(), external_id(place)))
            .select(imported_records::conversation_id);
        let came: Option<Option<Uuid>> = came.first(&mut *conn).await.optional()?;
        if let Some(came) = came.flatten() {
            return Ok(Some(came));
        }
        let Some(key) = direct_key else { return Ok(None) };
        let direct = conversations::table
            .filter(conversations::organization_id.eq(self.organization))
            .filter(conversations::direct_key.eq(key));
        Ok(direct.select(conversations::id).first(&mut *conn).await.optional()?)
    }

    /// Whether this is the direct conversation of two of whom one has blocked the other.
    pub async fn is_closed(&self, conn: &mut AsyncPgConnection, seats: &Seats) -> QueryResult<bool> {
        if seats.direct_key.is_none() {
            return Ok(false);
        }
        let blocks = user_contacts::table
            .filter(user_contacts::organization_id.eq(self.organization))
            .filter(user_contacts::owner_id.eq_any(&seats.members))
            .filter(user_contacts::member_id.eq_any(&seats.members))
            .filter(user_contacts::blocked_at.is_not_null());
        diesel::select(exists(blocks)).get_result(conn).await
    }

    /// A new conversation, in which nobody is yet.
    async fn open(
        &self,
        tx: &mut Transaction,
        (place, id): (&Place, Uuid),
        seats: &Seats,
        first: Option<Time>,
    ) -> Result<()> {
        let now = Utc::now();
        let opened = place.created_at.or(first).unwrap_or(now);
        let kind = if seats.direct_key.is_some() { ConversationKind::Direct } else { kind(place.kind) };
        if seats.direct_key.is_some() {
            // As whoever blocks does: it comes before, or finds the conversation.
            let both = memberships::table.filter(memberships::organization_id.eq(self.organization));
            let both = both.filter(memberships::id.eq_any(&seats.members)).order(memberships::id);
            both.select(memberships::id).for_no_key_update().load::<Uuid>(&mut **tx).await?;
        }
        let closed = self.is_closed(tx, seats).await?;
        let alone = (place.kind == Kind::Direct && seats.members.len() == 1).then(|| "Notes".to_owned());
        diesel::insert_into(conversations::table)
            .values((
                conversations::organization_id.eq(self.organization),
                conversations::id.eq(id),
                conversations::kind.eq(kind.word()),
                conversations::visibility.eq(ConversationVisibility::Private.word()),
                conversations::title.eq(place.title.clone().or(alone)),
                conversations::topic.eq(&place.topic),
                conversations::direct_key.eq(&seats.direct_key),
                conversations::blocked.eq(closed),
                conversations::archived_at.eq(place.archived.then_some(now)),
                conversations::created_by.eq(self.owner(place, &seats.members)),
                conversations::created_at.eq(opened),
                conversations::updated_at.eq(opened),
            ))
            .execute(&mut **tx)
            .await?;
        self.remember_place(tx, place, id).await
    }

    async fn remember_place(&self, tx: &mut Transaction, place: &Place, id: Uuid) -> Result<()> {
        let remembered = json!([{
            "source": self.source.word(), "external_id": external_id(place), "conversation_id": id
        }]);
        let columns = ["source", "external_id", "conversation_id"];
        let mut sql = rows::insertion(self.organization, "imported_records", &columns, remembered);
        sql.push(" ON CONFLICT DO NOTHING");
        sql.execute(&mut **tx).await?;
        Ok(())
    }

    /// Seats for those who have none, behind all that was said: nothing of it is new to them. What there is to tell.
    async fn seat(
        &self,
        tx: &mut Transaction,
        place: &Place,
        settled: Settled,
        Seats { members, direct_key }: &Seats,
    ) -> Result<Vec<Change>> {
        let held = conversations::table.find((self.organization, settled.id));
        let held = held.select((conversations::last_seq, conversations::created_at)).for_no_key_update();
        let (head, opened): (i64, Time) = held.first(&mut **tx).await?;
        let there = participants::table
            .filter(participants::organization_id.eq(self.organization))
            .filter(participants::conversation_id.eq(settled.id));
        let there: bool = diesel::select(exists(there)).get_result(&mut **tx).await?;
        let since = if there { Utc::now() } else { opened };
        // Found as the direct one of these two, it may not have been remembered.
        self.remember_place(tx, place, settled.id).await?;
        // Who wrote here and is no member is known to those who are. Of two that a program has spoken to, it is no third: they
        // could not write to each other any more.
        let heard = if direct_key.is_some() { BTreeSet::new() } else { self.of(&place.heard) };
        let left = heard.into_iter().filter(|member| !members.contains(member));
        let seats = members.iter().map(|member| (*member, None)).chain(left.map(|member| (member, Some(since))));
        let owner = self.owner(place, members);
        let row = |(member, left_at): (Uuid, Option<Time>)| {
            let owns = left_at.is_none() && (direct_key.is_some() || Some(member) == owner);
            let role = if owns { ParticipantRole::Owner } else { ParticipantRole::Member };
            json!({
                "id": Uuid::now_v7(), "conversation_id": settled.id, "member_id": member, "role": role.word(),
                "joined_at": since, "left_at": left_at, "created_at": since, "updated_at": since, "joined_seq": head,
                "read_seq": head, "delivered_seq": head, "last_read_seq": head, "last_delivered_seq": head,
            })
        };
        let seats: Vec<Json> = seats.map(row).collect();
        let mut added: BTreeSet<Uuid> = BTreeSet::new();
        for seats in seats.chunks(AT_ONCE) {
            let mut sql = rows::insertion(self.organization, "participants", &SEAT, json!(seats));
            sql.push(" ON CONFLICT DO NOTHING RETURNING member_id");
            added.extend(sql.load::<Added>(&mut **tx).await?.into_iter().map(|added| added.member_id));
        }
        if !there && direct_key.is_none() {
            diesel::update(conversations::table.find((self.organization, settled.id)))
                .set(conversations::visibility.eq(visibility(place.kind).word()))
                .execute(&mut **tx)
                .await?;
        }
        if added.is_empty() {
            return Ok(Vec::new());
        }
        if direct_key.is_none() {
            // Whoever looked after it there may be a guest. What is told below is told of this as well.
            hand_on(tx, (self.organization, settled.id), DateTime::now()).await?;
        }
        let entered = members.iter().filter(|member| added.contains(member) && self.active.contains(member));
        let mut told = vec![imported(settled.id, 0)];
        told.extend(entered.map(|member| Change {
            stream: stream_of_member(*member),
            stream_kind: StreamKind::Member,
            kind: "conversation_entered",
            entity: "Inbox",
            entity_id: settled.id,
            payload: json!({}).into(),
        }));
        Ok(told)
    }

    /// Who opened it, if they can still look after it; else somebody who can.
    fn owner(&self, place: &Place, members: &BTreeSet<Uuid>) -> Option<Uuid> {
        let owners: Vec<Uuid> = place.owners.iter().filter_map(|number| self.member(*number)).collect();
        let owners = owners.into_iter().filter(|owner| members.contains(owner));
        let candidates: Vec<Uuid> = owners.chain(members.iter().copied()).collect();
        candidates
            .iter()
            .copied()
            .find(|member| self.active.contains(member))
            .or_else(|| candidates.iter().copied().next())
    }

    /// Moves who has read all there was to behind what came now: nothing of it is new to them.
    pub fn read_on(&self, conversation: Uuid, (before, now): (i64, i64)) -> Sql {
        let mut sql = Sql::new("UPDATE participants SET ");
        let columns = ["joined_seq", "read_seq", "delivered_seq", "last_read_seq", "last_delivered_seq"];
        for (index, column) in columns.into_iter().enumerate() {
            sql.push(if index > 0 { ", " } else { "" }).name(column).push(" = CASE WHEN ").name(column).push(" = ");
            sql.bind(Bind::BigInt(Some(before))).push(" THEN ").bind(Bind::BigInt(Some(now))).push(" ELSE ");
            sql.name(column).push(" END");
        }
        sql.push(" WHERE left_at IS NULL AND organization_id = ").bind(Bind::Uuid(Some(self.organization)));
        sql.push(" AND conversation_id = ").bind(Bind::Uuid(Some(conversation)));
        sql
    }
}

const SEAT: [&str; 13] = [
    "id",
    "conversation_id",
    "member_id",
    "role",
    "joined_at",
    "left_at",
    "created_at",
    "updated_at",
    "joined_seq",
    "read_seq",
    "delivered_seq",
    "last_read_seq",
    "last_delivered_seq",
];

/// What the conversation's stream is told: that so many messages came.
pub fn imported(conversation: Uuid, messages: usize) -> Change {
    change(conversation.into(), IMPORTED, "Conversation", conversation, json!({ "messages": messages }))
}

fn external_id(place: &Place) -> String {
    format!("conversation:{}", place.external_id)
}

fn kind(kind: Kind) -> ConversationKind {
    match kind {
        Kind::Direct | Kind::Group => ConversationKind::Group,
        Kind::Private | Kind::Public => ConversationKind::Channel,
    }
}

fn visibility(kind: Kind) -> ConversationVisibility {
    if kind == Kind::Public { ConversationVisibility::Public } else { ConversationVisibility::Private }
}
