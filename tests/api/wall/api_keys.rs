//! Programs: no permission of an API key lets it do what is for a person alone; one that may only read changes nothing, and
//! one that may not read sees nothing, by whatever field.

use super::{
    feed::Feed,
    fill::{Extent, Filler, Selected},
    loosened,
    world::World,
};
use crate::kit::{
    Server, data,
    introspection::{Types, list, name},
};
use serde_json::{Value, json};
use std::time::Duration;
use stoa::{
    identity::permissions,
    kit::permission::{Action, Reach, Resource, Role},
};

/// Mutations for the person alone: of their own account, and what asks for a proof of who they are.
const PERSONAL: [&str; 23] = [
    "apiKeyCreate",
    "apiKeyRevoke",
    "apiKeyRotate",
    "apiKeyUpdate",
    "emailChange",
    "emailVerificationResend",
    "invitationAccept",
    "logout",
    "logoutEverywhere",
    "oidcLink",
    "oidcUnlink",
    "organizationDelete",
    "organizationSwitch",
    "ownershipTransfer",
    "passwordChange",
    "presenceSet",
    "profileUpdate",
    "reauthenticate",
    "sessionRevoke",
    "twoFactorBegin",
    "twoFactorConfirm",
    "twoFactorDisable",
    "twoFactorRecoveryCodesRenew",
];

/// Mutations that ask for no access token: what they take proves enough.
const OPEN: [&str; 10] = [
    "emailVerify",
    "login",
    "loginComplete",
    "oidcBegin",
    "oidcComplete",
    "organizationRestore",
    "passwordForgot",
    "passwordReset",
    "register",
    "sessionRefresh",
];

fn scope(reach: Reach) -> &'static str {
    match reach {
        Reach::Own => "OWN",
        Reach::Team => "TEAM",
        Reach::All => "ALL",
    }
}

/// A key of the founder with all of their permissions that are wanted.
async fn key(server: &Server, world: &World, wanted: impl Fn(Resource, Action) -> bool) -> String {
    let all = permissions(Role::Owner);
    let asked: Vec<Value> = all
        .iter()
        .filter(|(resource, action, _)| *resource != Resource::ApiKey && wanted(*resource, *action))
        .map(|(resource, action, reach)| {
            json!({ "resource": resource.as_str(), "action": action.as_str(), "scope": scope(reach) })
        })
        .collect();
    let query =
        "mutation($input: ApiKeyCreateInput!) { done: apiKeyCreate(input: $input) { key userErrors { message } } }";
    let answer = world.ask(server, query, json!({ "input": { "name": "robot", "permissions": asked } })).await;
    data(&answer, "done.key").as_str().expect("a key").to_owned()
}

/// Asks for every field of a root but those named; what was asked and answered.
async fn walk(
    server: &Server,
    filler: &Filler<'_>,
    world: &World,
    key: &str,
    (root, kind): (&str, &str),
    but: &[&str],
) -> Vec<(String, Value, Value)> {
    let mut answers = Vec::new();
    for field in filler.types.fields(root).iter().filter(|field| !but.contains(&name(field))) {
        let input = filler.arguments(field, Extent::Needed, &[], world).expect("values");
        let (document, variables) = Selected::document(kind, &[filler.select(root, field, "asked", input, 1)]);
        let answer = server.graphql(&document, variables.clone(), Some(key)).await;
        answers.push((name(field).to_owned(), variables, answer));
    }
    answers
}

#[tokio::test]
async fn an_api_key_keeps_to_what_it_is_for() {
    let server = Server::with(loosened).await;
    let types = Types::read().await;
    let filler = Filler::new(&types);
    let world = World::found(&server, &filler).await;

    // One without any permission to read.
    let blind = key(&server, &world, |resource, action| resource == Resource::Job && action == Action::Update).await;
    let mut faults = Vec::new();
    for (field, variables, answer) in walk(&server, &filler, &world, &blind, ("Query", "query"), &["viewer"]).await {
        let seen = world.seen_in(&answer, &variables.to_string());
        if !seen.is_empty() {
            faults.push(format!("Query.{field} shows a key without permissions {seen:?}"));
        }
    }
    for field in types.fields("Subscription") {
        let input = filler.arguments(field, Extent::Needed, &[], &world).expect("values");
        let (document, variables) =
            Selected::document("subscription", &[filler.select("Subscription", field, "asked", input, 3)]);
        let mut feed = Feed::open(&server, &document, &variables, Some(&blind)).await;
        feed.read(Duration::from_secs(10)).await;
        if !feed.ended {
            faults.push(format!("Subscription.{} goes on for a key without permissions", name(field)));
        }
    }

    // One that may read everything and nothing else.
    let reader = key(&server, &world, |_, action| action == Action::Read).await;
    let begin = std::time::Instant::now();
    server.graphql("{ version }", json!({}), Some(&reader)).await;
    let noted =
        format!("SELECT count(*) FROM api_keys WHERE last_used_at IS NOT NULL AND prefix = '{}'", &reader[..17]);
    while server.count(&noted).await == 0 {
        assert!(begin.elapsed() < Duration::from_secs(10), "the use is not noted");
    }
    let before = world.rows(&server).await;
    // That a conversation was taken out stands in the log, whoever may read it.
    let logged = [&OPEN[..], &["conversationExport"]].concat();
    walk(&server, &filler, &world, &reader, ("Mutation", "mutation"), &logged).await;
    let after = world.rows(&server).await;
    let touched: Vec<_> =
        before.iter().filter(|(table, rows)| after.get(*table) != Some(rows)).map(|(it, _)| it).collect();
    if !touched.is_empty() {
        faults.push(format!("a key for reading has changed rows of {touched:?}"));
    }

    // One that may do whatever its member may.
    let robot = key(&server, &world, |_, _| true).await;
    for (field, _, answer) in walk(&server, &filler, &world, &robot, ("Mutation", "mutation"), &OPEN).await {
        let errors = list(&answer["errors"]);
        let refused = errors.len() == 1
            && errors[0]["extensions"]["code"] == "FORBIDDEN"
            && errors[0]["extensions"]["reason"] == "PERSON_REQUIRED";
        if refused != PERSONAL.contains(&&*field) {
            faults.push(format!("Mutation.{field} of an API key: {answer}"));
        }
    }
    for known in PERSONAL.iter().chain(&OPEN) {
        assert!(types.fields("Mutation").iter().any(|field| name(field) == *known), "{known} is listed and not there");
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    server.stop().await;
}
