//! A complete receiver of the platform's webhooks, to be copied. `README.md`
//! says how to run it; `events.rs` is the file to make your own.

mod events;
mod serve;
mod signals;

use std::env;
use std::io::{self, IsTerminal as _, Write as _};
use std::net::SocketAddr;

use axum::Router;
use axum::routing::{get, post};
use dataflow_webhooks_axum::{Endpoint, KeyRing, SECRET_FILE_VAR, SECRET_VAR, WebhookLayer};
use tokio::net::TcpListener;
use tracing::{error, info};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use crate::signals::{HangUp, Stop};

#[tokio::main]
async fn main() {
    log_to_stderr();
    let code = match run().await {
        Ok(()) => 0,
        Err(failure) => {
            // Not `eprintln!`, which panics when nobody reads stderr any more.
            let _ = writeln!(io::stderr(), "axum-receiver: {}", failure.message);
            failure.exit_code
        }
    };
    // Not a return, which would wait for a line that stdout does not take.
    std::process::exit(code);
}

async fn run() -> Result<(), Failure> {
    let endpoint = Endpoint::from_env().map_err(Failure::in_configuration)?;
    let bind = bind_address().map_err(Failure::in_configuration)?;

    // Before anybody can know that the program runs, and signal it.
    let mut stop = Stop::listen().map_err(Failure::at_run_time)?;
    let hang_up = HangUp::listen().map_err(Failure::at_run_time)?;
    tokio::spawn(rotate_keys(hang_up, endpoint.keys().clone()));

    let cannot = |error| Failure::at_run_time(format!("cannot listen on {bind}: {error}"));
    let listener = TcpListener::bind(bind).await.map_err(cannot)?;
    info!("listening on {}", listener.local_addr().map_err(cannot)?);

    serve::until(stop.requested(), listener, app(&endpoint)).await;

    // Handlers run on when their sender has hung up or was told to come again.
    info!("no longer listening; waiting for the handlers that still run");
    tokio::select! {
        () = endpoint.drain() => {}
        () = stop.requested() => {
            let left = endpoint.counts().running;
            return Err(Failure::at_run_time(format!("stopped at once, {left} handlers cut off")));
        }
    }
    info!("stopped");
    Ok(())
}

fn app(endpoint: &Endpoint) -> Router {
    // On the route, so that 404 and 405 stay what they are.
    let webhook = post(events::receive).route_layer(WebhookLayer::new(endpoint.clone()));
    Router::new().route("/webhooks/dataflow", webhook).route("/healthz", get(async || "ok\n"))
}

fn bind_address() -> Result<SocketAddr, String> {
    let Some(bind) = env::var_os("BIND") else { return Ok(([127, 0, 0, 1], 3000).into()) };
    bind.to_str().and_then(|text| text.parse().ok()).ok_or_else(|| {
        format!("BIND is {bind:?}; it must be an address and a port, such as 127.0.0.1:3000")
    })
}

/// Reads the secret file again at each SIGHUP: both secrets go into it, newest
/// first, and 8 hours later only the new one.
async fn rotate_keys(mut hang_up: HangUp, keys: KeyRing) {
    loop {
        hang_up.received().await;
        if env::var_os(SECRET_FILE_VAR).is_none() {
            info!("SIGHUP: there is nothing to read again, the secret came from {SECRET_VAR}");
            continue;
        }
        match KeyRing::from_env() {
            Ok(new) => {
                keys.replace_with(&new);
                info!(keys = ?keys.labels(), "SIGHUP: the secret file was read again");
            }
            Err(error) => error!("SIGHUP: the old keys stay in force: {error}"),
        }
    }
}

fn log_to_stderr() {
    let no_colour = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    // RUST_LOG decides; without it, `info`.
    let filter =
        EnvFilter::builder().with_default_directive(LevelFilter::INFO.into()).from_env_lossy();
    tracing_subscriber::fmt()
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal() && !no_colour)
        .with_env_filter(filter)
        // It would complain on stderr, and panic when nobody reads that.
        .log_internal_errors(false)
        .init();
}

/// Why the program ends, in one line.
struct Failure {
    exit_code: i32,
    message: String,
}

impl Failure {
    fn in_configuration(error: impl ToString) -> Self {
        Self { exit_code: 2, message: error.to_string() }
    }

    fn at_run_time(error: impl ToString) -> Self {
        Self { exit_code: 1, message: error.to_string() }
    }
}
