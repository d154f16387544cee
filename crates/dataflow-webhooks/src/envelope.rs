//! `id`, `type` and `created_at`, out of a body that was verified.
//!
//! A JSON object always passes: the sender is authentic, so an odd member is no reason to
//! lose the event. Refused is only what two readers could understand differently or not at
//! all: invalid UTF-8, something that is no JSON object, `id` or `type` twice.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;
use std::ops::Range;

use jiff::Timestamp;

use crate::event::{EventType, json};
use crate::hex::sha256_name;

/// Bytes that an `id` may have.
const ID_LENGTH: std::ops::RangeInclusive<usize> = 1..=255;

/// The envelope of one event, without what is in `data` and `metadata`.
///
/// It remembers where the members stand in the body, so that decoding the event does not
/// read the body again.
#[derive(Clone)]
pub(crate) struct Envelope {
    pub(crate) id: String,
    pub(crate) event_type: EventType,
    created_at: Option<Range<usize>>,
    id_place: IdPlace,
    data: Option<Range<usize>>,
    metadata: Option<Range<usize>>,
}

/// Where the identifier has to be written so that the body says it.
#[derive(Clone)]
enum IdPlace {
    /// The body says it already.
    Written,
    /// In place of the odd `id` that stands there.
    Instead(Range<usize>),
    /// As a new member, at the start of the object.
    Missing,
}

impl Envelope {
    /// Reads the envelope in `body`.
    pub(crate) fn parse(body: &[u8]) -> Result<Self, EnvelopeError> {
        let text = std::str::from_utf8(body).map_err(|error| EnvelopeError::not_utf8(&error))?;

        let (mut id, mut event_type) = (Once::default(), Once::default());
        let (mut created_at, mut data, mut metadata) = (None, None, None);
        json::members(text, |name, value| match &*name {
            "id" => id.see(value.get()),
            "type" => event_type.see(value.get()),
            "created_at" => created_at = Some(value.get()),
            "data" => data = Some(value.get()),
            "metadata" => metadata = Some(value.get()),
            _ => {}
        })
        .map_err(|error| EnvelopeError::not_an_object(&error))?;

        let id = id.value(EnvelopeErrorKind::RepeatedId)?;
        let event_type = event_type.value(EnvelopeErrorKind::RepeatedType)?;
        let (id, id_place) = match (id.and_then(usable_id), id) {
            (Some(usable), _) => (usable.into_owned(), IdPlace::Written),
            (None, Some(odd)) => (sha256_name(body), IdPlace::Instead(span(text, odd))),
            (None, None) => (sha256_name(body), IdPlace::Missing),
        };
        Ok(Self {
            id,
            event_type: event_type
                .and_then(json::string)
                .map_or_else(|| "".into(), |name| EventType::from(&*name)),
            created_at: created_at.map(|value| span(text, value)),
            id_place,
            data: data.map(|value| span(text, value)),
            metadata: metadata.map(|value| span(text, value)),
        })
    }

    /// The time of `created_at` in the body this envelope was read from; `None` when it is
    /// no RFC 3339 time. Read when it is asked for, which most deliveries are not.
    pub(crate) fn created_at(&self, body: &[u8]) -> Option<Timestamp> {
        json::string(member(body, self.created_at.as_ref()))?.parse().ok()
    }

    /// The text of `data` in the body this envelope was read from; `null` when it is missing.
    pub(crate) fn data<'a>(&self, body: &'a [u8]) -> &'a str {
        member(body, self.data.as_ref())
    }

    /// The text of `metadata` in the body this envelope was read from; `null` when it is missing.
    pub(crate) fn metadata<'a>(&self, body: &'a [u8]) -> &'a str {
        member(body, self.metadata.as_ref())
    }

    /// The body as text, with this envelope's `id` in it, and the place of `data` in that text.
    pub(crate) fn text<'a>(&self, body: &'a [u8]) -> (Cow<'a, str>, Option<Range<usize>>) {
        // Lossless: only a body that is valid UTF-8 has an envelope.
        let text = String::from_utf8_lossy(body);
        let (gap, written) = match &self.id_place {
            IdPlace::Written => return (text, self.data.clone()),
            IdPlace::Instead(odd) => (odd.clone(), format!("\"{}\"", self.id)),
            IdPlace::Missing => {
                let start = text.find('{').map_or(0, |brace| brace + 1);
                let comma =
                    if text[start..].trim_ascii_start().starts_with('}') { "" } else { "," };
                (start..start, format!("\"id\":\"{}\"{comma}", self.id))
            }
        };
        let (Some(before), Some(after)) = (text.get(..gap.start), text.get(gap.end..)) else {
            return (text, None);
        };
        let moved = |at: usize| {
            if at < gap.end { at } else { at - gap.len() + written.len() }
        };
        let data = self.data.as_ref().map(|data| moved(data.start)..moved(data.end));
        ([before, &written, after].concat().into(), data)
    }
}

/// A member that may be there once.
#[derive(Default)]
struct Once<'a> {
    value: Option<&'a str>,
    repeated: bool,
}

impl<'a> Once<'a> {
    fn see(&mut self, value: &'a str) {
        self.repeated |= self.value.replace(value).is_some();
    }

    fn value(self, repeated: EnvelopeErrorKind) -> Result<Option<&'a str>, EnvelopeError> {
        if self.repeated {
            Err(EnvelopeError { kind: repeated, place: Place::None })
        } else {
            Ok(self.value)
        }
    }
}

