//! Contact lists: each is its owner's alone.

use super::{
    block::{AWAY, open},
    live::Feed,
};
use crate::kit::{Founder, Server, code, data, server, verdict};
use futures_util::future::join;
use serde_json::{Value, json};
use uuid::Uuid;

/// The answer to a mutation of the contact list, called `done`.
pub async fn act(server: &Server, by: &Founder, what: &str, whom: Uuid) -> Value {
    let query = format!(
        "mutation($input: UserContactInput!) {{ done: userContact{what}(input: $input) {{
            userContact {{ id memberId status blockedAt nickname favourite version member {{ id }} }}
            userErrors {{ field code message }} }} }}"
    );
    server.graphql(&query, json!({ "input": { "memberId": whom } }), Some(by)).await
}

/// As `act`, which must go well; how they stand then.
pub async fn acted(server: &Server, by: &Founder, what: &str, whom: &Founder) -> Value {
    let answer = act(server, by, what, whom.member).await;
    assert_eq!(verdict(&answer), "done", "{what}: {answer:#}");
    data(&answer, "done.userContact")["status"].clone()
}

/// Changes what somebody has set for a contact.
pub async fn set(server: &Server, by: &Founder, input: Value) -> Value {
    let query = "mutation($input: UserContactUpdateInput!) { done: userContactUpdate(input: $input) {
        userContact { nickname favourite version } userErrors { field code } } }";
    server.graphql(query, json!({ "input": input }), Some(by)).await
}

/// A member's list: whom, and how they stand; the last who came first.
pub async fn list(server: &Server, who: &Founder) -> Vec<(Value, Value)> {
    let query =
        "{ userContacts(orderBy: [{ field: CREATED_AT, direction: DESC }]) { nodes { memberId status } totalCount } }";
    let answer = server.graphql(query, json!({}), Some(who)).await;
    let nodes = data(&answer, "userContacts.nodes").as_array().expect("nodes");
    assert_eq!(data(&answer, "userContacts.totalCount"), nodes.len());
    nodes.iter().map(|node| (node["memberId"].clone(), node["status"].clone())).collect()
}

pub fn stands(whom: &Founder, status: &str) -> (Value, Value) {
    (json!(whom.member), json!(status))
}

/// Three members, of whom the first rules the organization.
pub async fn three(server: &Server) -> (Founder, Founder, Founder) {
    let ada = server.founder().await;
    let (bob, eve) = (server.member(&ada, "member", None).await, server.member(&ada, "member", None).await);
    (ada, bob, eve)
}

/// The inbox of somebody, once it has begun.
pub async fn inbox(server: &Server, who: &Founder) -> Feed {
    let talk = server.group(who, &[]).await;
    let query = "subscription($positions: [InboxPosition!]!) { inboxEvents(positions: $positions) { __typename
        ... on UserContactChanged { memberId userContact { memberId status nickname favourite } }
        ... on ConversationEntered { conversation { id } } } }";
    let positions = json!({ "positions": [] });
    let mut feed = Feed::open(&server.ws_url(), who, query, positions).await.expect("a server");
    loop {
        if feed.next().await["conversation"]["id"] == json!(talk.id) {
            return feed;
        }
    }
}

