//! The table as data, rows to records, and preloading.
//!
//! ```text
//! impl Lead { pub const FIRST_NAME: &'static Column = &Column { name: "first_name", field: "firstName", … }; }
//! impl Entity for Lead { fn table() -> &'static Table { … } fn preload(…) { … } … }
//! impl QueryableByName<Pg> for Lead { … }
//! ```

use crate::parse::Entity;
use heck::{ToLowerCamelCase, ToShoutySnakeCase};
use proc_macro2::TokenStream;
use quote::{format_ident, quote};

pub fn expand(entity: &Entity) -> TokenStream {
    let name = &entity.name;
    let (filter, order) = (entity.named("Filter"), entity.named("Order"));
    let (resource, wall, soft_delete) = (&entity.resource, &entity.wall, entity.soft_delete);
    let sql = entity.plural.to_string();
    let label = name.to_string();
    let constants = entity.fields.iter().map(|field| {
        let (constant, column, graphql, ty, docs) =
            (field.constant(), field.sql(), field.graphql(), &field.ty, &field.docs);
        let unshown = field.unshown;
        quote! {
            #(#docs)*
            pub const #constant: &'static crate::kit::table::Column = &crate::kit::table::Column {
                name: #column,
                field: #graphql,
                kind: <#ty as crate::kit::value::Value>::KIND,
                nullable: <#ty as crate::kit::value::Value>::NULLABLE,
                is_enum: <#ty as crate::kit::value::Value>::ENUM,
                computed: <#ty as crate::kit::value::Value>::COMPUTED,
                unshown: #unshown,
            };
        }
    });
    let newest = entity.newest.as_ref().map_or("created_at".to_owned(), ToString::to_string).to_shouty_snake_case();
    let newest = format_ident!("{newest}");
    let all = entity.fields.iter().map(|field| field.constant());
    let select = entity.fields.iter().map(|field| format!("t0.\"{}\"", field.sql())).collect::<Vec<_>>().join(", ");
    let cells = entity.fields.iter().map(|field| {
        let (column, ident) = (field.sql(), &field.ident);
        quote!(#column => crate::kit::value::Value::bind(&self.#ident),)
    });
    let reads = entity.fields.iter().enumerate().map(|(index, field)| {
        let ident = &field.ident;
        quote!(#ident: crate::kit::entity::cell(row, from + #index)?,)
    });
    let owner = if entity.owned { quote!(self.owner_id.map(|id| id.0)) } else { quote!(None) };
    let deleted = if entity.soft_delete { quote!(self.deleted_at.is_some()) } else { quote!(false) };
    let deleted_in = if entity.soft_delete { quote!(filter.deleted) } else { quote!(None) };
    let ones = entity.fields.iter().filter_map(|field| {
        let (target, relation) = field.belongs_to.as_ref()?;
        let (ident, relation) = (&field.ident, relation.to_string().to_lower_camel_case());
        let ids = if field.nullable() {
            quote!(rows.iter().filter_map(|row| row.#ident.map(|id| id.0)))
        } else {
            quote!(rows.iter().map(|row| row.#ident.0))
        };
        Some(quote!(crate::kit::relation::preload_one::<#target>(scope, conn, selections, #relation, #ids)))
    });
    let manies = entity.has_many.iter().map(|many| {
        let (target, relation) = (&many.entity, many.name.to_string().to_lower_camel_case());
        let column = format_ident!("{}", many.by.to_string().to_shouty_snake_case());
        quote! {
            crate::kit::relation::preload_many::<#target>(
                scope, conn, selections, #relation, #target::#column, rows.iter().map(|row| row.id.0),
            )
        }
    });
    let to_ones = entity.fields.iter().filter_map(|field| {
        let (target, relation) = field.belongs_to.as_ref()?;
        let (field, relation) = (relation.to_string().to_lower_camel_case(), field.constant());
        Some(quote! {
            crate::kit::table::ToOne {
                field: #field,
                column: #name::#relation,
                target: <#target as crate::kit::entity::Entity>::table,
            }
        })
    });
    let to_manies = entity.has_many.iter().map(|many| {
        let (target, field) = (&many.entity, many.name.to_string().to_lower_camel_case());
        let column = format_ident!("{}", many.by.to_string().to_shouty_snake_case());
        quote! {
            crate::kit::table::ToMany {
                field: #field,
                target: <#target as crate::kit::entity::Entity>::table,
                there: #target::#column,
            }
        }
    });
    let root = |root: String| match entity.no_queries {
        true => quote!(None),
        false => {
            let root = root.to_lower_camel_case();
            quote!(Some(#root))
        }
    };
    let (one, list) = (root(entity.snake().to_string()), root(entity.list().to_string()));
    let history = quote! {
        crate::kit::history::preload::<#name>(scope, conn, selections, rows.iter().map(|row| row.id.0))
    };
    let parts = entity.with.iter().map(|part| quote!(<#part<'_, #name>>::ahead(scope, conn, rows, selections)));
    let preloads: Vec<_> = ones.chain(manies).chain(parts).chain([history]).collect();
    quote! {
        #[allow(dead_code, reason = "which columns are named by hand differs from entity to entity")]
        impl #name { #(#constants)* }

        impl crate::kit::entity::Entity for #name {
            type Filter = #filter;
            type Order = #order;

            fn table() -> &'static crate::kit::table::Table {
                static TABLE: crate::kit::table::Table = crate::kit::table::Table {
                    name: #sql,
                    entity: #label,
                    resource: crate::kit::permission::Resource::#resource,
                    wall: #wall,
                    soft_delete: #soft_delete,
                    newest: #name::#newest,
                    select: #select,
                    ones: &[#(#to_ones),*],
                    manies: &[#(#to_manies),*],
                    one: #one,
                    list: #list,
                    ask: crate::kit::entity::ask::<#name>,
                    columns: &[#(#name::#all),*],
                };
                &TABLE
            }

            fn read<'a>(row: &impl ::diesel::row::Row<'a, ::diesel::pg::Pg>, from: usize) -> ::diesel::deserialize::Result<Self> {
                Ok(#name { #(#reads)* })
            }

            fn id(&self) -> ::uuid::Uuid {
                self.id.0
            }

            fn version(&self) -> i32 {
                self.version
            }

            fn owner(&self) -> Option<::uuid::Uuid> {
                #owner
            }

            fn deleted(&self) -> bool {
                #deleted
            }

            fn cell(&self, column: &crate::kit::table::Column) -> crate::kit::value::Bind {
                match column.name {
                    #(#cells)*
                    _ => crate::kit::value::Bind::Text(None),
                }
            }

            fn deleted_in(filter: &#filter) -> Option<crate::kit::filter::DeletedRecords> {
                let _ = filter;
                #deleted_in
            }

            fn preload<'a>(
                scope: &'a crate::kit::scope::Scope,
                conn: &'a ::diesel_async::AsyncPgConnection,
                rows: &'a [::std::sync::Arc<Self>],
                selections: &'a [::async_graphql::SelectionField<'a>],
            ) -> ::futures_util::future::BoxFuture<'a, crate::error::Result<()>> {
                if rows.is_empty() || selections.is_empty() {
                    return Box::pin(async { Ok(()) });
                }
                Box::pin(async move {
                    let fetches: Vec<::futures_util::future::BoxFuture<'_, crate::error::Result<()>>> =
                        vec![#(Box::pin(#preloads)),*];
                    ::futures_util::future::try_join_all(fetches).await?;
                    Ok(())
                })
            }
        }

        impl ::diesel::deserialize::QueryableByName<::diesel::pg::Pg> for #name {
            fn build<'a>(
                row: &impl ::diesel::row::NamedRow<'a, ::diesel::pg::Pg>,
            ) -> ::diesel::deserialize::Result<Self> {
                <Self as crate::kit::entity::Entity>::read(row, 0)
            }
        }
    }
}
