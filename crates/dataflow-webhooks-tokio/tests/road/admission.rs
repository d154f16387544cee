//! The claim: a store that is slow, away or full, and too many handlers.

use dataflow_webhooks::StoreOperation::{Claim, Release};
use dataflow_webhooks::{OnStoreFailure, Outcome, RejectionKind};
use tokio::time::sleep;

use crate::support::scene::{
    Broken, Said, Scene, State, assert_about, millis, seconds, settle_down, timed,
};
use crate::support::store::Fate;

#[tokio::test(start_paused = true)]
async fn a_claim_without_an_answer_is_given_up_after_2_s() {
    let scene = Scene::new();
    scene.store.always(Claim, Fate::Hang);
    let (time, answer) = timed(scene.send("evt_1", scene.says(200))).await;
    let answer = answer.unwrap();
    assert_about(time, seconds(2));
    assert_eq!((answer.status, answer.outcome), (503, Some(Outcome::StoreUnavailable)));
    assert_eq!((scene.runs.started(), scene.counts().running), (0, 0));
    assert_eq!(scene.counts().store_errors(Claim), 1);
}

#[tokio::test(start_paused = true)]
async fn a_claim_that_fails_is_answered_503_at_once() {
    let scene = Scene::new();
    scene.store.always(Claim, Fate::Fail);
    let (time, answer) = timed(scene.send("evt_1", scene.says(200))).await;
    assert_about(time, seconds(0));
    assert_eq!(answer.unwrap().outcome, Some(Outcome::StoreUnavailable));
    assert_eq!(scene.runs.started(), 0);
    assert_eq!(scene.counts().outcome(Outcome::StoreUnavailable), 1);
}

