//! What becomes of a field that fails. The specification: a nullable field becomes null and its error has the field's path;
//! a field that cannot be null passes the null on to the nearest parent that can. The engine nulls the parent of a nullable
//! field as well, and forgets the end of a path that leads through a list. Invariant: for the fields that `documents::flatten`
//! marks, `data` and `errors` are what the specification says.

use crate::server::documents::{NULLABLE, REQUIRED};
use async_graphql::{
    Context, ContextDirective, CustomDirective, CustomDirectiveFactory, PathSegment, Pos, QueryPathSegment, ResolveFut,
    ServerError, ServerResult, Value,
    async_trait::async_trait,
    parser::types::{Directive, Selection, SelectionSet},
    registry::Registry,
};
use std::{any::Any, borrow::Cow, sync::Arc};

/// The source of an error on its way up, with the path of the field that failed: lists overwrite the error's own.
pub struct Traced {
    pub path: Vec<PathSegment>,
    pub source: Option<Arc<dyn Any + Send + Sync>>,
}

/// Makes a mark known to the engine, without making it part of the schema.
pub struct Mark {
    nullable: bool,
}

impl Mark {
    /// Both marks, for `SchemaBuilder::directive`.
    pub fn both() -> (Self, Self) {
        (Mark { nullable: true }, Mark { nullable: false })
    }
}

impl CustomDirectiveFactory for Mark {
    fn name(&self) -> Cow<'static, str> {
        Cow::Borrowed(if self.nullable { NULLABLE } else { REQUIRED })
    }

    fn register(&self, _: &mut Registry) {}

    fn create(&self, _: &ContextDirective<'_>, _: &Directive) -> ServerResult<Box<dyn CustomDirective>> {
        Ok(Box::new(Marked { nullable: self.nullable }))
    }
}

struct Marked {
    nullable: bool,
}

#[async_trait]
impl CustomDirective for Marked {
    async fn resolve_field(&self, ctx: &Context<'_>, resolve: ResolveFut<'_>) -> ServerResult<Option<Value>> {
        match resolve.await {
            Err(error) if self.nullable => {
                ctx.add_error(traced(ctx, error));
                Ok(None)
            }
            Err(error) => Err(traced(ctx, error)),
            resolved => resolved,
        }
    }
}

/// With the path of this field, unless the error comes from below and has one.
fn traced(ctx: &Context<'_>, mut error: ServerError) -> ServerError {
    if error.source::<Traced>().is_some() {
        return error;
    }
    let mut path = Vec::new();
    let mut node = ctx.path_node.as_ref();
    while let Some(here) = node {
        path.push(match here.segment {
            QueryPathSegment::Name(name) => PathSegment::Field(name.to_owned()),
            QueryPathSegment::Index(index) => PathSegment::Index(index),
        });
        node = here.parent;
    }
    path.reverse();
    if error.path.len() > path.len() {
        // An unmarked leaf of this field has set a longer one, and a list in between has cut its end off.
        path.clone_from(&error.path);
        if let (Some(PathSegment::Index(_)), Some(leaf)) = (path.last(), error.locations.first()) {
            let key = leaf_at(&ctx.item.node.selection_set.node, *leaf);
            path.extend(key.map(|key| PathSegment::Field(key.to_owned())));
        }
    }
    error.source = Some(Arc::new(Traced { path, source: error.source.take() }));
    error
}

/// The response key of the leaf that stands at a place of the document.
fn leaf_at(set: &SelectionSet, place: Pos) -> Option<&str> {
    set.items.iter().find_map(|selection| match &selection.node {
        Selection::Field(field) if field.pos == place && field.node.selection_set.node.items.is_empty() => {
            Some(field.node.response_key().node.as_str())
        }
        Selection::InlineFragment(fragment) => leaf_at(&fragment.node.selection_set.node, place),
        Selection::Field(_) | Selection::FragmentSpread(_) => None,
    })
}
