//! Signing in by a provider of OpenID Connect: who gets in, to which account, and everything by which nobody does.

use crate::kit::{
    self, Founder, Server, code, data,
    oidc::{Issuer, Key, Manner, PAGE},
    user_errors,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::Utc;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use uuid::Uuid;

async fn complete(server: &Server, input: &Value) -> Value {
    let query = "mutation($input: OidcCompleteInput!) { oidcComplete(input: $input) {
        session { accessToken refreshToken } twoFactor { challenge } userErrors { field code message } } }";
    server.graphql(query, json!({ "input": input }), None).await
}

async fn link(server: &Server, who: &str, input: &Value) -> Value {
    let query = "mutation($input: OidcLinkInput!) { oidcLink(input: $input) {
        identity { id provider label email lastUsedAt } userErrors { field code } } }";
    server.graphql(query, json!({ "input": input }), Some(who)).await
}

async fn unlink(server: &Server, who: &str, id: &Value) -> Value {
    let query = "mutation($id: ID!) { oidcUnlink(input: { id: $id }) { userErrors { field code } } }";
    server.graphql(query, json!({ "id": id }), Some(who)).await
}

async fn viewer(server: &Server, token: &str) -> Value {
    let query = "{ viewer { memberId role user { email fullName } organization { slug }
        identities { id provider label email } } }";
    let answer = server.graphql(query, json!({}), Some(token)).await;
    data(&answer, "viewer").clone()
}

/// Who somebody is at the provider.
fn person(email: &str) -> Value {
    json!({ "sub": Uuid::new_v4(), "email": email, "email_verified": true, "name": "Ada Lovelace" })
}

/// The access token of a sign-in that has worked.
fn token(answer: &Value) -> String {
    assert_eq!(user_errors(answer, "oidcComplete"), [""; 0], "{answer:#}");
    data(answer, "oidcComplete.session.accessToken").as_str().expect("a token").to_owned()
}

/// Somebody whose address is confirmed here.
async fn confirmed(server: &Server) -> Founder {
    let ada = server.founder().await;
    server.sql(&format!("UPDATE users SET email_verified_at = now() WHERE email = '{}'", ada.email)).await;
    ada
}

async fn identities(server: &Server, email: &str) -> i64 {
    let of = format!("user_id = (SELECT id FROM users WHERE email = '{email}')");
    server.count(&format!("SELECT count(*) FROM user_identities WHERE {of}")).await
}

#[tokio::test]
async fn a_person_comes_by_the_provider_and_is_linked_by_the_confirmed_address() {
    let issuer = Issuer::start().await;
    let server = issuer.server(|_| ()).await;
    let ada = confirmed(&server).await;
    let shown = server.graphql("{ signInProviders { name label } }", json!({}), None).await;
    assert_eq!(data(&shown, "signInProviders"), &json!([{ "name": "issuer", "label": "Example Inc." }]));

    let who = person(&ada.email.to_uppercase());
    let input = issuer.visit(&server, who.clone()).await;
    let handle = input["handle"].as_str().unwrap();
    let stored = format!("SELECT count(*) FROM oidc_attempts a WHERE a::text LIKE '%{}%'", &handle[8..]);
    assert_eq!(server.count(&stored).await, 0, "only its hash is kept");
    let mut all = futures_util::future::join_all((0..20).map(|_| complete(&server, &input))).await;
    all.retain(|answer| user_errors(answer, "oidcComplete") != ["handle INVALID"]);
    assert_eq!(all.len(), 1, "it works once");
    let seen = viewer(&server, &token(&all[0])).await;
    assert_eq!(seen["memberId"], json!(ada.member));
    assert_eq!(seen["identities"][0]["provider"], "issuer");
    assert_eq!(seen["identities"][0]["email"], json!(ada.email), "as addresses are compared");
    let told = format!("SELECT count(*) FROM jobs WHERE about = 'identity_linked to {}'", ada.email);
    assert_eq!(server.count(&told).await, 1);

    // From now on it is the subject that counts, whatever the address is there.
    for change in [json!("new@example.net"), Value::Null] {
        let mut who = who.clone();
        who["email"] = change;
        let answer = complete(&server, &issuer.visit(&server, who).await).await;
        assert_eq!(viewer(&server, &token(&answer)).await["memberId"], json!(ada.member));
    }
    assert_eq!(identities(&server, &ada.email).await, 1);
    assert_eq!(server.count(&told).await, 1, "told once");
    let asked = issuer.asked.lock().clone();
    assert_eq!(asked["/.well-known/openid-configuration"], 1, "kept: {asked:?}");
    assert_eq!(asked["/keys"], 1, "kept: {asked:?}");
    server.stop().await;
}

