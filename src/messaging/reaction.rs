//! Reactions: emojis that members put to messages, of Unicode or the organization's own. Each member, message and emoji at
//! most once: adding one that is there and removing one that is not change nothing, and are told to nobody. A deleted message
//! has none.

use super::{
    emoji::{self, Emoji},
    gather::{gathered, named_members},
    message::{Message, MessagePayload, lock_open, run},
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
    schema::reactions,
};
use async_graphql::{ComplexObject, Context, InputObject, Object, SimpleObject, dataloader::Loader};
use diesel::{
    prelude::*,
    sql_types::{Array, BigInt, Bool, Text, Uuid as SqlUuid},
};
use diesel_async::RunQueryDsl;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::{borrow::Cow, collections::HashMap, sync::Arc};
use uuid::Uuid;

/// Different emojis on a message at most: more than anybody reads, and what a page of messages may have to show.
pub const MOST_EMOJIS: i64 = 50;

/// One member's reaction, as a feed tells of it.
#[derive(Clone, Debug, Serialize, Deserialize, SimpleObject)]
#[graphql(complex)]
pub struct Reaction {
    /// The id of the message.
    pub message_id: Id<Message>,
    /// The id of the member.
    pub member_id: Id<Member>,
    /// The emoji: one of Unicode in its fully qualified form, or `:name:` of one of the organization's own.
    pub emoji: String,
    /// How many members react to the message with this emoji from then on. Take it as it is rather than count along: an
    /// event may come for what was fetched already.
    pub count: i64,
}

#[ComplexObject]
impl Reaction {
    /// Who reacted; null when you may not see them.
    async fn member(&self, ctx: &Context<'_>) -> Option<Arc<Member>> {
        to_one::<Member>(ctx, Some(self.member_id.0)).await
    }

    /// The organization's own emoji, as `ReactionGroup.customEmoji`.
    async fn custom_emoji(&self, ctx: &Context<'_>) -> Option<Arc<Emoji>> {
        emoji::shown(ctx, &self.emoji).await
    }
}

/// All reactions to a message with one emoji.
#[derive(Clone, Debug, SimpleObject)]
#[graphql(complex)]
pub struct ReactionGroup {
    /// The emoji: one of Unicode in its fully qualified form, or `:name:` of one of the organization's own.
    pub emoji: String,
    /// How many members react with it: at least one.
    pub count: i64,
    /// Whether you do.
    pub reacted_by_me: bool,
    #[graphql(skip)]
    members: Vec<Uuid>,
}

#[ComplexObject]
impl ReactionGroup {
    /// Who reacts with it, the first first.
    async fn members(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How many: 0 to 100, 10 unless said otherwise.")] first: Option<i32>,
    ) -> async_graphql::Result<Vec<Arc<Member>>> {
        named_members(ctx, &self.members, first).await
    }

    /// The organization's own emoji: the one that is called so now, else the last one that was. Null: it is one of Unicode, or
    /// one that was purged or that you may not see; show `emoji` then.
    async fn custom_emoji(&self, ctx: &Context<'_>) -> Option<Arc<Emoji>> {
        emoji::shown(ctx, &self.emoji).await
    }
}

/// A message and an emoji.
#[derive(Clone, Debug, InputObject)]
pub struct ReactionInput {
    /// Which message.
    pub message_id: Id<Message>,
    /// One emoji of Unicode, such as 👍 or 👩🏽‍🚀, or `:name:` of one of the organization's own.
    pub emoji: String,
}

/// Mutations.
#[derive(Default)]
pub struct ReactionMutation;

