//! A file on its way out. Invariant: the type that was found out goes along and is not guessed again, nothing that could
//! have a script is shown in its place, and caches keep it no longer than its URL is good.

use super::{
    missing,
    range::{Wanted, is_known, wanted},
};
use crate::{
    app::App,
    error::Code,
    files::thumbnail::ThumbnailSize,
    platform::files::{ObjectName, disposition, shown},
    schema::{files, organizations},
    server::fault::Fault,
};
use axum::{
    body::Body,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::Response,
};
use chrono::Utc;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use uuid::Uuid;

/// A page made of it could do nothing, and would be nobody's.
const POLICY: HeaderValue = HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'; sandbox");
const NOSNIFF: HeaderValue = HeaderValue::from_static("nosniff");
const BYTES: HeaderValue = HeaderValue::from_static("bytes");
/// Who has the URL may show it, on whatever page: the URL is the permission.
const ANYWHERE: HeaderValue = HeaderValue::from_static("cross-origin");

/// What is sent.
pub struct Sent<'a> {
    pub object: ObjectName,
    pub size: u64,
    /// Another one for every content.
    pub tag: String,
    pub content_type: &'a str,
    pub name: &'a str,
    /// Until when it may be fetched.
    pub until: i64,
}

/// As the row has it.
#[derive(Queryable)]
struct Found {
    object: Option<String>,
    checksum: Option<String>,
    size: i32,
    content_type: String,
    name: String,
    thumbnails: Vec<Option<String>>,
}

/// A file that people have uploaded, or a thumbnail of it.
pub async fn file(
    app: &App,
    (organization, file): (Uuid, Uuid),
    thumbnail: Option<ThumbnailSize>,
    until: i64,
    headers: &HeaderMap,
) -> Result<Response, Fault> {
    let mut conn = app.database.of(organization).await?;
    let row = files::table.inner_join(organizations::table);
    let row = row.filter(files::organization_id.eq(organization).and(files::id.eq(file)));
    let found: Option<Found> = row
        .filter(files::state.eq("ready"))
        .filter(organizations::deleted_at.is_null().and(organizations::suspended_at.is_null()))
        .select((files::object, files::checksum, files::size, files::content_type, files::name, files::thumbnails))
        .first(&mut *conn)
        .await
        .optional()
        .map_err(crate::Error::from)?;
    // The content takes its time, and needs no database.
    drop(conn);
    let Found { object, checksum, size, content_type, name, thumbnails } = found.ok_or_else(missing)?;
    let object = object.and_then(|object| object.parse().ok()).ok_or_else(missing)?;
    let checksum = checksum.unwrap_or_default();
    if let Some(thumbnail) = thumbnail {
        let word = thumbnail.word();
        if !thumbnails.iter().flatten().any(|there| there == word) {
            return Err(missing());
        }
        let stem = name.rsplit_once('.').map_or(&*name, |(stem, _)| stem);
        let object = thumbnail.object(organization, object);
        return picture(app, object, &format!("{checksum}-{word}"), stem, until, headers).await;
    }
    let sent = Sent {
        object: ObjectName::file(organization, object),
        size: u64::from(size.unsigned_abs()),
        tag: format!("\"{checksum}\""),
        content_type: &content_type,
        name: &name,
        until,
    };
    send(app, sent, headers).await
}

/// The picture of a person. Nobody made a URL of one that was not shown, and what is not shown any more is gone: no row is
/// asked.
pub async fn avatar(
    app: &App,
    (user, avatar): (Uuid, Uuid),
    until: i64,
    headers: &HeaderMap,
) -> Result<Response, Fault> {
    picture(app, ObjectName::avatar(user, avatar), &avatar.to_string(), "avatar", until, headers).await
}

/// The picture of an emoji or a conversation, under that name; as of people, no row is asked.
pub async fn of_organization(
    app: &App,
    (organization, id): (Uuid, Uuid),
    stem: &str,
    until: i64,
    headers: &HeaderMap,
) -> Result<Response, Fault> {
    picture(app, ObjectName::file(organization, id), &id.to_string(), stem, until, headers).await
}

/// A picture that was made here, and so is one of two kinds.
async fn picture(
    app: &App,
    object: ObjectName,
    content: &str,
    stem: &str,
    until: i64,
    headers: &HeaderMap,
) -> Result<Response, Fault> {
    let size = app.files.size(&object).await?.ok_or_else(missing)?;
    let begin = app.files.read_whole(&object, 0..size.min(4)).await?.ok_or_else(missing)?;
    let (content_type, ending) = if &*begin == b"\x89PNG" { ("image/png", "png") } else { ("image/jpeg", "jpg") };
    let (tag, name) = (format!("\"{content}\""), format!("{stem}.{ending}"));
    send(app, Sent { object, size, tag, content_type, name: &name, until }, headers).await
}

/// 200, 206, 304 or 416.
pub async fn send(app: &App, sent: Sent<'_>, headers: &HeaderMap) -> Result<Response, Fault> {
    let mut response = Response::new(Body::empty());
    let value = |text: String| HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(""));
    let told = response.headers_mut();
    let seconds = sent.until.saturating_sub(Utc::now().timestamp()).max(0);
    told.insert(header::CACHE_CONTROL, value(format!("private, max-age={seconds}, immutable")));
    told.insert(header::ETAG, value(sent.tag.clone()));
    told.insert(header::ACCEPT_RANGES, BYTES);
    told.insert(header::X_CONTENT_TYPE_OPTIONS, NOSNIFF);
    told.insert(header::CONTENT_SECURITY_POLICY, POLICY);
    told.insert(HeaderName::from_static("cross-origin-resource-policy"), ANYWHERE);
    if is_known(headers, &sent.tag) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        return Ok(response);
    }
    let part = match wanted(headers, sent.size, &sent.tag) {
        Wanted::Whole => 0..sent.size,
        Wanted::Part(part) => {
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
            let range = format!("bytes {}-{}/{}", part.start, part.end.saturating_sub(1), sent.size);
            response.headers_mut().insert(header::CONTENT_RANGE, value(range));
            part
        }
        Wanted::None => {
            *response.status_mut() = StatusCode::RANGE_NOT_SATISFIABLE;
            response.headers_mut().insert(header::CONTENT_RANGE, value(format!("bytes */{}", sent.size)));
            return Ok(response);
        }
    };
    let length = part.end.saturating_sub(part.start);
    let Some(content) = app.files.read(&sent.object, part).await? else {
        tracing::error!(object = ?sent.object, "the content of a file is gone");
        return Err(Fault::new(StatusCode::NOT_FOUND, Code::NotFound, "The content of this file is lost."));
    };
    let told = response.headers_mut();
    told.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    told.insert(header::CONTENT_TYPE, value(with_charset(sent.content_type)));
    told.insert(header::CONTENT_DISPOSITION, disposition(shown(sent.content_type), sent.name));
    *response.body_mut() = Body::from_stream(content);
    Ok(response)
}

/// Without, browsers read text as they like.
fn with_charset(kind: &str) -> String {
    if kind.starts_with("text/") { format!("{kind}; charset=utf-8") } else { kind.to_owned() }
}
