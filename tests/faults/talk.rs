//! People who talk, whatever becomes of the nodes that they talk to. Each is with one node and changes over when that one
//! is gone; who sends insists until there is an answer, who reads goes on behind the last cursor. Invariant: what was
//! acknowledged is in the table, once, and every reader has the one order that the table has.

mod shown;

use crate::{
    live::{Said, Socket},
    program::{Program, pause, text},
};
use futures_util::future::join_all;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde::Deserialize;
use serde_json::{Value, json};
use shown::Shown;
use std::{
    collections::HashSet,
    hash::{DefaultHasher, Hash, Hasher},
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
    time::{Duration, Instant},
};

/// How long a send may be without an answer, all tries together.
const PATIENCE: Duration = Duration::from_secs(60);

/// A message as everybody has to have it: its number, and what tells it from others (the sender's key and its id).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    pub seq: i64,
    mark: u64,
}

impl Line {
    pub fn of(message: &Message<'_>) -> Self {
        let mut mark = DefaultHasher::new();
        (message.client_id, message.id).hash(&mut mark);
        Line { seq: message.seq, mark: mark.finish() }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Message<'a> {
    pub seq: i64,
    pub client_id: &'a str,
    pub id: &'a str,
}

/// An event of the feed below, read without making a tree of it: there are millions.
#[derive(Deserialize)]
struct Next<'a> {
    #[serde(borrow)]
    payload: Payload<'a>,
}

#[derive(Deserialize)]
struct Payload<'a> {
    #[serde(borrow)]
    data: Data<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
enum Data<'a> {
    #[serde(borrow)]
    ConversationEvents(Told<'a>),
    #[serde(borrow)]
    InboxEvents(Happened<'a>),
}

/// What an inbox is told; neither conversation nor event: something else.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Happened<'a> {
    conversation_id: Option<&'a str>,
    #[serde(borrow)]
    event: Option<Told<'a>>,
}

#[derive(Deserialize)]
struct Told<'a> {
    cursor: &'a str,
    #[serde(borrow)]
    message: Option<Message<'a>>,
}

impl<'a> Data<'a> {
    /// What is told of this conversation.
    fn of(self, talk: &str) -> Option<Told<'a>> {
        match self {
            Data::ConversationEvents(told) => Some(told),
            Data::InboxEvents(happened) => happened.event.filter(|_| happened.conversation_id == Some(talk)),
        }
    }
}

const FEED: &str = "subscription($id: ID!, $after: String) { conversationEvents(conversationId: $id, after: $after) {
    __typename ... on FeedEvent { cursor } ... on MessageSent { message { seq clientId id } } } }";

const INBOX: &str = "subscription($positions: [InboxPosition!]!) { inboxEvents(positions: $positions) { __typename
    ... on ConversationHappened { conversationId event {
        __typename ... on FeedEvent { cursor } ... on MessageSent { message { seq clientId id } } } } } }";

/// Of the readers of a conversation every third follows an inbox, and so many at most: each is told all that is said
/// anywhere.
const INBOXES: usize = 1;

/// An answer that was none.
#[derive(Debug)]
pub struct Failure {
    pub status: u16,
    pub after: Duration,
}

/// What a reader has.
#[derive(Default)]
pub struct Heard {
    pub lines: Vec<Line>,
    pub resumes: usize,
}

/// Somebody with a program that knows all nodes.
pub struct Client<'a> {
    nodes: &'a [Program],
    at: usize,
    token: &'a str,
    rng: StdRng,
}

impl<'a> Client<'a> {
    pub fn new(nodes: &'a [Program], token: &'a str, seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        Client { nodes, at: rng.random_range(0..nodes.len()), token, rng }
    }

