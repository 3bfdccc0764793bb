//! Messages as lines of a file, with what belongs to them. Invariant: a page costs one query for each kind of it.

use crate::{
    error::Result,
    files::file,
    identity::Member,
    kit::{
        entity,
        export::{Column, Format, spelled, time},
        permission::{Action, Resource},
        scope::Scope,
        sql::Sql,
        value::Bind,
    },
    messaging::{
        message::Message,
        version::{self, MessageVersion},
    },
    schema::{files, message_attachments, messages},
};
use diesel::{prelude::*, sql_types};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use serde_json::{Value as Json, json};
use std::collections::HashMap;
use uuid::Uuid;

/// What is told of a message.
pub const COLUMNS: &[Column<Line>] = &[
    Column::new("seq", |line| json!(line.message.seq)),
    Column::new("id", |line| json!(line.message.id.0)),
    Column::new("at", |line| time(Some(line.message.created_at))),
    Column::new("senderId", |line| json!(line.message.sender_id.0)),
    Column::new("senderName", |line| json!(line.sender)),
    Column::new("kind", |line| spelled(line.message.kind)),
    Column::new("body", |line| json!(line.message.body)),
    Column::new("editedAt", |line| time(line.message.edited_at)),
    Column::new("deletedAt", |line| time(line.message.deleted_at)),
    Column::new("pinnedAt", |line| time(line.message.pinned_at)),
    Column::new("threadRootSeq", |line| json!(line.root)),
    Column::new("threadRootId", |line| json!(line.message.thread_root_id.map(|root| root.0))),
    Column::new("replyCount", |line| json!(line.message.reply_count)),
    Column::in_words(
        "reactions",
        |line| line.reactions.iter().map(Reacted::told).collect(),
        |line| joined(&line.reactions, ", ", |one| format!("{} {}", one.emoji, one.count)),
    ),
    Column::in_words(
        "attachments",
        |line| line.attachments.iter().map(Attached::told).collect(),
        |line| joined(&line.attachments, "\n", |file| format!("{} {}", file.name, file.url)),
    ),
    Column::in_lines_only("versions", |line| line.versions.iter().map(told).collect()),
];

/// A message, with what belongs to it. Of people it has the names of those whom the reader may see.
pub struct Line {
    message: Message,
    sender: Option<String>,
    /// The number of the message that it replies to.
    root: Option<i64>,
    reactions: Vec<Reacted>,
    /// As given.
    attachments: Vec<Attached>,
    /// The newest first.
    versions: Vec<MessageVersion>,
}

struct Reacted {
    emoji: String,
    count: i64,
    members: Vec<String>,
}

struct Attached {
    name: String,
    content_type: String,
    size: i32,
    url: String,
}

impl Reacted {
    fn told(&self) -> Json {
        json!({ "emoji": self.emoji, "count": self.count, "members": self.members })
    }
}

impl Attached {
    fn told(&self) -> Json {
        json!({ "name": self.name, "contentType": self.content_type, "size": self.size, "url": self.url })
    }
}

fn told(version: &MessageVersion) -> Json {
    json!({ "version": version.version, "body": version.body, "writtenAt": time(Some(version.written_at)) })
}

fn joined<T>(entries: &[T], between: &str, words: impl Fn(&T) -> String) -> String {
    entries.iter().map(words).collect::<Vec<_>>().join(between)
}

/// Lines of messages, in their order.
pub async fn of(scope: &Scope, conn: &AsyncPgConnection, messages: Vec<Message>, format: Format) -> Result<Vec<Line>> {
    let ids: Vec<Uuid> = messages.iter().map(|message| message.id.0).collect();
    let roots = messages.iter().filter_map(|message| message.thread_root_id.map(|root| root.0)).collect();
    let roots = numbers(scope, conn, roots).await?;
    let reactions = reactions(scope, conn, ids.clone()).await?;
    let mut attachments = attachments(scope, conn, &ids).await?;
    // No table has them.
    let mut versions = match format {
        Format::Csv => HashMap::new(),
        Format::JsonLines => version::of_all(scope, conn, &edited(&messages)).await?,
    };
    let mut people: Vec<Uuid> = messages.iter().map(|message| message.sender_id.0).collect();
    people.extend(reactions.iter().flat_map(|found| &found.members));
    people.sort_unstable();
    people.dedup();
    let people = entity::find_many::<Member>(scope, conn, people).await?;
    let names: HashMap<Uuid, String> = people.into_iter().map(|member| (member.id.0, member.name)).collect();
    let mut reacted: HashMap<Uuid, Vec<Reacted>> = HashMap::new();
    for Reactions { message_id, emoji, count, members } in reactions {
        let members = members.iter().filter_map(|member| names.get(member).cloned()).collect();
        reacted.entry(message_id).or_default().push(Reacted { emoji, count, members });
    }
    let line = |message: Message| Line {
        sender: names.get(&message.sender_id.0).cloned(),
        root: message.thread_root_id.and_then(|root| roots.get(&root.0).copied()),
        reactions: reacted.remove(&message.id.0).unwrap_or_default(),
        attachments: attachments.remove(&message.id.0).unwrap_or_default(),
        versions: versions.remove(&message.id.0).unwrap_or_default(),
        message,
    };
    Ok(messages.into_iter().map(line).collect())
}

