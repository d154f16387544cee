//! A handler slower than the sender's patience: 503 at 4.5 s, and it runs on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use dataflow_webhooks::Outcome;
use tokio::time::sleep;

use crate::support::scene::{
    Broken, Said, Scene, State, assert_about, millis, seconds, settle_down, timed,
};

#[tokio::test(start_paused = true)]
async fn a_handler_not_done_at_4500_ms_is_answered_503_and_runs_on_to_its_commit() {
    let scene = Scene::new();
    let (time, answer) = timed(scene.send("evt_1", scene.takes(seconds(8), 200))).await;
    let answer = answer.unwrap();
    assert_about(time, millis(4500));
    assert_eq!((answer.status, answer.outcome), (503, Some(Outcome::Late)));
    assert_eq!((scene.runs.ended(), scene.counts().running), (0, 1));
    assert_eq!(scene.state("evt_1").await, State::InFlight);

    sleep(seconds(4)).await;
    assert_eq!((scene.runs.started(), scene.runs.ended()), (1, 1));
    assert_eq!(scene.state("evt_1").await, State::Done);
    assert_eq!((scene.counts().running, scene.counts().handlers_succeeded), (0, 1));
    assert_eq!(scene.counts().outcome(Outcome::Late), 1);

    // The sender's next attempt.
    let again = scene.send("evt_1", scene.says(500)).await.unwrap();
    assert_eq!((again.status, again.outcome), (200, Some(Outcome::Duplicate)));
    assert_eq!(scene.runs.started(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_handler_done_just_in_time_gives_its_own_answer() {
    let scene = Scene::new();
    let (time, answer) = timed(scene.send("evt_1", scene.takes(millis(4490), 202))).await;
    assert_eq!(answer.unwrap(), Said::by_handler(200));
    assert_about(time, millis(4490));
    assert_eq!(scene.counts().outcome(Outcome::Handled), 1);
    assert_eq!(scene.counts().outcome(Outcome::Late), 0);
}

#[tokio::test(start_paused = true)]
async fn the_clock_starts_with_the_head() {
    let scene = Scene::new();
    let sent = scene.send("evt_1", scene.takes(seconds(2), 200));
    // The body, say, took this long.
    sleep(seconds(3)).await;
    let (time, answer) = timed(sent).await;
    assert_about(time, millis(1500));
    assert_eq!(answer.unwrap().outcome, Some(Outcome::Late));
}

#[tokio::test(start_paused = true)]
async fn a_late_handler_that_fails_gives_its_event_back() {
    let scene = Scene::new();
    let late = scene.send("evt_1", scene.takes(seconds(8), 500)).await.unwrap();
    assert_eq!(late.outcome, Some(Outcome::Late));
    sleep(seconds(4)).await;
    assert_eq!(scene.state("evt_1").await, State::Free { next_epoch: 2 });
    assert_eq!(scene.counts().handlers_failed, 1);
}

#[tokio::test(start_paused = true)]
async fn a_late_handler_that_returns_an_error_gives_its_event_back() {
    let scene = Scene::new();
    let handler = |_| async {
        sleep(seconds(8)).await;
        Err(Broken)
    };
    assert_eq!(scene.send("evt_1", handler).await.unwrap().outcome, Some(Outcome::Late));
    sleep(seconds(4)).await;
    assert_eq!(scene.state("evt_1").await, State::Free { next_epoch: 2 });
}

#[tokio::test(start_paused = true)]
async fn the_answer_may_be_set_to_go_out_earlier() {
    let scene = Scene::with(|b| b.body_within(millis(500)).answer_within(seconds(1)));
    let (time, answer) = timed(scene.send("evt_1", scene.takes(seconds(8), 200))).await;
    assert_about(time, seconds(1));
    assert_eq!(answer.unwrap().outcome, Some(Outcome::Late));
}

#[tokio::test(start_paused = true)]
async fn a_handler_at_its_longest_run_is_dropped_released_and_counted() {
    struct Gone(Arc<AtomicBool>);
    impl Drop for Gone {
        fn drop(&mut self) {
            self.0.store(true, SeqCst);
        }
    }

    let scene = Scene::with(|b| b.longest_run(seconds(100)));
    let gone = Arc::new(AtomicBool::new(false));
    let guard = Gone(gone.clone());
    let handler = |_| async move {
        let _guard = guard;
        std::future::pending().await
    };
    let late = scene.send("evt_1", handler).await.unwrap();
    assert_eq!(late.outcome, Some(Outcome::Late));

    sleep(millis(95_400)).await;
    assert!(!gone.load(SeqCst));
    assert_eq!(scene.counts().handlers_cut_off, 0);
    sleep(millis(200)).await;
    assert!(gone.load(SeqCst));
    assert_eq!((scene.counts().handlers_cut_off, scene.counts().running), (1, 0));
    assert_eq!(scene.state("evt_1").await, State::Free { next_epoch: 2 });
}

#[tokio::test(start_paused = true)]
async fn the_longest_run_holds_without_dedup_too() {
    let scene = Scene::with(|b| b.without_dedup().longest_run(seconds(10)));
    let late = scene.send("evt_1", |_| std::future::pending()).await.unwrap();
    assert_eq!(late.outcome, Some(Outcome::Late));
    sleep(seconds(6)).await;
    assert_eq!((scene.counts().handlers_cut_off, scene.counts().running), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_late_answer_is_not_the_end_of_the_future_that_was_handed_over() {
    let scene = Scene::new();
    let mut sent = scene.send("evt_1", scene.takes(seconds(8), 200));
    assert_eq!((&mut sent).await.unwrap().outcome, Some(Outcome::Late));
    // Dropping what has answered already hands nothing over a second time.
    drop(sent);
    settle_down().await;
    assert_eq!(scene.counts().outcome(Outcome::HungUp), 0);
    sleep(seconds(4)).await;
    assert_eq!((scene.runs.started(), scene.runs.ended()), (1, 1));
}