#[Object]
impl ReactionMutation {
    /// Puts an emoji to a message of a conversation that one is in. Once more changes nothing. What is neither an emoji of
    /// Unicode nor one of the organization that you may see is INVALID, as is one that was deleted. A message has at most 50
    /// different ones (LIMIT_EXCEEDED); a deleted message and an archived conversation take none (STATE_INVALID).
    async fn reaction_add(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "To which message, and what.")] input: ReactionInput,
    ) -> Option<MessagePayload> {
        or_null(ctx, run(scope(ctx), async move |tx| add(tx, input).await)).await
    }

    /// Takes one's own emoji from a message, be it that it was deleted from the organization's own since. One that is not there
    /// changes nothing.
    async fn reaction_remove(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "From which message, and what.")] input: ReactionInput,
    ) -> Option<MessagePayload> {
        or_null(ctx, run(scope(ctx), async move |tx| remove(tx, input).await)).await
    }
}

/// The one form of an emoji that has several: with or without the selector of its coloured picture it is the same, and so are
/// names in small letters and in capitals.
fn known(emoji: &str) -> Result<Cow<'static, str>, Stop> {
    let given = emoji.trim();
    let unicode = emojis::get(given).map(|found| Cow::Borrowed(found.as_str()));
    let found = unicode.or_else(|| Some(Cow::Owned(format!(":{}:", emoji::in_colons(given)?))));
    found.ok_or_else(|| {
        unknown("This is no emoji that we know: give one of Unicode, or :name: of the organization's own.")
    })
}

fn unknown(message: &'static str) -> Stop {
    Stop::at("emoji", UserErrorCode::Invalid, message)
}

async fn add(tx: &mut Tx, input: ReactionInput) -> Result<Message, Stop> {
    let emoji = &*known(&input.emoji)?;
    if let Some(name) = emoji::in_colons(emoji)
        && !emoji::is_live(tx, &name).await?
    {
        return Err(unknown("The organization has no emoji of this name."));
    }
    let (message, _) = lock_open(tx, input.message_id.0, "messageId").await?;
    if message.deleted_at.is_some() {
        return Err(Stop::at("messageId", UserErrorCode::StateInvalid, "The message was deleted."));
    }
    let (organization, me) = (tx.scope.actor.organization, tx.scope.actor.member);
    let added = diesel::insert_into(reactions::table)
        .values((
            reactions::organization_id.eq(organization),
            reactions::message_id.eq(message.id.0),
            reactions::member_id.eq(me),
            reactions::emoji.eq(emoji),
            reactions::created_at.eq(tx.now.0),
        ))
        .on_conflict_do_nothing()
        .execute(tx.conn())
        .await?;
    if added == 1 {
        let (count, different) = counted(tx, &message, emoji).await?;
        if different > MOST_EMOJIS {
            let message = format!("A message has at most {MOST_EMOJIS} different emojis.");
            return Err(Stop::at("emoji", UserErrorCode::LimitExceeded, message));
        }
        tell(tx, &message, "reaction_added", emoji, count);
    }
    Ok(message)
}

async fn remove(tx: &mut Tx, input: ReactionInput) -> Result<Message, Stop> {
    let emoji = &*known(&input.emoji)?;
    let (message, _) = lock_open(tx, input.message_id.0, "messageId").await?;
    let (organization, me) = (tx.scope.actor.organization, tx.scope.actor.member);
    let own = reactions::table.find((organization, message.id.0, me, emoji));
    if diesel::delete(own).execute(tx.conn()).await? == 1 {
        let (count, _) = counted(tx, &message, emoji).await?;
        tell(tx, &message, "reaction_removed", emoji, count);
    }
    Ok(message)
}

/// How many react with this emoji, and how many different ones there are; the message is locked, so that neither changes.
async fn counted(tx: &mut Tx, message: &Message, emoji: &str) -> Result<(i64, i64), Stop> {
    let mut sql = Sql::new("SELECT count(*) FILTER (WHERE emoji = ");
    sql.bind(Bind::Text(Some(emoji.to_owned()))).push(") AS count, count(DISTINCT emoji) AS different FROM reactions");
    sql.push(" WHERE organization_id = ").bind(Bind::Uuid(Some(tx.scope.actor.organization)));
    sql.push(" AND message_id = ").bind(Bind::Uuid(Some(message.id.0)));
    let counted: Counted = sql.get_result(tx.conn()).await?;
    Ok((counted.count, counted.different))
}

