//! Whom a message concerns: as what it is when somebody comes to it, and as who was there when it was said.

use super::{caught_up, of, three, told};
use crate::{
    kit::{server, verdict},
    messaging::{block::open, notification_follow::undone},
};
use serde_json::json;

/// Mentions go with their message; that it was said to one alone, or in a thread, does not.
#[tokio::test]
async fn what_was_deleted_before_anybody_came_to_it_is_not_told() {
    let server = server().await;
    let (ada, bob, _) = three(server).await;
    let talk = server.group(&ada, &[&bob]).await;
    let direct = open(server, &ada, &bob).await.expect("a direct conversation");
    let root = server.say(&bob, &talk, "a root").await;
    let reply = server.reply(&ada, &talk, &root, "a reply").await;
    let alone = server.say(&ada, &direct, "between us").await;
    let stays = server.say(&ada, &direct, "this stays").await;
    let all = [of("DIRECT_MESSAGE", &stays), of("DIRECT_MESSAGE", &alone), of("REPLY", &reply)];
    assert_eq!(told(server, &bob).await, all);
    for message in [&reply, &alone] {
        let deleted = server.change(&ada, "messageDelete", json!({ "id": message["id"] })).await;
        assert_eq!(verdict(&deleted), "done");
    }
    undone(server, &ada).await;
    assert_eq!(told(server, &bob).await, all[..1]);
}

#[tokio::test]
async fn who_begins_to_follow_a_thread_is_not_told_of_what_was_said_before() {
    let server = server().await;
    let (ada, bob, eve) = three(server).await;
    let talk = server.group(&ada, &[&bob, &eve]).await;
    let root = server.say(&bob, &talk, "a root").await;
    let before = server.reply(&ada, &talk, &root, "before").await;
    let followed = server.change(&eve, "threadFollow", json!({ "messageId": root["id"] })).await;
    assert_eq!(verdict(&followed), "done");
    let behind = server.reply(&ada, &talk, &root, "behind it").await;
    // Whoever comes to it does so behind all of this.
    caught_up(server, &ada).await;
    undone(server, &ada).await;
    assert_eq!(told(server, &eve).await, [of("REPLY", &behind)]);
    assert_eq!(told(server, &bob).await, [of("REPLY", &behind), of("REPLY", &before)]);
}

#[tokio::test]
async fn who_is_online_is_here_and_all_are_the_channel() {
    let server = server().await;
    let (ada, bob, eve) = three(server).await;
    let talk = server.group(&ada, &[&bob, &eve]).await;
    let mut device = server.watch(&bob, &[&bob]).await;
    device.until(&bob, |told| told["status"] == "ONLINE").await;
    let here = server.say(&ada, &talk, "<@here>?").await;
    let both = server.say(&ada, &talk, "<@here>, and whoever else is in <@channel>").await;
    assert_eq!(told(server, &bob).await, [of("MENTION", &both), of("MENTION", &here)]);
    assert_eq!(told(server, &eve).await, [of("MENTION", &both)], "she is not here");
}
