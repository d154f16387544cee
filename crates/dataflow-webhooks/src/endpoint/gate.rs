//! How many handlers run and how many commits are pending; the gate that
//! closes when the process is about to stop. Needs no runtime.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use super::{Endpoint, Limits, Shared};
use crate::rejection::{Rejection, RejectionKind as Kind};
use crate::telemetry::Level;

#[derive(Default)]
pub(super) struct Gate {
    closed: AtomicBool,
    running: AtomicUsize,
    pending: AtomicUsize,
    drains: Mutex<Vec<Waker>>,
}

impl Gate {
    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(SeqCst)
    }

    pub(super) fn running(&self) -> usize {
        self.running.load(SeqCst)
    }

    pub(super) fn pending(&self) -> usize {
        self.pending.load(SeqCst)
    }

    /// Counts first and looks at the gate second: whoever closes it either sees
    /// the count or is seen here.
    fn enter(&self, limits: &Limits) -> Result<(), Rejection> {
        let before = self.running.fetch_add(1, SeqCst);
        if self.is_closed() {
            self.leave(&self.running);
            return Err(Kind::Draining.into());
        }
        let (running, pending) = (limits.max_running(), limits.max_pending_commits());
        for (kind, figure, most) in [
            (Kind::TooManyRunning, before, running),
            (Kind::TooManyPending, self.pending(), pending),
        ] {
            if figure >= most {
                self.leave(&self.running);
                return Err(Rejection::with_figures(kind, figure as u64, most as u64));
            }
        }
        Ok(())
    }

    fn leave(&self, count: &AtomicUsize) {
        count.fetch_sub(1, SeqCst);
        if self.is_closed() && self.is_idle() {
            let wakers = std::mem::take(&mut *self.drains());
            wakers.into_iter().for_each(Waker::wake);
        }
    }

    /// A run turns into a pending commit by raising `pending` before it lowers
    /// `running`; read in this order, the two are never both missed.
    fn is_idle(&self) -> bool {
        self.running() == 0 && self.pending() == 0
    }

    fn drains(&self) -> MutexGuard<'_, Vec<Waker>> {
        self.drains.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Endpoint {
    /// A place among the running handlers, held until the claim is settled.
    /// Adapters take one before they make the claim.
    ///
    /// # Errors
    ///
    /// [`Draining`](Kind::Draining), [`TooManyRunning`](Kind::TooManyRunning), or
    /// [`TooManyPending`](Kind::TooManyPending).
    pub fn enter(&self) -> Result<RunPermit, Rejection> {
        self.shared.gate.enter(&self.shared.limits)?;
        self.shared.telemetry.raise(Level::Running, 1);
        Ok(RunPermit { endpoint: self.clone() })
    }

    /// Closes the gate: from now on deliveries are answered 503, so that the
    /// sender tries again later, and duplicates in waiting are too. It does not
    /// open again.
    ///
    /// The future resolves when every handler and every pending commit has
    /// settled, those whose sender has hung up included. It waits as long as
    /// they take: at most the longest run for a handler, and until the store is
    /// back for a commit. Put a time-out around it where the process must stop.
    pub fn drain(&self) -> Drain {
        self.shared.gate.closed.store(true, SeqCst);
        Drain { endpoint: self.clone() }
    }

    /// Has [`drain`](Self::drain) been called?
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.shared.gate.is_closed()
    }
}

/// One running handler, counted until this is dropped. See
/// [`Endpoint::enter`].
pub struct RunPermit {
    endpoint: Endpoint,
}

impl RunPermit {
    /// The handler is done, its commit is not: counts as pending from now on,
    /// and no longer against the limit of running handlers. Never refused, for it is
    /// done: the limit of pending commits is looked at before a handler runs.
    #[must_use]
    pub fn into_pending(self) -> PendingCommit {
        let Shared { gate, telemetry, .. } = &*self.endpoint.shared;
        gate.pending.fetch_add(1, SeqCst);
        telemetry.raise(Level::PendingCommits, 1);
        PendingCommit { endpoint: self.endpoint.clone() }
    }
}

impl Drop for RunPermit {
    fn drop(&mut self) {
        let Shared { gate, telemetry, .. } = &*self.endpoint.shared;
        // First, so that whoever drains finds nothing left.
        telemetry.lower(Level::Running, 1);
        gate.leave(&gate.running);
    }
}

impl fmt::Debug for RunPermit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RunPermit")
    }
}

/// A settlement that the store has not accepted yet, counted until this is
/// dropped. See [`RunPermit::into_pending`].
pub struct PendingCommit {
    endpoint: Endpoint,
}

impl Drop for PendingCommit {
    fn drop(&mut self) {
        let Shared { gate, telemetry, .. } = &*self.endpoint.shared;
        // First, so that whoever drains finds nothing left.
        telemetry.lower(Level::PendingCommits, 1);
        gate.leave(&gate.pending);
    }
}

impl fmt::Debug for PendingCommit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PendingCommit")
    }
}

/// Resolves when nothing runs and nothing is pending. See [`Endpoint::drain`].
#[must_use = "the gate is closed, but only awaiting this waits for what runs"]
pub struct Drain {
    endpoint: Endpoint,
}

impl Future for Drain {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let gate = &self.endpoint.shared.gate;
        // Under the lock that `leave` takes after it has counted down: either
        // the count is seen here, or the waker is seen there.
        let mut drains = gate.drains();
        if gate.is_idle() {
            return Poll::Ready(());
        }
        if !drains.iter().any(|waker| waker.will_wake(cx.waker())) {
            drains.push(cx.waker().clone());
        }
        Poll::Pending
    }
}

impl fmt::Debug for Drain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let gate = &self.endpoint.shared.gate;
        f.debug_struct("Drain")
            .field("running", &gate.running())
            .field("pending", &gate.pending())
            .finish()
    }
}
