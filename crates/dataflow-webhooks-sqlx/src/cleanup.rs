//! Owns the task that deletes expired records now and then.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::AbortHandle;
use tokio::time::sleep;

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
                match records.delete_expired(BATCH).await {
                    Ok(0) => {}
                    Ok(deleted) => tracing::debug!(deleted, "expired dedup records were deleted"),
                    Err(error) => tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "expired dedup records could not be deleted; this is tried again"
                    ),
                }
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
