//! The organization's own emoji: a name, and a picture that was made small. Invariants: of live ones a name names one, and none
//! of Unicode's; whoever has reacted with one that was deleted since is still shown with it.

mod name;

pub use name::{in_colons, is_live, known, shown};

use crate::{
    error::{Error, Result},
    events::Change,
    files::{RemoveObject, file::File},
    identity::{Member, picture},
    kit::{
        filter::DeletedRecords,
        id::Id,
        permission::{Action, Resource},
        relation::{Computed, or_null, to_one},
        resolve::scope,
        rules::Rules,
        scalars::DateTime,
        scope::Scope,
        sql::Sql,
        user_error::{UserError, UserErrorCode as Code, UserErrors},
        value::Bind,
        write::{self, Outcome, Stop, Tx},
    },
    platform::{
        database::Transaction,
        files::{Files, ObjectName},
    },
    schema::{emojis, organizations},
};
use async_graphql::{ComplexObject, Context, InputObject, Object, SimpleObject};
use bytes::Bytes;
use chrono::Utc;
use diesel::{QueryableByName, prelude::*, sql_types};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use name::tidied;
use std::sync::Arc;
use stoa_macros::entity;
use uuid::Uuid;

/// Pixels a side of the picture: four times what stands within a line.
pub const SIDE: u32 = 128;
/// Emoji of an organization that are not deleted, at most.
const MOST: i64 = 2_000;
/// With those that are.
const MOST_KEPT: i64 = 10_000;
/// Made by one person, at once and a minute: each costs the decoding of a picture.
const TRIES: (u32, u32) = (60, 60);

/// An emoji that the organization adds to those of Unicode: members react with it as `:name:`.
#[entity(resource = Emoji, plural = emojis, wall = shared, read_only, soft_delete, computed)]
pub struct Emoji {
    pub id: Id<Emoji>,
    /// What it is called: 2 to 40 of the characters a–z, 0–9, `_`, `+` and `-`. Of those that are not deleted no other one is
    /// called so.
    #[entity(filter, order, group, search)]
    pub name: String,
    /// The id of the object with its picture.
    #[entity(unshown)]
    pub picture: String,
}

impl Rules for Emoji {}

#[ComplexObject]
impl Computed<'_, Emoji> {
    /// Where its picture is fetched, as `File.url`: a square of 128 pixels a side, a JPEG, or a PNG where one can see through.
    /// It does not move: of an animation it is the first picture.
    async fn url(&self, ctx: &Context<'_>) -> async_graphql::Result<String> {
        let scope = scope(ctx)?;
        let path = format!("/files/emojis/{}/{}", scope.actor.organization, self.picture);
        Ok(scope.app.urls.to_fetch(&path, Utc::now().timestamp()))
    }

    /// Who made it; null: it came with an import, or you may not see them.
    async fn creator(&self, ctx: &Context<'_>) -> Option<Arc<Member>> {
        to_one::<Member>(ctx, self.created_by.map(|id| id.0)).await
    }
}

/// An emoji to make.
#[derive(Clone, Debug, InputObject)]
pub struct EmojiCreateInput {
    /// What to call it, without colons: 2 to 40 of the characters a–z, 0–9, `_`, `+` and `-`; capitals become small. What
    /// Unicode's emoji are called (such as `tada`), and what another one here is called, is NOT_UNIQUE.
    pub name: String,
    /// The file that it is made of: uploaded by yourself and READY; a PNG, JPEG, GIF or WebP of at most 20 MiB and 50
    /// megapixels. A square from its middle is copied: delete the file when you like.
    pub file_id: Id<File>,
}

/// An emoji to delete.
#[derive(Clone, Debug, InputObject)]
pub struct EmojiDeleteInput {
    /// Which emoji.
    pub id: Id<Emoji>,
    /// The version that the deletion is based on; another one is refused as a CONFLICT.
    pub expected_version: Option<i32>,
}

/// An emoji to remove for good.
#[derive(Clone, Debug, InputObject)]
pub struct EmojiPurgeInput {
    /// Which emoji: a deleted one.
    pub id: Id<Emoji>,
}

