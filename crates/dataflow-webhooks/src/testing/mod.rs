//! Help for tests: [`Sample`] makes an event of any type, [`Sample::sign`] and [`Signer`] sign
//! its body as the platform does, [`StoreContract`] holds a dedup store to its contract,
//! [`SinkContract`] a sink for dead letters, and [`ManualClock`] stands still until it is moved.

mod contract;
mod manual_clock;
mod samples;
mod signing;
mod sink_contract;

pub use contract::StoreContract;
pub use manual_clock::ManualClock;
pub use samples::Sample;
pub use signing::{SignedBody, Signer, sign_for};
pub use sink_contract::SinkContract;
