//! How far a signature's timestamp may lie from now, and where "now" comes from.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use common::{BODY, NOW, SECRET, at, good_header, header, judge, secret, verifier};
use dataflow_webhooks::{RejectionKind, Secret, Tolerance, Verifier, sign, verify};
use jiff::{SignedDuration, Timestamp};

const TOO_OLD: Result<(), RejectionKind> = Err(RejectionKind::TooOld);
const TOO_NEW: Result<(), RejectionKind> = Err(RejectionKind::TooNew);

/// The verdict on a good delivery signed at [`NOW`], so many seconds later.
#[track_caller]
fn after(tolerance: Tolerance, seconds: i64) -> Result<(), RejectionKind> {
    let verifier = verifier().tolerance(tolerance);
    judge(&verifier, &[good_header()], BODY, at(NOW + seconds)).map(drop)
}

fn seconds(past: u64, future: u64) -> Tolerance {
    Tolerance::new(Duration::from_secs(past), Duration::from_secs(future))
}

#[test]
fn the_default_is_300_seconds_either_way() {
    assert_eq!(Tolerance::default(), seconds(300, 300));
    assert_eq!(Tolerance::default().past(), Duration::from_secs(300));
    assert_eq!(Tolerance::default().future(), Duration::from_secs(300));
}

#[test]
fn the_past_end_is_inclusive() {
    assert_eq!(after(Tolerance::default(), 300), Ok(()));
    assert_eq!(after(Tolerance::default(), 301), TOO_OLD);
}

#[test]
fn the_future_end_is_inclusive() {
    assert_eq!(after(Tolerance::default(), -300), Ok(()));
    assert_eq!(after(Tolerance::default(), -301), TOO_NEW);
}

#[test]
fn past_and_future_are_set_apart() {
    for (past, future) in [(10, 300), (300, 10), (0, 60), (60, 0)] {
        let tolerance = seconds(past, future);
        assert_eq!(after(tolerance, past.cast_signed()), Ok(()));
        assert_eq!(after(tolerance, past.cast_signed() + 1), TOO_OLD);
        assert_eq!(after(tolerance, -future.cast_signed()), Ok(()));
        assert_eq!(after(tolerance, -future.cast_signed() - 1), TOO_NEW);
    }
}

#[test]
fn one_hour_in_the_future_is_refused() {
    assert_eq!(after(Tolerance::default(), -3600), TOO_NEW);
}

#[test]
fn no_tolerance_at_all_takes_the_very_second() {
    assert_eq!(after(seconds(0, 0), 0), Ok(()));
    assert_eq!(after(seconds(0, 0), 1), TOO_OLD);
    assert_eq!(after(seconds(0, 0), -1), TOO_NEW);
}

#[test]
fn parts_of_a_second_are_cut_off() {
    let tolerance = Tolerance::new(Duration::from_millis(1999), Duration::from_millis(1999));
    assert_eq!(after(tolerance, 1), Ok(()));
    assert_eq!(after(tolerance, 2), TOO_OLD);
    assert_eq!(after(tolerance, -2), TOO_NEW);
}

#[test]
fn now_counts_in_whole_seconds() {
    let last = at(NOW + 300) + SignedDuration::from_nanos(999_999_999);
    assert_eq!(judge(&verifier(), &[good_header()], BODY, last).map(drop), Ok(()));
}

#[test]
fn before_1970_the_second_a_moment_lies_in_is_the_earlier_one() {
    let line = header(SECRET, 300, BODY);
    assert_eq!(judge(&verifier(), &[&line], BODY, at(0)).map(drop), Ok(()));
    let half_a_second_earlier = at(0) - SignedDuration::from_millis(500);
    assert_eq!(judge(&verifier(), &[&line], BODY, half_a_second_earlier).map(drop), TOO_NEW);
}

#[test]
fn the_timestamp_is_judged_before_the_signature() {
    let line = format!("t={},v1=potato", NOW - 301);
    assert_eq!(judge(&verifier(), &[line], BODY, at(NOW)).map(drop), TOO_OLD);
}

#[test]
fn the_ends_of_time_do_not_overflow() {
    let verifier = verifier();
    for t in ["0", "1", "253402207200", "999999999999"] {
        let line = header(SECRET, t, BODY);
        for now in [Timestamp::MIN, at(-1), at(0), Timestamp::MAX] {
            let expected = match t.parse::<i64>().unwrap() {
                t if t.abs_diff(now.as_second()) <= 300 => Ok(()),
                t if t < now.as_second() => TOO_OLD,
                _ => TOO_NEW,
            };
            assert_eq!(judge(&verifier, &[&line], BODY, now).map(drop), expected, "{t} at {now}");
        }
    }
}

