//! The follower that makes notifications: soon whatever there is to do, in order, and also when a node has died.

use super::{
    block::open,
    live::Feed,
    notification::{caught_up, many_join, of, shown, three, told, unread},
    notification_feed::{cursor, follow},
    position::mark,
    text,
    user_contact::acted,
};
use crate::kit::{
    Founder, Server, data, database,
    mail::{until, working, working_on},
    server,
};
use futures_util::future::join;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use stoa::messaging::notification::{follow::catch_up, purge::purge_all};
use tokio::time::{sleep, timeout};
use uuid::Uuid;

/// The next event, unless it takes longer.
async fn within(seconds: u64, feed: &mut Feed) -> Value {
    timeout(Duration::from_secs(seconds), feed.next()).await.expect("an event in time")
}

fn kind(event: &Value) -> (&str, &Value) {
    (text(event, "__typename"), &event["notification"]["kind"])
}

/// Waits until the node has come to the end of a stream.
async fn worked_on(server: &Server, stream: &str) {
    let left = format!(
        "SELECT count(*) FROM stream_heads h LEFT JOIN log_places p USING (organization_id, stream_id)
         WHERE stream_id = '{stream}' AND head_seq > coalesce(p.seq, 0)"
    );
    until("the end of a stream", async || (server.count(&left).await == 0).then_some(())).await;
}

/// Puts events that concern nobody behind the last one of a conversation.
async fn quiet_events(server: &Server, talk: &str, count: u32) {
    let many = format!(
        "INSERT INTO events (organization_id, stream_id, seq, id, kind, entity, entity_id, payload)
         SELECT organization_id, stream_id, seq + n, gen_random_uuid(), 'nothing', 'Message', entity_id, '{{}}'
         FROM (SELECT * FROM events WHERE stream_id = '{talk}' ORDER BY seq DESC LIMIT 1) e, generate_series(1, {count}) n;
         UPDATE stream_heads SET head_seq = head_seq + {count} WHERE stream_id = '{talk}'"
    );
    server.sql(&many).await;
}

/// As if whoever had to make notifications of an organization had died before.
pub async fn undone(server: &Server, of: &Founder) {
    let organization = of.organization;
    server
        .sql(&format!(
            "UPDATE log_places SET seq = 0 WHERE organization_id = '{organization}';
             DELETE FROM notifications WHERE organization_id = '{organization}'"
        ))
        .await;
}

/// A follower that died before, or that others have overtaken, does everything once.
#[tokio::test]
async fn what_is_done_again_is_done_once_and_what_was_not_done_is_done() {
    let server = server().await;
    let (ada, bob, eve) = three(server).await;
    let talk = server.group(&ada, &[&bob, &eve]).await;
    let direct = open(server, &ada, &bob).await.expect("a direct conversation");
    for n in 0..5 {
        server.say(&ada, &talk, &format!("{n} <@{}>", bob.member)).await;
        server.say(&ada, &direct, "between us").await;
    }
    acted(server, &ada, "Request", &bob).await;
    caught_up(server, &ada).await;
    let before = shown(server, &bob, json!({})).await;
    assert_eq!(before.len(), 12);
    let organization = ada.organization;
    let events = format!(
        "SELECT count(*) FROM events WHERE organization_id = '{organization}' AND kind = 'notification_created'"
    );
    let told = server.count(&events).await;
    let back = format!("UPDATE log_places SET seq = seq / 2 WHERE organization_id = '{organization}'");
    for undone in [&back, &format!("DELETE FROM log_places WHERE organization_id = '{organization}'")] {
        server.sql(undone).await;
        // On two nodes at once.
        join(caught_up(server, &ada), caught_up(server, &ada)).await;
        assert_eq!(shown(server, &bob, json!({})).await, before, "{undone}");
        assert_eq!(server.count(&events).await, told, "{undone}");
    }
    // As if the node had died between the message and this.
    server.sql(&format!("DELETE FROM notifications WHERE member_id = '{}' AND message_seq > 2", bob.member)).await;
    server.sql(&back).await;
    join(caught_up(server, &ada), caught_up(server, &ada)).await;
    assert_eq!(shown(server, &bob, json!({})).await, before, "the same, ids and all");
    let behind = format!(
        "SELECT count(*) FROM stream_heads h LEFT JOIN log_places p USING (organization_id, stream_id)
         JOIN streams s USING (organization_id, stream_id)
         WHERE organization_id = '{organization}' AND s.kind = 'conversation' AND head_seq > coalesce(p.seq, 0)"
    );
    assert_eq!(server.count(&behind).await, 0);
}

