//! Mentions: a message names members as `<@ID>` in its body, everybody in the conversation as `<@channel>`, and those who are
//! online as `<@here>`. Invariant: the body alone says who is mentioned; the rows here are an index of it, written with it, so
//! that everybody finds what mentions them.

use super::{conversation::Conversation, message::Message, participant::in_own_conversations};
use crate::{
    db_enum,
    identity::Member,
    kit::{
        id::Id,
        rules::Rules,
        scope::Scope,
        sql::Sql,
        user_error::{UserErrorCode, UserErrors},
        value::Bind,
        write::{Stop, Tx},
    },
};
use async_graphql::Context;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use serde_json::{Value as Json, json};
use stoa_macros::entity;
use uuid::Uuid;

/// Members whom one message names at most; beyond that it means everybody.
const MOST: usize = 50;
/// Characters of a member's id.
const ID: usize = 36;

db_enum! {
    /// Whom a mention means.
    pub enum MentionKind, filter MentionKindFilter {
        /// One member, by `<@ID>`.
        Member = "member",
        /// Everybody in the conversation, by `<@channel>`.
        Channel = "channel",
        /// Everybody in the conversation who is online, by `<@here>`.
        Here = "here",
    }
}

/// That a message mentions somebody.
#[entity(resource = Conversation, plural = mentions, visible_by = in_own_conversations, read_only)]
pub struct Mention {
    pub id: Id<Mention>,
    /// The id of the conversation.
    #[entity(filter, belongs_to = super::conversation::Conversation)]
    pub conversation_id: Id<Conversation>,
    /// The id of the message.
    #[entity(filter, belongs_to = super::message::Message)]
    pub message_id: Id<Message>,
    /// Whom it means.
    #[entity(filter, group)]
    pub kind: MentionKind,
    /// The id of the member; null unless `kind` is MEMBER.
    #[entity(filter, group, belongs_to = crate::identity::Member)]
    pub member_id: Option<Id<Member>>,
}

impl Rules for Mention {}

/// Whom a body names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Named {
    /// Each once, in the order of the body; one more than allowed at most.
    pub members: Vec<Uuid>,
    pub channel: bool,
    pub here: bool,
}

impl Named {
    /// What else stands between `<@` and `>` is text.
    pub fn by(body: &str) -> Self {
        let mut named = Named::default();
        for rest in body.split("<@").skip(1) {
            let end = rest.bytes().take(ID + 1).position(|byte| byte == b'>');
            match end.and_then(|end| rest.get(..end)) {
                Some("channel") => named.channel = true,
                Some("here") => named.here = true,
                Some(id) if id.len() == ID && named.members.len() <= MOST => {
                    let member = Uuid::try_parse(id).ok().filter(|member| !named.members.contains(member));
                    named.members.extend(member);
                }
                _ => {}
            }
        }
        named
    }

    pub fn is_nobody(&self) -> bool {
        *self == Named::default()
    }

    /// Whether a participant is meant.
    pub fn means(&self, member: Uuid) -> bool {
        self.channel || self.here || self.members.contains(&member)
    }

    /// TOO_LONG for more than anybody means.
    pub fn check(&self, errors: &mut UserErrors) {
        if self.members.len() > MOST {
            let message =
                format!("A message mentions at most {MOST} members; `<@channel>` means all of the conversation.");
            errors.add("body", UserErrorCode::TooLong, message);
        }
    }

    /// Pushes ` FROM jsonb_to_recordset(…) AS m (id, kind, member_id)`: a row a mention.
    fn push_rows(&self, sql: &mut Sql) {
        let row = |kind: MentionKind, member: Option<Uuid>| json!({ "id": Uuid::now_v7(), "kind": kind, "member_id": member });
        let all = [(self.channel, MentionKind::Channel), (self.here, MentionKind::Here)];
        let all = all.into_iter().filter(|(named, _)| *named).map(|(_, kind)| row(kind, None));
        let rows: Vec<Json> = self.members.iter().map(|id| row(MentionKind::Member, Some(*id))).chain(all).collect();
        sql.push("jsonb_to_recordset(").bind(Bind::Json(Some(Json::Array(rows))));
        sql.push("::jsonb) AS m (id uuid, kind text, member_id uuid)");
    }

    /// Pushes a part of the statement that sends, behind `sent`: the rows.
    pub fn push_stored(&self, sql: &mut Sql) {
        sql.push(
            ", mentioned AS (
              INSERT INTO mentions (organization_id, id, conversation_id, message_id, kind, member_id, created_by, created_at,
                updated_at)
              SELECT organization_id, m.id, conversation_id, sent.id, m.kind, m.member_id, sender_id, created_at, created_at
              FROM sent, ",
        );
        self.push_rows(sql);
        sql.push(")");
    }
}

/// Who of these is not in the conversation.
pub async fn outsiders(
    scope: &Scope,
    mut conn: &AsyncPgConnection,
    conversation: Uuid,
    members: &[Uuid],
) -> crate::Result<Vec<Uuid>> {
    if members.is_empty() {
        return Ok(Vec::new());
    }
    let mut sql = Sql::new("SELECT m.id FROM unnest(");
    sql.bind(Bind::Uuids(members.to_vec())).push(") AS m (id) WHERE ");
    push_outside(scope.actor.organization, conversation, &mut sql);
    let found: Vec<Outsider> = sql.load(&mut conn).await?;
    Ok(found.into_iter().map(|outsider| outsider.id).collect())
}

