//! Which delivery becomes a dead letter: the decision. When it is stored is the
//! adapter's affair.

use std::sync::Arc;

use super::Endpoint;
use crate::dead_letters::{DeadLetter, DeadLetterSink};
use crate::delivery::Delivery;
use crate::telemetry::HandlerEnd;

/// Where dead letters go, and after how many runs.
pub(super) struct Office {
    pub(super) sink: Arc<dyn DeadLetterSink>,
    pub(super) after_runs: u32,
}

impl Endpoint {
    /// For adapters: the dead letter that this run's end asks for, and the sink to
    /// store it in. `None` for a run that has succeeded, that had no claim or was not
    /// the last one allowed, and without
    /// [dead letters](crate::EndpointBuilder::dead_letters).
    ///
    /// `status` is what the handler has answered, where it has. Only when the sink
    /// has stored the letter may the claim be committed, and the sender be answered
    /// as to [`Outcome::DeadLettered`](crate::Outcome::DeadLettered). A holder that
    /// has lost its claim stores nothing: the event is another one's by then.
    #[must_use]
    pub fn dead_letter_due(
        &self,
        delivery: &Delivery,
        end: HandlerEnd,
        status: Option<u16>,
    ) -> Option<(DeadLetter, &dyn DeadLetterSink)> {
        let office = self.shared.dead_letters.as_ref()?;
        let runs = delivery.epoch().filter(|epoch| *epoch >= office.after_runs.into())?;
        let reason = match (end, status) {
            (HandlerEnd::Succeeded, _) => return None,
            (HandlerEnd::Failed, Some(status)) => &*format!("answered {status}"),
            (HandlerEnd::Failed, None) => "failed",
            (HandlerEnd::Panicked, _) => "panicked",
            (HandlerEnd::CutOff, _) => "was cut off",
        };
        let letter = DeadLetter::new(delivery, runs, self.shared.clock.now(), reason);
        Some((letter, &*office.sink))
    }
}
