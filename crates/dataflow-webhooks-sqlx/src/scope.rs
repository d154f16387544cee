//! Owns what a scope may be.

use crate::error::{SqlStoreError, SqlStoreErrorKind};

const LONGEST: usize = 64;

/// The name of the endpoint that a record belongs to.
#[derive(Clone, Debug)]
pub(crate) struct Scope(String);

impl Scope {
    pub(crate) fn new(scope: &str) -> Result<Self, SqlStoreError> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
        if (1..=LONGEST).contains(&scope.len()) && scope.bytes().all(is_plain) {
            return Ok(Self(scope.to_owned()));
        }
        Err(SqlStoreError::new(
            SqlStoreErrorKind::InvalidScope,
            format!(
                "the scope {scope:?} is not 1 to {LONGEST} of the characters A-Z a-z 0-9 _ . - \
                 (it has {} bytes)",
                scope.len()
            ),
        ))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}
