//! rocket-receiver: what its guard lets through, and what it answers otherwise.

use std::time::Duration;

use dataflow_webhooks::testing::Sample;
use dataflow_webhooks::{SIGNATURE_HEADER, Secret};
use tokio::time::sleep;
use webhook_tests::{Answer, Example, Request, SECRET, Stopwatch, Wire, secret};

use crate::rocket;

const PREVIOUS: &str = "whsec_tests_previous_9z8y7x6w";

const LIMIT: usize = 1024 * 1024;

fn body() -> bytes::Bytes {
    Sample::of("pipeline.run.completed").body()
}

/// The one answer to everything that can be wrong with a signature.
fn is_unauthorized(answer: &Answer) -> bool {
    let found = (answer.status, answer.header("www-authenticate"), &*answer.text());
    found == (401, "DataFlow-Signature", "the signature was not accepted\n")
}

/// Sends it to a program of its own, which must print nothing.
async fn refused(request: Request) -> Answer {
    let mut program = Example::start(&mut rocket());
    let answer = request.send(program.address().await).await.unwrap();
    assert_eq!(program.killed().await, [""; 0]);
    answer
}

#[tokio::test]
async fn an_authentic_event_is_one_line_on_stdout_before_its_answer() {
    let secrets = format!("{SECRET},{PREVIOUS}");
    let mut program = Example::start(rocket().env("DATAFLOW_WEBHOOK_SECRET", secrets));
    let address = program.address().await;
    let completed = Sample::of("pipeline.run.completed").id("evt_1").body();
    let failed = Sample::of("pipeline.run.failed").id("evt_2").body();
    let previous = Secret::new(PREVIOUS).unwrap();
    let mut wire = Wire::connect(address).await.unwrap();
    // One connection, one body in chunks.
    for request in
        [Request::signed(completed).chunked(100), Request::signed_with(&previous, 0, failed)]
    {
        wire.send(&request).await.unwrap();
        assert_eq!(wire.answer().await.unwrap().status, 200);
    }
    assert_eq!(
        program.killed().await,
        [
            r#"{"event_id":"evt_1","type":"pipeline.run.completed","epoch":1,"key":"current"}"#,
            r#"{"event_id":"evt_2","type":"pipeline.run.failed","epoch":1,"key":"previous"}"#,
        ]
    );
}

