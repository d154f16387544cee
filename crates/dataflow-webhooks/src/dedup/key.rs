//! Owns the form in which stores see an event's id.

use std::fmt;
use std::sync::Arc;

use crate::hex::sha256_name;

/// What stands before an id that is stored as it is.
const PLAIN: &str = "id:";

/// The longest id, in bytes, that is stored as it is.
const LONGEST_PLAIN_ID: usize = 64;

/// The longest key, in bytes, of an id that is stored as it is.
const LONGEST_PLAIN_KEY: usize = PLAIN.len() + LONGEST_PLAIN_ID;

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
        match plain(id, &mut [0; LONGEST_PLAIN_KEY]) {
            Some(text) => Self(text.into()),
            None => Self(sha256_name(id.as_bytes()).into()),
        }
    }

    /// The key's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The key of an id that can be stored as it is. It is put together outside of the
/// heap, so that the shared text is the only allocation of a delivery's key.
fn plain<'a>(id: &str, room: &'a mut [u8; LONGEST_PLAIN_KEY]) -> Option<&'a str> {
    let is_safe = |byte: u8| byte.is_ascii_alphanumeric() || b"_.:-".contains(&byte);
    if id.is_empty() || !id.bytes().all(is_safe) {
        return None;
    }
    // None where the id is too long.
    let text = room.get_mut(..PLAIN.len() + id.len())?;
    let (tag, rest) = text.split_at_mut(PLAIN.len());
    tag.copy_from_slice(PLAIN.as_bytes());
    rest.copy_from_slice(id.as_bytes());
    str::from_utf8(text).ok()
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
