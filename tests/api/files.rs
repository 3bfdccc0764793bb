//! Files: begun, sent, completed, fetched, deleted, as a browser does it; and everything that somebody could try with the
//! URLs that are their own permission.

use crate::kit::{self, Founder, Server, data, mail::until, user_errors};
use bytes::Bytes;
use futures_util::{StreamExt, future::join_all, stream};
use reqwest::{Client, Response, StatusCode};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::{io, path::PathBuf, sync::Arc, time::Duration};
use stoa::{
    app::App,
    files::{PurgeUploads, sweep::sweep},
    platform::jobs::Run,
};
use uuid::Uuid;

pub const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0";

pub fn input(name: &str, content: &[u8], kind: &str) -> Value {
    json!({ "name": name, "size": content.len(), "contentType": kind })
}

pub async fn begin(server: &Server, token: &str, input: Value) -> Value {
    let query = "mutation($input: UploadCreateInput!) { done: uploadCreate(input: $input) {
        file { id name size contentType state checksum url uploadUntil createdBy version }
        upload { method url headers { name value } expiresAt } userErrors { field code message } } }";
    server.graphql(query, json!({ "input": input }), Some(token)).await
}

pub async fn run(server: &Server, token: &str, mutation: &str, id: &Value) -> Value {
    let query = format!(
        "mutation($id: ID!) {{ done: {mutation}(input: {{ id: $id }}) {{
            file {{ id name state checksum url uploadUntil version }} userErrors {{ field code message }} }} }}"
    );
    server.graphql(&query, json!({ "id": id }), Some(token)).await
}

/// What was begun, to be sent.
pub struct Begun {
    pub id: Value,
    pub url: String,
    kind: String,
}

pub async fn begun(server: &Server, token: &str, input: Value) -> Begun {
    let answer = begin(server, token, input).await;
    assert_eq!(user_errors(&answer, "done"), [""; 0], "{answer}");
    let done = data(&answer, "done");
    assert_eq!(
        (&done["upload"]["method"], &done["upload"]["headers"][0]["name"]),
        (&json!("PUT"), &json!("Content-Type"))
    );
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    Begun {
        id: done["file"]["id"].clone(),
        url: format!("{}{}", server.url(), text(&done["upload"]["url"])),
        kind: text(&done["upload"]["headers"][0]["value"]),
    }
}

impl Begun {
    pub async fn put(&self, content: impl Into<reqwest::Body>) -> Response {
        Client::new().put(&self.url).header("content-type", &self.kind).body(content).send().await.unwrap()
    }
}

/// The URL of a file that went all the way.
pub async fn uploaded(server: &Server, token: &str, name: &str, content: &'static [u8], kind: &str) -> (Value, String) {
    let begun = begun(server, token, input(name, content, kind)).await;
    assert_eq!(begun.put(content).await.status(), 204);
    let answer = run(server, token, "uploadComplete", &begun.id).await;
    assert_eq!(user_errors(&answer, "done"), [""; 0], "{answer}");
    let url = data(&answer, "done.file.url").as_str().unwrap();
    (begun.id, format!("{}{url}", server.url()))
}

pub async fn fetch(url: &str, headers: &[(&str, &str)]) -> Response {
    let mut request = Client::new().get(url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.send().await.unwrap()
}

fn header<'a>(response: &'a Response, name: &str) -> &'a str {
    response.headers().get(name).map_or("", |value| value.to_str().unwrap())
}

/// What the store has of an organization, unfinished things among it.
pub fn kept(app: &App, organization: Uuid) -> Vec<PathBuf> {
    let folder = app.config.data_dir.join("files/organizations").join(organization.to_string());
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    entries.map(|entry| entry.unwrap().path()).collect()
}

