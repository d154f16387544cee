//! The queue in a file of SQLite: apalis, with a dedup store beside it.

use std::path::Path;
use std::time::Duration;

use apalis::prelude::{BackendExt as _, WorkerBuilder, WorkerBuilderExt as _};
use apalis_sqlite::queries::push_tasks;
use apalis_sqlite::{Config, SqliteStorage};
use dataflow_webhooks_axum::BoxError;
use dataflow_webhooks_sqlx::SqliteStore;
use receiver::{Failure, in_full};
use sqlx::sqlite::SqlitePoolOptions;
use sqlx::{Row as _, SqlitePool};
use tokio_util::sync::CancellationToken;

use super::{Completing, Dead, Item, jobs};
use crate::settings::{Settings, wrong_url};
use crate::work::Worker;

/// How long the worker waits for whoever writes: nobody waits for the worker.
const BUSY: Duration = Duration::from_secs(30);

/// How long a sender's event waits for the connection.
const ACQUIRE: Duration = Duration::from_millis(1_400);

/// How often the tables are tried to be made, when another process makes them just now.
const TRIES: u32 = 50;

const POSTPONE: &str = "UPDATE Jobs SET run_at = unixepoch() + ?2 WHERE id = ?1";

const DEAD: &str = "\
    SELECT idempotency_key, job, attempts, last_result ->> '$.Err' FROM Jobs \
    WHERE job_type = ?1 AND status = 'Killed' ORDER BY done_at, id";

const RETRY: &str = "\
    UPDATE Jobs SET status = 'Pending', attempts = 0, run_at = unixepoch(), \
    lock_by = NULL, lock_at = NULL, done_at = NULL \
    WHERE job_type = ?1 AND idempotency_key = ?2 AND status = 'Killed'";

const DELETE_DONE: &str = "\
    DELETE FROM Jobs WHERE job_type = ?1 AND status = 'Done' AND done_at <= unixepoch() - ?2";

const DELETE_WORKERS: &str = "\
    DELETE FROM Workers WHERE worker_type = ?1 AND last_seen <= unixepoch() - ?2 \
    AND id NOT IN (SELECT lock_by FROM Jobs WHERE lock_by IS NOT NULL)";

/// The queue in a file of SQLite.
#[derive(Debug, Clone)]
pub struct Queue {
    /// The receiver's side. It has one connection: whoever waits for that one has it as
    /// soon as it is free, and whoever waits for SQLite's one writer sleeps, and asks again.
    store: SqliteStore,
    /// The worker's and a person's.
    pool: SqlitePool,
    name: String,
}

impl Queue {
    pub(super) async fn open(path: &str, settings: &Settings) -> Result<Self, Failure> {
        if path.is_empty() {
            return Err(wrong_url("it must name a file, as in sqlite://inbox.db"));
        }
        let cannot =
            |error: BoxError| Failure::at_run_time(format!("{path}: {}", in_full(&*error)));
        Self::make(path, &settings.name).await.map_err(cannot)
    }

    async fn make(path: &str, name: &str) -> Result<Self, BoxError> {
        // It makes the file, and the write-ahead log, whoever else does so just now.
        SqliteStore::open(path, name).await?.migrate().await?;
        let pool = SqlitePoolOptions::new()
            .max_connections(1)
            .acquire_timeout(ACQUIRE)
            .connect_with(SqliteStore::options(path))
            .await?;
        let store = SqliteStore::new(pool, name)?;
        let pool = SqlitePoolOptions::new().max_connections(3).connect_with(options(path)).await?;
        // Not apalis's `setup`, which sets `synchronous` to OFF: what was answered 200 would
        // then be lost with the power.
        let mut migrations = SqliteStorage::migrations();
        // Yours may be in the same file.
        migrations.set_ignore_missing(true);
        let mut made = migrations.run(&pool).await;
        for _ in 1..TRIES {
            if made.is_ok() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
            made = migrations.run(&pool).await;
        }
        made?;
        Ok(Self { store, pool, name: name.to_owned() })
    }

