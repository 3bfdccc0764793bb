//! Files that come with an import instead of an upload. Invariant: what becomes READY is held to the same limits: size, type by
//! name and content, and what the organization may have; what is not taken leaves nothing behind.

use super::{
    file::{File, FileState},
    upload::{HEAD, name},
};
use crate::{
    app::App,
    error::Result,
    kit::{id::Id, scalars::DateTime, user_error::UserErrors},
    platform::files::{ObjectName, has_type},
    schema::files,
};
use bytes::Bytes;
use diesel::{dsl::sum, prelude::*};
use diesel_async::RunQueryDsl;
use serde_json::{Value as Json, json};
use sha2::{Digest, Sha256};
use std::{fmt::Write, io::Read};
use uuid::Uuid;

/// Bytes that are read at once.
const PIECE: usize = 64 << 10;

/// Why a file is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It cannot be read as a whole.
    Broken,
    Kind,
    Size,
    Quota,
}

/// What the organization may still have, in bytes.
pub struct Room(u64);

impl Room {
    pub async fn of(app: &App, organization: Uuid) -> Result<Self> {
        let mut conn = app.database.of(organization).await?;
        let all = files::table.filter(files::organization_id.eq(organization));
        let taken: Option<i64> = all.select(sum(files::size)).get_result(&mut *conn).await?;
        Ok(Room(app.config.files.quota.saturating_sub(taken.unwrap_or(0).unsigned_abs())))
    }

    /// Whether a file of that name and size, which is not read yet, may come; what it takes is taken.
    pub fn admit(&mut self, app: &App, name: &str, size: u64) -> Result<(), Refused> {
        let limits = &app.config.files;
        if size == 0 || size > u64::from(limits.max_size) {
            return Err(Refused::Size);
        }
        // What its name does not tell, its content has to.
        if by_name(name).is_some_and(|kind| !limits.allows(kind)) {
            return Err(Refused::Kind);
        }
        self.0 = self.0.checked_sub(size).ok_or(Refused::Quota)?;
        Ok(())
    }
}

/// The content of a file that is stored, and has no row yet.
pub struct Stored {
    file: File,
    object: Uuid,
}

/// Stores a content that was admitted with that size, for that member, as of then.
pub async fn keep(
    app: &App,
    (organization, member): (Uuid, Uuid),
    given: &str,
    size: u64,
    content: &mut impl Read,
    at: DateTime,
) -> Result<Result<Stored, Refused>> {
    let object = Uuid::now_v7();
    let place = ObjectName::file(organization, object);
    let mut draft = app.files.draft(&place).await?;
    let (mut digest, mut head, mut read) = (Sha256::new(), Vec::new(), 0);
    let outcome = loop {
        let mut piece = vec![0; PIECE];
        let Ok(count) = content.read(&mut piece) else { break Err(Refused::Broken) };
        piece.truncate(count);
        if count == 0 {
            break if read == size { Ok(()) } else { Err(Refused::Broken) };
        }
        read += count as u64;
        if read > size {
            break Err(Refused::Broken);
        }
        digest.update(&piece);
        head.extend(piece.iter().take((HEAD as usize).saturating_sub(head.len())));
        draft.write(Bytes::from(piece)).await?;
    };
    let kind = outcome.and_then(|()| kind(app, given, &head).ok_or(Refused::Kind));
    let kind = match kind {
        Ok(kind) => kind,
        Err(refused) => {
            draft.abandon().await;
            return Ok(Err(refused));
        }
    };
    draft.publish().await?;
    let mut errors = UserErrors::new();
    let name = name(given, &mut errors);
    let mut checksum = String::with_capacity(64);
    digest.finalize().iter().for_each(|byte| _ = write!(checksum, "{byte:02x}"));
    let file = File {
        id: Id::fresh(),
        name: if errors.is_empty() { name } else { "file".to_owned() },
        content_type: kind,
        size: i32::try_from(size).unwrap_or(i32::MAX),
        state: FileState::Ready,
        checksum: Some(checksum),
        upload_until: None,
        // Those of images are measured by the hour: `MeasureImages`.
        width: None,
        height: None,
        thumbnails: Vec::new(),
        measured_at: None,
        created_by: Some(member.into()),
        created_at: at,
        updated_at: at,
        version: 1,
    };
    Ok(Ok(Stored { file, object }))
}

impl Stored {
    pub fn file(&self) -> &File {
        &self.file
    }

    /// As a row of `files`.
    pub fn row(&self) -> Result<Json> {
        let mut row = serde_json::to_value(&self.file)?;
        row["object"] = json!(self.object.to_string());
        Ok(row)
    }
}

/// What it is: what its name says, if its content agrees; else what its content says. None: nothing that is taken here.
fn kind(app: &App, name: &str, head: &[u8]) -> Option<String> {
    let named = by_name(name).filter(|kind| has_type(head, kind));
    let seen = infer::get(head).map(|found| found.mime_type());
    let text = || has_type(head, "text/plain").then_some("text/plain");
    let kind = named.or(seen).or_else(text)?;
    // A text that says it is a picture is none.
    let honest = named.is_some() || by_name(name).is_none();
    (honest && app.config.files.allows(kind)).then(|| kind.to_owned())
}

/// The media type that the end of a name stands for.
fn by_name(name: &str) -> Option<&'static str> {
    let end = name.rsplit_once('.')?.1.to_ascii_lowercase();
    Some(match &*end {
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "gif" => "image/gif",
        "webp" => "image/webp",
        "avif" => "image/avif",
        "svg" => "image/svg+xml",
        "mp3" => "audio/mpeg",
        "m4a" => "audio/m4a",
        "wav" => "audio/x-wav",
        "ogg" => "audio/ogg",
        "mp4" | "m4v" => "video/mp4",
        "mov" => "video/quicktime",
        "webm" => "video/webm",
        "txt" | "log" => "text/plain",
        "csv" => "text/csv",
        "md" => "text/markdown",
        "htm" | "html" => "text/html",
        "json" => "application/json",
        "pdf" => "application/pdf",
        "zip" => "application/zip",
        "gz" | "tgz" => "application/gzip",
        "doc" => "application/msword",
        "xls" => "application/vnd.ms-excel",
        "ppt" => "application/vnd.ms-powerpoint",
        "docx" => "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        "xlsx" => "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        "pptx" => "application/vnd.openxmlformats-officedocument.presentationml.presentation",
        "odt" => "application/vnd.oasis.opendocument.text",
        "ods" => "application/vnd.oasis.opendocument.spreadsheet",
        "odp" => "application/vnd.oasis.opendocument.presentation",
        "exe" | "dll" | "msi" => "application/x-msdownload",
        _ => return None,
    })
}
