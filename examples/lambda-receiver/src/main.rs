//! A receiver on AWS Lambda. `README.md` says how it is set up, and what is
//! different there; what is done with an event is `../receiver`'s `events.rs`.

use std::io;

use lambda_receiver::service;
use receiver::Failure;
use tracing::info;
use tracing_subscriber::EnvFilter;

// One thread: Lambda hands an instance one request at a time.
#[tokio::main(flavor = "current_thread")]
async fn main() {
    log_to_stderr();
    receiver::end(env!("CARGO_PKG_NAME"), run().await)
}

async fn run() -> Result<(), Failure> {
    let endpoint = receiver::endpoint()?;
    info!("waiting for requests");
    lambda_http::run(service(endpoint)).await.map_err(Failure::at_run_time)
}

/// Not as the other receivers log: Lambda adds the time, and shows no colours.
fn log_to_stderr() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_writer(io::stderr)
        .with_ansi(false)
        .with_env_filter(filter)
        .without_time()
        // It would complain on stderr, and panic when nobody reads that.
        .log_internal_errors(false)
        .init();
}
