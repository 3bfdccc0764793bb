//! The teams of the demo organizations, and a role that each has added to the built-in ones.

use super::{dice::Dice, organization::Organization};
use crate::{
    identity::{custom_role::CustomRole, grants::Grants, member::Member, team::Team, team_member::TeamMember},
    kit::{
        permission::{Action, Permissions, Reach, Resource},
        scalars::DateTime,
    },
};
use chrono::Duration;

/// Some who work together.
pub struct Group {
    pub name: &'static str,
    pub description: &'static str,
    /// The mailbox of whoever leads it.
    pub leader: &'static str,
    /// The mailboxes of its members.
    pub members: &'static [&'static str],
}

/// The teams of an organization, its own role and who is in what.
pub struct Staff {
    pub role: CustomRole,
    pub teams: Vec<Team>,
    pub team_members: Vec<TeamMember>,
}

impl Staff {
    /// Chance of its own, so that all else stays as it is; the analysts among the members get their role.
    pub fn new(organization: &Organization, members: &mut [Member], now: DateTime) -> Self {
        let dice = &mut Dice::new(organization.seed.wrapping_add(1_000));
        let made = DateTime(Organization::founded(now).0 + Duration::days(40));
        let founder = members.first().map(|founder| founder.id);
        let role = CustomRole {
            id: dice.id(made),
            name: "Analyst".to_owned(),
            description: Some("Reads all customers and leads and takes them out as files; changes nothing.".to_owned()),
            permissions: Grants(analyst()),
            deleted_at: None,
            // It is stored before its members, and so before whoever could have made it.
            created_by: None,
            created_at: made,
            updated_at: made,
            version: 1,
        };
        let address = |mailbox: &str| organization.address(mailbox);
        for member in members.iter_mut() {
            if organization.analysts.iter().any(|mailbox| address(mailbox) == member.email.0) {
                member.custom_role_id = Some(role.id);
            }
        }
        let named = |mailbox: &str| members.iter().find(|member| member.email.0 == address(mailbox));
        let (mut teams, mut team_members) = (Vec::new(), Vec::new());
        for group in organization.teams {
            let team = Team {
                id: dice.id(made),
                name: group.name.to_owned(),
                description: Some(group.description.to_owned()),
                leader_id: named(group.leader).map(|member| member.id),
                created_by: founder,
                created_at: made,
                updated_at: made,
                version: 1,
            };
            for member in group.members.iter().filter_map(|mailbox| named(mailbox)) {
                team_members.push(TeamMember {
                    id: dice.id(made),
                    team_id: team.id,
                    member_id: member.id,
                    created_by: founder,
                    created_at: made,
                    updated_at: made,
                    version: 1,
                });
            }
            teams.push(team);
        }
        Staff { role, teams, team_members }
    }
}

fn analyst() -> Permissions {
    use {Action::*, Resource::*};
    let all = [Account, Contact, Lead].into_iter().flat_map(|customers| [(customers, Read), (customers, Export)]);
    let more = [(Member, Read), (Organization, Read), (Role, Read), (Team, Read)];
    let talk = [(Create, Reach::All), (Read, Reach::Own), (Update, Reach::Own), (Delete, Reach::Own)];
    let talk = talk.into_iter().map(|(action, reach)| (Conversation, action, reach));
    all.chain(more).map(|(resource, action)| (resource, action, Reach::All)).chain(talk).collect()
}
