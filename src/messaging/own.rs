//! What a conversation is to the member who looks at it: what is new to them, and what they have set. Invariant: unread is
//! the newest message less the last one that they have read or sent, or that is gone because its time was over, so that there is
//! no count that could drift; nobody sees this of somebody else, and a page of conversations costs one query for all of them.

use super::{
    conversation::Conversation,
    settings::{ConversationSettings, NotificationLevel},
};
use crate::{
    error::Result,
    kit::{
        filter::{Budget, Filter},
        predicate::Predicate,
        relation::{ListKey, or_null},
        resolve::scope,
        scalars::DateTime,
        scope::{Actor, Scope},
        sql::Sql,
        value::Bind,
    },
};
use async_graphql::{ComplexObject, Context, InputObject, SelectionField};
use chrono::Utc;
use diesel::{QueryableByName, sql_types};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use std::{collections::HashMap, sync::Arc};
use uuid::Uuid;

/// The fields of a conversation that are about the caller.
pub struct Own<'a, E>(pub &'a E);

const FIELDS: [&str; 3] = ["unreadCount", "firstUnreadSeq", "settings"];

/// The caller in a conversation.
#[derive(Clone, Debug, QueryableByName)]
pub struct Standing {
    #[diesel(sql_type = sql_types::Uuid)]
    conversation_id: Uuid,
    #[diesel(sql_type = sql_types::BigInt)]
    read_seq: i64,
    #[diesel(sql_type = sql_types::Bool)]
    pinned: bool,
    #[diesel(sql_type = sql_types::Nullable<sql_types::Timestamptz>)]
    muted_until: Option<chrono::DateTime<Utc>>,
    #[diesel(sql_type = sql_types::Text)]
    notification_level: String,
    #[diesel(sql_type = sql_types::Nullable<sql_types::Text>)]
    draft: Option<String>,
}

impl Standing {
    pub fn settings(self) -> ConversationSettings {
        ConversationSettings {
            pinned: self.pinned,
            muted_until: self.muted_until.map(DateTime),
            notification_level: NotificationLevel::of(&self.notification_level),
            draft: self.draft,
        }
    }
}

#[ComplexObject]
impl Own<'_, Conversation> {
    /// How many messages are new to you: those behind the last one that you have read or sent. SYSTEM messages count as others do,
    /// those that tell what you did yourself as sent by you. Null: you are not in it.
    async fn unread_count(&self, ctx: &Context<'_>) -> Option<i64> {
        self.standing(ctx).await.map(|own| self.unread(&own))
    }

    /// The number of the first message that is new to you; null: none is.
    async fn first_unread_seq(&self, ctx: &Context<'_>) -> Option<i64> {
        let own = self.standing(ctx).await?;
        (self.unread(&own) > 0).then(|| self.seen(&own).saturating_add(1))
    }

    /// What you have set for it; null: you are not in it.
    async fn settings(&self, ctx: &Context<'_>) -> Option<ConversationSettings> {
        self.standing(ctx).await.map(Standing::settings)
    }
}

impl Own<'_, Conversation> {
    /// By the conversation as it was read, not as it is by now: its events go on from there.
    fn unread(&self, own: &Standing) -> i64 {
        self.0.last_seq.saturating_sub(self.seen(own)).max(0)
    }

    /// Up to where nothing is new.
    fn seen(&self, own: &Standing) -> i64 {
        own.read_seq.max(self.0.expired_seq)
    }

    async fn standing(&self, ctx: &Context<'_>) -> Option<Standing> {
        or_null(ctx, async {
            let (scope, id) = (scope(ctx)?, self.0.id.0);
            if let Some(ahead) = scope.loads.list::<Option<Standing>>(&key(id)) {
                return Ok(ahead.as_ref().clone());
            }
            Ok(read(scope, &*scope.reader().await?, vec![id]).await?.remove(&id))
        })
        .await
    }

    /// Fetches ahead what a page of conversations shows of the caller.
    pub async fn ahead(
        scope: &Scope,
        conn: &AsyncPgConnection,
        rows: &[Arc<Conversation>],
        selections: &[SelectionField<'_>],
    ) -> Result<()> {
        if !selections.iter().any(|field| FIELDS.contains(&field.name())) {
            return Ok(());
        }
        let ids: Vec<Uuid> = rows.iter().map(|row| row.id.0).collect();
        let found = read(scope, conn, ids.clone()).await?;
        scope.loads.put_each(ids, key, found);
        Ok(())
    }
}

