//! Snapshot + events = fresh: whatever happens in a conversation, a client that applies its events to what it had
//! fetched has what it would fetch now.

use super::{MESSAGE, PARTS, Talk, live::Feed, position::mark, text};
use crate::kit::{
    Founder, Server, data,
    mail::until,
    mirror::{Mirror, caught_up},
    server,
};
use futures_util::future::join_all;
use rand::{Rng, RngExt, SeedableRng, rngs::StdRng};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// What a client shows of a conversation.
#[derive(Clone, Debug, PartialEq)]
pub struct Shown {
    pub conversation: Value,
    pub messages: BTreeMap<String, Value>,
    pub participants: BTreeMap<String, Value>,
}

impl Mirror for Shown {
    async fn fetch(server: &Server, who: &Founder, talk: &str) -> (Self, String) {
        let query = format!(
            "query($id: ID!) {{ conversation(id: $id) {{ cursor title topic archivedAt version updatedAt lastSeq lastMessageAt expiredSeq
                participants(first: 100) {{ nodes {{ id memberId role joinedAt leftAt version updatedAt
                    lastReadSeq lastReadAt lastDeliveredSeq lastDeliveredAt }} }}
                messages(first: 100) {{ nodes {{ {MESSAGE} {PARTS} }} }} }} }}"
        );
        let answer = server.graphql(&query, json!({ "id": talk }), Some(who)).await;
        let mut conversation = data(&answer, "conversation").clone();
        let mut list = |name: &str| {
            let nodes = conversation.as_object_mut().expect("an object").remove(name).expect("a list");
            let nodes = nodes["nodes"].as_array().expect("nodes").clone();
            nodes.into_iter().map(|node| (text(&node, "id").to_owned(), node)).collect::<BTreeMap<_, _>>()
        };
        let (participants, mut messages) = (list("participants"), list("messages"));
        for message in messages.values_mut() {
            // Which emoji came first is not told by events.
            let groups = message["reactions"].as_array_mut().expect("a list");
            groups.sort_by_key(|group| text(group, "emoji").to_owned());
            // Every client reads it in the body.
            message.as_object_mut().expect("an object").remove("mentionsMe");
        }
        let cursor = conversation.as_object_mut().and_then(|object| object.remove("cursor")).expect("a cursor");
        (Shown { conversation, messages, participants }, cursor.as_str().expect("text").to_owned())
    }

    async fn follow(server: &Server, who: &Founder, talk: &str, after: &str) -> Feed {
        server.follow(who, talk, Some(after)).await
    }

    /// A record that it has as new or newer stays.
    fn apply(&mut self, event: &Value, who: &Founder) {
        match text(event, "__typename") {
            "ConversationUpdated"
                if event["conversation"]["version"].as_i64() > self.conversation["version"].as_i64() =>
            {
                for field in ["title", "topic", "archivedAt", "version", "updatedAt"] {
                    self.conversation[field] = event["conversation"][field].clone();
                }
            }
            "ParticipantAdded" | "ParticipantUpdated" | "ParticipantRemoved" => {
                let (record, of) = (&event["participant"], &mut self.participants);
                let newer = |old: &Value| record["version"].as_i64() > old["version"].as_i64();
                if of.get(text(record, "id")).is_none_or(newer) {
                    of.insert(text(record, "id").to_owned(), record.clone());
                }
            }
            "MessageSent" => self.sent(&event["message"], who),
            "MessageEdited" | "MessageDeleted" | "MessagePinned" | "MessageUnpinned" => self.changed(&event["message"]),
            "ReactionAdded" | "ReactionRemoved" => self.reacted(event, who),
            kind @ ("ThreadFollowed" | "ThreadUnfollowed") if event["follower"]["memberId"] == json!(who.member) => {
                if let Some(root) = self.messages.get_mut(text(&event["follower"], "messageId")) {
                    root["followedByMe"] = json!(kind == "ThreadFollowed");
                }
            }
            "MessagesExpired" => {
                let kept = event["kept"].as_array().expect("a list").clone();
                let gone = |id: &String, message: &Value| {
                    message["seq"].as_i64() <= event["upTo"].as_i64() && !kept.contains(&json!(id))
                };
                self.messages.retain(|id, message| !gone(id, message));
                if event["upTo"].as_i64() > self.conversation["expiredSeq"].as_i64() {
                    self.conversation["expiredSeq"] = event["upTo"].clone();
                }
            }
            "ReceiptsMoved" => {
                for one in event["receipts"].as_array().expect("receipts") {
                    let delivered = (&one["deliveredUpTo"], &one["deliveredAt"]);
                    self.moved(&one["memberId"], (&one["readUpTo"], &one["readAt"]), delivered);
                }
            }
            _ => {}
        }
    }
}

