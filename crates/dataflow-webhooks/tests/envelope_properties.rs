//! What holds for every body: any JSON object is an event, and no bytes panic.

use dataflow_webhooks::event::{Event, EventType};
use proptest::prelude::*;

/// A JSON string literal, with any escape the grammar knows, lone surrogates included.
fn string() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => "[a-z_.éß💧 ]{1,4}",
        1 => r#"\\["\\/bfnrt]"#,
        1 => r"\\u[0-9a-fA-F]{4}",
        1 => r"\\ud[89ab][0-9a-f]{2}",
    ];
    prop::collection::vec(piece, 0..4).prop_map(|pieces| format!("\"{}\"", pieces.concat()))
}

/// A key of the envelope that can spell neither `id` nor `type`.
fn other_key() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => prop::sample::select(vec!["created_at", "data", "metadata"]).prop_map(|name| format!("\"{name}\"")),
        2 => string().prop_map(|text| format!("\"x{}", &text[1..])),
    ]
}

/// Any JSON value.
fn value() -> impl Strategy<Value = String> {
    let scalar = prop_oneof![
        prop::sample::select(vec!["null", "true", "false", "\"2025-01-24T10:30:00Z\""])
            .prop_map(String::from),
        r"-?(0|[1-9][0-9]{0,30})(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,9})?",
        string(),
    ];
    scalar.prop_recursive(4, 24, 4, |inner| {
        let member = (string(), inner.clone()).prop_map(|(key, value)| format!("{key}: {value}"));
        prop_oneof![
            prop::collection::vec(inner, 0..4).prop_map(|items| format!("[{}]", items.join(" ,"))),
            prop::collection::vec(member, 0..4)
                .prop_map(|members| format!("{{{}}}", members.join(",\n"))),
        ]
    })
}

/// Any JSON object with at most one `id` and one `type`.
fn object() -> impl Strategy<Value = String> {
    let documented =
        EventType::DOCUMENTED.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>();
    let id =
        prop::option::of(value()).prop_map(|value| value.map(|value| format!("\"id\":{value}")));
    let event_type = prop::option::of(prop_oneof![value(), prop::sample::select(documented)])
        .prop_map(|value| value.map(|value| format!("\"ty\\u0070e\" :{value}")));
    let others = prop::collection::vec(
        (other_key(), value()).prop_map(|(key, value)| format!("{key}:\t{value}")),
        0..5,
    );
    (id, event_type, others, r"[ \n\r\t]{0,2}")
        .prop_flat_map(|(id, event_type, mut members, space)| {
            members.extend(id.into_iter().chain(event_type));
            (Just(members).prop_shuffle(), Just(space))
        })
        .prop_map(|(members, space)| {
            format!("{space}{{{space}{}{space}}}{space}", members.join(","))
        })
}

proptest! {
    #[test]
    fn any_json_object_passes_and_survives_a_queue(body in object()) {
        let event = Event::from_trusted_json(body.as_bytes());
        prop_assert!(event.is_ok(), "{event:?}");
        let event = event.unwrap();

        let queued = serde_json::to_string(&event).unwrap();
        let again = Event::from_trusted_json(queued.as_bytes()).unwrap();
        prop_assert_eq!(&again.id, &event.id);
        prop_assert_eq!(&again.event_type, &event.event_type);
        prop_assert_eq!(again.created_at, event.created_at);
        prop_assert_eq!(&again.payload, &event.payload);
        prop_assert_eq!(&again.metadata, &event.metadata);
        prop_assert_eq!(again.raw_data(), event.raw_data());
        prop_assert_eq!(serde_json::to_string(&again).unwrap(), queued);
    }

    #[test]
    fn no_bytes_panic(body in prop::collection::vec(any::<u8>(), 0..64)) {
        let _ = Event::from_trusted_json(&body);
    }

    #[test]
    fn no_damaged_object_panics(body in object(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut body = body.into_bytes();
        let at = at.index(body.len());
        body[at] = byte;
        if let Ok(event) = Event::from_trusted_json(&body) {
            let _ = serde_json::to_string(&event).unwrap();
        }
        let _ = Event::from_trusted_json(&body[..at]);
    }
}
