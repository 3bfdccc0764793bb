//! What a person says of themselves. Invariant: what members of an organization are shown of a person is what the
//! person's account says, as soon as the copy has been made, whatever fails in between.

use super::{
    audit::{Note, row},
    avatar::{self, AvatarFile},
    input,
    member::Member,
    user::User,
};
use crate::{
    app::App,
    error::Result,
    events::{Change, Hub, Origin},
    kit::{
        failures::Failures,
        id::Id,
        rules::{Rule, Tidy, tidy_text},
        scalars::JsonObject,
        scope::{Ask, Scope},
        user_error::{UserError, UserErrorCode, UserErrors},
        write::{self, patch, patch_required},
    },
    platform::{
        database::Transaction,
        files::ObjectName,
        jobs::{Failure, Job, Run},
    },
    schema::{memberships, users},
};
use async_graphql::{Context, InputObject, MaybeUndefined, Object, SimpleObject};
use chrono::Utc;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use uuid::Uuid;

/// Characters of a phone number at most.
const PHONE: usize = 50;
/// Characters of a language tag at most (RFC 5646, section 4.4.1).
const LOCALE: usize = 35;

/// What changes; what is left out stays.
#[derive(InputObject)]
pub struct ProfileUpdateInput {
    /// The person's name, 1 to 120 characters. Every organization of the person shows it.
    full_name: MaybeUndefined<String>,
    /// Where to call, at most 50 characters; null: nowhere.
    phone: MaybeUndefined<String>,
    /// The language of mails and messages: a tag of BCP 47 such as `de` or `pt-BR`.
    locale: MaybeUndefined<String>,
    /// Where the person is: a name of the IANA database such as `Europe/Berlin`.
    time_zone: MaybeUndefined<String>,
    /// What a front end remembers of the person, as a whole: at most 100 keys and 32 KiB.
    settings: MaybeUndefined<JsonObject>,
    /// The id of a READY file that the person has uploaded here: a PNG, JPEG, GIF or WebP of at most 20 MiB and 50
    /// megapixels. A copy of its middle becomes the person's picture in every organization; the file is not needed any
    /// more. What is no picture is INVALID, what is too large OUT_OF_RANGE. Null: no picture.
    avatar_file_id: MaybeUndefined<Id<AvatarFile>>,
}

/// What came of `profileUpdate`.
#[derive(SimpleObject)]
pub struct ProfileUpdatePayload {
    /// The person as they are now; null when there are user errors.
    user: Option<User>,
    /// What is wrong with the input; empty on success.
    user_errors: Vec<UserError>,
    /// The whole graph, to read on from here.
    query: crate::graphql::Query,
}

#[derive(Default)]
pub struct ProfileMutation;

#[Object]
impl ProfileMutation {
    /// Changes what the viewer says of themselves. Other organizations of the person show a new name, or another picture, a
    /// moment later.
    ///
    /// Errors: UNAUTHENTICATED; RATE_LIMITED for too many pictures.
    async fn profile_update(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What changes.")] input: ProfileUpdateInput,
    ) -> Option<ProfileUpdatePayload> {
        ctx.settle(
            Box::pin(async {
                let (user, user_errors) = match update(ctx.scope()?, input).await? {
                    Ok(user) => (Some(user), Vec::new()),
                    Err(errors) => (None, errors.into()),
                };
                Ok(ProfileUpdatePayload { user, user_errors, query: Default::default() })
            })
            .await,
        )
    }
}

/// Copies the name, the address and the picture of a person into the memberships of all organizations.
#[derive(Debug, Serialize, Deserialize)]
pub struct CopyProfile {
    pub(super) user: Uuid,
    /// The picture that no membership shows from then on; it goes.
    pub(super) replaced: Option<Uuid>,
}

impl Job for CopyProfile {
    const KIND: &'static str = "copy_profile";
}

