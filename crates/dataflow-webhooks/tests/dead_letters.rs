//! Dead letters in core: which delivery is due to be one, what a letter says and how it
//! is kept, and running one again.

mod common;
#[path = "common/sink.rs"]
#[allow(dead_code, reason = "only the sound sink is used here")]
mod sink;

use std::sync::Arc;

use common::{BODY, NOW, SECRET, at, builder, header};
use dataflow_webhooks::adapter::HandlerEnd::{CutOff, Failed, Panicked, Succeeded};
use dataflow_webhooks::dead_letters::{DeadLetter, DeadLetterSink as _, DeadLetters, run_again};
use dataflow_webhooks::{BoxError, Claim, DedupKey, Delivery, Endpoint};
use sink::VecSink;

fn after(runs: u32) -> Endpoint {
    builder().dead_letters(VecSink::default(), runs).build().unwrap()
}

/// A delivery of this body, in the run with this epoch.
fn delivery(endpoint: &Endpoint, body: &[u8], epoch: u64) -> Delivery {
    let mut verification = endpoint.begin("POST", [header(SECRET, NOW - 2, body)], None).unwrap();
    verification.update(body.to_vec()).unwrap();
    let delivery = verification.finish().unwrap();
    let claim = Claim::new(DedupKey::from_event_id(delivery.id()), epoch);
    delivery.with_claim(claim)
}

fn letter(body: &[u8]) -> DeadLetter {
    let endpoint = after(3);
    endpoint.dead_letter_due(&delivery(&endpoint, body, 3), Failed, Some(500)).unwrap().0
}

#[test]
fn a_letter_is_due_after_the_set_number_of_runs_and_each_further_one() {
    for allowed in 1..=5 {
        let endpoint = after(allowed);
        for epoch in 1..=7 {
            let delivery = delivery(&endpoint, BODY, epoch);
            let due = endpoint.dead_letter_due(&delivery, Failed, Some(500)).is_some();
            assert_eq!(due, epoch >= allowed.into(), "run {epoch} of {allowed}");
        }
    }
}

#[test]
fn any_number_of_runs_but_1_to_5_is_refused_with_the_figure_and_the_reason() {
    for runs in [0, 6, u32::MAX] {
        let error =
            builder().dead_letters(VecSink::default(), runs).build().unwrap_err().to_string();
        assert!(error.contains(&format!("after {runs} runs; 1 to 5 are allowed")), "{error}");
        assert!(error.contains("disables the webhook"), "{error}");
    }
}

#[test]
fn dead_letters_need_deduplication() {
    for builder in [
        builder().dead_letters(VecSink::default(), 3).without_dedup(),
        builder().without_dedup().dead_letters(VecSink::default(), 3),
    ] {
        let error = builder.build().unwrap_err().to_string();
        assert!(error.contains("dead_letters needs deduplication"), "{error}");
    }
}

#[test]
fn nothing_is_due_unless_dead_letters_are_asked_for() {
    let endpoint = builder().build().unwrap();
    let delivery = delivery(&endpoint, BODY, 5);
    assert!(endpoint.dead_letter_due(&delivery, Failed, Some(500)).is_none());
}

#[test]
fn nothing_is_due_after_a_success_or_without_a_claim() {
    let endpoint = after(1);
    let delivery = delivery(&endpoint, BODY, 5);
    assert!(endpoint.dead_letter_due(&delivery, Succeeded, Some(200)).is_none());
    let unclaimed = common::verifier().verify([header(SECRET, NOW, BODY)], BODY).unwrap();
    assert!(endpoint.dead_letter_due(&unclaimed, Failed, Some(500)).is_none());
}

#[test]
fn a_letter_says_how_its_last_run_ended() {
    let endpoint = after(2);
    let delivery = delivery(&endpoint, BODY, 2);
    for (end, status, reason) in [
        (Failed, Some(500), "answered 500"),
        (Failed, Some(404), "answered 404"),
        (Failed, None, "failed"),
        (Panicked, Some(500), "panicked"),
        (CutOff, Some(503), "was cut off"),
    ] {
        let (letter, _) = endpoint.dead_letter_due(&delivery, end, status).unwrap();
        assert_eq!(letter.reason(), reason);
    }
}

#[test]
fn a_letter_is_the_delivery_with_its_runs_and_the_time_of_its_end() {
    let letter = letter(BODY);
    assert_eq!(letter.id(), "evt_1");
    assert_eq!(letter.event_type().as_str(), "pipeline.run.completed");
    assert_eq!(letter.body(), BODY);
    assert_eq!(letter.runs(), 3);
    assert_eq!(letter.failed_at(), at(NOW));
    assert_eq!((letter.signed_at(), letter.received_at()), (at(NOW - 2), at(NOW)));
    assert_eq!(letter.key(), "current");
    assert_eq!(letter.event().id, "evt_1");
}

