//! Writing, changing and taking back.

use super::{act, acted_on, ahead, bodies, due, schedule, seen};
use crate::{
    files::uploaded,
    kit::{Founder, Server, data, mail::working, server, verdict},
    messaging::{Talk, block::open, text, user_contact::acted},
};
use futures_util::future::join_all;
use serde_json::{Value, json};
use stoa::{messaging::scheduled::SendScheduled, platform::jobs::Run};
use uuid::Uuid;

#[tokio::test]
async fn what_cannot_be_scheduled_is_told_and_nothing_is_stored() {
    let server = server().await;
    let (ada, stranger) = (server.founder().await, server.founder().await);
    let (bob, eve) = (server.member(&ada, "member", None).await, server.member(&ada, "member", None).await);
    let (talk, put_away) = (server.group(&ada, &[&bob]).await, server.group(&ada, &[]).await);
    server.archive(&put_away).await;
    let direct = open(server, &ada, &bob).await.expect("a conversation");
    acted(server, &bob, "Block", &ada).await;
    let reply = {
        let root = server.say(&ada, &talk, "root").await;
        server.reply(&ada, &talk, &root, "reply").await
    };
    let theirs = uploaded(server, &bob.token, "b.txt", b"Bob's", "text/plain").await.0;
    let nobody = json!(Uuid::now_v7());
    let long = "é".repeat(40_001);
    for (by, change, expected) in [
        (&eve, json!({}), "conversationId NOT_FOUND"),
        (&stranger, json!({}), "conversationId NOT_FOUND"),
        (&ada, json!({ "conversationId": nobody }), "conversationId NOT_FOUND"),
        (&ada, json!({ "conversationId": put_away.id }), "conversationId STATE_INVALID"),
        (&ada, json!({ "conversationId": direct.id }), "conversationId STATE_INVALID"),
        (&ada, json!({ "scheduledFor": ahead(-60) }), "scheduledFor OUT_OF_RANGE"),
        (&ada, json!({ "scheduledFor": ahead(3) }), "scheduledFor OUT_OF_RANGE"),
        (&ada, json!({ "scheduledFor": ahead(367 * 86_400) }), "scheduledFor OUT_OF_RANGE"),
        (&ada, json!({ "scheduledFor": "9999-12-31T23:59:59.999Z" }), "scheduledFor OUT_OF_RANGE"),
        (&ada, json!({ "body": "", "scheduledFor": ahead(-1) }), "body REQUIRED, scheduledFor OUT_OF_RANGE"),
        (&ada, json!({ "body": " \n" }), "body REQUIRED"),
        (&ada, json!({ "body": null }), "body REQUIRED"),
        (&ada, json!({ "body": long }), "body TOO_LONG"),
        (&ada, json!({ "body": "nul \u{0}" }), "body INVALID"),
        (&ada, json!({ "body": format!("<@{}>", eve.member) }), "body NOT_FOUND"),
        (&ada, json!({ "fileIds": [theirs] }), "fileIds.0 NOT_FOUND"),
        (&ada, json!({ "fileIds": [nobody] }), "fileIds.0 NOT_FOUND"),
        (&ada, json!({ "fileIds": vec![&nobody; 11] }), "fileIds TOO_LONG"),
        (&ada, json!({ "threadRootId": nobody }), "threadRootId NOT_FOUND"),
        (&ada, json!({ "threadRootId": reply["id"] }), "threadRootId INVALID"),
        (&ada, json!({ "clientId": "" }), "clientId INVALID"),
    ] {
        let mut input = json!({ "conversationId": talk.id, "body": "later", "scheduledFor": ahead(3600) });
        input.as_object_mut().expect("an object").extend(change.as_object().expect("an object").clone());
        let answer = act(server, by, "messageSchedule", input).await;
        assert_eq!(verdict(&answer), expected, "{change:.200}");
        assert_eq!(*data(&answer, "done.scheduledMessage"), Value::Null);
    }
    let stored = format!(
        "SELECT (SELECT count(*) FROM scheduled_messages WHERE organization_id = '{0}')
           + (SELECT count(*) FROM jobs WHERE organization_id = '{0}' AND kind = 'send_scheduled_message')",
        ada.organization
    );
    assert_eq!(server.count(&stored).await, 0);
    // As many as one may have, and one that is more.
    server
        .sql(&format!(
            "INSERT INTO scheduled_messages (organization_id, id, conversation_id, body, scheduled_for, created_by)
             SELECT '{}', gen_random_uuid(), '{}', 'x', now() + interval '1 day', '{}' FROM generate_series(1, 499)",
            ada.organization, talk.id, ada.member
        ))
        .await;
    let input =
        |number: usize| json!({ "conversationId": talk.id, "body": format!("{number}"), "scheduledFor": ahead(3600) });
    let answers = join_all((0..4).map(|number| act(server, &ada, "messageSchedule", input(number)))).await;
    let mut verdicts: Vec<String> = answers.iter().map(verdict).collect();
    verdicts.sort();
    assert_eq!(verdicts, [" LIMIT_EXCEEDED", " LIMIT_EXCEEDED", " LIMIT_EXCEEDED", "done"]);
    schedule(server, &bob, &talk, "not his").await;
}

