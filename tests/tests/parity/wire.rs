//! HTTP/1, and what becomes of the connection: the corners that senders and
//! proxies use.

use std::time::Duration;

use dataflow_webhooks::{RejectionKind, SIGNATURE_HEADER};
use tokio::time::{Instant, sleep};
use webhook_tests::{Request, delivery, event, secret};

use crate::came_to::{Claim, Connection, ID, Said, already, handled, refusal, refused};
use crate::play::{Play, event_1};
use crate::scene::{plain, receiver, tells};
use crate::stack::{PATH, Stack};
use crate::table::{Row, rows};

rows![
    each_refusal_of_a_small_delivery_leaves_the_connection_to_the_next,
    a_request_without_a_body_leaves_the_connection_to_the_next,
    a_refused_body_of_the_longest_allowed_leaves_the_connection_to_the_next,
    a_refused_body_that_comes_after_its_head_leaves_the_connection_to_the_next,
    a_refused_body_without_a_declared_length_ends_the_connection,
    a_refused_body_over_the_limit_is_read_on_so_that_its_sender_reads_the_answer,
    the_rest_of_a_refused_body_that_does_not_come_is_not_waited_for,
    behind_expect_a_refusal_comes_at_once,
    behind_expect_too_long_a_body_is_refused_at_once,
    behind_expect_an_authentic_head_is_told_to_continue,
    http_1_0_is_answered_and_its_connection_ends,
    http_1_0_may_keep_its_connection,
    pipelined_requests_are_answered_in_their_order,
    a_chunked_delivery_passes,
    a_delivery_that_comes_byte_by_byte_passes,
    a_chunked_delivery_that_comes_byte_by_byte_passes,
    trailers_are_not_part_of_what_is_signed,
    header_bytes_that_are_no_utf_8_do_no_harm,
    a_compressed_body_is_hashed_as_received_and_not_unpacked,
    what_content_encoding_says_of_the_body_changes_nothing,
];

/// The event, its body another one than was signed.
fn tampered(bytes: usize) -> Request {
    let mut request = Request::signed(vec![b' '; bytes]);
    let mut body = request.body.to_vec();
    body[0] = b'\t';
    request.body = body.into();
    request
}

fn ok() -> Said {
    Said::new(200, "")
}

fn each_refusal_of_a_small_delivery_leaves_the_connection_to_the_next() -> Row {
    use RejectionKind as K;
    let refused = [
        (K::MissingSignature, Request::unsigned(event(ID))),
        (K::RepeatedSignature, event_1().header(SIGNATURE_HEADER, "t=1,v1=")),
        (K::MalformedSignature, Request::unsigned(event(ID)).header(SIGNATURE_HEADER, "v1=")),
        (K::TooOld, Request::signed_with(&secret(), -310, event(ID))),
        (K::TooNew, Request::signed_with(&secret(), 310, event(ID))),
        (K::NoMatch, tampered(400)),
        (K::MethodNotAllowed, event_1().method("PUT")),
        (K::NotAnEvent, Request::signed("[]")),
    ];
    let answers: Vec<_> = refused.iter().flat_map(|(kind, _)| [refusal(*kind), ok()]).collect();
    let mut counts: Vec<_> = refused.iter().map(|(kind, _)| (kind.as_str(), 1)).collect();
    counts.extend([("authentic", 8), ("handled", 8), ("handlers_succeeded", 8)]);
    // The one that is authentic and no event.
    counts.push(("authentic_refused", 1));
    let requests: Vec<_> = refused.into_iter().flat_map(|(_, bad)| [bad, event_1()]).collect();
    plain()
        .without_dedup()
        .all_sent(requests)
        .comes_to(handled().answers(answers).runs(8, 8).claim(Claim::Untouched).counts(&counts))
}

fn a_request_without_a_body_leaves_the_connection_to_the_next() -> Row {
    // Neither of the two says how long its body is: it has none.
    plain()
        .play(async |play| {
            for method in ["GET", "POST"] {
                let head = format!("{method} {PATH} HTTP/1.1\r\nHost: localhost\r\n\r\n");
                play.write(head).await;
                play.read().await;
            }
        })
        .comes_to(
            refused(RejectionKind::MethodNotAllowed)
                .answers([
                    refusal(RejectionKind::MethodNotAllowed),
                    refusal(RejectionKind::MissingSignature),
                ])
                .counts(&[("method_not_allowed", 1), ("missing_signature", 1)]),
        )
}

