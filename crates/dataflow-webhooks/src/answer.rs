//! The answer table: what the sender is told, and what becomes of the claim.
//!
//! The platform counts 200 as success and nothing else ("How Webhooks Work"),
//! retries one minute after a failure and hangs up after 5 seconds ("Error
//! Handling", "Endpoint Requirements"). This module is the one place that turns
//! an end into an answer; adapters only convert types.

use std::fmt;

use crate::rejection::{Rejection, RejectionKind};

/// A fixed answer: status, headers, body. No HTTP types, so that any framework
/// can be served from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    status: u16,
    headers: &'static [(&'static str, &'static str)],
    body: &'static str,
}

const RETRY_AFTER: &[(&str, &str)] = &[("retry-after", "60")];
const AUTHENTICATE: &[(&str, &str)] = &[("www-authenticate", "DataFlow-Signature")];
const ALLOW: &[(&str, &str)] = &[("allow", "POST")];

impl Answer {
    const fn new(
        status: u16,
        headers: &'static [(&'static str, &'static str)],
        body: &'static str,
    ) -> Self {
        Self { status, headers, body }
    }

    const fn try_again() -> Self {
        Self::new(503, RETRY_AFTER, "try again later\n")
    }

    const fn to_rejection(kind: RejectionKind) -> Self {
        use RejectionKind as K;
        match kind {
            K::MethodNotAllowed => Self::new(405, ALLOW, "only POST is accepted here\n"),
            K::SourceNotAllowed => Self::new(403, &[], "the source is not allowed\n"),
            // One body for all of them: which check failed is nobody's business
            // on the other side.
            K::MissingSignature
            | K::RepeatedSignature
            | K::MalformedSignature
            | K::TooOld
            | K::TooNew
            | K::NoMatch => Self::new(401, AUTHENTICATE, "the signature was not accepted\n"),
            K::BodyTooLarge => Self::new(413, &[], "the body is too large\n"),
            K::BodyTimeout => Self::new(408, &[], "the body did not arrive in time\n"),
            K::BodyLost => Self::new(400, &[], "the body did not arrive\n"),
            K::NotAnEvent => Self::new(422, &[], "the body is not an event\n"),
            K::Draining | K::TooManyBytes | K::TooManyRunning | K::TooManyPending => {
                Self::try_again()
            }
        }
    }

    /// The HTTP status code.
    #[must_use]
    pub const fn status(&self) -> u16 {
        self.status
    }

    /// Headers beside the body's own, names in lower case.
    #[must_use]
    pub const fn headers(&self) -> &'static [(&'static str, &'static str)] {
        self.headers
    }

    /// The body, `text/plain; charset=utf-8`.
    #[must_use]
    pub const fn body(&self) -> &'static str {
        self.body
    }
}

/// What came of a request: one for each row of the answer table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Outcome {
    /// The handler ran and answered 2xx. 200.
    Handled,
    /// The handler ran and answered anything else, or failed. Its own answer.
    Failed,
    /// The handler panicked. 500.
    Panicked,
    /// The handler failed for the last time that was allowed, and the delivery is
    /// kept as a [dead letter](crate::dead_letters). 200.
    DeadLettered,
    /// The handler, the claim or the inner service was not done in time. 503.
    Late,
    /// The sender hung up, or an outer time-out fired, before there was an
    /// answer. Nobody saw one.
    HungUp,
    /// The event was done before; the handler was not called. 200.
    Duplicate,
    /// An earlier delivery of the event is still being handled. 503.
    InFlight,
    /// The dedup store could not be reached, or has no room. 503.
    StoreUnavailable,
    /// The delivery was verified by another endpoint than this one's. 500.
    WrongEndpoint,
    /// The delivery was refused before a claim. The rejection's own answer.
    Rejected(RejectionKind),
}

impl Outcome {
    /// Every outcome but the rejections, in the order of declaration.
    pub const ALL: &'static [Self] = &[
        Self::Handled,
        Self::Failed,
        Self::Panicked,
        Self::DeadLettered,
        Self::Late,
        Self::HungUp,
        Self::Duplicate,
        Self::InFlight,
        Self::StoreUnavailable,
        Self::WrongEndpoint,
    ];

    /// The fixed answer. Where a handler's own stands, or nobody is left to
    /// answer, this is what would be said without it: 200 to what was handled or
    /// is kept, and otherwise to try again.
    #[must_use]
    pub const fn answer(self) -> Answer {
        match self {
            Self::Handled | Self::Duplicate => Answer::new(200, &[], "already handled\n"),
            Self::DeadLettered => Answer::new(200, &[], "kept for later\n"),
            Self::Panicked | Self::WrongEndpoint => {
                Answer::new(500, &[], "the delivery was not handled\n")
            }
            Self::Failed | Self::HungUp | Self::Late | Self::InFlight | Self::StoreUnavailable => {
                Answer::try_again()
            }
            Self::Rejected(kind) => Answer::to_rejection(kind),
        }
    }

    /// The name as it stands in logs and metric labels, in `snake_case`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Handled => "handled",
            Self::Failed => "failed",
            Self::Panicked => "panicked",
            Self::DeadLettered => "dead_lettered",
            Self::Late => "late",
            Self::HungUp => "hung_up",
            Self::Duplicate => "duplicate",
            Self::InFlight => "in_flight",
            Self::StoreUnavailable => "store_unavailable",
            Self::WrongEndpoint => "wrong_endpoint",
            Self::Rejected(_) => "rejected",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Rejection {
    /// What the sender gets: status, headers and body.
    #[must_use]
    pub const fn answer(&self) -> Answer {
        Answer::to_rejection(self.kind())
    }

    /// The HTTP status of the [`answer`](Self::answer).
    #[must_use]
    pub const fn status(&self) -> u16 {
        self.answer().status()
    }

    /// The body of the [`answer`](Self::answer). It tells an attacker nothing:
    /// all that can be wrong with a signature reads the same.
    #[must_use]
    pub const fn public_message(&self) -> &'static str {
        self.answer().body()
    }
}

/// What becomes of a claim when its handler has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(clippy::exhaustive_enums, reason = "there is no third way to settle a claim")]
pub enum Verdict {
    /// The event is done: later deliveries of it are answered 200.
    Commit,
    /// The event is not done: the next delivery of it runs the handler again.
    Release,
}

impl Verdict {
    /// The verdict on a handler that answered with this HTTP status: any 2xx is
    /// its way of saying "done", nothing else is.
    ///
    /// What the sender then gets is [`ACKNOWLEDGED`](Self::ACKNOWLEDGED), for a
    /// handler's 202 or 204 would count as a failure there.
    #[must_use]
    pub const fn on_status(status: u16) -> Self {
        match status {
            200..=299 => Self::Commit,
            _ => Self::Release,
        }
    }

    /// The only status that the platform counts as success.
    pub const ACKNOWLEDGED: u16 = 200;
}
