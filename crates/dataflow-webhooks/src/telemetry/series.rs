//! The metrics of one endpoint: name, unit and labels of each, and a handle on it.
//!
//! Every label is of a closed set, but for the labels of the keys and the name of
//! the endpoint, which are the operator's: nothing that a sender wrote becomes one.
#![cfg_attr(not(feature = "metrics"), allow(dead_code, reason = "without it there are none"))]

use std::sync::{Arc, PoisonError, RwLock};

use super::counts::{StoreOperation, position};
use super::facade::{Counter, Gauge, Histogram};
use super::{HandlerEnd, Level};
use crate::answer::Outcome;
use crate::delivery::Delivery;
use crate::event::EventType;
use crate::rejection::RejectionKind;

const DOCUMENTED: usize = EventType::DOCUMENTED.len();
const OPERATIONS: usize = StoreOperation::ALL.len();

/// A handle on each series: to register one for each update would allocate.
pub(super) struct Series {
    endpoint: Arc<str>,
    /// For each key label that has been met, all types.
    deliveries: RwLock<Vec<(Box<str>, ByType)>>,
    pub(super) outcomes: [Counter; Outcome::ALL.len()],
    pub(super) rejections: [Counter; RejectionKind::ALL.len()],
    pub(super) refused: Counter,
    pub(super) lease_lost: [Counter; OPERATIONS],
    pub(super) store_errors: [Counter; OPERATIONS],
    pub(super) dead_letters: Counter,
    pub(super) dead_letter_errors: Counter,
    pub(super) processed_anyway: Counter,
    mismatched: [Counter; DOCUMENTED],
    pub(super) evictions: Counter,
    pub(super) unlisted: Counter,
    pub(super) refused_in_a_row: Gauge,
    last_delivery: Gauge,
    pub(super) levels: [Gauge; Level::ALL.len()],
    lag: Histogram,
    skew: Histogram,
    pub(super) handlers: [Histogram; HandlerEnd::ALL.len()],
    pub(super) store_calls: [Histogram; OPERATIONS],
}

/// The documented types, and then all others as one.
type ByType = [Counter; DOCUMENTED + 1];

impl Series {
    /// An authentic delivery. `latest` is the Unix time of the last one so far, in
    /// milliseconds.
    pub(super) fn delivered(&self, delivery: &Delivery, latest: i64) {
        let index = position(EventType::DOCUMENTED, delivery.event_type()).unwrap_or(DOCUMENTED);
        self.with_key(delivery.key(), |by_type| by_type[index].increment(1));
        self.last_delivery.set(latest as f64 / 1000.0);
        self.skew.record(delivery.skew().as_secs_f64());
        if let Some(created_at) = delivery.created_at() {
            let lag = delivery.signed_at().duration_since(created_at);
            self.lag.record(lag.as_secs_f64());
        }
    }

    pub(super) fn mismatched(&self, delivery: &Delivery) {
        if let Some(index) = position(EventType::DOCUMENTED, delivery.event_type()) {
            self.mismatched[index].increment(1);
        }
    }

    /// Makes sure that there are series for this key label, and does something
    /// with them.
    pub(super) fn with_key(&self, key: &str, work: impl Fn(&ByType)) {
        let find = |known: &[(Box<str>, ByType)]| {
            let found = known.iter().find(|(label, _)| **label == *key);
            found.map(|(_, by_type)| work(by_type)).is_some()
        };
        if find(&self.deliveries.read().unwrap_or_else(PoisonError::into_inner)) {
            return;
        }
        let mut known = self.deliveries.write().unwrap_or_else(PoisonError::into_inner);
        if !find(&known) {
            let by_type = self.of_key(key);
            work(&by_type);
            known.push((key.into(), by_type));
        }
    }
}

#[cfg(not(feature = "metrics"))]
impl Series {
    fn of_key(&self, _key: &str) -> ByType {
        std::array::from_fn(|_| Counter)
    }
}

#[cfg(feature = "metrics")]
impl Series {
    /// Takes every series from the recorder of this moment. Those by key label come
    /// as the labels are met.
    pub(super) fn of(endpoint: &Arc<str>) -> Self {
        super::facade::Registry::with(endpoint, |registry| Self::taken_from(registry, endpoint))
    }

