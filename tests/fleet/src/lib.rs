//! What the tests of the stores share: servers that they start themselves on free
//! loopback ports, and may kill.

pub mod calls;
pub mod kept;
pub mod postgres;
