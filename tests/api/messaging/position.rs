//! How far everybody has come: what is new to one, and who has read what.

use super::{Talk, live::Said, text};
use crate::kit::{
    Founder, Server, code, data,
    mail::{until, working},
    server, user_errors,
};
use serde_json::{Value, json};

/// The answer to `conversationMarkRead` or `conversationMarkDelivered`.
pub async fn mark(server: &Server, by: &Founder, what: &str, talk: &str, up_to: i64) -> Value {
    let query = format!(
        "mutation($input: ConversationMarkInput!) {{ {what}(input: $input) {{
            conversation {{ lastSeq unreadCount firstUnreadSeq }} userErrors {{ field code }} }} }}"
    );
    let input = json!({ "conversationId": talk, "upTo": up_to });
    server.graphql(&query, json!({ "input": input }), Some(by)).await
}

/// What is new to a member: how many, and from which on.
async fn new_to(server: &Server, who: &Founder, talk: &Talk) -> (Value, Value) {
    let query = "query($id: ID!) { conversation(id: $id) { unreadCount firstUnreadSeq } }";
    let answer = server.graphql(query, json!({ "id": talk.id }), Some(who)).await;
    let own = data(&answer, "conversation");
    (own["unreadCount"].clone(), own["firstUnreadSeq"].clone())
}

/// Whom a message has reached and who has read it, and when, as somebody sees it.
async fn seen(server: &Server, who: &Founder, message: &Value) -> Value {
    let query =
        "query($id: ID!) { node(id: $id) { ... on Message { deliveredTo { memberId at } readBy { memberId at } } } }";
    let answer = server.graphql(query, json!({ "id": message["id"] }), Some(who)).await;
    data(&answer, "node").clone()
}

/// The members that are named in a list of receipts.
fn named(receipts: &Value) -> Vec<Value> {
    receipts.as_array().expect("receipts").iter().map(|one| one["memberId"].clone()).collect()
}

#[tokio::test]
async fn unread_is_what_is_behind_the_own_position() {
    let server = server().await;
    let ada = server.founder().await;
    let bob = server.member(&ada, "member", None).await;
    let talk = server.group(&ada, &[&bob]).await;
    for body in ["one", "two", "three"] {
        server.say(&ada, &talk, body).await;
    }
    assert_eq!(new_to(server, &bob, &talk).await, (json!(3), json!(1)));
    assert_eq!(new_to(server, &ada, &talk).await, (json!(0), Value::Null), "what one says is not new to oneself");
    let marked = mark(server, &bob, "conversationMarkRead", &talk.id, 2).await;
    assert_eq!(
        *data(&marked, "conversationMarkRead.conversation"),
        json!({ "lastSeq": 3, "unreadCount": 1, "firstUnreadSeq": 3 })
    );
    for up_to in [0, 1, 2] {
        let again = mark(server, &bob, "conversationMarkRead", &talk.id, up_to).await;
        assert_eq!(data(&again, "conversationMarkRead.conversation")["unreadCount"], 1, "never back: {up_to}");
    }
    let mut listed = Vec::new();
    for unread in [true, false] {
        let query =
            "query($unread: Boolean) { conversations(filter: { own: { unread: $unread } }) { nodes { unreadCount } } }";
        for who in [&ada, &bob] {
            let answer = server.graphql(query, json!({ "unread": unread }), Some(who)).await;
            listed.push(data(&answer, "conversations.nodes").clone());
        }
    }
    assert_eq!(json!(listed), json!([[], [{ "unreadCount": 1 }], [{ "unreadCount": 0 }], []]));
    server.say(&bob, &talk, "four").await;
    assert_eq!(new_to(server, &bob, &talk).await, (json!(0), Value::Null), "who answers has read");
    assert_eq!(new_to(server, &ada, &talk).await, (json!(1), json!(4)));
    let late = server.member(&ada, "member", None).await;
    let of = json!({ "conversationId": talk.id, "memberId": late.member });
    server.participant(&ada, "participantAdd", of).await;
    assert_eq!(new_to(server, &late, &talk).await, (json!(0), Value::Null), "what was there before is not new");
}

