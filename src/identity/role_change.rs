//! How an organization makes, changes and deletes roles of its own. Invariants: nobody makes a role, or changes one, that
//! may more than they may themselves; a role that somebody has, or is invited into, stays.
//!
//! All of it holds the organization's row and is so done one after the other. What a role's members may follows on this
//! node at once and on others, open sockets included, within the second for which `platform::standing` believes what it
//! has read.

use super::{
    custom_role::{CustomRole, lock},
    grants::Grants,
    member::MemberStatus,
    role::{described, scopes},
    staff::{forget_all, hold, may_grant},
    viewer::PermissionInput,
};
use crate::{
    error::{Error, Result},
    kit::{
        entity::Entity,
        id::Id,
        permission::{Action, Reach, Resource, Role},
        relation::or_null,
        resolve::scope,
        rules::{Rule, Tidy},
        user_error::{UserError, UserErrorCode as Code, UserErrors},
        write::{self, Outcome, Stop, Tx},
    },
    schema::{invitations, memberships, roles},
};
use async_graphql::{Context, InputObject, MaybeUndefined, Object, SimpleObject};
use diesel::{dsl, prelude::*};
use diesel_async::RunQueryDsl;
use std::sync::Arc;

/// Roles of an organization's own at most.
const MOST: i64 = 100;
/// Characters of a name and of a description at most.
const NAME: usize = 60;
const DESCRIPTION: usize = 500;

/// A new role.
#[derive(InputObject)]
pub struct RoleCreateInput {
    /// What people call it: 1 to 60 characters. No other role may be called so, whatever case, built-in ones included.
    name: String,
    /// What it is for, at most 500 characters.
    description: Option<String>,
    /// What its members may do: what `permissionCatalogue` offers, each resource and action once. Without READ
    /// on a kind of record its members find none of them, whatever else they may do.
    permissions: Vec<PermissionInput>,
}

/// Changes to a role: what is left out stays, null clears.
#[derive(InputObject)]
pub struct RoleUpdateInput {
    /// Which role.
    id: Id<CustomRole>,
    /// The version that the change is based on; another one is refused as a CONFLICT.
    expected_version: Option<i32>,
    /// See `RoleCreateInput`.
    name: MaybeUndefined<String>,
    /// See `RoleCreateInput`.
    description: MaybeUndefined<String>,
    /// All that its members may do from now on; see `RoleCreateInput`.
    permissions: MaybeUndefined<Vec<PermissionInput>>,
}

/// Which role to delete.
#[derive(InputObject)]
pub struct RoleDeleteInput {
    /// Which role.
    id: Id<CustomRole>,
    /// The version that the deletion is based on; another one is refused as a CONFLICT.
    expected_version: Option<i32>,
}

/// What came of a change of a role.
#[derive(SimpleObject)]
pub struct RolePayload {
    /// The role as it is now; for a CONFLICT as it stands. Null when nothing was written.
    role: Option<Arc<CustomRole>>,
    /// What the user has to mend; empty: all is well.
    user_errors: Vec<UserError>,
    /// The whole graph, to read on from here.
    query: crate::graphql::Query,
}

#[derive(Default)]
pub struct RoleMutation;

#[Object]
impl RoleMutation {
    /// Adds a role to the built-in ones, at most 100 (LIMIT_EXCEEDED). Members and invitations get it by
    /// `customRoleId`.
    ///
    /// Errors: FORBIDDEN without the permission CREATE on ROLE, and for a role that may more than you.
    async fn role_create(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The new role.")] input: RoleCreateInput,
    ) -> Option<RolePayload> {
        change(ctx, async move |tx| create(tx, input).await).await
    }

    /// Changes one of the organization's own roles. What its members may follows within a second, also on open sockets:
    /// these are closed with 4403 and connect again.
    ///
    /// Errors: FORBIDDEN without the permission UPDATE on ROLE, and when the role may more than you, before or after.
    async fn role_update(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which role, and what changes.")] input: RoleUpdateInput,
    ) -> Option<RolePayload> {
        change(ctx, async move |tx| update(tx, input).await).await
    }

