//! A receiver with such a sink, whose handler fails as it is told.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use axum::Router;
use axum::body::Bytes;
use axum::http::StatusCode;
use axum::routing::post;
use dataflow_webhooks::dead_letters::{DeadLetterSink, DeadLetters as _, run_again};
use dataflow_webhooks::dedup::ClaimOutcome;
use dataflow_webhooks::{Endpoint, EndpointBuilder};
use dataflow_webhooks_axum::{WebhookDelivery, WebhookLayer};
use dataflow_webhooks_sqlx::{SqliteDeadLetters, SqliteStore};
use sqlx::sqlite::SqlitePoolOptions;
use webhook_fleet_tests::calls::claimed;
use webhook_fleet_tests::postgres::Postgres;
use webhook_tests::{Receiver, Request, endpoint, event};

use crate::letters::ids;
use crate::place::{OnSqlite, Place};
use webhook_fleet_tests::on_each_database;

on_each_database!(an_event_that_always_fails_is_kept_and_disturbs_no_other);

struct Shop {
    endpoint: Endpoint,
    receiver: Receiver,
    runs: Arc<AtomicUsize>,
    fails: Arc<AtomicBool>,
}

impl Shop {
    /// Its handler fails for all events whose ids end with `bad`.
    async fn open(builder: EndpointBuilder) -> Self {
        let endpoint = builder.build().unwrap();
        let (runs, fails) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(true)));
        let handler = {
            let (runs, fails) = (runs.clone(), fails.clone());
            async move |WebhookDelivery(delivery): WebhookDelivery| {
                runs.fetch_add(1, Ordering::Relaxed);
                let fails = delivery.id().ends_with("bad") && fails.load(Ordering::Relaxed);
                if fails { StatusCode::BAD_GATEWAY } else { StatusCode::OK }
            }
        };
        let layer = WebhookLayer::new(endpoint.clone());
        let app = Router::new().route("/webhooks/dataflow", post(handler).route_layer(layer));
        let receiver = Receiver::start(app).await;
        Self { endpoint, receiver, runs, fails }
    }

    /// One that gives up an event after this many runs.
    async fn with(sink: impl DeadLetterSink + 'static, after_runs: u32) -> Self {
        Self::open(endpoint().dead_letters(sink, after_runs)).await
    }

    async fn deliver(&self, id: &str) -> u16 {
        self.deliver_body(&event(id)).await
    }

    async fn deliver_body(&self, body: &Bytes) -> u16 {
        let request = Request::signed(body.clone());
        request.send(self.receiver.address()).await.expect("an answer").status
    }

    fn runs(&self) -> usize {
        self.runs.load(Ordering::Relaxed)
    }

    /// How many letters the sink has taken, and how many not.
    fn letters(&self) -> (u64, u64) {
        let counts = self.endpoint.counts();
        (counts.dead_letters, counts.dead_letter_errors)
    }
}

async fn an_event_that_always_fails_is_kept_and_disturbs_no_other(place: impl Place) {
    let sink = place.sink();
    let builder = endpoint().dedup(place.store().clone()).dead_letters(place.sink(), 3);
    let shop = Shop::open(builder).await;
    let bad = event("evt_bad");
    for (number, status) in [(1, 502), (2, 502), (3, 200)] {
        assert_eq!(shop.deliver_body(&bad).await, status, "attempt {number}");
        assert_eq!(shop.deliver(&format!("evt_{number}")).await, 200);
    }
    assert_eq!((shop.runs(), shop.letters()), (6, (1, 0)));
    let letter = sink.get("evt_bad").await.unwrap().expect("a letter");
    assert_eq!((letter.runs(), letter.reason()), (3, "answered 502"));
    assert_eq!(*letter.body(), bad);
    assert_eq!(ids(&sink).await, ["evt_bad"]);

    // What still comes of it is a duplicate, before somebody has run it again and after.
    assert_eq!(shop.deliver_body(&bad).await, 200);
    let again = run_again(&sink, "evt_bad", async |_| Ok::<_, std::io::Error>(()));
    assert!(again.await.unwrap());
    assert_eq!(ids(&sink).await, [""; 0]);
    assert_eq!(shop.deliver_body(&bad).await, 200);
    assert_eq!(claimed(place.store(), "evt_bad").await, ClaimOutcome::Done);
    assert_eq!(shop.runs(), 6);
}

#[tokio::test]
async fn a_full_disk_keeps_the_handlers_answer_and_loses_nothing() {
    let place = OnSqlite::new().await;
    let options = SqlitePoolOptions::new().max_connections(1);
    let pool = options.connect_with(SqliteStore::options(place.file())).await.unwrap();
    let room = async |pages: &'static str| {
        sqlx::raw_sql(pages).execute(&pool).await.unwrap();
    };
    let shop = Shop::with(SqliteDeadLetters::new(pool.clone(), "orders").unwrap(), 2).await;
    // It takes more than is free in the pages that are there.
    let data = "x".repeat(40_000);
    let body = Bytes::from(format!(
        r#"{{"id":"evt_bad","type":"pipeline.created","data":{{"x":"{data}"}}}}"#
    ));
    room("PRAGMA max_page_count = 1").await;
    for _ in 0..4 {
        assert_eq!(shop.deliver_body(&body).await, 502);
    }
    assert_eq!((shop.runs(), shop.letters()), (4, (0, 3)));
    room("PRAGMA max_page_count = 100000").await;
    assert_eq!(shop.deliver_body(&body).await, 200);
    assert_eq!((shop.runs(), shop.letters()), (5, (1, 3)));
    let letter = place.sink().get("evt_bad").await.unwrap().expect("a letter");
    assert_eq!((letter.runs(), letter.body()), (5, &body));
}

#[tokio::test]
async fn a_server_that_is_down_keeps_the_handlers_answer_and_loses_nothing() {
    let mut server = Postgres::start(&[]);
    let sink = server.store().await.dead_letters();
    let shop = Shop::with(sink.clone(), 1).await;
    server.kill();
    assert_eq!(shop.deliver("evt_bad").await, 502);
    assert_eq!(shop.deliver("evt_mended_bad").await, 502);
    assert_eq!((shop.runs(), shop.letters()), (2, (0, 2)));
    server.restart();
    assert_eq!(shop.deliver("evt_bad").await, 200);
    assert_eq!(ids(&sink).await, ["evt_bad"]);
    // The handler goes first: what it can do by now is no dead letter.
    shop.fails.store(false, Ordering::Relaxed);
    assert_eq!(shop.deliver("evt_mended_bad").await, 200);
    assert_eq!((shop.runs(), shop.letters()), (4, (1, 2)));
    assert_eq!(ids(&sink).await, ["evt_bad"]);
}
