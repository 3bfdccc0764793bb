//! Who is in a conversation, and as what.

use super::{Talk, block::open};
use crate::{
    invitations::{accept, invite, link},
    kit::{Founder, PASSWORD, Server, code, data, mail::working, server, user_errors, verdict},
};
use serde_json::{Value, json};
use stoa::{identity::HandOn, messaging::heir::hand_on_all, platform::jobs::Run};
use uuid::Uuid;

/// Who is in it: member and role, in the order of joining.
async fn here(server: &Server, who: &Founder, talk: &Talk) -> Vec<(Value, String)> {
    let query =
        "query($id: ID!) { conversation(id: $id) { participants(first: 100, filter: { leftAt: { isNull: true } },
        orderBy: [{ field: JOINED_AT }]) { nodes { memberId role } } } }";
    let answer = server.graphql(query, json!({ "id": talk.id }), Some(who)).await;
    let nodes = data(&answer, "conversation.participants.nodes").as_array().expect("nodes").clone();
    nodes.iter().map(|node| (node["memberId"].clone(), node["role"].as_str().expect("a role").to_owned())).collect()
}

#[tokio::test]
async fn members_come_and_go_and_come_back() {
    let server = server().await;
    let (ada, stranger) = (server.founder().await, server.founder().await);
    let bob = server.member(&ada, "member", None).await;
    let talk = server.group(&ada, &[]).await;
    let of = |member: Uuid| json!({ "conversationId": talk.id, "memberId": member });
    for (version, role) in [(1, "MEMBER"), (1, "MEMBER")] {
        let added = server.participant(&ada, "participantAdd", of(bob.member)).await;
        assert_eq!(data(&added, "participantAdd.participant")["version"], version, "the second time changes nothing");
        assert_eq!(data(&added, "participantAdd.participant")["role"], role);
    }
    for nobody in [stranger.member, Uuid::now_v7()] {
        let answer = server.participant(&ada, "participantAdd", of(nobody)).await;
        assert_eq!(user_errors(&answer, "participantAdd"), ["memberId NOT_FOUND"]);
        let answer = server.participant(&ada, "participantRemove", of(nobody)).await;
        assert_eq!(user_errors(&answer, "participantRemove"), ["memberId NOT_FOUND"]);
    }
    assert_eq!(code(&server.participant(&bob, "participantRemove", of(ada.member)).await), "FORBIDDEN");
    let removed = server.participant(&ada, "participantRemove", of(bob.member)).await;
    assert!(data(&removed, "participantRemove.participant")["leftAt"].is_string());
    for mutation in ["participantAdd", "participantRemove"] {
        let answer = server.participant(&bob, mutation, of(ada.member)).await;
        assert_eq!(user_errors(&answer, mutation), ["conversationId NOT_FOUND"], "gone for who is gone");
    }
    let back = server.participant(&ada, "participantAdd", of(bob.member)).await;
    assert_eq!(data(&back, "participantAdd.participant")["leftAt"], Value::Null);
    assert_eq!(data(&back, "participantAdd.participant")["version"], 3);
}

#[tokio::test]
async fn owners_and_moderators_add_and_nobody_else() {
    let server = server().await;
    let ada = server.founder().await;
    let (bob, eve) = (server.member(&ada, "member", None).await, server.member(&ada, "member", None).await);
    let talk = server.group(&ada, &[&bob]).await;
    let of = |member: Uuid| json!({ "conversationId": talk.id, "memberId": member });
    for whom in [eve.member, ada.member, Uuid::now_v7()] {
        let refused = server.participant(&bob, "participantAdd", of(whom)).await;
        assert_eq!(code(&refused), "FORBIDDEN");
        assert_eq!(refused["errors"][0]["message"], "Only owners and moderators of a conversation may add members.");
    }
    assert_eq!(here(server, &ada, &talk).await.len(), 2, "nobody came");
    let stranger = server.participant(&eve, "participantAdd", of(eve.member)).await;
    assert_eq!(user_errors(&stranger, "participantAdd"), ["conversationId NOT_FOUND"], "and says nothing to others");
    let role = json!({ "conversationId": talk.id, "memberId": bob.member, "role": "MODERATOR" });
    data(&server.participant(&ada, "participantUpdate", role).await, "participantUpdate.participant");
    let added = server.participant(&bob, "participantAdd", of(eve.member)).await;
    assert_eq!(data(&added, "participantAdd.participant")["role"], "MEMBER");
}