#[tokio::test]
async fn a_file_goes_in_and_comes_out() {
    let server = kit::server().await;
    let ada = server.founder().await;
    let content = b"Dear Bob,\r\nall is well.\r\n".as_slice();
    let sum = data_encoding::HEXLOWER.encode(&Sha256::digest(content));
    let mut asked = input("letters/grüße \"1\".txt", content, "Text/Plain; charset=utf-8");
    asked["checksum"] = json!(sum.to_uppercase());
    let answer = begin(server, &ada, asked).await;
    let file = data(&answer, "done.file");
    assert_eq!(
        (&file["name"], &file["state"], &file["contentType"], &file["size"], &file["createdBy"]),
        (&json!("grüße \"1\".txt"), &json!("PENDING"), &json!("text/plain"), &json!(content.len()), &json!(ada.member))
    );
    assert_eq!((&file["url"], &file["checksum"]), (&Value::Null, &Value::Null));
    let put = format!("{}{}", server.url(), data(&answer, "done.upload.url").as_str().unwrap());
    let begun = Begun { id: file["id"].clone(), url: put, kind: "text/plain".into() };

    let early = run(server, &ada, "uploadComplete", &begun.id).await;
    assert_eq!(user_errors(&early, "done"), ["id STATE_INVALID"]);
    // A lost answer: it is sent again, and the first is forgotten.
    for _ in 0..2 {
        let sent = begun.put(content).await;
        assert_eq!((sent.status(), header(&sent, "etag")), (StatusCode::NO_CONTENT, &*format!("\"{sum}\"")));
    }
    assert_eq!(kept(&server.app, ada.organization).len(), 1);
    let answer = run(server, &ada, "uploadComplete", &begun.id).await;
    let file = data(&answer, "done.file");
    assert_eq!(
        (&file["state"], &file["checksum"], &file["uploadUntil"], &file["version"]),
        (&json!("READY"), &json!(sum), &Value::Null, &json!(2))
    );
    assert_eq!(data(&run(server, &ada, "uploadComplete", &begun.id).await, "done.file"), file, "a lost answer");
    assert_eq!(begun.put(content).await.status(), StatusCode::CONFLICT, "what is complete stays as it is");

    let url = format!("{}{}", server.url(), file["url"].as_str().unwrap());
    let got = fetch(&url, &[]).await;
    for (name, expected) in [
        ("content-type", "text/plain; charset=utf-8"),
        ("content-length", "25"),
        ("etag", &*format!("\"{sum}\"")),
        ("accept-ranges", "bytes"),
        ("x-content-type-options", "nosniff"),
        ("cross-origin-resource-policy", "cross-origin"),
        ("content-disposition", "inline; filename=\"gr__e _1_.txt\"; filename*=UTF-8''gr%C3%BC%C3%9Fe%20%221%22.txt"),
    ] {
        assert_eq!(header(&got, name), expected, "{name}");
    }
    assert!(header(&got, "content-security-policy").contains("sandbox"));
    let caching = header(&got, "cache-control").to_owned();
    let age: i64 =
        caching.strip_prefix("private, max-age=").unwrap().strip_suffix(", immutable").unwrap().parse().unwrap();
    assert!((3600 - 5..=7200).contains(&age), "{caching}");
    assert_eq!(got.bytes().await.unwrap(), content);

    // The same URL, again and again, so that browsers find it in their caches; and in lists.
    let list = server.graphql("{ files { nodes { id url } } }", json!({}), Some(&ada)).await;
    assert_eq!(data(&list, "files.nodes"), &json!([{ "id": begun.id, "url": file["url"] }]));
    assert_eq!(fetch(&url, &[("if-none-match", &format!("\"{sum}\""))]).await.status(), StatusCode::NOT_MODIFIED);
    let head = Client::new().head(&url).send().await.unwrap();
    assert_eq!((head.status(), header(&head, "content-length")), (StatusCode::OK, "25"));

    let gone = run(server, &ada, "fileDelete", &begun.id).await;
    assert_eq!(user_errors(&gone, "done"), [""; 0]);
    assert_eq!(fetch(&url, &[]).await.status(), StatusCode::NOT_FOUND);
    assert_eq!(user_errors(&run(server, &ada, "fileDelete", &begun.id).await, "done"), ["id NOT_FOUND"]);
    let told = server
        .graphql(
            "{ auditEvents(filter: { entity: { eq: \"File\" } }) { nodes { action changes { field } } } }",
            json!({}),
            Some(&ada),
        )
        .await;
    let told: Vec<&str> = data(&told, "auditEvents.nodes")
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event["action"].as_str().unwrap())
        .collect();
    assert_eq!(told, ["deleted", "completed", "created"]);
}

