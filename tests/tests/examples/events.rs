//! The receivers: what they answer, what they print.

use std::process::Stdio;
use std::time::Duration;

use dataflow_webhooks::testing::Sample;
use dataflow_webhooks_axum::Secret;
use rustix::process::Signal;
use serde_json::{Value, json};
use webhook_tests::{Example, Request, SECRET, Wire};

use crate::receivers::{ACTIX, Receiver, each_receiver};

each_receiver! {
    each_processed_event_is_one_line_on_stdout_before_its_answer,
    only_post_is_allowed_on_the_path_and_other_paths_are_not_found,
    an_event_whose_line_nobody_reads_is_answered_500_and_the_program_lives,
    a_log_that_nobody_reads_does_not_stop_deliveries,
    neither_secret_nor_body_is_ever_printed,
    an_unknown_event_type_is_logged_escaped_and_cut,
    the_log_has_no_colours_in_a_pipe,
    a_head_that_does_not_come_to_its_end_costs_its_connection,
    a_head_that_outgrows_the_read_buffer_is_refused,
}

const PREVIOUS: &str = "whsec_tests_previous_9z8y7x6w";

async fn each_processed_event_is_one_line_on_stdout_before_its_answer(receiver: Receiver) {
    let mut program = Example::start(
        receiver.command().env("DATAFLOW_WEBHOOK_SECRET", format!("{SECRET},{PREVIOUS}")),
    );
    let address = program.address().await;
    let long_id = "evt_ü".repeat(42); // 252 bytes
    let first = Sample::of("pipeline.run.completed").id("evt_1");
    let second = Sample::of("pipeline.run.failed").id(&long_id);
    let third = Sample::unknown("seat.added").id("evt \"3\"\n");
    let previous = Secret::new(PREVIOUS).unwrap();
    let mut tampered = Request::signed(first.body());
    tampered.body = first.clone().id("evt_evil").body();
    let deliveries = [
        (Request::signed(first.body()), 200),
        (Request::signed_with(&previous, 0, second.body()), 200),
        (Request::signed(first.body()), 200), // a duplicate
        (tampered, 401),
        (Request::signed(third.body()), 200),
        (Request::signed(&b"[]"[..]), 422),
    ];
    let mut wire = Wire::connect(address).await.unwrap();
    for (delivery, status) in deliveries {
        wire.send(&delivery).await.unwrap();
        assert_eq!(wire.answer().await.unwrap().status, status);
    }

    let printed = program.killed().await;
    let line = |id: &str, event_type: &str, key: &str| json!({ "event_id": id, "type": event_type, "epoch": 1, "key": key });
    let values: Vec<Value> =
        printed.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(
        values,
        [
            line("evt_1", "pipeline.run.completed", "current"),
            line(&long_id, "pipeline.run.failed", "previous"),
            line("evt \"3\"\n", "seat.added", "current"),
        ]
    );
    assert_eq!(
        printed[0],
        r#"{"event_id":"evt_1","type":"pipeline.run.completed","epoch":1,"key":"current"}"#
    );
}

async fn only_post_is_allowed_on_the_path_and_other_paths_are_not_found(receiver: Receiver) {
    let mut program = Example::start(&mut receiver.with_secret());
    let address = program.address().await;
    let ask = async |method: &str, path: &str| {
        let mut request = Request::unsigned("").method(method);
        request.path = path.into();
        request.send(address).await.unwrap()
    };
    assert_eq!(ask("GET", "/healthz").await.status, 200);
    let answer = ask("GET", "/webhooks/dataflow").await;
    assert_eq!((answer.status, answer.header("allow")), (405, "POST"));
    assert_eq!(ask("GET", "/").await.status, 404);
    assert_eq!(ask("POST", "/webhooks/other").await.status, 404);
    assert_eq!(ask("POST", "/webhooks/dataflow").await.status, 401);
}

async fn an_event_whose_line_nobody_reads_is_answered_500_and_the_program_lives(
    receiver: Receiver,
) {
    let (reader, writer) = std::io::pipe().unwrap();
    let mut program = Example::start_with_stdout(&mut receiver.with_secret(), Stdio::from(writer));
    drop(reader);
    let address = program.address().await;
    let event = Sample::of("pipeline.created");
    for _ in 0..2 {
        assert_eq!(Request::signed(event.body()).send(address).await.unwrap().status, 500);
    }
    program.logged("could not be written to stdout").await;
    assert!(program.is_running());
    assert!(!program.log().contains("panicked"), "{}", program.log());
}

