//! Sending, whoever does it and whatever has happened meanwhile.

use super::{act, acted_on, ahead, bodies, come_at, due, inbox, schedule, seen, settled, told};
use crate::{
    files::{run, uploaded},
    kit::{
        Founder, data,
        mail::{until, working},
        verdict,
    },
    messaging::{Talk, block::open, text, user_contact::acted},
};
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::{join, join_all};
use serde_json::{Value, json};
use stoa::{
    messaging::scheduled::{FailOverdue, SendScheduled},
    platform::jobs::{Failure, Run},
};
use uuid::Uuid;

#[tokio::test]
async fn it_goes_out_at_its_time_and_nobody_but_its_author_knows_before() {
    let server = working(|config| config.jobs.poll_ms = 500).await;
    let ada = server.founder().await;
    let bob = server.member(&ada, "admin", None).await;
    let talk = server.group(&ada, &[&bob]).await;
    let (mut to_ada, mut to_bob) = (inbox(&server, &ada).await, inbox(&server, &bob).await);
    let root = server.say(&bob, &talk, "When?").await;
    let file = uploaded(&server, &ada.token, "plan.txt", b"the plan", "text/plain").await.0;
    let input = json!({ "conversationId": talk.id, "body": format!("Soon, <@{}>", bob.member), "fileIds": [file],
        "threadRootId": root["id"], "scheduledFor": ahead(6), "clientId": "mine" });
    let made = acted_on(&server, &ada, "messageSchedule", input).await;
    let id = &made["id"];
    let whole = json!({ "id": id, "conversationId": talk.id, "threadRootId": root["id"], "clientId": "mine",
        "body": format!("Soon, <@{}>", bob.member), "fileIds": [file], "files": [{ "name": "plan.txt" }],
        "scheduledFor": made["scheduledFor"], "status": "PENDING", "messageId": null, "message": null, "failureCode": null,
        "failureMessage": null, "version": 1 });
    assert_eq!(made, whole);
    assert_eq!(told(&mut to_ada, "PENDING").await, whole);
    assert_eq!(seen(&server, &ada, id).await, whole);
    assert_eq!(seen(&server, &bob, id).await, Value::Null);
    assert_eq!(bodies(&server, &bob, &talk).await, ["When?"]);
    // As soon as may be is five seconds ahead: that is not waited for, but brought nearer, with its job.
    let time = Utc::now() + TimeDelta::milliseconds(700);
    come_at(&server, id, time).await;
    let sent = told(&mut to_ada, "SENT").await;
    let message = json!({ "seq": 2, "body": format!("Soon, <@{}>", bob.member), "kind": "TEXT", "senderId": ada.member,
        "clientId": format!("scheduled:{}", text(&made, "id")) });
    assert_eq!((&sent["message"], &sent["body"], &sent["fileIds"]), (&message, &Value::Null, &json!([])));
    assert_eq!((&sent["version"], &sent["files"]), (&json!(2), &json!([])));
    assert_eq!(seen(&server, &ada, id).await, sent);
    let query =
        "query($id: ID!) { node(id: $id) { ... on Message { createdAt threadSeq attachments { nodes { fileId } }
        mentionsMe followedByMe } } }";
    let answer = server.graphql(query, json!({ "id": sent["messageId"] }), Some(&bob)).await;
    let there = data(&answer, "node");
    let at: DateTime<Utc> = text(there, "createdAt").parse().expect("a time");
    let late = at.signed_duration_since(time);
    assert!(late > TimeDelta::milliseconds(-1) && late < TimeDelta::seconds(2), "{late}");
    assert_eq!(there["attachments"]["nodes"], json!([{ "fileId": file }]));
    assert_eq!((&there["threadSeq"], &there["mentionsMe"]), (&json!(1), &json!(true)));
    let heard = to_bob.take(2).await;
    assert!(heard.iter().all(|event| event["__typename"] == "ConversationHappened"), "two messages: {heard:?}");
    let audit = "{ auditEvents(filter: { entity: { eq: \"ScheduledMessage\" } }) { totalCount } }";
    assert_eq!(data(&server.graphql(audit, json!({}), Some(&ada)).await, "auditEvents.totalCount"), 0);
    let words = "SELECT count(*) FROM events WHERE entity = 'ScheduledMessage' AND payload::text LIKE '%Soon%'";
    assert_eq!(server.count(words).await, 0);
}

