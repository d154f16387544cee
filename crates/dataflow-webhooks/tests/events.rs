//! Events: types, metadata, raw JSON, and the way through a queue.

use std::error::Error;

use dataflow_webhooks::event::*;
use dataflow_webhooks::{Secret, sign, verify};
use jiff::Timestamp;

fn event(body: &str) -> Event {
    Event::from_trusted_json(body.as_bytes()).unwrap_or_else(|error| panic!("{error}: {body}"))
}

fn with_data(event_type: &str, data: &str) -> Event {
    event(&format!(r#"{{"id":"evt_1","type":"{event_type}","data":{data}}}"#))
}

const COMPLETED: &str = r#"{"pipeline_id":"pipe_abc123","run_id":"run_xyz789","status":"completed",
    "records_processed":15420,"duration_seconds":127,"started_at":"2025-01-24T10:27:53Z",
    "completed_at":"2025-01-24T10:30:00Z"}"#;

// Types

#[test]
fn the_documented_names_are_the_documentations() {
    let names: Vec<&str> = EventType::DOCUMENTED.iter().map(EventType::as_str).collect();
    assert_eq!(
        names,
        [
            "pipeline.run.started",
            "pipeline.run.completed",
            "pipeline.run.failed",
            "pipeline.created",
            "pipeline.updated",
            "pipeline.deleted",
            "connection.created",
            "connection.updated",
            "connection.deleted",
            "connection.status.changed",
            "connection.test.completed",
            "quality.rule.failed",
            "quality.threshold.exceeded",
            "quality.anomaly.detected",
        ]
    );
}

#[test]
fn a_documented_name_is_never_other() {
    for documented in EventType::DOCUMENTED {
        let name = documented.as_str();
        assert!(documented.is_documented());
        assert_eq!(&EventType::from(name), documented);
        assert_eq!(&EventType::from(name.to_owned()), documented);
        assert_eq!(&name.parse::<EventType>().unwrap(), documented);
        assert_eq!(&serde_json::from_str::<EventType>(&format!("\"{name}\"")).unwrap(), documented);
        assert_eq!(&with_data(name, "{}").event_type, documented);
    }
}

#[test]
fn another_name_is_kept() {
    for name in ["", "pipeline.run.cancelled", "Pipeline.created", " pipeline.created", "💧"] {
        let other = EventType::from(name);
        assert!(matches!(&other, EventType::Other(other) if other.as_str() == name));
        assert!(!other.is_documented());
        assert_eq!(other.to_string(), name);
    }
}

#[test]
fn a_type_compares_with_its_name() {
    assert!(EventType::PipelineCreated == "pipeline.created");
    assert!(EventType::PipelineCreated == *"pipeline.created");
    assert!(EventType::PipelineCreated != "pipeline.updated");
    let other = EventType::from("seat.added");
    assert!(other == "seat.added" && other != "seat.removed");
}

#[test]
fn a_type_serializes_as_its_name() {
    assert_eq!(
        serde_json::to_string(&EventType::QualityRuleFailed).unwrap(),
        r#""quality.rule.failed""#
    );
    assert_eq!(serde_json::to_string(&EventType::from("a\"b")).unwrap(), r#""a\"b""#);
}

// Metadata

#[test]
fn metadata_has_its_documented_members_and_keeps_the_rest() {
    let event = event(
        r#"{"metadata":{"environment":"production","triggered_by":"schedule","region":"eu"}}"#,
    );
    assert_eq!(event.metadata.environment.as_deref(), Some("production"));
    assert_eq!(event.metadata.triggered_by.as_deref(), Some("schedule"));
    assert_eq!(event.metadata.extra.decode::<String>("region").unwrap().as_deref(), Some("eu"));
}

#[test]
fn odd_metadata_is_kept() {
    let odd_member =
        event(r#"{"metadata":{"environment":["production"],"triggered_by":null}}"#).metadata;
    assert_eq!(odd_member.environment, None);
    assert_eq!(odd_member.extra.get("environment").unwrap().as_str(), r#"["production"]"#);
    assert_eq!(odd_member.extra.len(), 1);
    assert_eq!(serde_json::to_string(&odd_member).unwrap(), r#"{"environment":["production"]}"#);

    let no_object = event(r#"{"metadata":[1e400]}"#).metadata;
    assert_eq!(no_object.not_an_object.as_ref().unwrap().as_str(), "[1e400]");
    assert_eq!(serde_json::to_string(&no_object).unwrap(), "[1e400]");
}

#[test]
fn missing_metadata_is_the_default() {
    assert_eq!(event("{}").metadata, Metadata::default());
    assert_eq!(event(r#"{"metadata":null}"#).metadata, Metadata::default());
}

// Own types, raw JSON

#[test]
fn data_decodes_into_a_type_of_ones_own() {
    #[derive(serde::Deserialize)]
    struct Own<'a> {
        seats: u32,
        plan: &'a str,
    }
    let event = with_data("seat.added", r#"{"seats":3,"plan":"team"}"#);
    let own: Own<'_> = event.data().unwrap();
    assert_eq!((own.seats, own.plan), (3, "team"));
}

#[test]
fn missing_data_decodes_as_null() {
    assert_eq!(event("{}").data::<Option<u32>>().unwrap(), None);
    assert!(event("{}").data::<u32>().is_err());
}

#[test]
fn a_decode_error_says_where_and_shows_nothing() {
    let event = with_data("seat.added", r#"{"seats":"hush"}"#);
    let error = event.data::<std::collections::BTreeMap<String, u32>>().unwrap_err();
    assert_eq!(
        error.to_string(),
        "the JSON does not fit the type it was decoded into (line 1, column 15)"
    );
    assert!(!format!("{error:?}").contains("hush"), "{error:?}");
    assert!(error.source().unwrap().to_string().contains("expected u32"));
}

#[test]
fn raw_data_is_null_by_default() {
    assert_eq!(RawData::default().as_str(), "null");
}

// Debug

#[test]
fn debug_of_an_event_shows_neither_raw_json_nor_a_forged_line() {
    let body = r#"{"id":"evt_1\nERROR \u001b[31m\u202e","type":"a\nb","data":{"x":"hush"},"metadata":{"y":"hush"}}"#;
    let shown = format!("{:?}", event(body));
    assert_eq!(
        shown,
        r#"Event { id: "evt_1\nERROR \u{1b}[31m\u{202e}", event_type: "a\nb", created_at: None, payload: Unknown(RawData(12 bytes)), .. }"#
    );
}

#[test]
fn debug_cuts_ids_types_and_names_at_64_characters() {
    let long = "é".repeat(65);
    let body = format!(r#"{{"id":"{long}","type":"{long}","metadata":{{"{long}":1}}}}"#);
    let event = event(&body);
    let cut = "é".repeat(64) + "…";
    let shown = format!("{event:?}");
    assert_eq!(shown.matches(&format!("\"{cut}\"")).count(), 2, "{shown}");
    assert_eq!(format!("{:?}", event.metadata.extra), format!("{{\"{cut}\": RawData(1 bytes)}}"));
    let EventType::Other(other) = &event.event_type else { panic!("{shown}") };
    assert_eq!(format!("{other:?}"), format!("\"{cut}\""));
}

#[test]
fn debug_of_a_delivery_cuts_its_id_and_type_as_well() {
    let long = "é".repeat(65);
    let body = format!(r#"{{"id":"{long}\u001b","type":"\u001b{long}"}}"#);
    let secret = Secret::new("whsec_1a2b3c4d5e6f7g8h9i0j").unwrap();
    let line = sign(&secret, Timestamp::now(), body.as_bytes());
    let shown = format!("{:?}", verify(&secret, Some(line), body).unwrap());
    let id = format!("id: \"{}…\"", "é".repeat(64));
    let event_type = format!("event_type: \"\\u{{1b}}{}…\"", "é".repeat(63));
    assert!(shown.contains(&id) && shown.contains(&event_type), "{shown}");
}

// Queues

#[test]
fn an_event_serializes_to_what_the_sender_sent() {
    let body = r#"{ "type":"seat.added", "new":1e400, "created_at":"soon", "id":"evt_1",
        "data" : {"n": 1.10} , "metadata":[], "\ud800":0 }"#;
    assert_eq!(serde_json::to_string(&event(body)).unwrap(), body);
    assert_eq!(serde_json::to_string(&event(&format!("\n{body} "))).unwrap(), body);
}

#[test]
fn the_substituted_id_is_serialized() {
    for (body, rest) in [
        ("{}", ("", "}")),
        (" { } ", ("", " }")),
        (r#"{"data":{"a":1}}"#, ("", r#","data":{"a":1}}"#)),
        (r#"{"data":{"a":1},"id": 5 ,"x":2}"#, (r#""data":{"a":1},"#, r#" ,"x":2}"#)),
        (r#"{"i\u0064":[5],"data":{"a":1}}"#, ("", r#","data":{"a":1}}"#)),
    ] {
        let event = event(body);
        let queued = serde_json::to_string(&event).unwrap();
        let key = if body.contains("u0064") {
            r#""i\u0064":"#
        } else if body.contains(" 5") {
            r#""id": "#
        } else {
            r#""id":"#
        };
        assert_eq!(queued, format!("{{{}{key}\"{}\"{}", rest.0, event.id, rest.1));
        let again = Event::from_trusted_json(queued.as_bytes()).unwrap();
        assert_eq!(again.id, event.id);
        assert_eq!(again.raw_data(), event.raw_data());
    }
}

#[test]
fn edits_are_not_written_back() {
    let mut event = event(r#"{"id":"evt_1","type":"seat.added"}"#);
    event.id = "evt_2".to_owned();
    assert_eq!(serde_json::to_string(&event).unwrap(), r#"{"id":"evt_1","type":"seat.added"}"#);
}

#[test]
fn a_clone_is_equal_in_every_part() {
    let event = with_data("pipeline.run.completed", COMPLETED);
    assert_eq!(format!("{:?}", event.clone()), format!("{event:?}"));
    assert_eq!(
        serde_json::to_string(&event.clone()).unwrap(),
        serde_json::to_string(&event).unwrap()
    );
}

#[test]
fn events_cross_threads() {
    fn crosses<T: Send + Sync + 'static>() {}
    crosses::<Event>();
    crosses::<DecodeError>();
    crosses::<EnvelopeError>();
}
