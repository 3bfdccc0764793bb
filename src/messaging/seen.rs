//! Who has received and read a message, and when. Invariant: it follows from how far each participant has come and from
//! when they came there; nothing is stored for a message, and a page of messages costs one query for a field.

use super::{block, message::Message, position::Reached};
use crate::{
    error::{Error, Result},
    identity::Member,
    kit::{
        entity::Arguments,
        id::Id,
        relation::{ListKey, argument_key, or_null, preload_one, to_one},
        resolve::{scope, selections},
        scalars::DateTime,
        scope::Scope,
        sql::Sql,
        value::Bind,
    },
};
use async_graphql::{ComplexObject, Context, Enum, Name, SelectionField, SimpleObject, Value};
use chrono::Utc;
use diesel::{QueryableByName, sql_types};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use std::{collections::HashMap, sync::Arc};
use uuid::Uuid;

/// How far a message has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
pub enum MessageStatus {
    /// It is stored.
    Sent,
    /// It has reached a device of every other participant.
    Delivered,
    /// Every other participant has read it.
    Read,
}

/// That a message has reached somebody.
#[derive(Clone, Debug, SimpleObject)]
#[graphql(complex)]
pub struct MessageReceipt {
    /// The id of the member.
    pub member_id: Id<Member>,
    /// When it did; null: before such times were kept.
    pub at: Option<DateTime>,
}

#[ComplexObject]
impl MessageReceipt {
    /// The member; null when you may not see them.
    async fn member(&self, ctx: &Context<'_>) -> Option<Arc<Member>> {
        to_one::<Member>(ctx, Some(self.member_id.0)).await
    }
}

/// The fields of a message that tell of its recipients: those who are in the conversation now, other than its sender,
/// and were when it was sent.
pub struct Seen<'a, E>(pub &'a E);

#[ComplexObject]
impl Seen<'_, Message> {
    /// How far it has come, of those who can sign in; SENT where there is nobody else. Follows what all were told (`ReceiptsMoved`).
    async fn status(&self, ctx: &Context<'_>) -> Option<MessageStatus> {
        or_null(ctx, async {
            let (scope, id) = (scope(ctx)?, self.0.id.0);
            if let Some(ahead) = scope.loads.list::<Option<MessageStatus>>(&status_key(id)) {
                return Ok(*ahead);
            }
            Ok(statuses(scope, &*scope.reader().await?, vec![id]).await?.remove(&id))
        })
        .await
    }

    /// Whose devices it has reached, in the order of the members' ids.
    async fn delivered_to(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How many: 1 to 100, 25 unless said otherwise.")] first: Option<i32>,
    ) -> Option<Vec<MessageReceipt>> {
        or_null(ctx, receipts_of(ctx, self.0.id.0, Reached::Delivered, first)).await
    }

    /// Who has read it, in the order of the members' ids.
    async fn read_by(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How many: 1 to 100, 25 unless said otherwise.")] first: Option<i32>,
    ) -> Option<Vec<MessageReceipt>> {
        or_null(ctx, receipts_of(ctx, self.0.id.0, Reached::Read, first)).await
    }
}

impl Seen<'_, Message> {
    /// Fetches ahead what a page of messages shows of their recipients.
    pub async fn ahead(
        scope: &Scope,
        conn: &AsyncPgConnection,
        rows: &[Arc<Message>],
        selections: &[SelectionField<'_>],
    ) -> Result<()> {
        let ids = || rows.iter().map(|row| row.id.0).collect::<Vec<_>>();
        if selections.iter().any(|field| field.name() == "status") {
            let found = statuses(scope, conn, ids()).await?;
            scope.loads.put_each(ids(), status_key, found);
        }
        for field in selections {
            let Some(reached) = Reached::of(field.name()) else { continue };
            // What is wrong with the arguments, the field itself tells, at its own path.
            let Ok(arguments) = field.arguments() else { continue };
            let Ok(most) = asked(&arguments) else { continue };
            let mut found = receipts(scope, conn, ids(), reached, most).await?;
            let members: Vec<Uuid> = found.values().flatten().map(|receipt| receipt.member_id.0).collect();
            let below: Vec<_> = field.selection_set().collect();
            preload_one::<Member>(scope, conn, &below, "member", members.into_iter()).await?;
            for id in ids() {
                let receipts = found.remove(&id).unwrap_or_default();
                scope.loads.put_list(reached.key(id, &arguments), Arc::new(receipts));
            }
        }
        Ok(())
    }
}

