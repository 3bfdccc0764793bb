//! The promise of the feed: every participant sees every event once and in order, wherever they come in, until they
//! leave.

use super::{
    Talk, events,
    live::{Feed, Said, Socket},
    text,
};
use crate::{
    kit::{Founder, Server, data, server},
    socket::Client,
};
use futures_util::{
    StreamExt,
    future::{join, join_all},
};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::timeout;

fn seqs(events: &[Value]) -> Vec<i64> {
    events
        .iter()
        .map(|event| event["message"]["seq"].as_i64().unwrap_or_else(|| panic!("no message in {event}")))
        .collect()
}

async fn say_many(server: &Server, by: &Founder, talk: &Talk, count: usize) {
    for number in 0..count {
        server.say(by, talk, &format!("number {number}")).await;
    }
}

#[tokio::test]
async fn replay_turns_live_without_a_seam_and_alike_for_all() {
    let server = server().await;
    let ada = server.founder().await;
    let bob = server.member(&ada, "member", None).await;
    let talk = server.group(&ada, &[&bob]).await;
    let writers = join_all((0..4).map(|_| say_many(server, &ada, &talk, 10)));
    let readers = join_all((0..6).map(async |reader| {
        // Come in one after the other, while it is being written.
        let messages = loop {
            if server.numbers(&bob, &talk).await.len() >= reader * 6 {
                break server.follow(&bob, &talk.id, Some(&talk.cursor)).await.take(40).await;
            }
        };
        assert_eq!(seqs(&messages), (1..=40).collect::<Vec<_>>());
        messages
    }));
    let (_, seen) = join(writers, readers).await;
    assert!(seen.iter().all(|one| *one == seen[0]), "the same for all, cursors included");
}

#[tokio::test]
async fn a_feed_resumes_at_every_point() {
    let server = server().await;
    let ada = server.founder().await;
    let talk = server.group(&ada, &[]).await;
    say_many(server, &ada, &talk, 12).await;
    let all = server.follow(&ada, &talk.id, Some(&talk.cursor)).await.take(12).await;
    for (index, event) in all.iter().enumerate() {
        let mut feed = server.follow(&ada, &talk.id, Some(text(event, "cursor"))).await;
        assert_eq!(feed.take(11 - index).await, all[index + 1..]);
    }
    let mut newest = server.follow(&ada, &talk.id, Some(text(&all[11], "cursor"))).await;
    server.say(&ada, &talk, "and on").await;
    assert_eq!(newest.next().await["message"]["seq"], 13);
}

#[tokio::test]
async fn a_cursor_that_does_not_fit_is_refused_or_asks_for_a_fresh_start() {
    let server = server().await;
    let ada = server.founder().await;
    let (talk, other) = (server.group(&ada, &[]).await, server.group(&ada, &[]).await);
    for cursor in [&*other.cursor, "", "nonsense", "AAAA", &"A".repeat(5000)] {
        let said = server.follow(&ada, &talk.id, Some(cursor)).await.hear().await;
        assert_eq!(said, Said::Refused("INVALID_CURSOR".into()), "{cursor}");
    }
    server.say(&ada, &talk, "hello").await;
    // The same number with another event's tag, and a number that does not exist yet: bytes 0 to 7 and 8 to 15.
    for (place, with) in [(12, "AAAA"), (5, "zzzz")] {
        let mut made_up = talk.cursor.clone();
        made_up.replace_range(place..place + 4, with);
        for _ in 0..2 {
            // Once by the database, and once by the ring of a stream that somebody watches.
            let mut watcher = server.follow(&ada, &talk.id, Some(&talk.cursor)).await;
            watcher.next().await;
            let mut feed = server.follow(&ada, &talk.id, Some(&made_up)).await;
            let resync = feed.next().await;
            assert_eq!(resync["__typename"], "ResyncRequired", "{made_up}");
            assert_eq!(feed.hear().await, Said::Complete);
            let mut fresh = server.follow(&ada, &talk.id, Some(text(&resync, "cursor"))).await;
            let sent = server.say(&ada, &talk, "from there on").await;
            assert_eq!(fresh.next().await["message"], sent);
        }
    }
}

#[tokio::test]
async fn nobody_else_hears_anything() {
    let server = server().await;
    let (ada, stranger) = (server.founder().await, server.founder().await);
    let bob = server.member(&ada, "owner", None).await;
    let talk = server.group(&ada, &[]).await;
    for (who, after) in [(&bob, None), (&bob, Some(&*talk.cursor)), (&stranger, None)] {
        assert_eq!(server.follow(who, &talk.id, after).await.hear().await, Said::Refused("NOT_FOUND".into()));
    }
    let foreign = server.follow(&stranger, &talk.id, Some(&talk.cursor)).await.hear().await;
    assert_eq!(foreign, Said::Refused("INVALID_CURSOR".into()), "a cursor is of one organization");
}

