//! Messages whose time is over: what goes, what stays, and what those who watch are told.

use super::{
    Talk,
    scheduled::{acted_on, ahead, seen as scheduled},
    snapshot::Shown,
    text,
};
use crate::kit::{Founder, Server, code, data, mail::working, mirror::keeps_in_step, server, user_errors};
use serde_json::{Value, json};
use stoa::messaging::retention::expire;

/// The answer to setting how long messages are kept.
async fn keep(server: &Server, by: &Founder, days: Value) -> Value {
    let query =
        "mutation($days: MessageRetentionInput) { done: organizationUpdate(input: { messageRetention: $days }) {
        organization { messageRetention { direct group channel record } version } userErrors { field code } } }";
    server.graphql(query, json!({ "days": days }), Some(by)).await
}

/// Makes messages older: those up to a number.
async fn age(server: &Server, talk: &Talk, up_to: i64, days: u32) {
    server
        .sql(&format!(
            "UPDATE messages SET created_at = created_at - interval '{days} days'
             WHERE conversation_id = '{}' AND seq <= {up_to}",
            talk.id
        ))
        .await;
}

async fn run(server: &Server, of: &Founder) {
    expire(&server.app, of.organization).await.expect("removed");
}

/// What the conversation is to somebody.
async fn seen(server: &Server, who: &Founder, talk: &Talk) -> Value {
    let query = "query($id: ID!) { conversation(id: $id) { lastSeq expiredSeq unreadCount firstUnreadSeq } }";
    data(&server.graphql(query, json!({ "id": talk.id }), Some(who)).await, "conversation").clone()
}

async fn rows(server: &Server, table: &str, of: &Founder) -> i64 {
    server.count(&format!("SELECT count(*) FROM {table} WHERE organization_id = '{}'", of.organization)).await
}

#[tokio::test]
async fn administrators_say_how_long_messages_are_kept() {
    let server = server().await;
    let ada = server.founder().await;
    let answer = keep(server, &ada, json!({})).await;
    let forever = json!({ "direct": null, "group": null, "channel": null, "record": null });
    assert_eq!(*data(&answer, "done.organization"), json!({ "messageRetention": forever, "version": 1 }));
    let answer = keep(server, &ada, json!({ "group": 30, "record": 3650 })).await;
    let some = json!({ "direct": null, "group": 30, "channel": null, "record": 3650 });
    assert_eq!(*data(&answer, "done.organization"), json!({ "messageRetention": some, "version": 2 }));
    let wrong = json!({ "direct": 0, "group": 3651, "channel": -1, "record": 1 });
    let told = [
        "messageRetention.direct OUT_OF_RANGE",
        "messageRetention.group OUT_OF_RANGE",
        "messageRetention.channel OUT_OF_RANGE",
    ];
    assert_eq!(user_errors(&keep(server, &ada, wrong).await, "done"), told);
    let answer = keep(server, &ada, json!({ "group": null, "channel": 1 })).await;
    let changed = json!({ "direct": null, "group": null, "channel": 1, "record": 3650 });
    assert_eq!(data(&answer, "done.organization")["messageRetention"], changed, "left out stays, null clears");
    let manager = server.member(&ada, "manager", None).await;
    assert_eq!(code(&keep(server, &manager, json!({ "group": 1 })).await), "FORBIDDEN");
}