impl Reached {
    fn of(field: &str) -> Option<Self> {
        match field {
            "deliveredTo" => Some(Reached::Delivered),
            "readBy" => Some(Reached::Read),
            _ => None,
        }
    }

    /// Where what was fetched ahead is kept.
    fn key(self, message: Uuid, arguments: &[(Name, Value)]) -> ListKey {
        let field = if self == Reached::Read { "readBy" } else { "deliveredTo" };
        (message, "messages", field, argument_key(arguments))
    }
}

fn status_key(message: Uuid) -> ListKey {
    (message, "messages", "status", String::new())
}

/// Receipts of one message at once, at most.
const MOST: u32 = 100;

fn limit(first: Option<i32>) -> Result<u32> {
    let most = u32::try_from(first.unwrap_or(25)).ok().filter(|most| (1..=MOST).contains(most));
    most.ok_or_else(|| Error::bad_input(format!("first is 1 to {MOST} receipts.")))
}

fn asked(arguments: &[(Name, Value)]) -> Result<u32> {
    let mut arguments: HashMap<Name, Value> = arguments.iter().cloned().collect();
    limit(Arguments(&mut arguments).parse("first")?)
}

async fn receipts_of(
    ctx: &Context<'_>,
    message: Uuid,
    reached: Reached,
    first: Option<i32>,
) -> Result<Option<Vec<MessageReceipt>>> {
    let (scope, most) = (scope(ctx)?, limit(first)?);
    let arguments = ctx.field().arguments().map_err(|fault| Error::bad_input(fault.message))?;
    if let Some(ahead) = scope.loads.list::<Vec<MessageReceipt>>(&reached.key(message, &arguments)) {
        return Ok(Some(ahead.as_ref().clone()));
    }
    let conn = scope.reader().await?;
    let found = receipts(scope, &conn, vec![message], reached, most).await?.remove(&message).unwrap_or_default();
    let members = found.iter().map(|receipt| receipt.member_id.0);
    preload_one::<Member>(scope, &conn, &selections(ctx), "member", members).await?;
    Ok(Some(found))
}

/// Whom the message `m` is for.
const RECIPIENTS: &str =
    "participants p LEFT JOIN hiding h ON h.member = p.member_id WHERE p.organization_id = m.organization_id
    AND p.conversation_id = m.conversation_id AND p.left_at IS NULL AND p.joined_seq < m.seq
    AND p.member_id <> m.sender_id";

#[derive(QueryableByName)]
struct Status {
    #[diesel(sql_type = sql_types::Uuid)]
    id: Uuid,
    #[diesel(sql_type = sql_types::Bool)]
    anybody: bool,
    #[diesel(sql_type = sql_types::Nullable<sql_types::Bool>)]
    delivered: Option<bool>,
    #[diesel(sql_type = sql_types::Nullable<sql_types::Bool>)]
    read: Option<bool>,
}

/// That the participant `p` can sign in: who cannot is waited for by no message.
const PRESENT: &str =
    " EXISTS (SELECT FROM memberships w WHERE w.organization_id = p.organization_id AND w.id = p.member_id
    AND w.status NOT IN ('suspended', 'removed'))";

