//! A delivery that no run gets through: 200 where a sink has stored it, and nothing but
//! the handler's own answer where it has not.

use dataflow_webhooks::dead_letters::{DeadLetter, DeadLetterSink, SinkFuture};

use crate::came_to::{Claim, Expected, Said, already, handled};
use crate::play::event_1;
use crate::scene::{Failed, Run, Scene, fails, panics, receiver, says};
use crate::table::{Row, rows};

rows![
    the_last_run_s_failure_is_answered_200_and_the_event_is_done,
    an_error_in_the_last_run_is_answered_200,
    a_panic_in_the_last_run_is_answered_200,
    where_the_sink_fails_the_handler_s_answer_stands_and_the_retry_runs,
];

/// Stores everything, or nothing.
struct Sink(Result<(), &'static str>);

impl DeadLetterSink for Sink {
    fn store<'a>(&'a self, _letter: &'a DeadLetter) -> SinkFuture<'a, ()> {
        Box::pin(async { self.0.map_err(Into::into) })
    }
}

/// A receiver with dead letters after this many runs.
fn after(runs: u32, run: Run, sink: Sink) -> Scene {
    receiver(run).with(|builder| builder.dead_letters(sink, runs))
}

/// What the documentation says of a dead letter.
fn kept() -> Said {
    Said::new(200, "kept for later\n").header("content-type", "text/plain; charset=utf-8")
}

fn the_last_run_s_failure_is_answered_200_and_the_event_is_done() -> Row {
    let own = says(500).header("x-own", "gone").body("own body");
    after(2, own, Sink(Ok(()))).all_sent([event_1(), event_1(), event_1()]).comes_to(
        handled()
            .answers([Said::new(500, "own body").header("x-own", "gone"), kept(), already()])
            .runs(2, 2)
            .counts(&[
                ("authentic", 3),
                ("authentic_refused", 1),
                ("dead_lettered", 1),
                ("dead_letters", 1),
                ("duplicate", 1),
                ("failed", 1),
                ("handlers_failed", 2),
            ]),
    )
}

/// One delivery, in the last run that is allowed.
fn at_once(end: &'static str) -> Expected {
    handled().says(kept()).counts(&[
        ("authentic", 1),
        ("dead_lettered", 1),
        ("dead_letters", 1),
        (end, 1),
    ])
}

fn an_error_in_the_last_run_is_answered_200() -> Row {
    after(1, fails(), Sink(Ok(()))).sent(event_1()).comes_to(at_once("handlers_failed"))
}

fn a_panic_in_the_last_run_is_answered_200() -> Row {
    after(1, panics(), Sink(Ok(())))
        .sent(event_1())
        .comes_to(at_once("handlers_panicked").runs(1, 0))
}

fn where_the_sink_fails_the_handler_s_answer_stands_and_the_retry_runs() -> Row {
    let sink = Sink(Err("the disk is full"));
    let failed =
        Said::new(Failed::STATUS, Failed::TEXT).header("content-type", "text/plain; charset=utf-8");
    after(1, fails(), sink)
        .then(says(500).body("own body"))
        .all_sent([event_1(), event_1()])
        .comes_to(
            handled()
                .answers([failed, Said::new(500, "own body")])
                .runs(2, 2)
                .claim(Claim::Free)
                .counts(&[
                    ("authentic", 2),
                    ("authentic_refused", 2),
                    ("authentic_refused_in_a_row", 2),
                    ("dead_letter_errors", 2),
                    ("failed", 2),
                    ("handlers_failed", 2),
                ]),
        )
}
