//! Scheduled replies to messages that are about to be removed for good. Invariant: what somebody has written does not go with
//! what it replies to: it fails, as it would at its time, and its author keeps the text.

use super::changed;
use crate::{
    error::Result,
    events::Change,
    kit::{scalars::DateTime, sql::Sql, value::Bind},
    platform::database::Transaction,
};
use diesel::{QueryableByName, sql_types};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

#[derive(QueryableByName)]
struct Failed {
    #[diesel(sql_type = sql_types::Uuid)]
    id: Uuid,
    #[diesel(sql_type = sql_types::Uuid)]
    created_by: Uuid,
}

/// Lets those that would reply to these messages fail, and takes the messages from those that have; what their authors are to
/// be told in the same transaction. Nobody sends into the conversation meanwhile.
pub async fn fail_replies(tx: &mut Transaction, organization: Uuid, roots: &[Uuid]) -> Result<Vec<Change>> {
    let mut sql = Sql::new(
        "UPDATE scheduled_messages SET status = 'failed', thread_root_id = NULL, sending_since = NULL, version = version + 1,
           failure_code = coalesce(failure_code, 'NOT_FOUND'), updated_at = ",
    );
    sql.bind(Bind::Time(Some(DateTime::now().0))).push(
        ", failure_message = coalesce(failure_message, 'There is no such message.')
         WHERE status IN ('pending', 'failed') AND organization_id = ",
    );
    sql.bind(Bind::Uuid(Some(organization))).push(" AND thread_root_id = ANY(").bind(Bind::Uuids(roots.to_vec()));
    sql.push(") RETURNING id, created_by");
    let failed: Vec<Failed> = sql.load(&mut **tx).await?;
    Ok(failed.into_iter().map(|failed| changed(failed.created_by, failed.id)).collect())
}
