//! Relations: from a record to others. Invariant: an edge never widens access (what cannot be read directly
//! cannot be read through a relation), and a page of records costs one query per relation, not one per record.

use super::{
    audience::Audience,
    entity::{self, Entity, List, ListArgs, page_selections},
    page::{Connection, Page},
    permission::{Action, Reach},
    predicate::{Compare, Predicate},
    resolve::scope,
    round::Rounds,
    scope::Scope,
    sql::Sql,
    table::Column,
    value::Bind,
};
use crate::{
    error::{Error, Result},
    platform::standing::Fresh,
};
use async_graphql::{
    Context, Name, SelectionField, Value,
    dataloader::{DataLoader, Loader},
    runtime::TokioSpawner,
};
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
    marker::PhantomData,
    sync::{Arc, OnceLock},
};
use uuid::Uuid;

type Shared = Arc<dyn Any + Send + Sync>;
/// Whose list, of which table, by which column (or what else is listed), with which arguments.
pub type ListKey = (Uuid, &'static str, &'static str, String);

/// What one operation has fetched ahead for its resolvers, and what fetches the rest. Lives as long as the
/// operation; a write and an event of a subscription begin with an empty one.
#[derive(Default)]
pub struct Loads {
    /// Whether this is a subscription, whose events go to many: see `Lookups`.
    shared: OnceLock<()>,
    records: Mutex<HashMap<(TypeId, Uuid), Option<Shared>>>,
    lists: Mutex<HashMap<ListKey, Shared>>,
    loaders: Mutex<HashMap<TypeId, Shared>>,
    rounds: OnceLock<Rounds>,
    /// Of a subscription: with whom it shares its answers.
    pub audience: OnceLock<Audience>,
    /// Of a mutation: its answer holds a secret, and so is not kept for its idempotency key.
    pub secret: OnceLock<()>,
}

/// What the events of subscriptions look up, shared by all subscribers of the node, so that an event costs reads by
/// what it names and not by how many watch. Only for members whose
/// permission reaches all records of the type, from whom nothing is hidden; by organization, type and id.
pub type Lookups = Fresh<(Uuid, TypeId, Uuid), Option<Shared>>;

impl Loads {
    /// From here on this is a subscription.
    pub fn share(&self) {
        let _ = self.shared.set(());
    }

    /// Whether this is a subscription.
    pub fn is_shared(&self) -> bool {
        self.shared.get().is_some()
    }

    /// The rounds of the operation, behind which its loaders begin.
    pub fn rounds(&self) -> Rounds {
        self.rounds.get_or_init(Rounds::default).clone()
    }

    pub fn clear(&self) {
        self.records.lock().clear();
        self.lists.lock().clear();
        self.loaders.lock().clear();
    }

    /// Some(None): looked up, and not there for this caller.
    fn record<E: Entity>(&self, id: Uuid) -> Option<Option<Arc<E>>> {
        let found = self.records.lock().get(&(TypeId::of::<E>(), id))?.clone();
        Some(found.and_then(|record| record.downcast().ok()))
    }

    fn put_record<E: Entity>(&self, id: Uuid, record: Option<Arc<E>>) {
        self.records.lock().insert((TypeId::of::<E>(), id), record.map(|record| record as Shared));
    }

    pub fn list<T: Any + Send + Sync>(&self, key: &ListKey) -> Option<Arc<T>> {
        self.lists.lock().get(key)?.clone().downcast().ok()
    }

    pub fn put_list<T: Any + Send + Sync>(&self, key: ListKey, list: Arc<T>) {
        self.lists.lock().insert(key, list);
    }

    /// Keeps what was found ahead of each row of a page, as `Option<T>`: of some there is nothing.
    pub fn put_each<T: Any + Send + Sync>(
        &self,
        rows: impl IntoIterator<Item = Uuid>,
        key: impl Fn(Uuid) -> ListKey,
        mut found: HashMap<Uuid, T>,
    ) {
        for row in rows {
            self.put_list(key(row), Arc::new(found.remove(&row)));
        }
    }
}

/// Records by id, where nothing was fetched ahead: those that are asked for at the same moment in one query.
struct Records<E> {
    scope: Scope,
    of: PhantomData<fn() -> E>,
}

