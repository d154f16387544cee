//! The series themselves: which there are, when they begin, what they cost.

use super::*;

#[test]
fn every_series_begins_at_0_when_the_endpoint_is_built() {
    let metered = Metered::default();
    let _installed = metered.install();
    let _endpoint = endpoint();
    let series = metered.series();
    assert!(series.values().all(|one| one.sum == 0.0 && one.recorded.is_empty()));
    let of =
        |name: &'static str| series.keys().filter(move |key| key.split(' ').next() == Some(name));
    assert_eq!(of("deliveries_total").count(), EventType::DOCUMENTED.len() + 1);
    assert_eq!(of("mismatched_total").count(), EventType::DOCUMENTED.len());
    assert_eq!(of("outcomes_total").count(), Outcome::ALL.len());
    assert_eq!(of("rejections_total").count(), RejectionKind::ALL.len());
    assert_eq!(of("handler_seconds").count(), HandlerEnd::ALL.len());
    for name in ["lease_lost_total", "store_errors_total", "store_seconds"] {
        assert_eq!(of(name).count(), StoreOperation::ALL.len(), "{name}");
    }
}

#[test]
fn the_table_in_the_documentation_is_what_there_is() {
    let metered = Metered::default();
    let _installed = metered.install();
    let _endpoint = builder().name("n").build().unwrap();
    let mut found: BTreeMap<String, [String; 3]> = BTreeMap::new();
    for (key, series) in metered.series() {
        let mut words = key.split(' ');
        let name = format!("dataflow_webhooks_{}", words.next().unwrap());
        assert_eq!(words.next(), Some("endpoint=n"), "{name}");
        let labels: Vec<_> = words.map(|w| format!("`{}`", w.split('=').next().unwrap())).collect();
        let row = [series.kind.to_owned(), series.unit.to_owned(), labels.join(", ")];
        assert_eq!(found.entry(name).or_insert_with(|| row.clone()), &row);
    }
    let mut documented = BTreeMap::new();
    let text = include_str!("../../src/telemetry/metrics.md");
    for row in text.lines().filter_map(|line| line.strip_prefix("| `")) {
        let cells: Vec<_> = row.split('|').map(str::trim).collect();
        let [name, kind, unit, labels, _, ""] = cells[..] else { panic!("{row}") };
        documented
            .insert(name.trim_end_matches('`').to_owned(), [kind, unit, labels].map(str::to_owned));
    }
    assert_eq!(found, documented);
}

#[test]
fn a_recorder_installed_after_the_endpoint_was_built_gets_all_from_the_first_use() {
    let endpoint = endpoint();
    let metered = Metered::default();
    let _installed = metered.install();
    assert_eq!(metered.series().len(), 0);
    delivery(&endpoint, BODY);
    assert_eq!(risen(&metered), list(&VERIFIED));
    assert_eq!(metered.value("running"), 0.0);
    assert_eq!(metered.value("outcomes_total outcome=late"), 0.0);
}

#[test]
fn nothing_that_a_sender_wrote_becomes_a_series() {
    let metered = Metered::default();
    let _installed = metered.install();
    let endpoint = endpoint();
    let names = |metered: &Metered| metered.series().into_keys().collect::<BTreeSet<_>>();
    let before = names(&metered);
    for n in 0..500 {
        let body = format!(r#"{{"id":"evt\n{n}\u001b[31m","type":"odd.{n}\u202e","data":[]}}"#);
        let delivery = delivery(&endpoint, body.as_bytes());
        let _ = delivery.event();
        endpoint.telemetry().answered(&delivery, Outcome::Failed, false);
        endpoint.telemetry().lease_lost(delivery.id(), 1, StoreOperation::Commit);
        endpoint.telemetry().handler_ended(&delivery, HandlerEnd::Failed, None);
        endpoint.telemetry().store_failed(StoreOperation::Claim, &n);
    }
    assert_eq!(names(&metered), before);
    assert_eq!(metered.value("deliveries_total type=other key=current"), 500.0);
}

#[test]
fn the_update_of_a_series_does_not_allocate() {
    let endpoint = endpoint();
    let delivery = delivery(&endpoint, BODY);
    let telemetry = endpoint.telemetry();
    let took = Duration::from_millis(3);
    let report = || {
        telemetry.answered(&delivery, Outcome::Handled, true);
        telemetry.handler_ended(&delivery, HandlerEnd::Succeeded, Some(took));
        telemetry.store_called(StoreOperation::Claim, took);
        drop(endpoint.enter());
    };
    report();
    let allocations = allocation_counter::measure(report).count_total;
    // The permit holds a handle on the endpoint, which is not one.
    assert_eq!(allocations, 0);
}

#[test]
fn a_delivery_to_an_endpoint_allocates_no_more_than_one_to_a_verifier() {
    let endpoint = endpoint();
    let line = header(SECRET, NOW, BODY);
    let one = || {
        let mut body = endpoint.begin("POST", [&line], None).unwrap();
        body.update(BODY).unwrap();
        drop(body.finish().unwrap());
    };
    let bare = || {
        let mut body = endpoint.verifier().begin([&line], None).unwrap();
        body.update(BODY).unwrap();
        drop(body.finish().unwrap());
    };
    one();
    let count = |work: &dyn Fn()| allocation_counter::measure(work).count_total;
    assert_eq!(count(&one), count(&bare));
}
