//! What a client may ask for, and what becomes of one that does not read or does not answer.

use super::fake::{Client, Fake, until};
use futures_util::{SinkExt, StreamExt};
use serde_json::json;
use std::{
    sync::atomic::Ordering::SeqCst,
    time::{Duration, Instant},
};
use tokio_tungstenite::tungstenite::Message;

/// A client that is sent more than its wire holds, and does not read.
async fn stalled(write_timeout_ms: u64) -> (Fake, Client) {
    let fake = Fake::new(|config| config.socket.write_timeout_ms = write_timeout_ms);
    let mut client = Client::over(&fake, None, 4096).await;
    client.init(None).await;
    client.subscribe("1", "flood").await;
    until(|| fake.0.pulled.load(SeqCst) > 0).await;
    (fake, client)
}

#[tokio::test]
async fn a_reader_that_does_not_read_is_not_read_for_and_closed_with_1013() {
    let begun = Instant::now();
    let (fake, mut client) = stalled(200).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    let pulled = fake.0.pulled.load(SeqCst);
    assert!(pulled <= 8, "{pulled} answers were made for a wire that holds four");
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(fake.0.pulled.load(SeqCst), pulled);
    let (heard, end) = client.rest().await;
    assert_eq!(end, (1013, "Slow reader".to_owned()));
    assert!(heard <= pulled && begun.elapsed() >= Duration::from_millis(200));
}

#[tokio::test]
async fn a_slow_reader_that_reads_is_kept() {
    let fake = Fake::new(|config| config.socket.write_timeout_ms = 200);
    let mut client = Client::over(&fake, None, 2048).await;
    client.init(None).await;
    client.subscribe("1", "flood").await;
    for _ in 0..12 {
        assert_eq!(client.hear().await["type"], "next");
        tokio::time::sleep(Duration::from_millis(40)).await;
    }
}

/// What they hold, others may wait for.
#[tokio::test]
async fn operations_are_worked_on_while_the_client_does_not_read() {
    let (fake, mut client) = stalled(60_000).await;
    client.subscribe("2", "slow").await;
    until(|| fake.0.started.lock().len() == 2).await;
    fake.0.release.notify_one();
    let left = tokio::time::timeout(Duration::from_millis(100), async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        fake.0.release.notified().await;
    });
    assert!(left.await.is_err(), "nobody has waited for it");
    loop {
        let heard = client.hear().await;
        if heard["id"] == "2" {
            assert_eq!(heard["payload"]["data"], "done");
            break;
        }
    }
}

