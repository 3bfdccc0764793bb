//! Uploads: begun by a mutation that grants a URL, sent by PUT (`server::files`), completed by a mutation that looks at what
//! came. Invariants: a READY file is what was declared, by size, checksum and content; all files of an organization
//! together, begun ones among them, stay within its quota, however many are begun at once.

use super::{
    MeasureImage, RemoveObject,
    file::{File, FileState, path},
    thumbnail::is_image,
};
use crate::{
    error::{Error, Result},
    kit::{
        filter::DeletedRecords,
        id::Id,
        permission::{Action, Resource},
        relation::or_null,
        resolve::scope,
        rules::{Rule, tidy_text},
        scalars::DateTime,
        scope::Scope,
        user_error::{UserError, UserErrorCode as Code, UserErrors},
        write::{self, Outcome, Stop, Tx},
    },
    platform::files::{ObjectName, has_type},
    schema::{files, organizations},
};
use async_graphql::{Context, InputObject, Object, SimpleObject};
use chrono::TimeDelta;
use diesel::{
    dsl::sum,
    prelude::*,
    result::{DatabaseErrorKind, Error::DatabaseError},
};
use diesel_async::RunQueryDsl;
use std::sync::Arc;
use uuid::Uuid;

/// As much of a content as tells what it is.
pub(super) const HEAD: u64 = 8192;
/// Characters of a name at most: what file systems take.
const NAME: usize = 255;
/// Letters that turn the direction of writing, so that `gpj.exe` looks like `exe.jpg` (UAX #9).
const TURNING: [char; 12] = [
    '\u{200e}', '\u{200f}', '\u{061c}', '\u{202a}', '\u{202b}', '\u{202c}', '\u{202d}', '\u{202e}', '\u{2066}',
    '\u{2067}', '\u{2068}', '\u{2069}',
];

/// What is about to be uploaded.
#[derive(InputObject)]
pub struct UploadCreateInput {
    /// What it is called: 1 to 255 characters; of a path the last part.
    name: String,
    /// How large it is, in bytes: 1 or more.
    size: i32,
    /// What it is: a media type such as `image/png`. The content must be that.
    content_type: String,
    /// SHA-256 of the content in hexadecimal, if it is to be compared. Left out or null: it is not.
    checksum: Option<String>,
}

/// Which file.
#[derive(InputObject)]
pub struct FileInput {
    /// Which file.
    id: Id<File>,
}

/// How to send the content: a request with this method and these headers to this URL, without any other credential, the
/// content as its body. 204: it is there. Otherwise send it again, as long as the URL is good.
#[derive(SimpleObject)]
pub struct UploadRequest {
    /// `PUT`.
    method: &'static str,
    /// Where to. Resolve it against the address of the API (`new URL(url, endpoint)`). Whoever has it can send the content.
    url: String,
    /// The headers that the request must have.
    headers: Vec<UploadHeader>,
    /// Until when the URL is good, and `uploadComplete` must have been called.
    expires_at: DateTime,
}

/// A header of a request.
#[derive(SimpleObject)]
pub struct UploadHeader {
    /// Its name.
    name: &'static str,
    /// Its value.
    value: String,
}

/// What came of beginning an upload.
#[derive(SimpleObject)]
pub struct UploadCreatePayload {
    /// The file, PENDING; null when nothing was written.
    file: Option<Arc<File>>,
    /// How to send the content; null when nothing was written.
    upload: Option<UploadRequest>,
    /// What the user has to mend; empty: all is well.
    user_errors: Vec<UserError>,
    /// The whole graph, to read on from here.
    query: crate::graphql::Query,
}

/// What came of completing an upload or deleting a file.
#[derive(SimpleObject)]
pub struct FilePayload {
    /// The file as it is now, or last was; null when nothing was written.
    file: Option<Arc<File>>,
    /// What the user has to mend; empty: all is well.
    user_errors: Vec<UserError>,
    /// The whole graph, to read on from here.
    query: crate::graphql::Query,
}

impl From<Outcome<File>> for FilePayload {
    fn from(outcome: Outcome<File>) -> Self {
        FilePayload { file: outcome.record, user_errors: outcome.errors, query: Default::default() }
    }
}

