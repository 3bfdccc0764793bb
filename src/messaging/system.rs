//! What Stoa itself tells in a conversation: who came and went, what it is called and looks like, that it was put away.
//! Invariants: it is a message like others, in the numbers of its conversation and in the transaction of what it tells of; its
//! body says the same as its note, and whatever names and titles are, mentions nobody.

use super::{
    content::MessageKind,
    conversation::Conversation,
    message::{Message, tell_of},
    participant::Participant,
};
use crate::{
    identity::Member,
    kit::{
        id::Id,
        relation::to_one,
        sql::Sql,
        value::{Bind, Kind, Value},
        write::{Stop, Tx},
    },
    schema::{conversations, memberships, messages},
};
use async_graphql::{ComplexObject, Context, Enum, SimpleObject};
use diesel::{
    deserialize::{self, FromSql},
    pg::{Pg, PgValue},
    prelude::*,
    sql_types::Jsonb,
};
use diesel_async::RunQueryDsl;
use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use std::{collections::HashMap, sync::Arc};
use uuid::Uuid;

/// Characters of a title or topic that stand in the sentence.
const QUOTED: usize = 200;

/// What happened to a conversation. The sender of the message did it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SystemEvent {
    /// They added the members of `memberIds`.
    MembersAdded,
    /// They removed the members of `memberIds`.
    MembersRemoved,
    /// They joined.
    MemberJoined,
    /// They left.
    MemberLeft,
    /// They changed the title, to `title`.
    TitleChanged,
    /// They changed the topic, to `topic`.
    TopicChanged,
    /// They gave it another picture.
    AvatarChanged,
    /// They took its picture away.
    AvatarRemoved,
    /// They archived it.
    Archived,
    /// They got it back from the archive.
    Unarchived,
}

/// What a SYSTEM message tells.
#[derive(Clone, Debug, PartialEq, Eq, SimpleObject, Serialize, Deserialize)]
#[graphql(complex)]
pub struct SystemNote {
    /// What happened.
    pub event: SystemEvent,
    /// The ids of the members whom it concerns; empty: nobody but the sender.
    #[serde(default)]
    pub member_ids: Vec<Id<Member>>,
    /// Of TITLE_CHANGED, what it was called from then on; null: nothing.
    #[serde(default)]
    pub title: Option<String>,
    /// Of TOPIC_CHANGED, what it was about from then on; null: nothing.
    #[serde(default)]
    pub topic: Option<String>,
}

#[ComplexObject]
impl SystemNote {
    /// The members whom it concerns, those whom you may see.
    async fn members(&self, ctx: &Context<'_>) -> Vec<Arc<Member>> {
        let found = self.member_ids.iter().map(|id| to_one::<Member>(ctx, Some(id.0)));
        join_all(found).await.into_iter().flatten().collect()
    }
}

impl SystemNote {
    /// That something happened, to these members.
    pub fn of(event: SystemEvent, members: &[Id<Member>]) -> Self {
        SystemNote { event, member_ids: members.to_vec(), title: None, topic: None }
    }

    pub fn new_title(title: Option<String>) -> Self {
        SystemNote { title, ..SystemNote::of(SystemEvent::TitleChanged, &[]) }
    }

    pub fn new_topic(topic: Option<String>) -> Self {
        SystemNote { topic, ..SystemNote::of(SystemEvent::TopicChanged, &[]) }
    }

    pub fn new_avatar(avatar: Option<&str>) -> Self {
        let event = if avatar.is_some() { SystemEvent::AvatarChanged } else { SystemEvent::AvatarRemoved };
        SystemNote::of(event, &[])
    }

