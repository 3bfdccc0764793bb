//! Of several who send one, some are taken for dead, or die: it is sent once, and what was sent is not called FAILED.

use super::{act, bodies, due, schedule, seen};
use crate::{
    kit::{
        Server,
        mail::{until, working, working_on},
        user_errors, verdict,
    },
    messaging::{Talk, text},
};
use futures_util::future::join;
use serde_json::{Value, json};
use stoa::{
    messaging::scheduled::SendScheduled,
    platform::jobs::{Failure, Run},
};
use tokio::task::JoinHandle;
use tokio_postgres::Client;
use uuid::Uuid;

/// Begins to send one on a node.
fn sending(node: &Server, organization: Uuid, made: &Value) -> JoinHandle<Result<(), Failure>> {
    let (app, id) = (node.app.clone(), text(made, "id").parse().expect("an id"));
    tokio::spawn(async move { SendScheduled { organization, id }.run(&app).await })
}

/// A session that holds a row of a table, so that others wait who change it; who only refers to it, as notifications do, does not.
async fn held(server: &Server, table: &str, id: &str) -> Client {
    let session = server.session().await;
    session
        .batch_execute(&format!("BEGIN; SELECT FROM {table} WHERE id = '{id}' FOR NO KEY UPDATE"))
        .await
        .expect("held");
    session
}

/// Waits until so many wait for a row.
async fn waiting(server: &Server, count: i64) {
    let waits = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    until("enough who wait", async || (server.count(waits).await == count).then_some(())).await;
}

/// Whoever sends it has said nothing for half a minute.
async fn silent(server: &Server, made: &Value) {
    let id = text(made, "id");
    let since = "UPDATE scheduled_messages SET sending_since = now() - interval '31 seconds'";
    server.sql(&format!("{since} WHERE sending_since IS NOT NULL AND id = '{id}'")).await;
}

/// Lets go of a held conversation in which nothing can be said any more.
async fn let_go_archived(place: &Client, talk: &Talk) {
    let archive = format!("UPDATE conversations SET archived_at = now() WHERE id = '{}'; COMMIT", talk.id);
    place.batch_execute(&archive).await.expect("archived");
}

/// The jobs that wait for it: how many there are, and how many of them come then.
async fn awaited(server: &Server, made: &Value, then: &str) -> (i64, i64) {
    let jobs = format!(
        "SELECT count(*) FROM jobs j JOIN scheduled_messages s ON j.payload->>'id' = s.id::text
         WHERE j.status = 'waiting' AND s.id = '{}'",
        text(made, "id")
    );
    (server.count(&jobs).await, server.count(&format!("{jobs} AND {then}")).await)
}

const AT_ITS_TIME: &str = "j.run_at = s.scheduled_for";

#[tokio::test]
async fn two_nodes_that_both_believe_it_to_be_theirs_send_it_once() {
    let here = working(|config| config.jobs.workers = 0).await;
    let there = working_on(&here.database, |config| config.jobs.workers = 0).await;
    let ada = here.founder().await;
    let talk = here.group(&ada, &[]).await;
    let made = schedule(&here, &ada, &talk, "once").await;
    due(&here, &made["id"]).await;
    let place = held(&here, "conversations", &talk.id).await;
    let first = sending(&here, ada.organization, &made);
    waiting(&here, 1).await;
    silent(&here, &made).await;
    let second = sending(&there, ada.organization, &made);
    waiting(&here, 2).await;
    place.batch_execute("COMMIT").await.expect("let go");
    for ended in [first, second] {
        ended.await.expect("no panic").expect("sent");
    }
    assert_eq!(bodies(&here, &ada, &talk).await, ["once"]);
    let sent = seen(&here, &ada, &made["id"]).await;
    assert_eq!((&sent["status"], &sent["version"]), (&json!("SENT"), &json!(2)));
    for (entity, count) in [("ScheduledMessage", 2), ("Message", 1)] {
        let told = format!(
            "SELECT count(*) FROM events WHERE organization_id = '{}' AND entity = '{entity}'",
            ada.organization
        );
        assert_eq!(here.count(&told).await, count, "{entity}");
    }
}

