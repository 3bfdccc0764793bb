//! Old events leave the log: who is behind them is told to start afresh, who is not misses nothing, and the audit trail and
//! histories stay.

use crate::{
    kit::{Founder, Server, data, mail::working, server},
    messaging::{
        Talk,
        live::{Feed, Said},
        text,
    },
};
use futures_util::future::{join, join_all};
use serde_json::{Value, json};
use stoa::{events::trim, upkeep::events::trim_all};

/// Makes the events of a stream older, up to a number. The log refuses this to everybody who does not switch its triggers off.
async fn age(server: &Server, of: &Founder, stream: &str, up_to: i64) {
    server
        .sql(&format!(
            "SET session_replication_role = replica;
             UPDATE events SET at = at - interval '91 days'
             WHERE organization_id = '{}' AND stream_id = '{stream}' AND seq <= {up_to}",
            of.organization
        ))
        .await;
}

async fn trimmed(server: &Server, of: &Founder) {
    trim_all(&server.app, of.organization).await.expect("trimmed");
}

async fn floor(server: &Server, of: &Founder, stream: &str) -> i64 {
    let floor = "SELECT floor_seq FROM stream_heads WHERE organization_id =";
    server.count(&format!("{floor} '{}' AND stream_id = '{stream}'", of.organization)).await
}

const INBOX: &str = "subscription($positions: [InboxPosition!]!) { inboxEvents(positions: $positions) { __typename
    ... on ConversationHappened { event { __typename ... on FeedEvent { cursor } ... on MessageSent { message { seq } } } } } }";

async fn inbox(server: &Server, who: &Founder, talk: &Talk, after: &str) -> Feed {
    let positions = json!([{ "conversationId": talk.id, "after": after }]);
    Feed::open(&server.ws_url(), who, INBOX, json!({ "positions": positions })).await.expect("a server")
}

fn seqs(events: &[Value]) -> Vec<i64> {
    events.iter().filter_map(|event| event["message"]["seq"].as_i64()).collect()
}

#[tokio::test]
async fn behind_the_floor_one_starts_afresh_and_from_there_on_all_is_there() {
    let server = server().await;
    let ada = server.founder().await;
    let talk = server.group(&ada, &[]).await;
    for number in 1..=10 {
        server.say(&ada, &talk, &format!("number {number}")).await;
    }
    let all = server.follow(&ada, &talk.id, Some(&talk.cursor)).await.take(10).await;
    let audit = "query($id: ID!) { auditEvents(filter: { entityId: { eq: $id } }) { totalCount } }";
    let audited = async || {
        data(&server.graphql(audit, json!({ "id": talk.id }), Some(&ada)).await, "auditEvents.totalCount").clone()
    };
    let before = audited().await;
    trimmed(server, &ada).await;
    assert_eq!(floor(server, &ada, &talk.id).await, 0, "nothing is that old");
    let mut live = server.follow(&ada, &talk.id, Some(text(&all[9], "cursor"))).await;
    // The opening and six messages.
    age(server, &ada, &talk.id, 7).await;
    trimmed(server, &ada).await;
    assert_eq!(floor(server, &ada, &talk.id).await, 7);
    let left = format!("SELECT count(*) FROM events WHERE stream_id = '{}'", talk.id);
    assert_eq!((server.count(&left).await, audited().await), (5, before), "the opening stays for the audit trail");
    // A node that has nothing of it in memory.
    let other = Server::start().await;
    for (place, event) in all.iter().enumerate() {
        let cursor = text(event, "cursor");
        let mut feed = other.follow(&ada, &talk.id, Some(cursor)).await;
        let mut boxed = inbox(&other, &ada, &talk, cursor).await;
        if place < 6 {
            let resync = feed.next().await;
            assert_eq!(resync["__typename"], "ResyncRequired", "{place}");
            assert_eq!((&resync["cursor"], feed.hear().await), (&all[9]["cursor"], Said::Complete));
            assert_eq!(boxed.next().await["event"]["__typename"], "ResyncRequired");
        } else {
            let rest: Vec<Value> = feed.take(9 - place).await;
            assert_eq!(rest, all[place + 1..], "{place}: exactly what followed");
            for event in &all[place + 1..] {
                assert_eq!(boxed.next().await["event"]["message"]["seq"], event["message"]["seq"]);
            }
        }
    }
    let opening = other.follow(&ada, &talk.id, Some(&talk.cursor)).await.next().await;
    assert_eq!(opening["__typename"], "ResyncRequired");
    // Who watched while it was trimmed, and who comes in where it stands now.
    let query = "query($id: ID!) { conversation(id: $id) { cursor } }";
    let fresh = server.graphql(query, json!({ "id": talk.id }), Some(&ada)).await;
    let mut fresh = other.follow(&ada, &talk.id, data(&fresh, "conversation.cursor").as_str()).await;
    let sent = server.say(&ada, &talk, "and on").await;
    for feed in [&mut live, &mut fresh] {
        assert_eq!(feed.next().await["message"]["seq"], sent["seq"]);
    }
    other.stop().await;
}

