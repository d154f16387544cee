//! One dead letter, and the JSON it is kept as.

use std::fmt;

use bytes::Bytes;
use jiff::Timestamp;
use serde::ser::SerializeStruct as _;
use serde::{Deserialize, Serialize, Serializer};

use crate::delivery::Delivery;
use crate::envelope::Envelope;
use crate::event::shown::shown;
use crate::event::{EnvelopeError, Event, EventType};

/// A delivery that no run of its handler got through, with how that came.
///
/// It serializes to one JSON object, with the body in it byte for byte;
/// [`from_trusted_json`](Self::from_trusted_json) reads it back. Like an
/// [`Event`], it is data: it proves nothing about who sent it, and so it cannot be
/// deserialized from a request.
///
/// ```
/// use dataflow_webhooks::dead_letters::DeadLetter;
///
/// let line = r#"{"event_id":"evt_1","type":"pipeline.created",
///     "failed_at":"2025-01-24T10:31:07.25Z","runs":3,"reason":"answered 500","key":"current",
///     "signed_at":"2025-01-24T10:31:06Z","received_at":"2025-01-24T10:31:06.5Z",
///     "body":"{\"id\":\"evt_1\",\"type\":\"pipeline.created\"}"}"#;
/// let letter = DeadLetter::from_trusted_json(line.as_bytes())?;
/// assert_eq!(letter.id(), "evt_1");
/// assert_eq!(letter.runs(), 3);
/// assert_eq!(letter.event().event_type, "pipeline.created");
/// # Ok::<(), dataflow_webhooks::dead_letters::DeadLetterError>(())
/// ```
#[derive(Clone)]
pub struct DeadLetter {
    body: Bytes,
    envelope: Envelope,
    how: How,
}

#[derive(Clone)]
struct How {
    failed_at: Timestamp,
    runs: u64,
    reason: String,
    key: String,
    signed_at: Timestamp,
    received_at: Timestamp,
}

impl DeadLetter {
    /// The letter of a delivery whose run, with this epoch, has failed just now.
    pub(crate) fn new(delivery: &Delivery, runs: u64, failed_at: Timestamp, reason: &str) -> Self {
        Self {
            body: delivery.body().clone(),
            envelope: delivery.envelope().clone(),
            how: How {
                failed_at: in_milliseconds(failed_at),
                runs,
                reason: reason.to_owned(),
                key: delivery.key().to_owned(),
                signed_at: delivery.signed_at(),
                received_at: in_milliseconds(delivery.received_at()),
            },
        }
    }

    /// The event's id, as [`Delivery::id`].
    #[must_use]
    pub fn id(&self) -> &str {
        &self.envelope.id
    }

    /// The event's type; the empty name where the body has none.
    #[must_use]
    pub fn event_type(&self) -> &EventType {
        &self.envelope.event_type
    }

    /// When its last run failed, in whole milliseconds.
    #[must_use]
    pub fn failed_at(&self) -> Timestamp {
        self.how.failed_at
    }

    /// How many runs there were: the epoch of the last one.
    #[must_use]
    pub fn runs(&self) -> u64 {
        self.how.runs
    }

    /// How the last run ended, in words for people: `answered 500`, `failed`,
    /// `panicked`, `was cut off`.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.how.reason
    }

    /// The label of the key that the last delivery was signed with.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.how.key
    }

    /// When the last delivery was signed.
    #[must_use]
    pub fn signed_at(&self) -> Timestamp {
        self.how.signed_at
    }

    /// When the last delivery was received.
    #[must_use]
    pub fn received_at(&self) -> Timestamp {
        self.how.received_at
    }

    /// The body as it was signed, byte for byte.
    #[must_use]
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// The typed event.
    #[must_use]
    pub fn event(&self) -> Event {
        Event::decode(&self.body, &self.envelope)
    }

    /// Reads a letter back **without any proof of who wrote it**: for what a sink of
    /// yours has kept. Members that it does not know are passed over.
    ///
    /// # Errors
    ///
    /// It is no such JSON object, or the body in it is no event.
    pub fn from_trusted_json(json: &[u8]) -> Result<Self, DeadLetterError> {
        let kept: Kept =
            serde_json::from_slice(json).map_err(|error| DeadLetterError::at(&error))?;
        let envelope = Envelope::parse(kept.body.as_bytes())
            .map_err(|error| DeadLetterError(Flaw::Body(error)))?;
        let how = How {
            failed_at: in_milliseconds(kept.failed_at),
            runs: kept.runs,
            reason: kept.reason,
            key: kept.key,
            signed_at: kept.signed_at,
            received_at: in_milliseconds(kept.received_at),
        };
        Ok(Self { body: kept.body.into(), envelope, how })
    }
}

/// What every sink can keep, so that all of them put letters in the same order.
fn in_milliseconds(time: Timestamp) -> Timestamp {
    Timestamp::from_millisecond(time.as_millisecond()).unwrap_or(time)
}

/// As it stands in JSON, but for `event_id` and `type`, which the body says.
#[derive(Deserialize)]
struct Kept {
    failed_at: Timestamp,
    runs: u64,
    reason: String,
    key: String,
    signed_at: Timestamp,
    received_at: Timestamp,
    body: String,
}

impl Serialize for DeadLetter {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // Lossless: only a body that is valid UTF-8 has an envelope.
        let body = String::from_utf8_lossy(&self.body);
        let mut letter = serializer.serialize_struct("DeadLetter", 9)?;
        letter.serialize_field("event_id", self.id())?;
        letter.serialize_field("type", self.event_type().as_str())?;
        letter.serialize_field("failed_at", &self.how.failed_at)?;
        letter.serialize_field("runs", &self.how.runs)?;
        letter.serialize_field("reason", &self.how.reason)?;
        letter.serialize_field("key", &self.how.key)?;
        letter.serialize_field("signed_at", &self.how.signed_at)?;
        letter.serialize_field("received_at", &self.how.received_at)?;
        letter.serialize_field("body", &body)?;
        letter.end()
    }
}

/// What identifies it and how it came, the sender's words escaped and cut at 64
/// characters; never its body.
impl fmt::Debug for DeadLetter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeadLetter")
            .field("id", &format_args!("\"{}\"", shown(self.id())))
            .field("event_type", self.event_type())
            .field("failed_at", &self.how.failed_at)
            .field("runs", &self.how.runs)
            .field("reason", &format_args!("\"{}\"", shown(&self.how.reason)))
            .field("body", &format_args!("[{} bytes elided]", self.body.len()))
            .finish_non_exhaustive()
    }
}

/// Why something kept is no dead letter. It quotes nothing of it.
#[derive(Debug)]
pub struct DeadLetterError(Flaw);

#[derive(Debug)]
enum Flaw {
    Json { line: usize, column: usize },
    Body(EnvelopeError),
}

impl DeadLetterError {
    /// Not the error itself: it may quote the text.
    fn at(error: &serde_json::Error) -> Self {
        Self(Flaw::Json { line: error.line(), column: error.column() })
    }
}

impl fmt::Display for DeadLetterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Flaw::Json { line, column } => {
                write!(f, "it is no dead letter in JSON: line {line}, column {column}")
            }
            Flaw::Body(_) => f.write_str("the body in the dead letter is no event"),
        }
    }
}

impl std::error::Error for DeadLetterError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.0 {
            Flaw::Json { .. } => None,
            Flaw::Body(error) => Some(error),
        }
    }
}
