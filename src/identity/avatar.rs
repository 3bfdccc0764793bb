//! The picture of a person: theirs in every organization, made of a file that they have uploaded in one. Invariants: what is
//! shown was decoded and written anew by us, at no more than the limits cost; what it replaces goes when nobody shows it. What
//! else has a picture as people do, such as a conversation, has it made here.

use super::picture;
use crate::{
    app::App,
    error::Result,
    kit::{
        id::Id,
        scope::{Ask, Scope},
        user_error::UserErrors,
        write::Stop,
    },
    platform::files::ObjectName,
};
use async_graphql::{Context, MaybeUndefined};
use bytes::Bytes;
use chrono::Utc;
use uuid::Uuid;

/// Pixels a side, twice what lists show, for screens that are dense.
const SIDE: u32 = 256;
/// Pictures that one person has made, at once and a minute.
const TRIES: (u32, u32) = (20, 20);

/// A file that becomes a picture. The wing of files stands above this one, which knows its table only.
pub struct AvatarFile;

/// What becomes of a picture, with what is wrong with the file that it was to be made of.
pub type Asked = (MaybeUndefined<Bytes>, UserErrors);

/// Where the picture of a user is fetched; None: there is none.
pub fn url(ctx: &Context<'_>, user: Uuid, avatar: Option<&str>) -> Option<String> {
    let path = format!("/files/avatars/{user}/{}", avatar?);
    Some(ctx.caller().ok()?.app().urls.to_fetch(&path, Utc::now().timestamp()))
}

/// Makes what the `avatarFileId` of an input asks for, of a file of the caller's own; nothing is written yet.
pub async fn make(scope: &Scope, file: MaybeUndefined<Id<AvatarFile>>) -> Result<Asked> {
    let file = match file {
        MaybeUndefined::Undefined => return Ok((MaybeUndefined::Undefined, UserErrors::new())),
        MaybeUndefined::Null => return Ok((MaybeUndefined::Null, UserErrors::new())),
        MaybeUndefined::Value(file) => file,
    };
    scope.app.throttle.take_here("avatar", &scope.actor.user.to_string(), TRIES.0, TRIES.1)?;
    match picture::square(scope, file.0, "avatarFileId", SIDE).await {
        Ok(made) => Ok((MaybeUndefined::Value(made), UserErrors::new())),
        Err(Stop::Rejected(rejection)) => Ok((MaybeUndefined::Undefined, rejection.errors)),
        Err(Stop::Failed(fault)) => Err(fault),
    }
}

/// Stores a picture, and answers its id. It is nobody's until the row of the user names it.
pub async fn store(app: &App, user: Uuid, made: Bytes) -> Result<String> {
    let id = Uuid::now_v7();
    app.files.write(&ObjectName::avatar(user, id), made).await?;
    Ok(id.to_string())
}
