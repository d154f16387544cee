//! Making an [`Endpoint`]: every choice with its default and its range, all
//! checked in `build`.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use jiff::Timestamp;

use super::dead_letters::Office;
use super::{Endpoint, Limits, Shared, gate::Gate};
use crate::budget::UnverifiedBudget;
use crate::dead_letters::DeadLetterSink;
use crate::dedup::{DedupStore, MemoryStore, Terms};
use crate::keyring::{KeyRing, KeyRingError};
use crate::source::SourceAllowList;
use crate::telemetry::{DEFAULT_NAME, Telemetry};
use crate::verify::{Clock, Tolerance, Verifier};

const MIB: usize = 1024 * 1024;
const HOUR: Duration = Duration::from_secs(3600);

/// What to do with a delivery while the dedup store cannot be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum OnStoreFailure {
    /// Answer 503: the sender tries again in a minute. The default.
    #[default]
    Refuse,
    /// Run the handler; an in-process store keeps this process's duplicates out
    /// meanwhile. Two processes may then handle one event, and epochs fence
    /// nothing.
    ProcessAnyway,
}

/// Configures an [`Endpoint`]. [`build`](Self::build) checks it all.
#[must_use = "nothing happens before build()"]
pub struct EndpointBuilder {
    name: String,
    keys: KeyRing,
    dedup: Dedup,
    on_store_failure: OnStoreFailure,
    limits: Limits,
    lease: Duration,
    retention: Duration,
    budget: UnverifiedBudget,
    source: Option<SourceAllowList>,
    dead_letters: Option<Office>,
    clock: Clock,
}

enum Dedup {
    Memory,
    Store(Arc<dyn DedupStore>),
    Without,
}

impl EndpointBuilder {
    pub(super) fn new(keys: KeyRing) -> Self {
        let lease = Duration::from_secs(30);
        let retention = 24 * HOUR;
        Self {
            name: DEFAULT_NAME.to_owned(),
            keys,
            dedup: Dedup::Memory,
            on_store_failure: OnStoreFailure::default(),
            limits: Limits {
                max_body_bytes: Verifier::MAX_BODY_BYTES,
                body_within: Duration::from_secs(4),
                answer_within: Duration::from_millis(4500),
                longest_run: Duration::from_secs(300),
                max_running: 1024,
                max_pending_commits: 10_000,
                tolerance: Tolerance::default(),
                terms: Terms::new(lease, retention),
            },
            lease,
            retention,
            budget: UnverifiedBudget::default(),
            source: None,
            dead_letters: None,
            clock: Clock::default(),
        }
    }

    /// A word of your own that tells this endpoint from others of the process: the
    /// label `endpoint` of every metric, and a field of every span. Default:
    /// `default`, which spans leave out; 1 to 64 characters, none of them a control
    /// character.
    ///
    /// Endpoints of one name add up in one set of series.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// The dedup store. Default: a [`MemoryStore`] of 250 000 events, which one
    /// process has for itself and a restart forgets.
    pub fn dedup(mut self, store: impl DedupStore + 'static) -> Self {
        self.dedup = Dedup::Store(Arc::new(store));
        self
    }

    /// No deduplication, for applications that have their own: each authentic
    /// delivery runs the handler.
    pub fn without_dedup(mut self) -> Self {
        self.dedup = Dedup::Without;
        self
    }

    /// What to do while the store cannot be reached. Default: refuse with 503.
    pub fn on_store_failure(mut self, choice: OnStoreFailure) -> Self {
        self.on_store_failure = choice;
        self
    }

    /// How far a timestamp may lie from now. Default 300 s either way; past and
    /// future together must stay under the retention.
    pub fn tolerance(mut self, tolerance: Tolerance) -> Self {
        self.limits.tolerance = tolerance;
        self
    }

    /// The longest body, in bytes. Default 1 MiB; 1 KiB to 64 MiB.
    pub fn max_body_bytes(mut self, bytes: usize) -> Self {
        self.limits.max_body_bytes = bytes;
        self
    }

    /// The body must be complete this long after the head. Default 4 s; 10 ms to
    /// [`answer_within`](Self::answer_within).
    pub fn body_within(mut self, time: Duration) -> Self {
        self.limits.body_within = time;
        self
    }

    /// The answer goes out this long after the head, at the latest; a handler
    /// that is not done runs on. Default 4.5 s, since the platform hangs up at
    /// 5 s; 10 ms to 4.9 s.
    pub fn answer_within(mut self, time: Duration) -> Self {
        self.limits.answer_within = time;
        self
    }

