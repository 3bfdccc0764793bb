//! The picture of a person: theirs in every organization, made of a file that they have uploaded in one. Invariants: what is
//! shown was decoded and written anew by us, at no more than the limits cost; what it replaces goes when nobody shows it.

use crate::{
    app::App,
    error::Result,
    kit::{
        id::Id,
        permission::{Action, Resource},
        scope::{Ask, Scope},
        user_error::UserErrorCode as Code,
        write::Stop,
    },
    platform::{
        files::ObjectName,
        picture::{self, Limits, Unfit},
    },
    schema::files,
};
use async_graphql::Context;
use bytes::Bytes;
use chrono::Utc;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use uuid::Uuid;

/// Pixels a side, twice what lists show, for screens that are dense.
const SIDE: u32 = 256;
/// Bytes of a file, at most: it is read as a whole.
const MOST: i32 = 20 << 20;
/// What cameras make: 50 megapixels, 16 384 a side, 3 bytes each; 4 where one can see through.
const LIMITS: Limits = Limits { side: 16_384, pixels: 50_000_000, memory: 200_000_000 };
/// Pictures of one person, at once and a minute.
const TRIES: (u32, u32) = (20, 20);

/// A file that becomes a picture. The wing of files stands above this one, which knows its table only.
pub struct AvatarFile;

/// Where the picture of a user is fetched; None: there is none.
pub fn url(ctx: &Context<'_>, user: Uuid, avatar: Option<&str>) -> Option<String> {
    let path = format!("/files/avatars/{user}/{}", avatar?);
    Some(ctx.caller().ok()?.app().urls.to_fetch(&path, Utc::now().timestamp()))
}

/// Makes a picture of a file of the caller's own; nothing is written yet.
pub async fn make(scope: &Scope, file: Id<AvatarFile>) -> Result<Bytes, Stop> {
    let refused = |code, message| Err(Stop::at("avatarFileId", code, message));
    let (app, actor) = (&scope.app, &scope.actor);
    app.throttle.take_here("avatar", &actor.user.to_string(), TRIES.0, TRIES.1)?;
    // Before anything is read, so that those who wait hold nothing.
    let turn = app.pictures.turn().await?;
    let own = files::table.find((actor.organization, file.0)).filter(files::created_by.eq(actor.member));
    let own = own.select((files::object, files::size, files::content_type, files::state));
    let found: Option<(Option<String>, i32, String, String)> =
        own.first(&mut *scope.reader().await?).await.optional()?;
    let found = found.filter(|_| actor.may(Resource::File, Action::Read).is_some());
    let Some((object, size, content_type, state)) = found else {
        return refused(Code::NotFound, "There is no such file of yours.");
    };
    let object = object.and_then(|object| object.parse().ok()).filter(|_| state == "ready");
    let Some(object) = object else {
        return refused(Code::StateInvalid, "The upload of this file is not complete yet.");
    };
    if !content_type.starts_with("image/") {
        return refused(Code::Invalid, "This is no picture.");
    }
    if size > MOST {
        return refused(Code::OutOfRange, "Choose a picture of at most 20 MiB.");
    }
    let object = ObjectName::file(actor.organization, object);
    let Some(whole) = app.files.read_whole(&object, 0..u64::from(size.unsigned_abs())).await? else {
        return refused(Code::NotFound, "The content of this file is lost. Upload it again.");
    };
    match turn.make(move || picture::square(&whole, SIDE, &LIMITS)).await {
        Ok(made) => Ok(made),
        Err(Unfit::TooLarge) => refused(Code::OutOfRange, "Choose a picture of at most 50 megapixels."),
        Err(Unfit::Unreadable) => {
            refused(Code::Invalid, "This picture cannot be read. Choose a PNG, JPEG, GIF or WebP that is whole.")
        }
    }
}

/// Stores a picture, and answers its id. It is nobody's until the row of the user names it.
pub async fn store(app: &App, user: Uuid, made: Bytes) -> Result<String> {
    let id = Uuid::now_v7();
    let mut draft = app.files.draft(&ObjectName::avatar(user, id)).await?;
    draft.write(made).await?;
    draft.publish().await?;
    Ok(id.to_string())
}
