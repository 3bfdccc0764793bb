//! A member's conversations as a front end lists them: those that they have pinned before the others. Invariant: what is pinned
//! is theirs alone, and the list is paged like any other, two statements a page whatever there is.

use super::{
    conversation::{Conversation, ConversationFilter, ConversationOrder, ConversationOrderField},
    own::{pinned, unpinned},
};
use crate::kit::{
    entity::ListArgs,
    order::OrderDirection,
    page::Connection,
    parts,
    predicate::Predicate,
    relation::or_null,
    resolve::{scope, selections},
};
use async_graphql::{Context, Object};

/// Queries.
#[derive(Default)]
pub struct InboxQuery;

#[Object]
impl InboxQuery {
    /// Your conversations as a list shows them: those that you have pinned, then the others, each in the same order, the newest
    /// activity first unless ordered otherwise. What you pin while paging moves: `inboxEvents` tells of it
    /// (`ConversationSettingsChanged`).
    ///
    /// Errors: INVALID_CURSOR, also for one of `conversations`.
    #[allow(clippy::too_many_arguments, reason = "Relay's four, filter and order")]
    async fn inbox(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Only conversations that fit.")] filter: Option<Box<ConversationFilter>>,
        #[graphql(desc = "The order of each of both parts: at most three keys; the id is always the last.")]
        order_by: Option<Vec<ConversationOrder>>,
        #[graphql(desc = "How many from the start or behind `after`: 0 to 100, 25 unless said otherwise.")]
        first: Option<i32>,
        #[graphql(desc = "Behind the conversation with this cursor.")] after: Option<String>,
        #[graphql(desc = "How many from the end or before `before`: 0 to 100.")] last: Option<i32>,
        #[graphql(desc = "Before the conversation with this cursor.")] before: Option<String>,
    ) -> Option<Connection<Conversation>> {
        or_null(ctx, async {
            let (field, direction) = (ConversationOrderField::ActiveAt, OrderDirection::Desc);
            let order_by = order_by.filter(|keys| !keys.is_empty());
            let order_by = order_by.unwrap_or_else(|| vec![ConversationOrder { field, direction, nulls: None }]);
            let args = ListArgs { filter, order_by: Some(order_by), first, after, last, before };
            let both = [Predicate::Viewer(pinned), Predicate::Viewer(unpinned)];
            parts::list::<Conversation>(scope(ctx)?, args, &selections(ctx), both).await.map(Some)
        })
        .await
    }
}