/// The provider's word is in the place of the password, not of the code.
#[tokio::test]
async fn whoever_has_two_factors_gives_the_second_one_here() {
    let issuer = Issuer::start().await;
    let server = issuer.server(|_| ()).await;
    let ada = confirmed(&server).await;
    server.sql(&format!("UPDATE users SET totp_confirmed_at = now() WHERE email = '{}'", ada.email)).await;
    let answer = complete(&server, &issuer.visit(&server, person(&ada.email)).await).await;
    assert_eq!(user_errors(&answer, "oidcComplete"), [" TWO_FACTOR_REQUIRED"]);
    assert_eq!(data(&answer, "oidcComplete.session"), &Value::Null);
    let challenge = data(&answer, "oidcComplete.twoFactor.challenge").clone();
    let second = "mutation($input: LoginCompleteInput!) { loginComplete(input: $input) { userErrors { field code } } }";
    for (challenge, wanted) in [(challenge, "code INVALID"), (json!("stoa_ut_"), "challenge INVALID")] {
        let input = json!({ "input": { "challenge": challenge, "code": "123456" } });
        assert_eq!(user_errors(&server.graphql(second, input, None).await, "loginComplete"), [wanted]);
    }
    server.stop().await;
}

#[tokio::test]
async fn what_the_provider_must_not_say_lets_nobody_in() {
    let issuer = Issuer::start().await;
    let server = issuer.server(|_| ()).await;
    let ada = confirmed(&server).await;
    let who = person(&ada.email);
    let sessions = format!("SELECT count(*) FROM sessions WHERE organization_id = '{}'", ada.organization);
    let before = server.count(&sessions).await;
    let past = Utc::now().timestamp() - 3600;
    for lie in [
        Manner::Unsigned,
        Manner::Symmetric,
        Manner::ForeignKey,
        Manner::Claims(json!({ "iss": "https://other.example.com" })),
        Manner::Claims(json!({ "aud": "somebody else" })),
        Manner::Claims(json!({ "azp": "somebody else" })),
        Manner::Claims(json!({ "exp": past })),
        Manner::Claims(json!({ "iat": past })),
        Manner::Claims(json!({ "nonce": "another" })),
        Manner::Claims(json!({ "nonce": null })),
        Manner::Claims(json!({ "sub": null })),
        Manner::UserInfo(json!({ "sub": "somebody else", "email": ada.email, "email_verified": true })),
    ] {
        issuer.behave(Manner::Honest);
        let input = issuer.visit(&server, who.clone()).await;
        issuer.behave(lie.clone());
        let answer = complete(&server, &input).await;
        assert_eq!(user_errors(&answer, "oidcComplete"), [" INVALID"], "{lie:?}");
        assert_eq!(data(&answer, "oidcComplete.session"), &Value::Null);
        issuer.behave(Manner::Honest);
        assert_eq!(user_errors(&complete(&server, &input).await, "oidcComplete"), ["handle INVALID"], "used up");
    }
    assert_eq!(identities(&server, &ada.email).await, 0);
    assert_eq!(server.count(&sessions).await, before);
    token(&complete(&server, &issuer.visit(&server, who).await).await);
    server.stop().await;
}