#[tokio::test]
async fn who_asks_and_is_accepted_is_in_both_lists_and_each_hears_of_the_own() {
    let server = server().await;
    let (ada, bob, eve) = three(server).await;
    let (mut to_ada, mut to_bob) = (inbox(server, &ada).await, inbox(server, &bob).await);
    assert_eq!(acted(server, &ada, "Request", &bob).await, "REQUESTED");
    assert_eq!(acted(server, &ada, "Request", &bob).await, "REQUESTED", "again changes nothing");
    assert_eq!(list(server, &bob).await, [stands(&ada, "RECEIVED")]);
    assert_eq!(acted(server, &bob, "Accept", &ada).await, "ACCEPTED");
    assert_eq!(acted(server, &bob, "Accept", &ada).await, "ACCEPTED", "again changes nothing");
    assert_eq!(list(server, &ada).await, [stands(&bob, "ACCEPTED")]);
    assert!(list(server, &eve).await.is_empty());
    let input = json!({ "memberId": ada.member, "nickname": "  Boss ", "favourite": true });
    let answer = set(server, &bob, input.clone()).await;
    assert_eq!(*data(&answer, "done.userContact"), json!({ "nickname": "Boss", "favourite": true, "version": 3 }));
    set(server, &bob, input).await;
    assert_eq!(acted(server, &bob, "Remove", &ada).await, Value::Null);
    assert_eq!(acted(server, &bob, "Remove", &ada).await, Value::Null, "again changes nothing");
    assert!(list(server, &ada).await.is_empty() && list(server, &bob).await.is_empty());
    let event = |whom: &Founder, contact: Value| json!({ "__typename": "UserContactChanged", "memberId": whom.member, "userContact": contact });
    let contact = |whom: &Founder, status: &str, nickname: Value, favourite: bool| {
        let contact =
            json!({ "memberId": whom.member, "status": status, "nickname": nickname, "favourite": favourite });
        event(whom, contact)
    };
    // What is told is how it stands when it is: a later state may come early, and then again.
    let last = event(&bob, Value::Null);
    let mut heard = vec![to_ada.next().await];
    while heard.last() != Some(&last) {
        heard.push(to_ada.next().await);
    }
    assert!(heard.len() <= 3, "nothing of what bob set for himself: {heard:?}");
    let heard = to_bob.take(4).await;
    assert_eq!(heard[3], event(&ada, Value::Null));
    let known = [contact(&ada, "RECEIVED", Value::Null, false), contact(&ada, "ACCEPTED", Value::Null, false)];
    let boss = contact(&ada, "ACCEPTED", json!("Boss"), true);
    assert!(heard.iter().all(|told| known.contains(told) || *told == boss || *told == heard[3]), "{heard:?}");
    let told = format!(
        "SELECT count(*) FROM events WHERE organization_id = '{}' AND kind = 'user_contact_changed'
         AND stream_id = ANY(ARRAY['{}', '{}']::uuid[])",
        ada.organization,
        stoa::events::stream_of_member(ada.member),
        stoa::events::stream_of_member(bob.member)
    );
    assert_eq!(server.count(&told).await, 7, "of changes of nothing nobody is told");
}

#[tokio::test]
async fn who_declines_tells_nobody_and_may_ask_later() {
    let server = server().await;
    let (ada, bob, _) = three(server).await;
    acted(server, &ada, "Request", &bob).await;
    assert_eq!(acted(server, &bob, "Decline", &ada).await, Value::Null);
    assert_eq!(list(server, &ada).await, [stands(&bob, "REQUESTED")], "as if nobody had looked");
    assert_eq!(acted(server, &ada, "Request", &bob).await, "REQUESTED");
    assert!(list(server, &bob).await.is_empty(), "asking again does not bring it back");
    assert_eq!(verdict(&act(server, &bob, "Decline", ada.member).await), "memberId NOT_FOUND");
    assert_eq!(acted(server, &bob, "Request", &ada).await, "ACCEPTED");
    assert_eq!(list(server, &ada).await, [stands(&bob, "ACCEPTED")]);
    acted(server, &ada, "Remove", &bob).await;
    assert!(list(server, &bob).await.is_empty());
}

