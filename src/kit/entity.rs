//! What an entity is to the kit, and how its rows are read. Invariant: every read here names the organization
//! and the actor's reach; there is no other way to the rows of a tenant table.

use super::{
    filter::{Budget, DeletedRecords, Filter},
    order::{Order, OrderInput},
    page::{Connection, Page, Window},
    predicate::{Predicate, push_wall},
    scope::Scope,
    sql::Sql,
    table::{Column, Table},
    value::{Bind, Value},
};
use crate::{
    error::{Error, Result},
    kit::permission::Action,
    platform::database,
};
use async_graphql::{InputType, Name, OutputType, SelectionField};
use diesel::{deserialize, pg::Pg, row::Row};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use futures_util::future::BoxFuture;
use std::{collections::HashMap, sync::Arc};
use uuid::Uuid;

/// What follows from an entity's struct; written by `#[entity]`.
pub trait Entity:
    OutputType
    + Clone
    + Send
    + Sync
    + serde::Serialize
    + serde::de::DeserializeOwned
    + diesel::deserialize::QueryableByName<Pg>
    + 'static
{
    type Filter: Filter;
    type Order: OrderInput;

    fn table() -> &'static Table;
    /// From a row whose columns begin at `from`, in the order of `Table::columns`.
    fn read<'a>(row: &impl Row<'a, Pg>, from: usize) -> deserialize::Result<Self>;
    fn id(&self) -> Uuid;
    fn version(&self) -> i32;
    /// Whom it belongs to, where `Table::wall` is `Owned`.
    fn owner(&self) -> Option<Uuid>;
    fn deleted(&self) -> bool;
    /// What it has in a column of its table.
    fn cell(&self, column: &Column) -> Bind;
    /// The filter's own `deleted`.
    fn deleted_in(filter: &Self::Filter) -> Option<DeletedRecords>;
    /// Fetches what the selections name of other records, a query a relation, and puts it where the resolvers of
    /// these relations look first.
    fn preload<'a>(
        scope: &'a Scope,
        conn: &'a AsyncPgConnection,
        rows: &'a [Arc<Self>],
        selections: &'a [SelectionField<'a>],
    ) -> BoxFuture<'a, Result<()>>;
}

/// The value of a row's column, for the code that `#[entity]` writes.
pub fn cell<'a, T: Value>(row: &impl Row<'a, Pg>, index: usize) -> deserialize::Result<T> {
    use diesel::row::Field;
    let field = row.get(index).ok_or("a column is missing")?;
    T::read(field.value())
}

/// What a list is asked for.
pub struct ListArgs<E: Entity> {
    /// In a box, as large as it is: it travels through several futures.
    pub filter: Option<Box<E::Filter>>,
    pub order_by: Option<Vec<E::Order>>,
    pub first: Option<i32>,
    pub after: Option<String>,
    pub last: Option<i32>,
    pub before: Option<String>,
}

impl<E: Entity> ListArgs<E> {
    /// From the arguments of a field that is selected further down.
    pub fn of(arguments: Vec<(Name, async_graphql::Value)>) -> Result<Self> {
        let mut arguments: HashMap<Name, async_graphql::Value> = arguments.into_iter().collect();
        let mut take = Arguments(&mut arguments);
        Ok(ListArgs {
            filter: take.parse("filter")?,
            order_by: take.parse("orderBy")?,
            first: take.parse("first")?,
            after: take.parse("after")?,
            last: take.parse("last")?,
            before: take.parse("before")?,
        })
    }
}

/// The arguments of a field, each parsed as it is taken.
pub struct Arguments<'a>(pub &'a mut HashMap<Name, async_graphql::Value>);

impl Arguments<'_> {
    pub fn parse<T: InputType>(&mut self, name: &'static str) -> Result<Option<T>> {
        <Option<T> as InputType>::parse(self.0.remove(name))
            .map_err(|fault| Error::bad_input(fault.into_server_error(Default::default()).message))
    }
}

