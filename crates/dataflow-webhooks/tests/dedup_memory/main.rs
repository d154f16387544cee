//! The memory store: the contract of all stores, and what it promises on its own.

mod room;
mod sharing;

use std::num::NonZeroUsize;
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

use dataflow_webhooks::dedup::{
    Claim, ClaimOutcome, DedupKey, DedupStore, Held, MemoryStore, StoreFull, Terms,
};
use dataflow_webhooks::store_contract_tests;
use dataflow_webhooks::testing::{ManualClock, StoreContract};
use pollster::block_on;

/// Lease 30 s, retention 24 h.
fn terms() -> Terms {
    Terms::default()
}

fn key(id: &str) -> DedupKey {
    DedupKey::from_event_id(id)
}

fn on_clock(store: MemoryStore, clock: &ManualClock) -> MemoryStore {
    let clock = clock.clone();
    store.with_clock(move || clock.now())
}

fn small(capacity: usize, clock: &ManualClock) -> MemoryStore {
    on_clock(MemoryStore::with_capacity(NonZeroUsize::new(capacity).unwrap()), clock)
}

fn claim(store: &MemoryStore, id: &str) -> ClaimOutcome {
    block_on(store.claim(&key(id), terms())).unwrap()
}

#[track_caller]
fn new_claim(store: &MemoryStore, id: &str) -> Claim {
    match claim(store, id) {
        ClaimOutcome::New(claim) => claim,
        other => panic!("{id} must be New, was {other:?}"),
    }
}

#[track_caller]
fn done(store: &MemoryStore, id: &str) {
    let claim = new_claim(store, id);
    assert_eq!(block_on(store.commit(&claim, terms())).unwrap(), Held::Yes);
}

mod contract {
    use super::*;

    fn contract() -> StoreContract<impl AsyncFn() -> MemoryStore, impl AsyncFn(Duration)> {
        let clock = ManualClock::new();
        let read = clock.clone();
        StoreContract::new(
            async move || on_clock(MemoryStore::new(), &read),
            async move |time| clock.advance(time),
        )
    }

    store_contract_tests!(block_on, contract());

    #[test]
    fn random_operations_agree_with_the_model() {
        for seed in 0..200 {
            block_on(contract().random_ops(seed, 2_000));
        }
    }

    #[test]
    fn a_shared_and_a_boxed_store_keep_the_contract() {
        let clock = ManualClock::new();
        let advance = async |time| clock.advance(time);
        let shared = async || Arc::new(on_clock(MemoryStore::new(), &clock)) as Arc<dyn DedupStore>;
        block_on(StoreContract::new(shared, advance).run());
        let boxed = async || Box::new(on_clock(MemoryStore::new(), &clock)) as Box<dyn DedupStore>;
        block_on(StoreContract::new(boxed, advance).run());
    }
}
