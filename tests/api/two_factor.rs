//! Signing in with two factors: switched on and off by the person, asked for wherever a password alone would do otherwise,
//! each code good once.

use crate::kit::{
    self, Founder, Server, code as error_code, data,
    mail::{Smtp, letter, until, working},
    user_errors,
};
use chrono::Utc;
use data_encoding::BASE32_NOPAD;
use futures_util::future::join_all;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha1::Sha1;

const PASSWORD: &str = "nine purple otters juggle";
const OTHER_PASSWORD: &str = "eleven yellow badgers waltz";

/// Somebody with an authenticator.
struct Guarded {
    who: Founder,
    secret: Vec<u8>,
    recovery: Vec<String>,
}

impl Guarded {
    /// What the authenticator shows so many steps from now.
    fn shown(&self, ahead: i64) -> String {
        let mut mac = Hmac::<Sha1>::new_from_slice(&self.secret).unwrap();
        mac.update(&(Utc::now().timestamp() / 30 + ahead).to_be_bytes());
        let digest = mac.finalize().into_bytes();
        let at = usize::from(digest[19] & 15);
        let number = u32::from_be_bytes(digest[at..at + 4].try_into().unwrap()) & 0x7fff_ffff;
        format!("{:06}", number % 1_000_000)
    }

    /// A code that is shown at no time near.
    fn wrong(&self) -> String {
        let near: Vec<String> = (-3..=3).map(|ahead| self.shown(ahead)).collect();
        (0..10).map(|number| format!("{number:06}")).find(|code| !near.contains(code)).unwrap()
    }
}

async fn ask(server: &Server, document: &str, variables: Value, who: Option<&str>) -> Value {
    server.graphql(document, variables, who).await
}

async fn begin(server: &Server, who: &str) -> Value {
    let document = "mutation { done: twoFactorBegin { secret uri qrSvg userErrors { field code } } }";
    ask(server, document, json!({}), Some(who)).await
}

async fn confirm(server: &Server, who: &str, code: &str) -> Value {
    let document = "mutation($code: String!) { done: twoFactorConfirm(input: { code: $code }) {
        recoveryCodes userErrors { field code } } }";
    ask(server, document, json!({ "code": code }), Some(who)).await
}

async fn disable(server: &Server, who: &str, code: &str) -> Value {
    let document =
        "mutation($code: String!) { done: twoFactorDisable(input: { code: $code }) { userErrors { field code } } }";
    ask(server, document, json!({ "code": code }), Some(who)).await
}

async fn renew(server: &Server, who: &str) -> Value {
    let document = "mutation { done: twoFactorRecoveryCodesRenew { recoveryCodes userErrors { field code } } }";
    ask(server, document, json!({}), Some(who)).await
}

async fn login_to(server: &Server, email: &str, password: &str, organization: Option<&str>) -> Value {
    let document = "mutation($input: LoginInput!) { done: login(input: $input) {
        session { accessToken } twoFactor { challenge expiresAt } userErrors { field code message } } }";
    let input = json!({ "email": email, "password": password, "organization": organization });
    ask(server, document, json!({ "input": input }), None).await
}

async fn login(server: &Server, who: &Founder) -> Value {
    login_to(server, &who.email, PASSWORD, None).await
}

/// The challenge after the right password.
async fn challenge(server: &Server, who: &Founder) -> String {
    let answer = login(server, who).await;
    assert_eq!(user_errors(&answer, "done"), [" TWO_FACTOR_REQUIRED"]);
    assert_eq!(data(&answer, "done.session"), &Value::Null);
    data(&answer, "done.twoFactor.challenge").as_str().expect("a challenge").to_owned()
}

async fn complete_in(server: &Server, challenge: &str, code: &str, organization: Option<&str>) -> Value {
    let document = "mutation($input: LoginCompleteInput!) { done: loginComplete(input: $input) {
        session { accessToken refreshToken } userErrors { field code message } } }";
    let input = json!({ "challenge": challenge, "code": code, "organization": organization });
    ask(server, document, json!({ "input": input }), None).await
}

async fn complete(server: &Server, challenge: &str, code: &str) -> Value {
    complete_in(server, challenge, code, None).await
}

fn access(answer: &Value) -> &str {
    assert!(user_errors(answer, "done").is_empty(), "{answer}");
    data(answer, "done.session.accessToken").as_str().expect("a token")
}

