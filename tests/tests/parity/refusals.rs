//! What is refused before a claim: none of it reaches the store, and none runs.

use std::time::Duration;

use bytes::Bytes;
use dataflow_webhooks::{RejectionKind, StoreOperation, UnverifiedBudget};
use webhook_tests::{Request, event};

use crate::came_to::{Claim, Connection, ID, Said, handled, refusal, refused, try_again};
use crate::play::event_1;
use crate::scene::{plain, receiver, says};
use crate::stack::{Gone, Stack};
use crate::table::{Row, Unfinished, rows};

rows![
    every_method_but_post_is_answered_405,
    a_head_is_answered_405_without_a_body,
    the_method_is_looked_at_before_the_signature,
    a_draining_endpoint_answers_503_whatever_the_signature,
    an_endpoint_that_begins_to_drain_inside_a_body_answers_503,
    too_many_running_handlers_are_answered_503,
    too_many_pending_commits_are_answered_503_until_the_store_is_back,
    too_many_unverified_bytes_are_answered_503_while_a_small_delivery_passes,
    a_declared_length_over_the_limit_is_answered_413,
    a_chunked_body_over_the_limit_is_answered_413,
    a_body_of_exactly_the_limit_passes,
    a_body_that_is_not_complete_in_time_is_answered_408,
    a_body_that_breaks_off_is_answered_400,
    a_sender_that_ends_inside_the_body_and_still_reads_is_answered_400,
    a_sender_that_closes_inside_the_body_leaves_nothing_behind,
    a_sender_that_resets_inside_the_body_leaves_nothing_behind,
    an_authentic_body_that_is_no_json_object_is_answered_422,
    an_odd_json_object_passes,
];

fn every_method_but_post_is_answered_405() -> Row {
    let methods = ["GET", "PUT", "PATCH", "DELETE", "PROPFIND", "post"];
    plain().all_sent(methods.map(|method| event_1().method(method))).comes_to(
        refused(RejectionKind::MethodNotAllowed)
            .answers(methods.map(|_| refusal(RejectionKind::MethodNotAllowed)))
            .counts(&[("method_not_allowed", 6)]),
    )
}

fn a_head_is_answered_405_without_a_body() -> Row {
    plain()
        .play(async |play| {
            play.send(&Request::unsigned("").method("HEAD")).await;
            play.read_head().await;
        })
        .comes_to(
            refused(RejectionKind::MethodNotAllowed)
                .says(Said { body: String::new(), ..refusal(RejectionKind::MethodNotAllowed) }),
        )
}

fn the_method_is_looked_at_before_the_signature() -> Row {
    plain()
        .sent(Request::unsigned("{}").method("PUT"))
        .comes_to(refused(RejectionKind::MethodNotAllowed))
}

fn a_draining_endpoint_answers_503_whatever_the_signature() -> Row {
    plain()
        .play(async |play| {
            play.drain().await;
            play.ask(&event_1()).await;
            play.ask(&Request::unsigned("{}")).await;
        })
        .comes_to(
            refused(RejectionKind::Draining)
                .answers([try_again(), try_again()])
                .counts(&[("draining", 2)]),
        )
}

fn an_endpoint_that_begins_to_drain_inside_a_body_answers_503() -> Row {
    plain()
        .play(async |play| {
            let request = event_1();
            let (first, rest) = request.body.split_at(100);
            play.write(request.head_bytes()).await;
            play.write(first).await;
            play.counted("unverified_bytes", 100).await;
            play.drain().await;
            play.write(rest).await;
            play.read().await;
        })
        .comes_to(refused(RejectionKind::Draining).counts(&[
            ("authentic", 1),
            ("authentic_refused", 1),
            ("authentic_refused_in_a_row", 1),
            ("draining", 1),
        ]))
}