#[tokio::test]
async fn a_provider_that_fails_is_told_in_time_and_used_again_when_it_is_back() {
    let issuer = Issuer::start().await;
    let discovery = "/.well-known/openid-configuration";
    let huge = format!("{{\"x\":\"{}\"}}", "x".repeat(1 << 20));
    let elsewhere = Issuer::start().await;
    for fault in [
        Manner::Answers(discovery, 500, String::new()),
        Manner::Answers(discovery, 200, "<html>".into()),
        Manner::Answers(discovery, 200, "{}".into()),
        Manner::Answers(discovery, 200, huge.clone()),
        Manner::Redirects(discovery, format!("{}{discovery}", elsewhere.url)),
        Manner::Metadata(json!({ "issuer": elsewhere.url })),
        Manner::Metadata(json!({ "token_endpoint": "http://192.0.2.1/token" })),
        Manner::Metadata(json!({ "jwks_uri": "file:///etc/passwd" })),
        Manner::Metadata(json!({ "authorization_endpoint": "javascript:alert(1)" })),
    ] {
        let server = issuer.server(|_| ()).await;
        issuer.behave(fault.clone());
        assert_eq!(code(&issuer.begin(&server).await), "SERVICE_UNAVAILABLE", "{fault:?}");
        issuer.behave(Manner::Honest);
        assert!(user_errors(&issuer.begin(&server).await, "oidcBegin").is_empty(), "{fault:?}");
        server.stop().await;
    }
    let server = issuer.server(|_| ()).await;
    let ada = confirmed(&server).await;
    for fault in [
        Manner::Answers("/token", 500, String::new()),
        Manner::Answers("/token", 200, "not JSON".into()),
        Manner::Answers("/token", 200, huge),
        Manner::Answers("/token", 401, json!({ "error": "invalid_client" }).to_string()),
        Manner::Redirects("/token", format!("{}/token", elsewhere.url)),
        Manner::Answers("/keys", 503, String::new()),
        Manner::Answers("/keys", 200, "[]".into()),
    ] {
        issuer.behave(Manner::Honest);
        let input = issuer.visit(&server, person(&ada.email)).await;
        issuer.behave(fault.clone());
        let answer = complete(&server, &input).await;
        assert_eq!(code(&answer), "SERVICE_UNAVAILABLE", "{fault:?}: {answer}");
        assert_eq!(identities(&server, &ada.email).await, 0);
    }
    assert!(elsewhere.asked.lock().is_empty(), "no redirection was followed");
    issuer.behave(Manner::Honest);
    token(&complete(&server, &issuer.visit(&server, person(&ada.email)).await).await);
    server.stop().await;
}

#[tokio::test]
async fn a_provider_that_says_nothing_is_not_waited_for() {
    let issuer = Issuer::start().await;
    let server = Server::with(|config| {
        config.identity.oidc = vec![issuer.settings()];
        config.identity.oidc_timeout_ms = 1500;
    })
    .await;
    let ada = confirmed(&server).await;
    for path in ["/.well-known/openid-configuration", "/token", "/keys"] {
        let begin = std::time::Instant::now();
        let answer = if path == "/token" || path == "/keys" {
            issuer.behave(Manner::Honest);
            let input = issuer.visit(&server, person(&ada.email)).await;
            issuer.behave(Manner::Hangs(path));
            complete(&server, &input).await
        } else {
            issuer.behave(Manner::Hangs(path));
            issuer.begin(&server).await
        };
        assert_eq!(code(&answer), "SERVICE_UNAVAILABLE", "{path}");
        assert!(begin.elapsed().as_secs() < 10, "{path}");
    }
    server.stop().await;
}

#[tokio::test]
async fn keys_are_of_several_kinds_and_change() {
    let issuer = Issuer::start().await;
    let server = issuer.server(|_| ()).await;
    let ada = confirmed(&server).await;
    let who = person(&ada.email);
    for key in [Key::ed25519(1), Key::ed25519(2), Key::ed25519(3).named("key 2"), Key::rsa(), Key::ec()] {
        *issuer.key.lock() = key;
        token(&complete(&server, &issuer.visit(&server, who.clone()).await).await);
    }
    assert_eq!(issuer.asked.lock()["/keys"], 5, "a key that is not known is looked for at once");
    server.stop().await;
}

#[tokio::test]
async fn the_address_may_stand_elsewhere_and_the_secret_in_the_form() {
    let issuer = Issuer::start().await;
    let server = issuer.server(|_| ()).await;
    let ada = confirmed(&server).await;
    let who = person(&ada.email);
    issuer.behave(Manner::Metadata(json!({ "token_endpoint_auth_methods_supported": ["client_secret_post"] })));
    let input = issuer.visit(&server, who.clone()).await;
    issuer.behave(Manner::UserInfo(who));
    let answer = complete(&server, &input).await;
    assert_eq!(viewer(&server, &token(&answer)).await["identities"][0]["email"], json!(ada.email));
    server.stop().await;
}

