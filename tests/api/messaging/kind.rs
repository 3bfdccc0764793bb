//! Kinds of messages, and what Stoa itself tells in a conversation.

use super::{Talk, block::open, snapshot::Shown, text};
use crate::{
    files::uploaded,
    kit::{Founder, Server, code, data, mirror::keeps_in_step, server, user_errors, verdict},
};
use futures_util::future::join_all;
use serde_json::{Value, json};

/// The messages of a conversation, oldest first.
async fn all(server: &Server, who: &Founder, talk: &Talk, fields: &str) -> Vec<Value> {
    let query = format!(
        "query($id: ID!) {{ conversation(id: $id) {{ messages(first: 100, orderBy: [{{ field: SEQ }}]) {{
            nodes {{ {fields} }} }} }} }}"
    );
    let answer = server.graphql(&query, json!({ "id": talk.id }), Some(who)).await;
    data(&answer, "conversation.messages.nodes").as_array().expect("nodes").clone()
}

/// The answer to a change of a conversation, called `done`.
async fn change(server: &Server, by: &Founder, mutation: &str, input: Value) -> Value {
    let kind = match mutation {
        "conversationUpdate" => "ConversationUpdateInput",
        "conversationJoin" => "ConversationJoinInput",
        "conversationLeave" => "ConversationLeaveInput",
        "conversationArchive" | "conversationUnarchive" => "ConversationArchiveInput",
        _ => "ParticipantInput",
    };
    let query = format!(
        "mutation($input: {kind}!) {{ done: {mutation}(input: $input) {{ __typename userErrors {{ field code }} }} }}"
    );
    server.graphql(&query, json!({ "input": input }), Some(by)).await
}

async fn changed(server: &Server, by: &Founder, mutation: &str, input: Value) {
    assert_eq!(verdict(&change(server, by, mutation, input).await), "done", "{mutation}");
}

/// How many messages are new to somebody.
async fn unread(server: &Server, who: &Founder, talk: &Talk) -> Value {
    let query = "query($id: ID!) { conversation(id: $id) { unreadCount } }";
    data(&server.graphql(query, json!({ "id": talk.id }), Some(who)).await, "conversation.unreadCount").clone()
}

#[tokio::test]
async fn a_message_says_something_or_only_brings_files_along() {
    let server = server().await;
    let ada = server.founder().await;
    let talk = server.group(&ada, &[]).await;
    let file = uploaded(server, &ada.token, "plan.txt", b"the plan", "text/plain").await.0;
    let bring = async |body: &str| {
        let input = json!({ "conversationId": talk.id, "body": body, "fileIds": [file] });
        data(&server.send(&ada, input).await, "messageSend.message").clone()
    };
    let (alone, both) = (bring("").await, bring("look").await);
    assert_eq!((&alone["kind"], &both["kind"]), (&json!("FILE"), &json!("TEXT")));
    assert_eq!(server.say(&ada, &talk, "words").await["kind"], "TEXT");
    changed(server, &ada, "conversationUpdate", json!({ "id": talk.id, "topic": "words" })).await;
    keeps_in_step::<Shown>(server, &ada, &talk.id, async {
        for (message, body, kind) in [(&alone, "with words", "TEXT"), (&both, "", "FILE")] {
            let edited = server.change(&ada, "messageEdit", json!({ "id": message["id"], "body": body })).await;
            assert_eq!(data(&edited, "done.message.kind"), kind, "{edited}");
        }
        let deleted = server.change(&ada, "messageDelete", json!({ "id": both["id"] })).await;
        assert_eq!(data(&deleted, "done.message.kind"), "FILE", "it was one: {deleted}");
    })
    .await;
    let query = "query($id: ID!, $filter: MessageFilter) { conversation(id: $id) { messages(filter: $filter) { nodes { seq } } }
        messagesAround(conversationId: $id, place: { seq: 4 }, filter: $filter) { nodes { seq } } }";
    for (filter, expected) in [
        (json!({ "eq": "TEXT" }), vec![3, 1]),
        (json!({ "in": ["FILE", "SYSTEM"] }), vec![4, 2]),
        (json!({ "ne": "SYSTEM" }), vec![3, 2, 1]),
    ] {
        let variables = json!({ "id": talk.id, "filter": { "kind": filter } });
        let answer = server.graphql(query, variables, Some(&ada)).await;
        for path in ["conversation.messages.nodes", "messagesAround.nodes"] {
            let expected: Vec<Value> = expected.iter().map(|seq| json!({ "seq": seq })).collect();
            assert_eq!(*data(&answer, path), json!(expected), "{path} {filter}");
        }
    }
    let search = "query($kind: MessageKind) { messageSearch(query: \"words\", filter: { kind: $kind }) { hits { message { seq } } } }";
    for (kind, found) in
        [(Value::Null, vec![3, 1]), (json!("TEXT"), vec![3, 1]), (json!("FILE"), vec![]), (json!("SYSTEM"), vec![4])]
    {
        let answer = server.graphql(search, json!({ "kind": kind }), Some(&ada)).await;
        let hits = data(&answer, "messageSearch.hits").as_array().expect("hits");
        assert_eq!(hits.iter().map(|hit| &hit["message"]["seq"]).collect::<Vec<_>>(), found, "{kind}");
    }
}

