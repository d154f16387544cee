//! What core logs by itself: why nothing matches, and how rarely; a
//! configuration that is worth a look.
#![cfg(feature = "tracing")]

use std::io::Write;
use std::sync::{Arc, Mutex};

use dataflow_webhooks::{Endpoint, RejectionKind, Secret, WebhookConfig, sign};
use jiff::Timestamp;

const KEY: &str = "whsec_1a2b3c4d5e6f7g8h9i0j";

fn endpoint() -> Endpoint {
    Endpoint::builder(Secret::new(KEY).unwrap()).max_body_bytes(1024 * 1024).build().unwrap()
}

/// Sends a body under a signature that does not match it.
fn refuse(endpoint: &Endpoint, header: &str, body: &[u8]) {
    let mut verification = endpoint.begin("POST", [header], None).unwrap();
    verification.update(body.to_vec()).unwrap();
    let rejection = verification.finish().unwrap_err();
    assert_eq!(rejection.kind(), RejectionKind::NoMatch);
    endpoint.telemetry().rejected(&rejection);
}

/// The lines logged meanwhile.
fn logged(work: impl FnOnce()) -> Vec<String> {
    #[derive(Clone, Default)]
    struct Capture(Arc<Mutex<Vec<u8>>>);
    impl Write for Capture {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let capture = Capture::default();
    let writer = capture.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_writer(move || writer.clone())
        .with_ansi(false)
        .with_max_level(tracing::Level::WARN)
        .finish();
    tracing::subscriber::with_default(subscriber, work);
    let bytes = capture.0.lock().unwrap().clone();
    String::from_utf8(bytes).unwrap().lines().map(str::to_owned).collect()
}

fn signed(body: &[u8]) -> String {
    sign(&Secret::new(KEY).unwrap(), Timestamp::now(), body)
}

#[test]
fn a_refusal_logs_its_finding_in_one_line() {
    let lines = logged(|| {
        refuse(&endpoint(), &signed(b"{\"id\":1}"), b"{\"id\": 1}");
    });
    let [line] = &lines[..] else { panic!("{lines:?}") };
    assert!(line.contains("WARN") && line.contains("minified"), "{line}");
}

#[test]
fn a_signature_that_cannot_match_is_explained_too() {
    let header = &signed(b"{}")[..50];
    let lines = logged(|| refuse(&endpoint(), header, b"{}"));
    assert!(lines.len() == 1 && lines[0].contains("characters long"), "{lines:?}");
}

#[test]
fn a_flood_logs_one_line_in_ten_seconds() {
    let endpoint = endpoint();
    let began = std::time::Instant::now();
    let lines = logged(|| {
        for _ in 0..1_000 {
            refuse(&endpoint, &signed(b"another body"), b"{}");
        }
    });
    assert!(began.elapsed().as_secs() < 10, "this machine is too slow for this test");
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert_eq!(endpoint.counts().rejected(RejectionKind::NoMatch), 1_000);
}

#[test]
fn one_endpoint_does_not_silence_another() {
    let lines = logged(|| {
        for endpoint in [endpoint(), endpoint()] {
            refuse(&endpoint, &signed(b"another body"), b"{}");
        }
    });
    assert_eq!(lines.len(), 2, "{lines:?}");
}

#[test]
fn refusals_of_other_kinds_do_not_silence_the_explanation() {
    let endpoint = endpoint();
    let lines = logged(|| {
        let refused = endpoint.begin("POST", [] as [&str; 0], None).unwrap_err();
        endpoint.telemetry().rejected(&refused);
        refuse(&endpoint, &signed(b"another body"), b"{}");
    });
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[1].contains("1. The secret"), "{lines:?}");
}

/// Anyone can send what is not signed at all; who may come too late is authentic.
#[test]
fn refusals_of_one_kind_do_not_silence_another() {
    let endpoint = endpoint();
    let an_hour_ago = Timestamp::now() - jiff::SignedDuration::from_hours(1);
    let stale = sign(&Secret::new(KEY).unwrap(), an_hour_ago, b"{}");
    let lines = logged(|| {
        for lines in [vec![], vec![stale.as_str()], vec![], vec![stale.as_str()]] {
            let refused = endpoint.begin("POST", lines, None).unwrap_err();
            endpoint.telemetry().rejected(&refused);
        }
    });
    let [unsigned, stale] = &lines[..] else { panic!("{lines:?}") };
    assert!(unsigned.contains("no X-DataFlow-Signature"), "{unsigned}");
    assert!(stale.contains("3600 s old"), "{stale}");
}

#[test]
fn a_body_over_64_kib_is_not_taken_apart() {
    let explained = |bytes: usize| {
        let body = vec![b' '; bytes];
        let lines = logged(|| refuse(&endpoint(), &signed(b"another body"), &body));
        assert_eq!(lines.len(), 1, "{lines:?}");
        lines[0].contains("1. The secret")
    };
    assert!(explained(64 * 1024));
    assert!(!explained(64 * 1024 + 1));
}

#[test]
fn the_log_holds_nothing_of_secret_signature_or_body() {
    let (header, body) = (signed(b"{\"id\":\"evt_private\"}"), b"{\"id\": \"evt_private\"}");
    let lines = logged(|| refuse(&endpoint(), &header, body)).concat();
    assert!(lines.contains("minified"), "{lines}");
    for secret in ["whsec_1", "1a2b3c", "evt_private", &header[16..32], &header[64..]] {
        assert!(!lines.contains(secret), "{secret} in {lines}");
    }
}

#[test]
fn a_configuration_that_is_not_active_is_logged_without_its_secret() {
    let json = format!(r#"{{"url":"https://a.example","secret":"{KEY}","active":false}}"#);
    let lines = logged(|| drop(WebhookConfig::from_json(json).unwrap()));
    let [inactive, no_events] = &lines[..] else { panic!("{lines:?}") };
    assert!(inactive.contains("WARN") && inactive.contains("not active"), "{inactive}");
    assert!(no_events.contains("WARN") && no_events.contains("no event"), "{no_events}");
    assert!(!lines.concat().contains("1a2b"), "{lines:?}");
}