    fn taken_from(registry: &super::facade::Registry<'_>, endpoint: &Arc<str>) -> Self {
        use metrics::Unit::{Bytes, Count, Seconds};

        let (counter, gauge) = (
            |name, help| registry.counter(name, help, []),
            |name, unit, help| registry.gauge(name, unit, help),
        );
        let operations = || names(StoreOperation::ALL, |operation| operation.as_str());
        let seconds_of = |name, help, label, value: &'static str| {
            registry.seconds(name, help, [(label, value.into())])
        };
        Self {
            endpoint: Arc::clone(endpoint),
            deliveries: RwLock::default(),
            outcomes: registry.counters(
                "dataflow_webhooks_outcomes_total",
                "Requests by what came of them; those refused before a claim are rejections",
                "outcome",
                names(Outcome::ALL, |outcome| outcome.as_str()),
            ),
            rejections: registry.counters(
                "dataflow_webhooks_rejections_total",
                "Requests that were refused before a claim",
                "kind",
                names(RejectionKind::ALL, |kind| kind.as_str()),
            ),
            refused: counter(
                "dataflow_webhooks_refused_total",
                "Authentic deliveries that were not answered 200",
            ),
            lease_lost: registry.counters(
                "dataflow_webhooks_lease_lost_total",
                "Claims that were taken over before their holder came to do this",
                "operation",
                operations(),
            ),
            store_errors: registry.counters(
                "dataflow_webhooks_store_errors_total",
                "Calls of the dedup store that failed or took too long",
                "operation",
                operations(),
            ),
            dead_letters: counter(
                "dataflow_webhooks_dead_letters_total",
                "Deliveries stored as dead letters after the last run allowed had failed",
            ),
            dead_letter_errors: counter(
                "dataflow_webhooks_dead_letter_errors_total",
                "Dead letters that the sink did not store, or not in time",
            ),
            processed_anyway: counter(
                "dataflow_webhooks_processed_anyway_total",
                "Deliveries handled under the in-process store while the store was away",
            ),
            mismatched: registry.counters(
                "dataflow_webhooks_mismatched_total",
                "Events of a documented type whose data did not fit",
                "type",
                names(EventType::DOCUMENTED, EventType::as_str),
            ),
            evictions: counter(
                "dataflow_webhooks_evictions_total",
                "Records that the endpoint's own full memory store dropped before their time",
            ),
            unlisted: counter(
                "dataflow_webhooks_unlisted_total",
                "Authentic deliveries from a source that is not on the allow-list",
            ),
            refused_in_a_row: gauge(
                "dataflow_webhooks_refused_in_a_row",
                Count,
                "Authentic deliveries not answered 200 since the last one that was",
            ),
            last_delivery: gauge(
                "dataflow_webhooks_last_delivery_timestamp_seconds",
                Seconds,
                "Unix time of the last authentic delivery; 0 before the first",
            ),
            levels: [
                gauge("dataflow_webhooks_running", Count, "Handlers that run"),
                gauge(
                    "dataflow_webhooks_pending_commits",
                    Count,
                    "Settlements that the store has not accepted yet",
                ),
                gauge(
                    "dataflow_webhooks_unverified_bytes",
                    Bytes,
                    "Bytes held of deliveries that are unverified, or wait for their turn",
                ),
            ],
            lag: registry.seconds(
                "dataflow_webhooks_lag_seconds",
                "From the event to the signing of this attempt",
                [],
            ),
            skew: registry.seconds(
                "dataflow_webhooks_skew_seconds",
                "From the signing to the receipt; negative where the sender's clock is ahead",
                [],
            ),
            handlers: names(HandlerEnd::ALL, |end| end.as_str()).map(|end| {
                let (name, help) = (
                    "dataflow_webhooks_handler_seconds",
                    "What handlers took to their own end, whoever still waited",
                );
                seconds_of(name, help, "end", end)
            }),
            store_calls: operations().map(|operation| {
                let (name, help) =
                    ("dataflow_webhooks_store_seconds", "What calls of the dedup store took");
                seconds_of(name, help, "operation", operation)
            }),
        }
    }

    fn of_key(&self, key: &str) -> ByType {
        let key: Arc<str> = key.into();
        super::facade::Registry::with(&self.endpoint, |registry| {
            std::array::from_fn(|index| {
                let event_type =
                    EventType::DOCUMENTED.get(index).map_or("other", EventType::as_str);
                registry.counter(
                    "dataflow_webhooks_deliveries_total",
                    "Authentic deliveries, each attempt by itself",
                    [("type", event_type.into()), ("key", Arc::clone(&key).into())],
                )
            })
        })
    }
}

/// The names of a closed set, in its order.
#[cfg(feature = "metrics")]
fn names<T, const N: usize>(
    all: &'static [T],
    name: impl Fn(&'static T) -> &'static str,
) -> [&'static str; N] {
    std::array::from_fn(|index| name(&all[index]))
}
