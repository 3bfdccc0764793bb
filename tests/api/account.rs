//! What a person does with the own account: shows that the address is theirs, gets back in without the password, proves
//! once more who they are, changes the address and what they say of themselves.

use crate::kit::{
    self, Founder, Server, code, data,
    mail::{Received, Smtp, until, working},
    user_errors,
};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use stoa::{identity::CopyProfile, platform::jobs::Run};
use uuid::Uuid;

const PASSWORD: &str = "nine purple otters juggle";
const OTHER_PASSWORD: &str = "eleven yellow badgers waltz";

async fn ask(server: &Server, document: &str, variables: Value, who: Option<&str>) -> Value {
    server.graphql(document, variables, who).await
}

async fn verify(server: &Server, token: &str) -> Value {
    let query =
        "mutation($token: String!) { emailVerify(input: { token: $token }) { email userErrors { field code } } }";
    ask(server, query, json!({ "token": token }), None).await
}

async fn reset(server: &Server, token: &str, password: &str) -> Value {
    let query = "mutation($input: PasswordResetInput!) { passwordReset(input: $input) { userErrors { field code } } }";
    ask(server, query, json!({ "input": { "token": token, "newPassword": password } }), None).await
}

async fn forgot(server: &Server, email: &str) -> Value {
    let query = "mutation($email: String!) { passwordForgot(input: { email: $email }) { userErrors { field code } } }";
    ask(server, query, json!({ "email": email }), None).await
}

async fn login(server: &Server, email: &str, password: &str) -> Value {
    let query = "mutation($input: LoginInput!) { login(input: $input) {
        session { accessToken refreshToken } userErrors { field code } } }";
    ask(server, query, json!({ "input": { "email": email, "password": password } }), None).await
}

async fn viewer(server: &Server, token: &str) -> Value {
    ask(server, "{ viewer { user { email fullName emailVerifiedAt } } }", json!({}), Some(token)).await
}

/// The one-time token at the end of the link in a text.
fn token_in(text: &str) -> String {
    let text = text.replace("=\n", "").replace("=3D", "=");
    let start = text.find("stoa_ut_").unwrap_or_else(|| panic!("no token in {text}"));
    text[start..].chars().take_while(|c| c.is_ascii_alphanumeric() || "_-".contains(*c)).collect()
}

/// The token of the latest mail that waits to be sent to somebody; no worker takes it.
async fn mailed(server: &Server, template: &str, to: &str) -> String {
    let text = server
        .text(&format!(
            "SELECT payload #>> '{{letter,text}}' FROM jobs WHERE about = '{template} to {to}' ORDER BY id DESC LIMIT 1"
        ))
        .await;
    token_in(&text)
}

async fn received(smtp: &Smtp, subject: &str, who: &Founder) -> Received {
    until(subject, async || {
        let fits = |mail: &&Received| mail.data.contains(subject) && mail.to.iter().any(|to| to.contains(&who.email));
        smtp.mails.lock().iter().rfind(fits).cloned()
    })
    .await
}

#[tokio::test]
async fn who_registers_is_welcomed_and_shows_once_that_the_address_is_theirs() {
    let server = kit::server().await;
    let (ada, bob) = (server.founder().await, server.founder().await);
    let token = mailed(server, "welcome", &ada.email).await;
    let stored = format!("SELECT count(*) FROM user_tokens WHERE encode(hash, 'escape') LIKE '%{}%'", &token[8..]);
    assert_eq!(server.count(&stored).await, 0, "only its hash is kept");
    assert_eq!(viewer(server, &ada).await["data"]["viewer"]["user"]["emailVerifiedAt"], Value::Null);

    let mut uses = futures_util::future::join_all((0..100).map(|_| verify(server, &token))).await;
    uses.retain(|answer| user_errors(answer, "emailVerify").is_empty());
    assert_eq!(uses.len(), 1, "{uses:?}");
    assert_eq!(data(&uses[0], "emailVerify.email"), &json!(ada.email));
    assert!(viewer(server, &ada).await["data"]["viewer"]["user"]["emailVerifiedAt"].is_string());
    assert!(viewer(server, &bob).await["data"]["viewer"]["user"]["emailVerifiedAt"].is_null());
    for bad in [&*token, "", "stoa_ut_", "\0", &"stoa_ut_".repeat(10_000), &token[..40], &format!("{token}A")] {
        let answer = verify(server, bad).await;
        assert_eq!(user_errors(&answer, "emailVerify"), ["token INVALID"], "{bad:.60}");
        assert_eq!(data(&answer, "emailVerify.email"), &Value::Null);
    }
}

