//! What the protocol says: each event of the table and its answer.

use super::fake::{Client, Fake, until};
use serde_json::{Value, json};
use std::{
    sync::{Arc, atomic::Ordering::SeqCst},
    time::Duration,
};
use tokio_tungstenite::tungstenite::Message;

fn plain() -> Fake {
    Fake::new(|_| {})
}

fn next(id: &str, data: Value) -> Value {
    json!({"id": id, "type": "next", "payload": {"data": data}})
}

fn complete(id: &str) -> Value {
    json!({"id": id, "type": "complete"})
}

fn closed(code: u16, reason: &str) -> (u16, String) {
    (code, reason.to_owned())
}

#[tokio::test]
async fn queries_and_mutations_answer_next_and_complete() {
    let fake = plain();
    let mut client = Client::open(&fake, Some("alice")).await;
    client.subscribe("1", "query").await;
    assert_eq!(client.hear().await, next("1", json!(1)));
    assert_eq!(client.hear().await, complete("1"));
    client.subscribe("1", "slow").await;
    client.quiet().await;
    fake.0.release.notify_one();
    assert_eq!(client.hear().await, next("1", json!("done")));
    assert_eq!(client.hear().await, complete("1"));
    let started = fake.0.started.lock().clone();
    assert_eq!(started, [("socket-1".to_owned(), Some(1)), ("socket-2".to_owned(), Some(1))]);
}

#[tokio::test]
async fn whatever_a_client_says_shows_that_its_member_is_here() {
    let fake = plain();
    let connections = || Arc::strong_count(&fake.0.here) - 1;
    let _stranger = Client::open(&fake, None).await;
    assert_eq!(connections(), 0);
    let mut client = Client::open(&fake, Some("alice")).await;
    assert_eq!(connections(), 1);
    for message in [Message::Pong("".into()), Message::text("{\"type\":\"ping\"}")] {
        fake.0.here.store(u64::MAX, SeqCst);
        client.send(message).await;
        until(|| fake.0.here.load(SeqCst) < u64::MAX).await;
    }
    drop(client);
    until(|| connections() == 0).await;
}

#[tokio::test]
async fn a_subscription_lives_until_either_side_ends_it() {
    let fake = plain();
    let mut client = Client::open(&fake, Some("Bearer alice")).await;
    client.subscribe("a", "feed:a").await;
    client.subscribe("b", "feed:b").await;
    client.settle().await;
    for n in 0..3 {
        assert!(fake.publish("a", json!(n)));
        assert_eq!(client.hear().await, next("a", json!(n)));
    }
    fake.publish("b", json!("last"));
    fake.end("b");
    assert_eq!(client.hear().await, next("b", json!("last")));
    assert_eq!(client.hear().await, complete("b"));
    client.say(json!({"type": "complete", "id": "a"})).await;
    client.settle().await;
    until(|| !fake.publish("a", json!("late"))).await;
    client.quiet().await;
}

#[tokio::test]
async fn ids_can_be_used_again_at_once() {
    let fake = plain();
    let mut client = Client::open(&fake, None).await;
    client.subscribe("1", "feed:old").await;
    client.settle().await;
    fake.publish("old", json!("never seen"));
    assert_eq!(client.hear().await, next("1", json!("never seen")));
    // Three messages in one go, with an answer of the old operation on its way.
    fake.publish("old", json!("too late"));
    client.say(json!({"type": "complete", "id": "1"})).await;
    client.subscribe("1", "feed:new").await;
    client.say(json!({"type": "complete", "id": "unknown"})).await;
    let mut heard = Vec::new();
    client.say(json!({"type": "ping"})).await;
    loop {
        match client.hear().await {
            pong if pong == json!({"type": "pong"}) => break,
            message => heard.push(message),
        }
    }
    // It may have left before the `complete` was read; nothing of it may come after.
    assert!(heard.is_empty() || heard == [next("1", json!("too late"))], "{heard:?}");
    fake.publish("new", json!("new"));
    fake.end("new");
    assert_eq!(client.hear().await, next("1", json!("new")));
    assert_eq!(client.hear().await, complete("1"));
    client.subscribe("1", "query").await;
    assert_eq!(client.hear().await, next("1", json!(null)));
}

#[tokio::test]
async fn request_errors_are_an_error_without_complete() {
    let mut client = Client::open(&plain(), None).await;
    client.subscribe("1", "bad").await;
    let error = json!({"id": "1", "type": "error", "payload": [{"message": "no such field"}]});
    assert_eq!(client.hear().await, error);
    client.quiet().await;
    client.subscribe("1", "bad").await;
    assert_eq!(client.hear().await, error, "the id is free");
}

#[tokio::test]
async fn subscribe_before_ack_is_4401() {
    let fake = plain();
    let mut client = Client::silent(&fake).await;
    client.subscribe("1", "query").await;
    assert_eq!(client.closed().await, closed(4401, "Unauthorized"));
    let mut client = Client::silent(&fake).await;
    client.say(json!({"type": "connection_init", "payload": {"authorization": "alice, slowly"}})).await;
    client.subscribe("1", "query").await;
    assert_eq!(client.closed().await, closed(4401, "Unauthorized"));
    assert!(fake.0.started.lock().is_empty());
}