async fn a_log_that_nobody_reads_does_not_stop_deliveries(receiver: Receiver) {
    let (reader, writer) = std::io::pipe().unwrap();
    // Port 0 would be told on stderr only.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut command = receiver.with_secret();
    command.env("BIND", port.to_string()).env("RUST_LOG", "trace");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::from(writer));
    let mut child = command.spawn().unwrap();
    drop(reader);
    let event = Sample::of("pipeline.run.failed");
    let mut status = None;
    for _ in 0..500 {
        if let Ok(answer) = Request::signed(event.body()).send(port).await {
            status = Some(answer.status);
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let lives = child.try_wait().unwrap().is_none();
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!((status, lives), (Some(200), true));
}

async fn neither_secret_nor_body_is_ever_printed(receiver: Receiver) {
    let mut program = Example::start(receiver.with_secret().env("RUST_LOG", "trace"));
    let address = program.address().await;
    let event = Sample::of("pipeline.run.started").data("note", "not-for-the-log");
    assert_eq!(Request::signed(event.body()).send(address).await.unwrap().status, 200);
    let wrong = Secret::new(PREVIOUS).unwrap();
    let refused = Request::signed_with(&wrong, 0, event.body()).send(address).await.unwrap();
    assert_eq!(refused.status, 401);
    program.signal(rustix::process::Signal::TERM);
    assert!(program.ended().await.success());
    let all = program.log() + &program.printed().join("\n");
    assert!(all.contains("answered 200") && all.contains("no signature matches"), "{all}");
    for private in [SECRET, PREVIOUS, "not-for-the-log"] {
        assert!(!all.contains(private), "{all}");
    }
}

async fn an_unknown_event_type_is_logged_escaped_and_cut(receiver: Receiver) {
    let mut program = Example::start(&mut receiver.with_secret());
    let address = program.address().await;
    let event = Sample::unknown(&format!("\x1b[31m\nforged {}", "x".repeat(1000)));
    assert_eq!(Request::signed(event.body()).send(address).await.unwrap().status, 200);
    let line = program.logged("unhandled event type").await;
    assert!(line.contains(r"\u{1b}[31m\nforged xxx"), "{line:?}");
    assert!(line.contains('…') && !line.contains(&"x".repeat(64)), "{line:?}");
}

async fn the_log_has_no_colours_in_a_pipe(receiver: Receiver) {
    let mut program = Example::start(&mut receiver.with_secret());
    let line = program.logged("listening on ").await;
    assert!(!line.contains('\x1b'), "{line:?}");
}

async fn a_head_that_does_not_come_to_its_end_costs_its_connection(receiver: Receiver) {
    let mut program = Example::start(&mut receiver.with_secret());
    let address = program.address().await;
    let mut silent = Wire::connect(address).await.unwrap();
    let mut slow = Wire::connect(address).await.unwrap();
    slow.write(b"POST /webhooks/dataflow HTTP/1.1\r\nHost: x\r\n").await.unwrap();
    let mut idle = Wire::connect(address).await.unwrap();
    let mut later = Wire::connect(address).await.unwrap();
    for wire in [&mut idle, &mut later] {
        wire.send(&Request::signed(Sample::of("pipeline.created").body())).await.unwrap();
        assert_eq!(wire.answer().await.unwrap().status, 200);
    }
    later.write(b"POST /webhooks/dataflow HTTP/1.1\r\nHost: x\r\n").await.unwrap();
    let within = Duration::from_secs(13);
    let (silent, slow, idle, later) = tokio::join!(
        closes(&mut silent, within),
        closes(&mut slow, within),
        closes(&mut idle, within),
        closes(&mut later, within),
    );
    assert!(silent && slow && idle, "silent {silent}, slow {slow}, idle {idle}");
    // actix-web has no clock on a connection's later heads; its README says so.
    assert_eq!(later, receiver != ACTIX, "later");
}

/// Whether the connection is closed in time, after an answer or without one.
async fn closes(wire: &mut Wire, within: Duration) -> bool {
    let closing = async { while wire.answer().await.is_ok() {} };
    tokio::time::timeout(within, closing).await.is_ok()
}

async fn a_head_that_outgrows_the_read_buffer_is_refused(receiver: Receiver) {
    let mut program = Example::start(&mut receiver.with_secret());
    let address = program.address().await;
    let event = Sample::of("pipeline.created");
    let with = |bytes: usize| Request::signed(event.body()).header("X-Padding", "x".repeat(bytes));
    assert_eq!(with(12 * 1024).send(address).await.unwrap().status, 200);
    // The answer may be lost: the connection is closed on what is still unread.
    let status = with(200 * 1024).send(address).await.map(|answer| answer.status);
    assert!(matches!(status, Ok(431) | Err(_)), "{status:?}");
    program.signal(Signal::TERM);
    assert!(program.ended().await.success(), "{}", program.log());
    assert_eq!(program.printed().len(), 1);
}
