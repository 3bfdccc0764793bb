//! The real program, killed and cut off while people talk. Invariant: what was acknowledged is there, once, and every
//! subscriber that comes back with its last cursor has the one order that the table has.
//!
//! Short by default; `STOA_PROOF=1` makes it five rounds of 2 000 messages.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

#[path = "../api/messaging/live.rs"]
mod live;
#[allow(dead_code, reason = "words for whichever test needs them")]
mod program;

use futures_util::future::join_all;
use live::{Feed, Said};
use program::{Program, text};
use rand::RngExt;
use serde_json::{Value, json};
use std::{
    collections::{HashMap, HashSet},
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

const CLIENTS: usize = 8;
const SUBSCRIBERS: usize = 3;

/// Rounds, and messages in each.
fn extent() -> (usize, usize) {
    if std::env::var("STOA_PROOF").is_ok_and(|value| value != "0") { (5, 2000) } else { (1, 240) }
}

/// A message as everybody has to have it: its number, the sender's key, its id.
type Line = (i64, String, String);

fn line(message: &Value) -> Line {
    (message["seq"].as_i64().expect("a number"), text(message, "clientId"), text(message, "id"))
}

/// Sends until it is acknowledged, however often that takes.
async fn insist(program: &Program, talk: &str, key: &str) -> (Line, Vec<Failure>) {
    let query = "mutation($input: MessageSendInput!) { messageSend(input: $input) {
        message { seq clientId id } userErrors { message } } }";
    let input = json!({ "input": { "conversationId": talk, "body": key, "clientId": key } });
    let (began, mut failures) = (Instant::now(), Vec::new());
    loop {
        assert!(began.elapsed() < Duration::from_secs(60), "no answer for {key}: {failures:?}");
        let asked = Instant::now();
        match program.graphql(query, input.clone()).await {
            Some((_, answer)) if answer["data"]["messageSend"]["message"].is_object() => {
                return (line(&answer["data"]["messageSend"]["message"]), failures);
            }
            Some((status, answer)) => {
                assert_eq!(answer["errors"][0]["extensions"]["code"], "SERVICE_UNAVAILABLE", "{status} {answer}");
                failures.push(Failure { status, after: asked.elapsed() });
            }
            // Nobody answers: the program is down.
            None => {}
        }
        program::pause().await;
    }
}

/// An answer that was none.
#[derive(Debug)]
struct Failure {
    status: u16,
    after: Duration,
}

/// Reads a conversation until it has so many messages, going on behind the last cursor whenever the connection ends.
async fn read_on(program: &Program, talk: &str, start: &str, count: usize) -> Vec<Line> {
    let query = "subscription($id: ID!, $after: String) { conversationEvents(conversationId: $id, after: $after) {
        __typename ... on FeedEvent { cursor } ... on MessageSent { message { seq clientId id } } } }";
    let (mut seen, mut cursor) = (Vec::new(), start.to_owned());
    while seen.len() < count {
        let variables = json!({ "id": talk, "after": cursor });
        let Some(mut feed) = Feed::open(&program.ws_url(), &program.token, query, variables).await else {
            program::pause().await;
            continue;
        };
        while seen.len() < count {
            match feed.hear().await {
                Said::Event(event) => {
                    assert_eq!(event["__typename"], "MessageSent", "{event}");
                    cursor = text(&event, "cursor");
                    seen.push(line(&event["message"]));
                }
                Said::Gone => break,
                // The database is away: it could not begin.
                Said::Refused(code) if code == "SERVICE_UNAVAILABLE" => break,
                other => panic!("{other:?}"),
            }
        }
    }
    seen
}

/// The conversation as the table has it.
async fn table(program: &Program, talk: &str) -> Vec<Line> {
    let query = "query($id: ID!, $after: String) { conversation(id: $id) { lastSeq messages(first: 100, after: $after,
        orderBy: [{ field: SEQ }]) { nodes { seq clientId id } pageInfo { endCursor hasNextPage } } } }";
    let (mut lines, mut after) = (Vec::new(), Value::Null);
    loop {
        let (_, answer) = program.graphql(query, json!({ "id": talk, "after": after })).await.expect("an answer");
        let page = &answer["data"]["conversation"]["messages"];
        lines.extend(page["nodes"].as_array().unwrap_or_else(|| panic!("{answer}")).iter().map(line));
        if page["pageInfo"]["hasNextPage"] == false {
            return lines;
        }
        after = page["pageInfo"]["endCursor"].clone();
    }
}

/// Eight clients send, three read, and something happens in between; then everybody has to have the same.
async fn talk_through(program: &mut Program, count: usize, calamity: impl AsyncFn(&Program)) -> Vec<Failure> {
    let (talk, cursor) = program.conversation().await;
    let acknowledged = AtomicUsize::new(0);
    let at = rand::rng().random_range(count / 5..count * 4 / 5);
    let program = &*program;
    let sending = join_all((0..CLIENTS).map(async |client| {
        let mut done = Vec::new();
        for number in 0..count / CLIENTS {
            done.push(insist(program, &talk, &format!("{talk} {client}.{number}")).await);
            acknowledged.fetch_add(1, Ordering::Relaxed);
        }
        done
    }));
    let reading = join_all((0..SUBSCRIBERS).map(|_| read_on(program, &talk, &cursor, count)));
    let disturbing = async {
        while acknowledged.load(Ordering::Relaxed) < at {
            program::pause().await;
        }
        calamity(program).await;
    };
    let (sent, read, ()) = tokio::join!(sending, reading, disturbing);

    let table = table(program, &talk).await;
    let numbers: Vec<i64> = table.iter().map(|(seq, ..)| *seq).collect();
    assert_eq!(numbers, (1..=count as i64).collect::<Vec<_>>(), "numbered without a gap");
    assert_eq!(table.iter().map(|(_, key, _)| key).collect::<HashSet<_>>().len(), count, "nothing twice");
    let stored: HashMap<&str, &Line> = table.iter().map(|line| (line.1.as_str(), line)).collect();
    let mut failures = Vec::new();
    for (line, failed) in sent.into_iter().flatten() {
        assert_eq!(stored.get(line.1.as_str()), Some(&&line), "stored as it was acknowledged");
        failures.extend(failed);
    }
    for lines in read {
        assert_eq!(lines, table, "a subscriber has the order of the table");
    }
    failures
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_program_is_killed_while_people_talk() {
    let (rounds, count) = extent();
    let mut program = Program::start().await;
    for _ in 0..rounds {
        talk_through(&mut program, count, async |program| program.kill_and_restart().await).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_database_is_killed_while_people_talk() {
    let (rounds, count) = extent();
    let mut program = Program::start().await;
    let mut refused = 0;
    for _ in 0..rounds {
        let failures = talk_through(&mut program, count, async |program| program.kill_postgres()).await;
        for Failure { status, after } in &failures {
            // A second for the answer; the rest is for two cores that everybody uses at once.
            assert!(*after < Duration::from_millis(2500), "told after {after:?}");
            assert_eq!(*status, 503);
        }
        refused += failures.len();
    }
    assert!(refused > 0, "nobody noticed that the database was away");
}
