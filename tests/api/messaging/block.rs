//! What a block does: the blocked one notices nothing that could not be otherwise.

use super::{
    Talk,
    position::mark,
    text,
    user_contact::{act, acted, inbox, list, set, stands, three},
};
use crate::kit::{Founder, Server, data, mail::until, server, user_errors, verdict};
use futures_util::future::{join, join_all};
use serde_json::{Value, json};

/// The direct conversation of two, or why there is none.
pub async fn open(server: &Server, by: &Founder, with: &Founder) -> Result<Talk, Vec<String>> {
    let query = "mutation($input: ConversationCreateInput!) { done: conversationCreate(input: $input) {
        conversation { id cursor } userErrors { field code message } } }";
    let input = json!({ "kind": "DIRECT", "memberIds": [with.member] });
    let answer = server.graphql(query, json!({ "input": input }), Some(by)).await;
    let made = data(&answer, "done.conversation");
    match made["id"].as_str() {
        Some(id) => Ok(Talk { id: id.to_owned(), cursor: text(made, "cursor").to_owned() }),
        None => Err(told(data(&answer, "done"))),
    }
}

/// User errors with their words.
fn told(payload: &Value) -> Vec<String> {
    let errors = payload["userErrors"].as_array().expect("user errors");
    errors.iter().map(|error| format!("{} {}", error["code"], error["message"])).collect()
}

/// All that a member can do about another, and what they see of it: the same whether they are blocked or not.
#[tokio::test]
async fn the_blocked_one_sees_what_they_would_see_unblocked() {
    let server = server().await;
    let ada = server.founder().await;
    let mut seen = Vec::new();
    for blocked in [false, true] {
        let (bob, eve) = (server.member(&ada, "admin", None).await, server.member(&ada, "member", None).await);
        if blocked {
            assert_eq!(acted(server, &eve, "Block", &bob).await, "BLOCKED");
        }
        let mut saw = Vec::new();
        for what in ["Request", "Request", "Remove", "Request", "Accept", "Decline", "Block", "Unblock"] {
            let answer = act(server, &bob, what, eve.member).await;
            let mut shown = answer["data"]["done"].clone();
            let contact = &mut shown["userContact"];
            if contact.is_object() {
                assert_eq!(contact["member"]["id"], json!(eve.member));
                for own in ["id", "memberId", "member", "blockedAt"] {
                    contact[own] = Value::Null;
                }
            }
            let audit = server
                .graphql(
                    "{ auditEvents(first: 1, filter: { entity: { eq: \"UserContact\" } }) { nodes { id } } }",
                    json!({}),
                    Some(&bob),
                )
                .await;
            saw.push(json!([what, shown, answer["errors"], list(server, &bob).await.len(), audit["data"]]));
        }
        seen.push(saw);
        assert_eq!(list(server, &eve).await.len(), usize::from(blocked));
    }
    assert_eq!(seen[0], seen[1]);
    assert_eq!(seen[0][3][1]["userErrors"][0]["code"], "LIMIT_EXCEEDED", "asked twice in a day: {:#}", seen[0][3]);
}

#[tokio::test]
async fn what_was_done_beneath_a_block_stands_when_it_ends() {
    let server = server().await;
    let (ada, bob, eve) = three(server).await;
    acted(server, &bob, "Request", &ada).await;
    acted(server, &ada, "Accept", &bob).await;
    set(server, &ada, json!({ "memberId": bob.member, "nickname": "Bobby" })).await;
    let mut to_bob = inbox(server, &bob).await;
    assert_eq!(acted(server, &ada, "Block", &bob).await, "BLOCKED");
    assert_eq!(acted(server, &ada, "Block", &bob).await, "BLOCKED", "again changes nothing");
    assert_eq!(list(server, &bob).await, [stands(&ada, "ACCEPTED")], "nobody is told");
    for what in ["Request", "Accept", "Decline", "Remove"] {
        assert_eq!(verdict(&act(server, &ada, what, bob.member).await), "memberId STATE_INVALID", "{what}");
    }
    assert_eq!(acted(server, &ada, "Unblock", &bob).await, "ACCEPTED", "as it was");
    acted(server, &ada, "Block", &bob).await;
    acted(server, &bob, "Remove", &ada).await;
    let contact = act(server, &ada, "Block", bob.member).await;
    assert_eq!(data(&contact, "done.userContact.nickname"), "Bobby");
    assert_eq!(acted(server, &ada, "Unblock", &bob).await, Value::Null);
    assert_eq!(acted(server, &ada, "Unblock", &bob).await, Value::Null, "again changes nothing");
    // Asked while blocked: it is there when the block ends, and was not told before.
    acted(server, &ada, "Block", &eve).await;
    let before = format!(
        "SELECT count(*) FROM events WHERE stream_id = '{}' AND kind = 'user_contact_changed'",
        stoa::events::stream_of_member(ada.member)
    );
    let count = server.count(&before).await;
    acted(server, &eve, "Request", &ada).await;
    assert_eq!(server.count(&before).await, count, "whoever blocks is not bothered");
    assert_eq!(acted(server, &ada, "Unblock", &eve).await, "RECEIVED");
    // All that bob has heard: that he is out himself.
    let heard = to_bob.next().await;
    assert_eq!((&heard["memberId"], &heard["userContact"]), (&json!(ada.member), &Value::Null));
    acted(server, &bob, "Request", &eve).await;
    assert_eq!(to_bob.next().await["memberId"], json!(eve.member), "and nothing in between");
}

