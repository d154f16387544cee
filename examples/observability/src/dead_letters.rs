//! What becomes of an event that no run gets through, so that it does not get the whole
//! webhook disabled.

use dataflow_webhooks_axum::{DeadLetterFile, EndpointBuilder};
use receiver::{Failure, in_full};
use tracing::{info, warn};

/// The variable with the path of their file.
const FILE: &str = "DEAD_LETTER_FILE";

/// Three runs have failed 6 minutes after the event: the two attempts that the platform
/// has left by then are for a store, or for this process, that was away.
const AFTER_RUNS: u32 = 3;

/// Has the endpoint put aside what fails again and again, where there is a file for it.
pub(crate) fn put_aside(endpoint: EndpointBuilder) -> Result<EndpointBuilder, Failure> {
    let Some(path) = receiver::text(FILE).map_err(Failure::in_configuration)? else {
        return Ok(endpoint);
    };
    if path.is_empty() {
        let why = format!("{FILE} is empty; it must be the path of a file, or not be set");
        return Err(Failure::in_configuration(why));
    }
    let cannot = |error| Failure::at_run_time(format!("{FILE}: {}", in_full(&error)));
    let letters = DeadLetterFile::open(path).map_err(cannot)?;
    if letters.unreadable().count() > 0 {
        warn!("{}: {}", letters.path().display(), letters.unreadable());
    }
    info!("dead letters go into {} after {AFTER_RUNS} runs", letters.path().display());
    Ok(endpoint.dead_letters(letters, AFTER_RUNS))
}
