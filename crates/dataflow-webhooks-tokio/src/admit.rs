//! The claim on a delivery's event; a duplicate of a delivery in flight waits
//! its turn here.

use std::time::Duration;

use dataflow_webhooks::dedup::{ClaimOutcome, DedupStore, Held};
use dataflow_webhooks::{
    Claim, DedupKey, Delivery, Endpoint, Outcome, Rejection, RunPermit, StoreOperation,
};
use tokio::time::{Instant, sleep_until};

use crate::store::call_store;
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

/// Waits until the delivery may run, or says what comes of it instead.
pub(crate) async fn admit(
    endpoint: &Endpoint,
    delivery: &Delivery,
    deadline: Instant,
) -> Result<Admission, Outcome> {
    if endpoint.store().is_none() {
        let permit = enter(endpoint)?;
        return Ok(Admission { permit, since: Instant::now(), lease: None });
    }
    let key = delivery.dedup_key();
    let last_ask = deadline - AHEAD;
    let mut pause = FIRST_PAUSE;
    let mut held = None;
    loop {
        // Before the claim, so that no claim is ever made in vain; and not while
        // waiting, so that duplicates in waiting take no handler's place.
        let permit = enter(endpoint)?;
        let mut holder = Holder::Store;
        let answer = loop {
            let answer = claim(endpoint, holder, &key).await;
            if answer.is_ok() || holder == Holder::StandIn || endpoint.stand_in().is_none() {
                break answer;
            }
            holder = Holder::StandIn;
        };
        match answer {
            Ok(ClaimOutcome::New(claim)) => {
                let lease = Lease { claim, holder };
                let now = Instant::now();
                if now < deadline {
                    if holder == Holder::StandIn {
                        endpoint.telemetry().processed_anyway(delivery);
                    }
                    return Ok(Admission { permit, since: now, lease: Some(lease) });
                }
                // The sender has been told to come again: leave it the event. Boxed,
                // for it is rare and would take its room in every delivery's work.
                Box::pin(give_back(endpoint, delivery, &lease)).await;
                return Err(Outcome::Late);
            }
            Ok(ClaimOutcome::Done) => return Err(Outcome::Duplicate),
            Ok(ClaimOutcome::InFlight) => {}
            Err(()) => return Err(Outcome::StoreUnavailable),
        }
        drop(permit);
        let now = Instant::now();
        if now >= last_ask {
            return Err(Outcome::InFlight);
        }
        // A recorded delivery can be sent again and again: what waits is bounded.
        if held.is_none() {
            held = endpoint.unverified_budget().hold(delivery.body().len());
            if held.is_none() {
                return Err(Outcome::InFlight);
            }
        }
        sleep_until((now + pause).min(last_ask)).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

fn enter(endpoint: &Endpoint) -> Result<RunPermit, Outcome> {
    endpoint.enter().map_err(|rejection: Rejection| {
        endpoint.telemetry().rejected(&rejection);
        Outcome::Rejected(rejection.kind())
    })
}

async fn claim(endpoint: &Endpoint, holder: Holder, key: &DedupKey) -> Result<ClaimOutcome, ()> {
    let Some(store) = holder.store(endpoint) else { return Err(()) };
    // Not cut off at the deadline: the answer goes out then in any case, and a
    // claim that comes back later is given back. One that is cut off here and
    // was stored all the same lapses before the sender's next attempt.
    let terms = endpoint.limits().terms();
    call_store(None, || store.claim(key, terms)).await.map_err(|failure| {
        endpoint.telemetry().store_failed(StoreOperation::Claim, &failure);
    })
}

/// Releases a claim that came too late. Should that fail, its lease lapses
/// before the sender's next attempt.
async fn give_back(endpoint: &Endpoint, delivery: &Delivery, lease: &Lease) {
    let Some(store) = lease.store(endpoint) else { return };
    let terms = endpoint.limits().terms();
    let operation = StoreOperation::Release;
    match call_store(None, || store.release(&lease.claim, terms)).await {
        Ok(Held::Yes) => {}
        Ok(Held::No) => endpoint.telemetry().lease_lost(delivery, operation),
        Err(failure) => endpoint.telemetry().store_failed(operation, &failure),
    }
}