impl Run<Arc<App>> for CopyProfile {
    async fn run(self, app: &Arc<App>) -> Result<(), Failure> {
        let memberships = memberships::table.filter(memberships::user_id.eq(self.user));
        let memberships = memberships.select((memberships::organization_id, memberships::id));
        let memberships: Vec<(Uuid, Uuid)> = memberships.load(&mut *app.database.of_user(self.user).await?).await?;
        let mut failures = Failures::default();
        for (organization, member) in memberships {
            failures.note("a membership", member, copy_into(app, (organization, member), self.user).await);
        }
        failures.end()?;
        if let Some(replaced) = self.replaced {
            app.files.remove(&ObjectName::avatar(self.user, replaced)).await?;
        }
        Ok(())
    }
}

/// Into one membership, in a transaction of its own.
async fn copy_into(app: &App, (organization, member): (Uuid, Uuid), user: Uuid) -> Result<()> {
    let mut tx = app.database.of(organization).await?.begin().await?;
    // Nobody changes the person until this is committed, so that an older copy never comes after a newer one.
    let person = users::table.find(user).select(User::as_select()).for_share();
    let person: User = person.first(&mut *tx).await?;
    let copied = copy(&mut tx, (organization, member), &person).await?;
    let origin = Origin { member: Some(member), ..Origin::default() };
    let events = Hub::append(&mut tx, organization, &origin, copied.into_iter().collect()).await?;
    tx.commit().await?;
    app.hub.publish(events);
    Ok(())
}

/// As `copy_into`: what is to be told of it. The caller holds the row of the user.
async fn copy(tx: &mut Transaction, member: (Uuid, Uuid), user: &User) -> Result<Option<Change>> {
    let held = memberships::table.find(member).select(memberships::id).for_no_key_update();
    held.first::<Uuid>(&mut **tx).await?;
    let before: Member = row(tx, member.0, member.1).await?;
    if (&before.name, &before.email.0, &before.avatar) == (&user.full_name, &user.email, &user.avatar) {
        return Ok(None);
    }
    diesel::update(memberships::table.find(member))
        .set((
            memberships::name.eq(&user.full_name),
            memberships::email.eq(&user.email),
            memberships::avatar.eq(&user.avatar),
            memberships::updated_at.eq(Utc::now()),
            memberships::version.eq(memberships::version + 1),
        ))
        .execute(&mut **tx)
        .await?;
    let after: Member = row(tx, member.0, member.1).await?;
    write::change(Some(&before), &after, "updated").map(Some)
}

async fn update(scope: &Scope, input: ProfileUpdateInput) -> Result<Result<User, UserErrors>> {
    let (app, actor) = (&scope.app, &scope.actor);
    actor.session()?;
    let (picture, unfit) = avatar::make(scope, input.avatar_file_id).await?;
    let mut tx = scope.reader().await?.begin().await?;
    let held = users::table.find(actor.user).select(User::as_select()).for_no_key_update();
    let mut user: User = held.first(&mut *tx).await?;
    let before = user.clone();
    let mut errors = apply(&mut user, input);
    errors.extend(unfit);
    if !errors.is_empty() {
        tx.rollback().await?;
        return Ok(Err(errors));
    }
    match picture {
        MaybeUndefined::Undefined => {}
        MaybeUndefined::Null => user.avatar = None,
        // Should the commit fail, `SweepObjects` finds it.
        MaybeUndefined::Value(made) => user.avatar = Some(avatar::store(app, actor.user, made).await?),
    }
    let user: User = diesel::update(users::table.find(actor.user))
        .set((
            users::full_name.eq(&user.full_name),
            users::phone.eq(&user.phone),
            users::locale.eq(&user.locale),
            users::time_zone.eq(&user.time_zone),
            users::settings.eq(serde_json::Value::Object(user.settings.0)),
            users::avatar.eq(&user.avatar),
            users::updated_at.eq(Utc::now()),
        ))
        .returning(User::as_returning())
        .get_result(&mut *tx)
        .await?;
    let mut changes: Vec<Change> = told(scope, &before, &user).into_iter().collect();
    if (&user.full_name, &user.avatar) != (&before.full_name, &before.avatar) {
        // Here at once; the other organizations are behind the wall, and a job goes from one to the next.
        changes.extend(copy(&mut tx, (actor.organization, actor.member), &user).await?);
        let replaced = before.avatar.filter(|before| user.avatar.as_ref() != Some(before));
        let replaced = replaced.and_then(|avatar| avatar.parse().ok());
        app.jobs.enqueue(&mut tx, None, &CopyProfile { user: actor.user, replaced }).await?;
    }
    let events = Hub::append(&mut tx, actor.organization, &scope.origin(), changes).await?;
    tx.commit().await?;
    app.hub.publish(events);
    Ok(Ok(user))
}

