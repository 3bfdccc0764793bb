//! The root fields of an entity and their payloads.
//!
//! ```text
//! #[derive(Default)] pub struct LeadQuery;      // lead, leads, leadAggregate
//! #[derive(Default)] pub struct LeadMutation;   // leadCreate, leadUpdate, leadDelete, leadRestore, leadPurge, leadBulk…
//! ```

use crate::parse::Entity;
use proc_macro2::{Ident, TokenStream};
use quote::{format_ident, quote};

/// The arguments of a list field.
pub fn list_arguments(filter: &Ident, order: &Ident) -> TokenStream {
    quote! {
        #[graphql(desc = "Only records that fit.")] filter: Option<Box<#filter>>,
        #[graphql(desc = "At most three keys; the id is always the last. Without it the newest come first.")] order_by: Option<Vec<#order>>,
        #[graphql(desc = "How many records from the start or behind `after`: 0 to 100, 25 unless said otherwise.")] first: Option<i32>,
        #[graphql(desc = "Behind the record with this cursor.")] after: Option<String>,
        #[graphql(desc = "How many records from the end or before `before`: 0 to 100.")] last: Option<i32>,
        #[graphql(desc = "Before the record with this cursor.")] before: Option<String>,
    }
}

pub fn expand(entity: &Entity) -> TokenStream {
    if entity.no_queries {
        return TokenStream::new();
    }
    let queries = queries(entity);
    let mutations = (!entity.read_only).then(|| mutations(entity));
    quote!(#queries #mutations)
}

fn queries(entity: &Entity) -> TokenStream {
    let (name, one, many) = (&entity.name, entity.snake(), entity.list());
    let (query, filter, order) = (entity.named("Query"), entity.named("Filter"), entity.named("Order"));
    let (aggregate, aggregate_type, group_by) =
        (format_ident!("{one}_aggregate"), entity.named("Aggregate"), entity.named("GroupBy"));
    let noun = entity.noun();
    let (one_doc, many_doc) = (
        format!("One {noun}; null when there is none that you may see."),
        format!("A page of the records of type {name} that you may see, newest first unless ordered otherwise."),
    );
    let aggregate_doc =
        format!("Counts, sums and averages over the records of type {name} that you may see, in all and by group.");
    let args = list_arguments(&filter, &order);
    quote! {
        /// Queries.
        #[derive(Default)]
        pub struct #query;

        #[::async_graphql::Object]
        impl #query {
            #[doc = #one_doc]
            async fn #one(
                &self,
                ctx: &::async_graphql::Context<'_>,
                #[graphql(desc = "Which record.")] id: crate::kit::id::Id<#name>,
            ) -> Option<::std::sync::Arc<#name>> {
                crate::kit::resolve::one::<#name>(ctx, id.0).await
            }

            #[doc = #many_doc]
            #[allow(clippy::too_many_arguments, reason = "Relay's four, filter and order")]
            async fn #many(
                &self,
                ctx: &::async_graphql::Context<'_>,
                #args
            ) -> Option<crate::kit::page::Connection<#name>> {
                let args = crate::kit::entity::ListArgs { filter, order_by, first, after, last, before };
                crate::kit::resolve::list::<#name>(ctx, args).await
            }

            #[doc = #aggregate_doc]
            async fn #aggregate(
                &self,
                ctx: &::async_graphql::Context<'_>,
                #[graphql(desc = "Only records that fit.")] filter: Option<#filter>,
                #[graphql(desc = "Groups by each combination of these, at most three; the largest groups come first.")] group_by: Option<Vec<#group_by>>,
                #[graphql(desc = "Only groups that fit.")] having: Option<crate::kit::aggregate::Having>,
                #[graphql(desc = "How many groups at most: 1 to 200, 200 unless said otherwise.")] first: Option<i32>,
            ) -> Option<#aggregate_type> {
                let groups = group_by.unwrap_or_default().into_iter().map(Into::into).collect();
                crate::kit::resolve::aggregate::<#name, #aggregate_type>(ctx, filter, groups, having, first).await
            }
        }
    }
}

