//! Help for tests.

mod contract;
mod manual_clock;
mod samples;

pub use contract::StoreContract;
pub use manual_clock::ManualClock;
pub use samples::Sample;