/// Whoever is removed hears that last, and sends nothing that stands behind it.
#[tokio::test]
async fn removal_is_exact_while_everybody_talks() {
    let server = server().await;
    let ada = server.founder().await;
    for round in 0..4 {
        let bob = server.member(&ada, "member", None).await;
        let talk = server.group(&ada, &[&bob]).await;
        let feed = server.follow(&bob, &talk.id, Some(&talk.cursor)).await;
        let heard = async {
            let (mut feed, mut heard) = (feed, Vec::new());
            loop {
                match feed.hear().await {
                    Said::Event(event) => heard.push(event),
                    Said::Complete => break heard,
                    other => panic!("{other:?}"),
                }
            }
        };
        let talking = join_all((0..4).map(|_| say_many(server, &ada, &talk, 8)));
        let bobs = join_all((0..3).map(async |_| {
            for _ in 0..20 {
                server.send(&bob, json!({ "conversationId": talk.id, "body": "still here" })).await;
            }
        }));
        let removal = async {
            while server.numbers(&ada, &talk).await.len() < 10 + round {}
            let input = json!({ "conversationId": talk.id, "memberId": bob.member });
            data(&server.participant(&ada, "participantRemove", input).await, "participantRemove.participant").clone()
        };
        let ((heard, _), (_, _)) = join(join(heard, talking), join(bobs, removal)).await;
        let last = heard.last().expect("events");
        assert_eq!(last["__typename"], "ParticipantRemoved");
        assert_eq!(last["participant"]["memberId"], json!(bob.member));
        assert_eq!(seqs(&heard[..heard.len() - 1]), (1..heard.len() as i64).collect::<Vec<_>>());
        assert!(server.numbers(&ada, &talk).await.len() >= heard.len(), "the others went on");
        let behind = format!(
            "SELECT count(*) FROM events e, events r WHERE e.stream_id = '{0}' AND r.stream_id = '{0}'
             AND r.kind = 'participant_removed' AND e.seq > r.seq AND e.actor_id = '{1}'",
            talk.id, bob.member
        );
        assert_eq!(server.count(&behind).await, 0, "nothing of a removed member behind the removal");
        let again = server.follow(&bob, &talk.id, Some(text(last, "cursor"))).await.hear().await;
        assert_eq!(again, Said::Refused("NOT_FOUND".into()));
    }
}

#[tokio::test]
async fn who_leaves_hears_no_more() {
    let server = server().await;
    let ada = server.founder().await;
    let bob = server.member(&ada, "member", None).await;
    let talk = server.group(&ada, &[&bob]).await;
    let mut feed = server.follow(&bob, &talk.id, Some(&talk.cursor)).await;
    server.say(&ada, &talk, "stay").await;
    data(
        &server.participant(&bob, "conversationLeave", json!({ "id": talk.id })).await,
        "conversationLeave.participant",
    );
    server.say(&ada, &talk, "behind the back").await;
    assert_eq!(feed.next().await["message"]["body"], "stay");
    assert_eq!(feed.next().await["__typename"], "ParticipantRemoved");
    assert_eq!(feed.hear().await, Said::Complete);
}

#[tokio::test]
async fn a_reader_that_does_not_read_slows_nobody() {
    let server = Server::with(|config| {
        config.events.ring = 16;
        // However slow the machine is: that a stalled socket is closed is not what this is about.
        config.socket.write_timeout_ms = 600_000;
    })
    .await;
    let ada = server.founder().await;
    let talk = server.group(&ada, &[]).await;
    let body = "x".repeat(30_000);
    // 300 × 30 KB do not fit into the buffers of a connection.
    let mut slow = server.follow(&ada, &talk.id, Some(&talk.cursor)).await;
    let mut quick = server.follow(&ada, &talk.id, Some(&talk.cursor)).await;
    for number in 1..=300 {
        server.say(&ada, &talk, &body).await;
        assert_eq!(quick.next().await["message"]["seq"], number);
    }
    let mut heard = Vec::new();
    while heard.len() < 300 {
        match slow.hear().await {
            Said::Event(event) => heard.push(event),
            // On a machine so slow that the kernel has taken it for dead meanwhile: it comes back.
            Said::Gone => {
                let after = heard.last().map_or(&*talk.cursor, |event| text(event, "cursor"));
                slow = server.follow(&ada, &talk.id, Some(after)).await;
            }
            other => panic!("no event but {other:?}"),
        }
    }
    assert_eq!(seqs(&heard), (1..=300).collect::<Vec<_>>(), "and it has lost nothing");
    server.stop().await;
}

