//! Members as those who lead an organization change them: what they are, what they may, whether they get in. Nobody
//! gives more than they have, an organization keeps an owner, and what is taken is gone within a second.

use crate::{
    kit::{self, Founder, Server, code, connect, data, mail::until, server, user_errors},
    socket::Client,
};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use uuid::Uuid;

async fn change(server: &Server, token: &str, field: &str, input: Value) -> Value {
    let (first, rest) = field.split_at(1);
    let of = match field {
        "memberSuspend" | "memberReactivate" | "memberRemove" => "MemberInput".to_owned(),
        _ => format!("{}{rest}Input", first.to_uppercase()),
    };
    let document = format!(
        "mutation($input: {of}!) {{ done: {field}(input: $input) {{
            member {{ id title role status managerId version }} userErrors {{ field code message }} }} }}"
    );
    server.graphql(&document, json!({ "input": input }), Some(token)).await
}

async fn verdict(server: &Server, token: &str, field: &str, input: Value) -> String {
    kit::verdict(&change(server, token, field, input).await)
}

async fn viewer(server: &Server, token: &str) -> Value {
    server.graphql("{ viewer { role } }", json!({}), Some(token)).await
}

async fn owners(server: &Server, of: &Founder) -> i64 {
    let owners = format!(
        "SELECT count(*) FROM memberships WHERE organization_id = '{}' AND role = 'owner' AND status = 'active'",
        of.organization
    );
    server.count(&owners).await
}

#[tokio::test]
async fn a_title_and_a_manager_without_a_circle() {
    let server = server().await;
    let ada = server.founder().await;
    let (bob, cy) = (server.member(&ada, "manager", None).await, server.member(&ada, "member", None).await);
    let input = json!({ "id": cy.member, "title": "  Clerk ", "managerId": bob.member, "expectedVersion": 1 });
    let answer = change(server, &ada, "memberUpdate", input).await;
    let changed = data(&answer, "done.member");
    assert_eq!((&changed["title"], &changed["managerId"]), (&json!("Clerk"), &json!(bob.member)));
    assert_eq!(changed["version"], 2);
    let stranger = server.founder().await;
    for (input, wanted) in [
        (json!({ "id": bob.member, "managerId": cy.member }), "managerId INVALID"),
        (json!({ "id": bob.member, "managerId": bob.member }), "managerId INVALID"),
        (json!({ "id": bob.member, "managerId": stranger.member }), "managerId NOT_FOUND"),
        (json!({ "id": bob.member, "title": "x".repeat(121) }), "title TOO_LONG"),
        (json!({ "id": bob.member, "title": "a\u{7}b" }), "title INVALID"),
        (json!({ "id": stranger.member, "title": "x" }), "id NOT_FOUND"),
        (json!({ "id": cy.member, "title": "x", "expectedVersion": 1 }), "expectedVersion CONFLICT"),
        (json!({ "id": cy.member }), "done"),
        (json!({ "id": cy.member, "managerId": null, "title": " " }), "done"),
    ] {
        assert_eq!(verdict(server, &ada, "memberUpdate", input.clone()).await, wanted, "{input}");
    }
    let query = "query($id: ID!) { member(id: $id) { version title history { action changes { field old new } } } }";
    let answer = server.graphql(query, json!({ "id": cy.member }), Some(&ada)).await;
    let member = data(&answer, "member");
    assert_eq!(
        (&member["version"], &member["title"]),
        (&json!(3), &Value::Null),
        "what changes nothing writes nothing"
    );
    let first = &member["history"][1];
    assert_eq!(first["action"], "updated");
    let title = json!({ "field": "title", "old": null, "new": "Clerk" });
    assert!(first["changes"].as_array().unwrap().contains(&title), "{first}");
}

#[tokio::test]
async fn two_cannot_become_each_others_manager_at_once() {
    let server = server().await;
    let ada = server.founder().await;
    for _ in 0..5 {
        let (bob, cy) = (server.member(&ada, "member", None).await, server.member(&ada, "member", None).await);
        let (one, other) = tokio::join!(
            verdict(server, &ada, "memberUpdate", json!({ "id": bob.member, "managerId": cy.member })),
            verdict(server, &ada, "memberUpdate", json!({ "id": cy.member, "managerId": bob.member })),
        );
        let mut both = [one, other];
        both.sort();
        assert_eq!(both, ["done", "managerId INVALID"]);
    }
}

