//! PostgreSQL goes away and comes back: no call hangs, nothing that was committed is forgotten, and
//! nobody has to be restarted.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use dataflow_webhooks::dedup::{ClaimOutcome, DedupStore as _, Held};
use dataflow_webhooks_sqlx::{PostgresStore, SqlStoreErrorKind as Kind};
use sqlx::postgres::PgPoolOptions;
use tokio::time::sleep;
use webhook_fleet_tests::calls::{claimed, done, key, new_claim, sql_error, terms};
use webhook_fleet_tests::kept::free_port;
use webhook_fleet_tests::postgres::{Postgres, url};
use webhook_fleet_tests::tests_unless_stalled;
use webhook_tests::Stopwatch;

tests_unless_stalled![
    a_store_that_was_made_while_the_server_was_down_works_when_it_is_up,
    after_a_restart_the_next_call_passes_and_finds_what_was_committed,
];

/// A server with the table, and a store in it.
async fn server() -> (Postgres, PostgresStore) {
    let server = Postgres::start(&[]);
    let store = server.store().await;
    (server, store)
}

#[tokio::test]
async fn a_server_that_is_down_is_an_error_within_two_seconds() {
    let url = format!("postgres://postgres@127.0.0.1:{}/postgres", free_port());
    let store = PostgresStore::connect_lazy(&url, "orders").unwrap();
    let began = Stopwatch::start();
    let error = sql_error(store.claim(&key("evt_1"), terms()).await);
    assert!(matches!(error.kind(), Kind::TimedOut | Kind::Unreachable), "{error:?}");
    // Generous for a loaded machine; the store's own bound is 1.5 s.
    assert!(began.ran() < Duration::from_secs(4), "{:?}", began.ran());
    PostgresStore::connect(&url, "orders").await.unwrap_err();
}

async fn a_store_that_was_made_while_the_server_was_down_works_when_it_is_up() {
    let (mut server, store) = server().await;
    done(&store, "evt_1").await;
    server.kill();
    let late = PostgresStore::connect_lazy(&url(&store), "orders").unwrap();
    sql_error(late.claim(&key("evt_1"), terms()).await);
    server.restart();
    assert_eq!(claimed(&late, "evt_1").await, ClaimOutcome::Done);
}

/// All connections of the pool are dead then, and the first call meets one of them.
async fn after_a_restart_the_next_call_passes_and_finds_what_was_committed() {
    let (mut server, store) = server().await;
    // A pool that does not try its connections itself.
    let pool = PgPoolOptions::new().test_before_acquire(false).connect(&url(&store)).await;
    let untried = PostgresStore::new(pool.unwrap(), "orders").unwrap();
    for store in [&store, &untried] {
        let mut connections = Vec::new();
        for _ in 0..10 {
            connections.push(store.pool().acquire().await.unwrap());
        }
    }
    done(&store, "evt_done").await;
    let claim = new_claim(&store, "evt_claimed").await;
    server.restart();
    for store in [&store, &untried] {
        assert_eq!(claimed(store, "evt_done").await, ClaimOutcome::Done);
        assert_eq!(claimed(store, "evt_claimed").await, ClaimOutcome::InFlight);
    }
    assert_eq!(store.commit(&claim, terms()).await.unwrap(), Held::Yes);
}

/// Clients that keep on trying, as the platform and the road do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_load_a_kill_costs_errors_and_no_event() {
    let (mut server, store) = server().await;
    let is_over = Arc::new(AtomicBool::new(false));
    let mut clients = tokio::task::JoinSet::new();
    for client in 0..8 {
        let (store, is_over) = (store.clone(), is_over.clone());
        clients.spawn(async move {
            let mut committed = Vec::new();
            for number in 0.. {
                if is_over.load(Ordering::Relaxed) {
                    break;
                }
                let id = format!("evt_{client}_{number}");
                match store.claim(&key(&id), terms()).await {
                    Ok(ClaimOutcome::New(claim)) => {
                        while store.commit(&claim, terms()).await.is_err() {
                            sleep(Duration::from_millis(20)).await;
                        }
                        committed.push(id);
                    }
                    Ok(ClaimOutcome::Done) => panic!("{id} is only ours"),
                    // The claim may have been made and not heard of: another event, then.
                    Ok(ClaimOutcome::InFlight) | Err(_) => sleep(Duration::from_millis(20)).await,
                }
            }
            committed
        });
    }
    for _ in 0..3 {
        sleep(Duration::from_millis(300)).await;
        server = tokio::task::spawn_blocking(move || {
            server.restart();
            server
        })
        .await
        .unwrap();
    }
    sleep(Duration::from_millis(300)).await;
    is_over.store(true, Ordering::Relaxed);
    let committed: Vec<_> = clients.join_all().await.into_iter().flatten().collect();
    assert!(committed.len() > 8, "{}", committed.len());
    for id in committed {
        assert_eq!(claimed(&store, &id).await, ClaimOutcome::Done, "{id}");
    }
}

#[tokio::test]
async fn a_server_without_room_for_a_connection_is_said_to_be_unreachable() {
    let server = Postgres::start(&["max_connections=5", "superuser_reserved_connections=0"]);
    let pool = PgPoolOptions::new().max_connections(20).connect(&server.url()).await.unwrap();
    let mut all = Vec::new();
    while let Ok(Ok(connection)) =
        tokio::time::timeout(Duration::from_millis(500), pool.acquire()).await
    {
        all.push(connection);
    }
    let store = PostgresStore::connect_lazy(&server.url(), "orders").unwrap();
    let error = sql_error(store.claim(&key("evt_1"), terms()).await);
    assert!(matches!(error.kind(), Kind::TimedOut | Kind::Unreachable), "{error:?}");
    drop(all);
    pool.close().await;
    store.migrate().await.unwrap();
    done(&store, "evt_1").await;
}