fn a_refused_body_of_the_longest_allowed_leaves_the_connection_to_the_next() -> Row {
    let longest = 1024 * 1024;
    let unsigned = Request::unsigned(vec![b' '; longest]);
    plain().all_sent([tampered(longest), unsigned, event_1()]).comes_to(
        handled()
            .answers([
                refusal(RejectionKind::NoMatch),
                refusal(RejectionKind::MissingSignature),
                ok(),
            ])
            .counts(&[
                ("authentic", 1),
                ("handled", 1),
                ("handlers_succeeded", 1),
                ("missing_signature", 1),
                ("no_match", 1),
            ]),
    )
}

/// Head and body written apart, a moment between them.
async fn ask_apart(play: &mut Play, request: &Request) {
    play.write(request.head_bytes()).await;
    sleep(Duration::from_millis(2)).await;
    play.write(request.body_bytes()).await;
    play.read().await;
}

fn a_refused_body_that_comes_after_its_head_leaves_the_connection_to_the_next() -> Row {
    let times = [(); 20];
    plain()
        .play(async move |play| {
            for () in times {
                ask_apart(play, &Request::unsigned(vec![b' '; 400])).await;
            }
        })
        .comes_to(
            refused(RejectionKind::MissingSignature)
                .answers(times.map(|()| refusal(RejectionKind::MissingSignature)))
                .counts(&[("missing_signature", 20)]),
        )
}

fn a_refused_body_without_a_declared_length_ends_the_connection() -> Row {
    plain()
        .sent(Request::unsigned(event(ID)).chunked(100))
        .comes_to(refused(RejectionKind::MissingSignature).ends())
}

fn a_refused_body_over_the_limit_is_read_on_so_that_its_sender_reads_the_answer() -> Row {
    let lengths = [1024 * 1024 + 1, 2_000_000, 10_000_000];
    plain()
        .play(async move |play| {
            for (line, length) in lengths.into_iter().enumerate() {
                // All of it before the first read, as Python's http.client does.
                play.on(line).ask(&Request::unsigned(vec![b' '; length])).await;
            }
        })
        .comes_to(
            refused(RejectionKind::MissingSignature)
                .answers(lengths.map(|_| refusal(RejectionKind::MissingSignature).closing()))
                .connection(Connection::Ends)
                .counts(&[("missing_signature", 3)]),
        )
}

fn the_rest_of_a_refused_body_that_does_not_come_is_not_waited_for() -> Row {
    plain()
        .play(async |play| {
            let since = Instant::now();
            play.write(Request::unsigned(vec![b' '; 1000]).head_bytes()).await;
            play.write(b"{").await;
            play.read().await;
            // About one second; the body's own deadline is four.
            let took = since.elapsed();
            assert!(took < Duration::from_millis(3500), "{took:?}");
        })
        .comes_to(refused(RejectionKind::MissingSignature).ends())
}

/// What actix says before any middleware runs.
fn go_on() -> Said {
    Said::new(100, "")
}

const ACTIX_GOES_ON: &str = "actix answers `Expect` before any middleware";

/// The head alone, and the answer to it. Should it be told to go on, the sender
/// does, and reads another answer.
async fn expecting(play: &mut Play, request: Request) {
    let request = request.header("Expect", "100-continue");
    play.write(request.head_bytes()).await;
    play.read_any().await;
    if play.was_told_to_go_on() {
        play.write(request.body_bytes()).await;
        play.read_any().await;
    }
}

fn behind_expect_a_refusal_comes_at_once() -> Row {
    plain()
        .play(async |play| {
            let since = Instant::now();
            expecting(play, Request::unsigned(vec![b' '; 1000])).await;
            let took = since.elapsed();
            // Sooner than the second for which a body would have been read.
            assert!(took < Duration::from_millis(900), "{took:?}");
        })
        .comes_to(refused(RejectionKind::MissingSignature).ends().but_on(
            Stack::Actix,
            ACTIX_GOES_ON,
            |it| {
                it.answers = vec![go_on(), refusal(RejectionKind::MissingSignature)];
                it.connection = Connection::LivesOn;
            },
        ))
}

fn behind_expect_too_long_a_body_is_refused_at_once() -> Row {
    plain()
        .play(async |play| {
            expecting(play, Request::signed(vec![b' '; 1024 * 1024 + 1])).await;
        })
        .comes_to(refused(RejectionKind::BodyTooLarge).ends().but_on(
            Stack::Actix,
            ACTIX_GOES_ON,
            |it| it.answers.insert(0, go_on()),
        ))
}

fn behind_expect_an_authentic_head_is_told_to_continue() -> Row {
    plain()
        .play(async |play| expecting(play, event_1()).await)
        .comes_to(handled().answers([go_on(), ok()]))
}

