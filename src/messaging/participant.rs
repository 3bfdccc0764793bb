//! Participants: who is in a conversation. Whoever leaves or is removed sees nothing that comes after; a group
//! always has an owner as long as somebody is in it: one who can look after it as long as such a one is, and no guest then
//! (`heir`).

use super::{
    block,
    conversation::{Conversation, ConversationKind, lock_conversation},
    heir::hand_on_and_tell,
    seat::{self, Can, Seat, by_seniority, here, join, own_role, tell_of},
    system::{SystemEvent, SystemNote, say},
};
use crate::{
    db_enum,
    identity::Member,
    kit::{
        id::Id,
        permission::{Action, Resource},
        relation::or_null,
        resolve::scope,
        rules::Rules,
        scalars::DateTime,
        scope::{Actor, Scope},
        sql::Sql,
        user_error::{UserError, UserErrorCode, UserErrors},
        value::Bind,
        write::{self, Stop, Tx},
    },
    schema::participants,
};
use async_graphql::{Context, InputObject, Object, SimpleObject};
use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use std::sync::Arc;
use stoa_macros::entity;
use uuid::Uuid;

pub use super::seat::hold_own;

db_enum! {
    /// What a participant may do in a conversation.
    pub enum ParticipantRole, filter ParticipantRoleFilter {
        /// Everything, and hands ownership on.
        Owner = "owner",
        /// Adds and removes members.
        Moderator = "moderator",
        /// Talks.
        Member = "member",
    }
}

/// A member in a conversation.
#[entity(resource = Conversation, plural = participants, visible_by = in_own_conversations, read_only, no_queries,
    with(super::told::Told))]
pub struct Participant {
    pub id: Id<Participant>,
    /// The id of the conversation.
    #[entity(filter)]
    pub conversation_id: Id<Conversation>,
    /// The id of the member.
    #[entity(filter, belongs_to = crate::identity::Member as member)]
    pub member_id: Id<Member>,
    /// What they may do here.
    #[entity(filter, order)]
    pub role: ParticipantRole,
    /// When they joined, most recently.
    #[entity(filter, order)]
    pub joined_at: DateTime,
    /// When they left or were removed; null: they are here.
    #[entity(filter, order)]
    pub left_at: Option<DateTime>,
    /// The number of the last message that they have read, as all have been told; 0: none. `told::Told` shows it.
    #[entity(unshown)]
    #[serde(default)]
    pub last_read_seq: i64,
    /// When they read it.
    #[entity(unshown)]
    #[serde(default)]
    pub last_read_at: Option<DateTime>,
    /// The number of the last message that has reached one of their devices.
    #[entity(unshown)]
    #[serde(default)]
    pub last_delivered_seq: i64,
    /// When it did.
    #[entity(unshown)]
    #[serde(default)]
    pub last_delivered_at: Option<DateTime>,
}

impl Rules for Participant {}

/// The wall of what belongs to a conversation: only participants see it.
pub fn in_own_conversations(actor: &Actor, sql: &mut Sql, alias: &'static str) {
    sql.push(" AND EXISTS (SELECT 1 FROM participants p WHERE p.organization_id = ").push(alias);
    sql.push(".organization_id AND p.conversation_id = ").push(alias).push(".conversation_id AND p.member_id = ");
    sql.bind(Bind::Uuid(Some(actor.member))).push(" AND p.left_at IS NULL)");
}

/// Whether the caller is in the conversation now.
pub async fn is_participant(scope: &Scope, mut conn: &AsyncPgConnection, conversation: Uuid) -> crate::Result<bool> {
    let here = participants::table
        .filter(participants::organization_id.eq(scope.actor.organization))
        .filter(participants::conversation_id.eq(conversation))
        .filter(participants::member_id.eq(scope.actor.member))
        .filter(participants::left_at.is_null());
    Ok(diesel::select(diesel::dsl::exists(here)).get_result(&mut conn).await?)
}

/// A member to add to a conversation, or one to remove.
#[derive(Clone, Debug, InputObject)]
pub struct ParticipantInput {
    /// Which conversation.
    pub conversation_id: Id<Conversation>,
    /// Which member.
    pub member_id: Id<Member>,
}

/// A participant to change.
#[derive(Clone, Debug, InputObject)]
pub struct ParticipantUpdateInput {
    /// In which conversation.
    pub conversation_id: Id<Conversation>,
    /// Which member.
    pub member_id: Id<Member>,
    /// What they may do from now on.
    pub role: ParticipantRole,
}

/// Which conversation to leave.
#[derive(Clone, Debug, InputObject)]
pub struct ConversationLeaveInput {
    /// Which conversation.
    pub id: Id<Conversation>,
}

