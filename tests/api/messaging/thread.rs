//! Threads: replies are numbered in their thread, and whoever takes part follows it.

use super::{snapshot::Shown, text};
use crate::kit::{code, data, mirror::keeps_in_step, server, user_errors};
use futures_util::future::{join, join_all};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::timeout;
use uuid::Uuid;

#[tokio::test]
async fn replies_are_counted_without_a_gap_however_many_come_at_once() {
    let server = server().await;
    let ada = server.founder().await;
    let bob = server.member(&ada, "member", None).await;
    let talk = server.group(&ada, &[&bob]).await;
    let (root, other) = (server.say(&ada, &talk, "who comes?").await, server.say(&bob, &talk, "aside").await);
    let shown = keeps_in_step::<Shown>(server, &ada, &talk.id, async {
        join_all((0..20).map(|number| {
            let (by, root) = if number % 2 == 0 { (&ada, &root) } else { (&bob, &root) };
            server.reply(by, &talk, root, "me")
        }))
        .await;
        server.reply(&bob, &talk, &other, "to myself").await;
        server.change(&ada, "messageEdit", json!({ "id": root["id"], "body": "who comes on Friday?" })).await;
    })
    .await;
    let root = &shown.messages[text(&root, "id")];
    let replies: Vec<&Value> =
        shown.messages.values().filter(|message| message["threadRootId"] == root["id"]).collect();
    let mut numbers: Vec<(i64, i64)> =
        replies.iter().filter_map(|reply| Some((reply["seq"].as_i64()?, reply["threadSeq"].as_i64()?))).collect();
    numbers.sort_unstable();
    assert_eq!(numbers.iter().map(|(_, number)| *number).collect::<Vec<_>>(), (1..=20).collect::<Vec<_>>());
    let newest = replies.iter().find(|reply| reply["threadSeq"] == 20).expect("the newest");
    assert_eq!((&root["replyCount"], &root["lastReplyAt"]), (&json!(20), &newest["createdAt"]));
    assert_eq!(shown.messages[text(&other, "id")]["replyCount"], 1);
    // The thread, and the conversation without replies.
    let query = "query($id: ID!, $root: ID!) {
        conversation(id: $id) { messages(filter: { threadRootId: { isNull: true } }) { nodes { id } } }
        node(id: $root) { ... on Message { replies(first: 3, orderBy: [{ field: SEQ }]) { totalCount nodes { threadSeq threadRoot { id } } } } } }";
    let answer = server.graphql(query, json!({ "id": talk.id, "root": root["id"] }), Some(&ada)).await;
    assert_eq!(data(&answer, "conversation.messages.nodes").as_array().map(Vec::len), Some(2));
    let replies = data(&answer, "node.replies");
    assert_eq!(replies["totalCount"], 20);
    assert_eq!(replies["nodes"][2], json!({ "threadSeq": 3, "threadRoot": { "id": root["id"] } }));
}

/// Sending holds the sender and then the root: so does whatever else one does to the root.
#[tokio::test]
async fn who_replies_and_reacts_at_once_is_not_in_their_own_way() {
    let server = server().await;
    let ada = server.founder().await;
    let talk = server.group(&ada, &[]).await;
    let root = server.say(&ada, &talk, "who comes?").await;
    let replying = join_all((0..40).map(|_| server.reply(&ada, &talk, &root, "me")));
    let reacting = join_all((0..40).map(async |number| {
        let mutation = if number % 2 == 0 { "reactionAdd" } else { "reactionRemove" };
        let answer = server.change(&ada, mutation, json!({ "messageId": root["id"], "emoji": "👍" })).await;
        assert!(answer.get("errors").is_none(), "{answer}");
    }));
    join(replying, reacting).await;
}

