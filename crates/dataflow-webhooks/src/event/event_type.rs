//! The names of event types.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::shown::shown;
use super::table::documented_events;

macro_rules! define_event_type {
    ($($doc:literal $variant:ident = $name:literal,)*) => {
        /// What kind of thing happened: the envelope's `type`.
        ///
        /// A name the platform's documentation lists ("Event Types") is a variant of its
        /// own; every other name is [`Other`](EventType::Other), and is never an error. A
        /// later version of this crate may give such a name a variant, so code that must go
        /// on seeing it compares by name:
        ///
        /// ```
        /// use dataflow_webhooks::event::EventType;
        ///
        /// let event_type = EventType::from("pipeline.run.cancelled");
        /// assert!(event_type == "pipeline.run.cancelled");
        ///
        /// assert_eq!(EventType::from("pipeline.created"), EventType::PipelineCreated);
        /// ```
        #[derive(Clone, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum EventType {
            $(
                #[doc = concat!("`", $name, "`: ", $doc)]
                $variant,
            )*
            /// A type the platform's documentation does not list. Also `""`, for an
            /// envelope whose `type` is missing or is no string.
            Other(OtherType),
        }

        impl EventType {
            /// The documented types, in the order of the platform's documentation.
            pub const DOCUMENTED: &'static [EventType] = &[$(EventType::$variant),*];

            /// The name as it stands in the envelope.
            pub fn as_str(&self) -> &str {
                match self {
                    $(EventType::$variant => $name,)*
                    EventType::Other(other) => other.as_str(),
                }
            }

            fn documented(name: &str) -> Option<Self> {
                match name {
                    $($name => Some(EventType::$variant),)*
                    _ => None,
                }
            }
        }
    };
}

documented_events!(define_event_type);

impl EventType {
    /// Whether the platform's documentation lists this type, as far as this version of the
    /// crate knows.
    pub fn is_documented(&self) -> bool {
        !matches!(self, EventType::Other(_))
    }
}

/// The name of a type that the platform's documentation does not list.
///
/// It is made only by [`EventType`]'s conversions, so it never holds a documented name.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct OtherType(Box<str>);

impl OtherType {
    /// The name as it stands in the envelope.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The name, escaped and cut at 64 characters: it comes from the sender and may end up in a log.
impl fmt::Debug for OtherType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", shown(&self.0))
    }
}

impl fmt::Display for OtherType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The name in quotes, escaped and cut at 64 characters.
impl fmt::Debug for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", shown(self.as_str()))
    }
}

/// The name in full, as it stands in the envelope.
impl fmt::Display for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl From<&str> for EventType {
    fn from(name: &str) -> Self {
        EventType::documented(name).unwrap_or_else(|| EventType::Other(OtherType(name.into())))
    }
}

impl From<String> for EventType {
    fn from(name: String) -> Self {
        EventType::documented(&name).unwrap_or_else(|| EventType::Other(OtherType(name.into())))
    }
}

impl FromStr for EventType {
    type Err = Infallible;

    fn from_str(name: &str) -> Result<Self, Infallible> {
        Ok(EventType::from(name))
    }
}

impl AsRef<str> for EventType {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl PartialEq<str> for EventType {
    fn eq(&self, name: &str) -> bool {
        self.as_str() == name
    }
}

impl PartialEq<&str> for EventType {
    fn eq(&self, name: &&str) -> bool {
        self.as_str() == *name
    }
}

impl Serialize for EventType {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// A plain string, as in the `events` of a webhook's configuration. A name alone proves
/// nothing about a sender.
impl<'de> Deserialize<'de> for EventType {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(EventType::from)
    }
}
