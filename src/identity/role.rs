//! The built-in roles: what each may do. Invariant: a role that is not known may do nothing.
//!
//! How to read a cell: `own` is what the member owns (of conversations: takes part in; of members: itself and whom it
//! talks with), `team` also what is owned by those who report to it and by members of the teams that it leads, `all`
//! everything in the organization, `-` nothing. CREATE within `own` or `team` is for an owner within that reach.
//! Conversations are `own` for everybody, the owner included: only who takes part may read. So are files: only who uploaded
//! one may, and who reads what it belongs to. Who may delete `all` files sees what they are called while they belong to nothing.

use crate::kit::permission::{Action, Permissions, Reach, Resource, Role};

/// What the role may do.
pub const fn permissions(role: Role) -> Permissions {
    match role {
        Role::Owner => OWNER,
        Role::Admin => ADMIN,
        Role::Manager => MANAGER,
        Role::SalesRep => SALES_REP,
        Role::Support => SUPPORT,
        Role::Member => MEMBER,
        Role::Guest => GUEST,
    }
}

/// What people call the role, and what it is for.
pub const fn described(role: Role) -> (&'static str, &'static str) {
    match role {
        Role::Owner => ("Owner", "May do everything, deleting the organization included."),
        Role::Admin => ("Admin", "May do everything but delete the organization."),
        Role::Manager => ("Manager", "Leads a team: its leads and customers."),
        Role::SalesRep => ("Sales rep", "Works own leads; reads all customers."),
        Role::Support => ("Support", "Looks after all customers."),
        Role::Member => ("Member", "Takes part in projects and conversations; no customers."),
        Role::Guest => ("Guest", "Sees only conversations that it was added to."),
    }
}

/// How far a role can be allowed to do that: what makes no difference is not offered. Empty: it means nothing. What
/// even the owner may only do with their own is for everybody so.
pub fn scopes(resource: Resource, action: Action) -> &'static [Reach] {
    use {Action::*, Resource::*};
    match (resource, action, OWNER.reach(resource, action)) {
        (_, _, None) => &[],
        (_, _, Some(Reach::Own)) => &[Reach::Own],
        (Account | Contact | Lead, Import | Manage, _) => &[Reach::All],
        (Account | Contact | Lead, _, _) => &[Reach::Own, Reach::Team, Reach::All],
        (Member, Read, _) | (ApiKey, _, _) | (File | Emoji, Delete, _) => &[Reach::Own, Reach::All],
        _ => &[Reach::All],
    }
}

#[rustfmt::skip]
const OWNER: Permissions = Permissions::table([
    //           READ CREATE UPDATE DELETE PURGE ASSIGN CONVERT EXPORT IMPORT MANAGE
    /* ACCOUNT */"all  all    all    all    all   all    -       all    all    all",
    /* CONTACT */"all  all    all    all    all   all    -       all    all    all",
    /* LEAD    */"all  all    all    all    all   all    all     all    all    all",
    /* MEMBER  */"all  all    all    all    -     -      -       all    all    all",
    /* ORG.    */"all  -      all    all    -     -      -       all    -      all",
    /* CONVERS.*/"own  all    own    own    -     -      -       -      -      all",
    /* JOB     */"all  -      all    -      -     -      -       -      -      -",
    /* INVITAT.*/"all  all    all    all    -     -      -       -      -      -",
    /* API KEY */"all  own    own    all    -     -      -       -      -      -",
    /* AUDIT   */"all  -      -      -      -     -      -       all    -      -",
    /* ROLE    */"all  all    all    all    -     -      -       -      -      -",
    /* TEAM    */"all  all    all    all    -     -      -       -      -      -",
    /* FILE    */"own  own    -      all    -     -      -       -      -      -",
    /* EMOJI   */"all  all    -      all    all   -     -       -      -      -",
]);

#[rustfmt::skip]
const ADMIN: Permissions = Permissions::table([
    //           READ CREATE UPDATE DELETE PURGE ASSIGN CONVERT EXPORT IMPORT MANAGE
    /* ACCOUNT */"all  all    all    all    all   all    -       all    all    all",
    /* CONTACT */"all  all    all    all    all   all    -       all    all    all",
    /* LEAD    */"all  all    all    all    all   all    all     all    all    all",
    /* MEMBER  */"all  all    all    all    -     -      -       all    all    all",
    /* ORG.    */"all  -      all    -      -     -      -       all    -      all",
    /* CONVERS.*/"own  all    own    own    -     -      -       -      -      all",
    /* JOB     */"all  -      all    -      -     -      -       -      -      -",
    /* INVITAT.*/"all  all    all    all    -     -      -       -      -      -",
    /* API KEY */"all  own    own    all    -     -      -       -      -      -",
    /* AUDIT   */"all  -      -      -      -     -      -       all    -      -",
    /* ROLE    */"all  all    all    all    -     -      -       -      -      -",
    /* TEAM    */"all  all    all    all    -     -      -       -      -      -",
    /* FILE    */"own  own    -      all    -     -      -       -      -      -",
    /* EMOJI   */"all  all    -      all    all   -     -       -      -      -",
]);