#[tokio::test]
async fn a_second_init_is_4429() {
    let mut client = Client::open(&plain(), None).await;
    client.say(json!({"type": "connection_init"})).await;
    assert_eq!(client.closed().await, closed(4429, "Too many initialisation requests"));
    let mut client = Client::silent(&plain()).await;
    for _ in 0..2 {
        client.say(json!({"type": "connection_init", "payload": {"authorization": "alice, slowly"}})).await;
    }
    assert_eq!(client.closed().await.0, 4429, "also while the first is looked at");
}

#[tokio::test]
async fn the_same_id_twice_is_4409() {
    let mut client = Client::open(&plain(), None).await;
    let id = "i".repeat(128);
    client.subscribe(&id, "feed:a").await;
    client.subscribe(&id, "feed:b").await;
    let (code, reason) = client.closed().await;
    assert_eq!((code, reason.len()), (4409, 123));
}

#[tokio::test]
async fn no_init_in_time_is_4408() {
    let fake = Fake::new(|config| config.socket.init_timeout_ms = 50);
    let timed_out = closed(4408, "Connection initialisation timeout");
    assert_eq!(Client::silent(&fake).await.closed().await, timed_out);
    let mut pinging = Client::silent(&fake).await;
    pinging.settle().await;
    assert_eq!(pinging.closed().await, timed_out, "a ping is no init");
    let mut open = Client::open(&fake, None).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    open.settle().await;
}

