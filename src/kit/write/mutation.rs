//! A write as a mutation: one alone, or many in one transaction. Invariant: a bulk mutation answers for each of its items,
//! in their order, and with REJECT_ALL writes all or nothing.

use super::{Rejection, Stop, Tx, Writable};
use crate::{
    error::{Error, Result},
    kit::{
        entity::{self, Entity},
        filter::DeletedRecords,
        scope::Scope,
        sql::Sql,
        user_error::UserError,
        value::Bind,
    },
};
use async_graphql::Enum;
use diesel_async::RunQueryDsl;
use serde_json::Value as Json;
use std::sync::Arc;
use uuid::Uuid;

/// What a mutation gives its payload.
pub struct Outcome<E> {
    pub record: Option<Arc<E>>,
    pub errors: Vec<UserError>,
}

/// Runs one write in a transaction of its own.
pub async fn one<E: Entity>(scope: &Scope, write: impl AsyncFnOnce(&mut Tx) -> Result<E, Stop>) -> Result<Outcome<E>> {
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
