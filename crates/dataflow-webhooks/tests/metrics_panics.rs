//! A recorder that panics: it is the application's, and costs no more than its metrics.
#![cfg(feature = "metrics")]

mod common;

use std::sync::Arc;

use common::{BODY, NOW, SECRET, builder, header};
use dataflow_webhooks::{Delivery, Endpoint, Outcome};
use metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, LocalRecorderGuard,
    Metadata, Recorder, SharedString, Unit,
};
use pollster::FutureExt as _;

/// Panics at each use of a metric, or already when one is registered.
struct Panicking {
    at_registration: bool,
}

struct Metric;

impl CounterFn for Metric {
    fn increment(&self, _: u64) {
        panic!("a counter's panic, of the test")
    }
    fn absolute(&self, _: u64) {}
}

impl GaugeFn for Metric {
    fn increment(&self, _: f64) {
        panic!("a gauge's panic, of the test")
    }
    fn decrement(&self, _: f64) {
        panic!("a gauge's panic, of the test")
    }
    fn set(&self, _: f64) {
        panic!("a gauge's panic, of the test")
    }
}

impl HistogramFn for Metric {
    fn record(&self, _: f64) {
        panic!("a histogram's panic, of the test")
    }
}

impl Panicking {
    fn metric(&self) -> Arc<Metric> {
        assert!(!self.at_registration, "a registration's panic, of the test");
        Arc::new(Metric)
    }
}

impl Recorder for Panicking {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.metric())
    }
    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.metric())
    }
    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(self.metric())
    }
}

/// All that is done with an endpoint while its recorder panics.
fn on_each(test: impl Fn(&Endpoint)) {
    for at_registration in [false, true] {
        let endpoint = builder().build().unwrap();
        let recorder = Panicking { at_registration };
        let _installed: LocalRecorderGuard<'_> = metrics::set_default_local_recorder(&recorder);
        test(&endpoint);
    }
}

fn delivery(endpoint: &Endpoint) -> Delivery {
    let mut verification = endpoint.begin("POST", [header(SECRET, NOW, BODY)], None).unwrap();
    verification.update(BODY.to_vec()).unwrap();
    verification.finish().unwrap()
}

#[test]
fn a_delivery_is_verified_and_answered_all_the_same() {
    on_each(|endpoint| {
        let delivery = delivery(endpoint);
        endpoint.telemetry().answered(&delivery, Outcome::Failed, false);
        endpoint.telemetry().answered(&delivery, Outcome::Handled, true);
        let counts = endpoint.counts();
        assert_eq!((counts.authentic, counts.outcome(Outcome::Handled)), (1, 1));
    });
}

#[test]
fn no_bytes_stay_counted() {
    on_each(|endpoint| {
        delivery(endpoint);
        drop(endpoint.hold(7));
        assert_eq!(endpoint.unverified_budget().held(), 0);
    });
}

#[test]
fn the_drain_ends() {
    on_each(|endpoint| {
        let (running, other) = (endpoint.enter().unwrap(), endpoint.enter().unwrap());
        drop(running);
        drop(other.into_pending());
        let counts = endpoint.counts();
        assert_eq!((counts.running, counts.pending_commits), (0, 0));
        endpoint.drain().block_on();
    });
}