#[tokio::test]
async fn a_body_of_just_the_limit_passes() {
    let empty = Sample::of("pipeline.created").data("filler", "").body().len();
    let filler = "x".repeat(LIMIT - empty);
    let body = Sample::of("pipeline.created").data("filler", filler).body();
    assert_eq!(body.len(), LIMIT);
    let mut program = Example::start(&mut rocket());
    let answer = Request::signed(body).send(program.address().await).await.unwrap();
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn a_body_that_was_changed_is_refused() {
    let mut tampered = Request::signed(body());
    tampered.body = body();
    assert!(is_unauthorized(&refused(tampered).await));
}

#[tokio::test]
async fn a_request_that_nobody_signed_is_refused() {
    assert!(is_unauthorized(&refused(Request::unsigned(body())).await));
}

#[tokio::test]
async fn two_signature_lines_are_refused_though_both_are_good() {
    let mut request = Request::signed(body());
    let (name, line) = request.headers.last().unwrap().clone();
    assert_eq!(name, SIGNATURE_HEADER);
    request = request.header("X-DATAFLOW-SIGNATURE", line);
    assert!(is_unauthorized(&refused(request).await));
}

#[tokio::test]
async fn a_signature_of_an_hour_ago_is_refused() {
    let stale = Request::signed_with(&secret(), -3600, body());
    assert!(is_unauthorized(&refused(stale).await));
}

#[tokio::test]
async fn a_declared_length_over_the_limit_is_413() {
    let answer = refused(Request::signed(vec![b' '; LIMIT + 1])).await;
    assert_eq!((answer.status, &*answer.text()), (413, "the body is too large\n"));
}

#[tokio::test]
async fn a_chunked_body_over_the_limit_is_413() {
    let answer = refused(Request::signed(vec![b' '; 4 * LIMIT]).chunked(64 * 1024)).await;
    assert_eq!(answer.status, 413);
}

#[tokio::test]
async fn an_authentic_body_that_is_no_object_is_422() {
    let answer = refused(Request::signed(&b"[]"[..])).await;
    assert_eq!((answer.status, &*answer.text()), (422, "the body is not an event\n"));
}

#[tokio::test]
async fn a_body_that_does_not_come_to_its_end_is_408() {
    let mut program = Example::start(&mut rocket());
    let request = Request::signed(body());
    let mut wire = Wire::connect(program.address().await).await.unwrap();
    wire.write(&request.head_bytes()).await.unwrap();
    wire.write(&request.body[..100]).await.unwrap();
    let answer = wire.answer().await.unwrap();
    assert_eq!((answer.status, &*answer.text()), (408, "the body did not arrive in time\n"));
}

#[tokio::test]
async fn a_refused_sender_that_writes_all_of_its_body_first_sees_the_answer() {
    let mut program = Example::start(&mut rocket());
    let address = program.address().await;
    for _ in 0..10 {
        let watch = Stopwatch::start();
        let mut wire = Wire::connect(address).await.unwrap();
        let request = Request::unsigned(vec![b' '; 8 * LIMIT]);
        wire.write(&request.head_bytes()).await.unwrap();
        sleep(Duration::from_millis(20)).await;
        let written = wire.write(&request.body).await;
        let answer = wire.answer().await;
        // It is read on for a second, and no longer for a sender that stands still.
        if watch.stood_still() < Duration::from_millis(500) {
            written.unwrap();
            assert!(is_unauthorized(&answer.unwrap()));
        }
    }
}

#[tokio::test]
async fn only_post_is_allowed_on_the_path_and_other_paths_are_not_found() {
    let mut program = Example::start(&mut rocket());
    let address = program.address().await;
    let ask = async |method: &str, path: &str| {
        let mut request = Request::unsigned("").method(method);
        request.path = path.into();
        request.send(address).await.unwrap()
    };
    let healthy = ask("GET", "/healthz").await;
    assert_eq!((healthy.status, &*healthy.text()), (200, "ok\n"));
    let answer = ask("GET", "/webhooks/dataflow").await;
    assert_eq!((answer.status, answer.header("allow")), (405, "POST"));
    assert_eq!(ask("PUT", "/webhooks/dataflow").await.status, 405);
    assert_eq!(ask("GET", "/").await.status, 404);
    assert_eq!(ask("POST", "/webhooks/other").await.status, 404);
    assert_eq!(ask("POST", "/webhooks/dataflow").await.status, 401);
}

#[tokio::test]
async fn neither_secret_nor_body_is_ever_printed_and_no_log_goes_to_stdout() {
    let mut program = Example::start(rocket().env("RUST_LOG", "trace"));
    let address = program.address().await;
    let event = Sample::of("pipeline.run.started").data("note", "not-for-the-log");
    assert_eq!(Request::signed(event.body()).send(address).await.unwrap().status, 200);
    let wrong = Secret::new(PREVIOUS).unwrap();
    let answer = Request::signed_with(&wrong, 0, event.body()).send(address).await.unwrap();
    assert_eq!(answer.status, 401);
    program.signal(rustix::process::Signal::TERM);
    assert!(program.ended().await.success());
    assert_eq!(program.printed().len(), 1, "{:?}", program.printed());
    let all = program.log() + &program.printed().join("\n");
    assert!(all.contains("no signature matches"), "{all}");
    for private in [SECRET, PREVIOUS, "not-for-the-log"] {
        assert!(!all.contains(private), "{all}");
    }
}
