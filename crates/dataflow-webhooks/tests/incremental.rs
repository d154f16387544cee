//! Verifying a body while it arrives: cut anywhere, under its limit, with nothing kept of a
//! refused one.

mod common;

use bytes::Bytes;
use common::{BODY, NOW, OTHER, SECRET, at, good_header, header, kind, secret, verifier};
use dataflow_webhooks::{Delivery, KeyRing, Rejection, RejectionKind, Verification, Verifier};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

fn begin(verifier: &Verifier, declared: Option<u64>) -> Verification {
    verifier.begin([good_header()], declared).unwrap()
}

fn received<'a>(
    verifier: &Verifier,
    line: &str,
    declared: Option<u64>,
    chunks: impl IntoIterator<Item = &'a [u8]>,
) -> Result<Delivery, Rejection> {
    let mut body = verifier.begin([line], declared)?;
    for chunk in chunks {
        body.update(Bytes::copy_from_slice(chunk))?;
    }
    body.finish()
}

/// The pieces of `body` between the places in `cuts`, empty ones included.
fn pieces<'a>(body: &'a [u8], cuts: &[Index]) -> Vec<&'a [u8]> {
    let mut places: Vec<_> = cuts.iter().map(|cut| cut.index(body.len() + 1)).collect();
    places.extend([0, body.len()]);
    places.sort_unstable();
    places.windows(2).map(|ends| &body[ends[0]..ends[1]]).collect()
}

