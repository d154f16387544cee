//! JSON kept as the sender wrote it.

use std::borrow::Borrow;
use std::collections::{BTreeMap, btree_map};
use std::error::Error;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::RawValue;

use super::shown::shown;

/// One JSON value, kept as text exactly as the sender wrote it.
///
/// Nothing is lost on the way: `1e400`, `1.10` and a nesting too deep for a parser all
/// survive, also through [`Serialize`] (with `serde_json`, which is what understands raw
/// JSON). A clone shares the text. Two values are equal when their texts are. `Debug` shows
/// the length only, never the content. The default is `null`.
///
/// ```
/// use dataflow_webhooks::event::{Event, EventPayload};
///
/// let event = Event::from_trusted_json(br#"{"id": "evt_1", "type": "seat.added", "data": {"seats": 1e400}}"#)?;
/// let EventPayload::Unknown(data) = &event.payload else { panic!("not a documented type") };
/// assert_eq!(data.as_str(), r#"{"seats": 1e400}"#);
/// assert_eq!(format!("{data:?}"), "RawData(16 bytes)");
/// # Ok::<(), dataflow_webhooks::event::EnvelopeError>(())
/// ```
#[derive(Clone)]
pub struct RawData(Arc<RawValue>);

impl RawData {
    pub(crate) fn new(value: &RawValue) -> Self {
        Self(value.to_owned().into())
    }

    /// `text`, or `null` when `text` is not one JSON value.
    pub(crate) fn from_text(text: &str) -> Self {
        serde_json::from_str::<&RawValue>(text).map_or_else(|_| Self::default(), Self::new)
    }

    /// The JSON text, without white space around it.
    pub fn as_str(&self) -> &str {
        self.0.get()
    }

    /// Decodes the value into a type of your own.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] when the value does not fit `T`.
    pub fn decode<'a, T: Deserialize<'a>>(&'a self) -> Result<T, DecodeError> {
        decode(self.as_str())
    }
}

/// Decodes JSON text; shared with whoever holds `data` as a part of a body.
pub(crate) fn decode<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, DecodeError> {
    serde_json::from_str(text).map_err(DecodeError::new)
}

impl Default for RawData {
    fn default() -> Self {
        Self::new(RawValue::NULL)
    }
}

impl PartialEq for RawData {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for RawData {}

impl fmt::Debug for RawData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RawData({} bytes)", self.as_str().len())
    }
}

impl Serialize for RawData {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

/// The members of a JSON object that a struct has no field for, by name.
///
/// It also keeps a member whose name the struct knows but whose value has another shape
/// than expected. When the sender wrote a name twice, the last one counts. A name that
/// spells a lone surrogate (`"\ud800"`), which no `String` can hold, is known by that
/// escaped spelling.
///
/// ```
/// use dataflow_webhooks::event::{Event, EventPayload};
///
/// let body = br#"{"id": "evt_1", "type": "pipeline.created", "data": {"pipeline_id": "pipe_1", "owner": "ada"}}"#;
/// let event = Event::from_trusted_json(body)?;
/// let EventPayload::PipelineCreated(created) = &event.payload else { panic!("another type") };
/// assert_eq!(created.extra.decode::<String>("owner")?.as_deref(), Some("ada"));
/// assert_eq!(created.extra.decode::<String>("team")?, None);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Extra(BTreeMap<Name, RawData>);

/// A map key whose `Debug` is fit for a log.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Name(Box<str>);

impl Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", shown(&self.0))
    }
}

impl Extra {
    /// The value of the member `name`.
    pub fn get(&self, name: &str) -> Option<&RawData> {
        self.0.get(name)
    }

    /// Decodes the member `name` into a type of your own; `None` when there is no such member.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] when the member is there and does not fit `T`.
    pub fn decode<'a, T: Deserialize<'a>>(&'a self, name: &str) -> Result<Option<T>, DecodeError> {
        self.get(name).map(RawData::decode).transpose()
    }

    /// Names and values, ordered by name.
    pub fn iter(&self) -> ExtraIter<'_> {
        ExtraIter(self.0.iter())
    }

    /// How many members there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no member.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn insert(&mut self, name: &str, value: &RawValue) {
        self.0.insert(Name(name.into()), RawData::new(value));
    }

    pub(crate) fn remove(&mut self, name: &str) {
        self.0.remove(name);
    }
}

/// The names, escaped and cut at 64 characters, and the length of each value.
impl fmt::Debug for Extra {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for Extra {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self)
    }
}

impl<'a> IntoIterator for &'a Extra {
    type Item = (&'a str, &'a RawData);
    type IntoIter = ExtraIter<'a>;

    fn into_iter(self) -> ExtraIter<'a> {
        self.iter()
    }
}

/// Iterator over an [`Extra`], from [`Extra::iter`].
#[derive(Clone, Debug)]
pub struct ExtraIter<'a>(btree_map::Iter<'a, Name, RawData>);

impl<'a> Iterator for ExtraIter<'a> {
    type Item = (&'a str, &'a RawData);

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next().map(|(name, value)| (&*name.0, value))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

impl ExactSizeIterator for ExtraIter<'_> {}

/// JSON that does not fit the type it was decoded into.
///
/// Neither `Display` nor `Debug` shows any of the JSON; they say where it stopped fitting,
/// counted from the start of the value that was decoded. [`source`](Error::source) is the
/// decoder's own error, whose text names the field and **may quote a value**: keep it out
/// of logs that must not hold what the platform sends.
pub struct DecodeError {
    line: usize,
    column: usize,
    source: Box<dyn Error + Send + Sync>,
}

impl DecodeError {
    fn new(source: serde_json::Error) -> Self {
        Self { line: source.line(), column: source.column(), source: source.into() }
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the JSON does not fit the type it was decoded into (line {}, column {})",
            self.line, self.column
        )
    }
}

impl fmt::Debug for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DecodeError")
            .field("line", &self.line)
            .field("column", &self.column)
            .finish_non_exhaustive()
    }
}

impl Error for DecodeError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.source)
    }
}
