//! Owns the task that deletes expired records now and then.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use dataflow_webhooks::adapter::caught;
use tokio::task::AbortHandle;
use tokio::time::sleep;

use crate::error::SqlStoreError;
use crate::store::Records;

/// How many records the task deletes in one transaction.
const BATCH: NonZeroU32 = NonZeroU32::new(1_000).expect("it is not 0");
/// Below this the task would do nothing but look.
const SHORTEST_INTERVAL: Duration = Duration::from_secs(1);

/// A task that deletes expired records. It ends when this is dropped.
#[derive(Debug)]
#[must_use = "the task ends when this is dropped"]
pub struct Cleanup(AbortHandle);

impl Cleanup {
    /// Deletes at once, and again after each interval.
    pub(crate) fn spawn(interval: Duration, records: Arc<impl Records>) -> Self {
        let task = async move {
            loop {
                let deleted = records.delete_expired(BATCH).await;
                // A subscriber that panics costs the line, not the task.
                let _ = caught(|| log(&deleted));
                sleep(interval.max(SHORTEST_INTERVAL)).await;
            }
        };
        Self(tokio::spawn(task).abort_handle())
    }
}

impl Drop for Cleanup {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn log(deleted: &Result<u64, SqlStoreError>) {
    match deleted {
        Ok(0) => {}
        Ok(deleted) => tracing::debug!(deleted, "expired dedup records were deleted"),
        Err(error) => tracing::warn!(
            error = error as &dyn std::error::Error,
            "expired dedup records could not be deleted; this is tried again"
        ),
    }
}

#[cfg(all(test, feature = "sqlite"))]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use tokio::task::yield_now;
    use tracing::span::{Attributes, Id, Record};
    use tracing::{Event, Metadata, Subscriber};

    use super::*;
    use crate::SqliteStore;

    struct Panicking(Arc<AtomicU32>);

    impl Subscriber for Panicking {
        /// What sqlx says is its own affair.
        fn enabled(&self, metadata: &Metadata<'_>) -> bool {
            metadata.target().starts_with("dataflow_webhooks")
        }
        fn new_span(&self, _: &Attributes<'_>) -> Id {
            Id::from_u64(1)
        }
        fn record(&self, _: &Id, _: &Record<'_>) {}
        fn record_follows_from(&self, _: &Id, _: &Id) {}
        fn event(&self, _: &Event<'_>) {
            self.0.fetch_add(1, Ordering::Relaxed);
            panic!("a subscriber's panic, of the test");
        }
        fn enter(&self, _: &Id) {}
        fn exit(&self, _: &Id) {}
    }

    #[tokio::test]
    async fn a_subscriber_that_panics_does_not_end_the_task() {
        let events = Arc::new(AtomicU32::new(0));
        let _installed = tracing::subscriber::set_default(Panicking(Arc::clone(&events)));
        // Without its table.
        let pool = sqlx::SqlitePool::connect("sqlite::memory:").await.unwrap();
        let store = SqliteStore::new(pool, "orders").unwrap();
        let cleanup = store.spawn_cleanup(Duration::ZERO);
        while events.load(Ordering::Relaxed) == 0 {
            yield_now().await;
        }
        yield_now().await;
        assert!(!cleanup.0.is_finished());
    }
}
