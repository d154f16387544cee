//! All that an adapter holds: keys, store, limits, counts, and the gate.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::answer::Outcome;
use crate::budget::UnverifiedBudget;
use crate::dedup::{DedupStore, MemoryStore, Terms};
use crate::delivery::{Delivery, Observer};
use crate::explain::{Effort, Explanation, explain};
use crate::keyring::KeyRing;
use crate::rejection::{Rejection, RejectionKind};
use crate::source::{SourceAllowList, Unlisted};
use crate::telemetry::{Counts, Level, Telemetry};
use crate::verify::{Clock, Tolerance, Verification, Verifier};
use bytes::Bytes;

mod builder;
mod dead_letters;
mod gate;
mod head;

pub use builder::{EndpointBuilder, EndpointError, OnStoreFailure};
pub use gate::{Drain, PendingCommit, RunPermit};
pub use head::Head;

/// One webhook endpoint: its keys, its dedup store, its limits.
///
/// Make it once, and give clones of it (they are cheap and share everything) to
/// the adapter and to whoever rotates keys or drains at the end.
///
/// ```
/// use dataflow_webhooks::{Endpoint, KeyRing, Secret};
/// use std::time::Duration;
///
/// let keys = KeyRing::new(Secret::new("whsec_1a2b3c4d5e6f7g8h9i0j")?);
/// let endpoint = Endpoint::builder(keys)
///     .max_body_bytes(256 * 1024)
///     .lease(Duration::from_secs(20))
///     .build()?;
/// # let _ = endpoint;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Endpoint {
    shared: Arc<Shared>,
}

struct Shared {
    id: u64,
    verifier: Verifier,
    clock: Clock,
    store: Option<Arc<dyn DedupStore>>,
    /// What dedups while the store is away, where the user asked for that.
    stand_in: Option<MemoryStore>,
    limits: Limits,
    budget: UnverifiedBudget,
    source: Option<SourceAllowList>,
    dead_letters: Option<dead_letters::Office>,
    gate: gate::Gate,
    /// Shared with the memory stores that report to it.
    telemetry: Arc<Telemetry>,
}

/// The times and numbers that an endpoint keeps to. See
/// [`EndpointBuilder`] for each one's meaning and range.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    max_body_bytes: usize,
    body_within: Duration,
    answer_within: Duration,
    longest_run: Duration,
    max_running: usize,
    max_pending_commits: usize,
    tolerance: Tolerance,
    terms: Terms,
}

impl Limits {
    /// The longest body, in bytes.
    #[must_use]
    pub const fn max_body_bytes(&self) -> usize {
        self.max_body_bytes
    }

    /// The body must be complete this long after the head.
    #[must_use]
    pub const fn body_within(&self) -> Duration {
        self.body_within
    }

    /// The answer goes out this long after the head, at the latest.
    #[must_use]
    pub const fn answer_within(&self) -> Duration {
        self.answer_within
    }

    /// A handler that has run this long is dropped.
    #[must_use]
    pub const fn longest_run(&self) -> Duration {
        self.longest_run
    }

    /// So many handlers run at once.
    #[must_use]
    pub const fn max_running(&self) -> usize {
        self.max_running
    }

    /// So many settlements wait for the store before new deliveries are refused.
    #[must_use]
    pub const fn max_pending_commits(&self) -> usize {
        self.max_pending_commits
    }

    /// How far a signature's timestamp may lie from now.
    #[must_use]
    pub const fn tolerance(&self) -> Tolerance {
        self.tolerance
    }

    /// Lease and retention of each claim.
    #[must_use]
    pub const fn terms(&self) -> Terms {
        self.terms
    }
}

impl Endpoint {
    /// An endpoint with the keys of `DATAFLOW_WEBHOOK_SECRET` (or
    /// `DATAFLOW_WEBHOOK_SECRET_FILE`, see [`KeyRing::from_env`]), an in-memory
    /// dedup store and every default.
    ///
    /// # Errors
    ///
    /// As [`KeyRing::from_env`].
    pub fn from_env() -> Result<Self, EndpointError> {
        Self::builder(KeyRing::from_env()?).build()
    }