#[rustfmt::skip]
const MANAGER: Permissions = Permissions::table([
    //           READ CREATE UPDATE DELETE PURGE ASSIGN CONVERT EXPORT IMPORT MANAGE
    /* ACCOUNT */"all  team   team   team   -     team   -       team   -      -",
    /* CONTACT */"all  team   team   team   -     team   -       team   -      -",
    /* LEAD    */"team team   team   team   -     team   team    team   -      -",
    /* MEMBER  */"all  -      -      -      -     -      -       -      -      -",
    /* ORG.    */"all  -      -      -      -     -      -       -      -      -",
    /* CONVERS.*/"own  all    own    own    -     -      -       -      -      -",
    /* JOB     */"-    -      -      -      -     -      -       -      -      -",
    /* INVITAT.*/"-    -      -      -      -     -      -       -      -      -",
    /* API KEY */"own  own    own    own    -     -      -       -      -      -",
    /* AUDIT   */"-    -      -      -      -     -      -       -      -      -",
    /* ROLE    */"all  -      -      -      -     -      -       -      -      -",
    /* TEAM    */"all  -      -      -      -     -      -       -      -      -",
    /* FILE    */"own  own    -      own    -     -      -       -      -      -",
    /* EMOJI   */"all  all    -      own    -     -     -       -      -      -",
]);

#[rustfmt::skip]
const SALES_REP: Permissions = Permissions::table([
    //           READ CREATE UPDATE DELETE PURGE ASSIGN CONVERT EXPORT IMPORT MANAGE
    /* ACCOUNT */"all  own    own    -      -     -      -       -      -      -",
    /* CONTACT */"all  own    own    -      -     -      -       -      -      -",
    /* LEAD    */"own  own    own    own    -     -      own     -      -      -",
    /* MEMBER  */"all  -      -      -      -     -      -       -      -      -",
    /* ORG.    */"all  -      -      -      -     -      -       -      -      -",
    /* CONVERS.*/"own  all    own    own    -     -      -       -      -      -",
    /* JOB     */"-    -      -      -      -     -      -       -      -      -",
    /* INVITAT.*/"-    -      -      -      -     -      -       -      -      -",
    /* API KEY */"own  own    own    own    -     -      -       -      -      -",
    /* AUDIT   */"-    -      -      -      -     -      -       -      -      -",
    /* ROLE    */"all  -      -      -      -     -      -       -      -      -",
    /* TEAM    */"all  -      -      -      -     -      -       -      -      -",
    /* FILE    */"own  own    -      own    -     -      -       -      -      -",
    /* EMOJI   */"all  all    -      own    -     -     -       -      -      -",
]);

#[rustfmt::skip]
const SUPPORT: Permissions = Permissions::table([
    //           READ CREATE UPDATE DELETE PURGE ASSIGN CONVERT EXPORT IMPORT MANAGE
    /* ACCOUNT */"all  -      all    -      -     -      -       -      -      -",
    /* CONTACT */"all  all    all    -      -     -      -       -      -      -",
    /* LEAD    */"-    -      -      -      -     -      -       -      -      -",
    /* MEMBER  */"all  -      -      -      -     -      -       -      -      -",
    /* ORG.    */"all  -      -      -      -     -      -       -      -      -",
    /* CONVERS.*/"own  all    own    own    -     -      -       -      -      -",
    /* JOB     */"-    -      -      -      -     -      -       -      -      -",
    /* INVITAT.*/"-    -      -      -      -     -      -       -      -      -",
    /* API KEY */"own  own    own    own    -     -      -       -      -      -",
    /* AUDIT   */"-    -      -      -      -     -      -       -      -      -",
    /* ROLE    */"all  -      -      -      -     -      -       -      -      -",
    /* TEAM    */"all  -      -      -      -     -      -       -      -      -",
    /* FILE    */"own  own    -      own    -     -      -       -      -      -",
    /* EMOJI   */"all  all    -      own    -     -     -       -      -      -",
]);

