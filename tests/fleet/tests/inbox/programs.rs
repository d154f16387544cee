//! The programs, as a user starts them: what they print, how they end, and what becomes of a
//! job whose process dies.

use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use dataflow_webhooks::testing::Sample;
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use webhook_fleet_tests::kept::Folder;
use webhook_fleet_tests::nats::Nats;
use webhook_tests::{Example, Request};

use crate::on;
use crate::place::{PROGRAM, Place, wait_for_dead};

on! {
    [sqlite, postgres, nats]
    one_program_receives_works_and_prints_a_line_with_the_attempt,
    a_receiver_keeps_events_until_there_is_a_worker,
    a_worker_that_is_told_to_stop_ends_its_job_first,
    a_worker_that_is_told_twice_stops_at_once_and_its_job_runs_again,
    a_job_that_kills_its_process_is_given_up_on_and_others_go_on,
    a_person_lists_what_was_given_up_on_and_runs_it_again,
}

on! {
    [postgres_of_its_own, nats]
    a_queue_that_is_away_costs_503_and_is_used_when_it_is_back,
}

/// An event for the program's job.
fn told(id: &str, job: &str) -> Sample {
    Sample::of("pipeline.created").id(id).data("job", job)
}

async fn sent(sample: Sample, address: SocketAddr) -> u16 {
    Request::signed(sample.body()).send(address).await.unwrap().status
}

fn line(id: &str, attempt: u32) -> Value {
    json!({"event_id": id, "type": "pipeline.created", "attempt": attempt, "key": "current"})
}

/// Waits for so many lines.
async fn printed(program: &Example, count: usize) -> Vec<Value> {
    let end = Instant::now() + Duration::from_secs(60);
    while program.printed().len() < count {
        assert!(Instant::now() < end, "{:?}\n{}", program.printed(), program.log());
        sleep(Duration::from_millis(5)).await;
    }
    program.printed().iter().map(|line| serde_json::from_str(line).unwrap()).collect()
}

async fn ended(program: &mut Example, code: i32) {
    assert_eq!(program.ended().await.code(), Some(code), "{}", program.log());
}

async fn one_program_receives_works_and_prints_a_line_with_the_attempt(place: Place) {
    let _queue = place.queue().await;
    let mut program = Example::start(&mut place.program(Example::path("inbox"), &[]));
    let address = program.address().await;
    for _ in 0..2 {
        assert_eq!(sent(told("evt_1", ""), address).await, 200);
    }
    assert_eq!(printed(&program, 1).await, [line("evt_1", 1)]);
    program.signal(Signal::TERM);
    ended(&mut program, 0).await;

    // What runs again has the next attempt in its line.
    let mut program = Example::start(&mut place.program(PROGRAM, &[]));
    let address = program.address().await;
    for id in ["evt_1", "evt_2"] {
        assert_eq!(sent(told(id, "fails first"), address).await, 200);
    }
    assert_eq!(printed(&program, 1).await, [line("evt_2", 2)]);
    assert_eq!(place.kept().await, 2);
}

async fn a_receiver_keeps_events_until_there_is_a_worker(place: Place) {
    let _queue = place.queue().await;
    let mut receiver = Example::start(&mut place.program(PROGRAM, &["receiver"]));
    let address = receiver.address().await;
    assert_eq!(sent(told("evt_1", ""), address).await, 200);
    receiver.signal(Signal::TERM);
    ended(&mut receiver, 0).await;
    assert_eq!(receiver.printed(), [""; 0]);

    let mut worker = Example::start(place.program(PROGRAM, &["worker"]).env_remove("BIND"));
    assert_eq!(printed(&worker, 1).await, [line("evt_1", 1)]);
    worker.signal(Signal::TERM);
    ended(&mut worker, 0).await;
}

async fn a_worker_that_is_told_to_stop_ends_its_job_first(place: Place) {
    let _queue = place.queue().await;
    let mut program = Example::start(&mut place.program(PROGRAM, &[]));
    let address = program.address().await;
    let slow = told("evt_1", "is slow").data("milliseconds", 1_000);
    assert_eq!(sent(slow, address).await, 200);
    assert_eq!(printed(&program, 1).await, [json!("began evt_1")]);
    program.signal(Signal::TERM);
    ended(&mut program, 0).await;
    assert_eq!(printed(&program, 2).await[1], line("evt_1", 1));

    // And the queue knows.
    let mut program = Example::start(&mut place.program(PROGRAM, &[]));
    let address = program.address().await;
    assert_eq!(sent(told("evt_2", ""), address).await, 200);
    assert_eq!(printed(&program, 1).await, [line("evt_2", 1)]);
}

