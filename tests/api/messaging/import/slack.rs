//! A whole export of Slack, with all that such exports have.

use super::{newer::pinned, *};
use crate::kit::{PASSWORD, server};

/// All kinds of conversations, and in one of them all kinds of messages.
fn export(ada: &Founder) -> Vec<u8> {
    let first_day = json!([
        { "type": "message", "user": "U2", "ts": "1704100000.000200", "thread_ts": "1704100000.000100", "text": "Welcome!" },
        { "type": "message", "user": "U1", "ts": "1704100000.000100", "thread_ts": "1704100000.000100", "reply_count": 2,
            "text": "Hello <@U2> &amp; <!here>, *see* <https://stoa.example|this> :tada:",
            "reactions": [
                { "name": "+1::skin-tone-3", "users": ["U2", "U4"], "count": 2 },
                { "name": "party_parrot", "users": ["U2"], "count": 1 },
                { "name": "heart", "users": ["U9"], "count": 1 }
            ] },
        { "type": "message", "subtype": "channel_join", "user": "U4", "ts": "1704100001.000100", "text": "<@U4> has joined the channel" },
        { "type": "message", "subtype": "thread_broadcast", "user": "U3", "ts": "1704100002.000100",
            "thread_ts": "1704100000.000100", "text": "For all", "edited": { "user": "U3", "ts": "1704100009.000000" } },
        { "type": "message", "subtype": "bot_message", "bot_id": "B1", "ts": "1704100003.000100", "text": "",
            "attachments": [{ "fallback": "no", "title": "Build 7", "title_link": "https://ci.example/7", "text": "*green*" }] },
        { "type": "message", "subtype": "bot_message", "username": "Weather", "ts": "1704100004.000100", "text": "Sunny" },
        { "type": "message", "user": "U2", "ts": "1704100005.000100", "text": "Plans", "files": [
            { "id": "F1", "name": "plan.pdf", "url_private": "https://files.slack.com/F1?t=xoxe", "permalink": "https://team.slack.com/files/F1" },
            { "id": "F2", "mode": "tombstone", "name": "gone.pdf" }
        ] },
        { "type": "message", "subtype": "tombstone", "user": "USLACKBOT", "ts": "1704100006.000100", "thread_ts": "1704100006.000100",
            "text": "This message was deleted.", "hidden": true },
        { "type": "message", "user": "U1", "ts": "1704100007.000100", "thread_ts": "1704100006.000100", "text": "Why deleted?" },
        { "type": "message", "user": "U8", "user_profile": { "real_name": "Eve Extern" }, "ts": "1704100008.000100", "text": "I am a guest of <@U8>" },
        { "type": "message", "user": "U9", "ts": "1704100009.000100", "text": "Nobody knows me" },
        { "type": "message", "user": "U1", "ts": "yesterday", "text": "When?" },
        { "type": "message", "user": "U1", "ts": 5, "text": "Shapeless" },
        { "type": "message", "user": "U1", "ts": "1704100010.000100", "text": "" },
        { "type": "message", "user": "U1", "ts": "1704100011.000100", "thread_ts": "1600000000.000100", "text": "A reply to nothing" },
        { "type": "message", "user": "U1", "ts": "1704100011.000100", "text": "Twice" },
        { "type": "message", "user": "U1", "ts": "1704100011.500100", "text": "\u{7}\u{0}" },
        { "type": "message", "subtype": "me_message", "user": "U1", "ts": "1704100012.000100", "text": "waves" }
    ]);
    let long = "x".repeat(50_000);
    let second_day = json!([{ "type": "message", "user": "U2", "ts": "1704200000.000100", "text": long }]);
    packed(&[
        entry("users.json", slack_people(ada)),
        entry("channels.json", slack_channels()),
        entry(
            "groups.json",
            json!([{ "id": "G1", "name": "board", "created": 1704000001, "creator": "U2", "members": ["U1", "U2"] }]),
        ),
        entry(
            "dms.json",
            json!([
                { "id": "D1", "created": 1704000002, "members": ["U1", "U2"] },
                { "id": "D2", "created": 1704000003, "members": ["U1", "U1"] }
            ]),
        ),
        entry(
            "mpims.json",
            json!([{ "id": "M1", "name": "mpdm-ada--bob--gwen-1", "created": 1704000004, "creator": "U1",
            "members": ["U1", "U2", "U4"] }]),
        ),
        entry("integration_logs.json", json!([])),
        // The later day first: order is that of time.
        entry("general/2024-01-02.json", second_day),
        entry("general/2024-01-01.json", first_day),
        entry("old-times/2023-11-15.json", json!([{ "user": "U1", "ts": "1700100000.000100", "text": "Once" }])),
        entry("board/2024-01-01.json", json!([{ "user": "U2", "ts": "1704100000.000100", "text": "Secret" }])),
        entry("D1/2024-01-01.json", json!([{ "user": "U2", "ts": "1704100000.000100", "text": "Between us" }])),
        entry("D2/2024-01-01.json", json!([{ "user": "U1", "ts": "1704100000.000100", "text": "To myself" }])),
        entry(
            "mpdm-ada--bob--gwen-1/2024-01-01.json",
            json!([{ "user": "U4", "ts": "1704100000.000100", "text": "We three" }]),
        ),
        entry("nowhere/2024-01-01.json", json!([{ "user": "U1", "ts": "1704100000.000100", "text": "Lost" }])),
    ])
}

