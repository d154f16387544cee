//! What is seen of answers: to whom, why not 200, and how often in a row.

use std::sync::atomic::Ordering::Relaxed;

use super::counts::position;
use super::{Telemetry, add};
use crate::answer::Outcome;
use crate::delivery::Delivery;
use crate::event::shown::shown;
use crate::explain::Explanation;
use crate::rejection::{Rejection, RejectionKind};

impl Telemetry {
    /// A request was refused before a claim.
    pub fn rejected(&self, rejection: &Rejection) {
        let kind = rejection.kind();
        if let Some(index) = position(RejectionKind::ALL, &kind) {
            add(&self.rejections[index]);
            self.meters.update(|series| series.rejections[index].increment(1));
        }
        use RejectionKind as K;
        match kind {
            // The platform retries these five times and then disables the
            // webhook: somebody has to look.
            K::NotAnEvent => {
                self.count_refused();
                log!(error, "answered 422: {rejection}");
            }
            // It logs its finding by itself.
            K::NoMatch => {}
            K::MethodNotAllowed => log!(debug, "answered 405: {rejection}"),
            _ => self.warn_rarely(rejection),
        }
    }

    /// A handler ended, a duplicate was recognised, or the time was up: the one
    /// answer to an authentic delivery. `is_200` is whether the sender counts it
    /// as success.
    pub fn answered(&self, delivery: &Delivery, outcome: Outcome, is_200: bool) {
        match position(Outcome::ALL, &outcome) {
            Some(index) => {
                add(&self.outcomes[index]);
                self.meters.update(|series| series.outcomes[index].increment(1));
            }
            // A rejection: `rejected` has counted and logged it.
            None => {
                self.count_refused();
                return;
            }
        }
        let (id, event_type) = (shown(delivery.id()), shown(delivery.event_type().as_str()));
        if is_200 {
            self.end_row();
            log!(debug, %outcome, "answered 200 to {id} ({event_type})");
        } else {
            let in_a_row = self.count_refused();
            // Anyone who has recorded a delivery can send it again while its event
            // is in flight.
            let may_log = outcome != Outcome::InFlight || self.quiet_in_flight.ask().is_some();
            if may_log {
                log!(
                    warn,
                    %outcome,
                    "{id} ({event_type}) was not answered 200: {outcome}; {in_a_row} in a row, \
                     five may disable the webhook"
                );
            }
        }
    }

    /// Explains a body that no key matched, at most once in [a period](super::quiet::Quiet::PERIOD)
    /// and up to 64 KiB, so that a flood of bad signatures stays cheap.
    pub(crate) fn no_match(&self, body_bytes: usize, explain: impl FnOnce() -> Explanation) {
        if !cfg!(feature = "tracing") {
            return;
        }
        match self.ask_quiet(RejectionKind::NoMatch) {
            None => {}
            Some(others) if body_bytes <= 64 * 1024 => {
                let explanation = explain().one_line();
                log!(warn, others, "answered 401: no signature matches. {explanation}");
            }
            Some(others) => log!(
                warn,
                others,
                "answered 401: no signature matches; the body has {body_bytes} bytes and is not \
                 taken apart"
            ),
        }
    }

    fn count_refused(&self) -> u64 {
        add(&self.authentic_refused);
        self.meters.update(|series| {
            series.refused.increment(1);
            series.refused_in_a_row.increment(1.0);
        });
        self.in_a_row.fetch_add(1, Relaxed) + 1
    }

    /// Takes the row off what the gauge shows: if it were set, two at once could
    /// set it in the wrong order, and it would stay wrong.
    pub(super) fn end_row(&self) {
        let row = self.in_a_row.swap(0, Relaxed);
        if row > 0 {
            self.meters.update(|series| series.refused_in_a_row.decrement(row as f64));
        }
    }

    /// May a line of this kind go out? How many were held back before it.
    pub(super) fn ask_quiet(&self, kind: RejectionKind) -> Option<u64> {
        position(RejectionKind::ALL, &kind).and_then(|index| self.quiet[index].ask())
    }

    fn warn_rarely(&self, rejection: &Rejection) {
        let status = rejection.status();
        match self.ask_quiet(rejection.kind()) {
            Some(others) => log!(warn, others, "answered {status}: {rejection}"),
            None => log!(debug, "answered {status}: {rejection}"),
        }
    }
}
