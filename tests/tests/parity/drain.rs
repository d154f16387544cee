//! Drain, with everything under way that can be.

use dataflow_webhooks::StoreOperation;
use webhook_tests::delivery;

use crate::came_to::{Claim, ID, Said, handled, not_handled, try_again};
use crate::hang_up::ACTIX_HOLDS_HALVES;
use crate::play::event_1;
use crate::scene::{panics, receiver, says};
use crate::stack::{Gone, Stack};
use crate::table::{Row, rows};

rows![
    drain_waits_for_a_handler_and_its_sender_is_answered,
    drain_waits_for_a_commit_that_the_store_refuses,
    drain_with_everything_under_way_settles_it_all,
];

fn drain_waits_for_a_handler_and_its_sender_is_answered() -> Row {
    receiver(says(200).gated())
        .play(async |play| {
            play.send(&event_1()).await;
            play.begun(1).await;
            play.drain().await;
            assert!(!play.is_drained(), "a handler runs");
            play.let_go(1);
            play.read().await;
            play.drained().await;
        })
        .comes_to(handled())
}

fn drain_waits_for_a_commit_that_the_store_refuses() -> Row {
    receiver(says(200))
        .play(async |play| {
            play.store.fail(StoreOperation::Commit, 2);
            play.ask(&event_1()).await;
            play.drain().await;
            assert!(!play.is_drained(), "the commit is to be tried again");
            play.drained().await;
        })
        .comes_to(handled().counts(&[
            ("authentic", 1),
            ("handled", 1),
            ("handlers_succeeded", 1),
            ("store_errors_commit", 2),
        ]))
}

/// A handler that panics before its answer is late, and one after it; one that is late;
/// those whose senders have reset and closed the connection; a duplicate in waiting;
/// half a body; and a delivery that comes too late. With every default, so that all
/// of it is there before the first answer is due.
fn drain_with_everything_under_way_settles_it_all() -> Row {
    let slow = || says(200).gated();
    receiver(panics().gated())
        .then(slow())
        .then(slow())
        .then(slow())
        .then(panics().gated())
        .play(async |play| {
            for (line, id) in [ID, "evt_late", "evt_reset", "evt_closed", "evt_panics_late"]
                .into_iter()
                .enumerate()
            {
                play.on(line).send(&delivery(id)).await;
                play.begun(line + 1).await;
            }
            play.on(2).leave(Gone::Reset).await;
            play.on(3).leave(Gone::Half).await;
            let half = delivery("evt_half");
            play.on(5).write(half.head_bytes()).await;
            play.write(&half.body[..100]).await;
            play.counted("unverified_bytes", 100).await;
            play.on(6).send(&delivery("evt_late")).await;
            play.claimed_more_than(6).await;

            play.drain().await;
            play.on(5).write(&half.body[100..]).await;
            play.read().await;
            play.on(7).deliver("evt_new").await;
            // The duplicate is told to come again as soon as it asks once more.
            play.on(6).read().await;
            play.let_go(1);
            play.on(0).read().await;
            play.on(1).read().await;
            play.on(3).read().await;
            play.on(4).read().await;
            assert!(!play.is_drained(), "handlers run");
            play.let_go(4);
            play.drained().await;
        })
        .comes_to(
            handled()
                .answers([
                    try_again(),
                    try_again(),
                    try_again(),
                    not_handled(),
                    try_again(),
                    Said::new(0, ""),
                    try_again(),
                ])
                .runs(5, 3)
                .claims(&[
                    (ID, Claim::Free),
                    ("evt_late", Claim::Done),
                    ("evt_reset", Claim::Done),
                    ("evt_closed", Claim::Done),
                    ("evt_panics_late", Claim::Free),
                    ("evt_half", Claim::Free),
                    ("evt_new", Claim::Free),
                ])
                .counts(&[
                    ("authentic", 7),
                    ("authentic_refused", 7),
                    ("authentic_refused_in_a_row", 7),
                    ("draining", 3),
                    ("handlers_panicked", 2),
                    ("handlers_succeeded", 3),
                    ("hung_up", 2),
                    ("late", 2),
                    ("panicked", 1),
                ])
                .but_on(Stack::Actix, ACTIX_HOLDS_HALVES, |it| {
                    it.answers[5] = try_again();
                    it.counts.extend([("hung_up", 1), ("late", 3)]);
                }),
        )
}
