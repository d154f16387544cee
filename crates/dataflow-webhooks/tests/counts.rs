//! What an endpoint counts.

mod common;

use common::{BODY, NOW, OTHER, SECRET, at, builder, good_header, header};
use dataflow_webhooks::adapter::{HandlerEnd, Verdict};
use dataflow_webhooks::{
    Delivery, Endpoint, Outcome, Rejection, RejectionKind, Secret, StoreOperation,
};

fn endpoint() -> Endpoint {
    builder().build().unwrap()
}

fn delivery(endpoint: &Endpoint, body: &'static [u8]) -> Delivery {
    let mut verification = endpoint.begin("POST", [header(SECRET, NOW, body)], None).unwrap();
    verification.update(body).unwrap();
    verification.finish().unwrap()
}

#[test]
fn a_new_endpoint_has_counted_nothing() {
    let counts = endpoint().counts();
    assert!(Outcome::ALL.iter().all(|outcome| counts.outcome(*outcome) == 0));
    assert!(RejectionKind::ALL.iter().all(|kind| counts.rejected(*kind) == 0));
    assert!(StoreOperation::ALL.iter().all(|operation| counts.store_errors(*operation) == 0));
    assert_eq!(counts.last_authentic, None);
    assert_eq!(counts.authentic_refused_in_a_row, 0);
}

#[test]
fn each_outcome_is_counted_by_itself() {
    let endpoint = endpoint();
    let delivery = delivery(&endpoint, BODY);
    for (times, outcome) in Outcome::ALL.iter().copied().enumerate() {
        for _ in 0..=times {
            endpoint.telemetry().answered(&delivery, outcome, true);
        }
    }
    let counts = endpoint.counts();
    for (times, outcome) in Outcome::ALL.iter().copied().enumerate() {
        assert_eq!(counts.outcome(outcome), times as u64 + 1, "{outcome}");
    }
}

#[test]
fn each_kind_of_rejection_is_counted_by_itself_and_all_together() {
    let endpoint = endpoint();
    for (times, kind) in RejectionKind::ALL.iter().copied().enumerate() {
        for _ in 0..=times {
            endpoint.telemetry().rejected(&Rejection::new(kind));
        }
    }
    let counts = endpoint.counts();
    for (times, kind) in RejectionKind::ALL.iter().copied().enumerate() {
        assert_eq!(counts.rejected(kind), times as u64 + 1, "{kind}");
    }
    let all: u64 = (1..=RejectionKind::ALL.len() as u64).sum();
    assert_eq!(counts.outcome(Outcome::Rejected(RejectionKind::TooOld)), all);
}

#[test]
fn refusals_of_authentic_deliveries_are_counted_in_a_row_until_a_200() {
    let endpoint = endpoint();
    let delivery = delivery(&endpoint, BODY);
    let in_a_row = || endpoint.counts().authentic_refused_in_a_row;
    endpoint.telemetry().answered(&delivery, Outcome::Failed, false);
    endpoint.telemetry().answered(&delivery, Outcome::Late, false);
    assert_eq!(in_a_row(), 2);
    endpoint.telemetry().answered(&delivery, Outcome::Duplicate, true);
    assert_eq!(in_a_row(), 0);
    endpoint.telemetry().answered(&delivery, Outcome::Panicked, false);
    assert_eq!(in_a_row(), 1);
    assert_eq!(endpoint.counts().authentic_refused, 3);
}

#[test]
fn an_authentic_body_that_is_no_event_counts_as_a_refused_authentic_one() {
    let endpoint = endpoint();
    endpoint.telemetry().rejected(&Rejection::new(RejectionKind::NotAnEvent));
    assert_eq!(endpoint.counts().authentic_refused, 1);
    assert_eq!(endpoint.counts().authentic_refused_in_a_row, 1);
}

#[test]
fn bad_signatures_are_no_refusals_of_authentic_deliveries() {
    let endpoint = endpoint();
    for kind in RejectionKind::ALL.iter().copied().filter(|k| *k != RejectionKind::NotAnEvent) {
        endpoint.telemetry().rejected(&Rejection::new(kind));
    }
    assert_eq!(endpoint.counts().authentic_refused, 0);
}

#[test]
fn the_last_authentic_delivery_is_remembered() {
    let endpoint = endpoint();
    assert_eq!(endpoint.counts().last_authentic, None);
    delivery(&endpoint, BODY);
    assert_eq!(endpoint.counts().last_authentic, Some(at(NOW)));
}

#[test]
fn a_bad_delivery_is_not_the_last_authentic_one() {
    let endpoint = endpoint();
    let mut body = endpoint.begin("POST", [good_header()], None).unwrap();
    body.update("{}").unwrap();
    assert!(body.finish().is_err());
    assert_eq!(endpoint.counts().last_authentic, None);
}

#[test]
fn authentic_deliveries_are_counted_and_those_by_an_older_key_apart() {
    let endpoint = endpoint();
    let older = Secret::new(SECRET).unwrap();
    delivery(&endpoint, BODY);
    assert_eq!((endpoint.counts().authentic, endpoint.counts().authentic_by_older_key), (1, 0));
    endpoint.keys().replace([Secret::new(OTHER).unwrap(), older]).unwrap();
    delivery(&endpoint, BODY);
    let mut bad = endpoint.begin("POST", [good_header()], None).unwrap();
    bad.update("{}").unwrap();
    assert!(bad.finish().is_err());
    assert_eq!((endpoint.counts().authentic, endpoint.counts().authentic_by_older_key), (2, 1));
}

#[test]
fn a_mismatched_payload_is_counted_once_per_delivery() {
    let endpoint = endpoint();
    let fits = delivery(&endpoint, br#"{"id":"evt_1","type":"pipeline.created","data":{}}"#);
    let odd = delivery(&endpoint, br#"{"id":"evt_2","type":"pipeline.created","data":[7]}"#);
    let _ = fits.event();
    assert_eq!(endpoint.counts().mismatched, 0);
    let (_, _) = (odd.event(), odd.clone().event());
    assert_eq!(endpoint.counts().mismatched, 1);
}

#[test]
fn ends_of_handlers_lost_leases_and_store_errors_are_counted_apart() {
    let endpoint = endpoint();
    let delivery = delivery(&endpoint, BODY);
    let telemetry = endpoint.telemetry();
    for (times, end) in
        [HandlerEnd::Succeeded, HandlerEnd::Failed, HandlerEnd::Panicked, HandlerEnd::CutOff]
            .into_iter()
            .enumerate()
    {
        (0..=times).for_each(|_| telemetry.handler_ended(&delivery, end, None));
    }
    for (times, operation) in StoreOperation::ALL.iter().copied().enumerate() {
        (0..=times).for_each(|_| telemetry.store_failed(operation, &"away"));
    }
    telemetry.lease_lost(delivery.id(), 1, StoreOperation::from(Verdict::Commit));
    telemetry.processed_anyway(&delivery);

    let counts = endpoint.counts();
    assert_eq!(counts.handlers_succeeded, 1);
    assert_eq!(counts.handlers_failed, 2);
    assert_eq!(counts.handlers_panicked, 3);
    assert_eq!(counts.handlers_cut_off, 4);
    for (times, operation) in StoreOperation::ALL.iter().copied().enumerate() {
        assert_eq!(counts.store_errors(operation), times as u64 + 1, "{operation}");
    }
    assert_eq!((counts.lease_lost, counts.processed_anyway), (1, 1));
}
