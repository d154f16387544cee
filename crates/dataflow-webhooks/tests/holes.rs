//! Holes that were found in other receivers of webhooks, each shut here. Where a whole file tests
//! the rule, the test here is the published case itself.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::{
    BODY, NOW, OTHER, SECRET, at, builder, good_header, header, hex_mac, judge, verifier,
};
use common::{kind, secret};
use dataflow_webhooks::adapter::Verdict;
use dataflow_webhooks::dedup::{Claim, ClaimOutcome, DedupKey, Held, StoreFuture, Terms};
use dataflow_webhooks::{
    Delivery, Endpoint, Event, EventPayload, KeyRing, Outcome, RejectionKind, Secret, Verifier,
    verify,
};

fn good() -> String {
    hex_mac(SECRET, &NOW.to_string(), BODY)
}

#[track_caller]
fn refused(line: &str, expected: RejectionKind) {
    let judged = judge(&verifier(), &[line], BODY, at(NOW));
    assert_eq!(judged.map(drop), Err(expected), "{line}");
}

/// RUSTSEC-2024-0010: signatures of different lengths were compared over the shorter one.
#[test]
fn a_prefix_an_empty_value_and_an_extended_value_never_match() {
    let good = good();
    for value in ["", &good[..1], &good[..2], &good[..32], &good[..63]] {
        refused(&format!("t={NOW},v1={value}"), RejectionKind::NoMatch);
    }
    refused(&format!("t={NOW},v1={good}00"), RejectionKind::NoMatch);
}

/// CVE-2018-6596: a compare that stops at the first difference. How long a compare takes cannot be
/// tested reliably, so the sources are read: MACs are compared in one place, by `subtle`.
#[test]
fn macs_are_compared_in_one_place_in_constant_time() {
    let signature = include_str!("../src/signature.rs");
    let (_, equal) = signature.split_once("fn equal(a: &Digest, b: &Digest) -> bool {").unwrap();
    let (equal, _) = equal.split_once("\n}\n").unwrap();
    assert!(equal.contains("ct_eq"), "{equal}");
    for control in ["if ", "return", "break", "==", "&&", "||", "any(", "all(", "?"] {
        assert!(!equal.contains(control), "the compare depends on its input: {control}");
    }
    let sources = [
        signature,
        include_str!("../src/verify/mod.rs"),
        include_str!("../src/verify/incremental.rs"),
    ];
    for line in sources.iter().flat_map(|source| source.lines()) {
        let names_a_mac = ["digest", "candidate", "mac(", "mac."].iter().any(|n| line.contains(n));
        let compares = [" == &", " == *", "digest ==", "candidate ==", ".contains(&digest", ".eq("];
        let compares = compares.iter().any(|operator| line.contains(operator));
        assert!(!(names_a_mac && compares), "a MAC is compared here: {line}");
    }
}

/// CVE-2025-53548: lists of signatures, of which only some code paths were checked.
#[test]
fn of_a_list_of_signatures_one_must_match() {
    let (good, bad) = (good(), "0".repeat(64));
    let passes = |line: String| judge(&verifier(), &[line], BODY, at(NOW)).is_ok();
    refused(&format!("t={NOW}"), RejectionKind::NoMatch);
    refused(&format!("t={NOW},v1={bad},v1={bad}"), RejectionKind::NoMatch);
    refused(&format!("t={NOW},v1=,v1=\u{fffd},v1=,v0={good},v2={good}"), RejectionKind::NoMatch);
    assert!(passes(format!("t={NOW},v1={bad},v1={good}")));
    assert!(passes(format!("t={NOW},v1={good},v1={bad}")));
    assert!(passes(format!("t={NOW},v1={good},v1={good}")));
}