#[tokio::test]
async fn a_long_stream_is_read_to_its_end() {
    let server = server().await;
    let (ada, bob, _) = three(server).await;
    let talk = server.group(&ada, &[&bob]).await;
    server.say(&ada, &talk, "the first").await;
    // As many as need more than one page.
    quiet_events(server, &talk.id, 1200).await;
    let mention = server.say(&ada, &talk, &format!("<@{}>", bob.member)).await;
    assert_eq!(told(server, &bob).await, [of("MENTION", &mention)]);
}

#[tokio::test]
async fn who_answers_has_read_also_on_their_other_devices() {
    let server = server().await;
    let (ada, bob, _) = three(server).await;
    let talk = server.group(&ada, &[&bob]).await;
    server.say(&ada, &talk, "nothing in particular").await;
    worked_on(server, &talk.id).await;
    let mut feed = follow(server, &bob, Some(&cursor(server, &bob).await)).await;
    server.say(&ada, &talk, &format!("<@{}>?", bob.member)).await;
    let mention = within(20, &mut feed).await;
    assert_eq!(kind(&mention), ("NotificationCreated", &json!("MENTION")));
    // What he says concerns nobody.
    server.say(&bob, &talk, "yes").await;
    let read = within(20, &mut feed).await;
    assert_eq!(read["notificationIds"], json!([mention["notification"]["id"]]), "{read:#}");
    assert_eq!(read["readAt"], shown(server, &bob, json!({ "unread": false })).await[0]["readAt"]);
}

/// Also where the node knows by now that what is said concerns nobody unless it says so.
#[tokio::test]
async fn a_reply_is_told_soon() {
    let server = server().await;
    let (ada, bob, _) = three(server).await;
    let talk = server.group(&ada, &[&bob]).await;
    let root = server.say(&bob, &talk, "a root").await;
    worked_on(server, &talk.id).await;
    let mut feed = follow(server, &bob, Some(&cursor(server, &bob).await)).await;
    // Whoever tells of this has done with what was before.
    server.say(&ada, &talk, &format!("<@{}>", bob.member)).await;
    assert_eq!(kind(&within(20, &mut feed).await).1, "MENTION");
    let reply = server.reply(&ada, &talk, &root, "a reply").await;
    let told = within(20, &mut feed).await;
    assert_eq!(kind(&told), ("NotificationCreated", &json!("REPLY")));
    assert_eq!(told["notification"]["messageId"], reply["id"]);
}

#[tokio::test]
async fn who_comes_back_has_read_what_was_there_before() {
    let server = server().await;
    let (ada, bob, _) = three(server).await;
    let talk = server.group(&ada, &[&bob]).await;
    server.say(&ada, &talk, &format!("<@{}>", bob.member)).await;
    assert_eq!(told(server, &bob).await.len(), 1);
    let input = json!({ "conversationId": talk.id, "memberId": bob.member });
    server.participant(&ada, "participantRemove", input.clone()).await;
    assert_eq!(unread(server, &bob).await, 2, "the mention, and that he was brought in");
    let mut feed = follow(server, &bob, Some(&cursor(server, &bob).await)).await;
    server.participant(&ada, "participantAdd", input).await;
    let (added, read) = (within(20, &mut feed).await, within(20, &mut feed).await);
    assert_eq!(kind(&added), ("NotificationCreated", &json!("ADDED_TO_CONVERSATION")));
    assert_eq!(kind(&read).0, "NotificationsRead");
    assert_eq!(unread(server, &bob).await, 2, "that he was brought in, twice");
}

