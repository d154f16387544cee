//! The receivers answer the same, byte for byte, but for what a framework itself
//! makes otherwise.

use std::net::SocketAddr;
use std::process::Stdio;

use dataflow_webhooks::testing::Sample;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use webhook_tests::{Example, Request};

use crate::receivers::{ACTIX, AXUM, HYPER, OBSERVABILITY, Receiver};

const ACTIX_405: &str = "content-length: 27\ncontent-type: text/plain; charset=utf-8\n\n\
                         only POST is accepted here\n";

/// What is otherwise: in whose answer, to what, which text of axum-receiver's, and
/// what stands in its place.
const OTHERWISE: [(&str, &str, &str, &str); 6] = [
    // `Resource::wrap` takes every method through our middleware, which answers
    // with a text; an axum route answers without one before our layer is asked.
    (ACTIX.0, "GET the path", "content-length: 0\n\n", ACTIX_405),
    (ACTIX.0, "PUT the path", "content-length: 0\n\n", ACTIX_405),
    (
        ACTIX.0,
        "HEAD the path",
        "content-length: 0\n\n",
        "content-length: 27\ncontent-type: text/plain; charset=utf-8\n\n",
    ),
    // The same list, as another crate writes it.
    (ACTIX.0, "POST the health", "allow: GET,HEAD\n", "allow: GET, HEAD\n"),
    // axum says no length there.
    (ACTIX.0, "HEAD the root", "Not Found\n", "Not Found\ncontent-length: 0\n"),
    (HYPER.0, "HEAD the root", "Not Found\n", "Not Found\ncontent-length: 0\n"),
];

/// Requests by name with the status that answers them, in the order they are sent.
fn requests() -> Vec<(&'static str, u16, Request)> {
    let event = Sample::of("pipeline.run.completed").id("evt_1");
    let delivery = Request::signed(event.body());
    let at = |method: &str, path: &str| {
        let mut request = Request::unsigned("").method(method);
        request.path = path.into();
        request
    };
    let mut tampered = delivery.clone();
    tampered.body = event.clone().id("evt_2").body();
    vec![
        ("an event", 200, delivery.clone()),
        ("the event again", 200, delivery),
        ("a tampered body", 401, tampered),
        ("no signature", 401, Request::unsigned(event.body())),
        ("a body over the limit", 413, Request::signed(vec![b' '; 1024 * 1024 + 1])),
        ("no JSON object", 422, Request::signed(&b"[]"[..])),
        ("GET the path", 405, at("GET", "/webhooks/dataflow")),
        ("PUT the path", 405, at("PUT", "/webhooks/dataflow")),
        ("HEAD the path", 405, at("HEAD", "/webhooks/dataflow")),
        ("another path", 404, at("POST", "/webhooks/other")),
        ("a slash more", 404, at("POST", "/webhooks/dataflow/")),
        ("the root", 404, at("GET", "/")),
        ("HEAD the root", 404, at("HEAD", "/")),
        ("GET the health", 200, at("GET", "/healthz")),
        ("HEAD the health", 200, at("HEAD", "/healthz")),
        ("POST the health", 405, at("POST", "/healthz")),
    ]
}

/// Status line, header lines in the order of their names and without `Date`, body.
async fn answer(request: &Request, address: SocketAddr) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(&request.head_bytes()).await.unwrap();
    stream.write_all(&request.body_bytes()).await.unwrap();
    let mut head = Vec::new();
    let end = loop {
        if let Some(end) = head.windows(4).position(|four| four == b"\r\n\r\n") {
            break end;
        }
        assert_ne!(stream.read_buf(&mut head).await.unwrap(), 0, "no answer");
    };
    let mut body = head.split_off(end + 4);
    let head = String::from_utf8(head).unwrap();
    let mut lines: Vec<&str> = head.trim_end().split("\r\n").collect();
    lines[1..].sort_unstable();
    let length = lines.iter().find_map(|line| line.strip_prefix("content-length: "));
    let length = match &*request.method {
        "HEAD" => 0,
        _ => length.expect("a length").parse().unwrap(),
    };
    while body.len() < length {
        assert_ne!(stream.read_buf(&mut body).await.unwrap(), 0, "half an answer");
    }
    lines.retain(|line| !line.starts_with("date: "));
    format!("{}\n\n{}", lines.join("\n"), String::from_utf8(body).unwrap())
}

/// What a receiver answers to everything.
async fn answers(receiver: Receiver) -> Vec<(&'static str, String)> {
    let mut answers = Vec::new();
    let mut add = |name, status: u16, answer: String| {
        let line = format!("HTTP/1.1 {status} ");
        assert!(answer.starts_with(&line), "{}, {name}: {answer}", receiver.0);
        answers.push((name, answer));
    };
    let mut program = Example::start(&mut receiver.with_secret());
    let address = program.address().await;
    for (name, status, request) in requests() {
        add(name, status, answer(&request, address).await);
    }

    let event = Request::signed(Sample::of("pipeline.created").body());
    let elsewhere = ("ALLOWED_SOURCES", "203.0.113.0/24");
    let mut program = Example::start(receiver.with_secret().env(elsewhere.0, elsewhere.1));
    add("a source not listed", 403, answer(&event, program.address().await).await);

    let (reader, writer) = std::io::pipe().unwrap();
    let mut program = Example::start_with_stdout(&mut receiver.with_secret(), Stdio::from(writer));
    drop(reader);
    add("a handler that fails", 500, answer(&event, program.address().await).await);
    answers
}

async fn answers_as_axum_receiver(receiver: Receiver) {
    let mut otherwise: Vec<_> = OTHERWISE.iter().filter(|entry| entry.0 == receiver.0).collect();
    let pairs = answers(AXUM).await.into_iter().zip(answers(receiver).await);
    for ((name, mut expected), (_, answer)) in pairs {
        if let Some(at) = otherwise.iter().position(|entry| entry.1 == name) {
            let (_, _, text, instead) = otherwise.remove(at);
            assert!(expected.contains(text), "{name}: {expected}");
            expected = expected.replace(text, instead);
        }
        assert_eq!(answer, expected, "{}: {name}", receiver.0);
    }
    assert!(otherwise.is_empty(), "not asked: {otherwise:?}");
}

#[tokio::test]
async fn actix_receiver_answers_as_axum_receiver() {
    answers_as_axum_receiver(ACTIX).await;
}

#[tokio::test]
async fn hyper_receiver_answers_as_axum_receiver() {
    answers_as_axum_receiver(HYPER).await;
}

#[tokio::test]
async fn observability_answers_as_axum_receiver() {
    answers_as_axum_receiver(OBSERVABILITY).await;
}
