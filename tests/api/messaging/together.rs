//! Many who send to one conversation at the same moment: their messages are stored together, and nobody notices.

use crate::kit::{Server, connect, data, mail::until, server, user_errors};
use futures_util::future::{join, join_all};
use serde_json::{Value, json};
use std::collections::{BTreeSet, HashSet};

/// Holds a conversation's row until so many connections wait for it, then lets go.
async fn hold_up(server: &Server, talk: &str, waiting: i64) {
    let mut other = connect(&server.database).await;
    let held = other.transaction().await.expect("a transaction");
    let row = format!("SELECT FROM conversations WHERE id = '{talk}' FOR NO KEY UPDATE");
    held.batch_execute(&row).await.expect("the conversation");
    let process: i32 = held.query_one("SELECT pg_backend_pid()", &[]).await.expect("a process").get(0);
    let waits = format!("SELECT count(*) FROM pg_stat_activity WHERE {process} = ANY(pg_blocking_pids(pid))");
    until("somebody who waits", async || (server.count(&waits).await == waiting).then_some(())).await;
    // Whoever comes now waits on the node, where nobody sees them: time to come, also on a machine that is busy.
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    assert_eq!(server.count(&waits).await, waiting, "one waits for all");
    held.rollback().await.expect("an end");
}

#[tokio::test]
async fn what_comes_at_once_is_stored_at_once_in_one_order_for_all() {
    let server = server().await;
    let ada = server.founder().await;
    let (bob, eve) = (server.member(&ada, "member", None).await, server.member(&ada, "member", None).await);
    let talk = server.group(&ada, &[&bob, &eve]).await;
    let mut feed = server.follow(&ada, &talk.id, Some(&talk.cursor)).await;
    let sending = join_all((0..30).map(async |number: usize| {
        let (who, body) = ([&ada, &bob, &eve][number % 3], format!("message {number}"));
        let answer = server.send(who, json!({ "conversationId": talk.id, "body": body, "clientId": body })).await;
        let message = data(&answer, "messageSend.message").clone();
        assert_eq!(message["body"], body, "everybody is answered with their own: {answer}");
        assert_eq!(message["senderId"], who.member.to_string(), "{answer}");
        message
    }));
    let (sent, ()) = join(sending, hold_up(server, &talk.id, 1)).await;
    assert_eq!(server.numbers(&ada, &talk).await, (1..=30).collect::<Vec<_>>());
    let times: HashSet<&str> = sent.iter().filter_map(|message| message["createdAt"].as_str()).collect();
    assert!(times.len() <= 15, "{} transactions", times.len());
    for number in 1..=30 {
        let event = feed.next().await;
        assert_eq!(event["message"]["seq"], number, "{event}");
        let own = sent.iter().find(|message| message["id"] == event["message"]["id"]).expect("one that was sent");
        assert_eq!(&event["message"], own, "the feed has it as the sender does");
    }
    // Each has read as far as their own last message.
    let unread = "query($id: ID!) { conversation(id: $id) { unreadCount } }";
    for who in [&ada, &bob, &eve] {
        let last = sent.iter().filter(|message| message["senderId"] == who.member.to_string());
        let last = last.filter_map(|message| message["seq"].as_i64()).max().expect("one of theirs");
        let answer = server.graphql(unread, json!({ "id": talk.id }), Some(who)).await;
        assert_eq!(data(&answer, "conversation")["unreadCount"], 30 - last, "{answer}");
    }
}

#[tokio::test]
async fn what_cannot_be_stored_is_in_nobodys_way() {
    let server = server().await;
    let ada = server.founder().await;
    let (bob, stranger) = (server.member(&ada, "member", None).await, server.member(&ada, "member", None).await);
    let talk = server.group(&ada, &[&bob]).await;
    let root = server.say(&ada, &talk, "root").await;
    let plain = |number: usize| json!({ "conversationId": talk.id, "body": format!("plain {number}") });
    let with = |name: &str, value: Value| {
        let mut input = plain(0);
        input[name] = value;
        input
    };
    let mut inputs: Vec<(&crate::kit::Founder, Value, Option<&str>)> = Vec::new();
    for number in 0..6 {
        inputs.push((&bob, plain(number), None));
        inputs.push((&stranger, plain(number), Some("conversationId NOT_FOUND")));
        inputs.push((&ada, with("clientId", json!("the same")), None));
        inputs.push((&bob, with("threadRootId", root["id"].clone()), None));
        let outsider = json!(format!("<@{}>", stranger.member));
        inputs.push((&ada, with("body", outsider), Some("body NOT_FOUND")));
    }
    let sending = join_all(inputs.iter().map(async |(who, input, fault)| {
        let answer = server.send(who, input.clone()).await;
        assert_eq!(user_errors(&answer, "messageSend"), Vec::from_iter(*fault), "{input}");
        answer["data"]["messageSend"]["message"]["id"].as_str().map(str::to_owned)
    }));
    let (ids, ()) = join(sending, hold_up(server, &talk.id, 1)).await;
    let ids: BTreeSet<String> = ids.into_iter().flatten().collect();
    assert_eq!(ids.len(), 6 + 1 + 6, "six plain ones, one key, six replies");
    assert_eq!(server.numbers(&ada, &talk).await, (1..=14).collect::<Vec<_>>(), "no number was lost");
}
