//! The audit trail as administrators read it, the sign-ins as a person reads them, and the two logs that nobody changes.

use crate::kit::{self, Founder, Server, code, connect, data, database, user_errors};
use serde_json::{Value, json};
use uuid::Uuid;

const PASSWORD: &str = "nine purple otters juggle";

/// All that can be asked of an event.
const FIELDS: &str = "id at action entity entityId changes { field old new } actorKind actorId actor { name } apiKeyId
    requestId address userAgent";

async fn events(server: &Server, token: &str, arguments: &str) -> Vec<Value> {
    let arguments = if arguments.is_empty() { String::new() } else { format!("({arguments})") };
    let query = format!("{{ auditEvents{arguments} {{ nodes {{ {FIELDS} }} }} }}");
    data(&server.graphql(&query, json!({}), Some(token)).await, "auditEvents.nodes").as_array().unwrap().clone()
}

/// What was done and to what, newest first.
async fn told(server: &Server, token: &str, arguments: &str) -> Vec<String> {
    let word = |event: &Value, name: &str| event[name].as_str().unwrap().to_owned();
    let events = events(server, token, arguments).await;
    events.iter().map(|event| format!("{} {}", word(event, "entity"), word(event, "action"))).collect()
}

async fn login(server: &Server, email: &str, password: &str) -> Value {
    let query =
        "mutation($input: LoginInput!) { login(input: $input) { session { accessToken } userErrors { code } } }";
    server.graphql(query, json!({ "input": { "email": email, "password": password } }), None).await
}

async fn sign_ins(server: &Server, token: &str, arguments: &str) -> Value {
    let query = format!(
        "{{ signIns{arguments} {{ totalCount pageInfo {{ hasNextPage hasPreviousPage endCursor }}
            edges {{ cursor node {{ outcome at address userAgent }} }} nodes {{ outcome }} }} }}"
    );
    server.graphql(&query, json!({}), Some(token)).await
}

async fn lead(server: &Server, token: &str) -> String {
    let query = "mutation { leadCreate(input: { firstName: \"Ann\", lastName: \"Lee\" }) { lead { id } userErrors { message } } }";
    let answer = server.graphql(query, json!({}), Some(token)).await;
    data(&answer, "leadCreate.lead.id").as_str().unwrap().to_owned()
}

#[tokio::test]
async fn what_happens_is_told_with_who_did_it_and_from_where() {
    let server = kit::server().await;
    let ada = server.founder().await;
    let id = lead(server, &ada).await;
    let update = format!(
        "mutation {{ leadUpdate(input: {{ id: \"{id}\", status: CONTACTED }}) {{ userErrors {{ message }} }} }}"
    );
    data(&server.graphql(&update, json!({}), Some(&ada)).await, "leadUpdate");

    let events = events(server, &ada, "").await;
    let words: Vec<String> =
        events.iter().map(|e| format!("{} {}", e["entity"], e["action"]).replace('"', "")).collect();
    assert_eq!(words[..2], ["Lead updated", "Lead created"]);
    let mut first = words[2..].to_vec();
    first.sort();
    assert_eq!(first, ["Member joined", "Organization created", "Security signed_in"], "the registration");
    let updated = &events[0];
    assert_eq!(updated["changes"], json!([{ "field": "status", "old": "NEW", "new": "CONTACTED" }]));
    assert_eq!((&updated["entityId"], &updated["actorId"]), (&json!(id), &json!(ada.member)));
    assert_eq!((&updated["actorKind"], &updated["actor"]["name"]), (&json!("MEMBER"), &json!("Ada Founder")));
    assert_eq!((&updated["address"], &updated["apiKeyId"]), (&json!("127.0.0.1"), &Value::Null));
    assert!(updated["requestId"].is_string() && updated["at"].is_string());

    // Nobody else's.
    let stranger = server.founder().await;
    assert_eq!(told(server, &stranger, &format!("filter: {{ entityId: {{ eq: \"{id}\" }} }}")).await, [""; 0]);
}