#[tokio::test(start_paused = true)]
async fn a_claim_that_comes_back_after_the_answer_is_released() {
    let scene = Scene::new();
    scene.store.always(Claim, Fate::PassAfter(millis(1900)));
    let ready = async {
        sleep(seconds(3)).await;
        Ok(())
    };
    let (time, answer) = timed(scene.send_when(ready, "evt_1", scene.says(200))).await;
    let answer = answer.unwrap();
    assert_about(time, millis(4500));
    assert_eq!((answer.status, answer.outcome), (503, Some(Outcome::Late)));
    sleep(seconds(1)).await;
    assert_eq!(scene.store.calls(Release).len(), 1);
    assert_eq!(scene.state("evt_1").await, State::Free { next_epoch: 2 });
    assert_eq!((scene.runs.started(), scene.counts().running), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_is_not_ready_in_time_is_answered_503_and_nothing_is_claimed() {
    let scene = Scene::new();
    let ready = async {
        sleep(seconds(6)).await;
        Ok(())
    };
    let (time, answer) = timed(scene.send_when(ready, "evt_1", scene.says(200))).await;
    assert_about(time, millis(4500));
    assert_eq!(answer.unwrap().outcome, Some(Outcome::Late));
    sleep(seconds(10)).await;
    assert_eq!(scene.runs.started(), 0);
    assert!(scene.store.calls(Claim).is_empty());
    assert_eq!(scene.state("evt_1").await, State::Free { next_epoch: 1 });
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_is_ready_too_late_does_not_run_without_dedup_either() {
    let scene = Scene::with(|b| b.without_dedup());
    let ready = async {
        sleep(seconds(6)).await;
        Ok(())
    };
    let answer = scene.send_when(ready, "evt_1", scene.says(200)).await.unwrap();
    assert_eq!(answer.outcome, Some(Outcome::Late));
    sleep(seconds(10)).await;
    // The sender was told to come again; its next attempt runs.
    assert_eq!(scene.runs.started(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_a_handler_that_is_never_ready_is_let_go_at_the_deadline() {
    struct Gone(std::sync::mpsc::Sender<()>);
    impl Drop for Gone {
        fn drop(&mut self) {
            let _ = self.0.send(());
        }
    }
    let (gone, went) = std::sync::mpsc::channel();
    let scene = Scene::new();
    let gone = Gone(gone);
    let ready = async {
        let _gone = gone;
        std::future::pending().await
    };
    let answer = scene.send_when(ready, "evt_1", scene.says(200)).await.unwrap();
    assert_eq!(answer.outcome, Some(Outcome::Late));
    settle_down().await;
    went.try_recv().unwrap();
}

#[tokio::test]
async fn a_handler_that_cannot_get_ready_keeps_its_error_and_nothing_is_claimed() {
    let scene = Scene::new();
    let ready = async { Err(Broken) };
    assert_eq!(scene.send_when(ready, "evt_1", scene.says(200)).await, Err(Broken));
    assert!(scene.store.calls(Claim).is_empty());
    assert_eq!(scene.counts().outcome(Outcome::Failed), 1);
}

#[tokio::test(start_paused = true)]
async fn one_handler_too_many_is_answered_503_unclaimed() {
    let scene = Scene::with(|b| b.max_running(2));
    let first = tokio::spawn(scene.send("evt_1", scene.takes(seconds(3), 200)));
    let second = tokio::spawn(scene.send("evt_2", scene.takes(seconds(3), 200)));
    settle_down().await;
    let (time, third) = timed(scene.send("evt_3", scene.says(200))).await;
    let third = third.unwrap();
    let too_many = Outcome::Rejected(RejectionKind::TooManyRunning);
    assert_eq!((third.status, third.outcome), (503, Some(too_many)));
    assert_about(time, seconds(0));
    assert_eq!(scene.store.calls(Claim).len(), 2);
    assert_eq!(scene.counts().rejected(RejectionKind::TooManyRunning), 1);

    assert_eq!(first.await.unwrap().unwrap().status, 200);
    assert_eq!(second.await.unwrap().unwrap().status, 200);
    assert_eq!(scene.send("evt_3", scene.says(200)).await.unwrap(), Said::by_handler(200));
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_runs_on_keeps_its_place() {
    let scene = Scene::with(|b| b.max_running(1));
    let _ = scene.send("evt_1", scene.takes(seconds(8), 200)).await;
    let second = scene.send("evt_2", scene.says(200)).await.unwrap();
    assert_eq!(second.outcome, Some(Outcome::Rejected(RejectionKind::TooManyRunning)));
    sleep(seconds(4)).await;
    assert_eq!(scene.send("evt_2", scene.says(200)).await.unwrap(), Said::by_handler(200));
}

#[tokio::test(start_paused = true)]
async fn a_pending_commit_takes_no_place_of_a_handler() {
    let scene = Scene::with(|b| b.max_running(1));
    scene.store.always(dataflow_webhooks::StoreOperation::Commit, Fate::Fail);
    let _ = scene.send("evt_1", scene.says(200)).await;
    assert_eq!(scene.counts().pending_commits, 1);
    assert_eq!(scene.send("evt_2", scene.says(200)).await.unwrap(), Said::by_handler(200));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_claimed_while_as_many_commits_are_pending_as_may_be() {
    let scene = Scene::with(|b| b.max_pending_commits(2));
    scene.store.always(dataflow_webhooks::StoreOperation::Commit, Fate::Fail);
    for id in ["evt_1", "evt_2"] {
        assert_eq!(scene.send(id, scene.says(200)).await.unwrap(), Said::by_handler(200));
    }
    let (time, third) = timed(scene.send("evt_3", scene.says(200))).await;
    let third = third.unwrap();
    let too_many = Outcome::Rejected(RejectionKind::TooManyPending);
    assert_eq!((third.status, third.outcome), (503, Some(too_many)));
    assert_about(time, seconds(0));
    assert_eq!((scene.runs.started(), scene.store.calls(Claim).len()), (2, 2));
    assert_eq!(scene.counts().rejected(RejectionKind::TooManyPending), 1);

    scene.store.always(dataflow_webhooks::StoreOperation::Commit, Fate::Pass);
    sleep(seconds(6)).await;
    assert_eq!(scene.send("evt_3", scene.says(200)).await.unwrap(), Said::by_handler(200));
}

#[tokio::test(start_paused = true)]
async fn with_process_anyway_a_handler_runs_while_the_store_is_away() {
    let scene = Scene::with(|b| b.on_store_failure(OnStoreFailure::ProcessAnyway));
    scene.store.down_until(seconds(1000));
    assert_eq!(scene.send("evt_1", scene.says(200)).await.unwrap(), Said::by_handler(200));
    assert_eq!(scene.runs.started(), 1);
    assert_eq!(scene.counts().processed_anyway, 1);

    // This process's own duplicates are kept out meanwhile.
    let again = scene.send("evt_1", scene.says(200)).await.unwrap();
    assert_eq!((again.status, again.outcome), (200, Some(Outcome::Duplicate)));
    assert_eq!(scene.runs.started(), 1);
    assert_eq!(scene.counts().processed_anyway, 1, "a duplicate is not processed");
}

#[tokio::test(start_paused = true)]
async fn with_process_anyway_a_duplicate_in_waiting_is_not_counted_as_processed() {
    let scene = Scene::with(|b| b.on_store_failure(OnStoreFailure::ProcessAnyway));
    scene.store.down_until(seconds(1000));
    let first = tokio::spawn(scene.send("evt_1", scene.takes(seconds(2), 200)));
    settle_down().await;
    let second = scene.send("evt_1", scene.says(200)).await.unwrap();
    assert_eq!(second.outcome, Some(Outcome::Duplicate));
    assert_eq!(first.await.unwrap().unwrap(), Said::by_handler(200));
    assert_eq!((scene.runs.started(), scene.counts().processed_anyway), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn with_process_anyway_a_hanging_store_delays_the_handler_by_2_s() {
    let scene = Scene::with(|b| b.on_store_failure(OnStoreFailure::ProcessAnyway));
    scene.store.always(Claim, Fate::Hang);
    let (time, answer) = timed(scene.send("evt_1", scene.says(200))).await;
    assert_about(time, seconds(2));
    assert_eq!(answer.unwrap(), Said::by_handler(200));
}

#[tokio::test(start_paused = true)]
async fn with_process_anyway_a_store_that_answers_is_the_one_that_counts() {
    let scene = Scene::with(|b| b.on_store_failure(OnStoreFailure::ProcessAnyway));
    let _ = scene.send("evt_1", scene.says(200)).await;
    assert_eq!(scene.state("evt_1").await, State::Done);
    assert_eq!(scene.counts().processed_anyway, 0);
}

#[tokio::test(start_paused = true)]
async fn without_dedup_each_delivery_runs_without_a_claim() {
    let scene = Scene::with(|b| b.without_dedup());
    for _ in 0..3 {
        assert_eq!(scene.send("evt_1", scene.says(202)).await.unwrap(), Said::by_handler(200));
    }
    assert_eq!(scene.runs.epochs(), [None, None, None]);
    assert_eq!(scene.counts().running, 0);
}

#[tokio::test(start_paused = true)]
async fn without_dedup_a_late_handler_runs_on() {
    let scene = Scene::with(|b| b.without_dedup());
    let late = scene.send("evt_1", scene.takes(seconds(8), 200)).await.unwrap();
    assert_eq!(late.outcome, Some(Outcome::Late));
    sleep(seconds(4)).await;
    assert_eq!((scene.runs.ended(), scene.counts().handlers_succeeded), (1, 1));
}
