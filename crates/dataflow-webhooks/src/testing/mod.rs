//! Help for tests.

mod contract;
mod manual_clock;
mod samples;
mod signing;

pub use contract::StoreContract;
pub use manual_clock::ManualClock;
pub use samples::Sample;
pub use signing::{SignedBody, Signer, sign_for};
