//! The answer table, third part: what is refused before a claim. None of it
//! reaches the store, and none of it runs.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use dataflow_webhooks::{
    EndpointBuilder, ForwardedHeader, IpNet, RejectionKind, SIGNATURE_HEADER, SourceAllowList,
    UnverifiedBudget,
};
use tokio::sync::Notify;
use webhook_tests::{Answer, Request, Served, delivery, endpoint, event, eventually};

async fn served(builder: EndpointBuilder) -> Served {
    Served::start(builder, |_| async {}).await
}

/// A request was refused for this reason, once, and went no further.
#[track_caller]
fn assert_refused(served: &Served, kind: RejectionKind) {
    let counts = served.endpoint.counts();
    assert_eq!(counts.rejected(kind), 1, "{kind} is counted");
    let all: u64 = RejectionKind::ALL.iter().map(|kind| counts.rejected(*kind)).sum();
    assert_eq!(all, 1, "nothing but {kind} is counted");
    assert_eq!((counts.running, counts.unverified_bytes), (0, 0));
    assert_eq!(counts.handlers_succeeded, 0, "nothing ran");
    assert_eq!(served.store.all_calls(), 0, "the store heard nothing of it");
}

fn status_and_text(answer: &Answer) -> (u16, String) {
    (answer.status, answer.text())
}

#[tokio::test]
async fn every_method_but_post_is_answered_405_with_allow() {
    for method in ["GET", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND", "post"] {
        let served = served(endpoint()).await;
        let answer = served.send(&delivery("evt_1").method(method)).await;
        assert_eq!(status_and_text(&answer), (405, "only POST is accepted here\n".into()));
        assert_eq!(answer.header("allow"), "POST", "{method}");
        assert_refused(&served, RejectionKind::MethodNotAllowed);
    }
}

#[tokio::test]
async fn a_head_is_answered_405_without_a_body() {
    let served = served(endpoint()).await;
    let mut wire = served.connect().await;
    wire.send(&Request::unsigned("").method("HEAD")).await.unwrap();
    let answer = wire.answer_to_head().await.unwrap();
    assert_eq!((answer.status, answer.header("allow")), (405, "POST"));
    assert_refused(&served, RejectionKind::MethodNotAllowed);

    // Had a body followed, the next answer would begin with it.
    wire.send(&delivery("evt_1")).await.unwrap();
    assert_eq!(wire.answer().await.unwrap().status, 200);
}

#[tokio::test]
async fn the_method_is_looked_at_before_the_signature() {
    let served = served(endpoint()).await;
    assert_eq!(served.send(&Request::unsigned("{}").method("PUT")).await.status, 405);
    assert_refused(&served, RejectionKind::MethodNotAllowed);
}

#[tokio::test]
async fn a_draining_endpoint_answers_503_whatever_the_signature() {
    let served = served(endpoint()).await;
    served.endpoint.drain().await;
    assert!(served.deliver("evt_1").await.is_try_again());
    assert_refused(&served, RejectionKind::Draining);
    assert!(served.send(&Request::unsigned("{}")).await.is_try_again());
}

#[tokio::test]
async fn a_source_that_is_not_on_the_list_is_answered_403_whatever_the_signature() {
    let served = served(endpoint().source("203.0.113.0/24".parse().unwrap())).await;
    // From an untrusted peer no header is read.
    let request = delivery("evt_1").header("X-Forwarded-For", "203.0.113.7");
    let request = request.header("Forwarded", "for=203.0.113.7");
    let answer = served.send(&request).await;
    assert_eq!(status_and_text(&answer), (403, "the source is not allowed\n".into()));
    assert_refused(&served, RejectionKind::SourceNotAllowed);
    assert_eq!(served.send(&Request::unsigned("{}")).await.status, 403);
}

#[tokio::test]
async fn a_source_on_the_list_is_let_through_to_verification() {
    let served = served(endpoint().source("127.0.0.0/8".parse().unwrap())).await;
    assert_eq!(served.deliver("evt_1").await.status, 200);
    assert_eq!(served.send(&Request::unsigned("{}")).await.status, 401);
}

