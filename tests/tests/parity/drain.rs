//! Drain, with everything under way that can be.

use dataflow_webhooks::StoreOperation;
use webhook_tests::delivery;

use crate::came_to::{Claim, ID, handled, try_again};
use crate::play::event_1;
use crate::scene::{panics, receiver, says};
use crate::stack::Gone;
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

/// Handlers that are late, whose sender is gone, and that panic after their late
/// answer; a duplicate in waiting; half a body; and a delivery that comes too late.
fn drain_with_everything_under_way_settles_it_all() -> Row {
    receiver(says(200).gated())
        .then(says(200).gated())
        .then(panics().gated())
        .quick()
        .play(async |play| {
            play.send(&event_1()).await;
            play.begun(1).await;
            play.on(1).send(&delivery("evt_2")).await;
            play.begun(2).await;
            play.leave(Gone::Reset).await;
            play.on(2).send(&delivery("evt_3")).await;
            play.begun(3).await;
            play.on(0).read().await;
            play.on(2).read().await;
            let half = delivery("evt_4");
            play.on(3).write(half.head_bytes()).await;
            play.write(&half.body[..100]).await;
            play.counted("unverified_bytes", 100).await;
            play.on(0).send(&event_1()).await;
            play.claimed_more_than(3).await;

            play.drain().await;
            play.on(3).write(&half.body[100..]).await;
            play.read().await;
            play.on(4).deliver("evt_5").await;
            // The duplicate is told to come again as soon as it asks once more.
            play.on(0).read().await;
            assert!(!play.is_drained(), "handlers run");
            play.let_go(3);
            play.drained().await;
        })
        .comes_to(
            handled()
                .answers([(); 5].map(|()| try_again()))
                .runs(3, 2)
                .claims(&[
                    (ID, Claim::Done),
                    ("evt_2", Claim::Done),
                    ("evt_3", Claim::Free),
                    ("evt_4", Claim::Free),
                    ("evt_5", Claim::Free),
                ])
                .counts(&[
                    ("authentic", 5),
                    ("authentic_refused", 5),
                    ("authentic_refused_in_a_row", 5),
                    ("draining", 3),
                    ("handlers_panicked", 1),
                    ("handlers_succeeded", 2),
                    ("hung_up", 1),
                    ("late", 2),
                ]),
        )
}
