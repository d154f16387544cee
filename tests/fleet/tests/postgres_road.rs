//! The store in PostgreSQL behind an axum receiver: what the sender is answered.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::post;
use dataflow_webhooks::dedup::{ClaimOutcome, DedupStore as _};
use dataflow_webhooks::{Endpoint, StoreOperation};
use dataflow_webhooks_axum::{WebhookDelivery, WebhookLayer};
use dataflow_webhooks_sqlx::PostgresStore;
use sqlx::Row as _;
use webhook_fleet_tests::calls::{claimed, key, terms};
use webhook_fleet_tests::postgres::Postgres;
use webhook_tests::Stopwatch;
use webhook_tests::{Receiver, delivery, endpoint};

/// A receiver whose handler writes an order and the completion of its event in one transaction.
struct Shop {
    server: Postgres,
    store: PostgresStore,
    endpoint: Endpoint,
    receiver: Receiver,
    orders: Arc<Orders>,
}

/// How the handler is to behave, and how often it ran.
#[derive(Default)]
struct Orders {
    runs: AtomicUsize,
    fails_before_the_commit: AtomicBool,
    pauses_before_the_commit: AtomicBool,
}

impl Shop {
    async fn open() -> Self {
        let server = Postgres::start(&[]);
        let store = server.store().await;
        sqlx::query("CREATE TABLE orders (id text NOT NULL)").execute(store.pool()).await.unwrap();
        // A renewal comes at a third of the lease.
        let builder = endpoint().lease(Duration::from_secs(5)).dedup(store.clone());
        let (endpoint, orders) = (builder.build().unwrap(), Arc::new(Orders::default()));
        let handler = {
            let (store, orders) = (store.clone(), orders.clone());
            move |WebhookDelivery(delivery): WebhookDelivery| async move {
                orders.runs.fetch_add(1, Ordering::Relaxed);
                let claim = delivery.claim().unwrap();
                let mut tx = store.pool().begin().await.map_err(internal)?;
                let insert = sqlx::query("INSERT INTO orders VALUES ($1)").bind(delivery.id());
                insert.execute(&mut *tx).await.map_err(internal)?;
                store.commit_in(&mut tx, claim, terms()).await.map_err(internal)?;
                if orders.pauses_before_the_commit.load(Ordering::Relaxed) {
                    tokio::time::sleep(Duration::from_secs(3)).await;
                }
                if orders.fails_before_the_commit.load(Ordering::Relaxed) {
                    return Err(StatusCode::BAD_GATEWAY);
                }
                tx.commit().await.map_err(internal)
            }
        };
        let layer = WebhookLayer::new(endpoint.clone());
        let app = Router::new().route("/webhooks/dataflow", post(handler).route_layer(layer));
        let receiver = Receiver::start(app).await;
        Self { server, store, endpoint, receiver, orders }
    }

    async fn deliver(&self, id: &str) -> u16 {
        delivery(id).send(self.receiver.address()).await.expect("an answer").status
    }

    async fn ordered(&self) -> i64 {
        let query = sqlx::query("SELECT count(*) FROM orders");
        query.fetch_one(self.store.pool()).await.unwrap().get(0)
    }

    fn runs(&self) -> usize {
        self.orders.runs.load(Ordering::Relaxed)
    }

    fn store_errors(&self) -> u64 {
        let operations = [
            StoreOperation::Claim,
            StoreOperation::Renew,
            StoreOperation::Commit,
            StoreOperation::Release,
        ];
        let counts = self.endpoint.counts();
        operations.into_iter().map(|operation| counts.store_errors(operation)).sum()
    }
}

fn internal<E>(_error: E) -> StatusCode {
    StatusCode::INTERNAL_SERVER_ERROR
}

#[tokio::test]
async fn an_order_is_written_once_however_often_its_event_comes() {
    let shop = Shop::open().await;
    for _ in 0..3 {
        assert_eq!(shop.deliver("evt_1").await, 200);
    }
    assert_eq!((shop.ordered().await, shop.runs(), shop.store_errors()), (1, 1, 0));
}

#[tokio::test]
async fn a_handler_that_fails_after_commit_in_leaves_nothing_and_runs_again() {
    let shop = Shop::open().await;
    shop.orders.fails_before_the_commit.store(true, Ordering::Relaxed);
    assert_eq!(shop.deliver("evt_1").await, 502);
    assert_eq!(shop.ordered().await, 0);
    shop.orders.fails_before_the_commit.store(false, Ordering::Relaxed);
    assert_eq!(shop.deliver("evt_1").await, 200);
    assert_eq!((shop.ordered().await, shop.runs()), (1, 2));
}

#[tokio::test]
async fn renewals_and_duplicates_during_the_transaction_are_no_errors() {
    let shop = Shop::open().await;
    shop.orders.pauses_before_the_commit.store(true, Ordering::Relaxed);
    let (first, second) = tokio::join!(shop.deliver("evt_1"), shop.deliver("evt_1"));
    assert_eq!((first, second), (200, 200));
    assert_eq!((shop.ordered().await, shop.runs(), shop.store_errors()), (1, 1, 0));
}

#[tokio::test]
async fn while_the_database_is_down_the_answer_is_503_and_then_200_without_a_restart() {
    let mut shop = Shop::open().await;
    assert_eq!(shop.deliver("evt_1").await, 200);
    shop.server.kill();
    let began = Stopwatch::start();
    assert_eq!(shop.deliver("evt_2").await, 503);
    // The bound is 2.5 s; a loaded machine gets a little more.
    assert!(began.ran() < Duration::from_secs(4), "{:?}", began.ran());
    shop.server.restart();
    assert_eq!(shop.deliver("evt_2").await, 200);
    assert_eq!(shop.deliver("evt_1").await, 200);
    assert_eq!((shop.ordered().await, shop.runs()), (2, 2));
}

#[tokio::test]
async fn an_event_without_a_claim_of_ours_is_left_to_its_holder() {
    let shop = Shop::open().await;
    let held = shop.store.claim(&key("evt_1"), terms()).await.unwrap();
    assert_eq!(shop.deliver("evt_1").await, 503);
    assert_eq!(shop.runs(), 0);
    let ClaimOutcome::New(held) = held else { panic!("{held:?}") };
    let _ = shop.store.commit(&held, terms()).await.unwrap();
    assert_eq!(shop.deliver("evt_1").await, 200);
    assert_eq!(shop.runs(), 0);
    assert_eq!(claimed(&shop.store, "evt_1").await, ClaimOutcome::Done);
}
