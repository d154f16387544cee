//! What becomes of a claim when its handler has ended, and of a store that
//! does not take it.

use std::sync::Arc;

use bytes::Bytes;
use dataflow_webhooks::Outcome;
use dataflow_webhooks::StoreOperation::{Commit, Release, Renew};
use dataflow_webhooks::dedup::{ClaimOutcome, DedupStore as _, Held};
use dataflow_webhooks_tokio::Whole;
use tokio::time::sleep;

use crate::support::scene::{
    Broken, Said, Scene, State, assert_about, body_of, head, millis, seconds, settle_down, timed,
};
use crate::support::store::Fate;

#[tokio::test]
async fn any_2xx_is_a_commit_and_becomes_200() {
    for status in [200, 201, 202, 204, 206, 299] {
        let scene = Scene::new();
        let answer = scene.send("evt_1", scene.says(status)).await.unwrap();
        assert_eq!(answer, Said::by_handler(200), "{status}");
        assert_eq!(scene.state("evt_1").await, State::Done, "{status}");
        assert_eq!(scene.counts().outcome(Outcome::Handled), 1);
    }
}

#[tokio::test]
async fn any_other_status_is_kept_and_releases_the_event() {
    for status in [100, 199, 300, 304, 400, 404, 410, 429, 500, 503] {
        let scene = Scene::new();
        let answer = scene.send("evt_1", scene.says(status)).await.unwrap();
        assert_eq!(answer, Said::by_handler(status));
        assert_eq!(scene.state("evt_1").await, State::Free { next_epoch: 2 }, "{status}");
        assert_eq!(scene.counts().outcome(Outcome::Failed), 1);
    }
}

#[tokio::test]
async fn a_handlers_error_is_kept_and_releases_the_event() {
    let scene = Scene::new();
    assert_eq!(scene.send("evt_1", |_| async { Err(Broken) }).await, Err(Broken));
    assert_eq!(scene.state("evt_1").await, State::Free { next_epoch: 2 });
    assert_eq!(scene.counts().outcome(Outcome::Failed), 1);
    assert_eq!(scene.counts().handlers_failed, 1);
}

#[tokio::test]
async fn the_next_delivery_of_a_failed_event_runs_under_the_next_epoch() {
    let scene = Scene::new();
    for status in [500, 500, 200] {
        let _ = scene.send("evt_1", scene.says(status)).await;
    }
    assert_eq!(scene.runs.epochs(), [Some(1), Some(2), Some(3)]);
    assert_eq!(scene.state("evt_1").await, State::Done);
}

#[tokio::test(start_paused = true)]
async fn a_commit_that_fails_for_40_s_is_made_when_the_store_is_back() {
    let scene = Scene::new();
    let sent = scene.send("evt_1", |_| async {
        sleep(millis(10)).await;
        Ok(Said::by_handler(200))
    });
    let sent = tokio::spawn(timed(sent));
    settle_down().await;
    // The claim is made; from now on the store is away.
    scene.store.down_until(seconds(40));
    let (time, answer) = sent.await.unwrap();
    assert_eq!(answer.unwrap(), Said::by_handler(200), "the sender does not wait for the store");
    assert_about(time, millis(10));
    assert_eq!((scene.counts().running, scene.counts().pending_commits), (0, 1));

    sleep(seconds(30)).await;
    assert_eq!(scene.counts().pending_commits, 1);
    // Back at 40 s; the pauses between tries are 5 s at the most.
    sleep(seconds(16)).await;
    assert_eq!(scene.counts().pending_commits, 0);
    assert_eq!(scene.state("evt_1").await, State::Done);

    sleep(seconds(14)).await;
    let duplicate = scene.send("evt_1", scene.says(200)).await.unwrap();
    assert_eq!((duplicate.status, duplicate.outcome), (200, Some(Outcome::Duplicate)));
    assert_eq!(scene.runs.started(), 0, "the duplicate's handler is not called");
    assert_eq!(scene.counts().lease_lost, 0);
}

