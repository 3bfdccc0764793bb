//! Messages as lines of a file, with what belongs to them. Invariant: a page costs one query for each kind of it.

use crate::{
    error::Result,
    files::file,
    identity::Member,
    kit::{entity, export, scalars::DateTime, scope::Scope, sql::Sql, value::Bind},
    messaging::message::Message,
    schema::{files, message_attachments, message_versions, messages},
};
use async_graphql::ScalarType;
use diesel::{prelude::*, sql_types};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use serde_json::{Value as Json, json};
use std::collections::HashMap;
use uuid::Uuid;

type Time = chrono::DateTime<chrono::Utc>;

/// What belongs to the messages of a page.
pub struct Beside {
    names: HashMap<Uuid, String>,
    roots: HashMap<Uuid, i64>,
    reactions: HashMap<Uuid, Vec<Reacted>>,
    attachments: HashMap<Uuid, Vec<Attached>>,
    versions: HashMap<Uuid, Vec<(i32, String, Time)>>,
}

#[derive(QueryableByName)]
struct Reacted {
    #[diesel(sql_type = sql_types::Uuid)]
    message_id: Uuid,
    #[diesel(sql_type = sql_types::Text)]
    emoji: String,
    #[diesel(sql_type = sql_types::BigInt)]
    count: i64,
    #[diesel(sql_type = sql_types::Array<sql_types::Uuid>)]
    members: Vec<Uuid>,
}

struct Attached {
    name: String,
    content_type: String,
    size: i32,
    url: String,
}

impl Beside {
    pub async fn of(scope: &Scope, mut conn: &AsyncPgConnection, page: &[Message]) -> Result<Self> {
        let organization = scope.actor.organization;
        let ids: Vec<Uuid> = page.iter().map(|message| message.id.0).collect();
        let mut sql = Sql::new(
            "SELECT message_id, emoji, count(*) AS count, (array_agg(member_id ORDER BY created_at, member_id))[1:100] AS members
             FROM reactions WHERE organization_id = ",
        );
        sql.bind(Bind::Uuid(Some(organization))).push(" AND message_id = ANY(").bind(Bind::Uuids(ids.clone()));
        sql.push(") GROUP BY message_id, emoji ORDER BY message_id, min(created_at), emoji");
        let mut reactions: HashMap<Uuid, Vec<Reacted>> = HashMap::new();
        for reacted in sql.load::<Reacted>(&mut conn).await? {
            reactions.entry(reacted.message_id).or_default().push(reacted);
        }
        let rows = message_attachments::table
            .inner_join(
                files::table.on(files::organization_id
                    .eq(message_attachments::organization_id)
                    .and(files::id.eq(message_attachments::file_id))),
            )
            .filter(message_attachments::organization_id.eq(organization))
            .filter(message_attachments::message_id.eq_any(&ids))
            // As given: the newest first.
            .order((message_attachments::created_at.desc(), message_attachments::id.desc()))
            .select((message_attachments::message_id, files::id, files::name, files::content_type, files::size));
        let mut attachments: HashMap<Uuid, Vec<Attached>> = HashMap::new();
        for (message, id, name, content_type, size) in rows.load::<(Uuid, Uuid, String, String, i32)>(&mut conn).await?
        {
            let url = file::url(scope, id);
            attachments.entry(message).or_default().push(Attached { name, content_type, size, url });
        }
        let rows = message_versions::table
            .filter(message_versions::organization_id.eq(organization))
            .filter(message_versions::message_id.eq_any(&ids))
            .order((message_versions::message_id, message_versions::version.desc()))
            .select((
                message_versions::message_id,
                message_versions::version,
                message_versions::body,
                message_versions::written_at,
            ));
        let mut versions: HashMap<Uuid, Vec<(i32, String, Time)>> = HashMap::new();
        for (message, version, body, at) in rows.load::<(Uuid, i32, String, Time)>(&mut conn).await? {
            versions.entry(message).or_default().push((version, body, at));
        }
        let roots: Vec<Uuid> = page.iter().filter_map(|message| message.thread_root_id.map(|root| root.0)).collect();
        let roots = messages::table
            .filter(messages::organization_id.eq(organization))
            .filter(messages::id.eq_any(roots))
            .select((messages::id, messages::seq));
        let roots = roots.load::<(Uuid, i64)>(&mut conn).await?.into_iter().collect();
        let mut people: Vec<Uuid> = page.iter().map(|message| message.sender_id.0).collect();
        people.extend(reactions.values().flatten().flat_map(|reacted| &reacted.members));
        people.sort_unstable();
        people.dedup();
        let members = entity::find_many::<Member>(scope, conn, people).await?;
        let names = members.into_iter().map(|member| (member.id.0, member.name)).collect();
        Ok(Beside { names, roots, reactions, attachments, versions })
    }