    pub(super) fn store(&self) -> &SqliteStore {
        &self.store
    }

    pub(super) async fn put(
        &self,
        item: &Item,
        completing: Option<Completing<'_>>,
    ) -> Result<(), BoxError> {
        let mut tx = self.store.pool().begin_with("BEGIN IMMEDIATE").await?;
        // A key that is there already changes nothing.
        push_tasks(&mut *tx, &self.name, &[jobs::task(item)]).await?;
        if let Some(Completing { claim, terms }) = completing {
            self.store.commit_in(&mut tx, claim, terms).await?;
        }
        tx.commit().await?;
        Ok(())
    }

    pub(super) async fn work(
        &self,
        worker: &Worker,
        stopping: &CancellationToken,
    ) -> Result<(), BoxError> {
        let limits = worker.limits();
        let config = Config::default()
            .queue(&self.name)
            .batch_size(jobs::BATCH)
            .heartbeat_interval(limits.lease / jobs::HEARTBEATS)
            .missed_heartbeats(jobs::HEARTBEATS as usize)
            .lock_tasks(false);
        let backend = SqliteStorage::<Vec<u8>>::new(&self.pool)
            .with_config(config)
            .with_codec(jobs::Verbatim)
            .poll_with_interval(jobs::LOOK);
        let pool = self.pool.clone();
        let job = jobs::job(worker, move |id, pause: Duration| {
            let postpone = sqlx::query(POSTPONE).bind(id).bind(seconds(pause));
            let pool = pool.clone();
            async move { postpone.execute(&pool).await.map(drop) }
        });
        let context = jobs::worker_context();
        let worker =
            WorkerBuilder::new(&context).backend(backend).concurrency(limits.workers).build(job);
        jobs::until_stopped(&context, worker.run(), stopping).await
    }

    pub(super) async fn dead(&self) -> Result<Vec<Dead>, BoxError> {
        let rows = sqlx::query(DEAD).bind(&self.name).fetch_all(&self.pool).await?;
        let dead = |row: sqlx::sqlite::SqliteRow| {
            Ok(Dead {
                key: row.try_get(0)?,
                body: row.try_get::<Vec<u8>, _>(1)?.into(),
                attempts: row.try_get(2)?,
                error: jobs::reason(row.try_get(3)?),
            })
        };
        rows.into_iter().map(dead).collect()
    }

    pub(super) async fn retry(&self, key: &str) -> Result<bool, BoxError> {
        let retry = sqlx::query(RETRY).bind(&self.name).bind(key);
        Ok(retry.execute(&self.pool).await?.rows_affected() > 0)
    }

    pub(super) async fn clean_up(&self, older_than: Duration) -> Result<(), BoxError> {
        for delete in [DELETE_DONE, DELETE_WORKERS] {
            let delete = sqlx::query(delete).bind(&self.name).bind(seconds(older_than));
            delete.execute(&self.pool).await?;
        }
        Ok(())
    }
}

fn options(path: impl AsRef<Path>) -> sqlx::sqlite::SqliteConnectOptions {
    SqliteStore::options(path).busy_timeout(BUSY)
}

fn seconds(time: Duration) -> i64 {
    i64::try_from(time.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_was_put_survives_a_loss_of_power() {
        let folder = std::env::temp_dir().join(format!("inbox-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("inbox.db");
        let url = format!("sqlite://{}", path.display());
        let queue = Queue::open(path.to_str().unwrap(), &Settings::of(&url)).await.unwrap();
        for pool in [queue.store.pool(), &queue.pool] {
            for (pragma, value) in [("synchronous", "2"), ("journal_mode", "wal")] {
                let ask = sqlx::AssertSqlSafe(format!(
                    "SELECT cast({pragma} AS text) FROM pragma_{pragma}"
                ));
                let found: String = sqlx::query_scalar(ask).fetch_one(pool).await.unwrap();
                assert_eq!(found, value, "{pragma}");
            }
        }
        std::fs::remove_dir_all(folder).unwrap();
    }
}
