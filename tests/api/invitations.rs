//! Invitations from both sides: those who lead invite, resend and revoke; whoever has the link of the mail becomes a
//! member once, as the person of that address and nobody else.

use crate::kit::{Founder, Server, code, data, mail::letter, server, user_errors};
use serde_json::{Value, json};
use uuid::Uuid;

const PASSWORD: &str = "nine purple otters juggle";

fn somebody() -> String {
    format!("{}@example.com", Uuid::new_v4().simple())
}

async fn change(server: &Server, token: &str, field: &str, input: Value) -> Value {
    let of = if field == "invitationCreate" { "InvitationCreateInput" } else { "InvitationInput" };
    let document = format!(
        "mutation($input: {of}!) {{ done: {field}(input: $input) {{ invitation {{ id email role version expiresAt revokedAt
            history {{ action }} }} userErrors {{ field code message }} }} }}"
    );
    server.graphql(&document, json!({ "input": input }), Some(token)).await
}

pub async fn invite(server: &Server, token: &str, email: &str, role: &str) -> String {
    let answer = change(server, token, "invitationCreate", json!({ "email": email, "role": role })).await;
    assert_eq!(user_errors(&answer, "done"), [""; 0]);
    data(&answer, "done.invitation.id").as_str().expect("an id").to_owned()
}

pub async fn accept(server: &Server, as_whom: Option<&str>, input: Value) -> Value {
    let document = "mutation($input: InvitationAcceptInput!) { done: invitationAccept(input: $input) {
        organization { id slug } session { accessToken } userErrors { field code message } } }";
    server.graphql(document, json!({ "input": input }), as_whom).await
}

async fn preview(server: &Server, token: &str) -> Value {
    let document = "query($token: String!) { invitationPreview(token: $token) { organizationName role email } }";
    let answer = server.graphql(document, json!({ "token": token }), None).await;
    data(&answer, "invitationPreview").clone()
}

/// The token in the newest mail to somebody.
pub async fn link(server: &Server, to: &str) -> String {
    let text = letter(server, to).await;
    let token = text.split("token=").nth(1).unwrap_or_else(|| panic!("no link in {text}"));
    token.split_whitespace().next().expect("a token").to_owned()
}

async fn role(server: &Server, token: &str) -> Value {
    let answer = server.graphql("{ viewer { role organization { id } } }", json!({}), Some(token)).await;
    data(&answer, "viewer.role").clone()
}

async fn members(server: &Server, of: &Founder, email: &str) -> i64 {
    let sql = "SELECT count(*) FROM memberships WHERE status = 'active' AND organization_id =";
    server.count(&format!("{sql} '{}' AND email = '{email}'", of.organization)).await
}

#[tokio::test]
async fn somebody_new_is_invited_and_comes_in_once() {
    let server = server().await;
    let (ada, email) = (server.founder().await, somebody());
    invite(server, &ada, &format!(" {} ", email.to_uppercase()), "SALES_REP").await;
    let token = link(server, &email).await;
    let told = preview(server, &token).await;
    assert_eq!((&told["role"], &told["email"]), (&json!("SALES_REP"), &json!(email)));
    let bad = [
        (json!({ "token": token }), vec!["fullName REQUIRED", "password REQUIRED"]),
        (json!({ "token": token, "fullName": "Eve", "password": "short" }), vec!["password TOO_SHORT"]),
        (json!({ "token": format!("{token}x"), "fullName": "Eve", "password": PASSWORD }), vec!["token INVALID"]),
        (json!({ "token": "stoa_lt_", "fullName": "Eve", "password": PASSWORD }), vec!["token INVALID"]),
    ];
    for (input, wanted) in bad {
        assert_eq!(user_errors(&accept(server, None, input.clone()).await, "done"), wanted, "{input}");
    }
    let input = json!({ "token": token, "fullName": "Eve New", "password": PASSWORD });
    let all = futures_util::future::join_all((0..100).map(|_| accept(server, None, input.clone()))).await;
    // So many at once may be told to come back later; that is no second member.
    let (late, told): (Vec<&Value>, Vec<&Value>) = all.iter().partition(|answer| answer.get("errors").is_some());
    assert!(late.iter().all(|answer| ["RATE_LIMITED", "SERVICE_UNAVAILABLE"].contains(&code(answer))), "{late:?}");
    let done: Vec<&Value> = told.into_iter().filter(|answer| user_errors(answer, "done").is_empty()).collect();
    assert_eq!(done.len(), 1, "the token works once");
    let access = data(done[0], "done.session.accessToken").as_str().expect("a session");
    assert_eq!(role(server, access).await, "SALES_REP");
    assert_eq!(members(server, &ada, &email).await, 1);
    let verified = format!("SELECT count(*) FROM users WHERE email = '{email}' AND email_verified_at IS NOT NULL");
    assert_eq!(server.count(&verified).await, 1, "who has the mail has the address");
    assert_eq!(preview(server, &token).await, Value::Null);
    let list = "{ invitations(filter: { acceptedAt: { isNull: false } }) { totalCount nodes { email member { name }
        history { action } } } }";
    let answer = server.graphql(list, json!({}), Some(&ada)).await;
    let node = &data(&answer, "invitations")["nodes"][0];
    assert_eq!((&node["email"], &node["member"]["name"]), (&json!(email), &json!("Eve New")));
    assert_eq!(node["history"], json!([{ "action": "accepted" }, { "action": "created" }]));
    let hashes = "SELECT count(*) FROM invitations WHERE octet_length(token_hash) <> 32";
    assert_eq!(server.count(hashes).await, 0);
}

