//! A dedup store that writes down what another one has answered.

use std::sync::Arc;
use std::time::Duration;

use dataflow_webhooks::dedup::{ClaimOutcome, Held, StoreFuture};
use dataflow_webhooks::{Claim, DedupKey, DedupStore, Terms};

use crate::history::{Recorder, What, now};

/// Stores count in milliseconds, and round when a claim is made and when another one is
/// asked for.
const ROUNDING: Duration = Duration::from_millis(2);

/// Writes the answers of a store into a history, and makes its leases shorter: the
/// shortest that an endpoint takes is too long for a run in less time.
#[derive(Debug, Clone)]
pub struct RecordingStore<S> {
    store: S,
    history: Arc<Recorder>,
    lease: Duration,
}

impl<S> RecordingStore<S> {
    /// Leases of this store last so long.
    pub fn new(store: S, history: Arc<Recorder>, lease: Duration) -> Self {
        Self { store, history, lease }
    }

    fn terms(&self, terms: Terms) -> Terms {
        Terms::new(self.lease, terms.retention())
    }

    /// The lease that the history may count on, in nanoseconds.
    fn lease(&self) -> u64 {
        u64::try_from(self.lease.saturating_sub(ROUNDING).as_nanos()).unwrap_or(u64::MAX)
    }
}

/// The event's id and the epoch of a claim.
fn name(claim: &Claim) -> (String, u64) {
    (id(claim.key()), claim.epoch())
}

fn id(key: &DedupKey) -> String {
    key.as_str().trim_start_matches("id:").to_owned()
}

impl<S: DedupStore> DedupStore for RecordingStore<S> {
    fn claim<'a>(&'a self, key: &'a DedupKey, terms: Terms) -> StoreFuture<'a, ClaimOutcome> {
        Box::pin(async move {
            let called = now();
            let answer = self.store.claim(key, self.terms(terms)).await?;
            if let ClaimOutcome::New(claim) = &answer {
                let (id, epoch) = name(claim);
                let lease = self.lease();
                self.history.record(What::Claimed { id, epoch, called, lease });
            }
            Ok(answer)
        })
    }

    fn renew<'a>(&'a self, claim: &'a Claim, terms: Terms) -> StoreFuture<'a, Held> {
        Box::pin(async move {
            let called = now();
            let held = self.store.renew(claim, self.terms(terms)).await?;
            if held == Held::Yes {
                let (id, epoch) = name(claim);
                let lease = self.lease();
                self.history.record(What::Renewed { id, epoch, called, lease });
            }
            Ok(held)
        })
    }

    fn commit<'a>(&'a self, claim: &'a Claim, terms: Terms) -> StoreFuture<'a, Held> {
        Box::pin(async move {
            let held = self.store.commit(claim, self.terms(terms)).await;
            let (id, epoch) = name(claim);
            match &held {
                Ok(Held::Yes) => self.history.record(What::Committed { id, epoch }),
                Ok(Held::No) => {}
                Err(_) => self.history.record(What::CommitFailed { id, epoch }),
            }
            held
        })
    }

    fn release<'a>(&'a self, claim: &'a Claim, terms: Terms) -> StoreFuture<'a, Held> {
        Box::pin(async move {
            // Written down before: it may happen and never be heard of.
            let (id, epoch) = name(claim);
            self.history.record(What::Releasing { id, epoch });
            self.store.release(claim, self.terms(terms)).await
        })
    }

    fn forget<'a>(&'a self, key: &'a DedupKey) -> StoreFuture<'a, ()> {
        self.store.forget(key)
    }
}
