//! Feeds: the log as subscriptions. Invariant: what a subscriber is handed has been checked against what they may
//! see at that event, and a feed that cannot go on without a gap says so and ends.

use super::{scalars::DateTime, scope::Scope};
use crate::{
    error::Result,
    events::{After, Cursor, Delivery, Event, StreamId},
};
use async_graphql::SimpleObject;
use futures_util::{
    Stream, StreamExt,
    future::ready,
    stream::{self, BoxStream},
};
use std::sync::Arc;
use uuid::Uuid;

/// The feed cannot be continued from the cursor given: fetch afresh, then subscribe again behind `cursor`. The last
/// event of a feed.
#[derive(Clone, Debug, SimpleObject)]
pub struct ResyncRequired {
    /// Where to subscribe again: read it before the data is fetched afresh.
    pub cursor: String,
    /// When the feed found out.
    pub occurred_at: DateTime,
}

impl Scope {
    /// A stream of the caller's organization.
    pub fn stream(&self, stream: Uuid) -> StreamId {
        StreamId { organization: self.actor.organization, stream }
    }

    /// Opens a stream of the log: behind the cursor, or from now on.
    pub async fn follow(
        &self,
        stream: StreamId,
        after: Option<String>,
    ) -> Result<BoxStream<'static, Result<Delivery>>> {
        let after = match after {
            Some(text) => After::Cursor(Cursor::decode(&text)?),
            None => After::Now,
        };
        self.app.hub.subscribe(stream, after).await
    }
}

/// What a feed makes of an event.
pub enum Shown<T> {
    /// Nothing that this subscriber sees.
    Nothing,
    /// This, and the feed goes on.
    Event(T),
    /// This, and nothing after it.
    Last(T),
}

/// Turns deliveries into what the subscriber sees; `resync` is made when the log cannot be continued.
pub fn shown<T: Send + 'static>(
    scope: Scope,
    stream_id: StreamId,
    deliveries: BoxStream<'static, Result<Delivery>>,
    resync: impl Fn(ResyncRequired) -> T + Send + Sync + 'static,
    mut show: impl FnMut(Arc<Event>) -> Result<Shown<T>> + Send + 'static,
) -> impl Stream<Item = async_graphql::Result<T>> + Send {
    let show = move |delivery: Result<Delivery>| match delivery? {
        Delivery::Resync => Ok(None),
        Delivery::Event(event) => show(event).map(Some),
    };
    let state = (scope, deliveries, Arc::new(resync), show, false);
    stream::unfold(state, move |(scope, mut deliveries, resync, mut show, ended)| async move {
        if ended {
            return None;
        }
        loop {
            let delivery = deliveries.next().await?;
            // The selections of this event read anew: what an earlier one fetched may be out of date.
            scope.loads.clear();
            let (item, last) = match show(delivery) {
                Ok(Some(Shown::Nothing)) => continue,
                Ok(Some(Shown::Event(item))) => (Ok(item), false),
                Ok(Some(Shown::Last(item))) => (Ok(item), true),
                Ok(None) => (self::resync_from(&scope, stream_id).await.map(|event| resync(event)), true),
                Err(fault) => (Err(fault), true),
            };
            return Some((item.map_err(Into::into), (scope, deliveries, resync, show, last)));
        }
    })
    .filter(|_| ready(true))
}

async fn resync_from(scope: &Scope, stream: StreamId) -> Result<ResyncRequired> {
    let cursor = scope.app.hub.cursor(stream).await?.encode();
    Ok(ResyncRequired { cursor, occurred_at: DateTime::now() })
}
