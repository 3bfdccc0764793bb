//! Invitations: who is to become a member, and what. Invariants: nobody invites into a role that may more than they may;
//! what lets somebody in is in the mail to them and nowhere else.

use super::{
    custom_role::{CustomRole, choose, name_of, permissions_of},
    input, mails,
    member::{Member, MemberStatus},
    staff::{hold, may_grant},
};
use crate::{
    error::{Error, Result},
    kit::{
        filter::DeletedRecords,
        id::Id,
        permission::{Action, Resource, Role},
        relation::or_null,
        resolve::scope,
        rules::Rules,
        scalars::{DateTime, EmailAddress},
        user_error::{UserError, UserErrorCode, UserErrors},
        write::{self, Outcome, Stop, Tx},
    },
    platform::tokens::LinkToken,
    schema::{invitations, memberships, organizations},
};
use async_graphql::{Context, InputObject, Object, SimpleObject};
use chrono::TimeDelta;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use std::sync::Arc;
use stoa_macros::entity;
use uuid::Uuid;

/// Days in which an invitation can be accepted.
const DAYS: u32 = 7;
/// Mails that an organization may cause at once, and then within a minute: each goes to somebody who has not asked.
const AT_ONCE: u32 = 50;
const PER_MINUTE: u32 = 10;

/// An invitation into the organization. It is open until it is accepted or revoked; it can be accepted until `expiresAt`.
#[entity(resource = Invitation, plural = invitations, wall = shared, read_only)]
pub struct Invitation {
    pub id: Id<Invitation>,
    /// Who is invited. There is one open invitation for an address at most.
    #[entity(filter, order, search)]
    pub email: EmailAddress,
    /// What they will be. With `customRoleId` it is GUEST, and the organization's own role counts instead.
    #[entity(filter, group)]
    pub role: Role,
    /// The id of the organization's own role that they will have; null: `role` says what they will be.
    #[entity(filter, belongs_to = crate::identity::custom_role::CustomRole as custom_role)]
    pub custom_role_id: Option<Id<CustomRole>>,
    /// Until when it can be accepted; sending it again makes it later.
    #[entity(filter)]
    pub expires_at: DateTime,
    /// When it was accepted; null: it was not.
    #[entity(filter)]
    pub accepted_at: Option<DateTime>,
    /// When it was revoked; null: it was not.
    #[entity(filter)]
    pub revoked_at: Option<DateTime>,
    /// The id of the member who came of it; null: it was not accepted.
    #[entity(filter, belongs_to = crate::identity::Member as member)]
    pub member_id: Option<Id<Member>>,
}

impl Rules for Invitation {}

/// Whom to invite into which role: either a built-in one or one of the organization's own.
#[derive(InputObject)]
pub struct InvitationCreateInput {
    /// Where the invitation is sent, at most 254 characters. Case does not count.
    email: String,
    /// What they will be: a built-in role.
    role: Option<Role>,
    /// What they will be: the id of one of the organization's own roles.
    custom_role_id: Option<Id<CustomRole>>,
}

/// Which invitation.
#[derive(InputObject)]
pub struct InvitationInput {
    /// Which invitation.
    id: Id<Invitation>,
}

/// What came of a change of an invitation.
#[derive(SimpleObject)]
pub struct InvitationPayload {
    /// The invitation as it is now; null when nothing was written.
    invitation: Option<Arc<Invitation>>,
    /// What the user has to mend; empty: all is well.
    user_errors: Vec<UserError>,
    /// The whole graph, to read on from here.
    query: crate::graphql::Query,
}

#[derive(Default)]
pub struct InvitationMutation;

#[Object]
impl InvitationMutation {
    /// Invites somebody into the organization by a mail with a link that is good for 7 days. An address that belongs to
    /// a member, or has an open invitation, is NOT_UNIQUE; who was removed can be invited again.
    ///
    /// Errors: FORBIDDEN without the permission CREATE on INVITATION, and for a role that may more than you;
    /// RATE_LIMITED.
    async fn invitation_create(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Whom to invite.")] input: InvitationCreateInput,
    ) -> Option<InvitationPayload> {
        change(ctx, async move |tx| create(tx, input).await).await
    }

