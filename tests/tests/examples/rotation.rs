//! The receivers: their secret file is read again on SIGHUP.

use std::net::SocketAddr;
use std::time::Duration;

use dataflow_webhooks::testing::Sample;
use dataflow_webhooks_axum::Secret;
use rustix::process::Signal;
use webhook_tests::{Example, Request, SECRET, Stopwatch, TemporaryFile};

use crate::receivers::{Receiver, each_receiver};

each_receiver! {
    a_secret_is_rotated_without_a_restart_within_a_second,
    a_bad_file_leaves_the_old_keys_in_force_and_the_log_says_why,
    a_secret_from_the_environment_is_not_read_again,
}

const OLD: &str = "whsec_old_1a2b3c4d5e6f7g8h";
const NEW: &str = "whsec_new_9z8y7x6w5v4u3t2s";

/// The answer to a fresh event signed with this secret.
async fn answer_to(secret: &str, address: SocketAddr) -> u16 {
    let secret = Secret::new(secret).unwrap();
    let event = Sample::of("pipeline.created");
    Request::signed_with(&secret, 0, event.body()).send(address).await.unwrap().status
}

/// Waits for an answer to a fresh event signed with this secret to become this
/// one, for a second and no longer.
async fn becomes(status: u16, secret: &str, address: SocketAddr) -> bool {
    let asked = Stopwatch::start();
    loop {
        if answer_to(secret, address).await == status {
            return asked.ran() <= Duration::from_secs(1);
        }
        if asked.ran() > Duration::from_secs(5) {
            return false;
        }
    }
}

async fn a_secret_is_rotated_without_a_restart_within_a_second(receiver: Receiver) {
    let file = TemporaryFile::new("rotation", format!("{OLD}\n"));
    let mut program = Example::start(receiver.command().env("DATAFLOW_WEBHOOK_SECRET_FILE", &file));
    let address = program.address().await;
    assert_eq!((answer_to(OLD, address).await, answer_to(NEW, address).await), (200, 401));

    file.write(format!("{NEW},{OLD}\n"));
    program.signal(Signal::HUP);
    assert!(becomes(200, NEW, address).await, "{}", program.log());
    assert_eq!(answer_to(OLD, address).await, 200);

    file.write(format!("{NEW}\n"));
    program.signal(Signal::HUP);
    assert!(becomes(401, OLD, address).await, "{}", program.log());
    assert_eq!(answer_to(NEW, address).await, 200);

    program.signal(Signal::TERM);
    assert!(program.ended().await.success());
    let printed = program.printed();
    let keys: Vec<_> = printed.iter().map(|line| line.rsplit('"').nth(1).unwrap()).collect();
    assert!(keys.contains(&"current") && keys.contains(&"previous"), "{printed:?}");
    let log = program.log();
    assert!(!log.contains(OLD) && !log.contains(NEW), "{log}");
}

async fn a_bad_file_leaves_the_old_keys_in_force_and_the_log_says_why(receiver: Receiver) {
    let file = TemporaryFile::new("bad-rotation", OLD);
    let mut program = Example::start(receiver.command().env("DATAFLOW_WEBHOOK_SECRET_FILE", &file));
    let address = program.address().await;
    let bad =
        [("", "empty"), ("whsec_short", "11 bytes long"), ("whsec_blank in it, x", "white space")];
    for (content, why) in bad {
        file.write(content);
        program.signal(Signal::HUP);
        let line = program.logged("the old keys stay in force").await;
        assert!(line.contains(why), "{line}");
        assert!(!line.contains("whsec"), "{line}");
        assert_eq!(answer_to(OLD, address).await, 200);
    }
    drop(file);
    program.signal(Signal::HUP);
    let line = program.logged("the old keys stay in force").await;
    assert!(line.contains("cannot read the secret file"), "{line}");
    assert_eq!(answer_to(OLD, address).await, 200);
}

async fn a_secret_from_the_environment_is_not_read_again(receiver: Receiver) {
    let mut program = Example::start(&mut receiver.with_secret());
    let address = program.address().await;
    program.signal(Signal::HUP);
    program.logged("there is nothing to read again").await;
    assert_eq!(answer_to(SECRET, address).await, 200);
}
