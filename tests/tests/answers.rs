//! The answer table, first part: how a handler's end is answered, and what
//! becomes of its claim.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use axum::Router;
use axum::error_handling::HandleError;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use dataflow_webhooks::testing::ManualClock;
use dataflow_webhooks::{Delivery, MemoryStore, Outcome, StoreOperation};
use dataflow_webhooks_axum::{WebhookBody, WebhookLayer};
use tokio::sync::Notify;
use tower::{Layer as _, service_fn};
use webhook_tests::{
    Receiver, Request, Served, State, WatchedStore, delivery, endpoint, event, eventually,
};

/// A deadline that a test can wait for.
const SOON: Duration = Duration::from_millis(300);

#[tokio::test]
async fn any_2xx_is_answered_200_with_its_body_and_headers_and_the_event_is_done() {
    let served = Served::start(endpoint(), |delivery: Delivery| async move {
        let status: u16 = delivery.id().parse().unwrap();
        (StatusCode::from_u16(status).unwrap(), [("x-own", "kept")], "own body")
    })
    .await;
    for status in ["200", "201", "202", "203", "226", "299"] {
        let answer = served.deliver(status).await;
        assert_eq!(
            (answer.status, answer.header("x-own"), answer.text().as_str()),
            (200, "kept", "own body"),
            "{status}"
        );
        assert_eq!(served.store.state(status).await, State::Done, "{status}");
    }
    let counts = served.endpoint.counts();
    assert_eq!((counts.outcome(Outcome::Handled), counts.handlers_succeeded), (6, 6));
    assert_eq!(counts.authentic_refused, 0);
}

#[tokio::test]
async fn a_204_is_answered_200_without_a_body_and_the_connection_lives_on() {
    let served = Served::start(endpoint(), |_| async { StatusCode::NO_CONTENT }).await;
    let mut wire = served.connect().await;
    for id in ["evt_1", "evt_2"] {
        wire.send(&delivery(id)).await.unwrap();
        let answer = wire.answer().await.unwrap();
        assert_eq!((answer.status, answer.body.len(), answer.closes()), (200, 0, false));
    }
}

#[tokio::test]
async fn any_other_answer_of_the_handler_stands_and_the_retry_runs_again() {
    let served = Served::start(endpoint(), |delivery: Delivery| async move {
        let status: u16 = delivery.id().parse().unwrap();
        (StatusCode::from_u16(status).unwrap(), [("x-own", "kept")], "own body")
    })
    .await;
    for status in ["302", "400", "401", "404", "418", "429", "500", "503"] {
        for run in 1..=2 {
            let answer = served.deliver(status).await;
            assert_eq!(answer.status.to_string(), status);
            assert_eq!((answer.header("x-own"), answer.text().as_str()), ("kept", "own body"));
            assert_eq!(served.runs.ended(status), run, "{status}");
        }
        assert_eq!(served.store.state(status).await, State::Free, "{status}");
    }
    let counts = served.endpoint.counts();
    assert_eq!((counts.outcome(Outcome::Failed), counts.handlers_failed), (16, 16));
    assert_eq!((counts.authentic_refused, counts.authentic_refused_in_a_row), (16, 16));
}

#[tokio::test]
async fn a_304_of_the_handler_stands_and_the_retry_runs_again() {
    // A status that has no body, whatever the handler gives it.
    let served = Served::start(endpoint(), |_| async { StatusCode::NOT_MODIFIED }).await;
    for run in 1..=2 {
        assert_eq!(served.deliver("evt_1").await.status, 304);
        assert_eq!(served.runs.begun("evt_1"), run);
    }
}

#[tokio::test]
async fn a_service_that_fails_keeps_its_error_and_the_retry_runs_again() {
    let (endpoint, calls) = (endpoint().build().unwrap(), Arc::new(AtomicUsize::new(0)));
    let service = {
        let calls = calls.clone();
        service_fn(move |_: axum::http::Request<WebhookBody>| {
            let is_first = calls.fetch_add(1, SeqCst) == 0;
            async move {
                if is_first {
                    return Err(std::io::Error::other("the queue is down"));
                }
                Ok(StatusCode::OK.into_response())
            }
        })
    };
    let service = WebhookLayer::new(endpoint.clone()).layer(service);
    let service = HandleError::new(service, |error: std::io::Error| async move {
        (StatusCode::BAD_GATEWAY, error.to_string())
    });
    let app = Router::new().route_service("/webhooks/dataflow", service);
    let receiver = Receiver::start(app).await;

    let first = delivery("evt_1").send(receiver.address()).await.unwrap();
    assert_eq!((first.status, first.text().as_str()), (502, "the queue is down"));
    let retry = delivery("evt_1").send(receiver.address()).await.unwrap();
    assert_eq!((retry.status, calls.load(SeqCst)), (200, 2));
    let counts = endpoint.counts();
    assert_eq!((counts.handlers_failed, counts.handlers_succeeded), (1, 1));
    assert_eq!(counts.authentic_refused_in_a_row, 0);
}

