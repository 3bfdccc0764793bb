//! Mattermost's bulk export, with and without the files.

use super::{newer::expected, *};
use crate::{
    files::{PNG, kept},
    kit::server,
};

fn lines(ada: &Founder) -> Vec<Value> {
    let said =
        |user: &str, at: i64, message: &str| json!({ "user": user, "message": message, "create_at": at, "edit_at": 0 });
    let post = |mut post: Value, more: Value| {
        post["team"] = json!("acme");
        post["channel"] = json!("town");
        post.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({ "type": "post", "post": post })
    };
    let user = |name: &str, more: Value| {
        let mut user = json!({ "username": name, "email": format!("{name}-{}", ada.email), "roles": "system_user", "delete_at": 0,
            "teams": [{ "name": "acme", "roles": "team_user", "channels": [{ "name": "town", "roles": "channel_user" }] }] });
        user.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({ "type": "user", "user": user })
    };
    vec![
        json!({ "type": "version", "version": 1, "info": { "generator": "mattermost-server" } }),
        json!({ "type": "emoji", "emoji": { "name": "acme", "image": "exported_emoji/x/image" } }),
        json!({ "type": "team", "team": { "name": "acme", "display_name": "Acme", "type": "I" } }),
        json!({ "type": "channel", "channel": { "team": "acme", "name": "town", "display_name": "Town Square", "type": "O",
            "header": "Look here", "purpose": "Talk" } }),
        json!({ "type": "channel", "channel": { "team": "acme", "name": "attic", "display_name": "Attic", "type": "P", "deleted_at": 1704000000000_i64 } }),
        user("ada", json!({ "email": ada.email, "first_name": "Ada", "last_name": "L" })),
        user(
            "bob",
            json!({ "first_name": "Bob", "last_name": "B", "position": "Mason",
            "teams": [{ "name": "acme", "channels": [{ "name": "town", "roles": "channel_user channel_admin" }, { "name": "attic" }] }] }),
        ),
        user("old.carl", json!({ "nickname": "Carl", "delete_at": 1704000000000_i64 })),
        user(
            "gwen",
            json!({ "roles": "system_guest",
            "teams": [{ "name": "acme", "channels": [{ "name": "town" }, { "name": "attic", "roles": "channel_user channel_admin" }] }] }),
        ),
        json!({ "type": "bot", "bot": { "username": "ci", "display_name": "CI" } }),
        // Not in the order of time.
        post(
            said("ada", 1_704_100_300_000, "Later, with a mistake"),
            json!({ "edit_at": 1_704_100_900_000_i64, "is_pinned": true }),
        ),
        post(
            said("bob", 1_704_100_100_000, "Hello @ada, @all :tada: <@here> `@ada`"),
            json!({
                "reactions": [
                    { "user": "ada", "create_at": 1_704_100_200_000_i64, "emoji_name": "+1_light_skin_tone" },
                    { "user": "ada", "create_at": 1_704_100_200_000_i64, "emoji_name": "acme" },
                    { "user": "nobody", "create_at": 1_704_100_200_000_i64, "emoji_name": "heart" }
                ],
                "replies": [
                    said("old.carl", 1_704_100_400_000, "A late reply"),
                    said("ada", 1_704_100_150_000, "A quick reply"),
                    { "user": "ada", "type": "system_generic", "message": "nothing", "create_at": 1_704_100_151_000_i64 }
                ],
                "attachments": [{ "path": "20240101/teams/noteam/pic.png" }, { "path": "20240101/x/tool.exe" }, { "path": "20240101/x/away.txt" }]
            }),
        ),
        post(
            said("ci", 1_704_100_500_000, ""),
            json!({ "props": { "attachments": [{ "title": "Build", "text": "**green**" }] } }),
        ),
        post(said("ada", 1_704_100_600_000, "same"), json!({})),
        post(said("ada", 1_704_100_600_000, "time"), json!({})),
        post(
            said("ada", 1_704_100_610_000, "x joined"),
            json!({ "type": "system_join_channel", "replies": [said("bob", 1_704_100_611_000, "welcome")] }),
        ),
        post(said("stranger", 1_704_100_620_000, "who?"), json!({})),
        post(said("ada", 9_904_100_620_000, "in the year 2283"), json!({})),
        json!({ "type": "post", "post": { "team": "acme", "channel": "nowhere", "user": "ada", "message": "lost", "create_at": 1_704_100_620_000_i64 } }),
        json!({ "type": "post", "post": { "team": 7 } }),
        json!({ "type": "post", "post": { "team": "acme", "channel": "attic", "user": "bob", "message": "dusty", "create_at": 1_704_100_000_000_i64 } }),
        json!({ "type": "direct_channel", "direct_channel": { "members": ["ada", "bob"], "header": "" } }),
        json!({ "type": "direct_channel", "direct_channel": { "participants": [{ "username": "ada" }, { "username": "bob" }, { "username": "gwen" }] } }),
        json!({ "type": "direct_channel", "direct_channel": { "members": ["ada", "nobody"] } }),
        json!({ "type": "direct_post", "direct_post": { "channel_members": ["bob", "ada"], "user": "ada", "message": "between us",
            "create_at": 1_704_100_000_000_i64, "attachments": [{ "path": "20240101/x/note.txt" }] } }),
    ]
}

