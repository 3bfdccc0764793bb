//! Saying how far one has come in a conversation. Invariant: a position only goes forward and never beyond the newest
//! message; what was acknowledged is stored, and is the member's own at once, on every node.

use super::{
    conversation::{Conversation, ConversationPayload, not_found},
    notification,
    participant::may_talk,
    receipt,
};
use crate::kit::{
    entity, id::Id, relation::or_null, resolve::scope, scalars::DateTime, scope::Scope, sql::Sql,
    user_error::UserErrorCode, value::Bind, write::Stop,
};
use async_graphql::{Context, InputObject, Object};
use diesel::{QueryableByName, sql_types};
use diesel_async::RunQueryDsl;

/// How far one has come in a conversation.
#[derive(Clone, Debug, InputObject)]
pub struct ConversationMarkInput {
    /// In which conversation.
    pub conversation_id: Id<Conversation>,
    /// The number (`seq`) of the last message, from 0 to the newest one's. What lies before where one was already
    /// changes nothing.
    pub up_to: i64,
}

/// Mutations.
#[derive(Default)]
pub struct PositionMutation;

#[Object]
impl PositionMutation {
    /// Says that you have read a conversation up to a message, on whatever device; that it has reached you follows. An
    /// answer without errors means that it is stored: your own counts show it at once, and the others are told within
    /// about a second (`ReceiptsMoved`), together with what others have read meanwhile. Your notifications of messages up
    /// to there are read as well. May be sent again at will.
    ///
    /// User errors: OUT_OF_RANGE for a number below 0 or above that of the newest message.
    async fn conversation_mark_read(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which conversation, and how far.")] input: ConversationMarkInput,
    ) -> Option<ConversationPayload> {
        or_null(ctx, async { mark(scope(ctx)?, &input, Reached::Read).await.map(Some) }).await
    }

    /// Says that messages have reached one of your devices, up to this one. As `conversationMarkRead` in all else.
    ///
    /// User errors: OUT_OF_RANGE for a number below 0 or above that of the newest message.
    async fn conversation_mark_delivered(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which conversation, and how far.")] input: ConversationMarkInput,
    ) -> Option<ConversationPayload> {
        or_null(ctx, async { mark(scope(ctx)?, &input, Reached::Delivered).await.map(Some) }).await
    }
}

/// How far a message has come to a participant.
#[derive(Clone, Copy, PartialEq)]
pub enum Reached {
    Delivered,
    Read,
}

async fn mark(scope: &Scope, input: &ConversationMarkInput, reached: Reached) -> crate::Result<ConversationPayload> {
    scope.actor.demand_verified()?;
    may_talk(scope)?;
    match store(scope, input, reached).await {
        Ok(()) => {
            scope.loads.clear();
            let conversation = entity::find(scope, input.conversation_id.0, &[]).await?;
            Ok(ConversationPayload { conversation, ..Default::default() })
        }
        Err(Stop::Rejected(rejection)) => {
            Ok(ConversationPayload { user_errors: rejection.errors.into(), ..Default::default() })
        }
        Err(Stop::Failed(fault)) => Err(fault),
    }
}

/// How the caller stood before, and whether that is told.
#[derive(QueryableByName)]
struct Before {
    #[diesel(sql_type = sql_types::BigInt)]
    last_seq: i64,
    /// Whether they are as far.
    #[diesel(sql_type = sql_types::Bool)]
    there: bool,
    #[diesel(sql_type = sql_types::Bool)]
    untold: bool,
}

async fn store(scope: &Scope, input: &ConversationMarkInput, reached: Reached) -> Result<(), Stop> {
    let (conversation, up_to) = (input.conversation_id.0, input.up_to);
    let out_of_range = || {
        let message = "The number is that of a message of this conversation, from 0 to the newest.";
        Stop::at("upTo", UserErrorCode::OutOfRange, message)
    };
    if up_to < 0 {
        return Err(out_of_range());
    }
    let mut conn = scope.reader().await?;
    // None: it has moved. Nothing moves where one is there already, or before the message is: once more, when that came in
    // between.
    let before = loop {
        if statement(scope, input, reached).execute(&mut *conn).await? > 0 {
            break None;
        }
        let mut sql = Sql::new("SELECT c.last_seq, ");
        sql.push(if reached == Reached::Read { "p.read_seq >= " } else { "p.delivered_seq >= " });
        sql.bind(Bind::BigInt(Some(up_to))).push(
            " AS there, p.read_seq > p.last_read_seq OR p.delivered_seq > p.last_delivered_seq AS untold
             FROM conversations c, participants p",
        );
        push_own(scope, input, &mut sql);
        let before: Vec<Before> = sql.load(&mut *conn).await?;
        let before = before.into_iter().next().ok_or_else(|| not_found("conversationId"))?;
        if up_to > before.last_seq {
            return Err(out_of_range());
        }
        if before.there {
            break Some(before);
        }
    };
    if before.is_none() && reached == Reached::Read {
        let (hub, seat) = (&scope.app.hub, (scope.actor.member, conversation));
        notification::read::settle(&mut conn, hub, scope.actor.organization, seat).await?;
    }
    if before.is_none_or(|before| before.untold) {
        receipt::note(&scope.app, scope.actor.organization, conversation, scope.actor.member);
    }
    Ok(())
}

/// Moves the caller's position, in place; nothing where it is there already or the message does not exist.
fn statement(scope: &Scope, input: &ConversationMarkInput, reached: Reached) -> Sql {
    let now = || Bind::Time(Some(DateTime::now().0));
    let up_to = || Bind::BigInt(Some(input.up_to));
    let mut sql = Sql::new("UPDATE participants p SET delivered_at = CASE WHEN p.delivered_seq < ");
    sql.bind(up_to())
        .push(" THEN ")
        .bind(now())
        .push(" ELSE p.delivered_at END, delivered_seq = greatest(p.delivered_seq, ");
    sql.bind(up_to()).push(")");
    if reached == Reached::Read {
        sql.push(", read_seq = ").bind(up_to()).push(", read_at = ").bind(now());
    }
    sql.push(" FROM conversations c");
    push_own(scope, input, &mut sql);
    sql.push(" AND c.last_seq >= ").bind(up_to());
    sql.push(if reached == Reached::Read { " AND p.read_seq < " } else { " AND p.delivered_seq < " }).bind(up_to());
    sql
}

/// Pushes ` WHERE …`: `p` is the caller, in the conversation `c`.
fn push_own(scope: &Scope, input: &ConversationMarkInput, sql: &mut Sql) {
    sql.push(" WHERE c.organization_id = p.organization_id AND c.id = p.conversation_id");
    sql.push(" AND p.organization_id = ").bind(Bind::Uuid(Some(scope.actor.organization)));
    sql.push(" AND p.conversation_id = ").bind(Bind::Uuid(Some(input.conversation_id.0)));
    sql.push(" AND p.member_id = ").bind(Bind::Uuid(Some(scope.actor.member))).push(" AND p.left_at IS NULL");
}
