//! Opening conversations. Invariant: a pair of members has one direct conversation, and a record one about it, whoever opens it
//! and however often.

use super::{
    about::About,
    activity::Activity,
    block, channel,
    conversation::{Conversation, ConversationKind, ConversationVisibility, tell_of, tidy},
    import,
    participant::{ParticipantRole, is_participant},
    picture,
    seat::{self, here, join},
};
use crate::{
    identity::{
        avatar::{Asked, AvatarFile},
        member::{Member, hold_members},
    },
    kit::{
        entity::{self, Entity},
        feed::Place,
        id::Id,
        permission::{Action, Resource},
        user_error::{UserErrorCode, UserErrors},
        value::Bind,
        write::{Stop, Tx},
    },
    schema::conversations,
};
use async_graphql::InputObject;
use diesel::{
    prelude::*,
    result::{DatabaseErrorKind::ForeignKeyViolation, Error::DatabaseError},
};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

/// Members that a conversation is opened with at most, beside who opens it.
const MOST_MEMBERS: usize = 200;

/// A new conversation.
#[derive(Clone, Debug, InputObject)]
pub struct ConversationCreateInput {
    /// An id of the client's own making (a UUID, best version 7); ignored when the direct conversation, or the one about the
    /// record, exists.
    pub id: Option<Id<Conversation>>,
    /// DIRECT with exactly one other member; a CHANNEL has a title; a RECORD is `about` one; GROUP unless said otherwise.
    #[graphql(default_with = "ConversationKind::Group")]
    pub kind: ConversationKind,
    /// Who may find it; PUBLIC only for a channel, PRIVATE unless said otherwise.
    #[graphql(default_with = "ConversationVisibility::Private")]
    pub visibility: ConversationVisibility,
    /// What a conversation of several is called, at most 200 characters.
    pub title: Option<String>,
    /// What it is about, at most 1 000 characters.
    pub topic: Option<String>,
    /// The picture of a conversation of several: the id of a READY file that you have uploaded, as in `ConversationUpdateInput`.
    pub avatar_file_id: Option<Id<AvatarFile>>,
    /// The other members; who creates it is in it anyway. At most 200. STATE_INVALID for one who cannot be written to at
    /// present, be it that they are suspended.
    #[graphql(default)]
    pub member_ids: Vec<Id<Member>>,
    /// The record that a RECORD conversation is about, and only that: one that you may read (NOT_FOUND otherwise). Where there is one
    /// about it, you join that, and all else that is said here is ignored; STATE_INVALID if it is archived.
    pub about: Option<About>,
}

