//! The other member of a direct conversation. Invariant: those of a whole page cost one query.

use super::gather::gathered;
use crate::{
    error::{Error, Result},
    kit::{scope::Scope, sql::Sql, value::Bind},
};
use async_graphql::dataloader::Loader;
use diesel::{QueryableByName, sql_types};
use diesel_async::RunQueryDsl;
use std::collections::HashMap;
use uuid::Uuid;

/// Who the caller talks with in a direct conversation of theirs.
pub async fn of(scope: &Scope, conversation: Uuid) -> Result<Option<Uuid>> {
    gathered(scope, conversation, |scope| Partners { scope }).await
}

struct Partners {
    scope: Scope,
}

#[derive(QueryableByName)]
struct Partner {
    #[diesel(sql_type = sql_types::Uuid)]
    conversation_id: Uuid,
    #[diesel(sql_type = sql_types::Uuid)]
    member_id: Uuid,
}

impl Loader<Uuid> for Partners {
    type Value = Option<Uuid>;
    type Error = Error;

    async fn load(&self, conversations: &[Uuid]) -> Result<HashMap<Uuid, Option<Uuid>>> {
        let actor = &self.scope.actor;
        let mut sql = Sql::new("SELECT conversation_id, member_id FROM participants WHERE organization_id = ");
        sql.bind(Bind::Uuid(Some(actor.organization))).push(" AND member_id <> ").bind(Bind::Uuid(Some(actor.member)));
        sql.push(" AND conversation_id = ANY(").bind(Bind::Uuids(conversations.to_vec())).push(")");
        let found: Vec<Partner> = sql.load(&mut &*self.scope.reader().await?).await?;
        Ok(found.into_iter().map(|partner| (partner.conversation_id, Some(partner.member_id))).collect())
    }
}
