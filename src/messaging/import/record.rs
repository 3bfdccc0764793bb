//! Messages as rows, with what belongs to them. Invariant: what is written here together is what a message that is sent writes.

use super::{
    attach::Brought,
    model::{Post, Time},
};
use crate::{
    kit::{sql::Sql, value::Bind},
    messaging::{content::MessageKind, mention::Named},
};
use serde::Serialize;
use serde_json::{Value as Json, json};
use std::collections::HashMap;
use uuid::Uuid;

/// Members whom a message mentions at most.
const MENTIONS: usize = 50;

/// A message on its way.
pub struct Coming {
    pub id: Uuid,
    pub sender: Uuid,
    pub root: Option<Uuid>,
    pub body: String,
    pub post: Post,
    pub files: Vec<Brought>,
}

/// A row of `messages`.
#[derive(Serialize)]
pub struct Row {
    pub id: Uuid,
    pub conversation_id: Uuid,
    pub seq: i64,
    pub sender_id: Uuid,
    pub created_by: Uuid,
    pub kind: MessageKind,
    pub body: Option<String>,
    pub edited_at: Option<Time>,
    pub deleted_at: Option<Time>,
    pub created_at: Time,
    pub updated_at: Time,
    pub version: i32,
    pub thread_root_id: Option<Uuid>,
    pub thread_seq: Option<i32>,
    pub reply_count: i32,
    pub last_reply_at: Option<Time>,
    pub pinned_at: Option<Time>,
    pub pinned_by: Option<Uuid>,
}

pub const ROW: [&str; 18] = [
    "id",
    "conversation_id",
    "seq",
    "sender_id",
    "created_by",
    "kind",
    "body",
    "edited_at",
    "deleted_at",
    "created_at",
    "updated_at",
    "version",
    "thread_root_id",
    "thread_seq",
    "reply_count",
    "last_reply_at",
    "pinned_at",
    "pinned_by",
];

/// A message that is replied to.
pub struct RootRow {
    pub sender: Uuid,
    pub replies: i32,
    pub newest: Time,
}

impl Coming {
    pub fn row(&self, conversation: Uuid, seq: i64) -> Row {
        let post = &self.post;
        let edited_at = post.edited_at.filter(|_| !post.deleted);
        Row {
            id: self.id,
            conversation_id: conversation,
            seq,
            sender_id: self.sender,
            created_by: self.sender,
            kind: if post.deleted { MessageKind::Text } else { MessageKind::of(&self.body) },
            body: (!post.deleted).then(|| self.body.clone()),
            edited_at,
            deleted_at: post.deleted.then_some(post.at),
            created_at: post.at,
            updated_at: edited_at.unwrap_or(post.at),
            version: if edited_at.is_some() { 2 } else { 1 },
            thread_root_id: None,
            thread_seq: None,
            reply_count: 0,
            last_reply_at: None,
            pinned_at: None,
            pinned_by: None,
        }
    }

    /// Adds a line below what was said.
    pub fn add(&mut self, line: &str) {
        if !self.body.is_empty() {
            self.body.push_str("\n\n");
        }
        self.body.push_str(line);
    }

    pub fn length(&self) -> usize {
        self.body.chars().count()
    }
}

pub const BESIDE: [&str; 8] =
    ["id", "conversation_id", "message_id", "kind", "member_id", "created_by", "created_at", "updated_at"];
pub const ATTACHED: [&str; 7] =
    ["id", "conversation_id", "message_id", "file_id", "created_by", "created_at", "updated_at"];
pub const FILE: [&str; 11] = [
    "id",
    "name",
    "content_type",
    "size",
    "state",
    "checksum",
    "object",
    "created_by",
    "created_at",
    "updated_at",
    "version",
];

/// The index of whom bodies name.
pub fn mentions(conversation: Uuid, batch: &[Coming]) -> Vec<Json> {
    let mut rows = Vec::new();
    for coming in batch.iter().filter(|coming| !coming.post.deleted) {
        let named = Named::by(&coming.body);
        let members = named.members.iter().take(MENTIONS).map(|member| ("member", Some(*member)));
        let all = [(named.channel, "channel"), (named.here, "here")];
        let all = all.into_iter().filter(|(named, _)| *named).map(|(_, kind)| (kind, None));
        rows.extend(members.chain(all).map(|(kind, member)| {
            json!({
                "id": Uuid::now_v7(), "conversation_id": conversation, "message_id": coming.id, "kind": kind,
                "member_id": member, "created_by": coming.sender, "created_at": coming.post.at, "updated_at": coming.post.at
            })
        }));
    }
    rows
}

/// That files come along. The last first: newest first is the order in which they were given.
pub fn attachments(conversation: Uuid, batch: &[Coming]) -> Vec<Json> {
    let row = |coming: &Coming, file: &Brought| {
        json!({
            "id": Uuid::now_v7(), "conversation_id": conversation, "message_id": coming.id, "file_id": file.id,
            "created_by": coming.sender, "created_at": coming.post.at, "updated_at": coming.post.at
        })
    };
    batch.iter().flat_map(|coming| coming.files.iter().rev().map(move |file| row(coming, file))).collect()
}

/// Counts replies at messages that were there before.
pub fn replied(organization: Uuid, roots: &HashMap<Uuid, RootRow>) -> Sql {
    let rows: Vec<Json> = roots
        .iter()
        .map(|(id, root)| json!({ "id": id, "reply_count": root.replies, "last_reply_at": root.newest }))
        .collect();
    let mut sql =
        Sql::new("UPDATE messages m SET reply_count = greatest(m.reply_count, r.reply_count), last_reply_at = ");
    sql.push("greatest(m.last_reply_at, r.last_reply_at) FROM jsonb_to_recordset(").bind(Bind::Json(Some(json!(rows))));
    sql.push(") AS r (id uuid, reply_count integer, last_reply_at timestamptz) WHERE r.reply_count > m.reply_count");
    sql.push(" AND m.id = r.id AND m.organization_id = ").bind(Bind::Uuid(Some(organization)));
    sql
}
