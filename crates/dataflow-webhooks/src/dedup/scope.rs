//! Owns what tells the endpoints apart that share a store.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

/// The longest scope, in bytes.
const LONGEST: usize = 64;

/// The name of an endpoint in a store that it shares with others: 1 to 64 of the
/// characters `A-Z a-z 0-9 _ . -`.
///
/// For authors of stores. All processes of one endpoint use the same scope. Two endpoints
/// that share a database must not, or the event ids of one would answer for those of the
/// other. A [`DedupKey`](super::DedupKey) always has a colon, and a scope never: joined by
/// one, no two pairs of them meet.
///
/// ```
/// use dataflow_webhooks::dedup::Scope;
///
/// assert_eq!(Scope::new("orders").unwrap().as_str(), "orders");
/// assert!(Scope::new("a b").is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Scope(Arc<str>);

impl Scope {
    /// A scope of this name.
    ///
    /// # Errors
    /// When it is empty, longer than 64 bytes, or has another character.
    pub fn new(name: &str) -> Result<Self, ScopeError> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
        if (1..=LONGEST).contains(&name.len()) && name.bytes().all(is_plain) {
            return Ok(Self(name.into()));
        }
        Err(ScopeError { shown: name.chars().take(LONGEST + 1).collect(), bytes: name.len() })
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// Why a text is no [`Scope`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScopeError {
    shown: String,
    bytes: usize,
}

impl fmt::Display for ScopeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} is not 1 to {LONGEST} of the characters A-Z a-z 0-9 _ . - (it has {} bytes)",
            self.shown, self.bytes
        )
    }
}

impl Error for ScopeError {}