async fn user(server: &Server, who: &str) -> Value {
    let answer = ask(server, "{ viewer { user { twoFactorEnabled recoveryCodesLeft } } }", json!({}), Some(who)).await;
    data(&answer, "viewer.user").clone()
}

/// Lets a code of this moment be used once more: tests do not wait for the next.
async fn rewind(server: &Server, who: &Founder) {
    server.sql(&format!("UPDATE users SET totp_last_step = 0 WHERE email = '{}'", who.email)).await;
}

async fn guard(server: &Server, who: Founder) -> Guarded {
    let begun = begin(server, &who).await;
    let secret = data(&begun, "done.secret").as_str().expect("a secret");
    let mut guarded =
        Guarded { secret: BASE32_NOPAD.decode(secret.as_bytes()).expect("base32"), who, recovery: Vec::new() };
    let confirmed = confirm(server, &guarded.who, &guarded.shown(0)).await;
    let codes = data(&confirmed, "done.recoveryCodes").as_array().unwrap_or_else(|| panic!("{confirmed}"));
    guarded.recovery = codes.iter().map(|code| code.as_str().expect("a code").to_owned()).collect();
    rewind(server, &guarded.who).await;
    guarded
}

async fn guarded(server: &Server) -> Guarded {
    guard(server, server.founder().await).await
}

/// As if the last proof were six minutes old.
async fn age(server: &Server, who: &Founder) {
    let of = format!("organization_id = '{}'", who.organization);
    server.sql(&format!("UPDATE sessions SET authenticated_at = now() - interval '6 minutes' WHERE {of}")).await;
}

#[tokio::test]
async fn it_is_switched_on_with_a_code_and_then_a_sign_in_takes_one() {
    let smtp = Smtp::start().await;
    let server = working(|config| smtp.settings(config)).await;
    let ada = server.founder().await;
    let other = login(&server, &ada).await;
    let begun = begin(&server, &ada).await;
    let text = |path: &str| data(&begun, path).as_str().expect("a text").to_owned();
    let (secret, uri, svg) = (text("done.secret"), text("done.uri"), text("done.qrSvg"));
    let ada = Guarded { secret: BASE32_NOPAD.decode(secret.as_bytes()).unwrap(), who: ada, recovery: Vec::new() };
    assert_eq!(ada.secret.len(), 20);
    assert!(uri.starts_with("otpauth://totp/stoa:") && uri.contains(&format!("secret={secret}&issuer=stoa")), "{uri}");
    assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>"));
    let sealed = server.text(&format!("SELECT totp_secret::text FROM users WHERE email = '{}'", ada.who.email)).await;
    let plain: String = ada.secret.iter().map(|byte| format!("{byte:02x}")).collect();
    assert!(sealed.len() > 100 && !sealed.contains(&plain), "only sealed");
    assert_eq!(user(&server, &ada.who).await, json!({ "twoFactorEnabled": false, "recoveryCodesLeft": 0 }));
    assert_eq!(user_errors(&confirm(&server, &ada.who, &ada.wrong()).await, "done"), ["code INVALID"]);
    access(&login(&server, &ada.who).await);

    let code = ada.shown(0);
    let confirmed = confirm(&server, &ada.who, &format!(" {} {} ", &code[..3], &code[3..])).await;
    assert_eq!(user_errors(&confirmed, "done"), [""; 0]);
    let codes: Vec<&str> =
        data(&confirmed, "done.recoveryCodes").as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert_eq!(codes.len(), 10);
    assert_eq!(user(&server, access(&other)).await, json!({ "twoFactorEnabled": true, "recoveryCodesLeft": 10 }));
    for again in [confirm(&server, &ada.who, &code).await, begin(&server, &ada.who).await] {
        assert_eq!(user_errors(&again, "done"), [" STATE_INVALID"]);
    }

    let first = challenge(&server, &ada.who).await;
    assert_eq!(user_errors(&complete(&server, &first, &code).await, "done"), ["code INVALID"], "it switched it on");
    let next = ada.shown(1);
    access(&complete(&server, &first, &next).await);
    assert_eq!(user_errors(&complete(&server, &first, codes[0]).await, "done"), ["challenge INVALID"], "used");
    let second = challenge(&server, &ada.who).await;
    for (code, why) in
        [(&*next, "used"), (&*ada.shown(0), "older than one that was used"), (&*ada.shown(3), "too early")]
    {
        assert_eq!(user_errors(&complete(&server, &second, code).await, "done"), ["code INVALID"], "{why}");
    }
    let session = complete(&server, &second, &codes[0].to_uppercase().replace('-', " ")).await;
    assert_eq!(user(&server, access(&session)).await["recoveryCodesLeft"], 9);
    let third = challenge(&server, &ada.who).await;
    assert_eq!(user_errors(&complete(&server, &third, codes[0]).await, "done"), ["code INVALID"]);

    let mail = async |enabled: &str| {
        until("a mail", async || {
            let fits = |data: &str| data.contains("Subject: Your sign-in was changed") && data.contains(enabled);
            smtp.mails.lock().iter().any(|mail| fits(&mail.data)).then_some(())
        })
        .await;
    };
    mail("now needs a code").await;
    assert_eq!(user_errors(&disable(&server, &ada.who, codes[0]).await, "done"), ["code INVALID"]);
    assert_eq!(user_errors(&disable(&server, &ada.who, codes[1]).await, "done"), [""; 0]);
    mail("only the password").await;
    assert_eq!(user(&server, &ada.who).await, json!({ "twoFactorEnabled": false, "recoveryCodesLeft": 0 }));
    assert_eq!(user_errors(&complete(&server, &third, codes[2]).await, "done"), ["challenge INVALID"]);
    access(&login(&server, &ada.who).await);
    assert_eq!(user_errors(&disable(&server, &ada.who, codes[2]).await, "done"), [" STATE_INVALID"]);
    assert_eq!(user_errors(&renew(&server, &ada.who).await, "done"), [" STATE_INVALID"]);
    server.stop().await;
}

