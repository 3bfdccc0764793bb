//! Conversations of an export: found or opened, with who takes part. Invariant: what was opened by an earlier run, and the direct
//! conversation of two who have one, is added to and stays as it is; one who has left it here stays out.

use super::{
    model::{Kind, Place, Time},
    report::{What, Why},
    write::Writer,
};
use crate::{
    error::Result,
    events::{Change, StreamKind, stream_of_member},
    kit::{rows, sql::Sql, value::Bind},
    messaging::{
        block,
        conversation::{ConversationKind, ConversationVisibility, change},
        participant::ParticipantRole,
    },
    schema::{conversations, imported_records},
};
use chrono::Utc;
use diesel::{prelude::*, sql_types};
use diesel_async::RunQueryDsl;
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
    /// Opens the conversation of a place, unless it is there, and brings its people in. None: there is nobody in it.
    pub async fn settle(&mut self, place: &Place, first: Option<Time>) -> Result<Option<Settled>> {
        let mut members = self.of(&place.members);
        if place.kind == Kind::Direct || members.is_empty() {
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
        if !self.dry {
            self.open(place, settled, (members, direct_key), first).await?;
        }
        Ok(Some(settled))
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

    /// In one transaction: the conversation, who is and was in it, and what it and they are told.
    async fn open(
        &mut self,
        place: &Place,
        settled: Settled,
        (members, direct_key): (BTreeSet<Uuid>, Option<String>),
        first: Option<Time>,
    ) -> Result<()> {
        let now = Utc::now();
        let owner = self.owner(place, &members);
        let mut tx = self.app.database.of(self.organization).await?.begin().await?;
        let mut opened = place.created_at.or(first).unwrap_or(now);
        let mut head = 0;
        if settled.there {
            opened = now;
            let held = conversations::table.find((self.organization, settled.id)).select(conversations::last_seq);
            head = held.for_no_key_update().first(&mut *tx).await?;
        } else {
            let kind = if direct_key.is_some() { ConversationKind::Direct } else { kind(place.kind) };
            let alone = (place.kind == Kind::Direct && members.len() == 1).then(|| "Notes".to_owned());
            diesel::insert_into(conversations::table)
                .values((
                    conversations::organization_id.eq(self.organization),
                    conversations::id.eq(settled.id),
                    conversations::kind.eq(kind.word()),
                    conversations::visibility.eq(visibility(place.kind).word()),
                    conversations::title.eq(place.title.clone().or(alone)),
                    conversations::topic.eq(&place.topic),
                    conversations::direct_key.eq(&direct_key),
                    conversations::archived_at.eq(place.archived.then_some(now)),
                    conversations::created_by.eq(owner),
                    conversations::created_at.eq(opened),
                    conversations::updated_at.eq(opened),
                ))
                .execute(&mut *tx)
                .await?;
        }
        let remembered = json!([{
            "source": self.source.word(), "external_id": external_id(place), "conversation_id": settled.id
        }]);
        let columns = ["source", "external_id", "conversation_id"];
        let mut sql = rows::insertion(self.organization, "imported_records", &columns, remembered);
        sql.push(" ON CONFLICT DO NOTHING");
        sql.execute(&mut *tx).await?;
        // Who wrote here and is no member is known to those who are.
        let left = self.of(&place.heard).into_iter().filter(|member| !members.contains(member));
        let seats = members.iter().map(|member| (*member, None)).chain(left.map(|member| (member, Some(opened))));
        let row = |(member, left_at): (Uuid, Option<Time>)| {
            let owns = left_at.is_none() && (direct_key.is_some() || Some(member) == owner);
            let role = if owns { ParticipantRole::Owner } else { ParticipantRole::Member };
            json!({
                "id": Uuid::now_v7(), "conversation_id": settled.id, "member_id": member, "role": role.word(),
                "joined_at": opened, "left_at": left_at, "created_at": opened, "updated_at": opened, "joined_seq": head,
                "read_seq": head, "delivered_seq": head, "last_read_seq": head, "last_delivered_seq": head,
            })
        };
        let seats: Vec<Json> = seats.map(row).collect();
        let mut added: BTreeSet<Uuid> = BTreeSet::new();
        for seats in seats.chunks(AT_ONCE) {
            let mut sql = rows::insertion(self.organization, "participants", &SEAT, json!(seats));
            sql.push(" ON CONFLICT DO NOTHING RETURNING member_id");
            added.extend(sql.load::<Added>(&mut *tx).await?.into_iter().map(|added| added.member_id));
        }
        if added.is_empty() && settled.there {
            return tx.rollback().await;
        }
        let entered = members.iter().filter(|member| added.contains(member) && self.active.contains(member));
        let mut told = vec![imported(settled.id, 0)];
        told.extend(entered.map(|member| Change {
            stream: stream_of_member(*member),
            stream_kind: StreamKind::Member,
            kind: "conversation_entered",
            entity: "Inbox",
            entity_id: settled.id,
            payload: json!({}),
        }));
        self.commit(tx, told).await
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
