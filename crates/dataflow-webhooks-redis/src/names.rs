//! The names that records are kept under.

use dataflow_webhooks::dedup::DedupKey;

use crate::error::{RedisStoreError, RedisStoreErrorKind};

/// The longest scope or prefix, in bytes.
const LONGEST_NAME: usize = 64;

/// A prefix and a scope: what all keys of one store begin with.
///
/// A key is `<prefix>:<scope>:<event's key>`. Neither of the first two can hold a colon, so no two
/// pairs meet; nor can any part hold a brace, so a Cluster hashes the whole key and spreads the
/// records of a scope over all nodes.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    prefix: String,
    scope: String,
}

impl Names {
    pub(crate) fn new(prefix: &str, scope: &str) -> Result<Self, RedisStoreError> {
        Ok(Self { prefix: checked("prefix", prefix)?, scope: checked("scope", scope)? })
    }

    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }

    pub(crate) fn scope(&self) -> &str {
        &self.scope
    }

    pub(crate) fn of(&self, key: &DedupKey) -> String {
        [&self.prefix, ":", &self.scope, ":", key.as_str()].concat()
    }
}

fn checked(what: &str, name: &str) -> Result<String, RedisStoreError> {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    if (1..=LONGEST_NAME).contains(&name.len()) && name.bytes().all(is_allowed) {
        return Ok(name.to_owned());
    }
    let shown: String = name.chars().take(LONGEST_NAME + 1).collect();
    Err(RedisStoreError::new(
        RedisStoreErrorKind::InvalidName,
        format!("the {what} {shown:?} is not 1 to 64 of the characters A-Z a-z 0-9 _ . -"),
    ))
}
