//! Conversations, as members see them.

mod channel;
mod conversation;
mod feed;
mod inbox;
pub mod live;
mod message;
mod participant;
mod position;
mod settings;
mod snapshot;

use crate::kit::{Founder, Server, data};
use live::{Feed, Said};
use serde_json::{Value, json};

/// All that a message says of itself.
pub const MESSAGE: &str = "id conversationId seq senderId clientId body editedAt deletedAt createdAt updatedAt version";

/// The feed of a conversation, with all that its events say.
pub const EVENTS: &str = "subscription($id: ID!, $after: String) { conversationEvents(conversationId: $id, after: $after) {
    __typename ... on FeedEvent { cursor occurredAt }
    ... on ConversationUpdated { conversation { title topic archivedAt version updatedAt cursor } }
    ... on ParticipantAdded { participant { id memberId role joinedAt leftAt version updatedAt lastReadSeq lastReadAt lastDeliveredSeq lastDeliveredAt } }
    ... on ParticipantUpdated { participant { id memberId role joinedAt leftAt version updatedAt lastReadSeq lastReadAt lastDeliveredSeq lastDeliveredAt } }
    ... on ParticipantRemoved { participant { id memberId role joinedAt leftAt version updatedAt lastReadSeq lastReadAt lastDeliveredSeq lastDeliveredAt } }
    ... on ReceiptsMoved { receipts { memberId readUpTo readAt deliveredUpTo deliveredAt member { id } } }
    ... on MessageSent { message { id conversationId seq senderId clientId body editedAt deletedAt createdAt updatedAt version } }
    ... on MessageEdited { message { id conversationId seq senderId clientId body editedAt deletedAt createdAt updatedAt version } }
    ... on MessageDeleted { message { id conversationId seq senderId clientId body editedAt deletedAt createdAt updatedAt version } }
} }";

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
        Feed::open(&self.ws_url(), who, EVENTS, variables).await.expect("a server")
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
