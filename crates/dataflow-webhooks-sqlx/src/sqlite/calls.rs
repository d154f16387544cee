//! Owns the statements, whose turn it is to write, and the time that a call takes.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use dataflow_webhooks::dedup::{DedupKey, Scope};
use sqlx::query::Query;
use sqlx::sqlite::SqliteArguments;
use sqlx::{Executor, Row as _, Sqlite, SqliteConnection, SqlitePool};
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep};

use crate::error::{SqlStoreError, SqlStoreErrorKind};
use crate::record::{Found, milliseconds};

/// How long opening and migrating go on while others lock the file, and the pause between two
/// tries.
const LOCKED: Duration = Duration::from_secs(10);
const LOCKED_PAUSE: Duration = Duration::from_millis(20);

/// A pool, and the scope whose records its statements see.
pub(super) struct Calls {
    pool: SqlitePool,
    scope: Scope,
    clock: Clock,
    /// Held by who writes: SQLite lets those who wait for its lock sleep and try again, so that
    /// many could wait long; these go in the order in which they came.
    turn: Arc<Mutex<()>>,
}

/// Where a store takes the time from.
pub(super) enum Clock {
    System,
    Given(Box<dyn Fn() -> Duration + Send + Sync>),
}

impl Clock {
    /// In milliseconds.
    fn now(&self) -> i64 {
        milliseconds(match self {
            Self::System => SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default(),
            Self::Given(clock) => clock(),
        })
    }
}

impl Calls {
    pub(super) fn new(pool: SqlitePool, scope: Scope, clock: Clock) -> Self {
        Self { pool, scope, clock, turn: Arc::default() }
    }

    pub(super) fn on_clock(&self, clock: Clock) -> Self {
        let (pool, scope, turn) = (self.pool.clone(), self.scope.clone(), self.turn.clone());
        Self { pool, scope, clock, turn }
    }

    pub(super) fn pool(&self) -> &SqlitePool {
        &self.pool
    }

    pub(super) fn scope(&self) -> &str {
        self.scope.as_str()
    }

    pub(super) async fn connect(&self) -> Result<(), SqlStoreError> {
        self.pool.acquire().await.map(drop).map_err(from_sqlx)
    }

    pub(super) async fn look(
        &self,
        key: &DedupKey,
        epoch: Option<i64>,
    ) -> Result<Option<Found>, SqlStoreError> {
        self.look_with(&self.pool, key, epoch).await
    }

    /// As the transaction on this connection sees it.
    pub(super) async fn look_in(
        &self,
        tx: &mut SqliteConnection,
        key: &DedupKey,
        epoch: Option<i64>,
    ) -> Result<Option<Found>, SqlStoreError> {
        self.look_with(tx, key, epoch).await
    }

    /// The record, if it has this epoch (or with `None` any).
    async fn look_with<'c>(
        &self,
        executor: impl Executor<'c, Database = Sqlite>,
        key: &DedupKey,
        epoch: Option<i64>,
    ) -> Result<Option<Found>, SqlStoreError> {
        let query = self.on(include_str!("look.sql"), key);
        let Some(row) = query.fetch_optional(executor).await.map_err(from_sqlx)? else {
            return Ok(None);
        };
        let read = || -> sqlx::Result<_> {
            let (state, leased, live) =
                (row.try_get("state")?, row.try_get("leased")?, row.try_get("live")?);
            Ok((row.try_get::<i64, _>("epoch")?, Found { state, leased, live }))
        };
        let (stored, found) = read().map_err(from_sqlx)?;
        Ok(epoch.is_none_or(|epoch| epoch == stored).then_some(found))
    }

    /// The epoch of a record that was free and is claimed now.
    pub(super) async fn claim(
        &self,
        key: &DedupKey,
        [lease, retention]: [i64; 2],
    ) -> Result<Option<u64>, SqlStoreError> {
        let _turn = self.turn.lock().await;
        let query = self.on(include_str!("claim.sql"), key).bind(lease).bind(retention);
        // To the end, here and below: sqlx commits a statement that it leaves at its first row
        // without telling whether that worked.
        let rows = query.fetch_all(&self.pool).await.map_err(from_sqlx)?;
        let Some(row) = rows.first() else { return Ok(None) };
        let stored: i64 = row.try_get("epoch").map_err(from_sqlx)?;
        Ok(u64::try_from(stored).ok())
    }

    /// Whether the claim was brought into the state. The numbers are the epoch, the state, the
    /// lease and the retention.
    pub(super) async fn change(
        &self,
        key: &DedupKey,
        numbers: [i64; 4],
    ) -> Result<bool, SqlStoreError> {
        let _turn = self.turn.lock().await;
        self.change_with(&self.pool, key, numbers).await
    }

    /// The same inside the transaction on this connection, whose turn it is already.
    pub(super) async fn change_in(
        &self,
        tx: &mut SqliteConnection,
        key: &DedupKey,
        numbers: [i64; 4],
    ) -> Result<bool, SqlStoreError> {
        self.change_with(tx, key, numbers).await
    }

    async fn change_with<'c>(
        &self,
        executor: impl Executor<'c, Database = Sqlite>,
        key: &DedupKey,
        numbers: [i64; 4],
    ) -> Result<bool, SqlStoreError> {
        let query = self.on(include_str!("change.sql"), key);
        let query = numbers.into_iter().fold(query, Query::bind);
        Ok(!query.fetch_all(executor).await.map_err(from_sqlx)?.is_empty())
    }

    pub(super) async fn forget(&self, key: &DedupKey) -> Result<(), SqlStoreError> {
        let _turn = self.turn.lock().await;
        let query = self.on(include_str!("forget.sql"), key);
        query.execute(&self.pool).await.map(drop).map_err(from_sqlx)
    }

    pub(super) async fn delete_expired(&self, batch: NonZeroU32) -> Result<u64, SqlStoreError> {
        let (mut deleted, mut after, now) = (0, String::new(), self.clock.now());
        loop {
            let found = sqlx::query(include_str!("find_expired.sql"))
                .bind(self.scope())
                .bind(after.as_str())
                .bind(now)
                .bind(batch.get())
                .fetch_one(&self.pool)
                .await
                .map_err(from_sqlx)?;
            let last: Option<String> = found.try_get("last").map_err(from_sqlx)?;
            let Some(last) = last else { return Ok(deleted) };
            let _turn = self.turn.lock().await;
            let gone = sqlx::query(include_str!("delete_expired.sql"))
                .bind(self.scope())
                .bind(after.as_str())
                .bind(now)
                .bind(last.as_str())
                .execute(&self.pool)
                .await
                .map_err(from_sqlx)?;
            deleted += gone.rows_affected();
            after = last;
        }
    }

    fn on<'q>(
        &'q self,
        sql: &'static str,
        key: &'q DedupKey,
    ) -> Query<'q, Sqlite, SqliteArguments> {
        sqlx::query(sql).bind(self.scope()).bind(key.as_str()).bind(self.clock.now())
    }
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
