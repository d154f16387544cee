//! The names that records are kept under.

use dataflow_webhooks::dedup::{DedupKey, Scope};

use crate::error::{RedisStoreError, RedisStoreErrorKind};

/// A prefix and a scope: what all keys of one store begin with.
///
/// A key is `<prefix>:<scope>:<event's key>`. Neither of the first two can hold a colon, so no two
/// pairs meet; nor can any part hold a brace, so a Cluster hashes the whole key and spreads the
/// records of a scope over all nodes.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    /// What may stand in it is what may stand in a scope.
    prefix: Scope,
    scope: Scope,
}

impl Names {
    pub(crate) fn new(prefix: &str, scope: &str) -> Result<Self, RedisStoreError> {
        Ok(Self { prefix: checked("prefix", prefix)?, scope: checked("scope", scope)? })
    }

    pub(crate) fn prefix(&self) -> &str {
        self.prefix.as_str()
    }

    pub(crate) fn scope(&self) -> &str {
        self.scope.as_str()
    }

    pub(crate) fn of(&self, key: &DedupKey) -> String {
        [self.prefix(), ":", self.scope(), ":", key.as_str()].concat()
    }
}

fn checked(what: &str, name: &str) -> Result<Scope, RedisStoreError> {
    Scope::new(name).map_err(|error| {
        RedisStoreError::new(RedisStoreErrorKind::InvalidName, format!("the {what} {error}"))
    })
}
