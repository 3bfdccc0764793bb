//! Upkeep of notifications: what goes, and what is made good that a node left behind.

use super::{caught_up, many_more, shown, three, unread};
use crate::{
    kit::server,
    messaging::{
        notification_feed::{cursor, follow},
        position::mark,
        text,
    },
};
use serde_json::json;
use stoa::messaging::notification::purge::purge;

#[tokio::test]
async fn what_is_old_or_too_much_goes() {
    let server = server().await;
    let (ada, bob, eve) = three(server).await;
    let talk = server.group(&ada, &[&bob, &eve]).await;
    for _ in 0..4 {
        server.say(&ada, &talk, &format!("<@{}>", bob.member)).await;
    }
    caught_up(server, &ada).await;
    mark(server, &bob, "conversationMarkRead", &talk.id, 2).await;
    // The first and the third are old: of these the first is read.
    let aged = format!(
        "UPDATE notifications SET id = overlay(id::text PLACING '01800000-0000' FROM 1)::uuid, created_at = '2022-04-01'
         WHERE member_id = '{}' AND message_seq IN (1, 3)",
        bob.member
    );
    server.sql(&aged).await;
    purge(&server.app, ada.organization).await.expect("purged");
    let left = shown(server, &bob, json!({ "kind": { "eq": "MENTION" } })).await;
    let left: Vec<_> = left.iter().map(|one| one["messageSeq"].clone()).collect();
    assert_eq!(left, [json!(4), json!(2), json!(3)]);
    many_more(server, &bob, 1998).await;
    purge(&server.app, ada.organization).await.expect("purged");
    let count = async |more: &str| {
        server.count(&format!("SELECT count(*) FROM notifications WHERE member_id = '{}' {more}", bob.member)).await
    };
    assert_eq!((count("").await, count("AND message_seq = 3").await, count("AND message_seq = 4").await), (2000, 0, 1));
    assert_eq!(unread(server, &eve).await, 1, "each member has as many");
}

/// As if the node had died between the position and this.
#[tokio::test]
async fn what_was_read_when_a_node_died_is_marked_and_told() {
    let server = server().await;
    let (ada, bob, _) = three(server).await;
    let talk = server.group(&ada, &[&bob]).await;
    server.say(&ada, &talk, &format!("<@{}>", bob.member)).await;
    caught_up(server, &ada).await;
    let mention = shown(server, &bob, json!({ "kind": { "eq": "MENTION" } })).await.remove(0);
    let mut feed = follow(server, &bob, Some(&cursor(server, &bob).await)).await;
    let read = "UPDATE participants SET read_seq = 1, read_at = now()";
    server.sql(&format!("{read} WHERE conversation_id = '{}' AND member_id = '{}'", talk.id, bob.member)).await;
    purge(&server.app, ada.organization).await.expect("purged");
    let marked = "SELECT count(*) FROM notifications WHERE marked_at IS NOT NULL";
    assert_eq!(server.count(&format!("{marked} AND id = '{}'", text(&mention, "id"))).await, 1);
    let told = feed.next().await;
    assert_eq!((text(&told, "__typename"), &told["notificationIds"]), ("NotificationsRead", &json!([mention["id"]])));
}
