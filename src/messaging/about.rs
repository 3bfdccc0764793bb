//! What a conversation of the kind RECORD is about, and how it is found from there. Invariant: neither opens the other: `about`
//! is null for who may not read the record, and who may read it learns of the conversation no more than it takes to join.

use super::conversation::Conversation;
use crate::{
    crm::{account::Account, contact::Contact, feed::Record, lead::Lead},
    error::Result,
    kit::{
        entity::Entity,
        id::Id,
        permission::{Action, Resource},
        relation::{ListKey, or_null, preload_one, to_one},
        resolve::scope,
        scalars::DateTime,
        scope::Scope,
        sql::Sql,
        table::{Column, Table},
        value::Bind,
        write::{self, Tx},
    },
};
use async_graphql::{ComplexObject, Context, OneofObject, SelectionField, SimpleObject};
use chrono::Utc;
use diesel::{QueryableByName, sql_types};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use futures_util::try_join;
use std::{collections::HashMap, sync::Arc};
use uuid::Uuid;

/// A kind of record that conversations can be about.
pub trait Subject: Entity {
    /// Of the conversation: what names the record.
    const COLUMN: &'static Column;
}

macro_rules! subjects {
    ($($(#[$doc:meta])* $entity:ident as $variant:ident, $column:ident = $constant:ident;)*) => {
        /// The record that a conversation is about.
        #[derive(Clone, Copy, Debug, OneofObject)]
        #[graphql(name = "ConversationAboutInput")]
        pub enum About {
            $($(#[$doc])* $variant(Id<$entity>)),*
        }

        impl About {
            /// None: no record, or one that was purged.
            pub fn of(conversation: &Conversation) -> Option<Self> {
                None$(.or(conversation.$column.map(Self::$variant)))*
            }

            /// Makes a conversation be about it.
            pub fn set(self, conversation: &mut Conversation) {
                match self {
                    $(Self::$variant(id) => conversation.$column = Some(id),)*
                }
            }

            /// Where the record is, what names it in conversations, and its id.
            fn place(self) -> (&'static Table, &'static Column, Uuid) {
                match self {
                    $(Self::$variant(id) => ($entity::table(), $entity::COLUMN, id.0),)*
                }
            }

            async fn record(self, ctx: &Context<'_>) -> Option<Record> {
                match self {
                    $(Self::$variant(id) => to_one::<$entity>(ctx, Some(id.0)).await.map(Record::$entity),)*
                }
            }
        }

        $(impl Subject for $entity {
            const COLUMN: &'static Column = Conversation::$constant;
        })*

        impl Concern<'_, Conversation> {
            /// Fetches ahead what a page of conversations is about.
            pub async fn ahead(
                scope: &Scope,
                conn: &AsyncPgConnection,
                rows: &[Arc<Conversation>],
                selections: &[SelectionField<'_>],
            ) -> Result<()> {
                try_join!($(preload_one::<$entity>(
                    scope, conn, selections, "about", rows.iter().filter_map(|row| row.$column.map(|id| id.0)),
                )),*)?;
                Ok(())
            }
        }
    };
}

subjects! {
    /// An account.
    Account as AccountId, account_id = ACCOUNT_ID;
    /// A contact.
    Contact as ContactId, contact_id = CONTACT_ID;
    /// A lead.
    Lead as LeadId, lead_id = LEAD_ID;
}

impl About {
    /// Where in an input it stands.
    pub fn field(self) -> String {
        let (_, column, _) = self.place();
        format!("about.{}", column.field)
    }

    /// Whether the caller may read it, and so open and join the conversation about it.
    pub async fn is_readable(self, tx: &mut Tx) -> Result<bool> {
        let (table, _, id) = self.place();
        write::exists(tx, table, id).await
    }

    /// Pushes ` AND …`: that the conversation `t0` is about it.
    pub fn push_named(self, sql: &mut Sql) {
        let (_, column, id) = self.place();
        sql.push(" AND ").column("t0", column).push(" = ").bind(Bind::Uuid(Some(id)));
    }
}

/// What a conversation is about, as a field of it.
pub struct Concern<'a, E>(pub &'a E);

#[ComplexObject]
impl Concern<'_, Conversation> {
    /// The record that a RECORD conversation is about. Null: it is of another kind, the record was deleted, or you may not
    /// read it, which does not keep you from the conversation that you are in.
    async fn about(&self, ctx: &Context<'_>) -> Option<Record> {
        About::of(self.0)?.record(ctx).await
    }
}

/// The conversation about a record: what is known of it to whoever may read the record.
#[derive(Clone, Debug, SimpleObject)]
#[graphql(complex)]
pub struct RecordConversation {
    /// Its id; give it to `conversationJoin` if you are not in it.
    pub id: Id<Conversation>,
    /// How many members are in it.
    pub member_count: i64,
    /// Whether you are.
    pub joined: bool,
    /// When it was put away, so that nobody joins it any more; null: it was not.
    pub archived_at: Option<DateTime>,
}

#[ComplexObject]
impl RecordConversation {
    /// The conversation itself; null: you are not in it.
    async fn conversation(&self, ctx: &Context<'_>) -> Option<Arc<Conversation>> {
        to_one::<Conversation>(ctx, self.joined.then_some(self.id.0)).await
    }
}

/// The conversation about a record, as a field of the record.
pub struct Discussed<'a, E>(pub &'a E);

const FIELD: &str = "conversation";

#[ComplexObject]
impl<E: Subject> Discussed<'_, E> {
    /// The conversation about this record; null: nobody has opened it yet (`conversationCreate` with `about` does), or you may
    /// not read conversations.
    async fn conversation(&self, ctx: &Context<'_>) -> Option<RecordConversation> {
        or_null(ctx, async {
            let (scope, id) = (scope(ctx)?, self.0.id());
            if let Some(ahead) = scope.loads.list::<Option<RecordConversation>>(&key::<E>(id)) {
                return Ok(ahead.as_ref().clone());
            }
            Ok(read::<E>(scope, &*scope.reader().await?, vec![id]).await?.remove(&id))
        })
        .await
    }
}

