//! What the tests of the stores share: servers that they start themselves on free
//! loopback ports, and may kill; histories of what happened, and their checker.

pub mod history;