/// GHSA-4g53-vp7q-gfjv: an event could be had without verification. That a `Delivery` cannot be
/// written down is a test in its documentation; that none of these can be deserialized is checked
/// here by the compiler: if one of them could, `_` would be ambiguous.
#[test]
fn verification_cannot_be_skipped() {
    trait Either<Marker> {
        fn exists() {}
    }
    impl<T: ?Sized> Either<()> for T {}
    struct Deserializes;
    impl<T: serde::de::DeserializeOwned> Either<Deserializes> for T {}
    struct HasDefault;
    impl<T: Default> Either<HasDefault> for T {}

    <Delivery as Either<_>>::exists();
    <Event as Either<_>>::exists();
    <dataflow_webhooks::VerifiedSignature as Either<_>>::exists();
    <dataflow_webhooks::Verification as Either<_>>::exists();

    struct OnlyDeserializes;
    trait EitherPayload<Marker> {
        fn exists() {}
    }
    impl<T: ?Sized> EitherPayload<()> for T {}
    impl<T: serde::de::DeserializeOwned> EitherPayload<OnlyDeserializes> for T {}
    <EventPayload as EitherPayload<_>>::exists();
}

/// CVE-2026-44109, CVE-2026-86080: an empty or missing secret switched verification off.
#[test]
fn an_empty_or_missing_secret_is_an_error_at_construction() {
    assert!(Secret::new("").is_err());
    assert!(KeyRing::parse("").is_err());
    assert!(KeyRing::parse(",").is_err());
    assert!(KeyRing::from_secrets([]).is_err());
    let keys = KeyRing::new(secret(SECRET));
    assert!(keys.replace([]).is_err());
    assert_eq!(keys.labels(), ["current"]);
}

/// CVE-2026-21894: signatures were verified if they were there.
#[test]
fn a_missing_header_is_401() {
    let error = verify(&secret(SECRET), None::<&str>, BODY).unwrap_err();
    assert_eq!((error.kind(), error.status()), (RejectionKind::MissingSignature, 401));
    let error = verify(&secret(SECRET), Some(""), BODY).unwrap_err();
    assert_eq!((error.kind(), error.status()), (RejectionKind::MalformedSignature, 401));
    let endpoint = builder().build().unwrap();
    let error = endpoint.begin("POST", [] as [&str; 0], None).unwrap_err();
    assert_eq!((error.kind(), error.status()), (RejectionKind::MissingSignature, 401));
}

/// CVE-2022-3212, CVE-2026-42294: a body without a declared length was read without end.
#[test]
fn an_endless_body_ends_at_the_limit_with_413() {
    let endpoint = builder().max_body_bytes(10_000).build().unwrap();
    let mut body = endpoint.begin("POST", [good_header()], None).unwrap();
    let refused = (0..u64::MAX).find_map(|_| body.update(vec![b'x'; 999]).err()).unwrap();
    assert_eq!((refused.kind(), refused.status()), (RejectionKind::BodyTooLarge, 413));
    assert!(body.received() <= 10_000);
}

/// CVE-2018-1000089, RUSTSEC-2022-0087: secrets and bodies in logs. (Traces have a file of their
/// own.)
mod nothing_secret_is_shown {
    use super::*;

