//! Mentions: whom a body names is there, finds it, and is forgotten with it.

use super::{snapshot::Shown, text};
use crate::kit::{Founder, Server, data, mirror::keeps_in_step, server, user_errors};
use serde_json::{Value, json};
use uuid::Uuid;

/// What mentions somebody: kind and body, newest first.
async fn mentions(server: &Server, who: &Founder) -> Vec<(String, String)> {
    let query = "query($me: ID!) { mentions(filter: { or: [{ memberId: { eq: $me } }, { kind: { ne: MEMBER } }] }) {
        nodes { kind message { body mentionsMe } } } }";
    let answer = server.graphql(query, json!({ "me": who.member }), Some(who)).await;
    let nodes = data(&answer, "mentions.nodes").as_array().expect("nodes").clone();
    let said = |node: &Value| {
        assert_eq!(node["message"]["mentionsMe"], true);
        (text(node, "kind").to_owned(), text(&node["message"], "body").to_owned())
    };
    nodes.iter().map(said).collect()
}

#[tokio::test]
async fn who_is_mentioned_finds_it_as_long_as_it_stands_there() {
    let server = server().await;
    let ada = server.founder().await;
    let (bob, eve) = (server.member(&ada, "member", None).await, server.member(&ada, "member", None).await);
    let (talk, other) = (server.group(&ada, &[&bob, &eve]).await, server.group(&ada, &[&eve]).await);
    let to_bob = format!("<@{0}>, look, <@{0}>", bob.member);
    let message = server.say(&ada, &talk, &to_bob).await;
    let all = server.say(&ada, &talk, "hello <@channel> and <@here>").await;
    server.say(&ada, &other, "not for Bob: <@channel>").await;
    server.say(&bob, &talk, "@channel <@everybody> <@> is nobody").await;
    let both = all["body"].as_str().expect("a body").to_owned();
    let found = mentions(server, &bob).await;
    let wanted =
        [("HERE", &both), ("CHANNEL", &both), ("MEMBER", &to_bob)].map(|(kind, body)| (kind.into(), body.clone()));
    assert!(found.len() == 3 && wanted.iter().all(|one| found.contains(one)), "{found:?}");
    assert_eq!(mentions(server, &eve).await.len(), 3, "what means everybody, in both");
    // An edit mentions somebody else; deleting mentions nobody.
    let to_eve = format!("<@{}>, look", eve.member);
    keeps_in_step::<Shown>(server, &bob, &talk.id, async {
        server.change(&ada, "messageEdit", json!({ "id": message["id"], "body": to_eve })).await;
    })
    .await;
    assert_eq!(mentions(server, &bob).await.len(), 2);
    assert!(mentions(server, &eve).await.contains(&("MEMBER".into(), to_eve.clone())));
    let query = "query($id: ID!, $who: ID!) { conversation(id: $id) { messages(filter: { mentions: { some: { memberId: { eq: $who } } } }) {
        nodes { body mentions { nodes { member { id } } totalCount } } } } }";
    let answer = server.graphql(query, json!({ "id": talk.id, "who": eve.member }), Some(&bob)).await;
    let wanted =
        json!([{ "body": to_eve, "mentions": { "nodes": [{ "member": { "id": eve.member } }], "totalCount": 1 } }]);
    assert_eq!(*data(&answer, "conversation.messages.nodes"), wanted);
    server.change(&ada, "messageDelete", json!({ "id": message["id"] })).await;
    server.change(&ada, "messageDelete", json!({ "id": all["id"] })).await;
    assert!(mentions(server, &bob).await.is_empty());
}

#[tokio::test]
async fn only_who_is_there_can_be_mentioned() {
    let server = server().await;
    let (ada, stranger) = (server.founder().await, server.founder().await);
    let (bob, eve) = (server.member(&ada, "member", None).await, server.member(&ada, "member", None).await);
    let talk = server.group(&ada, &[&bob]).await;
    let sent = |body: String| server.send(&ada, json!({ "conversationId": talk.id, "body": body }));
    for nobody in [eve.member, stranger.member, Uuid::now_v7()] {
        let answer = sent(format!("<@{}> and <@{nobody}>", bob.member)).await;
        assert_eq!(user_errors(&answer, "messageSend"), ["body NOT_FOUND"]);
        let told = text(&data(&answer, "messageSend.userErrors")[0], "message").to_owned();
        assert!(told.contains(&nobody.to_string()) && !told.contains(&bob.member.to_string()), "{told}");
    }
    let many: String = (0..51).map(|_| format!("<@{}>", Uuid::now_v7())).collect();
    assert_eq!(user_errors(&sent(many).await, "messageSend"), ["body TOO_LONG"]);
    assert_eq!(server.numbers(&ada, &talk).await, [0; 0], "nothing was sent");
    let message = server.say(&ada, &talk, &format!("<@{}>", bob.member)).await;
    let edit = |body: String| server.change(&ada, "messageEdit", json!({ "id": message["id"], "body": body }));
    assert_eq!(user_errors(&edit(format!("<@{}>", eve.member)).await, "done"), ["body NOT_FOUND"]);
    let input = json!({ "conversationId": talk.id, "memberId": bob.member });
    server.participant(&ada, "participantRemove", input).await;
    assert_eq!(
        user_errors(&edit(format!("<@{}> was here", bob.member)).await, "done"),
        [""; 0],
        "who has left since stays"
    );
    assert!(mentions(server, &bob).await.is_empty(), "and sees nothing of it");
}
