//! The root of the schema: the wings merged.

use async_graphql::{Object, Schema, SchemaBuilder, Subscription};
use futures_util::Stream;

pub type StoaSchema = Schema<Query, Mutation, Subscriptions>;

#[derive(Default)]
pub struct Query;
#[Object]
impl Query {
    /// The version of Stoa.
    async fn version(&self) -> &'static str {
        env!("CARGO_PKG_VERSION")
    }
}

#[derive(Default)]
pub struct Mutation;
#[Object]
impl Mutation {
    /// Does nothing.
    async fn nothing(&self) -> bool {
        true
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
    Schema::build(Query, Mutation, Subscriptions).with_sorted_fields().with_sorted_enums()
}
