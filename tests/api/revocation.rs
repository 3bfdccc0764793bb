//! What is taken away is gone: each cause, for a person and for an API key, over HTTP and on an open socket, on the node
//! where it happens and on another one that shares nothing with it but the database. `STOA_PROOF=1` holds it to the second
//! that is promised; beside all other tests at once it is given another one.

use crate::{
    kit::{Founder, PASSWORD, Server, data, server, statements, user_errors},
    socket::Client,
};
use futures_util::future::join_all;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tokio::time::sleep;

/// What only an administrator may ask; so that it is refused when the role is another one, too.
const PROBE: &str = "{ jobs(first: 1) { totalCount } viewer { memberId } }";

const CAUSES: [&str; 9] = [
    "logout",
    "sessionRevoke",
    "logoutEverywhere",
    "passwordChange",
    "memberRoleChange",
    "memberSuspend",
    "memberRemove",
    "organizationDelete",
    "disabled",
];

/// What ends or shrinks an API key.
const CAUSES_FOR_KEYS: [&str; 8] = [
    "apiKeyRevoke",
    "apiKeyRotate",
    "apiKeyUpdate",
    "memberRoleChange",
    "memberSuspend",
    "memberRemove",
    "organizationDelete",
    "disabled",
];

fn limit() -> Duration {
    let proof = std::env::var("STOA_PROOF").is_ok_and(|value| value != "0");
    Duration::from_millis(if proof { 1000 } else { 2500 })
}

/// Another session of the same person.
async fn second(server: &Server, who: &Founder) -> String {
    let query =
        "mutation($input: LoginInput!) { login(input: $input) { session { accessToken } userErrors { code } } }";
    let input = json!({ "input": { "email": who.email, "password": PASSWORD } });
    let answer = server.graphql(query, input, None).await;
    data(&answer, "login.session.accessToken").as_str().expect("a token").to_owned()
}

/// An API key of somebody.
async fn key(server: &Server, who: &Founder) -> String {
    let query = "mutation { done: apiKeyCreate(input: { name: \"x\", permissions: [
        { resource: JOB, action: READ, scope: ALL }, { resource: LEAD, action: READ, scope: ALL }] }) { key } }";
    data(&server.graphql(query, json!({}), Some(who)).await, "done.key").as_str().expect("a key").to_owned()
}

/// Takes something away from Bob, who has the token and whom Ada leads.
async fn bring_about(server: &Server, cause: &str, ada: &Founder, bob: &Founder, token: &str) {
    let member = json!({ "id": bob.member });
    let (of, input, by) = match cause {
        "logout" | "logoutEverywhere" => ("", Value::Null, token),
        "sessionRevoke" => {
            let list = server.graphql("{ sessions { id current } }", json!({}), Some(token)).await;
            let own = data(&list, "sessions").as_array().and_then(|all| all.iter().find(|one| one["current"] == true));
            ("SessionRevokeInput", json!({ "id": own.expect("its own session")["id"] }), bob.token.as_str())
        }
        "passwordChange" => {
            let input = json!({ "currentPassword": PASSWORD, "newPassword": "eleven yellow badgers waltz" });
            ("PasswordChangeInput", input, bob.token.as_str())
        }
        "memberRoleChange" => {
            ("MemberRoleChangeInput", json!({ "id": bob.member, "role": "MEMBER" }), ada.token.as_str())
        }
        "apiKeyRevoke" | "apiKeyRotate" | "apiKeyUpdate" => {
            let own = server.graphql("{ viewer { apiKeyId } }", json!({}), Some(token)).await;
            let mut input = json!({ "id": data(&own, "viewer.apiKeyId") });
            let of = match cause {
                "apiKeyRotate" => "ApiKeyRotateInput",
                "apiKeyUpdate" => {
                    input["permissions"] = json!([{ "resource": "LEAD", "action": "READ", "scope": "ALL" }]);
                    "ApiKeyUpdateInput"
                }
                _ => "ApiKeyInput",
            };
            (of, input, bob.token.as_str())
        }
        "memberSuspend" | "memberRemove" => ("MemberInput", member, ada.token.as_str()),
        "organizationDelete" => {
            let query = "{ viewer { organization { slug } } }";
            let own = server.graphql(query, json!({}), Some(ada)).await;
            let slug = data(&own, "viewer.organization.slug").clone();
            ("OrganizationDeleteInput", json!({ "slug": slug }), ada.token.as_str())
        }
        _ => {
            // What whoever runs the server does; no request tells any node.
            return server.sql(&format!("UPDATE users SET disabled_at = now() WHERE email = '{}'", bob.email)).await;
        }
    };
    let document = match of {
        "" => format!("mutation {{ done: {cause} {{ userErrors {{ code }} }} }}"),
        of => format!("mutation($input: {of}!) {{ done: {cause}(input: $input) {{ userErrors {{ field code }} }} }}"),
    };
    let answer = server.graphql(&document, json!({ "input": input }), Some(by)).await;
    assert!(user_errors(&answer, "done").is_empty(), "{cause}: {answer}");
}