#[derive(Default)]
pub struct UploadMutation;

#[Object]
impl UploadMutation {
    /// Begins an upload: answers a URL to which the content is sent by PUT. Then call `uploadComplete`. Larger files than this
    /// server takes are OUT_OF_RANGE, types that it does not take UNSUPPORTED, and what does not fit into the organization's
    /// quota, or too many uploads at once, LIMIT_EXCEEDED.
    ///
    /// Errors: FORBIDDEN without the permission CREATE on FILE.
    async fn upload_create(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What is about to be uploaded.")] input: UploadCreateInput,
    ) -> Option<UploadCreatePayload> {
        or_null(ctx, async {
            let scope = scope(ctx)?;
            let Outcome { record: file, errors } = write::one(scope, async |tx| create(tx, input).await).await?;
            let upload = file.as_ref().and_then(|file| request(scope, file));
            Ok(Some(UploadCreatePayload { file, upload, user_errors: errors, query: Default::default() }))
        })
        .await
    }

    /// Completes an upload: looks whether the content is what was declared, by size, checksum and type (else INVALID, and
    /// it can be sent again), and makes the file READY. One that is READY already is answered as it is. Before the content
    /// was sent, and when the time is over: STATE_INVALID. An image is measured a moment later, and gets thumbnails
    /// (`File.imageState`).
    ///
    /// Errors: FORBIDDEN for what somebody else uploads.
    async fn upload_complete(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which file.")] input: FileInput,
    ) -> Option<FilePayload> {
        change(ctx, async move |tx| complete(tx, input.id).await).await
    }

    /// Deletes a file for good, or gives its upload up. URLs of it end at once. What is still in use elsewhere is IN_USE.
    ///
    /// Errors: FORBIDDEN for what somebody else has uploaded, without the permission DELETE on FILE of the scope ALL.
    async fn file_delete(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which file.")] input: FileInput,
    ) -> Option<FilePayload> {
        change(ctx, async move |tx| delete(tx, input.id).await).await
    }
}

async fn change(ctx: &Context<'_>, write: impl AsyncFnOnce(&mut Tx) -> Result<File, Stop>) -> Option<FilePayload> {
    or_null(ctx, async { write::one(scope(ctx)?, write).await.map(|outcome| Some(outcome.into())) }).await
}

fn request(scope: &Scope, file: &File) -> Option<UploadRequest> {
    let expires_at = file.upload_until?;
    let path = path(scope.actor.organization, file.id.0);
    Some(UploadRequest {
        method: "PUT",
        url: scope.app.urls.url("PUT", &path, expires_at.0.timestamp()),
        headers: vec![UploadHeader { name: "Content-Type", value: file.content_type.clone() }],
        expires_at,
    })
}

async fn create(tx: &mut Tx, input: UploadCreateInput) -> Result<File, Stop> {
    let (app, actor) = (tx.scope.app.clone(), tx.scope.actor.clone());
    let limits = &app.config.files;
    actor.demand(Resource::File, Action::Create)?;
    let mut errors = UserErrors::new();
    let name = name(&input.name, &mut errors);
    let content_type = media_type(&input.content_type);
    if !limits.allows(&content_type) {
        errors.add("contentType", Code::Unsupported, "Files of this type are not taken here.");
    }
    if input.size < 1 || input.size.unsigned_abs() > limits.max_size {
        let message = format!("A file has 1 to {} bytes.", limits.max_size);
        errors.add("size", Code::OutOfRange, message);
    }
    let checksum = input.checksum.map(|checksum| checksum.to_ascii_lowercase());
    if checksum.as_ref().is_some_and(|sum| sum.len() != 64 || !sum.bytes().all(|byte| byte.is_ascii_hexdigit())) {
        errors.add("checksum", Code::InvalidFormat, "A SHA-256 has 64 hexadecimal digits.");
    }
    if errors.is_empty() {
        within_limits(tx, input.size, &mut errors).await?;
    }
    if !errors.is_empty() {
        return Err(errors.into());
    }
    let file = File {
        id: Id::fresh(),
        name,
        content_type,
        size: input.size,
        state: FileState::Pending,
        checksum: None,
        upload_until: Some(DateTime(tx.now.0 + TimeDelta::seconds(limits.upload_seconds.into()))),
        width: None,
        height: None,
        thumbnails: Vec::new(),
        measured_at: None,
        created_by: Some(actor.member.into()),
        created_at: tx.now,
        updated_at: tx.now,
        version: 1,
    };
    diesel::insert_into(files::table)
        .values((
            files::organization_id.eq(actor.organization),
            files::id.eq(file.id.0),
            files::name.eq(&file.name),
            files::content_type.eq(&file.content_type),
            files::size.eq(file.size),
            files::state.eq(file.state.word()),
            files::expected_checksum.eq(checksum),
            files::upload_until.eq(file.upload_until.map(|at| at.0)),
            files::created_by.eq(actor.member),
            files::created_at.eq(file.created_at.0),
            files::updated_at.eq(file.updated_at.0),
        ))
        .execute(tx.conn())
        .await?;
    write::tell(tx, None, &file, "created")?;
    Ok(file)
}

