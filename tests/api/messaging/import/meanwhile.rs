//! What others see and do while an import runs.

use super::{
    newer::{day, expected, export},
    *,
};
use crate::kit::{mail::until, server, verdict};

#[tokio::test]
async fn nobody_is_in_a_new_conversation_before_all_of_it_is_there() {
    let server = server().await;
    let ada = server.founder().await;
    let made = export(&ada, &[("general/2024-01-01.json", day(0, 450))]);
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
        hold.batch_execute(&format!("SELECT pg_advisory_unlock({lock})")).await.unwrap();
        (here, data(&channels, "publicChannels.nodes").clone(), joined, waits)
    };
    let ((code, said), (here, channels, joined, waits)) =
        tokio::join!(import(server, &ada, "slack", &made.path, &[]), meanwhile);
    server.sql(&format!("DROP TRIGGER {name} ON messages; DROP FUNCTION {name}")).await;
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
