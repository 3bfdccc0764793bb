//! Conditions on the records that refer to one, or that it refers to. Invariant: a record that the caller may not see
//! makes no condition true.

use super::{Budget, Filter};
use crate::{
    error::Result,
    kit::{entity::Entity, predicate::Predicate, table::Column},
};

/// There is a visible record of `E` with `there` equal to this record's `here` that fits.
pub fn related<E: Entity>(
    here: &'static Column,
    there: &'static str,
    filter: E::Filter,
    budget: &mut Budget,
) -> Result<Predicate> {
    budget.leaf()?;
    let fits = Box::new(budget.nested(|budget| filter.predicate(budget))?);
    Ok(Predicate::Related { table: E::table(), here, there, fits })
}

/// What the filter of a list of records may say: `some`, `every`, `none`.
pub type ListOperators<F> = (Option<F>, Option<F>, Option<F>);

/// `some`, `every` and `none` of the records of `E` whose `there` names this one.
pub fn related_list<E: Entity>(
    here: &'static Column,
    there: &'static str,
    (some, every, none): ListOperators<E::Filter>,
    into: &mut Vec<Predicate>,
    budget: &mut Budget,
) -> Result<()> {
    if let Some(filter) = some {
        into.push(related::<E>(here, there, filter, budget)?);
    }
    if let Some(filter) = none {
        into.push(Predicate::Not(Box::new(related::<E>(here, there, filter, budget)?)));
    }
    if let Some(filter) = every {
        budget.leaf()?;
        let fits = Predicate::Not(Box::new(budget.nested(|budget| filter.predicate(budget))?));
        let exception = Predicate::Related { table: E::table(), here, there, fits: Box::new(fits) };
        into.push(Predicate::Not(Box::new(exception)));
    }
    Ok(())
}
