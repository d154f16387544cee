//! How often a line may go out that anybody on the network can cause.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// Lets one line through in each period: whoever can reach the endpoint could
/// fill the log otherwise.
pub(super) struct Quiet {
    since: Instant,
    /// Milliseconds after `since` when the next line may go out.
    next: AtomicU64,
    /// Lines held back since the last one.
    others: AtomicU64,
}

impl Quiet {
    pub(super) const PERIOD: Duration = Duration::from_secs(10);

    /// How many lines were held back before this one, if it may go out.
    pub(super) fn ask(&self) -> Option<u64> {
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let now = millis(self.since.elapsed());
        let next = self.next.load(Relaxed);
        let is_due = now >= next
            && (self.next)
                .compare_exchange(next, now.saturating_add(millis(Self::PERIOD)), Relaxed, Relaxed)
                .is_ok();
        if !is_due {
            self.others.fetch_add(1, Relaxed);
            return None;
        }
        Some(self.others.swap(0, Relaxed))
    }
}

impl Default for Quiet {
    fn default() -> Self {
        let (next, others) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { since: Instant::now(), next, others }
    }
}
