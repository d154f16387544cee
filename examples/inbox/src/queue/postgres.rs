//! The queue in PostgreSQL: apalis, with a dedup store beside it.

use std::time::Duration;

use apalis_core::task::Task;
use apalis_core::worker::context::WorkerContext;
use apalis_postgres::{Config, PostgresStorage, queries};
use dataflow_webhooks_axum::BoxError;
use dataflow_webhooks_sqlx::PostgresStore;
use futures_util::Stream;
use receiver::{Failure, in_full, until_done};
use sqlx::postgres::{PgPoolOptions, PgRow};
use sqlx::{Acquire as _, Connection as _, PgConnection, PgPool, Row as _};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::jobs::{self, Ended};
use super::letters::{self, Letters, Place};
use super::{BATCH, Completing, Dead, Item, no_queue};
use crate::settings::{Settings, URL, wrong_url};
use crate::work::Worker;

/// How long the worker and a person wait for a server that is away, until they say so.
const ACQUIRE: Duration = Duration::from_secs(5);

/// What PostgreSQL says to a key that is there already.
const UNIQUE_VIOLATION: &str = "23505";

const REGISTER: &str = "\
    INSERT INTO apalis.workers (id, worker_type, storage_name) VALUES ($1, $2, 'PgStorage')";

const POSTPONE: &str = "\
    UPDATE apalis.jobs SET run_at = now() + make_interval(secs => $3) \
    WHERE id = $1 AND lock_by = $2";

const IS_QUEUE: &str = "SELECT to_regclass('apalis.jobs') IS NOT NULL";

const DEAD_AFTER: &str = "\
    SELECT * FROM ( \
        SELECT coalesce((extract(epoch FROM done_at) * 1000000)::bigint, 0) AS at, id \
        FROM apalis.jobs WHERE job_type = $1 AND status = 'Killed' \
    ) dead WHERE (at, id) > ($2, $3) ORDER BY at, id LIMIT $4";

const DEAD: &str = "\
    SELECT idempotency_key, job, attempts, last_result ->> 'Err' FROM apalis.jobs \
    WHERE id = $1 AND status = 'Killed'";

const RETRY: &str = "\
    UPDATE apalis.jobs SET status = 'Pending', attempts = 0, run_at = now(), \
    lock_by = NULL, lock_at = NULL, done_at = NULL \
    WHERE job_type = $1 AND idempotency_key = $2 AND status = 'Killed'";

const DELETE_DONE: &str = "\
    DELETE FROM apalis.jobs WHERE job_type = $1 AND status = 'Done' \
    AND done_at <= now() - make_interval(secs => $2)";

const DELETE_WORKERS: &str = "\
    DELETE FROM apalis.workers WHERE worker_type = $1 \
    AND last_seen <= now() - make_interval(secs => $2) \
    AND id NOT IN (SELECT lock_by FROM apalis.jobs WHERE lock_by IS NOT NULL)";

/// The queue in PostgreSQL.
#[derive(Debug, Clone)]
pub struct Queue {
    /// The receiver's side.
    store: PostgresStore,
    /// The worker's and a person's.
    pool: PgPool,
    name: String,
    /// When it is cancelled, the tables are there.
    has_tables: CancellationToken,
}

impl Queue {
    pub(super) fn open(settings: &Settings) -> Result<Self, Failure> {
        let this = Self::new(settings)?;
        let making = this.clone();
        tokio::spawn(async move {
            until_done(URL, || making.make_tables()).await;
            making.has_tables.cancel();
        });
        Ok(this)
    }

    pub(super) async fn open_as_person(settings: &Settings) -> Result<Self, Failure> {
        let this = Self::new(settings)?;
        let options = this.pool.connect_options();
        let asked = async {
            // Not of the pool, which tries again and never says why it cannot connect.
            let mut connection = PgConnection::connect_with(&options).await?;
            sqlx::query_scalar::<_, bool>(IS_QUEUE).fetch_one(&mut connection).await
        };
        match timeout(ACQUIRE, asked).await {
            Ok(Ok(true)) => Ok(this),
            Ok(Ok(false)) => {
                let database = options.get_database().unwrap_or(options.get_username());
                let (host, port) = (options.get_host(), options.get_port());
                Err(no_queue(format_args!(
                    "the database {database} at {host}:{port} has no table apalis.jobs"
                )))
            }
            Ok(Err(error)) => Err(Failure::at_run_time(format!("{URL}: {}", in_full(&error)))),
            Err(_) => Err(Failure::at_run_time(format!("{URL}: no answer within {ACQUIRE:?}"))),
        }
    }

    fn new(settings: &Settings) -> Result<Self, Failure> {
        let store = PostgresStore::connect_lazy(&settings.url, &settings.name)
            .map_err(|error| wrong_url(in_full(&error)))?;
        let options = store.pool().connect_options().as_ref().clone();
        let pool = PgPoolOptions::new()
            .max_connections(4)
            .acquire_timeout(ACQUIRE)
            .connect_lazy_with(options);
        let has_tables = CancellationToken::new();
        Ok(Self { store, pool, name: settings.name.clone(), has_tables })
    }

