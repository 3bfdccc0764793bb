//! The team's own emoji, and who has reacted with them.

use super::*;
use crate::{
    avatar::{bomb, fetch, file as upload, png},
    kit::{server, user_errors},
};

/// Ada's emoji, by their names.
async fn emojis(server: &Server, who: &Founder, arguments: &str) -> Vec<Value> {
    let query = format!(
        "{{ emojis(first: 50, orderBy: [{{ field: NAME }}]{arguments}) {{ nodes {{ id name url creator {{ id }} }} }} }}"
    );
    data(&server.graphql(&query, json!({}), Some(who)).await, "emojis.nodes").as_array().unwrap().clone()
}

fn called(emojis: &[Value]) -> Vec<&str> {
    emojis.iter().map(|emoji| text(emoji, "name")).collect()
}

/// The reactions to a message: each with who has reacted, and what one sees.
async fn reactions(server: &Server, who: &Founder, message: &Value) -> Vec<String> {
    let query =
        "query($id: ID!) { node(id: $id) { ... on Message { reactions { emoji count customEmoji { name } } } } }";
    let answer = server.graphql(query, json!({ "id": message["id"] }), Some(who)).await;
    let all = data(&answer, "node.reactions").as_array().unwrap();
    let told = |one: &Value| {
        format!("{} {} {}", text(one, "emoji"), one["count"], one["customEmoji"]["name"].as_str().unwrap_or("-"))
    };
    let mut all: Vec<String> = all.iter().map(told).collect();
    all.sort();
    all
}

fn made(server_emoji: &[Value], name: &str) -> Value {
    server_emoji.iter().find(|emoji| emoji["name"] == json!(name)).unwrap_or_else(|| panic!("no {name}")).clone()
}

/// Ada's message, with a reaction of Bob's by each of these names.
fn said(names: &[&str]) -> Value {
    let reactions: Vec<Value> = names.iter().map(|name| json!({ "name": name, "users": ["U2"], "count": 1 })).collect();
    json!([{ "user": "U1", "ts": "1704100000.000100", "text": "Look", "reactions": reactions }])
}

fn slack(ada: &Founder, reacted: &[&str], more: &[(&str, Vec<u8>)]) -> Made {
    let mut entries = vec![
        entry("users.json", slack_people(ada)),
        entry("channels.json", slack_channels()),
        entry("general/2024-01-01.json", said(reacted)),
    ];
    entries.extend(more.iter().cloned());
    file("acme.zip", &packed(&entries))
}

fn numbers(said: &str) -> [[u64; 3]; 2] {
    ["emoji", "reactions"].map(|what| row(said, what))
}