/// Adds a payload type and gives its name.
fn payload(entity: &Entity, verb: &str, doc: String, types: &mut Vec<TokenStream>) -> Ident {
    let (name, one) = (&entity.name, entity.snake());
    let payload = format_ident!("{name}{verb}Payload");
    types.push(quote! {
        #[doc = #doc]
        #[derive(::async_graphql::SimpleObject)]
        pub struct #payload {
            /// The record as it is now; null when nothing was written, save for a CONFLICT, which shows it as it stands.
            pub #one: Option<::std::sync::Arc<#name>>,
            /// What the user has to mend; empty: all is well.
            pub user_errors: Vec<crate::kit::user_error::UserError>,
            /// The whole graph, to read on from here.
            pub query: crate::graphql::Query,
        }

        impl From<crate::kit::write::Outcome<#name>> for #payload {
            fn from(outcome: crate::kit::write::Outcome<#name>) -> Self {
                #payload { #one: outcome.record, user_errors: outcome.errors, query: Default::default() }
            }
        }
    });
    payload
}

fn mutations(entity: &Entity) -> TokenStream {
    let (name, one) = (&entity.name, entity.snake());
    let (noun, a_noun) = (entity.noun(), entity.a_noun());
    let mutation = entity.named("Mutation");
    let (create_input, update_input) = (entity.named("CreateInput"), entity.named("UpdateInput"));
    let id_type = quote!(crate::kit::id::Id<#name>);
    let mut types = Vec::new();
    let mut fields = Vec::new();

    let created = payload(entity, "Create", format!("What came of creating {a_noun}."), &mut types);
    let updated = payload(entity, "Update", format!("What came of changing {a_noun}."), &mut types);
    let (create, update) = (format_ident!("{one}_create"), format_ident!("{one}_update"));
    let (create_doc, update_doc) =
        (format!("Creates {a_noun}."), format!("Changes {a_noun}: what the input leaves out stays, null clears."));
    fields.push(quote! {
        #[doc = #create_doc]
        async fn #create(
            &self,
            ctx: &::async_graphql::Context<'_>,
            #[graphql(desc = "The new record.")] input: #create_input,
        ) -> Option<#created> {
            crate::kit::resolve::write::<#name, #created>(ctx, async move |tx| crate::kit::write::create(tx, input).await).await
        }

        #[doc = #update_doc]
        async fn #update(
            &self,
            ctx: &::async_graphql::Context<'_>,
            #[graphql(desc = "Which record, and what changes.")] input: #update_input,
        ) -> Option<#updated> {
            crate::kit::resolve::write::<#name, #updated>(ctx, async move |tx| crate::kit::write::update(tx, input).await).await
        }
    });

    if entity.soft_delete {
        let deleted = payload(entity, "Delete", format!("What came of deleting {a_noun}."), &mut types);
        let restored = payload(entity, "Restore", format!("What came of restoring {a_noun}."), &mut types);
        let purged = payload(
            entity,
            "Purge",
            format!("What came of purging {a_noun}; the record is as it last was."),
            &mut types,
        );
        let (delete_input, id_input) = (entity.named("DeleteInput"), entity.named("IdInput"));
        let (delete_doc, id_doc) = (format!("Which {noun} to delete."), format!("Which {noun}."));
        types.push(quote! {
            #[doc = #delete_doc]
            #[derive(Clone, Debug, ::async_graphql::InputObject)]
            pub struct #delete_input {
                /// Which record.
                pub id: #id_type,
                /// The version that the deletion is based on; see the update input.
                pub expected_version: Option<i32>,
            }

            #[doc = #id_doc]
            #[derive(Clone, Debug, ::async_graphql::InputObject)]
            pub struct #id_input {
                /// Which record.
                pub id: #id_type,
            }
        });
        let (delete, restore, purge) =
            (format_ident!("{one}_delete"), format_ident!("{one}_restore"), format_ident!("{one}_purge"));
        let docs = (
            format!("Deletes {a_noun}. It can be restored until the organization's retention is over."),
            format!("Restores a deleted {noun}."),
            format!("Removes a deleted {noun} for good. Its history stays."),
        );
        let (delete_doc, restore_doc, purge_doc) = (docs.0, docs.1, docs.2);
        fields.push(quote! {
            #[doc = #delete_doc]
            async fn #delete(
                &self,
                ctx: &::async_graphql::Context<'_>,
                #[graphql(desc = "Which record.")] input: #delete_input,
            ) -> Option<#deleted> {
                crate::kit::resolve::write::<#name, #deleted>(ctx, async move |tx| {
                    crate::kit::write::delete(tx, input.id.0, input.expected_version).await
                })
                .await
            }

            #[doc = #restore_doc]
            async fn #restore(
                &self,
                ctx: &::async_graphql::Context<'_>,
                #[graphql(desc = "Which record.")] input: #id_input,
            ) -> Option<#restored> {
                crate::kit::resolve::write::<#name, #restored>(ctx, async move |tx| crate::kit::write::restore(tx, input.id.0).await).await
            }

            #[doc = #purge_doc]
            async fn #purge(
                &self,
                ctx: &::async_graphql::Context<'_>,
                #[graphql(desc = "Which record.")] input: #id_input,
            ) -> Option<#purged> {
                crate::kit::resolve::write::<#name, #purged>(ctx, async move |tx| crate::kit::write::purge(tx, input.id.0).await).await
            }
        });
    }

    let result = payload(entity, "BulkResult", format!("What came of one {noun} of a bulk mutation."), &mut types);
    let bulk_payload = entity.named("BulkPayload");
    types.push(quote! {
        /// What came of a bulk mutation: a result per item, in the order of the items.
        #[derive(::async_graphql::SimpleObject)]
        pub struct #bulk_payload {
            /// One per item, in their order.
            pub results: Vec<#result>,
            /// How many items were written.
            pub succeeded: i32,
            /// The whole graph, to read on from here.
            pub query: crate::graphql::Query,
        }

        impl From<Vec<crate::kit::write::Outcome<#name>>> for #bulk_payload {
            fn from(outcomes: Vec<crate::kit::write::Outcome<#name>>) -> Self {
                let succeeded = outcomes.iter().filter(|outcome| outcome.errors.is_empty() && outcome.record.is_some()).count();
                #bulk_payload {
                    results: outcomes.into_iter().map(Into::into).collect(),
                    succeeded: i32::try_from(succeeded).unwrap_or(i32::MAX),
                    query: Default::default(),
                }
            }
        }
    });
    let mut bulk =
        |verb: &str, list: &str, item: TokenStream, changes: TokenStream, write: TokenStream, doc: String| {
            let field = format_ident!("{one}_bulk_{}", verb.to_lowercase());
            let input = format_ident!("{name}Bulk{verb}Input");
            let list_ident = format_ident!("{list}");
            let input_doc = format!("{doc} At most 100.");
            types.push(quote! {
                #[doc = #input_doc]
                #[derive(Clone, Debug, ::async_graphql::InputObject)]
                pub struct #input {
                    /// 1 to 100 of them.
                    pub #list_ident: Vec<#item>,
                    /// What happens to the others when one is refused.
                    #[graphql(default_with = "crate::kit::write::BulkErrorPolicy::RejectAll")]
                    pub error_policy: crate::kit::write::BulkErrorPolicy,
                }
            });
            fields.push(quote! {
                #[doc = #doc]
                async fn #field(
                    &self,
                    ctx: &::async_graphql::Context<'_>,
                    #[graphql(desc = "The items, and what happens when one is refused.")] input: #input,
                ) -> Option<#bulk_payload> {
                    crate::kit::resolve::bulk::<#name, #item, #bulk_payload>(
                        ctx, #list, input.#list_ident, input.error_policy, #changes, async |tx, item| #write,
                    )
                    .await
                }
            });
        };
    bulk(
        "Create",
        "items",
        quote!(#create_input),
        quote!(|_| None),
        quote!(crate::kit::write::create(tx, item).await),
        format!("Creates several records of type {name} in one transaction."),
    );
    bulk(
        "Update",
        "items",
        quote!(#update_input),
        quote!(|item| Some(item.id.0)),
        quote!(crate::kit::write::update(tx, item).await),
        format!("Changes several records of type {name} in one transaction."),
    );
    if entity.soft_delete {
        bulk(
            "Delete",
            "ids",
            id_type.clone(),
            quote!(|id| Some(id.0)),
            quote!(crate::kit::write::delete(tx, item.0, None).await),
            format!("Deletes several records of type {name} in one transaction."),
        );
    }

    quote! {
        #(#types)*

        /// Mutations.
        #[derive(Default)]
        pub struct #mutation;

        #[::async_graphql::Object]
        impl #mutation { #(#fields)* }
    }
}
