//! Chance that can be had again: numbers from a seed.

use std::time::SystemTime;

/// A small generator of numbers (SplitMix64). The same seed gives the same
/// numbers on every machine.
#[derive(Debug, Clone)]
pub struct Chance(u64);

impl Chance {
    /// The seed of this run: from the environment where a run is to be had again,
    /// else from the clock. It is printed, as what sets it in the environment.
    #[must_use]
    pub fn seed_of_this_run() -> u64 {
        let given = std::env::var("WEBHOOK_TESTS_SEED").ok().and_then(|seed| seed.parse().ok());
        let now = SystemTime::UNIX_EPOCH.elapsed().map_or(0, |time| time.as_nanos() as u64);
        let seed = given.unwrap_or(now);
        eprintln!("WEBHOOK_TESTS_SEED={seed}");
        seed
    }

    /// From this seed.
    #[must_use]
    pub const fn from_seed(seed: u64) -> Self {
        Self(seed)
    }

    /// Any number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below this one; 0 for 0.
    pub fn below(&mut self, end: usize) -> usize {
        let end = end.max(1) as u64;
        (self.number() % end) as usize
    }

    /// One of these.
    ///
    /// # Panics
    ///
    /// When there are none.
    pub fn one_of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }

    /// These, in any order.
    pub fn shuffle<T>(&mut self, all: &mut [T]) {
        for end in (1..all.len()).rev() {
            all.swap(end, self.below(end + 1));
        }
    }

    /// So many bytes.
    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.number() as u8).collect()
    }

    /// The same bytes with one to four changes: flipped, lost, doubled, replaced
    /// by others, or exchanged with those of another place.
    #[must_use]
    pub fn mutated(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut bytes = bytes.to_vec();
        for _ in 0..=self.below(3) {
            let from = self.below(bytes.len());
            let to = (from + self.below(8)).min(bytes.len());
            match self.below(6) {
                0 => bytes.truncate(to),
                1 => drop(bytes.drain(from..to)),
                2 => {
                    let part = bytes[from..to].to_vec();
                    bytes.splice(from..from, part);
                }
                3 => {
                    let (place, count) = (self.below(bytes.len()), self.below(8));
                    let part = self.bytes(count);
                    bytes.splice(place..place, part);
                }
                4 => {
                    let other = self.below(bytes.len());
                    if !bytes.is_empty() {
                        bytes.swap(from, other);
                    }
                }
                _ => {
                    let bit = 1_u8 << self.below(8);
                    if let Some(byte) = bytes.get_mut(from) {
                        *byte ^= bit;
                    }
                }
            }
        }
        bytes
    }
}
