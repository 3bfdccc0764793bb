//! Reading the attributes of an entity. Invariant: what is not understood is a compile error where it stands.

use heck::{ToLowerCamelCase, ToShoutySnakeCase, ToSnakeCase, ToUpperCamelCase};
use proc_macro2::{Ident, Span, TokenStream};
use quote::{format_ident, quote};
use syn::{
    Attribute, Error, Expr, Fields, ItemStruct, LitInt, LitStr, Result, Token, Type, ext::IdentExt,
    meta::ParseNestedMeta, parse::Parser, parse_quote, parse2,
};

/// An entity as its struct describes it.
pub struct Entity {
    pub item: ItemStruct,
    pub name: Ident,
    pub resource: Ident,
    /// The table, and the list in snake case.
    pub plural: Ident,
    pub wall: TokenStream,
    pub soft_delete: bool,
    pub owned: bool,
    pub read_only: bool,
    pub computed: bool,
    pub no_queries: bool,
    pub has_many: Vec<HasMany>,
    pub with: Vec<syn::Path>,
    pub filters: Vec<(Ident, syn::Path, Option<LitStr>)>,
    pub newest: Option<Ident>,
    pub fields: Vec<Field>,
}

/// A field of an entity: a column of its table.
pub struct Field {
    pub ident: Ident,
    pub ty: Type,
    pub docs: Vec<Attribute>,
    pub create: bool,
    pub update: bool,
    pub filter: bool,
    pub order: bool,
    pub unindexed: bool,
    pub unshown: bool,
    pub group: bool,
    pub sum: bool,
    pub search: bool,
    pub max: Option<LitInt>,
    pub multiline: bool,
    pub range: Option<(Expr, Expr)>,
    pub default: Option<Expr>,
    pub belongs_to: Option<(Type, Ident)>,
}

/// Records of another table that name this one.
pub struct HasMany {
    pub name: Ident,
    pub entity: Ident,
    pub by: Ident,
}

impl Field {
    pub fn sql(&self) -> String {
        self.ident.unraw().to_string()
    }

    pub fn graphql(&self) -> String {
        self.sql().to_lower_camel_case()
    }

    /// The constant of its `Column`.
    pub fn constant(&self) -> Ident {
        Ident::new(&self.sql().to_shouty_snake_case(), Span::call_site())
    }

    pub fn variant(&self) -> Ident {
        Ident::new(&self.sql().to_upper_camel_case(), Span::call_site())
    }

    /// The type without `Option`.
    pub fn inner(&self) -> Type {
        option_of(&self.ty).cloned().unwrap_or_else(|| self.ty.clone())
    }

    pub fn nullable(&self) -> bool {
        option_of(&self.ty).is_some()
    }

    pub fn written(&self) -> bool {
        self.create || self.update
    }
}

impl Entity {
    /// `Lead` + `Filter`.
    pub fn named(&self, suffix: &str) -> Ident {
        format_ident!("{}{}", self.name, suffix)
    }

    /// `lead`.
    pub fn snake(&self) -> Ident {
        Ident::new(&self.name.to_string().to_snake_case(), self.name.span())
    }

    /// `leads`: the list is named after the records, also where the table has another name.
    pub fn list(&self) -> Ident {
        if self.plural == "memberships" { format_ident!("members") } else { self.plural.clone() }
    }

    /// `a lead` in prose, or `an account`.
    pub fn a_noun(&self) -> String {
        let noun = self.noun();
        // As in `user`, no entity's name begins with another u.
        let article = if noun.starts_with(['a', 'e', 'i', 'o']) { "an" } else { "a" };
        format!("{article} {noun}")
    }

    /// `lead` in prose.
    pub fn noun(&self) -> String {
        self.name.to_string().to_snake_case().replace('_', " ")
    }
}

fn option_of(ty: &Type) -> Option<&Type> {
    let Type::Path(path) = ty else { return None };
    let last = path.path.segments.last()?;
    if last.ident != "Option" {
        return None;
    }
    let syn::PathArguments::AngleBracketed(arguments) = &last.arguments else { return None };
    arguments.args.iter().find_map(|argument| match argument {
        syn::GenericArgument::Type(ty) => Some(ty),
        _ => None,
    })
}

