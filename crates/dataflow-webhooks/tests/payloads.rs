//! `data`, by type: what fits, what does not, and what is kept either way.

use dataflow_webhooks::event::*;

fn event(body: &str) -> Event {
    Event::from_trusted_json(body.as_bytes()).unwrap_or_else(|error| panic!("{error}: {body}"))
}

fn with_data(event_type: &str, data: &str) -> Event {
    event(&format!(r#"{{"id":"evt_1","type":"{event_type}","data":{data}}}"#))
}

const COMPLETED: &str = r#"{"pipeline_id":"pipe_abc123","run_id":"run_xyz789","status":"completed",
    "records_processed":15420,"duration_seconds":127,"started_at":"2025-01-24T10:27:53Z",
    "completed_at":"2025-01-24T10:30:00Z"}"#;

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
    let EventPayload::PipelineRunCompleted(run) = &event.payload else { panic!("{event:?}") };
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
    let EventPayload::PipelineRunCompleted(run) = &event.payload else { panic!("{event:?}") };
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
        let EventPayload::Mismatched(raw) = &event.payload else { panic!("{event:?}") };
        assert!(event.payload.is_mismatched());
        assert_eq!(raw.as_str(), data);
    }
    assert!(event(r#"{"type":"pipeline.run.completed"}"#).payload.is_mismatched());
}

#[test]
fn of_a_repeated_field_the_last_counts() {
    let good_last = COMPLETED
        .replace("\"status\"", "\"records_processed\":\"odd\",\"records_processed\":1,\"status\"");
    let event = with_data("pipeline.run.completed", &good_last);
    let EventPayload::PipelineRunCompleted(run) = &event.payload else { panic!("{event:?}") };
    assert_eq!(run.records_processed, 15_420);
    assert!(run.extra.is_empty());

    let odd_last = COMPLETED.replace("127", "127,\"duration_seconds\":\"odd\"");
    assert!(with_data("pipeline.run.completed", &odd_last).payload.is_mismatched());

    let event = with_data("pipeline.created", r#"{"name":"a","name":5,"x":1,"x":2}"#);
    let EventPayload::PipelineCreated(created) = &event.payload else { panic!("{event:?}") };
    assert_eq!(created.name, None);
    assert_eq!(created.extra.get("name").unwrap().as_str(), "5");
    assert_eq!(created.extra.get("x").unwrap().as_str(), "2");
}

#[test]
fn unknown_members_of_data_are_kept_as_they_were_written() {
    let data = COMPLETED.replace('}', r#", "huge": 1e400, "nested": {"a": [1.10]}, "\ud800": 1}"#);
    let event = with_data("pipeline.run.completed", &data);
    let EventPayload::PipelineRunCompleted(run) = &event.payload else { panic!("{event:?}") };
    let extra: Vec<(&str, &str)> =
        run.extra.iter().map(|(name, value)| (name, value.as_str())).collect();
    assert_eq!(extra, [("\\ud800", "1"), ("huge", "1e400"), ("nested", r#"{"a": [1.10]}"#)]);
    assert_eq!(run.extra.len(), 3);
    assert_eq!(run.extra.get("absent"), None);
}

#[test]
fn a_field_named_by_analogy_may_be_missing_null_or_odd() {
    let data = r#"{"run_id":null,"records_processed":1.5,"failed_at":"soon","error":{"code":7}}"#;
    let event = with_data("pipeline.run.failed", data);
    let EventPayload::PipelineRunFailed(run) = &event.payload else { panic!("{event:?}") };
    assert_eq!(run.pipeline_id, None);
    assert_eq!(run.run_id, None);
    assert_eq!(run.records_processed, None);
    assert_eq!(run.failed_at, None);
    assert_eq!(run.error, None);
    let kept: Vec<&str> = run.extra.iter().map(|(name, _)| name).collect();
    assert_eq!(kept, ["error", "failed_at", "records_processed"]);
    assert_eq!(run.extra.decode::<f64>("records_processed").unwrap(), Some(1.5));
}

#[test]
fn missing_data_is_the_default_where_nothing_is_required() {
    for documented in
        EventType::DOCUMENTED.iter().filter(|name| **name != EventType::PipelineRunCompleted)
    {
        for body in [
            format!(r#"{{"type":"{documented}"}}"#),
            format!(r#"{{"type":"{documented}","data":null}}"#),
            format!(r#"{{"type":"{documented}","data":{{}}}}"#),
        ] {
            let event = event(&body);
            assert!(!event.payload.is_mismatched(), "{body}");
            assert_eq!(serde_json::to_string(&event.payload).unwrap(), "{}", "{body}");
        }
    }
    let event = event(r#"{"type":"pipeline.updated"}"#);
    assert_eq!(event.payload, EventPayload::PipelineUpdated(PipelineUpdated::default()));
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
    let EventPayload::Unknown(raw) = &event.payload else { panic!("{event:?}") };
    assert_eq!(raw.as_str(), "{\"by\" : 1e400}");
    assert!(!event.payload.is_mismatched());
}

#[test]
fn a_payload_serializes_to_an_object_that_decodes_to_the_same_payload() {
    let data = COMPLETED.replace('}', r#","extra":1e400}"#);
    let event = with_data("pipeline.run.completed", &data);
    let again =
        with_data("pipeline.run.completed", &serde_json::to_string(&event.payload).unwrap());
    assert_eq!(again.payload, event.payload);

    let event =
        with_data("quality.threshold.exceeded", r#"{"error_rate":"high","threshold":0.5,"x":[]}"#);
    let text = serde_json::to_string(&event.payload).unwrap();
    assert_eq!(text, r#"{"threshold":0.5,"error_rate":"high","x":[]}"#);
}
