//! HTTP/2, which each of the servers speaks with prior knowledge: a refusal ends
//! its stream and nothing else.

use std::io;
use std::time::Duration;

use dataflow_webhooks::{RejectionKind, SIGNATURE_HEADER};
use tokio::task::JoinSet;
use tokio::time::Instant;
use webhook_tests::{Request, delivery, event};

use crate::came_to::{
    CameTo, Claim, Connection, ID, Said, already, handled, not_handled, refusal, refused, repeated,
    retried, try_again,
};
use crate::play::event_1;
use crate::scene::{panics, plain, receiver, says, tells};
use crate::stack::{Gone, Stack};
use crate::table::{Row, rows};

rows![
    over_http_2_a_delivery_passes_and_its_duplicate_does_not_run,
    over_http_2_each_refusal_leaves_the_connection_to_the_next,
    over_http_2_a_body_that_is_not_complete_in_time_ends_its_stream_alone,
    over_http_2_streams_beside_each_other_are_told_apart,
    over_http_2_a_body_without_a_declared_length_passes,
    over_http_2_behind_expect_a_refusal_comes_at_once,
    over_http_2_behind_expect_a_delivery_passes,
    over_http_2_a_late_handler_is_answered_503_and_the_retry_does_not_run,
    over_http_2_a_panic_ends_its_stream_alone,
    over_http_2_a_handler_whose_stream_is_reset_runs_to_its_end,
    over_http_2_a_handler_whose_connection_is_closed_runs_to_its_end,
];

const ACTIX_RUNS_STREAMS: &str =
    "actix hears that a stream, or its connection, is gone when it writes the answer";

fn ok() -> Said {
    Said::new(200, "")
}

fn over_http_2_a_delivery_passes_and_its_duplicate_does_not_run() -> Row {
    receiver(tells(|delivery| delivery.id().to_owned()))
        .play(async |play| {
            play.http2().await.ask(&event_1()).await;
            play.ask(&event_1()).await;
        })
        .comes_to(repeated(Said::new(200, ID)))
}

fn over_http_2_each_refusal_leaves_the_connection_to_the_next() -> Row {
    use RejectionKind as K;
    let refused = [
        (K::MissingSignature, Request::unsigned(event(ID))),
        (K::RepeatedSignature, event_1().header(SIGNATURE_HEADER, "t=1,v1=")),
        (K::MethodNotAllowed, event_1().method("PUT")),
        (K::NotAnEvent, Request::signed("[]")),
        (K::BodyTooLarge, Request::signed(vec![b' '; 1024 * 1024 + 1])),
        (K::MissingSignature, Request::unsigned(vec![b' '; 10_000_000])),
    ];
    let answers: Vec<_> = refused.iter().flat_map(|(kind, _)| [refusal(*kind), ok()]).collect();
    let requests: Vec<_> = refused.into_iter().flat_map(|(_, bad)| [bad, event_1()]).collect();
    plain()
        .without_dedup()
        .play(async move |play| {
            play.http2().await;
            for request in &requests {
                play.ask(request).await;
            }
        })
        .comes_to(handled().answers(answers).runs(6, 6).claim(Claim::Untouched).counts(&[
            ("authentic", 6),
            ("authentic_refused", 1),
            ("body_too_large", 1),
            ("handled", 6),
            ("handlers_succeeded", 6),
            ("method_not_allowed", 1),
            ("missing_signature", 2),
            ("not_an_event", 1),
            ("repeated_signature", 1),
        ]))
}

fn over_http_2_a_body_that_is_not_complete_in_time_ends_its_stream_alone() -> Row {
    plain()
        .with(|builder| builder.body_within(Duration::from_millis(200)))
        .play(async |play| {
            let answer = play.http2().await.streams().await.send_part(&event_1(), 100).await;
            play.note(answer.map_err(io::Error::other));
        })
        .comes_to(refused(RejectionKind::BodyTimeout))
}

