//! Aggregates of an entity.
//!
//! ```text
//! #[derive(SimpleObject)] pub struct LeadNumbers { score: Option<Decimal>, … }
//! #[derive(SimpleObject)] pub struct LeadGroup { keys: Vec<GroupKey>, count: i64, sum: LeadNumbers, … }
//! #[derive(SimpleObject)] pub struct LeadAggregate { count: i64, sum: LeadNumbers, …, groups: Vec<LeadGroup> }
//! #[derive(InputObject)] pub struct LeadGroupBy { field: LeadGroupField, by: Option<DatePart> }
//! ```

use crate::parse::Entity;
use proc_macro2::TokenStream;
use quote::quote;

pub fn expand(entity: &Entity) -> TokenStream {
    if entity.no_queries {
        return TokenStream::new();
    }
    let name = &entity.name;
    let (numbers, group, aggregate) = (entity.named("Numbers"), entity.named("Group"), entity.named("Aggregate"));
    let (group_by, group_field) = (entity.named("GroupBy"), entity.named("GroupField"));
    let summed: Vec<_> = entity.fields.iter().filter(|field| field.sum).collect();
    let number_fields: Vec<_> = summed
        .iter()
        .map(|field| {
            let ident = &field.ident;
            let doc = format!("Of `{}`; null when no record has a value.", field.graphql());
            quote!(#[doc = #doc] pub #ident: Option<crate::kit::scalars::Decimal>,)
        })
        .collect();
    let number_values = summed.iter().map(|field| {
        let ident = &field.ident;
        quote!(#ident: values.next().flatten(),)
    });
    let constants = summed.iter().map(|field| field.constant());
    let (has_numbers, numbers_type) = (!summed.is_empty(), quote!(#numbers));
    let numbers_item = has_numbers.then(|| {
        let doc = format!("A number for each numeric field of {name}.");
        quote! {
            #[doc = #doc]
            #[derive(Clone, Debug, Default, ::async_graphql::SimpleObject)]
            pub struct #numbers { #(#number_fields)* }

            impl From<Vec<Option<crate::kit::scalars::Decimal>>> for #numbers {
                fn from(values: Vec<Option<crate::kit::scalars::Decimal>>) -> Self {
                    let mut values = values.into_iter();
                    #numbers { #(#number_values)* }
                }
            }
        }
    });
    let four = has_numbers.then(|| {
        quote! {
            /// The sums.
            pub sum: #numbers_type,
            /// The averages, rounded to six places.
            pub avg: #numbers_type,
            /// The least values.
            pub min: #numbers_type,
            /// The greatest values.
            pub max: #numbers_type,
        }
    });
    let four_values = has_numbers
        .then(|| quote!(sum: row.sum.into(), avg: row.avg.into(), min: row.min.into(), max: row.max.into(),));
    let grouped: Vec<_> = entity.fields.iter().filter(|field| field.group).collect();
    let variants = grouped.iter().map(|field| {
        let (variant, docs) = (field.variant(), &field.docs);
        quote!(#(#docs)* #variant,)
    });
    let columns = grouped.iter().map(|field| {
        let (variant, constant) = (field.variant(), field.constant());
        quote!(#group_field::#variant => #name::#constant,)
    });
    let docs = [
        format!("Counts, sums and averages over records of type {name}."),
        format!("The records of type {name} that have the same keys."),
        format!("What records of type {name} are grouped by."),
        format!("A field that records of type {name} can be grouped by."),
    ];
    let [aggregate_doc, group_doc, group_by_doc, group_field_doc] = &docs;
    quote! {
        #numbers_item

        #[doc = #group_doc]
        #[derive(Clone, Debug, ::async_graphql::SimpleObject)]
        pub struct #group {
            /// One per entry of `groupBy`, in its order.
            pub keys: Vec<crate::kit::aggregate::GroupKey>,
            /// How many records.
            pub count: i64,
            #four
        }

        #[doc = #aggregate_doc]
        #[derive(Clone, Debug, ::async_graphql::SimpleObject)]
        pub struct #aggregate {
            /// How many records.
            pub count: i64,
            #four
            /// The groups, the largest first; empty without `groupBy`.
            pub groups: Vec<#group>,
        }

        impl crate::kit::aggregate::Aggregate<#name> for #aggregate {
            fn numbers() -> &'static [&'static crate::kit::table::Column] {
                &[#(#name::#constants),*]
            }

            fn build(all: crate::kit::aggregate::Row, groups: Vec<crate::kit::aggregate::Row>) -> Self {
                let groups = groups.into_iter().map(|row| #group { keys: row.keys, count: row.count, #four_values }).collect();
                let row = all;
                #aggregate { count: row.count, #four_values groups }
            }
        }

        #[doc = #group_field_doc]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, ::async_graphql::Enum)]
        pub enum #group_field { #(#variants)* }

        #[doc = #group_by_doc]
        #[derive(Clone, Copy, Debug, ::async_graphql::InputObject)]
        pub struct #group_by {
            /// The field.
            pub field: #group_field,
            /// For a date or time: the unit, in the organization's time zone; DAY unless said otherwise.
            pub by: Option<crate::kit::aggregate::DatePart>,
        }

        impl From<#group_by> for crate::kit::aggregate::GroupBy {
            fn from(group: #group_by) -> Self {
                let column = match group.field { #(#columns)* };
                crate::kit::aggregate::GroupBy { column, part: group.by }
            }
        }
    }
}
