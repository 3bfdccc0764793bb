//! Images that were uploaded: measured once, and shown in small sizes to whoever may read them.

use crate::{
    avatar::{bomb, file, png},
    files::fetch,
    kit::{self, Founder, Server, data, mail::working, user_errors},
};
use image::{DynamicImage, Frame, ImageFormat, Rgb, RgbImage, Rgba, RgbaImage, codecs::gif::GifEncoder};
use reqwest::{Response, StatusCode};
use serde_json::{Value, json};
use std::{io::Cursor, time::Duration};
use stoa::{
    files::{MeasureImage, MeasureImages, RemoveObject, sweep::sweep},
    platform::jobs::Run,
};
use uuid::Uuid;

/// Something that cannot be packed well: of one color on the left, another on the right, with noise in both.
fn noisy(x: u32, y: u32, width: u32) -> [u8; 3] {
    let noise = (x.wrapping_mul(0x9E37_79B1) ^ y.wrapping_mul(0x85EB_CA77)).wrapping_mul(0xC2B2_AE3D) >> 26;
    let noise = noise as u8;
    if x < width / 2 { [180 + noise, noise, noise] } else { [noise, noise, 180 + noise] }
}

fn encoded(image: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Vec::new();
    image.into().write_to(&mut Cursor::new(&mut bytes), format).unwrap();
    bytes
}

fn photograph(width: u32, height: u32) -> Vec<u8> {
    encoded(RgbImage::from_fn(width, height, |x, y| Rgb(noisy(x, y, width))), ImageFormat::Jpeg)
}

/// What a file says of itself as an image; null to who may not see it.
async fn seen(server: &Server, who: &Founder, file: &Value) -> Value {
    let query = "query($id: ID!) { file(id: $id) { imageState width height url version
        small: thumbnailUrl large: thumbnailUrl(size: LARGE) } }";
    data(&server.graphql(query, json!({ "id": file }), Some(who)).await, "file").clone()
}

/// What the job does that the upload has left.
async fn measure(server: &Server, who: &Founder, file: &Value) {
    let left = format!("FROM jobs WHERE kind = 'measure_image' AND payload->>'file' = '{}'", file.as_str().unwrap());
    assert_eq!(server.count(&format!("SELECT count(*) {left}")).await, 1);
    let job: MeasureImage = serde_json::from_str(&server.text(&format!("SELECT payload::text {left}")).await).unwrap();
    assert_eq!(job.organization, who.organization);
    job.run(&server.app).await.unwrap();
}

async fn get(server: &Server, url: &Value, headers: &[(&str, &str)]) -> Response {
    fetch(&format!("{}{}", server.url(), url.as_str().unwrap()), headers).await
}

async fn picture(server: &Server, url: &Value, kind: &str) -> DynamicImage {
    let got = get(server, url, &[]).await;
    assert_eq!((got.status(), got.headers()["content-type"].to_str().unwrap()), (StatusCode::OK, kind));
    image::load_from_memory(&got.bytes().await.unwrap()).unwrap()
}

/// The objects of an organization.
fn kept(server: &Server, who: &Founder) -> usize {
    let folder = server.app.config.data_dir.join("files/organizations").join(who.organization.to_string());
    std::fs::read_dir(folder).map_or(0, Iterator::count)
}