fn text_of(lines: &[Value]) -> Vec<u8> {
    lines.iter().map(|line| format!("{line}\n")).collect::<String>().into_bytes()
}

#[tokio::test]
async fn a_team_comes_over_from_mattermost_with_its_files() {
    let server = server().await;
    let ada = server.founder().await;
    let made = file(
        "export.zip",
        &packed(&[
            ("import.jsonl", text_of(&lines(&ada))),
            ("data/20240101/teams/noteam/pic.png", PNG.to_vec()),
            ("data/20240101/x/tool.exe", b"MZ\x90\0".to_vec()),
            ("data/20240101/x/note.txt", b"remember".to_vec()),
        ]),
    );
    let (_, dry) = import(server, &ada, "mattermost", &made.path, &["--dry-run"]).await;
    assert_eq!(
        server.count(&format!("SELECT count(*) FROM memberships WHERE organization_id = '{}'", ada.organization)).await,
        1
    );
    assert!(kept(&server.app, ada.organization).is_empty(), "a dry run stores nothing");
    let (code, said) = import(server, &ada, "mattermost", &made.path, &[]).await;
    assert_eq!(code, 0, "{said}");
    // Who was a guest is one here, and who was deactivated there does not come in here.
    let members = "{ members(first: 50) { nodes { name role status } } }";
    let answer = server.graphql(members, json!({}), Some(&ada)).await;
    let members = data(&answer, "members.nodes").as_array().unwrap();
    let mut told: Vec<String> = members
        .iter()
        .map(|one| format!("{} {} {}", text(one, "name"), text(one, "role"), text(one, "status")))
        .collect();
    told.sort();
    let expected = [
        "Ada Founder OWNER ACTIVE",
        "Bob B MEMBER ACTIVE",
        "CI MEMBER SUSPENDED",
        "Carl MEMBER SUSPENDED",
        "gwen GUEST ACTIVE",
    ];
    assert_eq!(told, expected);
    let town = titled(server, &ada, "Town Square").await;
    assert_eq!(
        (&town["visibility"], &town["topic"], &town["unreadCount"]),
        (&json!("PUBLIC"), &json!("Look here\n\nTalk"), &json!(0))
    );
    let found = messages(server, &ada, &town).await;
    let hello = format!(
        "Hello <@{}>, <@channel> 🎉 &lt;<@here>> `@ada`\n\ntool.exe (not imported)\n\naway.txt (not imported)",
        ada.member
    );
    let expected = [
        &*hello,
        "A quick reply",
        "Later, with a mistake",
        "A late reply",
        "**Build**\n**green**",
        "same",
        "time",
        "welcome",
    ];
    assert_eq!(bodies(&found), expected);
    let senders: Vec<&str> = found.iter().map(|message| text(&message["sender"], "name")).collect();
    assert_eq!(senders, ["Bob B", "Ada Founder", "Ada Founder", "Carl", "CI", "Ada Founder", "Ada Founder", "Bob B"]);
    assert_eq!((&found[7]["threadRoot"], reason(&said, "replies to messages that do not come")), (&Value::Null, 1));
    let threads: Vec<&Value> = found.iter().map(|message| &message["threadSeq"]).collect();
    assert_eq!(threads[..4], [&Value::Null, &json!(1), &Value::Null, &json!(2)]);
    assert_eq!((&found[0]["replyCount"], &found[0]["reactions"][0]["emoji"]), (&json!(2), &json!("👍🏻")));
    assert_eq!(found[0]["reactions"].as_array().unwrap().len(), 1);
    assert_eq!(
        (&found[2]["editedAt"], &found[2]["pinnedAt"]),
        (&json!("2024-01-01T09:21:40.000Z"), &found[2]["createdAt"])
    );
    let owner = town["participants"]["nodes"].as_array().unwrap().iter().find(|seat| seat["role"] == "OWNER").unwrap();
    assert_eq!(owner["member"]["name"], "Bob B");
    let owner_of_attic = "SELECT string_agg(m.name, ', ') FROM participants p JOIN memberships m ON m.id = p.member_id
        JOIN conversations c ON c.id = p.conversation_id WHERE p.role = 'owner' AND c.title = 'Attic' AND c.organization_id =";
    let owner = server.text(&format!("{owner_of_attic} '{}'", ada.organization)).await;
    assert_eq!(owner, "Bob B", "no guest beside who is none");

    // The file is there as one that was uploaded is.
    let attached = &found[0]["attachments"]["nodes"];
    let expected = json!({ "name": "pic.png", "contentType": "image/png", "size": PNG.len(), "state": "READY" });
    let mut told = attached[0]["file"].clone();
    let url = told.as_object_mut().unwrap().remove("url").unwrap();
    assert_eq!((attached.as_array().unwrap().len(), told), (1, expected));
    let fetched = reqwest::get(format!("{}{}", server.url(), url.as_str().unwrap())).await.unwrap();
    assert_eq!((fetched.status().as_u16(), &*fetched.bytes().await.unwrap()), (200, PNG));
    let direct = conversations(server, &ada).await.into_iter().find(|one| one["kind"] == "DIRECT").unwrap();
    let told = messages(server, &ada, &direct).await;
    assert_eq!(
        (bodies(&told), &told[0]["attachments"]["nodes"][0]["file"]["name"]),
        (vec!["between us"], &json!("note.txt"))
    );

    assert_eq!((row(&said, "people"), row(&said, "conversations")), ([4, 1, 0], [4, 0, 1]), "{said}");
    assert_eq!((row(&said, "messages"), row(&said, "files")), ([10, 0, 6], [2, 0, 2]), "{said}");
    assert_eq!((row(&said, "reactions"), row(&said, "pinned messages")), ([1, 0, 2], [1, 0, 0]), "{said}");
    let numbers =
        |said: &str| ["people", "conversations", "messages", "reactions", "files"].map(|what| row(said, what));
    assert_eq!(numbers(&dry), numbers(&said));
    for told in [":acme:", "tool.exe", "away.txt", "emoji", "import.jsonl, line "] {
        assert!(said.contains(told), "{told}: {said}");
    }

    let (_, said) = import(server, &ada, "mattermost", &made.path, &[]).await;
    assert_eq!((row(&said, "messages"), row(&said, "files")), ([0, 10, 6], [0, 0, 0]), "{said}");
    let files = format!("SELECT count(*) FROM files WHERE organization_id = '{}'", ada.organization);
    assert_eq!(server.count(&files).await, 2);
}

