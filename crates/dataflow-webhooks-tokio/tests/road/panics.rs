//! Panics, wherever they may come from: the sender gets an answer, the event
//! is given back.

use dataflow_webhooks::StoreOperation::{Claim, Commit, Release, Renew};
use dataflow_webhooks::{Delivery, OnStoreFailure, Outcome};
use tokio::time::sleep;

use crate::support::scene::{Broken, Run, Said, Scene, State, seconds, settle_down, timed};
use crate::support::store::Fate;

/// 500, released, counted.
async fn was_caught(scene: &Scene, answer: Result<Said, Broken>) {
    let answer = answer.unwrap();
    assert_eq!((answer.status, answer.outcome), (500, Some(Outcome::Panicked)));
    assert_eq!(answer.body, "the delivery was not handled\n");
    assert_eq!(scene.state("evt_1").await, State::Free { next_epoch: 2 });
    assert_eq!((scene.counts().handlers_panicked, scene.counts().running), (1, 0));

    let retry = scene.send("evt_1", scene.says(200)).await.unwrap();
    assert_eq!(retry, Said::by_handler(200), "the next delivery runs");
}

#[tokio::test(start_paused = true)]
async fn a_panic_at_the_first_poll_is_answered_500_and_released() {
    let scene = Scene::new();
    let answer = scene.send("evt_1", |_| async { panic!("at the first poll") }).await;
    was_caught(&scene, answer).await;
}

#[tokio::test(start_paused = true)]
async fn a_panic_at_a_later_poll_is_answered_500_and_released() {
    let scene = Scene::new();
    let handler = |_| async {
        sleep(seconds(1)).await;
        panic!("later")
    };
    let answer = scene.send("evt_1", handler).await;
    was_caught(&scene, answer).await;
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_the_call_itself_is_answered_500_and_released() {
    let scene = Scene::new();
    let answer = scene.send("evt_1", |_| -> Run { panic!("in the call") }).await;
    was_caught(&scene, answer).await;
}

#[tokio::test(start_paused = true)]
async fn a_panic_that_carries_a_value_which_panics_in_turn_is_answered_500() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            if !std::thread::panicking() {
                panic!("the panic's own value");
            }
        }
    }
    let scene = Scene::new();
    let answer = scene.send("evt_1", |_| async { std::panic::panic_any(Bomb) }).await;
    was_caught(&scene, answer).await;
}

#[tokio::test(start_paused = true)]
async fn a_panic_after_the_sender_was_answered_releases_the_event() {
    let scene = Scene::new();
    let handler = |_| async {
        sleep(seconds(8)).await;
        panic!("after the answer")
    };
    let late = scene.send("evt_1", handler).await.unwrap();
    assert_eq!(late.outcome, Some(Outcome::Late));
    sleep(seconds(4)).await;
    assert_eq!(scene.state("evt_1").await, State::Free { next_epoch: 2 });
    assert_eq!((scene.counts().handlers_panicked, scene.counts().running), (1, 0));
}

/// Panics when it is dropped, unless that is part of another panic.
struct PanicsWhenDropped;

impl Drop for PanicsWhenDropped {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            panic!("while being dropped");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_panics_while_its_last_values_are_dropped_has_not_succeeded() {
    let scene = Scene::new();
    let handler = |_| async {
        let _bomb = PanicsWhenDropped;
        sleep(seconds(1)).await;
        Ok(Said::by_handler(200))
    };
    let answer = scene.send("evt_1", handler).await;
    was_caught(&scene, answer).await;
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_panics_while_it_is_cut_off_is_released() {
    let scene = Scene::with(|b| b.longest_run(seconds(10)));
    let handler = |_| async {
        let _bomb = PanicsWhenDropped;
        std::future::pending().await
    };
    let late = scene.send("evt_1", handler).await.unwrap();
    assert_eq!(late.outcome, Some(Outcome::Late));
    sleep(seconds(6)).await;
    assert_eq!((scene.counts().handlers_panicked, scene.counts().running), (1, 0));
    assert_eq!(scene.state("evt_1").await, State::Free { next_epoch: 2 });
}

#[tokio::test(start_paused = true)]
async fn a_panic_while_getting_ready_is_answered_500_and_nothing_is_claimed() {
    let scene = Scene::new();
    let ready = async { panic!("while getting ready") };
    let answer = scene.send_when(ready, "evt_1", scene.says(200)).await.unwrap();
    assert_eq!((answer.status, answer.outcome), (500, Some(Outcome::Panicked)));
    assert!(scene.store.calls(Claim).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_store_that_panics_in_a_claim_is_unavailable() {
    for fate in [Fate::Panic, Fate::PanicInCall] {
        let scene = Scene::new();
        scene.store.always(Claim, fate);
        let answer = scene.send("evt_1", scene.says(200)).await.unwrap();
        assert_eq!((answer.status, answer.outcome), (503, Some(Outcome::StoreUnavailable)));
        assert_eq!((scene.runs.started(), scene.counts().store_errors(Claim)), (0, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_panics_in_a_claim_may_be_stood_in_for() {
    let scene = Scene::with(|b| b.on_store_failure(OnStoreFailure::ProcessAnyway));
    scene.store.always(Claim, Fate::PanicInCall);
    assert_eq!(scene.send("evt_1", scene.says(200)).await.unwrap(), Said::by_handler(200));
}

#[tokio::test(start_paused = true)]
async fn a_store_that_panics_in_a_commit_is_tried_again() {
    for fate in [Fate::Panic, Fate::PanicInCall] {
        let scene = Scene::new();
        scene.store.on(Commit, move |nth| if nth < 3 { fate } else { Fate::Pass });
        let (_, answer) = timed(scene.send("evt_1", scene.says(200))).await;
        assert_eq!(answer.unwrap(), Said::by_handler(200));
        assert_eq!(scene.counts().pending_commits, 1);
        sleep(seconds(1)).await;
        assert_eq!(scene.counts().pending_commits, 0);
        assert_eq!(scene.state("evt_1").await, State::Done);
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_panics_in_a_release_is_tried_again() {
    let scene = Scene::new();
    scene.store.on(Release, |nth| if nth < 3 { Fate::PanicInCall } else { Fate::Pass });
    assert_eq!(scene.send("evt_1", scene.says(500)).await.unwrap(), Said::by_handler(500));
    sleep(seconds(1)).await;
    assert_eq!(scene.state("evt_1").await, State::Free { next_epoch: 2 });
}

#[tokio::test(start_paused = true)]
async fn a_store_that_panics_in_a_renewal_does_not_stop_the_handler() {
    let scene = Scene::new();
    scene.store.on(Renew, |nth| if nth == 0 { Fate::PanicInCall } else { Fate::Panic });
    let _ = scene.send("evt_1", scene.takes(seconds(15), 200)).await;
    sleep(seconds(11)).await;
    assert_eq!(scene.runs.ended(), 1);
    assert_eq!(scene.state("evt_1").await, State::Done);
    assert!(scene.counts().store_errors(Renew) >= 2);
}

#[tokio::test(start_paused = true)]
async fn one_delivery_that_panics_does_not_touch_another() {
    let scene = Scene::new();
    let other = tokio::spawn(scene.send("evt_2", scene.takes(seconds(2), 200)));
    settle_down().await;
    let handler = |_: Delivery| async { panic!("this one only") };
    assert_eq!(scene.send("evt_1", handler).await.unwrap().status, 500);
    assert_eq!(other.await.unwrap().unwrap(), Said::by_handler(200));
}