#[tokio::test]
async fn however_many_send_it_at_once_it_is_sent_once() {
    let server = working(|config| config.jobs.workers = 0).await;
    let ada = server.founder().await;
    let talk = server.group(&ada, &[]).await;
    let expected: Vec<String> = (0..6).map(|round| format!("round {round}")).collect();
    for body in &expected {
        let made = schedule(&server, &ada, &talk, body).await;
        let id: Uuid = text(&made, "id").parse().expect("an id");
        let by_hand = join_all((0..3).map(|_| act(&server, &ada, "scheduledMessageSendNow", json!({ "id": id }))));
        due(&server, &made["id"]).await;
        let by_job =
            join_all((0..3).map(async |_| SendScheduled { organization: ada.organization, id }.run(&server.app).await));
        let (by_hand, by_job) = join(by_hand, by_job).await;
        // Whoever finds somebody else at it comes again.
        assert!(by_job.iter().all(|ended| matches!(ended, Ok(()) | Err(Failure::Later(_)))), "{by_job:?}");
        for answer in by_hand {
            assert_eq!(verdict(&answer), "done", "{answer:#}");
            assert_eq!(data(&answer, "done.scheduledMessage")["status"], "SENT");
        }
        let told = format!("SELECT count(*) FROM events WHERE entity = 'ScheduledMessage' AND entity_id = '{id}'");
        assert_eq!(server.count(&told).await, 2);
        for mutation in ["scheduledMessageUpdate", "scheduledMessageCancel"] {
            let answer = act(&server, &ada, mutation, json!({ "id": id, "expectedVersion": 2 })).await;
            assert_eq!(verdict(&answer), "id STATE_INVALID", "{mutation}");
        }
    }
    assert_eq!(bodies(&server, &ada, &talk).await, expected);
}

#[tokio::test]
async fn whoever_dies_while_sending_neither_sends_it_twice_nor_loses_it() {
    let server = working(|config| config.jobs.workers = 0).await;
    let ada = server.founder().await;
    let talk = server.group(&ada, &[]).await;
    let run =
        async |id: Uuid| SendScheduled { organization: ada.organization, id }.run(&server.app).await.expect("settled");
    for (body, stored) in [("before it is stored", false), ("behind it", true)] {
        let made = schedule(&server, &ada, &talk, body).await;
        let id: Uuid = text(&made, "id").parse().expect("an id");
        // Somebody is at it: nobody else is.
        server.sql(&format!("UPDATE scheduled_messages SET sending_since = now() WHERE id = '{id}'")).await;
        let busy = SendScheduled { organization: ada.organization, id }.run(&server.app).await;
        assert!(matches!(busy, Err(Failure::Later(_))), "{busy:?}");
        // As the row and the conversation are when a node is gone.
        server
            .sql(&format!(
                "UPDATE scheduled_messages SET sending_since = now() - interval '31 seconds' WHERE id = '{id}'"
            ))
            .await;
        if stored {
            let input = json!({ "conversationId": talk.id, "body": body, "clientId": format!("scheduled:{id}") });
            data(&server.send(&ada, input).await, "messageSend.message.id");
        }
        for mutation in ["scheduledMessageUpdate", "scheduledMessageCancel"] {
            assert_eq!(
                verdict(&act(&server, &ada, mutation, json!({ "id": id })).await),
                "id STATE_INVALID",
                "{mutation}"
            );
        }
        run(id).await;
        run(id).await;
        assert_eq!(seen(&server, &ada, &made["id"]).await["message"]["body"], body);
    }
    assert_eq!(bodies(&server, &ada, &talk).await, ["before it is stored", "behind it"]);
    // And whose job is gone for good.
    let (lost, sent) = (schedule(&server, &ada, &talk, "lost").await, schedule(&server, &ada, &talk, "sent").await);
    let waits = schedule(&server, &ada, &talk, "waits").await;
    let input =
        json!({ "conversationId": talk.id, "body": "sent", "clientId": format!("scheduled:{}", text(&sent, "id")) });
    data(&server.send(&ada, input).await, "messageSend.message.id");
    for one in [&lost, &sent] {
        server
            .sql(&format!(
                "UPDATE jobs SET status = 'dead', finished_at = now() WHERE payload->>'id' = '{}'",
                text(one, "id")
            ))
            .await;
    }
    FailOverdue {}.run(&server.app).await.expect("done");
    assert_eq!(seen(&server, &ada, &lost["id"]).await["status"], "PENDING", "its time has not come");
    server
        .sql("UPDATE scheduled_messages SET scheduled_for = now() - interval '6 minutes' WHERE status = 'pending'")
        .await;
    FailOverdue {}.run(&server.app).await.expect("done");
    let failed = seen(&server, &ada, &lost["id"]).await;
    assert_eq!((&failed["status"], &failed["failureCode"]), (&json!("FAILED"), &json!("SERVICE_UNAVAILABLE")));
    assert_eq!(seen(&server, &ada, &sent["id"]).await["message"]["body"], "sent");
    assert_eq!(seen(&server, &ada, &waits["id"]).await["status"], "PENDING", "its job comes");
}

