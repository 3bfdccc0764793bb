//! All conversations on one subscription: each told exactly as by itself.

use super::{
    Talk,
    live::{Feed, Said},
    text,
};
use crate::kit::{Founder, Server, data, server};
use futures_util::future::{join, join_all};
use serde_json::{Value, json};
use std::{collections::HashMap, time::Instant};
use uuid::Uuid;

const INBOX: &str = "subscription($positions: [InboxPosition!]!) { inboxEvents(positions: $positions) { __typename
    ... on ConversationHappened { conversationId event { __typename ... on FeedEvent { cursor }
        ... on MessageSent { message { seq body } } ... on ParticipantRemoved { participant { memberId } } } }
    ... on ConversationEntered { conversation { id cursor lastSeq } }
    ... on ConversationGone { conversationId }
    ... on ConversationSettingsChanged { conversationId settings { pinned draft } } } }";

async fn open(server: &Server, who: &Founder, positions: &[(&str, &str)]) -> Feed {
    let positions: Vec<_> =
        positions.iter().map(|(id, after)| json!({ "conversationId": id, "after": after })).collect();
    Feed::open(&server.ws_url(), who, INBOX, json!({ "positions": positions })).await.expect("a server")
}

/// What is told of each conversation: the numbers of messages, and other kinds of events.
fn by_conversation(events: &[Value]) -> HashMap<String, Vec<Value>> {
    let mut told: HashMap<String, Vec<Value>> = HashMap::new();
    for event in events {
        let what = match text(event, "__typename") {
            "ConversationHappened" => match text(&event["event"], "__typename") {
                "MessageSent" => event["event"]["message"]["seq"].clone(),
                other => json!(other),
            },
            other => json!(other),
        };
        let id = event["conversationId"].as_str().or(event["conversation"]["id"].as_str()).expect("an id");
        told.entry(id.to_owned()).or_default().push(what);
    }
    told
}

#[tokio::test]
async fn what_was_missed_of_each_then_all_that_happens() {
    let server = server().await;
    let ada = server.founder().await;
    let bob = server.member(&ada, "member", None).await;
    let mut talks = Vec::new();
    for _ in 0..3 {
        talks.push(server.group(&ada, &[&bob]).await);
    }
    for talk in &talks {
        for _ in 0..20 {
            server.say(&ada, talk, "missed").await;
        }
    }
    let known: Vec<_> = talks[..2].iter().map(|talk| (&*talk.id, &*talk.cursor)).collect();
    let mut inbox = open(server, &bob, &known).await;
    let told = by_conversation(&inbox.take(41).await);
    let all: Vec<Value> = (1..=20).map(|seq| json!(seq)).collect();
    assert_eq!((&told[&talks[0].id], &told[&talks[1].id]), (&all, &all));
    assert_eq!(told[&talks[2].id], [json!("ConversationEntered")], "of the one that it does not know it is told");
    for talk in &talks {
        server.say(&ada, talk, "live").await;
    }
    let later = server.group(&ada, &[&bob]).await;
    server.say(&ada, &later, "come in").await;
    let told = by_conversation(&inbox.take(5).await);
    assert!(talks.iter().all(|talk| told[&talk.id] == [json!(21)]), "{told:?}");
    let entered = &told[&later.id];
    assert!(*entered == [json!("ConversationEntered"), json!(1)], "{entered:?}");
}

