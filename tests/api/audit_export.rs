//! The audit trail as a file: whole, in order, in both forms, for whoever may read it and no longer.

use crate::kit::{self, Founder, Server, code, data, mail::until, user_errors};
use futures_util::StreamExt;
use reqwest::{Client, Response, StatusCode};
use serde_json::{Value, json};
use std::collections::HashSet;
use uuid::Uuid;

async fn ask(server: &Server, token: &str, format: &str, filter: Value) -> Value {
    let query = "mutation($input: AuditExportInput!) { done: auditExport(input: $input) {
        url expiresAt userErrors { field code message } } }";
    server.graphql(query, json!({ "input": { "format": format, "filter": filter } }), Some(token)).await
}

pub async fn url(server: &Server, token: &str, format: &str, filter: Value) -> String {
    let answer = ask(server, token, format, filter).await;
    assert_eq!(user_errors(&answer, "done"), [""; 0]);
    format!("{}{}", server.url(), data(&answer, "done.url").as_str().unwrap())
}

async fn fetch(url: &str) -> Response {
    Client::new().get(url).send().await.unwrap()
}

/// So many events with texts of that length, a second apart.
async fn plant(server: &Server, who: &Founder, count: u32, length: u32) {
    server
        .sql(&format!(
            "INSERT INTO events (organization_id, stream_id, seq, id, kind, entity, entity_id, actor_id, request_id, payload, at)
             SELECT '{}', '{}', n, gen_random_uuid(), 'updated', 'Lead', gen_random_uuid(), '{}', 'r' || n,
                jsonb_build_object('changes', jsonb_build_object('firstName',
                    jsonb_build_object('old', n, 'new', repeat('x', {length})))),
                now() - n * interval '1 second'
             FROM generate_series(1, {count}) n",
            who.organization,
            Uuid::now_v7(),
            who.member
        ))
        .await;
}

#[tokio::test]
async fn every_event_is_in_the_file_once_and_in_order() {
    let server = kit::server().await;
    let (ada, bob) = (server.founder().await, server.founder().await);
    plant(server, &ada, 2500, 10).await;
    plant(server, &bob, 10, 10).await;
    let file = fetch(&url(server, &ada, "JSON_LINES", json!({ "entity": { "eq": "Lead" } })).await).await;
    assert_eq!(file.status(), StatusCode::OK);
    let name = file.headers()["content-disposition"].to_str().unwrap().to_owned();
    assert!(name.starts_with("attachment; filename=\"audit-") && name.contains(".jsonl\""), "{name}");
    let text = file.text().await.unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let told: Vec<String> = lines.iter().map(|line| line["requestId"].as_str().unwrap().to_owned()).collect();
    assert_eq!(told, (1..=2500).map(|n| format!("r{n}")).collect::<Vec<_>>());
    assert_eq!(lines.iter().map(|line| line["id"].to_string()).collect::<HashSet<_>>().len(), 2500);
    assert_eq!(
        (&lines[0]["actorName"], &lines[0]["actorKind"], &lines[0]["changes"]),
        (&json!("Ada Founder"), &json!("MEMBER"), &json!([{ "field": "firstName", "old": 1, "new": "xxxxxxxxxx" }]))
    );
    // As `auditEvents` tells it.
    let query = "{ auditEvents(first: 1, filter: { entity: { eq: \"Lead\" } }) { nodes {
        id at action entity entityId changes { field old new } actorKind actorId apiKeyId requestId address userAgent } } }";
    let listed = server.graphql(query, json!({}), Some(&ada)).await;
    let mut line = lines[0].clone();
    line.as_object_mut().unwrap().remove("actorName");
    assert_eq!(data(&listed, "auditEvents.nodes.0"), &line);

    let table = fetch(&url(server, &ada, "CSV", json!({ "entity": { "eq": "Lead" } })).await).await;
    assert!(table.headers()["content-type"].to_str().unwrap().starts_with("text/csv"));
    let text = table.text().await.unwrap();
    let rows: Vec<&str> = text.split("\r\n").collect();
    assert_eq!((rows.len(), rows[2501]), (2502, ""));
    assert!(rows[0].starts_with("\"at\",\"action\",\"entity\","), "{}", rows[0]);
    assert!(rows[1].contains(",\"MEMBER\",") && rows[2500].contains(",\"r2500\","), "{} {}", rows[1], rows[2500]);

    // That it was asked for is told, with what.
    let query = "{ auditEvents(first: 2, filter: { action: { eq: \"audit_exported\" } }) { nodes { actorId changes { field new } } } }";
    let told = server.graphql(query, json!({}), Some(&ada)).await;
    assert_eq!(data(&told, "auditEvents.nodes.0.actorId"), &json!(ada.member));
    assert_eq!(
        data(&told, "auditEvents.nodes.0.changes"),
        &json!([{ "field": "filter", "new": { "entity": { "eq": "Lead" } } }, { "field": "format", "new": "csv" }])
    );
}

