//! What a member has set for a conversation: whether it is pinned or muted, what they want to be told of, what they have
//! begun to write. Invariant: it is theirs alone. Nobody else is shown it, and the log says only that it changed, on a
//! stream that is their own.

use super::{
    conversation::{Conversation, ConversationPayload, not_found},
    own::{Standing, standing_of},
    participant::may_talk,
};
use crate::{
    db_enum,
    events::{Change, StreamKind, stream_of_member},
    kit::{
        entity,
        id::Id,
        relation::or_null,
        resolve::scope,
        rules::{Rule, Tidy},
        scalars::DateTime,
        scope::Scope,
        user_error::UserErrors,
        value::Bind,
        write::{Stop, Tx, patch, patch_required},
    },
    schema::participants,
};
use async_graphql::{Context, InputObject, MaybeUndefined, Object, SimpleObject};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use serde_json::json;

db_enum! {
    /// Of which messages of a conversation a member wants to be told.
    pub enum NotificationLevel, filter NotificationLevelFilter {
        /// Of all that concern them: where they are mentioned, in threads that they follow, and each of a direct conversation. What
        /// else is said is counted (`unreadCount`).
        All = "all",
        /// Of those that mention them.
        Mentions = "mentions",
        /// Of none.
        None = "none",
    }
}

impl NotificationLevel {
    /// From what is stored; a word that this version does not know is as good as none said.
    pub fn of(word: &str) -> Self {
        let known = [NotificationLevel::Mentions, NotificationLevel::None];
        known.into_iter().find(|level| level.word() == word).unwrap_or(NotificationLevel::All)
    }
}

/// What you have set for a conversation. Nobody else sees it.
#[derive(Clone, Debug, PartialEq, SimpleObject)]
pub struct ConversationSettings {
    /// Whether it stands above the others.
    pub pinned: bool,
    /// Until when it makes no sound; null or past: it is not muted.
    pub muted_until: Option<DateTime>,
    /// Of which messages you want to be told; ALL unless said otherwise.
    pub notification_level: NotificationLevel,
    /// What you have begun to write here, in Markdown; null: nothing.
    pub draft: Option<String>,
}

/// Changes to what you have set: what is left out stays, null clears.
#[derive(Clone, Debug, InputObject)]
pub struct ConversationSettingsUpdateInput {
    /// In which conversation.
    pub conversation_id: Id<Conversation>,
    /// Whether it stands above the others; not null.
    pub pinned: MaybeUndefined<bool>,
    /// Until when it makes no sound; far away for ever.
    pub muted_until: MaybeUndefined<DateTime>,
    /// Of which messages you want to be told; not null.
    pub notification_level: MaybeUndefined<NotificationLevel>,
    /// What you have begun to write, at most 40 000 characters; space around it goes. Once you have sent it, clear it.
    pub draft: MaybeUndefined<String>,
}

/// Mutations.
#[derive(Default)]
pub struct SettingsMutation;

#[Object]
impl SettingsMutation {
    /// Changes what you have set for a conversation. Your other devices hear of it, and nobody else.
    async fn conversation_settings_update(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "In which conversation, and what changes.")] input: ConversationSettingsUpdateInput,
    ) -> Option<ConversationPayload> {
        or_null(ctx, async { run(scope(ctx)?, input).await.map(Some) }).await
    }
}

async fn run(scope: &Scope, input: ConversationSettingsUpdateInput) -> crate::Result<ConversationPayload> {
    may_talk(scope)?;
    let id = input.conversation_id.0;
    let mut tx = scope.begin().await?;
    let result = update(&mut tx, input).await;
    Ok(match tx.finish(result).await? {
        Ok(()) => ConversationPayload { conversation: entity::find(scope, id, &[]).await?, ..Default::default() },
        Err(rejection) => ConversationPayload { user_errors: rejection.errors.into(), ..Default::default() },
    })
}

async fn update(tx: &mut Tx, input: ConversationSettingsUpdateInput) -> Result<(), Stop> {
    let id = input.conversation_id;
    let mut sql = standing_of(&tx.scope, Bind::Uuids(vec![id.0]));
    sql.push(" FOR NO KEY UPDATE");
    let found: Vec<Standing> = sql.load(tx.conn()).await?;
    let old = found.into_iter().next().ok_or_else(|| not_found("conversationId"))?.settings();
    let (mut new, mut errors) = (old.clone(), UserErrors::default());
    patch_required(&mut new.pinned, input.pinned, "pinned", &mut errors);
    patch(&mut new.muted_until, input.muted_until);
    patch_required(&mut new.notification_level, input.notification_level, "notificationLevel", &mut errors);
    patch(&mut new.draft, input.draft);
    new.draft.tidy("draft", &Rule { max: 40_000, multiline: true, ..Rule::DEFAULT }, &mut errors);
    if !errors.is_empty() {
        return Err(errors.into());
    }
    if new == old {
        return Ok(());
    }
    let (organization, member) = (tx.scope.actor.organization, tx.scope.actor.member);
    let own = participants::table
        .filter(participants::organization_id.eq(organization))
        .filter(participants::conversation_id.eq(id.0))
        .filter(participants::member_id.eq(member));
    diesel::update(own)
        .set((
            participants::pinned.eq(new.pinned),
            participants::muted_until.eq(new.muted_until.map(|time| time.0)),
            participants::notification_level.eq(new.notification_level.word()),
            participants::draft.eq(&new.draft),
        ))
        .execute(tx.conn())
        .await?;
    tx.record(Change {
        stream: stream_of_member(member),
        stream_kind: StreamKind::Member,
        kind: "settings_changed",
        entity: "ConversationSettings",
        entity_id: id.0,
        // What they are now is read where it is shown: a draft that was taken back is nowhere any more.
        payload: json!({ "conversation_id": id.0 }).into(),
    });
    Ok(())
}
