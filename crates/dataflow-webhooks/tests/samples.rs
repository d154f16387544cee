//! Samples of the documented event types.

use std::collections::HashSet;

use dataflow_webhooks::event::{Event, EventPayload, EventType};
use dataflow_webhooks::testing::Sample;

#[test]
fn there_is_a_sample_of_each_documented_type() {
    let types: Vec<EventType> = Sample::all().map(|sample| sample.event().event_type).collect();
    assert_eq!(types, EventType::DOCUMENTED);
}

#[test]
fn every_sample_fills_every_field_of_its_struct_and_nothing_else() {
    for sample in Sample::all() {
        let event = sample.event();
        assert!(!event.payload.is_mismatched(), "{event:?}");
        let shown = format!("{:?}", event.payload);
        assert!(!shown.contains("None"), "{shown}");
        assert!(shown.contains("extra: {}"), "{shown}");
    }
}

#[test]
fn the_sample_of_a_completed_run_has_the_documented_shape() {
    let body = Sample::of(EventType::PipelineRunCompleted)
        .id("evt_1a2b3c4d5e6f")
        .created_at("2025-01-24T10:30:00Z".parse().unwrap())
        .data("started_at", "2025-01-24T10:27:53Z")
        .data("completed_at", "2025-01-24T10:30:00Z")
        .body();
    let documented = concat!(
        r#"{"id":"evt_1a2b3c4d5e6f","type":"pipeline.run.completed","created_at":"2025-01-24T10:30:00Z","data":{"#,
        r#""pipeline_id":"pipe_abc123","run_id":"run_xyz789","status":"completed","records_processed":15420,"#,
        r#""duration_seconds":127,"started_at":"2025-01-24T10:27:53Z","completed_at":"2025-01-24T10:30:00Z"},"#,
        r#""metadata":{"environment":"production","triggered_by":"schedule"}}"#,
    );
    assert_eq!(std::str::from_utf8(&body).unwrap(), documented);
}

#[test]
fn the_times_of_a_completed_run_agree_with_its_duration() {
    let event = Sample::of(EventType::PipelineRunCompleted).event();
    let EventPayload::PipelineRunCompleted(run) = &event.payload else { panic!("{event:?}") };
    assert_eq!(run.completed_at.duration_since(run.started_at).as_secs_f64(), run.duration_seconds);
    assert_eq!(event.created_at, Some(run.completed_at));
}

#[test]
fn ids_are_fresh_across_threads() {
    let threads: Vec<_> = (0..4)
        .map(|_| {
            std::thread::spawn(|| {
                (0..1_000)
                    .map(|_| Sample::of(EventType::PipelineCreated).event().id)
                    .collect::<Vec<_>>()
            })
        })
        .collect();
    let ids: HashSet<String> =
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
    assert_eq!(ids.len(), 4_000);
    for id in ids {
        let rest = id.strip_prefix("evt_").unwrap();
        assert!(
            rest.len() >= 17 && rest.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_lowercase()),
            "{id}"
        );
    }
}

/// Prints an id, for the test below to run in a process of its own.
#[test]
#[ignore = "a helper of the test below"]
fn print_an_id() {
    println!("<{}>", Sample::of(EventType::PipelineCreated).event().id);
}

#[test]
fn ids_are_fresh_across_processes() {
    let ids: HashSet<String> = (0..3)
        .map(|_| {
            let output = std::process::Command::new(std::env::current_exe().unwrap())
                .args(["--ignored", "--exact", "print_an_id", "--nocapture"])
                .output()
                .unwrap();
            let output = String::from_utf8(output.stdout).unwrap();
            let (_, id) = output.split_once('<').unwrap_or_else(|| panic!("{output}"));
            id.split_once('>').unwrap().0.to_owned()
        })
        .collect();
    assert_eq!(ids.len(), 3, "{ids:?}");
}

#[test]
fn a_clone_is_the_same_event() {
    let sample = Sample::of(EventType::PipelineCreated);
    assert_eq!(sample.clone().body(), sample.body());
}

#[test]
fn every_part_can_be_replaced() {
    let event = Sample::of("pipeline.run.started")
        .id("evt_1")
        .event_type("seat.added")
        .created_at("2025-01-24T10:30:00Z".parse().unwrap())
        .data("dotted.name", [1, 2])
        .field("data.a.b", true)
        .raw("data.huge", "1e400")
        .metadata("environment", "staging")
        .field("region", "eu")
        .without("data.run_id")
        .without("data.status")
        .without("data.started_at")
        .without("metadata.triggered_by")
        .event();
    assert_eq!(
        serde_json::to_string(&event).unwrap(),
        concat!(
            r#"{"id":"evt_1","type":"seat.added","created_at":"2025-01-24T10:30:00Z","data":{"pipeline_id":"pipe_abc123","#,
            r#""dotted.name":[1,2],"a":{"b":true},"huge":1e400},"metadata":{"environment":"staging"},"region":"eu"}"#
        )
    );
}

#[test]
fn odd_envelopes_can_be_made() {
    let body = Sample::of("pipeline.created")
        .field("id", 5)
        .field("data", ())
        .without("metadata")
        .without("created_at")
        .body();
    assert_eq!(body, &br#"{"id":5,"type":"pipeline.created","data":null}"#[..]);
    assert!(Event::from_trusted_json(&body).unwrap().id.starts_with("sha256:"));
}

#[test]
fn a_member_can_be_put_into_a_value_set_before() {
    let body = Sample::of("a")
        .field("data", 5)
        .data("x", 1)
        .raw("metadata", r#"{"a": 1}"#)
        .metadata("b", 2)
        .id("i")
        .body();
    let text = std::str::from_utf8(&body).unwrap();
    assert!(text.ends_with(r#""data":{"x":1},"metadata":{"a":1,"b":2}}"#), "{text}");
}

#[test]
fn an_unknown_type_has_a_sample() {
    let event = Sample::unknown("pipeline.run.cancelled").event();
    assert_eq!(event.event_type, "pipeline.run.cancelled");
    assert!(matches!(event.payload, EventPayload::Unknown(_)));
}

#[test]
#[should_panic(expected = "pipeline.created is a documented event type")]
fn a_documented_type_is_no_unknown_one() {
    let _ = Sample::unknown("pipeline.created");
}

#[test]
fn debug_of_a_sample_shows_no_raw_json() {
    let shown = format!("{:?}", Sample::unknown("seat.added").data("secret", "hush"));
    assert!(shown.contains("seat.added") && !shown.contains("hush"), "{shown}");
}