pub fn entity(attributes: TokenStream, item: TokenStream) -> Result<Entity> {
    let mut item: ItemStruct = parse2(item)?;
    let name = item.ident.clone();
    let (mut resource, mut plural, mut wall, mut owned, mut newest) = (None, None, None, false, None);
    let (mut crm, mut read_only, mut computed, mut no_queries, mut has_many) = (false, false, false, false, Vec::new());
    let (mut with, mut filters, mut soft_delete) = (Vec::new(), Vec::new(), false);
    let parser = syn::meta::parser(|meta: ParseNestedMeta<'_>| {
        let word = meta.path.require_ident()?.to_string();
        match word.as_str() {
            "resource" => resource = Some(meta.value()?.parse::<Ident>()?),
            "newest" => newest = Some(meta.value()?.parse::<Ident>()?),
            "plural" => plural = Some(meta.value()?.parse::<Ident>()?),
            "wall" => {
                let kind: Ident = meta.value()?.parse()?;
                wall = Some(match kind.to_string().as_str() {
                    "owned" => {
                        owned = true;
                        quote!(crate::kit::table::Wall::Owned)
                    }
                    "shared" => quote!(crate::kit::table::Wall::Shared),
                    _ => {
                        return Err(Error::new(
                            kind.span(),
                            "wall is `owned` or `shared`; for a condition write `visible_by = function`",
                        ));
                    }
                });
            }
            "visible_by" => {
                let function: syn::Path = meta.value()?.parse()?;
                wall = Some(quote!(crate::kit::table::Wall::Custom(#function)));
            }
            "crm" => (crm, soft_delete) = (true, true),
            "soft_delete" => soft_delete = true,
            "read_only" => read_only = true,
            "computed" => computed = true,
            "no_queries" => no_queries = true,
            "has_many" => meta.parse_nested_meta(|many| {
                let name = many.path.require_ident()?.clone();
                many.input.parse::<Token![:]>()?;
                let entity: Ident = many.input.parse()?;
                many.input.parse::<Token![.]>()?;
                let by: Ident = many.input.parse()?;
                has_many.push(HasMany { name, entity, by });
                Ok(())
            })?,
            "with" => meta.parse_nested_meta(|part| {
                with.push(part.path);
                Ok(())
            })?,
            "filters" => meta.parse_nested_meta(|filter| {
                let name = filter.path.require_ident()?.clone();
                filter.input.parse::<Token![:]>()?;
                let of = filter.input.parse()?;
                let doc = if filter.input.peek(Token![=]) { Some(filter.value()?.parse()?) } else { None };
                filters.push((name, of, doc));
                Ok(())
            })?,
            other => return Err(unknown(&meta, other, ON_STRUCTS)),
        }
        Ok(())
    });
    parser.parse2(attributes)?;
    let missing = |what: &str| Error::new(name.span(), format!("say `{what}` in #[entity(…)]"));
    let resource = resource.ok_or_else(|| missing("resource = …"))?;
    let plural = plural.ok_or_else(|| missing("plural = …"))?;
    let wall = wall.ok_or_else(|| missing("wall = owned`, `wall = shared` or `visible_by = …"))?;
    add_standard_fields(&mut item, crm, soft_delete)?;
    let Fields::Named(named) = &mut item.fields else {
        return Err(Error::new(name.span(), "an entity is a struct with named fields"));
    };
    let fields = named.named.iter_mut().map(field).collect::<Result<Vec<_>>>()?;
    match fields.first() {
        Some(first) if first.ident == "id" => {}
        _ => return Err(Error::new(name.span(), "the first field of an entity is `pub id: Id<…>`")),
    }
    if owned && !fields.iter().any(|field| field.ident == "owner_id") {
        return Err(Error::new(name.span(), "`wall = owned` needs a field `owner_id`; with `crm` there is one"));
    }
    let unset = |field: &&Field| !field.create && !field.nullable() && field.default.is_none() && field.ident != "id";
    if let Some(field) = fields.iter().find(unset).filter(|_| !read_only) {
        return Err(Error::new(field.ident.span(), "no input sets this field: give it `create` or `default = …`"));
    }
    Ok(Entity {
        soft_delete,
        item,
        name,
        resource,
        plural,
        wall,
        owned,
        read_only,
        computed,
        no_queries,
        has_many,
        with,
        filters,
        newest,
        fields,
    })
}

const ON_STRUCTS: &str = "resource, plural, wall, visible_by, crm, soft_delete, read_only, computed, no_queries, newest, has_many(…), with(…) and filters(…)";
const ON_FIELDS: &str = "create, update, filter, order, unindexed, unshown, group, sum, search, multiline, max, range(…), default and belongs_to";

fn unknown(meta: &ParseNestedMeta<'_>, word: &str, known: &str) -> Error {
    meta.error(format!("`{word}` is not known here; known are {known}"))
}

/// What every entity has, what every one of the CRM has, and what says that one was deleted; not what the struct says itself.
fn add_standard_fields(item: &mut ItemStruct, crm: bool, soft_delete: bool) -> Result<()> {
    let mut standard: syn::FieldsNamed = if crm {
        parse_quote!({
            /// Words to find it by: at most 50, each 1 to 60 characters.
            #[entity(create, update, filter, default = Vec::new())]
            pub tags: Vec<String>,
            /// What the organization adds of its own: at most 100 keys and 32 KiB.
            #[entity(create, update, filter, default = crate::kit::scalars::JsonObject::default())]
            pub custom_fields: crate::kit::scalars::JsonObject,
            /// The id of the member it belongs to; who creates it, unless said otherwise. Permissions of the scopes OWN and TEAM look at it.
            #[entity(create, update, filter, group, default = Some(scope.actor.member.into()), belongs_to = crate::identity::Member as owner)]
            pub owner_id: Option<crate::kit::id::Id<crate::identity::Member>>,
            /// The id of the member who created it.
            #[entity(filter, default = Some(scope.actor.member.into()), belongs_to = crate::identity::Member as creator)]
            pub created_by: Option<crate::kit::id::Id<crate::identity::Member>>,
            /// When it was created.
            #[entity(filter, order, group, default = now)]
            pub created_at: crate::kit::scalars::DateTime,
            /// When it was last changed.
            #[entity(filter, order, default = now)]
            pub updated_at: crate::kit::scalars::DateTime,
            /// Starts at 1 and grows by 1 with every change; give it back as `expectedVersion`.
            #[entity(default = 1)]
            pub version: i32,
        })
    } else {
        parse_quote!({
            /// The id of the member who created it.
            #[entity(default = Some(scope.actor.member.into()))]
            pub created_by: Option<crate::kit::id::Id<crate::identity::Member>>,
            /// When it was created.
            #[entity(filter, order, default = now)]
            pub created_at: crate::kit::scalars::DateTime,
            /// When it was last changed.
            #[entity(filter, order, default = now)]
            pub updated_at: crate::kit::scalars::DateTime,
            /// Starts at 1 and grows by 1 with every change; give it back as `expectedVersion`.
            #[entity(default = 1)]
            pub version: i32,
        })
    };
    if soft_delete {
        let deleted: syn::FieldsNamed = parse_quote!({
            /// When it was deleted; null: it is not.
            #[entity(filter, order, unindexed)]
            pub deleted_at: Option<crate::kit::scalars::DateTime>,
            /// The id of the member who deleted it.
            #[entity(filter)]
            pub deleted_by: Option<crate::kit::id::Id<crate::identity::Member>>,
        });
        standard.named.extend(deleted.named);
    }
    let Fields::Named(fields) = &mut item.fields else {
        return Err(Error::new(item.ident.span(), "an entity is a struct with named fields"));
    };
    let said: Vec<_> = fields.named.iter().filter_map(|field| field.ident.clone()).collect();
    let unsaid = |field: &syn::Field| field.ident.as_ref().is_none_or(|ident| !said.contains(ident));
    fields.named.extend(standard.named.into_iter().filter(unsaid));
    Ok(())
}

fn field(field: &mut syn::Field) -> Result<Field> {
    let ident = field.ident.clone().ok_or_else(|| Error::new(Span::call_site(), "a field without a name"))?;
    let docs: Vec<_> = field.attrs.iter().filter(|attribute| attribute.path().is_ident("doc")).cloned().collect();
    let mut read = Field {
        ident,
        ty: field.ty.clone(),
        docs,
        create: false,
        update: false,
        filter: false,
        order: false,
        unindexed: false,
        unshown: false,
        group: false,
        sum: false,
        search: false,
        max: None,
        multiline: false,
        range: None,
        default: None,
        belongs_to: None,
    };
    let (own, others): (Vec<_>, Vec<_>) =
        field.attrs.drain(..).partition(|attribute| attribute.path().is_ident("entity"));
    field.attrs = others;
    for attribute in own {
        attribute.parse_nested_meta(|meta| {
            let word = meta.path.require_ident()?.to_string();
            match word.as_str() {
                "create" => read.create = true,
                "update" => read.update = true,
                "filter" => read.filter = true,
                "order" => read.order = true,
                "unindexed" => read.unindexed = true,
                "unshown" => read.unshown = true,
                "group" => read.group = true,
                "sum" => read.sum = true,
                "search" => read.search = true,
                "multiline" => read.multiline = true,
                "max" => read.max = Some(meta.value()?.parse()?),
                "default" => read.default = Some(meta.value()?.parse()?),
                "range" => {
                    let inside;
                    syn::parenthesized!(inside in meta.input);
                    let least = inside.parse()?;
                    inside.parse::<Token![,]>()?;
                    read.range = Some((least, inside.parse()?));
                }
                "belongs_to" => {
                    let entity: Type = meta.value()?.parse()?;
                    let name = if meta.input.parse::<Option<Token![as]>>()?.is_some() {
                        meta.input.parse()?
                    } else {
                        let column = read.ident.to_string();
                        let name = column
                            .strip_suffix("_id")
                            .ok_or_else(|| meta.error("name the relation: `belongs_to = T as name`"))?;
                        Ident::new(name, read.ident.span())
                    };
                    read.belongs_to = Some((entity, name));
                }
                other => return Err(unknown(&meta, other, ON_FIELDS)),
            }
            Ok(())
        })?;
    }
    if read.docs.is_empty() && read.ident != "id" {
        return Err(Error::new(read.ident.span(), "describe the field: its `///` is what front-end developers read"));
    }
    Ok(read)
}
