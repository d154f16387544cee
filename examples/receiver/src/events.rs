//! What is done with an event: the platform's "Example Implementation", typed.

use std::io::{self, Write as _};

use dataflow_webhooks::event::{PipelineRunCompleted, PipelineRunFailed};
use dataflow_webhooks::{Delivery, Event, EventPayload};
use serde::Serialize;
use tracing::{error, info, warn};

/// Handles a verified delivery. Called for each event until it succeeds: what it
/// does should do no harm twice.
///
/// # Errors
///
/// The event is not processed, and the log says why: answer 500, and it comes
/// again.
pub async fn process(delivery: &Delivery) -> io::Result<()> {
    act_on(&delivery.event());
    print(&Processed {
        event_id: delivery.id(),
        r#type: delivery.event_type().as_str(),
        epoch: delivery.epoch(),
        key: delivery.key(),
    })
    .await
}

/// What an event is received for, wherever it comes from: the part of [`process`] to make
/// your own.
pub fn act_on(event: &Event) {
    match &event.payload {
        EventPayload::PipelineRunCompleted(run) => pipeline_completed(run),
        EventPayload::PipelineRunFailed(run) => pipeline_failed(run),
        // Done as well: a retry would not change it.
        // In the log it is escaped and cut (`?`): a sender can write anything there.
        _ => info!(event_type = ?event.event_type, "unhandled event type"),
    }
}

fn pipeline_completed(run: &PipelineRunCompleted) {
    info!(
        pipeline_id = run.pipeline_id,
        run_id = run.run_id,
        records = run.records_processed,
        seconds = run.duration_seconds,
        "a pipeline run is complete"
    );
}

fn pipeline_failed(run: &PipelineRunFailed) {
    warn!(
        pipeline_id = run.pipeline_id,
        run_id = run.run_id,
        error = run.error,
        "a pipeline run has failed"
    );
}

/// The line on stdout for an event that was processed.
#[derive(Serialize)]
struct Processed<'a> {
    event_id: &'a str,
    r#type: &'a str,
    /// Which run of the event this is: 1, and more after a failure.
    epoch: Option<u64>,
    /// The key it was signed with: `current`, `previous`, ….
    key: &'a str,
}

/// Writes a line of JSON to stdout and flushes it: when this is done, the line is out.
///
/// # Errors
///
/// It could not be written, and the log says why.
pub async fn print(line: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(line)?;
    line.push(b'\n');
    // A pipe that nobody reads from blocks: it must not block the runtime.
    let written = tokio::task::spawn_blocking(move || {
        let mut stdout = io::stdout().lock();
        stdout.write_all(&line)?;
        stdout.flush()
    });
    written
        .await?
        .inspect_err(|error| error!("the event's line could not be written to stdout: {error}"))
}
