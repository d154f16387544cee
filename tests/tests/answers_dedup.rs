//! The answer table, second part: duplicates, and a store or a service inside
//! that is not there in time.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use dataflow_webhooks::testing::Sample;
use dataflow_webhooks::{Delivery, EndpointBuilder, OnStoreFailure, Outcome, StoreOperation};
use dataflow_webhooks_axum::{WebhookBody, WebhookLayer};
use tokio::sync::{Notify, Semaphore};
use tower::limit::ConcurrencyLimitLayer;
use tower::{Layer as _, service_fn};
use webhook_tests::{
    Receiver, Request, Runs, Served, State, WatchedStore, delivery, endpoint, eventually,
};

/// A deadline that a test can wait for.
const SOON: Duration = Duration::from_millis(400);

fn quick() -> EndpointBuilder {
    endpoint().body_within(SOON).answer_within(SOON)
}

/// A handler that ends with this status each time it is let go.
async fn held_up(builder: EndpointBuilder, status: StatusCode) -> (Served, Arc<Semaphore>) {
    let go = Arc::new(Semaphore::new(0));
    let going = go.clone();
    let served = Served::start(builder, move |_| {
        let going = going.clone();
        async move {
            going.acquire().await.unwrap().forget();
            status
        }
    })
    .await;
    (served, go)
}

#[tokio::test]
async fn a_duplicate_of_an_event_that_is_done_is_answered_200_and_not_run() {
    let served = Served::start(endpoint(), |_| async { "done" }).await;
    assert_eq!(served.deliver("evt_1").await.text(), "done");
    let settled = served.store.calls(StoreOperation::Commit);

    // The same event, signed anew, with another body: the id tells.
    let again = Sample::of("pipeline.created").id("evt_1").body();
    let answer = served.send(&Request::signed(again)).await;
    assert_eq!((answer.status, answer.text().as_str()), (200, "already handled\n"));
    assert_eq!(served.runs.begun("evt_1"), 1);
    assert_eq!(served.endpoint.counts().outcome(Outcome::Duplicate), 1);
    assert_eq!(served.store.calls(StoreOperation::Commit), settled);
    assert_eq!(served.store.calls(StoreOperation::Release), 0);
}

#[tokio::test]
async fn a_duplicate_still_in_flight_at_the_deadline_is_answered_503_and_changes_nothing() {
    let (served, go) = held_up(quick(), StatusCode::OK).await;
    assert!(served.deliver("evt_1").await.is_try_again());
    assert!(served.deliver("evt_1").await.is_try_again());
    assert_eq!(served.runs.begun("evt_1"), 1);
    let counts = served.endpoint.counts();
    assert_eq!((counts.outcome(Outcome::Late), counts.outcome(Outcome::InFlight)), (1, 1));
    assert_eq!(served.store.calls(StoreOperation::Commit), 0);
    assert_eq!(served.store.calls(StoreOperation::Release), 0);

    go.add_permits(1);
    eventually("the handler ends", || served.endpoint.counts().running == 0).await;
    assert_eq!(served.deliver("evt_1").await.status, 200);
    assert_eq!(served.runs.begun("evt_1"), 1);
}

#[tokio::test]
async fn a_waiting_duplicate_is_answered_200_when_the_first_is_done() {
    let (served, go) = held_up(endpoint(), StatusCode::OK).await;
    let (mut first, mut second) = (served.connect().await, served.connect().await);
    first.send(&delivery("evt_1")).await.unwrap();
    eventually("the first runs", || served.runs.begun("evt_1") == 1).await;
    second.send(&delivery("evt_1")).await.unwrap();
    eventually("the second asks", || served.store.calls(StoreOperation::Claim) > 2).await;

    go.add_permits(1);
    assert_eq!(first.answer().await.unwrap().status, 200);
    let second = second.answer().await.unwrap();
    assert_eq!((second.status, second.text().as_str()), (200, "already handled\n"));
    assert_eq!(served.runs.begun("evt_1"), 1);
}

#[tokio::test]
async fn a_waiting_duplicate_runs_when_the_first_has_failed() {
    let (served, go) = held_up(endpoint(), StatusCode::BAD_GATEWAY).await;
    let (mut first, mut second) = (served.connect().await, served.connect().await);
    first.send(&delivery("evt_1")).await.unwrap();
    eventually("the first runs", || served.runs.begun("evt_1") == 1).await;
    second.send(&delivery("evt_1")).await.unwrap();
    eventually("the second asks", || served.store.calls(StoreOperation::Claim) > 2).await;

    go.add_permits(1);
    assert_eq!(first.answer().await.unwrap().status, 502);
    eventually("the second runs", || served.runs.begun("evt_1") == 2).await;
    go.add_permits(1);
    assert_eq!(second.answer().await.unwrap().status, 502);
    assert_eq!(served.runs.ended("evt_1"), 2);
}

