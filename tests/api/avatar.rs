//! The picture of a person: made of a file, shown in every organization, replaced and taken away.

use crate::kit::{self, Founder, Server, code, data, user_errors};
use image::{DynamicImage, ImageFormat, Rgb, RgbImage};
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use std::{io::Cursor, path::Path, time::Duration};
use stoa::{files::sweep::sweep, identity::CopyProfile, platform::jobs::Run};
use uuid::Uuid;

pub fn png(color: [u8; 3]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let image = DynamicImage::from(RgbImage::from_pixel(60, 40, Rgb(color)));
    image.write_to(&mut Cursor::new(&mut bytes), ImageFormat::Png).unwrap();
    bytes
}

/// A picture that says that it is 20 000 × 20 000.
pub fn bomb() -> Vec<u8> {
    let mut bomb = png([255, 0, 0]);
    bomb[16..24].copy_from_slice(&[0, 0, 0x4e, 0x20, 0, 0, 0x4e, 0x20]);
    let mut crc = flate2::Crc::new();
    crc.update(&bomb[12..29]);
    bomb[29..33].copy_from_slice(&crc.sum().to_be_bytes());
    bomb
}

pub async fn begun(server: &Server, token: &str, content: &[u8], kind: &str) -> (Value, String) {
    let query = "mutation($input: UploadCreateInput!) { done: uploadCreate(input: $input) {
        file { id } upload { url } userErrors { code } } }";
    let input = json!({ "name": "me", "size": content.len(), "contentType": kind });
    let answer = server.graphql(query, json!({ "input": input }), Some(token)).await;
    (data(&answer, "done.file.id").clone(), data(&answer, "done.upload.url").as_str().unwrap().to_owned())
}

/// A file that is READY.
pub async fn file(server: &Server, token: &str, content: &[u8], kind: &str) -> Value {
    let (id, url) = begun(server, token, content, kind).await;
    let put = Client::new().put(format!("{}{url}", server.url())).header("content-type", kind);
    assert_eq!(put.body(content.to_vec()).send().await.unwrap().status(), 204);
    let query = "mutation($id: ID!) { done: uploadComplete(input: { id: $id }) { userErrors { field code } } }";
    let answer = server.graphql(query, json!({ "id": id }), Some(token)).await;
    assert_eq!(user_errors(&answer, "done"), [""; 0]);
    id
}

async fn update(server: &Server, token: &str, input: Value) -> Value {
    let query = "mutation($input: ProfileUpdateInput!) { done: profileUpdate(input: $input) {
        user { fullName avatarUrl } userErrors { field code message } } }";
    server.graphql(query, json!({ "input": input }), Some(token)).await
}

/// As the person and as the member; both are the same here.
async fn shown(server: &Server, who: &Founder) -> Value {
    let query = "{ viewer { user { avatarUrl } member { avatarUrl } } }";
    let answer = server.graphql(query, json!({}), Some(who)).await;
    assert_eq!(data(&answer, "viewer.member"), data(&answer, "viewer.user"));
    data(&answer, "viewer.user.avatarUrl").clone()
}

pub async fn fetch(server: &Server, url: &Value) -> (StatusCode, Vec<u8>) {
    let answer = Client::new().get(format!("{}{}", server.url(), url.as_str().unwrap())).send().await.unwrap();
    (answer.status(), answer.bytes().await.unwrap().to_vec())
}

