//! The create and update inputs and what a write needs to know.
//!
//! ```text
//! #[derive(InputObject)] pub struct LeadCreateInput { id: Option<Id<Lead>>, first_name: String, email: Option<EmailAddress>, … }
//! #[derive(InputObject)] pub struct LeadUpdateInput { id: Id<Lead>, expected_version: Option<i32>, first_name: MaybeUndefined<String>, … }
//! impl Writable for Lead { … }
//! ```

use crate::parse::Entity;
use proc_macro2::TokenStream;
use quote::quote;

pub fn expand(entity: &Entity) -> TokenStream {
    if entity.read_only {
        return TokenStream::new();
    }
    let name = &entity.name;
    let (create, update) = (entity.named("CreateInput"), entity.named("UpdateInput"));
    let (noun, a_noun) = (entity.noun(), entity.a_noun());
    let created: Vec<_> = entity.fields.iter().filter(|field| field.create).collect();
    let create_fields = created.iter().map(|field| {
        let (ident, ty, inner, docs) = (&field.ident, &field.ty, field.inner(), &field.docs);
        if !field.nullable() && field.default.is_none() {
            quote!(#(#docs)* pub #ident: #ty,)
        } else {
            quote!(#(#docs)* pub #ident: Option<#inner>,)
        }
    });
    let values = entity.fields.iter().map(|field| {
        let ident = &field.ident;
        let default = match &field.default {
            Some(default) => quote!(#default),
            None => quote!(None),
        };
        if field.ident == "id" {
            quote!(id: id.into(),)
        } else if !field.create {
            quote!(#ident: #default,)
        } else if field.nullable() && field.default.is_none() {
            quote!(#ident: input.#ident,)
        } else if field.nullable() {
            quote!(#ident: input.#ident.or_else(|| #default),)
        } else if field.default.is_some() {
            quote!(#ident: input.#ident.unwrap_or_else(|| #default),)
        } else {
            quote!(#ident: input.#ident,)
        }
    });
    let updated: Vec<_> = entity.fields.iter().filter(|field| field.update).collect();
    let update_fields = updated.iter().map(|field| {
        let (ident, inner, docs) = (&field.ident, field.inner(), &field.docs);
        quote!(#(#docs)* pub #ident: ::async_graphql::MaybeUndefined<#inner>,)
    });
    let applications = updated.iter().map(|field| {
        let (ident, graphql) = (&field.ident, field.graphql());
        if field.nullable() {
            quote!(crate::kit::write::patch(&mut self.#ident, input.#ident);)
        } else {
            quote!(crate::kit::write::patch_required(&mut self.#ident, input.#ident, #graphql, errors);)
        }
    });
    let tidies = entity.fields.iter().filter(|field| field.written()).map(|field| {
        let (ident, graphql) = (&field.ident, field.graphql());
        let max = field.max.as_ref().map(|max| quote!(max: #max,));
        let multiline = field.multiline.then(|| quote!(multiline: true,));
        let range = field.range.as_ref().map(|(least, most)| quote!(range: (#least, #most),));
        let required = (!field.nullable()).then(|| {
            quote! {
                if crate::kit::rules::Tidy::is_blank(&self.#ident) {
                    errors.add(#graphql, crate::kit::user_error::UserErrorCode::Required, "This must not be empty.");
                }
            }
        });
        quote! {
            let rule = crate::kit::rules::Rule { #max #multiline #range ..crate::kit::rules::Rule::DEFAULT };
            crate::kit::rules::Tidy::tidy(&mut self.#ident, #graphql, &rule, errors);
            #required
        }
    });
    let references = entity.fields.iter().filter(|field| field.written()).filter_map(|field| {
        let (target, _) = field.belongs_to.as_ref()?;
        let (ident, graphql) = (&field.ident, field.graphql());
        let id = if field.nullable() { quote!(self.#ident.map(|id| id.0)) } else { quote!(Some(self.#ident.0)) };
        Some(quote!((#graphql, <#target as crate::kit::entity::Entity>::table(), #id)))
    });
    let mark_deleted = entity.soft_delete.then(|| {
        quote! {
            self.deleted_at = at;
            self.deleted_by = by.map(Into::into);
        }
    });
    let create_doc = format!("A new {noun}. What is left out has its default.");
    let update_doc = format!("Changes to {a_noun}: what is left out stays, null clears.");
    let id_doc = "An id of the client's own making (a UUID, best version 7), so that an interface can show the record at once. Left out: the server makes one.";
    quote! {
        #[doc = #create_doc]
        #[derive(Clone, Debug, ::async_graphql::InputObject)]
        pub struct #create {
            #[doc = #id_doc]
            pub id: Option<crate::kit::id::Id<#name>>,
            #(#create_fields)*
        }

        #[doc = #update_doc]
        #[derive(Clone, Debug, ::async_graphql::InputObject)]
        pub struct #update {
            /// Which record.
            pub id: crate::kit::id::Id<#name>,
            /// The version that the change is based on. If the record has another by now, nothing is written and the
            /// answer is a user error CONFLICT with the record as it stands. Left out: the last writer wins.
            pub expected_version: Option<i32>,
            #(#update_fields)*
        }

        impl crate::kit::write::Writable for #name {
            type Create = #create;
            type Update = #update;

            fn id_of(input: &#create) -> Option<::uuid::Uuid> {
                input.id.map(|id| id.0)
            }

            fn target_of(input: &#update) -> (::uuid::Uuid, Option<i32>) {
                (input.id.0, input.expected_version)
            }

            fn create(
                scope: &crate::kit::scope::Scope,
                id: ::uuid::Uuid,
                now: crate::kit::scalars::DateTime,
                input: #create,
            ) -> Self {
                let _ = scope;
                #name { #(#values)* }
            }

            fn update(&mut self, input: #update, errors: &mut crate::kit::user_error::UserErrors) {
                #(#applications)*
            }

            fn tidy(&mut self, errors: &mut crate::kit::user_error::UserErrors) {
                #(#tidies)*
            }

            fn references(&self) -> Vec<(&'static str, &'static crate::kit::table::Table, Option<::uuid::Uuid>)> {
                vec![#(#references),*]
            }

            fn touch(&mut self, version: i32, at: crate::kit::scalars::DateTime) {
                self.version = version;
                self.updated_at = at;
            }

            fn mark_deleted(&mut self, at: Option<crate::kit::scalars::DateTime>, by: Option<::uuid::Uuid>) {
                let _ = (&at, &by);
                #mark_deleted
            }
        }
    }
}
