//! Writes: check, then rows, then one event per changed record, then commit. Invariant: a change and its event
//! are stored together or not at all, and nobody hears of a change that was not committed.

use super::{
    entity::{self, Entity},
    filter::DeletedRecords,
    permission::{Action, Reach},
    rules::Rules,
    scalars::DateTime,
    scope::Scope,
    sql::Sql,
    table::{Column, Table, Wall},
    user_error::{UserError, UserErrorCode, UserErrors},
    value::Bind,
};
use crate::{
    error::{Error, Result},
    events::{Change, Hub, StreamKind, stream_of_records},
    platform::database::Transaction,
};
use async_graphql::{Enum, InputType, MaybeUndefined};
use diesel::result::{DatabaseErrorKind, Error::DatabaseError};
use diesel_async::{AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};
use serde_json::{Map, Value as Json, json};
use std::{collections::HashMap, sync::Arc};
use uuid::Uuid;

/// An open transaction of a member, with the events that its commit will publish.
pub struct Tx {
    pub scope: Scope,
    /// When all of this happens: one time for every row and event of the transaction.
    pub now: DateTime,
    transaction: Transaction,
    changes: Vec<Change>,
}

impl Scope {
    pub async fn begin(&self) -> Result<Tx> {
        let transaction = self.reader().await?.begin().await?;
        Ok(Tx { scope: self.clone(), now: DateTime::now(), transaction, changes: Vec::new() })
    }
}

impl Tx {
    pub fn conn(&mut self) -> &mut AsyncPgConnection {
        &mut self.transaction
    }

    /// For reads in the transaction, which diesel-async can send together.
    pub fn reader(&self) -> &AsyncPgConnection {
        &self.transaction
    }

    /// What the commit will tell.
    pub fn record(&mut self, change: Change) {
        self.changes.push(change);
    }

    /// Numbers and stores the events, commits, then publishes.
    pub async fn commit(mut self) -> Result<()> {
        super::idempotency::note(&self.scope, &mut self.transaction).await?;
        let changes = std::mem::take(&mut self.changes);
        let mut events = Vec::new();
        if !changes.is_empty() {
            let (actor, request) = (self.scope.actor.clone(), self.scope.request.id.clone());
            events =
                Hub::append(&mut self.transaction, actor.organization, Some(actor.member), Some(&request), changes)
                    .await?;
        }
        self.transaction.commit().await?;
        self.scope.loads.clear();
        self.scope.app.hub.publish(events);
        Ok(())
    }

    /// Commits what succeeded, rolls back what failed.
    pub async fn finish<T>(self, result: Result<T, Stop>) -> Result<Result<T, Rejection>> {
        match result {
            Ok(value) => self.commit().await.map(|()| Ok(value)),
            Err(stop) => {
                self.transaction.rollback().await?;
                match stop {
                    Stop::Rejected(rejection) => Ok(Err(rejection)),
                    Stop::Failed(fault) => Err(fault),
                }
            }
        }
    }

    /// Runs one of several writes so that its failure leaves the others alone.
    async fn attempt<T>(&mut self, write: impl AsyncFnOnce(&mut Tx) -> Result<T, Stop>) -> Result<T, Stop> {
        self.transaction.batch_execute("SAVEPOINT item").await.map_err(Error::from)?;
        let told = self.changes.len();
        let result = write(self).await;
        if result.is_err() {
            self.changes.truncate(told);
            self.transaction.batch_execute("ROLLBACK TO SAVEPOINT item").await.map_err(Error::from)?;
        }
        self.transaction.batch_execute("RELEASE SAVEPOINT item").await.map_err(Error::from)?;
        result
    }
}

/// What the user has to mend, and the record as it stands where that helps.
#[derive(Debug, Default)]
pub struct Rejection {
    pub errors: UserErrors,
    /// The record that the write would have changed.
    pub current: Option<Uuid>,
}

/// Why a write goes no further.
#[derive(Debug)]
pub enum Stop {
    Rejected(Rejection),
    Failed(Error),
}

impl From<Error> for Stop {
    fn from(fault: Error) -> Self {
        Stop::Failed(fault)
    }
}

impl From<diesel::result::Error> for Stop {
    fn from(fault: diesel::result::Error) -> Self {
        Stop::Failed(fault.into())
    }
}

impl From<UserErrors> for Stop {
    fn from(errors: UserErrors) -> Self {
        Stop::Rejected(Rejection { errors, current: None })
    }
}