#[tokio::test]
async fn behind_a_trusted_proxy_the_source_is_what_its_header_says() {
    let proxy: IpNet = "127.0.0.0/8".parse().unwrap();
    let list = "203.0.113.0/24".parse::<SourceAllowList>().unwrap();
    let list = list.behind(ForwardedHeader::XForwardedFor, [proxy]);
    let served = served(endpoint().source(list)).await;
    let send = async |id: &str, lines: &[&str]| {
        let request = lines
            .iter()
            .fold(delivery(id), |request, line| request.header("x-forwarded-for", *line));
        served.send(&request).await.status
    };
    assert_eq!(send("evt_1", &["198.51.100.1", "203.0.113.7:4711"]).await, 200);
    assert_eq!(send("evt_2", &["203.0.113.7", "198.51.100.1"]).await, 403);
    assert_eq!(send("evt_3", &[]).await, 403);
    // The other header is never read.
    let other = delivery("evt_4").header("Forwarded", "for=203.0.113.7");
    assert_eq!(served.send(&other).await.status, 403);
}

#[tokio::test]
async fn an_endpoint_that_begins_to_drain_inside_a_body_answers_503_unclaimed() {
    let served = served(endpoint()).await;
    let (mut wire, request) = (served.connect().await, delivery("evt_1"));
    wire.write(&request.head_bytes()).await.unwrap();
    let (first, rest) = request.body.split_at(100);
    wire.write(first).await.unwrap();
    eventually("it is received", || served.endpoint.counts().unverified_bytes == 100).await;
    served.endpoint.drain().await;
    wire.write(rest).await.unwrap();
    assert!(wire.answer().await.unwrap().is_try_again());
    assert_refused(&served, RejectionKind::Draining);
}

#[tokio::test]
async fn too_many_running_handlers_are_answered_503_unclaimed() {
    let go = Arc::new(Notify::new());
    let going = go.clone();
    let served = Served::start(endpoint().max_running(1), move |_| {
        let going = going.clone();
        async move { going.notified().await }
    })
    .await;
    let mut first = served.connect().await;
    first.send(&delivery("evt_1")).await.unwrap();
    eventually("the first runs", || served.runs.begun("evt_1") == 1).await;

    assert!(served.deliver("evt_2").await.is_try_again());
    let counts = served.endpoint.counts();
    assert_eq!(counts.rejected(RejectionKind::TooManyRunning), 1);
    assert_eq!(counts.authentic_refused, 1);
    assert_eq!((served.store.all_calls(), served.runs.begun("evt_2")), (1, 0));

    go.notify_one();
    assert_eq!(first.answer().await.unwrap().status, 200);
    go.notify_one();
    assert_eq!(served.deliver("evt_2").await.status, 200);
}

#[tokio::test]
async fn too_many_unverified_bytes_are_answered_503_while_a_small_delivery_passes() {
    let budget = UnverifiedBudget::new(64 * 1024);
    let builder = endpoint().max_body_bytes(64 * 1024).unverified_budget(budget.clone());
    let served = served(builder).await;
    // Somebody holds most of the budget with a body that does not end.
    let mut flood = served.connect().await;
    let large = Request::signed(vec![b' '; 60 * 1024]);
    flood.write(&large.head_bytes()).await.unwrap();
    flood.write(&large.body[..50 * 1024]).await.unwrap();
    eventually("it is held", || budget.held() == 50 * 1024).await;

    let padded = |id, bytes: usize| {
        let mut body = event(id).to_vec();
        body.resize(bytes, b' ');
        Request::signed(body)
    };
    let answer = served.send(&padded("evt_large", 20 * 1024)).await;
    assert!(answer.is_try_again());
    assert_eq!(served.endpoint.counts().rejected(RejectionKind::TooManyBytes), 1);
    assert_eq!((served.store.all_calls(), budget.held()), (0, 50 * 1024));
    assert_eq!(served.send(&padded("evt_small", 16 * 1024)).await.status, 200);
    assert_eq!(served.runs.begun("evt_large"), 0);
}