#[tokio::test]
async fn a_person_has_one_picture_in_every_organization() {
    let server = kit::server().await;
    let (ada, bob) = (server.founder().await, server.founder().await);
    let user = server.text(&format!("SELECT id::text FROM users WHERE email = '{}'", ada.email)).await;
    let guest = server.joins(&ada, &bob, "member").await;
    let elsewhere = async || {
        let query = "query($id: ID!) { member(id: $id) { avatarUrl } }";
        data(&server.graphql(query, json!({ "id": guest }), Some(&bob)).await, "member.avatarUrl").clone()
    };
    // What the job that was left does.
    let copy = async || {
        let left = "FROM jobs WHERE kind = 'copy_profile' AND payload->>'user' =";
        let payload =
            server.text(&format!("SELECT payload::text {left} '{user}' ORDER BY created_at DESC LIMIT 1")).await;
        let job: CopyProfile = serde_json::from_str(&payload).unwrap();
        job.run(&server.app).await.unwrap();
    };
    assert_eq!((shown(server, &ada).await, elsewhere().await), (Value::Null, Value::Null));

    let red = file(server, &ada, &png([255, 0, 0]), "image/png").await;
    let answer = update(server, &ada, json!({ "avatarFileId": red })).await;
    assert_eq!(user_errors(&answer, "done"), [""; 0]);
    let url = data(&answer, "done.user.avatarUrl").clone();
    assert_eq!(shown(server, &ada).await, url);
    assert_eq!(update(server, &ada, json!({ "phone": "1" })).await["data"]["done"]["user"]["avatarUrl"], url);
    let (status, picture) = fetch(server, &url).await;
    let picture = image::load_from_memory(&picture).unwrap().into_rgb8();
    assert_eq!((status, picture.dimensions()), (StatusCode::OK, (256, 256)));
    assert!(picture.get_pixel(128, 128).0[0] > 200);
    copy().await;
    assert_eq!(elsewhere().await, url);
    let told =
        "{ auditEvents(first: 1, filter: { entity: { eq: \"Member\" } }) { nodes { action changes { field } } } }";
    let told = server.graphql(told, json!({}), Some(&bob)).await;
    assert_eq!(data(&told, "auditEvents.nodes.0"), &json!({ "action": "updated", "changes": [{ "field": "avatar" }] }));
    // It is a copy: the upload may go.
    let delete = "mutation($id: ID!) { done: fileDelete(input: { id: $id }) { userErrors { code } } }";
    let gone = server.graphql(delete, json!({ "id": red }), Some(&ada)).await;
    assert_eq!(user_errors(&gone, "done"), [""; 0]);

    // Another one in its place. What was there stays until nobody shows it.
    let blue = file(server, &ada, &png([0, 0, 255]), "image/png").await;
    let other = data(&update(server, &ada, json!({ "avatarFileId": blue })).await, "done.user.avatarUrl").clone();
    assert_eq!((elsewhere().await, fetch(server, &url).await.0), (url.clone(), StatusCode::OK));
    copy().await;
    assert_eq!((elsewhere().await, fetch(server, &url).await.0), (other.clone(), StatusCode::NOT_FOUND));
    assert_eq!(fetch(server, &other).await.0, StatusCode::OK);
    // A signature is for one picture.
    let split = |url: &Value| url.as_str().unwrap().split_once('?').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    let mixed = format!("{}?{}", split(&other).0, split(&url).1);
    assert_eq!(fetch(server, &json!(mixed)).await.0, StatusCode::FORBIDDEN);

    // None.
    let answer = update(server, &ada, json!({ "avatarFileId": null })).await;
    assert_eq!(data(&answer, "done.user.avatarUrl"), &Value::Null);
    copy().await;
    assert_eq!((elsewhere().await, fetch(server, &other).await.0), (Value::Null, StatusCode::NOT_FOUND));
}

#[tokio::test]
async fn whoever_joins_brings_the_picture_along() {
    let server = kit::server().await;
    let (ada, bob) = (server.founder().await, server.founder().await);
    let red = file(server, &ada, &png([255, 0, 0]), "image/png").await;
    let url = data(&update(server, &ada, json!({ "avatarFileId": red })).await, "done.user.avatarUrl").clone();
    let invite = "mutation($email: String!) { invitationCreate(input: { email: $email, role: MEMBER }) { userErrors { code } } }";
    let invited = server.graphql(invite, json!({ "email": ada.email }), Some(&bob)).await;
    assert_eq!(user_errors(&invited, "invitationCreate"), [""; 0]);
    let letter = kit::mail::letter(server, &ada.email).await;
    let token = letter.split("token=").nth(1).unwrap().split_whitespace().next().unwrap();
    let accept = "mutation($t: String!) { invitationAccept(input: { token: $t }) { userErrors { code message } } }";
    let accepted = server.graphql(accept, json!({ "t": token }), Some(&ada)).await;
    assert_eq!(user_errors(&accepted, "invitationAccept"), [""; 0]);
    let list = "{ members(filter: { email: { eq: \"EMAIL\" } }) { nodes { avatarUrl } } }".replace("EMAIL", &ada.email);
    let list = server.graphql(&list, json!({}), Some(&bob)).await;
    assert_eq!(data(&list, "members.nodes"), &json!([{ "avatarUrl": url }]));
}

