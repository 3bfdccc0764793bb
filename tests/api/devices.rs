//! Known devices: what strangers do to an account does not keep its owner out, and a sign-in from elsewhere is told.

use crate::kit::{Founder, PASSWORD, Server, code, data, mail::letter, server, user_errors};
use futures_util::future::join_all;
use serde_json::{Value, json};

/// Signs in as a program of that name, from a device or none.
async fn login(server: &Server, email: &str, password: &str, device: Option<&str>, agent: &str) -> Value {
    let query = "mutation($input: LoginInput!) { login(input: $input) {
        session { accessToken deviceToken } userErrors { field code } } }";
    let body = json!({ "query": query, "variables": { "input": { "email": email, "password": password } } });
    let mut request = reqwest::Client::new().post(format!("{}/graphql", server.url())).header("user-agent", agent);
    if let Some(device) = device {
        request = request.header("stoa-device", device);
    }
    request.json(&body).send().await.expect("an answer").json().await.expect("JSON")
}

/// A device from which somebody has signed in.
async fn device(server: &Server, who: &Founder) -> String {
    let answer = login(server, &who.email, PASSWORD, None, "Known").await;
    data(&answer, "login.session.deviceToken").as_str().expect("a new device").to_owned()
}

async fn told(server: &Server, who: &Founder) -> i64 {
    let mails = "SELECT count(*) FROM jobs WHERE payload->'letter'->>'template' = 'new_sign_in'";
    server.count(&format!("{mails} AND payload->'letter'->>'to' = '{}'", who.email)).await
}

#[tokio::test]
async fn who_guesses_elsewhere_does_not_lock_a_known_device_out() {
    let server = server().await;
    let (ada, bob) = (server.founder().await, server.founder().await);
    let (own, other) = (device(server, &ada).await, device(server, &bob).await);
    let guesses = (0..16).map(|_| login(server, &ada.email, "wrong password", None, "Evil"));
    assert!(join_all(guesses).await.iter().any(|answer| answer["errors"][0]["extensions"]["code"] == "RATE_LIMITED"));
    server.sql(&format!("UPDATE users SET locked_until = now() + '1 hour' WHERE email = '{}'", ada.email)).await;

    let answer = login(server, &ada.email, PASSWORD, Some(&own), "Known").await;
    assert!(data(&answer, "login.session").is_object());
    assert_eq!(data(&answer, "login.session.deviceToken"), &Value::Null, "it has one");
    let locked = format!("SELECT count(*) FROM users WHERE email = '{}' AND locked_until > now()", ada.email);
    assert_eq!(server.count(&locked).await, 1, "for strangers it stays locked");
    let mut forged = own.clone();
    forged.replace_range(own.len() - 2.., if own.ends_with("AA") { "BA" } else { "AA" });
    for stranger in [None, Some(other.as_str()), Some(forged.as_str()), Some("stoa_dt_"), Some("nonsense")] {
        let answer = login(server, &ada.email, PASSWORD, stranger, "Known").await;
        assert_eq!(code(&answer), "RATE_LIMITED", "{stranger:?}");
    }
}

#[tokio::test]
async fn a_device_has_failures_of_its_own() {
    let server = server().await;
    let ada = server.founder().await;
    let own = device(server, &ada).await;
    let guesses = (0..16).map(|_| login(server, &ada.email, "wrong password", Some(&own), "Known"));
    assert!(join_all(guesses).await.iter().any(|answer| answer["errors"][0]["extensions"]["code"] == "RATE_LIMITED"));
    assert_eq!(code(&login(server, &ada.email, PASSWORD, Some(&own), "Known").await), "RATE_LIMITED");
    let answer = login(server, &ada.email, PASSWORD, None, "Known").await;
    assert!(data(&answer, "login.session").is_object(), "the account itself is not locked");
    // As on another node, where only the database knows.
    let bob = server.founder().await;
    let of_bob = device(server, &bob).await;
    let user = format!("(SELECT id FROM users WHERE email = '{}')", bob.email);
    server.sql(&format!("UPDATE devices SET failures = 10 WHERE user_id = {user}")).await;
    server.sql(&format!("UPDATE users SET locked_until = now() + '1 hour' WHERE id = {user}")).await;
    let answer = login(server, &bob.email, PASSWORD, Some(&of_bob), "Known").await;
    assert_eq!(user_errors(&answer, "login"), [" INVALID"]);
}

