//! Conversations: members talk, and every participant sees every message once and in order. Who is not in a
//! conversation does not know that it exists.

mod archive;
pub mod channel;
pub mod conversation;
pub mod feed;
pub mod inbox;
pub mod message;
mod open;
pub mod own;
pub mod participant;
pub mod position;
pub mod receipt;
mod seat;
mod seen;
mod send;
pub mod settings;

use async_graphql::MergedObject;

/// The wing's queries.
#[derive(MergedObject, Default)]
pub struct MessagingQuery(conversation::ConversationQuery, channel::ChannelQuery);

/// The wing's mutations.
#[derive(MergedObject, Default)]
pub struct MessagingMutation(
    conversation::ConversationMutation,
    channel::ChannelMutation,
    archive::ArchiveMutation,
    participant::ParticipantMutation,
    message::MessageMutation,
    position::PositionMutation,
    settings::SettingsMutation,
);