/// What came of making, deleting or purging an emoji.
#[derive(SimpleObject)]
pub struct EmojiPayload {
    /// The emoji as it is now, or last was; for a CONFLICT as it stands. Null when nothing was written.
    emoji: Option<Arc<Emoji>>,
    /// What the user has to mend; empty: all is well.
    user_errors: Vec<UserError>,
    /// The whole graph, to read on from here.
    query: crate::graphql::Query,
}

impl From<Outcome<Emoji>> for EmojiPayload {
    fn from(outcome: Outcome<Emoji>) -> Self {
        EmojiPayload { emoji: outcome.record, user_errors: outcome.errors, query: Default::default() }
    }
}

/// Mutations.
#[derive(Default)]
pub struct EmojiMutation;

#[Object]
impl EmojiMutation {
    /// Makes an emoji of a picture: members may react with it at once, as `:name:`. An organization has at most 2 000, and
    /// 10 000 with those that were deleted (LIMIT_EXCEEDED).
    ///
    /// Errors: FORBIDDEN without the permission CREATE on EMOJI; RATE_LIMITED for more than 60 a minute.
    async fn emoji_create(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The new emoji.")] input: EmojiCreateInput,
    ) -> Option<EmojiPayload> {
        or_null(ctx, async { create(scope(ctx)?, input).await.map(|outcome| Some(outcome.into())) }).await
    }

    /// Deletes an emoji. Nobody reacts with it any more; reactions that there are stay, and show it. Another one may be given
    /// its name, and is shown in its place then.
    ///
    /// Errors: FORBIDDEN when the permission DELETE on EMOJI does not reach the member who made it.
    async fn emoji_delete(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which emoji.")] input: EmojiDeleteInput,
    ) -> Option<EmojiPayload> {
        change(ctx, async move |tx| delete(tx, input).await).await
    }

    /// Removes a deleted emoji for good, with its picture. Reactions with it stay, and show no more than its name.
    ///
    /// Errors: FORBIDDEN without the permission PURGE on EMOJI.
    async fn emoji_purge(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which emoji.")] input: EmojiPurgeInput,
    ) -> Option<EmojiPayload> {
        change(ctx, async move |tx| purge(tx, input.id).await).await
    }
}

async fn change(ctx: &Context<'_>, write: impl AsyncFnOnce(&mut Tx) -> Result<Emoji, Stop>) -> Option<EmojiPayload> {
    or_null(ctx, async { write::one(scope(ctx)?, write).await.map(|outcome| Some(outcome.into())) }).await
}

async fn create(scope: &Scope, input: EmojiCreateInput) -> Result<Outcome<Emoji>> {
    let (app, actor) = (&scope.app, &scope.actor);
    actor.demand(Resource::Emoji, Action::Create)?;
    actor.demand_verified()?;
    app.throttle.take_here("emoji", &actor.user.to_string(), TRIES.0, TRIES.1)?;
    let mut errors = UserErrors::new();
    let name = tidied(&input.name, &mut errors);
    // Outside of the transaction: it takes its time.
    let made = match picture::square(scope, input.file_id.0, "fileId", SIDE).await {
        Ok(made) => made,
        Err(Stop::Rejected(rejection)) => {
            errors.extend(rejection.errors);
            Bytes::new()
        }
        Err(Stop::Failed(fault)) => return Err(fault),
    };
    write::one(scope, async |tx| {
        if !errors.is_empty() {
            return Err(errors.into());
        }
        let new =
            New { organization: actor.organization, name, picture: made, creator: Some(actor.member), at: tx.now };
        let (emoji, change) = add(tx.transaction(), &app.files, new).await?;
        tx.record(change);
        Ok(emoji)
    })
    .await
}

/// An emoji that is to be added.
pub struct New {
    pub organization: Uuid,
    pub name: String,
    /// A `platform::picture::square` of `SIDE`.
    pub picture: Bytes,
    /// None: nobody here.
    pub creator: Option<Uuid>,
    pub at: DateTime,
}