#[tokio::test]
async fn nobody_answers_their_own_request_nor_one_twice() {
    let server = server().await;
    let (ada, bob, _) = three(server).await;
    acted(server, &ada, "Request", &bob).await;
    for what in ["Accept", "Decline"] {
        assert_eq!(verdict(&act(server, &ada, what, bob.member).await), "memberId NOT_FOUND", "{what}");
    }
    assert_eq!(list(server, &ada).await, [stands(&bob, "REQUESTED")]);
    assert_eq!(list(server, &bob).await, [stands(&ada, "RECEIVED")], "it waits for bob");
    acted(server, &bob, "Accept", &ada).await;
    for (one, other) in [(&bob, &ada), (&ada, &bob)] {
        assert_eq!(verdict(&act(server, one, "Decline", other.member).await), "memberId NOT_FOUND");
        assert_eq!(list(server, one).await, [stands(other, "ACCEPTED")]);
    }
}

#[tokio::test]
async fn who_takes_out_somebody_who_has_asked_tells_them_nothing() {
    let server = server().await;
    let (ada, bob, _) = three(server).await;
    acted(server, &ada, "Request", &bob).await;
    let told = format!(
        "SELECT count(*) FROM events WHERE stream_id = '{}' AND kind = 'user_contact_changed'",
        stoa::events::stream_of_member(ada.member)
    );
    let before = server.count(&told).await;
    assert_eq!(acted(server, &bob, "Remove", &ada).await, Value::Null);
    assert!(list(server, &bob).await.is_empty());
    assert_eq!(list(server, &ada).await, [stands(&bob, "REQUESTED")], "as if nobody had looked");
    assert_eq!(server.count(&told).await, before);
    assert_eq!(acted(server, &bob, "Request", &ada).await, "ACCEPTED", "as whom one has declined");
}

#[tokio::test]
async fn who_has_taken_a_request_back_asks_again_a_day_later() {
    let server = server().await;
    let (ada, bob, _) = three(server).await;
    acted(server, &ada, "Request", &bob).await;
    acted(server, &ada, "Remove", &bob).await;
    let asks = async |hours: u32| {
        let ago = format!(
            "UPDATE user_contacts SET requested_at = now() - interval '{hours} hours' WHERE owner_id = '{}'",
            ada.member
        );
        server.sql(&ago).await;
        verdict(&act(server, &ada, "Request", bob.member).await)
    };
    assert_eq!(asks(23).await, "memberId LIMIT_EXCEEDED");
    assert!(list(server, &bob).await.is_empty());
    assert_eq!(asks(25).await, "done");
    assert_eq!(list(server, &bob).await, [stands(&ada, "RECEIVED")]);
}

#[tokio::test]
async fn what_happens_at_once_happens_one_after_the_other() {
    let server = server().await;
    let (ada, bob, _) = three(server).await;
    for _ in 0..4 {
        let (one, other) =
            join(act(server, &ada, "Request", bob.member), act(server, &bob, "Request", ada.member)).await;
        assert_eq!((verdict(&one), verdict(&other)), ("done".into(), "done".into()));
        assert_eq!(list(server, &ada).await, [stands(&bob, "ACCEPTED")]);
        assert_eq!(list(server, &bob).await, [stands(&ada, "ACCEPTED")]);
        acted(server, &ada, "Remove", &bob).await;
        server
            .sql(&format!(
                "UPDATE user_contacts SET requested_at = NULL WHERE organization_id = '{}'",
                ada.organization
            ))
            .await;
        // Taken back and accepted at once: either there was nothing to accept, or what was accepted was then removed.
        acted(server, &ada, "Request", &bob).await;
        let (_, accepted) =
            join(act(server, &ada, "Remove", bob.member), act(server, &bob, "Accept", ada.member)).await;
        assert!(["done", "memberId NOT_FOUND"].contains(&&*verdict(&accepted)), "{accepted}");
        assert!(list(server, &ada).await.is_empty() && list(server, &bob).await.is_empty());
        server
            .sql(&format!(
                "UPDATE user_contacts SET requested_at = NULL WHERE organization_id = '{}'",
                ada.organization
            ))
            .await;
        // Blocked while asking: the one asks, the other blocks, and each sees their own.
        join(act(server, &ada, "Request", bob.member), act(server, &bob, "Block", ada.member)).await;
        assert_eq!(list(server, &ada).await, [stands(&bob, "REQUESTED")]);
        assert_eq!(list(server, &bob).await, [stands(&ada, "BLOCKED")]);
        acted(server, &bob, "Unblock", &ada).await;
        acted(server, &ada, "Remove", &bob).await;
        server
            .sql(&format!(
                "UPDATE user_contacts SET requested_at = NULL WHERE organization_id = '{}'",
                ada.organization
            ))
            .await;
    }
}

