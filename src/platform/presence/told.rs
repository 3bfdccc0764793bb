//! What nodes tell each other of presence and typing. Invariant: what is not exactly such a message is none.
//!
//! A message is its kind, the organization, and ids of it. One about several organizations has `MANY` in its kind, and
//! before each of them how many ids follow, its own among them; nodes of the version before know no such kind, and ignore it.

use crate::platform::nodes::MOST_BODY;
use uuid::Uuid;

const ID: usize = 16;
/// What an organization takes of a message beside its ids: their number, and its own.
const HEAD: usize = 2 + ID;
/// A message about one id.
const SHORTEST: usize = 1 + HEAD + ID;
const MANY: u8 = 0x80;

/// A member of an organization, or a conversation of one.
pub type Of = (Uuid, Uuid);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// These members are with the node that says so.
    Here,
    /// These are with it no more.
    Gone,
    /// What these show has changed: it is in the database.
    Look,
    /// In this conversation this member types.
    Types,
    /// In this conversation this member types no more.
    Stops,
}

const KINDS: [Kind; 5] = [Kind::Here, Kind::Gone, Kind::Look, Kind::Types, Kind::Stops];

#[derive(Debug, PartialEq)]
pub struct Told {
    pub kind: Kind,
    pub of: Vec<Of>,
}

/// All of them, in order, divided into as many as one message takes each.
pub fn portions(who: impl IntoIterator<Item = Of>) -> Vec<Vec<Of>> {
    let mut who: Vec<Of> = who.into_iter().collect();
    who.sort_unstable();
    let mut length = SHORTEST;
    let portions = who.chunk_by(|(before, _), (organization, _)| {
        length += if before == organization { ID } else { HEAD + ID };
        let fits = length <= MOST_BODY;
        if !fits {
            length = SHORTEST;
        }
        fits
    });
    portions.map(<[Of]>::to_vec).collect()
}

/// A message about a portion at most.
pub fn write(kind: Kind, of: &[Of]) -> Vec<u8> {
    let organizations: Vec<&[Of]> = of.chunk_by(|(before, _), (organization, _)| before == organization).collect();
    let many = organizations.len() > 1;
    let mut body = vec![if many { kind as u8 | MANY } else { kind as u8 }];
    for of in organizations {
        if many {
            body.extend((1 + of.len() as u16).to_be_bytes());
        }
        body.extend(of[0].0.as_bytes());
        body.extend(of.iter().flat_map(|(_, id)| *id.as_bytes()));
    }
    body
}

