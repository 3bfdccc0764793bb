//! The filter and the order of an entity's lists.
//!
//! ```text
//! #[derive(InputObject)] pub struct LeadFilter { first_name: Option<TextFilter>, owner: Option<Box<MemberFilter>>, and: …, … }
//! #[derive(InputObject)] pub struct LeadListFilter { some: …, every: …, none: … }
//! #[derive(Enum)] pub enum LeadOrderField { FirstName, … }
//! #[derive(InputObject)] pub struct LeadOrder { field: LeadOrderField, direction: OrderDirection, nulls: … }
//! ```

use crate::parse::Entity;
use heck::ToSnakeCase;
use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::Type;

/// `Member` of `crate::identity::Member`, with another suffix.
fn sibling(target: &Type, suffix: &str) -> TokenStream {
    let Type::Path(path) = target else { return quote!(#target) };
    let mut path = path.path.clone();
    if let Some(last) = path.segments.last_mut() {
        last.ident = format_ident!("{}{suffix}", last.ident);
    }
    quote!(#path)
}

pub fn expand(entity: &Entity) -> TokenStream {
    let name = &entity.name;
    let (filter, list_filter) = (entity.named("Filter"), entity.named("ListFilter"));
    let (order, order_field) = (entity.named("Order"), entity.named("OrderField"));
    let filtered: Vec<_> = entity.fields.iter().filter(|field| field.filter || field.ident == "id").collect();
    let filter_fields = filtered.iter().map(|field| {
        let (ident, inner) = (&field.ident, field.inner());
        // What is no field is described by itself.
        let doc = format!("Conditions on `{}`.", field.graphql());
        let (docs, doc) =
            if field.unshown { (field.docs.as_slice(), None) } else { (&[][..], Some(quote!(#[doc = #doc]))) };
        quote!(#(#docs)* #doc pub #ident: Option<<#inner as crate::kit::filter::Filterable>::Operators>,)
    });
    let filter_conditions = filtered.iter().map(|field| {
        let (ident, constant) = (&field.ident, field.constant());
        quote! {
            if let Some(operators) = self.#ident {
                crate::kit::filter::Operators::conditions(operators, #name::#constant, &mut all, budget)?;
            }
        }
    });
    let related: Vec<_> = entity
        .fields
        .iter()
        .filter(|field| field.filter)
        .filter_map(|field| Some((field, field.belongs_to.as_ref()?)))
        .collect();
    let related_fields = related.iter().map(|(field, (target, relation))| {
        let target_filter = sibling(target, "Filter");
        let doc = format!("Conditions on the record that `{}` names, as far as you may see it.", field.graphql());
        quote!(#[doc = #doc] pub #relation: Option<Box<#target_filter>>,)
    });
    let related_conditions = related.iter().map(|(field, (target, relation))| {
        let constant = field.constant();
        quote! {
            if let Some(inner) = self.#relation {
                all.push(crate::kit::filter::related::<#target>(#name::#constant, "id", *inner, budget)?);
            }
        }
    });
    let many_fields = entity.has_many.iter().map(|many| {
        let (relation, target) = (&many.name, format_ident!("{}ListFilter", many.entity));
        let doc = format!("Conditions on the {}, as far as you may see them.", relation.to_string().replace('_', " "));
        quote!(#[doc = #doc] pub #relation: Option<Box<#target>>,)
    });
    let many_conditions = entity.has_many.iter().map(|many| {
        let (relation, target, by) = (&many.name, &many.entity, many.by.to_string().to_snake_case());
        quote! {
            if let Some(inner) = self.#relation {
                let parts = (inner.some.map(|f| *f), inner.every.map(|f| *f), inner.none.map(|f| *f));
                crate::kit::filter::related_list::<#target>(#name::ID, #by, parts, &mut all, budget)?;
            }
        }
    });
    let more_fields = entity.filters.iter().map(|(ident, of, doc)| {
        let own = || format!("Conditions on what a record of type {name} is to you.");
        let doc = doc.as_ref().map_or_else(own, syn::LitStr::value);
        quote!(#[doc = #doc] pub #ident: Option<#of>,)
    });
    let more_conditions = entity.filters.iter().map(|(ident, ..)| {
        quote! {
            if let Some(inner) = self.#ident {
                all.push(crate::kit::filter::Filter::predicate(inner, budget)?);
            }
        }
    });
    let deleted_field = entity.soft_delete.then(|| {
        quote! {
            /// Which records, as to deletion. Stands at the top of a filter only.
            pub deleted: Option<crate::kit::filter::DeletedRecords>,
        }
    });
    let deleted_check = entity.soft_delete.then(|| quote!(budget.deleted_at_top(self.deleted)?;));
    let searched: Vec<_> = entity.fields.iter().filter(|field| field.search).collect();
    let search_field = (!searched.is_empty()).then(|| {
        let names = searched.iter().map(|field| format!("`{}`", field.graphql())).collect::<Vec<_>>().join(", ");
        let doc = format!("Has each of these words in one of {names}, whatever case and accents. At most 8 words.");
        quote!(#[doc = #doc] pub search: Option<String>,)
    });
    let search_condition = (!searched.is_empty()).then(|| {
        let columns = searched.iter().map(|field| field.constant());
        quote! {
            if let Some(words) = self.search {
                crate::kit::filter::search(&words, &[#(#name::#columns),*], &mut all, budget)?;
            }
        }
    });
    let ordered: Vec<_> = entity.fields.iter().filter(|field| field.order).collect();
    let variants = ordered.iter().map(|field| {
        let (variant, docs) = (field.variant(), &field.docs);
        let unindexed = match field.sql().as_str() {
            _ if !field.unindexed => None,
            "deleted_at" => {
                Some("No index serves this order unless `deleted` is ONLY: it takes longer the more records fit.")
            }
            _ => Some("No index serves this order: it takes longer the more records fit."),
        };
        let unindexed = unindexed.map(|note| quote!(#[doc = ""] #[doc = #note]));
        quote!(#(#docs)* #unindexed #variant,)
    });
    let keys = ordered.iter().map(|field| {
        let (variant, constant) = (field.variant(), field.constant());
        quote!(#order_field::#variant => #name::#constant,)
    });
    let a_noun = entity.a_noun();
    let filter_doc = format!(
        "Narrows a list of records of type {name}. All conditions given must hold; at most 50, nested at most five deep."
    );
    let list_doc = format!("Conditions on a list of records of type {name}.");
    let (field_doc, order_doc) = (
        format!("What a list of records of type {name} can be ordered by."),
        format!("A key of the order of {a_noun} list."),
    );
    quote! {
        #[doc = #filter_doc]
        #[derive(Clone, Debug, Default, ::async_graphql::InputObject)]
        pub struct #filter {
            #(#filter_fields)*
            #(#related_fields)*
            #(#many_fields)*
            #(#more_fields)*
            #search_field
            #deleted_field
            /// All of these hold.
            pub and: Option<Vec<#filter>>,
            /// One of these holds.
            pub or: Option<Vec<#filter>>,
            /// This does not hold.
            pub not: Option<Box<#filter>>,
        }

        impl crate::kit::filter::Filter for #filter {
            fn predicate(
                self,
                budget: &mut crate::kit::filter::Budget,
            ) -> crate::error::Result<crate::kit::predicate::Predicate> {
                let mut all = Vec::new();
                #deleted_check
                #(#filter_conditions)*
                #(#related_conditions)*
                #(#many_conditions)*
                #(#more_conditions)*
                #search_condition
                crate::kit::filter::combine(self.and, self.or, self.not, &mut all, budget)?;
                Ok(crate::kit::predicate::Predicate::All(all))
            }
        }

        #[doc = #list_doc]
        #[derive(Clone, Debug, Default, ::async_graphql::InputObject)]
        pub struct #list_filter {
            /// One of them fits.
            pub some: Option<Box<#filter>>,
            /// All of them fit; also true when there are none.
            pub every: Option<Box<#filter>>,
            /// None of them fits.
            pub none: Option<Box<#filter>>,
        }

        #[doc = #field_doc]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, ::async_graphql::Enum)]
        pub enum #order_field { #(#variants)* }

        #[doc = #order_doc]
        #[derive(Clone, Copy, Debug, ::async_graphql::InputObject)]
        pub struct #order {
            /// What to order by.
            pub field: #order_field,
            /// Which way.
            #[graphql(default_with = "crate::kit::order::OrderDirection::Asc")]
            pub direction: crate::kit::order::OrderDirection,
            /// Where records without a value stand; without it, last when ascending and first when descending.
            pub nulls: Option<crate::kit::order::NullsOrder>,
        }

        impl crate::kit::order::OrderInput for #order {
            fn key(self) -> crate::kit::order::OrderKey {
                let column = match self.field { #(#keys)* };
                crate::kit::order::OrderKey::new(column, self.direction, self.nulls)
            }
        }
    }
}
