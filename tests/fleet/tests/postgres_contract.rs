//! The store in PostgreSQL holds the contract of all stores, on a real server whose clock is its
//! own.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use dataflow_webhooks::testing::StoreContract;
use dataflow_webhooks_sqlx::PostgresStore;
use webhook_fleet_tests::awake::unless_stalled;
use webhook_fleet_tests::calls::side_by_side;
use webhook_fleet_tests::postgres::{Postgres, store};
use webhook_fleet_tests::store_contract_tests_unless_stalled;

static SERVER: LazyLock<Postgres> = LazyLock::new(|| {
    let server = Postgres::start(&[]);
    block_on(async {
        store(&server.url(), "contract").await.migrate().await.unwrap();
    });
    server
});

/// Stores that are empty because each has a scope of its own.
fn contract() -> StoreContract<impl AsyncFn() -> PostgresStore, impl AsyncFn(Duration)> {
    static SCOPES: AtomicU32 = AtomicU32::new(0);
    let url = SERVER.url();
    let make_store = async move || {
        let scope = format!("contract-{}", SCOPES.fetch_add(1, Ordering::Relaxed));
        store(&url, &scope).await
    };
    StoreContract::new(make_store, async |time| tokio::time::sleep(time).await)
        .tick(Duration::from_millis(800))
}

fn block_on(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test);
}

store_contract_tests_unless_stalled!(contract());

/// Many seeds side by side: each sleeps most of the time.
#[test]
fn random_operations_agree_with_the_model() {
    // The server is started outside of this test's runtime.
    let _server = SERVER.port();
    unless_stalled(async || {
        let run = async |seed| contract().random_ops(seed, 100).await;
        side_by_side((1..=6).map(run)).await;
    });
}
