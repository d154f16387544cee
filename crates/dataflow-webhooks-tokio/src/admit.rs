//! The claim on a delivery's event; a duplicate of a delivery in flight waits
//! its turn here.

use std::time::Duration;

use dataflow_webhooks::adapter::{HeldBytes, RunPermit};
use dataflow_webhooks::dedup::{ClaimOutcome, DedupStore, Held};
use dataflow_webhooks::{Claim, DedupKey, Delivery, Endpoint, Outcome, StoreOperation};
use tokio::time::{Instant, sleep_until};

use crate::store::{StoreFailed, call_store};
use crate::timer::AHEAD;

/// The pause before a duplicate in waiting asks again: doubled each time, from
/// the first to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_millis(200);

/// A delivery that may run now.
pub(crate) struct Admission {
    pub(crate) permit: RunPermit,
    pub(crate) since: Instant,
    /// `None` without deduplication.
    pub(crate) lease: Option<Lease>,
}

/// A claim, and the store it was made in.
#[derive(Clone)]
pub(crate) struct Lease {
    pub(crate) claim: Claim,
    holder: Holder,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Holder {
    Store,
    /// The in-process store that took over while the store was away.
    StandIn,
}

impl Lease {
    /// The store that the claim was made in.
    pub(crate) fn store<'a>(&self, endpoint: &'a Endpoint) -> Option<&'a dyn DedupStore> {
        self.holder.store(endpoint)
    }
}

impl Holder {
    fn store(self, endpoint: &Endpoint) -> Option<&dyn DedupStore> {
        match self {
            Self::Store => endpoint.store().map(|store| &**store as &dyn DedupStore),
            Self::StandIn => endpoint.stand_in().map(|store| store as &dyn DedupStore),
        }
    }
}

/// What came of asking whether a delivery may run.
pub(crate) enum Asked {
    Admitted(Admission),
    /// Another delivery of the event is in flight: wait, and ask again.
    InFlight,
    Answered(Outcome),
}

/// The turn of one delivery, and how long it has waited for it.
pub(crate) struct Turn {
    key: Option<DedupKey>,
    deadline: Instant,
    pause: Duration,
    held: Option<HeldBytes>,
}

impl Turn {
    pub(crate) fn of(endpoint: &Endpoint, delivery: &Delivery, deadline: Instant) -> Self {
        let key = endpoint.store().map(|_| delivery.dedup_key());
        Self { key, deadline, pause: FIRST_PAUSE, held: None }
    }

    /// Asks once whether the delivery may run.
    pub(crate) async fn ask(&self, endpoint: &Endpoint, delivery: &Delivery) -> Asked {
        // Before the claim, so that no claim is ever made in vain; and not while
        // waiting, so that duplicates in waiting take no handler's place.
        let permit = match endpoint.enter() {
            Ok(permit) => permit,
            Err(rejection) => {
                endpoint.telemetry().rejected(&rejection);
                return Asked::Answered(Outcome::Rejected(rejection.kind()));
            }
        };
        let Some(key) = &self.key else {
            return Asked::Admitted(Admission { permit, since: Instant::now(), lease: None });
        };
        let mut holder = Holder::Store;
        let answer = loop {
            let answer = claim(endpoint, holder, key).await;
            if answer.is_ok() || holder == Holder::StandIn || endpoint.stand_in().is_none() {
                break answer;
            }
            holder = Holder::StandIn;
        };
        let claim = match answer {
            Ok(ClaimOutcome::New(claim)) => claim,
            Ok(ClaimOutcome::Done) => return Asked::Answered(Outcome::Duplicate),
            Ok(ClaimOutcome::InFlight) => return Asked::InFlight,
            Err(StoreFailed) => return Asked::Answered(Outcome::StoreUnavailable),
        };
        let lease = Lease { claim, holder };
        let now = Instant::now();
        if now >= self.deadline {
            // The sender has been told to come again: leave it the event. Boxed,
            // for it is rare and would take its room in every delivery's work.
            Box::pin(give_back(endpoint, delivery, &lease)).await;
            return Asked::Answered(Outcome::Late);
        }
        if holder == Holder::StandIn {
            endpoint.telemetry().processed_anyway(delivery);
        }
        Asked::Admitted(Admission { permit, since: now, lease: Some(lease) })
    }

    /// Waits before the next time, a little longer each time. An error is the
    /// answer of a delivery that may wait no longer.
    pub(crate) async fn wait(
        &mut self,
        endpoint: &Endpoint,
        delivery: &Delivery,
    ) -> Result<(), Outcome> {
        let (now, last_ask) = (Instant::now(), self.deadline - AHEAD);
        if now >= last_ask {
            return Err(Outcome::InFlight);
        }
        // A recorded delivery can be sent again and again: what waits is bounded.
        if self.held.is_none() {
            self.held = endpoint.hold(delivery.body().len());
            if self.held.is_none() {
                return Err(Outcome::InFlight);
            }
        }
        sleep_until((now + self.pause).min(last_ask)).await;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        Ok(())
    }
}

async fn claim(
    endpoint: &Endpoint,
    holder: Holder,
    key: &DedupKey,
) -> Result<ClaimOutcome, StoreFailed> {
    let Some(store) = holder.store(endpoint) else { return Err(StoreFailed) };
    // Not cut off at the deadline: the answer goes out then in any case, and a
    // claim that comes back later is given back. One that is cut off here and
    // was stored all the same lapses before the sender's next attempt.
    let terms = endpoint.limits().terms();
    call_store(endpoint, StoreOperation::Claim, None, || store.claim(key, terms)).await
}

/// Releases a claim that came too late. Should that fail, its lease lapses
/// before the sender's next attempt.
async fn give_back(endpoint: &Endpoint, delivery: &Delivery, lease: &Lease) {
    let Some(store) = lease.store(endpoint) else { return };
    let terms = endpoint.limits().terms();
    let operation = StoreOperation::Release;
    let release = || store.release(&lease.claim, terms);
    match call_store(endpoint, operation, None, release).await {
        Ok(Held::No) => {
            endpoint.telemetry().lease_lost(delivery.id(), lease.claim.epoch(), operation);
        }
        Ok(Held::Yes) | Err(StoreFailed) => {}
    }
}