#[tokio::test]
async fn it_cannot_be_confirmed_before_it_was_begun_nor_with_a_secret_of_before() {
    let server = kit::server().await;
    let who = server.founder().await;
    assert_eq!(user_errors(&confirm(server, &who, "123456").await, "done"), [" STATE_INVALID"]);
    let secret = |begun: &Value| BASE32_NOPAD.decode(begun["data"]["done"]["secret"].as_str().unwrap().as_bytes());
    let before = secret(&begin(server, &who).await).unwrap();
    let now = secret(&begin(server, &who).await).unwrap();
    let of = |secret: Vec<u8>| Guarded { secret, who: who.clone(), recovery: Vec::new() };
    assert_eq!(user_errors(&confirm(server, &who, &of(before).shown(0)).await, "done"), ["code INVALID"]);
    for code in ["", "abc", "1234567", "\0", &"1".repeat(100_000), "abcd-efgh-ijkl-mnop"] {
        assert_eq!(user_errors(&confirm(server, &who, code).await, "done"), ["code INVALID"], "{code:.40}");
    }
    assert_eq!(user_errors(&confirm(server, &who, &of(now).shown(0)).await, "done"), [""; 0]);
}

/// Of a hundred at once with one code one gets in: on one challenge, and on several.
#[tokio::test]
async fn a_code_works_once_whatever_number_gives_it() {
    let server = Server::with(|config| config.identity.max_failures = 1000).await;
    let ada = guarded(&server).await;
    let uses = async |code: &str, challenges: usize| {
        let challenges = join_all((0..challenges).map(|_| challenge(&server, &ada.who))).await;
        let each = challenges.iter().cycle().take(100);
        let answers = join_all(each.map(|challenge| complete(&server, challenge, code))).await;
        answers.iter().filter(|answer| answer["data"]["done"]["session"].is_object()).count()
    };
    assert_eq!(uses(&ada.shown(0), 1).await, 1);
    rewind(&server, &ada.who).await;
    assert_eq!(uses(&ada.shown(0), 5).await, 1);
    assert_eq!(uses(&ada.recovery[0], 5).await, 1);
    assert_eq!(user(&server, &ada.who).await["recoveryCodesLeft"], 9);
    server.stop().await;
}

