//! A claim's lease while its handler runs.

use dataflow_webhooks::StoreOperation::{Claim, Commit, Release, Renew};
use dataflow_webhooks::dedup::{ClaimOutcome, DedupStore as _, Held};
use dataflow_webhooks::{DedupKey, Outcome};
use tokio::time::sleep;

use crate::support::scene::{
    Said, Scene, State, assert_about, millis, seconds, settle_down, timed,
};
use crate::support::store::Fate;

#[tokio::test(start_paused = true)]
async fn the_lease_is_renewed_at_each_third() {
    let scene = Scene::new();
    let _ = scene.send("evt_1", scene.takes(seconds(65), 200)).await;
    sleep(seconds(65)).await;
    let renewals = scene.store.calls(Renew);
    assert_eq!(renewals.len(), 6, "{renewals:?}");
    for (nth, at) in (1..).zip(&renewals) {
        assert_about(*at, seconds(10 * nth));
    }
    assert_eq!(scene.state("evt_1").await, State::Done);
}

#[tokio::test(start_paused = true)]
async fn a_run_longer_than_its_lease_keeps_the_event() {
    let scene = Scene::with(|b| b.lease(seconds(5)));
    let _ = scene.send("evt_1", scene.takes(seconds(60), 200)).await;
    for _ in 0..27 {
        assert_eq!(scene.state("evt_1").await, State::InFlight);
        sleep(seconds(2)).await;
    }
    sleep(seconds(4)).await;
    assert_eq!(scene.state("evt_1").await, State::Done);
    assert_eq!(scene.counts().lease_lost, 0);
}

#[tokio::test(start_paused = true)]
async fn a_renewal_that_fails_is_tried_again_after_a_second() {
    let scene = Scene::new();
    scene.store.on(Renew, |nth| if nth < 3 { Fate::Fail } else { Fate::Pass });
    let _ = scene.send("evt_1", scene.takes(seconds(25), 200)).await;
    sleep(seconds(25)).await;
    let renewals = scene.store.calls(Renew);
    assert_eq!(renewals.len(), 5, "{renewals:?}");
    for (at, expected) in renewals.iter().zip([10, 11, 12, 13, 23]) {
        assert_about(*at, seconds(expected) + millis(0));
    }
    assert_eq!(scene.counts().store_errors(Renew), 3);
    assert_eq!(scene.counts().lease_lost, 0);
}

#[tokio::test(start_paused = true)]
async fn a_renewal_without_an_answer_is_given_up_after_2_s() {
    let scene = Scene::new();
    scene.store.on(Renew, |nth| if nth == 0 { Fate::Hang } else { Fate::Pass });
    let _ = scene.send("evt_1", scene.takes(seconds(20), 200)).await;
    sleep(seconds(20)).await;
    let renewals = scene.store.calls(Renew);
    assert_eq!(renewals.len(), 2, "{renewals:?}");
    assert_about(renewals[1], seconds(13));
    assert_eq!(scene.counts().store_errors(Renew), 1);
}

#[tokio::test(start_paused = true)]
async fn a_handler_goes_on_while_its_renewal_hangs() {
    let scene = Scene::with(|b| b.lease(seconds(5)));
    scene.store.always(Renew, Fate::Hang);
    let (time, answer) = timed(scene.send("evt_1", scene.takes(seconds(2), 200))).await;
    assert_eq!(scene.store.calls(Renew).len(), 1);
    assert_about(time, seconds(2));
    assert_eq!(answer.unwrap(), Said::by_handler(200));
    assert_eq!(scene.state("evt_1").await, State::Done);
}

#[tokio::test(start_paused = true)]
async fn a_lapsed_lease_that_nobody_took_over_still_commits() {
    let scene = Scene::new();
    scene.store.always(Renew, Fate::Fail);
    let _ = scene.send("evt_1", scene.takes(seconds(100), 200)).await;
    sleep(seconds(100)).await;
    assert_eq!(scene.state("evt_1").await, State::Done);
    assert_eq!(scene.counts().lease_lost, 0);
}

#[tokio::test(start_paused = true)]
async fn a_lease_lost_to_a_later_epoch_is_counted_once_and_its_holder_changes_nothing() {
    let scene = Scene::new();
    // Away long enough for the lease to lapse.
    scene.store.on(Renew, |nth| if nth < 25 { Fate::Fail } else { Fate::Pass });
    let _ = scene.send("evt_1", scene.takes(seconds(100), 200)).await;
    sleep(seconds(28)).await;
    let ClaimOutcome::New(other) = scene.store.claim_elsewhere("evt_1").await else {
        panic!("the lease has lapsed")
    };
    assert_eq!(other.epoch(), 2);
    sleep(seconds(8)).await;
    assert_eq!(scene.counts().lease_lost, 1);
    assert_eq!(scene.counts().running, 1, "the handler goes on");

    let terms = scene.endpoint.limits().terms();
    assert_eq!(scene.store.inner.renew(&other, terms).await.unwrap(), Held::Yes);
    sleep(seconds(29)).await;
    assert_eq!(scene.store.inner.renew(&other, terms).await.unwrap(), Held::Yes);
    sleep(seconds(29)).await;
    assert_eq!(scene.store.inner.renew(&other, terms).await.unwrap(), Held::Yes);
    sleep(seconds(10)).await;
    assert_eq!((scene.runs.ended(), scene.counts().running), (1, 0));
    assert_eq!(scene.counts().lease_lost, 1);
    assert_eq!(scene.state("evt_1").await, State::InFlight, "the later holder has it still");
    assert_eq!(scene.store.inner.commit(&other, terms).await.unwrap(), Held::Yes);
}

#[tokio::test(start_paused = true)]
async fn the_answer_of_a_handler_whose_claim_was_taken_away_stands() {
    let scene = Scene::with(|b| b.lease(seconds(5)));
    let handler = scene.takes(seconds(4), 201);
    let sent = tokio::spawn(scene.send("evt_1", handler));
    sleep(seconds(1)).await;
    scene.store.forget(&DedupKey::from_event_id("evt_1")).await.unwrap();
    let answer = sent.await.unwrap().unwrap();
    assert_eq!(answer, Said::by_handler(200));
    assert_eq!(scene.counts().outcome(Outcome::Handled), 1);
    assert_eq!(scene.counts().lease_lost, 1);
    assert_eq!(scene.state("evt_1").await, State::Free { next_epoch: 2 });
}

#[tokio::test(start_paused = true)]
async fn a_lost_lease_is_not_renewed_again() {
    let scene = Scene::with(|b| b.lease(seconds(6)));
    let _ = scene.send("evt_1", scene.takes(seconds(60), 200)).await;
    scene.store.forget(&DedupKey::from_event_id("evt_1")).await.unwrap();
    let before = scene.store.calls(Renew).len();
    sleep(seconds(50)).await;
    assert_eq!(scene.store.calls(Renew).len(), before + 1);
}

#[tokio::test(start_paused = true)]
async fn a_quick_handler_costs_one_claim_and_one_commit() {
    let scene = Scene::new();
    let _ = scene.send("evt_1", scene.says(200)).await;
    settle_down().await;
    let calls = |operation| scene.store.calls(operation).len();
    assert_eq!([calls(Claim), calls(Renew), calls(Commit), calls(Release)], [1, 0, 1, 0]);
}
