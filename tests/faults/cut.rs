//! The way between two nodes is cut, and the way to the database is not. Invariant: what is said on the one is heard on the
//! other one sweep later, and nothing is lost; once the way is whole, at once.

use crate::{
    ALONE,
    cluster::{Bus, Cluster},
    live::{Feed, Said},
    plan,
    program::Program,
    talk::Client,
};
use serde_json::json;
use std::time::{Duration, Instant};
use tokio::time::{interval, sleep};

/// How late an event may be while nodes do not hear each other.
const LATE: Duration = Duration::from_secs(6);
/// Between two sends.
const PACE: Duration = Duration::from_millis(100);

const FEED: &str = "subscription($id: ID!, $after: String) { conversationEvents(conversationId: $id, after: $after) {
    ... on MessageSent { message { seq } } } }";

/// When each message was acknowledged.
async fn say(node: &Program, talk: &str, count: usize) -> Vec<Instant> {
    let (mut client, mut pace) = (Client::new(std::slice::from_ref(node), &node.token, 0), interval(PACE));
    let mut times = Vec::new();
    for number in 0..count {
        pace.tick().await;
        let (line, ..) = client.say(talk, &format!("{talk} {number}")).await;
        assert_eq!(line.seq, number as i64 + 1);
        times.push(Instant::now());
    }
    times
}

/// When each message came, in their order, on one connection that nobody closes.
async fn hear(node: &Program, talk: &str, cursor: &str, count: usize) -> Vec<Instant> {
    let variables = json!({ "id": talk, "after": cursor });
    let mut feed = Feed::open(&node.ws_url(), &node.token, FEED, variables).await.expect("a node");
    let mut times = Vec::new();
    while times.len() < count {
        let Said::Event(event) = feed.hear().await else { panic!("the feed ends") };
        times.push(Instant::now());
        assert_eq!(event["message"]["seq"], times.len(), "in order, and nothing missing");
    }
    times
}

async fn the_bus_is_cut(bus: Bus) {
    let Some(cluster) = Cluster::start(bus, 1).await else { return };
    let seconds = plan::size("CUT_SECONDS", 4, 60);
    // Some before, and some after it.
    let (before, after) = if plan::whole() { (20, 60) } else { (10, 20) };
    let count = before + seconds * 10 + after;
    let [here, there] = &*cluster.nodes else { panic!("two nodes") };
    let talks = [here.conversation(&[]).await, here.conversation(&[]).await];
    let cutting = async {
        sleep(PACE * before as u32).await;
        cluster.relay.cut();
        let began = Instant::now();
        sleep(Duration::from_secs(seconds as u64)).await;
        cluster.relay.mend();
        (began, Instant::now())
    };
    // Both ways, and each node's own as well.
    let (said_here, said_there, from_here, from_there, own, (began, ended)) = tokio::join!(
        say(here, &talks[0].0, count),
        say(there, &talks[1].0, count),
        hear(there, &talks[0].0, &talks[0].1, count),
        hear(here, &talks[1].0, &talks[1].1, count),
        hear(here, &talks[0].0, &talks[0].1, count),
        cutting
    );
    let late = |said: &[Instant], heard: &[Instant], from: Instant, upto: Instant| {
        let times = said.iter().zip(heard).filter(|(said, _)| (from..upto).contains(*said));
        let mut times: Vec<_> = times.map(|(said, heard)| heard.saturating_duration_since(*said)).collect();
        times.sort_unstable();
        (times[times.len() / 2], times[times.len() - 1])
    };
    for (said, heard) in [(&said_here, &from_here), (&said_there, &from_there)] {
        let (middle, longest) = late(said, heard, began, ended);
        println!("bus {bus:?} cut for {seconds} s: median {middle:.2?}, longest {longest:.2?}");
        assert!(longest > Duration::from_secs(1), "the way was not cut");
        // Where something else runs beside, times say little.
        assert!(!plan::whole() || longest < LATE, "{longest:?}");
        // Whoever has the way back looks at once; the line is found dead, and opened again, within some seconds.
        let last = said[said.len() - 10];
        let (middle, _) = late(said, heard, last, Instant::now());
        assert!(!plan::whole() || middle < Duration::from_millis(500), "after it: {middle:?}");
    }
    let (middle, _) = late(&said_here, &own, began, ended);
    assert!(middle < Duration::from_secs(1), "on the node where it was sent: {middle:?}");
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_way_between_nodes_is_cut_while_people_talk() {
    let _alone = ALONE.lock().await;
    tokio::join!(the_bus_is_cut(Bus::Notify), the_bus_is_cut(Bus::Redis));
}
