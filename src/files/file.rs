//! Files as people see them. Invariants: whoever may not read what a file belongs to does not see that there is one; while it
//! belongs to nothing, who uploaded it does, and so do those who may delete all files, to whom it does not open.

use super::thumbnail::{ImageState, ThumbnailSize, is_image};
use crate::{
    db_enum,
    error::{Error, Result},
    identity::Member,
    kit::{
        id::Id,
        permission::{Action, Resource},
        relation::{Computed, or_null},
        resolve::scope,
        rules::Rules,
        scalars::DateTime,
        scope::{Actor, Reach, Scope},
        sql::Sql,
        value::Bind,
    },
};
use async_graphql::{ComplexObject, Context, dataloader::Loader};
use chrono::Utc;
use diesel::{QueryableByName, sql_types};
use diesel_async::RunQueryDsl;
use std::collections::HashMap;
use stoa_macros::entity;
use uuid::Uuid;

db_enum! {
    /// How far a file has come.
    pub enum FileState, filter FileStateFilter {
        /// Its upload has begun and is not complete; nobody can refer to it yet.
        Pending = "pending",
        /// It is whole and is what it says it is.
        Ready = "ready",
    }
}

/// Something that was uploaded. It never changes: for another content upload another file. You see your own, what belongs to
/// what you may read, and, with the permission DELETE on FILE of the scope ALL, those of others that belong to nothing: what
/// they are called and how large they are, not what is in them.
#[entity(resource = File, plural = files, visible_by = readable, read_only, computed)]
pub struct File {
    pub id: Id<File>,
    /// What people call it, and what it is saved as: 1 to 255 characters, never a path.
    #[entity(filter, search)]
    pub name: String,
    /// What it is: a media type in lower case such as `image/png`. Of a READY file it fits the content.
    #[entity(filter, group)]
    pub content_type: String,
    /// How large it is, in bytes.
    #[entity(filter, sum)]
    pub size: i32,
    /// How far it has come.
    #[entity(filter, group)]
    pub state: FileState,
    /// SHA-256 of the content in hexadecimal; null until that was sent.
    pub checksum: Option<String>,
    /// When its upload is forgotten unless it is complete by then; null: it is.
    pub upload_until: Option<DateTime>,
    /// Of an image: pixels from left to right, upright as it is shown. Null: it is no image, was not measured yet, is damaged
    /// or too large (see `imageState`). PNG, JPEG, GIF and WebP are measured, a moment after their upload is complete.
    #[entity()]
    pub width: Option<i32>,
    /// Of an image: pixels from top to bottom, as `width`.
    #[entity()]
    pub height: Option<i32>,
    /// The words of the thumbnails that there are.
    #[entity(unshown)]
    #[serde(default)]
    pub thumbnails: Vec<String>,
    /// When it was measured, whatever came of it.
    #[entity(unshown)]
    pub measured_at: Option<DateTime>,
    /// The id of the member who uploaded it.
    #[entity(filter, group, belongs_to = crate::identity::Member as creator)]
    pub created_by: Option<Id<Member>>,
}

impl Rules for File {}

#[ComplexObject]
impl Computed<'_, File> {
    /// Where to fetch it, by GET and without headers; null while it is PENDING, and for whoever sees it only because they may
    /// delete it. Resolve it against the address of the API (`new URL(url, endpoint)`). Whoever has it can read the file: it
    /// stays the same for an hour, so that browsers keep what they fetched, and is good for one to two. Ranges are answered;
    /// pictures, sounds, films and plain text can be shown in pages, all else is saved.
    async fn url(&self, ctx: &Context<'_>) -> Option<String> {
        let scope = scope(ctx).ok()?;
        (self.state == FileState::Ready && opens(ctx, self).await).then(|| url(scope, self.id.0))
    }

    /// Whether it is an image with a width, a height and thumbnails, or becomes one: while it is PENDING ask again in a moment.
    async fn image_state(&self) -> ImageState {
        match (is_image(&self.content_type), self.measured_at, self.width) {
            (true, None, _) => ImageState::Pending,
            (true, Some(_), Some(_)) => ImageState::Ready,
            _ => ImageState::None,
        }
    }

    /// Where to fetch an image in a small size, as `url`: a JPEG, or a PNG where one can see through; upright; of an animation
    /// the first picture; without what cameras write into pictures. It is never larger than the image: where a copy would be,
    /// this is where the image itself is fetched. Null unless `imageState` is READY, and where `url` is.
    async fn thumbnail_url(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How large.", default_with = "ThumbnailSize::Small")] size: ThumbnailSize,
    ) -> Option<String> {
        let scope = scope(ctx).ok()?;
        self.width?;
        if !opens(ctx, self).await {
            return None;
        }
        if !self.thumbnails.iter().any(|word| word == size.word()) {
            return Some(url(scope, self.id.0));
        }
        let path = format!("{}/{}", path(scope.actor.organization, self.id.0), size.word());
        Some(scope.app.urls.to_fetch(&path, Utc::now().timestamp()))
    }
}

