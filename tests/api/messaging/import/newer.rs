//! Exports that come again: the same one, a newer one, one that broke off; and who is looking while they come.

use super::{
    super::{Talk, live::Feed, live::Said},
    *,
};
use crate::kit::server;

/// So many messages by Ada and Bob, a minute apart, the first with replies to it; from that day on.
pub fn day(first: u32, count: u32) -> Value {
    (first..first + count)
        .map(|n| {
            let ts = format!("{}.000100", 1_704_100_000 + n * 60);
            let mut message =
                json!({ "user": if n % 2 == 0 { "U1" } else { "U2" }, "ts": ts, "text": format!("m{n}") });
            if n % 10 == 9 {
                message["thread_ts"] = json!("1704100000.000100");
            }
            message
        })
        .collect()
}

pub fn export(ada: &Founder, days: &[(&str, Value)]) -> Made {
    let mut entries = vec![entry("users.json", slack_people(ada)), entry("channels.json", slack_channels())];
    entries.extend(days.iter().map(|(name, day)| entry(name, day.clone())));
    file("export.zip", &packed(&entries))
}

pub fn expected(count: u32) -> Vec<String> {
    (0..count).map(|n| format!("m{n}")).collect()
}

/// So many messages, all of them pinned.
pub fn pinned(ada: &Founder, count: u32) -> Made {
    let messages = day(0, count);
    let pin = |message: &Value| json!({ "id": message["ts"], "type": "C", "created": 1704200000, "user": "U2" });
    let mut channels = slack_channels();
    channels[0]["pins"] = messages.as_array().unwrap().iter().map(pin).collect();
    let entries = [
        entry("users.json", slack_people(ada)),
        entry("channels.json", channels),
        entry("general/2024-01-01.json", messages),
    ];
    file("export.zip", &packed(&entries))
}

#[tokio::test]
async fn what_came_once_does_not_come_again_and_a_newer_export_adds() {
    let server = server().await;
    let ada = server.founder().await;
    let old = export(&ada, &[("general/2024-01-01.json", day(0, 25))]);
    assert_eq!(import(server, &ada, "slack", &old.path, &[]).await.0, 0);
    let general = titled(server, &ada, "general").await;
    let before = messages(server, &ada, &general).await;
    let (code, said) = import(server, &ada, "slack", &old.path, &[]).await;
    assert_eq!((code, row(&said, "messages"), row(&said, "people")), (0, [0, 25, 0], [0, 5, 0]), "{said}");
    assert_eq!(messages(server, &ada, &general).await, before);
    assert_eq!(titled(server, &ada, "general").await, general, "not even its cursor moved");

    // Bob has another address there by now, and there is one more channel.
    let mut people = slack_people(&ada);
    people[1]["profile"]["email"] = json!(format!("robert-{}", ada.email));
    let mut channels = slack_channels();
    channels[0]["members"] = json!(["U1", "U2", "U4", "U3"]);
    channels
        .as_array_mut()
        .unwrap()
        .push(json!({ "id": "C3", "name": "new", "created": 1704000009, "members": ["U1", "U2"] }));
    let newer = file(
        "export.zip",
        &packed(&[
            entry("users.json", people),
            entry("channels.json", channels),
            entry("general/2024-01-01.json", day(0, 25)),
            entry("general/2024-01-02.json", day(25, 10)),
            entry("new/2024-01-02.json", day(0, 1)),
        ]),
    );
    let (_, dry) = import(server, &ada, "slack", &newer.path, &["--dry-run"]).await;
    let (code, said) = import(server, &ada, "slack", &newer.path, &[]).await;
    assert_eq!(code, 0, "{said}");
    assert_eq!((row(&said, "messages"), row(&said, "conversations")), ([11, 25, 0], [1, 1, 1]), "{said}");
    assert_eq!((row(&dry, "messages"), row(&dry, "people")), ([11, 25, 0], [0, 5, 0]), "{dry}");
    let after = messages(server, &ada, &general).await;
    assert_eq!(bodies(&after), expected(35));
    let unchanged = |messages: &[Value]| messages.iter().skip(1).take(24).cloned().collect::<Vec<_>>();
    assert_eq!(unchanged(&after), unchanged(&before));
    assert_eq!(
        (&before[0]["replyCount"], &after[0]["replyCount"], &after[29]["threadSeq"]),
        (&json!(2), &json!(3), &json!(3))
    );
    let general = titled(server, &ada, "general").await;
    assert_eq!((&general["unreadCount"], &general["lastSeq"]), (&json!(0), &json!(35)));
    let count = format!("SELECT count(*) FROM memberships WHERE organization_id = '{}'", ada.organization);
    assert_eq!(server.count(&count).await, 5, "Bob is still the same");
}