/// Whoever reads the trail does not thereby read the records.
#[tokio::test]
async fn what_changed_is_shown_to_who_may_read_all_of_the_kind() {
    let server = kit::server().await;
    let ada = server.founder().await;
    lead(server, &ada).await;
    for (scope, shown) in [("ALL", true), ("OWN", false)] {
        let query = "mutation($may: [PermissionInput!]!) {
            apiKeyCreate(input: { name: \"robot\", permissions: $may }) { key } }";
        let may = json!([
            { "resource": "AUDIT", "action": "READ", "scope": "ALL" },
            { "resource": "LEAD", "action": "READ", "scope": scope },
        ]);
        let answer = server.graphql(query, json!({ "may": may }), Some(&ada)).await;
        let key = data(&answer, "apiKeyCreate.key").as_str().unwrap();
        let update =
            "mutation($id: ID!, $to: String) { leadUpdate(input: { id: $id, title: $to }) { userErrors { message } } }";
        let id = lead(server, &ada).await;
        data(&server.graphql(update, json!({ "id": id, "to": scope }), Some(&ada)).await, "leadUpdate");
        let events = events(server, key, "first: 1, filter: { entity: { eq: \"Lead\" } }").await;
        assert_eq!((&events[0]["action"], &events[0]["entityId"]), (&json!("updated"), &json!(id)));
        assert_eq!(events[0]["changes"] != json!([]), shown, "{scope}: {}", events[0]);
    }
}

#[tokio::test]
async fn the_trail_is_filtered_and_paged_both_ways() {
    let server = kit::server().await;
    let ada = server.founder().await;
    let bob = server.member(&ada, "admin", None).await;
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(lead(server, &bob).await);
    }
    let of_bob = format!("actorId: {{ eq: \"{}\" }}", bob.member);
    for (filter, expected) in [
        (of_bob.clone(), 6),
        (format!("{of_bob}, entity: {{ eq: \"Lead\" }}"), 5),
        (format!("{of_bob}, action: {{ ne: \"created\" }}"), 1),
        (format!("entityId: {{ in: [\"{}\", \"{}\"] }}", ids[0], ids[1]), 2),
        (format!("{of_bob}, at: {{ lt: \"-PT1H\" }}"), 0),
        (format!("{of_bob}, at: {{ gte: \"-PT1H\" }}"), 6),
        (format!("{of_bob}, address: {{ eq: \"127.0.0.1\" }}"), 6),
        (format!("{of_bob}, address: {{ startsWith: \"203.\" }}"), 0),
        (format!("{of_bob}, requestId: {{ eq: \"nobody's\" }}"), 0),
    ] {
        let query = format!("{{ auditEvents(filter: {{ {filter} }}) {{ totalCount nodes {{ id }} }} }}");
        let answer = server.graphql(&query, json!({}), Some(&ada)).await;
        let nodes = data(&answer, "auditEvents.nodes").as_array().unwrap().len();
        assert_eq!((nodes, data(&answer, "auditEvents.totalCount")), (expected, &json!(expected)), "{filter}");
    }
    let page = async |arguments: String| {
        let query = format!(
            "{{ auditEvents({arguments}, filter: {{ {of_bob} }}) {{ edges {{ cursor node {{ id }} }}
                pageInfo {{ startCursor endCursor hasNextPage hasPreviousPage }} }} }}"
        );
        server.graphql(&query, json!({}), Some(&ada)).await
    };
    let all = page("first: 100".into()).await;
    let all: Vec<Value> = data(&all, "auditEvents.edges").as_array().unwrap().clone();
    let (mut forward, mut after) = (Vec::new(), String::new());
    loop {
        let answer = page(format!("first: 2{after}")).await;
        forward.extend(data(&answer, "auditEvents.edges").as_array().unwrap().clone());
        // What comes meanwhile shifts nothing.
        lead(server, &ada).await;
        if data(&answer, "auditEvents.pageInfo.hasNextPage") == false {
            break;
        }
        after = format!(", after: {}", data(&answer, "auditEvents.pageInfo.endCursor"));
    }
    assert_eq!(forward, all);
    let answer = page(format!("last: 2, before: {}", all[5]["cursor"])).await;
    assert_eq!(data(&answer, "auditEvents.edges"), &json!(all[3..5]));
    assert_eq!(data(&answer, "auditEvents.pageInfo.hasPreviousPage"), &json!(true));

    login(server, &ada.email, PASSWORD).await;
    let signed_in = sign_ins(server, &ada, "").await;
    let foreign = data(&signed_in, "signIns.edges.0.cursor");
    for (arguments, expected) in [
        ("first: 101".to_owned(), "BAD_USER_INPUT"),
        ("first: -1".to_owned(), "BAD_USER_INPUT"),
        ("first: 1, last: 1".to_owned(), "BAD_USER_INPUT"),
        ("last: 1, after: \"x\"".to_owned(), "BAD_USER_INPUT"),
        ("after: \"x\"".to_owned(), "INVALID_CURSOR"),
        (format!("after: {foreign}"), "INVALID_CURSOR"),
    ] {
        assert_eq!(code(&page(arguments.clone()).await), expected, "{arguments}");
    }
}