#[tokio::test]
async fn what_does_not_wait_any_more_is_not_counted() {
    let server = server().await;
    let ada = server.founder().await;
    let talk = server.group(&ada, &[]).await;
    let message = server.say(&ada, &talk, "one of many").await;
    server
        .sql(&format!(
            "INSERT INTO scheduled_messages (organization_id, id, conversation_id, status, body, message_id, failure_code,
               failure_message, scheduled_for, created_by)
             SELECT '{}', gen_random_uuid(), '{}', status, body, message, failure, failure, now(), '{}'
             FROM generate_series(1, 500), (VALUES ('sent', NULL, '{}'::uuid, NULL), ('failed', 'x', NULL, 'NOT_FOUND'),
               ('cancelled', NULL, NULL, NULL)) AS past (status, body, message, failure)",
            ada.organization,
            talk.id,
            ada.member,
            text(&message, "id")
        ))
        .await;
    schedule(server, &ada, &talk, "one more").await;
}

#[tokio::test]
async fn the_same_key_is_the_same_scheduled_message() {
    let server = server().await;
    let ada = server.founder().await;
    let bob = server.member(&ada, "member", None).await;
    let (talk, other) = (server.group(&ada, &[&bob]).await, server.group(&ada, &[]).await);
    let input =
        |talk: &Talk| json!({ "conversationId": talk.id, "body": "once", "scheduledFor": ahead(60), "clientId": "k" });
    let answers = join_all((0..8).map(|_| act(server, &ada, "messageSchedule", input(&talk)))).await;
    let ids: Vec<&Value> = answers.iter().map(|answer| &data(answer, "done.scheduledMessage")["id"]).collect();
    assert!(ids.iter().all(|id| id.is_string() && *id == ids[0]), "{ids:?}");
    assert_eq!(verdict(&act(server, &ada, "messageSchedule", input(&other)).await), "clientId NOT_UNIQUE");
    // Keys are the author's own.
    let theirs = acted_on(server, &bob, "messageSchedule", input(&talk)).await;
    assert!(theirs["id"].is_string() && theirs["id"] != *ids[0], "{theirs}");
    assert_eq!(seen(server, &bob, &theirs["id"]).await, theirs);
    let jobs = format!("SELECT count(*) FROM jobs WHERE payload->>'id' = {}", ids[0].to_string().replace('"', "'"));
    assert_eq!(server.count(&jobs).await, 1);
}