/// However much was said since somebody was mentioned last.
#[tokio::test]
async fn a_mention_in_a_busy_conversation_is_told_soon() {
    let server = server().await;
    let (ada, bob, _) = three(server).await;
    let talk = server.group(&ada, &[&bob]).await;
    caught_up(server, &ada).await;
    let mut feed = follow(server, &bob, Some(&cursor(server, &bob).await)).await;
    quiet_events(server, &talk.id, 10_000).await;
    let began = Instant::now();
    server.say(&ada, &talk, &format!("<@{}>", bob.member)).await;
    assert_eq!(kind(&within(30, &mut feed).await).1, "MENTION");
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
}

/// More than one transaction takes; and each member hears of it in its order.
#[tokio::test]
async fn what_concerns_many_is_told_to_each_in_order() {
    let server = server().await;
    let (ada, bob, _) = three(server).await;
    let talk = server.group(&ada, &[&bob]).await;
    let organization = ada.organization;
    many_join(server, organization, &talk.id, 99).await;
    for number in 0..45 {
        server.say(&ada, &talk, &format!("<@channel> {number}")).await;
    }
    worked_on(server, &talk.id).await;
    undone(server, &ada).await;
    let begin = cursor(server, &bob).await;
    // No sweep: what one transaction does not take, the next one takes at once.
    server.say(&ada, &talk, "<@channel> 45").await;
    worked_on(server, &talk.id).await;
    let made = format!(
        "SELECT count(*) FROM notifications WHERE kind = 'mention' AND organization_id = '{organization}' AND marked_at IS NULL"
    );
    assert_eq!(server.count(&made).await, 46 * 100);
    let mut feed = follow(server, &bob, Some(&begin)).await;
    let mut heard = Vec::new();
    while heard.len() < 46 {
        let event = within(20, &mut feed).await;
        if kind(&event).1 == "MENTION" {
            heard.push(event["notification"]["messageSeq"].as_i64().expect("a number"));
        }
    }
    assert_eq!(heard, (1..=46).collect::<Vec<_>>());
}

/// Something that holds up one stream, for as long as it likes.
#[tokio::test]
async fn a_stream_that_fails_holds_up_no_other() {
    let server = Server::with(|config| config.database.statement_timeout_ms = 500).await;
    let (ada, bob, _) = three(&server).await;
    let (stuck, talk) = (server.group(&ada, &[&bob]).await, server.group(&ada, &[&bob]).await);
    caught_up(&server, &ada).await;
    let mut feed = follow(&server, &bob, Some(&cursor(&server, &bob).await)).await;
    let session = server.session().await;
    let held = format!("BEGIN; SELECT FROM log_places WHERE stream_id = '{}' FOR UPDATE", stuck.id);
    session.batch_execute(&held).await.expect("held");
    let mention = format!("<@{}>", bob.member);
    let waits = server.say(&ada, &stuck, &mention).await;
    let began = Instant::now();
    let mut longest = Duration::ZERO;
    while began.elapsed() < Duration::from_secs(11) {
        let sent = server.say(&ada, &talk, &mention).await;
        let said = Instant::now();
        let told = within(20, &mut feed).await;
        assert_eq!(told["notification"]["messageId"], sent["id"]);
        longest = longest.max(said.elapsed());
        sleep(Duration::from_millis(100)).await;
    }
    assert!(longest < Duration::from_millis(3500), "{longest:?}");
    session.batch_execute("COMMIT").await.expect("let go");
    assert_eq!(within(20, &mut feed).await["notification"]["messageId"], waits["id"]);
    server.stop().await;
}

