//! Threads: replies below a message, and who follows them. Whoever wrote the root or a reply follows it, until they say
//! otherwise. Invariant: replies are numbered 1, 2, 3 … in the statement that stores them, so that the root's `replyCount` is
//! the number of its newest one and cannot drift.

use super::{
    conversation::tell,
    gather::{gathered, named_members},
    message::{Message, MessagePayload, lock_open, no_message, run},
};
use crate::{
    error::{Error, Result},
    identity::Member,
    kit::{
        id::Id,
        relation::{or_null, to_one},
        resolve::scope,
        scope::Scope,
        sql::Sql,
        user_error::UserErrorCode,
        value::Bind,
        write::{Stop, Tx},
    },
    schema::{messages, thread_followers},
};
use async_graphql::{ComplexObject, Context, InputObject, Object, SimpleObject, dataloader::Loader};
use diesel::{
    prelude::*,
    sql_types::{Array, Bool, Uuid as SqlUuid},
};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::{collections::HashMap, sync::Arc};
use uuid::Uuid;

/// A member who follows a thread, or does so no more, as a feed tells of it.
#[derive(Clone, Debug, Serialize, Deserialize, SimpleObject)]
#[graphql(complex)]
pub struct ThreadFollower {
    /// The id of the thread's root.
    pub message_id: Id<Message>,
    /// The id of the member.
    pub member_id: Id<Member>,
}

#[ComplexObject]
impl ThreadFollower {
    /// Who it is; null when you may not see them.
    async fn member(&self, ctx: &Context<'_>) -> Option<Arc<Member>> {
        to_one::<Member>(ctx, Some(self.member_id.0)).await
    }
}

/// A thread.
#[derive(Clone, Debug, InputObject)]
pub struct ThreadInput {
    /// Its root: the message that is replied to.
    pub message_id: Id<Message>,
}

/// Mutations.
#[derive(Default)]
pub struct ThreadMutation;

#[Object]
impl ThreadMutation {
    /// Follows a thread, also one without replies so far. Whoever wrote its root or a reply follows it without asking.
    async fn thread_follow(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which thread.")] input: ThreadInput,
    ) -> Option<MessagePayload> {
        or_null(ctx, run(scope(ctx), async move |tx| follow(tx, input).await)).await
    }

    /// Follows a thread no more, until one replies to it.
    async fn thread_unfollow(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which thread.")] input: ThreadInput,
    ) -> Option<MessagePayload> {
        or_null(ctx, run(scope(ctx), async move |tx| unfollow(tx, input).await)).await
    }
}

/// What is told of a root that is a reply itself.
const NO_ROOT: &str = "This is a reply itself: give the root of its thread, `threadRootId`.";

/// Why nothing can be said in reply to a message in a conversation; None: it can, or it is no reply.
pub async fn refused(
    scope: &Scope,
    mut conn: &AsyncPgConnection,
    conversation: Uuid,
    root: Option<Id<Message>>,
) -> Result<Option<Stop>> {
    let Some(root) = root else { return Ok(None) };
    let root = messages::table
        .find((scope.actor.organization, root.0))
        .filter(messages::conversation_id.eq(conversation))
        .select((messages::thread_root_id.is_not_null(), messages::deleted_at.is_not_null()));
    Ok(match root.first::<(bool, bool)>(&mut conn).await.optional()? {
        // One of another conversation is as unknown as one that nobody wrote.
        None => Some(no_message("threadRootId")),
        Some((true, _)) => Some(Stop::at("threadRootId", UserErrorCode::Invalid, NO_ROOT)),
        Some((_, true)) => Some(Stop::at("threadRootId", UserErrorCode::StateInvalid, "The message was deleted.")),
        Some((false, false)) => None,
    })
}

async fn root(tx: &mut Tx, input: &ThreadInput) -> Result<Message, Stop> {
    let (root, _) = lock_open(tx, input.message_id.0, "messageId").await?;
    match root.thread_root_id {
        Some(_) => Err(Stop::at("messageId", UserErrorCode::Invalid, NO_ROOT)),
        None => Ok(root),
    }
}

async fn follow(tx: &mut Tx, input: ThreadInput) -> Result<Message, Stop> {
    let root = root(tx, &input).await?;
    let following = diesel::insert_into(thread_followers::table)
        .values((
            thread_followers::organization_id.eq(tx.scope.actor.organization),
            thread_followers::root_id.eq(root.id.0),
            thread_followers::member_id.eq(tx.scope.actor.member),
            thread_followers::created_at.eq(tx.now.0),
        ))
        .on_conflict_do_nothing();
    if following.execute(tx.conn()).await? == 1 {
        tell_of(tx, &root, "thread_followed");
    }
    Ok(root)
}

async fn unfollow(tx: &mut Tx, input: ThreadInput) -> Result<Message, Stop> {
    let root = root(tx, &input).await?;
    let own = (tx.scope.actor.organization, root.id.0, tx.scope.actor.member);
    if diesel::delete(thread_followers::table.find(own)).execute(tx.conn()).await? == 1 {
        tell_of(tx, &root, "thread_unfollowed");
    }
    Ok(root)
}

fn tell_of(tx: &mut Tx, root: &Message, kind: &'static str) {
    let follower = json!({ "follower": { "message_id": root.id, "member_id": tx.scope.actor.member } });
    tell(tx, root.conversation_id, kind, "ThreadFollower", root.id.0, follower);
}

/// Who follows the thread of a message, the longest first, and whether the caller does.
#[derive(Clone, Debug, Default)]
pub struct Following {
    pub by_me: bool,
    members: Vec<Uuid>,
}

impl Following {
    pub async fn members(&self, ctx: &Context<'_>, first: Option<i32>) -> async_graphql::Result<Vec<Arc<Member>>> {
        named_members(ctx, &self.members, first).await
    }
}

pub async fn following(ctx: &Context<'_>, message: &Message) -> Result<Following> {
    if message.thread_root_id.is_some() {
        return Ok(Following::default());
    }
    gathered(scope(ctx)?, message.id.0, |scope| Followings { scope }).await
}

struct Followings {
    scope: Scope,
}

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = SqlUuid)]
    root_id: Uuid,
    #[diesel(sql_type = Bool)]
    mine: bool,
    #[diesel(sql_type = Array<SqlUuid>)]
    members: Vec<Uuid>,
}

impl Loader<Uuid> for Followings {
    type Value = Following;
    type Error = Error;

    async fn load(&self, roots: &[Uuid]) -> Result<HashMap<Uuid, Following>> {
        let actor = &self.scope.actor;
        let mut sql = Sql::new("SELECT root_id, bool_or(member_id = ");
        sql.bind(Bind::Uuid(Some(actor.member))).push(
            ") AS mine, (array_agg(member_id ORDER BY created_at, member_id))[1:100] AS members
            FROM thread_followers WHERE organization_id = ",
        );
        sql.bind(Bind::Uuid(Some(actor.organization))).push(" AND root_id = ANY(");
        sql.bind(Bind::Uuids(roots.to_vec())).push(") GROUP BY root_id");
        let rows: Vec<Row> = sql.load(&mut &*self.scope.reader().await?).await?;
        Ok(rows.into_iter().map(|row| (row.root_id, Following { by_me: row.mine, members: row.members })).collect())
    }
}
