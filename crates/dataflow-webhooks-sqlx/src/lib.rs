#![doc = include_str!("docs.md")]
#![doc = "\n# The tables\n\nOn PostgreSQL:\n\n```sql"]
#![doc = include_str!("../migrations/postgres/0001_dedup.sql")]
#![doc = include_str!("../migrations/postgres/0002_dead_letters.sql")]
#![doc = "```\n\nOn SQLite:\n\n```sql"]
#![doc = include_str!("../migrations/sqlite/0001_dedup.sql")]
#![doc = include_str!("../migrations/sqlite/0002_dead_letters.sql")]
#![doc = "```"]
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod cleanup;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod dead_letters;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod error;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod migration;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod patience;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod record;
#[cfg(feature = "sqlite")]
mod sqlite;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod store;

#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub use crate::cleanup::Cleanup;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub use crate::error::{CommitError, SqlStoreError, SqlStoreErrorKind};
#[cfg(feature = "postgres")]
pub use crate::postgres::{PostgresDeadLetters, PostgresStore};
#[cfg(feature = "sqlite")]
pub use crate::sqlite::{SqliteDeadLetters, SqliteStore};