fn usable_id(text: &str) -> Option<Cow<'_, str>> {
    // U+0000 is left out because PostgreSQL's TEXT, where identifiers end up, refuses it.
    json::string(text).filter(|id| ID_LENGTH.contains(&id.len()) && !id.contains('\0'))
}

/// Where `part`, which is a slice of `whole`, stands in it.
fn span(whole: &str, part: &str) -> Range<usize> {
    let start = part.as_ptr().addr().saturating_sub(whole.as_ptr().addr());
    start..start + part.len()
}

fn member<'a>(body: &'a [u8], span: Option<&Range<usize>>) -> &'a str {
    span.and_then(|span| body.get(span.clone()))
        .and_then(|text| std::str::from_utf8(text).ok())
        .unwrap_or("null")
}

/// Why a body is no event's envelope.
///
/// It says what is wrong and where, and never shows any of the body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnvelopeError {
    kind: EnvelopeErrorKind,
    place: Place,
}

/// What is wrong with an envelope; from [`EnvelopeError::kind`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EnvelopeErrorKind {
    /// The body is not valid UTF-8.
    NotUtf8,
    /// The body is not one JSON object, with nothing but white space around it.
    NotAnObject,
    /// The object has the member `id` more than once, so that two readers could take it for
    /// different events.
    RepeatedId,
    /// The object has the member `type` more than once.
    RepeatedType,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    None,
    Byte(usize),
    LineColumn(usize, usize),
}

impl EnvelopeError {
    /// What is wrong.
    pub fn kind(&self) -> EnvelopeErrorKind {
        self.kind
    }

    fn not_utf8(error: &std::str::Utf8Error) -> Self {
        Self { kind: EnvelopeErrorKind::NotUtf8, place: Place::Byte(error.valid_up_to()) }
    }

    fn not_an_object(error: &serde_json::Error) -> Self {
        // The rest of the error is dropped: it may quote the body.
        Self {
            kind: EnvelopeErrorKind::NotAnObject,
            place: Place::LineColumn(error.line(), error.column()),
        }
    }
}

impl fmt::Display for EnvelopeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            EnvelopeErrorKind::NotUtf8 => "the body is not valid UTF-8",
            EnvelopeErrorKind::NotAnObject => "the body is not one JSON object",
            EnvelopeErrorKind::RepeatedId => "the body has the member `id` more than once",
            EnvelopeErrorKind::RepeatedType => "the body has the member `type` more than once",
        })?;
        match self.place {
            Place::None => Ok(()),
            Place::Byte(at) => write!(f, ": wrong from byte {at} on"),
            Place::LineColumn(line, column) => write!(f, ": wrong at line {line}, column {column}"),
        }
    }
}

impl Error for EnvelopeError {}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of "Event Payload Structure".
    const DOCUMENTED: &[u8] = br#"{
      "id": "evt_1a2b3c4d5e6f",
      "type": "pipeline.run.completed",
      "created_at": "2025-01-24T10:30:00Z",
      "data": {
        "pipeline_id": "pipe_abc123",
        "run_id": "run_xyz789",
        "status": "completed",
        "records_processed": 15420,
        "duration_seconds": 127,
        "started_at": "2025-01-24T10:27:53Z",
        "completed_at": "2025-01-24T10:30:00Z"
      },
      "metadata": {
        "environment": "production",
        "triggered_by": "schedule"
      }
    }"#;

    #[test]
    fn the_envelope_of_a_documented_event_takes_one_allocation() {
        let info = allocation_counter::measure(|| assert!(Envelope::parse(DOCUMENTED).is_ok()));
        assert_eq!(info.count_total, 1, "{info:?}");
    }

    #[test]
    fn nested_data_takes_a_second_allocation_and_an_unknown_type_a_third() {
        let nested = br#"{"id":"evt_1","type":"pipeline.created","data":{"tags":[{"name":"a"}]}}"#;
        let info = allocation_counter::measure(|| assert!(Envelope::parse(nested).is_ok()));
        assert_eq!(info.count_total, 2, "{info:?}");

        let unknown = br#"{"id":"evt_1","type":"seat.added","data":{"tags":[{"name":"a"}]}}"#;
        let info = allocation_counter::measure(|| assert!(Envelope::parse(unknown).is_ok()));
        assert_eq!(info.count_total, 3, "{info:?}");
    }

    #[test]
    fn members_are_found_again_in_the_body() {
        let envelope = Envelope::parse(DOCUMENTED).unwrap();
        assert!(envelope.data(DOCUMENTED).starts_with("{\n        \"pipeline_id\""));
        assert!(envelope.metadata(DOCUMENTED).ends_with("\"schedule\"\n      }"));
    }

    #[test]
    fn a_body_the_envelope_was_not_read_from_gives_null_and_no_panic() {
        let odd_id =
            Envelope::parse(br#"{"data":[1,2,3],"id":5,"x":"longer than the other body"}"#);
        let event = crate::event::Event::decode("{\"é\":\"éééé\"}".as_bytes(), &odd_id.unwrap());
        assert_eq!(event.raw_data().as_str(), "null");

        let envelope = Envelope::parse(DOCUMENTED).unwrap();
        assert_eq!(envelope.data(b"{}"), "null");
        assert_eq!(crate::event::Event::decode(b"\xff", &envelope).raw_data().as_str(), "null");
    }
}