#[tokio::test]
async fn wrong_codes_lock_the_account_and_the_password_buys_no_more_tries() {
    let few = || Server::with(|config| config.identity.max_failures = 4);
    // Nodes of one installation: what they count in memory they do not share, what is in the database they do.
    let (one, two, three) = (few().await, few().await, few().await);
    let ada = guarded(&one).await;
    let waiting = challenge(&one, &ada.who).await;
    for node in [&one, &two] {
        for _ in 0..2 {
            let challenge = challenge(node, &ada.who).await;
            assert_eq!(user_errors(&complete(node, &challenge, &ada.wrong()).await, "done"), ["code INVALID"]);
        }
    }
    assert_eq!(user_errors(&complete(&three, &waiting, &ada.shown(0)).await, "done"), ["code INVALID"], "locked");
    assert_eq!(user_errors(&complete(&three, &waiting, &ada.recovery[0]).await, "done"), ["code INVALID"]);
    assert_eq!(user_errors(&login(&three, &ada.who).await, "done"), [" INVALID"], "not even a challenge");
    assert!(letter(&one, &ada.who.email).await.contains("wrong password or code"));

    let bob = guarded(&one).await;
    let waiting = challenge(&one, &bob.who).await;
    let wrong = bob.wrong();
    let tries = join_all((0..8).map(|_| complete(&one, &waiting, &wrong))).await;
    assert!(tries.iter().any(|answer| answer["errors"][0]["extensions"]["code"] == "RATE_LIMITED"), "{tries:?}");
    let late = complete(&one, &waiting, &bob.shown(0)).await;
    assert_eq!(error_code(&late), "RATE_LIMITED", "in memory as well");
    for server in [one, two, three] {
        server.stop().await;
    }
}

#[tokio::test]
async fn a_challenge_ends_with_its_time_its_use_and_the_password() {
    let server = kit::server().await;
    let ada = guarded(server).await;
    let first = challenge(server, &ada.who).await;
    let of = format!("user_id = (SELECT id FROM users WHERE email = '{}') AND purpose = 'sign_in'", ada.who.email);
    let good = format!(
        "SELECT count(*) FROM user_tokens WHERE {of} AND expires_at BETWEEN now() + interval '280 seconds' AND now() + interval '300 seconds'"
    );
    assert_eq!(server.count(&good).await, 1, "five minutes");
    server.sql(&format!("UPDATE user_tokens SET expires_at = now() - interval '1 second' WHERE {of}")).await;
    let over = |answer: &Value| assert_eq!(user_errors(answer, "done"), ["challenge INVALID"]);
    over(&complete(server, &first, &ada.shown(0)).await);
    for forged in ["", "stoa_ut_", "\0", ".", &"stoa_ut_".repeat(10_000), &format!("{first}A"), &first[..40]] {
        over(&complete(server, forged, &ada.shown(0)).await);
    }
    let welcome = letter(server, &ada.who.email).await;
    assert!(welcome.contains("now needs a code"), "{welcome}");
    let mailed = "SELECT payload #>> '{letter,text}' FROM jobs WHERE about = 'welcome to";
    let mailed = server.text(&format!("{mailed} {}' ORDER BY id DESC LIMIT 1", ada.who.email)).await;
    let mailed: String = mailed[mailed.find("stoa_ut_").unwrap()..].split_whitespace().next().unwrap().to_owned();
    over(&complete(server, &mailed, &ada.shown(0)).await);
    let verify =
        "mutation($token: String!) { done: emailVerify(input: { token: $token }) { userErrors { field code } } }";
    let challenged = challenge(server, &ada.who).await;
    let answer = ask(server, verify, json!({ "token": challenged }), None).await;
    assert_eq!(user_errors(&answer, "done"), ["token INVALID"], "and it serves for nothing else");

    let change =
        "mutation($input: PasswordChangeInput!) { done: passwordChange(input: $input) { userErrors { field code } } }";
    let change = async |input: Value| ask(server, change, json!({ "input": input }), Some(&ada.who)).await;
    let mut input = json!({ "currentPassword": PASSWORD, "newPassword": OTHER_PASSWORD });
    assert_eq!(user_errors(&change(input.clone()).await, "done"), ["code TWO_FACTOR_REQUIRED"]);
    input["code"] = json!(ada.recovery[0]);
    let mut weak = input.clone();
    weak["newPassword"] = json!("short");
    assert_eq!(user_errors(&change(weak).await, "done"), ["newPassword TOO_SHORT"], "and the code is still good");
    let mut wrong = input.clone();
    wrong["currentPassword"] = json!("not the password");
    assert_eq!(user_errors(&change(wrong).await, "done"), [" INVALID"]);
    assert_eq!(user_errors(&change(input).await, "done"), [""; 0]);
    over(&complete(server, &challenged, &ada.shown(0)).await);
    let now = login_to(server, &ada.who.email, OTHER_PASSWORD, None).await;
    let challenged = data(&now, "done.twoFactor.challenge").as_str().unwrap().to_owned();
    let out = "mutation { done: logoutEverywhere { userErrors { field code } } }";
    assert_eq!(user_errors(&ask(server, out, json!({}), Some(&ada.who)).await, "done"), [""; 0]);
    over(&complete(server, &challenged, &ada.shown(0)).await);
}

