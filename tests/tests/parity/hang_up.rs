//! Senders that are gone while the handler runs, by FIN, by closing, by RST, before
//! the late answer and after it; and a time-out that fires outside.

use crate::came_to::{CameTo, Connection, Said, already, handled, try_again};
use crate::play::event_1;
use crate::scene::{Run, SOON, panics, receiver, says};
use crate::stack::{Gone, Stack};
use crate::table::{Row, rows};

rows![
    a_sender_that_closes_its_half_leaves_a_handler_that_runs_to_its_end,
    a_sender_that_closes_leaves_a_handler_that_runs_to_its_end,
    a_sender_that_resets_leaves_a_handler_that_runs_to_its_end,
    a_late_handler_whose_sender_closes_its_half_runs_to_its_end,
    a_late_handler_whose_sender_closes_runs_to_its_end,
    a_late_handler_whose_sender_resets_runs_to_its_end,
    a_late_handler_whose_sender_closes_at_the_503_runs_to_its_end,
    a_late_handler_whose_sender_resets_at_the_503_runs_to_its_end,
    a_failure_after_the_sender_is_gone_leaves_the_event_to_the_retry,
    a_panic_after_the_sender_is_gone_leaves_the_event_to_the_retry,
    a_time_out_outside_leaves_a_handler_that_runs_to_its_end,
    a_waiting_duplicate_whose_sender_is_gone_claims_nothing_in_vain,
];

pub(crate) const ACTIX_HOLDS_HALVES: &str =
    "actix leaves a half-closed connection open, and a close looks like one until it writes";

/// The sender of the first delivery is gone before there is an answer; the retry
/// finds the event done. The handler ends before its answer is late, or after.
fn is_left(gone: Gone, late: bool) -> Row {
    let scene = receiver(says(200).gated());
    let scene = if late { scene.quick() } else { scene };
    let unanswered = (gone == Gone::Half).then(|| Said::new(0, ""));
    let answers: Vec<_> = unanswered.into_iter().chain([already()]).collect();
    let on_actix: fn(&mut CameTo) = match (gone, late) {
        (Gone::Reset | Gone::Stream, _) => |_| {},
        (Gone::Closed, false) => CameTo::handled_instead_of_hung_up,
        (Gone::Closed, true) => CameTo::late_instead_of_hung_up,
        (Gone::Half, false) => |it| {
            it.handled_instead_of_hung_up();
            it.answers[0] = Said::new(200, "");
        },
        (Gone::Half, true) => |it| {
            it.late_instead_of_hung_up();
            it.answers[0] = try_again();
        },
    };
    scene
        .play(async move |play| {
            play.send(&event_1()).await;
            play.begun(1).await;
            play.leave(gone).await;
            if late {
                play.it_is_late(gone).await;
            }
            play.let_go(1);
            play.settled().await;
            if gone == Gone::Half {
                play.read().await;
            }
            play.on(1).ask(&event_1()).await;
        })
        .comes_to(
            handled()
                .answers(answers)
                .counts(&[
                    ("authentic", 2),
                    ("authentic_refused", 1),
                    ("duplicate", 1),
                    ("handlers_succeeded", 1),
                    ("hung_up", 1),
                ])
                .but_on(Stack::Actix, ACTIX_HOLDS_HALVES, on_actix),
        )
}

fn a_sender_that_closes_its_half_leaves_a_handler_that_runs_to_its_end() -> Row {
    is_left(Gone::Half, false)
}

fn a_sender_that_closes_leaves_a_handler_that_runs_to_its_end() -> Row {
    is_left(Gone::Closed, false)
}

fn a_sender_that_resets_leaves_a_handler_that_runs_to_its_end() -> Row {
    is_left(Gone::Reset, false)
}

fn a_late_handler_whose_sender_closes_its_half_runs_to_its_end() -> Row {
    is_left(Gone::Half, true)
}

fn a_late_handler_whose_sender_closes_runs_to_its_end() -> Row {
    is_left(Gone::Closed, true)
}

fn a_late_handler_whose_sender_resets_runs_to_its_end() -> Row {
    is_left(Gone::Reset, true)
}

/// The sender has read the 503, and is gone before the handler's end.
fn is_left_at_the_503(gone: Gone) -> Row {
    receiver(says(200).gated())
        .quick()
        .play(async move |play| {
            play.ask(&event_1()).await;
            match gone {
                Gone::Reset => play.reset().await,
                _ => play.close().await,
            }
            play.let_go(1);
            play.settled().await;
        })
        .comes_to(handled().says(try_again()).connection(Connection::Gone).counts(&[
            ("authentic", 1),
            ("authentic_refused", 1),
            ("authentic_refused_in_a_row", 1),
            ("handlers_succeeded", 1),
            ("late", 1),
        ]))
}

fn a_late_handler_whose_sender_closes_at_the_503_runs_to_its_end() -> Row {
    is_left_at_the_503(Gone::Closed)
}

fn a_late_handler_whose_sender_resets_at_the_503_runs_to_its_end() -> Row {
    is_left_at_the_503(Gone::Reset)
}

/// The first run does this when its sender has reset the connection.
fn is_left_and_the_retry_runs(first: Run, ended: usize, counted: &'static str) -> Row {
    receiver(first.gated())
        .then(says(200))
        .play(async |play| {
            play.send(&event_1()).await;
            play.begun(1).await;
            play.leave(Gone::Reset).await;
            play.let_go(1);
            play.settled().await;
            play.on(1).ask(&event_1()).await;
        })
        .comes_to(handled().runs(2, ended).counts(&[
            ("authentic", 2),
            ("authentic_refused", 1),
            ("handled", 1),
            (counted, 1),
            ("handlers_succeeded", 1),
            ("hung_up", 1),
        ]))
}

fn a_failure_after_the_sender_is_gone_leaves_the_event_to_the_retry() -> Row {
    is_left_and_the_retry_runs(says(502), 2, "handlers_failed")
}

fn a_panic_after_the_sender_is_gone_leaves_the_event_to_the_retry() -> Row {
    is_left_and_the_retry_runs(panics(), 1, "handlers_panicked")
}

fn a_time_out_outside_leaves_a_handler_that_runs_to_its_end() -> Row {
    receiver(says(200).gated())
        .time_out(SOON)
        .play(async |play| {
            play.ask(&event_1()).await;
            play.let_go(1);
            play.settled().await;
            play.ask(&event_1()).await;
        })
        .comes_to(handled().answers([Said::new(504, ""), already()]).counts(&[
            ("authentic", 2),
            ("authentic_refused", 1),
            ("duplicate", 1),
            ("handlers_succeeded", 1),
            ("hung_up", 1),
        ]))
}

fn a_waiting_duplicate_whose_sender_is_gone_claims_nothing_in_vain() -> Row {
    receiver(says(200).gated())
        .play(async |play| {
            play.send(&event_1()).await;
            play.begun(1).await;
            play.on(1).send(&event_1()).await;
            play.claimed_more_than(2).await;
            play.leave(Gone::Reset).await;
            play.let_go(1);
            play.on(0).read().await;
            play.settled().await;
            play.ask(&event_1()).await;
        })
        .comes_to(handled().answers([Said::new(200, ""), already()]).counts(&[
            ("authentic", 3),
            ("authentic_refused", 1),
            ("duplicate", 1),
            ("handled", 1),
            ("handlers_succeeded", 1),
            ("hung_up", 1),
        ]))
}
