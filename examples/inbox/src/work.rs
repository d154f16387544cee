//! One job out of any queue: its run, what comes of it, and the end of them all.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use dataflow_webhooks_axum::{BoxError, Event};
use receiver::{Failure, Stop, in_full};
use tokio_util::sync::CancellationToken;
use tokio_util::task::task_tracker::TaskTrackerToken;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};
use tracing::{error, info, warn};

use crate::cleaning;
use crate::job::Job;
use crate::queue::{Queue, REMEMBERED};
use crate::settings::Limits;

/// What is done for one event.
pub type Work =
    Arc<dyn Fn(Job) -> Pin<Box<dyn Future<Output = Result<(), BoxError>> + Send>> + Send + Sync>;

/// The pause before a queue that has failed is asked again.
const PAUSE: Duration = Duration::from_secs(1);

/// The longest reason that is kept with a job, in characters.
const LONGEST_REASON: usize = 1_000;

/// How long after a signal the queue may still answer what it was asked before: a job that it
/// gives out then is this worker's, and is lost for a lease when nobody takes it.
const LAST_ANSWER: Duration = Duration::from_millis(1_500);

/// How long the worker has for its own way out when its last job has ended.
const WAY_OUT: Duration = Duration::from_millis(200);

/// A function as [`Work`].
pub(crate) fn of<F>(work: impl Fn(Job) -> F + Send + Sync + 'static) -> Work
where
    F: Future<Output = Result<(), BoxError>> + Send + 'static,
{
    Arc::new(move |job| Box::pin(work(job)))
}

/// Runs jobs, whichever queue they come from.
#[derive(Clone)]
#[allow(missing_debug_implementations, reason = "it is a function and its limits")]
pub struct Worker {
    work: Work,
    limits: Limits,
    /// The jobs that were taken, and whose end the queue does not know yet.
    under_way: TaskTracker,
}

/// A job as it lies in a queue.
pub(crate) struct Queued {
    /// The event's key, for the log.
    pub(crate) key: String,
    pub(crate) body: Bytes,
    pub(crate) signed_with: String,
    /// This attempt included.
    pub(crate) attempt: u32,
}

/// What is to become of a job after a run.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum End {
    Done,
    /// It failed, and is to run again after this time.
    Again(Duration, String),
    /// It is kept for a person to look at.
    GivenUp(String),
}

impl Worker {
    /// A worker that does this for each event.
    #[must_use]
    pub fn new(work: Work, limits: Limits) -> Self {
        Self { work, limits, under_way: TaskTracker::new() }
    }

    pub(crate) fn limits(&self) -> Limits {
        self.limits
    }

    /// To be kept from when a job was taken until the queue knows its end, or never will.
    pub(crate) fn under_way(&self) -> TaskTrackerToken {
        self.under_way.token()
    }

    /// Runs a job once, if it has an attempt left.
    pub(crate) async fn run(&self, job: Queued) -> End {
        let Queued { key, body, signed_with, attempt } = job;
        let end = self.end_of(&body, signed_with, attempt).await;
        match &end {
            End::Done => {}
            End::Again(pause, why) => {
                warn!(key, attempt, "a job failed, and is tried again in {pause:?}: {why}");
            }
            End::GivenUp(why) => error!(key, attempt, "an event was given up on: {why}"),
        }
        end
    }

