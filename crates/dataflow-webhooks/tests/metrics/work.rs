//! Handlers, calls of the store, leases lost.

use super::*;

#[test]
fn what_a_handler_took_is_recorded_by_its_end() {
    let metered = Metered::default();
    let _installed = metered.install();
    let endpoint = endpoint();
    let delivery = delivery(&endpoint, BODY);
    for (n, &end) in HandlerEnd::ALL.iter().enumerate() {
        let took = Duration::from_millis(250 * n as u64);
        endpoint.telemetry().handler_ended(&delivery, end, Some(took));
    }
    for (n, end) in ["succeeded", "failed", "panicked", "cut_off"].iter().enumerate() {
        let recorded = metered.recorded(&format!("handler_seconds end={end}"));
        assert_eq!(recorded, [0.25 * n as f64], "{end}");
    }
}

#[test]
fn calls_of_the_store_errors_and_lost_leases_are_told_apart_by_operation() {
    for &operation in StoreOperation::ALL {
        let metered = Metered::default();
        let _installed = metered.install();
        let endpoint = endpoint();
        let delivery = delivery(&endpoint, BODY);
        endpoint.telemetry().store_called(operation, Duration::from_millis(1500));
        endpoint.telemetry().store_failed(operation, &"away");
        endpoint.telemetry().lease_lost(delivery.id(), 1, operation);
        let errors = format!("store_errors_total operation={operation}");
        let lost = format!("lease_lost_total operation={operation}");
        let mut expected = VERIFIED.to_vec();
        expected.extend([(errors.as_str(), 1.0), (lost.as_str(), 1.0)]);
        assert_eq!(risen(&metered), list(&expected));
        let took = metered.recorded(&format!("store_seconds operation={operation}"));
        assert_eq!(took, [1.5]);
    }
}

#[test]
fn a_delivery_handled_without_the_store_is_counted() {
    let metered = Metered::default();
    let _installed = metered.install();
    let endpoint = endpoint();
    endpoint.telemetry().processed_anyway(&delivery(&endpoint, BODY));
    assert_eq!(metered.value("processed_anyway_total"), 1.0);
}

#[test]
fn dead_letters_and_those_that_the_sink_did_not_store_are_told_apart() {
    let metered = Metered::default();
    let _installed = metered.install();
    let (endpoint, letter) = (endpoint(), dead_letter(BODY));
    endpoint.telemetry().dead_lettered(&letter);
    (0..2).for_each(|_| endpoint.telemetry().dead_letter_failed(&letter, &"the disk is full"));
    assert_eq!(metered.value("dead_letters_total"), 1.0);
    assert_eq!(metered.value("dead_letter_errors_total"), 2.0);
}

#[test]
fn records_that_the_own_memory_store_drops_are_counted() {
    let metered = Metered::default();
    let _installed = metered.install();
    let endpoint = endpoint();
    let store = endpoint.store().unwrap();
    // No lease: the records may go at once.
    let terms = Terms::new(Duration::ZERO, Duration::from_secs(3600));
    for n in 0..250_002 {
        let key = DedupKey::from_event_id(&n.to_string());
        let _ = pollster::block_on(store.claim(&key, terms)).unwrap();
    }
    assert_eq!(metered.value("evictions_total"), 2.0);
    assert_eq!(endpoint.counts().evictions, 2);
}
