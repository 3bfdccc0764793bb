//! Pinned messages: kept at hand by those who look after a conversation.

use super::{Talk, block::open, snapshot::Shown, text};
use crate::kit::{Founder, Server, code, data, mirror::keeps_in_step, server, user_errors, verdict};
use serde_json::{Value, json};

async fn pinned(server: &Server, who: &Founder, talk: &Talk) -> Vec<Value> {
    let query =
        "query($id: ID!) { conversation(id: $id) { messages(filter: { pinnedAt: { isNull: false } }, first: 100,
        orderBy: [{ field: PINNED_AT, direction: DESC }]) { nodes { body pinner { id } } } } }";
    let answer = server.graphql(query, json!({ "id": talk.id }), Some(who)).await;
    data(&answer, "conversation.messages.nodes").as_array().expect("nodes").clone()
}

#[tokio::test]
async fn owners_and_moderators_pin_and_everybody_sees_it() {
    let server = server().await;
    let ada = server.founder().await;
    let (bob, eve) = (server.member(&ada, "member", None).await, server.member(&ada, "admin", None).await);
    let talk = server.group(&ada, &[&bob]).await;
    let (one, two) = (server.say(&bob, &talk, "one").await, server.say(&bob, &talk, "two").await);
    for mutation in ["messagePin", "messageUnpin"] {
        assert_eq!(code(&server.change(&bob, mutation, json!({ "id": one["id"] })).await), "FORBIDDEN");
        assert_eq!(
            user_errors(&server.change(&eve, mutation, json!({ "id": one["id"] })).await, "done"),
            ["id NOT_FOUND"]
        );
    }
    keeps_in_step::<Shown>(server, &bob, &talk.id, async {
        for message in [&one, &one, &two] {
            let done = server.change(&ada, "messagePin", json!({ "id": message["id"] })).await;
            assert_eq!(data(&done, "done.message")["pinnedBy"], json!(ada.member));
        }
    })
    .await;
    let by_ada = |body: &str| json!({ "body": body, "pinner": { "id": ada.member } });
    assert_eq!(pinned(server, &bob, &talk).await, [by_ada("two"), by_ada("one")]);
    let shown = keeps_in_step::<Shown>(server, &bob, &talk.id, async {
        for _ in 0..2 {
            server.change(&ada, "messageUnpin", json!({ "id": one["id"] })).await;
        }
        server.change(&bob, "messageDelete", json!({ "id": two["id"] })).await;
    })
    .await;
    assert_eq!(shown.messages[text(&two, "id")]["pinnedAt"], Value::Null, "what is deleted is not pinned");
    assert!(pinned(server, &bob, &talk).await.is_empty());
    let told = format!("SELECT count(*) FROM events WHERE stream_id = '{}' AND kind LIKE 'message_%pinned'", talk.id);
    assert_eq!(server.count(&told).await, 3, "what changes nothing is not told");
    let gone = server.change(&ada, "messagePin", json!({ "id": two["id"] })).await;
    assert_eq!(user_errors(&gone, "done"), ["id STATE_INVALID"]);
    server.archive(&talk).await;
    let late = server.change(&ada, "messagePin", json!({ "id": one["id"] })).await;
    assert_eq!(user_errors(&late, "done"), ["id STATE_INVALID"]);
}

#[tokio::test]
async fn a_conversation_has_at_most_a_hundred_pinned_messages() {
    let server = server().await;
    let ada = server.founder().await;
    let talk = server.group(&ada, &[]).await;
    let message = server.say(&ada, &talk, "one more").await;
    server
        .sql(&format!(
            "INSERT INTO messages (organization_id, id, conversation_id, seq, sender_id, body, pinned_at)
             SELECT '{}', gen_random_uuid(), '{}', 100 + n, '{}', 'pinned', now() FROM generate_series(1, 100) n",
            ada.organization, talk.id, ada.member
        ))
        .await;
    let full = server.change(&ada, "messagePin", json!({ "id": message["id"] })).await;
    assert_eq!(user_errors(&full, "done"), ["id LIMIT_EXCEEDED"]);
    // What is pinned here takes no room elsewhere, and what is unpinned leaves its own.
    let other = server.group(&ada, &[]).await;
    let elsewhere = server.say(&ada, &other, "elsewhere").await;
    let one = format!("SELECT min(id::text) FROM messages WHERE conversation_id = '{}' AND body = 'pinned'", talk.id);
    let one = server.text(&one).await;
    for (mutation, id) in
        [("messagePin", &elsewhere["id"]), ("messageUnpin", &json!(one)), ("messagePin", &message["id"])]
    {
        assert_eq!(verdict(&server.change(&ada, mutation, json!({ "id": id })).await), "done", "{mutation}");
    }
}

#[tokio::test]
async fn either_member_of_a_direct_conversation_pins_and_unpins() {
    let server = server().await;
    let ada = server.founder().await;
    let bob = server.member(&ada, "member", None).await;
    let talk = open(server, &ada, &bob).await.expect("a conversation");
    let message = server.say(&ada, &talk, "between us").await;
    for (who, mutation, by) in [
        (&bob, "messagePin", json!(bob.member)),
        (&ada, "messageUnpin", Value::Null),
        (&ada, "messagePin", json!(ada.member)),
        (&bob, "messageUnpin", Value::Null),
    ] {
        let done = server.change(who, mutation, json!({ "id": message["id"] })).await;
        assert_eq!(data(&done, "done.message")["pinnedBy"], by, "{mutation}");
    }
}

#[tokio::test]
async fn a_moderator_pins_and_unpins_as_an_owner_does() {
    let server = server().await;
    let ada = server.founder().await;
    let bob = server.member(&ada, "member", None).await;
    let talk = server.group(&ada, &[&bob]).await;
    let message = server.say(&ada, &talk, "keep this").await;
    let role = json!({ "conversationId": talk.id, "memberId": bob.member, "role": "MODERATOR" });
    data(&server.participant(&ada, "participantUpdate", role).await, "participantUpdate.participant");
    let done = server.change(&bob, "messagePin", json!({ "id": message["id"] })).await;
    assert_eq!(data(&done, "done.message")["pinnedBy"], json!(bob.member));
    let by_bob = json!({ "body": "keep this", "pinner": { "id": bob.member } });
    assert_eq!(pinned(server, &ada, &talk).await, [by_bob]);
    let done = server.change(&bob, "messageUnpin", json!({ "id": message["id"] })).await;
    assert_eq!(data(&done, "done.message")["pinnedAt"], Value::Null);
    assert!(pinned(server, &ada, &talk).await.is_empty());
}
