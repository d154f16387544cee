//! Owns the form in which stores see an event's id.

use std::fmt;
use std::sync::Arc;

use crate::hex::sha256_name;

/// The longest id, in bytes, that is stored as it is.
const LONGEST_PLAIN_ID: usize = 64;

/// An event's id in a form that is safe in every store.
///
/// An id of 1 to 64 of the characters `A-Z a-z 0-9 _ . : -` becomes `id:<id>`; anything else
/// becomes `sha256:<64 lower-case hex digits>` of its UTF-8 bytes. So a key is 4 to 71 bytes of
/// ASCII, without white space, quotes or NUL, and the two forms cannot collide. Case counts.
///
/// Cloning is cheap: the text is shared.
///
/// ```
/// use dataflow_webhooks::dedup::DedupKey;
///
/// assert_eq!(DedupKey::from_event_id("evt_1a2b3c4d5e6f").as_str(), "id:evt_1a2b3c4d5e6f");
/// assert!(DedupKey::from_event_id("a b").as_str().starts_with("sha256:"));
/// ```
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DedupKey(Arc<str>);

impl DedupKey {
    /// The key of the event with this id. Any string has one, the empty one included.
    #[must_use]
    pub fn from_event_id(id: &str) -> Self {
        let text = if is_plain(id) { ["id:", id].concat() } else { sha256_name(id.as_bytes()) };
        Self(text.into())
    }

    /// The key's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_plain(id: &str) -> bool {
    (1..=LONGEST_PLAIN_ID).contains(&id.len())
        && id
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b':' | b'-'))
}

impl fmt::Display for DedupKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for DedupKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("DedupKey").field(&self.as_str()).finish()
    }
}
