//! A receiver on AWS Lambda. `README.md` says how it is set up, and what is
//! different there; `events.rs` is the file to make your own.

use std::env;
use std::io::{self, Write as _};

use dataflow_webhooks::{Endpoint, KeyRing, SourceAllowList};
use lambda_receiver::service;
use tracing::info;
use tracing_subscriber::EnvFilter;

/// The addresses that deliveries may come from, comma-separated; without it, all.
const SOURCES_VAR: &str = "ALLOWED_SOURCES";

// One thread: Lambda hands an instance one request at a time.
#[tokio::main(flavor = "current_thread")]
async fn main() {
    log_to_stderr();
    let endpoint = match endpoint() {
        Ok(endpoint) => endpoint,
        Err(message) => end(2, &message),
    };
    info!("waiting for requests");
    if let Err(error) = lambda_http::run(service(endpoint)).await {
        end(1, &error.to_string());
    }
}

fn endpoint() -> Result<Endpoint, String> {
    let keys = KeyRing::from_env().map_err(|error| error.to_string())?;
    // Here goes a store that all instances share: `.dedup(store)`. The one in
    // memory is each instance's own, and Lambda starts and ends those at will.
    let mut builder = Endpoint::builder(keys);
    if let Some(sources) = env::var_os(SOURCES_VAR) {
        let sources = sources.to_string_lossy().parse::<SourceAllowList>();
        builder = builder.source(sources.map_err(|error| format!("{SOURCES_VAR}: {error}"))?);
    }
    builder.build().map_err(|error| error.to_string())
}

fn log_to_stderr() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_writer(io::stderr)
        .with_ansi(false)
        .with_env_filter(filter)
        // Lambda adds the time.
        .without_time()
        .init();
}

fn end(exit_code: i32, message: &str) -> ! {
    let _ = writeln!(io::stderr(), "lambda-receiver: {message}");
    std::process::exit(exit_code);
}
