//! Duplicates, and a store, or a service inside, that is not there in time.

use dataflow_webhooks::testing::Sample;
use dataflow_webhooks::{OnStoreFailure, StoreOperation};
use webhook_tests::{Request, delivery};

use crate::came_to::{Claim, ID, Said, already, handled, repeated, retried, try_again};
use crate::play::event_1;
use crate::scene::{plain, receiver, says};
use crate::table::{Row, rows};

rows![
    a_duplicate_of_what_is_done_is_answered_200_and_does_not_run,
    a_duplicate_still_in_flight_at_the_deadline_is_answered_503,
    a_waiting_duplicate_is_answered_200_when_the_first_is_done,
    a_waiting_duplicate_runs_when_the_first_has_failed,
    a_commit_that_fails_is_answered_200_and_made_in_the_background,
    an_event_whose_commit_fails_is_in_flight_until_the_store_is_back,
    a_commit_that_does_not_come_back_is_answered_200_at_the_deadline,
    a_release_that_fails_is_made_in_the_background_and_the_retry_runs,
    a_claim_that_fails_is_answered_503_and_nothing_runs,
    a_claim_that_is_not_back_in_time_is_answered_503_and_released_when_it_comes,
    a_service_that_is_not_ready_in_time_is_answered_503_and_nothing_is_claimed,
    process_anyway_runs_it_once_while_the_store_is_away,
    without_dedup_each_delivery_runs,
];

fn a_duplicate_of_what_is_done_is_answered_200_and_does_not_run() -> Row {
    // The same event, signed anew, with another body: the id tells.
    let again = Request::signed(Sample::of("pipeline.created").id(ID).body());
    receiver(says(200).body("done"))
        .all_sent([event_1(), again])
        .comes_to(repeated(Said::new(200, "done")))
}

fn a_duplicate_still_in_flight_at_the_deadline_is_answered_503() -> Row {
    receiver(says(200).gated()).quick().all_sent([event_1(), event_1()]).comes_to(
        handled().answers([try_again(), try_again()]).runs(1, 0).claim(Claim::InFlight).counts(&[
            ("authentic", 2),
            ("authentic_refused", 2),
            ("authentic_refused_in_a_row", 2),
            ("in_flight", 1),
            ("late", 1),
            ("running", 1),
        ]),
    )
}

fn a_waiting_duplicate_is_answered_200_when_the_first_is_done() -> Row {
    receiver(says(200).gated())
        .play(async |play| {
            play.send(&event_1()).await;
            play.begun(1).await;
            play.on(1).send(&event_1()).await;
            play.claimed_more_than(2).await;
            play.let_go(1);
            play.on(0).read().await;
            play.on(1).read().await;
        })
        .comes_to(repeated(Said::new(200, "")))
}

fn a_waiting_duplicate_runs_when_the_first_has_failed() -> Row {
    receiver(says(502).gated())
        .then(says(200))
        .play(async |play| {
            play.send(&event_1()).await;
            play.begun(1).await;
            play.on(1).send(&event_1()).await;
            play.claimed_more_than(2).await;
            play.let_go(1);
            play.on(0).read().await;
            play.on(1).read().await;
        })
        .comes_to(retried(Said::new(502, ""), "failed", "handlers_failed"))
}

fn a_commit_that_fails_is_answered_200_and_made_in_the_background() -> Row {
    plain()
        .play(async |play| {
            play.store.fail(StoreOperation::Commit, 2);
            play.ask(&event_1()).await;
            play.settled().await;
            play.ask(&event_1()).await;
        })
        .comes_to(repeated(Said::new(200, "")).and("store_errors_commit", 2))
}