#[tokio::test]
async fn the_newest_event_stays_so_that_its_cursor_is_good() {
    let server = server().await;
    let ada = server.founder().await;
    let talk = server.group(&ada, &[]).await;
    for _ in 0..3 {
        server.say(&ada, &talk, "long ago").await;
    }
    let all = server.follow(&ada, &talk.id, Some(&talk.cursor)).await.take(3).await;
    age(server, &ada, &talk.id, 4).await;
    for _ in 0..2 {
        trimmed(server, &ada).await;
        assert_eq!(floor(server, &ada, &talk.id).await, 3);
    }
    let other = Server::start().await;
    let mut feed = other.follow(&ada, &talk.id, Some(text(&all[2], "cursor"))).await;
    let mut boxed = inbox(&other, &ada, &talk, text(&all[2], "cursor")).await;
    other.say(&ada, &talk, "again").await;
    assert_eq!(feed.next().await["message"]["seq"], 4);
    assert_eq!(boxed.next().await["event"]["message"]["seq"], 4);
    other.stop().await;
}

#[tokio::test]
async fn who_watches_while_it_is_trimmed_misses_nothing() {
    let server = server().await;
    let ada = server.founder().await;
    let talk = server.group(&ada, &[]).await;
    for _ in 0..20 {
        server.say(&ada, &talk, "before").await;
    }
    let mut feeds = Vec::new();
    for _ in 0..4 {
        feeds.push(server.follow(&ada, &talk.id, Some(&talk.cursor)).await);
    }
    for feed in &mut feeds {
        assert_eq!(seqs(&feed.take(20).await), (1..=20).collect::<Vec<_>>());
    }
    let trimming = async {
        for up_to in [5, 10, 15, 21] {
            age(server, &ada, &talk.id, up_to).await;
            trimmed(server, &ada).await;
        }
    };
    let talking = async {
        for _ in 0..30 {
            server.say(&ada, &talk, "meanwhile").await;
        }
    };
    let hearing = join_all(feeds.iter_mut().map(async |feed| seqs(&feed.take(30).await)));
    let (_, (_, heard)) = join(trimming, join(talking, hearing)).await;
    assert!(heard.iter().all(|heard| *heard == (21..=50).collect::<Vec<_>>()), "{heard:?}");
    trimmed(server, &ada).await;
    assert_eq!(floor(server, &ada, &talk.id).await, 21);
}

