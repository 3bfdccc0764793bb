//! What happens to records, as it happens and as a log to read. Invariant: an event is shown to those who may
//! read the record before or after it; whose view a record leaves learns that it left, and nothing more.

use super::{account::*, contact::*, lead::*};
use crate::{
    error::{Code, Error, Result},
    events::{Cursor, Event, stream_of_records},
    identity::Member,
    kit::{
        entity::Entity,
        feed::{Feed, ResyncRequired, Shown, feed, shown},
        filter::{Budget, Filter},
        history::{FieldChange, changes_of},
        permission::Action,
        predicate::Predicate,
        relation::{or_null, preload_one, to_one},
        resolve::{scope, selections},
        scalars::DateTime,
        scope::Scope,
        table::Table,
    },
};
use async_graphql::{
    ComplexObject, Context, Enum, ID, Object, OneofObject, SelectionField, SimpleObject, Subscription, Union,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Deserialize;
use serde_json::Value as Json;
use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};
use uuid::Uuid;

/// A kind of record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
pub enum RecordType {
    /// Accounts.
    Account,
    /// Contacts.
    Contact,
    /// Leads.
    Lead,
}

const ALL_TYPES: [RecordType; 3] = [RecordType::Account, RecordType::Contact, RecordType::Lead];

impl RecordType {
    fn table(self) -> &'static Table {
        match self {
            RecordType::Account => Account::table(),
            RecordType::Contact => Contact::table(),
            RecordType::Lead => Lead::table(),
        }
    }
}

/// A filter for one kind of record.
#[derive(Clone, Debug, OneofObject)]
pub enum RecordFilter {
    /// For accounts.
    Account(Box<AccountFilter>),
    /// For contacts.
    Contact(Box<ContactFilter>),
    /// For leads.
    Lead(Box<LeadFilter>),
}

/// A record.
#[derive(Clone, Debug, Union)]
pub enum Record {
    Account(Arc<Account>),
    Contact(Arc<Contact>),
    Lead(Arc<Lead>),
}

/// Something happened to a record.
#[derive(Clone, Debug, SimpleObject)]
#[graphql(complex)]
pub struct RecordChanged {
    /// The place of this event: give it as `after` to go on behind it.
    pub cursor: String,
    /// When it happened.
    pub occurred_at: DateTime,
    /// `created`, `updated`, `deleted`, `restored`, `purged`, or a word of the entity such as `converted`.
    pub action: String,
    /// What kind of record.
    pub r#type: RecordType,
    /// Which record.
    pub record_id: ID,
    /// The record as it became; null: it was purged, or has left what you may see or what the filter fits.
    pub record: Option<Record>,
    /// The fields that became different.
    pub changes: Vec<FieldChange>,
    #[graphql(skip)]
    actor: Option<Uuid>,
}

#[ComplexObject]
impl RecordChanged {
    /// Who did it; null: the system, or a member that you may not see.
    async fn actor(&self, ctx: &Context<'_>) -> Option<Arc<Member>> {
        to_one::<Member>(ctx, self.actor).await
    }
}

/// Something that happened to a record, or the end of a feed that cannot be continued.
#[derive(Clone, Debug, Union)]
pub enum RecordEvent {
    RecordChanged(RecordChanged),
    ResyncRequired(ResyncRequired),
}

/// Subscriptions.
#[derive(Default)]
pub struct CrmSubscription;

#[Subscription]
impl CrmSubscription {
    /// What happens to the records of one kind that you may see: first what was missed since `after`, then live,
    /// without a gap and without a repeat.
    async fn record_events(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which kind of record.")] entity: RecordType,
        #[graphql(desc = "Only records that fit, by their own fields.")] filter: Option<RecordFilter>,
        #[graphql(
            desc = "The cursor of the last event that you have, or of `changes`, asked before the records were fetched; left out: only what happens from now on."
        )]
        after: Option<String>,
    ) -> async_graphql::Result<Feed<RecordEvent>> {
        feed(ctx, async || {
            let scope = scope(ctx)?.clone();
            crate::kit::entity::may_list(entity.table(), &scope, Default::default())?;
            let fits = predicate(entity, filter)?;
            let stream = scope.stream(stream_of_records(entity.table().entity));
            // The cursor of `changes` holds one for each kind of record.
            let after = match after.as_deref().map(decode) {
                Some(Ok(mut places)) => places.remove(entity.table().entity).or(after),
                _ => after,
            };
            let deliveries = scope.follow(stream, after).await?;
            let viewer = scope.clone();
            let personal = |_: &Event| false;
            Ok(shown(scope, stream, deliveries, RecordEvent::ResyncRequired, personal, move |event| {
                Ok(match view(&viewer, entity, &fits, event)? {
                    Some(changed) => Shown::Event(RecordEvent::RecordChanged(changed)),
                    None => Shown::Nothing,
                })
            }))
        })
        .await
    }
}

