//! A place in a stream that clients keep and come back with, tomorrow or to another node. A bare number would skip
//! events silently after a failover or a restore, so a cursor also names the event it stands on. Invariant: a
//! cursor is good for one stream, and only while that very event is in it.

use super::{Event, StreamId};
use crate::error::{Code, Error, Result};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL};
use sha2::{Digest, Sha256};
use std::sync::Arc;
use uuid::Uuid;

/// A place in a stream that can be checked: behind the event with this number and this tail of its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    pub seq: i64,
    /// The last eight bytes of the event's id, which are random; zero before the first event.
    pub tag: [u8; 8],
    /// What tells streams apart, so that a cursor of another one is refused.
    check: [u8; 4],
}

impl Cursor {
    /// Before the first event of a stream.
    pub fn origin(stream: StreamId) -> Self {
        Self::behind(stream, None)
    }

    /// Behind the newest event, as a row has it that was read together with it; None: there is none yet.
    pub fn behind(stream: StreamId, newest: Option<(i64, Uuid)>) -> Self {
        let (seq, tag) = newest.map_or((0, [0; 8]), |(seq, id)| (seq, tag(id)));
        Cursor { seq, tag, check: check(stream) }
    }

    /// The opaque text that clients keep: 27 letters of base64url.
    pub fn encode(&self) -> String {
        BASE64URL.encode([&self.seq.to_be_bytes()[..], &self.tag, &self.check].concat())
    }

    /// Back from `encode`. INVALID_CURSOR for anything else.
    pub fn decode(text: &str) -> Result<Self> {
        Self::parse(text).ok_or_else(invalid)
    }

    fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; 20];
        BASE64URL.decode_slice(text, &mut bytes).ok().filter(|length| *length == bytes.len())?;
        let (seq, rest) = bytes.split_first_chunk()?;
        let (tag, check) = rest.split_first_chunk()?;
        let cursor = Cursor { seq: i64::from_be_bytes(*seq), tag: *tag, check: check.try_into().ok()? };
        (cursor.seq > 0 || cursor.seq == 0 && cursor.tag == [0; 8]).then_some(cursor)
    }

    /// INVALID_CURSOR unless it was made for this stream.
    pub fn expect(&self, stream: StreamId) -> Result<()> {
        if self.check == check(stream) { Ok(()) } else { Err(invalid()) }
    }

    /// Whether the event that it stands on has this id.
    pub(super) fn names(&self, id: Uuid) -> bool {
        self.tag == tag(id)
    }

    /// Whether it stands on this event.
    pub(super) fn is_at(&self, event: &Event) -> bool {
        self.seq == event.seq && self.tag == tag(event.id)
    }

    /// Steps onto an event of the same stream.
    pub(super) fn step(&mut self, event: &Event) {
        (self.seq, self.tag) = (event.seq, tag(event.id));
    }

    /// What follows in a page that was read from this place on, its own event included. None if the page does not
    /// continue from here: the event is gone or another one, or something is missing.
    pub(super) fn follow(&self, mut page: Vec<Arc<Event>>) -> Option<Vec<Arc<Event>>> {
        if self.seq > 0 {
            page.first().filter(|event| self.is_at(event))?;
            page.remove(0);
        }
        (self.seq + 1..).zip(&page).all(|(seq, event)| seq == event.seq).then_some(page)
    }
}

impl Event {
    /// Where a subscriber is that has seen this event.
    pub fn cursor(&self) -> Cursor {
        Cursor { seq: self.seq, tag: tag(self.id), check: check(self.stream_id()) }
    }
}

fn tag(id: Uuid) -> [u8; 8] {
    id.as_u64_pair().1.to_be_bytes()
}

fn check(stream: StreamId) -> [u8; 4] {
    let hash = Sha256::new().chain_update(stream.organization).chain_update(stream.stream).finalize();
    let [a, b, c, d, ..] = hash.0;
    [a, b, c, d]
}

fn invalid() -> Error {
    Error::yours(Code::InvalidCursor, "This cursor is not one of this feed. Fetch afresh and go on from there.")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn stream(organization: u128, stream: u128) -> StreamId {
        StreamId { organization: Uuid::from_u128(organization), stream: Uuid::from_u128(stream) }
    }

    proptest! {
        #[test]
        fn comes_back_as_it_went(seq in 1..=i64::MAX, tag: [u8; 8], a: u128, b: u128) {
            let cursor = Cursor { seq, tag, check: check(stream(a, b)) };
            let text = cursor.encode();
            prop_assert_eq!(text.len(), 27);
            prop_assert_eq!(Cursor::decode(&text).unwrap(), cursor);
            prop_assert!(cursor.expect(stream(a, b)).is_ok());
        }

        #[test]
        fn garbage_is_refused(text in "\\PC{0,40}") {
            if let Ok(cursor) = Cursor::decode(&text) {
                prop_assert_eq!(cursor.encode(), text);
            }
        }

        #[test]
        fn a_changed_letter_is_another_cursor(seq in 1..i64::MAX, tag: [u8; 8], at in 0usize..27, letter in "[A-Za-z0-9_-]") {
            let cursor = Cursor { seq, tag, check: [1, 2, 3, 4] };
            let mut text = cursor.encode();
            text.replace_range(at..=at, &letter);
            if let Ok(other) = Cursor::decode(&text) {
                prop_assert_eq!(other == cursor, text == cursor.encode());
            }
        }

        #[test]
        fn belongs_to_one_stream(a: u128, b: u128, c: u128) {
            prop_assume!(b != c);
            prop_assert!(Cursor::origin(stream(a, b)).expect(stream(a, c)).is_err());
            prop_assert!(Cursor::origin(stream(b, a)).expect(stream(c, a)).is_err());
        }
    }

    #[test]
    fn impossible_places_are_refused() {
        let origin = Cursor::origin(stream(1, 2));
        assert_eq!(Cursor::decode(&origin.encode()).unwrap(), origin);
        for cursor in
            [Cursor { seq: -1, ..origin }, Cursor { tag: [1; 8], ..origin }, Cursor { seq: i64::MIN, ..origin }]
        {
            assert_eq!(Cursor::decode(&cursor.encode()).unwrap_err().code(), Code::InvalidCursor);
        }
        for text in ["", "AAAA", "7", &"A".repeat(28), &"A".repeat(10_000), "AAAAAAAAAAAAAAAAAAAAAAAAAA=", "é"] {
            assert_eq!(Cursor::decode(text).unwrap_err().code(), Code::InvalidCursor, "{text}");
        }
    }
}
