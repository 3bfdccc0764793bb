//! The database is put back to an earlier state, under nodes that go on and under nodes that start anew. Invariant: whoever
//! has seen what is gone is told so (`ResyncRequired`), also where the numbers are there again with other events; whoever
//! has not goes on; nobody skips anything.

use crate::{
    ALONE,
    cluster::{Bus, Cluster, copy},
    live::{Feed, Said},
    plan::Victim,
    program::{Program, pause, text},
    talk::Client,
};
use serde_json::json;
use std::time::{Duration, Instant};

const FEED: &str = "subscription($id: ID!, $after: String) { conversationEvents(conversationId: $id, after: $after) {
    __typename ... on FeedEvent { cursor } ... on MessageSent { message { seq body } } } }";

/// A place in the conversation: behind which message, and the cursor there.
type Place = (i64, String);

async fn follow(node: &Program, talk: &str, after: &str) -> Feed {
    let variables = json!({ "id": talk, "after": after });
    Feed::open(&node.ws_url(), &node.token, FEED, variables).await.expect("a node")
}

/// Hears messages up to this number, and says where each stands.
async fn places(feed: &mut Feed, from: i64, upto: i64) -> Vec<(Place, String)> {
    let mut places = Vec::new();
    for seq in from..=upto {
        let Said::Event(event) = feed.hear().await else { panic!("the feed ends before message {seq}") };
        assert_eq!(event["message"]["seq"], seq, "{event}");
        places.push(((seq, text(&event, "cursor")), text(&event["message"], "body")));
    }
    places
}

/// Says so many things, once the node can.
async fn say(node: &Program, talk: &str, what: &str, count: i64) {
    let mut client = Client::new(std::slice::from_ref(node), &node.token, 0);
    for number in 0..count {
        client.say(talk, &format!("{what} {number}")).await;
    }
}

/// The way back is the end: nothing else comes.
async fn resyncs(mut feed: Feed, why: &str) {
    match feed.hear().await {
        Said::Event(event) if event["__typename"] == "ResyncRequired" => {}
        other => panic!("{why}: {other:?}"),
    }
}

/// Whether the node has its database again.
async fn answers(node: &Program) {
    let began = Instant::now();
    while !matches!(node.graphql("{ viewer { memberId } }", json!({})).await, Some((200, answer)) if answer["data"].is_object())
    {
        assert!(began.elapsed() < Duration::from_secs(30), "the node does not come back");
        pause().await;
    }
}

/// Says ten things before the copy and ten after it; then the copy is put back, and `anew` are said. Long histories are
/// longer than what nodes hold in memory.
async fn put_back(bus: Bus, length: i64, anew: i64) {
    let Some(mut cluster) = Cluster::start(bus, 1).await else { return };
    let (talk, start) = cluster.nodes[0].conversation(&[]).await;
    let mut live = follow(&cluster.nodes[1], &talk, &start).await;
    say(&cluster.nodes[0], &talk, "kept", length).await;
    let kept = places(&mut live, 1, length).await;

    let saved = tempfile::tempdir().expect("a folder");
    let copied = saved.path().join("postgres");
    cluster.without_postgres(|data| copy(data, &copied)).await;
    say(&cluster.nodes[0], &talk, "gone", length).await;
    let gone = places(&mut live, length + 1, 2 * length).await;
    // Somebody who was here when the copy was made, and nowhere since.
    let (_, middle) = kept[kept.len() / 2].0.clone();
    cluster.without_postgres(|data| copy(&copied, data)).await;
    // One node starts anew, the other one goes on with what it remembers.
    cluster.kill(Victim::Node(0));
    cluster.revive(Victim::Node(0)).await;
    let [fresh, old] = &*cluster.nodes else { panic!("two nodes") };
    answers(old).await;

    // Before anything is written again, where the cursors are beyond the head; and when their numbers are taken again.
    for round in 0..2 {
        if round == 1 {
            say(fresh, &talk, "anew", anew).await;
        }
        for node in [fresh, old] {
            for ((seq, cursor), _) in gone.iter().step_by((length / 3) as usize).chain(gone.last()) {
                resyncs(follow(node, &talk, cursor).await, &format!("behind message {seq}, which is gone")).await;
            }
        }
    }
    resyncs(live, "a feed that was open all the time").await;
    for node in [fresh, old] {
        let mut feed = follow(node, &talk, &middle).await;
        let heard = places(&mut feed, length / 2 + 2, length + anew).await;
        let bodies: Vec<&str> = heard.iter().map(|(_, body)| body.split(' ').next().expect("a word")).collect();
        assert!(bodies.iter().all(|word| *word != "gone"), "{bodies:?}");
        assert_eq!(bodies.iter().filter(|word| **word == "anew").count() as i64, anew);
    }
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_seen_what_is_gone_is_told_so() {
    let _alone = ALONE.lock().await;
    // Fewer than before, exactly as many, and more; within a node's memory, and beyond it.
    put_back(Bus::Notify, 10, 4).await;
    if crate::plan::whole() {
        put_back(Bus::Redis, 10, 10).await;
        put_back(Bus::Notify, 300, 320).await;
    }
}