#[tokio::test]
async fn owners_give_roles_and_a_group_keeps_an_owner() {
    let server = server().await;
    let ada = server.founder().await;
    let (bob, eve) = (server.member(&ada, "member", None).await, server.member(&ada, "member", None).await);
    let talk = server.group(&ada, &[&bob, &eve]).await;
    let give = async |by: &Founder, to: &Founder, role: &str| {
        let input = json!({ "conversationId": talk.id, "memberId": to.member, "role": role });
        server.participant(by, "participantUpdate", input).await
    };
    let of = |member: Uuid| json!({ "conversationId": talk.id, "memberId": member });
    assert_eq!(code(&give(&bob, &bob, "OWNER").await), "FORBIDDEN");
    assert_eq!(user_errors(&give(&ada, &ada, "MEMBER").await, "participantUpdate"), ["role STATE_INVALID"]);
    assert_eq!(data(&give(&ada, &bob, "MODERATOR").await, "participantUpdate.participant")["role"], "MODERATOR");
    assert_eq!(code(&give(&bob, &eve, "MODERATOR").await), "FORBIDDEN", "a moderator gives no roles");
    assert_eq!(code(&server.participant(&bob, "participantRemove", of(ada.member)).await), "FORBIDDEN");
    data(&server.participant(&bob, "participantRemove", of(eve.member)).await, "participantRemove.participant");
    data(&give(&ada, &bob, "OWNER").await, "participantUpdate.participant");
    data(&give(&ada, &ada, "MEMBER").await, "participantUpdate.participant");
    let now = here(server, &ada, &talk).await;
    assert_eq!(now.iter().map(|(_, role)| role.as_str()).collect::<Vec<_>>(), ["MEMBER", "OWNER"]);
}

#[tokio::test]
async fn who_may_not_update_conversations_talks_in_them_and_changes_none() {
    let server = server().await;
    let ada = server.founder().await;
    let (guest, bob) = (server.member(&ada, "guest", None).await, server.member(&ada, "member", None).await);
    let talk = server.group(&ada, &[&guest, &bob]).await;
    let of = |who: &Founder, role: Option<&str>| match role {
        Some(role) => json!({ "conversationId": talk.id, "memberId": who.member, "role": role }),
        None => json!({ "conversationId": talk.id, "memberId": who.member }),
    };
    let refused = server.participant(&ada, "participantUpdate", of(&guest, Some("OWNER"))).await;
    assert_eq!(user_errors(&refused, "participantUpdate"), ["role STATE_INVALID"]);
    // Not even as an owner, which they may have been before they were a guest.
    server.sql(&format!("UPDATE participants SET role = 'owner' WHERE member_id = '{}'", guest.member)).await;
    let id = json!({ "id": talk.id });
    for (mutation, kind, input) in [
        ("participantAdd", "ParticipantInput", of(&bob, None)),
        ("participantRemove", "ParticipantInput", of(&bob, None)),
        ("participantUpdate", "ParticipantUpdateInput", of(&bob, Some("MODERATOR"))),
        ("conversationUpdate", "ConversationUpdateInput", json!({ "id": talk.id, "title": "Mine" })),
        ("conversationArchive", "ConversationArchiveInput", id.clone()),
        ("conversationUnarchive", "ConversationArchiveInput", id.clone()),
    ] {
        let query = format!(
            "mutation($input: {kind}!) {{ done: {mutation}(input: $input) {{ userErrors {{ field code }} }} }}"
        );
        let refused = server.graphql(&query, json!({ "input": input }), Some(&guest)).await;
        assert_eq!(verdict(&refused), "FORBIDDEN", "{mutation}");
        let why = refused["errors"][0]["message"].as_str().expect("a message");
        assert!(why.contains("UPDATE on CONVERSATION"), "{mutation}: {why}");
    }
    server.say(&guest, &talk, "I may talk").await;
    let left = server.participant(&guest, "conversationLeave", id).await;
    assert!(data(&left, "conversationLeave.participant")["leftAt"].is_string());
}