    /// Sends an open invitation again, expired or not, with a new link that is good for 7 days. The link before does
    /// not work any more. One that is accepted or revoked is STATE_INVALID.
    ///
    /// Errors: FORBIDDEN without the permission UPDATE on INVITATION, and for a role that may more than you;
    /// RATE_LIMITED.
    async fn invitation_resend(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which invitation.")] input: InvitationInput,
    ) -> Option<InvitationPayload> {
        change(ctx, async move |tx| resend(tx, input).await).await
    }

    /// Takes an open invitation back: its link does not work any more. One that is accepted or revoked is
    /// STATE_INVALID.
    ///
    /// Errors: FORBIDDEN without the permission DELETE on INVITATION.
    async fn invitation_revoke(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which invitation.")] input: InvitationInput,
    ) -> Option<InvitationPayload> {
        change(ctx, async move |tx| revoke(tx, input).await).await
    }
}

async fn change(
    ctx: &Context<'_>,
    write: impl AsyncFnOnce(&mut Tx) -> Result<Invitation, Stop>,
) -> Option<InvitationPayload> {
    or_null(ctx, async {
        let Outcome { record, errors } = write::one(scope(ctx)?, write).await?;
        Ok(Some(InvitationPayload { invitation: record, user_errors: errors, query: Default::default() }))
    })
    .await
}

async fn create(tx: &mut Tx, input: InvitationCreateInput) -> Result<Invitation, Stop> {
    tx.scope.actor.demand(Resource::Invitation, Action::Create)?;
    hold(tx).await?;
    let chosen = choose(tx, input.role, input.custom_role_id).await?;
    let (organization, me) = (tx.scope.actor.organization, tx.scope.actor.member);
    let mut errors = UserErrors::new();
    let email = input::email(&mut errors, "email", &input.email);
    let members = memberships::table
        .filter(memberships::organization_id.eq(organization).and(memberships::email.eq(&email)))
        .filter(memberships::status.ne(MemberStatus::Removed.word()));
    if diesel::select(diesel::dsl::exists(members)).get_result(tx.conn()).await? {
        errors.add("email", UserErrorCode::NotUnique, "They are a member already.");
    }
    if !errors.is_empty() {
        return Err(errors.into());
    }
    let token = LinkToken::new(organization, Uuid::now_v7())?;
    let new = Invitation {
        id: token.about.into(),
        email: EmailAddress(email),
        role: chosen.role,
        custom_role_id: chosen.custom_role_id,
        expires_at: expiry(tx),
        accepted_at: None,
        revoked_at: None,
        member_id: None,
        created_by: Some(me.into()),
        created_at: tx.now,
        updated_at: tx.now,
        version: 1,
    };
    let inserted = diesel::insert_into(invitations::table)
        .values((
            invitations::organization_id.eq(organization),
            invitations::id.eq(new.id.0),
            invitations::email.eq(&new.email.0),
            invitations::role.eq(new.role.as_str()),
            invitations::custom_role_id.eq(new.custom_role_id.map(|id| id.0)),
            invitations::token_hash.eq(token.hash()),
            invitations::expires_at.eq(new.expires_at.0),
            invitations::created_by.eq(me),
            invitations::created_at.eq(tx.now.0),
            invitations::updated_at.eq(tx.now.0),
        ))
        .on_conflict_do_nothing()
        .execute(tx.conn())
        .await?;
    if inserted == 0 {
        let message = "They are invited already. Send that invitation again, or revoke it first.";
        return Err(Stop::at("email", UserErrorCode::NotUnique, message));
    }
    send(tx, &new, &token).await?;
    write::tell(tx, None, &new, "created")?;
    Ok(new)
}

