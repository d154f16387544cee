//! The rows of the answer table that `parity` cannot have: one takes a runtime of
//! its own down, one is about what only a tower service has.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use dataflow_webhooks::testing::ManualClock;
use dataflow_webhooks::{Delivery, EndpointBuilder, MemoryStore, StoreOperation};
use dataflow_webhooks_axum::{WebhookBody, WebhookLayer};
use tokio::sync::Notify;
use tower::limit::ConcurrencyLimitLayer;
use tower::{Layer as _, service_fn};
use webhook_tests::{Receiver, Runs, Served, State, WatchedStore, delivery, endpoint, eventually};

/// A deadline that a test can wait for.
const SOON: Duration = Duration::from_millis(400);

fn quick() -> EndpointBuilder {
    endpoint().body_within(SOON).answer_within(SOON)
}

#[test]
fn the_event_of_a_process_that_died_runs_again_under_the_next_epoch() {
    let clock = ManualClock::new();
    let records = MemoryStore::new().with_clock({
        let clock = clock.clone();
        move || clock.now()
    });
    let store = WatchedStore::over(records);
    let runtime = || tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();

    // A runtime that goes down takes its handlers with it, as a process does.
    let process = runtime();
    process.block_on(async {
        let never = |_| std::future::pending::<()>();
        let served = Served::start_in(quick(), store.clone(), never, |app| app).await;
        let mut wire = served.connect().await;
        wire.send(&delivery("evt_1")).await.unwrap();
        eventually("the handler begins", || served.runs.begun("evt_1") == 1).await;
    });
    process.shutdown_background();

    runtime().block_on(async {
        let epoch = |delivery: Delivery| async move { delivery.epoch().unwrap().to_string() };
        let served = Served::start_in(quick(), store.clone(), epoch, |app| app).await;
        assert!(served.deliver("evt_1").await.is_try_again());
        clock.advance(Duration::from_secs(31));
        let answer = served.deliver("evt_1").await;
        assert_eq!((answer.status, answer.text().as_str()), (200, "2"));
    });
    assert_eq!(store.calls(StoreOperation::Release), 0);
}

#[tokio::test]
async fn a_service_inside_that_is_not_ready_in_time_is_answered_503_and_nothing_is_claimed() {
    let (store, runs, go) = (WatchedStore::default(), Runs::default(), Arc::new(Notify::new()));
    let endpoint = quick().dedup(store.clone()).build().unwrap();
    let (seen, going) = (runs.clone(), go.clone());
    let service = service_fn(move |request: axum::http::Request<WebhookBody>| {
        let (seen, going) = (seen.clone(), going.clone());
        let id = request.extensions().get::<Delivery>().unwrap().id().to_owned();
        async move {
            seen.begin(&id);
            going.notified().await;
            Ok::<_, std::convert::Infallible>(axum::response::Response::new(
                axum::body::Body::empty(),
            ))
        }
    });
    // A limit inside the layer: the one place is held to the handler's real end.
    let service = ConcurrencyLimitLayer::new(1).layer(service);
    let service = WebhookLayer::new(endpoint.clone()).layer(service);
    let receiver =
        Receiver::start(Router::new().route_service("/webhooks/dataflow", service)).await;

    assert!(delivery("evt_1").send(receiver.address()).await.unwrap().is_try_again());
    assert!(delivery("evt_2").send(receiver.address()).await.unwrap().is_try_again());
    assert_eq!((runs.begun("evt_1"), runs.begun("evt_2")), (1, 0));
    assert_eq!(store.state("evt_2").await, State::Free);
    assert_eq!(store.calls(StoreOperation::Claim), 1);

    // It has left the queue for the place; its retry gets it.
    go.notify_one();
    eventually("the first is done", || store.calls(StoreOperation::Commit) == 1).await;
    go.notify_one();
    assert_eq!(delivery("evt_2").send(receiver.address()).await.unwrap().status, 200);
    assert_eq!(runs.begun("evt_2"), 1);
}
