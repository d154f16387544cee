//! The log on stderr.

use std::env;
use std::io::{self, IsTerminal as _};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

/// What is never logged: async-nats writes its server's credentials there, at level trace.
const NEVER: &str = "async_nats::connection=off";

/// Sends the log to stderr, without colours where that is no terminal or `NO_COLOR`
/// is set. `RUST_LOG` says what is logged; where it does not, `filter` does, which is
/// written alike.
pub fn log_to_stderr(filter: &str) {
    let no_colour = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let told = env::var(EnvFilter::DEFAULT_ENV).ok().filter(|told| !told.trim().is_empty());
    let filter = format!("{},{NEVER}", told.as_deref().unwrap_or(filter));
    let filter =
        EnvFilter::builder().with_default_directive(LevelFilter::INFO.into()).parse_lossy(filter);
    tracing_subscriber::fmt()
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal() && !no_colour)
        .with_env_filter(filter)
        // It would complain on stderr, and panic when nobody reads that.
        .log_internal_errors(false)
        .init();
}