#[tokio::test]
async fn who_leaves_too_much_unread_is_closed_at_once() {
    let (fake, mut client) = stalled(60_000).await;
    let feeds = ["a", "b", "c", "d", "e"];
    for id in feeds {
        client.subscribe(id, &format!("feed:{id}")).await;
    }
    until(|| fake.0.feeds.lock().len() == feeds.len()).await;
    let megabyte = "x".repeat(1 << 20);
    for id in &feeds[..3] {
        assert!(fake.publish(id, json!(megabyte)));
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(fake.publish("e", json!(1)), "as much as it may");
    assert!(fake.publish("d", json!(megabyte)) && fake.publish("e", json!(megabyte)));
    until(|| !fake.publish("a", json!(1))).await;
    assert_eq!(client.rest().await.1, (1013, "Slow reader".to_owned()));
}

#[tokio::test]
async fn replies_wait_in_a_bounded_queue() {
    let fake = Fake::new(|config| {
        config.socket.write_timeout_ms = 300;
        config.socket.queue = 4;
        config.socket.message_burst = 1_000_000;
    });
    let mut client = Client::over(&fake, None, 1024).await;
    client.init(None).await;
    // Nobody reads the pongs, so after a while nobody reads the pings.
    let ping = Message::text(json!({"type": "ping", "payload": {"x": "x".repeat(500)}}).to_string());
    let flood = async {
        let mut said = 0;
        while tokio::time::timeout(Duration::from_millis(100), client.socket.send(ping.clone())).await.is_ok() {
            said += 1;
        }
        said
    };
    let said = flood.await;
    assert!(said < 20, "{said} pings were taken");
}

#[tokio::test]
async fn operations_take_turns() {
    let fake = Fake::new(|_| {});
    let mut client = Client::over(&fake, None, 4096).await;
    client.init(None).await;
    for id in ["a", "b", "c"] {
        client.subscribe(id, "flood").await;
    }
    let mut seen = std::collections::HashMap::<String, usize>::new();
    for _ in 0..300 {
        *seen.entry(client.hear().await["id"].to_string()).or_default() += 1;
    }
    assert!(seen.len() == 3 && seen.values().all(|&n| n > 60), "{seen:?}");
    client.say(json!({"type": "complete", "id": "a"})).await;
    client.say(json!({"type": "ping"})).await;
    while client.hear().await["type"] != "pong" {}
    for _ in 0..50 {
        assert_ne!(client.hear().await["id"], "a");
    }
}

#[tokio::test]
async fn an_operation_that_calls_again_at_once_holds_up_nobody() {
    let fake = Fake::new(|_| {});
    let mut client = Client::open(&fake, None).await;
    for id in ["1", "2"] {
        client.subscribe(id, "restless").await;
    }
    client.subscribe("3", "query").await;
    assert_eq!([&client.hear().await["type"], &client.hear().await["type"]], ["next", "complete"]);
    client.settle().await;
}

#[tokio::test]
async fn too_many_operations_get_an_error() {
    let fake = Fake::new(|config| config.socket.max_operations = 2);
    let mut client = Client::open(&fake, None).await;
    for id in ["1", "2", "3"] {
        client.subscribe(id, &format!("feed:{id}")).await;
    }
    let error = client.hear().await;
    assert_eq!((&error["id"], &error["type"]), (&json!("3"), &json!("error")));
    assert_eq!(error["payload"][0]["extensions"], json!({"code": "SUBSCRIPTION_LIMIT", "requestId": "socket-3"}));
    client.quiet().await;
    client.say(json!({"type": "complete", "id": "1"})).await;
    client.subscribe("3", "query").await;
    assert_eq!(client.hear().await["type"], "next", "a place is free again");
}

#[tokio::test]
async fn too_many_sockets_of_a_session_are_1013() {
    let fake = Fake::new(|config| config.socket.max_sockets = 2);
    let first = Client::open(&fake, Some("alice")).await;
    let _second = Client::open(&fake, Some("alice")).await;
    let mut third = Client::silent(&fake).await;
    third.say(json!({"type": "connection_init", "payload": {"authorization": "alice"}})).await;
    assert_eq!(third.closed().await, (1013, "Too many sockets".to_owned()));
    let _of_another_session = Client::open(&fake, Some("alice elsewhere")).await;
    drop((first, third));
    until(|| fake.0.sockets.count() == 2).await;
    Client::open(&fake, Some("alice")).await;
}

#[tokio::test]
async fn a_refresh_with_another_session_takes_a_place_of_that_one() {
    let fake = Fake::new(|config| config.socket.max_sockets = 1);
    let mut client = Client::open(&fake, Some("alice")).await;
    let ping = json!({"type": "ping", "payload": {"authorization": "alice elsewhere"}});
    client.say(ping.clone()).await;
    assert_eq!(client.hear().await["type"], "pong");
    let mut other = Client::open(&fake, Some("alice")).await;
    other.say(ping).await;
    assert_eq!(other.closed().await, (1013, "Too many sockets".to_owned()));
}

#[tokio::test]
async fn a_stop_still_writes_a_long_answer() {
    let fake = Fake::new(|_| {});
    let mut client = Client::over(&fake, None, 2000).await;
    client.init(None).await;
    client.subscribe("1", "big:500000").await;
    until(|| fake.0.started.lock().len() == 1).await;
    fake.0.draining.cancel();
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(client.hear().await["payload"]["data"].as_str().map(str::len), Some(500_000));
    assert_eq!(client.hear().await["type"], "complete");
    assert_eq!(client.closed().await, (1012, "Service restart".to_owned()));
}

#[tokio::test]
async fn too_many_messages_are_1013() {
    let fake = Fake::new(|config| {
        config.socket.message_burst = 5;
        config.socket.messages_per_second = 1;
    });
    let mut client = Client::open(&fake, None).await;
    for _ in 0..10 {
        client.say(json!({"type": "pong"})).await;
    }
    assert_eq!(client.closed().await, (1013, "Too many messages".to_owned()));
}

#[tokio::test]
async fn a_message_too_long_is_1009() {
    let fake = Fake::new(|config| config.socket.max_message = 1000);
    let mut client = Client::open(&fake, None).await;
    client.say(json!({"type": "ping", "payload": {"x": "x".repeat(2000)}})).await;
    assert_eq!(client.closed().await, (1009, "Message too long".to_owned()));
}

#[tokio::test]
async fn long_answers_arrive_whole() {
    let fake = Fake::new(|_| {});
    let mut client = Client::over(&fake, None, 10_000).await;
    client.init(None).await;
    for size in [0, 16_000, 16_384, 16_385, 1_000_000] {
        client.subscribe("1", &format!("big:{size}")).await;
        let answer = client.hear().await;
        assert_eq!(answer["payload"]["data"].as_str().map(str::len), Some(size));
        assert_eq!(client.hear().await["type"], "complete");
    }
}

#[tokio::test]
async fn a_client_that_answers_no_pings_is_closed() {
    let fake = Fake::new(|config| config.socket.ping_ms = 40);
    // tungstenite's client answers pings while it is read from, and only then.
    let mut client = Client::open(&fake, None).await;
    let alive = tokio::time::timeout(Duration::from_millis(400), async {
        let mut pings = 0;
        loop {
            match client.socket.next().await {
                Some(Ok(Message::Ping(_))) => pings += 1,
                other => break Err((pings, other.map(|it| it.is_ok()))),
            }
            if pings == 6 {
                break Ok(());
            }
        }
    });
    alive.await.expect("six pings in time").expect("kept while it answers");
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(client.closed().await, (1013, "No answer to pings".to_owned()));
}
