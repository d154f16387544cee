//! The budget for bytes of deliveries not yet verified: what is counted, what is free, and that
//! everything is given back.

mod common;

use common::{BODY, NOW, OTHER, SECRET, builder, good_header, header, kind};
use dataflow_webhooks::{Endpoint, RejectionKind, UnverifiedBudget, Verification};

const KIB: usize = 1024;
const LIMIT: usize = 64 * KIB;
const FREE: usize = UnverifiedBudget::FREE_BYTES;

/// An endpoint with bodies of up to 64 KiB, and a budget for one of them.
fn endpoint() -> Endpoint {
    with(&UnverifiedBudget::new(LIMIT))
}

fn with(budget: &UnverifiedBudget) -> Endpoint {
    builder().max_body_bytes(LIMIT).unverified_budget(budget.clone()).build().unwrap()
}

fn begin(endpoint: &Endpoint, line: &str) -> Verification {
    endpoint.begin("POST", [line], None).unwrap()
}

/// A body on its way that holds so many bytes.
fn holding(endpoint: &Endpoint, bytes: usize) -> Verification {
    let mut body = begin(endpoint, &good_header());
    body.update(vec![b' '; bytes]).unwrap();
    body
}

fn held(endpoint: &Endpoint) -> usize {
    let held = endpoint.unverified_budget().held();
    assert_eq!(endpoint.counts().unverified_bytes, held);
    held
}

#[test]
fn the_default_is_64_mebibytes() {
    assert_eq!(UnverifiedBudget::default().limit(), 64 * KIB * KIB);
    assert_eq!(builder().build().unwrap().unverified_budget().limit(), 64 * KIB * KIB);
}

#[test]
fn bytes_are_counted_as_they_arrive() {
    let endpoint = endpoint();
    let mut body = begin(&endpoint, &good_header());
    assert_eq!(held(&endpoint), 0);
    body.update("12345").unwrap();
    assert_eq!(held(&endpoint), 5);
    body.update("").unwrap();
    body.update("678").unwrap();
    assert_eq!(held(&endpoint), 8);
}

#[test]
fn a_declared_length_reserves_nothing() {
    let endpoint = endpoint();
    let _bodies: Vec<_> = (0..100)
        .map(|_| endpoint.begin("POST", [good_header()], Some(LIMIT as u64)).unwrap())
        .collect();
    assert_eq!(held(&endpoint), 0);
}

mod given_back {
    use super::*;

    #[test]
    fn when_the_delivery_is_verified_though_it_lives_on() {
        let endpoint = endpoint();
        let mut body = begin(&endpoint, &good_header());
        body.update(BODY).unwrap();
        let delivery = body.finish().unwrap();
        assert_eq!(held(&endpoint), 0);
        drop(delivery);
        assert_eq!(held(&endpoint), 0);
    }

    #[test]
    fn when_a_body_came_whole_as_declared() {
        let endpoint = endpoint();
        let declared = Some(BODY.len() as u64);
        let mut body = endpoint.begin("POST", [good_header()], declared).unwrap();
        body.update(BODY).unwrap();
        assert_eq!(held(&endpoint), BODY.len());
        body.finish().unwrap();
        assert_eq!(held(&endpoint), 0);
    }

    #[test]
    fn when_no_key_matches() {
        let endpoint = endpoint();
        let mut body = begin(&endpoint, &header(OTHER, NOW, BODY));
        body.update(BODY).unwrap();
        assert_eq!(body.finish().map(drop).map_err(kind), Err(RejectionKind::NoMatch));
        assert_eq!(held(&endpoint), 0);
    }

    #[test]
    fn when_an_authentic_body_is_no_event() {
        let endpoint = endpoint();
        let mut body = begin(&endpoint, &header(SECRET, NOW, b"[]"));
        body.update("[]").unwrap();
        assert_eq!(body.finish().map(drop).map_err(kind), Err(RejectionKind::NotAnEvent));
        assert_eq!(held(&endpoint), 0);
    }

    #[test]
    fn when_the_connection_is_lost_inside_the_body() {
        let endpoint = endpoint();
        drop(holding(&endpoint, 40 * KIB));
        assert_eq!(held(&endpoint), 0);
    }

    #[test]
    fn when_a_body_goes_over_the_limit() {
        let endpoint = endpoint();
        let mut body = holding(&endpoint, LIMIT);
        assert_eq!(body.update("1").map_err(kind), Err(RejectionKind::BodyTooLarge));
        assert_eq!(held(&endpoint), LIMIT, "the refused chunk was counted");
        drop(body);
        assert_eq!(held(&endpoint), 0);
    }

    #[test]
    fn when_the_budget_is_spent() {
        let endpoint = endpoint();
        let first = holding(&endpoint, 60 * KIB);
        let mut second = holding(&endpoint, FREE);
        assert_eq!(second.update("1").map_err(kind), Err(RejectionKind::TooManyBytes));
        assert_eq!(held(&endpoint), 60 * KIB + FREE, "the refused chunk was counted");
        drop(second);
        assert_eq!(held(&endpoint), 60 * KIB);
        drop(first);
        assert_eq!(held(&endpoint), 0);
    }