#[tokio::test]
async fn what_is_over_goes_with_all_that_hangs_on_it() {
    let server = server().await;
    let ada = server.founder().await;
    let bob = server.member(&ada, "member", None).await;
    let talk = server.group(&ada, &[&bob]).await;
    // Somebody watches, so that the node has all of it in memory.
    let mut watching = server.follow(&bob, &talk.id, Some(&talk.cursor)).await;
    let root = server.say(&ada, &talk, "a root zqsecret").await;
    // Whatever a message can have, the one that is kept has as well.
    server.change(&ada, "messageEdit", json!({ "id": root["id"], "body": "a root zqsecret <@channel>" })).await;
    server.change(&bob, "reactionAdd", json!({ "messageId": root["id"], "emoji": "🎉" })).await;
    let edited = server.say(&ada, &talk, "first zqsecret").await;
    server.change(&ada, "messageEdit", json!({ "id": edited["id"], "body": "then zqsecret <@channel>" })).await;
    server.change(&bob, "reactionAdd", json!({ "messageId": edited["id"], "emoji": "👍" })).await;
    server.change(&ada, "messagePin", json!({ "id": edited["id"] })).await;
    let brought = server.say(&ada, &talk, "a file zqsecret").await;
    let (organization, member) = (ada.organization, ada.member);
    server
        .sql(&format!(
            "WITH f AS (INSERT INTO files (organization_id, id, name, content_type, size, state, checksum, object, created_by)
               VALUES ('{organization}', gen_random_uuid(), 'plan.txt', 'text/plain', 1, 'ready', repeat('0', 64), gen_random_uuid()::text,
                 '{member}') RETURNING id)
             INSERT INTO message_attachments (organization_id, id, conversation_id, message_id, file_id)
             SELECT '{organization}', gen_random_uuid(), '{}', m.id, f.id FROM f, unnest('{{{},{}}}'::uuid[]) m (id)",
            talk.id,
            text(&brought, "id"),
            text(&root, "id")
        ))
        .await;
    let taken_back = server.say(&ada, &talk, "taken back zqsecret").await;
    server.change(&ada, "messageDelete", json!({ "id": taken_back["id"] })).await;
    server.say(&ada, &talk, "not read zqsecret").await;
    server.reply(&ada, &talk, &root, "young").await;
    let audited =
        "SELECT count(*) FROM events WHERE kind ~ '^message_' AND kind <> 'message_sent' AND organization_id = ";
    let before = server.count(&format!("{audited}'{organization}'")).await;
    keep(server, &ada, json!({ "group": 30 })).await;
    run(server, &ada).await;
    assert_eq!(server.numbers(&ada, &talk).await, [1, 2, 3, 4, 5, 6], "nothing is that old");
    age(server, &talk, 5, 31).await;
    let said = format!(
        "SELECT count(*) FROM events WHERE organization_id = '{organization}' AND payload::text LIKE '%zqsecret%'"
    );
    assert!(server.count(&said).await > 5);
    let shown = keeps_in_step::<Shown>(server, &ada, &talk.id, run(server, &ada)).await;
    assert_eq!(server.numbers(&ada, &talk).await, [1, 6], "a root keeps its place while it is replied to");
    let kept = &shown.messages[text(&root, "id")];
    assert_eq!((&kept["body"], &kept["replyCount"], kept["deletedAt"].is_string()), (&Value::Null, &json!(1), true));
    assert_eq!(server.count(&said).await, 0, "what was said is in no event");
    let after = server.count(&format!("{audited}'{organization}'")).await;
    assert_eq!(after, before + 1, "that it was edited, pinned and deleted is still told, and the root is deleted now");
    let belongings = json!([kept["reactions"], kept["versions"], kept["attachments"]["nodes"]]);
    assert_eq!(belongings, json!([[], [], []]));
    for table in ["reactions", "mentions", "message_versions", "message_attachments"] {
        assert_eq!(rows(server, table, &ada).await, 0, "{table}");
    }
    assert_eq!(rows(server, "files", &ada).await, 1, "the file stays with who has uploaded it");
    let mut watched = Vec::new();
    for feed in [&mut watching, &mut server.follow(&bob, &talk.id, Some(&talk.cursor)).await] {
        let mut told = vec![feed.next().await];
        while told.last().is_some_and(|event| event["__typename"] != "MessagesExpired") {
            told.push(feed.next().await);
        }
        assert_eq!((&told.last().unwrap()["upTo"], &told.last().unwrap()["kept"]), (&json!(5), &json!([root["id"]])));
        watched.push(told);
    }
    let [live, replayed] = watched.as_slice() else { panic!("two") };
    assert!(json!(live).to_string().contains("zqsecret") && !json!(replayed).to_string().contains("zqsecret"));
    let cursors = |told: &[Value]| told.iter().map(|event| text(event, "cursor").to_owned()).collect::<Vec<_>>();
    assert_eq!(cursors(live), cursors(replayed), "no hole, and nothing twice");
    let new = json!({ "lastSeq": 6, "expiredSeq": 5, "unreadCount": 1, "firstUnreadSeq": 6 });
    assert_eq!(seen(server, &bob, &talk).await, new);
    let search = "{ messageSearch(query: \"zqsecret\") { hits { message { id } } } }";
    assert_eq!(*data(&server.graphql(search, json!({}), Some(&ada)).await, "messageSearch.hits"), json!([]));
    let told = format!("SELECT count(*) FROM events WHERE stream_id = '{}'", talk.id);
    let count = server.count(&told).await;
    run(server, &ada).await;
    assert_eq!(server.count(&told).await, count, "again changes nothing");
    // With its last reply a root goes as well; numbers go on.
    age(server, &talk, 6, 31).await;
    keeps_in_step::<Shown>(server, &ada, &talk.id, run(server, &ada)).await;
    assert!(server.numbers(&ada, &talk).await.is_empty());
    let none = json!({ "lastSeq": 6, "expiredSeq": 6, "unreadCount": 0, "firstUnreadSeq": null });
    assert_eq!(seen(server, &bob, &talk).await, none);
    let unread = "{ conversations(filter: { own: { unread: true } }) { nodes { id } } }";
    assert_eq!(*data(&server.graphql(unread, json!({}), Some(&bob)).await, "conversations.nodes"), json!([]));
    assert_eq!(server.say(&ada, &talk, "anew").await["seq"], 7);
    let gone =
        server.send(&ada, json!({ "conversationId": talk.id, "body": "late", "threadRootId": root["id"] })).await;
    assert_eq!(user_errors(&gone, "messageSend"), ["threadRootId NOT_FOUND"]);
}

