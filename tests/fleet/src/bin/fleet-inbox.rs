//! `examples/inbox` with a job that does what its event says (`data.job`): fails, panics,
//! takes its time, or kills its process. What it is told to do first, it does in its first
//! attempt only.

use std::time::Duration;

use dataflow_webhooks::BoxError;
use inbox::Job;
use serde::Deserialize;

/// What is in an event's `data` for this program.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Told {
    job: String,
    milliseconds: u64,
}

#[tokio::main]
async fn main() {
    inbox::run("fleet-inbox", std::env::args().skip(1), job).await
}

async fn job(job: Job) -> Result<(), BoxError> {
    let told: Told = job.event.data().unwrap_or_default();
    match &*told.job {
        "fails" => return Err("it was told to fail".into()),
        "fails first" if job.attempt == 1 => return Err("it was told to fail first".into()),
        "panics first" if job.attempt == 1 => panic!("it was told to panic"),
        "dies" => std::process::abort(),
        "is slow" => {
            receiver::print(&format!("began {}", job.event.id)).await?;
            tokio::time::sleep(Duration::from_millis(told.milliseconds)).await;
        }
        _ => {}
    }
    inbox::process(job).await
}
