//! What edited messages said before. Invariant: an edit keeps what it replaces, in its own transaction; a deleted message has
//! nothing left of what it ever said.

use super::{gather::gathered, message::Message};
use crate::{
    error::{Error, Result},
    kit::{
        resolve::scope,
        scalars::DateTime,
        scope::Scope,
        write::{Stop, Tx},
    },
    schema::message_versions,
};
use async_graphql::{Context, SimpleObject, dataloader::Loader};
use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use std::collections::HashMap;
use uuid::Uuid;

/// Earlier bodies kept of a message, the newest: a program may edit one again and again to show how far it has come.
pub const KEPT: i32 = 50;

/// What a message said before it was edited.
#[derive(Clone, Debug, SimpleObject)]
pub struct MessageVersion {
    /// The last `version` of the message that said so.
    pub version: i32,
    /// What it said, in Markdown.
    pub body: String,
    /// When that was written.
    pub written_at: DateTime,
}

/// Keeps what a message says, before it is edited.
pub async fn keep(tx: &mut Tx, message: &Message) -> Result<(), Stop> {
    let Some(body) = &message.body else { return Ok(()) };
    let organization = tx.scope.actor.organization;
    diesel::insert_into(message_versions::table)
        .values((
            message_versions::organization_id.eq(organization),
            message_versions::message_id.eq(message.id.0),
            message_versions::version.eq(message.version),
            message_versions::body.eq(body),
            message_versions::written_at.eq(message.edited_at.unwrap_or(message.created_at).0),
        ))
        .execute(tx.conn())
        .await?;
    let newest = message_versions::table
        .filter(message_versions::organization_id.eq(organization))
        .filter(message_versions::message_id.eq(message.id.0))
        .order(message_versions::version.desc());
    let oldest =
        newest.offset(KEPT.into()).select(message_versions::version).first::<i32>(tx.conn()).await.optional()?;
    if let Some(oldest) = oldest {
        forget(tx, message, oldest).await?;
    }
    Ok(())
}

/// Removes the versions of a message up to this one.
pub async fn forget(tx: &mut Tx, message: &Message, up_to: i32) -> Result<(), Stop> {
    let gone = message_versions::table
        .filter(message_versions::organization_id.eq(tx.scope.actor.organization))
        .filter(message_versions::message_id.eq(message.id.0))
        .filter(message_versions::version.le(up_to));
    diesel::delete(gone).execute(tx.conn()).await?;
    Ok(())
}

/// What a message said before, newest first; for all messages of a page in one query.
pub async fn of(ctx: &Context<'_>, message: &Message) -> Result<Vec<MessageVersion>> {
    if message.edited_at.is_none() || message.deleted_at.is_some() {
        return Ok(Vec::new());
    }
    gathered(scope(ctx)?, message.id.0, |scope| Versions { scope }).await
}

struct Versions {
    scope: Scope,
}

impl Loader<Uuid> for Versions {
    type Value = Vec<MessageVersion>;
    type Error = Error;

    async fn load(&self, messages: &[Uuid]) -> Result<HashMap<Uuid, Self::Value>> {
        of_all(&self.scope, &*self.scope.reader().await?, messages).await
    }
}

/// What these messages said before, each newest first.
pub async fn of_all(
    scope: &Scope,
    mut conn: &AsyncPgConnection,
    messages: &[Uuid],
) -> Result<HashMap<Uuid, Vec<MessageVersion>>> {
    let mut versions: HashMap<Uuid, Vec<MessageVersion>> = HashMap::new();
    if messages.is_empty() {
        return Ok(versions);
    }
    let rows = message_versions::table
        .filter(message_versions::organization_id.eq(scope.actor.organization))
        .filter(message_versions::message_id.eq_any(messages))
        .order((message_versions::message_id, message_versions::version.desc()))
        .select((
            message_versions::message_id,
            message_versions::version,
            message_versions::body,
            message_versions::written_at,
        ));
    for (message, version, body, at) in
        rows.load::<(Uuid, i32, String, chrono::DateTime<chrono::Utc>)>(&mut conn).await?
    {
        versions.entry(message).or_default().push(MessageVersion { version, body, written_at: DateTime(at) });
    }
    Ok(versions)
}