#[test]
fn the_widest_tolerance_does_not_overflow() {
    let widest = Tolerance::new(Duration::MAX, Duration::MAX);
    let verifier = verifier().tolerance(widest);
    for now in [Timestamp::MIN, Timestamp::MAX] {
        for t in ["0", "999999999999"] {
            assert!(
                judge(&verifier, &[header(SECRET, t, BODY)], BODY, now).is_ok(),
                "{t} at {now}"
            );
        }
    }
    let delivery = verifier.verify_at([header(SECRET, 0, BODY)], BODY, Timestamp::MAX).unwrap();
    assert_eq!(delivery.skew(), Timestamp::MAX.duration_since(at(0)));
}

#[test]
fn a_rejection_says_how_far_off_it_was_and_how_far_it_may_be() {
    let verifier = verifier().tolerance(seconds(60, 30));
    let says = |now| verifier.check_at([good_header()], BODY, at(now)).unwrap_err().to_string();
    let (old, new) = (says(NOW + 3661), says(NOW - 3661));
    assert!(old.contains("3661 s old") && old.contains("60 s"), "{old}");
    assert!(new.contains("3661 s in the future") && new.contains("30 s"), "{new}");
}

mod clock {
    use super::*;

    #[test]
    fn verify_at_judges_as_of_another_moment() {
        let verifier = Verifier::new(secret(SECRET)).clock(|| at(NOW + 100_000));
        assert_eq!(
            verifier.verify([good_header()], BODY).unwrap_err().kind(),
            RejectionKind::TooOld
        );
        let delivery = verifier.verify_at([good_header()], BODY, at(NOW + 200)).unwrap();
        assert_eq!(delivery.received_at(), at(NOW + 200));
        assert_eq!(delivery.signed_at(), at(NOW));
        assert_eq!(delivery.skew(), SignedDuration::from_secs(200));
    }

    #[test]
    fn the_injected_clock_is_read_at_every_call() {
        let now = Arc::new(AtomicI64::new(NOW));
        let verifier = Verifier::new(secret(SECRET)).clock({
            let now = now.clone();
            move || at(now.load(Ordering::Relaxed))
        });
        assert!(verifier.check([good_header()], BODY).is_ok());
        now.store(NOW + 301, Ordering::Relaxed);
        assert_eq!(
            verifier.check([good_header()], BODY).unwrap_err().kind(),
            RejectionKind::TooOld
        );
        assert!(verifier.begin([good_header()], None).is_err());
    }

    #[test]
    fn a_body_is_judged_by_the_moment_its_head_came() {
        let now = Arc::new(AtomicI64::new(NOW + 300));
        let verifier = Verifier::new(secret(SECRET)).clock({
            let now = now.clone();
            move || at(now.load(Ordering::Relaxed))
        });
        let mut body = verifier.begin([good_header()], None).unwrap();
        now.store(NOW + 304, Ordering::Relaxed);
        body.update(BODY).unwrap();
        let delivery = body.finish().unwrap();
        assert_eq!(delivery.received_at(), at(NOW + 300));
    }

    #[test]
    fn the_default_clock_is_the_systems() {
        let secret: Secret = secret(SECRET);
        let now = Timestamp::now();
        let old = now - SignedDuration::from_secs(3600);
        let line = sign(&secret, now, BODY);
        assert!(verify(&secret, Some(&line), BODY).is_ok());
        assert!(Verifier::new(secret.clone()).check([&line], BODY).is_ok());
        assert!(Verifier::new(secret.clone()).begin([&line], None).is_ok());

        let line = sign(&secret, old, BODY);
        let kind = verify(&secret, Some(&line), BODY).unwrap_err().kind();
        assert_eq!(kind, RejectionKind::TooOld);
    }

    #[test]
    fn an_endpoint_hands_its_clock_and_tolerance_to_its_verifier() {
        let endpoint = common::builder().tolerance(seconds(5, 5)).build().unwrap();
        let line = |t| header(SECRET, t, BODY);
        assert!(endpoint.begin("POST", [line(NOW - 5)], None).is_ok());
        let kind = |t| endpoint.begin("POST", [line(t)], None).unwrap_err().kind();
        assert_eq!(kind(NOW - 6), RejectionKind::TooOld);
        assert_eq!(kind(NOW + 6), RejectionKind::TooNew);
    }
}
