//! What a receiver costs whoever sends: its memory, as the system sees it, and
//! its attention. The receiver is a process of its own, the senders are here.
#![cfg(target_os = "linux")]

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use dataflow_webhooks::testing::Sample;
use dataflow_webhooks::{Secret, UnverifiedBudget};
use tokio::sync::{Barrier, Mutex};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use webhook_tests::{Answer, Program, Request, Stack, Wire, allow_open_files, on_each_stack};

on_each_stack! {
    #[tokio::test]
    a_gibibyte_in_chunks_ends_with_413_and_costs_the_limit_and_one_chunk,
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    a_flood_of_large_bodies_stays_within_the_bound_and_honest_deliveries_pass,
    #[tokio::test]
    bodies_in_chunks_of_a_byte_stay_within_the_bound,
    #[tokio::test]
    refused_chunked_bodies_without_end_are_cut_off_and_cost_nothing_after,
    #[tokio::test]
    a_byte_a_second_is_answered_408_at_the_deadline,
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    ten_thousand_idle_connections_do_not_stop_an_honest_delivery,
}

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

/// The longest body, by default.
const LIMIT: u64 = MIB;

/// What the receiver's server reads ahead on a connection.
fn read_ahead(stack: Stack) -> u64 {
    match stack {
        Stack::Axum => 64 * KIB,
        Stack::Actix { .. } => 160 * KIB,
    }
}

/// What it takes beside for a body in chunks of a byte: actix lines up all that it
/// has read at once, at 32 bytes for each chunk.
fn of_small_chunks(stack: Stack) -> u64 {
    match stack {
        Stack::Axum => 0,
        Stack::Actix { .. } => 320 * KIB,
    }
}

/// What is not for the sender to choose: pages of code run for the first time,
/// and what an allocator holds beside what it was asked for.
const SLACK: u64 = MIB / 4;

/// Held by tests that need all there is of processors: two floods beside each
/// other would be none.
static ALONE: Mutex<()> = Mutex::const_new(());

struct Receiver(Program);

impl Receiver {
    /// A receiver that has done all it can do with small requests once, so that
    /// what it takes from now on is due to what is sent.
    async fn warm(stack: Stack) -> Self {
        let program = env!("CARGO_BIN_EXE_plain_receiver");
        let this = Self(Program::start(program, &stack.to_string()));
        for _ in 0..50 {
            this.is_delivered_to().await;
        }
        let mut tampered = Request::signed("{}").chunked(1);
        tampered.body = Bytes::from_static(b"[]");
        assert_eq!(tampered.send(this.0.address()).await.unwrap().status, 401);
        this
    }

    async fn is_delivered_to(&self) {
        let delivery = Request::signed(Sample::of("pipeline.run.completed").body());
        let answer = delivery.send(self.0.address()).await.unwrap();
        assert_eq!(answer.status, 200, "an honest delivery: {}", answer.text());
    }

    /// The bytes of unverified deliveries that it holds, and its handler's runs.
    async fn counts(&self) -> (u64, u64) {
        let request = Request { path: "/counts".into(), ..Request::unsigned("") }.method("GET");
        let text = request.send(self.0.address()).await.unwrap().text();
        let (held, runs) = text.split_once(' ').unwrap();
        (held.parse().unwrap(), runs.parse().unwrap())
    }

    fn resident(&self) -> u64 {
        self.0.resident().unwrap()
    }

    /// By how much it has grown beyond this since, at the most.
    fn grown_beyond(&self, before: u64) -> u64 {
        self.0.peak_resident().unwrap().saturating_sub(before)
    }
}

async fn a_gibibyte_in_chunks_ends_with_413_and_costs_the_limit_and_one_chunk(stack: Stack) {
    let receiver = Receiver::warm(stack).await;
    let before = receiver.resident();

    let (head, piece) = without_end(&Request::signed(""), 16 * 1024, 4);
    let mut wire = Wire::connect(receiver.0.address()).await.unwrap();
    wire.write(&head).await.unwrap();
    let mut sent = 0;
    while sent < 1024 * MIB && wire.write(&piece).await.is_ok() {
        sent += 64 * KIB;
    }
    // The answer was there before the connection broke.
    let answer = wire.answer().await.unwrap();
    assert_eq!((answer.status, answer.closes()), (413, true), "{}", answer.text());
    assert!(sent > LIMIT, "only {sent} bytes were sent");

    let grown = receiver.grown_beyond(before);
    eprintln!("{stack}: {} MiB sent, {} KiB grown", sent / MIB, grown / KIB);
    assert!(grown <= LIMIT + read_ahead(stack) + SLACK, "{grown} bytes");
    assert_eq!(receiver.counts().await.0, 0);
    receiver.is_delivered_to().await;
}

