//! The targets that verify.

use std::time::Duration;

use bytes::Bytes;
use dataflow_webhooks::{
    Delivery, Endpoint, KeyRing, Rejection, RejectionKind, Secret, Tolerance, UnverifiedBudget,
    Verifier,
};
use jiff::Timestamp;

use crate::case::{Case, NOW, SECRETS};
use crate::naive::{self, Clock, Verdict};

/// The body that the signatures in the corpus of `header` belong to.
const BODY: &[u8] = br#"{"id":"evt_1"}"#;

/// Any bytes as the one header line: read as the plain implementation reads them.
pub fn header(data: &[u8]) {
    let clock = Clock { now: NOW, past: u32::MAX, future: u32::MAX };
    let line = [data.to_vec()];
    let expected = naive::verify(&SECRETS[..1], clock, &line, BODY);
    let verifier = verifier(&ring(&SECRETS[..1]), clock);
    let now = at(clock.now);
    assert_eq!(verdict(verifier.check_at(&line, BODY, now).map(|s| s.key().to_owned())), expected);

    // Whatever begins has exactly one `t`, and it is 1 to 12 digits.
    let begun = verifier.begin(&line, None).map(drop).map_err(|e| e.kind());
    match expected {
        Verdict::Malformed | Verdict::TooOld | Verdict::TooNew => assert!(begun.is_err()),
        _ => {
            assert_eq!(begun, Ok(()));
            let times = naive::named(data, b"t");
            assert_eq!(times.len(), 1);
            assert!((1..=12).contains(&times[0].len()) && times[0].iter().all(u8::is_ascii_digit));
            assert!(naive::named(data, b"v1").len() <= 16 && data.len() <= 4096);
        }
    }

    // One more comma keeps the platform's own layout from being read by the shorter way.
    if data.len() < 4096 {
        let longer = [[data, b","].concat()];
        let longer = verdict(verifier.check_at(&longer, BODY, now).map(|s| s.key().to_owned()));
        assert_eq!(longer, expected);
    }
}

/// A [`Case`]: both implementations accept it, by the same key, or both refuse it for the same
/// reason.
pub fn check(data: &[u8]) {
    let Case { secrets, clock, lines, body, .. } = Case::read(data);
    let expected = naive::verify(&secrets, clock, &lines, &body);
    let verifier = verifier(&ring(&secrets), clock);
    let now = at(clock.now);

    let checked = verifier.check_at(&lines, &body, now);
    if let Ok(signature) = &checked {
        let digits = naive::named(&lines[0], b"t").remove(0);
        let seconds = std::str::from_utf8(&digits).unwrap().parse::<i64>().unwrap();
        assert_eq!(signature.signed_at(), Timestamp::from_second(seconds).unwrap());
    }
    assert_eq!(verdict(checked.map(|s| s.key().to_owned())), expected);
    assert_eq!(verdict(verifier.check(&lines, &body).map(|s| s.key().to_owned())), expected);

    match verifier.verify_at(&lines, body.clone(), now) {
        Err(rejection) if rejection.kind() == RejectionKind::NotAnEvent => {
            assert!(matches!(expected, Verdict::By(_)));
        }
        delivered => {
            if let Ok(delivery) = &delivered {
                assert_eq!(delivery.body(), &body);
            }
            assert_eq!(verdict(delivered.map(|d| d.key().to_owned())), expected);
        }
    }
}

