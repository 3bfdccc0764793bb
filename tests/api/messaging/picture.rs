//! The picture of a conversation: made of a file, shown to whoever is in it, told, replaced and taken away.

use super::{Talk, block::open, live::Feed, record::lead};
use crate::{
    avatar::{begun, bomb, fetch, file, png},
    kit::{Founder, Server, data, server, statements, user_errors, verdict},
};
use reqwest::StatusCode;
use serde_json::{Value, json};
use std::time::Duration;
use stoa::{
    files::{RemoveObject, sweep::sweep},
    platform::jobs::Run,
};
use uuid::Uuid;

/// The answer to a change, called `done`.
async fn update(server: &Server, by: &Founder, input: Value) -> Value {
    let query = "mutation($input: ConversationUpdateInput!) { done: conversationUpdate(input: $input) {
        conversation { title avatarUrl version } userErrors { field code } } }";
    server.graphql(query, json!({ "input": input }), Some(by)).await
}

/// The answer to an opening, called `done`.
async fn create(server: &Server, by: &Founder, input: Value) -> Value {
    let query = "mutation($input: ConversationCreateInput!) { done: conversationCreate(input: $input) {
        conversation { id avatarUrl } userErrors { field code } } }";
    server.graphql(query, json!({ "input": input }), Some(by)).await
}

/// A picture of somebody's own, of that color.
async fn painted(server: &Server, by: &Founder, color: [u8; 3]) -> Value {
    file(server, by, &png(color), "image/png").await
}

/// Gives a conversation a picture; where it is fetched.
async fn given(server: &Server, by: &Founder, talk: &Talk, color: [u8; 3]) -> Value {
    let picture = painted(server, by, color).await;
    let answer = update(server, by, json!({ "id": talk.id, "avatarFileId": picture })).await;
    assert_eq!(verdict(&answer), "done");
    data(&answer, "done.conversation.avatarUrl").clone()
}

/// What somebody sees of their only conversation, whichever way they come.
async fn shown(server: &Server, who: &Founder, talk: &Talk) -> Value {
    let query = "query($id: ID!) { conversation(id: $id) { avatarUrl } conversations { nodes { id avatarUrl } }
        inbox { nodes { id avatarUrl } } }";
    let answer = server.graphql(query, json!({ "id": talk.id }), Some(who)).await;
    let url = data(&answer, "conversation.avatarUrl").clone();
    for list in ["conversations.nodes", "inbox.nodes"] {
        assert_eq!(*data(&answer, list), json!([{ "id": talk.id, "avatarUrl": url }]), "{list}");
    }
    url
}

async fn delete(server: &Server, by: &Founder, file: &Value) {
    let query = "mutation($id: ID!) { done: fileDelete(input: { id: $id }) { userErrors { field code } } }";
    assert_eq!(verdict(&server.graphql(query, json!({ "id": file }), Some(by)).await), "done");
}

/// What the jobs do that were left for an organization.
async fn clean_up(server: &Server, of: &Founder) {
    let left = format!(
        "SELECT coalesce(json_agg(payload), '[]')::text FROM jobs
         WHERE kind = 'remove_object' AND payload->>'organization' = '{}'",
        of.organization
    );
    let left: Vec<RemoveObject> = serde_json::from_str(&server.text(&left).await).unwrap();
    for job in left {
        job.run(&server.app).await.unwrap();
    }
}

