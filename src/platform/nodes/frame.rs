//! What goes over the wire between nodes: a version, what it is, who says it, and the rest. Invariant: what is not
//! exactly such a frame is none.

use super::Topic;
use uuid::Uuid;

/// A NOTIFY carries less than 8000 bytes of text: 5 900 bytes in base64 are 7 868.
pub(super) const MOST: usize = 5900;
/// Version, kind and node.
pub(super) const HEAD: usize = 18;

/// Nodes of another version that speak otherwise are not understood, and find out in the database.
const VERSION: u8 = 1;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A node is there.
    Here,
    /// A node has come, or is back, and wants to know who is there.
    Came,
    About(Topic),
}

impl From<Topic> for Kind {
    fn from(topic: Topic) -> Self {
        Kind::About(topic)
    }
}

impl Kind {
    fn number(self) -> u8 {
        match self {
            Kind::Here => 0,
            Kind::Came => 1,
            Kind::About(Topic::Hints) => 2,
            Kind::About(Topic::Endings) => 3,
            Kind::About(Topic::Presence) => 4,
        }
    }

    fn of(number: u8) -> Option<Self> {
        let topics = [Topic::Hints, Topic::Endings, Topic::Presence].map(Kind::About);
        [Kind::Here, Kind::Came].into_iter().chain(topics).find(|kind| kind.number() == number)
    }
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Frame<'a> {
    pub kind: Kind,
    pub from: Uuid,
    pub body: &'a [u8],
}

pub(super) fn pack(kind: Kind, from: Uuid, body: &[u8]) -> Vec<u8> {
    debug_assert!(body.len() <= MOST - HEAD, "{} bytes do not fit", body.len());
    [&[VERSION, kind.number()], &from.as_bytes()[..], body].concat()
}

pub(super) fn unpack(bytes: &[u8]) -> Option<Frame<'_>> {
    let ([version, kind], rest) = bytes.split_first_chunk()?;
    let (from, body) = rest.split_first_chunk()?;
    let kind = Kind::of(*kind)?;
    (*version == VERSION && bytes.len() <= MOST).then_some(Frame { kind, from: Uuid::from_bytes(*from), body })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn comes_back_as_it_went(kind in 0u8..5, from: u128, body: Vec<u8>) {
            let (kind, from) = (Kind::of(kind).unwrap(), Uuid::from_u128(from));
            let packed = pack(kind, from, &body);
            prop_assert_eq!(unpack(&packed), Some(Frame { kind, from, body: &body }));
        }

        #[test]
        fn garbage_is_refused_or_read_whole(bytes: Vec<u8>) {
            if let Some(frame) = unpack(&bytes) {
                prop_assert_eq!(pack(frame.kind, frame.from, frame.body), bytes);
            }
        }
    }

    #[test]
    fn another_version_kind_or_length_is_none() {
        let good = pack(Kind::Here, Uuid::nil(), b"");
        assert!(unpack(&good).is_some());
        for (place, value) in [(0, 0), (0, 2), (1, 5), (1, 255)] {
            let mut bad = good.clone();
            bad[place] = value;
            assert_eq!(unpack(&bad), None);
        }
        assert_eq!(unpack(&good[..17]), None);
        assert_eq!(unpack(&[&good[..], &[0; MOST]].concat()), None);
    }
}