    /// The same as a sentence, in Markdown.
    fn sentence(&self, sender: Id<Member>, names: &HashMap<Uuid, String>) -> String {
        let name = |id: &Id<Member>| names.get(&id.0).map_or_else(|| "somebody".to_owned(), |name| plain(name));
        let others = || self.member_ids.iter().map(name).collect::<Vec<_>>().join(", ");
        let changed = |what: &str, to: &Option<String>| match to {
            Some(to) => format!("changed the {what} to “{}”", plain(to)),
            None => format!("removed the {what}"),
        };
        let did = match self.event {
            SystemEvent::MembersAdded => format!("added {}", others()),
            SystemEvent::MembersRemoved => format!("removed {}", others()),
            SystemEvent::MemberJoined => "joined".to_owned(),
            SystemEvent::MemberLeft => "left".to_owned(),
            SystemEvent::TitleChanged => changed("title", &self.title),
            SystemEvent::TopicChanged => changed("topic", &self.topic),
            SystemEvent::AvatarChanged => "changed the picture".to_owned(),
            SystemEvent::AvatarRemoved => "removed the picture".to_owned(),
            SystemEvent::Archived => "archived the conversation".to_owned(),
            SystemEvent::Unarchived => "unarchived the conversation".to_owned(),
        };
        format!("{} {did}.", name(&sender))
    }
}

/// A text as it is, whatever Markdown would make of it: one line of a bounded length, in which nobody is named by `<@…>`.
fn plain(text: &str) -> String {
    let cut = text.chars().nth(QUOTED).map(|_| '…');
    let mut plain = String::new();
    for letter in text.chars().take(QUOTED).chain(cut) {
        match letter {
            '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '~' => plain.extend(['\\', letter]),
            letter if letter.is_control() => plain.push(' '),
            letter => plain.push(letter),
        }
    }
    plain
}

impl Value for SystemNote {
    const KIND: Kind = Kind::Json;

    fn read(raw: Option<PgValue<'_>>) -> deserialize::Result<Self> {
        Ok(serde_json::from_value(<Json as FromSql<Jsonb, Pg>>::from_nullable_sql(raw)?)?)
    }

    fn bind(&self) -> Bind {
        Bind::Json(serde_json::to_value(self).ok())
    }
}

/// Tells in a conversation, which is held, what the caller has done to it: the last step of doing it. It is theirs as if they
/// had sent it, so that it is not new to them.
pub async fn say(tx: &mut Tx, conversation: &mut Conversation, note: SystemNote) -> Result<Message, Stop> {
    let (organization, sender) = (tx.scope.actor.organization, Id::from(tx.scope.actor.member));
    let named: Vec<Uuid> = note.member_ids.iter().map(|id| id.0).chain([sender.0]).collect();
    let names = memberships::table
        .filter(memberships::organization_id.eq(organization).and(memberships::id.eq_any(named)))
        .select((memberships::id, memberships::name));
    let names: Vec<(Uuid, String)> = names.load(tx.conn()).await?;
    // Who waited for the conversation is later than what was sent meanwhile.
    let at = conversation.last_message_at.map_or(tx.now, |last| last.max(tx.now));
    conversation.last_seq = conversation.last_seq.saturating_add(1);
    conversation.last_message_at = Some(at);
    let message = Message {
        id: Id::fresh(),
        conversation_id: conversation.id,
        seq: conversation.last_seq,
        sender_id: sender,
        kind: MessageKind::System,
        client_id: None,
        thread_root_id: None,
        thread_seq: None,
        reply_count: 0,
        last_reply_at: None,
        body: Some(note.sentence(sender, &names.into_iter().collect())),
        system: Some(note),
        edited_at: None,
        deleted_at: None,
        pinned_at: None,
        pinned_by: None,
        created_by: Some(sender),
        created_at: at,
        updated_at: at,
        version: 1,
    };
    diesel::update(conversations::table.find((organization, conversation.id.0)))
        .set((conversations::last_seq.eq(message.seq), conversations::last_message_at.eq(at.0)))
        .execute(tx.conn())
        .await?;
    diesel::insert_into(messages::table)
        .values((
            messages::organization_id.eq(organization),
            messages::id.eq(message.id.0),
            messages::conversation_id.eq(message.conversation_id.0),
            messages::seq.eq(message.seq),
            messages::sender_id.eq(sender.0),
            messages::kind.eq(message.kind.word()),
            messages::body.eq(&message.body),
            messages::system.eq(message
                .system
                .as_ref()
                .map(serde_json::to_value)
                .transpose()
                .map_err(crate::Error::from)?),
            messages::created_by.eq(sender.0),
            messages::created_at.eq(at.0),
            messages::updated_at.eq(at.0),
        ))
        .execute(tx.conn())
        .await?;
    move_sender(tx, &message).await?;
    tell_of(tx, &message, "message_sent")?;
    Ok(message)
}