    async fn make_tables(&self) -> Result<(), BoxError> {
        PostgresStorage::setup(&self.pool).await?;
        // Last: without its table, no event is claimed.
        Ok(self.store.migrate().await?)
    }

    pub(super) fn store(&self) -> &PostgresStore {
        &self.store
    }

    pub(super) async fn put(
        &self,
        item: &Item,
        completing: Option<Completing<'_>>,
    ) -> Result<(), BoxError> {
        let mut tx = self.store.pool().begin().await?;
        // apalis fails at a key that is there already, and a failed statement ends a
        // transaction: so it has one of its own inside of this one.
        let mut putting = tx.begin().await?;
        match queries::push_tasks(&mut *putting, &self.name, vec![jobs::task(item)]).await {
            Ok(()) => putting.commit().await?,
            Err(apalis_postgres::Error::Database(error)) if is_there_already(&error) => {
                putting.rollback().await?;
            }
            Err(error) => return Err(error.into()),
        }
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
        tokio::select! {
            () = self.has_tables.cancelled() => {}
            () = stopping.cancelled() => return Ok(()),
        }
        jobs::work(self, worker, stopping).await
    }

    pub(super) fn dead(&self) -> impl Stream<Item = Result<Dead, BoxError>> {
        letters::all(self)
    }

    pub(super) async fn retry(&self, keys: &[&str]) -> Result<bool, BoxError> {
        for key in keys {
            let retry = sqlx::query(RETRY).bind(&self.name).bind(key);
            if retry.execute(&self.pool).await?.rows_affected() > 0 {
                return Ok(true);
            }
        }
        Ok(false)
    }

    pub(super) async fn clean_up(&self, older_than: Duration) -> Result<(), BoxError> {
        for delete in [DELETE_DONE, DELETE_WORKERS] {
            let delete = sqlx::query(delete).bind(&self.name).bind(older_than.as_secs_f64());
            delete.execute(&self.pool).await?;
        }
        self.store.delete_expired(BATCH).await?;
        Ok(())
    }
}

impl jobs::Rows for Queue {
    async fn register(&self, worker: &WorkerContext) -> Result<(), BoxError> {
        let register = sqlx::query(REGISTER).bind(worker.name()).bind(&self.name);
        register.execute(&self.pool).await?;
        Ok(())
    }

    async fn live(&self, worker: &WorkerContext, lease: Duration) -> Result<(), BoxError> {
        let mut tx = self.pool.begin().await?;
        queries::keep_alive(&mut *tx, &self.name, worker).await?;
        queries::reenqueue_orphaned(&mut *tx, &self.name, lease.as_secs()).await?;
        Ok(tx.commit().await?)
    }

    async fn take(
        &self,
        worker: &WorkerContext,
        most: usize,
    ) -> Result<Vec<Task<Vec<u8>>>, BoxError> {
        let mut tx = self.pool.begin().await?;
        let config = Config::default().queue(&self.name).batch_size(most);
        let taken = queries::fetch_next(&mut *tx, &config, worker).await?;
        tx.commit().await?;
        Ok(taken)
    }

    async fn settle(&self, worker: &WorkerContext, ended: &[Ended]) -> Result<(), BoxError> {
        let mut tx = self.pool.begin().await?;
        let results: Vec<_> = ended.iter().map(|ended| &ended.result).collect();
        queries::handle_results(&mut *tx, &results, worker.name()).await?;
        for (id, pause) in jobs::postponed(ended) {
            let postpone = sqlx::query(POSTPONE).bind(id).bind(worker.name());
            postpone.bind(pause.as_secs_f64()).execute(&mut *tx).await?;
        }
        Ok(tx.commit().await?)
    }
}

impl Letters for Queue {
    async fn after(&self, place: &Place) -> Result<Vec<Place>, BoxError> {
        let after = sqlx::query(DEAD_AFTER).bind(&self.name).bind(place.at).bind(&place.id);
        let rows = after.bind(letters::PAGE).fetch_all(&self.pool).await?;
        let place = |row: PgRow| Ok(Place { at: row.try_get(0)?, id: row.try_get(1)? });
        rows.into_iter().map(place).collect()
    }

    async fn letter(&self, id: &str) -> Result<Option<Dead>, BoxError> {
        let row = sqlx::query(DEAD).bind(id).fetch_optional(&self.pool).await?;
        let dead = |row: PgRow| {
            Ok(Dead {
                key: row.try_get(0)?,
                body: row.try_get::<Vec<u8>, _>(1)?.into(),
                attempts: u32::try_from(row.try_get::<i32, _>(2)?)?,
                error: row.try_get::<Option<_>, _>(3)?.unwrap_or_default(),
            })
        };
        row.map(dead).transpose()
    }
}

fn is_there_already(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    code.as_deref() == Some(UNIQUE_VIOLATION)
}
