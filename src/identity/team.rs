//! Teams: members who work together, and who leads them. Invariant: a team is led by a member who is here, or by nobody.
//!
//! The TEAM permissions of a leader reach what the members of the team own, as they reach what those own who report to
//! the leader; `access` asks for both. Whatever changes a team holds the organization's row and is so done one after the
//! other, also with what happens to members.

use super::{
    member::MemberStatus,
    staff::{forget_all, hold},
    team_member::{self, *},
};
use crate::{
    error::Result,
    kit::{
        filter::DeletedRecords,
        id::Id,
        permission::{Action, Resource},
        relation::or_null,
        resolve::scope,
        rules::Rules,
        user_error::{UserError, UserErrorCode as Code, UserErrors},
        write::{self, Outcome, Stop, Tx, Writable},
    },
    schema::{memberships, teams},
};
use async_graphql::{Context, InputObject, Object, SimpleObject};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use std::sync::Arc;
use stoa_macros::entity;

/// Teams of an organization at most.
const MOST: i64 = 500;

/// Members who work together.
#[entity(resource = Team, plural = teams, wall = shared, has_many(members: TeamMember.team_id))]
pub struct Team {
    pub id: Id<Team>,
    /// What it is called: 1 to 120 characters. No other team of the organization is called so, whatever case.
    #[entity(create, update, filter, order, search, max = 120)]
    pub name: String,
    /// What it is for, at most 2 000 characters.
    #[entity(create, update, max = 2_000, multiline)]
    pub description: Option<String>,
    /// The id of the active member who leads it, in it or not: their TEAM permissions reach what its members own. Null:
    /// nobody does.
    #[entity(create, update, filter, group, belongs_to = crate::identity::Member as leader)]
    pub leader_id: Option<Id<super::Member>>,
}

impl Rules for Team {
    async fn check(tx: &mut Tx, old: Option<&Self>, new: &mut Self, errors: &mut UserErrors) -> Result<()> {
        let organization = tx.scope.actor.organization;
        if let Some(leader) = new.leader_id
            && old.and_then(|old| old.leader_id) != Some(leader)
            && !errors.has("leaderId")
        {
            let here = memberships::table.find((organization, leader.0)).select(memberships::status);
            if here.first::<String>(tx.conn()).await? != MemberStatus::Active.word() {
                let message = "They cannot sign in, and so cannot lead a team.";
                errors.add("leaderId", Code::StateInvalid, message);
            }
        }
        let teams = teams::table.filter(teams::organization_id.eq(organization)).count();
        if old.is_none() && teams.get_result::<i64>(tx.conn()).await? >= MOST {
            errors.add("", Code::LimitExceeded, format!("An organization has at most {MOST} teams."));
        }
        Ok(())
    }
}

/// Which team to delete.
#[derive(InputObject)]
pub struct TeamDeleteInput {
    /// Which team.
    id: Id<Team>,
    /// The version that the deletion is based on; another one is refused as a CONFLICT.
    expected_version: Option<i32>,
}

/// What came of deleting a team.
#[derive(SimpleObject)]
pub struct TeamDeletePayload {
    /// The team as it last was; for a CONFLICT as it stands. Null when nothing was deleted.
    team: Option<Arc<Team>>,
    /// What the user has to mend; empty: all is well.
    user_errors: Vec<UserError>,
    /// The whole graph, to read on from here.
    query: crate::graphql::Query,
}

impl From<Outcome<Team>> for TeamDeletePayload {
    fn from(outcome: Outcome<Team>) -> Self {
        TeamDeletePayload { team: outcome.record, user_errors: outcome.errors, query: Default::default() }
    }
}

#[derive(Default)]
pub struct TeamsMutation;

#[Object]
impl TeamsMutation {
    /// Makes a team, at most 500 in an organization (LIMIT_EXCEEDED).
    ///
    /// Errors: FORBIDDEN without the permission CREATE on TEAM.
    async fn team_create(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The new team.")] input: TeamCreateInput,
    ) -> Option<TeamCreatePayload> {
        change(ctx, async move |tx| {
            tx.scope.actor.demand(Resource::Team, Action::Create)?;
            hold(tx).await?;
            write::create(tx, input).await
        })
        .await
    }

    /// Changes a team: what the input leaves out stays, null clears. Whose records a leader sees follows within a
    /// second; open sockets are closed with 4403 and connect again.
    ///
    /// Errors: FORBIDDEN without the permission UPDATE on TEAM.
    async fn team_update(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which team, and what changes.")] input: TeamUpdateInput,
    ) -> Option<TeamUpdatePayload> {
        change(ctx, async move |tx| {
            hold(tx).await?;
            write::update(tx, input).await
        })
        .await
    }

    /// Deletes a team for good; its history stays. Its members are members of the organization as before.
    ///
    /// Errors: FORBIDDEN without the permission DELETE on TEAM.
    async fn team_delete(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which team.")] input: TeamDeleteInput,
    ) -> Option<TeamDeletePayload> {
        change(ctx, async move |tx| delete(tx, input).await).await
    }
}

async fn change<P: From<Outcome<Team>>>(
    ctx: &Context<'_>,
    write: impl AsyncFnOnce(&mut Tx) -> Result<Team, Stop>,
) -> Option<P> {
    or_null(ctx, async {
        let scope = scope(ctx)?;
        let outcome = write::one(scope, write).await?;
        forget_all(scope, &outcome.errors);
        Ok(Some(outcome.into()))
    })
    .await
}

async fn delete(tx: &mut Tx, input: TeamDeleteInput) -> Result<Team, Stop> {
    hold(tx).await?;
    let team: Team =
        write::lock(tx, input.id.0, Action::Delete, DeletedRecords::Exclude, input.expected_version).await?;
    team_member::leave(tx, (TeamMember::TEAM_ID, team.id.0)).await?;
    diesel::delete(teams::table.find((tx.scope.actor.organization, team.id.0))).execute(tx.conn()).await?;
    write::tell(tx, Some(&team), &team, "deleted")?;
    Ok(team)
}

/// Takes a member who is removed from the head of the teams that they lead.
pub async fn lead_none(tx: &mut Tx, member: Id<super::Member>) -> Result<(), Stop> {
    for team in team_member::all_of::<Team>(tx, &[(Team::LEADER_ID, member.0)]).await? {
        let mut new = Team { leader_id: None, ..team.clone() };
        new.touch(team.version.saturating_add(1), tx.now);
        diesel::update(teams::table.find((tx.scope.actor.organization, team.id.0)))
            .set((
                teams::leader_id.eq(None::<uuid::Uuid>),
                teams::version.eq(new.version),
                teams::updated_at.eq(new.updated_at.0),
            ))
            .execute(tx.conn())
            .await?;
        write::tell(tx, Some(&team), &new, "updated")?;
    }
    Ok(())
}