impl Stop {
    /// One fault of one field.
    pub fn at(field: &str, code: UserErrorCode, message: impl Into<std::borrow::Cow<'static, str>>) -> Self {
        let mut errors = UserErrors::default();
        errors.add(field, code, message);
        errors.into()
    }
}

/// What a mutation gives its payload.
pub struct Outcome<E> {
    pub record: Option<Arc<E>>,
    pub errors: Vec<UserError>,
}

/// What `#[entity]` writes for entities that can be created and changed.
pub trait Writable: Rules {
    type Create: InputType;
    type Update: InputType;

    /// The client's own id for a new record.
    fn id_of(input: &Self::Create) -> Option<Uuid>;
    /// The id and the version that an update expects.
    fn target_of(input: &Self::Update) -> (Uuid, Option<i32>);
    /// A new record; what the input leaves out has its default.
    fn create(scope: &Scope, id: Uuid, now: DateTime, input: Self::Create) -> Self;
    /// Applies an update; tells of null where there must be a value.
    fn update(&mut self, input: Self::Update, errors: &mut UserErrors);
    /// Puts all fields into their stored form and tells what is wrong with them.
    fn tidy(&mut self, errors: &mut UserErrors);
    /// Its references: the field, the table referred to, the id.
    fn references(&self) -> Vec<(&'static str, &'static Table, Option<Uuid>)>;
    fn touch(&mut self, version: i32, at: DateTime);
    fn mark_deleted(&mut self, at: Option<DateTime>, by: Option<Uuid>);
}

/// FORBIDDEN unless the actor may do this to a record of that owner. To give a record to an owner, both the old and
/// the new one have to be within reach: nobody works for, or hides records with, those whom they do not lead.
fn may<E: Entity>(scope: &Scope, action: Action, owner: Option<Uuid>) -> Result<()> {
    let (table, actor) = (E::table(), &scope.actor);
    let reach = actor.demand(table.resource, action)?;
    if !matches!(table.wall, Wall::Owned) || actor.reaches(reach, owner) {
        return Ok(());
    }
    let whose = match reach {
        Reach::Own => "those that belong to yourself",
        Reach::Team => "those that belong to you or your team",
        Reach::All => "all",
    };
    Err(Error::forbidden(format!(
        "Of records of type {}, your permission {action} reaches {whose}; the owner here is somebody else, or nobody.",
        table.entity
    )))
}

/// Stores a new record.
pub async fn create<E: Writable>(tx: &mut Tx, input: E::Create) -> Result<E, Stop> {
    let id = E::id_of(&input).unwrap_or_else(Uuid::now_v7);
    let record = E::create(&tx.scope, id, tx.now, input);
    insert(tx, record, "created").await
}

/// Stores a record that a rule made.
pub async fn insert<E: Writable>(tx: &mut Tx, mut record: E, kind: &'static str) -> Result<E, Stop> {
    tx.scope.actor.demand(E::table().resource, Action::Create)?;
    let mut errors = UserErrors::default();
    record.tidy(&mut errors);
    check_references::<E>(tx, None, &record, &mut errors).await?;
    E::check(tx, None, &mut record, &mut errors).await?;
    if !errors.is_empty() {
        return Err(errors.into());
    }
    may::<E>(&tx.scope, Action::Create, record.owner())?;
    let table = E::table();
    let mut sql = Sql::new("INSERT INTO ");
    sql.name(table.name).push(" (organization_id");
    for column in table.columns {
        sql.push(", ").name(column.name);
    }
    sql.push(") VALUES (").bind(Bind::Uuid(Some(tx.scope.actor.organization)));
    for column in table.columns {
        sql.push(", ").bind(record.cell(column));
    }
    sql.push(")");
    sql.execute(tx.conn()).await.map_err(|fault| clash::<E>(fault))?;
    tell(tx, None, &record, kind)?;
    Ok(record)
}

/// Changes a record: what the input leaves out stays as it is.
pub async fn update<E: Writable>(tx: &mut Tx, input: E::Update) -> Result<E, Stop> {
    let (id, expected) = E::target_of(&input);
    let old = lock::<E>(tx, id, Action::Update, DeletedRecords::Exclude, expected).await?;
    let mut new = old.clone();
    let mut errors = UserErrors::default();
    new.update(input, &mut errors);
    replace(tx, &old, new, "updated", errors).await
}

