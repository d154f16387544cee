//! How many bytes a record takes.

use std::fs;
use std::sync::Arc;

use dataflow_webhooks::dedup::{BoxError, DedupStore};
use sqlx::Row as _;
use webhook_fleet_tests::redis::Redis;
use webhook_tests::resident_of;

use crate::operations::{Keys, fill};
use crate::stores::{Kind, SCOPE, Servers, Stores};

/// Records in a store with a server, or a file, when it is looked at.
const RECORDS: u64 = 30_000;
const AT_ONCE: u64 = 32;

const CLAIM: &str = include_str!("../../crates/dataflow-webhooks-sqlx/src/sqlite/claim.sql");
const CHANGE: &str = include_str!("../../crates/dataflow-webhooks-sqlx/src/sqlite/change.sql");

/// Bytes for each record of an id of 32 characters, done. The stores are empty before, and
/// the one in memory is full afterwards.
pub(crate) async fn measure(
    kind: Kind,
    servers: &Servers,
    stores: &Stores,
    keys: &mut Keys,
) -> Result<f64, BoxError> {
    let store = stores.get(kind);
    match kind {
        Kind::Memory => {
            let records = stores.memory.capacity().get() as u64;
            let before = resident_of(std::process::id())?;
            fill(&store, keys, records, 1).await?;
            let after = resident_of(std::process::id())?;
            Ok(after.saturating_sub(before) as f64 / records as f64)
        }
        Kind::Redis => in_redis(&servers.redis, &store, keys).await,
        Kind::RedisAlways => in_redis(&servers.redis_always, &store, keys).await,
        Kind::Postgres => {
            fill(&store, keys, RECORDS, AT_ONCE).await?;
            let size = "SELECT pg_total_relation_size('dataflow_webhooks_dedup'), count(*) \
                        FROM dataflow_webhooks_dedup";
            let row = sqlx::query(size).fetch_one(stores.postgres.pool()).await?;
            let (bytes, records): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
            Ok(bytes as f64 / records as f64)
        }
        Kind::Sqlite => in_sqlite(servers, stores, keys).await,
    }
}

async fn in_redis(
    server: &Redis,
    store: &Arc<dyn DedupStore>,
    keys: &mut Keys,
) -> Result<f64, BoxError> {
    let used = || {
        let info = server.cli(&["INFO", "memory"]);
        // What is still to be written to the file is no part of a record.
        let of_file = number_in(&info, "mem_aof_buffer")?;
        number_in(&info, "used_memory").map(|used| used - of_file)
    };
    // Its scripts, connections and buffers are there before as well.
    fill(store, keys, AT_ONCE, AT_ONCE).await?;
    let before = used()?;
    fill(store, keys, RECORDS, AT_ONCE).await?;
    let records = RECORDS / AT_ONCE * AT_ONCE;
    Ok((used()? - before) / records as f64)
}

/// A number of `INFO`.
pub(crate) fn number_in(info: &str, name: &str) -> Result<f64, BoxError> {
    let lines = info.lines().filter_map(|line| line.trim().split_once(':'));
    let value = lines.filter(|(found, _)| *found == name).map(|(_, value)| value).next();
    Ok(value.ok_or(format!("INFO has no {name}"))?.parse()?)
}

/// With the store's own statements, but not each in a transaction of its own: that makes no
/// difference to the file, and waits for the disk a thousand times less.
async fn in_sqlite(servers: &Servers, stores: &Stores, keys: &mut Keys) -> Result<f64, BoxError> {
    let (now, lease, retention, done) = (1_700_000_000_000_i64, 30_000_i64, 86_400_000_i64, 2_i64);
    let mut tx = stores.sqlite.pool().begin_with("BEGIN IMMEDIATE").await?;
    for _ in 0..RECORDS {
        let id = keys.next_id();
        let claim = sqlx::query(CLAIM).bind(SCOPE).bind(&id).bind(now).bind(lease).bind(retention);
        claim.execute(&mut *tx).await?;
        let commit = sqlx::query(CHANGE).bind(SCOPE).bind(&id).bind(now).bind(1_i64);
        let commit = commit.bind(done).bind(lease).bind(retention);
        if commit.fetch_all(&mut *tx).await?.is_empty() {
            return Err("a commit has changed nothing".into());
        }
    }
    tx.commit().await?;
    sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").fetch_all(stores.sqlite.pool()).await?;
    let bytes = fs::metadata(servers.folder.path().join(crate::stores::SQLITE_FILE))?.len();
    Ok(bytes as f64 / RECORDS as f64)
}
