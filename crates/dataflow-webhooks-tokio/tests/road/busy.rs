//! Handlers and bodies that are never without work: they use up what the runtime
//! lets a task do in one turn, and leave nothing of it to timers and stores.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use dataflow_webhooks::{Delivery, Outcome, RejectionKind as Kind, StoreOperation};
use tokio::task::consume_budget;
use tokio::time::{Instant, advance};

use crate::support::body::{Step, Steps};
use crate::support::scene::{
    Run, Said, Scene, assert_about, head, millis, seconds, timed, unsigned,
};
use crate::support::store::Fate;

/// Takes this task's whole turn, and a millisecond.
fn use_up_the_turn(cx: &mut Context<'_>) {
    let _ = pin!(advance(millis(1))).poll(cx);
    while pin!(consume_budget()).poll(cx).is_ready() {}
}

/// A handler that works on for this long, as one that reads from a socket on
/// which there is always more.
fn busy_for(time: Duration) -> impl FnOnce(Delivery) -> Run {
    move |_| {
        let end = Instant::now() + time;
        Box::pin(poll_fn(move |cx| {
            if Instant::now() >= end {
                return Poll::Ready(Ok(Said::by_handler(200)));
            }
            use_up_the_turn(cx);
            Poll::Pending
        }))
    }
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_is_never_without_work_is_answered_503_at_4500_ms() {
    let scene = Scene::new();
    let (time, answer) = timed(scene.send("evt_1", busy_for(seconds(8)))).await;
    assert_eq!(answer.unwrap().outcome, Some(Outcome::Late));
    assert_about(time, millis(4500));
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_is_never_without_work_is_dropped_at_its_longest_run() {
    let scene = Scene::with(|b| b.longest_run(seconds(5)));
    let _ = scene.send("evt_1", busy_for(seconds(100))).await;
    tokio::time::sleep(seconds(1)).await;
    assert_eq!(scene.counts().handlers_cut_off, 1);
}

#[tokio::test(start_paused = true)]
async fn the_lease_of_a_handler_that_is_never_without_work_is_renewed() {
    let scene = Scene::new();
    // A store that needs its own part of the turn.
    scene.store.always(StoreOperation::Renew, Fate::PassAfter(millis(20)));
    let _ = scene.send("evt_1", busy_for(seconds(65))).await;
    tokio::time::sleep(seconds(70)).await;
    assert_eq!(scene.counts().handlers_succeeded, 1);
    assert_eq!(scene.store.calls(StoreOperation::Renew).len(), 6);
    assert_eq!(scene.counts().store_errors(StoreOperation::Renew), 0);
}

/// Empty chunks without end, always ready, 512 in a millisecond.
fn empty_chunks() -> Steps {
    Steps::of((0_u64..).map(|number| {
        if number.is_multiple_of(512) {
            let _ = pin!(advance(millis(1))).poll(&mut Context::from_waker(Waker::noop()));
        }
        Step::chunk(Bytes::new())
    }))
}

/// The time is looked at once in a turn.
#[track_caller]
fn assert_within_a_turn(time: Duration, expected: Duration) {
    assert!((expected..expected + millis(200)).contains(&time), "after {time:?}");
}

#[tokio::test(start_paused = true)]
async fn a_body_of_empty_chunks_without_end_is_answered_408_after_4_s() {
    let scene = Scene::new();
    let (time, result) = timed(scene.receive(head(&Bytes::new()), empty_chunks())).await;
    assert_eq!(result.unwrap_err().rejection.kind(), Kind::BodyTimeout);
    assert_within_a_turn(time, seconds(4));
}

#[tokio::test(start_paused = true)]
async fn a_refused_body_of_empty_chunks_without_end_is_read_for_a_second() {
    let scene = Scene::new();
    let (time, result) = timed(scene.receive(unsigned(Some(0)), empty_chunks())).await;
    let refusal = result.unwrap_err();
    assert_eq!((refusal.rejection.kind(), refusal.close), (Kind::MissingSignature, true));
    assert_within_a_turn(time, seconds(1));
}