/// A title that was given long ago is gone from what told of it, also where somebody replies to that.
#[tokio::test]
async fn what_stoa_told_goes_as_well() {
    let server = server().await;
    let ada = server.founder().await;
    let talk = server.group(&ada, &[]).await;
    let rename =
        "mutation($id: ID!) { conversationUpdate(input: { id: $id, title: \"zqtitle\" }) { userErrors { code } } }";
    server.graphql(rename, json!({ "id": talk.id }), Some(&ada)).await;
    let query = "query($id: ID!) { conversation(id: $id) { messages(first: 1, orderBy: [{ field: SEQ }]) {
        nodes { id kind body deletedAt system { title } } } } }";
    let first = async || {
        let answer = server.graphql(query, json!({ "id": talk.id }), Some(&ada)).await;
        data(&answer, "conversation.messages.nodes")[0].clone()
    };
    let note = first().await;
    assert_eq!((&note["kind"], &note["system"]["title"]), (&json!("SYSTEM"), &json!("zqtitle")));
    server.reply(&ada, &talk, &note, "at last").await;
    keep(server, &ada, json!({ "group": 30 })).await;
    age(server, &talk, 1, 31).await;
    run(server, &ada).await;
    let kept = first().await;
    assert_eq!((&kept["id"], &kept["kind"], kept["deletedAt"].is_string()), (&note["id"], &note["kind"], true));
    assert_eq!((&kept["body"], &kept["system"]), (&Value::Null, &Value::Null));
    let said = format!(
        "SELECT count(*) FROM events WHERE entity = 'Message' AND stream_id = '{}' AND payload::text LIKE '%zqtitle%'",
        talk.id
    );
    assert_eq!(server.count(&said).await, 0);
}

#[tokio::test]
async fn a_reply_that_is_to_be_sent_later_fails_and_keeps_its_text() {
    let server = server().await;
    let ada = server.founder().await;
    let bob = server.member(&ada, "member", None).await;
    let talk = server.group(&ada, &[&bob]).await;
    let (root, other) = (server.say(&ada, &talk, "a root").await, server.say(&ada, &talk, "another").await);
    let input = json!({ "conversationId": talk.id, "body": "an answer", "scheduledFor": ahead(3600), "threadRootId": root["id"] });
    let planned = acted_on(server, &bob, "messageSchedule", input).await;
    let input = json!({ "conversationId": talk.id, "body": "news", "scheduledFor": ahead(3600) });
    let plain = acted_on(server, &bob, "messageSchedule", input).await;
    keep(server, &ada, json!({ "group": 30 })).await;
    age(server, &talk, 2, 31).await;
    let mut feed = server.follow(&ada, &talk.id, None).await;
    run(server, &ada).await;
    // Nobody else learns that somebody was about to reply.
    let told = feed.next().await;
    assert_eq!((text(&told, "__typename"), &told["kept"]), ("MessagesExpired", &json!([])));
    assert!(!server.numbers(&ada, &talk).await.contains(&other["seq"].as_i64().expect("a number")));
    let failed = scheduled(server, &bob, &planned["id"]).await;
    assert_eq!((&failed["status"], &failed["failureCode"]), (&json!("FAILED"), &json!("NOT_FOUND")));
    assert_eq!((&failed["body"], &failed["threadRootId"]), (&json!("an answer"), &Value::Null));
    assert_eq!(failed["version"], json!(planned["version"].as_i64().expect("a version") + 1));
    assert_eq!(scheduled(server, &bob, &plain["id"]).await["status"], "PENDING");
    let heard = format!(
        "SELECT count(*) FROM events WHERE kind = 'scheduled_message_changed' AND entity_id = '{}'",
        text(&planned, "id")
    );
    assert_eq!(server.count(&heard).await, 2, "its author's devices are told");
}

