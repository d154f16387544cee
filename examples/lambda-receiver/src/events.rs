//! What is done with an event. Make this file your own.

use std::convert::Infallible;
use std::io::{self, Write as _};

use bytes::Bytes;
use dataflow_webhooks::{Delivery, EventPayload};
use dataflow_webhooks_tower::WebhookBody;
use http::{Request, Response, StatusCode};
use http_body_util::Empty;
use serde::Serialize;
use tracing::{error, info, warn};

/// Runs for verified deliveries only, and for each event until it succeeds.
///
/// It is called again after a failure, and after it was frozen: what it does
/// should do no harm twice.
pub(crate) async fn handle(
    request: Request<WebhookBody>,
) -> Result<Response<Empty<Bytes>>, Infallible> {
    let mut response = Response::new(Empty::new());
    let processed = match request.extensions().get::<Delivery>() {
        Some(delivery) => process(delivery),
        None => Err(io::Error::other("there is no WebhookLayer around this service")),
    };
    if let Err(error) = processed {
        error!("the event was not processed: {error}");
        *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    }
    Ok(response)
}

fn process(delivery: &Delivery) -> io::Result<()> {
    let event = delivery.event();
    match &event.payload {
        EventPayload::PipelineRunCompleted(run) => info!(run_id = run.run_id, "a run is complete"),
        EventPayload::PipelineRunFailed(run) => warn!(run_id = run.run_id, "a run has failed"),
        // Done as well: a retry would not change it.
        _ => info!(event_type = event.event_type.as_str(), "unhandled event type"),
    }
    print_line(delivery)
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

/// Writes the line and flushes it: what is still in a buffer when the process is
/// frozen may never come out. (Lambda always reads; elsewhere this could block.)
fn print_line(delivery: &Delivery) -> io::Result<()> {
    let mut line = serde_json::to_vec(&Processed {
        event_id: delivery.id(),
        r#type: delivery.event_type().as_str(),
        epoch: delivery.epoch(),
        key: delivery.key(),
    })?;
    line.push(b'\n');
    let mut stdout = io::stdout().lock();
    stdout.write_all(&line)?;
    stdout.flush()
}
