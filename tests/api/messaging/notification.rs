//! Notifications: who is told of what, who is not, and when it is read.

mod purge;
mod whom;

use super::{Talk, block::open, notification_follow::undone, position::mark, settings::set, text, user_contact::acted};
use crate::kit::{Founder, Server, code, data, mail::until, server, user_errors};
use futures_util::future::{join, join_all};
use serde_json::{Value, json};
use stoa::messaging::notification::follow::catch_up;
use uuid::Uuid;

const NOTIFICATION: &str = "id kind readAt conversationId messageId messageSeq actorId createdAt message { id body } conversation { id } actor { id }";

/// A member's notifications that fit, newest first.
pub async fn shown(server: &Server, who: &Founder, filter: Value) -> Vec<Value> {
    let query = format!(
        "query($filter: NotificationFilter) {{ notifications(first: 100, filter: $filter) {{ nodes {{ {NOTIFICATION} }} }} }}"
    );
    let answer = server.graphql(&query, json!({ "filter": filter }), Some(who)).await;
    data(&answer, "notifications.nodes").as_array().expect("nodes").clone()
}

/// How many are new to a member.
pub async fn unread(server: &Server, who: &Founder) -> i64 {
    let answer = server.graphql("{ notificationCounts { unread } }", json!({}), Some(who)).await;
    data(&answer, "notificationCounts")["unread"].as_i64().expect("a number")
}

/// So many more who are in a conversation.
pub async fn many_join(server: &Server, organization: Uuid, conversation: &str, count: usize) {
    server
        .sql(&format!(
            "WITH made AS (
               INSERT INTO users (id, email, full_name) SELECT gen_random_uuid(), gen_random_uuid() || '@example.com', 'One of many'
               FROM generate_series(1, {count}) RETURNING id, email, full_name
             ), joined AS (
               INSERT INTO memberships (organization_id, id, user_id, name, email, role, joined_at)
               SELECT '{organization}', gen_random_uuid(), id, full_name, email, 'member', now() FROM made RETURNING id
             )
             INSERT INTO participants (organization_id, id, conversation_id, member_id)
             SELECT '{organization}', gen_random_uuid(), '{conversation}', id FROM joined"
        ))
        .await;
}

/// So many more of a member's, newer than those that are there.
async fn many_more(server: &Server, who: &Founder, count: usize) {
    server
        .sql(&format!(
            "INSERT INTO notifications (organization_id, id, member_id, kind, created_at)
             SELECT organization_id, gen_random_uuid(), member_id, kind, now() + n * interval '1 ms'
             FROM (SELECT * FROM notifications WHERE member_id = '{}' LIMIT 1) one, generate_series(1, {count}) n",
            who.member
        ))
        .await;
}

/// Lets all that has happened in an organization have its effect, also where the node has not come to it yet.
pub async fn caught_up(server: &Server, of: &Founder) {
    catch_up(&server.app, of.organization).await.expect("caught up");
}

/// Waits until what a member has read by their positions is marked and told as well.
pub async fn settled(server: &Server, who: &Founder) {
    let left = format!(
        "SELECT count(*) FROM notifications n JOIN participants p USING (organization_id, conversation_id, member_id)
         WHERE marked_at IS NULL AND read_seq >= message_seq AND member_id = '{}'",
        who.member
    );
    until("all that is read is marked", async || (server.count(&left).await == 0).then_some(())).await;
}

/// Kinds and messages of which a member is told, newest first; a group is told of once.
pub async fn told(server: &Server, who: &Founder) -> Vec<(String, Value)> {
    caught_up(server, who).await;
    let shown = shown(server, who, json!({ "kind": { "ne": "ADDED_TO_CONVERSATION" } })).await;
    shown.into_iter().map(|one| (text(&one, "kind").to_owned(), one["messageId"].clone())).collect()
}

pub fn of(kind: &str, message: &Value) -> (String, Value) {
    (kind.to_owned(), message["id"].clone())
}