/// Of several that begin at once each waits here for the one before, and counts it.
async fn within_limits(tx: &mut Tx, size: i32, errors: &mut UserErrors) -> Result<()> {
    let (organization, member, now) = (tx.scope.actor.organization, tx.scope.actor.member, tx.now.0);
    let app = tx.scope.app.clone();
    let limits = &app.config.files;
    let held = organizations::table.find(organization).select(organizations::id).for_no_key_update();
    held.first::<Uuid>(tx.conn()).await?;
    // What is over and was not swept yet counts no more.
    let alive = files::upload_until.is_null().or(files::upload_until.gt(now));
    let all = files::table.filter(files::organization_id.eq(organization).and(alive));
    let taken: Option<i64> = all.select(sum(files::size)).get_result(tx.conn()).await?;
    let free = i128::from(limits.quota) - i128::from(taken.unwrap_or(0));
    if i128::from(size) > free {
        let message = format!(
            "The files of the organization may have {} bytes together; {} are left.",
            limits.quota,
            free.max(0)
        );
        errors.add("size", Code::LimitExceeded, message);
    }
    let own = files::table.filter(files::organization_id.eq(organization).and(files::created_by.eq(member)));
    let pending: i64 = own.filter(files::upload_until.gt(now)).count().get_result(tx.conn()).await?;
    if pending >= i64::from(limits.pending_per_member) {
        let message = format!(
            "You have begun {pending} uploads that are not complete. Complete some, or delete their files, first."
        );
        errors.add("", Code::LimitExceeded, message);
    }
    Ok(())
}

/// What people call it, without folders and without what deceives the eye.
pub(super) fn name(given: &str, errors: &mut UserErrors) -> String {
    let mut name = given.rsplit(['/', '\\']).next().unwrap_or_default().to_owned();
    tidy_text(&mut name, "name", &Rule { max: NAME, ..Rule::DEFAULT }, errors);
    if matches!(&*name, "" | "." | "..") {
        errors.add("name", Code::Required, "Give the file a name.");
    }
    if name.contains(TURNING) {
        let message = "The name has invisible letters that turn the direction of writing, which are not allowed.";
        errors.add("name", Code::Invalid, message);
    }
    name
}

