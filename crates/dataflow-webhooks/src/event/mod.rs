//! Events: what the platform says has happened.
//!
//! Every webhook event has the same envelope (the platform's documentation, "Event Payload
//! Structure"). An [`Event`] is that envelope decoded: `id`, type, `created_at`, the typed
//! [`EventPayload`] and the [`Metadata`].
//!
//! Decoding has no opinion about an authentic event. A type this crate does not know, a
//! member it has no field for, a missing field, a value of another shape: the event still
//! arrives, and what has no typed place is kept as raw JSON.
//!
//! ```
//! use dataflow_webhooks::event::{Event, EventPayload, EventType};
//!
//! let body = br#"{
//!     "id": "evt_1a2b3c4d5e6f",
//!     "type": "pipeline.run.completed",
//!     "created_at": "2025-01-24T10:30:00Z",
//!     "data": {
//!         "pipeline_id": "pipe_abc123",
//!         "run_id": "run_xyz789",
//!         "status": "completed",
//!         "records_processed": 15420,
//!         "duration_seconds": 127,
//!         "started_at": "2025-01-24T10:27:53Z",
//!         "completed_at": "2025-01-24T10:30:00Z"
//!     },
//!     "metadata": {"environment": "production", "triggered_by": "schedule"}
//! }"#;
//! let event = Event::from_trusted_json(body)?;
//!
//! assert_eq!(event.event_type, EventType::PipelineRunCompleted);
//! let EventPayload::PipelineRunCompleted(run) = &event.payload else { panic!("another type") };
//! assert_eq!(run.records_processed, 15_420);
//! assert_eq!(event.metadata.environment.as_deref(), Some("production"));
//!
//! // Your own type for `data`:
//! #[derive(serde::Deserialize)]
//! struct Run {
//!     run_id: String,
//! }
//! assert_eq!(event.data::<Run>()?.run_id, "run_xyz789");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Types that are not there yet
//!
//! Code that must not miss a type which a later version of this crate may give a variant
//! compares by name:
//!
//! ```
//! # use dataflow_webhooks::event::Event;
//! # let event = Event::from_trusted_json(br#"{"id": "evt_1", "type": "pipeline.run.cancelled"}"#)?;
//! if event.event_type == "pipeline.run.cancelled" {
//!     // …
//! }
//! # Ok::<(), dataflow_webhooks::event::EnvelopeError>(())
//! ```

mod event_type;
pub(crate) mod json;
mod metadata;
mod payload;
pub(crate) mod raw;
pub(crate) mod shown;
mod table;

use std::borrow::Cow;
use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::RawValue;

pub use self::event_type::{EventType, OtherType};
pub use self::metadata::Metadata;
pub use self::payload::*;
pub use self::raw::{DecodeError, Extra, ExtraIter, RawData};
pub use crate::envelope::{EnvelopeError, EnvelopeErrorKind};

use self::shown::shown;
use crate::envelope::Envelope;

/// One event.
///
/// An event is data: it says nothing about who sent it. That it comes from the platform is
/// proven by the delivery it was taken from, which is why an `Event` cannot be
/// deserialized: no JSON extractor can make one out of a request.
///
/// ```compile_fail,E0277
/// let event: dataflow_webhooks::event::Event = serde_json::from_str("{}")?;
/// # Ok::<(), serde_json::Error>(())
/// ```
///
/// # Queues
///
/// An event serializes (with `serde_json`) to the envelope **as the sender sent it**: every
/// top-level member, also those this crate has no name for, with numbers, times and white
/// space as they were. [`Event::from_trusted_json`] reads it back into an equal event.
/// Three things to know:
///
/// - It is raw JSON, so write it as text (`to_string`, `to_vec`, `to_writer`).
///   `serde_json::Value` cannot hold everything a sender may write, and other formats do
///   not know raw JSON.
/// - Edits to the public fields are not written back.
/// - When the sender's `id` was missing or unusable, the identifier that took its place is written.
///
/// ```
/// use dataflow_webhooks::event::Event;
///
/// let event = Event::from_trusted_json(br#"{"id": "evt_1", "type": "seat.added", "region": "eu"}"#)?;
/// let queued = serde_json::to_string(&event)?;
/// assert_eq!(queued, r#"{"id": "evt_1", "type": "seat.added", "region": "eu"}"#);
/// assert_eq!(Event::from_trusted_json(queued.as_bytes())?.id, "evt_1");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
#[non_exhaustive]
pub struct Event {
    /// The event's identifier, the same in every delivery of the event: 1–255 bytes,
    /// without U+0000.
    ///
    /// When the envelope's `id` is missing or is no such string, it is `sha256:` and the
    /// SHA-256 of the body in 64 lower-case hex digits.
    pub id: String,
    /// What kind of event it is. An envelope without a usable `type` has the type `""`.
    pub event_type: EventType,
    /// When the event was created; `None` when the envelope has no RFC 3339 time there.
    pub created_at: Option<Timestamp>,
    /// The `data`, decoded by type.
    pub payload: EventPayload,
    /// The `metadata`.
    pub metadata: Metadata,
    raw: RawEnvelope,
}

