//! Teams: who makes them, who is in them, and that a leader sees what its members own, from the moment that they are in
//! it until they are not.

use crate::{
    kit::{self, Founder, Server, code, data, server, user_errors},
    socket::Client,
};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use uuid::Uuid;

async fn change(server: &Server, token: &str, field: &str, input: Value) -> Value {
    let (of, below) = match field {
        "teamMemberAdd" | "teamMemberRemove" => ("TeamMemberInput", "teamMember { id teamId memberId }"),
        "memberRemove" | "memberSuspend" => ("MemberInput", "member { id }"),
        "teamCreate" => ("TeamCreateInput", "team { id name description leaderId version }"),
        "teamUpdate" => ("TeamUpdateInput", "team { id name description leaderId version }"),
        "teamDelete" => ("TeamDeleteInput", "team { id name description leaderId version }"),
        other => panic!("{other}?"),
    };
    let document = format!(
        "mutation($input: {of}!) {{ done: {field}(input: $input) {{ {below} userErrors {{ field code message }} }} }}"
    );
    server.graphql(&document, json!({ "input": input }), Some(token)).await
}

async fn verdict(server: &Server, token: &str, field: &str, input: Value) -> String {
    kit::verdict(&change(server, token, field, input).await)
}

/// A new team; its id.
async fn team(server: &Server, token: &str, name: &str, leader: Option<Uuid>) -> String {
    let answer = change(server, token, "teamCreate", json!({ "name": name, "leaderId": leader })).await;
    assert_eq!(user_errors(&answer, "done"), [""; 0], "{answer}");
    data(&answer, "done.team.id").as_str().unwrap().to_owned()
}

async fn add(server: &Server, token: &str, team: &str, member: &Founder) {
    let input = json!({ "teamId": team, "memberId": member.member });
    assert_eq!(verdict(server, token, "teamMemberAdd", input).await, "done");
}

/// The last names of the leads that somebody sees, in order.
async fn leads(server: &Server, token: &str) -> Vec<String> {
    let answer = server.graphql("{ leads { nodes { lastName } } }", json!({}), Some(token)).await;
    let nodes = data(&answer, "leads.nodes").as_array().unwrap();
    let mut names: Vec<_> = nodes.iter().map(|lead| lead["lastName"].as_str().unwrap().to_owned()).collect();
    names.sort();
    names
}

async fn lead(server: &Server, token: &str, last_name: &str) {
    let document =
        "mutation($input: LeadCreateInput!) { done: leadCreate(input: $input) { userErrors { field code } } }";
    let input = json!({ "input": { "firstName": "Leo", "lastName": last_name } });
    assert_eq!(user_errors(&server.graphql(document, input, Some(token)).await, "done"), [""; 0]);
}