#[rustfmt::skip]
const MEMBER: Permissions = Permissions::table([
    //           READ CREATE UPDATE DELETE PURGE ASSIGN CONVERT EXPORT IMPORT MANAGE
    /* ACCOUNT */"-    -      -      -      -     -      -       -      -      -",
    /* CONTACT */"-    -      -      -      -     -      -       -      -      -",
    /* LEAD    */"-    -      -      -      -     -      -       -      -      -",
    /* MEMBER  */"all  -      -      -      -     -      -       -      -      -",
    /* ORG.    */"all  -      -      -      -     -      -       -      -      -",
    /* CONVERS.*/"own  all    own    own    -     -      -       -      -      -",
    /* JOB     */"-    -      -      -      -     -      -       -      -      -",
    /* INVITAT.*/"-    -      -      -      -     -      -       -      -      -",
    /* API KEY */"own  own    own    own    -     -      -       -      -      -",
    /* AUDIT   */"-    -      -      -      -     -      -       -      -      -",
    /* ROLE    */"all  -      -      -      -     -      -       -      -      -",
    /* TEAM    */"all  -      -      -      -     -      -       -      -      -",
    /* FILE    */"own  own    -      own    -     -      -       -      -      -",
    /* EMOJI   */"all  all    -      own    -     -     -       -      -      -",
]);

#[rustfmt::skip]
const GUEST: Permissions = Permissions::table([
    //           READ CREATE UPDATE DELETE PURGE ASSIGN CONVERT EXPORT IMPORT MANAGE
    /* ACCOUNT */"-    -      -      -      -     -      -       -      -      -",
    /* CONTACT */"-    -      -      -      -     -      -       -      -      -",
    /* LEAD    */"-    -      -      -      -     -      -       -      -      -",
    /* MEMBER  */"own  -      -      -      -     -      -       -      -      -",
    /* ORG.    */"all  -      -      -      -     -      -       -      -      -",
    /* CONVERS.*/"own  -      -      -      -     -      -       -      -      -",
    /* JOB     */"-    -      -      -      -     -      -       -      -      -",
    /* INVITAT.*/"-    -      -      -      -     -      -       -      -      -",
    /* API KEY */"own  -      -      own    -     -      -       -      -      -",
    /* AUDIT   */"-    -      -      -      -     -      -       -      -      -",
    /* ROLE    */"-    -      -      -      -     -      -       -      -      -",
    /* TEAM    */"-    -      -      -      -     -      -       -      -      -",
    /* FILE    */"own  own    -      own    -     -      -       -      -      -",
    /* EMOJI   */"-    -      -      -      -     -     -       -      -      -",
]);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_roles_are_as_reviewed() {
        let all: Vec<String> =
            Role::ALL.iter().map(|&role| format!("{}\n{:?}", role.as_str(), permissions(role))).collect();
        let lines: Vec<&str> = all.iter().flat_map(|role| role.lines()).map(str::trim_end).collect();
        insta::assert_snapshot!("roles", lines.join("\n"));
    }

    /// What is built in can also be given piece by piece.
    #[test]
    fn the_catalogue_has_all_that_the_roles_may() {
        for role in Role::ALL {
            for (resource, action, reach) in permissions(role).iter() {
                assert!(scopes(resource, action).contains(&reach), "{role:?} {resource} {action} {reach:?}");
            }
        }
    }

    /// What the product's page says in words, so that the table is not its own and only judge.
    #[test]
    fn the_roles_keep_their_promises() {
        use Action::*;
        let may = |role, resource, action| permissions(role).reach(resource, action);
        assert_eq!(may(Role::Owner, Resource::Organization, Delete), Some(Reach::All));
        for role in Role::ALL.into_iter().filter(|role| *role != Role::Owner) {
            assert_eq!(may(role, Resource::Organization, Delete), None, "only the owner deletes the organization");
        }
        for &resource in Resource::ALL {
            for &action in Action::ALL {
                let (owner, admin) = (may(Role::Owner, resource, action), may(Role::Admin, resource, action));
                assert!(owner == admin || (resource, action) == (Resource::Organization, Delete));
                for role in Role::ALL {
                    assert!(may(role, resource, action) <= owner, "nobody may more than the owner");
                    assert!(
                        action == Read || may(role, resource, action).is_none() || may(role, resource, Read).is_some()
                    );
                }
            }
        }
        for resource in [Resource::Account, Resource::Contact, Resource::Lead] {
            for role in [Role::Member, Role::Guest] {
                assert!(Action::ALL.iter().all(|&action| may(role, resource, action).is_none()));
            }
        }
        for role in Role::ALL {
            assert_eq!(may(role, Resource::Conversation, Read), Some(Reach::Own), "only who takes part reads");
            let admin = matches!(role, Role::Owner | Role::Admin);
            assert_eq!(may(role, Resource::Member, Update).is_some(), admin, "nobody raises their own role");
        }
        assert_eq!(may(Role::SalesRep, Resource::Lead, Read), Some(Reach::Own));
        assert_eq!(may(Role::SalesRep, Resource::Contact, Read), Some(Reach::All));
        assert_eq!(may(Role::Manager, Resource::Lead, Update), Some(Reach::Team));
    }
}