async fn a_worker_that_is_told_twice_stops_at_once_and_its_job_runs_again(place: Place) {
    let _queue = place.queue().await;
    let mut program = Example::start(&mut place.program(PROGRAM, &[]));
    let address = program.address().await;
    let slow = told("evt_1", "is slow").data("milliseconds", 1_500);
    assert_eq!(sent(slow, address).await, 200);
    assert_eq!(printed(&program, 1).await, [json!("began evt_1")]);
    program.signal(Signal::TERM);
    program.logged("waiting for the jobs").await;
    program.signal(Signal::TERM);
    ended(&mut program, 1).await;
    assert_eq!(program.printed().len(), 1);

    let worker = Example::start(&mut place.program(PROGRAM, &["worker"]));
    assert_eq!(printed(&worker, 2).await, [json!("began evt_1"), line("evt_1", 2)]);
}

async fn a_job_that_kills_its_process_is_given_up_on_and_others_go_on(place: Place) {
    let queue = place.queue().await;
    let mut receiver = Example::start(&mut place.program(PROGRAM, &["receiver"]));
    let address = receiver.address().await;
    assert_eq!(sent(told("evt_1", "dies"), address).await, 200);
    let mut command = place.program(PROGRAM, &["worker"]);
    command.env("MAX_ATTEMPTS", "2");
    for _ in 0..2 {
        let mut worker = Example::start(&mut command);
        assert_eq!(worker.ended().await.code(), None, "{}", worker.log());
    }
    let worker = Example::start(&mut command);
    let dead = wait_for_dead(&queue, 1).await;
    assert!(dead[0].error.contains("its worker died"), "{dead:?}");
    assert_eq!(sent(told("evt_2", ""), address).await, 200);
    assert_eq!(printed(&worker, 1).await, [line("evt_2", 1)]);
}

