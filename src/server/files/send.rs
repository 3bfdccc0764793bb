//! The content of a file on its way in. Invariants: no more is taken than was declared, and what breaks off, takes too long
//! or is another size leaves nothing; a file that is READY takes nothing any more, whatever was on its way.

use super::missing;
use crate::{
    app::App,
    error::Code,
    files::upload::media_type,
    platform::files::{Draft, ObjectName},
    schema::{files, memberships, organizations},
    server::{Server, fault::Fault},
};
use axum::{
    body::{Body, HttpBody},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::Response,
};
use chrono::Utc;
use data_encoding::HEXLOWER;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use http_body_util::BodyExt;
use sha2::{Digest, Sha256};
use std::{sync::Arc, time::Duration};
use tokio::time::timeout;
use uuid::Uuid;

/// How long nothing may come.
const SILENCE: Duration = Duration::from_secs(30);
/// The slowest that an upload may be, in bytes a second, after a minute: places are few.
const SLOWEST: u64 = 16 * 1024;

/// What was declared.
#[derive(Queryable)]
struct Declared {
    size: i32,
    content_type: String,
    /// By whom.
    member: Uuid,
}

/// 204 when the content is there.
pub async fn take(
    server: &Server,
    file: (Uuid, Uuid),
    headers: &HeaderMap,
    body: &mut Body,
) -> Result<Response, Fault> {
    let app = &server.app;
    let declared = server.unless_away(declared(app, file)).await??;
    let _share = server.limits.upload_of(declared.member)?;
    let size = u64::from(declared.size.unsigned_abs());
    judge(headers, &declared.content_type, size, body)?;
    let object = Uuid::now_v7();
    let name = ObjectName::file(file.0, object);
    let mut draft = app.files.draft(&name).await?;
    let time = Duration::from_secs(60) + Duration::from_secs(size.div_ceil(SLOWEST));
    let checksum = match timeout(time, receive(&mut draft, body, size)).await.unwrap_or_else(|_| Err(late())) {
        Ok(checksum) => checksum,
        Err(fault) => {
            draft.abandon().await;
            return Err(fault);
        }
    };
    // Whoever hangs up now has sent it all: what is published is named by the row or goes, whether they hear of it or not.
    let kept = tokio::spawn(keep(app.clone(), file, (object, name), draft, checksum.clone()));
    kept.await.map_err(crate::Error::ours)??;
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    if let Ok(tag) = HeaderValue::try_from(format!("\"{checksum}\"")) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    Ok(response)
}

/// Publishes what came, and forgets what was sent before.
async fn keep(
    app: Arc<App>,
    file: (Uuid, Uuid),
    (object, name): (Uuid, ObjectName),
    draft: Draft,
    checksum: String,
) -> Result<(), Fault> {
    draft.publish().await?;
    let before = match note(&app, file, object, &checksum).await {
        Ok(before) => before,
        Err(fault) => {
            let _ = app.files.remove(&name).await;
            return Err(fault);
        }
    };
    // Should this fail, the sweep finds it.
    if let Some(before) = before.and_then(|before| before.parse().ok()) {
        let _ = app.files.remove(&ObjectName::file(file.0, before)).await;
    }
    Ok(())
}

/// What may be sent there: while who has begun it is here, and it is not complete.
async fn declared(app: &App, (organization, file): (Uuid, Uuid)) -> Result<Declared, Fault> {
    let mut conn = app.database.of(organization).await?;
    let uploader = memberships::organization_id.eq(files::organization_id).and(memberships::id.eq(files::created_by));
    let found: Option<(Declared, bool)> = files::table
        .inner_join(organizations::table)
        .inner_join(memberships::table.on(uploader))
        .filter(files::organization_id.eq(organization).and(files::id.eq(file)))
        .filter(organizations::deleted_at.is_null().and(organizations::suspended_at.is_null()))
        .filter(memberships::status.eq("active"))
        .select(((files::size, files::content_type, files::created_by), files::upload_until.is_not_null()))
        .first(&mut *conn)
        .await
        .optional()
        .map_err(crate::Error::from)?;
    match found {
        Some((declared, true)) => Ok(declared),
        Some(_) => Err(complete()),
        None => Err(missing()),
    }
}

/// What the head alone tells.
fn judge(headers: &HeaderMap, content_type: &str, size: u64, body: &Body) -> Result<(), Fault> {
    let unsupported = |message: String| Err(Fault::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, Code::BadRequest, message));
    let sent = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).map(media_type);
    if sent.as_deref() != Some(content_type) {
        return unsupported(format!("Send `Content-Type: {content_type}`, as was declared."));
    }
    if headers.get(header::CONTENT_ENCODING).is_some_and(|encoding| encoding != "identity") {
        return unsupported("Send the content as it is, not compressed.".to_owned());
    }
    match body.size_hint().exact() {
        Some(more) if more > size => Err(too_large(size)),
        Some(less) if less < size => Err(too_small(size)),
        _ => Ok(()),
    }
}

/// Its SHA-256.
async fn receive(draft: &mut Draft, body: &mut Body, size: u64) -> Result<String, Fault> {
    let (mut checksum, mut taken) = (Sha256::new(), 0_u64);
    while let Some(frame) = timeout(SILENCE, body.frame()).await.map_err(|_| late())? {
        let frame = frame.map_err(|_| Fault::bad_request("The content broke off. Send it again."))?;
        let Ok(bytes) = frame.into_data() else { continue };
        taken = taken.saturating_add(bytes.len() as u64);
        if taken > size {
            return Err(too_large(size));
        }
        checksum.update(&bytes);
        draft.write(bytes).await?;
    }
    if taken < size { Err(too_small(size)) } else { Ok(HEXLOWER.encode(&checksum.finalize())) }
}

/// The row names the object from here on; answers the one that it named before. Whoever completes the upload comes before
/// or after.
async fn note(
    app: &App,
    (organization, file): (Uuid, Uuid),
    object: Uuid,
    checksum: &str,
) -> Result<Option<String>, Fault> {
    let noted = async {
        let mut tx = app.database.of(organization).await?.begin().await?;
        let row = files::table.find((organization, file)).filter(files::upload_until.gt(Utc::now()));
        let before: Option<Option<String>> =
            row.select(files::object).for_no_key_update().first(&mut *tx).await.optional()?;
        if before.is_some() {
            diesel::update(files::table.find((organization, file)))
                .set((files::object.eq(object.to_string()), files::checksum.eq(checksum)))
                .execute(&mut *tx)
                .await?;
        }
        tx.commit().await?;
        Ok::<_, crate::Error>(before)
    };
    noted.await?.ok_or_else(complete)
}

fn complete() -> Fault {
    let message = "This upload is complete, or its time is over. For another content begin another one.";
    Fault::new(StatusCode::CONFLICT, Code::Conflict, message)
}

fn too_large(size: u64) -> Fault {
    Fault::new(StatusCode::PAYLOAD_TOO_LARGE, Code::BadRequest, format!("More comes than the {size} bytes declared."))
}

fn too_small(size: u64) -> Fault {
    Fault::bad_request(format!("Less comes than the {size} bytes declared."))
}

fn late() -> Fault {
    Fault::new(StatusCode::REQUEST_TIMEOUT, Code::Timeout, "The content did not arrive in time. Send it again.")
}