#[tokio::test]
async fn a_token_ends_serves_its_purpose_only_and_goes_with_its_address() {
    let server = kit::server().await;
    let ada = server.founder().await;
    let set = |what: &str| {
        let of = format!("user_id = (SELECT id FROM users WHERE email = '{}')", ada.email);
        format!("UPDATE user_tokens SET {what} WHERE {of}")
    };
    let token = mailed(server, "welcome", &ada.email).await;
    assert_eq!(user_errors(&reset(server, &token, OTHER_PASSWORD).await, "passwordReset"), ["token INVALID"]);
    server.sql(&set("expires_at = now() - interval '1 second'")).await;
    assert_eq!(user_errors(&verify(server, &token).await, "emailVerify"), ["token INVALID"], "expired");
    server.sql(&set("expires_at = now() + interval '1 hour', email = 'other@example.com'")).await;
    assert_eq!(user_errors(&verify(server, &token).await, "emailVerify"), ["token INVALID"], "of another address");
    server.sql(&set(&format!("email = '{}'", ada.email))).await;
    assert!(user_errors(&verify(server, &token).await, "emailVerify").is_empty());
}

#[tokio::test]
async fn the_link_is_sent_again_until_it_was_used_and_not_without_end() {
    let server = kit::server().await;
    let ada = server.founder().await;
    let query = "mutation { emailVerificationResend { userErrors { field code } } }";
    let first = mailed(server, "welcome", &ada.email).await;
    assert!(user_errors(&ask(server, query, json!({}), Some(&ada)).await, "emailVerificationResend").is_empty());
    let second = mailed(server, "welcome", &ada.email).await;
    assert_ne!(first, second);
    assert!(user_errors(&verify(server, &first).await, "emailVerify").is_empty(), "the earlier one works");
    assert_eq!(
        user_errors(&verify(server, &second).await, "emailVerify"),
        ["token INVALID"],
        "there is nothing left to show"
    );
    let answer = ask(server, query, json!({}), Some(&ada)).await;
    assert_eq!(user_errors(&answer, "emailVerificationResend"), [" STATE_INVALID"]);
    let bob = server.founder().await;
    let tries = futures_util::future::join_all((0..6).map(|_| ask(server, query, json!({}), Some(&bob)))).await;
    let limited = tries.iter().filter(|answer| answer["errors"][0]["extensions"]["code"] == "RATE_LIMITED");
    assert_eq!(limited.count(), 3, "{tries:?}");
}

#[tokio::test]
async fn a_verified_member_writes_within_a_second() {
    let server = kit::server().await;
    let ada = server.founder().await;
    let gate = format!("UPDATE organizations SET require_verified_email = true WHERE id = '{}'", ada.organization);
    server.sql(&gate).await;
    server.forget();
    let create = "mutation { conversationCreate(input: { title: \"All\", memberIds: [] }) { userErrors { code } } }";
    assert_eq!(code(&ask(server, create, json!({}), Some(&ada)).await), "EMAIL_NOT_VERIFIED");
    data(&viewer(server, &ada).await, "viewer.user");
    let token = mailed(server, "welcome", &ada.email).await;
    assert!(user_errors(&verify(server, &token).await, "emailVerify").is_empty());
    assert!(user_errors(&ask(server, create, json!({}), Some(&ada)).await, "conversationCreate").is_empty());
}