#[tokio::test]
async fn the_emoji_beside_an_export_of_slack_come_with_their_reactions() {
    let server = server().await;
    let ada = server.founder().await;
    let red = png([255, 0, 0]);
    let list = json!({ "ok": true, "emoji": {
        "party_parrot": "https://emoji.slack-edge.com/T1/party_parrot/1.gif",
        "birdie": "alias:party_parrot",
        "white_square": "alias:white_large_square",
        "tada": "https://emoji.slack-edge.com/T1/tada/1.png",
        "away": "https://emoji.slack-edge.com/T1/away/1.png",
        "loop_a": "alias:loop_b",
        "loop_b": "alias:loop_a"
    } });
    let reacted = [
        "party_parrot",
        "birdie",
        "white_square",
        "white_large_square",
        "tada",
        "größe",
        "away",
        "loop_a",
        "cut",
        "huge",
        "+1",
    ];
    let made_of = slack(
        &ada,
        &reacted,
        &[
            entry("emoji.json", list),
            ("emoji/party_parrot.gif", red.clone()),
            ("emoji/größe.png", red.clone()),
            ("emoji/tada.png", red.clone()),
            ("emoji/cut.png", red[..red.len() / 2].to_vec()),
            ("emoji/text.png", b"I am no picture".to_vec()),
            ("emoji/huge.png", bomb()),
            ("emoji/long.png", vec![0; 21 << 20]),
            ("emoji/readme.txt", b"hello".to_vec()),
        ],
    );
    let (_, dry) = import(server, &ada, "slack", &made_of.path, &["--dry-run"]).await;
    assert_eq!(called(&emojis(server, &ada, "").await), [""; 0], "a dry run makes none");
    let (code, said) = import(server, &ada, "slack", &made_of.path, &[]).await;
    assert_eq!(code, 0, "{said}");

    let all = emojis(server, &ada, "").await;
    let [birdie, other, parroty] = &all[..] else { panic!("{all:?}") };
    assert_eq!((text(birdie, "name"), text(parroty, "name")), ("birdie", "party_parrot"));
    let renamed = text(other, "name");
    assert!(renamed.starts_with("gr__e_") && renamed.len() == 14, "{renamed}");
    for emoji in &all {
        assert_eq!(emoji["creator"], Value::Null);
        let (status, picture) = fetch(server, &emoji["url"]).await;
        let picture = image::load_from_memory(&picture).unwrap().into_rgb8();
        assert_eq!((status.as_u16(), picture.dimensions()), (200, (128, 128)));
        assert!(picture.get_pixel(64, 64).0[0] > 240);
    }
    let general = titled(server, &ada, "general").await;
    let message = messages(server, &ada, &general).await.remove(0);
    let mut expected = vec![
        ":birdie: 1 birdie".to_owned(),
        format!(":{renamed}: 1 {renamed}"),
        ":party_parrot: 1 party_parrot".to_owned(),
        "⬜ 1 -".to_owned(),
        "🎉 1 -".to_owned(),
        "👍 1 -".to_owned(),
    ];
    expected.sort();
    assert_eq!(reactions(server, &ada, &message).await, expected);
    let told = format!(
        "SELECT count(*) FROM events WHERE organization_id = '{}' AND entity = 'Emoji' AND kind = 'created'",
        ada.organization
    );
    assert_eq!(server.count(&told).await, 3, "the log tells of each");

    // And what did not come is said, by a dry run as well.
    assert_eq!(numbers(&said), [[3, 0, 7], [6, 0, 4]], "{said}");
    for (words, count) in [
        ("whose picture is not in the package", 3),
        ("whose picture is damaged", 2),
        ("more than 20 MiB or 50 megapixels", 2),
        ("called as one of Unicode", 2),
        ("names that are none here", 1),
        ("emojis of the team's own", 4),
        ("other things in the export", 1),
    ] {
        assert_eq!((reason(&said, words), reason(&dry, words)), (count, count), "{words}: {said}");
    }
    for named in [":away:", ":cut:", ":huge:", ":loop_a:", ":loop_b:", &format!(":größe: is :{renamed}:"), "emoji/"] {
        assert!(said.contains(named), "{named}: {said}");
    }
    assert_eq!(numbers(&dry), numbers(&said));

    let (code, again) = import(server, &ada, "slack", &made_of.path, &[]).await;
    assert_eq!((code, row(&again, "emoji")), (0, [0, 3, 7]), "{again}");
    assert_eq!(emojis(server, &ada, "").await.len(), 3);
}

#[tokio::test]
async fn the_emoji_of_mattermost_come_though_they_stand_behind_what_was_said() {
    let server = server().await;
    let ada = server.founder().await;
    let user = json!({ "username": "ada", "email": ada.email,
        "teams": [{ "name": "acme", "channels": [{ "name": "town" }] }] });
    let reacted = |name: &str| json!({ "user": "ada", "create_at": 1_704_100_200_000_i64, "emoji_name": name });
    let emoji = |name: &str, image: Value| json!({ "type": "emoji", "emoji": { "name": name, "image": image } });
    let lines = [
        json!({ "type": "version", "version": 1 }),
        json!({ "type": "channel", "channel": { "team": "acme", "name": "town", "type": "O" } }),
        json!({ "type": "user", "user": user }),
        json!({ "type": "post", "post": { "team": "acme", "channel": "town", "user": "ada", "message": "Look :acme:",
            "create_at": 1_704_100_100_000_i64, "reactions": [reacted("acme"), reacted("exported"), reacted("out"), reacted("tada")] } }),
        emoji("acme", json!("emoji/x/image")),
        emoji("exported", json!("exported_emoji/y/image")),
        emoji("out", json!("../../../etc/passwd")),
        emoji("root", json!("/etc/passwd")),
        emoji("bare", Value::Null),
        emoji("two words", json!("emoji/x/image")),
        json!({ "type": "emoji" }),
    ];
    let text = lines.iter().map(|line| format!("{line}\n")).collect::<String>().into_bytes();
    let zip = packed(&[
        ("import.jsonl", text.clone()),
        ("data/emoji/x/image", png([255, 0, 0])),
        ("exported_emoji/y/image", png([0, 0, 255])),
    ]);
    let without = file("bulk.jsonl", &text);
    let (_, dry) = import(server, &ada, "mattermost", &without.path, &["--dry-run"]).await;
    assert_eq!(numbers(&dry), [[0, 0, 7], [1, 0, 3]], "{dry}");

    let whole = file("export.zip", &zip);
    let (code, said) = import(server, &ada, "mattermost", &whole.path, &[]).await;
    assert_eq!((code, numbers(&said)), (0, [[2, 0, 5], [3, 0, 1]]), "{said}");
    assert_eq!(reason(&said, "without a name"), 2, "{said}");
    assert_eq!(called(&emojis(server, &ada, "").await), ["acme", "exported"]);
    let town = titled(server, &ada, "town").await;
    let message = messages(server, &ada, &town).await.remove(0);
    assert_eq!(message["body"], "Look :acme:");
    let expected = [":acme: 1 acme", ":exported: 1 exported", "🎉 1 -"];
    assert_eq!(reactions(server, &ada, &message).await, expected);
}