#[tokio::test]
async fn logs_of_records_say_so_too_and_their_histories_stay() {
    let server = server().await;
    let ada = server.founder().await;
    let begin = server.graphql("{ changes { cursor } }", json!({}), Some(&ada)).await;
    let create = "mutation { leadCreate(input: { firstName: \"Grace\", lastName: \"Hopper\" }) { lead { id } } }";
    let made = server.graphql(create, json!({}), Some(&ada)).await;
    let id = data(&made, "leadCreate.lead.id").clone();
    let mut cursors = vec![data(&begin, "changes.cursor").clone()];
    let read =
        "query($after: String) { changes(after: $after, types: [LEAD]) { events { action } cursor resyncRequired } }";
    let ask = async |after: &Value| {
        data(&server.graphql(read, json!({ "after": after }), Some(&ada)).await, "changes").clone()
    };
    for number in 0..3 {
        cursors.push(ask(&cursors[number]).await["cursor"].clone());
        let update = "mutation($id: ID!, $word: String) { leadUpdate(input: { id: $id, company: $word }) { userErrors { code } } }";
        server.graphql(update, json!({ "id": id, "word": number.to_string() }), Some(&ada)).await;
    }
    let stream = server
        .text(&format!(
            "SELECT DISTINCT stream_id::text FROM events WHERE entity = 'Lead' AND organization_id = '{}'",
            ada.organization
        ))
        .await;
    age(server, &ada, &stream, 2).await;
    trimmed(server, &ada).await;
    assert_eq!(floor(server, &ada, &stream).await, 2);
    for (place, resync) in [(0, true), (1, true), (2, true), (3, false)] {
        let page = ask(&cursors[place]).await;
        let told = if resync { json!(["LEAD"]) } else { json!([]) };
        let events = if resync { json!([]) } else { json!([{ "action": "updated" }]) };
        assert_eq!((&page["resyncRequired"], &page["events"]), (&told, &events), "{place}");
    }
    let feed = "subscription($after: String) { recordEvents(entity: LEAD, after: $after) { __typename } }";
    for (place, told) in [(2, "ResyncRequired"), (3, "RecordChanged")] {
        let mut feed =
            Feed::open(&server.ws_url(), &ada, feed, json!({ "after": cursors[place] })).await.expect("a server");
        assert_eq!(feed.next().await["__typename"], told);
    }
    let history = "query($id: ID!) { lead(id: $id) { history { action } } }";
    let actions = data(&server.graphql(history, json!({ "id": id }), Some(&ada)).await, "lead.history").clone();
    assert_eq!(actions.as_array().map(Vec::len), Some(4), "{actions}");
}

#[tokio::test]
async fn many_events_go_in_batches_and_only_of_ones_own() {
    let server = server().await;
    let (ada, stranger) = (server.founder().await, server.founder().await);
    let talk = server.group(&ada, &[]).await;
    let (organization, id) = (ada.organization, &talk.id);
    server
        .sql(&format!(
            "INSERT INTO events (organization_id, stream_id, seq, id, kind, entity, entity_id, payload)
               SELECT '{organization}', '{id}', n, gen_random_uuid(), 'message_sent', 'Message', gen_random_uuid(), '{{}}'
               FROM generate_series(2, 2500) n;
             UPDATE stream_heads SET head_seq = 2500 WHERE stream_id = '{id}'"
        ))
        .await;
    age(server, &ada, id, 2400).await;
    let foreign = &mut server.app.database.of(stranger.organization).await.expect("a connection");
    let stream = id.parse().expect("an id");
    assert!(!trim(foreign, stream, 1).await.expect("nothing"));
    assert_eq!(floor(server, &ada, id).await, 0, "of another organization nothing moves");
    // However short the time that is asked for, a day is kept.
    let own = &mut server.app.database.of(organization).await.expect("a connection");
    while trim(own, stream, 0).await.expect("trimmed") {}
    assert_eq!(floor(server, &ada, id).await, 2400);
    let left = format!("SELECT count(*) FROM events WHERE stream_id = '{id}'");
    assert_eq!(server.count(&left).await, 101, "the opening and what is young");
}

#[tokio::test]
async fn a_stream_that_cannot_be_trimmed_keeps_no_other_waiting() {
    let server = working(|config| config.jobs.workers = 0).await;
    let ada = server.founder().await;
    let talks = [server.group(&ada, &[]).await, server.group(&ada, &[]).await];
    for talk in &talks {
        server.say(&ada, talk, "long ago").await;
        server.say(&ada, talk, "now").await;
        age(&server, &ada, &talk.id, 2).await;
    }
    // The first one to come.
    server.refuse("UPDATE OF floor_seq ON stream_heads", &format!("NEW.stream_id = '{}'", talks[0].id)).await;
    trim_all(&server.app, ada.organization).await.expect_err("one stream failed");
    assert_eq!(floor(&server, &ada, &talks[0].id).await, 0);
    assert_eq!(floor(&server, &ada, &talks[1].id).await, 2);
    server.allow("stream_heads").await;
    trimmed(&server, &ada).await;
    assert_eq!(floor(&server, &ada, &talks[0].id).await, 2);
}
