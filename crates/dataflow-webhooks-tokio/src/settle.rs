//! The end of a claim: a dead letter where one is due, one try while the sender waits,
//! then as many as it takes in the background.

use std::time::Duration;

use dataflow_webhooks::adapter::{HandlerEnd, PendingCommit, Verdict};
use dataflow_webhooks::dedup::Held;
use dataflow_webhooks::{Delivery, Endpoint};
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep};

use crate::admit::{Admission, Lease};
use crate::dead_letter::keep_if_due;
use crate::lease::{Renewal, renew};
use crate::store::{StoreFailed, call_store};

/// The pause before a failed settlement is tried again: doubled each time, from
/// the first to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Keeps what has failed for the last time, and tries to settle the claim: how, and
/// what came of it.
pub(crate) async fn settle(
    endpoint: &Endpoint,
    delivery: &Delivery,
    admission: &mut Admission,
    (verdict, end, status): (Verdict, HandlerEnd, Option<u16>),
    deadline: Instant,
) -> (Verdict, Option<Result<Held, StoreFailed>>) {
    let is_kept = match keep_if_due(endpoint, delivery, admission, end, status) {
        Some(keeping) => keeping.await,
        None => false,
    };
    let verdict = if is_kept { Verdict::Commit } else { verdict };
    let Some(lease) = &admission.lease else { return (verdict, None) };
    (verdict, Some(attempt(endpoint, lease, verdict, Some(deadline)).await))
}

/// One try to settle a claim, within the time that the sender still waits.
async fn attempt(
    endpoint: &Endpoint,
    lease: &Lease,
    verdict: Verdict,
    deadline: Option<Instant>,
) -> Result<Held, StoreFailed> {
    let Some(store) = lease.store(endpoint) else { return Ok(Held::No) };
    let (claim, terms) = (&lease.claim, endpoint.limits().terms());
    let call = || match verdict {
        Verdict::Commit => store.commit(claim, terms),
        Verdict::Release => store.release(claim, terms),
    };
    call_store(endpoint, verdict.into(), deadline, call).await
}

/// What follows from the first try, whatever came of it: the sender must not wait
/// for a store.
pub(crate) fn conclude(
    endpoint: Endpoint,
    delivery: Delivery,
    admission: Admission,
    verdict: Verdict,
    tried: Result<Held, StoreFailed>,
) {
    let Admission { permit, lease: Some(lease), .. } = admission else { return };
    match tried {
        Ok(held) => note(&endpoint, delivery.id(), &lease, verdict, held),
        Err(StoreFailed) => {
            let pending = permit.into_pending();
            // The id and not the delivery: a store may be away for long, and every body
            // that comes meanwhile would be held for as long.
            let id = delivery.id().into();
            let retrying = settle_later(endpoint, id, lease, verdict, pending);
            // The runtime is there: this was polled by it. Should it be on its
            // way down, the lease lapses and the event runs again.
            if let Ok(runtime) = Handle::try_current() {
                runtime.spawn(retrying);
            }
        }
    }
}

/// Tries until the store accepts or refuses it, with back-off. Drain waits for
/// it through `pending`.
async fn settle_later(
    endpoint: Endpoint,
    event_id: Box<str>,
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
        if let Ok(held) = attempt(&endpoint, &lease, verdict, None).await {
            note(&endpoint, &event_id, &lease, verdict, held);
            break;
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
    !matches!(renew(endpoint, lease).await, Renewal::Lost)
}

fn note(endpoint: &Endpoint, event_id: &str, lease: &Lease, verdict: Verdict, held: Held) {
    match held {
        Held::Yes => {}
        Held::No => {
            endpoint.telemetry().lease_lost(event_id, lease.claim.epoch(), verdict.into());
        }
    }
}