    /// A handler that has run this long is dropped and its claim released.
    /// Default 5 min; from [`answer_within`](Self::answer_within) to 24 h.
    pub fn longest_run(mut self, time: Duration) -> Self {
        self.limits.longest_run = time;
        self
    }

    /// So many handlers run at once; beyond, 503. Default 1 024; 1 to 1 000 000.
    pub fn max_running(mut self, handlers: usize) -> Self {
        self.limits.max_running = handlers;
        self
    }

    /// While so many settlements wait for the store (what has failed once is tried again
    /// in the background), no handler begins: 503, unclaimed. What runs by then may still
    /// add to them. Default 10 000, the most events that come in an hour ("Rate
    /// Limits"): up to 10 MiB, 1 KiB each beside what a call of the store takes. 1 to
    /// 1 000 000.
    pub fn max_pending_commits(mut self, settlements: usize) -> Self {
        self.limits.max_pending_commits = settlements;
        self
    }

    /// How long a claim holds without being renewed. It is renewed at each
    /// third while the handler runs. Default 30 s; 5 s to 50 s, for the first
    /// retry comes after 60 s and must find a dead process's claim lapsed.
    pub fn lease(mut self, time: Duration) -> Self {
        self.lease = time;
        self
    }

    /// How long an event is remembered after its last change. Default 24 h; 8 h
    /// to 366 days, for the last retry ends 7 h 22 min after the first attempt.
    pub fn retention(mut self, time: Duration) -> Self {
        self.retention = time;
        self
    }

    /// The budget for bytes of deliveries not yet verified. Default 64 MiB for
    /// this endpoint alone; at least the longest body.
    pub fn unverified_budget(mut self, budget: UnverifiedBudget) -> Self {
        self.budget = budget;
        self
    }

    /// Which addresses deliveries may come from. Default: any. The adapter has to
    /// know the peer's address then; where it does not, everything is refused.
    pub fn source(mut self, list: SourceAllowList) -> Self {
        self.source = Some(list);
        self
    }

    /// What becomes of a delivery whose handler has failed in this many runs: it is
    /// stored in the sink, and then recorded as done and answered 200, so that one
    /// event that always fails cannot get the whole webhook disabled. Where the sink
    /// fails, or does not answer within 2 s, the handler's answer stands and the event
    /// comes again. Default: nothing of the kind.
    ///
    /// 1 to 5 runs, and 3 is a good choice: the platform disables the webhook after
    /// five failed attempts ("Error Handling"), and an attempt that is answered 503
    /// while its handler runs on, or while the dedup store is away, is one of them.
    /// With 5, it is the fifth attempt that is answered 200.
    ///
    /// The claim's epoch counts the runs, so those of processes that died count too,
    /// and dead letters need deduplication. The handler always runs first: an event
    /// that was [forgotten](DedupStore::forget) runs again, and is a dead letter at
    /// once when that fails. See [`dead_letters`](crate::dead_letters).
    pub fn dead_letters(mut self, sink: impl DeadLetterSink + 'static, after_runs: u32) -> Self {
        self.dead_letters = Some(Office { sink: Arc::new(sink), after_runs });
        self
    }

    /// Another clock than the system's, for tests.
    pub fn clock(mut self, clock: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        self.clock = Clock::of(clock);
        self
    }

