//! Owns the migration of the schema in PostgreSQL.

use sqlx::{PgConnection, PgPool, Row as _};

use crate::migration::{Migration, missing};

const MIGRATIONS: &[Migration] = &[
    Migration { version: 1, sql: include_str!("../../migrations/postgres/0001_dedup.sql") },
    Migration { version: 2, sql: include_str!("../../migrations/postgres/0002_dead_letters.sql") },
];

/// Whoever migrates holds this lock of the database: a number that stands for this crate.
const LOCK: i64 = 0x6466_7768_6b73_716c;

const VERSIONS: &str = "CREATE TABLE IF NOT EXISTS dataflow_webhooks_migrations \
    (version bigint NOT NULL PRIMARY KEY, applied_at bigint NOT NULL)";

/// Succeeds where the dedup store's table has the columns of the last migration.
pub(super) const DEDUP: &str = "SELECT scope, event_id, epoch, lease_until, expires_at, state \
    FROM dataflow_webhooks_dedup LIMIT 0";
/// The same for the table of dead letters.
pub(super) const DEAD_LETTERS: &str = "SELECT failed_at, runs, scope, event_id, event_type, reason, \
    letter FROM dataflow_webhooks_dead_letters LIMIT 0";

/// How often it is tried when somebody creates the same tables by hand at the same moment.
const TRIES: u32 = 5;

/// Makes what is missing. Whoever may not make tables can have had theirs made, perhaps by hand:
/// `serves` asks for it.
pub(super) async fn migrate(pool: &PgPool, serves: &'static str) -> sqlx::Result<()> {
    match make(pool).await {
        Err(error) if is(&error, &["42501"]) => {
            sqlx::query(serves).fetch_optional(pool).await.map(drop).map_err(|_| error)
        }
        done => done,
    }
}

async fn make(pool: &PgPool) -> sqlx::Result<()> {
    for _ in 1..TRIES {
        match make_once(pool).await {
            // `IF NOT EXISTS` does not see what another transaction has not committed yet, and
            // fails at a unique index of the catalogue, or finds the table there after all.
            Err(error) if is(&error, &["23505", "42P07", "42710"]) => {}
            done => return done,
        }
    }
    make_once(pool).await
}

async fn make_once(pool: &PgPool) -> sqlx::Result<()> {
    let mut tx = pool.begin_with("BEGIN ISOLATION LEVEL READ COMMITTED").await?;
    sqlx::query("SET LOCAL lock_timeout = '30s'").execute(&mut *tx).await?;
    // Before the lock: the common case changes nothing.
    if missing(MIGRATIONS, version(&mut tx).await?).is_empty() {
        return tx.rollback().await;
    }
    sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(LOCK).execute(&mut *tx).await?;
    sqlx::query(VERSIONS).execute(&mut *tx).await?;
    for migration in missing(MIGRATIONS, version(&mut tx).await?) {
        sqlx::raw_sql(migration.sql).execute(&mut *tx).await?;
        sqlx::query(
            "INSERT INTO dataflow_webhooks_migrations (version, applied_at) \
             VALUES ($1, (extract(epoch FROM clock_timestamp()) * 1000)::bigint)",
        )
        .bind(migration.version)
        .execute(&mut *tx)
        .await?;
    }
    tx.commit().await
}

/// The schema's version; 0 before the first migration.
async fn version(connection: &mut PgConnection) -> sqlx::Result<i64> {
    let there = sqlx::query("SELECT to_regclass('dataflow_webhooks_migrations') IS NOT NULL")
        .fetch_one(&mut *connection)
        .await?;
    if !there.try_get::<bool, _>(0)? {
        return Ok(0);
    }
    sqlx::query("SELECT coalesce(max(version), 0) FROM dataflow_webhooks_migrations")
        .fetch_one(connection)
        .await?
        .try_get(0)
}

fn is(error: &sqlx::Error, codes: &[&str]) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    code.is_some_and(|code| codes.contains(&&*code))
}
