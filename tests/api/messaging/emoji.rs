//! The organization's own emoji: made of pictures, reacted with by name, deleted without a loss to those who have reacted.

use super::{Talk, snapshot::Shown, text};
use crate::{
    avatar::{begun, bomb, fetch, file, png},
    kit::{Founder, Server, code, data, mirror::keeps_in_step, server, statements, user_errors, verdict},
    messaging::live::Feed,
};
use reqwest::StatusCode;
use serde_json::{Value, json};
use std::time::Duration;
use stoa::{
    files::{RemoveObject, sweep::sweep},
    platform::jobs::Run,
};
use uuid::Uuid;

const EMOJI: &str = "emoji { id name url version createdBy creator { id } deletedAt deletedBy }";

async fn create(server: &Server, who: &Founder, name: &str, file: &Value) -> Value {
    let query = format!(
        "mutation($input: EmojiCreateInput!) {{ done: emojiCreate(input: $input) {{
            {EMOJI} userErrors {{ field code message }} }} }}"
    );
    server.graphql(&query, json!({ "input": { "name": name, "fileId": file } }), Some(who)).await
}

/// An emoji of a picture of somebody's own.
async fn made(server: &Server, who: &Founder, name: &str) -> Value {
    let picture = file(server, who, &png([255, 0, 0]), "image/png").await;
    let answer = create(server, who, name, &picture).await;
    assert_eq!(user_errors(&answer, "done"), [""; 0], "{answer}");
    data(&answer, "done.emoji").clone()
}

/// The answer to `emojiDelete` or `emojiPurge`.
async fn end(server: &Server, who: &Founder, mutation: &str, emoji: &Value) -> Value {
    let query = format!(
        "mutation($id: ID!) {{ done: {mutation}(input: {{ id: $id }}) {{ {EMOJI} userErrors {{ field code }} }} }}"
    );
    server.graphql(&query, json!({ "id": emoji["id"] }), Some(who)).await
}

async fn react(server: &Server, by: &Founder, mutation: &str, message: &Value, emoji: &str) -> Value {
    server.change(by, mutation, json!({ "messageId": message["id"], "emoji": emoji })).await
}

/// The reactions to a message, each with the name of the emoji and what it shows.
async fn shown(server: &Server, who: &Founder, message: &Value) -> Value {
    let query =
        "query($id: ID!) { node(id: $id) { ... on Message { reactions { emoji count customEmoji { id name } } } } }";
    data(&server.graphql(query, json!({ "id": message["id"] }), Some(who)).await, "node.reactions").clone()
}

/// As the feed tells it: the reaction that follows the first message of a conversation.
async fn heard(server: &Server, who: &Founder, talk: &Talk) -> Value {
    let events = "subscription($id: ID!, $after: String) { conversationEvents(conversationId: $id, after: $after) {
        ... on ReactionAdded { reaction { emoji count customEmoji { id } } } } }";
    let variables = json!({ "id": talk.id, "after": talk.cursor });
    let mut feed = Feed::open(&server.ws_url(), who, events, variables).await.expect("a server");
    feed.take(2).await.remove(1)["reaction"].clone()
}

/// The names of all emoji, as one sees them.
async fn names(server: &Server, who: &Founder, arguments: &str) -> Value {
    let query = format!("{{ emojis{arguments} {{ nodes {{ name }} }} }}");
    let answer = server.graphql(&query, json!({}), Some(who)).await;
    data(&answer, "emojis.nodes").as_array().unwrap().iter().map(|node| node["name"].clone()).collect()
}

