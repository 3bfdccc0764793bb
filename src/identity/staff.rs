//! What an organization does with its members: what they are at work, what they may, whether they get in. Invariants: an
//! organization always has an owner who can sign in, however much happens at once; nobody gives a role, or takes
//! something from a member with one, that may more than they may themselves.
//!
//! All of it holds the organization's row and is so done one after the other. It takes effect on this node at once and
//! on others, open sockets included, within the second for which `platform::standing` believes what it has read.

use super::{
    api_key_change,
    custom_role::{CustomRole, choose, permissions_of},
    member::{Member, MemberStatus, hold_members},
    session,
    step_up::demand_recent_proof,
    succession::HandOn,
    team_member::leave_all,
};
use crate::{
    error::{Error, Result},
    kit::{
        entity::Entity,
        filter::DeletedRecords,
        id::Id,
        permission::{Action, Permissions, Role},
        relation::or_null,
        resolve::scope,
        rules::{Rule, Tidy},
        scope::Scope,
        tree,
        user_error::{UserError, UserErrorCode, UserErrors},
        write::{self, Outcome, Stop, Tx},
    },
    schema::{memberships, organizations, users},
};
use async_graphql::{Context, InputObject, MaybeUndefined, Object, SimpleObject};
use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use std::sync::Arc;
use uuid::Uuid;

/// Characters of a title at most.
const TITLE: usize = 120;
/// Levels from the highest manager down at most.
const MOST_LEVELS: i32 = 50;

/// A member to change. What is left out stays as it is.
#[derive(InputObject)]
pub struct MemberUpdateInput {
    /// Which member.
    id: Id<Member>,
    /// The version that the change is based on; another one is refused as a CONFLICT.
    expected_version: Option<i32>,
    /// What they are at work, at most 120 characters.
    title: MaybeUndefined<String>,
    /// The id of the member they report to. No circles; at most 50 levels.
    manager_id: MaybeUndefined<Id<Member>>,
}

/// A member and their new role: either a built-in one or one of the organization's own.
#[derive(InputObject)]
pub struct MemberRoleChangeInput {
    /// Which member.
    id: Id<Member>,
    /// The version that the change is based on; another one is refused as a CONFLICT.
    expected_version: Option<i32>,
    /// What they may do from now on: a built-in role.
    role: Option<Role>,
    /// What they may do from now on: the id of one of the organization's own roles.
    custom_role_id: Option<Id<CustomRole>>,
}

/// Which member.
#[derive(InputObject)]
pub struct MemberInput {
    /// Which member.
    id: Id<Member>,
    /// The version that the change is based on; another one is refused as a CONFLICT.
    expected_version: Option<i32>,
}

/// Who owns the organization from now on.
#[derive(InputObject)]
pub struct OwnershipTransferInput {
    /// The member who becomes an owner in your place.
    member_id: Id<Member>,
}

/// What came of a change of a member.
#[derive(SimpleObject)]
pub struct MemberPayload {
    /// The member as they are now; for a CONFLICT as they stand. Null when nothing was written.
    member: Option<Arc<Member>>,
    /// What the user has to mend; empty: all is well.
    user_errors: Vec<UserError>,
    /// The whole graph, to read on from here.
    query: crate::graphql::Query,
}

#[derive(Default)]
pub struct StaffMutation;

#[Object]
impl StaffMutation {
    /// Changes what a member is at work and whom they report to.
    ///
    /// Errors: FORBIDDEN without the permission to update members, and for a member who may more than you.
    async fn member_update(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which member, and what becomes different.")] input: MemberUpdateInput,
    ) -> Option<MemberPayload> {
        change(ctx, async move |tx| update(tx, input).await).await
    }

    /// Gives a member another role. It holds from the next second on, also on open sockets: these are closed with 4403
    /// and connect again. Groups and channels that they own go to others in them a moment later when they become a guest. The only
    /// owner keeps the role (STATE_INVALID).
    ///
    /// Errors: FORBIDDEN without the permission to manage members, for a member who may more than you, and for a role
    /// that does.
    async fn member_role_change(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which member, and the role.")] input: MemberRoleChangeInput,
    ) -> Option<MemberPayload> {
        change(ctx, async move |tx| change_role(tx, input).await).await
    }