/// The answer to `notificationsMarkRead`, called `done`.
pub async fn mark_read(server: &Server, who: &Founder, input: Value) -> Value {
    let query = "mutation($input: NotificationsMarkReadInput!) { done: notificationsMarkRead(input: $input) {
        marked userErrors { field code } query { notificationCounts { unread } } } }";
    server.graphql(query, json!({ "input": input }), Some(who)).await
}

async fn marked(server: &Server, who: &Founder, input: Value) -> (i64, i64) {
    let answer = mark_read(server, who, input).await;
    let number = |path: &str| data(&answer, path).as_i64().expect("a number");
    (number("done.marked"), number("done.query.notificationCounts.unread"))
}

/// A founder and two more.
pub async fn three(server: &Server) -> (Founder, Founder, Founder) {
    let ada = server.founder().await;
    let (bob, eve) = (server.member(&ada, "member", None).await, server.member(&ada, "member", None).await);
    (ada, bob, eve)
}

#[tokio::test]
async fn whom_it_concerns_is_told_and_nobody_else() {
    let server = server().await;
    let (ada, bob, eve) = three(server).await;
    let talk = server.group(&ada, &[&bob, &eve]).await;
    server.say(&ada, &talk, "nothing in particular").await;
    let mention = server.say(&ada, &talk, &format!("look, <@{}>", bob.member)).await;
    let reply = server.reply(&bob, &talk, &mention, "I do").await;
    let third = server.reply(&eve, &talk, &mention, "so do I").await;
    let all = server.say(&eve, &talk, "<@channel>, good night").await;
    let here = server.say(&ada, &talk, "<@here>?").await;
    let both = server.reply(&ada, &talk, &mention, &format!("<@{}> once more", bob.member)).await;
    let direct = open(server, &ada, &bob).await.expect("a direct conversation");
    let secret = server.say(&ada, &direct, "between us").await;
    let by_ada = [of("MENTION", &all), of("REPLY", &third), of("REPLY", &reply)];
    assert_eq!(told(server, &ada).await, by_ada, "not of one's own");
    let by_bob = [
        of("DIRECT_MESSAGE", &secret),
        of("MENTION", &both),
        of("MENTION", &all),
        of("REPLY", &third),
        of("MENTION", &mention),
    ];
    assert_eq!(told(server, &bob).await, by_bob, "and who is not online is not here");
    assert_eq!(told(server, &eve).await, [of("REPLY", &both)], "who has replied follows");
    assert!(!here["id"].is_null());
    let edited = json!({ "id": mention["id"], "body": format!("<@{}>, too", eve.member) });
    server.change(&ada, "messageEdit", edited).await;
    assert_eq!(told(server, &eve).await.len(), 1, "an edit tells nobody");
    // What it is about, and the group that she was brought into.
    let added = &shown(server, &eve, json!({ "kind": { "eq": "ADDED_TO_CONVERSATION" } })).await[..];
    let [added] = added else { panic!("once: {added:#?}") };
    assert_eq!((&added["actorId"], &added["conversation"]["id"]), (&json!(ada.member), &json!(talk.id)));
    assert_eq!((&added["messageId"], &added["readAt"]), (&Value::Null, &Value::Null));
    let last = &shown(server, &eve, json!({ "conversationId": { "eq": talk.id }, "kind": { "eq": "REPLY" } })).await[0];
    assert_eq!((&last["actor"]["id"], &last["messageSeq"]), (&json!(ada.member), &both["seq"]));
    assert_eq!((&last["message"]["body"], &last["createdAt"].is_string()), (&both["body"], &true));
    assert_eq!(shown(server, &ada, json!({ "kind": { "eq": "ADDED_TO_CONVERSATION" } })).await.len(), 0);
}