#[tokio::test]
async fn what_would_be_a_formula_is_a_text() {
    let server = kit::server().await;
    let ada = server.founder().await;
    let agent = "=cmd|' /C calc'!A0";
    let login = "mutation($input: LoginInput!) { login(input: $input) { userErrors { code } } }";
    let body = json!({ "query": login, "variables": { "input": { "email": ada.email, "password": kit::PASSWORD } } });
    let graphql = format!("{}/graphql", server.url());
    Client::new().post(graphql).header("user-agent", agent).json(&body).send().await.unwrap();
    let text = fetch(&url(server, &ada, "CSV", Value::Null).await).await.text().await.unwrap();
    assert!(text.contains(",\"'=cmd|' /C calc'!A0\","), "{text}");
}

#[tokio::test]
async fn only_who_may_gets_a_file_and_the_url_is_for_that_only() {
    let server = kit::server().await;
    let (ada, bob) = (server.founder().await, server.founder().await);
    for role in ["manager", "member", "guest"] {
        let member = server.member(&ada, role, None).await;
        assert_eq!(code(&ask(server, &member, "CSV", Value::Null).await), "FORBIDDEN", "{role}");
    }
    let good = url(server, &ada, "CSV", Value::Null).await;
    let (path, query) = good.strip_prefix(server.url()).unwrap().split_once('?').unwrap();
    let sealed = path.rsplit('/').next().unwrap();
    for wrong in [
        good.replace(&ada.organization.to_string(), &bob.organization.to_string()),
        good.replace(sealed, &sealed[..sealed.len() - 4]),
        good.replace(query, &query.replace("expires=", "expires=1")),
        format!("{}{path}", server.url()),
    ] {
        assert_eq!(fetch(&wrong).await.status(), StatusCode::FORBIDDEN, "{wrong}");
    }
    // Signed by us, and yet for nobody: for another organization than it was sealed for, of a time that is over, nonsense.
    let signed = |path: &str, until| format!("{}{}", server.url(), server.app.urls.url("GET", path, until));
    let elsewhere = path.replace(&ada.organization.to_string(), &bob.organization.to_string());
    for (path, until) in [(&*elsewhere, 4_000_000_000), (path, 1_700_000_000), (&path[..path.len() - 4], 4_000_000_000)]
    {
        assert_eq!(fetch(&signed(path, until)).await.status(), StatusCode::GONE, "{path} {until}");
    }
    assert_eq!(fetch(&good).await.status(), StatusCode::OK);
    let put = Client::new().put(&good).send().await.unwrap();
    assert_eq!(put.status(), StatusCode::METHOD_NOT_ALLOWED);
    // Who may no longer gets nothing by a URL from before.
    let cy = server.member(&ada, "admin", None).await;
    let theirs = url(server, &cy, "CSV", Value::Null).await;
    server.sql(&format!("UPDATE memberships SET role = 'member' WHERE id = '{}'", cy.member)).await;
    server.forget();
    assert_eq!(fetch(&theirs).await.status(), StatusCode::FORBIDDEN);
    server.sql(&format!("UPDATE sessions SET revoked_at = now() WHERE member_id = '{}'", cy.member)).await;
    server.forget();
    assert_eq!(fetch(&theirs).await.status(), StatusCode::UNAUTHORIZED);
    // A filter that no URL takes.
    let ids: Vec<Uuid> = (0..200).map(|_| Uuid::now_v7()).collect();
    let answer = ask(server, &ada, "CSV", json!({ "entityId": { "in": ids } })).await;
    assert_eq!(user_errors(&answer, "done"), ["filter TOO_LONG"]);
}

