//! What the road reports to a recorder of the crate `metrics`: times by tokio's
//! clock, which is paused, and levels that fall back to 0 however a run ends.
#![cfg(feature = "metrics")]

#[path = "../../dataflow-webhooks/tests/common/metered.rs"]
#[allow(dead_code, reason = "each test binary uses a part of it")]
mod metered;
#[allow(dead_code, reason = "each test binary uses a part of it")]
mod support;

use std::pin::Pin;

use dataflow_webhooks::StoreOperation::{Claim, Commit, Release, Renew};
use dataflow_webhooks::{OnStoreFailure, Outcome, UnverifiedBudget};
use tokio::time::sleep;

use metered::Metered;
use support::scene::{Broken, Said, Scene, millis, poll_once, seconds, settle_down};
use support::store::Fate;

/// tokio's timers round up to the next millisecond.
#[track_caller]
fn assert_seconds(recorded: &[f64], expected: &[f64]) {
    let about = |(time, expected): (&f64, &f64)| (*expected..expected + 0.005).contains(time);
    let all_are = recorded.len() == expected.len() && recorded.iter().zip(expected).all(about);
    assert!(all_are, "{recorded:?}, not {expected:?}");
}

fn handlers(metered: &Metered) -> [Vec<f64>; 4] {
    ["succeeded", "failed", "panicked", "cut_off"]
        .map(|end| metered.recorded(&format!("handler_seconds end={end}")))
}

fn store_calls(metered: &Metered, operation: &str) -> Vec<f64> {
    metered.recorded(&format!("store_seconds operation={operation}"))
}