#[tokio::test]
async fn contacts_are_found_by_what_one_may_see_of_them() {
    let server = server().await;
    let (ada, bob, eve) = three(server).await;
    let guest = server.member(&ada, "guest", None).await;
    for (who, name) in [(&bob, "Zoë Quick"), (&eve, "Eve 100%")] {
        server.sql(&format!("UPDATE memberships SET name = '{name}' WHERE id = '{}'", who.member)).await;
        acted(server, &ada, "Request", who).await;
    }
    set(server, &ada, json!({ "memberId": eve.member, "nickname": "Sunshine", "favourite": true })).await;
    let found = async |who: &Founder, filter: Value| {
        let query = "query($filter: UserContactFilter) { userContacts(filter: $filter) { nodes { memberId } } }";
        let answer = server.graphql(query, json!({ "filter": filter }), Some(who)).await;
        let nodes = data(&answer, "userContacts.nodes").as_array().expect("nodes").clone();
        nodes.into_iter().map(|node| node["memberId"].clone()).collect::<Vec<_>>()
    };
    let mail = bob.email.split('@').next().expect("a name");
    for (filter, whom) in [
        (json!({ "search": "zoe" }), vec![&bob]),
        (json!({ "search": "quick ZO" }), vec![&bob]),
        (json!({ "search": mail }), vec![&bob]),
        (json!({ "search": "sunsh" }), vec![&eve]),
        (json!({ "search": "sunsh eve" }), vec![&eve]),
        (json!({ "search": "100%" }), vec![&eve]),
        (json!({ "search": "sunsh zoe" }), vec![]),
        (json!({ "search": "%" }), vec![&eve]),
        (json!({ "favourite": { "eq": true } }), vec![&eve]),
        (json!({ "nickname": { "isNull": true } }), vec![&bob]),
        (json!({ "status": { "eq": "ACCEPTED" } }), vec![]),
        (json!({ "memberId": { "eq": bob.member } }), vec![&bob]),
        (json!({ "member": { "name": { "startsWith": "eve" } } }), vec![&eve]),
        (json!({ "search": "" }), vec![&eve, &bob]),
    ] {
        let whom: Vec<Value> = whom.iter().map(|who| json!(who.member)).collect();
        assert_eq!(found(&ada, filter.clone()).await, whom, "{filter}");
    }
    let query = "{ userContacts(filter: { search: \"a b c d e f g h i\" }) { nodes { id } } }";
    assert_eq!(code(&server.graphql(query, json!({}), Some(&ada)).await), "BAD_USER_INPUT");
    // A guest sees those whom it talks with, and finds a contact by nothing else of them.
    let talk = server.group(&ada, &[&guest, &bob]).await;
    acted(server, &guest, "Request", &bob).await;
    assert_eq!(verdict(&act(server, &guest, "Request", eve.member).await), "memberId NOT_FOUND");
    assert_eq!(found(&guest, json!({ "search": "zoe" })).await, [json!(bob.member)]);
    server.participant(&guest, "conversationLeave", json!({ "id": talk.id })).await;
    assert!(found(&guest, json!({ "search": "zoe" })).await.is_empty());
    assert!(found(&guest, json!({ "search": mail })).await.is_empty());
    set(server, &guest, json!({ "memberId": bob.member, "nickname": "Zoe" })).await;
    assert_eq!(found(&guest, json!({ "search": "zoe" })).await, [json!(bob.member)]);
    let one = "query($id: ID!) { node(id: $id) { id } userContact(id: $id) { id } }";
    let id =
        server.text(&format!("SELECT id::text FROM user_contacts WHERE owner_id = '{}' LIMIT 1", ada.member)).await;
    let answer = server.graphql(one, json!({ "id": id }), Some(&bob)).await;
    assert_eq!(answer["data"], json!({ "node": null, "userContact": null }), "a list is its owner's alone");
    assert_eq!(data(&server.graphql(one, json!({ "id": id }), Some(&ada)).await, "node.id"), &json!(id));
}

