//! What the example receivers share: all that is not their framework's.
//!
//! A receiver is [`run`] with a function that serves until it is told to stop.
//! `events.rs` is the file to make your own; `README.md` is the contract of the
//! programs: variables, signals, output, exit codes.

mod again;
#[cfg(feature = "stores")]
mod dedup;
mod events;
mod failure;
#[cfg(feature = "http1")]
pub mod http1;
mod keys;
mod log;
mod settings;
mod signals;

use std::net::SocketAddr;

use dataflow_webhooks::Endpoint;
use tokio::net::TcpListener;
use tracing::info;

pub use again::until_done;
pub use events::{act_on, print, process};
pub use failure::{Failure, end, in_full};
pub use log::log_to_stderr;
pub use settings::{
    Settings, address, endpoint, endpoint_builder, endpoint_builder_with_store, text,
};
pub use signals::Stop;

/// Where the platform delivers to.
pub const PATH: &str = "/webhooks/dataflow";

/// A receiver that is configured and listens.
#[derive(Debug)]
#[non_exhaustive]
pub struct Receiver {
    /// What its deliveries are verified and claimed by.
    pub endpoint: Endpoint,
    /// Where its connections arrive.
    pub listener: TcpListener,
    /// Says when it is to stop.
    pub stop: Stop,
}

/// Runs a program from its first line of log to its exit code. `serve` accepts
/// connections until [`Stop::requested`], and then waits as [`Stop::drain`] does.
///
/// `program` is the name in the one line that a failure prints.
pub async fn run<F>(program: &str, serve: impl FnOnce(Receiver) -> F) -> !
where
    F: Future<Output = Result<(), Failure>>,
{
    log_to_stderr("info");
    end(program, start(serve).await)
}

async fn start<F>(serve: impl FnOnce(Receiver) -> F) -> Result<(), Failure>
where
    F: Future<Output = Result<(), Failure>>,
{
    let Settings { endpoint, bind } = Settings::from_env().await?;
    serve(Receiver::listen_on(bind, endpoint).await?).await?;
    info!("stopped");
    Ok(())
}

impl Receiver {
    /// Listens to connections where `BIND` says, and to the signals: for a program
    /// that makes its endpoint itself, of [`endpoint_builder`], and goes from
    /// [`log_to_stderr`] to [`end`] without [`run`].
    ///
    /// # Errors
    ///
    /// `BIND` is wrong (exit code 2), or it cannot listen (1).
    pub async fn listen(endpoint: Endpoint) -> Result<Self, Failure> {
        Self::listen_on(settings::bind()?, endpoint).await
    }

    async fn listen_on(bind: SocketAddr, endpoint: Endpoint) -> Result<Self, Failure> {
        // Before anybody can know that the program runs, and signal it.
        let stop = Stop::listen().map_err(Failure::at_run_time)?;
        keys::read_again_on_hang_up(endpoint.keys().clone())?;

        let cannot = |error| Failure::at_run_time(format!("cannot listen on {bind}: {error}"));
        let listener = TcpListener::bind(bind).await.map_err(cannot)?;
        info!("listening on {}", listener.local_addr().map_err(cannot)?);
        Ok(Self { endpoint, listener, stop })
    }
}