/// An event whose `data` is arbitrary text.
fn event() -> impl Strategy<Value = Vec<u8>> {
    "[a-zA-Z0-9é東🚀 ]{0,300}"
        .prop_map(|text| format!(r#"{{"id":"evt_1","data":"{text}"}}"#).into_bytes())
}

proptest! {
    #[test]
    fn a_good_body_cut_anywhere_passes(
        body in event(),
        cuts in vec(any::<Index>(), 0..12),
        declares in any::<bool>(),
        signed_with in 0..3_usize,
    ) {
        let keys = KeyRing::from_secrets([OTHER, SECRET].map(secret)).unwrap();
        let verifier = Verifier::new(keys).clock(|| at(NOW));
        let line = header([OTHER, SECRET, "whsec_of_somebody_else"][signed_with], NOW, &body);
        let declared = declares.then_some(body.len() as u64);
        let whole = verifier.check([&line], &body);
        let cut = received(&verifier, &line, declared, pieces(&body, &cuts));
        match (whole, cut) {
            (Ok(whole), Ok(cut)) => {
                prop_assert_eq!(cut.body(), &body);
                prop_assert_eq!((cut.signed_at(), cut.key()), (whole.signed_at(), whole.key()));
                prop_assert_eq!(cut.key(), ["current", "previous"][signed_with]);
            }
            (Err(whole), Err(cut)) => {
                prop_assert_eq!(whole.kind(), cut.kind());
                prop_assert_eq!(signed_with, 2);
            }
            (whole, cut) => prop_assert!(false, "{:?} but {:?}", whole, cut),
        }
    }

    #[test]
    fn any_bytes_cut_anywhere_are_found_authentic_or_not_as_in_one_piece(
        body in vec(any::<u8>(), 0..400),
        cuts in vec(any::<Index>(), 0..12),
        declared in proptest::option::of(0..800_u64),
        is_good in any::<bool>(),
    ) {
        let line = header(if is_good { SECRET } else { OTHER }, NOW, &body);
        let cut = received(&verifier(), &line, declared, pieces(&body, &cuts));
        let authentic = !matches!(&cut, Err(e) if e.kind() != RejectionKind::NotAnEvent);
        prop_assert_eq!(authentic, is_good);
    }

    #[test]
    fn pieces_in_another_order_do_not_match(at in 1..BODY.len()) {
        let (first, second) = BODY.split_at(at);
        prop_assume!([second, first].concat() != BODY);
        let swapped = received(&verifier(), &good_header(), None, [second, first]);
        prop_assert_eq!(swapped.unwrap_err().kind(), RejectionKind::NoMatch);
    }
}

#[test]
fn a_body_of_a_byte_a_time_passes() {
    let delivery = received(&verifier(), &good_header(), None, BODY.chunks(1)).unwrap();
    assert_eq!(delivery.body(), BODY);
}

#[test]
fn empty_chunks_change_nothing() {
    let chunks = [b"", BODY, b"", b""];
    for declared in [None, Some(BODY.len() as u64)] {
        assert!(received(&verifier(), &good_header(), declared, chunks).is_ok());
    }
}

#[test]
fn a_body_without_any_chunk_is_the_empty_body() {
    let line = header(SECRET, NOW, b"");
    let empty = received(&verifier(), &line, Some(0), []);
    assert_eq!(empty.unwrap_err().kind(), RejectionKind::NotAnEvent, "authentic, but no event");
    let empty = received(&verifier(), &good_header(), Some(0), []);
    assert_eq!(empty.unwrap_err().kind(), RejectionKind::NoMatch);
}

#[test]
fn a_missing_end_or_a_byte_too_many_does_not_match() {
    let cut_off = [&BODY[..BODY.len() - 1]];
    let longer = [BODY, b" "];
    for declared in [None, Some(BODY.len() as u64)] {
        for chunks in [&cut_off[..], &longer[..]] {
            let result = received(&verifier(), &good_header(), declared, chunks.iter().copied());
            assert_eq!(result.unwrap_err().kind(), RejectionKind::NoMatch);
        }
    }
}

mod limit {
    use super::*;

    const LENGTH: usize = BODY.len();

    #[test]
    fn the_default_is_one_mebibyte() {
        assert_eq!(Verifier::MAX_BODY_BYTES, 1024 * 1024);
        assert!(verifier().begin([good_header()], Some(1024 * 1024)).is_ok());
        let over = verifier().begin([good_header()], Some(1024 * 1024 + 1));
        assert_eq!(over.unwrap_err().kind(), RejectionKind::BodyTooLarge);
    }

    #[test]
    fn a_body_of_exactly_the_limit_passes() {
        let verifier = verifier().max_body_bytes(LENGTH);
        for declared in [None, Some(LENGTH as u64)] {
            assert!(received(&verifier, &good_header(), declared, [BODY]).is_ok());
            assert!(received(&verifier, &good_header(), declared, BODY.chunks(5)).is_ok());
        }
    }

    #[test]
    fn one_byte_over_the_limit_is_refused_in_one_chunk_or_in_many() {
        let verifier = verifier().max_body_bytes(LENGTH - 1);
        for chunk in [LENGTH, 5, 1] {
            let result = received(&verifier, &good_header(), None, BODY.chunks(chunk));
            assert_eq!(result.unwrap_err().kind(), RejectionKind::BodyTooLarge, "{chunk}");
        }
    }

    #[test]
    fn a_declared_length_over_the_limit_is_refused_before_any_byte() {
        let verifier = verifier().max_body_bytes(LENGTH);
        for declared in [LENGTH as u64 + 1, u64::MAX] {
            let error = verifier.begin([good_header()], Some(declared)).unwrap_err();
            assert_eq!(error.kind(), RejectionKind::BodyTooLarge);
            assert!(error.to_string().contains(&format!("{LENGTH} are allowed")), "{error}");
        }
    }

    #[test]
    fn a_declared_length_that_is_a_lie_does_not_lift_the_limit() {
        let verifier = verifier().max_body_bytes(LENGTH - 1);
        let result = received(&verifier, &good_header(), Some(3), BODY.chunks(3));
        assert_eq!(result.unwrap_err().kind(), RejectionKind::BodyTooLarge);
    }

    #[test]
    fn more_or_less_than_was_declared_is_still_the_body() {
        for declared in [0, 1, LENGTH as u64 - 1, LENGTH as u64 + 1, 1024 * 1024] {
            let delivery = received(&verifier(), &good_header(), Some(declared), BODY.chunks(9));
            assert_eq!(delivery.unwrap().body(), BODY, "{declared}");
        }
        // The first chunk is all that was declared, and then there is more.
        let chunks = [&BODY[..9], &BODY[9..]];
        assert_eq!(received(&verifier(), &good_header(), Some(9), chunks).unwrap().body(), BODY);
    }

    #[test]
    fn a_refused_chunk_is_neither_hashed_nor_kept() {
        let mut body = begin(&verifier().max_body_bytes(LENGTH + 2), None);
        body.update(BODY).unwrap();
        assert_eq!(body.update("123").map_err(kind), Err(RejectionKind::BodyTooLarge));
        assert_eq!(body.received(), LENGTH);
        assert_eq!(body.finish().unwrap().body(), BODY);
    }

    #[test]
    fn an_endless_body_holds_no_more_than_the_limit() {
        const LIMIT: usize = 256 * 1024;
        let chunk = Bytes::from(vec![b' '; 8 * 1024]);
        let mut body = begin(&verifier().max_body_bytes(LIMIT), None);
        let held = allocation_counter::measure(|| {
            for _ in 0..1000 {
                let _ = body.update(chunk.clone());
            }
        });
        assert_eq!(body.received(), LIMIT);
        assert!(held.bytes_current.unsigned_abs() <= LIMIT as u64 + 1024, "{held:?}");
    }
}

mod memory {
    use super::*;

    #[test]
    fn a_chunk_does_not_pin_the_buffer_it_was_cut_from() {
        let buffer = Bytes::from([BODY, &vec![b' '; 64 * 1024]].concat());
        let mut body = begin(&verifier(), None);
        body.update(buffer.slice(..9)).unwrap();
        assert!(buffer.is_unique(), "the verification holds on to the buffer");
        body.update(buffer.slice(9..BODY.len())).unwrap();
        assert!(buffer.is_unique(), "the verification holds on to the buffer");
    }

    #[test]
    fn a_body_that_comes_whole_as_declared_is_not_copied() {
        let buffer = Bytes::copy_from_slice(BODY);
        let mut body = begin(&verifier(), Some(BODY.len() as u64));
        body.update(buffer.clone()).unwrap();
        assert_eq!(body.finish().unwrap().body().as_ptr(), buffer.as_ptr());
    }

    #[test]
    fn dropping_an_unfinished_body_frees_it() {
        let buffer = Bytes::copy_from_slice(BODY);
        let mut body = begin(&verifier(), Some(BODY.len() as u64));
        body.update(buffer.clone()).unwrap();
        drop(body);
        assert!(buffer.is_unique());
    }

    #[test]
    fn a_refused_body_is_freed() {
        let buffer = Bytes::copy_from_slice(b"{}");
        let mut body = begin(&verifier(), Some(2));
        body.update(buffer.clone()).unwrap();
        let error = body.finish().unwrap_err();
        assert_eq!(error.kind(), RejectionKind::NoMatch);
        assert!(buffer.is_unique(), "the rejection holds on to the body");
    }
}

#[test]
fn nothing_of_the_body_is_asked_for_before_the_head_is_good() {
    let verifier = verifier().max_body_bytes(10);
    let begin = |lines: &[&str]| verifier.begin(lines, Some(11)).map(drop).map_err(kind);
    let stale = header(SECRET, NOW - 301, BODY);
    assert_eq!(begin(&[]), Err(RejectionKind::MissingSignature));
    assert_eq!(begin(&["t=1", "t=2"]), Err(RejectionKind::RepeatedSignature));
    assert_eq!(begin(&["t=x"]), Err(RejectionKind::MalformedSignature));
    assert_eq!(begin(&[&stale]), Err(RejectionKind::TooOld));
    assert_eq!(begin(&[&good_header()]), Err(RejectionKind::BodyTooLarge));
}

#[test]
fn a_long_header_with_many_candidates_passes_incrementally() {
    let good = common::hex_mac(SECRET, &NOW.to_string(), BODY);
    let others = format!("v1={},", "a".repeat(64)).repeat(15);
    let line = format!("{others}v1={},t={NOW}", good.to_uppercase());
    assert!(received(&verifier(), &line, None, BODY.chunks(10)).is_ok());
}
