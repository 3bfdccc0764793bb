//! Conversations: direct ones, of which every pair of members has exactly one, groups and channels, and those about a record,
//! which has at most one.

use super::{
    activity::Activity,
    block,
    message::*,
    open::{ConversationCreateInput, create},
    participant::*,
    partner, picture,
    system::{SystemNote, say},
};
use crate::{
    crm::{account::Account, contact::Contact, lead::Lead},
    db_enum,
    events::{Change, Payload, StreamKind},
    identity::{
        Member,
        avatar::{Asked, AvatarFile},
    },
    kit::{
        entity::{self, Entity},
        feed::Place,
        filter::DeletedRecords,
        id::Id,
        permission::{Action, Resource},
        relation::{Computed, or_null, to_one},
        resolve::scope,
        rules::{Rule, Rules, Tidy},
        scalars::DateTime,
        scope::{Actor, Scope},
        sql::Sql,
        user_error::{UserError, UserErrorCode, UserErrors},
        value::Bind,
        write::{self, Stop, Tx},
    },
    schema::conversations,
};
use async_graphql::{ComplexObject, Context, InputObject, MaybeUndefined, Object, SimpleObject};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use serde_json::json;
use std::sync::Arc;
use stoa_macros::entity;
use uuid::Uuid;

db_enum! {
    /// What kind of conversation it is.
    pub enum ConversationKind, filter ConversationKindFilter {
        /// Between two members; every pair has one.
        Direct = "direct",
        /// Between any number of members.
        Group = "group",
        /// About one thing, for whoever it concerns; may be open to the whole organization.
        Channel = "channel",
        /// About a record (`about`); every record has at most one. Who may read the record may join it.
        Record = "record",
    }
}

db_enum! {
    /// Who may find a conversation.
    pub enum ConversationVisibility, filter ConversationVisibilityFilter {
        /// Who is in it; it does not exist for others.
        Private = "private",
        /// Every member but guests: they may join it. Only who is in it reads.
        Public = "public",
    }
}

/// Where members talk.
#[entity(resource = Conversation, plural = conversations, visible_by = own, read_only, computed,
    with(super::own::Own, super::about::Concern), filters(own: super::own::OwnConversationFilter),
    has_many(messages: Message.conversation_id, participants: Participant.conversation_id))]
pub struct Conversation {
    pub id: Id<Conversation>,
    /// What kind it is.
    #[entity(filter, order, group)]
    pub kind: ConversationKind,
    /// Who may find it; PUBLIC only for channels.
    #[entity(filter)]
    #[serde(default = "private")]
    pub visibility: ConversationVisibility,
    /// What it is called; null for a direct conversation, and where nobody has said: then call one about a record as its
    /// `about` is called.
    #[entity(filter, order, search)]
    pub title: Option<String>,
    /// What it is about.
    #[entity(filter, search)]
    pub topic: Option<String>,
    /// The id of the object with its picture.
    #[entity(unshown)]
    #[serde(default)]
    pub avatar: Option<String>,
    /// The id of the account that it is about.
    #[entity(filter, unshown)]
    #[serde(default)]
    pub account_id: Option<Id<Account>>,
    /// The id of the contact that it is about.
    #[entity(filter, unshown)]
    #[serde(default)]
    pub contact_id: Option<Id<Contact>>,
    /// The id of the lead that it is about.
    #[entity(filter, unshown)]
    #[serde(default)]
    pub lead_id: Option<Id<Lead>>,
    /// The number of the newest message, SYSTEM ones included, also when it is gone; 0: there was none.
    #[entity(order)]
    pub last_seq: i64,
    /// When the newest message came, also when that is gone; null: there was none.
    #[entity(filter, order)]
    pub last_message_at: Option<DateTime>,
    /// When something was last said, or else when it was opened.
    #[entity(order, unindexed, unshown)]
    #[serde(skip)]
    pub active_at: Activity,
    /// Messages up to this number were removed for good when their time was over (`Organization.messageRetention`), save for
    /// deleted ones that are still replied to; 0: none. `MessagesExpired` moves it.
    #[entity()]
    #[serde(default)]
    pub expired_seq: i64,
    /// When it was put away; null: it was not.
    #[entity(filter, order)]
    pub archived_at: Option<DateTime>,
    /// Behind the newest event at the moment that the conversation was read: give it as `after` to
    /// `conversationEvents` to miss nothing of what comes. What is read below the conversation in the same answer may
    /// be newer already, and is then told once more: apply an event only if its record has a greater `version`.
    #[entity()]
    #[serde(skip)]
    pub cursor: Place,
}