/// The kernel takes some megabytes for it, and then no more.
#[tokio::test]
async fn a_reader_that_stalls_is_closed_and_has_lost_nothing_when_it_comes_back() {
    let server = Server::with(|config| {
        config.socket.write_timeout_ms = 500;
        // Whose socket is closed is away at once; who is only silent is not.
        config.presence.grace_ms = 60;
        config.socket.ping_ms = 600_000;
    })
    .await;
    let ada = server.founder().await;
    let bob = server.member(&ada, "member", None).await;
    let talk = server.group(&ada, &[&bob]).await;
    let mut slow = Client::narrow(&server, &bob).await;
    let variables = json!({ "id": talk.id, "after": talk.cursor });
    slow.subscribe("1", json!({ "query": events(), "variables": variables })).await;
    let mut quick = server.follow(&ada, &talk.id, Some(&talk.cursor)).await;
    let (body, mut all) = ("x".repeat(30_000), Vec::new());
    while server.app.presence.is_here(bob.organization, bob.member) {
        assert!(all.len() < 1000, "it is written to, and reads nothing");
        server.say(&ada, &talk, &body).await;
        all.push(quick.next().await);
    }
    // Within the three seconds of a farewell: what the kernel has, and why there is no more.
    let (heard, end) = slow.rest().await;
    assert_eq!(end, (1013, "Slow reader".to_owned()));
    let mut heard: Vec<Value> =
        heard.iter().map(|next| next["payload"]["data"]["conversationEvents"].clone()).collect();
    let last = heard.last().expect("what was sent before it stalled");
    let mut again = server.follow(&bob, &talk.id, Some(text(last, "cursor"))).await;
    server.say(&ada, &talk, "and on").await;
    all.push(quick.next().await);
    heard.extend(again.take(all.len() - heard.len()).await);
    assert_eq!(seqs(&heard), (1..=all.len() as i64).collect::<Vec<_>>());
    assert!(heard == all, "what everybody has, cursors included");
    server.stop().await;
}

#[tokio::test]
async fn the_feed_comes_over_server_sent_events_as_well() {
    let server = server().await;
    let ada = server.founder().await;
    let talk = server.group(&ada, &[]).await;
    say_many(server, &ada, &talk, 2).await;
    let body = json!({ "query": events(), "variables": { "id": talk.id, "after": talk.cursor } });
    let request = reqwest::Client::new().post(format!("{}/graphql", server.url())).json(&body);
    let answer = request.bearer_auth(&ada.token).header("accept", "text/event-stream").send().await.expect("an answer");
    let (mut bytes, mut told) = (answer.bytes_stream(), String::new());
    let mut wait_for = async |what: &str| {
        while !told.contains(what) {
            let more =
                timeout(Duration::from_secs(20), bytes.next()).await.expect("in time").expect("more").expect("bytes");
            told.push_str(std::str::from_utf8(&more).expect("text"));
        }
    };
    wait_for("number 1").await;
    server.say(&ada, &talk, "and live").await;
    wait_for("and live").await;
    server.participant(&ada, "conversationLeave", json!({ "id": talk.id })).await;
    wait_for("event: complete").await;
    assert_eq!(told.matches("event: next").count(), 4);
}

/// An event costs no read per subscriber: its records come with it, and who sent it is looked up once for all.
#[tokio::test]
async fn many_subscribers_cost_no_more_reads_than_one() {
    let server = Server::start().await;
    let ada = server.founder().await;
    let talk = server.group(&ada, &[]).await;
    let query = "subscription($id: ID!, $after: String) { conversationEvents(conversationId: $id, after: $after) {
        ... on MessageSent { message { seq body sender { name manager { name } } } } } }";
    let mut socket = Socket::open(&server.ws_url(), &ada).await.expect("a server");
    for id in 0..50 {
        let variables = json!({ "id": talk.id, "after": talk.cursor });
        socket.subscribe(&id.to_string(), query, variables).await.expect("a socket");
    }
    let hear_all = async |socket: &mut Socket| {
        for _ in 0..50 {
            let heard = socket.hear().await.expect("a message");
            assert_eq!(
                heard["payload"]["data"]["conversationEvents"]["message"]["sender"]["name"], "Ada Founder",
                "{heard}"
            );
        }
    };
    server.say(&ada, &talk, "now all are there").await;
    hear_all(&mut socket).await;
    let (before, began) = (server.app.database.taken(), std::time::Instant::now());
    for _ in 0..20 {
        server.say(&ada, &talk, "hello").await;
        hear_all(&mut socket).await;
    }
    let taken = server.app.database.taken() - before;
    // Two for each send: itself and what it has brought along; each second one about the session, one about the sender and
    // four about what has ended, at most two of each at the seams.
    let allowed = 40 + 7 * (began.elapsed().as_secs() + 2);
    assert!(taken <= allowed, "{taken} connections taken for 1000 deliveries, {allowed} allowed");
    server.stop().await;
}

#[tokio::test]
async fn all_events_share_what_feeds_need() {
    let server = server().await;
    let ada = server.founder().await;
    let talk = server.group(&ada, &[]).await;
    let query = "subscription($id: ID!, $after: String) { conversationEvents(conversationId: $id, after: $after) {
        ... on FeedEvent { cursor occurredAt } } }";
    server.say(&ada, &talk, "hello").await;
    let variables = json!({ "id": talk.id, "after": talk.cursor });
    let event = Feed::open(&server.ws_url(), &ada, query, variables).await.expect("a server").next().await;
    assert!(!text(&event, "cursor").is_empty() && text(&event, "occurredAt").ends_with('Z'), "{event}");
}
