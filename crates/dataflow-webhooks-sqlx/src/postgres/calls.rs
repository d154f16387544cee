//! Owns the statements, and the way each gets to the server within its time.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use dataflow_webhooks::dedup::{DedupKey, Scope};
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query;
use sqlx::{Connection as _, PgConnection, PgPool, Postgres, Row as _};

use super::connections::Connections;
use crate::error::{SqlStoreError, SqlStoreErrorKind};
use crate::patience::within;
use crate::record::Found;

/// The longest that a batch of deletions takes.
const BATCH: Duration = Duration::from_secs(30);
/// A transaction of its own, where the pool's default isolation makes statements fail that wait for
/// one another.
const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED";

/// A pool, and the scope whose records its statements see.
pub(super) struct Calls {
    connections: Connections,
    scope: Scope,
    /// The pool's connections have an isolation above READ COMMITTED.
    is_isolated: AtomicBool,
}

/// What a statement did to a record, and how it found it.
pub(super) struct Step {
    /// The record's epoch after the change; `None` when nothing was changed.
    pub(super) changed: Option<u64>,
    pub(super) found: Option<Found>,
}

impl Calls {
    pub(super) fn new(pool: PgPool, scope: Scope) -> Self {
        let connections = Connections::new(pool);
        Self { connections, scope, is_isolated: AtomicBool::new(false) }
    }

    pub(super) fn pool(&self) -> &PgPool {
        self.connections.pool()
    }

    pub(super) fn scope(&self) -> &str {
        self.scope.as_str()
    }

    pub(super) async fn connect(&self) -> Result<(), SqlStoreError> {
        self.connections.get().await.map(drop).map_err(from_sqlx)
    }

    /// The epoch of a record that was absent and is claimed now.
    pub(super) async fn make(
        &self,
        key: &DedupKey,
        [lease, retention]: [i64; 2],
    ) -> Result<Option<u64>, SqlStoreError> {
        let query = || self.on(include_str!("make.sql"), key).bind(lease).bind(retention);
        match self.rows(query).await?.first() {
            Some(row) => epoch(row.try_get("epoch")).map(Some),
            None => Ok(None),
        }
    }

    pub(super) async fn take(
        &self,
        key: &DedupKey,
        [lease, retention]: [i64; 2],
    ) -> Result<Step, SqlStoreError> {
        let query = || self.on(include_str!("take.sql"), key).bind(lease).bind(retention);
        step(&self.rows(query).await?)
    }

    pub(super) async fn change(
        &self,
        key: &DedupKey,
        numbers: [i64; 4],
    ) -> Result<Step, SqlStoreError> {
        let query = || {
            let query = self.on(include_str!("change.sql"), key);
            numbers.into_iter().fold(query, Query::bind)
        };
        step(&self.rows(query).await?)
    }

    pub(super) async fn forget(&self, key: &DedupKey) -> Result<(), SqlStoreError> {
        self.rows(|| self.on(include_str!("forget.sql"), key)).await.map(drop)
    }

    /// Whether the event was brought from this claim to done. One that is done already is not: the
    /// transaction's writes would be there beside those that came with that completion.
    pub(super) async fn commit_in(
        &self,
        tx: &mut PgConnection,
        key: &DedupKey,
        epoch: i64,
        retention: i64,
    ) -> Result<bool, SqlStoreError> {
        let commit = self.on(include_str!("commit_in.sql"), key).bind(epoch).bind(retention);
        Ok(!commit.fetch_all(tx).await.map_err(from_sqlx)?.is_empty())
    }

    pub(super) async fn delete_expired(&self, batch: NonZeroU32) -> Result<u64, SqlStoreError> {
        let mut deleted = 0;
        let mut after = String::new();
        loop {
            let query = || {
                sqlx::query(include_str!("delete_expired.sql"))
                    .bind(self.scope())
                    .bind(after.as_str())
                    .bind(i64::from(batch.get()))
            };
            let rows = within(BATCH, self.rows(query)).await?;
            let Some(row) = rows.first() else { return Ok(deleted) };
            let gone: i64 = row.try_get("gone").map_err(from_sqlx)?;
            let last: Option<String> = row.try_get("last").map_err(from_sqlx)?;
            deleted += u64::try_from(gone).unwrap_or(0);
            match last {
                Some(last) if gone == i64::from(batch.get()) => after = last,
                _ => return Ok(deleted),
            }
        }
    }