#[tokio::test]
async fn when_the_last_owner_leaves_the_oldest_inherits_and_everybody_hears_it() {
    let server = server().await;
    let ada = server.founder().await;
    let bob = server.member(&ada, "member", None).await;
    let eve = server.member(&ada, "member", None).await;
    let talk = server.group(&ada, &[]).await;
    for who in [&bob, &eve] {
        server.participant(&ada, "participantAdd", json!({ "conversationId": talk.id, "memberId": who.member })).await;
    }
    data(
        &server.participant(&ada, "conversationLeave", json!({ "id": talk.id })).await,
        "conversationLeave.participant",
    );
    let mut events = server.follow(&eve, &talk.id, Some(&talk.cursor)).await.take(7).await;
    events.retain(|event| event["__typename"] != "MessageSent");
    let told: Vec<_> = events.iter().map(|event| event["__typename"].as_str().expect("a type")).collect();
    assert_eq!(told, ["ParticipantAdded", "ParticipantAdded", "ParticipantRemoved", "ParticipantUpdated"]);
    assert_eq!(events[3]["participant"]["memberId"], json!(bob.member));
    assert_eq!(events[3]["participant"]["role"], "OWNER");
    assert_eq!(events[3]["participant"]["version"], 2);
    assert_eq!(
        here(server, &eve, &talk).await,
        [(json!(bob.member), "OWNER".to_owned()), (json!(eve.member), "MEMBER".to_owned())]
    );
    let again = server.participant(&ada, "conversationLeave", json!({ "id": talk.id })).await;
    assert_eq!(user_errors(&again, "conversationLeave"), ["id NOT_FOUND"]);
}

#[tokio::test]
async fn who_cannot_sign_in_any_more_inherits_nothing() {
    let server = server().await;
    let ada = server.founder().await;
    let (bob, cy) = (server.member(&ada, "member", None).await, server.member(&ada, "member", None).await);
    let (eve, fay) = (server.member(&ada, "member", None).await, server.member(&ada, "member", None).await);
    let talk = server.group(&ada, &[]).await;
    for who in [&bob, &cy, &eve, &fay] {
        server.participant(&ada, "participantAdd", json!({ "conversationId": talk.id, "memberId": who.member })).await;
    }
    let owner = json!({ "conversationId": talk.id, "memberId": cy.member, "role": "OWNER" });
    server.participant(&ada, "participantUpdate", owner).await;
    for (who, status) in [(&bob, "removed"), (&cy, "suspended")] {
        server.sql(&format!("UPDATE memberships SET status = '{status}' WHERE id = '{}'", who.member)).await;
    }
    let left = server.participant(&ada, "conversationLeave", json!({ "id": talk.id })).await;
    assert_eq!(user_errors(&left, "conversationLeave"), [""; 0]);
    // An owner who may come back stays one, and is not all there is.
    let roles = [(&bob, "MEMBER"), (&cy, "OWNER"), (&eve, "OWNER"), (&fay, "MEMBER")];
    let roles = roles.map(|(who, role)| (json!(who.member), role.to_owned()));
    assert_eq!(here(server, &eve, &talk).await, roles);
}

async fn keep_out(server: &Server, by: &Founder, mutation: &str, whom: &Founder) {
    let query =
        format!("mutation($id: ID!) {{ done: {mutation}(input: {{ id: $id }}) {{ userErrors {{ field code }} }} }}");
    let answer = server.graphql(&query, json!({ "id": whom.member }), Some(by)).await;
    assert_eq!(verdict(&answer), "done", "{mutation}: {answer:#}");
}