#[tokio::test]
async fn each_kind_of_conversation_has_its_own_time() {
    let server = server().await;
    let ada = server.founder().await;
    let bob = server.member(&ada, "member", None).await;
    let lead = super::record::lead(server, &ada, &ada).await;
    let record = super::record::discuss(server, &ada, &lead, &[]).await;
    let open = async |input: Value| {
        let query = "mutation($input: ConversationCreateInput!) { conversationCreate(input: $input) { conversation { id cursor } userErrors { field } } }";
        let answer = server.graphql(query, json!({ "input": input }), Some(&ada)).await;
        let made = data(&answer, "conversationCreate.conversation");
        Talk { id: text(made, "id").to_owned(), cursor: text(made, "cursor").to_owned() }
    };
    let direct = open(json!({ "kind": "DIRECT", "memberIds": [bob.member] })).await;
    let channel = open(json!({ "kind": "CHANNEL", "title": "News" })).await;
    let group = server.group(&ada, &[]).await;
    let talks = [&direct, &group, &channel, &record];
    for talk in talks {
        server.say(&ada, talk, "old").await;
        age(server, talk, 1, 10).await;
        server.say(&ada, talk, "new").await;
    }
    for (days, left) in [
        (json!({ "direct": 11, "group": 12 }), [2, 2, 2, 2]),
        (json!({ "direct": 10 }), [1, 2, 2, 2]),
        (json!({ "record": 1, "channel": 9 }), [1, 2, 1, 1]),
        (json!({ "group": 5 }), [1, 1, 1, 1]),
    ] {
        keep(server, &ada, days.clone()).await;
        run(server, &ada).await;
        for (talk, left) in talks.iter().zip(left) {
            assert_eq!(server.numbers(&ada, talk).await.len(), left, "{days}");
        }
    }
}

#[tokio::test]
async fn many_go_in_batches_and_threads_between_them_stay_whole() {
    let server = server().await;
    let ada = server.founder().await;
    let talk = server.group(&ada, &[]).await;
    let root = server.say(&ada, &talk, "root").await;
    let (organization, member, id) = (ada.organization, ada.member, &talk.id);
    // Each seventh replies to the first: to its thread belong messages of all batches.
    server
        .sql(&format!(
            "INSERT INTO messages (organization_id, id, conversation_id, seq, sender_id, body, thread_root_id, thread_seq)
               SELECT '{organization}', gen_random_uuid(), '{id}', n, '{member}', 'old', CASE WHEN n % 7 = 0 THEN '{root}'::uuid END,
                 CASE WHEN n % 7 = 0 THEN n / 7 END FROM generate_series(2, 1200) n;
             UPDATE conversations SET last_seq = 1200 WHERE id = '{id}'",
            root = text(&root, "id")
        ))
        .await;
    age(server, &talk, 1200, 3).await;
    keep(server, &ada, json!({ "group": 2 })).await;
    let mut feed = server.follow(&ada, &talk.id, Some(&talk.cursor)).await;
    run(server, &ada).await;
    assert_eq!(rows(server, "messages", &ada).await, 0);
    assert_eq!(feed.next().await["__typename"], "MessageSent");
    assert_eq!(feed.next().await["message"]["id"], root["id"], "the root is emptied while replies to it are left");
    let mut told = Vec::new();
    while told.last().is_none_or(|(up_to, _)| *up_to != json!(1200)) {
        let event = feed.next().await;
        assert_eq!(event["__typename"], "MessagesExpired");
        told.push((event["upTo"].clone(), event["kept"].clone()));
    }
    let kept = json!([root["id"]]);
    assert_eq!(told, [(json!(500), kept.clone()), (json!(1000), kept), (json!(1200), json!([]))]);
}

#[tokio::test]
async fn a_conversation_whose_messages_cannot_go_keeps_no_other_waiting() {
    let server = working(|config| config.jobs.workers = 0).await;
    let ada = server.founder().await;
    let talks = [server.group(&ada, &[]).await, server.group(&ada, &[]).await];
    for talk in &talks {
        server.say(&ada, talk, "old").await;
        age(&server, talk, 1, 31).await;
    }
    keep(&server, &ada, json!({ "group": 30 })).await;
    // The first one to come.
    server.refuse("UPDATE OF expired_seq ON conversations", &format!("NEW.id = '{}'", talks[0].id)).await;
    expire(&server.app, ada.organization).await.expect_err("one conversation failed");
    assert_eq!(server.numbers(&ada, &talks[0]).await, [1]);
    assert_eq!(server.numbers(&ada, &talks[1]).await, [0; 0]);
    server.allow("conversations").await;
    run(&server, &ada).await;
    assert_eq!(server.numbers(&ada, &talks[0]).await, [0; 0]);
}