#[tokio::test]
async fn an_emoji_is_made_and_members_react_with_it() {
    let server = server().await;
    let ada = server.founder().await;
    let bob = server.member(&ada, "member", None).await;
    let talk = server.group(&ada, &[&bob]).await;
    let message = server.say(&ada, &talk, "we have shipped").await;
    let party = made(server, &bob, " Party_Blob ").await;
    assert_eq!(
        (&party["name"], &party["createdBy"], &party["creator"]["id"], &party["deletedAt"]),
        (&json!("party_blob"), &json!(bob.member), &json!(bob.member), &Value::Null)
    );
    let (status, picture) = fetch(server, &party["url"]).await;
    let picture = image::load_from_memory(&picture).unwrap().into_rgb8();
    assert_eq!((status, picture.dimensions()), (StatusCode::OK, (128, 128)));
    assert!(picture.get_pixel(64, 64).0[0] > 240);
    for name in ["ship-it", "yak_shave", "aardvark"] {
        made(server, &ada, name).await;
    }
    let ordered = names(server, &bob, "(orderBy: [{ field: NAME }])").await;
    assert_eq!(ordered, json!(["aardvark", "party_blob", "ship-it", "yak_shave"]));
    assert_eq!(names(server, &bob, "(filter: { name: { startsWith: \"part\" } })").await, json!(["party_blob"]));

    react(server, &bob, "reactionAdd", &message, ":PARTY_BLOB:").await;
    let reaction = json!({ "emoji": ":party_blob:", "count": 1, "customEmoji": { "id": party["id"] } });
    assert_eq!(heard(server, &ada, &talk).await, reaction);

    let kept = keeps_in_step::<Shown>(server, &ada, &talk.id, async {
        for who in [&ada, &bob] {
            let answer = react(server, who, "reactionAdd", &message, ":party_blob:").await;
            assert_eq!(user_errors(&answer, "done"), [""; 0]);
        }
        react(server, &ada, "reactionAdd", &message, "🎉").await;
    })
    .await;
    assert_eq!(kept.messages[text(&message, "id")]["reactions"][0]["count"], 2);
    assert_eq!(
        shown(server, &bob, &message).await,
        json!([
            { "emoji": ":party_blob:", "count": 2, "customEmoji": { "id": party["id"], "name": "party_blob" } },
            { "emoji": "🎉", "count": 1, "customEmoji": null },
        ])
    );
}

#[tokio::test]
async fn who_has_reacted_is_shown_with_an_emoji_that_was_deleted() {
    let server = server().await;
    let ada = server.founder().await;
    let bob = server.member(&ada, "member", None).await;
    let talk = server.group(&ada, &[&bob]).await;
    let message = server.say(&ada, &talk, "hello").await;
    let old = made(server, &ada, "blob").await;
    for who in [&ada, &bob] {
        react(server, who, "reactionAdd", &message, ":blob:").await;
    }
    let deleted = end(server, &ada, "emojiDelete", &old).await;
    let deleted = data(&deleted, "done.emoji");
    assert_eq!((&deleted["version"], &deleted["deletedBy"]), (&json!(2), &json!(ada.member)));
    assert_eq!(user_errors(&end(server, &ada, "emojiDelete", &old).await, "done"), ["id NOT_FOUND"]);
    let group = |emoji: &Value, count: i32| json!([{ "emoji": ":blob:", "count": count, "customEmoji": emoji }]);
    let of = |emoji: &Value| json!({ "id": emoji["id"], "name": "blob" });
    assert_eq!(shown(server, &bob, &message).await, group(&of(&old), 2));
    assert_eq!(fetch(server, &old["url"]).await.0, StatusCode::OK);
    assert_eq!(names(server, &bob, "").await, json!([]));
    assert_eq!(names(server, &bob, "(filter: { deleted: ONLY })").await, json!(["blob"]));
    // Nobody takes it up any more; whoever has may lay it down.
    let other = server.say(&ada, &talk, "later").await;
    assert_eq!(user_errors(&react(server, &bob, "reactionAdd", &other, ":blob:").await, "done"), ["emoji INVALID"]);
    let answer = react(server, &bob, "reactionRemove", &message, ":blob:").await;
    assert_eq!(data(&answer, "done.message.reactions.0.count"), 1);

    // Its name is free, and shows its successor.
    let new = made(server, &bob, "blob").await;
    assert_eq!(shown(server, &bob, &message).await, group(&of(&new), 1));
    end(server, &bob, "emojiDelete", &new).await;
    assert_eq!(shown(server, &bob, &message).await, group(&of(&new), 1), "the last one");
    for emoji in [&new, &old] {
        let purged = end(server, &ada, "emojiPurge", emoji).await;
        assert_eq!(user_errors(&purged, "done"), [""; 0]);
    }
    assert_eq!(shown(server, &bob, &message).await, group(&Value::Null, 1));
    let left = format!(
        "SELECT json_agg(payload)::text FROM jobs WHERE kind = 'remove_object' AND payload->>'organization' = '{}'",
        ada.organization
    );
    let left: Vec<RemoveObject> = serde_json::from_str(&server.text(&left).await).unwrap();
    assert_eq!(left.len(), 2);
    for job in left {
        job.run(&server.app).await.unwrap();
    }
    assert_eq!(fetch(server, &new["url"]).await.0, StatusCode::NOT_FOUND);
    let told = "{ auditEvents(filter: { entity: { eq: \"Emoji\" } }) { nodes { action entityId } } }";
    let told = server.graphql(told, json!({}), Some(&ada)).await;
    let told: Vec<(Value, Value)> = data(&told, "auditEvents.nodes")
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["action"].clone(), one["entityId"].clone()))
        .collect();
    let all = [
        ("purged", &old),
        ("purged", &new),
        ("deleted", &new),
        ("created", &new),
        ("deleted", &old),
        ("created", &old),
    ];
    assert_eq!(told, all.map(|(action, emoji)| (json!(action), emoji["id"].clone())));
}

