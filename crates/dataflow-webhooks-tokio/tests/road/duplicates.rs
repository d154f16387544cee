//! A second delivery of an event whose first one is in flight.

use bytes::Bytes;
use dataflow_webhooks::StoreOperation::Claim;
use dataflow_webhooks::{Outcome, RejectionKind, UnverifiedBudget};
use dataflow_webhooks_tokio::Whole;
use tokio::time::sleep;

use crate::support::scene::{
    Said, Scene, State, at_once, head, millis, seconds, settle_down, timed,
};

#[tokio::test]
async fn a_duplicate_of_a_done_event_is_answered_200_and_its_handler_not_called() {
    let scene = Scene::new();
    let _ = scene.send("evt_1", scene.says(200)).await;
    let again = scene.send("evt_1", scene.says(500)).await.unwrap();
    assert_eq!((again.status, again.outcome), (200, Some(Outcome::Duplicate)));
    assert_eq!(again.body, "already handled\n");
    assert_eq!(scene.runs.started(), 1);
    assert_eq!(scene.counts().outcome(Outcome::Duplicate), 1);
}

#[tokio::test(start_paused = true)]
async fn a_duplicate_waits_and_is_answered_200_when_the_first_is_done() {
    let scene = Scene::new();
    let first = tokio::spawn(scene.send("evt_1", scene.takes(seconds(2), 200)));
    settle_down().await;
    let (time, second) = timed(scene.send("evt_1", scene.says(200))).await;
    assert_eq!(second.unwrap().outcome, Some(Outcome::Duplicate));
    assert!((seconds(2)..=millis(2205)).contains(&time), "{time:?}");
    assert_eq!(first.await.unwrap().unwrap(), Said::by_handler(200));
    assert_eq!(scene.runs.started(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_duplicate_runs_when_the_first_has_failed() {
    let scene = Scene::new();
    let first = tokio::spawn(scene.send("evt_1", scene.takes(seconds(2), 500)));
    settle_down().await;
    let second = scene.send("evt_1", scene.says(200)).await.unwrap();
    assert_eq!(second, Said::by_handler(200));
    assert_eq!(first.await.unwrap().unwrap(), Said::by_handler(500));
    assert_eq!(scene.runs.epochs(), [Some(1), Some(2)]);
    assert_eq!(scene.state("evt_1").await, State::Done);
}

#[tokio::test(start_paused = true)]
async fn a_duplicate_of_an_event_still_in_flight_is_answered_503_in_time() {
    let scene = Scene::new();
    let first = tokio::spawn(scene.send("evt_1", scene.takes(seconds(30), 200)));
    settle_down().await;
    let (time, second) = timed(scene.send("evt_1", scene.says(200))).await;
    let second = second.unwrap();
    assert_eq!((second.status, second.outcome), (503, Some(Outcome::InFlight)));
    assert!((millis(4400)..millis(4500)).contains(&time), "{time:?}");
    assert_eq!(first.await.unwrap().unwrap().outcome, Some(Outcome::Late));
    assert_eq!(scene.runs.started(), 1);
}

#[tokio::test(start_paused = true)]
async fn many_at_once_of_one_event_run_it_once() {
    let scene = Scene::new();
    let all: Vec<_> =
        (0..64).map(|_| tokio::spawn(scene.send("evt_1", scene.takes(millis(50), 204)))).collect();
    for one in all {
        assert_eq!(one.await.unwrap().unwrap().status, 200);
    }
    assert_eq!(scene.runs.started(), 1);
    assert_eq!(scene.counts().outcome(Outcome::Duplicate), 63);
}

#[tokio::test(start_paused = true)]
async fn duplicates_in_waiting_take_no_handlers_place() {
    let scene = Scene::with(|b| b.max_running(2));
    let first = tokio::spawn(scene.send("evt_1", scene.takes(seconds(3), 200)));
    settle_down().await;
    let waiting: Vec<_> =
        (0..10).map(|_| tokio::spawn(scene.send("evt_1", scene.says(200)))).collect();
    settle_down().await;
    assert_eq!(scene.counts().running, 1);
    assert_eq!(scene.send("evt_2", scene.says(200)).await.unwrap(), Said::by_handler(200));
    for one in waiting {
        assert_eq!(one.await.unwrap().unwrap().outcome, Some(Outcome::Duplicate));
    }
    assert_eq!(first.await.unwrap().unwrap(), Said::by_handler(200));
}

/// Whoever recorded one delivery can send it again, as often as it likes.
#[tokio::test(start_paused = true)]
async fn the_bodies_of_waiting_duplicates_stay_within_the_budget() {
    let budget = UnverifiedBudget::new(64 * 1024);
    let scene = Scene::with(|b| b.max_body_bytes(32 * 1024).unverified_budget(budget));
    let body = Bytes::from(format!(r#"{{"id":"evt_1","data":"{}"}}"#, "x".repeat(30_000)));
    let received = || at_once(scene.receive(head(&body), Whole::new(body.clone()))).unwrap();
    let all: [_; 4] = std::array::from_fn(|_| received());
    let [first, second, third, fourth] =
        all.map(|delivery| timed(scene.deliver(&delivery, scene.takes(seconds(2), 200))));
    let first = tokio::spawn(first);
    settle_down().await;
    let waiting = [tokio::spawn(second), tokio::spawn(third)];
    settle_down().await;
    assert_eq!(scene.counts().unverified_bytes, 2 * body.len());

    let (time, answer) = fourth.await;
    let answer = answer.unwrap();
    assert_eq!((answer.status, answer.outcome), (503, Some(Outcome::InFlight)));
    assert_eq!(time, seconds(0));
    // There is room for one with a small body.
    let small = scene.send("evt_1", scene.says(200)).await.unwrap();
    assert_eq!(small.outcome, Some(Outcome::Duplicate));

    for one in waiting {
        assert_eq!(one.await.unwrap().1.unwrap().outcome, Some(Outcome::Duplicate));
    }
    assert_eq!(first.await.unwrap().1.unwrap(), Said::by_handler(200));
    assert_eq!(scene.counts().unverified_bytes, 0);
}

/// No open connection bounds how many there are then.
#[tokio::test(start_paused = true)]
async fn small_duplicates_that_wait_stay_within_the_budget_when_their_senders_have_hung_up() {
    const LIMIT: usize = 64 * 1024;
    let budget = UnverifiedBudget::new(LIMIT);
    let scene = Scene::with(|b| b.max_body_bytes(32 * 1024).unverified_budget(budget));
    let first = tokio::spawn(scene.send("evt_1", scene.takes(seconds(2), 200)));
    settle_down().await;
    for _ in 0..100 {
        let duplicate = tokio::spawn(scene.send("evt_1", scene.says(200)));
        settle_down().await;
        duplicate.abort();
    }
    settle_down().await;
    let held = scene.counts().unverified_bytes;
    assert!((LIMIT / 2..=LIMIT).contains(&held), "{held} bytes");
    assert_eq!(first.await.unwrap().unwrap(), Said::by_handler(200));
    sleep(seconds(3)).await;
    assert_eq!(scene.counts().unverified_bytes, 0);
}

#[tokio::test(start_paused = true)]
async fn a_waiting_duplicate_asks_the_store_more_and_more_rarely() {
    let scene = Scene::new();
    let first = tokio::spawn(scene.send("evt_1", scene.takes(seconds(30), 200)));
    settle_down().await;
    let _ = scene.send("evt_1", scene.says(200)).await;
    let asked = scene.store.calls(Claim).len() - 1;
    assert!((10..=40).contains(&asked), "{asked} claims in 4.5 s");
    drop(first);
}

#[tokio::test(start_paused = true)]
async fn a_waiting_duplicate_whose_sender_hung_up_still_runs_when_the_first_fails() {
    let scene = Scene::new();
    let first = tokio::spawn(scene.send("evt_1", scene.takes(seconds(2), 500)));
    settle_down().await;
    let second = tokio::spawn(scene.send("evt_1", scene.says(200)));
    sleep(seconds(1)).await;
    second.abort();
    assert_eq!(first.await.unwrap().unwrap(), Said::by_handler(500));
    sleep(seconds(1)).await;
    assert_eq!(scene.runs.epochs(), [Some(1), Some(2)]);
    assert_eq!(scene.state("evt_1").await, State::Done);
}

#[tokio::test(start_paused = true)]
async fn a_waiting_duplicate_is_sent_away_when_draining_begins() {
    let scene = Scene::new();
    let first = tokio::spawn(scene.send("evt_1", scene.takes(seconds(3), 200)));
    settle_down().await;
    let second = tokio::spawn(timed(scene.send("evt_1", scene.says(200))));
    sleep(seconds(1)).await;
    let drain = scene.endpoint.drain();
    let (time, answer) = second.await.unwrap();
    let answer = answer.unwrap();
    let draining = Outcome::Rejected(RejectionKind::Draining);
    assert_eq!((answer.status, answer.outcome), (503, Some(draining)));
    assert!(time < millis(1250), "{time:?}");
    drain.await;
    assert_eq!(first.await.unwrap().unwrap(), Said::by_handler(200));
    assert_eq!(scene.state("evt_1").await, State::Done);
}
