//! Owns a clock that stands still until a test moves it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A clock that stands still until it is told to advance.
///
/// Clones are one clock. It starts at zero, counts nanoseconds, and stops after 584 years.
///
/// ```
/// use std::time::Duration;
/// use dataflow_webhooks::dedup::MemoryStore;
/// use dataflow_webhooks::testing::ManualClock;
///
/// let clock = ManualClock::new();
/// let store = MemoryStore::new().with_clock({
///     let clock = clock.clone();
///     move || clock.now()
/// });
/// clock.advance(Duration::from_secs(30));
/// assert_eq!(clock.now(), Duration::from_secs(30));
/// ```
#[derive(Clone, Debug, Default)]
pub struct ManualClock {
    nanos: Arc<AtomicU64>,
}

impl ManualClock {
    /// A clock that stands at zero.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The time since the clock was made, as far as it was advanced.
    #[must_use]
    pub fn now(&self) -> Duration {
        Duration::from_nanos(self.nanos.load(Ordering::SeqCst))
    }

    /// Moves the clock forward.
    pub fn advance(&self, time: Duration) {
        let step = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        // The closure always gives a value, so this cannot fail.
        let _ = self
            .nanos
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |now| Some(now.saturating_add(step)));
    }
}