#[tokio::test]
async fn an_image_is_measured_and_shown_in_small() {
    let server = kit::server().await;
    let ada = server.founder().await;
    let photo = file(server, &ada, &photograph(2000, 1000), "image/jpeg").await;
    let before = seen(server, &ada, &photo).await;
    assert_eq!(
        (&before["imageState"], &before["width"], &before["small"]),
        (&json!("PENDING"), &Value::Null, &Value::Null)
    );
    measure(server, &ada, &photo).await;
    let after = seen(server, &ada, &photo).await;
    assert_eq!(
        (&after["imageState"], &after["width"], &after["height"], &after["version"]),
        (&json!("READY"), &json!(2000), &json!(1000), &json!(3))
    );
    for (size, width, height) in [("small", 320, 160), ("large", 1280, 640)] {
        let small = picture(server, &after[size], "image/jpeg").await.into_rgb8();
        assert_eq!(small.dimensions(), (width, height));
        let (left, right) = (small.get_pixel(width / 4, height / 2).0, small.get_pixel(width * 3 / 4, height / 2).0);
        assert!(left[0] > 150 && left[2] < 90 && right[2] > 150 && right[0] < 90, "{left:?} {right:?}");
    }

    // It goes out like any file, and stays the same, so that browsers find it in their caches.
    assert_eq!(seen(server, &ada, &photo).await, after);
    let part = get(server, &after["small"], &[("range", "bytes=0-2")]).await;
    assert_eq!(part.status(), StatusCode::PARTIAL_CONTENT);
    for (name, expected) in [
        ("x-content-type-options", "nosniff"),
        ("content-disposition", "inline; filename=\"me.jpg\"; filename*=UTF-8''me.jpg"),
    ] {
        assert_eq!(part.headers()[name], expected);
    }
    assert!(part.headers()["cache-control"].to_str().unwrap().ends_with(", immutable"));
    let tag = part.headers()["etag"].to_str().unwrap().to_owned();
    assert_eq!(part.bytes().await.unwrap(), &b"\xff\xd8\xff"[..]);
    assert_eq!(get(server, &after["small"], &[("if-none-match", &tag)]).await.status(), StatusCode::NOT_MODIFIED);
    assert_ne!(get(server, &after["large"], &[]).await.headers()["etag"], tag, "another content");
    // A URL is for the size that it was made for.
    let other = json!(after["small"].as_str().unwrap().replace("/small?", "/large?"));
    assert_eq!(get(server, &other, &[]).await.status(), StatusCode::FORBIDDEN);
    let path = format!("/files/{}/{}/huge", ada.organization, photo.as_str().unwrap());
    let unknown = json!(server.app.urls.to_fetch(&path, 4_000_000_000));
    assert_eq!(get(server, &unknown, &[]).await.status(), StatusCode::NOT_FOUND);

    // It is told once, however often the job is done.
    measure(server, &ada, &photo).await;
    assert_eq!(seen(server, &ada, &photo).await, after);
    let told = "{ auditEvents(filter: { entity: { eq: \"File\" } }) { nodes { action actorKind } } }";
    let told = server.graphql(told, json!({}), Some(&ada)).await;
    let told = data(&told, "auditEvents.nodes").as_array().unwrap().clone();
    assert_eq!(told.iter().map(|one| &one["action"]).collect::<Vec<_>>(), ["measured", "completed", "created"]);
    assert_eq!(told[0]["actorKind"], "SYSTEM");

    // It goes with the file: its URLs at once, the objects a moment later.
    assert_eq!(kept(server, &ada), 3);
    let gone = "mutation($id: ID!) { done: fileDelete(input: { id: $id }) { userErrors { field code } } }";
    assert_eq!(user_errors(&server.graphql(gone, json!({ "id": photo }), Some(&ada)).await, "done"), [""; 0]);
    assert_eq!(get(server, &after["small"], &[]).await.status(), StatusCode::NOT_FOUND);
    let left = "SELECT payload::text FROM jobs WHERE kind = 'remove_object' AND payload->>'organization' =";
    let left = server.text(&format!("{left} '{}'", ada.organization)).await;
    serde_json::from_str::<RemoveObject>(&left).unwrap().run(&server.app).await.unwrap();
    assert_eq!(kept(server, &ada), 0);
}

#[tokio::test]
async fn who_reads_the_message_sees_its_images_in_small() {
    let server = kit::server().await;
    let ada = server.founder().await;
    let (bob, eve) = (server.member(&ada, "guest", None).await, server.member(&ada, "admin", None).await);
    let photo = file(server, &ada, &photograph(800, 600), "image/jpeg").await;
    measure(server, &ada, &photo).await;
    let talk = server.group(&ada, &[&bob]).await;
    server.send(&ada, json!({ "conversationId": talk.id, "body": "look", "fileIds": [photo] })).await;
    let query = "query($id: ID!) { conversation(id: $id) { messages { nodes { attachments { nodes { file {
        width height imageState thumbnailUrl } } } } } } }";
    let answer = server.graphql(query, json!({ "id": talk.id }), Some(&bob)).await;
    let shown = data(&answer, "conversation.messages.nodes.0.attachments.nodes.0.file").clone();
    assert_eq!((&shown["width"], &shown["height"], &shown["imageState"]), (&json!(800), &json!(600), &json!("READY")));
    let small = picture(server, &shown["thumbnailUrl"], "image/jpeg").await;
    assert_eq!((small.width(), small.height()), (320, 240));
    assert_eq!(seen(server, &eve, &photo).await, Value::Null);
}

