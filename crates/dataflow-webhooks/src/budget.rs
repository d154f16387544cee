//! How many bytes of deliveries may be held before they are verified, or while
//! they wait for another delivery of their event: whoever can reach the endpoint,
//! or has recorded a delivery to it, can make it hold them.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use crate::rejection::{Rejection, RejectionKind};

/// A bound on the bytes of deliveries that are not verified yet.
///
/// Each body is counted as it arrives and no longer once it is verified or refused; and
/// again, with 2 KiB at the least, while it waits for another delivery of its event that is in
/// flight, for anyone can send a recorded delivery once more. When the budget is spent, bodies
/// past their first 16 KiB are answered 503, so an ordinary delivery still passes under a flood
/// of large ones; duplicates in waiting are answered 503 at once.
/// The memory held is at most the budget, plus 16 KiB for each open request, plus what the
/// server itself reads ahead.
///
/// 64 MiB for each [`Endpoint`](crate::Endpoint) by default. A clone is the
/// same budget: give one to several endpoints to bound them together.
///
/// ```
/// use dataflow_webhooks::UnverifiedBudget;
///
/// let shared = UnverifiedBudget::new(16 * 1024 * 1024);
/// assert_eq!(shared.held(), 0);
/// ```
#[derive(Clone)]
pub struct UnverifiedBudget(Arc<Budget>);

struct Budget {
    limit: usize,
    held: AtomicUsize,
}

impl UnverifiedBudget {
    /// What each body may hold whatever the others do, in bytes.
    pub const FREE_BYTES: usize = 16 * 1024;

    /// A budget of this many bytes.
    #[must_use]
    pub fn new(bytes: usize) -> Self {
        Self(Arc::new(Budget { limit: bytes, held: AtomicUsize::new(0) }))
    }

    /// The bound, in bytes.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.0.limit
    }

    /// How many bytes are held now.
    #[must_use]
    pub fn held(&self) -> usize {
        self.0.held.load(Relaxed)
    }

    /// Counts `more` bytes of a body that holds `so_far` already.
    pub(crate) fn grant(&self, so_far: usize, more: usize) -> Result<(), Rejection> {
        let before = self.0.held.fetch_add(more, Relaxed);
        let is_small = so_far.saturating_add(more) <= Self::FREE_BYTES;
        if is_small || before.saturating_add(more) <= self.0.limit {
            return Ok(());
        }
        self.give_back(more);
        let (held, limit) = (before as u64, self.0.limit as u64);
        Err(Rejection::with_figures(RejectionKind::TooManyBytes, held, limit))
    }

    pub(crate) fn give_back(&self, bytes: usize) {
        self.0.held.fetch_sub(bytes, Relaxed);
    }
}

impl Default for UnverifiedBudget {
    fn default() -> Self {
        Self::new(64 * 1024 * 1024)
    }
}

impl fmt::Debug for UnverifiedBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UnverifiedBudget")
            .field("limit", &self.limit())
            .field("held", &self.held())
            .finish()
    }
}