/// Neither another conversation nor the rest of a long one, of which a step does not reach the end.
#[tokio::test]
async fn a_sweep_leaves_behind_what_fails_and_nothing_else() {
    let first = Server::start().await;
    let (ada, bob, _) = three(&first).await;
    let (stuck, talk) = (first.group(&ada, &[&bob]).await, first.group(&ada, &[&bob]).await);
    quiet_events(&first, &talk.id, 60).await;
    let mention = format!("<@{}>", bob.member);
    let (waits, sent) = (first.say(&ada, &stuck, &mention).await, first.say(&ada, &talk, &mention).await);
    caught_up(&first, &ada).await;
    first.stop().await;
    // One that has heard of nothing.
    let server = Server::with(|config| config.database.statement_timeout_ms = 1000).await;
    undone(&server, &ada).await;
    let session = server.session().await;
    let held = format!("BEGIN; SELECT FROM log_places WHERE stream_id = '{}' FOR UPDATE", stuck.id);
    session.batch_execute(&held).await.expect("held");
    let made = async |message: &Value| {
        server.count(&format!("SELECT count(*) FROM notifications WHERE message_id = '{}'", text(message, "id"))).await
    };
    assert!(catch_up(&server.app, ada.organization).await.is_err());
    assert_eq!((made(&waits).await, made(&sent).await), (0, 1));
    session.batch_execute("COMMIT").await.expect("let go");
    assert!(catch_up(&server.app, ada.organization).await.is_ok());
    assert_eq!((made(&waits).await, made(&sent).await), (1, 1));
    server.stop().await;
}

/// The sweep comes every few minutes, and when a node starts.
#[tokio::test]
async fn what_a_dead_node_has_left_is_told_when_it_comes_back() {
    let database = database(&format!("notified_{}", Uuid::new_v4().simple()), "postgres").await;
    let first = working_on(&database, |_| ()).await;
    let (ada, bob, _) = three(&first).await;
    let direct = open(&first, &ada, &bob).await.expect("a direct conversation");
    let sent = first.say(&ada, &direct, "before it died").await;
    worked_on(&first, &direct.id).await;
    let swept = "SELECT count(*) FROM jobs WHERE kind = 'notify_missed' AND status = 'done'";
    until("a first sweep", async || (first.count(swept).await > 0).then_some(())).await;
    first.stop().await;
    let second = Server::on(&database, |_| ()).await;
    undone(&second, &ada).await;
    second
        .sql("UPDATE schedules SET next_run_at = now() + interval '1 hour', last_run_at = now() - interval '9 s'")
        .await;
    let third = working_on(&database, |_| ()).await;
    let made = format!(
        "SELECT count(*) FROM notifications WHERE member_id = '{}' AND message_id = '{}'",
        bob.member,
        text(&sent, "id")
    );
    until("what was left", async || (third.count(&made).await == 1).then_some(())).await;
    second.stop().await;
    third.stop().await;
}

#[tokio::test]
async fn an_organization_that_fails_keeps_no_other_waiting() {
    let database = database(&format!("in_turn_{}", Uuid::new_v4().simple()), "postgres").await;
    let server = Server::on(&database, |config| config.database.statement_timeout_ms = 1000).await;
    let mut all = Vec::new();
    for _ in 0..2 {
        let (ada, bob, _) = three(&server).await;
        server.group(&ada, &[&bob]).await;
        caught_up(&server, &ada).await;
        all.push(bob);
    }
    all.sort_by_key(|bob| bob.organization);
    server
        .sql(
            "UPDATE notifications SET marked_at = created_at,
               id = overlay(id::text PLACING '01800000-0000' FROM 1)::uuid",
        )
        .await;
    let session = server.session().await;
    let held = format!("BEGIN; SELECT FROM notifications WHERE member_id = '{}' FOR UPDATE", all[0].member);
    session.batch_execute(&held).await.expect("held");
    assert!(purge_all(&server.app).await.is_err());
    let left = async |who: &Founder| shown(&server, who, json!({})).await.len();
    assert_eq!((left(&all[0]).await, left(&all[1]).await), (1, 0), "the second one is not kept waiting by the first");
    session.batch_execute("COMMIT").await.expect("let go");
    assert!(purge_all(&server.app).await.is_ok());
    assert_eq!(left(&all[0]).await, 0);
    server.stop().await;
}

