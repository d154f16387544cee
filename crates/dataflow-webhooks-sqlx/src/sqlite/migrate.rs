//! Owns the migration of the schema in SQLite.

use sqlx::{Row as _, SqliteConnection, SqlitePool};

use crate::migration::{Migration, missing};

const MIGRATIONS: &[Migration] = &[
    Migration { version: 1, sql: include_str!("../../migrations/sqlite/0001_dedup.sql") },
    Migration { version: 2, sql: include_str!("../../migrations/sqlite/0002_dead_letters.sql") },
];

const VERSIONS: &str = "CREATE TABLE IF NOT EXISTS dataflow_webhooks_migrations \
    (version INTEGER NOT NULL PRIMARY KEY, applied_at INTEGER NOT NULL) STRICT";

pub(super) async fn migrate(pool: &SqlitePool) -> sqlx::Result<()> {
    let mut connection = pool.acquire().await?;
    // Without a lock: the common case changes nothing.
    if missing(MIGRATIONS, version(&mut connection).await?).is_empty() {
        return Ok(());
    }
    drop(connection);
    let mut tx = pool.begin_with("BEGIN IMMEDIATE").await?;
    sqlx::query(VERSIONS).execute(&mut *tx).await?;
    for migration in missing(MIGRATIONS, version(&mut tx).await?) {
        sqlx::raw_sql(migration.sql).execute(&mut *tx).await?;
        sqlx::query(
            "INSERT INTO dataflow_webhooks_migrations (version, applied_at) \
             VALUES (?1, unixepoch() * 1000)",
        )
        .bind(migration.version)
        .execute(&mut *tx)
        .await?;
    }
    tx.commit().await
}

/// The schema's version; 0 before the first migration.
async fn version(connection: &mut SqliteConnection) -> sqlx::Result<i64> {
    let there = sqlx::query(
        "SELECT count(*) FROM sqlite_schema WHERE name = 'dataflow_webhooks_migrations'",
    )
    .fetch_one(&mut *connection)
    .await?;
    if there.try_get::<i64, _>(0)? == 0 {
        return Ok(0);
    }
    sqlx::query("SELECT coalesce(max(version), 0) FROM dataflow_webhooks_migrations")
        .fetch_one(connection)
        .await?
        .try_get(0)
}
