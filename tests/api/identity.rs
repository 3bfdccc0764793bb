//! Identity as a client sees it: registering, signing in, staying in, changing the password, signing out.

use crate::kit::{self, Server};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use uuid::Uuid;

const PASSWORD: &str = "nine purple otters juggle";
const OTHER_PASSWORD: &str = "seven green herons whistle";

/// Somebody who has registered.
struct Founder {
    email: String,
    slug: String,
    access: String,
    refresh: String,
}

fn fresh(what: &str) -> String {
    format!("{what}-{}", Uuid::new_v4().simple())
}

async fn found(server: &Server) -> Founder {
    let slug = fresh("org");
    let email = format!("{}@example.com", fresh("ada"));
    let input = json!({ "email": email, "password": PASSWORD, "fullName": "Ada Lovelace",
                        "organizationName": "Analytical Engines", "organizationSlug": slug });
    let (access, refresh) = tokens(&register(server, input).await["data"]["register"]);
    Founder { email, slug, access, refresh }
}

async fn register(server: &Server, input: Value) -> Value {
    let query = "mutation($input: RegisterInput!) { register(input: $input) {
        session { accessToken refreshToken expiresAt } userErrors { field message code } } }";
    server.graphql(query, json!({ "input": input }), None).await
}

async fn login(server: &Server, email: &str, password: &str, organization: Option<&str>) -> Value {
    let query = "mutation($input: LoginInput!) { login(input: $input) {
        session { accessToken refreshToken expiresAt } userErrors { field message code } } }";
    let input = json!({ "email": email, "password": password, "organization": organization });
    server.graphql(query, json!({ "input": input }), None).await
}

async fn refresh(server: &Server, token: &str) -> Value {
    let query = "mutation($input: SessionRefreshInput!) { sessionRefresh(input: $input) {
        session { accessToken refreshToken } userErrors { field code } } }";
    server.graphql(query, json!({ "input": { "refreshToken": token } }), None).await["data"]["sessionRefresh"].clone()
}

async fn change(server: &Server, access: &str, current: &str, new: &str) -> Value {
    let query = "mutation($input: PasswordChangeInput!) { passwordChange(input: $input) {
        userErrors { field code } } }";
    let input = json!({ "input": { "currentPassword": current, "newPassword": new } });
    server.graphql(query, input, Some(access)).await["data"]["passwordChange"]["userErrors"].clone()
}

async fn viewer(server: &Server, access: &str) -> Value {
    server.graphql("{ viewer { memberId role organization { slug } user { email } } }", json!({}), Some(access)).await
}

fn tokens(payload: &Value) -> (String, String) {
    assert_eq!(payload["userErrors"], json!([]), "{payload}");
    let token = |name: &str| payload["session"][name].as_str().unwrap_or_else(|| panic!("{payload}")).to_owned();
    (token("accessToken"), token("refreshToken"))
}

/// `[["email"], "INVALID"], …`, in the order in which they came.
fn faults(payload: &Value) -> Value {
    assert_eq!(payload["session"], Value::Null, "{payload}");
    payload["userErrors"].as_array().unwrap().iter().map(|error| json!([error["field"], error["code"]])).collect()
}

fn code(answer: &Value) -> &str {
    answer["errors"][0]["extensions"]["code"].as_str().unwrap_or_default()
}