#[tokio::test]
async fn what_cannot_be_is_refused() {
    let server = server().await;
    let (ada, bob, _) = three(server).await;
    let stranger = server.founder().await;
    for what in ["Request", "Accept", "Decline", "Remove", "Block", "Unblock"] {
        assert_eq!(verdict(&act(server, &ada, what, ada.member).await), "memberId INVALID", "{what}");
        for nobody in [stranger.member, Uuid::now_v7()] {
            assert_eq!(verdict(&act(server, &ada, what, nobody).await), "memberId NOT_FOUND", "{what}");
        }
    }
    assert_eq!(verdict(&act(server, &ada, "Accept", bob.member).await), "memberId NOT_FOUND");
    let update = async |input: Value| verdict(&set(server, &ada, input).await);
    assert_eq!(update(json!({ "memberId": bob.member, "favourite": true })).await, "memberId NOT_FOUND");
    acted(server, &ada, "Request", &bob).await;
    let wrong = json!({ "memberId": bob.member, "nickname": "x".repeat(101), "favourite": null });
    assert_eq!(update(wrong).await, "nickname TOO_LONG, favourite REQUIRED");
    assert_eq!(update(json!({ "memberId": bob.member, "nickname": "nul \u{0}" })).await, "nickname INVALID");
    let late = set(server, &ada, json!({ "memberId": bob.member, "expectedVersion": 7, "favourite": true })).await;
    assert_eq!(verdict(&late), "expectedVersion CONFLICT");
    let unchanged = json!({ "nickname": null, "favourite": false, "version": 1 });
    assert_eq!(*data(&late, "done.userContact"), unchanged, "and shows how it stands");
    let longest = json!({ "memberId": bob.member, "expectedVersion": 1, "nickname": "é".repeat(100) });
    assert_eq!(update(longest).await, "done");
    assert_eq!(update(json!({ "memberId": bob.member, "nickname": " " })).await, "done");
    let query = "{ userContacts { nodes { nickname version } } }";
    let answer = server.graphql(query, json!({}), Some(&ada)).await;
    assert_eq!(*data(&answer, "userContacts.nodes"), json!([{ "nickname": null, "version": 3 }]));
}

/// Members of a list, made at once.
async fn crowd(server: &Server, of: &Founder, count: usize, relation: &str, requested_at: &str) {
    server
        .sql(&format!(
            "WITH people AS (
               INSERT INTO users (id, email, full_name, password_hash)
               SELECT gen_random_uuid(), gen_random_uuid() || '@example.com', 'One', 'x' FROM generate_series(1, {count})
               RETURNING id, email
             ), here AS (
               INSERT INTO memberships (organization_id, id, user_id, name, email, role, joined_at)
               SELECT '{}', gen_random_uuid(), id, 'One', email, 'member', now() FROM people RETURNING organization_id, id
             )
             INSERT INTO user_contacts (organization_id, id, owner_id, member_id, relation, requested_at)
             SELECT organization_id, gen_random_uuid(), '{}', id, '{relation}', {requested_at} FROM here",
            of.organization, of.member
        ))
        .await;
}

