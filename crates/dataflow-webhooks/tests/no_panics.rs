//! No input panics, with debug assertions and overflow checks on: any header bytes, any body
//! bytes, any time, any limit (CVE-2023-50728).

mod common;

use std::time::Duration;

use common::{BODY, NOW, SECRET, at, good_header, hex_mac, secret};
use dataflow_webhooks::{KeyRing, RejectionKind, Secret, Tolerance, Verifier, sign};
use jiff::Timestamp;
use proptest::collection::vec;
use proptest::prelude::*;

/// Header values: any bytes, and texts that look like the real thing in places.
fn line() -> impl Strategy<Value = Vec<u8>> {
    let good = hex_mac(SECRET, &NOW.to_string(), BODY);
    let element = prop_oneof![
        3 => Just(format!("t={NOW}").into_bytes()),
        3 => Just(format!("v1={good}").into_bytes()),
        1 => "t=[0-9+. -]{0,14}".prop_map(String::into_bytes),
        1 => "v1=[0-9a-fA-Fg]{0,70}".prop_map(String::into_bytes),
        1 => "[ \t]*(t|v1|v0|T)?[ =]{0,3}[a-z0-9]{0,5}[ \t]*".prop_map(String::into_bytes),
        1 => vec(any::<u8>(), 0..20),
    ];
    let elements = vec(element, 0..20).prop_map(|elements| elements.join(&b','));
    prop_oneof![9 => elements, 1 => vec(any::<u8>(), 0..5000)]
}

fn moment() -> impl Strategy<Value = Timestamp> {
    let all = Timestamp::MIN.as_nanosecond()..=Timestamp::MAX.as_nanosecond();
    let anywhere = all.prop_map(|nanos| Timestamp::from_nanosecond(nanos).unwrap());
    let near = (NOW - 400..NOW + 400).prop_map(at);
    let ends = proptest::sample::select(vec![Timestamp::MIN, Timestamp::MAX, at(0), at(-1)]);
    prop_oneof![anywhere, near, ends]
}

fn duration() -> impl Strategy<Value = Duration> {
    prop_oneof![
        Just(Duration::MAX),
        Just(Duration::ZERO),
        (0..1000_u64).prop_map(Duration::from_secs),
        any::<u64>().prop_map(Duration::from_secs),
    ]
}

