//! Chance that comes out the same every time. Invariant: from one seed follow the same throws, so that the demo looks
//! alike wherever it is shown and its dates alone move along.

use crate::kit::{id::Id, scalars::DateTime};
use uuid::{Builder, Uuid};

/// SplitMix64 (Steele, Lea, Flood 2014): small, and good enough for names and numbers.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Dice(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from `least` to `most`, both included.
    pub fn between(&mut self, least: i64, most: i64) -> i64 {
        let choices = most.abs_diff(least).saturating_add(1);
        least.saturating_add_unsigned(self.next() % choices)
    }

    /// True in so many of a hundred cases.
    pub fn chance(&mut self, percent: i64) -> bool {
        self.between(1, 100) <= percent
    }

    /// One of several, of which there is at least one.
    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        let index = self.next() % from.len() as u64;
        &from[index as usize]
    }

    /// `Some` in so many of a hundred cases.
    pub fn maybe<T>(&mut self, percent: i64, value: impl FnOnce(&mut Self) -> T) -> Option<T> {
        self.chance(percent).then(|| value(self))
    }

    /// The id of something made at that time: a UUIDv7, as the server makes them.
    pub fn uuid(&mut self, at: DateTime) -> Uuid {
        let (high, low) = (self.next().to_be_bytes(), self.next().to_be_bytes());
        let mut random = [0; 10];
        random.iter_mut().zip(high.into_iter().chain(low)).for_each(|(to, from)| *to = from);
        let millis = u64::try_from(at.0.timestamp_millis()).unwrap_or_default();
        Builder::from_unix_timestamp_millis(millis, &random).into_uuid()
    }

    pub fn id<T>(&mut self, at: DateTime) -> Id<T> {
        self.uuid(at).into()
    }
}
