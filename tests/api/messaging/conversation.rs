//! Conversations: one of each pair, groups, and that nobody else knows of them.

use super::{block::open, text};
use crate::kit::{Founder, code, data, server, statements, user_errors};
use futures_util::future::join_all;
use serde_json::{Value, json};
use std::collections::HashSet;
use uuid::Uuid;

const CREATE: &str = "mutation($input: ConversationCreateInput!) { conversationCreate(input: $input) {
    conversation { id kind title topic lastSeq version cursor createdBy partner { id }
        participants(orderBy: [{ field: ROLE, direction: DESC }]) { nodes { memberId role leftAt } totalCount } }
    userErrors { field code } } }";

async fn create(by: &Founder, input: Value) -> Value {
    server().await.graphql(CREATE, json!({ "input": input }), Some(by)).await
}

#[tokio::test]
async fn a_pair_has_one_direct_conversation_however_often_and_from_both_sides() {
    let server = server().await;
    let ada = server.founder().await;
    let bob = server.member(&ada, "member", None).await;
    let tries = (0..16).map(|index| {
        let (from, to) = if index % 2 == 0 { (&ada, &bob) } else { (&bob, &ada) };
        create(from, json!({ "kind": "DIRECT", "memberIds": [to.member] }))
    });
    let answers = join_all(tries).await;
    let ids: HashSet<_> =
        answers.iter().map(|answer| data(answer, "conversationCreate.conversation.id").to_string()).collect();
    assert_eq!(ids.len(), 1, "{ids:?}");
    let made = data(&answers[0], "conversationCreate.conversation");
    assert_eq!(made["partner"]["id"], json!(bob.member));
    assert_eq!(made["participants"]["totalCount"], 2);
    let events = format!("SELECT count(*) FROM events WHERE stream_id = '{}'", text(made, "id"));
    assert_eq!(server.count(&events).await, 1, "opened once");
}

#[tokio::test]
async fn the_partners_of_a_whole_page_cost_one_query() {
    let server = server().await;
    let ada = server.founder().await;
    let mut partners = HashSet::new();
    for _ in 0..5 {
        let other = server.member(&ada, "member", None).await;
        open(server, &ada, &other).await.expect("a conversation");
        partners.insert(other.member.to_string());
    }
    server.group(&ada, &[]).await;
    let query = "{ inbox { nodes { kind partner { id } } } }";
    let run = statements::during(ada.organization, async {
        let answer = server.graphql(query, json!({}), Some(&ada)).await;
        let nodes = data(&answer, "inbox.nodes").as_array().expect("nodes");
        let (direct, groups): (Vec<_>, Vec<_>) = nodes.iter().partition(|node| node["kind"] == "DIRECT");
        let seen = direct.iter().map(|node| text(&node["partner"], "id").to_owned()).collect::<HashSet<_>>();
        assert_eq!((seen, &groups[0]["partner"]), (partners, &Value::Null));
    })
    .await;
    let asked = |from: &str| run.iter().filter(|statement| statement.contains(from)).count();
    assert_eq!((asked("member_id FROM participants"), asked("FROM \"memberships\" t0")), (1, 1), "{run:#?}");
}

#[tokio::test]
async fn what_is_wrong_with_a_conversation_is_told_at_once() {
    let server = server().await;
    let (ada, stranger) = (server.founder().await, server.founder().await);
    let bob = server.member(&ada, "member", None).await;
    let wrong = |answer: Value| user_errors(&answer, "conversationCreate");
    assert_eq!(wrong(create(&ada, json!({ "kind": "DIRECT" })).await), ["memberIds INVALID"]);
    let alone = create(&ada, json!({ "kind": "DIRECT", "memberIds": [ada.member] })).await;
    assert_eq!(wrong(alone), ["memberIds INVALID"], "oneself is no other");
    let titled = create(&ada, json!({ "kind": "DIRECT", "memberIds": [bob.member], "title": "Us" })).await;
    assert_eq!(wrong(titled), ["title UNSUPPORTED"]);
    let foreign = create(&ada, json!({ "memberIds": [bob.member, stranger.member, Uuid::now_v7()] })).await;
    assert_eq!(wrong(foreign), ["memberIds.1 NOT_FOUND", "memberIds.2 NOT_FOUND"]);
    let long = create(&ada, json!({ "title": "x".repeat(201), "topic": "nul \u{0} here" })).await;
    assert_eq!(wrong(long), ["title TOO_LONG", "topic INVALID"]);
    let many: Vec<_> = (0..201).map(|_| Uuid::now_v7()).collect();
    assert_eq!(wrong(create(&ada, json!({ "memberIds": many })).await), ["memberIds TOO_LONG"]);
    let id = Uuid::now_v7();
    create(&ada, json!({ "id": id })).await;
    assert_eq!(wrong(create(&bob, json!({ "id": id })).await), ["id NOT_UNIQUE"]);
    let guest = server.member(&ada, "guest", None).await;
    assert_eq!(code(&create(&guest, json!({})).await), "FORBIDDEN");
}

