//! Questions about the schema itself. Invariant: they cannot be turned into an answer of exponential size, and none gets
//! through where they are switched off (`__typename` always does).

use super::refused::{Location, Refused};
use crate::error::Code;
use apollo_compiler::{
    ExecutableDocument,
    executable::{Field, Selection, SelectionSet},
};
use std::collections::HashSet;

/// Lists of the schema within lists of the schema; the usual question has two. graphql-js's MaxIntrospectionDepthRule.
const MAX_LISTS: usize = 3;
const LISTS: [&str; 4] = ["fields", "interfaces", "possibleTypes", "inputFields"];

/// Refuses `__schema` and `__type` where they are off, and circles through them everywhere.
pub fn check(document: &ExecutableDocument, allowed: bool) -> Result<(), Refused> {
    for operation in document.operations.iter() {
        for field in operation.root_fields(document).filter(|field| is_introspection(&field.name)) {
            if !allowed {
                return Err(Refused::at(
                    Code::GraphqlValidationFailed,
                    format!("This server does not tell its schema: `{}` is switched off.", field.name),
                    place(field, document),
                ));
            }
            if !within(document, &field.selection_set, 0, &mut HashSet::new()) {
                return Err(Refused::at(
                    Code::GraphqlValidationFailed,
                    "Maximum introspection depth exceeded.",
                    place(field, document),
                ));
            }
        }
    }
    Ok(())
}

/// Whether a root field asks about the schema.
pub fn is_introspection(name: &str) -> bool {
    matches!(name, "__schema" | "__type")
}

fn place(field: &apollo_compiler::Node<Field>, document: &ExecutableDocument) -> Option<Location> {
    let at = field.location()?.line_column(&document.sources)?;
    Some(Location { line: at.line, column: at.column })
}

/// Whether lists stay within `MAX_LISTS`. A fragment is visited once per count of lists above it, so that the work stays
/// in proportion to the document.
fn within<'a>(
    document: &'a ExecutableDocument,
    set: &'a SelectionSet,
    lists: usize,
    seen: &mut HashSet<(&'a str, usize)>,
) -> bool {
    set.selections.iter().all(|selection| match selection {
        Selection::Field(field) => {
            let lists = lists.saturating_add(usize::from(LISTS.contains(&field.name.as_str())));
            lists < MAX_LISTS && within(document, &field.selection_set, lists, seen)
        }
        Selection::InlineFragment(fragment) => within(document, &fragment.selection_set, lists, seen),
        Selection::FragmentSpread(spread) => {
            !seen.insert((spread.fragment_name.as_str(), lists))
                || spread
                    .fragment_def(document)
                    .is_none_or(|fragment| within(document, &fragment.selection_set, lists, seen))
        }
    })
}