    /// Deletes one of the organization's own roles. While a member has it, suspended or not, or an open invitation
    /// names it, that is STATE_INVALID.
    ///
    /// Errors: FORBIDDEN without the permission DELETE on ROLE, and for a role that may more than you.
    async fn role_delete(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which role.")] input: RoleDeleteInput,
    ) -> Option<RolePayload> {
        change(ctx, async move |tx| delete(tx, input).await).await
    }
}

async fn change(
    ctx: &Context<'_>,
    write: impl AsyncFnOnce(&mut Tx) -> Result<CustomRole, Stop>,
) -> Option<RolePayload> {
    or_null(ctx, async {
        let scope = scope(ctx)?;
        let Outcome { record, errors } = write::one(scope, write).await?;
        forget_all(scope, &errors);
        Ok(Some(RolePayload { role: record, user_errors: errors, query: Default::default() }))
    })
    .await
}

async fn create(tx: &mut Tx, input: RoleCreateInput) -> Result<CustomRole, Stop> {
    tx.scope.actor.demand(Resource::Role, Action::Create)?;
    hold(tx).await?;
    let (organization, me) = (tx.scope.actor.organization, tx.scope.actor.member);
    let mut errors = UserErrors::new();
    let mut new = CustomRole {
        id: Id::fresh(),
        name: input.name,
        description: input.description,
        permissions: granted(input.permissions, &mut errors),
        deleted_at: None,
        created_by: Some(me.into()),
        created_at: tx.now,
        updated_at: tx.now,
        version: 1,
    };
    check(tx, None, &mut new, errors).await?;
    let live = roles::table.filter(roles::organization_id.eq(organization).and(roles::deleted_at.is_null()));
    if live.count().get_result::<i64>(tx.conn()).await? >= MOST {
        let message = format!("An organization has at most {MOST} roles of its own. Delete one that nobody has.");
        return Err(Stop::at("", Code::LimitExceeded, message));
    }
    diesel::insert_into(roles::table)
        .values((
            roles::organization_id.eq(organization),
            roles::id.eq(new.id.0),
            roles::name.eq(&new.name),
            roles::description.eq(&new.description),
            roles::permissions.eq(new.permissions.0.words()),
            roles::created_by.eq(me),
            roles::created_at.eq(tx.now.0),
            roles::updated_at.eq(tx.now.0),
        ))
        .execute(tx.conn())
        .await?;
    write::tell(tx, None, &new, "created")?;
    Ok(new)
}

async fn update(tx: &mut Tx, input: RoleUpdateInput) -> Result<CustomRole, Stop> {
    hold(tx).await?;
    let old = lock(tx, "id", (input.id, input.expected_version), Action::Update).await?;
    may_change(tx, &old)?;
    let (mut new, mut errors) = (old.clone(), UserErrors::new());
    write::patch_required(&mut new.name, input.name, "name", &mut errors);
    write::patch(&mut new.description, input.description);
    match input.permissions {
        MaybeUndefined::Undefined => {}
        MaybeUndefined::Null => errors.add("permissions", Code::Required, "This cannot be null."),
        MaybeUndefined::Value(given) => new.permissions = granted(given, &mut errors),
    }
    check(tx, Some(&old), &mut new, errors).await?;
    if CustomRole::table().columns.iter().all(|column| old.cell(column) == new.cell(column)) {
        return Ok(new);
    }
    let new = next(tx, new);
    // Words that another version has stored stay unless they are replaced.
    let words = (old.permissions != new.permissions).then(|| roles::permissions.eq(new.permissions.0.words()));
    diesel::update(roles::table.find((tx.scope.actor.organization, new.id.0)))
        .set((
            roles::name.eq(&new.name),
            roles::description.eq(&new.description),
            words,
            roles::version.eq(new.version),
            roles::updated_at.eq(tx.now.0),
        ))
        .execute(tx.conn())
        .await?;
    write::tell(tx, Some(&old), &new, "updated")?;
    Ok(new)
}