/// Which fields became different that only the person sees: their names and not what they say. The name and the picture are
/// told as a change of the member.
fn told(scope: &Scope, before: &User, after: &User) -> Option<Change> {
    let fields = [
        ("phone", before.phone != after.phone),
        ("locale", before.locale != after.locale),
        ("timeZone", before.time_zone != after.time_zone),
        ("settings", before.settings.0 != after.settings.0),
    ];
    let mut note = Note::own(scope.actor.user, &scope.request, "profile_updated");
    let mut any = false;
    for (field, _) in fields.into_iter().filter(|(_, changed)| *changed) {
        (note, any) = (note.with(field, (), ()), true);
    }
    any.then(|| note.change(scope.actor.member))
}

/// All faults at once.
fn apply(user: &mut User, input: ProfileUpdateInput) -> UserErrors {
    let errors = &mut UserErrors::new();
    if let MaybeUndefined::Value(name) = &input.full_name {
        user.full_name = input::name(errors, "fullName", name);
    } else {
        patch_required(&mut user.full_name, input.full_name, "fullName", errors);
    }
    patch(&mut user.phone, input.phone);
    user.phone.tidy("phone", &Rule { max: PHONE, ..Rule::DEFAULT }, errors);
    let given = !input.locale.is_undefined();
    patch_required(&mut user.locale, input.locale, "locale", errors);
    tidy_text(&mut user.locale, "locale", &Rule { max: LOCALE, ..Rule::DEFAULT }, errors);
    if given && !errors.has("locale") && !is_language_tag(&user.locale) {
        errors.add("locale", UserErrorCode::InvalidFormat, "This is not a language. Give a tag such as de or pt-BR.");
    }
    if let MaybeUndefined::Value(zone) = &input.time_zone {
        user.time_zone = input::time_zone(errors, "timeZone", Some(zone)).name().to_owned();
    } else {
        patch_required(&mut user.time_zone, input.time_zone, "timeZone", errors);
    }
    if let MaybeUndefined::Value(settings) = &input.settings {
        user.settings = settings.clone();
        user.settings.tidy("settings", &Rule::DEFAULT, errors);
    } else {
        patch_required(&mut user.settings, input.settings, "settings", errors);
    }
    std::mem::take(errors)
}

/// Whether it has the form of a tag: a language of letters, then parts of letters and digits (RFC 5646, section 2.1).
fn is_language_tag(tag: &str) -> bool {
    let mut parts = tag.split('-');
    let language = parts.next().unwrap_or_default();
    (2..=8).contains(&language.len())
        && language.bytes().all(|byte| byte.is_ascii_alphabetic())
        && parts.all(|part| (1..=8).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphanumeric()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_language_has_the_form_of_a_tag() {
        for good in ["de", "pt-BR", "zh-Hant-TW", "sl-rozaj-biske", "de-CH-1901", "en-x-twain"] {
            assert!(is_language_tag(good), "{good}");
        }
        for bad in
            ["", "d", "-", "de-", "de--CH", "de_CH", "german language", "123", "de-ä", "abcdefghi", "de-abcdefghi"]
        {
            assert!(!is_language_tag(bad), "{bad}");
        }
    }
}
