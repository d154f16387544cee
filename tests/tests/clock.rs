//! A handler that takes 8 s, three more than the sender waits ("Endpoint
//! Requirements"): whatever the sender, its connection or a time-out outside do
//! meanwhile, it runs to its end, once, and the retry finds the event done.
//!
//! In real time, over sockets, on both kinds of runtime; all cases run beside
//! each other.

use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use dataflow_webhooks::{Outcome, StoreOperation};
use tokio::time::{Instant, sleep, sleep_until};
use tower_http::timeout::TimeoutLayer;
use webhook_tests::{
    Answer, Http2, Served, State, WatchedStore, at_once, delivery, endpoint, eventually,
};

/// How long the handler takes.
const RUN: Duration = Duration::from_secs(8);

/// How long the sender waits.
const PATIENCE: Duration = Duration::from_secs(5);

const ID: &str = "evt_slow";

at_once! {
    the_sender_gets_503_before_5_s,
    the_sender_closes_its_half_after_the_body,
    the_sender_closes_the_connection_after_the_body,
    the_sender_resets_the_connection_after_the_body,
    the_sender_hangs_up_at_the_503,
    a_time_out_outside_fires,
    a_duplicate_comes_meanwhile,
    over_http_2_the_sender_gets_503_before_5_s,
    over_http_2_the_sender_resets_the_stream,
    over_http_2_the_sender_closes_the_connection,
    a_time_out_outside_fires_over_http_2,
}

async fn slow() -> Served {
    slow_in(|app| app).await
}

async fn slow_in(outside: impl FnOnce(Router) -> Router) -> Served {
    Served::start_in(endpoint(), WatchedStore::default(), |_| sleep(RUN), outside).await
}

/// The handler has begun and not ended.
async fn runs(served: &Served) {
    eventually("the handler begins", || served.runs.begun(ID) == 1).await;
    assert_eq!(served.runs.ended(ID), 0);
}

fn assert_late(answer: &Answer, since: Instant) {
    assert!(since.elapsed() < PATIENCE, "answered after {:?}", since.elapsed());
    assert!(answer.is_try_again(), "{answer:?}");
}

/// The handler finishes once, and its event is done.
async fn it_finishes_once_and_the_retry_does_not_run(served: &Served, outcome: Outcome) {
    assert_eq!(served.endpoint.counts().handlers_succeeded, 0);
    eventually("the handler ends", || served.runs.ended(ID) == 1).await;
    let retry = served.deliver(ID).await;
    assert_eq!((retry.status, retry.text().as_str()), (200, "already handled\n"));
    assert_eq!((served.runs.begun(ID), served.runs.ended(ID)), (1, 1));
    let counts = served.endpoint.counts();
    assert_eq!((counts.handlers_succeeded, counts.outcome(outcome)), (1, 1));
    assert_eq!((counts.running, counts.pending_commits, counts.lease_lost), (0, 0, 0));
}

async fn the_sender_gets_503_before_5_s() {
    let served = slow().await;
    let mut wire = served.connect().await;
    let since = Instant::now();
    wire.send(&delivery(ID)).await.unwrap();
    let answer = wire.answer().await.unwrap();
    assert_late(&answer, since);
    assert!(!answer.closes());
    runs(&served).await;
    it_finishes_once_and_the_retry_does_not_run(&served, Outcome::Late).await;
}

async fn the_sender_closes_its_half_after_the_body() {
    let served = slow().await;
    let mut wire = served.connect().await;
    wire.send(&delivery(ID)).await.unwrap();
    // Closed before the handler has begun, it is a delivery that was never there.
    runs(&served).await;
    wire.finish().await.unwrap();
    it_finishes_once_and_the_retry_does_not_run(&served, Outcome::HungUp).await;
}

async fn the_sender_closes_the_connection_after_the_body() {
    let served = slow().await;
    let mut wire = served.connect().await;
    wire.send(&delivery(ID)).await.unwrap();
    runs(&served).await;
    drop(wire);
    it_finishes_once_and_the_retry_does_not_run(&served, Outcome::HungUp).await;
}

async fn the_sender_resets_the_connection_after_the_body() {
    let served = slow().await;
    let mut wire = served.connect().await;
    wire.send(&delivery(ID)).await.unwrap();
    runs(&served).await;
    wire.reset().unwrap();
    it_finishes_once_and_the_retry_does_not_run(&served, Outcome::HungUp).await;
}