async fn resend(tx: &mut Tx, input: InvitationInput) -> Result<Invitation, Stop> {
    hold(tx).await?;
    let old = lock(tx, input.id, Action::Update).await?;
    let (organization, me) = (tx.scope.actor.organization, tx.scope.actor.member);
    let own_role = old.custom_role_id.map(|id| id.0);
    let role = permissions_of(tx.conn(), organization, old.role, own_role).await?;
    may_grant(tx, &role, "of this invitation")?;
    let token = LinkToken::new(organization, old.id.0)?;
    // From now on it stands for whoever has sent it last.
    let new = Invitation { expires_at: expiry(tx), created_by: Some(me.into()), ..next(tx, &old) };
    diesel::update(invitations::table.find((organization, new.id.0)))
        .set((
            invitations::token_hash.eq(token.hash()),
            invitations::expires_at.eq(new.expires_at.0),
            invitations::created_by.eq(me),
            invitations::updated_at.eq(new.updated_at.0),
            invitations::version.eq(new.version),
        ))
        .execute(tx.conn())
        .await?;
    send(tx, &new, &token).await?;
    write::tell(tx, Some(&old), &new, "sent")?;
    Ok(new)
}

async fn revoke(tx: &mut Tx, input: InvitationInput) -> Result<Invitation, Stop> {
    let old = lock(tx, input.id, Action::Delete).await?;
    let new = Invitation { revoked_at: Some(tx.now), ..next(tx, &old) };
    diesel::update(invitations::table.find((tx.scope.actor.organization, new.id.0)))
        .set((
            invitations::revoked_at.eq(tx.now.0),
            invitations::updated_at.eq(new.updated_at.0),
            invitations::version.eq(new.version),
        ))
        .execute(tx.conn())
        .await?;
    write::tell(tx, Some(&old), &new, "revoked")?;
    Ok(new)
}

fn expiry(tx: &Tx) -> DateTime {
    DateTime(tx.now.0 + TimeDelta::days(DAYS.into()))
}

fn next(tx: &Tx, old: &Invitation) -> Invitation {
    Invitation { version: old.version.saturating_add(1), updated_at: tx.now, ..old.clone() }
}

/// An open invitation, locked. Who accepts it at this moment comes before or after.
async fn lock(tx: &mut Tx, id: Id<Invitation>, action: Action) -> Result<Invitation, Stop> {
    let invitation: Invitation = write::lock(tx, id.0, action, DeletedRecords::Exclude, None).await?;
    if invitation.accepted_at.is_some() {
        return Err(Stop::at("id", UserErrorCode::StateInvalid, "This invitation was accepted."));
    }
    if invitation.revoked_at.is_some() {
        return Err(Stop::at("id", UserErrorCode::StateInvalid, "This invitation was revoked."));
    }
    Ok(invitation)
}

async fn send(tx: &mut Tx, invitation: &Invitation, token: &LinkToken) -> Result<()> {
    let (app, actor) = (tx.scope.app.clone(), tx.scope.actor.clone());
    app.throttle.take_here("invitation", &actor.organization.to_string(), AT_ONCE, PER_MINUTE)?;
    let (inviter, organization): (String, String) = memberships::table
        .inner_join(organizations::table)
        .filter(memberships::organization_id.eq(actor.organization).and(memberships::id.eq(actor.member)))
        .select((memberships::name, organizations::name))
        .first(tx.conn())
        .await
        .map_err(Error::from)?;
    let own_role = invitation.custom_role_id.map(|id| id.0);
    let mail = mails::Invitation {
        inviter,
        organization,
        role: name_of(tx.conn(), actor.organization, invitation.role, own_role).await?,
        link: format!("{}/invitation?token={}", app.config.base_url(), token.reveal()),
        days: DAYS.into(),
    };
    app.mail.enqueue(tx.transaction(), Some(actor.organization), &invitation.email.0, &mail).await
}
