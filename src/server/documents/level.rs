//! What is selected from one value. Invariant: under each condition a response key stands once, where the document names it
//! first.

use apollo_compiler::{
    Node,
    executable::{Field, SelectionSet},
};
use std::collections::{HashMap, HashSet};

/// A field of one response key, with the selections of all its occurrences.
pub struct Merged<'a> {
    pub field: &'a Node<Field>,
    pub sets: Vec<&'a SelectionSet>,
}

/// What is selected from a value: fields, in runs that apply to the value whatever it is (`None`), or only when it is of
/// an object type or has an interface.
#[derive(Default)]
pub struct Level<'a> {
    pub runs: Vec<(Option<&'a str>, Vec<Merged<'a>>)>,
    /// Where the field of a response key stands, within a condition.
    places: HashMap<(Option<&'a str>, &'a str), (usize, usize)>,
    /// Fragments that have been spread, within a condition.
    pub spread: HashSet<(Option<&'a str>, &'a str)>,
}

impl<'a> Level<'a> {
    /// Whether a field with fields of its own is selected under more than one condition.
    pub fn overlaps(&self) -> bool {
        let mut keys = HashSet::new();
        self.runs
            .iter()
            .flat_map(|(_, fields)| fields)
            .any(|merged| !merged.field.selection_set.is_empty() && !keys.insert(merged.field.response_key()))
    }

    /// Adds a field under a condition, to the one of the same response key if it is there already.
    pub fn add(&mut self, condition: Option<&'a str>, field: &'a Node<Field>) {
        let key = field.response_key().as_str();
        // A scalar that is selected whatever the value is needs no second time under a condition.
        if condition.is_some() && field.selection_set.is_empty() && self.places.contains_key(&(None, key)) {
            return;
        }
        if let Some((run, place)) = self.places.get(&(condition, key)) {
            let merged = self.runs.get_mut(*run).and_then(|(_, fields)| fields.get_mut(*place));
            if let Some(merged) = merged {
                merged.sets.push(&field.selection_set);
            }
            return;
        }
        if self.runs.last().is_none_or(|(last, _)| *last != condition) {
            self.runs.push((condition, Vec::new()));
        }
        let run = self.runs.len().saturating_sub(1);
        if let Some((_, fields)) = self.runs.last_mut() {
            self.places.insert((condition, key), (run, fields.len()));
            fields.push(Merged { field, sets: vec![&field.selection_set] });
        }
    }
}