    /// Keeps a member out until `memberReactivate`: their sessions end within a second. Groups and channels that only they own
    /// get another owner beside them a moment later. One cannot suspend oneself, nor the only owner (STATE_INVALID).
    ///
    /// Errors: FORBIDDEN without the permission to update members, and for a member who may more than you.
    async fn member_suspend(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which member.")] input: MemberInput,
    ) -> Option<MemberPayload> {
        change(ctx, async move |tx| suspend(tx, input).await).await
    }

    /// Lets a suspended member sign in again.
    ///
    /// Errors: FORBIDDEN without the permission to update members, and for a member who may more than you.
    async fn member_reactivate(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which member.")] input: MemberInput,
    ) -> Option<MemberPayload> {
        change(ctx, async move |tx| reactivate(tx, input).await).await
    }

    /// Removes a member from the organization: their sessions end within a second, and they get in again only by an
    /// invitation. Their account at this server stays, as does all that they own and wrote here: records keep their
    /// owner until they are given to somebody else, those who reported to them still do. Files of theirs that belong to nothing
    /// go `retentionDays` later. They leave their teams, and those that they led have no leader. Groups and channels that only
    /// they own get another owner a moment later. To the only owner it cannot be done (STATE_INVALID); other owners may remove
    /// themselves.
    ///
    /// Errors: FORBIDDEN without the permission to delete members, and for a member who may more than you.
    async fn member_remove(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which member.")] input: MemberInput,
    ) -> Option<MemberPayload> {
        change(ctx, async move |tx| remove(tx, input).await).await
    }

    /// Makes another active member an owner and yourself an admin. Answers the new owner.
    ///
    /// Errors: FORBIDDEN unless you are an owner, and with the reason REAUTHENTICATION_REQUIRED when you last gave the
    /// password more than five minutes ago.
    async fn ownership_transfer(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Who becomes an owner.")] input: OwnershipTransferInput,
    ) -> Option<MemberPayload> {
        or_null(ctx, async { demand_recent_proof(scope(ctx)?).await.map(Some) }).await?;
        change(ctx, async move |tx| transfer(tx, input).await).await
    }
}

async fn change(ctx: &Context<'_>, write: impl AsyncFnOnce(&mut Tx) -> Result<Member, Stop>) -> Option<MemberPayload> {
    or_null(ctx, async {
        let scope = scope(ctx)?;
        let Outcome { record, errors } = write::one(scope, write).await?;
        // Also of those whose team they are in.
        forget_all(scope, &errors);
        Ok(Some(MemberPayload { member: record, user_errors: errors, query: Default::default() }))
    })
    .await
}

async fn update(tx: &mut Tx, input: MemberUpdateInput) -> Result<Member, Stop> {
    let old = lock(tx, "id", (input.id, input.expected_version), Action::Update).await?;
    let mut new = old.clone();
    let mut errors = UserErrors::new();
    write::patch(&mut new.title, input.title);
    new.title.tidy("title", &Rule { max: TITLE, ..Rule::DEFAULT }, &mut errors);
    write::patch(&mut new.manager_id, input.manager_id);
    let managers = (old.manager_id.map(|id| id.0), new.manager_id.map(|id| id.0));
    if let (was, Some(manager)) = managers
        && was != Some(manager)
        && !write::exists(tx, Member::table(), manager).await?
    {
        errors.add("managerId", UserErrorCode::NotFound, "There is no such member.");
    } else {
        tree::check::<Member>(tx, (Member::MANAGER_ID, MOST_LEVELS), old.id.0, managers, &mut errors).await?;
    }
    if !errors.is_empty() {
        return Err(errors.into());
    }
    store(tx, &old, new, "updated").await
}

async fn change_role(tx: &mut Tx, input: MemberRoleChangeInput) -> Result<Member, Stop> {
    let old = lock(tx, "id", (input.id, input.expected_version), Action::Manage).await?;
    let chosen = choose(tx, input.role, input.custom_role_id).await?;
    let new = Member { role: chosen.role, custom_role_id: chosen.custom_role_id, ..old.clone() };
    keep_an_owner(tx, "role", &old, &new).await?;
    store(tx, &old, new, "role_changed").await
}