/// Where what was fetched ahead is kept.
fn key(conversation: Uuid) -> ListKey {
    (conversation, "participants", "own", String::new())
}

/// The caller in these conversations.
pub fn standing_of(scope: &Scope, conversations: Bind) -> Sql {
    let mut sql = Sql::new(
        "SELECT conversation_id, read_seq, pinned, muted_until, notification_level, draft FROM participants
         WHERE left_at IS NULL AND organization_id = ",
    );
    sql.bind(Bind::Uuid(Some(scope.actor.organization))).push(" AND member_id = ");
    sql.bind(Bind::Uuid(Some(scope.actor.member))).push(" AND conversation_id = ANY(").bind(conversations).push(")");
    sql
}

async fn read(
    scope: &Scope,
    mut conn: &AsyncPgConnection,
    conversations: Vec<Uuid>,
) -> Result<HashMap<Uuid, Standing>> {
    let found: Vec<Standing> = standing_of(scope, Bind::Uuids(conversations)).load(&mut conn).await?;
    Ok(found.into_iter().map(|own| (own.conversation_id, own)).collect())
}

/// Conditions on what a conversation is to you.
#[derive(Clone, Debug, Default, InputObject)]
pub struct OwnConversationFilter {
    /// True: with messages that are new to you; false: without.
    pub unread: Option<bool>,
    /// Whether you have pinned it. `inbox` shows those before the others.
    pub pinned: Option<bool>,
    /// Whether it is muted for you now.
    pub muted: Option<bool>,
}

impl Filter for OwnConversationFilter {
    fn predicate(self, budget: &mut Budget) -> Result<Predicate> {
        type Condition = fn(&Actor, &mut Sql, &'static str);
        let conditions: [(Option<bool>, Condition); 3] = [
            (self.unread, |actor, sql, alias| {
                own(actor, sql, alias).push(" AND greatest(p.read_seq, ").push(alias);
                sql.push(".expired_seq) < ").push(alias).push(".last_seq)");
            }),
            (self.pinned, pinned),
            (self.muted, |actor, sql, alias| {
                own(actor, sql, alias).push(" AND p.muted_until > now())");
            }),
        ];
        let mut all = Vec::new();
        for (wanted, condition) in conditions {
            let Some(wanted) = wanted else { continue };
            budget.leaf()?;
            let is = Predicate::Viewer(condition);
            all.push(if wanted { is } else { Predicate::Not(Box::new(is)) });
        }
        Ok(Predicate::All(all))
    }
}

/// Pushes that the caller has pinned the conversation `alias`.
pub fn pinned(actor: &Actor, sql: &mut Sql, alias: &'static str) {
    own(actor, sql, alias).push(" AND p.pinned)");
}

/// Pushes that the caller is in the conversation `alias` and has not pinned it.
pub fn unpinned(actor: &Actor, sql: &mut Sql, alias: &'static str) {
    own(actor, sql, alias).push(" AND NOT p.pinned)");
}

/// Pushes that the caller is in the conversation `alias`, as `p`; what else must hold of them there follows, and the end
/// of the bracket.
fn own<'a>(actor: &Actor, sql: &'a mut Sql, alias: &'static str) -> &'a mut Sql {
    sql.push("EXISTS (SELECT 1 FROM participants p WHERE p.organization_id = ").push(alias);
    sql.push(".organization_id AND p.conversation_id = ").push(alias).push(".id AND p.member_id = ");
    sql.bind(Bind::Uuid(Some(actor.member))).push(" AND p.left_at IS NULL")
}
