//! Conversations: members talk, and every participant sees every message once and in order. Who is not in a
//! conversation does not know that it exists.

pub mod about;
mod activity;
mod archive;
pub mod attachment;
pub mod block;
pub mod channel;
pub mod content;
pub mod conversation;
pub mod emoji;
pub mod export;
pub mod feed;
mod gather;
pub mod heir;
mod history;
pub mod import;
pub mod inbox;
mod inbox_list;
mod link;
pub mod mention;
pub mod message;
pub mod notification;
mod open;
pub mod own;
pub mod participant;
mod partner;
mod picture;
mod pin;
pub mod position;
pub mod reaction;
pub mod receipt;
pub mod retention;
pub mod scheduled;
mod search;
mod seat;
mod seen;
mod send;
pub mod settings;
mod system;
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
    inbox_list::InboxQuery,
    channel::ChannelQuery,
    mention::MentionQuery,
    attachment::MessageAttachmentQuery,
    history::HistoryQuery,
    search::SearchQuery,
    scheduled::ScheduledMessageQuery,
    user_contact::UserContactQuery,
    emoji::EmojiQuery,
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
    emoji::EmojiMutation,
    thread::ThreadMutation,
    pin::PinMutation,
    position::PositionMutation,
    settings::SettingsMutation,
    user_contact::UserContactMutation,
    notification::read::NotificationMutation,
    typing::TypingMutation,
    scheduled::ScheduledMutation,
    export::ConversationExportMutation,
);