impl<E: Entity> Loader<Uuid> for Records<E> {
    type Value = Arc<E>;
    type Error = Error;

    async fn load(&self, ids: &[Uuid]) -> Result<HashMap<Uuid, Arc<E>>> {
        let conn = self.scope.reader().await?;
        let found = entity::find_many::<E>(&self.scope, &conn, ids.to_vec()).await?;
        Ok(found.into_iter().map(|record| (record.id(), Arc::new(record))).collect())
    }
}

impl Scope {
    /// This operation's loader of one kind of record.
    fn loader<E: Entity>(&self) -> Option<Arc<DataLoader<Records<E>>>> {
        self.gather(|scope| Records { scope, of: PhantomData })
    }

    /// This operation's loader of that kind: what is asked of it in one round of the executor comes in one query.
    pub fn gather<L: Send + Sync + 'static>(&self, loader: impl FnOnce(Scope) -> L) -> Option<Arc<DataLoader<L>>> {
        let mut loaders = self.loads.loaders.lock();
        let found = loaders.entry(TypeId::of::<L>()).or_insert_with(|| {
            // Its own scope has `Loads` of its own, or each would keep the other alive.
            Arc::new(DataLoader::new(loader(self.fresh()), TokioSpawner::current(), self.loads.rounds()))
        });
        found.clone().downcast().ok()
    }
}

/// Runs a nullable field: a failure is reported at the field and the field is null, as the specification wants
/// (the engine alone would null the parent).
///
/// The field is put into a box at once: without, the future of each root field is as large as the largest of them all, and is
/// copied whole from one level of the engine to the next.
pub fn or_null<T>(
    ctx: &Context<'_>,
    field: impl Future<Output = Result<Option<T>>>,
) -> impl Future<Output = Option<T>> {
    let field = Box::pin(field);
    async move {
        match field.await {
            Ok(value) => value,
            Err(fault) => {
                let fault = async_graphql::Error::from(fault).into_server_error(ctx.item.pos);
                ctx.add_error(ctx.set_error_path(fault));
                None
            }
        }
    }
}

/// The record that a reference names, if the caller may read it.
pub async fn to_one<E: Entity>(ctx: &Context<'_>, id: Option<Uuid>) -> Option<Arc<E>> {
    let id = id?;
    if let Some(found) = scope(ctx).ok().and_then(|scope| scope.loads.record(id)) {
        return found;
    }
    // In a box: a future is as large as the largest thing it may wait for, and is copied whole for each record.
    or_null(ctx, async {
        let scope = scope(ctx)?;
        let alike = scope.actor.may(E::table().resource, Action::Read) == Some(Reach::All);
        if alike && scope.loads.is_shared() {
            return look_up(scope, id).await;
        }
        let loader = scope.loader::<E>().ok_or_else(|| Error::ours("a loader of another type"))?;
        loader.load_one(id).await
    })
    .await
}

/// As `entity::find`, for those who may read all records of the type; a second old at most.
async fn look_up<E: Entity>(scope: &Scope, id: Uuid) -> Result<Option<Arc<E>>> {
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
    there: &'static Column,
    args: ListArgs<E>,
) -> Option<Connection<E>> {
    or_null(ctx, async {
        let scope = scope(ctx)?;
        let arguments = ctx.field().arguments().map_err(|fault| Error::bad_input(fault.message))?;
        if let Some(page) = scope.loads.list(&(parent, E::table().name, there.name, argument_key(&arguments))) {
            return Ok(Some(Connection { scope: scope.clone(), page }));
        }
        let selections: Vec<_> = ctx.field().selection_set().collect();
        entity::list(scope, args, &selections, Some(names(there, parent))).await.map(Some)
    })
    .await
}

/// The column names the parent.
fn names(there: &'static Column, parent: Uuid) -> Predicate {
    Predicate::Compare(there, Compare::Eq, Bind::Uuid(Some(parent)))
}