    /// An event with something to hide in every place that a person may choose.
    const PRIVATE: &[u8] = br#"{"id":"evt_1","type":"pipeline.created","created_at":"hush-1",
        "data":{"name":"hush-2","pipeline_id":["hush-3"]},"metadata":{"environment":"hush-4"}}"#;

    #[track_caller]
    fn shows_nothing(text: &str) {
        for part in ["1a2b3c4d", "9z8y7x6w", "hush"] {
            assert!(!text.contains(part), "{text}");
        }
        assert!(!text.is_empty());
    }

    #[track_caller]
    fn nothing_in(thing: &dyn std::fmt::Debug) {
        shows_nothing(&format!("{thing:?}"));
        shows_nothing(&format!("{thing:#?}"));
    }

    #[track_caller]
    fn nothing_in_error(error: &dyn std::error::Error) {
        nothing_in(&error);
        shows_nothing(&error.to_string());
        if let Some(source) = error.source() {
            nothing_in_error(source);
        }
    }

    fn delivery(endpoint: &Endpoint) -> Delivery {
        let line = header(SECRET, NOW, PRIVATE);
        let mut body = endpoint.begin("POST", [line], None).unwrap();
        body.update(PRIVATE).unwrap();
        nothing_in(&body);
        body.finish().unwrap()
    }

    #[test]
    fn in_debug() {
        let keys = KeyRing::from_secrets([SECRET, OTHER].map(secret)).unwrap();
        nothing_in(&secret(SECRET));
        nothing_in(&keys);
        nothing_in(&Verifier::new(keys.clone()));
        nothing_in(&Endpoint::builder(keys.clone()));
        let endpoint = Endpoint::builder(keys).clock(|| at(NOW)).build().unwrap();
        nothing_in(&endpoint);
        nothing_in(endpoint.telemetry());
        nothing_in(&endpoint.drain());
        nothing_in(&endpoint.counts());
        let delivery = delivery(&builder().build().unwrap());
        nothing_in(&delivery);
        nothing_in(&delivery.dedup_key());
    }

    #[test]
    fn in_errors() {
        for text in
            ["hush", " whsec_1a2b3c4d5e6f7g8h9i0j", "whsec_1a2b3c4d,5e6f7g8h9i0j", "9z8y7x6w"]
        {
            nothing_in_error(&Secret::new(text).unwrap_err());
            if !text.contains(',') {
                nothing_in_error(&KeyRing::parse(text).unwrap_err());
                nothing_in_error(&KeyRing::parse(&format!("{OTHER},{text}")).unwrap_err());
            }
        }
        nothing_in_error(&KeyRing::parse(&format!("{OTHER},{OTHER}")).unwrap_err());
        nothing_in_error(&KeyRing::labelled([("hush 1", secret(SECRET))]).unwrap_err());
    }

    #[test]
    fn in_rejections() {
        let bodies: [&[u8]; 4] =
            [b"\"hush\"", b"{\"id\":\"hush\",\"id\":1}", b"hush", b"{\"hush\":\xff}"];
        for body in bodies {
            let error = verifier().verify([header(SECRET, NOW, body)], body).unwrap_err();
            assert_eq!(error.kind(), RejectionKind::NotAnEvent);
            nothing_in_error(&error);
            nothing_in_error(&verifier().verify([good_header()], body).unwrap_err());
        }
        for line in ["t=hush,v1=hush", "t=1,v1=hush", "hush", "t=hush,t=hush"] {
            nothing_in_error(&verifier().verify([line], BODY).unwrap_err());
        }
    }
}

/// CVE-2026-45005: a removed key went on working.
#[test]
fn after_a_swap_the_removed_key_stops_working_at_once() {
    let endpoint = builder().build().unwrap();
    let check = || endpoint.verifier().check([good_header()], BODY).map(drop).map_err(kind);
    assert_eq!(check(), Ok(()));
    let mut in_flight = endpoint.begin("POST", [good_header()], None).unwrap();
    in_flight.update(BODY).unwrap();
    endpoint.keys().replace([secret(OTHER)]).unwrap();
    assert_eq!(check(), Err(RejectionKind::NoMatch));
    assert_eq!(in_flight.finish().map(drop).map_err(kind), Err(RejectionKind::NoMatch));
}

/// CVE-2026-34505: unauthenticated requests cost as much as authentic ones.
mod a_flood_of_bad_signatures {
    use super::*;

    /// A store that only counts how often it is asked.
    #[derive(Default)]
    struct Asked(AtomicUsize);

    impl Asked {
        fn ask<'a, T>(&self) -> StoreFuture<'a, T> {
            self.0.fetch_add(1, Ordering::SeqCst);
            Box::pin(async { Err("this store only counts".into()) })
        }
    }

