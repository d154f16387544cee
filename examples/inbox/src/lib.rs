//! Answer now, work later: a receiver that puts each event into a durable queue and
//! answers 200, and a worker that takes the events out, tries again with longer and longer
//! pauses, and keeps what it gives up on where a person finds it. `README.md` says what a
//! crash does at each point. To be copied together with `../receiver`.
//!
//! The program is [`run`] with the work of one event, [`process`]: the function to make
//! your own.

mod cleaning;
mod job;
mod person;
pub mod queue;
mod receive;
mod role;
mod settings;
mod work;

use std::time::Duration;

use dataflow_webhooks_axum::BoxError;
use receiver::{Failure, Receiver, Stop, http1};
use tracing::info;

pub use job::{Job, process};
pub use settings::{Limits, Settings};
pub use work::{Work, Worker};

use crate::queue::Queue;
use crate::role::Role;

/// A put is short: when its process dies, the event may be put again this much later.
const PUT_WITHIN: Duration = Duration::from_secs(5);

/// Runs the program from its first line of log to its exit code. What it does, the
/// arguments and its environment say; `work` is done for each event, by the worker.
///
/// `program` is the name in the one line that a failure prints.
pub async fn run<F>(
    program: &str,
    arguments: impl Iterator<Item = String>,
    work: impl Fn(Job) -> F + Send + Sync + 'static,
) -> !
where
    F: Future<Output = Result<(), BoxError>> + Send + 'static,
{
    receiver::log_to_stderr("info,async_nats=warn,apalis_core=warn,sqlx::postgres::notice=warn");
    let started = async { start(Role::from_arguments(arguments)?, work::of(work)).await };
    receiver::end(program, started.await)
}

async fn start(role: Role, work: Work) -> Result<(), Failure> {
    let settings = Settings::from_env()?;
    let (receives, works) = match role {
        Role::Both => (true, true),
        Role::Receiver => (true, false),
        Role::Worker => (false, true),
        Role::Dead => return person::list(&settings).await,
        Role::Retry(id) => return person::retry(&settings, &id).await,
    };
    // Both hear each signal: the worker takes nothing more while the receiver still answers.
    let stop = Stop::listen().map_err(Failure::at_run_time)?;
    let endpoint = receives.then(receiver::endpoint_builder).transpose()?;
    let queue = if receives {
        Queue::open(&settings).await?
    } else {
        Queue::open_as_worker(&settings).await?
    };
    let receiving = async {
        let Some(endpoint) = endpoint else { return Ok(()) };
        let mut endpoint = endpoint.lease(PUT_WITHIN);
        if let Some(store) = queue.dedup() {
            endpoint = endpoint.dedup(store);
        }
        let endpoint = endpoint.build().map_err(Failure::in_configuration)?;
        let receiver = Receiver::listen(endpoint.clone()).await?;
        http1::serve(receiver, receive::app(endpoint, queue.clone())).await
    };
    let working = async {
        if !works {
            return Ok(());
        }
        work::until_stopped(&queue, Worker::new(work, settings.limits), stop).await
    };
    tokio::try_join!(receiving, working)?;
    info!("stopped");
    Ok(())
}