/// Arguments as a key, so that a field finds what was fetched ahead for it.
pub fn argument_key(arguments: &[(Name, Value)]) -> String {
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
    let ids = distinct(ids);
    let wanted: Vec<Uuid> = ids.iter().copied().filter(|id| scope.loads.record::<E>(*id).is_none()).collect();
    if !wanted.is_empty() {
        let found = entity::find_many::<E>(scope, conn, wanted.clone()).await?;
        let mut found: HashMap<Uuid, E> = found.into_iter().map(|record| (record.id(), record)).collect();
        for id in wanted {
            scope.loads.put_record(id, found.remove(&id).map(Arc::new));
        }
    }
    // Also of those that another field has fetched already, with other selections below.
    let records: Vec<Arc<E>> = ids.into_iter().filter_map(|id| scope.loads.record(id).flatten()).collect();
    E::preload(scope, conn, &records, &below).await
}

pub(super) fn distinct(ids: impl Iterator<Item = Uuid>) -> Vec<Uuid> {
    let mut ids: Vec<Uuid> = ids.collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

/// Fetches ahead the pages of records whose `there` names one of the parents.
pub async fn preload_many<E: Entity>(
    scope: &Scope,
    conn: &AsyncPgConnection,
    selections: &[SelectionField<'_>],
    name: &'static str,
    there: &'static Column,
    parents: impl Iterator<Item = Uuid>,
) -> Result<()> {
    let fields: Vec<_> = selections.iter().filter(|field| field.name() == name).copied().collect();
    if fields.is_empty() {
        return Ok(());
    }
    let parents = distinct(parents);
    for field in fields {
        let Ok(arguments) = field.arguments() else { continue };
        let arguments_key = argument_key(&arguments);
        let key = |parent| (parent, E::table().name, there.name, arguments_key.clone());
        // What is wrong with the arguments, the field itself tells, at its own path.
        let Ok(list) = ListArgs::<E>::of(arguments).and_then(List::new) else { continue };
        if entity::may_list(list.table, scope, list.deleted).is_err() {
            continue;
        }
        let below: Vec<_> = field.selection_set().collect();
        let wanted: Vec<Uuid> =
            parents.iter().copied().filter(|parent| scope.loads.list::<Page<E>>(&key(*parent)).is_none()).collect();
        if !wanted.is_empty() {
            let mut rows = children::<E>(scope, conn, &list, there, &wanted).await?;
            let mut counts = match below.iter().any(|field| field.name() == "totalCount") {
                true => Some(entity::count_by(scope, conn, &list, there, &wanted).await?),
                false => None,
            };
            for parent in wanted {
                // What is counted or read on later is that below its own parent.
                let own = List { fits: Predicate::All(vec![names(there, parent), list.fits.clone()]), ..list.clone() };
                let page = Page::new(Arc::new(own), rows.remove(&parent).unwrap_or_default());
                let total = counts.as_mut().map(|counts| counts.remove(&parent).unwrap_or(0));
                scope.loads.put_list(key(parent), Arc::new(page.counted(total)));
            }
        }
        let pages = parents.iter().filter_map(|parent| scope.loads.list::<Page<E>>(&key(*parent)));
        let all: Vec<Arc<E>> = pages.flat_map(|page| page.rows.clone()).collect();
        E::preload(scope, conn, &all, &page_selections(&below)).await?;
    }
    Ok(())
}

/// The rows of one page for each of the parents, in one query.
async fn children<E: Entity>(
    scope: &Scope,
    mut conn: &AsyncPgConnection,
    list: &List,
    there: &'static Column,
    parents: &[Uuid],
) -> Result<HashMap<Uuid, Vec<E>>> {
    let mut sql = Sql::new("SELECT p.id, t0.* FROM unnest(");
    sql.bind(Bind::Uuids(parents.to_vec())).push(") AS p(id) CROSS JOIN LATERAL (SELECT ");
    sql.push(list.table.select).push(" FROM ").name(list.table.name).push(" t0");
    list.push_where(scope, &mut sql)?;
    sql.push(" AND ").column("t0", there).push(" = p.id");
    list.push_window(&mut sql);
    sql.push(") t0");
    let rows: Vec<Child<E>> = sql.load(&mut conn).await?;
    let mut by_parent: HashMap<Uuid, Vec<E>> = HashMap::new();
    for Child { parent, row } in rows {
        by_parent.entry(parent).or_default().push(row);
    }
    Ok(by_parent)
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
