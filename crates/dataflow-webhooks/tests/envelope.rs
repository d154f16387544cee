//! The envelope: what passes, what identifies an event, what is refused.

use dataflow_webhooks::event::{EnvelopeErrorKind, Event, EventType};
use sha2::{Digest, Sha256};

fn event(body: &str) -> Event {
    Event::from_trusted_json(body.as_bytes()).unwrap_or_else(|error| panic!("{error}: {body}"))
}

fn refusal(body: impl AsRef<[u8]>) -> EnvelopeErrorKind {
    Event::from_trusted_json(body.as_ref()).expect_err("the body must be refused").kind()
}

fn digest_id(body: impl AsRef<[u8]>) -> String {
    let hex: String = Sha256::digest(body).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

#[test]
fn the_documented_members_are_read() {
    let event =
        event(r#"{"id":"evt_1","type":"pipeline.created","created_at":"2025-01-24T10:30:00Z"}"#);
    assert_eq!(event.id, "evt_1");
    assert_eq!(event.event_type, EventType::PipelineCreated);
    assert_eq!(event.created_at, Some("2025-01-24T10:30:00Z".parse().unwrap()));
}

#[test]
fn an_empty_object_passes() {
    for body in ["{}", " {\n} ", "\t{ }\r\n"] {
        let event = event(body);
        assert_eq!(event.id, digest_id(body));
        assert_eq!(event.event_type, "");
        assert_eq!(event.created_at, None);
        assert_eq!(event.raw_data().as_str(), "null");
    }
}

#[test]
fn the_digest_of_an_empty_object_is_the_known_one() {
    assert_eq!(
        event("{}").id,
        "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
    );
}

#[test]
fn an_odd_id_is_replaced_by_the_digest_of_the_body() {
    let too_long = format!(r#"{{"id":"{}"}}"#, "x".repeat(256));
    // 255 characters, 510 bytes.
    let too_many_bytes = format!(r#"{{"id":"{}"}}"#, "é".repeat(255));
    for body in [
        r#"{"id":null}"#,
        r#"{"id":17}"#,
        r#"{"id":true}"#,
        r#"{"id":["evt_1"]}"#,
        r#"{"id":{"id":"evt_1"}}"#,
        r#"{"id":""}"#,
        r#"{"id":"evt\u0000"}"#,
        r#"{"id":"\ud800"}"#,
        r#"{"id":"\udc00evt"}"#,
        &too_long,
        &too_many_bytes,
    ] {
        assert_eq!(event(body).id, digest_id(body), "{body}");
    }
}

#[test]
fn an_id_of_1_to_255_bytes_is_taken_as_it_is() {
    let longest = "x".repeat(255);
    for id in ["x", " ", "日本", "💧", &longest] {
        assert_eq!(event(&format!(r#"{{"id":"{id}"}}"#)).id, id);
    }
}

#[test]
fn an_id_is_measured_after_unescaping() {
    let body = format!(r#"{{"id":"{}"}}"#, r"\u0061".repeat(255));
    assert_eq!(event(&body).id, "a".repeat(255));
    assert_eq!(event(r#"{"id":"\ud83d\udca7\n"}"#).id, "💧\n");
}

#[test]
fn an_odd_type_is_the_empty_type() {
    for body in [
        r#"{"type":null}"#,
        r#"{"type":5}"#,
        r#"{"type":{}}"#,
        r#"{"type":["pipeline.created"]}"#,
        r#"{"type":"\ud800"}"#,
    ] {
        assert_eq!(event(body).event_type, "", "{body}");
    }
}

#[test]
fn an_escaped_type_is_the_type_it_spells() {
    assert_eq!(event(r#"{"type":"pipeline\u002ecreated"}"#).event_type, EventType::PipelineCreated);
}

#[test]
fn an_odd_created_at_is_none() {
    for odd in [
        "null",
        "1737714600",
        "\"\"",
        "\"yesterday\"",
        "\"2025-01-24\"",
        "\"2025-13-01T00:00:00Z\"",
        "{}",
        "\"\\ud800\"",
    ] {
        assert_eq!(event(&format!(r#"{{"created_at":{odd}}}"#)).created_at, None, "{odd}");
    }
}

#[test]
fn a_created_at_with_an_offset_or_fraction_is_read() {
    let event = event(r#"{"created_at":"2025-01-24T12:30:00.25+02:00"}"#);
    assert_eq!(event.created_at, Some("2025-01-24T10:30:00.25Z".parse().unwrap()));
}

#[test]
fn a_body_that_is_no_object_is_refused() {
    for body in [
        "",
        " ",
        "null",
        "1",
        "\"evt_1\"",
        "[]",
        "[{}]",
        "{",
        "{\"id\"",
        "{\"id\":}",
        "{,}",
        "{\"a\":1,}",
        "{'a':1}",
        "{a:1}",
    ] {
        assert_eq!(refusal(body), EnvelopeErrorKind::NotAnObject, "{body}");
    }
}

#[test]
fn something_after_the_object_is_refused() {
    for body in ["{}x", "{}{}", "{} null", "{}\0", "{}\u{feff}"] {
        assert_eq!(refusal(body), EnvelopeErrorKind::NotAnObject, "{body:?}");
    }
}

#[test]
fn a_byte_order_mark_is_refused() {
    assert_eq!(refusal("\u{feff}{}"), EnvelopeErrorKind::NotAnObject);
}

#[test]
fn broken_json_inside_an_ignored_member_is_refused() {
    for body in [
        r#"{"data":{"a":01}}"#,
        r#"{"x":"\q"}"#,
        "{\"x\":\"\n\"}",
        r#"{"x":[1,]}"#,
        r#"{"x":nul}"#,
        r#"{"x":"\u12"}"#,
    ] {
        assert_eq!(refusal(body), EnvelopeErrorKind::NotAnObject, "{body}");
    }
}

#[test]
fn invalid_utf8_anywhere_is_refused() {
    for body in [
        &b"{\"id\":\"\xff\"}"[..],
        b"{\"data\":{\"x\":\"\xc3\x28\"}}",
        b"{\"\xed\xa0\x80\":1}",
        b"{}\xff",
        b"\xff",
    ] {
        assert_eq!(refusal(body), EnvelopeErrorKind::NotUtf8, "{body:?}");
    }
}

#[test]
fn a_repeated_id_is_refused() {
    for body in [
        r#"{"id":"evt_1","id":"evt_2"}"#,
        r#"{"id":"evt_1","id":"evt_1"}"#,
        r#"{"id":"evt_1","\u0069d":"evt_2"}"#,
        r#"{"id":null,"data":{},"id":"evt_1"}"#,
    ] {
        assert_eq!(refusal(body), EnvelopeErrorKind::RepeatedId, "{body}");
    }
}

#[test]
fn a_repeated_type_is_refused() {
    for body in [
        r#"{"type":"a","type":"b"}"#,
        r#"{"t\u0079pe":"a","type":"a"}"#,
        r#"{"type":"a","type":null}"#,
    ] {
        assert_eq!(refusal(body), EnvelopeErrorKind::RepeatedType, "{body}");
    }
}

#[test]
fn an_id_and_a_type_inside_data_are_no_repetition() {
    let event = event(r#"{"id":"evt_1","type":"a","data":{"id":1,"id":2,"type":3,"type":4}}"#);
    assert_eq!(event.id, "evt_1");
}

#[test]
fn of_another_repeated_member_the_last_counts() {
    let event = event(
        r#"{"created_at":"2025-01-24T10:30:00Z","created_at":5,"data":1,"data":2,
            "metadata":{"environment":"a"},"metadata":{"environment":"b"}}"#,
    );
    assert_eq!(event.created_at, None);
    assert_eq!(event.raw_data().as_str(), "2");
    assert_eq!(event.metadata.environment.as_deref(), Some("b"));
}

#[test]
fn a_key_that_is_no_unicode_string_passes() {
    let body = r#"{"\ud800":1,"id":"evt_1","\udfff\ud800":{"\ud800":2}}"#;
    assert_eq!(event(body).id, "evt_1");
}

#[test]
fn deep_nesting_passes() {
    let deep = "[".repeat(100_000) + &"]".repeat(100_000);
    for member in ["data", "metadata", "id", "type", "created_at", "x"] {
        let event = event(&format!(r#"{{"{member}":{deep}}}"#));
        assert_eq!(event.raw_data().as_str().len(), if member == "data" { 200_000 } else { 4 });
    }
    let objects = r#"{"a":"#.repeat(100_000) + "1" + &"}".repeat(100_000);
    event(&objects);
}

#[test]
fn a_megabyte_of_brackets_is_refused_without_overflow() {
    assert_eq!(refusal("[".repeat(1 << 20)), EnvelopeErrorKind::NotAnObject);
    assert_eq!(
        refusal(format!(r#"{{"data":{}"#, "[".repeat(1 << 20))),
        EnvelopeErrorKind::NotAnObject
    );
    assert_eq!(refusal(r#"{"a":"#.repeat(1 << 18)), EnvelopeErrorKind::NotAnObject);
}

#[test]
fn numbers_of_any_size_pass() {
    let digits = "9".repeat(100_000);
    let event =
        event(&format!(r#"{{"id":{digits},"data":[1e400,-1e999999999,{digits}],"x":1E-400000}}"#));
    assert!(event.raw_data().as_str().starts_with("[1e400,-1e999999999,99"));
}

#[test]
fn a_refusal_says_where_and_never_shows_the_body() {
    for (body, message) in [
        (&b"{\"id\":\"hush\xff\"}"[..], "the body is not valid UTF-8: wrong from byte 11 on"),
        (b"\"hush\"", "the body is not one JSON object: wrong at line 1, column 6"),
        (b"{\"hush\": hush}", "the body is not one JSON object: wrong at line 1, column 10"),
        (b"{\"id\":\"hush\",\"id\":1}", "the body has the member `id` more than once"),
        (b"{\"type\":\"hush\",\"type\":1}", "the body has the member `type` more than once"),
    ] {
        let error = Event::from_trusted_json(body).unwrap_err();
        assert_eq!(error.to_string(), message);
        assert!(!format!("{error:?}").contains("hush"), "{error:?}");
    }
}
