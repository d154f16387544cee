//! Thousands of requests that nobody would send: none makes anything panic, and
//! the receiver answers the next honest one. CVE-2023-50728 (octokit).
//!
//! A program of its own, for the panic hook is the whole process's.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::routing::any;
use dataflow_webhooks::testing::Sample;
use dataflow_webhooks::{RejectionKind, SIGNATURE_HEADER, sign};
use dataflow_webhooks_axum::{WebhookDelivery, WebhookLayer};
use jiff::{SignedDuration, Timestamp};
use tokio::task::JoinSet;
use webhook_tests::{Chance, Receiver, Request, Wire, endpoint, panics, secret, watch_for_panics};

const WIRES: u64 = 16;
const REQUESTS: usize = 250;

/// A handler that looks at all there is to see.
async fn look(WebhookDelivery(delivery): WebhookDelivery) -> String {
    let event = delivery.event();
    let data = delivery.data::<serde_json::Value>();
    let written = serde_json::to_string(&event).unwrap();
    format!(
        "{delivery:?} {event:?} {data:?} {written} {:?} {:?}",
        delivery.skew(),
        delivery.dedup_key()
    )
}

async fn receiver() -> (Receiver, dataflow_webhooks::Endpoint) {
    let soon = Duration::from_millis(300);
    let endpoint = endpoint().body_within(soon).max_body_bytes(64 * 1024).build().unwrap();
    let route = any(look).layer(WebhookLayer::new(endpoint.clone()));
    (Receiver::start(Router::new().route("/webhooks/dataflow", route)).await, endpoint)
}

/// Signed, and its body is anything: what nobody who lacks the secret can send,
/// but the platform's own bugs could.
fn strange_event(chance: &mut Chance) -> Request {
    let samples: Vec<_> = Sample::all().collect();
    let body = chance.one_of(&samples).body();
    let numbers = ["1e400", "-0", "18446744073709551616", "1e-400", "0.1", "-9223372036854775809"];
    let body = match chance.below(6) {
        0 => {
            let count = chance.below(300);
            chance.bytes(count)
        }
        1 => vec![*chance.one_of(b"[{\"0 \x00\xff"); chance.below(20_000)],
        2 => {
            let (number, text) = (chance.one_of(&numbers), String::from_utf8_lossy(&body));
            let digits = |c: char| c.is_ascii_digit();
            let at = text.match_indices(digits).nth(chance.below(60)).map_or(1, |(at, _)| at);
            format!("{}{number}{}", &text[..at], &text[at..]).into_bytes()
        }
        3 => {
            let deep = chance.below(2000);
            format!("{{\"id\":{}1{}}}", "[".repeat(deep), "]".repeat(deep)).into_bytes()
        }
        _ => chance.mutated(&body),
    };
    Request::signed(body)
}

/// A header that may or may not keep to the grammar, over a good body.
fn strange_header(chance: &mut Chance) -> Request {
    let body = Sample::of("connection.created").body();
    let at = Timestamp::now() + SignedDuration::from_secs(chance.below(1000) as i64 - 500);
    let good = sign(&secret(), at, &body);
    let pieces =
        [&*good, &good[..12], &good[12..], ",", "=", "t=", "v1=", " ", "\t", "\u{e9}", "v0=a"];
    let value = match chance.below(4) {
        0 => chance.mutated(good.as_bytes()),
        1 => {
            let count = chance.below(200);
            chance.bytes(count)
        }
        2 => (0..chance.below(40)).map(|_| *chance.one_of(&pieces)).collect::<String>().into(),
        _ => {
            let number = chance.number() >> chance.below(64);
            format!("t={}{number},{}", chance.one_of(&["", "-", "+", "0"]), &good[13..]).into()
        }
    };
    // What a header cannot hold would end the head.
    let value: Vec<u8> = value.into_iter().filter(|byte| !b"\r\n\0".contains(byte)).collect();
    let mut request = Request::unsigned(body);
    for _ in 0..=chance.below(8) / 7 {
        request = request.header(SIGNATURE_HEADER, value.clone());
    }
    request
}

/// The framing says something else than the body, or the method does.
fn strange_framing(chance: &mut Chance) -> Request {
    let mut request = Request::signed(Sample::of("pipeline.deleted").body());
    match chance.below(4) {
        0 => request.content_length = Some(chance.number() >> chance.below(64)),
        1 => request.chunked = Some(chance.below(300)),
        2 => request = request.header("Expect", "100-continue").chunked(chance.below(99)),
        _ => request.method = (*chance.one_of(&["GET", "PUT", "TRACE", "post", "POSTS"])).into(),
    }
    request
}

/// Sends these bytes and nothing more, and waits until there is an answer or
/// there can be none.
async fn sent(to: SocketAddr, bytes: &[u8], ends: bool) -> Option<u16> {
    let mut wire = Wire::connect(to).await.unwrap();
    // The other side may have had enough of it before its end.
    let written = wire.write(bytes).await;
    if ends && written.is_ok() {
        let _ = wire.finish().await;
    }
    wire.answer().await.ok().map(|answer| answer.status)
}

async fn hostile(to: SocketAddr, mut chance: Chance) -> Vec<Option<u16>> {
    let mut answers = Vec::with_capacity(REQUESTS);
    for _ in 0..REQUESTS {
        let request = match chance.below(8) {
            0..4 => strange_event(&mut chance),
            4..7 => strange_header(&mut chance),
            _ => strange_framing(&mut chance),
        };
        let mut written = [request.head_bytes(), request.body_bytes()].concat();
        // Broken anywhere, the other side may wait for more: that is the end.
        let broken = chance.below(4) == 0;
        if broken {
            written = chance.mutated(&written);
        }
        answers.push(sent(to, &written, broken).await);
    }
    answers
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_makes_anything_panic() {
    watch_for_panics();
    let seed = Chance::seed_of_this_run();
    let (receiver, endpoint) = receiver().await;
    let mut wires = JoinSet::new();
    for number in 0..WIRES {
        let chance = Chance::from_seed(seed.wrapping_add(number));
        wires.spawn(hostile(receiver.address(), chance));
    }
    let answers = wires.join_all().await.concat();

    let honest = Request::signed(Sample::of("pipeline.created").body());
    let mut answer = honest.send(receiver.address()).await.unwrap();
    // Its body is due soon, too soon for a machine that stands still: as the platform does.
    for _ in 0..5 {
        if answer.status == 408 {
            answer = honest.send(receiver.address()).await.unwrap();
        }
    }
    assert_eq!(answer.status, 200);
    assert_eq!(panics(), [""; 0], "WEBHOOK_TESTS_SEED={seed}");

    // Each part of the receiver was reached, or nothing has been tested.
    let of = |status| answers.iter().filter(|answer| **answer == Some(status)).count();
    let counts = endpoint.counts();
    let kinds: Vec<_> =
        RejectionKind::ALL.iter().map(|kind| (kind.as_str(), counts.rejected(*kind))).collect();
    let unanswered = answers.iter().filter(|answer| answer.is_none()).count();
    eprintln!("{} answered 200, {unanswered} not at all; {kinds:?}", of(200));
    for status in [200, 400, 401, 405, 413, 422] {
        assert!(of(status) > 0, "no request was answered {status}; WEBHOOK_TESTS_SEED={seed}");
    }
    let known = [200, 400, 401, 404, 405, 408, 413, 414, 422, 431, 505];
    let odd = answers.iter().flatten().find(|status| !known.contains(*status));
    assert_eq!(odd, None, "WEBHOOK_TESTS_SEED={seed}");
    assert_eq!((counts.unverified_bytes, counts.running), (0, 0));
}
