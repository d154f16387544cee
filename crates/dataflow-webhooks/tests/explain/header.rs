//! What the header says by itself: lines, grammar, `v1`, time, key.

use std::time::Duration;

use base64::Engine as _;
use dataflow_webhooks::{Finding, TimestampUnit, Tolerance};

use super::*;

const BODY: &[u8] = br#"{"id":"evt_1"}"#;

#[test]
fn a_delivery_that_passes_is_signed_by_the_newest_key() {
    let explanation = explain(&signed_now(BODY), BODY);
    assert!(explanation.matches());
    assert_eq!(explanation.key(), Some("current"));
    let key = "current".to_owned();
    assert_eq!(explanation.findings(), [Finding::SignedBy { key, newest: true }]);
}

#[test]
fn a_retired_key_is_named() {
    let explanation = explain(&sign(&secret(OLD_KEY), at(NOW), BODY), BODY);
    assert!(explanation.matches());
    let key = "previous".to_owned();
    assert_eq!(explanation.findings(), [Finding::SignedBy { key, newest: false }]);
}

#[test]
fn a_missing_header_is_all_there_is_to_say() {
    let explanation = verifier().explain([] as [&str; 0], BODY);
    assert!(!explanation.matches());
    assert_eq!(explanation.findings(), [Finding::HeaderMissing]);
}

#[test]
fn two_equal_lines_are_told_from_two_different_ones() {
    let (good, other) = (signed_now(BODY), signed_now(b"{}"));
    let twice = verifier().explain([&good, &good], BODY);
    assert!(!twice.matches());
    assert_eq!(twice.findings()[0], Finding::HeaderRepeated { lines: 2, same: true });
    let different = verifier().explain([&good, &other, &other], BODY);
    assert_eq!(different.findings()[0], Finding::HeaderRepeated { lines: 3, same: false });
}

#[test]
fn of_two_lines_the_second_may_be_the_right_one() {
    let explanation = verifier().explain([&signed_now(b"{}"), &signed_now(BODY)], BODY);
    assert!(!explanation.matches());
    assert_eq!(explanation.key(), Some("current"));
}

#[test]
fn a_malformed_header_says_why() {
    let explanation = explain("t=1706096400,t=1706096400,v1=00", BODY);
    let reason = "it has two t elements";
    assert_eq!(explanation.findings()[0], Finding::HeaderMalformed { reason });
    let explanation = explain("v1=00", BODY);
    let reason = "it has no t element";
    assert_eq!(explanation.findings()[0], Finding::HeaderMalformed { reason });
}

#[test]
fn no_v1_is_found() {
    let explanation = explain("t=1706096400,v0=00", BODY);
    assert_eq!(explanation.findings(), [Finding::NoV1 { in_upper_case: false }]);
}

#[test]
fn an_upper_case_v1_is_found_and_its_value_is_read() {
    let explanation = explain(&signed_now(BODY).replace("v1=", "V1="), BODY);
    assert!(!explanation.matches());
    assert_eq!(explanation.findings()[0], Finding::NoV1 { in_upper_case: true });
    assert_eq!(explanation.key(), Some("current"));
}

#[test]
fn hex_of_the_wrong_length_is_found_with_its_length() {
    // The documentation's own example header is one.
    let example = "t=1706096400,v1=5f4d8c9a2b1e3f7g6h8i9j0k1l2m3n4o5p6q7r8s9t0u1v2w3x4y5z6";
    assert_eq!(explain(example, BODY).findings(), [Finding::V1Length { characters: 55 }]);
    let cut = &signed_now(BODY)[..80 - 2];
    assert_eq!(explain(cut, BODY).findings(), [Finding::V1Length { characters: 62 }]);
}

#[test]
fn what_is_no_hex_is_found() {
    let header = format!("t=1706096400,v1={}", "g".repeat(64));
    assert_eq!(explain(&header, BODY).findings(), [Finding::V1NotHex]);
}

#[test]
fn a_signature_in_base64_is_found() {
    let mac = mac(KEY.as_bytes(), &[b"1706096400.", BODY]);
    for base64 in [
        base64::prelude::BASE64_STANDARD.encode(mac),
        base64::prelude::BASE64_STANDARD_NO_PAD.encode(mac),
        base64::prelude::BASE64_URL_SAFE.encode(mac),
    ] {
        let explanation = explain(&format!("t=1706096400,v1={base64}"), BODY);
        assert!(!explanation.matches());
        assert_eq!(explanation.findings(), [Finding::V1Base64 { key: "current".into() }]);
    }
}