#[tokio::test]
async fn a_wrong_password_says_nothing_of_a_second_factor() {
    let server = kit::server().await;
    let (ada, bob) = (guarded(server).await, server.founder().await);
    let wrong = async |who: &Founder| login_to(server, &who.email, "not the password", None).await["data"].clone();
    let answer = wrong(&ada.who).await;
    assert_eq!(answer, wrong(&bob).await);
    assert_eq!(answer["done"]["userErrors"][0]["code"], "INVALID");
}

#[tokio::test]
async fn every_change_wants_a_recent_proof_and_the_proof_a_code() {
    let server = kit::server().await;
    let ada = guarded(server).await;
    let prove = "mutation($input: ReauthenticateInput!) { done: reauthenticate(input: $input) { userErrors { field code message } } }";
    let prove = async |password: &str, code: Option<&str>| {
        let input = json!({ "password": password, "code": code });
        ask(server, prove, json!({ "input": input }), Some(&ada.who)).await
    };
    age(server, &ada.who).await;
    let refused = [
        begin(server, &ada.who).await,
        confirm(server, &ada.who, &ada.shown(0)).await,
        disable(server, &ada.who, &ada.recovery[0]).await,
        renew(server, &ada.who).await,
    ];
    for answer in refused {
        assert_eq!(error_code(&answer), "FORBIDDEN");
        assert_eq!(answer["errors"][0]["extensions"]["reason"], "REAUTHENTICATION_REQUIRED");
    }
    assert_eq!(user_errors(&prove(PASSWORD, None).await, "done"), ["code TWO_FACTOR_REQUIRED"]);
    let wrong = prove("not the password", Some(&ada.recovery[0])).await;
    assert_eq!(user_errors(&wrong, "done"), [" INVALID"]);
    assert_eq!(prove(PASSWORD, Some(&ada.wrong())).await["data"], wrong["data"], "which of them was wrong is not told");
    assert_eq!(error_code(&renew(server, &ada.who).await), "FORBIDDEN", "none of these was a proof");
    assert_eq!(user_errors(&prove(PASSWORD, Some(&ada.recovery[0])).await, "done"), [""; 0]);

    let renewed = renew(server, &ada.who).await;
    let codes = data(&renewed, "done.recoveryCodes").as_array().unwrap();
    assert_eq!((codes.len(), &user(server, &ada.who).await["recoveryCodesLeft"]), (10, &json!(10)));
    let challenged = challenge(server, &ada.who).await;
    assert_eq!(user_errors(&complete(server, &challenged, &ada.recovery[1]).await, "done"), ["code INVALID"]);
    access(&complete(server, &challenged, codes[3].as_str().unwrap()).await);
    for change in [begin(server, "nonsense").await, renew(server, "nonsense").await] {
        assert_eq!(error_code(&change), "UNAUTHENTICATED");
    }
}

/// Whoever can write to the database, or has an old copy of it, gets in as nobody else.
#[tokio::test]
async fn a_row_that_is_moved_to_somebody_else_is_worth_nothing() {
    let server = kit::server().await;
    let (ada, bob) = (guarded(server).await, guarded(server).await);
    let stolen = format!(
        "UPDATE users SET totp_secret = e.totp_secret, recovery_hashes = e.recovery_hashes
         FROM users e WHERE e.email = '{}' AND users.email = '{}'",
        ada.who.email, bob.who.email
    );
    server.sql(&stolen).await;
    let challenged = challenge(server, &bob.who).await;
    for code in [&ada.shown(0), &ada.recovery[0], &bob.shown(0), &bob.recovery[0]] {
        assert_eq!(user_errors(&complete(server, &challenged, code).await, "done"), ["code INVALID"]);
    }
    let challenged = challenge(server, &ada.who).await;
    assert_eq!(user_errors(&complete(server, &challenged, &bob.shown(0)).await, "done"), ["code INVALID"]);
    access(&complete(server, &challenged, &ada.shown(0)).await);
}