#[tokio::test]
async fn what_was_stored_by_one_who_died_is_sent_whatever_has_become_of_its_author() {
    let server = working(|config| config.jobs.workers = 0).await;
    let ada = server.founder().await;
    let bob = server.member(&ada, "member", None).await;
    let talk = server.group(&ada, &[&bob]).await;
    let made = schedule(&server, &bob, &talk, "stored").await;
    due(&server, &made["id"]).await;
    let place = held(&server, "conversations", &talk.id).await;
    let first = sending(&server, bob.organization, &made);
    waiting(&server, 1).await;
    let row = held(&server, "scheduled_messages", text(&made, "id")).await;
    place.batch_execute("COMMIT").await.expect("let go");
    until("the message", async || (bodies(&server, &ada, &talk).await == ["stored"]).then_some(())).await;
    waiting(&server, 1).await;
    // It goes between the message and saying so.
    let gone = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
        WHERE datname = current_database() AND wait_event_type = 'Lock'";
    assert_eq!(server.count(gone).await, 1);
    row.batch_execute("COMMIT").await.expect("let go");
    let ended = first.await.expect("no panic");
    assert!(matches!(ended, Err(Failure::Later(_))), "{ended:?}");
    let remove = json!({ "conversationId": talk.id, "memberId": bob.member });
    let removed = server.participant(&ada, "participantRemove", remove).await;
    assert_eq!(user_errors(&removed, "participantRemove"), [""; 0]);
    assert_eq!(seen(&server, &bob, &made["id"]).await["status"], "PENDING");
    let cancel = act(&server, &bob, "scheduledMessageCancel", json!({ "id": made["id"] })).await;
    assert_eq!(verdict(&cancel), "id STATE_INVALID", "nobody knows yet");
    silent(&server, &made).await;
    sending(&server, bob.organization, &made).await.expect("no panic").expect("found");
    let sent = seen(&server, &bob, &made["id"]).await;
    assert_eq!((&sent["status"], &sent["failureCode"]), (&json!("SENT"), &Value::Null), "{sent}");
    assert_eq!(bodies(&server, &ada, &talk).await, ["stored"]);
}

#[tokio::test]
async fn who_was_taken_for_dead_does_not_say_that_it_failed() {
    let server = working(|config| config.jobs.workers = 0).await;
    let ada = server.founder().await;
    let talk = server.group(&ada, &[]).await;
    let made = schedule(&server, &ada, &talk, "sent after all").await;
    due(&server, &made["id"]).await;
    let place = held(&server, "conversations", &talk.id).await;
    let first = sending(&server, ada.organization, &made);
    waiting(&server, 1).await;
    // As the row is once another node has taken it.
    let taken = "UPDATE scheduled_messages SET takes = takes + 1, sending_since = now()";
    server.sql(&format!("{taken} WHERE id = '{}'", text(&made, "id"))).await;
    let_go_archived(&place, &talk).await;
    first.await.expect("no panic").expect("left to the other one");
    let still = seen(&server, &ada, &made["id"]).await;
    assert_eq!((&still["status"], &still["version"]), (&json!("PENDING"), &json!(1)), "{still}");
    server.sql(&format!("UPDATE conversations SET archived_at = NULL WHERE id = '{}'", talk.id)).await;
    silent(&server, &made).await;
    sending(&server, ada.organization, &made).await.expect("no panic").expect("sent");
    assert_eq!(bodies(&server, &ada, &talk).await, ["sent after all"]);
}

#[tokio::test]
async fn a_job_stands_behind_who_sends_it_at_once_and_comes_at_its_time_once_that_was_refused() {
    let server = working(|config| config.jobs.workers = 0).await;
    let ada = server.founder().await;
    let talk = server.group(&ada, &[]).await;
    let made = schedule(&server, &ada, &talk, "in an hour").await;
    let place = held(&server, "conversations", &talk.id).await;
    let at_once = act(&server, &ada, "scheduledMessageSendNow", json!({ "id": made["id"] }));
    let meanwhile = async {
        waiting(&server, 1).await;
        let soon = "j.run_at < now() + interval '1 minute'";
        assert_eq!(awaited(&server, &made, soon).await, (1, 1), "should its node die");
        let_go_archived(&place, &talk).await;
    };
    let (refused, ()) = join(at_once, meanwhile).await;
    assert_eq!(verdict(&refused), "id STATE_INVALID");
    assert_eq!(seen(&server, &ada, &made["id"]).await, made);
    assert_eq!(awaited(&server, &made, AT_ITS_TIME).await, (1, 1));
}

/// As its author would have been told.
#[tokio::test]
async fn what_cannot_be_sent_for_one_who_died_of_sending_it_at_once_stays_for_its_time() {
    let server = working(|config| config.jobs.workers = 0).await;
    let ada = server.founder().await;
    let talk = server.group(&ada, &[]).await;
    let organization = ada.organization.to_string();
    for (table, id, end) in
        [("conversations", &talk.id, "archived_at"), ("organizations", &organization, "suspended_at")]
    {
        let ends = async |when: &str| {
            server.sql(&format!("UPDATE {table} SET {end} = {when} WHERE id = '{id}'")).await;
        };
        let made = schedule(&server, &ada, &talk, end).await;
        let died = "UPDATE scheduled_messages SET takes = 1, sending_since = now() - interval '31 seconds'";
        server.sql(&format!("{died} WHERE id = '{}'", text(&made, "id"))).await;
        ends("now()").await;
        sending(&server, ada.organization, &made).await.expect("no panic").expect("given back");
        ends("NULL").await;
        server.forget();
        assert_eq!(seen(&server, &ada, &made["id"]).await, made, "{end}");
        assert_eq!(awaited(&server, &made, AT_ITS_TIME).await, (1, 1), "{end}");
        due(&server, &made["id"]).await;
        sending(&server, ada.organization, &made).await.expect("no panic").expect("sent");
    }
    assert_eq!(bodies(&server, &ada, &talk).await, ["archived_at", "suspended_at"]);
}