async fn delete(tx: &mut Tx, input: RoleDeleteInput) -> Result<CustomRole, Stop> {
    hold(tx).await?;
    let old = lock(tx, "id", (input.id, input.expected_version), Action::Delete).await?;
    may_change(tx, &old)?;
    let organization = tx.scope.actor.organization;
    let members = memberships::table
        .filter(memberships::organization_id.eq(organization).and(memberships::custom_role_id.eq(old.id.0)))
        .filter(memberships::status.ne(MemberStatus::Removed.word()));
    if diesel::select(dsl::exists(members)).get_result(tx.conn()).await? {
        let message = "There are members who have this role. Give them another one first.";
        return Err(Stop::at("id", Code::StateInvalid, message));
    }
    let open = invitations::table
        .filter(invitations::organization_id.eq(organization).and(invitations::custom_role_id.eq(old.id.0)))
        .filter(invitations::accepted_at.is_null().and(invitations::revoked_at.is_null()));
    if diesel::select(dsl::exists(open)).get_result(tx.conn()).await? {
        let message = "There are open invitations into this role. Revoke them first.";
        return Err(Stop::at("id", Code::StateInvalid, message));
    }
    let new = next(tx, CustomRole { deleted_at: Some(tx.now), ..old.clone() });
    diesel::update(roles::table.find((organization, new.id.0)))
        .set((roles::deleted_at.eq(tx.now.0), roles::version.eq(new.version), roles::updated_at.eq(tx.now.0)))
        .execute(tx.conn())
        .await?;
    write::tell(tx, Some(&old), &new, "deleted")?;
    Ok(new)
}

fn next(tx: &Tx, new: CustomRole) -> CustomRole {
    CustomRole { version: new.version.saturating_add(1), updated_at: tx.now, ..new }
}

fn may_change(tx: &Tx, role: &CustomRole) -> Result<()> {
    if tx.scope.actor.permissions.cover(&role.permissions.0) {
        return Ok(());
    }
    Err(Error::forbidden("This role may more than you: you cannot change it."))
}

/// What an input grants, with what is wrong with it.
fn granted(given: Vec<PermissionInput>, errors: &mut UserErrors) -> Grants {
    let mut all: Vec<(Resource, Action, Reach)> = Vec::new();
    for (index, PermissionInput { resource, action, scope }) in given.into_iter().enumerate() {
        // Each combination stands once, so that no list is long.
        if all.iter().any(|(r, a, _)| (*r, *a) == (resource, action)) {
            errors.add(
                &format!("permissions.{index}"),
                Code::Invalid,
                format!("{action} on {resource} is named twice."),
            );
            break;
        }
        if !scopes(resource, action).contains(&scope) {
            let message = format!("{action} on {resource} cannot be given for {}.", scope.as_str());
            errors.add(&format!("permissions.{index}.scope"), Code::Unsupported, message);
        }
        all.push((resource, action, scope));
    }
    Grants(all.into_iter().collect())
}

/// Puts a role into its stored form; all that is wrong with it at once. FORBIDDEN when it may more than the caller.
async fn check(
    tx: &mut Tx,
    old: Option<&CustomRole>,
    new: &mut CustomRole,
    mut errors: UserErrors,
) -> Result<(), Stop> {
    new.name.tidy("name", &Rule { max: NAME, ..Rule::DEFAULT }, &mut errors);
    new.description.tidy("description", &Rule { max: DESCRIPTION, multiline: true, ..Rule::DEFAULT }, &mut errors);
    if new.name.is_blank() {
        errors.add("name", Code::Required, "Give the role a name.");
    } else if !errors.has("name") && old.is_none_or(|old| old.name != new.name) && is_taken(tx, new).await? {
        errors.add("name", Code::NotUnique, "Another role is called so. Choose another name.");
    }
    if !errors.is_empty() {
        return Err(errors.into());
    }
    Ok(may_grant(tx, &new.permissions.0, &new.name)?)
}

/// Whether another role is called so, built-in ones included: nobody is to take one for the other.
async fn is_taken(tx: &mut Tx, role: &CustomRole) -> Result<bool> {
    let plain = role.name.to_lowercase().replace('_', " ");
    if Role::ALL.into_iter().any(|role| described(role).0.to_lowercase() == plain) {
        return Ok(true);
    }
    diesel::define_sql_function! { fn lower(text: diesel::sql_types::Text) -> diesel::sql_types::Text; }
    let others = roles::table
        .filter(roles::organization_id.eq(tx.scope.actor.organization).and(roles::id.ne(role.id.0)))
        .filter(roles::deleted_at.is_null().and(lower(roles::name).eq(lower(&role.name))));
    Ok(diesel::select(dsl::exists(others)).get_result(tx.conn()).await?)
}
