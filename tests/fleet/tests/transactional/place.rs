//! A database that the program runs on, seen from beside it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dataflow_webhooks::dedup::DedupStore;
use dataflow_webhooks_sqlx::{PostgresStore, SqliteStore};
use sqlx::{PgPool, Row as _, SqlitePool};
use tokio::time::sleep;
use webhook_fleet_tests::kept::Folder;
use webhook_fleet_tests::postgres::Postgres;
use webhook_tests::Example;

use crate::{PROGRAM, SCOPE};

/// Runs and records of each pipeline.
pub(crate) type Totals = BTreeMap<String, (i64, i64)>;

/// A database of either kind, seen from beside the program.
pub(crate) enum Place {
    Postgres(Box<Postgres>, PgPool),
    Sqlite(Folder, SqlitePool),
}

impl Place {
    pub(crate) fn postgres() -> Self {
        let server = Postgres::start(&[]);
        let pool = PgPool::connect_lazy(&server.url()).unwrap();
        Self::Postgres(Box::new(server), pool)
    }

    pub(crate) fn sqlite() -> Self {
        let folder = Folder::in_memory("fleet-totals");
        let options = SqliteStore::options(folder.path().join("totals.db"));
        Self::Sqlite(folder, SqlitePool::connect_lazy_with(options))
    }

    /// What `DATABASE_URL` says.
    pub(crate) fn url(&self) -> String {
        match self {
            Self::Postgres(server, _) => server.url(),
            Self::Sqlite(folder, _) => {
                format!("sqlite://{}", folder.path().join("totals.db").display())
            }
        }
    }

    /// The store that the program's endpoint has.
    pub(crate) fn store(&self) -> Arc<dyn DedupStore> {
        match self {
            Self::Postgres(_, pool) => Arc::new(PostgresStore::new(pool.clone(), SCOPE).unwrap()),
            Self::Sqlite(_, pool) => Arc::new(SqliteStore::new(pool.clone(), SCOPE).unwrap()),
        }
    }

    pub(crate) async fn execute(&self, sql: &'static str) {
        match self {
            Self::Postgres(_, pool) => drop(sqlx::raw_sql(sql).execute(pool).await.unwrap()),
            Self::Sqlite(_, pool) => drop(sqlx::raw_sql(sql).execute(pool).await.unwrap()),
        }
    }

    /// One number, when the tables are there.
    pub(crate) async fn number(&self, sql: &'static str) -> Option<i64> {
        match self {
            Self::Postgres(_, pool) => sqlx::query_scalar(sql).fetch_one(pool).await.ok(),
            Self::Sqlite(_, pool) => sqlx::query_scalar(sql).fetch_one(pool).await.ok(),
        }
    }

    pub(crate) async fn totals(&self) -> Totals {
        let sql = "SELECT pipeline_id, runs, records FROM pipeline_totals";
        macro_rules! read {
            ($pool:expr) => {{
                let rows = sqlx::query(sql).fetch_all($pool).await.unwrap();
                rows.iter().map(|row| (row.get(0), (row.get(1), row.get(2)))).collect()
            }};
        }
        match self {
            Self::Postgres(_, pool) => read!(pool),
            Self::Sqlite(_, pool) => read!(pool),
        }
    }

    /// The program on this database; its tables are there.
    pub(crate) async fn start(&self, stdout: Stdio) -> (Example, SocketAddr) {
        let mut command = Example::with_secret(PROGRAM);
        let mut program =
            Example::start_with_stdout(command.env("DATABASE_URL", self.url()), stdout);
        let address = program.address().await;
        self.until_it_is(1, "SELECT count(*) + 1 FROM dataflow_webhooks_dedup").await;
        (program, address)
    }

    /// Waits until the answer to this question is at least so much.
    pub(crate) async fn until_it_is(&self, least: i64, sql: &'static str) {
        let patience = Instant::now() + Duration::from_secs(60);
        while self.number(sql).await.is_none_or(|number| number < least) {
            assert!(Instant::now() < patience, "{sql} is not {least}");
            sleep(Duration::from_millis(5)).await;
        }
    }
}