/// Where the content of a file of the organization is fetched.
pub fn url(scope: &Scope, file: Uuid) -> String {
    scope.app.urls.to_fetch(&path(scope.actor.organization, file), Utc::now().timestamp())
}

/// What the signature of its URLs is about.
pub fn path(organization: Uuid, file: Uuid) -> String {
    format!("/files/{organization}/{file}")
}

/// The wall: what one may open, and for those who may delete all files what belongs to nothing.
fn readable(actor: &Actor, sql: &mut Sql, alias: &'static str) {
    sql.push(" AND (");
    push_opens(actor, sql, alias);
    if clears_up(actor) {
        sql.push(" OR ");
        push_unused(sql, alias);
    }
    sql.push(")");
}

/// Pushes that it belongs to nothing.
pub(super) fn push_unused(sql: &mut Sql, alias: &'static str) {
    sql.push("NOT EXISTS (SELECT FROM message_attachments a WHERE a.organization_id = ").push(alias);
    sql.push(".organization_id AND a.file_id = ").push(alias).push(".id)");
}

/// Pushes whose content the actor may read: one's own, and what is attached to a message in one's conversations. What else comes
/// to refer to files adds here who reads them by it, and to `push_unused` that it does.
fn push_opens(actor: &Actor, sql: &mut Sql, alias: &'static str) {
    let me = || Bind::Uuid(Some(actor.member));
    sql.push(alias).push(".created_by = ").bind(me());
    sql.push(
        " OR EXISTS (SELECT FROM message_attachments a JOIN participants p ON p.organization_id = a.organization_id
            AND p.conversation_id = a.conversation_id WHERE a.organization_id = ",
    );
    sql.push(alias).push(".organization_id AND a.file_id = ").push(alias).push(".id AND p.member_id = ").bind(me());
    sql.push(" AND p.left_at IS NULL)");
}

/// Whether the actor may delete what others have uploaded.
fn clears_up(actor: &Actor) -> bool {
    actor.may(Resource::File, Action::Delete) == Some(Reach::All)
}

/// Whether the caller, who sees a file, may read its content; those of a whole page in one query.
async fn opens(ctx: &Context<'_>, file: &File) -> bool {
    let opens = or_null(ctx, async {
        let scope = scope(ctx)?;
        if !clears_up(&scope.actor) || file.created_by.is_some_and(|by| by.0 == scope.actor.member) {
            return Ok(Some(()));
        }
        let loader = scope.gather(|scope| Opens { scope }).ok_or_else(|| Error::ours("a loader of another type"))?;
        loader.load_one(file.id.0).await
    });
    Box::pin(opens).await.is_some()
}

/// Of some files, those whose content the caller may read.
struct Opens {
    scope: Scope,
}

#[derive(QueryableByName)]
struct Opened {
    #[diesel(sql_type = sql_types::Uuid)]
    id: Uuid,
}

impl Loader<Uuid> for Opens {
    type Value = ();
    type Error = Error;

    async fn load(&self, files: &[Uuid]) -> Result<HashMap<Uuid, ()>> {
        let actor = &self.scope.actor;
        let mut sql = Sql::new("SELECT t0.id FROM files t0 WHERE t0.organization_id = ");
        sql.bind(Bind::Uuid(Some(actor.organization))).push(" AND t0.id = ANY(").bind(Bind::Uuids(files.to_vec()));
        sql.push(") AND (");
        push_opens(actor, &mut sql, "t0");
        sql.push(")");
        let opened: Vec<Opened> = sql.load(&mut &*self.scope.reader().await?).await?;
        Ok(opened.into_iter().map(|opened| (opened.id, ())).collect())
    }
}
