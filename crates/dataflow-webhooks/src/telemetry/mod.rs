//! What an operator sees: counts, metrics, log lines, one span for each delivery.
//!
//! The only code that knows the features `tracing` and `metrics`; the other crates
//! call it. Never a body, never a secret; what the sender chose (ids, types) is
//! escaped and cut at 64 characters in logs, and never a label of a metric.

use std::fmt;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use jiff::Timestamp;

use crate::answer::Outcome;
use crate::delivery::Delivery;
use crate::event::shown::shown;
use crate::rejection::RejectionKind;
use crate::source::Unlisted;

/// What an endpoint is called that has no name of its own.
pub(crate) const DEFAULT_NAME: &str = "default";

mod counts;
mod facade;
mod meters;
mod quiet;
mod series;
mod span;

use counts::position;
pub use counts::{Counts, HandlerEnd, StoreOperation};
use meters::Meters;
use quiet::Quiet;
pub use span::DeliverySpan;

/// Forwards to `tracing`'s macro of that name, with one field or none before the
/// text; without the feature both are still type-checked and used, and nothing
/// is printed.
///
/// A subscriber is the application's code and may panic. That must cost no more than
/// the line: a claim that is never settled would hang on it otherwise.
macro_rules! log {
    ($level:ident, $(%$shown:ident,)? $($field:ident,)? $text:literal $(,)?) => {{
        #[cfg(feature = "tracing")]
        let _ = crate::caught::caught(|| {
            tracing::$level!(target: "dataflow_webhooks", $(%$shown,)? $($field,)? $text);
        });
        #[cfg(not(feature = "tracing"))]
        let _ = ($(&$shown,)? $(&$field,)? format_args!($text));
    }};
}

mod answers;
mod dead_letters;

/// A configuration that loads, but is worth a look.
pub(crate) fn config_warning(warning: &dyn fmt::Display) {
    log!(warn, "{warning}");
}

/// What goes up and down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    Running,
    PendingCommits,
    UnverifiedBytes,
}

impl Level {
    const ALL: &'static [Self] = &[Self::Running, Self::PendingCommits, Self::UnverifiedBytes];
}

/// Where adapters report what they saw. Read it with
/// [`Endpoint::counts`](crate::Endpoint::counts).
pub struct Telemetry {
    outcomes: [AtomicU64; Outcome::ALL.len()],
    rejections: [AtomicU64; RejectionKind::ALL.len()],
    store_errors: [AtomicU64; StoreOperation::ALL.len()],
    authentic: AtomicU64,
    authentic_by_older_key: AtomicU64,
    authentic_from_unlisted: AtomicU64,
    authentic_refused: AtomicU64,
    in_a_row: AtomicU64,
    /// Unix time in milliseconds; 0 is never.
    last_authentic: AtomicI64,
    handlers: [AtomicU64; HandlerEnd::ALL.len()],
    lease_lost: AtomicU64,
    dead_letters: AtomicU64,
    dead_letter_errors: AtomicU64,
    processed_anyway: AtomicU64,
    mismatched: AtomicU64,
    evictions: AtomicU64,
    /// One for each kind, so that what anyone can cause cannot keep out what a
    /// sender with a wrong clock or key does.
    quiet: [Quiet; RejectionKind::ALL.len()],
    quiet_in_flight: Quiet,
    meters: Meters,
}

impl Telemetry {
    /// Whether times are looked at: only with the feature `metrics` (of this crate,
    /// whoever has switched it on). Where they are not, no clock need be read.
    pub const TAKES_TIMES: bool = cfg!(feature = "metrics");