#[tokio::test]
async fn a_file_of_lines_is_enough() {
    let server = server().await;
    let ada = server.founder().await;
    let made = file("bulk.jsonl", &text_of(&lines(&ada)));
    let (code, said) = import(server, &ada, "mattermost", &made.path, &[]).await;
    assert_eq!((code, row(&said, "messages"), row(&said, "files")), (0, [10, 0, 6], [0, 0, 4]), "{said}");
    assert_eq!(reason(&said, "not in the package"), 4, "{said}");
}

#[tokio::test]
async fn channels_of_two_teams_are_told_apart_and_stay_private_or_archived() {
    let server = server().await;
    let ada = server.founder().await;
    let team = |name: &str, shown: &str| json!({ "type": "team", "team": { "name": name, "display_name": shown } });
    let channel = |team: &str, name: &str, shown: &str, kind: &str, deleted_at: i64| {
        let channel =
            json!({ "team": team, "name": name, "display_name": shown, "type": kind, "deleted_at": deleted_at });
        json!({ "type": "channel", "channel": channel })
    };
    let teams = json!([
        { "name": "acme", "channels": [{ "name": "town" }, { "name": "attic" }] },
        { "name": "beta", "channels": [{ "name": "town" }, { "name": "vault" }] }
    ]);
    let lines = [
        json!({ "type": "version", "version": 1 }),
        team("acme", "Acme"),
        team("beta", "Beta"),
        channel("acme", "town", "Town Square", "O", 0),
        channel("acme", "attic", "Attic", "O", 1_704_000_000_000),
        channel("beta", "town", "Town Square", "P", 0),
        channel("beta", "vault", "Vault", "P", 1_704_000_000_000),
        json!({ "type": "user", "user": { "username": "ada", "email": ada.email, "teams": teams } }),
    ];
    let made = file("bulk.jsonl", &text_of(&lines));
    let (code, said) = import(server, &ada, "mattermost", &made.path, &[]).await;
    assert_eq!((code, row(&said, "conversations")), (0, [4, 0, 0]), "{said}");
    let all = conversations(server, &ada).await;
    let archived = |one: &Value| if one["archivedAt"].is_null() { "open" } else { "archived" };
    let mut told: Vec<String> =
        all.iter().map(|one| format!("{} {} {}", text(one, "title"), text(one, "visibility"), archived(one))).collect();
    told.sort();
    let expected = [
        "Attic (Acme) PUBLIC archived",
        "Town Square (Acme) PUBLIC open",
        "Town Square (Beta) PRIVATE open",
        "Vault (Beta) PRIVATE archived",
    ];
    assert_eq!(told, expected);
}