impl<E: Subject> Discussed<'_, E> {
    /// Fetches ahead the conversations about a page of records.
    pub async fn ahead(
        scope: &Scope,
        conn: &AsyncPgConnection,
        rows: &[Arc<E>],
        selections: &[SelectionField<'_>],
    ) -> Result<()> {
        let fields: Vec<_> = selections.iter().filter(|field| field.name() == FIELD).collect();
        if fields.is_empty() {
            return Ok(());
        }
        let records: Vec<Uuid> = rows.iter().map(|row| row.id()).collect();
        let found = read::<E>(scope, conn, records.clone()).await?;
        let below: Vec<_> = fields.iter().flat_map(|field| field.selection_set()).collect();
        let joined: Vec<Uuid> = found.values().filter(|found| found.joined).map(|found| found.id.0).collect();
        preload_one::<Conversation>(scope, conn, &below, FIELD, joined.into_iter()).await?;
        scope.loads.put_each(records, key::<E>, found);
        Ok(())
    }
}

/// Where what was fetched ahead is kept.
fn key<E: Subject>(record: Uuid) -> ListKey {
    (record, E::table().name, FIELD, String::new())
}

#[derive(QueryableByName)]
struct Found {
    #[diesel(sql_type = sql_types::Uuid)]
    record: Uuid,
    #[diesel(sql_type = sql_types::Uuid)]
    id: Uuid,
    #[diesel(sql_type = sql_types::Nullable<sql_types::Timestamptz>)]
    archived_at: Option<chrono::DateTime<Utc>>,
    #[diesel(sql_type = sql_types::BigInt)]
    members: i64,
    #[diesel(sql_type = sql_types::Bool)]
    joined: bool,
}

/// By record. The caller may read the records.
async fn read<E: Subject>(
    scope: &Scope,
    mut conn: &AsyncPgConnection,
    records: Vec<Uuid>,
) -> Result<HashMap<Uuid, RecordConversation>> {
    if scope.actor.may(Resource::Conversation, Action::Read).is_none() {
        return Ok(HashMap::new());
    }
    let mut sql = Sql::new("SELECT ");
    sql.column("c", E::COLUMN).push(
        " AS record, c.id, c.archived_at, p.members, p.joined FROM conversations c
          CROSS JOIN LATERAL (SELECT count(*) AS members, coalesce(bool_or(p.member_id = ",
    );
    sql.bind(Bind::Uuid(Some(scope.actor.member))).push(
        "), false) AS joined FROM participants p WHERE p.organization_id = c.organization_id AND p.conversation_id = c.id
            AND p.left_at IS NULL) p WHERE c.organization_id = ",
    );
    sql.bind(Bind::Uuid(Some(scope.actor.organization))).push(" AND ").column("c", E::COLUMN).push(" = ANY(");
    sql.bind(Bind::Uuids(records)).push(")");
    let found: Vec<Found> = sql.load(&mut conn).await?;
    let conversations = found.into_iter().map(|found| {
        let archived_at = found.archived_at.map(DateTime);
        let (id, member_count, joined) = (found.id.into(), found.members, found.joined);
        (found.record, RecordConversation { id, member_count, joined, archived_at })
    });
    Ok(conversations.collect())
}