#[tokio::test]
async fn a_picture_is_shown_to_all_in_it_and_goes_when_it_is_replaced() {
    let server = server().await;
    let ada = server.founder().await;
    let bob = server.member(&ada, "member", None).await;
    let talk = server.group(&ada, &[&bob]).await;
    assert_eq!(shown(server, &bob, &talk).await, Value::Null);

    let red = painted(server, &ada, [255, 0, 0]).await;
    let answer = update(server, &ada, json!({ "id": talk.id, "expectedVersion": 1, "avatarFileId": red })).await;
    assert_eq!(verdict(&answer), "done");
    let made = data(&answer, "done.conversation");
    assert_eq!((&made["title"], &made["version"]), (&json!("Team"), &json!(2)));
    let first = made["avatarUrl"].clone();
    assert_eq!(shown(server, &bob, &talk).await, first);
    let (status, picture) = fetch(server, &first).await;
    let picture = image::load_from_memory(&picture).unwrap().into_rgb8();
    assert_eq!((status, picture.dimensions()), (StatusCode::OK, (256, 256)));
    assert!(picture.get_pixel(128, 128).0[0] > 200);
    // It is a copy: the upload may go.
    delete(server, &ada, &red).await;
    clean_up(server, &ada).await;
    assert_eq!(fetch(server, &first).await.0, StatusCode::OK);

    // Another one in its place, by another.
    let second = given(server, &bob, &talk, [0, 0, 255]).await;
    clean_up(server, &ada).await;
    assert_eq!(fetch(server, &first).await.0, StatusCode::NOT_FOUND);
    assert_eq!(fetch(server, &second).await.0, StatusCode::OK);
    let titled = update(server, &ada, json!({ "id": talk.id, "title": "Blue" })).await;
    assert_eq!(*data(&titled, "done.conversation.avatarUrl"), second);
    // A signature is for one picture, and for pictures of this kind.
    let (path, signature) = second.as_str().unwrap().split_once('?').unwrap();
    for other in [path.replace("/pictures/", "/emojis/"), first.as_str().unwrap().split_once('?').unwrap().0.to_owned()]
    {
        assert_eq!(fetch(server, &json!(format!("{other}?{signature}"))).await.0, StatusCode::FORBIDDEN);
    }

    // None; again changes nothing.
    for _ in 0..2 {
        let answer = update(server, &ada, json!({ "id": talk.id, "avatarFileId": null })).await;
        assert_eq!(*data(&answer, "done.conversation"), json!({ "title": "Blue", "avatarUrl": null, "version": 5 }));
    }
    clean_up(server, &ada).await;
    assert_eq!(fetch(server, &second).await.0, StatusCode::NOT_FOUND);
    assert_eq!(shown(server, &bob, &talk).await, Value::Null);

    let events = "subscription($id: ID!, $after: String) { conversationEvents(conversationId: $id, after: $after) {
        ... on ConversationUpdated { conversation { avatarUrl } }
        ... on MessageSent { message { body system { event } } } } }";
    let variables = json!({ "id": talk.id, "after": talk.cursor });
    let mut feed = Feed::open(&server.ws_url(), &bob, events, variables).await.expect("a server");
    let became = |url: &Value| json!({ "conversation": { "avatarUrl": url } });
    let said = |event: &str, body: &str| json!({ "message": { "body": body, "system": { "event": event } } });
    let told = [
        became(&first),
        said("AVATAR_CHANGED", "Ada Founder changed the picture."),
        became(&second),
        said("AVATAR_CHANGED", "Bob member changed the picture."),
        became(&second),
        said("TITLE_CHANGED", "Ada Founder changed the title to “Blue”."),
        became(&Value::Null),
        said("AVATAR_REMOVED", "Ada Founder removed the picture."),
    ];
    assert_eq!(feed.take(told.len()).await, told);
}

