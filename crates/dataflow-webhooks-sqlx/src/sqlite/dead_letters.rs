//! Owns the sink of dead letters in SQLite.

use std::sync::Arc;

use dataflow_webhooks::dead_letters::{DeadLetter, SinkFuture};
use dataflow_webhooks::dedup::Scope;
use sqlx::{Row as _, Sqlite, SqliteConnection, SqlitePool};

use super::file::{File, from_sqlx, while_locked};
use super::migrate;
use crate::dead_letters::{self, Kept, Table, Value};
use crate::error::SqlStoreError;

/// `PRAGMA synchronous`: with this one a commit waits for the disk in every journal mode, with FULL
/// in the write-ahead log only, where the two are the same.
const EXTRA: i64 = 3;

/// Dead letters in a file of SQLite, in a table beside that of the dedup store.
///
/// [`SqliteStore::dead_letters`](crate::SqliteStore::dead_letters) gives that of a store, on the same
/// pool. [The crate's documentation](crate#dead-letters) tells what is in the table.
///
/// ```
/// use dataflow_webhooks::BoxError;
/// use dataflow_webhooks::dead_letters::{DeadLetter, DeadLetterSink as _, DeadLetters as _};
/// use dataflow_webhooks_sqlx::SqliteStore;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), BoxError> {
/// # let path = std::env::temp_dir().join(format!("sqlite-letters-{}.db", std::process::id()));
/// let store = SqliteStore::open(&path, "orders").await?;
/// store.migrate().await?;
/// let letters = store.dead_letters();
/// # let letter = DeadLetter::from_trusted_json(br#"{"failed_at":"2025-01-24T10:31:07Z","runs":3,
/// #     "reason":"answered 500","key":"current","signed_at":"2025-01-24T10:31:06Z",
/// #     "received_at":"2025-01-24T10:31:06Z","body":"{\"id\":\"evt_1a2b3c4d5e6f\"}"}"#)?;
/// # letters.store(&letter).await?;
///
/// for letter in letters.list(None, 100).await? {
///     println!("{} {} {}", letter.failed_at(), letter.id(), letter.reason());
/// }
/// # assert_eq!(letters.list(None, 100).await?.len(), 1);
/// # store.pool().close().await;
/// # std::fs::remove_file(path)?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct SqliteDeadLetters {
    file: Arc<File>,
    scope: Scope,
}

impl SqliteDeadLetters {
    /// The letters of this scope, on a pool of your own: where the dedup store is another one. Make
    /// the pool of [`SqliteStore::options`](crate::SqliteStore::options).
    ///
    /// The scope names the endpoint: 1 to 64 of the characters `A-Z a-z 0-9 _ . -`. Two endpoints
    /// that share a file must not share it. Storing, getting and removing a letter take at most
    /// 1.5 s each, and a page of a list 30 s, whatever the pool's own time-outs are.
    ///
    /// A connection whose `synchronous` is below EXTRA is set to EXTRA when it stores a letter, and
    /// stays so: below FULL, and without the write-ahead log below EXTRA, a loss of power could take
    /// the letter back.
    ///
    /// # Errors
    /// When the scope is wrong.
    pub fn new(pool: SqlitePool, scope: &str) -> Result<Self, SqlStoreError> {
        Ok(Self::on(Arc::new(File::new(pool)), Scope::new(scope)?))
    }

    pub(super) fn on(file: Arc<File>, scope: Scope) -> Self {
        Self { file, scope }
    }

    /// As [`SqliteStore::migrate`](crate::SqliteStore::migrate): makes the tables of both.
    ///
    /// # Errors
    /// When the file cannot be written, or is locked for 10 s.
    pub async fn migrate(&self) -> Result<(), SqlStoreError> {
        let pool = self.file.pool();
        while_locked(|| async { migrate::migrate(pool).await.map_err(from_sqlx) }).await
    }
}

dead_letters::dead_letters!(SqliteDeadLetters);

impl Table for SqliteDeadLetters {
    const STORE: &'static str = include_str!("../dead_letters/store.sql");
    const REMOVE: &'static str = include_str!("../dead_letters/remove.sql");

    fn scope(&self) -> &str {
        self.scope.as_str()
    }

    async fn read(
        &self,
        sql: &'static str,
        values: &[Value<'_>],
    ) -> Result<Vec<Kept>, SqlStoreError> {
        let mut connection = self.file.pool().acquire().await.map_err(from_sqlx)?;
        rows(&mut connection, self.scope(), sql, values).await.map_err(from_sqlx)
    }

    async fn write(
        &self,
        sql: &'static str,
        values: &[Value<'_>],
    ) -> Result<Vec<Kept>, SqlStoreError> {
        let _turn = self.file.turn().await;
        let write = async {
            let mut connection = self.file.pool().acquire().await?;
            let waits = sqlx::query("PRAGMA synchronous").fetch_one(&mut *connection).await?;
            if waits.try_get::<i64, _>(0)? < EXTRA {
                sqlx::query("PRAGMA synchronous = EXTRA").execute(&mut *connection).await?;
            }
            rows(&mut connection, self.scope(), sql, values).await
        };
        write.await.map_err(from_sqlx)
    }
}

async fn rows(
    connection: &mut SqliteConnection,
    scope: &str,
    sql: &'static str,
    values: &[Value<'_>],
) -> sqlx::Result<Vec<Kept>> {
    let rows = dead_letters::query(sql, scope, values).fetch_all(connection).await?;
    dead_letters::kept::<Sqlite>(&rows)
}