#[tokio::test]
async fn somebody_elses_does_not_exist() {
    let server = server().await;
    let (ada, stranger) = (server.founder().await, server.founder().await);
    let bob = server.member(&ada, "admin", None).await;
    let talk = server.group(&ada, &[&bob]).await;
    let made = schedule(server, &ada, &talk, "mine").await;
    for who in [&bob, &stranger] {
        assert_eq!(seen(server, who, &made["id"]).await, Value::Null);
        for mutation in ["scheduledMessageUpdate", "scheduledMessageCancel", "scheduledMessageSendNow"] {
            let answer = act(server, who, mutation, json!({ "id": made["id"], "expectedVersion": 7 })).await;
            assert_eq!(verdict(&answer), "id NOT_FOUND", "{mutation}");
            assert_eq!(*data(&answer, "done.scheduledMessage"), Value::Null);
        }
    }
    assert_eq!(seen(server, &ada, &made["id"]).await, made);
    let theirs = schedule(server, &bob, &talk, "his").await;
    let other = server.group(&ada, &[]).await;
    let later = schedule(server, &ada, &other, "elsewhere").await;
    let query =
        "query($talk: ID!) { all: scheduledMessages(orderBy: [{ field: SCHEDULED_FOR }]) { nodes { id } totalCount }
        here: scheduledMessages(filter: { conversationId: { eq: $talk }, status: { eq: PENDING } }) { nodes { id } } }";
    let answer = server.graphql(query, json!({ "talk": talk.id }), Some(&ada)).await;
    assert_eq!(
        *data(&answer, "all"),
        json!({ "nodes": [{ "id": made["id"] }, { "id": later["id"] }], "totalCount": 2 })
    );
    assert_eq!(*data(&answer, "here.nodes"), json!([{ "id": made["id"] }]));
    assert_eq!(seen(server, &bob, &theirs["id"]).await, theirs);
}

/// How many jobs wait for a message, and that the run of one that is left does nothing.
async fn jobs(server: &Server, of: &Founder, id: &Value) -> i64 {
    let id: Uuid = id.as_str().and_then(|id| id.parse().ok()).expect("an id");
    SendScheduled { organization: of.organization, id }.run(&server.app).await.expect("nothing to send");
    let waiting = format!(
        "SELECT count(*) FROM jobs j JOIN scheduled_messages s ON s.id = (j.payload->>'id')::uuid AND j.run_at = s.scheduled_for
         WHERE j.status = 'waiting' AND s.id = '{id}'"
    );
    let all = format!("SELECT count(*) FROM jobs WHERE status = 'waiting' AND payload->>'id' = '{id}'");
    assert_eq!(server.count(&all).await, server.count(&waiting).await, "a job waits for another time");
    server.count(&waiting).await
}

#[tokio::test]
async fn one_that_was_changed_meanwhile_is_neither_cancelled_nor_sent_unseen() {
    let server = server().await;
    let ada = server.founder().await;
    let talk = server.group(&ada, &[]).await;
    let made = schedule(server, &ada, &talk, "first").await;
    let change = json!({ "id": made["id"], "body": "second" });
    let changed = acted_on(server, &ada, "scheduledMessageUpdate", change).await;
    for mutation in ["scheduledMessageCancel", "scheduledMessageSendNow"] {
        for version in [1, 3] {
            let input = json!({ "id": made["id"], "expectedVersion": version });
            let answer = act(server, &ada, mutation, input).await;
            assert_eq!(verdict(&answer), "expectedVersion CONFLICT", "{mutation}");
            assert_eq!(*data(&answer, "done.scheduledMessage"), changed, "{mutation} shows it as it stands");
        }
    }
    assert_eq!(seen(server, &ada, &made["id"]).await, changed);
    assert!(bodies(server, &ada, &talk).await.is_empty());
    acted_on(server, &ada, "scheduledMessageSendNow", json!({ "id": made["id"], "expectedVersion": 2 })).await;
    assert_eq!(bodies(server, &ada, &talk).await, ["second"]);
}

#[tokio::test]
async fn one_that_is_brought_forward_has_its_job_then() {
    let server = server().await;
    let ada = server.founder().await;
    let talk = server.group(&ada, &[]).await;
    let made = schedule(server, &ada, &talk, "sooner").await;
    let input = json!({ "id": made["id"], "scheduledFor": ahead(60) });
    let sooner = acted_on(server, &ada, "scheduledMessageUpdate", input).await;
    assert!(text(&sooner, "scheduledFor") < text(&made, "scheduledFor"), "{sooner}");
    assert_eq!(jobs(server, &ada, &made["id"]).await, 1, "in place of the one before");
}