/// Opens so many connections, not more at a time than the system queues for the
/// receiver to accept: what comes too fast, the system itself resets.
async fn connect(receiver: &Receiver, connections: usize) -> Vec<Wire> {
    let mut wires = Vec::with_capacity(connections);
    while wires.len() < connections {
        for _ in 0..200.min(connections - wires.len()) {
            wires.push(Wire::connect(receiver.0.address()).await.unwrap());
        }
        // Accepted after all of them.
        receiver.is_delivered_to().await;
    }
    wires
}

/// Sends a wrong signature and 1 MiB: all of it but the last byte, until every
/// other connection has got that far or has been refused.
async fn hostile(mut wire: Wire, written: Bytes, all_there: Arc<Barrier>) -> io::Result<Answer> {
    let (most, last) = written.split_at(written.len() - 1);
    let mut written = Ok(());
    for part in most.chunks(64 * 1024) {
        if written.is_ok() {
            written = wire.write(part).await;
        }
    }
    let _ = timeout(Duration::from_secs(3), all_there.wait()).await;
    if written.is_ok() {
        // It may have been answered by now: then nobody reads this.
        let _ = wire.write(last).await;
    }
    wire.answer().await
}

async fn a_flood_of_large_bodies_stays_within_the_bound_and_honest_deliveries_pass(stack: Stack) {
    const CONNECTIONS: usize = 2000;
    allow_open_files(CONNECTIONS as u64 + 500);
    let _alone = ALONE.lock().await;
    let receiver = Receiver::warm(stack).await;
    let before = receiver.resident();
    let wires = connect(&receiver, CONNECTIONS).await;
    let runs_before = receiver.counts().await.1;

    let wrong = Secret::new("whsec_somebody_elses_secret").unwrap();
    let declared = Request::signed_with(&wrong, 0, vec![b'x'; MIB as usize]);
    let chunked = declared.clone().chunked(MIB as usize);
    let [declared, chunked] = [declared, chunked]
        .map(|request| Bytes::from([request.head_bytes(), request.body_bytes()].concat()));
    let all_there = Arc::new(Barrier::new(CONNECTIONS));
    let mut senders = JoinSet::new();
    for (number, wire) in wires.into_iter().enumerate() {
        let written = if number % 2 == 0 { &declared } else { &chunked };
        senders.spawn(hostile(wire, written.clone(), all_there.clone()));
    }

    let (mut honest, mut most_held) = (0, 0);
    let mut answers = BTreeMap::<u16, usize>::new();
    let mut longest = Duration::ZERO;
    while !senders.is_empty() {
        let sent = Instant::now();
        receiver.is_delivered_to().await;
        longest = longest.max(sent.elapsed());
        honest += 1;
        most_held = most_held.max(receiver.counts().await.0);
        while let Some(answer) = senders.try_join_next() {
            let answer = answer.unwrap().expect("every sender is answered");
            *answers.entry(answer.status).or_default() += 1;
        }
        sleep(Duration::from_millis(50)).await;
    }

    let connections = CONNECTIONS as u64;
    let budget = UnverifiedBudget::default().limit() as u64;
    let free = UnverifiedBudget::FREE_BYTES as u64 * connections;
    let bound = budget + free + read_ahead(stack) * connections;
    let grown = receiver.grown_beyond(before);
    eprintln!(
        "{stack}: {answers:?}, {honest} honest ones within {longest:?}; {} MiB held, {} MiB grown, {} MiB allowed",
        most_held / MIB,
        grown / MIB,
        bound / MIB
    );
    assert!(grown <= bound, "{grown} bytes, {bound} are allowed");
    assert!(most_held <= budget + free, "{most_held} bytes held");
    // Or it was no flood, and nothing has been tested.
    assert!(most_held > budget / 2, "only {most_held} bytes were ever held");
    assert!(answers.keys().all(|status| [401, 408, 503].contains(status)), "{answers:?}");
    assert!(answers.contains_key(&503), "{answers:?}");
    let (held, runs) = receiver.counts().await;
    assert_eq!((held, runs - runs_before), (0, honest), "only honest ones run");
}

/// The head of a chunked body, and of the body so many chunks of so many bytes,
/// without its end.
fn without_end(request: &Request, chunk: usize, chunks: usize) -> (Vec<u8>, Vec<u8>) {
    let body = Bytes::from(vec![b' '; chunk * chunks]);
    let request = Request { body, ..request.clone() }.chunked(chunk);
    let mut written = request.body_bytes();
    written.truncate(written.len() - b"0\r\n\r\n".len());
    (request.head_bytes(), written)
}