#[tokio::test]
async fn parts_of_a_file_are_answered() {
    let server = kit::server().await;
    let ada = server.founder().await;
    let (_, url) = uploaded(server, &ada, "a.txt", b"0123456789", "text/plain").await;
    for (range, status, content, told) in [
        ("bytes=2-4", 206, "234", "bytes 2-4/10"),
        ("bytes=7-", 206, "789", "bytes 7-9/10"),
        ("bytes=-2", 206, "89", "bytes 8-9/10"),
        ("bytes=0-0,5-6", 200, "0123456789", ""),
        ("bytes=10-", 416, "", "bytes */10"),
    ] {
        let got = fetch(&url, &[("range", range)]).await;
        assert_eq!((got.status().as_u16(), header(&got, "content-range")), (status, told), "{range}");
        assert_eq!(got.text().await.unwrap(), content, "{range}");
    }
    let other = fetch(&url, &[("range", "bytes=2-4"), ("if-range", "\"other\"")]).await;
    assert_eq!(other.status(), 200, "a part of another content is of no use");
}

#[tokio::test]
async fn a_url_is_good_for_what_it_was_made_for() {
    let server = kit::server().await;
    let (ada, bob) = (server.founder().await, server.founder().await);
    let (id, url) = uploaded(server, &ada, "a.txt", b"0123456789", "text/plain").await;
    let pending = begun(server, &ada, input("b.txt", b"0123456789", "text/plain")).await;
    let (path, query) = url.split_once('?').unwrap();
    let refused = async |method: &str, url: String| {
        let request = Client::new().request(method.parse().unwrap(), url).header("content-type", "text/plain");
        let answer = request.body(if method == "PUT" { "0123456789" } else { "" }).send().await.unwrap();
        let status = answer.status().as_u16();
        let told: Value = answer.json().await.unwrap_or_default();
        assert!(told["errors"][0]["message"].as_str().is_some_and(|words| words.ends_with('.')), "{told}");
        status
    };
    let (before, signature) = url.split_once("signature=").unwrap();
    let other = if signature.starts_with('A') { "B" } else { "A" };
    for wrong in [
        path.to_owned(),
        format!("{path}?{}", query.split_once('&').unwrap().0),
        format!("{path}?{query}&x=1"),
        url.replace("expires=", "expires=1"),
        format!("{before}signature={other}{}", &signature[1..]),
        // Somebody else's file, and somebody else's organization.
        url.replace(id.as_str().unwrap(), pending.id.as_str().unwrap()),
        url.replace(&ada.organization.to_string(), &bob.organization.to_string()),
        url.replace("/files/", "/files//"),
        url.replace(path, &format!("{path}/")),
    ] {
        let status = refused("GET", wrong.clone()).await;
        assert!([403, 404].contains(&status), "{wrong}: {status}");
    }
    assert_eq!(refused("PUT", url.clone()).await, 403, "what may be fetched may not be changed");
    assert_eq!(refused("GET", pending.url.clone()).await, 403, "what may be sent may not be fetched");
    assert_eq!(refused("DELETE", url.clone()).await, 405);
    let over = |method| {
        let path = format!("/files/{}/{}", ada.organization, id.as_str().unwrap());
        format!("{}{}", server.url(), server.app.urls.url(method, &path, 1_700_000_000))
    };
    assert_eq!((refused("GET", over("GET")).await, refused("PUT", over("PUT")).await), (410, 410));
    let unknown = server.app.urls.to_fetch(&format!("/files/{}/{}", ada.organization, Uuid::now_v7()), 4_000_000_000);
    assert_eq!(refused("GET", format!("{}{unknown}", server.url())).await, 404);
    let elsewhere =
        server.app.urls.to_fetch(&format!("/files/{}/{}", bob.organization, id.as_str().unwrap()), 4_000_000_000);
    assert_eq!(
        refused("GET", format!("{}{elsewhere}", server.url())).await,
        404,
        "the wall stands behind the signature"
    );

    // Nobody but Ada sees it, in her organization or another, save for those who may delete all files.
    let cy = server.member(&ada, "manager", None).await;
    for other in [&*bob, &*cy] {
        let seen = server
            .graphql(
                "query($id: ID!) { file(id: $id) { id } files { nodes { id } } }",
                json!({ "id": id }),
                Some(other),
            )
            .await;
        assert_eq!(seen["data"], json!({ "file": null, "files": { "nodes": [] } }));
        for mutation in ["uploadComplete", "fileDelete"] {
            assert_eq!(user_errors(&run(server, other, mutation, &pending.id).await, "done"), ["id NOT_FOUND"]);
        }
    }
    // Who is no member any more sends nothing.
    let mine = begun(server, &cy, input("c.txt", b"0123456789", "text/plain")).await;
    server.sql(&format!("UPDATE memberships SET status = 'suspended' WHERE id = '{}'", cy.member)).await;
    assert_eq!(mine.put("0123456789").await.status(), 404);
}