#[tokio::test]
async fn pins_that_came_before_are_among_the_hundred() {
    let server = server().await;
    let ada = server.founder().await;
    for (count, came) in [(60, [60, 0, 0]), (161, [40, 0, 61])] {
        let (code, said) = import(server, &ada, "slack", &pinned(&ada, count).path, &[]).await;
        assert_eq!((code, row(&said, "pinned messages")), (0, came), "{said}");
    }
    let pinned = "SELECT count(*) FROM messages WHERE pinned_at IS NOT NULL AND organization_id =";
    assert_eq!(server.count(&format!("{pinned} '{}'", ada.organization)).await, 100);
}

#[tokio::test]
async fn what_was_said_here_meanwhile_keeps_its_number() {
    let server = server().await;
    let ada = server.founder().await;
    let old = export(&ada, &[("general/2024-01-01.json", day(10, 5))]);
    assert_eq!(import(server, &ada, "slack", &old.path, &[]).await.0, 0);
    let general = titled(server, &ada, "general").await;
    // Older ones than came, although nobody has written here: numbers are the order of time.
    let all = export(&ada, &[("general/2024-01-01.json", day(0, 20))]);
    let (code, said) = import(server, &ada, "slack", &all.path, &[]).await;
    assert_eq!((code, row(&said, "messages"), reason(&said, "older than the newest")), (0, [5, 5, 10], 10), "{said}");
    let talk = Talk { id: text(&general, "id").to_owned(), cursor: String::new() };
    server.say(&ada, &talk, "said here").await;
    let later = export(&ada, &[("general/2024-01-01.json", day(0, 30))]);
    let (_, said) = import(server, &ada, "slack", &later.path, &[]).await;
    assert_eq!(row(&said, "messages"), [0, 10, 20], "{said}");
    let found = messages(server, &ada, &general).await;
    let mut expected: Vec<String> = (10..20).map(|n| format!("m{n}")).collect();
    expected.push("said here".to_owned());
    assert_eq!(bodies(&found), expected);
}

#[tokio::test]
async fn an_import_that_broke_off_goes_on_when_it_is_run_again() {
    let server = server().await;
    let ada = server.founder().await;
    let made = export(&ada, &[("general/2024-01-01.json", day(0, 650)), ("old-times/2024-01-01.json", day(0, 3))]);
    broken_off(server, &ada, &made.path, 500).await;
    let come = format!("SELECT count(*) FROM messages WHERE organization_id = '{}'", ada.organization);
    assert_eq!(server.count(&come).await, 400, "whole batches are there");
    assert!(conversations(server, &ada).await.is_empty(), "and wait for the rest");
    let (code, said) = import(server, &ada, "slack", &made.path, &[]).await;
    assert_eq!((code, row(&said, "messages")), (0, [253, 400, 0]), "{said}");
    let general = titled(server, &ada, "general").await;
    assert_eq!((&general["unreadCount"], &general["createdAt"]), (&json!(0), &json!("2023-12-31T05:20:00.000Z")));
    let found = messages(server, &ada, &general).await;
    assert_eq!(bodies(&found), expected(650));
    assert_eq!((&found[0]["replyCount"], &found[649]["threadSeq"]), (&json!(65), &json!(65)));
}