#[tokio::test]
async fn when_the_only_owner_is_kept_out_somebody_who_can_sign_in_owns_the_group() {
    let server = working(|_| ()).await;
    let ada = server.founder().await;
    for mutation in ["memberSuspend", "memberRemove"] {
        let (bob, cy) = (server.member(&ada, "member", None).await, server.member(&ada, "member", None).await);
        let (guest, eve) = (server.member(&ada, "guest", None).await, server.member(&ada, "member", None).await);
        let talk = server.group(&bob, &[]).await;
        for who in [&guest, &cy, &eve] {
            let input = json!({ "conversationId": talk.id, "memberId": who.member });
            server.participant(&bob, "participantAdd", input).await;
        }
        let mut feed = server.follow(&eve, &talk.id, Some(&talk.cursor)).await;
        keep_out(&server, &ada, mutation, &bob).await;
        let mut told = feed.next().await;
        while told["__typename"] != "ParticipantUpdated" {
            told = feed.next().await;
        }
        let heir = (&told["participant"]["memberId"], &told["participant"]["role"]);
        assert_eq!(heir, (&json!(cy.member), &json!("OWNER")));
        let roles = [(&bob, "OWNER"), (&guest, "MEMBER"), (&cy, "OWNER"), (&eve, "MEMBER")];
        let roles = roles.map(|(who, role)| (json!(who.member), role.to_owned()));
        assert_eq!(here(&server, &eve, &talk).await, roles, "who may change it before who may not; {mutation}");
        let give = |role: &str| json!({ "conversationId": talk.id, "memberId": cy.member, "role": role });
        let last = server.participant(&cy, "participantUpdate", give("MEMBER")).await;
        assert_eq!(user_errors(&last, "participantUpdate"), ["role STATE_INVALID"], "the other owner is not there");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_group_that_nobody_could_look_after_is_found() {
    let server = server().await;
    let ada = server.founder().await;
    let (bob, cy) = (server.member(&ada, "member", None).await, server.member(&ada, "member", None).await);
    let talk = server.group(&bob, &[]).await;
    let add = json!({ "conversationId": talk.id, "memberId": cy.member });
    server.participant(&bob, "participantAdd", add).await;
    let cy_is = async || {
        let role = format!(
            "SELECT role FROM participants WHERE conversation_id = '{}' AND member_id = '{}'",
            talk.id, cy.member
        );
        server.text(&role).await
    };
    let set = async |who: &Founder, status: &str| {
        server.sql(&format!("UPDATE memberships SET status = '{status}' WHERE id = '{}'", who.member)).await;
        hand_on_all(&server.app, ada.organization).await.expect("handed on");
    };
    set(&cy, "suspended").await;
    set(&bob, "removed").await;
    assert_eq!(cy_is().await, "member", "neither can look after it");
    set(&cy, "active").await;
    assert_eq!(cy_is().await, "owner");
    let told = format!("SELECT count(*) FROM events WHERE stream_id = '{}'", talk.id);
    let count = server.count(&told).await;
    set(&bob, "active").await;
    set(&cy, "suspended").await;
    assert_eq!((server.count(&told).await, cy_is().await), (count, "owner".to_owned()), "who comes back owns it still");
}

/// Does what the jobs do that changes of members have left; there is one.
async fn handed_on(server: &Server, of: &Founder) {
    let organization = of.organization;
    let left = format!(
        "WITH left_over AS (
           DELETE FROM jobs WHERE kind = 'hand_on' AND payload->>'organization' = '{organization}' RETURNING id
         ) SELECT count(*) FROM left_over"
    );
    assert_ne!(server.count(&left).await, 0);
    HandOn { organization }.run(&server.app).await.expect("handed on");
}

async fn give_role(server: &Server, by: &Founder, whom: &Founder, role: &str) {
    let query = "mutation($id: ID!, $role: Role!) { done: memberRoleChange(input: { id: $id, role: $role }) {
        userErrors { field code } } }";
    let answer = server.graphql(query, json!({ "id": whom.member, "role": role }), Some(by)).await;
    assert_eq!(verdict(&answer), "done", "{answer:#}");
    handed_on(server, by).await;
}

#[tokio::test]
async fn an_owner_who_becomes_a_guest_owns_no_group_that_members_are_in() {
    let server = server().await;
    let ada = server.founder().await;
    let (bob, cy) = (server.member(&ada, "member", None).await, server.member(&ada, "member", None).await);
    let guest = server.member(&ada, "guest", None).await;
    let (talk, alone) = (server.group(&bob, &[]).await, server.group(&bob, &[]).await);
    for (talk, who) in [(&talk, &guest), (&talk, &cy), (&alone, &guest)] {
        let input = json!({ "conversationId": talk.id, "memberId": who.member });
        server.participant(&bob, "participantAdd", input).await;
    }
    let direct = open(server, &bob, &cy).await.expect("a conversation");
    let mut feed = server.follow(&cy, &talk.id, Some(&talk.cursor)).await;
    give_role(server, &ada, &bob, "GUEST").await;
    let mut told = Vec::new();
    while told.len() < 2 {
        let event = feed.next().await;
        if event["__typename"] == "ParticipantUpdated" {
            told.push((event["participant"]["memberId"].clone(), event["participant"]["role"].clone()));
        }
    }
    assert_eq!(told, [(json!(cy.member), json!("OWNER")), (json!(bob.member), json!("MEMBER"))]);
    let is = |who: &Founder, role: &str| (json!(who.member), role.to_owned());
    let among_members = [is(&bob, "MEMBER"), is(&guest, "MEMBER"), is(&cy, "OWNER")];
    assert_eq!(here(server, &cy, &talk).await, among_members);
    assert_eq!(here(server, &guest, &alone).await, [is(&bob, "OWNER"), is(&guest, "MEMBER")], "there is nobody else");
    let both = here(server, &cy, &direct).await;
    assert!(both.iter().all(|(_, role)| role == "OWNER"), "a direct one belongs to both: {both:?}");
    let owner = json!({ "conversationId": talk.id, "memberId": bob.member, "role": "OWNER" });
    let refused = server.participant(&cy, "participantUpdate", owner).await;
    assert_eq!(user_errors(&refused, "participantUpdate"), ["role STATE_INVALID"]);
    // Who is no guest any more can look after it.
    give_role(server, &ada, &guest, "MEMBER").await;
    assert_eq!(here(server, &guest, &alone).await, [is(&bob, "MEMBER"), is(&guest, "OWNER")]);
    assert_eq!(here(server, &cy, &talk).await, among_members);
}

