//! A realistic sample of each documented event type, for tests of handlers.

use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::BuildHasher;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::value::{RawValue, to_raw_value};

use crate::event::{Event, EventType, json};

/// An event's envelope under construction, filled with plausible values.
///
/// Each one starts with a fresh id, unique across threads and processes, so that tests
/// which share a dedup store do not meet. Everything in it can be replaced or removed, also
/// in ways the platform does not document: that is how a test shows what a handler does
/// with an odd event.
///
/// ```
/// use dataflow_webhooks::event::{EventPayload, EventType};
/// use dataflow_webhooks::testing::Sample;
///
/// let event = Sample::of(EventType::PipelineRunCompleted).data("records_processed", 7).event();
/// let EventPayload::PipelineRunCompleted(run) = &event.payload else { panic!("another type") };
/// assert_eq!(run.records_processed, 7);
///
/// // The bytes of the body, as a sender would sign them.
/// let body = Sample::of("pipeline.run.failed").id("evt_1").field("data.error", "disk full").body();
/// assert!(body.starts_with(br#"{"id":"evt_1","type":"pipeline.run.failed","created_at":""#));
///
/// // One of each documented type.
/// assert_eq!(Sample::all().count(), EventType::DOCUMENTED.len());
/// ```
///
/// A clone has the same id: it is the same event, delivered again.
///
/// In the methods, a *path* names a member of the envelope: `id`, or
/// `data.records_processed` for a member of a member. A member that is not there yet is
/// added; what is not an object and has to hold a member becomes one.
#[derive(Clone)]
pub struct Sample {
    envelope: Node,
}

impl Sample {
    /// A sample of an event type, given as an [`EventType`] or by name.
    ///
    /// `data` of `pipeline.run.completed` has the documented shape. `data` of the other
    /// documented types has every field of the type's struct; `data` of any other type is
    /// an object with a `pipeline_id`. Times are the present, in whole seconds.
    #[must_use]
    pub fn of(event_type: impl Into<EventType>) -> Self {
        let event_type = event_type.into();
        let now = now();
        let envelope = object([
            ("id", value(fresh_id())),
            ("type", value(&event_type)),
            ("created_at", value(now)),
            ("data", data_of(&event_type, now)),
            (
                "metadata",
                object([("environment", value("production")), ("triggered_by", value("schedule"))]),
            ),
        ]);
        Self { envelope }
    }

    /// A sample of each documented type, in the order of the platform's documentation.
    #[must_use]
    pub fn all() -> impl ExactSizeIterator<Item = Self> {
        EventType::DOCUMENTED.iter().cloned().map(Self::of)
    }

    /// A sample of a type that is not documented, such as `pipeline.run.cancelled`.
    ///
    /// # Panics
    ///
    /// When the type is documented after all: the test would not test what it says.
    #[must_use]
    pub fn unknown(name: &str) -> Self {
        let event_type = EventType::from(name);
        assert!(!event_type.is_documented(), "{name} is a documented event type; use Sample::of");
        Self::of(event_type)
    }

    /// Replaces the id.
    #[must_use]
    pub fn id(self, id: &str) -> Self {
        self.field("id", id)
    }

    /// Replaces the type, and leaves `data` as it is.
    #[must_use]
    pub fn event_type(self, name: &str) -> Self {
        self.field("type", name)
    }

    /// Replaces `created_at`, and leaves the times in `data` as they are.
    #[must_use]
    pub fn created_at(self, at: Timestamp) -> Self {
        self.field("created_at", at)
    }

    /// Sets the member `name` of `data`. The name may contain dots.
    ///
    /// # Panics
    ///
    /// When the value cannot be written as JSON.
    #[must_use]
    pub fn data(mut self, name: &str, new: impl Serialize) -> Self {
        self.envelope.set(&["data", name], value(new));
        self
    }

    /// Sets the member `name` of `metadata`. The name may contain dots.
    ///
    /// # Panics
    ///
    /// When the value cannot be written as JSON.
    #[must_use]
    pub fn metadata(mut self, name: &str, new: impl Serialize) -> Self {
        self.envelope.set(&["metadata", name], value(new));
        self
    }

