//! Conversations: members talk, and every participant sees every message once and in order. Who is not in a
//! conversation does not know that it exists.

mod archive;
pub mod attachment;
pub mod block;
pub mod channel;
pub mod conversation;
pub mod feed;
mod gather;
mod history;
pub mod inbox;
mod link;
pub mod mention;
pub mod message;
pub mod notification;
mod open;
pub mod own;
pub mod participant;
mod pin;
pub mod position;
pub mod reaction;
pub mod receipt;
mod search;
mod seat;
mod seen;
mod send;
pub mod settings;
pub mod thread;
mod told;
pub mod typing;
pub mod user_contact;
mod version;

use async_graphql::MergedObject;

/// The wing's queries.
#[derive(MergedObject, Default)]
pub struct MessagingQuery(
    conversation::ConversationQuery,
    channel::ChannelQuery,
    mention::MentionQuery,
    attachment::MessageAttachmentQuery,
    history::HistoryQuery,
    search::SearchQuery,
    user_contact::UserContactQuery,
    notification::NotificationQuery,
    notification::NotificationCountsQuery,
);

/// The wing's mutations.
#[derive(MergedObject, Default)]
pub struct MessagingMutation(
    conversation::ConversationMutation,
    channel::ChannelMutation,
    archive::ArchiveMutation,
    participant::ParticipantMutation,
    message::MessageMutation,
    reaction::ReactionMutation,
    thread::ThreadMutation,
    pin::PinMutation,
    position::PositionMutation,
    settings::SettingsMutation,
    user_contact::UserContactMutation,
    notification::read::NotificationMutation,
    typing::TypingMutation,
);
