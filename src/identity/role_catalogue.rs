//! The roles that there are, and what roles can be allowed. What a front end builds its page of roles from.

use super::{
    custom_role::CustomRole,
    role::{described, permissions, scopes},
    viewer::Permission,
};
use crate::{
    error::Result,
    kit::{
        entity::{self, Entity},
        filter::DeletedRecords,
        permission::{Action, Permissions, Reach, Resource, Role},
        relation::or_null,
        resolve::scope,
        scope::Scope,
    },
};
use async_graphql::{Context, Object, SimpleObject};
use diesel_async::RunQueryDsl;
use std::sync::Arc;

/// A role that members can have: built in, or one of the organization's own.
#[derive(SimpleObject)]
pub struct AvailableRole {
    /// The built-in role; null for one of the organization's own.
    role: Option<Role>,
    /// The organization's own role; null for a built-in one.
    custom_role: Option<Arc<CustomRole>>,
    /// What people call it.
    name: String,
    /// What it is for; null: nobody has said.
    description: Option<String>,
    /// What its members may do.
    permissions: Vec<Permission>,
    /// Whether it may no more than you, so that you could give it or, if it is the organization's own, change it.
    within_yours: bool,
}

/// What may be done with a kind of record, as a role can be allowed it.
#[derive(SimpleObject)]
pub struct PermissionCatalogueEntry {
    /// The kind of record.
    resource: Resource,
    /// What it is, in English.
    description: &'static str,
    /// What can be done with it.
    actions: Vec<PermissionCatalogueAction>,
}

/// Something that can be done with a kind of record.
#[derive(SimpleObject)]
pub struct PermissionCatalogueAction {
    /// What is done.
    action: Action,
    /// What it means, in English.
    description: &'static str,
    /// How far it can be allowed, the nearest first.
    scopes: Vec<Reach>,
}

#[derive(Default)]
pub struct RoleQuery;

#[Object]
impl RoleQuery {
    /// All roles that members can have: the built-in ones, then the organization's own by name.
    ///
    /// Errors: FORBIDDEN without the permission READ on ROLE.
    async fn roles(&self, ctx: &Context<'_>) -> Option<Vec<AvailableRole>> {
        or_null(ctx, async { all(scope(ctx)?).await.map(Some) }).await
    }

    /// Everything that a role can be allowed, by kind of record: what `roleCreate` and `roleUpdate` accept.
    async fn permission_catalogue(&self, ctx: &Context<'_>) -> Option<Vec<PermissionCatalogueEntry>> {
        or_null(ctx, async { scope(ctx).map(|_| Some(catalogue())) }).await
    }
}

async fn all(scope: &Scope) -> Result<Vec<AvailableRole>> {
    let table = CustomRole::table();
    entity::may_list(table, scope, DeletedRecords::Exclude)?;
    let mut sql = entity::select(table);
    entity::push_visible(table, scope, DeletedRecords::Exclude, &mut sql);
    // There are no more than `role_change` lets be made.
    sql.push(" AND t0.deleted_at IS NULL ORDER BY lower(t0.name), t0.id");
    let own: Vec<CustomRole> = sql.load(&mut scope.reader().await?).await?;
    let within_yours = |role: &Permissions| scope.actor.permissions.cover(role);
    let built_in = Role::ALL.into_iter().map(|role| AvailableRole {
        role: Some(role),
        custom_role: None,
        name: described(role).0.to_owned(),
        description: Some(described(role).1.to_owned()),
        permissions: Permission::all_of(&permissions(role)),
        within_yours: within_yours(&permissions(role)),
    });
    let own = own.into_iter().map(|role| AvailableRole {
        role: None,
        name: role.name.clone(),
        description: role.description.clone(),
        permissions: Permission::all_of(&role.permissions.0),
        within_yours: within_yours(&role.permissions.0),
        custom_role: Some(Arc::new(role)),
    });
    Ok(built_in.chain(own).collect())
}

fn catalogue() -> Vec<PermissionCatalogueEntry> {
    let actions = |resource: Resource| {
        let offered = Action::ALL.iter().map(move |&action| PermissionCatalogueAction {
            action,
            description: action.description(),
            scopes: scopes(resource, action).to_vec(),
        });
        offered.filter(|action| !action.scopes.is_empty()).collect()
    };
    let entry = |&resource: &Resource| PermissionCatalogueEntry {
        resource,
        description: resource.description(),
        actions: actions(resource),
    };
    Resource::ALL.iter().map(entry).collect()
}
