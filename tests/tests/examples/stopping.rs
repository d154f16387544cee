//! The receivers: SIGTERM and Ctrl-C.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::time::Duration;

use dataflow_webhooks::testing::Sample;
use rustix::process::Signal;
use webhook_tests::{Example, Request, Stopwatch, Wire};

use crate::receivers::{Receiver, each_receiver};

each_receiver! {
    sigterm_under_traffic_ends_it_within_10_s_with_every_acknowledged_event_printed,
    an_idle_connection_does_not_hold_up_its_end,
    a_delivery_whose_body_is_on_its_way_is_still_handled,
    handlers_that_still_run_end_before_it_does,
    a_second_signal_ends_it_at_once_when_stdout_takes_no_line,
    a_second_signal_ends_it_at_once_when_a_body_is_on_its_way,
}

/// Sends events over one connection, and over a new one where that is closed,
/// until nobody listens any more; the ids of those that were answered 200.
async fn traffic(address: SocketAddr) -> Vec<String> {
    let mut acknowledged = Vec::new();
    while let Ok(mut wire) = Wire::connect(address).await {
        loop {
            let event = Sample::of("pipeline.run.completed");
            if wire.send(&Request::signed(event.body())).await.is_err() {
                break;
            }
            match wire.answer().await {
                Ok(answer) if answer.status == 200 => acknowledged.push(event.event().id),
                // A refusal is allowed: the sender would come again.
                Ok(_) => {}
                Err(_) => break,
            }
        }
    }
    acknowledged
}

async fn sigterm_under_traffic_ends_it_within_10_s_with_every_acknowledged_event_printed(
    receiver: Receiver,
) {
    let mut program = Example::start(&mut receiver.with_secret());
    let address = program.address().await;
    // Two connections that will not end by themselves: one between requests,
    // one before its first.
    let mut idle = Wire::connect(address).await.unwrap();
    idle.send(&Request::signed(Sample::of("pipeline.created").body())).await.unwrap();
    assert_eq!(idle.answer().await.unwrap().status, 200);
    let _silent = Wire::connect(address).await.unwrap();
    let senders: Vec<_> = (0..8).map(|_| tokio::spawn(traffic(address))).collect();
    // More are printed than acknowledged: of each sender, the last answer may be missing.
    program.printed_lines(2 * senders.len() + 10).await;

    let stopped = Stopwatch::start();
    program.signal(Signal::TERM);
    let status = program.ended().await;
    let took = stopped.ran();
    assert_eq!(status.code(), Some(0), "{}", program.log());
    assert!(took < Duration::from_secs(10), "{took:?}");

    let printed: Vec<String> = program
        .printed()
        .iter()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .map(|line| line["event_id"].as_str().unwrap().to_owned())
        .collect();
    let different: HashSet<_> = printed.iter().collect();
    assert_eq!(different.len(), printed.len(), "an event was printed twice");
    let mut acknowledged = 0;
    for sender in senders {
        for id in sender.await.unwrap() {
            assert!(different.contains(&id), "{id} was answered 200 and not printed");
            acknowledged += 1;
        }
    }
    assert!(acknowledged > 8, "{acknowledged} events are no traffic");
}

async fn an_idle_connection_does_not_hold_up_its_end(receiver: Receiver) {
    for signal in [Signal::TERM, Signal::INT] {
        let mut program = Example::start(&mut receiver.with_secret());
        let address = program.address().await;
        let mut idle = Wire::connect(address).await.unwrap();
        idle.send(&Request::signed(Sample::of("pipeline.created").body())).await.unwrap();
        assert_eq!(idle.answer().await.unwrap().status, 200);
        let stopped = Stopwatch::start();
        program.signal(signal);
        assert_eq!(program.ended().await.code(), Some(0), "{}", program.log());
        // actix-web looks once a second whether its connections have ended. All of
        // them would keep an idle one for longer than this.
        assert!(stopped.ran() < Duration::from_secs(4), "{:?}", stopped.ran());
    }
}