#[tokio::test]
async fn who_asks_to_be_a_contact_is_told_of_once() {
    let server = server().await;
    let (ada, bob, eve) = three(server).await;
    acted(server, &ada, "Request", &bob).await;
    acted(server, &ada, "Request", &bob).await;
    acted(server, &bob, "Block", &eve).await;
    acted(server, &eve, "Request", &bob).await;
    caught_up(server, &ada).await;
    let asked = shown(server, &bob, json!({})).await;
    assert_eq!(asked.len(), 1, "a blocked one asks nobody: {asked:#?}");
    assert_eq!((text(&asked[0], "kind"), &asked[0]["actor"]["id"]), ("CONTACT_REQUEST", &json!(ada.member)));
    acted(server, &bob, "Accept", &ada).await;
    assert!(told(server, &ada).await.is_empty());
    assert_eq!(told(server, &bob).await.len(), 1);
}

#[tokio::test]
async fn who_has_said_so_is_not_told() {
    let server = server().await;
    let (ada, bob, eve) = three(server).await;
    let talk = server.group(&ada, &[&bob, &eve]).await;
    let root = server.say(&bob, &talk, "a root").await;
    server.reply(&eve, &talk, &root, "a reply").await;
    let mut expected = told(server, &bob).await;
    assert_eq!(expected.len(), 1);
    let everything = async || {
        server.reply(&ada, &talk, &root, "one more").await;
        server.say(&ada, &talk, &format!("<@{}>", bob.member)).await
    };
    let level = async |input: Value| {
        let mut input = input;
        input["conversationId"] = json!(talk.id);
        set(server, &bob, input).await
    };
    level(json!({ "mutedUntil": "2999-01-01T00:00:00.000Z" })).await;
    everything().await;
    assert_eq!(told(server, &bob).await, expected, "muted");
    level(json!({ "mutedUntil": "2020-01-01T00:00:00.000Z", "notificationLevel": "NONE" })).await;
    everything().await;
    assert_eq!(told(server, &bob).await, expected, "of nothing");
    level(json!({ "notificationLevel": "MENTIONS" })).await;
    expected.insert(0, of("MENTION", &everything().await));
    assert_eq!(told(server, &bob).await, expected, "of mentions only");
    level(json!({ "notificationLevel": "ALL" })).await;
    acted(server, &bob, "Block", &ada).await;
    everything().await;
    assert_eq!(told(server, &bob).await, expected, "blocked");
    acted(server, &bob, "Unblock", &ada).await;
    let mention = everything().await;
    assert_eq!(told(server, &bob).await[0], of("MENTION", &mention), "and again");
    // The others have set nothing of the kind.
    assert_eq!(told(server, &eve).await.len(), 5, "each reply");
}

/// `<@here>` means nobody who is not, and takes nothing from what concerns them otherwise.
#[tokio::test]
async fn who_is_not_online_is_told_why_it_concerns_them_all_the_same() {
    let server = server().await;
    let (ada, bob, eve) = three(server).await;
    let talk = server.group(&ada, &[&bob, &eve]).await;
    let root = server.say(&bob, &talk, "a root").await;
    server.reply(&eve, &talk, &root, "a reply").await;
    let first = told(server, &bob).await;
    let input = json!({ "conversationId": talk.id, "notificationLevel": "MENTIONS" });
    set(server, &eve, input).await;
    let asked = server.reply(&ada, &talk, &root, "<@here>, what about this?").await;
    let direct = open(server, &ada, &bob).await.expect("a direct conversation");
    let alone = server.say(&ada, &direct, "<@here>?").await;
    let expected = [of("DIRECT_MESSAGE", &alone), of("REPLY", &asked), first[0].clone()];
    assert_eq!(told(server, &bob).await, expected);
    assert!(told(server, &eve).await.is_empty(), "she wants to hear of mentions only, and is not mentioned");
}