#[tokio::test]
async fn what_was_said_at_the_same_time_comes_also_where_a_batch_ends_between() {
    let server = server().await;
    let ada = server.founder().await;
    let user = |name: &str, email: &str| {
        let teams = json!([{ "name": "acme", "channels": [{ "name": "town" }] }]);
        json!({ "type": "user", "user": { "username": name, "email": email, "teams": teams } })
    };
    // A second apart, and the last two, the end of 200 and one more, together.
    let post = |n: i64| {
        json!({ "type": "post", "post": { "team": "acme", "channel": "town", "message": format!("m{n}"),
            "user": if n % 2 == 0 { "ada" } else { "bob" }, "create_at": 1_704_100_000_000 + n.min(199) * 1000 } })
    };
    let mut lines = vec![
        json!({ "type": "version", "version": 1 }),
        json!({ "type": "team", "team": { "name": "acme", "display_name": "Acme" } }),
        json!({ "type": "channel", "channel": { "team": "acme", "name": "town", "display_name": "Town Square", "type": "O" } }),
        user("ada", &ada.email),
        user("bob", &format!("bob-{}", ada.email)),
    ];
    lines.extend((0..201).map(post));
    let made = file("bulk.jsonl", &text_of(&lines));
    let (code, said) = import(server, &ada, "mattermost", &made.path, &[]).await;
    assert_eq!((code, row(&said, "messages")), (0, [201, 0, 0]), "{said}");
    let town = titled(server, &ada, "Town Square").await;
    assert_eq!(bodies(&messages(server, &ada, &town).await), expected(201));
}

