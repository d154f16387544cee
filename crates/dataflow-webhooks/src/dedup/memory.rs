//! Owns the store of a single process: a bounded table, first in, first out.

use std::collections::hash_map::RandomState;
use std::error::Error;
use std::fmt;
use std::hash::{BuildHasher as _, BuildHasherDefault, Hash, Hasher};
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use lru::LruCache;

use super::{Claim, ClaimOutcome, DedupKey, DedupStore, Held, StoreFuture, Terms};

/// 10 000 events an hour ("Rate Limits" in the platform's documentation) for 24 h, rounded up.
const DEFAULT_CAPACITY: NonZeroUsize = NonZeroUsize::new(250_000).expect("it is not 0");

/// How many expired records a claim drops at most: more than one, so that they grow fewer.
const EXPIRED_PER_CLAIM: usize = 2;

/// A store in the memory of this process.
///
/// Clones share their records. What it holds is lost with the process: after a restart, an event
/// that was done runs again if the platform delivers it again. Several processes behind one URL
/// need a store that they share.
///
/// **Size.** At most [`capacity`](Self::capacity) records, 250 000 unless told, about 100 bytes
/// each however long the ids are: keys are kept as 128-bit hashes under secret random keys. Memory
/// is taken as records come.
///
/// **When it is full**, the oldest record goes to make room, counted by
/// [`evictions`](Self::evictions): an evicted event would run again. The age is that of a record's
/// last claim; a duplicate does not make it younger. A claim in flight is never evicted: when
/// nothing else is left, the claim fails with [`StoreFull`]. A claim whose lease has lapsed may go,
/// and its epochs with it; give the store the room to keep claims for as long as handlers run.
///
/// **Time** is monotonic ([`Instant`]): changes of the system's clock do not matter.
///
/// ```
/// use std::num::NonZeroUsize;
/// use dataflow_webhooks::dedup::{ClaimOutcome, DedupKey, DedupStore as _, Held, MemoryStore, Terms};
///
/// # pollster::block_on(async {
/// let store = MemoryStore::with_capacity(NonZeroUsize::new(10_000).unwrap());
/// let (key, terms) = (DedupKey::from_event_id("evt_1a2b3c4d5e6f"), Terms::default());
///
/// let ClaimOutcome::New(claim) = store.claim(&key, terms).await? else { panic!() };
/// assert_eq!(store.claim(&key, terms).await?, ClaimOutcome::InFlight);
/// assert_eq!(store.commit(&claim, terms).await?, Held::Yes);
/// assert_eq!(store.claim(&key, terms).await?, ClaimOutcome::Done);
/// # Ok::<_, dataflow_webhooks::dedup::BoxError>(())
/// # }).unwrap();
/// ```
#[derive(Clone)]
pub struct MemoryStore {
    shared: Arc<Shared>,
}

struct Shared {
    clock: Clock,
    hashers: [RandomState; 2],
    capacity: NonZeroUsize,
    evictions: AtomicU64,
    table: Mutex<Table>,
}

/// The records, the one claimed last in front. Of `lru` only the methods that do not reorder are
/// used, except where a record is claimed anew or stands in the way of an eviction.
type Table = LruCache<Fingerprint, Record, BuildHasherDefault<TakeFirstWord>>;

impl MemoryStore {
    /// A store for 250 000 records: what the platform sends in a day at most.
    #[must_use]
    pub fn new() -> Self {
        Self::with_capacity(DEFAULT_CAPACITY)
    }

    /// A store for this many records.
    ///
    /// It should hold the events of a whole retention, and must hold more than are ever in flight
    /// at once.
    #[must_use]
    pub fn with_capacity(capacity: NonZeroUsize) -> Self {
        Self::build(capacity, Clock::Monotonic(Instant::now()))
    }

    /// An empty store of the same capacity on another clock, for tests.
    ///
    /// The clock tells the time since a moment that does not change, and should not run backwards.
    /// The records of `self` and its clones are not carried over.
    #[must_use]
    pub fn with_clock(self, clock: impl Fn() -> Duration + Send + Sync + 'static) -> Self {
        Self::build(self.shared.capacity, Clock::Given(Box::new(clock)))
    }

    fn build(capacity: NonZeroUsize, clock: Clock) -> Self {
        Self {
            shared: Arc::new(Shared {
                clock,
                hashers: [RandomState::new(), RandomState::new()],
                capacity,
                evictions: AtomicU64::new(0),
                // A bounded LruCache would drop claims in flight: the bound is kept here.
                table: Mutex::new(LruCache::unbounded_with_hasher(BuildHasherDefault::default())),
            }),
        }
    }

    /// How many records are held. Those past their retention count until they are dropped.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shared.table().len()
    }

    /// Whether no record is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many records it can hold.
    #[must_use]
    pub fn capacity(&self) -> NonZeroUsize {
        self.shared.capacity
    }

    /// How many records were dropped before their retention was over, to make room for others.
    ///
    /// If this grows, duplicates may run: raise the capacity or shorten the retention.
    #[must_use]
    pub fn evictions(&self) -> u64 {
        self.shared.evictions.load(Ordering::Relaxed)
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore")
            .field("len", &self.len())
            .field("capacity", &self.capacity())
            .field("evictions", &self.evictions())
            .finish_non_exhaustive()
    }
}

// The steps run inside the futures, not before: a future that is never polled does nothing. They
// do not wait, so one that is dropped has done all of its step or none.
impl DedupStore for MemoryStore {
    fn claim<'a>(&'a self, key: &'a DedupKey, terms: Terms) -> StoreFuture<'a, ClaimOutcome> {
        Box::pin(async move { Ok(self.shared.claim(key, terms)?) })
    }