#[tokio::test]
async fn registering_founds_an_organization_and_signs_in() {
    let server = kit::server().await;
    let email = format!("{}@Example.COM", fresh("Grace"));
    let input = json!({ "email": format!(" {email} "), "password": PASSWORD, "fullName": " Grace Hopper ",
                        "organizationName": "Müller & Söhne", "timeZone": "Europe/Berlin", "currency": "EUR" });
    let answer = register(server, input).await;
    let (access, _) = tokens(&answer["data"]["register"]);
    let query = "{ viewer { role user { email fullName timeZone emailVerifiedAt }
        organization { name slug timeZone currency version } permissions { resource action scope } } }";
    let viewer = server.graphql(query, json!({}), Some(&access)).await["data"]["viewer"].clone();
    assert_eq!(viewer["role"], "OWNER");
    assert_eq!(
        viewer["user"],
        json!({ "email": email.to_lowercase(), "fullName": "Grace Hopper", "timeZone": "Europe/Berlin",
                "emailVerifiedAt": null })
    );
    let slug = viewer["organization"]["slug"].as_str().unwrap();
    assert!(slug.starts_with("muller-sohne"), "{slug}");
    assert_eq!(viewer["organization"]["currency"], "EUR");
    let deletes = json!({ "resource": "ORGANIZATION", "action": "DELETE", "scope": "ALL" });
    assert!(viewer["permissions"].as_array().unwrap().contains(&deletes));
}

#[tokio::test]
async fn all_faults_of_a_registration_are_told_at_once() {
    let server = kit::server().await;
    let input = json!({ "email": "ada", "password": "short", "fullName": " ", "organizationName": "a\u{0}b",
                        "organizationSlug": "No Slug", "timeZone": "Mars/Base", "currency": "XXY" });
    let answer = register(server, input).await;
    assert_eq!(
        faults(&answer["data"]["register"]),
        json!([
            [["email"], "INVALID_FORMAT"],
            [["fullName"], "REQUIRED"],
            [["organizationName"], "INVALID"],
            [["organizationSlug"], "INVALID_FORMAT"],
            [["timeZone"], "INVALID"],
            [["currency"], "INVALID"],
            [["password"], "TOO_SHORT"]
        ])
    );
    let email = format!("{}@example.com", fresh("margaret"));
    for (password, code) in
        [("", "REQUIRED"), (&*"x".repeat(129), "TOO_LONG"), ("password123", "INVALID"), (&email, "INVALID")]
    {
        let input = json!({ "email": email, "password": password, "fullName": "Margaret Hamilton", "organizationName": "Apollo" });
        assert_eq!(faults(&register(server, input).await["data"]["register"]), json!([[["password"], code]]));
    }
    let wrong = login(server, &email, PASSWORD, None).await;
    assert_eq!(faults(&wrong["data"]["login"]), json!([[null, "INVALID"]]), "nothing was written");
}

#[tokio::test]
async fn what_is_taken_is_told_at_once_and_a_made_slug_finds_another() {
    let server = kit::server().await;
    let ada = found(server).await;
    let input = json!({ "email": ada.email.to_uppercase(), "password": PASSWORD, "fullName": "Eve",
                        "organizationName": "Eve", "organizationSlug": ada.slug });
    let taken = json!([[["email"], "NOT_UNIQUE"], [["organizationSlug"], "NOT_UNIQUE"]]);
    assert_eq!(faults(&register(server, input).await["data"]["register"]), taken);
    let name = fresh("Same name");
    for _ in 0..2 {
        let email = format!("{}@example.com", fresh("bob"));
        let input = json!({ "email": email, "password": PASSWORD, "fullName": "Bob", "organizationName": name });
        tokens(&register(server, input).await["data"]["register"]);
    }
}

#[tokio::test]
async fn of_two_who_register_one_address_at_once_one_gets_it() {
    let server = kit::server().await;
    let email = format!("{}@example.com", fresh("twin"));
    let input = json!({ "email": email, "password": PASSWORD, "fullName": "Twin", "organizationName": "Twins" });
    let (a, b) = tokio::join!(register(server, input.clone()), register(server, input));
    let sessions = [&a, &b].map(|answer| !answer["data"]["register"]["session"].is_null());
    assert_eq!(sessions.iter().filter(|session| **session).count(), 1, "{a} {b}");
    let wrong = if sessions[0] { b } else { a };
    assert_eq!(faults(&wrong["data"]["register"]), json!([[["email"], "NOT_UNIQUE"]]));
}