#[tokio::test]
async fn nobody_gives_or_takes_more_than_they_have() {
    let server = server().await;
    let ada = server.founder().await;
    let admin = server.member(&ada, "admin", None).await;
    let rep = server.member(&ada, "sales_rep", None).await;
    let stranger = server.founder().await;
    let all = ["memberUpdate", "memberRoleChange", "memberSuspend", "memberReactivate", "memberRemove"];
    for field in all {
        let input = |id: Uuid| match field {
            "memberRoleChange" => json!({ "id": id, "role": "MEMBER" }),
            _ => json!({ "id": id }),
        };
        assert_eq!(verdict(server, &admin, field, input(ada.member)).await, "FORBIDDEN", "{field} of an owner");
        assert_eq!(verdict(server, &rep, field, input(admin.member)).await, "FORBIDDEN", "{field} by a sales rep");
        assert_eq!(verdict(server, &rep, field, input(rep.member)).await, "FORBIDDEN", "{field} of oneself");
        assert_eq!(verdict(server, &ada, field, input(stranger.member)).await, "id NOT_FOUND", "{field} elsewhere");
        assert_eq!(verdict(server, &ada, field, input(Uuid::now_v7())).await, "id NOT_FOUND", "{field} of nobody");
    }
    for (who, whom, role, wanted) in [
        (&admin, &rep, "OWNER", "FORBIDDEN"),
        (&admin, &admin, "OWNER", "FORBIDDEN"),
        (&admin, &rep, "ADMIN", "done"),
        (&admin, &rep, "MANAGER", "done"),
        (&ada, &rep, "OWNER", "done"),
        (&ada, &rep, "SALES_REP", "done"),
    ] {
        let input = json!({ "id": whom.member, "role": role });
        assert_eq!(verdict(server, who, "memberRoleChange", input).await, wanted, "{role}");
    }
    for (who, whom, wanted) in
        [(&admin, &rep, "FORBIDDEN"), (&ada, &ada, "memberId STATE_INVALID"), (&ada, &stranger, "memberId NOT_FOUND")]
    {
        let input = json!({ "memberId": whom.member });
        assert_eq!(verdict(server, who, "ownershipTransfer", input).await, wanted);
    }
}

#[tokio::test]
async fn the_last_owner_stays() {
    let server = server().await;
    let ada = server.founder().await;
    let bob = server.member(&ada, "admin", None).await;
    let demote = json!({ "id": ada.member, "role": "ADMIN" });
    assert_eq!(verdict(server, &ada, "memberRoleChange", demote.clone()).await, "role STATE_INVALID");
    assert_eq!(verdict(server, &ada, "memberSuspend", json!({ "id": ada.member })).await, "id STATE_INVALID");
    assert_eq!(verdict(server, &ada, "memberRemove", json!({ "id": ada.member })).await, "id STATE_INVALID");
    // An owner who cannot sign in is none.
    let promote = json!({ "id": bob.member, "role": "OWNER" });
    assert_eq!(verdict(server, &ada, "memberRoleChange", promote.clone()).await, "done");
    assert_eq!(verdict(server, &ada, "memberSuspend", json!({ "id": bob.member })).await, "done");
    assert_eq!(verdict(server, &ada, "memberRoleChange", demote.clone()).await, "role STATE_INVALID");
    let heir = json!({ "memberId": bob.member });
    assert_eq!(verdict(server, &ada, "ownershipTransfer", heir.clone()).await, "memberId STATE_INVALID");
    assert_eq!(verdict(server, &ada, "memberReactivate", json!({ "id": bob.member })).await, "done");
    assert_eq!(verdict(server, &ada, "ownershipTransfer", heir.clone()).await, "memberId STATE_INVALID");
    server.sql(&format!("UPDATE memberships SET role = 'admin' WHERE id = '{}'", bob.member)).await;
    let answer = change(server, &ada, "ownershipTransfer", heir).await;
    assert_eq!(data(&answer, "done.member")["role"], "OWNER");
    assert_eq!(data(&viewer(server, &ada).await, "viewer.role"), "ADMIN");
    assert_eq!(verdict(server, &ada, "memberRoleChange", promote).await, "FORBIDDEN");
    assert_eq!(owners(server, &ada).await, 1);
}

/// Whoever is named first: what else is done about both of them holds them in the same order.
#[tokio::test]
async fn two_members_are_held_in_one_order() {
    let server = server().await;
    let ada = server.founder().await;
    let heir = loop {
        let heir = server.member(&ada, "admin", None).await;
        if heir.member > ada.member {
            break heir;
        }
    };
    let hold = |member: Uuid| format!("SELECT FROM memberships WHERE id = '{member}' FOR NO KEY UPDATE NOWAIT");
    let mut other = connect(&server.database).await;
    let held = other.transaction().await.expect("a transaction");
    held.batch_execute(&hold(ada.member)).await.expect("nobody holds her");
    let process: i32 = held.query_one("SELECT pg_backend_pid()", &[]).await.expect("a process").get(0);
    let waits = format!("SELECT count(*) FROM pg_stat_activity WHERE {process} = ANY(pg_blocking_pids(pid))");
    let looking = async {
        until("somebody who waits", async || (server.count(&waits).await == 1).then_some(())).await;
        held.batch_execute(&hold(heir.member)).await.expect("who waits for the first does not hold the second");
        held.rollback().await.expect("an end");
    };
    let transfer = change(server, &ada, "ownershipTransfer", json!({ "memberId": heir.member }));
    let (answer, ()) = futures_util::future::join(transfer, looking).await;
    assert_eq!(data(&answer, "done.member")["role"], "OWNER", "{answer}");
}