#[tokio::test]
async fn a_handler_that_panics_is_answered_500_and_the_retry_runs_it() {
    let calls = Arc::new(AtomicUsize::new(0));
    let served = Served::start(endpoint(), move |_| {
        let call = calls.fetch_add(1, SeqCst);
        async move {
            tokio::task::yield_now().await;
            assert!(call > 0, "the first run panics, as this test wants it to");
        }
    })
    .await;
    // On one connection: the panic must not take it down.
    let mut wire = served.connect().await;
    wire.send(&delivery("evt_1")).await.unwrap();
    let answer = wire.answer().await.unwrap();
    assert_eq!((answer.status, answer.text().as_str()), (500, "the delivery was not handled\n"));
    assert_eq!((served.runs.begun("evt_1"), served.runs.ended("evt_1")), (1, 0));

    wire.send(&delivery("evt_1")).await.unwrap();
    assert_eq!(wire.answer().await.unwrap().status, 200);
    assert_eq!((served.runs.begun("evt_1"), served.runs.ended("evt_1")), (2, 1));
    let counts = served.endpoint.counts();
    assert_eq!((counts.outcome(Outcome::Panicked), counts.handlers_panicked), (1, 1));
    assert_eq!(counts.running, 0);
}

#[tokio::test]
async fn a_late_handler_is_answered_503_and_the_event_is_done_at_its_real_end() {
    let end = Arc::new(Notify::new());
    let ending = end.clone();
    let quick = endpoint().body_within(SOON).answer_within(SOON);
    let served = Served::start(quick, move |_| {
        let ending = ending.clone();
        async move { ending.notified().await }
    })
    .await;
    assert!(served.deliver("evt_1").await.is_try_again());
    assert_eq!((served.runs.begun("evt_1"), served.runs.ended("evt_1")), (1, 0));
    assert_eq!(served.endpoint.counts().outcome(Outcome::Late), 1);
    assert_eq!(served.store.state("evt_1").await, State::InFlight);

    end.notify_one();
    eventually("the handler ends", || served.endpoint.counts().running == 0).await;
    assert_eq!(served.store.state("evt_1").await, State::Done);
    assert_eq!(served.deliver("evt_1").await.status, 200);
    assert_eq!(served.runs.begun("evt_1"), 1);
}

#[tokio::test]
async fn a_late_handler_that_fails_in_the_end_leaves_the_event_to_the_retry() {
    let end = Arc::new(Notify::new());
    let ending = end.clone();
    let quick = endpoint().body_within(SOON).answer_within(SOON);
    let served = Served::start(quick, move |_| {
        let ending = ending.clone();
        async move {
            ending.notified().await;
            StatusCode::INTERNAL_SERVER_ERROR
        }
    })
    .await;
    assert!(served.deliver("evt_1").await.is_try_again());
    end.notify_one();
    eventually("the handler ends", || served.endpoint.counts().running == 0).await;
    assert_eq!(served.store.state("evt_1").await, State::Free);
    end.notify_one();
    assert_eq!(served.deliver("evt_1").await.status, 500);
    assert_eq!(served.runs.ended("evt_1"), 2);
}

#[tokio::test]
async fn a_handler_over_the_longest_run_is_dropped_and_the_retry_runs_it() {
    let quick = endpoint().body_within(SOON).answer_within(SOON).longest_run(2 * SOON);
    let served = Served::start(quick, |_| std::future::pending::<()>()).await;
    assert!(served.deliver("evt_1").await.is_try_again());
    eventually("it is dropped", || served.endpoint.counts().handlers_cut_off == 1).await;
    eventually("it is gone", || served.endpoint.counts().running == 0).await;
    assert_eq!(served.store.state("evt_1").await, State::Free);
    assert!(served.deliver("evt_1").await.is_try_again());
    assert_eq!((served.runs.begun("evt_1"), served.runs.ended("evt_1")), (2, 0));
}

#[tokio::test]
async fn a_handler_whose_lease_was_taken_over_keeps_its_answer_and_changes_nothing() {
    let clock = ManualClock::new();
    let records = MemoryStore::new().with_clock({
        let clock = clock.clone();
        move || clock.now()
    });
    let end = Arc::new(Notify::new());
    let ending = end.clone();
    let served = Served::start_in(
        endpoint(),
        WatchedStore::over(records),
        move |delivery: Delivery| {
            let ending = ending.clone();
            async move {
                let epoch = delivery.epoch().unwrap();
                if epoch == 1 {
                    ending.notified().await;
                }
                format!("epoch {epoch}")
            }
        },
        |app| app,
    )
    .await;
    let mut first = served.connect().await;
    first.send(&delivery("evt_1")).await.unwrap();
    eventually("the first run begins", || served.runs.begun("evt_1") == 1).await;

    clock.advance(Duration::from_secs(31));
    let second = served.deliver("evt_1").await;
    assert_eq!((second.status, second.text().as_str()), (200, "epoch 2"));
    end.notify_one();
    let first = first.answer().await.unwrap();
    assert_eq!((first.status, first.text().as_str()), (200, "epoch 1"));
    assert_eq!(served.endpoint.counts().lease_lost, 1);
    assert_eq!(served.store.state("evt_1").await, State::Done);
}

#[test]
fn the_event_of_a_process_that_died_runs_again_under_the_next_epoch() {
    let clock = ManualClock::new();
    let records = MemoryStore::new().with_clock({
        let clock = clock.clone();
        move || clock.now()
    });
    let store = WatchedStore::over(records);
    let quick = || endpoint().body_within(SOON).answer_within(SOON);
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
async fn the_handler_sees_the_body_as_it_was_signed() {
    let served =
        Served::start(endpoint(), |delivery: Delivery| async move { delivery.body().clone() })
            .await;
    let body = [&event("evt_1")[..], b" \r\n\t "].concat();
    let answer = served.send(&Request::signed(body.clone())).await;
    assert_eq!((answer.status, answer.body), (200, body));
}