fn too_many_running_handlers_are_answered_503() -> Row {
    receiver(says(200).gated())
        .with(|builder| builder.max_running(1))
        .play(async |play| {
            play.send(&event_1()).await;
            play.begun(1).await;
            play.on(1).deliver("evt_2").await;
            play.let_go(1);
            play.on(0).read().await;
            // The connection of the one that was refused lives on.
            play.on(1);
        })
        .comes_to(
            handled()
                .answers([try_again(), Said::new(200, "")])
                .claims(&[(ID, Claim::Done), ("evt_2", Claim::Free)])
                .counts(&[
                    ("authentic", 2),
                    ("authentic_refused", 1),
                    ("handled", 1),
                    ("handlers_succeeded", 1),
                    ("too_many_running", 1),
                ]),
        )
}

fn too_many_pending_commits_are_answered_503_until_the_store_is_back() -> Row {
    plain()
        .with(|builder| builder.max_pending_commits(1))
        .play(async |play| {
            play.store.fail(StoreOperation::Commit, usize::MAX);
            play.ask(&event_1()).await;
            play.deliver("evt_2").await;
            play.store.fail(StoreOperation::Commit, 0);
            play.settled().await;
            play.deliver("evt_2").await;
        })
        .comes_to(
            handled()
                .answers([Said::new(200, ""), try_again(), Said::new(200, "")])
                .runs(2, 2)
                .claims(&[(ID, Claim::Done), ("evt_2", Claim::Done)])
                .counts(&[
                    ("authentic", 3),
                    ("authentic_refused", 1),
                    ("handled", 2),
                    ("handlers_succeeded", 2),
                    ("too_many_pending", 1),
                ])
                .uncounted("store_errors_commit"),
        )
}

fn padded(id: &str, bytes: usize) -> Bytes {
    let mut body = event(id).to_vec();
    body.resize(bytes, b' ');
    body.into()
}

fn too_many_unverified_bytes_are_answered_503_while_a_small_delivery_passes() -> Row {
    let budget = UnverifiedBudget::new(64 * 1024);
    plain()
        .with(|builder| builder.max_body_bytes(64 * 1024).unverified_budget(budget))
        .play(async |play| {
            // Somebody holds most of the budget with a body that does not end.
            let flood = Request::signed(vec![b' '; 60 * 1024]);
            play.write(flood.head_bytes()).await;
            play.write(&flood.body[..50 * 1024]).await;
            play.counted("unverified_bytes", 50 * 1024).await;
            play.on(1).ask(&Request::signed(padded("evt_2", 20 * 1024))).await;
            play.ask(&Request::signed(padded(ID, 16 * 1024))).await;
        })
        .comes_to(
            handled()
                .answers([try_again(), Said::new(200, "")])
                .claims(&[(ID, Claim::Done), ("evt_2", Claim::Free)])
                .counts(&[
                    ("authentic", 1),
                    ("handled", 1),
                    ("handlers_succeeded", 1),
                    ("too_many_bytes", 1),
                    ("unverified_bytes", 50 * 1024),
                ]),
        )
}

fn a_declared_length_over_the_limit_is_answered_413() -> Row {
    plain()
        .with(|builder| builder.max_body_bytes(4096))
        .sent(Request::signed(padded(ID, 4097)))
        .comes_to(refused(RejectionKind::BodyTooLarge).ends())
}

fn a_chunked_body_over_the_limit_is_answered_413() -> Row {
    plain()
        .with(|builder| builder.max_body_bytes(4096))
        .sent(Request::signed(padded(ID, 4097)).chunked(1000))
        .comes_to(refused(RejectionKind::BodyTooLarge).ends())
}

fn a_body_of_exactly_the_limit_passes() -> Row {
    let (declared, chunked) = (padded(ID, 4096), padded("evt_2", 4096));
    plain()
        .with(|builder| builder.max_body_bytes(4096))
        .all_sent([Request::signed(declared), Request::signed(chunked).chunked(1000)])
        .comes_to(
            handled()
                .answers([Said::new(200, ""), Said::new(200, "")])
                .runs(2, 2)
                .claims(&[(ID, Claim::Done), ("evt_2", Claim::Done)])
                .counts(&[("authentic", 2), ("handled", 2), ("handlers_succeeded", 2)]),
        )
}

