//! Building an endpoint: defaults, the range of every choice, and the order in which a head is
//! looked at.

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{NOW, SECRET, at, builder, good_header, header, kind, secret};
use dataflow_webhooks::{
    Endpoint, EndpointBuilder, KeyRing, MemoryStore, OnStoreFailure, RejectionKind, Terms,
    Tolerance, UnverifiedBudget,
};

const MILLI: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_secs(3600);
const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

#[test]
fn the_defaults_are_the_documented_ones() {
    let endpoint = Endpoint::builder(secret(SECRET)).build().unwrap();
    let limits = endpoint.limits();
    assert_eq!(limits.max_body_bytes(), MIB);
    assert_eq!(limits.body_within(), Duration::from_secs(4));
    assert_eq!(limits.answer_within(), Duration::from_millis(4500));
    assert_eq!(limits.tolerance(), Tolerance::default());
    assert_eq!(limits.longest_run(), Duration::from_secs(300));
    assert_eq!(limits.max_running(), 1024);
    assert_eq!(limits.max_pending_commits(), 10_000);
    assert_eq!(limits.terms(), Terms::new(Duration::from_secs(30), 24 * HOUR));
    assert_eq!(endpoint.unverified_budget().limit(), 64 * MIB);
    assert!(endpoint.store().is_some());
    assert!(endpoint.stand_in().is_none());
    assert!(!endpoint.is_draining());
}

#[test]
fn what_was_chosen_is_kept() {
    let keys = KeyRing::new(secret(SECRET));
    let endpoint = Endpoint::builder(keys.clone())
        .max_body_bytes(2048)
        .body_within(Duration::from_secs(1))
        .answer_within(Duration::from_secs(2))
        .longest_run(Duration::from_secs(3))
        .max_running(5)
        .max_pending_commits(7)
        .lease(Duration::from_secs(6))
        .retention(9 * HOUR)
        .unverified_budget(UnverifiedBudget::new(4096))
        .build()
        .unwrap();
    let limits = endpoint.limits();
    assert_eq!(limits.max_body_bytes(), 2048);
    assert_eq!(limits.body_within(), Duration::from_secs(1));
    assert_eq!(limits.answer_within(), Duration::from_secs(2));
    assert_eq!(limits.longest_run(), Duration::from_secs(3));
    assert_eq!(limits.max_running(), 5);
    assert_eq!(limits.max_pending_commits(), 7);
    assert_eq!(limits.terms(), Terms::new(Duration::from_secs(6), 9 * HOUR));
    assert_eq!(endpoint.unverified_budget().limit(), 4096);
    keys.replace([secret(common::OTHER), secret(SECRET)]).unwrap();
    assert_eq!(endpoint.keys().labels(), ["current", "previous"]);
}

#[test]
fn an_endpoint_is_called_default_unless_it_is_named() {
    assert_eq!(builder().build().unwrap().name(), "default");
    assert_eq!(builder().name("orders").build().unwrap().name(), "orders");
}

mod ranges {
    use super::*;

    /// Builds with the choice at both ends of its range, and just outside of it: the error must
    /// name the choice, the figure and the range.
    #[track_caller]
    fn range<T: Copy + std::fmt::Debug>(
        name: &str,
        choose: impl Fn(EndpointBuilder, T) -> EndpointBuilder,
        inside: [T; 2],
        outside: [T; 2],
        shown: impl Fn(T) -> String,
    ) {
        for figure in inside {
            if let Err(error) = choose(builder(), figure).build() {
                panic!("{figure:?}: {error}");
            }
        }
        for figure in outside {
            let error = choose(builder(), figure).build().unwrap_err().to_string();
            for part in [name.to_owned(), shown(figure), shown(inside[0]), shown(inside[1])] {
                assert!(error.contains(&part), "{error:?} does not say {part:?}");
            }
        }
    }

    fn time(time: Duration) -> String {
        format!("{time:?}")
    }

    #[test]
    fn max_body_bytes_is_1_kib_to_64_mib() {
        let choose = EndpointBuilder::max_body_bytes;
        let outside = [KIB - 1, 64 * MIB + 1];
        range("max_body_bytes", choose, [KIB, 64 * MIB], outside, |n| n.to_string());
    }

    #[test]
    fn answer_within_is_10_ms_to_4_9_s() {
        let choose = |b: EndpointBuilder, t| b.body_within(10 * MILLI).answer_within(t);
        let (least, most) = (10 * MILLI, 4900 * MILLI);
        range("answer_within", choose, [least, most], [least - MILLI, most + MILLI], time);
    }

