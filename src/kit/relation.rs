//! Relations: from a record to others. Invariant: an edge never widens access (what cannot be read directly
//! cannot be read through a relation), and a page of records costs one query per relation, not one per record.

use super::{
    entity::{self, Entity, List, ListArgs, page_selections},
    page::Connection,
    permission::Action,
    scope::{Ask, Scope},
    sql::Sql,
    table::{Column, Wall},
    value::Bind,
};
use crate::{error::Result, platform::standing::Fresh};
use async_graphql::{Context, Name, SelectionField, Value};
use diesel::deserialize::QueryableByName;
use diesel::pg::Pg;
use diesel::row::NamedRow;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use parking_lot::Mutex;
use std::{
    any::{Any, TypeId},
    collections::HashMap,
    fmt::Write,
    future::Future,
    sync::{Arc, OnceLock},
};
use uuid::Uuid;

type Shared = Arc<dyn Any + Send + Sync>;
type ListKey = (Uuid, &'static str, String);

/// What one operation has fetched ahead for its resolvers. Lives as long as the operation; a write and an event
/// of a subscription begin with an empty one.
#[derive(Default)]
pub struct Loads {
    /// Whether this is a subscription, whose events go to many: see `Lookups`.
    shared: OnceLock<()>,
    records: Mutex<HashMap<(TypeId, Uuid), Option<Shared>>>,
    lists: Mutex<HashMap<ListKey, Shared>>,
}

/// What the events of subscriptions look up, shared by all subscribers of the node, so that an event costs reads by
/// what it names and not by how many watch. Only of entities that everybody with the permission sees alike
/// (`Wall::Shared`); by organization, type and id.
pub type Lookups = Fresh<(Uuid, TypeId, Uuid), Option<Shared>>;

impl Loads {
    /// From here on this is a subscription.
    pub fn share(&self) {
        let _ = self.shared.set(());
    }

    pub fn clear(&self) {
        self.records.lock().clear();
        self.lists.lock().clear();
    }

    /// Some(None): looked up, and not there for this caller.
    fn record<E: Entity>(&self, id: Uuid) -> Option<Option<Arc<E>>> {
        let found = self.records.lock().get(&(TypeId::of::<E>(), id))?.clone();
        Some(found.and_then(|record| record.downcast().ok()))
    }

    fn put_record<E: Entity>(&self, id: Uuid, record: Option<Arc<E>>) {
        self.records.lock().insert((TypeId::of::<E>(), id), record.map(|record| record as Shared));
    }

    fn list<E: Entity>(&self, key: &ListKey) -> Option<Connection<E>> {
        let found = self.lists.lock().get(key)?.clone();
        found.downcast::<Connection<E>>().ok().map(|page| (*page).clone())
    }

    fn put_list<E: Entity>(&self, key: ListKey, page: Connection<E>) {
        self.lists.lock().insert(key, Arc::new(page));
    }
}

/// Runs a nullable field: a failure is reported at the field and the field is null, as the specification wants
/// (the engine alone would null the parent).
pub async fn or_null<T>(ctx: &Context<'_>, field: impl Future<Output = Result<Option<T>>>) -> Option<T> {
    match field.await {
        Ok(value) => value,
        Err(fault) => {
            let fault = async_graphql::Error::from(fault).into_server_error(ctx.item.pos);
            ctx.add_error(ctx.set_error_path(fault));
            None
        }
    }
}

/// The record that a reference names, if the caller may read it.
pub async fn to_one<E: Entity>(ctx: &Context<'_>, id: Option<Uuid>) -> Option<Arc<E>> {
    or_null(ctx, async {
        let Some(id) = id else { return Ok(None) };
        let scope = scope(ctx)?;
        if let Some(found) = scope.loads.record(id) {
            return Ok(found);
        }
        if matches!(E::table().wall, Wall::Shared) && scope.loads.shared.get().is_some() {
            return look_up(scope, id).await;
        }
        let selections: Vec<_> = ctx.field().selection_set().collect();
        entity::find(scope, id, &selections).await
    })
    .await
}

/// As `entity::find`, of an entity that all who may read it see alike; a second old at most.
async fn look_up<E: Entity>(scope: &Scope, id: Uuid) -> Result<Option<Arc<E>>> {
    if scope.actor.may(E::table().resource, Action::Read).is_none() {
        return Ok(None);
    }
    let found = scope.app.lookups.get((scope.actor.organization, TypeId::of::<E>(), id), async {
        let found: Option<Arc<E>> = entity::find(scope, id, &[]).await?;
        Ok(Arc::new(found.map(|record| record as Shared)))
    });
    Ok(found.await?.as_ref().clone().and_then(|record| record.downcast().ok()))
}

/// The records whose `there` names this one.
pub async fn to_many<E: Entity>(
    ctx: &Context<'_>,
    parent: Uuid,
    name: &'static str,
    there: &'static Column,
    args: ListArgs<E>,
) -> Option<Connection<E>> {
    or_null(ctx, async {
        let scope = scope(ctx)?;
        let arguments = ctx.field().arguments().map_err(|fault| crate::Error::bad_input(fault.message))?;
        if let Some(page) = scope.loads.list(&(parent, name, argument_key(&arguments))) {
            return Ok(Some(page));
        }
        let selections: Vec<_> = ctx.field().selection_set().collect();
        let within =
            super::predicate::Predicate::Compare(there, super::predicate::Compare::Eq, Bind::Uuid(Some(parent)));
        entity::list(scope, args, &selections, Some(within)).await.map(Some)
    })
    .await
}

/// The signed-in caller. Whoever holds a record has one.
fn scope<'a>(ctx: &'a Context<'_>) -> Result<&'a Scope> {
    ctx.scope().map_err(|fault| crate::Error::ours(fault.message))
}

/// Arguments as a key, so that a field finds what was fetched ahead for it.
fn argument_key(arguments: &[(Name, Value)]) -> String {
    let mut sorted: Vec<_> = arguments.iter().collect();
    sorted.sort_by(|a, b| a.0.cmp(&b.0));
    sorted.into_iter().fold(String::new(), |mut key, (name, value)| {
        let _ = write!(key, "{name}={value};");
        key
    })
}

/// Fetches ahead the records that references name.
pub async fn preload_one<E: Entity>(
    scope: &Scope,
    conn: &AsyncPgConnection,
    selections: &[SelectionField<'_>],
    name: &'static str,
    ids: impl Iterator<Item = Uuid>,
) -> Result<()> {
    let mut below = Vec::new();
    for field in selections.iter().filter(|field| field.name() == name) {
        below.extend(field.selection_set());
    }
    if below.is_empty() {
        return Ok(());
    }
    let mut wanted: Vec<Uuid> = ids.filter(|id| scope.loads.record::<E>(*id).is_none()).collect();
    wanted.sort_unstable();
    wanted.dedup();
    if wanted.is_empty() {
        return Ok(());
    }
    let found: Vec<Arc<E>> =
        entity::find_many::<E>(scope, conn, wanted.clone()).await?.into_iter().map(Arc::new).collect();
    for id in wanted {
        scope.loads.put_record::<E>(id, None);
    }
    for record in &found {
        scope.loads.put_record(record.id(), Some(record.clone()));
    }
    E::preload(scope, conn, &found, &below).await
}

/// Fetches ahead the pages of records whose `there` names one of the parents.
pub async fn preload_many<E: Entity>(
    scope: &Scope,
    mut conn: &AsyncPgConnection,
    selections: &[SelectionField<'_>],
    name: &'static str,
    there: &'static Column,
    parents: impl Iterator<Item = Uuid>,
) -> Result<()> {
    let fields: Vec<_> = selections.iter().filter(|field| field.name() == name).copied().collect();
    if fields.is_empty() {
        return Ok(());
    }
    let parents: Vec<Uuid> = parents.collect();
    for field in fields {
        let Ok(arguments) = field.arguments() else { continue };
        let key = argument_key(&arguments);
        // What is wrong with the arguments, the field itself tells, at its own path.
        let Ok(list) = ListArgs::<E>::of(arguments).and_then(List::new) else { continue };
        if entity::may_list(list.table, scope, list.deleted).is_err() {
            continue;
        }
        let mut sql = Sql::new("SELECT p.id, t0.* FROM unnest(");
        sql.bind(Bind::Uuids(parents.clone())).push(") AS p(id) CROSS JOIN LATERAL (SELECT ");
        sql.push(list.table.select).push(" FROM ").name(list.table.name).push(" t0");
        list.push_where(scope, &mut sql)?;
        sql.push(" AND ").column("t0", there).push(" = p.id");
        list.push_window(&mut sql);
        sql.push(") t0");
        let rows: Vec<Child<E>> = sql.load(&mut conn).await?;
        let mut by_parent: HashMap<Uuid, Vec<E>> = parents.iter().map(|parent| (*parent, Vec::new())).collect();
        for Child { parent, row } in rows {
            by_parent.entry(parent).or_default().push(row);
        }
        let list = Arc::new(list);
        let mut all = Vec::new();
        for (parent, rows) in by_parent {
            // `totalCount` of a nested list counts below its own parent.
            let mut own =
                List { fits: list.fits.clone(), order: list.order.clone(), window: list.window.clone(), ..*list };
            own.fits = super::predicate::Predicate::All(vec![
                super::predicate::Predicate::Compare(there, super::predicate::Compare::Eq, Bind::Uuid(Some(parent))),
                own.fits,
            ]);
            let page = Connection::shared(scope.clone(), Arc::new(own), rows);
            all.extend(page.rows.iter().cloned());
            scope.loads.put_list((parent, name, key.clone()), page);
        }
        let below: Vec<_> = field.selection_set().collect();
        E::preload(scope, conn, &all, &page_selections(&below)).await?;
    }
    Ok(())
}

/// A row of a nested list: the parent's id, then the record.
struct Child<E> {
    parent: Uuid,
    row: E,
}

impl<E: Entity> QueryableByName<Pg> for Child<E> {
    fn build<'a>(row: &impl NamedRow<'a, Pg>) -> diesel::deserialize::Result<Self> {
        let parent = entity::cell::<super::id::Id<()>>(row, 0)?;
        Ok(Child { parent: parent.0, row: E::read(row, 1)? })
    }
}

/// The computed fields of an entity: `#[ComplexObject] impl Computed<'_, Lead> { … }`.
pub struct Computed<'a, E>(pub &'a E);

impl<E> std::ops::Deref for Computed<'_, E> {
    type Target = E;
    fn deref(&self) -> &E {
        self.0
    }
}

/// The relations of an entity, written by `#[entity]`.
pub struct Relations<'a, E>(pub &'a E);

impl<E> std::ops::Deref for Relations<'_, E> {
    type Target = E;
    fn deref(&self) -> &E {
        self.0
    }
}