#[tokio::test]
async fn signing_in_needs_the_password_and_says_nothing_without() {
    let server = kit::server().await;
    let ada = found(server).await;
    let session = login(server, &ada.email.to_uppercase(), PASSWORD, None).await;
    let (access, _) = tokens(&session["data"]["login"]);
    assert_eq!(viewer(server, &access).await["data"]["viewer"]["user"]["email"], ada.email);

    let wrong = login(server, &ada.email, "wrong password", None).await;
    for (email, password) in [
        (&*format!("{}@example.com", fresh("nobody")), PASSWORD),
        ("no address", PASSWORD),
        ("nul\0@example.com", PASSWORD),
        (&*ada.email, ""),
        (&*ada.email, &*"x".repeat(5000)),
    ] {
        assert_eq!(login(server, email, password, None).await["data"], wrong["data"], "{email}");
    }
    assert_eq!(faults(&wrong["data"]["login"]), json!([[null, "INVALID"]]));
}

#[tokio::test]
async fn a_disabled_account_answers_as_if_the_password_were_wrong() {
    let server = kit::server().await;
    let ada = found(server).await;
    viewer(server, &ada.access).await;
    server.sql(&format!("UPDATE users SET disabled_at = now() WHERE email = '{}'", ada.email)).await;
    assert_eq!(faults(&login(server, &ada.email, PASSWORD, None).await["data"]["login"]), json!([[null, "INVALID"]]));
    assert_eq!(faults(&refresh(server, &ada.refresh).await), json!([[["refreshToken"], "INVALID"]]));
    server.forget();
    assert_eq!(viewer(server, &ada.access).await["errors"][0]["extensions"]["reason"], "REVOKED");
}

#[tokio::test]
async fn an_unknown_address_takes_the_time_of_a_wrong_password() {
    let server = kit::server().await;
    let ada = found(server).await;
    let nobody = format!("{}@example.com", fresh("nobody"));
    let mut times = [Duration::MAX; 2];
    for _ in 0..4 {
        for (time, email) in times.iter_mut().zip([&ada.email, &nobody]) {
            let started = Instant::now();
            login(server, email, "wrong password", None).await;
            *time = started.elapsed().min(*time);
        }
    }
    let apart = times[0].abs_diff(times[1]);
    assert!(apart < Duration::from_millis(20), "{times:?}");
}

#[tokio::test]
async fn too_many_failures_lock_known_and_unknown_alike() {
    let server = kit::server().await;
    let ada = found(server).await;
    let nobody = format!("{}@example.com", fresh("nobody"));
    let mut told = Vec::new();
    for email in [&ada.email, &nobody] {
        let attempts = (0..16).map(|_| login(server, email, "wrong password", None));
        let answers = futures_util::future::join_all(attempts).await;
        let refused: Vec<_> = answers.iter().filter(|answer| code(answer) == "RATE_LIMITED").collect();
        assert!(refused.iter().all(|answer| answer["errors"][0]["extensions"]["retryAfter"].as_u64() > Some(0)));
        told.push((refused.len(), answers.len()));
    }
    assert_eq!(told[0], told[1]);
    assert!(told[0].0 > 5, "attempts made at once count before they are judged: {told:?}");
    assert_eq!(code(&login(server, &ada.email, PASSWORD, None).await), "RATE_LIMITED", "even the right password waits");
    assert_eq!(viewer(server, &ada.access).await["data"]["viewer"]["user"]["email"], ada.email, "who is in stays in");
}

#[tokio::test]
async fn a_lock_in_the_database_holds_and_ends() {
    let server = kit::server().await;
    let ada = found(server).await;
    let lock = |until: &str| format!("UPDATE users SET locked_until = now() + '{until}' WHERE email = '{}'", ada.email);
    server.sql(&lock("1 minute")).await;
    assert_eq!(faults(&login(server, &ada.email, PASSWORD, None).await["data"]["login"]), json!([[null, "INVALID"]]));
    server.sql(&lock("-1 second")).await;
    tokens(&login(server, &ada.email, PASSWORD, None).await["data"]["login"]);
}

