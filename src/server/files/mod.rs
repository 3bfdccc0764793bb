//! Files over HTTP at `/files/…`: fetched and sent by signed URLs, without any other credential. Invariants: nothing is
//! answered or taken before the signature holds; memory for one request is bounded whatever it sends or asks for; what is
//! answered can run no script in anybody's name.

mod export;
mod object;
mod range;
mod send;

use super::{
    Server, client,
    fault::{Fault, Media},
    http::read::discard,
};
use crate::{error::Code, files::thumbnail::ThumbnailSize, platform::signed_url::Disbelief};
use axum::{
    extract::{Request, State},
    http::{Method, StatusCode},
    response::Response,
};
use chrono::Utc;
use std::sync::Arc;
use uuid::Uuid;

/// How much is read on of a body that is refused, so that whoever is still writing reads the answer.
const READ_ON: usize = 256 * 1024;

/// Answers a file or a thumbnail of it, the picture of a person, an emoji or a conversation, or an export.
pub async fn get(State(server): State<Arc<Server>>, request: Request) -> Response {
    let info = client::info_of(&request);
    let (head, _) = request.into_parts();
    let answered = async {
        let until = believed(&server, &Method::GET, &head.uri)?;
        let _in_flight = server.limits.request()?;
        if let Some(picture) = head.uri.path().strip_prefix("/files/avatars/") {
            return object::avatar(&server.app, ids(picture)?, until, &head.headers).await;
        }
        for (folder, stem) in [("/files/emojis/", "emoji"), ("/files/pictures/", "picture")] {
            if let Some(picture) = head.uri.path().strip_prefix(folder) {
                return object::of_organization(&server.app, ids(picture)?, stem, until, &head.headers).await;
            }
        }
        if let Some(export) = export::answer(&server, head.uri.path(), &info).await {
            return export;
        }
        let (file, thumbnail) = file(head.uri.path().strip_prefix("/files/").unwrap_or_default())?;
        server.unless_away(object::file(&server.app, file, thumbnail, until, &head.headers)).await?
    };
    answered.await.unwrap_or_else(|fault| fault.response(Media::Json, &info))
}

/// Takes the content of a file whose upload has begun.
pub async fn put(State(server): State<Arc<Server>>, request: Request) -> Response {
    let info = client::info_of(&request);
    let (head, mut body) = request.into_parts();
    let taken = async {
        believed(&server, &Method::PUT, &head.uri)?;
        let file = ids(head.uri.path().strip_prefix("/files/").unwrap_or_default())?;
        let _in_flight = server.limits.request()?;
        let _place = server.limits.upload()?;
        send::take(&server, file, &head.headers, &mut body).await
    };
    match taken.await {
        Ok(response) => response,
        Err(fault) => {
            discard(body, &head.headers, READ_ON).await;
            fault.response(Media::Json, &info)
        }
    }
}

/// Until when the URL grants this; 403 and 410 in words.
fn believed(server: &Server, method: &Method, uri: &axum::http::Uri) -> Result<i64, Fault> {
    let now = Utc::now().timestamp();
    server.app.urls.believe(method.as_str(), uri.path(), uri.query(), now).map_err(|disbelief| match disbelief {
        Disbelief::Wrong => {
            let message = "This URL was not made by this server, or not for this. Ask for the file's `url` again.";
            Fault::new(StatusCode::FORBIDDEN, Code::Forbidden, message)
        }
        Disbelief::Over => {
            let message = "This URL was good for a while, which is over. Ask for another one.";
            Fault::new(StatusCode::GONE, Code::NotFound, message)
        }
    })
}

/// The organization and the file at the end of a path, and which thumbnail of it.
fn file(end: &str) -> Result<((Uuid, Uuid), Option<ThumbnailSize>), Fault> {
    let thumbnail = |(file, word)| Some((file, ThumbnailSize::ALL.into_iter().find(|size| size.word() == word)?));
    match end.rsplit_once('/').and_then(thumbnail) {
        Some((file, thumbnail)) => Ok((ids(file)?, Some(thumbnail))),
        None => Ok((ids(end)?, None)),
    }
}

/// The organization and the file at the end of a path, or whose picture and the picture.
fn ids(end: &str) -> Result<(Uuid, Uuid), Fault> {
    let id = |part| Uuid::try_parse(part).map_err(|_| missing());
    let (owner, of) = end.split_once('/').ok_or_else(missing)?;
    Ok((id(owner)?, id(of)?))
}

fn missing() -> Fault {
    Fault::new(StatusCode::NOT_FOUND, Code::NotFound, "There is no such file, or not any more.")
}
