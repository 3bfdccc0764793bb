//! The roles that an organization adds to the built-in ones, and so what a member may. Invariant: nobody gives a role
//! that may more than they may themselves.
//!
//! Beside a role of the organization's own stands the built-in GUEST: that is all which an older version that runs
//! beside this one knows of the member.

use super::{
    grants::Grants,
    role::{described, permissions},
    staff::may_grant,
};
use crate::{
    error::Result,
    kit::{
        filter::DeletedRecords,
        id::Id,
        permission::{Action, Permissions, Role},
        rules::Rules,
        scalars::DateTime,
        user_error::UserErrorCode as Code,
        write::{self, Stop, Tx},
    },
    schema::roles,
};
use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use stoa_macros::entity;
use uuid::Uuid;

/// A role that the organization has added to the built-in ones.
#[entity(resource = Role, plural = roles, wall = shared, read_only, no_queries)]
pub struct CustomRole {
    pub id: Id<CustomRole>,
    /// What people call it. No other role of the organization is called so, whatever case.
    #[entity(filter, order)]
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// What its members may do. What is not listed is forbidden.
    pub permissions: Grants,
    /// When it was deleted; null: it is not. A deleted one is no member's any more.
    pub deleted_at: Option<DateTime>,
}

impl Rules for CustomRole {}

/// What a member may: what their own role says, in stored words, or else the built-in one.
pub fn effective(role: Role, own: Option<&[Option<String>]>) -> Permissions {
    own.map_or_else(|| permissions(role), |words| Permissions::of_words(words.iter().flatten()))
}

/// As `effective`, of whoever has these two.
pub async fn permissions_of(
    conn: &mut AsyncPgConnection,
    organization: Uuid,
    role: Role,
    custom_role: Option<Uuid>,
) -> Result<Permissions> {
    let Some(id) = custom_role else { return Ok(permissions(role)) };
    let words = roles::table.find((organization, id)).filter(roles::deleted_at.is_null()).select(roles::permissions);
    let words: Option<Vec<Option<String>>> = words.first(conn).await.optional()?;
    Ok(effective(role, words.as_deref()))
}

/// What people call the role of whoever has these two.
pub async fn name_of(
    conn: &mut AsyncPgConnection,
    organization: Uuid,
    role: Role,
    custom_role: Option<Uuid>,
) -> Result<String> {
    let Some(id) = custom_role else { return Ok(described(role).0.to_owned()) };
    Ok(roles::table.find((organization, id)).select(roles::name).first(conn).await?)
}

/// The role that somebody is to have: a built-in one, or one of the organization's own beside GUEST.
pub struct Chosen {
    pub role: Role,
    pub custom_role_id: Option<Id<CustomRole>>,
}

/// The role that an input names in one of its two fields. FORBIDDEN when it may more than the caller, who holds the
/// organization.
pub async fn choose(tx: &mut Tx, role: Option<Role>, custom_role: Option<Id<CustomRole>>) -> Result<Chosen, Stop> {
    match (role, custom_role) {
        (Some(role), None) => {
            may_grant(tx, &permissions(role), described(role).0)?;
            Ok(Chosen { role, custom_role_id: None })
        }
        (None, Some(id)) => {
            let own = lock(tx, "customRoleId", (id, None), Action::Read).await?;
            may_grant(tx, &own.permissions.0, &own.name)?;
            Ok(Chosen { role: Role::Guest, custom_role_id: Some(id) })
        }
        (None, None) => Err(Stop::at("role", Code::Required, "Name a role, or one of your own in `customRoleId`.")),
        (Some(_), Some(_)) => {
            Err(Stop::at("customRoleId", Code::Invalid, "Name either `role` or `customRoleId`, not both."))
        }
    }
}

/// A role that was not deleted, locked; what is wrong with its id is told at the field.
pub(super) async fn lock(
    tx: &mut Tx,
    field: &str,
    (id, expected): (Id<CustomRole>, Option<i32>),
    action: Action,
) -> Result<CustomRole, Stop> {
    let none = || Stop::at(field, Code::NotFound, "There is no such role.");
    match write::lock::<CustomRole>(tx, id.0, action, DeletedRecords::Exclude, expected).await {
        Ok(role) if role.deleted_at.is_some() => Err(none()),
        Err(Stop::Rejected(rejection)) if rejection.errors.has("id") => Err(none()),
        locked => locked,
    }
}
