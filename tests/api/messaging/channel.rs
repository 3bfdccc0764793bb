//! Channels that are open to all, and conversations that were put away.

use super::{Talk, text};
use crate::kit::{Founder, Server, code, data, server, user_errors};
use serde_json::{Value, json};
use uuid::Uuid;

async fn open(server: &Server, by: &Founder, input: Value) -> Value {
    let query = "mutation($input: ConversationCreateInput!) { conversationCreate(input: $input) {
        conversation { id cursor kind visibility } userErrors { field code } } }";
    server.graphql(query, json!({ "input": input }), Some(by)).await
}

async fn channel(server: &Server, by: &Founder, title: &str, visibility: &str) -> Talk {
    let input = json!({ "kind": "CHANNEL", "title": title, "topic": "All about it", "visibility": visibility });
    let answer = open(server, by, input).await;
    let made = data(&answer, "conversationCreate.conversation");
    assert_eq!(
        *made,
        json!({ "id": made["id"], "cursor": made["cursor"], "kind": "CHANNEL", "visibility": visibility })
    );
    Talk { id: text(made, "id").to_owned(), cursor: text(made, "cursor").to_owned() }
}

async fn join(server: &Server, who: &Founder, id: &str) -> Value {
    let query = "mutation($id: ID!) { conversationJoin(input: { id: $id }) {
        participant { memberId role version } userErrors { field code } } }";
    server.graphql(query, json!({ "id": id }), Some(who)).await
}

async fn archive(server: &Server, by: &Founder, mutation: &str, id: &str) -> Value {
    let query = format!(
        "mutation($id: ID!) {{ {mutation}(input: {{ id: $id }}) {{
        conversation {{ archivedAt version }} userErrors {{ field code }} }} }}"
    );
    server.graphql(&query, json!({ "id": id }), Some(by)).await
}

#[tokio::test]
async fn a_public_channel_is_found_and_joined_and_read_only_then() {
    let server = server().await;
    let (ada, stranger) = (server.founder().await, server.founder().await);
    let bob = server.member(&ada, "member", None).await;
    let guest = server.member(&ada, "guest", None).await;
    let (news, board) =
        (channel(server, &ada, "News", "PUBLIC").await, channel(server, &ada, "Board", "PRIVATE").await);
    server.say(&ada, &news, "first").await;
    let list = "{ publicChannels { nodes { id title topic memberCount joined } totalCount } }";
    let listed = server.graphql(list, json!({}), Some(&bob)).await;
    let shown = json!([{ "id": news.id, "title": "News", "topic": "All about it", "memberCount": 1, "joined": false }]);
    assert_eq!(*data(&listed, "publicChannels"), json!({ "nodes": shown, "totalCount": 1 }));
    let listed = server.graphql(list, json!({}), Some(&stranger)).await;
    assert_eq!(data(&listed, "publicChannels")["totalCount"], 0);
    assert_eq!(code(&server.graphql(list, json!({}), Some(&guest)).await), "FORBIDDEN");
    assert_eq!(code(&join(server, &guest, &news.id).await), "FORBIDDEN");
    let look = "query($id: ID!) { conversation(id: $id) { unreadCount messages(filter: { kind: { eq: TEXT } }) { nodes { body } } } }";
    let before = server.graphql(look, json!({ "id": news.id }), Some(&bob)).await;
    assert_eq!(*data(&before, "conversation"), Value::Null);
    for (who, id) in [(&bob, &board.id), (&stranger, &news.id), (&bob, &Uuid::now_v7().to_string())] {
        assert_eq!(user_errors(&join(server, who, id).await, "conversationJoin"), ["id NOT_FOUND"]);
    }
    for _ in 0..2 {
        let joined = join(server, &bob, &news.id).await;
        let me = json!({ "memberId": bob.member, "role": "MEMBER", "version": 1 });
        assert_eq!(*data(&joined, "conversationJoin.participant"), me, "the second time changes nothing");
    }
    let after = server.graphql(look, json!({ "id": news.id }), Some(&bob)).await;
    let shown = json!({ "unreadCount": 0, "messages": { "nodes": [{ "body": "first" }] } });
    assert_eq!(*data(&after, "conversation"), shown);
    let listed = server.graphql(list, json!({}), Some(&bob)).await;
    assert_eq!(data(&listed, "publicChannels.nodes.0")["memberCount"], 2);
    assert_eq!(data(&listed, "publicChannels.nodes.0")["joined"], true);
    let mut feed = server.follow(&ada, &news.id, Some(&news.cursor)).await;
    assert_eq!(feed.take(2).await[1]["participant"]["memberId"], json!(bob.member), "and the others hear of it");
}

