//! What can go wrong between the store and Redis, and in setting it up.

use std::error::Error;
use std::fmt;

use redis::{ErrorKind, RedisError, ServerErrorKind};

/// Why a [`RedisStore`](crate::RedisStore) could not be made, or could not say.
///
/// [`source`](Error::source) leads to the client's error where there is one. Neither it nor this
/// one holds the URL or a password; an answer of Redis, which is the source's, may name the user.
#[derive(Clone)]
pub struct RedisStoreError {
    kind: RedisStoreErrorKind,
    what: String,
    source: Option<RedisError>,
}

/// The kind of a [`RedisStoreError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RedisStoreErrorKind {
    /// The scope or the prefix is not 1 to 64 of the characters `A-Z a-z 0-9 _ . -`.
    InvalidName,
    /// The URL is none, or its scheme is unknown.
    InvalidUrl,
    /// An option is outside its range, or does not go with the others.
    InvalidOption,
    /// The URL needs a feature of this crate that is not switched on.
    FeatureMissing,
    /// No connection, or it was lost and could not be made anew.
    Unreachable,
    /// The answer did not come in time. Whether the step was taken is unknown.
    TimedOut,
    /// Redis refuses the user, the password, or a command that the store needs.
    AccessDenied,
    /// Redis is at its `maxmemory` and takes no writes.
    Full,
    /// Redis takes no writes now: it is a replica, it is loading its data, or its Cluster is down.
    NotReady,
    /// Fewer replicas than asked for had the commit in time. Repeat it.
    NotReplicated,
    /// The server is a node of a Redis Cluster, and was not addressed as one.
    ClusterNode,
    /// Under the event's key is a value that this crate has not written.
    NotARecord,
    /// Any other answer.
    Other,
}

use RedisStoreErrorKind as Kind;

impl RedisStoreError {
    pub(crate) fn new(kind: Kind, what: impl Into<String>) -> Self {
        Self { kind, what: what.into(), source: None }
    }

    /// What a client's error means here.
    pub(crate) fn from_client(error: RedisError) -> Self {
        let (kind, what) = meaning(&error);
        Self { kind, what: what.to_owned(), source: Some(error) }
    }

    pub(crate) fn with_source(mut self, source: RedisError) -> Self {
        self.source = Some(source);
        self
    }

    /// The kind of this error.
    #[must_use]
    pub const fn kind(&self) -> RedisStoreErrorKind {
        self.kind
    }

    /// Whether another connection may do better: this one is lost, or leads to a server that has
    /// stopped to be the primary.
    pub(crate) const fn ask_elsewhere(&self) -> bool {
        matches!(self.kind, Kind::Unreachable | Kind::NotReady)
    }
}

impl fmt::Display for RedisStoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl fmt::Debug for RedisStoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStoreError")
            .field("kind", &self.kind)
            .field("what", &self.what)
            .field("source", &self.source)
            .finish()
    }
}

impl Error for RedisStoreError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_ref().map(|error| error as &(dyn Error + 'static))
    }
}

fn meaning(error: &RedisError) -> (Kind, &'static str) {
    const FULL: (Kind, &str) = (Kind::Full, "Redis is full");
    const DENIED: (Kind, &str) = (Kind::AccessDenied, "Redis denies access");
    const NOT_READY: (Kind, &str) = (Kind::NotReady, "Redis takes no writes now");
    const NOT_A_RECORD: (Kind, &str) =
        (Kind::NotARecord, "the event's key holds a value that is not a record of this store");
    const UNREACHABLE: (Kind, &str) = (Kind::Unreachable, "Redis cannot be reached");

    match error.kind() {
        ErrorKind::Io if error.is_timeout() => {
            return (Kind::TimedOut, "Redis did not answer in time");
        }
        ErrorKind::Io
        | ErrorKind::ClusterConnectionNotFound
        | ErrorKind::MasterNameNotFoundBySentinel => return UNREACHABLE,
        ErrorKind::AuthenticationFailed => return DENIED,
        ErrorKind::InvalidClientConfig => {
            return (Kind::InvalidOption, "the Redis client cannot be set up like this");
        }
        ErrorKind::Server(kind) => match kind {
            ServerErrorKind::NoPerm => return DENIED,
            ServerErrorKind::Moved | ServerErrorKind::Ask => {
                return (
                    Kind::ClusterNode,
                    "this server is a node of a Redis Cluster; its URL begins with redis+cluster://",
                );
            }
            ServerErrorKind::ReadOnly
            | ServerErrorKind::MasterDown
            | ServerErrorKind::BusyLoading
            | ServerErrorKind::ClusterDown
            | ServerErrorKind::TryAgain => return NOT_READY,
            _ => {}
        },
        _ => {}
    }
    // Until Redis 7 an error inside a script is an ERR that quotes the code it had.
    let text = error.to_string();
    match code(error).as_deref() {
        Some("OOM") => FULL,
        Some("NOAUTH" | "WRONGPASS") => DENIED,
        Some("NOREPLICAS") => NOT_READY,
        Some("NOTARECORD" | "WRONGTYPE") => NOT_A_RECORD,
        _ if text.contains("-OOM ") => FULL,
        _ if text.contains("-READONLY ") => NOT_READY,
        _ if text.contains("-WRONGTYPE ") => NOT_A_RECORD,
        _ => (Kind::Other, "Redis refused"),
    }
}

/// The code that the server's answer began with, also when it came within a pipeline.
fn code(error: &RedisError) -> Option<String> {
    let first = |error: RedisError| {
        error.into_server_errors()?.first().map(|(_, error)| error.code().to_owned())
    };
    error.code().map(str::to_owned).or_else(|| first(error.clone()))
}
