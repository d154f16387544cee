//! What the tests of the stores share: servers that they start themselves on free
//! loopback ports, and may kill; a proxy that breaks connections; histories of what
//! happened, and their checker.

pub mod awake;
pub mod away;
pub mod calls;
pub mod faults;
pub mod fleet;
pub mod gone;
pub mod history;
pub mod kept;
pub mod killed;
pub mod nats;
pub mod platform;
pub mod postgres;
pub mod proxy;
pub mod recording;
pub mod redis;
pub mod report;
pub mod trial;
