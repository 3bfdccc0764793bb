//! What nodes tell each other of presence and typing. Invariant: what is not exactly such a message is none.

use crate::platform::nodes::MOST_BODY;
use uuid::Uuid;

/// Kind and organization.
const HEAD: usize = 17;
/// Ids in one message.
pub const MOST_IDS: usize = (MOST_BODY - HEAD) / 16;

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
    pub organization: Uuid,
    pub ids: Vec<Uuid>,
}

/// A message; `ids` are `MOST_IDS` at most.
pub fn write(kind: Kind, organization: Uuid, ids: &[Uuid]) -> Vec<u8> {
    let mut body = Vec::with_capacity(HEAD + ids.len() * 16);
    body.push(kind as u8);
    body.extend(organization.as_bytes());
    body.extend(ids.iter().flat_map(|id| *id.as_bytes()));
    body
}

pub fn read(body: &[u8]) -> Option<Told> {
    let (kind, rest) = body.split_first()?;
    let (ids, rest) = rest.as_chunks();
    let (organization, ids) = ids.split_first()?;
    Some(Told {
        kind: *KINDS.get(usize::from(*kind)).filter(|_| rest.is_empty())?,
        organization: Uuid::from_bytes(*organization),
        ids: ids.iter().copied().map(Uuid::from_bytes).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn comes_back_as_it_went(kind in 0..KINDS.len(), organization: u128, ids: Vec<u128>) {
            let ids: Vec<Uuid> = ids.into_iter().map(Uuid::from_u128).collect();
            let told = Told { kind: KINDS[kind], organization: Uuid::from_u128(organization), ids };
            prop_assert_eq!(read(&write(told.kind, told.organization, &told.ids)), Some(told));
        }

        #[test]
        fn garbage_is_refused_or_read_whole(body: Vec<u8>) {
            if let Some(told) = read(&body) {
                prop_assert_eq!(write(told.kind, told.organization, &told.ids), body);
            }
        }
    }

    #[test]
    fn a_message_is_full_of_whole_ids() {
        assert_eq!(write(Kind::Here, Uuid::nil(), &[Uuid::nil(); MOST_IDS]).len(), HEAD + 16 * 366);
    }
}