#[tokio::test]
async fn what_happens_to_a_conversation_is_told_in_it() {
    let server = server().await;
    let ada = server.founder().await;
    let (bob, eve) = (server.member(&ada, "member", None).await, server.member(&ada, "guest", None).await);
    let query = "mutation($input: ConversationCreateInput!) { conversationCreate(input: $input) { conversation { id cursor } } }";
    let input = json!({ "kind": "CHANNEL", "title": "News", "visibility": "PUBLIC" });
    let made = server.graphql(query, json!({ "input": input }), Some(&ada)).await;
    let made = data(&made, "conversationCreate.conversation");
    let talk = Talk { id: text(made, "id").to_owned(), cursor: text(made, "cursor").to_owned() };
    let of = |who: &Founder| json!({ "conversationId": talk.id, "memberId": who.member });
    let id = json!({ "id": talk.id });
    assert!(all(server, &ada, &talk, "seq").await.is_empty(), "its opening is told by itself");
    keeps_in_step::<Shown>(server, &ada, &talk.id, async {
        changed(server, &bob, "conversationJoin", id.clone()).await;
        changed(server, &bob, "conversationJoin", id.clone()).await;
        assert_eq!(unread(server, &bob, &talk).await, 0, "who did it has read it");
        assert_eq!(unread(server, &ada, &talk).await, 1);
        changed(server, &ada, "participantAdd", of(&eve)).await;
        changed(server, &ada, "participantAdd", of(&eve)).await;
        assert_eq!(unread(server, &eve, &talk).await, 0, "nothing up to where they come in is new to them");
        assert_eq!(unread(server, &ada, &talk).await, 0);
        assert_eq!(unread(server, &bob, &talk).await, 1);
        let both = json!({ "id": talk.id, "title": "<@channel> & more", "topic": "What\nis *new*" });
        changed(server, &ada, "conversationUpdate", both.clone()).await;
        changed(server, &ada, "conversationUpdate", both).await;
        changed(server, &ada, "conversationUpdate", json!({ "id": talk.id, "topic": null })).await;
        for mutation in ["conversationArchive", "conversationUnarchive"] {
            changed(server, &ada, mutation, id.clone()).await;
            changed(server, &ada, mutation, id.clone()).await;
        }
        changed(server, &ada, "participantRemove", of(&eve)).await;
        changed(server, &bob, "conversationLeave", id.clone()).await;
        assert_eq!(unread(server, &ada, &talk).await, 1);
    })
    .await;
    let said =
        all(server, &ada, &talk, "seq kind senderId body mentionsMe clientId system { event memberIds title topic }")
            .await;
    let by_ada = |event: &str, body: &str| (ada.member, event.to_owned(), format!("Ada Founder {body}"));
    let expected = [
        (bob.member, "MEMBER_JOINED".to_owned(), "Bob member joined.".to_owned()),
        by_ada("MEMBERS_ADDED", "added Bob guest."),
        by_ada("TITLE_CHANGED", "changed the title to “\\<@channel\\> & more”."),
        by_ada("TOPIC_CHANGED", "changed the topic to “What is \\*new\\*”."),
        by_ada("TOPIC_CHANGED", "removed the topic."),
        by_ada("ARCHIVED", "archived the conversation."),
        by_ada("UNARCHIVED", "unarchived the conversation."),
        by_ada("MEMBERS_REMOVED", "removed Bob guest."),
        (bob.member, "MEMBER_LEFT".to_owned(), "Bob member left.".to_owned()),
    ];
    assert_eq!(said.len(), expected.len(), "{said:#?}");
    for ((seq, message), (sender, event, body)) in (1..).zip(&said).zip(expected) {
        let about = if event.starts_with("MEMBERS_") { json!([eve.member]) } else { json!([]) };
        let title = if event == "TITLE_CHANGED" { json!("<@channel> & more") } else { Value::Null };
        let topic = if seq == 4 { json!("What\nis *new*") } else { Value::Null };
        let note = json!({ "event": event, "memberIds": about, "title": title, "topic": topic });
        let whole = json!({ "seq": seq, "kind": "SYSTEM", "senderId": sender, "body": body, "mentionsMe": false,
            "clientId": null, "system": note });
        assert_eq!(*message, whole);
    }
    let mentions = format!("SELECT count(*) FROM mentions WHERE conversation_id = '{}'", talk.id);
    assert_eq!(server.count(&mentions).await, 0);
    let disorder = format!(
        "SELECT count(*) FROM messages a JOIN messages b USING (conversation_id)
         WHERE conversation_id = '{}' AND a.seq < b.seq AND a.created_at > b.created_at",
        talk.id
    );
    assert_eq!(server.count(&disorder).await, 0);
    let names = all(server, &ada, &talk, "system { members { name } }").await;
    assert_eq!(names[1], json!({ "system": { "members": [{ "name": "Bob guest" }] } }));
    // One event each, and none of the direct kind.
    let told = format!("SELECT count(*) FROM events WHERE stream_id = '{}' AND kind = 'message_sent'", talk.id);
    assert_eq!(server.count(&told).await, 9);
    let direct = open(server, &ada, &bob).await.expect("a conversation");
    changed(server, &ada, "conversationUpdate", json!({ "id": direct.id, "topic": "Us" })).await;
    assert!(all(server, &ada, &direct, "seq").await.is_empty());
}

