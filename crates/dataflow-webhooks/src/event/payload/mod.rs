//! An event's `data`, by type.

mod connection;
mod fields;
mod pipeline;
mod quality;

pub use connection::{
    ConnectionCreated, ConnectionDeleted, ConnectionStatusChanged, ConnectionTestCompleted,
    ConnectionUpdated,
};
pub use pipeline::{
    PipelineCreated, PipelineDeleted, PipelineRunCompleted, PipelineRunFailed, PipelineRunStarted,
    PipelineUpdated,
};
pub use quality::{QualityAnomalyDetected, QualityRuleFailed, QualityThresholdExceeded};

pub(super) use fields::{Field, take};

use serde::{Serialize, Serializer};

use self::fields::FromData;
use super::event_type::EventType;
use super::raw::RawData;
use super::table::documented_events;

macro_rules! define_event_payload {
    ($($doc:literal $variant:ident = $name:literal,)*) => {
        /// An event's `data`, decoded by the event's type.
        ///
        /// Decoding never fails: what does not fit is
        /// [`Mismatched`](EventPayload::Mismatched) or [`Unknown`](EventPayload::Unknown)
        /// and keeps the sender's text. A match needs a wildcard arm, for types that a
        /// later version of this crate knows:
        ///
        /// ```
        /// use dataflow_webhooks::event::{Event, EventPayload};
        ///
        /// fn handle(event: &Event) -> String {
        ///     match &event.payload {
        ///         EventPayload::PipelineRunCompleted(run) => format!("{} records", run.records_processed),
        ///         EventPayload::PipelineRunFailed(run) => format!("{:?} failed", run.pipeline_id),
        ///         // By name: goes on working when `pipeline.run.cancelled` gets a variant of its own.
        ///         _ if event.event_type == "pipeline.run.cancelled" => "cancelled".to_owned(),
        ///         _ => "not for us".to_owned(),
        ///     }
        /// }
        ///
        /// let event = Event::from_trusted_json(
        ///     br#"{"id": "evt_1", "type": "pipeline.run.cancelled", "data": {"run_id": "run_1"}}"#,
        /// )?;
        /// assert_eq!(handle(&event), "cancelled");
        /// # Ok::<(), dataflow_webhooks::event::EnvelopeError>(())
        /// ```
        ///
        /// Like [`Event`](super::Event), a payload and its struct can be serialized but not
        /// deserialized:
        ///
        /// ```compile_fail,E0277
        /// let run: dataflow_webhooks::event::PipelineRunStarted = serde_json::from_str("{}")?;
        /// # Ok::<(), serde_json::Error>(())
        /// ```
        #[derive(Debug, Clone, PartialEq)]
        #[non_exhaustive]
        pub enum EventPayload {
            $(
                #[doc = concat!("`", $name, "`: ", $doc)]
                $variant($variant),
            )*
            /// A documented type whose `data` does not fit that type's struct.
            Mismatched(RawData),
            /// A type this version of the crate has no struct for.
            Unknown(RawData),
        }

        impl EventPayload {
            pub(super) fn decode(event_type: &EventType, data: &RawData) -> Self {
                let decoded = match event_type {
                    $(EventType::$variant => $variant::from_data(data).map(EventPayload::$variant),)*
                    EventType::Other(_) => return EventPayload::Unknown(data.clone()),
                };
                decoded.unwrap_or_else(|| EventPayload::Mismatched(data.clone()))
            }
        }

        /// Writes the `data` object alone: the fields that have a value, then what is in `extra`.
        impl Serialize for EventPayload {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                match self {
                    $(EventPayload::$variant(data) => data.serialize(serializer),)*
                    EventPayload::Mismatched(data) | EventPayload::Unknown(data) => data.serialize(serializer),
                }
            }
        }
    };
}

documented_events!(define_event_payload);

impl EventPayload {
    /// Whether the type is a documented one whose `data` does not fit its struct: the
    /// platform has changed a shape that this version of the crate relies on.
    pub fn is_mismatched(&self) -> bool {
        matches!(self, EventPayload::Mismatched(_))
    }
}
