//! What the operator is told; the only code that knows the `tracing` feature.

use crate::policy::RedisWarning;

/// The server works, but may forget. A subscriber that panics costs the line, not the connection
/// that it is about.
pub(crate) fn warning(scope: &str, warning: &RedisWarning) {
    #[cfg(feature = "tracing")]
    let _ = dataflow_webhooks::adapter::caught(|| {
        tracing::warn!(target: "dataflow_webhooks", scope, "{warning}");
    });
    #[cfg(not(feature = "tracing"))]
    let _ = (scope, warning);
}

#[cfg(all(test, feature = "tracing"))]
mod tests {
    use std::cell::Cell;

    use tracing::span::{Attributes, Id, Record};
    use tracing::{Event, Metadata, Subscriber};

    use super::*;

    thread_local! {
        static EVENTS: Cell<u32> = const { Cell::new(0) };
    }

    struct Panicking;

    impl Subscriber for Panicking {
        fn enabled(&self, _: &Metadata<'_>) -> bool {
            true
        }
        fn new_span(&self, _: &Attributes<'_>) -> Id {
            Id::from_u64(1)
        }
        fn record(&self, _: &Id, _: &Record<'_>) {}
        fn record_follows_from(&self, _: &Id, _: &Id) {}
        fn event(&self, _: &Event<'_>) {
            EVENTS.set(EVENTS.get() + 1);
            panic!("a subscriber's panic, of the test");
        }
        fn enter(&self, _: &Id) {}
        fn exit(&self, _: &Id) {}
    }

    #[test]
    fn a_subscriber_that_panics_costs_no_more_than_the_line() {
        let _installed = tracing::subscriber::set_default(Panicking);
        warning("orders", &RedisWarning::PolicyUnknown);
        assert_eq!(EVENTS.get(), 1);
    }
}