fn an_event_whose_commit_fails_is_in_flight_until_the_store_is_back() -> Row {
    plain()
        .quick()
        .play(async |play| {
            play.store.fail(StoreOperation::Commit, usize::MAX);
            play.ask(&event_1()).await;
            // Nobody else may run it meanwhile, and nobody is told that it is done.
            play.ask(&event_1()).await;
            play.counted("pending_commits", 1).await;
            play.store.fail(StoreOperation::Commit, 0);
            play.settled().await;
            play.ask(&event_1()).await;
        })
        .comes_to(
            handled()
                .answers([Said::new(200, ""), try_again(), already()])
                .counts(&[
                    ("authentic", 3),
                    ("authentic_refused", 1),
                    ("duplicate", 1),
                    ("handled", 1),
                    ("handlers_succeeded", 1),
                    ("in_flight", 1),
                ])
                .uncounted("store_errors_commit"),
        )
}

fn a_commit_that_does_not_come_back_is_answered_200_at_the_deadline() -> Row {
    // The handler is done: that the store is slow is no reason for a retry.
    plain()
        .quick()
        .play(async |play| {
            play.store.hold(StoreOperation::Commit);
            play.ask(&event_1()).await;
            play.store.let_go(StoreOperation::Commit);
            play.settled().await;
        })
        .comes_to(handled().counts(&[
            ("authentic", 1),
            ("handled", 1),
            ("handlers_succeeded", 1),
            ("store_errors_commit", 1),
        ]))
}

fn a_release_that_fails_is_made_in_the_background_and_the_retry_runs() -> Row {
    receiver(says(502))
        .then(says(200))
        .play(async |play| {
            play.store.fail(StoreOperation::Release, 2);
            play.ask(&event_1()).await;
            play.settled().await;
            play.ask(&event_1()).await;
        })
        .comes_to(
            retried(Said::new(502, ""), "failed", "handlers_failed").and("store_errors_release", 2),
        )
}

fn a_claim_that_fails_is_answered_503_and_nothing_runs() -> Row {
    plain()
        .play(async |play| {
            play.store.fail(StoreOperation::Claim, 1);
            play.ask(&event_1()).await;
        })
        .comes_to(handled().says(try_again()).runs(0, 0).claim(Claim::Free).counts(&[
            ("authentic", 1),
            ("authentic_refused", 1),
            ("authentic_refused_in_a_row", 1),
            ("store_errors_claim", 1),
            ("store_unavailable", 1),
        ]))
}

fn a_claim_that_is_not_back_in_time_is_answered_503_and_released_when_it_comes() -> Row {
    plain()
        .quick()
        .play(async |play| {
            play.store.hold(StoreOperation::Claim);
            play.ask(&event_1()).await;
            play.store.let_go(StoreOperation::Claim);
            play.settled().await;
        })
        .comes_to(handled().says(try_again()).runs(0, 0).claim(Claim::Free).counts(&[
            ("authentic", 1),
            ("authentic_refused", 1),
            ("authentic_refused_in_a_row", 1),
            ("late", 1),
        ]))
}

fn a_service_that_is_not_ready_in_time_is_answered_503_and_nothing_is_claimed() -> Row {
    plain().never_ready().quick().sent(event_1()).comes_to(
        handled().says(try_again()).runs(0, 0).claim(Claim::Untouched).counts(&[
            ("authentic", 1),
            ("authentic_refused", 1),
            ("authentic_refused_in_a_row", 1),
            ("late", 1),
        ]),
    )
}

fn process_anyway_runs_it_once_while_the_store_is_away() -> Row {
    plain()
        .with(|builder| builder.on_store_failure(OnStoreFailure::ProcessAnyway))
        .play(async |play| {
            play.store.fail(StoreOperation::Claim, 2);
            play.ask(&event_1()).await;
            play.ask(&event_1()).await;
        })
        .comes_to(
            repeated(Said::new(200, ""))
                .claim(Claim::Free)
                .and("processed_anyway", 1)
                .and("store_errors_claim", 2),
        )
}

fn without_dedup_each_delivery_runs() -> Row {
    receiver(says(202)).without_dedup().all_sent([delivery(ID), delivery(ID)]).comes_to(
        handled()
            .answers([Said::new(200, ""), Said::new(200, "")])
            .runs(2, 2)
            .claim(Claim::Untouched)
            .counts(&[("authentic", 2), ("handled", 2), ("handlers_succeeded", 2)]),
    )
}