/// Pushes that `m.id` is nobody in the conversation.
pub fn push_outside(organization: Uuid, conversation: Uuid, sql: &mut Sql) {
    sql.push("NOT EXISTS (SELECT 1 FROM participants o WHERE o.organization_id = ");
    sql.bind(Bind::Uuid(Some(organization))).push(" AND o.conversation_id = ");
    sql.bind(Bind::Uuid(Some(conversation))).push(" AND o.member_id = m.id AND o.left_at IS NULL)");
}

#[derive(diesel::QueryableByName)]
struct Outsider {
    #[diesel(sql_type = diesel::sql_types::Uuid)]
    id: Uuid,
}

/// What is told of a body that names somebody who is not there.
pub fn not_here(outsiders: &[Uuid]) -> Stop {
    let named: Vec<String> = outsiders.iter().map(Uuid::to_string).collect();
    let message = format!("Only who is in the conversation can be mentioned; not in it: {}.", named.join(", "));
    Stop::at("body", UserErrorCode::NotFound, message)
}

/// Keeps the rows in step with a body that has changed, or is gone. Whom it named before may have left since.
pub async fn renew(tx: &mut Tx, message: &Message, before: &Named) -> Result<(), Stop> {
    let now = message.body.as_deref().map(Named::by).unwrap_or_default();
    let mut errors = UserErrors::default();
    now.check(&mut errors);
    if !errors.is_empty() {
        return Err(errors.into());
    }
    let new: Vec<Uuid> = now.members.iter().copied().filter(|id| !before.members.contains(id)).collect();
    let outside = outsiders(&tx.scope, tx.reader(), message.conversation_id.0, &new).await?;
    if !outside.is_empty() {
        return Err(not_here(&outside));
    }
    if now == *before {
        return Ok(());
    }
    let organization = Bind::Uuid(Some(tx.scope.actor.organization));
    let mut sql = Sql::new("DELETE FROM mentions x WHERE organization_id = ");
    sql.bind(organization.clone()).push(" AND message_id = ").bind(Bind::Uuid(Some(message.id.0)));
    sql.push(" AND NOT EXISTS (SELECT FROM ");
    now.push_rows(&mut sql);
    sql.push(" WHERE m.kind = x.kind AND m.member_id IS NOT DISTINCT FROM x.member_id)");
    sql.execute(tx.conn()).await?;
    let mut sql = Sql::new(
        "INSERT INTO mentions (organization_id, id, conversation_id, message_id, kind, member_id, created_by, created_at,
            updated_at) SELECT s.organization_id, m.id, s.conversation_id, s.id, m.kind, m.member_id, s.sender_id, ",
    );
    let at = Bind::Time(Some(tx.now.0));
    sql.bind(at.clone()).push("::timestamptz, ").bind(at).push("::timestamptz FROM messages s, ");
    now.push_rows(&mut sql);
    sql.push(" WHERE s.organization_id = ").bind(organization).push(" AND s.id = ");
    sql.bind(Bind::Uuid(Some(message.id.0))).push(
        " AND NOT EXISTS (SELECT FROM mentions x WHERE x.organization_id = s.organization_id AND x.message_id = s.id
            AND x.kind = m.kind AND x.member_id IS NOT DISTINCT FROM m.member_id)",
    );
    sql.execute(tx.conn()).await?;
    Ok(())
}

/// Whether a message means whoever asks.
pub fn mentions_me(ctx: &Context<'_>, message: &Message) -> crate::Result<bool> {
    let me = crate::kit::resolve::scope(ctx)?.actor.member;
    Ok(message.body.as_deref().is_some_and(|body| Named::by(body).means(me)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_names_members_by_their_ids_and_everybody_by_a_word() {
        let (ada, bob) = (Uuid::now_v7(), Uuid::now_v7());
        let body = format!("<@{ada}>, <@{bob}> and <@{ada}> again: <@here>!");
        assert_eq!(Named::by(&body), Named { members: vec![ada, bob], channel: false, here: true });
        assert!(Named::by("<@channel>").means(ada) && Named::by(&body).means(Uuid::nil()));
        assert!(!Named::by(&format!("<@{bob}>")).means(ada));
        let simple = ada.simple();
        for text in [
            "",
            "@channel",
            "<@>",
            "<@",
            "<@<@",
            "<@ here>",
            "<@chanñel>",
            &format!("<@{ada}"),
            &format!("<@{simple}>"),
        ] {
            assert!(Named::by(text).is_nobody(), "{text}");
        }
    }

    #[test]
    fn the_longest_body_is_read_in_no_time_and_names_no_more_than_it_may() {
        let hostile = ["<@".repeat(20_000), "<@é".repeat(13_000)];
        assert!(hostile.iter().all(|body| Named::by(body).is_nobody()));
        let many: String = (0..500).map(|_| format!("<@{}>", Uuid::now_v7())).collect();
        let named = Named::by(&many);
        assert_eq!(named.members.len(), MOST + 1);
        let mut errors = UserErrors::default();
        named.check(&mut errors);
        assert!(errors.has("body"));
    }
}
