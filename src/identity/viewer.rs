//! The viewer: who asks, as the server sees it. What a front end needs first after a sign-in.

use super::{
    member::Member,
    oidc::{self, LinkedIdentity},
    organization::Organization,
    user::User,
};
use crate::{
    error::{Error, Result},
    kit::{
        permission::{Action, Permissions, Reach, Resource, Role},
        relation::{or_null, to_one},
        scope::{Ask, Caller, Scope},
    },
    schema::{organizations, users},
};
use async_graphql::{Context, ID, InputObject, Object, SimpleObject};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use std::sync::Arc;

pub struct Viewer {
    scope: Scope,
}

/// Something that may be done. What is not listed is forbidden.
#[derive(SimpleObject, Clone, Debug)]
pub struct Permission {
    /// The kind of record.
    pub resource: Resource,
    /// What may be done with it.
    pub action: Action,
    /// With which of them.
    pub scope: Reach,
}

/// Something that a role or an API key may do.
#[derive(InputObject)]
pub struct PermissionInput {
    /// The kind of record.
    pub resource: Resource,
    /// What may be done with it.
    pub action: Action,
    /// With which of them.
    pub scope: Reach,
}

impl Permission {
    pub fn all_of(allowed: &Permissions) -> Vec<Self> {
        allowed.iter().map(|(resource, action, scope)| Permission { resource, action, scope }).collect()
    }
}

/// Who asks: a person, as a member of one organization.
#[Object]
impl Viewer {
    /// The person who is signed in.
    async fn user(&self) -> async_graphql::Result<User> {
        Ok(self.read_user().await?)
    }

    /// The organization that the access token speaks for.
    async fn organization(&self) -> async_graphql::Result<Organization> {
        Ok(self.read_organization().await?)
    }

    /// The membership that the access token speaks for: what records are owned by, and assigned to.
    async fn member_id(&self) -> ID {
        self.scope.actor.member.into()
    }

    /// The member of that id, as others in the organization see it.
    async fn member(&self, ctx: &Context<'_>) -> Option<Arc<Member>> {
        to_one::<Member>(ctx, Some(self.scope.actor.member)).await
    }

    /// The ways by which the person signs in at providers in the place of the password, oldest first. Never null.
    async fn identities(&self, ctx: &Context<'_>) -> Option<Vec<LinkedIdentity>> {
        or_null(ctx, async { oidc::of_viewer(&self.scope).await.map(Some) }).await
    }

    /// What the viewer is in the organization: the built-in role; GUEST for who has one of the organization's own, which
    /// `roleName` and `permissions` tell.
    async fn role(&self) -> Role {
        self.scope.actor.role
    }

    /// The API key that asks in the name of the member; null: the person is signed in.
    async fn api_key_id(&self) -> Option<ID> {
        self.scope.actor.api_key().map(Into::into)
    }

    /// What people call the role that the viewer has, built in or the organization's own.
    async fn role_name(&self) -> &str {
        &self.scope.actor.role_name
    }

    /// What the viewer may do here, by whatever role, so that a front end can hide what would be refused.
    async fn permissions(&self) -> Vec<Permission> {
        Permission::all_of(&self.scope.actor.permissions)
    }
}

impl Viewer {
    async fn read_user(&self) -> Result<User> {
        let mut connection = self.scope.reader().await?;
        let user = users::table.find(self.scope.actor.user).select(User::as_select());
        user.first(&mut *connection).await.map_err(Error::from)
    }

    async fn read_organization(&self) -> Result<Organization> {
        let mut connection = self.scope.reader().await?;
        let organization = organizations::table.find(self.scope.actor.organization).select(Organization::as_select());
        organization.first(&mut *connection).await.map_err(Error::from)
    }
}

#[derive(Default)]
pub struct ViewerQuery;

#[Object]
impl ViewerQuery {
    /// Who asks. Null when nobody is signed in.
    async fn viewer(&self, ctx: &Context<'_>) -> Option<Viewer> {
        match ctx.settle(ctx.caller())? {
            Caller::Member(scope) => Some(Viewer { scope: scope.clone() }),
            Caller::Stranger { .. } => None,
        }
    }
}