/// The caller may see the messages. Whoever sends or joins stands at or behind that message, so that it has come as far
/// as the last of all who are here: one look at these for all messages of a conversation.
async fn statuses(
    scope: &Scope,
    mut conn: &AsyncPgConnection,
    messages: Vec<Uuid>,
) -> Result<HashMap<Uuid, MessageStatus>> {
    let mut sql = Sql::new("WITH");
    block::push_hiding(scope, &mut sql);
    sql.push(", m AS (SELECT * FROM messages WHERE organization_id = ");
    sql.bind(Bind::Uuid(Some(scope.actor.organization))).push(" AND id = ANY(").bind(Bind::Uuids(messages));
    sql.push(
        ")), last AS (
          SELECT p.conversation_id, min(",
    );
    sql.push(block::READ).push(") AS read, min(").push(block::DELIVERED).push(
        ") AS delivered
          FROM (SELECT DISTINCT organization_id, conversation_id FROM m) c JOIN participants p
            ON p.organization_id = c.organization_id AND p.conversation_id = c.conversation_id
          LEFT JOIN hiding h ON h.member = p.member_id
          WHERE p.left_at IS NULL AND",
    );
    sql.push(PRESENT).push(
        " GROUP BY 1
        )
        SELECT m.id, EXISTS (SELECT FROM ",
    );
    sql.push(RECIPIENTS).push(" AND").push(PRESENT).push(
        ") AS anybody, last.delivered >= m.seq AS delivered, last.read >= m.seq AS read
        FROM m LEFT JOIN last ON last.conversation_id = m.conversation_id",
    );
    let found: Vec<Status> = sql.load(&mut conn).await?;
    let told = found.into_iter().map(|status| {
        let reached = match status {
            Status { anybody: true, read: Some(true), .. } => MessageStatus::Read,
            Status { anybody: true, delivered: Some(true), .. } => MessageStatus::Delivered,
            _ => MessageStatus::Sent,
        };
        (status.id, reached)
    });
    Ok(told.collect())
}

#[derive(QueryableByName)]
struct Reader {
    #[diesel(sql_type = sql_types::Uuid)]
    message: Uuid,
    #[diesel(sql_type = sql_types::Uuid)]
    member_id: Uuid,
    #[diesel(sql_type = sql_types::Nullable<sql_types::Timestamptz>)]
    at: Option<chrono::DateTime<Utc>>,
}

/// The first advance of this kind, at or above the message.
macro_rules! first_advance {
    ($kind:literal) => {
        concat!(
            "(SELECT a.at FROM position_advances a WHERE a.organization_id = p.organization_id
              AND a.conversation_id = p.conversation_id AND a.member_id = p.member_id AND a.kind = '",
            $kind,
            "' AND a.upto_seq >= m.seq AND (h.since IS NULL OR a.at <= h.since) ORDER BY a.upto_seq LIMIT 1)"
        )
    };
}

/// By message. In the order of the index, so that a long list is not read to its end.
async fn receipts(
    scope: &Scope,
    mut conn: &AsyncPgConnection,
    messages: Vec<Uuid>,
    reached: Reached,
    most: u32,
) -> Result<HashMap<Uuid, Vec<MessageReceipt>>> {
    let mut sql = Sql::new("WITH");
    block::push_hiding(scope, &mut sql);
    sql.push(
        " SELECT m.id AS message, r.member_id, r.at FROM messages m CROSS JOIN LATERAL (SELECT p.member_id, coalesce(",
    );
    sql.push(match reached {
        Reached::Read => first_advance!("read"),
        // Reading is delivery, too, whichever came first.
        Reached::Delivered => concat!("least(", first_advance!("read"), ", ", first_advance!("delivered"), ")"),
    });
    // Of who hides from the caller: when they said something behind it.
    sql.push(
        ", CASE WHEN h.since IS NOT NULL THEN (SELECT n.created_at FROM messages n WHERE n.organization_id = m.organization_id
           AND n.conversation_id = m.conversation_id AND n.sender_id = p.member_id AND n.seq > m.seq ORDER BY n.seq LIMIT 1)
         END) AS at FROM ",
    );
    sql.push(RECIPIENTS).push(" AND ");
    sql.push(if reached == Reached::Read { block::READ } else { block::DELIVERED });
    sql.push(" >= m.seq ORDER BY p.member_id LIMIT ").number(most).push(") r WHERE m.organization_id = ");
    sql.bind(Bind::Uuid(Some(scope.actor.organization))).push(" AND m.id = ANY(");
    sql.bind(Bind::Uuids(messages)).push(") ORDER BY r.member_id");
    let found: Vec<Reader> = sql.load(&mut conn).await?;
    let mut by_message: HashMap<Uuid, Vec<MessageReceipt>> = HashMap::new();
    for Reader { message, member_id, at } in found {
        let receipt = MessageReceipt { member_id: member_id.into(), at: at.map(DateTime) };
        by_message.entry(message).or_default().push(receipt);
    }
    Ok(by_message)
}