#[tokio::test]
async fn a_team_comes_over_from_slack_with_all_that_it_said() {
    let server = server().await;
    let ada = server.founder().await;
    let made = file("acme.zip", &export(&ada));
    let jobs = format!("SELECT count(*) FROM jobs WHERE organization_id = '{}'", ada.organization);
    let before = server.count(&jobs).await;
    let (code, said) = import(server, &ada, "slack", &made.path, &[]).await;
    assert_eq!(code, 0, "{said}");

    // People: Ada is who she was, the others are new, and only those who were there may come in.
    let members = "{ members(first: 50, orderBy: [{ field: NAME }]) { nodes { name email title role status } } }";
    let answer = server.graphql(members, json!({}), Some(&ada)).await;
    let told: Vec<String> = data(&answer, "members.nodes")
        .as_array()
        .unwrap()
        .iter()
        .map(|one| format!("{} {} {}", text(one, "name"), text(one, "role"), text(one, "status")))
        .collect();
    let expected = [
        "Ada Founder OWNER ACTIVE",
        "Bob Builder MEMBER ACTIVE",
        "Carl Gone MEMBER SUSPENDED",
        "Deploy MEMBER SUSPENDED",
        "Eve Extern MEMBER SUSPENDED",
        "Gwen Guest GUEST ACTIVE",
        "Slackbot MEMBER SUSPENDED",
        "Weather MEMBER SUSPENDED",
    ];
    assert_eq!(told, expected);
    let nodes = data(&answer, "members.nodes");
    assert_eq!(nodes[1]["title"], "Site manager");
    assert!(text(&nodes[3], "email").ends_with(".slack.invalid"), "{}", nodes[3]);
    assert_eq!(server.count(&jobs).await, before, "an import writes to nobody");

    let all = conversations(server, &ada).await;
    let kinds: Vec<String> = all
        .iter()
        .map(|one| {
            format!("{} {} {}", text(one, "kind"), text(one, "visibility"), one["title"].as_str().unwrap_or("-"))
        })
        .collect();
    let expected = [
        "CHANNEL PUBLIC old-times",
        "CHANNEL PUBLIC general",
        "CHANNEL PRIVATE board",
        "DIRECT PRIVATE -",
        "GROUP PRIVATE Notes",
        "GROUP PRIVATE -",
    ];
    assert_eq!(kinds, expected);
    assert!(all.iter().all(|one| one["unreadCount"] == 0), "nothing of it is new to anybody");
    assert!(!all[0]["archivedAt"].is_null() && all[1]["archivedAt"].is_null());
    assert_eq!(all[1]["topic"], "All of us & [more](https://stoa.example)\n\nNews");
    assert_eq!(all[0]["topic"], "Ask @Carl Gone or @here");
    assert_eq!(all[1]["createdAt"], "2023-12-31T05:20:00.000Z");
    assert_eq!(all[1]["lastMessageAt"], "2024-01-02T12:53:20.000Z");
    // Ada opened it; who only wrote there has left; who was never there is not.
    let mut seats: Vec<String> = all[1]["participants"]["nodes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|seat| format!("{} {} {}", text(&seat["member"], "name"), text(seat, "role"), seat["leftAt"].is_null()))
        .collect();
    seats.sort();
    let expected = [
        "Ada Founder OWNER true",
        "Bob Builder MEMBER true",
        "Carl Gone MEMBER false",
        "Deploy MEMBER false",
        "Eve Extern MEMBER false",
        "Gwen Guest MEMBER true",
        "Slackbot MEMBER false",
        "Weather MEMBER false",
    ];
    assert_eq!(seats, expected);

    let general = messages(server, &ada, &all[1]).await;
    let bob = server.text(&format!("SELECT id::text FROM memberships WHERE email = 'bob-{}'", ada.email)).await;
    let eve = server
        .text(&format!(
            "SELECT id::text FROM memberships WHERE name = 'Eve Extern' AND organization_id = '{}'",
            ada.organization
        ))
        .await;
    let hello = format!("Hello <@{bob}> & <@here>, **see** [this](https://stoa.example) 🎉");
    let guest = format!("I am a guest of <@{eve}>");
    let expected = [
        hello.as_str(),
        "Welcome!",
        "For all",
        "[Build 7](https://ci.example/7)\n**green**",
        "Sunny",
        "Plans\n\n[plan.pdf](https://team.slack.com/files/F1)\n\ngone.pdf (deleted)",
        "(deleted)",
        "Why deleted?",
        guest.as_str(),
        "A reply to nothing",
        "_waves_",
    ];
    let (last, others) = general.split_last().unwrap();
    assert_eq!(bodies(others), expected);
    assert!(text(last, "body").ends_with("x […]") && text(last, "body").chars().count() <= 40_000);
    let numbers: Vec<i64> = general.iter().map(|message| message["seq"].as_i64().unwrap()).collect();
    assert_eq!(numbers, (1..=12).collect::<Vec<_>>());
    let senders: Vec<&str> = general.iter().map(|message| text(&message["sender"], "name")).collect();
    let expected = [
        "Ada Founder",
        "Bob Builder",
        "Carl Gone",
        "Deploy",
        "Weather",
        "Bob Builder",
        "Slackbot",
        "Ada Founder",
        "Eve Extern",
        "Ada Founder",
        "Ada Founder",
        "Bob Builder",
    ];
    assert_eq!(senders, expected);
    let root = &general[0];
    assert_eq!((&root["createdAt"], &root["replyCount"]), (&json!("2024-01-01T09:06:40.000Z"), &json!(2)));
    assert_eq!(root["pinnedAt"], "2024-01-02T12:53:20.000Z");
    assert_eq!(names(&root["followers"]), ["Ada Founder", "Bob Builder", "Carl Gone"]);
    assert_eq!(root["mentionsMe"], true, "@here means her");
    assert_eq!(root["mentions"]["nodes"].as_array().unwrap().len(), 2);
    assert_eq!((&root["reactions"][0]["emoji"], &root["reactions"][0]["count"]), (&json!("👍🏼"), &json!(2)));
    assert_eq!(root["reactions"].as_array().unwrap().len(), 1);
    assert_eq!(names(&root["reactions"][0]["members"]), ["Bob Builder", "Gwen Guest"]);
    let threads: Vec<(&Value, &Value)> =
        general.iter().map(|message| (&message["threadRoot"]["seq"], &message["threadSeq"])).collect();
    assert_eq!(threads[1..4], [(&json!(1), &json!(1)), (&json!(1), &json!(2)), (&Value::Null, &Value::Null)]);
    assert_eq!((&general[2]["editedAt"], &general[6]["replyCount"]), (&json!("2024-01-01T09:06:49.000Z"), &json!(1)));
    assert_eq!(threads[7], (&json!(7), &json!(1)));
    assert_eq!(threads[9].0, &Value::Null);

    // And what did not come is said.
    assert_eq!(row(&said, "people"), [7, 1, 0], "{said}");
    assert_eq!(row(&said, "conversations"), [6, 0, 0], "{said}");
    assert_eq!(row(&said, "messages"), [17, 0, 8], "{said}");
    assert_eq!(row(&said, "reactions"), [2, 0, 2], "{said}");
    assert_eq!(row(&said, "pinned messages"), [1, 0, 0], "{said}");
    assert_eq!(row(&said, "files"), [0, 0, 2], "{said}");
    for (words, count) in [
        ("only told of something", 1),
        ("people whom the export does not name", 1),
        ("without a time", 1),
        ("not written as messages are", 1),
        ("without a text or a file", 2),
        ("stand in the export twice", 1),
        ("conversations that the export does not name", 1),
        ("emojis of the team's own", 1),
        ("reactions of people whom", 1),
        ("files that Slack keeps", 1),
        ("deleted there", 1),
        ("other things in the export", 1),
        ("come cut", 1),
        ("replies to messages that do not come", 1),
        ("conversations without members", 1),
    ] {
        assert_eq!(reason(&said, words), count, "{words}: {said}");
    }
    for told in ["general/2024-01-01.json, line ", ":party_parrot:", "plan.pdf", "integration_logs.json", "nowhere/"] {
        assert!(said.contains(told), "{told}: {said}");
    }
}

#[tokio::test]
async fn whoever_came_signs_in_once_they_have_chosen_a_password() {
    let server = server().await;
    let ada = server.founder().await;
    let made = file("acme.zip", &export(&ada));
    assert_eq!(import(server, &ada, "slack", &made.path, &[]).await.0, 0);
    let login =
        "mutation($input: LoginInput!) { login(input: $input) { session { accessToken } userErrors { code } } }";
    let of = async |name: &str, password: &str| {
        let input = json!({ "email": format!("{name}-{}", ada.email), "password": password });
        let answer = server.graphql(login, json!({ "input": input }), None).await;
        answer["data"]["login"]["session"]["accessToken"].as_str().map(str::to_owned)
    };
    assert_eq!(of("bob", "").await, None);
    for name in ["bob", "carl"] {
        let email = format!("{name}-{}", ada.email);
        let (code, said) =
            crate::kit::command::stoa(server, &["user", "reset", &email, "--password-stdin"], PASSWORD).await;
        assert_eq!(code, 0, "{said}");
    }
    let bob = of("bob", PASSWORD).await.expect("a session");
    assert_eq!(of("carl", PASSWORD).await, None, "who had left there does not come in here");
    // He sees what was private there, and has read all of it.
    let query = "{ conversations { nodes { title unreadCount lastSeq } } }";
    let answer = server.graphql(query, json!({}), Some(&bob)).await;
    let all = data(&answer, "conversations.nodes").as_array().unwrap();
    assert!(all.iter().any(|one| one["title"] == "board") && all.iter().all(|one| one["unreadCount"] == 0), "{answer}");
    assert!(all.iter().all(|one| one["title"] != "old-times"), "he never wrote there");
}

#[tokio::test]
async fn a_dry_run_says_the_same_and_writes_nothing() {
    let server = server().await;
    let ada = server.founder().await;
    let made = file("acme.zip", &export(&ada));
    let (code, dry) = import(server, &ada, "slack", &made.path, &["--dry-run"]).await;
    assert_eq!(code, 0, "{dry}");
    assert!(dry.contains("nothing was written") && dry.contains("would come"), "{dry}");
    let own = |table: &str| format!("SELECT count(*) FROM {table} WHERE organization_id = '{}'", ada.organization);
    for table in ["conversations", "messages", "participants", "imported_records", "files", "reactions"] {
        assert_eq!(server.count(&own(table)).await, 0, "{table}");
    }
    assert_eq!(server.count(&own("memberships")).await, 1);
    assert_eq!(server.count(&format!("SELECT count(*) FROM users WHERE email LIKE '%{}'", ada.email)).await, 1);
    let (_, real) = import(server, &ada, "slack", &made.path, &[]).await;
    let numbers = |said: &str| {
        ["people", "conversations", "messages", "reactions", "pinned messages", "files"].map(|what| row(said, what))
    };
    assert_eq!(numbers(&dry), numbers(&real));
    let reasons = |said: &str| {
        said.split_once("What does not come").unwrap().1.replace("\nThis was a dry run: nothing was written.", "")
    };
    assert_eq!(reasons(&dry).trim(), reasons(&real).trim());
}

#[tokio::test]
async fn two_people_of_one_address_are_one_member_in_a_dry_run_as_well() {
    let server = server().await;
    let ada = server.founder().await;
    // More than are made in one transaction; the last has the address of the first.
    let user = |n: i32| {
        let address = format!("p{}-{}", n % 119, ada.email);
        json!({ "id": format!("U{n}"), "profile": { "real_name": format!("P {n}"), "email": address } })
    };
    let people: Value = (0..120).map(user).collect();
    let made = file("acme.zip", &packed(&[entry("users.json", people), entry("channels.json", json!([]))]));
    let (_, dry) = import(server, &ada, "slack", &made.path, &["--dry-run"]).await;
    let (code, said) = import(server, &ada, "slack", &made.path, &[]).await;
    assert_eq!((code, row(&said, "people"), row(&dry, "people")), (0, [119, 1, 0], [119, 1, 0]), "{said}");
    assert_eq!((reason(&said, "have the address of another"), reason(&dry, "have the address of another")), (1, 1));
}

#[tokio::test]
async fn what_programs_show_comes_and_previews_of_links_do_not() {
    let server = server().await;
    let ada = server.founder().await;
    let said = json!([
        { "user": "U1", "ts": "1704100000.000100", "text": "Have a look", "attachments": [{ "from_url": "https://news.example/1",
            "title": "News", "title_link": "https://news.example/1", "text": "What somebody else has written" }] },
        { "subtype": "bot_message", "bot_id": "B1", "ts": "1704100001.000100", "text": "", "blocks": [
            { "type": "section", "text": { "type": "mrkdwn", "text": "*Deployed*" } }, { "type": "divider" },
            { "type": "context", "elements": [{ "type": "mrkdwn", "text": "to production" }] }] },
        { "user": "U2", "ts": "1704100002.000100", "text": "Well done", "blocks": [
            { "type": "section", "text": { "type": "mrkdwn", "text": "Well done" } }] }
    ]);
    let entries = [
        entry("users.json", slack_people(&ada)),
        entry("channels.json", slack_channels()),
        entry("general/2024-01-01.json", said),
    ];
    let (code, said) = import(server, &ada, "slack", &file("acme.zip", &packed(&entries)).path, &[]).await;
    assert_eq!((code, row(&said, "messages")), (0, [3, 0, 0]), "{said}");
    let general = titled(server, &ada, "general").await;
    let found = messages(server, &ada, &general).await;
    assert_eq!(bodies(&found), ["Have a look", "**Deployed**\n\nto production", "Well done"]);
}

#[tokio::test]
async fn a_hundred_pinned_messages_come_of_a_conversation_and_no_more() {
    let server = server().await;
    let ada = server.founder().await;
    let (code, said) = import(server, &ada, "slack", &pinned(&ada, 101).path, &[]).await;
    assert_eq!((code, row(&said, "messages"), row(&said, "pinned messages")), (0, [101, 0, 0], [100, 0, 1]), "{said}");
    assert_eq!(reason(&said, "100 pinned messages already"), 1, "{said}");
    let pinned = "SELECT count(*) FROM messages WHERE pinned_at IS NOT NULL AND organization_id =";
    assert_eq!(server.count(&format!("{pinned} '{}'", ada.organization)).await, 100);
}

#[tokio::test]
async fn a_channel_of_somebody_who_has_left_is_owned_by_one_who_can_sign_in() {
    let server = server().await;
    let ada = server.founder().await;
    let mut channels = slack_channels();
    // Carl opened it, and still stands among its members.
    channels[0]["creator"] = json!("U3");
    channels[0]["members"] = json!(["U1", "U2", "U3"]);
    let entries = [entry("users.json", slack_people(&ada)), entry("channels.json", channels)];
    let (code, said) = import(server, &ada, "slack", &file("acme.zip", &packed(&entries)).path, &[]).await;
    assert_eq!(code, 0, "{said}");
    let general = titled(server, &ada, "general").await;
    let seats = general["participants"]["nodes"].as_array().unwrap();
    let of = |role: &str| {
        let seats = seats.iter().filter(|seat| seat["role"] == role);
        seats.map(|seat| text(&seat["member"], "status")).collect::<Vec<_>>()
    };
    assert_eq!(of("OWNER"), ["ACTIVE"]);
    assert!(of("MEMBER").contains(&"SUSPENDED"), "he is in it all the same: {seats:#?}");
}

#[tokio::test]
async fn a_message_as_long_as_one_may_be_comes_whole() {
    let server = server().await;
    let ada = server.founder().await;
    // Characters; of bytes it has twice as many.
    let long = "ä".repeat(40_000);
    let said = json!([{ "user": "U2", "ts": "1704100000.000100", "text": long }]);
    let made = super::newer::export(&ada, &[("general/2024-01-01.json", said)]);
    let (code, said) = import(server, &ada, "slack", &made.path, &[]).await;
    assert_eq!((code, row(&said, "messages"), reason(&said, "come cut")), (0, [1, 0, 0], 0), "{said}");
    let general = titled(server, &ada, "general").await;
    assert!(bodies(&messages(server, &ada, &general).await) == [&*long]);
}