pub const AWAY: &str = "\"STATE_INVALID\" \"This member cannot be written to at present.\"";
const OWN: &str = "\"STATE_INVALID\" \"You have blocked this member: unblock them first.\"";

/// What is refused is refused in the words in which it is towards a suspended member.
#[tokio::test]
async fn a_block_closes_what_is_between_the_two_as_a_suspension_does() {
    let server = server().await;
    let (ada, bob, eve) = three(server).await;
    let talk = open(server, &bob, &ada).await.expect("a conversation");
    let hello = server.say(&bob, &talk, "hello").await;
    let root = server.say(&ada, &talk, "hello yourself").await;
    let tries = async |who: &Founder| {
        let mut refused = Vec::new();
        let again = server.send(who, json!({ "conversationId": talk.id, "body": "are you there?" })).await;
        refused.extend(told(data(&again, "messageSend")));
        let reply = json!({ "conversationId": talk.id, "body": "are you there?", "threadRootId": root["id"] });
        refused.extend(told(data(&server.send(who, reply).await, "messageSend")));
        for (what, input) in [
            ("messageEdit", json!({ "id": hello["id"], "body": "you" })),
            ("messagePin", json!({ "id": root["id"] })),
            ("reactionAdd", json!({ "messageId": root["id"], "emoji": "🎉" })),
        ] {
            refused.push(verdict(&server.change(who, what, input).await));
        }
        let query = "mutation($id: ID!) { done: conversationUpdate(input: { id: $id, topic: \"you\" }) {
            userErrors { field code } } }";
        refused.push(verdict(&server.graphql(query, json!({ "id": talk.id }), Some(who)).await));
        refused
    };
    let quiet = [AWAY, AWAY, "id STATE_INVALID", "id STATE_INVALID", "messageId STATE_INVALID", "id STATE_INVALID"];
    let suspend = format!("UPDATE memberships SET status = 'suspended' WHERE id = '{}'", ada.member);
    server.sql(&suspend).await;
    assert_eq!(tries(&bob).await, quiet);
    assert_eq!(open(server, &eve, &ada).await.err(), Some(vec![AWAY.to_owned()]));
    server.sql(&suspend.replace("suspended", "active")).await;
    server.forget();
    acted(server, &ada, "Block", &bob).await;
    acted(server, &ada, "Block", &eve).await;
    assert_eq!(tries(&bob).await, quiet);
    assert_eq!(open(server, &eve, &ada).await.err(), Some(vec![AWAY.to_owned()]));
    assert_eq!(open(server, &bob, &ada).await.expect("as it is").id, talk.id, "one that exists is answered as ever");
    assert_eq!(tries(&ada).await[..2], [OWN, OWN], "whoever blocks does not speak either");
    assert_eq!(open(server, &ada, &eve).await.err(), Some(vec![OWN.to_owned()]));
    let query = "mutation($input: ConversationCreateInput!) { done: conversationCreate(input: $input) { userErrors { field code } } }";
    let input = json!({ "title": "Us", "memberIds": [bob.member, ada.member] });
    let answer = server.graphql(query, json!({ "input": input }), Some(&eve)).await;
    assert_eq!(verdict(&answer), "memberIds.1 STATE_INVALID", "nor by way of a group");
    let group = server.group(&eve, &[&bob]).await;
    let of = json!({ "conversationId": group.id, "memberId": ada.member });
    let answer = server.participant(&eve, "participantAdd", of).await;
    assert_eq!(user_errors(&answer, "participantAdd"), ["memberId STATE_INVALID"]);
    let both = server.group(&ada, &[&bob]).await;
    server.say(&bob, &both, "in groups we meet as before").await;
    // Both block each other, and one takes it back: closed as long as one does.
    acted(server, &bob, "Block", &ada).await;
    acted(server, &ada, "Unblock", &bob).await;
    assert_eq!(tries(&ada).await[0], AWAY);
    assert_eq!(tries(&bob).await[0], OWN);
    acted(server, &bob, "Unblock", &ada).await;
    server.say(&bob, &talk, "here we are again").await;
    assert_eq!(server.numbers(&ada, &talk).await, [1, 2, 3], "nothing of it took a number");
    let sent_before = json!({ "conversationId": talk.id, "body": "mine", "clientId": "k" });
    let sent = server.send(&bob, sent_before.clone()).await;
    acted(server, &ada, "Block", &bob).await;
    let again = server.send(&bob, sent_before).await;
    assert_eq!(data(&again, "messageSend.message"), data(&sent, "messageSend.message"), "what was sent was sent");
}