#[tokio::test]
async fn what_is_gone_or_out_of_reach_is_not_shown() {
    let server = server().await;
    let (ada, bob, eve) = three(server).await;
    let talk = server.group(&ada, &[&bob]).await;
    let one = server.say(&ada, &talk, &format!("a secret, <@{}>", bob.member)).await;
    caught_up(server, &ada).await;
    let before = shown(server, &bob, json!({ "kind": { "eq": "MENTION" } })).await;
    assert_eq!(before[0]["message"]["body"], one["body"]);
    server.change(&ada, "messageDelete", json!({ "id": one["id"] })).await;
    let deleted = shown(server, &bob, json!({ "kind": { "eq": "MENTION" } })).await;
    assert_eq!(deleted[0]["message"], json!({ "id": one["id"], "body": null }));
    let two = server.say(&ada, &talk, &format!("another secret, <@{}>", bob.member)).await;
    caught_up(server, &ada).await;
    let gone = json!({ "conversationId": talk.id, "memberId": bob.member });
    server.participant(&ada, "participantRemove", gone.clone()).await;
    let removed = shown(server, &bob, json!({ "kind": { "eq": "MENTION" } })).await;
    assert_eq!(removed.len(), 2, "that there was something stays: {removed:#?}");
    assert!(removed.iter().all(|one| one["message"].is_null() && one["conversation"].is_null()), "{removed:#?}");
    assert_eq!(removed[0]["messageId"], two["id"]);
    // Removed before anybody came to it.
    undone(server, &ada).await;
    assert!(told(server, &bob).await.is_empty(), "who is not there is not told");
    // Somebody who comes later is not told of what was said before.
    server.say(&ada, &talk, "<@channel> while he was away").await;
    server.participant(&ada, "participantAdd", gone).await;
    server.participant(&ada, "participantAdd", json!({ "conversationId": talk.id, "memberId": eve.member })).await;
    assert_eq!((told(server, &bob).await.len(), told(server, &eve).await.len()), (0, 0));
    // Deleted before anybody came to it.
    undone(server, &ada).await;
    assert!(told(server, &bob).await.is_empty(), "neither what was deleted nor what was before they came back");
}

#[tokio::test]
async fn they_are_the_members_alone() {
    let server = server().await;
    let (ada, bob, eve) = three(server).await;
    let stranger = server.founder().await;
    let talk = server.group(&ada, &[&bob, &eve]).await;
    server.say(&ada, &talk, &format!("<@{}>", bob.member)).await;
    caught_up(server, &ada).await;
    let mine = shown(server, &bob, json!({ "kind": { "eq": "MENTION" } })).await.remove(0);
    let query = "query($id: ID!) { notification(id: $id) { id } node(id: $id) { id }
        notifications(filter: { kind: { eq: MENTION } }) { nodes { id } totalCount }
        notificationAggregate(filter: { kind: { eq: MENTION } }) { count } notificationCounts { unread } }";
    for (who, is_mine) in [(&ada, false), (&eve, false), (&stranger, false), (&bob, true)] {
        let answer = server.graphql(query, json!({ "id": mine["id"] }), Some(who)).await;
        let found = if is_mine { json!({ "id": mine["id"] }) } else { Value::Null };
        assert_eq!((data(&answer, "notification"), data(&answer, "node")), (&found, &found));
        assert_eq!(data(&answer, "notifications.nodes").as_array().map(Vec::len), Some(usize::from(is_mine)));
        assert_eq!(data(&answer, "notifications")["totalCount"], i64::from(is_mine));
        assert_eq!(data(&answer, "notificationAggregate")["count"], i64::from(is_mine));
        let new = if is_mine { 2 } else { i64::from(who.member == eve.member) };
        assert_eq!(data(&answer, "notificationCounts")["unread"], new);
        if !is_mine {
            let answer = mark_read(server, who, json!({ "ids": [mine["id"]] })).await;
            assert_eq!(user_errors(&answer, "done"), ["ids.0 NOT_FOUND"]);
            marked(server, who, json!({ "conversationId": talk.id })).await;
            marked(server, who, json!({ "all": true })).await;
        }
    }
    assert_eq!(unread(server, &bob).await, 2, "nobody else has marked them");
}

