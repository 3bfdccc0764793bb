//! Conversations: members talk, and every participant sees every message once and in order. Who is not in a
//! conversation does not know that it exists.

pub mod conversation;
pub mod feed;
mod gather;
mod history;
pub mod mention;
pub mod message;
pub mod participant;
mod pin;
pub mod reaction;
mod search;
mod send;
pub mod thread;
mod version;

use async_graphql::MergedObject;

/// The wing's queries.
#[derive(MergedObject, Default)]
pub struct MessagingQuery(
    conversation::ConversationQuery,
    mention::MentionQuery,
    history::HistoryQuery,
    search::SearchQuery,
);

/// The wing's mutations.
#[derive(MergedObject, Default)]
pub struct MessagingMutation(
    conversation::ConversationMutation,
    participant::ParticipantMutation,
    message::MessageMutation,
    reaction::ReactionMutation,
    thread::ThreadMutation,
    pin::PinMutation,
);