#[tokio::test]
async fn only_administrators_read_the_trail_and_nobody_the_talk_of_others() {
    let server = kit::server().await;
    let ada = server.founder().await;
    for role in ["manager", "sales_rep", "support", "member", "guest"] {
        let member = server.member(&ada, role, None).await;
        let answer = server.graphql("{ auditEvents { nodes { id } } }", json!({}), Some(&member)).await;
        assert_eq!(code(&answer), "FORBIDDEN", "{role}");
    }
    let (bob, cy) = (server.member(&ada, "admin", None).await, server.member(&ada, "member", None).await);
    let create =
        "mutation($input: ConversationCreateInput!) { conversationCreate(input: $input) { conversation { id } } }";
    let input = json!({ "input": { "title": "whisper", "memberIds": [cy.member] } });
    let made = server.graphql(create, input, Some(&ada)).await;
    let id = data(&made, "conversationCreate.conversation.id").clone();
    let send = "mutation($input: MessageSendInput!) { messageSend(input: $input) { message { id } } }";
    let sent = server.graphql(send, json!({ "input": { "conversationId": id, "body": "secret" } }), Some(&ada)).await;
    let message = data(&sent, "messageSend.message.id");
    let edit = "mutation($input: MessageEditInput!) { messageEdit(input: $input) { userErrors { message } } }";
    let input = json!({ "input": { "id": message, "body": "more secret" } });
    data(&server.graphql(edit, input, Some(&ada)).await, "messageEdit");
    let rename =
        "mutation($input: ConversationUpdateInput!) { conversationUpdate(input: $input) { userErrors { message } } }";
    data(
        &server.graphql(rename, json!({ "input": { "id": id, "title": "whispers" } }), Some(&ada)).await,
        "conversationUpdate",
    );

    let seen = json!(events(server, &bob, "first: 100").await).to_string();
    assert!(seen.contains("message_edited") && seen.contains("conversation_updated"), "{seen}");
    assert!(!seen.contains("message_sent") && !seen.contains("secret") && !seen.contains("whisper"), "{seen}");
}

