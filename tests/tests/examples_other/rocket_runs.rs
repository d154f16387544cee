//! rocket-receiver: each event once, failures again, and its end.

use std::time::{Duration, Instant};

use dataflow_webhooks::testing::Sample;
use rustix::process::Signal;
use tokio::time::sleep;
use webhook_tests::{Example, Lines, Request, Wire};

use crate::rocket;

/// An event whose line is longer than a pipe holds (64 KiB on Linux): its handler
/// runs until somebody reads.
fn blocking() -> Request {
    let long = format!("pipeline.{}", "x".repeat(100_000));
    Request::signed(Sample::unknown(&long).id("evt_slow").body())
}

#[tokio::test]
async fn a_duplicate_of_what_is_done_is_200_and_does_not_run_again() {
    let mut program = Example::start(&mut rocket());
    let address = program.address().await;
    let body = Sample::of("pipeline.created").body();
    for text in ["", "already handled\n"] {
        let answer = Request::signed(body.clone()).send(address).await.unwrap();
        assert_eq!((answer.status, &*answer.text()), (200, text));
    }
    assert_eq!(program.killed().await.len(), 1);
}

#[tokio::test]
async fn a_handler_not_done_in_time_is_503_and_its_duplicate_too_and_it_runs_on() {
    let (reader, writer) = std::io::pipe().unwrap();
    let mut program = Example::start_with_stdout(&mut rocket(), writer.into());
    let address = program.address().await;
    let mut first = Wire::connect(address).await.unwrap();
    first.send(&blocking()).await.unwrap();
    let sent = Instant::now();
    program.logged("unhandled event type").await;
    // Its run has begun, and neither has ended nor may yet count as done.
    assert!(blocking().send(address).await.unwrap().is_try_again());
    assert!(first.answer().await.unwrap().is_try_again());
    // After 4.5 s, and before the 20 s that are a run's longest.
    assert!(sent.elapsed() < Duration::from_secs(15), "{:?}", sent.elapsed());
    let lines = Lines::of(reader);
    lines.wait_for(1).await;
    // The commit follows the line.
    let mut answer = blocking().send(address).await.unwrap();
    while answer.status == 503 {
        sleep(Duration::from_millis(5)).await;
        answer = blocking().send(address).await.unwrap();
    }
    assert_eq!((answer.status, lines.so_far().len()), (200, 1));
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn an_event_whose_handler_failed_runs_again() {
    use std::os::fd::AsRawFd as _;

    let (reader, writer) = std::io::pipe().unwrap();
    let again = format!("/proc/self/fd/{}", writer.as_raw_fd());
    let stdout = writer.try_clone().unwrap();
    let mut program = Example::start_with_stdout(&mut rocket(), stdout.into());
    let address = program.address().await;
    drop(reader);
    let body = Sample::of("pipeline.created").id("evt_1").body();
    let failed = Request::signed(body.clone()).send(address).await.unwrap();
    assert_eq!((failed.status, &*failed.text()), (500, ""));
    program.logged("could not be written to stdout").await;

    // From now on somebody reads.
    let lines = Lines::of(std::fs::File::open(again).unwrap());
    assert_eq!(Request::signed(body).send(address).await.unwrap().status, 200);
    let second = r#"{"event_id":"evt_1","type":"pipeline.created","epoch":2,"key":"current"}"#;
    assert_eq!(lines.wait_for(1).await, [second]);
}

#[tokio::test]
async fn sigterm_and_ctrl_c_end_it_with_0() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut program = Example::start(&mut rocket());
        let address = program.address().await;
        let mut idle = Wire::connect(address).await.unwrap();
        idle.send(&Request::signed(Sample::of("pipeline.created").body())).await.unwrap();
        assert_eq!(idle.answer().await.unwrap().status, 200);
        let stopped = Instant::now();
        program.signal(signal);
        assert_eq!(program.ended().await.code(), Some(0), "{}", program.log());
        assert!(stopped.elapsed() < Duration::from_secs(10), "{:?}", stopped.elapsed());
    }
}

#[tokio::test]
async fn a_delivery_whose_body_is_on_its_way_at_sigterm_is_still_handled() {
    let mut program = Example::start(rocket().env("RUST_LOG", "info"));
    let request = Request::signed(Sample::of("pipeline.created").body());
    let address = program.address().await;
    let mut wire = Wire::connect(address).await.unwrap();
    wire.write(&request.head_bytes()).await.unwrap();
    wire.write(&request.body[..100]).await.unwrap();
    // Rocket has read the head.
    program.logged("Matched: (receive)").await;
    program.signal(Signal::TERM);
    while Wire::connect(address).await.is_ok() {
        sleep(Duration::from_millis(5)).await;
    }
    wire.write(&request.body[100..]).await.unwrap();
    assert_eq!(wire.answer().await.unwrap().status, 200);
    assert_eq!(program.ended().await.code(), Some(0), "{}", program.log());
    assert_eq!(program.printed().len(), 1);
}

#[tokio::test]
async fn a_handler_whose_sender_has_gone_is_waited_for_at_sigterm() {
    let (reader, writer) = std::io::pipe().unwrap();
    let mut program = Example::start_with_stdout(&mut rocket(), writer.into());
    let wire = {
        let mut wire = Wire::connect(program.address().await).await.unwrap();
        wire.send(&blocking()).await.unwrap();
        wire
    };
    program.logged("unhandled event type").await;
    wire.reset().unwrap();
    program.signal(Signal::TERM);
    // Beyond the time that connections have to end.
    sleep(Duration::from_secs(8)).await;
    assert!(program.is_running(), "{}", program.log());
    let lines = Lines::of(reader);
    assert_eq!(program.ended().await.code(), Some(0), "{}", program.log());
    assert_eq!(lines.wait_for(1).await.len(), 1);
}
