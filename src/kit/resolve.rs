//! What the root fields that `#[entity]` writes do. Invariant: a root field that fails is null and its error
//! stands at its own path; the other root fields are untouched.

use super::{
    aggregate::{self, Aggregate, GroupBy, Having},
    entity::{self, Entity, ListArgs},
    page::Connection,
    relation::or_null,
    scope::{Ask, Scope},
    write::{self, BulkErrorPolicy, Outcome, Rejection, Stop, Tx, Writable},
};
use crate::error::{Error, Result};
use async_graphql::{Context, SelectionField};
use std::sync::Arc;
use uuid::Uuid;

/// The signed-in caller.
pub fn scope<'a>(ctx: &'a Context<'_>) -> Result<&'a Scope> {
    ctx.scope().map_err(|fault| match fault.source {
        Some(source) => source.downcast_ref::<Error>().cloned().unwrap_or_else(|| Error::ours(fault.message)),
        None => Error::ours(fault.message),
    })
}

/// What is selected below the field at hand.
pub fn selections<'a>(ctx: &'a Context<'_>) -> Vec<SelectionField<'a>> {
    ctx.field().selection_set().collect()
}

pub async fn one<E: Entity>(ctx: &Context<'_>, id: Uuid) -> Option<Arc<E>> {
    or_null(ctx, async { entity::find(scope(ctx)?, id, &selections(ctx)).await }).await
}

pub async fn list<E: Entity>(ctx: &Context<'_>, args: ListArgs<E>) -> Option<Connection<E>> {
    or_null(ctx, async { entity::list(scope(ctx)?, args, &selections(ctx), None).await.map(Some) }).await
}

pub async fn aggregate<E: Entity, A: Aggregate<E>>(
    ctx: &Context<'_>,
    filter: Option<E::Filter>,
    groups: Vec<GroupBy>,
    having: Option<Having>,
    first: Option<i32>,
) -> Option<A> {
    let aggregate = async { aggregate::aggregate::<E, A>(scope(ctx)?, filter, groups, having, first).await.map(Some) };
    or_null(ctx, aggregate).await
}

pub async fn write<E: Writable, P: From<Outcome<E>>>(
    ctx: &Context<'_>,
    write: impl AsyncFnOnce(&mut Tx) -> Result<E, Stop>,
) -> Option<P> {
    or_null(ctx, async { write::one(scope(ctx)?, write).await.map(|outcome| Some(outcome.into())) }).await
}

/// As `write`, of a write that answers the id of a record, which is read anew behind it with what is selected of it. Null: the
/// caller does not see it, or not any more.
pub async fn change<E: Entity, P: From<Outcome<E>>>(
    ctx: &Context<'_>,
    write: impl AsyncFnOnce(&mut Tx) -> Result<Uuid, Stop>,
) -> Option<P> {
    or_null(ctx, async {
        let mut tx = scope(ctx)?.begin().await?;
        let written = write(&mut tx).await;
        changed(ctx, tx.finish(written).await?).await.map(Some)
    })
    .await
}

/// The payload of a `change` that was carried out.
pub async fn changed<E: Entity, P: From<Outcome<E>>>(ctx: &Context<'_>, written: Result<Uuid, Rejection>) -> Result<P> {
    let (id, errors) = match written {
        Ok(id) => (Some(id), Vec::new()),
        Err(Rejection { errors, current }) => (current, errors.into()),
    };
    let of_payload = selections(ctx);
    let of_record = of_payload.iter().filter(|field| !["userErrors", "query", "__typename"].contains(&field.name()));
    let of_record: Vec<_> = of_record.flat_map(SelectionField::selection_set).collect();
    let record = match id {
        Some(id) => entity::find(scope(ctx)?, id, &of_record).await?,
        None => None,
    };
    Ok(Outcome { record, errors }.into())
}

pub async fn bulk<E: Writable, I, P: From<Vec<Outcome<E>>>>(
    ctx: &Context<'_>,
    list: &str,
    items: Vec<I>,
    policy: BulkErrorPolicy,
    changes: impl Fn(&I) -> Option<Uuid>,
    write: impl AsyncFn(&mut Tx, I) -> Result<E, Stop>,
) -> Option<P> {
    or_null(ctx, async {
        write::bulk(scope(ctx)?, list, items, policy, changes, write).await.map(|outcomes| Some(outcomes.into()))
    })
    .await
}