#[tokio::test]
async fn the_ways_in_of_a_person_are_told_in_each_organization_and_their_secrets_in_none() {
    let server = kit::server().await;
    let (ada, bob) = (server.founder().await, server.founder().await);
    // Ada is in Bob's organization as well.
    let guest = server.joins(&ada, &bob, "member").await;
    login(server, &ada.email, "wrong wrong wrong wrong").await;
    let again = server
        .graphql(
            "mutation($p: String!) { reauthenticate(input: { password: $p }) { userErrors { code } } }",
            json!({ "p": PASSWORD }),
            Some(&ada),
        )
        .await;
    assert_eq!(user_errors(&again, "reauthenticate"), [""; 0]);
    let change =
        "mutation($input: PasswordChangeInput!) { passwordChange(input: $input) { userErrors { code message } } }";
    let input = json!({ "input": { "currentPassword": PASSWORD, "newPassword": "eleven yellow badgers waltz" } });
    assert_eq!(user_errors(&server.graphql(change, input, Some(&ada)).await, "passwordChange"), [""; 0]);
    let profile = "mutation { profileUpdate(input: { fullName: \"Ada Byron\", phone: \"+44 20 7946 0958\" }) { userErrors { message } } }";
    assert_eq!(user_errors(&server.graphql(profile, json!({}), Some(&ada)).await, "profileUpdate"), [""; 0]);
    let mail = "mutation($e: String!) { emailChange(input: { email: $e }) { userErrors { message } } }";
    let new = format!("new-{}", ada.email);
    assert_eq!(user_errors(&server.graphql(mail, json!({ "e": new }), Some(&ada)).await, "emailChange"), [""; 0]);
    let text = kit::mail::letter(server, &new).await;
    let token = text.split("token=").nth(1).unwrap().split_whitespace().next().unwrap().to_owned();
    let verify = "mutation($t: String!) { emailVerify(input: { token: $t }) { userErrors { message } } }";
    assert_eq!(user_errors(&server.graphql(verify, json!({ "t": token }), None).await, "emailVerify"), [""; 0]);

    let of = |member: Uuid| {
        format!("first: 50, filter: {{ entity: {{ eq: \"Security\" }}, entityId: {{ eq: \"{member}\" }} }}")
    };
    let elsewhere = told(server, &bob, &of(guest)).await;
    let everywhere = ["email_changed", "email_change_asked", "password_changed", "sign_in_refused"];
    assert_eq!(elsewhere, everywhere.map(|word| format!("Security {word}")));
    let here = told(server, &ada, &of(ada.member)).await;
    let words = [
        "email_changed",
        "email_change_asked",
        "profile_updated",
        "password_changed",
        "reauthenticated",
        "sign_in_refused",
        "signed_in",
    ];
    assert_eq!(here, words.map(|word| format!("Security {word}")));

    let here = events(server, &ada, &of(ada.member)).await;
    let refused = &here[5];
    assert_eq!((&refused["actorKind"], &refused["actorId"]), (&json!("STRANGER"), &Value::Null));
    assert_eq!(here[3]["actorId"], json!(ada.member));
    assert_eq!(here[0]["changes"], json!([{ "field": "email", "old": ada.email, "new": new }]));
    let elsewhere = events(server, &bob, &of(guest)).await;
    assert_eq!(elsewhere[2]["actorId"], json!(guest), "as the member that they are there");
    let all = json!([events(server, &ada, "first: 100").await, elsewhere]).to_string();
    for secret in [PASSWORD, "badgers", "wrong wrong", "7946", &token, "argon2"] {
        assert!(!all.contains(secret), "{secret} is in the trail");
    }
    assert_eq!(
        told(server, &ada, "filter: { action: { eq: \"updated\" } }").await,
        ["Member updated"],
        "the name is the member's"
    );

    for (mutation, word) in [
        ("mutation { logoutEverywhere { userErrors { code } } }", "signed_out_everywhere"),
        ("mutation { logout { userErrors { code } } }", "signed_out"),
    ] {
        let token = data(&login_in(server, &new, &ada).await, "login.session.accessToken").as_str().unwrap().to_owned();
        server.graphql(mutation, json!({}), Some(&token)).await;
        let token = data(&login_in(server, &new, &ada).await, "login.session.accessToken").as_str().unwrap().to_owned();
        let newest = told(server, &token, &of(ada.member)).await;
        assert_eq!(newest[..2], ["Security signed_in".to_owned(), format!("Security {word}")]);
    }
}

/// Into the first organization.
async fn login_in(server: &Server, email: &str, who: &Founder) -> Value {
    let slug = server.text(&format!("SELECT slug FROM organizations WHERE id = '{}'", who.organization)).await;
    let query =
        "mutation($input: LoginInput!) { login(input: $input) { session { accessToken } userErrors { code } } }";
    let input = json!({ "email": email, "password": "eleven yellow badgers waltz", "organization": slug });
    server.graphql(query, json!({ "input": input }), None).await
}