#[tokio::test]
async fn a_declared_length_over_the_limit_is_answered_413_and_the_connection_ends() {
    let served = served(endpoint().max_body_bytes(4096)).await;
    let mut wire = served.connect().await;
    wire.send(&Request::signed(vec![b' '; 4097])).await.unwrap();
    let answer = wire.answer().await.unwrap();
    assert_eq!(status_and_text(&answer), (413, "the body is too large\n".into()));
    assert!(answer.closes() && wire.is_closed_within(Duration::from_secs(5)).await);
    assert_refused(&served, RejectionKind::BodyTooLarge);
}

#[tokio::test]
async fn a_chunked_body_over_the_limit_is_answered_413_and_the_connection_ends() {
    let served = served(endpoint().max_body_bytes(4096)).await;
    let mut wire = served.connect().await;
    wire.send(&Request::signed(vec![b' '; 4097]).chunked(1000)).await.unwrap();
    let answer = wire.answer().await.unwrap();
    assert_eq!(status_and_text(&answer), (413, "the body is too large\n".into()));
    assert!(answer.closes() && wire.is_closed_within(Duration::from_secs(5)).await);
    assert_refused(&served, RejectionKind::BodyTooLarge);
}

#[tokio::test]
async fn a_body_of_exactly_the_limit_passes() {
    let served = served(endpoint().max_body_bytes(4096)).await;
    for (id, chunks) in [("evt_1", None), ("evt_2", Some(1000))] {
        let mut body = event(id).to_vec();
        body.resize(4096, b' ');
        let mut request = Request::signed(body);
        request.chunked = chunks;
        assert_eq!(served.send(&request).await.status, 200);
    }
}

#[tokio::test]
async fn a_body_that_is_not_complete_in_time_is_answered_408_and_the_connection_ends() {
    let soon = Duration::from_millis(200);
    let served = served(endpoint().body_within(soon)).await;
    let (mut wire, request) = (served.connect().await, delivery("evt_1"));
    wire.write(&request.head_bytes()).await.unwrap();
    wire.write(&request.body[..10]).await.unwrap();
    let answer = wire.answer().await.unwrap();
    assert_eq!(status_and_text(&answer), (408, "the body did not arrive in time\n".into()));
    assert!(answer.closes() && wire.is_closed_within(Duration::from_secs(5)).await);
    assert_refused(&served, RejectionKind::BodyTimeout);
}

#[tokio::test]
async fn a_body_that_breaks_off_is_answered_400_where_anyone_can_still_read_it() {
    let served = served(endpoint()).await;
    let mut wire = served.connect().await;
    wire.write(&delivery("evt_1").chunked(100).head_bytes()).await.unwrap();
    wire.write(b"5\r\n{\"id\"\r\nno length\r\n").await.unwrap();
    let answer = wire.answer().await.unwrap();
    assert_eq!(status_and_text(&answer), (400, "the body did not arrive\n".into()));
    assert!(answer.closes() && wire.is_closed_within(Duration::from_secs(5)).await);
    assert_refused(&served, RejectionKind::BodyLost);
}

#[tokio::test]
async fn a_sender_that_ends_inside_the_body_and_still_reads_is_answered_400() {
    let served = served(endpoint()).await;
    let (mut wire, request) = (served.connect().await, delivery("evt_1"));
    wire.write(&request.head_bytes()).await.unwrap();
    wire.write(&request.body[..100]).await.unwrap();
    wire.finish().await.unwrap();
    assert_eq!(wire.answer().await.unwrap().status, 400);
    assert_refused(&served, RejectionKind::BodyLost);
}

