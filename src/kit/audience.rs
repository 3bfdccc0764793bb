//! Answers that many subscribers get alike: what the first of them is told of an event is executed and serialised
//! once, the others are handed the same bytes. Invariant: an answer is shared only where it cannot differ, between
//! subscriptions of one plan, about one event, of which only columns are selected; whether a subscriber sees the event
//! at all is asked for each of them before.

use super::table::Table;
use async_graphql::{
    ContextSelectionSet, OutputType, Positioned, SelectionField, ServerResult, Value, parser::types::Field,
    registry::Registry,
};
use bytes::Bytes;
use parking_lot::Mutex;
use quick_cache::{Weighter, sync::Cache};
use std::{borrow::Cow, sync::Arc};
use uuid::Uuid;

/// Memory for answers at most, in bytes: an event is told to all who are there within moments.
const MOST: u64 = 8 * 1024 * 1024;
/// What an answer takes beside its bytes.
const OVERHEAD: u64 = 128;

/// The event and the plan.
type Key = (Uuid, u64);

#[derive(Clone)]
struct Weight;

impl Weighter<Key, Bytes> for Weight {
    fn weight(&self, _: &Key, body: &Bytes) -> u64 {
        OVERHEAD.saturating_add(body.len() as u64)
    }
}

/// The answers of late, for all subscriptions. Cheap to clone.
#[derive(Clone)]
pub struct Answers(Arc<Cache<Key, Bytes, Weight>>);

impl Default for Answers {
    fn default() -> Self {
        Answers(Arc::new(Cache::with_weighter(1024, MOST, Weight)))
    }
}

/// One subscription's part in it.
pub struct Audience {
    answers: Answers,
    plan: u64,
    /// The event that is being answered, where its answer is of use to others.
    pending: Mutex<Option<Uuid>>,
}

impl Audience {
    pub fn new(answers: Answers, plan: u64) -> Self {
        Audience { answers, plan, pending: Mutex::default() }
    }

    /// What others were told of an event; otherwise what is told now is for them.
    pub fn heard(&self, event: Uuid) -> Option<Bytes> {
        let known = self.answers.0.get(&(event, self.plan));
        *self.pending.lock() = known.is_none().then_some(event);
        known
    }

    /// What this subscription is told, where nothing went wrong.
    pub fn tell(&self, body: Option<&Bytes>) {
        if let Some(event) = self.pending.lock().take()
            && let Some(body) = body
        {
            self.answers.0.insert((event, self.plan), body.clone());
        }
    }
}

/// Whether nothing but columns is selected below the field of that name: they are the same whoever asks, save for an object
/// in a column, which may lead to records.
pub fn only_columns(selections: &[SelectionField<'_>], name: &str, table: &Table) -> bool {
    let is_column = |name: &str| table.columns.iter().any(|column| column.field == name && !column.unshown);
    let is_plain = |field: SelectionField<'_>| {
        field.name() == "__typename" || is_column(field.name()) && field.selection_set().next().is_none()
    };
    selections.iter().filter(|field| field.name() == name).all(|field| field.selection_set().all(is_plain))
}

/// An item of a feed.
pub enum Told<T> {
    /// To be executed.
    Anew(T),
    /// The whole answer, as others have got it.
    Again(Bytes),
}

impl<T: OutputType> OutputType for Told<T> {
    fn type_name() -> Cow<'static, str> {
        T::type_name()
    }

    fn create_type_info(registry: &mut Registry) -> String {
        T::create_type_info(registry)
    }

    async fn resolve(&self, ctx: &ContextSelectionSet<'_>, field: &Positioned<Field>) -> ServerResult<Value> {
        match self {
            Told::Anew(item) => item.resolve(ctx, field).await,
            // No scalar of the schema is binary: see `again`.
            Told::Again(body) => Ok(Value::Binary(body.clone())),
        }
    }
}

/// The answer in the data that the executor made of `Told::Again`.
pub fn again(data: &Value) -> Option<Bytes> {
    match data {
        Value::Object(fields) if fields.len() == 1 => match fields.values().next() {
            Some(Value::Binary(body)) => Some(body.clone()),
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_kept_for_the_same_event_and_plan() {
        let answers = Answers::default();
        let (one, same, other) =
            (Audience::new(answers.clone(), 1), Audience::new(answers.clone(), 1), Audience::new(answers, 2));
        let event = Uuid::now_v7();
        assert!(one.heard(event).is_none());
        one.tell(Some(&Bytes::from_static(b"{}")));
        assert_eq!(same.heard(event).as_deref(), Some(&b"{}"[..]));
        assert!(other.heard(event).is_none() && same.heard(Uuid::now_v7()).is_none());
    }

    #[test]
    fn what_went_wrong_or_was_heard_is_not_kept() {
        let answers = Answers::default();
        let (one, same) = (Audience::new(answers.clone(), 1), Audience::new(answers, 1));
        let event = Uuid::now_v7();
        assert!(one.heard(event).is_none());
        one.tell(None);
        // Not about this event any more.
        one.tell(Some(&Bytes::from_static(b"{}")));
        assert!(same.heard(event).is_none());
    }
}
