//! What becomes of the connection: when it lives on after a refusal, when it
//! ends, and the corners of HTTP/1 that senders and proxies use.

use std::time::Duration;

use axum::http::StatusCode;
use dataflow_webhooks::{Delivery, SIGNATURE_HEADER};
use tokio::time::Instant;
use webhook_tests::{Request, Served, Wire, delivery, endpoint, event, secret};

async fn served() -> Served {
    Served::start(endpoint(), |_| async {}).await
}

/// The connection carries one more delivery.
async fn assert_usable(wire: &mut Wire, id: &str) {
    wire.send(&delivery(id)).await.unwrap();
    let answer = wire.answer().await.unwrap();
    assert_eq!((answer.status, answer.closes()), (200, false), "{id}");
}

async fn assert_closed(mut wire: Wire) {
    assert!(wire.is_closed_within(Duration::from_secs(5)).await);
}

fn tampered(bytes: usize) -> Request {
    let mut request = Request::signed(vec![b' '; bytes]);
    let mut body = request.body.to_vec();
    body[0] = b'\t';
    request.body = body.into();
    request
}

#[tokio::test]
async fn each_refusal_of_a_small_delivery_leaves_the_connection_to_the_next() {
    let served = served().await;
    let refused = [
        ("missing", 401, Request::unsigned(event("evt_0"))),
        ("repeated", 401, delivery("evt_0").header(SIGNATURE_HEADER, "t=1,v1=")),
        ("malformed", 401, Request::unsigned(event("evt_0")).header(SIGNATURE_HEADER, "v1=")),
        ("stale", 401, Request::signed_with(&secret(), -310, event("evt_0"))),
        ("future", 401, Request::signed_with(&secret(), 310, event("evt_0"))),
        ("no match", 401, tampered(400)),
        ("wrong method", 405, delivery("evt_0").method("PUT")),
        ("no event", 422, Request::signed("[]")),
    ];
    let mut wire = served.connect().await;
    for (what, status, request) in refused {
        wire.send(&request).await.unwrap();
        let answer = wire.answer().await.unwrap();
        assert_eq!((answer.status, answer.closes()), (status, false), "{what}");
        assert_usable(&mut wire, what).await;
    }
}

#[tokio::test]
async fn a_refused_store_leaves_the_connection_to_the_next() {
    let served = served().await;
    served.store.fail(dataflow_webhooks::StoreOperation::Claim, 1);
    let mut wire = served.connect().await;
    wire.send(&delivery("evt_1")).await.unwrap();
    let answer = wire.answer().await.unwrap();
    assert!(answer.is_try_again() && !answer.closes());
    assert_usable(&mut wire, "evt_1").await;
}

#[tokio::test]
async fn a_refusal_whose_body_is_the_longest_allowed_leaves_the_connection_to_the_next() {
    let served = served().await;
    let mut wire = served.connect().await;
    for (id, request) in
        [("evt_1", tampered(1024 * 1024)), ("evt_2", Request::unsigned(vec![b' '; 1024 * 1024]))]
    {
        wire.send(&request).await.unwrap();
        let answer = wire.answer().await.unwrap();
        assert_eq!((answer.status, answer.closes()), (401, false));
        assert_usable(&mut wire, id).await;
    }
}

#[tokio::test]
async fn a_sender_that_writes_head_and_body_apart_reads_its_refusal_every_time() {
    let served = served().await;
    for _ in 0..20 {
        let mut wire = served.connect().await;
        let request = Request::unsigned(vec![b' '; 400]);
        wire.write(&request.head_bytes()).await.unwrap();
        tokio::time::sleep(Duration::from_millis(2)).await;
        wire.write(&request.body).await.unwrap();
        assert_eq!(wire.answer().await.unwrap().status, 401);
        assert_usable(&mut wire, "evt_1").await;
    }
}

#[tokio::test]
async fn a_refused_body_without_a_declared_length_ends_the_connection() {
    let served = served().await;
    let mut wire = served.connect().await;
    wire.send(&Request::unsigned(event("evt_1")).chunked(100)).await.unwrap();
    let answer = wire.answer().await.unwrap();
    assert_eq!((answer.status, answer.closes()), (401, true));
    assert_closed(wire).await;
}

#[tokio::test]
async fn a_refused_body_over_the_limit_is_read_on_so_that_its_sender_reads_the_answer() {
    let served = served().await;
    for body in [1024 * 1024 + 1, 2_000_000, 10_000_000] {
        let mut wire = served.connect().await;
        // All of it before the first read, as Python's http.client does.
        wire.send(&Request::unsigned(vec![b' '; body])).await.unwrap();
        let answer = wire.answer().await.unwrap();
        assert_eq!((answer.status, answer.closes()), (401, true), "{body}");
        assert_closed(wire).await;
    }
}

#[tokio::test]
async fn the_rest_of_a_refused_body_that_does_not_come_is_not_waited_for() {
    let served = served().await;
    let mut wire = served.connect().await;
    let request = Request::unsigned(vec![b' '; 1000]);
    let started = Instant::now();
    wire.write(&request.head_bytes()).await.unwrap();
    wire.write(b"{").await.unwrap();
    let answer = wire.answer().await.unwrap();
    assert_eq!((answer.status, answer.closes()), (401, true));
    // About one second; the body's own deadline is four.
    assert!(started.elapsed() < Duration::from_millis(3500));
    assert_closed(wire).await;
}

