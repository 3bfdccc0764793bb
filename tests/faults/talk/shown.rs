//! What becomes of messages once they are sent, and a conversation as a client shows it that goes by its events alone.
//! Invariant: whatever became of the nodes in between, that is what a fresh fetch shows.

use super::Client;
use crate::{
    live::{Feed, Said},
    program::text,
};
use rand::RngExt;
use serde_json::{Value, json};
use std::collections::BTreeMap;

const EVENTS: &str = "subscription($id: ID!, $after: String) { conversationEvents(conversationId: $id, after: $after) {
    __typename ... on FeedEvent { cursor } ... on ReactionAdded { reaction { messageId emoji count } }
    ... on MessageSent { message { ...Line } } ... on MessageEdited { message { ...Line } }
    ... on MessageDeleted { message { ...Line } } } }
    fragment Line on Message { seq clientId id body editedAt deletedAt }";

/// The messages by their numbers, as `Client::table` has them, up to an event.
pub struct Shown {
    pub cursor: String,
    messages: BTreeMap<i64, Value>,
}

impl Shown {
    pub fn behind(cursor: &str) -> Self {
        Shown { cursor: cursor.to_owned(), messages: BTreeMap::new() }
    }

    /// The number of the newest message.
    pub fn newest(&self) -> Option<i64> {
        self.messages.last_key_value().map(|(seq, _)| *seq)
    }

    fn apply(&mut self, event: &Value) {
        self.cursor = text(event, "cursor");
        match event["__typename"].as_str() {
            Some("MessageSent" | "MessageEdited" | "MessageDeleted") => {
                let mut message = event["message"].clone();
                let seq = message["seq"].as_i64().expect("a number");
                let before = self.messages.get(&seq).filter(|_| message["deletedAt"].is_null());
                message["reactions"] = before.map_or_else(|| json!([]), |before| before["reactions"].clone());
                self.messages.insert(seq, message);
            }
            Some("ReactionAdded") => {
                let reaction = &event["reaction"];
                let mut newest_first = self.messages.values_mut().rev();
                let message = newest_first.find(|message| message["id"] == reaction["messageId"]);
                let message = message.expect("one that was sent");
                message["reactions"] = json!([{ "emoji": reaction["emoji"], "count": reaction["count"] }]);
            }
            _ => panic!("{event}"),
        }
    }

    /// Whether a fresh fetch shows the same; else it says what does not.
    pub fn is(&self, fresh: &[Value]) -> bool {
        let other = self.messages.values().zip(fresh).find(|(shown, fresh)| shown != fresh);
        if let Some((shown, fresh)) = other {
            println!("events make {shown} of {fresh}");
        }
        other.is_none() && self.messages.len() == fresh.len()
    }
}

impl Client<'_> {
    /// Changes a message of its own, by chance: of forty, four get a reaction (of a friend, too), two are edited and one
    /// is deleted. How often it did.
    pub async fn change(&mut self, message: &str, friend: &mut Self) -> usize {
        let (dice, mut changes) = (self.rng.random_range(0..40), 0);
        let reaction = json!({ "messageId": message, "emoji": "👍" });
        if dice % 10 == 0 {
            friend.insist("reactionAdd", "ReactionInput", reaction.clone()).await;
        }
        for (each, mutation, kind, input) in [
            (10, "reactionAdd", "ReactionInput", reaction),
            (20, "messageEdit", "MessageEditInput", json!({ "id": message, "body": "in other words" })),
            (40, "messageDelete", "MessageDeleteInput", json!({ "id": message })),
        ] {
            if dice % each == 0 {
                self.insist(mutation, kind, input).await;
                changes += 1;
            }
        }
        changes
    }

    /// Goes on with what it shows of a conversation until that is so. Now and then it leaves, and comes back.
    pub async fn show(&mut self, talk: &str, shown: &mut Shown, so: impl Fn(&Shown) -> bool) {
        while !so(shown) {
            let variables = json!({ "id": talk, "after": shown.cursor });
            if let Some(mut feed) = Feed::open(&self.node().ws_url(), self.token, EVENTS, variables).await {
                while !so(shown) && self.rng.random_range(0..500) > 0 {
                    match feed.hear().await {
                        Said::Event(event) => shown.apply(&event),
                        Said::Gone => break,
                        Said::Refused(code) if code == "SERVICE_UNAVAILABLE" => break,
                        other => panic!("{other:?}"),
                    }
                }
            }
            self.move_on().await;
        }
    }
}
