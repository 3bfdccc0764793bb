//! Many who send to one conversation at the same moment: their messages are stored together, and nobody notices.

use super::Talk;
use crate::kit::{Founder, Server, connect, data, mail::until, server, user_errors};
use futures_util::future::{join_all, join3};
use serde_json::{Value, json};
use std::collections::{BTreeSet, HashSet};
use stoa::events::StreamId;

/// Sends one after the other is on its way: the first waits for the conversation's row, which somebody holds, and all others
/// wait behind it on the node before anything is stored.
async fn at_once<T>(
    server: &Server,
    (by, talk): (&Founder, &Talk),
    first: impl Future<Output = T>,
    others: Vec<impl Future<Output = T>>,
) -> Vec<T> {
    let mut other = connect(&server.database).await;
    let held = other.transaction().await.expect("a transaction");
    let row = format!("SELECT FROM conversations WHERE id = '{}' FOR NO KEY UPDATE", talk.id);
    held.batch_execute(&row).await.expect("the conversation");
    let process: i32 = held.query_one("SELECT pg_backend_pid()", &[]).await.expect("a process").get(0);
    let waits = format!("SELECT count(*) FROM pg_stat_activity WHERE {process} = ANY(pg_blocking_pids(pid))");
    let waits = async || server.count(&waits).await;
    let stream = StreamId { organization: by.organization, stream: talk.id.parse().expect("an id") };
    let behind = others.len();
    let others = async {
        until("the first to wait", async || (waits().await == 1).then_some(())).await;
        join_all(others).await
    };
    let let_go = async {
        let waiting = || server.app.combiner.waiting_for(stream);
        until("all others to wait behind it", async || (waiting() == behind).then_some(())).await;
        assert_eq!(waits().await, 1, "one waits for all");
        held.rollback().await.expect("an end");
    };
    let (first, mut all, ()) = join3(first, others, let_go).await;
    all.insert(0, first);
    all
}

#[tokio::test]
async fn what_comes_at_once_is_stored_at_once_in_one_order_for_all() {
    let server = server().await;
    let ada = server.founder().await;
    let (bob, eve) = (server.member(&ada, "member", None).await, server.member(&ada, "member", None).await);
    let talk = server.group(&ada, &[&bob, &eve]).await;
    let mut feed = server.follow(&ada, &talk.id, Some(&talk.cursor)).await;
    let send = async |number: usize| {
        let (who, body) = ([&ada, &bob, &eve][number % 3], format!("message {number}"));
        let answer = server.send(who, json!({ "conversationId": talk.id, "body": body, "clientId": body })).await;
        let message = data(&answer, "messageSend.message").clone();
        assert_eq!(message["body"], body, "everybody is answered with their own: {answer}");
        assert_eq!(message["senderId"], who.member.to_string(), "{answer}");
        message
    };
    let sent = at_once(server, (&ada, &talk), send(0), (1..30).map(&send).collect()).await;
    assert_eq!(server.numbers(&ada, &talk).await, (1..=30).collect::<Vec<_>>());
    let times: HashSet<&str> = sent.iter().filter_map(|message| message["createdAt"].as_str()).collect();
    assert_eq!(times.len(), 2, "the first alone, then all others in one transaction");
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
    let mut inputs: Vec<(&Founder, Value, Option<&str>)> = Vec::new();
    for number in 0..6 {
        inputs.push((&bob, plain(number), None));
        inputs.push((&stranger, plain(number), Some("conversationId NOT_FOUND")));
        inputs.push((&ada, with("clientId", json!("the same")), None));
        inputs.push((&bob, with("threadRootId", root["id"].clone()), None));
        let outsider = json!(format!("<@{}>", stranger.member));
        inputs.push((&ada, with("body", outsider), Some("body NOT_FOUND")));
    }
    let send = async |(who, input, fault): &(&Founder, Value, Option<&str>)| {
        let answer = server.send(who, input.clone()).await;
        assert_eq!(user_errors(&answer, "messageSend"), Vec::from_iter(*fault), "{input}");
        answer["data"]["messageSend"]["message"]["id"].as_str().map(str::to_owned)
    };
    let (first, others) = inputs.split_first().expect("a plain one");
    let ids = at_once(server, (&ada, &talk), send(first), others.iter().map(&send).collect()).await;
    let ids: BTreeSet<String> = ids.into_iter().flatten().collect();
    assert_eq!(ids.len(), 6 + 1 + 6, "six plain ones, one key, six replies");
    assert_eq!(server.numbers(&ada, &talk).await, (1..=14).collect::<Vec<_>>(), "no number was lost");
}
