//! What is logged, and what must never be.
//!
//! Every test here works under a subscriber of its own. No other test may join them that logs
//! without one: while there is only one subscriber, `tracing` asks the thread that reaches a log
//! line first, and remembers for all threads that nobody listens.
#![cfg(feature = "tracing")]

mod common;

use std::io::Write;
use std::sync::{Arc, Mutex};

use common::{BODY, NOW, OTHER, SECRET, builder, dead_letter, header, verifier};
use dataflow_webhooks::adapter::HandlerEnd;
use dataflow_webhooks::{
    Endpoint, EndpointBuilder, Outcome, Rejection, RejectionKind, StoreOperation,
};

/// An event with something to hide in every place that a person may choose.
const PRIVATE: &[u8] = br#"{"id":"evt_1","type":"pipeline.created","created_at":"hush-1",
    "data":["hush-2",{"name":"hush-3"}],"metadata":{"environment":"hush-4"}}"#;

/// Receives a body that no key matches.
fn refused(endpoint: &Endpoint, body: &'static [u8]) {
    let mut verification = endpoint.begin("POST", [header(OTHER, NOW, body)], None).unwrap();
    verification.update(body).unwrap();
    assert_eq!(verification.finish().unwrap_err().kind(), RejectionKind::NoMatch);
}

/// CVE-2018-1000089, RUSTSEC-2022-0087: secrets and bodies in logs.
#[test]
fn no_secret_and_no_body_is_traced() {
    let log = capture(|| {
        let endpoint = builder().build().unwrap();
        let telemetry = endpoint.telemetry();
        let line = header(SECRET, NOW, PRIVATE);
        let mut body = endpoint.begin("POST", [line], None).unwrap();
        body.update(PRIVATE).unwrap();
        let delivery = body.finish().unwrap();
        assert_eq!(endpoint.counts().mismatched, 0);
        let _ = delivery.event();
        assert_eq!(endpoint.counts().mismatched, 1);
        let _span = telemetry.span(&delivery);
        let letter = dead_letter(PRIVATE);
        telemetry.dead_lettered(&letter);
        telemetry.dead_letter_failed(&letter, &"the disk is full");
        for &outcome in Outcome::ALL {
            telemetry.answered(&delivery, outcome, false);
            telemetry.answered(&delivery, outcome, true);
        }
        for &kind in RejectionKind::ALL {
            telemetry.rejected(&Rejection::new(kind));
        }
        let no_event = verifier().verify([header(SECRET, NOW, b"hush")], "hush".as_bytes());
        telemetry.rejected(&no_event.unwrap_err());
        // The explanation of a body that no key matches; at most one in ten seconds.
        refused(&builder().build().unwrap(), PRIVATE);
    });
    for part in ["1a2b3c4d", "9z8y7x6w", "hush"] {
        assert!(!log.contains(part), "{log}");
    }
    for said in [
        "is a dead letter now after 3 runs: answered 500",
        "did not take it as a dead letter: the disk is full",
        "was not answered 200",
        "does not fit its type",
        "answered 422",
        "no signature matches",
    ] {
        assert!(log.contains(said), "{said:?} is not in {log}");
    }
}

#[test]
fn a_flood_of_replays_of_an_event_in_flight_is_logged_once_in_ten_seconds() {
    let log = capture(|| {
        let endpoint = builder().build().unwrap();
        let mut body = endpoint.begin("POST", [header(SECRET, NOW, BODY)], None).unwrap();
        body.update(BODY).unwrap();
        let delivery = body.finish().unwrap();
        for _ in 0..100 {
            endpoint.telemetry().answered(&delivery, Outcome::InFlight, false);
        }
        assert_eq!(endpoint.counts().outcome(Outcome::InFlight), 100);
    });
    assert_eq!(log.matches("was not answered 200").count(), 1, "{log}");
}

#[test]
fn a_span_shows_the_outcome_once_there_is_one() {
    let log = capture(|| {
        let endpoint = builder().build().unwrap();
        let mut body = endpoint.begin("POST", [header(SECRET, NOW, BODY)], None).unwrap();
        body.update(BODY).unwrap();
        let span = endpoint.telemetry().span(&body.finish().unwrap());
        span.record(Outcome::Late);
    });
    let (new, close) = (log.lines().next().unwrap(), log.lines().last().unwrap());
    assert!(!new.contains("outcome"), "{new}");
    assert!(close.contains("outcome=\"late\""), "{close}");
}

#[test]
fn a_span_shows_id_type_key_and_skew() {
    let log = capture(|| {
        let endpoint = builder().build().unwrap();
        let mut body = endpoint.begin("POST", [header(SECRET, NOW - 7, BODY)], None).unwrap();
        body.update(BODY).unwrap();
        let _span = endpoint.telemetry().span(&body.finish().unwrap());
    });
    for field in
        ["event_id=evt_1", "event_type=pipeline.run.completed", "key=\"current\"", "skew_seconds=7"]
    {
        assert!(log.contains(field), "{field} is not in {log}");
    }
}

