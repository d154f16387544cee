//! The metrics that a test's thread causes, read through `metrics-util`.

use std::cell::RefCell;
use std::collections::BTreeMap;

use metrics::LocalRecorderGuard;
use metrics_util::debugging::{DebugValue, DebuggingRecorder};

const PREFIX: &str = "dataflow_webhooks_";

/// A recorder, and what has been read from it: to read takes out.
#[derive(Default)]
pub(crate) struct Metered {
    recorder: DebuggingRecorder,
    series: RefCell<BTreeMap<String, Series>>,
}

/// What one series has come to. `sum` is of a counter or of a gauge that goes up
/// and down.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Series {
    pub(crate) kind: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) sum: f64,
    pub(crate) recorded: Vec<f64>,
}

impl Metered {
    /// This thread's recorder, until the guard is dropped.
    pub(crate) fn install(&self) -> LocalRecorderGuard<'_> {
        metrics::set_default_local_recorder(&self.recorder)
    }

    /// Every series so far, by its name without the prefix and its labels:
    /// `deliveries_total type=other key=current`. The endpoint is left out where it
    /// has no name of its own.
    pub(crate) fn series(&self) -> BTreeMap<String, Series> {
        let mut all = self.series.borrow_mut();
        for (key, unit, help, value) in self.recorder.snapshotter().snapshot().into_vec() {
            let key = key.key();
            let mut name = key.name().strip_prefix(PREFIX).unwrap().to_owned();
            for label in key.labels().filter(|l| (l.key(), l.value()) != ("endpoint", "default")) {
                name.push_str(&format!(" {}={}", label.key(), label.value()));
            }
            assert!(help.is_some(), "{name} is not described");
            let series = all.entry(name).or_default();
            series.unit = unit.unwrap().as_str();
            match value {
                DebugValue::Counter(count) => {
                    series.kind = "counter";
                    series.sum += count as f64;
                }
                DebugValue::Gauge(level) => {
                    series.kind = "gauge";
                    series.sum += level.0;
                }
                DebugValue::Histogram(values) => {
                    series.kind = "histogram";
                    series.recorded.extend(values.iter().map(|value| value.0));
                }
            }
        }
        all.clone()
    }

    /// Where a counter or a gauge stands.
    #[track_caller]
    pub(crate) fn value(&self, name: &str) -> f64 {
        self.one(name).sum
    }

    /// What a histogram has been given, in order.
    #[track_caller]
    pub(crate) fn recorded(&self, name: &str) -> Vec<f64> {
        self.one(name).recorded
    }

    /// The counters and gauges that are not 0, and where they stand.
    pub(crate) fn risen(&self) -> BTreeMap<String, f64> {
        let all = self.series().into_iter().map(|(name, series)| (name, series.sum));
        all.filter(|(_, sum)| *sum != 0.0).collect()
    }

    #[track_caller]
    fn one(&self, name: &str) -> Series {
        self.series().remove(name).unwrap_or_else(|| panic!("there is no series {name}"))
    }
}
