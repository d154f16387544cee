//! Help for tests: [`Sample`] makes an event of any type, [`Sample::sign`] and [`Signer`] sign
//! its body as the platform does, [`StoreContract`] holds a dedup store to its contract, and
//! [`ManualClock`] stands still until it is moved.

mod contract;
mod manual_clock;
mod samples;
mod signing;

pub use contract::StoreContract;
pub use manual_clock::ManualClock;
pub use samples::Sample;
pub use signing::{SignedBody, Signer, sign_for};
