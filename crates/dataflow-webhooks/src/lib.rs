//! Verify, deduplicate and decode the signed webhooks of DataFlow Platform.

pub mod dedup;
mod envelope;
pub mod event;
#[cfg(feature = "testing")]
pub mod testing;