/// Stores what a rule made of a record that it holds locked.
pub async fn replace<E: Writable>(
    tx: &mut Tx,
    old: &E,
    mut new: E,
    kind: &'static str,
    mut errors: UserErrors,
) -> Result<E, Stop> {
    new.tidy(&mut errors);
    check_references::<E>(tx, Some(old), &new, &mut errors).await?;
    E::check(tx, Some(old), &mut new, &mut errors).await?;
    if !errors.is_empty() {
        return Err(errors.into());
    }
    if old.owner() != new.owner() {
        may::<E>(&tx.scope, Action::Assign, old.owner())?;
        may::<E>(&tx.scope, Action::Assign, new.owner())?;
    }
    let columns: Vec<&'static Column> =
        E::table().columns.iter().copied().filter(|column| old.cell(column) != new.cell(column)).collect();
    if columns.is_empty() {
        return Ok(new);
    }
    store(tx, old, &mut new, columns).await?;
    tell(tx, Some(old), &new, kind)?;
    Ok(new)
}

/// Writes the columns named, the next version and the time.
async fn store<E: Writable>(tx: &mut Tx, old: &E, new: &mut E, columns: Vec<&'static Column>) -> Result<(), Stop> {
    new.touch(old.version().saturating_add(1), tx.now);
    let table = E::table();
    let mut sql = Sql::new("UPDATE ");
    sql.name(table.name).push(" SET ");
    let always = ["version", "updated_at"].into_iter().filter_map(|name| table.column(name));
    for (index, column) in columns.into_iter().chain(always).enumerate() {
        sql.push(if index == 0 { "" } else { ", " }).name(column.name).push(" = ").bind(new.cell(column));
    }
    sql.push(" WHERE organization_id = ").bind(Bind::Uuid(Some(tx.scope.actor.organization)));
    sql.push(" AND id = ").bind(Bind::Uuid(Some(new.id())));
    sql.execute(tx.conn()).await.map_err(|fault| clash::<E>(fault))?;
    Ok(())
}

/// Deletes a record so that it can be restored.
pub async fn delete<E: Writable>(tx: &mut Tx, id: Uuid, expected: Option<i32>) -> Result<E, Stop> {
    let old = lock::<E>(tx, id, Action::Delete, DeletedRecords::Exclude, expected).await?;
    let mut new = old.clone();
    new.mark_deleted(Some(tx.now), Some(tx.scope.actor.member));
    change_deletion(tx, old, new, "deleted").await
}

/// Takes a deletion back.
pub async fn restore<E: Writable>(tx: &mut Tx, id: Uuid) -> Result<E, Stop> {
    let old = lock::<E>(tx, id, Action::Delete, DeletedRecords::Only, None).await?;
    let mut new = old.clone();
    new.mark_deleted(None, None);
    change_deletion(tx, old, new, "restored").await
}

async fn change_deletion<E: Writable>(tx: &mut Tx, old: E, mut new: E, kind: &'static str) -> Result<E, Stop> {
    let columns = ["deleted_at", "deleted_by"].into_iter().filter_map(|name| E::table().column(name)).collect();
    store(tx, &old, &mut new, columns).await?;
    tell(tx, Some(&old), &new, kind)?;
    Ok(new)
}

/// Removes a deleted record for good.
pub async fn purge<E: Writable>(tx: &mut Tx, id: Uuid) -> Result<E, Stop> {
    let old = lock::<E>(tx, id, Action::Purge, DeletedRecords::Only, None).await?;
    let mut sql = Sql::new("DELETE FROM ");
    sql.name(E::table().name).push(" WHERE organization_id = ").bind(Bind::Uuid(Some(tx.scope.actor.organization)));
    sql.push(" AND id = ").bind(Bind::Uuid(Some(id)));
    sql.execute(tx.conn()).await.map_err(|fault| match fault {
        DatabaseError(DatabaseErrorKind::ForeignKeyViolation, _) => {
            Stop::at("id", UserErrorCode::InUse, "Other records refer to this one; change or purge them first.")
        }
        fault => fault.into(),
    })?;
    tell(tx, Some(&old), &old, "purged")?;
    Ok(old)
}

/// The record, locked until the transaction ends. NOT_FOUND when the caller may not read it, FORBIDDEN when they
/// may but may not do this, CONFLICT when it has another version than expected.
pub async fn lock<E: Entity>(
    tx: &mut Tx,
    id: Uuid,
    action: Action,
    deleted: DeletedRecords,
    expected: Option<i32>,
) -> Result<E, Stop> {
    let mut sql = entity::select(E::table());
    entity::push_visible(E::table(), &tx.scope, deleted, &mut sql);
    sql.push(" AND t0.id = ").bind(Bind::Uuid(Some(id))).push(" FOR NO KEY UPDATE OF t0");
    let rows: Vec<E> = sql.load(tx.conn()).await?;
    let Some(record) = rows.into_iter().next() else {
        let message = match deleted {
            DeletedRecords::Only => "There is no such deleted record.",
            _ => "There is no such record.",
        };
        return Err(Stop::at("id", UserErrorCode::NotFound, message));
    };
    may::<E>(&tx.scope, action, record.owner())?;
    if expected.is_some_and(|expected| expected != record.version()) {
        let mut errors = UserErrors::default();
        let message = "Somebody changed the record in the meantime. Look at it again, then repeat the change.";
        errors.add("expectedVersion", UserErrorCode::Conflict, message);
        return Err(Stop::Rejected(Rejection { errors, current: Some(id) }));
    }
    Ok(record)
}

