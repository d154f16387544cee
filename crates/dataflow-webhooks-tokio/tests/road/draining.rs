//! The end of a process: what runs is waited for, what comes is sent away.

use dataflow_webhooks::StoreOperation::{Claim, Commit};
use dataflow_webhooks::{Outcome, RejectionKind};
use dataflow_webhooks_tokio::Whole;
use tokio::time::sleep;

use crate::support::scene::{
    Said, Scene, State, assert_about, body_of, head, millis, seconds, settle_down, timed,
};
use crate::support::store::Fate;

#[tokio::test(start_paused = true)]
async fn drain_waits_for_a_handler_whose_sender_still_waits() {
    let scene = Scene::new();
    let sent = tokio::spawn(scene.send("evt_1", scene.takes(seconds(3), 200)));
    settle_down().await;
    let (time, ()) = timed(scene.endpoint.drain()).await;
    assert_about(time, seconds(3));
    assert_eq!(scene.state("evt_1").await, State::Done);
    assert_eq!(sent.await.unwrap().unwrap(), Said::by_handler(200));
}

#[tokio::test(start_paused = true)]
async fn drain_waits_for_a_handler_whose_sender_was_told_503() {
    let scene = Scene::new();
    let _ = scene.send("evt_1", scene.takes(seconds(8), 200)).await;
    let (time, ()) = timed(scene.endpoint.drain()).await;
    assert_about(time, millis(3500));
    assert_eq!(scene.state("evt_1").await, State::Done);
}

#[tokio::test(start_paused = true)]
async fn drain_waits_for_a_handler_whose_sender_hung_up() {
    let scene = Scene::new();
    let sent = tokio::spawn(scene.send("evt_1", scene.takes(seconds(8), 200)));
    settle_down().await;
    sent.abort();
    settle_down().await;
    let (time, ()) = timed(scene.endpoint.drain()).await;
    assert_about(time, seconds(8));
    assert_eq!(scene.state("evt_1").await, State::Done);
}

#[tokio::test(start_paused = true)]
async fn drain_waits_for_a_pending_commit() {
    let scene = Scene::new();
    scene.store.on(Commit, |nth| if nth < 5 { Fate::Fail } else { Fate::Pass });
    assert_eq!(scene.send("evt_1", scene.says(200)).await.unwrap().status, 200);
    let (time, ()) = timed(scene.endpoint.drain()).await;
    // 0.1 + 0.2 + 0.4 + 0.8 + 1.6
    assert!((millis(3100)..millis(3200)).contains(&time), "{time:?}");
    assert_eq!(scene.state("evt_1").await, State::Done);
}

#[tokio::test(start_paused = true)]
async fn drain_waits_until_a_hanging_commit_is_settled() {
    let scene = Scene::new();
    scene.store.on(Commit, |nth| if nth == 0 { Fate::Hang } else { Fate::Pass });
    let sent = tokio::spawn(scene.send("evt_1", scene.says(200)));
    settle_down().await;
    let (time, ()) = timed(scene.endpoint.drain()).await;
    assert_about(time, millis(2100));
    assert_eq!(scene.state("evt_1").await, State::Done);
    assert_eq!(sent.await.unwrap().unwrap().status, 200);
}

#[tokio::test(start_paused = true)]
async fn drain_waits_for_nothing_where_nothing_runs() {
    let scene = Scene::new();
    let _ = scene.send("evt_1", scene.says(200)).await;
    let (time, ()) = timed(scene.endpoint.drain()).await;
    assert_about(time, seconds(0));
}

#[tokio::test]
async fn a_request_that_comes_while_draining_is_refused() {
    let scene = Scene::new();
    scene.endpoint.drain().await;
    let body = body_of("evt_1");
    let refusal = scene.receive(head(&body), Whole::new(body)).await.unwrap_err();
    assert_eq!(refusal.rejection.kind(), RejectionKind::Draining);
    assert_eq!(refusal.rejection.status(), 503);
    assert!(!refusal.close, "all of its body has come");
}

#[tokio::test]
async fn a_delivery_whose_body_was_arriving_when_draining_began_is_not_claimed() {
    let scene = Scene::new();
    let sent = scene.send("evt_1", scene.says(200));
    scene.endpoint.drain().await;
    let answer = sent.await.unwrap();
    assert_eq!(answer.outcome, Some(Outcome::Rejected(RejectionKind::Draining)));
    assert!(scene.store.calls(Claim).is_empty());
    assert_eq!(scene.runs.started(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_gate_does_not_open_again() {
    let scene = Scene::new();
    drop(scene.endpoint.drain());
    sleep(seconds(100)).await;
    assert!(scene.endpoint.enter().is_err());
}