async fn bodies_in_chunks_of_a_byte_stay_within_the_bound(stack: Stack) {
    const CONNECTIONS: usize = 100;
    const BODY: usize = 128 * 1024;
    let _alone = ALONE.lock().await;
    let receiver = Receiver::warm(stack).await;
    let before = receiver.resident();
    let (head, body) = without_end(&Request::signed(""), 1, BODY);
    let written = Bytes::from([head, body].concat());
    let mut senders = JoinSet::new();
    for mut wire in connect(&receiver, CONNECTIONS).await {
        let written = written.clone();
        senders.spawn(async move {
            // The answer may come before all of it is taken.
            let _ = wire.write(&written).await;
            wire.answer().await.unwrap().status
        });
    }
    let answers = senders.join_all().await;
    assert!(answers.iter().all(|status| *status == 408), "{answers:?}");

    let grown = receiver.grown_beyond(before);
    let bound = (BODY as u64 + read_ahead(stack) + of_small_chunks(stack)) * CONNECTIONS as u64;
    eprintln!("{stack}: {} KiB grown, {} KiB allowed", grown / KIB, bound / KIB);
    assert!(grown <= bound, "{grown} bytes, {bound} are allowed");
}

async fn refused_chunked_bodies_without_end_are_cut_off_and_cost_nothing_after(stack: Stack) {
    const SENDERS: usize = 8;
    let receiver = Receiver::warm(stack).await;
    let before = receiver.resident();
    let (head, piece) = without_end(&Request::unsigned(""), 16 * 1024, 4);

    // Some write for as long as anything is taken.
    let mut senders = JoinSet::new();
    for mut wire in connect(&receiver, SENDERS).await {
        let (head, piece) = (head.clone(), piece.clone());
        senders.spawn(async move {
            wire.write(&head).await.unwrap();
            let writing = async { while wire.write(&piece).await.is_ok() {} };
            timeout(Duration::from_secs(20), writing).await.expect("it is read without end");
            wire.answer().await.unwrap()
        });
    }
    let mut answers = senders.join_all().await;

    // Others stop in the middle, and stay.
    let mut wires = connect(&receiver, SENDERS).await;
    for wire in &mut wires {
        wire.write(&[&*head, &*piece, b"4000\r\n"].concat()).await.unwrap();
    }
    for wire in &mut wires {
        answers.push(wire.answer().await.unwrap());
    }
    let busy = receiver.0.processor_time().unwrap();
    sleep(Duration::from_secs(1)).await;
    let busy = receiver.0.processor_time().unwrap() - busy;
    for wire in &mut wires {
        assert!(wire.is_closed_within(Duration::from_secs(20)).await, "a connection is kept");
    }

    for answer in answers {
        assert_eq!((answer.status, answer.closes()), (401, true), "{}", answer.text());
    }
    let grown = receiver.grown_beyond(before);
    let bound = (16 * KIB + read_ahead(stack)) * SENDERS as u64 + SLACK;
    eprintln!("{stack}: {} KiB grown, {} KiB allowed, {busy:?} busy", grown / KIB, bound / KIB);
    assert!(grown <= bound, "{grown} bytes, {bound} are allowed");
    assert!(busy < Duration::from_millis(250), "{busy:?} in a second in which nothing came");
}

async fn a_byte_a_second_is_answered_408_at_the_deadline(stack: Stack) {
    let receiver = Receiver::warm(stack).await;
    let started = Instant::now();
    let mut wire = Wire::connect(receiver.0.address()).await.unwrap();
    let body = Sample::of("pipeline.run.completed").body();
    wire.write(&Request::signed(body.clone()).head_bytes()).await.unwrap();
    let mut bytes = body.chunks(1);
    let answer = loop {
        wire.write(bytes.next().expect("an answer before the body's end")).await.unwrap();
        if let Ok(answer) = timeout(Duration::from_secs(1), wire.answer()).await {
            break answer.unwrap();
        }
    };
    assert_eq!((answer.status, answer.closes()), (408, true), "{}", answer.text());
    let (waited, sent) = (started.elapsed(), body.len() - bytes.len());
    assert!(waited >= Duration::from_secs(4), "the deadline is 4 s; answered after {waited:?}");
    assert!(sent <= 8, "it has read on for {sent} bytes");
    assert_eq!(receiver.counts().await.0, 0);
}

async fn ten_thousand_idle_connections_do_not_stop_an_honest_delivery(stack: Stack) {
    const CONNECTIONS: usize = 10_000;
    // On either side.
    allow_open_files(CONNECTIONS as u64 + 500);
    let _alone = ALONE.lock().await;
    let receiver = Receiver::warm(stack).await;
    let mut wires = connect(&receiver, CONNECTIONS).await;
    // Some have never said anything, some have stopped inside the head.
    for wire in wires.iter_mut().step_by(2) {
        wire.write(b"POST /webhooks/dataflow HTTP/1.1\r\nHost: local").await.unwrap();
    }
    for _ in 0..20 {
        receiver.is_delivered_to().await;
    }
    let open = receiver.0.open_files().unwrap();
    assert!(open >= CONNECTIONS, "only {open} of its connections were open");
}
