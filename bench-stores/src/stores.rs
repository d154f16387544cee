//! The stores that are measured, and the servers behind them.

use std::sync::Arc;

use dataflow_webhooks::dedup::{BoxError, DedupStore, MemoryStore};
use dataflow_webhooks_redis::RedisStore;
use dataflow_webhooks_sqlx::{PostgresStore, SqliteStore};
use webhook_fleet_tests::kept::Folder;
use webhook_fleet_tests::postgres::Postgres;
use webhook_fleet_tests::redis::Redis;

/// The scope of all of them.
pub(crate) const SCOPE: &str = "orders";

/// The name of the file of SQLite.
pub(crate) const SQLITE_FILE: &str = "dedup.db";

/// One of the stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Memory,
    /// Its append-only file is synced each second.
    Redis,
    /// Its append-only file is synced before each answer.
    RedisAlways,
    Postgres,
    Sqlite,
}

impl Kind {
    pub(crate) const ALL: [Self; 5] =
        [Self::Memory, Self::Redis, Self::RedisAlways, Self::Postgres, Self::Sqlite];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Redis => "Redis",
            Self::RedisAlways => "Redis, always",
            Self::Postgres => "PostgreSQL",
            Self::Sqlite => "SQLite",
        }
    }
}

/// Servers of our own, set up as one would for records that are to last.
pub(crate) struct Servers {
    pub(crate) redis: Redis,
    pub(crate) redis_always: Redis,
    pub(crate) postgres: Postgres,
    /// Where the file of SQLite is, on the same disk as the others' data.
    pub(crate) folder: Folder,
}

impl Servers {
    pub(crate) fn start() -> Self {
        // Not in the middle of a round.
        let never_rewrite = ["--auto-aof-rewrite-percentage", "0"];
        let each_second = [&["--appendfsync", "everysec"], never_rewrite.as_slice()].concat();
        Self {
            redis: Redis::start(&each_second),
            redis_always: Redis::start(&never_rewrite),
            // As they are when nobody sets them.
            postgres: Postgres::start(&["fsync=on", "max_wal_size=1GB"]),
            folder: Folder::new("bench-stores"),
        }
    }
}

/// The stores, ready for use and empty.
pub(crate) struct Stores {
    pub(crate) memory: MemoryStore,
    pub(crate) redis: RedisStore,
    pub(crate) redis_always: RedisStore,
    pub(crate) postgres: PostgresStore,
    pub(crate) sqlite: SqliteStore,
}

impl Stores {
    pub(crate) async fn connect(servers: &Servers) -> Result<Self, BoxError> {
        let stores = Self {
            memory: MemoryStore::new(),
            redis: RedisStore::connect(&servers.redis.url(), SCOPE).await?,
            redis_always: RedisStore::connect(&servers.redis_always.url(), SCOPE).await?,
            postgres: PostgresStore::connect(&servers.postgres.url(), SCOPE).await?,
            sqlite: SqliteStore::open(servers.folder.path().join(SQLITE_FILE), SCOPE).await?,
        };
        stores.postgres.migrate().await?;
        stores.sqlite.migrate().await?;
        Ok(stores)
    }

    pub(crate) fn get(&self, kind: Kind) -> Arc<dyn DedupStore> {
        match kind {
            Kind::Memory => Arc::new(self.memory.clone()),
            Kind::Redis => Arc::new(self.redis.clone()),
            Kind::RedisAlways => Arc::new(self.redis_always.clone()),
            Kind::Postgres => Arc::new(self.postgres.clone()),
            Kind::Sqlite => Arc::new(self.sqlite.clone()),
        }
    }
}
