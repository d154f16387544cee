//! Owns the way to the file: the pool, whose turn it is to write, and what SQLite's errors mean.

use std::fs::OpenOptions;
use std::path::Path;
use std::time::Duration;

use sqlx::SqlitePool;
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::{Instant, sleep};

use crate::error::{SqlStoreError, SqlStoreErrorKind};

/// How long opening and migrating go on while others lock the file, and the pause between two
/// tries.
const LOCKED: Duration = Duration::from_secs(10);
const LOCKED_PAUSE: Duration = Duration::from_millis(20);

/// The file, by way of a pool.
pub(super) struct File {
    pool: SqlitePool,
    turn: Mutex<()>,
}

impl File {
    pub(super) fn new(pool: SqlitePool) -> Self {
        Self { pool, turn: Mutex::default() }
    }

    pub(super) fn pool(&self) -> &SqlitePool {
        &self.pool
    }

    pub(super) async fn connect(&self) -> Result<(), SqlStoreError> {
        self.pool.acquire().await.map(drop).map_err(from_sqlx)
    }

    /// Held by who writes: SQLite lets those who wait for its lock sleep and try again, so that
    /// many could wait long; these go in the order in which they came.
    pub(super) async fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().await
    }
}

/// Makes the file, for its owner alone, where there is none: SQLite would let all read it. It gives
/// the two beside it the same permissions.
pub(super) fn make_for_owner(path: &Path) {
    // To SQLite, that is not the path of a file.
    if path.as_os_str().as_encoded_bytes().starts_with(b"file:") {
        return;
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    // Whatever is wrong with it, SQLite finds as well, and says.
    let _ = options.open(path);
}

/// Tries again for as long as others lock the file.
pub(super) async fn while_locked<F>(mut step: impl FnMut() -> F) -> Result<(), SqlStoreError>
where
    F: Future<Output = Result<(), SqlStoreError>>,
{
    let patience = Instant::now() + LOCKED;
    loop {
        match step().await {
            Err(error)
                if error.kind() == SqlStoreErrorKind::Locked && Instant::now() < patience =>
            {
                sleep(LOCKED_PAUSE).await;
            }
            done => return done,
        }
    }
}

pub(super) fn from_sqlx(error: sqlx::Error) -> SqlStoreError {
    SqlStoreError::from_sqlx(error, database_kind)
}

/// What SQLite's code means ("Result and Error Codes" in its documentation).
fn database_kind(code: &str, message: &str) -> SqlStoreErrorKind {
    use SqlStoreErrorKind as Kind;
    // The primary code is in the lowest byte.
    match code.parse::<u32>().unwrap_or(0) & 0xff {
        1 if message.contains("no such") || message.contains("has no column") => Kind::NotMigrated,
        3 | 23 => Kind::AccessDenied,
        5 | 6 => Kind::Locked,
        8 => Kind::ReadOnly,
        10 | 14 => Kind::Unreachable,
        13 => Kind::Full,
        _ => Kind::Other,
    }
}
