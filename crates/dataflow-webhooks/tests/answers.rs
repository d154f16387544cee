//! What the sender is told: the answer table, row by row.

use std::collections::BTreeSet;

use dataflow_webhooks::adapter::Verdict;
use dataflow_webhooks::{Answer, Outcome, Rejection, RejectionKind as K};

type Headers = &'static [(&'static str, &'static str)];

const RETRY: Headers = &[("retry-after", "60")];
const NONE: Headers = &[];

fn rejected(kind: K) -> Answer {
    Outcome::Rejected(kind).answer()
}

fn fixed_answers() -> Vec<Answer> {
    let ends = Outcome::ALL.iter().map(|outcome| outcome.answer());
    ends.chain(K::ALL.iter().copied().map(rejected)).collect()
}

macro_rules! rows {
    ($($rule:ident: $($outcome:expr),+ => $status:literal, $headers:expr;)*) => {$(
        #[test]
        fn $rule() {
            $({
                let answer = $outcome.answer();
                let headers: Headers = $headers;
                assert_eq!((answer.status(), answer.headers()), ($status, headers));
            })+
        }
    )*};
}

rows! {
    a_panic_is_500: Outcome::Panicked => 500, NONE;
    a_dead_letter_is_200: Outcome::DeadLettered => 200, NONE;
    a_delivery_of_another_endpoint_is_500: Outcome::WrongEndpoint => 500, NONE;
    what_is_late_is_503_with_retry_after: Outcome::Late, Outcome::HungUp => 503, RETRY;
    a_duplicate_of_a_done_event_is_200: Outcome::Duplicate => 200, NONE;
    a_duplicate_in_flight_is_503_with_retry_after: Outcome::InFlight => 503, RETRY;
    an_unreachable_store_is_503_with_retry_after: Outcome::StoreUnavailable => 503, RETRY;
    another_method_is_405_with_allow: Outcome::Rejected(K::MethodNotAllowed) => 405, &[("allow", "POST")];
    a_source_that_is_not_on_the_list_is_403: Outcome::Rejected(K::SourceNotAllowed) => 403, NONE;
    a_body_over_the_limit_is_413: Outcome::Rejected(K::BodyTooLarge) => 413, NONE;
    a_body_that_is_not_there_in_time_is_408: Outcome::Rejected(K::BodyTimeout) => 408, NONE;
    a_lost_body_is_400: Outcome::Rejected(K::BodyLost) => 400, NONE;
    an_authentic_body_that_is_no_event_is_422: Outcome::Rejected(K::NotAnEvent) => 422, NONE;
    an_overload_is_503_with_retry_after:
        Outcome::Rejected(K::TooManyRunning), Outcome::Rejected(K::TooManyBytes),
        Outcome::Rejected(K::TooManyPending) => 503, RETRY;
    draining_is_503_with_retry_after: Outcome::Rejected(K::Draining) => 503, RETRY;
    all_that_can_be_wrong_with_a_signature_is_401:
        Outcome::Rejected(K::MissingSignature), Outcome::Rejected(K::RepeatedSignature),
        Outcome::Rejected(K::MalformedSignature), Outcome::Rejected(K::TooOld),
        Outcome::Rejected(K::TooNew), Outcome::Rejected(K::NoMatch)
        => 401, &[("www-authenticate", "DataFlow-Signature")];
}

#[test]
fn all_401s_are_one_answer() {
    let all: Vec<_> = K::ALL.iter().copied().map(rejected).filter(|a| a.status() == 401).collect();
    assert_eq!(all.len(), 6);
    assert!(all.iter().all(|answer| *answer == all[0]));
}

#[test]
fn all_503s_are_one_answer() {
    let all: Vec<_> = fixed_answers().into_iter().filter(|a| a.status() == 503).collect();
    assert_eq!(all.len(), 9);
    assert!(all.iter().all(|answer| *answer == all[0]));
}

#[test]
fn bodies_say_no_more_than_the_status() {
    // Nothing of keys, stores, limits, figures, versions or this software's name.
    let allowed: BTreeSet<_> = [
        "the delivery was not handled\n",
        "try again later\n",
        "already handled\n",
        "kept for later\n",
        "only POST is accepted here\n",
        "the source is not allowed\n",
        "the signature was not accepted\n",
        "the body is too large\n",
        "the body did not arrive in time\n",
        "the body did not arrive\n",
        "the body is not an event\n",
    ]
    .into();
    let said: BTreeSet<_> = fixed_answers().iter().map(Answer::body).collect();
    assert_eq!(said, allowed);
    for body in said {
        assert!(!body.contains(|c: char| c.is_ascii_digit()), "{body}");
    }
}

#[test]
fn a_rejection_gives_the_answer_of_its_kind_whatever_caused_it() {
    for &kind in K::ALL {
        let rejection = Rejection::new(kind).because("whsec_1a2b3c4d5e6f7g8h9i0j");
        assert_eq!(rejection.kind(), kind);
        assert_eq!(rejection.answer(), rejected(kind));
        assert_eq!(rejection.status(), rejected(kind).status());
        assert_eq!(rejection.public_message(), rejected(kind).body());
        assert!(rejection.source().is_some());
        assert!(Rejection::from(kind).source().is_none());
    }
}

#[test]
fn only_a_2xx_of_the_handler_commits() {
    for status in 0..=u16::MAX {
        let done = (200..=299).contains(&status);
        let verdict = if done { Verdict::Commit } else { Verdict::Release };
        assert_eq!(Verdict::on_status(status), verdict, "{status}");
    }
}

#[test]
fn success_is_acknowledged_with_200() {
    assert_eq!(Verdict::ACKNOWLEDGED, 200);
}

#[test]
fn only_an_event_that_is_done_or_kept_is_answered_200() {
    for &outcome in Outcome::ALL {
        let is_done =
            matches!(outcome, Outcome::Handled | Outcome::DeadLettered | Outcome::Duplicate);
        assert_eq!(outcome.answer().status() == 200, is_done, "{outcome}");
    }
    assert!(K::ALL.iter().copied().map(rejected).all(|answer| answer.status() >= 400));
}

#[test]
fn every_outcome_and_kind_has_a_name_of_its_own() {
    let names = Outcome::ALL.iter().map(|outcome| outcome.as_str());
    let kinds = K::ALL.iter().map(|kind| kind.as_str());
    let all: BTreeSet<_> = names.chain(kinds).collect();
    assert_eq!(all.len(), Outcome::ALL.len() + K::ALL.len());
    for name in all {
        assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{name}");
    }
    assert_eq!(Outcome::Rejected(K::TooOld).as_str(), "rejected");
}
