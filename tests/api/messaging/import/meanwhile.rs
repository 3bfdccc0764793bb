//! What others see and do while an import runs, and before the next one.

use super::{
    newer::{day, expected, export},
    *,
};
use crate::{
    kit::{mail::until, server, user_errors, verdict},
    messaging::{block::open, user_contact::act},
};

/// Runs an import that waits behind its first 200 messages; what it said, and what came of `meanwhile`.
async fn paused<T>(
    server: &Server,
    ada: &Founder,
    made: &Made,
    meanwhile: impl AsyncFnOnce() -> T,
) -> ((i32, String), T) {
    let (organization, name) = (ada.organization, format!("hold_{}", ada.organization.simple()));
    let lock = format!("hashtext('{organization}'), 1");
    let hold = server.session().await;
    hold.batch_execute(&format!("SELECT pg_advisory_lock({lock})")).await.unwrap();
    server
        .sql(&format!(
            "CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
               IF NEW.organization_id = '{organization}' AND NEW.seq = 300 THEN
                 PERFORM pg_advisory_xact_lock_shared({lock}); END IF; RETURN NEW; END $$;
             CREATE TRIGGER {name} BEFORE INSERT ON messages FOR EACH ROW EXECUTE FUNCTION {name}()"
        ))
        .await;
    let meanwhile = async {
        let come = format!("SELECT count(*) FROM messages WHERE organization_id = '{organization}'");
        until("a batch", async || (server.count(&come).await == 200).then_some(())).await;
        let seen = meanwhile().await;
        hold.batch_execute(&format!("SELECT pg_advisory_unlock({lock})")).await.unwrap();
        seen
    };
    let done = tokio::join!(import(server, ada, "slack", &made.path, &[]), meanwhile);
    server.sql(&format!("DROP TRIGGER {name} ON messages; DROP FUNCTION {name}")).await;
    done
}

/// What Ada and Bob have said to each other alone.
fn between_two(ada: &Founder, messages: Value) -> Made {
    between(slack_people(ada), messages)
}

/// What the first two of these have said to each other alone.
fn between(people: Value, messages: Value) -> Made {
    let dms = json!([{ "id": "D1", "created": 1704000002, "members": ["U1", "U2"] }]);
    let entries = [
        entry("users.json", people),
        entry("channels.json", json!([])),
        entry("dms.json", dms),
        entry("D1/2024-01-01.json", messages),
    ];
    file("export.zip", &packed(&entries))
}

/// The answer to Ada who asks for her direct conversation with Bob.
async fn ask(server: &Server, ada: &Founder) -> Value {
    let bob = bob(server, ada).await;
    let query = "mutation($bob: ID!) { done: conversationCreate(input: { kind: DIRECT, memberIds: [$bob] }) {
        conversation { id } userErrors { field code } } }";
    server.graphql(query, json!({ "bob": bob }), Some(ada)).await
}

#[tokio::test]
async fn nobody_is_in_a_new_conversation_before_all_of_it_is_there() {
    let server = server().await;
    let ada = server.founder().await;
    let made = export(&ada, &[("general/2024-01-01.json", day(0, 450))]);
    let organization = ada.organization;
    let meanwhile = async || {
        let here = conversations(server, &ada).await;
        let channels = server.graphql("{ publicChannels { nodes { id } } }", json!({}), Some(&ada)).await;
        let id = format!(
            "SELECT id::text FROM conversations WHERE organization_id = '{organization}' AND title = 'general'"
        );
        let id = server.text(&id).await;
        let join = "mutation($id: ID!) { done: conversationJoin(input: { id: $id }) { userErrors { field code } } }";
        let joined = verdict(&server.graphql(join, json!({ "id": id }), Some(&ada)).await);
        // Nothing happens on the connection that holds the lock, and the database ends what is idle in a transaction.
        let waits = format!(
            "SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid)
             WHERE l.locktype = 'advisory' AND l.objsubid = 1 AND l.granted AND a.state = 'idle'
               AND (l.classid::bigint << 32 | l.objid::bigint) = hashtextextended('stoa.import.{organization}', 0)"
        );
        let waits = server.count(&waits).await;
        (here, data(&channels, "publicChannels.nodes").clone(), joined, waits)
    };
    let ((code, said), (here, channels, joined, waits)) = paused(server, &ada, &made, meanwhile).await;
    assert_eq!(
        (here, channels, &*joined),
        (vec![], json!([]), "id NOT_FOUND"),
        "what she writes would keep out the rest"
    );
    assert_eq!(waits, 1, "the lock is held, by no transaction");
    assert_eq!((code, row(&said, "messages")), (0, [450, 0, 0]), "{said}");
    let general = titled(server, &ada, "general").await;
    assert_eq!((&general["visibility"], &general["unreadCount"]), (&json!("PUBLIC"), &json!(0)));
    assert_eq!(bodies(&messages(server, &ada, &general).await), expected(450));
}