/// What conversations were when there was nothing else.
fn private() -> ConversationVisibility {
    ConversationVisibility::Private
}

impl Rules for Conversation {}

/// The wall: only participants see a conversation.
fn own(actor: &Actor, sql: &mut Sql, alias: &'static str) {
    sql.push(" AND EXISTS (SELECT 1 FROM participants p WHERE p.organization_id = ").push(alias);
    sql.push(".organization_id AND p.conversation_id = ").push(alias).push(".id AND p.member_id = ");
    sql.bind(Bind::Uuid(Some(actor.member))).push(" AND p.left_at IS NULL)");
}

#[ComplexObject]
impl Computed<'_, Conversation> {
    /// When something was last said, or else when it was opened: what `inbox` is ordered by.
    async fn active_at(&self) -> DateTime {
        self.last_message_at.unwrap_or(self.created_at)
    }

    /// Where to fetch its picture, as `Member.avatarUrl`: a square of 256 pixels. Null: it has none; a direct one never has, and
    /// shows its `partner`.
    async fn avatar_url(&self, ctx: &Context<'_>) -> Option<String> {
        picture::url(ctx, self.avatar.as_deref()?)
    }

    /// The other member of a direct conversation; null for all others.
    async fn partner(&self, ctx: &Context<'_>) -> Option<Arc<Member>> {
        let other = or_null(ctx, async {
            match self.kind {
                ConversationKind::Direct => partner::of(scope(ctx)?, self.id.0).await,
                _ => Ok(None),
            }
        });
        to_one::<Member>(ctx, Box::pin(other).await).await
    }
}

/// Changes to a group: what is left out stays, null clears.
#[derive(Clone, Debug, InputObject)]
pub struct ConversationUpdateInput {
    /// Which conversation.
    pub id: Id<Conversation>,
    /// The version that the change is based on; with another by now nothing is written (user error CONFLICT).
    pub expected_version: Option<i32>,
    /// What it is called, at most 200 characters.
    pub title: MaybeUndefined<String>,
    /// What it is about, at most 1 000 characters.
    pub topic: MaybeUndefined<String>,
    /// Its picture: the id of a READY file that you have uploaded, a PNG, JPEG, GIF or WebP of at most 20 MiB and 50
    /// megapixels. A square of its middle is copied: delete the file when you like. What is no picture is INVALID, what is too
    /// large OUT_OF_RANGE. Null: no picture. Not for a direct conversation (UNSUPPORTED).
    pub avatar_file_id: MaybeUndefined<Id<AvatarFile>>,
}

/// What came of creating or changing a conversation.
#[derive(SimpleObject, Default)]
pub struct ConversationPayload {
    /// The conversation; null when nothing was written, save for a CONFLICT, which shows it as it stands.
    pub conversation: Option<Arc<Conversation>>,
    /// What the user has to mend; empty: all is well.
    pub user_errors: Vec<UserError>,
    /// The whole graph, to read on from here.
    pub query: crate::graphql::Query,
}

/// Mutations.
#[derive(Default)]
pub struct ConversationMutation;

