//! What leaves the log: events that are older than it is kept, from the beginning of each stream, and what removed messages
//! said. Invariant: a stream's floor moves in the transaction in which its events go, so that no cursor skips what is gone; its newest event
//! stays, and so does all that the audit trail and histories tell. Both ways are SQL functions (`functions/400_forget_events.sql`):
//! the role of requests may change nothing else.

use crate::error::Result;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use uuid::Uuid;

/// The kind of the event that tells that messages of its stream are gone.
pub const MESSAGES_EXPIRED: &str = "messages_expired";

/// The kind of the event that tells that a message says nothing any more.
pub const MESSAGE_DELETED: &str = "message_deleted";

/// Events that a floor is moved past in one transaction, during which nobody writes to the stream.
const BATCH: i32 = 1000;

/// Moves a stream's floor past its oldest events, as far as they are older than so many days. Whether there may be more.
pub async fn trim(conn: &mut AsyncPgConnection, stream: Uuid, days: u16) -> Result<bool> {
    let moved: i32 = diesel::select(sql::trim_stream(stream, i32::from(days), BATCH)).get_result(conn).await?;
    Ok(moved >= BATCH)
}

/// Takes from the log what these messages of a conversation said, as far as they do not say it any more themselves. To be told by
/// `MESSAGES_EXPIRED`, or of each by `MESSAGE_DELETED`, in the same transaction: nodes then forget what they have in memory.
pub async fn forget_bodies(conn: &mut AsyncPgConnection, conversation: Uuid, messages: Vec<Uuid>) -> Result<()> {
    diesel::select(sql::forget_bodies(conversation, messages)).get_result::<i32>(conn).await?;
    Ok(())
}

mod sql {
    use diesel::sql_types::{Array, Integer, Uuid as SqlUuid};

    diesel::define_sql_function! {
        /// See `functions/400_forget_events.sql`.
        fn trim_stream(of_stream: SqlUuid, days: Integer, most: Integer) -> Integer;
    }

    diesel::define_sql_function! {
        /// See `functions/400_forget_events.sql`.
        fn forget_bodies(of_stream: SqlUuid, messages_gone: Array<SqlUuid>) -> Integer;
    }
}