#[tokio::test]
async fn who_comes_back_owns_what_nobody_could_look_after() {
    let server = server().await;
    let ada = server.founder().await;
    let (bob, cy) = (server.member(&ada, "member", None).await, server.member(&ada, "member", None).await);
    let talk = server.group(&bob, &[&cy]).await;
    for who in [&cy, &bob] {
        keep_out(server, &ada, "memberRemove", who).await;
    }
    handed_on(server, &ada).await;
    let role =
        format!("SELECT role FROM participants WHERE conversation_id = '{}' AND member_id = '{}'", talk.id, cy.member);
    assert_eq!(server.text(&role).await, "member", "neither can look after it");
    invite(server, &ada, &cy.email, "MEMBER").await;
    let input = json!({ "token": link(server, &cy.email).await, "password": PASSWORD });
    assert_eq!(user_errors(&accept(server, None, input).await, "done"), [""; 0]);
    handed_on(server, &ada).await;
    assert_eq!(server.text(&role).await, "owner");
}

/// Both are owners and remove each other at the same moment: one of them is first, and the other is gone by then.
#[tokio::test]
async fn two_who_remove_each_other_do_not_both_succeed() {
    let server = server().await;
    let ada = server.founder().await;
    let bob = server.member(&ada, "member", None).await;
    for _ in 0..12 {
        let talk = server.group(&ada, &[&bob]).await;
        let input = |member: Uuid| json!({ "conversationId": talk.id, "memberId": member });
        let owner = json!({ "conversationId": talk.id, "memberId": bob.member, "role": "OWNER" });
        data(&server.participant(&ada, "participantUpdate", owner).await, "participantUpdate.participant");
        let (one, other) = tokio::join!(
            server.participant(&ada, "participantRemove", input(bob.member)),
            server.participant(&bob, "participantRemove", input(ada.member)),
        );
        let done =
            [one, other].iter().filter(|answer| answer["data"]["participantRemove"]["participant"].is_object()).count();
        assert_eq!(done, 1);
        let left =
            format!("SELECT count(*) FROM participants WHERE conversation_id = '{}' AND left_at IS NULL", talk.id);
        assert_eq!(server.count(&left).await, 1);
    }
}

#[tokio::test]
async fn a_direct_conversation_keeps_its_two() {
    let server = server().await;
    let ada = server.founder().await;
    let (bob, eve) = (server.member(&ada, "member", None).await, server.member(&ada, "member", None).await);
    let query =
        "mutation($input: ConversationCreateInput!) { conversationCreate(input: $input) { conversation { id } } }";
    let input = json!({ "input": { "kind": "DIRECT", "memberIds": [bob.member] } });
    let answer = server.graphql(query, input, Some(&ada)).await;
    let id = data(&answer, "conversationCreate.conversation.id");
    let of = |member: Uuid| json!({ "conversationId": id, "memberId": member });
    let role = json!({ "conversationId": id, "memberId": bob.member, "role": "MEMBER" });
    for (mutation, field, input) in [
        ("participantAdd", "conversationId", of(eve.member)),
        ("participantRemove", "conversationId", of(bob.member)),
        ("participantUpdate", "conversationId", role),
        ("conversationLeave", "id", json!({ "id": id })),
    ] {
        let answer = server.participant(&ada, mutation, input).await;
        assert_eq!(user_errors(&answer, mutation), [format!("{field} UNSUPPORTED")], "{mutation}");
    }
}
