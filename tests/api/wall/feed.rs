//! Feeds seen from the other side of the wall: what happens in one organization is never delivered to another, whatever
//! cursor it asks from.

use super::{
    fill::{Extent, Filler, Selected, Source},
    world::World,
};
use crate::kit::{
    Server, data,
    introspection::{Types, list, name},
};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// How long a feed may take to deliver what has happened.
const LIMIT: Duration = Duration::from_secs(20);

/// An open subscription over HTTP.
pub struct Feed {
    response: reqwest::Response,
    pub text: String,
    pub ended: bool,
}

impl Feed {
    pub async fn open(server: &Server, document: &str, variables: &Value, token: Option<&str>) -> Self {
        let body = json!({ "query": document, "variables": variables });
        let mut request = reqwest::Client::new()
            .post(format!("{}/graphql", server.url()))
            .json(&body)
            .header("accept", "text/event-stream");
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        Feed { response: request.send().await.expect("an answer"), text: String::new(), ended: false }
    }

    /// Reads what comes within the time.
    pub async fn read(&mut self, wait: Duration) {
        let until = Instant::now() + wait;
        while !self.ended
            && let Ok(chunk) = timeout(until - Instant::now(), self.response.chunk()).await
        {
            match chunk.expect("a stream") {
                Some(bytes) => self.text.push_str(&String::from_utf8_lossy(&bytes)),
                None => self.ended = true,
            }
        }
    }

    /// The answers so far.
    pub fn answers(&self) -> Vec<Value> {
        let told = self.text.lines().filter_map(|line| line.strip_prefix("data:"));
        told.filter_map(|told| serde_json::from_str(told.trim()).ok()).collect()
    }
}

/// Something new of every kind of record that is followed as such: the ids.
pub async fn something_happens(server: &Server, world: &World, types: &Types) -> Vec<String> {
    let mut made = Vec::new();
    for kind in types.values("RecordType") {
        let kind = kind.to_lowercase();
        let field =
            types.fields("Mutation").iter().find(|field| name(field) == format!("{kind}Create")).expect("a creator");
        let filler = Filler::new(types);
        let input = filler.arguments(field, Extent::Needed, &[], world).expect("values");
        let (document, variables) =
            Selected::document("mutation", &[filler.select("Mutation", field, "made", input, 1)]);
        let answer = world.ask(server, &document, variables).await;
        made.push(data(&answer, &format!("made.{kind}.id")).as_str().expect("an id").to_owned());
    }
    // Of what a member does themselves they are not notified.
    made.push(server.group(&world.colleague, &[&world.founder]).await.id);
    made
}

/// Follows every feed as somebody of another organization, from now and from each of the others' cursors.
pub async fn nothing_crosses(
    faults: &mut Vec<String>,
    server: &Server,
    filler: &Filler<'_>,
    theirs: &World,
    own: &World,
) {
    let types = filler.types;
    let mut open = Vec::new();
    for field in types.fields("Subscription") {
        let takes = |wanted: &str| list(&field["args"]).iter().any(|argument| name(argument) == wanted);
        // What is ephemeral has no cursor.
        let cursors = if takes("after") || takes("positions") { theirs.cursors("changes") } else { Vec::new() };
        let afters = std::iter::once(None).chain(cursors.into_iter().take(24).map(Some));
        for after in afters {
            let mut input = filler.arguments(field, Extent::Needed, &[], theirs).expect("values");
            if let Some(after) = after {
                if takes("after") {
                    input.insert("after".to_owned(), json!(after));
                } else {
                    input["positions"][0]["after"] = json!(after);
                }
            }
            let (document, variables) =
                Selected::document("subscription", &[filler.select("Subscription", field, "told", input, 2)]);
            let feed = Feed::open(server, &document, &variables, Some(&own.founder)).await;
            open.push((feed, document, variables));
        }
    }
    let begin = Instant::now();
    let mut mine = Vec::new();
    // A feed ends by itself or tells of one's own records; until then both organizations go on.
    while open.iter().any(|(feed, ..)| !feed.ended && !mine.iter().any(|id: &String| feed.text.contains(id))) {
        assert!(begin.elapsed() < LIMIT, "a feed neither ends nor tells of one's own records");
        something_happens(server, theirs, types).await;
        mine.extend(something_happens(server, own, types).await);
        for (feed, ..) in &mut open {
            feed.read(Duration::from_millis(20)).await;
        }
    }
    // What was new has ids that were not known before.
    let mut now = World {
        ids: theirs.ids.clone(),
        cursors: theirs.cursors.clone(),
        secrets: theirs.secrets.clone(),
        marker: theirs.marker.clone(),
        founder: theirs.founder.clone(),
        colleague: theirs.colleague.clone(),
    };
    now.look_up(server).await;
    for (feed, document, variables) in &open {
        for answer in feed.answers() {
            for seen in now.seen_in(&answer, &variables.to_string()) {
                faults.push(format!("{seen} of the other organization is delivered to\n{document}\n{variables}"));
            }
        }
    }
}
