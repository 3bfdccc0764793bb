//! Where members must show first that their address is theirs: until then every mutation says so, save for those of
//! one's own account, and nothing is written.

use super::{
    fill::{Extent, Filler, Selected},
    loosened,
    world::World,
};
use crate::kit::{
    Server,
    introspection::{Types, list, name},
};

/// Mutations of one's own account: what is needed to get in, to get verified and to stay safe.
const OWN_ACCOUNT: &[&str] = &[
    "emailChange",
    "emailVerificationResend",
    "emailVerify",
    "login",
    "invitationAccept",
    "loginComplete",
    "logout",
    "logoutEverywhere",
    "oidcBegin",
    "oidcComplete",
    "oidcLink",
    "oidcUnlink",
    "organizationRestore",
    "organizationSwitch",
    "passwordChange",
    "passwordForgot",
    "passwordReset",
    "profileUpdate",
    "reauthenticate",
    "register",
    "sessionRefresh",
    "sessionRevoke",
    "twoFactorBegin",
    "twoFactorConfirm",
    "twoFactorDisable",
    "twoFactorRecoveryCodesRenew",
];

#[tokio::test]
async fn who_is_not_verified_writes_nothing_but_the_own_account() {
    let server = Server::with(loosened).await;
    let types = Types::read().await;
    let filler = Filler::new(&types);
    let world = World::found(&server, &filler).await;
    let organization = world.founder.organization;
    server.sql(&format!("UPDATE organizations SET require_verified_email = true WHERE id = '{organization}'")).await;
    server.forget();
    let before = world.rows(&server).await;
    let (mut faults, mut walked) = (Vec::new(), 0);
    for field in types.fields("Mutation").iter().filter(|field| !OWN_ACCOUNT.contains(&name(field))) {
        let input = filler.arguments(field, Extent::Needed, &[], &world).expect("values");
        let (document, variables) =
            Selected::document("mutation", &[filler.select("Mutation", field, "asked", input, 1)]);
        let answer = world.ask(&server, &document, variables).await;
        let errors = list(&answer["errors"]);
        if errors.len() != 1 || errors[0]["extensions"]["code"] != "EMAIL_NOT_VERIFIED" {
            faults.push(format!("{}: {}", name(field), answer));
        }
        walked += 1;
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(walked > 20);
    for &known in OWN_ACCOUNT {
        assert!(types.fields("Mutation").iter().any(|field| name(field) == known), "{known} is listed and not there");
    }
    assert_eq!(world.rows(&server).await, before, "something was written");
    server.stop().await;
}