#[tokio::test]
async fn an_account_is_found_only_by_an_address_that_both_sides_have_confirmed() {
    let issuer = Issuer::start().await;
    let server = issuer.server(|_| ()).await;
    let ada = confirmed(&server).await;
    // Somebody has registered with Bob's address before Bob came.
    let beforehand = server.founder().await;
    let nobody = format!("{}@example.com", Uuid::new_v4().simple());
    let with = |email: &str, change: Value| {
        let mut who = person(email);
        who.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        who
    };
    for (who, wanted) in [
        (with(&ada.email, json!({ "email_verified": false })), " STATE_INVALID"),
        (with(&ada.email, json!({ "email_verified": 1 })), " STATE_INVALID"),
        (with(&ada.email, json!({ "email": null })), " STATE_INVALID"),
        (with("no address", json!({})), " STATE_INVALID"),
        (with(&beforehand.email, json!({})), " STATE_INVALID"),
        (with(&nobody, json!({})), " NOT_FOUND"),
    ] {
        let answer = complete(&server, &issuer.visit(&server, who.clone()).await).await;
        assert_eq!(user_errors(&answer, "oidcComplete"), [wanted], "{who}");
    }
    assert_eq!(identities(&server, &ada.email).await + identities(&server, &beforehand.email).await, 0);
    assert_eq!(server.count(&format!("SELECT count(*) FROM users WHERE email = '{nobody}'")).await, 0);

    let who = person(&ada.email);
    token(&complete(&server, &issuer.visit(&server, who.clone()).await).await);
    server.sql(&format!("UPDATE users SET disabled_at = now() WHERE email = '{}'", ada.email)).await;
    let answer = complete(&server, &issuer.visit(&server, who.clone()).await).await;
    assert_eq!(user_errors(&answer, "oidcComplete"), [" STATE_INVALID"], "disabled");
    server.sql(&format!("UPDATE users SET disabled_at = NULL WHERE email = '{}'", ada.email)).await;
    server.sql(&format!("UPDATE organizations SET suspended_at = now() WHERE id = '{}'", ada.organization)).await;
    let answer = complete(&server, &issuer.visit(&server, who.clone()).await).await;
    assert_eq!(code(&answer), "ORGANIZATION_SUSPENDED");
    server.sql(&format!("UPDATE memberships SET status = 'removed' WHERE id = '{}'", ada.member)).await;
    let answer = complete(&server, &issuer.visit(&server, who).await).await;
    assert_eq!(user_errors(&answer, "oidcComplete"), [" STATE_INVALID"], "no member any more");
    server.stop().await;
}

