//! Pictures that are made of what somebody has uploaded: of a person, a conversation, an emoji. Invariant: only one's own file,
//! whole and a picture, becomes one; what is wrong with it is told in words, and nothing is written here.

use crate::{
    error::Result,
    kit::{
        permission::{Action, Resource},
        scope::Scope,
        user_error::UserErrorCode as Code,
        write::Stop,
    },
    platform::{
        files::ObjectName,
        picture::{self, Limits, MOST, Unfit},
    },
    schema::files,
};
use bytes::Bytes;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use uuid::Uuid;

/// A square of that many pixels a side of a file of the caller's own; refusals stand at `field` of the input.
pub async fn square(scope: &Scope, file: Uuid, field: &str, side: u32) -> Result<Bytes, Stop> {
    let refused = |code, message| Err(Stop::at(field, code, message));
    let (app, actor) = (&scope.app, &scope.actor);
    // Before anything is read, so that those who wait hold nothing.
    let turn = app.pictures.turn().await?;
    let own = files::table.find((actor.organization, file)).filter(files::created_by.eq(actor.member));
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
    let size = u64::from(size.unsigned_abs());
    if size > MOST {
        return refused(Code::OutOfRange, "Choose a picture of at most 20 MiB.");
    }
    let object = ObjectName::file(actor.organization, object);
    let Some(whole) = app.files.read_whole(&object, 0..size).await? else {
        return refused(Code::NotFound, "The content of this file is lost. Upload it again.");
    };
    match turn.make(move || picture::square(&whole, side, &Limits::PHOTOGRAPH)).await {
        Ok(made) => Ok(made),
        Err(Unfit::TooLarge) => refused(Code::OutOfRange, "Choose a picture of at most 50 megapixels."),
        Err(Unfit::Unreadable) => {
            refused(Code::Invalid, "This picture cannot be read. Choose a PNG, JPEG, GIF or WebP that is whole.")
        }
    }
}