/// As HTTP/1.0, with these header lines.
fn in_1_0(mut request: Request) -> Request {
    request.version = "HTTP/1.0".into();
    request
}

fn http_1_0_is_answered_and_its_connection_ends() -> Row {
    plain()
        .play(async |play| {
            play.ask(&in_1_0(tampered(400))).await;
            play.on(1).ask(&in_1_0(event_1())).await;
        })
        .comes_to(
            handled()
                .answers([refusal(RejectionKind::NoMatch), ok()])
                .connection(Connection::Ends)
                .counts(&[
                    ("authentic", 1),
                    ("handled", 1),
                    ("handlers_succeeded", 1),
                    ("no_match", 1),
                ]),
        )
}

fn http_1_0_may_keep_its_connection() -> Row {
    let kept = |request| in_1_0(request).header("Connection", "keep-alive");
    let alive = |said: Said| said.header("connection", "keep-alive");
    plain().all_sent([kept(tampered(400)), kept(event_1())]).comes_to(
        handled().answers([alive(refusal(RejectionKind::NoMatch)), alive(ok())]).counts(&[
            ("authentic", 1),
            ("handled", 1),
            ("handlers_succeeded", 1),
            ("no_match", 1),
        ]),
    )
}

fn pipelined_requests_are_answered_in_their_order() -> Row {
    receiver(tells(|delivery| delivery.id().to_owned()))
        .play(async |play| {
            let requests = [event_1(), tampered(300), delivery("evt_2"), event_1()];
            let both = |request: &Request| [request.head_bytes(), request.body_bytes()].concat();
            play.write(requests.iter().map(both).collect::<Vec<_>>().concat()).await;
            for _ in requests {
                play.read().await;
            }
        })
        .comes_to(
            handled()
                .answers([
                    Said::new(200, ID),
                    refusal(RejectionKind::NoMatch),
                    Said::new(200, "evt_2"),
                    already(),
                ])
                .runs(2, 2)
                .claims(&[(ID, Claim::Done), ("evt_2", Claim::Done)])
                .counts(&[
                    ("authentic", 3),
                    ("duplicate", 1),
                    ("handled", 2),
                    ("handlers_succeeded", 2),
                    ("no_match", 1),
                ]),
        )
}

fn a_chunked_delivery_passes() -> Row {
    plain().sent(event_1().chunked(7)).comes_to(handled())
}

async fn write_byte_by_byte(play: &mut Play, request: Request) {
    for byte in [request.head_bytes(), request.body_bytes()].concat() {
        play.write([byte]).await;
    }
    play.read().await;
}

fn a_delivery_that_comes_byte_by_byte_passes() -> Row {
    plain().play(async |play| write_byte_by_byte(play, event_1()).await).comes_to(handled())
}

fn a_chunked_delivery_that_comes_byte_by_byte_passes() -> Row {
    plain()
        .play(async |play| write_byte_by_byte(play, event_1().chunked(1)).await)
        .comes_to(handled())
}

fn trailers_are_not_part_of_what_is_signed() -> Row {
    plain()
        .play(async |play| {
            let request = event_1().chunked(100);
            let body = request.body_bytes();
            play.write(request.head_bytes()).await;
            play.write(&body[..body.len() - 2]).await;
            play.write(b"X-DataFlow-Signature: t=1,v1=00\r\nX-Other: 1\r\n\r\n").await;
            play.read().await;
        })
        .comes_to(handled())
}

fn header_bytes_that_are_no_utf_8_do_no_harm() -> Row {
    plain()
        .sent(event_1().header("X-Other", *b"\xff\xfe").header("User-Agent", *b"\x80"))
        .comes_to(handled())
}

fn a_compressed_body_is_hashed_as_received_and_not_unpacked() -> Row {
    // gzip of "{}": authentic as it stands, and no JSON object.
    const GZIP: &[u8] = b"\x1f\x8b\x08\0\0\0\0\0\0\x03\xab\xae\x05\0\x43\xbf\xa6\xa3\x02\0\0\0";
    plain().sent(Request::signed(GZIP).header("Content-Encoding", "gzip")).comes_to(
        refused(RejectionKind::NotAnEvent).counts(&[
            ("authentic_refused", 1),
            ("authentic_refused_in_a_row", 1),
            ("not_an_event", 1),
        ]),
    )
}

fn what_content_encoding_says_of_the_body_changes_nothing() -> Row {
    plain().sent(event_1().header("Content-Encoding", "gzip")).comes_to(handled())
}