#[Object]
impl ConversationMutation {
    /// Opens a conversation. A direct one that exists is returned as it is; so is one about a record, which you are in from then
    /// on. STATE_INVALID at `memberIds` for a direct one that is being imported at this moment.
    ///
    /// Errors: FORBIDDEN without the permission CREATE on CONVERSATION; RATE_LIMITED for too many pictures.
    async fn conversation_create(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The new conversation.")] input: ConversationCreateInput,
    ) -> Option<ConversationPayload> {
        or_null(ctx, async {
            let scope = scope(ctx)?;
            // A direct one has none, and says so.
            let file = input.avatar_file_id.filter(|_| input.kind != ConversationKind::Direct);
            let file = file.map_or(MaybeUndefined::Undefined, MaybeUndefined::Value);
            let asked = picture::make(scope, Action::Create, file).await?;
            run(Ok(scope), async move |tx| create(tx, input, asked).await).await
        })
        .await
    }

    /// Changes the title, topic or picture of a group or channel, or of the conversation about a record, and the topic also of a
    /// direct one. A SYSTEM message tells of each that changed, save in a direct one. An archived one stays as it is
    /// (STATE_INVALID).
    ///
    /// Errors: FORBIDDEN without the permission UPDATE on CONVERSATION; RATE_LIMITED for too many pictures.
    async fn conversation_update(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which conversation, and what changes.")] input: ConversationUpdateInput,
    ) -> Option<ConversationPayload> {
        or_null(ctx, async {
            let scope = scope(ctx)?;
            let asked = picture::make(scope, Action::Update, input.avatar_file_id).await?;
            run(Ok(scope), async move |tx| update(tx, input, asked).await).await
        })
        .await
    }
}

pub(super) async fn run(
    scope: crate::Result<&Scope>,
    write: impl AsyncFnOnce(&mut Tx) -> Result<Conversation, Stop>,
) -> crate::Result<Option<ConversationPayload>> {
    let scope = scope?;
    let mut tx = scope.begin().await?;
    let result = write(&mut tx).await;
    Ok(Some(match tx.finish(result).await? {
        // Read again, so that its cursor is of the same moment.
        Ok(conversation) => ConversationPayload {
            conversation: entity::find(scope, conversation.id.0, &[]).await?,
            ..Default::default()
        },
        Err(rejection) => ConversationPayload {
            conversation: match rejection.current {
                Some(id) => entity::find(scope, id, &[]).await?,
                None => None,
            },
            user_errors: rejection.errors.into(),
            ..Default::default()
        },
    }))
}

async fn update(tx: &mut Tx, input: ConversationUpdateInput, (avatar, unfit): Asked) -> Result<Conversation, Stop> {
    tx.scope.actor.demand(Resource::Conversation, Action::Update)?;
    let old = lock_conversation(tx, input.id.0, "id").await?;
    if input.expected_version.is_some_and(|expected| expected != old.version) {
        let mut errors = UserErrors::default();
        errors.add("expectedVersion", UserErrorCode::Conflict, "Somebody changed the conversation in the meantime.");
        return Err(Stop::Rejected(write::Rejection { errors, current: Some(old.id.0) }));
    }
    // It takes no message any more, and so none that tells what was changed.
    if old.archived_at.is_some() {
        let message = "This conversation is archived: get it back to change it.";
        return Err(Stop::at("id", UserErrorCode::StateInvalid, message));
    }
    // What a direct one is about is said to the other.
    if old.kind == ConversationKind::Direct
        && let Some(closed) = block::closed(&tx.scope, tx.reader(), old.id.0, "id").await?
    {
        return Err(closed);
    }
    let mut new = old.clone();
    let mut errors = UserErrors::default();
    if old.kind == ConversationKind::Direct && !input.title.is_undefined() {
        errors.add("title", UserErrorCode::Unsupported, "A direct conversation has no title.");
    }
    write::patch(&mut new.title, input.title);
    write::patch(&mut new.topic, input.topic);
    tidy(&mut new.title, &mut new.topic, &mut errors);
    if old.kind == ConversationKind::Channel && old.title.is_some() && new.title.is_none() && !errors.has("title") {
        errors.add("title", UserErrorCode::Required, "A channel has a title.");
    }
    if old.kind == ConversationKind::Direct && !input.avatar_file_id.is_undefined() {
        errors.add("avatarFileId", UserErrorCode::Unsupported, picture::NONE);
    } else {
        errors.extend(unfit);
    }
    if !errors.is_empty() {
        return Err(errors.into());
    }
    picture::change(tx, &mut new, avatar).await?;
    if (&new.title, &new.topic, &new.avatar) == (&old.title, &old.topic, &old.avatar) {
        return Ok(new);
    }
    new.version += 1;
    new.updated_at = tx.now;
    diesel::update(conversations::table.find((tx.scope.actor.organization, new.id.0)))
        .set((
            conversations::title.eq(&new.title),
            conversations::topic.eq(&new.topic),
            conversations::avatar.eq(&new.avatar),
            conversations::version.eq(new.version),
            conversations::updated_at.eq(new.updated_at.0),
        ))
        .execute(tx.conn())
        .await?;
    tell_of(tx, &new, "conversation_updated")?;
    if new.kind != ConversationKind::Direct {
        let title = (new.title != old.title).then(|| SystemNote::new_title(new.title.clone()));
        let topic = (new.topic != old.topic).then(|| SystemNote::new_topic(new.topic.clone()));
        let avatar = (new.avatar != old.avatar).then(|| SystemNote::new_avatar(new.avatar.as_deref()));
        for note in [title, topic, avatar].into_iter().flatten() {
            say(tx, &mut new, note).await?;
        }
    }
    Ok(new)
}

