//! The queue in a file of SQLite: apalis, with a dedup store beside it.

use std::error::Error;
use std::io::ErrorKind;
use std::time::Duration;

use apalis_core::backend::WorkerFilter;
use apalis_core::task::Task;
use apalis_core::worker::context::WorkerContext;
use apalis_sqlite::{Config, SqliteStorage, queries};
use dataflow_webhooks_axum::BoxError;
use dataflow_webhooks_sqlx::SqliteStore;
use futures_util::Stream;
use receiver::{Failure, in_full};
use sqlx::pool::PoolConnection;
use sqlx::sqlite::{
    SqliteConnectOptions, SqlitePoolOptions, SqliteRow, SqliteSynchronous, SqliteTransaction,
};
use sqlx::{Connection as _, Row as _, Sqlite, SqlitePool};
use tokio_util::sync::CancellationToken;

use super::jobs::{self, Ended};
use super::letters::{self, Letters, Place};
use super::{BATCH, Completing, Dead, Item, no_queue};
use crate::settings::Settings;
use crate::work::Worker;

/// Begins as the one writer: what has read cannot become it.
const WRITE: &str = "BEGIN IMMEDIATE";

/// How long a sender's event waits for the connection.
const ACQUIRE: Duration = Duration::from_millis(1_400);

/// How often the tables are tried to be made, when another process makes them just now.
const TRIES: u32 = 50;

const POSTPONE: &str = "\
    UPDATE Jobs SET run_at = unixepoch() + ?3 WHERE id = ?1 AND lock_by = ?2";

const IS_QUEUE: &str = "\
    SELECT EXISTS (SELECT 1 FROM pragma_table_info('Jobs') WHERE name = 'idempotency_key')";

const DEAD_AFTER: &str = "\
    SELECT coalesce(done_at, 0), id FROM Jobs \
    WHERE job_type = ?1 AND status = 'Killed' AND (coalesce(done_at, 0), id) > (?2, ?3) \
    ORDER BY 1, 2 LIMIT ?4";

const DEAD: &str = "\
    SELECT idempotency_key, job, attempts, last_result ->> '$.Err' FROM Jobs \
    WHERE id = ?1 AND status = 'Killed'";

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
    /// It has one connection, for all there is to do: whoever waits for that one has it as
    /// soon as it is free, and whoever waits for SQLite's one writer sleeps, and asks again.
    store: SqliteStore,
    name: String,
}

impl Queue {
    pub(super) async fn open(path: &str, settings: &Settings) -> Result<Self, Failure> {
        Self::make(path, &settings.name).await.map_err(|error| cannot(path, &*error))
    }