#[tokio::test]
async fn all_but_direct_ones_have_a_picture_from_their_opening_on() {
    let server = server().await;
    let ada = server.founder().await;
    let bob = server.member(&ada, "member", None).await;
    let lead = lead(server, &ada, &ada).await;
    let (red, blue) = (painted(server, &ada, [255, 0, 0]).await, painted(server, &ada, [0, 0, 255]).await);
    let record = json!({ "kind": "RECORD", "about": { "leadId": lead } });
    let mut url = Value::Null;
    for mut input in [json!({}), json!({ "kind": "CHANNEL", "title": "News" }), record.clone()] {
        input["avatarFileId"] = red.clone();
        let answer = create(server, &ada, input).await;
        assert_eq!(verdict(&answer), "done");
        url = data(&answer, "done.conversation.avatarUrl").clone();
        assert_eq!(fetch(server, &url).await.0, StatusCode::OK);
        let changed = json!({ "id": data(&answer, "done.conversation.id"), "avatarFileId": blue });
        let changed = update(server, &ada, changed).await;
        assert_eq!(verdict(&changed), "done");
        url = data(&changed, "done.conversation.avatarUrl").clone();
    }
    // Whoever opens what is open already says nothing of it.
    let mut again = record;
    again["avatarFileId"] = red.clone();
    let again = create(server, &ada, again).await;
    assert_eq!((verdict(&again).as_str(), data(&again, "done.conversation.avatarUrl")), ("done", &url));

    for given in [&red, &json!(Uuid::now_v7())] {
        let input = json!({ "kind": "DIRECT", "memberIds": [bob.member], "avatarFileId": given });
        assert_eq!(verdict(&create(server, &ada, input).await), "avatarFileId UNSUPPORTED");
    }
    let direct = open(server, &ada, &bob).await.expect("a conversation");
    for given in [red, Value::Null, json!(Uuid::now_v7())] {
        let answer = update(server, &ada, json!({ "id": direct.id, "avatarFileId": given })).await;
        assert_eq!(verdict(&answer), "avatarFileId UNSUPPORTED");
    }
    let both = update(server, &ada, json!({ "id": direct.id, "title": "Us", "avatarFileId": null })).await;
    assert_eq!(verdict(&both), "title UNSUPPORTED, avatarFileId UNSUPPORTED");
}

#[tokio::test]
async fn only_a_picture_of_ones_own_becomes_one() {
    let server = server().await;
    let (ada, eve) = (server.founder().await, server.founder().await);
    let bob = server.member(&ada, "admin", None).await;
    let talk = server.group(&ada, &[&bob]).await;
    let good = png([255, 0, 0]);
    let before = given(server, &ada, &talk, [0, 0, 255]).await;
    let gone = painted(server, &ada, [255, 0, 0]).await;
    delete(server, &ada, &gone).await;
    let text = file(server, &ada, b"hello", "text/plain").await;
    let theirs = painted(server, &bob, [255, 0, 0]).await;
    for (file, expected) in [
        (theirs.clone(), "avatarFileId NOT_FOUND"),
        (painted(server, &eve, [255, 0, 0]).await, "avatarFileId NOT_FOUND"),
        (gone, "avatarFileId NOT_FOUND"),
        (json!(Uuid::now_v7()), "avatarFileId NOT_FOUND"),
        (begun(server, &ada, &good, "image/png").await.0, "avatarFileId STATE_INVALID"),
        (text.clone(), "avatarFileId INVALID"),
        (file(server, &ada, &good[..good.len() / 2], "image/png").await, "avatarFileId INVALID"),
        (file(server, &ada, &bomb(), "image/png").await, "avatarFileId OUT_OF_RANGE"),
    ] {
        let answer = update(server, &ada, json!({ "id": talk.id, "title": "Another", "avatarFileId": file })).await;
        assert_eq!(verdict(&answer), expected);
    }
    for (file, expected) in [(&theirs, "avatarFileId NOT_FOUND"), (&text, "avatarFileId INVALID")] {
        assert_eq!(verdict(&create(server, &ada, json!({ "avatarFileId": file })).await), expected);
    }
    // All faults at once.
    let long = json!({ "id": talk.id, "title": "x".repeat(201), "avatarFileId": text });
    assert_eq!(verdict(&update(server, &ada, long).await), "title TOO_LONG, avatarFileId INVALID");
    assert_eq!(shown(server, &ada, &talk).await, before, "and nothing was opened beside it");
    let stays = update(server, &ada, json!({ "id": talk.id })).await;
    assert_eq!(*data(&stays, "done.conversation"), json!({ "title": "Team", "avatarUrl": before, "version": 2 }));
    // Decoding costs: not without end.
    let mut last = String::new();
    for _ in 0..20 {
        last = verdict(&update(server, &ada, json!({ "id": talk.id, "avatarFileId": Uuid::now_v7() })).await);
    }
    assert_eq!(last, "RATE_LIMITED");
}