#[tokio::test]
async fn success_forgives_failures() {
    let server = kit::server().await;
    let ada = found(server).await;
    for _ in 0..3 {
        for _ in 0..3 {
            login(server, &ada.email, "wrong password", None).await;
        }
        tokens(&login(server, &ada.email, PASSWORD, None).await["data"]["login"]);
    }
}

#[tokio::test]
async fn members_of_several_organizations_name_one() {
    let server = kit::server().await;
    let (ada, bob) = (found(server).await, found(server).await);
    server.sql(&join(&ada, &bob, "sales_rep")).await;
    let answer = login(server, &ada.email, PASSWORD, None).await;
    assert_eq!(faults(&answer["data"]["login"]), json!([[["organization"], "REQUIRED"]]));
    let message = answer["data"]["login"]["userErrors"][0]["message"].as_str().unwrap();
    assert!(message.contains(&ada.slug) && message.contains(&bob.slug), "{message}");
    let wrong = login(server, &ada.email, "wrong password", Some(&bob.slug)).await;
    assert_eq!(faults(&wrong["data"]["login"]), json!([[null, "INVALID"]]), "nothing without the password");
    let unknown = login(server, &ada.email, PASSWORD, Some("no-such")).await;
    assert_eq!(faults(&unknown["data"]["login"]), json!([[["organization"], "NOT_FOUND"]]));
    for (slug, role) in [(&ada.slug, "OWNER"), (&bob.slug, "SALES_REP")] {
        let (access, _) = tokens(&login(server, &ada.email, PASSWORD, Some(slug)).await["data"]["login"]);
        let viewer = viewer(server, &access).await["data"]["viewer"].clone();
        assert_eq!((&viewer["organization"]["slug"], &viewer["role"]), (&json!(slug), &json!(role)));
    }
    let stranger = login(server, &bob.email, PASSWORD, Some(&ada.slug)).await;
    assert_eq!(faults(&stranger["data"]["login"]), json!([[["organization"], "NOT_FOUND"]]), "as if it did not exist");
}

/// SQL that makes one founder a member of the other's organization.
fn join(who: &Founder, whose: &Founder, role: &str) -> String {
    format!(
        "INSERT INTO memberships (organization_id, id, user_id, name, email, role)
         SELECT o.id, gen_random_uuid(), u.id, u.full_name, u.email, '{role}'
         FROM organizations o, users u WHERE o.slug = '{}' AND u.email = '{}'",
        whose.slug, who.email
    )
}

#[tokio::test]
async fn a_suspended_organization_lets_nobody_in() {
    let server = kit::server().await;
    let ada = found(server).await;
    viewer(server, &ada.access).await;
    server.sql(&format!("UPDATE organizations SET suspended_at = now() WHERE slug = '{}'", ada.slug)).await;
    server.forget();
    assert_eq!(code(&viewer(server, &ada.access).await), "ORGANIZATION_SUSPENDED");
    assert_eq!(code(&login(server, &ada.email, PASSWORD, None).await), "ORGANIZATION_SUSPENDED");
    assert_eq!(faults(&login(server, &ada.email, "wrong", None).await["data"]["login"]), json!([[null, "INVALID"]]));
    server.sql(&format!("UPDATE organizations SET suspended_at = NULL WHERE slug = '{}'", ada.slug)).await;
    tokens(&refresh(server, &ada.refresh).await);
}

#[tokio::test]
async fn a_refresh_token_works_once_and_a_second_use_ends_the_session() {
    let server = kit::server().await;
    let ada = found(server).await;
    let (access, second) = tokens(&refresh(server, &ada.refresh).await);
    let (_, third) = tokens(&refresh(server, &second).await);
    assert_eq!(code(&viewer(server, &access).await), "");
    assert_eq!(code(&viewer(server, &ada.access).await), "", "an access token goes on until it ends");
    a_while(server, &ada).await;
    assert_eq!(faults(&refresh(server, &second).await), json!([[["refreshToken"], "INVALID"]]));
    assert_eq!(faults(&refresh(server, &third).await), json!([[["refreshToken"], "INVALID"]]), "nor its successor");
    assert_eq!(viewer(server, &access).await["errors"][0]["extensions"]["reason"], "REVOKED");
    tokens(&login(server, &ada.email, PASSWORD, None).await["data"]["login"]);
}

