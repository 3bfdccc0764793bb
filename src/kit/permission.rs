//! What may be done: resource × action × reach. Invariant: what a table of permissions does not name is forbidden.

use crate::db_enum;
use async_graphql::Enum;
use std::{fmt, sync::Arc};

/// How far a permission reaches.
#[derive(Enum, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[graphql(name = "PermissionScope")]
pub enum Reach {
    /// What belongs to the member: records it owns, conversations it takes part in.
    Own,
    /// Also what belongs to those who report to the member, directly or not, and to the members of teams that it leads.
    Team,
    /// All of the organization.
    All,
}

impl Reach {
    pub const ALL: [Reach; 3] = [Reach::Own, Reach::Team, Reach::All];

    /// The name in GraphQL.
    pub const fn as_str(self) -> &'static str {
        match self {
            Reach::Own => "OWN",
            Reach::Team => "TEAM",
            Reach::All => "ALL",
        }
    }
}

db_enum! {
    /// What a member is in its organization.
    pub enum Role, filter RoleFilter {
        /// May do everything, deleting the organization included.
        Owner = "owner",
        /// May do everything but delete the organization.
        Admin = "admin",
        /// Leads a team: its leads and customers.
        Manager = "manager",
        /// Works own leads; reads all customers.
        SalesRep = "sales_rep",
        /// Looks after all customers.
        Support = "support",
        /// Takes part in projects and conversations; no customers.
        Member = "member",
        /// Sees only conversations that it was added to.
        Guest = "guest",
    }
}

impl Role {
    pub const ALL: [Role; 7] =
        [Role::Owner, Role::Admin, Role::Manager, Role::SalesRep, Role::Support, Role::Member, Role::Guest];

    /// As stored in `memberships.role`.
    pub fn as_str(self) -> &'static str {
        self.word()
    }

    /// From what is stored; `None` for a role that this version does not know.
    pub fn parse(name: &str) -> Option<Self> {
        Role::ALL.into_iter().find(|role| role.as_str() == name)
    }
}