#[tokio::test]
async fn they_are_read_once_in_every_way() {
    let server = server().await;
    let (ada, bob, _) = three(server).await;
    let (talk, other) = (server.group(&ada, &[&bob]).await, server.group(&ada, &[&bob]).await);
    let mention = format!("<@{}>", bob.member);
    for _ in 0..3 {
        server.say(&ada, &talk, &mention).await;
        server.say(&ada, &other, &mention).await;
    }
    caught_up(server, &ada).await;
    assert_eq!(unread(server, &bob).await, 8);
    let ids =
        async |filter: Value| shown(server, &bob, filter).await.iter().map(|one| one["id"].clone()).collect::<Vec<_>>();
    let all = ids(json!({})).await;
    // By their ids.
    assert_eq!(marked(server, &bob, json!({ "ids": [all[0]] })).await, (1, 7));
    assert_eq!(marked(server, &bob, json!({ "ids": [all[0]] })).await, (0, 7), "again changes nothing");
    let read_at = shown(server, &bob, json!({ "unread": false })).await[0]["readAt"].clone();
    assert!(read_at.is_string());
    // By reading the conversation so far.
    mark(server, &bob, "conversationMarkDelivered", &talk.id, 3).await;
    assert_eq!(unread(server, &bob).await, 7, "to have it is not to have read it");
    mark(server, &bob, "conversationMarkRead", &talk.id, 2).await;
    assert_eq!(unread(server, &bob).await, 5);
    let left = shown(server, &bob, json!({ "unread": true, "conversationId": { "eq": talk.id } })).await;
    let left: Vec<_> = left.iter().map(|one| (text(one, "kind"), &one["messageSeq"])).collect();
    assert_eq!(left, [("MENTION", &json!(3)), ("ADDED_TO_CONVERSATION", &Value::Null)]);
    let read = shown(server, &bob, json!({ "unread": false })).await;
    assert_eq!(read.len(), 3);
    assert!(read.iter().all(|one| one["readAt"].is_string()), "{read:#?}");
    assert!(read.iter().any(|one| one["readAt"] == read_at), "what was read stays as it was: {read:#?}");
    // By saying something there, also where nobody has come to it yet.
    server.say(&bob, &talk, "I am here").await;
    assert_eq!(unread(server, &bob).await, 4);
    // By the conversation, by which one is also in it.
    assert_eq!(marked(server, &bob, json!({ "conversationId": talk.id })).await, (1, 3));
    assert_eq!(marked(server, &bob, json!({ "conversationId": Uuid::now_v7() })).await, (0, 3));
    // All that is left.
    assert_eq!(marked(server, &bob, json!({ "all": true })).await, (3, 0));
    assert_eq!(marked(server, &bob, json!({ "all": true })).await, (0, 0));
    assert_eq!(ids(json!({})).await, all, "and all are still there");
    // What is new is new again.
    server.say(&ada, &talk, &mention).await;
    caught_up(server, &ada).await;
    assert_eq!(unread(server, &bob).await, 1);
}

#[tokio::test]
async fn a_hundred_are_marked_at_once() {
    let server = server().await;
    let (ada, bob, _) = three(server).await;
    server.group(&ada, &[&bob]).await;
    caught_up(server, &ada).await;
    many_more(server, &bob, 99).await;
    let ids: Vec<_> = shown(server, &bob, json!({})).await.iter().map(|one| one["id"].clone()).collect();
    assert_eq!(ids.len(), 100);
    assert_eq!(marked(server, &bob, json!({ "ids": ids })).await, (100, 0));
}

#[tokio::test]
async fn what_cannot_be_marked_is_told() {
    let server = server().await;
    let (ada, bob, _) = three(server).await;
    server.group(&ada, &[&bob]).await;
    caught_up(server, &ada).await;
    let mine = shown(server, &bob, json!({})).await.remove(0);
    let wrong = async |input: Value| {
        let answer = mark_read(server, &bob, input).await;
        assert_eq!(*data(&answer, "done.marked"), 0);
        user_errors(&answer, "done")
    };
    assert_eq!(wrong(json!({ "ids": [mine["id"], Uuid::now_v7()] })).await, ["ids.1 NOT_FOUND"]);
    let many: Vec<_> = (0..101).map(|_| Uuid::now_v7()).collect();
    assert_eq!(wrong(json!({ "ids": many })).await, ["ids TOO_LONG"]);
    assert_eq!(wrong(json!({ "all": false })).await, ["all INVALID"]);
    assert_eq!(wrong(json!({ "ids": [] })).await, [""; 0]);
    for input in [json!({}), json!({ "all": true, "ids": [] }), json!({ "ids": ["1"] })] {
        assert_eq!(code(&mark_read(server, &bob, input).await), "BAD_USER_INPUT");
    }
    assert_eq!(unread(server, &bob).await, 1, "with any fault nothing is marked");
}

