//! Sending one at once, and what stands behind whoever does it: a job that comes soon where it is not known what has become of it,
//! and at the message's own time where nothing has.

use super::{act, bodies, schedule, seen};
use crate::{
    kit::{Founder, Server, mail::working, verdict},
    messaging::text,
};
use serde_json::{Value, json};
use stoa::{messaging::scheduled::SendScheduled, platform::jobs::Run};

async fn send_now(server: &Server, by: &Founder, made: &Value) -> String {
    verdict(&act(server, by, "scheduledMessageSendNow", json!({ "id": made["id"] })).await)
}

/// In how many seconds the job comes that waits for a message, the only one.
async fn comes_in(server: &Server, made: &Value) -> i64 {
    let waiting = format!("FROM jobs WHERE status = 'waiting' AND payload->>'id' = '{}'", text(made, "id"));
    assert_eq!(server.count(&format!("SELECT count(*) {waiting}")).await, 1);
    server.count(&format!("SELECT extract(epoch FROM run_at - now())::bigint {waiting}")).await
}

#[tokio::test]
async fn what_fails_on_its_way_is_sent_once_by_the_job_behind_it() {
    let server = working(|config| config.jobs.workers = 0).await;
    let ada = server.founder().await;
    let talk = server.group(&ada, &[]).await;
    let mut said = Vec::new();
    for (body, table, refused, of, stored) in [
        ("before it is stored", "messages", "INSERT ON messages", "true", false),
        ("behind it", "scheduled_messages", "UPDATE ON scheduled_messages", "NEW.status = 'sent'", true),
    ] {
        let made = schedule(&server, &ada, &talk, body).await;
        assert!(comes_in(&server, &made).await > 3000);
        server.refuse(refused, of).await;
        assert_eq!(send_now(&server, &ada, &made).await, "INTERNAL_SERVER_ERROR", "{body}");
        server.allow(table).await;
        assert_eq!(bodies(&server, &ada, &talk).await.len(), said.len() + usize::from(stored), "{body}");
        // Whoever asked does not know whether it was sent: the job that was left before the attempt will.
        assert_eq!(seen(&server, &ada, &made["id"]).await["status"], "PENDING", "{body}");
        let cancel = act(&server, &ada, "scheduledMessageCancel", json!({ "id": made["id"] })).await;
        assert_eq!(verdict(&cancel), "id STATE_INVALID", "{body}");
        assert!(comes_in(&server, &made).await <= 35, "{body}");
        // As it is by then.
        let id = text(&made, "id");
        let by_then = "UPDATE scheduled_messages SET sending_since = sending_since - interval '35 seconds'";
        server.sql(&format!("{by_then} WHERE id = '{id}'")).await;
        let job = || SendScheduled { organization: ada.organization, id: id.parse().expect("an id") };
        job().run(&server.app).await.expect("settled");
        job().run(&server.app).await.expect("nothing to do");
        let sent = seen(&server, &ada, &made["id"]).await;
        assert_eq!((&sent["status"], &sent["message"]["body"]), (&json!("SENT"), &json!(body)));
        said.push(body);
        assert_eq!(bodies(&server, &ada, &talk).await, said);
    }
}

#[tokio::test]
async fn what_is_refused_waits_for_its_own_time() {
    let server = working(|config| config.jobs.workers = 0).await;
    let ada = server.founder().await;
    let talk = server.group(&ada, &[]).await;
    let made = schedule(&server, &ada, &talk, "later then").await;
    let other = json!({ "id": made["id"], "expectedVersion": 2 });
    let conflict = act(&server, &ada, "scheduledMessageSendNow", other).await;
    assert_eq!(verdict(&conflict), "expectedVersion CONFLICT");
    server.archive(&talk).await;
    assert_eq!(send_now(&server, &ada, &made).await, "id STATE_INVALID");
    assert!(comes_in(&server, &made).await > 3000, "the job that was left for the attempt is gone");
    assert_eq!(seen(&server, &ada, &made["id"]).await, made);
    server.sql(&format!("UPDATE conversations SET archived_at = NULL WHERE id = '{}'", talk.id)).await;
    assert_eq!(send_now(&server, &ada, &made).await, "done");
    assert_eq!(bodies(&server, &ada, &talk).await, ["later then"]);
}
