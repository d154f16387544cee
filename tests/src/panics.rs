//! The panics of this process, wherever they happen: most threads and tasks keep
//! theirs to themselves.

use std::sync::{Mutex, Once, PoisonError};

static PANICS: Mutex<Vec<String>> = Mutex::new(Vec::new());
static WATCHED: Once = Once::new();

/// Writes down from now on what panics in this process, and reports it as before.
pub fn watch_for_panics() {
    WATCHED.call_once(|| {
        let default = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            let thread = std::thread::current().name().unwrap_or("?").to_owned();
            PANICS
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(format!("{thread}: {panic}"));
            default(panic);
        }));
    });
}

/// The panics so far.
#[must_use]
pub fn panics() -> Vec<String> {
    PANICS.lock().unwrap_or_else(PoisonError::into_inner).clone()
}