#[tokio::test]
async fn what_is_no_root_is_told() {
    let server = server().await;
    let ada = server.founder().await;
    let bob = server.member(&ada, "member", None).await;
    let (talk, other, theirs) =
        (server.group(&ada, &[]).await, server.group(&ada, &[]).await, server.group(&bob, &[]).await);
    let root = server.say(&ada, &talk, "root").await;
    let reply = server.reply(&ada, &talk, &root, "reply").await;
    let (elsewhere, hidden) = (server.say(&ada, &other, "elsewhere").await, server.say(&bob, &theirs, "hidden").await);
    let gone = server.say(&ada, &talk, "gone").await;
    server.change(&ada, "messageDelete", json!({ "id": gone["id"] })).await;
    for (root, fault) in [
        (&elsewhere["id"], "threadRootId NOT_FOUND"),
        (&hidden["id"], "threadRootId NOT_FOUND"),
        (&json!(Uuid::now_v7()), "threadRootId NOT_FOUND"),
        (&reply["id"], "threadRootId INVALID"),
        (&gone["id"], "threadRootId STATE_INVALID"),
    ] {
        let answer = server.send(&ada, json!({ "conversationId": talk.id, "body": "x", "threadRootId": root })).await;
        assert_eq!(user_errors(&answer, "messageSend"), [fault]);
    }
    assert_eq!(server.numbers(&ada, &talk).await, [1, 2, 3], "no number was lost");
    assert_eq!(server.say(&ada, &talk, "next").await["seq"], 4);
    for (message, fault) in [(&reply, "messageId INVALID"), (&hidden, "messageId NOT_FOUND")] {
        for mutation in ["threadFollow", "threadUnfollow"] {
            let told = server.change(&ada, mutation, json!({ "messageId": message["id"] })).await;
            assert_eq!(user_errors(&told, "done"), [fault]);
        }
    }
    server.archive(&talk).await;
    let told = server.change(&ada, "threadFollow", json!({ "messageId": root["id"] })).await;
    assert_eq!(user_errors(&told, "done"), ["messageId STATE_INVALID"]);
    let told = server.send(&ada, json!({ "conversationId": talk.id, "body": "x" })).await;
    assert_eq!(user_errors(&told, "messageSend"), ["conversationId STATE_INVALID"]);
}

#[tokio::test]
async fn who_takes_part_follows_until_they_say_otherwise() {
    let server = server().await;
    let ada = server.founder().await;
    let (bob, eve) = (server.member(&ada, "member", None).await, server.member(&ada, "member", None).await);
    let talk = server.group(&ada, &[&bob, &eve]).await;
    let root = server.say(&ada, &talk, "root").await;
    let followers = async || {
        let query = "query($id: ID!) { node(id: $id) { ... on Message { followedByMe followers { id } } } }";
        let answer = server.graphql(query, json!({ "id": root["id"] }), Some(&ada)).await;
        let node = data(&answer, "node").clone();
        let all: Vec<String> =
            node["followers"].as_array().expect("a list").iter().map(|one| text(one, "id").to_owned()).collect();
        (node["followedByMe"] == true, all)
    };
    let named = |who: &[&crate::kit::Founder]| who.iter().map(|one| one.member.to_string()).collect::<Vec<_>>();
    assert_eq!(followers().await, (false, vec![]), "there is no thread yet");
    keeps_in_step::<Shown>(server, &ada, &talk.id, async {
        server.reply(&bob, &talk, &root, "one").await;
    })
    .await;
    let (mine, mut both) = followers().await;
    both.sort_unstable();
    let mut wanted = named(&[&ada, &bob]);
    wanted.sort_unstable();
    assert_eq!((mine, both), (true, wanted), "who wrote the root, and who replied");
    let of = json!({ "messageId": root["id"] });
    keeps_in_step::<Shown>(server, &ada, &talk.id, async {
        for _ in 0..2 {
            let left = server.change(&ada, "threadUnfollow", of.clone()).await;
            assert_eq!(data(&left, "done.message")["followedByMe"], false);
        }
        server.reply(&bob, &talk, &root, "two").await;
        for _ in 0..2 {
            server.change(&eve, "threadFollow", of.clone()).await;
        }
    })
    .await;
    assert_eq!(followers().await, (false, named(&[&bob, &eve])), "a later reply does not bring anybody back");
    keeps_in_step::<Shown>(server, &ada, &talk.id, async {
        server.reply(&ada, &talk, &root, "three").await;
    })
    .await;
    assert_eq!(followers().await, (true, named(&[&bob, &eve, &ada])));
    let query = "query($id: ID!, $first: Int) { node(id: $id) { ... on Message { followers(first: $first) { id } } } }";
    let first = async |first: i32| server.graphql(query, json!({ "id": root["id"], "first": first }), Some(&ada)).await;
    assert_eq!(*data(&first(2).await, "node.followers"), json!([{ "id": bob.member }, { "id": eve.member }]));
    assert_eq!(*data(&first(0).await, "node.followers"), json!([]));
    for wrong in [-1, 101] {
        assert_eq!(code(&first(wrong).await), "BAD_USER_INPUT", "{wrong}");
    }
    let told = format!("SELECT count(*) FROM events WHERE stream_id = '{}' AND kind LIKE 'thread%'", talk.id);
    assert_eq!(server.count(&told).await, 2, "what changes nothing is not told");
}