    #[test]
    fn when_the_thread_that_receives_it_panics() {
        let endpoint = endpoint();
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _body = holding(&endpoint, 10);
            std::panic::resume_unwind(Box::new(()));
        }));
        assert!(result.is_err());
        assert_eq!(held(&endpoint), 0);
    }

    #[test]
    fn from_many_threads_at_once() {
        let endpoint = endpoint();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for length in (0..40 * KIB).step_by(331) {
                        let mut body = begin(&endpoint, &good_header());
                        let _ = body.update(vec![b' '; length]);
                        let _ = body.update(vec![b' '; length]);
                    }
                });
            }
        });
        assert_eq!(held(&endpoint), 0);
    }
}

mod free_bytes {
    use super::*;

    #[test]
    fn the_first_16_kib_of_a_body_pass_under_a_spent_budget() {
        assert_eq!(FREE, 16 * KIB);
        let endpoint = endpoint();
        let _flood = holding(&endpoint, LIMIT);
        let mut body = begin(&endpoint, &good_header());
        body.update(vec![b' '; FREE - 1]).unwrap();
        body.update("1").unwrap();
        assert_eq!(body.update("2").map_err(kind), Err(RejectionKind::TooManyBytes));
    }

    #[test]
    fn an_ordinary_delivery_passes_under_a_flood() {
        let endpoint = endpoint();
        let _flood: Vec<_> = (0..20).map(|_| holding(&endpoint, FREE)).collect();
        assert!(held(&endpoint) > LIMIT);
        let mut body = begin(&endpoint, &good_header());
        body.update(BODY).unwrap();
        assert!(body.finish().is_ok());
    }

    #[test]
    fn one_chunk_over_16_kib_does_not_pass_a_spent_budget() {
        let endpoint = endpoint();
        let _flood = holding(&endpoint, LIMIT);
        let mut body = begin(&endpoint, &good_header());
        let refused = body.update(vec![b' '; FREE + 1]).map_err(kind);
        assert_eq!(refused, Err(RejectionKind::TooManyBytes));
        assert_eq!(body.received(), 0);
    }

    #[test]
    fn what_is_held_is_at_most_the_budget_and_16_kib_for_each_body() {
        let endpoint = endpoint();
        let bodies: Vec<_> = (0..50)
            .map(|_| {
                let mut body = begin(&endpoint, &good_header());
                while body.update(vec![b' '; 3 * KIB]).is_ok() {}
                body
            })
            .collect();
        assert!(held(&endpoint) <= LIMIT + bodies.len() * FREE);
        assert!(held(&endpoint) > LIMIT, "the budget was not spent, the test shows nothing");
    }
}

mod spent {
    use super::*;

    #[test]
    fn a_budget_is_spent_to_its_last_byte() {
        let endpoint = endpoint();
        let _first = holding(&endpoint, 40 * KIB);
        let mut second = holding(&endpoint, 24 * KIB);
        assert_eq!(held(&endpoint), LIMIT);
        assert_eq!(second.update("1").map_err(kind), Err(RejectionKind::TooManyBytes));
    }

    #[test]
    fn it_is_a_503_that_names_the_figures() {
        let endpoint = endpoint();
        let _first = holding(&endpoint, LIMIT);
        let mut second = holding(&endpoint, FREE);
        let error = second.update("1").unwrap_err();
        assert_eq!(error.status(), 503);
        let text = error.to_string();
        assert!(text.contains(&(LIMIT + FREE).to_string()), "{text}");
        assert!(text.contains(&format!("{LIMIT} are allowed")), "{text}");
    }

    #[test]
    fn room_that_comes_back_can_be_used_again() {
        let endpoint = endpoint();
        let first = holding(&endpoint, LIMIT);
        let mut second = holding(&endpoint, FREE);
        assert!(second.update("1").is_err());
        drop(first);
        second.update("1").unwrap();
        assert_eq!(held(&endpoint), FREE + 1);
    }
}

mod shared {
    use super::*;

    #[test]
    fn endpoints_with_one_budget_are_bounded_together() {
        let budget = UnverifiedBudget::new(LIMIT);
        let (one, two) = (with(&budget), with(&budget));
        let first = holding(&one, LIMIT);
        assert_eq!(held(&two), LIMIT);
        let mut second = holding(&two, FREE);
        assert_eq!(second.update("1").map_err(kind), Err(RejectionKind::TooManyBytes));
        drop((first, second));
        assert_eq!(budget.held(), 0);
    }

    #[test]
    fn endpoints_of_their_own_budgets_are_not() {
        let (one, two) = (endpoint(), endpoint());
        let _first = holding(&one, LIMIT);
        assert_eq!(held(&two), 0);
        holding(&two, LIMIT);
    }
}