impl Shown {
    fn sent(&mut self, message: &Value, who: &Founder) {
        if message["seq"].as_i64() > self.conversation["lastSeq"].as_i64() {
            self.conversation["lastSeq"] = message["seq"].clone();
            self.conversation["lastMessageAt"] = message["createdAt"].clone();
        }
        self.messages.entry(text(message, "id").to_owned()).or_insert_with(|| {
            let mut message = message.clone();
            message["reactions"] = json!([]);
            message["versions"] = json!([]);
            message["followedByMe"] = json!(false);
            message
        });
        let (seq, at) = (&message["seq"], &message["createdAt"]);
        self.moved(&message["senderId"], (seq, at), (seq, at));
        let Some(root) = message["threadRootId"].as_str().and_then(|root| self.messages.get_mut(root)) else { return };
        let me = json!(who.member);
        if message["senderId"] == me || message["threadSeq"] == 1 && root["senderId"] == me {
            root["followedByMe"] = json!(true);
        }
        if message["threadSeq"].as_i64() > root["replyCount"].as_i64() {
            root["replyCount"] = message["threadSeq"].clone();
            root["lastReplyAt"] = message["createdAt"].clone();
        }
    }

    fn changed(&mut self, message: &Value) {
        let Some(old) = self.messages.get_mut(text(message, "id")) else { return };
        if message["version"].as_i64() > old["version"].as_i64() {
            if message["editedAt"] != old["editedAt"] {
                let written_at = if old["editedAt"].is_null() { &old["createdAt"] } else { &old["editedAt"] };
                let before = json!({ "version": old["version"], "body": old["body"], "writtenAt": written_at });
                // They are read after the record, and may have it already.
                let versions = old["versions"].as_array().expect("a list").clone();
                if versions.iter().all(|version| version["version"] != before["version"]) {
                    old["versions"] = std::iter::once(before).chain(versions).collect();
                }
            }
            old.as_object_mut().expect("an object").extend(message.as_object().expect("an object").clone());
        }
        if !message["deletedAt"].is_null() {
            old["reactions"] = json!([]);
            old["versions"] = json!([]);
            old["attachments"]["nodes"] = json!([]);
        }
    }

    fn reacted(&mut self, event: &Value, who: &Founder) {
        let reaction = &event["reaction"];
        let Some(message) = self.messages.get_mut(text(reaction, "messageId")) else { return };
        let mut groups = message["reactions"].as_array().expect("a list").clone();
        let place = groups.iter().position(|group| group["emoji"] == reaction["emoji"]);
        let mut group = match place {
            Some(place) => groups.remove(place),
            None => json!({ "emoji": reaction["emoji"], "count": 0, "reactedByMe": false }),
        };
        if reaction["memberId"] == json!(who.member) {
            group["reactedByMe"] = json!(event["__typename"] == "ReactionAdded");
        }
        group["count"] = reaction["count"].clone();
        if group["count"] != 0 {
            groups.push(group);
        }
        groups.sort_by_key(|group| text(group, "emoji").to_owned());
        message["reactions"] = json!(groups);
    }

    /// A participant has come further.
    fn moved(&mut self, member: &Value, read: (&Value, &Value), delivered: (&Value, &Value)) {
        let who = self.participants.values_mut().find(|one| one["memberId"] == *member).expect("a participant");
        for (what, (seq, at)) in [("Read", read), ("Delivered", delivered)] {
            let (known, time) = (format!("last{what}Seq"), format!("last{what}At"));
            if seq.as_i64() > who[&known].as_i64() {
                (who[&known], who[&time]) = (seq.clone(), at.clone());
            }
        }
    }
}