/// Makes every use of the founder's refresh tokens longer ago than a lost answer is made good.
async fn a_while(server: &Server, who: &Founder) {
    let aged = "UPDATE refresh_tokens t SET used_at = used_at - interval '11 seconds'
        FROM organizations o WHERE o.id = t.organization_id AND o.slug =";
    server.sql(&format!("{aged} '{}'", who.slug)).await;
}

#[tokio::test]
async fn of_many_uses_at_once_all_have_one_successor() {
    let server = kit::server().await;
    let ada = found(server).await;
    let uses = (0..100).map(|_| refresh(server, &ada.refresh));
    let answers = futures_util::future::join_all(uses).await;
    let (access, heir) = tokens(&answers[0]);
    assert!(answers.iter().all(|answer| tokens(answer).1 == heir), "{answers:?}");
    assert_eq!(code(&viewer(server, &access).await), "");
    let (_, next) = tokens(&refresh(server, &heir).await);
    assert_eq!(tokens(&refresh(server, &ada.refresh).await).1, heir, "a tab that is late goes the same way");
    assert_eq!(tokens(&refresh(server, &heir).await).1, next);
    let kept = format!(
        "SELECT count(*) FROM refresh_tokens t JOIN organizations o ON o.id = t.organization_id
         WHERE t.successor IS NOT NULL AND o.slug = '{}'",
        ada.slug
    );
    assert_eq!(server.count(&kept).await, 2);
    a_while(server, &ada).await;
    let (_, last) = tokens(&refresh(server, &next).await);
    assert_eq!(server.count(&kept).await, 1, "what nobody may ask for again is forgotten");
    assert_eq!(faults(&refresh(server, &heir).await), json!([[["refreshToken"], "INVALID"]]), "too late");
    assert_eq!(faults(&refresh(server, &last).await), json!([[["refreshToken"], "INVALID"]]), "nor its successor");
}

#[tokio::test]
async fn a_session_that_has_ended_has_no_successors() {
    let server = kit::server().await;
    let ada = found(server).await;
    let (access, _) = tokens(&refresh(server, &ada.refresh).await);
    server.graphql("mutation { logout { userErrors { code } } }", json!({}), Some(&access)).await;
    assert_eq!(faults(&refresh(server, &ada.refresh).await), json!([[["refreshToken"], "INVALID"]]));
}

#[tokio::test]
async fn nonsense_is_no_refresh_token_and_ends_nothing() {
    let server = kit::server().await;
    let (ada, bob) = (found(server).await, found(server).await);
    let mut forged = ada.refresh.clone().into_bytes();
    let last = forged.len() - 10;
    forged[last] = if forged[last] == b'A' { b'B' } else { b'A' };
    let forged = String::from_utf8(forged).unwrap();
    // Bob's secret under Ada's organization and session.
    let grafted = format!("{}{}", &ada.refresh[..51], &bob.refresh[51..]);
    for token in ["", "stoa_rt_", "\0", &*"a".repeat(10_000), &forged, &grafted, &ada.access] {
        assert_eq!(faults(&refresh(server, token).await), json!([[["refreshToken"], "INVALID"]]), "{token}");
    }
    tokens(&refresh(server, &ada.refresh).await);
    tokens(&refresh(server, &bob.refresh).await);
}

#[tokio::test]
async fn signing_out_ends_this_session_at_once_and_no_other() {
    let server = kit::server().await;
    let ada = found(server).await;
    let (other, _) = tokens(&login(server, &ada.email, PASSWORD, None).await["data"]["login"]);
    assert_eq!(code(&viewer(server, &ada.access).await), "");
    let out = server.graphql("mutation { logout { userErrors { code } } }", json!({}), Some(&ada.access)).await;
    assert_eq!(out["data"]["logout"]["userErrors"], json!([]));
    let gone = viewer(server, &ada.access).await;
    assert_eq!((code(&gone), &gone["errors"][0]["extensions"]["reason"]), ("UNAUTHENTICATED", &json!("REVOKED")));
    assert_eq!(faults(&refresh(server, &ada.refresh).await), json!([[["refreshToken"], "INVALID"]]));
    assert_eq!(code(&viewer(server, &other).await), "");
}

