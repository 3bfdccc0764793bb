//! Filters: the operators a client may use on each kind of field. Invariant: a filter has at most 50 conditions,
//! nests at most five deep and lists at most 200 values, and an operator given as null counts as absent.

mod enums;
mod operators;
mod related;

pub use enums::{EnumOperators, push_enum};
pub use operators::{
    BooleanFilter, CustomFieldCondition, DateFilter, DateTimeFilter, DecimalFilter, Filterable, IdFilter, IntFilter,
    TagsFilter, TextFilter,
};
pub use related::{ListOperators, related, related_list};

use super::{
    predicate::{Compare, Place, Predicate},
    table::Column,
    value::Bind,
};
use crate::error::{Error, Result};
use async_graphql::InputType;
use unicode_normalization::{UnicodeNormalization, is_nfc};

const MOST_LEAVES: usize = 50;
const MOST_LEVELS: usize = 5;
const MOST_VALUES: usize = 200;
const LONGEST_TEXT: usize = 1000;

/// What one filter may still contain.
#[derive(Debug, Default)]
pub struct Budget {
    leaves: usize,
    level: usize,
}

impl Budget {
    /// Counts a condition.
    pub fn leaf(&mut self) -> Result<()> {
        self.leaves += 1;
        if self.leaves > MOST_LEAVES {
            return Err(Error::bad_input(format!("A filter has at most {MOST_LEAVES} conditions.")));
        }
        Ok(())
    }

    /// `deleted` says which records a list shows as a whole; below the top it would promise what it cannot keep.
    pub fn deleted_at_top(&self, deleted: Option<DeletedRecords>) -> Result<()> {
        if deleted.is_some() && self.level > 0 {
            return Err(Error::bad_input("`deleted` stands at the top of a filter only."));
        }
        Ok(())
    }

    /// Goes one level down for as long as `inside` takes.
    pub fn nested<T>(&mut self, inside: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        if self.level >= MOST_LEVELS {
            return Err(Error::bad_input(format!("A filter nests at most {MOST_LEVELS} levels deep.")));
        }
        self.level += 1;
        let result = inside(self);
        self.level -= 1;
        result
    }
}

/// The filter of an entity.
pub trait Filter: InputType + Default {
    fn predicate(self, budget: &mut Budget) -> Result<Predicate>;
}

/// The operators of one kind of field.
pub trait Operators {
    fn conditions(self, column: &'static Column, into: &mut Vec<Predicate>, budget: &mut Budget) -> Result<()>;
}

/// `and`, `or` and `not` of an entity's filter.
pub fn combine<F: Filter>(
    and: Option<Vec<F>>,
    or: Option<Vec<F>>,
    not: Option<Box<F>>,
    into: &mut Vec<Predicate>,
    budget: &mut Budget,
) -> Result<()> {
    let all = |parts: Vec<F>, budget: &mut Budget| -> Result<Vec<Predicate>> {
        budget.nested(|budget| {
            parts
                .into_iter()
                .map(|part| {
                    let before = budget.leaves;
                    let predicate = part.predicate(budget)?;
                    // A part without conditions counts, too, or there could be any number of them.
                    if budget.leaves == before {
                        budget.leaf()?;
                    }
                    Ok(predicate)
                })
                .collect()
        })
    };
    if let Some(parts) = and {
        into.push(Predicate::All(all(parts, budget)?));
    }
    if let Some(parts) = or {
        into.push(Predicate::Any(all(parts, budget)?));
    }
    if let Some(part) = not {
        into.push(Predicate::Not(Box::new(budget.nested(|budget| part.predicate(budget))?)));
    }
    Ok(())
}

/// Which records a list shows, as to deletion.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, async_graphql::Enum)]
pub enum DeletedRecords {
    /// Those that are not deleted.
    #[default]
    Exclude,
    /// Both.
    Include,
    /// Only those that are deleted and not yet purged.
    Only,
}

/// Each word stands in one of the columns.
pub fn search(words: &str, columns: &[&'static Column], into: &mut Vec<Predicate>, budget: &mut Budget) -> Result<()> {
    let words = text(words.to_owned())?;
    for (index, word) in words.split_whitespace().enumerate() {
        if index >= 8 {
            return Err(Error::bad_input("A search has at most 8 words."));
        }
        budget.leaf()?;
        let has_word = |column: &&'static Column| Predicate::Text(column, Place::Anywhere, word.to_owned());
        into.push(Predicate::Any(columns.iter().map(has_word).collect()));
    }
    Ok(())
}

fn list<T>(values: Vec<T>) -> Result<Vec<T>> {
    if values.len() > MOST_VALUES {
        return Err(Error::bad_input(format!("A list in a filter has at most {MOST_VALUES} values.")));
    }
    Ok(values)
}

fn text(value: String) -> Result<String> {
    if value.contains('\0') {
        return Err(Error::bad_input("A text in a filter may not contain the character NUL."));
    }
    if value.chars().count() > LONGEST_TEXT {
        return Err(Error::bad_input(format!("A text in a filter has at most {LONGEST_TEXT} characters.")));
    }
    // As texts are stored.
    Ok(if is_nfc(&value) { value } else { value.nfc().collect() })
}

fn texts(values: Vec<String>) -> Result<Vec<String>> {
    list(values)?.into_iter().map(text).collect()
}

/// Collects conditions on one column.
struct Conditions<'a> {
    column: &'static Column,
    into: &'a mut Vec<Predicate>,
    budget: &'a mut Budget,
}

impl Conditions<'_> {
    fn add(&mut self, predicate: Predicate) -> Result<()> {
        self.budget.leaf()?;
        self.into.push(predicate);
        Ok(())
    }

    fn compare(&mut self, compare: Compare, value: Option<Bind>) -> Result<()> {
        value.map_or(Ok(()), |value| self.add(Predicate::Compare(self.column, compare, value)))
    }

    fn any(&mut self, values: Option<Bind>) -> Result<()> {
        values.map_or(Ok(()), |values| self.add(Predicate::In(self.column, values)))
    }

    fn none(&mut self, values: Option<Bind>) -> Result<()> {
        values.map_or(Ok(()), |values| self.add(Predicate::Not(Box::new(Predicate::In(self.column, values)))))
    }

    fn is_null(&mut self, is_null: Option<bool>) -> Result<()> {
        match is_null {
            Some(true) => self.add(Predicate::IsNull(self.column)),
            Some(false) => self.add(Predicate::Not(Box::new(Predicate::IsNull(self.column)))),
            None => Ok(()),
        }
    }

    fn text(&mut self, place: Place, value: Option<String>) -> Result<()> {
        value.map_or(Ok(()), |value| self.add(Predicate::Text(self.column, place, text(value)?)))
    }
}
