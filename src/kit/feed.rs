//! Feeds: the log as subscriptions. Invariant: what a subscriber is handed has been checked against what they may
//! see at that event, and a feed that cannot go on without a gap says so and ends.

use super::{
    scalars::DateTime,
    scope::Scope,
    value::{Bind, Kind, Value},
};
use crate::{
    error::{Error, Result},
    events::{After, Cursor, Deliveries, Delivery, Event, Hub, StreamId},
};
use async_graphql::{
    Context, ContextSelectionSet, OutputType, Positioned, ServerResult, SimpleObject, parser::types::Field,
    registry::Registry,
};
use bytes::Bytes;
use diesel::{
    deserialize::{self, FromSql},
    pg::{Pg, PgValue},
    sql_types,
};
use futures_util::{
    FutureExt, Stream, StreamExt,
    future::BoxFuture,
    stream::{self, BoxStream},
};
use parking_lot::Mutex;
use std::{
    any::Any,
    borrow::Cow,
    option,
    sync::Arc,
    task::{Poll, ready},
};
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
    pub async fn follow(&self, stream: StreamId, after: Option<String>) -> Result<Deliveries> {
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
    /// More than an event tells: the data has to be fetched afresh. Nothing after it.
    Resync,
}

/// What happens next in a feed.
pub enum Told<T> {
    /// To be executed: what the root field is.
    Anew(T),
    /// The whole answer, as others have got it.
    Again(Bytes),
}

/// An item of any feed: an `async_graphql::Result` of what its root field is.
pub type Item = Box<dyn Any + Send>;

/// What the engine is to do with the root field of a subscription; data of its request. It opens the feed, and then tells
/// one item of it at a time: in between it has nothing in hand, which would be some 9 KiB for each subscription.
#[derive(Default)]
pub struct Turn(Mutex<Hand>);

#[derive(Default)]
enum Hand {
    #[default]
    Empty,
    Item(Item),
    Feed(BoxStream<'static, Told<Item>>),
}

impl Turn {
    /// To tell that item.
    pub fn telling(item: Item) -> Self {
        Turn(Mutex::new(Hand::Item(item)))
    }

    /// The feed that was opened, if any was.
    pub fn opened(&self) -> Option<BoxStream<'static, Told<Item>>> {
        match std::mem::take(&mut *self.0.lock()) {
            Hand::Feed(feed) => Some(feed),
            Hand::Empty | Hand::Item(_) => None,
        }
    }
}

/// What the root field of a subscription answers: the item at hand, or nothing while the feed is opened.
pub type Feed<T> = stream::Iter<option::IntoIter<async_graphql::Result<T>>>;

/// The root field of a subscription: `open` checks who asks for what, and begins to follow. Arguments are of use to it
/// alone: when an item is told, lists among them may be empty.
pub async fn feed<T: Send + 'static, S>(
    ctx: &Context<'_>,
    open: impl AsyncFnOnce() -> Result<S>,
) -> async_graphql::Result<Feed<T>>
where
    S: Stream<Item = Result<Told<T>>> + Send + 'static,
{
    let turn = ctx.data::<Arc<Turn>>()?;
    let hand = std::mem::take(&mut *turn.0.lock());
    if let Hand::Item(item) = hand {
        let item = item.downcast().map_err(|_| Error::ours("an item of another feed"))?;
        return Ok(stream::iter(Some(*item)));
    }
    let items = open().await?.map(|told| match told {
        Ok(Told::Again(body)) => Told::Again(body),
        Ok(Told::Anew(item)) => Told::Anew(Box::new(async_graphql::Result::<T>::Ok(item)) as Item),
        Err(fault) => Told::Anew(Box::new(async_graphql::Result::<T>::Err(fault.into())) as Item),
    });
    *turn.0.lock() = Hand::Feed(items.boxed());
    Ok(stream::iter(None))
}

/// A feed of what `next` finds, again and again: until there is nothing more, or what it finds is a fault.
pub fn until_it_fails<V: Send + 'static, T: Send + 'static>(
    view: V,
    next: for<'a> fn(&'a mut V) -> BoxFuture<'a, Option<Result<T>>>,
) -> impl Stream<Item = Result<Told<T>>> + Send {
    stream::unfold(Some(view), move |view| async move {
        let mut view = view?;
        match next(&mut view).await? {
            Ok(item) => Some((Ok(Told::Anew(item)), Some(view))),
            Err(fault) => Some((Err(fault), None)),
        }
    })
}

/// Turns deliveries into what the subscriber sees; `resync` is made when the log cannot be continued. Of an event that
/// is `alike`, every subscriber who selects the same sees the same.
pub fn shown<T: Send + 'static>(
    scope: Scope,
    stream: StreamId,
    mut deliveries: Deliveries,
    resync: impl Fn(ResyncRequired) -> T + Send + Sync + 'static,
    alike: impl Fn(&Event) -> bool + Send + 'static,
    mut show: impl FnMut(&Event) -> Result<Shown<T>> + Send + 'static,
) -> impl Stream<Item = Result<Told<T>>> + Send {
    scope.loads.share();
    let listener = scope.loads.audience.get().map(|audience| audience.listener.clone());
    let (mut resyncing, mut ended) = (None::<BoxFuture<'static, Result<ResyncRequired>>>, false);
    stream::poll_fn(move |context| {
        loop {
            if let Some(required) = &mut resyncing {
                let required = ready!(required.poll_unpin(context));
                (resyncing, ended) = (None, true);
                return Poll::Ready(Some(required.map(|required| Told::Anew(resync(required)))));
            }
            if ended {
                return Poll::Ready(None);
            }
            let Some(delivery) = ready!(deliveries.poll_next_unpin(context)) else { return Poll::Ready(None) };
            let shown = match delivery {
                Delivery::Event(event) => {
                    if let Some(body) = listener.as_ref().and_then(|listener| listener.heard(&event)) {
                        return Poll::Ready(Some(Ok(Told::Again(body))));
                    }
                    // The selections of this event read anew: what an earlier one fetched may be out of date.
                    scope.loads.clear();
                    let shown = show(&event);
                    if let (Ok(Shown::Event(_)), Some(audience)) = (&shown, scope.loads.audience.get())
                        && alike(&event)
                    {
                        audience.expect(event);
                    }
                    shown
                }
                Delivery::Resync => Ok(Shown::Resync),
            };
            let item = match shown {
                Ok(Shown::Nothing) => continue,
                Ok(Shown::Resync) => {
                    resyncing = Some(resync_from(scope.app.hub.clone(), stream).boxed());
                    continue;
                }
                Ok(Shown::Event(item)) => Ok(Told::Anew(item)),
                Ok(Shown::Last(item)) => {
                    ended = true;
                    Ok(Told::Anew(item))
                }
                Err(fault) => {
                    ended = true;
                    Err(fault)
                }
            };
            return Poll::Ready(Some(item));
        }
    })
}

async fn resync_from(hub: Hub, stream: StreamId) -> Result<ResyncRequired> {
    let cursor = hub.cursor(stream).await?.encode();
    Ok(ResyncRequired { cursor, occurred_at: DateTime::now() })
}
