//! The feed of a member's notifications: told soon, once and in order, and a snapshot and its events are a fresh fetch.

use super::{
    block::open,
    live::{Feed, Said},
    notification::{caught_up, mark_read, settled, shown, unread},
    position::mark,
    text,
};
use crate::kit::{
    Founder, Server, data,
    mirror::{Mirror, caught_up as applied},
    server,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use futures_util::future::join_all;
use rand::{Rng, RngExt, SeedableRng, rngs::StdRng};
use serde_json::{Value, json};
use std::collections::BTreeMap;

pub async fn follow(server: &Server, who: &Founder, after: Option<&str>) -> Feed {
    let query = "subscription($after: String) { notificationEvents(after: $after) { __typename
        ... on FeedEvent { cursor occurredAt }
        ... on NotificationCreated { notification { id kind readAt conversationId messageId messageSeq actorId createdAt
            message { id body } conversation { id } actor { id } } }
        ... on NotificationsRead { notificationIds readAt } } }";
    Feed::open(&server.ws_url(), who, query, json!({ "after": after })).await.expect("a server")
}

pub async fn cursor(server: &Server, who: &Founder) -> String {
    let answer = server.graphql("{ notificationCounts { cursor } }", json!({}), Some(who)).await;
    text(data(&answer, "notificationCounts"), "cursor").to_owned()
}

#[tokio::test]
async fn what_concerns_one_is_told_soon_and_resumed_without_a_repeat() {
    let server = server().await;
    let ada = server.founder().await;
    let (bob, eve) = (server.member(&ada, "member", None).await, server.member(&ada, "member", None).await);
    let begin = cursor(server, &bob).await;
    let mut feed = follow(server, &bob, Some(&begin)).await;
    let mut others = follow(server, &eve, Some(&cursor(server, &eve).await)).await;
    // Nobody has to ask for it.
    let talk = server.group(&ada, &[&bob]).await;
    let added = feed.next().await;
    assert_eq!(
        (text(&added, "__typename"), &added["notification"]["kind"]),
        ("NotificationCreated", &json!("ADDED_TO_CONVERSATION"))
    );
    assert_eq!(added["notification"]["conversation"]["id"], json!(talk.id));
    let mention = server.say(&ada, &talk, &format!("hello <@{}>", bob.member)).await;
    let told = feed.next().await;
    let listed = shown(server, &bob, json!({ "kind": { "eq": "MENTION" } })).await;
    assert_eq!(told["notification"], listed[0], "as the list has it");
    assert_eq!(listed[0]["message"], json!({ "id": mention["id"], "body": mention["body"] }));
    let direct = open(server, &ada, &bob).await.expect("a direct conversation");
    server.say(&ada, &direct, "between us").await;
    let third = feed.next().await;
    assert_eq!(third["notification"]["kind"], "DIRECT_MESSAGE");
    // On another device.
    mark(server, &bob, "conversationMarkRead", &talk.id, 1).await;
    let read = feed.next().await;
    assert_eq!(read["notificationIds"], json!([listed[0]["id"]]));
    assert_eq!(read["readAt"], shown(server, &bob, json!({ "unread": false })).await[0]["readAt"]);
    mark_read(server, &bob, json!({ "all": true })).await;
    let rest = feed.next().await;
    assert_eq!(rest["notificationIds"].as_array().map(Vec::len), Some(2));
    mark_read(server, &bob, json!({ "all": true })).await;
    // Whoever comes back goes on where they were, from each place.
    let all = [added, told, third, read, rest];
    for from in 0..=all.len() {
        let after = if from == 0 { begin.as_str() } else { text(&all[from - 1], "cursor") };
        let mut again = follow(server, &bob, Some(after)).await;
        for expected in &all[from..] {
            let heard = again.next().await;
            assert_eq!(heard["cursor"], expected["cursor"]);
            assert_eq!(heard["notificationIds"], expected["notificationIds"]);
        }
    }
    // Nothing follows what was marked again, and nobody else has heard of any of it.
    server.say(&ada, &direct, "the next").await;
    assert_eq!(feed.next().await["notification"]["messageSeq"], 2);
    server.group(&ada, &[&eve]).await;
    let first = others.next().await;
    assert_eq!(first["notification"]["kind"], "ADDED_TO_CONVERSATION");
    assert_eq!(first["notification"]["actorId"], json!(ada.member));
}