#[tokio::test]
async fn only_a_picture_of_ones_own_with_a_name_of_its_own_becomes_one() {
    let server = server().await;
    let (ada, stranger) = (server.founder().await, server.founder().await);
    let bob = server.member(&ada, "admin", None).await;
    let good = png([255, 0, 0]);
    let mine = file(server, &ada, &good, "image/png").await;
    let theirs = file(server, &bob, &good, "image/png").await;
    let foreign = file(server, &stranger, &good, "image/png").await;
    let plain = file(server, &ada, b"hello", "text/plain").await;
    let damaged = file(server, &ada, &good[..good.len() / 2], "image/png").await;
    let bomb = file(server, &ada, &bomb(), "image/png").await;
    let long = file(server, &ada, &good, "image/png").await;
    server.sql(&format!("UPDATE files SET size = 30000000 WHERE id = '{}'", long.as_str().unwrap())).await;
    let pending = begun(server, &ada, &good, "image/png").await.0;
    made(server, &ada, "taken").await;
    made(server, &stranger, "elsewhere").await;
    for (name, file, expected) in [
        ("good_name", &theirs, "fileId NOT_FOUND"),
        ("good_name", &foreign, "fileId NOT_FOUND"),
        ("good_name", &json!(Uuid::now_v7()), "fileId NOT_FOUND"),
        ("good_name", &pending, "fileId STATE_INVALID"),
        ("good_name", &plain, "fileId INVALID"),
        ("good_name", &damaged, "fileId INVALID"),
        ("good_name", &bomb, "fileId OUT_OF_RANGE"),
        ("good_name", &long, "fileId OUT_OF_RANGE"),
        ("Taken", &mine, "name NOT_UNIQUE"),
        ("tada", &mine, "name NOT_UNIQUE"),
        ("+1", &mine, "name NOT_UNIQUE"),
        (":good_name:", &mine, "name INVALID"),
        ("n", &mine, "name INVALID"),
        ("größe", &mine, "name INVALID"),
        ("n\0w", &mine, "name INVALID"),
        (&"n".repeat(41), &mine, "name INVALID"),
        // All faults at once.
        ("n w", &plain, "name INVALID, fileId INVALID"),
    ] {
        assert_eq!(verdict(&create(server, &ada, name, file).await), expected, "{name}");
    }
    assert_eq!(names(server, &ada, "").await, json!(["taken"]), "nothing else was stored");
    assert_eq!(verdict(&create(server, &ada, "elsewhere", &mine).await), "done", "other organizations have their own");
    // Of several at once one gets the name.
    let at_once = futures_util::future::join_all((0..4).map(|_| create(server, &ada, "once", &mine))).await;
    let mut told: Vec<String> = at_once.iter().map(verdict).collect();
    told.sort();
    assert_eq!(told, ["done", "name NOT_UNIQUE", "name NOT_UNIQUE", "name NOT_UNIQUE"]);
    // Decoding costs: not without end.
    let mut last = String::new();
    for _ in 0..60 {
        last = verdict(&create(server, &ada, "more", &json!(Uuid::now_v7())).await);
    }
    assert_eq!(last, "RATE_LIMITED");
}

