//! What happens to a member's notifications, as it happens: a part of the stream that is the member's own.

use super::{
    Notification,
    read::{READ, Read},
    told::{CREATED, Created},
};
use crate::{
    error::Result,
    events::{Event, stream_of_member},
    kit::{
        feed::{Feed, ResyncRequired, Shown, feed, shown},
        id::Id,
        permission::{Action, Resource},
        resolve::scope,
        scalars::DateTime,
    },
};
use async_graphql::{Context, SimpleObject, Subscription, Union};
use std::sync::Arc;

/// You were notified of something.
#[derive(Clone, Debug, SimpleObject)]
pub struct NotificationCreated {
    /// The place of this event: give it as `after` to go on behind it.
    pub cursor: String,
    /// When you were told.
    pub occurred_at: DateTime,
    /// As it was then. `readAt` is not null where you had read the message already: it is not new to you.
    pub notification: Arc<Notification>,
}

/// You have read notifications, perhaps on another device: marked them, or read a conversation as far as their messages.
/// At most 500 in one event.
#[derive(Clone, Debug, SimpleObject)]
pub struct NotificationsRead {
    /// The place of this event: give it as `after` to go on behind it.
    pub cursor: String,
    /// When it was noted.
    pub occurred_at: DateTime,
    /// The ids of those that were not read before.
    pub notification_ids: Vec<Id<Notification>>,
    /// When you read them: their `readAt` from now on.
    pub read_at: DateTime,
}

/// Something that happened to your notifications, or the end of a feed that cannot be continued.
#[derive(Clone, Debug, Union)]
pub enum NotificationEvent {
    NotificationCreated(NotificationCreated),
    NotificationsRead(NotificationsRead),
    ResyncRequired(ResyncRequired),
}

/// Subscriptions.
#[derive(Default)]
pub struct NotificationSubscription;

#[Subscription]
impl NotificationSubscription {
    /// What happens to your notifications: first what was missed since `after`, then live, without a gap and without a
    /// repeat. A message that concerns you is told here within about a second after it was sent. Those that go by age are
    /// not told.
    async fn notification_events(
        &self,
        ctx: &Context<'_>,
        #[graphql(
            desc = "The cursor of the last event that you have, or of `notificationCounts`, asked before the list was fetched; left out: only what happens from now on."
        )]
        after: Option<String>,
    ) -> async_graphql::Result<Feed<NotificationEvent>> {
        feed(ctx, async || {
            let scope = scope(ctx)?.clone();
            scope.actor.demand(Resource::Conversation, Action::Read)?;
            let stream = scope.stream(stream_of_member(scope.actor.member));
            let deliveries = scope.follow(stream, after).await?;
            // Nobody else is told the same.
            let personal = |_: &Event| false;
            Ok(shown(scope, stream, deliveries, NotificationEvent::ResyncRequired, personal, show))
        })
        .await
    }
}

fn show(event: &Event) -> Result<Shown<NotificationEvent>> {
    let (cursor, occurred_at) = (event.cursor().encode(), DateTime(event.at));
    Ok(Shown::Event(match event.kind.as_str() {
        CREATED => {
            let Created { notification } = event.payload.read()?;
            let notification = Arc::new(notification);
            NotificationEvent::NotificationCreated(NotificationCreated { cursor, occurred_at, notification })
        }
        READ => {
            let Read { ids, read_at } = event.payload.read()?;
            let read = NotificationsRead { cursor, occurred_at, notification_ids: ids, read_at };
            NotificationEvent::NotificationsRead(read)
        }
        _ => return Ok(Shown::Nothing),
    }))
}
