//! Exports on their way out: the audit trail, a conversation. Written page by page, as fast as they are read. Invariants: memory
//! is that of a page; who reads is looked at anew for each; and who hangs up, takes nothing for too long, or may read it no longer,
//! ends it, and holds no place and no page any more.

use super::missing;
use crate::{
    audit::export::AuditExport,
    config::millis,
    error::{Code, Error, Result},
    identity,
    kit::{
        export::{self, Export, Format, Grant, Rows},
        scope::{RequestInfo, Scope},
    },
    messaging::export::ConversationExport,
    platform::files::{Shown, disposition},
    server::{Server, fault::Fault},
};
use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, header},
    response::Response,
};
use bytes::Bytes;
use chrono::Utc;
use futures_util::stream;
use std::{io, mem, sync::Arc, time::Duration};
use tokio::{
    sync::mpsc,
    time::{error::Elapsed, timeout},
};
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

/// How long a file may take: its place is wanted by others. A million lines are some minutes of a slow connection.
const LASTS: Duration = Duration::from_secs(3600);
/// Bytes that are handed over at once: whoever does not take these within `files.export_wait_ms` is too slow.
const PIECE: usize = 64 * 1024;

/// The export that a signed path grants; None: it is the path of something else.
pub async fn answer(server: &Server, path: &str, info: &RequestInfo) -> Option<Result<Response, Fault>> {
    if let Some(end) = path.strip_prefix(AuditExport::FOLDER) {
        return Some(written::<AuditExport>(server, end, info).await);
    }
    let end = path.strip_prefix(ConversationExport::FOLDER)?;
    Some(written::<ConversationExport>(server, end, info).await)
}

/// The file that the end of a signed path grants.
async fn written<E: Export>(server: &Server, end: &str, info: &RequestInfo) -> Result<Response, Fault> {
    let (organization, sealed) = end.split_once('/').ok_or_else(missing)?;
    let organization = Uuid::try_parse(organization).map_err(|_| missing())?;
    let place = server.limits.export(E::PURPOSE, organization)?;
    let begun = Writing::<E>::begin(server, organization, sealed, info.clone());
    let writing = server.unless_away(begun).await?.map_err(refused)?;
    let name = format!("{}-{}.{}", E::NAME, Utc::now().format("%Y-%m-%d"), writing.format.end());
    let media_type = writing.format.media_type();
    let (reader, pieces) = mpsc::channel(1);
    let patience = millis(server.app.config.files.export_wait_ms);
    // In a task of its own: of a body nobody asks for more while its reader takes nothing. Whoever hangs up drops it.
    let task = AbortOnDropHandle::new(tokio::spawn(async move {
        let request = writing.scope.request.id.clone();
        let written =
            timeout(LASTS, writing.write(reader, patience)).await.unwrap_or_else(|elapsed| Err(late(elapsed)));
        drop(place);
        written.inspect_err(|fault| tracing::warn!(request_id = %request, error = ?fault, "an export broke off"))
    }));
    let pieces = stream::try_unfold((pieces, task), async |(mut pieces, task)| match pieces.recv().await {
        Some(piece) => Ok(Some((piece, (pieces, task)))),
        None => match task.await {
            Ok(Ok(())) => Ok(None),
            // The connection is cut: a client sees that the file is not whole.
            _ => Err(io::Error::other("broken off")),
        },
    });
    let mut response = Response::new(Body::from_stream(pieces));
    let told = response.headers_mut();
    told.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    told.insert(header::CONTENT_DISPOSITION, disposition(Shown::Attachment, &name));
    Ok(response)
}

/// A file that is being written.
struct Writing<E> {
    export: E,
    format: Format,
    /// Who reads.
    scope: Scope,
}

impl<E: Export> Writing<E> {
    /// What a URL of ours grants. NOT_FOUND when nobody can know any more; FORBIDDEN, UNAUTHENTICATED and
    /// ORGANIZATION_SUSPENDED when whoever asked for it may not read it any more.
    async fn begin(server: &Server, organization: Uuid, sealed: &str, request: RequestInfo) -> Result<Self> {
        let Grant { credential, format, asked } = export::granted::<E>(&server.app, organization, sealed)?;
        let scope = identity::resume(&server.app, organization, credential, request).await?;
        let export = E::open(&scope, asked).await?;
        Ok(Writing { export, format, scope })
    }

    /// Hands all of the file to its reader. An error: it has to break off, also because a piece was not taken for that long.
    async fn write(mut self, reader: mpsc::Sender<Bytes>, patience: Duration) -> Result<()> {
        let mut begins = true;
        loop {
            let scope = self.scope.fresh();
            // What is taken away is gone within a second, also from here.
            identity::recheck(&scope).await?;
            let Rows { rows, more } = self.export.page(&scope, self.format).await?;
            let page = self.format.write(E::COLUMNS, &rows, mem::take(&mut begins))?;
            drop(rows);
            for piece in page.chunks(PIECE) {
                // A copy, so that what is not taken keeps no page.
                let taken = timeout(patience, reader.send(Bytes::copy_from_slice(piece))).await.map_err(late)?;
                if taken.is_err() {
                    return Ok(());
                }
            }
            if !more {
                return Ok(());
            }
        }
    }
}

fn late(elapsed: Elapsed) -> Error {
    Error::TooSlow(Code::Timeout, Arc::new(elapsed))
}

fn refused(fault: Error) -> Fault {
    let status = match fault.code() {
        Code::Forbidden | Code::OrganizationSuspended => StatusCode::FORBIDDEN,
        Code::NotFound => StatusCode::GONE,
        _ => return fault.into(),
    };
    Fault { status, error: fault, allow: None }
}
