//! How much a document asks for: fragments spread, fields nested, aliases, root fields, directives. Invariant: linear in
//! the document's length, whatever its fragments would unfold to, and done before validation, which unfolds them.

use super::refused::{Location, Refused};
use crate::{config::DocumentConfig, error::Code};
use apollo_compiler::{
    ExecutableDocument,
    ast::{Definition, DirectiveList, Document, Selection},
    parser::SourceSpan,
};
use std::collections::{HashMap, HashSet};

/// What a set of selections comes to once its fragments are spread.
#[derive(Clone, Copy, Debug, Default)]
struct Extent {
    selections: usize,
    /// Fields within fields.
    depth: usize,
    aliases: usize,
}

/// The fragments of a document, each unfolded once.
struct Fragments<'a> {
    limits: &'a DocumentConfig,
    bodies: HashMap<&'a str, &'a [Selection]>,
    /// `None` while it is being unfolded: a cycle, which validation refuses in its own words.
    extents: HashMap<&'a str, Option<Extent>>,
}

/// Refuses a document that is too large unfolded; otherwise how many selections its operations unfold to together.
pub fn check(document: &Document, limits: &DocumentConfig) -> Result<usize, Refused> {
    let mut fragments = Fragments { limits, bodies: HashMap::new(), extents: HashMap::new() };
    for definition in &document.definitions {
        if let Definition::FragmentDefinition(fragment) = definition {
            fragments.bodies.insert(fragment.name.as_str(), &fragment.selection_set);
        }
    }
    let place = |span: Option<SourceSpan>| locate(span, document);
    let mut total = 0usize;
    for definition in &document.definitions {
        // Fragments that no operation uses are measured as well: validation unfolds them too.
        let (extent, span) = match definition {
            Definition::OperationDefinition(operation) => {
                let extent = fragments.unfold(&operation.selection_set).map_err(|name| directives(name, limits))?;
                total = total.saturating_add(extent.selections);
                (extent, operation.location())
            }
            Definition::FragmentDefinition(fragment) => {
                let extent = fragments.unfold(&fragment.selection_set).map_err(|name| directives(name, limits))?;
                (extent, fragment.location())
            }
            _ => continue,
        };
        if extent.depth > limits.max_depth {
            return Err(Refused::at(
                Code::QueryTooDeep,
                format!("Fields nest more than {} deep.", limits.max_depth),
                place(span),
            ));
        }
        if extent.selections > limits.max_selections {
            return Err(Refused::at(
                Code::QueryTooComplex,
                format!("With its fragments spread, this selects more than {} fields.", limits.max_selections),
                place(span),
            ));
        }
        if extent.aliases > limits.max_aliases {
            return Err(Refused::at(
                Code::QueryTooComplex,
                format!(
                    "With its fragments spread, this has {} aliases; at most {} are allowed.",
                    extent.aliases, limits.max_aliases
                ),
                place(span),
            ));
        }
    }
    Ok(total)
}

fn directives(name: &str, limits: &DocumentConfig) -> Refused {
    Refused::new(Code::QueryTooComplex, format!("`{name}` has more than {} directives.", limits.max_directives))
}

/// Refuses an operation of a valid document with too many root fields. The same field twice counts once.
pub fn check_roots(document: &ExecutableDocument, limits: &DocumentConfig) -> Result<(), Refused> {
    for operation in document.operations.iter() {
        let keys: HashSet<_> = operation.root_fields(document).map(|field| field.response_key()).collect();
        if keys.len() > limits.max_root_fields {
            let place = operation.location().and_then(|span| span.line_column(&document.sources));
            return Err(Refused::at(
                Code::QueryTooComplex,
                format!(
                    "The operation selects {} root fields; at most {} are allowed.",
                    keys.len(),
                    limits.max_root_fields
                ),
                place.map(|at| Location { line: at.line, column: at.column }),
            ));
        }
    }
    Ok(())
}

/// The place of a node, when it has one.
pub fn locate(span: Option<SourceSpan>, document: &Document) -> Option<Location> {
    let at = span?.line_column(&document.sources)?;
    Some(Location { line: at.line, column: at.column })
}

impl<'a> Fragments<'a> {
    /// The error is the name of the selection that has too many directives. The recursion is as deep as the document's
    /// brackets and its chain of fragments; the latter is cut at `max_nesting`.
    fn unfold(&mut self, selections: &'a [Selection]) -> Result<Extent, &'a str> {
        self.unfold_within(selections, 0)
    }

    fn unfold_within(&mut self, selections: &'a [Selection], level: usize) -> Result<Extent, &'a str> {
        let mut sum = Extent::default();
        for selection in selections {
            let extent = match selection {
                Selection::Field(field) => {
                    self.count(&field.directives, &field.name)?;
                    let inner = self.unfold_within(&field.selection_set, level)?;
                    Extent {
                        selections: inner.selections.saturating_add(1),
                        depth: inner.depth.saturating_add(1),
                        aliases: inner.aliases.saturating_add(usize::from(field.alias.is_some())),
                    }
                }
                Selection::InlineFragment(fragment) => {
                    self.count(&fragment.directives, "...")?;
                    let inner = self.unfold_within(&fragment.selection_set, level)?;
                    Extent { selections: inner.selections.saturating_add(1), ..inner }
                }
                Selection::FragmentSpread(spread) => {
                    self.count(&spread.directives, &spread.fragment_name)?;
                    let inner = self.fragment(&spread.fragment_name, level)?;
                    Extent { selections: inner.selections.saturating_add(1), ..inner }
                }
            };
            sum = Extent {
                selections: sum.selections.saturating_add(extent.selections),
                depth: sum.depth.max(extent.depth),
                aliases: sum.aliases.saturating_add(extent.aliases),
            };
        }
        Ok(sum)
    }

    fn fragment(&mut self, name: &'a str, level: usize) -> Result<Extent, &'a str> {
        if let Some(known) = self.extents.get(name) {
            return Ok(known.unwrap_or_default());
        }
        // A chain of fragments this long is no query; as deep as possible, so that it is refused.
        if level > self.limits.max_nesting {
            return Ok(Extent { depth: usize::MAX, ..Extent::default() });
        }
        let Some(&body) = self.bodies.get(name) else { return Ok(Extent::default()) };
        self.extents.insert(name, None);
        let extent = self.unfold_within(body, level.saturating_add(1))?;
        self.extents.insert(name, Some(extent));
        Ok(extent)
    }

    fn count(&self, directives: &DirectiveList, name: &'a str) -> Result<(), &'a str> {
        if directives.len() > self.limits.max_directives { Err(name) } else { Ok(()) }
    }
}