#[tokio::test]
async fn only_a_picture_of_ones_own_becomes_one() {
    let server = kit::server().await;
    let (ada, eve) = (server.founder().await, server.founder().await);
    let bob = server.member(&ada, "admin", None).await;
    let good = png([255, 0, 0]);
    let theirs = file(server, &bob, &good, "image/png").await;
    let foreign = file(server, &eve, &good, "image/png").await;
    let text = file(server, &ada, b"hello", "text/plain").await;
    let drawing = file(server, &ada, b"<svg xmlns=\"http://www.w3.org/2000/svg\"/>", "image/svg+xml").await;
    let damaged = file(server, &ada, &good[..good.len() / 2], "image/png").await;
    let bomb = bomb();
    let bomb = file(server, &ada, &bomb, "image/png").await;
    let long = file(server, &ada, &good, "image/png").await;
    // As an upload of 30 MB would have it; nothing is read of one.
    server.sql(&format!("UPDATE files SET size = 30000000 WHERE id = '{}'", long.as_str().unwrap())).await;
    let pending = begun(server, &ada, b"1", "image/png").await.0;
    let mine = file(server, &ada, &good, "image/png").await;
    assert_eq!(user_errors(&update(server, &ada, json!({ "avatarFileId": mine })).await, "done"), [""; 0]);
    let before = shown(server, &ada).await;
    for (file, expected) in [
        (theirs, "avatarFileId NOT_FOUND"),
        (foreign, "avatarFileId NOT_FOUND"),
        (json!(Uuid::now_v7()), "avatarFileId NOT_FOUND"),
        (pending, "avatarFileId STATE_INVALID"),
        (text, "avatarFileId INVALID"),
        (drawing, "avatarFileId INVALID"),
        (damaged, "avatarFileId INVALID"),
        (bomb, "avatarFileId OUT_OF_RANGE"),
        (long, "avatarFileId OUT_OF_RANGE"),
    ] {
        let answer = update(server, &ada, json!({ "avatarFileId": file, "fullName": "Somebody Else" })).await;
        assert_eq!(user_errors(&answer, "done"), [expected]);
    }
    // All faults at once, and what is good is not kept beside what is not.
    let answer = update(server, &ada, json!({ "avatarFileId": mine, "fullName": "" })).await;
    assert_eq!(user_errors(&answer, "done"), ["fullName REQUIRED"]);
    let answer = update(server, &ada, json!({ "avatarFileId": Uuid::now_v7(), "locale": "x" })).await;
    assert_eq!(user_errors(&answer, "done"), ["locale INVALID_FORMAT", "avatarFileId NOT_FOUND"]);
    assert_eq!(shown(server, &ada).await, before);
    let named = server.text(&format!("SELECT full_name FROM users WHERE email = '{}'", ada.email)).await;
    assert_ne!(named, "Somebody Else");
    assert_eq!(kept(server, &ada).await.len(), 1);
    // Decoding costs: not without end.
    let mut answer = Value::Null;
    for _ in 0..20 {
        answer = update(server, &ada, json!({ "avatarFileId": Uuid::now_v7() })).await;
    }
    assert_eq!(code(&answer), "RATE_LIMITED");
}

/// The pictures that the store has of a person.
async fn kept(server: &Server, who: &Founder) -> Vec<String> {
    let user = server.text(&format!("SELECT id::text FROM users WHERE email = '{}'", who.email)).await;
    let folder = server.app.config.data_dir.join("files/avatars").join(user);
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[tokio::test]
async fn pictures_that_nobody_shows_go_when_they_are_old() {
    let data_dir = tempfile::tempdir().unwrap();
    let folder = data_dir.path().to_owned();
    let server = Server::with(move |config| config.data_dir = folder).await;
    let (ada, bob) = (server.founder().await, server.founder().await);
    for (who, color) in [(&ada, [255, 0, 0]), (&bob, [0, 0, 255])] {
        let own = file(&server, who, &png(color), "image/png").await;
        assert_eq!(user_errors(&update(&server, who, json!({ "avatarFileId": own })).await, "done"), [""; 0]);
    }
    // What a crash left, of somebody who shows another and of somebody who is unknown.
    let left = Uuid::now_v7().to_string();
    let user = server.text(&format!("SELECT id::text FROM users WHERE email = '{}'", ada.email)).await;
    let folder = data_dir.path().join("files/avatars");
    let unknown = folder.join(Uuid::now_v7().to_string());
    std::fs::create_dir(&unknown).unwrap();
    let put = |folder: &Path| std::fs::write(folder.join(&left), "left").unwrap();
    put(&folder.join(user));
    put(&unknown);
    sweep(&server.app, Duration::from_secs(3600)).await.unwrap();
    assert_eq!(kept(&server, &ada).await.len(), 2, "it may be in use in a moment");
    // Nor is what cannot be listed in anybody's way.
    let unlisted = data_dir.path().join("files/organizations").join(Uuid::now_v7().to_string());
    std::fs::create_dir_all(&unlisted).unwrap();
    std::fs::write(unlisted.join("no\u{1}name"), "whatever").unwrap();
    sweep(&server.app, Duration::ZERO).await.unwrap_err();
    assert!(!unknown.join(&left).exists());
    for who in [&ada, &bob] {
        assert_eq!(kept(&server, who).await.len(), 1);
        assert_eq!(fetch(&server, &shown(&server, who).await).await.0, StatusCode::OK);
    }
    server.stop().await;
}
