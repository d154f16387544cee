//! The log on stderr.

use std::env;
use std::io::{self, IsTerminal as _};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

pub(crate) fn to_stderr() {
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