#[tokio::test]
async fn a_person_sees_the_own_sign_ins_only() {
    let server = kit::server().await;
    let (ada, bob) = (server.founder().await, server.founder().await);
    for password in ["wrong wrong wrong wrong", PASSWORD, "wrong wrong wrong wrong"] {
        login(server, &ada.email, password).await;
    }
    let nobody = format!("nobody-{}", ada.email);
    login(server, &nobody.to_uppercase(), PASSWORD).await;
    let answer = sign_ins(server, &ada, "").await;
    let outcomes: Vec<&Value> =
        data(&answer, "signIns.nodes").as_array().unwrap().iter().map(|n| &n["outcome"]).collect();
    assert_eq!(outcomes, ["REFUSED", "SIGNED_IN", "REFUSED"]);
    assert_eq!(data(&answer, "signIns.totalCount"), &json!(3));
    assert_eq!(data(&answer, "signIns.edges.0.node.address"), &json!("127.0.0.1"));
    let first = sign_ins(server, &ada, "(first: 2)").await;
    assert_eq!(data(&first, "signIns.pageInfo.hasNextPage"), &json!(true));
    let rest =
        sign_ins(server, &ada, &format!("(first: 2, after: {})", data(&first, "signIns.pageInfo.endCursor"))).await;
    assert_eq!(data(&rest, "signIns.edges").as_array().unwrap().len(), 1);
    assert_eq!(data(&sign_ins(server, &bob, "").await, "signIns.totalCount"), &json!(0));
    assert_eq!(code(&sign_ins(server, &ada, "(first: 200)").await), "BAD_USER_INPUT");
    assert_eq!(code(&server.graphql("{ signIns { totalCount } }", json!({}), None).await), "UNAUTHENTICATED");
    // Of an address without an account its hash alone is kept.
    let kept = format!(
        "SELECT count(*) FROM login_attempts a WHERE user_id IS NULL
           AND email_hash = sha256(convert_to('{nobody}', 'UTF8')) AND NOT a::text LIKE '%nobody%'"
    );
    assert_eq!(server.count(&kept).await, 1);
}

#[tokio::test]
async fn attempts_that_nobody_looked_at_are_not_kept() {
    let server = Server::with(|config| {
        config.identity.max_failures = 2;
        config.identity.hash_queue = 1000;
    })
    .await;
    let ada = server.founder().await;
    for _ in 0..5 {
        login(&server, &ada.email, "wrong wrong wrong wrong").await;
    }
    let token = &*ada;
    assert_eq!(data(&sign_ins(&server, token, "").await, "signIns.totalCount"), &json!(2), "the others were throttled");
    let words = told(&server, token, "first: 2").await;
    assert_eq!(words, ["Security account_locked", "Security sign_in_refused"]);

    // Addresses without an account are bounded over all of them.
    let tries: Vec<String> = (0..150).map(|n| format!("{n}-{}", ada.email)).collect();
    futures_util::future::join_all(tries.iter().map(|email| login(&server, email, "x"))).await;
    let all: Vec<String> = tries.iter().map(|email| format!("sha256('{email}')")).collect();
    let kept = format!("SELECT count(*) FROM login_attempts WHERE email_hash IN ({})", all.join(", "));
    let kept = server.count(&kept).await;
    assert!((100..150).contains(&kept), "{kept} of 150 are kept");
}

