//! What goes up and down: handlers, commits, bytes.

use super::*;

#[test]
fn a_permit_counts_as_running_and_then_as_pending_until_it_is_dropped() {
    let metered = Metered::default();
    let _installed = metered.install();
    let endpoint = endpoint();
    let levels = || (metered.value("running"), metered.value("pending_commits"));
    let permit = endpoint.enter().unwrap();
    assert_eq!(levels(), (1.0, 0.0));
    let pending = permit.into_pending();
    assert_eq!(levels(), (0.0, 1.0));
    drop(pending);
    assert_eq!(levels(), (0.0, 0.0));
}

#[test]
fn a_permit_that_is_refused_counts_as_nothing() {
    let metered = Metered::default();
    let _installed = metered.install();
    let endpoint = builder().max_running(1).build().unwrap();
    let _permit = endpoint.enter().unwrap();
    assert!(endpoint.enter().is_err());
    drop(endpoint.drain());
    assert!(endpoint.enter().is_err());
    assert_eq!(metered.value("running"), 1.0);
}

#[test]
fn bytes_are_held_until_a_body_is_verified_refused_or_dropped() {
    let metered = Metered::default();
    let _installed = metered.install();
    let endpoint = endpoint();
    let held = || metered.value("unverified_bytes");
    let begun = || {
        let mut body = endpoint.begin("POST", [header(SECRET, NOW, BODY)], None).unwrap();
        body.update(&BODY[..10]).unwrap();
        body
    };
    let (mut verified, refused, dropped) = (begun(), begun(), begun());
    assert_eq!(held(), 30.0);
    verified.update(&BODY[10..]).unwrap();
    assert_eq!(held(), 20.0 + BODY.len() as f64);
    let _delivery = verified.finish().unwrap();
    assert_eq!(held(), 20.0);
    assert!(refused.finish().is_err());
    assert_eq!(held(), 10.0);
    drop(dropped);
    assert_eq!(held(), 0.0);
}

#[test]
fn bytes_that_were_not_granted_are_not_held() {
    let metered = Metered::default();
    let _installed = metered.install();
    let budget = UnverifiedBudget::new(20 * 1024);
    let endpoint = builder().max_body_bytes(20 * 1024).unverified_budget(budget).build().unwrap();
    let first = endpoint.hold(18 * 1024).unwrap();
    assert!(endpoint.hold(18 * 1024).is_none());
    assert_eq!(metered.value("unverified_bytes"), 18.0 * 1024.0);
    drop(first);
    assert_eq!(metered.value("unverified_bytes"), 0.0);
}

#[test]
fn of_a_shared_budget_each_endpoint_shows_its_own_bytes() {
    let metered = Metered::default();
    let _installed = metered.install();
    let budget = UnverifiedBudget::default();
    let [one, other] = ["one", "other"]
        .map(|name| builder().name(name).unverified_budget(budget.clone()).build().unwrap());
    let (_one, _other) = (one.hold(10_000).unwrap(), other.hold(2_300).unwrap());
    let held = |name| metered.value(&format!("unverified_bytes endpoint={name}"));
    assert_eq!((held("one"), held("other"), budget.held()), (10_000.0, 2_300.0, 12_300));
}