    /// An endpoint to be configured.
    pub fn builder(keys: impl Into<KeyRing>) -> EndpointBuilder {
        EndpointBuilder::new(keys.into())
    }

    /// What it is called in metrics and spans; `default` unless it was
    /// [named](EndpointBuilder::name).
    #[must_use]
    pub fn name(&self) -> &str {
        self.shared.telemetry.endpoint()
    }

    /// The keys, to be [replaced](KeyRing::replace) while requests run.
    #[must_use]
    pub fn keys(&self) -> &KeyRing {
        self.shared.verifier.keys()
    }

    /// What verifies its deliveries.
    #[must_use]
    pub fn verifier(&self) -> &Verifier {
        &self.shared.verifier
    }

    /// The dedup store; `None` when built
    /// [`without_dedup`](EndpointBuilder::without_dedup).
    #[must_use]
    pub fn store(&self) -> Option<&Arc<dyn DedupStore>> {
        self.shared.store.as_ref()
    }

    /// The in-process store that takes over while the store is away; only with
    /// [`OnStoreFailure::ProcessAnyway`]. For adapters.
    #[must_use]
    pub fn stand_in(&self) -> Option<&MemoryStore> {
        self.shared.stand_in.as_ref()
    }

    /// The times and numbers it keeps to.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.shared.limits
    }

    /// The budget for bytes of deliveries not yet verified.
    #[must_use]
    pub fn unverified_budget(&self) -> &UnverifiedBudget {
        &self.shared.budget
    }

    /// Counts the bytes of a verified body that waits for another delivery of its
    /// event against the [budget](Self::unverified_budget), until what this gives
    /// is dropped. `None` when there is no room for them. For adapters.
    ///
    /// Nothing of it is free, and it counts 2 KiB at the least: its sender may have
    /// hung up, and then no open request bounds how many there are.
    #[must_use]
    pub fn hold(&self, bytes: usize) -> Option<HeldBytes> {
        let bytes = bytes.max(2 * 1024);
        self.shared.grant(UnverifiedBudget::FREE_BYTES, bytes).ok()?;
        Some(HeldBytes { endpoint: self.clone(), bytes })
    }

    /// What it has counted since it was made.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let mut counts = self.shared.telemetry.counts();
        counts.running = self.shared.gate.running();
        counts.pending_commits = self.shared.gate.pending();
        counts.unverified_bytes = self.shared.budget.held();
        counts
    }

    /// Where adapters report what they saw.
    #[must_use]
    pub fn telemetry(&self) -> &Telemetry {
        &self.shared.telemetry
    }

    /// Looks at a request's head and begins to verify its body. The order is
    /// fixed: method, draining or not, source, header present once, grammar, timestamp,
    /// declared length. Nothing of the body has been hashed or kept by then.
    ///
    /// `header_lines` are the values of all `X-DataFlow-Signature` lines,
    /// `content_length` the declared length in bytes.
    ///
    /// The source is not known here: an endpoint with an
    /// [allow-list](EndpointBuilder::source) refuses all of it. See
    /// [`begin_from`](Self::begin_from).
    ///
    /// # Errors
    ///
    /// The [`Rejection`] to be answered.
    pub fn begin(
        &self,
        method: &str,
        header_lines: impl IntoIterator<Item = impl AsRef<[u8]>>,
        content_length: Option<u64>,
    ) -> Result<Verification, Rejection> {
        self.begin_from(Head::new(method, header_lines).with_content_length(content_length))
    }

    /// As [`begin`](Self::begin), with all that is known of the head. The source is
    /// looked at after method and draining, and before the header.
    ///
    /// # Errors
    ///
    /// The [`Rejection`] to be answered.
    pub fn begin_from<L, F, I>(&self, head: Head<'_, L, F>) -> Result<Verification, Rejection>
    where
        L: IntoIterator<Item: AsRef<[u8]>>,
        F: FnOnce(&'static str) -> I,
        I: IntoIterator<Item: AsRef<[u8]>>,
    {
        let Head { method, signature_lines, peer, forwarded_lines, content_length, .. } = head;
        if method != "POST" {
            return Err(RejectionKind::MethodNotAllowed.into());
        }
        if self.is_draining() {
            return Err(RejectionKind::Draining.into());
        }
        let unlisted = match &self.shared.source {
            Some(list) => list.judge(peer, forwarded_lines)?,
            None => None,
        };
        let verification = self.shared.verifier.begin(signature_lines, content_length)?;
        Ok(verification.observed_by(self.shared.clone(), unlisted))
    }

    /// Says in words why a request's signature does or does not match: for
    /// people who look into a failure, never for the sender. It accepts nothing.
    ///
    /// `header_lines` are the values of all `X-DataFlow-Signature` lines, `body`
    /// the raw body.
    #[must_use]
    pub fn explain(
        &self,
        header_lines: impl IntoIterator<Item = impl AsRef<[u8]>>,
        body: &[u8],
    ) -> Explanation {
        self.shared.verifier.explain(header_lines, body)
    }

    /// For adapters: may a request pass on that holds this delivery already, for
    /// the application is wrapped twice?
    ///
    /// # Errors
    ///
    /// Another endpoint has verified it, which is counted: this is its answer.
    pub fn passes_on(&self, delivery: &Delivery) -> Result<(), Outcome> {
        if self.has_verified(delivery) {
            return Ok(());
        }
        let outcome = Outcome::WrongEndpoint;
        self.telemetry().answered(delivery, outcome, false);
        Err(outcome)
    }

    /// Did this endpoint verify that delivery? Another one's key proves nothing
    /// here.
    #[must_use]
    pub fn has_verified(&self, delivery: &Delivery) -> bool {
        delivery.endpoint_id() == Some(self.shared.id)
    }
}

impl Observer for Shared {
    fn grant(&self, so_far: usize, more: usize) -> Result<(), Rejection> {
        self.budget.grant(so_far, more)?;
        self.telemetry.raise(Level::UnverifiedBytes, more);
        Ok(())
    }

    fn give_back(&self, bytes: usize) {
        if bytes > 0 {
            self.budget.give_back(bytes);
            self.telemetry.lower(Level::UnverifiedBytes, bytes);
        }
    }

    fn endpoint_id(&self) -> u64 {
        self.id
    }

    fn no_match(&self, body_bytes: usize, evidence: &dyn Fn() -> (Vec<u8>, Bytes)) {
        self.telemetry.no_match(body_bytes, || {
            let (header_line, body) = evidence();
            explain(&self.verifier, [header_line], &body, self.clock.now(), Effort::Quick)
        });
    }

    fn verified(&self, delivery: &Delivery, by_newest: bool) {
        self.telemetry.verified(delivery, by_newest);
    }

    fn unlisted(&self, delivery: &Delivery, unlisted: Unlisted) {
        self.telemetry.unlisted(delivery, unlisted);
    }

    fn mismatched(&self, delivery: &Delivery) {
        self.telemetry.mismatched(delivery);
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("name", &self.name())
            .field("verifier", &self.shared.verifier)
            .field("limits", &self.shared.limits)
            .field("budget", &self.shared.budget)
            .field("draining", &self.is_draining())
            .finish_non_exhaustive()
    }
}

/// Bytes counted until this is dropped. See [`Endpoint::hold`].
pub struct HeldBytes {
    endpoint: Endpoint,
    bytes: usize,
}

impl Drop for HeldBytes {
    fn drop(&mut self) {
        self.endpoint.shared.give_back(self.bytes);
    }
}

impl fmt::Debug for HeldBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HeldBytes").field("bytes", &self.bytes).finish_non_exhaustive()
    }
}
