//! How a handler's end is answered, and what becomes of its claim.

use std::time::Duration;

use dataflow_webhooks::testing::ManualClock;
use dataflow_webhooks::{Delivery, MemoryStore};
use tokio::time::Instant;
use webhook_tests::{Request, WatchedStore, delivery, event};

use crate::came_to::{Claim, ID, Said, already, handled, not_handled, retried, try_again};
use crate::play::event_1;
use crate::scene::{Run, SOON, fails, panics, receiver, says, tells};
use crate::table::{Row, Unfinished, rows};

rows![
    any_2xx_is_answered_200_with_its_body_and_headers,
    a_204_is_answered_200_without_a_body,
    any_other_answer_stands_and_the_retry_runs_again,
    a_304_stands_and_the_retry_runs_again,
    a_failure_keeps_its_answer_and_the_retry_runs_again,
    a_success_ends_the_row_of_refused_deliveries,
    a_panic_is_answered_500_and_the_retry_runs,
    a_late_handler_is_answered_503_and_its_event_is_in_flight,
    a_late_handler_s_event_is_done_at_its_real_end,
    a_late_handler_that_fails_leaves_its_event_to_the_retry,
    a_late_handler_that_panics_leaves_its_event_to_the_retry,
    a_late_answer_goes_out_before_the_platform_hangs_up,
    a_handler_over_the_longest_run_is_dropped_and_the_retry_runs,
    a_handler_whose_lease_was_taken_over_keeps_its_answer_and_changes_nothing,
    the_handler_sees_the_body_as_it_was_signed,
];

fn own(status: u16) -> Said {
    Said::new(status, "own body").header("x-own", "kept")
}

fn any_2xx_is_answered_200_with_its_body_and_headers() -> Row {
    let own_body = |status| says(status).header("x-own", "kept").body("own body");
    let ids = ["evt_1", "evt_2", "evt_3", "evt_4", "evt_5"];
    [202, 203, 226, 299]
        .into_iter()
        .fold(receiver(own_body(201)), |scene, status| scene.then(own_body(status)))
        .all_sent(ids.map(delivery))
        .comes_to(
            handled()
                .answers(ids.map(|_| own(200)))
                .runs(5, 5)
                .claims(&ids.map(|id| (id, Claim::Done)))
                .counts(&[("authentic", 5), ("handled", 5), ("handlers_succeeded", 5)]),
        )
}

fn a_204_is_answered_200_without_a_body() -> Row {
    receiver(says(204)).sent(event_1()).comes_to(handled().says(Said::new(200, "")))
}

fn any_other_answer_stands_and_the_retry_runs_again() -> Row {
    let statuses = [400, 401, 404, 418, 429, 500, 503, 302];
    let own_body = |status| says(status).header("x-own", "kept").body("own body");
    // Each delivery is the retry of the one before.
    statuses[1..]
        .iter()
        .fold(receiver(own_body(statuses[0])), |scene, status| scene.then(own_body(*status)))
        .all_sent(statuses.map(|_| event_1()))
        .comes_to(handled().answers(statuses.map(own)).runs(8, 8).claim(Claim::Free).counts(&[
            ("authentic", 8),
            ("authentic_refused", 8),
            ("authentic_refused_in_a_row", 8),
            ("failed", 8),
            ("handlers_failed", 8),
        ]))
}

fn a_304_stands_and_the_retry_runs_again() -> Row {
    // A status that has no body, whatever the handler gives it.
    receiver(says(304)).all_sent([event_1(), event_1()]).comes_to(
        handled()
            .answers([Said::new(304, ""), Said::new(304, "")])
            .runs(2, 2)
            .claim(Claim::Free)
            .counts(&[
                ("authentic", 2),
                ("authentic_refused", 2),
                ("authentic_refused_in_a_row", 2),
                ("failed", 2),
                ("handlers_failed", 2),
            ]),
    )
}

fn a_failure_keeps_its_answer_and_the_retry_runs_again() -> Row {
    let failed = Said::new(502, "the queue is down");
    receiver(fails()).then(says(200)).all_sent([event_1(), event_1()]).comes_to(retried(
        failed.header("content-type", "text/plain; charset=utf-8"),
        "failed",
        "handlers_failed",
    ))
}

fn a_success_ends_the_row_of_refused_deliveries() -> Row {
    let ids = ["evt_1", "evt_2", "evt_3"];
    receiver(says(500)).then(says(200)).then(says(500)).all_sent(ids.map(delivery)).comes_to(
        handled()
            .answers([Said::new(500, ""), Said::new(200, ""), Said::new(500, "")])
            .runs(3, 3)
            .claims(&[("evt_1", Claim::Free), ("evt_2", Claim::Done), ("evt_3", Claim::Free)])
            .counts(&[
                ("authentic", 3),
                ("authentic_refused", 2),
                ("authentic_refused_in_a_row", 1),
                ("failed", 2),
                ("handled", 1),
                ("handlers_failed", 2),
                ("handlers_succeeded", 1),
            ]),
    )
}