#[tokio::test]
async fn an_archived_conversation_takes_not_even_what_stoa_tells() {
    let server = server().await;
    let ada = server.founder().await;
    let bob = server.member(&ada, "member", None).await;
    let (cy, eve) = (server.member(&ada, "member", None).await, server.member(&ada, "member", None).await);
    let talk = server.group(&ada, &[&bob, &cy]).await;
    let of = |who: &Founder| json!({ "conversationId": talk.id, "memberId": who.member });
    let id = json!({ "id": talk.id });
    keeps_in_step::<Shown>(server, &ada, &talk.id, async {
        changed(server, &ada, "conversationArchive", id.clone()).await;
        let title = json!({ "id": talk.id, "title": "Another one" });
        assert_eq!(verdict(&change(server, &ada, "conversationUpdate", title).await), "id STATE_INVALID");
        assert_eq!(verdict(&change(server, &ada, "participantAdd", of(&eve)).await), "conversationId STATE_INVALID");
        changed(server, &ada, "participantAdd", of(&bob)).await;
        // Nobody is kept in it; that they are gone is told as ever, and is no message.
        changed(server, &ada, "participantRemove", of(&cy)).await;
        changed(server, &bob, "conversationLeave", id.clone()).await;
    })
    .await;
    let said = all(server, &ada, &talk, "system { event }").await;
    assert_eq!(said, [json!({ "system": { "event": "ARCHIVED" } })], "the last one tells who has archived it");
}