#[tokio::test]
async fn an_emoji_that_stands_here_stays_and_is_reacted_with() {
    let server = server().await;
    let ada = server.founder().await;
    let blue = upload(server, &ada, &png([0, 0, 255]), "image/png").await;
    for name in ["parroty", "gone", "ours"] {
        let create = "mutation($input: EmojiCreateInput!) { done: emojiCreate(input: $input) { userErrors { code } } }";
        let input = json!({ "input": { "name": name, "fileId": blue } });
        assert_eq!(user_errors(&server.graphql(create, input, Some(&ada)).await, "done"), [""; 0]);
    }
    let before = emojis(server, &ada, "").await;
    let delete = "mutation($id: ID!) { done: emojiDelete(input: { id: $id }) { userErrors { code } } }";
    let id = made(&before, "gone")["id"].clone();
    assert_eq!(user_errors(&server.graphql(delete, json!({ "id": id }), Some(&ada)).await, "done"), [""; 0]);

    let red = png([255, 0, 0]);
    let pictures = [("emojis/parroty.png", red.clone()), ("emojis/gone.png", red.clone()), ("emojis/fresh.png", red)];
    let export = slack(&ada, &["parroty", "gone", "ours", "fresh"], &pictures);
    let (_, dry) = import(server, &ada, "slack", &export.path, &["--dry-run"]).await;
    let (code, said) = import(server, &ada, "slack", &export.path, &[]).await;
    assert_eq!((code, numbers(&said)), (0, [[1, 2, 0], [4, 0, 0]]), "{said}");
    assert_eq!(numbers(&dry), numbers(&said));
    let after = emojis(server, &ada, "").await;
    assert_eq!(called(&after), ["fresh", "ours", "parroty"], "what was deleted here does not come back");
    assert_eq!(made(&after, "parroty")["id"], made(&before, "parroty")["id"]);
    let (_, picture) = fetch(server, &made(&after, "parroty")["url"]).await;
    assert!(image::load_from_memory(&picture).unwrap().into_rgb8().get_pixel(64, 64).0[2] > 240, "still blue");
    let general = titled(server, &ada, "general").await;
    let message = messages(server, &ada, &general).await.remove(0);
    let expected = [":fresh: 1 fresh", ":gone: 1 gone", ":ours: 1 ours", ":parroty: 1 parroty"];
    assert_eq!(reactions(server, &ada, &message).await, expected);
}

#[tokio::test]
async fn no_more_come_than_an_organization_may_have() {
    let server = server().await;
    let (ada, stranger) = (server.founder().await, server.founder().await);
    server
        .sql(&format!(
            "INSERT INTO emojis (organization_id, id, name, picture)
             SELECT '{}', gen_random_uuid(), 'kept_' || n, gen_random_uuid()::text FROM generate_series(1, 1999) n",
            ada.organization
        ))
        .await;
    let red = png([255, 0, 0]);
    let export = slack(&ada, &["a1", "a2"], &[("emoji/a1.png", red.clone()), ("emoji/a2.png", red)]);
    let (_, dry) = import(server, &ada, "slack", &export.path, &["--dry-run"]).await;
    let (code, said) = import(server, &ada, "slack", &export.path, &[]).await;
    assert_eq!((code, numbers(&said)), (0, [[1, 0, 1], [1, 0, 1]]), "{said}");
    assert_eq!(numbers(&dry), numbers(&said));
    assert_eq!(reason(&said, "beyond the 2 000"), 1, "{said}");
    assert_eq!(called(&emojis(server, &ada, ", filter: { name: { startsWith: \"a\" } }").await), ["a1"]);
    assert_eq!(called(&emojis(server, &stranger, "").await), [""; 0], "others have their own");
}

#[tokio::test]
async fn a_message_comes_with_fifty_different_emoji_at_most() {
    let server = server().await;
    let ada = server.founder().await;
    let names: Vec<&str> = ::emojis::iter().filter_map(|emoji| emoji.shortcode()).take(51).collect();
    let export = slack(&ada, &names, &[]);
    let (_, dry) = import(server, &ada, "slack", &export.path, &["--dry-run"]).await;
    let (code, said) = import(server, &ada, "slack", &export.path, &[]).await;
    assert_eq!((code, numbers(&said)), (0, [[0, 0, 0], [50, 0, 1]]), "{said}");
    assert_eq!(numbers(&dry), numbers(&said));
    assert_eq!(reason(&said, "50 different emojis already"), 1, "{said}");
    let general = titled(server, &ada, "general").await;
    let message = messages(server, &ada, &general).await.remove(0);
    assert_eq!(reactions(server, &ada, &message).await.len(), 50);
}