#[tokio::test]
async fn what_comes_must_be_what_was_declared() {
    let server = kit::server().await;
    let ada = server.founder().await;
    let content = b"0123456789".as_slice();
    let begun = begun(server, &ada, input("a.txt", content, "text/plain")).await;
    let chunked = |parts: Vec<&'static str>| {
        reqwest::Body::wrap_stream(stream::iter(parts.into_iter().map(|part| io::Result::Ok(Bytes::from(part)))))
    };
    for (sent, status) in [
        (reqwest::Body::from("012345678"), 400),
        (reqwest::Body::from("01234567890"), 413),
        (reqwest::Body::from(vec![b'0'; 500_000]), 413),
        (chunked(vec!["01234", "5678"]), 400),
        (chunked(vec!["01234", "567890"]), 413),
        (reqwest::Body::from(""), 400),
    ] {
        assert_eq!(begun.put(sent).await.status(), status);
    }
    let other =
        |kind: &'static str| Client::new().put(&begun.url).header("content-type", kind).body("0123456789").send();
    assert_eq!(other("text/html").await.unwrap().status(), 415);
    let packed = Client::new().put(&begun.url).header("content-type", "text/plain").header("content-encoding", "gzip");
    assert_eq!(packed.body("0123456789").send().await.unwrap().status(), 415);
    assert!(kept(&server.app, ada.organization).is_empty(), "nothing stays of what was refused");
    assert_eq!(begun.put(chunked(vec!["01234", "56789"])).await.status(), 204);

    // What breaks off leaves nothing.
    let broken = stream::iter([Ok(Bytes::from_static(b"01234"))]).chain(stream::once(async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        Err(io::Error::other("gone"))
    }));
    let begun = self::begun(server, &ada, input("b.txt", content, "text/plain")).await;
    let request = Client::new().put(&begun.url).header("content-type", "text/plain").header("content-length", "10");
    assert!(request.body(reqwest::Body::wrap_stream(broken)).send().await.is_err());
    until("nothing but what is whole", async || (kept(&server.app, ada.organization).len() == 1).then_some(())).await;
    assert_eq!(user_errors(&run(server, &ada, "uploadComplete", &begun.id).await, "done"), ["id STATE_INVALID"]);

    let mut asked = input("c.txt", content, "text/plain");
    asked["checksum"] = json!("00".repeat(32));
    let begun = self::begun(server, &ada, asked).await;
    assert_eq!(begun.put(content).await.status(), 204);
    assert_eq!(user_errors(&run(server, &ada, "uploadComplete", &begun.id).await, "done"), ["id INVALID"]);

    let page = b"<!DOCTYPE html><script>alert(document.cookie)</script>".as_slice();
    for (content, kind) in [(page, "image/png"), (b"MZ\x90\0\x03".as_slice(), "application/pdf"), (PNG, "image/jpeg")] {
        let begun = self::begun(server, &ada, input("a.png", content, kind)).await;
        assert_eq!(begun.put(content).await.status(), 204);
        let answer = run(server, &ada, "uploadComplete", &begun.id).await;
        assert_eq!(user_errors(&answer, "done"), ["id INVALID"], "{kind}");
    }
    let (_, url) = uploaded(server, &ada, "a.png", PNG, "image/png").await;
    assert!(header(&fetch(&url, &[]).await, "content-disposition").starts_with("inline"));
    let drawing = b"<svg xmlns=\"http://www.w3.org/2000/svg\"><script>alert(1)</script></svg>".as_slice();
    let (_, url) = uploaded(server, &ada, "a.svg", drawing, "image/svg+xml").await;
    let got = fetch(&url, &[]).await;
    assert!(header(&got, "content-disposition").starts_with("attachment"), "a drawing can have scripts");
}