    pub(super) async fn open_as_person(path: &str, settings: &Settings) -> Result<Self, Failure> {
        must_exist(path)?;
        // Not the store's options: they make a file, and turn the write-ahead log on in
        // whatever database this is.
        let options = SqliteConnectOptions::new().filename(path);
        let opened = async {
            let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options).await?;
            let is_queue: bool = sqlx::query_scalar(IS_QUEUE).fetch_one(&pool).await?;
            let queue = Self {
                store: SqliteStore::new(pool, &settings.name)?,
                name: settings.name.clone(),
            };
            Ok::<_, BoxError>(is_queue.then_some(queue))
        };
        match opened.await {
            Ok(Some(queue)) => Ok(queue),
            Ok(None) => Err(no_queue(format_args!("{} holds none", in_full_path(path)))),
            Err(error) => Err(cannot(path, &*error)),
        }
    }

    async fn make(path: &str, name: &str) -> Result<Self, BoxError> {
        // It makes the file, and the write-ahead log, whoever else does so just now.
        SqliteStore::open(path, name).await?.migrate().await?;
        let pool = SqlitePoolOptions::new()
            .max_connections(1)
            .acquire_timeout(ACQUIRE)
            // A full disk ends a transaction behind the back of sqlx, whose connection would
            // begin none any more: another one takes its place.
            .before_acquire(|connection, _| {
                let is_free = !connection.is_in_transaction();
                Box::pin(async move { Ok(is_free) })
            })
            .connect_lazy_with(SqliteStore::options(path).synchronous(SqliteSynchronous::Normal));
        // Not apalis's `setup`, which sets `synchronous` to OFF.
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
        Ok(Self { store: SqliteStore::new(pool, name)?, name: name.to_owned() })
    }

    pub(super) fn store(&self) -> &SqliteStore {
        &self.store
    }

    fn pool(&self) -> &SqlitePool {
        self.store.pool()
    }

    async fn begin(&self) -> sqlx::Result<SqliteTransaction<'static>> {
        self.pool().begin_with(WRITE).await
    }

    /// The connection, with each commit on the disk before it is done. Only a put needs
    /// that: its sender will not come again. A claim, or what became of a job, that is lost
    /// with the power is made again.
    async fn durable(&self) -> sqlx::Result<PoolConnection<Sqlite>> {
        let mut connection = self.pool().acquire().await?;
        sqlx::query("PRAGMA synchronous = FULL").execute(&mut *connection).await?;
        Ok(connection)
    }

    fn config(&self) -> Config {
        Config::default().queue(&self.name)
    }

    pub(super) async fn put(
        &self,
        item: &Item,
        completing: Option<Completing<'_>>,
    ) -> Result<(), BoxError> {
        let mut connection = self.durable().await?;
        let mut tx = connection.begin_with(WRITE).await?;
        // A key that is there already changes nothing.
        queries::push_tasks(&mut *tx, &self.name, &[jobs::task(item)]).await?;
        if let Some(Completing { claim, terms }) = completing {
            self.store.commit_in(&mut tx, claim, terms).await?;
        }
        tx.commit().await?;
        // Where this fails the next ones are slower, and no less safe.
        let _ = sqlx::query("PRAGMA synchronous = NORMAL").execute(&mut *connection).await;
        Ok(())
    }

    pub(super) async fn work(
        &self,
        worker: &Worker,
        stopping: &CancellationToken,
    ) -> Result<(), BoxError> {
        jobs::work(self, worker, stopping).await
    }

    pub(super) fn dead(&self) -> impl Stream<Item = Result<Dead, BoxError>> {
        letters::all(self)
    }

    pub(super) async fn retry(&self, keys: &[&str]) -> Result<bool, BoxError> {
        for key in keys {
            let retry = sqlx::query(RETRY).bind(&self.name).bind(key);
            if retry.execute(self.pool()).await?.rows_affected() > 0 {
                return Ok(true);
            }
        }
        Ok(false)
    }

    pub(super) async fn clean_up(&self, older_than: Duration) -> Result<(), BoxError> {
        for delete in [DELETE_DONE, DELETE_WORKERS] {
            let delete = sqlx::query(delete).bind(&self.name).bind(seconds(older_than));
            delete.execute(self.pool()).await?;
        }
        self.store.delete_expired(BATCH).await?;
        Ok(())
    }
}

impl jobs::Rows for Queue {
    async fn register(&self, worker: &WorkerContext) -> Result<(), BoxError> {
        let mut tx = self.begin().await?;
        queries::register_worker(&mut *tx, &self.config(), worker, "SqliteStorage").await?;
        Ok(tx.commit().await?)
    }

    async fn live(&self, worker: &WorkerContext, lease: Duration) -> Result<(), BoxError> {
        let mut tx = self.begin().await?;
        queries::keep_alive(&mut *tx, &self.config(), worker).await?;
        let others = WorkerFilter::AllExcept(worker.name().to_owned());
        queries::reenqueue_orphaned(&mut *tx, seconds(lease), &self.name, &others).await?;
        Ok(tx.commit().await?)
    }

    async fn take(
        &self,
        worker: &WorkerContext,
        most: usize,
    ) -> Result<Vec<Task<Vec<u8>>>, BoxError> {
        let mut tx = self.begin().await?;
        let config = self.config().batch_size(most);
        let taken = queries::fetch_next(&mut *tx, &config, worker).await?;
        tx.commit().await?;
        Ok(taken)
    }