fn a_body_that_is_not_complete_in_time_is_answered_408() -> Row {
    plain()
        .with(|builder| builder.body_within(Duration::from_millis(200)))
        .play(async |play| {
            let request = event_1();
            play.write(request.head_bytes()).await;
            play.write(&request.body[..10]).await;
            play.read().await;
        })
        .comes_to(refused(RejectionKind::BodyTimeout).ends())
}

fn a_body_that_breaks_off_is_answered_400() -> Row {
    plain()
        .play(async |play| {
            play.write(event_1().chunked(100).head_bytes()).await;
            play.write(b"5\r\n{\"id\"\r\nno length\r\n").await;
            play.read().await;
        })
        .comes_to(refused(RejectionKind::BodyLost).ends())
}

/// The sender has written a part of the body.
fn is_left_inside_the_body(gone: Gone) -> Unfinished {
    plain().play(async move |play| {
        let request = event_1();
        play.write(request.head_bytes()).await;
        play.write(&request.body[..100]).await;
        play.counted("unverified_bytes", 100).await;
        match gone {
            Gone::Half => play.finish().await,
            Gone::Reset => play.reset().await,
            _ => play.close().await,
        }
        if gone == Gone::Half {
            play.read().await;
        }
    })
}

fn a_sender_that_ends_inside_the_body_and_still_reads_is_answered_400() -> Row {
    is_left_inside_the_body(Gone::Half).comes_to(refused(RejectionKind::BodyLost).ends())
}

fn a_sender_that_closes_inside_the_body_leaves_nothing_behind() -> Row {
    is_left_inside_the_body(Gone::Closed)
        .comes_to(refused(RejectionKind::BodyLost).answers([]).connection(Connection::Gone))
}

fn a_sender_that_resets_inside_the_body_leaves_nothing_behind() -> Row {
    is_left_inside_the_body(Gone::Reset).comes_to(
        refused(RejectionKind::BodyLost).answers([]).connection(Connection::Gone).but_on(
            Stack::Actix,
            "actix drops a request at the reset, and its body tells nobody",
            |it| it.counts.clear(),
        ),
    )
}

fn an_authentic_body_that_is_no_json_object_is_answered_422() -> Row {
    let bodies: [&'static [u8]; 9] = [
        b"",
        b"[{\"id\":\"evt_1\"}]",
        b"\"evt_1\"",
        b"null",
        b"{\"id\":\"evt_1\"",
        b"{\"id\":\"evt_1\"}{}",
        b"{\"id\":\"evt_1\",\"data\":\"\xff\"}",
        b"{\"id\":\"evt_1\",\"id\":\"evt_2\"}",
        b"{\"id\":\"evt_1\",\"type\":\"a\",\"type\":\"b\"}",
    ];
    plain().all_sent(bodies.map(Request::signed)).comes_to(
        refused(RejectionKind::NotAnEvent)
            .answers(bodies.map(|_| refusal(RejectionKind::NotAnEvent)))
            // The platform tries again, and disables the webhook after five.
            .counts(&[
                ("authentic_refused", 9),
                ("authentic_refused_in_a_row", 9),
                ("not_an_event", 9),
            ]),
    )
}

fn an_odd_json_object_passes() -> Row {
    let bodies = [
        "{}",
        r#"{"id":7,"type":null,"created_at":"soon","data":[],"metadata":3}"#,
        r#"{"id":"","type":"pipeline.run.cancelled","new":{"field":1e400}}"#,
        r#"{"id":"evt_1","type":"pipeline.run.completed","data":{"records_processed":"many"}}"#,
    ];
    plain().all_sent(bodies.map(Request::signed)).comes_to(
        handled().answers(bodies.map(|_| Said::new(200, ""))).runs(4, 4).counts(&[
            ("authentic", 4),
            ("handled", 4),
            ("handlers_succeeded", 4),
            ("mismatched", 1),
        ]),
    )
}