async fn a_person_lists_what_was_given_up_on_and_runs_it_again(place: Place) {
    let queue = place.queue().await;
    let inbox = Example::path("inbox");
    let mut broken = Example::start(&mut place.program(PROGRAM, &[]));
    let address = broken.address().await;
    for id in ["evt_1", "evt two"] {
        assert_eq!(sent(told(id, "fails"), address).await, 200);
    }
    wait_for_dead(&queue, 2).await;
    broken.killed().await;

    let mut list = Example::start(&mut place.program(&inbox, &["dead"]));
    ended(&mut list, 0).await;
    let listed = |id: &str| {
        let error = "it was told to fail";
        json!({"event_id": id, "type": "pipeline.created", "attempts": 3, "error": error})
    };
    let lines = printed(&list, 2).await;
    assert!(lines.contains(&listed("evt_1")) && lines.contains(&listed("evt two")), "{lines:?}");
    assert_eq!(lines.len(), 2);

    let retry = ["retry", "evt two"];
    let mut again = Example::start(&mut place.program(&inbox, &retry));
    ended(&mut again, 0).await;
    let mended = Example::start(&mut place.program(&inbox, &["worker"]));
    assert_eq!(printed(&mended, 1).await, [line("evt two", 1)]);
    let (code, why) = Example::refusal(place.program(&inbox, &retry).env("RUST_LOG", "off")).await;
    assert_eq!((code, &*why), (Some(1), r#"inbox: no event "evt two" was given up on"#));
}

async fn a_queue_that_is_away_costs_503_and_is_used_when_it_is_back(mut place: Place) {
    place.kill();
    let mut program = Example::start(&mut place.program(PROGRAM, &[]));
    let address = program.address().await;
    assert_eq!(sent(told("evt_1", ""), address).await, 503);
    place.restart();
    // In life the sender comes again after a minute.
    let end = Instant::now() + Duration::from_secs(60);
    while sent(told("evt_1", ""), address).await != 200 {
        assert!(Instant::now() < end, "{}", program.log());
        sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(printed(&program, 1).await, [line("evt_1", 1)]);

    // And again, with a worker and its connections.
    place.kill();
    assert_eq!(sent(told("evt_2", ""), address).await, 503);
    place.restart();
    while sent(told("evt_2", ""), address).await != 200 {
        assert!(Instant::now() < end, "{}", program.log());
        sleep(Duration::from_millis(100)).await;
    }
    // The first may run again, if its end was not heard of.
    while !printed(&program, 2).await.contains(&line("evt_2", 1)) {
        assert!(Instant::now() < end, "{:?}\n{}", program.printed(), program.log());
        sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_password_in_the_url_of_nats_opens_the_server_and_is_in_no_log() {
    let word = "pa ss/word";
    for (arguments, credentials) in [
        (["--user", "app", "--pass", word].as_slice(), "app:pa%20ss%2Fword"),
        (&["--auth", word], "pa%20ss%2Fword"),
    ] {
        let server = Nats::start_with(arguments);
        let url = server.url().replace("nats://", &format!("nats://{credentials}@"));
        let mut command = Example::with_secret("inbox");
        command.env("BIND", "127.0.0.1:0").env("QUEUE_URL", url).env("RUST_LOG", "trace");
        let mut program = Example::start(&mut command);
        let address = program.address().await;
        let end = Instant::now() + Duration::from_secs(60);
        while sent(told("evt_1", ""), address).await != 200 {
            assert!(Instant::now() < end, "{}", program.log());
            sleep(Duration::from_millis(100)).await;
        }
        assert_eq!(printed(&program, 1).await, [line("evt_1", 1)]);
        for shown in [word, "pa%20ss%2Fword"] {
            assert!(!program.log().contains(shown), "{}", program.log());
        }
    }
}

#[tokio::test]
async fn a_wrong_variable_or_argument_ends_it_with_2_and_a_line_that_says_which() {
    // One of them is found wrong when the queue is there.
    let folder = Folder::new("fleet-inbox");
    for (name, value, said) in [
        ("QUEUE_URL", "mysql://user:password@host", "QUEUE_URL: it must begin with"),
        ("QUEUE_URL", "sqlite://", "QUEUE_URL: it must name a file"),
        ("QUEUE_URL", "postgres://host:port", "QUEUE_URL: "),
        ("QUEUE_URL", "nats://", "QUEUE_URL: it must name a host"),
        ("QUEUE_URL", "nats://user:password%FF@host", "QUEUE_URL: the credentials"),
        ("QUEUE_NAME", "a.b", "QUEUE_NAME is \"a.b\"; it must be 1 to 64"),
        ("WORKERS", "0", "WORKERS is \"0\"; it must be a number from 1 to 10000"),
        ("MAX_ATTEMPTS", "no", "MAX_ATTEMPTS is \"no\""),
        ("RETRY_AFTER", "-1", "RETRY_AFTER is \"-1\""),
        ("LEASE", "1", "LEASE is \"1\"; it must be a number from 2 to 3600"),
        ("BIND", "here", "BIND is"),
    ] {
        let mut command = Example::with_secret("inbox");
        command.current_dir(folder.path());
        let (code, line) = Example::refusal(command.env(name, value)).await;
        assert_eq!(code, Some(2), "{line}");
        assert!(line.starts_with(&format!("inbox: {said}")), "{line}");
        assert!(!line.contains("password"), "{line}");
    }
    let (code, line) = Example::refusal(&mut Example::command("inbox")).await;
    assert!(code == Some(2) && line.contains("DATAFLOW_WEBHOOK_SECRET"), "{line}");
    let (code, line) = Example::refusal(Example::with_secret("inbox").arg("all")).await;
    assert!(code == Some(2) && line.starts_with("inbox: usage: "), "{line}");
}

#[tokio::test]
async fn a_file_that_cannot_be_made_ends_it_with_1() {
    let mut command = Example::with_secret("inbox");
    let mut program = Example::start_with_stdout(
        command.env("QUEUE_URL", "sqlite:///nowhere/at/all/inbox.db"),
        Stdio::null(),
    );
    ended(&mut program, 1).await;
    assert!(program.log().contains("/nowhere/at/all/inbox.db"), "{}", program.log());
}