#[tokio::test]
async fn whose_reading_cannot_be_marked_keeps_no_other_waiting() {
    let server = working(|config| config.jobs.workers = 0).await;
    let (ada, bob, eve) = three(&server).await;
    let talk = server.group(&ada, &[&bob, &eve]).await;
    let unmarked = async |who: &Founder| {
        let rows = "SELECT count(*) FROM notifications WHERE kind = 'mention' AND marked_at IS NULL AND member_id =";
        server.count(&format!("{rows} '{}'", who.member)).await
    };
    // Whoever comes first.
    for (stuck, other) in [(&bob, &eve), (&eve, &bob)] {
        server.refuse("UPDATE ON notifications", &format!("NEW.member_id = '{}'", stuck.member)).await;
        server.say(&ada, &talk, &format!("<@{}> <@{}>", bob.member, eve.member)).await;
        caught_up(&server, &ada).await;
        assert_eq!((unmarked(stuck).await, unmarked(other).await), (1, 1));
        // As if a node had died behind the position and before this.
        server
            .sql(&format!(
                "UPDATE participants p SET read_seq = c.last_seq, delivered_seq = c.last_seq FROM conversations c
                 WHERE c.id = p.conversation_id AND c.id = '{}'",
                talk.id
            ))
            .await;
        assert!(purge_all(&server.app).await.is_err());
        assert_eq!((unmarked(stuck).await, unmarked(other).await), (1, 0));
        server.allow("notifications").await;
        assert!(purge_all(&server.app).await.is_ok());
        assert_eq!(unmarked(stuck).await, 0);
    }
}

/// Reading what is new at the moment at which it is told.
#[tokio::test]
async fn who_reads_while_they_are_told_hears_of_both() {
    let server = server().await;
    let (ada, bob, _) = three(server).await;
    let talk = server.group(&ada, &[&bob]).await;
    caught_up(server, &ada).await;
    let mut feed = follow(server, &bob, Some(&cursor(server, &bob).await)).await;
    let mut new = std::collections::BTreeSet::new();
    let mention = format!("<@{}>", bob.member);
    for seq in 1..=20 {
        let (_, answer) = tokio::join!(server.say(&ada, &talk, &mention), async {
            loop {
                let answer = mark(server, &bob, "conversationMarkRead", &talk.id, seq).await;
                if data(&answer, "conversationMarkRead.userErrors") == &json!([]) {
                    return answer;
                }
            }
        });
        assert_eq!(*data(&answer, "conversationMarkRead.conversation.unreadCount"), 0);
    }
    let mut told = 0;
    while told < 20 || !new.is_empty() {
        let event = within(20, &mut feed).await;
        match text(&event, "__typename") {
            "NotificationCreated" => {
                told += 1;
                if event["notification"]["readAt"].is_null() {
                    new.insert(text(&event["notification"], "id").to_owned());
                }
            }
            _ => {
                for id in event["notificationIds"].as_array().expect("ids") {
                    assert!(new.remove(id.as_str().expect("an id")), "only what was new is read");
                }
            }
        }
    }
    assert_eq!(unread(server, &bob).await, 1, "only that he was brought in");
    assert_eq!(told_of(&shown(server, &bob, json!({})).await), 20);
}

fn told_of(shown: &[Value]) -> usize {
    shown.iter().filter(|one| one["kind"] == "MENTION" && one["readAt"].is_string()).count()
}
