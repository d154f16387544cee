//! A panic of somebody else's code, caught.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Does one thing, and gives `None` when that panics.
///
/// For code of the application's that must cost no more than what it was to do: a
/// handler, a store, whoever listens to logs and metrics. What it had in its hands must
/// not be used any more after a panic, for it may be half-way.
pub fn caught<T>(step: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(step)).map_err(discard).ok()
}

/// Drops what a panic carried, which may panic in its turn.
fn discard(panic: Box<dyn Any + Send>) {
    if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(panic))) {
        std::mem::forget(again);
    }
}