#[tokio::test]
async fn what_is_wrong_with_a_channel_is_told() {
    let server = server().await;
    let ada = server.founder().await;
    let wrong = |answer: Value| user_errors(&answer, "conversationCreate");
    assert_eq!(wrong(open(server, &ada, json!({ "kind": "CHANNEL" })).await), ["title REQUIRED"]);
    let group = json!({ "kind": "GROUP", "title": "Us", "visibility": "PUBLIC" });
    assert_eq!(wrong(open(server, &ada, group).await), ["visibility UNSUPPORTED"]);
    let news = channel(server, &ada, "News", "PUBLIC").await;
    let rename = "mutation($id: ID!, $title: String) {
        conversationUpdate(input: { id: $id, title: $title }) { userErrors { field code } } }";
    for none in [Value::Null, json!(""), json!(" \t")] {
        let answer = server.graphql(rename, json!({ "id": news.id, "title": none }), Some(&ada)).await;
        assert_eq!(user_errors(&answer, "conversationUpdate"), ["title REQUIRED"], "{none}");
    }
}

#[tokio::test]
async fn what_is_archived_is_read_and_takes_no_messages() {
    let server = server().await;
    let ada = server.founder().await;
    let (bob, eve) = (server.member(&ada, "member", None).await, server.member(&ada, "member", None).await);
    let news = channel(server, &ada, "News", "PUBLIC").await;
    join(server, &bob, &news.id).await;
    let sent = server.send(&ada, json!({ "conversationId": news.id, "body": "kept", "clientId": "one" })).await;
    assert_eq!(code(&archive(server, &bob, "conversationArchive", &news.id).await), "FORBIDDEN");
    let outside = archive(server, &eve, "conversationArchive", &news.id).await;
    assert_eq!(user_errors(&outside, "conversationArchive"), ["id NOT_FOUND"]);
    for _ in 0..2 {
        let put_away = archive(server, &ada, "conversationArchive", &news.id).await;
        let now = data(&put_away, "conversationArchive.conversation");
        assert!(now["archivedAt"].is_string() && now["version"] == 2, "{now}");
    }
    for who in [&ada, &bob] {
        let refused = server.send(who, json!({ "conversationId": news.id, "body": "late" })).await;
        assert_eq!(user_errors(&refused, "messageSend"), ["conversationId STATE_INVALID"]);
    }
    let again = server.send(&ada, json!({ "conversationId": news.id, "body": "kept", "clientId": "one" })).await;
    assert_eq!(data(&again, "messageSend.message")["id"], data(&sent, "messageSend.message")["id"], "it is there");
    assert_eq!(user_errors(&join(server, &eve, &news.id).await, "conversationJoin"), ["id STATE_INVALID"]);
    let list = server.graphql("{ publicChannels { nodes { id } } }", json!({}), Some(&eve)).await;
    assert_eq!(*data(&list, "publicChannels.nodes"), json!([]));
    assert_eq!(server.numbers(&bob, &news).await, [1, 2, 3], "it is read as before");
    let back = archive(server, &ada, "conversationUnarchive", &news.id).await;
    assert_eq!(data(&back, "conversationUnarchive.conversation")["archivedAt"], Value::Null);
    assert_eq!(server.say(&bob, &news, "back").await["seq"], 5, "nothing but this was numbered meanwhile");
    let direct = open(server, &ada, json!({ "kind": "DIRECT", "memberIds": [bob.member] })).await;
    let id = text(data(&direct, "conversationCreate.conversation"), "id").to_owned();
    let refused = archive(server, &ada, "conversationArchive", &id).await;
    assert_eq!(user_errors(&refused, "conversationArchive"), ["id UNSUPPORTED"]);
}

#[tokio::test]
async fn whoever_joins_where_nobody_else_can_sign_in_owns_it() {
    let server = server().await;
    let ada = server.founder().await;
    let (bob, cy) = (server.member(&ada, "member", None).await, server.member(&ada, "member", None).await);
    let news = channel(server, &bob, "News", "PUBLIC").await;
    server.sql(&format!("UPDATE memberships SET status = 'suspended' WHERE id = '{}'", bob.member)).await;
    for (who, role) in [(&cy, "OWNER"), (&ada, "MEMBER")] {
        let joined = join(server, who, &news.id).await;
        assert_eq!(data(&joined, "conversationJoin.participant")["role"], role);
    }
}

#[tokio::test]
async fn whoever_joins_where_there_are_only_guests_owns_it_in_their_place() {
    let server = server().await;
    let ada = server.founder().await;
    let (bob, cy) = (server.member(&ada, "member", None).await, server.member(&ada, "member", None).await);
    let news = channel(server, &bob, "News", "PUBLIC").await;
    server.sql(&format!("UPDATE memberships SET role = 'guest' WHERE id = '{}'", bob.member)).await;
    let joined = join(server, &cy, &news.id).await;
    assert_eq!(data(&joined, "conversationJoin.participant")["role"], "OWNER");
    let told = server.follow(&cy, &news.id, Some(&news.cursor)).await.take(2).await;
    let told: Vec<Value> =
        told.iter().map(|event| json!([event["__typename"], event["participant"]["role"]])).collect();
    assert_eq!(told, [json!(["ParticipantAdded", "OWNER"]), json!(["ParticipantUpdated", "MEMBER"])]);
}