/// Declares an enum whose values are the places of a table: all of them in order, their names in GraphQL and what they
/// mean.
macro_rules! dimension {
    ($(#[$about:meta])* $name:ident: $graphql:literal { $(#[doc = $doc:literal] $value:ident = $word:literal,)* }) => {
        $(#[$about])*
        #[derive(Enum, Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[graphql(name = $graphql)]
        pub enum $name { $(#[doc = $doc] $value,)* }

        impl $name {
            pub const ALL: &[$name] = &[$($name::$value,)*];

            /// The name in GraphQL.
            pub const fn as_str(self) -> &'static str {
                match self { $($name::$value => $word,)* }
            }

            /// What the schema says of it.
            pub fn description(self) -> &'static str {
                match self { $($name::$value => $doc.trim_ascii(),)* }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

dimension! {
    /// A kind of record that permissions speak of.
    Resource: "PermissionResource" {
        /// Companies.
        Account = "ACCOUNT",
        /// People one deals with.
        Contact = "CONTACT",
        /// People and companies who might buy.
        Lead = "LEAD",
        /// Members of the organization.
        Member = "MEMBER",
        /// The organization itself and its settings.
        Organization = "ORGANIZATION",
        /// Conversations and their messages.
        Conversation = "CONVERSATION",
        /// What the server does beside requests, such as sending mails.
        Job = "JOB",
        /// Invitations into the organization.
        Invitation = "INVITATION",
        /// What programs sign in with, in the name of a member.
        ApiKey = "API_KEY",
        /// What happened in the organization: the audit trail.
        Audit = "AUDIT",
        /// The roles that the organization adds to the built-in ones.
        Role = "ROLE",
        /// Teams, who is in them, and so whose records TEAM permissions of their leaders reach.
        Team = "TEAM",
        /// What people upload.
        File = "FILE",
        /// The emoji that the organization adds to those of Unicode.
        Emoji = "EMOJI",
    }
}

dimension! {
    /// What is done with a record.
    Action: "PermissionAction" {
        /// See it, in lists, by id and through relations.
        Read = "READ",
        /// Make a new one.
        Create = "CREATE",
        /// Change it.
        Update = "UPDATE",
        /// Delete it, and restore it.
        Delete = "DELETE",
        /// Remove a deleted one for good.
        Purge = "PURGE",
        /// Give it to another owner.
        Assign = "ASSIGN",
        /// Turn a lead into a customer.
        Convert = "CONVERT",
        /// Take many out as a file.
        Export = "EXPORT",
        /// Bring many in from a file.
        Import = "IMPORT",
        /// Set it up for everybody.
        Manage = "MANAGE",
    }
}

const RESOURCES: usize = Resource::ALL.len();
const ACTIONS: usize = Action::ALL.len();

/// What a role may do with each kind of record. A small table, copied freely.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Permissions([[Option<Reach>; ACTIONS]; RESOURCES]);

impl Permissions {
    /// As stored with a role: a word a permission, such as `LEAD:READ:TEAM`.
    pub fn words(&self) -> Vec<String> {
        self.iter().map(|(resource, action, reach)| format!("{resource}:{action}:{}", reach.as_str())).collect()
    }

    /// From what is stored. A word that this version does not know allows nothing.
    pub fn of_words<'a>(words: impl IntoIterator<Item = &'a String>) -> Self {
        words.into_iter().filter_map(|word| known(word)).collect()
    }

    /// A byte a cell, for whoever only keeps and compares them.
    pub fn packed(&self) -> Arc<[u8]> {
        self.0.iter().flatten().map(|cell| cell.map_or(u8::MAX, |reach| reach as u8)).collect()
    }

    /// What was packed.
    pub fn unpacked(cells: &[u8]) -> Self {
        let mut table = [[None; ACTIONS]; RESOURCES];
        for (cell, packed) in table.iter_mut().flatten().zip(cells) {
            *cell = Reach::ALL.get(usize::from(*packed)).copied();
        }
        Permissions(table)
    }

    /// How far that reaches; `None`: forbidden.
    pub const fn reach(&self, resource: Resource, action: Action) -> Option<Reach> {
        self.0[resource as usize][action as usize]
    }

    /// Whether anything reaches as far as a team, so that one has to know it.
    pub fn need_team(&self) -> bool {
        self.iter().any(|(_, _, reach)| reach == Reach::Team)
    }

    /// Whether these allow all that the others do, as far at least.
    pub fn cover(&self, others: &Permissions) -> bool {
        others.iter().all(|(resource, action, reach)| self.reach(resource, action) >= Some(reach))
    }

    /// What both allow, as far as both reach.
    pub fn intersect(&self, others: &Permissions) -> Permissions {
        self.iter()
            .filter_map(|(resource, action, reach)| {
                Some((resource, action, reach.min(others.reach(resource, action)?)))
            })
            .collect()
    }

    /// Everything that is allowed.
    pub fn iter(&self) -> impl Iterator<Item = (Resource, Action, Reach)> + '_ {
        let cells =
            Resource::ALL.iter().flat_map(|&resource| Action::ALL.iter().map(move |&action| (resource, action)));
        cells.filter_map(|(resource, action)| Some((resource, action, self.reach(resource, action)?)))
    }

    /// Reads a table as people write it: a row a resource, a column an action, each in the order of its enum;
    /// `own`, `team`, `all` or `-`. A mistake does not compile.
    pub const fn table(rows: [&str; RESOURCES]) -> Self {
        let mut table = [[None; ACTIONS]; RESOURCES];
        let mut row = 0;
        while row < RESOURCES {
            let text = rows[row].as_bytes();
            let (mut at, mut column) = (0, 0);
            while at < text.len() {
                let start = at;
                while at < text.len() && text[at] != b' ' {
                    at += 1;
                }
                if at > start {
                    assert!(column < ACTIONS, "a row has too many columns");
                    table[row][column] = match (text[start], at - start) {
                        (b'-', 1) => None,
                        (b'o', 3) => Some(Reach::Own),
                        (b't', 4) => Some(Reach::Team),
                        (b'a', 3) => Some(Reach::All),
                        _ => panic!("a cell is `own`, `team`, `all` or `-`"),
                    };
                    column += 1;
                }
                at += 1;
            }
            assert!(column == ACTIONS, "a row has too few columns");
            row += 1;
        }
        Permissions(table)
    }
}

/// Nothing but these; of one that comes twice, what reaches farther.
impl FromIterator<(Resource, Action, Reach)> for Permissions {
    fn from_iter<T: IntoIterator<Item = (Resource, Action, Reach)>>(allowed: T) -> Self {
        let mut table = [[None; ACTIONS]; RESOURCES];
        for (resource, action, reach) in allowed {
            let cell = &mut table[resource as usize][action as usize];
            *cell = (*cell).max(Some(reach));
        }
        Permissions(table)
    }
}

/// What a stored word means, if this version knows it.
fn known(word: &str) -> Option<(Resource, Action, Reach)> {
    let mut parts = word.split(':');
    let (resource, action, reach) = (parts.next()?, parts.next()?, parts.next()?);
    Some((
        Resource::ALL.iter().copied().find(|known| known.as_str() == resource)?,
        Action::ALL.iter().copied().find(|known| known.as_str() == action)?,
        Reach::ALL.into_iter().find(|known| known.as_str() == reach)?,
    ))
}

/// As a table, in the order that `table` reads.
impl fmt::Debug for Permissions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:14}", "")?;
        for action in Action::ALL {
            write!(f, "{:8}", action.as_str())?;
        }
        for &resource in Resource::ALL {
            write!(f, "\n{:14}", resource.as_str())?;
            for &action in Action::ALL {
                let reach = match self.reach(resource, action) {
                    None => "-",
                    Some(Reach::Own) => "own",
                    Some(Reach::Team) => "team",
                    Some(Reach::All) => "all",
                };
                write!(f, "{reach:8}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use async_graphql::resolver_utils::EnumType;

    #[test]
    fn the_names_are_those_of_the_schema_and_their_order_that_of_the_table() {
        for (place, (resource, item)) in Resource::ALL.iter().zip(Resource::items()).enumerate() {
            assert_eq!((resource.as_str(), *resource as usize), (item.name, place));
        }
        for (place, (action, item)) in Action::ALL.iter().zip(Action::items()).enumerate() {
            assert_eq!((action.as_str(), *action as usize), (item.name, place));
        }
        for (role, item) in Role::ALL.iter().zip(Role::items()) {
            assert_eq!(role.as_str().to_uppercase(), item.name);
            assert_eq!(Role::parse(role.as_str()), Some(*role));
        }
        assert_eq!(Role::parse("root"), None);
    }

    #[test]
    fn a_table_reads_back() {
        const SOME: Permissions = Permissions::table([
            "all  -   -    - - - - - - -",
            "own  all team - - - - - - -",
            "-    -   -    - - - - - - all",
            "-    -   -    - - - - - - -",
            "-    -   -    - - - - - - -",
            "-    -   -    - - - - - - -",
            "-    -   -    - - - - - - -",
            "-    -   -    - - - - - - -",
            "-    -   -    - - - - - - -",
            "-    -   -    - - - - - - -",
            "-    -   -    - - - - - - -",
            "-    -   -    - - - - - - -",
            "-    -   -    - - - - - - -",
            "-    -   -    - - - - - - -",
        ]);
        let allowed: Vec<_> = SOME.iter().collect();
        assert_eq!(
            allowed,
            [
                (Resource::Account, Action::Read, Reach::All),
                (Resource::Contact, Action::Read, Reach::Own),
                (Resource::Contact, Action::Create, Reach::All),
                (Resource::Contact, Action::Update, Reach::Team),
                (Resource::Lead, Action::Manage, Reach::All),
            ]
        );
        assert!(SOME.need_team());
        assert_eq!(SOME.reach(Resource::Lead, Action::Read), None);
        assert_eq!(Permissions::unpacked(&SOME.packed()), SOME);
        assert_eq!(Permissions::of_words(&SOME.words()), SOME);
        assert_eq!(SOME.words()[0], "ACCOUNT:READ:ALL");
    }

    #[test]
    fn what_two_allow_is_what_each_of_them_does() {
        use {
            Action::*,
            Reach::*,
            Resource::{Contact, Job, Lead},
        };
        let one: Permissions = [(Lead, Read, All), (Lead, Update, Own), (Contact, Read, Team)].into_iter().collect();
        let other: Permissions = [(Lead, Read, Own), (Lead, Update, Team), (Job, Read, All)].into_iter().collect();
        let both = one.intersect(&other);
        assert_eq!(both.iter().collect::<Vec<_>>(), [(Lead, Read, Own), (Lead, Update, Own)]);
        assert!(both == other.intersect(&one) && one.cover(&both) && other.cover(&both) && !both.cover(&one));
    }

    #[test]
    fn what_is_stored_by_another_version_allows_nothing() {
        let words = ["LEAD:READ:EVERYTHING", "LEAD:FLY:ALL", "MOON:READ:ALL", "LEAD:READ", "lead:read:all", "", ":::"];
        assert_eq!(Permissions::of_words(&words.map(str::to_owned)), Permissions::from_iter([]));
        assert_eq!(Permissions::unpacked(&[7, 3, 200]), Permissions::from_iter([]));
    }
}
