//! What the queues on apalis share: how a job is written, and the worker's loop.
//!
//! The tables and the statements are apalis's own, so that its tools read this queue. Its
//! `Worker` is not used: it keeps the pause before another attempt in the process, where a
//! crash forgets it; loses what becomes of its jobs when the database is away for a moment;
//! and sends no sign of life while it waits for its last jobs.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use apalis_core::backend::TaskResult;
use apalis_core::task::Task;
use apalis_core::task::builder::TaskBuilder;
use apalis_core::task::status::Status;
use apalis_core::worker::context::WorkerContext;
use bytes::Bytes;
use dataflow_webhooks_axum::BoxError;
use receiver::in_full;
use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::{Interval, MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::task_tracker::TaskTrackerToken;
use tracing::warn;

use super::{Item, SIGNED_WITH};
use crate::work::{End, Queued, Worker};

/// How often a worker that has nothing to do looks for a job.
const LOOK: Duration = Duration::from_millis(100);

/// How long it takes until a queue that was not told what became of a job is told again.
const TELL_AGAIN: Duration = Duration::from_secs(1);

/// In how many signs of life a lease is cut.
const HEARTBEATS: u32 = 4;

/// The worker decides how often a job is tried, not the row.
const ROW_NEVER_ENDS: usize = i32::MAX as usize;

/// The name under which a job tells its worker the event's key.
const KEY: &str = "key";

/// The queue's tables, as a worker uses them. Each call is one transaction.
pub(super) trait Rows {
    /// Makes the worker known.
    async fn register(&self, worker: &WorkerContext) -> Result<(), BoxError>;

    /// A sign of life; and what a worker had taken that gives none is there to be taken.
    async fn live(&self, worker: &WorkerContext, lease: Duration) -> Result<(), BoxError>;

    /// Takes so many jobs at most.
    async fn take(
        &self,
        worker: &WorkerContext,
        most: usize,
    ) -> Result<Vec<Task<Vec<u8>>>, BoxError>;

    /// Writes down what became of them, if they are this worker's still.
    async fn settle(&self, worker: &WorkerContext, ended: &[Ended]) -> Result<(), BoxError>;
}

/// What became of a job, in the form in which apalis writes it down: `Done`; `Failed`, which
/// is taken again; or `Killed`, which is not.
pub(super) struct Ended {
    pub(super) result: TaskResult<Value>,
    /// When it may be taken again.
    pub(super) pause: Option<Duration>,
    /// Until it is written down.
    _under_way: TaskTrackerToken,
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
fn worker_context() -> WorkerContext {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    WorkerContext::new(&format!("inbox-{}-{:x}", std::process::id(), since.as_nanos()))
}

/// Works until `stopping`, and then to the end of the jobs that run. When the database
/// fails meanwhile the jobs run on, and it is told what became of them when it is back, after
/// `stopping` too.
///
/// # Errors
///
/// The worker could not make itself known, or is known no longer.
pub(super) async fn work(
    rows: &impl Rows,
    worker: &Worker,
    stopping: &CancellationToken,
) -> Result<(), BoxError> {
    let (limits, context) = (worker.limits(), worker_context());
    rows.register(&context).await?;
    let (mut beats, mut looks) = (ticks(limits.lease / HEARTBEATS), ticks(LOOK));
    let mut running = JoinSet::new();
    let mut ended = Vec::new();
    loop {
        let free = limits.workers.saturating_sub(running.len());
        tokio::select! {
            // In this order: a busy worker gives signs of life as well.
            biased;
            _ = beats.tick() => match rows.live(&context, limits.lease).await {
                Ok(()) => {}
                Err(error) if running.is_empty() && ended.is_empty() => return Err(error),
                Err(error) => warn!("the queue: no sign of life given: {}", in_full(&*error)),
            },
            Some(end) = running.join_next() => {
                ended.push(end?);
                while let Some(end) = running.try_join_next() {
                    ended.push(end?);
                }
            }
            () = stopping.cancelled(), if running.is_empty() && ended.is_empty() => return Ok(()),
            () = sleep(TELL_AGAIN), if !ended.is_empty() => {}
            // Until the queue was told of the last ones, nothing more is taken.
            _ = looks.tick(), if free > 0 && ended.is_empty() && !stopping.is_cancelled() => {
                // As many as can run: what is taken counts as begun.
                match rows.take(&context, free).await {
                    Ok(taken) => {
                        if taken.len() == free {
                            looks.reset_immediately();
                        }
                        for task in taken {
                            running.spawn(run(worker.clone(), task, worker.under_way()));
                        }
                    }
                    Err(error) => warn!("the queue: no job taken: {}", in_full(&*error)),
                }
            }
        }
        if ended.is_empty() {
            continue;
        }
        match rows.settle(&context, &ended).await {
            Ok(()) => ended.clear(),
            Err(error) => warn!("the queue: not told what became of a job: {}", in_full(&*error)),
        }
    }
}

fn ticks(period: Duration) -> Interval {
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

async fn run(worker: Worker, task: Task<Vec<u8>>, under_way: TaskTrackerToken) -> Ended {
    let (body, context) = task.take();
    let text = |name| context.metadata().get(name).unwrap_or_default().to_owned();
    let attempt = context.attempt().saturating_add(1);
    let end = worker.run(Queued {
        key: text(KEY),
        body: Bytes::from(body),
        signed_with: text(SIGNED_WITH),
        attempt: u32::try_from(attempt).unwrap_or(u32::MAX),
    });
    let (status, result, pause) = match end.await {
        End::Done => (Status::Done, Ok(Value::Null), None),
        End::Again(pause, why) => (Status::Failed, Err(why), Some(pause)),
        End::GivenUp(why) => (Status::Killed, Err(why), None),
    };
    // Every row has an id.
    let task_id = context.task_id().cloned().unwrap_or_else(|| String::new().into());
    let result = TaskResult { task_id, attempt, status, result };
    Ended { result, pause, _under_way: under_way }
}

/// The ids of those that are to be taken again, and when.
pub(super) fn postponed(ended: &[Ended]) -> impl Iterator<Item = (String, Duration)> {
    ended
        .iter()
        .filter_map(|Ended { result, pause, .. }| Some((result.task_id.to_string(), (*pause)?)))
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};

    use dataflow_webhooks_axum::dedup::DedupKey;
    use tokio::time::Instant;

    use super::*;
    use crate::settings::Settings;
    use crate::work::of;

    /// A database with one job, that is away for whoever wants to write something down.
    struct Away {
        until: Instant,
        job: Cell<Option<Task<Vec<u8>>>>,
        told: RefCell<Vec<(Instant, Status)>>,
    }

    impl Rows for Away {
        async fn register(&self, _: &WorkerContext) -> Result<(), BoxError> {
            Ok(())
        }

        async fn live(&self, _: &WorkerContext, _: Duration) -> Result<(), BoxError> {
            Ok(())
        }

        async fn take(&self, _: &WorkerContext, _: usize) -> Result<Vec<Task<Vec<u8>>>, BoxError> {
            Ok(self.job.take().into_iter().collect())
        }

        async fn settle(&self, _: &WorkerContext, ended: &[Ended]) -> Result<(), BoxError> {
            if Instant::now() < self.until {
                return Err("the database is away".into());
            }
            let told = ended.iter().map(|ended| (Instant::now(), ended.result.status.clone()));
            self.told.borrow_mut().extend(told);
            Ok(())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_queue_that_is_away_at_the_end_is_told_what_became_of_a_job_as_soon_as_it_is_back() {
        let stopping = CancellationToken::new();
        let stop = stopping.clone();
        let work = of(move |_| {
            stop.cancel();
            async { Ok(()) }
        });
        // Not when a sign of life is due, which would do as well.
        let until = Instant::now() + Duration::from_secs(61);
        let item = Item {
            key: DedupKey::from_event_id("evt_1"),
            body: Bytes::from_static(br#"{"id":"evt_1","type":"pipeline.created"}"#),
            signed_with: "current".to_owned(),
        };
        let rows = Away { until, job: Cell::new(Some(task(&item))), told: RefCell::default() };
        let worker = Worker::new(work, Settings::of("sqlite://none").limits);
        super::work(&rows, &worker, &stopping).await.unwrap();
        let told = rows.told.into_inner();
        assert_eq!(told.len(), 1);
        let (at, status) = &told[0];
        assert_eq!(*status, Status::Done);
        assert!(*at < until + Duration::from_secs(2), "{:?} late", *at - until);
    }
}