/// Whatever the role: the logs are added to, and nothing else.
#[tokio::test]
async fn the_database_itself_refuses_to_change_either_log() {
    let server = kit::mail::working_on(&database("audit_kept", "postgres").await, |config| {
        config.identity.sign_in_log_days = 30;
    })
    .await;
    let ada = server.founder().await;
    login(&server, &ada.email, PASSWORD).await;
    let (all, attempts) = ("SELECT count(*) FROM events", "SELECT count(*) FROM login_attempts");
    let before = (server.count(all).await, server.count(attempts).await);
    assert!(before.0 > 3 && before.1 > 0, "{before:?}");
    // The superuser that owns both, as well as the role of requests.
    for role in ["postgres", "stoa_request"] {
        let client = connect(&server.database).await;
        let setup = format!("SET ROLE {role}; SELECT set_config('stoa.organization', '{}', false)", ada.organization);
        client.batch_execute(&setup).await.unwrap();
        for statement in [
            "UPDATE events SET kind = 'forged'",
            "DELETE FROM events",
            "TRUNCATE events",
            "DELETE FROM streams",
            "UPDATE login_attempts SET outcome = 'signed_in'",
            "DELETE FROM login_attempts",
            "TRUNCATE login_attempts",
            "TRUNCATE events, login_attempts CASCADE",
        ] {
            let fault = client.batch_execute(statement).await.expect_err(statement);
            let told = fault.as_db_error().map(|fault| fault.code().code().to_owned());
            assert_eq!(told.as_deref(), Some("42501"), "{statement} as {role}: {fault:?}");
        }
        // Of the sign-ins only what is old goes, whatever is asked for.
        let gone: i32 = client.query_one("SELECT purge_login_attempts(-5, 1000)", &[]).await.unwrap().get(0);
        assert_eq!(gone, 0);
    }
    assert_eq!((server.count(all).await, server.count(attempts).await), before);

    // The two ways out: age, and the end of the organization.
    server
        .sql(
            "INSERT INTO login_attempts (id, email_hash, outcome, at)
        SELECT gen_random_uuid(), '', 'refused', now() - interval '31 days' FROM generate_series(1, 5)",
        )
        .await;
    assert_eq!(server.count("SELECT purge_login_attempts(30, 3)::bigint").await, 3);
    assert_eq!(server.count("SELECT purge_login_attempts(30, 3)::bigint").await, 2);
    assert_eq!(server.count(attempts).await, before.1);
    server.sql(&format!("DELETE FROM organizations WHERE id = '{}'", ada.organization)).await;
    assert_eq!(server.count(all).await, 0);
    server.stop().await;
}

/// Two hundred thousand events, most of them messages: a page takes no look at what it does not show.
#[tokio::test]
async fn the_indexes_of_the_trail_are_used_behind_the_wall() {
    let server = kit::server().await;
    let ada = server.founder().await;
    let organization = ada.organization;
    server
        .sql(&format!(
            "INSERT INTO events (organization_id, stream_id, seq, id, kind, entity, entity_id, actor_id, payload, at)
             SELECT '{organization}', '{organization}', n, gen_random_uuid(),
                CASE WHEN n % 10 = 0 THEN 'updated' ELSE 'message_sent' END,
                CASE WHEN n % 10 = 0 THEN 'Lead' ELSE 'Message' END, gen_random_uuid(), gen_random_uuid(), '{{}}',
                now() - n * interval '1 second'
             FROM generate_series(1, 200000) n;
             ANALYZE events"
        ))
        .await;
    let client = connect(&server.database).await;
    let setup = format!("SET ROLE stoa_request; SELECT set_config('stoa.organization', '{organization}', false)");
    client.batch_execute(&setup).await.unwrap();
    for (condition, index) in [
        ("true", "events_audit"),
        ("(t0.at, t0.id) < (now() - interval '1 day', gen_random_uuid())", "events_audit"),
        (&*format!("t0.actor_id = '{}'", ada.member), "events_audit_actor"),
        ("t0.entity = 'Security'", "events_audit_entity"),
    ] {
        let explain = format!(
            "EXPLAIN (ANALYZE, TIMING OFF) SELECT t0.id FROM events t0 WHERE t0.kind <> 'message_sent'
             AND t0.organization_id = '{organization}' AND {condition} ORDER BY t0.at DESC, t0.id DESC LIMIT 26"
        );
        let rows = client.query(&explain, &[]).await.unwrap();
        let plan: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
        let plan = plan.join("\n");
        assert!(plan.contains(&format!("using {index} on")) && !plan.contains("Seq Scan"), "{condition}:\n{plan}");
        assert!(!plan.contains("Sort"), "{condition}: the index has the order already\n{plan}");
    }
}