    fn node(&self) -> &'a Program {
        &self.nodes[self.at]
    }

    async fn move_on(&mut self) {
        pause().await;
        self.at = self.rng.random_range(0..self.nodes.len());
    }

    /// Sends until it is acknowledged: the message and its id, the answers that were none, and the tries.
    pub async fn say(&mut self, talk: &str, key: &str) -> (Line, String, Vec<Failure>, usize) {
        let input = json!({ "conversationId": talk, "body": key, "clientId": key });
        let (message, failures, tries) = self.insist("messageSend", "MessageSendInput", input).await;
        (line(&message), text(&message, "id"), failures, tries)
    }

    /// Asks until a message is the answer, however often that takes: it, the answers that were none, and the tries.
    async fn insist(&mut self, mutation: &str, kind: &str, input: Value) -> (Value, Vec<Failure>, usize) {
        let query = format!(
            "mutation($input: {kind}!) {{ {mutation}(input: $input) {{
            message {{ seq clientId id }} userErrors {{ message }} }} }}"
        );
        let variables = json!({ "input": input });
        let (began, mut failures) = (Instant::now(), Vec::new());
        for tries in 1.. {
            assert!(began.elapsed() < PATIENCE, "no answer to {mutation} {variables}: {failures:?}");
            let asked = Instant::now();
            match self.node().graphql_as(self.token, &query, variables.clone()).await {
                Some((_, answer)) if answer["data"][mutation]["message"].is_object() => {
                    return (answer["data"][mutation]["message"].clone(), failures, tries);
                }
                Some((status, answer)) => {
                    assert_eq!(answer["errors"][0]["extensions"]["code"], "SERVICE_UNAVAILABLE", "{status} {answer}");
                    failures.push(Failure { status, after: asked.elapsed() });
                }
                // Nobody answers: the node is down.
                None => {}
            }
            self.move_on().await;
        }
        unreachable!("tries without end")
    }

    /// Reads a conversation until its message number `until`, by itself or in an inbox. Now and then it leaves, and
    /// comes back.
    pub async fn hear(&mut self, talk: &str, start: &str, until: i64, inbox: bool) -> Heard {
        let (mut heard, mut cursor) = (Heard::default(), start.to_owned());
        loop {
            let (query, variables) = if inbox {
                (INBOX, json!({ "positions": [{ "conversationId": talk, "after": cursor }] }))
            } else {
                (FEED, json!({ "id": talk, "after": cursor }))
            };
            if let Some(mut socket) = Socket::open(&self.node().ws_url(), self.token).await
                && socket.subscribe("1", query, variables).await.is_some()
            {
                while let Some(text) = socket.hear_text().await {
                    match serde_json::from_str::<Next>(&text) {
                        Ok(Next { payload: Payload { data } }) => {
                            let Some(told) = data.of(talk) else { continue };
                            cursor.replace_range(.., told.cursor);
                            heard.lines.extend(told.message.as_ref().map(Line::of));
                        }
                        // The database is away, or the node ends: it could not begin.
                        Err(_) => match Said::of(&serde_json::from_str(&text).expect("JSON")) {
                            Said::Refused(code) if code == "SERVICE_UNAVAILABLE" => break,
                            other => panic!("{other:?}"),
                        },
                    }
                    if heard.lines.last().is_some_and(|line| line.seq >= until) {
                        return heard;
                    }
                    if self.rng.random_range(0..2000) == 0 {
                        break;
                    }
                }
            }
            heard.resumes += 1;
            self.move_on().await;
        }
    }

    /// The conversation as the table has it: its messages, and the cursor of its newest event.
    pub async fn table(&mut self, talk: &str) -> (Vec<Value>, String) {
        let query =
            "query($id: ID!, $after: String) { conversation(id: $id) { cursor messages(first: 100, after: $after,
            orderBy: [{ field: SEQ }]) { nodes { seq clientId id body editedAt deletedAt reactions { emoji count } }
            pageInfo { endCursor hasNextPage } } } }";
        let (mut rows, mut after) = (Vec::<Value>::new(), Value::Null);
        loop {
            let variables = json!({ "id": talk, "after": after });
            let (_, answer) = self.node().graphql_as(self.token, query, variables).await.expect("an answer");
            let conversation = &answer["data"]["conversation"];
            let page = &conversation["messages"];
            rows.extend_from_slice(page["nodes"].as_array().unwrap_or_else(|| panic!("{answer}")));
            if page["pageInfo"]["hasNextPage"] == false {
                return (rows, text(conversation, "cursor"));
            }
            after = page["pageInfo"]["endCursor"].clone();
        }
    }
}

fn line(message: &Value) -> Line {
    Line::of(&Message::deserialize(message).unwrap_or_else(|fault| panic!("{fault}: {message}")))
}

/// Who talks, and how much.
pub struct Crowd {
    pub talks: usize,
    /// In each conversation; so are the next two.
    pub senders: usize,
    pub readers: usize,
    pub messages: usize,
}

impl Crowd {
    pub fn sends(&self) -> usize {
        self.talks * self.messages
    }
}

/// How far it has come.
pub struct Progress {
    began: Instant,
    acknowledged: AtomicUsize,
    /// Milliseconds since the beginning: of the last acknowledgement, and the longest time without one.
    last: AtomicU64,
    outage: AtomicU64,
}

impl Progress {
    fn acknowledge(&self) {
        self.acknowledged.fetch_add(1, Ordering::Relaxed);
        let now = u64::try_from(self.began.elapsed().as_millis()).expect("a time");
        let last = self.last.swap(now, Ordering::Relaxed);
        self.outage.fetch_max(now.saturating_sub(last), Ordering::Relaxed);
    }