#[tokio::test]
async fn a_position_that_cannot_be_is_refused() {
    let server = server().await;
    let (ada, stranger) = (server.founder().await, server.founder().await);
    let (bob, eve) = (server.member(&ada, "member", None).await, server.member(&ada, "member", None).await);
    let talk = server.group(&ada, &[&bob]).await;
    server.say(&ada, &talk, "one").await;
    for what in ["conversationMarkRead", "conversationMarkDelivered"] {
        for up_to in [-1, 2, i64::from(i32::MAX)] {
            let answer = mark(server, &bob, what, &talk.id, up_to).await;
            assert_eq!(user_errors(&answer, what), ["upTo OUT_OF_RANGE"], "{up_to}");
            assert_eq!(data(&answer, what)["conversation"], Value::Null);
        }
        for who in [&eve, &stranger] {
            let answer = mark(server, who, what, &talk.id, 1).await;
            assert_eq!(user_errors(&answer, what), ["conversationId NOT_FOUND"]);
        }
    }
    assert_eq!(new_to(server, &bob, &talk).await, (json!(1), json!(1)), "and nothing moved");
    server.participant(&bob, "conversationLeave", json!({ "id": talk.id })).await;
    let answer = mark(server, &bob, "conversationMarkRead", &talk.id, 1).await;
    assert_eq!(user_errors(&answer, "conversationMarkRead"), ["conversationId NOT_FOUND"]);
    let unknown =
        "mutation { conversationMarkRead(input: { conversationId: \"1\", upTo: 1 }) { conversation { id } } }";
    assert_ne!(code(&server.graphql(unknown, json!({}), Some(&ada)).await), "INTERNAL_SERVER_ERROR");
}

/// The first is told at once, those behind it together, and the message shows it.
#[tokio::test]
async fn receipts_are_told_together_and_stand_on_the_message() {
    let server = server().await;
    let ada = server.founder().await;
    let (bob, eve) = (server.member(&ada, "member", None).await, server.member(&ada, "member", None).await);
    let talk = server.group(&ada, &[&bob, &eve]).await;
    let mut feed = server.follow(&ada, &talk.id, Some(&talk.cursor)).await;
    let sent = server.say(&ada, &talk, "hello").await;
    assert_eq!(feed.next().await["__typename"], "MessageSent");
    let message = async || {
        let query = "query($id: ID!) { node(id: $id) { ... on Message { status
            deliveredTo { memberId at member { id } } readBy(first: 10) { memberId at } } } }";
        let answer = server.graphql(query, json!({ "id": sent["id"] }), Some(&eve)).await;
        let shown = data(&answer, "node").clone();
        let who = |list: &str| {
            let receipts = shown[list].as_array().expect("receipts").iter();
            receipts.map(|one| (one["memberId"].clone(), one["at"].is_string())).collect::<Vec<_>>()
        };
        (text(&shown, "status").to_owned(), who("deliveredTo"), who("readBy"))
    };
    assert_eq!(message().await, ("SENT".into(), vec![], vec![]));
    mark(server, &bob, "conversationMarkDelivered", &talk.id, 1).await;
    let first = feed.next().await;
    assert_eq!(first["__typename"], "ReceiptsMoved");
    assert_eq!(first["receipts"][0]["deliveredUpTo"], 1);
    assert_eq!((&first["receipts"][0]["readUpTo"], &first["receipts"][0]["readAt"]), (&json!(0), &Value::Null));
    let bob_has = (json!(bob.member), true);
    assert_eq!(message().await, ("SENT".into(), vec![bob_has.clone()], vec![]), "not with everybody yet");
    mark(server, &bob, "conversationMarkRead", &talk.id, 1).await;
    mark(server, &eve, "conversationMarkDelivered", &talk.id, 1).await;
    let second = feed.next().await;
    assert_eq!(second["receipts"].as_array().map(Vec::len), Some(2), "together: {second}");
    assert!(second["receipts"].as_array().unwrap().iter().any(|one| one["memberId"] == json!(bob.member)
        && one["readUpTo"] == 1
        && one["readAt"].is_string()
        && one["member"]["id"] == json!(bob.member)));
    let (status, delivered, read) = message().await;
    assert_eq!((&*status, delivered.len(), read), ("DELIVERED", 2, vec![bob_has]));
    // Who joins later is no recipient, and who answers has read.
    let late = server.member(&ada, "member", None).await;
    let of = json!({ "conversationId": talk.id, "memberId": late.member });
    server.participant(&ada, "participantAdd", of).await;
    server.say(&eve, &talk, "hello to you").await;
    let (status, _, read) = message().await;
    assert_eq!((&*status, read.len()), ("READ", 2));
    assert!(read.iter().all(|(_, at)| *at));
    let kinds: Vec<_> = feed.take(3).await.iter().map(|event| text(event, "__typename").to_owned()).collect();
    assert_eq!(kinds, ["ParticipantAdded", "MessageSent", "MessageSent"], "sending is told by the message alone");
}

