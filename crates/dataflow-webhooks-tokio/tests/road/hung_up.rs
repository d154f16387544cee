//! A request that is dropped: the sender hung up, or an outer time-out fired.

use std::pin::Pin;
use std::task::Poll;

use dataflow_webhooks::Outcome;
use dataflow_webhooks::StoreOperation::Claim;
use tokio::runtime::{Builder, Runtime};
use tokio::time::{sleep, timeout};

use crate::support::scene::{Scene, State, millis, poll_once, seconds, settle_down};

#[tokio::test(start_paused = true)]
async fn a_request_dropped_before_its_first_poll_has_done_nothing() {
    let scene = Scene::new();
    drop(scene.send("evt_1", scene.takes(seconds(1), 200)));
    sleep(seconds(2)).await;
    assert_eq!(scene.runs.started(), 0);
    assert!(scene.store.calls(Claim).is_empty());
    assert_eq!(scene.counts().outcome(Outcome::HungUp), 0);
}

#[tokio::test(start_paused = true)]
async fn a_request_dropped_while_its_handler_runs_runs_on_to_its_commit() {
    let scene = Scene::new();
    let mut sent = scene.send("evt_1", scene.takes(seconds(3), 200));
    assert!(poll_once(Pin::new(&mut sent)).is_pending());
    drop(sent);
    settle_down().await;
    assert_eq!((scene.runs.started(), scene.counts().running), (1, 1));
    assert_eq!(scene.counts().outcome(Outcome::HungUp), 1);
    assert_eq!(scene.counts().authentic_refused, 1);

    sleep(seconds(4)).await;
    assert_eq!((scene.runs.started(), scene.runs.ended()), (1, 1));
    assert_eq!(scene.state("evt_1").await, State::Done);
}

#[tokio::test(start_paused = true)]
async fn an_outer_time_out_does_not_stop_the_handler() {
    let scene = Scene::new();
    let sent = scene.send("evt_1", scene.takes(seconds(3), 200));
    timeout(seconds(1), sent).await.unwrap_err();
    assert_eq!(scene.state("evt_1").await, State::InFlight);
    sleep(seconds(3)).await;
    assert_eq!(scene.runs.ended(), 1);
    assert_eq!(scene.state("evt_1").await, State::Done);
}

#[tokio::test(start_paused = true)]
async fn a_request_dropped_while_its_claim_is_on_the_way_runs() {
    let scene = Scene::new();
    scene.store.always(Claim, crate::support::store::Fate::PassAfter(seconds(1)));
    let mut sent = scene.send("evt_1", scene.says(200));
    assert!(poll_once(Pin::new(&mut sent)).is_pending());
    drop(sent);
    sleep(seconds(2)).await;
    assert_eq!(scene.runs.ended(), 1);
    assert_eq!(scene.state("evt_1").await, State::Done);
}

#[tokio::test(start_paused = true)]
async fn a_request_dropped_after_its_answer_leaves_nothing_behind() {
    let scene = Scene::new();
    let mut sent = scene.send("evt_1", scene.says(200));
    assert!(matches!(poll_once(Pin::new(&mut sent)), Poll::Ready(Ok(_))));
    assert!(poll_once(Pin::new(&mut sent)).is_pending(), "there is nothing more to say");
    drop(sent);
    settle_down().await;
    assert_eq!(scene.counts().outcome(Outcome::HungUp), 0);
    assert_eq!(scene.runs.started(), 1);
}

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

#[test]
fn a_request_dropped_on_a_thread_without_a_runtime_runs_on() {
    let runtime = runtime();
    let (scene, sent) = runtime.block_on(async {
        let scene = Scene::new();
        let mut sent = scene.send("evt_1", scene.takes(millis(50), 200));
        assert!(poll_once(Pin::new(&mut sent)).is_pending());
        (scene, sent)
    });
    std::thread::spawn(move || drop(sent)).join().unwrap();
    runtime.block_on(async {
        scene.endpoint.drain().await;
        assert_eq!(scene.runs.ended(), 1);
        assert_eq!(scene.state("evt_1").await, State::Done);
    });
}

#[test]
fn a_request_dropped_with_its_runtime_does_not_panic() {
    for flavor in [Builder::new_current_thread, Builder::new_multi_thread] {
        let runtime = flavor().enable_all().build().unwrap();
        let scene = runtime.block_on(async {
            let scene = Scene::new();
            let sent = tokio::spawn(scene.send("evt_1", scene.takes(seconds(100), 200)));
            while scene.runs.started() == 0 {
                tokio::task::yield_now().await;
            }
            drop(sent);
            scene
        });
        // The request's task is dropped in here, and hands its work to a
        // runtime on its way down.
        drop(runtime);
        assert_eq!(scene.runs.ended(), 0);
        assert_eq!(scene.counts().running, 0, "the work is gone, its lease lapses");
    }
}

#[test]
fn a_request_dropped_after_its_runtime_does_not_panic() {
    let runtime = runtime();
    let (scene, sent) = runtime.block_on(async {
        let scene = Scene::new();
        let mut sent = scene.send("evt_1", scene.takes(seconds(100), 200));
        assert!(poll_once(Pin::new(&mut sent)).is_pending());
        (scene, sent)
    });
    drop(runtime);
    drop(sent);
    assert_eq!((scene.runs.started(), scene.runs.ended()), (1, 0));
    assert_eq!(scene.counts().running, 0);
}