/// Quotes, escapes, line breaks, what JSON lets be written in several ways.
const ODD: &str = "{ \"id\":\"evt \\\"1\\\" \u{2028}\u{1f980}\",\n\t\"type\":\"a.\\u0062\",\r\n\
    \"data\":{\"n\":1e400,\"s\":\"\\\\ \\/ \\u0000 \\ud83e\\udd80 \u{7f}\"} }\n";

#[test]
fn a_letter_goes_through_its_json_byte_for_byte() {
    for body in [BODY, ODD.as_bytes(), br#"{"id":7}"#] {
        let letter = letter(body);
        let json = serde_json::to_vec(&letter).unwrap();
        assert!(!json.contains(&b'\n'), "it is one line");
        let read = DeadLetter::from_trusted_json(&json).unwrap();
        assert_eq!(read.body(), body);
        assert_eq!((read.id(), read.event_type()), (letter.id(), letter.event_type()));
        assert_eq!((read.failed_at(), read.runs()), (letter.failed_at(), letter.runs()));
        assert_eq!((read.reason(), read.key()), (letter.reason(), letter.key()));
        assert_eq!(read.signed_at(), letter.signed_at());
        assert_eq!(read.received_at(), letter.received_at());
        assert_eq!(serde_json::to_vec(&read).unwrap(), json);
    }
}

#[test]
fn the_json_names_the_event_for_whoever_searches_it() {
    let json = serde_json::to_value(letter(br#"{"id":7,"type":"odd.one"}"#)).unwrap();
    assert!(json["event_id"].as_str().unwrap().starts_with("sha256:"), "{json}");
    assert_eq!((&json["type"], &json["reason"]), (&"odd.one".into(), &"answered 500".into()));
    assert_eq!(json["failed_at"], "2024-01-24T11:40:00Z");
}

#[test]
fn what_is_no_letter_is_refused_without_being_quoted() {
    let json = serde_json::to_string(&letter(br#"{"id":"hush"}"#)).unwrap();
    let cut = &json[..json.len() - 1];
    let no_event = json.replace(r#"{\"id\":\"hush\"}"#, "[hush]");
    assert_ne!(no_event, json);
    for text in ["", "{}", "hush", r#"{"hush":1}"#, cut, &no_event] {
        let error = DeadLetter::from_trusted_json(text.as_bytes()).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hush"), "{error:?}");
    }
}

#[test]
fn debug_shows_nothing_of_the_body() {
    let letter = letter(br#"{"id":"evt_1","data":"hush"}"#);
    let shown = format!("{letter:?}");
    assert!(shown.contains("evt_1") && shown.contains("answered 500"), "{shown}");
    assert!(!shown.contains("hush"), "{shown}");
}

#[test]
fn a_letter_run_again_is_removed_when_its_handler_has_succeeded() {
    let sink: Arc<dyn DeadLetters> = Arc::new(VecSink::default());
    pollster::block_on(sink.store(&letter(BODY))).unwrap();
    let handler = async |letter: &DeadLetter| {
        assert_eq!(letter.body(), BODY);
        Ok::<_, BoxError>(())
    };
    assert!(pollster::block_on(run_again(&sink, "evt_1", handler)).unwrap());
    assert!(!pollster::block_on(run_again(&sink, "evt_1", handler)).unwrap());
}

#[test]
fn a_letter_whose_handler_fails_again_stays() {
    let sink = VecSink::default();
    pollster::block_on(sink.store(&letter(BODY))).unwrap();
    let failing = async |_: &DeadLetter| Err("still broken");
    let error = pollster::block_on(run_again(&sink, "evt_1", failing)).unwrap_err();
    assert_eq!(error.to_string(), "still broken");
    assert!(pollster::block_on(sink.get("evt_1")).unwrap().is_some());
}

#[test]
fn an_event_without_a_letter_is_not_run() {
    let sink = VecSink::default();
    let never = async |_: &DeadLetter| -> Result<(), BoxError> { panic!("it ran") };
    assert!(!pollster::block_on(run_again(&sink, "evt_1", never)).unwrap());
}

#[test]
fn letters_and_failures_to_store_them_are_counted_apart() {
    let endpoint = after(3);
    let (letter, telemetry) = (letter(BODY), endpoint.telemetry());
    telemetry.dead_lettered(&letter);
    telemetry.dead_letter_failed(&letter, &"the disk is full");
    telemetry.dead_letter_failed(&letter, &"the disk is full");
    let counts = endpoint.counts();
    assert_eq!((counts.dead_letters, counts.dead_letter_errors), (1, 2));
}
