//! Chance that can be had again: what is random in a test follows from a seed that is printed.

use std::sync::LazyLock;
use std::time::{SystemTime, UNIX_EPOCH};

pub struct Dice(u64);

/// `RUNBOOK_TEST_SEED`, or else the time.
pub fn seed() -> u64 {
    static SEED: LazyLock<u64> = LazyLock::new(|| {
        let given = std::env::var("RUNBOOK_TEST_SEED").ok();
        given.and_then(|text| text.parse().ok()).unwrap_or_else(|| {
            SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(1, |now| now.as_secs())
        })
    });
    *SEED
}

impl Dice {
    pub fn new() -> Self {
        Self(seed().wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        // The low bits are not as good.
        self.0 >> 16
    }

    pub fn one_of<T: Copy>(&mut self, among: &[T]) -> T {
        let at = self.next() % among.len() as u64;
        among[usize::try_from(at).unwrap_or(0)]
    }

    /// True in so many of a hundred cases.
    pub fn percent(&mut self, of_a_hundred: u64) -> bool {
        self.next() % 100 < of_a_hundred
    }
}