fn over_http_2_streams_beside_each_other_are_told_apart() -> Row {
    // Two streams for each event, one of ten with another body than was signed.
    let requests: Vec<_> = (0..100)
        .map(|number| {
            let mut request = delivery(&format!("evt_{}", number / 2));
            if number % 10 == 9 {
                request.body = event("evt_tampered");
            }
            request
        })
        .collect();
    let answers = [vec![ok(); 50], vec![already(); 40], vec![refusal(RejectionKind::NoMatch); 10]];
    plain()
        .play(async move |play| {
            let streams = play.http2().await.streams().await;
            let mut answering = JoinSet::new();
            for request in &requests {
                answering.spawn(streams.send(request));
            }
            for answer in answering.join_all().await {
                play.note(answer.map_err(io::Error::other));
            }
            play.sort_answers();
        })
        .comes_to(handled().answers(answers.concat()).runs(50, 50).counts(&[
            ("authentic", 90),
            ("duplicate", 40),
            ("handled", 50),
            ("handlers_succeeded", 50),
            ("no_match", 10),
        ]))
}

fn over_http_2_a_body_without_a_declared_length_passes() -> Row {
    plain()
        .play(async |play| {
            let answer = play.http2().await.streams().await.send_undeclared(&event_1()).await;
            play.note(answer.map_err(io::Error::other));
        })
        .comes_to(handled())
}

fn behind_expect(request: Request) -> Request {
    request.header("Expect", "100-continue")
}

fn over_http_2_behind_expect_a_refusal_comes_at_once() -> Row {
    plain()
        .play(async |play| {
            let request = behind_expect(Request::unsigned(vec![b' '; 1000]));
            let since = Instant::now();
            let answer = play.http2().await.streams().await.send_part(&request, 0).await;
            let took = since.elapsed();
            // Sooner than the second for which a body would have been read.
            assert!(took < Duration::from_millis(900), "{took:?}");
            play.note(answer.map_err(io::Error::other));
        })
        .comes_to(refused(RejectionKind::MissingSignature))
}

fn over_http_2_behind_expect_a_delivery_passes() -> Row {
    plain()
        .play(async |play| play.http2().await.ask(&behind_expect(event_1())).await)
        .comes_to(handled())
}

fn over_http_2_a_late_handler_is_answered_503_and_the_retry_does_not_run() -> Row {
    receiver(says(200).gated())
        .quick()
        .play(async |play| {
            play.http2().await.ask(&event_1()).await;
            play.let_go(1);
            play.settled().await;
            play.ask(&event_1()).await;
        })
        .comes_to(handled().answers([try_again(), already()]).counts(&[
            ("authentic", 2),
            ("authentic_refused", 1),
            ("duplicate", 1),
            ("handlers_succeeded", 1),
            ("late", 1),
        ]))
}

fn over_http_2_a_panic_ends_its_stream_alone() -> Row {
    receiver(panics())
        .then(says(200))
        .play(async |play| {
            play.http2().await.ask(&event_1()).await;
            play.ask(&event_1()).await;
        })
        .comes_to(retried(not_handled(), "panicked", "handlers_panicked").runs(2, 1))
}

fn over_http_2_a_handler_whose_stream_is_reset_runs_to_its_end() -> Row {
    receiver(says(200).gated())
        .play(async |play| {
            let answering = play.http2().await.streams().await.send(&event_1());
            play.begun(1).await;
            drop(answering);
            play.leave(Gone::Stream).await;
            play.let_go(1);
            play.settled().await;
            // Only the stream was reset.
            play.ask(&delivery(ID)).await;
        })
        .comes_to(
            handled()
                .says(already())
                .counts(&[
                    ("authentic", 2),
                    ("authentic_refused", 1),
                    ("duplicate", 1),
                    ("handlers_succeeded", 1),
                    ("hung_up", 1),
                ])
                .but_on(Stack::Actix, ACTIX_RUNS_STREAMS, CameTo::handled_instead_of_hung_up),
        )
}

fn over_http_2_a_handler_whose_connection_is_closed_runs_to_its_end() -> Row {
    receiver(says(200).gated())
        .play(async |play| {
            let answering = play.http2().await.streams().await.send(&event_1());
            play.begun(1).await;
            play.leave(Gone::Closed).await;
            drop(answering);
            play.let_go(1);
            play.settled().await;
        })
        .comes_to(
            handled()
                .answers([])
                .connection(Connection::Gone)
                .counts(&[
                    ("authentic", 1),
                    ("authentic_refused", 1),
                    ("authentic_refused_in_a_row", 1),
                    ("handlers_succeeded", 1),
                    ("hung_up", 1),
                ])
                .but_on(Stack::Actix, ACTIX_RUNS_STREAMS, CameTo::handled_instead_of_hung_up),
        )
}