/// What came of adding, changing or removing a participant.
#[derive(SimpleObject, Default)]
pub struct ParticipantPayload {
    /// The participant as they are now; null when nothing was written.
    pub participant: Option<Arc<Participant>>,
    /// What the user has to mend; empty: all is well.
    pub user_errors: Vec<UserError>,
    /// The whole graph, to read on from here.
    pub query: crate::graphql::Query,
}

/// Mutations.
#[derive(Default)]
pub struct ParticipantMutation;

#[Object]
impl ParticipantMutation {
    /// Adds a member to a group or channel; owners and moderators may. A SYSTEM message tells it, which is not new to who was
    /// added. Who is in it already stays as they are. STATE_INVALID for one who cannot be written to at present, be it that
    /// they are suspended, and where it is archived.
    ///
    /// Errors: FORBIDDEN without the permission UPDATE on CONVERSATION, and when you are neither in this group.
    async fn participant_add(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Whom, and to which conversation.")] input: ParticipantInput,
    ) -> Option<ParticipantPayload> {
        or_null(ctx, run(scope(ctx), async move |tx| add(tx, input).await)).await
    }

    /// Removes a member from a group; owners and moderators may, moderators no owner. From then on the member sees
    /// nothing of it, nor of the SYSTEM message that tells the others.
    ///
    /// Errors: FORBIDDEN without the permission UPDATE on CONVERSATION, when you are neither in this group, and when you are a
    /// moderator and the other an owner.
    async fn participant_remove(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Whom, and from which conversation.")] input: ParticipantInput,
    ) -> Option<ParticipantPayload> {
        or_null(
            ctx,
            run(scope(ctx), async move |tx| {
                remove(tx, input.conversation_id.0, "conversationId", input.member_id.0).await
            }),
        )
        .await
    }

    /// Changes what a member may do in a group; owners may. A group always has an owner who can sign in, and guests own none
    /// (STATE_INVALID).
    ///
    /// Errors: FORBIDDEN without the permission UPDATE on CONVERSATION, and when you are not an owner of this group.
    async fn participant_update(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Whom, in which conversation, and the role.")] input: ParticipantUpdateInput,
    ) -> Option<ParticipantPayload> {
        or_null(ctx, run(scope(ctx), async move |tx| update(tx, input).await)).await
    }

    /// Leaves a group. From then on one sees nothing of it, nor of the SYSTEM message that tells the others.
    async fn conversation_leave(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which conversation.")] input: ConversationLeaveInput,
    ) -> Option<ParticipantPayload> {
        or_null(
            ctx,
            run(scope(ctx), async move |tx| {
                let me = tx.scope.actor.member;
                remove(tx, input.id.0, "id", me).await
            }),
        )
        .await
    }
}

/// Whether the caller may say anything where they take part, or change what they or, as owner or moderator, others have said. To
/// take part is enough for a person, so that guests can answer; an API key needs UPDATE, so that one for reading only reads. What
/// changes the conversation itself (its names, who is in it and as what, whether it is archived) demands UPDATE of everybody.
pub fn may_talk(scope: &Scope) -> crate::Result<()> {
    let action = if scope.actor.api_key().is_some() { Action::Update } else { Action::Read };
    scope.actor.demand(Resource::Conversation, action).map(drop)
}

pub(super) async fn run(
    scope: crate::Result<&Scope>,
    write: impl AsyncFnOnce(&mut Tx) -> Result<Participant, Stop>,
) -> crate::Result<Option<ParticipantPayload>> {
    let scope = scope?;
    may_talk(scope)?;
    let mut tx = scope.begin().await?;
    let result = write(&mut tx).await;
    Ok(Some(match tx.finish(result).await? {
        Ok(participant) => ParticipantPayload { participant: Some(Arc::new(participant)), ..Default::default() },
        Err(rejection) => ParticipantPayload { user_errors: rejection.errors.into(), ..Default::default() },
    }))
}

async fn add(tx: &mut Tx, input: ParticipantInput) -> Result<Participant, Stop> {
    tx.scope.actor.demand(Resource::Conversation, Action::Update)?;
    let mut conversation = lock_conversation(tx, input.conversation_id.0, "conversationId").await?;
    if conversation.kind == ConversationKind::Direct {
        return Err(Stop::at("conversationId", UserErrorCode::Unsupported, "A direct conversation has two members."));
    }
    if !matches!(own_role(tx, conversation.id.0).await?, Some(ParticipantRole::Owner | ParticipantRole::Moderator)) {
        return Err(crate::Error::forbidden("Only owners and moderators of a conversation may add members.").into());
    }
    if !write::exists(tx, <Member as crate::kit::entity::Entity>::table(), input.member_id.0).await? {
        return Err(Stop::at("memberId", UserErrorCode::NotFound, "There is no such member."));
    }
    if let Some(already) = here(tx, conversation.id.0, input.member_id.0).await? {
        return Ok(already);
    }
    if conversation.archived_at.is_some() {
        let message = "This conversation is archived: nobody is added any more.";
        return Err(Stop::at("conversationId", UserErrorCode::StateInvalid, message));
    }
    let mut errors = UserErrors::default();
    block::check_reachable(tx, &[input.member_id], false, |_| "memberId".to_owned(), &mut errors).await?;
    if !errors.is_empty() {
        return Err(errors.into());
    }
    let added =
        join(tx, (conversation.id, conversation.last_seq + 1), input.member_id, ParticipantRole::Member).await?;
    tell_of(tx, &added, "participant_added")?;
    say(tx, &mut conversation, SystemNote::of(SystemEvent::MembersAdded, &[input.member_id])).await?;
    Ok(added)
}

