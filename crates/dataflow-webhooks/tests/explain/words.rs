//! How it reads, and what it never says.

use super::*;

const BODY: &str = r#"{"id":"evt_secret_in_body","type":"pipeline.created"}"#;

/// One explanation of each kind of finding.
fn all() -> Vec<Explanation> {
    let quoted = Verifier::new(secret(&format!("\"{KEY}\""))).clock(|| at(NOW));
    let stale = sign(&secret(KEY), at(NOW - 7_000), BODY.as_bytes());
    let body_alone = hex(&mac(KEY.as_bytes(), &[BODY.as_bytes()]));
    vec![
        explain(&signed_now(BODY.as_bytes()), BODY.as_bytes()),
        explain(&sign(&secret(OLD_KEY), at(NOW), BODY.as_bytes()), BODY.as_bytes()),
        explain(&stale, BODY.as_bytes()),
        explain(&stale[..70], BODY.as_bytes()),
        explain(&signed_now(b"another body"), BODY.as_bytes()),
        explain(&signed_now(b"another body"), "{\"created_at\":\"\u{fffd}\",\"id\":1}".as_bytes()),
        explain(&signed_now(b"another body"), b""),
        explain(&signed_now(BODY.as_bytes()), BODY.replace(':', " : ").as_bytes()),
        explain(&header_of(KEY.as_bytes(), "1706096400000", BODY.as_bytes()), BODY.as_bytes()),
        explain(&format!("t=1706096400,v1={body_alone}"), BODY.as_bytes()),
        explain(&format!("t=1706096400,v1={}", "z".repeat(64)), BODY.as_bytes()),
        explain("t=1706096400,V1=secret_in_header,v1=secret_in_header", BODY.as_bytes()),
        explain("t=secret_in_header", BODY.as_bytes()),
        quoted.explain([signed_now(BODY.as_bytes())], BODY.as_bytes()),
        verifier().explain([] as [&str; 0], BODY.as_bytes()),
        verifier().explain([signed_now(b""), signed_now(b"x")], BODY.as_bytes()),
    ]
}

#[test]
fn a_line_has_at_most_80_columns() {
    for explanation in all() {
        let text = explanation.to_string();
        for line in text.lines() {
            assert!(line.chars().count() <= 80, "{line}");
            assert_eq!(line.trim_end(), line);
        }
    }
}

#[test]
fn each_finding_is_an_item_below_the_verdict() {
    let explanation = explain(&sign(&secret(KEY), at(NOW - 412), b""), b"");
    let expected = "\
This delivery is refused.
- The t is 412 s ago, and 300 s are allowed. It was replayed or held back on the
  way, or this clock is ahead.
- The signature itself is right: these bytes were signed by key \"current\", the
  newest one.";
    assert_eq!(explanation.to_string(), expected);
    assert!(explain(&signed_now(b""), b"").to_string().starts_with("This delivery passes.\n- "));
}

#[test]
fn one_line_is_one_line_with_every_finding() {
    for explanation in all() {
        let line = explanation.one_line();
        assert!(!line.contains(['\n', '\r']), "{line}");
        for finding in explanation.findings() {
            assert!(line.contains(&finding.to_string().replace('\n', " ")), "{line}");
        }
    }
}

#[test]
fn every_kind_has_a_name_of_its_own() {
    let all = all();
    let findings = all.iter().flat_map(Explanation::findings);
    let mut names = std::collections::BTreeMap::new();
    for finding in findings {
        let kind = std::mem::discriminant(finding);
        assert_eq!(*names.entry(finding.as_str()).or_insert(kind), kind);
    }
    assert!(names.len() >= 13, "{names:?}");
}

#[test]
fn nothing_of_secret_mac_or_body_is_said() {
    let mut given_away = vec![
        "evt_".to_owned(),
        "secret_in".to_owned(),
        "1a2b".to_owned(),
        "9i0j".to_owned(),
        "whsec_1".to_owned(),
        "an_older".to_owned(),
        "zzz".to_owned(),
    ];
    for key in [KEY, OLD_KEY] {
        // Neither the right MAC, nor a part of it that would help.
        for body in [BODY.as_bytes(), b"another body", b"", b"x"] {
            for t in ["1706096400", "1706089400", "1706096400000"] {
                let mac = hex(&mac(key.as_bytes(), &[t.as_bytes(), b".", body]));
                given_away.extend([mac[..6].to_owned(), mac[58..].to_owned()]);
            }
        }
    }
    for explanation in all() {
        for text in [explanation.to_string(), explanation.one_line(), format!("{explanation:?}")] {
            for secret in &given_away {
                assert!(!text.contains(secret), "{secret} in {text}");
            }
        }
    }
}

#[test]
fn what_fits_nothing_says_what_to_check_in_order() {
    let text = explain(&signed_now(b"another body"), BODY.as_bytes()).one_line();
    let places = ["1. The secret", "2. The body", "3. The sender"].map(|what| text.find(what));
    assert!(places.iter().all(Option::is_some), "{text}");
    assert!(places.is_sorted(), "{text}");
}
