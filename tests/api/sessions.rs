//! Sessions as their person sees them: listed, ended one by one or all at once, carried over to another organization.
//! Whatever ends one is felt within a second, by HTTP and on open sockets.

use crate::{
    kit::{self, Founder, Server, code, data, user_errors},
    socket::Client,
};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use uuid::Uuid;

const PASSWORD: &str = "nine purple otters juggle";

/// A session more: its access and its refresh token.
async fn login(server: &Server, who: &Founder, organization: Uuid) -> (String, String) {
    let slug = server.text(&format!("SELECT slug FROM organizations WHERE id = '{organization}'")).await;
    let query = "mutation($input: LoginInput!) { login(input: $input) {
        session { accessToken refreshToken } userErrors { code } } }";
    let input = json!({ "email": who.email, "password": PASSWORD, "organization": slug });
    let answer = server.graphql(query, json!({ "input": input }), None).await;
    let token = |name: &str| data(&answer, &format!("login.session.{name}")).as_str().unwrap().to_owned();
    (token("accessToken"), token("refreshToken"))
}

async fn list(server: &Server, token: &str) -> Vec<Value> {
    let query = "{ sessions { id createdAt lastUsedAt expiresAt address userAgent current } }";
    data(&server.graphql(query, json!({}), Some(token)).await, "sessions").as_array().unwrap().clone()
}

async fn revoke(server: &Server, token: &str, id: &Value) -> Value {
    let query = "mutation($id: ID!) { sessionRevoke(input: { id: $id }) { userErrors { field code } } }";
    server.graphql(query, json!({ "id": id }), Some(token)).await
}

async fn switch(server: &Server, token: &str, organization: &str) -> Value {
    let query = "mutation($to: String!) { organizationSwitch(input: { organization: $to }) {
        session { accessToken refreshToken } userErrors { field code } } }";
    server.graphql(query, json!({ "to": organization }), Some(token)).await
}

async fn ask(server: &Server, token: &str) -> Value {
    server.graphql("{ viewer { memberId organization { id } role } }", json!({}), Some(token)).await
}

async fn refreshes(server: &Server, token: &str) -> bool {
    let query = "mutation($token: String!) { sessionRefresh(input: { refreshToken: $token }) { userErrors { code } } }";
    let answer = server.graphql(query, json!({ "token": token }), None).await;
    data(&answer, "sessionRefresh.userErrors").as_array().unwrap().is_empty()
}

/// Makes somebody a member of another organization; the member's id and the organization's short name.
async fn join(server: &Server, who: &Founder, whose: &Founder, role: &str) -> (Uuid, String) {
    let slug = format!("SELECT slug FROM organizations WHERE id = '{}'", whose.organization);
    (server.joins(who, whose, role).await, server.text(&slug).await)
}

#[tokio::test]
async fn a_person_sees_the_own_sessions_and_ends_one() {
    let server = kit::server().await;
    let ada = server.founder().await;
    let colleague = server.member(&ada, "admin", None).await;
    let (phone, token) = login(server, &ada, ada.organization).await;
    let sessions = list(server, &ada).await;
    let current: Vec<&Value> = sessions.iter().map(|session| &session["current"]).collect();
    assert_eq!(current, [&json!(false), &json!(true)], "newest first: {sessions:?}");
    assert!(sessions.iter().all(|session| session["address"] == "127.0.0.1"), "{sessions:?}");

    let theirs = list(server, &colleague).await[0]["id"].clone();
    for nobodys in [theirs, json!(Uuid::now_v7())] {
        assert_eq!(user_errors(&revoke(server, &ada, &nobodys).await, "sessionRevoke"), ["id NOT_FOUND"]);
    }
    assert!(
        data(&ask(server, &colleague).await, "viewer.role").is_string(),
        "a colleague's session is not ours to end"
    );

    data(&ask(server, &phone).await, "viewer.role");
    assert!(user_errors(&revoke(server, &ada, &sessions[0]["id"]).await, "sessionRevoke").is_empty());
    let gone = ask(server, &phone).await;
    assert_eq!((code(&gone), &gone["errors"][0]["extensions"]["reason"]), ("UNAUTHENTICATED", &json!("REVOKED")));
    assert!(!refreshes(server, &token).await);
    assert_eq!(list(server, &ada).await.len(), 1);
    assert_eq!(
        user_errors(&revoke(server, &ada, &sessions[0]["id"]).await, "sessionRevoke"),
        ["id NOT_FOUND"],
        "ended"
    );
}