    #[test]
    fn body_within_is_10_ms_to_answer_within() {
        let choose = |b: EndpointBuilder, t| b.answer_within(700 * MILLI).body_within(t);
        range("body_within", choose, [10 * MILLI, 700 * MILLI], [9 * MILLI, 701 * MILLI], time);
    }

    #[test]
    fn longest_run_is_answer_within_to_24_h() {
        let (least, most) = (4500 * MILLI, 24 * HOUR);
        let choose = EndpointBuilder::longest_run;
        range("longest_run", choose, [least, most], [least - MILLI, most + MILLI], time);
    }

    #[test]
    fn max_running_is_at_least_1() {
        let choose = EndpointBuilder::max_running;
        range("max_running", choose, [1, 1_000_000], [0, 1_000_001], |n| n.to_string());
    }

    #[test]
    fn max_pending_commits_is_at_least_1() {
        let choose = EndpointBuilder::max_pending_commits;
        range("max_pending_commits", choose, [1, 1_000_000], [0, 1_000_001], |n| n.to_string());
    }

    #[test]
    fn lease_is_5_s_to_50_s() {
        let (least, most) = (5000 * MILLI, 50_000 * MILLI);
        range("lease", EndpointBuilder::lease, [least, most], [least - MILLI, most + MILLI], time);
    }

    #[test]
    fn retention_is_8_h_to_366_days() {
        let (least, most) = (8 * HOUR, 366 * 24 * HOUR);
        let outside = [least - MILLI, most + MILLI];
        range("retention", EndpointBuilder::retention, [least, most], outside, time);
    }

    #[test]
    fn the_ends_of_time_are_refused_and_do_not_overflow() {
        for time in [Duration::ZERO, Duration::MAX] {
            assert!(builder().body_within(time).build().is_err());
            assert!(builder().answer_within(time).build().is_err());
            assert!(builder().longest_run(time).build().is_err());
            assert!(builder().lease(time).build().is_err());
            assert!(builder().retention(time).build().is_err());
        }
        assert!(builder().tolerance(Tolerance::new(Duration::MAX, Duration::MAX)).build().is_err());
    }

    #[test]
    fn a_name_is_1_to_64_characters_long() {
        let choose = |b: EndpointBuilder, n| b.name("ä".repeat(n));
        range("name", choose, [1, 64], [0, 65], |n| n.to_string());
    }

    #[test]
    fn a_name_with_a_control_character_is_refused() {
        for name in ["a\nb", "\u{1b}[31m", "\u{9b}31m", "\0"] {
            let error = builder().name(name).build().unwrap_err().to_string();
            assert_eq!(error, "name holds a control character");
        }
    }

    #[test]
    fn the_budget_holds_at_least_the_longest_body() {
        let with = |budget| {
            let budget = UnverifiedBudget::new(budget);
            builder().max_body_bytes(2 * KIB).unverified_budget(budget).build()
        };
        assert!(with(2 * KIB).is_ok());
        let error = with(2 * KIB - 1).unwrap_err().to_string();
        assert!(error.contains("unverified_budget is 2047 bytes"), "{error}");
        assert!(error.contains("at least 2048"), "{error}");
    }

    #[test]
    fn past_and_future_together_stay_under_the_retention() {
        let with = |past, future| {
            builder().retention(8 * HOUR).tolerance(Tolerance::new(past, future)).build()
        };
        let second = Duration::from_secs(1);
        assert!(with(4 * HOUR, 4 * HOUR - second).is_ok());
        let error = with(4 * HOUR, 4 * HOUR).unwrap_err().to_string();
        assert!(error.contains("28800s"), "{error}");
        assert!(error.contains("retention"), "{error}");
        assert!(with(8 * HOUR, Duration::ZERO).is_err());
        assert!(with(Duration::ZERO, 8 * HOUR).is_err());
    }

    #[test]
    fn a_past_tolerance_of_8_hours_fits_the_default_retention() {
        let tolerance = Tolerance::new(8 * HOUR, Duration::from_secs(300));
        assert!(builder().tolerance(tolerance).build().is_ok());
    }
}

mod stores {
    use super::*;

    #[test]
    fn the_given_store_is_used() {
        let store = Arc::new(MemoryStore::new());
        let endpoint = builder().dedup(store.clone()).build().unwrap();
        let key = dataflow_webhooks::DedupKey::from_event_id("evt_1");
        let claim = endpoint.store().unwrap().claim(&key, endpoint.limits().terms());
        let _ = pollster::block_on(claim).unwrap();
        assert_eq!(store.len(), 1);
    }

    #[test]
    fn without_dedup_there_is_no_store() {
        let endpoint = builder().without_dedup().build().unwrap();
        assert!(endpoint.store().is_none());
        assert!(endpoint.stand_in().is_none());
    }