async fn remove(tx: &mut Tx, conversation: Uuid, field: &str, member: Uuid) -> Result<Participant, Stop> {
    let mut locked = lock_conversation(tx, conversation, field).await?;
    if locked.kind == ConversationKind::Direct {
        return Err(Stop::at(field, UserErrorCode::Unsupported, "Nobody leaves a direct conversation."));
    }
    let Some(mut gone) = here(tx, conversation, member).await? else {
        return Err(Stop::at("memberId", UserErrorCode::NotFound, "This member is not in the conversation."));
    };
    let me = tx.scope.actor.member;
    if member != me {
        tx.scope.actor.demand(Resource::Conversation, Action::Update)?;
        let allowed = match own_role(tx, conversation).await? {
            Some(ParticipantRole::Owner) => true,
            Some(ParticipantRole::Moderator) => gone.role != ParticipantRole::Owner,
            _ => false,
        };
        if !allowed {
            return Err(
                crate::Error::forbidden("Only owners and moderators of a conversation may remove others.").into()
            );
        }
    }
    gone.left_at = Some(tx.now);
    store(tx, &mut gone).await?;
    tell_of(tx, &gone, "participant_removed")?;
    if gone.role == ParticipantRole::Owner {
        hand_on_and_tell(tx, conversation).await?;
    }
    // It takes no message any more, not even this one; the event tells it.
    if locked.archived_at.is_some() {
        return Ok(gone);
    }
    // Behind what ends their feed: they see nothing of it any more.
    if member == me {
        let left = say(tx, &mut locked, SystemNote::of(SystemEvent::MemberLeft, &[])).await?;
        return Ok(gone.having_sent(&left));
    }
    say(tx, &mut locked, SystemNote::of(SystemEvent::MembersRemoved, &[gone.member_id])).await?;
    Ok(gone)
}

async fn update(tx: &mut Tx, input: ParticipantUpdateInput) -> Result<Participant, Stop> {
    tx.scope.actor.demand(Resource::Conversation, Action::Update)?;
    let conversation = lock_conversation(tx, input.conversation_id.0, "conversationId").await?;
    if conversation.kind == ConversationKind::Direct {
        return Err(Stop::at("conversationId", UserErrorCode::Unsupported, "In a direct conversation all are alike."));
    }
    let Some(mut changed) = here(tx, conversation.id.0, input.member_id.0).await? else {
        return Err(Stop::at("memberId", UserErrorCode::NotFound, "This member is not in the conversation."));
    };
    let me = tx.scope.actor.member;
    if own_role(tx, conversation.id.0).await? != Some(ParticipantRole::Owner) {
        return Err(crate::Error::forbidden("Only owners of a conversation may change roles.").into());
    }
    if changed.role == input.role {
        return Ok(changed);
    }
    let place = (tx.scope.actor.organization, conversation.id.0);
    let everybody = by_seniority(tx.conn(), place).await?;
    let is_guest = everybody.iter().any(|seat| seat.member == changed.member_id.0 && seat.can == Can::Talk);
    if input.role == ParticipantRole::Owner && is_guest {
        let message = "A guest of the organization owns no group that members are in.";
        return Err(Stop::at("role", UserErrorCode::StateInvalid, message));
    }
    // Whoever changes roles is an owner, so that only one's own role can be the last owner's.
    let looks_after = |other: &Seat| other.member != me && other.owns && other.can == Can::LookAfter;
    if changed.member_id.0 == me && !everybody.iter().any(looks_after) {
        return Err(Stop::at(
            "role",
            UserErrorCode::StateInvalid,
            "A group always has an owner who can sign in: make somebody else one first.",
        ));
    }
    changed.role = input.role;
    store(tx, &mut changed).await?;
    tell_of(tx, &changed, "participant_updated")?;
    Ok(changed)
}

async fn store(tx: &mut Tx, participant: &mut Participant) -> Result<(), Stop> {
    let (organization, now) = (tx.scope.actor.organization, tx.now);
    Ok(seat::store(tx.conn(), organization, now, participant).await?)
}