/// The list that the arguments of a field ask for, for `Table::ask`.
pub fn ask<E: Entity>(arguments: Vec<(Name, async_graphql::Value)>) -> Result<List> {
    List::new(ListArgs::<E>::of(arguments)?)
}

/// A list, made ready: which rows, in which order, from where.
#[derive(Clone)]
pub struct List {
    pub table: &'static Table,
    pub order: Order,
    pub window: Window,
    pub fits: Predicate,
    pub deleted: DeletedRecords,
}

impl List {
    pub fn new<E: Entity>(args: ListArgs<E>) -> Result<Self> {
        let keys = args.order_by.unwrap_or_default().into_iter().map(OrderInput::key).collect();
        let order = Order::new(E::table(), keys)?;
        let window = Window::new(args.first, args.after.as_deref(), args.last, args.before.as_deref(), &order)?;
        let filter = args.filter.unwrap_or_default();
        let deleted = E::deleted_in(&filter).unwrap_or_default();
        let fits = filter.predicate(&mut Budget::default())?;
        Ok(List { table: E::table(), order, window, fits, deleted })
    }

    /// Pushes ` WHERE …`: the wall, deletion, the filter.
    pub fn push_where(&self, scope: &Scope, sql: &mut Sql) -> Result<()> {
        push_visible(self.table, scope, self.deleted, sql);
        if !self.fits.is_always() {
            sql.push(" AND ");
            self.fits.push(&scope.actor, 0, sql)?;
        }
        Ok(())
    }

    /// Pushes the place to start behind, the order and the limit: one row more than the window shows.
    pub fn push_window(&self, sql: &mut Sql) {
        let order = if self.window.backward { self.order.reversed() } else { self.order.clone() };
        if let Some(place) = &self.window.place {
            sql.push(" AND ");
            order.push_after("t0", place, sql);
        }
        order.push("t0", sql);
        sql.push(" LIMIT ").number(self.window.size + 1);
    }
}

/// Pushes ` WHERE …` about `t0`: the organization, what the actor may read, and whether deleted rows count.
pub fn push_visible(table: &'static Table, scope: &Scope, deleted: DeletedRecords, sql: &mut Sql) {
    sql.push(" WHERE t0.organization_id = ").bind(Bind::Uuid(Some(scope.actor.organization)));
    if table.soft_delete {
        match deleted {
            DeletedRecords::Exclude => sql.push(" AND t0.deleted_at IS NULL"),
            DeletedRecords::Only => sql.push(" AND t0.deleted_at IS NOT NULL"),
            DeletedRecords::Include => sql,
        };
    }
    push_wall(table, &scope.actor, "t0", sql);
}

/// `SELECT <all columns> FROM <table> t0`.
pub fn select(table: &'static Table) -> Sql {
    let mut sql = Sql::new("SELECT ");
    sql.push(table.select).push(" FROM ").name(table.name).push(" t0");
    sql
}

/// FORBIDDEN when the role may not read this kind of record at all.
pub fn may_list(table: &'static Table, scope: &Scope, deleted: DeletedRecords) -> Result<()> {
    let may = |action| scope.actor.permissions.reach(table.resource, action).is_some();
    if !may(Action::Read) {
        let party = scope.actor.party();
        return Err(Error::forbidden(format!("{party} may not read records of type {}.", table.entity)));
    }
    if deleted != DeletedRecords::Exclude && !may(Action::Delete) {
        let party = scope.actor.party();
        return Err(Error::forbidden(format!("{party} may not see deleted records of type {}.", table.entity)));
    }
    Ok(())
}

