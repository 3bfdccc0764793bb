//! The root of the schema: the wings merged, and what reaches across them.

use crate::{
    crm::{CrmMutation, CrmQuery, feed::CrmSubscription},
    identity::{IdentityMutation, IdentityQuery},
    messaging::{MessagingMutation, MessagingQuery, feed::MessagingSubscription},
    node::NodeQuery,
};
use async_graphql::{MergedObject, MergedSubscription, Object, Schema, SchemaBuilder};

pub type StoaSchema = Schema<Query, Mutation, Subscription>;

/// Everything that can be read.
#[derive(MergedObject, Default)]
pub struct Query(ServerQuery, NodeQuery, IdentityQuery, CrmQuery, MessagingQuery);

/// Everything that can be changed.
#[derive(MergedObject, Default)]
pub struct Mutation(IdentityMutation, CrmMutation, MessagingMutation);

/// Everything that can be followed.
#[derive(MergedSubscription, Default)]
pub struct Subscription(CrmSubscription, MessagingSubscription);

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

/// The schema before limits and data are added: sorted, so that `schema.graphql` is stable.
pub fn builder() -> SchemaBuilder<Query, Mutation, Subscription> {
    Schema::build(Query::default(), Mutation::default(), Subscription::default())
        .register_output_type::<crate::node::FeedEvent>()
        .with_sorted_fields()
        .with_sorted_enums()
}
