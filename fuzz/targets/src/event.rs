//! The target that decodes.

use dataflow_webhooks::event::EnvelopeErrorKind;
use dataflow_webhooks::{Event, Secret, Verifier, sign};
use jiff::Timestamp;
use serde_json::value::RawValue;

/// Any bytes as a body: never a panic; any JSON object is an event but for a repeated `id` or
/// `type`; and an event survives a queue.
pub fn event(data: &[u8]) {
    let is_object =
        serde_json::from_slice::<&RawValue>(data).is_ok_and(|value| value.get().starts_with('{'));
    let event = match Event::from_trusted_json(data) {
        Ok(event) => event,
        Err(error) => {
            let _ = (error.to_string(), format!("{error:?}"));
            match error.kind() {
                EnvelopeErrorKind::NotUtf8 => assert!(std::str::from_utf8(data).is_err()),
                EnvelopeErrorKind::RepeatedId | EnvelopeErrorKind::RepeatedType => {
                    assert!(is_object)
                }
                _ => assert!(!is_object),
            }
            return;
        }
    };
    assert!(is_object);
    assert!((1..=255).contains(&event.id.len()) && !event.id.contains('\0'));

    let queued = serde_json::to_string(&event).unwrap();
    let read = Event::from_trusted_json(queued.as_bytes()).unwrap();
    same(&event, &read);
    assert_eq!(serde_json::to_string(&read).unwrap(), queued);
    // What the body says itself is queued as it is; an id that took the place of an odd
    // one is put in.
    assert!(queued.contains(&*event.id) || queued.contains('\\'));
    if !event.id.starts_with("sha256:") {
        let said = std::str::from_utf8(data).unwrap();
        assert_eq!(queued, said.trim_matches([' ', '\n', '\t', '\r']));
    }

    // A delivery of the same bytes gives the same event.
    let (secret, now) = (Secret::new("whsec_1a2b3c4d5e6f7g8h9i0j").unwrap(), Timestamp::UNIX_EPOCH);
    let line = sign(&secret, now, data);
    let delivery = Verifier::new(secret).verify_at([line], data.to_vec(), now).unwrap();
    same(&event, &delivery.event());
    assert_eq!((delivery.id(), delivery.event_type()), (&*event.id, &event.event_type));
    let _ = (format!("{delivery:?}"), delivery.dedup_key());
}

/// All that can be seen of both is the same.
fn same(one: &Event, other: &Event) {
    assert_eq!(one.id, other.id);
    assert_eq!(one.event_type, other.event_type);
    assert_eq!(one.created_at, other.created_at);
    assert_eq!(one.payload, other.payload);
    assert_eq!(one.metadata, other.metadata);
    assert_eq!(one.raw_data(), other.raw_data());
    assert_eq!(format!("{one:?}"), format!("{other:?}"));
}
