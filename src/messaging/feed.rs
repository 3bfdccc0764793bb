//! What happens in a conversation, as it happens. Whoever is removed sees that, and nothing after it.

use super::{
    conversation::Conversation,
    import::IMPORTED,
    message::Message,
    participant::{Participant, is_participant},
    reaction::Reaction,
    receipt::{self, ReceiptsMoved},
    retention::{MessagesExpired, is_silenced},
    thread::ThreadFollower,
};
use crate::{
    error::{Error, Result},
    events::{Event, MESSAGE_DELETED, MESSAGES_EXPIRED},
    kit::{
        audience::only_columns,
        entity::Entity,
        feed::{Feed, Place, ResyncRequired, Shown, feed, shown},
        id::Id,
        permission::{Action, Resource},
        resolve::{scope, selections},
        scalars::DateTime,
    },
};
use async_graphql::{Context, SimpleObject, Subscription, Union};
use serde::de::DeserializeOwned;
use std::sync::Arc;

macro_rules! event {
    ($(#[$doc:meta])* $name:ident, $(#[$field_doc:meta])* $field:ident: $record:ty) => {
        $(#[$doc])*
        #[derive(Clone, Debug, SimpleObject)]
        pub struct $name {
            /// The place of this event: give it as `after` to go on behind it.
            pub cursor: String,
            /// When it happened.
            pub occurred_at: DateTime,
            $(#[$field_doc])*
            pub $field: Arc<$record>,
        }

        impl $name {
            fn of(event: &Event) -> Result<Self> {
                let mut record: $record = read(event, stringify!($field))?;
                record.stands(event);
                Ok($name {
                    cursor: event.cursor().encode(),
                    occurred_at: DateTime(event.at),
                    $field: Arc::new(record),
                })
            }
        }
    };
}
event!(/// The conversation was opened.
    ConversationCreated, /// As it was opened.
    conversation: Conversation);
event!(/// The title, topic or picture changed, or it was archived or got back.
    ConversationUpdated, /// As it became.
    conversation: Conversation);
event!(/// A member joined.
    ParticipantAdded, /// Who joined.
    participant: Participant);
event!(/// What a participant may do changed.
    ParticipantUpdated, /// As they became.
    participant: Participant);
event!(/// A member left or was removed; when it is you, this is the last event.
    ParticipantRemoved, /// Who left.
    participant: Participant);
event!(/// A message was sent, or Stoa tells something by one of kind SYSTEM.
    MessageSent, /// The message as it was sent; without its body if it was deleted since.
    message: Message);
event!(/// A message was edited.
    MessageEdited, /// The message as it became; without its body if it was deleted since.
    message: Message);
event!(/// A message was deleted.
    MessageDeleted, /// What is left of the message.
    message: Message);
event!(/// A message was pinned.
    MessagePinned, /// The message as it became; without its body if it was deleted since.
    message: Message);
event!(/// A message is pinned no more.
    MessageUnpinned, /// The message as it became; without its body if it was deleted since.
    message: Message);
event!(/// A member put an emoji to a message.
    ReactionAdded, /// Which emoji, to which message.
    reaction: Reaction);
event!(/// A member took an emoji from a message.
    ReactionRemoved, /// Which emoji, from which message.
    reaction: Reaction);
event!(/// A member follows a thread. Of those who wrote the root or a reply, `MessageSent` of the reply says so.
    ThreadFollowed, /// Who, and which thread.
    follower: ThreadFollower);
event!(/// A member follows a thread no more.
    ThreadUnfollowed, /// Who, and which thread.
    follower: ThreadFollower);

/// Something that happened in a conversation.
#[derive(Clone, Debug, Union)]
pub enum ConversationEvent {
    ConversationCreated(ConversationCreated),
    ConversationUpdated(ConversationUpdated),
    ParticipantAdded(ParticipantAdded),
    ParticipantUpdated(ParticipantUpdated),
    ParticipantRemoved(ParticipantRemoved),
    MessageSent(MessageSent),
    MessageEdited(MessageEdited),
    MessageDeleted(MessageDeleted),
    MessagePinned(MessagePinned),
    MessageUnpinned(MessageUnpinned),
    ReactionAdded(ReactionAdded),
    ReactionRemoved(ReactionRemoved),
    ThreadFollowed(ThreadFollowed),
    ThreadUnfollowed(ThreadUnfollowed),
    ReceiptsMoved(ReceiptsMoved),
    MessagesExpired(MessagesExpired),
    ResyncRequired(ResyncRequired),
}

/// A record as an event tells it.
trait Told {
    /// Sets what follows from the event's place.
    fn stands(&mut self, _event: &Event) {}
}

impl Told for Message {}
impl Told for Participant {}
impl Told for Reaction {}
impl Told for ThreadFollower {}
impl Told for Conversation {
    fn stands(&mut self, event: &Event) {
        self.cursor = Place(event.cursor().encode());
    }
}

fn read<T: DeserializeOwned>(event: &Event, member: &str) -> Result<T> {
    event.payload.member(member)?.ok_or_else(|| Error::ours(format!("an event without {member}")))
}

/// Subscriptions.
#[derive(Default)]
pub struct MessagingSubscription;

#[Subscription]
impl MessagingSubscription {
    /// What happens in a conversation, in one order for all participants: first what was missed since `after`, then
    /// live, without a gap and without a repeat.
    async fn conversation_events(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which conversation; you have to be in it.")] conversation_id: Id<Conversation>,
        #[graphql(desc = "The cursor of the last event that you have; left out: only what happens from now on.")] after: Option<String>,
    ) -> async_graphql::Result<Feed<ConversationEvent>> {
        feed(ctx, async || {
            let scope = scope(ctx)?.clone();
            scope.actor.demand(Resource::Conversation, Action::Read)?;
            let stream = scope.stream(conversation_id.0);
            // First the stream, then the question: whoever is removed in between finds that in the stream.
            let deliveries = scope.follow(stream, after).await?;
            if !is_participant(&scope, &*scope.reader().await?, conversation_id.0).await? {
                return Err(Error::not_found("There is no such conversation."));
            }
            let me = scope.actor.member;
            // What a message says is the same for all; who sent it, as a record, may be hidden from some.
            let selections = selections(ctx);
            let common = only_columns(&selections, "message", Message::table());
            let mut receipts = selections.iter().filter(|field| field.name() == "receipts");
            let plain = receipts.all(|field| field.selection_set().all(|below| below.name() != "member"));
            let alike = move |event: &Event| match event.kind.as_str() {
                "receipts_moved" => plain && !receipt::apart(event),
                kind => common && kind.starts_with("message_") && !is_silenced(event),
            };
            let show = move |event: &Event| show(event, me);
            Ok(shown(scope, stream, deliveries, ConversationEvent::ResyncRequired, alike, show))
        })
        .await
    }
}

pub(super) fn show(event: &Event, me: uuid::Uuid) -> Result<Shown<ConversationEvent>> {
    use ConversationEvent as Is;
    Ok(Shown::Event(match event.kind.as_str() {
        "message_sent" => Is::MessageSent(MessageSent::of(event)?),
        "message_edited" => Is::MessageEdited(MessageEdited::of(event)?),
        MESSAGE_DELETED => Is::MessageDeleted(MessageDeleted::of(event)?),
        "message_pinned" => Is::MessagePinned(MessagePinned::of(event)?),
        "message_unpinned" => Is::MessageUnpinned(MessageUnpinned::of(event)?),
        "reaction_added" => Is::ReactionAdded(ReactionAdded::of(event)?),
        "reaction_removed" => Is::ReactionRemoved(ReactionRemoved::of(event)?),
        "thread_followed" => Is::ThreadFollowed(ThreadFollowed::of(event)?),
        "thread_unfollowed" => Is::ThreadUnfollowed(ThreadUnfollowed::of(event)?),
        "receipts_moved" => match ReceiptsMoved::of(event, me)? {
            Some(moved) => Is::ReceiptsMoved(moved),
            None => return Ok(Shown::Nothing),
        },
        MESSAGES_EXPIRED => Is::MessagesExpired(MessagesExpired::of(event)?),
        "participant_added" => Is::ParticipantAdded(ParticipantAdded::of(event)?),
        "participant_updated" => Is::ParticipantUpdated(ParticipantUpdated::of(event)?),
        "participant_removed" => {
            let removed = ParticipantRemoved::of(event)?;
            let myself = removed.participant.member_id.0 == me;
            let event = Is::ParticipantRemoved(removed);
            return Ok(if myself { Shown::Last(event) } else { Shown::Event(event) });
        }
        "conversation_created" => Is::ConversationCreated(ConversationCreated::of(event)?),
        "conversation_updated" => Is::ConversationUpdated(ConversationUpdated::of(event)?),
        IMPORTED => return Ok(Shown::Resync),
        _ => return Ok(Shown::Nothing),
    }))
}