#[tokio::test]
async fn signing_out_everywhere_ends_all_sessions_in_every_organization() {
    let server = kit::server().await;
    let (ada, bob) = (server.founder().await, server.founder().await);
    join(server, &ada, &bob, "member").await;
    let (here, there) = (login(server, &ada, ada.organization).await, login(server, &ada, bob.organization).await);
    for token in [&*ada, &here.0, &there.0] {
        data(&ask(server, token).await, "viewer.role");
    }
    let out = server.graphql("mutation { logoutEverywhere { userErrors { code } } }", json!({}), Some(&here.0)).await;
    assert!(user_errors(&out, "logoutEverywhere").is_empty());
    for token in [&*ada, &here.0, &there.0] {
        assert_eq!(code(&ask(server, token).await), "UNAUTHENTICATED");
    }
    for token in [&here.1, &there.1] {
        assert!(!refreshes(server, token).await);
    }
    data(&ask(server, &bob).await, "viewer.role");
    let again = login(server, &ada, bob.organization).await;
    assert_eq!(list(server, &again.0).await.len(), 1, "what was ended in other organizations is not listed there");
}

#[tokio::test]
async fn switching_opens_a_session_in_another_organization_of_the_person() {
    let server = kit::server().await;
    let (ada, bob) = (server.founder().await, server.founder().await);
    let (member, slug) = join(server, &ada, &bob, "sales_rep").await;
    let own = server.text(&format!("SELECT slug FROM organizations WHERE id = '{}'", ada.organization)).await;
    let answer = switch(server, &ada, &format!(" {} ", slug.to_uppercase())).await;
    let token = data(&answer, "organizationSwitch.session.accessToken").as_str().unwrap().to_owned();
    let viewer = ask(server, &token).await;
    assert_eq!(
        data(&viewer, "viewer"),
        &json!({ "memberId": member, "organization": { "id": bob.organization }, "role": "SALES_REP" })
    );
    assert_eq!(data(&ask(server, &ada).await, "viewer.role"), "OWNER", "the session before goes on");
    assert_eq!(list(server, &token).await[0]["current"], json!(true));

    let refused = |answer: &Value| {
        assert_eq!(data(answer, "organizationSwitch.session"), &Value::Null);
        user_errors(answer, "organizationSwitch")
    };
    assert_eq!(refused(&switch(server, &ada, &own).await), ["organization STATE_INVALID"]);
    assert_eq!(refused(&switch(server, &bob, &own).await), ["organization NOT_FOUND"], "as if it did not exist");
    assert_eq!(refused(&switch(server, &ada, "no\0such").await), ["organization NOT_FOUND"]);
    let set = |what: &str| format!("UPDATE organizations SET suspended_at = {what} WHERE id = '{}'", bob.organization);
    server.sql(&set("now()")).await;
    assert_eq!(code(&switch(server, &ada, &slug).await), "ORGANIZATION_SUSPENDED");
    server.sql(&set("NULL")).await;
    server.sql(&format!("UPDATE memberships SET status = 'suspended' WHERE id = '{member}'")).await;
    assert_eq!(refused(&switch(server, &ada, &slug).await), ["organization NOT_FOUND"]);
}

/// What was opened while all was ended is ended as well, or was never opened.
#[tokio::test]
async fn nobody_slips_into_another_organization_while_all_sessions_end() {
    let server = kit::server().await;
    let (ada, bob) = (server.founder().await, server.founder().await);
    let (_, slug) = join(server, &ada, &bob, "member").await;
    let out = "mutation { logoutEverywhere { userErrors { code } } }";
    let switches = futures_util::future::join_all((0..6).map(|_| switch(server, &ada, &slug)));
    let (switches, _) = tokio::join!(switches, server.graphql(out, json!({}), Some(&ada)));
    server.forget();
    for answer in switches {
        if let Some(token) = answer["data"]["organizationSwitch"]["session"]["accessToken"].as_str() {
            assert_eq!(code(&ask(server, token).await), "UNAUTHENTICATED");
        }
    }
}

#[tokio::test]
async fn what_ends_a_session_closes_its_sockets_within_a_second() {
    let server = kit::server().await;
    for cause in ["sessionRevoke", "logoutEverywhere", "logout"] {
        let ada = server.founder().await;
        let (other, _) = login(server, &ada, ada.organization).await;
        let session = list(server, &other).await.into_iter().find(|session| session["current"] == true).unwrap();
        let mut socket = Client::open(server, Some(&format!("Bearer {other}"))).await;
        let begin = Instant::now();
        let (document, by) = match cause {
            "sessionRevoke" => {
                ("mutation($id: ID!) { done: sessionRevoke(input: { id: $id }) { userErrors { code } } }", &*ada)
            }
            "logout" => ("mutation { done: logout { userErrors { code } } }", &*other),
            _ => ("mutation { done: logoutEverywhere { userErrors { code } } }", &*ada),
        };
        let variables = if cause == "sessionRevoke" { json!({ "id": session["id"] }) } else { json!({}) };
        assert!(user_errors(&server.graphql(document, variables, Some(by)).await, "done").is_empty(), "{cause}");
        assert_eq!(code(&ask(server, &other).await), "UNAUTHENTICATED", "{cause}");
        assert_eq!(socket.closed().await, 4403, "{cause}");
        // A second, and as much again for a machine that is busy.
        assert!(begin.elapsed() < Duration::from_secs(2), "{cause}: {:?}", begin.elapsed());
    }
}
