//! Waiting for a database that is away.

use std::time::Duration;

use dataflow_webhooks::BoxError;
use tokio::time::sleep;
use tracing::warn;

use crate::failure::in_full;

/// The pause before the next try: doubled each time, from the first to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// Takes a step again and again until it succeeds: how a program starts while its
/// database is away. `variable` names the database in the log.
pub async fn until_done<F, E>(variable: &str, mut step: impl FnMut() -> F)
where
    F: Future<Output = Result<(), E>>,
    E: Into<BoxError>,
{
    let mut pause = FIRST_PAUSE;
    while let Err(error) = step().await {
        let error = in_full(&*error.into());
        warn!("{variable}: {error}; tried again in {pause:?}, deliveries get 503");
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}
