//! One run of one event.

use dataflow_webhooks_axum::{BoxError, Event};
use serde::Serialize;

/// One run of one event, out of the queue.
#[derive(Debug)]
#[non_exhaustive]
pub struct Job {
    /// The event, decoded now: what could not be decoded has stayed in the queue.
    pub event: Event,
    /// Which attempt this is, from 1 on. One that a crash has ended counts.
    pub attempt: u32,
    /// The key that the event was signed with: `current`, `previous`, ….
    pub key: String,
}

/// The line on stdout for an event that was processed.
#[derive(Serialize)]
struct Processed<'a> {
    event_id: &'a str,
    r#type: &'a str,
    attempt: u32,
    key: &'a str,
}

/// Does with an event what the receivers do with theirs, and prints its line. Runs at least
/// once for each event: what it does should do no harm twice.
///
/// # Errors
///
/// The event is not processed, and is tried again.
pub async fn process(job: Job) -> Result<(), BoxError> {
    let Job { event, attempt, key } = &job;
    receiver::act_on(event);
    let r#type = event.event_type.as_str();
    receiver::print(&Processed { event_id: &event.id, r#type, attempt: *attempt, key }).await?;
    Ok(())
}