#[tokio::test]
async fn who_goes_sees_nothing_of_what_is_told_of_it() {
    let server = server().await;
    let ada = server.founder().await;
    let (bob, eve) = (server.member(&ada, "member", None).await, server.member(&ada, "member", None).await);
    let talk = server.group(&ada, &[&bob, &eve]).await;
    let kinds = async |who: &Founder, count: usize| {
        let events = server.follow(who, &talk.id, Some(&talk.cursor)).await.take(count).await;
        events.iter().map(|event| text(event, "__typename").to_owned()).collect::<Vec<_>>()
    };
    let mut bobs = server.follow(&bob, &talk.id, Some(&talk.cursor)).await;
    let mut eves = server.follow(&eve, &talk.id, Some(&talk.cursor)).await;
    changed(server, &ada, "participantRemove", json!({ "conversationId": talk.id, "memberId": bob.member })).await;
    changed(server, &ada, "conversationLeave", json!({ "id": talk.id })).await;
    let told = ["ParticipantRemoved", "MessageSent", "ParticipantRemoved", "ParticipantUpdated", "MessageSent"];
    assert_eq!(kinds(&eve, 5).await, told);
    assert_eq!(eves.take(5).await[4]["message"]["system"]["event"], "MEMBER_LEFT");
    assert_eq!(text(&bobs.next().await, "__typename"), "ParticipantRemoved");
    assert_eq!(bobs.hear().await, super::live::Said::Complete);
    let left = "mutation($id: ID!) { conversationLeave(input: { id: $id }) { participant { lastReadSeq } } }";
    server.say(&eve, &talk, "alone").await;
    let left = server.graphql(left, json!({ "id": talk.id }), Some(&eve)).await;
    assert_eq!(data(&left, "conversationLeave.participant.lastReadSeq"), 4, "of their own");
}

#[tokio::test]
async fn what_stoa_tells_is_nobodys_to_edit_and_the_moderators_to_delete() {
    let server = server().await;
    let ada = server.founder().await;
    let bob = server.member(&ada, "member", None).await;
    let talk = server.group(&ada, &[&bob]).await;
    changed(server, &bob, "conversationUpdate", json!({ "id": talk.id, "title": "Ours" })).await;
    let note = all(server, &bob, &talk, "id version").await.remove(0);
    for who in [&ada, &bob] {
        let edited = server.change(who, "messageEdit", json!({ "id": note["id"], "body": "Theirs" })).await;
        assert_eq!(code(&edited), "FORBIDDEN");
    }
    assert_eq!(code(&server.change(&bob, "messageDelete", json!({ "id": note["id"] })).await), "FORBIDDEN");
    let shown = keeps_in_step::<Shown>(server, &ada, &talk.id, async {
        assert_eq!(server.reply(&ada, &talk, &note, "Nice").await["threadSeq"], 1);
        let reaction = json!({ "messageId": note["id"], "emoji": "🎉" });
        assert_eq!(verdict(&server.change(&ada, "reactionAdd", reaction).await), "done");
        assert_eq!(verdict(&server.change(&ada, "messageDelete", json!({ "id": note["id"] })).await), "done");
    })
    .await;
    let left = &shown.messages[text(&note, "id")];
    let gone = json!([left["kind"], left["system"], left["body"], left["seq"]]);
    assert_eq!(gone, json!(["SYSTEM", null, null, 1]), "its place and its kind stay");
    let refused = server.change(&bob, "messageEdit", json!({ "id": note["id"], "body": "Back" })).await;
    assert_eq!(code(&refused), "FORBIDDEN");
    assert_eq!(
        user_errors(&server.change(&bob, "messageEdit", json!({ "id": ada.member, "body": "x" })).await, "done"),
        ["id NOT_FOUND"]
    );
}

/// Messages that are sent and what Stoa tells take the same numbers, under the same lock.
#[tokio::test]
async fn what_is_told_and_what_is_said_at_once_are_numbered_without_a_gap() {
    let server = server().await;
    let ada = server.founder().await;
    let (bob, eve) = (server.member(&ada, "member", None).await, server.member(&ada, "member", None).await);
    let talk = server.group(&ada, &[&bob]).await;
    let of = json!({ "conversationId": talk.id, "memberId": eve.member });
    join_all((0..6).map(async |writer| {
        for number in 0..6 {
            match writer {
                0 => {
                    changed(server, &ada, "conversationUpdate", json!({ "id": talk.id, "topic": format!("{number}") }))
                        .await
                }
                1 => {
                    let mutation = if number % 2 == 0 { "participantAdd" } else { "participantRemove" };
                    changed(server, &ada, mutation, of.clone()).await;
                }
                2 => _ = server.say(&ada, &talk, "mine").await,
                _ => _ = server.say(&bob, &talk, "too").await,
            }
        }
    }))
    .await;
    assert_eq!(server.numbers(&ada, &talk).await, (1..=36).collect::<Vec<_>>());
    let disorder = format!(
        "SELECT count(*) FROM messages a JOIN messages b USING (conversation_id)
         WHERE conversation_id = '{}' AND a.seq < b.seq AND a.created_at > b.created_at",
        talk.id
    );
    assert_eq!(server.count(&disorder).await, 0);
}