async fn the_sender_hangs_up_at_the_503() {
    let served = slow().await;
    let since = Instant::now();
    // Its connection ends with the answer.
    assert_late(&served.deliver(ID).await, since);
    runs(&served).await;
    it_finishes_once_and_the_retry_does_not_run(&served, Outcome::Late).await;
}

fn time_out(app: Router) -> Router {
    // Long after the handler has begun, and before the answer would be late.
    let time = Duration::from_secs(3);
    app.layer(TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, time))
}

async fn a_time_out_outside_fires() {
    let served = slow_in(time_out).await;
    assert_eq!(served.deliver(ID).await.status, 504);
    runs(&served).await;
    it_finishes_once_and_the_retry_does_not_run(&served, Outcome::HungUp).await;
}

async fn a_duplicate_comes_meanwhile() {
    let served = slow().await;
    let mut wire = served.connect().await;
    wire.send(&delivery(ID)).await.unwrap();
    runs(&served).await;
    let since = Instant::now();
    assert_late(&served.deliver(ID).await, since);
    assert!(wire.answer().await.unwrap().is_try_again());
    assert_eq!(served.endpoint.counts().outcome(Outcome::InFlight), 1);
    it_finishes_once_and_the_retry_does_not_run(&served, Outcome::Late).await;
}

async fn over_http_2_the_sender_gets_503_before_5_s() {
    let served = slow().await;
    let mut sender = Http2::connect(served.address()).await;
    let since = Instant::now();
    let answer = sender.send(&delivery(ID)).await.unwrap();
    assert_late(&answer, since);
    runs(&served).await;
    eventually("the handler ends", || served.runs.ended(ID) == 1).await;
    // The same connection carries the retry.
    let retry = sender.send(&delivery(ID)).await.unwrap();
    assert_eq!((retry.status, retry.text().as_str()), (200, "already handled\n"));
    assert_eq!((served.runs.begun(ID), served.endpoint.counts().running), (1, 0));
}

async fn over_http_2_the_sender_resets_the_stream() {
    let served = slow().await;
    let mut sender = Http2::connect(served.address()).await;
    let answering = sender.send(&delivery(ID));
    runs(&served).await;
    drop(answering);
    eventually("the server hears of it", || served.endpoint.counts().outcome(Outcome::HungUp) == 1)
        .await;
    it_finishes_once_and_the_retry_does_not_run(&served, Outcome::HungUp).await;
    // Only the stream was reset.
    assert_eq!(sender.send(&delivery(ID)).await.unwrap().status, 200);
}

async fn over_http_2_the_sender_closes_the_connection() {
    let served = slow().await;
    let mut sender = Http2::connect(served.address()).await;
    let _answering = sender.send(&delivery(ID));
    runs(&served).await;
    sender.close().await;
    it_finishes_once_and_the_retry_does_not_run(&served, Outcome::HungUp).await;
}

async fn a_time_out_outside_fires_over_http_2() {
    let served = slow_in(time_out).await;
    let mut sender = Http2::connect(served.address()).await;
    assert_eq!(sender.send(&delivery(ID)).await.unwrap().status, 504);
    runs(&served).await;
    it_finishes_once_and_the_retry_does_not_run(&served, Outcome::HungUp).await;
}

/// A store that is away for longer than a lease: the sender is not made to wait
/// for it, and learns nothing of it.
#[tokio::test]
async fn a_commit_that_fails_for_40_s_is_made_then_and_a_duplicate_at_60_s_does_not_run() {
    let served = Served::start(endpoint(), |_| async {}).await;
    served.store.fail(StoreOperation::Commit, usize::MAX);
    let sent = Instant::now();
    assert_eq!(served.deliver(ID).await.status, 200);

    sleep_until(sent + Duration::from_secs(40)).await;
    assert_eq!(served.endpoint.counts().pending_commits, 1);
    served.store.fail(StoreOperation::Commit, 0);
    eventually("it is committed", || served.endpoint.counts().pending_commits == 0).await;
    assert_eq!(served.store.state(ID).await, State::Done);

    sleep_until(sent + Duration::from_secs(60)).await;
    assert_eq!(served.deliver(ID).await.status, 200);
    assert_eq!(served.runs.begun(ID), 1);
}
