//! When something last happened in a conversation, as lists are ordered by it. Invariant: it is computed in the row
//! (`functions/210_conversation_activity.sql`), so that nothing has to be kept in step.

use crate::kit::{
    scalars::DateTime,
    value::{Bind, Kind, Value},
};
use diesel::{deserialize, pg::PgValue};

/// A column that is computed when it is read. As a field, `Conversation.activeAt` says the same of what it shows.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Activity(Option<DateTime>);

impl Value for Activity {
    const KIND: Kind = Kind::Time;
    const COMPUTED: bool = true;

    fn read(raw: Option<PgValue<'_>>) -> deserialize::Result<Self> {
        Ok(Activity(Some(DateTime::read(raw)?)))
    }

    fn bind(&self) -> Bind {
        Bind::Time(self.0.map(|at| at.0))
    }
}