pub(super) fn tidy(title: &mut Option<String>, topic: &mut Option<String>, errors: &mut UserErrors) {
    title.tidy("title", &Rule { max: 200, ..Rule::DEFAULT }, errors);
    topic.tidy("topic", &Rule { max: 1000, multiline: true, ..Rule::DEFAULT }, errors);
}

/// The conversation, locked until the transaction ends, if the caller is in it; a user error NOT_FOUND otherwise. All
/// changes of who is in it, and as what, hold this lock: first it, then rows below it, then the head of the stream.
pub async fn lock_conversation(tx: &mut Tx, id: Uuid, field: &str) -> Result<Conversation, Stop> {
    let mut sql = entity::select(Conversation::table());
    entity::push_visible(Conversation::table(), &tx.scope, DeletedRecords::Exclude, &mut sql);
    sql.push(" AND t0.id = ").bind(Bind::Uuid(Some(id))).push(" FOR NO KEY UPDATE OF t0");
    let found: Vec<Conversation> = sql.load(tx.conn()).await?;
    let found = found.into_iter().next().ok_or_else(|| not_found(field))?;
    // Whoever waited for the lock may have been removed by the one who held it: that statement began before.
    if !is_participant(&tx.scope, tx.reader(), id).await? {
        return Err(not_found(field));
    }
    Ok(found)
}

/// What is told of a conversation that does not exist, or not for the caller.
pub fn not_found(field: &str) -> Stop {
    Stop::at(field, UserErrorCode::NotFound, "There is no such conversation.")
}

pub(super) fn tell_of(tx: &mut Tx, conversation: &Conversation, kind: &'static str) -> crate::Result<()> {
    let payload = json!({ "conversation": serde_json::to_value(conversation)? });
    tell(tx, conversation.id, kind, "Conversation", conversation.id.0, payload);
    Ok(())
}

/// Adds an event to a conversation's stream.
pub fn tell(
    tx: &mut Tx,
    conversation: Id<Conversation>,
    kind: &'static str,
    entity: &'static str,
    entity_id: Uuid,
    payload: impl Into<Payload>,
) {
    tx.record(change(conversation, kind, entity, entity_id, payload));
}

/// What a conversation's stream is told.
pub fn change(
    conversation: Id<Conversation>,
    kind: &'static str,
    entity: &'static str,
    entity_id: Uuid,
    payload: impl Into<Payload>,
) -> Change {
    let payload = payload.into();
    Change { stream: conversation.0, stream_kind: StreamKind::Conversation, kind, entity, entity_id, payload }
}
