//! Events: types, payloads, metadata, raw JSON, and the way through a queue.

use std::error::Error;

use dataflow_webhooks::event::*;

fn event(body: &str) -> Event {
    Event::from_trusted_json(body.as_bytes()).unwrap_or_else(|error| panic!("{error}: {body}"))
}

fn with_data(event_type: &str, data: &str) -> Event {
    event(&format!(
        r#"{{"id":"evt_1","type":"{event_type}","data":{data}}}"#
    ))
}

const COMPLETED: &str = r#"{"pipeline_id":"pipe_abc123","run_id":"run_xyz789","status":"completed",
    "records_processed":15420,"duration_seconds":127,"started_at":"2025-01-24T10:27:53Z",
    "completed_at":"2025-01-24T10:30:00Z"}"#;

// Types

#[test]
fn the_documented_names_are_the_documentations() {
    let names: Vec<&str> = EventType::DOCUMENTED
        .iter()
        .map(EventType::as_str)
        .collect();
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
        assert_eq!(
            &serde_json::from_str::<EventType>(&format!("\"{name}\"")).unwrap(),
            documented
        );
        assert_eq!(&with_data(name, "{}").event_type, documented);
    }
}

#[test]
fn another_name_is_kept() {
    for name in [
        "",
        "pipeline.run.cancelled",
        "Pipeline.created",
        " pipeline.created",
        "💧",
    ] {
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
    assert!(EventType::from("seat.added") == "seat.added");
}

#[test]
fn a_type_serializes_as_its_name() {
    assert_eq!(
        serde_json::to_string(&EventType::QualityRuleFailed).unwrap(),
        r#""quality.rule.failed""#
    );
    assert_eq!(
        serde_json::to_string(&EventType::from("a\"b")).unwrap(),
        r#""a\"b""#
    );
}

// Payloads

#[test]
fn each_documented_type_has_its_own_payload() {
    for documented in EventType::DOCUMENTED {
        let event = with_data(documented.as_str(), COMPLETED);
        let shown = format!("{:?}", event.payload);
        let camel: String = documented
            .as_str()
            .split('.')
            .map(|word| word[..1].to_uppercase() + &word[1..])
            .collect();
        assert!(shown.starts_with(&format!("{camel}({camel} {{")), "{shown}");
    }
}

#[test]
fn a_completed_run_has_its_seven_fields() {
    let event = with_data("pipeline.run.completed", COMPLETED);
    let EventPayload::PipelineRunCompleted(run) = &event.payload else {
        panic!("{event:?}")
    };
    assert_eq!(run.pipeline_id, "pipe_abc123");
    assert_eq!(run.run_id, "run_xyz789");
    assert_eq!(run.status, "completed");
    assert_eq!(run.records_processed, 15_420);
    assert_eq!(run.duration_seconds, 127.0);
    assert_eq!(run.started_at, "2025-01-24T10:27:53Z".parse().unwrap());
    assert_eq!(run.completed_at, "2025-01-24T10:30:00Z".parse().unwrap());
    assert!(run.extra.is_empty());
}

#[test]
fn a_completed_run_may_last_a_fraction_of_a_second() {
    let event = with_data("pipeline.run.completed", &COMPLETED.replace("127", "0.25"));
    let EventPayload::PipelineRunCompleted(run) = &event.payload else {
        panic!("{event:?}")
    };
    assert_eq!(run.duration_seconds, 0.25);
}

#[test]
fn a_completed_run_that_does_not_fit_is_mismatched_and_keeps_its_data() {
    let odd = [
        COMPLETED.replace("\"run_id\"", "\"run\""),
        COMPLETED.replace("15420", "-1"),
        COMPLETED.replace("15420", "\"15420\""),
        COMPLETED.replace("127", "1e400"),
        COMPLETED.replace("127", "null"),
        COMPLETED.replace("\"2025-01-24T10:30:00Z\"", "1737714600"),
        COMPLETED.replace("\"completed\"", "7"),
        "{}".to_owned(),
        "null".to_owned(),
        "[]".to_owned(),
    ];
    for data in odd {
        let event = with_data("pipeline.run.completed", &data);
        let EventPayload::Mismatched(raw) = &event.payload else {
            panic!("{event:?}")
        };
        assert!(event.payload.is_mismatched());
        assert_eq!(raw.as_str(), data);
    }
    assert!(
        event(r#"{"type":"pipeline.run.completed"}"#)
            .payload
            .is_mismatched()
    );
}

#[test]
fn of_a_repeated_field_the_last_counts() {
    let good_last = COMPLETED.replace(
        "\"status\"",
        "\"records_processed\":\"odd\",\"records_processed\":1,\"status\"",
    );
    let event = with_data("pipeline.run.completed", &good_last);
    let EventPayload::PipelineRunCompleted(run) = &event.payload else {
        panic!("{event:?}")
    };
    assert_eq!(run.records_processed, 15_420);
    assert!(run.extra.is_empty());

    let odd_last = COMPLETED.replace("127", "127,\"duration_seconds\":\"odd\"");
    assert!(
        with_data("pipeline.run.completed", &odd_last)
            .payload
            .is_mismatched()
    );

    let event = with_data("pipeline.created", r#"{"name":"a","name":5,"x":1,"x":2}"#);
    let EventPayload::PipelineCreated(created) = &event.payload else {
        panic!("{event:?}")
    };
    assert_eq!(created.name, None);
    assert_eq!(created.extra.get("name").unwrap().as_str(), "5");
    assert_eq!(created.extra.get("x").unwrap().as_str(), "2");
}

#[test]
fn unknown_members_of_data_are_kept_as_they_were_written() {
    let data = COMPLETED.replace(
        '}',
        r#", "huge": 1e400, "nested": {"a": [1.10]}, "\ud800": 1}"#,
    );
    let event = with_data("pipeline.run.completed", &data);
    let EventPayload::PipelineRunCompleted(run) = &event.payload else {
        panic!("{event:?}")
    };
    let extra: Vec<(&str, &str)> = run
        .extra
        .iter()
        .map(|(name, value)| (name, value.as_str()))
        .collect();
    assert_eq!(
        extra,
        [
            ("\\ud800", "1"),
            ("huge", "1e400"),
            ("nested", r#"{"a": [1.10]}"#)
        ]
    );
    assert_eq!(run.extra.len(), 3);
    assert_eq!(run.extra.get("absent"), None);
}

#[test]
fn a_field_named_by_analogy_may_be_missing_null_or_odd() {
    let data = r#"{"run_id":null,"records_processed":1.5,"failed_at":"soon","error":{"code":7}}"#;
    let event = with_data("pipeline.run.failed", data);
    let EventPayload::PipelineRunFailed(run) = &event.payload else {
        panic!("{event:?}")
    };
    assert_eq!(run.pipeline_id, None);
    assert_eq!(run.run_id, None);
    assert_eq!(run.records_processed, None);
    assert_eq!(run.failed_at, None);
    assert_eq!(run.error, None);
    let kept: Vec<&str> = run.extra.iter().map(|(name, _)| name).collect();
    assert_eq!(kept, ["error", "failed_at", "records_processed"]);
    assert_eq!(
        run.extra.decode::<f64>("records_processed").unwrap(),
        Some(1.5)
    );
}

#[test]
fn missing_data_is_the_default_where_nothing_is_required() {
    for documented in EventType::DOCUMENTED
        .iter()
        .filter(|name| **name != EventType::PipelineRunCompleted)
    {
        for body in [
            format!(r#"{{"type":"{documented}"}}"#),
            format!(r#"{{"type":"{documented}","data":null}}"#),
            format!(r#"{{"type":"{documented}","data":{{}}}}"#),
        ] {
            let event = event(&body);
            assert!(!event.payload.is_mismatched(), "{body}");
            assert_eq!(
                serde_json::to_string(&event.payload).unwrap(),
                "{}",
                "{body}"
            );
        }
    }
    let event = event(r#"{"type":"pipeline.updated"}"#);
    assert_eq!(
        event.payload,
        EventPayload::PipelineUpdated(PipelineUpdated::default())
    );
}

#[test]
fn data_that_is_no_object_is_mismatched_for_every_documented_type() {
    for documented in EventType::DOCUMENTED {
        for data in ["[]", "5", "\"a\"", "true"] {
            assert!(
                with_data(documented.as_str(), data).payload.is_mismatched(),
                "{documented} {data}"
            );
        }
    }
}

#[test]
fn an_unknown_type_keeps_its_data() {
    let event = with_data("pipeline.run.cancelled", "{\"by\" : 1e400}");
    let EventPayload::Unknown(raw) = &event.payload else {
        panic!("{event:?}")
    };
    assert_eq!(raw.as_str(), "{\"by\" : 1e400}");
    assert!(!event.payload.is_mismatched());
}

#[test]
fn a_payload_serializes_to_an_object_that_decodes_to_the_same_payload() {
    let data = COMPLETED.replace('}', r#","extra":1e400}"#);
    let event = with_data("pipeline.run.completed", &data);
    let again = with_data(
        "pipeline.run.completed",
        &serde_json::to_string(&event.payload).unwrap(),
    );
    assert_eq!(again.payload, event.payload);

    let event = with_data(
        "quality.threshold.exceeded",
        r#"{"error_rate":"high","threshold":0.5,"x":[]}"#,
    );
    let text = serde_json::to_string(&event.payload).unwrap();
    assert_eq!(text, r#"{"threshold":0.5,"error_rate":"high","x":[]}"#);
}

// Metadata

#[test]
fn metadata_has_its_documented_members_and_keeps_the_rest() {
    let event = event(
        r#"{"metadata":{"environment":"production","triggered_by":"schedule","region":"eu"}}"#,
    );
    assert_eq!(event.metadata.environment.as_deref(), Some("production"));
    assert_eq!(event.metadata.triggered_by.as_deref(), Some("schedule"));
    assert_eq!(
        event
            .metadata
            .extra
            .decode::<String>("region")
            .unwrap()
            .as_deref(),
        Some("eu")
    );
}

#[test]
fn odd_metadata_is_kept() {
    let odd_member =
        event(r#"{"metadata":{"environment":["production"],"triggered_by":null}}"#).metadata;
    assert_eq!(odd_member.environment, None);
    assert_eq!(
        odd_member.extra.get("environment").unwrap().as_str(),
        r#"["production"]"#
    );
    assert_eq!(odd_member.extra.len(), 1);
    assert_eq!(
        serde_json::to_string(&odd_member).unwrap(),
        r#"{"environment":["production"]}"#
    );

    let no_object = event(r#"{"metadata":[1e400]}"#).metadata;
    assert_eq!(
        no_object.not_an_object.as_ref().unwrap().as_str(),
        "[1e400]"
    );
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
    let error = event
        .data::<std::collections::BTreeMap<String, u32>>()
        .unwrap_err();
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
    assert_eq!(
        format!("{:?}", event.metadata.extra),
        format!("{{\"{cut}\": RawData(1 bytes)}}")
    );
    let EventType::Other(other) = &event.event_type else {
        panic!("{shown}")
    };
    assert_eq!(format!("{other:?}"), format!("\"{cut}\""));
}

// Queues

#[test]
fn an_event_serializes_to_what_the_sender_sent() {
    let body = r#"{ "type":"seat.added", "new":1e400, "created_at":"soon", "id":"evt_1",
        "data" : {"n": 1.10} , "metadata":[], "\ud800":0 }"#;
    assert_eq!(serde_json::to_string(&event(body)).unwrap(), body);
    assert_eq!(
        serde_json::to_string(&event(&format!("\n{body} "))).unwrap(),
        body
    );
}

#[test]
fn the_substituted_id_is_serialized() {
    for (body, rest) in [
        ("{}", ("", "}")),
        (" { } ", ("", " }")),
        (r#"{"data":{"a":1}}"#, ("", r#","data":{"a":1}}"#)),
        (
            r#"{"data":{"a":1},"id": 5 ,"x":2}"#,
            (r#""data":{"a":1},"#, r#" ,"x":2}"#),
        ),
        (
            r#"{"i\u0064":[5],"data":{"a":1}}"#,
            ("", r#","data":{"a":1}}"#),
        ),
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
        assert_eq!(
            queued,
            format!("{{{}{key}\"{}\"{}", rest.0, event.id, rest.1)
        );
        let again = Event::from_trusted_json(queued.as_bytes()).unwrap();
        assert_eq!(again.id, event.id);
        assert_eq!(again.raw_data(), event.raw_data());
    }
}

#[test]
fn edits_are_not_written_back() {
    let mut event = event(r#"{"id":"evt_1","type":"seat.added"}"#);
    event.id = "evt_2".to_owned();
    assert_eq!(
        serde_json::to_string(&event).unwrap(),
        r#"{"id":"evt_1","type":"seat.added"}"#
    );
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