#[tokio::test]
async fn who_asks_for_a_direct_conversation_that_is_coming_waits_for_all_of_it() {
    let server = server().await;
    let ada = server.founder().await;
    let made = between_two(&ada, day(0, 450));
    let meanwhile = async || (conversations(server, &ada).await, verdict(&ask(server, &ada).await));
    let ((code, said), (here, asked)) = paused(server, &ada, &made, meanwhile).await;
    assert_eq!((here, &*asked), (vec![], "memberIds STATE_INVALID"), "what she writes would keep out the rest");
    assert_eq!((code, row(&said, "messages")), (0, [450, 0, 0]), "{said}");
    let there = data(&ask(server, &ada).await, "done.conversation.id").clone();
    let all = conversations(server, &ada).await;
    let [direct] = &all[..] else { panic!("{all:?}") };
    assert_eq!((&direct["id"], &direct["kind"], &direct["unreadCount"]), (&there, &json!("DIRECT"), &json!(0)));
    assert_eq!(bodies(&messages(server, &ada, direct).await), expected(450));
}

#[tokio::test]
async fn a_direct_conversation_that_came_in_part_keeps_nobody_out() {
    let server = server().await;
    let ada = server.founder().await;
    let made = between_two(&ada, day(0, 450));
    broken_off(server, &ada, &made.path, 300).await;
    assert!(conversations(server, &ada).await.is_empty());
    for _ in 0..2 {
        assert_eq!(verdict(&ask(server, &ada).await), "done");
        let all = conversations(server, &ada).await;
        let [direct] = &all[..] else { panic!("{all:?}") };
        let seats = direct["participants"]["nodes"].as_array().unwrap();
        let seats: Vec<_> = seats.iter().map(|seat| (&seat["role"], &seat["lastReadSeq"])).collect();
        assert_eq!(seats, [(&json!("OWNER"), &json!(200)); 2], "both are in it");
        assert_eq!((&direct["lastSeq"], &direct["unreadCount"]), (&json!(200), &json!(0)));
    }
    // As long as nobody has written, nothing keeps out the rest.
    let (code, said) = import(server, &ada, "slack", &made.path, &[]).await;
    assert_eq!((code, row(&said, "messages")), (0, [250, 200, 0]), "{said}");
    let all = conversations(server, &ada).await;
    let [direct] = &all[..] else { panic!("{all:?}") };
    assert_eq!(direct["unreadCount"], 0);
    assert_eq!(bodies(&messages(server, &ada, direct).await), expected(450));
}

#[tokio::test]
async fn one_import_into_an_organization_at_a_time() {
    let server = server().await;
    let (ada, other) = (server.founder().await, server.founder().await);
    let (of_ada, of_other) = (export(&ada, &[]), export(&other, &[]));
    let lock = format!("hashtextextended('stoa.import.{}', 0)", ada.organization);
    let hold = server.session().await;
    hold.batch_execute(&format!("SELECT pg_advisory_lock({lock})")).await.unwrap();
    let (code, said) = import(server, &ada, "slack", &of_ada.path, &[]).await;
    assert!(code == 1 && said.contains("Another import into"), "{said}");
    let (code, said) = import(server, &other, "slack", &of_other.path, &[]).await;
    assert_eq!(code, 0, "{said}");
    hold.batch_execute(&format!("SELECT pg_advisory_unlock({lock})")).await.unwrap();
    let (code, said) = import(server, &ada, "slack", &of_ada.path, &[]).await;
    assert_eq!(code, 0, "{said}");
}

#[tokio::test]
async fn nothing_comes_into_a_direct_conversation_in_which_one_has_blocked_the_other() {
    let server = server().await;
    let ada = server.founder().await;
    let made = between_two(&ada, day(0, 5));
    assert_eq!(import(server, &ada, "slack", &made.path, &[]).await.0, 0);
    let all = conversations(server, &ada).await;
    let [direct] = &all[..] else { panic!("{all:?}") };
    let bob = bob(server, &ada).await;
    assert_eq!(verdict(&act(server, &ada, "Block", bob).await), "done");
    let newer = between_two(&ada, day(0, 10));
    let (code, said) = import(server, &ada, "slack", &newer.path, &[]).await;
    assert_eq!((code, row(&said, "messages")), (0, [0, 5, 5]), "{said}");
    assert_eq!(reason(&said, "in which one has blocked the other"), 5, "{said}");
    assert_eq!(bodies(&messages(server, &ada, direct).await), expected(5));
    // As soon as they may write to each other again, so may an import.
    assert_eq!(verdict(&act(server, &ada, "Unblock", bob).await), "done");
    let (code, said) = import(server, &ada, "slack", &newer.path, &[]).await;
    assert_eq!((code, row(&said, "messages")), (0, [5, 5, 0]), "{said}");
    assert_eq!(bodies(&messages(server, &ada, direct).await), expected(10));
}

