//! What a person does with the events that were given up on.

use dataflow_webhooks_axum::dedup::DedupKey;
use dataflow_webhooks_axum::{BoxError, Event};
use futures_util::TryStreamExt as _;
use receiver::{Failure, in_full};
use serde::Serialize;
use tracing::info;

use crate::queue::{Dead, Queue};
use crate::settings::Settings;

/// The line on stdout for an event that was given up on.
#[derive(Serialize)]
struct Line<'a> {
    /// What `retry` takes.
    event_id: &'a str,
    /// `null` when it cannot be decoded.
    r#type: Option<&'a str>,
    attempts: u32,
    error: &'a str,
}

/// Prints a line for each of them, as it comes.
pub(crate) async fn list(settings: &Settings) -> Result<(), Failure> {
    let queue = Queue::open_as_person(settings).await?;
    let mut dead = queue.dead();
    while let Some(Dead { key, body, attempts, error }) = dead.try_next().await.map_err(cannot)? {
        let event = Event::from_trusted_json(&body).ok();
        let event_id = event.as_ref().map_or(&*key, |event| &event.id);
        let r#type = event.as_ref().map(|event| event.event_type.as_str());
        let line = Line { event_id, r#type, attempts, error: &error };
        receiver::print(&line).await.map_err(Failure::at_run_time)?;
    }
    Ok(())
}

/// Has one of them run again, with all its attempts before it.
pub(crate) async fn retry(settings: &Settings, id: &str) -> Result<(), Failure> {
    let queue = Queue::open_as_person(settings).await?;
    // One that could not be decoded is listed by its key.
    if queue.retry(&[DedupKey::from_event_id(id).as_str(), id]).await.map_err(cannot)? {
        info!("it is in the queue again");
        return Ok(());
    }
    Err(Failure::at_run_time(format!("no event {id:?} was given up on")))
}

fn cannot(error: BoxError) -> Failure {
    Failure::at_run_time(format!("the queue: {}", in_full(&*error)))
}
