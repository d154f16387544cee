//! The store in SQLite holds the contract of all stores, in files, on a clock that is moved by hand.

use std::time::Duration;

use dataflow_webhooks::testing::{ManualClock, StoreContract};
use dataflow_webhooks_sqlx::SqliteStore;
use webhook_fleet_tests::awake::unless_stalled;
use webhook_fleet_tests::kept::Folder;
use webhook_fleet_tests::store_contract_tests_unless_stalled;

/// A store in a file of its own. It goes when the contract does.
fn contract() -> StoreContract<impl AsyncFn() -> SqliteStore, impl AsyncFn(Duration)> {
    let folder = Folder::new("fleet-sqlite");
    let clock = ManualClock::new();
    let read = clock.clone();
    StoreContract::new(
        async move || {
            let clock = read.clone();
            let store = SqliteStore::open(folder.path().join("dedup.db"), "contract").await;
            let store = store.unwrap().with_clock(move || clock.now());
            store.migrate().await.unwrap();
            store
        },
        async move |time| clock.advance(time),
    )
}

store_contract_tests_unless_stalled!(contract());

#[test]
fn random_operations_agree_with_the_model() {
    for seed in 1..=5 {
        unless_stalled(async || contract().random_ops(seed, 1_000).await);
    }
}
