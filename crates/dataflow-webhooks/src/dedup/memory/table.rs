//! Owns the records of the memory store, their order, and who goes when there is no room.

use std::hash::{BuildHasherDefault, Hash, Hasher};
use std::num::NonZeroUsize;
use std::time::Duration;

use lru::LruCache;

use crate::dedup::Terms;

/// How many expired records a claim drops at most: more than one, so that they grow fewer.
const EXPIRED_PER_CLAIM: usize = 2;

/// The records, the one claimed last in front.
pub(super) struct Table {
    /// Only those of its methods are used that do not reorder, except where a record is claimed
    /// anew or stands in the way of an eviction: so it is first in, first out.
    records: Records,
    evictions: u64,
    /// The highest epoch of a claim whose record was evicted though its holder may
    /// run still. New records begin above it, so that no claim of theirs is taken for
    /// that one. It stays 0 unless claims lapse, or are forgotten, in a full table.
    stray_epoch: u32,
}

type Records = LruCache<Fingerprint, Record, BuildHasherDefault<TakeFirstWord>>;

/// What became of a claim.
pub(super) enum Claimed {
    /// `evicts` where another record went before its time to make room.
    New {
        epoch: u32,
        evicts: bool,
    },
    Done,
    InFlight,
    Full,
}

impl Table {
    pub(super) fn new(capacity: NonZeroUsize) -> Self {
        // Unlike `with_hasher`, this takes memory only as records come.
        let mut records = LruCache::unbounded_with_hasher(BuildHasherDefault::default());
        records.resize(capacity);
        Self { records, evictions: 0, stray_epoch: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    pub(super) fn evictions(&self) -> u64 {
        self.evictions
    }

    pub(super) fn claim(&mut self, key: Fingerprint, now: Nanos, terms: Terms) -> Claimed {
        let known = self.records.peek(&key);
        let needs_room = known.is_none();
        let epoch = match known.filter(|record| !record.is_expired(now)) {
            None => self.stray_epoch.saturating_add(1),
            Some(record) => match record.state {
                State::Done => return Claimed::Done,
                State::Claimed if !record.is_lapsed(now) => return Claimed::InFlight,
                State::Claimed | State::Released => record.epoch.saturating_add(1),
            },
        };
        self.drop_expired(now);
        let mut evicts = false;
        if needs_room && self.records.len() == self.records.cap().get() {
            match self.oldest_not_in_flight_to_the_end(now) {
                Some(is_early) => evicts = is_early,
                None => return Claimed::Full,
            }
            self.evictions += u64::from(evicts);
        }
        // In a full table, this replaces the record at the end.
        self.records.put(key, Record::claimed(epoch, now, terms));
        Claimed::New { epoch, evicts }
    }

    /// Brings the claim with this epoch into a state, if it holds; tells whether it is in that
    /// state.
    pub(super) fn change(
        &mut self,
        key: &Fingerprint,
        epoch: u64,
        state: State,
        now: Nanos,
        terms: Terms,
    ) -> bool {
        let Some(record) = self
            .records
            .peek_mut(key)
            .filter(|record| u64::from(record.epoch) == epoch && !record.is_expired(now))
        else {
            return false;
        };
        if record.state == State::Claimed {
            record.change(state, now, terms);
        }
        record.state == state
    }

    pub(super) fn forget(&mut self, key: &Fingerprint) {
        if let Some(record) = self.records.peek_mut(key) {
            record.is_forgotten |= record.state == State::Claimed;
            record.state = State::Released;
        }
    }

    /// The oldest records are the first to expire, if terms do not change: a look at the end will
    /// do.
    fn drop_expired(&mut self, now: Nanos) {
        for _ in 0..EXPIRED_PER_CLAIM {
            match self.records.peek_lru() {
                Some((_, record)) if record.is_expired(now) => self.records.pop_lru(),
                _ => return,
            };
        }
    }

    /// Tells whether the record that is then at the end is evicted before its time; `None` when
    /// all are claims in flight.
    ///
    /// Those in the way go to the front, so that the next eviction does not meet them again. One
    /// pass over the table is the bound.
    fn oldest_not_in_flight_to_the_end(&mut self, now: Nanos) -> Option<bool> {
        for _ in 0..self.records.len() {
            let (&oldest, record) = self.records.peek_lru()?;
            if !record.is_in_flight(now) {
                if record.state == State::Claimed || record.is_forgotten {
                    self.stray_epoch = self.stray_epoch.max(record.epoch);
                }
                return Some(!record.is_expired(now));
            }
            self.records.promote(&oldest);
        }
        None
    }
}

/// Nanoseconds on the store's clock: 584 years of them, in half the space of a [`Duration`].
pub(super) type Nanos = u64;

pub(super) fn nanos(time: Duration) -> Nanos {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Claimed,
    Released,
    Done,
}

/// 24 bytes. With the hash and two links it fills a 64-byte block of the allocator exactly.
struct Record {
    lease_until: Nanos,
    expires_at: Nanos,
    epoch: u32,
    state: State,
    /// Was the claim taken from its holder? It may run still.
    is_forgotten: bool,
}

const _: () = assert!(size_of::<Record>() + size_of::<Fingerprint>() == 40);

impl Record {
    fn claimed(epoch: u32, now: Nanos, terms: Terms) -> Self {
        let state = State::Claimed;
        let mut record = Self { lease_until: 0, expires_at: 0, epoch, state, is_forgotten: false };
        record.change(State::Claimed, now, terms);
        record
    }

    fn change(&mut self, state: State, now: Nanos, terms: Terms) {
        self.state = state;
        self.lease_until = now.saturating_add(nanos(terms.lease()));
        self.expires_at = now.saturating_add(nanos(terms.retention()));
    }

    fn is_expired(&self, now: Nanos) -> bool {
        self.expires_at <= now
    }

    fn is_lapsed(&self, now: Nanos) -> bool {
        self.lease_until <= now
    }

    fn is_in_flight(&self, now: Nanos) -> bool {
        self.state == State::Claimed && !self.is_lapsed(now) && !self.is_expired(now)
    }
}

/// A key's two hashes. A sender who does not know the store's random key cannot aim for a
/// collision, and by chance 250 000 ids have one with a probability of 1 in 10²⁸.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Fingerprint(pub(super) [u64; 2]);

impl Hash for Fingerprint {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.0[0]);
    }
}

/// Takes a fingerprint's first word as it is: it is a hash already.
#[derive(Default)]
struct TakeFirstWord(u64);

impl Hasher for TakeFirstWord {
    fn write(&mut self, bytes: &[u8]) {
        // Not called for fingerprints; correct for anything else.
        for &byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(byte);
        }
    }

    fn write_u64(&mut self, word: u64) {
        self.0 = word;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
