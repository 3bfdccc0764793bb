//! Several nodes: what happens on one reaches the subscribers of another at once, by NOTIFY and by Redis alike; a way that
//! is cut costs a moment and loses nothing. The sweep, which would find everything, is hours away here.

use crate::{
    kit::{Founder, Server, connect, database, redis::Redis, server},
    messaging::{
        Talk,
        live::{Feed, Socket},
        text,
        typing::who,
    },
};
use serde_json::{Value, json};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use stoa::{
    config::{Config, PresenceConfig},
    events::{Event, StreamId},
    platform::{
        database::address::Address,
        nodes::{self, Heard, Nodes, Topic},
    },
};
use tokio::time::{sleep, timeout};
use uuid::Uuid;

/// How long anything may take that has to come.
const PATIENCE: Duration = Duration::from_secs(20);
/// A sweep that never comes.
const NEVER: u64 = 600_000;

/// How the nodes of a test tell each other something.
struct Way {
    database: String,
    redis: Option<Redis>,
}

impl Way {
    /// With a database of its own where the way is cut, so that no other test notices.
    async fn postgres(own: Option<&str>) -> Option<Self> {
        let database = match own {
            Some(name) => database(&format!("nodes_{name}"), "postgres").await,
            None => server().await.database.clone(),
        };
        Some(Way { database, redis: None })
    }

    async fn redis(_: Option<&str>) -> Option<Self> {
        Some(Way { redis: Some(Redis::start()?), database: server().await.database.clone() })
    }

    async fn node(&self) -> Server {
        Server::on(&self.database, |config| {
            config.redis.url = self.redis.as_ref().map(Redis::url);
            config.redis.wait_ms = 10_000;
            config.events.sweep_ms = NEVER;
            config.presence = PresenceConfig { lease_ms: 1000, renew_ms: 300, grace_ms: 60, typing_ms: 60_000 };
        })
        .await
    }

    /// Two nodes that know each other.
    async fn two(&self) -> (Server, Server) {
        let (here, there) = tokio::join!(self.node(), self.node());
        until(|| !here.app.nodes.alone() && !there.app.nodes.alone()).await;
        (here, there)
    }

    /// Somebody who only listens, and hears what everybody says.
    fn listener(&self) -> Nodes {
        match &self.redis {
            Some(redis) => Nodes::by_redis(nodes::Redis::new(&redis.url(), "stoa").expect("an address")),
            None => Nodes::by_postgres(Address::parse(&self.database).expect("an address")),
        }
    }

    /// Cuts all that goes this way, at once, and does something before it is whole again.
    async fn cut(&mut self, meanwhile: impl Future) {
        match &mut self.redis {
            Some(redis) => redis.replaced(meanwhile).await,
            None => {
                let cut = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                    WHERE datname = current_database() AND application_name = 'stoa nodes'";
                let ended: i64 = connect(&self.database).await.query_one(cut, &[]).await.expect("sound SQL").get(0);
                assert_eq!(ended, 2);
                meanwhile.await;
            }
        }
    }

    /// Says something that no node says.
    async fn say(&self, nonsense: &str) {
        match &self.redis {
            Some(redis) => {
                let client = redis::Client::open(redis.url()).expect("an address");
                let mut connection = client.get_multiplexed_async_connection().await.expect("a connection");
                let mut publish = redis::cmd("PUBLISH");
                publish.arg("stoa:nodes").arg(nonsense);
                assert!(publish.query_async::<i64>(&mut connection).await.expect("published") >= 2);
            }
            None => {
                let client = connect(&self.database).await;
                client.execute("SELECT pg_notify('stoa_nodes', $1)", &[&nonsense]).await.expect("sound SQL");
            }
        }
    }
}

async fn until(what: impl Fn() -> bool) {
    let began = Instant::now();
    while !what() {
        assert!(began.elapsed() < PATIENCE, "did not come to be");
        sleep(Duration::from_millis(2)).await;
    }
}

/// Ada on one node, and on the other one Bob, who follows what she says.
async fn talk(here: &Server, there: &Server) -> (Founder, Talk, Feed) {
    let ada = here.founder().await;
    let bob = here.member(&ada, "member", None).await;
    let talk = here.group(&ada, &[&bob]).await;
    let feed = there.follow(&bob, &talk.id, Some(&talk.cursor)).await;
    (ada, talk, feed)
}

async fn heard(feed: &mut Feed) -> Value {
    timeout(PATIENCE, feed.next()).await.expect("in time")["message"].clone()
}