#[tokio::test]
async fn an_owner_is_left_however_many_go_at_once() {
    let server = server().await;
    for field in ["memberRoleChange", "memberRemove", "memberSuspend", "ownershipTransfer"] {
        let ada = server.founder().await;
        let mut all = vec![ada.clone()];
        for _ in 0..3 {
            all.push(server.member(&ada, "owner", None).await);
        }
        let clerk = server.member(&ada, "member", None).await;
        let calls = all.iter().flat_map(|who| all.iter().map(move |whom| (who, whom))).map(|(who, whom)| {
            let input = match field {
                "memberRoleChange" => json!({ "id": whom.member, "role": "GUEST" }),
                "ownershipTransfer" => json!({ "memberId": clerk.member }),
                _ => json!({ "id": whom.member }),
            };
            change(server, who, field, input)
        });
        let answers = futures_util::future::join_all(calls).await;
        assert!(answers.iter().any(|answer| user_errors_of(answer).is_empty()), "{field}: {answers:#?}");
        assert!(owners(server, &ada).await >= 1, "{field} left nobody");
    }
}

fn user_errors_of(answer: &Value) -> Vec<String> {
    if answer.get("errors").is_some() { vec![code(answer).to_owned()] } else { user_errors(answer, "done") }
}

#[tokio::test]
async fn what_is_taken_is_gone_within_a_second() {
    let server = Server::start().await;
    let ada = server.founder().await;
    for (field, more, reason) in [
        ("memberRoleChange", json!({ "role": "GUEST" }), None),
        ("memberSuspend", json!({}), Some("REVOKED")),
        ("memberRemove", json!({}), Some("REVOKED")),
    ] {
        let bob = server.member(&ada, "manager", None).await;
        assert_eq!(data(&viewer(&server, &bob).await, "viewer.role"), "MANAGER");
        let mut socket = Client::open(&server, Some(&format!("Bearer {}", bob.token))).await;
        let mut input = more;
        input["id"] = json!(bob.member);
        let begin = Instant::now();
        assert_eq!(verdict(&server, &ada, field, input).await, "done");
        // On this node at once.
        let answer = viewer(&server, &bob).await;
        match reason {
            Some(reason) => assert_eq!(answer["errors"][0]["extensions"]["reason"], reason, "{field}: {answer}"),
            None => assert_eq!(data(&answer, "viewer.role"), "GUEST"),
        }
        assert_eq!(socket.closed().await, 4403, "{field}");
        let took = begin.elapsed();
        assert!(took < Duration::from_secs(3), "{field} took {took:?}");
    }
    server.stop().await;
}

#[tokio::test]
async fn who_is_removed_stays_the_owner_of_what_they_left() {
    let server = server().await;
    let ada = server.founder().await;
    let bob = server.member(&ada, "sales_rep", None).await;
    let create = "mutation($input: LeadCreateInput!) { done: leadCreate(input: $input) { lead { id } userErrors { field code } } }";
    let lead = json!({ "input": { "firstName": "Leo", "lastName": "Lead" } });
    let id = data(&server.graphql(create, lead, Some(&bob)).await, "done.lead.id").clone();
    assert_eq!(verdict(server, &ada, "memberRemove", json!({ "id": bob.member })).await, "done");
    let query = "query($id: ID!) { lead(id: $id) { owner { id status } } }";
    let answer = server.graphql(query, json!({ "id": id }), Some(&ada)).await;
    assert_eq!(data(&answer, "lead.owner"), &json!({ "id": bob.member, "status": "REMOVED" }));
    // Nothing new is given to them.
    let lead = json!({ "input": { "firstName": "Lea", "lastName": "Lead", "ownerId": bob.member } });
    assert_eq!(user_errors(&server.graphql(create, lead, Some(&ada)).await, "done"), ["ownerId NOT_FOUND"]);
    let login = "mutation($input: LoginInput!) { done: login(input: $input) { userErrors { field code } } }";
    let input = json!({ "input": { "email": bob.email, "password": "nine purple otters juggle" } });
    assert_eq!(user_errors(&server.graphql(login, input, None).await, "done"), [" STATE_INVALID"]);
    for field in ["memberReactivate", "memberRemove", "memberSuspend", "memberUpdate"] {
        assert_eq!(verdict(server, &ada, field, json!({ "id": bob.member })).await, "id STATE_INVALID", "{field}");
    }
}
