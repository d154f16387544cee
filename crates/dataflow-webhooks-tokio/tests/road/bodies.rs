//! A body as it arrives: in time or not, whole or not; and what is still read
//! of one that was refused.

use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use bytes::Bytes;
use dataflow_webhooks::{RejectionKind as Kind, UnverifiedBudget};
use dataflow_webhooks_tokio::{Whole, receive};
use tokio::time::Instant;

use crate::support::body::{Step, Steps};
use crate::support::scene::{
    Scene, assert_about, at_once, body_of, head, millis, poll_once, seconds, timed, unsigned,
};

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// A body of an event, this long.
fn long_body(bytes: usize) -> Bytes {
    let text = format!(r#"{{"id":"evt_1","data":"{}"}}"#, "x".repeat(bytes - 24));
    assert_eq!(text.len(), bytes);
    text.into()
}

#[tokio::test]
async fn a_body_that_comes_in_pieces_is_put_together() {
    let body = body_of("evt_1");
    for size in [1, 2, 7, 16, body.len()] {
        for length in [Some(body.len() as u64), None] {
            let pieces: Vec<_> =
                body.chunks(size).map(|piece| Step::chunk(piece.to_vec())).collect();
            let head = head(&body).with_content_length(length);
            let delivery = Scene::new().receive(head, Steps::of(pieces)).await.unwrap();
            assert_eq!(*delivery.body(), body);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_trickles_is_answered_408_after_4_s() {
    let (scene, body) = (Scene::new(), body_of("evt_1"));
    let trickle = Steps::trickle(body.clone(), seconds(1));
    let (time, result) = timed(scene.receive(head(&body), trickle)).await;
    let refusal = result.unwrap_err();
    assert_about(time, seconds(4));
    assert_eq!((refusal.rejection.kind(), refusal.rejection.status()), (Kind::BodyTimeout, 408));
    assert!(refusal.close);
    assert_eq!(scene.counts().rejected(Kind::BodyTimeout), 1);
    assert_eq!(scene.counts().unverified_bytes, 0);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_stops_is_answered_408_after_4_s() {
    let (scene, body) = (Scene::new(), body_of("evt_1"));
    let steps = Steps::of([Step::chunk(body.slice(..10)), Step::Stall]);
    let (time, result) = timed(scene.receive(head(&body), steps)).await;
    assert_about(time, seconds(4));
    assert_eq!(result.unwrap_err().rejection.kind(), Kind::BodyTimeout);
}

#[tokio::test(start_paused = true)]
async fn a_slow_body_that_is_complete_in_time_is_taken() {
    let (scene, body) = (Scene::new(), body_of("evt_1"));
    let pause = millis(3900) / u32::try_from(body.len()).unwrap();
    let trickle = Steps::trickle(body.clone(), Duration::from_millis(pause.as_millis() as u64));
    assert_eq!(scene.receive(head(&body), trickle).await.unwrap().id(), "evt_1");
}

#[tokio::test(start_paused = true)]
async fn the_time_for_the_body_starts_with_the_head() {
    let (scene, body) = (Scene::new(), body_of("evt_1"));
    let arrived = Instant::now();
    tokio::time::sleep(seconds(3)).await;
    let receiving = receive(&scene.endpoint, head(&body), arrived, Steps::of([Step::Stall]));
    let (time, result) = timed(receiving).await;
    assert_about(time, seconds(1));
    assert_eq!(result.unwrap_err().rejection.kind(), Kind::BodyTimeout);
}

#[tokio::test(start_paused = true)]
async fn the_time_for_the_body_may_be_set() {
    let scene = Scene::with(|b| b.body_within(millis(200)));
    let (time, _) = timed(scene.receive(head(&body_of("evt_1")), Steps::of([Step::Stall]))).await;
    assert_about(time, millis(200));
}

#[tokio::test]
async fn a_lost_connection_is_400_and_closes() {
    let (scene, body) = (Scene::new(), body_of("evt_1"));
    let steps = Steps::of([Step::chunk(body.slice(..10)), Step::Lost]);
    let refusal = scene.receive(head(&body), steps).await.unwrap_err();
    assert_eq!((refusal.rejection.kind(), refusal.rejection.status()), (Kind::BodyLost, 400));
    assert!(refusal.close);
    assert_eq!(refusal.rejection.source().unwrap().to_string(), "the connection is gone");
}

#[tokio::test]
async fn a_limit_outside_is_413_and_closes() {
    let (scene, body) = (Scene::new(), body_of("evt_1"));
    let steps = Steps::of([Step::chunk(body.slice(..10)), Step::TooLarge]);
    let refusal = scene.receive(head(&body), steps).await.unwrap_err();
    assert_eq!((refusal.rejection.kind(), refusal.rejection.status()), (Kind::BodyTooLarge, 413));
    assert!(refusal.close);
}

#[tokio::test(start_paused = true)]
async fn an_endless_body_is_413_at_the_limit_and_read_no_further_than_16_mib() {
    let scene = Scene::new();
    let chunk = Bytes::from(vec![b' '; 64 * KIB]);
    let steps = Steps::of(std::iter::repeat_with(move || Step::Chunk(chunk.clone())));
    let served = steps.served();
    let head = head(&Bytes::new()).with_content_length(None);
    let (time, result) = timed(scene.receive(head, steps)).await;
    let refusal = result.unwrap_err();
    assert_eq!((refusal.rejection.kind(), refusal.rejection.status()), (Kind::BodyTooLarge, 413));
    assert!(refusal.close);
    assert_about(time, seconds(0));
    let served = served.load(SeqCst) as usize;
    assert!((17 * MIB..=17 * MIB + 256 * KIB).contains(&served), "{served} bytes were read");
    assert_eq!(scene.counts().unverified_bytes, 0);
}

#[tokio::test(start_paused = true)]
async fn a_body_declared_too_long_is_refused_by_its_head() {
    let scene = Scene::new();
    let body = long_body(2 * MIB);
    let (time, result) = timed(scene.receive(head(&body), Whole::new(body.clone()))).await;
    let refusal = result.unwrap_err();
    assert_eq!(refusal.rejection.kind(), Kind::BodyTooLarge);
    assert!(refusal.close, "however much of it came");
    assert_about(time, seconds(0));
    assert_eq!(scene.counts().unverified_bytes, 0);
}

#[tokio::test(start_paused = true)]
async fn a_refused_body_that_comes_within_a_second_is_read_to_its_end_and_keeps_the_connection() {
    let scene = Scene::new();
    let steps = Steps::of([
        Step::chunk("one"),
        Step::Wait(millis(400)),
        Step::chunk("two"),
        Step::Wait(millis(400)),
        Step::chunk("three"),
    ]);
    let served = steps.served();
    let (time, result) = timed(scene.receive(unsigned(Some(11)), steps)).await;
    let refusal = result.unwrap_err();
    assert_eq!(refusal.rejection.kind(), Kind::MissingSignature);
    assert_about(time, millis(800));
    assert_eq!(served.load(SeqCst), 11);
    assert!(!refusal.close);
}

#[tokio::test(start_paused = true)]
async fn a_refused_body_is_read_for_a_second_at_most() {
    let scene = Scene::new();
    let steps = Steps::of([Step::chunk("one"), Step::Stall]);
    let (time, result) = timed(scene.receive(unsigned(Some(11)), steps)).await;
    let refusal = result.unwrap_err();
    assert_eq!(refusal.rejection.kind(), Kind::MissingSignature);
    assert_about(time, seconds(1));
    assert!(refusal.close);
}

#[tokio::test(start_paused = true)]
async fn a_refused_body_that_trickles_is_read_for_a_second_at_most() {
    let scene = Scene::new();
    let trickle = Steps::trickle(long_body(100 * KIB), millis(100));
    let (time, result) = timed(scene.receive(unsigned(None), trickle)).await;
    assert_about(time, seconds(1));
    assert!(result.unwrap_err().close);
}

#[tokio::test]
async fn a_refused_body_without_a_declared_length_closes_the_connection() {
    let scene = Scene::new();
    let refusal = scene.receive(unsigned(None), Whole::new("abc")).await.unwrap_err();
    assert!(refusal.close);
}

#[tokio::test]
async fn a_refused_body_that_breaks_off_closes_the_connection() {
    let scene = Scene::new();
    let steps = Steps::of([Step::chunk("abc"), Step::Lost]);
    let refusal = scene.receive(unsigned(Some(100)), steps).await.unwrap_err();
    assert_eq!(refusal.rejection.kind(), Kind::MissingSignature, "the first reason stands");
    assert!(refusal.close);
}

#[tokio::test]
async fn a_small_body_that_does_not_match_keeps_the_connection() {
    let (scene, body) = (Scene::new(), body_of("evt_1"));
    let refusal = scene.receive(head(&body_of("evt_2")), Whole::new(body)).await.unwrap_err();
    assert_eq!((refusal.rejection.kind(), refusal.close), (Kind::NoMatch, false));
}

#[tokio::test(start_paused = true)]
async fn who_expects_100_continue_is_refused_at_once_and_its_body_not_asked_for() {
    let scene = Scene::new();
    let steps = Steps::of([Step::Stall]);
    let polls = steps.polls();
    let head = unsigned(Some(11)).with_expect_continue(true);
    let (time, result) = timed(scene.receive(head, steps)).await;
    let refusal = result.unwrap_err();
    assert_about(time, seconds(0));
    assert_eq!(refusal.rejection.kind(), Kind::MissingSignature);
    assert!(refusal.close, "the sender may send its body all the same");
    assert_eq!(polls.load(SeqCst), 0);
}

#[tokio::test]
async fn who_expects_100_continue_and_is_authentic_is_taken() {
    let (scene, body) = (Scene::new(), body_of("evt_1"));
    let head = head(&body).with_expect_continue(true);
    assert_eq!(scene.receive(head, Whole::new(body)).await.unwrap().id(), "evt_1");
}

#[tokio::test]
async fn nothing_of_a_body_is_polled_before_the_future_is() {
    let (scene, body) = (Scene::new(), body_of("evt_1"));
    let steps = Steps::of([Step::chunk(body.clone())]);
    let polls = steps.polls();
    drop(scene.receive(head(&body), steps));
    assert_eq!(polls.load(SeqCst), 0);
}

#[tokio::test]
async fn bytes_count_as_unverified_while_they_arrive_and_no_longer_once_verified() {
    let (scene, body) = (Scene::new(), body_of("evt_1"));
    let steps = Steps::of([
        Step::chunk(body.slice(..10)),
        Step::Wait(millis(1)),
        Step::chunk(body.slice(10..)),
    ]);
    let mut receiving = Box::pin(scene.receive(head(&body), steps));
    assert!(poll_once(receiving.as_mut()).is_pending());
    assert_eq!(scene.counts().unverified_bytes, 10);
    let delivery = receiving.await.unwrap();
    assert_eq!(scene.counts().unverified_bytes, 0);
    drop(delivery);
    assert_eq!(scene.counts().unverified_bytes, 0);
}

#[tokio::test(start_paused = true)]
async fn bytes_of_a_request_that_is_dropped_are_given_back() {
    let (scene, body) = (Scene::new(), body_of("evt_1"));
    let steps = Steps::of([Step::chunk(body.slice(..10)), Step::Stall]);
    let mut receiving = Box::pin(scene.receive(head(&body), steps));
    assert!(poll_once(receiving.as_mut()).is_pending());
    assert_eq!(scene.counts().unverified_bytes, 10);
    drop(receiving);
    assert_eq!(scene.counts().unverified_bytes, 0);
}

#[tokio::test]
async fn bytes_of_a_body_that_does_not_match_are_given_back() {
    let (scene, body) = (Scene::new(), body_of("evt_1"));
    let _ = scene.receive(head(&body_of("evt_2")), Whole::new(body)).await;
    assert_eq!(scene.counts().unverified_bytes, 0);
}

#[tokio::test(start_paused = true)]
async fn bytes_of_a_refused_body_are_given_back_before_the_rest_is_read() {
    let scene = Scene::new();
    let chunk = Bytes::from(vec![b' '; 600 * KIB]);
    let steps = Steps::of([Step::Chunk(chunk.clone()), Step::Chunk(chunk), Step::Stall]);
    let head = head(&Bytes::new()).with_content_length(None);
    let mut receiving = Box::pin(scene.receive(head, steps));
    assert!(poll_once(receiving.as_mut()).is_pending(), "the rest is being read");
    assert_eq!(scene.counts().unverified_bytes, 0);
    assert_eq!(receiving.await.unwrap_err().rejection.kind(), Kind::BodyTooLarge);
}

#[tokio::test(start_paused = true)]
async fn beyond_the_budget_a_large_body_is_503_and_a_small_one_passes() {
    let budget = UnverifiedBudget::new(MIB);
    let scene = Scene::with(|b| b.unverified_budget(budget.clone()));
    let flood = Bytes::from(vec![b' '; MIB - 10]);
    let flood = Steps::of([Step::Chunk(flood), Step::Stall]);
    let no_length = || head(&Bytes::new()).with_content_length(None);
    let mut flooding = Box::pin(scene.receive(no_length(), flood));
    assert!(poll_once(flooding.as_mut()).is_pending());

    let large = long_body(20 * KIB);
    let refusal = at_once(scene.receive(head(&large), Whole::new(large.clone()))).unwrap_err();
    assert_eq!((refusal.rejection.kind(), refusal.rejection.status()), (Kind::TooManyBytes, 503));
    assert!(!refusal.close, "all of it came");
    let small = long_body(16 * KIB);
    assert!(at_once(scene.receive(head(&small), Whole::new(small.clone()))).is_ok());

    drop(flooding);
    assert_eq!(budget.held(), 0);
    assert!(at_once(scene.receive(head(&large), Whole::new(large.clone()))).is_ok());
}

#[tokio::test]
async fn a_body_that_panics_gives_its_bytes_back_and_leaves_the_endpoint_alone() {
    let (scene, body) = (Scene::new(), body_of("evt_1"));
    let steps = Steps::of([Step::chunk(body.slice(..10)), Step::Panic]);
    let (endpoint, head) = (scene.endpoint.clone(), head(&body));
    let receiving = async move {
        receive(&endpoint, head, Instant::now(), steps).await.map(drop).map_err(drop)
    };
    // It is the framework's own panic, and the framework's to catch.
    assert!(tokio::spawn(receiving).await.unwrap_err().is_panic());
    assert_eq!(scene.counts().unverified_bytes, 0);
    assert_eq!(scene.send("evt_1", scene.says(200)).await.unwrap().status, 200);
}