fn predicate(entity: RecordType, filter: Option<RecordFilter>) -> Result<Predicate> {
    let budget = &mut Budget::default();
    let fits = match (entity, filter) {
        (_, None) => Predicate::always(),
        (RecordType::Account, Some(RecordFilter::Account(filter))) => filter.predicate(budget)?,
        (RecordType::Contact, Some(RecordFilter::Contact(filter))) => filter.predicate(budget)?,
        (RecordType::Lead, Some(RecordFilter::Lead(filter))) => filter.predicate(budget)?,
        _ => return Err(Error::bad_input("The filter is for another kind of record than `entity`.")),
    };
    fits.decidable()?;
    Ok(fits)
}

/// What an event of a record says.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Said {
    #[serde(default)]
    record: Json,
    #[serde(default)]
    changes: Json,
    owner_before: Option<Uuid>,
}

/// What the caller sees of an event; None: nothing.
fn view(scope: &Scope, entity: RecordType, fits: &Predicate, event: &Event) -> Result<Option<RecordChanged>> {
    match entity {
        RecordType::Account => view_of::<Account>(scope, entity, fits, event, Record::Account),
        RecordType::Contact => view_of::<Contact>(scope, entity, fits, event, Record::Contact),
        RecordType::Lead => view_of::<Lead>(scope, entity, fits, event, Record::Lead),
    }
}

fn view_of<E: Entity>(
    scope: &Scope,
    entity: RecordType,
    fits: &Predicate,
    event: &Event,
    wrap: impl Fn(Arc<E>) -> Record,
) -> Result<Option<RecordChanged>> {
    let Said { record, changes, owner_before } = event.payload.read()?;
    let now: E = serde_json::from_value(record.clone())?;
    let seen_now = reaches::<E>(scope, now.owner());
    let seen_before = reaches::<E>(scope, owner_before);
    let fits_now = seen_now && fits.fits(&|column| now.cell(column));
    let fits_before = seen_before
        && match before::<E>(&changes, record) {
            Some(old) => fits.fits(&|column| old.cell(column)),
            None => false,
        };
    if !fits_now && !fits_before {
        return Ok(None);
    }
    Ok(Some(RecordChanged {
        cursor: event.cursor().encode(),
        occurred_at: DateTime(event.at),
        action: event.kind.clone(),
        r#type: entity,
        record_id: ID(event.entity_id.to_string()),
        changes: if seen_now { changes_of(E::table(), &changes) } else { Vec::new() },
        record: (fits_now && event.kind != "purged").then(|| wrap(Arc::new(now))),
        actor: event.actor,
    }))
}

fn reaches<E: Entity>(scope: &Scope, owner: Option<Uuid>) -> bool {
    let reach = scope.actor.may(E::table().resource, Action::Read);
    reach.is_some_and(|reach| scope.actor.reaches(reach, owner))
}

/// The record as it was before the event.
fn before<E: Entity>(changes: &Json, mut snapshot: Json) -> Option<E> {
    let changed = changes.as_object()?;
    if changed.is_empty() {
        return None;
    }
    let record = snapshot.as_object_mut()?;
    for column in E::table().columns {
        if let Some(change) = changed.get(column.field) {
            record.insert(column.name.to_owned(), change.get("old").cloned().unwrap_or(Json::Null));
        }
    }
    serde_json::from_value(snapshot).ok()
}

/// A page of the log.
#[derive(SimpleObject)]
pub struct ChangePage {
    /// What happened, oldest first. Fewer than asked for, or none, when the rest of the page is about records that you
    /// may not see: `hasMore` says whether to go on.
    pub events: Vec<RecordChanged>,
    /// Where to go on: give it as `after`.
    pub cursor: String,
    /// Whether more has happened already.
    pub has_more: bool,
    /// Kinds of records whose log cannot be continued from `after`, or that it does not know: fetch these afresh;
    /// `cursor` goes on from now.
    pub resync_required: Vec<RecordType>,
}

