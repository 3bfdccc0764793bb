//! Snapshot + events = fresh: whatever happens in a conversation, a client that applies its events to what it had
//! fetched has what it would fetch now.

use super::{MESSAGE, Talk, live::Feed, position::mark, text};
use crate::kit::{Founder, Server, data, mail::until, server};
use futures_util::future::join_all;
use rand::{Rng, RngExt, SeedableRng, rngs::StdRng};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// What a client shows of a conversation.
#[derive(Clone, Debug, PartialEq)]
struct Shown {
    conversation: Value,
    messages: BTreeMap<String, Value>,
    participants: BTreeMap<String, Value>,
}

/// A snapshot and the cursor that came with it.
async fn fetch(server: &Server, who: &Founder, talk: &Talk) -> (Shown, String) {
    let query = format!(
        "query($id: ID!) {{ conversation(id: $id) {{ cursor title topic archivedAt version updatedAt lastSeq lastMessageAt
            participants(first: 100) {{ nodes {{ id memberId role joinedAt leftAt version updatedAt
                lastReadSeq lastReadAt lastDeliveredSeq lastDeliveredAt }} }}
            messages(first: 100) {{ nodes {{ {MESSAGE} }} }} }} }}"
    );
    let answer = server.graphql(&query, json!({ "id": talk.id }), Some(who)).await;
    let mut conversation = data(&answer, "conversation").clone();
    let mut list = |name: &str| {
        let nodes = conversation.as_object_mut().expect("an object").remove(name).expect("a list");
        let nodes = nodes["nodes"].as_array().expect("nodes").clone();
        nodes.into_iter().map(|node| (text(&node, "id").to_owned(), node)).collect::<BTreeMap<_, _>>()
    };
    let (participants, messages) = (list("participants"), list("messages"));
    let cursor = conversation.as_object_mut().and_then(|object| object.remove("cursor")).expect("a cursor");
    (Shown { conversation, messages, participants }, cursor.as_str().expect("text").to_owned())
}

impl Shown {
    /// What a client does with an event: a record that it has as new or newer stays.
    fn apply(&mut self, event: &Value) {
        let put = |records: &mut BTreeMap<String, Value>, record: &Value| {
            let newer = |old: &Value| record["version"].as_i64() > old["version"].as_i64();
            if records.get(text(record, "id")).is_none_or(newer) {
                records.insert(text(record, "id").to_owned(), record.clone());
            }
        };
        match text(event, "__typename") {
            "ConversationUpdated"
                if event["conversation"]["version"].as_i64() > self.conversation["version"].as_i64() =>
            {
                for field in ["title", "topic", "archivedAt", "version", "updatedAt"] {
                    self.conversation[field] = event["conversation"][field].clone();
                }
            }
            "ParticipantAdded" | "ParticipantUpdated" | "ParticipantRemoved" => {
                put(&mut self.participants, &event["participant"]);
            }
            "MessageSent" | "MessageEdited" | "MessageDeleted" => {
                let message = &event["message"];
                if message["seq"].as_i64() > self.conversation["lastSeq"].as_i64() {
                    self.conversation["lastSeq"] = message["seq"].clone();
                    self.conversation["lastMessageAt"] = message["createdAt"].clone();
                }
                put(&mut self.messages, message);
                if text(event, "__typename") == "MessageSent" {
                    let (seq, at) = (message["seq"].clone(), message["createdAt"].clone());
                    self.moved(&message["senderId"], (&seq, &at), (&seq, &at));
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
    match dice.random_range(0..11) {
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
        10 => {
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
            snapshots.push(fetch(server, &ada, &talk).await);
        }
        snapshots
    };
    let (_, mut snapshots) = tokio::join!(disturbing, looking);
    let untold = format!(
        "SELECT count(*) FROM participants WHERE conversation_id = '{}' AND left_at IS NULL
         AND (read_seq > last_read_seq OR delivered_seq > last_delivered_seq)",
        talk.id
    );
    until("all receipts are told", async || (server.count(&untold).await == 0).then_some(())).await;
    let (fresh, end) = fetch(server, &ada, &talk).await;
    assert!(!fresh.messages.is_empty() && fresh.messages.len() < 100);
    for (shown, cursor) in &mut snapshots {
        let mut feed: Option<Feed> = None;
        while *cursor != end {
            let feed = match &mut feed {
                Some(feed) => feed,
                None => feed.insert(server.follow(&ada, &talk.id, Some(cursor)).await),
            };
            let event = feed.next().await;
            *cursor = text(&event, "cursor").to_owned();
            shown.apply(&event);
        }
        assert_eq!(*shown, fresh, "seed {seed}");
    }
}

#[tokio::test]
async fn a_snapshot_and_its_events_are_a_fresh_fetch() {
    join_all([1, 2, 3].map(run)).await;
}
