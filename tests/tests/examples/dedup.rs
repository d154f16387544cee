//! The receivers: where they remember what is done, as `DEDUP_URL` says.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

use dataflow_webhooks::testing::Sample;
use rustix::process::Signal;
use webhook_tests::{Example, Request};

use crate::receivers::{Receiver, each_receiver};

each_receiver! {
    in_sqlite_what_is_done_stays_done_through_a_restart,
    two_scopes_in_one_file_know_nothing_of_each_other,
    memory_is_the_default_by_its_name_too,
    what_is_no_store_is_one_line_without_it_and_exit_code_2,
    a_file_that_cannot_be_made_is_one_line_and_exit_code_1,
    while_its_server_is_away_a_receiver_runs_and_answers_503,
    an_option_that_no_database_knows_is_named_without_its_value,
}

/// The answer to one delivery of this event, and whether it was processed.
async fn deliver(receiver: Receiver, variables: &[(&str, &str)], id: &str) -> (u16, bool) {
    let mut program = Example::start(receiver.with_secret().envs(variables.iter().copied()));
    let address = program.address().await;
    let request = Request::signed(Sample::of("pipeline.created").id(id).body());
    let status = request.send(address).await.unwrap().status;
    program.signal(Signal::TERM);
    assert!(program.ended().await.success(), "{}", program.log());
    (status, !program.printed().is_empty())
}

/// A folder for one test's file; it is removed when this is dropped.
struct Folder(std::path::PathBuf);

impl Folder {
    fn new(receiver: Receiver, name: &str) -> Self {
        let name = format!("webhook-dedup-{}-{}-{name}", std::process::id(), receiver.0);
        let this = Self(std::env::temp_dir().join(name));
        std::fs::create_dir_all(&this.0).unwrap();
        this
    }

    fn url(&self) -> String {
        format!("sqlite://{}", self.0.join("dedup.db").display())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

async fn in_sqlite_what_is_done_stays_done_through_a_restart(receiver: Receiver) {
    let folder = Folder::new(receiver, "restart");
    let url = folder.url();
    let variables = [("DEDUP_URL", url.as_str())];
    assert_eq!(deliver(receiver, &variables, "evt_1").await, (200, true));
    assert_eq!(deliver(receiver, &variables, "evt_1").await, (200, false));
    assert_eq!(deliver(receiver, &variables, "evt_2").await, (200, true));
}

async fn two_scopes_in_one_file_know_nothing_of_each_other(receiver: Receiver) {
    let folder = Folder::new(receiver, "scopes");
    let url = folder.url();
    for scope in ["orders", "invoices"] {
        let variables = [("DEDUP_URL", url.as_str()), ("DEDUP_SCOPE", scope)];
        assert_eq!(deliver(receiver, &variables, "evt_1").await, (200, true), "{scope}");
    }
}

async fn memory_is_the_default_by_its_name_too(receiver: Receiver) {
    let variables = [("DEDUP_URL", "memory:")];
    for _ in 0..2 {
        assert_eq!(deliver(receiver, &variables, "evt_1").await, (200, true));
    }
}

async fn what_is_no_store_is_one_line_without_it_and_exit_code_2(receiver: Receiver) {
    let not_stores: &[&[u8]] = &[
        b"",
        b"whsec_a_secret_by_mistake",
        b"mysql://app:whsec_password@db/app",
        b"redis://",
        b"redisx://:whsec_password@cache",
        b"postgres://app:whsec_password@db:port/app",
        b"sqlite://",
        b"redis://:whsec_\xFFpassword@cache",
    ];
    for url in not_stores.iter().map(|url| OsStr::from_bytes(url)) {
        let mut command = receiver.with_secret();
        let (code, line) = Example::refusal(command.env("DEDUP_URL", url)).await;
        assert_eq!(code, Some(2), "{url:?}: {line}");
        assert!(line.contains("DEDUP_URL") && !line.contains("whsec"), "{url:?}: {line}");
    }
    let mut command = receiver.with_secret();
    command.env("DEDUP_URL", "redis://127.0.0.1").env("DEDUP_SCOPE", "a b");
    let (code, line) = Example::refusal(&mut command).await;
    assert_eq!(code, Some(2), "{line}");
    assert!(line.contains("DEDUP_SCOPE"), "{line}");
}

async fn a_file_that_cannot_be_made_is_one_line_and_exit_code_1(receiver: Receiver) {
    let path = "/no/such/folder/dedup.db";
    let mut command = receiver.with_secret();
    let url = format!("sqlite://{path}");
    let (code, line) = Example::refusal(command.env("DEDUP_URL", url)).await;
    assert_eq!(code, Some(1), "{line}");
    assert!(line.contains(path), "{line}");
}

async fn while_its_server_is_away_a_receiver_runs_and_answers_503(receiver: Receiver) {
    // A port that nothing listens on.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for url in [format!("redis://{free}"), format!("postgres://app@{free}/app")] {
        let variables = [("DEDUP_URL", url.as_str())];
        assert_eq!(deliver(receiver, &variables, "evt_1").await, (503, false), "{url}");
    }
}

async fn an_option_that_no_database_knows_is_named_without_its_value(receiver: Receiver) {
    let url = "postgres://app@127.0.0.1:1/app?sslmode=disable&sslpassword=whsec_password";
    let mut program = Example::start(receiver.with_secret().env("DEDUP_URL", url));
    program.address().await;
    program.signal(Signal::TERM);
    assert!(program.ended().await.success(), "{}", program.log());
    let log = program.log();
    assert!(log.contains("sslpassword") && !log.contains("sslmode"), "{log}");
    assert!(!log.contains("whsec"), "{log}");
}