#[test]
fn a_span_shows_the_endpoint_where_it_has_a_name_of_its_own() {
    let span_of = |builder: EndpointBuilder| {
        capture(|| {
            let endpoint = builder.build().unwrap();
            let mut body = endpoint.begin("POST", [header(SECRET, NOW, BODY)], None).unwrap();
            body.update(BODY).unwrap();
            let _span = endpoint.telemetry().span(&body.finish().unwrap());
        })
    };
    let named = span_of(builder().name("orders"));
    assert!(named.contains("endpoint=\"orders\""), "{named}");
    let unnamed = span_of(builder());
    assert!(!unnamed.contains("endpoint="), "{unnamed}");
}

/// CVE-2026-34505: a flood of bad signatures stays cheap.
#[test]
fn a_flood_of_bad_signatures_is_explained_once_in_ten_seconds() {
    let log = capture(|| {
        let endpoint = builder().build().unwrap();
        (0..1000).for_each(|_| refused(&endpoint, BODY));
    });
    assert_eq!(log.matches("answered 401").count(), 1, "{log}");
}

#[test]
fn a_flood_of_refused_heads_is_logged_as_a_warning_once_in_ten_seconds() {
    let log = capture(|| {
        let endpoint = builder().build().unwrap();
        let stale = Rejection::new(RejectionKind::TooOld);
        (0..1000).for_each(|_| endpoint.telemetry().rejected(&stale));
    });
    assert_eq!(log.matches(" WARN ").count(), 1, "{log}");
}

#[test]
fn what_the_sender_chose_is_escaped_and_cut() {
    const ODD: &[u8] = br#"{"id":"evt\n\u001b[31m forged line 0123456789012345678901234567890123456789012345678901234567890123456789","type":"x\ny"}"#;
    let log = capture(|| {
        let endpoint = builder().build().unwrap();
        let mut body = endpoint.begin("POST", [header(SECRET, NOW, ODD)], None).unwrap();
        body.update(ODD).unwrap();
        let delivery = body.finish().unwrap();
        let _span = endpoint.telemetry().span(&delivery);
        endpoint.telemetry().answered(&delivery, Outcome::Failed, false);
    });
    assert!(
        !log.contains('\u{1b}')
            && !log.contains("0123456789012345678901234567890123456789012345678901234567890123"),
        "{log}"
    );
    assert!(!log.lines().any(|line| line.starts_with("\u{1b}") || line.starts_with('y')), "{log}");
}

/// What a terminal obeys, or shows in another order than it stands there: ESC and
/// other C0 controls, DEL, C1 controls (U+009B is ESC and a bracket in one), line and
/// paragraph separators, overrides of the direction, marks that cannot be seen.
const OBEYED: [char; 13] = [
    '\u{1b}', '\u{7}', '\u{8}', '\r', '\n', '\u{7f}', '\u{85}', '\u{9b}', '\u{2028}', '\u{2029}',
    '\u{202e}', '\u{2066}', '\u{feff}',
];

#[test]
fn no_character_that_a_terminal_obeys_gets_into_the_log() {
    for odd in OBEYED {
        let name = format!("a{odd}b");
        let body = serde_json::json!({ "id": name, "type": name }).to_string();
        let log = capture(|| {
            let endpoint = builder().build().unwrap();
            let line = header(SECRET, NOW, body.as_bytes());
            let mut verification = endpoint.begin("POST", [line], None).unwrap();
            verification.update(body.clone()).unwrap();
            let delivery = verification.finish().unwrap();
            assert_eq!((delivery.id(), delivery.event_type().as_str()), (&*name, &*name));
            let telemetry = endpoint.telemetry();
            let _span = telemetry.span(&delivery);
            telemetry.answered(&delivery, Outcome::Failed, false);
            telemetry.answered(&delivery, Outcome::Handled, true);
            telemetry.handler_ended(&delivery, HandlerEnd::CutOff, None);
            telemetry.lease_lost(delivery.id(), 1, StoreOperation::Commit);
            telemetry.processed_anyway(&delivery);
        });
        assert!(log.contains("event_id=a\\"), "{log:?}");
        let lines = log.lines().filter(|line| !line.is_empty());
        assert!(lines.clone().count() >= 6, "{log:?}");
        assert!(!lines.collect::<String>().contains(odd), "{odd:?} is in {log:?}");
        // A line break of the sender's would begin a line of its own.
        assert!(!log.contains("\nb"), "{log:?}");
    }
}

#[test]
fn an_id_and_a_type_are_cut_at_64_characters_of_what_was_sent() {
    let (shown, rest) = ("\u{1b}".repeat(64), "the rest");
    let name = format!("{shown}{rest}");
    let body = serde_json::json!({ "id": name, "type": name }).to_string();
    let log = capture(|| {
        let endpoint = builder().build().unwrap();
        let line = header(SECRET, NOW, body.as_bytes());
        let mut verification = endpoint.begin("POST", [line], None).unwrap();
        verification.update(body.clone()).unwrap();
        let _span = endpoint.telemetry().span(&verification.finish().unwrap());
    });
    let cut = format!("{}…", "\\u{1b}".repeat(64));
    for field in ["event_id", "event_type"] {
        assert!(log.contains(&format!("{field}={cut}")), "{log}");
    }
    assert!(!log.contains(rest), "{log}");
}

/// What is logged meanwhile on this thread, at every level.
fn capture(work: impl FnOnce()) -> String {
    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl Write for Log {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
        .with_span_events(tracing_subscriber::fmt::format::FmtSpan::FULL)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    tracing::subscriber::with_default(subscriber, work);
    String::from_utf8(log.0.lock().unwrap().clone()).unwrap()
}
