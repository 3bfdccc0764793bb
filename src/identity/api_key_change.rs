//! What becomes of API keys: made, changed, rotated, revoked. Each tells the log who did it, and never the key or its hash.

use super::{
    api_key::{ApiKey, ApiKeyCreateInput, ApiKeyRotateInput, ApiKeyUpdateInput},
    grants::Grants,
    input,
    staff::hold,
    viewer::PermissionInput,
};
use crate::{
    error::{Error, Result},
    kit::{
        entity::{self, Entity},
        filter::DeletedRecords,
        id::Id,
        permission::{Action, Permissions, Resource},
        scalars::DateTime,
        user_error::{UserErrorCode as Code, UserErrors},
        value::Bind,
        write::{self, Stop, Tx},
    },
    platform::tokens::ApiKeyToken,
    schema::api_keys,
};
use async_graphql::MaybeUndefined;
use chrono::TimeDelta;
use diesel::{dsl::count_star, prelude::*};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

/// Hours that a key works beside its successor at most.
const OVERLAP: i32 = 24;
/// Permissions in one input at most: more than there are.
const MOST: usize = 500;

pub async fn create(tx: &mut Tx, input: ApiKeyCreateInput) -> Result<(ApiKey, String), Stop> {
    let actor = tx.scope.actor.clone();
    actor.demand(Resource::ApiKey, Action::Create)?;
    // One after the other, so that the count holds.
    hold(tx).await?;
    let mut errors = UserErrors::new();
    let name = input::name(&mut errors, "name", &input.name);
    let permissions =
        asked(input.permissions, &actor.permissions, "Your own permissions do not reach that far.", &mut errors);
    let expires_at = end(tx, input.expires_at, &mut errors);
    if errors.is_empty() {
        room(tx, &mut errors).await?;
    }
    if !errors.is_empty() {
        return Err(errors.into());
    }
    let (token, text) = ApiKeyToken::new(actor.organization)?;
    let new = ApiKey {
        id: Uuid::now_v7().into(),
        name,
        prefix: token.prefix.clone(),
        permissions: Grants(permissions),
        expires_at,
        previous_until: None,
        last_used_at: None,
        revoked_at: None,
        owner_id: Some(actor.member.into()),
        created_by: Some(actor.member.into()),
        created_at: tx.now,
        updated_at: tx.now,
        version: 1,
    };
    diesel::insert_into(api_keys::table)
        .values((
            api_keys::organization_id.eq(actor.organization),
            api_keys::id.eq(new.id.0),
            api_keys::owner_id.eq(actor.member),
            api_keys::name.eq(&new.name),
            api_keys::prefix.eq(&new.prefix),
            api_keys::hash.eq(token.hash()),
            api_keys::permissions.eq(new.permissions.0.words()),
            api_keys::expires_at.eq(new.expires_at.map(|at| at.0)),
            api_keys::created_by.eq(actor.member),
            api_keys::created_at.eq(tx.now.0),
            api_keys::updated_at.eq(tx.now.0),
        ))
        .execute(tx.conn())
        .await?;
    write::tell(tx, None, &new, "created")?;
    Ok((new, text))
}

pub async fn update(tx: &mut Tx, input: ApiKeyUpdateInput) -> Result<ApiKey, Stop> {
    let old = lock(tx, input.id, input.expected_version, Action::Update).await?;
    let mut errors = UserErrors::new();
    let mut new = old.clone();
    if let Some(name) = input.name {
        new.name = input::name(&mut errors, "name", &name);
    }
    if let Some(permissions) = input.permissions {
        let message = "The key may not do that already, and an update only takes away. Make another key.";
        new.permissions = Grants(asked(permissions, &old.permissions.0, message, &mut errors));
    }
    if let Some(at) = input.expires_at.filter(|at| Some(*at) != old.expires_at) {
        new.expires_at = end(tx, Some(at), &mut errors);
        if old.expires_at.is_some_and(|before| before.0 < at.0) {
            let message = "An update can only let the key end sooner. Rotate it, and it goes on for longer.";
            errors.add("expiresAt", Code::OutOfRange, message);
        }
    }
    if !errors.is_empty() {
        return Err(errors.into());
    }
    if (&new.name, new.permissions, new.expires_at) == (&old.name, old.permissions, old.expires_at) {
        return Ok(old);
    }
    let new = next(tx, &old, new);
    diesel::update(api_keys::table.find((tx.scope.actor.organization, new.id.0)))
        .set((
            api_keys::name.eq(&new.name),
            api_keys::permissions.eq(new.permissions.0.words()),
            api_keys::expires_at.eq(new.expires_at.map(|at| at.0)),
            api_keys::updated_at.eq(new.updated_at.0),
            api_keys::version.eq(new.version),
        ))
        .execute(tx.conn())
        .await?;
    write::tell(tx, Some(&old), &new, "updated")?;
    Ok(new)
}

