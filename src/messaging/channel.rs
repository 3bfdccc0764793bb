//! Conversations that one comes into by oneself: channels that are open to the organization, save for guests, and those about a
//! record that one may read. Invariant: who is not in a channel learns its name, its topic and how many are in it, and
//! nothing that was said; private ones do not exist for others.

use super::{
    about::About,
    conversation::{Conversation, ConversationKind, not_found},
    heir::hand_on_and_tell,
    participant::{Participant, ParticipantPayload, ParticipantRole, may_talk},
    seat::{here, is_deserted, join, tell_of},
    system::{SystemEvent, SystemNote, say},
};
use crate::{
    error::Result,
    kit::{
        entity::{self, Entity},
        id::Id,
        listing::{Listing, Place, Placed, Slice},
        permission::{Action, Resource},
        relation::or_null,
        resolve::scope,
        scalars::DateTime,
        scope::Scope,
        sql::Sql,
        user_error::UserErrorCode,
        value::Bind,
        write::{Stop, Tx},
    },
};
use async_graphql::{Context, InputObject, Object, SimpleObject};
use chrono::Utc;
use diesel::{QueryableByName, sql_types};
use uuid::Uuid;

/// A channel that you may join: what is known of it outside.
#[derive(SimpleObject, Clone, Debug)]
pub struct PublicChannel {
    /// The id of the conversation; give it to `conversationJoin`.
    id: Id<Conversation>,
    /// What it is called.
    title: Option<String>,
    /// What it is about; null: nobody has said.
    topic: Option<String>,
    /// When it was opened.
    created_at: DateTime,
    /// How many members are in it.
    member_count: i64,
    /// Whether you are.
    joined: bool,
}

impl Placed for PublicChannel {
    const NAME: &'static str = "PublicChannel";

    fn place(&self) -> Place {
        Place { at: self.created_at.0, id: self.id.0 }
    }
}

/// Which conversation to join.
#[derive(Clone, Debug, InputObject)]
pub struct ConversationJoinInput {
    /// Which public channel, or conversation about a record.
    pub id: Id<Conversation>,
}

/// Queries.
#[derive(Default)]
pub struct ChannelQuery;

#[Object]
impl ChannelQuery {
    /// The channels that are open to all members and not archived, newest first, whether you are in them or not.
    ///
    /// Errors: FORBIDDEN without the permission CREATE on CONVERSATION, which guests lack; INVALID_CURSOR.
    async fn public_channels(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How many from the beginning: 0 to 100, 25 unless said otherwise.")] first: Option<i32>,
        #[graphql(desc = "The cursor behind which to go on.")] after: Option<String>,
        #[graphql(desc = "How many from the end: 0 to 100.")] last: Option<i32>,
        #[graphql(desc = "The cursor before which to go on.")] before: Option<String>,
    ) -> Option<Listing<PublicChannel>> {
        let asked = async {
            let scope = scope(ctx)?;
            demand_member(scope)?;
            let slice = Slice::new::<PublicChannel>(first, after.as_deref(), last, before.as_deref())?;
            list(scope, slice).await.map(Some)
        };
        or_null(ctx, asked).await
    }
}

/// Mutations.
#[derive(Default)]
pub struct ChannelMutation;

#[Object]
impl ChannelMutation {
    /// Joins a public channel, or the conversation about a record that you may read (`RecordConversation`). A SYSTEM message
    /// tells it. Who is in it already stays as they are; whoever comes into one in which nobody but guests can sign in owns it.
    ///
    /// User errors: NOT_FOUND where there is no such conversation; STATE_INVALID where it is archived. Errors:
    /// FORBIDDEN for guests.
    async fn conversation_join(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which conversation.")] input: ConversationJoinInput,
    ) -> Option<ParticipantPayload> {
        or_null(ctx, async {
            let scope = scope(ctx)?;
            scope.actor.demand_verified()?;
            may_talk(scope)?;
            demand_member(scope)?;
            super::participant::run(Ok(scope), async move |tx| find_and_come_in(tx, input.id.0).await).await
        })
        .await
    }
}

