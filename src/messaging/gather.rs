//! What belongs to messages and conversations and is no record: reactions, followers, earlier versions, the other member.
//! Invariant: a page costs one query for each kind of these, not one a message or conversation.

use crate::{
    error::{Error, Result},
    identity::Member,
    kit::{relation::to_one, scope::Scope},
};
use async_graphql::{Context, dataloader::Loader};
use futures_util::future::join_all;
use std::sync::Arc;
use uuid::Uuid;

/// Members who are named at most, wherever they are counted as well: what the statements of the loaders fetch.
const MOST_NAMED: i32 = 100;
/// Unless said otherwise.
const NAMED: i32 = 10;

/// What a loader finds for a message or conversation; nothing is found for one without.
pub async fn gathered<L>(scope: &Scope, of: Uuid, loader: impl FnOnce(Scope) -> L) -> Result<L::Value>
where
    L: Loader<Uuid, Error = Error>,
    L::Value: Default,
{
    let gather = scope.gather(loader).ok_or_else(|| Error::ours("a loader of another type"))?;
    Ok(gather.load_one(of).await?.unwrap_or_default())
}

/// The first of these members, those that the caller may see.
pub async fn named_members(
    ctx: &Context<'_>,
    members: &[Uuid],
    first: Option<i32>,
) -> async_graphql::Result<Vec<Arc<Member>>> {
    let first = first.unwrap_or(NAMED);
    let most = usize::try_from(first).ok().filter(|_| first <= MOST_NAMED);
    let most = most.ok_or_else(|| Error::bad_input(format!("first is 0 to {MOST_NAMED} members.")))?;
    let found = join_all(members.iter().take(most).map(|id| to_one::<Member>(ctx, Some(*id)))).await;
    Ok(found.into_iter().flatten().collect())
}
