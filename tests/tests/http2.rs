//! The same endpoint over HTTP/2: a refusal ends its stream and nothing else.

use std::time::Duration;

use dataflow_webhooks::{Delivery, RejectionKind, SIGNATURE_HEADER};
use tokio::task::JoinSet;
use webhook_tests::{Http2, Request, Served, delivery, endpoint, event};

async fn served() -> Served {
    Served::start(endpoint(), |delivery: Delivery| async move { delivery.id().to_owned() }).await
}

#[tokio::test]
async fn each_refusal_leaves_the_connection_to_the_next() {
    let served = served().await;
    let mut sender = Http2::connect(served.address()).await;
    let refused = [
        ("missing", 401, Request::unsigned(event("evt_0"))),
        ("repeated", 401, delivery("evt_0").header(SIGNATURE_HEADER, "t=1,v1=")),
        ("wrong method", 405, delivery("evt_0").method("PUT")),
        ("no event", 422, Request::signed("[]")),
        ("just too large", 413, Request::signed(vec![b' '; 1024 * 1024 + 1])),
        ("much too large", 401, Request::unsigned(vec![b' '; 10_000_000])),
    ];
    for (what, status, request) in refused {
        let answer = sender.send(&request).await.unwrap();
        assert_eq!(answer.status, status, "{what}");
        assert_eq!(sender.send(&delivery(what)).await.unwrap().text(), what);
    }
}

#[tokio::test]
async fn a_body_that_is_not_complete_in_time_ends_its_stream_alone() {
    let soon = Duration::from_millis(200);
    let served = Served::start(endpoint().body_within(soon), |_| async {}).await;
    let mut sender = Http2::connect(served.address()).await;
    let request = delivery("evt_1");
    let answer = sender.send_part(&request, 100).await.unwrap();
    assert_eq!(answer.status, 408);
    assert_eq!(served.endpoint.counts().rejected(RejectionKind::BodyTimeout), 1);
    assert_eq!(sender.send(&request).await.unwrap().status, 200);
}

#[tokio::test]
async fn streams_beside_each_other_are_told_apart() {
    let served = served().await;
    let mut sender = Http2::connect(served.address()).await;
    let mut streams = JoinSet::new();
    for number in 0..100 {
        let id = format!("evt_{}", number / 2);
        let mut request = delivery(&id);
        if number % 10 == 9 {
            request.body = event("evt_tampered");
        }
        let answering = sender.send(&request);
        streams.spawn(async move { (number, id, answering.await.unwrap()) });
    }
    while let Some(stream) = streams.join_next().await {
        let (number, id, answer) = stream.unwrap();
        let expected = if number % 10 == 9 { 401 } else { 200 };
        assert_eq!(answer.status, expected, "stream {number}");
        let text = answer.text();
        assert!(expected == 401 || text == id || text == "already handled\n", "{number}: {text}");
    }
    for number in 0..50 {
        assert_eq!(served.runs.ended(&format!("evt_{number}")), 1, "{number}");
    }
}

#[tokio::test]
async fn a_body_without_a_declared_length_passes() {
    let served = served().await;
    let mut sender = Http2::connect(served.address()).await;
    let answer = sender.send_undeclared(&delivery("evt_1")).await.unwrap();
    assert_eq!((answer.status, answer.text().as_str()), (200, "evt_1"));
}
