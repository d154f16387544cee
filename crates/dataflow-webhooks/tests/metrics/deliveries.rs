//! Authentic deliveries: by type and key, when, how old, how far off.

use super::*;

#[test]
fn an_authentic_delivery_is_counted_by_type_and_key() {
    let metered = Metered::default();
    let _installed = metered.install();
    let endpoint = endpoint();
    delivery(&endpoint, BODY);
    delivery(&endpoint, br#"{"id":"evt_1","type":"quality.rule.failed"}"#);
    delivery(&endpoint, br#"{"id":"evt_1","type":"other"}"#);
    delivery(&endpoint, br#"{"id":"evt_1"}"#);
    let count =
        |event_type| metered.value(&format!("deliveries_total type={event_type} key=current"));
    let counts = ["pipeline.run.completed", "quality.rule.failed", "other"].map(count);
    assert_eq!(counts, [1.0, 1.0, 2.0]);
}

#[test]
fn a_delivery_by_an_older_key_is_counted_under_its_label() {
    let metered = Metered::default();
    let _installed = metered.install();
    let endpoint = endpoint();
    delivery(&endpoint, BODY);
    endpoint.keys().replace([secret(OTHER), secret(SECRET)]).unwrap();
    delivery(&endpoint, BODY);
    delivery(&endpoint, BODY);
    let count =
        |key| metered.value(&format!("deliveries_total type=pipeline.run.completed key={key}"));
    assert_eq!(["previous", "current"].map(count), [2.0, 1.0]);
}

#[test]
fn the_last_one_is_remembered_in_unix_seconds() {
    let metered = Metered::default();
    let _installed = metered.install();
    delivery(&endpoint(), BODY);
    assert_eq!(metered.value("last_delivery_timestamp_seconds"), NOW as f64);
}

#[test]
fn the_skew_of_authentic_deliveries_is_recorded_with_its_sign() {
    let metered = Metered::default();
    let _installed = metered.install();
    let endpoint = endpoint();
    signed(&endpoint, NOW - 7, BODY);
    signed(&endpoint, NOW + 2, BODY);
    assert_eq!(metered.recorded("skew_seconds"), [7.0, -2.0]);
}

#[test]
fn the_lag_is_from_the_event_to_the_signing_and_not_to_the_receipt() {
    let metered = Metered::default();
    let _installed = metered.install();
    let created_at = at(NOW - 90);
    let body = format!(r#"{{"id":"evt_1","created_at":"{created_at}"}}"#);
    signed(&endpoint(), NOW - 30, body.as_bytes());
    assert_eq!(metered.recorded("lag_seconds"), [60.0]);
}

#[test]
fn an_event_without_its_time_has_no_lag() {
    let metered = Metered::default();
    let _installed = metered.install();
    delivery(&endpoint(), BODY);
    assert_eq!(metered.recorded("lag_seconds"), [0.0; 0]);
}

#[test]
fn what_is_not_authentic_is_no_delivery() {
    let metered = Metered::default();
    let _installed = metered.install();
    let endpoint = endpoint();
    let mut body = endpoint.begin("POST", [header(OTHER, NOW, BODY)], None).unwrap();
    body.update(BODY).unwrap();
    assert!(body.finish().is_err());
    assert_eq!(risen(&metered), []);
    assert!(metered.recorded("skew_seconds").is_empty());
}

#[test]
fn a_payload_that_does_not_fit_is_counted_by_type_and_once_for_each_delivery() {
    let metered = Metered::default();
    let _installed = metered.install();
    let odd = br#"{"id":"evt_1","type":"pipeline.created","data":[7]}"#;
    let delivery = delivery(&endpoint(), odd);
    let (_, _) = (delivery.event(), delivery.event());
    assert_eq!(metered.value("mismatched_total type=pipeline.created"), 1.0);
}

#[test]
fn one_from_a_source_that_is_not_listed_is_counted() {
    let metered = Metered::default();
    let _installed = metered.install();
    let endpoint = builder().source(SourceAllowList::empty().report_only()).build().unwrap();
    delivery(&endpoint, BODY);
    assert_eq!(metered.value("unlisted_total"), 1.0);
}
