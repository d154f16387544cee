//! The receivers, each on each stack, and the endpoints that ours share.

mod actix;
mod axum;
mod hand_written;
mod tower;

use std::cell::OnceCell;
use std::num::NonZeroUsize;

use dataflow_webhooks::dedup::{ClaimOutcome, DedupStore as _};
use dataflow_webhooks::{DedupKey, Endpoint, EndpointBuilder, MemoryStore, Secret, Terms};
use tokio::runtime::Runtime;

use crate::rows::{Row, Stack};
use crate::wire::Served;

pub(crate) const SECRET: &str = "whsec_1a2b3c4d5e6f7g8h9i0j";

/// The path of the route, on every stack.
const PATH: &str = "/webhooks/dataflow";

/// Sets a row up.
pub(crate) fn serve(row: Row, endpoints: &Endpoints<'_>) -> Served {
    match row.stack {
        Stack::Tower => tower::serve(row.receiver, endpoints),
        Stack::Axum => axum::serve(row.receiver, endpoints),
        Stack::Actix => actix::serve(row.receiver, endpoints),
    }
}

/// Our endpoints: one without deduplication, one with. All stacks share them: the
/// store is large, and a second one would push it out of the caches.
pub(crate) struct Endpoints<'a> {
    pub(crate) runtime: &'a Runtime,
    records: NonZeroUsize,
    without_dedup: Endpoint,
    with_dedup: OnceCell<Endpoint>,
}

impl<'a> Endpoints<'a> {
    /// With so many records in the store.
    pub(crate) fn new(runtime: &'a Runtime, records: NonZeroUsize) -> Self {
        let without_dedup = built(builder().without_dedup());
        Self { runtime, records, without_dedup, with_dedup: OnceCell::new() }
    }

    fn without_dedup(&self) -> Endpoint {
        self.without_dedup.clone()
    }

    /// Fills the store, the first time.
    fn with_dedup(&self) -> Endpoint {
        let make = || built(builder().dedup(self.runtime.block_on(full_store(self.records))));
        self.with_dedup.get_or_init(make).clone()
    }
}

fn builder() -> EndpointBuilder {
    Endpoint::builder(Secret::new(SECRET).expect("it is a valid secret"))
}

fn built(builder: EndpointBuilder) -> Endpoint {
    builder.build().expect("the defaults are in range")
}

/// A store as it is after a day at the platform's limit: each new event drops
/// the oldest.
async fn full_store(records: NonZeroUsize) -> MemoryStore {
    let store = MemoryStore::with_capacity(records);
    let terms = Terms::default();
    for number in 0..records.get() {
        let key = DedupKey::from_event_id(&format!("evt_before_{number:06}"));
        if let Ok(ClaimOutcome::New(claim)) = store.claim(&key, terms).await {
            let _ = store.commit(&claim, terms).await;
        }
    }
    assert_eq!(store.len(), records.get());
    store
}
