//! Each event once: claim, run, commit or release, by hand. `verify` does none of
//! this; the adapters for tower, axum and actix-web do more of it.

use std::time::Duration;

use dataflow_webhooks::dedup::{ClaimOutcome, DedupStore as _, Held};
use dataflow_webhooks::{MemoryStore, Outcome, Terms};
use tokio::time::{timeout, timeout_at};
use tokio_util::task::TaskTracker;
use tracing::error;

use crate::verified::Verified;

/// The platform hangs up after 5 s. Whatever runs then runs on.
const ANSWER_WITHIN: Duration = Duration::from_millis(4_500);

/// Shorter than the lease of a claim, 30 s: nobody renews it here, and two runs of
/// one event must not overlap.
const LONGEST_RUN: Duration = Duration::from_secs(20);

/// Which events are done or in flight, and the handlers that run. Clones share it.
#[derive(Clone, Default)]
pub(crate) struct Once {
    store: MemoryStore,
    running: TaskTracker,
}

impl Once {
    /// Handles the delivery, unless its event is done already.
    pub(crate) async fn handle(&self, Verified { delivery, arrived }: Verified) -> Outcome {
        let (store, terms) = (self.store.clone(), Terms::default());
        let claim = match store.claim(&delivery.dedup_key(), terms).await {
            Ok(ClaimOutcome::New(claim)) => claim,
            Ok(ClaimOutcome::Done) => return Outcome::Duplicate,
            // Not 200, for that run may yet fail.
            Ok(ClaimOutcome::InFlight) => return Outcome::InFlight,
            Err(error) => {
                error!("the event could not be claimed: {error}");
                return Outcome::StoreUnavailable;
            }
        };
        let delivery = delivery.with_claim(claim.clone());
        // A task of its own, so that nothing ends it half-way. If it panics, the
        // claim lapses before the next attempt, which comes a minute later.
        let run = self.running.spawn(async move {
            let done =
                matches!(timeout(LONGEST_RUN, receiver::process(&delivery)).await, Ok(Ok(())));
            let settled = if done {
                store.commit(&claim, terms).await
            } else {
                store.release(&claim, terms).await
            };
            match settled {
                _ if !done => Outcome::Failed,
                Ok(Held::Yes) => Outcome::Handled,
                // What was not recorded as done must come again.
                _ => Outcome::StoreUnavailable,
            }
        });
        match timeout_at(arrived + ANSWER_WITHIN, run).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Outcome::Panicked,
            Err(_) => Outcome::Late,
        }
    }

    /// Waits for the handlers that still run.
    pub(crate) async fn drained(&self) {
        self.running.close();
        self.running.wait().await;
    }
}
