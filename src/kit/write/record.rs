//! Writing one record: create, change, delete, restore, purge. Invariant: nothing is written that the caller may not
//! write, that its rules refuse, or that refers to what the caller may not read.

use super::{Rejection, Stop, Tx, Writable};
use crate::{
    error::{Error, Result},
    events::{Change, StreamKind, stream_of_records},
    kit::{
        entity::{self, Entity},
        filter::DeletedRecords,
        permission::{Action, Reach},
        scope::Scope,
        sql::Sql,
        table::{Column, Table, Wall},
        user_error::{UserErrorCode, UserErrors},
        value::Bind,
    },
};
use diesel::result::{DatabaseErrorKind, Error::DatabaseError};
use diesel_async::RunQueryDsl;
use serde_json::{Map, Value as Json, json};
use std::collections::HashMap;
use uuid::Uuid;

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

/// Whether there is such a record that others may come to refer to: one that the caller may read, and no member who was
/// removed.
pub async fn exists(tx: &mut Tx, table: &'static Table, id: Uuid) -> Result<bool> {
    if id == tx.scope.actor.member && table.name == "memberships" {
        return Ok(true);
    }
    let mut sql = Sql::new("SELECT t0.id FROM ");
    sql.name(table.name).push(" t0");
    entity::push_visible(table, &tx.scope, DeletedRecords::Exclude, &mut sql);
    sql.push(" AND t0.id = ").bind(Bind::Uuid(Some(id)));
    if table.name == "memberships" {
        sql.push(" AND t0.status <> 'removed'");
    }
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

/// Tells of a change.
pub fn tell<E: Entity>(tx: &mut Tx, old: Option<&E>, new: &E, kind: &'static str) -> Result<()> {
    tx.record(change(old, new, kind)?);
    Ok(())
}

/// What the log is told: the record as it is now and what became different.
pub fn change<E: Entity>(old: Option<&E>, new: &E, kind: &'static str) -> Result<Change> {
    let record = serde_json::to_value(new)?;
    let changes = match old {
        Some(old) => difference::<E>(&serde_json::to_value(old)?, &record),
        None => Map::new(),
    };
    let owner_before = old.and_then(Entity::owner);
    Ok(Change {
        stream: stream_of_records(E::table().entity),
        stream_kind: StreamKind::Records,
        kind,
        entity: E::table().entity,
        entity_id: new.id(),
        payload: json!({ "record": record, "changes": changes, "ownerBefore": owner_before }).into(),
    })
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