#[tokio::test]
async fn leaving_ends_one_and_the_others_go_on() {
    let server = server().await;
    let ada = server.founder().await;
    let bob = server.member(&ada, "member", None).await;
    let (talk, other) = (server.group(&ada, &[&bob]).await, server.group(&ada, &[&bob]).await);
    let of = json!({ "conversationId": talk.id, "memberId": bob.member });
    let mut inbox = open(server, &bob, &[(&talk.id, &talk.cursor), (&other.id, &other.cursor)]).await;
    for _ in 0..3 {
        // Talking while the removal happens: nothing that stands behind it.
        let talking = join_all((0..3).map(async |_| {
            for _ in 0..6 {
                server.say(&ada, &talk, "to those who are here").await;
            }
        }));
        join(talking, server.participant(&ada, "participantRemove", of.clone())).await;
        server.say(&ada, &other, "you are still here").await;
        let mut events = Vec::new();
        loop {
            events.push(inbox.next().await);
            let told = by_conversation(&events);
            let over = told.get(&talk.id).is_some_and(|told| told.contains(&json!("ParticipantRemoved")));
            if over && told.contains_key(&other.id) {
                break;
            }
        }
        let told = by_conversation(&events);
        assert_eq!(told[&talk.id].last(), Some(&json!("ParticipantRemoved")), "{told:?}");
        let removed = events.iter().find(|event| event["event"]["__typename"] == "ParticipantRemoved").unwrap();
        assert_eq!(removed["event"]["participant"]["memberId"], json!(bob.member));
        // Back again: as somebody new, from where it stands now.
        server.participant(&ada, "participantAdd", of.clone()).await;
        let entered = inbox.next().await;
        assert_eq!(entered["__typename"], "ConversationEntered", "{entered}");
        let sent = server.say(&ada, &talk, "welcome back").await;
        let heard = inbox.next().await;
        assert_eq!(heard["event"]["message"]["seq"], sent["seq"], "nothing of what was said meanwhile, and all since");
    }
}

#[tokio::test]
async fn a_cursor_that_does_not_fit_concerns_its_conversation() {
    let server = server().await;
    let ada = server.founder().await;
    let (talk, other) = (server.group(&ada, &[]).await, server.group(&ada, &[]).await);
    for cursor in [&*other.cursor, "", "nonsense"] {
        let said = open(server, &ada, &[(&talk.id, cursor)]).await.hear().await;
        assert_eq!(said, Said::Refused("INVALID_CURSOR".into()), "{cursor}");
    }
    // One that was made up, and one of the future.
    for (place, with) in [(12, "AAAA"), (5, "zzzz")] {
        let other = server.group(&ada, &[]).await;
        let mut made_up = talk.cursor.clone();
        made_up.replace_range(place..place + 4, with);
        let mut inbox = open(server, &ada, &[(&talk.id, &made_up), (&other.id, &other.cursor)]).await;
        let mut resync = inbox.next().await;
        while resync["__typename"] == "ConversationEntered" {
            resync = inbox.next().await;
        }
        assert_eq!(
            (text(&resync, "conversationId"), text(&resync["event"], "__typename")),
            (&*talk.id, "ResyncRequired")
        );
        let sent = [server.say(&ada, &talk, "from there on").await, server.say(&ada, &other, "and here").await];
        let told = by_conversation(&inbox.take(2).await);
        assert_eq!((&told[&talk.id], &told[&other.id]), (&vec![sent[0]["seq"].clone()], &vec![sent[1]["seq"].clone()]));
    }
}

#[tokio::test]
async fn what_is_gone_is_said_and_what_is_ones_own_is_told_to_oneself() {
    let server = server().await;
    let (ada, stranger) = (server.founder().await, server.founder().await);
    let bob = server.member(&ada, "member", None).await;
    let talk = server.group(&ada, &[&bob]).await;
    let mut adas = open(server, &ada, &[(&talk.id, &talk.cursor)]).await;
    let mut bobs = open(server, &bob, &[(&talk.id, &talk.cursor)]).await;
    let set =
        "mutation($id: ID!) { conversationSettingsUpdate(input: { conversationId: $id, pinned: true, draft: \"hm\" }) {
        userErrors { field } } }";
    server.graphql(set, json!({ "id": talk.id }), Some(&bob)).await;
    let settings = json!({ "__typename": "ConversationSettingsChanged", "conversationId": talk.id,
        "settings": { "pinned": true, "draft": "hm" } });
    assert_eq!(bobs.next().await, settings);
    server.say(&ada, &talk, "after that").await;
    assert_eq!(adas.next().await["event"]["message"]["seq"], 1, "nobody else hears of it");
    data(&server.participant(&bob, "conversationLeave", json!({ "id": talk.id })).await, "conversationLeave");
    let gone = json!({ "__typename": "ConversationGone", "conversationId": talk.id });
    assert_eq!(open(server, &bob, &[(&talk.id, &talk.cursor)]).await.next().await, gone);
    let foreign = open(server, &stranger, &[(&talk.id, &talk.cursor)]).await.hear().await;
    assert_eq!(foreign, Said::Refused("INVALID_CURSOR".into()));
}