#[tokio::test]
async fn the_organization_is_chosen_at_either_half_and_told_to_nobody_before_the_code() {
    let server = kit::server().await;
    let (ada, bob) = (guarded(server).await, server.founder().await);
    server.joins(&ada.who, &bob, "member").await;
    let slug = server.text(&format!("SELECT slug FROM organizations WHERE id = '{}'", bob.organization)).await;
    let place = async |answer: &Value| {
        let viewer = ask(server, "{ viewer { organization { id } } }", json!({}), Some(access(answer))).await;
        data(&viewer, "viewer.organization.id").clone()
    };
    let named = async |organization: Option<&str>| {
        let answer = login_to(server, &ada.who.email, PASSWORD, organization).await;
        assert_eq!(user_errors(&answer, "done"), [" TWO_FACTOR_REQUIRED"], "{organization:?}");
        data(&answer, "done.twoFactor.challenge").as_str().unwrap().to_owned()
    };
    let there = complete(server, &named(Some(&slug)).await, &ada.recovery[0]).await;
    assert_eq!(place(&there).await, json!(bob.organization));
    for organization in ["nowhere", "\0", ".", &"x".repeat(1000), ""] {
        let challenged = named(Some(organization)).await;
        let answer = complete(server, &challenged, &ada.recovery[1]).await;
        assert_eq!(user_errors(&answer, "done"), ["organization NOT_FOUND"], "{organization:.20}");
    }
    let challenged = named(None).await;
    let blind = complete(server, &challenged, &ada.wrong()).await;
    assert_eq!(user_errors(&blind, "done"), ["code INVALID"]);
    assert!(!blind.to_string().contains(&slug));
    let several = complete(server, &challenged, &ada.recovery[1]).await;
    assert_eq!(user_errors(&several, "done"), ["organization REQUIRED"]);
    let there = complete_in(server, &challenged, &ada.recovery[1], Some(&slug)).await;
    assert_eq!(place(&there).await, json!(bob.organization), "neither challenge nor code was used up");

    server.sql(&format!("UPDATE organizations SET suspended_at = now() WHERE id = '{}'", bob.organization)).await;
    let closed = complete(server, &named(Some(&slug)).await, &ada.recovery[2]).await;
    assert_eq!(error_code(&closed), "ORGANIZATION_SUSPENDED");
}

#[tokio::test]
async fn strangers_lock_nobody_out_of_a_known_device() {
    let server = kit::server().await;
    let ada = guarded(server).await;
    let from = async |device: Option<&str>, document: &str, input: Value| {
        let body = json!({ "query": document, "variables": { "input": input } });
        let mut request = reqwest::Client::new().post(format!("{}/graphql", server.url()));
        if let Some(device) = device {
            request = request.header("stoa-device", device);
        }
        request.json(&body).send().await.unwrap().json::<Value>().await.unwrap()
    };
    let complete = "mutation($input: LoginCompleteInput!) { done: loginComplete(input: $input) {
        session { accessToken deviceToken } userErrors { field code } } }";
    let input = json!({ "challenge": challenge(server, &ada.who).await, "code": ada.recovery[0] });
    let first = from(None, complete, input).await;
    let device = data(&first, "done.session.deviceToken").as_str().expect("a new device");
    let waiting = challenge(server, &ada.who).await;
    server.sql(&format!("UPDATE users SET locked_until = now() + '1 hour' WHERE email = '{}'", ada.who.email)).await;

    let login = "mutation($input: LoginInput!) { done: login(input: $input) {
        twoFactor { challenge } userErrors { field code } } }";
    let challenged = from(Some(device), login, json!({ "email": ada.who.email, "password": PASSWORD })).await;
    let challenged = data(&challenged, "done.twoFactor.challenge");
    let stranger = from(None, complete, json!({ "challenge": waiting, "code": ada.recovery[1] })).await;
    assert_eq!(user_errors(&stranger, "done"), ["code INVALID"]);
    access(&from(Some(device), complete, json!({ "challenge": challenged, "code": ada.recovery[1] })).await);
    let locked = format!("SELECT count(*) FROM users WHERE email = '{}' AND locked_until > now()", ada.who.email);
    assert_eq!(server.count(&locked).await, 1, "for strangers it stays locked");
}

