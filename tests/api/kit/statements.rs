//! The statements that an organization's requests run, so that a test can hold how many there are.

use diesel::connection::{Instrumentation, InstrumentationEvent, set_default_instrumentation};
use parking_lot::Mutex;
use std::{collections::HashMap, sync::LazyLock};
use uuid::Uuid;

static WATCHED: LazyLock<Mutex<HashMap<Uuid, Vec<String>>>> = LazyLock::new(Default::default);

struct Watch;

impl Instrumentation for Watch {
    fn on_connection_event(&mut self, event: InstrumentationEvent<'_>) {
        let InstrumentationEvent::StartQuery { query, .. } = event else { return };
        let mut watched = WATCHED.lock();
        if watched.is_empty() {
            return;
        }
        // With its values: a statement about a tenant names the organization.
        let statement = query.to_string();
        for (organization, statements) in watched.iter_mut() {
            if statement.contains(&organization.to_string()) {
                statements.push(statement.clone());
            }
        }
    }
}

/// Lets connections that are opened from now on be watched.
pub fn watch() {
    set_default_instrumentation(|| Some(Box::new(Watch))).expect("the first to watch");
}

/// The statements about an organization that run during `work`.
pub async fn during(organization: Uuid, work: impl Future) -> Vec<String> {
    WATCHED.lock().insert(organization, Vec::new());
    work.await;
    WATCHED.lock().remove(&organization).unwrap_or_default()
}
