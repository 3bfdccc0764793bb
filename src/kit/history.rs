//! The history of a record, read from the log. Invariant: who may read the record may read its history, and
//! nobody else; a page of records costs one query for the histories of all.

use super::{
    entity::{Arguments, Entity},
    relation::{ListKey, argument_key, distinct, or_null, preload_one},
    resolve::{scope, selections},
    scalars::{AnyJson, DateTime},
    scope::Scope,
    table::{Column, Table},
    value::Kind,
};
use crate::{
    error::{Error, Result},
    events::{Cursor, Event, Payload, histories},
    identity::Member,
};
use async_graphql::{ComplexObject, Context, Name, ScalarType, SelectionField, SimpleObject, Value};
use diesel_async::AsyncPgConnection;
use serde::Deserialize;
use serde_json::Value as Json;
use std::{collections::HashMap, sync::Arc};
use uuid::Uuid;

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
        or_null(ctx, async {
            let asked = Asked::new(first, after.as_deref())?;
            let (scope, id) = (scope(ctx)?, self.0.id());
            let arguments = ctx.field().arguments().map_err(|fault| Error::bad_input(fault.message))?;
            let ahead: Option<Arc<Vec<Event>>> = scope.loads.list(&key::<E>(id, &arguments));
            let events = match ahead {
                Some(events) => events,
                None => {
                    let conn = scope.reader().await?;
                    let mut read = read::<E>(scope, &conn, &asked, &[id], &selections(ctx)).await?;
                    Arc::new(read.remove(&id).unwrap_or_default())
                }
            };
            if let (Some(cursor), Some(event)) = (asked.after, events.first()) {
                cursor.expect(event.stream_id())?;
            }
            events.iter().map(HistoryEntry::of::<E>).collect::<Result<_>>().map(Some)
        })
        .await
    }
}

/// What part of a history is asked for.
struct Asked {
    most: usize,
    after: Option<Cursor>,
}

impl Asked {
    fn new(first: Option<i32>, after: Option<&str>) -> Result<Self> {
        let first = first.unwrap_or(25);
        let most = usize::try_from(first).ok().filter(|_| (1..=MOST).contains(&first));
        let most = most.ok_or_else(|| Error::bad_input(format!("first is 1 to {MOST} entries.")))?;
        Ok(Asked { most, after: after.map(Cursor::decode).transpose()? })
    }

    /// From the arguments of a field that is selected further down.
    fn of(arguments: Vec<(Name, Value)>) -> Result<Self> {
        let mut arguments = arguments.into_iter().collect();
        let mut take = Arguments(&mut arguments);
        Asked::new(take.parse("first")?, take.parse::<String>("after")?.as_deref())
    }
}

/// Where what was fetched ahead is kept for the field that shows it.
fn key<E: Entity>(record: Uuid, arguments: &[(Name, Value)]) -> ListKey {
    (record, E::table().name, "history", argument_key(arguments))
}

/// Fetches ahead the histories of a page of records.
pub async fn preload<E: Entity>(
    scope: &Scope,
    conn: &AsyncPgConnection,
    selections: &[SelectionField<'_>],
    records: impl Iterator<Item = Uuid>,
) -> Result<()> {
    let fields: Vec<_> = selections.iter().filter(|field| field.name() == "history").collect();
    if fields.is_empty() {
        return Ok(());
    }
    let records = distinct(records);
    for field in fields {
        // What is wrong with the arguments, the field itself tells, at its own path.
        let Ok(arguments) = field.arguments() else { continue };
        let Ok(asked) = Asked::of(arguments.clone()) else { continue };
        let below: Vec<_> = field.selection_set().collect();
        let mut read = read::<E>(scope, conn, &asked, &records, &below).await?;
        for record in &records {
            let events = read.remove(record).unwrap_or_default();
            scope.loads.put_list(key::<E>(*record, &arguments), Arc::new(events));
        }
    }
    Ok(())
}

/// Histories by record, with whoever acted in them fetched ahead.
async fn read<E: Entity>(
    scope: &Scope,
    conn: &AsyncPgConnection,
    asked: &Asked,
    records: &[Uuid],
    selections: &[SelectionField<'_>],
) -> Result<HashMap<Uuid, Vec<Event>>> {
    let (organization, before) = (scope.actor.organization, asked.after.map(|cursor| cursor.seq));
    let read = histories(conn, organization, E::table().entity, records, before, asked.most).await?;
    let actors = read.values().flatten().filter_map(|event| event.actor);
    preload_one::<Member>(scope, conn, selections, "actor", actors).await?;
    Ok(read)
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
    actor: Option<Uuid>,
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
    fn of<E: Entity>(event: &Event) -> Result<Self> {
        Ok(HistoryEntry {
            cursor: event.cursor().encode(),
            action: event.kind.clone(),
            occurred_at: DateTime(event.at),
            changes: changes::<E>(&event.payload)?,
            request_id: event.request_id.clone(),
            actor: event.actor,
        })
    }
}

/// The changes that an event of a record tells, in the order of the entity's fields.
pub fn changes<E: Entity>(payload: &Payload) -> Result<Vec<FieldChange>> {
    Ok(payload.member("changes")?.map(|changes| changes_of(E::table(), &changes)).unwrap_or_default())
}

/// As `changes`, from these themselves.
pub fn changes_of(table: &Table, changes: &Json) -> Vec<FieldChange> {
    let Json::Object(changes) = changes else { return Vec::new() };
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
    table
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