mod handlers {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_handler_is_timed_from_its_beginning_to_its_end() {
        let metered = Metered::default();
        let _installed = metered.install();
        let scene = Scene::new();
        scene.store.always(Claim, Fate::PassAfter(seconds(1)));
        scene.store.always(Commit, Fate::PassAfter(millis(500)));
        scene.send("evt_1", scene.takes(seconds(2), 200)).await.unwrap();
        let [succeeded, failed, ..] = super::handlers(&metered);
        assert_seconds(&succeeded, &[2.0]);
        assert_seconds(&failed, &[]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_late_handler_is_timed_to_its_own_end_and_counted_as_late_once() {
        let metered = Metered::default();
        let _installed = metered.install();
        let scene = Scene::new();
        scene.send("evt_1", scene.takes(seconds(8), 200)).await.unwrap();
        assert_eq!(metered.value("outcomes_total outcome=late"), 1.0);
        assert_eq!(metered.value("running"), 1.0);
        assert_seconds(&super::handlers(&metered)[0], &[]);
        sleep(seconds(4)).await;
        assert_seconds(&super::handlers(&metered)[0], &[8.0]);
        assert_eq!(metered.value("running"), 0.0);
        assert_eq!(metered.value("outcomes_total outcome=handled"), 0.0);
    }

    #[tokio::test(start_paused = true)]
    async fn the_ends_of_handlers_are_told_apart() {
        let metered = Metered::default();
        let _installed = metered.install();
        let scene = Scene::with(|builder| builder.longest_run(seconds(20)));
        scene.send("evt_1", scene.takes(seconds(1), 200)).await.unwrap();
        scene.send("evt_2", scene.takes(seconds(2), 500)).await.unwrap();
        scene.send("evt_3", |_| async { Err(Broken) }).await.unwrap_err();
        let panics = |_| async {
            sleep(seconds(3)).await;
            panic!("the script says so")
        };
        scene.send("evt_4", panics).await.unwrap();
        scene.send("evt_5", scene.takes(seconds(60), 200)).await.unwrap();
        sleep(seconds(20)).await;
        let [succeeded, failed, panicked, cut_off] = super::handlers(&metered);
        assert_seconds(&succeeded, &[1.0]);
        assert_seconds(&failed, &[2.0, 0.0]);
        assert_seconds(&panicked, &[3.0]);
        assert_seconds(&cut_off, &[20.0]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_handler_without_dedup_is_timed_too() {
        let metered = Metered::default();
        let _installed = metered.install();
        let scene = Scene::with(|builder| builder.without_dedup());
        scene.send("evt_1", scene.takes(seconds(2), 200)).await.unwrap();
        assert_seconds(&super::handlers(&metered)[0], &[2.0]);
        assert_seconds(&store_calls(&metered, "claim"), &[]);
        assert_eq!(metered.value("running"), 0.0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_duplicate_runs_no_handler_and_is_an_outcome() {
        let metered = Metered::default();
        let _installed = metered.install();
        let scene = Scene::new();
        scene.send("evt_1", scene.says(200)).await.unwrap();
        scene.send("evt_1", scene.says(200)).await.unwrap();
        assert_eq!(metered.value("outcomes_total outcome=duplicate"), 1.0);
        assert_eq!(metered.value("outcomes_total outcome=handled"), 1.0);
        assert_eq!(super::handlers(&metered)[0].len(), 1);
    }
}

mod running {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_is_0_again_after_a_panic() {
        let metered = Metered::default();
        let _installed = metered.install();
        let scene = Scene::new();
        let panics = |_| async { panic!("the script says so") };
        scene.send("evt_1", panics).await.unwrap();
        // In the making of the handler's future, before there is one.
        let handler = |_| -> std::future::Ready<Result<Said, Broken>> { panic!("says so too") };
        scene.send("evt_2", handler).await.unwrap();
        assert_eq!(metered.value("running"), 0.0);
        assert_eq!(super::handlers(&metered)[2].len(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_0_again_after_a_hang_up_once_the_handler_has_ended() {
        let metered = Metered::default();
        let _installed = metered.install();
        let scene = Scene::new();
        let mut sent = scene.send("evt_1", scene.takes(seconds(3), 200));
        assert!(poll_once(Pin::new(&mut sent)).is_pending());
        drop(sent);
        settle_down().await;
        assert_eq!(metered.value("running"), 1.0);
        assert_eq!(metered.value("outcomes_total outcome=hung_up"), 1.0);
        sleep(seconds(4)).await;
        assert_eq!(metered.value("running"), 0.0);
        assert_seconds(&super::handlers(&metered)[0], &[3.0]);
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_0_again_after_a_handler_was_cut_off() {
        let metered = Metered::default();
        let _installed = metered.install();
        let scene = Scene::with(|builder| builder.longest_run(seconds(5)));
        scene.send("evt_1", scene.takes(seconds(60), 200)).await.unwrap();
        assert_eq!(metered.value("running"), 1.0);
        sleep(seconds(1)).await;
        assert_eq!(metered.value("running"), 0.0);
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_0_again_when_the_runtime_drops_the_work() {
        let metered = Metered::default();
        let _installed = metered.install();
        let scene = Scene::new();
        let local = tokio::task::LocalSet::new();
        let sent = scene.send("evt_1", scene.takes(seconds(3), 200));
        let sent = local.spawn_local(sent);
        local.run_until(settle_down()).await;
        assert_eq!(metered.value("running"), 1.0);
        sent.abort();
        drop(local);
        // Handed over to the runtime, where it ends.
        sleep(seconds(4)).await;
        assert_eq!(metered.value("running"), 0.0);
    }
}

mod store {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn each_call_is_timed_by_its_operation() {
        let metered = Metered::default();
        let _installed = metered.install();
        let scene = Scene::new();
        scene.store.always(Claim, Fate::PassAfter(millis(100)));
        scene.store.always(Renew, Fate::PassAfter(millis(200)));
        scene.store.always(Commit, Fate::PassAfter(millis(300)));
        scene.store.always(Release, Fate::PassAfter(millis(400)));
        scene.send("evt_1", scene.takes(seconds(12), 200)).await.unwrap();
        sleep(seconds(20)).await;
        scene.send("evt_2", scene.says(500)).await.unwrap();
        assert_seconds(&store_calls(&metered, "claim"), &[0.1, 0.1]);
        assert_seconds(&store_calls(&metered, "renew"), &[0.2]);
        assert_seconds(&store_calls(&metered, "commit"), &[0.3]);
        assert_seconds(&store_calls(&metered, "release"), &[0.4]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_fails_hangs_or_panics_is_timed_and_is_one_error() {
        for (fate, took) in
            [(Fate::Fail, 0.0), (Fate::Hang, 2.0), (Fate::Panic, 0.0), (Fate::PanicInCall, 0.0)]
        {
            let metered = Metered::default();
            let _installed = metered.install();
            let scene = Scene::new();
            scene.store.always(Claim, fate);
            scene.send("evt_1", scene.says(200)).await.unwrap();
            assert_seconds(&store_calls(&metered, "claim"), &[took]);
            assert_eq!(metered.value("store_errors_total operation=claim"), 1.0, "{fate:?}");
            assert_eq!(metered.value("outcomes_total outcome=store_unavailable"), 1.0);
            assert_eq!(metered.value("running"), 0.0);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_commit_is_pending_until_the_store_takes_it() {
        let metered = Metered::default();
        let _installed = metered.install();
        let scene = Scene::new();
        scene.store.on(Commit, |nth| if nth < 3 { Fate::Fail } else { Fate::Pass });
        scene.send("evt_1", scene.says(200)).await.unwrap();
        let levels = || (metered.value("running"), metered.value("pending_commits"));
        assert_eq!(levels(), (0.0, 1.0));
        sleep(seconds(5)).await;
        assert_eq!(levels(), (0.0, 0.0));
        assert_eq!(metered.value("store_errors_total operation=commit"), 3.0);
        assert_eq!(store_calls(&metered, "commit").len(), 4);
    }

    #[tokio::test(start_paused = true)]
    async fn a_commit_that_is_never_taken_is_pending_no_longer_than_the_retention() {
        let metered = Metered::default();
        let _installed = metered.install();
        let hours = |n: u64| seconds(3600 * n);
        let scene = Scene::with(|builder| builder.retention(hours(8)));
        scene.store.always(Commit, Fate::Fail);
        scene.send("evt_1", scene.says(200)).await.unwrap();
        sleep(hours(7)).await;
        assert_eq!(metered.value("pending_commits"), 1.0);
        sleep(hours(2)).await;
        assert_eq!(metered.value("pending_commits"), 0.0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_that_another_run_took_is_lost_at_its_settlement() {
        let metered = Metered::default();
        let _installed = metered.install();
        let scene = Scene::new();
        let (store, key) = (scene.store.clone(), scene.claim("evt_1", 1).key().clone());
        let handler = move |_| async move {
            use dataflow_webhooks::dedup::DedupStore as _;
            store.inner.forget(&key).await.unwrap();
            Ok(Said::by_handler(200))
        };
        scene.send("evt_1", handler).await.unwrap();
        assert_eq!(metered.value("lease_lost_total operation=commit"), 1.0);
    }

    #[tokio::test(start_paused = true)]
    async fn the_store_that_stands_in_counts_as_processed_anyway() {
        let metered = Metered::default();
        let _installed = metered.install();
        let scene = Scene::with(|b| b.on_store_failure(OnStoreFailure::ProcessAnyway));
        scene.store.always(Claim, Fate::Fail);
        let answer = scene.send("evt_1", scene.says(200)).await.unwrap();
        assert_eq!(answer.status, 200);
        assert_eq!(metered.value("processed_anyway_total"), 1.0);
        assert_eq!(metered.value("store_errors_total operation=claim"), 1.0);
    }
}

#[tokio::test(start_paused = true)]
async fn the_bytes_of_a_duplicate_in_waiting_are_held_until_its_turn() {
    let metered = Metered::default();
    let _installed = metered.install();
    let budget = UnverifiedBudget::default();
    let scene = Scene::with(|builder| builder.unverified_budget(budget.clone()));
    let mut first = scene.send("evt_1", scene.takes(seconds(2), 200));
    assert!(poll_once(Pin::new(&mut first)).is_pending());
    let first = tokio::spawn(first);
    let second = tokio::spawn(scene.send("evt_1", scene.says(200)));
    sleep(seconds(1)).await;
    // The least that it counts: its body is smaller.
    let bytes = 2 * 1024;
    assert!(support::scene::body_of("evt_1").len() < bytes);
    assert_eq!((metered.value("unverified_bytes"), budget.held()), (bytes as f64, bytes));
    first.await.unwrap().unwrap();
    let second = second.await.unwrap().unwrap();
    assert_eq!(second.outcome, Some(Outcome::Duplicate));
    assert_eq!((metered.value("unverified_bytes"), budget.held()), (0.0, 0));
}
