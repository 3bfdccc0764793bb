//! Attachments: files that a message brings along. Invariant: only who has uploaded a file attaches it; by it whoever may
//! read the message reads the file, as long as the message stands there, and nobody else.

use super::{conversation::Conversation, message::Message, participant::in_own_conversations};
use crate::{
    files::file::{File, FileState},
    kit::{
        id::Id,
        rules::Rules,
        scope::{Actor, Scope},
        sql::Sql,
        user_error::{UserErrorCode, UserErrors},
        value::Bind,
        write::{Stop, Tx},
    },
    schema::{files, message_attachments},
};
use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use serde_json::{Value as Json, json};
use std::collections::HashSet;
use stoa_macros::entity;
use uuid::Uuid;

/// Files of one message at most.
pub const MOST: usize = 10;

/// That a message brings a file along.
#[entity(resource = Conversation, plural = message_attachments, visible_by = in_own_conversations, read_only)]
pub struct MessageAttachment {
    pub id: Id<MessageAttachment>,
    /// The id of the conversation.
    #[entity(filter, group, belongs_to = super::conversation::Conversation)]
    pub conversation_id: Id<Conversation>,
    /// The id of the message.
    #[entity(filter, belongs_to = super::message::Message)]
    pub message_id: Id<Message>,
    /// The id of the file.
    #[entity(filter, belongs_to = crate::files::file::File)]
    pub file_id: Id<File>,
}

impl Rules for MessageAttachment {}

/// What is wrong with these files by themselves.
pub fn check(given: &[Id<File>], errors: &mut UserErrors) {
    if given.len() > MOST {
        errors.add("fileIds", UserErrorCode::TooLong, format!("A message brings at most {MOST} files along."));
        return;
    }
    let mut seen = HashSet::new();
    for (index, id) in given.iter().enumerate() {
        if !seen.insert(id.0) {
            errors.add(&format!("fileIds.{index}"), UserErrorCode::NotUnique, "The file is named twice.");
        }
    }
}

/// Pushes ` AND …`: that a member can attach these files.
pub fn push_attachable(actor: &Actor, given: &[Id<File>], sql: &mut Sql) {
    let ids = given.iter().map(|id| id.0).collect();
    sql.push(" AND NOT EXISTS (SELECT FROM unnest(").bind(Bind::Uuids(ids));
    sql.push(") AS g (id) WHERE NOT EXISTS (SELECT FROM files f WHERE f.organization_id = ");
    sql.bind(Bind::Uuid(Some(actor.organization))).push(" AND f.id = g.id AND f.created_by = ");
    sql.bind(Bind::Uuid(Some(actor.member))).push(" AND f.state = 'ready'))");
}

/// Pushes a part of the statement that sends, behind `sent`: the rows. A file that is deleted at this moment violates the
/// reference.
pub fn push_stored(given: &[Id<File>], sql: &mut Sql) {
    // The last first, so that newest first is the order in which they were given.
    let rows = given.iter().rev().map(|file| json!({ "id": Uuid::now_v7(), "file_id": file.0 }));
    sql.push(
        ", attached AS (
          INSERT INTO message_attachments (organization_id, id, conversation_id, message_id, file_id, created_by, created_at,
            updated_at)
          SELECT organization_id, a.id, conversation_id, sent.id, a.file_id, sender_id, created_at, created_at
          FROM sent, jsonb_to_recordset(",
    );
    sql.bind(Bind::Json(Some(Json::Array(rows.collect())))).push("::jsonb) AS a (id uuid, file_id uuid))");
}

/// Which of these the caller cannot attach; None: all can be.
pub async fn refused(scope: &Scope, mut conn: &AsyncPgConnection, given: &[Id<File>]) -> crate::Result<Option<Stop>> {
    if given.is_empty() {
        return Ok(None);
    }
    let rows = files::table
        .filter(files::organization_id.eq(scope.actor.organization))
        .filter(files::created_by.eq(scope.actor.member))
        .filter(files::id.eq_any(given.iter().map(|id| id.0)))
        .select((files::id, files::state));
    let found: Vec<(Uuid, String)> = rows.load(&mut conn).await?;
    let mut errors = UserErrors::default();
    for (index, id) in given.iter().enumerate() {
        let field = format!("fileIds.{index}");
        match found.iter().find(|(file, _)| *file == id.0) {
            None => errors.add(&field, UserErrorCode::NotFound, "You have uploaded no such file."),
            Some((_, state)) if *state != FileState::Ready.word() => {
                errors.add(&field, UserErrorCode::StateInvalid, "The upload of the file is not complete yet.");
            }
            Some(_) => {}
        }
    }
    Ok((!errors.is_empty()).then(|| errors.into()))
}

/// Whether a message brings files along.
pub async fn has_any(tx: &mut Tx, message: Uuid) -> Result<bool, Stop> {
    let of = message_attachments::table
        .filter(message_attachments::organization_id.eq(tx.scope.actor.organization))
        .filter(message_attachments::message_id.eq(message));
    Ok(diesel::select(diesel::dsl::exists(of)).get_result(tx.conn()).await?)
}

/// Takes a message's files from it. They stay with whoever uploaded them.
pub async fn forget(tx: &mut Tx, message: Uuid) -> Result<(), Stop> {
    let of = message_attachments::table
        .filter(message_attachments::organization_id.eq(tx.scope.actor.organization))
        .filter(message_attachments::message_id.eq(message));
    diesel::delete(of).execute(tx.conn()).await?;
    Ok(())
}