    async fn settle(&self, worker: &WorkerContext, ended: &[Ended]) -> Result<(), BoxError> {
        let mut tx = self.begin().await?;
        let results: Vec<_> = ended.iter().map(|ended| &ended.result).collect();
        queries::ack_tasks(&mut *tx, &results, worker.name()).await?;
        for (id, pause) in jobs::postponed(ended) {
            let postpone = sqlx::query(POSTPONE).bind(id).bind(worker.name()).bind(seconds(pause));
            postpone.execute(&mut *tx).await?;
        }
        Ok(tx.commit().await?)
    }
}

impl Letters for Queue {
    async fn after(&self, place: &Place) -> Result<Vec<Place>, BoxError> {
        let after = sqlx::query(DEAD_AFTER).bind(&self.name).bind(place.at).bind(&place.id);
        let rows = after.bind(letters::PAGE).fetch_all(self.pool()).await?;
        let place = |row: SqliteRow| Ok(Place { at: row.try_get(0)?, id: row.try_get(1)? });
        rows.into_iter().map(place).collect()
    }

    async fn letter(&self, id: &str) -> Result<Option<Dead>, BoxError> {
        let row = sqlx::query(DEAD).bind(id).fetch_optional(self.pool()).await?;
        let dead = |row: SqliteRow| {
            Ok(Dead {
                key: row.try_get(0)?,
                body: row.try_get::<Vec<u8>, _>(1)?.into(),
                attempts: row.try_get(2)?,
                error: row.try_get::<Option<_>, _>(3)?.unwrap_or_default(),
            })
        };
        row.map(dead).transpose()
    }
}

/// Refuses the path of a file that is not there.
pub(super) fn must_exist(path: &str) -> Result<(), Failure> {
    // What begins like this is no path to SQLite: who opens it finds out.
    let is_uri = path.starts_with("file:");
    match std::fs::metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound && !is_uri => {
            Err(no_queue(format_args!("{} does not exist", in_full_path(path))))
        }
        _ => Ok(()),
    }
}

/// As it is from anywhere: a relative one is looked for where the program was started.
fn in_full_path(path: &str) -> String {
    std::path::absolute(path).map_or_else(|_| path.to_owned(), |path| path.display().to_string())
}

fn cannot(path: &str, error: &(dyn Error + 'static)) -> Failure {
    Failure::at_run_time(format!("{path}: {}", in_full(error)))
}

fn seconds(time: Duration) -> i64 {
    i64::try_from(time.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use dataflow_webhooks_axum::dedup::DedupKey;

    use super::*;

    async fn open(name: &str) -> (Queue, std::path::PathBuf) {
        let folder = std::env::temp_dir().join(format!("inbox-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("inbox.db");
        let url = format!("sqlite://{}", path.display());
        (Queue::open(path.to_str().unwrap(), &Settings::of(&url)).await.unwrap(), folder)
    }

    #[tokio::test]
    async fn a_disk_that_was_full_is_used_when_it_has_room() {
        let (queue, folder) = open("full").await;
        let pages = "PRAGMA max_page_count = 1";
        sqlx::raw_sql(pages).execute(queue.pool()).await.unwrap();
        let item = Item {
            key: DedupKey::from_event_id("evt_1"),
            body: vec![b'x'; 100_000].into(),
            signed_with: "current".to_owned(),
        };
        queue.put(&item, None).await.unwrap_err();
        let pages = "PRAGMA max_page_count = 100000";
        sqlx::raw_sql(pages).execute(queue.pool()).await.unwrap();
        queue.put(&item, None).await.unwrap();
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[tokio::test]
    async fn what_was_put_survives_a_loss_of_power() {
        let (queue, folder) = open("power").await;
        let mut connection = queue.durable().await.unwrap();
        for (pragma, value) in [("synchronous", "2"), ("journal_mode", "wal")] {
            let sql = format!("SELECT cast({pragma} AS text) FROM pragma_{pragma}");
            let ask = sqlx::query_scalar(sqlx::AssertSqlSafe(sql));
            let found: String = ask.fetch_one(&mut *connection).await.unwrap();
            assert_eq!(found, value, "{pragma}");
        }
        std::fs::remove_dir_all(folder).unwrap();
    }
}
