//! Messages that are sent later: once, at their time, as what their author may do by then; and nobody else knows of them.

mod change;
mod deliver;
mod key;
mod rescue;
mod twice;
mod unsent;

use super::{Talk, live::Feed};
use crate::kit::{Founder, Server, data, mail::until, verdict};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

/// All that a scheduled message says of itself.
const SCHEDULED: &str =
    "id conversationId threadRootId body fileIds files { name } clientId scheduledFor status messageId
    message { seq body kind clientId senderId } failureCode failureMessage version";

pub fn ahead(seconds: i64) -> Value {
    json!((Utc::now() + TimeDelta::seconds(seconds)).to_rfc3339())
}

/// The answer to one of the mutations, called `done`.
async fn act(server: &Server, by: &Founder, mutation: &str, input: Value) -> Value {
    let kind = match mutation {
        "messageSchedule" => "MessageScheduleInput",
        "scheduledMessageUpdate" => "ScheduledMessageUpdateInput",
        _ => "ScheduledMessageInput",
    };
    let query = format!(
        "mutation($input: {kind}!) {{ done: {mutation}(input: $input) {{ scheduledMessage {{ {SCHEDULED} }}
            userErrors {{ field code message }} }} }}"
    );
    server.graphql(&query, json!({ "input": input }), Some(by)).await
}

/// As `act`, which must go well; the scheduled message.
pub async fn acted_on(server: &Server, by: &Founder, mutation: &str, input: Value) -> Value {
    let answer = act(server, by, mutation, input).await;
    assert_eq!(verdict(&answer), "done", "{mutation}: {answer:#}");
    data(&answer, "done.scheduledMessage").clone()
}

/// An hour ahead.
async fn schedule(server: &Server, by: &Founder, talk: &Talk, body: &str) -> Value {
    let input = json!({ "conversationId": talk.id, "body": body, "scheduledFor": ahead(3600) });
    acted_on(server, by, "messageSchedule", input).await
}

/// As somebody sees it, by whatever way.
pub async fn seen(server: &Server, who: &Founder, id: &Value) -> Value {
    let query = format!(
        "query($id: ID!) {{ scheduledMessage(id: $id) {{ {SCHEDULED} }} node(id: $id) {{ id }}
            scheduledMessages {{ nodes {{ id }} }} }}"
    );
    let answer = server.graphql(&query, json!({ "id": id }), Some(who)).await;
    let one = data(&answer, "scheduledMessage").clone();
    let listed = data(&answer, "scheduledMessages.nodes").as_array().expect("nodes").contains(&json!({ "id": id }));
    assert_eq!((!one.is_null(), !data(&answer, "node").is_null()), (listed, listed), "{answer:#}");
    one
}

/// Lets the time of a message come.
async fn due(server: &Server, id: &Value) {
    come_at(server, id, Utc::now()).await;
}

/// Lets the time of a message come then, as if it had been scheduled for that.
async fn come_at(server: &Server, id: &Value, time: DateTime<Utc>) {
    let (id, time) = (id.as_str().expect("an id"), time.to_rfc3339());
    server
        .sql(&format!(
            "UPDATE scheduled_messages SET scheduled_for = '{time}' WHERE id = '{id}';
             UPDATE jobs SET run_at = '{time}' WHERE status = 'waiting' AND payload->>'id' = '{id}'"
        ))
        .await;
}

async fn inbox(server: &Server, who: &Founder) -> Feed {
    let query = format!(
        "subscription {{ inboxEvents(positions: []) {{ __typename
            ... on ScheduledMessageChanged {{ scheduledMessageId scheduledMessage {{ {SCHEDULED} }} }} }} }}"
    );
    let mut feed = Feed::open(&server.ws_url(), who, &query, json!({})).await.expect("a server");
    // It has begun when it tells of the conversation that is there.
    assert_eq!(feed.next().await["__typename"], "ConversationEntered");
    feed
}

/// Until a scheduled message is told to be so.
async fn told(feed: &mut Feed, status: &str) -> Value {
    loop {
        let event = feed.next().await;
        if event["__typename"] == "ScheduledMessageChanged" && event["scheduledMessage"]["status"] == status {
            return event["scheduledMessage"].clone();
        }
    }
}

/// As it is once it is not PENDING any more.
async fn settled(server: &Server, who: &Founder, id: &Value) -> Value {
    let settled = async || Some(seen(server, who, id).await).filter(|one| one["status"] != "PENDING");
    until("an end of a scheduled message", settled).await
}

/// What was said in a conversation, oldest first.
async fn bodies(server: &Server, who: &Founder, talk: &Talk) -> Vec<String> {
    let query = "query($id: ID!) { conversation(id: $id) { messages(first: 100, orderBy: [{ field: SEQ }],
        filter: { kind: { ne: SYSTEM } }) { nodes { body } } } }";
    let answer = server.graphql(query, json!({ "id": talk.id }), Some(who)).await;
    let nodes = data(&answer, "conversation.messages.nodes").as_array().expect("nodes");
    nodes.iter().filter_map(|node| node["body"].as_str()).map(str::to_owned).collect()
}