/// Unknown ids, ids of other organizations and rows out of reach are told alike.
async fn check_references<E: Writable>(tx: &mut Tx, old: Option<&E>, new: &E, errors: &mut UserErrors) -> Result<()> {
    let before: HashMap<_, _> =
        old.map(|old| old.references().into_iter().map(|(field, _, id)| (field, id)).collect()).unwrap_or_default();
    for (field, table, id) in new.references() {
        let Some(id) = id.filter(|id| before.get(field) != Some(&Some(*id))) else { continue };
        if !exists(tx, table, id).await? {
            errors.add(field, UserErrorCode::NotFound, "There is no such record.");
        }
    }
    Ok(())
}

/// Whether the caller may read such a record.
pub async fn exists(tx: &mut Tx, table: &'static Table, id: Uuid) -> Result<bool> {
    if id == tx.scope.actor.member && table.name == "memberships" {
        return Ok(true);
    }
    let mut sql = Sql::new("SELECT t0.id FROM ");
    sql.name(table.name).push(" t0");
    entity::push_visible(table, &tx.scope, DeletedRecords::Exclude, &mut sql);
    sql.push(" AND t0.id = ").bind(Bind::Uuid(Some(id)));
    let rows: Vec<Found> = sql.load(tx.conn()).await?;
    Ok(!rows.is_empty())
}

#[derive(diesel::QueryableByName)]
struct Found {
    #[diesel(sql_type = diesel::sql_types::Uuid)]
    #[allow(dead_code, reason = "only whether there is a row counts")]
    id: Uuid,
}

/// What the database refused: a value that is taken, or a reference to what is gone.
fn clash<E: Entity>(fault: diesel::result::Error) -> Stop {
    match &fault {
        DatabaseError(DatabaseErrorKind::UniqueViolation, info) => {
            let constraint = info.constraint_name().unwrap_or_default();
            let table = E::table();
            if constraint.ends_with("_pkey") {
                return Stop::at("id", UserErrorCode::NotUnique, "There is already a record with this id.");
            }
            let field = table.columns.iter().find(|column| constraint == format!("{}_{}", table.name, column.name));
            Stop::at(field.map_or("", |c| c.field), UserErrorCode::NotUnique, "Another record has this value already.")
        }
        DatabaseError(DatabaseErrorKind::ForeignKeyViolation, _) => {
            Stop::at("", UserErrorCode::NotFound, "A record that this one refers to no longer exists.")
        }
        _ => Stop::Failed(fault.into()),
    }
}

/// The event of a change: the record as it is now and what became different.
fn tell<E: Entity>(tx: &mut Tx, old: Option<&E>, new: &E, kind: &'static str) -> Result<()> {
    let record = serde_json::to_value(new)?;
    let changes = match old {
        Some(old) => difference::<E>(&serde_json::to_value(old)?, &record),
        None => Map::new(),
    };
    let owner_before = old.and_then(Entity::owner);
    tx.record(Change {
        stream: stream_of_records(E::table().entity),
        stream_kind: StreamKind::Records,
        kind,
        entity: E::table().entity,
        entity_id: new.id(),
        payload: json!({ "record": record, "changes": changes, "ownerBefore": owner_before }),
    });
    Ok(())
}

/// By GraphQL field: what it was and what it is. What every write changes is left out.
fn difference<E: Entity>(old: &Json, new: &Json) -> Map<String, Json> {
    let told = E::table().columns.iter().copied().filter(|column| !matches!(column.name, "version" | "updated_at"));
    told.filter_map(|column| {
        let (old, new) = (old.get(column.name)?, new.get(column.name)?);
        (old != new).then(|| (column.field.to_owned(), json!({ "old": old, "new": new })))
    })
    .collect()
}

/// Runs one write in a transaction of its own.
pub async fn one<E: Writable>(
    scope: &Scope,
    write: impl AsyncFnOnce(&mut Tx) -> Result<E, Stop>,
) -> Result<Outcome<E>> {
    let mut tx = scope.begin().await?;
    let result = write(&mut tx).await;
    outcome(scope, tx.finish(result).await?).await
}

