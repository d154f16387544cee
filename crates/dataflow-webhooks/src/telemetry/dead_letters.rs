//! What is seen of dead letters.

use std::fmt;

use super::{Telemetry, add};
use crate::dead_letters::DeadLetter;
use crate::event::shown::shown;

impl Telemetry {
    /// A sink has stored this delivery as a dead letter: the sender never sends it
    /// again, so somebody has to look.
    pub fn dead_lettered(&self, letter: &DeadLetter) {
        add(&self.dead_letters);
        self.meters.update(|series| series.dead_letters.increment(1));
        let (id, event_type) = (shown(letter.id()), shown(letter.event_type().as_str()));
        let (runs, reason) = (letter.runs(), letter.reason());
        log!(
            error,
            "{id} ({event_type}) is a dead letter now after {runs} runs: {reason}; it is in the \
             sink and the platform does not send it again: mend the handler and run it again"
        );
    }

    /// A sink has not stored a dead letter, or not in time.
    pub fn dead_letter_failed(&self, letter: &DeadLetter, error: &dyn fmt::Display) {
        add(&self.dead_letter_errors);
        self.meters.update(|series| series.dead_letter_errors.increment(1));
        let (id, event_type) = (shown(letter.id()), shown(letter.event_type().as_str()));
        let (runs, reason) = (letter.runs(), letter.reason());
        log!(
            error,
            "{id} ({event_type}) {reason} in run {runs}, and the sink did not take it as a dead \
             letter: {error}; it comes again: mend the sink before five failed attempts disable \
             the webhook"
        );
    }
}