#[tokio::test]
async fn strangers_are_nobody_and_cannot_sign_out() {
    let server = kit::server().await;
    let answer = server.graphql("{ viewer { memberId } }", json!({}), None).await;
    assert_eq!(answer["data"]["viewer"], Value::Null);
    assert!(answer.get("errors").is_none());
    let query = "mutation { logout { userErrors { code } } passwordChange(input: {currentPassword: \"a\", newPassword: \"b\"}) { userErrors { code } } }";
    let answer = server.graphql(query, json!({}), None).await;
    assert_eq!(
        answer["data"],
        json!({ "logout": null, "passwordChange": null }),
        "one failure does not erase the other"
    );
    assert_eq!(answer["errors"].as_array().unwrap().len(), 2);
    assert_eq!(answer["errors"][1]["path"], json!(["passwordChange"]));
    assert_eq!(answer["errors"][0]["extensions"]["reason"], "MISSING");
}

#[tokio::test]
async fn changing_the_password_ends_the_other_sessions_everywhere() {
    let server = kit::server().await;
    let (ada, bob) = (found(server).await, found(server).await);
    server.sql(&join(&ada, &bob, "member")).await;
    let there = tokens(&login(server, &ada.email, PASSWORD, Some(&bob.slug)).await["data"]["login"]);
    let here = tokens(&login(server, &ada.email, PASSWORD, Some(&ada.slug)).await["data"]["login"]);
    for access in [&ada.access, &there.0, &here.0, &bob.access] {
        assert_eq!(code(&viewer(server, access).await), "");
    }
    let both =
        json!([{ "field": ["currentPassword"], "code": "INVALID" }, { "field": ["newPassword"], "code": "TOO_SHORT" }]);
    assert_eq!(change(server, &ada.access, "wrong password", "short").await, both);
    let same = json!([{ "field": ["newPassword"], "code": "INVALID" }]);
    assert_eq!(change(server, &ada.access, PASSWORD, PASSWORD).await, same);
    assert_eq!(change(server, &ada.access, PASSWORD, &ada.email).await, same, "what everybody knows is no password");
    assert_eq!(code(&viewer(server, &there.0).await), "", "so far nothing has changed");

    assert_eq!(change(server, &ada.access, PASSWORD, OTHER_PASSWORD).await, json!([]));
    for (access, token) in [&there, &here] {
        assert_eq!(code(&viewer(server, access).await), "UNAUTHENTICATED");
        assert_eq!(faults(&refresh(server, token).await), json!([[["refreshToken"], "INVALID"]]));
    }
    for access in [&ada.access, &bob.access] {
        assert_eq!(code(&viewer(server, access).await), "");
    }
    tokens(&refresh(server, &ada.refresh).await);
    let old = login(server, &ada.email, PASSWORD, Some(&ada.slug)).await;
    assert_eq!(faults(&old["data"]["login"]), json!([[null, "INVALID"]]));
    tokens(&login(server, &ada.email, OTHER_PASSWORD, Some(&ada.slug)).await["data"]["login"]);
}

#[tokio::test]
async fn who_signs_in_while_the_password_changes_is_not_left_in() {
    let server = kit::server().await;
    let ada = found(server).await;
    let (changed, logins) = tokio::join!(
        change(server, &ada.access, PASSWORD, OTHER_PASSWORD),
        futures_util::future::join_all((0..4).map(|_| login(server, &ada.email, PASSWORD, None)))
    );
    assert_eq!(changed, json!([]));
    for login in logins {
        if let Some(access) = login["data"]["login"]["session"]["accessToken"].as_str() {
            server.forget();
            assert_eq!(code(&viewer(server, access).await), "UNAUTHENTICATED");
        }
    }
}