/// Queries.
#[derive(Default)]
pub struct ChangesQuery;

#[Object]
impl ChangesQuery {
    /// What happened to records, oldest first: the same log as `recordEvents`, to read page by page for offline
    /// sync or polling. Begin without `after` to learn where the log stands now.
    async fn changes(
        &self,
        ctx: &Context<'_>,
        #[graphql(
            desc = "Behind this cursor of an earlier answer. Left out: nothing happened yet, and the cursor is now."
        )]
        after: Option<String>,
        #[graphql(desc = "Which kinds of records; all that you may read unless said otherwise.")] types: Option<
            Vec<RecordType>,
        >,
        #[graphql(desc = "How many events: 1 to 100, 100 unless said otherwise.")] first: Option<i32>,
    ) -> Option<ChangePage> {
        or_null(ctx, async { read_changes(scope(ctx)?, after, types, first, &selections(ctx)).await.map(Some) }).await
    }
}

/// Where a client is in each stream: encoded, the cursor of `changes`.
type Places = BTreeMap<String, String>;

async fn read_changes(
    scope: &Scope,
    after: Option<String>,
    types: Option<Vec<RecordType>>,
    first: Option<i32>,
    selections: &[SelectionField<'_>],
) -> Result<ChangePage> {
    let first = first.unwrap_or(100);
    let most = usize::try_from(first).ok().filter(|_| (1..=100).contains(&first));
    let most = most.ok_or_else(|| Error::bad_input("first is 1 to 100 events."))?;
    let may_read = |kind: &RecordType| scope.actor.permissions.reach(kind.table().resource, Action::Read).is_some();
    let kinds: Vec<RecordType> = match types {
        Some(kinds) => {
            for kind in &kinds {
                crate::kit::entity::may_list(kind.table(), scope, Default::default())?;
            }
            ALL_TYPES.into_iter().filter(|kind| kinds.contains(kind)).collect()
        }
        None => ALL_TYPES.into_iter().filter(may_read).collect(),
    };
    let mut places = after.as_deref().map(decode).transpose()?.unwrap_or_default();
    let mut resync_required = Vec::new();
    let mut found = Vec::new();
    for kind in kinds {
        let name = kind.table().entity;
        let stream = scope.stream(stream_of_records(name));
        let read = match places.get(name) {
            Some(place) => scope.app.hub.read(stream, Some(Cursor::decode(place)?), most + 1).await?,
            None => None,
        };
        match read {
            Some(events) => found.push((kind, VecDeque::from(events))),
            None => {
                places.insert(name.to_owned(), scope.app.hub.cursor(stream).await?.encode());
                // Whoever begins has nothing yet that could be out of date.
                if after.is_some() {
                    resync_required.push(kind);
                }
            }
        }
    }
    let mut page = Vec::new();
    // The oldest first, and those of one log in its order, whatever the clock said.
    while page.len() < most
        && let Some((kind, events)) =
            found.iter_mut().filter(|(_, rest)| !rest.is_empty()).min_by_key(|(_, rest)| rest.front().map(|e| e.at))
        && let Some(event) = events.pop_front()
    {
        places.insert(kind.table().entity.to_owned(), event.cursor().encode());
        page.push((*kind, event));
    }
    let has_more = found.iter().any(|(_, rest)| !rest.is_empty());
    let mut events = Vec::new();
    for (kind, event) in &page {
        events.extend(view(scope, *kind, &Predicate::always(), event)?);
    }
    let below: Vec<_> =
        selections.iter().filter(|field| field.name() == "events").flat_map(|e| e.selection_set()).collect();
    let actors = events.iter().filter_map(|event| event.actor);
    preload_one::<Member>(scope, &*scope.reader().await?, &below, "actor", actors).await?;
    Ok(ChangePage { events, cursor: encode(&places), has_more, resync_required })
}

fn encode(places: &Places) -> String {
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(places).unwrap_or_default())
}

fn decode(cursor: &str) -> Result<Places> {
    let read = || serde_json::from_slice(&URL_SAFE_NO_PAD.decode(cursor).ok()?).ok();
    (cursor.len() <= 4096)
        .then(read)
        .flatten()
        .ok_or_else(|| Error::yours(Code::InvalidCursor, "This is no cursor of changes. Start without it."))
}