/// The number of the newest message.
async fn last_seq(server: &Server, talk: &Talk) -> i64 {
    server.count(&format!("SELECT last_seq FROM conversations WHERE id = '{}'", talk.id)).await
}

/// What is sent at once with a block comes before it, or not at all.
#[tokio::test]
async fn nothing_comes_through_behind_a_block() {
    let server = server().await;
    let (ada, bob, eve) = three(server).await;
    let talk = open(server, &bob, &ada).await.expect("a conversation");
    for round in 0..2 {
        // Each says on until it is refused.
        let sending = join_all((0..4).map(async |_| {
            for _ in 0..40 {
                let answer = server.send(&bob, json!({ "conversationId": talk.id, "body": "quick" })).await;
                if data(&answer, "messageSend.message").is_null() {
                    assert_eq!(told(data(&answer, "messageSend")), [AWAY]);
                    break;
                }
            }
        }));
        let blocked = async {
            acted(server, &ada, "Block", &bob).await;
            last_seq(server, &talk).await
        };
        let (_, then) = join(sending, blocked).await;
        assert_eq!(last_seq(server, &talk).await, then, "round {round}: something came behind the block");
        acted(server, &ada, "Unblock", &bob).await;
    }
    // Opened and blocked at once: there is none, or it is closed.
    let (opened, _) = join(open(server, &eve, &ada), act(server, &ada, "Block", eve.member)).await;
    if let Ok(talk) = opened {
        let answer = server.send(&eve, json!({ "conversationId": talk.id, "body": "hello" })).await;
        assert_eq!(told(data(&answer, "messageSend")), [AWAY]);
    }
}

/// What a member is told of how far others have come: of a message, and of the participants.
async fn positions(server: &Server, who: &Founder, talk: &Talk, message: &Value) -> Value {
    let query = "query($talk: ID!, $message: ID!) {
        conversation(id: $talk) { participants { nodes { memberId lastReadSeq lastReadAt lastDeliveredSeq } } }
        node(id: $message) { ... on Message { status deliveredTo { memberId at } readBy { memberId at } } } }";
    let answer = server.graphql(query, json!({ "talk": talk.id, "message": message["id"] }), Some(who)).await;
    assert!(answer.get("errors").is_none(), "{answer:#}");
    answer["data"].clone()
}

/// A member has read up to there, and all who are told of it have been.
async fn reads(server: &Server, who: &Founder, talk: &Talk, up_to: i64) {
    let answer = mark(server, who, "conversationMarkRead", &talk.id, up_to).await;
    assert!(user_errors(&answer, "conversationMarkRead").is_empty());
}

/// Waits until a position has been told.
async fn told_of(server: &Server, who: &Founder, talk: &Talk, up_to: i64) {
    let told = format!(
        "SELECT last_read_seq FROM participants WHERE conversation_id = '{}' AND member_id = '{}'",
        talk.id, who.member
    );
    until("the position is told", async || (server.count(&told).await >= up_to).then_some(())).await;
}