#[tokio::test]
async fn everybody_but_guests_makes_them_and_takes_back_their_own() {
    let server = server().await;
    let (ada, stranger) = (server.founder().await, server.founder().await);
    let (bob, cy) = (server.member(&ada, "member", None).await, server.member(&ada, "sales_rep", None).await);
    let (admin, guest) = (server.member(&ada, "admin", None).await, server.member(&ada, "guest", None).await);
    let talk = server.group(&ada, &[&bob, &guest]).await;
    let message = server.say(&ada, &talk, "hello").await;
    let (bobs, cys) = (made(server, &bob, "bobs").await, made(server, &cy, "cys").await);
    let foreign = made(server, &stranger, "foreign").await;
    react(server, &bob, "reactionAdd", &message, ":bobs:").await;

    // Guests neither see them nor know of them; that somebody has reacted, and by which name, they see.
    let picture = file(server, &guest, &png([0, 0, 255]), "image/png").await;
    assert_eq!(verdict(&create(server, &guest, "guests", &picture).await), "FORBIDDEN");
    let list = server.graphql("{ emojis { nodes { id } } }", json!({}), Some(&guest)).await;
    assert_eq!(code(&list), "FORBIDDEN");
    assert_eq!(verdict(&react(server, &guest, "reactionAdd", &message, ":cys:").await), "emoji INVALID");
    let seen = json!([{ "emoji": ":bobs:", "count": 1, "customEmoji": null }]);
    assert_eq!(shown(server, &guest, &message).await, seen);
    // Nor as it happens, however many others are shown it.
    let told = |emoji: Value| json!({ "emoji": ":bobs:", "count": 1, "customEmoji": emoji });
    assert_eq!(heard(server, &ada, &talk).await, told(json!({ "id": bobs["id"] })));
    assert_eq!(heard(server, &guest, &talk).await, told(Value::Null));
    // Those of another organization do not exist.
    assert_eq!(verdict(&react(server, &bob, "reactionAdd", &message, ":foreign:").await), "emoji INVALID");
    let node =
        server.graphql("query($id: ID!) { emoji(id: $id) { id } }", json!({ "id": foreign["id"] }), Some(&ada)).await;
    assert_eq!(node["data"], json!({ "emoji": null }));
    for mutation in ["emojiDelete", "emojiPurge"] {
        assert_eq!(verdict(&end(server, &ada, mutation, &foreign).await), "id NOT_FOUND");
    }

    assert_eq!(verdict(&end(server, &bob, "emojiDelete", &cys).await), "FORBIDDEN");
    assert_eq!(verdict(&end(server, &bob, "emojiDelete", &bobs).await), "done");
    assert_eq!(verdict(&end(server, &bob, "emojiPurge", &bobs).await), "FORBIDDEN");
    assert_eq!(verdict(&end(server, &admin, "emojiPurge", &cys).await), "id NOT_FOUND", "it is not deleted");
    assert_eq!(verdict(&end(server, &admin, "emojiDelete", &cys).await), "done");
    assert_eq!(verdict(&end(server, &admin, "emojiPurge", &cys).await), "done");
    let query = "mutation($id: ID!) { done: emojiDelete(input: { id: $id, expectedVersion: 7 }) {
        emoji { version } userErrors { field code } } }";
    let own = made(server, &bob, "own").await;
    let answer = server.graphql(query, json!({ "id": own["id"] }), Some(&bob)).await;
    assert_eq!((verdict(&answer), data(&answer, "done.emoji.version")), ("expectedVersion CONFLICT".into(), &json!(1)));
}