#[tokio::test]
async fn what_is_clear_stays_clear_what_moves_stands_and_what_is_light_is_itself() {
    let server = kit::server().await;
    let ada = server.founder().await;
    let clear = RgbaImage::from_fn(500, 400, |x, y| {
        let [red, green, blue] = noisy(x, y, 500);
        Rgba([red, green, blue, if x < 250 { 255 } else { 0 }])
    });
    let clear = file(server, &ada, &encoded(clear, ImageFormat::Png), "image/png").await;
    measure(server, &ada, &clear).await;
    let shown = seen(server, &ada, &clear).await;
    let small = picture(server, &shown["small"], "image/png").await.into_rgba8();
    assert_eq!((small.dimensions(), small.get_pixel(10, 10).0[3], small.get_pixel(300, 10).0[3]), ((320, 256), 255, 0));

    let mut moving = Vec::new();
    let mut gif = GifEncoder::new(&mut moving);
    for color in [0, 2] {
        let still = RgbaImage::from_fn(400, 100, |x, y| {
            let mut pixel = [0, 0, 0, 255];
            pixel[color] = 200 + noisy(x, y, 1)[0] % 50;
            Rgba(pixel)
        });
        gif.encode_frame(Frame::new(still)).unwrap();
    }
    drop(gif);
    let moving = file(server, &ada, &moving, "image/gif").await;
    measure(server, &ada, &moving).await;
    let shown = seen(server, &ada, &moving).await;
    assert_eq!((&shown["width"], &shown["height"]), (&json!(400), &json!(100)));
    let first = picture(server, &shown["small"], "image/jpeg").await.into_rgb8();
    let pixel = first.get_pixel(160, 40).0;
    assert!(first.dimensions() == (320, 80) && pixel[0] > 150 && pixel[2] < 60, "{pixel:?}");

    // A copy would be no smaller.
    let light = file(server, &ada, &png([255, 0, 0]), "image/png").await;
    measure(server, &ada, &light).await;
    let shown = seen(server, &ada, &light).await;
    assert_eq!((&shown["imageState"], &shown["width"], &shown["height"]), (&json!("READY"), &json!(60), &json!(40)));
    assert_eq!((&shown["small"], &shown["large"]), (&shown["url"], &shown["url"]));
}

#[tokio::test]
async fn what_cannot_be_measured_stays_a_file() {
    let server = kit::server().await;
    let ada = server.founder().await;
    let whole = photograph(100, 100);
    let half = png([255, 0, 0]);
    let damaged = file(server, &ada, &half[..half.len() / 2], "image/png").await;
    let bomb = file(server, &ada, &bomb(), "image/png").await;
    let long = file(server, &ada, &whole, "image/jpeg").await;
    server.sql(&format!("UPDATE files SET size = 30000000 WHERE id = '{}'", long.as_str().unwrap())).await;
    let lost = file(server, &ada, &whole, "image/jpeg").await;
    let object = server.text(&format!("SELECT object FROM files WHERE id = '{}'", lost.as_str().unwrap())).await;
    let folder = server.app.config.data_dir.join("files/organizations").join(ada.organization.to_string());
    std::fs::remove_file(folder.join(object)).unwrap();
    for (image, why) in [(&damaged, "damaged"), (&bomb, "too large"), (&long, "too long"), (&lost, "lost")] {
        assert_eq!(seen(server, &ada, image).await["imageState"], "PENDING", "{why}");
        measure(server, &ada, image).await;
        let shown = seen(server, &ada, image).await;
        for field in ["width", "height", "small", "large"] {
            assert_eq!(shown[field], Value::Null, "{why}: {field}");
        }
        assert_eq!((&shown["imageState"], &shown["version"]), (&json!("NONE"), &json!(3)), "{why}");
    }
    let shown = seen(server, &ada, &damaged).await;
    assert_eq!(get(server, &shown["url"], &[]).await.status(), StatusCode::OK, "it is READY all the same");
    for (content, kind) in
        [(&b"hello"[..], "text/plain"), (b"<svg xmlns=\"http://www.w3.org/2000/svg\"/>", "image/svg+xml")]
    {
        let other = file(server, &ada, content, kind).await;
        assert_eq!(seen(server, &ada, &other).await["imageState"], "NONE", "{kind}");
        let left = format!("SELECT count(*) FROM jobs WHERE payload->>'file' = '{}'", other.as_str().unwrap());
        assert_eq!(server.count(&left).await, 0, "{kind}");
    }
    // It is deleted before its turn comes.
    MeasureImage { organization: ada.organization, file: Uuid::now_v7() }.run(&server.app).await.unwrap();
}