#[tokio::test]
async fn somebody_with_an_account_signs_in_or_gives_its_password() {
    let server = server().await;
    let (ada, bob, eve) = (server.founder().await, server.founder().await, server.founder().await);
    for signed_in in [true, false] {
        let who = if signed_in { &bob } else { &eve };
        invite(server, &ada, &who.email, "MEMBER").await;
        let token = link(server, &who.email).await;
        let other = accept(server, Some(&ada), json!({ "token": token })).await;
        assert_eq!(user_errors(&other, "done"), ["token STATE_INVALID"]);
        assert_eq!(user_errors(&accept(server, None, json!({ "token": token })).await, "done"), ["password REQUIRED"]);
        let wrong = json!({ "token": token, "password": "eleven wrong herons", "fullName": "Eve" });
        assert_eq!(user_errors(&accept(server, None, wrong).await, "done"), ["password INVALID"]);
        let answer = match signed_in {
            true => accept(server, Some(who), json!({ "token": token })).await,
            false => accept(server, None, json!({ "token": token, "password": PASSWORD })).await,
        };
        assert_eq!(data(&answer, "done.organization.id"), &json!(ada.organization));
        assert_eq!(data(&answer, "done.session"), &Value::Null);
        assert_eq!(members(server, &ada, &who.email).await, 1);
        // Their own organization is as it was.
        assert_eq!(role(server, who).await, "OWNER");
        let again = change(server, &ada, "invitationCreate", json!({ "email": who.email, "role": "GUEST" })).await;
        assert_eq!(user_errors(&again, "done"), ["email NOT_UNIQUE"]);
    }
}

#[tokio::test]
async fn an_invitation_is_sent_again_and_taken_back() {
    let server = server().await;
    let (ada, email) = (server.founder().await, somebody());
    let id = invite(server, &ada, &email, "MEMBER").await;
    let first = link(server, &email).await;
    let twice = change(server, &ada, "invitationCreate", json!({ "email": email, "role": "GUEST" })).await;
    assert_eq!(user_errors(&twice, "done"), ["email NOT_UNIQUE"]);
    server.sql(&format!("UPDATE invitations SET expires_at = now() WHERE id = '{id}'")).await;
    assert_eq!(preview(server, &first).await, Value::Null, "expired");
    let answer = change(server, &ada, "invitationResend", json!({ "id": id })).await;
    assert_eq!(data(&answer, "done.invitation.version"), 2);
    let second = link(server, &email).await;
    assert_ne!(first, second);
    assert_eq!(preview(server, &first).await, Value::Null, "only the newest link works");
    assert_eq!(preview(server, &second).await["email"], email);
    let answer = change(server, &ada, "invitationRevoke", json!({ "id": id })).await;
    assert!(data(&answer, "done.invitation.revokedAt").is_string());
    assert_eq!(preview(server, &second).await, Value::Null);
    let input = json!({ "token": second, "fullName": "Eve", "password": PASSWORD });
    assert_eq!(user_errors(&accept(server, None, input).await, "done"), ["token INVALID"]);
    for field in ["invitationResend", "invitationRevoke"] {
        let answer = change(server, &ada, field, json!({ "id": id })).await;
        assert_eq!(user_errors(&answer, "done"), ["id STATE_INVALID"], "{field}");
    }
    invite(server, &ada, &email, "GUEST").await;
}

