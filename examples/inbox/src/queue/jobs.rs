//! What the queues on apalis share: how a job is written, and how its worker is run.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use apalis::prelude::{
    AbortError, Attempt, Codec, MetadataStore, Task, TaskBuilder, TaskId, WorkerContext,
    WorkerError,
};
use bytes::Bytes;
use dataflow_webhooks_axum::BoxError;
use receiver::in_full;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::{Item, SIGNED_WITH};
use crate::work::{End, Queued, Worker};

/// How often a worker that has nothing to do looks for a job.
pub(super) const LOOK: Duration = Duration::from_millis(100);

/// Jobs are taken one by one: those of a batch would all count as begun when the process
/// dies, and not one of them could be run by another.
pub(super) const BATCH: usize = 1;

/// In how many signs of life a lease is cut.
pub(super) const HEARTBEATS: u32 = 4;

/// The worker decides how often a job is tried, not the row.
const ROW_NEVER_ENDS: usize = i32::MAX as usize;

/// The name in the row's metadata under which `retry` and `dead` find it; the row's own
/// idempotency key is not given to a worker.
const KEY: &str = "key";

/// One run of a job, and what apalis is to make of it.
pub(super) type Run = Pin<Box<dyn Future<Output = Result<(), BoxError>> + Send>>;

/// The bytes of an event as they are: apalis would write them as a list of numbers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Verbatim;

impl Codec<Vec<u8>> for Verbatim {
    type Error = Infallible;
    type Compact = Vec<u8>;

    fn encode(&self, bytes: &Vec<u8>) -> Result<Vec<u8>, Infallible> {
        Ok(bytes.clone())
    }

    fn decode(&self, bytes: &Vec<u8>) -> Result<Vec<u8>, Infallible> {
        Ok(bytes.clone())
    }
}

/// A row of the queue for this event.
pub(super) fn task(item: &Item) -> Task<Vec<u8>> {
    let metadata = [(SIGNED_WITH, &*item.signed_with), (KEY, item.key.as_str())];
    TaskBuilder::new(item.body.to_vec())
        .with_metadata(metadata.into_iter().collect())
        .idempotency_key(item.key.as_str())
        .max_attempts(ROW_NEVER_ENDS)
        .build()
}

/// A worker of its own name: apalis refuses one that seems to live already, which for a
/// while is so after each crash.
pub(super) fn worker_context() -> WorkerContext {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    WorkerContext::new(&format!("inbox-{}-{:x}", std::process::id(), since.as_nanos()))
}

/// The job of a worker. What it answers, apalis writes down: `Done`; `Failed`, which is
/// taken out again; or `Killed`, which is not. `postpone` writes into the row when it may
/// be taken out again: apalis keeps such a pause in the process, where a crash forgets it.
pub(super) fn job<F>(
    worker: &Worker,
    postpone: impl Fn(String, Duration) -> F + Send + Sync + 'static,
) -> impl Fn(Vec<u8>, TaskId, Attempt, MetadataStore) -> Run + Clone + Send + 'static
where
    F: Future<Output = sqlx::Result<()>> + Send,
{
    let (worker, postpone) = (worker.clone(), Arc::new(postpone));
    move |body, id, attempt, metadata| {
        let (worker, postpone) = (worker.clone(), Arc::clone(&postpone));
        Box::pin(async move {
            let text = |name| metadata.get(name).unwrap_or_default().to_owned();
            let end = worker.run(Queued {
                key: text(KEY),
                body: Bytes::from(body),
                signed_with: text(SIGNED_WITH),
                attempt: u32::try_from(attempt.current()).unwrap_or(u32::MAX),
            });
            match end.await {
                End::Done => Ok(()),
                End::GivenUp(why) => Err(AbortError::new(why).into()),
                End::Again(pause, why) => {
                    if let Err(error) = postpone(id.to_string(), pause).await {
                        warn!("a job is tried again without a pause: {}", in_full(&error));
                    }
                    Err(why.into())
                }
            }
        })
    }
}

/// What a job was given up for, out of what apalis has written down.
pub(super) fn reason(written: Option<String>) -> String {
    let written = written.unwrap_or_default();
    written.strip_prefix("AbortError: ").unwrap_or(&written).to_owned()
}

/// Runs a worker until `stopping`, and then to the end of its jobs.
pub(super) async fn until_stopped(
    context: &WorkerContext,
    run: impl Future<Output = Result<(), WorkerError>>,
    stopping: &CancellationToken,
) -> Result<(), BoxError> {
    tokio::pin!(run);
    tokio::select! {
        ended = &mut run => return Ok(ended?),
        () = stopping.cancelled() => {}
    }
    // An error here only says that it has not begun.
    if context.stop().is_err() {
        return Ok(());
    }
    Ok(run.await?)
}