#[tokio::test]
async fn who_forgot_the_password_gets_back_in_by_mail_and_everybody_else_is_out() {
    let smtp = Smtp::start().await;
    let server = working(|config| {
        smtp.settings(config);
        config.identity.max_failures = 3;
    })
    .await;
    let ada = server.founder().await;
    let refresh = login(&server, &ada.email, PASSWORD).await;
    let refresh = data(&refresh, "login.session.refreshToken").clone();
    for _ in 0..3 {
        login(&server, &ada.email, "not the password").await;
    }
    assert_eq!(code(&login(&server, &ada.email, PASSWORD).await), "RATE_LIMITED");
    assert!(user_errors(&forgot(&server, &ada.email.to_uppercase()).await, "passwordForgot").is_empty());
    let mail = received(&smtp, "Subject: Choose a new password", &ada).await;
    let token = token_in(&mail.data);
    let weak = reset(&server, &token, "password123").await;
    assert_eq!(user_errors(&weak, "passwordReset"), ["newPassword INVALID"], "and the token is still good");

    let theirs = Founder { email: fresh_address(), ..ada.clone() };
    change_address(&server, &ada, &theirs.email).await;
    let intruders = token_in(&received(&smtp, "Subject: Confirm your new e-mail address", &theirs).await.data);
    let uses = futures_util::future::join_all((0..100).map(|_| reset(&server, &token, OTHER_PASSWORD))).await;
    let done = uses.iter().filter(|answer| answer["data"]["passwordReset"]["userErrors"] == json!([])).count();
    assert_eq!(done, 1, "{uses:?}");
    assert_eq!(code(&viewer(&server, &ada).await), "UNAUTHENTICATED");
    assert_eq!(user_errors(&verify(&server, &intruders).await, "emailVerify"), ["token INVALID"]);
    let query = "mutation($token: String!) { sessionRefresh(input: { refreshToken: $token }) { userErrors { code } } }";
    let refreshed = ask(&server, query, json!({ "token": refresh }), None).await;
    assert_eq!(data(&refreshed, "sessionRefresh.userErrors"), &json!([{ "code": "INVALID" }]));
    received(&smtp, "Subject: Your password was changed", &ada).await;

    let back = login(&server, &ada.email, OTHER_PASSWORD).await;
    let token = data(&back, "login.session.accessToken").as_str().unwrap().to_owned();
    let seen = viewer(&server, &token).await;
    assert!(data(&seen, "viewer.user.emailVerifiedAt").is_string(), "the mailbox is theirs");
    assert_eq!(user_errors(&login(&server, &ada.email, PASSWORD).await, "login"), [" INVALID"]);
    server.stop().await;
}

#[tokio::test]
async fn forgetting_tells_nobody_who_has_an_account() {
    let smtp = Smtp::start().await;
    let server = working(|config| smtp.settings(config)).await;
    let (ada, nobody) = (server.founder().await, format!("{}@example.com", Uuid::new_v4().simple()));
    let mut answers = Vec::new();
    for email in [&ada.email, &nobody] {
        answers.push(forgot(&server, email).await["data"].clone());
    }
    assert_eq!(answers[0], answers[1]);
    assert_eq!(user_errors(&forgot(&server, "no address").await, "passwordForgot"), ["email INVALID_FORMAT"]);
    received(&smtp, "Subject: Choose a new password", &ada).await;
    // A mailbox is not filled, and nobody is told so either.
    for _ in 0..10 {
        assert_eq!(forgot(&server, &ada.email).await["data"], answers[0]);
    }
    let waiting =
        "SELECT count(*) FROM jobs WHERE kind IN ('mail_password_reset', 'mail') AND status IN ('waiting', 'running')";
    until("an empty queue", async || (server.count(waiting).await == 0).then_some(())).await;
    let mails = smtp.mails.lock().clone();
    assert!(mails.iter().all(|mail| mail.to.iter().all(|to| !to.contains(&nobody))));
    assert_eq!(mails.len(), 3, "three at once and no more");
    server.stop().await;
}

#[tokio::test]
async fn forgetting_takes_the_same_time_for_known_and_unknown() {
    let server = kit::server().await;
    let ada = server.founder().await;
    let nobody = format!("{}@example.com", Uuid::new_v4().simple());
    let mut times = [Vec::new(), Vec::new()];
    // So many as are let through for each: from then on both do nothing.
    for _ in 0..3 {
        for (times, email) in times.iter_mut().zip([&ada.email, &nobody]) {
            let begin = Instant::now();
            forgot(server, email).await;
            times.push(begin.elapsed());
        }
    }
    let best = times.map(|times| times.into_iter().min().unwrap());
    assert!(best[0].abs_diff(best[1]) < Duration::from_millis(20), "{best:?}");
    let left = "SELECT count(*) FROM user_tokens t JOIN users u ON u.id = t.user_id WHERE t.purpose = 'reset_password'";
    assert_eq!(
        server.count(&format!("{left} AND u.email = '{}'", ada.email)).await,
        0,
        "the request itself looks nothing up"
    );
}