#[tokio::test]
async fn what_cannot_be_taken_is_said_at_once() {
    let server = kit::server().await;
    let ada = server.founder().await;
    let told = async |input: Value| user_errors(&begin(server, &ada, input).await, "done");
    let max = server.app.config.files.max_size;
    assert_eq!(
        told(json!({ "name": "a/..", "size": 0, "contentType": "text/html", "checksum": "abc" })).await,
        ["name REQUIRED", "contentType UNSUPPORTED", "size OUT_OF_RANGE", "checksum INVALID_FORMAT"]
    );
    for (name, size, kind, expected) in [
        ("a", i64::from(max) + 1, "text/plain", "size OUT_OF_RANGE"),
        ("a", -1, "text/plain", "size OUT_OF_RANGE"),
        ("a", 1, "application/x-msdownload", "contentType UNSUPPORTED"),
        ("a", 1, "image", "contentType UNSUPPORTED"),
        ("a", 1, "", "contentType UNSUPPORTED"),
        // All of a kind are taken, and these are of none: nor would they be a header.
        ("a", 1, "image/png\0", "contentType UNSUPPORTED"),
        ("a", 1, "image/*", "contentType UNSUPPORTED"),
        ("a", 1, "image/größe", "contentType UNSUPPORTED"),
        ("a", 1, &format!("image/{}", "x".repeat(128)), "contentType UNSUPPORTED"),
        ("a\u{202e}gpj.exe", 1, "text/plain", "name INVALID"),
        ("a\nb", 1, "text/plain", "name INVALID"),
        (" ", 1, "text/plain", "name REQUIRED"),
    ] {
        assert_eq!(told(json!({ "name": name, "size": size, "contentType": kind })).await, [expected], "{name}");
    }
    assert_eq!(told(input(&"x".repeat(256), b"1", "text/plain")).await, ["name TOO_LONG"]);
    for path in ["../../../etc/passwd", "C:\\temp\\passwd", "/etc/passwd"] {
        let answer = begin(server, &ada, input(path, b"1", "text/plain")).await;
        assert_eq!(data(&answer, "done.file.name"), "passwd", "{path}");
    }
    let many = join_all((0..20).map(|_| begin(server, &ada, input("a", b"1", "text/plain")))).await;
    let refused = many.iter().filter(|answer| user_errors(answer, "done") == [" LIMIT_EXCEEDED"]).count();
    assert_eq!(refused, 3, "twenty at once are enough");
}

#[tokio::test]
async fn a_quota_holds_whoever_begins_at_once() {
    let server = Server::with(|config| config.files.quota = 100).await;
    let ada = server.founder().await;
    let all: Vec<Founder> = join_all((0..4).map(|_| server.member(&ada, "guest", None))).await;
    let ten = input("a", b"0123456789", "text/plain");
    let begun = join_all((0..20).map(|n| begin(&server, &all[n % 4], ten.clone()))).await;
    let (mut taken, mut refused) = (Vec::new(), 0);
    for answer in &begun {
        match &*user_errors(answer, "done").join(", ") {
            "" => taken.push(data(answer, "done.file.id").clone()),
            "size LIMIT_EXCEEDED" => refused += 1,
            other => panic!("{other}"),
        }
    }
    assert_eq!((taken.len(), refused), (10, 10));
    // What is given up is free again, and so is what is over.
    let mine = begun.iter().position(|answer| user_errors(answer, "done").is_empty()).unwrap();
    run(&server, &all[mine % 4], "fileDelete", data(&begun[mine], "done.file.id")).await;
    assert_eq!(user_errors(&begin(&server, &ada, ten.clone()).await, "done"), [""; 0]);
    assert_eq!(user_errors(&begin(&server, &ada, ten.clone()).await, "done"), ["size LIMIT_EXCEEDED"]);
    let over = format!("UPDATE files SET upload_until = now() WHERE organization_id = '{}'", ada.organization);
    server.sql(&over).await;
    assert_eq!(user_errors(&begin(&server, &ada, input("a", &[0; 100], "text/plain")).await, "done"), [""; 0]);
    server.stop().await;
}

