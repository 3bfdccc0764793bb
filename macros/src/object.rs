//! The struct itself, as GraphQL object and as record of the log, and its relations.
//!
//! ```text
//! #[derive(Clone, Debug, Serialize, Deserialize, SimpleObject)]
//! #[graphql(complex)]
//! pub struct Lead { … }
//!
//! #[ComplexObject]
//! impl Relations<'_, Lead> {
//!     async fn owner(&self, ctx: &Context<'_>) -> Option<Arc<Member>> { to_one(ctx, self.owner_id.map(|id| id.0)).await }
//! }
//! impl ComplexObject for Lead { /* Relations, then Computed */ }
//! ```

use crate::parse::Entity;
use heck::ToLowerCamelCase;
use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::Fields;

pub fn expand(entity: &Entity) -> TokenStream {
    let name = &entity.name;
    let mut item = entity.item.clone();
    if let Fields::Named(fields) = &mut item.fields {
        for (field, known) in fields.named.iter_mut().zip(&entity.fields) {
            if known.unshown {
                field.attrs.push(syn::parse_quote!(#[graphql(skip)]));
            }
            if field.ident.as_ref().is_some_and(|ident| ident == "id") {
                field
                    .attrs
                    .push(syn::parse_quote!(#[doc = "Globally unique; give it to `node` or the entity's own lookup."]));
            }
        }
    }
    let ones = entity.fields.iter().filter_map(|field| {
        let (target, relation) = field.belongs_to.as_ref()?;
        let column = &field.ident;
        let doc = format!("The record that `{}` names; null when there is none that you may see.", field.graphql());
        let id = if field.nullable() { quote!(self.#column.map(|id| id.0)) } else { quote!(Some(self.#column.0)) };
        Some(quote! {
            #[doc = #doc]
            async fn #relation(&self, ctx: &::async_graphql::Context<'_>) -> Option<::std::sync::Arc<#target>> {
                crate::kit::relation::to_one::<#target>(ctx, #id).await
            }
        })
    });
    let manies = entity.has_many.iter().map(|many| {
        let (relation, target) = (&many.name, &many.entity);
        let column = format_ident!("{}", heck::ToShoutySnakeCase::to_shouty_snake_case(many.by.to_string().as_str()));
        let (filter, order) = (format_ident!("{target}Filter"), format_ident!("{target}Order"));
        let doc = format!("The records of type {target} that name this one as `{}`.", many.by.to_string().to_lower_camel_case());
        let args = crate::operations::list_arguments(&filter, &order);
        quote! {
            #[doc = #doc]
            #[allow(clippy::too_many_arguments, reason = "Relay's four, filter and order")]
            async fn #relation(&self, ctx: &::async_graphql::Context<'_>, #args) -> Option<crate::kit::page::Connection<#target>> {
                let args = crate::kit::entity::ListArgs { filter, order_by, first, after, last, before };
                crate::kit::relation::to_many::<#target>(ctx, self.id.0, #target::#column, args).await
            }
        }
    });
    let relations: Vec<_> = ones.chain(manies).collect();
    let parts: Vec<TokenStream> = [
        (!relations.is_empty()).then(|| quote!(crate::kit::relation::Relations)),
        entity.computed.then(|| quote!(crate::kit::relation::Computed)),
    ]
    .into_iter()
    .flatten()
    .chain(entity.with.iter().map(|part| quote!(#part)))
    .collect();
    let relations = (!relations.is_empty()).then(|| {
        quote! {
            #[::async_graphql::ComplexObject]
            impl crate::kit::relation::Relations<'_, #name> { #(#relations)* }
        }
    });
    quote! {
        #[derive(Clone, Debug, ::serde::Serialize, ::serde::Deserialize, ::async_graphql::SimpleObject)]
        #[graphql(complex)]
        #item

        #relations

        impl ::async_graphql::ComplexObject for #name {
            fn fields(
                registry: &mut ::async_graphql::registry::Registry,
            ) -> Vec<(String, ::async_graphql::registry::MetaField)> {
                let mut fields = Vec::new();
                #(fields.extend(<#parts<'_, #name> as ::async_graphql::ComplexObject>::fields(registry));)*
                fields.extend(<crate::kit::history::History<'_, #name> as ::async_graphql::ComplexObject>::fields(registry));
                fields
            }

            async fn resolve_field(
                &self,
                ctx: &::async_graphql::Context<'_>,
            ) -> ::async_graphql::ServerResult<Option<::async_graphql::Value>> {
                // In a box: the future of a column would otherwise be as large as that of the largest relation, and
                // is copied for each field of each record.
                Box::pin(async move {
                    #(
                        if let Some(value) = ::async_graphql::ComplexObject::resolve_field(&#parts(self), ctx).await? {
                            return Ok(Some(value));
                        }
                    )*
                    ::async_graphql::ComplexObject::resolve_field(&crate::kit::history::History(self), ctx).await
                })
                .await
            }
        }
    }
}