/// Adds an emoji in a transaction of its organization, and answers what the log is to be told. Of several that are added at
/// once each waits here for the one before. Should the transaction come to nothing, `SweepObjects` finds the picture.
pub async fn add(tx: &mut Transaction, files: &Files, new: New) -> Result<(Emoji, Change), Stop> {
    let mut errors = UserErrors::new();
    let name = tidied(&new.name, &mut errors);
    let held = organizations::table.find(new.organization).select(organizations::id).for_no_key_update();
    held.first::<Uuid>(&mut **tx).await?;
    let there = counted(tx, new.organization, &name).await?;
    if there.taken {
        errors.add("name", Code::NotUnique, "There is an emoji of this name already.");
    }
    if there.live >= MOST {
        errors.add("", Code::LimitExceeded, format!("An organization has at most {MOST} emoji: delete some first."));
    } else if there.kept >= MOST_KEPT {
        let message = format!("With those that were deleted there are {MOST_KEPT} emoji: purge some first.");
        errors.add("", Code::LimitExceeded, message);
    }
    if !errors.is_empty() {
        return Err(errors.into());
    }
    let object = Uuid::now_v7();
    files.write(&ObjectName::file(new.organization, object), new.picture).await?;
    let emoji = Emoji {
        id: Id::fresh(),
        name,
        picture: object.to_string(),
        created_by: new.creator.map(Into::into),
        created_at: new.at,
        updated_at: new.at,
        version: 1,
        deleted_at: None,
        deleted_by: None,
    };
    diesel::insert_into(emojis::table)
        .values((
            emojis::organization_id.eq(new.organization),
            emojis::id.eq(emoji.id.0),
            emojis::name.eq(&emoji.name),
            emojis::picture.eq(&emoji.picture),
            emojis::created_by.eq(new.creator),
            emojis::created_at.eq(emoji.created_at.0),
            emojis::updated_at.eq(emoji.updated_at.0),
        ))
        .execute(&mut **tx)
        .await?;
    let change = write::change(None, &emoji, "created")?;
    Ok((emoji, change))
}

#[derive(QueryableByName)]
struct There {
    #[diesel(sql_type = sql_types::BigInt)]
    live: i64,
    #[diesel(sql_type = sql_types::BigInt)]
    kept: i64,
    #[diesel(sql_type = sql_types::Bool)]
    taken: bool,
}

async fn counted(conn: &mut AsyncPgConnection, organization: Uuid, name: &str) -> Result<There> {
    let mut sql = Sql::new("SELECT count(*) FILTER (WHERE deleted_at IS NULL) AS live, count(*) AS kept,");
    sql.push(" coalesce(bool_or(deleted_at IS NULL AND name = ").bind(Bind::Text(Some(name.to_owned())));
    sql.push("), false) AS taken FROM emojis WHERE organization_id = ").bind(Bind::Uuid(Some(organization)));
    Ok(sql.get_result(conn).await?)
}

async fn delete(tx: &mut Tx, input: EmojiDeleteInput) -> Result<Emoji, Stop> {
    let old: Emoji =
        write::lock(tx, input.id.0, Action::Delete, DeletedRecords::Exclude, input.expected_version).await?;
    let actor = tx.scope.actor.clone();
    let reach = actor.demand(Resource::Emoji, Action::Delete)?;
    if !actor.reaches(reach, old.created_by.map(|by| by.0)) {
        return Err(Error::forbidden("Only who has made an emoji deletes it, and who may delete all.").into());
    }
    let new = Emoji {
        deleted_at: Some(tx.now),
        deleted_by: Some(actor.member.into()),
        updated_at: tx.now,
        version: old.version.saturating_add(1),
        ..old.clone()
    };
    diesel::update(emojis::table.find((actor.organization, new.id.0)))
        .set((
            emojis::deleted_at.eq(tx.now.0),
            emojis::deleted_by.eq(actor.member),
            emojis::updated_at.eq(tx.now.0),
            emojis::version.eq(new.version),
        ))
        .execute(tx.conn())
        .await?;
    write::tell(tx, Some(&old), &new, "deleted")?;
    Ok(new)
}

async fn purge(tx: &mut Tx, id: Id<Emoji>) -> Result<Emoji, Stop> {
    let old: Emoji = write::lock(tx, id.0, Action::Purge, DeletedRecords::Only, None).await?;
    let organization = tx.scope.actor.organization;
    diesel::delete(emojis::table.find((organization, id.0))).execute(tx.conn()).await?;
    if let Ok(object) = old.picture.parse() {
        let jobs = tx.scope.app.jobs.clone();
        jobs.enqueue(tx.transaction(), None, &RemoveObject { organization, object }).await?;
    }
    write::tell(tx, Some(&old), &old, "purged")?;
    Ok(old)
}