#[tokio::test]
async fn behind_expect_a_refusal_comes_at_once_and_ends_the_connection() {
    let served = served().await;
    for (status, request) in [
        (401, Request::unsigned(vec![b' '; 1000])),
        (413, Request::signed(vec![b' '; 1024 * 1024 + 1])),
        (405, delivery("evt_1").method("PUT")),
    ] {
        let mut wire = served.connect().await;
        let started = Instant::now();
        wire.write(&request.header("Expect", "100-continue").head_bytes()).await.unwrap();
        let answer = wire.any_answer().await.unwrap();
        assert_eq!((answer.status, answer.closes()), (status, true));
        // Sooner than the second for which a body would have been read.
        assert!(started.elapsed() < Duration::from_millis(900), "{status}");
        assert_closed(wire).await;
    }
}

#[tokio::test]
async fn behind_expect_an_authentic_head_is_told_to_continue() {
    let served = served().await;
    let mut wire = served.connect().await;
    let request = delivery("evt_1").header("Expect", "100-continue");
    wire.write(&request.head_bytes()).await.unwrap();
    assert_eq!(wire.any_answer().await.unwrap().status, 100);
    wire.write(&request.body_bytes()).await.unwrap();
    assert_eq!(wire.answer().await.unwrap().status, 200);
    assert_usable(&mut wire, "evt_2").await;
}

#[tokio::test]
async fn http_1_0_is_answered_like_1_1() {
    let served = served().await;
    for (status, mut request) in [(200, delivery("evt_1")), (401, tampered(400))] {
        request.version = "HTTP/1.0".into();
        let mut wire = served.connect().await;
        wire.send(&request).await.unwrap();
        assert_eq!(wire.answer().await.unwrap().status, status);
        assert_closed(wire).await;
    }
    assert_eq!(served.runs.ended("evt_1"), 1);
}

#[tokio::test]
async fn http_1_0_may_keep_its_connection() {
    let served = served().await;
    let mut wire = served.connect().await;
    for (status, mut request) in [(401, tampered(400)), (200, delivery("evt_1"))] {
        request.version = "HTTP/1.0".into();
        wire.send(&request.header("Connection", "keep-alive")).await.unwrap();
        let answer = wire.answer().await.unwrap();
        assert_eq!((answer.status, answer.closes()), (status, false));
    }
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_their_order() {
    let served =
        Served::start(endpoint(), |delivery: Delivery| async move { delivery.id().to_owned() })
            .await;
    let requests = [delivery("evt_1"), tampered(300), delivery("evt_2"), delivery("evt_1")];
    let mut written = Vec::new();
    for request in &requests {
        written.extend(request.head_bytes());
        written.extend(request.body_bytes());
    }
    let mut wire = served.connect().await;
    wire.write(&written).await.unwrap();
    let mut answers = Vec::new();
    for _ in &requests {
        let answer = wire.answer().await.unwrap();
        answers.push((answer.status, answer.text()));
    }
    let expected = [
        (200, "evt_1"),
        (401, "the signature was not accepted\n"),
        (200, "evt_2"),
        (200, "already handled\n"),
    ];
    assert_eq!(answers, expected.map(|(status, text)| (status, text.to_owned())));
}

#[tokio::test]
async fn a_delivery_that_comes_byte_by_byte_passes() {
    let served = served().await;
    for (id, chunks) in [("evt_1", None), ("evt_2", Some(1))] {
        let mut request = delivery(id);
        request.chunked = chunks;
        let mut wire = served.connect().await;
        for byte in [request.head_bytes(), request.body_bytes()].concat() {
            wire.write(&[byte]).await.unwrap();
        }
        assert_eq!(wire.answer().await.unwrap().status, 200);
        assert_eq!(served.runs.ended(id), 1);
    }
}

#[tokio::test]
async fn trailers_are_not_part_of_what_is_signed() {
    let served = served().await;
    let request = delivery("evt_1").chunked(100);
    let mut wire = served.connect().await;
    wire.write(&request.head_bytes()).await.unwrap();
    let body = request.body_bytes();
    wire.write(&body[..body.len() - 2]).await.unwrap();
    wire.write(b"X-DataFlow-Signature: t=1,v1=00\r\nX-Other: 1\r\n\r\n").await.unwrap();
    assert_eq!(wire.answer().await.unwrap().status, 200);
    assert_usable(&mut wire, "evt_2").await;
}

#[tokio::test]
async fn header_bytes_that_are_no_utf_8_do_no_harm() {
    let served = served().await;
    let mut wire = served.connect().await;
    let request = delivery("evt_1").header("X-Other", *b"\xff\xfe").header("User-Agent", *b"\x80");
    wire.send(&request).await.unwrap();
    assert_eq!(wire.answer().await.unwrap().status, 200);
}

#[tokio::test]
async fn a_get_of_a_post_route_is_axums_own_405_and_another_path_its_own_404() {
    let endpoint = endpoint().build().unwrap();
    let layer = dataflow_webhooks_axum::WebhookLayer::new(endpoint.clone());
    let route = axum::routing::post(|| async { StatusCode::OK }).route_layer(layer);
    let app = axum::Router::new().route("/webhooks/dataflow", route);
    let receiver = webhook_tests::Receiver::start(app).await;

    let get = delivery("evt_1").method("GET").send(receiver.address()).await.unwrap();
    assert_eq!((get.status, get.header("allow"), get.body.len()), (405, "POST", 0));
    let mut elsewhere = delivery("evt_1");
    elsewhere.path = "/elsewhere".into();
    assert_eq!(elsewhere.send(receiver.address()).await.unwrap().status, 404);
    let seen = endpoint.counts().rejected(dataflow_webhooks::RejectionKind::MethodNotAllowed);
    assert_eq!(seen, 0, "the layer saw neither");
}