pub async fn rotate(tx: &mut Tx, input: ApiKeyRotateInput) -> Result<(ApiKey, String), Stop> {
    let old = lock(tx, input.id, input.expected_version, Action::Update).await?;
    let actor = tx.scope.actor.clone();
    // Whatever a role allows: who has a key can do as its member does.
    if old.owner_id.map(|id| id.0) != Some(actor.member) {
        return Err(Error::forbidden("Only the member for whom a key speaks can rotate it. You can revoke it.").into());
    }
    let mut errors = UserErrors::new();
    let expires_at = match input.expires_at {
        MaybeUndefined::Undefined => old.expires_at,
        MaybeUndefined::Null => end(tx, None, &mut errors),
        MaybeUndefined::Value(at) => end(tx, Some(at), &mut errors),
    };
    if errors.is_empty() && expires_at.is_some_and(|at| at.0 <= tx.now.0) {
        errors.add("expiresAt", Code::Required, "This key has ended. Say until when the new one is good.");
    }
    if !(0..=OVERLAP).contains(&input.overlap_hours) {
        errors.add("overlapHours", Code::OutOfRange, format!("The two overlap by 0 to {OVERLAP} hours."));
    }
    if !errors.is_empty() {
        return Err(errors.into());
    }
    let (token, text) = ApiKeyToken::with_prefix(actor.organization, old.prefix.clone())?;
    let until = DateTime(tx.now.0 + TimeDelta::hours(input.overlap_hours.into()));
    let new = next(tx, &old, ApiKey { expires_at, previous_until: Some(until), ..old.clone() });
    diesel::update(api_keys::table.find((actor.organization, new.id.0)))
        .set((
            api_keys::previous_hash.eq(api_keys::hash.nullable()),
            api_keys::hash.eq(token.hash()),
            api_keys::previous_until.eq(until.0),
            api_keys::expires_at.eq(new.expires_at.map(|at| at.0)),
            api_keys::updated_at.eq(new.updated_at.0),
            api_keys::version.eq(new.version),
        ))
        .execute(tx.conn())
        .await?;
    write::tell(tx, Some(&old), &new, "rotated")?;
    Ok((new, text))
}

pub async fn revoke(tx: &mut Tx, id: Id<ApiKey>) -> Result<ApiKey, Stop> {
    let old = lock(tx, id, None, Action::Delete).await?;
    end_now(tx, old).await
}

/// Revokes all keys of a member who goes, so that none comes back with them.
pub async fn revoke_all(tx: &mut Tx, member: Uuid) -> Result<(), Stop> {
    let mut sql = entity::select(ApiKey::table());
    sql.push(" WHERE t0.organization_id = ").bind(Bind::Uuid(Some(tx.scope.actor.organization)));
    sql.push(" AND t0.owner_id = ").bind(Bind::Uuid(Some(member)));
    sql.push(" AND t0.revoked_at IS NULL ORDER BY t0.id FOR NO KEY UPDATE OF t0");
    let keys: Vec<ApiKey> = sql.load(tx.conn()).await?;
    for key in keys {
        end_now(tx, key).await?;
    }
    Ok(())
}

