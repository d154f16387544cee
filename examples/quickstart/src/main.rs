//! Receives webhooks for the first time: starts a receiver on a loopback port,
//! sends it one delivery of every kind over TCP, and prints what came of each.
//!
//! `receiver.rs` is what you would write. This file holds the deliveries and
//! what must come of them; the program exits with 1 when anything else does.

mod receiver;
mod sender;
mod table;

use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use dataflow_webhooks::testing::Sample;
use dataflow_webhooks_axum::{Endpoint, KeyRing, Secret};
use tokio::net::TcpListener;
use tokio::time::timeout;

use crate::receiver::{Notebook, app};
use crate::sender::Delivery;
use crate::table::Table;

#[tokio::main]
async fn main() -> ExitCode {
    // It takes about a second; a receiver that hangs must not hang this too.
    let end = match timeout(Duration::from_secs(14), quickstart()).await {
        Ok(Ok(true)) => return ExitCode::SUCCESS,
        Ok(Ok(false)) => return ExitCode::FAILURE,
        Ok(Err(error)) => error.to_string(),
        Err(_) => "not done after 14 s".to_owned(),
    };
    eprintln!("quickstart: {end}");
    ExitCode::FAILURE
}

/// Whether every row is as it must be.
async fn quickstart() -> Result<bool, Box<dyn Error>> {
    // The platform made the new secret a moment ago: both are valid for a while.
    let new = Secret::new("whsec_1a2b3c4d5e6f7g8h9i0j")?;
    let old = Secret::new("whsec_9z8y7x6w5v4u3t2s1r0q")?;
    let keys = KeyRing::from_secrets([new.clone(), old.clone()])?;
    let endpoint = Endpoint::builder(keys).build()?;

    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    let notebook = Notebook::default();
    let app = app(endpoint, notebook.clone());
    tokio::spawn(async move { axum::serve(listener, app).await });

    let mut table = Table::begin(notebook.clone())?;
    for row in rows(&new, &old) {
        let before = notebook.runs(&row.id);
        let answered = send(address, &row.deliveries)
            .await
            .map_err(|error| format!("{}: {error}", row.sent))?;
        table.print(&row, &answered, notebook.runs(&row.id) - before)?;
    }
    Ok(table.end()?)
}

/// Sends the deliveries of one row, all at once.
async fn send(to: SocketAddr, deliveries: &[Delivery]) -> Result<Vec<u16>, Box<dyn Error>> {
    let sending: Vec<_> = deliveries
        .iter()
        .cloned()
        .map(|delivery| tokio::spawn(async move { delivery.send(to).await }))
        .collect();
    let mut answered = Vec::new();
    for answer in sending {
        answered.push(answer.await??);
    }
    Ok(answered)
}

/// One line of the table.
struct Row {
    sent: &'static str,
    /// The event that is delivered.
    id: String,
    deliveries: Vec<Delivery>,
    /// The status that each delivery must be answered with.
    answers: &'static [u16],
    /// How often the handler must run for the event.
    runs: usize,
}

fn rows(new: &Secret, old: &Secret) -> Vec<Row> {
    let signed = |event: &Sample| Delivery::signed(new, event);
    let any = || Sample::of("pipeline.run.started");
    let mut rows = Vec::new();
    let mut row = |sent, event: &Sample, deliveries, answers, runs| {
        rows.push(Row { sent, id: event.event().id, deliveries, answers, runs });
    };

    let first = Sample::of("pipeline.run.completed");
    row("pipeline.run.completed", &first, vec![signed(&first)], &[200], 1);
    let event = Sample::of("connection.status.changed");
    row("connection.status.changed", &event, vec![signed(&event)], &[200], 1);
    let event = Sample::of("quality.rule.failed");
    row("quality.rule.failed", &event, vec![signed(&event)], &[200], 1);
    let event = Sample::unknown("pipeline.run.cancelled");
    row("an event type not yet documented", &event, vec![signed(&event)], &[200], 1);
    let event = any();
    row("signed with the previous key", &event, vec![Delivery::signed(old, &event)], &[200], 1);

    let event = any();
    let mut delivery = signed(&event);
    delivery.body = event.clone().data("run_id", "run_other").body().to_vec();
    row("body changed after signing", &event, vec![delivery], &[401], 0);
    let event = any();
    row("signed 10 minutes ago", &event, vec![Delivery::signed_at(new, &event, -600)], &[401], 0);
    let event = any();
    row("signed 10 minutes ahead", &event, vec![Delivery::signed_at(new, &event, 600)], &[401], 0);
    let event = any();
    let delivery = Delivery { signature: None, ..signed(&event) };
    row("no signature header", &event, vec![delivery], &[401], 0);
    let event = any().data("padding", "x".repeat(1024 * 1024));
    row("a body of more than 1 MiB", &event, vec![signed(&event)], &[413], 0);

    row("the first event again", &first, vec![signed(&first)], &[200], 0);
    let event = any();
    let twice = vec![signed(&event), signed(&event)];
    row("one event, twice at once", &event, twice, &[200, 200], 1);
    // The receiver's handler fails when it first sees an event of this type.
    let event = Sample::of("pipeline.updated");
    row("pipeline.updated, handler fails", &event, vec![signed(&event)], &[500], 1);
    row("pipeline.updated, sent again", &event, vec![signed(&event)], &[200], 1);
    rows
}
