//! Owns the records of the memory store, their order, and who goes when there is no room.

use std::num::NonZeroUsize;
use std::time::Duration;

use hashbrown::HashTable;

use crate::dedup::Terms;

/// How many expired records a claim drops at most: more than one, so that they grow fewer.
const EXPIRED_PER_CLAIM: usize = 2;

/// The records, in the order of their last claim: a list whose links are places in one block of
/// memory, beside an index by fingerprint. So the oldest records lie side by side, and a claim in a
/// full table meets few cold cache lines: with 250 000 records, they are what it costs.
pub(super) struct Table {
    capacity: usize,
    /// Places of records, found by the first word of their fingerprint.
    index: HashTable<Place>,
    slots: Vec<Slot>,
    /// Places without a record.
    vacant: Vec<Place>,
    oldest: Place,
    newest: Place,
    evictions: u64,
    /// The highest epoch of a record that was evicted though a holder of a claim on it may run
    /// still. New records begin above it, so that no claim of theirs is taken for
    /// that one. It stays 0 unless claims lapse, or are forgotten, in a full table.
    stray_epoch: u32,
}

type Place = u32;

/// Beyond the ends of the list.
const NOWHERE: Place = Place::MAX;

struct Slot {
    key: Fingerprint,
    record: Record,
    older: Place,
    newer: Place,
}

const _: () = assert!(size_of::<Slot>() == 48);

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
        Self {
            capacity: capacity.get().min(NOWHERE as usize),
            index: HashTable::new(),
            slots: Vec::new(),
            vacant: Vec::new(),
            oldest: NOWHERE,
            newest: NOWHERE,
            evictions: 0,
            stray_epoch: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len() - self.vacant.len()
    }

    pub(super) fn evictions(&self) -> u64 {
        self.evictions
    }

    pub(super) fn claim(&mut self, key: Fingerprint, now: Nanos, terms: Terms) -> Claimed {
        self.drop_expired(now);
        let known = self.find(&key);
        let live = known.map(|at| &self.slot(at).record).filter(|record| !record.is_expired(now));
        let (epoch, has_strays) = match live {
            None => (self.stray_epoch.saturating_add(1), false),
            Some(record) => match record.state {
                State::Done => return Claimed::Done,
                State::Claimed if !record.is_lapsed(now) => return Claimed::InFlight,
                State::Claimed => (record.epoch.saturating_add(1), true),
                State::Released => (record.epoch.saturating_add(1), record.has_strays),
            },
        };
        let record = Record::claimed(epoch, has_strays, now, terms);
        let evicted_before = self.evictions;
        let at = match known {
            Some(at) => {
                self.slots[at as usize].record = record;
                at
            }
            None => match self.insert(key, record, now) {
                Some(at) => at,
                None => return Claimed::Full,
            },
        };
        self.make_newest(at);
        Claimed::New { epoch, evicts: self.evictions > evicted_before }
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
        let Some(at) = self.find(key) else { return false };
        let record = &mut self.slots[at as usize].record;
        if u64::from(record.epoch) != epoch || record.is_expired(now) {
            return false;
        }
        if record.state == State::Claimed {
            record.change(state, now, terms);
        }
        record.state == state
    }

    pub(super) fn forget(&mut self, key: &Fingerprint) {
        if let Some(at) = self.find(key) {
            let record = &mut self.slots[at as usize].record;
            record.has_strays |= record.state == State::Claimed;
            record.state = State::Released;
        }
    }

    fn find(&self, key: &Fingerprint) -> Option<Place> {
        self.index.find(key.0[0], |at| self.slot(*at).key == *key).copied()
    }

    fn slot(&self, at: Place) -> &Slot {
        &self.slots[at as usize]
    }

    /// Puts a record where there is room: in a vacant or a further place, or in that of the oldest
    /// which is not in flight; nowhere when all are.
    fn insert(&mut self, key: Fingerprint, record: Record, now: Nanos) -> Option<Place> {
        let at = if self.len() == self.capacity {
            let at = self.oldest_not_in_flight(now)?;
            self.evictions += u64::from(!self.slot(at).record.is_expired(now));
            self.remove(at);
            at
        } else if let Some(at) = self.vacant.pop() {
            at
        } else {
            // Below the capacity, and so below NOWHERE.
            self.slots.len() as Place
        };
        let slot = Slot { key, record, older: NOWHERE, newer: NOWHERE };
        match self.slots.get_mut(at as usize) {
            Some(place) => *place = slot,
            None => self.slots.push(slot),
        }
        let slots = &self.slots;
        self.index.insert_unique(key.0[0], at, |at| slots[*at as usize].key.0[0]);
        Some(at)
    }

    /// The oldest records are the first to expire, if terms do not change: a look at the end will
    /// do.
    fn drop_expired(&mut self, now: Nanos) {
        for _ in 0..EXPIRED_PER_CLAIM {
            let at = self.oldest;
            if at == NOWHERE || !self.slot(at).record.is_expired(now) {
                return;
            }
            self.remove(at);
            self.vacant.push(at);
        }
    }

    /// Those in the way become the newest, so that the next eviction does not meet them again. One
    /// pass over the table is the bound.
    fn oldest_not_in_flight(&mut self, now: Nanos) -> Option<Place> {
        for _ in 0..self.len() {
            let at = self.oldest;
            let record = &self.slot(at).record;
            if !record.is_in_flight(now) {
                if record.state == State::Claimed || record.has_strays {
                    self.stray_epoch = self.stray_epoch.max(record.epoch);
                }
                return Some(at);
            }
            self.make_newest(at);
        }
        None
    }

    /// Takes the record at this place out of the index and out of the list.
    fn remove(&mut self, at: Place) {
        let hash = self.slot(at).key.0[0];
        if let Ok(entry) = self.index.find_entry(hash, |other| *other == at) {
            entry.remove();
        }
        self.unlink(at);
    }

    /// Moves a place to the end of the list, or appends one that is not in it.
    fn make_newest(&mut self, at: Place) {
        self.unlink(at);
        let newest = std::mem::replace(&mut self.newest, at);
        match newest {
            NOWHERE => self.oldest = at,
            newest => self.slots[newest as usize].newer = at,
        }
        self.slots[at as usize].older = newest;
    }

    /// Takes a place out of the list; one that is not in it stays so.
    fn unlink(&mut self, at: Place) {
        let slot = &mut self.slots[at as usize];
        let older = std::mem::replace(&mut slot.older, NOWHERE);
        let newer = std::mem::replace(&mut slot.newer, NOWHERE);
        match older {
            NOWHERE if self.oldest == at => self.oldest = newer,
            NOWHERE => {}
            older => self.slots[older as usize].newer = newer,
        }
        match newer {
            NOWHERE if self.newest == at => self.newest = older,
            NOWHERE => {}
            newer => self.slots[newer as usize].older = older,
        }
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

struct Record {
    lease_until: Nanos,
    expires_at: Nanos,
    epoch: u32,
    state: State,
    /// Was a claim of this record taken from its holder, forgotten or after its lease? It may run
    /// still, however many claims have followed.
    has_strays: bool,
}

impl Record {
    fn claimed(epoch: u32, has_strays: bool, now: Nanos, terms: Terms) -> Self {
        let state = State::Claimed;
        let mut record = Self { lease_until: 0, expires_at: 0, epoch, state, has_strays };
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