    fn renew<'a>(&'a self, claim: &'a Claim, terms: Terms) -> StoreFuture<'a, Held> {
        Box::pin(async move {
            Ok(self.shared.as_holder(claim, |record, now| {
                let held = record.state == State::Claimed;
                if held {
                    record.change(State::Claimed, now, terms);
                }
                held
            }))
        })
    }

    fn commit<'a>(&'a self, claim: &'a Claim, terms: Terms) -> StoreFuture<'a, Held> {
        Box::pin(async move { Ok(self.shared.settle(claim, State::Done, terms)) })
    }

    fn release<'a>(&'a self, claim: &'a Claim, terms: Terms) -> StoreFuture<'a, Held> {
        Box::pin(async move { Ok(self.shared.settle(claim, State::Released, terms)) })
    }

    fn forget<'a>(&'a self, key: &'a DedupKey) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            let fingerprint = self.shared.fingerprint(key);
            if let Some(record) = self.shared.table().peek_mut(&fingerprint) {
                record.state = State::Released;
            }
            Ok(())
        })
    }
}

impl Shared {
    fn claim(&self, key: &DedupKey, terms: Terms) -> Result<ClaimOutcome, StoreFull> {
        let now = self.clock.now();
        let fingerprint = self.fingerprint(key);
        let mut table = self.table();

        let epoch = match table.peek(&fingerprint).filter(|record| !record.is_expired(now)) {
            None => 1,
            Some(record) => match record.state {
                State::Done => return Ok(ClaimOutcome::Done),
                State::Claimed if !record.is_lapsed(now) => return Ok(ClaimOutcome::InFlight),
                State::Claimed | State::Released => record.epoch.saturating_add(1),
            },
        };
        drop_expired(&mut table, now);
        if table.len() >= self.capacity.get() && !table.contains(&fingerprint) {
            self.make_room(&mut table, now)?;
        }
        table.put(fingerprint, Record::claimed(epoch, now, terms));
        drop(table);
        Ok(ClaimOutcome::New(Claim::new(key.clone(), u64::from(epoch))))
    }

    fn settle(&self, claim: &Claim, end: State, terms: Terms) -> Held {
        self.as_holder(claim, |record, now| {
            if record.state == State::Claimed {
                record.change(end, now, terms);
            }
            record.state == end
        })
    }

    /// One step on the record that this claim holds or held last.
    fn as_holder(&self, claim: &Claim, step: impl FnOnce(&mut Record, Nanos) -> bool) -> Held {
        let now = self.clock.now();
        let fingerprint = self.fingerprint(claim.key());
        let mut table = self.table();
        match table.peek_mut(&fingerprint) {
            Some(record) if u64::from(record.epoch) == claim.epoch() && !record.is_expired(now) => {
                Held::from(step(record, now))
            }
            _ => Held::No,
        }
    }

    /// Drops the oldest record that is not a claim in flight.
    ///
    /// Those in the way go to the front, so the next eviction does not meet them again, and one
    /// pass over the table is the bound.
    fn make_room(&self, table: &mut Table, now: Nanos) -> Result<(), StoreFull> {
        for _ in 0..table.len() {
            let Some((&oldest, record)) = table.peek_lru() else {
                break;
            };
            if record.is_in_flight(now) {
                table.promote(&oldest);
                continue;
            }
            if !record.is_expired(now) {
                self.evictions.fetch_add(1, Ordering::Relaxed);
            }
            table.pop_lru();
            return Ok(());
        }
        Err(StoreFull { capacity: self.capacity })
    }

    fn fingerprint(&self, key: &DedupKey) -> Fingerprint {
        Fingerprint(self.hashers.each_ref().map(|hasher| hasher.hash_one(key)))
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // Nothing panics half-way through a change, so the table of a poisoned lock is whole.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The oldest records are the first to expire, if terms do not change: a look at the end will do.
fn drop_expired(table: &mut Table, now: Nanos) {
    for _ in 0..EXPIRED_PER_CLAIM {
        match table.peek_lru() {
            Some((_, record)) if record.is_expired(now) => table.pop_lru(),
            _ => break,
        };
    }
}

/// Nanoseconds on the store's clock: 584 years of them, in half the space of a [`Duration`].
type Nanos = u64;

fn nanos(time: Duration) -> Nanos {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

enum Clock {
    Monotonic(Instant),
    Given(Box<dyn Fn() -> Duration + Send + Sync>),
}

impl Clock {
    fn now(&self) -> Nanos {
        nanos(match self {
            Self::Monotonic(origin) => origin.elapsed(),
            Self::Given(clock) => clock(),
        })
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
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
}

const _: () = assert!(size_of::<Record>() + size_of::<Fingerprint>() <= 40);

impl Record {
    fn claimed(epoch: u32, now: Nanos, terms: Terms) -> Self {
        let mut record = Self { lease_until: 0, expires_at: 0, epoch, state: State::Claimed };
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

/// A key's two hashes. A sender who does not know the random keys of the hashers cannot aim for a
/// collision, and by chance 250 000 ids have one with a probability of 1 in 10²⁸.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Fingerprint([u64; 2]);

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

/// A [`MemoryStore`] has no room for another claim, because every record is a claim in flight.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreFull {
    capacity: NonZeroUsize,
}

impl StoreFull {
    /// How many records the store can hold.
    #[must_use]
    pub const fn capacity(&self) -> NonZeroUsize {
        self.capacity
    }
}

impl fmt::Display for StoreFull {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let capacity = self.capacity;
        write!(
            f,
            "the in-memory dedup store is full: all {capacity} records are claims in flight; \
             raise the capacity above {capacity}"
        )
    }
}

impl Error for StoreFull {}