/// Moves the sender's own position, as sending does: also of one who left by this, and not of one who came by it, for whom
/// nothing up to it is new.
async fn move_sender(tx: &mut Tx, message: &Message) -> Result<(), Stop> {
    let (seq, at) = (|| Bind::BigInt(Some(message.seq)), || Bind::Time(Some(message.created_at.0)));
    let mut sql = Sql::new("WITH sender AS (UPDATE participants p SET read_seq = ");
    sql.bind(seq()).push(", delivered_seq = ").bind(seq()).push(", last_read_seq = ").bind(seq());
    sql.push(", last_delivered_seq = ").bind(seq()).push(", sent_seq = ").bind(seq()).push(", read_at = ").bind(at());
    sql.push(", delivered_at = ")
        .bind(at())
        .push(", last_read_at = ")
        .bind(at())
        .push(", last_delivered_at = ")
        .bind(at());
    sql.push(
        " FROM participants old WHERE old.organization_id = p.organization_id AND old.id = p.id AND p.organization_id = ",
    );
    sql.bind(Bind::Uuid(Some(tx.scope.actor.organization))).push(" AND p.conversation_id = ");
    sql.bind(Bind::Uuid(Some(message.conversation_id.0))).push(" AND p.member_id = ");
    sql.bind(Bind::Uuid(Some(message.sender_id.0))).push(" AND p.read_seq < ").bind(seq());
    sql.push(
        " RETURNING p.organization_id, p.conversation_id, p.member_id, p.read_seq, p.read_at, old.last_read_seq AS read_before)
        INSERT INTO position_advances (organization_id, conversation_id, member_id, kind, upto_seq, at)
        SELECT organization_id, conversation_id, member_id, 'read', read_seq, read_at FROM sender
        WHERE read_before < read_seq - 1",
    );
    sql.execute(tx.conn()).await?;
    Ok(())
}

impl Participant {
    /// As they are once they have sent this.
    pub(super) fn having_sent(self, message: &Message) -> Self {
        let (seq, at) = (message.seq, Some(message.created_at));
        Participant { last_read_seq: seq, last_read_at: at, last_delivered_seq: seq, last_delivered_at: at, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::messaging::mention::Named;

    #[test]
    fn a_sentence_mentions_nobody_whatever_names_and_titles_are() {
        let (ada, bob) = (Id::from(Uuid::now_v7()), Id::from(Uuid::now_v7()));
        let names = HashMap::from([(ada.0, format!("<@{}>", bob.0)), (bob.0, "Bob *the* <@here>".to_owned())]);
        for (note, said) in [
            (SystemNote::of(SystemEvent::MembersAdded, &[bob]), "added Bob \\*the\\* \\<@here\\>."),
            (SystemNote::new_title(Some("<@channel>\nnews".into())), "changed the title to “\\<@channel\\> news”."),
            (SystemNote::new_topic(None), "removed the topic."),
            (SystemNote::new_avatar(None), "removed the picture."),
            (SystemNote::new_topic(Some("é".repeat(201))), "é…”."),
        ] {
            let body = note.sentence(ada, &names);
            assert!(body.ends_with(said), "{body}");
            assert!(Named::by(&body).is_nobody(), "{body}");
        }
    }
}