async fn outcome<E: Entity>(scope: &Scope, result: Result<E, Rejection>) -> Result<Outcome<E>> {
    Ok(match result {
        Ok(record) => Outcome { record: Some(Arc::new(record)), errors: Vec::new() },
        Err(rejection) => {
            let record = match rejection.current {
                Some(id) => entity::find::<E>(scope, id, &[]).await?,
                None => None,
            };
            Outcome { record, errors: rejection.errors.into() }
        }
    })
}

/// What happens to the others when one item of a bulk mutation is refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Enum)]
pub enum BulkErrorPolicy {
    /// Nothing is written.
    #[default]
    RejectAll,
    /// The others are written.
    RejectFailed,
}

/// Items of a bulk mutation at most.
pub const MOST_ITEMS: usize = 100;

/// Runs a write for each item in one transaction: a result per item, in order.
pub async fn bulk<E: Writable, I>(
    scope: &Scope,
    list: &str,
    items: Vec<I>,
    policy: BulkErrorPolicy,
    changes: impl Fn(&I) -> Option<Uuid>,
    write: impl AsyncFn(&mut Tx, I) -> Result<E, Stop>,
) -> Result<Vec<Outcome<E>>> {
    if items.is_empty() || items.len() > MOST_ITEMS {
        return Err(Error::bad_input(format!("A bulk mutation has 1 to {MOST_ITEMS} items.")));
    }
    let mut tx = scope.begin().await?;
    lock_all::<E>(&mut tx, items.iter().filter_map(changes).collect()).await?;
    let mut results: Vec<Result<E, Rejection>> = Vec::with_capacity(items.len());
    for (index, item) in items.into_iter().enumerate() {
        match tx.attempt(async |tx| write(tx, item).await).await {
            Ok(record) => results.push(Ok(record)),
            Err(Stop::Rejected(rejection)) => {
                let errors = rejection.errors.within(list, index);
                results.push(Err(Rejection { errors, ..rejection }));
            }
            Err(Stop::Failed(fault)) => {
                tx.transaction.rollback().await?;
                return Err(of_item(fault, index));
            }
        }
    }
    if policy == BulkErrorPolicy::RejectAll && results.iter().any(Result::is_err) {
        tx.transaction.rollback().await?;
        for result in &mut results {
            if result.is_ok() {
                *result = Err(Rejection::default());
            }
        }
    } else {
        tx.commit().await?;
    }
    let mut outcomes = Vec::with_capacity(results.len());
    for result in results {
        outcomes.push(outcome(scope, result).await?);
    }
    Ok(outcomes)
}

/// Locks records in the order of their ids, so that bulk mutations that cross do not wait for each other in a circle.
async fn lock_all<E: Entity>(tx: &mut Tx, ids: Vec<Uuid>) -> Result<()> {
    if ids.is_empty() {
        return Ok(());
    }
    let mut sql = Sql::new("SELECT t0.id FROM ");
    sql.name(E::table().name).push(" t0");
    entity::push_visible(E::table(), &tx.scope, DeletedRecords::Include, &mut sql);
    sql.push(" AND t0.id = ANY(").bind(Bind::Uuids(ids)).push(") ORDER BY t0.id FOR NO KEY UPDATE OF t0");
    sql.execute(tx.conn()).await?;
    Ok(())
}

/// The fault of one item, for which the whole bulk mutation fails.
fn of_item(fault: Error, index: usize) -> Error {
    match fault {
        Error::Yours(refusal) => {
            let item = ("item", Json::from(index));
            let extensions = refusal.extensions.iter().cloned().chain([item]).collect();
            Error::yours_with(refusal.code, refusal.message.clone(), extensions)
        }
        other => other,
    }
}

/// Leaves out: it stays. Null: it is cleared.
pub fn patch<T>(field: &mut Option<T>, input: MaybeUndefined<T>) {
    match input {
        MaybeUndefined::Undefined => {}
        MaybeUndefined::Null => *field = None,
        MaybeUndefined::Value(value) => *field = Some(value),
    }
}

/// As `patch`, of a field that must have a value.
pub fn patch_required<T>(field: &mut T, input: MaybeUndefined<T>, name: &str, errors: &mut UserErrors) {
    match input {
        MaybeUndefined::Undefined => {}
        MaybeUndefined::Null => errors.add(name, UserErrorCode::Required, "This cannot be null."),
        MaybeUndefined::Value(value) => *field = value,
    }
}