#[tokio::test]
async fn whoever_is_looking_is_told_to_look_anew() {
    let server = server().await;
    let ada = server.founder().await;
    let old = export(&ada, &[("general/2024-01-01.json", day(0, 5)), ("old-times/2024-01-01.json", day(0, 1))]);
    assert_eq!(import(server, &ada, "slack", &old.path, &[]).await.0, 0);
    let general = titled(server, &ada, "general").await;
    let (id, cursor) = (text(&general, "id"), text(&general, "cursor"));
    let mut feed = server.follow(&ada, id, Some(cursor)).await;
    let query = "subscription($positions: [InboxPosition!]!) { inboxEvents(positions: $positions) { __typename
        ... on ConversationHappened { conversationId event { __typename ... on FeedEvent { cursor } ... on MessageSent { message { body } } } }
        ... on ConversationEntered { conversation { title } } } }";
    let known = titled(server, &ada, "old-times").await;
    let positions: Vec<Value> =
        [&general, &known].iter().map(|one| json!({ "conversationId": one["id"], "after": one["cursor"] })).collect();
    let mut inbox = Feed::open(&server.ws_url(), &ada, query, json!({ "positions": positions })).await.unwrap();
    let mut channels = slack_channels();
    channels
        .as_array_mut()
        .unwrap()
        .push(json!({ "id": "C3", "name": "new", "created": 1704000009, "members": ["U1"] }));
    let newer = [
        entry("users.json", slack_people(&ada)),
        entry("channels.json", channels),
        entry("general/2024-01-01.json", day(0, 10)),
    ];
    assert_eq!(import(server, &ada, "slack", &file("new.zip", &packed(&newer)).path, &[]).await.0, 0);

    let Said::Event(event) = feed.hear().await else { panic!("no event") };
    assert_eq!(event["__typename"], "ResyncRequired");
    assert_eq!(feed.hear().await, Said::Complete);
    // Behind its cursor comes what happens, and nothing else.
    let mut feed = server.follow(&ada, id, event["cursor"].as_str()).await;
    let talk = Talk { id: id.to_owned(), cursor: String::new() };
    let mut told = Vec::new();
    for _ in 0..2 {
        let Said::Event(event) = inbox.hear().await else { panic!("no event") };
        told.push(match text(&event, "__typename") {
            "ConversationEntered" => format!("entered {}", text(&event["conversation"], "title")),
            _ => text(&event["event"], "__typename").to_owned(),
        });
    }
    told.sort();
    assert_eq!(told, ["ResyncRequired", "entered new"]);
    server.say(&ada, &talk, "and on").await;
    let Said::Event(event) = feed.hear().await else { panic!("no event") };
    assert_eq!((&event["message"]["body"], &event["message"]["seq"]), (&json!("and on"), &json!(11)));
    let Said::Event(event) = inbox.hear().await else { panic!("no event") };
    assert_eq!(event["event"]["message"]["body"], "and on", "the inbox goes on by itself");
}

#[tokio::test]
async fn a_program_that_speaks_to_two_is_no_third() {
    let server = server().await;
    let ada = server.founder().await;
    let said = json!({ "user": "U2", "ts": "1704100000.000100", "text": "Between us" });
    let beep = json!({ "subtype": "bot_message", "bot_id": "B1", "ts": "1704100001.000100", "text": "Beep" });
    let later = json!({ "user": "U1", "ts": "1704100002.000100", "text": "What was that?" });
    let with = |messages: Value| {
        let dms = json!([{ "id": "D1", "created": 1704000002, "members": ["U1", "U2"] }]);
        let entries = [
            entry("users.json", slack_people(&ada)),
            entry("channels.json", json!([])),
            entry("dms.json", dms),
            entry("D1/2024-01-01.json", messages),
        ];
        file("export.zip", &packed(&entries))
    };
    assert_eq!(import(server, &ada, "slack", &with(json!([said])).path, &[]).await.0, 0);
    let (code, report) = import(server, &ada, "slack", &with(json!([said, beep, later])).path, &[]).await;
    assert_eq!((code, row(&report, "messages")), (0, [2, 1, 0]), "{report}");
    let all = conversations(server, &ada).await;
    let [direct] = &all[..] else { panic!("{all:?}") };
    assert_eq!(direct["kind"], "DIRECT");
    let seats = direct["participants"]["nodes"].as_array().unwrap();
    let seats: Vec<&str> = seats.iter().map(|seat| text(&seat["member"], "name")).collect();
    assert!(seats.len() == 2 && seats.contains(&"Ada Founder") && seats.contains(&"Bob Builder"), "{seats:?}");
    let found = messages(server, &ada, direct).await;
    assert_eq!(bodies(&found), ["Between us", "Beep", "What was that?"]);
    assert_eq!(text(&found[1]["sender"], "name"), "Deploy");
    let talk = Talk { id: text(direct, "id").to_owned(), cursor: String::new() };
    assert_eq!(server.say(&ada, &talk, "and on").await["body"], "and on");
}
