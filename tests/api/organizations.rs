//! An organization as its owners change it, end it and take that back; and what is left of it afterwards.

use crate::{
    kit::{
        Founder, Server, code, connect, data,
        mail::{letter, until, working},
        server, user_errors,
    },
    socket::Client,
};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

async fn update(server: &Server, token: &str, input: Value) -> Value {
    let document = "mutation($input: OrganizationUpdateInput!) { done: organizationUpdate(input: $input) {
        organization { name slug timeZone currency retentionDays settings version } userErrors { field code message } } }";
    server.graphql(document, json!({ "input": input }), Some(token)).await
}

async fn slug(server: &Server, token: &str) -> String {
    let answer = server.graphql("{ viewer { organization { slug } } }", json!({}), Some(token)).await;
    data(&answer, "viewer.organization.slug").as_str().expect("a slug").to_owned()
}

async fn delete(server: &Server, token: &str, slug: &str) -> Value {
    let document = "mutation($input: OrganizationDeleteInput!) { done: organizationDelete(input: $input) {
        purgeAt userErrors { field code } } }";
    server.graphql(document, json!({ "input": { "slug": slug } }), Some(token)).await
}

async fn restore(server: &Server, token: &str) -> Value {
    let document = "mutation($input: OrganizationRestoreInput!) { done: organizationRestore(input: $input) {
        organization { slug } userErrors { field code } } }";
    server.graphql(document, json!({ "input": { "token": token } }), None).await
}

async fn login(server: &Server, who: &Founder) -> Value {
    let document = "mutation($input: LoginInput!) { done: login(input: $input) { session { accessToken } userErrors { field code } } }";
    let input = json!({ "input": { "email": who.email, "password": "nine purple otters juggle" } });
    server.graphql(document, input, None).await
}

/// The token in the newest mail to somebody.
async fn link(server: &Server, to: &str) -> String {
    let text = letter(server, to).await;
    let token = text.split("token=").nth(1).unwrap_or_else(|| panic!("no link in {text}"));
    token.split_whitespace().next().expect("a token").to_owned()
}

#[tokio::test]
async fn an_organization_is_changed_by_those_who_may() {
    let server = server().await;
    let ada = server.founder().await;
    let other = slug(server, &server.founder().await).await;
    let input = json!({ "name": " Müller ", "timeZone": "Europe/Berlin", "currency": "EUR", "retentionDays": 90,
        "settings": { "theme": "dark" }, "expectedVersion": 1 });
    let answer = update(server, &ada, input).await;
    let own = slug(server, &ada).await;
    assert_eq!(
        data(&answer, "done.organization"),
        &json!({ "name": "Müller", "slug": own, "timeZone": "Europe/Berlin", "currency": "EUR", "retentionDays": 90,
            "settings": { "theme": "dark" }, "version": 2 })
    );
    let long: serde_json::Map<String, Value> = (0..101).map(|n| (n.to_string(), json!(n))).collect();
    for (input, wanted) in [
        (json!({ "slug": other }), "slug NOT_UNIQUE"),
        (json!({ "slug": "No Slug" }), "slug INVALID_FORMAT"),
        (json!({ "name": " " }), "name REQUIRED"),
        (json!({ "timeZone": "Mars/Base" }), "timeZone INVALID"),
        (json!({ "currency": "XXY" }), "currency INVALID"),
        (json!({ "retentionDays": 0 }), "retentionDays OUT_OF_RANGE"),
        (json!({ "retentionDays": 3651 }), "retentionDays OUT_OF_RANGE"),
        (json!({ "settings": long }), "settings TOO_LONG"),
        (json!({ "expectedVersion": 1 }), "expectedVersion CONFLICT"),
        (json!({ "name": "Müller" }), ""),
    ] {
        assert_eq!(user_errors(&update(server, &ada, input.clone()).await, "done").join(","), wanted, "{input}");
    }
    // What changes nothing is no change.
    let answer = update(server, &ada, json!({ "slug": format!("{own}-2") })).await;
    assert_eq!(data(&answer, "done.organization.version"), 3);
    let rep = server.member(&ada, "manager", None).await;
    assert_eq!(code(&update(server, &rep, json!({ "name": "x" })).await), "FORBIDDEN");
}

#[tokio::test]
async fn whose_address_is_verified_may_ask_it_of_all() {
    let server = server().await;
    let ada = server.founder().await;
    let bob = server.member(&ada, "member", None).await;
    let gate = json!({ "requireVerifiedEmail": true });
    assert_eq!(user_errors(&update(server, &ada, gate.clone()).await, "done"), ["requireVerifiedEmail STATE_INVALID"]);
    server.sql(&format!("UPDATE users SET email_verified_at = now() WHERE email = '{}'", ada.email)).await;
    assert!(user_errors(&update(server, &ada, gate).await, "done").is_empty());
    let create = "mutation { conversationCreate(input: { title: \"All\", memberIds: [] }) { userErrors { code } } }";
    assert_eq!(code(&server.graphql(create, json!({}), Some(&bob)).await), "EMAIL_NOT_VERIFIED");
    assert!(user_errors(&server.graphql(create, json!({}), Some(&ada)).await, "conversationCreate").is_empty());
    let query = "{ viewer { organization { requireVerifiedEmail } } }";
    let seen = server.graphql(query, json!({}), Some(&bob)).await;
    assert_eq!(data(&seen, "viewer.organization.requireVerifiedEmail"), true);
    assert!(user_errors(&update(server, &ada, json!({ "requireVerifiedEmail": false })).await, "done").is_empty());
    assert!(user_errors(&server.graphql(create, json!({}), Some(&bob)).await, "conversationCreate").is_empty());
}