async fn end_now(tx: &mut Tx, old: ApiKey) -> Result<ApiKey, Stop> {
    let new = next(tx, &old, ApiKey { revoked_at: Some(tx.now), ..old.clone() });
    diesel::update(api_keys::table.find((tx.scope.actor.organization, new.id.0)))
        .set((
            api_keys::revoked_at.eq(tx.now.0),
            api_keys::updated_at.eq(new.updated_at.0),
            api_keys::version.eq(new.version),
        ))
        .execute(tx.conn())
        .await?;
    write::tell(tx, Some(&old), &new, "revoked")?;
    Ok(new)
}

fn next(tx: &Tx, old: &ApiKey, new: ApiKey) -> ApiKey {
    ApiKey { version: old.version.saturating_add(1), updated_at: tx.now, ..new }
}

/// A key that was not revoked, locked.
async fn lock(tx: &mut Tx, id: Id<ApiKey>, expected: Option<i32>, action: Action) -> Result<ApiKey, Stop> {
    let key: ApiKey = write::lock(tx, id.0, action, DeletedRecords::Exclude, expected).await?;
    if key.revoked_at.is_some() {
        return Err(Stop::at("id", Code::StateInvalid, "This key was revoked. Make another one."));
    }
    Ok(key)
}

/// The permissions that are asked for; each that `most` does not cover is told at its place.
fn asked(
    input: Vec<PermissionInput>,
    most: &Permissions,
    beyond: &'static str,
    errors: &mut UserErrors,
) -> Permissions {
    if input.is_empty() {
        errors.add("permissions", Code::Required, "Name at least one thing that the key may do.");
    }
    if input.len() > MOST {
        errors.add("permissions", Code::TooLong, format!("At most {MOST} permissions."));
        return [].into_iter().collect();
    }
    for (index, asked) in input.iter().enumerate() {
        let field = format!("permissions.{index}");
        if asked.resource == Resource::ApiKey {
            errors.add(&field, Code::Invalid, "API keys are for people to manage: a key cannot.");
        } else if most.reach(asked.resource, asked.action) < Some(asked.scope) {
            errors.add(&field, Code::Invalid, beyond);
        }
    }
    input.iter().map(|asked| (asked.resource, asked.action, asked.scope)).collect()
}

/// When a key ends that is made or rotated now.
fn end(tx: &Tx, at: Option<DateTime>, errors: &mut UserErrors) -> Option<DateTime> {
    let days = tx.scope.app.config.api_keys.max_days;
    let latest = (days > 0).then(|| tx.now.0 + TimeDelta::days(days.into()));
    match at {
        Some(at) if at.0 <= tx.now.0 => {
            errors.add("expiresAt", Code::OutOfRange, "A key cannot end in the past.");
        }
        Some(at) if latest.is_some_and(|latest| at.0 > latest) => {
            errors.add("expiresAt", Code::OutOfRange, format!("Keys end after {days} days at the latest here."));
        }
        None if latest.is_some() => {
            errors.add(
                "expiresAt",
                Code::Required,
                format!("Keys end here, after {days} days at the latest: say when."),
            );
        }
        _ => {}
    }
    at
}

/// Whether one key more fits. Those that were revoked or have ended do not count.
async fn room(tx: &mut Tx, errors: &mut UserErrors) -> Result<()> {
    let limits = tx.scope.app.config.api_keys.clone();
    let (organization, member, now) = (tx.scope.actor.organization, tx.scope.actor.member, tx.now.0);
    let work = api_keys::table
        .filter(api_keys::organization_id.eq(organization).and(api_keys::revoked_at.is_null()))
        .filter(api_keys::expires_at.is_null().or(api_keys::expires_at.gt(now)))
        .select(count_star());
    let all: i64 = work.first(tx.conn()).await?;
    let own: i64 = work.filter(api_keys::owner_id.eq(member)).first(tx.conn()).await?;
    if own >= limits.per_member.into() {
        let message = format!("You have {own} keys, and no more are allowed here. Revoke one that is not needed.");
        errors.add("", Code::LimitExceeded, message);
    } else if all >= limits.per_organization.into() {
        let message = format!("Your organization has {all} keys, and no more are allowed here.");
        errors.add("", Code::LimitExceeded, message);
    }
    Ok(())
}
