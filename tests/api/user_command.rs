//! `stoa user` beside a server that runs: accounts that are made sign in, those that are reset are out, roles change;
//! all of it stands in the trail as the system's.

use crate::kit::{self, Founder, Server, command::stoa, data, server, user_errors};
use serde_json::{Value, json};

const PASSWORD: &str = "nine purple otters juggle";
const OTHER_PASSWORD: &str = "eleven yellow badgers waltz";

/// Runs the command; whether it has worked, and all that it said.
async fn user(server: &Server, arguments: &[&str], stdin: &str) -> (i32, String) {
    stoa(server, &[&["user"], arguments].concat(), stdin).await
}

async fn login(server: &Server, email: &str, password: &str) -> Option<String> {
    let query =
        "mutation($input: LoginInput!) { login(input: $input) { session { accessToken } userErrors { code } } }";
    let answer = server.graphql(query, json!({ "input": { "email": email, "password": password } }), None).await;
    assert!(answer.get("errors").is_none(), "{answer}");
    answer["data"]["login"]["session"]["accessToken"].as_str().map(str::to_owned)
}

async fn slug(server: &Server, of: &Founder) -> String {
    server.text(&format!("SELECT slug FROM organizations WHERE id = '{}'", of.organization)).await
}

async fn role(server: &Server, token: &str) -> Value {
    server.app.standings.forget_all();
    let answer = server.graphql("{ viewer { role } }", json!({}), Some(token)).await;
    answer["data"]["viewer"]["role"].clone()
}

/// Chooses a password by the link that was printed.
async fn choose(server: &Server, said: &str) -> Vec<String> {
    let token = said.split("token=").nth(1).unwrap_or_else(|| panic!("no link in {said}")).trim();
    let reset = "mutation($input: PasswordResetInput!) { passwordReset(input: $input) { userErrors { field code } } }";
    let input = json!({ "token": token, "newPassword": OTHER_PASSWORD });
    user_errors(&server.graphql(reset, json!({ "input": input }), None).await, "passwordReset")
}

#[tokio::test]
async fn somebody_is_made_who_signs_in() {
    let server = server().await;
    let ada = server.founder().await;
    let slug = slug(server, &ada).await;
    let (bob, eve) = (format!("bob-{}", ada.email), format!("eve-{}", ada.email));
    let create = ["create", &bob, "--name", "Bob", "--organization", &slug, "--role", "admin", "--password-stdin"];
    let (code, said) = user(server, &create, &format!("{PASSWORD}\n")).await;
    assert_eq!((code, said.trim()), (0, &*format!("{bob} is admin of {slug}")));
    let token = login(server, &bob, PASSWORD).await.expect("a session");
    assert_eq!(role(server, &token).await, "ADMIN");

    // A new organization, and a password that the person chooses.
    let new = format!("{slug}-2");
    let create = ["create", &eve, "--name", "Eve", "--organization", &new, "--found", "Second"];
    let (code, said) = user(server, &create, "").await;
    assert!(code == 0 && said.starts_with(&format!("{eve} is owner of {new}")), "{said}");
    assert_eq!(login(server, &eve, OTHER_PASSWORD).await, None);
    assert_eq!(choose(server, &said).await, [""; 0]);
    assert_eq!(choose(server, &said).await, ["token INVALID"], "it works once");
    let token = login(server, &eve, OTHER_PASSWORD).await.expect("a session");
    assert_eq!(role(server, &token).await, "OWNER");
    let trail = "{ auditEvents { nodes { entity action actorKind address } } }";
    let answer = server.graphql(trail, json!({}), Some(&token)).await;
    let mut told: Vec<String> = data(&answer, "auditEvents.nodes")
        .as_array()
        .unwrap()
        .iter()
        .map(|event| format!("{} {} {}", event["entity"], event["action"], event["actorKind"]).replace('"', ""))
        .collect();
    told.sort();
    let expected = [
        "Member joined SYSTEM",
        "Organization created SYSTEM",
        "Security password_reset MEMBER",
        "Security sign_in_refused STRANGER",
        "Security signed_in MEMBER",
    ];
    assert_eq!(told, expected);
}

#[tokio::test]
async fn a_reset_person_is_out_until_they_have_chosen_anew() {
    let server = server().await;
    let ada = server.founder().await;
    let (code, said) = user(server, &["reset", &ada.email.to_uppercase()], "").await;
    assert_eq!(code, 0, "{said}");
    assert_eq!(role(server, &ada).await, Value::Null, "the session has ended");
    assert_eq!(login(server, &ada.email, PASSWORD).await, None, "the old password is good for nothing");
    assert_eq!(choose(server, &said).await, [""; 0]);
    assert!(login(server, &ada.email, OTHER_PASSWORD).await.is_some());

    let (code, said) = user(server, &["reset", &ada.email, "--password-stdin"], PASSWORD).await;
    assert!(code == 0 && !said.contains("token="), "{said}");
    assert_eq!(login(server, &ada.email, OTHER_PASSWORD).await, None);
    let token = login(server, &ada.email, PASSWORD).await.expect("a session");
    let trail = "{ auditEvents(filter: { action: { eq: \"password_reset\" } }) { nodes { actorKind entityId } } }";
    let answer = server.graphql(trail, json!({}), Some(&token)).await;
    let kinds: Vec<&Value> =
        data(&answer, "auditEvents.nodes").as_array().unwrap().iter().map(|e| &e["actorKind"]).collect();
    assert_eq!(kinds, ["SYSTEM", "MEMBER", "SYSTEM"]);
}