#[tokio::test]
async fn two_of_whom_one_has_blocked_the_other_get_no_conversation_to_write_in() {
    let server = server().await;
    let ada = server.founder().await;
    let bob = server.member(&ada, "member", None).await;
    assert_eq!(verdict(&act(server, &ada, "Block", bob.member).await), "done");
    let mut people = slack_people(&ada);
    people[1]["profile"]["email"] = json!(bob.email);
    let made = between(people, day(0, 5));
    for arguments in [&["--dry-run"][..], &[]] {
        let (code, said) = import(server, &ada, "slack", &made.path, arguments).await;
        assert_eq!((code, row(&said, "messages")), (0, [0, 0, 5]), "{said}");
    }
    let closed = "SELECT blocked::text FROM conversations WHERE direct_key IS NOT NULL AND organization_id =";
    assert_eq!(server.text(&format!("{closed} '{}'", ada.organization)).await, "true");
}

#[tokio::test]
async fn what_two_have_said_comes_into_the_direct_conversation_that_they_have_here() {
    let server = server().await;
    let ada = server.founder().await;
    let bob = server.member(&ada, "member", None).await;
    let here = open(server, &ada, &bob).await.expect("a direct conversation");
    let mut people = slack_people(&ada);
    people[1]["profile"]["email"] = json!(bob.email);
    let made = between(people, day(0, 5));
    let (code, said) = import(server, &ada, "slack", &made.path, &[]).await;
    assert_eq!((code, row(&said, "conversations"), row(&said, "messages")), (0, [0, 1, 0], [5, 0, 0]), "{said}");
    for who in [&ada, &bob] {
        let all = conversations(server, who).await;
        let [direct] = &all[..] else { panic!("{all:?}") };
        assert_eq!((&direct["id"], &direct["unreadCount"]), (&json!(here.id), &json!(0)));
        assert_eq!(bodies(&messages(server, who, direct).await), expected(5));
    }
}

#[tokio::test]
async fn who_was_removed_here_stays_out_whatever_comes() {
    let server = server().await;
    let ada = server.founder().await;
    let made = export(&ada, &[("general/2024-01-01.json", day(0, 5))]);
    assert_eq!(import(server, &ada, "slack", &made.path, &[]).await.0, 0);
    let general = titled(server, &ada, "general").await;
    let remove = json!({ "conversationId": general["id"], "memberId": bob(server, &ada).await });
    let removed = server.participant(&ada, "participantRemove", remove).await;
    assert_eq!(user_errors(&removed, "participantRemove"), [""; 0]);
    // There he still is a member of it.
    let newer = export(&ada, &[("general/2024-01-01.json", day(0, 10))]);
    let (code, said) = import(server, &ada, "slack", &newer.path, &[]).await;
    assert_eq!(code, 0, "{said}");
    let general = titled(server, &ada, "general").await;
    let seats = general["participants"]["nodes"].as_array().unwrap();
    let here: Vec<&str> =
        seats.iter().filter(|seat| seat["leftAt"].is_null()).map(|seat| text(&seat["member"], "name")).collect();
    assert!(here.contains(&"Ada Founder") && !here.contains(&"Bob Builder"), "{here:?}");
}

#[tokio::test]
async fn what_somebody_has_not_read_stays_unread_when_more_comes() {
    let server = server().await;
    let ada = server.founder().await;
    let made = export(&ada, &[("general/2024-01-01.json", day(0, 5))]);
    assert_eq!(import(server, &ada, "slack", &made.path, &[]).await.0, 0);
    let general = titled(server, &ada, "general").await;
    // As if two of them had been said here, and she had not looked since.
    server
        .sql(&format!(
            "UPDATE participants SET read_seq = 3, last_read_seq = 3 WHERE conversation_id = '{}' AND member_id = '{}'",
            text(&general, "id"),
            ada.member
        ))
        .await;
    let newer = export(&ada, &[("general/2024-01-01.json", day(0, 10))]);
    let (code, said) = import(server, &ada, "slack", &newer.path, &[]).await;
    assert_eq!((code, row(&said, "messages")), (0, [5, 5, 0]), "{said}");
    let general = titled(server, &ada, "general").await;
    assert_eq!((&general["lastSeq"], &general["unreadCount"]), (&json!(10), &json!(7)));
    let seats = general["participants"]["nodes"].as_array().unwrap();
    let read = |name: &str| {
        let seat = seats.iter().find(|seat| seat["member"]["name"] == json!(name)).expect("a seat");
        seat["lastReadSeq"].clone()
    };
    assert_eq!((read("Ada Founder"), read("Bob Builder")), (json!(3), json!(10)), "who had read all of it still has");
}