#[derive(QueryableByName)]
struct Counted {
    #[diesel(sql_type = BigInt)]
    count: i64,
    #[diesel(sql_type = BigInt)]
    different: i64,
}

fn tell(tx: &mut Tx, message: &Message, kind: &'static str, emoji: &str, count: i64) {
    let reaction = json!({
        "message_id": message.id, "member_id": tx.scope.actor.member, "emoji": emoji, "count": count
    });
    super::conversation::tell(
        tx,
        message.conversation_id,
        kind,
        "Reaction",
        message.id.0,
        json!({ "reaction": reaction }),
    );
}

/// The reactions to a message, in the order in which the emojis first came; those to all messages of a page in one query.
pub async fn of(ctx: &Context<'_>, message: &Message) -> Result<Vec<ReactionGroup>> {
    if message.deleted_at.is_some() {
        return Ok(Vec::new());
    }
    gathered(scope(ctx)?, message.id.0, |scope| Groups { scope }).await
}

struct Groups {
    scope: Scope,
}

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = SqlUuid)]
    message_id: Uuid,
    #[diesel(sql_type = Text)]
    emoji: String,
    #[diesel(sql_type = BigInt)]
    count: i64,
    #[diesel(sql_type = Bool)]
    mine: bool,
    #[diesel(sql_type = Array<SqlUuid>)]
    members: Vec<Uuid>,
}

impl Loader<Uuid> for Groups {
    type Value = Vec<ReactionGroup>;
    type Error = Error;

    async fn load(&self, messages: &[Uuid]) -> Result<HashMap<Uuid, Self::Value>> {
        let actor = &self.scope.actor;
        let mut sql = Sql::new("SELECT message_id, emoji, count(*) AS count, bool_or(member_id = ");
        sql.bind(Bind::Uuid(Some(actor.member))).push(
            ") AS mine, (array_agg(member_id ORDER BY created_at, member_id))[1:100] AS members
            FROM reactions WHERE organization_id = ",
        );
        sql.bind(Bind::Uuid(Some(actor.organization))).push(" AND message_id = ANY(");
        sql.bind(Bind::Uuids(messages.to_vec()));
        sql.push(") GROUP BY message_id, emoji ORDER BY message_id, min(created_at), emoji");
        let rows: Vec<Row> = sql.load(&mut &*self.scope.reader().await?).await?;
        let mut groups: HashMap<Uuid, Vec<ReactionGroup>> = HashMap::new();
        for Row { message_id, emoji, count, mine, members } in rows {
            let group = ReactionGroup { emoji, count, reacted_by_me: mine, members };
            groups.entry(message_id).or_default().push(group);
        }
        Ok(groups)
    }
}

#[cfg(test)]
mod tests {
    use super::known;

    #[test]
    fn an_emoji_has_one_form() {
        for (given, kept) in [
            ("👍", "👍"),
            ("❤", "❤️"),
            ("❤️", "❤️"),
            ("👩🏽‍🚀", "👩🏽‍🚀"),
            ("🇩🇪", "🇩🇪"),
            ("1️⃣", "1️⃣"),
            (" 🎉 ", "🎉"),
            (" :Party_Blob: ", ":party_blob:"),
        ] {
            assert_eq!(known(given).ok().as_deref(), Some(kept), "{given}");
        }
        for none in [
            "",
            " ",
            "a",
            ":a:",
            ":party",
            ":par ty:",
            "👍👍",
            "👍a",
            "🇩",
            "\u{200d}",
            "\u{0}",
            "<b>",
            "1",
            &"👍".repeat(10_000),
        ] {
            assert!(known(none).is_err(), "{none}");
        }
    }
}
