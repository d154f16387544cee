//! What may tell the endpoints apart that share a store.

use dataflow_webhooks::dedup::{DedupKey, Scope};

#[test]
fn one_to_64_plain_characters_are_a_scope() {
    for name in ["a", "orders", "Orders_2.eu-west", &"x".repeat(64)] {
        assert_eq!(Scope::new(name).unwrap().as_str(), name);
    }
}

#[test]
fn anything_else_is_refused_with_what_is_allowed() {
    let long = "x".repeat(65);
    for name in ["", "a b", "a:b", "a/b", "{a}", "a\0", "ü", "a\n", &long] {
        let error = Scope::new(name).unwrap_err().to_string();
        assert!(error.contains("1 to 64 of the characters A-Z a-z 0-9 _ . -"), "{error}");
        assert!(error.contains(&format!("{} bytes", name.len())), "{error}");
    }
}

#[test]
fn what_was_refused_is_shown_escaped_and_cut() {
    let error = Scope::new(&format!("\x1b[31m{}", "y".repeat(10_000))).unwrap_err().to_string();
    assert!(error.len() < 250 && !error.contains('\x1b'), "{error}");
}

#[test]
fn the_case_of_a_scope_counts() {
    assert_ne!(Scope::new("Orders").unwrap(), Scope::new("orders").unwrap());
}

#[test]
fn a_scope_and_a_key_joined_by_a_colon_meet_no_other_pair() {
    let joined =
        |scope, id| format!("{}:{}", Scope::new(scope).unwrap(), DedupKey::from_event_id(id));
    assert_ne!(joined("a", "id:b"), joined("a.id", "b"));
    assert!(!Scope::new("a").unwrap().as_str().contains(':'));
    assert!(DedupKey::from_event_id("a").as_str().contains(':'));
}