#[tokio::test]
async fn a_feed_that_cannot_go_on_says_so() {
    let server = server().await;
    let ada = server.founder().await;
    let bob = server.member(&ada, "member", None).await;
    let foreign = cursor(server, &ada).await;
    for after in [foreign.as_str(), "nonsense"] {
        assert_eq!(follow(server, &bob, Some(after)).await.hear().await, Said::Refused("INVALID_CURSOR".into()));
    }
    let talk = server.group(&ada, &[&bob]).await;
    caught_up(server, &ada).await;
    let known = cursor(server, &bob).await;
    // Another event stands there than the cursor knows, as after a restore.
    let mut bytes = URL_SAFE_NO_PAD.decode(known).expect("base64");
    bytes[8] ^= 1;
    let known = URL_SAFE_NO_PAD.encode(bytes);
    let mut feed = follow(server, &bob, Some(&known)).await;
    let resync = feed.next().await;
    assert_eq!(text(&resync, "__typename"), "ResyncRequired");
    assert_eq!(feed.hear().await, Said::Complete);
    let mut feed = follow(server, &bob, Some(text(&resync, "cursor"))).await;
    server.say(&ada, &talk, &format!("<@{}>", bob.member)).await;
    assert_eq!(feed.next().await["notification"]["kind"], "MENTION");
}

/// What a client shows.
#[derive(Clone, Debug, PartialEq)]
struct Shown(BTreeMap<String, Value>);

impl Mirror for Shown {
    async fn fetch(server: &Server, who: &Founder, _: &str) -> (Self, String) {
        let cursor = cursor(server, who).await;
        let all = shown(server, who, json!({})).await;
        (Shown(all.into_iter().map(|one| (text(&one, "id").to_owned(), plain(&one))).collect()), cursor)
    }

    async fn follow(server: &Server, who: &Founder, _: &str, after: &str) -> Feed {
        follow(server, who, Some(after)).await
    }

    fn apply(&mut self, event: &Value, _: &Founder) {
        match text(event, "__typename") {
            "NotificationCreated" => {
                let one = plain(&event["notification"]);
                // One that it has may have been read since.
                self.0.entry(text(&one, "id").to_owned()).or_insert(one);
            }
            "NotificationsRead" => {
                for id in event["notificationIds"].as_array().expect("ids") {
                    self.0.get_mut(id.as_str().expect("an id")).expect("known")["readAt"] = event["readAt"].clone();
                }
            }
            other => panic!("not of this feed: {other}"),
        }
    }
}

/// What follows from the notification alone: the message may have been deleted since.
fn plain(one: &Value) -> Value {
    let mut one = one.clone();
    let fields = one.as_object_mut().expect("an object");
    ["message", "conversation", "actor"].iter().for_each(|of| _ = fields.remove(*of));
    one
}

async fn run(seed: u64) {
    let server = server().await;
    let ada = server.founder().await;
    let (bob, eve) = (server.member(&ada, "member", None).await, server.member(&ada, "member", None).await);
    let talk = server.group(&ada, &[&bob, &eve]).await;
    let direct = open(server, &eve, &bob).await.expect("a direct conversation");
    let root = server.say(&bob, &talk, "a root").await;
    let writing = join_all([&ada, &eve, &bob].into_iter().enumerate().map(async |(n, by)| {
        let mut dice = StdRng::seed_from_u64(seed * 10 + n as u64);
        for _ in 0..12 {
            let at = dice.random_range(0..20);
            match dice.next_u32() % 6 {
                0 => _ = server.say(by, &talk, &format!("<@{}>", bob.member)).await,
                1 => _ = server.reply(by, &talk, &root, "a reply").await,
                2 if by.member != ada.member => _ = server.say(by, &direct, "between us").await,
                3 => _ = mark(server, &bob, "conversationMarkRead", &talk.id, at).await,
                4 => _ = mark(server, &bob, "conversationMarkRead", &direct.id, at / 3).await,
                _ => _ = mark_read(server, &bob, json!({ "conversationId": talk.id })).await,
            }
        }
    }));
    // Snapshots in the midst of it.
    let looking = async {
        let mut snapshots = Vec::new();
        for _ in 0..8 {
            snapshots.push(Shown::fetch(server, &bob, "").await);
        }
        snapshots
    };
    let (_, snapshots) = tokio::join!(writing, looking);
    caught_up(server, &ada).await;
    settled(server, &bob).await;
    // The last event of the feed, so that who applies all of it knows when to stop.
    let mut end = follow(server, &bob, Some(&cursor(server, &bob).await)).await;
    server.group(&ada, &[&bob]).await;
    let end = text(&end.next().await, "cursor").to_owned();
    let (fresh, _) = Shown::fetch(server, &bob, "").await;
    assert!(fresh.0.len() > 4);
    let new = fresh.0.values().filter(|one| one["readAt"].is_null()).count();
    assert_eq!(unread(server, &bob).await, new as i64);
    for snapshot in snapshots {
        assert_eq!(applied(server, &bob, "", snapshot, &end).await, fresh, "seed {seed}");
    }
}

#[tokio::test]
async fn a_snapshot_and_its_events_are_a_fresh_fetch() {
    join_all([1, 2, 3].map(run)).await;
}