    fn name(&self, member: &Uuid) -> Option<&str> {
        self.names.get(member).map(String::as_str)
    }
}

fn time(at: Option<DateTime>) -> Json {
    at.and_then(|at| at.to_value().into_json().ok()).unwrap_or_default()
}

const TABLE: [&str; 14] = [
    "seq",
    "id",
    "at",
    "senderId",
    "senderName",
    "body",
    "editedAt",
    "deletedAt",
    "pinnedAt",
    "threadRootSeq",
    "threadRootId",
    "replyCount",
    "reactions",
    "attachments",
];

const LINE: [&str; 15] = {
    let mut line = ["versions"; 15];
    let mut at = 0;
    while at < TABLE.len() {
        line[at] = TABLE[at];
        at += 1;
    }
    line
};

/// The columns that both have, without the last two.
fn columns(message: &Message, beside: &Beside) -> [Json; 12] {
    [
        json!(message.seq),
        json!(message.id.0),
        time(Some(message.created_at)),
        json!(message.sender_id.0),
        json!(beside.name(&message.sender_id.0)),
        json!(message.body),
        time(message.edited_at),
        time(message.deleted_at),
        time(message.pinned_at),
        json!(message.thread_root_id.and_then(|root| beside.roots.get(&root.0))),
        json!(message.thread_root_id.map(|root| root.0)),
        json!(message.reply_count),
    ]
}

/// An object a line.
pub fn json_lines(page: &[Message], beside: &Beside) -> Result<Vec<u8>> {
    let line = |message: &Message| {
        let [seq, id, at, sender, name, body, edited, deleted, pinned, root_seq, root, replies] =
            columns(message, beside);
        let reactions = beside.reactions.get(&message.id.0).into_iter().flatten().map(|reacted| {
            let members: Vec<&str> = reacted.members.iter().filter_map(|member| beside.name(member)).collect();
            json!({ "emoji": reacted.emoji, "count": reacted.count, "members": members })
        });
        let attachments = beside.attachments.get(&message.id.0).into_iter().flatten().map(
            |file| json!({ "name": file.name, "contentType": file.content_type, "size": file.size, "url": file.url }),
        );
        let versions = beside.versions.get(&message.id.0).into_iter().flatten().map(
            |(version, body, at)| json!({ "version": version, "body": body, "writtenAt": time(Some(DateTime(*at))) }),
        );
        [
            seq,
            id,
            at,
            sender,
            name,
            body,
            edited,
            deleted,
            pinned,
            root_seq,
            root,
            replies,
            reactions.collect(),
            attachments.collect(),
            versions.collect(),
        ]
    };
    export::json_lines(&LINE, page.iter().map(line))
}

/// Rows of a table, behind the names of its columns at the `head` of the file.
pub fn csv(page: &[Message], beside: &Beside, head: bool) -> Result<Vec<u8>> {
    let row = |message: &Message| {
        let [seq, id, at, sender, name, body, edited, deleted, pinned, root_seq, root, replies] =
            columns(message, beside);
        let reactions = beside.reactions.get(&message.id.0).into_iter().flatten();
        let reactions: Vec<String> = reactions.map(|one| format!("{} {}", one.emoji, one.count)).collect();
        let attachments = beside.attachments.get(&message.id.0).into_iter().flatten();
        let attachments: Vec<String> = attachments.map(|file| format!("{} {}", file.name, file.url)).collect();
        [
            seq,
            id,
            at,
            sender,
            name,
            body,
            edited,
            deleted,
            pinned,
            root_seq,
            root,
            replies,
            json!(reactions.join(", ")),
            json!(attachments.join("\n")),
        ]
    };
    export::csv(&TABLE, page.iter().map(row), head)
}
