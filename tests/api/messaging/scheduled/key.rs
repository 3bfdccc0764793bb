//! What programs schedule: sent with what their API key may by then, as long as whoever wrote it last was a program.

use super::{acted_on, ahead, bodies, due, schedule, seen};
use crate::{
    api_keys::{change, make},
    kit::{Founder, Server, mail::working, user_errors},
    messaging::text,
};
use serde_json::{Value, json};
use stoa::{messaging::scheduled::SendScheduled, platform::jobs::Run};

/// An API key of somebody: its id, and they by it.
async fn robot(server: &Server, of: &Founder) -> (String, Founder) {
    let (id, token) = make(server, of, &["CONVERSATION READ OWN", "CONVERSATION UPDATE OWN"]).await;
    (id, Founder { token, organization: of.organization, member: of.member, email: of.email.clone() })
}

async fn changed(server: &Server, by: &Founder, field: &str, input: Value) {
    assert_eq!(user_errors(&change(server, by, field, input).await, "done"), [""; 0], "{field}");
}

/// What becomes of one when its time comes: how it stands, why, and that.
async fn outcome(server: &Server, of: &Founder, made: &Value) -> Value {
    due(server, &made["id"]).await;
    let id = text(made, "id").parse().expect("an id");
    SendScheduled { organization: of.organization, id }.run(&server.app).await.expect("settled");
    let seen = seen(server, of, &made["id"]).await;
    json!([seen["status"], seen["failureCode"]])
}

#[tokio::test]
async fn a_key_sends_what_it_may_by_then_and_nothing_once_it_has_ended() {
    let server = working(|config| config.jobs.workers = 0).await;
    let ada = server.founder().await;
    let talk = server.group(&ada, &[]).await;
    let (sent, ended) = (json!(["SENT", null]), json!(["FAILED", "UNAUTHENTICATED"]));

    let (id, by) = robot(&server, &ada).await;
    let made = schedule(&server, &by, &talk, "by a key").await;
    assert_eq!(outcome(&server, &ada, &made).await, sent);
    let of_key = format!("SELECT count(*) FROM events WHERE kind = 'message_sent' AND api_key_id = '{id}'");
    assert_eq!(server.count(&of_key).await, 1, "the log says that a program sent it");

    let made = schedule(&server, &by, &talk, "revoked").await;
    let taken_over = schedule(&server, &by, &talk, "the key's word").await;
    let own = schedule(&server, &ada, &talk, "one's own").await;
    let meddled_with = schedule(&server, &ada, &talk, "one's own word").await;
    acted_on(&server, &ada, "scheduledMessageUpdate", json!({ "id": taken_over["id"], "body": "a person's word" }))
        .await;
    acted_on(&server, &by, "scheduledMessageUpdate", json!({ "id": meddled_with["id"], "scheduledFor": ahead(60) }))
        .await;
    changed(&server, &ada, "apiKeyRevoke", json!({ "id": id })).await;
    assert_eq!(outcome(&server, &ada, &made).await, ended);
    let why = seen(&server, &ada, &made["id"]).await;
    assert!(text(&why, "failureMessage").contains("API key"), "{why}");
    assert_eq!(outcome(&server, &ada, &taken_over).await, sent);
    assert_eq!(outcome(&server, &ada, &own).await, sent);
    assert_eq!(outcome(&server, &ada, &meddled_with).await, ended);

    for end in ["UPDATE api_keys SET expires_at = now() WHERE id =", "DELETE FROM api_keys WHERE id ="] {
        let (id, by) = robot(&server, &ada).await;
        let made = schedule(&server, &by, &talk, end).await;
        server.sql(&format!("{end} '{id}'")).await;
        assert_eq!(outcome(&server, &ada, &made).await, ended, "{end}");
    }

    let (id, by) = robot(&server, &ada).await;
    let made = schedule(&server, &by, &talk, "narrowed").await;
    let reads = json!([{ "resource": "CONVERSATION", "action": "READ", "scope": "OWN" }]);
    changed(&server, &ada, "apiKeyUpdate", json!({ "id": id, "permissions": reads })).await;
    assert_eq!(outcome(&server, &ada, &made).await, json!(["FAILED", "FORBIDDEN"]));

    assert_eq!(bodies(&server, &ada, &talk).await, ["by a key", "a person's word", "one's own"]);
}