#[tokio::test]
async fn no_message_waits_for_who_cannot_sign_in() {
    let server = server().await;
    let ada = server.founder().await;
    let (bob, eve) = (server.member(&ada, "member", None).await, server.member(&ada, "member", None).await);
    let talk = server.group(&ada, &[&bob, &eve]).await;
    let sent = server.say(&ada, &talk, "hello").await;
    mark(server, &bob, "conversationMarkRead", &talk.id, 1).await;
    let shown = async || {
        let query = "query($id: ID!) { node(id: $id) { ... on Message { status readBy { memberId } } } }";
        let answer = server.graphql(query, json!({ "id": sent["id"] }), Some(&ada)).await;
        (data(&answer, "node.status").clone(), named(data(&answer, "node.readBy")))
    };
    for (who, status) in [(None, "SENT"), (Some(&eve), "READ"), (Some(&bob), "SENT")] {
        if let Some(who) = who {
            let suspend = "mutation($id: ID!) { memberSuspend(input: { id: $id }) { userErrors { code } } }";
            let answer = server.graphql(suspend, json!({ "id": who.member }), Some(&ada)).await;
            assert_eq!(user_errors(&answer, "memberSuspend"), [""; 0]);
        }
        assert_eq!(shown().await, (json!(status), vec![json!(bob.member)]), "who has read it has read it");
    }
}

/// That it reached a device nobody has said.
#[tokio::test]
async fn what_is_read_has_been_delivered_and_keeps_its_time_when_its_reader_reads_on() {
    let server = server().await;
    let ada = server.founder().await;
    let bob = server.member(&ada, "member", None).await;
    let talk = server.group(&ada, &[&bob]).await;
    let mut feed = server.follow(&ada, &talk.id, Some(&talk.cursor)).await;
    let mut read = Vec::new();
    for up_to in 1..=2 {
        let sent = server.say(&ada, &talk, "hello").await;
        assert_eq!(feed.next().await["__typename"], "MessageSent");
        mark(server, &bob, "conversationMarkRead", &talk.id, up_to).await;
        let told = feed.next().await;
        let his = &told["receipts"][0];
        assert_eq!((&his["readUpTo"], &his["deliveredUpTo"]), (&json!(up_to), &json!(up_to)), "{told}");
        assert!(his["deliveredAt"].is_string(), "{told}");
        read.push((sent, his["readAt"].clone()));
    }
    assert_ne!(read[0].1, read[1].1);
    for (message, at) in &read {
        let once = json!([{ "memberId": bob.member, "at": at }]);
        assert_eq!(seen(server, &ada, message).await, json!({ "deliveredTo": once, "readBy": once }));
    }
}