fn a_panic_is_answered_500_and_the_retry_runs() -> Row {
    // On one connection: the panic must not take it down.
    receiver(panics())
        .then(says(200))
        .all_sent([event_1(), event_1()])
        .comes_to(retried(not_handled(), "panicked", "handlers_panicked").runs(2, 1))
}

fn a_late_handler_is_answered_503_and_its_event_is_in_flight() -> Row {
    receiver(says(200).gated()).quick().sent(event_1()).comes_to(
        handled().says(try_again()).runs(1, 0).claim(Claim::InFlight).counts(&[
            ("authentic", 1),
            ("authentic_refused", 1),
            ("authentic_refused_in_a_row", 1),
            ("late", 1),
            ("running", 1),
        ]),
    )
}

/// The sender of the first delivery is told that its handler is late, and comes again
/// when that has ended.
fn late(first: Run) -> Unfinished {
    receiver(first.gated()).then(says(200)).quick().play(async |play| {
        play.ask(&event_1()).await;
        play.let_go(1);
        play.settled().await;
        play.ask(&event_1()).await;
    })
}

fn a_late_handler_s_event_is_done_at_its_real_end() -> Row {
    late(says(200)).comes_to(handled().answers([try_again(), already()]).counts(&[
        ("authentic", 2),
        ("authentic_refused", 1),
        ("duplicate", 1),
        ("handlers_succeeded", 1),
        ("late", 1),
    ]))
}

fn a_late_handler_that_fails_leaves_its_event_to_the_retry() -> Row {
    late(says(500)).comes_to(retried(try_again(), "late", "handlers_failed"))
}

fn a_late_handler_that_panics_leaves_its_event_to_the_retry() -> Row {
    late(panics()).comes_to(retried(try_again(), "late", "handlers_panicked").runs(2, 1))
}

/// With every default, and a handler that takes longer than the 5 s of "Endpoint
/// Requirements".
fn a_late_answer_goes_out_before_the_platform_hangs_up() -> Row {
    receiver(says(200).after(Duration::from_secs(6)))
        .play(async |play| {
            let since = Instant::now();
            play.ask(&event_1()).await;
            let took = since.elapsed();
            assert!(took > Duration::from_secs(4) && took < Duration::from_secs(5), "{took:?}");
            play.settled().await;
        })
        .comes_to(handled().says(try_again()).counts(&[
            ("authentic", 1),
            ("authentic_refused", 1),
            ("authentic_refused_in_a_row", 1),
            ("handlers_succeeded", 1),
            ("late", 1),
        ]))
}

fn a_handler_over_the_longest_run_is_dropped_and_the_retry_runs() -> Row {
    receiver(says(200).gated())
        .then(says(200))
        .quick()
        .with(|builder| builder.longest_run(2 * SOON))
        .play(async |play| {
            play.ask(&event_1()).await;
            play.counted("handlers_cut_off", 1).await;
            play.settled().await;
            play.ask(&event_1()).await;
        })
        .comes_to(retried(try_again(), "late", "handlers_cut_off").runs(2, 1))
}

fn a_handler_whose_lease_was_taken_over_keeps_its_answer_and_changes_nothing() -> Row {
    let epoch = |delivery: &Delivery| format!("epoch {}", delivery.epoch().unwrap_or(0));
    let clock = ManualClock::new();
    let records = MemoryStore::new().with_clock({
        let clock = clock.clone();
        move || clock.now()
    });
    receiver(tells(epoch).gated())
        .then(tells(epoch))
        .store(WatchedStore::over(records))
        .play(async move |play| {
            play.send(&event_1()).await;
            play.begun(1).await;
            clock.advance(Duration::from_secs(31));
            play.on(1).deliver(ID).await;
            play.let_go(1);
            play.on(0).read().await;
        })
        .comes_to(
            handled()
                .answers([Said::new(200, "epoch 2"), Said::new(200, "epoch 1")])
                .runs(2, 2)
                .counts(&[
                    ("authentic", 2),
                    ("handled", 2),
                    ("handlers_succeeded", 2),
                    ("lease_lost", 1),
                ]),
        )
}

fn the_handler_sees_the_body_as_it_was_signed() -> Row {
    // The handler compares what its stack's extractor gives with the delivery's.
    let body = [&event(ID)[..], b" \r\n\t "].concat();
    let length = body.len().to_string();
    receiver(tells(|delivery| delivery.body().len().to_string()))
        .sent(Request::signed(body))
        .comes_to(handled().says(Said::new(200, &length)))
}