#[tokio::test]
async fn one_that_was_changed_is_sent_as_it_became_and_a_cancelled_one_is_not() {
    let server = working(|config| config.jobs.workers = 0).await;
    let ada = server.founder().await;
    let talk = server.group(&ada, &[]).await;
    let file = uploaded(&server, &ada.token, "plan.txt", b"the plan", "text/plain").await.0;
    let made = schedule(&server, &ada, &talk, "first").await;
    let id = &made["id"];
    assert_eq!(jobs(&server, &ada, id).await, 1);
    let update = async |input: Value| {
        let mut whole = json!({ "id": id });
        whole.as_object_mut().expect("an object").extend(input.as_object().expect("an object").clone());
        act(&server, &ada, "scheduledMessageUpdate", whole).await
    };
    for (input, expected) in [
        (json!({ "expectedVersion": 2, "body": "x" }), "expectedVersion CONFLICT"),
        (json!({ "body": null }), "body REQUIRED"),
        (json!({ "body": "" }), "body REQUIRED"),
        (json!({ "scheduledFor": null }), "scheduledFor REQUIRED"),
        (json!({ "scheduledFor": ahead(1) }), "scheduledFor OUT_OF_RANGE"),
        (json!({ "fileIds": [Uuid::now_v7()] }), "fileIds.0 NOT_FOUND"),
        (json!({ "body": format!("<@{}>", Uuid::now_v7()) }), "body NOT_FOUND"),
    ] {
        assert_eq!(verdict(&update(input.clone()).await), expected, "{input}");
    }
    let unchanged = update(json!({ "expectedVersion": 1, "body": " first " })).await;
    assert_eq!(*data(&unchanged, "done.scheduledMessage"), made);
    let put_off = update(json!({ "expectedVersion": 1, "body": "second", "scheduledFor": ahead(7200) })).await;
    assert_eq!(data(&put_off, "done.scheduledMessage")["version"], 2);
    assert_eq!(jobs(&server, &ada, id).await, 1, "in place of the one before");
    let files = update(json!({ "body": null, "fileIds": [file] })).await;
    let files = data(&files, "done.scheduledMessage");
    assert_eq!((&files["body"], &files["fileIds"], &files["version"]), (&json!(""), &json!([file]), &json!(3)));
    assert!(bodies(&server, &ada, &talk).await.is_empty());
    // A job of before that comes now finds that it is not due.
    due(&server, id).await;
    server.sql("UPDATE scheduled_messages SET scheduled_for = now() + interval '1 hour'").await;
    let uuid: Uuid = text(&made, "id").parse().expect("an id");
    let run_now = async || SendScheduled { organization: ada.organization, id: uuid }.run(&server.app).await;
    run_now().await.expect("nothing to send");
    assert!(bodies(&server, &ada, &talk).await.is_empty());
    let cancelled = acted_on(&server, &ada, "scheduledMessageCancel", json!({ "id": id })).await;
    assert_eq!(
        (&cancelled["status"], &cancelled["body"], &cancelled["fileIds"]),
        (&json!("CANCELLED"), &Value::Null, &json!([]))
    );
    assert_eq!(
        acted_on(&server, &ada, "scheduledMessageCancel", json!({ "id": id })).await,
        cancelled,
        "again changes nothing"
    );
    due(&server, id).await;
    assert_eq!(jobs(&server, &ada, id).await, 0);
    for mutation in ["scheduledMessageUpdate", "scheduledMessageSendNow"] {
        let answer = act(&server, &ada, mutation, json!({ "id": id })).await;
        assert_eq!(verdict(&answer), "id STATE_INVALID", "{mutation}");
    }
    assert!(bodies(&server, &ada, &talk).await.is_empty());
    let told = format!("SELECT count(*) FROM events WHERE entity = 'ScheduledMessage' AND entity_id = '{uuid}'");
    assert_eq!(server.count(&told).await, 4, "one event a change");
}