/// Guests are where they were added, and see nothing else. So is whoever may not open conversations.
fn demand_member(scope: &Scope) -> Result<()> {
    scope.actor.demand(Resource::Conversation, Action::Create).map(drop)
}

async fn list(scope: &Scope, slice: Slice) -> Result<Listing<PublicChannel>> {
    let mut from = Sql::new(
        " FROM (SELECT c.*, c.created_at AS at FROM conversations c
          WHERE c.visibility = 'public' AND c.archived_at IS NULL AND c.organization_id = ",
    );
    from.bind(Bind::Uuid(Some(scope.actor.organization))).push(") t0 LEFT JOIN LATERAL (SELECT count(*) AS members, ");
    from.push("coalesce(bool_or(p.member_id = ").bind(Bind::Uuid(Some(scope.actor.member))).push(
        "), false) AS joined FROM participants p WHERE p.organization_id = t0.organization_id
           AND p.conversation_id = t0.id AND p.left_at IS NULL) p ON true WHERE true",
    );
    let columns = "t0.id, t0.title, t0.topic, t0.at, p.members, p.joined";
    slice.read(scope, columns, from, |row: Row| row.channel()).await
}

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = sql_types::Uuid)]
    id: Uuid,
    #[diesel(sql_type = sql_types::Nullable<sql_types::Text>)]
    title: Option<String>,
    #[diesel(sql_type = sql_types::Nullable<sql_types::Text>)]
    topic: Option<String>,
    #[diesel(sql_type = sql_types::Timestamptz)]
    at: chrono::DateTime<Utc>,
    #[diesel(sql_type = sql_types::BigInt)]
    members: i64,
    #[diesel(sql_type = sql_types::Bool)]
    joined: bool,
}

impl Row {
    fn channel(self) -> PublicChannel {
        PublicChannel {
            id: self.id.into(),
            title: self.title,
            topic: self.topic,
            created_at: DateTime(self.at),
            member_count: self.members,
            joined: self.joined,
        }
    }
}

async fn find_and_come_in(tx: &mut Tx, id: Uuid) -> Result<Participant, Stop> {
    let mut sql = entity::select(Conversation::table());
    sql.push(" WHERE (t0.visibility = 'public' OR t0.kind = 'record') AND t0.organization_id = ");
    sql.bind(Bind::Uuid(Some(tx.scope.actor.organization))).push(" AND t0.id = ").bind(Bind::Uuid(Some(id)));
    sql.push(" FOR NO KEY UPDATE OF t0");
    let found: Vec<Conversation> = diesel_async::RunQueryDsl::load(sql, tx.conn()).await?;
    let mut found = found.into_iter().next().ok_or_else(|| not_found("id"))?;
    come_in(tx, &mut found, "id").await
}

/// The caller joins a conversation that is held, if it is open to them. What was said before is there for them, and not new.
pub(super) async fn come_in(tx: &mut Tx, open: &mut Conversation, field: &str) -> Result<Participant, Stop> {
    let me = tx.scope.actor.member;
    if let Some(already) = here(tx, open.id.0, me).await? {
        return Ok(already);
    }
    if open.kind == ConversationKind::Record {
        let readable = match About::of(open) {
            Some(about) => about.is_readable(tx).await?,
            None => false,
        };
        if !readable {
            return Err(not_found(field));
        }
    }
    if open.archived_at.is_some() {
        let message = "This conversation is archived: nobody joins it any more.";
        return Err(Stop::at(field, UserErrorCode::StateInvalid, message));
    }
    let deserted = is_deserted(tx, open.id.0).await?;
    let role = if deserted { ParticipantRole::Owner } else { ParticipantRole::Member };
    let joined = join(tx, (open.id, open.last_seq + 1), me.into(), role).await?;
    tell_of(tx, &joined, "participant_added")?;
    if deserted {
        // A guest may have owned it until now.
        hand_on_and_tell(tx, open.id.0).await?;
    }
    say(tx, open, SystemNote::of(SystemEvent::MemberJoined, &[])).await?;
    Ok(joined)
}