    /// Of the endpoint of this name, whose keys have these labels now.
    pub(crate) fn new(endpoint: &str, keys: &[String]) -> Self {
        Self {
            outcomes: Default::default(),
            rejections: Default::default(),
            store_errors: Default::default(),
            authentic: AtomicU64::default(),
            authentic_by_older_key: AtomicU64::default(),
            authentic_from_unlisted: AtomicU64::default(),
            authentic_refused: AtomicU64::default(),
            in_a_row: AtomicU64::default(),
            last_authentic: AtomicI64::default(),
            handlers: Default::default(),
            lease_lost: AtomicU64::default(),
            dead_letters: AtomicU64::default(),
            dead_letter_errors: AtomicU64::default(),
            processed_anyway: AtomicU64::default(),
            mismatched: AtomicU64::default(),
            evictions: AtomicU64::default(),
            quiet: Default::default(),
            quiet_in_flight: Quiet::default(),
            meters: Meters::new(endpoint, keys),
        }
    }

    /// The name of the endpoint.
    pub(crate) fn endpoint(&self) -> &str {
        self.meters.endpoint()
    }

    /// A handler ended. `took` is the time from its beginning to this end, where
    /// somebody [looks at it](Self::TAKES_TIMES).
    pub fn handler_ended(&self, delivery: &Delivery, end: HandlerEnd, took: Option<Duration>) {
        add(&self.handlers[end as usize]);
        if let Some(took) = took {
            self.meters.update(|series| series.handlers[end as usize].record(took.as_secs_f64()));
        }
        let id = shown(delivery.id());
        match end {
            HandlerEnd::Succeeded | HandlerEnd::Failed => {
                log!(debug, "the handler of {id} ended: {end:?}");
            }
            HandlerEnd::Panicked => log!(error, "the handler of {id} panicked"),
            HandlerEnd::CutOff => {
                log!(error, "the handler of {id} was dropped at the longest run");
            }
        }
    }

    /// A call of the dedup store took this time, whatever came of it.
    pub fn store_called(&self, operation: StoreOperation, took: Duration) {
        if let Some(index) = position(StoreOperation::ALL, &operation) {
            self.meters.update(|series| series.store_calls[index].record(took.as_secs_f64()));
        }
    }

    /// A call of the dedup store failed or took too long.
    pub fn store_failed(&self, operation: StoreOperation, error: &dyn fmt::Display) {
        if let Some(index) = position(StoreOperation::ALL, &operation) {
            add(&self.store_errors[index]);
            self.meters.update(|series| series.store_errors[index].increment(1));
        }
        log!(warn, %operation, "the dedup store failed to {operation}: {error}");
    }

    /// The holder of a claim on the event with this id came to renew or settle it and was
    /// refused.
    pub fn lease_lost(&self, event_id: &str, epoch: u64, operation: StoreOperation) {
        add(&self.lease_lost);
        if let Some(index) = position(StoreOperation::ALL, &operation) {
            self.meters.update(|series| series.lease_lost[index].increment(1));
        }
        let id = shown(event_id);
        log!(
            warn,
            %operation,
            "the claim on {id} (epoch {epoch}) was lost before it could {operation}: the lease \
             lapsed and another run took over, or the record is gone"
        );
    }

    /// The store is away, and the in-process store has taken over for this
    /// delivery.
    pub fn processed_anyway(&self, delivery: &Delivery) {
        add(&self.processed_anyway);
        self.meters.update(|series| series.processed_anyway.increment(1));
        let id = shown(delivery.id());
        log!(warn, "{id} is handled without the dedup store: another process may handle it too");
    }

    pub(crate) fn verified(&self, delivery: &Delivery, by_newest: bool) {
        add(&self.authentic);
        if !by_newest {
            add(&self.authentic_by_older_key);
        }
        let at = delivery.received_at().as_millisecond();
        let latest = self.last_authentic.fetch_max(at, Relaxed).max(at);
        self.meters.update(|series| series.delivered(delivery, latest));
    }

    /// So many more handlers, commits or bytes than before.
    pub(crate) fn raise(&self, level: Level, by: usize) {
        self.meters.update(|series| series.levels[level as usize].increment(by as f64));
    }