/// The mailbox is one factor, and not two.
#[tokio::test]
async fn a_mailbox_alone_gets_nobody_in() {
    let smtp = Smtp::start().await;
    let server = working(|config| {
        smtp.settings(config);
        config.identity.max_failures = 2;
    })
    .await;
    let ada = guarded(&server).await;
    let challenged = challenge(&server, &ada.who).await;
    for _ in 0..2 {
        complete(&server, &challenged, &ada.wrong()).await;
    }
    let forgot = "mutation($email: String!) { passwordForgot(input: { email: $email }) { userErrors { code } } }";
    ask(&server, forgot, json!({ "email": ada.who.email }), None).await;
    let mail = until("a link", async || {
        let mails = smtp.mails.lock();
        mails.iter().find(|mail| mail.data.contains("Subject: Choose a new password")).map(|mail| mail.data.clone())
    })
    .await;
    let mail = mail.replace("=\r\n", "").replace("=\n", "").replace("=3D", "=");
    let token = &mail[mail.find("stoa_ut_").unwrap()..];
    let token: String = token.chars().take_while(|c| c.is_ascii_alphanumeric() || "_-".contains(*c)).collect();
    let reset =
        "mutation($input: PasswordResetInput!) { done: passwordReset(input: $input) { userErrors { field code } } }";
    let input = json!({ "input": { "token": token, "newPassword": OTHER_PASSWORD } });
    assert_eq!(user_errors(&ask(&server, reset, input, None).await, "done"), [""; 0]);
    let locked = login_to(&server, &ada.who.email, OTHER_PASSWORD, None).await;
    assert_eq!(error_code(&locked), "RATE_LIMITED", "a mail wins no further tries of the code");
    let still = "SELECT count(*) FROM users WHERE locked_until > now()";
    assert_eq!(server.count(still).await, 1, "nor on another node");
    server.stop().await;
}

#[tokio::test]
async fn an_invitation_is_accepted_with_both_factors() {
    let server = kit::server().await;
    let (ada, bob) = (guarded(server).await, server.founder().await);
    let invite = "mutation($email: String!) { done: invitationCreate(input: { email: $email, role: MEMBER }) {
        userErrors { field code } } }";
    let invited = ask(server, invite, json!({ "email": ada.who.email }), Some(&bob)).await;
    assert_eq!(user_errors(&invited, "done"), [""; 0]);
    let text = letter(server, &ada.who.email).await;
    let token = text.split("token=").nth(1).unwrap().split_whitespace().next().unwrap();
    let accept = async |password: &str, code: Option<&str>| {
        let document = "mutation($input: InvitationAcceptInput!) { done: invitationAccept(input: $input) {
            session { accessToken } userErrors { field code } } }";
        let input = json!({ "token": token, "password": password, "code": code });
        ask(server, document, json!({ "input": input }), None).await
    };
    let recovery = Some(&*ada.recovery[0]);
    assert_eq!(user_errors(&accept("not the password", recovery).await, "done"), ["password INVALID"]);
    assert_eq!(user_errors(&accept(PASSWORD, None).await, "done"), ["code TWO_FACTOR_REQUIRED"]);
    assert_eq!(user_errors(&accept(PASSWORD, Some(&ada.wrong())).await, "done"), ["code INVALID"]);
    let accepted = accept(PASSWORD, recovery).await;
    assert_eq!(user_errors(&accepted, "done"), [""; 0]);
    assert_eq!(data(&accepted, "done.session"), &Value::Null, "signing in is another matter");
}

#[tokio::test]
async fn an_account_that_is_disabled_in_between_completes_no_sign_in() {
    let server = kit::server().await;
    let ada = guarded(server).await;
    let challenged = challenge(server, &ada.who).await;
    let disabled = async |at: &str| {
        server.sql(&format!("UPDATE users SET disabled_at = {at} WHERE email = '{}'", ada.who.email)).await;
    };
    disabled("now()").await;
    for code in [&ada.shown(0), &ada.recovery[0]] {
        assert_eq!(user_errors(&complete(server, &challenged, code).await, "done"), ["code INVALID"]);
    }
    disabled("NULL").await;
    access(&complete(server, &challenged, &ada.recovery[0]).await);
}
