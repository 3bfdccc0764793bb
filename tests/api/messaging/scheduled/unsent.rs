//! What is never sent: its author hears of it.

use super::{acted_on, ahead, bodies, inbox, schedule, seen, told};
use crate::{
    kit::{Server, mail::working, server},
    messaging::text,
};
use serde_json::{Value, json};
use stoa::{
    messaging::{
        retention::expire,
        scheduled::{FailOverdue, SendScheduled},
    },
    platform::jobs::Run,
};

#[tokio::test]
async fn a_reply_to_what_is_not_kept_any_more_fails_and_is_said_nowhere_else() {
    let server = server().await;
    let ada = server.founder().await;
    let bob = server.member(&ada, "member", None).await;
    let talk = server.group(&ada, &[&bob]).await;
    let mut to_ada = inbox(server, &ada).await;
    let (root, kept) = (server.say(&bob, &talk, "a root").await, server.say(&bob, &talk, "replied to").await);
    let reply = async |to: &Value, body: &str| {
        let input =
            json!({ "conversationId": talk.id, "body": body, "threadRootId": to["id"], "scheduledFor": ahead(3600) });
        acted_on(server, &ada, "messageSchedule", input).await
    };
    let (made, cancelled) = (reply(&root, "for the thread").await, reply(&root, "taken back").await);
    let cancelled = acted_on(server, &ada, "scheduledMessageCancel", json!({ "id": cancelled["id"] })).await;
    let (of_kept, plain) = (reply(&kept, "for the other").await, schedule(server, &ada, &talk, "plain").await);
    server
        .sql(&format!(
            "UPDATE organizations SET keep_group_days = 30 WHERE id = '{}';
             UPDATE messages SET created_at = now() - interval '31 days' WHERE conversation_id = '{}'",
            ada.organization, talk.id
        ))
        .await;
    server.reply(&bob, &talk, &kept, "a reply of now").await;
    expire(&server.app, ada.organization).await.expect("removed");
    let failed = told(&mut to_ada, "FAILED").await;
    assert_eq!(failed, seen(server, &ada, &made["id"]).await);
    let why = json!([failed["id"], failed["body"], failed["threadRootId"], failed["failureCode"], failed["version"]]);
    assert_eq!(why, json!([made["id"], "for the thread", null, "NOT_FOUND", 2]), "{failed}");
    assert!(text(&failed, "failureMessage").contains("replies to"), "{failed}");
    assert_eq!(seen(server, &bob, &made["id"]).await, Value::Null);
    let still = seen(server, &ada, &cancelled["id"]).await;
    assert_eq!((&still["status"], &still["threadRootId"]), (&json!("CANCELLED"), &Value::Null));
    assert_eq!(seen(server, &ada, &of_kept["id"]).await, of_kept, "its message still has its place");
    assert_eq!(seen(server, &ada, &plain["id"]).await, plain);
    // Its job comes all the same.
    let id = text(&made, "id").parse().expect("an id");
    SendScheduled { organization: ada.organization, id }.run(&server.app).await.expect("nothing to send");
    assert_eq!(bodies(server, &ada, &talk).await, ["a reply of now"]);
    assert_eq!(seen(server, &ada, &made["id"]).await, failed);
}

#[tokio::test]
async fn an_organization_whose_overdue_ones_cannot_be_settled_keeps_no_other_waiting() {
    let server = working(|config| config.jobs.workers = 0).await;
    let (ada, bob) = (server.founder().await, server.founder().await);
    let mut lost = Vec::new();
    for who in [&ada, &bob] {
        let talk = server.group(who, &[]).await;
        lost.push((who, schedule(&server, who, &talk, "lost").await));
    }
    server
        .sql(
            "UPDATE jobs SET status = 'dead', finished_at = now() WHERE kind = 'send_scheduled_message';
             UPDATE scheduled_messages SET scheduled_for = now() - interval '6 minutes'",
        )
        .await;
    server.refuse("UPDATE ON scheduled_messages", &format!("NEW.organization_id = '{}'", ada.organization)).await;
    let stand = async |server: &Server| {
        let mut stand = Vec::new();
        for (who, made) in &lost {
            stand.push(seen(server, who, &made["id"]).await["status"].clone());
        }
        stand
    };
    FailOverdue {}.run(&server.app).await.expect_err("one organization failed");
    assert_eq!(stand(&server).await, ["PENDING", "FAILED"]);
    server.allow("scheduled_messages").await;
    FailOverdue {}.run(&server.app).await.expect("done");
    assert_eq!(stand(&server).await, ["FAILED", "FAILED"]);
}