#[tokio::test]
async fn a_deleted_organization_lets_nobody_in_until_an_owner_restores_it() {
    let server = Server::start().await;
    let ada = server.founder().await;
    let (admin, own) = (server.member(&ada, "admin", None).await, slug(&server, &ada).await);
    assert_eq!(code(&delete(&server, &admin, &own).await), "FORBIDDEN");
    assert_eq!(user_errors(&delete(&server, &ada, "another").await, "done"), ["slug INVALID"]);
    let mut socket = Client::open(&server, Some(&format!("Bearer {}", admin.token))).await;
    let begin = Instant::now();
    let answer = delete(&server, &ada, &own).await;
    assert!(data(&answer, "done.purgeAt").is_string(), "{answer}");
    let shut = |answer: Value| {
        assert_eq!(code(&answer), "ORGANIZATION_SUSPENDED");
        assert_eq!(answer["errors"][0]["extensions"]["reason"], "DELETED");
    };
    for who in [&ada, &admin] {
        shut(server.graphql("{ viewer { memberId } }", json!({}), Some(who)).await);
        shut(login(&server, who).await);
    }
    assert_eq!(socket.closed().await, 4403);
    assert!(begin.elapsed() < Duration::from_secs(3));
    let mails = format!("SELECT count(*) FROM jobs WHERE payload->'letter'->>'to' = '{}'", admin.email);
    assert_eq!(server.count(&mails).await, 0, "only owners get the way back");

    let token = link(&server, &ada.email).await;
    let mut wrong = token.clone();
    wrong.replace_range(token.len() - 2.., if token.ends_with("AA") { "BA" } else { "AA" });
    for wrong in ["", "nonsense", "stoa_lt_", wrong.as_str()] {
        assert_eq!(user_errors(&restore(&server, wrong).await, "done"), ["token INVALID"], "{wrong}");
    }
    let all = futures_util::future::join_all((0..20).map(|_| restore(&server, &token))).await;
    let done = all.iter().filter(|answer| user_errors(answer, "done").is_empty()).count();
    assert_eq!(done, 1, "the link works once");
    until("an open door", async || {
        let answer = server.graphql("{ viewer { memberId } }", json!({}), Some(&ada)).await;
        answer.get("errors").is_none().then_some(())
    })
    .await;
    assert_eq!(slug(&server, &ada).await, own);
    assert!(data(&login(&server, &admin).await, "done.session").is_object());
    server.stop().await;
}

#[tokio::test]
async fn when_the_grace_has_ended_nothing_is_left() {
    let server = working(|_| ()).await;
    let (ada, bob) = (server.founder().await, server.founder().await);
    let rep = server.member(&ada, "sales_rep", Some(ada.member)).await;
    for who in [&ada, &bob] {
        for (field, input) in [
            ("accountCreate", json!({ "name": "Acme" })),
            ("leadCreate", json!({ "firstName": "Leo", "lastName": "Lead" })),
            ("conversationCreate", json!({ "memberIds": [], "title": "All" })),
        ] {
            let of = format!("{}{}Input", field[..1].to_uppercase(), &field[1..]);
            let document =
                format!("mutation($input: {of}!) {{ done: {field}(input: $input) {{ userErrors {{ message }} }} }}");
            let answer = server.graphql(&document, json!({ "input": input }), Some(who)).await;
            assert_eq!(data(&answer, "done.userErrors"), &json!([]));
        }
    }
    let rows = async |organization: uuid::Uuid| {
        let client = connect(&server.database).await;
        let tables = "SELECT a.attrelid::regclass::text FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
            WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace AND a.attname = 'organization_id'";
        let mut rows = 0;
        for table in client.query(tables, &[]).await.unwrap() {
            let table: String = table.get(0);
            rows +=
                server.count(&format!("SELECT count(*) FROM {table} WHERE organization_id = '{organization}'")).await;
        }
        rows
    };
    let before = rows(bob.organization).await;
    assert!(rows(ada.organization).await > 10);
    let own = slug(&server, &ada).await;
    data(&delete(&server, &ada, &own).await, "done.purgeAt");
    let hash = format!("SELECT encode(restore_hash, 'hex') FROM organizations WHERE id = '{}'", ada.organization);
    assert_eq!(server.text(&hash).await.len(), 64, "only a hash is kept");
    let run = "UPDATE schedules SET next_run_at = now() WHERE name = 'purge_organizations'";
    server.sql(run).await;
    until("a purge that finds nothing", async || {
        let left = "SELECT count(*) FROM schedules WHERE name = 'purge_organizations' AND next_run_at <= now()";
        let open = "SELECT count(*) FROM jobs WHERE kind = 'purge_organizations' AND status <> 'done'";
        (server.count(left).await == 0 && server.count(open).await == 0).then_some(())
    })
    .await;
    assert!(rows(ada.organization).await > 10, "the grace has not ended");
    server.sql(&format!("UPDATE organizations SET purge_at = now() WHERE id = '{}'", ada.organization)).await;
    server.sql(run).await;
    until("an end", async || {
        let there = format!("SELECT count(*) FROM organizations WHERE id = '{}'", ada.organization);
        (server.count(&there).await == 0).then_some(())
    })
    .await;
    assert_eq!(rows(ada.organization).await, 0);
    assert!(rows(bob.organization).await >= before, "others stay");
    let people = format!("SELECT count(*) FROM users WHERE email IN ('{}', '{}')", ada.email, rep.email);
    assert_eq!(server.count(&people).await, 2, "the accounts of people stay");
    assert_eq!(user_errors(&login(&server, &ada).await, "done"), [" STATE_INVALID"]);
    server.stop().await;
}
