//! Conversations, as members see them.

mod attachment;
mod block;
mod channel;
mod conversation;
mod emoji;
mod export;
mod feed;
mod history;
mod import;
mod inbox;
mod inbox_list;
mod kind;
mod link;
pub mod live;
mod mention;
mod message;
mod notification;
mod notification_feed;
mod notification_follow;
mod participant;
mod picture;
mod pin;
mod position;
mod reaction;
mod record;
mod retention;
mod scheduled;
mod settings;
mod snapshot;
mod thread;
mod together;
pub mod typing;
pub mod user_contact;
mod version;

use crate::kit::{Founder, Server, data};
use live::{Feed, Said};
use serde_json::{Value, json};

/// All that a message says of itself.
pub const MESSAGE: &str = "id conversationId seq senderId kind clientId threadRootId threadSeq replyCount
    lastReplyAt body system { event memberIds title topic }
    editedAt deletedAt pinnedAt pinnedBy attachments { nodes { fileId } } createdAt updatedAt version";

/// What belongs to a message beside its columns.
pub const PARTS: &str =
    "reactions { emoji count reactedByMe } followedByMe mentionsMe versions { version body writtenAt }";

/// The feed of a conversation, with all that its events say.
pub fn events() -> String {
    let participant = "participant { id memberId role joinedAt leftAt version updatedAt
        lastReadSeq lastReadAt lastDeliveredSeq lastDeliveredAt }";
    let of = |kind: &str, said: &str| format!("... on {kind} {{ {said} }}");
    let message = format!("message {{ {MESSAGE} }}");
    let all = [
        of("FeedEvent", "cursor occurredAt"),
        of("ConversationUpdated", "conversation { title topic archivedAt version updatedAt cursor }"),
        ["ParticipantAdded", "ParticipantUpdated", "ParticipantRemoved"].map(|kind| of(kind, participant)).join(" "),
        of("MessagesExpired", "upTo kept"),
        of("ReceiptsMoved", "receipts { memberId readUpTo readAt deliveredUpTo deliveredAt member { id } }"),
        ["MessageSent", "MessageEdited", "MessageDeleted", "MessagePinned", "MessageUnpinned"]
            .map(|kind| of(kind, &message))
            .join(" "),
        ["ReactionAdded", "ReactionRemoved"]
            .map(|kind| of(kind, "reaction { messageId memberId emoji count }"))
            .join(" "),
        ["ThreadFollowed", "ThreadUnfollowed"].map(|kind| of(kind, "follower { messageId memberId }")).join(" "),
    ];
    format!(
        "subscription($id: ID!, $after: String) {{ conversationEvents(conversationId: $id, after: $after) {{ __typename {} }} }}",
        all.join(" ")
    )
}

/// A conversation that a test talks in.
#[derive(Clone)]
pub struct Talk {
    pub id: String,
    /// Behind its opening.
    pub cursor: String,
}

