//! Scheduled replies to a message that goes for good, its time being over. Invariant: their author keeps what they wrote, hears
//! that it will not be sent, and it is never said outside of its thread.

use super::{ScheduledMessageStatus, changed};
use crate::{
    error::Result, events::Change, kit::user_error::UserErrorCode, platform::database::Transaction,
    schema::scheduled_messages,
};
use async_graphql::resolver_utils::enum_value;
use chrono::{DateTime, Utc};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use uuid::Uuid;

/// Fails what waits to be said in reply to messages that are about to go, and are locked; what its authors are told. Such a reply
/// names its message no more, nor does one that has failed before.
pub async fn bereave(tx: &mut Transaction, organization: Uuid, of: &[Uuid]) -> Result<Vec<Change>> {
    use scheduled_messages as s;
    let replies = || s::table.filter(s::organization_id.eq(organization)).filter(s::thread_root_id.eq_any(of));
    let why = "The message that it replies to is not kept any more.";
    diesel::update(replies().filter(s::status.eq(ScheduledMessageStatus::Pending.word())))
        .set((
            s::status.eq(ScheduledMessageStatus::Failed.word()),
            s::failure_code.eq(enum_value(UserErrorCode::NotFound).to_string()),
            s::failure_message.eq(why),
            // Whoever sends it at this moment waits for the conversation, and will find that the message is gone.
            s::sending_since.eq(None::<DateTime<Utc>>),
        ))
        .execute(&mut **tx)
        .await?;
    let told: Vec<(Uuid, Uuid)> = diesel::update(replies())
        .set((s::thread_root_id.eq(None::<Uuid>), s::version.eq(s::version + 1), s::updated_at.eq(Utc::now())))
        .returning((s::created_by, s::id))
        .get_results(&mut **tx)
        .await?;
    Ok(told.into_iter().map(|(author, id)| changed(author, id)).collect())
}
