//! How the store in PostgreSQL gets its connections when that takes long.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use dataflow_webhooks::DedupStore as _;
use dataflow_webhooks_sqlx::PostgresStore;
use sqlx::postgres::PgPoolOptions;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use webhook_fleet_tests::calls::{key, new_claim, terms};
use webhook_fleet_tests::postgres::{Postgres, url};
use webhook_fleet_tests::proxy::{Mode, Proxy};
use webhook_fleet_tests::tests_unless_stalled;
use webhook_tests::eventually;

tests_unless_stalled![
    after_a_burst_the_pool_has_all_its_connections_again,
    connections_that_went_silent_in_the_middle_of_a_call_are_replaced,
];

/// Else, where opening one takes longer than those who wait have time left, none would ever
/// be open.
#[tokio::test]
async fn a_connection_is_opened_to_the_end_when_the_call_that_needed_it_gives_up() {
    let server = Postgres::start(&[]);
    let proxy = Proxy::start(([127, 0, 0, 1], server.port()).into()).await.unwrap();
    let url = format!("postgres://postgres@{}/postgres", proxy.address());
    let store = PostgresStore::connect_lazy(&url, "slow").unwrap();
    proxy.set(Mode::Delay(Duration::from_millis(100)));
    let id = key("evt_1");
    let call = timeout(Duration::from_millis(50), store.claim(&id, terms()));
    assert!(call.await.is_err(), "opening a connection takes longer");
    eventually("a connection is open", || store.pool().num_idle() == 1).await;
}

/// As a firewall, a failover of an address or a machine that lost its power leave them: else the
/// pool is used up until the kernel gives the connections up, which takes a quarter of an hour.
async fn connections_that_went_silent_in_the_middle_of_a_call_are_replaced() {
    let server = Postgres::start(&[]);
    let proxy = Proxy::start(([127, 0, 0, 1], server.port()).into()).await.unwrap();
    let url = format!("postgres://postgres@{}/postgres", proxy.address());
    let store = PostgresStore::connect_lazy(&url, "silent").unwrap();
    store.migrate().await.unwrap();
    let at_once = || {
        let claims = (0..20).map(|number| {
            let store = store.clone();
            async move { store.claim(&key(&format!("evt_{number}")), terms()).await }
        });
        claims.collect::<JoinSet<_>>().join_all()
    };
    at_once().await;
    assert_eq!(store.pool().size(), 10, "all connections are open");
    proxy.forget_open();
    for answer in at_once().await {
        answer.unwrap_err();
    }
    let patience = Instant::now() + Duration::from_secs(20);
    while let Err(error) = store.claim(&key("evt_0"), terms()).await {
        assert!(Instant::now() < patience, "{error:?}");
        sleep(Duration::from_millis(50)).await;
    }
}

/// Under load a connection goes from call to call, past the pool: it must not stay there, for the
/// handlers' transactions want it too.
async fn after_a_burst_the_pool_has_all_its_connections_again() {
    let server = Postgres::start(&[]);
    let store = server.store().await;
    let mut claims = JoinSet::new();
    for number in 0..200 {
        let store = store.clone();
        claims.spawn(async move { new_claim(&store, &format!("evt_{number}")).await });
    }
    claims.join_all().await;
    let pool = store.pool();
    eventually("all are idle", || pool.num_idle() == pool.size() as usize).await;
    assert_eq!(pool.size(), pool.options().get_max_connections());
}

/// Nor must a handler wait for the end of the load: it has its turn among the calls.
#[tokio::test]
async fn a_handlers_transaction_is_not_kept_waiting_by_calls_without_end() {
    let server = Postgres::start(&[]);
    let url = url(&server.store().await);
    let pool = PgPoolOptions::new().max_connections(1).connect(&url).await.unwrap();
    let store = PostgresStore::new(pool, "busy").unwrap();
    let answered = Arc::new(AtomicU64::new(0));
    let mut calls = JoinSet::new();
    for caller in 0..20 {
        let (store, answered) = (store.clone(), Arc::clone(&answered));
        calls.spawn(async move {
            for number in 0.. {
                new_claim(&store, &format!("evt_{caller}_{number}")).await;
                answered.fetch_add(1, Relaxed);
            }
        });
    }
    eventually("calls wait for one another", || answered.load(Relaxed) > 50).await;
    for _ in 0..5 {
        let before = answered.load(Relaxed);
        let handler = store.pool().acquire().await.unwrap();
        let overtaken = answered.load(Relaxed) - before;
        assert!(overtaken <= 100, "{overtaken} calls went first");
        drop(handler);
    }
    calls.abort_all();
}

#[tokio::test]
async fn calls_that_give_up_while_they_wait_keep_no_place() {
    let server = Postgres::start(&[]);
    let url = url(&server.store().await);
    let pool = PgPoolOptions::new().max_connections(1).connect(&url).await.unwrap();
    let store = PostgresStore::new(pool, "one").unwrap();
    for round in 0..3 {
        // Whoever has the place waits for the connection, all others for the place.
        let handler = store.pool().begin().await.unwrap();
        let calls = (0..50).map(|number| {
            let (store, id) = (store.clone(), key(&format!("evt_{round}_{number}")));
            async move { timeout(Duration::from_millis(50), store.claim(&id, terms())).await }
        });
        for given_up in calls.collect::<JoinSet<_>>().join_all().await {
            given_up.unwrap_err();
        }
        handler.rollback().await.unwrap();
        new_claim(&store, &format!("evt_{round}")).await;
    }
}