/// Until the token is refused over HTTP.
async fn refused(server: &Server, token: &str, begin: Instant) -> Duration {
    loop {
        let sent = begin.elapsed();
        assert!(sent < Duration::from_secs(15), "it never was refused");
        if server.graphql(PROBE, json!({}), Some(token)).await.get("errors").is_some() {
            return sent;
        }
        sleep(Duration::from_millis(10)).await;
    }
}

async fn closed(mut socket: Client, begin: Instant) -> Duration {
    assert_eq!(socket.closed().await, 4403);
    begin.elapsed()
}

/// How long it takes: HTTP here, HTTP elsewhere, socket here, socket elsewhere.
async fn measure(here: &Server, elsewhere: &Server, cause: &str, by_key: bool) -> [Duration; 4] {
    let ada = here.founder().await;
    let bob = here.member(&ada, "admin", None).await;
    let token = if by_key { key(here, &bob).await } else { second(here, &bob).await };
    let bearer = format!("Bearer {token}");
    let (near, far) = (Client::open(here, Some(&bearer)).await, Client::open(elsewhere, Some(&bearer)).await);
    for server in [here, elsewhere] {
        data(&server.graphql(PROBE, json!({}), Some(&token)).await, "jobs.totalCount");
    }
    bring_about(here, cause, &ada, &bob, &token).await;
    let begin = Instant::now();
    let (near_http, far_http, near, far) = tokio::join!(
        refused(here, &token, begin),
        refused(elsewhere, &token, begin),
        closed(near, begin),
        closed(far, begin)
    );
    [near_http, far_http, near, far]
}

#[tokio::test]
async fn what_is_taken_is_gone_everywhere_within_a_second() {
    let (here, elsewhere) = (Server::start().await, Server::start().await);
    let keys = CAUSES_FOR_KEYS.iter().map(|cause| (*cause, true));
    let causes: Vec<(&str, bool)> = CAUSES.iter().map(|cause| (*cause, false)).chain(keys).collect();
    let times = join_all(causes.iter().map(|(cause, by_key)| measure(&here, &elsewhere, cause, *by_key))).await;
    println!("{:20}{:>10}{:>10}{:>10}{:>10}  ms", "", "HTTP", "elsewhere", "socket", "elsewhere");
    for ((cause, by_key), times) in causes.iter().zip(&times) {
        let [a, b, c, d] = times.map(|time| time.as_millis());
        println!("{cause:20}{a:>10}{b:>10}{c:>10}{d:>10}{}", if *by_key { "  API key" } else { "" });
    }
    for ((cause, _), times) in causes.iter().zip(&times) {
        assert!(times.iter().all(|time| *time < limit()), "{cause}: {times:?}");
    }
    here.stop().await;
    elsewhere.stop().await;
}

/// What is read is what the last snapshot did not see, and not what is behind a number: a transaction that began long
/// before others that have been read is seen when it commits.
#[tokio::test]
async fn who_commits_late_is_not_missed() {
    let (here, elsewhere) = (server().await, Server::start().await);
    let ada = here.founder().await;
    let bob = here.member(&ada, "admin", None).await;
    let (token, other) = (second(here, &bob).await, second(here, &ada).await);
    for token in [&token, &other] {
        data(&elsewhere.graphql(PROBE, json!({}), Some(token)).await, "jobs.totalCount");
    }
    let mut late = here.session().await;
    let late = late.transaction().await.expect("a transaction");
    late.execute("UPDATE users SET disabled_at = now() WHERE email = $1", &[&bob.email]).await.expect("sound SQL");
    bring_about(here, "logout", &ada, &ada, &other).await;
    refused(&elsewhere, &other, Instant::now()).await;
    data(&elsewhere.graphql(PROBE, json!({}), Some(&token)).await, "jobs.totalCount");
    late.commit().await.expect("committed");
    let took = refused(&elsewhere, &token, Instant::now()).await;
    assert!(took < limit(), "{took:?}");
    elsewhere.stop().await;
}

/// Whoever only stays connected costs the database nothing.
#[tokio::test]
async fn an_idle_socket_asks_nothing() {
    let server = Server::start().await;
    let ada = server.founder().await;
    let mut socket = Client::open(&server, Some(&ada)).await;
    socket.subscribe("1", json!({ "query": "subscription { recordEvents(entity: LEAD) { __typename } }" })).await;
    socket.subscribe("2", json!({ "query": "{ viewer { memberId } }" })).await;
    assert_eq!(socket.hear().await["type"], "next");
    // It looks once whether something happened while it was let in; a clock would ask in each of these times.
    let mut asked = Vec::new();
    for _ in 0..10 {
        asked = statements::during(ada.organization, sleep(Duration::from_millis(700))).await;
        if asked.is_empty() {
            break;
        }
    }
    assert!(asked.is_empty(), "{asked:#?}");
    server.stop().await;
}
