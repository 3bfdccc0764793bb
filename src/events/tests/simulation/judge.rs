//! How a history ends, and what is demanded of it.

use super::{
    Counts,
    world::{NODES, Node, QUEUE, Watcher, World},
};
use crate::events::{Cursor, resume::Reader, tail::Need};

impl World {
    /// Everything that is under way arrives, the sweep comes round, everybody reads.
    pub fn settle(&mut self) {
        for at in 0..NODES {
            self.join(at);
            while let Some(event) = self.nodes[at].publishes.pop() {
                self.publish(at, event);
            }
            for _ in 0..3 {
                self.sweep(at);
                self.sweep(at);
                for turn in 0.. {
                    assert!(turn < 10_000, "the gap never closes");
                    self.fill_gap(at);
                    if self.nodes[at].gap.is_none() && !matches!(self.nodes[at].live.tail.lock().need(), Need::Gap(_)) {
                        break;
                    }
                }
                for at in 0..self.watchers.len() {
                    assert!((0..10_000).any(|_| !self.step(at)), "a reader goes round in circles");
                }
            }
        }
    }

    pub fn judge(mut self) -> Counts {
        for watcher in &self.watchers {
            let numbers = watcher.seen.iter().map(|event| event.seq);
            assert!(numbers.eq(watcher.start.seq + 1..=watcher.place().seq), "a gap or a repeat");
            self.counts.events += watcher.seen.len();
            if watcher.resynced {
                self.counts.resyncs += 1;
                let due = watcher.live.excused.get() || !self.holds(watcher.place());
                assert!(due, "told to resync for nothing at {}", watcher.place().seq);
            } else {
                assert_eq!(watcher.place().seq, self.head(), "not everything was seen");
                let places = watcher.seen.iter().map(|event| event.cursor()).chain([watcher.start]);
                let gone = places.filter(|place| place.seq > self.floor).find(|place| !self.holds(*place));
                assert_eq!(gone, None, "saw what is gone, and was not told");
            }
        }
        self.welcome();
        self.counts
    }

    /// Who comes to a node that knows nothing, with any cursor there ever was: goes on, or is sent away, as the log says.
    fn welcome(&mut self) {
        let origin = Cursor::origin(self.stream);
        let places: Vec<Cursor> = self.ever.iter().map(|event| event.cursor()).chain([origin]).collect();
        for place in places {
            self.nodes[0] = Node::new(self.stream, self.server);
            let live = self.join(0);
            let reader = Reader::resume(place, QUEUE);
            let watcher = Watcher {
                node: 0,
                live,
                reader,
                start: place,
                seen: Vec::new(),
                resynced: false,
                query: None,
                laziness: 1,
            };
            self.watchers = vec![watcher];
            assert!((0..10_000).any(|_| !self.step(0)), "a reader goes round in circles");
            let watcher = &self.watchers[0];
            assert_eq!(watcher.resynced, !self.holds(place), "with the cursor of {}", place.seq);
            assert!(watcher.resynced || watcher.place() == self.place_of(self.head()));
        }
    }
}