#[tokio::test]
async fn an_organization_has_so_many_and_no_more() {
    let server = server().await;
    let ada = server.founder().await;
    let picture = file(server, &ada, &png([255, 0, 0]), "image/png").await;
    let fill = async |count: i32, deleted: &str| {
        let rows = format!(
            "INSERT INTO emojis (organization_id, id, name, picture, deleted_at)
             SELECT '{}', gen_random_uuid(), 'filled_' || n, n, {deleted} FROM generate_series(1, {count}) n",
            ada.organization
        );
        server.sql(&rows).await;
    };
    fill(1999, "NULL").await;
    assert_eq!(verdict(&create(server, &ada, "last", &picture).await), "done");
    let told = create(server, &ada, "more", &picture).await;
    assert_eq!((verdict(&told), data(&told, "done.emoji")), (" LIMIT_EXCEEDED".into(), &Value::Null));
    server.sql(&format!("UPDATE emojis SET deleted_at = now() WHERE organization_id = '{}'", ada.organization)).await;
    assert_eq!(verdict(&create(server, &ada, "more", &picture).await), "done");
    fill(8000, "now()").await;
    assert_eq!(verdict(&create(server, &ada, "again", &picture).await), " LIMIT_EXCEEDED");
}

#[tokio::test]
async fn a_page_of_messages_costs_one_query_for_all_their_emoji() {
    let server = server().await;
    let ada = server.founder().await;
    let talk = server.group(&ada, &[]).await;
    for name in ["no_1", "no_2", "no_3"] {
        made(server, &ada, name).await;
    }
    for name in ["no_1", "no_2", "no_3", "no_1", "no_2", "no_3"] {
        let message = server.say(&ada, &talk, name).await;
        react(server, &ada, "reactionAdd", &message, &format!(":{name}:")).await;
    }
    let query = "query($id: ID!) { conversation(id: $id) { messages { nodes {
        body reactions { customEmoji { name url } } } } } }";
    let run = statements::during(ada.organization, async {
        let answer = server.graphql(query, json!({ "id": talk.id }), Some(&ada)).await;
        let nodes = data(&answer, "conversation.messages.nodes").as_array().expect("nodes").clone();
        assert_eq!(nodes.len(), 6);
        assert!(nodes.iter().all(|node| node["reactions"][0]["customEmoji"]["name"] == node["body"]), "{nodes:?}");
    })
    .await;
    let about = run.iter().filter(|statement| statement.contains("FROM \"emojis\" ")).count();
    assert_eq!(about, 1, "{run:#?}");
}

#[tokio::test]
async fn pictures_of_emoji_stay_as_long_as_a_row_names_them() {
    let data_dir = tempfile::tempdir().unwrap();
    let folder = data_dir.path().to_owned();
    let server = Server::with(move |config| config.data_dir = folder).await;
    let ada = server.founder().await;
    let (live, dead) = (made(&server, &ada, "live").await, made(&server, &ada, "dead").await);
    end(&server, &ada, "emojiDelete", &dead).await;
    sweep(&server.app, Duration::ZERO).await.unwrap();
    for emoji in [&live, &dead] {
        assert_eq!(fetch(&server, &emoji["url"]).await.0, StatusCode::OK);
    }
    server.sql(&format!("DELETE FROM emojis WHERE id = '{}'", text(&dead, "id"))).await;
    sweep(&server.app, Duration::ZERO).await.unwrap();
    assert_eq!(fetch(&server, &dead["url"]).await.0, StatusCode::NOT_FOUND);
    // All of it goes with the organization.
    server.app.files.remove_organization(ada.organization).await.unwrap();
    assert_eq!(fetch(&server, &live["url"]).await.0, StatusCode::NOT_FOUND);
    server.stop().await;
}