#[tokio::test]
async fn what_was_there_before_is_measured_and_what_no_row_names_goes() {
    let data_dir = tempfile::tempdir().unwrap();
    let folder = data_dir.path().to_owned();
    let server = Server::with(move |config| config.data_dir = folder).await;
    let ada = server.founder().await;
    let photo = photograph(700, 500);
    let broken = file(&server, &ada, &photo, "image/jpeg").await;
    let old = file(&server, &ada, &photo, "image/jpeg").await;
    let fresh = file(&server, &ada, &photo, "image/jpeg").await;
    let store = data_dir.path().join("files/organizations").join(ada.organization.to_string());
    // One that the store cannot read is tried again, and not in the way of those behind it.
    let object = server.text(&format!("SELECT object FROM files WHERE id = '{}'", broken.as_str().unwrap())).await;
    std::fs::write(store.join(object), "").unwrap();
    let long_ago = "UPDATE files SET updated_at = now() - interval '1 day' WHERE id IN";
    server.sql(&format!("{long_ago} ('{}', '{}')", broken.as_str().unwrap(), old.as_str().unwrap())).await;
    MeasureImages {}.run(&server.app).await.unwrap_err();
    for (image, why) in [(&broken, "it may be read another time"), (&fresh, "its job is on its way")] {
        assert_eq!(seen(&server, &ada, image).await["imageState"], "PENDING", "{why}");
    }
    let shown = seen(&server, &ada, &old).await;
    assert_eq!((&shown["imageState"], &shown["width"]), (&json!("READY"), &json!(700)));

    // Beside what is named, and beside what is not.
    let stray = store.join(format!("{}.small", Uuid::now_v7()));
    std::fs::write(&stray, "stray").unwrap();
    sweep(&server.app, Duration::ZERO).await.unwrap();
    assert!(!stray.exists());
    for size in ["small", "large"] {
        picture(&server, &shown[size], "image/jpeg").await;
    }
    server.stop().await;
}

#[tokio::test]
async fn as_many_as_a_run_looks_at_that_cannot_be_read_keep_no_other_waiting_for_good() {
    let server = working(|config| config.jobs.workers = 0).await;
    let ada = server.founder().await;
    let broken: Vec<Uuid> = (0..500).map(|_| Uuid::now_v7()).collect();
    let old = file(&server, &ada, &photograph(700, 500), "image/jpeg").await;
    let store = server.app.config.data_dir.join("files/organizations").join(ada.organization.to_string());
    let (organization, member) = (ada.organization, ada.member);
    let mut rows = Vec::new();
    for id in broken {
        std::fs::write(store.join(id.to_string()), "").unwrap();
        rows.push(format!("('{organization}', '{id}', 'x', 'image/png', 10, 'ready', 'x', '{id}', '{member}')"));
    }
    server
        .sql(&format!(
            "INSERT INTO files (organization_id, id, name, content_type, size, state, checksum, object, created_by) VALUES {};
             UPDATE files SET updated_at = now() - interval '1 day'",
            rows.join(", ")
        ))
        .await;
    // Which of them a run looks at is a matter of chance: of two parts not the same one forty times.
    for _ in 0..40 {
        let _ = MeasureImages {}.run(&server.app).await;
        if seen(&server, &ada, &old).await["imageState"] == "READY" {
            break;
        }
    }
    assert_eq!(seen(&server, &ada, &old).await["width"], json!(700));
}