/// By id.
async fn numbers(scope: &Scope, mut conn: &AsyncPgConnection, of: Vec<Uuid>) -> Result<HashMap<Uuid, i64>> {
    let numbers = messages::table
        .filter(messages::organization_id.eq(scope.actor.organization))
        .filter(messages::id.eq_any(of))
        .select((messages::id, messages::seq));
    Ok(numbers.load::<(Uuid, i64)>(&mut conn).await?.into_iter().collect())
}

#[derive(QueryableByName)]
struct Reactions {
    #[diesel(sql_type = sql_types::Uuid)]
    message_id: Uuid,
    #[diesel(sql_type = sql_types::Text)]
    emoji: String,
    #[diesel(sql_type = sql_types::BigInt)]
    count: i64,
    #[diesel(sql_type = sql_types::Array<sql_types::Uuid>)]
    members: Vec<Uuid>,
}

/// Those of a message in the order in which the emojis first came.
async fn reactions(scope: &Scope, mut conn: &AsyncPgConnection, of: Vec<Uuid>) -> Result<Vec<Reactions>> {
    let mut sql = Sql::new(
        "SELECT message_id, emoji, count(*) AS count, (array_agg(member_id ORDER BY created_at, member_id))[1:100] AS members
         FROM reactions WHERE organization_id = ",
    );
    sql.bind(Bind::Uuid(Some(scope.actor.organization))).push(" AND message_id = ANY(").bind(Bind::Uuids(of));
    sql.push(") GROUP BY message_id, emoji ORDER BY message_id, min(created_at), emoji");
    Ok(sql.load(&mut conn).await?)
}

/// Nothing for who may not read files: the link opens what they say.
async fn attachments(scope: &Scope, mut conn: &AsyncPgConnection, of: &[Uuid]) -> Result<HashMap<Uuid, Vec<Attached>>> {
    if scope.actor.may(Resource::File, Action::Read).is_none() {
        return Ok(HashMap::new());
    }
    let same_file =
        files::organization_id.eq(message_attachments::organization_id).and(files::id.eq(message_attachments::file_id));
    let rows = message_attachments::table
        .inner_join(files::table.on(same_file))
        .filter(message_attachments::organization_id.eq(scope.actor.organization))
        .filter(message_attachments::message_id.eq_any(of))
        // As given: the newest first.
        .order((message_attachments::created_at.desc(), message_attachments::id.desc()))
        .select((message_attachments::message_id, files::id, files::name, files::content_type, files::size));
    let mut attachments: HashMap<Uuid, Vec<Attached>> = HashMap::new();
    for (message, id, name, content_type, size) in rows.load::<(Uuid, Uuid, String, String, i32)>(&mut conn).await? {
        let url = file::url(scope, id);
        attachments.entry(message).or_default().push(Attached { name, content_type, size, url });
    }
    Ok(attachments)
}

fn edited(messages: &[Message]) -> Vec<Uuid> {
    messages.iter().filter(|message| message.edited_at.is_some()).map(|message| message.id.0).collect()
}

/// Bytes by message.
pub type Sizes = HashMap<Uuid, i64>;

#[derive(QueryableByName)]
struct Size {
    #[diesel(sql_type = sql_types::Uuid)]
    message_id: Uuid,
    #[diesel(sql_type = sql_types::BigInt)]
    bytes: i64,
}

/// How much messages said before they were edited, all versions of each together.
pub async fn said_before(scope: &Scope, mut conn: &AsyncPgConnection, messages: &[Message]) -> Result<Sizes> {
    let edited = edited(messages);
    if edited.is_empty() {
        return Ok(Sizes::new());
    }
    let mut sql =
        Sql::new("SELECT message_id, sum(octet_length(body)) AS bytes FROM message_versions WHERE organization_id = ");
    sql.bind(Bind::Uuid(Some(scope.actor.organization))).push(" AND message_id = ANY(").bind(Bind::Uuids(edited));
    sql.push(") GROUP BY message_id");
    let sizes: Vec<Size> = sql.load(&mut conn).await?;
    Ok(sizes.into_iter().map(|size| (size.message_id, size.bytes)).collect())
}