    #[test]
    fn process_anyway_has_an_in_process_store_beside_the_given_one() {
        let choice = OnStoreFailure::ProcessAnyway;
        let endpoint = builder().dedup(MemoryStore::new()).on_store_failure(choice).build();
        assert!(endpoint.unwrap().stand_in().is_some());
        let endpoint = builder().on_store_failure(choice).build().unwrap();
        assert!(endpoint.stand_in().is_none(), "the memory store cannot be away");
    }

    #[test]
    fn a_store_that_cannot_be_reached_means_refusing_unless_told() {
        assert_eq!(OnStoreFailure::default(), OnStoreFailure::Refuse);
    }
}

mod begin {
    use super::*;

    const TOO_LONG: Option<u64> = Some(u64::MAX);

    fn refused(endpoint: &Endpoint, method: &str, lines: &[&str]) -> RejectionKind {
        kind(endpoint.begin(method, lines, TOO_LONG).unwrap_err())
    }

    /// Each request has every later fault as well.
    #[test]
    fn the_order_is_method_draining_header_grammar_time_length() {
        let endpoint = builder().build().unwrap();
        let drained = builder().build().unwrap();
        drop(drained.drain());
        let stale_and_malformed = format!("t={},t=", NOW - 301);
        let stale = header(SECRET, NOW - 301, b"");
        let early = header(SECRET, NOW + 301, b"");
        let good = good_header();

        assert_eq!(refused(&drained, "GET", &[]), RejectionKind::MethodNotAllowed);
        assert_eq!(refused(&drained, "POST", &[]), RejectionKind::Draining);
        assert_eq!(refused(&endpoint, "POST", &[]), RejectionKind::MissingSignature);
        let two = [&*stale_and_malformed, &stale_and_malformed];
        assert_eq!(refused(&endpoint, "POST", &two), RejectionKind::RepeatedSignature);
        let one = [&*stale_and_malformed];
        assert_eq!(refused(&endpoint, "POST", &one), RejectionKind::MalformedSignature);
        assert_eq!(refused(&endpoint, "POST", &[&stale]), RejectionKind::TooOld);
        assert_eq!(refused(&endpoint, "POST", &[&early]), RejectionKind::TooNew);
        assert_eq!(refused(&endpoint, "POST", &[&good]), RejectionKind::BodyTooLarge);
        assert!(endpoint.begin("POST", [&good], Some(MIB as u64)).is_ok());
    }

    #[test]
    fn only_post_is_a_delivery() {
        let endpoint = builder().build().unwrap();
        for method in
            ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "post", "Post", "", "POSTS"]
        {
            let error = endpoint.begin(method, [good_header()], None).unwrap_err();
            assert_eq!(error.kind(), RejectionKind::MethodNotAllowed, "{method}");
        }
    }

    #[test]
    fn a_refused_head_hashes_nothing_and_allocates_nothing() {
        let endpoint = builder().build().unwrap();
        let lines = [
            format!("t={},v1={}", NOW - 301, "0".repeat(64)),
            format!("t={NOW},t={NOW},v1={}", "0".repeat(64)),
            "x".repeat(5000),
        ];
        let info = allocation_counter::measure(|| {
            for line in &lines {
                assert!(endpoint.begin("POST", [line], None).is_err());
            }
            assert!(endpoint.begin("POST", [] as [&str; 0], None).is_err());
            assert!(endpoint.begin("GET", &lines, None).is_err());
            assert!(endpoint.begin("POST", &lines, None).is_err());
        });
        assert_eq!(info.count_total, 0, "{info:?}");
    }
}

#[test]
fn an_endpoint_knows_its_own_deliveries() {
    let (one, two) = (builder().build().unwrap(), builder().build().unwrap());
    let mut body = one.begin("POST", [good_header()], None).unwrap();
    body.update(common::BODY).unwrap();
    let delivery = body.finish().unwrap();
    assert!(one.has_verified(&delivery));
    assert!(one.clone().has_verified(&delivery));
    assert!(!two.has_verified(&delivery), "another endpoint's key proves nothing");

    let elsewhere = one.verifier().verify_at([good_header()], common::BODY, at(NOW)).unwrap();
    assert!(!one.has_verified(&elsewhere), "the verifier alone is no endpoint");
}

#[test]
fn a_bad_ring_is_an_error_of_the_endpoint() {
    let error = KeyRing::parse("short").unwrap_err();
    let said = error.to_string();
    let error = dataflow_webhooks::EndpointError::from(error);
    assert_eq!(error.to_string(), said);
    assert!(std::error::Error::source(&error).is_some());
}
