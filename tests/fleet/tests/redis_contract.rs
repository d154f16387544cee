//! The store in Redis holds the contract of all stores, on a real server whose clock is its own.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use dataflow_webhooks::testing::StoreContract;
use dataflow_webhooks_redis::RedisStore;
use webhook_fleet_tests::awake::unless_stalled;
use webhook_fleet_tests::calls::side_by_side;
use webhook_fleet_tests::redis::Redis;
use webhook_fleet_tests::store_contract_tests_unless_stalled;

/// Without its data on disk at each write: that is not the point here, and time is.
static SERVER: LazyLock<Redis> = LazyLock::new(|| Redis::start(&["--appendonly", "no"]));

/// Stores that are empty because each has a scope of its own.
fn contract() -> StoreContract<impl AsyncFn() -> RedisStore, impl AsyncFn(Duration)> {
    static SCOPES: AtomicU32 = AtomicU32::new(0);
    let make_store = async || {
        let scope = format!("contract-{}", SCOPES.fetch_add(1, Ordering::Relaxed));
        RedisStore::connect(&SERVER.url(), &scope).await.unwrap()
    };
    StoreContract::new(make_store, async |time| tokio::time::sleep(time).await)
        .tick(Duration::from_millis(500))
}

store_contract_tests_unless_stalled!(contract());

/// Many seeds side by side: each sleeps most of the time.
#[test]
fn random_operations_agree_with_the_model() {
    unless_stalled(async || {
        let run = async |seed| contract().random_ops(seed, 120).await;
        side_by_side((1..=10).map(run)).await;
    });
}
