//! Members: users in an organization, whom records belong to. Every member may see who the others are.

use crate::{
    db_enum,
    kit::{
        id::Id,
        permission::Role,
        rules::Rules,
        scalars::{DateTime, EmailAddress},
    },
};
use stoa_macros::entity;

db_enum! {
    /// Whether a member can sign in.
    pub enum MemberStatus, filter MemberStatusFilter {
        /// Was invited and has not come yet.
        Invited = "invited",
        /// Can sign in.
        Active = "active",
        /// Cannot sign in for now.
        Suspended = "suspended",
    }
}

/// A user in an organization.
#[entity(resource = Member, plural = memberships, wall = shared, read_only)]
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
    /// What the member may do.
    #[entity(filter, order, group)]
    pub role: Role,
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
}

impl Rules for Member {}