    async fn end_of(&self, body: &[u8], key: String, attempt: u32) -> End {
        let Limits { max_attempts, .. } = self.limits;
        if attempt > max_attempts {
            // It was not judged after its last run: the process did not live to see it.
            return End::GivenUp(format!(
                "{max_attempts} attempts were begun, and in the last one its worker died"
            ));
        }
        let event = match Event::from_trusted_json(body) {
            Ok(event) => event,
            // Not tried again: the same code would read the same bytes.
            Err(error) => return End::GivenUp(format!("not decoded: {}", in_full(&error))),
        };
        // A task of its own, for all that is the job's own: a panic ends the job, not the worker.
        let (work, job) = (Arc::clone(&self.work), Job { event, attempt, key });
        let run =
            tokio::spawn(async move { work(job).await.map_err(|error| reason(&in_full(&*error))) });
        let why = match run.await {
            Ok(Ok(())) => return End::Done,
            Ok(Err(why)) => why,
            Err(error) => reason(&in_full(&error)),
        };
        if attempt < max_attempts {
            End::Again(self.limits.pause_after(attempt), why)
        } else {
            End::GivenUp(why)
        }
    }
}

/// What a job died of, as every queue can keep it and a log can show it. It may be any text,
/// and quote the event: PostgreSQL's JSON refuses U+0000, so that nothing that was to be
/// written down with it would ever be; a header of NATS refuses a line break.
fn reason(why: &str) -> String {
    let mut kept = String::new();
    for char in why.chars().take(LONGEST_REASON) {
        if char.is_control() {
            kept.extend(char.escape_default());
        } else {
            kept.push(char);
        }
    }
    kept
}

/// Works until the program is told to stop, and then to the end of the jobs that run.
pub(crate) async fn until_stopped(
    queue: &Queue,
    worker: Worker,
    mut stop: Stop,
) -> Result<(), Failure> {
    let stopping = CancellationToken::new();
    let working = async {
        info!("working, {} jobs at once", worker.limits.workers);
        while !stopping.is_cancelled() {
            let Err(error) = queue.work(&worker, &stopping).await else { continue };
            warn!("the queue: {}; asked again in {PAUSE:?}", in_full(&*error));
            tokio::select! {
                () = tokio::time::sleep(PAUSE) => {}
                () = stopping.cancelled() => {}
            }
        }
    };
    let cleaned = queue.clone();
    let cleaning = cleaning::for_ever(move || {
        let queue = cleaned.clone();
        async move { queue.clean_up(REMEMBERED).await }
    });
    let _cleaning = AbortOnDropHandle::new(tokio::spawn(cleaning));
    tokio::pin!(working);
    tokio::select! {
        () = &mut working => return Ok(()),
        () = stop.requested() => {
            info!("waiting for the jobs that still run");
            stopping.cancel();
        }
    }
    tokio::select! {
        () = working => Ok(()),
        () = without_jobs(&worker) => {
            warn!("stopped without an answer of the queue; no job was under way");
            Ok(())
        }
        () = stop.requested() => {
            Err(Failure::at_run_time("stopped at once; jobs that were cut off run again"))
        }
    }
}

/// Waits until no job is under way, however long its queue does not answer.
async fn without_jobs(worker: &Worker) {
    tokio::time::sleep(LAST_ANSWER).await;
    worker.under_way.close();
    loop {
        worker.under_way.wait().await;
        tokio::time::sleep(WAY_OUT).await;
        // A late answer may have brought one.
        if worker.under_way.is_empty() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{Instant, sleep};

    use super::*;
    use crate::settings::Settings;

    #[tokio::test(start_paused = true)]
    async fn a_job_that_came_with_a_late_answer_is_waited_for() {
        let worker = Worker::new(of(async |_| Ok(())), Settings::of("sqlite://none").limits);
        let began = Instant::now();
        let late = async {
            sleep(LAST_ANSWER + WAY_OUT / 2).await;
            let under_way = worker.under_way();
            sleep(Duration::from_secs(60)).await;
            drop(under_way);
        };
        tokio::join!(without_jobs(&worker), late);
        assert_eq!(began.elapsed(), LAST_ANSWER + WAY_OUT / 2 + Duration::from_secs(60) + WAY_OUT);
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_job_nobody_waits_for_longer_than_2_s() {
        let worker = Worker::new(of(async |_| Ok(())), Settings::of("sqlite://none").limits);
        let began = Instant::now();
        without_jobs(&worker).await;
        assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    }
}
