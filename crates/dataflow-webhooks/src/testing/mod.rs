//! Help for tests.

mod contract;
mod manual_clock;

pub use self::contract::StoreContract;
pub use self::manual_clock::ManualClock;