#[tokio::test]
async fn bad_messages_are_4400_with_a_reason() {
    let long = format!(r#"{{"type":"{}"}}"#, "ü".repeat(1000));
    for text in [
        "no json",
        "[]",
        r#"{"type":"hello"}"#,
        &long,
        r#"{"type":"start","id":"1","payload":{"query":"query"}}"#,
        r#"{"type":"stop","id":"1"}"#,
        r#"{"type":"next","id":"1","payload":{}}"#,
        r#"{"type":"connection_ack"}"#,
        r#"{"type":"subscribe","id":"","payload":{"query":"query"}}"#,
        r#"{"type":"subscribe","id":"1","payload":{}}"#,
        r#"{"type":"subscribe","id":"1","payload":"query"}"#,
        r#"{"type":"subscribe","id":"1","payload":{"query":"shape"}}"#,
        r#"{"type":"connection_init","payload":7}"#,
    ] {
        let mut client = Client::open(&plain(), None).await;
        client.send(Message::text(text)).await;
        let (code, reason) = client.closed().await;
        assert_eq!(code, 4400, "{text}");
        assert!((1..=123).contains(&reason.len()), "{text}: {reason}");
    }
    let mut client = Client::open(&plain(), None).await;
    client.send(Message::binary(br#"{"type":"ping"}"#.to_vec())).await;
    assert_eq!(client.closed().await, closed(4400, "Messages are text, not binary."));
}

#[tokio::test]
async fn pings_are_answered_with_what_they_carry_also_before_init() {
    let mut client = Client::silent(&plain()).await;
    client.settle().await;
    client.say(json!({"type": "ping"})).await;
    assert_eq!(client.hear().await, json!({"type": "pong"}));
    client.say(json!({"type": "pong", "payload": {"unasked": true}})).await;
    client.quiet().await;
}

#[tokio::test]
async fn a_refused_token_is_4403_and_an_absent_one_a_stranger() {
    let fake = plain();
    for (token, reason) in [("nonsense", "Forbidden"), ("Bearer old", "Token expired"), ("Bearer", "Forbidden")] {
        let mut client = Client::silent(&fake).await;
        client.say(json!({"type": "connection_init", "payload": {"authorization": token}})).await;
        assert_eq!(client.closed().await, closed(4403, reason), "{token}");
    }
    fake.0.away.store(true, SeqCst);
    let mut client = Client::silent(&fake).await;
    client.say(json!({"type": "connection_init", "payload": {"authorization": "alice"}})).await;
    assert_eq!(client.closed().await.0, 1013, "nobody can say: come back");
    for payload in [json!(null), json!({}), json!({"authorization": null}), json!({"authorization": ""})] {
        let mut client = Client::silent(&fake).await;
        client.say(json!({"type": "connection_init", "payload": payload})).await;
        assert_eq!(client.hear().await, json!({"type": "connection_ack"}));
        client.subscribe("1", "query").await;
        assert_eq!(client.hear().await, next("1", json!(null)));
    }
}

#[tokio::test]
async fn the_cookie_signs_in_unless_the_payload_does() {
    let fake = plain();
    for (token, member) in [(None, 1), (Some("bob"), 2)] {
        let mut client = Client::over(&fake, Some("alice"), 64 * 1024).await;
        client.init(token).await;
        client.subscribe("1", "query").await;
        assert_eq!(client.hear().await, next("1", json!(member)));
    }
    let mut client = Client::over(&fake, Some("nonsense"), 64 * 1024).await;
    client.say(json!({"type": "connection_init"})).await;
    assert_eq!(client.closed().await, closed(4403, "Forbidden"), "a bad cookie is never silently a stranger");
}

#[tokio::test]
async fn an_expired_token_is_4403() {
    let mut client = Client::open(&plain(), Some("alice, briefly")).await;
    client.subscribe("1", "feed:a").await;
    assert_eq!(client.closed().await, closed(4403, "Token expired"));
}

#[tokio::test]
async fn a_revoked_session_is_4403_and_an_unreachable_one_is_kept() {
    let fake = plain();
    let mut client = Client::open(&fake, Some("alice")).await;
    fake.0.away.store(true, SeqCst);
    let before = fake.0.rechecks.load(SeqCst);
    fake.0.standings.forget_all();
    until(|| fake.0.rechecks.load(SeqCst) > before).await;
    client.settle().await;
    fake.0.revoked.store(true, SeqCst);
    fake.0.away.store(false, SeqCst);
    assert_eq!(client.closed().await, closed(4403, "Forbidden"));
}

#[tokio::test]
async fn a_ping_with_a_token_refreshes_it_in_place() {
    let fake = plain();
    let mut client = Client::open(&fake, Some("alice, briefly")).await;
    client.subscribe("1", "feed:a").await;
    for token in ["alice", "Bearer alice elsewhere"] {
        let ping = json!({"authorization": token});
        client.say(json!({"type": "ping", "payload": ping})).await;
        assert_eq!(client.hear().await, json!({"type": "pong", "payload": ping}));
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    fake.publish("a", json!("still here"));
    assert_eq!(client.hear().await, next("1", json!("still here")));
    client.say(json!({"type": "ping", "payload": {"authorization": "bob"}})).await;
    assert_eq!(client.closed().await, closed(4403, "Forbidden"), "not another member's");
    for (before, after) in [(Some("alice"), "nonsense"), (None, "alice")] {
        let mut client = Client::open(&fake, before).await;
        client.say(json!({"type": "ping", "payload": {"authorization": after}})).await;
        assert_eq!(client.closed().await, closed(4403, "Forbidden"));
    }
}

#[tokio::test]
async fn what_follows_a_refresh_waits_for_it() {
    let fake = plain();
    let mut client = Client::open(&fake, Some("alice")).await;
    client.say(json!({"type": "ping", "payload": {"authorization": "alice, slowly"}})).await;
    client.subscribe("1", "query").await;
    client.quiet().await;
    fake.0.release.notify_one();
    assert_eq!(client.hear().await["type"], "pong");
    assert_eq!(client.hear().await["type"], "next");
}

#[tokio::test]
async fn a_client_that_closes_is_answered_and_leaves_nothing() {
    let fake = plain();
    let mut client = Client::open(&fake, Some("alice")).await;
    client.subscribe("1", "feed:a").await;
    client.settle().await;
    client
        .send(Message::Close(Some(tokio_tungstenite::tungstenite::protocol::CloseFrame {
            code: 1000.into(),
            reason: "bye".into(),
        })))
        .await;
    assert_eq!(client.closed().await, closed(1000, "bye"));
    until(|| fake.0.sockets.count() == 0).await;
    assert!(!fake.publish("a", json!(1)));
    // And one that just goes.
    drop(Client::open(&fake, Some("alice")).await);
    until(|| fake.0.sockets.count() == 0).await;
}

#[tokio::test]
async fn a_stop_closes_with_1012_after_the_answers_that_are_owed() {
    let fake = plain();
    let mut idle = Client::open(&fake, Some("alice")).await;
    let mut silent = Client::silent(&fake).await;
    let mut writing = Client::open(&fake, Some("alice")).await;
    idle.subscribe("1", "feed:a").await;
    idle.settle().await;
    writing.subscribe("1", "feed:b").await;
    writing.subscribe("2", "slow").await;
    writing.settle().await;
    fake.0.draining.cancel();
    let restart = closed(1012, "Service restart");
    assert_eq!(idle.closed().await, restart, "no `complete`: the client takes the subscription up again");
    assert_eq!(silent.closed().await, restart);
    writing.quiet().await;
    writing.subscribe("3", "query").await;
    writing.settle().await;
    fake.0.release.notify_one();
    assert_eq!(writing.hear().await, next("2", json!("done")));
    assert_eq!(writing.hear().await, complete("2"));
    assert_eq!(writing.closed().await, restart);
    drop((idle, silent, writing));
    tokio::time::timeout(Duration::from_secs(5), fake.0.sockets.closed()).await.expect("all sockets end");
}

#[tokio::test]
async fn a_stop_does_not_wait_for_ever() {
    let fake = Fake::new(|config| config.http.drain_ms = 50);
    let mut client = Client::open(&fake, None).await;
    client.subscribe("1", "slow").await;
    client.settle().await;
    fake.0.draining.cancel();
    assert_eq!(client.closed().await, closed(1012, "Service restart"));
}