/// What programs collect by night.
#[tokio::test]
async fn an_api_key_gets_what_it_and_its_member_may() {
    let server = kit::server().await;
    let ada = server.founder().await;
    let create = "mutation($p: [PermissionInput!]!) { done: apiKeyCreate(input: { name: \"SIEM\", permissions: $p }) {
        key apiKey { id } userErrors { message } } }";
    let may = |action: &str| json!({ "resource": "AUDIT", "action": action, "scope": "ALL" });
    let key = async |permissions: Value| {
        let made = server.graphql(create, json!({ "p": permissions }), Some(&ada)).await;
        (data(&made, "done.key").as_str().unwrap().to_owned(), data(&made, "done.apiKey.id").clone())
    };
    let (reads, _) = key(json!([may("READ")])).await;
    assert_eq!(code(&ask(server, &reads, "CSV", Value::Null).await), "FORBIDDEN");
    let (both, id) = key(json!([may("READ"), may("EXPORT")])).await;
    let file = url(server, &both, "JSON_LINES", json!({ "action": { "eq": "audit_exported" } })).await;
    assert!(!file.contains(&both[..17]), "nothing of the key stands in it");
    let text = fetch(&file).await.text().await.unwrap();
    let line: Value = serde_json::from_str(text.trim_end()).unwrap();
    assert_eq!((&line["actorKind"], &line["apiKeyId"], &line["actorId"]), (&json!("API_KEY"), &id, &json!(ada.member)));
    let revoke = "mutation($id: ID!) { done: apiKeyRevoke(input: { id: $id }) { userErrors { message } } }";
    assert_eq!(user_errors(&server.graphql(revoke, json!({ "id": id }), Some(&ada)).await, "done"), [""; 0]);
    server.forget();
    assert_eq!(fetch(&file).await.status(), StatusCode::UNAUTHORIZED);
}

/// 24 MB, which are in nobody's buffers.
#[tokio::test]
async fn who_is_revoked_in_the_middle_gets_no_more_and_who_hangs_up_costs_nothing() {
    let server = kit::server().await;
    let ada = server.founder().await;
    let cy = server.member(&ada, "admin", None).await;
    plant(server, &ada, 6000, 4000).await;
    let theirs = url(server, &cy, "CSV", Value::Null).await;
    let mut file = fetch(&theirs).await.bytes_stream();
    let first = file.next().await.unwrap().unwrap();
    assert!(first.starts_with(b"\"at\",\"action\""));
    let own = url(server, &ada, "CSV", Value::Null).await;
    let second = fetch(&own).await;
    assert_eq!(second.status(), StatusCode::OK);
    assert_eq!(fetch(&own).await.status(), StatusCode::TOO_MANY_REQUESTS, "two at once are enough for an organization");
    server.sql(&format!("UPDATE sessions SET revoked_at = now() WHERE member_id = '{}'", cy.member)).await;
    server.forget();
    let (mut read, mut broken) = (first.len(), false);
    while let Some(next) = file.next().await {
        match next {
            Ok(bytes) => read += bytes.len(),
            Err(_) => broken = true,
        }
    }
    assert!(broken && read < 20_000_000, "{read} bytes came, broken off: {broken}");
    // Whoever hangs up, ends it: the place is free again.
    drop(second);
    for _ in 0..4 {
        until("a place", async || (fetch(&own).await.status() == StatusCode::OK).then_some(())).await;
    }
}
