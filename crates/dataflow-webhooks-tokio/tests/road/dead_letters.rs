//! A delivery that no run gets through: stored, then answered 200; and never answered
//! 200 unless it is stored.

use dataflow_webhooks::StoreOperation::{Commit, Release, Renew};
use dataflow_webhooks::dedup::{ClaimOutcome, DedupStore as _};
use dataflow_webhooks::{Delivery, Outcome};
use tokio::time::sleep;

use crate::support::scene::{
    Broken, Run, Said, Scene, State, assert_about, millis, seconds, settle_down, timed,
};
use crate::support::sink::ScriptedSink;
use crate::support::store::Fate;

/// An endpoint with dead letters after so many runs, in a sink of this kind.
fn scene(after_runs: u32, fate: Fate) -> (Scene, ScriptedSink) {
    let sink = ScriptedSink::with(fate);
    let scene = Scene::with(|builder| builder.dead_letters(sink.clone(), after_runs));
    (scene, sink)
}

/// The answer to a delivery that is kept as a dead letter.
fn is_kept(answer: &Said) -> bool {
    let fixed = (200, Some(Outcome::DeadLettered), "kept for later\n");
    (answer.status, answer.outcome, answer.body) == fixed
}

fn letter(id: &str, runs: u64, reason: &str) -> (String, u64, String) {
    (id.to_owned(), runs, reason.to_owned())
}

#[tokio::test(start_paused = true)]
async fn after_the_set_number_of_runs_a_delivery_is_stored_and_answered_200() {
    let (scene, sink) = scene(3, Fate::Pass);
    for _ in 0..2 {
        let answer = scene.send("evt_1", scene.says(500)).await.unwrap();
        assert_eq!(answer, Said::by_handler(500));
        assert!(sink.letters().is_empty());
    }
    let answer = scene.send("evt_1", scene.says(500)).await.unwrap();
    assert!(is_kept(&answer), "{answer:?}");
    assert_eq!(sink.letters(), [letter("evt_1", 3, "answered 500")]);
    assert_eq!(scene.state("evt_1").await, State::Done);

    let again = scene.send("evt_1", scene.says(500)).await.unwrap();
    assert_eq!((again.status, again.outcome), (200, Some(Outcome::Duplicate)));
    assert_eq!(scene.runs.epochs(), [Some(1), Some(2), Some(3)]);
}

#[tokio::test(start_paused = true)]
async fn a_dead_letter_is_counted_as_such_and_ends_the_row_of_refusals() {
    let (scene, _sink) = scene(2, Fate::Pass);
    let _ = scene.send("evt_1", scene.says(500)).await;
    assert_eq!(scene.counts().authentic_refused_in_a_row, 1);
    let _ = scene.send("evt_1", scene.says(500)).await;
    let counts = scene.counts();
    assert_eq!((counts.dead_letters, counts.dead_letter_errors), (1, 0));
    assert_eq!(counts.outcome(Outcome::DeadLettered), 1);
    assert_eq!((counts.authentic_refused, counts.authentic_refused_in_a_row), (1, 0));
    assert_eq!(counts.handlers_failed, 2, "the handler did fail");
}

#[tokio::test(start_paused = true)]
async fn a_run_that_succeeds_is_no_dead_letter_however_many_failed_before() {
    let (scene, sink) = scene(3, Fate::Pass);
    for status in [500, 500, 204] {
        let answer = scene.send("evt_1", scene.says(status)).await.unwrap();
        assert_eq!(answer, Said::by_handler(if status == 204 { 200 } else { status }));
    }
    assert!(sink.calls().is_empty());
    assert_eq!(scene.state("evt_1").await, State::Done);
}

