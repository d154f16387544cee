//! What came of each request, and what was refused in a row.

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