#[tokio::test(start_paused = true)]
async fn a_settlement_that_waits_for_the_store_holds_no_body() {
    for (status, operation) in [(200, Commit), (500, Release)] {
        let scene = Scene::new();
        scene.store.always(operation, Fate::Fail);
        let bytes = Arc::new(body_of("evt_1"));
        let held = Arc::downgrade(&bytes);
        let body = Whole::new(Bytes::from_owner(Owner(bytes)));
        let delivery = scene.receive(head(&body_of("evt_1")), body).await.unwrap();
        assert!(held.strong_count() > 0, "the test watches the delivery's own bytes");

        let answer = scene.deliver(&delivery, scene.says(status)).await.unwrap();
        drop(delivery);
        sleep(seconds(1)).await;
        assert_eq!((answer.status, scene.counts().pending_commits), (status, 1));
        assert_eq!(held.strong_count(), 0, "after {status}");
    }
}

/// The bytes of a body, which tell when they are freed.
struct Owner(Arc<Bytes>);

impl AsRef<[u8]> for Owner {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

#[tokio::test(start_paused = true)]
async fn a_duplicate_does_not_run_while_a_store_refuses_only_commits() {
    let scene = Scene::new();
    scene.store.always(Commit, Fate::Fail);
    let first = scene.send("evt_1", scene.says(200)).await.unwrap();
    assert_eq!(first.status, 200);
    // Its lease of 30 s would have lapsed, were it not renewed between tries.
    sleep(seconds(100)).await;
    let duplicate = scene.send("evt_1", scene.says(200)).await.unwrap();
    assert_eq!((duplicate.status, duplicate.outcome), (503, Some(Outcome::InFlight)));
    assert_eq!(scene.runs.started(), 1);

    scene.store.always(Commit, Fate::Pass);
    sleep(seconds(6)).await;
    assert_eq!(scene.state("evt_1").await, State::Done);
}

#[tokio::test(start_paused = true)]
async fn the_pauses_between_tries_of_a_commit_grow_to_5_s() {
    let scene = Scene::new();
    scene.store.always(Commit, Fate::Fail);
    let _ = scene.send("evt_1", scene.says(200)).await;
    sleep(seconds(60)).await;
    let tries = scene.store.calls(Commit);
    let pauses: Vec<_> = tries.windows(2).map(|two| two[1] - two[0]).collect();
    assert_about(pauses[0], millis(100));
    assert_about(pauses[1], millis(200));
    assert!(pauses.is_sorted_by(|a, b| *a <= *b + millis(5)), "{pauses:?}");
    assert_about(*pauses.last().unwrap(), seconds(5));
}

#[tokio::test(start_paused = true)]
async fn a_commit_without_an_answer_holds_the_sender_for_2_s() {
    let scene = Scene::new();
    scene.store.on(Commit, |nth| if nth == 0 { Fate::Hang } else { Fate::Pass });
    let (time, answer) = timed(scene.send("evt_1", scene.says(200))).await;
    assert_about(time, seconds(2));
    assert_eq!(answer.unwrap(), Said::by_handler(200));
    sleep(seconds(1)).await;
    assert_eq!(scene.state("evt_1").await, State::Done);
}

#[tokio::test(start_paused = true)]
async fn a_commit_without_an_answer_does_not_hold_the_sender_beyond_the_deadline() {
    // The second one ends within the margin that a commit is given up before.
    for handler in [seconds(4), millis(4480)] {
        let scene = Scene::new();
        scene.store.on(Commit, |nth| if nth == 0 { Fate::Hang } else { Fate::Pass });
        let (time, answer) = timed(scene.send("evt_1", scene.takes(handler, 200))).await;
        assert!((millis(4400)..=millis(4500)).contains(&time), "{handler:?}: {time:?}");
        assert_eq!(answer.unwrap(), Said::by_handler(200), "{handler:?}: it succeeded in time");
        sleep(seconds(3)).await;
        assert_eq!(scene.state("evt_1").await, State::Done);
        assert_eq!(scene.counts().pending_commits, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_commit_after_the_deadline_has_its_2_s() {
    let scene = Scene::new();
    scene.store.always(Commit, Fate::PassAfter(millis(1900)));
    let _ = scene.send("evt_1", scene.takes(seconds(6), 200)).await;
    sleep(seconds(4)).await;
    assert_eq!(scene.state("evt_1").await, State::Done);
    assert_eq!(scene.store.calls(Commit).len(), 1);
    assert_eq!(scene.counts().store_errors(Commit), 0);
}

#[tokio::test(start_paused = true)]
async fn a_pending_commit_that_another_epoch_overtakes_is_refused_and_counted_once() {
    let scene = Scene::new();
    scene.store.always(Commit, Fate::Fail);
    scene.store.always(Renew, Fate::Fail);
    let _ = scene.send("evt_1", scene.says(200)).await;
    sleep(seconds(31)).await;
    let ClaimOutcome::New(other) = scene.store.claim_elsewhere("evt_1").await else {
        panic!("the lease has lapsed")
    };
    scene.store.always(Renew, Fate::Pass);
    scene.store.always(Commit, Fate::Pass);
    sleep(seconds(10)).await;
    assert_eq!(scene.counts().pending_commits, 0);
    assert_eq!(scene.counts().lease_lost, 1);
    let terms = scene.endpoint.limits().terms();
    assert_eq!(scene.store.inner.commit(&other, terms).await.unwrap(), Held::Yes);
}

#[tokio::test(start_paused = true)]
async fn a_pending_commit_whose_claim_was_taken_away_is_counted_once() {
    let scene = Scene::new();
    scene.store.always(Commit, Fate::Fail);
    let _ = scene.send("evt_1", scene.says(200)).await;
    scene.store.forget(scene.claim("evt_1", 1).key()).await.unwrap();
    sleep(seconds(60)).await;
    assert_eq!(scene.store.calls(Renew).len(), 1, "there is nothing to renew");
    scene.store.always(Commit, Fate::Pass);
    sleep(seconds(6)).await;
    assert_eq!(scene.counts().pending_commits, 0);
    assert_eq!(scene.counts().lease_lost, 1);
}

#[tokio::test(start_paused = true)]
async fn a_commit_that_was_made_unheard_of_is_no_lost_lease() {
    let scene = Scene::new();
    // The first one is made, but too late to be heard; the next ones fail.
    scene.store.on(Commit, |nth| match nth {
        0 => Fate::PassUnheard,
        1..10 => Fate::Fail,
        _ => Fate::Pass,
    });
    let _ = scene.send("evt_1", scene.says(200)).await;
    assert_eq!(scene.state("evt_1").await, State::Done);
    assert_eq!(scene.counts().pending_commits, 1);
    sleep(seconds(60)).await;
    assert_eq!(scene.counts().pending_commits, 0);
    assert_eq!(scene.counts().lease_lost, 0);
}

#[tokio::test(start_paused = true)]
async fn a_release_that_fails_is_tried_again() {
    let scene = Scene::new();
    scene.store.on(Release, |nth| if nth < 4 { Fate::Fail } else { Fate::Pass });
    let answer = scene.send("evt_1", scene.says(500)).await.unwrap();
    assert_eq!(answer, Said::by_handler(500));
    sleep(seconds(3)).await;
    assert_eq!(scene.state("evt_1").await, State::Free { next_epoch: 2 });
    assert_eq!(scene.counts().store_errors(Release), 4);
}

#[tokio::test(start_paused = true)]
async fn a_release_that_keeps_failing_is_left_to_the_lease() {
    let scene = Scene::new();
    scene.store.always(Release, Fate::Fail);
    let _ = scene.send("evt_1", scene.says(500)).await;
    sleep(seconds(29)).await;
    assert_eq!(scene.state("evt_1").await, State::InFlight);
    sleep(seconds(10)).await;
    assert_eq!(scene.counts().pending_commits, 0);
    assert_eq!(scene.state("evt_1").await, State::Free { next_epoch: 2 });
    assert!(scene.store.calls(Renew).is_empty(), "a failed event's lease is not renewed");
}