async fn suspend(tx: &mut Tx, input: MemberInput) -> Result<Member, Stop> {
    let old = lock(tx, "id", (input.id, input.expected_version), Action::Update).await?;
    if old.id.0 == tx.scope.actor.member {
        return Err(Stop::at("id", UserErrorCode::StateInvalid, "You cannot suspend yourself."));
    }
    if old.status != MemberStatus::Active {
        return Err(Stop::at("id", UserErrorCode::StateInvalid, "They cannot sign in as it is."));
    }
    let new = Member { status: MemberStatus::Suspended, ..old.clone() };
    keep_an_owner(tx, "id", &old, &new).await?;
    end_sessions(tx, &old, "member suspended").await?;
    store(tx, &old, new, "suspended").await
}

async fn reactivate(tx: &mut Tx, input: MemberInput) -> Result<Member, Stop> {
    let old = lock(tx, "id", (input.id, input.expected_version), Action::Update).await?;
    if old.status != MemberStatus::Suspended {
        return Err(Stop::at("id", UserErrorCode::StateInvalid, "They are not suspended."));
    }
    store(tx, &old, Member { status: MemberStatus::Active, ..old.clone() }, "reactivated").await
}

async fn remove(tx: &mut Tx, input: MemberInput) -> Result<Member, Stop> {
    let old = lock(tx, "id", (input.id, input.expected_version), Action::Delete).await?;
    // A role that only members have had who are gone can be deleted.
    let new = Member { status: MemberStatus::Removed, custom_role_id: None, ..old.clone() };
    keep_an_owner(tx, "id", &old, &new).await?;
    end_sessions(tx, &old, "member removed").await?;
    api_key_change::revoke_all(tx, old.id.0).await?;
    leave_all(tx, old.id).await?;
    store(tx, &old, new, "removed").await
}

async fn transfer(tx: &mut Tx, input: OwnershipTransferInput) -> Result<Member, Stop> {
    if tx.scope.actor.role != Role::Owner {
        return Err(Error::forbidden("Only an owner can make somebody else one in their place.").into());
    }
    let me = Id::from(tx.scope.actor.member);
    hold(tx).await?;
    hold_members(tx, [me.0, input.member_id.0]).await?;
    let heir = lock(tx, "memberId", (input.member_id, None), Action::Manage).await?;
    let own = lock(tx, "memberId", (me, None), Action::Manage).await?;
    let fault = match heir.status {
        _ if heir.id.0 == own.id.0 => Some("You are an owner already. Name somebody else."),
        MemberStatus::Active if heir.role == Role::Owner => Some("This member is an owner already."),
        MemberStatus::Active => None,
        _ => Some("This member cannot sign in, and so cannot be an owner."),
    };
    if let Some(fault) = fault {
        return Err(Stop::at("memberId", UserErrorCode::StateInvalid, fault));
    }
    let owner = Member { role: Role::Owner, custom_role_id: None, ..heir.clone() };
    let heir = store(tx, &heir, owner, "role_changed").await?;
    store(tx, &own, Member { role: Role::Admin, ..own.clone() }, "role_changed").await?;
    Ok(heir)
}

/// Holds the organization, so that whatever decides about its members happens one after the other, and makes sure that
/// the caller still is what the scope says, which may be a second old.
pub(super) async fn hold(tx: &mut Tx) -> Result<()> {
    let (organization, member) = (tx.scope.actor.organization, tx.scope.actor.member);
    let held = organizations::table.find(organization).select(organizations::id).for_no_key_update();
    held.first::<Uuid>(tx.conn()).await?;
    let select = (memberships::role, memberships::custom_role_id, memberships::status);
    let now = memberships::table.find((organization, member)).select(select);
    let (role, own_role, status): (String, Option<Uuid>, String) = now.first(tx.conn()).await?;
    let actor = tx.scope.actor.clone();
    let may = permissions_of(tx.conn(), organization, actor.role, own_role).await?;
    if role != actor.role.as_str() || status != MemberStatus::Active.word() || !may.cover(&actor.permissions) {
        return Err(Error::forbidden("What you may do here has changed a moment ago. Sign in again."));
    }
    Ok(())
}

/// Lets this node ask again what the organization's members may and whom they lead, when something was written.
pub(super) fn forget_all(scope: &Scope, errors: &[UserError]) {
    if errors.is_empty() {
        scope.app.standings.forget(scope.actor.organization);
    }
}

