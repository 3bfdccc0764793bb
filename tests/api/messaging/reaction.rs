//! Reactions: once a member, message and emoji; counted for everybody, and told to everybody.

use super::{snapshot::Shown, text};
use crate::kit::{Founder, code, data, mirror::keeps_in_step, server, statements, user_errors};
use futures_util::future::join_all;
use serde_json::{Value, json};
use uuid::Uuid;

async fn react(by: &Founder, mutation: &str, message: &Value, emoji: &str) -> Value {
    server().await.change(by, mutation, json!({ "messageId": message["id"], "emoji": emoji })).await
}

#[tokio::test]
async fn an_emoji_stands_once_however_often_it_is_put_and_in_whatever_form() {
    let server = server().await;
    let ada = server.founder().await;
    let bob = server.member(&ada, "guest", None).await;
    let talk = server.group(&ada, &[&bob]).await;
    let message = server.say(&ada, &talk, "hello").await;
    let shown = keeps_in_step::<Shown>(server, &ada, &talk.id, async {
        join_all((0..8).map(|_| react(&ada, "reactionAdd", &message, "❤"))).await;
        react(&bob, "reactionAdd", &message, "❤️").await;
        react(&bob, "reactionAdd", &message, "👩🏽‍🚀").await;
        react(&ada, "reactionRemove", &message, "👍").await;
    })
    .await;
    let wanted = json!([{ "emoji": "❤️", "count": 2, "reactedByMe": true },
                        { "emoji": "👩🏽‍🚀", "count": 1, "reactedByMe": false }]);
    assert_eq!(shown.messages[text(&message, "id")]["reactions"], wanted);
    let events = format!("SELECT count(*) FROM events WHERE stream_id = '{}' AND kind LIKE 'reaction%'", talk.id);
    assert_eq!(server.count(&events).await, 3, "what changes nothing is not told");
    let shown = keeps_in_step::<Shown>(server, &bob, &talk.id, async {
        for _ in 0..2 {
            let left = react(&bob, "reactionRemove", &message, "👩🏽‍🚀").await;
            assert_eq!(
                data(&left, "done.message")["reactions"],
                json!([{ "emoji": "❤️", "count": 2, "reactedByMe": true }])
            );
        }
        react(&ada, "reactionRemove", &message, "❤").await;
    })
    .await;
    let left = json!([{ "emoji": "❤️", "count": 1, "reactedByMe": true }]);
    assert_eq!(shown.messages[text(&message, "id")]["reactions"], left);
    assert_eq!(shown.messages[text(&message, "id")]["version"], 1, "a reaction is no change of the message");
}

#[tokio::test]
async fn what_cannot_be_put_to_a_message_is_told() {
    let server = server().await;
    let (ada, stranger) = (server.founder().await, server.founder().await);
    let (bob, eve) = (server.member(&ada, "member", None).await, server.member(&ada, "admin", None).await);
    let talk = server.group(&ada, &[&bob]).await;
    let message = server.say(&ada, &talk, "hello").await;
    for emoji in ["", "a", ":+1:", "👍👍", "\u{0}", "👍\u{0}", &"🎉".repeat(20_000)] {
        let told = user_errors(&react(&ada, "reactionAdd", &message, emoji).await, "done");
        assert_eq!(told, ["emoji INVALID"]);
    }
    let unknown = json!({ "id": Uuid::now_v7() });
    for (by, message) in [(&eve, &message), (&stranger, &message), (&ada, &unknown)] {
        for mutation in ["reactionAdd", "reactionRemove"] {
            assert_eq!(user_errors(&react(by, mutation, message, "👍").await, "done"), ["messageId NOT_FOUND"]);
        }
    }
    react(&bob, "reactionAdd", &message, "👍").await;
    let input = json!({ "conversationId": talk.id, "memberId": bob.member });
    server.participant(&ada, "participantRemove", input).await;
    assert_eq!(user_errors(&react(&bob, "reactionRemove", &message, "👍").await, "done"), ["messageId NOT_FOUND"]);
    let shown = keeps_in_step::<Shown>(server, &ada, &talk.id, async {
        server.change(&ada, "messageDelete", json!({ "id": message["id"] })).await;
    })
    .await;
    assert_eq!(shown.messages[text(&message, "id")]["reactions"], json!([]), "a deleted message has none");
    assert_eq!(user_errors(&react(&ada, "reactionAdd", &message, "👍").await, "done"), ["messageId STATE_INVALID"]);
    let other = server.say(&ada, &talk, "archived soon").await;
    server.archive(&talk).await;
    for mutation in ["reactionAdd", "reactionRemove"] {
        assert_eq!(user_errors(&react(&ada, mutation, &other, "👍").await, "done"), ["messageId STATE_INVALID"]);
    }
    let left = format!("SELECT count(*) FROM reactions WHERE organization_id = '{}'", ada.organization);
    assert_eq!(server.count(&left).await, 0, "nothing else was stored");
}