async fn a_message_crosses_at_once(way: Way) {
    let (here, there) = way.two().await;
    let (ada, talk, mut feed) = talk(&here, &there).await;
    for nonsense in ["", "nonsense", "AQIAAAAAAAAAAAAAAAAAAAAAAAA", &"A".repeat(7900)] {
        way.say(nonsense).await;
    }
    let mut times = Vec::new();
    for number in 0..20 {
        let body = number.to_string();
        let began = Instant::now();
        here.say(&ada, &talk, &body).await;
        assert_eq!(text(&heard(&mut feed).await, "body"), body);
        times.push(began.elapsed());
    }
    times.sort();
    println!("a message to another node: median {:?}, longest {:?}", times[10], times[19]);
    assert!(times[10] < Duration::from_millis(500), "{times:?}");
    here.stop().await;
    there.stop().await;
}

async fn a_cut_way_loses_nothing(mut way: Way) {
    let (here, there) = way.two().await;
    let (ada, talk, mut feed) = talk(&here, &there).await;
    here.say(&ada, &talk, "before").await;
    assert_eq!(text(&heard(&mut feed).await, "body"), "before");
    way.cut(async {
        for body in ["1", "2", "3"] {
            here.say(&ada, &talk, body).await;
        }
    })
    .await;
    for body in ["1", "2", "3"] {
        assert_eq!(text(&heard(&mut feed).await, "body"), body, "without a sweep");
    }
    let lives = async {
        loop {
            here.say(&ada, &talk, "after").await;
            if timeout(Duration::from_millis(500), feed.next()).await.is_ok() {
                return;
            }
        }
    };
    timeout(PATIENCE, lives).await.expect("the way is whole again");
    here.stop().await;
    there.stop().await;
}

async fn hints_go_together_and_nobody_waits(way: Way) {
    let (here, listener) = (way.node().await, way.listener());
    let mut ear = listener.listen(Topic::Hints);
    // Both, as nodes of other tests are there too: who has heard somebody hears from then on.
    until(|| !here.app.nodes.alone() && !listener.alone()).await;
    let stream = StreamId { organization: Uuid::now_v7(), stream: Uuid::now_v7() };
    let event = |seq| {
        Arc::new(Event {
            organization: stream.organization,
            stream: stream.stream,
            seq,
            id: Uuid::now_v7(),
            kind: String::new(),
            entity: String::new(),
            entity_id: Uuid::nil(),
            actor: None,
            payload: Value::Null.into(),
            request_id: None,
            at: Default::default(),
        })
    };
    let began = Instant::now();
    (1..=10_000).for_each(|seq| here.app.hub.publish(vec![event(seq)]));
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    let mut hints = 0;
    let all = async {
        loop {
            let Some(Heard::Said { body, .. }) = ear.hear().await else { continue };
            for hint in body.chunks(40).filter(|hint| hint[16..32] == *stream.stream.as_bytes()) {
                hints += 1;
                if hint[32..] == 10_000_i64.to_be_bytes() {
                    return;
                }
            }
        }
    };
    timeout(PATIENCE, all).await.expect("the last of them");
    assert!(hints < 1000, "{hints} hints for 10 000 events");
    here.stop().await;
}

async fn who_is_here_crosses(way: Way) {
    let (here, there) = way.two().await;
    let ada = here.founder().await;
    let bob = here.member(&ada, "member", None).await;
    let mut feed = there.watch(&ada, &[&bob]).await;
    assert_eq!(feed.next().await[0]["status"], "OFFLINE");
    let socket = Socket::open(&here.ws_url(), &bob).await.expect("a socket");
    feed.until(&bob, |told| told["status"] == "ONLINE").await;
    here.show(&bob, json!({ "status": "AWAY", "text": "elsewhere" })).await;
    feed.until(&bob, |told| told["status"] == "AWAY" && told["text"] == "elsewhere").await;
    let moved = Socket::open(&there.ws_url(), &bob).await.expect("a socket");
    drop(socket);
    here.show(&bob, json!({ "status": "DO_NOT_DISTURB" })).await;
    feed.until(&bob, |told| told["status"] == "DO_NOT_DISTURB").await;
    // A node that has just come knows nobody, and is told.
    let third = way.node().await;
    let mut late = third.watch(&ada, &[&bob]).await;
    late.until(&bob, |told| told["status"] == "DO_NOT_DISTURB").await;
    drop(moved);
    for feed in [&mut feed, &mut late] {
        let gone = feed.until(&bob, |told| told["status"] == "OFFLINE").await;
        assert!(gone["lastSeenAt"].is_string(), "{gone}");
    }
    for node in [here, there, third] {
        node.stop().await;
    }
}

