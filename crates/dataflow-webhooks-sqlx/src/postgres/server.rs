//! Owns the way of a statement to the server within its time, and what the server's errors mean.

use std::sync::atomic::{AtomicBool, Ordering};

use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query;
use sqlx::{Connection as _, PgConnection, PgPool, Postgres};

use super::connections::Connections;
use crate::error::{SqlStoreError, SqlStoreErrorKind};

/// A transaction of its own, where the pool's default isolation makes statements fail that wait for
/// one another.
const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED";

/// The server, by way of a pool.
pub(super) struct Server {
    connections: Connections,
    /// The pool's connections have an isolation above READ COMMITTED.
    is_isolated: AtomicBool,
}

impl Server {
    pub(super) fn new(pool: PgPool) -> Self {
        Self { connections: Connections::new(pool), is_isolated: AtomicBool::new(false) }
    }

    pub(super) fn pool(&self) -> &PgPool {
        self.connections.pool()
    }

    pub(super) async fn connect(&self) -> Result<(), SqlStoreError> {
        self.connections.get().await.map(drop).map_err(from_sqlx)
    }

    /// Runs one statement in a transaction of its own, and gives all its rows.
    ///
    /// All of them: whoever stops at the first one does not hear that the commit failed.
    pub(super) async fn rows<'q>(
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

pub(super) fn from_sqlx(error: sqlx::Error) -> SqlStoreError {
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
fn database_kind(code: &str, _message: &str) -> SqlStoreErrorKind {
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