#[tokio::test]
async fn only_addresses_of_certain_domains_come_where_it_says_so() {
    let issuer = Issuer::start().await;
    let server = issuer.server(|settings| settings.email_domains = vec!["Corp.example".into()]).await;
    let (ada, bob) = (confirmed(&server).await, confirmed(&server).await);
    let corporate = format!("{}@corp.example", Uuid::new_v4().simple());
    server.sql(&format!("UPDATE users SET email = '{corporate}' WHERE email = '{}'", ada.email)).await;
    token(&complete(&server, &issuer.visit(&server, person(&corporate)).await).await);
    let mut unconfirmed = person(&corporate);
    unconfirmed["email_verified"] = json!(false);
    for who in [person(&bob.email), person("eve@corp.example.net"), person("eve@sub.corp.example"), unconfirmed] {
        let answer = complete(&server, &issuer.visit(&server, who.clone()).await).await;
        assert_eq!(user_errors(&answer, "oidcComplete"), [" INVALID"], "{who}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_member_of_several_organizations_names_one_with_the_same_code() {
    let issuer = Issuer::start().await;
    let server = issuer.server(|_| ()).await;
    let (ada, bob) = (confirmed(&server).await, server.founder().await);
    server.joins(&ada, &bob, "guest").await;
    let slug = server.text(&format!("SELECT slug FROM organizations WHERE id = '{}'", bob.organization)).await;
    let input = issuer.visit(&server, person(&ada.email)).await;
    let with = |name: &str, value: &str| {
        let mut input = input.clone();
        input[name] = json!(value);
        input
    };
    assert_eq!(user_errors(&complete(&server, &input).await, "oidcComplete"), ["organization REQUIRED"]);
    let wrong = complete(&server, &with("organization", "nowhere")).await;
    assert_eq!(user_errors(&wrong, "oidcComplete"), ["organization NOT_FOUND"]);
    let seen = viewer(&server, &token(&complete(&server, &with("organization", &slug)).await)).await;
    assert_eq!((seen["organization"]["slug"].as_str(), &seen["role"]), (Some(&*slug), &json!("GUEST")));
    assert_eq!(issuer.asked.lock()["/token"], 1, "the code went there once");
    let again = complete(&server, &with("organization", &slug)).await;
    assert_eq!(user_errors(&again, "oidcComplete"), ["handle INVALID"]);

    let input = issuer.visit(&server, person("unknown")).await;
    complete(&server, &input).await;
    let input = issuer.visit(&server, person(&ada.email)).await;
    complete(&server, &input).await;
    let mut other = input.clone();
    other["code"] = json!("another");
    assert_eq!(user_errors(&complete(&server, &other).await, "oidcComplete"), ["code INVALID"]);
    server.stop().await;
}

#[tokio::test]
async fn who_joins_by_the_provider_becomes_a_member_once_and_is_not_taken_back() {
    let issuer = Issuer::start().await;
    let owner = kit::server().await.founder().await;
    let of = format!("SELECT slug FROM organizations WHERE id = '{}'", owner.organization);
    let slug = kit::server().await.text(&of).await;
    let server = issuer
        .server(|settings| {
            settings.organization = Some(slug.clone());
            settings.email_domains = vec!["*".into()];
            settings.role = "support".into();
        })
        .await;
    let email = format!("{}@example.com", Uuid::new_v4().simple());
    let who = person(&email);
    let mut elsewhere = issuer.visit(&server, who.clone()).await;
    elsewhere["organization"] = json!("elsewhere");
    assert_eq!(user_errors(&complete(&server, &elsewhere).await, "oidcComplete"), [" NOT_FOUND"]);

    let first = token(&complete(&server, &issuer.visit(&server, who.clone()).await).await);
    let seen = viewer(&server, &first).await;
    assert_eq!(seen["user"], json!({ "email": email, "fullName": "Ada Lovelace" }));
    assert_eq!((&seen["role"], seen["organization"]["slug"].as_str()), (&json!("SUPPORT"), Some(&*slug)));
    let joined = format!(
        "SELECT count(*) FROM events WHERE organization_id = '{}' AND entity_id = '{}' AND kind = 'joined'",
        owner.organization,
        seen["memberId"].as_str().unwrap()
    );
    assert_eq!(server.count(&joined).await, 1, "the log knows it");
    let again = token(&complete(&server, &issuer.visit(&server, who.clone()).await).await);
    assert_eq!(viewer(&server, &again).await["memberId"], seen["memberId"]);
    assert_eq!(server.count(&joined).await, 1);

    // Somebody who has an account already joins with it.
    let ada = confirmed(&server).await;
    let mut input = issuer.visit(&server, person(&ada.email)).await;
    assert_eq!(user_errors(&complete(&server, &input).await, "oidcComplete"), ["organization REQUIRED"]);
    input["organization"] = json!(slug);
    assert_eq!(viewer(&server, &token(&complete(&server, &input).await)).await["role"], "SUPPORT");

    // There is no password, and so this is the only way in.
    let only = &seen["identities"][0]["id"];
    assert_eq!(user_errors(&unlink(&server, &first, only).await, "oidcUnlink"), ["id STATE_INVALID"]);
    let login =
        "mutation($input: LoginInput!) { login(input: $input) { session { accessToken } userErrors { field code } } }";
    let answer = server.graphql(login, json!({ "input": { "email": email, "password": "" } }), None).await;
    assert_eq!(user_errors(&answer, "login"), [" INVALID"]);

    for status in ["suspended", "removed"] {
        let member = seen["memberId"].as_str().unwrap();
        server.sql(&format!("UPDATE memberships SET status = '{status}' WHERE id = '{member}'")).await;
        let answer = complete(&server, &issuer.visit(&server, who.clone()).await).await;
        assert_eq!(user_errors(&answer, "oidcComplete"), [" STATE_INVALID"], "{status}");
    }
    let newcomer = person(&format!("{}@example.com", Uuid::new_v4().simple()));
    let close =
        |what: &str| format!("UPDATE organizations SET suspended_at = {what} WHERE id = '{}'", owner.organization);
    server.sql(&close("now()")).await;
    let answer = complete(&server, &issuer.visit(&server, newcomer.clone()).await).await;
    assert_eq!(code(&answer), "ORGANIZATION_SUSPENDED");
    let made = format!("SELECT count(*) FROM users WHERE email = {}", newcomer["email"].to_string().replace('"', "'"));
    assert_eq!(server.count(&made).await, 0, "nothing half done");
    server.sql(&close("NULL")).await;
    server.stop().await;
}

#[tokio::test]
async fn a_person_links_and_unlinks_with_a_recent_proof() {
    let issuer = Issuer::start().await;
    let server = issuer.server(|_| ()).await;
    // Neither address counts: both sides of the link have been proved.
    let (ada, bob) = (server.founder().await, server.founder().await);
    let mut who = person("private@example.net");
    who["email_verified"] = json!(false);
    let input = issuer.visit(&server, who.clone()).await;
    let answer = link(&server, &ada, &input).await;
    assert_eq!(user_errors(&answer, "oidcLink"), [""; 0]);
    let linked = data(&answer, "oidcLink.identity").clone();
    assert_eq!((&linked["provider"], &linked["label"]), (&json!("issuer"), &json!("Example Inc.")));
    assert_eq!(linked["email"], Value::Null, "nobody has confirmed it");
    let told = format!("SELECT count(*) FROM jobs WHERE about = 'identity_linked to {}'", ada.email);
    assert_eq!(server.count(&told).await, 1);
    assert_eq!(user_errors(&link(&server, &ada, &input).await, "oidcLink"), ["handle INVALID"], "used");

    let answer = link(&server, &bob, &issuer.visit(&server, who.clone()).await).await;
    assert_eq!(user_errors(&answer, "oidcLink"), [" NOT_UNIQUE"], "it is Ada's");
    assert!(viewer(&server, &bob).await["identities"].as_array().unwrap().is_empty());
    assert_eq!(user_errors(&unlink(&server, &bob, &linked["id"]).await, "oidcUnlink"), ["id NOT_FOUND"]);
    let seen = viewer(&server, &token(&complete(&server, &issuer.visit(&server, who.clone()).await).await)).await;
    assert_eq!(seen["memberId"], json!(ada.member));

    let old = format!(
        "UPDATE sessions SET authenticated_at = now() - interval '301 seconds' WHERE organization_id = '{}'",
        ada.organization
    );
    server.sql(&old).await;
    let input = issuer.visit(&server, person("other@example.net")).await;
    for answer in [link(&server, &ada, &input).await, unlink(&server, &ada, &linked["id"]).await] {
        assert_eq!(code(&answer), "FORBIDDEN");
        assert_eq!(answer["errors"][0]["extensions"]["reason"], "REAUTHENTICATION_REQUIRED");
    }
    // Coming by the provider is a proof as well.
    let fresh = token(&complete(&server, &issuer.visit(&server, who.clone()).await).await);
    assert_eq!(user_errors(&unlink(&server, &fresh, &linked["id"]).await, "oidcUnlink"), [""; 0]);
    assert_eq!(user_errors(&unlink(&server, &fresh, &linked["id"]).await, "oidcUnlink"), ["id NOT_FOUND"]);
    let answer = complete(&server, &issuer.visit(&server, who).await).await;
    assert_eq!(user_errors(&answer, "oidcComplete"), [" STATE_INVALID"], "it is nobody's any more");

    for _ in 0..10 {
        let answer = link(&server, &fresh, &issuer.visit(&server, person("a@example.net")).await).await;
        assert_eq!(user_errors(&answer, "oidcLink"), [""; 0]);
    }
    let answer = link(&server, &fresh, &issuer.visit(&server, person("a@example.net")).await).await;
    assert_eq!(user_errors(&answer, "oidcLink"), [" LIMIT_EXCEEDED"]);
    assert_eq!(identities(&server, &ada.email).await, 10);
    server.stop().await;
}

#[tokio::test]
async fn bad_input_is_told_and_leads_nowhere() {
    let issuer = Issuer::start().await;
    let server = issuer.server(|_| ()).await;
    let ada = confirmed(&server).await;
    let begin = async |provider: &str, page: &str| {
        let query = "mutation($input: OidcBeginInput!) { oidcBegin(input: $input) {
            authorizationUrl handle userErrors { field code } } }";
        let input = json!({ "input": { "provider": provider, "redirectUri": page } });
        let answer = server.graphql(query, input, None).await;
        assert_eq!(data(&answer, "oidcBegin.handle"), &Value::Null);
        user_errors(&answer, "oidcBegin")
    };
    assert_eq!(begin("nobody", PAGE).await, ["provider NOT_FOUND"]);
    for page in ["", "https://evil.example", &format!("{PAGE}&x=1"), &PAGE.to_uppercase(), "javascript:alert(1)"] {
        assert_eq!(begin("issuer", page).await, ["redirectUri INVALID"], "{page}");
    }
    assert_eq!(issuer.asked.lock().len(), 0, "nobody was asked");

    let (one, other) =
        (issuer.visit(&server, person(&ada.email)).await, issuer.visit(&server, person(&ada.email)).await);
    let with = |name: &str, value: &Value| {
        let mut input = one.clone();
        input[name] = value.clone();
        input
    };
    for bad in [
        json!(""),
        json!("stoa_oh_"),
        json!("\0"),
        json!("stoa_oh_".repeat(10_000)),
        json!(&one["handle"].as_str().unwrap()[..40]),
    ] {
        let answer = complete(&server, &with("handle", &bad)).await;
        assert_eq!(user_errors(&answer, "oidcComplete"), ["handle INVALID"], "{bad:.50}");
    }
    // Of another attempt: what somebody else has begun is not brought to an end in this browser.
    let answer = complete(&server, &with("state", &other["state"])).await;
    assert_eq!(user_errors(&answer, "oidcComplete"), ["state INVALID"]);
    assert_eq!(user_errors(&complete(&server, &one).await, "oidcComplete"), ["handle INVALID"], "used up");
    for bad in [json!(""), json!("never given out"), json!("x".repeat(5000)), one["code"].clone()] {
        let mut input = issuer.visit(&server, person(&ada.email)).await;
        input["code"] = bad.clone();
        let answer = complete(&server, &input).await;
        assert_eq!(user_errors(&answer, "oidcComplete"), ["code INVALID"], "{bad:.50}");
    }
    let secret = URL_SAFE_NO_PAD.decode(&other["handle"].as_str().unwrap()[8..]).unwrap();
    let hash = Sha256::digest(secret).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    server.sql(&format!("UPDATE oidc_attempts SET expires_at = now() WHERE encode(hash, 'hex') = '{hash}'")).await;
    assert_eq!(user_errors(&complete(&server, &other).await, "oidcComplete"), ["handle INVALID"], "too old");
    assert_eq!(identities(&server, &ada.email).await, 0);
    server.stop().await;
}

#[tokio::test]
async fn attempts_are_counted_like_sign_ins() {
    let issuer = Issuer::start().await;
    let server = Server::with(|config| {
        config.identity.oidc = vec![issuer.settings()];
        config.identity.sign_ins_per_minute = 4;
    })
    .await;
    for _ in 0..2 {
        let input = issuer.visit(&server, person("nobody@example.com")).await;
        assert_eq!(user_errors(&complete(&server, &input).await, "oidcComplete"), [" NOT_FOUND"]);
    }
    assert_eq!(code(&issuer.begin(&server).await), "RATE_LIMITED");
    assert_eq!(code(&complete(&server, &json!({ "handle": "", "state": "", "code": "" })).await), "RATE_LIMITED");
    server.stop().await;
}