#[tokio::test]
async fn a_team_from_its_beginning_to_its_end() {
    let server = server().await;
    let ada = server.founder().await;
    let (bob, cy) = (server.member(&ada, "manager", None).await, server.member(&ada, "sales_rep", None).await);
    let own = Uuid::now_v7();
    let input = json!({ "id": own, "name": " North ", "description": "Cold\nplaces", "leaderId": bob.member });
    let answer = change(server, &ada, "teamCreate", input).await;
    let made = data(&answer, "done.team");
    assert_eq!((&made["id"], &made["name"], &made["leaderId"]), (&json!(own), &json!("North"), &json!(bob.member)));
    let (south, north) = (team(server, &ada, "South", None).await, own.to_string());
    for (team, member) in [(&north, &cy), (&north, &bob), (&south, &cy), (&north, &cy)] {
        add(server, &ada, team, member).await;
    }
    let query = "query($id: ID!) { team(id: $id) { leader { id } members { totalCount nodes { member { id } createdBy } } }
        teams(orderBy: [{ field: NAME }]) { nodes { name members { totalCount } } }
        of: teams(filter: { members: { some: { member: { role: { eq: MANAGER } } } } }) { nodes { name } }
        members(filter: { teams: { some: { team: { name: { eq: \"South\" } } } } }) { nodes { id teams { nodes { team { name } } } } } }";
    let answer = server.graphql(query, json!({ "id": north }), Some(&cy)).await;
    assert_eq!(data(&answer, "team.leader.id"), &json!(bob.member));
    let nodes = data(&answer, "team.members.nodes").as_array().unwrap();
    let both: Vec<_> = nodes.iter().map(|node| node["member"]["id"].clone()).collect();
    assert_eq!(both, [json!(bob.member), json!(cy.member)], "the newest first");
    assert_eq!(nodes[0]["createdBy"], json!(ada.member));
    let counts = json!([{ "name": "North", "members": { "totalCount": 2 } }, { "name": "South", "members": { "totalCount": 1 } }]);
    assert_eq!(data(&answer, "teams.nodes"), &counts);
    assert_eq!(data(&answer, "of.nodes"), &json!([{ "name": "North" }]));
    let found = data(&answer, "members.nodes");
    assert_eq!((&found[0]["id"], found.as_array().unwrap().len()), (&json!(cy.member), 1));
    assert_eq!(found[0]["teams"]["nodes"].as_array().unwrap().len(), 2);
    // Out of it, twice.
    for there in [true, false] {
        let answer = change(server, &ada, "teamMemberRemove", json!({ "teamId": south, "memberId": cy.member })).await;
        assert_eq!(user_errors(&answer, "done"), [""; 0]);
        assert_eq!(data(&answer, "done.teamMember").is_object(), there);
    }
    let input = json!({ "id": north, "name": "Far north", "description": null, "expectedVersion": 1 });
    let answer = change(server, &ada, "teamUpdate", input).await;
    let changed = data(&answer, "done.team");
    assert_eq!(
        (&changed["name"], &changed["description"], &changed["version"]),
        (&json!("Far north"), &Value::Null, &json!(2))
    );
    assert_eq!(changed["leaderId"], json!(bob.member));
    let query = "query($id: ID!) { team(id: $id) { history { action actor { id } } } }";
    let answer = server.graphql(query, json!({ "id": north }), Some(&ada)).await;
    let history = data(&answer, "team.history");
    assert_eq!((&history[0]["action"], &history[1]["action"]), (&json!("updated"), &json!("created")));
    let answer = change(server, &ada, "teamDelete", json!({ "id": north })).await;
    assert_eq!(data(&answer, "done.team.name"), "Far north");
    let query = "query($id: ID!) { team(id: $id) { id } members { nodes { teams { totalCount } } } }";
    let answer = server.graphql(query, json!({ "id": north }), Some(&ada)).await;
    assert_eq!(data(&answer, "team"), &Value::Null);
    assert!(!data(&answer, "members").to_string().contains("\"totalCount\":1"));
    let told =
        format!("SELECT count(*) FROM events WHERE organization_id = '{}' AND entity = 'TeamMember'", ada.organization);
    assert_eq!(server.count(&told).await, 6, "three came, three went");
}

#[tokio::test]
async fn every_refusal() {
    let server = server().await;
    let ada = server.founder().await;
    let eve = server.founder().await;
    let [manager, guest, gone, away] = [
        server.member(&ada, "manager", None).await,
        server.member(&ada, "guest", None).await,
        server.member(&ada, "member", None).await,
        server.member(&ada, "member", None).await,
    ];
    assert_eq!(verdict(server, &ada, "memberRemove", json!({ "id": gone.member })).await, "done");
    assert_eq!(verdict(server, &ada, "memberSuspend", json!({ "id": away.member })).await, "done");
    let north = team(server, &ada, "North", Some(manager.member)).await;
    let south = team(server, &ada, "South", None).await;
    let nobody = Uuid::now_v7();
    for (who, field, input, wanted) in [
        (&ada, "teamCreate", json!({ "name": " " }), "name REQUIRED"),
        (&ada, "teamCreate", json!({ "name": "x".repeat(121) }), "name TOO_LONG"),
        (&ada, "teamCreate", json!({ "name": "a\u{0}b" }), "name INVALID"),
        (&ada, "teamCreate", json!({ "name": "a", "description": "x".repeat(2001) }), "description TOO_LONG"),
        (&ada, "teamCreate", json!({ "name": "nORTH" }), "name NOT_UNIQUE"),
        (&ada, "teamCreate", json!({ "name": "a", "id": north }), "id NOT_UNIQUE"),
        (&ada, "teamCreate", json!({ "name": "a", "leaderId": nobody }), "leaderId NOT_FOUND"),
        (&ada, "teamCreate", json!({ "name": "a", "leaderId": eve.member }), "leaderId NOT_FOUND"),
        (&ada, "teamCreate", json!({ "name": "a", "leaderId": gone.member }), "leaderId NOT_FOUND"),
        (&ada, "teamCreate", json!({ "name": "a", "leaderId": away.member }), "leaderId STATE_INVALID"),
        (&manager, "teamCreate", json!({ "name": "a" }), "FORBIDDEN"),
        (&guest, "teamCreate", json!({ "name": "a" }), "FORBIDDEN"),
        (&ada, "teamUpdate", json!({ "id": south, "name": null }), "name REQUIRED"),
        (&ada, "teamUpdate", json!({ "id": south, "name": "NORTH" }), "name NOT_UNIQUE"),
        (&ada, "teamUpdate", json!({ "id": south, "leaderId": away.member }), "leaderId STATE_INVALID"),
        (&ada, "teamUpdate", json!({ "id": south, "name": "x", "expectedVersion": 2 }), "expectedVersion CONFLICT"),
        (&ada, "teamUpdate", json!({ "id": nobody, "name": "x" }), "id NOT_FOUND"),
        (&eve, "teamUpdate", json!({ "id": south, "name": "x" }), "id NOT_FOUND"),
        (&manager, "teamUpdate", json!({ "id": north, "name": "x" }), "FORBIDDEN"),
        (&guest, "teamUpdate", json!({ "id": north, "name": "x" }), "id NOT_FOUND"),
        (&ada, "teamDelete", json!({ "id": south, "expectedVersion": 2 }), "expectedVersion CONFLICT"),
        (&ada, "teamDelete", json!({ "id": nobody }), "id NOT_FOUND"),
        (&eve, "teamDelete", json!({ "id": south }), "id NOT_FOUND"),
        (&manager, "teamDelete", json!({ "id": north }), "FORBIDDEN"),
        (&ada, "teamMemberAdd", json!({ "teamId": nobody, "memberId": ada.member }), "teamId NOT_FOUND"),
        (&ada, "teamMemberAdd", json!({ "teamId": north, "memberId": nobody }), "memberId NOT_FOUND"),
        (&ada, "teamMemberAdd", json!({ "teamId": north, "memberId": eve.member }), "memberId NOT_FOUND"),
        (&ada, "teamMemberAdd", json!({ "teamId": north, "memberId": gone.member }), "memberId NOT_FOUND"),
        (&ada, "teamMemberAdd", json!({ "teamId": north, "memberId": away.member }), "memberId STATE_INVALID"),
        (&eve, "teamMemberAdd", json!({ "teamId": north, "memberId": eve.member }), "teamId NOT_FOUND"),
        (&manager, "teamMemberAdd", json!({ "teamId": north, "memberId": ada.member }), "FORBIDDEN"),
        (&manager, "teamMemberRemove", json!({ "teamId": north, "memberId": ada.member }), "FORBIDDEN"),
        (&guest, "teamMemberRemove", json!({ "teamId": north, "memberId": ada.member }), "teamId NOT_FOUND"),
        (&ada, "teamMemberRemove", json!({ "teamId": north, "memberId": nobody }), "done"),
    ] {
        assert_eq!(verdict(server, who, field, input.clone()).await, wanted, "{field} {input}");
    }
    let answer = server.graphql("{ teams { totalCount } }", json!({}), Some(&guest)).await;
    assert_eq!(code(&answer), "FORBIDDEN");
}

#[tokio::test]
async fn a_leader_sees_what_the_members_own() {
    let server = server().await;
    let ada = server.founder().await;
    let leader = server.member(&ada, "manager", None).await;
    let boss = server.member(&ada, "manager", None).await;
    let report = server.member(&ada, "sales_rep", Some(leader.member)).await;
    let (mate, other) = (server.member(&ada, "sales_rep", None).await, server.member(&ada, "sales_rep", None).await);
    // Who is in a team and leads others does not bring these along.
    let below = server.member(&ada, "sales_rep", Some(boss.member)).await;
    for (who, name) in [
        (&leader, "leader"),
        (&boss, "boss"),
        (&report, "report"),
        (&mate, "mate"),
        (&other, "other"),
        (&below, "below"),
    ] {
        lead(server, who, name).await;
    }
    let north = team(server, &ada, "North", Some(leader.member)).await;
    assert_eq!(leads(server, &leader).await, ["leader", "report"]);
    for member in [&mate, &boss, &leader, &report] {
        add(server, &ada, &north, member).await;
    }
    assert_eq!(
        leads(server, &leader).await,
        ["boss", "leader", "mate", "report"],
        "nobody twice, and not what is below"
    );
    assert_eq!(leads(server, &boss).await, ["below", "boss"], "being in a team shows nothing");
    assert_eq!(leads(server, &mate).await, ["mate"]);
    // They may be worked as well, and not for longer than that.
    let query = "query { leads(filter: { lastName: { eq: \"mate\" } }) { nodes { id } } }";
    let answer = server.graphql(query, json!({}), Some(&leader)).await;
    let id = data(&answer, "leads.nodes")[0]["id"].clone();
    let update = async || {
        let document =
            "mutation($input: LeadUpdateInput!) { done: leadUpdate(input: $input) { userErrors { field code } } }";
        let input = json!({ "input": { "id": id, "company": "Acme" } });
        user_errors(&server.graphql(document, input, Some(&leader)).await, "done").join("")
    };
    assert_eq!(update().await, "");
    assert_eq!(
        verdict(server, &ada, "teamMemberRemove", json!({ "teamId": north, "memberId": mate.member })).await,
        "done"
    );
    assert_eq!(leads(server, &leader).await, ["boss", "leader", "report"]);
    assert_eq!(update().await, "id NOT_FOUND");
    // Another leader, and none.
    assert_eq!(verdict(server, &ada, "teamUpdate", json!({ "id": north, "leaderId": boss.member })).await, "done");
    assert_eq!(leads(server, &leader).await, ["leader", "report"]);
    assert_eq!(leads(server, &boss).await, ["below", "boss", "leader", "report"]);
    assert_eq!(verdict(server, &ada, "teamUpdate", json!({ "id": north, "leaderId": null })).await, "done");
    assert_eq!(leads(server, &boss).await, ["below", "boss"]);
    assert_eq!(verdict(server, &ada, "teamUpdate", json!({ "id": north, "leaderId": boss.member })).await, "done");
    assert_eq!(verdict(server, &ada, "teamDelete", json!({ "id": north })).await, "done");
    assert_eq!(leads(server, &boss).await, ["below", "boss"]);
}

#[tokio::test]
async fn a_change_of_the_team_reaches_open_sockets_within_a_second() {
    let server = Server::start().await;
    let ada = server.founder().await;
    let (leader, mate) = (server.member(&ada, "manager", None).await, server.member(&ada, "sales_rep", None).await);
    let north = team(&server, &ada, "North", Some(leader.member)).await;
    let input = json!({ "teamId": north, "memberId": mate.member });
    for field in ["teamMemberAdd", "teamMemberRemove"] {
        assert_eq!(leads(&server, &leader).await, [""; 0]);
        let mut socket = Client::open(&server, Some(&format!("Bearer {}", leader.token))).await;
        let begin = Instant::now();
        assert_eq!(verdict(&server, &ada, field, input.clone()).await, "done");
        assert_eq!(socket.closed().await, 4403, "{field}");
        let took = begin.elapsed();
        assert!(took < Duration::from_secs(3), "{field} took {took:?}");
    }
    server.stop().await;
}

#[tokio::test]
async fn who_is_removed_leaves_the_teams_and_who_is_suspended_does_not() {
    let server = server().await;
    let ada = server.founder().await;
    let (bob, cy) = (server.member(&ada, "manager", None).await, server.member(&ada, "sales_rep", None).await);
    let north = team(server, &ada, "North", Some(bob.member)).await;
    for member in [&bob, &cy] {
        add(server, &ada, &north, member).await;
    }
    let query = "query($id: ID!) { team(id: $id) { leaderId version members { nodes { memberId } } history { action changes { field new } } } }";
    assert_eq!(verdict(server, &ada, "memberSuspend", json!({ "id": bob.member })).await, "done");
    let answer = server.graphql(query, json!({ "id": north }), Some(&ada)).await;
    assert_eq!(data(&answer, "team.leaderId"), &json!(bob.member));
    assert_eq!(data(&answer, "team.members.nodes").as_array().unwrap().len(), 2);
    assert_eq!(verdict(server, &ada, "teamUpdate", json!({ "id": north, "name": "Far north" })).await, "done");
    assert_eq!(verdict(server, &ada, "memberRemove", json!({ "id": bob.member })).await, "done");
    let answer = server.graphql(query, json!({ "id": north }), Some(&ada)).await;
    assert_eq!((data(&answer, "team.leaderId"), data(&answer, "team.version")), (&Value::Null, &json!(3)));
    assert_eq!(data(&answer, "team.members.nodes"), &json!([{ "memberId": cy.member }]));
    let last = &data(&answer, "team.history")[0];
    assert_eq!(last["changes"], json!([{ "field": "leaderId", "new": null }]));
    // Joining and being removed at once leaves nobody behind.
    for _ in 0..5 {
        let dan = server.member(&ada, "member", None).await;
        let (added, led, removed) = tokio::join!(
            verdict(server, &ada, "teamMemberAdd", json!({ "teamId": north, "memberId": dan.member })),
            verdict(server, &ada, "teamUpdate", json!({ "id": north, "leaderId": dan.member })),
            verdict(server, &ada, "memberRemove", json!({ "id": dan.member })),
        );
        assert_eq!(removed, "done");
        assert!(["done", "memberId NOT_FOUND"].contains(&added.as_str()), "{added}");
        assert!(["done", "leaderId NOT_FOUND"].contains(&led.as_str()), "{led}");
        let left = format!(
            "SELECT (SELECT count(*) FROM team_members WHERE member_id = '{0}') + (SELECT count(*) FROM teams WHERE leader_id = '{0}')",
            dan.member
        );
        assert_eq!(server.count(&left).await, 0);
    }
}

#[tokio::test]
async fn many_at_once_and_no_more_than_there_may_be() {
    let server = server().await;
    let ada = server.founder().await;
    let bob = server.member(&ada, "member", None).await;
    let all = (0..8).map(|_| verdict(server, &ada, "teamCreate", json!({ "name": "Twin" })));
    let all = futures_util::future::join_all(all).await;
    assert_eq!(all.iter().filter(|one| *one == "done").count(), 1, "{all:?}");
    let north = team(server, &ada, "North", None).await;
    let calls = (0..8).map(|n| json!({ "id": north, "name": format!("North {n}"), "expectedVersion": 1 }));
    let all = futures_util::future::join_all(calls.map(|input| verdict(server, &ada, "teamUpdate", input))).await;
    assert_eq!(all.iter().filter(|one| *one == "done").count(), 1, "{all:?}");
    assert_eq!(all.iter().filter(|one| *one == "expectedVersion CONFLICT").count(), 7, "{all:?}");
    let input = json!({ "teamId": north, "memberId": bob.member });
    let all = (0..8).map(|_| verdict(server, &ada, "teamMemberAdd", input.clone()));
    let all = futures_util::future::join_all(all).await;
    assert!(all.iter().all(|one| one == "done"), "{all:?}");
    let organization = ada.organization;
    let members = format!("SELECT count(*) FROM team_members WHERE organization_id = '{organization}'");
    assert_eq!(server.count(&members).await, 1);
    server
        .sql(&format!(
            "WITH made AS (INSERT INTO users (id, email, full_name)
                 SELECT gen_random_uuid(), gen_random_uuid() || '@example.com', 'x' FROM generate_series(1, 999) RETURNING id, email),
             joined AS (INSERT INTO memberships (organization_id, id, user_id, name, email, role)
                 SELECT '{organization}', gen_random_uuid(), id, 'x', email, 'guest' FROM made RETURNING id)
             SELECT count(*) FROM joined;
             INSERT INTO team_members (organization_id, id, team_id, member_id)
                 SELECT organization_id, gen_random_uuid(), '{north}', id FROM memberships
                 WHERE organization_id = '{organization}' AND name = 'x';
             INSERT INTO teams (organization_id, id, name)
                 SELECT '{organization}', gen_random_uuid(), 't' || n FROM generate_series(1, 498) AS n"
        ))
        .await;
    assert_eq!(server.count(&members).await, 1000);
    let input = json!({ "teamId": north, "memberId": ada.member });
    assert_eq!(verdict(server, &ada, "teamMemberAdd", input).await, "teamId LIMIT_EXCEEDED");
    assert_eq!(verdict(server, &ada, "teamCreate", json!({ "name": "One more" })).await, " LIMIT_EXCEEDED");
    assert_eq!(verdict(server, &ada, "teamDelete", json!({ "id": north })).await, "done");
    assert_eq!(server.count(&members).await, 0);
    assert_eq!(verdict(server, &ada, "teamCreate", json!({ "name": "One more" })).await, "done");
}
