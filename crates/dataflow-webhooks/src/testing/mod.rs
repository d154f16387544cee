//! Help for tests.

pub mod samples;

pub use samples::Sample;
