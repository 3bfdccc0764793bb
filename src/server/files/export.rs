//! Exports on their way out: the audit trail, a conversation. Written page by page, as fast as they are read. Invariant: memory
//! is that of a page, and who hangs up, or may read it no longer, ends it.

use super::missing;
use crate::{
    audit::export::Export as AuditExport,
    error::{Code, Error},
    kit::{export::Pages, scope::RequestInfo},
    messaging::export::Export as ConversationExport,
    platform::files::{Shown, disposition},
    server::{Server, fault::Fault},
};
use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, header},
    response::Response,
};
use bytes::Bytes;
use futures_util::stream;
use std::io;
use uuid::Uuid;

/// The export that a signed path grants; None: it is the path of something else.
pub async fn answer(server: &Server, path: &str, info: &RequestInfo) -> Option<Result<Response, Fault>> {
    if let Some(end) = path.strip_prefix(AuditExport::PURPOSE.folder) {
        return Some(written::<AuditExport>(server, end, info).await);
    }
    let end = path.strip_prefix(ConversationExport::PURPOSE.folder)?;
    Some(written::<ConversationExport>(server, end, info).await)
}

/// The file that the end of a signed path grants.
async fn written<P: Pages>(server: &Server, end: &str, info: &RequestInfo) -> Result<Response, Fault> {
    let (organization, sealed) = end.split_once('/').ok_or_else(missing)?;
    let organization = Uuid::try_parse(organization).map_err(|_| missing())?;
    let place = server.limits.export(organization)?;
    let opened = P::open(&server.app, organization, sealed, info.clone());
    let export = server.unless_away(opened).await?.map_err(refused)?;
    let (media_type, name) = export.names();
    let pieces = stream::try_unfold((export, place), async |(mut export, place)| match export.next().await {
        Ok(piece) => Ok(piece.map(|piece| (Bytes::from(piece), (export, place)))),
        Err(fault) => {
            tracing::warn!(request_id = %export.scope().request.id, error = ?fault, "an export broke off");
            // The connection is cut: a client sees that the file is not whole.
            Err(io::Error::other("broken off"))
        }
    });
    let mut response = Response::new(Body::from_stream(pieces));
    let told = response.headers_mut();
    told.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    told.insert(header::CONTENT_DISPOSITION, disposition(Shown::Attachment, &name));
    Ok(response)
}

fn refused(fault: Error) -> Fault {
    let status = match fault.code() {
        Code::Forbidden | Code::OrganizationSuspended => StatusCode::FORBIDDEN,
        Code::NotFound => StatusCode::GONE,
        _ => return fault.into(),
    };
    Fault { status, error: fault, allow: None }
}
