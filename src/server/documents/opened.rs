//! What a subscription carries once it is opened: the engine executes its document anew for each event, with all variables,
//! and its root field looks at no argument then (`kit::feed`). Invariant: of what stands anywhere else nothing is forgotten,
//! and what is forgotten still fits its type.

use super::Ready;
use async_graphql::{
    Name, Positioned, Value as Const,
    parser::types::{BaseType, DocumentOperations, Selection, SelectionSet},
};
use async_graphql_value::Value;
use std::collections::HashSet;

impl Ready {
    /// Empties the lists that only arguments of the root field ask for: each event would copy and read them all.
    pub fn forget_lists(&mut self) {
        let DocumentOperations::Single(operation) = &self.plan.document.operations else { return };
        let mut needed = HashSet::new();
        note(&operation.node.selection_set.node, true, &mut needed);
        for definition in &operation.node.variable_definitions {
            let name = &definition.node.name.node;
            if matches!(definition.node.var_type.node.base, BaseType::List(_))
                && !needed.contains(name.as_str())
                && let Some(Const::List(items)) = self.variables.get_mut(name)
            {
                *items = Vec::new();
            }
        }
    }
}

/// Notes the variables of all but the arguments of root fields.
fn note<'a>(set: &'a SelectionSet, root: bool, needed: &mut HashSet<&'a str>) {
    for selection in &set.items {
        for directive in selection.node.directives() {
            arguments(&directive.node.arguments, needed);
        }
        match &selection.node {
            Selection::Field(field) => {
                if !root {
                    arguments(&field.node.arguments, needed);
                }
                note(&field.node.selection_set.node, false, needed);
            }
            Selection::InlineFragment(fragment) => note(&fragment.node.selection_set.node, root, needed),
            // A plan has none: `flatten` has spread them.
            Selection::FragmentSpread(_) => {}
        }
    }
}

fn arguments<'a>(arguments: &'a [(Positioned<Name>, Positioned<Value>)], needed: &mut HashSet<&'a str>) {
    for (_, argument) in arguments {
        within(&argument.node, needed);
    }
}

fn within<'a>(value: &'a Value, needed: &mut HashSet<&'a str>) {
    match value {
        Value::Variable(name) => {
            needed.insert(name.as_str());
        }
        Value::List(items) => items.iter().for_each(|item| within(item, needed)),
        Value::Object(fields) => fields.values().for_each(|field| within(field, needed)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::DocumentConfig, server::documents::Documents};
    use async_graphql::parser::parse_query;
    use serde_json::{Value as Json, json};

    const SDL: &str = "
type Query { up: Boolean }
type Subscription { happened(ids: [ID!], within: Within, count: Int): Happening! }
input Within { kinds: [String!] }
union Happening = Thing | Note
type Thing { id: ID! notes(ids: [ID!], within: Within): [Note!]! }
type Note { text: String }
";

    /// The variables that an opened subscription carries.
    fn carried(text: &str) -> Json {
        let documents = Documents::new(SDL, DocumentConfig::default()).unwrap();
        let document = documents.read(text).unwrap();
        let given = json!({ "ids": ["a", "b"], "kinds": ["x"], "count": 3, "with": false });
        let mut ready = documents.ready(&document, None, given.as_object()).unwrap();
        ready.forget_lists();
        serde_json::to_value(&ready.variables).unwrap()
    }

    #[test]
    fn lists_that_only_the_root_field_takes_are_forgotten() {
        for (text, expected) in [
            (
                "subscription($ids: [ID!]!, $count: Int) { happened(ids: $ids, count: $count) { __typename } }",
                json!({ "ids": [], "count": 3 }),
            ),
            (
                "subscription($kinds: [String!]) { happened(within: { kinds: $kinds }) { __typename } }",
                json!({ "kinds": [] }),
            ),
            (
                "subscription($ids: [ID!]) { ...F } fragment F on Subscription { happened(ids: $ids) { __typename } }",
                json!({ "ids": [] }),
            ),
            // Nothing of it is selected.
            (
                "subscription($ids: [ID!], $with: Boolean!) { happened(ids: $ids) { __typename ...F @include(if: $with) } }
                 fragment F on Thing { notes(ids: $ids) { text } }",
                json!({ "ids": [], "with": false }),
            ),
        ] {
            assert_eq!(carried(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_asked_for_below_the_root_stays() {
        for (text, expected) in [
            (
                "subscription($ids: [ID!], $kinds: [String!]) { happened(ids: $ids, within: { kinds: $kinds }) {
                 ... on Thing { notes(ids: $ids) { text } } } }",
                json!({ "ids": ["a", "b"], "kinds": [] }),
            ),
            (
                "subscription($ids: [ID!], $kinds: [String!]) { happened(ids: $ids) { ...F } }
                 fragment F on Thing { notes(within: { kinds: $kinds }) { text } }",
                json!({ "ids": [], "kinds": ["x"] }),
            ),
        ] {
            assert_eq!(carried(text), expected, "{text}");
        }
    }

    #[test]
    fn what_a_directive_takes_is_needed_wherever_it_stands() {
        let text = "subscription($a: [ID!], $b: [ID!], $c: [ID!], $d: [ID!]) {
            happened(ids: $a) @only(of: $b) { ... @only(of: [$c]) { id @only(of: { ids: $d }) } } }";
        let document = parse_query(text).unwrap();
        let DocumentOperations::Single(operation) = &document.operations else { panic!("several operations") };
        let mut needed = HashSet::new();
        note(&operation.node.selection_set.node, true, &mut needed);
        assert_eq!(needed, HashSet::from(["b", "c", "d"]));
    }
}