#[tokio::test]
async fn what_nobody_needs_any_more_goes() {
    let data_dir = tempfile::tempdir().unwrap();
    let folder = data_dir.path().to_owned();
    let server = Server::with(move |config| config.data_dir = folder).await;
    let (ada, bob) = (server.founder().await, server.founder().await);
    let (id, url) = uploaded(&server, &ada, "a.txt", b"0123456789", "text/plain").await;
    let (_, other) = uploaded(&server, &bob, "a.txt", b"0123456789", "text/plain").await;
    let over = begun(&server, &ada, input("b.txt", b"0123456789", "text/plain")).await;
    assert_eq!(over.put("0123456789").await.status(), 204);
    let open = begun(&server, &ada, input("c.txt", b"0123456789", "text/plain")).await;
    assert_eq!(open.put("0123456789").await.status(), 204);
    server.sql(&format!("UPDATE files SET upload_until = now() WHERE id = '{}'", over.id.as_str().unwrap())).await;
    assert_eq!(user_errors(&run(&server, &ada, "uploadComplete", &over.id).await, "done"), ["id STATE_INVALID"]);
    assert_eq!(over.put("0123456789").await.status(), StatusCode::CONFLICT);
    // Other tests share the database, and its uploads are looked at as well.
    let app: &Arc<App> = &server.app;
    PurgeUploads {}.run(app).await.unwrap();
    PurgeUploads {}.run(app).await.unwrap();
    let rows = format!("SELECT count(*) FROM files WHERE organization_id = '{}'", ada.organization);
    assert_eq!((server.count(&rows).await, kept(app, ada.organization).len()), (2, 2));
    let told = "{ auditEvents(filter: { action: { eq: \"expired\" } }) { nodes { entityId actorKind } } }";
    let told = server.graphql(told, json!({}), Some(&ada)).await;
    assert_eq!(data(&told, "auditEvents.nodes"), &json!([{ "entityId": over.id, "actorKind": "SYSTEM" }]));

    // What no row names, whoever left it, goes when it is old; the rest stays however often one looks.
    let store = data_dir.path().join("files/organizations");
    let strays = [ada.organization, Uuid::now_v7()].map(|organization| {
        let folder = store.join(organization.to_string());
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join(Uuid::now_v7().to_string());
        std::fs::write(&path, "stray").unwrap();
        path
    });
    sweep(app, Duration::from_secs(3600)).await.unwrap();
    assert!(strays.iter().all(|stray| stray.exists()), "it may be on its way");
    sweep(app, Duration::ZERO).await.unwrap();
    sweep(app, Duration::ZERO).await.unwrap();
    assert!(!strays.iter().any(|stray| stray.exists()));
    assert_eq!((fetch(&url, &[]).await.status(), fetch(&other, &[]).await.status()), (StatusCode::OK, StatusCode::OK));
    assert_eq!(user_errors(&run(&server, &ada, "uploadComplete", &open.id).await, "done"), [""; 0]);

    // A deleted file is gone at once, and its content as soon as the job is done.
    run(&server, &ada, "fileDelete", &id).await;
    let left = "SELECT count(*) FROM jobs WHERE kind = 'remove_object' AND payload->>'organization' = '";
    assert_eq!(server.count(&format!("{left}{}'", ada.organization)).await, 1);
    assert_eq!(fetch(&url, &[]).await.status(), StatusCode::NOT_FOUND);
    server.stop().await;
}

#[tokio::test]
async fn a_purged_organization_takes_its_files_along() {
    use stoa::identity::organization_end::PurgeOrganizations;
    let server = kit::server().await;
    let (ada, bob) = (server.founder().await, server.founder().await);
    let (_, url) = uploaded(server, &ada, "a.txt", b"0123456789", "text/plain").await;
    let (_, other) = uploaded(server, &bob, "a.txt", b"0123456789", "text/plain").await;
    let end = |at: &str| {
        format!("UPDATE organizations SET deleted_at = now(), purge_at = {at} WHERE id = '{}'", ada.organization)
    };
    server.sql(&end("now() + interval '1 day'")).await;
    assert_eq!(fetch(&url, &[]).await.status(), StatusCode::NOT_FOUND, "nothing of a deleted organization is read");
    assert_eq!(kept(&server.app, ada.organization).len(), 1, "it can be restored");
    server.sql(&end("now()")).await;
    PurgeOrganizations {}.run(&server.app).await.unwrap();
    assert!(kept(&server.app, ada.organization).is_empty());
    assert_eq!(fetch(&other, &[]).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn other_origins_may_send_as_far_as_the_settings_say() {
    let server = Server::with(|config| config.http.cors_origins = vec!["https://app.example.com".into()]).await;
    let ada = server.founder().await;
    let begun = begun(&server, &ada, input("a.txt", b"0123456789", "text/plain")).await;
    for (origin, granted) in [("https://app.example.com", true), ("https://evil.example", false)] {
        let ask = Client::new()
            .request("OPTIONS".parse().unwrap(), &begun.url)
            .header("origin", origin)
            .header("access-control-request-method", "PUT")
            .header("access-control-request-headers", "content-type");
        let answer = ask.send().await.unwrap();
        let methods = header(&answer, "access-control-allow-methods");
        assert_eq!(methods.contains("PUT"), granted, "{origin}: {methods}");
    }
    server.stop().await;
}