/// Does something to the conversation, or tries to.
async fn disturb(server: &Server, dice: &mut StdRng, owner: &Founder, members: &[Founder], talk: &Talk) {
    let by = if dice.random_bool(0.5) { owner } else { &members[dice.random_range(0..members.len())] };
    let whom = &members[dice.random_range(0..members.len())];
    let of = json!({ "conversationId": talk.id, "memberId": whom.member });
    let newest = server
        .graphql(
            "query($id: ID!) { conversation(id: $id) { messages(first: 5) { nodes { id } } } }",
            json!({ "id": talk.id }),
            Some(by),
        )
        .await;
    let newest = newest["data"]["conversation"]["messages"]["nodes"].as_array().cloned().unwrap_or_default();
    let some = newest.get(dice.random_range(0..5)).map_or(Value::Null, |message| message["id"].clone());
    let word = format!("{}", dice.next_u32());
    let run = async |mutation: &str, variables: Value| server.graphql(mutation, variables, Some(by)).await;
    match dice.random_range(0..17) {
        15 => {
            let mutation = if dice.random_bool(0.7) { "reactionAdd" } else { "reactionRemove" };
            let emoji = ["👍", "🎉"][dice.random_range(0..2)];
            server.change(by, mutation, json!({ "messageId": some, "emoji": emoji })).await;
        }
        10 => {
            _ = server.change(by, ["messagePin", "messageUnpin"][dice.random_range(0..2)], json!({ "id": some })).await
        }
        11 => {
            let mutation = ["threadFollow", "threadUnfollow"][dice.random_range(0..2)];
            server.change(by, mutation, json!({ "messageId": some })).await;
        }
        12..15 => {
            let input = json!({ "conversationId": talk.id, "body": word, "threadRootId": some });
            server.send(by, input).await;
        }
        0..3 => _ = server.send(by, json!({ "conversationId": talk.id, "body": word })).await,
        3 => {
            let mutation = "mutation($id: ID!, $body: String!) { messageEdit(input: { id: $id, body: $body }) { message { id } } }";
            run(mutation, json!({ "id": some, "body": word })).await;
        }
        4 => {
            _ = run(
                "mutation($id: ID!) { messageDelete(input: { id: $id }) { message { id } } }",
                json!({ "id": some }),
            )
            .await
        }
        5 => {
            let mutation = "mutation($id: ID!, $word: String!) { conversationUpdate(input: { id: $id, topic: $word }) { conversation { id } } }";
            run(mutation, json!({ "id": talk.id, "word": word })).await;
        }
        16 => {
            let mutation =
                ["conversationArchive", "conversationUnarchive", "conversationUnarchive"][dice.random_range(0..3)];
            let query =
                format!("mutation($id: ID!) {{ {mutation}(input: {{ id: $id }}) {{ conversation {{ id }} }} }}");
            run(&query, json!({ "id": talk.id })).await;
        }
        6 | 7 => {
            let what = ["conversationMarkRead", "conversationMarkDelivered"][dice.random_range(0..2)];
            mark(server, by, what, &talk.id, dice.random_range(0..30)).await;
        }
        8 => {
            let mutation = if dice.random_bool(0.6) { "participantAdd" } else { "participantRemove" };
            server.participant(owner, mutation, of).await;
        }
        _ => {
            let role = ["MEMBER", "MODERATOR"][dice.random_range(0..2)];
            let input = json!({ "conversationId": talk.id, "memberId": whom.member, "role": role });
            server.participant(owner, "participantUpdate", input).await;
        }
    }
}

async fn run(seed: u64) {
    let server = server().await;
    let ada = server.founder().await;
    let mut members = Vec::new();
    for _ in 0..3 {
        members.push(server.member(&ada, "member", None).await);
    }
    let talk = server.group(&ada, &members.iter().collect::<Vec<_>>()).await;
    let disturbing = join_all((0..3).map(async |writer| {
        let mut dice = StdRng::seed_from_u64(seed * 10 + writer);
        for _ in 0..20 {
            disturb(server, &mut dice, &ada, &members, &talk).await;
        }
    }));
    // Snapshots in the midst of it.
    let looking = async {
        let mut snapshots = Vec::new();
        for _ in 0..10 {
            snapshots.push(Shown::fetch(server, &ada, &talk.id).await);
        }
        snapshots
    };
    let (_, snapshots) = tokio::join!(disturbing, looking);
    let untold = format!(
        "SELECT count(*) FROM participants WHERE conversation_id = '{}' AND left_at IS NULL
         AND (read_seq > last_read_seq OR delivered_seq > last_delivered_seq)",
        talk.id
    );
    until("all receipts are told", async || (server.count(&untold).await == 0).then_some(())).await;
    let (fresh, end) = Shown::fetch(server, &ada, &talk.id).await;
    assert!(!fresh.messages.is_empty() && fresh.messages.len() < 100);
    for snapshot in snapshots {
        assert_eq!(caught_up(server, &ada, &talk.id, snapshot, &end).await, fresh, "seed {seed}");
    }
}

#[tokio::test]
async fn a_snapshot_and_its_events_are_a_fresh_fetch() {
    join_all([1, 2, 3].map(run)).await;
}
