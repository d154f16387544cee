//! The end of a claim: one try while the sender waits, then as many as it takes
//! in the background.

use std::time::Duration;

use dataflow_webhooks::dedup::{Held, StoreFuture};
use dataflow_webhooks::{Delivery, Endpoint, PendingCommit, StoreOperation, Verdict};
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep};

use crate::admit::{Admission, LAST_ASK, Lease, STORE_CALL, StoreFailure, call_store};

/// The pause before a failed settlement is tried again: doubled each time, from
/// the first to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Settles the claim of a handler that has ended. Returns after the first try,
/// whatever came of it: the sender must not wait for a store.
pub(crate) async fn settle(
    endpoint: &Endpoint,
    delivery: &Delivery,
    admission: Admission,
    verdict: Verdict,
    deadline: Instant,
) {
    let Admission { permit, lease } = admission;
    let Some(lease) = lease else { return };
    let left = deadline.saturating_duration_since(Instant::now());
    // Given up a little before the deadline, so that the handler's answer goes
    // out and not the one to a late handler. With nobody waiting any more, the
    // store has the time it usually has.
    let time =
        if left.is_zero() { STORE_CALL } else { (left - LAST_ASK.min(left / 2)).min(STORE_CALL) };
    match attempt(endpoint, &lease, verdict, time).await {
        Ok(held) => note(endpoint, delivery, verdict, held),
        Err(failure) => {
            endpoint.telemetry().store_failed(verdict.into(), &failure);
            let retrying = settle_later(
                endpoint.clone(),
                delivery.clone(),
                lease,
                verdict,
                permit.into_pending(),
            );
            // The runtime is there: this was polled by it. Should it be on its
            // way down, the lease lapses and the event runs again.
            if let Ok(runtime) = Handle::try_current() {
                runtime.spawn(retrying);
            }
        }
    }
}

async fn attempt(
    endpoint: &Endpoint,
    lease: &Lease,
    verdict: Verdict,
    time: Duration,
) -> Result<Held, StoreFailure> {
    let Some(store) = lease.store(endpoint) else { return Ok(Held::No) };
    let (claim, terms) = (&lease.claim, endpoint.limits().terms());
    call_store(time, || -> StoreFuture<'_, Held> {
        match verdict {
            Verdict::Commit => store.commit(claim, terms),
            Verdict::Release => store.release(claim, terms),
        }
    })
    .await
}

/// Tries until the store accepts or refuses it, with back-off. Drain waits for
/// it through `pending`.
async fn settle_later(
    endpoint: Endpoint,
    delivery: Delivery,
    lease: Lease,
    verdict: Verdict,
    pending: PendingCommit,
) {
    let terms = endpoint.limits().terms();
    // A released event may run again as soon as its lease has lapsed; a
    // completed one must be recorded as long as it would be remembered.
    let patience = match verdict {
        Verdict::Commit => terms.retention(),
        Verdict::Release => terms.lease(),
    };
    let started = Instant::now();
    let mut pause = FIRST_PAUSE;
    let mut is_held = true;
    while started.elapsed() < patience {
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
        match attempt(&endpoint, &lease, verdict, STORE_CALL).await {
            Ok(held) => {
                note(&endpoint, &delivery, verdict, held);
                break;
            }
            Err(failure) => endpoint.telemetry().store_failed(verdict.into(), &failure),
        }
        if verdict == Verdict::Commit && is_held {
            is_held = keep(&endpoint, &lease).await;
        }
    }
    drop(pending);
}

/// Renews the lease of an event that is done but not recorded as such, for a
/// store that refuses only commits: a duplicate then finds it in flight.
///
/// Says whether there is still something to renew. A refusal does not tell a
/// lease that was lost from a commit that happened unheard of; the next try of
/// the commit will.
async fn keep(endpoint: &Endpoint, lease: &Lease) -> bool {
    let Some(store) = lease.store(endpoint) else { return false };
    let terms = endpoint.limits().terms();
    match call_store(STORE_CALL, || store.renew(&lease.claim, terms)).await {
        Ok(held) => held == Held::Yes,
        Err(failure) => {
            endpoint.telemetry().store_failed(StoreOperation::Renew, &failure);
            true
        }
    }
}

fn note(endpoint: &Endpoint, delivery: &Delivery, verdict: Verdict, held: Held) {
    match held {
        Held::Yes => {}
        Held::No => endpoint.telemetry().lease_lost(delivery, verdict.into()),
    }
}