#[tokio::test]
async fn more_than_the_server_follows_is_refused() {
    let server = Server::with(|config| config.events.inbox = 2).await;
    let ada = server.founder().await;
    let talks = [server.group(&ada, &[]).await, server.group(&ada, &[]).await];
    let mut inbox = open(&server, &ada, &[]).await;
    inbox.take(2).await;
    let third: Talk = server.group(&ada, &[]).await;
    assert_eq!(inbox.hear().await, Said::Refused("SUBSCRIPTION_LIMIT".into()));
    assert_eq!(open(&server, &ada, &[]).await.hear().await, Said::Refused("SUBSCRIPTION_LIMIT".into()));
    let all: Vec<_> = talks.iter().chain([&third]).map(|talk| (&*talk.id, &*talk.cursor)).collect();
    assert_eq!(open(&server, &ada, &all).await.hear().await, Said::Refused("SUBSCRIPTION_LIMIT".into()));
    drop(inbox);
    server.stop().await;
}

/// A thousand conversations, of which each tenth has something new.
#[tokio::test]
async fn a_thousand_conversations_are_resumed_at_once() {
    let server = server().await;
    let ada = server.founder().await;
    let (organization, me) = (ada.organization, ada.member);
    let ids: Vec<String> = (0..1000).map(|_| Uuid::now_v7().to_string()).collect();
    let list = ids.iter().map(|id| format!("'{id}'")).collect::<Vec<_>>().join(",");
    server.sql(&format!(
        "INSERT INTO conversations (organization_id, id, kind, created_by) SELECT '{organization}', id, 'group', '{me}' FROM unnest(ARRAY[{list}]::uuid[]) id;
         INSERT INTO participants (organization_id, id, conversation_id, member_id) SELECT '{organization}', gen_random_uuid(), id, '{me}' FROM unnest(ARRAY[{list}]::uuid[]) id;
         INSERT INTO streams (organization_id, stream_id, kind) SELECT '{organization}', id, 'conversation' FROM unnest(ARRAY[{list}]::uuid[]) id;
         INSERT INTO stream_heads (organization_id, stream_id, head_seq) SELECT '{organization}', id, 1 FROM unnest(ARRAY[{list}]::uuid[]) id;
         INSERT INTO events (organization_id, stream_id, seq, id, kind, entity, entity_id, payload)
             SELECT '{organization}', id, 1, gen_random_uuid(), 'conversation_noted', 'Conversation', id, '{{}}' FROM unnest(ARRAY[{list}]::uuid[]) id"
    )).await;
    let mut positions = Vec::new();
    let mut after = Value::Null;
    while positions.len() < 1000 {
        let query = "query($after: String) { conversations(first: 100, after: $after) { nodes { id cursor } pageInfo { endCursor } } }";
        let answer = server.graphql(query, json!({ "after": after }), Some(&ada)).await;
        let page = data(&answer, "conversations");
        after = page["pageInfo"]["endCursor"].clone();
        positions.extend(
            page["nodes"]
                .as_array()
                .expect("nodes")
                .iter()
                .map(|node| (text(node, "id").to_owned(), text(node, "cursor").to_owned())),
        );
    }
    let mut wanted = Vec::new();
    for id in ids.iter().step_by(10) {
        wanted.push(id.clone());
        server.say(&ada, &Talk { id: id.clone(), cursor: String::new() }, "new").await;
    }
    let positions: Vec<_> = positions.iter().map(|(id, cursor)| (&**id, &**cursor)).collect();
    let begin = Instant::now();
    let mut inbox = open(server, &ada, &positions).await;
    let told = by_conversation(&inbox.take(100).await);
    let took = begin.elapsed();
    assert!(wanted.iter().all(|id| told[id] == [json!(1)]));
    println!("a thousand conversations resumed in {took:?}");
}