    /// Waits for so many acknowledged sends.
    pub async fn reach(&self, acknowledged: usize) {
        while self.acknowledged.load(Ordering::Relaxed) < acknowledged {
            pause().await;
        }
    }
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Report {
    pub acknowledged: usize,
    /// Asked again.
    pub retried: usize,
    pub failures: Vec<Failure>,
    pub outage: Duration,
    pub took: Duration,
    /// Reactions put to messages, edits and deletions.
    pub changes: usize,
    pub delivered: usize,
    pub resumes: usize,
    /// Acknowledged and not in the table as it was acknowledged.
    pub lost: usize,
    /// More than once in the table.
    pub doubled: usize,
    /// Numbers that are missing in the table, or out of their place.
    pub holes: usize,
    /// Readers who have anything else than the table, or show anything else.
    pub torn: usize,
}

impl Report {
    pub fn is_sound(&self) -> bool {
        self.lost + self.doubled + self.holes + self.torn == 0
    }
}

/// Clients send, others read, and something happens in between; then everybody has to have the same.
pub async fn talk_through(
    nodes: &[Program],
    tokens: &[&str],
    others: &[String],
    crowd: &Crowd,
    seed: u64,
    calamity: impl AsyncFnOnce(&Progress),
) -> Report {
    let talks = join_all((0..crowd.talks).map(|_| nodes[0].conversation(others))).await;
    let progress = Progress {
        began: Instant::now(),
        acknowledged: AtomicUsize::new(0),
        last: AtomicU64::new(0),
        outage: AtomicU64::new(0),
    };
    let client = |talk: usize, number: usize| {
        let token = tokens[number % tokens.len()];
        Client::new(nodes, token, seed.wrapping_add((talk * 10_000 + number) as u64))
    };
    let sending = join_all(talks.iter().enumerate().flat_map(|(talk, (id, _))| {
        let progress = &progress;
        (0..crowd.senders).map(move |sender| async move {
            let (mut client, mut friend) = (client(talk, sender), client(talk, sender + 1));
            let (mut sent, mut changes) = (Vec::new(), 0);
            for number in (sender..crowd.messages).step_by(crowd.senders) {
                let (line, message, failures, tries) = client.say(id, &format!("{id} {sender}.{number}")).await;
                sent.push((line, failures, tries));
                progress.acknowledge();
                changes += client.change(&message, &mut friend).await;
            }
            (talk, sent, changes)
        })
    }));
    let reading = join_all(talks.iter().enumerate().flat_map(|(talk, (id, cursor))| {
        (0..crowd.readers).map(move |reader| async move {
            let inbox = reader % 3 == 0 && reader / 3 < INBOXES;
            (talk, client(talk, crowd.senders + reader).hear(id, cursor, crowd.messages as i64, inbox).await)
        })
    }));
    let showing = join_all(talks.iter().enumerate().map(|(talk, (id, cursor))| async move {
        let mut shown = Shown::behind(cursor);
        let last = crowd.messages as i64;
        client(talk, crowd.senders + crowd.readers).show(id, &mut shown, |shown| shown.newest() == Some(last)).await;
        shown
    }));
    let (sent, heard, mut shown, ()) = tokio::join!(sending, reading, showing, calamity(&progress));

    let took = progress.began.elapsed();
    let outage = Duration::from_millis(progress.outage.load(Ordering::Relaxed));
    let mut report = Report { took, outage, ..Report::default() };
    let mut tables = Vec::new();
    for (talk, (id, _)) in talks.iter().enumerate() {
        let mut client = client(talk, 0);
        let (rows, end) = client.table(id).await;
        // What was changed behind the last message.
        client.show(id, &mut shown[talk], |shown| shown.cursor == end).await;
        report.torn += usize::from(!shown[talk].is(&rows));
        let keys: HashSet<String> = rows.iter().map(|row| text(row, "clientId")).collect();
        report.doubled += rows.len() - keys.len();
        let lines: Vec<Line> = rows.iter().map(line).collect();
        report.holes +=
            (1..=crowd.messages).filter(|seq| lines.get(seq - 1).map(|line| line.seq) != Some(*seq as i64)).count();
        tables.push(lines);
    }
    for (talk, sent, changes) in sent {
        report.changes += changes;
        for (line, failures, tries) in sent {
            report.acknowledged += 1;
            report.retried += tries - 1;
            report.failures.extend(failures);
            report.lost += usize::from(tables[talk].get(line.seq as usize - 1) != Some(&line));
        }
    }
    for (talk, Heard { lines, resumes }) in heard {
        report.delivered += lines.len();
        report.resumes += resumes;
        report.torn += usize::from(lines != tables[talk]);
    }
    report
}
