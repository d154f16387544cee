//! A database of either kind, as the rules see it.

use std::num::NonZeroU32;
use std::sync::LazyLock;
use std::time::Duration;

use dataflow_webhooks::dedup::{Claim, DedupStore, Terms};
use dataflow_webhooks::testing::ManualClock;
use dataflow_webhooks_sqlx::{Cleanup, CommitError, PostgresStore, SqlStoreError, SqliteStore};
use sqlx::{Database, Row as _, Transaction};
use webhook_fleet_tests::calls::{lapse, terms};
use webhook_fleet_tests::kept::Folder;
use webhook_fleet_tests::postgres::{Postgres, store, url};

/// A store on a database of its own, with a table for the handlers.
pub(crate) trait Place {
    type Store: DedupStore + Clone + 'static;
    type Database: Database;

    async fn new() -> Self;

    /// Its scope is `orders`.
    fn store(&self) -> &Self::Store;

    /// A store with a pool of its own on the same database, as another process has it.
    async fn other_store(&self, scope: &str) -> Self::Store;

    /// One on another database, without the table.
    async fn store_without_table(&self) -> Self::Store;

    fn with_scope(&self, scope: &str) -> Result<Self::Store, SqlStoreError>;

    /// Brings the time to where leases and retentions of 50 ms have lapsed.
    async fn lapse(&self);

    async fn count(&self, table: &str) -> i64;

    async fn delete_expired(store: &Self::Store, batch: NonZeroU32) -> u64;

    fn spawn_cleanup(&self, interval: Duration) -> Cleanup;

    /// What a handler does up to the end of its transaction: it adds an order.
    async fn handle(&self) -> Transaction<'static, Self::Database>;

    async fn commit_in(
        &self,
        tx: &mut Transaction<'static, Self::Database>,
        claim: &Claim,
        terms: Terms,
    ) -> Result<(), CommitError>;

    async fn orders(&self) -> i64 {
        self.count("orders").await
    }

    /// What a handler does, with the completion.
    async fn complete(&self, claim: &Claim) -> Transaction<'static, Self::Database> {
        let mut tx = self.handle().await;
        self.commit_in(&mut tx, claim, terms()).await.unwrap();
        tx
    }

    /// The completion is refused because the claim was lost.
    async fn expect_lease_lost(&self, claim: &Claim) {
        let mut tx = self.handle().await;
        let error = self.commit_in(&mut tx, claim, terms()).await.unwrap_err();
        assert!(error.is_lease_lost(), "{error:?}");
        tx.rollback().await.unwrap();
    }
}

const ORDERS: &str = "CREATE TABLE orders (id text NOT NULL)";
const ORDER: &str = "INSERT INTO orders VALUES ('order')";

fn count_of(table: &str) -> sqlx::AssertSqlSafe<String> {
    sqlx::AssertSqlSafe(format!("SELECT count(*) FROM {table}"))
}

static SERVER: LazyLock<Postgres> = LazyLock::new(|| Postgres::start(&[]));

/// On the server's own clock.
pub(crate) struct OnPostgres {
    pub(crate) store: PostgresStore,
}

impl Place for OnPostgres {
    type Store = PostgresStore;
    type Database = sqlx::Postgres;

    async fn new() -> Self {
        let store = SERVER.store().await;
        sqlx::query(ORDERS).execute(store.pool()).await.unwrap();
        Self { store }
    }

    fn store(&self) -> &PostgresStore {
        &self.store
    }

    async fn other_store(&self, scope: &str) -> PostgresStore {
        store(&url(&self.store), scope).await
    }

    async fn store_without_table(&self) -> PostgresStore {
        SERVER.store_without_table().await
    }

    fn with_scope(&self, scope: &str) -> Result<PostgresStore, SqlStoreError> {
        PostgresStore::new(self.store.pool().clone(), scope)
    }

    async fn lapse(&self) {
        lapse().await;
    }

    async fn count(&self, table: &str) -> i64 {
        sqlx::query(count_of(table)).fetch_one(self.store.pool()).await.unwrap().get(0)
    }

    async fn delete_expired(store: &PostgresStore, batch: NonZeroU32) -> u64 {
        store.delete_expired(batch).await.unwrap()
    }

    fn spawn_cleanup(&self, interval: Duration) -> Cleanup {
        self.store.spawn_cleanup(interval)
    }

    async fn handle(&self) -> Transaction<'static, sqlx::Postgres> {
        let mut tx = self.store.pool().begin().await.unwrap();
        sqlx::query(ORDER).execute(&mut *tx).await.unwrap();
        tx
    }

    async fn commit_in(
        &self,
        tx: &mut Transaction<'static, sqlx::Postgres>,
        claim: &Claim,
        terms: Terms,
    ) -> Result<(), CommitError> {
        self.store.commit_in(tx, claim, terms).await
    }
}

/// On a clock that is moved by hand.
pub(crate) struct OnSqlite {
    pub(crate) store: SqliteStore,
    clock: ManualClock,
    folder: Folder,
}

impl OnSqlite {
    async fn open(&self, file: &str, scope: &str) -> SqliteStore {
        let clock = self.clock.clone();
        let store = SqliteStore::open(self.folder.path().join(file), scope).await.unwrap();
        store.with_clock(move || clock.now())
    }
}

impl Place for OnSqlite {
    type Store = SqliteStore;
    type Database = sqlx::Sqlite;

    async fn new() -> Self {
        let (folder, clock) = (Folder::new("fleet-sqlite"), ManualClock::new());
        let read = clock.clone();
        let store = SqliteStore::open(folder.path().join("app.db"), "orders").await.unwrap();
        let store = store.with_clock(move || read.now());
        store.migrate().await.unwrap();
        sqlx::query(ORDERS).execute(store.pool()).await.unwrap();
        Self { store, clock, folder }
    }

    fn store(&self) -> &SqliteStore {
        &self.store
    }

    async fn other_store(&self, scope: &str) -> SqliteStore {
        self.open("app.db", scope).await
    }

    async fn store_without_table(&self) -> SqliteStore {
        self.open("other.db", "orders").await
    }

    fn with_scope(&self, scope: &str) -> Result<SqliteStore, SqlStoreError> {
        SqliteStore::new(self.store.pool().clone(), scope)
    }

    async fn lapse(&self) {
        self.clock.advance(Duration::from_millis(50));
    }

    async fn count(&self, table: &str) -> i64 {
        sqlx::query(count_of(table)).fetch_one(self.store.pool()).await.unwrap().get(0)
    }

    async fn delete_expired(store: &SqliteStore, batch: NonZeroU32) -> u64 {
        store.delete_expired(batch).await.unwrap()
    }

    fn spawn_cleanup(&self, interval: Duration) -> Cleanup {
        self.store.spawn_cleanup(interval)
    }

    async fn handle(&self) -> Transaction<'static, sqlx::Sqlite> {
        let mut tx = self.store.pool().begin_with("BEGIN IMMEDIATE").await.unwrap();
        sqlx::query(ORDER).execute(&mut *tx).await.unwrap();
        tx
    }

    async fn commit_in(
        &self,
        tx: &mut Transaction<'static, sqlx::Sqlite>,
        claim: &Claim,
        terms: Terms,
    ) -> Result<(), CommitError> {
        self.store.commit_in(tx, claim, terms).await
    }
}