#[tokio::test]
async fn the_count_is_right_whatever_happens_at_once() {
    let server = server().await;
    let (ada, bob, eve) = three(server).await;
    let talk = server.group(&ada, &[&bob, &eve]).await;
    let direct = open(server, &eve, &bob).await.expect("a direct conversation");
    let mention = format!("<@{}>", bob.member);
    let says = |by: Founder, talk: Talk| {
        let mention = mention.clone();
        async move {
            for _ in 0..8 {
                server.say(&by, &talk, &mention).await;
            }
        }
    };
    let reads = async {
        for up_to in 1..6 {
            mark(server, &bob, "conversationMarkRead", &talk.id, up_to).await;
            mark(server, &bob, "conversationMarkRead", &direct.id, 1).await;
            caught_up(server, &ada).await;
        }
    };
    let writers = [(&ada, &talk), (&eve, &talk), (&ada, &talk), (&eve, &direct)];
    let writers = writers.map(|(by, talk)| says(by.clone(), talk.clone()));
    join(join_all(writers), reads).await;
    caught_up(server, &ada).await;
    // Read are as many as lie before the positions; and that he was brought in is new to him.
    let position = async |talk: &Talk| {
        let sql = format!(
            "SELECT read_seq FROM participants WHERE conversation_id = '{}' AND member_id = '{}'",
            talk.id, bob.member
        );
        server.count(&sql).await
    };
    let expected = 24 - position(&talk).await + 8 - position(&direct).await + 1;
    assert_eq!(unread(server, &bob).await, expected);
    assert_eq!(shown(server, &bob, json!({ "unread": true })).await.len() as i64, expected);
    settled(server, &bob).await;
    assert_eq!(unread(server, &bob).await, expected);
}

#[tokio::test]
async fn who_is_suspended_is_not_notified() {
    let server = server().await;
    let (ada, bob, eve) = three(server).await;
    let talk = server.group(&ada, &[&bob, &eve]).await;
    let root = server.say(&bob, &talk, "a root").await;
    server.sql(&format!("UPDATE memberships SET status = 'suspended' WHERE id = '{}'", bob.member)).await;
    let reply = server.reply(&ada, &talk, &root, "a reply").await;
    let all = server.say(&ada, &talk, "<@channel>").await;
    assert!(reply["id"].is_string() && all["id"].is_string());
    assert_eq!(told(server, &eve).await, [of("MENTION", &all)]);
    let of_bob =
        format!("SELECT count(*) FROM notifications WHERE message_id IS NOT NULL AND member_id = '{}'", bob.member);
    assert_eq!(server.count(&of_bob).await, 0);
}

/// Those who looked last: the others of so many will not miss it.
#[tokio::test]
async fn all_of_a_channel_are_a_thousand_at_most() {
    let server = server().await;
    let (ada, bob, _) = three(server).await;
    let talk = server.group(&ada, &[&bob]).await;
    let organization = ada.organization;
    many_join(server, organization, &talk.id, 1001).await;
    server.say(&ada, &talk, "hello").await;
    mark(server, &bob, "conversationMarkRead", &talk.id, 1).await;
    let all = server.say(&ada, &talk, "<@channel>").await;
    assert_eq!(told(server, &bob).await, [of("MENTION", &all)]);
    let made =
        format!("SELECT count(*) FROM notifications WHERE kind = 'mention' AND organization_id = '{organization}'");
    // The one who says it is among those who looked last.
    let made = server.count(&made).await;
    assert!(made == 999 || made == 1000, "{made}");
}
