//! Owns what can go wrong between a store and its database.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use dataflow_webhooks::dead_letters::DeadLetterError;
use dataflow_webhooks::dedup::ScopeError;

/// Why a store could not be made, or could not say.
///
/// [`source`](Error::source) leads to sqlx's error where there is one. Neither it nor this one holds
/// the URL or a password; PostgreSQL itself may say which user or database it does not know.
pub struct SqlStoreError {
    kind: SqlStoreErrorKind,
    what: String,
    source: Option<sqlx::Error>,
}

/// The kind of a [`SqlStoreError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SqlStoreErrorKind {
    /// The scope is not 1 to 64 of the characters `A-Z a-z 0-9 _ . -`.
    InvalidScope,
    /// The URL is none, or the path is no file's.
    InvalidUrl,
    /// No connection to the database, or it was lost.
    Unreachable,
    /// The answer did not come in time, or no connection of the pool was free. Whether the step was
    /// taken is unknown.
    TimedOut,
    /// The database refuses the user, the password, or the user what the store needs.
    AccessDenied,
    /// A table is not there: run `migrate`.
    NotMigrated,
    /// The record, or on SQLite the whole file, is locked by somebody else.
    Locked,
    /// The database takes no writes: it is a standby, or the file cannot be written.
    ReadOnly,
    /// There is no room: the disk, or what the server allows.
    Full,
    /// Any other answer.
    Other,
}

use SqlStoreErrorKind as Kind;

impl SqlStoreError {
    pub(crate) fn new(kind: Kind, what: impl Into<String>) -> Self {
        Self { kind, what: what.into(), source: None }
    }

    pub(crate) fn timed_out(after: Duration) -> Self {
        Self::new(
            Kind::TimedOut,
            format!("the database did not answer within {} ms", after.as_millis()),
        )
    }

    /// A row that holds no dead letter.
    pub(crate) fn no_letter(event_id: &str, error: DeadLetterError) -> Self {
        let what = format!("the row of the event {event_id:?} holds no dead letter");
        let source = Some(sqlx::Error::Decode(error.into()));
        Self { kind: Kind::Other, what, source }
    }

    /// What sqlx's error means here. `of_database` reads the code of the engine.
    pub(crate) fn from_sqlx(error: sqlx::Error, of_database: fn(&str, &str) -> Kind) -> Self {
        let kind = match &error {
            sqlx::Error::Database(database) => match database.code() {
                Some(code) => of_database(&code, database.message()),
                None => Kind::Other,
            },
            sqlx::Error::PoolTimedOut => Kind::TimedOut,
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed => Kind::Unreachable,
            sqlx::Error::Configuration(_) => Kind::InvalidUrl,
            _ => Kind::Other,
        };
        let what = match kind {
            Kind::InvalidUrl => "the database's URL is not valid",
            Kind::Unreachable => "the database cannot be reached",
            Kind::TimedOut => {
                "no connection to the database in time: it does not take any, or all are in use"
            }
            Kind::AccessDenied => "the database denies access",
            Kind::NotMigrated => {
                "a table dataflow_webhooks_… is missing or has another form: run migrate()"
            }
            Kind::Locked => "the database is locked by somebody else",
            Kind::ReadOnly => "the database takes no writes",
            Kind::Full => "the database has no room",
            _ => "the database refused",
        };
        Self { kind, what: what.to_owned(), source: Some(error) }
    }

    /// The kind of this error.
    #[must_use]
    pub const fn kind(&self) -> SqlStoreErrorKind {
        self.kind
    }
}

impl From<ScopeError> for SqlStoreError {
    fn from(error: ScopeError) -> Self {
        Self::new(Kind::InvalidScope, format!("the scope {error}"))
    }
}

impl fmt::Display for SqlStoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl fmt::Debug for SqlStoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqlStoreError")
            .field("kind", &self.kind)
            .field("what", &self.what)
            .field("source", &self.source)
            .finish()
    }
}

impl Error for SqlStoreError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_ref().map(|error| error as &(dyn Error + 'static))
    }
}

/// Why the completion of an event could not be written into a handler's transaction.
///
/// Either way the transaction must be rolled back, which dropping it does: return the error with
/// `?`, and the sender tries again.
#[derive(Debug)]
pub struct CommitError(Option<SqlStoreError>);

impl CommitError {
    pub(crate) const fn lease_lost() -> Self {
        Self(None)
    }

    /// Whether the claim no longer holds: another run of the event has taken over, or it was
    /// released, forgotten, or is past its retention. Otherwise the database could not do it.
    #[must_use]
    pub const fn is_lease_lost(&self) -> bool {
        self.0.is_none()
    }
}

impl From<SqlStoreError> for CommitError {
    fn from(error: SqlStoreError) -> Self {
        Self(Some(error))
    }
}

impl fmt::Display for CommitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            None => "the claim on the event was lost: this run must leave no trace",
            Some(_) => "the completion of the event could not be written",
        })
    }
}

impl Error for CommitError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.as_ref().map(|error| error as &(dyn Error + 'static))
    }
}
