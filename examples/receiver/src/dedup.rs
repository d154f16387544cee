//! The dedup store that `DEDUP_URL` names.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use dataflow_webhooks::DedupStore;
use dataflow_webhooks_redis::RedisStore;
use dataflow_webhooks_sqlx::{
    Cleanup, PostgresStore, SqlStoreError, SqlStoreErrorKind, SqliteStore,
};
use tracing::{info, warn};

use crate::again::until_done;
use crate::failure::{Failure, in_full};
use crate::settings::text;

const URL: &str = "DEDUP_URL";
const SCOPE: &str = "DEDUP_SCOPE";
const DEFAULT_SCOPE: &str = "webhooks";

/// How often records past their retention are deleted. Redis does it by itself.
const CLEANUP: Duration = Duration::from_secs(10 * 60);

/// The store, ready to be used; `None` for the endpoint's own, in memory.
///
/// A server that is away does not keep the program from starting: deliveries are
/// answered 503 until it is there.
pub(crate) async fn store() -> Result<Option<Arc<dyn DedupStore>>, Failure> {
    let read = |name| text(name).map_err(Failure::in_configuration);
    let (url, scope) = (read(URL)?, read(SCOPE)?);
    let scope = scope.as_deref().unwrap_or(DEFAULT_SCOPE);
    let Some(url) = url.filter(|url| url != "memory:") else { return Ok(None) };
    let (scheme, rest) = url.split_once("://").unwrap_or_default();
    let store: Arc<dyn DedupStore> = match scheme {
        "postgres" | "postgresql" => {
            let store = PostgresStore::connect_lazy(&url, scope).map_err(wrong)?;
            tokio::spawn(keep(store.clone()));
            Arc::new(store)
        }
        "sqlite" => Arc::new(sqlite(rest, scope).await?),
        _ if scheme.starts_with("redis") => Arc::new(redis(&url, scope).await?),
        // Not a word of it: it may hold a password.
        _ => {
            return Err(Failure::in_configuration(format!(
                "{URL} must be memory: or begin with redis://, rediss://, redis+cluster://, \
                 redis+sentinel://, postgres:// or sqlite://"
            )));
        }
    };
    info!("events are remembered in {scheme}, scope {scope}");
    Ok(Some(store))
}

/// Connects at once where the server is there: what is to be said of it, such as that
/// it may evict records, is then in the log before the first delivery.
async fn redis(url: &str, scope: &str) -> Result<RedisStore, Failure> {
    let later = RedisStore::connect_lazy(url, scope).map_err(wrong)?;
    Ok(RedisStore::connect(url, scope).await.unwrap_or_else(|error| {
        let error = in_full(&error);
        warn!("{URL}: {error}; tried again with each delivery, which gets 503 until it is there");
        later
    }))
}

async fn sqlite(path: &str, scope: &str) -> Result<SqliteStore, Failure> {
    let opened = async {
        let store = SqliteStore::open(path, scope).await?;
        store.migrate().await?;
        Ok(store)
    };
    let store = opened.await.map_err(|error: SqlStoreError| match error.kind() {
        SqlStoreErrorKind::InvalidScope | SqlStoreErrorKind::InvalidUrl => wrong(error),
        _ => Failure::at_run_time(format!("{URL}: {path}: {}", in_full(&error))),
    })?;
    let cleanup = store.spawn_cleanup(CLEANUP);
    tokio::spawn(for_ever(cleanup));
    Ok(store)
}

/// Makes the table, when the database is there, and deletes what is past its
/// retention, for as long as the program runs.
async fn keep(store: PostgresStore) {
    until_done(URL, || store.migrate()).await;
    for_ever(store.spawn_cleanup(CLEANUP)).await;
}

/// Keeps a task alive for as long as the program runs.
async fn for_ever(_cleanup: Cleanup) {
    std::future::pending().await
}

fn wrong(error: impl Error) -> Failure {
    Failure::in_configuration(format!("{URL} or {SCOPE}: {}", in_full(&error)))
}