#[tokio::test]
async fn a_disabled_account_gets_no_way_back() {
    let smtp = Smtp::start().await;
    let server = working(|config| smtp.settings(config)).await;
    let ada = server.founder().await;
    forgot(&server, &ada.email).await;
    let token = token_in(&received(&smtp, "Subject: Choose a new password", &ada).await.data);
    server.sql("UPDATE users SET disabled_at = now()").await;
    assert_eq!(user_errors(&reset(&server, &token, OTHER_PASSWORD).await, "passwordReset"), ["token INVALID"]);
    forgot(&server, &ada.email).await;
    let waiting = "SELECT count(*) FROM jobs WHERE status IN ('waiting', 'running')";
    until("an empty queue", async || (server.count(waiting).await == 0).then_some(())).await;
    assert_eq!(smtp.mails.lock().len(), 1);
    server.stop().await;
}

#[tokio::test]
async fn a_proof_is_the_password_and_wrong_ones_count() {
    let server = Server::with(|config| config.identity.max_failures = 4).await;
    let ada = server.founder().await;
    let query =
        "mutation($password: String!) { reauthenticate(input: { password: $password }) { userErrors { field code } } }";
    let prove = async |password: &str| ask(&server, query, json!({ "password": password }), Some(&ada)).await;
    let old = format!(
        "UPDATE sessions SET authenticated_at = now() - interval '1 hour' WHERE organization_id = '{}'",
        ada.organization
    );
    let recent = format!(
        "SELECT count(*) FROM sessions WHERE organization_id = '{}' AND authenticated_at > now() - interval '1 minute'",
        ada.organization
    );
    server.sql(&old).await;
    assert_eq!(user_errors(&prove("not the password").await, "reauthenticate"), ["password INVALID"]);
    assert_eq!(server.count(&recent).await, 0);
    assert!(user_errors(&prove(PASSWORD).await, "reauthenticate").is_empty());
    assert_eq!(server.count(&recent).await, 1);
    let tries = futures_util::future::join_all((0..8).map(|_| prove("not the password"))).await;
    assert!(tries.iter().any(|answer| answer["errors"][0]["extensions"]["code"] == "RATE_LIMITED"), "{tries:?}");
    server.stop().await;
}

async fn change_address(server: &Server, who: &str, email: &str) -> Value {
    let query = "mutation($email: String!) { emailChange(input: { email: $email }) { userErrors { field code } } }";
    ask(server, query, json!({ "email": email }), Some(who)).await
}

fn fresh_address() -> String {
    format!("{}@example.com", Uuid::new_v4().simple())
}

#[tokio::test]
async fn another_address_is_the_accounts_once_its_mailbox_was_read() {
    let server = kit::server().await;
    let ada = server.founder().await;
    let new = fresh_address();
    assert!(user_errors(&change_address(server, &ada, &new.to_uppercase()).await, "emailChange").is_empty());
    assert_eq!(viewer(server, &ada).await["data"]["viewer"]["user"]["email"], ada.email, "so far nothing has changed");
    data(&login(server, &ada.email, PASSWORD).await, "login.session.accessToken");
    let (welcome, token) = (mailed(server, "welcome", &ada.email).await, mailed(server, "email_confirm", &new).await);

    let mut uses = futures_util::future::join_all((0..20).map(|_| verify(server, &token))).await;
    uses.retain(|answer| user_errors(answer, "emailVerify").is_empty());
    assert_eq!(uses.len(), 1, "{uses:?}");
    assert_eq!(data(&uses[0], "emailVerify.email"), &json!(new));
    let user = viewer(server, &ada).await["data"]["viewer"]["user"].clone();
    assert_eq!(user["email"], json!(new));
    assert!(user["emailVerifiedAt"].is_string());
    assert_eq!(user_errors(&verify(server, &welcome).await, "emailVerify"), ["token INVALID"], "of the old address");
    assert_eq!(user_errors(&login(server, &ada.email, PASSWORD).await, "login"), [" INVALID"]);
    data(&login(server, &new, PASSWORD).await, "login.session.accessToken");
    let told = format!("SELECT payload #>> '{{letter,text}}' FROM jobs WHERE about = 'email_changed to {}'", ada.email);
    assert!(server.text(&told).await.contains(&new), "who reads the old mailbox is told");
}

