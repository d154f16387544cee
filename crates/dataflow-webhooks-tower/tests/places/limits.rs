//! Limits outside and inside: concurrency, buffers, load shedding.

use std::time::Duration;

use axum::BoxError;
use axum::body::Body;
use dataflow_webhooks::Outcome;
use dataflow_webhooks_tower::{WebhookBody, WebhookLayer};
use http::Request;
use tokio::time::sleep;
use tower::load_shed::error::Overloaded;
use tower::{ServiceBuilder, ServiceExt as _};

use crate::support::{Handler, Runs, endpoint, event, guards, layer, outcome, signed, timed};

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[tokio::test]
async fn under_and_over_a_concurrency_limit() {
    let runs = Runs::default();
    let service = ServiceBuilder::new()
        .concurrency_limit(1)
        .layer(layer())
        .concurrency_limit(1)
        .service(Handler::new(&runs));
    guards(service, &runs).await;
}

#[tokio::test(start_paused = true)]
async fn a_place_in_a_limit_inside_is_held_to_the_handlers_real_end() {
    let runs = Runs::default();
    let service = ServiceBuilder::new()
        .layer(layer())
        .concurrency_limit(1)
        .service(Handler::new(&runs).takes(seconds(6)));
    let first = service.clone().oneshot(signed(&event())).await.unwrap();
    assert_eq!(outcome(&first), Some(Outcome::Late));

    // The first one runs on until 6 s; the second one's place comes at 1.5 s.
    let sent = tokio::spawn(service.oneshot(signed(&event())));
    sleep(Duration::from_millis(1400)).await;
    assert_eq!((runs.started(), runs.ended()), (1, 0));
    sleep(Duration::from_millis(200)).await;
    assert_eq!((runs.started(), runs.ended()), (2, 1));
    assert_eq!(outcome(&sent.await.unwrap().unwrap()), Some(Outcome::Late));
}

#[tokio::test(start_paused = true)]
async fn a_duplicate_that_waits_holds_no_place_in_a_limit_inside() {
    let runs = Runs::default();
    let service = ServiceBuilder::new()
        .layer(layer())
        .concurrency_limit(2)
        .service(Handler::new(&runs).takes(seconds(2)));
    let slow = event();
    let send = |body| tokio::spawn(service.clone().oneshot(signed(body)));
    let (first, duplicate) = (send(&slow), send(&slow));
    sleep(Duration::from_millis(100)).await;
    assert_eq!(runs.started(), 1, "the duplicate waits");

    let other = send(&event());
    sleep(Duration::from_millis(100)).await;
    assert_eq!(runs.started(), 2, "another event does not");
    for sent in [first, duplicate, other] {
        assert_eq!(sent.await.unwrap().unwrap().status(), 200);
    }
    assert_eq!(runs.started(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_place_in_a_limit_outside_is_freed_with_the_answer() {
    let runs = Runs::default();
    let service = ServiceBuilder::new()
        .concurrency_limit(1)
        .layer(layer())
        .service(Handler::new(&runs).takes(seconds(6)));
    let first = service.clone().oneshot(signed(&event())).await.unwrap();
    assert_eq!(outcome(&first), Some(Outcome::Late));
    let second = tokio::spawn(service.oneshot(signed(&event())));
    sleep(Duration::from_millis(10)).await;
    assert_eq!((runs.started(), runs.ended()), (2, 0), "both run at once");
    drop(second.await.unwrap().unwrap());
}

#[tokio::test(start_paused = true)]
async fn waiting_for_a_place_inside_counts_against_the_clock_and_claims_nothing() {
    let (runs, endpoint) = (Runs::default(), endpoint());
    let service = ServiceBuilder::new()
        .layer(WebhookLayer::new(endpoint.clone()))
        .concurrency_limit(1)
        .service(Handler::new(&runs).takes(seconds(60)));
    let first = tokio::spawn(service.clone().oneshot(signed(&event())));
    tokio::task::yield_now().await;
    let waiting = event();
    let (time, second) = timed(service.oneshot(signed(&waiting))).await;
    let second = second.unwrap();
    assert_eq!((second.status().as_u16(), outcome(&second)), (503, Some(Outcome::Late)));
    assert_eq!(second.headers()["retry-after"], "60");
    assert!((Duration::from_millis(4500)..Duration::from_millis(4510)).contains(&time));
    assert_eq!(outcome(&first.await.unwrap().unwrap()), Some(Outcome::Late));

    // The first handler's end must not wake up what its sender has given up.
    endpoint.drain().await;
    sleep(seconds(100)).await;
    assert_eq!(runs.started(), 1);
}

#[tokio::test]
async fn under_and_over_a_buffer() {
    let runs = Runs::default();
    let service = ServiceBuilder::new()
        .buffer::<Request<Body>>(8)
        .layer(layer())
        .buffer::<Request<WebhookBody>>(8)
        .service(Handler::new(&runs));
    guards(service, &runs).await;
}

#[tokio::test]
async fn under_and_over_load_shedding() {
    let runs = Runs::default();
    let service =
        ServiceBuilder::new().load_shed().layer(layer()).load_shed().service(Handler::new(&runs));
    guards(service, &runs).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_shed_inside_is_an_error_and_its_event_is_released() {
    let (runs, endpoint) = (Runs::default(), endpoint());
    let service = ServiceBuilder::new()
        .layer(WebhookLayer::new(endpoint.clone()))
        .load_shed()
        .concurrency_limit(1)
        .service(Handler::new(&runs).takes(seconds(1)));
    let first = tokio::spawn(service.clone().oneshot(signed(&event())));
    tokio::task::yield_now().await;

    let shed = event();
    let error: BoxError = service.clone().oneshot(signed(&shed)).await.unwrap_err();
    assert!(error.is::<Overloaded>(), "{error}");
    assert_eq!(first.await.unwrap().unwrap().status(), 200);
    assert_eq!(service.oneshot(signed(&shed)).await.unwrap().status(), 200);
    assert_eq!(runs.ended(), 2);
    assert_eq!(endpoint.counts().outcome(Outcome::Failed), 1);
}