#[tokio::test(start_paused = true)]
async fn runs_of_one_event_do_not_count_for_another() {
    let (scene, sink) = scene(2, Fate::Pass);
    for id in ["evt_1", "evt_2", "evt_3"] {
        let answer = scene.send(id, scene.says(500)).await.unwrap();
        assert_eq!(answer, Said::by_handler(500));
    }
    assert!(sink.calls().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_run_whose_process_died_counts() {
    let (scene, sink) = scene(2, Fate::Pass);
    // The lease of another process lapses.
    let ClaimOutcome::New(_) = scene.store.claim_elsewhere("evt_1").await else { panic!() };
    sleep(seconds(31)).await;
    let answer = scene.send("evt_1", scene.says(500)).await.unwrap();
    assert!(is_kept(&answer), "{answer:?}");
    assert_eq!(sink.letters(), [letter("evt_1", 2, "answered 500")]);
}

#[tokio::test(start_paused = true)]
async fn an_error_of_the_service_is_a_failed_run() {
    let (scene, sink) = scene(1, Fate::Pass);
    let answer = scene.send("evt_1", |_| async { Err(Broken) }).await.unwrap();
    assert!(is_kept(&answer), "{answer:?}");
    assert_eq!(sink.letters(), [letter("evt_1", 1, "failed")]);
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_a_failed_run() {
    let (scene, sink) = scene(1, Fate::Pass);
    let handler = |_: Delivery| -> Run { panic!("it always does") };
    let answer = scene.send("evt_1", handler).await.unwrap();
    assert!(is_kept(&answer), "{answer:?}");
    assert_eq!(sink.letters(), [letter("evt_1", 1, "panicked")]);
    assert_eq!(scene.counts().handlers_panicked, 1);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_cut_off_is_a_failed_run() {
    let sink = ScriptedSink::with(Fate::Pass);
    let scene = Scene::with(|b| b.longest_run(seconds(100)).dead_letters(sink.clone(), 1));
    let late = scene.send("evt_1", |_| std::future::pending()).await.unwrap();
    assert_eq!(late.outcome, Some(Outcome::Late));
    sleep(seconds(96)).await;
    assert_eq!(sink.letters(), [letter("evt_1", 1, "was cut off")]);
    assert_eq!(scene.state("evt_1").await, State::Done);
    assert_eq!((scene.counts().handlers_cut_off, scene.counts().running), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_run_that_fails_after_its_503_is_stored_and_the_next_attempt_is_answered_200() {
    let (scene, sink) = scene(1, Fate::Pass);
    let late = scene.send("evt_1", scene.takes(seconds(8), 500)).await.unwrap();
    assert_eq!((late.status, late.outcome), (503, Some(Outcome::Late)));
    sleep(seconds(4)).await;
    assert_eq!(sink.letters(), [letter("evt_1", 1, "answered 500")]);
    let counts = scene.counts();
    assert_eq!((counts.dead_letters, counts.outcome(Outcome::DeadLettered)), (1, 0));

    let next = scene.send("evt_1", scene.says(500)).await.unwrap();
    assert_eq!((next.status, next.outcome), (200, Some(Outcome::Duplicate)));
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_fails_leaves_the_handlers_answer_and_the_event_comes_again() {
    for fate in [Fate::Fail, Fate::Panic, Fate::PanicInCall, Fate::PassUnheard] {
        let (scene, sink) = scene(2, fate);
        for _ in 0..3 {
            let answer = scene.send("evt_1", scene.says(500)).await.unwrap();
            assert_eq!(answer, Said::by_handler(500), "{fate:?}");
        }
        assert_eq!(sink.calls().len(), 2, "{fate:?}");
        assert_eq!((scene.counts().dead_letters, scene.counts().dead_letter_errors), (0, 2));
        assert_eq!(scene.counts().authentic_refused_in_a_row, 3);
        assert_eq!(scene.state("evt_1").await, State::Free { next_epoch: 4 }, "{fate:?}");

        // Mended: nothing was lost.
        sink.becomes(Fate::Pass);
        let answer = scene.send("evt_1", scene.says(500)).await.unwrap();
        assert!(is_kept(&answer), "{fate:?}: {answer:?}");
        assert_eq!(sink.letters().last(), Some(&letter("evt_1", 5, "answered 500")));
    }
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_fails_leaves_the_handlers_own_error() {
    let (scene, _sink) = scene(1, Fate::Fail);
    assert_eq!(scene.send("evt_1", |_| async { Err(Broken) }).await, Err(Broken));
    assert_eq!(scene.state("evt_1").await, State::Free { next_epoch: 2 });
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_hangs_is_given_up_after_2_s() {
    let (scene, sink) = scene(1, Fate::Hang);
    let (time, answer) = timed(scene.send("evt_1", scene.says(500))).await;
    assert_eq!(answer.unwrap(), Said::by_handler(500));
    assert_about(time, seconds(2));
    assert_eq!((sink.calls().len(), scene.counts().dead_letter_errors), (1, 1));
    assert_eq!(scene.state("evt_1").await, State::Free { next_epoch: 2 });
}

#[tokio::test(start_paused = true)]
async fn a_sink_has_its_2_s_beyond_the_senders_patience_too() {
    let (scene, sink) = scene(1, Fate::PassAfter(millis(1900)));
    let (time, answer) = timed(scene.send("evt_1", scene.takes(seconds(4), 500))).await;
    assert_eq!(answer.unwrap().outcome, Some(Outcome::Late));
    assert_about(time, millis(4500));
    assert!(sink.letters().is_empty());
    sleep(seconds(2)).await;
    assert_eq!(sink.letters().len(), 1);
    assert_eq!(scene.state("evt_1").await, State::Done);
}

#[tokio::test(start_paused = true)]
async fn another_event_is_not_delayed_while_a_sink_hangs() {
    let (scene, sink) = scene(1, Fate::Hang);
    let stuck = tokio::spawn(scene.send("evt_1", scene.says(500)));
    settle_down().await;
    assert_eq!(sink.calls().len(), 1);
    let (time, answer) = timed(scene.send("evt_2", scene.says(200))).await;
    assert_eq!((answer.unwrap(), time), (Said::by_handler(200), millis(0)));
    assert_eq!(stuck.await.unwrap().unwrap(), Said::by_handler(500));
}

#[tokio::test(start_paused = true)]
async fn a_duplicate_that_waits_is_answered_200_once_the_letter_is_stored() {
    let (scene, _sink) = scene(1, Fate::PassAfter(seconds(1)));
    let first = tokio::spawn(scene.send("evt_1", scene.says(500)));
    settle_down().await;
    let second = scene.send("evt_1", scene.says(500)).await.unwrap();
    assert_eq!((second.status, second.outcome), (200, Some(Outcome::Duplicate)));
    assert!(is_kept(&first.await.unwrap().unwrap()));
    assert_eq!(scene.runs.started(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_was_lost_while_the_handler_ran_leaves_no_letter() {
    let (scene, sink) = scene(1, Fate::Pass);
    let late = scene.send("evt_1", scene.takes(seconds(25), 500)).await.unwrap();
    assert_eq!(late.outcome, Some(Outcome::Late));
    scene.store.inner.forget(scene.claim("evt_1", 1).key()).await.unwrap();
    let _ = scene.store.claim_elsewhere("evt_1").await;
    sleep(seconds(21)).await;
    assert_eq!((scene.runs.ended(), scene.counts().lease_lost), (1, 1));
    assert!(sink.calls().is_empty());
    assert_eq!(scene.state("evt_1").await, State::InFlight, "it is the other one's");
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_is_found_lost_at_the_end_of_the_run_leaves_no_letter() {
    let (scene, sink) = scene(1, Fate::Pass);
    let sent = tokio::spawn(scene.send("evt_1", scene.takes(seconds(1), 500)));
    settle_down().await;
    scene.store.inner.forget(scene.claim("evt_1", 1).key()).await.unwrap();
    let _ = scene.store.claim_elsewhere("evt_1").await;
    assert_eq!(sent.await.unwrap().unwrap(), Said::by_handler(500));
    assert!(sink.calls().is_empty());
    assert_eq!((scene.counts().lease_lost, scene.counts().dead_letter_errors), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn the_lease_holds_while_a_slow_sink_stores() {
    let sink = ScriptedSink::with(Fate::PassAfter(millis(1990)));
    let scene = Scene::with(|b| b.lease(seconds(5)).dead_letters(sink.clone(), 1));
    // The one renewal during the run fails: 1 s of the lease is left at its end.
    scene.store.on(Renew, |nth| if nth < 3 { Fate::Fail } else { Fate::Pass });
    let sent = tokio::spawn(scene.send("evt_1", scene.takes(seconds(4), 500)));
    sleep(millis(5900)).await;
    assert_eq!((scene.runs.ended(), sink.letters().len()), (1, 0));
    assert_eq!(scene.state("evt_1").await, State::InFlight);
    assert_eq!(sent.await.unwrap().unwrap().outcome, Some(Outcome::Late));
    sleep(seconds(1)).await;
    assert_eq!(scene.state("evt_1").await, State::Done);
    assert_eq!(scene.counts().lease_lost, 0);
}

#[tokio::test(start_paused = true)]
async fn a_commit_that_fails_after_the_storing_is_answered_200_and_made_in_the_background() {
    let (scene, sink) = scene(1, Fate::Pass);
    scene.store.on(Commit, |nth| if nth < 3 { Fate::Fail } else { Fate::Pass });
    let answer = scene.send("evt_1", scene.says(500)).await.unwrap();
    assert!(is_kept(&answer), "{answer:?}");
    assert_eq!((scene.counts().pending_commits, sink.letters().len()), (1, 1));
    sleep(seconds(2)).await;
    assert_eq!(scene.state("evt_1").await, State::Done);
    assert!(scene.store.calls(Release).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_dedup_store_that_does_not_answer_is_no_reason_against_a_letter() {
    let (scene, sink) = scene(1, Fate::Pass);
    scene.store.always(Renew, Fate::Fail);
    let answer = scene.send("evt_1", scene.says(500)).await.unwrap();
    assert!(is_kept(&answer), "{answer:?}");
    assert_eq!(sink.letters().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_forgotten_event_runs_again_and_is_a_dead_letter_at_once_when_it_fails() {
    let (scene, sink) = scene(2, Fate::Pass);
    for _ in 0..2 {
        let _ = scene.send("evt_1", scene.says(500)).await;
    }
    let key = scene.delivery("evt_1").dedup_key();
    for (status, runs) in [(500, 3), (200, 4)] {
        scene.endpoint.store().unwrap().forget(&key).await.unwrap();
        let answer = scene.send("evt_1", scene.says(status)).await.unwrap();
        assert_eq!(scene.runs.ended(), runs);
        assert_eq!(is_kept(&answer), status == 500, "{answer:?}");
    }
    assert_eq!(sink.letters()[1..], [letter("evt_1", 3, "answered 500")]);
    assert_eq!(scene.state("evt_1").await, State::Done);
}

#[tokio::test(start_paused = true)]
async fn a_drain_waits_for_the_sink() {
    let (scene, sink) = scene(1, Fate::PassAfter(seconds(1)));
    let sent = tokio::spawn(scene.send("evt_1", scene.says(500)));
    settle_down().await;
    let (time, ()) = timed(scene.endpoint.drain()).await;
    assert_about(time, seconds(1));
    assert_eq!(sink.letters().len(), 1);
    assert!(is_kept(&sent.await.unwrap().unwrap()));
}

#[tokio::test(start_paused = true)]
async fn a_delivery_whose_handler_answers_well_asks_nothing_more_of_the_store() {
    let (scene, _sink) = scene(1, Fate::Pass);
    let answer = scene.send("evt_1", scene.says(200)).await.unwrap();
    assert_eq!(answer, Said::by_handler(200));
    assert!(scene.store.calls(Renew).is_empty());
}