#[tokio::test]
async fn who_may_not_change_the_title_changes_no_picture() {
    let server = server().await;
    let (ada, stranger) = (server.founder().await, server.founder().await);
    let (admin, guest) = (server.member(&ada, "admin", None).await, server.member(&ada, "guest", None).await);
    let talk = server.group(&ada, &[&guest]).await;
    for (who, told) in [(&guest, "FORBIDDEN"), (&admin, "id NOT_FOUND"), (&stranger, "id NOT_FOUND")] {
        let own = painted(server, who, [255, 0, 0]).await;
        for given in [own, Value::Null] {
            let answer = update(server, who, json!({ "id": talk.id, "avatarFileId": given })).await;
            assert_eq!(verdict(&answer), told);
        }
    }
    let own = painted(server, &guest, [255, 0, 0]).await;
    assert_eq!(verdict(&create(server, &guest, json!({ "avatarFileId": own })).await), "FORBIDDEN");
    let own = painted(server, &ada, [255, 0, 0]).await;
    let late = update(server, &ada, json!({ "id": talk.id, "expectedVersion": 7, "avatarFileId": own })).await;
    assert_eq!(user_errors(&late, "done"), ["expectedVersion CONFLICT"]);
    server.archive(&talk).await;
    let answer = update(server, &ada, json!({ "id": talk.id, "avatarFileId": own })).await;
    assert_eq!(verdict(&answer), "id STATE_INVALID");
    // Who is in it sees the picture, and nothing else of this.
    assert_eq!(shown(server, &guest, &talk).await, Value::Null);
}

#[tokio::test]
async fn the_pictures_of_a_whole_page_cost_nothing_more() {
    let server = server().await;
    let ada = server.founder().await;
    for _ in 0..3 {
        let talk = server.group(&ada, &[]).await;
        given(server, &ada, &talk, [255, 0, 0]).await;
    }
    let run = statements::during(ada.organization, async {
        let answer = server.graphql("{ conversations { nodes { avatarUrl } } }", json!({}), Some(&ada)).await;
        let nodes = data(&answer, "conversations.nodes").as_array().expect("nodes");
        assert!(nodes.len() == 3 && nodes.iter().all(|node| node["avatarUrl"].is_string()), "{nodes:?}");
    })
    .await;
    let about = run.iter().filter(|statement| statement.contains("FROM \"conversations\" t0")).count();
    assert_eq!(about, 1, "{run:#?}");
}

#[tokio::test]
async fn a_picture_stays_as_long_as_its_conversation_names_it() {
    let data_dir = tempfile::tempdir().unwrap();
    let folder = data_dir.path().to_owned();
    let server = Server::with(move |config| config.data_dir = folder).await;
    let ada = server.founder().await;
    let (talk, other) = (server.group(&ada, &[]).await, server.group(&ada, &[]).await);
    let (kept, left) =
        (given(&server, &ada, &talk, [255, 0, 0]).await, given(&server, &ada, &other, [0, 0, 255]).await);
    sweep(&server.app, Duration::ZERO).await.unwrap();
    for url in [&kept, &left] {
        assert_eq!(fetch(&server, url).await.0, StatusCode::OK);
    }
    server.sql(&format!("UPDATE conversations SET avatar = NULL WHERE id = '{}'", other.id)).await;
    sweep(&server.app, Duration::ZERO).await.unwrap();
    assert_eq!(fetch(&server, &kept).await.0, StatusCode::OK);
    assert_eq!(fetch(&server, &left).await.0, StatusCode::NOT_FOUND);
    // All of it goes with the organization.
    server.app.files.remove_organization(ada.organization).await.unwrap();
    assert_eq!(fetch(&server, &kept).await.0, StatusCode::NOT_FOUND);
    server.stop().await;
}