    fn on<'q>(&'q self, sql: &'static str, key: &'q DedupKey) -> Query<'q, Postgres, PgArguments> {
        sqlx::query(sql).bind(self.scope()).bind(key.as_str())
    }

    /// Runs one statement in a transaction of its own, and gives all its rows.
    ///
    /// All of them: whoever stops at the first one does not hear that the commit failed.
    async fn rows<'q>(
        &self,
        query: impl Fn() -> Query<'q, Postgres, PgArguments>,
    ) -> Result<Vec<PgRow>, SqlStoreError> {
        // After the server was restarted all connections of the pool are dead, and each is found
        // out by a call. Every statement may be repeated: if the first one was executed, a claim
        // finds its own, and the event waits for that to lapse.
        for _ in 0..self.pool().size() {
            match self.rows_once(&query).await {
                Err(error) if is_lost_connection(&error) => {}
                rows => return rows.map_err(from_sqlx),
            }
        }
        self.rows_once(&query).await.map_err(from_sqlx)
    }

    async fn rows_once<'q>(
        &self,
        query: &impl Fn() -> Query<'q, Postgres, PgArguments>,
    ) -> sqlx::Result<Vec<PgRow>> {
        let connection = self.connections.get().await?;
        connection.ask(async |connection| self.rows_on(connection, query).await).await
    }

    async fn rows_on<'q>(
        &self,
        connection: &mut PgConnection,
        query: &impl Fn() -> Query<'q, Postgres, PgArguments>,
    ) -> sqlx::Result<Vec<PgRow>> {
        if !self.is_isolated.load(Ordering::Relaxed) {
            // A statement alone is a transaction, in one round trip.
            match query().fetch_all(&mut *connection).await {
                Err(error) if is_serialization_failure(&error) => {
                    self.is_isolated.store(true, Ordering::Relaxed);
                }
                rows => return rows,
            }
        }
        let mut tx = connection.begin_with(BEGIN).await?;
        let rows = query().fetch_all(&mut *tx).await?;
        tx.commit().await?;
        Ok(rows)
    }
}

fn step(rows: &[PgRow]) -> Result<Step, SqlStoreError> {
    let Some(row) = rows.first() else { return Ok(Step { changed: None, found: None }) };
    let read = || -> sqlx::Result<(Option<i64>, Option<Found>)> {
        let found = match row.try_get("state")? {
            None => None,
            Some(state) => {
                Some(Found { state, leased: row.try_get("leased")?, live: row.try_get("live")? })
            }
        };
        Ok((row.try_get("changed")?, found))
    };
    let (changed, found) = read().map_err(from_sqlx)?;
    let changed = changed.map(|changed| epoch(Ok(changed))).transpose()?;
    Ok(Step { changed, found })
}

fn epoch(stored: sqlx::Result<i64>) -> Result<u64, SqlStoreError> {
    let stored = stored.map_err(from_sqlx)?;
    u64::try_from(stored).map_err(|_| {
        let what = format!("a record has the epoch {stored}, which this store never writes");
        SqlStoreError::new(SqlStoreErrorKind::Other, what)
    })
}

fn from_sqlx(error: sqlx::Error) -> SqlStoreError {
    SqlStoreError::from_sqlx(error, database_kind)
}

fn code(error: &sqlx::Error) -> Option<String> {
    Some(error.as_database_error()?.code()?.into_owned())
}

fn is_serialization_failure(error: &sqlx::Error) -> bool {
    code(error).is_some_and(|code| code == "40001")
}

/// The connection is gone: by itself, or because the server ended it (`admin_shutdown`,
/// `crash_shutdown`).
fn is_lost_connection(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Io(_))
        || code(error).is_some_and(|code| code == "57P01" || code == "57P02")
}

/// What an SQLSTATE means (PostgreSQL's documentation, "PostgreSQL Error Codes").
pub(super) fn database_kind(code: &str, _message: &str) -> SqlStoreErrorKind {
    use SqlStoreErrorKind as Kind;
    match code {
        "42P01" | "42703" => Kind::NotMigrated,
        "42501" => Kind::AccessDenied,
        "25006" => Kind::ReadOnly,
        "40001" | "40P01" | "55P03" => Kind::Locked,
        "57014" => Kind::TimedOut,
        "57P01" | "57P02" | "57P03" | "53300" => Kind::Unreachable,
        _ if code.starts_with("08") => Kind::Unreachable,
        _ if code.starts_with("28") => Kind::AccessDenied,
        _ if code.starts_with("53") => Kind::Full,
        _ => Kind::Other,
    }
}
