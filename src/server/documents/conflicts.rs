//! Fields of one response key with different arguments. apollo-compiler finds all of them but those whose lists differ in
//! length: it compares lists only as far as the shorter one goes. Invariant: what is merged for execution asked for the
//! same thing.

use super::refused::{Fault, Location};
use apollo_compiler::{
    ExecutableDocument, Node, Schema,
    ast::Value,
    executable::{Field, Selection, SelectionSet},
};
use std::collections::{BTreeMap, HashSet};

/// Fields looked at in one document at most. Below it lies whatever a person or a generator writes; what lies above has
/// been found valid by apollo all the same.
const MAX_VISITS: usize = 50_000;

/// The first conflict of a document that apollo has found valid.
pub fn check(schema: &Schema, document: &ExecutableDocument) -> Option<Fault> {
    let mut search = Search { schema, document, left: MAX_VISITS };
    document.operations.iter().find_map(|operation| search.level(&[&operation.selection_set]))
}

struct Search<'a> {
    schema: &'a Schema,
    document: &'a ExecutableDocument,
    left: usize,
}

/// A field and the type that it is selected from.
type Selected<'a> = (&'a str, &'a Node<Field>);

impl<'a> Search<'a> {
    fn level(&mut self, sets: &[&'a SelectionSet]) -> Option<Fault> {
        let mut groups: BTreeMap<&str, Vec<Selected<'a>>> = BTreeMap::new();
        let mut seen = HashSet::new();
        for set in sets {
            self.collect(set, &mut seen, &mut groups);
        }
        groups.into_values().find_map(|group| self.group(&group))
    }

    fn collect(
        &mut self,
        set: &'a SelectionSet,
        seen: &mut HashSet<&'a str>,
        groups: &mut BTreeMap<&'a str, Vec<Selected<'a>>>,
    ) {
        for selection in &set.selections {
            self.left = self.left.saturating_sub(1);
            if self.left == 0 {
                return;
            }
            match selection {
                Selection::Field(field) => groups.entry(field.response_key()).or_default().push((&set.ty, field)),
                Selection::InlineFragment(fragment) => self.collect(&fragment.selection_set, seen, groups),
                Selection::FragmentSpread(spread) => {
                    if seen.insert(&spread.fragment_name)
                        && let Some(fragment) = spread.fragment_def(self.document)
                    {
                        self.collect(&fragment.selection_set, seen, groups);
                    }
                }
            }
        }
    }

    /// Fields of two different object types are never merged; all others of a response key may be.
    fn group(&mut self, group: &[Selected<'a>]) -> Option<Fault> {
        let objects: HashSet<&str> =
            group.iter().map(|(parent, _)| *parent).filter(|parent| self.schema.get_object(parent).is_some()).collect();
        let mut mergeable: Vec<Vec<Selected<'a>>> = objects
            .iter()
            .map(|object| {
                group.iter().filter(|(parent, _)| parent == object || !objects.contains(parent)).copied().collect()
            })
            .collect();
        if objects.is_empty() {
            mergeable.push(group.to_vec());
        }
        mergeable.into_iter().find_map(|fields| {
            let mut asked: Option<String> = None;
            for (_, field) in &fields {
                let arguments = canonical(field);
                match &asked {
                    Some(first) if *first != arguments => return Some(self.conflict(field)),
                    _ => asked = Some(arguments),
                }
            }
            let sets: Vec<_> =
                fields.iter().map(|(_, field)| &field.selection_set).filter(|set| !set.is_empty()).collect();
            if sets.is_empty() { None } else { self.level(&sets) }
        })
    }

    fn conflict(&self, field: &Node<Field>) -> Fault {
        let place = field.location().and_then(|span| span.line_column(&self.document.sources));
        Fault {
            message: format!(
                "Fields \"{}\" conflict because they have differing arguments. Use different aliases on the fields to fetch both if this was intentional.",
                field.response_key()
            )
            .into(),
            locations: place.map(|at| Location { line: at.line, column: at.column }).into_iter().collect(),
        }
    }
}

/// The arguments of a field, whatever their order. Only what has lists can differ: for the rest apollo is right.
fn canonical(field: &Field) -> String {
    let mut arguments: Vec<_> = field
        .arguments
        .iter()
        .map(|argument| {
            let mut text = format!("{}: ", argument.name);
            lengths(&argument.value, &mut text);
            text
        })
        .collect();
    arguments.sort_unstable();
    arguments.join(", ")
}

/// The shape of a value's lists, whatever the order of an object's fields.
fn lengths(value: &Value, text: &mut String) {
    match value {
        Value::List(items) => {
            text.push('[');
            for item in items {
                lengths(item, text);
                text.push(',');
            }
            text.push(']');
        }
        Value::Object(fields) => {
            let sorted: BTreeMap<_, _> = fields.iter().map(|(name, value)| (name.as_str(), value)).collect();
            for (name, value) in sorted {
                text.push_str(name);
                lengths(value, text);
            }
        }
        _ => {}
    }
}