/// A delivery's head, on a connection of its own, and the delivery. It has been read:
/// that is what the answer to `Expect` says.
async fn head_alone(address: SocketAddr) -> (Wire, Request) {
    let request = Request::signed(Sample::of("pipeline.created").body());
    let request = request.header("Expect", "100-continue");
    let mut wire = Wire::connect(address).await.unwrap();
    wire.write(&request.head_bytes()).await.unwrap();
    assert_eq!(wire.any_answer().await.unwrap().status, 100);
    (wire, request)
}

async fn a_delivery_whose_body_is_on_its_way_is_still_handled(receiver: Receiver) {
    let mut program = Example::start(&mut receiver.with_secret());
    let (mut wire, request) = head_alone(program.address().await).await;
    program.signal(Signal::TERM);
    program.logged("stopping").await;
    wire.write(&request.body_bytes()).await.unwrap();
    let answer = wire.answer().await.unwrap();
    assert!(answer.status == 200 && answer.closes(), "{answer:?}");
    assert_eq!(program.ended().await.code(), Some(0));
    assert_eq!(program.printed().len(), 1);
}

/// Handlers that wait for somebody to read their lines: so many that stdout is
/// full, which takes 64 KiB on Linux.
const WAITING: usize = 40;

/// Sends the events of handlers that will wait, and waits until all have begun.
async fn keep_waiting(program: &mut Example, address: SocketAddr) -> Vec<Wire> {
    let mut wires = Vec::new();
    for _ in 0..WAITING {
        let long = format!("pipeline.{}", "x".repeat(4096));
        let mut wire = Wire::connect(address).await.unwrap();
        wire.send(&Request::signed(Sample::unknown(&long).body())).await.unwrap();
        wires.push(wire);
    }
    for _ in 0..WAITING {
        program.logged("unhandled event type").await;
    }
    wires
}

async fn handlers_that_still_run_end_before_it_does(receiver: Receiver) {
    let (reader, writer) = std::io::pipe().unwrap();
    let mut program = Example::start_with_stdout(
        receiver.with_secret().env("RUST_LOG", "info,dataflow_webhooks=debug"),
        writer.into(),
    );
    let address = program.address().await;
    // Nobody waits for their answers.
    for wire in keep_waiting(&mut program, address).await {
        wire.reset().unwrap();
    }
    program.signal(Signal::TERM);
    program.logged("waiting for the handlers").await;
    let lines = tokio::task::spawn_blocking(move || std::io::read_to_string(reader).unwrap());
    assert_eq!(program.ended().await.code(), Some(0), "{}", program.log());
    assert_eq!(lines.await.unwrap().lines().count(), WAITING);
    // A line can be written on a thread of its own whose handler is cut off.
    let log = program.log();
    assert_eq!(log.matches("ended: Succeeded").count(), WAITING, "{log}");
}

async fn a_second_signal_ends_it_at_once_when_stdout_takes_no_line(receiver: Receiver) {
    let (reader, writer) = std::io::pipe().unwrap();
    let mut program = Example::start_with_stdout(&mut receiver.with_secret(), writer.into());
    let address = program.address().await;
    let mut wires = keep_waiting(&mut program, address).await;
    let late = wires.last_mut().unwrap().answer().await.unwrap();
    assert_eq!(late.status, 503);
    drop(wires);
    program.signal(Signal::TERM);
    program.logged("waiting for the handlers").await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(program.is_running());
    program.signal(Signal::TERM);
    assert_eq!(program.ended().await.code(), Some(1));
    drop(reader);
}

async fn a_second_signal_ends_it_at_once_when_a_body_is_on_its_way(receiver: Receiver) {
    let mut program = Example::start(&mut receiver.with_secret());
    let (mut wire, _) = head_alone(program.address().await).await;
    program.signal(Signal::TERM);
    program.logged("stopping").await;
    program.signal(Signal::TERM);
    assert_eq!(program.ended().await.code(), Some(1), "{}", program.log());
    // It would have been told 408 after 4 s.
    let answer = wire.answer().await;
    assert!(answer.is_err(), "{answer:?}");
}