    impl dataflow_webhooks::DedupStore for Asked {
        fn claim<'a>(&'a self, _: &'a DedupKey, _: Terms) -> StoreFuture<'a, ClaimOutcome> {
            self.ask()
        }
        fn renew<'a>(&'a self, _: &'a Claim, _: Terms) -> StoreFuture<'a, Held> {
            self.ask()
        }
        fn commit<'a>(&'a self, _: &'a Claim, _: Terms) -> StoreFuture<'a, Held> {
            self.ask()
        }
        fn release<'a>(&'a self, _: &'a Claim, _: Terms) -> StoreFuture<'a, Held> {
            self.ask()
        }
        fn forget<'a>(&'a self, _: &'a DedupKey) -> StoreFuture<'a, ()> {
            self.ask()
        }
    }

    fn flood(endpoint: &Endpoint, requests: usize) {
        let line = header(OTHER, NOW, BODY);
        for _ in 0..requests {
            let mut body = endpoint.begin("POST", [&line], None).unwrap();
            body.update(BODY).unwrap();
            assert_eq!(body.finish().map(drop).map_err(kind), Err(RejectionKind::NoMatch));
        }
    }

    #[test]
    fn never_reaches_the_store() {
        let store = Arc::new(Asked::default());
        flood(&builder().dedup(store.clone()).build().unwrap(), 100);
        assert_eq!(store.0.load(Ordering::SeqCst), 0);
    }

    #[test]
    fn holds_nothing() {
        let endpoint = builder().build().unwrap();
        flood(&endpoint, 1);
        let held = allocation_counter::measure(|| flood(&endpoint, 100));
        assert_eq!(held.bytes_current, 0, "{held:?}");
        assert_eq!(endpoint.counts().unverified_bytes, 0);
    }
}

/// pr-agent #476: the id for deduplication came from a header that nobody had signed.
#[test]
fn the_dedup_key_comes_from_the_signed_body_alone() {
    let of =
        |line: String, body: &'static [u8]| verifier().verify([line], body).unwrap().dedup_key();
    let key = of(good_header(), BODY);
    assert_eq!(key, DedupKey::from_event_id("evt_1"));
    let retry = format!("id=evt_2,{},event=evt_3", header(SECRET, NOW + 60, BODY));
    assert_eq!(of(retry, BODY), key, "the same event, signed anew");
    let other = br#"{"id":"evt_2","type":"pipeline.run.completed"}"#;
    assert_ne!(of(header(SECRET, NOW, other), other), key);
}

/// postel #129, langfuse #15463: an event was marked as done whatever became of its handler.
#[test]
fn only_success_marks_an_event_as_done() {
    for status in [100, 199, 300, 302, 400, 404, 409, 422, 429, 500, 503] {
        assert_eq!(Verdict::on_status(status), Verdict::Release, "{status}");
    }
    for status in [200, 201, 202, 204, 299] {
        assert_eq!(Verdict::on_status(status), Verdict::Commit, "{status}");
    }
}

/// 2witstudios/PageSpace #2199: a duplicate was acknowledged while the first run could still fail.
#[test]
fn a_duplicate_in_flight_is_never_answered_200() {
    assert_eq!(Outcome::InFlight.answer().status(), 503);
}

/// Bishop Fox, "An Exploration of JSON Interoperability Vulnerabilities": two readers of one body
/// see different events.
#[test]
fn repeated_ids_and_types_are_refused() {
    let bodies: [&[u8]; 4] = [
        br#"{"id":"evt_1","id":"evt_2","type":"a"}"#,
        br#"{"id":"evt_1","type":"a","type":"b"}"#,
        br#"{"id":"evt_1","\u0069d":"evt_2","type":"a"}"#,
        br#"{"id":"evt_1","type":"a","id":null}"#,
    ];
    for body in bodies {
        let error = verifier().verify([header(SECRET, NOW, body)], body).unwrap_err();
        assert_eq!((error.kind(), error.status()), (RejectionKind::NotAnEvent, 422));
    }
}