#[tokio::test]
async fn an_address_changes_only_with_a_recent_proof_and_to_nobody_elses() {
    let server = kit::server().await;
    let (ada, bob) = (server.founder().await, server.founder().await);
    for (email, code) in [(&*bob.email, "NOT_UNIQUE"), (&*ada.email, "INVALID"), ("no address", "INVALID_FORMAT")] {
        let answer = change_address(server, &ada, email).await;
        assert_eq!(user_errors(&answer, "emailChange"), [format!("email {code}")]);
    }
    let (late, contested) = (server.founder().await, fresh_address());
    assert!(user_errors(&change_address(server, &late, &contested).await, "emailChange").is_empty());
    let token = mailed(server, "email_confirm", &contested).await;
    server.sql(&format!("UPDATE users SET email = '{contested}' WHERE email = '{}'", bob.email)).await;
    assert_eq!(user_errors(&verify(server, &token).await, "emailVerify"), ["token NOT_UNIQUE"], "somebody was faster");
    assert_eq!(viewer(server, &late).await["data"]["viewer"]["user"]["email"], late.email);

    let carol = server.founder().await;
    let of = carol.organization;
    server
        .sql(&format!(
            "UPDATE sessions SET authenticated_at = now() - interval '301 seconds' WHERE organization_id = '{of}'"
        ))
        .await;
    let refused = change_address(server, &carol, &fresh_address()).await;
    assert_eq!(code(&refused), "FORBIDDEN");
    assert_eq!(refused["errors"][0]["extensions"]["reason"], "REAUTHENTICATION_REQUIRED");
    let prove =
        "mutation($password: String!) { reauthenticate(input: { password: $password }) { userErrors { code } } }";
    ask(server, prove, json!({ "password": PASSWORD }), Some(&carol)).await;
    assert!(user_errors(&change_address(server, &carol, &fresh_address()).await, "emailChange").is_empty());
}

/// Whoever was thrown out leaves nothing behind that would bring them back.
#[tokio::test]
async fn throwing_everybody_out_takes_back_changes_that_were_asked_for() {
    let server = kit::server().await;
    for document in [
        format!(
            "mutation {{ done: passwordChange(input: {{ currentPassword: \"{PASSWORD}\", newPassword: \"{OTHER_PASSWORD}\" }}) {{ userErrors {{ code }} }} }}"
        ),
        "mutation { done: logoutEverywhere { userErrors { code } } }".to_owned(),
    ] {
        let (ada, new) = (server.founder().await, fresh_address());
        change_address(server, &ada, &new).await;
        let token = mailed(server, "email_confirm", &new).await;
        assert!(user_errors(&ask(server, &document, json!({}), Some(&ada)).await, "done").is_empty());
        assert_eq!(user_errors(&verify(server, &token).await, "emailVerify"), ["token INVALID"], "{document}");
    }
}

async fn profile(server: &Server, who: &str, input: Value) -> Value {
    let query = "mutation($input: ProfileUpdateInput!) { profileUpdate(input: $input) {
        user { fullName phone locale timeZone settings } userErrors { field code } } }";
    ask(server, query, json!({ "input": input }), Some(who)).await
}