    /// So many fewer. Called for all that was raised, whatever became of it.
    pub(crate) fn lower(&self, level: Level, by: usize) {
        self.meters.update(|series| series.levels[level as usize].decrement(by as f64));
    }

    /// A memory store of the endpoint's own has dropped a record before its time.
    pub(crate) fn evicted(&self) {
        add(&self.evictions);
        self.meters.update(|series| series.evictions.increment(1));
    }

    /// An authentic delivery came from a source that is not on the list. Each
    /// address goes out, for that is how the list is learned; only who has the
    /// secret can cause it.
    pub(crate) fn unlisted(&self, delivery: &Delivery, unlisted: Unlisted) {
        add(&self.authentic_from_unlisted);
        self.meters.update(|series| series.unlisted.increment(1));
        let id = shown(delivery.id());
        match unlisted {
            Unlisted::Address(source) => {
                log!(info, %source, "{id} came from {source}, which is not on the allow-list");
            }
            Unlisted::Unknown(why) => {
                if let Some(others) = self.ask_quiet(RejectionKind::SourceNotAllowed) {
                    log!(warn, others, "the source of {id} is not known: {why}");
                }
            }
        }
    }

    pub(crate) fn mismatched(&self, delivery: &Delivery) {
        add(&self.mismatched);
        self.meters.update(|series| series.mismatched(delivery));
        let (id, event_type) = (shown(delivery.id()), shown(delivery.event_type().as_str()));
        log!(warn, "the data of {id} does not fit its type {event_type}; it is kept as raw JSON");
    }

    /// The span that a delivery's work runs in.
    #[must_use]
    pub fn span(&self, delivery: &Delivery) -> DeliverySpan {
        let endpoint = self.meters.endpoint();
        DeliverySpan::new(delivery, (endpoint != DEFAULT_NAME).then_some(endpoint))
    }

    pub(crate) fn counts(&self) -> Counts {
        let get = |count: &AtomicU64| count.load(Relaxed);
        let millis = self.last_authentic.load(Relaxed);
        Counts {
            outcomes: std::array::from_fn(|i| get(&self.outcomes[i])),
            rejections: std::array::from_fn(|i| get(&self.rejections[i])),
            store_errors: std::array::from_fn(|i| get(&self.store_errors[i])),
            authentic: get(&self.authentic),
            authentic_by_older_key: get(&self.authentic_by_older_key),
            authentic_from_unlisted: get(&self.authentic_from_unlisted),
            authentic_refused: get(&self.authentic_refused),
            authentic_refused_in_a_row: get(&self.in_a_row),
            last_authentic: (millis != 0)
                .then(|| Timestamp::from_millisecond(millis).ok())
                .flatten(),
            handlers_succeeded: get(&self.handlers[HandlerEnd::Succeeded as usize]),
            handlers_failed: get(&self.handlers[HandlerEnd::Failed as usize]),
            handlers_panicked: get(&self.handlers[HandlerEnd::Panicked as usize]),
            handlers_cut_off: get(&self.handlers[HandlerEnd::CutOff as usize]),
            lease_lost: get(&self.lease_lost),
            dead_letters: get(&self.dead_letters),
            dead_letter_errors: get(&self.dead_letter_errors),
            processed_anyway: get(&self.processed_anyway),
            mismatched: get(&self.mismatched),
            evictions: get(&self.evictions),
            ..Counts::default()
        }
    }
}

/// Another endpoint of this name may go on, and its row is its own.
impl Drop for Telemetry {
    fn drop(&mut self) {
        self.end_row();
    }
}

impl fmt::Debug for Telemetry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Telemetry").field(&self.counts()).finish()
    }
}

fn add(count: &AtomicU64) {
    count.fetch_add(1, Relaxed);
}

/// An adapter's extractor found no verified delivery, for its layer is not there:
/// a mistake in the application, which the operator has to see. For adapters.
pub fn log_missing_layer(fix: &dyn fmt::Display) {
    log!(error, "{fix}");
}