#[tokio::test]
async fn what_can_no_longer_be_sent_fails_with_the_reason_and_its_author_hears_of_it() {
    let server = working(|_| ()).await;
    let ada = server.founder().await;
    let (bob, eve) = (server.member(&ada, "member", None).await, server.member(&ada, "member", None).await);
    let talk = server.group(&ada, &[&bob, &eve]).await;
    let mut to_bob = inbox(&server, &bob).await;
    let direct = open(&server, &bob, &eve).await.expect("a conversation");
    let file = uploaded(&server, &bob.token, "b.txt", b"Bob's", "text/plain").await.0;
    let root = server.say(&bob, &talk, "root").await;
    let schedule = async |talk: &Talk, change: Value| {
        let mut input = json!({ "conversationId": talk.id, "body": "late", "scheduledFor": ahead(3600) });
        input.as_object_mut().expect("an object").extend(change.as_object().expect("an object").clone());
        acted_on(&server, &bob, "messageSchedule", input).await
    };
    let remove = |who: &Founder| json!({ "conversationId": talk.id, "memberId": who.member });
    let (of_file, of_root, of_eve, of_block, of_archive, of_bob) = (
        schedule(&talk, json!({ "fileIds": [file] })).await,
        schedule(&talk, json!({ "threadRootId": root["id"] })).await,
        schedule(&talk, json!({ "body": format!("<@{}>", eve.member) })).await,
        schedule(&direct, json!({})).await,
        schedule(&talk, json!({})).await,
        schedule(&talk, json!({})).await,
    );
    let archive = async |mutation: &str| {
        let query = format!(
            "mutation($id: ID!) {{ done: {mutation}(input: {{ id: $id }}) {{ userErrors {{ field code }} }} }}"
        );
        assert_eq!(verdict(&server.graphql(&query, json!({ "id": talk.id }), Some(&ada)).await), "done");
    };
    let mut failed = async |made: &Value, code: &str, words: &str| {
        // At once it is refused as well, and stays.
        let now = act(&server, &bob, "scheduledMessageSendNow", json!({ "id": made["id"] })).await;
        assert_eq!(verdict(&now), format!("id {code}"), "{words}");
        let still = seen(&server, &bob, &made["id"]).await;
        assert_eq!((&still["status"], &still["version"]), (&json!("PENDING"), &json!(1)), "{words}");
        due(&server, &made["id"]).await;
        let failed = settled(&server, &bob, &made["id"]).await;
        let why = json!([failed["status"], failed["failureCode"], failed["body"], failed["messageId"]]);
        assert_eq!(why, json!(["FAILED", code, made["body"], null]), "{failed}");
        assert!(text(&failed, "failureMessage").contains(words), "{failed}");
        assert_eq!(told(&mut to_bob, "FAILED").await, failed);
    };
    assert_eq!(verdict(&run(&server, &bob.token, "fileDelete", &file).await), "done");
    failed(&of_file, "NOT_FOUND", "no such file").await;
    server.change(&bob, "messageDelete", json!({ "id": root["id"] })).await;
    let refused = act(&server, &bob, "scheduledMessageUpdate", json!({ "id": of_root["id"], "body": "x" })).await;
    assert_eq!(verdict(&refused), "id STATE_INVALID");
    failed(&of_root, "STATE_INVALID", "was deleted").await;
    server.participant(&ada, "participantRemove", remove(&eve)).await;
    failed(&of_eve, "NOT_FOUND", "can be mentioned").await;
    acted(&server, &eve, "Block", &bob).await;
    failed(&of_block, "STATE_INVALID", "cannot be written to").await;
    archive("conversationArchive").await;
    failed(&of_archive, "STATE_INVALID", "is archived").await;
    let refused = act(&server, &bob, "scheduledMessageUpdate", json!({ "id": of_bob["id"], "body": "x" })).await;
    assert_eq!(verdict(&refused), "id STATE_INVALID");
    archive("conversationUnarchive").await;
    server.participant(&ada, "participantRemove", remove(&bob)).await;
    let refused = act(&server, &bob, "scheduledMessageUpdate", json!({ "id": of_bob["id"], "body": "x" })).await;
    assert_eq!(verdict(&refused), "id STATE_INVALID");
    failed(&of_bob, "NOT_FOUND", "no such conversation").await;
    assert_eq!(bodies(&server, &ada, &talk).await, [""; 0], "the root was deleted");
    // What has failed is put away.
    let away = acted_on(&server, &bob, "scheduledMessageCancel", json!({ "id": of_bob["id"] })).await;
    assert_eq!(
        (&away["status"], &away["failureCode"], &away["body"]),
        (&json!("CANCELLED"), &Value::Null, &Value::Null)
    );
    // Of a member who has no way in, nothing is said either.
    server.participant(&ada, "participantAdd", remove(&bob)).await;
    let of_suspended = schedule(&talk, json!({})).await;
    server.sql(&format!("UPDATE memberships SET status = 'suspended' WHERE id = '{}'", bob.member)).await;
    due(&server, &of_suspended["id"]).await;
    let row = format!(
        "SELECT failure_code FROM scheduled_messages WHERE status = 'failed' AND id = '{}'",
        text(&of_suspended, "id")
    );
    let count = row.replace("failure_code", "count(*)");
    until("a failure", async || (server.count(&count).await == 1).then_some(())).await;
    assert_eq!(server.text(&row).await, "UNAUTHENTICATED");
}

