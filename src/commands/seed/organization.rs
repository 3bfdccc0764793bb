//! The demo organizations and who works there.

use super::{
    companies::{self, Company},
    dice::Dice,
    staff::Group,
};
use crate::{
    identity::member::{Member, MemberStatus},
    kit::{
        id::Id,
        permission::Role,
        scalars::{DateTime, EmailAddress},
    },
};
use chrono::Duration;
use uuid::Uuid;

/// A demo organization.
pub struct Organization {
    pub name: &'static str,
    /// Also the first part of its domain.
    pub slug: &'static str,
    pub time_zone: &'static str,
    pub currency: &'static str,
    pub people: &'static [Person],
    pub teams: &'static [Group],
    /// The mailboxes of those who have its own role.
    pub analysts: &'static [&'static str],
    pub companies: &'static [Company],
    /// How many of each it has.
    pub contacts: usize,
    pub leads: usize,
    /// What its chance follows from.
    pub seed: u64,
}

/// Somebody who works there.
pub struct Person {
    pub name: &'static str,
    /// The part of the address before the `@`.
    pub mailbox: &'static str,
    pub role: Role,
    pub title: &'static str,
    /// To whom they report: a mailbox further up.
    pub manager: Option<&'static str>,
}

const fn person(
    name: &'static str,
    mailbox: &'static str,
    role: Role,
    title: &'static str,
    manager: Option<&'static str>,
) -> Person {
    Person { name, mailbox, role, title, manager }
}

pub const ALL: [Organization; 2] = [
    Organization {
        name: "Acme",
        slug: "acme",
        time_zone: "America/New_York",
        currency: "USD",
        people: &[
            person("Alice Morgan", "admin", Role::Owner, "Chief executive", None),
            person("Carlos Mendes", "carlos", Role::Admin, "Head of operations", Some("admin")),
            person("Diana Fischer", "diana", Role::Manager, "Head of sales, Europe", Some("admin")),
            person("Ethan Brooks", "ethan", Role::Manager, "Head of sales, Americas", Some("admin")),
            person("Ursula Berg", "user", Role::SalesRep, "Account executive", Some("diana")),
            person("Farid Haddad", "farid", Role::SalesRep, "Account executive", Some("diana")),
            person("Grace Kim", "grace", Role::SalesRep, "Account executive", Some("ethan")),
            person("Hiro Tanaka", "hiro", Role::SalesRep, "Sales development", Some("grace")),
            person("Isabel Costa", "isabel", Role::Support, "Customer support", Some("carlos")),
            // As guests of the built-in roles: what they may, the role of Acme's own says.
            person("Jonas Weber", "jonas", Role::Guest, "Finance", Some("carlos")),
        ],
        teams: &[
            Group {
                name: "Europe",
                description: "Sells in Europe.",
                leader: "diana",
                members: &["diana", "user", "farid"],
            },
            Group {
                name: "Americas",
                description: "Sells in the Americas.",
                leader: "ethan",
                members: &["ethan", "grace", "hiro"],
            },
            Group {
                name: "Key accounts",
                description: "Looks after the largest customers, wherever they are.",
                leader: "ethan",
                members: &["user", "grace", "isabel"],
            },
        ],
        analysts: &["jonas"],
        companies: &companies::OF_ACME,
        contacts: 120,
        leads: 150,
        seed: 1,
    },
    Organization {
        name: "TechStartup",
        slug: "techstartup",
        time_zone: "Europe/Berlin",
        currency: "EUR",
        people: &[
            person("Nora Lindqvist", "admin", Role::Owner, "Founder", None),
            person("Milan Novák", "milan", Role::Manager, "Head of sales", Some("admin")),
            person("Olga Petrova", "olga", Role::SalesRep, "Account executive", Some("milan")),
            person("Pablo Ruiz", "pablo", Role::SalesRep, "Account executive", Some("milan")),
            person("Quinn Taylor", "quinn", Role::Support, "Customer support", Some("admin")),
        ],
        teams: &[
            Group {
                name: "Sales",
                description: "Finds customers.",
                leader: "milan",
                members: &["milan", "olga", "pablo"],
            },
            Group {
                name: "Customers",
                description: "Keeps customers happy.",
                leader: "admin",
                members: &["quinn", "olga"],
            },
        ],
        analysts: &[],
        companies: &companies::OF_TECHSTARTUP,
        contacts: 36,
        leads: 45,
        seed: 2,
    },
];

impl Organization {
    /// When it was founded here: before everything else that it has.
    pub fn founded(now: DateTime) -> DateTime {
        DateTime(now.0 - Duration::days(370))
    }

    /// Its members: the founder first, everybody after their manager, some hours apart.
    pub fn members(&self, dice: &mut Dice, now: DateTime) -> Vec<Member> {
        let mut members: Vec<Member> = Vec::with_capacity(self.people.len());
        let mut joined = Self::founded(now);
        for person in self.people {
            let id: Id<Member> = dice.id(joined);
            let manager = person.manager.map(|mailbox| self.address(mailbox));
            members.push(Member {
                id,
                user_id: dice.id(joined),
                name: person.name.to_owned(),
                email: EmailAddress(self.address(person.mailbox)),
                role: person.role,
                custom_role_id: None,
                manager_id: members.iter().find(|other| Some(&other.email.0) == manager.as_ref()).map(|other| other.id),
                title: Some(person.title.to_owned()),
                status: MemberStatus::Active,
                joined_at: Some(joined),
                avatar: None,
                created_by: Some(members.first().map_or(id, |founder| founder.id)),
                created_at: joined,
                updated_at: joined,
                version: 1,
            });
            joined = DateTime(joined.0 + Duration::hours(7));
        }
        members
    }

    pub fn address(&self, mailbox: &str) -> String {
        format!("{mailbox}@{}.com", self.slug)
    }

    pub fn id(dice: &mut Dice, now: DateTime) -> Uuid {
        dice.uuid(Self::founded(now))
    }
}