#[test]
fn milliseconds_are_found_and_the_signature_is_still_read() {
    let header = header_of(KEY.as_bytes(), "1706096400000", BODY);
    let explanation = explain(&header, BODY);
    assert!(!explanation.matches());
    assert_eq!(kinds(&explanation), ["header_malformed", "wrong_unit", "signed_by"]);
    let unit = TimestampUnit::Milliseconds;
    assert_eq!(explanation.findings()[1], Finding::WrongUnit { unit });
}

#[test]
fn microseconds_and_nanoseconds_are_found() {
    for (zeros, unit) in
        [("000000", TimestampUnit::Microseconds), ("000000000", TimestampUnit::Nanoseconds)]
    {
        let header = header_of(KEY.as_bytes(), &format!("1706096400{zeros}"), BODY);
        assert_eq!(explain(&header, BODY).findings()[1], Finding::WrongUnit { unit });
    }
}

#[test]
fn milliseconds_of_another_day_are_both_found() {
    let header = header_of(KEY.as_bytes(), "1706000000000", BODY);
    let kinds = kinds(&explain(&header, BODY));
    assert_eq!(kinds, ["header_malformed", "wrong_unit", "clock_off", "signed_by"]);
}

#[test]
fn a_clock_that_is_off_is_found_with_its_distance() {
    for (age_seconds, allowed_seconds) in [(301, 300), (-61, 60)] {
        let verifier =
            verifier().tolerance(Tolerance::new(Duration::from_secs(300), Duration::from_secs(60)));
        let header = sign(&secret(KEY), at(NOW - age_seconds), BODY);
        let explanation = verifier.explain([header], BODY);
        assert!(!explanation.matches());
        assert_eq!(explanation.key(), Some("current"));
        let finding = Finding::ClockOff { age_seconds, allowed_seconds };
        assert_eq!(explanation.findings()[0], finding);
    }
}

#[test]
fn a_clock_at_the_end_of_the_tolerance_is_not_off() {
    for age in [300, -300] {
        let header = sign(&secret(KEY), at(NOW - age), BODY);
        assert_eq!(kinds(&explain(&header, BODY)), ["signed_by"]);
    }
}

#[test]
fn a_distance_between_time_zones_is_told_in_hours() {
    let text = |age| explain(&sign(&secret(KEY), at(NOW - age), BODY), BODY).one_line();
    assert!(text(7_230).contains("about 2 h"), "{}", text(7_230));
    assert!(text(-19_800).contains("about 5.5 h"), "{}", text(-19_800));
    assert!(!text(4_500).contains("about"), "{}", text(4_500));
}

#[test]
fn the_moment_may_be_another_than_now() {
    let header = sign(&secret(KEY), at(1_000_000_000), BODY);
    assert!(!explain(&header, BODY).matches());
    assert!(verifier().explain_at([header], BODY, at(1_000_000_100)).matches());
}

#[test]
fn a_signature_over_the_body_alone_is_found() {
    let header = format!("t=1706096400,v1={}", hex(&mac(OLD_KEY.as_bytes(), &[BODY])));
    let explanation = explain(&header, BODY);
    assert!(!explanation.matches());
    assert_eq!(explanation.findings(), [Finding::WithoutTimestamp { key: "previous".into() }]);
}

#[test]
fn the_right_candidate_may_stand_beside_others() {
    let header = format!("{},v1={}", signed_now(BODY), "0".repeat(64));
    assert!(explain(&header, BODY).matches());
}

#[test]
fn no_header_panics() {
    for header in [
        "",
        "=",
        ",",
        "t",
        "t=",
        "t=,v1=",
        "t=99999999999999999999,v1=",
        "t=9223372036854775807",
        "t=-1,v1=0",
        "t=0000000000000,v1=\u{e9}",
        "t=9999999999999999999,v1=x",
    ] {
        let explanation = explain(header, BODY);
        assert!(!explanation.matches());
        assert!(!explanation.findings().is_empty());
        let _ = explanation.to_string();
    }
}