pub async fn create(tx: &mut Tx, input: ConversationCreateInput, (avatar, unfit): Asked) -> Result<Conversation, Stop> {
    let actor = tx.scope.actor.clone();
    if actor.permissions.reach(Resource::Conversation, Action::Create).is_none() {
        return Err(crate::Error::forbidden("Your role may not open conversations.").into());
    }
    let mut errors = UserErrors::default();
    let mut others: Vec<Uuid> = input.member_ids.iter().map(|id| id.0).filter(|id| *id != actor.member).collect();
    others.sort_unstable();
    others.dedup();
    let (mut title, mut topic) = (input.title, input.topic);
    tidy(&mut title, &mut topic, &mut errors);
    match input.kind {
        ConversationKind::Direct if others.len() != 1 => {
            errors.add("memberIds", UserErrorCode::Invalid, "A direct conversation has exactly one other member.");
        }
        ConversationKind::Direct if title.is_some() => {
            errors.add("title", UserErrorCode::Unsupported, "A direct conversation has no title.");
        }
        ConversationKind::Channel if title.is_none() => {
            errors.add("title", UserErrorCode::Required, "A channel has a title.");
        }
        ConversationKind::Record if input.about.is_none() => {
            errors.add("about", UserErrorCode::Required, "Say which record it is about.");
        }
        _ if others.len() > MOST_MEMBERS => {
            errors.add("memberIds", UserErrorCode::TooLong, format!("At most {MOST_MEMBERS} members at once."));
        }
        _ => {}
    }
    if input.avatar_file_id.is_some() && input.kind == ConversationKind::Direct {
        errors.add("avatarFileId", UserErrorCode::Unsupported, picture::NONE);
    }
    errors.extend(unfit);
    if input.about.is_some() && input.kind != ConversationKind::Record {
        errors.add("about", UserErrorCode::Unsupported, "Only a conversation of the kind RECORD is about one.");
    }
    if input.visibility == ConversationVisibility::Public && input.kind != ConversationKind::Channel {
        errors.add("visibility", UserErrorCode::Unsupported, "Only a channel can be public.");
    }
    // Of that kind are the streams of other things than conversations.
    if input.id.is_some_and(|id| id.0.get_version_num() == 5) {
        errors.add(
            "id",
            UserErrorCode::Invalid,
            "Choose a UUID of version 7: one of version 5 may have another meaning.",
        );
    }
    if errors.is_empty() {
        let known = entity::find_many::<Member>(&tx.scope, tx.reader(), others.clone()).await?;
        for (index, id) in input.member_ids.iter().enumerate() {
            if id.0 != actor.member && !known.iter().any(|member| member.id == *id) {
                errors.add(&format!("memberIds.{index}"), UserErrorCode::NotFound, "There is no such member.");
            }
        }
        if let Some(about) = input.about
            && !about.is_readable(tx).await?
        {
            errors.add(&about.field(), UserErrorCode::NotFound, NO_RECORD);
        }
    }
    if !errors.is_empty() {
        return Err(errors.into());
    }
    let direct_with = match (input.kind, others.as_slice()) {
        (ConversationKind::Direct, [other]) => Some(*other),
        _ => None,
    };
    if let Some(other) = direct_with {
        // Who blocks at this moment comes before or after.
        hold_members(tx, [actor.member, other]).await?;
    }
    let direct_key = direct_with.map(|other| block::direct_key(actor.member, other));
    let (id, now) = (input.id.unwrap_or_else(Id::fresh), tx.now);
    let mut conversation = Conversation {
        id,
        kind: input.kind,
        visibility: input.visibility,
        title,
        topic,
        avatar: None,
        account_id: None,
        contact_id: None,
        lead_id: None,
        last_seq: 0,
        last_message_at: None,
        active_at: Activity::default(),
        expired_seq: 0,
        archived_at: None,
        cursor: Place::default(),
        created_by: Some(actor.member.into()),
        created_at: now,
        updated_at: now,
        version: 1,
    };
    if let Some(about) = input.about {
        about.set(&mut conversation);
    }
    picture::change(tx, &mut conversation, avatar).await?;
    let made = diesel::insert_into(conversations::table)
        .values((
            conversations::organization_id.eq(actor.organization),
            conversations::id.eq(id.0),
            conversations::kind.eq(input.kind.word()),
            conversations::visibility.eq(input.visibility.word()),
            conversations::title.eq(&conversation.title),
            conversations::topic.eq(&conversation.topic),
            conversations::avatar.eq(&conversation.avatar),
            conversations::account_id.eq(conversation.account_id.map(|id| id.0)),
            conversations::contact_id.eq(conversation.contact_id.map(|id| id.0)),
            conversations::lead_id.eq(conversation.lead_id.map(|id| id.0)),
            conversations::direct_key.eq(&direct_key),
            conversations::created_by.eq(actor.member),
            conversations::created_at.eq(now.0),
            conversations::updated_at.eq(now.0),
        ))
        .on_conflict_do_nothing()
        .execute(tx.conn())
        .await
        .map_err(|fault| match (input.about, fault) {
            // Purged at this moment.
            (Some(about), DatabaseError(ForeignKeyViolation, _)) => {
                Stop::at(&about.field(), UserErrorCode::NotFound, NO_RECORD)
            }
            (_, fault) => fault.into(),
        })?;
    if made == 0 {
        return existing(tx, direct_with, input.about).await;
    }
    // Behind the insertion: a direct conversation that exists is answered as it is, to whomever.
    let path = |index| format!("memberIds.{index}");
    block::check_reachable(tx, &input.member_ids, direct_with.is_some(), path, &mut errors).await?;
    if !errors.is_empty() {
        return Err(errors.into());
    }
    join(tx, (id, 0), actor.member.into(), ParticipantRole::Owner).await?;
    let role = match input.kind {
        ConversationKind::Direct => ParticipantRole::Owner,
        ConversationKind::Group | ConversationKind::Channel | ConversationKind::Record => ParticipantRole::Member,
    };
    for other in others {
        join(tx, (id, 0), other.into(), role).await?;
    }
    tell_of(tx, &conversation, "conversation_created")?;
    Ok(conversation)
}

/// What is told of a record that does not exist, or not for the caller.
const NO_RECORD: &str = "There is no such record.";

/// What was in the way of a new conversation: the direct one of this pair, the one about this record, which the caller joins, or
/// a client's id that is taken.
async fn existing(tx: &mut Tx, direct_with: Option<Uuid>, about: Option<About>) -> Result<Conversation, Stop> {
    let direct_key = direct_with.map(|other| block::direct_key(tx.scope.actor.member, other));
    let mut sql = entity::select(Conversation::table());
    sql.push(" WHERE t0.organization_id = ").bind(Bind::Uuid(Some(tx.scope.actor.organization)));
    match about {
        Some(about) => {
            about.push_named(&mut sql);
            sql.push(" FOR NO KEY UPDATE OF t0")
        }
        None => sql.push(" AND t0.direct_key = ").bind(Bind::Text(direct_key)),
    };
    let found: Vec<Conversation> = sql.load(tx.conn()).await?;
    if let Some(mut found) = found.into_iter().next() {
        if about.is_some() {
            channel::come_in(tx, &mut found, "about").await?;
        }
        if let Some(other) = direct_with {
            sit_down(tx, found.id, other).await?;
        }
        return Ok(found);
    }
    Err(Stop::at("id", UserErrorCode::NotUnique, "There is already a record with this id."))
}

/// Sees to it that the two are in their direct conversation. They are not where an import opened it and has not come to its end:
/// while it runs they wait, for what they write would keep out the rest; where it broke off they come in, for good.
async fn sit_down(tx: &mut Tx, direct: Id<Conversation>, other: Uuid) -> Result<(), Stop> {
    if is_participant(&tx.scope, tx.reader(), direct.0).await? {
        return Ok(());
    }
    if import::is_running(tx).await? {
        let message = "What the two of you have said elsewhere is being imported: try again in some minutes.";
        return Err(Stop::at("memberIds", UserErrorCode::StateInvalid, message));
    }
    let (organization, me) = (tx.scope.actor.organization, tx.scope.actor.member);
    let held = conversations::table.find((organization, direct.0)).select(conversations::last_seq).for_no_key_update();
    let head: i64 = held.first(tx.conn()).await?;
    for member in [me, other] {
        // It may have come to its end a moment ago.
        if here(tx, direct.0, member).await?.is_none() {
            let seated = join(tx, (direct, head), member.into(), ParticipantRole::Owner).await?;
            seat::tell_of(tx, &seated, "participant_added")?;
        }
    }
    Ok(())
}