#[tokio::test]
async fn nobody_invites_beyond_their_own() {
    let server = server().await;
    let (ada, stranger) = (server.founder().await, server.founder().await);
    let (admin, rep) = (server.member(&ada, "admin", None).await, server.member(&ada, "sales_rep", None).await);
    let input = |role: &str| json!({ "email": somebody(), "role": role });
    assert_eq!(code(&change(server, &admin, "invitationCreate", input("OWNER")).await), "FORBIDDEN");
    assert_eq!(code(&change(server, &rep, "invitationCreate", input("GUEST")).await), "FORBIDDEN");
    assert_eq!(code(&server.graphql("{ invitations { totalCount } }", json!({}), Some(&rep)).await), "FORBIDDEN");
    let bad = change(server, &ada, "invitationCreate", json!({ "email": "nobody", "role": "GUEST" })).await;
    assert_eq!(user_errors(&bad, "done"), ["email INVALID_FORMAT"]);
    let id = invite(server, &ada, &somebody(), "OWNER").await;
    for (who, wanted) in [(&stranger, "id NOT_FOUND"), (&ada, "")] {
        let answer = change(server, who, "invitationResend", json!({ "id": id })).await;
        assert_eq!(user_errors(&answer, "done").join(","), wanted);
    }
    assert_eq!(code(&change(server, &admin, "invitationResend", json!({ "id": id })).await), "FORBIDDEN");
    // Who may not give the role any more has invited nobody into it.
    let email = somebody();
    invite(server, &admin, &email, "ADMIN").await;
    let token = link(server, &email).await;
    server.sql(&format!("UPDATE memberships SET role = 'manager' WHERE id = '{}'", admin.member)).await;
    assert_eq!(preview(server, &token).await, Value::Null);
    let input = json!({ "token": token, "fullName": "Eve", "password": PASSWORD });
    assert_eq!(user_errors(&accept(server, None, input).await, "done"), ["token INVALID"]);
}

#[tokio::test]
async fn who_was_removed_comes_back_as_the_same_member() {
    let server = server().await;
    let ada = server.founder().await;
    let bob = server.member(&ada, "manager", None).await;
    let remove = "mutation($input: MemberInput!) { done: memberRemove(input: $input) { userErrors { code } } }";
    let answer = server.graphql(remove, json!({ "input": { "id": bob.member } }), Some(&ada)).await;
    assert_eq!(data(&answer, "done.userErrors"), &json!([]));
    invite(server, &ada, &bob.email, "GUEST").await;
    let token = link(server, &bob.email).await;
    let answer = accept(server, None, json!({ "token": token, "password": PASSWORD })).await;
    assert_eq!(data(&answer, "done.organization.id"), &json!(ada.organization));
    let query = "query($id: ID!) { member(id: $id) { role status } }";
    let answer = server.graphql(query, json!({ "id": bob.member }), Some(&ada)).await;
    assert_eq!(data(&answer, "member"), &json!({ "role": "GUEST", "status": "ACTIVE" }));
}

#[tokio::test]
async fn invitations_are_mails_that_nobody_asked_for_and_so_have_a_rate() {
    let server = server().await;
    let ada = server.founder().await;
    let mut told = Vec::new();
    for _ in 0..60 {
        let answer = change(server, &ada, "invitationCreate", json!({ "email": somebody(), "role": "GUEST" })).await;
        told.push(answer.get("errors").map_or("done".to_owned(), |_| code(&answer).to_owned()));
    }
    assert!(told.contains(&"RATE_LIMITED".to_owned()) && told[..50].iter().all(|told| told == "done"), "{told:?}");
}
