//! What the program does when a claim is lost, a transaction fails, a database is away or
//! not named.

use std::io::{ErrorKind, PipeReader, Read as _, Write as _, pipe};
use std::process::Stdio;

use dataflow_webhooks::dedup::{Claim, DedupStore as _, Held};
use rustix::io::ioctl_fionbio;
use rustix::process::Signal;
use webhook_fleet_tests::calls::{key, new_claim, terms};
use webhook_tests::{Example, Request};

use crate::place::{Place, Totals};
use crate::{PROGRAM, completed_run, on_each_database, pipeline, records};

on_each_database! {
    a_run_whose_claim_was_lost_leaves_no_trace_and_a_later_one_counts_once,
    a_transaction_that_fails_at_its_end_leaves_nothing_and_the_event_comes_again,
}

/// A stdout that is full: whoever prints waits until it is read.
fn full_pipe() -> (PipeReader, Stdio) {
    let (reader, mut writer) = pipe().unwrap();
    ioctl_fionbio(&writer, true).unwrap();
    let full = loop {
        if let Err(error) = writer.write(&[b'\n'; 4096]) {
            break error;
        }
    };
    assert_eq!(full.kind(), ErrorKind::WouldBlock);
    ioctl_fionbio(&writer, false).unwrap();
    (reader, writer.into())
}

async fn a_run_whose_claim_was_lost_leaves_no_trace_and_a_later_one_counts_once(place: Place) {
    let (mut reader, stdout) = full_pipe();
    let (_program, address) = place.start(stdout).await;
    let request = Request::signed(completed_run(1).id("evt_1").body());
    let first = tokio::spawn(async move { request.send(address).await.unwrap() });
    // It has its claim, and waits with its line: the transaction has not begun.
    place.until_it_is(1, "SELECT count(*) FROM dataflow_webhooks_dedup").await;

    // Another process takes over, as if the lease had lapsed.
    let store = place.store();
    let lost = Claim::new(key("evt_1"), 1);
    assert_eq!(store.release(&lost, terms()).await.unwrap(), Held::Yes);
    let taken = new_claim(&store, "evt_1").await;
    assert_eq!(taken.epoch(), 2);

    std::thread::spawn(move || reader.read_to_end(&mut Vec::new()));
    let answer = first.await.unwrap();
    assert!(answer.status >= 500, "{answer:?}");
    assert_eq!(place.totals().await, Totals::new());
    assert_eq!(store.release(&taken, terms()).await.unwrap(), Held::Yes);
    for _ in 0..2 {
        let request = Request::signed(completed_run(1).id("evt_1").body());
        assert_eq!(request.send(address).await.unwrap().status, 200);
        assert_eq!(place.totals().await, Totals::from([(pipeline(1), (1, records(1)))]));
    }
}

async fn a_transaction_that_fails_at_its_end_leaves_nothing_and_the_event_comes_again(
    place: Place,
) {
    // A foreign key that is looked at when the transaction ends: both of its writes are in it.
    place
        .execute(
            "CREATE TABLE pipelines (id text PRIMARY KEY);
             CREATE TABLE pipeline_totals (
                pipeline_id text PRIMARY KEY
                    REFERENCES pipelines (id) DEFERRABLE INITIALLY DEFERRED,
                runs bigint NOT NULL,
                records bigint NOT NULL
             )",
        )
        .await;
    let (mut program, address) = place.start(Stdio::piped()).await;
    let request = Request::signed(completed_run(1).id("evt_1").body());
    assert_eq!(request.send(address).await.unwrap().status, 500);
    program.logged("comes again").await;
    assert_eq!(place.totals().await, Totals::new());

    place.execute("INSERT INTO pipelines VALUES ('pipe_1')").await;
    for _ in 0..2 {
        assert_eq!(request.send(address).await.unwrap().status, 200);
        assert_eq!(place.totals().await, Totals::from([(pipeline(1), (1, records(1)))]));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_that_is_lost_during_the_transaction_rolls_it_back_on_postgresql() {
    let place = Place::postgres();
    let (mut program, address) = place.start(Stdio::piped()).await;
    let Place::Postgres(_, pool) = &place else { unreachable!() };
    let mut busy = pool.begin().await.unwrap();
    sqlx::query("LOCK TABLE pipeline_totals").execute(&mut *busy).await.unwrap();
    let request = Request::signed(completed_run(1).id("evt_1").body());
    let first = tokio::spawn(async move { request.send(address).await.unwrap() });
    // It waits with its increment: the transaction has begun.
    place.until_it_is(1, "SELECT count(*) FROM pg_locks WHERE NOT granted").await;

    let store = place.store();
    let lost = Claim::new(key("evt_1"), 1);
    assert_eq!(store.release(&lost, terms()).await.unwrap(), Held::Yes);
    let taken = new_claim(&store, "evt_1").await;
    busy.rollback().await.unwrap();
    assert!(first.await.unwrap().status >= 500);
    program.logged("the claim on the event was lost").await;
    assert_eq!(place.totals().await, Totals::new());
    // The other one's completion stands.
    assert_eq!(store.commit(&taken, terms()).await.unwrap(), Held::Yes);
}

#[tokio::test]
async fn without_a_database_it_ends_with_2_and_without_its_file_with_1() {
    let not_databases = [
        "",
        "memory:",
        "redis://:whsec_password@cache",
        "postgres://app:whsec_password@db:port/app",
        "sqlite://",
    ];
    let (code, line) = Example::refusal(&mut Example::with_secret(PROGRAM)).await;
    assert!(code == Some(2) && line.contains("DATABASE_URL"), "{line}");
    for url in not_databases {
        let mut command = Example::with_secret(PROGRAM);
        let (code, line) = Example::refusal(command.env("DATABASE_URL", url)).await;
        assert_eq!(code, Some(2), "{url}: {line}");
        assert!(line.contains("DATABASE_URL") && !line.contains("whsec"), "{url}: {line}");
    }
    let mut command = Example::with_secret(PROGRAM);
    let url = "sqlite:///no/such/folder/totals.db";
    let (code, line) = Example::refusal(command.env("DATABASE_URL", url)).await;
    assert!(code == Some(1) && line.contains("/no/such/folder"), "{line}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_starts_while_its_server_is_away_and_counts_once_it_is_there() {
    let mut place = Place::postgres();
    let url = place.url();
    let Place::Postgres(server, _) = &mut place else { unreachable!() };
    server.kill();
    let mut program = Example::start(Example::with_secret(PROGRAM).env("DATABASE_URL", url));
    let address = program.address().await;
    let request = Request::signed(completed_run(1).id("evt_1").body());
    assert_eq!(request.send(address).await.unwrap().status, 503);
    server.restart();
    place.until_it_is(1, "SELECT count(*) + 1 FROM dataflow_webhooks_dedup").await;
    assert_eq!(request.send(address).await.unwrap().status, 200);
    assert_eq!(place.totals().await, Totals::from([(pipeline(1), (1, records(1)))]));

    program.signal(Signal::TERM);
    assert!(program.ended().await.success(), "{}", program.log());
    let line = r#"{"event_id":"evt_1","type":"pipeline.run.completed","epoch":1,"key":"current"}"#;
    assert_eq!(program.printed(), [line]);
}
