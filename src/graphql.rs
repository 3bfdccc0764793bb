//! The root of the schema: the wings merged.

use crate::{
    crm::{CrmMutation, CrmQuery},
    identity::member::MemberQuery,
};
use async_graphql::{MergedObject, Object, Schema, SchemaBuilder, Subscription};
use futures_util::Stream;

pub type StoaSchema = Schema<Query, Mutation, Subscriptions>;

/// Everything that can be read.
#[derive(MergedObject, Default)]
pub struct Query(ServerQuery, MemberQuery, CrmQuery);

/// Everything that can be changed.
#[derive(MergedObject, Default)]
pub struct Mutation(CrmMutation);

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

#[derive(Default)]
pub struct Subscriptions;
#[Subscription]
impl Subscriptions {
    /// Counts.
    async fn count(&self) -> impl Stream<Item = i32> {
        futures_util::stream::iter(0..3)
    }
}

/// The schema before limits and data are added: sorted, so that `schema.graphql` is stable.
pub fn builder() -> SchemaBuilder<Query, Mutation, Subscriptions> {
    Schema::build(Query::default(), Mutation::default(), Subscriptions).with_sorted_fields().with_sorted_enums()
}
