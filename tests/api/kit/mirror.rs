//! *Snapshot + events = fresh fetch*: a client that applies the events behind a snapshot's cursor to the snapshot has what it
//! would fetch now. One way for all feeds: say what a client shows, how it is fetched and what it does with an event.

use super::{Founder, Server};
use crate::messaging::live::Feed;
use serde_json::Value;
use std::fmt::Debug;

/// What a client shows of something that has a feed.
pub trait Mirror: Clone + PartialEq + Debug {
    /// As it is now, with the cursor that came with it.
    async fn fetch(server: &Server, who: &Founder, of: &str) -> (Self, String);
    /// Its feed, from behind a cursor on.
    async fn follow(server: &Server, who: &Founder, of: &str, after: &str) -> Feed;
    /// What a client does with an event. It may have been in the snapshot already.
    fn apply(&mut self, event: &Value, who: &Founder);
}

/// Applies what happened behind a snapshot until it stands where `end` is.
pub async fn caught_up<M: Mirror>(
    server: &Server,
    who: &Founder,
    of: &str,
    (mut shown, mut cursor): (M, String),
    end: &str,
) -> M {
    let mut feed: Option<Feed> = None;
    while cursor != end {
        let feed = match &mut feed {
            Some(feed) => feed,
            None => feed.insert(M::follow(server, who, of, &cursor).await),
        };
        let event = feed.next().await;
        cursor = event["cursor"].as_str().expect("a cursor").to_owned();
        shown.apply(&event, who);
    }
    shown
}

/// Whatever `work` does, who applies its events has what a fresh fetch shows; they end as the fetch says.
pub async fn keeps_in_step<M: Mirror>(server: &Server, who: &Founder, of: &str, work: impl Future) -> M {
    let before = M::fetch(server, who, of).await;
    work.await;
    let (fresh, end) = M::fetch(server, who, of).await;
    // Also from a snapshot that is newer than its cursor: rows below are read after it.
    for snapshot in [before.clone(), (fresh.clone(), before.1)] {
        assert_eq!(caught_up(server, who, of, snapshot, &end).await, fresh);
    }
    fresh
}