/// Nobody waits for a second connection while holding one: there may be none left.
#[tokio::test]
async fn many_change_their_passwords_at_once_over_two_connections() {
    let server = Server::with(|config| config.database.pool = 2).await;
    let bob = found(&server).await;
    let mut people = Vec::new();
    for _ in 0..8 {
        let ada = found(&server).await;
        server.sql(&join(&ada, &bob, "member")).await;
        let there = tokens(&login(&server, &ada.email, PASSWORD, Some(&bob.slug)).await["data"]["login"]);
        people.push((ada, there));
    }
    let changes = people.iter().map(|(ada, _)| change(&server, &ada.access, PASSWORD, OTHER_PASSWORD));
    assert_eq!(futures_util::future::join_all(changes).await, vec![json!([]); 8]);
    for (ada, (access, token)) in &people {
        assert_eq!(code(&viewer(&server, access).await), "UNAUTHENTICATED");
        assert_eq!(faults(&refresh(&server, token).await), json!([[["refreshToken"], "INVALID"]]));
        assert_eq!(code(&viewer(&server, &ada.access).await), "");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_role_changes_within_a_second_and_who_is_removed_is_out() {
    let server = kit::server().await;
    let (ada, bob) = (found(server).await, found(server).await);
    server.sql(&join(&ada, &bob, "member")).await;
    let (access, token) = tokens(&login(server, &ada.email, PASSWORD, Some(&bob.slug)).await["data"]["login"]);
    assert_eq!(viewer(server, &access).await["data"]["viewer"]["role"], "MEMBER");
    let set = |what: &str| {
        format!(
            "UPDATE memberships m SET {what} FROM organizations o
             WHERE o.id = m.organization_id AND o.slug = '{}' AND m.email = '{}'",
            bob.slug, ada.email
        )
    };
    server.sql(&set("role = 'manager'")).await;
    server.forget();
    assert_eq!(viewer(server, &access).await["data"]["viewer"]["role"], "MANAGER");
    server.sql(&set("status = 'suspended'")).await;
    server.forget();
    assert_eq!(viewer(server, &access).await["errors"][0]["extensions"]["reason"], "REVOKED");
    assert_eq!(faults(&refresh(server, &token).await), json!([[["refreshToken"], "INVALID"]]));
    tokens(&login(server, &ada.email, PASSWORD, None).await["data"]["login"]);
}

#[tokio::test]
async fn a_member_has_so_many_sessions_and_no_more() {
    let server = kit::server().await;
    let ada = found(server).await;
    let extra = format!(
        "INSERT INTO sessions (organization_id, id, member_id, created_at, expires_at)
         SELECT m.organization_id, gen_random_uuid(), m.id, now() - n * interval '1 hour', now() + interval '1 day'
         FROM memberships m, generate_series(1, 49) n WHERE m.email = '{}'",
        ada.email
    );
    server.sql(&extra).await;
    let standing = format!(
        "SELECT count(*) FROM sessions s JOIN memberships m ON m.id = s.member_id
         WHERE m.email = '{}' AND s.revoked_at IS NULL",
        ada.email
    );
    assert_eq!(server.count(&standing).await, 50);
    tokens(&login(server, &ada.email, PASSWORD, None).await["data"]["login"]);
    assert_eq!(server.count(&standing).await, 50);
    assert_eq!(code(&viewer(server, &ada.access).await), "", "the oldest ended, and that was not the first");
}

#[tokio::test]
async fn secrets_are_stored_as_hashes_only() {
    let server = kit::server().await;
    let ada = found(server).await;
    let plain =
        format!("SELECT count(*) FROM users WHERE email = '{}' AND password_hash LIKE '$argon2id$%'", ada.email);
    assert_eq!(server.count(&plain).await, 1);
    let hashes = "SELECT count(*) FROM refresh_tokens WHERE octet_length(hash) <> 32";
    assert_eq!(server.count(hashes).await, 0);
}
