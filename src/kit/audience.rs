//! Answers that many subscribers get alike: what the first of them is told of an event is executed and serialised
//! once, the others are handed the same bytes. Invariant: an answer is shared only where it cannot differ, between
//! subscriptions of one plan that are handed the very same event, of which only columns are selected.

use super::table::Table;
use crate::events::Event;
use async_graphql::SelectionField;
use bytes::Bytes;
use parking_lot::Mutex;
use quick_cache::{Weighter, sync::Cache};
use std::sync::{Arc, Weak};
use uuid::Uuid;

/// Memory for answers at most, in bytes: an event is told to all who are there within moments.
const MOST: u64 = 8 * 1024 * 1024;
/// What an answer takes beside its bytes, the event that it keeps the place of included.
const OVERHEAD: u64 = 384;

/// The event and the plan.
type Key = (Uuid, u64);
/// What was told of that event. Who reads the log later may be handed another event of the same id: by then the message
/// may be gone of which it tells.
type Answered = (Weak<Event>, Bytes);

#[derive(Clone)]
struct Weight;

impl Weighter<Key, Answered> for Weight {
    fn weight(&self, _: &Key, (_, body): &Answered) -> u64 {
        OVERHEAD.saturating_add(body.len() as u64)
    }
}

/// The answers of late, for all subscriptions. Cheap to clone.
#[derive(Clone)]
pub struct Answers(Arc<Cache<Key, Answered, Weight>>);

impl Default for Answers {
    fn default() -> Self {
        Answers(Arc::new(Cache::with_weighter(1024, MOST, Weight)))
    }
}

/// Who hears what others have been told.
#[derive(Clone)]
pub struct Listener {
    answers: Answers,
    plan: u64,
}

/// One subscription's part in it.
pub struct Audience {
    pub listener: Listener,
    /// The event that is being answered, where its answer is of use to others.
    pending: Mutex<Option<Arc<Event>>>,
}

impl Listener {
    /// What others were told of this very event.
    pub fn heard(&self, event: &Arc<Event>) -> Option<Bytes> {
        let (answered, body) = self.answers.0.get(&(event.id, self.plan))?;
        std::ptr::eq(answered.as_ptr(), Arc::as_ptr(event)).then_some(body)
    }
}

impl Audience {
    pub fn new(answers: Answers, plan: u64) -> Self {
        Audience { listener: Listener { answers, plan }, pending: Mutex::default() }
    }

    /// The next answer is of this event, and for all.
    pub fn expect(&self, event: Arc<Event>) {
        *self.pending.lock() = Some(event);
    }

    /// What this subscription is told, where nothing went wrong.
    pub fn tell(&self, body: Option<&Bytes>) {
        if let Some(event) = self.pending.lock().take()
            && let Some(body) = body
        {
            let Listener { answers, plan } = &self.listener;
            answers.0.insert((event.id, *plan), (Arc::downgrade(&event), body.clone()));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::{Change, StreamKind};

    fn event() -> Arc<Event> {
        let change = Change {
            stream: Uuid::now_v7(),
            stream_kind: StreamKind::Records,
            kind: "created",
            entity: "Lead",
            entity_id: Uuid::now_v7(),
            payload: serde_json::json!({}).into(),
        };
        change.stored(Uuid::now_v7(), 1, chrono::Utc::now(), Uuid::now_v7(), None, None)
    }

    #[test]
    fn an_answer_is_kept_for_the_same_event_and_plan() {
        let answers = Answers::default();
        let (one, same, other) =
            (Audience::new(answers.clone(), 1), Audience::new(answers.clone(), 1), Audience::new(answers, 2));
        let told = event();
        assert!(one.listener.heard(&told).is_none());
        one.expect(told.clone());
        one.tell(Some(&Bytes::from_static(b"{}")));
        assert_eq!(same.listener.heard(&told).as_deref(), Some(&b"{}"[..]));
        assert!(other.listener.heard(&told).is_none() && same.listener.heard(&event()).is_none());
        // As the log has it by now.
        assert!(same.listener.heard(&Arc::new(Event::clone(&told))).is_none());
    }

    #[test]
    fn what_went_wrong_or_nobody_waits_for_is_not_kept() {
        let answers = Answers::default();
        let (one, same) = (Audience::new(answers.clone(), 1), Audience::new(answers, 1));
        let told = event();
        one.expect(told.clone());
        one.tell(None);
        // Not about this event any more.
        one.tell(Some(&Bytes::from_static(b"{}")));
        assert!(same.listener.heard(&told).is_none());
    }
}