    /// Sets the member at `path` to any value: `.field("region", "eu")`, `.field("data",
    /// ())` for a null `data`.
    ///
    /// # Panics
    ///
    /// When the value cannot be written as JSON.
    #[must_use]
    pub fn field(mut self, path: &str, new: impl Serialize) -> Self {
        self.envelope.set(&names(path), value(new));
        self
    }

    /// Sets the member at `path` to a piece of JSON text, for values that Rust types cannot
    /// hold: `1e400`.
    ///
    /// # Panics
    ///
    /// When the text is not one JSON value.
    #[must_use]
    pub fn raw(mut self, path: &str, json: &str) -> Self {
        let new = RawValue::from_string(json.to_owned())
            .unwrap_or_else(|error| panic!("the text for {path} is not one JSON value: {error}"));
        self.envelope.set(&names(path), Node::Value(new));
        self
    }

    /// Removes the member at `path`, if it is there.
    #[must_use]
    pub fn without(mut self, path: &str) -> Self {
        self.envelope.remove(&names(path));
        self
    }

    /// The body, as the platform would send and sign it.
    #[must_use]
    pub fn body(&self) -> Bytes {
        match serde_json::to_vec(&self.envelope) {
            Ok(body) => body.into(),
            Err(error) => unreachable!("every part was JSON already: {error}"),
        }
    }

    /// The event, decoded from [`body`](Self::body) as it would be from a delivery.
    #[must_use]
    pub fn event(&self) -> Event {
        match Event::from_trusted_json(&self.body()) {
            Ok(event) => event,
            Err(error) => unreachable!("a sample is an object that names no member twice: {error}"),
        }
    }
}

impl fmt::Debug for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Sample").field(&self.event()).finish()
    }
}

/// A JSON value that remembers the order of its members.
#[derive(Clone)]
enum Node {
    Value(Box<RawValue>),
    Object(Vec<(String, Node)>),
}

impl Node {
    fn set(&mut self, path: &[&str], new: Node) {
        let [name, rest @ ..] = path else {
            *self = new;
            return;
        };
        let members = self.members();
        match members.iter_mut().find(|(known, _)| known == name) {
            Some((_, member)) => member.set(rest, new),
            None => {
                let mut member = Node::Object(Vec::new());
                member.set(rest, new);
                members.push(((*name).to_owned(), member));
            }
        }
    }

    fn remove(&mut self, path: &[&str]) {
        match path {
            [] => {}
            [name] => self.members().retain(|(known, _)| known != name),
            [name, rest @ ..] => {
                if let Some((_, member)) =
                    self.members().iter_mut().find(|(known, _)| known == name)
                {
                    member.remove(rest);
                }
            }
        }
    }

    /// The members of the object; what is no object becomes an empty one.
    fn members(&mut self) -> &mut Vec<(String, Node)> {
        if let Node::Value(text) = self {
            let mut members = Vec::new();
            let _ = json::members(text.get(), |name, value| {
                members.push((name.into_owned(), Node::Value(value.to_owned())));
            });
            *self = Node::Object(members);
        }
        match self {
            Node::Object(members) => members,
            Node::Value(_) => unreachable!("it was made an object above"),
        }
    }
}

impl Serialize for Node {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Node::Value(text) => text.serialize(serializer),
            Node::Object(members) => {
                let mut map = serializer.serialize_map(Some(members.len()))?;
                for (name, member) in members {
                    map.serialize_entry(name, member)?;
                }
                map.end()
            }
        }
    }
}

/// The names in a path.
fn names(path: &str) -> Vec<&str> {
    path.split('.').collect()
}

fn object<const N: usize>(members: [(&str, Node); N]) -> Node {
    Node::Object(members.into_iter().map(|(name, member)| (name.to_owned(), member)).collect())
}

fn value(value: impl Serialize) -> Node {
    Node::Value(
        to_raw_value(&value)
            .unwrap_or_else(|error| panic!("the value cannot be written as JSON: {error}")),
    )
}