#[tokio::test]
async fn a_sender_that_is_gone_inside_the_body_leaves_nothing_behind_and_can_come_again() {
    let served = served(endpoint()).await;
    for reset in [false, true] {
        let (mut wire, request) = (served.connect().await, delivery("evt_1"));
        wire.write(&request.head_bytes()).await.unwrap();
        wire.write(&request.body[..100]).await.unwrap();
        eventually("it is received", || served.endpoint.counts().unverified_bytes == 100).await;
        if reset {
            wire.reset().unwrap();
        } else {
            drop(wire);
        }
        eventually("it is forgotten", || served.endpoint.counts().unverified_bytes == 0).await;
    }
    assert_eq!((served.store.all_calls(), served.runs.begun("evt_1")), (0, 0));
    assert_eq!(served.deliver("evt_1").await.status, 200);
}

#[tokio::test]
async fn an_authentic_body_that_is_no_json_object_is_answered_422() {
    let bodies: [(&str, &[u8]); 9] = [
        ("empty", b""),
        ("an array", b"[{\"id\":\"evt_1\"}]"),
        ("a string", b"\"evt_1\""),
        ("null", b"null"),
        ("cut short", b"{\"id\":\"evt_1\""),
        ("two objects", b"{\"id\":\"evt_1\"}{}"),
        ("invalid UTF-8", b"{\"id\":\"evt_1\",\"data\":\"\xff\"}"),
        ("id twice", b"{\"id\":\"evt_1\",\"id\":\"evt_2\"}"),
        ("type twice", b"{\"id\":\"evt_1\",\"type\":\"a\",\"type\":\"b\"}"),
    ];
    for (what, body) in bodies {
        let served = served(endpoint()).await;
        let answer = served.send(&Request::signed(Bytes::from_static(body))).await;
        assert_eq!(status_and_text(&answer), (422, "the body is not an event\n".into()), "{what}");
        assert_refused(&served, RejectionKind::NotAnEvent);
        // The platform will try again and then disable the webhook: it counts.
        assert_eq!(served.endpoint.counts().authentic_refused_in_a_row, 1, "{what}");
    }
}

#[tokio::test]
async fn an_event_that_is_odd_but_a_json_object_passes() {
    let served = served(endpoint()).await;
    let bodies = [
        "{}",
        r#"{"id":7,"type":null,"created_at":"soon","data":[],"metadata":3}"#,
        r#"{"id":"","type":"pipeline.run.cancelled","new":{"field":1e400}}"#,
        r#"{"id":"evt_1","type":"pipeline.run.completed","data":{"records_processed":"many"}}"#,
    ];
    for body in bodies {
        assert_eq!(served.send(&Request::signed(body)).await.status, 200, "{body}");
    }
    assert_eq!(served.endpoint.counts().authentic_refused, 0);
}

#[tokio::test]
async fn a_compressed_body_is_hashed_as_received_and_not_unpacked() {
    // gzip of "{}": authentic as it stands, and no JSON object.
    const GZIP: &[u8] = b"\x1f\x8b\x08\0\0\0\0\0\0\x03\xab\xae\x05\0\x43\xbf\xa6\xa3\x02\0\0\0";
    let served = served(endpoint()).await;
    let request = Request::signed(GZIP).header("Content-Encoding", "gzip");
    assert_eq!(served.send(&request).await.status, 422);

    // What the header says about the body changes nothing.
    let request = delivery("evt_1").header("Content-Encoding", "gzip");
    assert_eq!(served.send(&request).await.status, 200);
}

#[tokio::test]
async fn no_refusal_names_its_reason() {
    let served = served(endpoint()).await;
    let requests = [
        Request::unsigned("{}"),
        Request::unsigned("{}").header(SIGNATURE_HEADER, "t=1,t=2"),
        Request::signed("[]"),
    ];
    for request in requests {
        let answer = served.send(&request).await;
        let mut names: Vec<_> = answer.headers.keys().map(String::as_str).collect();
        names.retain(|name| *name != "www-authenticate");
        names.sort_unstable();
        assert_eq!(names, ["content-length", "content-type", "date"]);
        assert_eq!(answer.header("content-type"), "text/plain; charset=utf-8");
    }
}