/// The envelope's text, cut around `data` so that `data` is held once.
#[derive(Clone)]
struct RawEnvelope {
    before: Box<str>,
    data: RawData,
    /// What follows `data`; `None` when there is no `data` and `before` is all.
    after: Option<Box<str>>,
}

impl Event {
    /// Decodes an event **without any proof of who wrote it**.
    ///
    /// It is for JSON that is trusted already: an event that was verified, serialized and
    /// put into a queue of yours, or a test's. On the body of a request it would accept
    /// anybody's events.
    ///
    /// # Errors
    ///
    /// [`EnvelopeError`] when `body` is no JSON object in valid UTF-8, or has the member
    /// `id` or `type` twice.
    pub fn from_trusted_json(body: &[u8]) -> Result<Self, EnvelopeError> {
        let envelope = Envelope::parse(body)?;
        Ok(Self::decode(body, &envelope))
    }

    /// The event in `body`, whose envelope is `envelope`. Any JSON object is some event, so
    /// this cannot fail.
    pub(crate) fn decode(body: &[u8], envelope: &Envelope) -> Self {
        let data = RawData::from_text(envelope.data(body));
        let (text, data_span) = envelope.text(body);
        let (before, after) = match data_span
            .and_then(|span| Some((text.get(..span.start)?, text.get(span.end..)?)))
        {
            Some((before, after)) => (before, Some(after.into())),
            None => (&*text, None),
        };
        Self {
            id: envelope.id.clone(),
            event_type: envelope.event_type.clone(),
            created_at: envelope.created_at(body),
            payload: EventPayload::decode(&envelope.event_type, &data),
            metadata: Metadata::from_text(envelope.metadata(body)),
            raw: RawEnvelope { before: before.into(), data, after },
        }
    }

    /// Decodes `data` into a type of your own.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] when `data` does not fit `T`. A missing `data` counts as `null`.
    pub fn data<'a, T: Deserialize<'a>>(&'a self) -> Result<T, DecodeError> {
        self.raw.data.decode()
    }

    /// `data` as the sender wrote it; `null` when it is missing.
    pub fn raw_data(&self) -> &RawData {
        &self.raw.data
    }
}

impl RawEnvelope {
    fn text(&self) -> Cow<'_, str> {
        match &self.after {
            Some(after) => [&self.before, self.data.as_str(), after].concat().into(),
            None => Cow::Borrowed(&self.before),
        }
    }
}

/// The envelope as the sender sent it; see [`Event`].
impl Serialize for Event {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = self.raw.text();
        let value: &RawValue = serde_json::from_str(&text).map_err(serde::ser::Error::custom)?;
        value.serialize(serializer)
    }
}

/// The id and the type, escaped and cut at 64 characters, the time, and the payload's own
/// `Debug`; no raw JSON.
impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event")
            .field("id", &format_args!("\"{}\"", shown(&self.id)))
            .field("event_type", &self.event_type)
            .field("created_at", &self.created_at)
            .field("payload", &self.payload)
            .finish_non_exhaustive()
    }
}
