//! What is done with an event. Make this file your own.

use std::io::{self, Write as _};

use dataflow_webhooks::{Delivery, EventPayload};
use serde::Serialize;
use tracing::{error, info, warn};

/// Handles an event. An error says that it is not done, and lets it come again:
/// what this does should do no harm twice.
pub(crate) async fn handle(delivery: &Delivery) -> io::Result<()> {
    let event = delivery.event();
    match &event.payload {
        EventPayload::PipelineRunCompleted(run) => info!(run_id = run.run_id, "a run is complete"),
        EventPayload::PipelineRunFailed(run) => warn!(run_id = run.run_id, "a run has failed"),
        // Done as well: a retry would not change it.
        _ => info!(event_type = event.event_type.as_str(), "unhandled event type"),
    }
    let printed = print_line(delivery).await;
    if let Err(error) = &printed {
        error!("the event's line could not be written to stdout: {error}");
    }
    printed
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

/// Writes the line and flushes it: when the sender has its 200, the line is out.
async fn print_line(delivery: &Delivery) -> io::Result<()> {
    let mut line = serde_json::to_vec(&Processed {
        event_id: delivery.id(),
        r#type: delivery.event_type().as_str(),
        epoch: delivery.epoch(),
        key: delivery.key(),
    })?;
    line.push(b'\n');
    // A pipe that nobody reads from blocks: it must not block the runtime.
    tokio::task::spawn_blocking(move || {
        let mut stdout = io::stdout().lock();
        stdout.write_all(&line)?;
        stdout.flush()
    })
    .await?
}
