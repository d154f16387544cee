//! The Node.js and Python samples of the platform's documentation ("Verifying
//! Webhook Signatures"), run unchanged: they and this crate make the same
//! signatures and accept each other's.

use bytes::Bytes;
use dataflow_webhooks::testing::Sample;
use dataflow_webhooks::{Event, Rejection, Secret, VerifiedSignature, Verifier, sign};
use dataflow_webhooks_axum::{WebhookDelivery, WebhookLayer};
use jiff::Timestamp;
use serde_json::json;
use webhook_tests::{Peer, Receiver, endpoint, hex, secret};

const NOW: i64 = 1_706_096_400;

/// Each test below is made for either language.
macro_rules! in_both_languages {
    ($($(#[$attribute:meta])* $name:ident)*) => {
        mod node {
            $(#[test] fn $name() { super::$name(super::Peer::node("driver.js")); })*
        }
        mod python {
            $(#[test] fn $name() { super::$name(super::Peer::python("driver.py")); })*
        }
    };
}

in_both_languages! {
    the_sample_and_we_agree_on_every_documented_event
    the_sample_and_we_agree_on_multi_byte_bodies
    the_sample_and_we_agree_on_bodies_of_0_bytes_to_1_mib
    the_sample_and_we_refuse_a_changed_body_and_another_secret
    a_body_that_is_no_text_has_the_same_mac_over_bytes
}

fn verifier() -> Verifier {
    Verifier::new(secret()).clock(|| Timestamp::from_second(NOW).unwrap())
}

fn check(header: &str, body: &[u8]) -> Result<VerifiedSignature, Rejection> {
    verifier().check([header], body)
}

/// What the sample says to this body, and the signature that it made itself.
fn verify(peer: &mut Peer, body: &[u8], header: &str, secret: &Secret) -> (bool, String) {
    let answer = peer.ask(&json!({
        "op": "verify",
        "payload": hex(body),
        "signature": header,
        "secret": secret.secret_str(),
    }));
    let produced = answer["produced"].as_str().unwrap_or("nothing");
    (answer["accepted"] == true, format!("t={NOW},v1={produced}"))
}

/// Both make the same signature, and each accepts the other's.
fn assert_agreed(peer: &mut Peer, body: &[u8]) {
    let what = format!("{} bytes", body.len());
    let ours = sign(&secret(), Timestamp::from_second(NOW).unwrap(), body);
    let (accepted, theirs) = verify(peer, body, &ours, &secret());
    assert!(accepted, "the sample refuses ours: {what}");
    check(&theirs, body).unwrap_or_else(|why| panic!("we refuse the sample's: {what}: {why}"));
    assert_eq!(theirs, ours, "{what}");
}

fn the_sample_and_we_agree_on_every_documented_event(mut peer: Peer) {
    assert_eq!(Sample::all().len(), 14);
    for sample in Sample::all() {
        assert_agreed(&mut peer, &sample.body());
    }
}

fn the_sample_and_we_agree_on_multi_byte_bodies(mut peer: Peer) {
    let texts = [
        "Grüße aus Köln",
        "пайплайн",
        "データ",
        "🚀👩‍🚀",
        "\u{feff}bom",
        "\u{0}\u{1f}",
        "a\u{301}\u{2028}",
    ];
    for text in texts {
        assert_agreed(&mut peer, text.as_bytes());
        let body = Sample::of("pipeline.run.failed").data("error", text).body();
        assert_agreed(&mut peer, &body);
        assert_agreed(&mut peer, &text.repeat(10_000).into_bytes());
    }
}

fn the_sample_and_we_agree_on_bodies_of_0_bytes_to_1_mib(mut peer: Peer) {
    // Around the blocks of SHA-256, the buffers on the way, and the limit.
    let around = |n: usize| [n - 1, n, n + 1];
    let lengths = (0..=130)
        .chain([192, 256, 1024, 4096, 16 * 1024, 64 * 1024].map(around).concat())
        .chain([1024 * 1024 - 1, 1024 * 1024]);
    let letters: Vec<u8> = (b' '..=b'~').cycle().take(1024 * 1024).collect();
    for length in lengths {
        assert_agreed(&mut peer, &letters[..length]);
    }
}

fn the_sample_and_we_refuse_a_changed_body_and_another_secret(mut peer: Peer) {
    let body = Sample::of("quality.rule.failed").body();
    let good = sign(&secret(), Timestamp::from_second(NOW).unwrap(), &body);
    let changed = [&body[..], b" "].concat();
    assert!(!verify(&mut peer, &changed, &good, &secret()).0);
    assert!(check(&good, &changed).is_err());

    let other = Secret::new("whsec_somebody_elses_secret").unwrap();
    let (accepted, theirs) = verify(&mut peer, &body, &good, &other);
    assert!(!accepted);
    assert!(check(&theirs, &body).is_err());
}

/// The samples take the payload for a string, and what is no UTF-8 is none: the
/// signature is one over bytes all the same.
fn a_body_that_is_no_text_has_the_same_mac_over_bytes(mut peer: Peer) {
    let all: Vec<u8> = (0..=255).collect();
    let bodies = [vec![0xff], vec![0xc3, 0x28], b"{\"id\":\"\x80\"}".to_vec(), all.repeat(4096)];
    for body in bodies {
        let ours = sign(&secret(), Timestamp::from_second(NOW).unwrap(), &body);
        assert!(!verify(&mut peer, &body, &ours, &secret()).0, "the sample can read it after all");
        let answer = peer.ask(&json!({
            "op": "mac",
            "payload": hex(&body),
            "t": NOW.to_string(),
            "secret": secret().secret_str(),
        }));
        let theirs = format!("t={NOW},v1={}", answer["produced"].as_str().unwrap());
        assert_eq!(theirs, ours);
        check(&theirs, &body).unwrap();
    }
}

/// The sample's route parses the body and writes it again before it verifies:
/// that works for what it writes itself.
#[test]
fn the_samples_express_route_accepts_what_we_sign() {
    let mut peer = Peer::node("driver.js");
    for sample in Sample::all() {
        let body = sample.body();
        for (signed, status) in [(&body[..], 200), (b"{}", 401)] {
            let answer = peer.ask(&json!({
                "op": "post",
                "payload": hex(&body),
                "signature": sign(&secret(), Timestamp::from_second(NOW).unwrap(), signed),
                "secret": secret().secret_str(),
            }));
            assert_eq!(answer, json!({ "status": status }));
        }
    }
}

/// Node's fetch and Python's http.client are senders here: they deliver what the
/// sample of their language has signed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_samples_sign_is_delivered_by_their_own_clients() {
    let clock = || Timestamp::from_second(NOW).unwrap();
    let endpoint = endpoint().clock(clock).without_dedup().build().unwrap();
    let handle = |WebhookDelivery(delivery): WebhookDelivery| async move {
        // What is decoded later, from a queue, is the same event.
        let later = Event::from_trusted_json(delivery.body()).unwrap();
        assert_eq!(later.id, delivery.id());
    };
    let route = axum::routing::post(handle).route_layer(WebhookLayer::new(endpoint.clone()));
    let receiver = Receiver::start(axum::Router::new().route("/webhooks/dataflow", route)).await;
    let url = format!("http://{}/webhooks/dataflow", receiver.address());

    let large = Sample::of("pipeline.run.failed").data("error", "é".repeat(300_000)).body();
    let bodies: Vec<Bytes> = Sample::all().map(|sample| sample.body()).chain([large]).collect();
    let delivered = tokio::task::spawn_blocking(move || {
        let peers = [
            (Peer::node("driver.js"), Peer::node("send.js")),
            (Peer::python("driver.py"), Peer::python("send.py")),
        ];
        let mut delivered = 0;
        for (mut driver, mut sender) in peers {
            for body in &bodies {
                let none = format!("t={NOW},v1={}", "0".repeat(64));
                let (_, signature) = verify(&mut driver, body, &none, &secret());
                let request = json!({ "url": url, "signature": signature, "body": hex(body) });
                assert_eq!(sender.ask(&request), json!({ "status": 200 }));
                delivered += 1;
            }
        }
        delivered
    });
    let delivered = delivered.await.unwrap();
    assert_eq!((endpoint.counts().handlers_succeeded, delivered), (30, 30));
}