/// In lower case, without parameters.
pub fn media_type(given: &str) -> String {
    given.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// A file of a member whom the caller's permission reaches, locked.
async fn reached(tx: &mut Tx, id: Id<File>, action: Action) -> Result<File, Stop> {
    let file: File = write::lock(tx, id.0, action, DeletedRecords::Exclude, None).await?;
    let reach = tx.scope.actor.demand(Resource::File, action)?;
    if !tx.scope.actor.reaches(reach, file.created_by.map(|by| by.0)) {
        return Err(Error::forbidden("Only who has uploaded a file does this; who may delete all also deletes.").into());
    }
    Ok(file)
}

async fn complete(tx: &mut Tx, id: Id<File>) -> Result<File, Stop> {
    let old = reached(tx, id, Action::Create).await?;
    if old.state == FileState::Ready {
        return Ok(old);
    }
    if old.upload_until.is_none_or(|until| until.0 <= tx.now.0) {
        return Err(Stop::at("id", Code::StateInvalid, "The time for this upload is over. Begin another one."));
    }
    let row = files::table.find((tx.scope.actor.organization, id.0));
    let row = row.select((files::object, files::checksum, files::expected_checksum));
    let (object, checksum, expected): (Option<String>, Option<String>, Option<String>) = row.first(tx.conn()).await?;
    let Some(object) = object.and_then(|object| object.parse().ok()) else {
        return Err(Stop::at("id", Code::StateInvalid, "The content was not sent yet: PUT it first."));
    };
    if expected.is_some() && expected != checksum {
        return Err(Stop::at("id", Code::Invalid, "What came has another checksum than was declared. Send it again."));
    }
    let object = ObjectName::file(tx.scope.actor.organization, object);
    let size = u64::from(old.size.unsigned_abs());
    let store = &tx.scope.app.files;
    if store.size(&object).await? != Some(size) {
        return Err(Stop::at("id", Code::Invalid, "What came has another size than was declared. Send it again."));
    }
    let head = store.read_whole(&object, 0..size.min(HEAD)).await?.unwrap_or_default();
    if !has_type(&head, &old.content_type) {
        let message = format!("What came is no {}. Begin another upload that says what it is.", old.content_type);
        return Err(Stop::at("id", Code::Invalid, message));
    }
    let new = File {
        state: FileState::Ready,
        checksum,
        upload_until: None,
        updated_at: tx.now,
        version: old.version.saturating_add(1),
        ..old.clone()
    };
    diesel::update(files::table.find((tx.scope.actor.organization, id.0)))
        .set((
            files::state.eq(new.state.word()),
            files::upload_until.eq(None::<chrono::DateTime<chrono::Utc>>),
            files::updated_at.eq(new.updated_at.0),
            files::version.eq(new.version),
        ))
        .execute(tx.conn())
        .await?;
    if is_image(&new.content_type) {
        let (jobs, organization) = (tx.scope.app.jobs.clone(), tx.scope.actor.organization);
        jobs.enqueue(tx.transaction(), None, &MeasureImage { organization, file: id.0 }).await?;
    }
    write::tell(tx, Some(&old), &new, "completed")?;
    Ok(new)
}

async fn delete(tx: &mut Tx, id: Id<File>) -> Result<File, Stop> {
    let old = reached(tx, id, Action::Delete).await?;
    let organization = tx.scope.actor.organization;
    let gone = diesel::delete(files::table.find((organization, id.0))).returning(files::object);
    let object: Option<String> = gone.get_result(tx.conn()).await.map_err(|fault| match fault {
        DatabaseError(DatabaseErrorKind::ForeignKeyViolation, _) => {
            Stop::at("id", Code::InUse, "The file is still in use elsewhere.")
        }
        fault => fault.into(),
    })?;
    if let Some(object) = object.and_then(|object| object.parse().ok()) {
        let jobs = tx.scope.app.jobs.clone();
        jobs.enqueue(tx.transaction(), None, &RemoveObject { organization, object }).await?;
    }
    write::tell(tx, Some(&old), &old, "deleted")?;
    Ok(old)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_path_the_last_part_is_the_name() {
        for (given, expected) in [
            ("../../etc/passwd", "passwd"),
            ("C:\\Users\\ann\\a b.txt", "a b.txt"),
            (" report.pdf ", "report.pdf"),
            ("e\u{301}.txt", "é.txt"),
            (".htaccess", ".htaccess"),
        ] {
            let mut errors = UserErrors::new();
            assert_eq!((name(given, &mut errors).as_str(), errors.is_empty()), (expected, true), "{given}");
        }
        for given in ["", "..", "a/", "a/..", "a\0b", "a\r\nb", "exe\u{202e}gpj.exe", &"x".repeat(256)] {
            let mut errors = UserErrors::new();
            name(given, &mut errors);
            assert!(!errors.is_empty(), "{given}");
        }
    }
}