async fn what_is_shown_during_a_cut_is_seen_after_it(mut way: Way) {
    let (here, there) = way.two().await;
    let ada = here.founder().await;
    let bob = here.member(&ada, "member", None).await;
    let mut feed = there.watch(&ada, &[&bob]).await;
    assert_eq!(feed.next().await[0]["text"], Value::Null);
    way.cut(here.show(&bob, json!({ "text": "said to nobody" }))).await;
    feed.until(&bob, |told| told["text"] == "said to nobody").await;
    here.stop().await;
    there.stop().await;
}

async fn who_types_crosses(way: Way) {
    let (here, there) = way.two().await;
    let ada = here.founder().await;
    let bob = here.member(&ada, "member", None).await;
    let talk = here.group(&ada, &[&bob]).await;
    let mut feed = there.overhear(&ada, &talk).await;
    let bobs = [&bob];
    assert_eq!(feed.next().await, who(&talk, &[]));
    for types in [true, false, true] {
        here.typing(&bob, &talk.id, types).await;
        assert_eq!(feed.next().await, who(&talk, &bobs[..usize::from(types)]));
    }
    here.say(&bob, &talk, "here it is").await;
    assert_eq!(feed.next().await, who(&talk, &[]), "a message is the end of it");
    here.stop().await;
    there.stop().await;
}

async fn who_was_with_a_node_that_died_is_gone(way: Way) {
    let (here, dying) = (way.node().await, way.listener());
    until(|| !here.app.nodes.alone() && !dying.alone()).await;
    let ada = here.founder().await;
    let bob = here.member(&ada, "member", None).await;
    let mut feed = here.watch(&ada, &[&bob]).await;
    // What a node says of those who are with it.
    let said = [&[0][..], ada.organization.as_bytes(), bob.member.as_bytes()].concat();
    dying.say(Topic::Presence, &said).await;
    feed.until(&bob, |told| told["status"] == "ONLINE").await;
    drop(dying);
    let gone = feed.until(&bob, |told| told["status"] == "OFFLINE").await;
    assert!(gone["lastSeenAt"].is_string(), "{gone}");
    here.stop().await;
}

/// Whoever is refused by one node is refused by all, and is not let in again by the next one.
#[tokio::test]
async fn who_signs_in_too_often_is_counted_by_all_nodes_together() {
    let Some(way) = Way::redis(None).await else { return };
    let node = async || {
        let mut config = |config: &mut Config| {
            config.redis.url = way.redis.as_ref().map(Redis::url);
            config.redis.wait_ms = 10_000;
            config.identity.sign_ins_per_minute = 5;
        };
        Server::on(&way.database, &mut config).await
    };
    let (here, there) = tokio::join!(node(), node());
    let login = "mutation { login(input: { email: \"nobody@example.com\", password: \"wrong password\" }) {
        session { accessToken } userErrors { code } } }";
    let mut refused = Vec::new();
    for node in [&here, &there].into_iter().cycle().take(12) {
        let answer = node.graphql(login, json!({}), None).await;
        refused.push(answer["errors"][0]["extensions"]["code"] == "RATE_LIMITED");
    }
    // The machine may be so slow that one more has come in since.
    assert!(refused[..5].iter().all(|refused| !refused), "{refused:?}");
    assert!(refused[5..].iter().filter(|refused| **refused).count() >= 5, "{refused:?}");
    here.stop().await;
    there.stop().await;
}

macro_rules! both {
    ($($name:ident $(($own:literal))?),+) => {
        mod by_notify {
            $(#[tokio::test]
            async fn $name() {
                let own: &[&str] = &[$($own)?];
                if let Some(way) = super::Way::postgres(own.first().copied()).await {
                    super::$name(way).await;
                }
            })+
        }
        mod by_redis {
            $(#[tokio::test]
            async fn $name() {
                if let Some(way) = super::Way::redis(None).await {
                    super::$name(way).await;
                }
            })+
        }
    };
}

both!(
    a_message_crosses_at_once,
    a_cut_way_loses_nothing("cut"),
    hints_go_together_and_nobody_waits,
    who_is_here_crosses,
    what_is_shown_during_a_cut_is_seen_after_it("shown"),
    who_types_crosses,
    who_was_with_a_node_that_died_is_gone
);
