//! A subscriber of `tracing` that panics: it is the application's, and costs no more
//! than what it was told.
//!
//! Every test here works under such a subscriber; see `tests/traces.rs` of core.
#![cfg(feature = "tracing")]

#[allow(dead_code, reason = "each test binary uses a part of it")]
mod support;

use std::pin::Pin;

use bytes::Bytes;
use dataflow_webhooks::StoreOperation::{Commit, Release, Renew};
use dataflow_webhooks::dedup::ClaimOutcome;
use dataflow_webhooks::{OnStoreFailure, Outcome, RejectionKind};
use dataflow_webhooks_tokio::Whole;
use tokio::time::sleep;
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::{DefaultGuard, Interest, set_default};
use tracing::{Event, Metadata, Subscriber};

use support::scene::{Run, Said, Scene, State, body_of, head, poll_once, seconds, settle_down};
use support::sink::ScriptedSink;
use support::store::Fate;

/// Where it panics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Enabled,
    Event,
    NewSpan,
    Record,
    CloneSpan,
    Enter,
    Exit,
    CloseSpan,
}

struct Panicking(Place);

impl Panicking {
    fn at(&self, place: Place) {
        assert_ne!(self.0, place, "a subscriber's panic, of the test");
    }
}

impl Subscriber for Panicking {
    fn register_callsite(&self, _: &'static Metadata<'static>) -> Interest {
        Interest::sometimes()
    }
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        self.at(Place::Enabled);
        true
    }
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        self.at(Place::NewSpan);
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {
        self.at(Place::Record);
    }
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, _: &Event<'_>) {
        self.at(Place::Event);
    }
    fn enter(&self, _: &Id) {
        self.at(Place::Enter);
    }
    fn exit(&self, _: &Id) {
        self.at(Place::Exit);
    }
    fn clone_span(&self, id: &Id) -> Id {
        self.at(Place::CloneSpan);
        id.clone()
    }
    fn try_close(&self, _: Id) -> bool {
        self.at(Place::CloseSpan);
        true
    }
}

