//! Writes: check, then rows, then one event per changed record, then commit. Invariant: a change and its event
//! are stored together or not at all, and nobody hears of a change that was not committed.

mod mutation;
mod record;
mod transaction;

pub use mutation::{BulkErrorPolicy, MOST_ITEMS, Outcome, bulk, one};
pub use record::{change, create, delete, exists, insert, lock, purge, replace, restore, tell, update};
pub use transaction::{Rejection, Stop, Tx};

use super::{
    rules::Rules,
    scalars::DateTime,
    scope::Scope,
    table::Table,
    user_error::{UserErrorCode, UserErrors},
};
use async_graphql::{InputType, MaybeUndefined};
use uuid::Uuid;

/// What `#[entity]` writes for entities that can be created and changed.
pub trait Writable: Rules {
    type Create: InputType;
    type Update: InputType;

    /// The client's own id for a new record.
    fn id_of(input: &Self::Create) -> Option<Uuid>;
    /// The id and the version that an update expects.
    fn target_of(input: &Self::Update) -> (Uuid, Option<i32>);
    /// A new record; what the input leaves out has its default.
    fn create(scope: &Scope, id: Uuid, now: DateTime, input: Self::Create) -> Self;
    /// Applies an update; tells of null where there must be a value.
    fn update(&mut self, input: Self::Update, errors: &mut UserErrors);
    /// Puts all fields into their stored form and tells what is wrong with them.
    fn tidy(&mut self, errors: &mut UserErrors);
    /// Its references: the field, the table referred to, the id.
    fn references(&self) -> Vec<(&'static str, &'static Table, Option<Uuid>)>;
    fn touch(&mut self, version: i32, at: DateTime);
    fn mark_deleted(&mut self, at: Option<DateTime>, by: Option<Uuid>);
}

/// Leaves out: it stays. Null: it is cleared.
pub fn patch<T>(field: &mut Option<T>, input: MaybeUndefined<T>) {
    match input {
        MaybeUndefined::Undefined => {}
        MaybeUndefined::Null => *field = None,
        MaybeUndefined::Value(value) => *field = Some(value),
    }
}

/// As `patch`, of a field that must have a value.
pub fn patch_required<T>(field: &mut T, input: MaybeUndefined<T>, name: &str, errors: &mut UserErrors) {
    match input {
        MaybeUndefined::Undefined => {}
        MaybeUndefined::Null => errors.add(name, UserErrorCode::Required, "This cannot be null."),
        MaybeUndefined::Value(value) => *field = value,
    }
}
