//! The lease of a claim, while there is something to be done under it.

use dataflow_webhooks::dedup::Held;
use dataflow_webhooks::{Delivery, Endpoint, StoreOperation};

use crate::admit::{Admission, Lease};
use crate::store::{StoreFailed, call_store};

/// Renews the lease once, and says whether it may still be held: a store that does
/// not answer has not taken it away.
pub(crate) async fn still_held(
    endpoint: &Endpoint,
    delivery: &Delivery,
    admission: &mut Admission,
) -> bool {
    let Some(lease) = &admission.lease else { return false };
    match renew(endpoint, lease).await {
        Renewal::Renewed | Renewal::Failed => true,
        Renewal::Lost => {
            give_up(endpoint, delivery, admission);
            false
        }
    }
}

/// The lease is lost: nothing of it is left to settle.
pub(crate) fn give_up(endpoint: &Endpoint, delivery: &Delivery, admission: &mut Admission) {
    let Some(lease) = admission.lease.take() else { return };
    endpoint.telemetry().lease_lost(delivery.id(), lease.claim.epoch(), StoreOperation::Renew);
}

/// What a renewal has come to.
pub(crate) enum Renewal {
    Renewed,
    Lost,
    /// The store did not answer, and has not taken it away.
    Failed,
}

/// One call of the store to renew the lease.
pub(crate) async fn renew(endpoint: &Endpoint, lease: &Lease) -> Renewal {
    let Some(store) = lease.store(endpoint) else { return Renewal::Lost };
    let terms = endpoint.limits().terms();
    let renew = || store.renew(&lease.claim, terms);
    match call_store(endpoint, StoreOperation::Renew, None, renew).await {
        Ok(Held::Yes) => Renewal::Renewed,
        Ok(Held::No) => Renewal::Lost,
        Err(StoreFailed) => Renewal::Failed,
    }
}
