//! The envelope's `metadata`.

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::json;
use super::payload::{Field, take};
use super::raw::{Extra, RawData};

/// The envelope's `metadata`: its two documented members ("Event Payload Structure") and
/// whatever else is there.
///
/// A missing or null `metadata` is the default. Nothing in it is ever an error.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct Metadata {
    /// The environment, such as `production`.
    pub environment: Option<String>,
    /// What caused the event, such as `schedule`.
    pub triggered_by: Option<String>,
    /// Every other member, and those of the two above whose value is no string.
    pub extra: Extra,
    /// The whole of `metadata`, when it is neither an object nor null.
    pub not_an_object: Option<RawData>,
}

impl Metadata {
    pub(super) fn from_text(text: &str) -> Self {
        if text == "null" {
            return Self::default();
        }
        let (mut environment, mut triggered_by) = (None, None);
        let mut extra = Extra::default();
        let members = json::members(text, |name, value| match &*name {
            "environment" => take(&mut environment, &mut extra, &name, value),
            "triggered_by" => take(&mut triggered_by, &mut extra, &name, value),
            _ => extra.insert(&name, value),
        });
        match members {
            Ok(()) => Self {
                environment: environment.flatten(),
                triggered_by: triggered_by.flatten(),
                extra,
                not_an_object: None,
            },
            Err(_) => Self { not_an_object: Some(RawData::from_text(text)), ..Self::default() },
        }
    }
}

/// Writes `metadata` as one object, or the value that stood in its place.
impl Serialize for Metadata {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if let Some(other) = &self.not_an_object {
            return other.serialize(serializer);
        }
        let mut map = serializer.serialize_map(None)?;
        self.environment.write("environment", &mut map)?;
        self.triggered_by.write("triggered_by", &mut map)?;
        for (name, value) in &self.extra {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}
