//! What the series are made of: handles of the crate `metrics`, or, without the
//! feature, types of no size that do nothing.

#[cfg(feature = "metrics")]
pub(super) use metrics::{Counter, Gauge, Histogram};
#[cfg(not(feature = "metrics"))]
pub(super) use off::{Counter, Gauge, Histogram};
#[cfg(feature = "metrics")]
pub(super) use on::Registry;

#[cfg(feature = "metrics")]
mod on {
    use std::sync::Arc;

    use metrics::{
        Counter, Gauge, Histogram, Key, KeyName, Label, Level, Metadata, Recorder, SharedString,
        Unit,
    };

    const METADATA: Metadata<'static> =
        Metadata::new("dataflow_webhooks", Level::INFO, Some(module_path!()));

    /// Takes handles from the recorder of this moment, for one endpoint, and tells
    /// it what each metric means.
    pub(crate) struct Registry<'a> {
        recorder: &'a dyn Recorder,
        endpoint: &'a Arc<str>,
    }

    impl Registry<'_> {
        /// The recorder that is installed, or one that drops everything.
        pub(crate) fn with<T>(endpoint: &Arc<str>, take: impl FnOnce(&Registry<'_>) -> T) -> T {
            metrics::with_recorder(|recorder| take(&Registry { recorder, endpoint }))
        }

        /// A counter with these labels, beside that of the endpoint.
        pub(crate) fn counter<const N: usize>(
            &self,
            name: &'static str,
            help: &'static str,
            labels: [(&'static str, SharedString); N],
        ) -> Counter {
            self.recorder.describe_counter(name.into(), Some(Unit::Count), help.into());
            self.recorder.register_counter(&self.key(name, labels), &METADATA)
        }

        /// A counter for each value of a label.
        pub(crate) fn counters<const N: usize>(
            &self,
            name: &'static str,
            help: &'static str,
            label: &'static str,
            values: [&'static str; N],
        ) -> [Counter; N] {
            values.map(|value| self.counter(name, help, [(label, value.into())]))
        }

        pub(crate) fn gauge(&self, name: &'static str, unit: Unit, help: &'static str) -> Gauge {
            self.recorder.describe_gauge(KeyName::from(name), Some(unit), help.into());
            self.recorder.register_gauge(&self.key(name, []), &METADATA)
        }

        /// A histogram of seconds with these labels, beside that of the endpoint.
        pub(crate) fn seconds<const N: usize>(
            &self,
            name: &'static str,
            help: &'static str,
            labels: [(&'static str, SharedString); N],
        ) -> Histogram {
            self.recorder.describe_histogram(name.into(), Some(Unit::Seconds), help.into());
            self.recorder.register_histogram(&self.key(name, labels), &METADATA)
        }

        fn key<const N: usize>(
            &self,
            name: &'static str,
            labels: [(&'static str, SharedString); N],
        ) -> Key {
            let mut all = vec![Label::new("endpoint", Arc::clone(self.endpoint))];
            all.extend(labels.map(|(label, value)| Label::new(label, value)));
            Key::from_parts(name, all)
        }
    }
}

#[cfg(not(feature = "metrics"))]
mod off {
    pub(crate) struct Counter;

    impl Counter {
        pub(crate) fn increment(&self, _by: u64) {}
    }

    pub(crate) struct Gauge;

    impl Gauge {
        pub(crate) fn increment(&self, _by: f64) {}
        pub(crate) fn decrement(&self, _by: f64) {}
        pub(crate) fn set(&self, _to: f64) {}
    }

    pub(crate) struct Histogram;

    impl Histogram {
        pub(crate) fn record(&self, _value: f64) {}
    }
}
