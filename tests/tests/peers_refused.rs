//! A refused body is read on before it is answered, so that senders which write
//! all of it before they read report the status and not a broken pipe.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{self, Command};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use dataflow_webhooks::sign;
use dataflow_webhooks_axum::{Webhook, WebhookLayer};
use jiff::Timestamp;
use serde_json::json;
use webhook_tests::{Peer, Receiver, endpoint, secret, undisturbed};

const TRIES: usize = 20;

/// Just over the limit; what axum's own limit is; far over it.
const SIZES: [usize; 3] = [1024 * 1024 + 1, 2_000_000, 10_000_000];

/// One try: a body of this many blanks, signed or not, to this address. Says
/// what the client reports.
type Send<'a> = dyn FnMut(SocketAddr, usize, Option<&str>) -> String + 'a;

/// Each size so many times, once as a signed delivery and once with a wrong
/// signature. Every single try must be reported with its status.
fn assert_every_status_is_reported(send: &mut Send<'_>) {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let receiver = runtime.block_on(async {
        let layer = WebhookLayer::new(endpoint().build().unwrap());
        let route = axum::routing::post(async |_: Webhook| ()).route_layer(layer);
        Receiver::start(axum::Router::new().route("/webhooks/dataflow", route)).await
    });
    let mut wrong = Vec::new();
    for size in SIZES {
        let body = vec![b' '; size];
        let good = sign(&secret(), Timestamp::now(), &body);
        // What is refused for its head is refused sooner.
        for (signature, status) in [(Some(good.as_str()), "413"), (None, "401")] {
            for _ in 0..TRIES {
                // It is read on for a second, and no longer for a sender that stands still.
                let report = undisturbed(
                    || send(receiver.address(), size, signature),
                    |report| report != status,
                );
                if report != status {
                    wrong.push(format!("{size} bytes: {report}, not {status}"));
                }
            }
        }
    }
    let tries = SIZES.len() * 2 * TRIES;
    assert!(wrong.is_empty(), "{} of {tries}: {wrong:#?}", wrong.len());
}

fn url(to: SocketAddr) -> String {
    format!("http://{to}/webhooks/dataflow")
}

fn by_peer(mut peer: Peer) -> impl FnMut(SocketAddr, usize, Option<&str>) -> String {
    move |to, blanks, signature| {
        let answer = peer.ask(&json!({ "url": url(to), "signature": signature, "blanks": blanks }));
        match answer["status"].as_u64() {
            Some(status) => status.to_string(),
            None => answer["error"].to_string(),
        }
    }
}

/// A folder of its own for the bodies that curl reads.
struct Bodies(PathBuf);

impl Bodies {
    fn new() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("webhook-tests-{}-{}", process::id(), NEXT.fetch_add(1, Relaxed));
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir(&folder).unwrap();
        Self(folder)
    }

    /// The path of a file of so many blanks.
    fn of(&self, size: usize) -> PathBuf {
        let path = self.0.join(size.to_string());
        if !path.exists() {
            std::fs::write(&path, vec![b' '; size]).unwrap();
        }
        path
    }
}

impl Drop for Bodies {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// curl, with options beside those of a plain POST.
fn by_curl(options: &'static [&str]) -> impl FnMut(SocketAddr, usize, Option<&str>) -> String {
    let bodies = Bodies::new();
    move |to, size, signature| {
        let body = bodies.of(size);
        let mut curl = Command::new("curl");
        curl.args(["-sS", "-o", "/dev/null", "-w", "%{http_code}", "--max-time", "30"]);
        curl.args(options).arg("--data-binary").arg(format!("@{}", body.display()));
        if let Some(signature) = signature {
            curl.arg("-H").arg(format!("X-DataFlow-Signature: {signature}"));
        }
        let output = curl.arg(url(to)).output().expect("the feature `peers` needs curl");
        let report = String::from_utf8_lossy(&output.stdout).into_owned();
        // It knows the status even where it fails, and then says both.
        match output.status.success() {
            true => report,
            false => format!("{report}, {}", String::from_utf8_lossy(&output.stderr)),
        }
    }
}

#[test]
fn pythons_http_client_reports_the_status() {
    assert_every_status_is_reported(&mut by_peer(Peer::python("send.py")));
}

#[test]
fn nodes_fetch_reports_the_status() {
    assert_every_status_is_reported(&mut by_peer(Peer::node("send.js")));
}

/// With `Expect: 100-continue`, as curl sends it for more than 1 MiB.
#[test]
fn curl_reports_the_status() {
    assert_every_status_is_reported(&mut by_curl(&[]));
}

#[test]
fn curl_without_expect_reports_the_status() {
    assert_every_status_is_reported(&mut by_curl(&["-H", "Expect:"]));
}

#[test]
fn curl_in_chunks_reports_the_status() {
    let options = &["-H", "Expect:", "-H", "Transfer-Encoding: chunked"];
    assert_every_status_is_reported(&mut by_curl(options));
}
