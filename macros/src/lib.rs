//! `#[entity]`: what follows mechanically from an entity's struct. An entity is a struct whose fields are named
//! once, with what they may do beside them; from it come its GraphQL object, inputs, filter, order, aggregate,
//! payloads, queries and mutations, its table as data, and its relations with their preloading.
//!
//! The macro is dumb: names, types, columns. Rules and permissions are plain functions elsewhere, and whatever it
//! emits calls ordinary code in `kit`. A mistake in an attribute is a compile error at that attribute.
//!
//! On the struct: `#[entity(resource = Lead, plural = leads, wall = owned, …)]`
//! - `resource`: which permission guards it; `plural`: the table, and the name of the list in snake case;
//! - `wall`: `owned` or `shared`, or instead `visible_by = function` (see `kit::table::Wall`);
//! - `crm`: has what every record of that wing has: owner, tags, custom fields, `soft_delete`;
//! - `soft_delete`: is kept when it is deleted, and left out of what is read unless that is asked for;
//! - `read_only`: no mutations follow; `computed`: there is a `#[ComplexObject] impl Computed<'_, T>`;
//! - `no_queries`: no root fields follow at all;
//! - `newest = seq`: lists begin with the greatest of this column unless ordered otherwise; `created_at` without it;
//! - `has_many(contacts: Contact.account_id, …)`: the records of another table that name this one;
//! - `with(Part, …)`: more computed fields, each part a `#[ComplexObject] impl Part<'_, T>` with an `ahead` that fetches
//!   them for a page of records;
//! - `filters(own: OwnFilter, search: Search = "What it is.", …)`: more conditions in the filter, of a type that is a
//!   `kit::filter::Filter`.
//!
//! On a field: `#[entity(create, update, filter, order, group, sum, search, …)]`
//! - `create`, `update`: stands in these inputs; required in the first unless its type is `Option` or it has `default`;
//! - `filter`, `order`, `group`, `sum`, `search`: stands in the filter, the order, `groupBy`, the sums, the search;
//! - `unindexed`: no index serves the order, which its description says;
//! - `unshown`: stands in rows and in the log, and is no field; one of its name is computed (`with`);
//! - `max = 120`, `multiline`, `range(0, 100)`: limits that `Tidy` checks;
//! - `default = expr`: for a new record; may use `scope`;
//! - `belongs_to = Member` (`as owner`): the record that the id names, as a field, a filter and a preload.
//!
//! What every entity has (`created_by`, `created_at`, `updated_at`, `version`) is added, save for what the struct says itself.

mod aggregate;
mod input;
mod object;
mod operations;
mod parse;
mod select;
mod table;
#[cfg(test)]
mod tests;

use proc_macro::TokenStream;
use quote::quote;

/// See the crate's documentation.
#[proc_macro_attribute]
pub fn entity(attributes: TokenStream, item: TokenStream) -> TokenStream {
    expand(attributes.into(), item.into()).unwrap_or_else(syn::Error::into_compile_error).into()
}

fn expand(
    attributes: proc_macro2::TokenStream,
    item: proc_macro2::TokenStream,
) -> syn::Result<proc_macro2::TokenStream> {
    let entity = parse::entity(attributes, item)?;
    let object = object::expand(&entity);
    let table = table::expand(&entity);
    let select = select::expand(&entity);
    let aggregate = aggregate::expand(&entity);
    let input = input::expand(&entity);
    let operations = operations::expand(&entity);
    Ok(quote!(#object #table #select #aggregate #input #operations))
}
