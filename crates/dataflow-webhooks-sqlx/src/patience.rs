//! Owns how long a call may take.

use std::time::Duration;

use tokio::time::timeout;

use crate::error::SqlStoreError;

/// The longest that a call of a store takes, all its statements together. The road gives it 2 s.
const CALL: Duration = Duration::from_millis(1_500);

/// A call, ended when its time is over.
pub(crate) async fn in_time<T>(
    call: impl Future<Output = Result<T, SqlStoreError>>,
) -> Result<T, SqlStoreError> {
    within(CALL, call).await
}

pub(crate) async fn within<T>(
    time: Duration,
    call: impl Future<Output = Result<T, SqlStoreError>>,
) -> Result<T, SqlStoreError> {
    timeout(time, call).await.unwrap_or_else(|_elapsed| Err(SqlStoreError::timed_out(time)))
}
