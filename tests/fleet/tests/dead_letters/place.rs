//! A database of either kind, as the rules see it.

use std::path::PathBuf;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};

use dataflow_webhooks::dead_letters::DeadLetters;
use dataflow_webhooks::dedup::DedupStore;
use dataflow_webhooks_sqlx::{
    PostgresDeadLetters, PostgresStore, SqlStoreError, SqliteDeadLetters, SqliteStore,
};
use sqlx::AssertSqlSafe;
use webhook_fleet_tests::kept::Folder;
use webhook_fleet_tests::postgres::{Postgres, store, url};

/// A scope of its own, in a database with the tables.
pub(crate) trait Place: Sized {
    type Store: DedupStore + Clone + 'static;
    type Sink: DeadLetters + 'static;

    /// The statements of the schema's first version.
    const VERSION_1: &str;

    async fn new() -> Self;

    /// In a database of its own, which is empty.
    async fn without_tables() -> Self;

    /// In a database of its own.
    async fn alone() -> Self {
        let place = Self::without_tables().await;
        place.migrate().await;
        place
    }

    async fn migrate(&self);

    fn scope(&self) -> &str;

    fn store(&self) -> &Self::Store;

    /// That of the store.
    fn sink(&self) -> Self::Sink;

    /// One with a pool of its own on the same database, as another process has it.
    async fn other_sink(&self, scope: &str) -> Result<Self::Sink, SqlStoreError>;

    async fn sql(&self, sql: &str);
}

pub(crate) static SERVER: LazyLock<Postgres> = LazyLock::new(|| Postgres::start(&[]));

pub(crate) struct OnPostgres {
    pub(crate) store: PostgresStore,
    scope: String,
}

impl Place for OnPostgres {
    type Store = PostgresStore;
    type Sink = PostgresDeadLetters;

    const VERSION_1: &str = include_str!(
        "../../../../crates/dataflow-webhooks-sqlx/migrations/postgres/0001_dedup.sql"
    );

    async fn new() -> Self {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let scope = format!("orders-{}", MADE.fetch_add(1, Ordering::Relaxed));
        let place = Self { store: store(&SERVER.url(), &scope).await, scope };
        place.migrate().await;
        place
    }

    async fn without_tables() -> Self {
        Self { store: SERVER.store_without_table().await, scope: "orders".to_owned() }
    }

    async fn migrate(&self) {
        self.store.migrate().await.unwrap();
    }

    fn scope(&self) -> &str {
        &self.scope
    }

    fn store(&self) -> &PostgresStore {
        &self.store
    }

    fn sink(&self) -> PostgresDeadLetters {
        self.store.dead_letters()
    }

    async fn other_sink(&self, scope: &str) -> Result<PostgresDeadLetters, SqlStoreError> {
        let pool = sqlx::PgPool::connect(&url(&self.store)).await.unwrap();
        PostgresDeadLetters::new(pool, scope)
    }

    async fn sql(&self, sql: &str) {
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(self.store.pool()).await.unwrap();
    }
}

pub(crate) struct OnSqlite {
    pub(crate) store: SqliteStore,
    folder: Folder,
}

impl OnSqlite {
    pub(crate) fn file(&self) -> PathBuf {
        self.folder.path().join("app.db")
    }
}

impl Place for OnSqlite {
    type Store = SqliteStore;
    type Sink = SqliteDeadLetters;

    const VERSION_1: &str =
        include_str!("../../../../crates/dataflow-webhooks-sqlx/migrations/sqlite/0001_dedup.sql");

    async fn new() -> Self {
        Self::alone().await
    }

    async fn without_tables() -> Self {
        // A loaded machine may take longer for the disk than a call may.
        let folder = Folder::in_memory("fleet-sqlite");
        let store = SqliteStore::open(folder.path().join("app.db"), "orders").await.unwrap();
        Self { store, folder }
    }

    async fn migrate(&self) {
        self.store.migrate().await.unwrap();
    }

    fn scope(&self) -> &'static str {
        "orders"
    }

    fn store(&self) -> &SqliteStore {
        &self.store
    }

    fn sink(&self) -> SqliteDeadLetters {
        self.store.dead_letters()
    }

    async fn other_sink(&self, scope: &str) -> Result<SqliteDeadLetters, SqlStoreError> {
        let options = SqliteStore::options(self.file());
        SqliteDeadLetters::new(sqlx::SqlitePool::connect_with(options).await.unwrap(), scope)
    }

    async fn sql(&self, sql: &str) {
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(self.store.pool()).await.unwrap();
    }
}