#[tokio::test]
async fn a_person_changes_the_profile_and_only_what_was_given() {
    let server = kit::server().await;
    let ada = server.founder().await;
    let all = json!({ "fullName": " Ada  Byron ", "phone": " +44 20 7946 0000 ", "locale": "pt-BR",
                      "timeZone": "Europe/London", "settings": { "theme": "dark" } });
    let answer = profile(server, &ada, all).await;
    let stored = json!({ "fullName": "Ada  Byron", "phone": "+44 20 7946 0000", "locale": "pt-BR",
                         "timeZone": "Europe/London", "settings": { "theme": "dark" } });
    assert_eq!(data(&answer, "profileUpdate.user"), &stored);
    let answer = profile(server, &ada, json!({ "phone": null })).await;
    let mut without = stored.clone();
    without["phone"] = Value::Null;
    assert_eq!(data(&answer, "profileUpdate.user"), &without, "what is left out stays");

    let bad = json!({ "fullName": null, "phone": "1".repeat(51), "locale": "de_DE", "timeZone": "Mars/Base",
                      "settings": { "large": "x".repeat(40_000) } });
    let answer = profile(server, &ada, bad).await;
    assert_eq!(data(&answer, "profileUpdate.user"), &Value::Null);
    assert_eq!(
        user_errors(&answer, "profileUpdate"),
        ["fullName REQUIRED", "phone TOO_LONG", "locale INVALID_FORMAT", "timeZone INVALID", "settings TOO_LONG"]
    );
    for settings in [json!({ "a": "\0" }), json!({ "a\0": 1 })] {
        let answer = profile(server, &ada, json!({ "settings": settings })).await;
        assert_eq!(user_errors(&answer, "profileUpdate"), ["settings INVALID"]);
    }
    let answer = profile(server, &ada, json!({})).await;
    assert_eq!(data(&answer, "profileUpdate.user"), &without, "what was refused has changed nothing");
}

#[tokio::test]
async fn an_organization_that_does_not_take_a_new_name_keeps_no_other_from_it() {
    let server = working(|config| config.jobs.workers = 0).await;
    let ada = server.founder().await;
    let mut others = Vec::new();
    for _ in 0..3 {
        let other = server.founder().await;
        server.joins(&ada, &other, "member").await;
        others.push(other);
    }
    // Whichever comes first.
    let refusing = format!("NEW.organization_id IN ('{}', '{}')", others[0].organization, others[2].organization);
    server.refuse("UPDATE ON memberships", &refusing).await;
    profile(&server, &ada, json!({ "fullName": "Ada Byron" })).await;
    let copy = async || {
        let job = server.text("SELECT payload::text FROM jobs WHERE kind = 'copy_profile'").await;
        serde_json::from_str::<CopyProfile>(&job).expect("a job").run(&server.app).await
    };
    let query = "{ members(filter: { name: { eq: \"Ada Byron\" } }) { totalCount } }";
    let shown = async || {
        let mut shown = Vec::new();
        for other in &others {
            shown.push(data(&ask(&server, query, json!({}), Some(other)).await, "members.totalCount").clone());
        }
        shown
    };
    copy().await.expect_err("two failed");
    assert_eq!(shown().await, [0, 1, 0]);
    server.allow("memberships").await;
    copy().await.expect("copied");
    assert_eq!(shown().await, [1, 1, 1]);
}

#[tokio::test]
async fn a_new_name_and_address_are_shown_in_every_organization() {
    let smtp = Smtp::start().await;
    let server = working(|config| smtp.settings(config)).await;
    let (ada, bob) = (server.founder().await, server.founder().await);
    server.joins(&ada, &bob, "member").await;
    profile(&server, &ada, json!({ "fullName": "Ada Byron" })).await;
    let query = "{ members(filter: { name: { eq: \"Ada Byron\" } }) { nodes { name email version } } }";
    let here = ask(&server, query, json!({}), Some(&ada)).await;
    assert_eq!(data(&here, "members.nodes.0.version"), 2, "at once where it was changed");
    let there = async |email: &str| {
        until("the name and the address in the other organization", async || {
            let answer = ask(&server, query, json!({}), Some(&bob)).await;
            (answer["data"]["members"]["nodes"][0]["email"] == email).then_some(())
        })
        .await;
    };
    there(&ada.email).await;
    let new = Founder { email: fresh_address(), ..ada.clone() };
    change_address(&server, &ada, &new.email).await;
    let token = token_in(&received(&smtp, "Subject: Confirm your new e-mail address", &new).await.data);
    assert!(user_errors(&verify(&server, &token).await, "emailVerify").is_empty());
    there(&new.email).await;
    received(&smtp, "Subject: Your e-mail address was changed", &ada).await;
    server.stop().await;
}
