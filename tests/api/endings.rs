//! What takes somebody's access away, measured: each cause, on the node where it happens and on another one over the same
//! database, by HTTP and on an open socket. All within a second.

use crate::{
    kit::{Founder, Server, data},
    socket::Client,
};
use serde_json::{Value, json};
use std::{
    fmt::Write,
    time::{Duration, Instant},
};

const PASSWORD: &str = "nine purple otters juggle";
const LIMIT: Duration = Duration::from_secs(1);

/// Does it, on the first node: by the person or by whoever leads them.
async fn end(server: &Server, cause: &str, ada: &Founder, bob: &Founder) {
    let by_bob = cause != "suspend" && cause != "remove" && cause != "role change" && cause != "organization deleted";
    let who = if by_bob { bob } else { ada };
    let member = json!({ "input": { "id": bob.member } });
    let (mutation, variables) = match cause {
        "logout" => ("mutation { done: logout { userErrors { message } } }", json!({})),
        "logoutEverywhere" => ("mutation { done: logoutEverywhere { userErrors { message } } }", json!({})),
        "sessionRevoke" => {
            let sessions = server.graphql("{ sessions { id } }", json!({}), Some(bob)).await;
            let id = data(&sessions, "sessions.0.id").clone();
            (
                "mutation($id: ID!) { done: sessionRevoke(input: { id: $id }) { userErrors { message } } }",
                json!({ "id": id }),
            )
        }
        "password change" => {
            // In another session, so that this one ends.
            let query = "mutation($input: LoginInput!) { login(input: $input) { session { accessToken } } }";
            let input = json!({ "email": bob.email, "password": PASSWORD });
            let answer = server.graphql(query, json!({ "input": input }), None).await;
            let token = data(&answer, "login.session.accessToken").as_str().unwrap().to_owned();
            let change = "mutation($input: PasswordChangeInput!) { done: passwordChange(input: $input) { userErrors { message } } }";
            let input = json!({ "currentPassword": PASSWORD, "newPassword": "eleven yellow badgers waltz" });
            let answer = server.graphql(change, json!({ "input": input }), Some(&token)).await;
            assert_eq!(data(&answer, "done.userErrors"), &json!([]), "{cause}");
            return;
        }
        "suspend" => {
            ("mutation($input: MemberInput!) { done: memberSuspend(input: $input) { userErrors { message } } }", member)
        }
        "remove" => {
            ("mutation($input: MemberInput!) { done: memberRemove(input: $input) { userErrors { message } } }", member)
        }
        "role change" => (
            "mutation($input: MemberRoleChangeInput!) { done: memberRoleChange(input: $input) { userErrors { message } } }",
            json!({ "input": { "id": bob.member, "role": "GUEST" } }),
        ),
        "organization deleted" => {
            let slug = server.text(&format!("SELECT slug FROM organizations WHERE id = '{}'", ada.organization)).await;
            (
                "mutation($slug: String!) { done: organizationDelete(input: { slug: $slug }) { userErrors { message } } }",
                json!({ "slug": slug }),
            )
        }
        other => panic!("{other}"),
    };
    let answer = server.graphql(mutation, variables, Some(who)).await;
    assert_eq!(data(&answer, "done.userErrors"), &json!([]), "{cause}");
}

/// How long after `begin` a node stops believing that Bob is a manager with a session.
async fn by_http(server: &Server, bob: &Founder, begin: Instant) -> Duration {
    loop {
        let answer = server.graphql("{ viewer { role } }", json!({}), Some(bob)).await;
        let role: &Value = &answer["data"]["viewer"]["role"];
        if role != "MANAGER" {
            return begin.elapsed();
        }
        assert!(begin.elapsed() < Duration::from_secs(5), "still believed: {answer}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn by_socket(mut socket: Client, begin: Instant) -> Duration {
    assert_eq!(socket.closed().await, 4403);
    begin.elapsed()
}

#[tokio::test]
async fn whatever_takes_access_away_does_so_within_a_second_on_every_node() {
    let (here, there) = (Server::start().await, Server::start().await);
    let mut table =
        format!("{:22}{:>12}{:>12}{:>14}{:>14}\n", "", "HTTP here", "HTTP there", "socket here", "socket there");
    let mut late = Vec::new();
    for cause in [
        "logout",
        "sessionRevoke",
        "logoutEverywhere",
        "suspend",
        "remove",
        "role change",
        "password change",
        "organization deleted",
    ] {
        let ada = here.founder().await;
        let bob = here.member(&ada, "manager", None).await;
        let bearer = format!("Bearer {}", bob.token);
        let (near, far) = (Client::open(&here, Some(&bearer)).await, Client::open(&there, Some(&bearer)).await);
        for server in [&here, &there] {
            let answer = server.graphql("{ viewer { role } }", json!({}), Some(&bob)).await;
            assert_eq!(data(&answer, "viewer.role"), "MANAGER");
        }
        end(&here, cause, &ada, &bob).await;
        // From the moment in which whoever did it knows.
        let begin = Instant::now();
        let took = tokio::join!(
            by_http(&here, &bob, begin),
            by_http(&there, &bob, begin),
            by_socket(near, begin),
            by_socket(far, begin)
        );
        let took = [took.0, took.1, took.2, took.3];
        let millis = took.map(|took| format!("{} ms", took.as_millis()));
        let _ = writeln!(table, "{cause:22}{:>12}{:>12}{:>14}{:>14}", millis[0], millis[1], millis[2], millis[3]);
        late.extend(took.iter().filter(|took| **took >= LIMIT).map(|took| format!("{cause}: {took:?}")));
    }
    println!("{table}");
    assert!(late.is_empty(), "{late:?}\n{table}");
    here.stop().await;
    there.stop().await;
}
