//! What only the queue in NATS holds to: TLS, and events that are too large for the server.

use std::fs;
use std::process::Command;

use dataflow_webhooks::testing::Sample;
use tokio::time::{Duration, Instant, sleep};
use webhook_fleet_tests::kept::Folder;
use webhook_fleet_tests::nats::Nats;
use webhook_tests::{Example, Request};

/// A server with a certificate for this name that signs itself, and the certificate's file.
fn with_tls(name: &str) -> (Nats, Folder, String) {
    let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
    let server = Nats::start_tls(&made.cert.pem(), &made.signing_key.serialize_pem());
    let folder = Folder::new("fleet-inbox-tls");
    let file = folder.path().join("ca.pem");
    fs::write(&file, made.cert.pem()).unwrap();
    (server, folder, file.display().to_string())
}

fn inbox(server: &Nats) -> Command {
    let mut command = Example::with_secret("inbox");
    command.env("QUEUE_URL", server.url());
    command
}

fn event() -> Request {
    Request::signed(Sample::of("pipeline.created").id("evt_1").body())
}

#[tokio::test]
async fn a_server_whose_certificate_is_trusted_is_spoken_to() {
    let (server, _folder, file) = with_tls("127.0.0.1");
    assert!(server.url().starts_with("tls://"));
    let mut program = Example::start(inbox(&server).env("SSL_CERT_FILE", file));
    let address = program.address().await;
    let end = Instant::now() + Duration::from_secs(60);
    while event().send(address).await.unwrap().status != 200 || program.printed().is_empty() {
        assert!(Instant::now() < end, "{}", program.log());
        sleep(Duration::from_millis(50)).await;
    }
}

/// The reason is in the log, and in what a person is told.
async fn is_refused(command: impl Fn() -> Command) {
    let mut program = Example::start(&mut command());
    program.logged("invalid peer certificate").await;
    let (code, line) = Example::refusal(command().arg("dead")).await;
    assert_eq!(code, Some(1), "{line}");
    assert!(line.contains("invalid peer certificate"), "{line}");
}

#[tokio::test]
async fn a_certificate_nobody_vouches_for_is_refused_and_the_log_says_so() {
    let (server, _folder, _file) = with_tls("127.0.0.1");
    is_refused(|| inbox(&server)).await;
}

#[tokio::test]
async fn a_certificate_for_another_name_is_refused() {
    let (server, _folder, file) = with_tls("nats.example");
    is_refused(|| {
        let mut command = inbox(&server);
        command.env("SSL_CERT_FILE", &file);
        command
    })
    .await;
}

#[tokio::test]
async fn an_event_too_large_for_the_server_is_refused_and_the_log_says_what_to_set() {
    let server = Nats::start();
    let mut program = Example::start(inbox(&server).arg("receiver"));
    let address = program.address().await;
    let line = program.logged("max_payload").await;
    for said in ["1048576 bytes", "`max_payload: 2MB`", "503"] {
        assert!(line.contains(said), "{said:?} at the start: {line}");
    }
    let empty = Sample::of("pipeline.created").id("evt_large").data("filler", "").body().len();
    let filler = "x".repeat((1 << 20) - empty);
    let body = Sample::of("pipeline.created").id("evt_large").data("filler", &*filler).body();
    assert_eq!(body.len(), 1 << 20);
    assert_eq!(Request::signed(body).send(address).await.unwrap().status, 503);
    let line = program.logged("was not put into the queue").await;
    for said in ["ERROR", "id:evt_large", "has 1048576 bytes", "max_payload", "1048576 bytes:"] {
        assert!(line.contains(said), "{said:?}: {line}");
    }
    assert!(line.contains("`max_payload: 2MB`"), "{line}");
}