fn data_of(event_type: &EventType, now: Timestamp) -> Node {
    let pipeline = || ("pipeline_id", value("pipe_abc123"));
    let run = || ("run_id", value("run_xyz789"));
    let connection = || ("connection_id", value("conn_def456"));
    let status = |status: &str| ("status", value(status));
    let at = |name, seconds_ago| (name, value(now - SignedDuration::from_secs(seconds_ago)));
    match event_type {
        EventType::PipelineRunStarted => {
            object([pipeline(), run(), status("running"), at("started_at", 0)])
        }
        EventType::PipelineRunCompleted => object([
            pipeline(),
            run(),
            status("completed"),
            ("records_processed", value(15_420)),
            ("duration_seconds", value(127)),
            at("started_at", 127),
            at("completed_at", 0),
        ]),
        EventType::PipelineRunFailed => object([
            pipeline(),
            run(),
            status("failed"),
            ("records_processed", value(8_311)),
            ("duration_seconds", value(64)),
            at("started_at", 64),
            at("failed_at", 0),
            ("error", value("connection conn_def456 timed out")),
        ]),
        EventType::PipelineCreated => {
            object([pipeline(), ("name", value("orders to warehouse")), at("created_at", 0)])
        }
        EventType::PipelineUpdated => {
            object([pipeline(), ("name", value("orders to warehouse")), at("updated_at", 0)])
        }
        EventType::PipelineDeleted => {
            object([pipeline(), ("name", value("orders to warehouse")), at("deleted_at", 0)])
        }
        EventType::ConnectionCreated => {
            object([connection(), ("name", value("Café DB")), at("created_at", 0)])
        }
        EventType::ConnectionUpdated => {
            object([connection(), ("name", value("Café DB")), at("updated_at", 0)])
        }
        EventType::ConnectionDeleted => {
            object([connection(), ("name", value("Café DB")), at("deleted_at", 0)])
        }
        EventType::ConnectionStatusChanged => object([
            connection(),
            status("unhealthy"),
            ("previous_status", value("healthy")),
            at("changed_at", 0),
        ]),
        EventType::ConnectionTestCompleted => object([
            connection(),
            status("passed"),
            ("duration_seconds", value(1.25)),
            at("started_at", 1),
            at("completed_at", 0),
        ]),
        EventType::QualityRuleFailed => object([
            ("rule_id", value("rule_ghi012")),
            pipeline(),
            run(),
            ("records_failed", value(12)),
            at("detected_at", 0),
        ]),
        EventType::QualityThresholdExceeded => object([
            pipeline(),
            run(),
            ("error_rate", value(0.083)),
            ("threshold", value(0.05)),
            at("detected_at", 0),
        ]),
        EventType::QualityAnomalyDetected => {
            object([("anomaly_id", value("anom_jkl345")), pipeline(), run(), at("detected_at", 0)])
        }
        EventType::Other(_) => object([pipeline()]),
    }
}

/// The present, in whole seconds, as the documentation's example writes times.
fn now() -> Timestamp {
    Timestamp::from_second(Timestamp::now().as_second()).unwrap_or_default()
}

/// `evt_` and at least 17 digits and lower-case letters: 13 for the process, the rest counted up.
fn fresh_id() -> String {
    static PROCESS: OnceLock<u64> = OnceLock::new();
    static COUNT: AtomicU64 = AtomicU64::new(0);

    let process = *PROCESS.get_or_init(|| {
        // `RandomState` is seeded by the operating system. Process and time are there in
        // case it is seeded badly.
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        RandomState::new().hash_one((std::process::id(), since_epoch))
    });
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("evt_{}{}", base36(process, 13), base36(count, 4))
}

/// `number` in lower-case base 36, with leading zeros up to `width`.
fn base36(mut number: u64, width: usize) -> String {
    let mut digits = Vec::new();
    while number > 0 || digits.len() < width {
        let digit = u32::try_from(number % 36).unwrap_or_default();
        digits.push(char::from_digit(digit, 36).unwrap_or('0'));
        number /= 36;
    }
    digits.iter().rev().collect()
}