#[tokio::test]
async fn nobody_else_knows_of_a_conversation() {
    let server = server().await;
    let (ada, stranger) = (server.founder().await, server.founder().await);
    let bob = server.member(&ada, "admin", None).await;
    let talk = server.group(&ada, &[]).await;
    server.say(&ada, &talk, "to myself").await;
    let query = "query($id: ID!) { conversation(id: $id) { id } node(id: $id) { id } conversations { nodes { id } } }";
    for who in [&bob, &stranger] {
        let answer = server.graphql(query, json!({ "id": talk.id }), Some(who)).await;
        assert_eq!(answer["data"], json!({ "conversation": null, "node": null, "conversations": { "nodes": [] } }));
        let update = "mutation($id: ID!) { conversationUpdate(input: { id: $id, title: \"Mine\" }) { userErrors { field code } } }";
        let answer = server.graphql(update, json!({ "id": talk.id }), Some(who)).await;
        assert_eq!(user_errors(&answer, "conversationUpdate"), ["id NOT_FOUND"]);
    }
}

#[tokio::test]
async fn a_group_is_changed_by_version_and_a_change_of_nothing_is_none() {
    let server = server().await;
    let ada = server.founder().await;
    let talk = server.group(&ada, &[]).await;
    let update = "mutation($input: ConversationUpdateInput!) { conversationUpdate(input: $input) {
        conversation { title topic version lastSeq } userErrors { field code } } }";
    let change = async |input: Value| server.graphql(update, json!({ "input": input }), Some(&ada)).await;
    server.say(&ada, &talk, "a message is no change of the group").await;
    let changed = change(json!({ "id": talk.id, "expectedVersion": 1, "topic": "Plans" })).await;
    assert_eq!(
        *data(&changed, "conversationUpdate.conversation"),
        json!({ "title": "Team", "topic": "Plans", "version": 2, "lastSeq": 2 })
    );
    let late = change(json!({ "id": talk.id, "expectedVersion": 1, "title": null })).await;
    assert_eq!(user_errors(&late, "conversationUpdate"), ["expectedVersion CONFLICT"]);
    assert_eq!(data(&late, "conversationUpdate.conversation")["version"], 2, "and shows how it stands");
    let same = change(json!({ "id": talk.id, "topic": "Plans" })).await;
    assert_eq!(data(&same, "conversationUpdate.conversation")["version"], 2);
    let cleared = change(json!({ "id": talk.id, "title": null })).await;
    assert_eq!(data(&cleared, "conversationUpdate.conversation")["title"], Value::Null);
}

#[tokio::test]
async fn the_cursor_is_of_the_moment_of_the_row() {
    let server = server().await;
    let ada = server.founder().await;
    let talk = server.group(&ada, &[]).await;
    let query = "query($id: ID!) { conversation(id: $id) { cursor lastSeq } conversations { nodes { cursor } } }";
    let mut last = talk.cursor.clone();
    for number in 1..=3 {
        server.say(&ada, &talk, "more").await;
        let answer = server.graphql(query, json!({ "id": talk.id }), Some(&ada)).await;
        let cursor = text(data(&answer, "conversation"), "cursor").to_owned();
        assert_eq!(data(&answer, "conversation")["lastSeq"], number);
        assert_eq!(data(&answer, "conversations.nodes")[0]["cursor"], json!(cursor));
        assert_eq!(server.follow(&ada, &talk.id, Some(&last)).await.next().await["cursor"], json!(cursor));
        last = cursor;
    }
}
