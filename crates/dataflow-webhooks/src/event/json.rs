//! Reading JSON objects member by member, without opinions about their values.
//!
//! Values stay raw text, which `serde_json` skips without recursion and without looking at
//! the size of a number: whatever the grammar allows passes. Keys are read as raw text too,
//! because a key that spells a lone surrogate (`"\ud800"`) is valid grammar and yet no
//! `String`.

use std::borrow::Cow;
use std::fmt;

use serde::Deserializer as _;
use serde::de::{MapAccess, Visitor};
use serde_json::value::RawValue;

/// Calls `each` for every member of the JSON object in `text`, in order, repeated names included.
///
/// The error is `serde_json`'s own, which may quote the text: callers take nothing but its
/// position from it.
pub(crate) fn members<'a, F>(text: &'a str, each: F) -> Result<(), serde_json::Error>
where
    F: FnMut(Cow<'a, str>, &'a RawValue),
{
    let mut deserializer = serde_json::Deserializer::from_str(text);
    deserializer.deserialize_map(Members(each))?;
    deserializer.end()
}

struct Members<F>(F);

impl<'a, F> Visitor<'a> for Members<F>
where
    F: FnMut(Cow<'a, str>, &'a RawValue),
{
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'a>>(mut self, mut map: A) -> Result<(), A::Error> {
        while let Some((key, value)) = map.next_entry::<&RawValue, &RawValue>()? {
            (self.0)(name(key.get()), value);
        }
        Ok(())
    }
}

/// The string that the JSON text `text` spells; `None` when it is no string or spells a
/// lone surrogate.
pub(crate) fn string(text: &str) -> Option<Cow<'_, str>> {
    let inner = unquoted(text)?;
    if inner.contains('\\') {
        serde_json::from_str(text).ok().map(Cow::Owned)
    } else {
        Some(Cow::Borrowed(inner))
    }
}

/// The name that the key `text` spells. A key with a lone surrogate is known by its escaped
/// spelling.
fn name(text: &str) -> Cow<'_, str> {
    string(text).unwrap_or_else(|| Cow::Borrowed(unquoted(text).unwrap_or(text)))
}

fn unquoted(text: &str) -> Option<&str> {
    text.strip_prefix('"')?.strip_suffix('"')
}