#[tokio::test]
async fn a_message_has_at_most_fifty_emojis_and_names_who_put_them() {
    let server = server().await;
    let ada = server.founder().await;
    let bob = server.member(&ada, "member", None).await;
    let talk = server.group(&ada, &[&bob]).await;
    let message = server.say(&ada, &talk, "so many").await;
    // All but one at once.
    let all: Vec<char> = ('🍅'..='🍷').take(50).collect();
    server
        .sql(&format!(
            "INSERT INTO reactions (organization_id, message_id, member_id, emoji)
             SELECT '{}', '{}', '{}', e FROM unnest(string_to_array('{}', NULL)) AS e",
            ada.organization,
            text(&message, "id"),
            bob.member,
            all[1..].iter().collect::<String>()
        ))
        .await;
    assert_eq!(user_errors(&react(&ada, "reactionAdd", &message, &all[0].to_string()).await, "done"), [""; 0]);
    assert_eq!(user_errors(&react(&ada, "reactionAdd", &message, "🚀").await, "done"), ["emoji LIMIT_EXCEEDED"]);
    assert_eq!(user_errors(&react(&ada, "reactionAdd", &message, &all[1].to_string()).await, "done"), [""; 0], "there");
    let query = "query($id: ID!, $first: Int) { node(id: $id) { ... on Message { reactions {
        emoji count members(first: $first) { id } } } } }";
    let answer = server.graphql(query, json!({ "id": message["id"] }), Some(&ada)).await;
    let groups = data(&answer, "node.reactions").as_array().expect("a list");
    assert_eq!(groups.len(), 50);
    let shared = groups.iter().find(|group| group["count"] == 2).expect("one of both");
    assert_eq!(shared["members"], json!([{ "id": bob.member }, { "id": ada.member }]));
    let answer = server.graphql(query, json!({ "id": message["id"], "first": 101 }), Some(&ada)).await;
    assert_eq!(answer["errors"][0]["extensions"]["code"], "BAD_USER_INPUT");
}

#[tokio::test]
async fn a_page_of_messages_costs_one_query_for_all_their_reactions() {
    let server = server().await;
    let ada = server.founder().await;
    let talk = server.group(&ada, &[]).await;
    for number in 0..12 {
        let message = server.say(&ada, &talk, &format!("number {number}")).await;
        react(&ada, "reactionAdd", &message, "👍").await;
    }
    let query = "query($id: ID!) { conversation(id: $id) { messages { nodes {
        reactions { emoji count members { name } } followedByMe versions { body } } } } }";
    let run = statements::during(ada.organization, async {
        let answer = server.graphql(query, json!({ "id": talk.id }), Some(&ada)).await;
        let nodes = data(&answer, "conversation.messages.nodes").as_array().expect("nodes").clone();
        assert!(nodes.len() == 12 && nodes.iter().all(|node| node["reactions"][0]["count"] == 1));
    })
    .await;
    let about = |table: &str| run.iter().filter(|statement| statement.contains(&format!("FROM {table} "))).count();
    assert_eq!((about("reactions"), about("thread_followers")), (1, 1), "{run:#?}");
}

#[tokio::test]
async fn a_key_for_reading_reacts_to_nothing() {
    let server = server().await;
    let ada = server.founder().await;
    let talk = server.group(&ada, &[]).await;
    let message = server.say(&ada, &talk, "hello").await;
    let query = "mutation($input: ApiKeyCreateInput!) { apiKeyCreate(input: $input) { key } }";
    let input =
        json!({ "name": "reader", "permissions": { "resource": "CONVERSATION", "action": "READ", "scope": "OWN" } });
    let answer = server.graphql(query, json!({ "input": input }), Some(&ada)).await;
    let key = text(data(&answer, "apiKeyCreate"), "key").to_owned();
    let query = "mutation($id: ID!) { reactionAdd(input: { messageId: $id, emoji: \"👍\" }) { message { id } } }";
    assert_eq!(code(&server.graphql(query, json!({ "id": message["id"] }), Some(&key)).await), "FORBIDDEN");
}