impl Server {
    /// A group of its founder and others.
    pub async fn group(&self, by: &Founder, others: &[&Founder]) -> Talk {
        let members: Vec<_> = others.iter().map(|member| member.member).collect();
        let query = "mutation($input: ConversationCreateInput!) { conversationCreate(input: $input) {
            conversation { id cursor } userErrors { field message } } }";
        let answer = self.graphql(query, json!({ "input": { "title": "Team", "memberIds": members } }), Some(by)).await;
        let text = |path: &str| data(&answer, path).as_str().expect("text").to_owned();
        Talk { id: text("conversationCreate.conversation.id"), cursor: text("conversationCreate.conversation.cursor") }
    }

    /// The answer to a `messageSend`.
    pub async fn send(&self, by: &Founder, input: Value) -> Value {
        let query = format!(
            "mutation($input: MessageSendInput!) {{ messageSend(input: $input) {{
                message {{ {MESSAGE} }} userErrors {{ field code message }} }} }}"
        );
        self.graphql(&query, json!({ "input": input }), Some(by)).await
    }

    /// Sends a text; the message.
    pub async fn say(&self, by: &Founder, talk: &Talk, body: &str) -> Value {
        let answer = self.send(by, json!({ "conversationId": talk.id, "body": body })).await;
        data(&answer, "messageSend.message").clone()
    }

    /// Sends a reply; the message.
    pub async fn reply(&self, by: &Founder, talk: &Talk, root: &Value, body: &str) -> Value {
        let input = json!({ "conversationId": talk.id, "body": body, "threadRootId": root["id"] });
        data(&self.send(by, input).await, "messageSend.message").clone()
    }

    /// The answer to a mutation that is called `done` and answers a message.
    pub async fn change(&self, by: &Founder, mutation: &str, input: Value) -> Value {
        let kind = match mutation {
            "messagePin" | "messageUnpin" => "MessagePinInput",
            "messageEdit" => "MessageEditInput",
            "messageDelete" => "MessageDeleteInput",
            "reactionAdd" | "reactionRemove" => "ReactionInput",
            _ => "ThreadInput",
        };
        let query = format!(
            "mutation($input: {kind}!) {{ done: {mutation}(input: $input) {{ userErrors {{ field code }} message {{ {MESSAGE}
                {PARTS} }} }} }}"
        );
        self.graphql(&query, json!({ "input": input }), Some(by)).await
    }

    /// Nothing can be said in the conversation any more.
    pub async fn archive(&self, talk: &Talk) {
        self.sql(&format!("UPDATE conversations SET archived_at = now() WHERE id = '{}'", talk.id)).await;
    }

    /// The answer to one of the mutations about a participant.
    pub async fn participant(&self, by: &Founder, mutation: &str, input: Value) -> Value {
        let kind = match mutation {
            "participantUpdate" => "ParticipantUpdateInput",
            "conversationLeave" => "ConversationLeaveInput",
            _ => "ParticipantInput",
        };
        let query = format!(
            "mutation($input: {kind}!) {{ {mutation}(input: $input) {{
                participant {{ memberId role leftAt version }} userErrors {{ field code }} }} }}"
        );
        self.graphql(&query, json!({ "input": input }), Some(by)).await
    }

    /// The feed of a conversation.
    pub async fn follow(&self, who: &Founder, talk: &str, after: Option<&str>) -> Feed {
        let variables = json!({ "id": talk, "after": after });
        Feed::open(&self.ws_url(), who, &events(), variables).await.expect("a server")
    }

    /// The numbers of all messages of a conversation, oldest first.
    pub async fn numbers(&self, who: &Founder, talk: &Talk) -> Vec<i64> {
        let query = "query($id: ID!, $after: String) { conversation(id: $id) { messages(
            first: 100, after: $after, orderBy: [{ field: SEQ }]) { nodes { seq } pageInfo { endCursor hasNextPage } } } }";
        let (mut seen, mut after) = (Vec::new(), Value::Null);
        loop {
            let answer = self.graphql(query, json!({ "id": talk.id, "after": after }), Some(who)).await;
            let page = data(&answer, "conversation.messages");
            seen.extend(page["nodes"].as_array().expect("nodes").iter().filter_map(|node| node["seq"].as_i64()));
            if page["pageInfo"]["hasNextPage"] == false {
                return seen;
            }
            after = page["pageInfo"]["endCursor"].clone();
        }
    }
}

/// A text member of a value.
pub fn text<'a>(value: &'a Value, member: &str) -> &'a str {
    value[member].as_str().unwrap_or_else(|| panic!("no {member} in {value}"))
}

impl Feed {
    /// The next event.
    pub async fn next(&mut self) -> Value {
        match self.hear().await {
            Said::Event(event) => event,
            other => panic!("no event but {other:?}"),
        }
    }

    pub async fn take(&mut self, count: usize) -> Vec<Value> {
        let mut events = Vec::with_capacity(count);
        while events.len() < count {
            events.push(self.next().await);
        }
        events
    }
}