/// A session that holds a conversation while a send waits for it.
async fn while_it_waits(send: impl Future<Output = Value>, talk: &str, change: &str) -> Value {
    let holder = server().await.session().await;
    let hold = format!("BEGIN; SELECT 1 FROM conversations WHERE id = '{talk}' FOR NO KEY UPDATE");
    holder.batch_execute(&hold).await.expect("held");
    let meddling = async {
        let waits = "SELECT count(*) FROM pg_stat_activity WHERE pg_backend_pid() = ANY(pg_blocking_pids(pid))";
        let waited = async {
            while holder.query_one(waits, &[]).await.expect("a count").get::<_, i64>(0) == 0 {
                tokio::task::yield_now().await;
            }
        };
        timeout(Duration::from_secs(20), waited).await.expect("the send waits");
        holder.batch_execute(&format!("{change}; COMMIT")).await.expect("changed");
    };
    join(send, meddling).await.0
}

/// Who is removed, or whose root is deleted, while the statement waits for its turn takes no number.
#[tokio::test]
async fn what_is_refused_while_it_waits_leaves_no_gap() {
    let server = server().await;
    let ada = server.founder().await;
    let bob = server.member(&ada, "member", None).await;
    let talk = server.group(&ada, &[&bob]).await;
    let root = server.say(&ada, &talk, "root").await;
    let id = text(&root, "id");
    let send = server.send(&bob, json!({ "conversationId": talk.id, "body": "too late", "threadRootId": id }));
    let delete = format!("UPDATE messages SET body = NULL, deleted_at = now() WHERE id = '{id}'");
    let told = while_it_waits(send, &talk.id, &delete).await;
    assert_eq!(user_errors(&told, "messageSend"), ["threadRootId STATE_INVALID"]);
    let send = server.send(&bob, json!({ "conversationId": talk.id, "body": "too late" }));
    let remove = format!("UPDATE participants SET left_at = now() WHERE member_id = '{}'", bob.member);
    let told = while_it_waits(send, &talk.id, &remove).await;
    assert_eq!(user_errors(&told, "messageSend"), ["conversationId NOT_FOUND"]);
    assert_eq!(server.say(&ada, &talk, "next").await["seq"], 2);
    let query =
        "query($id: ID!) { conversation(id: $id) { lastSeq } node(id: $root) { ... on Message { replyCount } } }";
    let query = query.replace("$root", &format!("\"{id}\""));
    let answer = server.graphql(&query, json!({ "id": talk.id }), Some(&ada)).await;
    assert_eq!(answer["data"], json!({ "conversation": { "lastSeq": 2 }, "node": { "replyCount": 0 } }));
}
