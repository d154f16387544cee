//! Other spellings of the secret: pasted wrongly here, or used otherwise there.

use dataflow_webhooks::{Finding, SecretForm};

use super::*;

const BODY: &[u8] = br#"{"id":"evt_1"}"#;

/// What is found when a sender signs with `theirs` and `ours` is held here.
fn found(theirs: &[u8], ours: &str) -> Vec<Finding> {
    let header = header_of(theirs, "1706096400", BODY);
    let explanation = Verifier::new(secret(ours)).explain_at([header], BODY, at(NOW));
    assert!(!explanation.matches());
    assert_eq!(explanation.key(), None);
    explanation.findings().to_vec()
}

fn other(form: SecretForm) -> [Finding; 1] {
    [Finding::OtherSecret { key: "current".into(), form }]
}

#[test]
fn quotes_pasted_with_the_secret_are_found() {
    for quote in ["\"", "'"] {
        let ours = format!("{quote}{KEY}{quote}");
        assert_eq!(found(KEY.as_bytes(), &ours), other(SecretForm::WithoutQuotes));
    }
}

#[test]
fn a_quote_on_one_side_is_found() {
    assert_eq!(found(KEY.as_bytes(), &format!("{KEY}\"")), other(SecretForm::WithoutQuotes));
    assert_eq!(found(KEY.as_bytes(), &format!("'{KEY}")), other(SecretForm::WithoutQuotes));
}

#[test]
fn a_sender_that_signs_with_the_quotes_is_found() {
    for quote in ["\"", "'"] {
        let theirs = format!("{quote}{KEY}{quote}");
        assert_eq!(found(theirs.as_bytes(), KEY), other(SecretForm::InQuotes));
    }
}

#[test]
fn a_byte_order_mark_before_the_secret_is_found() {
    let ours = format!("\u{feff}{KEY}");
    assert_eq!(found(KEY.as_bytes(), &ours), other(SecretForm::WithoutInvisible));
}

#[test]
fn a_sender_that_signs_with_the_line_break_is_found() {
    for line_break in ["\n", "\r\n"] {
        let theirs = format!("{KEY}{line_break}");
        assert_eq!(found(theirs.as_bytes(), KEY), other(SecretForm::WithLineBreak));
    }
}

#[test]
fn a_sender_that_signs_with_a_space_is_found() {
    for theirs in [format!("{KEY} "), format!(" {KEY}")] {
        assert_eq!(found(theirs.as_bytes(), KEY), other(SecretForm::WithSpace));
    }
}

#[test]
fn a_lost_prefix_is_found() {
    let ours = KEY.strip_prefix("whsec_").unwrap();
    assert_eq!(found(KEY.as_bytes(), ours), other(SecretForm::WithPrefix));
}

#[test]
fn a_sender_that_drops_the_prefix_is_found() {
    let theirs = KEY.strip_prefix("whsec_").unwrap();
    assert_eq!(found(theirs.as_bytes(), KEY), other(SecretForm::WithoutPrefix));
}

#[test]
fn a_secret_decoded_from_base64_is_found() {
    use base64::Engine as _;
    let theirs = base64::prelude::BASE64_STANDARD.decode("1a2b3c4d5e6f7g8h9i0j").unwrap();
    assert_eq!(found(&theirs, KEY), other(SecretForm::Base64Decoded));
}

#[test]
fn base64_of_either_alphabet_padded_or_not_is_decoded() {
    let theirs = [0xfb, 0xff, 0xbf, 0xfb, 0xff, 0xbf, 0xfb, 0xff, 0xbf, 0xfb];
    for ours in [
        "whsec_+/+/+/+/+/+/+w==",
        "whsec_+/+/+/+/+/+/+w",
        "whsec_-_-_-_-_-_-_-w==",
        "whsec_-_-_-_-_-_-_-w",
        "-_-_-_-_-_-_-w==",
        "whsec_-_-_-_-_-_-_-x",
    ] {
        assert_eq!(found(&theirs, ours), other(SecretForm::Base64Decoded), "{ours}");
    }
}

#[test]
fn the_spelling_of_an_older_key_is_found_under_its_label() {
    let header = header_of(OLD_KEY.trim_start_matches("whsec_").as_bytes(), "1706096400", BODY);
    let finding = Finding::OtherSecret { key: "previous".into(), form: SecretForm::WithoutPrefix };
    assert_eq!(explain(&header, BODY).findings(), [finding]);
}

#[test]
fn a_wrong_secret_fits_nothing() {
    assert_eq!(found(b"another_secret_altogether", KEY), [Finding::NothingFits { keys: 1 }]);
}

#[test]
fn a_stale_signature_with_a_wrong_secret_has_both_found() {
    let header = header_of(b"another_secret_altogether", "1706000000", BODY);
    assert_eq!(kinds(&explain(&header, BODY)), ["clock_off", "nothing_fits"]);
}
