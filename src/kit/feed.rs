//! Feeds: the log as subscriptions. Invariant: what a subscriber is handed has been checked against what they may
//! see at that event, and a feed that cannot go on without a gap says so and ends.

use super::{
    audience::Told,
    scalars::DateTime,
    scope::Scope,
    value::{Bind, Kind, Value},
};
use crate::{
    error::Result,
    events::{After, Cursor, Delivery, Event, StreamId},
};
use async_graphql::{
    ContextSelectionSet, OutputType, Positioned, ServerResult, SimpleObject, parser::types::Field, registry::Registry,
};
use diesel::{
    deserialize::{self, FromSql},
    pg::{Pg, PgValue},
    sql_types,
};
use futures_util::{
    Stream, StreamExt,
    stream::{self, BoxStream},
};
use std::{borrow::Cow, sync::Arc};
use uuid::Uuid;

/// The feed cannot be continued from the cursor given, or so much has come at once (an import) that events do not tell it: fetch
/// afresh, then subscribe again behind `cursor`. The last event of a feed.
#[derive(Clone, Debug, SimpleObject)]
pub struct ResyncRequired {
    /// Where to subscribe again: read it before the data is fetched afresh.
    pub cursor: String,
    /// When the feed found out.
    pub occurred_at: DateTime,
}

/// Where a stream stood when the row was read that has it: a cursor, computed in SQL as one more column. What is read
/// after the row can only be newer, so nothing falls between a snapshot and the feed that goes on from it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Place(pub String);

impl Value for Place {
    const KIND: Kind = Kind::Text;
    const COMPUTED: bool = true;

    /// From `organization/stream` or `organization/stream/seq/id`.
    fn read(raw: Option<PgValue<'_>>) -> deserialize::Result<Self> {
        let text = <String as FromSql<sql_types::Text, Pg>>::from_nullable_sql(raw)?;
        let mut parts = text.split('/');
        let mut id = || parts.next().and_then(|part| Uuid::try_parse(part).ok()).ok_or("a place names its stream");
        let stream = StreamId { organization: id()?, stream: id()? };
        let newest = match (parts.next(), parts.next()) {
            (Some(seq), Some(id)) => Some((seq.parse()?, Uuid::try_parse(id)?)),
            _ => None,
        };
        Ok(Place(Cursor::behind(stream, newest).encode()))
    }

    fn bind(&self) -> Bind {
        Bind::Text(Some(self.0.clone()))
    }
}

impl OutputType for Place {
    fn type_name() -> Cow<'static, str> {
        <String as OutputType>::type_name()
    }

    fn create_type_info(registry: &mut Registry) -> String {
        <String as OutputType>::create_type_info(registry)
    }

    async fn resolve(&self, _: &ContextSelectionSet<'_>, _: &Positioned<Field>) -> ServerResult<async_graphql::Value> {
        Ok(async_graphql::Value::String(self.0.clone()))
    }
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
        // In a box: what a resolver waits for on its way has room in its state for as long as the subscription lives.
        Box::pin(self.app.hub.subscribe(stream, after)).await
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
    /// More than an event tells: the data has to be fetched afresh. Nothing after it.
    Resync,
}

/// Turns deliveries into what the subscriber sees; `resync` is made when the log cannot be continued. Of an event that
/// is `alike`, every subscriber who selects the same sees the same.
pub fn shown<T: Send + 'static>(
    scope: Scope,
    stream_id: StreamId,
    deliveries: BoxStream<'static, Result<Delivery>>,
    resync: impl Fn(ResyncRequired) -> T + Send + Sync + 'static,
    alike: impl Fn(&Event) -> bool + Send + 'static,
    mut show: impl FnMut(Arc<Event>) -> Result<Shown<T>> + Send + 'static,
) -> impl Stream<Item = async_graphql::Result<Told<T>>> + Send {
    let loads = scope.loads.clone();
    let show = move |delivery: Result<Delivery>| match delivery? {
        Delivery::Resync => Ok(None),
        Delivery::Event(event) => {
            let audience = loads.audience.get().filter(|_| alike(&event));
            Ok(Some(match audience.and_then(|audience| audience.heard(event.id)) {
                Some(body) => Shown::Event(Told::Again(body)),
                None => match show(event)? {
                    Shown::Nothing => {
                        // The next answer is about another event.
                        audience.inspect(|audience| audience.tell(None));
                        Shown::Nothing
                    }
                    Shown::Event(item) => Shown::Event(Told::Anew(item)),
                    Shown::Last(item) => Shown::Last(Told::Anew(item)),
                    Shown::Resync => return Ok(None),
                },
            }))
        }
    };
    scope.loads.share();
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
                Ok(Some(Shown::Resync) | None) => {
                    (self::resync_from(&scope, stream_id).await.map(|event| Told::Anew(resync(event))), true)
                }
                Err(fault) => (Err(fault), true),
            };
            return Some((item.map_err(Into::into), (scope, deliveries, resync, show, last)));
        }
    })
}

async fn resync_from(scope: &Scope, stream: StreamId) -> Result<ResyncRequired> {
    let cursor = scope.app.hub.cursor(stream).await?.encode();
    Ok(ResyncRequired { cursor, occurred_at: DateTime::now() })
}