#[tokio::test]
async fn an_event_whose_commit_fails_is_answered_200_and_is_done_when_the_store_is_back() {
    let served = Served::start(quick(), |_| async {}).await;
    served.store.fail(StoreOperation::Commit, usize::MAX);
    assert_eq!(served.deliver("evt_1").await.status, 200);
    assert_eq!(served.endpoint.counts().pending_commits, 1);
    // Nobody else may run it meanwhile, and nobody is told that it is done.
    assert!(served.deliver("evt_1").await.is_try_again());
    eventually("it is tried again", || served.store.calls(StoreOperation::Commit) >= 3).await;
    assert_eq!(served.store.state("evt_1").await, State::InFlight);

    served.store.fail(StoreOperation::Commit, 0);
    eventually("the commit is accepted", || served.endpoint.counts().pending_commits == 0).await;
    let failed = served.endpoint.counts().store_errors(StoreOperation::Commit);
    assert!(failed >= 3, "{failed}");
    assert_eq!(served.store.state("evt_1").await, State::Done);
    let answer = served.deliver("evt_1").await;
    assert_eq!((answer.status, answer.text().as_str()), (200, "already handled\n"));
    assert_eq!(served.runs.begun("evt_1"), 1);
}

#[tokio::test]
async fn a_commit_that_does_not_come_back_delays_the_200_no_longer_than_the_deadline() {
    let served = Served::start(quick(), |_| async {}).await;
    served.store.hold(StoreOperation::Commit);
    let answer = served.deliver("evt_1").await;
    // The handler is done: that the store is slow is no reason for a retry.
    assert_eq!(answer.status, 200);
    served.store.let_go(StoreOperation::Commit);
    eventually("it is settled", || served.endpoint.counts().pending_commits == 0).await;
    assert_eq!(served.store.state("evt_1").await, State::Done);
    assert_eq!(served.endpoint.counts().lease_lost, 0);
}

#[tokio::test]
async fn a_release_that_fails_is_tried_again_and_then_the_retry_runs() {
    let served = Served::start(endpoint(), |_| async { StatusCode::BAD_GATEWAY }).await;
    served.store.fail(StoreOperation::Release, 2);
    assert_eq!(served.deliver("evt_1").await.status, 502);
    eventually("it is released", || served.endpoint.counts().pending_commits == 0).await;
    assert_eq!(served.deliver("evt_1").await.status, 502);
    assert_eq!(served.runs.begun("evt_1"), 2);
}

#[tokio::test]
async fn a_claim_that_is_not_back_in_time_is_answered_503_and_released_when_it_comes() {
    let served = Served::start(quick(), |_| async {}).await;
    served.store.hold(StoreOperation::Claim);
    assert!(served.deliver("evt_1").await.is_try_again());
    assert_eq!(served.store.state("evt_1").await, State::InFlight);

    served.store.let_go(StoreOperation::Claim);
    eventually("it is released", || served.store.calls(StoreOperation::Release) == 1).await;
    assert_eq!(served.runs.begun("evt_1"), 0);
    assert_eq!(served.deliver("evt_1").await.status, 200);
    assert_eq!(served.runs.begun("evt_1"), 1);
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

#[tokio::test]
async fn a_store_that_fails_the_claim_is_answered_503_and_nothing_runs() {
    let served = Served::start(endpoint(), |_| async {}).await;
    served.store.fail(StoreOperation::Claim, 1);
    assert!(served.deliver("evt_1").await.is_try_again());
    assert_eq!(served.runs.begun("evt_1"), 0);
    let counts = served.endpoint.counts();
    assert_eq!(counts.outcome(Outcome::StoreUnavailable), 1);
    assert_eq!(counts.store_errors(StoreOperation::Claim), 1);
    assert_eq!((counts.authentic_refused, counts.running), (1, 0));

    assert_eq!(served.deliver("evt_1").await.status, 200);
}

#[tokio::test]
async fn process_anyway_runs_it_once_in_this_process_while_the_store_is_away() {
    let builder = endpoint().on_store_failure(OnStoreFailure::ProcessAnyway);
    let served = Served::start(builder, |_| async {}).await;
    served.store.fail(StoreOperation::Claim, usize::MAX);
    for _ in 0..2 {
        assert_eq!(served.deliver("evt_1").await.status, 200);
    }
    assert_eq!(served.runs.begun("evt_1"), 1);
    assert_eq!(served.endpoint.counts().processed_anyway, 1);
    assert_eq!(served.store.calls(StoreOperation::Commit), 0);
}

#[tokio::test]
async fn without_dedup_each_delivery_runs_and_2xx_is_still_200() {
    let (runs, endpoint) = (Runs::default(), endpoint().without_dedup().build().unwrap());
    let seen = runs.clone();
    let handle = move |dataflow_webhooks_axum::Webhook(event): dataflow_webhooks_axum::Webhook| {
        seen.begin(&event.id);
        async { StatusCode::ACCEPTED }
    };
    let route = axum::routing::post(handle).route_layer(WebhookLayer::new(endpoint));
    let receiver = Receiver::start(Router::new().route("/webhooks/dataflow", route)).await;
    for run in 1..=3 {
        assert_eq!(delivery("evt_1").send(receiver.address()).await.unwrap().status, 200);
        assert_eq!(runs.begun("evt_1"), run);
    }
}
