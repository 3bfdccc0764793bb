//! The history of a record, read from the log. Invariant: who may read the record may read its history, and
//! nobody else.

use super::{
    entity::Entity,
    relation::{or_null, preload_one},
    resolve::{scope, selections},
    scalars::{AnyJson, DateTime},
    table::Column,
    value::Kind,
};
use crate::{
    error::Error,
    events::{Cursor, Event},
    identity::Member,
};
use async_graphql::{ComplexObject, Context, ScalarType, SimpleObject};
use serde::Deserialize;
use serde_json::Value as Json;
use std::sync::Arc;

/// The history of a record.
pub struct History<'a, E>(pub &'a E);

/// Entries of a history at once, at most.
const MOST: i32 = 100;

#[ComplexObject]
impl<E: Entity> History<'_, E> {
    /// What happened to the record, newest first.
    async fn history(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How many entries: 1 to 100, 25 unless said otherwise.")] first: Option<i32>,
        #[graphql(desc = "The cursor of the last entry that you have, to read on behind it.")] after: Option<String>,
    ) -> Option<Vec<HistoryEntry>> {
        // In a box, as relations are: what it may wait for would weigh on every relation of every record.
        Box::pin(or_null(ctx, async {
            let first = first.unwrap_or(25);
            let most = usize::try_from(first).ok().filter(|_| (1..=MOST).contains(&first));
            let most = most.ok_or_else(|| Error::bad_input(format!("first is 1 to {MOST} entries.")))?;
            let after = after.as_deref().map(Cursor::decode).transpose()?;
            let (scope, entity) = (scope(ctx)?, E::table().entity);
            let conn = scope.reader().await?;
            let (organization, before) = (scope.actor.organization, after.map(|cursor| cursor.seq));
            let events = crate::events::history(&conn, organization, entity, self.0.id(), before, most).await?;
            if let (Some(cursor), Some(event)) = (after, events.first()) {
                cursor.expect(event.stream_id())?;
            }
            let actors = events.iter().filter_map(|event| event.actor);
            preload_one::<Member>(scope, &conn, &selections(ctx), "actor", actors).await?;
            Ok(Some(events.into_iter().map(|event| HistoryEntry::of::<E>(event)).collect()))
        }))
        .await
    }
}

/// Something that happened to a record.
#[derive(Clone, Debug, SimpleObject)]
#[graphql(complex)]
pub struct HistoryEntry {
    /// The place of this entry: give it as `after` to read on behind it.
    pub cursor: String,
    /// `created`, `updated`, `deleted`, `restored`, `purged`, or a word of the entity such as `converted`.
    pub action: String,
    /// When.
    pub occurred_at: DateTime,
    /// The fields that became different.
    pub changes: Vec<FieldChange>,
    /// The id of the request that did it, as in its answer's `x-request-id`.
    pub request_id: Option<String>,
    #[graphql(skip)]
    actor: Option<uuid::Uuid>,
}

#[ComplexObject]
impl HistoryEntry {
    /// Who did it; null: the system, or a member that you may not see.
    async fn actor(&self, ctx: &Context<'_>) -> Option<Arc<Member>> {
        super::relation::to_one::<Member>(ctx, self.actor).await
    }
}

/// A field that became different.
#[derive(Clone, Debug, SimpleObject)]
pub struct FieldChange {
    /// The field in GraphQL.
    pub field: String,
    /// What it was.
    pub old: Option<AnyJson>,
    /// What it is.
    pub new: Option<AnyJson>,
}

impl HistoryEntry {
    fn of<E: Entity>(event: Event) -> Self {
        HistoryEntry {
            cursor: event.cursor().encode(),
            action: event.kind,
            occurred_at: DateTime(event.at),
            changes: changes::<E>(&event.payload),
            request_id: event.request_id,
            actor: event.actor,
        }
    }
}

/// The changes that an event of a record tells, in the order of the entity's fields.
pub fn changes<E: Entity>(payload: &Json) -> Vec<FieldChange> {
    let Some(Json::Object(changes)) = payload.get("changes") else { return Vec::new() };
    let shown = |column: &Column, value: &Json| match value {
        Json::Null => None,
        // As the field itself shows it: enum values in capitals, times with milliseconds.
        Json::String(word) if column.is_enum => Some(AnyJson(Json::from(word.to_uppercase()))),
        Json::String(_) if column.kind == Kind::Time => {
            let time = DateTime::deserialize(value).ok().and_then(|time| time.to_value().into_json().ok());
            Some(AnyJson(time.unwrap_or_else(|| value.clone())))
        }
        other => Some(AnyJson(other.clone())),
    };
    E::table()
        .columns
        .iter()
        .filter_map(|column| {
            let change = changes.get(column.field)?;
            Some(FieldChange {
                field: column.field.to_owned(),
                old: change.get("old").and_then(|value| shown(column, value)),
                new: change.get("new").and_then(|value| shown(column, value)),
            })
        })
        .collect()
}
