//! The form in which stores see an event's id, and the words around a claim.

use std::collections::HashSet;
use std::time::Duration;

use dataflow_webhooks::dedup::{Claim, DedupKey, Held, Terms};

fn text(id: &str) -> String {
    DedupKey::from_event_id(id).as_str().to_owned()
}

#[test]
fn a_plain_id_is_kept_as_it_is() {
    assert_eq!(text("evt_1a2b3c4d5e6f"), "id:evt_1a2b3c4d5e6f");
    assert_eq!(text("AZaz09_.:-"), "id:AZaz09_.:-");
    assert_eq!(text("x"), "id:x");
}

#[test]
fn case_counts() {
    assert_ne!(text("evt_a"), text("EVT_A"));
}

#[test]
fn an_id_of_64_bytes_is_kept_and_one_of_65_is_hashed() {
    assert_eq!(text(&"x".repeat(64)), format!("id:{}", "x".repeat(64)));
    // printf 'x%.0s' $(seq 65) | sha256sum
    assert_eq!(
        text(&"x".repeat(65)),
        "sha256:9537c5fdf120482f7d58d25e9ed583f52c02b4e304ea814db1633ad565aed7e9"
    );
}

#[test]
fn an_unusual_id_is_hashed() {
    // printf 'a b' | sha256sum
    assert_eq!(
        text("a b"),
        "sha256:c8687a08aa5d6ed2044328fa6a697ab8e96dc34291e8c2034ae8c38e6fcc6d65"
    );
    for id in ["", " ", "evt 1", "evt_1\n", "\0", "é", "a/b", "a'b", "a%b", "{a}", "a*", "日本"]
    {
        let text = text(id);
        assert!(text.starts_with("sha256:") && text.len() == 71, "{id:?} -> {text}");
    }
}

#[test]
fn an_id_that_looks_like_a_hash_does_not_collide_with_it() {
    let hashed = text("a b");
    // Too long to be kept as it is: hashed once more.
    assert_ne!(text(&hashed), hashed);
    // Short enough: kept, under the other tag.
    assert_eq!(text("sha256:00"), "id:sha256:00");
    assert_eq!(text("id:x"), "id:id:x");
}

#[test]
fn every_key_is_short_ascii_without_white_space() {
    for id in ["", "evt_1", "a b", "\u{feff}", "日本", &"x".repeat(10_000)] {
        let text = text(id);
        assert!((4..=71).contains(&text.len()), "{text}");
        assert!(text.bytes().all(|b| b.is_ascii_graphic() && b != b'"' && b != b'\''), "{text}");
    }
}

#[test]
fn equal_ids_have_equal_keys_and_hashes() {
    let keys: HashSet<_> = ["a", "a", "a b", "a b", "b"].map(DedupKey::from_event_id).into();
    assert_eq!(keys.len(), 3);
}

#[test]
fn display_and_debug_show_the_text() {
    let key = DedupKey::from_event_id("evt_1");
    assert_eq!(key.to_string(), "id:evt_1");
    assert_eq!(format!("{key:?}"), r#"DedupKey("id:evt_1")"#);
}

#[test]
fn a_claim_names_its_key_and_epoch() {
    let claim = Claim::new(DedupKey::from_event_id("evt_1"), 7);
    assert_eq!(claim.key().as_str(), "id:evt_1");
    assert_eq!(claim.epoch(), 7);
    assert_ne!(claim, Claim::new(DedupKey::from_event_id("evt_1"), 8));
}

#[test]
fn held_comes_from_whether_a_row_changed() {
    assert_eq!(Held::from(true), Held::Yes);
    assert_eq!(Held::from(false), Held::No);
}

#[test]
fn the_default_terms_are_30_seconds_and_24_hours() {
    let terms = Terms::default();
    assert_eq!(terms.lease(), Duration::from_secs(30));
    assert_eq!(terms.retention(), Duration::from_secs(86_400));
}
