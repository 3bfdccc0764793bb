//! The root of the schema: the wings merged, and what reaches across them.

use crate::{
    audit::{AuditQuery, export::AuditMutation},
    crm::{CrmMutation, CrmQuery, account::Account, contact::Contact, feed::CrmSubscription, lead::Lead},
    files::{FilesMutation, FilesQuery, file::File},
    identity::{
        IdentityMutation, IdentityQuery, Member, api_key::ApiKey, invitation::Invitation,
        presence::PresenceSubscription,
    },
    kit::{entity::Entity, plan::TableOf},
    messaging::{
        MessagingMutation, MessagingQuery,
        attachment::MessageAttachment,
        conversation::Conversation,
        feed::MessagingSubscription,
        inbox::InboxSubscription,
        mention::Mention,
        notification::{Notification, feed::NotificationSubscription},
        typing::TypingSubscription,
        user_contact::UserContact,
    },
    node::NodeQuery,
    operations::{OperationsMutation, OperationsQuery, job::Job},
};
use async_graphql::{MergedObject, MergedSubscription, Object, SDLExportOptions, Schema, SchemaBuilder};

pub type StoaSchema = Schema<Query, Mutation, Subscription>;

/// Everything that can be read.
#[derive(MergedObject, Default)]
pub struct Query(
    ServerQuery,
    NodeQuery,
    AuditQuery,
    IdentityQuery,
    FilesQuery,
    CrmQuery,
    MessagingQuery,
    OperationsQuery,
);

/// Everything that can be changed.
#[derive(MergedObject, Default)]
pub struct Mutation(AuditMutation, IdentityMutation, FilesMutation, CrmMutation, MessagingMutation, OperationsMutation);

/// Everything that can be followed.
#[derive(MergedSubscription, Default)]
pub struct Subscription(
    CrmSubscription,
    MessagingSubscription,
    InboxSubscription,
    NotificationSubscription,
    PresenceSubscription,
    TypingSubscription,
);

/// What is known without signing in.
#[derive(Default)]
pub struct ServerQuery;

#[Object]
impl ServerQuery {
    /// The version of Stoa.
    async fn version(&self) -> &'static str {
        env!("CARGO_PKG_VERSION")
    }
}

/// The tables that queries may be read from without the executor.
pub const TABLES: &[TableOf] = &[
    Member::table,
    Account::table,
    Contact::table,
    Lead::table,
    Conversation::table,
    Mention::table,
    MessageAttachment::table,
    Job::table,
    Invitation::table,
    ApiKey::table,
    File::table,
    UserContact::table,
    Notification::table,
];

/// How the schema is written down: sorted, as in `schema.graphql`.
pub fn sdl_options() -> SDLExportOptions {
    SDLExportOptions::new()
        .sorted_fields()
        .sorted_arguments()
        .sorted_enum_items()
        .include_specified_by()
        .use_space_ident()
}

/// The schema before limits and data are added: sorted, so that `schema.graphql` is stable.
pub fn builder() -> SchemaBuilder<Query, Mutation, Subscription> {
    Schema::build(Query::default(), Mutation::default(), Subscription::default())
        .register_output_type::<crate::node::FeedEvent>()
        .with_sorted_fields()
        .with_sorted_enums()
}
