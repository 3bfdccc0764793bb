//! What members set for themselves.

use crate::kit::{Founder, Server, data, server, user_errors};
use serde_json::{Value, json};
use uuid::Uuid;

pub async fn set(server: &Server, by: &Founder, input: Value) -> Value {
    let query = "mutation($input: ConversationSettingsUpdateInput!) { conversationSettingsUpdate(input: $input) {
        conversation { settings { pinned mutedUntil notificationLevel draft } } userErrors { field code } } }";
    server.graphql(query, json!({ "input": input }), Some(by)).await
}

#[tokio::test]
async fn what_one_sets_is_ones_own() {
    let server = server().await;
    let ada = server.founder().await;
    let bob = server.member(&ada, "member", None).await;
    let (talk, other) = (server.group(&ada, &[&bob]).await, server.group(&ada, &[&bob]).await);
    let untouched = json!({ "pinned": false, "mutedUntil": null, "notificationLevel": "ALL", "draft": null });
    let input = json!({ "conversationId": talk.id, "pinned": true, "mutedUntil": "2999-01-01T00:00:00.000Z",
        "notificationLevel": "MENTIONS", "draft": "a secret draft" });
    let answer = set(server, &bob, input).await;
    let own = data(&answer, "conversationSettingsUpdate.conversation.settings").clone();
    assert_eq!(
        own,
        json!({ "pinned": true, "mutedUntil": "2999-01-01T00:00:00.000Z",
        "notificationLevel": "MENTIONS", "draft": "a secret draft" })
    );
    let query = "query($pinned: Boolean, $muted: Boolean) {
        conversations(filter: { own: { pinned: $pinned, muted: $muted } }) { nodes { id settings { draft } } }
        conversation(id: \"TALK\") { settings { pinned mutedUntil notificationLevel draft } } }"
        .replace("TALK", &talk.id);
    let ask = async |who: &Founder, variables: Value| server.graphql(&query, variables, Some(who)).await;
    for variables in [json!({ "pinned": true }), json!({ "muted": true })] {
        let answer = ask(&bob, variables.clone()).await;
        let nodes = json!([{ "id": talk.id, "settings": { "draft": "a secret draft" } }]);
        assert_eq!(*data(&answer, "conversations.nodes"), nodes);
        let answer = ask(&ada, variables).await;
        assert_eq!(*data(&answer, "conversations.nodes"), json!([]));
        assert_eq!(*data(&answer, "conversation.settings"), untouched, "of somebody else one sees nothing");
    }
    let answer = ask(&bob, json!({ "pinned": false, "muted": false })).await;
    assert_eq!(data(&answer, "conversations.nodes.0")["id"], json!(other.id));
    let changed = set(server, &bob, json!({ "conversationId": talk.id, "draft": null, "mutedUntil": null })).await;
    let own = data(&changed, "conversationSettingsUpdate.conversation.settings");
    assert_eq!((&own["pinned"], &own["draft"], &own["mutedUntil"]), (&json!(true), &Value::Null, &Value::Null));
    let shared = format!(
        "SELECT count(*) FROM events WHERE organization_id = '{}' AND (payload::text LIKE '%secret draft%'
         OR kind = 'settings_changed' AND stream_id = '{}')",
        ada.organization, talk.id
    );
    assert_eq!(server.count(&shared).await, 0, "no event has a draft, and none of these is everybody's");
    let told = format!("SELECT count(*) FROM events WHERE kind = 'settings_changed' AND actor_id = '{}'", bob.member);
    assert_eq!(server.count(&told).await, 2);
    set(server, &bob, json!({ "conversationId": talk.id, "pinned": true })).await;
    assert_eq!(server.count(&told).await, 2, "a change of nothing is none");
}

#[tokio::test]
async fn settings_that_cannot_be_are_refused() {
    let server = server().await;
    let (ada, stranger) = (server.founder().await, server.founder().await);
    let bob = server.member(&ada, "member", None).await;
    let talk = server.group(&ada, &[&bob]).await;
    let wrong = |answer: Value| user_errors(&answer, "conversationSettingsUpdate");
    let input =
        json!({ "conversationId": talk.id, "pinned": null, "notificationLevel": null, "draft": "x".repeat(40_001) });
    let told = ["pinned REQUIRED", "notificationLevel REQUIRED", "draft TOO_LONG"];
    assert_eq!(wrong(set(server, &ada, input).await), told);
    let input = json!({ "conversationId": talk.id, "draft": "nul \u{0}" });
    assert_eq!(wrong(set(server, &ada, input).await), ["draft INVALID"]);
    server.participant(&bob, "conversationLeave", json!({ "id": talk.id })).await;
    for (who, id) in [(&stranger, talk.id.clone()), (&bob, talk.id.clone()), (&ada, Uuid::now_v7().to_string())] {
        let answer = set(server, who, json!({ "conversationId": id, "pinned": true })).await;
        assert_eq!(wrong(answer), ["conversationId NOT_FOUND"]);
    }
}

#[tokio::test]
async fn a_mute_ends_and_a_draft_keeps_its_lines() {
    let server = server().await;
    let ada = server.founder().await;
    let talk = server.group(&ada, &[]).await;
    let (past, longest) = ("2020-01-01T00:00:00.000Z", format!("one\n\n\ttwo\n{}", "é".repeat(39_990)));
    let input = json!({ "conversationId": talk.id, "mutedUntil": past, "draft": longest });
    let answer = set(server, &ada, input).await;
    let own = data(&answer, "conversationSettingsUpdate.conversation.settings");
    assert_eq!((&own["mutedUntil"], &own["draft"]), (&json!(past), &json!(longest)));
    for (muted, found) in [(true, json!([])), (false, json!([{ "id": talk.id }]))] {
        let query = "query($muted: Boolean) { conversations(filter: { own: { muted: $muted } }) { nodes { id } } }";
        let answer = server.graphql(query, json!({ "muted": muted }), Some(&ada)).await;
        assert_eq!(*data(&answer, "conversations.nodes"), found, "{muted}");
    }
    let blank = set(server, &ada, json!({ "conversationId": talk.id, "draft": " \n\t" })).await;
    let own = data(&blank, "conversationSettingsUpdate.conversation.settings");
    assert_eq!(own["draft"], Value::Null, "nothing but spaces is no draft");
}

/// The stream of a member cannot be taken over by a conversation of the same id.
#[tokio::test]
async fn a_conversation_takes_no_id_of_another_stream() {
    let server = server().await;
    let ada = server.founder().await;
    let id = stoa::events::stream_of_member(ada.member);
    let query = "mutation($id: ID) { conversationCreate(input: { id: $id }) { userErrors { field code } } }";
    let answer = server.graphql(query, json!({ "id": id }), Some(&ada)).await;
    assert_eq!(user_errors(&answer, "conversationCreate"), ["id INVALID"]);
}