#[tokio::test]
async fn who_has_left_is_no_longer_among_those_who_have_read() {
    let server = server().await;
    let ada = server.founder().await;
    let (bob, eve) = (server.member(&ada, "member", None).await, server.member(&ada, "member", None).await);
    let talk = server.group(&ada, &[&bob, &eve]).await;
    let sent = server.say(&ada, &talk, "hello").await;
    for who in [&bob, &eve] {
        mark(server, who, "conversationMarkRead", &talk.id, 1).await;
    }
    until("two who have read it", async || {
        (named(&seen(server, &ada, &sent).await["readBy"]).len() == 2).then_some(())
    })
    .await;
    server.participant(&bob, "conversationLeave", json!({ "id": talk.id })).await;
    let shown = seen(server, &ada, &sent).await;
    for list in ["deliveredTo", "readBy"] {
        assert_eq!(named(&shown[list]), [json!(eve.member)], "{list}");
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_list_of_receipts_is_told() {
    let server = server().await;
    let ada = server.founder().await;
    let talk = server.group(&ada, &[]).await;
    let sent = server.say(&ada, &talk, "to myself").await;
    for first in [0, 101, -1] {
        let query = "query($id: ID!, $first: Int) { node(id: $id) { ... on Message { status readBy(first: $first) { memberId } } } }";
        let answer = server.graphql(query, json!({ "id": sent["id"], "first": first }), Some(&ada)).await;
        assert_eq!(code(&answer), "BAD_USER_INPUT");
        assert_eq!(answer["data"]["node"], json!({ "status": "SENT", "readBy": null }), "and nothing beside it");
    }
}

/// A node died between storing a position and telling of it: upkeep does.
#[tokio::test]
async fn what_was_not_told_is_told_by_upkeep() {
    let server = Server::start().await;
    let ada = server.founder().await;
    let bob = server.member(&ada, "member", None).await;
    let talk = server.group(&ada, &[&bob]).await;
    let mut feed = server.follow(&ada, &talk.id, Some(&talk.cursor)).await;
    server.say(&ada, &talk, "one").await;
    feed.next().await;
    let moved = format!(
        "UPDATE participants SET read_seq = 1, read_at = now(), delivered_seq = 1, delivered_at = now()
        WHERE conversation_id = '{}' AND member_id = '{}'",
        talk.id, bob.member
    );
    server.sql(&moved).await;
    stoa::messaging::receipt::tell_all(&server.app).await.expect("told");
    assert_eq!(feed.next().await["receipts"][0]["readUpTo"], 1);
    // Told once: the next event is another.
    stoa::messaging::receipt::tell_all(&server.app).await.expect("nothing to tell");
    server.say(&ada, &talk, "two").await;
    assert_eq!(feed.next().await["__typename"], "MessageSent");
    drop(feed);
    server.stop().await;
}

/// Beside a server of its own: upkeep that another test runs would tell of him before he is held.
#[tokio::test]
async fn who_is_held_for_a_moment_is_told_of_soon_after() {
    let server = working(|config| config.jobs.workers = 0).await;
    let ada = server.founder().await;
    let (bob, eve) = (server.member(&ada, "member", None).await, server.member(&ada, "member", None).await);
    let talk = server.group(&ada, &[&bob, &eve]).await;
    let mut feed = server.follow(&ada, &talk.id, Some(&talk.cursor)).await;
    server.say(&ada, &talk, "one").await;
    assert_eq!(feed.next().await["__typename"], "MessageSent");
    // He has read it and nobody was told: to say so again waits for no row.
    let his = format!("conversation_id = '{}' AND member_id = '{}'", talk.id, bob.member);
    let moved = "UPDATE participants SET read_seq = 1, read_at = now(), delivered_seq = 1, delivered_at = now()";
    server.sql(&format!("{moved} WHERE {his}")).await;
    let hold = server.session().await;
    hold.batch_execute(&format!("BEGIN; SELECT FROM participants WHERE {his} FOR UPDATE")).await.expect("held");
    for who in [&bob, &eve] {
        mark(&server, who, "conversationMarkRead", &talk.id, 1).await;
    }
    assert_eq!(named(&feed.next().await["receipts"]), [json!(eve.member)]);
    hold.batch_execute("COMMIT").await.expect("let go");
    assert_eq!(named(&feed.next().await["receipts"]), [json!(bob.member)]);
    drop(feed);
    server.stop().await;
}

/// Whoever is removed is told of nobody's reading, and nobody of theirs.
#[tokio::test]
async fn a_removed_member_has_no_receipts() {
    let server = server().await;
    let ada = server.founder().await;
    let bob = server.member(&ada, "member", None).await;
    let talk = server.group(&ada, &[&bob]).await;
    server.say(&ada, &talk, "one").await;
    let mut feed = server.follow(&bob, &talk.id, Some(&talk.cursor)).await;
    feed.next().await;
    let of = json!({ "conversationId": talk.id, "memberId": bob.member });
    // Both at once: either the receipt comes before the removal, or never.
    tokio::join!(
        mark(server, &bob, "conversationMarkRead", &talk.id, 1),
        server.participant(&ada, "participantRemove", of)
    );
    let mut last = String::new();
    while let Said::Event(event) = feed.hear().await {
        last = text(&event, "__typename").to_owned();
    }
    assert_eq!(last, "ParticipantRemoved");
    let behind = format!(
        "SELECT count(*) FROM events e, events r WHERE e.stream_id = '{0}' AND r.stream_id = '{0}'
         AND r.kind = 'participant_removed' AND e.kind = 'receipts_moved' AND e.seq > r.seq",
        talk.id
    );
    assert_eq!(server.count(&behind).await, 0);
}