#[tokio::test]
async fn how_far_the_blocker_reads_is_hidden_as_if_they_did_not() {
    let server = server().await;
    let (ada, bob, eve) = three(server).await;
    let direct = open(server, &bob, &ada).await.expect("a conversation");
    let group = server.group(&eve, &[&ada, &bob]).await;
    let mut last = Vec::new();
    for talk in [&direct, &group] {
        server.say(&bob, talk, "one").await;
        last.push(server.say(&bob, talk, "two").await);
        reads(server, &ada, talk, 1).await;
        told_of(server, &ada, talk, 1).await;
    }
    let query = "query($id: ID!) { conversation(id: $id) { cursor } }";
    let behind = server.graphql(query, json!({ "id": group.id }), Some(&bob)).await;
    let mut feed = server.follow(&bob, &group.id, data(&behind, "conversation.cursor").as_str()).await;
    let before = [positions(server, &bob, &direct, &last[0]).await, positions(server, &bob, &group, &last[1]).await];
    acted(server, &ada, "Block", &bob).await;
    let cursor = async || {
        let query = "query($id: ID!) { conversation(id: $id) { cursor version updatedAt } }";
        server.graphql(query, json!({ "id": direct.id }), Some(&bob)).await
    };
    let stood = cursor().await;
    for talk in [&direct, &group] {
        reads(server, &ada, talk, 2).await;
    }
    told_of(server, &ada, &group, 2).await;
    let after = [positions(server, &bob, &direct, &last[0]).await, positions(server, &bob, &group, &last[1]).await];
    assert_eq!(after, before, "as if she had not looked since");
    let read = positions(server, &eve, &group, &last[1]).await;
    assert_eq!(read["node"]["readBy"][0]["memberId"], json!(ada.member), "others are told as ever: {read:#}");
    // Her role changes: that is told to bob, and not how far she is.
    let role = json!({ "conversationId": group.id, "memberId": ada.member, "role": "MODERATOR" });
    server.participant(&eve, "participantUpdate", role).await;
    reads(server, &eve, &group, 2).await;
    let updated = feed.next().await;
    assert_eq!(updated["__typename"], "ParticipantUpdated", "what she read is not told: {updated:#}");
    assert_eq!(updated["participant"]["lastReadSeq"], 1);
    let moved = feed.next().await;
    assert_eq!(moved["receipts"].as_array().map(Vec::len), Some(1), "{moved:#}");
    assert_eq!(moved["receipts"][0]["memberId"], json!(eve.member));
    // What she says tells where she is anyway.
    let said = server.say(&ada, &group, "three").await;
    let shown = positions(server, &bob, &group, &last[1]).await;
    let her = json!({ "memberId": ada.member, "at": said["createdAt"] });
    assert!(shown["node"]["readBy"].as_array().expect("a list").contains(&her), "{shown:#}");
    let nodes = shown["conversation"]["participants"]["nodes"].as_array().expect("nodes");
    let hers = nodes.iter().find(|node| node["memberId"] == json!(ada.member)).expect("ada");
    assert_eq!((&hers["lastReadSeq"], &hers["lastReadAt"]), (&json!(3), &said["createdAt"]));
    assert_eq!(cursor().await, stood, "not even that something happened between the two");
    // Bob is no less told of than before.
    reads(server, &bob, &direct, 2).await;
    acted(server, &ada, "Unblock", &bob).await;
    reads(server, &ada, &direct, 2).await;
    told_of(server, &ada, &direct, 2).await;
    let shown = positions(server, &bob, &direct, &last[0]).await;
    assert_eq!(shown["node"]["status"], "READ", "{shown:#}");
}

#[tokio::test]
async fn a_blocker_who_is_the_only_other_one_moves_no_status_by_reading() {
    let server = server().await;
    let (ada, bob, _) = three(server).await;
    let group = server.group(&bob, &[&ada]).await;
    let said = server.say(&bob, &group, "are you there?").await;
    acted(server, &ada, "Block", &bob).await;
    reads(server, &ada, &group, 1).await;
    told_of(server, &ada, &group, 1).await;
    let shown = positions(server, &bob, &group, &said).await;
    assert_eq!(shown["node"], json!({ "status": "SENT", "deliveredTo": [], "readBy": [] }));
    acted(server, &ada, "Unblock", &bob).await;
    let shown = positions(server, &bob, &group, &said).await;
    assert_eq!(shown["node"]["status"], "READ", "{shown:#}");
}
