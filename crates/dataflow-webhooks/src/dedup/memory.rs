//! Owns the store of a single process: a bounded table, first in, first out.

mod table;

use std::collections::hash_map::RandomState;
use std::error::Error;
use std::fmt;
use std::hash::{BuildHasher as _, Hash as _, Hasher as _};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use self::table::{Claimed, Fingerprint, Nanos, State, Table, nanos};
use super::{Claim, ClaimOutcome, DedupKey, DedupStore, Held, StoreFuture, Terms};

/// 10 000 events an hour ("Rate Limits" in the platform's documentation) for 24 h, rounded up.
const DEFAULT_CAPACITY: NonZeroUsize = NonZeroUsize::new(250_000).expect("it is not 0");

/// A store in the memory of this process.
///
/// Clones share their records. What it holds is lost with the process: after a restart, an event
/// that was done runs again if the platform delivers it again. Several processes behind one URL
/// need a store that they share. Two endpoints of one process need a store each: in
/// one store, an id of the one would answer for the same id of the other.
///
/// **Size.** At most [`capacity`](Self::capacity) records, 250 000 unless told, about 60 bytes
/// each however long the ids are: keys are kept as 128-bit hashes under a secret random key. Memory
/// is taken as records come, in steps that double it, so that some capacities take up to 110 bytes
/// for each record; what it has taken it keeps, and it takes no more for however many pass through.
///
/// **When it is full**, the oldest record goes to make room, counted by
/// [`evictions`](Self::evictions): an evicted event would run again. The age is that of a record's
/// last claim; a duplicate does not make it younger. A claim in flight is never evicted: when
/// nothing else is left, the claim fails with [`StoreFull`]. A claim whose lease has lapsed may go;
/// its holder can then no longer commit, and later records begin above its epoch instead of at 1.
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
    hasher: RandomState,
    capacity: NonZeroUsize,
    table: Mutex<Table>,
    on_eviction: Option<Box<dyn Fn() + Send + Sync>>,
}

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
        Self::build(capacity, Clock::Monotonic(Instant::now()), None)
    }

    /// An empty store of the same capacity on another clock, for tests.
    ///
    /// The clock tells the time since a moment that does not change, and should not run backwards.
    /// The records of `self` and its clones are not carried over.
    #[must_use]
    pub fn with_clock(self, clock: impl Fn() -> Duration + Send + Sync + 'static) -> Self {
        Self::build(self.shared.capacity, Clock::Given(Box::new(clock)), None)
    }

    /// An empty store of the same capacity that says when it drops a record before
    /// its time. The store's lock is not held then.
    pub(crate) fn on_eviction(self, tell: impl Fn() + Send + Sync + 'static) -> Self {
        let clock = Clock::Monotonic(Instant::now());
        Self::build(self.shared.capacity, clock, Some(Box::new(tell)))
    }

    fn build(
        capacity: NonZeroUsize,
        clock: Clock,
        on_eviction: Option<Box<dyn Fn() + Send + Sync>>,
    ) -> Self {
        Self {
            shared: Arc::new(Shared {
                clock,
                hasher: RandomState::new(),
                capacity,
                table: Mutex::new(Table::new(capacity)),
                on_eviction,
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
        self.shared.table().evictions()
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
        Box::pin(async move { Ok(self.shared.change(claim, State::Claimed, terms)) })
    }

    fn commit<'a>(&'a self, claim: &'a Claim, terms: Terms) -> StoreFuture<'a, Held> {
        Box::pin(async move { Ok(self.shared.change(claim, State::Done, terms)) })
    }

    fn release<'a>(&'a self, claim: &'a Claim, terms: Terms) -> StoreFuture<'a, Held> {
        Box::pin(async move { Ok(self.shared.change(claim, State::Released, terms)) })
    }

    fn forget<'a>(&'a self, key: &'a DedupKey) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            let fingerprint = self.shared.fingerprint(key);
            self.shared.table().forget(&fingerprint);
            Ok(())
        })
    }
}

impl Shared {
    fn claim(&self, key: &DedupKey, terms: Terms) -> Result<ClaimOutcome, StoreFull> {
        let fingerprint = self.fingerprint(key);
        let now = self.clock.now();
        let claimed = self.table().claim(fingerprint, now, terms);
        match claimed {
            Claimed::New { epoch, evicts } => {
                if let Some(tell) = self.on_eviction.as_ref().filter(|_| evicts) {
                    tell();
                }
                Ok(ClaimOutcome::New(Claim::new(key.clone(), u64::from(epoch))))
            }
            Claimed::Done => Ok(ClaimOutcome::Done),
            Claimed::InFlight => Ok(ClaimOutcome::InFlight),
            Claimed::Full => Err(StoreFull { capacity: self.capacity }),
        }
    }

    fn change(&self, claim: &Claim, state: State, terms: Terms) -> Held {
        let fingerprint = self.fingerprint(claim.key());
        let now = self.clock.now();
        Held::from(self.table().change(&fingerprint, claim.epoch(), state, now, terms))
    }

    /// Two values of one keyed hash function: of the key, and of the key and one byte more.
    fn fingerprint(&self, key: &DedupKey) -> Fingerprint {
        let mut hasher = self.hasher.build_hasher();
        key.hash(&mut hasher);
        let first = hasher.finish();
        hasher.write_u8(0);
        Fingerprint([first, hasher.finish()])
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // Nothing panics half-way through a change, so the table of a poisoned lock is whole.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
