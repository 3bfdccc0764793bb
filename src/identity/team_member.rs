//! Who is in which team. Invariant: only members who can sign in come into a team, and who is removed from the
//! organization is in none.

use super::{
    Member,
    member::{MemberFilter, MemberStatus},
    staff::{forget_all, hold},
    team::{self, Team, TeamFilter},
};
use crate::{
    error::Result,
    kit::{
        entity::{self, Entity},
        filter::DeletedRecords,
        id::Id,
        permission::Action,
        relation::or_null,
        resolve::scope,
        rules::Rules,
        table::Column,
        user_error::{UserError, UserErrorCode as Code},
        value::Bind,
        write::{self, Stop, Tx},
    },
    schema::{memberships, team_members},
};
use async_graphql::{Context, InputObject, Object, SimpleObject};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use std::sync::Arc;
use stoa_macros::entity;
use uuid::Uuid;

/// Members of a team at most.
const MOST: i64 = 1_000;

/// A member in a team, since `createdAt`.
#[entity(resource = Team, plural = team_members, wall = shared, read_only, no_queries)]
pub struct TeamMember {
    pub id: Id<TeamMember>,
    /// The id of the team.
    #[entity(filter, belongs_to = Team)]
    pub team_id: Id<Team>,
    /// The id of the member.
    #[entity(filter, belongs_to = Member)]
    pub member_id: Id<Member>,
}

impl Rules for TeamMember {}

/// A team, and a member to add to it or to remove from it.
#[derive(InputObject)]
pub struct TeamMemberInput {
    /// Which team.
    team_id: Id<Team>,
    /// Which member.
    member_id: Id<Member>,
}

/// What came of adding or removing a member of a team.
#[derive(SimpleObject)]
pub struct TeamMemberPayload {
    /// The member in the team; once removed, as they last were. Null: they were not in it, or nothing was written.
    team_member: Option<Arc<TeamMember>>,
    /// What the user has to mend; empty: all is well.
    user_errors: Vec<UserError>,
    /// The whole graph, to read on from here.
    query: crate::graphql::Query,
}

#[derive(Default)]
pub struct TeamMemberMutation;

#[Object]
impl TeamMemberMutation {
    /// Puts an active member into a team, which has at most 1 000 (LIMIT_EXCEEDED). Who is in it stays in it. That its
    /// leader's TEAM permissions reach what the member owns follows within a second.
    ///
    /// Errors: FORBIDDEN without the permission UPDATE on TEAM.
    async fn team_member_add(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Whom, and into which team.")] input: TeamMemberInput,
    ) -> Option<TeamMemberPayload> {
        change(ctx, async move |tx| add(tx, input).await.map(Some)).await
    }

    /// Takes a member out of a team. Who is not in it stays out of it.
    ///
    /// Errors: FORBIDDEN without the permission UPDATE on TEAM.
    async fn team_member_remove(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Whom, and out of which team.")] input: TeamMemberInput,
    ) -> Option<TeamMemberPayload> {
        change(ctx, async move |tx| remove(tx, input).await).await
    }
}

async fn change(
    ctx: &Context<'_>,
    write: impl AsyncFnOnce(&mut Tx) -> Result<Option<TeamMember>, Stop>,
) -> Option<TeamMemberPayload> {
    or_null(ctx, async {
        let scope = scope(ctx)?;
        let mut tx = scope.begin().await?;
        let result = write(&mut tx).await;
        let (team_member, user_errors) = match tx.finish(result).await? {
            Ok(member) => (member.map(Arc::new), Vec::new()),
            Err(rejection) => (None, rejection.errors.into()),
        };
        forget_all(scope, &user_errors);
        Ok(Some(TeamMemberPayload { team_member, user_errors, query: Default::default() }))
    })
    .await
}