#[tokio::test]
async fn lists_and_requests_have_limits() {
    let server = server().await;
    for (count, relation, requested_at) in [
        (49, "none", "now() - interval '23 hours'"),
        (199, "requested", "now() - interval '25 hours'"),
        (999, "accepted", "NULL"),
    ] {
        let (ada, bob, eve) = three(server).await;
        crowd(server, &ada, count, relation, requested_at).await;
        assert_eq!(acted(server, &ada, "Request", &bob).await, "REQUESTED");
        let answer = act(server, &ada, "Request", eve.member).await;
        assert_eq!(verdict(&answer), "memberId LIMIT_EXCEEDED", "{relation}");
        assert_eq!(acted(server, &eve, "Request", &ada).await, "REQUESTED", "who is full can still be asked");
        let accepted = verdict(&act(server, &ada, "Accept", eve.member).await);
        assert_eq!(accepted == "done", relation != "accepted", "{relation}: {accepted}");
        assert_eq!(acted(server, &ada, "Block", &eve).await, "BLOCKED", "and can always block");
    }
}

#[tokio::test]
async fn those_who_ask_take_no_room() {
    let server = server().await;
    let (ada, bob, eve) = three(server).await;
    crowd(server, &ada, 1000, "received", "NULL").await;
    assert_eq!(acted(server, &ada, "Request", &bob).await, "REQUESTED");
    acted(server, &eve, "Request", &ada).await;
    assert_eq!(acted(server, &ada, "Accept", &eve).await, "ACCEPTED");
}

#[tokio::test]
async fn a_contact_that_was_removed_comes_back_as_a_new_one() {
    let server = server().await;
    let (ada, bob, _) = three(server).await;
    acted(server, &ada, "Request", &bob).await;
    acted(server, &bob, "Accept", &ada).await;
    let input = json!({ "memberId": bob.member, "nickname": "Bobby", "favourite": true });
    assert_eq!(verdict(&set(server, &ada, input).await), "done");
    acted(server, &ada, "Remove", &bob).await;
    acted(server, &bob, "Request", &ada).await;
    let answer = act(server, &ada, "Accept", bob.member).await;
    let contact = data(&answer, "done.userContact");
    assert_eq!(
        (&contact["status"], &contact["nickname"], &contact["favourite"]),
        (&json!("ACCEPTED"), &Value::Null, &json!(false))
    );
}

/// Who is suspended or removed stays in the lists of others, as does what there is between them when they come back.
#[tokio::test]
async fn who_is_gone_stays_in_the_list_and_blocked() {
    let server = server().await;
    let (ada, bob, eve) = three(server).await;
    acted(server, &bob, "Request", &ada).await;
    acted(server, &ada, "Accept", &bob).await;
    acted(server, &ada, "Block", &eve).await;
    let status = async |who: &Founder, word: &str| {
        server.sql(&format!("UPDATE memberships SET status = '{word}' WHERE id = '{}'", who.member)).await;
    };
    for word in ["suspended", "removed"] {
        status(&bob, word).await;
        status(&eve, word).await;
        let query = "{ userContacts(filter: { status: { eq: ACCEPTED } }) { nodes { member { id status } } } }";
        let answer = server.graphql(query, json!({}), Some(&ada)).await;
        let member = json!([{ "member": { "id": bob.member, "status": word.to_uppercase() } }]);
        assert_eq!(*data(&answer, "userContacts.nodes"), member);
        assert_eq!(open(server, &ada, &bob).await.err(), Some(vec![AWAY.to_owned()]), "{word}");
        assert_eq!(list(server, &ada).await, [stands(&eve, "BLOCKED"), stands(&bob, "ACCEPTED")]);
    }
    let late = server.member(&ada, "member", None).await;
    assert_eq!(verdict(&act(server, &late, "Request", bob.member).await), "memberId NOT_FOUND", "removed is removed");
    acted(server, &ada, "Remove", &bob).await;
    acted(server, &ada, "Unblock", &eve).await;
    acted(server, &ada, "Request", &late).await;
    status(&late, "suspended").await;
    status(&eve, "active").await;
    server.forget();
    assert_eq!(acted(server, &eve, "Request", &late).await, "REQUESTED", "who is suspended may come back");
}
