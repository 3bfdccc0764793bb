//! How many messages a socket may send: a steady rate with a burst (the generic cell rate algorithm, which
//! needs one instant and no timer). Invariant: over any time `t` at most `burst + t × rate` messages pass.

use std::time::Duration;
use tokio::time::Instant;

#[derive(Debug)]
pub(super) struct Budget {
    /// What one message costs.
    price: Duration,
    /// How far ahead of the clock a socket may be.
    credit: Duration,
    /// When everything taken so far is paid for.
    paid_at: Instant,
}

impl Budget {
    /// `burst` messages at once, then `per_second`; both count at least 1.
    pub fn new(per_second: u32, burst: u32, now: Instant) -> Self {
        let price = Duration::from_secs(1) / per_second.max(1);
        Budget { price, credit: price.saturating_mul(burst.max(1) - 1), paid_at: now }
    }

    /// Takes one message; false when there is no budget for it.
    pub fn take(&mut self, now: Instant) -> bool {
        let from = self.paid_at.max(now);
        if from.duration_since(now) > self.credit {
            return false;
        }
        self.paid_at = from + self.price;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_then_the_rate() {
        let start = Instant::now();
        let mut budget = Budget::new(50, 1000, start);
        assert_eq!((0..2000).filter(|_| budget.take(start)).count(), 1000);
        let later = start + Duration::from_secs(2);
        assert_eq!((0..2000).filter(|_| budget.take(later)).count(), 100);
        let much_later = start + Duration::from_secs(3600);
        assert_eq!((0..2000).filter(|_| budget.take(much_later)).count(), 1000);
    }

    #[test]
    fn nonsense_settings_let_one_pass() {
        let now = Instant::now();
        let mut budget = Budget::new(0, 0, now);
        assert!(budget.take(now));
        assert!(!budget.take(now));
        assert!(budget.take(now + Duration::from_secs(1)));
    }
}