/// A [`Case`], in chunks: what is accepted in one piece is accepted in many, under the limit, and
/// nothing is held afterwards.
pub fn chunks(data: &[u8]) {
    let case = Case::read(data);
    let (clock, keys) = (case.clock, ring(&case.secrets));
    let budget = UnverifiedBudget::new(64 * 1024 * 1024);
    let limit = case.limit.clamp(1024, 64 * 1024 * 1024);
    let endpoint = Endpoint::builder(keys.clone())
        .tolerance(Tolerance::new(seconds(clock.past % 10_000), seconds(clock.future % 10_000)))
        .max_body_bytes(limit)
        .unverified_budget(budget.clone())
        .clock(move || at(clock.now))
        .build()
        .unwrap();

    let received = receive(&endpoint, &case, &keys);
    assert_eq!(budget.held(), 0);

    // The ring is as it was when the body ended.
    let whole = endpoint.verifier().verify(&case.lines, case.body.clone());
    let begins = !matches!(
        whole.as_ref().map_err(Rejection::kind),
        Err(RejectionKind::MissingSignature
            | RejectionKind::RepeatedSignature
            | RejectionKind::MalformedSignature
            | RejectionKind::TooOld
            | RejectionKind::TooNew)
    );
    let is_too_large =
        case.body.len() > limit || case.declared.is_some_and(|length| length > limit as u64);
    if begins && is_too_large {
        assert_eq!(received.unwrap_err().kind(), RejectionKind::BodyTooLarge);
        return;
    }
    match (received, whole) {
        (Ok(received), Ok(whole)) => {
            assert_eq!(received.body(), whole.body());
            assert_eq!(received.key(), whole.key());
            assert_eq!(received.signed_at(), whole.signed_at());
            assert_eq!(received.received_at(), whole.received_at());
            assert_eq!((received.id(), received.event_type()), (whole.id(), whole.event_type()));
            assert!(endpoint.has_verified(&received));
        }
        (Err(received), Err(whole)) => assert_eq!(received.kind(), whole.kind()),
        (received, whole) => panic!("in chunks {received:?}, in one piece {whole:?}"),
    }
}

fn receive(endpoint: &Endpoint, case: &Case, keys: &KeyRing) -> Result<Delivery, Rejection> {
    let mut body = endpoint.begin("POST", &case.lines, case.declared)?;
    let (mut rest, mut chunk) = (&case.body[..], 0);
    while !rest.is_empty() {
        if case.swap == Some(chunk) {
            let removed = if case.remove { case.secrets.len() - 1 } else { 0 };
            keys.replace(case.secrets[removed..].iter().rev().map(|s| secret(s))).unwrap();
        }
        let length = case.cuts[chunk % case.cuts.len()].min(rest.len());
        let received = body.received();
        let result = body.update(Bytes::copy_from_slice(&rest[..length]));
        let kept = if result.is_ok() { length } else { 0 };
        assert_eq!(body.received(), received + kept);
        assert_eq!(endpoint.unverified_budget().held(), body.received());
        result?;
        rest = &rest[length..];
        chunk += 1;
    }
    body.finish()
}

fn verifier(keys: &KeyRing, clock: Clock) -> Verifier {
    Verifier::new(keys.clone())
        .tolerance(Tolerance::new(seconds(clock.past), seconds(clock.future)))
        .clock(move || at(clock.now))
}

/// A ring whose labels are the numbers of the keys.
fn ring(secrets: &[&str]) -> KeyRing {
    let numbered =
        secrets.iter().enumerate().map(|(number, text)| (number.to_string(), secret(text)));
    KeyRing::labelled(numbered).unwrap()
}

fn secret(text: &str) -> Secret {
    Secret::new(text).unwrap()
}

fn seconds(seconds: u32) -> Duration {
    Duration::from_secs(seconds.into())
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap()
}

/// A result in the words of the plain implementation; the key is its number.
fn verdict(result: Result<String, Rejection>) -> Verdict {
    match result.map_err(|rejection| rejection.kind()) {
        Ok(key) => Verdict::By(key.parse().unwrap()),
        Err(RejectionKind::MissingSignature) => Verdict::Missing,
        Err(RejectionKind::RepeatedSignature) => Verdict::Repeated,
        Err(RejectionKind::MalformedSignature) => Verdict::Malformed,
        Err(RejectionKind::TooOld) => Verdict::TooOld,
        Err(RejectionKind::TooNew) => Verdict::TooNew,
        Err(RejectionKind::NoMatch) => Verdict::NoMatch,
        Err(other) => panic!("not a verdict on a signature: {other}"),
    }
}
