//! The secret file, read again while the program runs.

use std::env;

use dataflow_webhooks::{KeyRing, SECRET_FILE_VAR, SECRET_VAR};
use tracing::{error, info};

use crate::failure::Failure;
use crate::signals::HangUp;

/// Reads the secret file again at each SIGHUP: both secrets go into it, newest
/// first, and 8 hours later only the new one.
pub(crate) fn read_again_on_hang_up(keys: KeyRing) -> Result<(), Failure> {
    let hang_up = HangUp::listen().map_err(Failure::at_run_time)?;
    tokio::spawn(rotate(hang_up, keys));
    Ok(())
}

async fn rotate(mut hang_up: HangUp, keys: KeyRing) {
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
