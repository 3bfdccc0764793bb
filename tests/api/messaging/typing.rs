//! Who types, as those in the conversation see it.

use super::{Talk, live::Said, user_contact::acted};
use crate::{
    kit::{Founder, Server, code, data, verdict},
    messaging::live::Feed,
};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::sleep;

impl Server {
    /// The answer to `typingSet`, as `done`.
    pub async fn typing(&self, by: &str, talk: &str, typing: bool) -> Value {
        let query =
            "mutation($input: TypingSetInput!) { done: typingSet(input: $input) { userErrors { field code } } }";
        self.graphql(query, json!({ "input": { "conversationId": talk, "typing": typing } }), Some(by)).await
    }

    pub async fn overhear(&self, who: &str, talk: &Talk) -> Feed {
        let query = "subscription($id: ID!) { typing(conversationId: $id) { conversationId memberIds } }";
        Feed::open(&self.ws_url(), who, query, json!({ "id": talk.id })).await.expect("a server")
    }
}

/// What a feed says when these type.
pub fn who(talk: &Talk, members: &[&Founder]) -> Value {
    let ids: Vec<_> = members.iter().map(|member| member.member).collect();
    json!({ "conversationId": talk.id, "memberIds": ids })
}

/// A server on which nobody ends by themselves, however busy the machine is.
async fn patient() -> Server {
    Server::with(|config| config.presence.typing_ms = 60_000).await
}

#[tokio::test]
async fn others_hear_of_it_until_it_ends() {
    let server = patient().await;
    let ada = server.founder().await;
    let (bob, cy) = (server.member(&ada, "member", None).await, server.member(&ada, "guest", None).await);
    let talk = server.group(&ada, &[&bob, &cy]).await;
    let (mut adas, mut bobs) = (server.overhear(&ada, &talk).await, server.overhear(&bob, &talk).await);
    assert_eq!(adas.next().await, who(&talk, &[]), "first who does now");
    assert_eq!(bobs.next().await, who(&talk, &[]));
    assert_eq!(verdict(&server.typing(&bob, &talk.id, true).await), "done");
    assert_eq!(adas.next().await, who(&talk, &[&bob]));
    assert_eq!(verdict(&server.typing(&bob, &talk.id, true).await), "done", "said again nothing is told");
    assert_eq!(verdict(&server.typing(&cy, &talk.id, true).await), "done");
    assert_eq!(adas.next().await, who(&talk, &[&bob, &cy]));
    assert_eq!(bobs.next().await, who(&talk, &[&cy]), "nobody hears of themselves");
    let mut late = server.overhear(&ada, &talk).await;
    assert_eq!(late.next().await, who(&talk, &[&bob, &cy]));
    assert_eq!(verdict(&server.typing(&cy, &talk.id, false).await), "done");
    assert_eq!(adas.next().await, who(&talk, &[&bob]));
    assert_eq!(bobs.next().await, who(&talk, &[]));
    // A message is the end of it, and what he begins then is new.
    server.say(&bob, &talk, "here it is").await;
    assert_eq!(adas.next().await, who(&talk, &[]));
    assert_eq!(verdict(&server.typing(&bob, &talk.id, true).await), "done");
    assert_eq!(adas.next().await, who(&talk, &[&bob]));
    server.stop().await;
}

#[tokio::test]
async fn whoever_was_blocked_does_not_hear_of_it() {
    let server = patient().await;
    let ada = server.founder().await;
    let (bob, cy) = (server.member(&ada, "member", None).await, server.member(&ada, "member", None).await);
    let talk = server.group(&ada, &[&bob, &cy]).await;
    acted(&server, &bob, "Block", &cy).await;
    let (mut adas, mut cys) = (server.overhear(&ada, &talk).await, server.overhear(&cy, &talk).await);
    assert_eq!((adas.next().await, cys.next().await), (who(&talk, &[]), who(&talk, &[])));
    server.typing(&bob, &talk.id, true).await;
    assert_eq!(adas.next().await, who(&talk, &[&bob]));
    server.typing(&ada, &talk.id, true).await;
    assert_eq!(cys.next().await, who(&talk, &[&ada]), "and of nobody else before");
    server.stop().await;
}

#[tokio::test]
async fn it_ends_by_itself() {
    let server = Server::with(|config| config.presence.typing_ms = 300).await;
    let ada = server.founder().await;
    let bob = server.member(&ada, "member", None).await;
    let talk = server.group(&ada, &[&bob]).await;
    let mut adas = server.overhear(&ada, &talk).await;
    assert_eq!(adas.next().await, who(&talk, &[]));
    // Again and again, should one of these be over before it is seen.
    let types = async {
        loop {
            server.typing(&bob, &talk.id, true).await;
            sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::select! {
        () = types => {}
        told = adas.next() => assert_eq!(told, who(&talk, &[&bob])),
    }
    while adas.next().await != who(&talk, &[]) {}
    server.stop().await;
}

#[tokio::test]
async fn it_is_of_those_in_the_conversation_alone() {
    let server = patient().await;
    let (ada, eve) = (server.founder().await, server.founder().await);
    let (bob, cy) = (server.member(&ada, "member", None).await, server.member(&ada, "admin", None).await);
    let talk = server.group(&ada, &[&bob]).await;
    let mut adas = server.overhear(&ada, &talk).await;
    assert_eq!(adas.next().await, who(&talk, &[]));
    let nobodys = uuid::Uuid::now_v7().to_string();
    for (by, talk, what) in
        [(&cy, &talk.id, "a colleague"), (&eve, &talk.id, "a stranger"), (&ada, &nobodys, "nobody's")]
    {
        for typing in [true, false] {
            assert_eq!(verdict(&server.typing(by, talk, typing).await), "conversationId NOT_FOUND", "{what}");
        }
    }
    for outsider in [&cy, &eve] {
        assert_eq!(server.overhear(outsider, &talk).await.hear().await, Said::Refused("NOT_FOUND".to_owned()));
    }
    // Whoever is removed is heard no more, and hears no more.
    let mut bobs = server.overhear(&bob, &talk).await;
    assert_eq!(bobs.next().await, who(&talk, &[]));
    server.typing(&bob, &talk.id, true).await;
    assert_eq!(adas.next().await, who(&talk, &[&bob]), "and of nobody else before");
    let remove = json!({ "conversationId": talk.id, "memberId": bob.member });
    data(&server.participant(&ada, "participantRemove", remove).await, "participantRemove.participant.leftAt");
    assert_eq!(adas.next().await, who(&talk, &[]));
    assert_eq!(bobs.hear().await, Said::Complete);
    assert_eq!(verdict(&server.typing(&bob, &talk.id, true).await), "conversationId NOT_FOUND");
    server.archive(&talk).await;
    assert_eq!(verdict(&server.typing(&ada, &talk.id, true).await), "conversationId STATE_INVALID");
    server.stop().await;
}

#[tokio::test]
async fn it_costs_the_database_nothing_that_is_said_again() {
    let server = patient().await;
    let ada = server.founder().await;
    let talk = server.group(&ada, &[]).await;
    server.typing(&ada, &talk.id, true).await;
    let again = crate::kit::statements::during(ada.organization, server.typing(&ada, &talk.id, true)).await;
    assert!(!again.iter().any(|statement| statement.contains("participants")), "{again:#?}");
    let mut last = Value::Null;
    for _ in 0..1000 {
        last = server.typing(&ada, &talk.id, true).await;
        if last.get("errors").is_some() {
            break;
        }
    }
    assert_eq!(code(&last), "RATE_LIMITED");
    server.stop().await;
}