/// FORBIDDEN for a role that may more than the caller.
pub(super) fn may_grant(tx: &Tx, role: &Permissions, name: &str) -> Result<()> {
    if tx.scope.actor.permissions.cover(role) {
        return Ok(());
    }
    Err(Error::forbidden(format!("The role {name} may more than you: you cannot give it.")))
}

/// A member whom the caller may do this to, locked.
async fn lock(
    tx: &mut Tx,
    field: &str,
    (id, expected): (Id<Member>, Option<i32>),
    action: Action,
) -> Result<Member, Stop> {
    hold(tx).await?;
    let member: Member = match write::lock(tx, id.0, action, DeletedRecords::Exclude, expected).await {
        Err(Stop::Rejected(rejection)) if field != "id" && rejection.errors.has("id") => {
            return Err(Stop::at(field, UserErrorCode::NotFound, "There is no such member."));
        }
        locked => locked?,
    };
    if member.status == MemberStatus::Removed {
        let message = "They are not a member any more. Invite them again.";
        return Err(Stop::at(field, UserErrorCode::StateInvalid, message));
    }
    let (organization, own_role) = (tx.scope.actor.organization, member.custom_role_id.map(|id| id.0));
    let theirs = permissions_of(tx.conn(), organization, member.role, own_role).await?;
    if !tx.scope.actor.permissions.cover(&theirs) {
        return Err(Error::forbidden("This member may more than you: you cannot change them.").into());
    }
    Ok(member)
}

/// Refuses what would leave the organization without an owner who can sign in.
async fn keep_an_owner(tx: &mut Tx, field: &str, old: &Member, new: &Member) -> Result<(), Stop> {
    let rules = |member: &Member| member.role == Role::Owner && member.status == MemberStatus::Active;
    if !rules(old) || rules(new) {
        return Ok(());
    }
    let organization = tx.scope.actor.organization;
    if has_other_owner(tx.conn(), organization, old.id.0).await? {
        return Ok(());
    }
    let message = "They are the only owner, and an organization always has one: make somebody else an owner first.";
    Err(Stop::at(field, UserErrorCode::StateInvalid, message))
}

/// Whether somebody else is an owner who can sign in.
pub(super) async fn has_other_owner(conn: &mut AsyncPgConnection, organization: Uuid, than: Uuid) -> Result<bool> {
    let others = memberships::table
        .inner_join(users::table.on(users::id.eq(memberships::user_id)))
        .filter(memberships::organization_id.eq(organization).and(memberships::id.ne(than)))
        .filter(memberships::role.eq(Role::Owner.as_str()).and(memberships::status.eq(MemberStatus::Active.word())))
        .filter(users::disabled_at.is_null());
    Ok(diesel::select(diesel::dsl::exists(others)).get_result(conn).await?)
}

async fn end_sessions(tx: &mut Tx, member: &Member, because: &'static str) -> Result<()> {
    let organization = tx.scope.actor.organization;
    let sessions = session::of_member(tx.transaction(), organization, member.id.0).await?;
    session::revoke(tx.transaction(), organization, &sessions, because).await
}

/// Writes what became different, the next version and the time, and tells of it.
async fn store(tx: &mut Tx, old: &Member, new: Member, kind: &'static str) -> Result<Member, Stop> {
    let same = |column: &&_| old.cell(column) == new.cell(column);
    if Member::table().columns.iter().all(same) {
        return Ok(new);
    }
    let new = Member { version: old.version.saturating_add(1), updated_at: tx.now, ..new };
    diesel::update(memberships::table.find((tx.scope.actor.organization, new.id.0)))
        .set((
            memberships::role.eq(new.role.as_str()),
            memberships::custom_role_id.eq(new.custom_role_id.map(|id| id.0)),
            memberships::title.eq(&new.title),
            memberships::manager_id.eq(new.manager_id.map(|id| id.0)),
            memberships::status.eq(new.status.word()),
            memberships::version.eq(new.version),
            memberships::updated_at.eq(new.updated_at.0),
        ))
        .execute(tx.conn())
        .await?;
    if (new.status, new.is_guest()) != (old.status, old.is_guest()) {
        let (jobs, organization) = (tx.scope.app.jobs.clone(), tx.scope.actor.organization);
        jobs.enqueue(tx.transaction(), None, &HandOn { organization }).await?;
    }
    write::tell(tx, Some(old), &new, kind)?;
    Ok(new)
}