async fn add(tx: &mut Tx, input: TeamMemberInput) -> Result<TeamMember, Stop> {
    let team = lock(tx, input.team_id).await?;
    let (organization, me) = (tx.scope.actor.organization, tx.scope.actor.member);
    if !write::exists(tx, Member::table(), input.member_id.0).await? {
        return Err(Stop::at("memberId", Code::NotFound, "There is no such member."));
    }
    let here = memberships::table.find((organization, input.member_id.0)).select(memberships::status);
    if here.first::<String>(tx.conn()).await? != MemberStatus::Active.word() {
        return Err(Stop::at("memberId", Code::StateInvalid, "They cannot sign in, and so cannot join a team."));
    }
    if let Some(already) = find(tx, &input).await? {
        return Ok(already);
    }
    let members = team_members::organization_id.eq(organization).and(team_members::team_id.eq(team.id.0));
    if team_members::table.filter(members).count().get_result::<i64>(tx.conn()).await? >= MOST {
        return Err(Stop::at("teamId", Code::LimitExceeded, format!("A team has at most {MOST} members.")));
    }
    let new = TeamMember {
        id: Id::fresh(),
        team_id: team.id,
        member_id: input.member_id,
        created_by: Some(me.into()),
        created_at: tx.now,
        updated_at: tx.now,
        version: 1,
    };
    diesel::insert_into(team_members::table)
        .values((
            team_members::organization_id.eq(organization),
            team_members::id.eq(new.id.0),
            team_members::team_id.eq(new.team_id.0),
            team_members::member_id.eq(new.member_id.0),
            team_members::created_by.eq(me),
            team_members::created_at.eq(tx.now.0),
            team_members::updated_at.eq(tx.now.0),
        ))
        .execute(tx.conn())
        .await?;
    write::tell(tx, None, &new, "created")?;
    Ok(new)
}

async fn remove(tx: &mut Tx, input: TeamMemberInput) -> Result<Option<TeamMember>, Stop> {
    lock(tx, input.team_id).await?;
    let Some(gone) = find(tx, &input).await? else { return Ok(None) };
    leave(tx, (TeamMember::ID, gone.id.0)).await?;
    Ok(Some(gone))
}

/// A team that the caller may change, with the organization held.
async fn lock(tx: &mut Tx, id: Id<Team>) -> Result<Team, Stop> {
    hold(tx).await?;
    match write::lock::<Team>(tx, id.0, Action::Update, DeletedRecords::Exclude, None).await {
        Err(Stop::Rejected(_)) => Err(Stop::at("teamId", Code::NotFound, "There is no such team.")),
        locked => locked,
    }
}

async fn find(tx: &mut Tx, input: &TeamMemberInput) -> Result<Option<TeamMember>, Stop> {
    let both = [(TeamMember::TEAM_ID, input.team_id.0), (TeamMember::MEMBER_ID, input.member_id.0)];
    Ok(all_of::<TeamMember>(tx, &both).await?.into_iter().next())
}

/// A member who is removed from the organization leaves their teams, also those that they lead.
pub(super) async fn leave_all(tx: &mut Tx, member: Id<Member>) -> Result<(), Stop> {
    leave(tx, (TeamMember::MEMBER_ID, member.0)).await?;
    team::lead_none(tx, member).await
}

/// Deletes those that are so, and tells of each.
pub(super) async fn leave(tx: &mut Tx, so: (&'static Column, Uuid)) -> Result<(), Stop> {
    let gone = all_of::<TeamMember>(tx, &[so]).await?;
    let ids: Vec<Uuid> = gone.iter().map(|member| member.id.0).collect();
    let rows = team_members::organization_id.eq(tx.scope.actor.organization).and(team_members::id.eq_any(ids));
    diesel::delete(team_members::table.filter(rows)).execute(tx.conn()).await?;
    for member in &gone {
        write::tell(tx, Some(member), member, "removed")?;
    }
    Ok(())
}

/// All rows of the organization whose columns name these, whoever may see them.
pub(super) async fn all_of<E: Entity>(tx: &mut Tx, so: &[(&'static Column, Uuid)]) -> Result<Vec<E>, Stop> {
    let mut sql = entity::select(E::table());
    sql.push(" WHERE t0.organization_id = ").bind(Bind::Uuid(Some(tx.scope.actor.organization)));
    for (column, id) in so {
        sql.push(" AND ").column("t0", column).push(" = ").bind(Bind::Uuid(Some(*id)));
    }
    Ok(sql.load(tx.conn()).await?)
}