#[tokio::test]
async fn while_nobody_gets_into_the_organization_it_waits_and_then_it_goes_out() {
    let server = working(|config| config.jobs.workers = 0).await;
    let ada = server.founder().await;
    let talk = server.group(&ada, &[]).await;
    let away = [
        ("suspended_at = now()", "suspended_at = NULL"),
        ("deleted_at = now(), purge_at = now() + interval '1 day'", "deleted_at = NULL, purge_at = NULL"),
    ];
    for (goes, comes_back) in away {
        let made = schedule(&server, &ada, &talk, goes).await;
        let id: Uuid = text(&made, "id").parse().expect("an id");
        let run = async || SendScheduled { organization: ada.organization, id }.run(&server.app).await;
        let organization = async |change: &str| {
            server.sql(&format!("UPDATE organizations SET {change} WHERE id = '{}'", ada.organization)).await;
        };
        organization(goes).await;
        for (late, pause) in [(TimeDelta::zero(), 60), (TimeDelta::days(2), 3600)] {
            come_at(&server, &made["id"], Utc::now() - late).await;
            match run().await {
                Err(Failure::NotYet(told, why)) => {
                    assert!(told.as_secs() == pause && why.contains("organization"), "{why}")
                }
                ended => panic!("{ended:?}"),
            }
            FailOverdue {}.run(&server.app).await.expect("done");
        }
        organization(comes_back).await;
        server.forget();
        let still = seen(&server, &ada, &made["id"]).await;
        assert_eq!((&still["status"], &still["version"]), (&json!("PENDING"), &json!(1)));
        run().await.expect("sent");
        assert_eq!(seen(&server, &ada, &made["id"]).await["message"]["body"], goes);
    }
}
