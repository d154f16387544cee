//! What the fuzzer runs: one function for each target, which panics when a rule is broken.
//!
//! `fuzz/fuzz_targets` hands them the fuzzer's input; the tests of this package replay
//! `fuzz/corpus` on stable.
//!
//! `header` and `event` take their input as it is. `check` and `chunks` take a text of the
//! form that [`case::Case`] describes, in which placeholders stand for valid signatures, so that
//! mutated inputs are accepted often.

pub mod case;
mod event;
pub mod naive;
mod verification;

pub use event::event;
pub use verification::{check, chunks, header};

/// A target: its name, which is that of its corpus, and its function.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: [Target; 4] =
    [("header", header), ("check", check), ("chunks", chunks), ("event", event)];