/// A page of a list; what the selections name of other records comes with it.
pub async fn list<E: Entity>(
    scope: &Scope,
    args: ListArgs<E>,
    selections: &[SelectionField<'_>],
    within: Option<Predicate>,
) -> Result<Connection<E>> {
    let mut list = List::new(args)?;
    may_list(list.table, scope, list.deleted)?;
    if let Some(within) = within {
        list.fits = Predicate::All(vec![within, list.fits]);
    }
    let mut sql = select(list.table);
    list.push_where(scope, &mut sql)?;
    list.push_window(&mut sql);
    let conn = scope.reader().await?;
    let rows: Vec<E> = sql.load(&mut &*conn).await?;
    let page = Arc::new(Page::new(Arc::new(list), rows));
    E::preload(scope, &conn, &page.rows, &page_selections(selections)).await?;
    Ok(Connection { scope: scope.clone(), page })
}

/// The selections on the records of a connection: those below `nodes` and `edges { node }`.
pub fn page_selections<'a>(connection: &[SelectionField<'a>]) -> Vec<SelectionField<'a>> {
    let mut found = Vec::new();
    for field in connection {
        match field.name() {
            "nodes" => found.extend(field.selection_set()),
            "edges" => {
                for node in field.selection_set().filter(|below| below.name() == "node") {
                    found.extend(node.selection_set());
                }
            }
            _ => {}
        }
    }
    found
}

/// One record that the caller may read; None for any other id. With `selections`, what they name of other records
/// comes along.
pub async fn find<E: Entity>(scope: &Scope, id: Uuid, selections: &[SelectionField<'_>]) -> Result<Option<Arc<E>>> {
    let conn = scope.reader().await?;
    let row = find_on::<E>(scope, &conn, id, DeletedRecords::Exclude).await?.map(Arc::new);
    if let Some(row) = &row {
        E::preload(scope, &conn, std::slice::from_ref(row), selections).await?;
    }
    Ok(row)
}

/// As `find`, on a connection or in a transaction.
pub async fn find_on<E: Entity>(
    scope: &Scope,
    mut conn: &AsyncPgConnection,
    id: Uuid,
    deleted: DeletedRecords,
) -> Result<Option<E>> {
    let mut sql = select(E::table());
    push_visible(E::table(), scope, deleted, &mut sql);
    sql.push(" AND t0.id = ").bind(Bind::Uuid(Some(id)));
    let rows: Vec<E> = sql.load(&mut conn).await?;
    Ok(rows.into_iter().next())
}

/// Those of the records that the caller may read, in no order.
pub async fn find_many<E: Entity>(scope: &Scope, mut conn: &AsyncPgConnection, ids: Vec<Uuid>) -> Result<Vec<E>> {
    let mut sql = select(E::table());
    push_visible(E::table(), scope, DeletedRecords::Exclude, &mut sql);
    sql.push(" AND t0.id = ANY(").bind(Bind::Uuids(ids)).push(")");
    Ok(sql.load(&mut conn).await?)
}

/// How many rows fit.
pub async fn count(scope: &Scope, conn: &database::Connection, list: &List) -> Result<i64> {
    let mut sql = Sql::new("SELECT count(*) AS count FROM ");
    sql.name(list.table.name).push(" t0");
    list.push_where(scope, &mut sql)?;
    let counted: Counted = sql.get_result(&mut &**conn).await?;
    Ok(counted.count)
}

#[derive(diesel::QueryableByName)]
struct Counted {
    #[diesel(sql_type = diesel::sql_types::BigInt)]
    count: i64,
}

/// How many rows fit whose `there` names each of the parents; a parent without any is left out.
pub async fn count_by(
    scope: &Scope,
    mut conn: &AsyncPgConnection,
    list: &List,
    there: &'static Column,
    parents: &[Uuid],
) -> Result<HashMap<Uuid, i64>> {
    let mut sql = Sql::new("SELECT ");
    sql.column("t0", there).push(" AS parent, count(*) AS count FROM ").name(list.table.name).push(" t0");
    list.push_where(scope, &mut sql)?;
    sql.push(" AND ").column("t0", there).push(" = ANY(").bind(Bind::Uuids(parents.to_vec())).push(") GROUP BY 1");
    let counted: Vec<CountedBy> = sql.load(&mut conn).await?;
    Ok(counted.into_iter().map(|row| (row.parent, row.count)).collect())
}

#[derive(diesel::QueryableByName)]
struct CountedBy {
    #[diesel(sql_type = diesel::sql_types::Uuid)]
    parent: Uuid,
    #[diesel(sql_type = diesel::sql_types::BigInt)]
    count: i64,
}