pub fn read(body: &[u8]) -> Option<Told> {
    let (first, mut rest) = body.split_first().filter(|_| body.len() <= MOST_BODY)?;
    let (kind, many) = (*KINDS.get(usize::from(first & !MANY))?, first & MANY != 0);
    let mut of = Vec::new();
    while !rest.is_empty() {
        let (ids, more) = if many {
            let (count, ids) = rest.split_first_chunk()?;
            ids.split_at_checked(ID * usize::from(u16::from_be_bytes(*count)))?
        } else {
            rest.split_at(rest.len())
        };
        rest = more;
        let (ids, _) = ids.as_chunks::<ID>();
        let (organization, ids) = ids.split_first()?;
        of.extend(ids.iter().map(|id| (Uuid::from_bytes(*organization), Uuid::from_bytes(*id))));
    }
    // Nothing beside it, nothing twice, and no other way to say the same.
    (write(kind, &of) == body).then_some(Told { kind, of })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ADA: Of = (Uuid::from_u128(1), Uuid::from_u128(2));
    const BOB: Of = (Uuid::from_u128(3), Uuid::from_u128(4));

    fn uuid(number: u128) -> Uuid {
        Uuid::from_u128(number)
    }

    /// Members of few organizations, in any order.
    fn some() -> impl Strategy<Value = Vec<Of>> {
        let of = (0u128..3, any::<u128>()).prop_map(|(organization, id)| (uuid(organization), uuid(id)));
        prop::collection::vec(of, 0..50)
    }

    proptest! {
        #[test]
        fn comes_back_as_it_went(kind in 0..KINDS.len(), of in some()) {
            let told = Told { kind: KINDS[kind], of };
            prop_assert_eq!(read(&write(told.kind, &told.of)), Some(told));
        }

        #[test]
        fn garbage_is_refused_or_read_whole(body: Vec<u8>) {
            if let Some(told) = read(&body) {
                prop_assert_eq!(write(told.kind, &told.of), body);
            }
        }

        #[test]
        fn what_is_damaged_is_refused_or_read_whole(of in some(), place in any::<prop::sample::Index>(), value: u8) {
            let mut body = write(Kind::Here, &of);
            let place = place.index(body.len());
            body[place] = value;
            for body in [&body[..], &body[..place]] {
                if let Some(told) = read(body) {
                    prop_assert_eq!(write(told.kind, &told.of), body);
                }
            }
        }

        #[test]
        fn all_are_told_in_messages_that_fit(sizes in prop::collection::vec(1u128..500, 0..10)) {
            let organizations = (0u128..).zip(sizes);
            let all: Vec<Of> =
                organizations.flat_map(|(number, size)| (0..size).map(move |id| (uuid(number), uuid(id)))).collect();
            let bodies: Vec<_> = portions(all.clone()).iter().map(|some| write(Kind::Here, some)).collect();
            prop_assert!(bodies.iter().all(|body| body.len() <= MOST_BODY));
            let told: Vec<Of> = bodies.iter().filter_map(|body| read(body)).flat_map(|told| told.of).collect();
            prop_assert_eq!(told, all);
        }
    }

    #[test]
    fn a_message_is_full_of_members_of_one_organization_or_of_many() {
        fn sizes(of: impl Fn(u128) -> Of) -> Vec<usize> {
            portions((0..1000).map(of)).iter().map(Vec::len).collect()
        }
        assert_eq!(sizes(|number| (Uuid::nil(), uuid(number))), [366, 366, 268]);
        assert_eq!(sizes(|number| (uuid(number), Uuid::nil())), [172, 172, 172, 172, 172, 140]);
        assert!(portions([]).is_empty());
        assert!(read(&write(Kind::Here, &[ADA; 366])).is_some());
        assert_eq!(read(&write(Kind::Here, &[ADA; 367])), None, "longer than any message");
    }

    #[test]
    fn the_version_before_understands_what_is_about_one_organization_and_ignores_the_rest() {
        let before = [&[1u8][..], ADA.0.as_bytes(), ADA.1.as_bytes(), BOB.1.as_bytes()].concat();
        assert_eq!(write(Kind::Gone, &[ADA, (ADA.0, BOB.1)]), before);
        // It knows a kind by the whole of the first byte.
        assert_eq!(KINDS.get(usize::from(write(Kind::Gone, &[ADA, BOB])[0])), None);
    }

    #[test]
    fn what_is_cut_or_counts_wrong_is_refused() {
        let good = write(Kind::Here, &[ADA, BOB]);
        assert!(good.len() == 69 && read(&good).is_some());
        for length in 0..good.len() {
            assert_eq!(read(&good[..length]), None, "{length} bytes");
        }
        assert_eq!(read(&[&good[..], &[0]].concat()), None, "something behind");
        // Another kind, no `MANY`, and numbers of ids that are none, too few and too many.
        for (place, value) in
            [(0, 0x85), (0, 0xff), (0, 0), (2, 0), (2, 1), (2, 3), (2, 255), (1, 255), (36, 1), (36, 3)]
        {
            let mut bad = good.clone();
            bad[place] = value;
            assert_eq!(read(&bad), None, "{value} at {place}");
        }
        let mut twice = good;
        twice.copy_within(3..19, 37);
        assert_eq!(read(&twice), None, "the same organization twice");
    }
}
