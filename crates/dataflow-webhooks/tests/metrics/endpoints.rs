//! Several endpoints in one process.

use super::*;

#[test]
fn two_endpoints_are_told_apart_by_their_names() {
    let metered = Metered::default();
    let _installed = metered.install();
    let one = builder().name("one").build().unwrap();
    let other = builder().name("other").build().unwrap();
    delivery(&one, BODY);
    other.telemetry().rejected(&Rejection::new(RejectionKind::TooOld));
    let named = |name: &str, rest: &str, by: f64| (format!("{name} endpoint={rest}"), by);
    let expected = [
        named("deliveries_total", "one type=pipeline.run.completed key=current", 1.0),
        named("last_delivery_timestamp_seconds", "one", NOW as f64),
        named("rejections_total", "other kind=too_old", 1.0),
    ];
    assert_eq!(risen(&metered), expected);
}

#[test]
fn what_two_endpoints_of_one_name_run_adds_up() {
    let metered = Metered::default();
    let _installed = metered.install();
    let (one, other) = (endpoint(), endpoint());
    let permits = (one.enter().unwrap(), other.enter().unwrap());
    assert_eq!(metered.value("running"), 2.0);
    drop(permits.0);
    assert_eq!(metered.value("running"), 1.0);
}