/// An export in which Ada has said one thing, with files of these names; three bytes each.
fn with_files(ada: &Founder, names: &[String]) -> Made {
    let attachments: Vec<Value> = names.iter().map(|name| json!({ "path": format!("20240101/x/{name}") })).collect();
    let lines = [
        json!({ "type": "version", "version": 1 }),
        json!({ "type": "team", "team": { "name": "acme", "display_name": "Acme" } }),
        json!({ "type": "channel", "channel": { "team": "acme", "name": "town", "display_name": "Town Square", "type": "O" } }),
        json!({ "type": "user", "user": { "username": "ada", "email": ada.email,
            "teams": [{ "name": "acme", "channels": [{ "name": "town" }] }] } }),
        json!({ "type": "post", "post": { "team": "acme", "channel": "town", "user": "ada", "message": "Look",
            "create_at": 1_704_100_000_000_i64, "attachments": attachments } }),
    ];
    let paths: Vec<String> = names.iter().map(|name| format!("data/20240101/x/{name}")).collect();
    let mut entries = vec![("import.jsonl", text_of(&lines))];
    entries.extend(paths.iter().map(|path| (path.as_str(), b"abc".to_vec())));
    file("export.zip", &packed(&entries))
}

#[tokio::test]
async fn the_files_of_a_message_come_in_their_order_and_ten_at_most() {
    let server = server().await;
    let ada = server.founder().await;
    // In no order but the one in which they were given.
    let names: Vec<String> = (0..11).map(|n| format!("n{}.txt", n * 7 % 11)).collect();
    let made = with_files(&ada, &names);
    let (code, said) = import(server, &ada, "mattermost", &made.path, &[]).await;
    assert_eq!((code, row(&said, "files")), (0, [10, 0, 1]), "{said}");
    assert_eq!(reason(&said, "files of messages that have 10 already"), 1, "{said}");
    let town = titled(server, &ada, "Town Square").await;
    let found = messages(server, &ada, &town).await;
    assert_eq!(bodies(&found), [format!("Look\n\n{} (not imported)", names[10])]);
    let attached = found[0]["attachments"]["nodes"].as_array().unwrap();
    let attached: Vec<&str> = attached.iter().map(|one| text(&one["file"], "name")).collect();
    assert_eq!(attached, names[..5]);
}

#[tokio::test]
async fn files_beyond_what_the_organization_may_have_do_not_come() {
    let server = server().await;
    let ada = server.founder().await;
    // Of ten gibibytes five bytes are left.
    server
        .sql(&format!(
            "INSERT INTO files (organization_id, id, name, content_type, size, state, checksum, object, created_by)
             SELECT '{}', gen_random_uuid(), 'large.txt', 'text/plain', 2147483647, 'ready', repeat('0', 64),
               gen_random_uuid()::text, '{}' FROM generate_series(1, 5)",
            ada.organization, ada.member
        ))
        .await;
    let made = with_files(&ada, &["fits.txt", "more.txt"].map(str::to_owned));
    let (code, said) = import(server, &ada, "mattermost", &made.path, &[]).await;
    assert_eq!((code, row(&said, "files")), (0, [1, 0, 1]), "{said}");
    assert_eq!(reason(&said, "files beyond what the organization may have"), 1, "{said}");
    let town = titled(server, &ada, "Town Square").await;
    assert_eq!(bodies(&messages(server, &ada, &town).await), ["Look\n\nmore.txt (not imported)"]);
}
