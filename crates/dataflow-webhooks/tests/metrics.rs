//! What an endpoint reports to a recorder of the crate `metrics`, and under which
//! labels.
#![cfg(feature = "metrics")]

mod common;
#[path = "common/metered.rs"]
mod metered;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use common::{BODY, NOW, OTHER, SECRET, at, builder, header, secret};
use dataflow_webhooks::adapter::HandlerEnd;
use dataflow_webhooks::{
    DedupKey, Delivery, Endpoint, EventType, Outcome, Rejection, RejectionKind, SourceAllowList,
    StoreOperation, Terms, UnverifiedBudget,
};
use metered::Metered;

fn endpoint() -> Endpoint {
    builder().build().unwrap()
}

fn signed(endpoint: &Endpoint, t: i64, body: &[u8]) -> Delivery {
    let mut verification = endpoint.begin("POST", [header(SECRET, t, body)], None).unwrap();
    verification.update(body.to_vec()).unwrap();
    verification.finish().unwrap()
}

fn delivery(endpoint: &Endpoint, body: &[u8]) -> Delivery {
    signed(endpoint, NOW, body)
}

/// The rises as a list, for short comparisons.
fn risen(metered: &Metered) -> Vec<(String, f64)> {
    metered.risen().into_iter().collect()
}

fn list(expected: &[(&str, f64)]) -> Vec<(String, f64)> {
    let mut expected: Vec<_> = expected.iter().map(|(n, v)| ((*n).to_owned(), *v)).collect();
    expected.sort_by(|one, other| one.0.cmp(&other.0));
    expected
}

/// What rises by each report of an authentic delivery that is verified.
const VERIFIED: [(&str, f64); 2] = [
    ("deliveries_total type=pipeline.run.completed key=current", 1.0),
    ("last_delivery_timestamp_seconds", NOW as f64),
];

mod series {
    use super::*;

    #[test]
    fn every_series_begins_at_0_when_the_endpoint_is_built() {
        let metered = Metered::default();
        let _installed = metered.install();
        let _endpoint = endpoint();
        let series = metered.series();
        assert!(series.values().all(|one| one.sum == 0.0 && one.recorded.is_empty()));
        let of = |name: &'static str| {
            series.keys().filter(move |key| key.split(' ').next() == Some(name))
        };
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
            let labels: Vec<_> =
                words.map(|w| format!("`{}`", w.split('=').next().unwrap())).collect();
            let row = [series.kind.to_owned(), series.unit.to_owned(), labels.join(", ")];
            assert_eq!(found.entry(name).or_insert_with(|| row.clone()), &row);
        }
        let mut documented = BTreeMap::new();
        let text = include_str!("../src/telemetry/metrics.md");
        for row in text.lines().filter_map(|line| line.strip_prefix("| `")) {
            let cells: Vec<_> = row.split('|').map(str::trim).collect();
            let [name, kind, unit, labels, _, ""] = cells[..] else { panic!("{row}") };
            documented.insert(
                name.trim_end_matches('`').to_owned(),
                [kind, unit, labels].map(str::to_owned),
            );
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
            endpoint.telemetry().lease_lost(&delivery, StoreOperation::Commit);
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
}

mod endpoints {
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
}

mod deliveries {
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
}

mod answers {
    use super::*;

    #[test]
    fn each_outcome_but_a_rejection_is_counted_by_itself() {
        for &outcome in Outcome::ALL {
            let metered = Metered::default();
            let _installed = metered.install();
            let endpoint = endpoint();
            let delivery = delivery(&endpoint, BODY);
            endpoint.telemetry().answered(&delivery, outcome, true);
            let mut expected = VERIFIED.to_vec();
            let name = format!("outcomes_total outcome={outcome}");
            expected.push((&name, 1.0));
            assert_eq!(risen(&metered), list(&expected));
        }
    }

    #[test]
    fn each_kind_of_rejection_is_counted_by_itself() {
        for &kind in RejectionKind::ALL.iter().filter(|kind| **kind != RejectionKind::NotAnEvent) {
            let metered = Metered::default();
            let _installed = metered.install();
            endpoint().telemetry().rejected(&Rejection::new(kind));
            let name = format!("rejections_total kind={kind}");
            assert_eq!(risen(&metered), list(&[(&name, 1.0)]));
        }
    }

    #[test]
    fn an_authentic_body_that_is_no_event_is_a_refused_authentic_one() {
        let metered = Metered::default();
        let _installed = metered.install();
        let endpoint = endpoint();
        endpoint.telemetry().rejected(&Rejection::new(RejectionKind::NotAnEvent));
        let expected = [
            ("refused_in_a_row", 1.0),
            ("refused_total", 1.0),
            ("rejections_total kind=not_an_event", 1.0),
        ];
        assert_eq!(risen(&metered), list(&expected));
    }

    #[test]
    fn refusals_in_a_row_fall_to_0_at_a_200_and_the_total_stays() {
        let metered = Metered::default();
        let _installed = metered.install();
        let endpoint = endpoint();
        let delivery = delivery(&endpoint, BODY);
        let answered = |outcome, is_200| {
            endpoint.telemetry().answered(&delivery, outcome, is_200);
            (metered.value("refused_in_a_row"), metered.value("refused_total"))
        };
        assert_eq!(answered(Outcome::Failed, false), (1.0, 1.0));
        let busy = Outcome::Rejected(RejectionKind::TooManyRunning);
        assert_eq!(answered(busy, false), (2.0, 2.0));
        assert_eq!(answered(Outcome::Handled, true), (0.0, 2.0));
        assert_eq!(answered(Outcome::Duplicate, true), (0.0, 2.0));
        assert_eq!(answered(Outcome::Late, false), (1.0, 3.0));
    }

    #[test]
    fn the_row_of_an_endpoint_goes_with_it() {
        let metered = Metered::default();
        let _installed = metered.install();
        let endpoint = endpoint();
        endpoint.telemetry().rejected(&Rejection::new(RejectionKind::NotAnEvent));
        assert_eq!(metered.value("refused_in_a_row"), 1.0);
        drop(endpoint);
        assert_eq!(metered.value("refused_in_a_row"), 0.0);
    }

    #[test]
    fn the_row_of_a_gauge_is_that_of_the_counts_whoever_answers_at_once() {
        let endpoint = endpoint();
        let metered = Metered::default();
        {
            let _installed = metered.install();
            delivery(&endpoint, BODY);
        }
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let endpoint = &endpoint;
                scope.spawn(move || {
                    let delivery = delivery(endpoint, BODY);
                    for n in 0..2000 {
                        let is_200 = (n + thread) % 3 == 0;
                        endpoint.telemetry().answered(&delivery, Outcome::Failed, is_200);
                    }
                });
            }
        });
        let row = endpoint.counts().authentic_refused_in_a_row;
        assert_eq!(metered.value("refused_in_a_row"), row as f64);
    }
}

mod work {
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
            endpoint.telemetry().lease_lost(&delivery, operation);
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
}

mod levels {
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
        let endpoint =
            builder().max_body_bytes(20 * 1024).unverified_budget(budget).build().unwrap();
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
        let (_one, _other) = (one.hold(100).unwrap(), other.hold(23).unwrap());
        let held = |name| metered.value(&format!("unverified_bytes endpoint={name}"));
        assert_eq!((held("one"), held("other"), budget.held()), (100.0, 23.0, 123));
    }
}
