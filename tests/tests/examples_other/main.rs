//! The programs under `examples/` that are not like the others, started as a user
//! starts them: Rocket with the core alone, and AWS Lambda.
#![cfg(unix)]

mod lambda_events;
mod lambda_program;
mod lambda_service;
mod rocket_answers;
mod rocket_configuration;
mod rocket_runs;

use std::process::Command;

use webhook_tests::Example;

/// `rocket-receiver` with the secret of the tests and a free port.
fn rocket() -> Command {
    Example::with_secret("rocket-receiver")
}