#[tokio::test]
async fn a_sign_in_from_elsewhere_is_told_and_one_from_here_is_not() {
    let server = server().await;
    let ada = server.founder().await;
    server.sql(&format!("UPDATE users SET time_zone = 'Asia/Tokyo' WHERE email = '{}'", ada.email)).await;
    let own = device(server, &ada).await;
    assert_eq!(told(server, &ada).await, 1, "registered with another program");
    let text = letter(server, &ada.email).await;
    assert!(text.contains("Known") && text.contains("127.0.0.1") && text.contains("(Asia/Tokyo)"), "{text}");
    login(server, &ada.email, PASSWORD, Some(&own), "Known, a newer version").await;
    login(server, &ada.email, PASSWORD, None, "Known").await;
    login(server, &ada.email, "wrong password", None, "Evil").await;
    assert_eq!(told(server, &ada).await, 1, "the device is known, the program is, and a refusal is no sign-in");
    login(server, &ada.email, PASSWORD, None, "Evil").await;
    assert_eq!(told(server, &ada).await, 2);
}

#[tokio::test]
async fn throwing_intruders_out_forgets_the_other_devices() {
    let server = server().await;
    let query = "mutation { logoutEverywhere { userErrors { code } } }";
    let ada = server.founder().await;
    let own = device(server, &ada).await;
    let count = format!("SELECT count(*) FROM devices JOIN users u ON u.id = user_id WHERE u.email = '{}'", ada.email);
    assert_eq!(server.count(&count).await, 2, "of the registration and of the sign-in");
    let request = reqwest::Client::new().post(format!("{}/graphql", server.url())).bearer_auth(&ada.token);
    let request = request.header("stoa-device", &own).json(&json!({ "query": query }));
    let answer: Value = request.send().await.expect("an answer").json().await.expect("JSON");
    assert!(user_errors(&answer, "logoutEverywhere").is_empty());
    assert_eq!(server.count(&count).await, 1);
    let answer = login(server, &ada.email, PASSWORD, Some(&own), "Known").await;
    assert_eq!(data(&answer, "login.session.deviceToken"), &Value::Null, "the one that asked is known");
    let token = data(&answer, "login.session.accessToken").as_str().expect("a token").to_owned();
    let change = "mutation($input: PasswordChangeInput!) { passwordChange(input: $input) { userErrors { code } } }";
    let input = json!({ "currentPassword": PASSWORD, "newPassword": "eleven yellow badgers waltz" });
    let answer = server.graphql(change, json!({ "input": input }), Some(&token)).await;
    assert!(user_errors(&answer, "passwordChange").is_empty());
    assert_eq!(server.count(&count).await, 0);
}

#[tokio::test]
async fn the_devices_of_a_person_are_bounded() {
    let server = server().await;
    let ada = server.founder().await;
    let first = device(server, &ada).await;
    for _ in 0..20 {
        device(server, &ada).await;
    }
    let count = format!("SELECT count(*) FROM devices JOIN users u ON u.id = user_id WHERE u.email = '{}'", ada.email);
    assert_eq!(server.count(&count).await, 20);
    let answer = login(server, &ada.email, PASSWORD, Some(&first), "Known").await;
    assert!(data(&answer, "login.session.deviceToken").is_string(), "the oldest was forgotten");
}

#[tokio::test]
async fn a_device_that_was_not_used_for_400_days_is_known_no_more() {
    let server = server().await;
    let ada = server.founder().await;
    let own = device(server, &ada).await;
    let user = format!("(SELECT id FROM users WHERE email = '{}')", ada.email);
    // Only a known device gets in now.
    server.sql(&format!("UPDATE users SET locked_until = now() + '1 hour' WHERE id = {user}")).await;
    for (days, refused) in [(399, vec![]), (401, vec![" INVALID"])] {
        let unused = format!("UPDATE devices SET last_used_at = now() - interval '{days} days' WHERE user_id = {user}");
        server.sql(&unused).await;
        let answer = login(server, &ada.email, PASSWORD, Some(&own), "Known").await;
        assert_eq!(user_errors(&answer, "login"), refused, "{days} days");
    }
}