/// The elements of a header value, read without regard to speed: the times and the values.
fn naive(line: &[u8]) -> (Vec<&[u8]>, Vec<&[u8]>) {
    let (mut times, mut values) = (Vec::new(), Vec::new());
    for element in line.split(|byte| *byte == b',') {
        let is_blank = |byte: &u8| *byte == b' ' || *byte == b'\t';
        let start = element.iter().position(|b| !is_blank(b)).unwrap_or(element.len());
        let end = element.iter().rposition(|b| !is_blank(b)).map_or(start, |at| at + 1);
        match &element[start..end] {
            [b't', b'=', value @ ..] => times.push(value),
            [b'v', b'1', b'=', value @ ..] => values.push(value),
            _ => {}
        }
    }
    (times, values)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn any_header_is_judged_as_a_slow_reader_would(line in line()) {
        let judged = common::judge(&common::verifier(), &[&line], BODY, at(NOW)).map(drop);
        let (times, values) = naive(&line);
        let t = match times[..] {
            [t] if (1..=12).contains(&t.len()) && t.iter().all(u8::is_ascii_digit) => Some(t),
            _ => None,
        };
        let expected = match t.filter(|_| values.len() <= 16 && line.len() <= 4096) {
            None => Err(RejectionKind::MalformedSignature),
            Some(t) => {
                let t = std::str::from_utf8(t).unwrap();
                let seconds = t.parse::<i64>().unwrap();
                let good = hex_mac(SECRET, t, BODY);
                let matches = values.iter().any(|v| v.eq_ignore_ascii_case(good.as_bytes()));
                match seconds - NOW {
                    ..-300 => Err(RejectionKind::TooOld),
                    301.. => Err(RejectionKind::TooNew),
                    _ if matches => Ok(()),
                    _ => Err(RejectionKind::NoMatch),
                }
            }
        };
        prop_assert_eq!(judged, expected);
    }

    /// The platform's own layout is read by a shorter way; a comma more sends it the long way.
    #[test]
    fn the_short_way_to_read_a_header_agrees_with_the_long_one(
        digits in "[0-9]{10}|1706096[0-9]{3}|[0-9a-z,= +]{10}",
        value in "[0-9a-f]{64}|[0-9a-fA-F]{64}|[0-9a-g=,]{64}",
        use_good in any::<bool>(),
        upper in any::<bool>(),
    ) {
        let value = if use_good { hex_mac(SECRET, &digits, BODY) } else { value };
        let value = if upper { value.to_uppercase() } else { value };
        let short = format!("t={digits},v1={value}");
        prop_assert_eq!(short.len(), 80);
        let verdict = |line: &str| {
            common::judge(&common::verifier(), &[line], BODY, at(NOW))
        };
        let long_ways = [format!("{short},"), format!(",{short}"), format!(" {short}\t")];
        for long in long_ways {
            prop_assert_eq!(verdict(&short), verdict(&long), "{}", long);
        }
    }

    #[test]
    fn any_time_and_any_tolerance(
        now in moment(),
        past in duration(),
        future in duration(),
        digits in "[0-9]{1,12}",
    ) {
        let verifier = Verifier::new(secret(SECRET)).tolerance(Tolerance::new(past, future));
        let line = common::header(SECRET, &digits, BODY);
        let judged = common::judge(&verifier, &[line], BODY, now).map(drop);
        let t: i128 = digits.parse().unwrap();
        let age = now.as_nanosecond().div_euclid(1_000_000_000) - t;
        let expected = if age > i128::from(past.as_secs()) {
            Err(RejectionKind::TooOld)
        } else if -age > i128::from(future.as_secs()) {
            Err(RejectionKind::TooNew)
        } else {
            Ok(())
        };
        prop_assert_eq!(judged, expected);
        if let Ok(delivery) = verifier.verify_at([common::header(SECRET, &digits, BODY)], BODY, now)
        {
            let _ = (delivery.skew(), format!("{delivery:?}"));
        }
    }

    #[test]
    fn any_body_any_lines(
        lines in vec(line(), 0..3),
        body in vec(any::<u8>(), 0..600),
        declared in any::<Option<u64>>(),
        limit in any::<usize>(),
        chunk in 1..100_usize,
    ) {
        let verifier = common::verifier().max_body_bytes(limit);
        let _ = verifier.check(&lines, &body);
        let _ = verifier.verify(&lines, body.clone());
        if let Ok(mut verification) = verifier.begin(&lines, declared) {
            for chunk in body.chunks(chunk) {
                let _ = verification.update(chunk.to_vec());
            }
            let _ = verification.finish();
        }
    }

    #[test]
    fn any_authentic_body_becomes_a_delivery_or_is_no_event(
        body in prop_oneof![
            vec(any::<u8>(), 0..300),
            r#"\{("(id|type|data|created_at|x)":("[a-z\\\\0é]{0,6}"|[0-9e.-]{1,6}|\[\]|null),?){0,4}\}"#
                .prop_map(String::into_bytes),
        ],
    ) {
        let line = common::header(SECRET, NOW, &body);
        match common::verifier().verify([line], body.clone()) {
            Ok(delivery) => {
                prop_assert!((1..=255).contains(&delivery.id().len()));
                prop_assert_eq!(delivery.event().id, delivery.id());
                prop_assert_eq!(delivery.body(), &body);
                let _ = (format!("{delivery:?}"), delivery.dedup_key());
            }
            Err(rejection) => {
                prop_assert_eq!(rejection.kind(), RejectionKind::NotAnEvent);
                prop_assert_eq!(rejection.status(), 422);
                prop_assert!(rejection.source().is_some());
            }
        }
    }

    #[test]
    fn any_text_is_a_secret_a_ring_or_an_error(text in any::<String>(), list in "[ -~,é]{0,200}") {
        let accepted = Secret::new(&*text).is_ok();
        let odd = |c: char| c.is_whitespace() || c.is_control() || c == ',';
        prop_assert_eq!(accepted, text.len() >= 16 && !text.contains(odd));
        for result in [KeyRing::parse(&text), KeyRing::parse(&list)] {
            match result {
                Ok(ring) => prop_assert!((1..=KeyRing::MAX_KEYS).contains(&ring.labels().len())),
                Err(error) => prop_assert!(!error.to_string().is_empty()),
            }
        }
    }

    #[test]
    fn anything_signed_at_any_time_is_verified(
        when in moment(),
        body in vec(any::<u8>(), 0..300),
        text in "[!-+\\--~]{16,100}",
    ) {
        let (secret, when) = (secret(&text), when.max(at(0)));
        let line = sign(&secret, when, &body);
        let signature = Verifier::new(secret).check_at([line], &body, when).unwrap();
        prop_assert_eq!(signature.signed_at().as_second(), when.as_second());
    }
}

#[test]
fn the_header_of_these_tests_is_good() {
    assert!(common::judge(&common::verifier(), &[good_header()], BODY, at(NOW)).is_ok());
}