/// Does this once for each place of a panic. Whatever it was, nothing is left of it,
/// and the drain ends.
async fn in_each_place(test: impl AsyncFn(&mut Scene)) {
    for place in [
        Place::Enabled,
        Place::Event,
        Place::NewSpan,
        Place::Record,
        Place::CloneSpan,
        Place::Enter,
        Place::Exit,
        Place::CloseSpan,
    ] {
        eprintln!("{place:?}");
        let _installed: DefaultGuard = set_default(Panicking(place));
        let mut scene = Scene::new();
        test(&mut scene).await;
        scene.endpoint.drain().await;
        let counts = scene.counts();
        assert_eq!((counts.running, counts.pending_commits), (0, 0));
        assert_eq!(counts.unverified_bytes, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_handled_event_is_done() {
    in_each_place(async |scene| {
        let answer = scene.send("evt_1", scene.takes(seconds(1), 204)).await.unwrap();
        assert_eq!(answer, Said::by_handler(200));
        assert_eq!(scene.state("evt_1").await, State::Done);
        let again = scene.send("evt_1", scene.says(200)).await.unwrap();
        assert_eq!(again.outcome, Some(Outcome::Duplicate));
        assert_eq!(scene.runs.started(), 1);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_failed_event_is_given_back() {
    in_each_place(async |scene| {
        let answer = scene.send("evt_1", scene.says(500)).await.unwrap();
        assert_eq!(answer, Said::by_handler(500));
        assert_eq!(scene.state("evt_1").await, State::Free { next_epoch: 2 });
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_panics_is_answered_500_and_its_event_given_back() {
    in_each_place(async |scene| {
        let answer = scene.send("evt_1", |_| -> Run { panic!("of the test") }).await.unwrap();
        assert_eq!((answer.status, answer.outcome), (500, Some(Outcome::Panicked)));
        assert_eq!(scene.state("evt_1").await, State::Free { next_epoch: 2 });
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_late_handler_runs_on_to_its_commit() {
    in_each_place(async |scene| {
        let answer = scene.send("evt_1", scene.takes(seconds(40), 200)).await.unwrap();
        assert_eq!(answer.outcome, Some(Outcome::Late));
        sleep(seconds(36)).await;
        assert_eq!(scene.store.calls(Renew).len(), 3);
        assert_eq!(scene.state("evt_1").await, State::Done);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_handler_whose_sender_hung_up_runs_on_to_its_commit() {
    in_each_place(async |scene| {
        let mut sent = scene.send("evt_1", scene.takes(seconds(3), 200));
        assert!(poll_once(Pin::new(&mut sent)).is_pending());
        drop(sent);
        sleep(seconds(4)).await;
        assert_eq!(scene.state("evt_1").await, State::Done);
        assert_eq!(scene.counts().outcome(Outcome::HungUp), 1);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_handler_is_dropped_at_the_longest_run_and_its_event_given_back() {
    in_each_place(async |scene| {
        let _ = scene.send("evt_1", scene.takes(seconds(1000), 200)).await;
        sleep(seconds(300)).await;
        assert_eq!(scene.counts().handlers_cut_off, 1);
        assert_eq!(scene.state("evt_1").await, State::Free { next_epoch: 2 });
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_the_store_does_not_take_is_settled_later() {
    for (status, operation, state) in
        [(200, Commit, State::Done), (500, Release, State::Free { next_epoch: 2 })]
    {
        in_each_place(async |scene| {
            scene.store.on(operation, |nth| if nth < 3 { Fate::Fail } else { Fate::Pass });
            let answer = scene.send("evt_1", scene.says(status)).await.unwrap();
            assert_eq!(answer, Said::by_handler(status));
            assert_eq!(scene.counts().pending_commits, 1);
            sleep(seconds(2)).await;
            assert_eq!(scene.state("evt_1").await, state);
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_has_lost_its_lease_goes_on() {
    in_each_place(async |scene| {
        scene.store.on(Renew, |nth| if nth < 25 { Fate::Fail } else { Fate::Pass });
        let _ = scene.send("evt_1", scene.takes(seconds(60), 200)).await;
        sleep(seconds(28)).await;
        let other = scene.store.claim_elsewhere("evt_1").await;
        assert!(matches!(other, ClaimOutcome::New(_)));
        sleep(seconds(8)).await;
        assert_eq!((scene.counts().lease_lost, scene.counts().running), (1, 1));
        sleep(seconds(40)).await;
        assert_eq!(scene.runs.ended(), 1);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_dead_letter_is_stored_and_its_event_done() {
    in_each_place(async |scene| {
        let sink = ScriptedSink::with(Fate::Pass);
        *scene = Scene::with(|b| b.dead_letters(sink.clone(), 1));
        let answer = scene.send("evt_1", scene.says(500)).await.unwrap();
        assert_eq!(answer.outcome, Some(Outcome::DeadLettered));
        assert_eq!(sink.letters().len(), 1);
        assert_eq!(scene.state("evt_1").await, State::Done);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_delivery_is_processed_anyway() {
    in_each_place(async |scene| {
        *scene = Scene::with(|b| b.on_store_failure(OnStoreFailure::ProcessAnyway));
        scene.store.down_until(seconds(1000));
        assert_eq!(scene.send("evt_1", scene.says(200)).await.unwrap(), Said::by_handler(200));
        assert_eq!((scene.runs.ended(), scene.counts().processed_anyway), (1, 1));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_is_refused_for_its_own_reason() {
    in_each_place(async |scene| {
        *scene = Scene::with(|b| b.max_running(1));
        let head = head(&body_of("evt_1"));
        let refusal = scene.receive(head, Whole::new(body_of("evt_2"))).await.unwrap_err();
        assert_eq!(refusal.rejection.kind(), RejectionKind::NoMatch);
        let no_event = Bytes::from_static(b"[]");
        let head = support::scene::head(&no_event);
        let refusal = scene.receive(head, Whole::new(no_event)).await.unwrap_err();
        assert_eq!(refusal.rejection.kind(), RejectionKind::NotAnEvent);

        let first = tokio::spawn(scene.send("evt_1", scene.takes(seconds(1), 200)));
        settle_down().await;
        let second = scene.send("evt_2", scene.says(200)).await.unwrap();
        let too_many = Outcome::Rejected(RejectionKind::TooManyRunning);
        assert_eq!(second.outcome, Some(too_many));
        assert_eq!(first.await.unwrap().unwrap(), Said::by_handler(200));
    })
    .await;
}