    /// Checks every choice and makes the endpoint.
    ///
    /// # Errors
    ///
    /// The first choice that lies outside its range, with the figure and the
    /// range.
    pub fn build(self) -> Result<Endpoint, EndpointError> {
        let mut limits = self.limits;
        between("name", self.name.chars().count(), 1, 64, "characters long")?;
        if self.name.chars().any(char::is_control) {
            return Err(EndpointError(Flaw::Words("name holds a control character")));
        }
        between("max_body_bytes", limits.max_body_bytes, 1024, 64 * MIB, "bytes")?;
        let fastest = Duration::from_millis(10);
        span("answer_within", limits.answer_within, fastest, Duration::from_millis(4900))?;
        span("body_within", limits.body_within, fastest, limits.answer_within)?;
        span("longest_run", limits.longest_run, limits.answer_within, 24 * HOUR)?;
        between("max_running", limits.max_running, 1, 1_000_000, "handlers")?;
        let pending = limits.max_pending_commits;
        between("max_pending_commits", pending, 1, 1_000_000, "settlements")?;
        span("lease", self.lease, Duration::from_secs(5), Duration::from_secs(50))?;
        span("retention", self.retention, 8 * HOUR, 366 * 24 * HOUR)?;
        let window = limits.tolerance.past().saturating_add(limits.tolerance.future());
        if window >= self.retention {
            return Err(EndpointError(Flaw::Window { window, retention: self.retention }));
        }
        let longest = limits.max_body_bytes;
        between("unverified_budget", self.budget.limit(), longest, usize::MAX, "bytes")?;

        if let Some(flaw) = self.source.as_ref().and_then(SourceAllowList::flaw) {
            return Err(EndpointError(Flaw::Words(flaw)));
        }

        if let Some(office) = &self.dead_letters {
            if !(1..=5).contains(&office.after_runs) {
                return Err(EndpointError(Flaw::Runs(office.after_runs)));
            }
            if matches!(self.dedup, Dedup::Without) {
                return Err(EndpointError(Flaw::Words(
                    "dead_letters needs deduplication, which counts the runs of an event: leave \
                     out without_dedup",
                )));
            }
        }

        limits.terms = Terms::new(self.lease, self.retention);
        let telemetry = Arc::new(Telemetry::new(&self.name, &self.keys.labels()));
        let memory = || {
            let telemetry = Arc::clone(&telemetry);
            MemoryStore::new().on_eviction(move || telemetry.evicted())
        };
        let stand_in = match (&self.dedup, self.on_store_failure) {
            (Dedup::Store(_), OnStoreFailure::ProcessAnyway) => Some(memory()),
            _ => None,
        };
        let store = match self.dedup {
            Dedup::Memory => Some(Arc::new(memory()) as Arc<dyn DedupStore>),
            Dedup::Store(store) => Some(store),
            Dedup::Without => None,
        };
        let verifier = Verifier::new(self.keys)
            .tolerance(limits.tolerance)
            .max_body_bytes(limits.max_body_bytes)
            .clock_of(self.clock.clone());
        Ok(Endpoint {
            shared: Arc::new(Shared {
                id: next_id(),
                verifier,
                clock: self.clock,
                store,
                stand_in,
                limits,
                budget: self.budget,
                source: self.source,
                dead_letters: self.dead_letters,
                gate: Gate::default(),
                telemetry,
            }),
        })
    }
}

impl fmt::Debug for EndpointBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EndpointBuilder")
            .field("name", &self.name)
            .field("keys", &self.keys)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// Names an endpoint within this process, so that a delivery knows its own.
fn next_id() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

fn between(
    what: &'static str,
    figure: usize,
    least: usize,
    most: usize,
    unit: &'static str,
) -> Result<(), EndpointError> {
    if (least..=most).contains(&figure) {
        return Ok(());
    }
    Err(EndpointError(Flaw::Number { what, figure, least, most, unit }))
}

fn span(
    what: &'static str,
    time: Duration,
    least: Duration,
    most: Duration,
) -> Result<(), EndpointError> {
    if (least..=most).contains(&time) {
        return Ok(());
    }
    Err(EndpointError(Flaw::Time { what, time, least, most }))
}

/// Why an [`Endpoint`] could not be made: the choice, its figure, its range.
#[derive(Debug, Clone)]
pub struct EndpointError(Flaw);

#[derive(Debug, Clone)]
enum Flaw {
    Keys(KeyRingError),
    Number { what: &'static str, figure: usize, least: usize, most: usize, unit: &'static str },
    Time { what: &'static str, time: Duration, least: Duration, most: Duration },
    Window { window: Duration, retention: Duration },
    Runs(u32),
    Words(&'static str),
}

impl From<KeyRingError> for EndpointError {
    fn from(error: KeyRingError) -> Self {
        Self(Flaw::Keys(error))
    }
}

impl fmt::Display for EndpointError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Flaw::Keys(error) => error.fmt(f),
            Flaw::Words(flaw) => f.write_str(flaw),
            Flaw::Runs(runs) => write!(
                f,
                "dead_letters is after {runs} runs; 1 to 5 are allowed, for after five failed \
                 attempts the platform disables the webhook"
            ),
            Flaw::Number { what, figure, least, most: usize::MAX, unit } => {
                write!(f, "{what} is {figure} {unit}; at least {least} are needed")
            }
            Flaw::Number { what, figure, least, most, unit } => {
                write!(f, "{what} is {figure} {unit}; {least} to {most} are allowed")
            }
            Flaw::Time { what, time, least, most } => {
                write!(f, "{what} is {time:?}; {least:?} to {most:?} are allowed")
            }
            Flaw::Window { window, retention } => write!(
                f,
                "the tolerances for past and future add up to {window:?}; they must stay under \
                 the retention of {retention:?}, or a replay could outlive the memory of its event"
            ),
        }
    }
}

impl std::error::Error for EndpointError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.0 {
            Flaw::Keys(error) => Some(error),
            _ => None,
        }
    }
}
