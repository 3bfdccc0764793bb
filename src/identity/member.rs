//! Members: users in an organization, whom records belong to. Who may not see all of them sees those whom it talks
//! with, since a message without a sender says little.

use super::{avatar, custom_role::CustomRole, team_member::*};
use crate::{
    db_enum,
    kit::{
        id::Id,
        permission::Role,
        relation::Computed,
        rules::Rules,
        scalars::{DateTime, EmailAddress},
        scope::Actor,
        sql::Sql,
        value::Bind,
        write::Tx,
    },
};
use async_graphql::{ComplexObject, Context};
use diesel_async::RunQueryDsl;
use stoa_macros::entity;
use uuid::Uuid;

db_enum! {
    /// Whether a member can sign in.
    pub enum MemberStatus, filter MemberStatusFilter {
        /// Was invited and has not come yet.
        Invited = "invited",
        /// Can sign in.
        Active = "active",
        /// Cannot sign in for now.
        Suspended = "suspended",
        /// Is no member any more. What they own and wrote stays theirs until somebody gives it to others.
        Removed = "removed",
    }
}

/// A user in an organization.
#[entity(resource = Member, plural = memberships, visible_by = known_to, read_only, computed,
    with(super::presence::Shows), has_many(teams: TeamMember.member_id))]
pub struct Member {
    pub id: Id<Member>,
    /// The id of the user; the same in every organization.
    #[entity(filter)]
    pub user_id: Id<super::User>,
    /// The name shown in this organization.
    #[entity(filter, order, search)]
    pub name: String,
    /// The e-mail address shown in this organization.
    #[entity(filter, order, search)]
    pub email: EmailAddress,
    /// What the member may do. With `customRoleId` it is GUEST, and the organization's own role counts instead.
    #[entity(filter, order, group)]
    pub role: Role,
    /// The id of the organization's own role that says what the member may do; null: `role` does.
    #[entity(filter, belongs_to = crate::identity::custom_role::CustomRole as custom_role)]
    pub custom_role_id: Option<Id<CustomRole>>,
    /// The id of the member they report to; TEAM permissions reach down this line.
    #[entity(filter, group, belongs_to = Member as manager)]
    pub manager_id: Option<Id<Member>>,
    /// What they are at work.
    #[entity(filter)]
    pub title: Option<String>,
    /// Whether the member can sign in.
    #[entity(filter, order, group)]
    pub status: MemberStatus,
    /// When the member joined; null: not yet.
    #[entity(filter, order)]
    pub joined_at: Option<DateTime>,
    /// The id of the object with the picture of the person.
    #[graphql(skip)]
    pub avatar: Option<String>,
}

#[ComplexObject]
impl Computed<'_, Member> {
    /// Where to fetch the person's picture, by GET and without headers: a square of 256 pixels, JPEG, or PNG where one can
    /// see through it. Resolve it against the address of the API (`new URL(url, endpoint)`). It stays the same for an hour,
    /// so that browsers keep what they fetched, and is good for one to two. Null: there is none.
    async fn avatar_url(&self, ctx: &Context<'_>) -> Option<String> {
        avatar::url(ctx, self.user_id.0, self.avatar.as_deref())
    }
}

impl Rules for Member {}

impl Member {
    /// Whether they take part where they were added, and change nothing. Who has one of the organization's own roles is called a
    /// guest as well, and is none.
    pub fn is_guest(&self) -> bool {
        self.role == Role::Guest && self.custom_role_id.is_none()
    }
}

/// The wall: all members, or oneself and those in one's conversations.
fn known_to(actor: &Actor, sql: &mut Sql, alias: &'static str) {
    sql.push(" AND (").push(alias).push(".id = ").bind(Bind::Uuid(Some(actor.member)));
    sql.push(" OR EXISTS (SELECT 1 FROM participants mine JOIN participants theirs ");
    sql.push("ON theirs.organization_id = mine.organization_id AND theirs.conversation_id = mine.conversation_id ");
    sql.push("WHERE mine.organization_id = ").push(alias).push(".organization_id AND mine.left_at IS NULL ");
    sql.push("AND theirs.member_id = ").push(alias).push(".id AND mine.member_id = ");
    sql.bind(Bind::Uuid(Some(actor.member))).push("))");
}

/// Holds two members against whatever else is done about both. In sorted order, so that nobody waits in a circle, and before
/// anything of a conversation.
pub async fn hold_members(tx: &mut Tx, members: [Uuid; 2]) -> crate::Result<()> {
    let mut sql = Sql::new("SELECT id FROM memberships WHERE organization_id = ");
    sql.bind(Bind::Uuid(Some(tx.scope.actor.organization))).push(" AND id = ANY(");
    sql.bind(Bind::Uuids(members.to_vec())).push(") ORDER BY id FOR NO KEY UPDATE");
    sql.execute(tx.conn()).await?;
    Ok(())
}