#[tokio::test]
async fn whoever_has_lost_the_authenticator_is_let_in_by_whoever_runs_the_server() {
    let server = server().await;
    let ada = server.founder().await;
    server.sql(&format!("UPDATE users SET totp_confirmed_at = now() WHERE email = '{}'", ada.email)).await;
    let (code, said) = user(server, &["reset", &ada.email, "--password-stdin"], OTHER_PASSWORD).await;
    assert_eq!(code, 0, "{said}");
    assert_eq!(login(server, &ada.email, OTHER_PASSWORD).await, None, "a code is still asked for");
    let (code, said) =
        user(server, &["reset", &ada.email, "--forget-authenticator", "--password-stdin"], OTHER_PASSWORD).await;
    assert_eq!(code, 0, "{said}");
    assert!(login(server, &ada.email, OTHER_PASSWORD).await.is_some());
}

#[tokio::test]
async fn a_role_is_given_and_the_only_owner_keeps_theirs() {
    let server = server().await;
    let ada = server.founder().await;
    let bob = server.member(&ada, "member", None).await;
    let slug = slug(server, &ada).await;
    let promote = async |email: &str, role: &str| {
        user(server, &["promote", email, "--organization", &slug, "--role", role], "").await
    };
    let (code, said) = promote(&ada.email, "admin").await;
    assert!(code == 1 && said.contains("only owner"), "{said}");
    let (code, said) = promote(&bob.email, "owner").await;
    assert_eq!(code, 0, "{said}");
    assert_eq!(role(server, &bob).await, "OWNER");
    assert_eq!(promote(&ada.email, "admin").await.0, 0);
    assert_eq!(role(server, &ada).await, "ADMIN");
    let trail = format!(
        "{{ auditEvents(filter: {{ action: {{ eq: \"role_changed\" }}, entityId: {{ eq: \"{}\" }} }}) {{
            nodes {{ actorKind changes {{ field old new }} }} }} }}",
        bob.member
    );
    let answer = server.graphql(&trail, json!({}), Some(&ada)).await;
    let changed = json!([{ "actorKind": "SYSTEM", "changes": [{ "field": "role", "old": "MEMBER", "new": "OWNER" }] }]);
    assert_eq!(data(&answer, "auditEvents.nodes"), &changed);
}

#[tokio::test]
async fn what_cannot_be_done_is_said_and_nothing_is() {
    let server = kit::server().await;
    let ada = server.founder().await;
    let slug = slug(server, &ada).await;
    let new = format!("new-{}", ada.email);
    let users = server.count("SELECT count(*) FROM users WHERE email LIKE 'new-%'").await;
    for (arguments, stdin, code, words) in [
        (vec!["create", &ada.email, "--name", "A", "--organization", &slug], "", 1, "There is an account"),
        (
            vec!["create", &new, "--name", "A", "--organization", "nowhere-to-be"],
            "",
            1,
            "no organization nowhere-to-be",
        ),
        (vec!["create", &new, "--name", "A", "--organization", &slug, "--found", "X"], "", 1, "already"),
        (
            vec!["create", &new, "--name", "A", "--organization", "brand-new", "--found", "X", "--role", "guest"],
            "",
            1,
            "owner",
        ),
        (vec!["create", &new, "--name", "", "--organization", &slug], "", 1, "name: "),
        (vec!["create", "no address", "--name", "A", "--organization", &slug], "", 1, "email: "),
        (
            vec!["create", &new, "--name", "A", "--organization", &slug, "--role", "god"],
            "",
            2,
            "a role is one of owner",
        ),
        (vec!["create", &new, "--name", "A", "--organization", &slug, "--password-stdin"], "short\n", 1, "at least 10"),
        (vec!["create", &new, "--name", "A", "--organization", &slug, "--password-stdin"], "", 1, "in one line"),
        (vec!["reset", &new], "", 1, "There is no account"),
        (vec!["reset", &ada.email, "--password-stdin"], "password123\n", 1, "password: "),
        (vec!["promote", &ada.email, "--role", "owner"], "", 1, "has the role owner already"),
        (vec!["promote", &ada.email, "--organization", "elsewhere", "--role", "admin"], "", 1, "no member of"),
        (vec!["promote", &new, "--role", "admin"], "", 1, "There is no account"),
    ] {
        let (ended, said) = user(server, &arguments, stdin).await;
        assert!(ended == code && said.contains(words), "{arguments:?}: {ended} {said}");
    }
    assert_eq!(server.count("SELECT count(*) FROM users WHERE email LIKE 'new-%'").await, users);
    assert!(login(server, &ada.email, PASSWORD).await.is_some(), "nothing was done to her");
}
